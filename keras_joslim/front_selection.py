"""Which points of a front to ship: all, its knees, or the few that say most of it."""

import re

import numpy as np

# A knee: beyond it a further bit of cost buys at most so much of what it bought before.
_DROP = 0.5


def select(front, wanted):
    """See `ParetoFront.select`."""
    names = [point.name for point in front]
    costs = np.array([point.costs[front.cost] for point in front], float)
    losses = np.array([point.validation["loss"] for point in front], float)
    if wanted == "all":
        chosen = range(len(names))
    elif wanted == "knees":
        chosen = knees(losses, costs)
    elif isinstance(wanted, str) and (budget := re.fullmatch(r"budget:([0-9]+)", wanted)):
        if int(budget[1]) < 1:
            raise ValueError(f"A budget is of 1 point or more. Received: points={wanted!r}")
        chosen = best_subset(losses, costs, int(budget[1]))
    else:
        listed = wanted.split(",") if isinstance(wanted, str) else list(wanted)
        unknown = [name for name in listed if name not in names]
        if unknown or not listed:
            raise ValueError(
                'Expected "all", "knees", "budget:<n>" or names of points out of '
                f"{', '.join(names)}. Received: points={wanted!r}"
            )
        chosen = [i for i, name in enumerate(names) if name in listed]
    return [names[i] for i in chosen]


def knees(losses, costs):
    """The points at which more cost begins to buy much less, and both ends.

    They lie on the lower convex hull; at a knee the loss that a unit of cost buys falls to half
    or less. Units do not matter.

    Args:
        losses: descending, `(n,)`.
        costs: ascending, `(n,)`.

    Returns:
        A list of indices, ascending.

    Example:

    >>> knees([1.0, 0.5, 0.4, 0.3], [1, 2, 3, 4])
    [0, 1, 3]
    """
    hull = []
    for i in range(len(costs)):
        while len(hull) > 1 and _rate(losses, costs, hull[-2], hull[-1]) <= _rate(
            losses, costs, hull[-1], i
        ):
            hull.pop()
        hull.append(i)
    inner = [
        b
        for a, b, c in zip(hull, hull[1:], hull[2:])
        if _rate(losses, costs, b, c) <= _DROP * _rate(losses, costs, a, b)
    ]
    return sorted({hull[0], *inner, hull[-1]})


def _rate(losses, costs, a, b):
    """Loss that a unit of cost buys between two points."""
    return (losses[a] - losses[b]) / (costs[b] - costs[a])


def best_subset(losses, costs, count):
    """The points that together dominate most: both ends, and those of largest hypervolume.

    The reference is the loss of the first and the cost of the last point, pushed out by a tenth
    of the range. Exact, by dynamic programming along the front. A single one is the point that
    dominates most by itself.

    Args:
        losses: descending, `(n,)`.
        costs: ascending, `(n,)`.
        count: how many; all if there are not more.

    Returns:
        A list of indices, ascending.

    Example:

    >>> best_subset([1.0, 0.5, 0.45, 0.4], [1, 2, 3, 4], 2)
    [0, 3]
    """
    losses, costs = np.asarray(losses, float), np.asarray(costs, float)
    size = len(costs)
    if count >= size:
        return list(range(size))
    worst = losses[0] + 0.1 * (losses[0] - losses[-1])
    dearest = costs[-1] + 0.1 * (costs[-1] - costs[0])
    # best[i]: area that is dominated by the subsets ending in i; each point adds the strip from
    # its own loss up to that of the point before it.
    best = (worst - losses) * (dearest - costs)
    if count == 1:
        return [int(best.argmax())]
    best[1:] = -np.inf
    before = []
    for _ in range(count - 1):
        gain = (losses[:, None] - losses[None]) * (dearest - costs[None])
        total = np.where(np.tri(size, k=-1, dtype=bool).T, best[:, None] + gain, -np.inf)
        before.append(total.argmax(axis=0))
        best = total.max(axis=0)
    chosen = [size - 1]
    for step in reversed(before):
        chosen.append(int(step[chosen[-1]]))
    return chosen[::-1]
