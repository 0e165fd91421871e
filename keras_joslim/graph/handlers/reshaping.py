"""Operations that lay channels out anew: flatten, reshape, zero-pad, tile."""

import math

import keras

from keras_joslim import layers as slim
from keras_joslim.graph.handlers.table import fixed_outputs, freeze, handles, on_last_axis
from keras_joslim.graph.walk import clone_operation

layers = keras.layers


@handles(layers.Flatten)
def flatten(node, inputs, partition):
    """The channels of every pixel, side by side."""
    shape = node.input_tensors[0].shape
    if None in shape[1:]:
        return freeze(node, inputs, partition, "flattens a shape that is not static")
    if len(shape) < 2:
        return fixed_outputs(node)
    return [inputs[0].repeated(math.prod(shape[1:-1]))]


def _slim_reshape(node, in_layout, out_layout):
    """For `keras.layers.Reshape`, or `keras.ops.reshape` that leaves the batch alone."""
    operation = node.operation
    if isinstance(operation, keras.Layer):
        target = operation.target_shape
    else:
        target = operation.newshape[1:]
    return slim.SlimReshape(
        (*target[:-1], out_layout.size),
        in_layout=in_layout,
        out_layout=out_layout,
        name=operation.name,
    )


@handles(layers.Reshape, "Reshape", slim=_slim_reshape)
def reshape(node, inputs, partition):
    """Channels that stay the last axis, or are flattened into it, are followed.

    A last axis that is cut into equal parts narrows all of them alike, as of a dense layer
    whose units become the pixels and channels of a feature map.
    """
    before, after = node.input_tensors[0].shape, node.outputs[0].shape
    static = len(before) > 1 and len(after) > 1 and None not in (*before[1:], *after[1:])
    if not static or before[0] != after[0] or math.prod(before[1:]) != math.prod(after[1:]):
        return freeze(node, inputs, partition, "reshapes a batch or a shape that is not static")
    old, new = before[-1], after[-1]
    if new % old == 0:
        # The last axis takes in whole pixels.
        return [inputs[0].repeated(new // old)]
    if old % new or new == 1:
        reason = f"reshapes {before[1:]} to {after[1:]} across channels"
        return freeze(node, inputs, partition, reason)
    return _equal_parts(node, inputs, partition, old // new)


@handles(layers.Permute, "Transpose", "Swapaxes", "Moveaxis")
def permute(node, inputs, partition):
    """The same channels if they stay the last axis."""
    operation, rank = node.operation, len(node.input_tensors[0].shape)
    if _last_axis_stays(operation, rank):
        return [inputs[0]]
    return freeze(node, inputs, partition, "moves channels to another axis")


def _last_axis_stays(operation, rank):
    match type(operation).__name__:
        case "Permute":
            return operation.dims[-1] == rank - 1
        case "Transpose":
            axes = operation.axes
            return axes is not None and axes[-1] % rank == rank - 1
        case "Swapaxes":
            axes = (operation.axis1, operation.axis2)
        case _:
            axes = [*_listed(operation.source), *_listed(operation.destination)]
    return all(axis % rank != rank - 1 for axis in axes)


def _listed(axis):
    return axis if isinstance(axis, list | tuple) else [axis]


@handles("ExpandDims", "Squeeze")
def axis_of_one(node, inputs, partition):
    """The same channels, unless they become another axis than the last."""
    rank = len(node.input_tensors[0].shape)
    # A new axis counts in the output's rank, one that goes in the input's.
    rank += (
        len(_listed(node.operation.axis)) if type(node.operation).__name__ == "ExpandDims" else 0
    )
    axes = node.operation.axis
    if axes is None or any(axis % rank == rank - 1 for axis in _listed(axes)):
        return freeze(node, inputs, partition, "moves channels to another axis")
    return [inputs[0]]


@handles("Flip", "Roll")
def along_another_axis(node, inputs, partition):
    """The same channels, unless they are the ones that are moved."""
    if on_last_axis(node.operation.axis, len(node.input_tensors[0].shape)):
        return freeze(node, inputs, partition, "reorders channels")
    return [inputs[0]]


@handles(layers.RepeatVector)
def repeat_vector(node, inputs, partition):
    """The same channels at every step."""
    return [inputs[0]]


@handles("Repeat")
def repeat(node, inputs, partition):
    """Along another axis the same channels; along the last each in as many copies."""
    operation, rank = node.operation, len(node.input_tensors[0].shape)
    if operation.axis is not None and operation.axis % rank != rank - 1:
        return [inputs[0]]
    times = operation.repeats
    if operation.axis is None or not isinstance(times, int) or inputs[0] is None:
        return freeze(node, inputs, partition, "repeats channels unequally")
    return [inputs[0].scaled(times)]


@handles("Tile")
def tile(node, inputs, partition):
    """The channels as many times over as the last axis is tiled."""
    times = _listed(node.operation.repeats)[-1]
    if inputs[0] is None or not isinstance(times, int):
        return freeze(node, inputs, partition, "tiles a shape that is not static")
    return [inputs[0].repeated(times)]


def _slim_pad(node, in_layout, out_layout):
    operation = node.operation
    if in_layout.groups == out_layout.groups:
        # No channels are added, or none of them can be narrowed.
        return clone_operation(operation)
    return slim.SlimChannelPad(
        operation.pad_width,
        in_layout=in_layout,
        out_layout=out_layout,
        name=operation.name,
    )


@handles("Pad", slim=_slim_pad)
def pad(node, inputs, partition):
    """Zeros after the last channel open a group that is never narrower than the input's.

    Zeros before the first channel too, or after a concatenation's, open groups of their own.
    """
    operation = node.operation
    tensor = node.input_tensors[0]
    pads = [tuple(pair) for pair in operation._process_pad_width(operation.pad_width)]
    pads *= len(tensor.shape) if len(pads) == 1 else 1
    before, after = pads[-1]
    if not before and not after:
        return [inputs[0]]
    if operation.mode != "constant" or inputs[0] is None:
        return freeze(node, inputs, partition, "pads channels in a way that cannot be narrowed")
    narrow = partition.resolve(inputs[0])
    if before or not (narrow.is_fixed or narrow.single_group is not None):
        if before:
            narrow = partition.open(before, operation, start=0) + narrow
        if after:
            narrow = narrow + partition.open(after, operation, start=narrow.size)
        return [narrow]
    wide = partition.open(node.outputs[0].shape[-1], operation)
    partition.order(narrow, wide, operation)
    return [wide]


@handles("Glu")
def gated_linear_unit(node, inputs, partition):
    """Both halves of the channels are narrowed alike; one half is left."""
    shape = node.input_tensors[0].shape
    if not on_last_axis(node.operation.axis, len(shape)):
        return [inputs[0]]
    return _equal_parts(node, inputs, partition, 2)


@handles("DepthToSpace")
def depth_to_space(node, inputs, partition):
    """One equal part of the channels for every pixel of a block, all narrowed alike."""
    return _equal_parts(node, inputs, partition, node.operation.block_size**2)


@handles("SpaceToDepth")
def space_to_depth(node, inputs, partition):
    """The channels of all pixels of a block, side by side."""
    return [inputs[0].repeated(node.operation.block_size**2)]


def _equal_parts(node, inputs, partition, parts):
    """The layout of one of so many equal parts of the input's channels."""
    if node.outputs[0].shape[-1] == 1:
        return freeze(node, inputs, partition, "cuts channels into single ones")
    return [partition.part(inputs[0], parts, node.operation)]
