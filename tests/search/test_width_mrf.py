"""The width MRF against enumeration of all networks of small random problems."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import chisquare

from keras_joslim.costs import Factor
from keras_joslim.search import WidthMRF
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.mrf_problems import GRAPHS, problem, problems

GAMMAS = st.sampled_from([0.0, 0.3, 1.0, 20.0])


def _field(p):
    return WidthMRF(p.space, p.factors)


@given(problems(), GAMMAS)
@settings(max_examples=80)
def test_the_minimum_is_that_of_all_networks(p, gamma):
    found = _field(p).minimum(p.scores, gamma)
    (row,) = p.row(found.widths)
    energies = p.energies(gamma)
    assert found.score == pytest.approx(p.sums[row], abs=1e-9)
    assert found.cost == pytest.approx(p.costs[row], abs=1e-9)
    assert energies[row] == pytest.approx(energies.min(), abs=1e-9)
    assert found.widths.dtype == np.int32


@given(problems(), GAMMAS, st.sampled_from([0.05, 1.0, 10.0]))
@settings(max_examples=60)
def test_partition_and_marginals_are_those_of_all_networks(p, gamma, temperature):
    field = _field(p)
    expected = p.log_partition(gamma, temperature)
    assert field.log_partition(p.scores, gamma, temperature) == pytest.approx(expected, rel=1e-9)
    probabilities = p.probabilities(gamma, temperature)
    marginals = field.marginals(p.scores, gamma, temperature)
    for g, legal in enumerate(p.space.legal):
        by_hand = [probabilities[p.widths[:, g] == width].sum() for width in legal]
        np.testing.assert_allclose(marginals[g], by_hand, atol=1e-9)


@given(problems())
@settings(max_examples=50)
def test_costs_and_scores_of_widths(p):
    field = _field(p)
    np.testing.assert_allclose(field.cost(p.widths), p.costs, atol=1e-9)
    np.testing.assert_allclose(field.score(p.scores, p.widths), p.sums, atol=1e-9)
    assert field.cost(p.widths[0]) == pytest.approx(p.costs[0], abs=1e-9)


@pytest.mark.parametrize("graph", GRAPHS)
def test_draws_have_the_joint_distribution(graph):
    # Rare networks are counted together, so that each cell expects five draws or more.
    p = problem(graph, seed=3, choices=(2, 3), ordering=((0, 1),) if graph == "chain" else ())
    gamma, temperature, n = 0.7, 1.5, 20_000
    draws = _field(p).sample(p.scores, gamma, temperature, n, np.random.default_rng(5))
    assert draws.dtype == np.int32
    counts = np.bincount(p.row(draws), minlength=len(p.widths))
    expected = n * p.probabilities(gamma, temperature)
    often = expected >= 5
    assert often.sum() > 8
    seen = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum())
    seen, wanted = seen[wanted > 0], wanted[wanted > 0]
    assert chisquare(seen, wanted).pvalue > 0.001


def test_draws_of_coupled_groups_are_not_drawn_from_marginals():
    space = WidthSpace([ChannelGroup(name, 2, (1, 2)) for name in "ab"])
    # Equal widths cost nothing, unequal ones 10: marginals are even, the two always agree.
    field = WidthMRF(space, [Factor((0, 1), [[0.0, 10.0], [10.0, 0.0]])])
    scores = [np.zeros(2), np.zeros(2)]
    np.testing.assert_allclose(field.marginals(scores, 10.0, 1.0), 0.5)
    draws = field.sample(scores, 10.0, 1.0, 1000, np.random.default_rng(0))
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
    assert 400 < (draws[:, 0] == 1).sum() < 600


@given(problems())
@settings(max_examples=30)
def test_cold_draws_are_minima_and_hot_ones_uniform(p):
    field, rng = _field(p), np.random.default_rng(0)
    draws = field.sample(p.scores, 0.5, 1e-9, 5, rng)
    np.testing.assert_allclose(p.energies(0.5)[p.row(draws)], p.energies(0.5).min(), atol=1e-6)
    # Z counts the networks.
    assert field.log_partition(p.scores, 0.5, 1e12) == pytest.approx(np.log(len(p.widths)))


def test_draws_repeat_with_the_seed():
    p = problem("triangle", 0)
    first, again, other = (
        _field(p).sample(p.scores, 0.5, 1.0, 50, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# -- budgets -----------------------------------------------------------------------


@given(problems(choices=(3, 4)), st.floats(0.0, 1.0))
@settings(max_examples=80)
def test_widths_within_a_budget(p, share):
    budget = np.quantile(p.costs, share)
    found = _field(p).within(p.scores, budget)
    (row,) = p.row(found.widths)
    assert found.cost <= budget
    within = p.costs <= budget + 1e-9
    best = p.sums[within].min()
    assert found.bound - 1e-7 <= best <= p.sums[row] + 1e-9
    # At least as good as every corner of the convex hull within the budget.
    for gamma in np.geomspace(1e-3, 1e3, 60):
        corner = p.energies(gamma).argmin()
        if p.costs[corner] <= budget - 1e-9:
            assert p.sums[row] <= p.sums[corner] + 1e-7
    # And no change of one group or two is better.
    near = (p.widths != p.widths[row]).sum(1) <= 2
    assert p.sums[near & (p.costs <= budget - 1e-9)].min(initial=np.inf) >= p.sums[row] - 1e-9


def test_the_slack_is_used_that_the_hull_leaves():
    space = WidthSpace([ChannelGroup(name, 2, (1, 2)) for name in "abc"])
    # Wider costs 6, 5 and 4 and gains 12, 9.9 and 4: within 10 the hull reaches a alone (6, then
    # 11 with b is too much); the optimum adds c, as the moves do.
    factors = [Factor((g,), [0.0, cost]) for g, cost in enumerate((6.0, 5.0, 4.0))]
    scores = [np.array([0.0, -gain]) for gain in (12.0, 9.9, 4.0)]
    found = WidthMRF(space, factors).within(scores, 10.0)
    np.testing.assert_array_equal(found.widths, [2, 1, 2])
    assert (found.score, found.cost) == (-16.0, 10.0)
    # The dual: a and four fifths of b.
    assert found.bound == pytest.approx(-12 - 0.8 * 9.9)
    assert found.gamma == pytest.approx(9.9 / 5)


def _field_of_gains(costs, gains, factors=()):
    """Groups of one or two channels; the second costs and gains, apart from further factors."""
    space = WidthSpace([ChannelGroup(f"g{i}", 2, (1, 2)) for i in range(len(costs))])
    single = [Factor((g,), [0.0, cost]) for g, cost in enumerate(costs)]
    return WidthMRF(space, [*single, *factors]), [np.array([0.0, -gain]) for gain in gains]


def test_two_groups_are_exchanged_where_one_alone_does_not_fit():
    # Around 8 the hull has the first (5 for 10) and the first two (10 for 19); single moves lead
    # from there to one of those two. Best is the third (8 for 13), in exchange for either.
    field, scores = _field_of_gains((5.0, 5.0, 8.0), (10.0, 9.0, 13.0))
    found = field.within(scores, 8.0)
    np.testing.assert_array_equal(found.widths, [1, 1, 2])
    assert found.score == -13.0
    # The dual: the first, and three fifths of the second.
    assert found.bound == pytest.approx(-10 - 0.6 * 9)


def test_two_groups_whose_factor_makes_them_fit_together_move_together():
    # Each of the last two costs 4 alone, both together 5: their changes do not add up.
    together = Factor((1, 2), [[0.0, 0.0], [0.0, -3.0]])
    field, scores = _field_of_gains((1.0, 4.0, 4.0), (5.0, 1.0, 1.0), [together])
    found = field.within(scores, 6.0)
    np.testing.assert_array_equal(found.widths, [2, 2, 2])
    assert found.cost == 6.0


def test_a_budget_that_all_meet_is_the_best_score():
    p = problem("chain", 1)
    found = _field(p).within(p.scores, np.inf)
    assert found.score == pytest.approx(p.sums.min())
    assert found.bound == found.score
    assert found.gamma == 0.0


def test_the_least_budget_has_the_best_of_the_cheapest():
    space = WidthSpace([ChannelGroup(name, 3, (1, 2, 3)) for name in "ab"])
    # Only a costs; of b the last is best.
    field = WidthMRF(space, [Factor((0,), [1.0, 2.0, 3.0])])
    scores = [np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.7, 0.1])]
    found = field.within(scores, 1.0)
    np.testing.assert_array_equal(found.widths, [1, 3])
    assert found.bound == pytest.approx(found.score)


@given(problems())
@settings(max_examples=20)
def test_an_infeasible_budget_names_the_least_cost(p):
    least = p.costs.min()
    with pytest.raises(ValueError, match="No widths cost so little: the least cost within") as e:
        _field(p).within(p.scores, least - 1e-3)
    named = float(str(e.value).split(" is ")[1].split(". Received")[0])
    assert named == pytest.approx(least, rel=1e-8, abs=1e-9)


# -- bad input ---------------------------------------------------------------------


def _two():
    space = WidthSpace([ChannelGroup("stem", 2, (1, 2)), ChannelGroup("head", 3, (1, 2, 3))])
    return WidthMRF(space, [Factor((0, 1), np.ones((2, 3)))]), [np.zeros(2), np.zeros(3)]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.0, np.nan], [0.0] * 3], "Received: nan for group 'stem' at width 2"),
        ([[0.0, 0.0], [0.0, np.inf, 0.0]], "Received: inf for group 'head' at width 2"),
        ([[0.0] * 3, [0.0] * 3], r"2 scores of group 'stem', one a legal width. .*shape=\(3,\)"),
        ([[0.0] * 2], "scores of 2 channel groups, one array each. Received: 1"),
    ],
)
@pytest.mark.parametrize("call", ["minimum", "within", "sample"])
def test_bad_scores(scores, message, call):
    field, _ = _two()
    more = {"minimum": (0.0,), "within": (9.0,), "sample": (0.0, 1.0, 1, np.random.default_rng())}
    with pytest.raises(ValueError, match=message):
        getattr(field, call)(scores, *more[call])


@pytest.mark.parametrize("gamma", [-1e-9, np.nan, np.inf])
def test_a_bad_price(gamma):
    field, scores = _two()
    with pytest.raises(ValueError, match=f"a finite number from 0. Received: gamma={gamma}"):
        field.minimum(scores, gamma)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_bad_temperature(temperature):
    field, scores = _two()
    with pytest.raises(
        ValueError, match=f"temperature above 0. Received: temperature={temperature}"
    ):
        field.log_partition(scores, 0.0, temperature)


def test_a_budget_that_is_nan():
    field, scores = _two()
    with pytest.raises(ValueError, match="The budget is a number.* Received: budget=nan"):
        field.within(scores, np.nan)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (Factor((0, 1), np.ones((3, 2))), r"'stem' x 'head' must .* \(2, 3\). .*shape=\(3, 2\)"),
        (Factor((0, 2), np.ones((2, 3))), "a channel group that there is not: index 2 of 2"),
        (Factor((-1,), np.ones(3)), "a channel group that there is not: index -1 of 2"),
    ],
)
def test_factors_of_another_space(factor, message):
    field, _ = _two()
    with pytest.raises(ValueError, match=message):
        WidthMRF(field.space, [factor])


def test_widths_that_are_not_legal():
    field, scores = _two()
    with pytest.raises(ValueError, match="The width of group 'head'"):
        field.cost([1, 4])
    with pytest.raises(ValueError, match="The width of group 'stem'"):
        field.score(scores, [3, 1])


def test_tables_beyond_the_memory_are_refused_before_they_are_made():
    # Ten groups that all share factors: one table of 12**10 entries.
    legal = tuple(range(1, 13))
    space = WidthSpace([ChannelGroup(f"g{i}", 12, legal) for i in range(10)])
    pairs = [Factor(pair, np.ones((12, 12))) for pair in itertools.combinations(range(10), 2)]
    with pytest.raises(
        ValueError, match=r"needs \d.* GiB, more than memory=.*'g0' \(12 widths\) x"
    ):
        WidthMRF(space, pairs)
    with pytest.raises(ValueError, match="number of bytes above 0. Received: memory=0"):
        WidthMRF(space, pairs[:1], memory=0)


def test_a_sum_beyond_the_memory_names_its_groups():
    p = problem("concatenation", 0)
    WidthMRF(p.space, p.factors, memory=2**20)
    with pytest.raises(ValueError, match="the sum of 'g0', 'g1'"):
        WidthMRF(p.space, p.factors, memory=2**9)


def test_a_space_without_groups():
    with pytest.raises(ValueError, match="nothing to search"):
        WidthMRF(WidthSpace([]), [])
