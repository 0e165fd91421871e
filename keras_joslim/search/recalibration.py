"""Re-calibration of a history on a budget: which entries to measure again, what the rest became.

While the weights train, the losses of all the history drift. Measuring all of them again at
every search is the published algorithm and costs more with every entry. Here a chosen part is
measured, and the others follow the drift that the measured ones show.
"""

import numpy as np

from keras_joslim.search.pareto import front_indices
from keras_joslim.search.whole_number import whole_number

# Of the budget, in parts: the front at most this, then the oldest; neighbours of the widths last
# asked get a quarter as well, and random entries the rest.
_FRONT, _NEIGHBOURS, _OLDEST = 0.5, 0.125, 0.25
# Strength of the prior that all losses changed alike, in observations. The fit is to few.
_PRIOR_STRENGTH = 16.0
# An entry that strays from the common drift goes on straying: its errors add up faster than those
# of independent steps. By replayed runs (benchmarks/recalibration.py).
_PERSISTENCE = 2.0
# Weight of the earlier rounds in how far the uncertainty has been too small.
_MEMORY = 0.9


class Recalibration:
    """Chooses the entries to measure and carries the others.

    Args:
        budget: entries to measure each time; entries without a loss are always measured, and
            count.
        seed: fixes the random part.

    Attributes:
        measured_in: for each entry the number of the round that measured it last.
        rounds: rounds so far.

    Raises:
        ValueError: a budget below 8.

    Example:

    >>> recalibration = Recalibration(budget=24)
    >>> entries = recalibration.choose(history, inputs=space.multipliers(history.widths))
    >>> losses, noise = recalibration.carry(history, entries, measure(history.widths[entries]))
    >>> history.set_losses(losses, noise)
    """

    def __init__(self, budget, seed=0):
        try:
            self.budget, self.seed = whole_number("budget", budget, 8), int(seed)
        except ValueError:
            raise ValueError(
                "The budget of a re-calibration is a whole number of networks, at least 8: the "
                f"drift of the others is fitted to them. Received: {budget!r}"
            ) from None
        self.rounds = 0
        self.measured_in = []
        # Running sums of squared errors in parts of what was said, and of their weights.
        self._surprise = [1.0, 1.0]

    def choose(self, history, inputs):
        """The entries to measure now.

        Those without a loss; then, as far as the budget reaches, the cheapest and the most
        expensive, the front (those longest not measured first, where it is too large), the nearest
        neighbours of the entries that are new, the ones longest not measured, and random ones. On
        the front is what may well be: each loss is taken at its lower limit, one standard
        deviation down.

        Args:
            history: the `History`.
            inputs: numbers `(n, d)` in which entries are near or far, such as multipliers.

        Returns:
            int64 indices, ascending.
        """
        count = len(history)
        new = np.flatnonzero(~history.evaluated)
        room = min(self.budget, count) - len(new)
        if len(new) + max(room, 0) >= count:
            return np.arange(count)
        rng = np.random.default_rng([self.seed, self.rounds])
        self._extend(count)
        age = self.rounds - np.array(self.measured_in)
        # Equal ages in random order, or the first entries would be favoured.
        shuffled = rng.permutation(count)
        by_age = shuffled[np.argsort(-age[shuffled], kind="stable")]
        old = np.flatnonzero(history.evaluated)
        hopeful = history.losses[old] - history.noise[old]
        front = old[front_indices(hopeful, history.costs[old])]
        ends = old[[np.argmin(history.costs[old]), np.argmax(history.costs[old])]]
        parts = [
            (ends, 1.0),
            (by_age[np.isin(by_age, front)], _FRONT),
            (_nearest(inputs, new, old), _NEIGHBOURS),
            (by_age, _OLDEST),
            (shuffled, 1.0),
        ]
        chosen = list(new)
        taken = set(chosen)
        for entries, share in parts:
            quota = min(int(np.ceil(share * self.budget)), len(new) + room - len(chosen))
            fresh = [int(i) for i in entries if int(i) not in taken][: max(quota, 0)]
            chosen += fresh
            taken.update(fresh)
        return np.sort(np.array(chosen, np.int64))

    def carry(self, history, entries, losses):
        """The losses of all entries, after some have been measured.

        The others follow `log(new) = log(old) + a + b log(old) + c log(cost)`, fitted by least
        squares to the measured entries that had a loss, weighted by how sure that was, with `b`
        and `c` drawn towards 0: the losses of a network in training fall together, those of
        narrow networks at another rate. Where a loss is not positive, losses take the place of
        their logarithms. The uncertainty of the others grows by what the fit leaves unexplained,
        times how much larger the errors of entries measured again have been than was said.

        Args:
            history: the `History` with the losses of the last time.
            entries: the indices measured, from `choose`.
            losses: their losses now, `(len(entries),)`.

        Returns:
            `(losses, noise)`, float64 `(n,)` both: for measured entries the loss and 0; for
            the others the carried loss and its standard deviation, in the unit of the losses.

        Raises:
            ValueError: an entry that has no loss and was not measured.
        """
        losses = np.asarray(losses, np.float64)
        carried, noise = history.losses, np.array(history.noise)
        measured = np.zeros(len(history), bool)
        measured[entries] = True
        others = np.flatnonzero(~measured)
        missing = others[~history.evaluated[others]]
        if len(missing):
            raise ValueError(
                f"Entry {missing[0]} of the history has no loss yet, so there is nothing to carry: "
                "measure all that `choose` names."
            )
        self._extend(len(history))
        known = history.evaluated[entries]
        if len(others) and known.any():
            pairs = entries[known]
            drift = _Drift(carried[pairs], noise[pairs], history.costs[pairs], losses[known])
            self._note(drift.surprises)
            carried[others], noise[others] = drift(
                carried[others], noise[others], history.costs[others], self._too_sure
            )
        carried[entries], noise[entries] = losses, 0.0
        for entry in entries:
            self.measured_in[entry] = self.rounds
        self.rounds += 1
        return carried, noise

    @property
    def _too_sure(self):
        """Variance by which errors have been larger than was said, at least 1."""
        return max(1.0, self._surprise[0] / self._surprise[1])

    def _note(self, surprises):
        if len(surprises) > 2:
            self._surprise[0] = _MEMORY * self._surprise[0] + float(np.mean(surprises))
            self._surprise[1] = _MEMORY * self._surprise[1] + 1.0

    def _extend(self, count):
        """Entries seen for the first time are as young as can be."""
        self.measured_in += [self.rounds] * (count - len(self.measured_in))

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {
            "budget": self.budget,
            "rounds": self.rounds,
            "measured_in": [int(i) for i in self.measured_in],
            "surprise": list(self._surprise),
        }

    def restore(self, state):
        """Takes up a `state()`.

        Raises:
            ValueError: the state of another budget.
        """
        if state["budget"] != self.budget:
            raise ValueError(
                f"The state is that of a re-calibration of {state['budget']} entries at a time; "
                f"this one has budget={self.budget}."
            )
        self.rounds, self.measured_in = state["rounds"], list(state["measured_in"])
        self._surprise = list(state["surprise"])


