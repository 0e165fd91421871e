"""Slimmable 2-D convolution."""

import math

import keras
import tensorflow as tf

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv2D(SlimLayer, keras.layers.Conv2D):
    """`keras.layers.Conv2D` at run-time widths.

    The kernel `(height, width, in, out)` is sliced on its two channel axes, the
    bias on its one. A grouped convolution runs at full width only.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv2D`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels, a narrowed grouped convolution.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimConv2D(16, 3, in_layout=ChannelLayout.fixed(3), out_layout=layout)
    >>> conv(images, np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.Conv2D
    channel_axes = {"kernel": {-2: "in", -1: "out"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        refuse_channels_first(self)
        check_size(self, self.out_layout, "out_layout", self.filters)
        if self.groups > 1 and not (self.in_layout.is_fixed and self.out_layout.is_fixed):
            raise ValueError(
                f"A grouped convolution runs at full width only. Received: layer {self.name!r} "
                f"with groups={self.groups}, out_layout={self.out_layout}"
            )

    def call(self, inputs, widths):
        kernel = self.active("kernel", widths)
        if self.groups > 1:
            outputs = self.convolution_op(inputs, kernel)
        else:
            # Not `ops.conv`: where a static channel count is unknown it takes the
            # convolution for a grouped one and compiles it with XLA at every width.
            outputs = tf.nn.convolution(
                inputs,
                kernel,
                strides=list(self.strides),
                padding=self.padding.upper(),
                dilations=list(self.dilation_rate),
            )
        return self.biased_and_activated(outputs, widths)

    def narrowed(self, widths):
        return {"filters": int(self.out_layout.width(widths))}

    def macs(self, input_shape, output_shape):
        area = math.prod(output_shape[1:-1]) * math.prod(self.kernel_size)
        return [(area / self.groups, self.in_layout, self.out_layout)]


def refuse_channels_first(layer):
    """Slimmable layers slice the last axis only."""
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError(
            f"Slimmable layers need channels last. Received: layer {layer.name!r} with "
            f"data_format={layer.data_format!r}. Build the model with "
            "`keras.config.set_image_data_format('channels_last')`."
        )
