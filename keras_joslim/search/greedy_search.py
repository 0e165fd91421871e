"""AutoSlim's greedy search: shrink, again and again, what costs least loss per cost saved."""

import math

import numpy as np

from keras_joslim.search.generation_search import GenerationSearch

# Targets if none are given, evenly spaced in cost, the smallest network's the last.
_TARGETS = 5


class GreedySearch(GenerationSearch):
    """Ask/tell engine that goes from the full network down to each target cost.

    In each round every group that can be is shrunk by one step; these networks, one a group, are a
    generation. The one with the least `max(loss - loss now, 0) / (cost now - cost)` is where the
    next round starts: of several that lose nothing, the one that saves most. A network that
    saves nothing is taken only if none does, by the least loss. With g groups that is in the
    order of g / step rounds and g^2 / step networks; nothing is drawn at random.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`; the full network's is
            above 0.
        targets: costs to reach, in parts of the full network's, in (0, 1]; `None` is five, evenly
            spaced from the full network's cost (left out) to the smallest one's.
        step: how far a group shrinks in a round, in parts of its legal range, in (0, 1]; at
            least to the next legal width, and never further than the range and the ordering
            constraints allow.

    Attributes:
        history: the `History` of all widths asked, losses NaN until told.

    Raises:
        ValueError: a space without channel groups; a target out of range, or below the cost of the
            smallest network; a step out of range.

    Example:

    >>> engine = GreedySearch(space, cost, targets=(0.5, 0.25))
    >>> while not engine.done:
    ...     widths = engine.ask(8)
    ...     engine.tell([measure(w) for w in engine.history.widths])
    >>> engine.chosen[0.5]

    Source: Yu and Huang, AutoSlim (arXiv 1903.11728), section 3, where every step is of equal cost
    and the accuracy alone decides.
    """

    def __init__(self, space, cost, targets=None, step=0.1):
        step = float(step)
        if not 0.0 < step <= 1.0:
            raise ValueError(
                f"step is a part of a group's legal range, in (0, 1]. Received: step={step}"
            )
        super().__init__(space, cost, {"step": step})
        self._path = []
        self._full_cost, least = self._costs(np.stack([space.full, space.smallest]))
        if self._full_cost <= 0:
            raise ValueError(
                "Targets are parts of the full network's cost, so that must be above 0. "
                f"Received: cost={self._full_cost:g}"
            )
        self._settings["targets"] = _checked(targets, float(least / self._full_cost))

    @property
    def path(self):
        """Networks gone through, the full one first: int32 `(k, groups)`."""
        return self.history.widths[self._path]

    @property
    def chosen(self):
        """Dict of the targets reached so far: target -> widths, int32 `(groups,)`.

        For each the first network on the path that costs no more.
        """
        path, shares = self.path, self._shares()
        return {
            target: path[np.argmax(shares <= target)]
            for target in self._settings["targets"]
            if (shares <= target).any()
        }

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        return super().state() | {"path": list(self._path)}

    def _take_up(self, state, history):
        path = [int(entry) for entry in state["path"]]
        if any(not 0 <= entry < len(history) for entry in path):
            raise ValueError(
                f"The path names entries that the history of {len(history)} does not have. "
                f"Received: path={path}"
            )
        super()._take_up(state, history)
        self._path = path

    def _first(self):
        return self.space.full[None]

    def _next(self):
        entries = self._entries(self._members)
        self._path.append(int(entries[self._best(entries)] if self._path else entries[0]))
        if self._shares()[-1] <= min(self._settings["targets"]):
            return np.empty((0, len(self.space)), np.int32)
        return self._shrunk(self.history.widths[self._path[-1]])

    def _best(self, entries):
        """Which of the shrunk networks to go on from."""
        losses, costs, now = self.history.losses, self.history.costs, self._path[-1]
        lost = np.maximum(losses[entries] - losses[now], 0.0)
        saved = costs[now] - costs[entries]
        if not (saved > 0).any():
            # Such as a group that has no part in a peak of memory: its turn must come.
            return int(np.argmin(losses[entries]))
        price = np.where(saved > 0, lost / np.where(saved > 0, saved, 1.0), math.inf)
        return int(np.lexsort((-saved, price))[0])

    def _shrunk(self, widths):
        """Each group one step narrower, `(k, groups)`.

        The ordering raises a group that would fall below one that feeds it, at most to where it is.
        Of the groups that are not at their smallest, one is fed by none of the others, so that
        one shrinks: every path ends at the smallest network.
        """
        rows = []
        for group in self.space.searchable:
            legal, row = self.space.legal[group], np.array(widths)
            step = max(1, round(self._settings["step"] * (len(legal) - 1)))
            row[group] = legal[max(0, np.searchsorted(legal, widths[group]) - step)]
            row = self.space.canonical(row)
            if row[group] < widths[group]:
                rows.append(row)
        return np.array(rows, np.int32)

    def _shares(self):
        """Costs along the path in parts of the full network's."""
        return self.history.costs[self._path] / self._full_cost


def _checked(targets, least):
    """Targets as a list of floats; `least` is the smallest network's share of the full cost."""
    if targets is None:
        return np.linspace(1.0, least, _TARGETS + 1)[1:].tolist()
    targets = np.ravel(targets).astype(np.float64).tolist()
    if not targets:
        raise ValueError("Expected at least one target. Received: targets=[]")
    for target in targets:
        if not 0.0 < target <= 1.0:
            raise ValueError(
                "Targets are parts of the full network's cost, in (0, 1]. "
                f"Received: {target} in targets={targets}"
            )
        if target < least:
            raise ValueError(
                f"The smallest network costs {least:.4g} of the full one, so no target below that "
                f"can be reached. Received: {target} in targets={targets}"
            )
    return targets
