"""Channel layouts against a list that names the group of every single channel."""

import functools
import json
import operator
import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_joslim.channel_layout import Block, ChannelLayout, Segment
from tests.layer_test import Channels

SIZES = (6, 4, 5)


@st.composite
def channels(draw, depth=2):
    """Random layouts: segments, concatenated, repeated, scaled."""
    if depth == 0:
        which = draw(st.integers(0, 3))
        if which == 3:
            return Channels.fixed(draw(st.integers(1, 4)))
        return Channels.group(which, SIZES[which])
    parts = draw(st.lists(channels(depth=depth - 1), min_size=1, max_size=3))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    how = draw(st.sampled_from(("plain", "repeated", "scaled")))
    if how == "repeated":
        return total.repeated(draw(st.integers(1, 3)))
    return total.scaled(draw(st.integers(1, 2))) if how == "scaled" else total


widths = st.tuples(*(st.integers(1, n) for n in SIZES))


@settings(max_examples=60)
@given(case=channels(), vector=widths, axis=st.sampled_from((0, 1, -1)))
def test_slices_counts_and_indices(case, vector, axis):
    layout, active = case.layout, case.active(vector)
    assert layout.size == len(case.each)
    np.testing.assert_array_equal(layout.indices(np.array(vector)), active)
    assert layout.width(np.array(vector)) == len(active)
    weights, constant = layout.linear(len(SIZES))
    assert np.array(vector) @ weights + constant == len(active)
    assert set(layout.groups) == {g for g, _ in case.each if g is not None}
    assert layout.is_fixed == all(g is None for g, _ in case.each)
    shape = [3, 2, 2]
    shape[axis] = layout.size
    full = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    sliced = layout.slice(tf.constant(full), tf.constant(vector, tf.int32), axis)
    np.testing.assert_array_equal(sliced, np.take(full, active, axis))


@settings(max_examples=60)
@given(case=channels())
def test_json(case):
    described = json.loads(json.dumps(case.layout.to_list()))
    assert ChannelLayout.from_list(described) == case.layout
    assert str(case.layout)


def test_width_of_many_vectors_at_once():
    layout = (ChannelLayout.of_group(0, 6) + ChannelLayout.fixed(3)).repeated(2)
    assert layout.width(np.array([[1, 9], [6, 9]])).tolist() == [8, 18]


def test_single_group_is_one_plain_segment():
    group = ChannelLayout.of_group(2, 5)
    assert group.single_group == 2
    assert ChannelLayout.fixed(5).single_group is None
    assert group.scaled(2).single_group is None
    assert group.repeated(2).single_group is None
    assert (group + group).single_group is None


@settings(max_examples=60)
@given(case=channels(), vector=widths, times=st.integers(1, 4), flat=st.booleans())
def test_a_part_is_what_was_repeated(case, vector, times, flat):
    whole = case.layout.repeated(times)
    if flat:
        whole = functools.reduce(operator.add, [case.layout] * times)
    part = whole.part(times)
    assert part.size == len(case.each)
    np.testing.assert_array_equal(part.indices(np.array(vector)), case.active(vector))


@pytest.mark.parametrize(
    ("layout", "times"),
    [
        (ChannelLayout.of_group(0, 6), 2),
        (ChannelLayout.of_group(0, 6).repeated(3), 2),
        (ChannelLayout.of_group(0, 6) + ChannelLayout.of_group(1, 6), 2),
        (ChannelLayout.of_group(0, 4) + ChannelLayout.fixed(4), 2),
        (ChannelLayout.of_group(0, 4) + ChannelLayout.of_group(0, 4).scaled(2), 3),
        (ChannelLayout.fixed(5), 2),
    ],
)
def test_unequal_parts_are_refused(layout, times):
    # Cutting a segment that can be narrowed has a message of its own.
    with pytest.raises(ValueError, match=re.escape(f"layout {layout}")):
        layout.part(times)


