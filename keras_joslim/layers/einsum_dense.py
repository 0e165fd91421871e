"""Slimmable einsum, where it is a dense layer."""

import math
import re

import keras
from keras import ops

from keras_joslim.layers.slim_layer import SlimLayer, check_size

# Any axes and the input channels; input and output channels; those axes, the output channels.
_DENSE = re.compile(r"((?:\.\.\.)?[a-zA-Z]*)([a-zA-Z]),\2([a-zA-Z])->\1\3")


def is_dense(layer):
    """Whether an `EinsumDense` layer is a dense layer on the last axis.

    Its kernel is `(in, out)`, its bias, if it has one, `(out,)`: `"ab,bc->ac"`,
    `"abc,cd->abd"`, `"...x,xy->...y"`.
    """
    match = _DENSE.fullmatch(layer.equation)
    if match is None or not match[1]:
        return False
    letters = [*match[1].replace("...", ""), match[2], match[3]]
    return len(set(letters)) == len(letters) and (layer.bias_axes or match[3]) == match[3]


@keras.saving.register_keras_serializable("keras_joslim")
class SlimEinsumDense(SlimLayer, keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` at run-time widths, where `is_dense` says so.

    The kernel `(in, out)` is sliced on both axes. With layouts that no width changes it
    takes any equation, and runs whole.

    Args:
        equation: as in `keras.layers.EinsumDense`; so are all further arguments.
        output_shape: shape of one output at full width.
        in_layout: `ChannelLayout` of the inputs' last axis.
        out_layout: `ChannelLayout` of the outputs' last axis.

    Input shape: `(batch, ..., in_layout.width(widths))`.
    Output shape: `(batch, ..., out_layout.width(widths))`.

    Raises:
        ValueError: an equation that is not that of a dense layer; an `out_layout` that does
            not have as many channels as `output_shape` ends with.

    Example:

    >>> layout = ChannelLayout.of_group(0, 16)
    >>> fixed = ChannelLayout.fixed(8)
    >>> dense = SlimEinsumDense("abc,cd->abd", (None, 16), in_layout=fixed, out_layout=layout)
    >>> dense(tokens, np.array([10], "int32")).shape[-1]
    10
    """

    stock_class = keras.layers.EinsumDense
    channel_axes = {"kernel": {0: "in", 1: "out"}, "bias": {-1: "out"}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if is_dense(self):
            check_size(self, self.out_layout, "out_layout", self.partial_output_shape[-1])
        elif not (self.in_layout.is_fixed and self.out_layout.is_fixed):
            raise ValueError(
                "An EinsumDense whose equation is not that of a dense layer on the last axis runs "
                f"at full width only. Received: layer {self.name!r} with "
                f"equation={self.equation!r}, bias_axes={self.bias_axes!r}, "
                f"in_layout={self.in_layout}, out_layout={self.out_layout}"
            )

    @property
    def use_bias(self):
        """Whether it has a bias, by the name that this has in other layers."""
        return bool(self.bias_axes)

    def compute_output_shape(self, input_shape):
        if not is_dense(self):
            return super().compute_output_shape(input_shape)
        # Keras leaves axes open, and swaps those under an ellipsis.
        return (*input_shape[:-1], self.out_layout.size)

    def call(self, inputs, widths):
        outputs = ops.einsum(self.equation, inputs, self.active("kernel", widths))
        return self.biased_and_activated(outputs, widths)

    def narrowed(self, widths):
        if not is_dense(self):
            return {}
        width = int(self.out_layout.width(widths))
        return {"output_shape": (*self.partial_output_shape[:-1], width)}

    def macs(self, input_shape, output_shape):
        axes, kernel = self.equation.split("->")[0].split(",")
        axes = axes.replace("...", "." * (len(input_shape) + 3 - len(axes)))
        # The kernel is applied once for every entry of the axes that it does not have.
        times = math.prod(n for n, a in list(zip(input_shape, axes))[1:] if a not in kernel)
        if is_dense(self):
            return [(times, self.in_layout, self.out_layout)]
        return [(times * math.prod(self.kernel.shape), None, None)]
