"""The first widths of a search: uniform multipliers, well spread, both ends first."""

import numpy as np

# Draws of random widths before the rest is taken from neighbours of those already there.
_DRAWS = 32


def prior_points(space, count, rng):
    """Distinct canonical widths to evaluate before there is a surrogate.

    Args:
        space: the `WidthSpace`.
        count: how many, at least 1.
        rng: `numpy.random.Generator`, used only where uniform multipliers do not suffice.

    Returns:
        int32 `(k, groups)`, k = count, or the number of legal width vectors if that is less: first
        the full network, then the smallest, then uniform-multiplier widths in an order in
        which each one is as far from those before as can be, so that any beginning of
        the list is spread over the costs. If there are fewer distinct uniform-multiplier widths
        than `count`, random legal ones follow.
    """
    rows, multipliers = _uniform_widths(space)
    chosen = rows[_spread(multipliers, min(count, len(rows)))]
    seen = {row.tobytes() for row in chosen}
    chosen = list(chosen)
    for _ in range(_DRAWS):
        if len(chosen) >= count:
            break
        _extend(chosen, seen, space.sample(rng, 2 * count), count)
    while len(chosen) < count:
        before = len(chosen)
        _extend(chosen, seen, neighbours(space, np.array(chosen)), count)
        if len(chosen) == before:
            break
    return np.array(chosen, np.int32)


def neighbours(space, widths):
    """All widths one legal step from the given ones, in one group.

    The legal width vectors are connected by such steps, ordering constraints or not (widen the
    groups one after the other, the wide side of each constraint first, and every vector reaches
    the full network): a set that contains all of its neighbours is the whole space.

    Args:
        space: the `WidthSpace`.
        widths: canonical widths, `(n, groups)`.

    Returns:
        int32 `(m, groups)`, canonical; repetitions and the given widths may be among them.
    """
    result = [np.empty((0, len(space)), np.int32)]
    for group in space.searchable:
        legal = space.legal[group]
        place = np.searchsorted(legal, widths[:, group])
        for step in (-1, 1):
            inside = (place + step >= 0) & (place + step < len(legal))
            moved = np.array(widths[inside], np.int32)
            moved[:, group] = legal[place[inside] + step]
            result.append(space.canonical(moved))
    return np.concatenate(result)


def _extend(chosen, seen, rows, count):
    """Appends the new ones of `rows` until there are `count`."""
    for row in rows:
        if len(chosen) < count and row.tobytes() not in seen:
            seen.add(row.tobytes())
            chosen.append(row)


def _uniform_widths(space):
    """All distinct uniform-multiplier widths, smallest first, and a multiplier of each."""
    # A group changes its width where the multiplier crosses the middle of two legal widths.
    crossings = [(legal[1:] + legal[:-1]) / (2.0 * legal[-1]) for legal in space.legal]
    edges = np.unique(np.concatenate([[space.min_multiplier], *crossings, [1.0]]))
    middles = (edges[1:] + edges[:-1]) / 2.0
    multipliers = np.concatenate([[space.min_multiplier], middles, [1.0]])
    rows = space.from_multipliers(multipliers[:, None] * np.ones(len(space)))
    # The rows ascend, so equal ones are neighbours.
    new = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))
    multipliers = multipliers[new]
    multipliers[-1] = 1.0
    return rows[new], multipliers


def _spread(multipliers, count):
    """Indices of `count` of the ascending multipliers, evenly spaced, farthest-first."""
    last = len(multipliers) - 1
    chosen, previous = [], -1
    for k, target in enumerate(np.linspace(1.0, multipliers[0], count)):
        # Counted from the full network down; each leaves enough for those to come.
        nearest = last - int(np.argmin(np.abs(multipliers - target)))
        previous = min(max(nearest, previous + 1), last - (count - 1 - k))
        chosen.append(last - previous)
    waiting = chosen[1:-1]
    order = chosen[:1] + (chosen[-1:] if count > 1 else [])
    while waiting:
        gaps = np.abs(multipliers[waiting][:, None] - multipliers[order][None, :]).min(axis=1)
        order.append(waiting.pop(int(np.argmax(gaps))))
    return order
