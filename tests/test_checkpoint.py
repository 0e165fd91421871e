"""A run that stops anywhere and goes on from its checkpoint ends with the same bits."""

import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.checkpoint import Checkpoint

EPOCHS = 3


class Stopped(Exception):  # noqa: N818 - not an error, a kill
    pass


class KillAfter(keras.callbacks.Callback):
    """Stops the process's training as a kill would: at once, nothing is called after it."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Stopped


class KillAtEpochEnd(keras.callbacks.Callback):
    """The same between the last step of an epoch and what is done at its end."""

    def on_epoch_end(self, epoch, logs=None):
        raise Stopped


def run(directory, make_schedule, kill_after=None, every_steps=3, steps_per_execution=1, extra=()):
    """Trains a small network (dropout and all) for three epochs of seven steps."""
    keras.utils.set_random_seed(1)
    data = kj.datasets.load("digits")
    stream = kj.datasets.Stream(data.train.images[:224], data.train.labels[:224], 32, seed=3)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(6, 3, strides=2, name="conv")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.2, seed=5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    slim = kj.make_slimmable(model, min_width=0.3)
    slim.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    schedule = make_schedule(data)
    checkpoint = Checkpoint(directory, slim, schedule, every_steps=every_steps)
    extra = [KillAfter(kill_after)] if kill_after else extra
    while checkpoint.step < EPOCHS * stream.steps_per_epoch:
        slim.fit(
            stream.from_step(checkpoint.step),
            callbacks=[schedule, *extra, checkpoint],
            verbose=0,
            shuffle=False,
            **checkpoint.rest_of_run(EPOCHS, stream.steps_per_epoch),
        )
    return slim, schedule, checkpoint


SCHEDULES = {
    "joslim": lambda data: kj.Joslim(
        (data.validation.images[:64], data.validation.labels[:64]), tau=2, prior_points=3
    ),
    "uniform": lambda data: kj.UniformWidths(seed=4),
    # The budget is all that the network may cost: draws are by scores from the third step on.
    "adaptive": lambda data: kj.AdaptiveWidths(1e6, 21, warmup=0.1, seed=4, hot=0.1),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_killed_at_several_steps_equals_uninterrupted(name, tmp_path):
    whole, schedule, done = run(tmp_path / "whole", SCHEDULES[name])
    for kill_after in (4, 9):
        with pytest.raises(Stopped):
            run(tmp_path / "killed", SCHEDULES[name], kill_after=kill_after)
    slim, other, resumed = run(tmp_path / "killed", SCHEDULES[name])
    for a, b in zip(whole.variables, slim.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    for a, b in zip(whole.optimizer.variables, slim.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    assert schedule.state() == other.state()
    # The logs of an interrupted epoch are those of its rest, and say so.
    assert [(e["epoch"], e["steps"]) for e in done.epochs] == [(0, 7), (1, 7), (2, 7)]
    assert [(e["epoch"], e["steps"]) for e in resumed.epochs] == [(0, 4), (1, 4), (2, 7)]
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


def test_only_the_last_checkpoint_is_kept_and_it_is_complete(tmp_path):
    run(tmp_path, SCHEDULES["uniform"])
    (folder,) = tmp_path.iterdir()
    assert folder.name == "step-000000021"
    assert json.loads((folder / "state.json").read_text())["step"] == 21


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


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    run(tmp_path, SCHEDULES["uniform"])
    (folder,) = tmp_path.iterdir()
    (folder / "variables.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="step-000000021 cannot be read"):
        run(tmp_path, SCHEDULES["uniform"])


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run(tmp_path, SCHEDULES["uniform"])
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(9, 3)(inputs))
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(10)(x)), min_width=0.3)
    slim.compile("adam", "mse")
    with pytest.raises(ValueError, match="of another model"):
        Checkpoint(tmp_path, slim, kj.UniformWidths())
