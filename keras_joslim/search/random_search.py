"""Random search: what any other engine has to beat."""

import numpy as np

from keras_joslim.search.engine import Engine
from keras_joslim.search.prior_points import neighbours
from keras_joslim.search.whole_number import whole_number

# Draws before the next widths are taken from the neighbours of those already there.
_DRAWS = 64


class RandomSearch(Engine):
    """Ask/tell engine that draws a random multiplier for each group, no widths twice.

    The full and the smallest network come first. No ask depends on losses, nor on how many were
    asked for at a time.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`.
        seed: int, at least 0.

    Attributes:
        history: the `History` of all widths asked, losses NaN until told.

    Raises:
        ValueError: a space without channel groups, a seed out of range.

    Example:

    >>> engine = RandomSearch(space, cost)
    >>> widths = engine.ask(100)
    >>> engine.tell([measure(w) for w in engine.history.widths])
    """

    def __init__(self, space, cost, seed=0):
        super().__init__(space, cost, {"seed": whole_number("seed", seed, 0)})
        self._ends = np.stack([space.full, space.smallest])

    @property
    def done(self):
        """Whether every legal width vector is in the history."""
        return self._following({}) is None

    def ask(self, m):
        """The next widths, which also enter the history, without a loss.

        Args:
            m: number of points, at least 1.

        Returns:
            Canonical widths, int32 `(k, groups)`, none of them seen before: m, or what is left of
            the space; at least one while `done` is False.

        Raises:
            ValueError: m below 1; the search is done.
        """
        m = whole_number("m", m, 1)
        rows = {}
        while len(rows) < m:
            row = self._following(rows)
            if row is None:
                break
            rows[row.tobytes()] = row
        if not rows:
            raise ValueError(
                "The search is done: each of the "
                f"{len(self.history)} legal width vectors has been asked for. See `done`."
            )
        return self._enter(list(rows.values()))

    def _following(self, rows):
        """The widths after the history and `rows` (bytes -> widths); `None` if there are none."""

        def new(widths):
            free = np.array([row.tobytes() not in rows for row in widths], bool)
            return widths[free & self.history.unseen(widths)]

        ends = new(self._ends)
        if len(ends):
            return ends[0]
        # Keyed by the number of the entry: however many are asked for at a time, they are the same.
        rng = np.random.default_rng([self._settings["seed"], len(self.history) + len(rows)])
        drawn = new(self._draw(rng, _DRAWS))
        if len(drawn):
            return drawn[0]
        # No luck is no proof. If all neighbours of what is known are known, all is.
        known = np.array([*self.history.widths, *rows.values()], np.int32)
        near = new(neighbours(self._drawn_space(), known))
        return near[rng.integers(len(near))] if len(near) else None

    def _drawn_space(self):
        """The space that draws are from."""
        return self.space

    def _draw(self, rng, count):
        """Random widths of it, int32 `(count, groups)`; repetitions may be among them."""
        return random_widths(self.space, rng, count)


def random_widths(space, rng, count):
    """Canonical widths, each group's multiplier uniform from its smallest to 1.

    Args:
        space: the `WidthSpace`.
        rng: `numpy.random.Generator`.
        count: how many.

    Returns:
        int32 `(count, groups)`; repetitions may be among them.
    """
    low = space.multipliers(space.smallest)
    return space.from_multipliers(rng.uniform(low, 1.0, size=(count, len(space))))
