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
        return np.array([key not in self._seen for key in row_keys(widths)], bool)

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
        """The best entries, front by front.

        All of the front of the evaluated entries, then of the front of the rest, and so on, until
        there are `count`. Of the last front only as many as fit are taken, evenly by cost.

        Args:
            count: how many, at least 1.

        Returns:
            int64 indices by ascending cost; `count`, or all evaluated entries if there are fewer.

        Raises:
            ValueError: a count below 1.

        Example:

        >>> widths = history.widths[history.leading(40)]
        """
        if count < 1:
            raise ValueError(f"Expected one entry or more. Received: count={count}")
        left, chosen = np.flatnonzero(self.evaluated), np.empty(0, np.int64)
        losses, costs = self.losses, self.costs
        while len(left) and len(chosen) < count:
            # A front is never empty, so peeling ends.
            on_front = non_dominated(losses[left], costs[left])
            front, left = left[on_front], left[~on_front]
            front = front[np.argsort(costs[front], kind="stable")]
            chosen = np.append(chosen, front[_evenly(costs[front], count - len(chosen))])
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


def row_keys(widths):
    """One hashable value a row of widths `(n, groups)`, equal where the rows are: a list."""
    rows = np.ascontiguousarray(widths, np.int32)
    if not rows.size:
        return [b""] * len(rows)
    # Not strides[0]: that of a single row made by `row[None]` is any number.
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel().tolist()


def _key(widths):
    return np.asarray(widths, np.int32).tobytes()


def _evenly(values, count):
    """Indices of at most `count` of the ascending values, nearest to evenly spaced ones."""
    if count >= len(values):
        return np.arange(len(values))
    if count == 1:
        targets = [(values[0] + values[-1]) / 2]
    else:
        targets = np.linspace(values[0], values[-1], count)
    chosen = [-1]
    for i, target in enumerate(targets):
        # Beyond the last one, and leaving one for each of the targets to come.
        free = np.arange(chosen[-1] + 1, len(values) - (count - 1 - i))
        chosen.append(int(free[np.argmin(np.abs(values[free] - target))]))
    return np.array(chosen[1:])
