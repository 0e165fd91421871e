"""AOWS: scores learnt from losses, temperatures, unseen widths, and that it finds widths."""

import itertools
import json

import numpy as np
import pytest

from keras_joslim.costs import Factor
from keras_joslim.search import AdaptiveSampler, WidthMRF
from keras_joslim.width_space import ChannelGroup, WidthSpace

SPACE = WidthSpace([ChannelGroup(name, 4, (1, 2, 3, 4)) for name in "abc"])
WIDTHS = np.arange(1.0, 5.0)
FIELD = WidthMRF(SPACE, [Factor((g, g + 1), np.multiply.outer(WIDTHS, WIDTHS)) for g in (0, 1)])
FULL = 32.0


def _sampler(**settings):
    return AdaptiveSampler(
        FIELD, **{"budget": 0.5 * FULL, "steps": 100, "warmup_steps": 10} | settings
    )


def test_scores_are_moving_averages_of_what_is_lost():
    sampler = _sampler(rate=0.5)
    sampler.tell([[1, 2, 4], [1, 3, 4]], [3.0, 2.0], full_loss=1.0)
    # a=1 and c=4: the mean of 2 and 1; b: one loss each.
    sampler.tell([[1, 2, 3]], [5.0], full_loss=1.5)
    # a=1: half of 1.5 and of 3.5, as 1 / 3 is below the rate.
    assert [counts.tolist() for counts in sampler.counts] == [
        [3, 0, 0, 0],
        [0, 2, 1, 0],
        [0, 0, 1, 2],
    ]
    a, b, c = sampler.scores
    assert a.tolist() == [2.5] * 4
    # Unseen widths score as the worst one seen: (2 + 3.5) / 2 of b.
    assert b.tolist() == [2.75, 2.75, 1.0, 2.75]
    assert c.tolist() == [3.5, 3.5, 3.5, 1.5]


def test_before_the_first_loss_all_widths_score_alike():
    assert [scores.tolist() for scores in _sampler().scores] == [[0.0] * 4] * 3


def test_temperatures_fall_log_linearly_after_the_warm_up():
    sampler = _sampler(steps=21, warmup_steps=10, hot=10.0, cold=0.001)
    assert sampler.temperature(9) == np.inf
    assert sampler.temperature(10) == 10.0
    assert sampler.temperature(15) == pytest.approx(0.1)
    assert sampler.temperature(20) == pytest.approx(0.001)
    assert sampler.temperature(30) == pytest.approx(0.001)


def test_the_warm_up_draws_evenly():
    draws = np.concatenate([_sampler(warmup_steps=99).ask(500, step) for step in range(4)])
    for column in draws.T:
        # 2000 draws of probability 1/4: within four standard errors of 19.4.
        assert np.abs(np.bincount(column, minlength=5)[1:] - 500).max() < 78


def test_draws_are_fixed_by_seed_step_and_scores():
    first, again, other = _sampler(seed=1), _sampler(seed=1), _sampler(seed=2)
    np.testing.assert_array_equal(first.ask(20, 50), again.ask(20, 50))
    assert not np.array_equal(first.ask(20, 50), first.ask(20, 51))
    assert not np.array_equal(first.ask(20, 50), other.ask(20, 50))
    # Cold, the draws follow the scores: a price of 0 is enough for c = 4 alone.
    first.tell(list(itertools.product([1], [1], range(1, 5))), [4.0, 3.0, 2.0, 1.0], 1.0)
    assert (first.ask(20, 99)[:, 2] == 4).all()


def test_it_finds_good_widths_where_losses_about_add_up():
    def loss(widths):
        return np.asarray(widths) @ np.array([-0.5, -0.2, -0.1]) + 0.05 * (np.sum(widths) % 2)

    sampler = _sampler(steps=600, warmup_steps=100, seed=3)
    for step in range(600):
        widths = sampler.ask(2, step)
        sampler.tell(widths, [loss(w) for w in widths], loss(SPACE.full))
    every = np.array(list(itertools.product(range(1, 5), repeat=3)))
    within = every[FIELD.cost(every) <= 0.5 * FULL]
    found = sampler.best()
    assert found.cost <= 0.5 * FULL
    # Not always the very best: a score takes the other groups as they were drawn with it.
    assert loss(found.widths) <= np.quantile([loss(w) for w in within], 0.1)
    # The last draws are about the budget, and most of them good.
    draws = np.concatenate([sampler.ask(10, step) for step in range(590, 600)])
    assert np.median([loss(w) for w in draws]) < np.median([loss(w) for w in within])
    assert sampler.best(FULL).score <= found.score


def test_an_interrupted_run_goes_on_identically():
    def run(sampler, steps):
        asked = []
        for step in steps:
            widths = sampler.ask(2, step)
            asked.append(widths)
            sampler.tell(widths, -widths.sum(1) / 10.0, -1.2)
        return np.stack(asked)

    whole, first, second = (_sampler(seed=5) for _ in range(3))
    expected = run(whole, range(60))
    run(first, range(30))
    second.restore(json.loads(json.dumps(first.state())))
    np.testing.assert_array_equal(run(second, range(30, 60)), expected[30:])
    assert second.state() == whole.state()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 5, "warmup_steps": 5}, "warmup_steps=5, steps=5"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"warmup_steps": -1}, "warmup_steps must be a whole number, at least 0"),
        ({"hot": 0.1, "cold": 1.0}, "hot=0.1, cold=1.0"),
        ({"cold": 0.0}, "cold=0.0"),
        ({"rate": 0.0}, "Received: rate=0.0"),
        ({"rate": np.nan}, "Received: rate=nan"),
        ({"budget": 1.9}, "the least cost within these legal widths is 2"),
        ({"budget": np.nan}, "The budget is a number"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        _sampler(**settings)


@pytest.mark.parametrize(
    ("widths", "losses", "full_loss", "message"),
    [
        ([[1, 1, 1]], [1.0, 2.0], 1.0, "Expected 1 finite losses"),
        ([[1, 1, 1]], [np.nan], 1.0, "Expected 1 finite losses"),
        ([[1, 1, 1]], [1.0], np.inf, "full_loss=inf"),
        ([[1, 1, 5]], [1.0], 1.0, "The width of group 'c'"),
    ],
)
def test_bad_losses_change_nothing(widths, losses, full_loss, message):
    sampler = _sampler()
    before = sampler.state()
    with pytest.raises(ValueError, match=message):
        sampler.tell(widths, losses, full_loss)
    assert sampler.state() == before


def test_states_of_others_are_refused():
    sampler = _sampler()
    with pytest.raises(ValueError, match=r"sampler with budget=20.0; this one has budget=16.0"):
        sampler.restore(_sampler(budget=20.0).state())
    with pytest.raises(ValueError, match="Not the state of an AdaptiveSampler: KeyError"):
        sampler.restore({})
    with pytest.raises(ValueError, match="other numbers of widths a group"):
        sampler.restore(sampler.state() | {"counts": [[0]] * 3})
