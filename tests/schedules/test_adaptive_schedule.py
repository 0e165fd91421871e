"""AOWS and OWS as a schedule: what is told, what is drawn, how a run goes on, what is found."""

import itertools
import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import AdaptiveWidths
from keras_joslim.search import thinned
from tests.sandwich_recursion import Recursion, assert_same_weights, images, network, twins
from tests.schedules.stepwise import Record
from tests.search.mrf_problems import problem

LOSS = "sparse_categorical_crossentropy"


class _Sum:
    """A cost that is the sum of the factors of a problem."""

    name = "sum"

    def __init__(self, factors):
        self._factors = factors

    def factors(self, legal):
        return self._factors


class _Model:
    """What a schedule sees of a model while it draws."""

    name = "stub"

    def __init__(self, space):
        self.width_space = space


def _slim(eager=True, **compiled):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Dense(12, name="a")(keras.layers.Flatten()(inputs))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Dense(10, activation="relu", name="b")(x)
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    slim.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS, run_eagerly=eager, **compiled)
    return slim


def _full_cost(slim):
    return float(kj.costs.MACs(slim)(slim.width_space.full))


def _train(slim, schedule, steps, *callbacks):
    """Goes on from the model's own step; data are a function of the step."""
    x, y = images(80)
    start = int(slim.optimizer.iterations)
    part = slice(4 * start, 4 * (start + steps))
    callbacks = [schedule, *callbacks]
    slim.fit(x[part], y[part], batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)


# -- what is told ------------------------------------------------------------------


@pytest.mark.parametrize("per_execution", [1, 2])
def test_scores_are_task_losses_over_the_full_networks_on_the_same_batch(per_execution):
    """Over extracted stock networks, a regulariser in the full network's loss among them."""
    rate = 0.01
    model = network(regularizer=keras.regularizers.L2(rate))
    slim, reference = twins(model, min_width=0.3)
    slim.compile(keras.optimizers.SGD(0.1), LOSS, steps_per_execution=per_execution)
    schedule, record = AdaptiveWidths(num_sampled=3, seed=2, choices=3, rate=1e-6), Record()
    x, y = images(20)
    # Five steps: the last execution of two has one.
    slim.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[schedule, record])

    def penalty(weights):
        regularised = ("stem", "expand", "project", "hidden")
        kernels = [weights[layer, "kernel"] for layer in regularised]
        return rate * sum(keras.ops.sum(keras.ops.square(v)) for v in kernels)

    recursion = Recursion(reference, rate=0.1, penalty=penalty)
    space = thinned(slim.width_space, 3)
    told = [{int(w): [] for w in legal} for legal in space.legal]
    for step, networks in enumerate(record.rows[:5]):
        part = slice(4 * step, 4 * step + 4)
        recursion.step(x[part], y[part], networks)
        full, *drawn, _ = recursion.losses
        for widths, loss in zip(networks[1:-1], drawn, strict=True):
            for values, width in zip(told, widths, strict=True):
                values[int(width)].append(loss - full)
    assert_same_weights(slim, reference, atol=2e-5)
    for values, scores, counts in zip(told, schedule.scores, schedule.sampler.counts, strict=True):
        assert counts.tolist() == [len(v) for v in values.values()]
        seen = [np.mean(v) for v in values.values() if v]
        expected = [np.mean(v) if v else max(seen) for v in values.values()]
        np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert max(np.ptp(scores) for scores in schedule.scores) > 1e-3


def test_losses_are_kept_for_who_asks_without_a_new_trace(monkeypatch):
    count = []
    original = kj.SlimmableModel.train_step

    def counted(self, data):
        count.append(1)
        return original(self, data)

    monkeypatch.setattr(kj.SlimmableModel, "train_step", counted)
    slim = _slim(eager=False)
    _train(slim, kj.RandomWidths(2), 4)
    kept = slim.task_losses
    np.testing.assert_array_equal(np.isnan(kept), [[False, True, True, False]])
    traced = len(count)
    _train(slim, AdaptiveWidths(num_sampled=2), 4)
    assert len(count) == traced
    assert np.isfinite(slim.task_losses).all()
    _train(slim, kj.RandomWidths(2), 1)
    np.testing.assert_array_equal(np.isnan(slim.task_losses), [[False, True, True, False]])


# -- what is drawn -----------------------------------------------------------------


