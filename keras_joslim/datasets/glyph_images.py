"""Draws glyphs on cluttered grounds: many images at once, in numpy.

An image is, from back to front: a gradient between two colours with a soft texture, other
glyphs that stick in from the edges, the glyph itself, and a bar that may hide some of it. Then
it is blurred, and noise is added.
"""

import numpy as np

SIZE = 32

# What makes the images hard. All is drawn uniformly: from a pair, in between; from a single number,
# between its negative and itself. Angles in degrees, lengths in pixels of the image, brightness and
# colours in [0, 1].
ROTATION = 30.0
SHEAR = 0.4
HEIGHT = (14.0, 26.0)  # Of the glyph's longer side.
STRETCH = 0.3  # Natural logarithm of width over height, beyond the font's.
SHIFT = 4.0
CONTRAST = (0.3, 0.75)  # Distance in brightness of ink and the ground's mean.
GRADIENT = 0.15  # How far the colour has changed at an edge.
TEXTURE = (0.0, 0.15)  # Height of the soft spots.
CLUTTER = 3  # How many other glyphs.
CLUTTER_DISTANCE = (14.0, 20.0)  # Of their middles from the image's.
BAR_SHARE = 0.4  # Of the images that have a bar.
BAR_WIDTH = (1.5, 4.0)
BLUR = (0.3, 1.1)  # Deviation of the Gaussian.
NOISE = (0.02, 0.08)  # Deviation of the Gaussian, each channel of a pixel by itself.

# Brightness of red, green and blue, ITU-R BT.601.
_BRIGHTNESS = np.float32([0.299, 0.587, 0.114])
_COORDINATES = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
_BLUR_RADIUS = 3


def draw_images(masks, glyph_size, labels, rng):
    """One image a label.

    Args:
        masks: how much ink each pixel has, `(classes, fonts, size, size)`, with empty borders;
            float32 in [0, 1].
        glyph_size: the longer side of the glyphs in their masks, in pixels of the mask.
        labels: class numbers, shape `(n,)`.
        rng: a `numpy.random.Generator`; what is drawn is a function of its state.

    Returns:
        Pixels in [0, 1], float32, shape `(n, 32, 32, 3)`.
    """
    count = len(labels)
    classes, fonts = masks.shape[:2]
    ground, colour = _ground(rng, count)
    images = ground
    for _ in range(CLUTTER):
        other = rng.integers(classes, size=count)
        direction = _uniform(rng, 0, 2 * np.pi, count)
        distance = _uniform(rng, *CLUTTER_DISTANCE, count)
        shift = distance * np.stack([np.cos(direction), np.sin(direction)])
        ink = _warp(masks, glyph_size, other, rng.integers(fonts, size=count), shift, rng)
        _paint(images, ink, rng.random((count, 3), np.float32))
    shift = _uniform(rng, -SHIFT, SHIFT, (2, count))
    ink = _warp(masks, glyph_size, labels, rng.integers(fonts, size=count), shift, rng)
    _paint(images, ink, _ink_colour(rng, colour))
    _paint(images, _bars(rng, count), rng.random((count, 3), np.float32))
    images = _blur(images, _uniform(rng, *BLUR, count))
    deviation = _uniform(rng, *NOISE, (count, 1, 1, 1))
    images += deviation * rng.standard_normal(images.shape, np.float32)
    return np.clip(images, 0, 1, out=images)


def _uniform(rng, low, high, shape):
    return np.float32(low) + np.float32(high - low) * rng.random(shape, np.float32)


def _ground(rng, count):
    """Grounds, shape `(n, 32, 32, 3)`, and the mean colour of each, `(n, 3)`."""
    colour = _uniform(rng, 0.1, 0.9, (count, 3))
    direction = _uniform(rng, 0, 2 * np.pi, count)
    along = (
        np.cos(direction)[:, None, None] * _COORDINATES
        + np.sin(direction)[:, None, None] * _COORDINATES[:, None]
    ) / (SIZE / 2)
    change = _uniform(rng, -GRADIENT, GRADIENT, (count, 1, 1, 3))
    # Soft spots: a coarse grid of grey values, read in between linearly.
    coarse = _uniform(rng, -1, 1, (count, 6, 6)) * _uniform(rng, *TEXTURE, (count, 1, 1))
    between = _linear_weights(6)
    texture = between @ coarse @ between.T
    return colour[:, None, None] + change * along[..., None] + texture[..., None], colour


