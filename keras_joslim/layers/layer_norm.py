"""Slimmable layer normalization: statistics over the active channels."""

import keras
from keras import ops

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimLayerNormalization(SlimLayer, keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` at run-time widths.

    Mean and variance are those of the active channels. Where the last axis is among
    the normalised ones, `gamma` and `beta` are sliced along it; where it is not, the
    parameters have no channel axis and stay whole.

    Args:
        axis: as in `keras.layers.LayerNormalization`; so are all further arguments.
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts of different sizes; at build, several axes whose sorted order
            is not that of the tensor, such as `[1, -1]`.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> norm = SlimLayerNormalization(in_layout=layout, out_layout=layout)
    >>> norm(tokens[..., :10], np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.LayerNormalization
    channel_axes = {"gamma": {-1: "in"}, "beta": {-1: "in"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)

    def build(self, input_shape):
        axes = axes_in_order(self, len(input_shape))
        self._has_channels = len(input_shape) - 1 in axes
        self._outer = tuple(n if i in axes else 1 for i, n in enumerate(input_shape[:-1]))
        super().build(input_shape)

    def call(self, inputs, widths):
        outputs = ops.layer_normalization(
            inputs,
            self._broadcast("gamma", widths),
            self._broadcast("beta", widths),
            self.axis,
            self.epsilon,
            rms_scaling=self.rms_scaling,
        )
        return ops.cast(outputs, self.compute_dtype)

    def _broadcast(self, name, widths):
        if getattr(self, name) is None:
            return None
        # With all axes of the input: Keras would add them from a static channel count.
        return ops.reshape(self.active(name, widths), (*self._outer, -1))

    def _axes(self, name):
        return super()._axes(name) if self._has_channels else []


def axes_in_order(layer, rank):
    """The axes that a layer normalises, from the front, as its parameters have them.

    Keras sorts the axes as they are written: `[1, -1]` gives parameters whose first
    axis is the channel axis.
    """
    axes = [layer.axis] if isinstance(layer.axis, int) else sorted(layer.axis)
    axes = [axis % rank for axis in axes]
    if axes != sorted(axes) and not layer.in_layout.is_fixed:
        raise ValueError(
            "The axes of a slimmable normalisation are counted all from the front or all from "
            f"the back. Received: layer {layer.name!r} with axis={layer.axis}. Expected: "
            f"axis={sorted(axes)}"
        )
    return axes
