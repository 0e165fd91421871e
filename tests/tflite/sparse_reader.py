"""TFLite's sparse tensors, read value by value as the format's description says."""

import numpy as np


def densify(values, reading):
    """The dense array, and how many values were read."""
    rank = len(reading.shape)
    dense = np.full(reading.shape, np.nan, values.dtype)
    block = {axis: reading.levels[rank + k] for k, axis in enumerate(reading.block_map)}
    read = 0

    def visit(level, parent, index):
        nonlocal read
        if level == len(reading.levels):
            place = [0] * rank
            for axis, i in zip(reading.traversal[:rank], index[:rank], strict=True):
                place[axis] = i
            for k, axis in enumerate(reading.block_map):
                place[axis] = place[axis] * block[axis] + index[rank + k]
            dense[tuple(place)] = values[read]
            read += 1
        elif isinstance(reading.levels[level], int):
            size = reading.levels[level]
            for i in range(size):
                visit(level + 1, parent * size + i, [*index, i])
        else:
            segments, indices = reading.levels[level]
            for position in range(segments[parent], segments[parent + 1]):
                visit(level + 1, position, [*index, int(indices[position])])

    visit(0, 0, [])
    return dense, read
