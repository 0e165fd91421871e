"""Random, NSGA-II and greedy search: what they ask, where they end, how they go on."""

import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from keras_joslim.search import (
    GreedySearch,
    JoslimSearch,
    NSGA2Search,
    RandomSearch,
    front_indices,
    hypervolume,
)
from tests.search.engine_problems import chain, saturating, search

ENGINES = (RandomSearch, NSGA2Search, GreedySearch, JoslimSearch)
GENERATIONS = ENGINES[:3]


def _problem(**options):
    space, cost = chain(**options)
    return space, cost, saturating(space, (1, 2, 1, 3), (1, 5, 3, 2))


@pytest.mark.parametrize("kind", ENGINES)
def test_an_engine_restored_at_any_point_asks_the_same(kind):
    space, cost, loss = _problem()
    straight = search(kind(space, cost), loss, 90)

    def restored(engine):
        other = kind(space, cost)
        other.restore(json.loads(json.dumps(engine.state())))
        return other

    again = search(kind(space, cost), loss, 90, after_round=restored)
    np.testing.assert_array_equal(again.history.widths, straight.history.widths)
    np.testing.assert_array_equal(again.history.losses, straight.history.losses)


@pytest.mark.parametrize("kind", GENERATIONS)
def test_an_engine_restored_between_asking_and_telling_goes_on(kind):
    space, cost, loss = _problem()
    straight, other = kind(space, cost), kind(space, cost)
    for engine in (straight, other):
        search(engine, loss, 20)
        engine.ask(3)
    restored = kind(space, cost)
    restored.restore(json.loads(json.dumps(other.state())))
    for engine in (straight, restored):
        engine.tell(loss(engine.history.widths))
        search(engine, loss, 60)
    np.testing.assert_array_equal(restored.history.widths, straight.history.widths)


@pytest.mark.parametrize("kind", ENGINES)
def test_widths_are_legal_and_none_is_asked_twice(kind):
    space, cost, loss = _problem(ordering=[(0, 1), (2, 3)])
    history = search(kind(space, cost), loss, 120).history
    np.testing.assert_array_equal(space.validate(history.widths), history.widths)
    assert len(np.unique(history.widths, axis=0)) == len(history)
    np.testing.assert_array_equal(history.costs, cost(history.widths))


@pytest.mark.parametrize("kind", GENERATIONS)
def test_a_generation_must_be_told_before_the_next(kind):
    space, cost, loss = _problem()
    engine = kind(space, cost)
    # Generations of all three are smaller than this.
    engine.ask(10**6)
    with pytest.raises(ValueError, match=r"Call `tell\(losses\)` with all \d+ of the history"):
        engine.ask(1)
    engine.tell(loss(engine.history.widths))
    assert len(engine.ask(1)) == 1


@pytest.mark.parametrize("kind", GENERATIONS)
@pytest.mark.parametrize("m", [0, -1, 1.5, True])
def test_a_number_of_points_that_is_none_is_refused(kind, m):
    space, cost, _ = _problem()
    with pytest.raises(ValueError, match=f"m must be a whole number, at least 1. Received: m={m}"):
        kind(space, cost).ask(m)


@pytest.mark.parametrize("kind", GENERATIONS)
def test_a_state_of_another_search_is_refused_by_name(kind):
    space, cost, loss = _problem()
    state = search(kind(space, cost), loss, 10).state()
    other, _, _ = _problem(sizes=(16, 32, 64, 48))
    renamed = {**state, "groups": [*state["groups"][:-1], "other"]}
    with pytest.raises(ValueError, match="over other channel groups"):
        kind(space, cost).restore(renamed)
    with pytest.raises(ValueError, match="with another cost: entry 0 .* costs"):
        kind(space, lambda w: 2 * cost(w)).restore(state)
    with pytest.raises(ValueError, match="Not the state of a width search"):
        kind(space, cost).restore({"settings": {}})
    assert list(other.names) == state["groups"]


def test_a_state_of_other_settings_is_refused_by_name():
    space, cost, loss = _problem()
    state = search(NSGA2Search(space, cost, seed=1), loss, 10).state()
    with pytest.raises(ValueError, match="with seed=1; this engine has seed=2"):
        NSGA2Search(space, cost, seed=2).restore(state)
    state = search(GreedySearch(space, cost, step=0.2), loss, 10).state()
    with pytest.raises(ValueError, match="with step=0.2; this engine has step=0.1"):
        GreedySearch(space, cost).restore(state)


