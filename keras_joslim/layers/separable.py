"""Slimmable 2-D separable convolution."""

import math

import keras
from keras import ops

from keras_joslim.layers.conv import refuse_channels_first
from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimSeparableConv2D(SlimLayer, keras.layers.SeparableConv2D):
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
    """

    stock_class = keras.layers.SeparableConv2D
    channel_axes = {
        "depthwise_kernel": {-2: "in"},
        "pointwise_kernel": {-2: "middle", -1: "out"},
        "bias": {-1: "out"},
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        refuse_channels_first(self)
        check_size(self, self.out_layout, "out_layout", self.filters)

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

    def narrowed(self, widths):
        return {"filters": int(self.out_layout.width(widths))}

    def macs(self, input_shape, output_shape):
        pixels = math.prod(output_shape[1:-1])
        return [
            (pixels * math.prod(self.kernel_size), self.middle_layout, None),
            (pixels, self.middle_layout, self.out_layout),
        ]

    @property
    def _sides(self):
        return {**super()._sides, "middle": self.middle_layout}
