"""What the engines of a search after training share: telling losses, and going on later."""

import numpy as np

from keras_joslim.search.history import History


def refuse_other_settings(stored, own, kind="search", this="engine"):
    """Refuses a state of an engine that was constructed with other arguments.

    Args:
        stored: dict of the state's settings.
        own: dict of the engine's.
        kind, this: what the state and the engine are called in the message.

    Raises:
        ValueError: the first that differs, with both values.
    """
    for name, value in own.items():
        if stored.get(name) != value:
            raise ValueError(
                f"The state is that of a {kind} with {name}={stored.get(name)!r}; this {this} has "
                f"{name}={value!r}. Construct it with the same arguments."
            )


def refuse_other_costs(history, costs):
    """Refuses a stored history whose networks cost something else by now.

    Args:
        history: the `History`.
        costs: of its widths by the cost at hand, `(n,)`.

    Raises:
        ValueError: naming the first network that differs.
    """
    # Other machines may round the last bits of a latency otherwise.
    wrong = np.flatnonzero(~np.isclose(costs, history.costs, rtol=1e-9, atol=0.0))
    if len(wrong):
        entry = wrong[0]
        raise ValueError(
            f"The state is that of a search with another cost: entry {entry} of the history costs "
            f"{history.costs[entry]:g} there and {costs[entry]:g} here. A latency model must be "
            "the one that the search began with: put that file back; fit anew in another directory."
        )


def checked_costs(cost, widths):
    """Costs of widths `(n, groups)`: float64 `(n,)`.

    Raises:
        ValueError: the cost gives another number of values, or one that is not finite.
    """
    if not len(widths):
        return np.zeros(0)
    costs = np.asarray(cost(widths), np.float64)
    if costs.shape != (len(widths),) or not np.isfinite(costs).all():
        raise ValueError(
            f"The cost of {len(widths)} width vectors must be as many finite numbers. "
            f"Received: shape={costs.shape}, costs={costs}"
        )
    return costs


class Engine:
    """Base of `RandomSearch`, `GreedySearch` and `NSGA2Search`.

    A subclass gives `ask(m)` and `done`; what it keeps besides the history it adds to `state()`
    and takes up in `_take_up`.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`.
        settings: JSON dict of the arguments that two engines must share to share a state.

    Attributes:
        history: the `History` of all widths asked, losses NaN until told.

    Raises:
        ValueError: a space without channel groups.
    """

    def __init__(self, space, cost, settings):
        if not len(space):
            raise ValueError("There is nothing to search: the width space has no channel group.")
        self.space, self.cost = space, cost
        self._settings = settings
        self.history = History(len(space))

    @property
    def uninformed(self):
        """How many networks, the first ones, are asked before a loss counts."""
        return 0

    def tell(self, losses):
        """Replaces the losses of the whole history.

        Args:
            losses: finite numbers, `(len(history),)`, in its order.

        Raises:
            ValueError: another number of losses, or one that is not finite, naming its entry.
                Nothing has changed then.
        """
        self.history.set_losses(losses)

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        return {
            "engine": type(self).__name__,
            "settings": dict(self._settings),
            "groups": list(self.space.names),
            "history": self.history.to_dict(),
        }

    def restore(self, state):
        """Takes up a `state()`: asks go on exactly as if never interrupted.

        Args:
            state: from an engine of the same kind, settings, space and cost.

        Raises:
            ValueError: a state of another engine, other settings, groups or cost, or none at all,
                naming what differs. The engine is unchanged then.
        """
        try:
            kind, settings = str(state["engine"]), dict(state["settings"])
            groups, history = list(state["groups"]), state["history"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Not the state of a width search by {type(self).__name__}: {error!r}"
            ) from error
        if kind != type(self).__name__:
            raise ValueError(
                f"The state is that of a search by {kind}; this engine is {type(self).__name__}."
            )
        refuse_other_settings(settings, self._settings)
        if groups != list(self.space.names):
            raise ValueError(
                "The state is that of a search over other channel groups. "
                f"Received: groups={groups}. Expected: groups={list(self.space.names)}"
            )
        history = History.from_dict(history)
        if len(history):
            refuse_other_costs(history, self._costs(self.space.validate(history.widths)))
        try:
            self._take_up(state, history)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"Not the state of a width search by {type(self).__name__}: {error!r}"
            ) from error
        self.history = history

    def _take_up(self, state, history):
        """Restores what a subclass keeps besides the history; all or nothing."""

    def _enter(self, rows):
        """Puts new widths, `(k, groups)`, into the history, and gives them back as int32."""
        rows = np.array(rows, np.int32).reshape(-1, len(self.space))
        for row, cost in zip(rows, self._costs(rows), strict=True):
            self.history.append(row, cost)
        return rows

    def _costs(self, widths):
        return checked_costs(self.cost, widths)
