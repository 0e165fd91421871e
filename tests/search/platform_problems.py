"""Platforms over a small space, with costs that can be enumerated."""

import itertools

import numpy as np

from keras_joslim.costs import Factor
from keras_joslim.search import Platform
from keras_joslim.width_space import ChannelGroup, WidthSpace

SPACE = WidthSpace([ChannelGroup(name, 4, (1, 2, 3, 4)) for name in "abc"])
EVERY = np.array(list(itertools.product(range(1, 5), repeat=3)), np.int32)


class PairCost:
    """`first * a * b + second * b * c`; the full network costs 16 (first + second)."""

    unit = "ms"

    def __init__(self, first, second):
        self.rates = (first, second)

    def __call__(self, widths):
        widths = np.asarray(widths, np.float64)
        first, second = self.rates
        return first * widths[..., 0] * widths[..., 1] + second * widths[..., 1] * widths[..., 2]

    def factors(self, legal):
        pairs = [np.multiply.outer(legal[g], legal[g + 1]).astype(np.float64) for g in (0, 1)]
        return [Factor((g, g + 1), rate * pairs[g]) for g, rate in enumerate(self.rates)]


def platforms(weights=(3, 1), budgets=(12.0, (20.0, 30.0))):
    """A platform slow in its first layer, and one slow in its second with two budgets."""
    costs = (PairCost(2.0, 0.5), PairCost(0.5, 2.0))
    names = ("phone", "watch")
    return [
        Platform(name, cost, budget, weight)
        for name, cost, budget, weight in zip(names, costs, budgets, weights, strict=True)
    ]
