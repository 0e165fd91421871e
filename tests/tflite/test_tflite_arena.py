"""The arena is read from addresses: it holds what is live, and what kernels need beside it."""

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from tests.tflite.naive_memory import address_range

layers = keras.layers


def test_it_is_the_range_of_addresses(files):
    # Every tensor is rounded up to 64 bytes, the last one too.
    assert 0 <= tflite.arena_bytes(files["fp32"]) - address_range(files["fp32"]) < 64
    assert tflite.arena_bytes(files["fp32"]) == tflite.arena_bytes(files["fp32"])


def test_it_holds_the_live_tensors_and_the_unfolded_image_of_a_convolution(files):
    arena = tflite.arena_bytes(files["fp32"])
    # The stem reads 3 x 3 x 3 values at each of 8 x 8 places.
    assert arena >= 4 * 27 * 64 + 4 * 16 * 16 * 3
    assert arena > tflite.activation_bytes(files["fp32"])


def test_expanded_weights_are_in_it(files):
    more = tflite.arena_bytes(files["fp16"]) - tflite.arena_bytes(files["fp32"])
    expanded = 2 * tflite.weight_bytes(files["fp16"])
    assert 0.8 * expanded < more < 0.8 * expanded + 64 * 20


def test_operators_that_run_in_place_need_less_than_inputs_and_outputs():
    """Why the arena is no upper bound: a product is written over an operand."""
    inputs = keras.Input((16, 16, 2))
    x = layers.Conv2D(32, 1, activation="swish")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    data = tflite.to_tflite(model)
    one = 4 * 16 * 16 * 32
    assert tflite.activation_bytes(data) == 3 * one
    assert 2 * one <= tflite.arena_bytes(data) < 3 * one


def test_a_file_that_cannot_run_is_an_error(files):
    with pytest.raises(ValueError, match="identifier 'TFL3'"):
        tflite.arena_bytes(b"<html>not found</html>")
    # The operator of the file's code 0 becomes one that is not there.
    broken = bytearray(files["fp32"])
    from ai_edge_litert import schema_py_generated as schema

    code = schema.Model.GetRootAs(broken).OperatorCodes(0)
    place = code._tab.Pos + code._tab.Offset(4)
    np.frombuffer(broken, np.int8)[place] = 126
    with pytest.raises(ValueError, match="built-in interpreter cannot run this TFLite file"):
        tflite.arena_bytes(bytes(broken))
