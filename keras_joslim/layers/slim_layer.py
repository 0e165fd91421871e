"""What every slimmable layer shares: layouts, slices, and the way back to stock."""

import keras
import numpy as np
from keras.src.utils.python_utils import is_default

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.channel_slicing import slice_axes


class SlimLayer:
    """Mixin of a stock Keras layer that runs at run-time widths.

    A slimmable layer keeps the weights and the config of its stock class at full
    width and is called with one more argument, the width vector. It slices its
    parameters (never masks them: a narrow sub-network must cost less).

    Args:
        in_layout: `ChannelLayout` (or its JSON list) of the input's last axis.
        out_layout: `ChannelLayout` of the output's last axis.

    Call arguments:
        inputs: the tensor, its last axis `in_layout.width(widths)` long.
        widths: int32 `(groups,)`, one entry a channel group.

    Raises:
        ValueError: layouts missing or not of the layer's size.
    """

    # Weight name -> {axis: "in" or "out"}, the axes along which it is sliced.
    channel_axes = {}
    # The Keras class that `extract` puts in this one's place.
    stock_class = None

    def __init__(self, *args, in_layout, out_layout, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_layout = _layout(in_layout, "in_layout", self.name)
        self.out_layout = _layout(out_layout, "out_layout", self.name)
        # XLA compiles anew for every width, unseen: the trace count stays 1.
        self.supports_jit = False

    @classmethod
    def from_stock(cls, layer, in_layout, out_layout):
        """A slimmable layer with the config of `layer`; weights are copied after build."""
        config = layer.get_config()
        return cls.from_config({**config, "in_layout": in_layout, "out_layout": out_layout})

    def get_config(self):
        layouts = {"in_layout": self.in_layout.to_list(), "out_layout": self.out_layout.to_list()}
        return {**super().get_config(), **layouts}

    def build(self, input_shape):
        # The input of an eager call may be narrow already; weights are always full.
        super().build((*input_shape[:-1], self.in_layout.size))
        # Stock layers pin the channel axis here, which refuses narrow inputs.
        self.input_spec = keras.layers.InputSpec(min_ndim=len(input_shape))

    def compute_output_shape(self, input_shape):
        # Symbolic tensors carry full widths; what runs is as wide as `widths` says.
        full = (*input_shape[:-1], self.in_layout.size)
        stock = super().compute_output_shape
        if is_default(stock):
            # A layer of a user's own that leaves the other axes alone need not say so.
            return (*full[:-1], self.out_layout.size)
        return stock(full)

    def active(self, name, widths):
        """The weight called `name`, sliced to `widths`, inside a call."""
        return slice_axes(getattr(self, name), dict(self._axes(name)), widths)

    def biased_and_activated(self, outputs, widths):
        """What layers with a kernel end with: the sliced bias, then the activation."""
        if self.use_bias:
            outputs = keras.ops.add(outputs, self.active("bias", widths))
        return outputs if self.activation is None else self.activation(outputs)

    def sliced_weights(self, widths):
        """Weight name -> numpy array, the slice that the stock layer holds at `widths`."""
        arrays = {}
        for variable in self.weights:
            array = np.asarray(keras.ops.convert_to_numpy(variable.value))
            for axis, layout in self._axes(variable.name):
                array = np.take(array, layout.indices(widths), axis)
            arrays[variable.name] = array
        return arrays

    def stock_config(self, widths):
        """The config of the stock layer at `widths` (numpy int `(groups,)`)."""
        config = super().get_config()
        config.update(self.narrowed(widths))
        return config

    def narrowed(self, widths):
        """The config fields that change with the widths; a subclass's business."""
        return {}

    def stock(self, widths):
        """An unbuilt stock layer of the shape that this one has at `widths`."""
        return self.stock_class.from_config(self.stock_config(widths))

    def macs(self, input_shape, output_shape):
        """Cost terms of one call: `(coefficient, layout or None, layout or None)` triples.

        The shapes are those of the call at full width, batch first. The
        multiply-accumulates per image are the sum of
        `coefficient * width of the one * width of the other`.
        """
        return []

    def parameters(self):
        """Cost terms of the parameters, in the form of `macs`."""
        terms = []
        for variable in self.weights:
            layouts = dict(self._axes(variable.name))
            sliced = {axis % len(variable.shape) for axis in layouts}
            rest = [n for axis, n in enumerate(variable.shape) if axis not in sliced]
            terms.append((float(np.prod(rest, initial=1.0)), *_two(list(layouts.values()))))
        return terms

    @property
    def _sides(self):
        return {"in": self.in_layout, "out": self.out_layout}

    def _axes(self, name):
        """The axes along which a weight is sliced, with their layouts."""
        sides = self._sides
        named = [(axis, sides[side]) for axis, side in self.channel_axes.get(name, {}).items()]
        # A fixed side is left alone: a grouped kernel is shorter there than the layer's input.
        return [(axis, layout) for axis, layout in named if not layout.is_fixed]


def _two(layouts):
    return (*layouts, *([None] * (2 - len(layouts))))


def _layout(value, argument, name):
    if isinstance(value, ChannelLayout):
        return value
    try:
        return ChannelLayout.from_list(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Slimmable layer {name!r} needs a channel layout, or the list that "
            f"`ChannelLayout.to_list()` gives. Received: {argument}={value!r}"
        ) from error


def check_size(layer, layout, argument, size):
    """Refuses a layout that does not have `size` channels."""
    if layout.size != size:
        raise ValueError(
            f"Layer {layer.name!r} has {size} channels on that side, its layout has "
            f"{layout.size}. Received: {argument}={layout}"
        )
