"""Augmentation of a whole batch that depends on nothing but the images and a seed."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class CropAndFlip:
    """Shifts each image of a batch at random, and mirrors half of them.

    Each image is padded with zeros (the mean colour, where images are normalised) and a
    window of the first size is cut out at random; then it is mirrored left to right with
    probability one half. He et al., "Deep Residual Learning for Image Recognition", 4.2.

    Args:
        padding: pixels of zeros on each side, 0 for no shifts.
        flip: whether to mirror.

    Raises:
        ValueError: a negative or fractional padding.

    Example:

    >>> CropAndFlip(padding=1, flip=False)(tf.ones((2, 8, 8, 1)), seed=(0, 7)).shape
    TensorShape([2, 8, 8, 1])
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self):
        if isinstance(self.padding, bool) or not isinstance(self.padding, int) or self.padding < 0:
            raise ValueError(
                "padding is a whole number of pixels, 0 for no shifts. "
                f"Received: padding={self.padding!r}"
            )

    def __call__(self, images, seed):
        """The augmented batch.

        Args:
            images: shape `(n, height, width, channels)`.
            seed: two ints, such as (seed, step); the same pair gives the same result.

        Returns:
            A tensor of the shape and type of `images`.
        """
        if not self.padding and not self.flip:
            return images
        count, height, width = tf.unstack(tf.shape(images)[:3])
        seeds = tf.random.split(tf.cast(seed, tf.int64), 3, alg="philox")
        columns = tf.tile(tf.range(width)[None], (count, 1))
        if self.flip:
            mirrored = _uniform(seeds[0], count, 2) == 1
            columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
        if self.padding:
            side = (self.padding, self.padding)
            images = tf.pad(images, ((0, 0), side, side, (0, 0)))
            positions = 2 * self.padding + 1
            rows = tf.range(height) + _uniform(seeds[1], count, positions)[:, None]
            columns += _uniform(seeds[2], count, positions)[:, None]
            images = tf.gather(images, rows, axis=1, batch_dims=1)
        # An image at a time: rows first, as these are contiguous, then columns.
        return tf.gather(images, columns, axis=2, batch_dims=1)


def crop_and_flip(padding=4, flip=True):
    """`CropAndFlip(padding, flip)`: what `Stream(..., augment=)` takes."""
    return CropAndFlip(padding, flip)


def _uniform(seed, count, positions):
    """Whole numbers from 0 to `positions - 1`; the algorithm is named, as devices differ."""
    return tf.random.stateless_uniform((count,), seed, 0, positions, tf.int32, alg="philox")
