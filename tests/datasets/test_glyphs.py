"""The glyphs: 100 characters that every font has, drawn the same way each time."""

import builtins

import numpy as np
import pytest
from PIL import ImageFont

from keras_joslim import datasets
from keras_joslim.datasets import glyph_images, glyphs

SIZES = {"train_size": 2000, "validation_size": 500, "test_size": 300}


@pytest.fixture(scope="module")
def data():
    return datasets.load("glyphs", **SIZES)


@pytest.fixture(scope="module")
def masks():
    return glyphs.glyph_masks()


def test_the_classes_are_100_different_characters():
    assert len(glyphs.CHARACTERS) == 100
    assert len(set(glyphs.CHARACTERS)) == 100
    # None is another one in lower case: they may differ by no more than size.
    same_shape = set("ckopsuvwxyz")
    assert not same_shape & set(glyphs.CHARACTERS)


def test_every_font_has_every_character():
    # What FreeType draws for a character that a font lacks: a box, the same for all of them.
    for path in glyphs.font_paths():
        font = ImageFont.truetype(path, 40)
        missing = bytes(font.getmask("\uffff"))
        drawn = [bytes(font.getmask(character)) for character in glyphs.CHARACTERS]
        assert missing not in drawn, path.name
        assert len(set(drawn)) == 100, path.name


def test_glyphs_fill_the_middle_of_their_masks(masks):
    assert masks.shape == (100, len(glyphs.FONTS), glyphs.MASK_SIZE, glyphs.MASK_SIZE)
    assert masks.min() == 0
    assert masks.max() == 1
    margin = (glyphs.MASK_SIZE - glyphs.GLYPH_SIZE) // 2
    for axis in (2, 3):
        inked = masks.max(5 - axis) > 0.1
        first = inked.argmax(-1)
        last = glyphs.MASK_SIZE - 1 - inked[..., ::-1].argmax(-1)
        # A pixel for the rounding of sizes and places, one for soft edges.
        assert np.abs((first + last) / 2 - (glyphs.MASK_SIZE - 1) / 2).max() <= 1.5
        assert first.min() >= margin - 2
        # What a warp reads outside.
        assert not masks.take([0, glyphs.MASK_SIZE - 1], axis).any()


def test_sizes_shapes_and_range(data):
    assert [len(part) for part in data.splits.values()] == list(SIZES.values())
    assert data.image_shape == (32, 32, 3)
    assert data.num_classes == 100
    low, high = -glyphs.MEAN / glyphs.DEVIATION, (1 - glyphs.MEAN) / glyphs.DEVIATION
    for part in data.splits.values():
        assert part.images.dtype == np.float32
        assert part.images.min() == pytest.approx(low)
        assert part.images.max() == pytest.approx(high)
    assert data.class_names == tuple(glyphs.CHARACTERS)
    assert data.preprocessing([0, 0.5, 1]) == pytest.approx([low, 0, high])


def test_pixels_have_mean_zero_and_deviation_one(data):
    for part in data.splits.values():
        assert abs(part.images.mean()) < 0.05
        assert abs(part.images.std() - 1) < 0.05


def test_pixels_are_those_that_were_drawn_before(data):
    # Means of an image: releases of FreeType may differ in soft edges, which hardly move them.
    # Recorded from Pillow 13.0.
    assert data.train.labels[:5].tolist() == [82, 36, 20, 5, 93]
    means = data.train.images[:5].mean((1, 2, 3))
    np.testing.assert_allclose(means, [0.668, -0.759, 0.52, -0.102, -0.221], atol=0.02)


def test_every_hundred_images_hold_each_class_once_and_mixed(data):
    for part in data.splits.values():
        for labels in part.labels.reshape(-1, 100):
            assert np.array_equal(np.sort(labels), np.arange(100))
    hundreds = data.train.labels.reshape(-1, 100)
    assert len(np.unique(hundreds, axis=0)) == len(hundreds)
    # Neighbours agree by chance, a hundredth of them; not as in sorted data.
    assert np.mean(data.train.labels[1:] == data.train.labels[:-1]) < 0.05


def test_no_two_images_are_equal(data):
    images = np.concatenate([part.images for part in data.splits.values()])
    assert len({image.tobytes() for image in images}) == sum(SIZES.values())


def test_loading_again_gives_the_same_images_and_a_larger_split_begins_with_them(data):
    again = glyphs.load_glyphs(train_size=700, validation_size=500, test_size=301)
    for name, part in data.splits.items():
        other = again.splits[name]
        count = min(len(part), len(other))
        np.testing.assert_array_equal(part.images[:count], other.images[:count])
        np.testing.assert_array_equal(part.labels[:count], other.labels[:count])