class _Drift:
    """How the losses of some entries changed, and so those of the others.

    Args:
        old: losses before, `(k,)`.
        noise: their standard deviations.
        costs: their costs.
        new: losses now.

    Attributes:
        surprises: squared errors of entries that had been carried, in parts of the variance that
            was said.
    """

    def __init__(self, old, noise, costs, new):
        self._logarithmic = bool((old > 0).all() and (new > 0).all())
        before, deviations = self._transformed(old, noise)
        after, _ = self._transformed(new, noise)
        logs = np.log(np.maximum(costs, 1e-12))
        self._offset = np.mean(after - before)
        self._centres = np.mean(before), np.mean(logs)
        self._scales = max(np.std(before), 1e-12), max(np.std(logs), 1e-12)
        excess = after - before - self._offset
        design = self._design(before, costs)
        spread = max(np.var(excess), 1e-24)
        weights = spread / (spread + deviations**2)
        gram = design.T @ (weights[:, None] * design) + _PRIOR_STRENGTH * np.eye(3)
        self._coefficients = np.linalg.solve(gram, design.T @ (weights * excess))
        left = excess - design @ self._coefficients
        # What the pairs' own old noise explains is no drift.
        self._variance = max(np.mean(left**2 - deviations**2), 0.1 * np.mean(left**2))
        stale = deviations > 0
        said = deviations**2 + self._variance
        self.surprises = left[stale] ** 2 / np.maximum(said[stale], 1e-24)

    def _transformed(self, losses, noise):
        if not self._logarithmic:
            return losses, noise
        losses = np.maximum(losses, 1e-12)
        return np.log(losses), noise / losses

    def _design(self, before, costs):
        logs = np.log(np.maximum(costs, 1e-12))
        columns = [
            np.ones(len(before)),
            (before - self._centres[0]) / self._scales[0],
            (logs - self._centres[1]) / self._scales[1],
        ]
        return np.stack(columns, axis=1)

    def __call__(self, old, noise, costs, too_sure):
        """Losses and standard deviations of other entries."""
        before, deviations = self._transformed(old, noise)
        after = before + self._offset + self._design(before, costs) @ self._coefficients
        step = too_sure * _PERSISTENCE**2 * self._variance
        deviations = np.sqrt(deviations**2 + step)
        if not self._logarithmic:
            return after, deviations
        losses = np.exp(after)
        return losses, deviations * losses


def _nearest(inputs, new, old):
    """Evaluated entries by their distance from the nearest new one."""
    if not len(new) or not len(old):
        return np.zeros(0, np.int64)
    distances = ((inputs[old][:, None] - inputs[new][None]) ** 2).sum(-1).min(-1)
    return old[np.argsort(distances, kind="stable")]
