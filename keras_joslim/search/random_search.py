"""Random search: what any other engine has to beat."""

import itertools

import numpy as np

from keras_joslim.search.generation_search import GenerationSearch
from keras_joslim.search.whole_number import whole_number

# Networks drawn at a time.
_DRAWN = 16
# Spaces up to this size are gone through in random order, each network once.
_ENUMERATED = 4096


class RandomSearch(GenerationSearch):
    """Ask/tell engine that draws every group's multiplier uniformly, no network twice.

    The full and the smallest network come first.

    Args:
        space: the `WidthSpace`.
        cost: an exact function of widths.
        seed: int, at least 0.

    Example:

    >>> engine = RandomSearch(space, cost)
    >>> widths = engine.ask(100)
    """

    def __init__(self, space, cost, seed=0):
        super().__init__(space, cost, {"seed": whole_number("seed", seed, 0)})

    def _first(self):
        self._drawn = 0
        ends = np.stack([self.space.full, self.space.smallest])
        if self.space.num_networks > _ENUMERATED:
            return ends
        rng = np.random.default_rng([self._settings["seed"], 0])
        rows = np.unique(self.space.canonical(list(itertools.product(*self.space.legal))), axis=0)
        return np.concatenate([ends, rng.permutation(rows)])

    def _next(self, generation, losses):
        if self.space.num_networks <= _ENUMERATED:
            return None
        self._drawn += 1
        rng = np.random.default_rng([self._settings["seed"], self._drawn])
        low = self.space.multipliers(self.space.smallest)
        return self.space.from_multipliers(rng.uniform(low, 1.0, (_DRAWN, len(self.space))))
