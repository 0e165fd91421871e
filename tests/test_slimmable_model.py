"""The slimmable model as a Keras model: calling, compiling, weights files, saving, loading."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.history_losses import HistoryLosses
from tests.sandwich_recursion import Given, assert_same_weights, images, network, rows_of

LOSS = "sparse_categorical_crossentropy"


def _small(dropout=0.0):
    """A dense network: quick to trace, with state of every kind in it."""
    layers = keras.layers
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Flatten()(inputs)
    x = layers.Dense(8, activation="tanh", name="hidden")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(dropout, seed=3)(x)
    outputs = layers.Dense(3, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="small")


@pytest.fixture
def slim():
    return kj.make_slimmable(_small(), 0.25)


def _fit(model, x, y, rows, **arguments):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(x, y, callbacks=[Given(rows)], **options)


def _call(model, x, **arguments):
    return np.asarray(model(x, **arguments))


# -- calling ---------------------------------------------------------------------------------


def test_no_widths_means_the_full_network(slim):
    x, _ = images(4)
    full = slim.width_space.full
    smallest = slim.width_space.smallest
    np.testing.assert_array_equal(_call(slim, x), _call(slim, x, widths=full))
    assert np.abs(_call(slim, x) - _call(slim, x, widths=smallest)).max() > 1e-3


def test_only_a_full_call_in_training_moves_statistics(slim):
    x, _ = images(8)
    norm = slim.network.get_layer("norm")
    before = np.asarray(norm.moving_mean)
    slim(x)
    slim(x, widths=slim.width_space.smallest, training=True)
    # Full widths given by hand are a sampled network that happens to be full.
    slim(x, widths=slim.width_space.full, training=True)
    np.testing.assert_array_equal(before, np.asarray(norm.moving_mean))
    slim(x, training=True)
    assert np.abs(before - np.asarray(norm.moving_mean)).max() > 1e-3


def test_predict_and_evaluate_are_the_full_networks(slim):
    x, y = images(10)
    slim.compile("sgd", LOSS, metrics=["accuracy"])
    stock = kj.extract(slim, slim.width_space.full)
    stock.compile("sgd", LOSS, metrics=["accuracy"], jit_compile=False)
    np.testing.assert_array_equal(
        slim.predict(x, batch_size=4, verbose=0), stock.predict(x, batch_size=4, verbose=0)
    )
    ours, theirs = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (slim, stock))
    # No loss of the smallest network here: nobody has measured it.
    assert ours == pytest.approx(theirs)
    assert slim.evaluate(x, y, verbose=0) == pytest.approx([theirs["loss"], theirs["accuracy"]])


# -- compiling -------------------------------------------------------------------------------


def test_xla_is_refused_with_the_reason(slim):
    with pytest.raises(ValueError, match="compiles again for every new width.*jit_compile=True"):
        slim.compile("sgd", LOSS, jit_compile=True)


@pytest.mark.parametrize("decay", [-1e-4, float("nan")])
def test_a_negative_weight_decay_is_refused(slim, decay):
    with pytest.raises(ValueError, match=f"weight_decay={decay}"):
        slim.compile("sgd", LOSS, weight_decay=decay)


def test_training_without_a_loss_is_refused(slim):
    x, y = images(4)
    slim.compile("sgd")
    with pytest.raises(ValueError, match="loss"):
        slim.fit(x, y, verbose=0)


@pytest.mark.parametrize("wrong", ["rank", "groups", "first"])
def test_training_widths_are_checked(slim, wrong):
    full, smallest = slim.width_space.full, slim.width_space.smallest
    rows = {
        "rank": np.stack([full, smallest]),
        "groups": np.zeros((1, 2, len(full) + 1), np.int32),
        "first": np.stack([smallest, full])[None],
    }[wrong]
    with pytest.raises(ValueError, match="the full network first"):
        slim.training_widths = rows


def test_training_widths_are_no_weight(slim):
    stock = _small()
    assert len(slim.weights) == len(stock.weights)
    assert len(slim.trainable_weights) == len(stock.trainable_weights)


def test_compiling_again_takes_the_new_loss_and_distillation(slim):
    x, y = images(4)
    slim.compile("sgd", LOSS, run_eagerly=True)
    slim.fit(x, y, verbose=0)
    slim.compile("sgd", "log_cosh", run_eagerly=True)
    with pytest.raises(ValueError, match="No distillation loss is known for output 'head'"):
        slim.fit(x, keras.utils.to_categorical(y), verbose=0)


# -- files -----------------------------------------------------------------------------------


def test_weights_files_go_both_ways(tmp_path, slim):
    x, y = images(8)
    theirs, ours = tmp_path / "stock.weights.h5", tmp_path / "slim.weights.h5"
    stock = _small()
    stock(x, training=True)
    stock.save_weights(theirs)
    slim.load_weights(theirs)
    np.testing.assert_array_equal(_call(slim, x), _call(stock, x))
    slim.compile("sgd", LOSS, run_eagerly=True)
    slim.fit(x, y, verbose=0)
    slim.save_weights(ours)
    again, other = _small(), kj.make_slimmable(_small(), 0.25)
    again.load_weights(ours)
    other.load_weights(ours)
    np.testing.assert_array_equal(_call(again, x), _call(slim, x))
    assert_same_weights(other, slim, atol=0)
    assert np.abs(_call(stock, x) - _call(again, x)).max() > 1e-5


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_weights_file_of_another_model_is_refused_and_nothing_changes(tmp_path, slim):
    before = [np.asarray(v) for v in slim.network.variables]
    network().save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=r"(?i)layer|expected|shape"):
        slim.load_weights(tmp_path / "other.weights.h5")
    for old, variable in zip(before, slim.network.variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(variable))


def test_a_saved_model_goes_on_training_as_if_never_interrupted(tmp_path):
    x, y = images(16)
    straight, stopped = (kj.make_slimmable(_small(), 0.25) for _ in range(2))
    for v, w in zip(straight.network.variables, stopped.network.variables, strict=True):
        w.assign(v)
    rows = rows_of(straight, 8, 1)
    for model in (straight, stopped):
        model.compile(
            keras.optimizers.SGD(0.2, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(),
            weight_decay=0.01,
            run_eagerly=True,
        )
    _fit(straight, x, y, rows, epochs=2)
    _fit(stopped, x, y, rows, epochs=1)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, kj.SlimmableModel)
    assert int(loaded.optimizer.iterations) == 4
    assert loaded.weight_decay == 0.01
    assert loaded.run_eagerly
    _fit(loaded, x, y, rows, epochs=1)
    assert_same_weights(loaded, straight, atol=0)
    for ours, theirs in zip(loaded.optimizer.variables, straight.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_what_compile_was_given_survives_saving(tmp_path):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(6, name="hidden")(inputs)
    outputs = {"a": keras.layers.Dense(2, name="a")(hidden), "b": keras.layers.Dense(2)(hidden)}
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.5)
    distillation = {"a": keras.losses.MeanSquaredError()}
    slim.compile(
        keras.optimizers.Adam(0.01),
        {"a": "log_cosh", "b": keras.losses.MeanAbsoluteError()},
        metrics={"a": ["mse"]},
        loss_weights={"a": 2.0, "b": 0.5},
        weight_decay=0.25,
        distillation=distillation,
        steps_per_execution=2,
    )
    # Keras warns on loading if an optimizer was saved before it had its variables.
    slim.optimizer.build(slim.trainable_variables)
    slim.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.get_compile_config()
    assert config == slim.get_compile_config()
    assert config["weight_decay"] == 0.25
    assert config["loss_weights"] == {"a": 2.0, "b": 0.5}
    assert loaded.steps_per_execution == 2
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 4)), {"a": rng.random((8, 2)), "b": rng.random((8, 2))}
    rows = rows_of(slim, 2, 1)
    for model in (slim, loaded):
        _fit(model, x, y, rows)
    assert_same_weights(loaded, slim, atol=0)


def test_an_uncompiled_model_is_saved_too(tmp_path, slim):
    slim.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = images(4)
    np.testing.assert_array_equal(_call(loaded, x), _call(slim, x))
    assert loaded.width_space == slim.width_space
    assert not loaded.compiled


# -- the history's losses ----------------------------------------------------------------------


def test_losses_at_are_those_of_each_sub_network_on_batch_statistics():
    slim = kj.make_slimmable(network(), 0.25)
    x, y = images(12)
    weight = np.linspace(0.5, 1.5, 12).astype("float32")
    slim.compile("sgd", LOSS)
    widths = slim.width_space.sample(np.random.default_rng(0), 4)
    before = [np.asarray(v) for v in slim.network.variables]
    found = slim.losses_at(widths, x, y)
    weighted = slim.losses_at(widths, x, y, weight)
    for i, row in enumerate(widths):
        sub = np.asarray(kj.extract(slim, row)(x, training=True))
        per_example = -np.log(sub[np.arange(12), y])
        assert found[i] == pytest.approx(per_example.mean(), rel=1e-5)
        assert weighted[i] == pytest.approx((per_example * weight).mean(), rel=1e-5)
    assert np.ptp(found) > 1e-3
    assert found.dtype == np.float64
    for old, variable in zip(before, slim.network.variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(variable))


def test_losses_at_leave_dropout_off_and_are_traced_once(monkeypatch):
    slim = kj.make_slimmable(_small(dropout=0.5), 0.25)
    x, y = images(12)
    slim.compile("sgd", LOSS)
    traces = []
    original = HistoryLosses._trace
    monkeypatch.setattr(HistoryLosses, "_trace", lambda *a: traces.append(1) or original(*a))
    rng = np.random.default_rng(0)
    first = slim.losses_at(slim.width_space.sample(rng, 3), x, y)
    for count in (5, 9):
        widths = slim.width_space.sample(np.random.default_rng(0), count)
        np.testing.assert_allclose(slim.losses_at(widths, x, y)[:3], first, rtol=1e-6)
    assert len(traces) == 1


@keras.saving.register_keras_serializable("tests")
class Nameless(keras.layers.Layer):
    """A user's layer whose config forgets its name."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return {}


def test_weights_files_of_a_model_whose_layers_lose_their_names(tmp_path):
    inputs = keras.Input((4,))
    x = Nameless(name="mine")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(6)(x)))
    slim = kj.make_slimmable(model)
    model.get_layer("mine").scale.assign(3.0)
    model.save_weights(tmp_path / "model.weights.h5")
    slim.load_weights(tmp_path / "model.weights.h5")
    values = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(slim(values), model(values))
    slim.save_weights(tmp_path / "slim.weights.h5")


def test_layers_are_those_of_the_network():
    slim = kj.make_slimmable(_small(), 0.25)
    assert isinstance(slim.get_layer("hidden"), kj.layers.SlimDense)
    assert slim.get_layer(index=0) is slim.network.layers[0]
