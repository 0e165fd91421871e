"""Class folders: what is found in them, what is refused, and that no image is kept."""

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets
from tests.datasets.image_files.photos import jpeg, pixels, write_folders

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def root(tmp_path):
    return write_folders(tmp_path / "photos", {"train": 6, "val": 2})


def load(root, **options):
    return datasets.load("image_folder", **{"directory": str(root), "size": 8, **options})


def test_folders_are_classes_in_alphabetical_order(root):
    data = load(root, validation=3)
    assert data.class_names == CLASSES
    assert data.num_classes == 3
    assert data.image_shape == (8, 8, 3)
    assert {name: len(split) for name, split in data.splits.items()} == {
        **{"train": 15, "validation": 3, "test": 6}
    }
    for split in data.splits.values():
        for place, label in zip(split.members, split.labels):
            assert split.source.name(place).startswith(CLASSES[label] + "/")
    both = [set(s.members) for s in (data.train, data.validation)]
    assert not both[0] & both[1]
    assert data.train.source is data.validation.source
    assert data.train.labels.dtype == np.int32


def test_more_images_leave_the_split_as_it_is(root):
    def held(data):
        return {data.train.source.name(place) for place in data.validation.members}

    before = load(root, validation=0.3)
    write_folders(root, {"train": 6}, first=100)
    after = load(root, validation=0.3)
    assert held(before) <= held(after)
    added = held(after) - held(before)
    assert all(int(re.search(r"train(\d+)", name)[1]) >= 100 for name in added)


def test_arrays_and_batches_are_the_same_images(root):
    test = load(root, validation=3).test
    images, labels = test.arrays(len(test))
    batches = test.batches(4)
    assert [len(y) for _, y in batches] == [4, 2]
    # Again: the files are read anew.
    read = [np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator())]
    np.testing.assert_array_equal(read[0], images)
    np.testing.assert_array_equal(read[1], labels)
    np.testing.assert_array_equal(labels, test.labels)
    some, classes = test.arrays(np.array([4, 1]))
    np.testing.assert_array_equal(some, images[[4, 1]])
    np.testing.assert_array_equal(classes, labels[[4, 1]])
    np.testing.assert_array_equal(test.arrays(2)[0], images[:2])
    # The whole of a uniform image, so that it does not matter where it is cut.
    grey = tf.io.encode_jpeg(np.full((20, 24, 3), 128, np.uint8), quality=100).numpy()
    for path in (root / "val").rglob("*.JPEG"):
        path.write_bytes(grey)
    image = test.arrays(1)[0][0]
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(image, np.broadcast_to(expected, (8, 8, 3)), atol=1e-5)


def test_preprocessing_is_what_was_done(root):
    data = load(root, validation=3)
    assert "shorter side is 9 pixels, cut 8x8" in data.preprocessing.text
    value = data.preprocessing([128, 128, 128])
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(value, expected)


def test_unreadable_images_are_left_out_of_an_evaluation(root):
    (root / "val/dog/dog_val1.JPEG").write_bytes(b"")
    data = load(root, validation=3)
    for _ in range(2):
        assert sum(len(y) for _, y in data.test.batches(4)) == 5
    assert len(data.test.arrays(6)[0]) == 5
    told = "1 unreadable image was left out: dog/dog_val1.JPEG (it is empty)."
    assert data.corrupt.summary() == told
    data = load(root, validation=3, max_corrupt=0)
    with pytest.raises(ValueError, match=r"More than max_corrupt=0 .* dog/dog_val1.JPEG \(it is"):
        data.test.arrays(6)


