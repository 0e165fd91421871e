"""The sandwich step equals the same step written out by hand over extracted stock networks."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from tests.sandwich_recursion import (
    Given,
    Recursion,
    applied_gradient,
    assert_same_gradients,
    assert_same_weights,
    images,
    network,
    rows_of,
    trainable,
    twins,
)


def _fit(slim, x, y, rows, epochs=1, **arguments):
    return slim.fit(
        x,
        y,
        batch_size=4,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[Given(rows)],
        **arguments,
    )


@pytest.mark.parametrize(("num_sampled", "eager"), [(0, False), (1, True), (2, False)])
def test_three_steps_equal_the_recursion(num_sampled, eager):
    slim, reference = twins(network(), min_width=0.25)
    rows = rows_of(slim, 3, num_sampled)
    x, y = images(12)
    optimizer = keras.optimizers.SGD(0.2, momentum=0.9)
    slim.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=eager)
    _fit(slim, x, y, rows)
    recursion = Recursion(reference, rate=0.2, momentum=0.9)
    for i, networks in enumerate(rows):
        recursion.step(x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4], networks)
    assert_same_weights(slim, reference)
    start = trainable(kj.make_slimmable(network(), 0.25))[("stem", "kernel")]
    assert np.abs(np.asarray(start) - trainable(slim)[("stem", "kernel")]).max() > 0.05


def test_other_widths_give_other_weights():
    slim, other = twins(network(), min_width=0.25)
    x, y = images(4)
    for model, seed in ((slim, 0), (other, 1)):
        model.compile(
            keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True
        )
        _fit(model, x, y, rows_of(model, 1, 1, seed))
    difference = np.asarray(slim.network.get_layer("expand").kernel)
    difference = difference - np.asarray(other.network.get_layer("expand").kernel)
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("nesterov", [False, True])
def test_weight_decay_comes_before_the_momentum(nesterov):
    slim, reference = twins(network(), min_width=0.25)
    rows = rows_of(slim, 3, 1)
    x, y = images(12)
    slim.compile(
        keras.optimizers.SGD(0.2, momentum=0.9, nesterov=nesterov),
        "sparse_categorical_crossentropy",
        weight_decay=0.1,
        run_eagerly=True,
    )
    _fit(slim, x, y, rows)
    recursion = Recursion(reference, rate=0.2, momentum=0.9, nesterov=nesterov, decay=0.1)
    for i, networks in enumerate(rows):
        recursion.step(x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4], networks)
    assert_same_weights(slim, reference)


def test_decay_is_of_convolution_and_dense_kernels_alone():
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(2, name="depthwise")(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(3, name="dense")(x)
    model = keras.Model(inputs, outputs)
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.5))
    slim = kj.make_slimmable(model, 0.5)
    # A loss without a gradient leaves the decay alone.
    slim.compile(
        "sgd",
        lambda y, p: 0.0 * p,
        distillation=lambda y, p: 0.0 * p,
        weight_decay=0.25,
        run_eagerly=True,
    )
    networks = rows_of(slim, 1, 1)[0]
    change = applied_gradient(slim, np.ones((2, 6, 6, 2), "float32"), np.zeros((2, 3)), networks)
    decayed = {key for key, value in change.items() if np.abs(value).max() > 0}
    assert decayed == {
        ("conv", "kernel"),
        ("separable", "pointwise_kernel"),
        ("dense", "kernel"),
    }
    for key in decayed:
        np.testing.assert_allclose(change[key], 0.125, rtol=1e-6)


@pytest.mark.parametrize("num_sampled", [0, 2])
def test_fifty_steps_with_a_regulariser_count_it_once_a_step(num_sampled):
    """The narrow networks' kernels are slices of the full ones: counted again, they decay more."""
    rate, strength = 0.1, 0.05
    slim, reference = twins(network(regularizer=keras.regularizers.L2(strength)), min_width=0.25)
    rows = rows_of(slim, 5, num_sampled)
    x, y = images(4)
    slim.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    _fit(slim, x, y, rows, epochs=50)

    # Eager slices here, since extracting 200 networks takes long; the tests above extract.
    weights = reference.network.trainable_variables
    values = [w.value for w in weights]
    kernels = [v for w, v in zip(weights, values) if w.regularizer is not None]
    assert len(kernels) == 4  # the head has none

    @tf.function(reduce_retracing=True)
    def gradient(widths, targets, is_full):
        with tf.GradientTape() as tape:
            if is_full:
                output = reference(x, training=True)
                log = tf.math.log(output)
                loss = -tf.reduce_mean(tf.gather(log, y, axis=-1, batch_dims=1))
                loss += strength * tf.add_n([tf.reduce_sum(k**2) for k in kernels])
            else:
                output = reference(x, widths=widths, training=True)
                loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.math.log(output), axis=-1))
        return tape.gradient(loss, values), output

    for step in range(50):
        networks = rows[step % 5]
        total, full = gradient(tf.constant(networks[0]), tf.zeros((4, 3)), True)
        for widths in networks[1:]:
            more, _ = gradient(tf.constant(widths), full, False)
            total = [a + b for a, b in zip(total, more)]
        for weight, change in zip(weights, total):
            weight.assign_sub(rate * change)
    assert_same_weights(slim, reference, atol=2e-5)


