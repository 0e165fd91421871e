"""Slimmable PReLU."""

import keras

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimPReLU(SlimLayer, keras.layers.PReLU):
    """`keras.layers.PReLU` at run-time widths.

    `alpha` has the shape of one example and is sliced on its last axis, unless the
    channels share it.

    Args:
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.
        **kwargs: as in `keras.layers.PReLU`.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts of different sizes.
    """

    stock_class = keras.layers.PReLU
    channel_axes = {"alpha": {-1: "in"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.in_layout.size)

    def call(self, inputs, widths):
        relu = keras.activations.relu
        return relu(inputs) + -self.active("alpha", widths) * relu(-inputs)

    def _axes(self, name):
        shared = self.alpha.shape[-1] != self.in_layout.size
        return [] if shared else super()._axes(name)
