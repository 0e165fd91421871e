"""AutoSlim's greedy search: from the full network, shrink what costs least loss per cost."""

import numpy as np

from keras_joslim.search.generation_search import GenerationSearch


class GreedySearch(GenerationSearch):
    """Ask/tell engine that walks from the full network down to each target cost.

    Each round shrinks every group by one step, one network a group; the one that loses least
    per cost saved, `(loss - loss now) / (cost now - cost)`, is gone on from.

    Args:
        space: the `WidthSpace`.
        cost: an exact function of widths.
        targets: costs to reach, as parts of the full network's, in (0, 1]; five evenly spaced
            ones down to the smallest network's if `None`.
        step: how far a group shrinks at once, as a part of its legal widths; at least one.

    Attributes:
        path: int32 `(k, groups)`, the networks gone through, the full one first.
        chosen: dict, target -> widths of the first network of the path that costs no more.

    Raises:
        ValueError: a target out of range, or below the smallest network's cost, or a step out
            of range.

    Example:

    >>> engine = GreedySearch(space, cost, targets=(0.5, 0.25))
    >>> while not engine.done:
    ...     engine.ask(8)
    ...     engine.tell([measure(w) for w in engine.history.widths])
    >>> engine.chosen[0.5]

    Source: Yu and Huang, AutoSlim (arXiv 1903.11728), section 3; there the accuracy alone decides
    and the steps cost the same.
    """

    def __init__(self, space, cost, targets=None, step=0.1):
        if not 0.0 < step <= 1.0:
            raise ValueError(
                f"step is a part of the legal widths, in (0, 1]. Received: step={step}"
            )
        if len(space):
            least, full = (float(c) for c in cost(np.stack([space.smallest, space.full])))
            targets = _checked(targets, least / full)
            self._full_cost = full
        super().__init__(space, cost, {"targets": targets, "step": float(step)})

    @property
    def path(self):
        return np.array(self._path, np.int32)

    @property
    def chosen(self):
        ratios = self._costs(self.path) / self._full_cost
        result = {}
        for target in self._settings["targets"]:
            reached = np.flatnonzero(ratios <= target + 1e-12)
            if len(reached):
                result[target] = self.path[reached[0]]
        return result

    def _first(self):
        self._path, self._loss = [], None
        return self.space.full[None]

    def _next(self, generation, losses):
        costs = self._costs(generation)
        best = 0
        if self._path:
            saved = self._costs(self._path[-1][None])[0] - costs
            saving = np.flatnonzero(saved > 0)
            # Of a peak of memory, say, a group may be no part: if none saves anything, the one
            # whose loss is least is as good as free.
            best = int(np.argmin(losses))
            if len(saving):
                best = int(saving[np.argmin((losses - self._loss)[saving] / saved[saving])])
        self._path.append(generation[best])
        self._loss = losses[best]
        if costs[best] <= (min(self._settings["targets"]) + 1e-12) * self._full_cost:
            return None
        return self._shrunk(generation[best])

    def _shrunk(self, widths):
        """Each group one step smaller, as far as the ordering constraints let it."""
        space, rows = self.space, []
        for group in space.searchable:
            legal = space.legal[group]
            step = max(1, round(self._settings["step"] * (len(legal) - 1)))
            place = int(np.searchsorted(legal, widths[group]))
            row = np.array(widths)
            row[group] = legal[max(place - step, 0)]
            # A group that must not be below another one is raised to it again. The others are
            # legal as they are, and the narrowest of an ordering can always shrink.
            row = space.canonical(row)
            if (row < widths).any():
                rows.append(row)
        return np.array(rows, np.int32)


def _checked(targets, least):
    if targets is None:
        return np.linspace(1.0, least, 6)[1:].tolist()
    targets = [float(target) for target in np.ravel(targets)]
    for target in targets:
        if not 0.0 < target <= 1.0:
            raise ValueError(
                "Targets are parts of the full network's cost, in (0, 1]. "
                f"Received: {target} in targets={targets}"
            )
        if target < least - 1e-12:
            raise ValueError(
                f"The smallest network has {least:.4f} of the full network's cost: no target below "
                f"that can be reached. Received: {target} in targets={targets}"
            )
    if not targets:
        raise ValueError("Expected at least one target. Received: targets=[]")
    return targets
