"""Slimmable separable convolutions."""

import math

import keras
from keras import ops

from keras_joslim.layers.conv import SlimConvolution


class _SeparableConvolution(SlimConvolution):
    channel_axes = {
        "depthwise_kernel": {-2: "in"},
        "pointwise_kernel": {-2: "middle", -1: "out"},
        "bias": {-1: "out"},
    }

    @property
    def middle_layout(self):
        """Layout of the channels between the two convolutions."""
        return self.in_layout.scaled(self.depth_multiplier)

    def call(self, inputs, widths):
        outputs = ops.separable_conv(
            inputs,
            self.active("depthwise_kernel", widths),
            self.active("pointwise_kernel", widths),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.biased_and_activated(outputs, widths)

    def macs(self, input_shape, output_shape):
        positions = math.prod(output_shape[1:-1])
        return [
            (positions * math.prod(self.kernel_size), self.middle_layout, None),
            (positions, self.middle_layout, self.out_layout),
        ]

    @property
    def _sides(self):
        return {**super()._sides, "middle": self.middle_layout}


@keras.saving.register_keras_serializable("keras_joslim")
class SlimSeparableConv1D(_SeparableConvolution, keras.layers.SeparableConv1D):
    """`keras.layers.SeparableConv1D` at run-time widths.

    A depthwise convolution on the input's channels, then one of one step to the
    output's; the channels between them follow the input's.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.SeparableConv1D`; so are all further
            arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, steps, in_layout.width(widths))`.
    Output shape: `(batch, new steps, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimSeparableConv1D(16, 3, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 6, 10])
    """

    stock_class = keras.layers.SeparableConv1D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimSeparableConv2D(_SeparableConvolution, keras.layers.SeparableConv2D):
    """`keras.layers.SeparableConv2D` at run-time widths.

    A depthwise convolution on the input's channels, then a 1x1 convolution to
    the output's; the channels between them follow the input's.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.SeparableConv2D`; so are all further
            arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimSeparableConv2D(16, 3, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 6, 6, 10])
    """

    stock_class = keras.layers.SeparableConv2D
