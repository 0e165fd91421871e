"""The kernel that several are slices of: which channels each has is read off the values."""

import numpy as np
import pytest

from keras_joslim.tflite.single_file.kernel_union import NotSlicesError, union

KERNEL = np.random.default_rng(0).normal(size=(6, 1, 1, 8)).astype(np.float32)


def channels(maps, point):
    return [axis.tolist() for axis in maps[point]]


def test_first_channels():
    whole, maps = union({"narrow": KERNEL[:4, :, :, :3], "wide": KERNEL})
    assert np.array_equal(whole, KERNEL)
    assert list(maps) == ["narrow", "wide"]
    assert channels(maps, "narrow") == [[0, 1, 2, 3], [0], [0], [0, 1, 2]]
    assert channels(maps, "wide") == [list(range(6)), [0], [0], list(range(8))]


def test_channels_of_a_concatenation():
    # Two inputs of four channels each, narrowed to three and two.
    whole, maps = union({"wide": KERNEL, "narrow": KERNEL[:, :, :, [0, 1, 2, 4, 5]]})
    assert np.array_equal(whole, KERNEL)
    assert channels(maps, "narrow")[3] == [0, 1, 2, 4, 5]


def test_points_of_which_none_is_the_widest():
    # One has more outputs, the other more inputs: a corner belongs to neither.
    tall, broad = KERNEL[:, :, :, :5], KERNEL[:2]
    whole, maps = union({"tall": tall, "broad": broad})
    assert whole.shape == KERNEL.shape
    assert np.isnan(whole[2:, :, :, 5:]).all()
    assert np.isnan(whole).sum() == 4 * 3
    for point, kernel in (("tall", tall), ("broad", broad)):
        assert np.array_equal(whole[np.ix_(*maps[point])], kernel)


def test_concatenated_channels_of_which_no_point_has_all():
    first, second = KERNEL[..., [0, 1, 2, 3, 4]], KERNEL[..., [0, 4, 5, 6, 7]]
    whole, maps = union({"first": first, "second": second})
    assert np.array_equal(whole, KERNEL)
    assert channels(maps, "first")[3] == [0, 1, 2, 3, 4]
    assert channels(maps, "second")[3] == [0, 4, 5, 6, 7]


def test_zeros_tell_nothing_and_hinder_nothing():
    sparse = np.where(KERNEL > 0, KERNEL, 0)
    _, maps = union({"wide": sparse, "narrow": sparse[:, :, :, [0, 1, 4, 5, 6]]})
    assert channels(maps, "narrow")[3] == [0, 1, 4, 5, 6]
    whole, _ = union({"wide": 0 * KERNEL, "narrow": 0 * KERNEL[:3]})
    assert np.array_equal(whole, 0 * KERNEL)


def test_a_single_kernel_is_its_own_whole():
    whole, maps = union({"only": KERNEL})
    assert np.array_equal(whole, KERNEL)
    assert channels(maps, "only")[0] == list(range(6))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (KERNEL[:3] + 1, "no value in common"),
        (KERNEL[::-1], "another order"),
        (np.where(KERNEL == KERNEL[1, 0, 0, 1], 9, KERNEL)[:4], "values differ"),
        (KERNEL[:, 0, 0], "ranks 2 and 4"),
    ],
)
def test_refuses_what_is_no_slice(other, said):
    with pytest.raises(NotSlicesError, match=said):
        union({"wide": KERNEL, "other": other})
