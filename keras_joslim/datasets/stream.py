"""Batches as a pure function of (seed, step), so that a resumed run sees the same ones."""

import numpy as np
import tensorflow as tf


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
        if not _is_whole(batch_size) or not 1 <= batch_size <= len(labels):
            raise ValueError(
                "batch_size must be at least 1 and at most the number of images. "
                f"Received: batch_size={batch_size!r}, images={len(labels)}"
            )
        if not _is_whole(seed) or seed < 0:
            raise ValueError(f"seed must be a whole number from 0. Received: seed={seed!r}")
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

    def from_step(self, step):
        """The batches from number `step` on.

        Args:
            step: int, at least 0: the number of batches that were used before.

        Returns:
            An endless `tf.data.Dataset` of (images, labels), batches of static size. Its
            element k is the batch number `step + k`, whatever `step` it was started from.

        Raises:
            ValueError: a step below 0.
        """
        if not _is_whole(step) or step < 0:
            raise ValueError(f"step must be a whole number from 0. Received: step={step!r}")
        epoch, skipped = divmod(int(step), self.steps_per_epoch)
        orders = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(self._epoch)
        # Skipping passes over indices only: no image is read for it.
        return orders.skip(skipped).map(self._batch).prefetch(4)

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

    def _batch(self, step, indices):
        images = tf.gather(self._images, indices)
        if self.augment is not None:
            static = images.shape
            images = self.augment(images, tf.stack([np.int64(self.seed), step]))
            images = tf.ensure_shape(images, static)
        return images, tf.gather(self._labels, indices)


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
    if not _is_whole(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size!r}")
    with tf.device("CPU:0"):
        images, labels = tf.convert_to_tensor(split.images), tf.convert_to_tensor(split.labels)

    def part(start):
        return images[start : start + batch_size], labels[start : start + batch_size]

    return tf.data.Dataset.range(0, len(split), batch_size).map(part).prefetch(4)


def _is_whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
