"""Operations that take parts of a tensor: slices and splits, of channels or of other axes."""

from keras_joslim import layers as slim
from keras_joslim.graph.handlers.table import argument, fixed_outputs, freeze, handles, on_last_axis
from keras_joslim.graph.walk import clone_operation


def _slim_split(node, in_layout, out_layout):
    if not _splits_channels(node) or in_layout.is_fixed:
        return clone_operation(node.operation)
    sizes = [tensor.shape[-1] for tensor in node.outputs]
    return slim.SlimSplit(
        sizes, in_layout=in_layout, out_layout=out_layout, name=node.operation.name
    )


@handles("Split", "ArraySplit", slim=_slim_split)
def split(node, inputs, partition):
    """Parts of the channels have groups of their own; along another axis all have the same."""
    if not _splits_channels(node):
        return [inputs[0]] * len(node.outputs)
    if inputs[0] is None:
        return fixed_outputs(node)
    sizes = [tensor.shape[-1] for tensor in node.outputs]
    return partition.cut(inputs[0], sizes, node.operation)


def _splits_channels(node):
    return on_last_axis(node.operation.axis, len(node.input_tensors[0].shape))


def _slim_slice(node, in_layout, out_layout):
    bounds = _channel_bounds(node)
    if bounds is None or in_layout.is_fixed or bounds == (0, in_layout.size):
        return clone_operation(node.operation)
    return slim.SlimChannelSlice(
        _other_axes(node),
        *bounds,
        in_layout=in_layout,
        out_layout=out_layout,
        name=node.operation.name,
    )


@handles("GetItem", slim=_slim_slice)
def get_item(node, inputs, partition):
    """The same channels, or consecutive ones of them; other indices freeze."""
    if inputs[0] is None:
        return fixed_outputs(node)
    bounds, size = _channel_bounds(node), inputs[0].size
    if bounds is None or bounds[0] >= bounds[1]:
        return freeze(node, inputs, partition, "takes channels in a way that cannot be narrowed")
    start, stop = bounds
    sizes = [n for n in (start, stop - start, size - stop) if n]
    if len(sizes) == 1:
        return [inputs[0]]
    pieces = partition.cut(inputs[0], sizes, node.operation)
    return [pieces[1 if start else 0]]


def _channel_bounds(node):
    """First and last channel that an index takes of the last axis; `None` if it is no such slice.

    Where the index is cut short, or ends in an ellipsis, the channels are taken whole.
    """
    shape, key = node.input_tensors[0].shape, _key(node)
    taken = sum(k is not None and k is not Ellipsis for k in key)
    whole = (0, shape[-1])
    if taken < len(shape) and (Ellipsis not in key or key[-1] is Ellipsis):
        return whole
    last = key[-1]
    if not isinstance(last, slice) or last.step not in (None, 1):
        return None
    return last.indices(shape[-1])[:2]


def _key(node):
    key = argument(node, "key", 1)
    return tuple(key) if isinstance(key, list | tuple) else (key,)


def _other_axes(node):
    """The index of all axes but the last, as JSON: see `SlimChannelSlice`."""
    *key, _ = _key(node)
    taken = sum(k is not None and k is not Ellipsis for k in key)
    entries = []
    for k in key:
        if k is Ellipsis:
            rest = len(node.input_tensors[0].shape) - 1 - taken
            entries += [[None, None, None]] * rest
        elif isinstance(k, slice):
            entries.append([k.start, k.stop, k.step])
        else:
            entries.append("newaxis" if k is None else k)
    return entries
