"""Re-calibration on a budget: who is measured, what the others are taken to be, resuming."""

import json

import numpy as np
import pytest

from keras_joslim.search import History
from keras_joslim.search.recalibration import Recalibration

GROUPS = 3


def _grown(count, seed=0, new=2):
    """A history whose first entries have losses, the last `new` none; and its inputs."""
    rng = np.random.default_rng(seed)
    history = History(GROUPS)
    while len(history) < count:
        widths = rng.integers(4, 64, GROUPS)
        if widths not in history:
            history.append(widths, float(widths.sum()))
            if len(history) == count - new:
                history.set_losses(_loss(history, 1.0))
    return history, history.widths / 64.0


def _loss(history, factor, offset=0.0):
    return offset + factor * np.exp(-history.widths / 30.0).sum(axis=1)


def test_a_small_history_is_measured_whole():
    history, inputs = _grown(10)
    np.testing.assert_array_equal(Recalibration(12).choose(history, inputs), np.arange(10))
    np.testing.assert_array_equal(Recalibration(10).choose(history, inputs), np.arange(10))


def test_the_budget_is_kept_and_spent_and_new_entries_come_first():
    for seed in range(5):
        history, inputs = _grown(60, seed)
        chosen = Recalibration(16, seed).choose(history, inputs)
        assert len(chosen) == len(set(chosen)) == 16
        assert {58, 59} <= set(chosen)
        assert (np.diff(chosen) > 0).all()


def test_new_entries_are_measured_even_beyond_the_budget():
    history, inputs = _grown(30, new=9)
    np.testing.assert_array_equal(Recalibration(8).choose(history, inputs), np.arange(21, 30))


def test_the_ends_are_measured_each_time():
    history, inputs = _grown(60)
    ends = {int(np.argmin(history.costs)), int(np.argmax(history.costs))}
    assert not ends & {58, 59}
    for seed in range(5):
        assert ends <= set(Recalibration(8, seed).choose(history, inputs).tolist())


def test_the_front_is_measured_as_far_as_half_the_budget_goes():
    from keras_joslim.search import front_indices

    history, inputs = _grown(60)
    front = front_indices(history.losses[:58], history.costs[:58])
    assert 10 < len(front) < 29
    chosen = Recalibration(2 * len(front)).choose(history, inputs)
    assert set(front) <= set(chosen)
    some = set(Recalibration(12).choose(history, inputs)) & set(front)
    assert len(some) >= 6


def test_the_nearest_neighbour_of_a_new_entry_is_measured():
    history, inputs = _grown(60, seed=3, new=1)
    distances = ((inputs[:59] - inputs[59]) ** 2).sum(axis=1)
    assert np.argmin(distances) in Recalibration(16).choose(history, inputs)


def test_every_entry_has_its_turn():
    history, inputs = _grown(60)
    recalibration = Recalibration(16)
    seen = set()
    for _ in range(20):
        chosen = recalibration.choose(history, inputs)
        seen |= set(chosen.tolist())
        history.set_losses(*recalibration.carry(history, chosen, _loss(history, 1.0)[chosen]))
    # A quarter of 16 is for the oldest: 60 entries have had their turn long before.
    assert seen == set(range(60))


@pytest.mark.parametrize("drift", ["factor", "power", "cost"])
def test_the_others_follow_a_drift_that_the_model_of_it_can_say(drift):
    history, inputs = _grown(80, new=0)
    recalibration, before = Recalibration(24), history.losses
    now = {
        "factor": 0.8 * before,
        "power": 0.8 * before**1.2,
        "cost": 0.8 * before * (history.costs / 100.0) ** -0.3,
    }[drift]
    chosen = recalibration.choose(history, inputs)
    losses, noise = recalibration.carry(history, chosen, now[chosen])
    others = np.setdiff1d(np.arange(80), chosen)
    np.testing.assert_array_equal(losses[chosen], now[chosen])
    assert (noise[chosen] == 0).all()
    error, unmoved = (np.log(v[others] / now[others]) for v in (losses, 0.8 * before))
    # The common factor is found exactly; of the rest, the prior leaves some to be seen again.
    assert np.sqrt(np.mean(error**2)) <= 0.6 * np.sqrt(np.mean(unmoved**2)) + 1e-9
    assert np.corrcoef(losses[others], now[others])[0, 1] > 0.99


