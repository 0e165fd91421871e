"""Squares out of image files: which part, which pixels, from which kinds of files."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_joslim.datasets.image_files.decode import central_window, decode_square
from tests.datasets.image_files.photos import jpeg, pixels, resized


def square(contents, box, size):
    """A part of an image given by fixed numbers."""

    data = tf.data.Dataset.from_tensors(contents)
    data = data.map(lambda bytes_: decode_square(bytes_, lambda *_: tf.constant(box), size))
    return next(data.as_numpy_iterator())


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_a_part_of_a_jpeg_is_that_part_of_the_whole_resized():
    contents = jpeg(1, 40, 50)
    whole = np.asarray(Image.open(io.BytesIO(contents)))
    for top, left, height, width in ((0, 0, 40, 50), (3, 7, 21, 18), (11, 0, 12, 50)):
        part = whole[top : top + height, left : left + width]
        found = square(contents, (top, left, height, width), 25)
        np.testing.assert_allclose(found, resized(part, 25), atol=2e-3)


def test_a_part_smaller_than_the_square_is_enlarged():
    contents = jpeg(2, 12, 9)
    expected = resized(np.asarray(Image.open(io.BytesIO(contents))), 32)
    np.testing.assert_allclose(square(contents, (0, 0, 12, 9), 32), expected, atol=2e-3)


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_large_parts_are_averaged_first(reduction):
    image = pixels(3, 96, 128)
    size = 96 // reduction
    blocks = image.reshape(size, reduction, 128 // reduction, reduction, 3).mean((1, 3))
    expected = resized(np.round(blocks), size)
    found = square(encoded(Image.fromarray(image), "PNG"), (0, 0, 96, 128), size)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    # A JPEG is averaged by its frequencies, which is nearly the same.
    found = square(encoded(Image.fromarray(image), "JPEG", quality=98), (0, 0, 96, 128), size)
    assert np.abs(found - expected).mean() < 3


def test_just_below_twice_the_square_every_pixel_is_kept():
    image = pixels(4, 63, 64)
    found = square(encoded(Image.fromarray(image), "PNG"), (0, 0, 63, 64), 32)
    np.testing.assert_allclose(found, resized(image, 32), atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((375, 500), (23, 86, 328, 328)),  # 375 * 224 / 256 = 328.1
        ((500, 375), (86, 23, 328, 328)),
        ((256, 256), (16, 16, 224, 224)),
        ((1, 7), (0, 3, 1, 1)),
    ],
)
def test_evaluation_takes_the_middle(shape, box):
    assert central_window(*map(tf.constant, shape)).numpy().tolist() == list(box)


def test_evaluation_is_pillows_resize_and_crop_up_to_the_filter():
    image = Image.fromarray(pixels(5, 12, 16)).resize((120, 90), Image.Resampling.BICUBIC)
    data = tf.data.Dataset.from_tensors(encoded(image, "PNG"))
    data = data.map(lambda contents: decode_square(contents, central_window, 56))
    # As torchvision does it: the shorter side becomes 256/224 of 56, 56 by 56 are cut out.
    other = np.asarray(image.resize((85, 64), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(next(data.as_numpy_iterator()) - other[4:60, 14:70]).mean() < 1.5


def test_grey_images_have_three_equal_channels():
    grey = pixels(6)[..., 0]
    for form in ("JPEG", "PNG"):
        found = square(encoded(Image.fromarray(grey), form), (0, 0, 20, 24), 16)
        np.testing.assert_array_equal(found[..., 0], found[..., 1])
        np.testing.assert_array_equal(found[..., 0], found[..., 2])
        np.testing.assert_allclose(found[..., 0], resized(grey[..., None], 16)[..., 0], atol=8)


def test_cmyk_becomes_rgb():
    image = Image.fromarray(pixels(7)).convert("CMYK")
    contents = encoded(image, "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    found = square(contents, (0, 0, 20, 24), 16)
    np.testing.assert_allclose(found, resized(expected, 16), atol=1.01)


def test_16_bits_become_8():
    high = (pixels(8)[..., :1].astype(np.uint16) << 8) + 200
    contents = tf.io.encode_png(high).numpy()
    found = square(contents, (0, 0, 20, 24), 16)
    expected = resized(high >> 8, 16)
    np.testing.assert_allclose(found, np.repeat(expected, 3, 2), atol=1.01)


def test_transparency_is_dropped_and_palettes_are_looked_up():
    image = Image.fromarray(pixels(9))
    clear = image.copy()
    clear.putalpha(60)
    found = square(encoded(clear, "PNG"), (0, 0, 20, 24), 16)
    np.testing.assert_allclose(found, resized(np.asarray(image), 16), atol=2e-3)
    palette = image.quantize(16)
    found = square(encoded(palette, "PNG"), (0, 0, 20, 24), 16)
    expected = resized(np.asarray(palette.convert("RGB")), 16)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP"])
def test_other_formats(form):
    image = Image.fromarray(pixels(10)).quantize(32).convert("RGB")
    contents = encoded(image, form, **({"lossless": True} if form == "WEBP" else {}))
    found = square(contents, (2, 3, 16, 17), 16)
    expected = resized(np.asarray(image)[2:18, 3:20], 16)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_first_picture_of_an_animation_is_taken():
    frames = [Image.fromarray(pixels(seed)).quantize(32).convert("RGB") for seed in (11, 12)]
    contents = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    expected = resized(np.asarray(frames[0]), 16)
    np.testing.assert_allclose(square(contents, (0, 0, 20, 24), 16), expected, atol=2e-3)


@pytest.mark.parametrize("contents", [b"", b"no image", jpeg(13)[:200], jpeg(13)[:2]])
def test_other_bytes_are_refused_where_it_runs(contents):
    with pytest.raises(tf.errors.InvalidArgumentError):
        square(contents, (0, 0, 20, 24), 16)


def test_it_runs_in_a_graph_with_a_static_shape():
    data = tf.data.Dataset.from_tensors(jpeg(14))
    data = data.map(lambda contents: decode_square(contents, central_window, 16))
    assert data.element_spec.shape == (16, 16, 3)
    assert next(iter(data)).dtype == tf.float32
