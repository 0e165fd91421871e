"""Slimmable reshape, and the channel zero-pad of a shortcut."""

import keras
import tensorflow as tf
from keras import ops
from keras.src.ops.numpy import Pad

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimReshape(SlimLayer, keras.layers.Reshape):
    """`keras.layers.Reshape` whose last axis stays the channel axis, at run-time widths.

    Args:
        target_shape: shape of one example at full width; its last entry is the
            number of channels.
        in_layout: `ChannelLayout` of the input's last axis.
        out_layout: `ChannelLayout` of the output's last axis.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: `(batch, *target_shape[:-1], out_layout.width(widths))`.

    Raises:
        ValueError: an `out_layout` that is not as long as the target's last axis.
    """

    stock_class = keras.layers.Reshape

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.target_shape[-1] != -1:
            check_size(self, self.out_layout, "out_layout", self.target_shape[-1])

    def compute_output_spec(self, inputs, widths):
        # The stock layer's takes no second argument.
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def call(self, inputs, widths):
        shape = (ops.shape(inputs)[0], *self.target_shape[:-1], self.out_layout.width(widths))
        return ops.reshape(inputs, shape)

    def narrowed(self, widths):
        return {"target_shape": (*self.target_shape[:-1], int(self.out_layout.width(widths)))}


@keras.saving.register_keras_serializable("keras_joslim")
class SlimChannelPad(SlimLayer, keras.layers.Layer):
    """Zero channels after the last one, before the first one, or both.

    The shortcut of He et al. (2016), option A. Zeros after the channels of one group make
    them as many as a wider group has, which is never narrower; all other zeros are
    channels of groups of their own.

    Args:
        pad_width: `((before, after), ...)`, one pair an axis, at full width.
        in_layout: layout of the input channels.
        out_layout: layout of the padded channels.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: padded, with `out_layout.width(widths)` channels; filled with the
    call argument `constant_values`, zero by default.
    """

    def __init__(self, pad_width, **kwargs):
        super().__init__(**kwargs)
        self.pad_width = tuple((int(a), int(b)) for a, b in pad_width)

    def build(self, input_shape):
        pass

    def compute_output_shape(self, input_shape):
        full = (*input_shape[:-1], self.in_layout.size)
        return tuple(
            None if n is None else n + sum(p) for n, p in zip(full, self.pad_width, strict=True)
        )

    def call(self, inputs, widths, constant_values=None):
        pads = [*self.pad_width[:-1], self._added(widths)]
        return tf.pad(inputs, pads, constant_values=constant_values or 0)

    def get_config(self):
        return {**super().get_config(), "pad_width": self.pad_width}

    def stock(self, widths):
        """The stock pad as a function of a Keras tensor."""
        pads = (*self.pad_width[:-1], tuple(map(int, self._added(widths))))
        if not any(map(any, pads)):
            return lambda inputs, constant_values=None: inputs
        return Pad(pads, name=self.name)

    def _added(self, widths):
        """Channels before the first and after the last one."""
        more = self.out_layout.width(widths) - self.in_layout.width(widths)
        first = self.pad_width[-1][0]
        before = self.out_layout.between(0, first).width(widths) if first else 0
        return before, more - before
