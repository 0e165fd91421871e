"""Slimmable embedding."""

import keras

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.layers.slim_layer import SlimLayer, check_size


@keras.saving.register_keras_serializable("keras_joslim")
class SlimEmbedding(SlimLayer, keras.layers.Embedding):
    """`keras.layers.Embedding` at run-time widths.

    Args:
        input_dim: as in `keras.layers.Embedding`; so are all further arguments.
        output_dim: channels at full width.
        in_layout: tokens have no channels: `ChannelLayout.fixed(1)` by convention.
        out_layout: `ChannelLayout` of the `output_dim` channels.

    Input shape: `(batch, ...)`, whole numbers.
    Output shape: `(batch, ..., out_layout.width(widths))`.

    Raises:
        ValueError: an `out_layout` that does not have `output_dim` channels.

    Example:

    >>> one, layout = ChannelLayout.fixed(1), ChannelLayout.of_group(0, 16)
    >>> embedding = SlimEmbedding(1000, 16, in_layout=one, out_layout=layout)
    >>> embedding(np.array([[3, 999]]), np.array([10], "int32")).shape
    TensorShape([1, 2, 10])
    """

    stock_class = keras.layers.Embedding
    channel_axes = {"embeddings": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_size(self, self.out_layout, "out_layout", self.output_dim)

    @classmethod
    def from_stock(cls, layer, in_layout, out_layout):
        """A slimmable layer with the config of `layer`; what `in_layout` says is no matter."""
        return super().from_stock(layer, ChannelLayout.fixed(1), out_layout)

    def build(self, input_shape=None):
        # Past `SlimLayer`, which takes the last axis for that of the channels.
        super(SlimLayer, self).build(input_shape)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs, widths):
        # The stock layer's takes no second argument.
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype)

    def call(self, inputs, widths):
        # Rows first: to slice the table first would be to copy the whole vocabulary.
        return self.out_layout.slice(super().call(inputs), widths)

    def narrowed(self, widths):
        return {"output_dim": int(self.out_layout.width(widths))}
