"""Engines that work by generations: widths that are all told before the next ones are made."""

import numpy as np

from keras_joslim.search.engine import Engine
from keras_joslim.search.whole_number import whole_number


class GenerationSearch(Engine):
    """Base of `GreedySearch` and `NSGA2Search`.

    A generation ends with the `tell` after its last ask: those losses make the next one, whatever
    is told later. Widths of a generation that are in the history already are not asked again.

    A subclass gives `_first()` and `_next()`: the members of the first generation, and of the one
    after `self._members`, which all have losses; int32 `(n, groups)`, canonical and distinct, at
    least one of them new, or none to end the search.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`.
        settings: JSON dict of the arguments that two engines must share to share a state.
    """

    def __init__(self, space, cost, settings):
        super().__init__(space, cost, settings)
        self._members = self._first()
        self._first_size = len(self._members)

    @property
    def uninformed(self):
        """How many networks are asked before a loss counts: the first generation."""
        return self._first_size

    @property
    def done(self):
        """Whether the search has come to its end: there is nothing left to ask for."""
        return not len(self._members)

    def ask(self, m):
        """The next widths of the present generation, which also enter the history, without a loss.

        Args:
            m: number of points, at least 1.

        Returns:
            Canonical widths, int32 `(k, groups)`, none of them seen before: at most m, as no more
            may be left of the generation; at least one while `done` is False.

        Raises:
            ValueError: m below 1; all of the generation is asked and losses have not been told; the
                search is done. Nothing has changed then.
        """
        m = whole_number("m", m, 1)
        if self.done:
            raise ValueError("The search is done: there is nothing left to ask for. See `done`.")
        rows = self._waiting()[:m]
        if not len(rows):
            raise ValueError(
                "The next generation depends on the losses of this one, and "
                f"{np.sum(~self.history.evaluated)} of them have not been told. Call "
                f"`tell(losses)` with all {len(self.history)} of the history before the next `ask`."
            )
        return self._enter(rows)

    def tell(self, losses):
        """Replaces the losses of the whole history; the last of a generation make the next one.

        Args:
            losses: finite numbers, `(len(history),)`, in its order.

        Raises:
            ValueError: another number of losses, or one that is not finite, naming its entry.
                Nothing has changed then.
        """
        super().tell(losses)
        if not self.done and not len(self._waiting()):
            self._members = self._next()

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        return super().state() | {"generation": self._members.tolist()}

    def _take_up(self, state, history):
        self._members = self._widths_from(state["generation"])

    def _widths_from(self, rows):
        """Rows of a state as canonical widths, checked."""
        rows = np.array(rows, np.int32).reshape(-1, len(self.space))
        return self.space.validate(rows)

    def _waiting(self):
        """Members that have not been asked for."""
        return self._members[self.history.unseen(self._members)]

    def _entries(self, widths):
        """Where widths, `(k, groups)`, stand in the history: int64 `(k,)`."""
        places = {row.tobytes(): entry for entry, row in enumerate(self.history.widths)}
        return np.array([places[row.tobytes()] for row in widths], np.int64)
