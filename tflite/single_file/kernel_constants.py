"""Which constants of a converted file are the kernels of which Keras weights.

The converter transposes kernels, and multiplies the scale of a following BatchNormalization into
them, one factor an output channel. Both are found by comparing values, not names.
"""

import dataclasses
import functools
import itertools

import numpy as np

# Of each value: two roundings of the converter, two of the factor as it is found here.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class KernelOperator:
    """Where an operator with a kernel has it.

    Attributes:
        kernel: position among the operator's inputs.
        bias: the same.
        axis: the kernel's axis of output channels.
    """

    kernel: int
    bias: int
    axis: int


@functools.cache
def kernel_operators():
    """Builtin operator code -> `KernelOperator`."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator as Code

    return {
        Code.CONV_2D: KernelOperator(1, 2, 0),
        Code.DEPTHWISE_CONV_2D: KernelOperator(1, 2, 3),
        Code.FULLY_CONNECTED: KernelOperator(1, 2, 0),
        Code.TRANSPOSE_CONV: KernelOperator(1, 3, 0),
        Code.CONV_3D: KernelOperator(1, 2, 4),
    }


@dataclasses.dataclass(frozen=True)
class KernelConstant:
    """A constant that is a Keras weight, transposed, and scaled channel by channel.

    Attributes:
        tensor: its index in the graph.
        weight: hashable: which weight in which order of axes. Equal in files of other widths.
        name: of the weight, for messages.
        values: float32 array, the constant.
        raw: the weight in the constant's shape.
        axis: of the output channels; None if an operator reads it that cannot be scaled after.
        scale: float64 `(output channels,)`: `values` is `raw` times it; None if they are equal.
    """

    tensor: int
    weight: tuple
    name: str
    values: np.ndarray
    raw: np.ndarray
    axis: int | None
    scale: np.ndarray | None


def kernel_constants(graph, weights):
    """The constants of a graph that are kernels.

    Args:
        graph: a `PointGraph`.
        weights: list of `(name, array)`, the weights of its Keras model in their order.

    Returns:
        A dict tensor index -> `KernelConstant`.
    """
    found, by_sizes = {}, _by_sizes(weights)
    for tensor, axis in _matrices(graph).items():
        values = graph.constant(tensor)
        sizes = tuple(sorted(n for n in values.shape if n > 1))
        for key, name, weight in by_sizes.get(sizes, ()):
            match = _match(values, weight, axis)
            if match is not None:
                order, raw, scale = match
                found[tensor] = KernelConstant(
                    tensor, (*key, order), name, values, raw, axis, scale
                )
                break
    return found


def _matrices(graph):
    """Tensor index -> the axis of output channels, None if it has none in some operator."""
    axes = {}
    for operator in graph.operators:
        entry = kernel_operators().get(operator.code)
        for position, tensor in enumerate(operator.inputs):
            if not graph.is_float_constant(tensor) or len(graph.shape(tensor)) < 2:
                continue
            axis = entry.axis if entry is not None and position == entry.kernel else None
            axes.setdefault(tensor, set()).add(axis)
    return {tensor: all_.pop() if len(all_) == 1 else None for tensor, all_ in axes.items()}


def _by_sizes(weights):
    """Sorted sizes of the axes -> `(key, name, array)` of the weights that have them."""
    found = {}
    for index, (name, array) in enumerate(weights):
        forms = [array]
        if array.ndim >= 3 and min(array.shape[-2:]) > 1:
            # A depthwise kernel (..., in, multiplier) has one axis of output channels.
            forms.append(array.reshape(*array.shape[:-2], -1))
        for key, form in enumerate(forms):
            sizes = tuple(sorted(n for n in form.shape if n > 1))
            found.setdefault(sizes, []).append(((index, key), name, form.squeeze()))
    return found


def _match(values, weight, axis):
    """`(order of axes, weight in the shape of values, scale)` if they belong together."""
    squeezed = tuple(n for n in values.shape if n > 1)
    for order in itertools.permutations(range(weight.ndim)):
        if tuple(weight.shape[i] for i in order) != squeezed:
            continue
        raw = weight.transpose(order).reshape(values.shape)
        if np.array_equal(raw, values):
            return order, raw, None
        scale = None if axis is None else _scale(values, raw, axis)
        if scale is not None:
            return order, raw, scale
    return None


def _scale(values, raw, axis):
    """The factor of each output channel, None if there is none that fits."""
    channels = values.shape[axis]
    values = np.moveaxis(values, axis, 0).reshape(channels, -1)
    raw = np.moveaxis(raw, axis, 0).reshape(channels, -1)
    # Most candidates of the right shape fail on the first channels.
    for part in (slice(4), slice(None)):
        mine, theirs = values[part].astype(np.float64), raw[part].astype(np.float64)
        rows, pivots = np.arange(len(mine)), np.abs(theirs).argmax(1)
        divisor = theirs[rows, pivots]
        scale = np.divide(mine[rows, pivots], divisor, out=np.ones(len(mine)), where=divisor != 0)
        scaled = theirs * scale[:, None]
        # A product below the smallest normal float32 has lost digits.
        if not (np.abs(mine - scaled) <= _ROUNDING * np.abs(scaled) + 1e-37).all():
            return None
    return scale
