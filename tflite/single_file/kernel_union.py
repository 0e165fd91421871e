"""The one kernel that the kernels of several sub-networks are slices of.

Each sub-network of a slimmable network holds a copy of some channels of every kernel. Which ones
is read off the values: mostly the first channels, but after a concatenation or a Flatten any
ascending set of them.
"""

import numpy as np


class NotSlicesError(ValueError):
    """Kernels that are not slices of one kernel."""


def union(kernels):
    """The smallest kernel of which all of `kernels` are slices.

    Args:
        kernels: dict point -> float array; all of one rank, of finite values.

    Returns:
        The array, NaN where no point knows the value, and a dict point -> tuple of ascending int
        arrays, one an axis: `array[np.ix_(*maps[point])]` equals `kernels[point]`.

    Raises:
        NotSlicesError: they do not fit into one.

    Example:

    >>> whole, maps = union({"wide": kernel, "narrow": kernel[:, :, :5, :3]})
    >>> [len(axis) for axis in maps["narrow"]]
    [3, 3, 5, 3]
    """
    ordered = sorted(kernels, key=lambda point: -kernels[point].size)
    whole = kernels[ordered[0]].copy()
    maps = {ordered[0]: tuple(np.arange(size) for size in whole.shape)}
    for point in ordered[1:]:
        kernel = kernels[point]
        if kernel.ndim != whole.ndim:
            raise NotSlicesError(f"ranks {kernel.ndim} and {whole.ndim}")
        places = _prefix_places(whole, kernel)
        if places is None:
            places = _voted_places(whole, kernel)
        whole, moved, own = _grown(whole, places)
        maps = {
            name: tuple(move[axis] for move, axis in zip(moved, axes, strict=True))
            for name, axes in maps.items()
        }
        maps[point] = own
        here = np.ix_(*own)
        known = ~np.isnan(whole[here])
        if not (whole[here][known] == kernel[known]).all():
            raise NotSlicesError(f"values differ between {ordered[0]!r} and {point!r}")
        whole[here] = kernel
    return whole, {point: maps[point] for point in kernels}


def _prefix_places(whole, kernel):
    """The places if the kernel is, as far as both reach, the first channels; else None.

    A place is the index in `whole` along an axis, -1 of a channel that it does not have.
    """
    common = tuple(slice(min(sizes)) for sizes in zip(whole.shape, kernel.shape, strict=True))
    known = ~np.isnan(whole[common])
    if not (whole[common][known] == kernel[common][known]).all():
        return None
    return [
        np.where(np.arange(mine) < theirs, np.arange(mine), -1)
        for mine, theirs in zip(kernel.shape, whole.shape, strict=True)
    ]


def _voted_places(whole, kernel):
    """The places by vote: each value found in `whole` says where its channels are."""
    flat = whole.ravel()
    values, first, counts = np.unique(flat, return_index=True, return_counts=True)
    # A value that stands in several places, zero above all, tells nothing.
    telling = (counts == 1) & ~np.isnan(values) & (values != 0)
    values, first = values[telling], first[telling]
    if not len(values):
        raise NotSlicesError("no value stands in one place only")
    found = np.minimum(np.searchsorted(values, kernel.ravel()), len(values) - 1)
    hits = np.flatnonzero(values[found] == kernel.ravel())
    if not len(hits):
        raise NotSlicesError("no value in common")
    here = np.unravel_index(hits, kernel.shape)
    there = np.unravel_index(first[found[hits]], whole.shape)
    return [
        _elected(mine, theirs, size)
        for mine, theirs, size in zip(here, there, kernel.shape, strict=True)
    ]


def _elected(mine, theirs, size):
    """For each of `size` channels the place that most of its votes are for, -1 without a vote."""
    pairs, votes = np.unique(np.stack([mine, theirs]), axis=1, return_counts=True)
    places, best, cast = np.full(size, -1), np.zeros(size, int), np.zeros(size, int)
    np.add.at(cast, pairs[0], votes)
    for (channel, place), count in zip(pairs.T, votes, strict=True):
        if count > best[channel]:
            best[channel], places[channel] = count, place
    # A stray equal value is no majority.
    places[2 * best <= cast] = -1
    known = places[places >= 0]
    if (np.diff(known) <= 0).any():
        raise NotSlicesError("channels in another order")
    return places


def _grown(whole, places):
    """`whole` with room for the channels that have no place in it yet.

    Returns:
        The array, for each axis where the old channels went, and where the new kernel's are.
    """
    moved, own, shape = [], [], []
    for place, size in zip(places, whole.shape, strict=True):
        # A new channel stands behind the one before it.
        anchors = np.maximum.accumulate(place)
        new = np.flatnonzero(place < 0)
        keys = [(old, -1) for old in range(size)] + [(anchors[i], i) for i in new]
        rank = {key: position for position, key in enumerate(sorted(keys))}
        moved.append(np.array([rank[old, -1] for old in range(size)], int))
        own.append(
            np.array([rank[(p, -1) if p >= 0 else (anchors[i], i)] for i, p in enumerate(place)])
        )
        shape.append(len(keys))
    grown = np.full(shape, np.nan, whole.dtype)
    grown[np.ix_(*moved)] = whole
    return grown, moved, tuple(own)
