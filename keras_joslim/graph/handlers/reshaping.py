"""Flatten repeats the channels, Reshape keeps them last, a zero-pad opens a wider group."""

import math

import keras

from keras_joslim.graph.handlers.table import freeze, handles
from keras_joslim.graph.walk import clone_operation
from keras_joslim.layers import SlimChannelPad, SlimReshape


@handles(keras.layers.Flatten)
def flatten(node, inputs, partition):
    """The channels of every pixel, side by side."""
    shape = node.input_tensors[0].shape
    if None in shape[1:]:
        return freeze(node, inputs, partition, "flattens a shape that is not static")
    return [inputs[0].repeated(math.prod(shape[1:-1]))]


@handles(keras.layers.Reshape, slim=SlimReshape)
def reshape(node, inputs, partition):
    """Channels that stay the last axis, or are flattened into it, are followed."""
    before, after = node.input_tensors[0].shape[1:], node.outputs[0].shape[1:]
    if None in before or None in after or not before or not after:
        return freeze(node, inputs, partition, "reshapes a shape that is not static")
    if after[-1] % before[-1] == 0:
        # The last axis takes in whole pixels.
        return [inputs[0].repeated(after[-1] // before[-1])]
    return freeze(node, inputs, partition, f"reshapes {before} to {after} across channels")


def _slim_pad(operation, in_layout, out_layout):
    if in_layout.groups == out_layout.groups:
        # No channels are added, or none of them can be narrowed.
        return clone_operation(operation)
    return SlimChannelPad(
        operation.pad_width,
        in_layout=in_layout,
        out_layout=out_layout,
        name=operation.name,
    )


@handles("Pad", slim=_slim_pad)
def pad(node, inputs, partition):
    """Zeros after the last channel open a group that is never narrower than the input's."""
    operation = node.operation
    tensor = node.input_tensors[0]
    pads = [tuple(pair) for pair in operation._process_pad_width(operation.pad_width)]
    if not any(pads[-1]):
        return [inputs[0]]
    narrow = partition.resolve(inputs[0])
    at_the_end = len(pads) == len(tensor.shape) and not pads[-1][0]
    plain = narrow.is_fixed or narrow.single_group is not None
    if operation.mode != "constant" or not at_the_end or not plain:
        return freeze(node, inputs, partition, "pads channels in a way that cannot be narrowed")
    wide = partition.open(node.outputs[0].shape[-1], operation.name)
    partition.order(narrow, wide)
    return [wide]
