"""Slimmable networks: a fixed list of width multipliers."""

import numpy as np

from keras_joslim.schedules.schedule import Schedule


class FixedWidths(Schedule):
    """The same networks at every step.

    Yu et al., Slimmable Neural Networks (ICLR 2019), with in-place distillation. The
    smallest network of the width space is not trained unless it is listed: what `fit`
    reports as `smallest_loss` is the loss of the smallest one listed.

    Args:
        multipliers: width multipliers in (0, 1], 1 among them or not (the full
            network is always trained). Each may be one number for all groups or a
            sequence of one a group. What is not legal goes to the nearest legal width: a
            multiplier below the space's smallest gives the smallest network.

    Raises:
        ValueError: no list, no multipliers in it, or one outside (0, 1].
    """

    def __init__(self, multipliers):
        super().__init__()
        if np.isscalar(multipliers):
            raise ValueError(
                f"Expected a list: FixedWidths([{multipliers}]). "
                f"Received: multipliers={multipliers!r}"
            )
        self.multipliers = list(multipliers)
        values = np.concatenate([np.ravel(m) for m in self.multipliers] or [[]])
        if not len(values) or not ((values > 0) & (values <= 1)).all():
            raise ValueError(
                "`multipliers` are width multipliers above 0 and at most 1. "
                f"Received: multipliers={multipliers}"
            )

    def widths(self, step):
        space = self.space
        rows = [self._row(space, multiplier) for multiplier in self.multipliers]
        narrow = {tuple(row): row for row in rows if tuple(row) != tuple(space.full)}
        # Widest first, so that the smallest one is the last, as everywhere.
        ordered = sorted(narrow.values(), key=lambda row: -int(row.sum()))
        return np.stack([space.full, *ordered]).astype(np.int32)

    @staticmethod
    def _row(space, multiplier):
        if np.ndim(multiplier) and np.shape(multiplier) != (len(space),):
            raise ValueError(
                f"Of the {len(space)} channel groups of the model each needs a multiplier, or one "
                f"number is for all of them. Received: multiplier={multiplier}"
            )
        return space.from_multipliers(np.broadcast_to(multiplier, len(space)))

    def visited(self, count=60):
        """The networks of the list and the full one."""
        return np.unique(self.widths(0), axis=0)
