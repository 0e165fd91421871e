"""The passes of a sandwich step over all its networks, and coupled weight decay."""

import contextlib
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops

from keras_joslim.layers import SlimLayer


class Passes(NamedTuple):
    """What the passes of one batch over all networks of a step give.

    Attributes:
        gradients: one tensor a trainable weight, summed over the networks; of the scaled loss.
        loss: the full network's, with what regularisers add to it.
        task_losses: `(networks,)`, without that; NaN where they are not known, see `passes`.
        bad_row: int32, the row of the first network whose loss was not finite; -1: none.
    """

    gradients: list
    loss: tf.Tensor
    task_losses: tf.Tensor
    bad_row: tf.Tensor


def passes(model, x, y, sample_weight, networks, keep, update_statistics=True):
    """Runs a batch forwards and backwards through the full network, then the narrow ones.

    The compiled metrics take in the full network's outputs.

    Args:
        model: the compiled `SlimmableModel`.
        x, y, sample_weight: the batch.
        networks: int32 `(networks, groups)`, the full network first.
        keep: bool tensor: whether the task losses of all are wanted, not only of the ends.
        update_statistics: whether moving statistics take in this batch.

    Returns:
        `Passes`.
    """
    weights = model.trainable_weights
    held = contextlib.nullcontext() if update_statistics else _statistics_held(model)
    with tf.GradientTape() as tape, held:
        # Widths known while tracing: the full network is built without slices.
        full = tf.constant(model.width_space.full)
        y_full = model.network([x, full], training=True, update_statistics=update_statistics)
        loss = model._compute_loss(x, y, y_full, sample_weight, training=True)
        scaled = model.optimizer.scale_loss(loss)
    gradients = dense(tape.gradient(scaled, weights), weights)
    # Regularisers and losses that layers add have been counted.
    model.network._clear_losses()
    losses = model._output_losses()
    targets = keras.tree.map_structure(ops.stop_gradient, y_full)
    gradients, task_losses, bad_row = _narrow_passes(
        model, losses, x, y, sample_weight, targets, networks, gradients, keep
    )
    full_task = unscaled(losses.task(y, targets, sample_weight))
    model.compute_metrics(x, y, y_full, sample_weight=sample_weight)
    loss = unscaled(loss)
    return Passes(
        gradients,
        loss,
        tf.tensor_scatter_nd_update(task_losses, [[0]], [full_task]),
        tf.where(tf.math.is_finite(loss), bad_row, 0),
    )


def _narrow_passes(model, losses, x, y, sample_weight, targets, networks, gradients, keep):
    """Adds the distillation gradients of all but the first network, one after the other.

    A loop, not an unrolled graph: memory stays near one network's, and the number of
    networks can change without a new trace.

    Args:
        model: the compiled `SlimmableModel`.
        losses: its `LossesPerOutput`.
        x, y, sample_weight: the batch.
        targets: the full network's detached outputs.
        networks: int32 `(networks, groups)`, the full network first.
        gradients: one tensor a trainable weight, the full network's.
        keep: bool tensor: whether the task losses of all are wanted.

    Returns:
        The summed gradients; task losses `(networks,)`, NaN for the full network, and for all
        but the last one where they are not wanted; the row of the first network whose loss
        was not finite, -1 if all were.
    """
    weights = model.trainable_weights
    count = tf.shape(networks)[0]
    unknown = tf.constant(float("nan"), losses.dtype)

    def body(i, total, task_losses, bad_row):
        with tf.GradientTape() as tape, _statistics_held(model):
            y_pred = model.network([x, networks[i]], training=True, update_statistics=False)
            loss = losses.soft(y, y_pred, targets, sample_weight)
            scaled = model.optimizer.scale_loss(loss)
        more = dense(tape.gradient(scaled, weights), weights)
        total = [a + b for a, b in zip(total, more)]
        # Losses that layers add in this pass belong to the full network's alone.
        model.network._clear_losses()
        task_loss = tf.cond(
            keep | (i == count - 1),
            lambda: unscaled(losses.task(y, y_pred, sample_weight)),
            lambda: unknown,
        )
        task_losses = tf.tensor_scatter_nd_update(task_losses, [[i]], [task_loss])
        good = tf.math.is_finite(loss) | (bad_row >= 0)
        return i + 1, total, task_losses, tf.where(good, bad_row, i)

    # Without this the first narrow network runs forwards while the full one runs
    # backwards, and both networks' activations are in memory.
    with tf.control_dependencies(gradients):
        first = tf.identity(1)
    _, gradients, task_losses, bad_row = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (first, gradients, tf.fill([count], unknown), tf.constant(-1)),
        parallel_iterations=1,
    )
    return gradients, task_losses, bad_row


@contextlib.contextmanager
def _statistics_held(model):
    """No moving statistics of stock layers move either.

    A layer without a handler may hold a stock BatchNormalization, which knows nothing of
    `update_statistics`: with momentum 1 it keeps what it has.
    """
    norms = {
        layer: layer.momentum
        for layer in model.network._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and not isinstance(layer, SlimLayer)
    }
    try:
        for norm in norms:
            norm.momentum = 1.0
        yield
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum


def decayed(model, gradients):
    """Gradients with coupled weight decay: `gradient += weight_decay * weight`.

    Kernels of convolutions and dense layers decay; BatchNormalization, biases and
    depthwise kernels do not.

    Args:
        model: the compiled `SlimmableModel`; its `weight_decay` is the rate.
        gradients: one tensor a trainable weight.
    """
    if not model.weight_decay:
        return gradients
    kernels = _decayed_kernels(model)
    # Replicas' gradients are summed, and a scaled loss scales the decay with it.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    rate = model.optimizer.scale_loss(tf.constant(model.weight_decay / replicas))
    return [
        g + tf.cast(rate, g.dtype) * tf.cast(w.value, g.dtype) if id(w) in kernels else g
        for g, w in zip(gradients, model.trainable_weights)
    ]


def _decayed_kernels(model):
    return {
        id(variable)
        for layer in model.network._flatten_layers(include_self=False)
        if not _is_depthwise(layer)
        for variable in layer._trainable_variables
        if variable.name in ("kernel", "pointwise_kernel")
    }


def _is_depthwise(layer):
    """A depthwise convolution, also one written as a convolution of as many groups as channels."""
    if isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        return True
    kernel = getattr(layer, "kernel", None)
    return kernel is not None and getattr(layer, "groups", 1) > 1 and kernel.shape[-2] == 1


def dense(gradients, weights):
    """Gradients as plain tensors; zeros for a weight that a pass did not touch."""
    return [
        # A slice's gradient is as large as the weight, which shape inference may not see.
        tf.zeros(w.shape, w.dtype) if g is None else tf.ensure_shape(g, w.shape)
        for g, w in zip(gradients, weights)
    ]


def unscaled(loss):
    """A loss as one replica alone would have it."""
    return loss * tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)