def test_an_activity_regulariser_belongs_to_the_full_networks_pass():
    model = network()
    model.get_layer("hidden").activity_regularizer = keras.regularizers.L2(0.3)
    model = keras.models.clone_model(model)
    slim, reference = twins(model, min_width=0.25)
    x, y = images(8)
    networks = rows_of(slim, 1, 2)[0]
    slim.compile("sgd", "sparse_categorical_crossentropy")

    def task(y, output):
        return -tf.reduce_mean(tf.math.log(tf.gather(output, y, axis=-1, batch_dims=1)))

    recursion = Recursion(reference, task=task)
    expected = recursion.gradients(x, y, networks)
    # The extracted full network is called once more for what its hidden layer puts out.
    full = kj.extract(kj.make_slimmable(model, 0.25), networks[0])
    with tf.GradientTape() as tape:
        full(x, training=True)
        (activity,) = full.losses
    variables = trainable(full)
    extra = tape.gradient(activity, [v.value for v in variables.values()])
    for key, gradient in zip(variables, extra, strict=True):
        if gradient is not None:
            expected[key] = expected[key] + np.asarray(gradient)
    assert float(activity) > 0.01
    assert_same_gradients(applied_gradient(slim, x, y, networks), expected)
    # Nothing is left over from the loop over the narrow networks: one loss, an eager one.
    slim(x)
    assert len(slim.losses) == 1


def test_clipping_acts_on_the_summed_gradient():
    slim, reference = twins(network(), min_width=0.25)
    x, y = images(8)
    networks = rows_of(slim, 1, 2)[0]
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=0.01)
    slim.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    expected = Recursion(reference).gradients(x, y, networks)
    norm = np.sqrt(sum((g**2).sum() for g in expected.values()))
    assert norm > 0.02
    found = applied_gradient(slim, x, y, networks)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value * 0.01 / norm, atol=2e-7, err_msg=str(key))


def test_metrics_are_the_full_networks_and_the_smallest_ones_loss_is_reported():
    slim, reference = twins(network(), min_width=0.25)
    x, y = images(12)
    networks = rows_of(slim, 1, 2)[0]
    slim.compile(
        keras.optimizers.SGD(0.0),
        "sparse_categorical_crossentropy",
        metrics=[keras.metrics.MeanMetricWrapper(lambda y, p: p[:, 2], name="confidence")],
        weight_decay=0.1,
        run_eagerly=True,
    )
    history = slim.fit(
        x, y, batch_size=12, verbose=0, shuffle=False, callbacks=[Given(networks[None])]
    ).history
    recursion = Recursion(reference)
    full = np.asarray(kj.extract(reference, networks[0])(x, training=True))
    recursion.gradients(x, y, networks)
    # As large as the full network's confidence in the last class, which no other network shares.
    assert history["confidence"] == [pytest.approx(full[:, 2].mean(), rel=1e-5)]
    assert history["loss"] == [pytest.approx(recursion.losses[0], rel=1e-5)]
    assert history["smallest_loss"] == [pytest.approx(recursion.losses[-1], rel=1e-5)]
    assert abs(recursion.losses[0] - recursion.losses[-1]) > 1e-3


def test_the_reported_losses_are_means_over_unequal_batches():
    slim, reference = twins(network(batch_norm=False), min_width=0.25)
    x, y = images(10)
    networks = rows_of(slim, 1, 0)[0]
    slim.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", run_eagerly=True)
    history = slim.fit(
        x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[Given(networks[None])]
    ).history
    recursion = Recursion(reference)
    recursion.gradients(x, y, networks)
    assert history["loss"] == [pytest.approx(recursion.losses[0], rel=1e-5)]
    assert history["smallest_loss"] == [pytest.approx(recursion.losses[1], rel=1e-5)]