def test_classes_are_to_be_seen_but_not_by_their_mean_image(data):
    """The nearest class mean, after the image's own contrast and sign of it are taken out."""

    def edges(images):
        grey = images.mean(-1)
        across, down = np.diff(grey, axis=2)[:, 1:], np.diff(grey, axis=1)[..., 1:]
        strength = np.sqrt(across**2 + down**2).reshape(len(images), -1)
        return (strength - strength.mean(1, keepdims=True)) / strength.std(1, keepdims=True)

    train, other = edges(data.train.images), edges(data.validation.images)
    means = np.stack([train[data.train.labels == label].mean(0) for label in range(100)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    accuracy = np.mean((other @ means.T).argmax(1) == data.validation.labels)
    # Chance is 0.01, its deviation on 500 images 0.0044.
    assert 0.025 < accuracy < 0.4


def test_without_what_makes_it_hard_the_label_is_that_of_the_nearest_mask(masks, monkeypatch):
    for name in ("ROTATION", "SHEAR", "STRETCH", "SHIFT", "CLUTTER", "BAR_SHARE", "GRADIENT"):
        monkeypatch.setattr(glyph_images, name, 0)
    for name, both in {"HEIGHT": 22.0, "BLUR": 0.3, "NOISE": 0.02, "CONTRAST": 0.4}.items():
        monkeypatch.setattr(glyph_images, name, (both, both))
    labels = np.random.default_rng(1).permutation(100)
    images = glyph_images.draw_images(masks, glyphs.GLYPH_SIZE, labels, np.random.default_rng(0))

    def unit(values):
        values = values.reshape(-1, 26 * 26)
        values = values - values.mean(1, keepdims=True)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    # From 44 pixels to 22, in every font. Ink may be brighter or darker: the sign does not count.
    small = masks.reshape(100, len(glyphs.FONTS), 26, 2, 26, 2).mean((3, 5))
    alike = np.abs(unit(images.mean(-1)[:, 3:29, 3:29]) @ unit(small).T)
    assert np.mean(alike.argmax(1) // len(glyphs.FONTS) == labels) > 0.9


def test_a_glyph_without_turn_or_shift_is_the_mask_made_smaller(masks, monkeypatch):
    for name in ("ROTATION", "SHEAR", "STRETCH"):
        monkeypatch.setattr(glyph_images, name, 0.0)
    monkeypatch.setattr(glyph_images, "HEIGHT", (22.0, 22.0))
    label, font = glyphs.CHARACTERS.index("R"), 0
    shift = np.array([[0.0], [0.0]], np.float32)
    chosen = np.array([label]), np.array([font])
    rng = np.random.default_rng(0)
    ink = glyph_images._warp(masks, glyphs.GLYPH_SIZE, *chosen, shift, rng)[0]
    # From 44 pixels to 22: the middle 26 pixels are means of 2x2 pixels of the mask.
    expected = masks[label, font].reshape(26, 2, 26, 2).mean((1, 3))
    np.testing.assert_allclose(ink[3:29, 3:29], expected, atol=1e-4)
    # A shift to the right by 3 pixels and down by 2.
    shift = np.array([[3.0], [2.0]], np.float32)
    moved = glyph_images._warp(masks, glyphs.GLYPH_SIZE, *chosen, shift, rng)[0]
    np.testing.assert_allclose(moved[5:31, 6:32], expected, atol=1e-4)


def test_ink_is_as_far_from_the_ground_as_it_says():
    rng = np.random.default_rng(0)
    ground = rng.random((1000, 3), np.float32)
    brightness = np.array([0.299, 0.587, 0.114])
    distance = np.abs((glyph_images._ink_colour(rng, ground) - ground) @ brightness)
    low, high = glyph_images.CONTRAST
    # Colours that leave [0, 1] are cut off there, which brings some nearer or further.
    assert np.mean(distance > 0.8 * low) > 0.95
    assert np.quantile(distance, 0.9) > 0.7 * high


def test_blur_has_the_deviation_it_is_given():
    images = np.zeros((2, 32, 32, 3), np.float32)
    images[:, 16, 16] = 1
    blurred = glyph_images._blur(images, np.float32([0.8, 1.0]))
    np.testing.assert_allclose(blurred.sum((1, 2)), 1, rtol=1e-5)
    place = np.arange(32) - 16.0
    for image, deviation in zip(blurred[..., 0], (0.8, 1.0), strict=True):
        for axis in (0, 1):
            # The tails beyond three pixels are cut off.
            found = np.sqrt((image.sum(axis) * place**2).sum())
            assert found == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "9"])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_size_that_is_no_count_of_images_is_refused(part, size):
    with pytest.raises(ValueError, match=f"{part}_size={size!r}"):
        datasets.load("glyphs", **{f"{part}_size": size})


@pytest.mark.parametrize("package", ["PIL", "matplotlib"])
def test_a_missing_package_is_named_with_the_command_that_brings_it(package, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=f"named '{package}'.*pip install matplotlib pillow"):
        datasets.load("glyphs")


def test_a_font_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(glyphs, "FONTS", ("Nowhere.ttf",))
    with pytest.raises(ValueError, match=r"no Nowhere\.ttf.*--force-reinstall matplotlib"):
        datasets.load("glyphs")
