"""Splits a data set by a seed, so that every part holds the classes in the same proportions."""

import numpy as np


def stratified_parts(labels, sizes, seed):
    """Disjoint parts of the indices of `labels`, each with the classes of the whole.

    The members of a class, in random order, are spread evenly over [0, 1); sorted by that
    place, any run of indices holds every class in proportion, so the runs are the parts.

    Args:
        labels: class numbers, shape `(n,)`.
        sizes: how many indices each part gets; what they leave over is in no part.
        seed: int; the same seed gives the same parts.

    Returns:
        A tuple of int64 arrays of these sizes, each in random order (so that data
        sorted by class come out mixed). The count of a class differs from its
        proportion by less than 1 + (number of classes) * (its share of the data); twice
        that in the parts after the first.

    Raises:
        ValueError: a part without images, or parts larger than the whole.

    Example:

    >>> [len(part) for part in stratified_parts([0, 0, 0, 1, 1, 1], (4, 2), seed=0)]
    [4, 2]
    """
    labels = np.asarray(labels)
    if min(sizes) < 1 or sum(sizes) > len(labels):
        raise ValueError(
            "The parts of a data set must have at least one image each and no more than there are "
            f"in all. Received: sizes={tuple(sizes)}, images={len(labels)}"
        )
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(sizes)
    return tuple(
        rng.permutation(order[end - size : end]) for end, size in zip(ends, sizes, strict=True)
    )
