"""The log of a run: losses that are those of the step's networks, shares of time, images."""

import csv

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.costs import MACs
from keras_joslim.watching.steps_table import StepsTable

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def make_slim():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(2)(hidden)), min_width=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # A rate of zero: the losses of a step's networks can be computed after it.
    slim.compile(keras.optimizers.SGD(0.0), loss)
    return slim


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    slim = make_slim()
    joslim = kj.Joslim((X, Y), tau=2, num_sampled=2, prior_points=4)
    log = kj.RunLog(folder, joslim, MACs(slim), every_steps=2, tensorboard=True)
    slim.fit(X, Y, batch_size=64, epochs=8, shuffle=False, verbose=0, callbacks=[joslim, log])
    return folder, slim, joslim


def test_losses_and_costs_are_of_the_networks_of_the_step(trained):
    folder, slim, _ = trained
    rows = StepsTable(folder / "steps.csv").rows()
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    networks = slim.training_widths[0]
    names = ("full", "1", "2", "smallest")
    for name, widths, cost in zip(names, networks, MACs(slim)(networks), strict=True):
        loss = float(slim.loss(Y, slim(X, widths=widths)))
        np.testing.assert_allclose(rows[-1][f"loss_{name}"], loss, rtol=1e-4)
        assert rows[-1][f"cost_{name}"] == cost


def test_the_front_grows_in_it(trained):
    folder, _, joslim = trained
    last = StepsTable(folder / "steps.csv").rows()[-1]
    assert last["hypervolume"] == pytest.approx(joslim._progress.logs["hypervolume"], rel=1e-4)
    assert last["front_size"] == joslim._progress.logs["front_size"]


def test_shares_of_time_are_parts_of_one(trained):
    folder, *_ = trained
    for row in StepsTable(folder / "steps.csv").rows():
        shares = [row[name] for name in ("search", "recalibration", "input")]
        assert all(share >= 0 for share in shares)
        # Clocks differ by microseconds.
        assert sum(shares) <= 1.01
        assert row["seconds"] > 0


def test_a_resumed_run_goes_on_in_the_same_table(tmp_path):
    slim = make_slim()
    schedule = kj.UniformWidths()
    for last in (3, 7):
        log = kj.RunLog(tmp_path, schedule, MACs(slim), every_steps=1)
        slim.optimizer.iterations.assign(max(0, last - 4))
        slim.fit(X, Y, batch_size=64, epochs=4, shuffle=False, verbose=0, callbacks=[schedule, log])
    with open(tmp_path / "steps.csv", encoding="utf-8") as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(i) for i in range(1, 8)]


def test_tensorboard_gets_numbers_and_images(trained):
    folder, *_ = trained
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), {"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"loss/full", "loss/1", "loss/smallest", "cost/full", "hypervolume", "input"} <= tags
    image = events.Tensors("widths")[-1].tensor_proto.string_val
    assert image[2].startswith(b"\x89PNG")
    assert events.Tensors("front")[-1].tensor_proto.string_val[2].startswith(b"\x89PNG")


def test_without_the_packages_it_is_refused_at_once(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tensorboard":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    slim = make_slim()
    with pytest.raises(ImportError, match=r"pip install 'keras_joslim\[tensorboard\]'"):
        kj.RunLog(tmp_path, kj.UniformWidths(), MACs(slim), tensorboard=True)
