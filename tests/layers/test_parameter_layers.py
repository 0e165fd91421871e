"""Layers with parameters or constants a channel that are neither kernels nor norms of the batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.costs.bilinear import BilinearCost
from tests.layer_test import run_slim_layer_test
from tests.layers.norm_cases import CASES as NORMS
from tests.layers.parameter_cases import CASES, FIVE, IMAGES, MIXED, THREE, A, constants, numbers


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_parameter_layer(case):
    run_slim_layer_test(case)


@pytest.mark.parametrize("case", [*CASES.values(), *NORMS.values()], ids=[*CASES, *NORMS])
def test_cost_terms_are_those_of_the_stock_layer(case):
    layer = case.built()
    shape = (*case.shape, len(case.source.each))
    output_shape = layer.compute_output_shape(shape)
    parameters = BilinearCost([*layer.parameters(), (0, None, None)], len(case.full))
    macs = BilinearCost([*layer.macs(shape, output_shape), (0, None, None)], len(case.full))
    for widths in case.widths():
        stock = case.stock_layer(layer, widths)
        assert parameters(widths) == stock.count_params()
        # Of these layers an einsum alone multiplies and accumulates.
        is_einsum = case.slim is layers.SlimEinsumDense
        positions = np.prod(case.shape[1:])
        assert macs(widths) == (positions * np.prod(stock.kernel.shape) if is_einsum else 0)


# -- embedding --------------------------------------------------------------------------------


def stock_embedding(**more):
    layer = keras.layers.Embedding(9, 6, **more)
    layer.build((None, None))
    layer.set_weights([np.random.default_rng(0).normal(size=(9, 6))])
    return layer


def slim_embedding(stock):
    layer = layers.SlimEmbedding.from_stock(stock, None, A.layout)
    layer.build((None, None))
    layer.set_weights(stock.get_weights())
    return layer


@pytest.mark.parametrize("length", [5, None])
def test_embedding_in_a_model_with_a_mask(length):
    """A sum over the positions that are not padding, of sequences of any length."""
    stock = stock_embedding(mask_zero=True)
    layer = slim_embedding(stock)
    tokens = keras.Input((length,), dtype="int32")
    widths = keras.Input(batch_shape=(1,), dtype="int32")
    pool = keras.layers.GlobalAveragePooling1D()
    embedded = layer(tokens, widths)
    assert embedded.shape == (None, length, 6)
    model = keras.Model([tokens, widths], pool(embedded))
    x = np.array([[3, 1, 0, 8, 0], [2, 0, 0, 0, 0]])
    table = stock.embeddings.numpy()
    for width in (6, 2):
        outputs = model([x, np.array([width])]).numpy()
        expected = [table[[3, 1, 8], :width].mean(0), table[2, :width]]
        np.testing.assert_allclose(outputs, expected, rtol=1e-6)


def test_the_gradient_of_an_embedding_in_a_graph_is_sparse():
    """And TensorFlow has nothing to warn of, whatever the width."""
    layer = slim_embedding(stock_embedding())

    @tf.function(
        input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((1,), tf.int32)]
    )
    def gradient(tokens, widths):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(tokens, widths))
        (found,) = tape.gradient(loss, [layer.embeddings.value])
        assert isinstance(found, tf.IndexedSlices)
        return tf.convert_to_tensor(found)

    expected = np.zeros((9, 6))
    expected[3, :2], expected[8, :2] = 2, 1
    np.testing.assert_array_equal(gradient([[3, 8, 3]], [2]), expected)


# -- normalization and rescaling ----------------------------------------------------------------


def test_normalization_follows_its_weights():
    """The stock layer computes with copies, which are out of date once weights are assigned."""
    data = np.random.default_rng(0).normal(size=(50, 6)).astype("float32") * 3 + 1
    stock = keras.layers.Normalization()
    stock.adapt(data)
    layer = layers.SlimNormalization.from_stock(stock, A.layout, A.layout)
    layer.build((None, 6))
    layer.set_weights(stock.get_weights())
    outputs = layer(data[:, :4], np.array([4])).numpy()
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(layer(data, np.array([6])), stock(data))


@pytest.mark.parametrize("invert", [False, True])
def test_normalization_by_the_formula(invert):
    layer = layers.SlimNormalization(
        **constants(MIXED), invert=invert, in_layout=MIXED.layout, out_layout=MIXED.layout
    )
    widths, active = np.array([2, 3]), [0, 1, 6, 7, 8, 9, 10, 11]
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    mean, variance = (np.array(v)[active] for v in constants(MIXED).values())
    deviation = np.sqrt(variance)
    expected = x * deviation + mean if invert else (x - mean) / deviation
    np.testing.assert_allclose(layer(x, widths), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [1, (1, 2), (1, 2, 3)])
def test_normalization_of_other_axes_is_refused_where_channels_are_narrowed(axis):
    layer = layers.SlimNormalization(
        axis=axis, in_layout=A.layout, out_layout=A.layout, name="its_name"
    )
    with pytest.raises(ValueError, match="the last axis or none. Received: layer 'its_name' with"):
        layer.build((2, 4, 3, 6))


@pytest.mark.parametrize("axis", [1, (1, 2), (1, 3)])
def test_normalization_of_other_axes_runs_at_full_width(axis):
    x = np.random.default_rng(0).normal(size=(*IMAGES, 5)).astype("float32")
    stock = keras.layers.Normalization(axis=axis)
    stock.adapt(x)
    layer = layers.SlimNormalization.from_stock(stock, FIVE.layout, FIVE.layout)
    layer.build(x.shape)
    layer.set_weights(stock.get_weights())
    np.testing.assert_array_equal(layer(x, np.array([1])), stock(x))


def test_constants_of_other_axes_stay_whole():
    x = np.random.default_rng(0).normal(size=(*IMAGES, 5)).astype("float32")
    mean, variance = np.random.default_rng(1).uniform(0.5, 2, (2, 3, 5)).tolist()
    stock = keras.layers.Normalization(axis=(2, 3), mean=mean, variance=variance)
    layer = layers.SlimNormalization.from_stock(stock, FIVE.layout, FIVE.layout)
    widths = np.array([1])
    np.testing.assert_array_equal(layer(x, widths), stock(x))
    np.testing.assert_array_equal(layer.stock(widths)(x), stock(x))


def test_an_array_of_scales_keeps_its_dtype():
    """A list is rounded to float32 first, an array of float64 is not."""
    scale = np.array(numbers(A, 5))
    stock = keras.layers.Rescaling(scale, dtype="mixed_float16")
    layer = layers.SlimRescaling.from_stock(stock, A.layout, A.layout)
    narrow = layer.stock(np.array([4])).scale
    assert isinstance(narrow, np.ndarray)
    assert narrow.dtype == np.float64
    np.testing.assert_array_equal(narrow, scale[:4])


def test_scales_a_pixel_and_a_channel():
    scale = np.random.default_rng(0).normal(size=(4, 3, 6))
    layer = layers.SlimRescaling(scale, in_layout=A.layout, out_layout=A.layout)
    x = np.random.default_rng(1).normal(size=(2, 4, 3, 5)).astype("float32")
    widths = np.array([5])
    np.testing.assert_allclose(layer(x, widths), x * scale[..., :5], rtol=1e-6)
    np.testing.assert_array_equal(layer(x, widths), layer.stock(widths)(x))


@pytest.mark.parametrize(
    "layer",
    [
        layers.SlimRescaling([2.0, 3.0, 4.0], in_layout=THREE.layout, out_layout=THREE.layout),
        layers.SlimNormalization(
            mean=[-1.0] * 3,
            variance=[0.25, 1 / 9, 1 / 16],
            in_layout=THREE.layout,
            out_layout=THREE.layout,
        ),
    ],
    ids=["rescaling", "normalization"],
)
def test_bytes_enter_a_model(layer):
    """Images as whole numbers, which no other layer of a network takes."""
    images = keras.Input((None, None, 3), dtype="uint8")
    widths = keras.Input(batch_shape=(1,), dtype="int32")
    model = keras.Model([images, widths], layer(images, widths))
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype("uint8")
    outputs = model([x, np.array([1])]).numpy()
    offset = 1.0 if isinstance(layer, layers.SlimNormalization) else 0.0
    np.testing.assert_allclose(outputs, (x + offset) * np.array([2.0, 3.0, 4.0]), rtol=1e-6)
    # As in every slimmable layer, the widths are the last positional argument.
    (node,) = layer._inbound_nodes
    assert node.arguments.args[-1] is widths
