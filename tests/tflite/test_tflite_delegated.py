"""What XNNPACK takes of a file: partitions, operators, and what is left to the built-in kernels."""

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.tflite.delegated import delegated

layers = keras.layers


def _file(build, number_format="fp32", shape=(8, 8, 4)):
    keras.utils.set_random_seed(0)
    image = keras.Input(shape, name="image")
    model = keras.Model(image, build(image))
    images = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    return tflite.to_tflite(model, number_format, representative=images)


def _convolutions(image):
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    return layers.Conv2D(4, 3, padding="same")(layers.DepthwiseConv2D(3)(x))


def test_a_mobile_network_is_taken_whole():
    data = _file(_convolutions)
    result = delegated(data)
    assert (result.partitions, result.left) == (1, ())
    assert result.taken == result.operators == len(tflite.operators(data))


def test_an_operator_without_a_kernel_of_its_own_splits_the_graph():
    def build(image):
        x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
        x = keras.ops.cumsum(x, axis=1)
        return layers.Conv2D(4, 3, padding="same")(layers.Conv2D(4, 1)(x))

    data = _file(build)
    names = list(tflite.operators(data))
    result = delegated(data)
    assert names.count("CUMSUM") == 1
    assert (result.partitions, result.left) == (2, ("CUMSUM",))
    assert (result.taken, result.operators) == (len(names) - 1, len(names))


def test_what_the_delegate_has_no_kernels_for_is_left_whole():
    data = _file(_convolutions, "int16x8")
    result = delegated(data)
    assert (result.partitions, result.taken) == (0, 0)
    assert set(result.left) == set(tflite.operators(data))
    assert result.to_dict()["left"] == list(result.left)


def test_bytes_that_are_no_file():
    with pytest.raises(ValueError, match="cannot run this TFLite file \\(4 bytes\\)"):
        delegated(b"nope")
