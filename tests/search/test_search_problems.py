"""The benchmark's problems: their fronts by dynamic programming are those of enumeration."""

import importlib.util
import itertools
import pathlib

import numpy as np
import pytest

from keras_joslim.search import front_indices

PATH = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "search_problems.py"


@pytest.fixture(scope="module")
def problems():
    spec = importlib.util.spec_from_file_location("search_problems", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "settings", [{"additive": True}, {}, {"narrower": True, "transform": np.log}]
)
def test_the_front_of_a_chain_is_that_of_all_its_networks(problems, settings):
    small = problems.Chain(4, seed=7, choices=6, **settings)
    everything = small.space.canonical(list(itertools.product(*small.space.legal)))
    losses, costs = small.loss(everything), small.cost(everything)
    kept = front_indices(losses, costs)
    np.testing.assert_allclose(small.front[0], losses[kept], rtol=1e-12)
    np.testing.assert_array_equal(small.front[1], costs[kept])
    assert small.share(everything) == pytest.approx(1.0)
    assert small.share(everything[:1]) == 0.0


def test_a_chain_of_two_groups_by_hand(problems):
    """Widths (0, 1) of each; losses 4, 1 of the first; of the pair 3 less where they agree."""
    losses = np.array([[4.0, 7.0], [4.0, 1.0]])
    costs = np.array([[1, 1], [3, 3]])
    last = np.array([[0.0], [0.5]]), np.array([[1], [2]])
    # (0, 0): 4 at 2; (0, 1): 7.5 at 3; (1, 0): 4 at 4; (1, 1): 1.5 at 5.
    front = problems.chain_front([(losses, costs), last])
    assert front[0].tolist() == [4.0, 1.5]
    assert front[1].tolist() == [2, 5]


def test_measured_losses_have_the_noise_that_is_said(problems):
    noisy = problems.Chain(4, seed=1, noise=0.1)
    widths = noisy.space.sample(np.random.default_rng(0), 500)
    errors = noisy.measured(widths, np.random.default_rng(0)) - noisy.loss(widths)
    worst, least = noisy.loss(np.stack([noisy.space.smallest, noisy.space.full]))
    assert np.std(errors) == pytest.approx(0.1 * (worst - least), rel=0.1)
