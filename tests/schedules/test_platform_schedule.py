"""Training for several platforms: what steps train, what is learnt of them, how a run goes on."""

import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.schedules import Platform, PlatformWidths
from tests.sandwich_recursion import images
from tests.schedules.stepwise import Record, dense_slim, train

STRATEGIES = ("joslim", "uniform", "mixture", "averaged", "argmax", "largest")
STEPS = 12


def _platforms(slim, weights=(3, 1), shares=((0.5, 0.8), 0.6)):
    """One that pays for MACs, with two budgets, and one for parameters."""
    full = slim.width_space.full
    costs = (kj.costs.MACs(slim), kj.costs.Parameters(slim))
    budgets = [np.multiply(share, int(cost(full))) for share, cost in zip(shares, costs)]
    return [
        Platform(name, cost, np.atleast_1d(budget).tolist(), weight)
        for name, cost, budget, weight in zip(("phone", "watch"), costs, budgets, weights)
    ]


def _schedule(slim, strategy, tau=2, weights=(3, 1), **options):
    if strategy == "joslim":
        options = {"prior_points": 4, "candidates": 50} | options
    return PlatformWidths(
        _platforms(slim, weights), images(9, seed=5), tau, strategy, steps=STEPS, **options
    )


def _shares(asked):
    """How often each cost and budget was asked for: of (cost, targets) pairs by cost name."""
    names = [cost.name for cost, _ in asked]
    return {name: names.count(name) / len(names) for name in set(names)}


def test_each_period_is_searched_for_a_platform_drawn_by_weight(monkeypatch):
    slim = dense_slim()
    schedule = _schedule(slim, "joslim", tau=1, weights=(3, 1))
    schedule.set_model(slim)
    engine, asked = schedule._inner._engine, []
    rows = np.tile(slim.width_space.smallest, (2, 1))
    monkeypatch.setattr(engine, "ask", lambda m, c, t: asked.append((c, t)) or rows)
    for step in range(2000):
        slim.optimizer.iterations.assign(step)
        schedule._inner._ask()
    assert all(len(targets) == 2 for _, targets in asked)
    # 3 of 4, within five standard deviations of 0.0097.
    assert abs(_shares(asked)["macs"] - 0.75) < 0.05
    phone, _, watch = schedule.targets
    for target, most in ((phone, schedule.targets[1].budget), (watch, watch.budget)):
        drawn = np.concatenate([t for cost, t in asked if cost.name == target.cost.name])
        assert drawn.min() >= target.least
        assert drawn.max() <= most
    drawn = np.concatenate([t for cost, t in asked if cost.name == "parameters"])
    # Uniform: the mean within five standard errors.
    spread = (watch.budget - watch.least) / np.sqrt(12 * len(drawn))
    assert abs(drawn.mean() - (watch.least + watch.budget) / 2) < 5 * spread
    drawn = np.concatenate([t for cost, t in asked if cost.name == "macs"])
    # Half of them below the one budget, half below the other: beyond the first, that part of the
    # second half.
    beyond = (
        0.5
        * (schedule.targets[1].budget - phone.budget)
        / (schedule.targets[1].budget - phone.least)
    )
    assert abs(np.mean(drawn > phone.budget) - beyond) < 0.06


def test_a_platform_without_weight_is_never_searched_for(monkeypatch):
    slim = dense_slim()
    schedule = _schedule(slim, "joslim", tau=1, weights=(0, 1))
    schedule.set_model(slim)
    asked = []
    rows = np.tile(slim.width_space.smallest, (2, 1))
    ask = lambda m, c, t: asked.append((c, t)) or rows  # noqa: E731
    monkeypatch.setattr(schedule._inner._engine, "ask", ask)
    for step in range(200):
        slim.optimizer.iterations.assign(step)
        schedule._inner._ask()
    assert _shares(asked) == {"parameters": 1.0}


