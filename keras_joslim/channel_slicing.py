"""Channel layouts applied to TensorFlow tensors: the active part, by widths at run time."""

import tensorflow as tf

# A layout of more segments is gathered channel by channel: a slice for every segment would
# make the graph of a DenseNet several times as large.
_MOST_SLICES = 4


def slice_axes(tensor, layouts, widths):
    """The active part of a full tensor, cut along several axes.

    Args:
        tensor: a TensorFlow tensor or variable, in a graph or eagerly.
        layouts: axis -> `ChannelLayout` of that axis.
        widths: int32 tensor `(groups,)`. Where it is known while a graph is built, what
            is full is left alone: a smaller graph, of static shapes.

    Returns:
        The tensor, `layouts[axis].width(widths)` long along each of the axes.
    """
    known = tf.get_static_value(widths)
    tensor = tf.convert_to_tensor(tensor)
    narrow = {
        axis % len(tensor.shape): layout
        for axis, layout in layouts.items()
        if not layout.is_fixed and (known is None or int(layout.width(known)) != layout.size)
    }
    # The plain cuts first: they leave less to join.
    prefixes = {axis: layout for axis, layout in narrow.items() if layout.is_prefix}
    tensor = _between(tensor, {axis: (0, one.width(widths)) for axis, one in prefixes.items()})
    for axis, layout in narrow.items():
        if axis not in prefixes:
            many = len(layout.segments) > _MOST_SLICES
            tensor = (_gathered if many else _joined)(tensor, layout, widths, axis)
    return tensor


def _between(tensor, bounds):
    """One cut along all axes of `bounds`, axis -> (start, stop)."""
    if not bounds:
        return tensor
    begin, size, shape = [0] * len(tensor.shape), [-1] * len(tensor.shape), tensor.shape.as_list()
    for axis, (start, stop) in bounds.items():
        begin[axis], size[axis] = start, stop - start if start else stop
        shape[axis] = size[axis] if isinstance(size[axis], int) else None
    # Not `tensor[...]`: the gradient of a strided slice takes several times that of a slice.
    part = tf.slice(tensor, begin, size)
    part.set_shape(shape)
    return part


def _gathered(tensor, layout, widths, axis):
    """The active channels of a layout of many segments."""
    groups, places, units = layout._channels
    active = places < tf.gather(widths, groups) * units
    indices = tf.where(active)[:, 0]
    # Where each channel is among the active ones.
    ranks = tf.maximum(tf.cumsum(tf.cast(active, tf.int32)) - 1, 0)
    mask = tf.reshape(active, [-1, *[1] * (len(tensor.shape) - 1 - axis)])

    @tf.custom_gradient
    def gather(full):
        def gradient(upstream):
            # TensorFlow's own is sparse, or transposes twice.
            spread = tf.gather(upstream, ranks, axis=axis)
            return tf.where(mask, spread, tf.zeros_like(spread))

        return tf.gather(full, indices, axis=axis), gradient

    return gather(tensor)


def _joined(tensor, layout, widths, axis):
    """The active channels of a layout of several segments or of repeated ones."""
    parts, start = [], 0
    for block in layout.blocks:
        length = block.period * block.repeat
        whole = len(layout.blocks) == 1
        part = tensor if whole else _between(tensor, {axis: (start, start + length)})
        parts.append(_sliced_block(part, block, widths, axis))
        start += length
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


def _sliced_block(tensor, block, widths, axis):
    """The active channels of one block, which is all of `tensor` along `axis`."""
    if block.repeat > 1:
        dynamic = tf.shape(tensor)
        shape = [dynamic[i] if n is None else n for i, n in enumerate(tensor.shape)]
        # A repeated block is a (repeat, period) matrix: slicing its columns serves all rows.
        before, after = shape[:axis], shape[axis + 1 :]
        tensor = tf.reshape(tensor, [*before, block.repeat, block.period, *after])
        axis += 1
    parts, start = [], 0
    for segment in block.segments:
        parts.append(_between(tensor, {axis: (start, start + segment.width(widths))}))
        start += segment.size
    result = parts[0] if len(parts) == 1 else tf.concat(parts, axis)
    if block.repeat > 1:
        result = tf.reshape(result, [*before, -1, *after])
    return result