def test_the_warm_up_and_ows_draw_every_legal_width_evenly():
    p = problem("chain", seed=3, choices=(3, 4))
    for settings in ({"budget": np.inf, "steps": 900, "warmup": 0.9}, {}):
        schedule = AdaptiveWidths(cost=_Sum(p.factors), num_sampled=5, seed=4, **settings)
        schedule.set_model(_Model(p.space))
        rows = np.stack([schedule.widths(step) for step in range(400)])
        assert rows.shape == (400, 7, len(p.space))
        np.testing.assert_array_equal(rows[:, 0], np.tile(p.space.full, (400, 1)))
        np.testing.assert_array_equal(rows[:, -1], np.tile(p.space.smallest, (400, 1)))
        for legal, column in zip(p.space.legal, rows[:, 1:-1].reshape(2000, -1).T, strict=True):
            share = np.array([(column == width).mean() for width in legal])
            even = 1 / len(legal)
            # Five standard errors of 2,000 draws.
            assert np.abs(share - even).max() < 5 * np.sqrt(even * (1 - even) / 2000)


def test_after_the_warm_up_draws_follow_the_field_at_the_price_of_the_budget():
    p = problem("residual", seed=1)
    budget, temperature = float(np.quantile(p.costs, 0.3)), 0.7
    schedule = AdaptiveWidths(
        budget,
        steps=1000,
        cost=_Sum(p.factors),
        warmup=0.0,
        num_sampled=5,
        hot=temperature,
        cold=temperature,
    )
    schedule.set_model(_Model(p.space))
    rng = np.random.default_rng(0)
    widths = p.space.sample(rng, 300)
    losses = rng.normal(size=300) + widths @ rng.normal(size=len(p.space)) / 4
    schedule.sampler.tell(widths, losses, 0.5)
    scores = [
        np.array([(losses[widths[:, g] == w] - 0.5).mean() for w in legal])
        for g, legal in enumerate(p.space.legal)
    ]
    # A plain mean as long as there are no more than 1 / rate = 50 of one width.
    scores = [
        np.where(counts <= 50, mean, own)
        for mean, own, counts in zip(scores, schedule.scores, schedule.sampler.counts, strict=True)
    ]
    gamma = schedule.sampler.field.price(scores, budget)
    assert gamma > 0
    places = [np.searchsorted(legal, p.widths[:, g]) for g, legal in enumerate(p.space.legal)]
    sums = sum(s[place] for s, place in zip(scores, places, strict=True))
    energy = sums + gamma * p.costs
    expected = np.exp(-(energy - energy.min()) / temperature)
    expected /= expected.sum()
    drawn = np.concatenate([schedule.widths(step)[1:-1] for step in range(1000)])
    share = np.bincount(p.row(drawn), minlength=len(p.widths)) / len(drawn)
    # Five standard errors of 5,000 draws, of whole networks.
    assert (np.abs(share - expected) < 5 * np.sqrt(expected / 5000) + 1e-3).all()
    assert np.abs(share - 1 / len(share)).max() > 0.02


def test_draws_come_closer_to_the_best_within_the_budget():
    slim = _slim(eager=False)
    macs = kj.costs.MACs(slim)
    budget = 0.4 * _full_cost(slim)
    schedule = AdaptiveWidths(budget, 20, warmup=0.25, choices=4, hot=1.0, cold=1e-6)
    record = Record()
    _train(slim, schedule, 20, record)
    assert schedule.best().cost == macs(schedule.best().widths) <= budget
    # Cold, the last step draws corners of the hull about the budget.
    hull = schedule.sampler.field.minimum(schedule.scores, schedule.best().gamma)
    last = macs(record.rows[-1][1:-1])
    assert (last <= max(hull.cost, budget) * 1.5).all()
    # Of the legal widths that remain there is no better one within the budget.
    every = np.array(list(itertools.product(*schedule.sampler.field.space.legal)))
    within = every[macs(every) <= budget]
    scores = schedule.sampler.field.score(schedule.scores, within)
    assert schedule.best().score <= scores.min() + 0.05 * np.ptp(scores)