# -- random ------------------------------------------------------------------


def test_random_search_goes_through_a_small_space_once():
    space, cost, loss = _problem(choices=3, ordering=[(0, 1)])
    engine = search(RandomSearch(space, cost), loss, 10**6)
    assert engine.done
    legal = np.unique(space.sample(np.random.default_rng(0), 5000), axis=0)
    np.testing.assert_array_equal(np.unique(engine.history.widths, axis=0), legal)
    np.testing.assert_array_equal(engine.history.widths[:2], [space.full, space.smallest])
    with pytest.raises(ValueError, match="The search is done"):
        engine.ask(1)


def test_random_search_draws_multipliers_uniformly():
    space, cost = chain(sizes=(400, 1000))
    engine = search(RandomSearch(space, cost), saturating(space, (1, 1), (1, 1)), 1000)
    drawn = space.multipliers(engine.history.widths[2:1000])
    for group in drawn.T:
        # Uniform on [0.25, 1]: within four standard errors of 998 draws.
        assert abs(group.mean() - 0.625) < 4 * 0.2165 / np.sqrt(998)
        assert abs(group.std() - 0.2165) < 0.015
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.13


# -- NSGA-II -----------------------------------------------------------------


def test_nsga2_comes_nearer_to_a_known_front_than_random_search():
    space, cost, loss = _problem(choices=8)
    rows = np.unique(space.sample(np.random.default_rng(0), 60000), axis=0)
    corner = (loss(space.smallest[None])[0], 1.1 * cost(space.full))
    best = hypervolume(loss(rows), cost(rows), corner)
    volumes = {}
    for kind in (NSGA2Search, RandomSearch):
        volumes[kind] = [
            hypervolume(h.losses[:240], h.costs[:240], corner) / best
            for h in (search(kind(space, cost, seed=s), loss, 240).history for s in range(3))
        ]
    assert min(volumes[NSGA2Search]) > 0.98
    assert min(volumes[NSGA2Search]) > max(volumes[RandomSearch])


def test_the_first_generation_has_both_ends_and_as_many_networks_as_said():
    space, cost, _ = _problem()
    engine = NSGA2Search(space, cost, population=12)
    first = engine.ask(100)
    assert len(first) == 12
    assert (first == space.full).all(1).any()
    assert (first == space.smallest).all(1).any()


@pytest.mark.parametrize("population", [2, 7, 4.5])
def test_a_population_out_of_range_is_refused(population):
    space, cost, _ = _problem()
    with pytest.raises(ValueError, match=f"population .*Received: population={population}"):
        NSGA2Search(space, cost, population=population)


def test_without_pymoo_the_command_that_installs_it_is_named(monkeypatch):
    import sys

    space, cost, _ = _problem()
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(ValueError, match="pip install pymoo"):
        NSGA2Search(space, cost)


# -- greedy ------------------------------------------------------------------


def test_each_round_takes_what_loses_least_per_cost_saved():
    # Two groups of four channels, one channel a step; the cost of (a, b) is 3 a + b.
    space, _ = chain(sizes=(4, 4))
    losses = {
        (4, 4): 1.0,  # 16
        (3, 4): 1.2,  # 0.2 for 3
        (4, 3): 1.05,  # 0.05 for 1: taken
        (3, 3): 1.11,  # 0.06 for 3: taken
        (4, 2): 1.1,  # 0.05 for 1
        (2, 3): 1.5,  # 0.39 for 3
        (3, 2): 1.2,  # 0.09 for 1: taken, 11 in all
    }

    def cost(widths):
        return 3.0 * np.asarray(widths)[..., 0] + np.asarray(widths)[..., 1]

    engine = GreedySearch(space, cost, targets=[11 / 16, 15 / 16], step=0.25)
    while not engine.done:
        engine.ask(5)
        engine.tell([losses[tuple(row)] for row in engine.history.widths.tolist()])
    assert engine.path.tolist() == [[4, 4], [4, 3], [3, 3], [3, 2]]
    assert engine.chosen[15 / 16].tolist() == [4, 3]
    assert engine.chosen[11 / 16].tolist() == [3, 2]
    assert set(map(tuple, engine.history.widths.tolist())) == set(losses)


