"""The Chinese restaurant process: who sits where, and what platforms get of it."""

import numpy as np
import pytest

from keras_joslim.search import restaurant_weights
from keras_joslim.search.restaurant import table_sizes


class Told:
    """A generator that gives the numbers it was told."""

    def __init__(self, numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def test_customers_sit_where_the_drawn_number_falls():
    # alpha 1: customer n + 1 draws from [0, n + 1): the tables one after the other, then a new one.
    # 0 of [0, 1): new. 0.9 of [0, 2): the first. 2.1 of [0, 3): new. 1.6 of [0, 4): the first,
    # which has 2. 3.5 of [0, 5): the second, from 3 to 4. 4.9 of [0, 6): the second. 6.5 of 7: new.
    drawn = [0.5, 0.9 / 2, 2.1 / 3, 1.6 / 4, 3.5 / 5, 4.9 / 6, 6.5 / 7]
    assert table_sizes(1.0, 7, Told(drawn)).tolist() == [3, 3, 1]


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_seating_probabilities(alpha):
    rng, count = np.random.default_rng(0), 6000
    found = [tuple(table_sizes(alpha, 3, rng)) for _ in range(count)]
    # The second customer joins with 1 / (1 + alpha), and so on.
    same, new = 1 / (1 + alpha), alpha / (1 + alpha)
    expected = {
        (3,): same * 2 / (2 + alpha),
        (2, 1): same * alpha / (2 + alpha) + new * 1 / (2 + alpha),
        (1, 2): new * 1 / (2 + alpha),
        (1, 1, 1): new * alpha / (2 + alpha),
    }
    assert sum(expected.values()) == pytest.approx(1)
    for sizes, probability in expected.items():
        deviation = np.sqrt(count * probability * (1 - probability))
        assert abs(found.count(sizes) - count * probability) < 5 * deviation, sizes


def test_mean_number_of_tables():
    alpha, rng = 1.5, np.random.default_rng(1)
    tables = [len(table_sizes(alpha, 100, rng)) for _ in range(400)]
    expected = sum(alpha / (n + alpha) for n in range(100))
    variance = sum(alpha * n / (n + alpha) ** 2 for n in range(100))
    assert abs(np.mean(tables) - expected) < 5 * np.sqrt(variance / 400)


def _of_sizes(monkeypatch, sizes, platforms, seed=0):
    monkeypatch.setattr(
        "keras_joslim.search.restaurant.table_sizes", lambda *_: np.array(sizes, np.int64)
    )
    return restaurant_weights(platforms, 1.0, seed, customers=sum(sizes))


def test_tables_beyond_the_platforms_are_merged_into_the_last(monkeypatch):
    # By size 50, 30, 10, 6, 4; three platforms: 50, 30, and 20 together.
    weights = _of_sizes(monkeypatch, [10, 50, 4, 30, 6], 3)
    assert sorted(weights.tolist()) == [0.2, 0.3, 0.5]
    assert _of_sizes(monkeypatch, [10, 50, 4, 30, 6], 1).tolist() == [1.0]


def test_platforms_beyond_the_tables_weigh_nothing(monkeypatch):
    assert sorted(_of_sizes(monkeypatch, [90, 10], 4).tolist()) == [0.0, 0.0, 0.1, 0.9]


def test_the_largest_table_is_any_platforms(monkeypatch):
    places = [int(np.argmax(_of_sizes(monkeypatch, [90, 10], 4, s))) for s in range(400)]
    # 100 each, within five standard deviations of 8.7.
    assert np.abs(np.bincount(places, minlength=4) - 100).max() < 44


def test_weights_are_shares_of_the_customers_fixed_by_the_seed():
    weights = restaurant_weights(4, alpha=1.0, seed=3)
    np.testing.assert_array_equal(weights, restaurant_weights(4, alpha=1.0, seed=3))
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * 100, np.round(weights * 100))
    drawn = {tuple(restaurant_weights(4, alpha=1.0, seed=s)) for s in range(20)}
    assert len(drawn) > 15
    one = restaurant_weights(4, alpha=1e-9, seed=0)
    assert sorted(one.tolist()) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0, 0), "platforms must be a whole number, at least 1"),
        ((4, 0.0, 0), "alpha .* above 0 and finite. Received: alpha=0.0"),
        ((4, -1.0, 0), "Received: alpha=-1.0"),
        ((4, np.nan, 0), "Received: alpha=nan"),
        ((4, np.inf, 0), "Received: alpha=inf"),
        ((4, 1.0, -1), "seed must be a whole number, at least 0"),
        ((4, 1.0, 0, 0), "customers must be a whole number, at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        restaurant_weights(*arguments)