def test_a_class_map_numbers_and_names_the_classes(root, tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("owl barn owl, Tyto alba\n\ncat\ndog a dog\n")
    data = load(root, validation=3, class_map=str(path))
    assert data.class_names == ("barn owl, Tyto alba", "cat", "a dog")
    place = data.test.members[0]
    folder = data.test.source.name(place).split("/")[0]
    assert ("owl", "cat", "dog").index(folder) == data.test.labels[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\ndog\n", "has the class 'owl', which the class map does not have"),
        ("cat\ndog\nowl\nyak\n", "does not have the class 'yak' of the class map"),
        ("cat\ndog\ncat\n", "'cat' 2 times"),
        ("cat\n", "two classes or more.*Received: 1"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_class_maps_that_do_not_fit_are_refused(root, tmp_path, text, message):
    path = tmp_path / "classes.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        load(root, class_map=str(path))
    assert f"class_map={str(path)!r}" in str(error.value)


def test_missing_and_empty_folders_are_named(root, tmp_path):
    with pytest.raises(ValueError, match="There is no such directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"the folder 'train'.*It holds \['photos'\]"):
        load(tmp_path)
    (root / "train/yak").mkdir()
    (root / "val/yak").mkdir()
    (root / "train/yak/.hidden.jpg").write_bytes(jpeg(0))
    with pytest.raises(ValueError, match="train/yak' has no image.*an empty folder"):
        load(root)
    (root / "train/yak/readme.txt").write_text("none")
    with pytest.raises(ValueError, match="train/yak' has no image.*Received: readme.txt"):
        load(root)


def test_parts_must_have_the_same_classes(root):
    (root / "val/owl").rename(root / "val/yak")
    message = "Received: 'owl' in '.*train' but not in '.*val' .1 such"
    with pytest.raises(ValueError, match=message):
        load(root)
    (root / "val/yak").rename(root / "val/owl")
    (root / "val/yak").mkdir()
    with pytest.raises(ValueError, match="'yak' in '.*val' but not in '.*train'"):
        load(root)


def test_images_that_are_not_in_class_folders_are_refused(root):
    for folder in list((root / "val").iterdir()):
        for path in folder.iterdir():
            path.rename(root / "val" / path.name)
        folder.rmdir()
    with pytest.raises(ValueError, match="one folder a class in '.*val'.*Received: cat_val0.JPEG"):
        load(root)


def test_other_files_are_left_out_with_a_word(root, caplog):
    (root / "train/cat/notes.txt").write_text("a cat")
    (root / "train/cat/more.PNG").write_bytes(tf.io.encode_png(pixels(1)).numpy())
    data = load(root, validation=3)
    assert len(data.train) == 16
    assert "Left out 1 files" in caplog.text
    assert "cat/notes.txt" in caplog.text


@pytest.mark.parametrize("size", [0, 8.0, True, "8"])
def test_sizes_that_are_none_are_refused(root, size):
    with pytest.raises(ValueError, match=f"size={size!r}"):
        load(root, size=size)


@pytest.mark.parametrize("limit", [-1, 1.5, None, True])
def test_limits_that_are_none_are_refused(root, limit):
    with pytest.raises(ValueError, match=f"max_corrupt={limit!r}"):
        load(root, max_corrupt=limit)


def test_options_of_other_loaders_are_refused(root):
    with pytest.raises(ValueError, match="no option 'validation_size'; it takes"):
        load(root, validation_size=3)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_batch_sizes_that_are_none_are_refused(root, batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}"):
        load(root, validation=3).test.batches(batch_size)


def test_fields_of_a_recipe_make_the_stream(root):
    data = load(root, validation=3)
    fields = {"scale": [0.5, 1], "ratio": [1, 1], "flip": False, "jitter": 0.0, "lighting": 0.0}
    stream = data.training_stream(5, 1, fields)
    assert (stream.batch_size, stream.seed) == (5, 1)
    assert stream.augment == datasets.PhotoAugmentation((0.5, 1.0), (1.0, 1.0), False, 0.0, 0.0)
    with pytest.raises(
        ValueError, match="'image_folder' are augmented by .*jitter.*also 'padding'"
    ):
        data.training_stream(5, 1, {**fields, "padding": 4})
    with pytest.raises(ValueError, match="Received: no 'ratio'"):
        data.training_stream(5, 1, {k: v for k, v in fields.items() if k != "ratio"})
    with pytest.raises(ValueError, match="augmented by the fields padding, flip.*also 'jitter'"):
        datasets.load("digits").training_stream(5, 1, fields)
