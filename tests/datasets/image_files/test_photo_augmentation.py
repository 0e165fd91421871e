"""What is random in an image, against an independent reading of the published formulas in numpy."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim.datasets import PhotoAugmentation

COUNT = 4000
GREY = np.array([0.299, 0.587, 0.114])


def drawn(augment, seed=(0, 0), count=COUNT):
    return {name: value.numpy() for name, value in augment.draw(seed, count).items()}


def windows(augment, height, width, count=COUNT):
    """Boxes of as many images of one size: int `(count, 4)`."""
    rows = augment.draw((3, 1), count)
    data = tf.data.Dataset.from_tensor_slices((rows["crops"], rows["place"]))
    data = data.map(lambda crops, place: augment.window(height, width, crops, place))
    return np.stack(list(data.as_numpy_iterator()))


def boxes_in_numpy(rng, height, width, scale, ratio, count=COUNT):
    """Random-resized crops as torchvision draws them."""

    def one():
        for _ in range(10):
            area = height * width * rng.uniform(*scale)
            aspect = math.exp(rng.uniform(*map(math.log, ratio)))
            columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < columns <= width and 0 < rows <= height:
                top = rng.integers(height - rows + 1)
                return top, rng.integers(width - columns + 1), rows, columns
        if width / height < ratio[0]:
            rows, columns = round(width / ratio[0]), width
        elif width / height > ratio[1]:
            rows, columns = height, round(height * ratio[1])
        else:
            rows, columns = height, width
        return (height - rows) // 2, (width - columns) // 2, rows, columns

    return np.array([one() for _ in range(count)])


@pytest.mark.parametrize("scale", [(0.25, 1.0), (0.08, 1.0)])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (200, 160), (100, 400)])
def test_crops_are_distributed_as_in_numpy(scale, height, width):
    augment = PhotoAugmentation(scale=scale)
    ours = windows(augment, height, width)
    theirs = boxes_in_numpy(np.random.default_rng(5), height, width, scale, augment.ratio)
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] >= 1).all()
    assert (ours[:, 0] + ours[:, 2] <= height).all()
    assert (ours[:, 1] + ours[:, 3] <= width).all()
    columns = [lambda box: box[:, 2], lambda box: box[:, 3]]
    columns += [lambda box: box[:, 0], lambda box: box[:, 1]]
    columns += [lambda box: box[:, 2] * box[:, 3] / (height * width)]
    columns += [lambda box: np.log(box[:, 3] / box[:, 2])]
    for value in columns:
        # Kolmogorov's distance between the two samples: 0.043 is its 99.9 % point.
        first, second = np.sort(value(ours)), np.sort(value(theirs))
        points = np.union1d(first, second)
        places = (np.searchsorted(s, points, "right") / COUNT for s in (first, second))
        assert np.abs(np.subtract(*places)).max() < 0.043


def test_where_no_crop_fits_the_middle_is_taken():
    augment = PhotoAugmentation(scale=(1.0, 1.0))
    # A tenth as high as wide: the whole area never fits by a ratio up to 4/3.
    assert (windows(augment, 30, 300, 20) == [0, 130, 30, 40]).all()
    assert (windows(augment, 300, 30, 20) == [130, 0, 40, 30]).all()
    assert (windows(augment, 1, 1, 20) == [0, 0, 1, 1]).all()
    assert (windows(augment, 1, 500, 20)[:, 2:] == [1, 1]).all()


def test_the_whole_image_can_be_had():
    augment = PhotoAugmentation(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert (windows(augment, 64, 64, 20) == [0, 0, 64, 64]).all()


def factors(rows):
    """Brightness, contrast and saturation, read back from what they became."""
    gain = rows["matrix"].sum(1)[:, 0]  # Grey is multiplied by brightness and contrast.
    brightness = gain + rows["grey"]  # grey = brightness * (1 - contrast)
    # Off the diagonal there is gain * (1 - saturation) * luma only.
    saturation = 1 - rows["matrix"][:, 1, 0] / GREY[1] / gain
    return brightness, gain / brightness, saturation


def test_jitter_factors_are_uniform_and_independent():
    rows = drawn(PhotoAugmentation(jitter=0.4, lighting=0))
    found = np.stack(factors(rows))
    assert found.min() >= 0.6 - 1e-4
    assert found.max() <= 1.4 + 1e-4
    np.testing.assert_allclose(found.mean(1), 1, atol=0.015)
    np.testing.assert_allclose(found.std(1), 0.8 / math.sqrt(12), rtol=0.03)
    correlations = np.corrcoef(found) - np.eye(3)
    assert np.abs(correlations).max() < 0.05


def test_jitter_is_that_of_blending_in_any_order():
    def blended(image, other, factor):
        return factor * image + (1 - factor) * other

    operations = {
        "brightness": lambda image, factor: blended(image, 0, factor),
        "contrast": lambda image, factor: blended(image, (image @ GREY).mean(), factor),
        "saturation": lambda image, factor: blended(image, (image @ GREY)[..., None], factor),
    }
    image = np.random.default_rng(2).uniform(0, 255, (9, 7, 3))
    rows = drawn(PhotoAugmentation(lighting=0), count=20)
    all_factors = np.stack(factors(rows), 1)
    for index, chosen in enumerate(all_factors):
        fused = image @ rows["matrix"][index] + rows["offset"][index]
        fused += rows["grey"][index] * (image @ GREY).mean()
        named = dict(zip(operations, chosen))
        for order in itertools.permutations(operations):
            expected = image
            for name in order:
                expected = operations[name](expected, named[name])
            np.testing.assert_allclose(fused, expected, atol=0.02)


def test_lighting_adds_the_principal_components():
    values = np.array([0.2175, 0.0188, 0.0045])
    vectors = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    rows = drawn(PhotoAugmentation(jitter=0, lighting=0.1), count=40000)
    np.testing.assert_allclose(rows["matrix"], np.tile(np.eye(3), (40000, 1, 1)), atol=1e-6)
    assert not rows["grey"].any()
    # Of [0, 1]: the covariance is V diag((0.1 lambda)^2) V^T.
    offset = rows["offset"] / 255
    expected = vectors @ np.diag((0.1 * values) ** 2) @ vectors.T
    assert np.abs(np.cov(offset.T) - expected).max() < 0.03 * expected.max()
    np.testing.assert_allclose(offset.mean(0), 0, atol=4e-4)
    weights = offset @ vectors / (0.1 * values)
    np.testing.assert_allclose(weights.std(0), 1, rtol=0.02)


def test_half_of_the_images_are_mirrored_or_none():
    mirrored = drawn(PhotoAugmentation())["mirrored"]
    assert set(mirrored) == {0.0, 1.0}
    assert abs(mirrored.mean() - 0.5) < 0.03
    assert not drawn(PhotoAugmentation(flip=False))["mirrored"].any()


def test_draws_are_those_of_the_seed():
    augment = PhotoAugmentation()
    first, again = drawn(augment, (3, 7), 8), drawn(augment, (3, 7), 8)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        for other in ((3, 8), (4, 7)):
            assert not np.array_equal(value, drawn(augment, other, 8)[name]), name
        # No two images of a batch are treated alike.
        if name != "mirrored":
            assert len(np.unique(value, axis=0)) == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", (0.0, 1.0)),
        ("scale", (0.5, 1.1)),
        ("scale", (0.8, 0.5)),
        ("scale", 0.5),
        ("scale", ("a", "b")),
        ("ratio", (0.0, 1.0)),
        ("ratio", (1.0,)),
        ("ratio", (math.nan, 1.0)),
        ("jitter", 1.0),
        ("jitter", -0.1),
        ("jitter", "0.4"),
        ("jitter", True),
        ("lighting", -0.1),
        ("lighting", math.nan),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        PhotoAugmentation(**{name: value})


def test_lists_of_a_config_file_are_taken():
    assert PhotoAugmentation(scale=[0.08, 1]).scale == (0.08, 1.0)
