"""Sizes in files become functions of widths; files that do not allow it are refused."""

import itertools

import numpy as np
import pytest

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.costs.symbolic_file import SymbolicFile
from keras_joslim.costs.width_functions import WidthFunctions, evaluate, telling_rows
from keras_joslim.tflite.liveness import FileGraph, FileOperator, FileTensor

A, B = ChannelLayout.of_group(0, 8), ChannelLayout.of_group(1, 12)
ROWS = np.array([[8, 12], [3, 4], [5, 11], [7, 7]])


def graph(tensors, *operators, outputs):
    """A file: `(name, inputs, output)` an operator; numpy arrays are constants."""
    made = []
    for i, one in enumerate(tensors):
        if isinstance(one, np.ndarray):
            made.append(FileTensor(f"t{i}", one.shape, one.dtype.name, i, one))
        else:
            made.append(FileTensor(f"t{i}", one, "float32"))
    operators = tuple(FileOperator(name, tuple(ins), (out,)) for name, ins, out in operators)
    return FileGraph(tuple(made), operators, (0,), outputs)


def symbolic(build, rows=ROWS):
    """The symbolic file of `build(a, b)` at every row."""
    return SymbolicFile([build(*row) for row in rows.tolist()], WidthFunctions([A, B], rows))


def sizes(functions, widths):
    return evaluate(list(functions), np.array([widths]))[0].tolist()


# -- functions -----------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w[0],
        lambda w: 3 * w[1],
        lambda w: w[1] + w[0],
        lambda w: 4 * (w[1] + w[0]) + 12,
        lambda w: 5,
        lambda w: 0,
    ],
)
def test_a_function_is_found_by_its_values(function):
    layouts = [A, B, B + A, (A + B).repeated(4) + ChannelLayout.fixed(12)]
    found = WidthFunctions(layouts, ROWS).find([function(row) for row in ROWS])
    for widths in itertools.product((1, 2, 8), (3, 12)):
        assert sizes([found], widths) == [function(widths)]


def test_a_part_of_a_layout_and_a_fraction_of_one_are_found():
    functions = WidthFunctions([ChannelLayout.of_group(0, 8, 6) + B], ROWS)
    assert sizes([functions.find(ROWS[:, 1])], [4, 9]) == [9]
    # A third of six channels for each unit of width.
    assert sizes([functions.find(2 * ROWS[:, 0])], [4, 9]) == [8]


@pytest.mark.parametrize("values", [[8, 12, 8, 12], [0, 1, 2, 3], ROWS[:, 0] ** 2])
def test_what_is_no_function_is_not_found(values):
    assert WidthFunctions([A, B, A + B], ROWS).find(values) is None


def test_rows_are_chosen_that_tell_all_layouts_apart():
    groups = 12
    layouts = [ChannelLayout.of_group(i, 16) for i in range(groups)]
    rng = np.random.default_rng(0)
    # Two legal widths each: four rows beside the full one can tell twelve groups apart.
    rows = np.concatenate(
        [np.full((1, 12), 16), np.full((1, 12), 8), rng.choice((8, 16), (60, 12))]
    )
    chosen = telling_rows(layouts, rows)
    assert chosen[:2] == [0, 1]
    assert len({tuple(column) for column in rows[chosen].T}) == groups
    assert 6 <= len(chosen) <= 9


def test_one_random_row_is_always_among_them():
    assert len(telling_rows([A], np.array([[8], [2], [5], [6]]))) == 3


# -- files ---------------------------------------------------------------------


def test_shapes_are_functions():
    def build(a, b):
        tensors = [(1, 4, 4, 3), np.ones((a, 1, 1, 3), "float32"), (1, 4, 4, a), (1, 16 * a)]
        return graph(tensors, ("CONV_2D", [0, 1, None], 2), ("RESHAPE", [2], 3), outputs=(3,))

    file = symbolic(build)
    assert sizes(file.shapes[0], [2, 2]) == [1, 4, 4, 3]
    assert sizes(file.shapes[2], [2, 2]) == [1, 4, 4, 2]
    assert sizes(file.shapes[3], [2, 2]) == [1, 32]
    assert [sizes(c.shape, [2, 2]) for c in file.constants] == [[2, 1, 1, 3]]
    assert (file.pads, file.missing) == ({}, [set()] * 4)


