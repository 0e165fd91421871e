"""The best widths within a budget: the price of cost that meets it, then small moves."""

import dataclasses
import math

import numpy as np

from keras_joslim.search.whole_number import whole_number

# Prices are tried until the line through the two networks around the budget is a side of the
# convex hull; each one more is a corner of it, so this is never reached.
_MOST_PRICES = 1000
# Pairs of moves whose cost is computed at a time.
_CHUNK = 1024


def widths_within(mrf, scores, budget):
    """The best widths found that cost no more than `budget`; see `WidthMRF.within`.

    Of one network below the budget and one above it, the price `gamma` at which both are worth the
    same is tried next (the secant form of bisection): the minimum there is a better one of
    either, or shows that the two are neighbouring corners of the convex hull. Then, from both,
    the best move of one or two groups is made that ends within the budget, again and again, as long
    as it scores better.

    Args:
        mrf: a `WidthMRF`.
        scores: one array for each group, lower is better.
        budget: a number.

    Returns:
        `ScoredWidths`: `bound` is the Lagrangian dual, `max min score + gamma (cost - budget)`.

    Raises:
        ValueError: no widths cost so little, naming the least cost; a budget that is NaN.
    """
    scores = mrf.checked(scores)
    below, above, bound = _around(mrf, scores, float(budget))
    if above is None:
        return dataclasses.replace(below, bound=bound)
    starts = [start.widths for start in (below, above)]
    found = [_used_up(mrf, scores, float(budget), mrf.places(row[None])[0]) for row in starts]
    best = min((place for place in found if place is not None), key=lambda p: _score(scores, p))
    best = mrf.scored(scores, best, below.gamma)
    # The dual is never above the optimum, but for rounding.
    return dataclasses.replace(best, bound=min(bound, best.score))


def price_of_budget(mrf, scores, budget):
    """The price of cost at which the exact minimum just meets a budget; see `WidthMRF.price`."""
    return _around(mrf, mrf.checked(scores), float(budget))[0].gamma


def widths_over_budgets(mrf, scores, count):
    """The best widths within each of some budgets.

    Args:
        mrf: a `WidthMRF`.
        scores: one array for each group, lower is better.
        count: budgets, evenly spaced from the least cost to that of the full network, at least 1;
            of one, the least.

    Returns:
        int32 `(n, groups)`, n at most `count`: distinct, by ascending cost.
    """
    count = whole_number("count", count, 1)
    least = mrf.minimum([np.zeros(len(values)) for values in scores], 1.0).cost
    budgets = np.linspace(least, max(least, mrf.cost(mrf.space.full)), count)
    found = [widths_within(mrf, scores, budget).widths for budget in budgets]
    distinct = np.unique(found, axis=0)
    return distinct[np.argsort(mrf.cost(distinct), kind="stable")]


def _around(mrf, scores, budget):
    """The corner of the hull in the budget, the next one beyond (`None` if all is), the bound."""
    if math.isnan(budget):
        raise ValueError("The budget is a number, in the unit of the cost. Received: budget=nan")
    cheapest = mrf.minimum([np.zeros(len(values)) for values in scores], 1.0)
    if cheapest.cost > budget:
        raise ValueError(
            "No widths cost so little: the least cost within these legal widths is "
            f"{cheapest.cost:.10g}. Received: budget={budget:.10g}. The widths of least cost are "
            f"{cheapest.widths.tolist()}."
        )
    above = mrf.minimum(scores, 0.0)
    if above.cost <= budget:
        return above, None, above.score
    below = mrf.scored(scores, mrf.places(cheapest.widths[None])[0])
    return _hull_neighbours(mrf, scores, budget, below, above)


