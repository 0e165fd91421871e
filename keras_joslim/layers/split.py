"""Slimmable parts of a tensor's channels: a slice of them, or a split into several."""

import itertools

import keras
import tensorflow as tf
from keras.src.ops.numpy import GetItem, Split

from keras_joslim.layers.slim_layer import SlimLayer


@keras.saving.register_keras_serializable("keras_joslim")
class SlimChannelSlice(SlimLayer, keras.layers.Layer):
    """`x[..., start:stop]` at run-time widths: what is active of those channels.

    Args:
        key: the index of the stock operation for every axis but the last: `[start, stop,
            step]`, a whole number, or `"newaxis"`.
        start: first channel, of the full width.
        stop: the one after the last.
        in_layout: `ChannelLayout` of the input channels; `start` and `stop` lie between
            two of its segments.
        out_layout: `ChannelLayout` of the channels between them.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: `(batch, ..., out_layout.width(widths))`.
    """

    def __init__(self, key, start, stop, **kwargs):
        super().__init__(**kwargs)
        self.key = list(key)
        self.start, self.stop = start, stop

    def build(self, input_shape):
        pass

    def compute_output_spec(self, inputs, widths):
        kept = keras.KerasTensor(inputs.shape, inputs.dtype)[self._index(None, None)]
        return keras.KerasTensor((*kept.shape[:-1], self.out_layout.size), inputs.dtype)

    def call(self, inputs, widths):
        begin = self._begin(widths)
        return inputs[self._index(begin, begin + self.out_layout.width(widths))]

    def stock(self, widths):
        """The stock slice as a function of a Keras tensor."""
        begin = int(self._begin(widths))
        index = self._index(begin, begin + int(self.out_layout.width(widths)))
        return lambda inputs: GetItem(name=self.name)(inputs, index)

    def get_config(self):
        fields = {"key": self.key, "start": self.start, "stop": self.stop}
        return {**super().get_config(), **fields}

    def _begin(self, widths):
        return self.in_layout.between(0, self.start).width(widths) if self.start else 0

    def _index(self, begin, end):
        parts = [slice(*k) if isinstance(k, list) else k for k in self.key]
        return (*(None if k == "newaxis" else k for k in parts), slice(begin, end))


@keras.saving.register_keras_serializable("keras_joslim")
class SlimSplit(SlimLayer, keras.layers.Layer):
    """`keras.ops.split` of the channels at run-time widths.

    Args:
        sizes: channels of every part at full width.
        in_layout: `ChannelLayout` of the input channels; every part ends between two
            of its segments.
        out_layout: the layout of the first part.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output: a list of tensors, what is active of each part.
    """

    def __init__(self, sizes, **kwargs):
        super().__init__(**kwargs)
        self.sizes = [int(size) for size in sizes]
        ends = list(itertools.accumulate(self.sizes))
        self.part_layouts = [
            self.in_layout.between(end - size, end)
            for size, end in zip(self.sizes, ends, strict=True)
        ]

    def build(self, input_shape):
        pass

    def compute_output_spec(self, inputs, widths):
        shape = inputs.shape[:-1]
        return [keras.KerasTensor((*shape, size), inputs.dtype) for size in self.sizes]

    def call(self, inputs, widths):
        sizes = [layout.width(widths) for layout in self.part_layouts]
        return tf.split(inputs, sizes, axis=-1)

    def stock(self, widths):
        """The stock split."""
        sizes = [int(layout.width(widths)) for layout in self.part_layouts]
        ends = list(itertools.accumulate(sizes))[:-1]
        return Split(ends, axis=-1, name=self.name)

    def get_config(self):
        return {**super().get_config(), "sizes": self.sizes}
