"""MACs of layers that stay stock, against counts written out."""

import keras
import numpy as np
import pytest

import keras_joslim as kj

layers = keras.layers


def _model(x, y):
    """Something to narrow in front, so that the model can be converted."""
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


def attention(kind, **arguments):
    x = keras.Input((6, 5))
    y = layers.Dense(8)(layers.Dense(7)(x))
    z = layers.Dense(8)(layers.Dense(4)(keras.ops.concatenate([x, x], axis=1)))
    return _model(x, kind(**arguments)(y, z))


MULTI_HEAD = 6 * 8 * 2 * 3 + 12 * 8 * 2 * (3 + 5) + 6 * 12 * 2 * (3 + 5) + 6 * 2 * 5 * 8
GROUPED_QUERY = 6 * 8 * 4 * 3 + 12 * 8 * 2 * (3 + 3) + 6 * 12 * 4 * (3 + 3) + 6 * 4 * 3 * 8


@pytest.mark.parametrize(
    ("kind", "arguments", "count"),
    [
        (layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 3, "value_dim": 5}, MULTI_HEAD),
        (
            layers.GroupQueryAttention,
            {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
            GROUPED_QUERY,
        ),
    ],
)
def test_attention(kind, arguments, count):
    slim = kj.make_slimmable(attention(kind, **arguments))
    macs = kj.costs.MACs(slim)
    searchable = 6 * 7 * (5 + 8) + 12 * 4 * (5 + 8)
    assert macs(slim.width_space.full) == searchable + count + 8 * 3
    assert macs.searchable_share == pytest.approx(searchable / (searchable + count + 8 * 3))


@pytest.mark.parametrize(
    ("equation", "output_shape", "count"),
    [
        ("atc,tcd->atd", (6, 4), 6 * 8 * 4),
        ("...c,cde->...de", (2, 4), 6 * 8 * 2 * 4),
        ("atc,cde->atde", (6, 2, 4), 6 * 8 * 2 * 4),
    ],
)
def test_dense_layers_of_any_equation(equation, output_shape, count):
    x = keras.Input((6, 5))
    y = layers.EinsumDense(equation, output_shape)(layers.Dense(8)(layers.Dense(7)(x)))
    y = layers.Flatten()(y)
    size = y.shape[-1]
    model = keras.Model(x, layers.Dense(3)(y))
    macs = kj.costs.MACs(kj.make_slimmable(model))
    assert macs([7]) == 6 * 5 * 7 + 6 * 7 * 8 + count + size * 3


def test_recurrent_and_wrapped_layers():
    x = keras.Input((6, 5))
    y = layers.Dense(8)(layers.Dense(10)(x))
    y = layers.SpectralNormalization(layers.Conv1D(7, 3, padding="same"))(y)
    y = layers.TimeDistributed(layers.Dense(9))(y)
    y = layers.LSTM(4, return_sequences=True)(y)
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(y)
    macs = kj.costs.MACs(kj.make_slimmable(_model(x, y)))
    lstm, gru = 4 * 4 * (9 + 4), 2 * 3 * 3 * (4 + 3)
    steps = 5 * 10 + 10 * 8 + 3 * 8 * 7 + 7 * 9 + lstm + gru
    assert macs([10]) == 6 * steps + 6 * 3


def test_sequences_of_unknown_length_are_refused():
    x = keras.Input((None, 5))
    y = layers.LSTM(4, return_sequences=True, name="memory")(layers.Embedding(9, 5)(x[..., 0]))
    y = layers.Dense(8)(y)
    model = _model(x, layers.Dense(7)(y))
    with pytest.raises(ValueError, match="has no static shape, so its MACs are unknown"):
        kj.costs.MACs(kj.make_slimmable(model))
    assert kj.costs.Parameters(kj.make_slimmable(model))([8, 7]) > 0
    np.testing.assert_array_equal(kj.make_slimmable(model).width_space.full, [8, 7])
