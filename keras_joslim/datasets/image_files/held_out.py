"""Which training images are held out for validation: by a hash of their names, for good."""

import hashlib

import numpy as np


def held_out(keys, validation):
    """Parts of a training set: those to validate on, and the rest.

    Whether an image is held out by a share depends on its name alone: not on the seed of a run,
    not on the other images. So it stays where it is when files are added, and in whatever
    form the same images are stored.

    Args:
        keys: names of the images, such as "n01440764/n01440764_10026".
        validation: a share of them, above 0 and below 1; or how many, a whole number from 1.

    Returns:
        Two int64 arrays of places in `keys`: validation, train. Each in the order of the hashes,
        so that any first part of it holds all classes.

    Raises:
        ValueError: something else, or nothing left for one of the two.

    Example:

    >>> validation, train = held_out([f"cat/{i}" for i in range(1000)], 0.1)
    """
    count = len(keys)
    number = isinstance(validation, (int, float)) and not isinstance(validation, bool)
    if not number or not (0 < validation < 1 or validation >= 1 and validation == int(validation)):
        raise ValueError(
            "validation is a share of the training images, above 0 and below 1, or a whole number "
            f"of them. Received: validation={validation!r}"
        )
    hashes = np.fromiter(map(_hash, keys), np.uint64, count)
    order = np.argsort(hashes, kind="stable")
    if validation < 1:
        held = int(np.searchsorted(hashes[order], np.uint64(validation * 2.0**64)))
    else:
        held = int(validation)
    if not 0 < held < count:
        raise ValueError(
            "validation must hold out one training image or more, and leave some to train on. "
            f"Received: validation={validation!r}, which is {held} of {count} images"
        )
    return order[:held], order[held:]


def mixed(keys):
    """All places in `keys`, in the order of the hashes of the names."""
    return np.argsort(np.fromiter(map(_hash, keys), np.uint64, len(keys)), kind="stable")


def _hash(key):
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
