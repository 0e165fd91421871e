"""Costs as tables: sums of widths, checks, and the tables of real networks' MACs and parameters."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.costs import Factor, WidthSum
from keras_joslim.costs.factor import bilinear_factors

LEGAL = [np.array([2, 4]), np.array([8]), np.array([3, 5])]


def test_values_of_a_sum():
    np.testing.assert_array_equal(WidthSum(((0, 1), (2, 1))).values(LEGAL), [5, 7, 9])
    np.testing.assert_array_equal(WidthSum(((2, 2), (1, 3))).values(LEGAL), [30, 34])
    assert WidthSum(((2, 2), (1, 3))) == WidthSum([(1, 3), (2, 2)])
    assert WidthSum(((2, 2), (1, 3))).groups == (1, 2)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (((0, 1),), "of two groups or more"),
        (((0, 1), (0, 2)), "each once"),
        (((0, 1), (1, 0.5)), "of whole numbers"),
        (((0, 1), (-1, 1)), "Received: terms="),
        (((0, 1), (1, 0)), "Weights are whole numbers from 1"),
        (((0, 1), (1, np.nan)), "of whole numbers"),
        ((0, 1), r"\(group, weight\) pairs"),
    ],
)
def test_sums_that_are_none(terms, message):
    with pytest.raises(ValueError, match=message):
        WidthSum(terms)


@pytest.mark.parametrize(
    ("groups", "table", "message"),
    [
        ((0, 1), np.ones(3), r"table of as many axes. Received: .*\(3,\)"),
        ((0, 0), np.ones((2, 2)), "each of its axes once"),
        (("stem",), np.ones(2), "index of a channel group or a WidthSum. Received: 'stem'"),
        ((True,), np.ones(2), "Received: True"),
        ((0,), [1.0, np.nan], r"finite numbers. Received: nan at \(1,\)"),
        ((), np.inf, r"finite numbers. Received: inf at \(\)"),
    ],
)
def test_factors_that_are_none(groups, table, message):
    with pytest.raises(ValueError, match=message):
        Factor(groups, table)


def test_the_tables_of_a_bilinear_cost_written_out():
    # 3 (a + 1) c + 2 c (a) + 5 (2 a + 2 c) + 7 c c + 11, of a and c.
    first = (
        np.array([[1, 0, 2, 0, 0], [0] * 5, [0, 1, 2, 1, 0]], float),
        np.array([1.0, 0, 0, 0, 1]),
    )
    second = (
        np.array([[0, 1, 0, 0, 0], [0] * 5, [1, 0, 0, 1, 0]], float),
        np.array([0.0, 0, 1, 0, 1]),
    )
    factors = bilinear_factors([3.0, 2.0, 5.0, 7.0, 11.0], first, second, LEGAL)
    by_axes = {factor.groups: factor.table for factor in factors}
    assert set(by_axes) == {(0, 2), (WidthSum(((0, 1), (2, 1))),), (2,), ()}
    np.testing.assert_array_equal(by_axes[0, 2], [[27 + 12, 45 + 20], [45 + 24, 75 + 40]])
    np.testing.assert_array_equal(by_axes[WidthSum(((0, 1), (2, 1))),], [50, 70, 90])
    np.testing.assert_array_equal(by_axes[2,], [63, 175])
    assert by_axes[()] == 11


def test_a_table_too_large_is_refused_before_it_is_made():
    legal = [np.arange(1, 2**13)] * 4
    weights = np.zeros((4, 1)), np.zeros((4, 1))
    weights[0][[0, 1]], weights[1][[2, 3]] = 1, 1
    sides = [(side, np.zeros(1)) for side in weights]
    with pytest.raises(ValueError, match=r"a table of \d+ entries over .* fewer legal widths"):
        bilinear_factors([1.0], *sides, legal)


def _networks():
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(6, 3, name="a")(inputs)
    b = layers.Conv2D(5, 3, name="b")(inputs)
    both = layers.Concatenate()([a, b])
    c = layers.BatchNormalization()(layers.Conv2D(4, 1, name="c")(both))
    three = layers.Concatenate()([a, b, c])
    d = layers.DepthwiseConv2D(3)(three)
    d = layers.Conv2D(4, 1, name="d")(d)
    e = layers.Dense(7, name="e")(
        layers.Flatten()(layers.Concatenate()([d, layers.Conv2D(3, 3)(c)]))
    )
    concatenated = keras.Model(inputs, layers.Dense(2)(e))
    x = layers.Conv2D(6, 3, padding="same")(inputs)
    for _ in range(2):
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(6, 1, activation="sigmoid")(layers.Conv2D(3, 1)(gate))
        y = layers.Multiply()([x, gate])
        x = layers.Add()([x, layers.Conv2D(6, 3, padding="same")(y)])
    gated = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    return {"concatenated": concatenated, "residual with gates": gated}


@pytest.mark.parametrize("cost", [kj.costs.MACs, kj.costs.Parameters])
@pytest.mark.parametrize("name", ["concatenated", "residual with gates"])
def test_the_tables_of_a_network_add_up_to_its_cost(name, cost):
    slim = kj.make_slimmable(_networks()[name], 0.3)
    space, cost = slim.width_space, cost(slim)
    factors = cost.factors(space.legal)
    field = kj.search.WidthMRF(space, factors)
    widths = np.concatenate([space.sample(np.random.default_rng(0), 200), space.full[None]])
    np.testing.assert_allclose(field.cost(widths), cost(widths), rtol=1e-12)
    if name == "concatenated":
        assert any(isinstance(axis, WidthSum) for factor in factors for axis in factor.groups)
    # Minima over all networks of it (thinned) are those by enumeration.
    thin = kj.search.thinned(space, 3)
    everything = np.array(np.meshgrid(*thin.legal, indexing="ij")).reshape(len(thin), -1).T
    rng = np.random.default_rng(1)
    scores = [rng.gamma(1.0) * -np.log(legal) for legal in thin.legal]
    field = kj.search.WidthMRF(thin, cost.factors(thin.legal))
    gamma = 0.5 / cost(space.full)
    least = (field.score(scores, everything) + gamma * cost(everything)).min()
    found = field.minimum(scores, gamma)
    assert found.score + gamma * found.cost == pytest.approx(least)
