"""The width MRF on MobileNetV2's groups and layers, beside CP-SAT; thinned spaces."""

import importlib.util
import pathlib
import sys

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.search import WidthMRF, thinned
from keras_joslim.width_space import ChannelGroup, WidthSpace

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


def _benchmark(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mobilenet():
    """The thinned width space of MobileNetV2, its MACs as factors, and the MACs."""
    slim = kj.make_slimmable(keras.applications.MobileNetV2((224, 224, 3), weights=None), 0.25)
    space, macs = thinned(slim.width_space, 12), kj.costs.MACs(slim)
    return space, macs.factors(space.legal), macs


def test_a_thinned_space():
    groups = [ChannelGroup("a", 100, tuple(range(25, 101))), ChannelGroup("b", 8, (2, 4, 8))]
    space = WidthSpace(groups, [(1, 0)], [("x", "why")])
    thin = thinned(space, 4)
    assert thin.groups[0].legal == (25, 50, 75, 100)
    assert thin.groups[1].legal == (2, 4, 8)
    assert (thin.ordering, thin.frozen, thin.names) == (space.ordering, space.frozen, space.names)
    assert [group.legal for group in thinned(space, 1).groups] == [(100,), (8,)]
    with pytest.raises(ValueError, match="choices must be a whole number, at least 1"):
        thinned(space, 0)


def test_mobilenet_fits_in_small_tables(mobilenet):
    space, factors, macs = mobilenet
    assert {len(legal) for legal in space.legal} == {12}
    field = WidthMRF(space, factors)
    assert field.memory < 2**20
    widths = space.sample(np.random.default_rng(0), 100)
    np.testing.assert_allclose(field.cost(widths), macs(widths), rtol=1e-12)
    # The cheapest is the smallest network; without a price, the best scores are taken.
    scores = [np.linspace(1.0, 0.0, 12) for _ in space.legal]
    np.testing.assert_array_equal(field.minimum(scores, 1.0).widths, space.smallest)
    np.testing.assert_array_equal(field.minimum(scores, 0.0).widths, space.full)
    least = int(macs(space.smallest))
    with pytest.raises(ValueError, match=f"the least cost within these legal widths is {least}"):
        field.within(scores, least - 1)
    np.testing.assert_array_equal(field.within(scores, least).widths, space.smallest)


def test_bounds_of_mobilenet_are_close(mobilenet):
    # The dual bound is never above the optimum: this holds for the optimum too.
    space, factors, _ = mobilenet
    width_mrf = _benchmark("width_mrf")
    gaps = []
    for seed in range(5):
        drawn, scores, budget = width_mrf.drawn_instance(space, factors, seed)
        found = WidthMRF(space, drawn).within(scores, budget)
        assert found.cost <= budget
        gaps.append((found.score - found.bound) / sum(np.ptp(values) for values in scores))
    assert min(gaps) >= 0.0
    assert np.median(gaps) <= 0.005


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="no OR-tools beside TensorFlow's protobuf")
def test_minima_are_those_of_cp_sat(mobilenet):
    space, factors, _ = mobilenet
    width_mrf, cp_sat = _benchmark("width_mrf"), _benchmark("cp_sat")
    for seed in range(4):
        drawn, scores, budget = width_mrf.drawn_instance(space, factors, seed)
        field = WidthMRF(space, drawn)
        # The price at which the budget is about met: neither end of the space is the answer.
        gamma = field.within(scores, budget).gamma
        found = field.minimum(scores, gamma)
        widths, proved = cp_sat.solve(space, drawn, scores, gamma, seconds=120.0)
        assert proved
        theirs = field.score(scores, widths) + gamma * field.cost(widths)
        # CP-SAT's numbers are whole: 25 scores and as many factors, each rounded by half a unit.
        spread = sum(np.ptp(values) for values in scores)
        assert found.score + gamma * found.cost == pytest.approx(theirs, abs=1e-5 * spread)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="no OR-tools beside TensorFlow's protobuf")
def test_widths_within_a_budget_are_as_good_as_those_of_cp_sat(mobilenet):
    space, factors, _ = mobilenet
    width_mrf, cp_sat = _benchmark("width_mrf"), _benchmark("cp_sat")
    gaps = []
    for seed in range(3):
        drawn, scores, budget = width_mrf.drawn_instance(space, factors, seed)
        field, spread = WidthMRF(space, drawn), sum(np.ptp(values) for values in scores)
        found = field.within(scores, budget)
        widths, proved = cp_sat.solve(space, drawn, scores, budget=budget, seconds=60.0)
        theirs = field.score(scores, widths)
        assert field.cost(widths) <= budget
        assert found.bound <= theirs + 1e-5 * spread
        if proved:
            assert theirs <= found.score + 1e-5 * spread
        gaps.append((found.score - theirs) / spread)
    assert np.median(gaps) <= 0.005
