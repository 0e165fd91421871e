"""Several moves at once: what moves of single groups promise when they are put together.

Of one network, each group moved alone by a few steps has been valued. If losses and costs added up
over groups, the best combinations would follow from those values; as they nearly do, the
combinations are good candidates, valued themselves before anything is chosen.
"""

import dataclasses

import numpy as np

from keras_joslim.search.scalarisation import tchebyshev

# Rates of exchange between cost and loss at which whole sets of moves are put together, and the
# shares of such a set that are taken.
_RATES = 24
_SHARES = (1.0, 0.5, 0.25)
# Pairs of a widened and a narrowed group.
_PAIRS = 48


@dataclasses.dataclass(frozen=True)
class SingleMoves:
    """Networks that differ from one in a single group, and by how much in the two objectives.

    Attributes:
        origin: widths of the one, `(groups,)`.
        widths: theirs, `(n, groups)`.
        losses: changes of the (bound of the) loss, standardised, `(n,)`.
        costs: changes of the cost, standardised, `(n,)`.
    """

    origin: np.ndarray
    widths: np.ndarray
    losses: np.ndarray
    costs: np.ndarray

    def combined(self, rng, loss, cost, weight):
        """Networks in which several groups have moved.

        Args:
            rng: `numpy.random.Generator`.
            loss: standardised bound of the origin's loss.
            cost: standardised cost of the origin.
            weight: weight of the loss in the scalarisation.

        Returns:
            Widths, int `(m, groups)`, each entry legal for its group; not yet canonical where the
            space has an ordering.
        """
        groups = np.argmax(self.widths != self.origin, axis=1)
        return np.concatenate(
            [self._exchanged(groups, rng), self._pairs(groups, loss, cost, weight)]
        )

    def _exchanged(self, groups, rng):
        """For rates of exchange that occur, every group's move that pays at that rate."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = -self.losses / self.costs
        rates = rates[np.isfinite(rates) & (rates > 0)]
        if not len(rates):
            return self.widths[:0]
        rates = np.quantile(rates, np.linspace(0.02, 0.98, _RATES))
        gains = self.losses + rates[:, None] * self.costs
        rows = np.tile(self.origin, (len(_SHARES), _RATES, 1))
        shares = np.array(_SHARES)[:, None]
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            best = places[np.argmin(gains[:, places], axis=1)]
            pays = gains[np.arange(_RATES), best] < 0
            taken = pays & (rng.random((len(_SHARES), _RATES)) < shares)
            rows[:, :, group] = np.where(taken, self.widths[best, group], rows[:, :, group])
        return rows.reshape(-1, len(self.origin))

    def _pairs(self, groups, loss, cost, weight):
        """One group wider and another one narrower: the pairs that promise most."""
        wider, narrower = np.flatnonzero(self.costs > 0), np.flatnonzero(self.costs < 0)
        first, second = (side.ravel() for side in np.meshgrid(wider, narrower, indexing="ij"))
        differ = groups[first] != groups[second]
        first, second = first[differ], second[differ]
        promised = tchebyshev(
            loss + self.losses[first] + self.losses[second],
            cost + self.costs[first] + self.costs[second],
            weight,
        )
        if len(promised) > _PAIRS:
            best = np.argpartition(promised, _PAIRS)[:_PAIRS]
            first, second = first[best], second[best]
        rows = np.tile(self.origin, (len(first), 1))
        for side in (first, second):
            rows[np.arange(len(side)), groups[side]] = self.widths[side, groups[side]]
        return rows
