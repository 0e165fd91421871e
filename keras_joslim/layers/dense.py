"""Slimmable dense layer."""

import math

import keras
from keras import ops

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimDense(SlimLayer, keras.layers.Dense):
    """`keras.layers.Dense` at run-time widths.

    The kernel `(in, units)` is sliced on both axes. After a Flatten the input
    layout repeats once a pixel, and so does the slice.

    Args:
        units: outputs at full width.
        in_layout: `ChannelLayout` of the inputs.
        out_layout: `ChannelLayout` of the `units` outputs.
        **kwargs: as in `keras.layers.Dense`.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: `(batch, ..., out_layout.width(widths))`.

    Raises:
        ValueError: an `out_layout` that does not have `units` channels.
    """

    stock_class = keras.layers.Dense
    channel_axes = {"kernel": {-2: "in", -1: "out"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.units)

    def call(self, inputs, widths):
        outputs = ops.matmul(inputs, self.active("kernel", widths))
        return self.biased_and_activated(outputs, widths)

    def narrowed(self, widths):
        return {"units": int(self.out_layout.width(widths))}

    def macs(self, input_shape, output_shape):
        return [(math.prod(output_shape[1:-1]), self.in_layout, self.out_layout)]
