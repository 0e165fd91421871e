"""The candidates of one ask with their acquisition values, and the search among them.

A pool grows around what it chooses: choose, add candidates near the best ones, choose again,
until nothing better turns up. Every value is computed once and serves all points of the ask.
"""

import dataclasses

import numpy as np

from keras_joslim.search.history import row_keys
from keras_joslim.search.moves import SingleMoves
from keras_joslim.search.scalarisation import tchebyshev

# Refinement stops after so many rounds, or so many rounds that changed nothing.
_ROUNDS = 10
_IDLE_ROUNDS = 2
# Mutated in each round: the best so many, into so many children.
_PARENTS = 8
_CHILDREN = 48


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """What is known of the two objectives, both in standardised units.

    Attributes:
        process: the `GaussianProcess` of the loss.
        cost: function of widths `(n, groups)`, float64 `(n,)`, in the cost's unit.
        losses: `Standardisation` of the losses.
        costs: `Standardisation` of the costs.
        inputs: function of widths, the inputs of the process.
        deviations: standard deviations added to the mean; negative for the optimistic bound.
    """

    process: object
    cost: object
    losses: object
    costs: object
    inputs: object
    deviations: float


class Pool:
    """Distinct candidates, each with a bound of its loss and its exact cost.

    Args:
        surrogate: the `Surrogate` that values them.
        source: the `CandidateSource` that draws more.
        admit: function of widths `(n, groups)`, a bool mask of those that may be chosen.
    """

    def __init__(self, surrogate, source, admit):
        self.surrogate, self.source, self._admit = surrogate, source, admit
        # Where in the arrays each network is; -1 if it was left out.
        self._known = {}
        groups = len(source.space)
        self.widths = np.empty((0, groups), np.int32)
        self.costs, self.means, self.sds = np.empty((3, 0))
        self._open = np.empty(0, bool)

    def __len__(self):
        return int(np.sum(self._open))

    def add(self, widths, prune=False):
        """Values those of `widths`, `(n, groups)`, that are new and may be chosen.

        Args:
            widths: canonical widths, `(n, groups)`.
            prune: leave out what cannot be chosen before its deviation is computed, worth
                its while if `widths` come from far and wide.
        """
        fresh = []
        for i, key in enumerate(row_keys(widths)):
            if key not in self._known:
                self._known[key] = -1
                fresh.append(i)
        widths = widths[fresh]
        widths = widths[self._admit(widths)]
        if not len(widths):
            return
        costs = self.surrogate.cost(widths)
        if prune:
            kept = self._undominated(widths, costs)
            widths, costs = widths[kept], costs[kept]
        means, sds = self.surrogate.process.predict(self.surrogate.inputs(widths))
        for i, key in enumerate(row_keys(widths)):
            self._known[key] = len(self.widths) + i
        self.widths = np.concatenate([self.widths, widths])
        self.costs = np.concatenate([self.costs, costs])
        self.means = np.concatenate([self.means, means])
        self.sds = np.concatenate([self.sds, sds])
        self._open = np.concatenate([self._open, np.ones(len(widths), bool)])

    def _undominated(self, widths, costs):
        """Which candidates some weight may choose, bool `(n,)`.

        Not those that cost no less than another candidate and have a greater bound of the loss,
        whatever the deviations are between zero and their limits.
        """
        means, limits = self.surrogate.process.glance(self.surrogate.inputs(widths))
        ends = np.sort([means, means + self.surrogate.deviations * limits], axis=0)
        bounds = self.means + self.surrogate.deviations * self.sds
        ceilings = np.concatenate([ends[1], bounds[self._open]])
        ceiling_costs = np.concatenate([costs, self.costs[self._open]])
        order = np.argsort(ceiling_costs, kind="stable")
        lowest = np.minimum.accumulate(ceilings[order])
        cheaper = np.searchsorted(ceiling_costs[order], costs, side="right") - 1
        return ends[0] <= lowest[cheaper]

    def close(self, index):
        """Takes a candidate out: it has been chosen."""
        self._open[index] = False

    def search(self, choose, rng):
        """The choice that refinement no longer improves.

        Args:
            choose: function `(losses, costs, weight)` of the standardised objectives of the
                candidates and the weight of the last round (`None` in the first) to a
                `Choice`.
            rng: `numpy.random.Generator` for the mutations.

        Returns:
            The last `Choice`, its index that of a candidate of this pool.
        """
        choice, idle = self._choose(choose, None), 0
        for _ in range(_ROUNDS):
            self._refine(choice, rng)
            last, choice = choice, self._choose(choose, choice.weight)
            idle = idle + 1 if choice.index == last.index else 0
            if idle == _IDLE_ROUNDS:
                break
        return choice

    def _refine(self, choice, rng):
        """Adds candidates near the best ones: moves of one group, of several, and mutations."""
        best = self._best(choice)
        moved = self.source.single_moves(best[0])
        self.add(moved)
        places = np.array([self._known[key] for key in row_keys(moved)], np.int64)
        single = (places >= 0) & ((moved != best[0]).sum(axis=1) == 1)
        moved, places = moved[single], places[single]
        bounds = self.means + self.surrogate.deviations * self.sds
        costs, origin = self.surrogate.costs(self.costs), choice.index
        moves = SingleMoves(
            best[0], moved, bounds[places] - bounds[origin], costs[places] - costs[origin]
        )
        combined = moves.combined(rng, bounds[origin], costs[origin], choice.weight)
        if self.source.space.ordering:
            combined = self.source.space.canonical(combined)
        self.add(np.concatenate([combined, self.source.mutations(rng, _CHILDREN, best)]))

    def _objectives(self):
        bounds = self.means + self.surrogate.deviations * self.sds
        return bounds[self._open], self.surrogate.costs(self.costs[self._open])

    def _choose(self, choose, weight):
        choice = choose(*self._objectives(), weight)
        return dataclasses.replace(choice, index=int(np.flatnonzero(self._open)[choice.index]))

    def _best(self, choice):
        """The chosen widths, then the next best at its weight."""
        order = np.argsort(tchebyshev(*self._objectives(), choice.weight), kind="stable")
        order = np.flatnonzero(self._open)[order[:_PARENTS]]
        return self.widths[np.append(choice.index, order[order != choice.index])]
