"""Layer, root-mean-square and group normalization at run-time widths."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout
from tests.layer_test import Channels, run_slim_layer_test
from tests.layers.norm_cases import CASES, FIVE, IMAGES, THREE, A, B, layer_norm


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_norm_layer(case):
    run_slim_layer_test(case)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`:UserWarning")
@pytest.mark.parametrize("center", [True, False])
def test_layer_norm_scaled_by_the_deviation(center):
    run_slim_layer_test(
        layer_norm({"rms_scaling": True, "center": center}, A + THREE + B, (6, 4), IMAGES)
    )


# -- by the formulas, in numpy ------------------------------------------------------------

LAYOUT = (A + THREE + B).layout
WIDTHS = np.array([4, 2], np.int32)
ACTIVE = [0, 1, 2, 3, 6, 7, 8, 9, 10]


def randomised(slim, shape, layout=LAYOUT, **arguments):
    layer = slim(**arguments, in_layout=layout, out_layout=layout)
    layer.build((*shape, layout.size))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def images(shape, channels):
    return (np.random.default_rng(1).normal(size=(*shape, channels)) * 3 + 1).astype("float32")


def test_layer_norm_by_the_formula():
    layer = randomised(layers.SlimLayerNormalization, IMAGES, epsilon=0.01)
    x = images(IMAGES, len(ACTIVE))
    mean, variance = x.mean(-1, keepdims=True), x.astype("float64").var(-1, keepdims=True)
    gamma, beta = layer.gamma.numpy()[ACTIVE], layer.beta.numpy()[ACTIVE]
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    np.testing.assert_allclose(layer(x, WIDTHS), expected, rtol=1e-5, atol=1e-5)


def test_layer_norm_over_all_axes_by_the_formula():
    layer = randomised(layers.SlimLayerNormalization, IMAGES, axis=[1, 2, 3], epsilon=0.01)
    x = images(IMAGES, len(ACTIVE))
    mean, variance = (f(x.astype("float64"), (1, 2, 3), keepdims=True) for f in (np.mean, np.var))
    gamma, beta = layer.gamma.numpy()[..., ACTIVE], layer.beta.numpy()[..., ACTIVE]
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    np.testing.assert_allclose(layer(x, WIDTHS), expected, rtol=1e-5, atol=1e-5)


def test_rms_norm_by_the_formula():
    layer = randomised(layers.SlimRMSNormalization, IMAGES, epsilon=0.01)
    x = images(IMAGES, len(ACTIVE))
    square = np.mean(x.astype("float64") ** 2, -1, keepdims=True)
    expected = x / np.sqrt(square + 0.01) * layer.scale.numpy()[ACTIVE]
    np.testing.assert_allclose(layer(x, WIDTHS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (5, 3), IMAGES], ids=["rank 2", "rank 3", "rank 4"])
def test_group_norm_by_the_formula(shape):
    layout = (A + B).layout
    layer = randomised(layers.SlimGroupNormalization, shape, layout, groups=5, epsilon=0.01)
    # Three normalisation groups of two channels: two of the first segment, one of the second.
    x, active = images(shape, 6), [0, 1, 2, 3, 6, 7]
    gamma, beta = layer.gamma.numpy()[active], layer.beta.numpy()[active]
    expected = np.empty(x.shape)
    for first in (0, 2, 4):
        group = x[..., first : first + 2].astype("float64")
        over = tuple(range(1, x.ndim))
        mean, variance = group.mean(over, keepdims=True), group.var(over, keepdims=True)
        expected[..., first : first + 2] = (group - mean) / np.sqrt(variance + 0.01)
    expected = expected * gamma + beta
    np.testing.assert_allclose(layer(x, WIDTHS), expected, rtol=1e-5, atol=1e-5)


def test_group_norm_is_the_full_network_s_in_every_group_that_is_kept():
    """What dropping whole groups means: the others' statistics do not change."""
    layer = randomised(layers.SlimGroupNormalization, IMAGES, A.layout, groups=3)
    x = images(IMAGES, 6)
    full, narrow = layer(x, np.array([6])), layer(x[..., :4], np.array([4]))
    np.testing.assert_allclose(narrow, full[..., :4], rtol=1e-6, atol=1e-6)


