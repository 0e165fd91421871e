"""Images held out by a hash of their names stay held out."""

import hashlib

import numpy as np
import pytest

from keras_joslim.datasets.image_files.held_out import held_out, mixed

KEYS = [f"n{label:04d}/n{label:04d}_{number}" for label in range(20) for number in range(100)]


def names(places, keys=KEYS):
    return {keys[place] for place in places}


def test_parts_are_disjoint_and_everything():
    validation, train = held_out(KEYS, 0.1)
    assert sorted([*validation, *train]) == list(range(2000))
    # Binomial: 200 +- 4 * 13.4.
    assert abs(len(validation) - 200) < 54


def test_a_share_is_those_of_the_smallest_hashes():
    def share(key):
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    assert names(held_out(KEYS, 0.1)[0]) == {key for key in KEYS if share(key) < 0.1}


def test_a_count_is_that_many_and_the_start_of_a_larger_one():
    validation, train = held_out(KEYS, 30)
    assert (len(validation), len(train)) == (30, 1970)
    np.testing.assert_array_equal(validation, held_out(KEYS, 50.0)[0][:30])


def test_files_that_are_added_or_reordered_move_nothing():
    before = names(held_out(KEYS, 0.1)[0])
    more = [f"a{number}/new" for number in range(500)] + KEYS[::-1]
    after = names(held_out(more, 0.1)[0], more)
    assert before == {name for name in after if name in set(KEYS)}
    assert len(after) > len(before)


def test_first_parts_hold_all_classes():
    for places in (*held_out(KEYS, 0.1), mixed(KEYS)):
        assert len({KEYS[place].split("/")[0] for place in places[:150]}) == 20


@pytest.mark.parametrize("validation", [0, 0.0, 1.5, -1, True, "0.1", None])
def test_what_is_no_share_and_no_count_is_refused(validation):
    with pytest.raises(ValueError, match=f"validation={validation!r}"):
        held_out(KEYS, validation)


@pytest.mark.parametrize(("validation", "held"), [(1e-9, 0), (2000, 2000), (3000, 3000)])
def test_something_must_be_left_on_both_sides(validation, held):
    with pytest.raises(ValueError, match=f"which is {held} of 2000 images"):
        held_out(KEYS, validation)