def test_the_path_of_a_toy_by_brute_force():
    space, cost = chain(sizes=(6, 5, 7))
    loss = saturating(space, (1, 2, 3), (2, 1, 3))
    engine = search(GreedySearch(space, cost, targets=[0.2], step=0.01), loss, 10**6)
    path = [space.full]
    while cost(path[-1]) > 0.2 * cost(space.full):
        now, best = path[-1], None
        for group in range(3):
            smaller = np.array(now)
            smaller[group] -= 1
            if smaller[group] < space.smallest[group]:
                continue
            rate = (loss(smaller) - loss(now)) / (cost(now) - cost(smaller))
            if best is None or rate < best[0]:
                best = (rate, smaller)
        path.append(best[1])
    np.testing.assert_array_equal(engine.path, path)
    np.testing.assert_array_equal(engine.chosen[0.2], path[-1])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=5),
    st.integers(0, 10**6),
    st.floats(0.05, 1.0),
    st.booleans(),
)
def test_greedy_reaches_every_target(sizes, seed, step, ordered):
    rng = np.random.default_rng(seed)
    ordering = []
    if ordered and len(sizes) > 1:
        sizes = sorted(sizes)
        ordering = [(i, i + 1) for i in range(len(sizes) - 1)]
    space, cost = chain(sizes=sizes, ordering=ordering)
    table = {}

    def loss(widths):
        # No order at all: even a larger network may lose more.
        return [table.setdefault(tuple(row), rng.random()) for row in np.atleast_2d(widths)]

    least = cost(space.smallest) / cost(space.full)
    targets = [*rng.uniform(least, 1.0, 3).tolist(), float(least)]
    engine = search(GreedySearch(space, cost, targets, step), loss, 10**6)
    assert engine.done
    assert list(engine.chosen) == targets
    for target, widths in engine.chosen.items():
        assert cost(widths) <= target * cost(space.full) * (1 + 1e-9)
    assert (np.diff(engine.path, axis=0) <= 0).all()
    np.testing.assert_array_equal(space.validate(engine.path), engine.path)


def test_groups_that_save_nothing_are_shrunk_where_nothing_else_is_left():
    space, _ = chain(sizes=(8, 8))

    def cost(widths):
        return np.maximum(np.asarray(widths)[..., 0], np.asarray(widths)[..., 1]) * 10.0

    loss = saturating(space, (1, 2), (1, 1))
    engine = search(GreedySearch(space, cost, [0.5], step=0.1), loss, 10**6)
    assert cost(engine.chosen[0.5]) <= 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": [0.5, 0.0]}, r"in \(0, 1\]. Received: 0.0"),
        ({"targets": [0.5, 0.01]}, "no target below that can be reached. Received: 0.01"),
        ({"targets": []}, "at least one target"),
        ({"step": 0.0}, "Received: step=0.0"),
    ],
)
def test_what_greedy_cannot_do_is_refused(arguments, message):
    space, cost, _ = _problem()
    with pytest.raises(ValueError, match=message):
        GreedySearch(space, cost, **arguments)


# -- the best of a history ---------------------------------------------------


def test_leading_peels_front_after_front():
    from keras_joslim.search import History

    history = History(1)
    # (cost, loss): a front of three, behind it two, behind these one; one without a loss.
    points = [(1, 3.0), (2, 2.0), (3, 1.0), (2, 3.0), (3, 2.0), (3, 3.0), (4, np.nan)]
    for i, (cost, _) in enumerate(points[:-1]):
        history.append([i + 1], float(cost))
    history.set_losses([loss for _, loss in points[:-1]])
    history.append([9], 4.0)
    assert set(history.leading(3)) == {0, 1, 2}
    assert set(history.leading(5)) == {0, 1, 2, 3, 4}
    # Of a front that does not fit, evenly over the costs.
    assert history.leading(2).tolist() == [0, 2]
    assert set(history.leading(4)) == {0, 1, 2, 3}
    assert set(history.leading(100)) == {0, 1, 2, 3, 4, 5}
    costs = history.costs[history.leading(100)]
    assert (np.diff(costs) >= 0).all()
    with pytest.raises(ValueError, match="count=0"):
        history.leading(0)


def test_leading_ends_where_all_are_equal():
    from keras_joslim.search import History

    history = History(1)
    for i in range(6):
        history.append([i + 1], 5.0)
    history.set_losses([2.0] * 6)
    assert len(history.leading(4)) == 4
    assert len(front_indices(history.losses, history.costs)) == 1
