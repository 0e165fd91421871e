"""Convolutions at run-time widths against loops over pixels, written without Keras."""

import numpy as np
import pytest

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout
from tests.layers.numpy_patches import patches

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 7, 6, 11)).astype("float32")
# Six channels of group 0, three fixed ones, two of group 1.
SOURCE = ChannelLayout.of_group(0, 6) + ChannelLayout.fixed(3) + ChannelLayout.of_group(1, 2)
TARGET = ChannelLayout.of_group(2, 5)
WIDTHS = np.array([4, 1, 3], np.int32)
ACTIVE = [0, 1, 2, 3, 6, 7, 8, 9]
GEOMETRIES = [
    {"strides": 1, "padding": "valid", "dilation_rate": 1},
    {"strides": 1, "padding": "same", "dilation_rate": 1},
    {"strides": 2, "padding": "same", "dilation_rate": 1},
    {"strides": 3, "padding": "valid", "dilation_rate": 1},
    {"strides": 1, "padding": "same", "dilation_rate": 2},
    {"strides": 1, "padding": "valid", "dilation_rate": 2},
]
ids = [f"{g['padding']}, strides {g['strides']}, dilation {g['dilation_rate']}" for g in GEOMETRIES]


def randomised(layer, shape):
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(RNG.normal(size=weight.shape))
    return layer


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ids)
def test_convolution(geometry):
    layer = layers.SlimConv2D(
        5, (3, 2), **geometry, activation="relu", in_layout=SOURCE, out_layout=TARGET
    )
    randomised(layer, IMAGES.shape)
    outputs = layer(IMAGES[..., ACTIVE], WIDTHS).numpy()
    kernel = layer.kernel.numpy()[:, :, ACTIVE, :3]
    expected = np.einsum(
        "nijabc,abcd->nijd", patches(IMAGES[..., ACTIVE], (3, 2), **geometry), kernel
    )
    expected = np.maximum(expected + layer.bias.numpy()[:3], 0)
    assert (expected > 0).any()
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=ids)
def test_depthwise_convolution(geometry):
    layer = layers.SlimDepthwiseConv2D(
        (3, 3), **geometry, depth_multiplier=2, in_layout=SOURCE, out_layout=SOURCE.scaled(2)
    )
    randomised(layer, IMAGES.shape)
    outputs = layer(IMAGES[..., ACTIVE], WIDTHS).numpy()
    kernel = layer.kernel.numpy()[:, :, ACTIVE]
    expected = np.einsum(
        "nijabc,abcm->nijcm", patches(IMAGES[..., ACTIVE], (3, 3), **geometry), kernel
    )
    expected = expected.reshape(*expected.shape[:3], 2 * len(ACTIVE))
    expected += layer.bias.numpy()[[2 * c + m for c in ACTIVE for m in (0, 1)]]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_separable_convolution():
    layer = layers.SlimSeparableConv2D(
        5, (3, 3), padding="same", depth_multiplier=2, in_layout=SOURCE, out_layout=TARGET
    )
    randomised(layer, IMAGES.shape)
    outputs = layer(IMAGES[..., ACTIVE], WIDTHS).numpy()
    depthwise = layer.depthwise_kernel.numpy()[:, :, ACTIVE]
    middle = np.einsum(
        "nijabc,abcm->nijcm", patches(IMAGES[..., ACTIVE], (3, 3), 1, "same", 1), depthwise
    )
    rows = [2 * c + m for c in ACTIVE for m in (0, 1)]
    pointwise = layer.pointwise_kernel.numpy()[0, 0][rows, :3]
    expected = middle.reshape(*middle.shape[:3], -1) @ pointwise + layer.bias.numpy()[:3]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-3)


def test_dense_after_flatten():
    flat = SOURCE.repeated(3)
    layer = randomised(layers.SlimDense(5, in_layout=flat, out_layout=TARGET), (2, 33))
    pixels = RNG.normal(size=(2, 3, 11)).astype("float32")
    outputs = layer(pixels[..., ACTIVE].reshape(2, -1), WIDTHS).numpy()
    kernel = layer.kernel.numpy().reshape(3, 11, 5)[:, ACTIVE, :3]
    expected = np.einsum("npc,pcd->nd", pixels[..., ACTIVE].astype("float64"), kernel)
    np.testing.assert_allclose(outputs, expected + layer.bias.numpy()[:3], rtol=1e-4, atol=1e-4)
