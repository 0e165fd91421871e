"""Target platforms: what is refused, how weights are split, what networks are worth judging."""

import numpy as np
import pytest

from keras_joslim.search import Platform, platform_targets
from keras_joslim.search.platforms import best_within
from tests.search.platform_problems import SPACE, PairCost, platforms


def test_each_budget_is_a_target_with_its_part_of_the_weight():
    targets = platform_targets(platforms(weights=(6, 2)), SPACE)
    told = [(t.platform, t.budget, t.weight, t.least, t.full) for t in targets]
    assert told == [
        ("phone", 12.0, 0.75, 2.5, 40.0),
        ("watch", 20.0, 0.125, 2.5, 40.0),
        ("watch", 30.0, 0.125, 2.5, 40.0),
    ]


def test_weights_are_proportions():
    weights = [
        [t.weight for t in platform_targets(platforms(w), SPACE)] for w in ((3, 1), (30, 10))
    ]
    assert weights[0] == weights[1] == [0.75, 0.125, 0.125]


def test_a_platform_may_weigh_nothing_while_another_does():
    assert [t.weight for t in platform_targets(platforms((0, 5)), SPACE)] == [0.0, 0.5, 0.5]


def test_costs_to_search_at_are_uniform_up_to_the_budget_or_the_full_cost():
    (target,) = platform_targets([Platform("a", PairCost(2.0, 0.5), 12.0)], SPACE)
    drawn = target.draw(np.random.default_rng(0), 4000)
    assert drawn.min() >= 2.5
    assert drawn.max() <= 12.0
    # Quarters of the range: 1000 each, within five standard deviations of 27.4.
    assert np.abs(np.histogram(drawn, 4, (2.5, 12.0))[0] - 1000).max() < 137
    (target,) = platform_targets([Platform("a", PairCost(2.0, 0.5), 1e6)], SPACE)
    drawn = target.draw(np.random.default_rng(0), 4000)
    assert 39 < drawn.max() <= 40.0


def test_the_networks_worth_judging_are_the_best_of_each_target_in_turn():
    targets = platform_targets(platforms(budgets=(12.0, 12.0)), SPACE)
    widths = np.array([[1, 2, 2], [3, 2, 1], [1, 4, 2], [1, 1, 1], [4, 2, 3]], np.int32)
    losses = np.array([3.0, 1.0, 2.0, 4.0, np.nan])
    # Within both budgets: 0 and 3; of the phone alone 2, of the watch alone 1.
    costs = [[6.0, 13.0, 12.0, 2.5, 19.0], [9.0, 7.0, 18.0, 2.5, 16.0]]
    for target, expected in zip(targets, costs, strict=True):
        np.testing.assert_allclose(target.cost(widths), expected)
    assert best_within(targets, widths, losses, 1).tolist() == [2]
    assert best_within(targets, widths, losses, 2).tolist() == [1, 2]
    assert best_within(targets, widths, losses, 3).tolist() == [0, 1, 2]
    # What has no loss is not judged.
    assert best_within(targets, widths, losses, 9).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", PairCost(1, 1), 3), "A platform has a name. Received: name=''"),
        ((3, PairCost(1, 1), 3), "A platform has a name. Received: name=3"),
        (("a", PairCost, 3), "cost of platform 'a' is an object called with widths"),
        (("a", 4.0, 3), "cost of platform 'a' is an object .* Received: cost=4.0"),
        (("a", PairCost(1, 1), 0), "budgets of platform 'a' .* Received: budgets=0"),
        (("a", PairCost(1, 1), [3, np.nan]), "budgets of platform 'a' are one number above 0"),
        (("a", PairCost(1, 1), []), r"Received: budgets=\[\]"),
        (("a", PairCost(1, 1), "8"), "Received: budgets='8'"),
        (("a", PairCost(1, 1), True), "Received: budgets=True"),
        (("a", PairCost(1, 1), 3, -0.5), "weight of platform 'a' .* Received: weight=-0.5"),
        (("a", PairCost(1, 1), 3, np.nan), "Received: weight=nan"),
        (("a", PairCost(1, 1), 3, np.inf), "Received: weight=inf"),
        (("a", PairCost(1, 1), 3, "0.5"), "Received: weight='0.5'"),
    ],
)
def test_bad_platforms(arguments, message):
    with pytest.raises(ValueError, match=message):
        Platform(*arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Expected one platform or more"),
        (["phone"], "Expected a Platform. Received: 'phone'"),
        (platforms()[0], "Expected a list of platforms"),
        (platforms(weights=(0, 0)), r"must add up to something above 0.*weights=\[0.0, 0.0\]"),
        (platforms()[:1] * 2, "Two platforms are called 'phone'.*`budgets="),
        (
            platforms(budgets=(12.0, [20.0, 2.0])),
            "platform 'watch' is below what the smallest network costs there, 2.5 ms. Rec.*=2",
        ),
        ([Platform("a", lambda w: np.full(len(w), np.nan), 3)], "as many finite numbers"),
    ],
)
def test_what_cannot_be_trained_for(given, message):
    with pytest.raises(ValueError, match=message):
        platform_targets(given, SPACE)
