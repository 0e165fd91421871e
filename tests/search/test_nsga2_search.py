"""NSGA-II: its generations, its survivors, the front it finds, and where it ends."""

import itertools
import sys

import numpy as np
import pytest

from keras_joslim.search import NSGA2Search, RandomSearch, front_indices, hypervolume, non_dominated
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.engine_problems import chain, saturating, search


def _problem(**options):
    space, cost = chain(**options)
    return space, cost, saturating(space, (1, 2, 1, 3), (1, 5, 3, 2))


def test_it_finds_more_of_the_front_of_an_enumerated_problem_than_random_search():
    space, cost, loss = _problem(choices=8)
    rows = space.canonical(list(itertools.product(*space.legal)))
    front = front_indices(loss(rows), cost(rows))
    corner = (loss(space.smallest[None])[0], 1.1 * cost(space.full))
    best = hypervolume(loss(rows), cost(rows), corner)
    points = {tuple(row) for row in rows[front].tolist()}
    kinds = {"nsga2": lambda seed: NSGA2Search(space, cost, population=20, seed=seed)}
    kinds["random"] = lambda seed: RandomSearch(space, cost, seed=seed)
    volumes, found = {}, {}
    for name, make in kinds.items():
        asked = [search(make(seed), loss, 240).history.widths[:240] for seed in range(3)]
        volumes[name] = [hypervolume(loss(w), cost(w), corner) / best for w in asked]
        found[name] = [len(points & {tuple(row) for row in w.tolist()}) for w in asked]
    assert len(rows) == 4096
    # Over six seeds NSGA-II reaches 0.989 to 0.994 of the hypervolume and finds 27 to 37 of the
    # 94 points, random search 0.948 to 0.971 and 5 to 9.
    assert min(volumes["nsga2"]) > max(volumes["random"]) + 0.015
    assert min(volumes["nsga2"]) > 0.985
    assert min(found["nsga2"]) > 2 * max(found["random"])


def test_the_first_generation_is_half_uniform_and_has_both_ends():
    space, cost, _ = _problem()
    first = NSGA2Search(space, cost, population=12).ask(100)
    assert len(np.unique(first, axis=0)) == 12
    np.testing.assert_array_equal(first[:2], [space.full, space.smallest])
    uniform = {tuple(space.uniform(m)) for m in np.linspace(0.25, 1.0, 3001)}
    assert [tuple(row) in uniform for row in first] == [True] * 6 + [False] * 6
    other = NSGA2Search(space, cost, population=12, seed=1).ask(100)
    np.testing.assert_array_equal(other[:6], first[:6])
    assert (other[6:] != first[6:]).any()


def test_the_population_is_what_survives_by_rank_then_by_crowding():
    """The rule of Deb et al. by hand: whole fronts, of the last one the least crowded."""
    space, cost, loss = _problem()
    engine = NSGA2Search(space, cost, population=10)
    rng = np.random.default_rng(0)
    for _ in range(6):
        candidates = list(engine.state()["population"])
        candidates += range(len(engine.history), len(engine.history) + len(engine.ask(100)))
        # All told anew and differently each time: the present losses count, of parents too.
        engine.tell(loss(engine.history.widths) * rng.uniform(0.9, 1.1, len(engine.history)))
        losses, costs = engine.history.losses, engine.history.costs
        survivors, left = set(), np.array(candidates)
        while len(left):
            mask = non_dominated(losses[left], costs[left])
            front, left = left[mask], left[~mask]
            if len(survivors) + len(front) > 10:
                break
            survivors |= set(front.tolist())
        population = engine.state()["population"]
        assert len(population) == min(10, len(candidates))
        assert survivors <= set(population) <= survivors | set(front.tolist())
        if len(population) > len(survivors) + 1:
            # The ends of a front are never crowded.
            ends = front[[np.argmin(costs[front]), np.argmax(costs[front])]]
            assert set(ends.tolist()) <= set(population)


def test_children_come_from_good_parents():
    """After some generations, what is asked is better than what the first one had."""
    space, cost, loss = _problem()
    history = search(NSGA2Search(space, cost), loss, 400).history
    ranks = []
    for entry in (*range(40), *range(360, 400)):
        better = (history.losses < history.losses[entry]) & (history.costs < history.costs[entry])
        ranks.append(better.sum())
    assert np.mean(ranks[40:]) < 0.5 * np.mean(ranks[:40])


def test_in_a_small_space_known_losses_are_used_and_the_search_ends():
    space, cost = chain(sizes=(6, 6, 6), min_width=0.1)
    loss = saturating(space, (1, 2, 3), (2, 1, 3))
    engine = search(NSGA2Search(space, cost, population=8), loss, 10**6)
    assert engine.done
    assert len(np.unique(engine.history.widths, axis=0)) == len(engine.history) <= 216
    # A population of 8 is the final one, and it is a front.
    population = engine.state()["population"]
    losses, costs = engine.history.losses[population], engine.history.costs[population]
    assert non_dominated(losses, costs).all()


def test_a_space_held_narrow_by_its_ordering_ends_too():
    space = WidthSpace(
        [ChannelGroup(f"g{i}", 2, (1, 2)) for i in range(14)], [(i, i + 1) for i in range(13)]
    )
    engine = search(NSGA2Search(space, lambda w: w.sum(-1)), lambda w: -w.sum(-1), 10**6)
    assert engine.done
    assert len(engine.history) == 15


def test_the_global_generator_is_left_alone():
    space, cost, loss = _problem()
    before = np.random.get_state()[1].copy()
    search(NSGA2Search(space, cost), loss, 90)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("population", [3, 0, 4.5, True])
def test_a_population_out_of_range_is_refused(population):
    space, cost, _ = _problem()
    text = f"population must be a whole number, at least 4. Received: population={population}"
    with pytest.raises(ValueError, match=text):
        NSGA2Search(space, cost, population=population)


@pytest.mark.parametrize("module", ["pymoo.algorithms.moo.nsga2", "pymoo.core.repair"])
def test_without_pymoo_the_command_that_installs_it_is_named(monkeypatch, module):
    space, cost, _ = _problem()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=r"extra 'nsga2'.*Install it: pip install pymoo"):
        NSGA2Search(space, cost)
