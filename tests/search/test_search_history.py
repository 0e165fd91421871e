"""The history: order, latest losses, entries without a loss, JSON."""

import json

import numpy as np
import pytest

from keras_joslim.search import History


def _history():
    history = History(groups=2)
    for widths, cost in (([8, 16], 10.0), ([8, 32], 20.0), ([16, 32], 30.0)):
        history.append(widths, cost)
    return history


def test_entries_keep_their_order_and_have_no_loss_yet():
    history = _history()
    assert len(history) == 3
    assert history.widths.dtype == np.int32
    assert history.widths.tolist() == [[8, 16], [8, 32], [16, 32]]
    assert history.costs.tolist() == [10.0, 20.0, 30.0]
    assert np.isnan(history.losses).all()
    assert not history.evaluated.any()


def test_empty_arrays_have_their_shapes():
    history = History(groups=3)
    assert history.widths.shape == (0, 3)
    assert history.losses.shape == history.costs.shape == history.evaluated.shape == (0,)


def test_losses_are_replaced_and_new_entries_wait():
    history = _history()
    history.set_losses([3.0, 2.0, 1.0])
    history.set_losses([6.0, 5.0, 4.0])
    history.append([16, 16], 15.0)
    np.testing.assert_array_equal(history.losses, [6.0, 5.0, 4.0, np.nan])
    assert history.evaluated.tolist() == [True, True, True, False]


def test_noise_is_kept_beside_the_losses_and_is_zero_unless_told():
    history = _history()
    assert history.noise.tolist() == [0.0, 0.0, 0.0]
    history.set_losses([3.0, 2.0, 1.0], [0.5, 0.0, 0.25])
    history.append([16, 16], 15.0)
    assert history.noise.tolist() == [0.5, 0.0, 0.25, 0.0]
    again = History.from_dict(json.loads(json.dumps(history.to_dict())))
    np.testing.assert_array_equal(again.noise, history.noise)
    history.set_losses([3.0, 2.0, 1.0, 0.0])
    assert history.noise.tolist() == [0.0] * 4


def test_a_description_from_before_there_was_noise_has_none():
    described = _history().to_dict()
    del described["noise"]
    assert History.from_dict(described).noise.tolist() == [0.0] * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1])
def test_noise_that_is_no_deviation_is_refused_and_changes_nothing(bad):
    history = _history()
    history.set_losses([3.0, 2.0, 1.0], [0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match=rf"at least 0.*noise={bad} at entry 1"):
        history.set_losses([1.0, 1.0, 1.0], [0.0, bad, 0.0])
    with pytest.raises(ValueError, match=r"noise of all 3 entries.*shape=\(2,\)"):
        history.set_losses([1.0, 1.0, 1.0], [0.0, 0.0])
    assert history.losses.tolist() == [3.0, 2.0, 1.0]
    assert history.noise.tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="Not the description of a history"):
        History.from_dict(history.to_dict() | {"noise": [0.0, bad, 0.0]})


def test_membership_and_unseen():
    history = _history()
    assert [8, 32] in history
    assert np.array([8, 32], np.int64) in history
    assert [32, 8] not in history
    assert history.unseen(np.array([[8, 16], [16, 16]])).tolist() == [False, True]
    # A view of one row, whose stride between rows says nothing.
    assert history.unseen(np.array([8, 32], np.int32)[None]).tolist() == [False]
    assert history.unseen(np.empty((0, 2), np.int32)).tolist() == []


def test_no_widths_twice():
    with pytest.raises(ValueError, match=r"in the history already\. Received: widths=\(8, 32\)"):
        _history().append([8, 32], 20.0)


def test_bad_entries():
    with pytest.raises(ValueError, match=r"Expected 2 widths.*\(8,\)"):
        _history().append([8], 1.0)
    with pytest.raises(ValueError, match=r"must be finite\. Received: cost=nan"):
        _history().append([1, 2], np.nan)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_names_its_entry_and_changes_nothing(bad):
    history = _history()
    history.set_losses([3.0, 2.0, 1.0])
    with pytest.raises(ValueError, match=rf"entry 1 .*widths=\[8, 32\].*loss={bad}"):
        history.set_losses([1.0, bad, 1.0])
    assert history.losses.tolist() == [3.0, 2.0, 1.0]