def test_platforms_share_one_history_that_is_told_by_macs():
    slim, record = dense_slim(), Record()
    schedule = _schedule(slim, "joslim", tau=2, num_sampled=2)
    train(slim, schedule, STEPS, record)
    history = schedule.history
    assert len(history) == 2 * 6
    np.testing.assert_array_equal(history.costs, kj.costs.MACs(slim)(history.widths))
    for step, networks in enumerate(record.rows):
        period = step // 2
        np.testing.assert_array_equal(networks[1:-1], history.widths[2 * period : 2 * period + 2])
    assert schedule.keeps_history
    schedule.recalibrate(everything=True)
    assert history.evaluated.all()
    assert schedule.seconds["search"] > 0


def test_the_networks_to_judge_are_the_best_within_each_budget():
    slim = dense_slim()
    schedule = _schedule(slim, "joslim", tau=1)
    train(slim, schedule, STEPS)
    schedule.recalibrate(everything=True)
    history = schedule.history
    visited = {tuple(row) for row in schedule.visited(6).tolist()}
    assert len(visited) == 6
    for target in schedule.targets:
        within = target.cost(history.widths) <= target.budget
        best = np.argmin(np.where(within, history.losses, np.inf))
        assert tuple(history.widths[best].tolist()) in visited
    np.testing.assert_array_equal(schedule.visited(999), np.unique(history.widths, axis=0))


def test_the_losses_told_are_those_of_the_networks_of_the_step(monkeypatch):
    slim = dense_slim()
    schedule = _schedule(slim, "mixture", warmup=0.5)
    schedule.set_model(slim)
    sampler, told = schedule._inner._sampler, []
    tell, step = sampler.tell, iter(range(STEPS))
    x, y = images(64)
    before = {}

    class _Losses(keras.callbacks.Callback):
        """Independently: each network extracted before the step, on the batch's statistics."""

        def on_train_batch_begin(self, batch, logs=None):
            start = 4 * next(step)
            part = slice(start, start + 4)
            before.clear()
            for row in slim.training_widths[0]:
                output = np.asarray(kj.extract(slim, row)(x[part], training=True))
                before[tuple(row.tolist())] = -np.log(output[np.arange(4), y[part]]).mean()

    def check(widths, losses, full_loss):
        expected = [before[tuple(row)] for row in np.asarray(widths).tolist()]
        np.testing.assert_allclose(losses, expected, rtol=1e-4)
        assert full_loss == pytest.approx(before[tuple(slim.width_space.full.tolist())], rel=1e-4)
        told.append(len(widths))
        tell(widths, losses, full_loss)

    monkeypatch.setattr(sampler, "tell", check)
    slim.fit(
        x[: 4 * STEPS],
        y[: 4 * STEPS],
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=[schedule, _Losses()],
    )
    assert told == [2] * STEPS
    counts = sampler.samplers[0].counts
    assert [values.sum() for values in counts] == [2 * STEPS] * len(slim.width_space)
    # What a later search by the field takes up.
    assert [len(values) for values in schedule.scores] == [len(values) for values in counts]
    assert schedule.choices == 12


@pytest.mark.parametrize("strategy", ["mixture", "largest"])
def test_the_fields_answers_are_within_the_budgets(strategy):
    slim = dense_slim()
    schedule = _schedule(slim, strategy)
    train(slim, schedule, 3)
    visited = schedule.visited(9)
    assert len(np.unique(visited, axis=0)) == len(visited) <= 9
    np.testing.assert_array_equal(slim.width_space.validate(visited), visited)
    for place, target in enumerate(schedule.targets):
        best = schedule._inner._sampler.best(place).widths
        assert target.cost(best) <= target.budget
        assert best.tolist() in visited.tolist()


@pytest.mark.parametrize(
    "strategy",
    [
        *("joslim", "mixture"),
        *(
            pytest.param(s, marks=pytest.mark.slow)
            for s in ("uniform", "averaged", "argmax", "largest")
        ),
    ],
)
def test_an_interrupted_run_continues_identically(strategy):
    slim = dense_slim()
    straight, record = _schedule(slim, strategy), Record()
    train(slim, straight, STEPS, record)

    slim, before, after = dense_slim(), Record(), Record()
    first = _schedule(slim, strategy)
    train(slim, first, 7, before)  # in the middle of a period
    state = json.loads(json.dumps(first.state()))
    second = _schedule(slim, strategy)
    second.restore(state)
    train(slim, second, STEPS - 7, after)
    np.testing.assert_array_equal(before.rows + after.rows, record.rows)
    assert second.state() == straight.state()
    np.testing.assert_array_equal(second.visited(9), straight.visited(9))
    # The same, once the model is known.
    third = _schedule(slim, strategy)
    third.set_model(slim)
    third.restore(state)
    assert third.state() == state


