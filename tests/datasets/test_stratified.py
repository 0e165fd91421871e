"""Parts are disjoint, of the sizes asked for, mixed, and hold the classes in proportion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_joslim.datasets.stratified import stratified_parts


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    shares=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    seed=st.integers(0, 5),
)
def test_parts_are_disjoint_and_in_proportion(counts, shares, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    sizes = [len(labels) * share // (sum(shares) + 1) for share in shares]
    if min(sizes) < 1:
        return
    parts = stratified_parts(labels, sizes, seed)
    together = np.concatenate(parts)
    assert [len(part) for part in parts] == sizes
    assert len(np.unique(together)) == len(together)
    share = np.asarray(counts) / len(labels)
    for number, part in enumerate(parts):
        found = np.bincount(labels[part], minlength=len(counts))
        bound = (1 + len(counts) * share) * (1 if number == 0 else 2)
        assert (np.abs(found - share * len(part)) < bound + 1e-9).all()


def test_classes_of_equal_size_stay_equal():
    labels = np.repeat(np.arange(10), 100)
    for part in stratified_parts(labels, (600, 200, 200), seed=3):
        counts = np.bincount(labels[part])
        assert counts.max() - counts.min() <= 2


def test_a_split_by_chance_alone_would_fail_the_property():
    labels = np.repeat(np.arange(10), 100)
    counts = np.bincount(labels[np.random.default_rng(3).permutation(1000)[:200]])
    assert counts.max() - counts.min() > 2


def test_the_seed_decides():
    labels = np.repeat(np.arange(5), 20)
    first, again, other = (stratified_parts(labels, (60, 40), seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(np.sort(first[1]), np.sort(other[1]))


def test_data_sorted_by_class_come_out_mixed():
    labels = np.repeat(np.arange(10), 100)
    (train, _) = stratified_parts(labels, (900, 100), seed=0)
    assert len(np.unique(labels[train[:100]])) == 10
    # Of neighbours a tenth agree when mixed; nearly all when sorted.
    assert np.mean(labels[train[1:]] == labels[train[:-1]]) < 0.2


@pytest.mark.parametrize("sizes", [(0, 5), (8, 3)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match=r"sizes=.*images=10"):
        stratified_parts(np.zeros(10, int), sizes, seed=0)