def test_moving_statistics_equal_the_stock_models_given_the_same_weights():
    stock = network()
    slim = kj.make_slimmable(stock, 0.25)
    full = slim.width_space.full
    smallest = slim.width_space.smallest
    one_full = smallest.copy()
    one_full[0] = full[0]
    # A sampled network that is full in one group, and one that is full in all.
    rows = np.stack([[full, one_full, smallest], [full, full, smallest]]).astype(np.int32)
    x, y = images(16)
    slim.compile(keras.optimizers.SGD(0.2, momentum=0.9), "sparse_categorical_crossentropy")
    for i in range(4):
        for old, new in zip(slim.network.trainable_variables, stock.trainable_variables):
            new.assign(old)
        batch = slice(4 * i, 4 * i + 4)
        stock(x[batch], training=True)
        _fit(slim, x[batch], y[batch], rows)
        for name in ("stem_bn", "depthwise_bn"):
            ours, theirs = slim.network.get_layer(name), stock.get_layer(name)
            np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, atol=1e-6)
            np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, atol=1e-6)
    assert np.abs(np.asarray(theirs.moving_mean)).max() > 0.01


@keras.saving.register_keras_serializable("test_training_sandwich")
class Composite(keras.layers.Layer):
    """A layer of the user's own, without a handler, with a stock BatchNormalization in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization(momentum=0.5)

    def build(self, input_shape):
        self.norm.build(input_shape)
        super().build(input_shape)

    def call(self, inputs, training=None):
        return self.norm(inputs, training=training)


def test_statistics_inside_a_layer_without_a_handler_are_the_full_networks_too():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(6, name="hidden")(inputs)
    # Its input stays at full width; what the narrow layers before it put in does not.
    hidden = keras.layers.Dense(5, name="frozen")(hidden)
    outputs = keras.layers.Dense(3, activation="softmax")(Composite(name="composite")(hidden))
    stock = keras.Model(inputs, outputs)
    slim = kj.make_slimmable(stock, 0.25)
    slim.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(8, 4)).astype("float32"), np.zeros(8)
    for _ in range(2):
        stock(x, training=True)
        slim.fit(x, y, verbose=0, callbacks=[Given(rows_of(slim, 1, 2))])
    ours, theirs = (m.get_layer("composite").norm for m in (slim.network, stock))
    np.testing.assert_allclose(np.asarray(ours.moving_mean), theirs.moving_mean, atol=1e-6)
    np.testing.assert_allclose(np.asarray(ours.moving_variance), theirs.moving_variance, atol=1e-6)
    assert ours.momentum == 0.5
    assert np.abs(np.asarray(ours.moving_mean)).max() > 0.01


def test_a_model_without_narrow_rows_trains_as_stock_keras_does():
    stock = network()
    slim = kj.make_slimmable(stock, 0.25)
    x, y = images(12)
    rows = slim.width_space.full[None, None]
    for model, extra in ((slim, {"callbacks": [Given(rows)]}), (stock, {})):
        optimizer = keras.optimizers.Adam(0.01)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, **extra)
    for ours, theirs in zip(slim.network.variables, stock.variables, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=2e-5)
    assert "smallest_loss" not in history.history


EVENTS = []


@keras.saving.register_keras_serializable("test_training_sandwich")
def observed(x):
    """The identity; notes when it runs, and takes its time backwards."""

    def note(event, seconds, value):
        time.sleep(seconds)
        EVENTS.append(event)
        return value

    def run(function, values):
        # Without state, or TensorFlow would keep the order by itself.
        return tf.numpy_function(function, values, tf.float32, stateful=False)

    @tf.custom_gradient
    def identity(x):
        def gradient(upstream):
            back = run(lambda g: note("back", 0.2, g), [upstream])
            back.set_shape(upstream.shape)
            return back

        there = run(lambda v: note("there", 0.0, v), [x])
        there.set_shape(x.shape)
        return there, gradient

    return identity(x)


def test_networks_run_one_after_the_other():
    """A network begins when the one before is through: memory stays near one network's."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation=observed, name="hidden")(inputs)
    outputs = keras.layers.Dense(3, activation="softmax")(hidden)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    slim.compile("sgd", "sparse_categorical_crossentropy")
    EVENTS.clear()
    _fit(slim, np.ones((8, 4), "float32"), np.zeros(8), rows_of(slim, 2, 2))
    assert ["there", "back"] * 8 == EVENTS