def test_all_losses_are_told():
    with pytest.raises(ValueError, match=r"all 3 entries.*shape=\(2,\)"):
        _history().set_losses([1.0, 2.0])


def test_json_round_trip_is_exact():
    history = _history()
    history.set_losses([1 / 3, np.nextafter(1.0, 2.0), 1e-300])
    history.append([16, 16], 0.1)
    text = json.dumps(history.to_dict(), allow_nan=False)
    again = History.from_dict(json.loads(text))
    for name in ("widths", "losses", "costs", "evaluated"):
        np.testing.assert_array_equal(getattr(again, name), getattr(history, name))
    assert [16, 16] in again


@pytest.mark.parametrize(
    "change",
    [
        {"losses": [1.0]},
        {"losses": [1.0, float("inf"), 2.0]},
        {"widths": [[8, 16], [8, 16], [16, 32]]},
        {"widths": [[8, 16], [8], [16, 32]]},
        {"costs": None},
        {"noise": [0.0]},
    ],
)
def test_a_foreign_description_is_refused(change):
    with pytest.raises(ValueError, match="Not the description of a history"):
        History.from_dict(_history().to_dict() | change)
    with pytest.raises(ValueError, match="Not the description of a history"):
        History.from_dict({"entries": []})


def _told(points):
    """A history of (cost, loss) points."""
    history = History(groups=1)
    for i, (cost, _) in enumerate(points):
        history.append([i + 1], cost)
    history.set_losses([loss for _, loss in points])
    return history


def test_leading_peels_front_after_front():
    # The front is 0, 2, 5; behind it 1, 4; then 3. One more has no loss yet.
    history = _told([(1, 3.0), (2, 3.0), (2, 2.0), (3, 3.0), (3, 2.0), (3, 1.0)])
    history.append([9], 0.5)
    assert history.leading(3).tolist() == [0, 2, 5]
    # Ascending in cost over all fronts: costs 1, 2, 2, 3, 3, and the older one of a tie first.
    assert set(history.leading(5).tolist()) == {0, 1, 2, 4, 5}
    assert np.diff(history.costs[history.leading(5)]).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert set(history.leading(6)) == set(history.leading(100)) == {0, 1, 2, 3, 4, 5}
    assert history.leading(100).dtype == np.int64


def test_leading_thins_the_last_front_evenly_by_cost():
    costs = [0.0, 1.0, 2.0, 3.0, 40.0, 60.0, 98.0, 99.0, 100.0]
    history = _told([(cost, 100.0 - cost) for cost in costs])
    assert history.leading(2).tolist() == [0, 8]
    # Nearest to 0, 33, 67, 100; by rank it would be 0, 3, 5, 8.
    assert history.leading(4).tolist() == [0, 4, 5, 8]
    assert history.leading(3).tolist() == [0, 4, 8]
    assert history.leading(1).tolist() == [4]
    for count in range(1, 10):
        assert len(set(history.leading(count).tolist())) == count


def test_leading_thins_the_last_front_only():
    # Two fronts of three, the second one dearer by 10 and as good.
    history = _told([(1, 3.0), (2, 2.0), (3, 1.0), (11, 3.0), (12, 2.0), (13, 1.0)])
    assert history.leading(5).tolist() == [0, 1, 2, 3, 5]
    assert history.leading(4).tolist() == [0, 1, 2, 4]


def test_leading_ends_where_all_are_equal_or_nothing_has_a_loss():
    assert len(_told([(5, 2.0)] * 6).leading(4)) == 4
    assert sorted(_told([(5, 2.0)] * 6).leading(10)) == list(range(6))
    assert _history().leading(3).tolist() == []
    assert History(groups=2).leading(3).shape == (0,)


@pytest.mark.parametrize("count", [0, -1])
def test_leading_of_fewer_than_one_is_refused(count):
    with pytest.raises(ValueError, match=f"one entry or more. Received: count={count}"):
        _history().leading(count)