def test_equal_layouts_have_one_spelling():
    group, fixed = ChannelLayout.of_group(0, 4), ChannelLayout.fixed
    assert fixed(2) + fixed(3) == fixed(5)
    assert fixed(2).repeated(3) == fixed(6)
    assert fixed(2).scaled(3) == fixed(6)
    assert (group + fixed(1)) + fixed(2) == group + (fixed(1) + fixed(2))
    assert group.repeated(1) == group
    assert group.repeated(2).repeated(3) == group.repeated(6)
    assert group + fixed(1) != fixed(1) + group
    assert hash(group + fixed(1)) == hash(group + fixed(1))


def test_an_oracle_by_hand():
    """Flatten of two pixels of [four of group 0, one fixed, three of group 1]."""
    layout = (
        ChannelLayout.of_group(0, 4) + ChannelLayout.fixed(1) + ChannelLayout.of_group(1, 3)
    ).repeated(2)
    assert layout.indices(np.array([2, 1])).tolist() == [0, 1, 4, 5, 8, 9, 12, 13]
    twofold = ChannelLayout((Block((Segment(0, 6, 2),)),))
    assert twofold.indices(np.array([2])).tolist() == [0, 1, 2, 3]
    assert str(layout) == "([0]4+1+[1]3)x2"


def test_a_fixed_layout_slices_nothing():
    tensor = tf.ones((2, 3))
    assert ChannelLayout.fixed(3).slice(tensor, tf.constant([1])) is tensor


def test_gradients_reach_the_slice_only():
    layout = (ChannelLayout.of_group(0, 3) + ChannelLayout.of_group(1, 2)).repeated(2)
    tensor = tf.Variable(tf.ones(10))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layout.slice(tensor, tf.constant([2, 1])) * 3.0)
    gradient = tf.convert_to_tensor(tape.gradient(loss, tensor)).numpy()
    assert gradient.tolist() == [3, 3, 0, 3, 0, 3, 3, 0, 3, 0]


@settings(max_examples=40, deadline=None)
@given(case=channels(), vector=widths, axis=st.sampled_from((0, 1, 2)))
def test_gradients_are_those_of_taking_the_active_channels(case, vector, axis):
    shape = [3, 2, 2]
    shape[axis] = case.layout.size
    tensor = tf.Variable(tf.zeros(shape))
    with tf.GradientTape() as tape:
        sliced = case.layout.slice(tensor, tf.constant(vector, tf.int32), axis)
        upstream = np.random.default_rng(0).normal(size=sliced.shape).astype("float32")
        loss = tf.reduce_sum(sliced * upstream)
    expected = np.zeros(shape, "float32")
    index = [slice(None)] * 3
    index[axis] = case.active(vector)
    expected[tuple(index)] = upstream
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, tensor)), expected)


def test_one_trace_serves_layouts_of_many_segments():
    layout = sum(
        (ChannelLayout.of_group(g, n) for g, n in enumerate((2, 3, 2, 2, 1))),
        ChannelLayout.fixed(2),
    )
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((5,), tf.int32)])
    def gradient(widths):
        traces.append(1)
        tensor = tf.range(12.0)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            loss = tf.reduce_sum(layout.slice(tensor, widths) ** 2)
        return tape.gradient(loss, tensor)

    for vector in ([1, 1, 1, 1, 1], [2, 3, 2, 2, 1], [2, 1, 2, 1, 1]):
        expected = np.zeros(12, "float32")
        active = layout.indices(np.array(vector))
        expected[active] = 2.0 * active
        np.testing.assert_array_equal(gradient(np.array(vector, np.int32)), expected)
    assert len(traces) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_other_axes_may_be_unknown_in_a_trace(axis):
    layout = (ChannelLayout.of_group(0, 2) + ChannelLayout.fixed(1)).repeated(2)
    shape = [None, 4, 5]
    shape[0 if axis else 1] = None
    shape[axis] = 6
    function = tf.function(
        lambda tensor, widths: layout.slice(tensor, widths, axis),
        input_signature=[tf.TensorSpec(shape, tf.float32), tf.TensorSpec((1,), tf.int32)],
    )
    concrete = [n or 3 for n in shape]
    full = np.random.default_rng(0).random(concrete, np.float32)
    np.testing.assert_array_equal(
        function(full, np.array([1], np.int32)), np.take(full, [0, 2, 3, 5], axis)
    )
