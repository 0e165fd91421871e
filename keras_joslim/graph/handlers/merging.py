"""Operations on several tensors: sums merge groups, concatenation joins layouts."""

import keras

from keras_joslim.graph.handlers.table import fixed_like, freeze, handles, spans_channels

layers = keras.layers


@handles(
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    "Add",
    "Subtract",
    "Multiply",
    "Divide",
    "TrueDivide",
    "Maximum",
    "Minimum",
)
def elementwise(node, inputs, partition):
    """Tensors with equal channel counts share their groups; one channel is broadcast."""
    channels = node.outputs[0].shape[-1]
    if any(spans_channels(value) for value in _constants(node)):
        reason = "is combined with a constant that has a value a channel"
        return freeze(node, inputs, partition, reason)
    merged = None
    for tensor, layout in zip(node.input_tensors, inputs, strict=True):
        if layout is None or tensor.shape[-1] == 1 != channels:
            continue
        merged = layout if merged is None else partition.merge(merged, layout, node.operation.name)
    partition_member(node, merged, partition)
    return [fixed_like(node.outputs[0]) if merged is None else merged]


@handles(layers.Concatenate, "Concatenate")
def concatenate(node, inputs, partition):
    """On the channel axis the layouts in order; on another axis groups merge."""
    rank = len(node.outputs[0].shape)
    if node.operation.axis % rank != rank - 1:
        return elementwise(node, inputs, partition)
    joined = inputs[0]
    for layout in inputs[1:]:
        joined = joined + layout
    return [joined]


def partition_member(node, layout, partition):
    """Lists a merging node among the members of its group."""
    if layout is not None:
        partition.join(layout, node.operation.name)


def _constants(node):
    flat = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    return [value for value in flat if not isinstance(value, keras.KerasTensor)]
