"""The augmented Tchebyshev scalarisation and the bisection of its weight."""

import numpy as np
import pytest

from keras_joslim.search.scalarisation import choose_by_cost, choose_by_weight, tchebyshev


def _front(n=2001):
    """A front of many points: losses fall from 2 to -2 as costs rise from -2 to 2."""
    costs = np.linspace(-2, 2, n)
    return -2 + (2 - costs) ** 2 / 4, costs


def test_tchebyshev_by_hand():
    values = tchebyshev([1.0, -2.0], [-1.0, 3.0], weight=0.25)
    # Point 0: loss 0.25 (1 + 3) = 1, cost 0.75 (-1 + 3) = 1.5; point 1: 0.25 and 4.5.
    np.testing.assert_allclose(values, [1.5 + 1e-6 * 2.5, 4.5 + 1e-6 * 4.75], rtol=1e-12)


def test_the_augmentation_prefers_the_dominating_one_of_a_tie():
    # The cost term is the larger one for both, and equal.
    assert choose_by_weight(np.array([0.5, 0.1]), np.array([1.0, 1.0]), 0.1).index == 1


@pytest.mark.parametrize("weight", [0.05, 0.3, 0.5, 0.9])
def test_a_dominated_candidate_is_never_chosen(weight):
    losses, costs = np.array([0.0, 0.1, -1.0, 1.0]), np.array([0.0, 0.0, 1.0, -1.0])
    assert choose_by_weight(losses, costs, weight).index != 1


def test_more_weight_on_the_loss_costs_more():
    losses, costs = _front()
    chosen = [costs[choose_by_weight(losses, costs, w).index] for w in np.linspace(0.2, 0.8, 13)]
    assert (np.diff(chosen) > 0).all()


@pytest.mark.parametrize("start", [0.5, 0.01, 0.99])
@pytest.mark.parametrize("target", [-1.9, -0.3, 0.0, 1.2, 1.99])
def test_bisection_reaches_any_cost_of_the_front(target, start):
    losses, costs = _front()
    choice = choose_by_cost(losses, costs, target, tolerance=0.02, start=start)
    assert abs(costs[choice.index] - target) <= 0.02
    assert not choice.missed
    assert choose_by_weight(losses, costs, choice.weight).index == choice.index


def test_a_start_that_is_good_enough_is_kept():
    losses, costs = _front()
    first = choose_by_cost(losses, costs, 0.7, tolerance=0.05)
    again = choose_by_cost(losses, costs, 0.7, tolerance=0.05, start=first.weight)
    assert again == first


@pytest.mark.parametrize(("target", "nearest"), [(0.2, 1), (-0.3, 0), (0.9, 1), (-5.0, 0)])
def test_a_missed_tolerance_is_flagged_and_the_nearest_iterate_kept(target, nearest):
    losses, costs = np.array([1.0, -1.0]), np.array([-1.0, 1.0])
    choice = choose_by_cost(losses, costs, target, tolerance=0.02)
    assert choice.missed
    assert choice.index == nearest


def test_a_cost_in_the_shadow_of_a_better_point_is_missed():
    # Nothing at cost 0 or 1 is worth its cost: the bisection cannot reach them, and says so.
    losses, costs = np.array([2.0, -1.0, -0.5, -0.4]), np.array([-2.0, -1.0, 0.0, 1.0])
    choice = choose_by_cost(losses, costs, 0.6, tolerance=0.1)
    assert (choice.index, choice.missed) == (1, True)