def _hull_neighbours(mrf, scores, budget, below, above):
    """The corners of the convex hull around the budget, and the dual bound there."""
    tolerance = 1e-12 * sum(np.ptp(values) + np.abs(values).max() for values in scores)
    bound = -math.inf
    for _ in range(_MOST_PRICES):
        gamma = max((below.score - above.score) / (above.cost - below.cost), 0.0)
        least = mrf.minimum(scores, gamma)
        energy = least.score + gamma * least.cost
        bound = max(bound, energy - gamma * budget)
        if energy >= below.score + gamma * below.cost - tolerance:
            break
        if least.cost <= budget:
            below = least
        else:
            above = least
    return dataclasses.replace(below, gamma=gamma), above, bound


def _used_up(mrf, scores, budget, places):
    """Moves of one group or two while they score better; first of all one into the budget.

    Returns:
        Places, int64 `(groups,)`; `None` if no such move leads into the budget.
    """
    places, cost = np.array(places), float(mrf.costs_at(places[None])[0])
    # So that rounding cannot go on for ever.
    least_gain = 1e-12 * sum(np.abs(values).max() for values in scores)
    while True:
        limit = -least_gain if cost <= budget else math.inf
        moved = _best_move(mrf, scores, budget, places, limit)
        if moved is None:
            return places if cost <= budget else None
        places, cost = moved, float(mrf.costs_at(moved[None])[0])


def _best_move(mrf, scores, budget, places, limit):
    """The network with the best score of those in the budget that differ in one group or two.

    Args:
        limit: only changes of the score below it count.

    Returns:
        Places `(groups,)`, or `None`.
    """
    groups, values = _single_moves(mrf, places)
    if not len(groups):
        return None
    rows = np.tile(places, (len(groups), 1))
    rows[np.arange(len(groups)), groups] = values
    here = float(mrf.costs_at(places[None])[0])
    costs = mrf.costs_at(rows)
    gains = np.array([scores[g][v] - scores[g][places[g]] for g, v in zip(groups, values)])

    best, moved = limit, None
    single = np.where(costs <= budget, gains, math.inf)
    if single.min() < best:
        best, moved = single.min(), rows[single.argmin()]
    for group in np.unique(groups):
        mine, others = np.flatnonzero(groups == group), np.flatnonzero(groups > group)
        pair_gains = np.add.outer(gains[mine], gains[others])
        better = pair_gains < best
        if not better.any():
            continue
        together = mrf.interacting[group, groups[others]]
        # Two groups that share no factor: their changes of the cost add up, so the best score
        # is known at once. Where two share one, the cost of each pair anew, best scores first.
        apart = better & ~together & (np.add.outer(costs[mine] - here, costs[others]) <= budget)
        for pairs in (_best_alone(apart, pair_gains), _sorted(better & together, pair_gains)):
            first, second = pairs
            gained = pair_gains[first, second]
            for start in range(0, len(first), _CHUNK):
                chunk = slice(start, start + _CHUNK)
                both = rows[mine[first[chunk]]]
                moving = others[second[chunk]]
                both[np.arange(len(both)), groups[moving]] = values[moving]
                within = np.flatnonzero(mrf.costs_at(both) <= budget)
                if len(within):
                    if gained[start + within[0]] < best:
                        best, moved = gained[start + within[0]], both[within[0]]
                    break
    return moved


def _single_moves(mrf, places):
    """Every other legal width of every group: arrays of groups and of places."""
    counts = [len(legal) for legal in mrf.space.legal]
    groups = np.repeat(np.arange(len(counts)), counts)
    values = np.concatenate([np.arange(count) for count in counts])
    other = values != places[groups]
    return groups[other], values[other]


def _sorted(mask, gains):
    """Rows and columns where the mask holds, by ascending gain."""
    first, second = np.nonzero(mask)
    order = np.argsort(gains[mask], kind="stable")
    return first[order], second[order]


def _best_alone(mask, gains):
    """Rows and columns of the least gains where the mask holds, those equal to the least."""
    least = gains[mask].min(initial=math.inf)
    return np.nonzero(mask & (gains <= least))


def _score(scores, places):
    return math.fsum(values[place] for values, place in zip(scores, places, strict=True))