def test_losses_that_are_not_positive_are_carried_as_they_are():
    history, inputs = _grown(40, new=0)
    history.set_losses(history.losses - 1.0)
    assert history.losses.min() < 0
    recalibration = Recalibration(12)
    chosen = recalibration.choose(history, inputs)
    now = history.losses - 0.3
    losses, noise = recalibration.carry(history, chosen, now[chosen])
    np.testing.assert_allclose(losses, now, atol=1e-9)
    assert np.isfinite(noise).all()


def test_the_uncertainty_says_how_wrong_the_carried_losses_are_and_grows_with_age():
    errors, noises, ages = [], [], []
    for seed in range(8):
        history, inputs = _grown(100, seed)
        recalibration = Recalibration(20, seed)
        rng = np.random.default_rng(seed)
        now = _loss(history, 1.0)
        for round_number in range(6):
            # Each entry wanders by itself: nothing that a common drift could say.
            now = 0.95 * now + rng.normal(0, 0.02, len(now))
            chosen = recalibration.choose(history, inputs)
            losses, noise = recalibration.carry(history, chosen, now[chosen])
            history.set_losses(losses, noise)
            others = np.setdiff1d(np.arange(100), chosen)
            if round_number >= 3:
                errors += list(losses[others] - now[others])
                noises += list(noise[others])
                age = round_number - np.array(recalibration.measured_in)
                ages += list(age[others])
    ratio = np.array(errors) / np.array(noises)
    # Sure of a little too little here: these errors are independent from step to step.
    assert 0.35 < np.sqrt(np.mean(ratio**2)) < 1.1
    young, old = (np.mean(np.array(noises)[np.array(ages) == a]) for a in (1, 4))
    assert old > 1.5 * young


def test_a_restored_state_goes_on_identically():
    def rounds(recalibration, history, inputs, count):
        result = []
        for _ in range(count):
            chosen = recalibration.choose(history, inputs)
            losses = _loss(history, 0.9**recalibration.rounds)[chosen]
            history.set_losses(*recalibration.carry(history, chosen, losses))
            result.append(chosen.tolist())
        return result

    history, inputs = _grown(50)
    straight = rounds(Recalibration(12, 3), history, inputs, 6)
    again, inputs = _grown(50)
    first = Recalibration(12, 3)
    chosen = rounds(first, again, inputs, 2)
    second = Recalibration(12, 3)
    second.restore(json.loads(json.dumps(first.state())))
    again = History.from_dict(json.loads(json.dumps(again.to_dict())))
    assert chosen + rounds(second, again, inputs, 4) == straight
    np.testing.assert_array_equal(again.losses, history.losses)
    np.testing.assert_array_equal(again.noise, history.noise)


def test_a_state_of_another_budget_is_refused():
    state = Recalibration(8).state()
    with pytest.raises(ValueError, match="of 8 entries at a time; this one has budget=9"):
        Recalibration(9).restore(state)


@pytest.mark.parametrize("budget", [7, 0, 9.5, True, float("nan"), "many"])
def test_a_budget_too_small_or_no_number_is_refused(budget):
    with pytest.raises(ValueError, match=f"at least 8: .* Received: {budget!r}"):
        Recalibration(budget)


def test_an_entry_without_a_loss_must_be_measured():
    history, inputs = _grown(20)
    with pytest.raises(ValueError, match="Entry 19 of the history has no loss yet"):
        Recalibration(8).carry(history, np.arange(19), np.ones(19))
