"""Mixed precision: the sandwich step under float16 with a scaled loss, and under bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from tests.sandwich_recursion import Given, images, network, rows_of, trainable

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def _trained(weights, rows, optimizer, decay=0.0, eager=True, loss_weights=None):
    """The model under the policy of the moment, from given weights."""
    slim = kj.make_slimmable(network(), 0.25)
    for variable, value in zip(slim.network.variables, weights, strict=True):
        variable.assign(value)
    x, y = images(16)
    slim.compile(optimizer, LOSS, loss_weights, weight_decay=decay, run_eagerly=eager)
    slim.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[Given(rows)])
    return slim


def _start():
    """float32 weights and the rows that go with them."""
    slim = kj.make_slimmable(network(), 0.25)
    return [np.asarray(v) for v in slim.network.variables], rows_of(slim, 2, 1)


def test_steps_are_those_of_float32_to_the_precision_of_the_type(policy):
    keras.config.set_dtype_policy("float32")
    weights, rows = _start()
    expected = _trained(weights, rows, keras.optimizers.SGD(0.2, momentum=0.9), 0.01)
    keras.config.set_dtype_policy(policy)
    slim = _trained(weights, rows, keras.optimizers.SGD(0.2, momentum=0.9), 0.01, eager=False)
    assert slim.network.get_layer("expand").compute_dtype == policy.removeprefix("mixed_")
    assert slim.network.get_layer("expand").kernel.dtype == "float32"
    if policy == "mixed_float16":
        assert isinstance(slim.optimizer, keras.optimizers.LossScaleOptimizer)
    tolerance = 0.002 if policy == "mixed_float16" else 0.02
    for key, variable in trainable(slim).items():
        start = weights[[v.path for v in expected.network.variables].index(variable.path)]
        moved = np.asarray(variable) - start
        wanted = np.asarray(trainable(expected)[key]) - start
        np.testing.assert_allclose(moved, wanted, atol=tolerance, err_msg=str(key))
        # A tenth of the step or less: no factor of the loss scale has got into it.
        assert np.linalg.norm(moved - wanted) < 0.15 * np.linalg.norm(wanted) + 1e-4, key


@pytest.mark.parametrize("scale", [2.0, 1024.0])
def test_decay_is_unscaled_with_the_gradient(scale):
    """In float32, where the loss scale must change nothing at all."""
    weights, rows = _start()
    plain = _trained(weights, rows, keras.optimizers.SGD(0.2, momentum=0.9), 0.1)
    inner = keras.optimizers.SGD(0.2, momentum=0.9)
    scaling = keras.optimizers.LossScaleOptimizer(inner, initial_scale=scale)
    scaled = _trained(weights, rows, scaling, 0.1)
    assert int(scaled.optimizer.iterations) == 2
    for key, variable in trainable(scaled).items():
        expected = np.asarray(trainable(plain)[key])
        np.testing.assert_allclose(np.asarray(variable), expected, atol=2e-6, err_msg=str(key))


def test_an_overflowing_gradient_is_skipped_and_the_widths_are_drawn_for_the_step_again():
    weights, rows = _start()
    inner = keras.optimizers.SGD(0.2)
    scaling = keras.optimizers.LossScaleOptimizer(inner, initial_scale=3e38)
    slim = _trained(weights, rows, scaling, loss_weights=100.0)
    # Two batches, both skipped: nothing has changed but the scale and the statistics.
    assert int(slim.optimizer.iterations) == 0
    assert float(slim.optimizer.dynamic_scale) == pytest.approx(3e38 / 4)
    np.testing.assert_array_equal(slim.training_widths[0], rows[0])
    start = dict(zip([v.path for v in slim.network.variables], weights, strict=True))
    for variable in slim.network.trainable_variables:
        np.testing.assert_array_equal(np.asarray(variable), start[variable.path])


@tf.custom_gradient
def _without_gradient(outputs):
    return tf.identity(outputs), lambda upstream: upstream * float("nan")


def _poisoned(y, outputs):
    return keras.losses.mean_squared_error(y, _without_gradient(outputs))


def test_gradients_that_are_never_finite_end_the_run_by_name():
    """Losses are finite, so nothing else would: every step is skipped."""
    slim = kj.make_slimmable(network(activation="linear"), 0.25)
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.2), initial_scale=2.0**-21)
    slim.compile(scaling, _poisoned, distillation=_poisoned, run_eagerly=True)
    x, _ = images(24)
    with pytest.raises(ArithmeticError, match="not finite at any scale.* at step 0 ") as caught:
        slim.fit(x, np.ones((24, 3)), batch_size=4, verbose=0)
    assert not isinstance(caught.value, kj.NonFiniteLossError)
    assert float(scaling.dynamic_scale) == 2.0**-25
