"""Batch normalization: statistics by the formula, moved by the full network alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.layers import SlimBatchNormalization

FULL = np.array([6], np.int32)
NARROW = np.array([4], np.int32)
GROUP = ChannelLayout.of_group(0, 6)
SHAPES = {2: (8,), 3: (4, 3), 4: (3, 4, 5), 5: (2, 3, 2, 2)}


def norm(shape, **arguments):
    layer = SlimBatchNormalization(in_layout=GROUP, out_layout=GROUP, **arguments)
    layer.build((*shape, 6))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 2, size=6))
    return layer


def stock_like(layer, shape, **arguments):
    stock = keras.layers.BatchNormalization(**arguments)
    stock.build((*shape, 6))
    stock.set_weights(layer.get_weights())
    return stock


def images(shape, channels=6, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(*shape, channels)) * 3 + 1).astype("float32")


def values(layer):
    return {w.name: w.numpy() for w in layer.weights}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=[f"rank {n}" for n in SHAPES])
def test_training_by_the_formula(shape):
    layer = norm(shape, momentum=0.7, epsilon=0.01)
    x, before = images(shape), values(layer)
    outputs = layer(x, FULL, training=True).numpy()
    pixels = x.reshape(-1, 6).astype("float64")
    # The variance of the batch itself: the fused kernel's is N / (N - 1) times larger.
    mean, variance = pixels.mean(0), pixels.var(0)
    expected = (x - mean) / np.sqrt(variance + 0.01) * before["gamma"] + before["beta"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    after = values(layer)
    np.testing.assert_allclose(
        after["moving_mean"], 0.7 * before["moving_mean"] + 0.3 * mean, rtol=1e-5
    )
    np.testing.assert_allclose(
        after["moving_variance"], 0.7 * before["moving_variance"] + 0.3 * variance, rtol=1e-5
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=[f"rank {n}" for n in SHAPES])
@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}])
def test_many_training_steps_leave_the_stock_statistics(shape, arguments):
    layer = norm(shape, momentum=0.9, **arguments)
    stock = stock_like(layer, shape, momentum=0.9, **arguments)
    for seed in range(5):
        x = images(shape, seed=seed)
        np.testing.assert_allclose(
            layer(x, FULL, training=True), stock(x, training=True), rtol=1e-5, atol=1e-5
        )
    for name, value in values(layer).items():
        np.testing.assert_allclose(value, values(stock)[name], rtol=1e-5)


def test_one_pixel_has_no_variance():
    layer = norm((1, 1, 1))
    stock = stock_like(layer, (1, 1, 1))
    x = images((1, 1, 1))
    np.testing.assert_allclose(layer(x, FULL, training=True), stock(x, training=True), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, stock.moving_variance, rtol=1e-6)


def test_the_fused_kernel_runs_on_slices_in_training_and_nowhere_else():
    def operations(training, **arguments):
        layer = norm(SHAPES[4], **arguments)
        signature = [
            tf.TensorSpec((*SHAPES[4], None), tf.float32),
            tf.TensorSpec((1,), tf.int32),
        ]
        call = tf.function(
            lambda x, widths: layer(x, widths, training=training, update_statistics=False),
            input_signature=signature,
        )
        return {op.type for op in call.get_concrete_function().graph.get_operations()}

    assert "FusedBatchNormV3" in operations(True)
    assert "FusedBatchNormV3" not in operations(False)
    # cuDNN refuses such an epsilon; replicas would each take their own moments.
    assert "FusedBatchNormV3" not in operations(True, epsilon=1e-6)
    assert "FusedBatchNormV3" not in operations(True, synchronized=True)


def test_synchronized_takes_the_stock_moments():
    layer = norm(SHAPES[4], synchronized=True)
    stock = stock_like(layer, SHAPES[4], synchronized=True)
    x = images(SHAPES[4])
    np.testing.assert_allclose(
        layer(x, FULL, training=True), stock(x, training=True), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(layer.moving_variance, stock.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("widths", [FULL, NARROW], ids=["full", "narrow"])
@pytest.mark.parametrize("shape", [SHAPES[3], SHAPES[4]], ids=["rank 3", "rank 4"])
def test_without_update_moving_statistics_stay(shape, widths):
    layer = norm(shape)
    before = values(layer)
    x = images(shape, widths[0])
    outputs = layer(x, widths, training=True, update_statistics=False).numpy()
    for name, value in values(layer).items():
        np.testing.assert_array_equal(value, before[name])
    # Normalised with the batch's own statistics all the same.
    plain = (outputs - before["beta"][: widths[0]]) / before["gamma"][: widths[0]]
    np.testing.assert_allclose(plain.reshape(-1, widths[0]).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(plain.reshape(-1, widths[0]).var(0), 1, rtol=1e-2)


@pytest.mark.parametrize("widths", [FULL, NARROW], ids=["full", "narrow"])
def test_batch_statistics_in_inference_change_nothing_of_the_layer(widths):
    layer = norm(SHAPES[4])
    before = values(layer)
    x = images(SHAPES[4], widths[0])
    outputs = layer(x, widths, training=False, batch_statistics=True)
    trained = layer(x, widths, training=True, update_statistics=False)
    np.testing.assert_array_equal(outputs, trained)
    assert not np.allclose(outputs, layer(x, widths, training=False))
    for name, value in values(layer).items():
        np.testing.assert_array_equal(value, before[name])


def test_moving_statistics_on_request_in_training():
    layer = norm(SHAPES[4])
    x = images(SHAPES[4], 4)
    outputs = layer(x, NARROW, training=True, batch_statistics=False, update_statistics=False)
    np.testing.assert_array_equal(outputs, layer(x, NARROW, training=False))


def test_call_arguments_reach_a_layer_inside_a_model():
    layer = norm(SHAPES[4])
    x, w = keras.Input(SHAPES[4][1:] + (6,)), keras.Input(batch_shape=(1,), dtype="int32")
    model = keras.Model([x, w], layer(x, w))
    model._register_call_context_args("batch_statistics", "update_statistics")
    data, before = images(SHAPES[4]), values(layer)
    outputs = model([data, FULL], training=False, batch_statistics=True)
    np.testing.assert_array_equal(outputs, layer(data, FULL, batch_statistics=True))
    model([data, FULL], training=True, update_statistics=False)
    np.testing.assert_array_equal(layer.moving_mean, before["moving_mean"])
    model([data, FULL], training=True)
    assert not np.allclose(layer.moving_mean, before["moving_mean"])


def test_a_frozen_layer_infers_in_training_as_the_stock_one_does():
    layer = norm(SHAPES[4])
    stock = stock_like(layer, SHAPES[4])
    layer.trainable = stock.trainable = False
    x, before = images(SHAPES[4]), values(layer)
    np.testing.assert_array_equal(layer(x, FULL, training=True), stock(x, training=True))
    np.testing.assert_array_equal(layer.moving_mean, before["moving_mean"])
    # The history is re-calibrated on batch statistics, frozen or not.
    assert not np.allclose(layer(x, FULL, batch_statistics=True), layer(x, FULL))


@pytest.mark.parametrize("shape", [SHAPES[3], SHAPES[4]], ids=["rank 3", "rank 4"])
def test_masked_positions_do_not_count(shape):
    layer = norm(shape, momentum=0.5)
    stock = stock_like(layer, shape, momentum=0.5)
    x = images(shape)
    mask = np.random.default_rng(2).random(shape) < 0.6
    kept = x[mask].astype("float64")
    before = values(layer)
    outputs = layer(x, FULL, training=True, inputs_mask=tf.constant(mask)).numpy()
    expected = stock(x, training=True, mask=tf.constant(mask)).numpy()
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        layer.moving_mean, 0.5 * before["moving_mean"] + 0.5 * kept.mean(0), rtol=1e-4
    )
    np.testing.assert_allclose(
        layer.moving_variance, 0.5 * before["moving_variance"] + 0.5 * kept.var(0), rtol=1e-4
    )


def test_gradients_of_the_fused_path_are_those_of_the_formula():
    layer = norm(SHAPES[4])
    x = tf.constant(images(SHAPES[4], 4).astype("float64"))
    probe = tf.constant(np.random.default_rng(3).normal(size=x.shape))
    gamma, beta = (tf.cast(v.value[:4], tf.float64) for v in (layer.gamma, layer.beta))
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        outputs = (x - mean) / tf.sqrt(variance + layer.epsilon) * gamma + beta
        loss = tf.reduce_sum(outputs * probe)
    expected = tape.gradient(loss, [x, gamma, beta])
    single = tf.cast(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(single)
        outputs = layer(single, NARROW, training=True, update_statistics=False)
        loss = tf.reduce_sum(outputs * tf.cast(probe, tf.float32))
    sources = [single, layer.gamma.value, layer.beta.value]
    of_input, of_gamma, of_beta = (
        tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, sources)
    )
    np.testing.assert_allclose(of_input, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_gamma[:4], expected[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_beta[:4], expected[2], rtol=1e-4, atol=1e-4)
    assert not of_gamma[4:].any()
    assert not of_beta[4:].any()


def test_renorm_is_refused():
    with pytest.raises(ValueError, match=r"renormalization is not slimmable.*'its_name'"):
        SlimBatchNormalization(renorm=True, in_layout=GROUP, out_layout=GROUP, name="its_name")


def test_another_axis_is_refused():
    layer = SlimBatchNormalization(axis=1, in_layout=GROUP, out_layout=GROUP, name="its_name")
    with pytest.raises(ValueError, match=r"the last axis.*'its_name' with axis=1"):
        layer.build((2, 3, 6))
    # The last axis, counted from the front, is the last axis.
    SlimBatchNormalization(axis=2, in_layout=GROUP, out_layout=GROUP).build((2, 3, 6))
