"""Prior points, neighbours and candidates: always legal, distinct where promised, spread."""

import itertools

import numpy as np
import pytest

from keras_joslim.search.candidates import CandidateSource
from keras_joslim.search.prior_points import neighbours, prior_points
from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths


def _space(sizes, divisor=1, ordering=(), min_width=0.25, choices=None):
    groups = [
        ChannelGroup(f"g{i}", size, legal_widths(size, min_width, divisor, choices))
        for i, size in enumerate(sizes)
    ]
    return WidthSpace(groups, ordering)


WIDE = _space([16, 24, 32, 64, 320])
CONSTRAINED = _space([16, 32, 32, 64], divisor=4, ordering=[(0, 1), (1, 3)])
FIXED = WidthSpace(
    [ChannelGroup("a", 3, (3,)), ChannelGroup("b", 8, (2, 5, 8)), ChannelGroup("c", 7, (7,))]
)
ONE = WidthSpace([ChannelGroup("a", 4, (4,)), ChannelGroup("b", 9, (9,))])
CHAIN = WidthSpace(
    [ChannelGroup(f"g{i}", 2, (1, 2)) for i in range(12)], [(i, i + 1) for i in range(11)]
)
SPACES = [WIDE, CONSTRAINED, FIXED, ONE, CHAIN]


def _all_legal(space):
    return np.unique(space.canonical(list(itertools.product(*space.legal))), axis=0)


def _rows(widths):
    return {tuple(row) for row in np.asarray(widths).tolist()}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("count", [1, 2, 5, 20, 40])
def test_prior_points_are_legal_distinct_and_begin_with_both_ends(space, count):
    points = prior_points(space, count, np.random.default_rng(0))
    assert points.dtype == np.int32
    np.testing.assert_array_equal(space.validate(points), points)
    assert len(_rows(points)) == len(points)
    if space.num_networks < 1e6:
        assert len(points) == min(count, len(_all_legal(space)))
    else:
        assert len(points) == count
    np.testing.assert_array_equal(points[0], space.full)
    if len(points) > 1:
        np.testing.assert_array_equal(points[1], space.smallest)


def test_prior_points_are_uniform_multipliers_as_far_as_there_are_enough():
    points = prior_points(WIDE, 20, np.random.default_rng(0))
    uniform = _rows([WIDE.uniform(m) for m in np.linspace(0.2, 1.0, 20001)])
    assert _rows(points) <= uniform
    # Evenly spread: no gap of the widest group is twice the mean gap.
    gaps = np.diff(np.sort(points[:, -1]))
    assert gaps.max() < 2 * gaps.mean()


def test_any_beginning_of_the_prior_points_is_spread():
    points = prior_points(WIDE, 20, np.random.default_rng(0))
    for n in (3, 5, 9):
        gaps = np.diff(np.sort(points[:n, -1]))
        assert gaps.max() < 2.5 * gaps.mean()


def test_prior_points_take_random_widths_when_uniform_ones_run_out():
    space = _space([16, 16, 16], choices=3)
    points = prior_points(space, 12, np.random.default_rng(0))
    assert len(_rows([space.uniform(m) for m in np.linspace(0.25, 1, 500)])) == 3
    assert len(_rows(points)) == 12
    other = prior_points(space, 12, np.random.default_rng(1))
    np.testing.assert_array_equal(points[:3], other[:3])
    assert _rows(points) != _rows(other)


@pytest.mark.parametrize("space", [CONSTRAINED, FIXED, ONE, CHAIN])
def test_single_steps_connect_the_whole_space(space):
    """What the engine's test of exhaustion stands on."""
    reached, edge = _rows([space.smallest]), space.smallest[None]
    while len(edge):
        found = _rows(neighbours(space, edge)) - reached
        reached |= found
        edge = np.array(sorted(found), np.int32).reshape(-1, len(space))
    assert reached == _rows(_all_legal(space))


@pytest.mark.parametrize("space", SPACES)
def test_candidates_are_legal(space):
    source, rng = CandidateSource(space), np.random.default_rng(0)
    parents = np.unique([space.smallest, space.full], axis=0)
    for widths in (
        source.initial(rng, 400, parents),
        source.initial(rng, 400, parents[:1]),
        source.single_moves(parents[0]),
        source.mutations(rng, 50, parents),
    ):
        np.testing.assert_array_equal(space.validate(widths), widths)


def test_a_small_space_is_enumerated():
    widths = CandidateSource(CONSTRAINED).initial(
        np.random.default_rng(0), CONSTRAINED.num_networks, CONSTRAINED.full[None]
    )
    assert _rows(widths) == _rows(_all_legal(CONSTRAINED))


def test_candidates_are_many_and_cover_the_costs():
    parents = np.stack([WIDE.smallest, WIDE.full])
    widths = CandidateSource(WIDE).initial(np.random.default_rng(0), 2000, parents)
    assert len(_rows(widths)) > 1500
    shares, _ = np.histogram(WIDE.multipliers(widths).mean(axis=1), bins=5, range=(0.25, 1.0))
    assert (shares > 100).all()


def test_mutations_move_and_moves_around_contain_all_neighbours():
    source, rng = CandidateSource(WIDE), np.random.default_rng(0)
    parent = WIDE.uniform(0.6)
    moved = source.mutations(rng, 200, parent[None]) != parent
    assert moved.any(axis=1).all()
    assert moved.any(axis=0).all()
    assert _rows(neighbours(WIDE, parent[None])) <= _rows(source.single_moves(parent))


def test_candidates_depend_on_the_generator_alone():
    parents = np.stack([WIDE.smallest, WIDE.full])
    source = CandidateSource(WIDE)
    first, again, other = (
        source.initial(np.random.default_rng(seed), 200, parents) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert _rows(first) != _rows(other)
