"""fit as Keras users know it: executions, traces, data sources, callbacks, other optimizers."""

import csv
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from tests.sandwich_recursion import Given, Recursion, assert_same_weights, images, rows_of, twins

LOSS = "sparse_categorical_crossentropy"


def _small():
    inputs = keras.Input((6, 6, 2), name="image")
    x = keras.layers.Dense(8, activation="tanh", name="hidden")(keras.layers.Flatten()(inputs))
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="small")


def _recursion(slim, **options):
    recursion = Recursion(slim, **options)
    recursion.decayed = (("hidden", "kernel"), ("head", "kernel"))
    return recursion


def _fit(slim, x, y, rows, **arguments):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **arguments}
    return slim.fit(x, y, callbacks=[Given(rows)], **options)


@pytest.fixture
def traces(monkeypatch):
    """Counts runs of `train_step` by Python, which in graph mode are traces."""
    count = []
    original = kj.SlimmableModel.train_step

    def counted(self, data):
        count.append(1)
        return original(self, data)

    monkeypatch.setattr(kj.SlimmableModel, "train_step", counted)
    return count


def test_one_trace_serves_all_widths_and_any_number_of_networks(traces):
    slim, reference = twins(_small(), min_width=0.125)
    slim.compile(keras.optimizers.SGD(0.2), LOSS)
    recursion = _recursion(reference, rate=0.2)
    x, y = images(8)
    seen = []
    for num_sampled in (2, 0, 5, 1):
        rows = rows_of(slim, 2, num_sampled, seed=num_sampled)
        # Without `fit`'s own new trace at each call, as within one run.
        if not seen:
            _fit(slim, x, y, np.roll(rows, int(slim.optimizer.iterations), axis=0))
            function = slim.train_function
            batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4, drop_remainder=True)
        else:
            slim.training_widths = rows
            iterator = iter(batches.repeat())
            for _ in range(2):
                function(iterator)
        seen.append(len(traces))
        for i, networks in enumerate(rows):
            recursion.step(x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4], networks)
    # A second trace comes with the second iterator's static batch size, none with the widths.
    assert seen[1:] == [seen[1]] * 3
    assert_same_weights(slim, reference)


def test_steps_per_execution_change_neither_widths_nor_weights():
    models = dict(zip((1, 4), twins(_small(), min_width=0.125)))
    x, y = images(40)
    before = np.asarray(models[1].network.variables[0])
    for count, slim in models.items():
        slim.compile(keras.optimizers.SGD(0.2, momentum=0.9), LOSS, steps_per_execution=count)
        # Ten steps an epoch: the last execution is a short one, and the next begins in mid-row.
        slim.fit(
            x,
            y,
            batch_size=4,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[kj.RandomWidths(num_sampled=2, seed=3)],
        )
        assert int(slim.optimizer.iterations) == 20
    assert_same_weights(models[4], models[1], atol=1e-6)
    assert np.abs(np.asarray(models[1].network.variables[0]) - before).max() > 0.01


def test_another_number_of_networks_in_every_step_of_a_run(traces):
    """What a schedule with a growing M needs: nothing is traced again."""

    class Growing(kj.Schedule):
        def widths(self, step):
            return rows_of(self.model, 1, step % 4, seed=step)[0]

    slim, reference = twins(_small(), min_width=0.125)
    slim.compile(keras.optimizers.SGD(0.2), LOSS)
    x, y = images(24)
    slim.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[Growing()])
    count = len(traces)
    slim.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[Growing()])
    assert len(traces) == count
    recursion = _recursion(reference, rate=0.2)
    for step in range(12):
        part = slice(4 * (step % 6), 4 * (step % 6) + 4)
        recursion.step(x[part], y[part], rows_of(slim, 1, step % 4, seed=step)[0])
    assert_same_weights(slim, reference)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "sgd_ema": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True),
    "sgd_clipped": lambda: keras.optimizers.SGD(0.1, clipnorm=0.05),
    "accumulated": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
    "scheduled": lambda: keras.optimizers.SGD(kj.schedules.WarmupLinearDecay(0.2, 10, 2)),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_any_optimizer_gets_the_recursions_gradients(kind):
    slim, reference = twins(_small(), min_width=0.25)
    rows = rows_of(slim, 4, 1)
    x, y = images(16)
    slim.compile(OPTIMIZERS[kind](), LOSS, weight_decay=0.1, run_eagerly=True)
    _fit(slim, x, y, rows)
    recursion = _recursion(reference)
    optimizer = OPTIMIZERS[kind]()
    weights = reference.network.trainable_variables
    optimizer.build(weights)
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    for i in range(4):
        # Accumulation counts updates, and so do the rows.
        networks = rows[i // 2 if kind == "accumulated" else i]
        gradients = recursion.gradients(x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4], networks)
        for key in recursion.decayed:
            layer, name = key
            weight = getattr(reference.network.get_layer(layer), name)
            gradients[key] = gradients[key] + 0.1 * np.asarray(weight)
        scaled = [tf.constant(g * scale, "float32") for g in gradients.values()]
        optimizer.apply_gradients(zip(scaled, weights))
    if kind == "sgd_ema":
        optimizer.finalize_variable_values(weights)
    assert_same_weights(slim, reference, atol=1e-4 if kind in ("lion", "rmsprop") else 2e-5)


