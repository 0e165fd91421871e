"""Slimmable batch normalization."""

import keras
import tensorflow as tf
from keras import ops

from keras_joslim.layers.all_reduce import sum_over_replicas
from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimBatchNormalization(SlimLayer, keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` at run-time widths.

    All four vectors are sliced. In training the fused kernel runs on the slices,
    which is what makes a sandwich step fast; its variance is Bessel-corrected, so
    it is multiplied by (N - 1) / N before it enters the moving average. Ranks
    other than 4 and masks take the stock path. With `synchronized=True` statistics are those of
    all replicas' images; as narrow networks run in a loop, that needs a strategy of collectives
    (`MultiWorkerMirroredStrategy`).

    Args:
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.
        **kwargs: as in `keras.layers.BatchNormalization`; `axis` must be the last.

    Call arguments:
        inputs: `(batch, ..., in_layout.width(widths))`.
        widths: int32 `(groups,)`.
        training: as in the stock layer.
        batch_statistics: `True` normalises with the batch's own statistics
            whatever `training` says; `None` (default) follows `training`.
        update_statistics: whether moving statistics take in this batch; only a
            call at full width may say `True` (default).

    Raises:
        ValueError: `renorm=True`, or an axis that is not the last one.
    """

    stock_class = keras.layers.BatchNormalization
    channel_axes = {
        name: {-1: "in"} for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.renorm:
            raise ValueError(f"Batch renormalization is not slimmable. Received: {self.name!r}")
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)
        self._register_call_context_args("batch_statistics", "update_statistics")

    def build(self, input_shape):
        if self.axis not in (-1, len(input_shape) - 1):
            raise ValueError(
                "Slimmable BatchNormalization normalises the last axis. "
                f"Received: layer {self.name!r} with axis={self.axis}"
            )
        super().build(input_shape)

    def call(
        self,
        inputs,
        widths,
        training=None,
        inputs_mask=None,
        batch_statistics=None,
        update_statistics=True,
    ):
        inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        gamma = ops.cast(self.active("gamma", widths), inputs.dtype) if self.scale else None
        beta = ops.cast(self.active("beta", widths), inputs.dtype) if self.center else None
        moves = training and self.trainable and update_statistics
        if batch_statistics is None:
            use_batch = bool(training) and self.trainable
        else:
            use_batch = batch_statistics
        if not use_batch:
            mean = ops.cast(self.active("moving_mean", widths), inputs.dtype)
            variance = ops.cast(self.active("moving_variance", widths), inputs.dtype)
            outputs = self._normalized(inputs, mean, variance, beta, gamma)
        elif self._fused_fits(inputs, inputs_mask):
            outputs, mean, variance = self._fused(inputs, beta, gamma, widths)
            variance = variance * _uncorrecting(inputs) if moves else None
        else:
            if self.synchronized and inputs_mask is None:
                mean, variance = self._synchronized_moments(inputs, widths)
            else:
                mean, variance = self._moments(inputs, inputs_mask)
            outputs = self._normalized(inputs, mean, variance, beta, gamma)
        if moves:
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
        return ops.cast(outputs, self.compute_dtype)

    def _synchronized_moments(self, inputs, widths):
        """Mean and variance over the images of all replicas, by one sum over them."""
        # About the moving mean, alike on all replicas: squares lose less to a large mean.
        shift = ops.cast(self.active("moving_mean", widths), inputs.dtype)
        centred = inputs - tf.stop_gradient(shift)
        axes = list(range(len(inputs.shape) - 1))
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), inputs.dtype)
        sums = tf.stack([tf.reduce_sum(centred, axes), tf.reduce_sum(tf.square(centred), axes)])
        # Of one size whatever the width: in a loop TensorFlow takes no other.
        width, size = tf.shape(sums)[1], self.in_layout.size
        sums = tf.ensure_shape(tf.pad(sums, [[0, 0], [0, size - width]]), (2, size))
        total = sum_over_replicas(tf.concat([tf.reshape(sums, (-1,)), count[None]], 0))
        mean, square = tf.unstack(tf.reshape(total[:-1] / total[-1], (2, size))[:, :width])
        return mean + shift, tf.maximum(square - tf.square(mean), 0.0)

    def _normalized(self, inputs, mean, variance, beta, gamma):
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, self.epsilon)

    def _fused_fits(self, inputs, mask):
        # cuDNN refuses a smaller epsilon.
        return (
            mask is None
            and not self.synchronized
            and len(inputs.shape) == 4
            and inputs.dtype == tf.float32
            and self.epsilon >= 1.001e-5
        )

    def _fused(self, inputs, beta, gamma, widths):
        channels = (self.in_layout.width(widths),)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.ones(channels) if gamma is None else gamma,
            offset=tf.zeros(channels) if beta is None else beta,
            mean=tf.zeros((0,)),
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        return outputs, mean, variance

    def _move(self, statistic, batch_value):
        old = ops.cast(statistic, batch_value.dtype)
        statistic.assign(old * self.momentum + batch_value * (1.0 - self.momentum))


def _uncorrecting(inputs):
    """What turns the fused kernel's Bessel-corrected variance into the stock layer's."""
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    return tf.maximum(count - 1.0, 1.0) / count
