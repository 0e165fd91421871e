"""Joslim as a schedule: when widths change, what the history is told, how a run goes on."""

import json

import numpy as np
import pytest

import keras_joslim as kj
from tests.sandwich_recursion import images
from tests.schedules.stepwise import Record, dense_slim, train

LOSS = "sparse_categorical_crossentropy"


def _joslim(tau=2, **arguments):
    options = {"prior_points": 4, "candidates": 50, **arguments}
    return kj.Joslim(images(9, seed=5), tau=tau, **options)


def test_widths_are_held_for_tau_steps_and_the_history_grows_by_m():
    slim, joslim, record = dense_slim(), _joslim(tau=3, num_sampled=2), Record()
    train(slim, joslim, 10, record)
    history = joslim.history
    assert len(history) == 2 * 4
    for step, networks in enumerate(record.rows):
        np.testing.assert_array_equal(networks[0], slim.width_space.full)
        np.testing.assert_array_equal(networks[-1], slim.width_space.smallest)
        period = step // 3
        np.testing.assert_array_equal(networks[1:-1], history.widths[2 * period : 2 * period + 2])
    assert len(np.unique(history.widths, axis=0)) == 8
    np.testing.assert_array_equal(joslim.visited(), np.unique(history.widths, axis=0))
    np.testing.assert_allclose(history.costs, kj.costs.MACs(slim)(history.widths))


