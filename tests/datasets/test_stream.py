"""Batch k of a stream depends on the seed and k alone, wherever it is started from."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets

IMAGES = np.random.default_rng(0).random((50, 6, 6, 2), np.float32)
# Sorted by class, as folders of images are.
LABELS = np.repeat(np.arange(5, dtype=np.int32), 10)


def stream(seed=7, augment=None, batch_size=8):
    return datasets.Stream(IMAGES, LABELS, batch_size, seed, augment)


def take(source, step, count):
    batches = itertools.islice(source.from_step(step).as_numpy_iterator(), count)
    return [tuple(map(np.array, batch)) for batch in batches]


def equal(first, second):
    return all(
        np.array_equal(x, y)
        for a, b in zip(first, second, strict=True)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("augment", [None, datasets.crop_and_flip(2, True)])
def test_started_anywhere_it_goes_on_as_the_uninterrupted_one(augment):
    whole = take(stream(augment=augment), 0, 20)
    # 6 batches an epoch: within the first, at its end, across two epochs.
    for step in (1, 5, 6, 7, 13):
        assert equal(take(stream(augment=augment), step, 20 - step), whole[step:])


def test_order_is_numpys_permutation_by_seed_and_epoch():
    for step, (images, labels) in enumerate(take(stream(), 0, 14)):
        epoch, position = divmod(step, 6)
        order = np.random.default_rng([7, epoch]).permutation(50)
        chosen = order[8 * position : 8 * (position + 1)]
        np.testing.assert_array_equal(images, IMAGES[chosen])
        np.testing.assert_array_equal(labels, LABELS[chosen])


def test_augmentation_is_that_of_seed_and_step():
    augment = datasets.crop_and_flip(2, True)
    plain, augmented = take(stream(), 4, 4), take(stream(augment=augment), 4, 4)
    for step, (before, after) in enumerate(zip(plain, augmented, strict=True), start=4):
        np.testing.assert_array_equal(augment(tf.constant(before[0]), (7, step)), after[0])
        np.testing.assert_array_equal(before[1], after[1])
        assert not np.array_equal(before[0], after[0])


def test_an_epoch_uses_no_image_twice_and_epochs_differ():
    batches = take(stream(), 0, 12)
    epochs = [np.concatenate([images for images, _ in batches[i : i + 6]]) for i in (0, 6)]
    for images in epochs:
        assert len({image.tobytes() for image in images}) == 48
    assert not np.array_equal(*epochs)


def test_data_sorted_by_class_come_out_mixed():
    assert all(len(set(labels.tolist())) >= 3 for _, labels in take(stream(), 0, 12))


def test_another_seed_is_another_stream():
    assert not equal(take(stream(seed=7), 0, 3), take(stream(seed=8), 0, 3))


def test_shapes_are_static_and_incomplete_batches_left_out():
    source = stream()
    assert source.steps_per_epoch == 6
    images, labels = source.from_step(3).element_spec
    assert images.shape == (8, 6, 6, 2)
    assert images.dtype == tf.float32
    assert labels.shape == (8,)
    assert labels.dtype == tf.int32


def test_one_stream_gives_many_independent_iterators():
    source = stream(augment=datasets.crop_and_flip(1, True))
    assert equal(take(source, 2, 5), take(source, 2, 5))


@pytest.mark.parametrize("augment", [None, datasets.crop_and_flip(2, True)])
def test_parts_of_workers_make_up_the_batch(augment):
    whole = take(stream(augment=augment), 4, 5)
    for workers in (1, 2, 4):
        parts = [
            itertools.islice(
                stream(augment=augment).from_step(4, worker, workers).as_numpy_iterator(), 5
            )
            for worker in range(workers)
        ]
        joined = [tuple(map(np.concatenate, zip(*step))) for step in zip(*parts, strict=True)]
        assert equal(joined, whole)


def test_a_part_has_a_static_shape():
    images, labels = stream().from_step(0, worker=1, workers=4).element_spec
    assert images.shape == (2, 6, 6, 2)
    assert labels.shape == (2,)


def test_parts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="Received: batch_size=8, workers=3"):
        stream().from_step(0, 0, 3)
    for worker, workers in ((2, 2), (-1, 2), (0, 0), (0, 1.0)):
        with pytest.raises(ValueError, match=f"worker={worker}, workers={workers}"):
            stream().from_step(0, worker, workers)


@pytest.mark.parametrize("batch_size", [0, 51, 2.0])
def test_a_batch_size_that_does_not_fit_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}, images=50"):
        stream(batch_size=batch_size)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"len\(images\)=50, len\(labels\)=49"):
        datasets.Stream(IMAGES, LABELS[1:], 8, 0)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed={seed}"):
        stream(seed=seed)


def test_an_augmentation_that_is_no_function_is_refused():
    with pytest.raises(ValueError, match=r"crop_and_flip.*augment='flip'"):
        stream(augment="flip")


@pytest.mark.parametrize("step", [-1, 1.5])
def test_a_step_that_is_no_whole_number_is_refused(step):
    with pytest.raises(ValueError, match=f"step={step}"):
        stream().from_step(step)


def test_batches_are_the_split_in_order():
    split = datasets.Split(IMAGES, LABELS)
    parts = list(datasets.batches(split, 16).as_numpy_iterator())
    assert [len(labels) for _, labels in parts] == [16, 16, 16, 2]
    assert len(datasets.batches(split, 16)) == 4
    np.testing.assert_array_equal(np.concatenate([images for images, _ in parts]), IMAGES)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), LABELS)


def test_batches_need_a_batch_size():
    with pytest.raises(ValueError, match="batch_size=0"):
        datasets.batches(datasets.Split(IMAGES, LABELS), 0)
