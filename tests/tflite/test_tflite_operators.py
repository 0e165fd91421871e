"""Operators are listed as they run; Flex, custom operators and damaged files are refused."""

import keras
import pytest
import tensorflow as tf

from keras_joslim import tflite
from keras_joslim.tflite.quiet import native_logs


@pytest.fixture(scope="module")
def flex_file():
    """What a converter that may use TensorFlow's own kernels makes of a Cholesky operation."""

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 2, 2), tf.float32)])
        def __call__(self, x):
            return tf.linalg.cholesky(x + 1.0)

    module = Module()
    with native_logs():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.__call__.get_concrete_function()], module
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        return converter.convert()


def test_operators_come_in_execution_order(files):
    assert tflite.operators(files["fp32"]) == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "ADD",
        "MEAN",
        "FULLY_CONNECTED",
    ]
    assert tflite.check_operators(files["fp32"]) == tflite.operators(files["fp32"])


def test_flex_is_listed_and_refused_by_name(flex_file):
    assert tflite.operators(flex_file) == ["ADD", "FlexCholesky"]
    with pytest.raises(ValueError, match=r"in a.tflite.*Flex operators \['FlexCholesky'\]"):
        tflite.check_operators(flex_file, "a.tflite")


def test_custom_operators_are_refused_by_name(flex_file):
    # Same length, so that the offsets in the file stay right.
    custom = flex_file.replace(b"FlexCholesky", b"MyOwnCholesk")
    with pytest.raises(ValueError, match=r"custom operators \['MyOwnCholesk'\]"):
        tflite.check_operators(custom)


def test_interpreter_reports_what_it_cannot_run(flex_file):
    with pytest.raises(ValueError, match=r"LiteRT cannot run these bytes.*Select TensorFlow op"):
        tflite.Interpreter(flex_file)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not TFLite at all"])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(ValueError, match=r"Expected a TFLite file .*in x.bin|x.bin, \d+ bytes"):
        tflite.operators(data, "x.bin")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_file_is_refused(files, share):
    data = files["fp32"][: int(len(files["fp32"]) * share)]
    with pytest.raises(ValueError, match=r"cut short or damaged"):
        tflite.operators(data, "x.tflite")


def test_keras_model_is_not_a_file():
    with pytest.raises(TypeError):
        tflite.operators(keras.Sequential())
