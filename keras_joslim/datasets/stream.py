"""Batches as a pure function of (seed, step), so that a resumed run sees the same ones."""

import numpy as np
import tensorflow as tf

from keras_joslim.datasets.stream_arguments import (
    check_step,
    check_stream,
    is_whole,
    worker_part,
)


class Stream:
    """Endless training batches, each determined by the seed and its number alone.

    Epoch `e` runs through the images in the order
    `numpy.random.default_rng([seed, e]).permutation(n)`; images that do not fill a last
    batch are left out of that epoch. Augmentation is seeded by `(seed, step)`. So the data
    position of a run is one int, the step.

    Args:
        images: shape `(n, height, width, channels)`; not copied batch by batch beforehand,
            so memory stays at one set of images.
        labels: shape `(n,)`.
        batch_size: images a batch, at most `n`.
        seed: int, at least 0.
        augment: a function `(images, seed) -> images` on a batch of tensors, such as
            `crop_and_flip()`, where `seed` is the pair (seed, step); or None.

    Raises:
        ValueError: lengths that differ, a batch size or seed out of range.

    Example:

    >>> stream = Stream(np.zeros((100, 8, 8, 1)), np.arange(100), batch_size=32, seed=0)
    >>> stream.steps_per_epoch
    3
    >>> images, labels = next(iter(stream.from_step(41)))
    """

    def __init__(self, images, labels, batch_size, seed, augment=None):
        if len(images) != len(labels):
            raise ValueError(
                "Every image needs one label. "
                f"Received: len(images)={len(images)}, len(labels)={len(labels)}"
            )
        check_stream(batch_size, seed, len(labels))
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment must be a function of (images, seed), such as "
                f"`datasets.crop_and_flip()`, or None. Received: augment={augment!r}"
            )
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.augment = augment
        # tf.data runs on the host, whatever else the machine has.
        with tf.device("CPU:0"):
            self._images = tf.convert_to_tensor(images)
            self._labels = tf.convert_to_tensor(labels)

    @property
    def steps_per_epoch(self):
        """Number of whole batches in an epoch."""
        return len(self._labels) // self.batch_size

    def from_step(self, step, worker=0, workers=1):
        """The batches from number `step` on, or one worker's part of each.

        Args:
            step: int, at least 0: the number of batches that were used before.
            worker, workers: worker `worker` of `workers` gets the `worker`-th of as many equal
                parts of each batch, its images augmented as they are in the whole batch.

        Returns:
            An endless `tf.data.Dataset` of (images, labels), batches of static size. Its
            element k is (the part of) the batch number `step + k`, whatever `step` it was
            started from.

        Raises:
            ValueError: a step below 0, a worker that there is not, a batch that cannot be divided.
        """
        check_step(step)
        part = worker_part(self.batch_size, worker, workers)
        epoch, skipped = divmod(int(step), self.steps_per_epoch)
        orders = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(self._epoch)
        # Skipping passes over indices only: no image is read for it.
        batches = orders.skip(skipped).map(lambda step, indices: self._batch(step, indices, part))
        return batches.prefetch(4)

    def _epoch(self, epoch):
        """A dataset of (step, indices of the images) over one epoch."""
        shape = (self.steps_per_epoch, self.batch_size)
        indices = tf.numpy_function(self._order, [epoch], tf.int64, stateful=False)
        steps = epoch * self.steps_per_epoch + tf.range(self.steps_per_epoch, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((steps, tf.ensure_shape(indices, shape)))

    def _order(self, epoch):
        order = np.random.default_rng([self.seed, int(epoch)]).permutation(len(self._labels))
        used = self.steps_per_epoch * self.batch_size
        return order[:used].reshape(-1, self.batch_size).astype(np.int64)

    def _batch(self, step, indices, part):
        if self.augment is None:
            indices, part = indices[part], slice(None)
        images = tf.gather(self._images, indices)
        if self.augment is not None:
            # Of a part too the whole batch is: what befalls an image depends on its place there.
            static = images.shape
            images = self.augment(images, tf.stack([np.int64(self.seed), step]))
            images = tf.ensure_shape(images, static)
        return images[part], tf.gather(self._labels, indices)[part]


def batches(split, batch_size):
    """All of a split once, in its order, not augmented: to evaluate, to calibrate BatchNorm.

    Args:
        split: a `Split`.
        batch_size: images a batch; the last batch holds what is left.

    Returns:
        A `tf.data.Dataset` of (images, labels) that knows its length.

    Raises:
        ValueError: a batch size below 1.

    Example: `model.evaluate(batches(data.validation, 256))`
    """
    if not is_whole(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size!r}")
    with tf.device("CPU:0"):
        images, labels = tf.convert_to_tensor(split.images), tf.convert_to_tensor(split.labels)

    def part(start):
        return images[start : start + batch_size], labels[start : start + batch_size]

    return tf.data.Dataset.range(0, len(split), batch_size).map(part).prefetch(4)
