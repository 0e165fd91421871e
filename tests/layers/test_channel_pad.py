"""The zero-padded shortcut: as many zeros as the wider group has more channels."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.layers import SlimChannelPad

FULL = np.array([4, 7], np.int32)
PAD = ((0, 0), (0, 0), (0, 0), (0, 3))


def layer(pad_width=PAD, **arguments):
    layouts = {
        "in_layout": ChannelLayout.of_group(0, 4),
        "out_layout": ChannelLayout.of_group(1, 7),
    }
    return SlimChannelPad(pad_width, **{**layouts, **arguments})


def images(channels):
    return np.random.default_rng(0).normal(size=(2, 3, 3, channels)).astype("float32")


@pytest.mark.parametrize("widths", [(4, 7), (3, 7), (3, 3), (1, 5)])
def test_pads_at_the_end(widths):
    x = images(widths[0])
    outputs = layer()(x, np.array(widths, np.int32)).numpy()
    assert outputs.shape[-1] == widths[1]
    np.testing.assert_array_equal(outputs[..., : widths[0]], x)
    assert not outputs[..., widths[0] :].any()


def test_pads_space_and_another_value():
    pads = ((0, 0), (1, 0), (2, 1), (0, 3))
    x = images(2)
    outputs = layer(pads)(x, np.array([2, 6], np.int32), constant_values=2.5).numpy()
    expected = np.pad(x, ((0, 0), (1, 0), (2, 1), (0, 4)), constant_values=2.5)
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("widths", [(4, 7), (2, 6), (3, 3)])
def test_the_stock_pad_does_the_same(widths):
    x, widths = images(widths[0]), np.array(widths, np.int32)
    pad = layer()
    np.testing.assert_array_equal(pad.stock(widths)(x), pad(x, widths))
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, pad.stock(widths)(inputs))
    np.testing.assert_array_equal(model(x), pad(x, widths))


@pytest.mark.parametrize("fixed", ["in_layout", "out_layout"])
def test_one_side_may_be_fixed(fixed):
    size = {"in_layout": 4, "out_layout": 7}[fixed]
    pad = layer(**{fixed: ChannelLayout.fixed(size)})
    widths = np.array([4 if fixed == "in_layout" else 2, 7 if fixed == "out_layout" else 5])
    assert pad(images(widths[0]), tf.constant(widths, tf.int32)).shape[-1] == widths[1]


def test_one_trace_and_shapes():
    pad, traces = layer(), []

    @tf.function(
        input_signature=[
            tf.TensorSpec((2, 3, 3, None), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        ]
    )
    def call(x, widths):
        traces.append(1)
        return pad(x, widths)

    for widths in ([4, 7], [1, 2], [2, 7]):
        assert call(images(widths[0]), np.array(widths, np.int32)).shape == (2, 3, 3, widths[1])
    assert len(traces) == 1
    assert pad.compute_output_shape((None, 3, 3, 2)) == (None, 3, 3, 7)


def test_config_and_file(tmp_path):
    pad = layer(name="shortcut")
    config = json.loads(json.dumps(pad.get_config()))
    again = SlimChannelPad.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    x, w = keras.Input((3, 3, 4)), keras.Input(batch_shape=(2,), dtype="int32")
    model = keras.Model([x, w], pad(x, w))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded([images(4), FULL]), model([images(4), FULL]))
