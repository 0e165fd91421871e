"""Augmentation of photographs: a random crop, a mirror image, other light and colours."""

import dataclasses
import math

import tensorflow as tf

# How often a crop is drawn until one fits into the image; then the middle is taken.
_ATTEMPTS = 10
# Brightness of a colour (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
# Principal components of the colours of ImageNet's pixels in [0, 1], and the square roots of their
# variances. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks",
# 4.1, by the numbers that Torch's ResNet training published. A column is a component.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@dataclasses.dataclass(frozen=True)
class PhotoAugmentation:
    """What happens to a training image; every number is a function of (seed, step, position).

    Crop: a share of the area, uniform in `scale`, of a width by height whose logarithm is
    uniform in that of `ratio`, anywhere in the image, becomes the whole image (Szegedy et al.,
    "Going deeper with convolutions", section 6). Mirror: left and right change places with
    probability one half. Jitter: brightness, contrast and saturation are multiplied by three
    numbers, each uniform in [1 - jitter, 1 + jitter]. Lighting: each principal component of the
    colours is added with a normal weight of standard deviation `lighting`.

    Brightness, contrast and saturation are blends with black, with the mean grey of the crop and
    with the grey of each pixel. As nothing is cut off at black or white in between, they give
    the same in any order (so no order is drawn), and are one affine function of a colour
    together with the lighting and the normalisation.

    Args:
        scale: (least, largest) share of the area, each in (0, 1]; MobileNetV3: (0.08, 1).
        ratio: (least, largest) width by height, positive.
        flip: whether to mirror.
        jitter: in [0, 1); 0 for none.
        lighting: from 0; 0 for none.

    Raises:
        ValueError: a number out of its range.

    Example:

    >>> stream = data.train.stream(256, seed=0, augment=PhotoAugmentation(scale=(0.08, 1.0)))
    """

    scale: tuple = (0.25, 1.0)
    ratio: tuple = (3 / 4, 4 / 3)
    flip: bool = True
    jitter: float = 0.4
    lighting: float = 0.1

    def __post_init__(self):
        for name, most in (("scale", 1.0), ("ratio", math.inf)):
            pair = _pair(getattr(self, name))
            if pair is None or not 0 < pair[0] <= pair[1] <= most:
                limit = "in (0, 1]" if name == "scale" else "above 0"
                raise ValueError(
                    f"{name} is the least and the largest, two numbers {limit}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
            object.__setattr__(self, name, pair)
        for name, most in (("jitter", 1.0), ("lighting", math.inf)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 <= value < most:
                limit = "from 0 and below 1" if name == "jitter" else "from 0"
                raise ValueError(f"{name} is a number {limit}. Received: {name}={value!r}")

    def draw(self, seed, count):
        """All that is random in a batch.

        Args:
            seed: two ints, such as (seed, step).
            count: images in the batch.

        Returns:
            A dict of float32 tensors, a row for each image: `crops` `(count, 2, 10)`, heights
            and widths to try, as parts of the square root of the image's area; `place`
            `(count, 2)`, where the crop is put, from 0 (top, left) to 1; `mirrored` `(count,)`,
            1 or 0; `matrix` `(count, 3, 3)`, `offset` `(count, 3)` and `grey` `(count,)`: a
            colour in [0, 255] becomes `colour @ matrix + offset + grey * mean_grey`.
        """
        # The algorithm is named, as devices differ in their own choice.
        seeds = tf.random.split(tf.cast(seed, tf.int64), 2, alg="philox")
        uniform = tf.random.stateless_uniform((count, 2 * _ATTEMPTS + 6), seeds[0], alg="philox")
        normal = tf.random.stateless_normal((count, 3), seeds[1], alg="philox")
        areas, ratios, place, mirrored, jitter = tf.split(
            uniform, (_ATTEMPTS, _ATTEMPTS, 2, 1, 3), axis=1
        )
        area = _between(areas, *self.scale)
        ratio = tf.exp(_between(ratios, *map(math.log, self.ratio)))
        factors = _between(jitter, 1 - self.jitter, 1 + self.jitter)
        brightness, contrast, saturation = tf.unstack(factors[..., None, None], axis=1)
        luma = tf.constant(LUMA)[:, None]
        weights = self.lighting * normal * tf.constant(EIGENVALUES)
        return {
            "crops": tf.sqrt(tf.stack([area / ratio, area * ratio], 1)),
            "place": place,
            "mirrored": tf.cast(mirrored[:, 0] < (0.5 if self.flip else 0.0), tf.float32),
            "matrix": brightness * contrast * (saturation * tf.eye(3) + (1 - saturation) * luma),
            "offset": 255 * tf.matmul(weights, tf.constant(EIGENVECTORS), transpose_b=True),
            "grey": (brightness * (1 - contrast))[:, 0, 0],
        }

    def window(self, height, width, crops, place):
        """Where an image is cut: the first crop that fits.

        Args:
            height, width: int32 scalars, pixels.
            crops, place: the image's, of `draw`.

        Returns:
            int32 `(4,)`: top, left, height, width.
        """
        shape = tf.stack([height, width])
        sides = tf.cast(shape, tf.float32)
        sizes = tf.cast(tf.round(crops * tf.sqrt(sides[0] * sides[1])), tf.int32)
        fits = tf.reduce_all((sizes >= 1) & (sizes <= shape[:, None]), 0)
        first = tf.argmax(fits)
        # None fits: as much of the middle as the ratios allow.
        most = tf.cast(tf.round(sides[::-1] * [1 / self.ratio[0], self.ratio[1]]), tf.int32)
        size = tf.where(fits[first], sizes[:, first], tf.clip_by_value(most, 1, shape))
        room = shape - size
        # Rounded up, a product may be one too many.
        corner = tf.minimum(tf.cast(place * tf.cast(room + 1, tf.float32), tf.int32), room)
        return tf.concat([tf.where(fits[first], corner, room // 2), size], 0)


def _pair(values):
    """Two floats, or `None`."""
    try:
        first, second = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return first, second


def _between(uniform, least, largest):
    return least + (largest - least) * uniform
