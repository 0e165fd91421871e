"""Slimmable rescaling by constants, one a channel."""

import keras
import numpy as np
from keras import ops

from keras_joslim.channel_slicing import slice_axes
from keras_joslim.layers.data_layer import SlimDataLayer


@keras.saving.register_keras_serializable("keras_joslim")
class SlimRescaling(SlimDataLayer, keras.layers.Rescaling):
    """`keras.layers.Rescaling` at run-time widths.

    A scale or an offset with one value a channel is sliced.

    Args:
        scale: number, or numbers whose last axis has one entry or one a channel.
        offset: the same.
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts of different sizes.
    """

    stock_class = keras.layers.Rescaling

    def call(self, inputs, widths):
        scale, offset = self._active(self.scale, widths), self._active(self.offset, widths)
        return ops.cast(inputs, self.compute_dtype) * scale + offset

    def narrowed(self, widths):
        constants = {"scale": self.scale, "offset": self.offset}
        narrow = {name: self._narrow(value, widths) for name, value in constants.items()}
        return {name: keras.saving.serialize_keras_object(v) for name, v in narrow.items()}

    def _active(self, constant, widths):
        layouts = {-1: self.in_layout} if self._is_per_channel(constant) else {}
        return slice_axes(ops.cast(constant, self.compute_dtype), layouts, widths)

    def _narrow(self, constant, widths):
        if not self._is_per_channel(constant):
            return constant
        taken = np.take(constant, self.in_layout.indices(widths), -1)
        # The dtype of an array says how it is rounded; that of a list is the default one.
        return taken if isinstance(constant, np.ndarray) else taken.tolist()

    def _is_per_channel(self, constant):
        return np.ndim(constant) > 0 and np.shape(constant)[-1] == self.in_layout.size
