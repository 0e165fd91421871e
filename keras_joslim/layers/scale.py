"""Slimmable scale of ConvNeXt's blocks."""

import keras
from keras.src.applications.convnext import LayerScale

from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimLayerScale(SlimLayer, LayerScale):
    """The `LayerScale` of `keras.applications.convnext` at run-time widths.

    Args:
        init_values: initial value of all scales.
        projection_dim: channels at full width.
        in_layout: `ChannelLayout` of the channels.
        out_layout: the same.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: the same.

    Raises:
        ValueError: layouts that do not have `projection_dim` channels.
    """

    stock_class = LayerScale
    channel_axes = {"gamma": {-1: "in"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.in_layout, "in_layout", self.projection_dim)
        check_size(self, self.out_layout, "out_layout", self.projection_dim)

    def build(self, input_shape):
        # The stock layer leaves its weight unnamed, so that Keras numbers it.
        self.gamma = self.add_weight(
            name="gamma",
            shape=(self.projection_dim,),
            initializer=keras.initializers.Constant(self.init_values),
        )

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.projection_dim)

    def call(self, inputs, widths):
        return inputs * self.active("gamma", widths)

    def narrowed(self, widths):
        return {"projection_dim": int(self.in_layout.width(widths))}
