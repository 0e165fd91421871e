"""What all engines do alike: legal and new widths, clear refusals, a state that goes on exactly."""

import json

import numpy as np
import pytest

from keras_joslim.search import GreedySearch, JoslimSearch, NSGA2Search, RandomSearch
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.engine_problems import chain, saturating, search

AFTER_TRAINING = (RandomSearch, NSGA2Search, GreedySearch)
GENERATIONS = AFTER_TRAINING[1:]
ENGINES = (*AFTER_TRAINING, JoslimSearch)


def _problem(**options):
    space, cost = chain(**options)
    return space, cost, saturating(space, (1, 2, 1, 3), (1, 5, 3, 2))


def _through_json(kind, state, space, cost):
    engine = kind(space, cost)
    engine.restore(json.loads(json.dumps(state, allow_nan=False)))
    return engine


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("seed", [0, 1])
def test_restored_at_any_point_the_asks_are_the_same(kind, seed):
    """Before and after asks and tells, in the middle of generations, losses drifting."""
    space, cost, loss = _problem(ordering=[(0, 1)])
    rng = np.random.default_rng(seed)

    def told(engine, k):
        return (loss(engine.history.widths) * (1 + 0.1 * np.sin(k)) + 0.01 * k).tolist()

    engine, asked, states = kind(space, cost), [], []
    portions = rng.integers(1, 17, size=20).tolist()
    for k, m in enumerate(portions):
        states.append(engine.state())
        asked.append(engine.ask(m))
        states.append(engine.state())
        engine.tell(told(engine, k))
    assert len(engine.history) > 60
    for start in sorted(rng.choice(2 * len(portions), 8, replace=False).tolist()):
        other = _through_json(kind, states[start], space, cost)
        assert other.state() == states[start]
        for k in range(start // 2, min(start // 2 + 6, len(portions))):
            if 2 * k >= start:
                np.testing.assert_array_equal(other.ask(portions[k]), asked[k])
            other.tell(told(other, k))


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("ordering", [(), ((0, 1), (2, 3)), ((0, 1), (0, 2), (1, 3))])
def test_widths_are_legal_new_and_enter_the_history(kind, ordering):
    space, cost, loss = _problem(ordering=ordering)
    engine, asked = kind(space, cost), []
    while len(asked) < 100 and not engine.done:
        widths = engine.ask(7)
        assert widths.dtype == np.int32
        assert 1 <= len(widths) <= 7
        asked += widths.tolist()
        np.testing.assert_array_equal(engine.history.widths, asked)
        assert np.isnan(engine.history.losses[-len(widths) :]).all()
        engine.tell(loss(engine.history.widths))
    assert len({tuple(row) for row in asked}) == len(asked) >= 100
    np.testing.assert_array_equal(space.validate(asked), asked)
    np.testing.assert_array_equal(engine.history.costs, cost(np.array(asked)))


@pytest.mark.parametrize("kind", GENERATIONS)
def test_a_generation_must_be_told_before_the_next(kind):
    space, cost, loss = _problem()
    engine = kind(space, cost)
    first = engine.ask(10**6)
    before = engine.state()
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"Call `tell\(losses\)` with all {len(first)} of"):
            engine.ask(1)
    assert engine.state() == before
    engine.tell(loss(engine.history.widths))
    # In parts, and told in between or not, it is the same generation.
    parts = _through_json(kind, engine.state(), space, cost)
    whole = engine.ask(10**6)
    asked = [parts.ask(1)]
    parts.tell(loss(parts.history.widths))
    asked += [parts.ask(1), parts.ask(10**6)]
    np.testing.assert_array_equal(np.concatenate(asked), whole)


@pytest.mark.parametrize("kind", GENERATIONS)
def test_a_generation_is_judged_by_the_losses_told_at_its_end(kind):
    space, cost, loss = _problem()
    asked = []
    for tells in ((loss,), (loss, lambda w: -loss(w)), (lambda w: -loss(w),)):
        engine = search(kind(space, cost), loss, 90, num_asked=10**6)
        engine.ask(10**6)
        for values in tells:
            engine.tell(values(engine.history.widths))
        asked.append(engine.ask(10**6).tolist())
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


@pytest.mark.parametrize("kind", AFTER_TRAINING)
def test_a_search_that_is_done_says_so(kind):
    space, cost = chain(sizes=(3, 2), min_width=0.1)
    engine = search(kind(space, cost), lambda w: -cost(w), 10**6)
    assert engine.done
    before = engine.state()
    with pytest.raises(ValueError, match="The search is done"):
        engine.ask(1)
    other = _through_json(kind, before, space, cost)
    assert other.done
    assert other.state() == before


def test_joslims_search_is_never_done():
    space, cost = chain(sizes=(2, 2), min_width=0.1)
    engine = JoslimSearch(space, cost)
    assert not engine.done
    engine.ask(4)
    engine.tell(-cost(engine.history.widths))
    engine.ask(1)
    assert engine.last_ask[0]["kind"] == "repeat"
    assert not engine.done


