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
    """Zero channels after the last one, as many as the wider group has more.

    The shortcut of He et al. (2016), option A: the output group is never
    narrower than the input's.

    Args:
        pad_width: `((before, after), ...)`, one pair an axis, at full width; the
            channel axis has `before=0`.
        in_layout: layout of the input channels, one plain group.
        out_layout: layout of the padded channels, one plain group.

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
        more = self.out_layout.width(widths) - self.in_layout.width(widths)
        pads = [list(pair) for pair in self.pad_width]
        pads[-1][1] = more
        return tf.pad(inputs, pads, constant_values=constant_values or 0)

    def get_config(self):
        return {**super().get_config(), "pad_width": self.pad_width}

    def stock(self, widths):
        """The stock pad as a function of a Keras tensor."""
        more = int(self.out_layout.width(widths) - self.in_layout.width(widths))
        pads = (*self.pad_width[:-1], (0, more))
        if not any(map(any, pads)):
            return lambda inputs, constant_values=None: inputs
        return Pad(pads, name=self.name)
