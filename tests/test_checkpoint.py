"""A run that stops anywhere and goes on from its checkpoint ends with the same bits."""

import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.checkpoint import Checkpoint
from tests.checkpoint_runs import SCHEDULES, KillAtEpochEnd, Stopped, assert_same_bits, run


@pytest.mark.parametrize(
    "name",
    ["joslim", *(pytest.param(name, marks=pytest.mark.slow) for name in ("uniform", "adaptive"))],
)
def test_killed_at_several_steps_equals_uninterrupted(name, tmp_path):
    whole, schedule, done = run(tmp_path / "whole", SCHEDULES[name])
    for kill_after in (4, 9):
        with pytest.raises(Stopped):
            run(tmp_path / "killed", SCHEDULES[name], kill_after=kill_after)
    slim, other, resumed = run(tmp_path / "killed", SCHEDULES[name])
    assert_same_bits(whole, slim)
    assert schedule.state() == other.state()
    # The logs of an interrupted epoch are those of its rest, and say so.
    logged = [(e["epoch"], e["steps"], e["end"]) for e in done.epochs]
    assert logged == [(0, 7, 7), (1, 7, 14), (2, 7, 21)]
    logged = [(e["epoch"], e["steps"], e["end"]) for e in resumed.epochs]
    assert logged == [(0, 4, 7), (1, 4, 14), (2, 7, 21)]
    assert done.epochs[2] == resumed.epochs[2]


def test_an_epoch_stopped_at_its_end_is_logged_when_it_ends_again(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, SCHEDULES["uniform"], every_steps=7, extra=[KillAtEpochEnd()])
    *_, resumed = run(tmp_path, SCHEDULES["uniform"], every_steps=7)
    assert [(e["epoch"], e["steps"]) for e in resumed.epochs] == [(0, 7), (1, 7), (2, 7)]


def test_an_epoch_is_the_unit_without_every_steps(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, SCHEDULES["uniform"], kill_after=10, every_steps=None)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000007"]


def test_the_last_two_checkpoints_are_kept_and_complete(tmp_path):
    run(tmp_path, SCHEDULES["uniform"])
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["step-000000018", "step-000000021"]
    assert json.loads((tmp_path / names[-1] / "state.json").read_text())["step"] == 21


def _averaging():
    inner = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.8)
    # So large that the first steps overflow, and are skipped, an odd number of them: searches are
    # due inside of executions.
    return keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)


def test_averages_skipped_steps_parts_and_long_executions_resume_to_the_same_bits(tmp_path):
    options = {
        "make_optimizer": _averaging,
        "loss_weights": 1000.0,
        "accumulate": 2,
        "steps_per_execution": 2,
        "steps": 8,
    }
    whole, _, done = run(tmp_path / "whole", SCHEDULES["joslim"], **options)
    assert 3 < int(whole.optimizer.iterations) < done.step == 24
    for kill_after in (3, 5):
        with pytest.raises(Stopped):
            run(tmp_path / "killed", SCHEDULES["joslim"], kill_after, **options)
    slim, _, resumed = run(tmp_path / "killed", SCHEDULES["joslim"], **options)
    assert resumed.step == 24
    assert_same_bits(whole, slim)
    # After training the model has the averages, which are not the weights that were saved; a
    # finished run that is opened again has them too.
    averages = whole.optimizer.inner_optimizer._model_variables_moving_average
    for weight, average in zip(whole.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average.numpy())
    with np.load(tmp_path / "whole" / "step-000000024" / "variables.npz") as saved:
        assert np.abs(saved["model/0"] - whole.variables[0].numpy()).max() > 1e-4
    again, _, _ = run(tmp_path / "killed", SCHEDULES["joslim"], **options)
    assert_same_bits(whole, again)


def test_executions_that_do_not_divide_an_epoch_are_refused(tmp_path):
    """Keras runs the last one in full: epochs would be longer than those of a resumed run."""
    with pytest.raises(ValueError, match="steps_per_execution=2 does not divide the 7 steps"):
        run(tmp_path, SCHEDULES["uniform"], steps_per_execution=2)


def test_the_rest_of_a_run_ends_the_begun_epoch_first(tmp_path):
    *_, checkpoint = run(tmp_path, SCHEDULES["uniform"])
    checkpoint.step = 9
    assert checkpoint.rest_of_run(3, 7) == {
        "initial_epoch": 1,
        "epochs": 2,
        "steps_per_epoch": 5,
    }
    checkpoint.step = 14
    assert checkpoint.rest_of_run(3, 7) == {
        "initial_epoch": 2,
        "epochs": 3,
        "steps_per_epoch": 7,
    }


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run(tmp_path, SCHEDULES["uniform"])
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(9, 3)(inputs))
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(10)(x)), min_width=0.3)
    slim.compile("adam", "mse")
    with pytest.raises(ValueError, match="of another model"):
        Checkpoint(tmp_path, slim, kj.UniformWidths())
