"""Blocks of a shared kernel: every point reads its slice, and no more indices than it must."""

import numpy as np
import pytest

from keras_joslim.tflite.single_file.kernel_blocks import (
    KernelBlocks,
    TooManyAxesError,
    index_array,
)
from tests.tflite.sparse_reader import densify


def first(*sizes):
    return tuple(np.arange(size) for size in sizes)


def kernel(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def check(whole, maps):
    blocks = KernelBlocks(whole.shape, maps)
    values = blocks.ordered(whole)
    assert len(values) == blocks.size
    for point, axes in maps.items():
        reading = blocks.reading(point)
        if reading is None:
            assert np.array_equal(values.reshape(whole.shape), whole)
            assert all(len(axis) == size for axis, size in zip(axes, whole.shape, strict=True))
        else:
            dense, read = densify(values, reading)
            assert np.array_equal(dense, whole[np.ix_(*axes)]), point
            assert read == reading.count <= len(values)
    return blocks


def test_nested_points_read_a_first_part():
    whole = kernel(16, 1, 1, 8)
    maps = {"full": first(16, 1, 1, 8), "mid": first(12, 1, 1, 8), "small": first(8, 1, 1, 4)}
    blocks = check(whole, maps)
    assert [blocks.reading(point).count for point in maps] == [128, 96, 32]
    # In blocks of 4 x 4, inputs outermost, the two narrower ones are plain grids; the full one's
    # blocks (0, 3) and (1, 3) come last, which takes an index a block.
    assert blocks.reading("small").levels == (1, 2, 1, 1, 4, 4)
    assert blocks.reading("mid").levels == (2, 3, 1, 1, 4, 4)
    outer, inner, *rest = blocks.reading("full").levels
    assert [list(map(int, part)) for part in outer] == [[0, 4], [0, 1, 0, 1]]
    assert [list(map(int, part)) for part in inner] == [[0, 3, 6, 7, 8], [0, 1, 2, 0, 1, 2, 3, 3]]
    assert rest == [1, 1, 4, 4]


@pytest.mark.parametrize("axis", [0, 3])
def test_one_narrowed_axis_needs_no_indices(axis):
    # Whatever the widths: the prefix is one run of values.
    whole = kernel(13, 3, 3, 13)
    sizes = [13, 3, 3, 13]
    maps = {}
    for width in (13, 11, 6):
        sizes[axis] = width
        maps[width] = first(*sizes)
    blocks = check(whole, maps)
    assert all(blocks.reading(point).bytes == 0 for point in maps)
    assert blocks.reading(6).count == 6 * 9 * 13


def test_unnarrowed_kernel_is_stored_as_it_is():
    whole = kernel(5, 1, 1, 7)
    blocks = check(whole, {"a": first(5, 1, 1, 7), "b": first(5, 1, 1, 7)})
    assert blocks.reading("a") is None
    assert np.array_equal(blocks.ordered(whole), whole.ravel())


def test_what_no_point_has_is_not_stored():
    whole = kernel(8, 8)
    blocks = check(whole, {"tall": first(8, 4), "broad": first(4, 8)})
    assert blocks.size == 64 - 16


def test_indices_take_the_smallest_type():
    assert index_array([0, 255]).dtype == np.uint8
    assert index_array([0, 256]).dtype == np.uint16
    assert index_array([0, 65536]).dtype == np.int32


def test_bytes_are_those_of_segments_and_indices():
    # Blocks (0, 0), then (0, 1), (1, 0), (1, 1): a plain grid.
    two = KernelBlocks((16, 16), {"full": first(16, 16), "half": first(8, 8)})
    assert two.reading("full").levels == (2, 2, 8, 8)
    assert two.reading("full").bytes == 0
    three = KernelBlocks((12, 12), {"l": first(12, 12), "m": first(8, 8), "s": first(4, 4)})
    levels = three.reading("l").levels
    # Rows 0, 1, then the new column of rows 0 and 1, then row 2.
    assert [list(map(int, part)) for part in levels[0]] == [[0, 5], [0, 1, 0, 1, 2]]
    assert [list(map(int, part)) for part in levels[1]] == [
        [0, 2, 4, 5, 6, 9],
        [0, 1, 0, 1, 2, 2, 0, 1, 2],
    ]
    assert three.reading("l").bytes == 2 + 5 + 6 + 9


def test_refuses_three_narrowed_axes():
    with pytest.raises(TooManyAxesError, match=r"\[0, 1, 2\]"):
        KernelBlocks((4, 4, 4), {"full": first(4, 4, 4), "narrow": first(2, 2, 2)})


@pytest.mark.parametrize("seed", range(40))
def test_any_points(seed):
    rng = np.random.default_rng(seed)
    shape = [(12, 1, 1, 8), (12, 3, 3, 8), (1, 3, 3, 16), (10, 24), (7, 2, 1, 9)][seed % 5]
    unit, maps = int(rng.choice([1, 2, 4])), {}
    for point in range(rng.integers(1, 6)):
        axes = []
        for size in shape:
            kind = rng.integers(3) if size > 3 else 0
            if kind == 0:
                axes.append(np.arange(size))
            elif kind == 1:
                axes.append(np.arange(min(size, unit * int(rng.integers(1, size // unit + 1)))))
            else:
                # As after a concatenation of two inputs.
                half = size // 2
                axes.append(np.flatnonzero(np.arange(size) % half < rng.integers(1, half + 1)))
        maps[point] = tuple(axes)
    check(kernel(*shape), maps)
