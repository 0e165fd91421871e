"""The history: the widths visited so far with their latest losses and their costs."""

import numpy as np


class History:
    """Width vectors in the order they were asked, no vector twice.

    Losses drift while the weights train, so they are replaced all at once: `set_losses` after
    each re-calibration. An entry that has not been evaluated has the loss NaN, which is `null`
    in JSON, and is never taken for a number.

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
        self._costs.append(cost)
        self._seen.add(key)

    def set_losses(self, losses):
        """Replaces the losses of all entries.

        Args:
            losses: finite numbers, `(n,)`, in the history's order.

        Raises:
            ValueError: another number of losses than entries, or one that is not finite, named
                by its entry. Nothing is replaced then.
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
        self._losses = values.tolist()

    def to_dict(self):
        """A JSON dict from which `from_dict` makes the same history."""
        return {
            "groups": self.groups,
            "widths": [list(row) for row in self._widths],
            "losses": [None if np.isnan(loss) else loss for loss in self._losses],
            "costs": list(self._costs),
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
            for widths, loss, cost in zip(*columns, strict=True):
                history.append(widths, cost)
                history._losses[-1] = np.nan if loss is None else float(loss)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the description of a history: {error}") from error
        infinite = np.flatnonzero(np.isinf(history.losses))
        if len(infinite):
            raise ValueError(
                "Not the description of a history: losses are finite numbers or null. "
                f"Received: loss={history.losses[infinite[0]]} at entry {infinite[0]}"
            )
        return history


def _key(widths):
    return np.asarray(widths, np.int32).tobytes()
