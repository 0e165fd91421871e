"""Small fields over widths with all answers by enumeration, for the tests of the width MRF."""

import dataclasses
import itertools

import hypothesis.strategies as st
import numpy as np
from scipy.special import logsumexp, softmax

from keras_joslim.costs import Factor, WidthSum
from keras_joslim.width_space import ChannelGroup, WidthSpace

# Scopes of the factors; a tuple inside one is a sum of `(group, weight)` pairs.
GRAPHS = {
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
    "residual": [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3,), ()],
    "triangle": [(0, 1), (1, 2), (2, 0), (2, 3), (1, 3)],
    "dense table": [(0, 1, 2), (2, 3), (1, 4, 3)],
    "concatenation": [((((0, 1), (1, 1), (2, 1))), 3), (0, 1), (3, 4)],
    "concatenations that begin alike": [
        (((0, 1), (1, 1)), 2),
        (((0, 1), (1, 1), (2, 1)), 3),
        (((0, 1), (1, 1), (2, 1), (3, 1)),),
    ],
    "weighted sums on both sides": [(((0, 2), (1, 3)), ((2, 1), (3, 4))), (1, 2)],
    "a sum and a group in it": [(((0, 1), (2, 1)), 2), (0, 3)],
    "apart": [(0, 1), (2,), (3, 4)],
}


@dataclasses.dataclass
class Problem:
    """A field and all of its networks.

    Attributes:
        space: its width space.
        factors: its factors.
        scores: per group an array.
        widths: all legal widths, `(n, groups)`.
        costs: theirs, `(n,)`.
        sums: theirs of the scores, `(n,)`.
    """

    space: WidthSpace
    factors: list
    scores: list
    widths: np.ndarray
    costs: np.ndarray
    sums: np.ndarray

    def energies(self, gamma):
        """Energies of all networks."""
        return self.sums + gamma * self.costs

    def log_partition(self, gamma, temperature):
        """By summing over all networks."""
        return logsumexp(-self.energies(gamma) / temperature)

    def probabilities(self, gamma, temperature):
        """Of all networks."""
        return softmax(-self.energies(gamma) / temperature)

    def row(self, widths):
        """Which of the networks these are, `(m,)`."""
        rows = {tuple(row): i for i, row in enumerate(self.widths.tolist())}
        return np.array([rows[tuple(row)] for row in np.atleast_2d(widths).tolist()])


def problem(graph, seed, choices=(2, 4), ordering=()):
    """A random problem: legal widths of unequal steps, tables and scores of either sign."""
    rng = np.random.default_rng(seed)
    scopes = [
        tuple(WidthSum(axis) if isinstance(axis, tuple) else axis for axis in scope)
        for scope in GRAPHS[graph]
    ]
    count = 1 + max(g for scope in scopes for a in scope for g in getattr(a, "groups", (a,)))
    groups = []
    for g in range(count):
        legal = np.sort(rng.choice(np.arange(1, 9), rng.integers(*choices, endpoint=True), False))
        groups.append(ChannelGroup(f"g{g}", int(legal[-1]), tuple(legal.tolist())))
    if ordering:
        # The wide group must be able to hold the narrow one.
        for _, wide in ordering:
            legal = sorted({*groups[wide].legal, 9})
            groups[wide] = ChannelGroup(f"g{wide}", 9, tuple(legal))
    space = WidthSpace(groups, ordering)
    legal = [group.legal for group in groups]

    def along(axis):
        """The widths along an axis, by listing them."""
        if not isinstance(axis, WidthSum):
            return list(legal[axis])
        lists = [[weight * w for w in legal[g]] for g, weight in axis.terms]
        return sorted({sum(ws) for ws in itertools.product(*lists)})

    factors = [
        Factor(scope, rng.normal(size=[len(along(axis)) for axis in scope])) for scope in scopes
    ]
    scores = [rng.normal(size=len(ws)) for ws in legal]
    rows, costs, sums = [], [], []
    for row in itertools.product(*legal):
        if any(row[narrow] > row[wide] for narrow, wide in ordering):
            continue
        cost = 0.0
        for scope, factor in zip(scopes, factors, strict=True):
            place = []
            for axis in scope:
                terms = axis.terms if isinstance(axis, WidthSum) else ((axis, 1),)
                place.append(along(axis).index(sum(w * row[g] for g, w in terms)))
            cost += factor.table[tuple(place)]
        rows.append(row)
        costs.append(cost)
        sums.append(sum(s[ws.index(w)] for s, ws, w in zip(scores, legal, row, strict=True)))
    return Problem(space, factors, scores, np.array(rows), np.array(costs), np.array(sums))


@st.composite
def problems(draw, choices=(1, 3)):
    """Problems of any graph, with and without an ordering."""
    ordering = draw(st.sampled_from([(), ((0, 1),), ((2, 1), (0, 2))]))
    graph, seed = draw(st.sampled_from(list(GRAPHS))), draw(st.integers(0, 10**6))
    return problem(graph, seed, choices, ordering)
