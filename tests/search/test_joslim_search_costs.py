"""One history of the Joslim engine, asked by other costs than its own."""

import json

import numpy as np
import pytest

from keras_joslim.search import JoslimSearch
from tests.search.engine_problems import chain, saturating

SPACE, COST = chain()
LOSS = saturating(SPACE, (1.0, 1.0, 1.0, 1.0), (3.0, 3.0, 3.0, 3.0))


def other(widths):
    """Milliseconds, of which the last group makes nearly all: it ranks networks otherwise."""
    widths = np.asarray(widths, np.float64)
    return 1e-3 * (50.0 * widths[..., 3] + widths[..., :3].sum(axis=-1))


def _engine(**settings):
    return JoslimSearch(SPACE, COST, **{"prior_points": 6, "candidates": 200} | settings)


def _searched(engine, count=24):
    while len(engine.history) < count:
        engine.ask(3)
        engine.tell(LOSS(engine.history.widths))
    return engine


@pytest.mark.parametrize("targets", ["uniform", "gap", "lambda"])
def test_points_cost_what_is_wanted_by_the_other_cost(targets):
    engine = _searched(_engine(targets=targets))
    least, full = other(SPACE.smallest), other(SPACE.full)
    wanted = np.linspace(least, full, 7)[1:-1]
    before = engine.history.to_dict()
    widths = engine.ask(5, other, wanted)
    assert len(np.unique(widths, axis=0)) == 5
    for row, point, target in zip(widths, engine.last_ask, wanted, strict=True):
        assert point["kind"] == "search"
        assert point["target_cost"] == target
        assert point["cost"] == pytest.approx(other(row))
        assert abs(point["cost"] - target) <= 0.02 * full or point["missed_tolerance"]
    assert sum(point["missed_tolerance"] for point in engine.last_ask) <= 1
    # One history: the costs in it stay the engine's own.
    np.testing.assert_allclose(engine.history.costs, COST(engine.history.widths))
    assert engine.history.to_dict()["costs"][:24] == before["costs"]


def test_the_widths_are_good_ones_at_that_cost():
    engine = _searched(_engine(prior_points=10), 60)
    target = 0.5 * (other(SPACE.smallest) + other(SPACE.full))
    found = engine.ask(1, other, [target])
    random = SPACE.sample(np.random.default_rng(0), 4000)
    near = random[np.abs(other(random) - target) < 0.02 * other(SPACE.full)]
    assert len(near) > 50
    assert LOSS(found[0]) <= np.quantile(LOSS(near), 0.02)
    # By its own cost such a network is none to ask for: all but the last group are wide.
    assert (SPACE.multipliers(found[0])[:3] > SPACE.multipliers(found[0])[3]).all()


def test_prior_points_come_first_and_leave_their_targets_unused():
    engine = _engine()
    first = engine.ask(4, other, [1.0] * 4)
    np.testing.assert_array_equal(first, _engine().ask(4))
    assert [point["target_cost"] for point in engine.last_ask] == [None] * 4
    engine.tell(LOSS(engine.history.widths))
    engine.ask(4, other, [1.0, 2.0, 2.5, 3.0])
    assert [point["target_cost"] for point in engine.last_ask] == [None, None, 2.5, 3.0]
    np.testing.assert_allclose(engine.history.costs, COST(engine.history.widths))


def test_own_and_other_costs_take_turns_and_a_restored_engine_goes_on():
    def turns(engine, numbers):
        for number in numbers:
            if number % 2:
                engine.ask(2, other, [1.5 + 0.1 * number, 3.0])
            else:
                engine.ask(2)
            engine.tell(LOSS(engine.history.widths))
        return engine.history.widths

    whole, first, second = (_searched(_engine(seed=3), 8) for _ in range(3))
    expected = turns(whole, range(6))
    turns(first, range(3))
    second.restore(json.loads(json.dumps(first.state())))
    np.testing.assert_array_equal(turns(second, range(3, 6)), expected)


def test_its_own_cost_given_as_another_one_is_the_same_search():
    engine, same = (_searched(_engine()) for _ in range(2))
    widths = engine.ask(3)
    targets = [point["target_cost"] for point in engine.last_ask]
    np.testing.assert_array_equal(same.ask(3, COST, targets), widths)


@pytest.mark.parametrize(
    ("cost", "targets", "message"),
    [
        (other, None, "comes with 2 finite target costs.*targets=None"),
        (None, [1.0, 2.0], "targets with their cost. Received: cost=None"),
        (other, [1.0], r"comes with 2 finite target costs.*targets=\[1.0\]"),
        (other, [1.0, np.nan], "comes with 2 finite target costs"),
        (lambda widths: np.zeros(3), [1.0, 2.0], "as many finite numbers"),
    ],
)
def test_what_is_refused_changes_nothing(cost, targets, message):
    engine = _searched(_engine(), 9)
    before = engine.state()
    with pytest.raises(ValueError, match=message):
        engine.ask(2, cost, targets)
    after = engine.state()
    # Hyper-parameters may have been fitted before the cost was called.
    assert after["history"] == before["history"]
    assert after["asks"] == before["asks"]