def test_with_recent_a_step_draws_from_the_networks_asked_last():
    slim, record = dense_slim(), Record()
    joslim = _joslim(tau=4, num_sampled=2, recent=6)
    train(slim, joslim, 16, record)
    history = joslim.history.widths
    assert len(history) == 2 * 4
    drawn = []
    for step, networks in enumerate(record.rows):
        np.testing.assert_array_equal(networks[0], slim.width_space.full)
        np.testing.assert_array_equal(networks[-1], slim.width_space.smallest)
        asked = history[: 2 * (step // 4 + 1)]
        drawn.append([int(np.flatnonzero((history == row).all(1))[0]) for row in networks[1:-1]])
        assert len(set(drawn[-1])) == 2
        assert all(len(asked) - 6 <= place < len(asked) for place in drawn[-1])
    # Of the last period: more than its own two, and not the same ones at every step.
    assert len(set(sum(drawn[12:], []))) > 2
    assert drawn[12] != drawn[13] or drawn[13] != drawn[14]


def test_recent_is_drawn_evenly():
    slim, joslim = dense_slim(), _joslim(tau=1, num_sampled=1, recent=5)
    train(slim, joslim, 8)
    places = [
        int(np.flatnonzero((joslim.history.widths == joslim.widths(step)[1]).all(1))[0])
        for step in range(8, 1008)
    ]
    counts = np.bincount(places, minlength=8)
    assert counts[:3].tolist() == [0, 0, 0]
    # Five standard deviations of a binomial of 1,000 draws at 1 in 5.
    assert np.abs(counts[3:] - 200).max() < 64


@pytest.mark.parametrize(("recent", "received"), [(1, "1"), (2.5, "2.5")])
def test_recent_is_checked(recent, received):
    with pytest.raises(ValueError, match=f"recent.*at least 2.* Received: .*{received}"):
        _joslim(num_sampled=2, recent=recent)


def test_a_state_of_another_recent_is_refused():
    slim, first = dense_slim(), _joslim(recent=4)
    train(slim, first, 2)
    with pytest.raises(ValueError, match="another recent; this one has recent=None"):
        _joslim().restore(first.state())


def test_each_period_tells_the_losses_of_all_the_history_with_todays_weights(monkeypatch):
    slim, joslim = dense_slim(), _joslim(tau=2)
    joslim.set_model(slim)
    told = []
    tell = joslim._engine.tell

    def check(losses, noise=None):
        assert noise is None
        # Independently: each sub-network extracted, on its own batch statistics.
        x, y = images(9, seed=5)
        for widths, loss in zip(joslim.history.widths, losses, strict=True):
            output = np.asarray(kj.extract(slim, widths)(x, training=True))
            expected = -np.log(output[np.arange(9), y]).mean()
            assert loss == pytest.approx(expected, rel=1e-5)
        told.append(np.array(losses))
        tell(losses)

    monkeypatch.setattr(joslim._engine, "tell", check)
    train(slim, joslim, 7)
    assert [len(losses) for losses in told] == [2, 4, 6]
    # Measured anew each time, not remembered.
    assert np.abs(told[2][:2] - told[0]).min() > 1e-6
    np.testing.assert_allclose(joslim.history.losses[:6], told[2])
    assert np.isnan(joslim.history.losses[6:]).all()
    assert joslim.seconds["recalibration"] > 0
    assert joslim.seconds["search"] > 0


def test_on_a_budget_the_measured_losses_are_todays_and_the_others_carried(monkeypatch):
    slim, joslim = dense_slim(), _joslim(tau=1, recalibration=8)
    joslim.set_model(slim)
    measured = []
    losses_at = slim.losses_at
    monkeypatch.setattr(slim, "losses_at", lambda w, *d: measured.append(w) or losses_at(w, *d))
    train(slim, joslim, 9)
    # The first call is the reference of the logs; then all of the history, then the budget.
    assert [len(w) for w in measured[1:]] == [2, 4, 6, 8, 8, 8, 8, 8]
    history, known = joslim.history, joslim.history.evaluated
    np.testing.assert_array_equal(known, [True] * 16 + [False] * 2)
    assert (history.noise[:16] == 0).sum() == 8
    assert (history.noise[:16] > 0).sum() == 8
    # Measured with the weights before the last step, which nothing has kept; now all anew.
    joslim.recalibrate(everything=True)
    np.testing.assert_array_equal(history.losses, losses_at(history.widths, *images(9, seed=5)))
    assert (joslim.history.noise == 0).all()


def test_a_budget_is_of_eight_networks_or_more():
    with pytest.raises(ValueError, match="re-calibration is .* at least 8.* Received: 3"):
        _joslim(recalibration=3)


@pytest.mark.parametrize(("budget", "recent"), [(None, None), (8, None), (None, 5)])
def test_an_interrupted_run_continues_identically(budget, recent):
    def make():
        return _joslim(recalibration=budget, recent=recent)

    straight, record = make(), Record()
    train(dense_slim(), straight, 12, record)

    slim, first, before = dense_slim(), make(), Record()
    train(slim, first, 7, before)  # in the middle of a period
    state = json.loads(json.dumps(first.state()))
    second, after = make(), Record()
    second.restore(state)
    train(slim, second, 5, after)
    np.testing.assert_array_equal(before.rows + after.rows, record.rows)
    np.testing.assert_array_equal(second.history.widths, straight.history.widths)
    np.testing.assert_array_equal(second.history.losses, straight.history.losses)
    assert len(straight.history) == 12


def test_restoring_after_the_model_was_set_is_the_same():
    slim, first = dense_slim(), _joslim()
    train(slim, first, 5)
    state = first.state()
    second = _joslim()
    second.set_model(slim)
    second.restore(state)
    assert second.state() == state
    np.testing.assert_array_equal(second.widths(4), first.widths(4))


@pytest.mark.parametrize("recent", [None, 5])
def test_steps_per_execution_change_nothing(recent):
    one, four = Record(), Record()
    a, b = dense_slim(1, eager=False), dense_slim(4, eager=False)
    first, second = _joslim(tau=4, recent=recent), _joslim(tau=4, recent=recent)
    train(a, first, 12, one)
    train(b, second, 12, four)
    np.testing.assert_array_equal(one.rows, four.rows)
    np.testing.assert_allclose(first.history.losses, second.history.losses, rtol=1e-5)
    for v, w in zip(a.network.variables, b.network.variables, strict=True):
        np.testing.assert_allclose(np.asarray(v), np.asarray(w), atol=1e-6)


@pytest.mark.parametrize(("tau", "where"), [(6, "step 6, inside the execution of steps 4 to 7")])
def test_a_period_that_begins_inside_an_execution_is_refused(tau, where):
    slim = dense_slim(4, eager=False)
    with pytest.raises(ValueError, match=f"tau={tau}.*begins at {where}.*multiples of steps_per"):
        train(slim, _joslim(tau=tau), 12)


def test_a_short_last_execution_of_an_epoch_is_allowed_where_it_fits():
    slim, joslim = dense_slim(4, eager=False), _joslim(tau=6)
    x, y = images(24)
    # Six steps an epoch: executions of 4 and 2.
    slim.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=[joslim])
    assert len(joslim.history) == 4


def test_a_callable_cost_of_the_users_own_is_what_the_history_holds():
    def cost(widths):
        return np.asarray(widths).sum(axis=-1).astype("float64")

    joslim = _joslim(cost=cost)
    train(dense_slim(), joslim, 3)
    np.testing.assert_array_equal(joslim.history.costs, joslim.history.widths.sum(1))


def test_there_is_no_history_before_fit():
    with pytest.raises(ValueError, match="`fit` has not begun"):
        _ = _joslim().history


@pytest.mark.parametrize("tau", [0, -3, 2.5, "2"])
def test_tau_is_checked(tau):
    with pytest.raises(ValueError, match="tau must be a whole number, at least 1. Received: tau="):
        _joslim(tau=tau)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"targets": "gaps"}, r"targets must be one of \['uniform', 'gap', 'lambda'\]. .*'gaps'"),
        ({"bound": "lower"}, "bound must be one of .*bound='lower'"),
        ({"prior_points": 0}, "prior_points must be a whole number, at least 1"),
        ({"surrogate_entries": 3}, "surrogate_entries must be a whole number, at least 8"),
        ({"beta": -1.0}, "beta must be at least 0"),
        ({"tolerance": 1.0}, "tolerance is a part"),
    ],
)
def test_arguments_of_the_search_are_checked_at_once(argument, message):
    with pytest.raises(ValueError, match=message):
        _joslim(**argument)


@pytest.mark.parametrize("data", [np.ones((4, 6)), (np.ones((4, 6)),), 3])
def test_calibration_data_without_labels_is_refused(data):
    with pytest.raises(ValueError, match="calibration_data.*held out from training"):
        kj.Joslim(data, tau=2)
