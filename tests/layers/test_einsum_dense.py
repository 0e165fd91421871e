"""Which einsums are dense layers, and that the others run whole."""

import keras
import numpy as np
import pytest

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout


@pytest.mark.parametrize(
    ("equation", "bias_axes"),
    [
        ("ab,bc->ac", None),
        ("abc,cd->abd", "d"),
        ("abcd,de->abce", "e"),
        ("...x,xy->...y", "y"),
        ("...ax,xy->...ay", ""),
        ("BTd,dF->BTF", "F"),
    ],
)
def test_is_dense(equation, bias_axes):
    layer = keras.layers.EinsumDense(equation, (None, 4), bias_axes=bias_axes)
    assert layers.is_dense(layer)


@pytest.mark.parametrize(
    ("equation", "bias_axes"),
    [
        ("abc,cde->abde", None),
        ("abcd,cde->abe", None),
        ("abc,bd->adc", None),
        ("ab...,bc->ac...", None),
        ("abc,cd->adb", None),
        ("ab,cb->ac", None),
        ("abc,cd->abd", "bd"),
        ("abc,cd->abd", "b"),
        ("abc,cd->ad", None),
        ("ab,bb->ab", None),
        ("aab,bc->aac", None),
        ("abc,ca->aba", None),
        ("x,xy->y", None),
    ],
)
def test_is_not_dense(equation, bias_axes):
    layer = keras.layers.EinsumDense(equation, (None, 4), bias_axes=bias_axes)
    assert not layers.is_dense(layer)


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes", "input_shape", "macs"),
    [
        # The heads of an attention: 5 positions, 6 channels to 2 heads of 3.
        ("abc,cde->abde", (None, 2, 3), "de", (2, 5, 6), 5 * 6 * 2 * 3),
        ("abcd,cde->abe", (None, 7), "e", (2, 5, 2, 3), 5 * 2 * 3 * 7),
        ("abc,bd->adc", (7, 6), "d", (2, 5, 6), 6 * 5 * 7),
        ("ab...,bc->ac...", 7, None, (2, 5, 4, 6), 4 * 6 * 5 * 7),
        ("...ab,bac->...c", 7, "c", (2, 4, 5, 6), 4 * 5 * 6 * 7),
    ],
)
def test_other_equations_run_at_full_width(equation, output_shape, bias_axes, input_shape, macs):
    stock = keras.layers.EinsumDense(equation, output_shape, bias_axes=bias_axes)
    x = np.random.default_rng(0).normal(size=input_shape).astype("float32")
    expected = stock(x)
    fixed = [ChannelLayout.fixed(shape[-1]) for shape in (x.shape, expected.shape)]
    layer = layers.SlimEinsumDense.from_stock(stock, *fixed)
    widths = np.array([1])
    layer(x, widths)
    layer.set_weights(stock.get_weights())
    np.testing.assert_array_equal(layer(x, widths), expected)
    assert layer.macs(x.shape, expected.shape) == [(macs, None, None)]
    again = layer.stock(widths)
    again.build(x.shape)
    again.set_weights(list(layer.sliced_weights(widths).values()))
    np.testing.assert_array_equal(again(x), expected)


def test_other_equations_are_refused_where_channels_are_narrowed():
    message = "not that of a dense layer.*'its_name' with equation='abc,cde->abde', bias_axes='e'"
    with pytest.raises(ValueError, match=message):
        layers.SlimEinsumDense(
            "abc,cde->abde",
            (None, 2, 4),
            bias_axes="e",
            in_layout=ChannelLayout.of_group(0, 6),
            out_layout=ChannelLayout.fixed(4),
            name="its_name",
        )
