"""`search_widths`: what an engine is told, and what is said where something does not fit."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from tests.sandwich_recursion import images


def _slim(units=12, min_width=0.25, name="a", loss="sparse_categorical_crossentropy"):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Dense(units, activation="relu", name=name)(keras.layers.Flatten()(inputs))
    x = keras.layers.Dense(10, activation="relu", name="b")(x)
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), min_width)
    slim.compile("sgd", loss, run_eagerly=True)
    return slim


@pytest.mark.parametrize("kind", ["RandomSearch", "NSGA2Search", "GreedySearch", "JoslimSearch"])
def test_every_network_is_told_its_own_loss_once(kind, monkeypatch):
    slim, data = _slim(), images(9, seed=5)
    measured, losses_at, rounds = [], slim.losses_at, []
    engine = getattr(kj.search, kind)(slim.width_space, kj.costs.MACs(slim))
    monkeypatch.setattr(slim, "losses_at", lambda w, *d: measured.extend(w) or losses_at(w, *d))
    history = kj.search_widths(
        slim, engine, data, 30, on_round=lambda: rounds.append(len(engine.history)), progress=False
    )
    assert history is engine.history
    assert len(history) == 30
    assert rounds[-1] == 30
    # The first two are the ends, for what is said if the data does not fit.
    assert len(measured) == 32
    np.testing.assert_allclose(history.losses, losses_at(history.widths, *data))


def test_fewer_prior_points_than_are_asked_at_a_time():
    slim = _slim()
    engine = kj.search.JoslimSearch(slim.width_space, kj.costs.MACs(slim), prior_points=3)
    history = kj.search_widths(slim, engine, images(9), 20, num_asked=10, progress=False)
    assert len(history) == 20


@pytest.mark.parametrize(
    ("kind", "options", "first"),
    [
        ("JoslimSearch", {"prior_points": 6}, 6),
        ("NSGA2Search", {"population": 10}, 10),
        ("GreedySearch", {}, 1),
        ("RandomSearch", {}, 0),
    ],
)
def test_a_search_that_never_begins_is_warned_of(kind, options, first, caplog):
    def searched(evaluations):
        slim = _slim()
        engine = getattr(kj.search, kind)(slim.width_space, kj.costs.MACs(slim), **options)
        assert engine.uninformed == first
        caplog.clear()
        kj.search_widths(slim, engine, images(9), evaluations, progress=False)
        return "Nothing is searched" in caplog.text

    assert not searched(first + 1)
    if first:
        assert searched(first)


def test_an_engine_that_is_done_ends_the_search():
    slim = _slim()
    engine = kj.search.GreedySearch(slim.width_space, kj.costs.MACs(slim), targets=[0.9])
    history = kj.search_widths(slim, engine, images(9), progress=False)
    assert engine.done
    assert history.evaluated.all()
    assert kj.costs.MACs(slim)(engine.chosen[0.9]) <= 0.9 * kj.costs.MACs(slim)(
        slim.width_space.full
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"min_width": 0.5}, "other legal widths for group 'a'"),
        ({"name": "c"}, "a group 'c' where the model has 'a'"),
    ],
)
def test_an_engine_over_another_space_is_refused_by_what_differs(other, message):
    slim, stranger = _slim(), _slim(**other)
    engine = kj.search.RandomSearch(stranger.width_space, kj.costs.MACs(stranger))
    with pytest.raises(ValueError, match=message):
        kj.search_widths(slim, engine, images(9), 10)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((9, 6, 6, 2)), r"\(x, y\) or .*Received: ndarray"),
        ((np.zeros((9, 6, 6, 2)), np.zeros(8)), r"as many labels as images.*\[8, 9\]"),
        ((np.zeros((0, 6, 6, 2)), np.zeros(0)), r"one or more.*\[0\]"),
        ((np.zeros((9, 6, 6, 3)), np.zeros(9)), "does not fit the model: .*(shape|axis|depth|dim)"),
        ((np.zeros((9, 6, 6, 2)), np.full(9, 7)), "does not fit.*: .*7.*(valid range|not in)"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_gist(data, message):
    slim = _slim()
    engine = kj.search.RandomSearch(slim.width_space, kj.costs.MACs(slim))
    with pytest.raises(ValueError, match=message):
        kj.search_widths(slim, engine, data, 10)
    assert len(engine.history) == 0


def test_a_stock_model_and_no_evaluations_are_refused():
    slim = _slim()
    engine = kj.search.RandomSearch(slim.width_space, kj.costs.MACs(slim))
    with pytest.raises(ValueError, match="Expected a slimmable model"):
        kj.search_widths(keras.Sequential(), engine, images(9), 10)
    with pytest.raises(ValueError, match="evaluations=0"):
        kj.search_widths(slim, engine, images(9), 0)
