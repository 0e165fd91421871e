"""The digits: the real images, split once, nothing in two parts."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_joslim import datasets


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def test_sizes_shapes_and_range(digits):
    assert [len(part) for part in digits.splits.values()] == [1077, 360, 360]
    assert digits.image_shape == (8, 8, 1)
    assert digits.num_classes == 10
    for part in digits.splits.values():
        assert part.images.min() == 0.0
        assert part.images.max() == 1.0


def test_the_three_parts_are_the_original_images_each_once(digits):
    bunch = load_digits()
    original = sorted((bunch.images.reshape(-1, 64) / 16).tolist())
    parts = [part.images.reshape(-1, 64).astype(float) for part in digits.splits.values()]
    assert sorted(np.concatenate(parts).tolist()) == original


def test_each_image_keeps_its_label(digits):
    bunch = load_digits()
    label_of = {image.tobytes(): label for image, label in zip(bunch.images / 16, bunch.target)}
    for part in digits.splits.values():
        assert all(
            label_of[image[..., 0].astype(float).tobytes()] == label
            for image, label in zip(part.images, part.labels, strict=True)
        )


def test_no_image_is_in_two_parts(digits):
    seen = [{image.tobytes() for image in part.images} for part in digits.splits.values()]
    # Stronger than disjoint indices: not even two equal images are apart.
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_classes_are_in_proportion(digits):
    whole = np.bincount(load_digits().target) / 1797
    for part in digits.splits.values():
        assert np.abs(np.bincount(part.labels) - whole * len(part)).max() <= 2


def test_loading_again_gives_the_same_split(digits):
    again = datasets.load("digits")
    for name, part in digits.splits.items():
        np.testing.assert_array_equal(part.images, again.splits[name].images)
        np.testing.assert_array_equal(part.labels, again.splits[name].labels)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'cifar10', 'cifar100', 'digits'.*name='digit'"):
        datasets.load("digit")


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'digits' has no option 'seed'; it takes \['image_size'\].*seed=3"
    ):
        datasets.load("digits", seed=3)
    with pytest.raises(ValueError, match=r"it takes \['directory', 'validation_size'\]"):
        datasets.load("cifar10", folder="data")


def test_names_and_the_preprocessing_of_raw_pixels_are_declared(digits):
    assert digits.class_names == tuple("0123456789")
    raw = load_digits().images
    assert (raw.min(), raw.max()) == digits.preprocessing.raw_range
    values = [digits.preprocessing([pixel])[0] for pixel in range(17)]
    seen = np.unique(np.concatenate([s.images.reshape(-1) for s in digits.splits.values()]))
    assert seen.tolist() == values


def test_enlarged_images_are_the_same_digits_in_the_same_parts(digits):
    large = datasets.load("digits", image_size=64)
    assert large.image_shape == (64, 64, 1)
    assert "64x64" in large.preprocessing.text
    for name, part in digits.splits.items():
        enlarged = large.splits[name]
        np.testing.assert_array_equal(enlarged.labels, part.labels)
        # Half-pixel centres: the middle of an enlarged pixel lies at (i + 1/2) / 8 - 1/2.
        row = part.images[0, :, :, 0]
        places = np.clip((np.arange(64) + 0.5) / 8 - 0.5, 0, 7)
        by_hand = [np.interp(places, np.arange(8), column) for column in row.T]
        by_hand = [np.interp(places, np.arange(8), line) for line in np.stack(by_hand, 1)]
        np.testing.assert_allclose(enlarged.images[0, :, :, 0], by_hand, atol=1e-6)


@pytest.mark.parametrize("size", [7, 0, 64.0, True, "64", None])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="whole number of pixels from 8.*Received: image_size="):
        datasets.load("digits", image_size=size)
