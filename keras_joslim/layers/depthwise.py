"""Slimmable 2-D depthwise convolution."""

import math

import keras
from keras import ops

from keras_joslim.layers.conv import refuse_channels_first
from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimDepthwiseConv2D(SlimLayer, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` at run-time widths.

    The kernel `(height, width, in, depth_multiplier)` is sliced on its input
    axis; output channels follow their input channel.

    Args:
        kernel_size: as in `keras.layers.DepthwiseConv2D`; so are all further
            arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `in_layout.scaled(depth_multiplier)`.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, layouts that do not fit each other.
    """

    stock_class = keras.layers.DepthwiseConv2D
    channel_axes = {"kernel": {-2: "in"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        refuse_channels_first(self)
        channels = self.in_layout.size * self.depth_multiplier
        check_size(self, self.out_layout, "out_layout", channels)

    def call(self, inputs, widths):
        outputs = ops.depthwise_conv(
            inputs,
            self.active("kernel", widths),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.biased_and_activated(outputs, widths)

    def macs(self, input_shape, output_shape):
        area = math.prod(output_shape[1:-1]) * math.prod(self.kernel_size)
        return [(area, self.out_layout, None)]