@pytest.mark.parametrize("strategy", ["joslim", "mixture"])
def test_steps_of_one_execution_are_told_one_by_one(strategy):
    slim, record = dense_slim(4, eager=False), Record()
    x, y = images(24)
    # Six steps an epoch: executions of 4 and 2, the rows of the last one left over.
    tau = {"joslim": 6}.get(strategy, 4)
    schedule = _schedule(slim, strategy, tau=tau)
    slim.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=[schedule, record])
    if strategy == "joslim":
        assert len(schedule.history) == 4
    else:
        counts = schedule._inner._sampler.samplers[0].counts
        assert [values.sum() for values in counts] == [2 * 12] * len(slim.width_space)


def test_uniform_is_plain_slimmable_training():
    slim, record, plain = dense_slim(), Record(), Record()
    train(slim, _schedule(slim, "uniform", seed=4), 3, record)
    other = dense_slim()
    train(other, kj.UniformWidths(seed=4), 3, plain)
    np.testing.assert_array_equal(record.rows, plain.rows)


def test_states_of_other_platforms_or_strategies_are_refused():
    slim = dense_slim()
    first = _schedule(slim, "joslim")
    train(slim, first, 2)
    state = json.loads(json.dumps(first.state()))
    with pytest.raises(ValueError, match="with strategy='joslim'; this one has strategy='mixture'"):
        _schedule(slim, "mixture").restore(state)
    other = _schedule(slim, "joslim", weights=(1, 1))
    other.set_model(slim)
    with pytest.raises(ValueError, match="other platforms, budgets, weights or costs"):
        other.restore(state)


def test_what_is_refused():
    slim = dense_slim()
    given, data = _platforms(slim), images(9, seed=5)
    with pytest.raises(ValueError, match=r"strategy must be one of \['joslim', 'uniform'.*'best'"):
        PlatformWidths(given, data, 2, "best")
    for strategy, option in (
        ("uniform", "prior_points"),
        ("joslim", "choices"),
        ("mixture", "tau2"),
    ):
        with pytest.raises(ValueError, match=f"'{strategy}' of .*no option '{option}'; it has"):
            PlatformWidths(given, data, 2, strategy, steps=4, **{option: 3})
    with pytest.raises(ValueError, match="'joslim' needs `tau`"):
        PlatformWidths(given, data)
    with pytest.raises(ValueError, match="'joslim' needs `calibration_data`"):
        PlatformWidths(given, tau=2)
    with pytest.raises(ValueError, match="'mixture' needs `steps`"):
        PlatformWidths(given, strategy="mixture")
    with pytest.raises(ValueError, match="Expected one platform or more"):
        PlatformWidths([], data, 2)
    with pytest.raises(ValueError, match="Two platforms are called 'phone'"):
        PlatformWidths([given[0], given[0]], data, 2)
    with pytest.raises(ValueError, match="must add up to something above 0"):
        PlatformWidths(_platforms(slim, weights=(0, 0)), data, 2)
    with pytest.raises(ValueError, match="warm-up is a share of the steps.* warmup=1"):
        PlatformWidths(given, strategy="mixture", steps=9, warmup=1)
    with pytest.raises(ValueError, match="'joslim' of PlatformWidths has no option 'warmup'"):
        PlatformWidths(given, data, 2, warmup=0.1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_budget_below_the_smallest_network_is_refused_before_training(strategy):
    slim = dense_slim()
    smallest = int(kj.costs.MACs(slim)(slim.width_space.smallest))
    low = [Platform("phone", kj.costs.MACs(slim), smallest - 1)]
    schedule = PlatformWidths(low, images(9, seed=5), 2, strategy, steps=STEPS)
    with pytest.raises(ValueError, match=f"platform 'phone' is below.* {smallest} MAC"):
        train(slim, schedule, 2)
