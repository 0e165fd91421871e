"""JPEG and other bytes become squares: the part that is wanted is decoded, then resized."""

import functools

import tensorflow as tf

# A JPEG can be decoded at these parts of its size, at a part of the cost.
_REDUCTIONS = (1, 2, 4, 8)
# The shorter side, in units of the square that is cut out of the middle to evaluate on.
EVALUATION_MARGIN = 256 / 224


def central_window(height, width):
    """The square in the middle that networks are evaluated on.

    It is what is left of an image whose shorter side is resized to 256 pixels, and of which
    the middle 224 by 224 are cut out; other sizes in proportion.

    Args:
        height, width: int32 scalars, pixels.

    Returns:
        int32 `(4,)`: top, left, height, width.
    """
    short = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(tf.round(short / EVALUATION_MARGIN), tf.int32), 1)
    return tf.stack([(height - side) // 2, (width - side) // 2, side, side])


def decode_square(contents, window, size):
    """Part of an image, as a square.

    Bilinear, without a filter against aliasing: TensorFlow's filtered resize takes as long as
    decoding does, and apps on phones do not filter either. Instead, a part that is twice as
    large as the square or more is halved by averaging first (quartered, ...): of a JPEG while it
    is decoded, which costs less than decoding it whole. So each pixel that is left is read.

    Grey images have three equal channels, CMYK becomes RGB, transparency is dropped, 16 bits of a
    PNG become 8, of an animated GIF the first picture is taken. A rotation noted in EXIF is
    not done.

    Args:
        contents: scalar string: the bytes of a JPEG, PNG, GIF, BMP or WebP file.
        window: function of height and width, int32 scalars, to (top, left, height, width),
            int32 `(4,)`.
        size: side of the square.

    Returns:
        float32 `(size, size, 3)`, pixels in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: where it runs: the bytes are no such image.
    """

    def jpeg_part():
        shape = tf.io.extract_jpeg_shape(contents)
        index, part = _reduced(window(shape[0], shape[1]), size)
        # Accurate: what Pillow, and so published trainings, decode to the last bit. The default is
        # several levels off in a JPEG of high quality, and no faster.
        decode = functools.partial(
            tf.image.decode_and_crop_jpeg, contents, part, 3, dct_method="INTEGER_ACCURATE"
        )
        branches = [functools.partial(decode, ratio=ratio) for ratio in _REDUCTIONS]
        return tf.switch_case(index, branches)

    # One node of the graph: what is not executed costs time as well, a node a microsecond.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def other_part(contents):
        image = tf.io.decode_image(contents, channels=3, expand_animations=False)
        shape = tf.shape(image)
        index, part = _reduced(window(shape[0], shape[1]), size)
        top, left, height, width = tf.unstack(part * tf.gather(_REDUCTIONS, index))
        image = image[top : top + height, left : left + width]
        # By whole numbers, so it is the mean of each block.
        return tf.cast(tf.round(tf.image.resize(image, part[2:], method="area")), tf.uint8)

    part = tf.cond(tf.io.is_jpeg(contents), jpeg_part, lambda: other_part(contents))
    part = tf.ensure_shape(part, (None, None, 3))
    return tf.image.resize(part, (size, size), "bilinear")


def _reduced(box, size):
    """Which of `_REDUCTIONS` leaves no less than the square, and the box in its pixels."""
    wanted = tf.reduce_min(box[2:]) // size
    index = tf.reduce_sum(tf.cast(wanted >= _REDUCTIONS[1:], tf.int32))
    return index, tf.maximum(box // tf.gather(_REDUCTIONS, index), [0, 0, 1, 1])
