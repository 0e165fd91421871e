"""Slimmable convolutions, and what every layer with a convolution kernel does alike."""

import math

import keras
import tensorflow as tf

from keras_joslim.layers.slim_layer import SlimLayer, check_size


class SlimConvolution(SlimLayer):
    """Mixin of a stock layer with `filters`: slice the kernel, convolve, add the bias.

    A subclass says in `convolved(inputs, kernel)` how its kernel is applied, and in
    `macs` what that costs.
    """

    channel_axes = {"kernel": {-2: "in", -1: "out"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        refuse_channels_first(self)
        check_size(self, self.out_layout, "out_layout", self.filters)

    def call(self, inputs, widths):
        outputs = self.convolved(inputs, self.active("kernel", widths))
        return self.biased_and_activated(outputs, widths)

    def narrowed(self, widths):
        return {"filters": int(self.out_layout.width(widths))}


class _UngroupedConvolution(SlimConvolution):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.groups > 1:
            name = f"SlimGroupedConv{self.rank}D"
            raise ValueError(
                f"{type(self).__name__} has one convolution group: use {name} for more. "
                f"Received: layer {self.name!r} with groups={self.groups}"
            )

    def convolved(self, inputs, kernel):
        inputs, padding = padded_causally(self, inputs)
        # Not `ops.conv`: where a static channel count is unknown it takes the
        # convolution for a grouped one and compiles it with XLA at every width.
        return tf.nn.convolution(inputs, kernel, **geometry(self, padding))

    def macs(self, input_shape, output_shape):
        area = math.prod(output_shape[1:-1]) * math.prod(self.kernel_size)
        return [(area, self.in_layout, self.out_layout)]


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv1D(_UngroupedConvolution, keras.layers.Conv1D):
    """`keras.layers.Conv1D` at run-time widths.

    The kernel `(steps, in, out)` is sliced on its two channel axes, the bias on
    its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv1D`; so are all further arguments,
            `padding="causal"` too.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, steps, in_layout.width(widths))`.
    Output shape: `(batch, new steps, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels, `groups` above 1.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimConv1D(16, 3, in_layout=ChannelLayout.fixed(2), out_layout=layout)
    >>> conv(series, np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.Conv1D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv2D(_UngroupedConvolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D` at run-time widths.

    The kernel `(height, width, in, out)` is sliced on its two channel axes, the
    bias on its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv2D`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels, `groups` above 1.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimConv2D(16, 3, in_layout=ChannelLayout.fixed(3), out_layout=layout)
    >>> conv(images, np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.Conv2D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv3D(_UngroupedConvolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` at run-time widths.

    The kernel `(depth, height, width, in, out)` is sliced on its two channel
    axes, the bias on its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv3D`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, depth, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new depth, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels, `groups` above 1.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> conv = SlimConv3D(16, 3, in_layout=ChannelLayout.fixed(1), out_layout=layout)
    >>> conv(volumes, np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.Conv3D


def padded_causally(layer, inputs):
    """The input of a convolution, and the padding that is still to be done to it.

    A causal convolution sees no later step: all its zeros stand before the first one.
    """
    if layer.padding != "causal":
        return inputs, layer.padding
    zeros = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
    return tf.pad(inputs, [[0, 0], [zeros, 0], [0, 0]]), "valid"


def geometry(layer, padding):
    """How the kernel moves, as TensorFlow's convolutions take it."""
    return {
        "strides": list(layer.strides),
        "padding": padding.upper(),
        # Left out, it breaks the eager gradient of a 3-D convolution.
        "data_format": {1: "NWC", 2: "NHWC", 3: "NDHWC"}[layer.rank],
        "dilations": list(layer.dilation_rate),
    }


def refuse_channels_first(layer):
    """Slimmable layers slice the last axis only."""
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError(
            f"Slimmable layers need channels last. Received: layer {layer.name!r} with "
            f"data_format={layer.data_format!r}. Build the model with "
            "`keras.config.set_image_data_format('channels_last')`, and its layers without "
            "`data_format='channels_first'`."
        )
