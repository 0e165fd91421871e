"""Random search: uniform multipliers, nothing twice, all of a small space."""

import numpy as np
import pytest

from keras_joslim.search import RandomSearch
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.search.engine_problems import chain


def test_both_ends_come_first_and_no_loss_is_needed():
    space, cost = chain()
    engine = RandomSearch(space, cost)
    widths = np.concatenate([engine.ask(1), engine.ask(1), engine.ask(30)])
    np.testing.assert_array_equal(widths[0], space.full)
    np.testing.assert_array_equal(widths[1], space.smallest)
    assert len(engine.history) == 32
    assert not engine.done


def test_the_widths_do_not_depend_on_the_portions_but_on_the_seed():
    space, cost = chain()
    whole = RandomSearch(space, cost, seed=3).ask(40)
    engine = RandomSearch(space, cost, seed=3)
    np.testing.assert_array_equal(np.concatenate([engine.ask(m) for m in (1, 7, 32)]), whole)
    assert (RandomSearch(space, cost, seed=4).ask(40)[2:] != whole[2:]).any()


def test_multipliers_are_uniform_and_independent():
    space, cost = chain(sizes=(400, 1000))
    drawn = space.multipliers(RandomSearch(space, cost).ask(1000)[2:])
    # Uniform on [0.25, 1]: mean 0.625, deviation 0.75 / sqrt(12); within four standard errors.
    for group in drawn.T:
        assert abs(group.mean() - 0.625) < 4 * 0.2165 / np.sqrt(998)
        assert abs(group.std() - 0.2165) < 0.015
        assert np.histogram(group, bins=5, range=(0.25, 1))[0].min() > 150
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(998)


CHAIN = WidthSpace(
    [ChannelGroup(f"g{i}", 2, (1, 2)) for i in range(14)], [(i, i + 1) for i in range(13)]
)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (chain(sizes=(4, 5, 6), min_width=0.1)[0], 4 * 5 * 6),
        # a below or equal to b: 1 + 2 + 3 + 4 + 4 pairs.
        (chain(sizes=(4, 5), min_width=0.1, ordering=[(0, 1)])[0], 14),
        # 2^14 vectors by count, 15 of them legal.
        (CHAIN, 15),
    ],
)
def test_it_is_done_when_every_legal_vector_has_been_asked(space, count):
    engine = RandomSearch(space, lambda widths: widths.sum(axis=-1))
    asked = []
    while not engine.done:
        asked += engine.ask(7).tolist()
    assert len({tuple(row) for row in asked}) == len(asked) == count
    np.testing.assert_array_equal(space.validate(asked), asked)
