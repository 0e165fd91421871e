"""What networks are judged on may be larger than the memory: it is read anew for each of them."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets
from keras_joslim.evaluation import Judge

IMAGES = np.random.default_rng(0).normal(size=(50, 4, 4, 1)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, 50).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


class Batches:
    """Batches that are made when they are asked for, and counted."""

    def __init__(self):
        self.readings = 0
        self.made = []

    def __iter__(self):
        self.readings += 1
        for start in range(0, 50, 10):
            images = IMAGES[start : start + 10].copy()
            self.made.append(weakref.ref(images))
            yield images, LABELS[start : start + 10]


def test_arrays_splits_datasets_and_lists_are_judged_alike(model):
    split = datasets.Split(IMAGES, LABELS)
    arrays = Judge(model, (IMAGES, LABELS))
    expected = arrays.measure(model)
    assert arrays.size == 50
    # In batches of as many, so that sums are in the same order.
    for data in (split.batches(256), [(IMAGES, LABELS)], iter([(IMAGES, LABELS)])):
        judge = Judge(model, data)
        assert judge.measure(model) == expected
        assert judge.measure(model) == expected
        assert (judge.size, judge.sha256) == (50, arrays.sha256)


def test_batches_are_made_anew_for_each_network_and_not_kept(model):
    data = Batches()
    judge = Judge(model, data)
    first = judge.measure(model)
    readings = data.readings
    alive = []

    def predict(x):
        gc.collect()
        alive.append(sum(ref() is not None for ref in data.made))
        return model(x)

    assert judge.measure(predict) == first
    assert data.readings == readings + 1
    # The one that is in use, and the one before it while the next is made.
    assert max(alive) <= 2
    assert judge.size == 50
    assert data.readings == readings + 2
    assert len(judge.sha256) == 64
    assert data.readings == readings + 2


def test_an_iterator_is_read_once(model):
    data = Batches()
    judge = Judge(model, iter(data))
    assert judge.measure(model) == judge.measure(model)
    assert data.readings == 1


@pytest.mark.parametrize("data", [[], iter([]), tf.data.Dataset.range(0)])
def test_no_data_are_refused(model, data):
    with pytest.raises(ValueError, match="the dataset is empty"):
        Judge(model, data)
