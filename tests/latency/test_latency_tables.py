"""Tables of latency: what lies between knots, and how often each value counts."""

import itertools

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from keras_joslim.costs.latency_tables import Grid, Term, design, make_grids
from tests.latency.networks import chain


def test_between_knots_a_table_is_bilinear_and_beyond_them_constant():
    rng = np.random.default_rng(0)
    grid = Grid("x", (np.array([2.0, 3.0, 8.0]), np.array([1.0, 5.0])), 0)
    values = rng.random(grid.shape)
    independent = RegularGridInterpolator(grid.axes, values)
    places = rng.uniform([2, 1], [8, 5], (50, 2))
    index, weight = grid.weights(places)
    assert (values.ravel()[index] * weight).sum(1) == pytest.approx(independent(places))
    assert weight.sum(1) == pytest.approx(np.ones(50))
    index, weight = grid.weights(np.array([[1.0, 9.0], [10.0, 0.0]]))
    assert (values.ravel()[index] * weight).sum(1) == pytest.approx([values[0, 1], values[2, 0]])


def test_at_its_knots_a_table_is_its_values():
    grid = Grid("x", (np.array([4.0, 8.0, 12.0]),), 0)
    index, weight = grid.weights(grid.axes[0][:, None])
    assert (np.array([5.0, 7.0, 1.0])[index] * weight).sum(1).tolist() == [5, 7, 1]


def test_operators_of_one_signature_share_a_table_over_all_their_widths():
    network = chain()
    grids = make_grids(network.terms, network.space.legal)
    assert [grid.signature for grid in grids] == ["CONV a -> b", "CONV image -> a"]
    # Its first axis is group a of one operator and group b of the other.
    assert [axis.tolist() for axis in grids[0].axes] == [[2, 4, 6, 8], [2, 4, 6, 8]]
    assert [(grid.start, grid.size) for grid in grids] == [(0, 16), (16, 4)]


def test_many_widths_are_thinned_to_knots_with_both_ends():
    term = Term("x", "x", ((1.0, 0.0),))
    (grid,) = make_grids([term], [np.arange(3, 65)], knots=5)
    assert len(grid.axes[0]) == 5
    assert grid.axes[0][[0, -1]].tolist() == [3, 64]
    both = Term("x", "x", ((1.0, 2.0, 3.0),))
    (grid,) = make_grids([both], [np.arange(1, 5), np.arange(1, 9)], knots=4)
    assert len(grid.axes[0]) == 4
    assert grid.axes[0][[0, -1]].tolist() == [1 + 2 + 3, 4 + 16 + 3]


def test_the_design_counts_what_each_network_looks_up():
    network = chain()
    grids = make_grids(network.terms, network.space.legal)
    rng = np.random.default_rng(1)
    values = rng.random(sum(grid.size for grid in grids))
    pair, single = (values[grid.values].reshape(grid.shape) for grid in grids)
    widths = np.array(list(itertools.product((2, 4, 6, 8), (2, 4, 6))))
    found = design(grids, network.terms, widths) @ values
    at = {2: 0, 4: 1, 6: 2, 8: 3}
    expected = [single[at[a]] + pair[at[a], at[b]] + pair[at[b], at[a]] for a, b in widths.tolist()]
    assert found == pytest.approx(expected)


def test_terms_survive_json():
    for term in chain().terms:
        assert Term.from_dict(term.to_dict(), groups=2) == term
