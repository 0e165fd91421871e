"""The history: the widths visited so far with their latest losses and their costs."""

import numpy as np

from keras_joslim.search.pareto import non_dominated


class History:
    """Width vectors in the order they were asked, no vector twice.

    Losses drift while the weights train, so they are replaced all at once: `set_losses` after
    each re-calibration. An entry that has not been evaluated has the loss NaN, which is `null`
    in JSON, and is never taken for a number. Beside each loss stands its *noise*: the standard
    deviation of what is not known of it, 0 for a loss measured with today's weights.

    Args:
        groups: number of channel groups.

    Example:

    >>> history = History(groups=2)
    >>> history.append([16, 32], cost=512.0)
    >>> history.evaluated
    array([False])
    """

    def __init__(self, groups):
        self.groups = int(groups)
        self._widths = []
        self._losses = []
        self._noise = []
        self._costs = []
        self._seen = set()

    def __len__(self):
        return len(self._widths)

    def __contains__(self, widths):
        return _key(widths) in self._seen

    @property
    def widths(self):
        """int32 `(n, groups)`."""
        return np.array(self._widths, np.int32).reshape(-1, self.groups)

    @property
    def losses(self):
        """float64 `(n,)`, NaN where there is no loss yet."""
        return np.array(self._losses, np.float64)

    @property
    def noise(self):
        """float64 `(n,)`: standard deviations of the losses, in their unit; 0 is measured now."""
        return np.array(self._noise, np.float64)

    @property
    def costs(self):
        """float64 `(n,)`."""
        return np.array(self._costs, np.float64)

    @property
    def evaluated(self):
        """bool `(n,)`: which entries have a loss."""
        return ~np.isnan(self.losses)

    def unseen(self, widths):
        """Which rows of `widths`, `(m, groups)`, are not in the history: bool `(m,)`."""
        rows = np.ascontiguousarray(widths, np.int32)
        return np.array([row.tobytes() not in self._seen for row in rows], bool)

    def append(self, widths, cost):
        """Adds one entry without a loss.

        Args:
            widths: canonical widths, `(groups,)`.
            cost: its cost, a finite number.

        Raises:
            ValueError: widths of another length, widths already there, or a cost that is not
                finite.
        """
        row = tuple(int(width) for width in widths)
        key = _key(row)
        cost = float(cost)
        if len(row) != self.groups:
            raise ValueError(
                f"Expected {self.groups} widths, one a channel group. Received: widths={row}"
            )
        if key in self._seen:
            raise ValueError(f"These widths are in the history already. Received: widths={row}")
        if not np.isfinite(cost):
            raise ValueError(f"A cost must be finite. Received: cost={cost} for widths={row}")
        self._widths.append(row)
        self._losses.append(np.nan)
        self._noise.append(0.0)
        self._costs.append(cost)
        self._seen.add(key)

    def set_losses(self, losses, noise=None):
        """Replaces the losses of all entries.

        Args:
            losses: finite numbers, `(n,)`, in the history's order.
            noise: standard deviations of the losses in their unit, finite numbers of at least
                0, `(n,)`; 0 for a loss measured now, more for one carried over from earlier
                weights. `None` is 0 for all.

        Raises:
            ValueError: another number of losses than entries, or one that is not finite, named
                by its entry; the like of the noise. Nothing is replaced then.
        """
        values = np.asarray(losses, np.float64)
        if values.shape != (len(self),):
            raise ValueError(
                f"Expected the losses of all {len(self)} entries of the history in its order, "
                f"shape ({len(self)},). Received: shape={values.shape}"
            )
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            entry = wrong[0]
            raise ValueError(
                f"The loss of entry {entry} of the history (widths={list(self._widths[entry])}) "
                f"must be finite. Received: loss={values[entry]}. If training has diverged, go "
                "back to a checkpoint and lower the learning rate."
            )
        deviations = np.zeros(len(self)) if noise is None else np.asarray(noise, np.float64)
        if deviations.shape != values.shape:
            raise ValueError(
                f"Expected the noise of all {len(self)} entries of the history in its order, "
                f"shape ({len(self)},). Received: shape={deviations.shape}"
            )
        wrong = np.flatnonzero(~(np.isfinite(deviations) & (deviations >= 0)))
        if len(wrong):
            raise ValueError(
                "The noise of a loss is a standard deviation, finite and at least 0. "
                f"Received: noise={deviations[wrong[0]]} at entry {wrong[0]} of the history"
            )
        self._losses, self._noise = values.tolist(), deviations.tolist()

    def leading(self, count):
        """The best entries, front after front.

        The front of the evaluated entries, the front of the rest, and so on; of the last one that
        does not fit whole, entries spread evenly over its costs.

        Args:
            count: at most so many, at least 1.

        Returns:
            int64 indices by ascending cost.

        Raises:
            ValueError: a count below 1.
        """
        if count < 1:
            raise ValueError(f"Expected one entry or more. Received: count={count}")
        left, chosen = np.flatnonzero(self.evaluated), []
        losses, costs = self.losses, self.costs
        while len(left) and len(chosen) < count:
            # Ties are kept whole, so every round takes one entry or more.
            front = left[non_dominated(losses[left], costs[left])]
            left = np.setdiff1d(left, front)
            room = count - len(chosen)
            if len(front) > room:
                front = front[np.argsort(costs[front], kind="stable")]
                front = front[np.linspace(0, len(front) - 1, room).round().astype(int)]
            chosen += front.tolist()
        chosen = np.array(chosen, np.int64)
        return chosen[np.argsort(costs[chosen], kind="stable")]

    def to_dict(self):
        """A JSON dict from which `from_dict` makes the same history."""
        return {
            "groups": self.groups,
            "widths": [list(row) for row in self._widths],
            "losses": [None if np.isnan(loss) else loss for loss in self._losses],
            "costs": list(self._costs),
            "noise": list(self._noise),
        }

    @classmethod
    def from_dict(cls, config):
        """The history that `to_dict` described.

        Raises:
            ValueError: keys missing, lists of different lengths, or entries that `append` refuses.
        """
        try:
            history = cls(config["groups"])
            columns = config["widths"], config["losses"], config["costs"]
            # Histories written before there was noise have none.
            noises = config.get("noise", [0.0] * len(columns[0]))
            for widths, loss, cost, noise in zip(*columns, noises, strict=True):
                history.append(widths, cost)
                history._losses[-1] = np.nan if loss is None else float(loss)
                history._noise[-1] = float(noise)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the description of a history: {error}") from error
        infinite = np.flatnonzero(np.isinf(history.losses))
        if len(infinite):
            raise ValueError(
                "Not the description of a history: losses are finite numbers or null. "
                f"Received: loss={history.losses[infinite[0]]} at entry {infinite[0]}"
            )
        if not (np.isfinite(history.noise) & (history.noise >= 0)).all():
            raise ValueError(
                "Not the description of a history: noise is finite and at least 0. "
                f"Received: noise={config['noise']}"
            )
        return history


def _key(widths):
    return np.asarray(widths, np.int32).tobytes()
