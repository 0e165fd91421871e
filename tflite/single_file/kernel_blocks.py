"""A shared kernel in blocks, ordered so that each point reads its slice as a sparse tensor.

TFLite's sparse tensors (Elsen et al., "Fast Sparse ConvNets", CVPR 2020, brought the format) store
the values of blocks one after the other, and beside them which block of the dense tensor each one
is. DENSIFY makes the dense tensor when the file is loaded; XNNPACK and the built-in kernels take
it for a constant. It reads from the buffer as much as the sparse tensor names and no more. So many
tensors, each with its own description, stand on one buffer: the blocks that all points have come
first, then those that all but the narrowest have, and so on, and a point reads a first part.

Where points are not nested (one is wider here, another there), blocks that a point does not have
lie between those it has. It reads such a block into the place of its own next one, which then
overwrites it.
"""

import dataclasses
import functools
import math

import numpy as np


class TooManyAxesError(ValueError):
    """A kernel that is narrowed along more than two axes."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """A sparse tensor's description: how a point reads its slice from the blocks.

    Attributes:
        shape: of the slice.
        traversal: axes in the order in which they are gone through; those of the blocks,
            counted on after the tensor's own, last.
        block_map: the axes that are cut into blocks.
        levels: one for each entry of `traversal`: an int, its size, if all of it is there, else
            `(segments, indices)` as in compressed sparse rows.
        count: values that are read.
    """

    shape: tuple
    traversal: tuple
    block_map: tuple
    levels: tuple
    count: int

    @functools.cached_property
    def bytes(self):
        """Bytes of the indices in a file."""
        return sum(
            index_array(part).nbytes
            for level in self.levels
            if not isinstance(level, int)
            for part in level
        )


def index_array(values):
    """Indices in the smallest of the three types that a file may hold them in."""
    values = np.asarray(values)
    for dtype in (np.uint8, np.uint16):
        if values.max(initial=0) <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.int32)


class KernelBlocks:
    """The order of a kernel's blocks, made for a number of slices.

    Args:
        shape: of the whole kernel.
        maps: dict point -> tuple of ascending int arrays, one an axis: the channels it has.

    Attributes:
        size: values that are stored; those that no point has are left out.

    Raises:
        TooManyAxesError: more than two axes are narrowed.

    Example:

    >>> blocks = KernelBlocks((16, 1, 1, 8), maps)
    >>> buffer, reading = blocks.ordered(kernel), blocks.reading("narrow")
    """

    def __init__(self, shape, maps):
        self._shape = tuple(shape)
        self._maps = maps
        narrow = [
            axis
            for axis, size in enumerate(self._shape)
            if any(len(axes[axis]) < size for axes in maps.values())
        ]
        if len(narrow) > 2:
            raise TooManyAxesError(f"axes {narrow} of shape {self._shape}")
        sides = {axis: _Side(self._shape[axis], maps, axis) for axis in narrow}
        # Inner indices are one a block, a byte each up to 256; outer ones are one a run of blocks.
        self._axes = sorted(narrow, key=lambda a: (sides[a].blocks <= 256, sides[a].blocks))
        self._sides = [sides[axis] for axis in self._axes]
        self._sequence = self._order()
        inside = math.prod(self._shape) // math.prod(side.blocks for side in self._sides)
        self.size = inside * (len(self._sequence[0]) if self._axes else 1)

    def ordered(self, kernel):
        """The values of a kernel of the whole shape in the order of storage: 1-D."""
        if not self._axes:
            return kernel.ravel()
        shape, outer, inner = [], [], []
        for axis, size in enumerate(self._shape):
            if axis in self._axes:
                side = self._sides[self._axes.index(axis)]
                outer.append(len(shape))
                shape += [side.blocks, side.block]
                inner.append(len(shape) - 1)
            else:
                shape.append(size)
        # `outer` is by axis, the order of storage is outermost first.
        outer = [outer[sorted(self._axes).index(axis)] for axis in self._axes]
        rest = [i for i in range(len(shape)) if i not in (*outer, *inner)]
        cut = kernel.reshape(shape).transpose(*outer, *rest, *inner)
        return cut[self._sequence].ravel()

    def reading(self, point):
        """How a point reads its slice; None if it is the whole kernel, stored as it is.

        Args:
            point: a key of `maps`.
        """
        if not self._axes:
            return None
        sequence, places = [], []
        mine = np.ones(len(self._sequence[0]), bool)
        for side, blocks in zip(self._sides, self._sequence, strict=True):
            mine &= side.members[point][blocks]
        last = int(np.flatnonzero(mine)[-1]) + 1
        # What is not mine goes where my next block goes.
        following = np.flatnonzero(mine)[np.cumsum(mine[:last]) - mine[:last]]
        for side, blocks in zip(self._sides, self._sequence, strict=True):
            rank = np.cumsum(side.members[point]) - 1
            sequence.append(rank[blocks[following]])
            places.append(int(side.members[point].sum()))
        shape = tuple(len(axis) for axis in self._maps[point])
        rest = [axis for axis in range(len(shape)) if axis not in self._axes]
        cut = [axis for axis in sorted(self._axes) if self._side(axis).block > 1]
        block_sizes = [self._side(axis).block for axis in cut]
        inside = math.prod(block_sizes) * math.prod(shape[axis] for axis in rest)
        return Reading(
            shape=shape,
            traversal=(*self._axes, *rest, *range(len(shape), len(shape) + len(cut))),
            block_map=tuple(cut),
            levels=(*_levels(sequence, places), *(shape[axis] for axis in rest), *block_sizes),
            count=last * inside,
        )

    def _side(self, axis):
        return self._sides[self._axes.index(axis)]

    def _order(self):
        """For each narrowed axis, the block index of every stored block, in order."""
        if not self._axes:
            return ()
        grid = np.indices([side.blocks for side in self._sides]).reshape(len(self._sides), -1)
        members = np.stack(
            [
                np.all([s.members[p][g] for s, g in zip(self._sides, grid, strict=True)], axis=0)
                for p in self._maps
            ]
        )
        stored = members.any(0)
        grid, members = grid[:, stored], members[:, stored]
        # The more points have a block the earlier it comes; blocks of the same points together.
        keys = [*grid[::-1], *~members[::-1], (~members).sum(0)]
        return tuple(grid[:, np.lexsort(keys)])


class _Side:
    """One narrowed axis, cut into equal blocks of which each point has all or nothing.

    Attributes:
        block: channels of one block.
        blocks: how many there are.
        members: dict point -> bool array, the blocks that it has.
    """

    def __init__(self, size, maps, axis):
        channels = {}
        for point, axes in maps.items():
            channels[point] = np.zeros(size, bool)
            channels[point][axes[axis]] = True
        stacked = np.stack(list(channels.values()))
        changes = np.flatnonzero((stacked[:, 1:] != stacked[:, :-1]).any(0)) + 1
        self.block = math.gcd(*np.diff([0, *changes, size]).tolist())
        self.blocks = size // self.block
        self.members = {point: mine[:: self.block] for point, mine in channels.items()}


def _levels(sequence, places):
    """The levels of the narrowed axes, given the place of each block that is read.

    Args:
        sequence: for each narrowed axis, outermost first, int array `(blocks read,)`.
        places: for each narrowed axis, how many blocks the slice has along it.
    """
    outer = sequence[0]
    starts = np.flatnonzero(np.diff(outer, prepend=-1)) if len(sequence) > 1 else None
    runs = outer if starts is None else outer[starts]
    plain = np.array_equal(runs, np.arange(places[0]))
    levels = [places[0] if plain else ([0, len(runs)], runs)]
    if starts is not None:
        inner, every = sequence[1], np.arange(places[1])
        full = np.array_equal(inner, np.tile(every, len(runs)))
        regular = full and np.array_equal(starts, np.arange(len(runs)) * places[1])
        levels.append(places[1] if regular else (np.append(starts, len(inner)), inner))
    return levels
