"""Widths drawn for several platforms: each strategy's distribution against enumeration."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from keras_joslim.search import AdaptiveSampler, Platform, PlatformSampler
from keras_joslim.search.cost_field import cost_field
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.platform_problems import EVERY, SPACE, platforms

STEPS, WARMUP = 100, 10
DRAWS = 8000


def _sampler(strategy, weights=(3, 1), **settings):
    settings = {"hot": 1.0, "cold": 0.05} | settings
    return PlatformSampler(SPACE, platforms(weights), strategy, STEPS, WARMUP, **settings)


def _told(strategy, **settings):
    """A sampler that was told of every network that its loss is linear in the widths."""
    sampler = _sampler(strategy, **settings)
    sampler.tell(EVERY, EVERY @ np.array([-0.3, -0.2, -0.1]), -2.4)
    return sampler


def _field_probabilities(sampler, place, temperature):
    """Of all networks, for one target: exp(-(score + gamma cost) / T), by enumeration."""
    own, target = sampler.samplers[place], sampler.targets[place]
    gamma = own.field.price(own.scores, target.budget)
    scores = sum(values[EVERY[:, g] - 1] for g, values in enumerate(own.scores))
    return softmax(-(scores + gamma * target.cost(EVERY)) / temperature)


def _counts(draws):
    places = (np.asarray(draws) - 1) @ [16, 4, 1]
    return np.bincount(places, minlength=len(EVERY))


def _assert_drawn_from(draws, probabilities):
    counts, expected = _counts(draws), len(draws) * probabilities
    deviations = np.sqrt(expected * (1 - probabilities)) + 1
    assert (np.abs(counts - expected) < 5 * deviations).all()


STEP = 60


def _temperature():
    return 0.05 ** ((STEP - WARMUP) / (STEPS - 1 - WARMUP))


def test_a_mixture_draws_a_platform_by_weight_then_from_its_field():
    sampler = _told("mixture")
    parts = [_field_probabilities(sampler, place, _temperature()) for place in range(3)]
    expected = 0.75 * parts[0] + 0.125 * parts[1] + 0.125 * parts[2]
    _assert_drawn_from(sampler.ask(DRAWS, STEP), expected)
    # The platforms' fields differ, or this would show nothing.
    assert np.abs(parts[0] - parts[2]).max() > 0.05


def test_averaged_draws_each_group_from_the_weighted_marginals():
    sampler = _told("averaged")
    parts = [_field_probabilities(sampler, place, _temperature()) for place in range(3)]
    average = 0.75 * parts[0] + 0.125 * parts[1] + 0.125 * parts[2]
    product = np.ones(len(EVERY))
    for group in range(3):
        marginal = np.bincount(EVERY[:, group], average, minlength=5)
        product *= marginal[EVERY[:, group]]
    _assert_drawn_from(sampler.ask(DRAWS, STEP), product)
    # Not the mixture: groups are drawn apart.
    assert np.abs(product - average).max() > 0.01


def test_argmax_draws_the_best_widths_of_a_platform_drawn_by_weight():
    sampler = _told("argmax")
    expected = np.zeros(len(EVERY))
    for place, weight in enumerate((0.75, 0.125, 0.125)):
        # Scores are linear in the widths as losses are: the best is known without the field.
        target = sampler.targets[place]
        losses = EVERY @ np.array([-0.3, -0.2, -0.1])
        losses[target.cost(EVERY) > target.budget] = np.inf
        best = sampler.best(place)
        assert best.score == pytest.approx(losses.min() + _offset(sampler))
        expected[_counts(best.widths[None]) > 0] += weight
    _assert_drawn_from(sampler.ask(DRAWS, STEP), expected)


def _offset(sampler):
    """What a sum of scores is above the loss: every score takes the other groups' mean."""
    scores = sampler.samplers[0].scores
    return sum(values[3] for values in scores) + 2.4


@pytest.mark.parametrize(("weights", "largest"), [((3, 1), [0]), ((1, 3), [1, 2])])
def test_largest_draws_for_the_platform_of_largest_weight_alone(weights, largest):
    sampler = _told("largest", weights=weights)
    parts = [_field_probabilities(sampler, place, _temperature()) for place in largest]
    _assert_drawn_from(sampler.ask(DRAWS, STEP), np.mean(parts, axis=0))


@pytest.mark.parametrize("strategy", ["mixture", "averaged", "argmax", "largest"])
def test_the_warm_up_is_uniform_whatever_was_told(strategy):
    draws = np.concatenate([_told(strategy).ask(1000, step) for step in range(WARMUP)])
    _assert_drawn_from(draws, np.full(len(EVERY), 1 / len(EVERY)))


