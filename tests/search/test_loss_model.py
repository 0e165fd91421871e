"""The surrogate's making: inputs, thinning, when hyper-parameters are fitted; combined moves."""

import numpy as np
import pytest

from keras_joslim.search import History
from keras_joslim.search.history import row_keys
from keras_joslim.search.loss_model import LossModel
from keras_joslim.search.moves import SingleMoves
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.engine_problems import chain, saturating


def _history(space, cost, loss, count, seed=0):
    history = History(len(space))
    for widths in space.sample(np.random.default_rng(seed), 2 * count):
        if len(history) < count and widths not in history:
            history.append(widths, cost(widths))
    history.set_losses(loss(history.widths))
    return history


@pytest.fixture
def problem():
    space, cost = chain((32, 64, 64, 32))
    return space, cost, saturating(space, [3.0, 1.0, 2.0, 0.5], [4.0, 2.0, 3.0, 5.0])


def _surrogate(model, history, cost):
    return model.surrogate(history, cost, -0.3, np.random.default_rng(0))


def test_inputs_are_multipliers_or_spaced_by_their_logarithm():
    space = WidthSpace(
        [
            ChannelGroup("a", 16, (4, 8, 16)),
            ChannelGroup("fixed", 8, (8,)),
            ChannelGroup("b", 10, (1, 10)),
        ]
    )
    widths = np.array([[4, 8, 1], [8, 8, 10], [16, 8, 10]], np.int32)
    zero = LossModel(space, "zero", "one", None).inputs(widths)
    np.testing.assert_allclose(zero, [[0.25, 0.1], [0.5, 1.0], [1.0, 1.0]])
    # Half of 16 is half-way between a quarter of it and all of it: 0.25 + 0.75 / 2.
    linear = LossModel(space, "linear", "one", None).inputs(widths)
    np.testing.assert_allclose(linear, [[0.25, 0.1], [0.625, 1.0], [1.0, 1.0]])


def test_a_thinned_posterior_has_the_front_and_others_besides(problem):
    space, cost, loss = problem
    history = _history(space, cost, loss, 120)
    model = LossModel(space, "linear", "one", 40)
    inputs = _surrogate(model, history, cost).process.inputs
    assert inputs.shape == (40, 4)
    kept = {tuple(row) for row in inputs.round(9)}
    places = [
        i for i, row in enumerate(model.inputs(history.widths).round(9)) if tuple(row) in kept
    ]
    assert len(places) == 40
    best = set(history.leading(30).tolist())
    assert best <= set(places)
    # The others lie all over the history, not at one end of it.
    others = sorted(set(places) - best)
    assert others[0] < 30
    assert others[-1] > 90


def test_few_entries_are_all_kept_and_unevaluated_ones_none(problem):
    space, cost, loss = problem
    history = _history(space, cost, loss, 40)
    history.append(space.full, cost(space.full))
    for entries in (40, 400, None):
        process = _surrogate(LossModel(space, "linear", "one", entries), history, cost).process
        assert len(process.inputs) == 40


def test_a_thinned_posterior_predicts_nearly_as_well(problem):
    space, cost, loss = problem
    history = _history(space, cost, loss, 200)
    others = space.sample(np.random.default_rng(5), 300)
    errors = {}
    for entries in (None, 100):
        surrogate = _surrogate(LossModel(space, "linear", "one", entries), history, cost)
        mean, _ = surrogate.process.predict(surrogate.inputs(others))
        errors[entries] = np.sqrt(np.mean((surrogate.losses.inverse(mean) - loss(others)) ** 2))
    assert errors[100] < 0.05 * np.std(loss(others))
    assert errors[None] < errors[100]


def test_hyperparameters_are_fitted_again_when_the_history_has_grown(problem):
    space, cost, loss = problem
    model, fitted = LossModel(space, "linear", "one", None), []
    for count in (40, 45, 49, 50, 62, 63):
        _surrogate(model, _history(space, cost, loss, count), cost)
        fitted.append(model.fitted_entries)
    assert fitted == [40, 40, 40, 50, 50, 63]


def test_hyperparameters_are_fitted_again_when_they_no_longer_fit(problem):
    space, cost, loss = problem
    history = _history(space, cost, loss, 40)
    model = LossModel(space, "linear", "one", None)
    _surrogate(model, history, cost)
    first = model.fitted
    # A drift that standardising takes away changes nothing.
    history.set_losses(5.0 + 3.0 * loss(history.widths))
    _surrogate(model, history, cost)
    assert model.fitted == first
    noise = np.random.default_rng(3).normal(size=40) * np.std(history.losses)
    history.set_losses(loss(history.widths) + noise)
    _surrogate(model, history, cost)
    assert model.fitted != first
    assert model.fitted.noise > 10 * first.noise


def test_row_keys_are_equal_where_rows_are():
    rows = np.array([[1, 2], [1, 2], [2, 1]])
    keys = row_keys(rows)
    assert keys[0] == keys[1] != keys[2]
    assert row_keys(rows.astype(np.int32)[:, ::1]) == keys
    assert row_keys(np.asfortranarray(rows)) == keys
    assert row_keys(np.empty((0, 2))) == []


# -- moves -----------------------------------------------------------------------------------------


def _moves():
    """Of (2, 2, 2): group 0 wider gains 4 for 1, group 1 narrower costs 1 and saves 2, group 2
    wider gains 1 for 4."""
    return SingleMoves(
        origin=np.array([2, 2, 2]),
        widths=np.array([[3, 2, 2], [2, 1, 2], [2, 2, 3]]),
        losses=np.array([-4.0, 1.0, -1.0]),
        costs=np.array([1.0, -2.0, 4.0]),
    )


def test_whole_sets_of_moves_are_those_that_pay_at_a_rate():
    rows = {
        tuple(row)
        for row in _moves().combined(np.random.default_rng(0), 0.0, 0.0, 0.5)[:24].tolist()
    }
    # Rates that occur: 4, 1/2 and 1/4 of loss a cost. Only the first move pays at each of them;
    # the second from 1/2 on, the third below 1/4.
    assert (3, 1, 2) in rows
    assert (3, 2, 2) in rows
    assert (2, 1, 3) not in rows
    assert all(row[0] == 3 or row == (2, 1, 2) for row in rows)


def test_pairs_are_one_wider_and_one_narrower_group():
    rows = _moves().combined(np.random.default_rng(0), 0.0, 0.0, 0.5)[72:].tolist()
    assert sorted(rows) == [[2, 1, 3], [3, 1, 2]]


def test_the_pairs_that_promise_most_are_taken():
    rng = np.random.default_rng(0)
    groups = 40
    origin = np.full(groups, 5)
    widths = np.concatenate(
        [origin + np.eye(groups, dtype=int), origin - np.eye(groups, dtype=int)]
    )
    losses = np.concatenate([-rng.random(groups), rng.random(groups)])
    costs = np.concatenate([np.ones(groups), -np.ones(groups)])
    rows = SingleMoves(origin, widths, losses, costs).combined(rng, 0.0, 0.0, 0.5)
    pairs = rows[-48:]
    assert (pairs.sum(axis=1) == origin.sum()).all()
    best = origin.copy()
    best[np.argmin(losses[:groups])] += 1
    best[np.argmin(losses[groups:])] -= 1
    assert best.tolist() in pairs.tolist()


def test_no_moves_combine_to_nothing():
    moves = SingleMoves(np.array([2, 2]), np.empty((0, 2), int), np.empty(0), np.empty(0))
    assert moves.combined(np.random.default_rng(0), 0.0, 0.0, 0.5).shape == (0, 2)