@pytest.mark.parametrize("kind", ["dataset", "generator", "sequence"])
def test_data_of_every_kind_train_alike(kind):
    slim, reference = twins(_small(), min_width=0.25)
    rows = rows_of(slim, 3, 1)
    x, y = images(12)
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4)]

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return batches[index]

    data = {
        "dataset": tf.data.Dataset.from_tensor_slices((x, y)).batch(4),
        "generator": (batch for batch in batches),
        "sequence": Batches(),
    }[kind]
    for model, arguments in ((slim, (data,)), (reference, (x, y))):
        model.compile(keras.optimizers.SGD(0.2), LOSS, run_eagerly=True)
        options = {"batch_size": 4} if len(arguments) == 2 else {}
        if kind == "generator":
            options["steps_per_epoch"] = 3
        model.fit(*arguments, shuffle=False, verbose=0, callbacks=[Given(rows)], **options)
    assert int(slim.optimizer.iterations) == 3
    assert_same_weights(slim, reference, atol=1e-7)


def test_callbacks_of_keras_work_and_see_the_full_network(tmp_path):
    slim = kj.make_slimmable(_small(), 0.25)
    slim.compile(keras.optimizers.SGD(0.2), LOSS, metrics=["accuracy"])
    x, y = images(16)
    weights = tmp_path / "{epoch}.weights.h5"
    history = slim.fit(
        x[:12],
        y[:12],
        batch_size=4,
        epochs=2,
        verbose=0,
        validation_data=(x[12:], y[12:]),
        callbacks=[
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.ModelCheckpoint(weights, save_weights_only=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        ],
    ).history
    names = {"loss", "accuracy", "smallest_loss", "val_loss", "val_accuracy"}
    assert set(history) == names
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert set(lines[0]) == names | {"epoch"}
    assert float(lines[1]["smallest_loss"]) == pytest.approx(history["smallest_loss"][1])
    stock = kj.extract(slim, slim.width_space.full)
    stock.compile("sgd", LOSS, metrics=["accuracy"], jit_compile=False)
    loss, accuracy = stock.evaluate(x[12:], y[12:], verbose=0)
    assert history["val_loss"][1] == pytest.approx(loss, rel=1e-5)
    assert history["val_accuracy"][1] == pytest.approx(accuracy)
    original = _small()
    original.load_weights(tmp_path / "2.weights.h5")
    np.testing.assert_array_equal(np.asarray(original(x)), np.asarray(slim(x)))
    assert isinstance(keras.saving.load_model(tmp_path / "best.keras"), kj.SlimmableModel)


def test_tensorboard_logs_the_smallest_networks_loss_too(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    slim = kj.make_slimmable(_small(), 0.25)
    slim.compile("sgd", LOSS)
    x, y = images(8)
    slim.fit(x, y, verbose=0, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    (events,) = pathlib.Path(tmp_path, "train").glob("events*")
    assert b"epoch_smallest_loss" in events.read_bytes()


def test_train_on_batch_trains_the_rows_at_hand():
    slim, reference = twins(_small(), min_width=0.25)
    slim.compile(keras.optimizers.SGD(0.2), LOSS, run_eagerly=True)
    slim.training_widths = rows_of(slim, 1, 2)
    x, y = images(8)
    slim.train_on_batch(x, y)
    recursion = _recursion(reference, rate=0.2)
    recursion.step(x, y, rows_of(slim, 1, 2)[0])
    assert_same_weights(slim, reference)


# -- losses that are not finite ----------------------------------------------------------------


def test_a_full_network_without_a_finite_loss_stops_training_and_is_named():
    slim = kj.make_slimmable(_small(), 0.25)
    slim.compile(keras.optimizers.SGD(0.1), LOSS)
    x, y = images(20)
    x[9] = np.nan
    rows = rows_of(slim, 5, 1)
    with pytest.raises(kj.NonFiniteLossError) as caught:
        _fit(slim, x, y, rows)
    assert (caught.value.step, caught.value.row) == (2, 0)
    full = slim.width_space.full.tolist()
    assert caught.value.widths == full
    assert f"full network is not finite at step 2, widths={full}" in str(caught.value)
    assert int(slim.optimizer.iterations) == 3


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_a_narrow_network_without_a_finite_loss_stops_training_and_is_named(steps_per_execution):
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(8, name="hidden")(inputs)
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden)), 0.25)
    full, middle, smallest = ([[8], [4], [2]] * np.ones(1, np.int32)).astype(np.int32)
    slim.compile(keras.optimizers.SGD(0.0), "mse", steps_per_execution=steps_per_execution)
    # Channel 3 adds what channel 4 takes away: only a network between the two overflows.
    slim.network.get_layer("hidden").kernel.assign(np.ones((2, 8)))
    slim.network.get_layer("head").kernel.assign([[1], [1], [1], [1e30], [-1e30], [1], [1], [1]])
    rows = np.stack([[full, smallest, smallest]] * 6 + [[full, middle, smallest]] * 2)
    with pytest.raises(kj.NonFiniteLossError, match="narrow network 1 is not finite") as caught:
        _fit(slim, np.ones((32, 2)), np.ones((32, 1)), rows)
    assert (caught.value.step, caught.value.row) == (6, 1)
    assert caught.value.widths == [4]


def test_the_next_fit_begins_with_a_clean_slate():
    slim = kj.make_slimmable(_small(), 0.25)
    slim.compile(keras.optimizers.SGD(0.0), LOSS, run_eagerly=True)
    x, y = images(8)
    before = [np.asarray(v) for v in slim.network.variables]
    bad = x.copy()
    bad[0] = np.nan
    with pytest.raises(kj.NonFiniteLossError):
        slim.fit(bad, y, verbose=0)
    for variable, value in zip(slim.network.variables, before, strict=True):
        variable.assign(value)
    slim.fit(x, y, verbose=0)
