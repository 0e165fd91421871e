"""Slimmable normalization by the statistics of a data set."""

import keras
import numpy as np
from keras import ops

from keras_joslim.channel_slicing import slice_axes
from keras_joslim.layers.data_layer import SlimDataLayer


@keras.saving.register_keras_serializable("keras_joslim")
class SlimNormalization(SlimDataLayer, keras.layers.Normalization):
    """`keras.layers.Normalization` at run-time widths.

    Mean and variance are sliced, be they weights that `adapt` learned or constants
    given to the constructor.

    Args:
        axis: the last axis, or `None` for one mean and variance over all.
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.
        **kwargs: as in `keras.layers.Normalization`.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts of different sizes; at build, an axis that is not the last one.
            Channels that are never narrowed take any axis.
    """

    stock_class = keras.layers.Normalization
    channel_axes = {"mean": {-1: "in"}, "variance": {-1: "in"}}

    def build(self, input_shape):
        if not self.in_layout.is_fixed and self.axis not in ((), (-1,), (len(input_shape) - 1,)):
            raise ValueError(
                "Slimmable Normalization keeps the last axis or none. "
                f"Received: layer {self.name!r} with axis={self.axis}"
            )
        super().build(input_shape)

    def call(self, inputs, widths):
        inputs = ops.cast(inputs, self.compute_dtype)
        mean, variance = self._statistics(widths)
        deviation = ops.maximum(ops.sqrt(variance), keras.config.epsilon())
        if self.invert:
            return ops.add(mean, ops.multiply(inputs, deviation))
        return ops.divide(ops.subtract(inputs, mean), deviation)

    def narrowed(self, widths):
        if self.input_mean is None:
            return {}
        constants = {"mean": self.input_mean, "variance": self.input_variance}
        return {name: self._narrow(value, widths) for name, value in constants.items()}

    def _statistics(self, widths):
        if self.input_mean is None:
            # Not `self.mean`, a copy that is out of date once weights have been assigned.
            weights = [self.adapt_mean, self.adapt_variance]
            pair = [ops.reshape(w, self._broadcast_shape) for w in weights]
        else:
            pair = [self.mean, self.variance]
        layouts = {-1: self.in_layout} if self.axis else {}
        return [ops.cast(slice_axes(v, layouts, widths), self.compute_dtype) for v in pair]

    def _narrow(self, value, widths):
        array = np.asarray(value)
        # A scalar, or a list of one value, goes for all channels.
        if self.in_layout.is_fixed or array.size == 1:
            return array.tolist()
        return array[self.in_layout.indices(widths)].tolist()

    def _axes(self, name):
        return super()._axes(name) if self.axis else []
