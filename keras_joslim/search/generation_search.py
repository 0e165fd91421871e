"""What the engines that work by generations share: asking, telling, and going on later.

A generation is a list of widths that the next one depends on. Only those that are new are asked
for; the others' losses are known.
"""

import numpy as np

from keras_joslim.search.history import History
from keras_joslim.search.whole_number import whole_number


class GenerationSearch:
    """Base of `NSGA2Search` and `GreedySearch`.

    A subclass gives `_first()` and `_next(generation, losses)`: int32 `(n, groups)`, canonical; an
    empty one, or `None`, ends the search. What it keeps between generations must follow from
    the calls alone: a restored engine is brought to its place by making them again.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: an exact function of widths, int `(n, groups)` to numbers `(n,)`.
        settings: dict of what two engines must agree on to share a state.
    """

    def __init__(self, space, cost, settings):
        if not len(space):
            raise ValueError("There is nothing to search: the width space has no channel group.")
        self.space, self.cost = space, cost
        self._settings = settings
        self.history = History(len(space))
        self._told = []
        self._begin()

    def _begin(self):
        self._generation = self._first()
        self._waiting = self._new_rows()

    @property
    def done(self):
        """Whether there is nothing left to ask for. The last losses must have been told."""
        self._advance()
        return self._generation is None

    def ask(self, m):
        """The next widths of the present generation, which also enter the history.

        Args:
            m: number of points, at least 1.

        Returns:
            Canonical widths, int32 `(k, groups)`: at most m, as a generation may have fewer
            left; at least one while `done` is False.

        Raises:
            ValueError: m below 1; the generation is all asked and lacks losses; the search is
                done.
        """
        m = whole_number("m", m, 1)
        if not len(self._waiting):
            lacking = int(np.sum(~self.history.evaluated))
            if lacking:
                raise ValueError(
                    f"The next generation depends on the losses of this one, and {lacking} of "
                    f"them have not been told. Call `tell(losses)` with all {len(self.history)} "
                    "of the history first."
                )
            if self.done:
                raise ValueError("The search is done: there is nothing left to ask for.")
        rows, self._waiting = self._waiting[:m], self._waiting[m:]
        for row, cost in zip(rows, self._costs(rows), strict=True):
            self.history.append(row, cost)
        return np.array(rows, np.int32)

    def tell(self, losses):
        """Sets the losses of the whole history.

        Args:
            losses: finite numbers, `(len(history),)`, in its order.

        Raises:
            ValueError: another number of losses, or one that is not finite. Nothing has changed
                then.
        """
        self.history.set_losses(losses)

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        return {
            "settings": dict(self._settings),
            "groups": list(self.space.names),
            "history": self.history.to_dict(),
            "told": [list(losses) for losses in self._told],
        }

    def restore(self, state):
        """Takes up a `state()`: asks go on exactly as if never interrupted.

        Args:
            state: from an engine of the same settings, space and cost.

        Raises:
            ValueError: a state of other settings, groups or cost, or none at all, naming what
                differs.
        """
        try:
            settings, groups = dict(state["settings"]), list(state["groups"])
            history, told = History.from_dict(state["history"]), list(state["told"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"Not the state of a width search: {error!r}") from error
        for name, value in self._settings.items():
            if settings.get(name) != value:
                raise ValueError(
                    f"The state is that of a search with {name}={settings.get(name)!r}; this "
                    f"engine has {name}={value!r}. Construct it with the same arguments."
                )
        if groups != list(self.space.names):
            raise ValueError(
                "The state is that of a search over other channel groups. "
                f"Received: groups={groups}. Expected: groups={list(self.space.names)}"
            )
        wrong = np.flatnonzero(self._costs(history.widths) != history.costs)
        if len(wrong):
            raise ValueError(
                f"The state is that of a search with another cost: entry {wrong[0]} of the "
                f"history costs {history.costs[wrong[0]]:g} there."
            )
        self._told = []
        self._begin()
        for losses in told:
            self._follow(losses)
        self.history = history
        self._waiting = self._new_rows()

    def _advance(self):
        """Goes on to the first generation that has something to ask for."""
        while self._generation is not None and not len(self._waiting):
            if not self.history.evaluated.all():
                return
            places = {row: i for i, row in enumerate(map(tuple, self.history.widths.tolist()))}
            losses = self.history.losses
            self._follow([losses[places[tuple(row)]] for row in self._generation.tolist()])
            self._waiting = self._new_rows()

    def _follow(self, losses):
        """The next generation, from the losses of this one."""
        losses = [float(loss) for loss in losses]
        following = self._next(self._generation, np.array(losses))
        self._told.append(losses)
        self._generation = None if following is None or not len(following) else following

    def _new_rows(self):
        """Those of the generation that are not in the history, each once."""
        if self._generation is None:
            return np.empty((0, len(self.space)), np.int32)
        _, first = np.unique(self._generation, axis=0, return_index=True)
        rows = self._generation[np.sort(first)]
        return rows[self.history.unseen(rows)]

    def _costs(self, widths):
        return np.asarray(self.cost(widths), np.float64) if len(widths) else np.zeros(0)
