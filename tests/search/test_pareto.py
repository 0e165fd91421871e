"""Domination, hypervolume and gap areas against numbers worked out by hand."""

import numpy as np
import pytest

from keras_joslim.search.pareto import front_indices, gap_areas, hypervolume, non_dominated


def _dominated_by_definition(losses, costs):
    return np.array(
        [
            any(b <= a and d <= c and (b < a or d < c) for b, d in zip(losses, costs, strict=True))
            for a, c in zip(losses, costs, strict=True)
        ],
        bool,
    )


def test_non_dominated_by_hand():
    losses = [5.0, 3.0, 4.0, 1.0, 2.0]
    costs = [1.0, 2.0, 3.0, 4.0, 4.0]
    assert non_dominated(losses, costs).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("levels", [2, 4, 50])
def test_non_dominated_is_the_definition_with_ties_and_duplicates(levels):
    rng = np.random.default_rng(levels)
    for n in (1, 2, 3, 10, 60):
        losses, costs = rng.integers(levels, size=(2, n)).astype(float)
        expected = ~_dominated_by_definition(losses, costs)
        np.testing.assert_array_equal(non_dominated(losses, costs), expected)


def test_peeling_fronts_of_equal_points_ends():
    losses, costs = np.ones(500), np.ones(500)
    assert non_dominated(losses, costs).all()
    assert front_indices(losses, costs).tolist() == [0]
    assert gap_areas(losses, costs).shape == (0,)


def test_no_points():
    assert non_dominated([], []).shape == (0,)
    assert front_indices([], []).shape == (0,)
    assert gap_areas([], []).shape == (0,)
    assert hypervolume([], [], (1.0, 1.0)) == 0.0


def test_front_indices_ascend_in_cost_and_take_the_first_of_a_tie():
    losses, costs = [0.1, 0.9, 0.1, 0.5, 0.9], [7.0, 1.0, 7.0, 3.0, 2.0]
    assert front_indices(losses, costs).tolist() == [1, 3, 0]


def test_front_is_strict_in_both():
    rng = np.random.default_rng(3)
    costs = rng.integers(12, size=80).astype(float)
    losses = 12 - costs + rng.integers(3, size=80)
    front = front_indices(losses, costs)
    assert len(front) > 5
    assert (np.diff(costs[front]) > 0).all()
    assert (np.diff(losses[front]) < 0).all()


def test_hypervolume_by_hand():
    # Slabs from cost 1 to 2, 2 to 4, 4 to 5 of heights 6-5, 6-3, 6-1.
    assert hypervolume([5.0, 3.0, 1.0], [1.0, 2.0, 4.0], (6.0, 5.0)) == 1.0 + 6.0 + 5.0


def test_hypervolume_ignores_dominated_repeated_and_outside_points():
    front = hypervolume([5.0, 3.0], [1.0, 2.0], (6.0, 5.0))
    more = hypervolume([5.0, 3.0, 3.0, 5.5, 7.0, 0.0], [1.0, 2.0, 2.0, 4.0, 0.5, 5.0], (6.0, 5.0))
    assert front == more == 1.0 + 9.0


def test_hypervolume_is_the_covered_share_of_a_grid():
    rng = np.random.default_rng(0)
    losses, costs = rng.random((2, 30))
    line = (np.arange(1000) + 0.5) / 1000
    covered = np.zeros((1000, 1000), bool)
    for loss, cost in zip(losses, costs, strict=True):
        covered |= (line[:, None] >= loss) & (line[None, :] >= cost)
    assert hypervolume(losses, costs, (1.0, 1.0)) == pytest.approx(covered.mean(), abs=2e-3)


def test_gap_areas_by_hand():
    losses, costs = [1.0, 4.0, 2.0, 5.0, 2.0], [5.0, 1.0, 2.0, 3.0, 2.0]
    assert gap_areas(losses, costs).tolist() == [(2.0 - 1.0) * (4.0 - 2.0), (5.0 - 2.0) * 1.0]


@pytest.mark.parametrize("function", [non_dominated, front_indices, gap_areas])
def test_points_without_a_loss_are_refused(function):
    with pytest.raises(ValueError, match=r"loss=nan at index 1\. Leave out"):
        function([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"cost=inf at index 0"):
        function([1.0], [np.inf])
    with pytest.raises(ValueError, match=r"losses\.shape=\(2,\), costs\.shape=\(1,\)"):
        function([1.0, 2.0], [2.0])


@pytest.mark.parametrize("reference", [(1.0,), (1.0, np.nan), 3.0])
def test_a_reference_is_a_pair(reference):
    with pytest.raises(ValueError, match=r"two numbers, \(loss, cost\)"):
        hypervolume([1.0], [1.0], reference)
