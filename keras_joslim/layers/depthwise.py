"""Slimmable depthwise convolutions."""

import math

import keras
from keras import ops

from keras_joslim.layers.conv import refuse_channels_first
from keras_joslim.layers.slim_layer import SlimLayer, check_size


class _DepthwiseConvolution(SlimLayer):
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


@keras.saving.register_keras_serializable("keras_joslim")
class SlimDepthwiseConv1D(_DepthwiseConvolution, keras.layers.DepthwiseConv1D):
    """`keras.layers.DepthwiseConv1D` at run-time widths.

    The kernel `(steps, in, depth_multiplier)` is sliced on its input axis; output
    channels follow their input channel.

    Args:
        kernel_size: as in `keras.layers.DepthwiseConv1D`; so are all further
            arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `in_layout.scaled(depth_multiplier)`.

    Input shape: `(batch, steps, in_layout.width(widths))`.
    Output shape: `(batch, new steps, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, layouts that do not fit each other.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimDepthwiseConv1D(3, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 6, 10])
    """

    stock_class = keras.layers.DepthwiseConv1D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimDepthwiseConv2D(_DepthwiseConvolution, keras.layers.DepthwiseConv2D):
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

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimDepthwiseConv2D(3, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 6, 6, 10])
    """

    stock_class = keras.layers.DepthwiseConv2D
