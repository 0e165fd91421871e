"""Convolutions along one, two and three axes, plain, transposed, depthwise and separable."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout
from tests.layer_test import run_slim_layer_test
from tests.layers.conv_cases import (
    CASES,
    IMAGES,
    SERIES,
    THREE,
    VOLUMES,
    A,
    B,
    C,
    check_costs,
    conv,
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_slim_layer(case):
    run_slim_layer_test(case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_costs_are_those_of_the_stock_layer(case):
    check_costs(case)


TRANSPOSED = {
    "valid": {"strides": (2, 1)},
    "same": {"strides": (2, 2), "padding": "same"},
    "same, strides 3": {"strides": (3, 3), "padding": "same"},
    "strides above the kernel": {"strides": (4, 3)},
}


@pytest.mark.parametrize("geometry", TRANSPOSED.values(), ids=TRANSPOSED.keys())
def test_transposed_convolution_against_a_loop_over_pixels(geometry):
    rng = np.random.default_rng(0)
    source, target = (A + THREE + B).layout, C.layout
    layer = layers.SlimConv2DTranspose(
        5, (3, 2), **geometry, in_layout=source, out_layout=target, bias_initializer="ones"
    )
    layer.build((2, 4, 5, 13))
    widths, active = np.array([4, 1, 3], np.int32), [0, 1, 2, 3, 6, 7, 8, 9]
    images = rng.normal(size=(2, 4, 5, 13)).astype("float32")[..., active]
    outputs = layer(images, widths).numpy()
    kernel = layer.kernel.numpy()[:, :, :3, active]
    down, right = geometry["strides"]
    # Each pixel adds its picture of the kernel, of which "same" keeps strides x pixels.
    rows, columns = 3 * down + max(3, down), 4 * right + max(2, right)
    expected = np.ones((2, rows, columns, 3))
    for i in range(4):
        for j in range(5):
            print_of_it = np.einsum("nc,abdc->nabd", images[:, i, j], kernel)
            expected[:, i * down : i * down + 3, j * right : j * right + 2] += print_of_it
    if geometry.get("padding") == "same":
        top, left = max(3 - down, 0) // 2, max(2 - right, 0) // 2
        expected = expected[:, top : top + 4 * down, left : left + 5 * right]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("slim", "shape"),
    [
        (layers.SlimConv1DTranspose, SERIES),
        (layers.SlimConv2DTranspose, IMAGES),
        (layers.SlimConv3DTranspose, VOLUMES),
    ],
)
def test_dilated_transposed_convolution(slim, shape):
    case = conv(slim, A + THREE, B, shape, 2, dilation_rate=2)
    try:
        case.stock(**case.arguments)(case.images([6, 4]))
    except tf.errors.InvalidArgumentError:
        pytest.skip("TensorFlow without oneDNN has none on a CPU")
    run_slim_layer_test(case)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution_of_unknown_shapes_in_one_trace(padding):
    case = conv(layers.SlimConv2DTranspose, A, C, IMAGES, strides=2, padding=padding)
    layer, traces = case.built(), []

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, None), tf.float32),
            tf.TensorSpec((3,), tf.int32),
        ]
    )
    def call(images, widths):
        traces.append(1)
        return layer(images, widths)

    for shape, widths in (((1, 4, 7, 2), [2, 1, 3]), ((3, 5, 2, 6), [6, 1, 5])):
        images = np.random.default_rng(0).normal(size=shape).astype("float32")
        stock = case.stock_layer(layer, widths)
        outputs = call(images, np.array(widths, np.int32))
        np.testing.assert_allclose(outputs, stock(images), rtol=1e-6, atol=1e-5)
    assert len(traces) == 1


def test_no_output_of_a_causal_convolution_sees_a_later_step():
    layer = layers.SlimConv1D(
        5, 3, padding="causal", dilation_rate=2, in_layout=A.layout, out_layout=C.layout
    )
    widths = np.array([4, 1, 3], np.int32)
    series = np.random.default_rng(0).normal(size=(1, 9, 4)).astype("float32")
    before = layer(series, widths).numpy()
    series[:, 6] += 1.0
    changed = np.abs(layer(series, widths).numpy() - before).max((0, 2)) > 1e-3
    assert changed.tolist() == [False] * 6 + [True, False, True]


FAMILIES = [getattr(layers, name) for name in layers.__all__ if "Conv" in name]


@pytest.mark.parametrize("slim", FAMILIES)
def test_channels_first_is_refused(slim):
    arguments = {"kernel_size": 3, "data_format": "channels_first", "name": "its"}
    if "Depthwise" not in slim.__name__:
        arguments["filters"] = 6
    with pytest.raises(ValueError, match="channels last.*'its' with data_format='channels_first'"):
        slim(**arguments, in_layout=A.layout, out_layout=A.layout)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_plain_convolution_names_the_grouped_one(rank):
    slim = getattr(layers, f"SlimConv{rank}D")
    fixed = ChannelLayout.fixed(4)
    message = f"one convolution group: use SlimGroupedConv{rank}D.*'its' with groups=2"
    with pytest.raises(ValueError, match=message):
        slim(4, 3, groups=2, in_layout=fixed, out_layout=fixed, name="its")


def test_every_convolution_of_keras_has_a_slimmable_one():
    endings = tuple(f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose"))
    names = {name for name in vars(keras.layers) if name.endswith(endings)}
    assert names == {slim.stock_class.__name__ for slim in FAMILIES}
    assert len(names) == 10