def test_concatenations_of_concatenations_are_sums():
    def build(a, b):
        tensors = [(1, 3), (1, a), (1, b), (1, a + b), (1, a + b + 3)]
        return graph(
            tensors,
            ("CONV", [0], 1),
            ("CONV", [1], 2),
            ("CONCATENATION", [1, 2], 3),
            ("CONCATENATION", [3, 0], 4),
            outputs=(4,),
        )

    file = symbolic(build)
    assert sizes(file.shapes[4], [2, 9]) == [1, 14]


def padded(a, b):
    """`b` channels out of `a` ones: without the pad where they are as many."""
    pads = np.array([[0, 0], [0, b - a]], "int32")
    tensors = [(1, 3), (1, a), pads, (1, b), (1, b)]
    if a == b:
        return graph(tensors, ("CONV", [0], 1), ("RELU", [1], 4), outputs=(4,))
    steps = ("CONV", [0], 1), ("PAD", [1, 2], 3), ("RELU", [3], 4)
    return graph(tensors, *steps, outputs=(4,))


def test_a_pad_of_no_channels_is_left_out():
    file = symbolic(padded)
    assert file.missing == [set(), set(), set(), {1}]
    assert list(file.pads) == [1]
    assert sizes(file.pads[1], [5, 9]) == [4]
    (paddings,) = file.constants
    assert (paddings.pad, paddings.kind[0]) == (1, "list")
    assert sizes(paddings.contents, [5, 9]) == [0, 0, 0, 4]


def test_a_padding_is_what_is_added_even_if_it_looks_like_a_width():
    rows = np.array([[4, 8], [1, 2], [2, 4], [4, 4]])
    (paddings,) = symbolic(padded, rows).constants
    assert sizes(paddings.contents, [5, 9]) == [0, 0, 0, 4]


def test_lists_are_made_of_the_sizes_around_them_and_filled_constants_of_their_shape():
    def build(a, b):
        shape, zeros = np.array([1, 2 * a], "int32"), np.zeros(b, "float32")
        tensors = [(1, 2, a), shape, (1, 2 * a), zeros, (1, b), np.full(b, 0.5 * a, "float32")]
        return graph(
            tensors, ("RESHAPE", [0, 1], 2), ("FC", [2, 3], 4), ("ADD", [4, 5], 4), outputs=(4,)
        )

    reshape, zeros, weight = symbolic(build).constants
    assert (reshape.kind, sizes(reshape.contents, [3, 5])) == (("list", "int32", (2,)), [1, 6])
    assert (zeros.kind, sizes(zeros.contents, [3, 5])) == (("filled", "float32", 1, 0.0), [5])
    assert (weight.kind, weight.contents) == (None, ())


def test_readers_of_one_buffer_in_all_files_read_one_constant():
    def build(a, b):
        kernel = np.random.default_rng(a).normal(size=(a, a)).astype("float32")
        tensors = [(1, a), kernel, (1, a), (1, a)]
        return graph(tensors, ("FC", [0, 1], 2), ("FC", [2, 1], 3), outputs=(3,))

    assert len(symbolic(build).constants) == 1


# -- refusals ------------------------------------------------------------------


def test_a_size_that_is_no_layouts_is_named():
    def build(a, b):
        return graph([(1, 3), (1, a, a * b)], ("CONV", [0], 1), outputs=(1,))

    message = r"Axis 2 of tensor 't1' .*no channel layout.*sizes=\(96, 12, 55, 49\).*skip="
    with pytest.raises(ValueError, match=message):
        symbolic(build)


def test_another_rank_is_named():
    def build(a, b):
        return graph([(1, 3), (1, a) if a > 3 else (a,)], ("CONV", [0], 1), outputs=(1,))

    with pytest.raises(ValueError, match=r"'t1' .*as many axes.*\(1, 8\), \(3,\)"):
        symbolic(build)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([("CONV", [0], 1)], "RELU 't2' in the full network, at other widths the end"),
        (
            [("CONV", [0], 1), ("TANH", [1], 2)],
            "RELU 't2' in the full network, at other widths TANH 't2' in its place",
        ),
        (
            [("CONV", [0], 1), ("RELU", [0], 2)],
            "RELU 't2' in the full network, at other widths RELU 't2' in its place",
        ),
        (
            [("CONV", [0], 1), ("RELU", [1], 2), ("RELU", [2], 2)],
            "the end in the full network, at other widths RELU 't2'",
        ),
    ],
)
def test_other_operators_are_named(other, message):
    def build(a, b):
        own = [("CONV", [0], 1), ("RELU", [1], 2)] if a == 8 else other
        return graph([(1, 3), (1, a), (1, a)], *own, outputs=(2,))

    with pytest.raises(ValueError, match=message + ".*Raise `min_width`"):
        symbolic(build)
