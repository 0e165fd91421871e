"""Greedy search against its definition, written out and by brute force; every target is reached."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from keras_joslim.search import GreedySearch
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.engine_problems import chain, saturating, search

TOY = WidthSpace(
    [ChannelGroup("a", 3, (1, 2, 3)), ChannelGroup("b", 2, (1, 2)), ChannelGroup("c", 2, (1, 2))]
)


def _toy_cost(widths):
    return np.asarray(widths) @ np.array([4.0, 2.0, 1.0])


def test_each_round_of_a_toy_written_out():
    rounds = [
        # widths: loss; the full network costs 18.
        {(3, 2, 2): 1.0},
        # 0.4 for 4 saved, 0.1 for 2, 0.06 for 1: the second, neither the least loss nor the most
        # saved.
        {(2, 2, 2): 1.4, (3, 1, 2): 1.1, (3, 2, 1): 1.06},
        # b is at its end. 0.4 for 4, 0.2 for 1: the first.
        {(2, 1, 2): 1.5, (3, 1, 1): 1.3},
        # Neither loses anything: the first, which saves 4, though the other loses less than nothing
        # by more.
        {(1, 1, 2): 1.45, (2, 1, 1): 1.3},
        {(1, 1, 1): 9.0},
    ]
    taken = [(3, 2, 2), (3, 1, 2), (2, 1, 2), (1, 1, 2), (1, 1, 1)]
    engine = GreedySearch(TOY, _toy_cost, targets=(0.9, 0.7, 0.66, 7 / 18))
    # Costs along the path: 18, 16, 12, 8, 7, so shares of 1, 0.889, 0.667, 0.444, 0.389.
    reached = [[], [0.9], [0.9, 0.7], [0.9, 0.7, 0.66], [0.9, 0.7, 0.66, 7 / 18]]
    losses = {}
    for k, expected in enumerate(rounds):
        assert not engine.done
        asked = engine.ask(10)
        assert [tuple(row) for row in asked.tolist()] == list(expected)
        losses |= expected
        engine.tell([losses[tuple(row)] for row in engine.history.widths.tolist()])
        assert [tuple(row) for row in engine.path.tolist()] == taken[: k + 1]
        assert list(engine.chosen) == reached[k]
    assert engine.done
    chosen = {target: tuple(widths.tolist()) for target, widths in engine.chosen.items()}
    assert chosen == {0.9: (3, 1, 2), 0.7: (2, 1, 2), 0.66: (1, 1, 2), 7 / 18: (1, 1, 1)}


@pytest.mark.parametrize("seed", range(5))
def test_the_path_of_random_losses_by_brute_force(seed):
    space, cost = chain(sizes=(6, 5, 7))
    rng = np.random.default_rng(seed)
    table = rng.random((8, 8, 8)) + np.add.outer(np.add.outer(*[-np.arange(8) / 8] * 2), np.ones(8))

    def loss(widths):
        return table[tuple(np.asarray(widths).T)]

    engine = search(GreedySearch(space, cost, targets=[0.2], step=0.01), loss, 10**6)
    path = [tuple(space.full.tolist())]
    while cost(path[-1]) > 0.2 * cost(space.full):
        now, offers = path[-1], []
        for group in range(3):
            smaller = tuple(w - (i == group) for i, w in enumerate(now))
            if smaller[group] >= space.smallest[group]:
                lost, saved = loss(smaller) - loss(now), cost(now) - cost(smaller)
                offers.append((max(lost, 0.0) / saved, -saved, smaller))
        path.append(min(offers)[2])
    assert [tuple(row) for row in engine.path.tolist()] == path
    np.testing.assert_array_equal(engine.chosen[0.2], path[-1])


def test_the_loss_told_last_is_what_shrinking_is_compared_with():
    engine = GreedySearch(TOY, _toy_cost, targets=[0.5])
    engine.ask(1)
    engine.tell([100.0])
    engine.ask(3)
    # By the loss of 1.0 that is told now all of them lose; by 100.0 none would, and the one that
    # saves most would be taken.
    engine.tell([1.0, 9.0, 1.1, 9.0])
    assert engine.path.tolist() == [[3, 2, 2], [3, 1, 2]]


def test_a_step_is_a_part_of_the_legal_range_and_the_last_one_what_is_left():
    space = WidthSpace([ChannelGroup("a", 12, (2, 4, 6, 8, 10, 12)), ChannelGroup("b", 2, (1, 2))])
    engine = GreedySearch(space, lambda w: w.sum(-1), step=0.4)
    engine.ask(1)
    engine.tell([0.0])
    asked = []
    while not engine.done:
        asked.append(engine.ask(2).tolist())
        # Shrinking a is free; b is last.
        engine.tell([0.0 if row[1] == 2 else 1.0 for row in engine.history.widths])
    assert asked == [[[8, 2], [12, 1]], [[4, 2], [8, 1]], [[2, 2], [4, 1]], [[2, 1]]]


def test_no_group_is_shrunk_below_one_that_feeds_it():
    space, cost = chain(sizes=(4, 4), ordering=[(0, 1)])
    engine = GreedySearch(space, cost, step=1.0)
    engine.ask(1)
    engine.tell([1.0])
    # b must not be narrower than a, so it cannot move yet.
    assert engine.ask(9).tolist() == [[1, 4]]
    engine.tell([1.0, 2.0])
    assert engine.ask(9).tolist() == [[1, 1]]
    engine = GreedySearch(space, cost, step=0.3)
    engine.ask(1)
    engine.tell([1.0])
    assert engine.ask(9).tolist() == [[3, 4]]
    engine.tell([1.0, 2.0])
    assert engine.ask(9).tolist() == [[2, 4], [3, 3]]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    seed=st.integers(0, 10**6),
    step=st.floats(0.05, 1.0),
    data=st.data(),
)
def test_every_target_is_reached(sizes, seed, step, data):
    sizes = sorted(sizes)
    pairs = [(a, b) for a in range(len(sizes)) for b in range(a + 1, len(sizes))]
    ordering = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    space, cost = chain(sizes=sizes, ordering=ordering, min_width=0.1)
    rng, table = np.random.default_rng(seed), {}

    def loss(widths):
        # No order at all: a larger network may lose more.
        return [table.setdefault(tuple(row), rng.random()) for row in np.atleast_2d(widths)]

    least = float(cost(space.smallest) / cost(space.full))
    targets = [*rng.uniform(least, 1.0, 3).tolist(), least]
    engine = search(GreedySearch(space, cost, targets, step), loss, 10**6)
    assert engine.done
    assert list(engine.chosen) == targets
    path = engine.path
    np.testing.assert_array_equal(path[0], space.full)
    np.testing.assert_array_equal(path[-1], space.smallest)
    np.testing.assert_array_equal(space.validate(path), path)
    # One group narrower each time.
    assert ((np.diff(path, axis=0) < 0).sum(axis=1) == 1).all()
    assert ((np.diff(path, axis=0) > 0).sum(axis=1) == 0).all()
    for target, widths in engine.chosen.items():
        first = next(row for row in path if cost(row) <= target * cost(space.full) * (1 + 1e-12))
        np.testing.assert_array_equal(widths, first)


def test_what_saves_nothing_is_shrunk_last_but_does_not_stop_the_search():
    space = WidthSpace([ChannelGroup(name, 4, (1, 2, 3, 4)) for name in "abc"])

    def cost(widths):
        # Such as a peak of memory: c has no part in it, a and b only together.
        return 10.0 * np.maximum(widths[..., 0], widths[..., 1])

    def loss(widths):
        # Without c there would be no loss at all.
        return widths @ np.array([-1.0, -2.0, 5.0])

    engine = search(GreedySearch(space, cost, [0.5]), loss, 10**6)
    assert cost(engine.chosen[0.5]) == 20.0
    steps = ["abc"[np.argmax(step)] for step in -np.diff(engine.path, axis=0)]
    # c loses least wherever none saves anything; where b saves, it is b's turn.
    assert steps == ["c", "c", "c", "a", "b", "a", "b"]


def test_the_targets_are_five_down_to_the_smallest_network_if_not_given():
    engine = search(GreedySearch(TOY, _toy_cost), lambda w: -_toy_cost(w), 10**6)
    targets = list(engine.chosen)
    np.testing.assert_allclose(targets, 1 - np.arange(1, 6) / 5 * (1 - 7 / 18), rtol=1e-12)
    np.testing.assert_array_equal(engine.chosen[targets[-1]], TOY.smallest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": [0.5, 0.0]}, r"in \(0, 1\]\. Received: 0\.0 in targets"),
        ({"targets": [1.5]}, r"in \(0, 1\]\. Received: 1\.5 in targets"),
        ({"targets": [float("nan")]}, r"in \(0, 1\]\. Received: nan in targets"),
        ({"targets": [0.5, 0.38]}, r"costs 0\.3889 of the full one.*Received: 0\.38 in targets"),
        ({"targets": []}, "at least one target"),
        ({"step": 0.0}, r"step is a part .*Received: step=0\.0"),
        ({"step": 1.1}, r"step is a part .*Received: step=1\.1"),
    ],
)
def test_what_greedy_cannot_do_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GreedySearch(TOY, _toy_cost, **arguments)


def test_a_full_network_that_costs_nothing_is_refused():
    with pytest.raises(ValueError, match=r"must be above 0\. Received: cost=0"):
        GreedySearch(TOY, lambda widths: np.zeros(len(widths)))


def test_one_target_may_be_a_number():
    space, cost = chain()
    loss = saturating(space, (1, 2, 1, 3), (1, 5, 3, 2))
    engine = search(GreedySearch(space, cost, 0.5), loss, 10**6)
    assert list(engine.chosen) == [0.5]
