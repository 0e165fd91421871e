"""Each augmented image is a crop of the padded one, perhaps mirrored, as an own reading finds."""

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets


def find_crop(image, result, padding):
    """All (row, column, mirrored) whose window of the padded image is `result`: numpy only."""
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return [
        (row, column, mirrored)
        for row in range(2 * padding + 1)
        for column in range(2 * padding + 1)
        for mirrored in (False, True)
        if np.array_equal(
            padded[row : row + height, column : column + width][:, :: -1 if mirrored else 1], result
        )
    ]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((400, 6, 5, 2), np.float32) + 0.5


def crops(images, padding, flip, seed=(3, 17)):
    results = datasets.crop_and_flip(padding, flip)(tf.constant(images), seed).numpy()
    found = [find_crop(*pair, padding) for pair in zip(images, results, strict=True)]
    assert all(len(places) == 1 for places in found), "not a crop of the padded image"
    return np.array([places[0] for places in found])


def test_every_image_is_a_crop_and_every_offset_is_as_likely(images):
    places = crops(images, padding=2, flip=True)
    for axis in (0, 1):
        counts = np.bincount(places[:, axis], minlength=5)
        assert len(counts) == 5
        # 80 expected, deviation 8.
        assert np.abs(counts - 80).max() < 32
    # 200 expected, deviation 10.
    assert abs(places[:, 2].sum() - 200) < 40


def test_rows_columns_and_flips_do_not_follow_each_other(images):
    places = crops(images, padding=2, flip=True).astype(float)
    correlation = np.corrcoef(places.T) - np.eye(3)
    # Deviation of a correlation of 400 independent pairs: 0.05.
    assert np.abs(correlation).max() < 0.2


def test_padding_alone_never_mirrors(images):
    assert not crops(images[:100], padding=1, flip=False)[:, 2].any()


def test_flip_alone_never_shifts(images):
    places = crops(images[:100], padding=0, flip=True)
    assert 0 < places[:, 2].sum() < 100


def test_neither_leaves_the_images_alone(images):
    result = datasets.crop_and_flip(0, False)(tf.constant(images), (0, 0))
    np.testing.assert_array_equal(result, images)


def test_the_seed_pair_decides(images):
    augment = datasets.crop_and_flip(2, True)
    first = augment(tf.constant(images), (3, 17))
    np.testing.assert_array_equal(first, augment(tf.constant(images), (3, 17)))
    for other in ((3, 18), (4, 17), (17, 3)):
        assert not np.array_equal(first, augment(tf.constant(images), other))


@pytest.mark.parametrize("padding", [-1, 1.5, True])
def test_a_padding_that_is_no_count_of_pixels_is_refused(padding):
    with pytest.raises(ValueError, match=f"padding={padding}"):
        datasets.crop_and_flip(padding)
