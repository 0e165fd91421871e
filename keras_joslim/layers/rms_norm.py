"""Slimmable root-mean-square normalization."""

import keras
from keras import ops

from keras_joslim.layers.layer_norm import axes_in_order
from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimRMSNormalization(SlimLayer, keras.layers.RMSNormalization):
    """`keras.layers.RMSNormalization` at run-time widths.

    The mean square is that of the active channels; `scale` is sliced.

    Args:
        axis: as in `keras.layers.RMSNormalization`, the last one among them.
        epsilon: as there.
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts of different sizes; at build, axes without the last one, or
            several whose sorted order is not that of the tensor. Channels that are never
            narrowed take any axis.
    """

    stock_class = keras.layers.RMSNormalization
    channel_axes = {"scale": {-1: "in"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)

    def build(self, input_shape):
        axes = axes_in_order(self, len(input_shape))
        if len(input_shape) - 1 not in axes and not self.in_layout.is_fixed:
            raise ValueError(
                "Slimmable RMSNormalization normalises the last axis, alone or with others. "
                f"Received: layer {self.name!r} with axis={self.axis}"
            )
        super().build(input_shape)

    def call(self, inputs, widths):
        return ops.rms_normalization(
            inputs, scale=self.active("scale", widths), axis=self.axis, epsilon=self.epsilon
        )