def test_what_is_told_counts_for_all_platforms():
    sampler = _told("mixture")
    single = AdaptiveSampler(
        cost_field(SPACE, platforms()[1].cost), 20.0, STEPS, WARMUP, hot=1.0, cold=0.05
    )
    single.tell(EVERY, EVERY @ np.array([-0.3, -0.2, -0.1]), -2.4)
    for own in sampler.samplers:
        np.testing.assert_array_equal(np.array(own.scores), np.array(single.scores))
    np.testing.assert_array_equal(sampler.best(1).widths, single.best().widths)
    for place, target in enumerate(sampler.targets):
        assert target.cost(sampler.best(place).widths) <= target.budget


@pytest.mark.parametrize("count", [1, 3, 20])
def test_answers_are_distinct_within_a_budget_and_as_many_as_asked_for(count):
    sampler = _told("mixture")
    answers = sampler.answers(count)
    assert len(np.unique(answers, axis=0)) == len(answers) == count
    np.testing.assert_array_equal(SPACE.validate(answers), answers)
    assert all(any(t.cost(row) <= t.budget for t in sampler.targets) for row in answers)
    bests = [sampler.best(place).widths.tolist() for place in range(3)]
    # The first of them come first.
    assert all(best in answers.tolist() for best in bests[:count])
    np.testing.assert_array_equal(sampler.answers(count), answers)


def test_answers_end_where_nothing_else_is_within_the_budgets():
    sampler = _sampler("mixture")
    within = np.any([t.cost(EVERY) <= t.budget for t in sampler.targets], axis=0)
    assert len(sampler.answers(64)) <= within.sum() < 64


def test_draws_of_two_platforms_with_one_cost_and_budget_are_not_tied():
    one, _ = platforms()
    twice = [one, Platform("twin", one.cost, one.budgets, 3)]
    sampler = PlatformSampler(SPACE, twice, "mixture", STEPS, WARMUP, hot=1.0, cold=0.5)
    sampler.tell(EVERY, EVERY @ np.array([-0.3, -0.2, -0.1]), -2.4)
    first, second = (own.ask(50, STEP) for own in sampler.samplers)
    assert (first != second).any()


@pytest.mark.parametrize("strategy", ["mixture", "averaged", "argmax", "largest"])
def test_an_interrupted_run_goes_on_identically(strategy):
    def run(sampler, steps):
        asked = []
        for step in steps:
            widths = sampler.ask(3, step)
            asked.append(widths)
            sampler.tell(widths, -widths.sum(1) / 10.0 + 0.05 * (widths[:, 0] % 2), -1.2)
        return np.stack(asked)

    whole, first, second = (_sampler(strategy, seed=5) for _ in range(3))
    expected = run(whole, range(40))
    run(first, range(17))
    second.restore(json.loads(json.dumps(first.state())))
    np.testing.assert_array_equal(run(second, range(17, 40)), expected[17:])
    assert second.state() == whole.state()


def test_widths_keep_an_ordering_though_marginals_do_not():
    groups = [ChannelGroup(name, 4, (1, 2, 3, 4)) for name in "abc"]
    space = WidthSpace(groups, [(0, 1)])
    sampler = PlatformSampler(space, platforms(), "averaged", STEPS, WARMUP, hot=5.0, cold=5.0)
    draws = sampler.ask(500, STEP)
    np.testing.assert_array_equal(space.validate(draws), draws)
    assert (draws[:, 0] <= draws[:, 1]).all()


def test_few_choices_are_asked_and_full_widths_among_them():
    sampler = PlatformSampler(SPACE, platforms(), "mixture", STEPS, WARMUP, choices=2)
    assert set(sampler.ask(200, 0).ravel().tolist()) == {1, 4}


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"strategy must be one of \['mixture'.*strategy='best'"):
        _sampler("best")
    plain = Platform("plain", lambda widths: np.asarray(widths).sum(axis=-1), 9.0)
    with pytest.raises(ValueError, match="needs a cost that is a sum of tables"):
        PlatformSampler(SPACE, [plain], "mixture", STEPS, WARMUP)
    with pytest.raises(ValueError, match="sampler with strategy='mixture'; this one has"):
        _sampler("argmax").restore(_sampler("mixture").state())
    with pytest.raises(ValueError, match="sampler with targets="):
        _sampler("argmax").restore(_sampler("argmax", weights=(1, 1)).state())
    with pytest.raises(ValueError, match="Not the state of a PlatformSampler"):
        _sampler("argmax").restore({})
