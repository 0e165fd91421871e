"""Operations on several tensors: sums merge groups, concatenation joins layouts."""

import keras
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from keras_joslim.graph.handlers.table import (
    constants,
    fixed_like,
    fixed_outputs,
    freeze,
    handles,
    on_last_axis,
    spans_channels,
)

layers = keras.layers


@handles(
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    CustomScaleLayer,
    "Add",
    "Arctan2",
    "Divide",
    "DivideNoNan",
    "Equal",
    "Fmax",
    "Fmin",
    "FloorDivide",
    "Greater",
    "GreaterEqual",
    "Hypot",
    "Less",
    "LessEqual",
    "Logaddexp",
    "LogicalAnd",
    "LogicalOr",
    "LogicalXor",
    "Maximum",
    "Minimum",
    "Mod",
    "Multiply",
    "NotEqual",
    "Power",
    "Subtract",
    "TrueDivide",
    "Where",
)
def elementwise(node, inputs, partition):
    """Tensors with equal channel counts share their groups; one channel is broadcast."""
    channels = node.outputs[0].shape[-1] if len(node.outputs[0].shape) else None
    if any(spans_channels(value) for value in constants(node)):
        reason = "is combined with a constant that has a value a channel"
        return freeze(node, inputs, partition, reason)
    merged, source = None, None
    for tensor, layout in zip(node.input_tensors, inputs, strict=True):
        shape = tensor.shape
        if not len(shape) or (shape[-1] == 1 != channels):
            continue
        if layout is None:
            # Values along the batch, or along an axis of unknown length.
            return freeze(node, inputs, partition, "is combined with a tensor without channels")
        if layout.size != channels:
            return freeze(node, inputs, partition, "is broadcast along an axis of unknown length")
        maker = tensor._keras_history.operation
        if merged is None:
            merged, source = layout, maker
        else:
            merged = partition.merge(merged, layout, node.operation, (source, maker))
    if merged is None:
        return fixed_outputs(node)
    partition.join(merged, node.operation)
    return [merged]


@handles(layers.Concatenate, "Concatenate")
def concatenate(node, inputs, partition):
    """On the channel axis the layouts in order; on another axis groups merge."""
    if not on_last_axis(node.operation.axis, len(node.outputs[0].shape)):
        return elementwise(node, inputs, partition)
    if any(layout is None for layout in inputs):
        return freeze(node, inputs, partition, "joins tensors along an axis of unknown length")
    joined = inputs[0]
    for layout in inputs[1:]:
        joined = joined + layout
    return [joined]


@handles("Stack")
def stack(node, inputs, partition):
    """On a new axis before the channels groups merge; a new last axis hides the channels."""
    if on_last_axis(node.operation.axis, len(node.outputs[0].shape)):
        return freeze(node, inputs, partition, "stacks tensors along a new last axis")
    return elementwise(node, inputs, partition)


@handles(layers.Dot)
def dot(node, inputs, partition):
    """Both tensors' channels multiplied and summed merge; else the second's are kept."""
    axes = node.operation.axes
    first, second = axes if isinstance(axes, list | tuple) else (axes, axes)
    one, other = node.input_tensors
    last = [on_last_axis(a, len(t.shape)) for a, t in ((first, one), (second, other))]
    if all(last):
        if None not in inputs:
            sources = [tensor._keras_history.operation for tensor in node.input_tensors]
            partition.join(partition.merge(*inputs, node.operation, sources), node.operation)
        return fixed_outputs(node)
    if last[1]:
        return freeze(node, inputs, partition, "multiplies channels with another axis")
    freeze(node, inputs[:1], partition, "moves channels to another axis")
    return [inputs[1] if len(other.shape) > 2 else fixed_like(node.outputs[0])]


@handles("Matmul")
def matmul(node, inputs, partition):
    """The second tensor's channels; the first's meet another axis and stay at full width."""
    reason = "multiplies channels with another axis"
    if len(inputs) < 2 or constants(node) or len(node.input_tensors[1].shape) < 3:
        return freeze(node, inputs, partition, reason)
    freeze(node, inputs[:1], partition, reason)
    return [inputs[1]]


@handles(layers.Attention, layers.AdditiveAttention)
def attention(node, inputs, partition):
    """Attention without projections: full width."""
    return freeze(node, inputs, partition, "attention runs at full width")


@handles(layers.MultiHeadAttention, layers.GroupQueryAttention)
def multi_head_attention(node, inputs, partition):
    """Its heads and what it reads stay at full width."""
    return freeze(node, inputs, partition, "attention runs at full width")
