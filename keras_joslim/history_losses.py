"""Losses of many sub-networks on one batch, in one compiled loop."""

import keras
import numpy as np
import tensorflow as tf

from keras_joslim import sandwich


class HistoryLosses:
    """Task losses at many widths, BatchNormalization on the batch's statistics.

    Args:
        network: the slimmable network, called with `[inputs, widths]`.
        losses: the `LossesPerOutput` of the compiled model.
        workers: the model's `OneWorker` or `Workers`. Several share out the networks, each on the
            whole batch, and all get the losses of all; all must call at the same point.

    Call arguments:
        widths: int `(n, groups)`, legal.
        x, y, sample_weight: a batch, as tensors.

    Returns of a call: float64 numpy `(n,)`.
    """

    def __init__(self, network, losses, workers):
        self._network = network
        self._losses = losses
        self._workers = workers
        self._function = tf.function(self._trace, autograph=False)

    def __call__(self, widths, x, y, sample_weight=None):
        index, count = self._workers.index, self._workers.count
        own = (
            self._measured(widths[index::count], x, y, sample_weight) if len(widths) > index else []
        )
        losses = np.zeros(len(widths))
        for part, measured in enumerate(self._workers.gather(own)):
            losses[part::count] = measured
        return losses

    def _measured(self, widths, x, y, sample_weight):
        data = (x, y, sample_weight)
        # The number of networks is left open, so that a growing history is traced once.
        spec = tf.TensorSpec((None, widths.shape[-1]), tf.int32)
        specs = keras.tree.map_structure(
            lambda v: None if v is None else tf.TensorSpec.from_tensor(v), data
        )
        function = self._function.get_concrete_function(spec, *specs)
        flat = [v for v in keras.tree.flatten(data) if v is not None]
        return function(tf.constant(widths), *flat).numpy().astype(np.float64).tolist()

    def _trace(self, widths, x, y, sample_weight):
        def one(vector):
            y_pred = self._network([x, vector], training=False, batch_statistics=True)
            # Keras divides a loss among the replicas wherever a strategy is in scope.
            loss = sandwich.unscaled(self._losses.task(y, y_pred, sample_weight))
            return tf.cast(loss, tf.float32)

        return tf.map_fn(one, widths, fn_output_signature=tf.float32, parallel_iterations=1)