def _linear_weights(points):
    """A matrix that reads `points` values at 32 places in between linearly, `(32, points)`."""
    place = np.linspace(0, points - 1, SIZE)[:, None]
    return np.maximum(0, 1 - np.abs(place - np.arange(points))).astype(np.float32)


def _ink_colour(rng, ground):
    """Colours that are brighter or darker than the grounds by some of `CONTRAST`, `(n, 3)`."""
    brightness = ground @ _BRIGHTNESS
    contrast = _uniform(rng, *CONTRAST, len(ground))
    brighter = rng.random(len(ground), np.float32) < 0.5
    # Where one side has no room for it, the other has more.
    target = brightness + np.where(brighter, contrast, -contrast)
    target = np.where((target < 0) | (target > 1), 2 * brightness - target, target)
    colour = rng.random((len(ground), 3), np.float32)
    return np.clip(colour + (target - colour @ _BRIGHTNESS)[:, None], 0, 1)


def _warp(masks, glyph_size, labels, fonts, shift, rng):
    """The masks, turned, sheared, scaled and shifted: the ink of each pixel, `(n, 32, 32)`."""
    count, size = len(labels), masks.shape[-1]
    angle = np.deg2rad(_uniform(rng, -ROTATION, ROTATION, count))
    shear = _uniform(rng, -SHEAR, SHEAR, count)
    scale = _uniform(rng, *HEIGHT, count) / np.float32(glyph_size)
    stretch = np.exp(_uniform(rng, -STRETCH, STRETCH, count) / 2)
    # Columns: where the mask's axes come to lie in the image. Rotation of a shear of a scale.
    cos, sin = np.cos(angle), np.sin(angle)
    across, down = scale * stretch, scale / stretch
    matrix = np.empty((count, 2, 2), np.float32)
    matrix[:, 0, 0], matrix[:, 1, 0] = cos * across, sin * across
    matrix[:, 0, 1], matrix[:, 1, 1] = (cos * shear - sin) * down, (sin * shear + cos) * down
    inverse = np.linalg.inv(matrix)[..., None, None]
    x = _COORDINATES - shift[0][:, None, None]
    y = _COORDINATES[:, None] - shift[1][:, None, None]
    middle = (size - 1) / 2
    column = inverse[:, 0, 0] * x + inverse[:, 0, 1] * y + np.float32(middle)
    row = inverse[:, 1, 0] * x + inverse[:, 1, 1] * y + np.float32(middle)
    # Borders are empty, so a place outside reads the nearest one inside.
    np.clip(column, 0, size - 1.01, out=column)
    np.clip(row, 0, size - 1.01, out=row)
    left, top = column.astype(np.int32), row.astype(np.int32)
    column -= left
    row -= top
    start = (labels * masks.shape[1] + fonts).astype(np.int32)[:, None, None] * (size * size)
    corner = start + top * size + left
    flat = masks.reshape(-1)
    upper = flat[corner]
    upper += (flat[corner + 1] - upper) * column
    corner += size
    lower = flat[corner]
    lower += (flat[corner + 1] - lower) * column
    return upper + (lower - upper) * row


def _bars(rng, count):
    """Straight bars through the images, of soft edges, in some: shape `(n, 32, 32)`."""
    direction = _uniform(rng, 0, np.pi, count)[:, None, None]
    offset = _uniform(rng, -SIZE / 3, SIZE / 3, (count, 1, 1))
    half = _uniform(rng, *BAR_WIDTH, (count, 1, 1)) / 2
    there = rng.random((count, 1, 1), np.float32) < BAR_SHARE
    across = np.cos(direction) * _COORDINATES + np.sin(direction) * _COORDINATES[:, None] - offset
    return there * np.clip(half - np.abs(across) + np.float32(0.5), 0, 1)


def _paint(images, ink, colour):
    """Mixes the colour in by how much ink there is, in place."""
    images += ink[..., None] * (colour[:, None, None] - images)


def _blur(images, deviation):
    """A Gaussian of each image's own deviation, in pixels; edges are repeated."""
    steps = np.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1)
    weights = np.exp(-0.5 * (steps / deviation[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    place = np.arange(SIZE)
    # A banded matrix an image: rows by it, columns by its transpose.
    matrix = np.zeros((len(images), SIZE, SIZE), np.float32)
    for step, weight in zip(steps, weights.T, strict=True):
        np.add.at(
            matrix,
            (slice(None), place, np.clip(place + step, 0, SIZE - 1)),
            weight[:, None],
        )
    count = len(images)
    images = np.matmul(matrix, images.reshape(count, SIZE, SIZE * 3)).reshape(images.shape)
    return np.matmul(matrix[:, None], images)
