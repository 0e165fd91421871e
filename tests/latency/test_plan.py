"""Which networks are measured: legal, reproducible, and what no table has seen first."""

import numpy as np

from keras_joslim.costs.latency_tables import design, make_grids
from keras_joslim.latency.plan import held_out_widths, sample_widths
from keras_joslim.width_space import ChannelGroup, WidthSpace
from tests.latency.networks import chain


def test_more_samples_begin_with_the_same_ones():
    network = chain()
    few, many = (sample_widths(network.terms, network.space, n, seed=3) for n in (7, 12))
    assert few.tolist() == many[:7].tolist()
    assert many[0].tolist() == network.space.full.tolist()
    assert many[1].tolist() == network.space.smallest.tolist()
    network.space.validate(many)
    other = sample_widths(network.terms, network.space, 12, seed=4)
    assert other.tolist() != many.tolist()
    assert len(sample_widths(network.terms, network.space, 1)) == 1


def test_entries_that_no_sample_has_are_sought():
    network = chain()
    grids = make_grids(network.terms, network.space.legal)
    chosen = design(grids, network.terms, sample_widths(network.terms, network.space, 12))
    unseen = [(chosen.sum(0) == 0).sum()]
    for seed in range(20):
        drawn = held_out_widths(network.space, 12, seed)
        unseen.append((design(grids, network.terms, drawn).sum(0) == 0).sum())
    # (Some entries can never be seen: a table of two operators has rows for both.)
    assert unseen[0] < np.mean(unseen[1:]) - np.std(unseen[1:])


def test_held_out_networks_are_other_draws_of_all_sizes():
    groups = [ChannelGroup(f"g{i}", 64, tuple(range(8, 65, 8))) for i in range(30)]
    space = WidthSpace(groups)
    drawn = held_out_widths(space, 200)
    space.validate(drawn)
    mean = drawn.mean(axis=1) / 64
    # Group by group all would be near the middle, with a deviation of 0.05.
    assert mean[::2].std() < 0.08 < 0.15 < mean[1::2].std()
    assert held_out_widths(space, 200).tolist() == drawn.tolist()
    for fewer in (0, 3, 120):
        assert held_out_widths(space, fewer).tolist() == drawn[:fewer].tolist()
    assert held_out_widths(space, 200, seed=1).tolist() != drawn.tolist()
