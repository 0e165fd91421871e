"""A batch run in parts trains what the whole batch does, by one step, and is guarded like it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from tests.sandwich_recursion import (
    Given,
    Recursion,
    assert_same_weights,
    images,
    network,
    rows_of,
    twins,
)

LOSS = "sparse_categorical_crossentropy"


def _fit(slim, x, y, rows, batch_size, **arguments):
    return slim.fit(
        x,
        y,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[Given(rows)],
        **arguments,
    ).history


def test_parts_train_what_the_whole_batch_does():
    """Weights, losses and metrics; the last batch, of ten, does not divide."""
    slim, whole = twins(network(batch_norm=False, regularizer="l2"), min_width=0.25)
    rows = rows_of(slim, 3, 2)
    x, y = images(34)
    weight = np.linspace(0.2, 2, 34)
    logs = []
    for model, parts in ((slim, 4), (whole, 1)):
        model.compile(
            keras.optimizers.SGD(0.2, momentum=0.9),
            LOSS,
            metrics=["accuracy"],
            weight_decay=0.05,
            accumulate=parts,
        )
        logs.append(_fit(model, x, y, rows, 12, sample_weight=weight))
        assert int(model.optimizer.iterations) == 3
    assert_same_weights(slim, whole)
    assert logs[0].keys() == logs[1].keys()
    for name, values in logs[0].items():
        np.testing.assert_allclose(values, logs[1][name], rtol=1e-5, err_msg=name)
    start = kj.make_slimmable(network(batch_norm=False), 0.25).get_layer("stem").kernel
    assert np.abs(np.asarray(start) - np.asarray(slim.get_layer("stem").kernel)).max() > 0.05


def test_batch_norm_normalises_each_part_and_keeps_the_first_ones_statistics():
    """Against the recursion, part by part, its gradients averaged."""
    slim, reference = twins(network(), min_width=0.25)
    rows = rows_of(slim, 2, 1)
    x, y = images(12)
    slim.compile(keras.optimizers.SGD(0.2), LOSS, accumulate=3, steps_per_execution=2)
    _fit(slim, x, y, rows, 6)
    recursion = Recursion(reference, rate=0.2)
    gradients, first = recursion.gradients, recursion._move_statistics

    def averaged(x, y, networks):
        parts = []
        for i in range(0, 6, 2):
            recursion._move_statistics = (lambda sub: None) if i else first
            parts.append(gradients(x[i : i + 2], y[i : i + 2], networks))
        return {key: sum(part[key] for part in parts) / 3 for key in parts[0]}

    recursion.gradients = averaged
    for i, networks in enumerate(rows):
        recursion.step(x[6 * i : 6 * i + 6], y[6 * i : 6 * i + 6], networks)
    assert_same_weights(slim, reference)


def test_task_losses_are_those_of_the_whole_batch():
    class Losses(Given):
        needs_task_losses = True

    found = []
    slim, whole = twins(network(batch_norm=False), min_width=0.25)
    for model, parts in ((slim, 2), (whole, 1)):
        model.compile("sgd", LOSS, accumulate=parts, run_eagerly=True)
        x, y = images(8)
        rows = rows_of(slim, 1, 2)
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[Losses(rows)])
        found.append(model.task_losses)
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_several_inputs_outputs_and_losses():
    def two(parts):
        keras.utils.set_random_seed(3)
        a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
        x = keras.layers.Dense(6, activation="tanh", name="shared")(
            keras.layers.Concatenate()([a, b])
        )
        outputs = {
            "kind": keras.layers.Dense(3, name="kind")(x),
            "size": keras.layers.Dense(1, name="size")(x),
        }
        slim = kj.make_slimmable(keras.Model({"a": a, "b": b}, outputs), 0.3)
        slim.compile(
            keras.optimizers.SGD(0.1),
            {
                "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                "size": "mse",
            },
            loss_weights={"kind": 1.0, "size": 0.5},
            accumulate=parts,
            run_eagerly=True,
        )
        rng = np.random.default_rng(0)
        x = {"a": rng.normal(size=(8, 4)), "b": rng.normal(size=(8, 3))}
        y = {"kind": np.arange(8) % 3, "size": rng.normal(size=(8, 1))}
        return slim, slim.fit(
            x, y, batch_size=8, verbose=0, callbacks=[Given(rows_of(slim, 1, 1))]
        ).history

    (slim, logs), (whole, expected) = two(4), two(1)
    assert_same_weights(slim, whole)
    for name, values in logs.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, err_msg=name)


def test_a_full_networks_loss_that_is_not_finite_in_a_part_is_named():
    slim = kj.make_slimmable(network(batch_norm=False), 0.25)
    slim.compile(keras.optimizers.SGD(0.1), LOSS, accumulate=2)
    x, y = images(12)
    x[7] = np.nan
    with pytest.raises(kj.NonFiniteLossError) as caught:
        _fit(slim, x, y, rows_of(slim, 3, 1), 4)
    assert (caught.value.step, caught.value.row) == (1, 0)


def test_a_narrow_networks_loss_in_a_later_part_is_named():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(8, name="hidden")(inputs)
    slim = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden)), 0.25)
    slim.compile(keras.optimizers.SGD(0.0), "mse", accumulate=3)
    # Channel 3 adds what channel 4 takes away: only a network between the two overflows.
    slim.network.get_layer("hidden").kernel.assign(np.ones((2, 8)))
    slim.network.get_layer("head").kernel.assign([[1], [1], [1], [1e30], [-1e30], [1], [1], [1]])
    rows = np.array([[[8], [4], [2]]], np.int32)
    x = np.zeros((6, 2))
    x[4:] = 1.0
    with pytest.raises(kj.NonFiniteLossError, match="narrow network 1 is not finite") as caught:
        _fit(slim, x, np.ones((6, 1)), rows, 6)
    assert caught.value.widths == [4]


def test_a_loss_that_is_a_sum_is_refused():
    slim = kj.make_slimmable(network(batch_norm=False), 0.25)
    slim.compile("sgd", keras.losses.SparseCategoricalCrossentropy(reduction="sum"), accumulate=2)
    x, y = images(4)
    with pytest.raises(ValueError, match="accumulate=2 with loss .* reduction='sum'"):
        _fit(slim, x, y, rows_of(slim, 1, 1), 4)
    with pytest.raises(ValueError, match="accumulate must be a whole number, at least 1"):
        slim.compile("sgd", LOSS, accumulate=0)


def test_one_trace_serves_all_widths_and_numbers_of_networks(monkeypatch):
    traces = []
    original = kj.SlimmableModel.train_step
    monkeypatch.setattr(
        kj.SlimmableModel, "train_step", lambda self, data: traces.append(1) or original(self, data)
    )
    slim = kj.make_slimmable(network(batch_norm=False), 0.25)
    slim.compile("sgd", LOSS, accumulate=2)
    x, y = images(8)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4, drop_remainder=True).repeat()
    for num_sampled in (1, 3, 0):
        rows = rows_of(slim, 2, num_sampled)
        slim.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0, callbacks=[Given(rows)])
    assert len(traces) == 1


def test_a_compiled_model_that_is_loaded_again_accumulates(tmp_path):
    slim = kj.make_slimmable(network(batch_norm=False), 0.25)
    slim.compile("sgd", LOSS, accumulate=3)
    slim.save(tmp_path / "slim.keras")
    assert keras.saving.load_model(tmp_path / "slim.keras").accumulate == 3
