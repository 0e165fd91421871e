"""Fronts of (loss, cost) points, both minimised: domination, hypervolume, gap areas.

A point is *dominated* if another one is no worse in both and better in one. Two points that are
equal in both do not dominate each other: widths that differ may well tie.
"""

import numpy as np


def non_dominated(losses, costs):
    """Which points no other point dominates.

    Args:
        losses: numbers, `(n,)`.
        costs: numbers, `(n,)`, in any unit.

    Returns:
        A bool mask, `(n,)`. Points equal in both are kept or dropped together.

    Raises:
        ValueError: shapes that differ; NaN or infinite values, named by their index.

    Example:

    >>> non_dominated([0.3, 0.2, 0.4], [1, 2, 2])
    array([ True,  True, False])
    """
    losses, costs = _points(losses, costs)
    mask = np.zeros(len(losses), bool)
    order = np.lexsort((losses, costs))
    losses, costs = losses[order], costs[order]
    # In order of cost, then loss: a point is on the front if its loss is below all losses at
    # smaller costs and equal to the first, thus lowest, loss of its own cost.
    first = np.searchsorted(costs, costs, side="left")
    best = np.concatenate([[np.inf], np.minimum.accumulate(losses)])
    mask[order] = (losses == losses[first]) & (losses < best[first])
    return mask


def front_indices(losses, costs):
    """Indices of the non-dominated points by ascending cost, the first one of each tie.

    Args:
        losses: numbers, `(n,)`.
        costs: numbers, `(n,)`, in any unit.

    Returns:
        int64 indices; along them costs strictly ascend and losses strictly descend.

    Example:

    >>> front_indices([0.1, 0.3, 0.1, 0.2], [3, 1, 3, 2])
    array([1, 3, 0])
    """
    losses, costs = _points(losses, costs)
    kept = np.flatnonzero(non_dominated(losses, costs))
    _, first = np.unique(costs[kept], return_index=True)
    return kept[first]


def hypervolume(losses, costs, reference):
    """The area that the points dominate, up to a reference point.

    Args:
        losses: numbers, `(n,)`.
        costs: numbers, `(n,)`.
        reference: `(loss, cost)`, the upper corner. Points that are not below it in both add
            nothing.

    Returns:
        A float in units of loss times cost; 0.0 without points.

    Raises:
        ValueError: shapes that differ; NaN or infinite values; a reference that is not a pair.

    Example:

    >>> hypervolume([1.0, 2.0], [2.0, 1.0], reference=(3.0, 3.0))
    3.0
    """
    corner = np.asarray(reference, np.float64)
    if corner.shape != (2,) or not np.isfinite(corner).all():
        raise ValueError(
            f"The reference must be two numbers, (loss, cost). Received: reference={reference}"
        )
    losses, costs = _points(losses, costs)
    inside = (losses < corner[0]) & (costs < corner[1])
    losses, costs = losses[inside], costs[inside]
    front = front_indices(losses, costs)
    # One slab a point: from its cost to the next one's, as high as its loss allows.
    ends = np.append(costs[front][1:], corner[1])
    return float(np.sum((ends - costs[front]) * (corner[0] - losses[front])))


def gap_areas(losses, costs):
    """The area of each gap between neighbours of the front.

    Args:
        losses: numbers, `(n,)`.
        costs: numbers, `(n,)`.

    Returns:
        float64 `(k - 1,)` for a front of k points, `(0,)` if k is 0 or 1: between the points
        `i` and `i + 1` of `front_indices`, `(cost[i+1] - cost[i]) * (loss[i] - loss[i+1])`.
        All are positive.

    Example:

    >>> gap_areas([4.0, 2.0, 1.0], [1.0, 2.0, 5.0])
    array([2., 3.])

    Source: PareCO (RealML workshop, ICML 2020), the choice of the next target.
    """
    losses, costs = _points(losses, costs)
    front = front_indices(losses, costs)
    return np.diff(costs[front]) * -np.diff(losses[front])


def _points(losses, costs):
    """Both as float64 vectors of one length, all finite."""
    losses, costs = np.asarray(losses, np.float64), np.asarray(costs, np.float64)
    if losses.ndim != 1 or losses.shape != costs.shape:
        raise ValueError(
            "Expected one loss and one cost a point, both of shape (n,). "
            f"Received: losses.shape={losses.shape}, costs.shape={costs.shape}"
        )
    for name, values in (("loss", losses), ("cost", costs)):
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ValueError(
                f"Every {name} must be a finite number. Received: {name}={values[wrong[0]]} at "
                f"index {wrong[0]}. Leave out the points that have not been evaluated."
            )
    return losses, costs
