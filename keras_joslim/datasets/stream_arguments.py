"""What streams of batches are made and started with, checked."""

import numpy as np


def check_stream(batch_size, seed, images):
    """Refuses a batch size or a seed that a stream over so many images cannot have.

    Raises:
        ValueError: either is out of range.
    """
    if not is_whole(batch_size) or not 1 <= batch_size <= images:
        raise ValueError(
            "batch_size must be at least 1 and at most the number of images, less those that are "
            "held out. Take a smaller batch_size or more images. "
            f"Received: batch_size={batch_size!r}, images={images}"
        )
    if not is_whole(seed) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0. Received: seed={seed!r}")


def check_step(step):
    """Refuses what is no number of a batch.

    Raises:
        ValueError: it is not.
    """
    if not is_whole(step) or step < 0:
        raise ValueError(f"step must be a whole number from 0. Received: step={step!r}")


def worker_part(batch_size, worker, workers):
    """The places in a batch that are one worker's: the `worker`-th of so many equal parts.

    Returns:
        A slice.

    Raises:
        ValueError: a worker that there is not, a batch that cannot be divided.

    Example:

    >>> worker_part(8, worker=1, workers=2)
    slice(4, 8, None)
    """
    if not is_whole(workers) or workers < 1 or not is_whole(worker) or not 0 <= worker < workers:
        raise ValueError(
            "worker is a whole number from 0 and below workers. "
            f"Received: worker={worker!r}, workers={workers!r}"
        )
    if batch_size % workers:
        raise ValueError(
            "Workers take equal parts of each batch, so their number must divide batch_size. "
            f"Received: batch_size={batch_size}, workers={workers}"
        )
    size = batch_size // workers
    return slice(worker * size, (worker + 1) * size)


def is_whole(value):
    """Whether a value is an int, of Python or numpy."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
