"""The partition of channels into groups, against a reference that unites single channels.

The reference knows no layouts: it gives every channel of every raw group a number and
unites numbers one by one. What the partition says of two channels (same group and same
position, or fixed) must be what the reference says.
"""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.graph.partition import Partition


def layer(name):
    return types.SimpleNamespace(name=name)


class Channels:
    """Single channels, united one by one."""

    def __init__(self):
        self.parent = [0]  # The first one stands for all fixed channels.

    def open(self, size):
        start = len(self.parent)
        self.parent += range(start, start + size)
        return list(range(start, start + size))

    def root(self, channel):
        while self.parent[channel] != channel:
            channel = self.parent[channel]
        return channel

    def merge(self, first, second):
        for a, b in zip(first, second, strict=True):
            a, b = sorted((self.root(a), self.root(b)))
            self.parent[b] = a


def single_channels(partition, layout):
    """Every channel of a layout as (group, position in the group), or `None` if fixed."""
    channels = []
    for segment in partition.resolve(layout).flat():
        width = segment.size // segment.unit
        for i in range(width):
            one = None if segment.group is None else (segment.group, i)
            channels += [one] * segment.unit
    return channels


@st.composite
def programs(draw):
    """Groups are opened, joined, repeated and multiplied; layouts of equal sizes merged."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(("join", "repeat", "multiply", "merge", "fix")),
                st.integers(0, 50),
                st.integers(0, 50),
            ),
            min_size=2,
            max_size=12,
        )
    )
    return sizes, steps


@settings(max_examples=300, deadline=None)
@given(program=programs())
def test_no_channels_are_united_that_need_not_be_and_none_missed(program):
    sizes, steps = program
    partition, channels = Partition({}), Channels()
    tensors = [(partition.open(n, layer(f"l{i}")), channels.open(n)) for i, n in enumerate(sizes)]
    tensors.append((ChannelLayout.fixed(3), [0] * 3))
    for kind, i, j in steps:
        (a, x), (b, y) = tensors[i % len(tensors)], tensors[j % len(tensors)]
        if len(x) > 40:
            continue
        match kind:
            case "join":
                tensors.append((a + b, x + y))
            case "repeat":
                tensors.append((a.repeated(2 + j % 2), x * (2 + j % 2)))
            case "multiply":
                tensors.append((a.scaled(2), [c for c in x for _ in range(2)]))
            case "merge":
                same = [t for t in tensors if len(t[1]) == len(x)]
                b, y = same[j % len(same)]
                partition.merge(a, b, layer("merge"))
                channels.merge(x, y)
            case "fix":
                partition.freeze(a, layer("fix"), "is fixed") if j % 5 == 0 else None
                if j % 5 == 0:
                    channels.merge(x, [0] * len(x))
    found = [c for layout, _ in tensors for c in single_channels(partition, layout)]
    expected = [channels.root(c) for _, numbers in tensors for c in numbers]
    # Whatever must be one, is; and the partition never narrows what must stay whole.
    meaning, named = {}, {}
    for one, root in zip(found, expected, strict=True):
        if root == 0:
            assert one is None
        if one is not None:
            assert meaning.setdefault(root, one) == one
            assert named.setdefault(one, root) == root
    frozen = {root for one, root in zip(found, expected, strict=True) if one is None}
    for one, root in zip(found, expected, strict=True):
        assert (one is None) == (root in frozen)
    for layout, numbers in tensors:
        assert partition.resolve(layout).size == len(numbers)


def opened(*sizes):
    partition = Partition({})
    return partition, [partition.open(n, layer(f"l{i}")) for i, n in enumerate(sizes)]


def test_a_group_is_split_where_a_concatenation_needs_it():
    partition, (a, b, c) = opened(4, 6, 10)
    merged = partition.merge(a + b, c, layer("sum"))
    assert merged == partition.resolve(a + b) == partition.resolve(c)
    assert [partition.size(g) for g in partition.roots()] == [4, 6]
    assert partition.members(0) == ("l0", "l2[0:4]")
    assert partition.members(1) == ("l1", "l2[4:10]")


def test_parts_of_parts_are_named_by_their_place_in_the_layer():
    partition, (a, b, c) = opened(12, 5, 7)
    partition.merge(b + c, a, layer("sum"))
    first, _, last = partition.cut(a, (3, 4, 5), layer("split"))
    names = {g: partition.members(g) for g in partition.roots()}
    assert names[first.single_group][:2] == ("l0[0:3]", "l1[0:3]")
    assert names[last.single_group][:2] == ("l0[7:12]", "l2[2:7]")
    # In the order of the whole layer.
    assert [partition.size(g) for g in partition.roots()] == [3, 2, 2, 5]


def test_equal_parts():
    partition, (a,) = opened(12)
    part = partition.part(a, 4, layer("reshape"))
    group = part.single_group
    assert (partition.size(group), partition.parts(group)) == (3, 4)
    assert partition.members(group) == ("l0 / 4", "reshape")
    assert partition.resolve(a) == part.repeated(4)
    assert partition.part(ChannelLayout.fixed(12), 4, layer("again")) == ChannelLayout.fixed(3)


def test_unequal_multiples_meet_in_a_common_one():
    partition, (a, b) = opened(6, 4)
    partition.merge(a.scaled(2), b.scaled(3), layer("sum"))
    (group,) = partition.roots()
    assert partition.size(group) == 2
    assert np.array_equal(partition.resolve(a).indices(np.eye(9, dtype=int)[group]), [0, 1, 2])


def test_fixed_channels_fix_their_share_only():
    partition, (a, b) = opened(5, 8)
    partition.merge(ChannelLayout.fixed(3) + a, b, layer("sum"), (layer("left"), layer("right")))
    assert str(partition.resolve(b)) == "3+[0]5"
    reason = "combines some channels with fixed ones, those of 'left' and 'right'"
    assert partition.reasons == {"sum": reason}


def test_frozen_channels_name_both_sides():
    partition, (a, b) = opened(5, 5)
    partition.freeze(a, layer("odd"), "is odd")
    partition.merge(a, b, layer("sum"), (layer("left"), layer("right")))
    assert partition.reasons["odd"] == "is odd (keeps l0 at full width)"
    assert partition.reasons["sum"] == (
        "combines channels of 'right' with channels of 'left' that stay at full width "
        "(keeps l1 at full width)"
    )
    assert partition.roots() == []


def test_units_follow_a_group_into_its_parts():
    partition, (a, b) = opened(12, 6)
    partition.require_unit(a, 3, layer("norm"))
    partition.merge(a, b.repeated(2), layer("sum"))
    partition.close()
    (group,) = partition.roots()
    assert (partition.size(group), partition.unit(group)) == (6, 3)


def test_units_that_a_part_cannot_keep_freeze_it():
    partition, (a, b, c) = opened(12, 5, 7)
    partition.require_unit(a, 3, layer("norm"))
    partition.merge(a, b + c, layer("sum"))
    partition.close()
    assert partition.roots() == []
    assert partition.reasons["norm"].startswith("keeps or drops 3 channels at a time (keeps l0")


def test_padded_channels_that_are_split_later_freeze_both():
    partition, (narrow, wide, a, b) = opened(5, 9, 2, 3)
    partition.order(narrow, wide, layer("pad"))
    partition.merge(narrow, a + b, layer("sum"))
    partition.close()
    assert partition.roots() == []
    assert "made of several groups" in partition.reasons["pad"]


def test_orderings_in_a_circle_are_one_group():
    partition, (a, b, c, d) = opened(4, 4, 4, 6)
    for narrow, wide in ((a, b), (b, c), (c, a), (a, d)):
        partition.order(narrow, wide, layer("pad"))
    partition.close()
    assert len(partition.roots()) == 2
    assert set(partition.ordering) == {(0, 3)}


def test_layouts_of_different_sizes_are_refused():
    partition, (a, b) = opened(4, 5)
    message = r"'sum' asks for equal channels where there are 4 and 5, those of 'x' and 'y'"
    with pytest.raises(ValueError, match=message):
        partition.merge(a, b, layer("sum"), (layer("x"), layer("y")))