# -- what is found -----------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
def test_visited_are_exact_answers_within_budgets_from_the_least_to_the_full_cost(own):
    slim = _slim()
    macs, full = kj.costs.MACs(slim), _full_cost(_slim())
    schedule = AdaptiveWidths(0.37 * full, 10, choices=4) if own else AdaptiveWidths(choices=4)
    _train(slim, schedule, 10)
    visited = schedule.visited(12)
    np.testing.assert_array_equal(slim.width_space.validate(visited), visited)
    assert 2 < len(visited) <= 12
    assert len(np.unique(visited, axis=0)) == len(visited)
    found = {tuple(row) for row in visited.tolist()}
    assert tuple(slim.width_space.smallest.tolist()) in found
    least = float(macs(slim.width_space.smallest))
    for budget in np.linspace(least, full, 12 - own):
        answer = schedule.best(budget)
        assert macs(answer.widths) <= budget
        assert tuple(answer.widths.tolist()) in found
    if own:
        assert tuple(schedule.best().widths.tolist()) in found
        np.testing.assert_array_equal(schedule.visited(1), schedule.best().widths[None])
    else:
        with pytest.raises(ValueError, match="Within what budget"):
            schedule.best()


def test_another_cost_is_what_the_budget_is_of():
    slim = _slim()
    cost = kj.costs.Parameters(slim)
    budget = 0.5 * float(cost(slim.width_space.full))
    schedule = AdaptiveWidths(budget, 4, cost, choices=4)
    _train(slim, schedule, 4)
    assert cost(schedule.best().widths) <= budget


# -- going on ----------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0.4, None])
def test_an_interrupted_run_continues_identically(budget):
    def make(slim):
        if budget is None:
            return AdaptiveWidths(choices=4, seed=3)
        return AdaptiveWidths(budget * _full_cost(slim), 12, warmup=0.3, choices=4, hot=0.1)

    slim, record = _slim(), Record()
    straight = make(slim)
    _train(slim, straight, 12, record)

    slim, before = _slim(), Record()
    first = make(slim)
    _train(slim, first, 7, before)
    state = json.loads(json.dumps(first.state()))
    second, after = make(slim), Record()
    second.restore(state)
    _train(slim, second, 5, after)
    np.testing.assert_array_equal(before.rows + after.rows, record.rows)
    assert second.state() == straight.state()
    assert straight.sampler.counts[0].sum() == 24


def test_restoring_after_the_model_was_set_is_the_same():
    slim = _slim()
    first, second = (AdaptiveWidths(choices=4) for _ in range(2))
    _train(slim, first, 3)
    second.set_model(slim)
    second.restore(first.state())
    assert second.state() == first.state()
    for own, others in zip(second.scores, first.scores, strict=True):
        np.testing.assert_array_equal(own, others)


# -- bad input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 1e3}, "give `steps`, the optimizer steps of the whole run.*budget=1000.0"),
        ({"budget": 1e3, "steps": 2.5}, "steps must be a whole number"),
        ({"warmup": 1.0}, "`warmup` is a share of the steps.*Received: warmup=1.0"),
        ({"warmup": np.nan}, "`warmup` is a share.*warmup=nan"),
        ({"choices": 0}, "choices must be a whole number, at least 1"),
        ({"num_sampled": 0}, "num_sampled must be a whole number, at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveWidths(**arguments)


def test_a_budget_below_the_least_cost_names_that_and_its_widths_before_training():
    slim = _slim()
    least = kj.costs.MACs(slim)(slim.width_space.smallest)
    smallest = slim.width_space.smallest.tolist()
    schedule = AdaptiveWidths(least - 1, 10)
    message = rf"least cost .* is {least}. Received: budget={least - 1}. .*\[{smallest[0]}, "
    with pytest.raises(ValueError, match=message):
        _train(slim, schedule, 1)
    assert int(slim.optimizer.iterations) == 0


def test_a_budget_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="A budget is a number .*Received: budget=nan"):
        AdaptiveWidths(float("nan"), 20)


def test_a_cost_that_is_no_sum_of_tables_is_refused():
    slim = _slim()
    with pytest.raises(ValueError, match="a sum of tables.* macs, parameters .*'memory' is none"):
        _train(slim, AdaptiveWidths(cost=kj.costs.Memory(slim)), 1)


def test_states_and_models_of_others_are_refused():
    slim = _slim()
    first = AdaptiveWidths(choices=4)
    with pytest.raises(ValueError, match="There are no scores yet: `fit` has not begun"):
        first.state()
    _train(slim, first, 2)
    with pytest.raises(ValueError, match="with choices=4; this one has choices=12"):
        AdaptiveWidths().restore(first.state())
    other = AdaptiveWidths(choices=4, seed=1)
    other.set_model(slim)
    with pytest.raises(ValueError, match="sampler with seed=0; this one has seed=1"):
        other.restore(first.state())
    with pytest.raises(ValueError, match="holds the scores of model .*Make a new one"):
        first.set_model(_slim())