# -- in training ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_training_is_that_of_the_stock_layer(case):
    layer = case.built()
    # In a graph, where channel counts are not static, the operations are the same.
    signature = [
        tf.TensorSpec((*case.shape, None), tf.float32),
        tf.TensorSpec((len(case.full),), tf.int32),
    ]
    graph = tf.function(lambda x, widths: layer(x, widths, training=True), signature)
    for widths in case.widths(1):
        x = tf.constant(case.images(widths))
        stock = case.stock_layer(layer, widths)
        probe = np.random.default_rng(4).normal(size=x.shape).astype("float32")
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            outputs, expected = layer(x, widths, training=True), stock(x, training=True)
            loss, of_stock = tf.reduce_sum(outputs * probe), tf.reduce_sum(expected * probe)
        assert_close(outputs, expected)
        assert_close(graph(x, widths), expected)
        assert_close(tape.gradient(loss, x), tape.gradient(of_stock, x))
        for ours, theirs in zip(layer.trainable_weights, stock.trainable_weights, strict=True):
            ours = case.sliced(ours.name, tape.gradient(loss, ours.value).numpy(), widths)
            assert_close(ours, tape.gradient(of_stock, theirs.value))


def assert_close(actual, expected):
    """To 1e-6 of the largest entry, or of 1: one channel alone has no gradient."""
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=1e-6)


def test_a_mask_passes_through():
    tokens = keras.Input((5,), dtype="int32")
    widths = keras.Input(batch_shape=(1,), dtype="int32")
    x = keras.layers.Embedding(9, 6, mask_zero=True)(tokens)
    for slim in (
        layers.SlimLayerNormalization(in_layout=A.layout, out_layout=A.layout),
        layers.SlimGroupNormalization(3, in_layout=A.layout, out_layout=A.layout),
    ):
        assert getattr(slim(x, widths), "_keras_mask", None) is not None


# -- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("slim", [layers.SlimLayerNormalization, layers.SlimRMSNormalization])
def test_axes_out_of_order_are_refused_where_channels_are_narrowed(slim):
    """Keras sorts the axes as written, so that gamma is (channels, height, width)."""
    layer = slim(axis=[1, 2, -1], in_layout=A.layout, out_layout=A.layout, name="its_name")
    message = r"all from the back. Received: layer 'its_name' with axis=\[1, 2, -1\]. .*\[1, 2, 3\]"
    with pytest.raises(ValueError, match=message):
        layer.build((2, 4, 3, 6))


def test_axes_out_of_order_run_at_full_width():
    arguments = {"axis": [1, 2, -1]}
    layer = layers.SlimLayerNormalization(
        **arguments, in_layout=FIVE.layout, out_layout=FIVE.layout
    )
    stock = keras.layers.LayerNormalization(**arguments)
    for each in (layer, stock):
        each.build((*IMAGES, 5))
        each.gamma.assign(np.random.default_rng(0).normal(size=(5, 4, 3)))
    x = images(IMAGES, 5)
    np.testing.assert_array_equal(layer(x, np.array([1])), stock(x))


def test_rms_norm_of_other_axes_is_refused():
    layer = layers.SlimRMSNormalization(
        axis=1, in_layout=A.layout, out_layout=A.layout, name="its_name"
    )
    with pytest.raises(ValueError, match="normalises the last axis.*'its_name' with axis=1"):
        layer.build((2, 6, 6))


def test_group_norm_of_another_axis_is_refused():
    layer = layers.SlimGroupNormalization(
        2, axis=1, in_layout=A.layout, out_layout=A.layout, name="its_name"
    )
    with pytest.raises(ValueError, match="normalises the last axis.*'its_name' with axis=1"):
        layer.build((2, 6, 6))


def test_group_norm_of_another_axis_runs_at_full_width():
    layer = layers.SlimGroupNormalization(2, axis=1, in_layout=FIVE.layout, out_layout=FIVE.layout)
    stock = keras.layers.GroupNormalization(2, axis=1)
    x = images(IMAGES, 5)
    np.testing.assert_array_equal(layer(x, np.array([1])), stock(x))


@pytest.mark.parametrize(
    ("groups", "layout"),
    [
        (2, A.layout + ChannelLayout.fixed(2)),
        (5, (A + THREE + Channels.fixed(1)).layout.repeated(2)),
        (2, (A + B).layout),
    ],
    ids=["ends inside", "repeated", "across segments"],
)
def test_normalisation_groups_across_segments_are_refused(groups, layout):
    size = layout.size // groups
    message = (
        rf"whole normalisation groups, here of {size} channels.*'its_name' with groups={groups}"
    )
    with pytest.raises(ValueError, match=message):
        layers.SlimGroupNormalization(groups, in_layout=layout, out_layout=layout, name="its_name")
