"""A batch of image files depends on (seed, step) alone, whoever reads it from wherever."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets
from keras_joslim.datasets import PhotoAugmentation
from keras_joslim.datasets.image_files.decode import decode_square
from keras_joslim.datasets.image_files.photo_dataset import DEVIATION, MEAN
from tests.datasets.image_files.photos import write_folders, write_official

SIZE = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("photos"), {"train": 14, "val": 3})


def load(root, **options):
    options = {"size": SIZE, "validation": 6, **options}
    return datasets.load("image_folder", directory=str(root), **options)


def take(stream, step, count, *worker):
    batches = itertools.islice(stream.from_step(step, *worker).as_numpy_iterator(), count)
    return [tuple(map(np.array, batch)) for batch in batches]


def equal(first, second):
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(x, y) for a, b in pairs for x, y in zip(a, b, strict=True))


def test_a_batch_is_what_numpy_makes_of_its_files(root):
    """Order, crop, mirror, colours and normalisation, recomputed from the draws of (seed, step)."""
    train, augment = load(root).train, PhotoAugmentation(scale=(0.5, 1.0))
    stream = train.stream(9, 5, augment)
    assert stream.steps_per_epoch == 4
    for step, (images, labels) in enumerate(take(stream, 3, 3), start=3):
        epoch, place = divmod(step, 4)
        order = np.random.default_rng([5, epoch]).permutation(36)[9 * place : 9 * place + 9]
        np.testing.assert_array_equal(labels, train.labels[order])
        rows = {name: value.numpy() for name, value in augment.draw((5, step), 9).items()}
        for position, index in enumerate(order):
            contents = train.source.read(train.members[index])
            box = augment.window(20, 24, rows["crops"][position], rows["place"][position])
            one = tf.data.Dataset.from_tensors(contents)
            one = one.map(lambda c, b=box: decode_square(c, lambda *_: b, SIZE))
            pixels = next(one.as_numpy_iterator()).astype(np.float64)
            if rows["mirrored"][position]:
                pixels = pixels[:, ::-1]
            mean_grey = (pixels @ (0.299, 0.587, 0.114)).mean()
            colours = pixels @ rows["matrix"][position] + rows["offset"][position]
            colours += rows["grey"][position] * mean_grey
            expected = (colours / 255 - MEAN) / DEVIATION
            np.testing.assert_allclose(images[position], expected, atol=2e-4)


def test_started_anywhere_it_goes_on_as_the_uninterrupted_one(root):
    train = load(root).train
    stream = train.stream(8, 7, PhotoAugmentation())
    whole = take(stream, 0, 11)
    # 4 batches an epoch: within the first, at the end of the second.
    for step in (1, 8):
        assert equal(take(stream, step, 11 - step), whole[step:])
    assert not equal(take(train.stream(8, 8, PhotoAugmentation()), 0, 2), whole[:2])


def test_an_epoch_uses_no_image_twice_and_augments_anew(root):
    stream = load(root).train.stream(8, 0, PhotoAugmentation())
    batches = take(load(root).train.stream(8, 0), 0, 8)
    for epoch in (batches[:4], batches[4:]):
        assert len({image.tobytes() for images, _ in epoch for image in images}) == 32
    # Folders are sorted by class; batches are not.
    assert sum(len(set(labels.tolist())) == 3 for _, labels in batches) >= 6
    plain = {image.tobytes() for images, _ in batches for image in images}
    augmented = [image.tobytes() for images, _ in take(stream, 0, 8) for image in images]
    assert not plain & set(augmented)
    assert len(set(augmented)) == 64


def joined(parts):
    """The batches of which workers have the parts."""
    return [tuple(map(np.concatenate, zip(*batch))) for batch in zip(*parts)]


def test_workers_read_the_parts_of_each_batch(root):
    stream = load(root).train.stream(12, 1, PhotoAugmentation())
    parts = [take(stream, 2, 3, worker, 3) for worker in range(3)]
    assert equal(joined(parts), take(stream, 2, 3))


def test_records_give_the_batches_of_folders_and_have_no_say_in_workers(root, tmp_path):
    folder = write_official(tmp_path, root, shards=2)
    records = datasets.load("tfrecord", directory=str(folder), size=SIZE, validation=6)
    # The same names, so the same images are held out; the order of the rest is that of hashes.
    ours, theirs = (d.train.stream(12, 1, PhotoAugmentation()) for d in (records, load(root)))
    batches = take(ours, 0, 4)
    assert equal(batches, take(theirs, 0, 4))
    # More workers than the two files that the images are in.
    part = take(ours, 0, 1, 5, 6)[0][0]
    np.testing.assert_array_equal(part, batches[0][0][10:])


def test_shapes_are_static_and_groups_need_not_be_whole_batches(root, tmp_path):
    images, labels = load(root).train.stream(8, 0).from_step(0).element_spec
    assert (images.shape, images.dtype) == ((8, SIZE, SIZE, 3), tf.float32)
    assert (labels.shape, labels.dtype) == ((8,), tf.int32)
    # 134 is twice a prime number: groups of two.
    many = write_folders(tmp_path, {"train": 46, "val": 1})
    stream = load(many, validation=1).train.stream(134, 0)
    whole = take(stream, 0, 1)[0]
    assert whole[0].shape == (134, SIZE, SIZE, 3)
    halves = [take(stream, 0, 1, worker, 2)[0] for worker in (0, 1)]
    assert equal(joined([[half] for half in halves]), [whole])


@pytest.fixture
def damaged(root, tmp_path):
    """The same with one file that is no image and one that is cut off."""
    copy = write_folders(tmp_path, {"train": 14, "val": 3})
    no_image, cut_off = names_to_damage(load(root).train)
    (copy / "train" / no_image).write_bytes(b"no image")
    contents = (copy / "train" / cut_off).read_bytes()
    (copy / "train" / cut_off).write_bytes(contents[:-100])
    return copy


def names_to_damage(train):
    """Two that are not held out."""
    return [train.source.name(train.members[place]) for place in (3, 20)]


def test_unreadable_images_are_replaced_the_same_in_every_run(root, damaged):
    sound, train = load(root).train, load(damaged).train
    expected, found = take(sound.stream(8, 0), 0, 8), take(train.stream(8, 0), 0, 8)
    wanted, used = [], []
    for (first, _), (second, labels) in zip(expected, found, strict=True):
        for one, other, label in zip(first, second, labels):
            if not np.array_equal(one, other):
                wanted.append(one.tobytes())
                used.append((other, label))
    assert set(train.corrupt.names) == set(names_to_damage(sound))
    assert 1 <= len(wanted) <= 4
    # Each was replaced by a sound image with its own label.
    images, labels = sound.arrays(len(sound))
    for image, label in used:
        place = next(i for i, one in enumerate(images) if np.array_equal(one, image))
        assert labels[place] == label
    # From any step on, and by any worker.
    again = load(damaged).train.stream(8, 0)
    parts = [take(again, 3, 5, worker, 2) for worker in (0, 1)]
    assert equal(joined(parts), found[3:])


def test_one_more_than_max_corrupt_ends_it_with_a_line_that_names_it(damaged):
    data = load(damaged, max_corrupt=1)
    # The first time may have been read ahead, and thrown away.
    for _ in range(2):
        with pytest.raises(ValueError, match="More than max_corrupt=1 images.*_train") as error:
            with data.reading():
                take(data.train.stream(8, 0), 0, 8)
        assert "\n" not in str(error.value)


def test_images_that_all_cannot_be_read_end_it(root, tmp_path):
    copy = write_folders(tmp_path, {"train": 3, "val": 1})
    for path in (copy / "train").rglob("*.JPEG"):
        path.write_bytes(b"no image")
    data = load(copy, validation=1)
    with pytest.raises(ValueError, match="None of 8 images that stand in for each other"):
        with data.reading():
            take(data.train.stream(2, 0), 0, 1)


def test_files_that_vanish_are_unreadable(root, tmp_path):
    copy = write_folders(tmp_path, {"train": 14, "val": 3})
    data = load(copy)
    name = names_to_damage(data.train)[0]
    (copy / "train" / name).unlink()
    take(data.train.stream(36, 0), 0, 1)
    assert data.corrupt.summary() == (
        f"1 unreadable image was left out: {name} (No such file or directory)."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0), "batch_size=0, images=36"),
        ((37, 0), "batch_size=37, images=36"),
        ((8, -1), "seed=-1"),
        ((8, 0, datasets.CropAndFlip()), "take PhotoAugmentation or None.*CropAndFlip"),
    ],
)
def test_arguments_out_of_range_are_refused(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(root).train.stream(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "step=-1"),
        ((0, 2, 2), "worker=2, workers=2"),
        ((0, 0, 0), "worker=0, workers=0"),
        ((0, 0, 5), "must divide batch_size. Received: batch_size=8, workers=5"),
    ],
)
def test_steps_and_workers_out_of_range_are_refused(root, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load(root).train.stream(8, 0).from_step(*arguments)
