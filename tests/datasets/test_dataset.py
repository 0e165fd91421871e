"""Splits and data sets refuse what does not fit, with a line that says what came."""

import dataclasses

import numpy as np
import pytest

from keras_joslim import datasets


def split(n=4, shape=(8, 8, 1), labels=None):
    return datasets.Split(np.zeros((n, *shape)), np.arange(n) if labels is None else labels)


def test_split_keeps_float32_and_int32_that_cannot_be_written():
    images, labels = np.ones((3, 8, 8, 1), np.float32), np.array([0, 1, 2], np.int64)
    made = datasets.Split(images, labels)
    assert made.images.dtype == np.float32
    assert made.labels.dtype == np.int32
    assert len(made) == 3
    with pytest.raises(ValueError, match="read-only"):
        made.images[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.labels = labels
    images[0] = 0  # The caller's own array stays writable.


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 8, 8)), np.arange(4), r"images\.shape=\(4, 8, 8\).*last axis of 1"),
        (np.zeros((0, 8, 8, 1)), np.arange(0), r"images\.shape=\(0, 8, 8, 1\)"),
        (np.zeros((4, 8, 8, 1), np.uint8), np.arange(4), r"images\.dtype=uint8.*/ 255"),
        (np.zeros((4, 8, 8, 1)), np.eye(4), r"labels\.shape=\(4, 4\).*argmax"),
        (np.zeros((4, 8, 8, 1)), np.arange(4.0), r"labels\.dtype=float64"),
        (np.zeros((4, 8, 8, 1)), np.arange(3), r"len\(images\)=4, len\(labels\)=3"),
        (np.zeros((4, 8, 8, 1)), np.array([0, 1, -1, 0]), r"labels\[2\]=-1"),
    ],
)
def test_split_refuses(images, labels, message):
    with pytest.raises(ValueError, match=message):
        datasets.Split(images, labels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_split_refuses_images_that_are_not_finite(value):
    images = np.zeros((4, 8, 8, 1))
    images[2, 3, 3, 0] = value
    with pytest.raises(ValueError, match=r"NaN or infinity in images\[2\]"):
        datasets.Split(images, np.arange(4))


def test_dataset_names_the_split_whose_label_is_no_class():
    with pytest.raises(ValueError, match=r"'toy' must be in 0\.\.3 .*test labels\[1\]=4"):
        datasets.Dataset("toy", split(), split(), split(labels=np.array([0, 4, 1, 2])), 4)


def test_dataset_names_the_split_of_another_shape():
    with pytest.raises(ValueError, match=r"train \(8, 8, 1\), validation \(6, 8, 1\)"):
        datasets.Dataset("toy", split(), split(shape=(6, 8, 1)), split(), 4)


def test_dataset_needs_two_classes():
    with pytest.raises(ValueError, match="num_classes=1"):
        datasets.Dataset("toy", split(), split(), split(), 1)


def test_names_and_scales_are_one_a_class_and_one_a_channel():
    splits = split(), split(), split()
    rgb = datasets.Preprocessing("x", (0, 255), (1.0,) * 3, (0.0,) * 3)
    named = datasets.Dataset("toy", *splits, 4, class_names=["a", "b", "c", "d"])
    assert named.class_names == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="'toy' needs one name a class. .*=4, 3 class_names"):
        datasets.Dataset("toy", *splits, 4, class_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="Expected a list. Received: class_names='abcd'"):
        datasets.Dataset("toy", *splits, 4, class_names="abcd")
    with pytest.raises(ValueError, match="'toy' needs one scale a channel. Received: 1 channels"):
        datasets.Dataset("toy", *splits, 4, preprocessing=rgb)
