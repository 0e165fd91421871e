"""Which points to ship: knees, the best few, names."""

import itertools

import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.front import ParetoPoint
from keras_joslim.front_selection import best_subset, knees
from keras_joslim.search import hypervolume


def _front(losses, costs):
    points = [
        ParetoPoint(f"p{i:02d}", (i,), {"macs": cost, "memory": -cost}, {"loss": loss})
        for i, (loss, cost) in enumerate(zip(losses, costs))
    ]
    return kj.ParetoFront(points)


def _random(rng, size):
    """A front: losses that descend, costs that ascend."""
    return np.sort(rng.uniform(0.2, 2.0, size))[::-1], np.sort(rng.uniform(1.0, 9.0, size))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_best_few_are_those_of_a_search_through_all(count):
    rng = np.random.default_rng(count)
    for _ in range(20):
        losses, costs = _random(rng, 9)
        corner = (1.1 * losses[0] - 0.1 * losses[-1], 1.1 * costs[-1] - 0.1 * costs[0])
        subsets = [[0, *inner, 8] for inner in itertools.combinations(range(1, 8), count - 2)]
        areas = [hypervolume(losses[s], costs[s], corner) for s in subsets]
        assert best_subset(losses, costs, count) == subsets[int(np.argmax(areas))]


def test_one_point_is_the_one_that_dominates_most():
    # Reference (1.07, 3.2): 0.07 * 2.2, 0.57 * 1.2, 0.77 * 0.2.
    assert best_subset([1.0, 0.5, 0.3], [1, 2, 3], 1) == [1]


def test_a_budget_above_the_front_is_all_of_it():
    assert best_subset([1.0, 0.5], [1, 2], 5) == [0, 1]


def test_knees_by_hand():
    # Rates 0.5, 0.3, 0.1, 0.09: only the third is at most half of the second.
    assert knees([1.0, 0.5, 0.2, 0.1, 0.01], [1, 2, 3, 4, 5]) == [0, 2, 4]
    # A point above the hull is no knee, and hides none: rates 0.1 and 0.8, then 0.1.
    assert knees([1.0, 0.9, 0.1, 0.0], [1, 2, 3, 4]) == [0, 2, 3]
    assert knees([1.0], [1]) == [0]
    assert knees([1.0, 0.5], [1, 2]) == [0, 1]


def test_knees_do_not_depend_on_units():
    rng = np.random.default_rng(3)
    for _ in range(20):
        losses, costs = _random(rng, 12)
        assert knees(losses, costs) == knees(7 * losses + 3, 1e6 * costs)


def test_a_front_is_selected_by_its_own_cost():
    front = _front([1.0, 0.5, 0.2, 0.1, 0.01], [1, 2, 3, 4, 5])
    assert front.select("all") == ["p00", "p01", "p02", "p03", "p04"]
    assert front.select("knees") == ["p00", "p02", "p04"]
    assert front.select("budget:1") == ["p02"]
    assert len(front.select("budget:4")) == 4
    assert front.select("p03,p01") == ["p01", "p03"]
    assert front.select(["p03"]) == ["p03"]


@pytest.mark.parametrize("points", ["budget:0", "budget:x", "some", "p00,p77", [], ""])
def test_anything_else_is_refused(points):
    with pytest.raises(ValueError, match=r"Received: points="):
        _front([1.0, 0.5], [1, 2]).select(points)
