"""What `fit` logs of the front while it grows, and where it appears."""

import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.schedules.front_progress import FrontProgress
from tests.sandwich_recursion import images

KEYS = ("hypervolume", "front_size", "front_full_loss", "front_smallest_loss")


def test_hypervolume_size_and_ends_by_hand():
    progress = FrontProgress()
    progress.begin([2.0, 4.0])
    # Costs up to 10, so the corner is (4, 11): slabs (5-2)*(4-3), (10-5)*(4-2), (11-10)*(4-1).
    progress.update([3.0, 2.0, 3.5, 1.0, np.nan], [2, 5, 5, 10, 3])
    assert progress.logs["hypervolume"] == pytest.approx((3 + 10 + 3) / 44)
    assert progress.logs["front_size"] == 3
    assert progress.logs["front_full_loss"] == 1.0
    assert progress.logs["front_smallest_loss"] == 3.0


def test_the_reference_is_set_once_and_carried_over():
    progress, other = FrontProgress(), FrontProgress()
    progress.begin([2.0, 4.0])
    progress.begin([9.0, 9.0])
    assert progress.reference_loss == 4.0
    progress.update([1.0], [1.0])
    other.restore(json.loads(json.dumps(progress.state())))
    assert other.reference_loss == 4.0
    assert other.logs == progress.logs


def _slim():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Dense(12, activation="relu", name="a")(keras.layers.Flatten()(inputs))
    x = keras.layers.Dense(10, activation="relu", name="b")(x)
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    slim.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    return slim


class _Logs(keras.callbacks.Callback):
    """The keys that a callback after the schedule sees."""

    def __init__(self):
        super().__init__()
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(set(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


def test_joslim_logs_its_history_for_every_callback_whatever_the_order(tmp_path, capsys):
    slim, watching = _slim(), _Logs()
    held_out = images(9, seed=5)
    joslim = kj.Joslim(held_out, tau=2, prior_points=4, candidates=50)
    table = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    x, y = images(16)
    run = slim.fit(
        x, y, batch_size=4, epochs=3, verbose=1, callbacks=[table, watching, joslim], shuffle=False
    )
    for logs in watching.epochs:
        assert set(KEYS) <= set(logs)
    # From the first step on, or a CSV file would have no columns for them.
    assert all(set(KEYS) <= keys for keys in watching.batches)
    for key in KEYS:
        assert len(run.history[key]) == 3
        assert key in (tmp_path / "log.csv").read_text().splitlines()[0]
        assert f"{key}:" in capsys.readouterr().out or key != KEYS[0]
    assert 0 < run.history["hypervolume"][0] < 1
    told = joslim.history.evaluated
    assert run.history["front_full_loss"][-1] == joslim.history.losses[0]
    assert run.history["front_size"][-1] == len(
        kj.search.front_indices(joslim.history.losses[told], joslim.history.costs[told])
    )


def test_the_monitor_logs_for_schedules_without_a_history():
    slim, held_out = _slim(), images(9, seed=5)
    before = slim.losses_at(slim.width_space.smallest, *held_out)[0]
    monitor = kj.FrontMonitor(held_out)
    x, y = images(16)
    run = slim.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[monitor])
    for key in KEYS:
        assert len(run.history[key]) == 2
    ends = np.stack([slim.width_space.full, slim.width_space.smallest])
    full, smallest = slim.losses_at(ends, *held_out)
    assert run.history["front_full_loss"][-1] == pytest.approx(full)
    assert run.history["front_smallest_loss"][-1] == pytest.approx(smallest)
    assert monitor.state()["reference_loss"] >= before


def test_the_monitor_measures_the_networks_it_is_given():
    slim, held_out = _slim(), images(9, seed=5)
    widths = np.array([[12, 3], [3, 10]], np.int32)
    monitor = kj.FrontMonitor(held_out, widths=widths)
    x, y = images(8)
    run = slim.fit(x, y, batch_size=4, verbose=0, callbacks=[monitor])
    space = slim.width_space
    networks = np.stack([*widths, space.full, space.smallest])
    losses, costs = slim.losses_at(networks, *held_out), kj.costs.MACs(slim)(networks)
    expected = len(kj.search.front_indices(losses, costs))
    assert run.history["front_size"] == [expected]