@pytest.mark.parametrize("kind", AFTER_TRAINING)
def test_a_space_of_one_network_and_groups_of_one_width(kind):
    engine = kind(WidthSpace([ChannelGroup("a", 3, (3,))]), lambda w: w.sum(-1))
    assert engine.ask(5).tolist() == [[3]]
    engine.tell([0.5])
    assert engine.done
    space = WidthSpace([ChannelGroup("a", 3, (3,)), ChannelGroup("b", 30, tuple(range(11, 31)))])
    engine = search(kind(space, lambda w: w.sum(-1)), lambda w: -w.sum(-1), 15)
    assert len(engine.history) >= 10
    assert (engine.history.widths[:, 0] == 3).all()


@pytest.mark.parametrize("kind", AFTER_TRAINING)
@pytest.mark.parametrize("m", [0, -1, 1.5, True])
def test_a_number_of_points_that_is_none_is_refused(kind, m):
    space, cost, _ = _problem()
    with pytest.raises(ValueError, match=f"m must be a whole number, at least 1. Received: m={m}"):
        kind(space, cost).ask(m)


@pytest.mark.parametrize("kind", AFTER_TRAINING)
def test_losses_that_are_not_finite_or_too_few_change_nothing(kind):
    space, cost, _ = _problem()
    engine = kind(space, cost)
    engine.ask(1)
    before = engine.state()
    with pytest.raises(ValueError, match="The loss of entry 0 of the history"):
        engine.tell([np.nan])
    with pytest.raises(ValueError, match="losses of all 1 entries"):
        engine.tell([1.0, 2.0])
    assert engine.state() == before


@pytest.mark.parametrize("kind", AFTER_TRAINING)
def test_bad_costs_and_empty_spaces_are_refused(kind):
    space, _, _ = _problem()
    with pytest.raises(ValueError, match="no channel group"):
        kind(WidthSpace([]), lambda w: w.sum(-1))
    for bad in (lambda w: 1.0, lambda w: np.full(len(w), np.nan)):
        with pytest.raises(ValueError, match="as many finite numbers"):
            kind(space, bad).ask(1)


@pytest.mark.parametrize("kind", AFTER_TRAINING)
def test_a_state_of_another_search_is_refused_by_name_and_changes_nothing(kind):
    space, cost, loss = _problem()
    state = search(kind(space, cost), loss, 50).state()
    others = [other for other in AFTER_TRAINING if other is not kind]
    entries = {"RandomSearch": None, "NSGA2Search": "population", "GreedySearch": "path"}
    broken = json.loads(json.dumps(state))
    broken["history"]["widths"][0][0] = 1
    cases = [
        (space, cost, {**state, "groups": ["g0", "g1", "g2", "other"]}, "other channel groups"),
        (space, lambda w: 2 * cost(w), state, "with another cost: entry 0 of the history costs"),
        (space, cost, {"settings": {}}, f"Not the state of a width search by {kind.__name__}"),
        (space, cost, None, f"Not the state of a width search by {kind.__name__}"),
        (space, cost, JoslimSearch(space, cost).state(), "Not the state of a width search by"),
        (space, cost, broken, "The width of group 'g0'"),
        *(
            (space, cost, other(space, cost).state(), f"by {other.__name__}; this engine is")
            for other in others
        ),
    ]
    if entries[kind.__name__]:
        name = entries[kind.__name__]
        cases += [
            (space, cost, {**state, name: [0, 999]}, r"the history of \d+ does not.*999"),
            (space, cost, {k: v for k, v in state.items() if k != name}, f"Not the state.*{name}"),
            (space, cost, {**state, "generation": [[1, 1, 1, 1]]}, "The width of group 'g0'"),
        ]
    for its_space, its_cost, given, text in cases:
        engine = kind(its_space, its_cost)
        before = engine.state()
        with pytest.raises(ValueError, match=text):
            engine.restore(given)
        assert engine.state() == before


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (RandomSearch, {"seed": 2}, "with seed=0; this engine has seed=2"),
        (NSGA2Search, {"seed": 2}, "with seed=0; this engine has seed=2"),
        (NSGA2Search, {"population": 8}, "with population=40; this engine has population=8"),
        (GreedySearch, {"step": 0.3}, r"with step=0\.1; this engine has step=0\.3"),
        (GreedySearch, {"targets": [0.5]}, r"with targets=\[.*\]; this engine has targets=\[0\.5"),
    ],
)
def test_a_state_of_other_settings_is_refused_by_name(kind, settings, text):
    space, cost, loss = _problem()
    state = search(kind(space, cost), loss, 10).state()
    with pytest.raises(ValueError, match=text):
        kind(space, cost, **settings).restore(state)


@pytest.mark.parametrize("kind", [RandomSearch, NSGA2Search])
def test_a_seed_out_of_range_is_refused(kind):
    space, cost, _ = _problem()
    with pytest.raises(ValueError, match="seed must be a whole number, at least 0"):
        kind(space, cost, seed=-1)
