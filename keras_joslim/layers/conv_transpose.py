"""Slimmable transposed convolutions."""

import math

import keras
import tensorflow as tf

from keras_joslim.layers.conv import SlimConvolution, geometry


class _TransposedConvolution(SlimConvolution):
    channel_axes = {"kernel": {-2: "out", -1: "in"}, "bias": {-1: "out"}}

    def convolved(self, inputs, kernel):
        # Not `ops.conv_transpose`: it reads the number of filters off the kernel's static
        # shape, where a sliced kernel has none.
        dynamic = tf.shape(inputs)
        known = [dynamic[i] if n is None else n for i, n in enumerate(inputs.shape)]
        shape = (*self.compute_output_shape(known)[:-1], tf.shape(kernel)[-2])
        return tf.nn.conv_transpose(inputs, kernel, shape, **geometry(self, self.padding))

    def macs(self, input_shape, output_shape):
        # Each input position is multiplied into one whole kernel.
        area = math.prod(input_shape[1:-1]) * math.prod(self.kernel_size)
        return [(area, self.in_layout, self.out_layout)]


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv1DTranspose(_TransposedConvolution, keras.layers.Conv1DTranspose):
    """`keras.layers.Conv1DTranspose` at run-time widths.

    The kernel `(steps, out, in)` is sliced on its two channel axes, the bias on
    its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv1DTranspose`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, steps, in_layout.width(widths))`.
    Output shape: `(batch, new steps, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> up = SlimConv1DTranspose(16, 2, 2, in_layout=layout, out_layout=layout)
    >>> up(np.ones((1, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 16, 10])
    """

    stock_class = keras.layers.Conv1DTranspose


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv2DTranspose(_TransposedConvolution, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` at run-time widths.

    The kernel `(height, width, out, in)` is sliced on its two channel axes, the
    bias on its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv2DTranspose`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> up = SlimConv2DTranspose(16, 2, 2, in_layout=layout, out_layout=layout)
    >>> up(np.ones((1, 8, 8, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 16, 16, 10])
    """

    stock_class = keras.layers.Conv2DTranspose


@keras.saving.register_keras_serializable("keras_joslim")
class SlimConv3DTranspose(_TransposedConvolution, keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose` at run-time widths.

    The kernel `(depth, height, width, out, in)` is sliced on its two channel
    axes, the bias on its one.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv3DTranspose`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, depth, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new depth, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, an `out_layout` that does not
            have `filters` channels.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> up = SlimConv3DTranspose(16, 2, 2, in_layout=layout, out_layout=layout)
    >>> up(np.ones((1, 4, 4, 4, 10), "float32"), np.array([10], "int32")).shape
    TensorShape([1, 8, 8, 8, 10])
    """

    stock_class = keras.layers.Conv3DTranspose
