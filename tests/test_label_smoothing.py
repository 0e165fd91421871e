"""Label smoothing: as Keras's own on one-hot labels, and not in the soft targets."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.distillation import soft_loss
from keras_joslim.label_smoothing import SmoothedCrossentropy


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.integers(0, 7, 5), rng.normal(size=(5, 7)).astype("float32"), rng.random(5)


@pytest.mark.parametrize("from_logits", [True, False])
def test_equals_keras_on_one_hot_labels(batch, from_logits):
    labels, outputs, weights = batch
    if not from_logits:
        outputs = keras.ops.softmax(outputs)
    ours = SmoothedCrossentropy(0.1, from_logits=from_logits)
    theirs = keras.losses.CategoricalCrossentropy(from_logits, label_smoothing=0.1)
    for weight in (None, weights):
        expected = theirs(np.eye(7)[labels], outputs, weight)
        np.testing.assert_allclose(ours(labels, outputs, weight), expected, rtol=1e-5)
        np.testing.assert_allclose(ours(labels[:, None], outputs, weight), expected, rtol=1e-5)


def test_without_smoothing_it_is_the_plain_loss(batch):
    labels, outputs, _ = batch
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(
        SmoothedCrossentropy(0.0, from_logits=True)(labels, outputs), plain(labels, outputs)
    )


def test_soft_targets_are_not_smoothed(batch):
    labels, outputs, _ = batch
    full = outputs[::-1]
    soft = soft_loss(SmoothedCrossentropy(0.5, from_logits=True), "output")
    probabilities = np.exp(full) / np.exp(full).sum(-1, keepdims=True)
    logarithms = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    expected = -(probabilities * logarithms).sum(-1).mean()
    given = soft({"output": full.copy(), "labels": labels}, outputs)
    np.testing.assert_allclose(given, expected, rtol=1e-5)


def test_is_saved_and_loaded(batch):
    labels, outputs, _ = batch
    loss = SmoothedCrossentropy(0.2, from_logits=True)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_allclose(again(labels, outputs), loss(labels, outputs))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), True])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="Received: label_smoothing="):
        SmoothedCrossentropy(share)


def test_a_slimmable_model_trains_with_it():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(3)(hidden)), min_width=0.5)
    slim.compile("sgd", SmoothedCrossentropy(0.1, from_logits=True), metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    losses = slim.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
