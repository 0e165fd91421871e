"""Width vectors: which are legal, and how any vector becomes one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths


def chain():
    """Three groups ordered in a row, and one that is free."""
    groups = [
        ChannelGroup("third", 12, (3, 6, 9, 12), ("third", "sum")),
        ChannelGroup("free", 5, (1, 2, 3, 4, 5)),
        ChannelGroup("first", 4, (2, 4)),
        ChannelGroup("second", 8, (2, 5, 8)),
    ]
    return WidthSpace(groups, [(3, 0), (2, 3)], [("head", "is an output")])


@st.composite
def spaces(draw):
    """Random groups with an ordering that never goes back to a smaller group."""
    groups = []
    for i in range(draw(st.integers(1, 5))):
        size = draw(st.integers(1, 40))
        legal = draw(st.sets(st.integers(1, size), max_size=6))
        groups.append(ChannelGroup(f"g{i}", size, tuple(sorted({*legal, size}))))
    pairs = [
        (a, b)
        for a in range(len(groups))
        for b in range(len(groups))
        if (groups[a].size, a) < (groups[b].size, b)
    ]
    ordering = draw(st.sets(st.sampled_from(pairs), max_size=5)) if pairs else ()
    return WidthSpace(groups, ordering)


@given(space=spaces(), data=st.data())
def test_canonical_is_legal_ordered_and_idempotent(space, data):
    number = st.floats(-10, 60, allow_nan=False)
    rows = data.draw(
        st.lists(st.lists(number, min_size=len(space), max_size=len(space)), min_size=1, max_size=4)
    )
    canonical = space.canonical(rows)
    assert canonical.dtype == np.int32
    assert canonical.shape == (len(rows), len(space))
    for row, result in zip(rows, canonical, strict=True):
        for width, group in zip(result, space.groups, strict=True):
            assert width in group.legal
        for narrow, wide in space.ordering:
            assert result[narrow] <= result[wide]
        np.testing.assert_array_equal(space.canonical(row), result)
        np.testing.assert_array_equal(space.validate(result), result)
        # Groups that no ordering binds go to the nearest legal width.
        bound = {wide for _, wide in space.ordering}
        for i, group in enumerate(space.groups):
            nearest = min(abs(w - row[i]) for w in group.legal)
            if i not in bound:
                assert abs(result[i] - row[i]) == nearest
            else:
                assert result[i] >= max(w for w in group.legal if abs(w - row[i]) == nearest)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)


@given(space=spaces(), seed=st.integers(0, 2**32 - 1))
def test_samples_ends_and_multipliers(space, seed):
    rng = np.random.default_rng(seed)
    rows = space.sample(rng, 7)
    assert rows.shape == (7, len(space))
    np.testing.assert_array_equal(space.canonical(rows), rows)
    np.testing.assert_array_equal(space.sample(np.random.default_rng(seed), 7), rows)
    assert (rows >= space.smallest).all()
    assert (rows <= space.full).all()
    np.testing.assert_array_equal(space.canonical(space.full), space.full)
    np.testing.assert_array_equal(space.canonical(np.zeros(len(space))), space.smallest)
    multipliers = space.multipliers(rows)
    assert ((multipliers > 0) & (multipliers <= 1)).all()
    np.testing.assert_array_equal(space.from_multipliers(multipliers), rows)
    np.testing.assert_array_equal(space.uniform(1.0), space.full)
    assert json.loads(json.dumps(space.to_dict())) == space.to_dict()
    assert WidthSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_rounding_goes_to_the_nearest_and_from_a_tie_to_the_larger():
    space = WidthSpace([ChannelGroup("g", 16, (4, 8, 12, 16))])
    values = [-3, 0, 5.99, 6.0, 6.01, 9.999, 10, 13.9, 14, 16, 99, np.inf, -np.inf]
    expected = [4, 4, 4, 8, 8, 8, 12, 12, 16, 16, 16, 16, 4]
    assert space.canonical([[v] for v in values])[:, 0].tolist() == expected


def test_an_ordering_raises_the_wide_group_through_a_chain():
    space = chain()
    # first=4 needs second>=4: 5; second=5 needs third>=5: 6. Never the other way round.
    assert space.canonical([3, 1, 4, 2]).tolist() == [6, 1, 4, 5]
    assert space.canonical([12, 5, 2, 2]).tolist() == [12, 5, 2, 2]
    assert space.smallest.tolist() == [3, 1, 2, 2]


def test_facts():
    space = chain()
    assert len(space) == 4
    assert space.names == ("third", "free", "first", "second")
    assert space.full.tolist() == [12, 5, 4, 8]
    assert space.full.dtype == np.int32
    assert [legal.tolist() for legal in space.legal] == [
        [3, 6, 9, 12],
        [1, 2, 3, 4, 5],
        [2, 4],
        [2, 5, 8],
    ]
    assert space.searchable.tolist() == [0, 1, 2, 3]
    assert space.num_networks == 4 * 5 * 2 * 3
    assert space.min_multiplier == 0.2
    assert hash(space) == hash(chain())
    one = WidthSpace([ChannelGroup("g", 8, (8,)), ChannelGroup("h", 8, (4, 8))])
    assert one.searchable.tolist() == [1]
    assert space != one


def test_uniform_multipliers():
    space = WidthSpace(
        [ChannelGroup(f"g{n}", n, legal_widths(n, 0.42, 8)) for n in (16, 24, 32, 96)]
    )
    # 6.7 -> 8, 10.1 -> 8, 13.4 -> 16, 40.3 -> 40.
    assert space.uniform(0.42).tolist() == [8, 8, 16, 40]
    # 12 lies between 8 and 16: up.
    assert space.uniform(0.75).tolist() == [16, 16, 24, 72]
    np.testing.assert_allclose(space.multipliers([8, 24, 16, 96]), [0.5, 1, 0.5, 1])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((10, 0.3), (3, 4, 5, 6, 7, 8, 9, 10)),
        ((10, 0.25), (3, 4, 5, 6, 7, 8, 9, 10)),  # 2.5 rounds up
        ((10, 1.0), (10,)),
        ((10, 0.01), tuple(range(1, 11))),  # never 0
        ((32, 0.42, 8), (16, 24, 32)),
        ((30, 0.42, 8), (16, 24, 30)),  # the full width is always legal
        ((5, 0.25, 8), (5,)),  # smaller than the divisor
        ((8, 0.25, 8), (8,)),
        ((9, 0.25, 8), (8, 9)),
        ((32, 0.25, 1, 1), (32,)),
        ((32, 0.25, 1, 2), (8, 32)),
        ((32, 0.25, 1, 3), (8, 20, 32)),
        ((32, 0.25, 8, 3), (8, 24, 32)),  # 20 is no multiple of 8: a tie goes up
        ((32, 0.25, 8, 99), (8, 16, 24, 32)),
        ((5, 0.25, 8, 2), (5,)),
        ((12, 0.25, 2, None, 3), (6, 12)),  # multiples of 2 and of 3
        ((1, 0.5), (1,)),
    ],
)
def test_legal_widths(arguments, expected):
    assert legal_widths(*arguments) == expected


@given(
    size=st.integers(1, 300),
    min_width=st.floats(0.01, 1),
    divisor=st.integers(1, 16),
    choices=st.one_of(st.none(), st.integers(1, 9)),
)
def test_legal_widths_always_make_a_group(size, min_width, divisor, choices):
    legal = legal_widths(size, min_width, divisor, choices)
    assert ChannelGroup("g", size, legal).legal == legal
    assert all(w % divisor == 0 for w in legal[:-1])
    assert choices is None or len(legal) <= choices
    # The lowest is the nearest multiple to `min_width`, unless that is nothing or all.
    if len(legal) > 1:
        assert legal[0] - min_width * size <= max(divisor / 2, divisor - min_width * size) + 1e-9
        assert min_width * size - legal[0] <= divisor / 2 + 1e-9


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ([12, 5, 4], r"Expected widths of shape \(4,\) or \(n, 4\).*shape=\(3,\)"),
        (12, r"shape=\(\)"),
        ([[[12, 5, 4, 8]]], r"shape=\(1, 1, 4\)"),
        ([12, 6, 4, 8], r"'free' \(index 1\) must be one of \[1, 2, 3, 4, 5\].*width=6.*canonical"),
        ([12, 0, 4, 8], "'free'.*width=0"),
        ([7, 5, 2, 2], r"'third' \(index 0\) must be one of \[3, 6, 9, 12\].*width=7"),
        ([12, 5, 4, 2], "'second' .*at least that of group 'first', which feeds it.*width=2"),
        ([3, 5, 2, 8], "'third' .*at least that of group 'second'.*width=3"),
        ([[12, 5, 4, 8], [12, 5, 3, 8]], "'first'.*width=3"),
        ([0.5, 1.0, 1.0, 1.0], "whole numbers of channels.*from_multipliers"),
        ([12, 5, 4, float("nan")], "whole numbers of channels"),
        (["12", "5", "4", "8"], "whole numbers of channels"),
        ([12, None, 4, 8], "whole numbers of channels"),
    ],
)
def test_validate_says_what_is_wrong(widths, message):
    with pytest.raises(ValueError, match=message):
        chain().validate(widths)


def test_validate_takes_whole_floats_and_many_rows():
    assert chain().validate([12.0, 5.0, 4.0, 8.0]).dtype == np.int32
    assert chain().validate(np.array([[12, 5, 4, 8], [3, 1, 2, 2]])).shape == (2, 4)


def test_the_message_names_the_group_that_is_too_wide():
    sizes = (("slim", 4), ("broad", 6), ("sum", 8))
    groups = [ChannelGroup(name, n, tuple(range(1, n + 1))) for name, n in sizes]
    space = WidthSpace(groups, [(0, 2), (1, 2)])
    with pytest.raises(ValueError, match="at least that of group 'broad'"):
        space.validate([2, 5, 3])
    with pytest.raises(ValueError, match="at least that of group 'slim'"):
        space.validate([4, 2, 3])


def test_nan_is_no_width():
    with pytest.raises(ValueError, match="Received NaN"):
        chain().canonical([12, np.nan, 4, 8])


@pytest.mark.parametrize("legal", [(), (0, 4), (4, 2, 8), (4, 4, 8), (2, 4), (2, 9)])
def test_a_group_refuses_legal_widths_that_are_none(legal):
    with pytest.raises(ValueError, match="must ascend from at least 1 to its size.*name='g'"):
        ChannelGroup("g", 8, legal)


def test_spaces_that_cannot_be():
    a, b = ChannelGroup("a", 8, (4, 8)), ChannelGroup("b", 4, (2, 4))
    same = ChannelGroup("c", 8, (4, 8))
    with pytest.raises(ValueError, match=r"unique. Received twice: \['a'\]"):
        WidthSpace([a, a])
    with pytest.raises(ValueError, match=r"'b' \(size=4\) cannot be .*'a' \(size=8\)"):
        WidthSpace([a, b], [(0, 1)])
    with pytest.raises(ValueError, match=r"circular: \['a', 'c'\]"):
        WidthSpace([a, same], [(0, 1), (1, 0)])
    with pytest.raises(ValueError, match=r"not there: \(0, 2\) of 2"):
        WidthSpace([a, same], [(0, 2)])


@pytest.mark.parametrize("config", [{}, None, {"groups": [{"name": "a"}]}, {"groups": [3]}, []])
def test_a_foreign_description_is_refused(config):
    with pytest.raises(ValueError, match="Not the description of a width space"):
        WidthSpace.from_dict(config)


def test_summary():
    lines = []
    chain().summary(lines.append)
    assert lines[0] == "4 channel groups, 4 searchable, up to 120 networks"
    assert "  [0] third: 12 channels, [3, 6, 9, 12]" in lines
    assert "      members: third -> sum" in lines
    # A group without members has no such line.
    assert sum("members:" in line for line in lines) == 1
    assert "      never narrower than second" in lines
    assert lines[-2:] == ["  at full width:", "      head: is an output"]
    many = []
    WidthSpace([ChannelGroup("g", 50, tuple(range(1, 51)))]).summary(many.append)
    assert many[1] == "  [0] g: 50 channels, [1, 2, ... 49, 50] (50 widths)"


def test_summary_of_more_networks_than_a_float_holds():
    lines = []
    widths = tuple(range(1, 1001))
    WidthSpace([ChannelGroup(f"g{i}", 1000, widths) for i in range(110)]).summary(lines.append)
    assert lines[0] == "110 channel groups, 110 searchable, up to 1e+330 networks"


@pytest.mark.parametrize("multiplier", [0, -0.5, 1.01, 16, float("nan"), float("inf")])
def test_a_uniform_multiplier_out_of_range_is_refused(multiplier):
    with pytest.raises(ValueError, match=f"above 0 and at most 1; .*multiplier={multiplier}$"):
        chain().uniform(multiplier)
