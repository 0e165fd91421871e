"""OWS after training: what random networks score, and the exact answers that follow."""

import itertools
import json

import numpy as np
import pytest

from keras_joslim.costs import Factor
from keras_joslim.search import MRFSearch
from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths

SPACE = WidthSpace([ChannelGroup(name, 16, legal_widths(16, 0.25)) for name in "abc"])


class _Chain:
    """Products of neighbouring widths."""

    name = "chain"

    def __call__(self, widths):
        widths = np.asarray(widths)
        return (widths[..., 1:] * widths[..., :-1]).sum(axis=-1)

    def factors(self, legal):
        pairs = itertools.pairwise(range(len(legal)))
        return [Factor((a, b), np.multiply.outer(legal[a], legal[b])) for a, b in pairs]


COST = _Chain()
FULL = float(COST(SPACE.full))


def _loss(widths):
    return 3.0 - np.asarray(widths) @ np.array([0.1, 0.03, 0.06])


def _searched(evaluations=300, **arguments):
    engine = MRFSearch(SPACE, COST, **{"choices": 4} | arguments)
    while len(engine.history) < evaluations and not engine.done:
        engine.ask(min(7, evaluations - len(engine.history)))
        engine.tell(_loss(engine.history.widths))
    return engine


def test_both_ends_come_first_then_every_thinned_width_is_as_likely():
    engine = _searched(1002, choices=12)
    widths = engine.history.widths
    np.testing.assert_array_equal(widths[0], SPACE.full)
    np.testing.assert_array_equal(widths[1], SPACE.smallest)
    assert len(np.unique(widths, axis=0)) == 1002
    legal = engine.field.space.legal[0]
    assert len(legal) == 12
    # Five standard errors, though no network of the 1,728 is drawn twice.
    for column in widths[2:].T:
        share = np.array([(column == width).mean() for width in legal])
        assert np.abs(share - 1 / 12).max() < 5 * np.sqrt(11 / 144 / 1000)


def test_scores_are_the_means_of_what_random_networks_lost():
    engine = MRFSearch(SPACE, COST, choices=2)
    engine.ask(5)
    widths = engine.history.widths
    engine.tell([1.0, 9.0, 2.0, 3.0, 5.0])
    for g, scores in enumerate(engine.scores):
        told = {4: [], 16: []}
        for row, loss in zip(widths[2:], [2.0, 3.0, 5.0], strict=True):
            told[int(row[g])].append(loss - 1.0)
        means = [np.mean(told[w]) if told[w] else None for w in (4, 16)]
        worst = max(m for m in means if m is not None)
        np.testing.assert_allclose(scores, [worst if m is None else m for m in means])


@pytest.mark.parametrize("share", [0.15, 0.3, 0.7])
def test_the_answer_within_a_budget_is_the_best_of_all_where_losses_add_up(share):
    engine = _searched(64, budget=share * FULL)
    assert engine.done  # 4 ** 3 networks: each was measured once.
    (answer,) = engine.answers()
    every = np.array(list(itertools.product(*engine.field.space.legal)))
    within = every[COST(every) <= share * FULL]
    assert COST(answer) <= share * FULL
    assert _loss(answer) <= _loss(within).min() + 0.02 * np.ptp(_loss(every))


def test_without_a_budget_the_answers_are_spread_over_the_costs():
    engine = _searched(60)
    answers = engine.answers(9)
    np.testing.assert_array_equal(SPACE.validate(answers), answers)
    costs = COST(answers)
    assert 4 < len(answers) <= 9
    assert (np.diff(costs) > 0).all()
    assert costs[0] == COST(SPACE.smallest)
    for budget in np.linspace(costs[0], FULL, 9):
        best = engine.field.within(engine.scores, budget).widths.tolist()
        assert best in answers.tolist()
    assert len(engine.answers(1)) == 1


def test_with_scores_given_nothing_is_asked():
    scores = [np.array([4.0, 3.0, 1.0, 0.0]), np.zeros(4), np.array([0.2, 0.1, 0.0, 0.0])]
    engine = MRFSearch(SPACE, COST, budget=0.5 * FULL, choices=4, scores=scores)
    assert engine.done
    with pytest.raises(ValueError, match="is done: its scores were given"):
        engine.ask(1)
    (answer,) = engine.answers()
    # All for the first group; the second, worth nothing, is as narrow as can be.
    np.testing.assert_array_equal(answer, [16, 4, 12])
    assert MRFSearch(SPACE, COST, choices=4, scores=scores).answers(7).shape[1] == 3


def test_an_interrupted_search_goes_on_identically():
    whole, first = (MRFSearch(SPACE, COST, seed=2) for _ in range(2))
    expected = np.concatenate([whole.ask(30), whole.ask(20)])
    whole.tell(_loss(whole.history.widths))
    first.ask(30)
    first.tell(_loss(first.history.widths))
    second = MRFSearch(SPACE, COST, seed=2)
    second.restore(json.loads(json.dumps(first.state())))
    second.ask(20)
    second.tell(_loss(second.history.widths))
    np.testing.assert_array_equal(second.history.widths, expected)
    np.testing.assert_array_equal(second.answers(), whole.answers())
    assert second.state() == whole.state()


def test_states_of_other_settings_are_refused():
    state = MRFSearch(SPACE, COST, budget=200.0).state()
    with pytest.raises(ValueError, match="with budget=200.0; this engine has budget=None"):
        MRFSearch(SPACE, COST).restore(state)
    with pytest.raises(ValueError, match="with choices=12; this engine has choices=3"):
        MRFSearch(SPACE, COST, budget=200.0, choices=3).restore(state)


def test_bad_input():
    with pytest.raises(ValueError, match="sum of tables.* is none"):
        MRFSearch(SPACE, lambda widths: widths.max(axis=-1))
    least = r"the least cost .* is 32. Received: budget=31. .*\[4, 4, 4\]"
    with pytest.raises(ValueError, match=least):
        MRFSearch(SPACE, COST, budget=31.0)
    with pytest.raises(ValueError, match="Expected 4 scores of group 'b'"):
        MRFSearch(SPACE, COST, choices=4, scores=[np.zeros(4), np.zeros(3), np.zeros(4)])
    engine = MRFSearch(SPACE, COST)
    engine.ask(2)
    engine.tell([1.0, 2.0])
    with pytest.raises(ValueError, match="3 networks or more.* Received: 2"):
        engine.answers()
