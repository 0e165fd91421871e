"""Slimmable grouped convolutions: every convolution group keeps the first channels of its part.

TensorFlow differentiates a grouped convolution on some processors only, and Keras
compiles one with XLA, which at run-time widths means anew for every width. So it is
taken apart here into operations that run anywhere.
"""

import itertools
import math

import keras
import tensorflow as tf
from keras import ops

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.layers.conv import SlimConvolution, geometry, padded_causally

# One convolution over several convolution groups, zeros and all, is faster than one for
# each as long as it has no more input channels than this: measured on CPU.
MERGED_CHANNELS = 16


class _GroupedConvolution(SlimConvolution):
    channel_axes = {"kernel": {-2: "part", -1: "out"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.groups == 1:
            raise ValueError(
                f"{type(self).__name__} has two convolution groups or more: use "
                f"SlimConv{self.rank}D for one. "
                f"Received: layer {self.name!r} with groups={self.groups}"
            )
        # Whether every input channel is a convolution group of its own.
        self._is_depthwise = self.in_layout.size == self.groups
        if self._is_depthwise:
            self._check_channels_pass()
            self._part = ChannelLayout.fixed(1)
        else:
            self._part = _part_of(self, "in_layout")
            _part_of(self, "out_layout")

    def convolved(self, inputs, kernel):
        inputs, padding = padded_causally(self, inputs)
        if not self._is_depthwise:
            return self._convolved_in_parts(inputs, kernel, padding)
        kernel = tf.reshape(kernel, (*self.kernel_size, -1, self.filters // self.groups))
        # TensorFlow's depthwise convolution has two axes and one stride.
        if self.rank == 3 or len(set(self.strides)) > 1:
            return self._summed_over_kernel(inputs, kernel, padding)
        return ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def narrowed(self, widths):
        changed = super().narrowed(widths)
        if self._is_depthwise:
            changed["groups"] = int(self.in_layout.width(widths))
        return changed

    def macs(self, input_shape, output_shape):
        area = math.prod(output_shape[1:-1]) * math.prod(self.kernel_size)
        return [(area, self._part, self.out_layout)]

    @property
    def _sides(self):
        return {**super()._sides, "part": self._part}

    def _check_channels_pass(self):
        passed = self.in_layout.scaled(self.filters // self.groups)
        # Cut out whole, equal layouts are spelled alike.
        if self.out_layout.between(0, passed.size) != passed.between(0, passed.size):
            raise ValueError(
                "With one input channel a convolution group, output channels follow their "
                f"input channel: expected out_layout={passed}. Received: layer {self.name!r} "
                f"with groups={self.groups}, filters={self.filters}, "
                f"in_layout={self.in_layout}, out_layout={self.out_layout}"
            )

    def _convolved_in_parts(self, inputs, kernel, padding):
        """One convolution for each convolution group, or for several that are narrow."""
        fitting = [n for n in range(1, self.groups + 1) if n * self._part.size <= MERGED_CHANNELS]
        merged = max((n for n in fitting if self.groups % n == 0), default=1)
        count = self.groups // merged
        if merged > 1:
            # Block-diagonal kernels: every output channel sees its own group's inputs only.
            channels = tf.shape(kernel)[-2]
            kernel = tf.reshape(kernel, (*self.kernel_size, 1, channels, count, merged, -1))
            kernel *= tf.eye(merged, dtype=kernel.dtype)[:, None, None, :, None]
            kernel = tf.reshape(kernel, (*self.kernel_size, merged * channels, -1))
        parts = zip(tf.split(inputs, count, -1), tf.split(kernel, count, -1), strict=True)
        move = geometry(self, padding)
        return tf.concat([tf.nn.convolution(*part, **move) for part in parts], -1)

    def _summed_over_kernel(self, inputs, kernel, padding):
        """A depthwise convolution of any rank and strides: a sum over the kernel's positions."""
        dynamic = tf.shape(inputs)
        sizes = [dynamic[i] if n is None else n for i, n in enumerate(inputs.shape)][1:-1]
        axes = zip(sizes, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        pads, counts = [], []
        for size, length, stride, dilation in axes:
            reach = (length - 1) * dilation + 1
            # TensorFlow's rule for "same": the odd zero stands at the end.
            missing = (size - 1) // stride * stride + reach - size
            zeros = tf.maximum(missing, 0) if padding == "same" else 0
            pads.append((zeros // 2, zeros - zeros // 2))
            counts.append((size + zeros - reach) // stride + 1)
        inputs = tf.pad(inputs, [(0, 0), *pads, (0, 0)])[..., None]
        outputs = 0.0
        for position in itertools.product(*map(range, self.kernel_size)):
            seen = [slice(None)]
            for at, count, stride, dilation in zip(
                position, counts, self.strides, self.dilation_rate, strict=True
            ):
                start = at * dilation
                seen.append(slice(start, start + (count - 1) * stride + 1, stride))
            outputs += inputs[tuple(seen)] * kernel[position]
        return tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-2], [-1]], 0))


@keras.saving.register_keras_serializable("keras_joslim")
class SlimGroupedConv1D(_GroupedConvolution, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with `groups` above 1, at run-time widths.

    As `SlimGroupedConv2D`, along one axis; the kernel is
    `(steps, in / groups, filters)`.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv1D`; so are all further arguments,
            `padding="causal"` too.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, steps, in_layout.width(widths))`.
    Output shape: `(batch, new steps, out_layout.width(widths))`.

    Raises:
        ValueError: as `SlimGroupedConv2D`.

    Example:

    >>> layout = ChannelLayout.of_group(0, 4).repeated(8)
    >>> conv = SlimGroupedConv1D(32, 3, groups=8, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 24), "float32"), np.array([3], "int32")).shape
    TensorShape([1, 6, 24])
    """

    stock_class = keras.layers.Conv1D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimGroupedConv2D(_GroupedConvolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with `groups` above 1, at run-time widths.

    There are `groups` convolution groups at every width, and each keeps the first
    channels of its part of the input and of its part of the output. The kernel
    `(height, width, in / groups, filters)` is sliced by the layout of one part of
    the input and by the layout of the output, the bias by the latter.

    With one input channel a convolution group it is a depthwise convolution:
    output channels follow their input channel, and there are as many convolution
    groups as active input channels.

    Inference and gradients equal the stock layer's to 1e-5 of their size. They are
    not bitwise equal: the stock layer sums in another order.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv2D`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels, `groups` equal parts:
            `part.repeated(groups)`, or the same written out, or fixed. Any layout
            if there is one channel a convolution group.
        out_layout: `ChannelLayout` of the `filters` output channels, likewise; or
            `in_layout.scaled(filters // groups)` if there is one input channel a
            convolution group.

    Input shape: `(batch, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: `data_format="channels_first"`, `groups=1`, an `out_layout` that
            does not have `filters` channels, layouts that are not `groups` equal
            parts or do not fit each other.

    Example:

    >>> layout = ChannelLayout.of_group(0, 4).repeated(8)
    >>> conv = SlimGroupedConv2D(32, 3, groups=8, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 8, 24), "float32"), np.array([3], "int32")).shape
    TensorShape([1, 6, 6, 24])
    """

    stock_class = keras.layers.Conv2D


@keras.saving.register_keras_serializable("keras_joslim")
class SlimGroupedConv3D(_GroupedConvolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` with `groups` above 1, at run-time widths.

    As `SlimGroupedConv2D`, along three axes; the kernel is
    `(depth, height, width, in / groups, filters)`.

    Args:
        filters: output channels at full width.
        kernel_size: as in `keras.layers.Conv3D`; so are all further arguments.
        in_layout: `ChannelLayout` of the input channels.
        out_layout: `ChannelLayout` of the `filters` output channels.

    Input shape: `(batch, depth, height, width, in_layout.width(widths))`.
    Output shape: `(batch, new depth, new height, new width, out_layout.width(widths))`.

    Raises:
        ValueError: as `SlimGroupedConv2D`.

    Example:

    >>> layout = ChannelLayout.of_group(0, 4).repeated(8)
    >>> conv = SlimGroupedConv3D(32, 3, groups=8, in_layout=layout, out_layout=layout)
    >>> conv(np.ones((1, 8, 8, 8, 24), "float32"), np.array([3], "int32")).shape
    TensorShape([1, 6, 6, 6, 24])
    """

    stock_class = keras.layers.Conv3D


def _part_of(layer, argument):
    """Layout of the channels of one convolution group, out of all the layer's on that side."""
    layout = getattr(layer, argument)
    try:
        return layout.part(layer.groups)
    except ValueError as error:
        raise ValueError(
            "A grouped convolution keeps the first channels of every convolution group: its "
            f"layouts are equal parts, one a group. Received: layer {layer.name!r} with "
            f"groups={layer.groups}, {argument}={layout}"
        ) from error
