"""Channel layouts: what the channels of a tensor are made of.

A layout is an ordered list of segments. A segment belongs to one channel group
and keeps its first channels when the group is narrowed, or belongs to none and
stays whole. Blocks of segments may repeat (Flatten lays the channels of every
pixel side by side). Everything that slices per-channel parameters, counts
costs, or extracts a sub-network reads the same layout.
"""

import dataclasses
import functools
import operator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive channels of one channel group.

    Attributes:
        group: index of the group in the width vector; `None` is never narrowed.
        size: channels at full width.
        unit: channels for one unit of the group's width (a depthwise
            convolution's `depth_multiplier`).
    """

    group: int | None
    size: int
    unit: int = 1

    def width(self, widths):
        """Active channels at `widths`: an int, an array or a scalar tensor."""
        if self.group is None:
            return self.size
        width = widths[..., self.group]
        return width if self.unit == 1 else width * self.unit


@dataclasses.dataclass(frozen=True)
class Block:
    """Segments side by side, the whole `repeat` times over."""

    segments: tuple
    repeat: int = 1

    @property
    def period(self):
        """Channels of one repetition at full width."""
        return sum(segment.size for segment in self.segments)


@dataclasses.dataclass(frozen=True)
class ChannelLayout:
    """The channels of a tensor: blocks of segments, in order.

    Example:

    >>> layout = ChannelLayout.of_group(0, 8) + ChannelLayout.fixed(3)
    >>> layout.size, layout.width(np.array([5]))
    (11, 8)
    >>> layout.indices(np.array([5]))
    array([ 0,  1,  2,  3,  4,  8,  9, 10])
    """

    blocks: tuple

    # -- making --------------------------------------------------------------

    @classmethod
    def fixed(cls, size):
        """Channels that are never narrowed."""
        return cls((Block((Segment(None, int(size)),)),))

    @classmethod
    def of_group(cls, group, size, unit=1):
        """All channels of one group."""
        return cls((Block((Segment(group, int(size), unit),)),))

    def __add__(self, other):
        """The layout of a concatenation."""
        return ChannelLayout(self.blocks + other.blocks).simplified()

    def repeated(self, times):
        """The layout `times` over, as Flatten makes it of `times` pixels."""
        if times == 1:
            return self
        if len(self.blocks) == 1:
            block = self.blocks[0]
            return ChannelLayout((Block(block.segments, block.repeat * times),)).simplified()
        segments = tuple(s for block in self.blocks for s in block.segments * block.repeat)
        return ChannelLayout((Block(segments, times),)).simplified()

    def scaled(self, factor):
        """Each channel replaced by `factor` channels in its place."""
        return self.map_segments(lambda s: Segment(s.group, s.size * factor, s.unit * factor))

    def map_segments(self, function):
        """The layout with `function(segment)` in place of every segment."""
        return ChannelLayout(
            tuple(Block(tuple(map(function, b.segments)), b.repeat) for b in self.blocks)
        ).simplified()

    def substituted(self, function):
        """The layout with the channels of `function(segment)`, a layout, for every segment."""
        blocks = []
        for block in self.blocks:
            parts = [function(segment) for segment in block.segments]
            if len(parts) == 1 and len(parts[0].blocks) == 1:
                only = parts[0].blocks[0]
                blocks.append(Block(only.segments, only.repeat * block.repeat))
            elif block.repeat == 1:
                blocks += [inner for part in parts for inner in part.blocks]
            else:
                inside = tuple(s for part in parts for s in part.flat())
                blocks.append(Block(inside, block.repeat))
        return ChannelLayout(tuple(blocks)).simplified()

    def simplified(self):
        """Equal layouts get one spelling: neighbouring fixed channels are joined."""
        blocks = []
        for block in self.blocks:
            segments = []
            for segment in block.segments:
                if segment.group is None:
                    segment = Segment(None, segment.size)
                    if segments and segments[-1].group is None:
                        segment = Segment(None, segments.pop().size + segment.size)
                segments.append(segment)
            if all(s.group is None for s in segments):
                block = Block((Segment(None, block.period * block.repeat),))
                last = blocks[-1] if blocks else None
                if last and last.segments[0].group is None and len(last.segments) == 1:
                    blocks.pop()
                    block = Block((Segment(None, last.period + block.period),))
            else:
                block = Block(tuple(segments), block.repeat)
            blocks.append(block)
        return ChannelLayout(tuple(blocks))

    # -- facts ---------------------------------------------------------------

    @functools.cached_property
    def size(self):
        """Channels at full width."""
        return sum(block.period * block.repeat for block in self.blocks)

    @property
    def is_fixed(self):
        """Whether no width changes it."""
        return all(s.group is None for s in self.segments)

    @property
    def is_prefix(self):
        """Whether the active channels are the first ones: one segment, once."""
        return len(self.blocks) == 1 and self.blocks[0].repeat == 1 and len(self.segments) == 1

    @property
    def segments(self):
        """The segments of all blocks, repetitions aside."""
        return tuple(s for block in self.blocks for s in block.segments)

    def flat(self):
        """The segments one after the other, repetitions written out."""
        return tuple(s for block in self.blocks for s in block.segments * block.repeat)

    def between(self, start, stop):
        """The layout of the channels from `start` to `stop`, both between two segments.

        Raises:
            ValueError: a bound inside a segment that can be narrowed.
        """
        inside, at = [], 0
        for segment in self.flat():
            first, last = max(start, at), min(stop, at + segment.size)
            if first < last and segment.group is None:
                inside.append(Segment(None, last - first))
            elif first < last:
                if last - first != segment.size:
                    raise ValueError(
                        "Channels are cut between segments only. "
                        f"Received: start={start}, stop={stop} of layout {self}"
                    )
                inside.append(segment)
            at += segment.size
        return ChannelLayout((Block(tuple(inside)),)).simplified()

    def part(self, times):
        """The layout that, `repeated(times)`, has the channels of this one.

        Raises:
            ValueError: channels that are not `times` equal parts.
        """
        if len(self.blocks) == 1 and self.blocks[0].repeat % times == 0:
            block = self.blocks[0]
            return ChannelLayout((Block(block.segments, block.repeat // times),)).simplified()
        size, rest = divmod(self.size, times)
        parts = {self.between(i * size, (i + 1) * size) for i in range(times)} if not rest else ()
        if len(parts) != 1:
            raise ValueError(f"Expected {times} equal parts. Received: layout {self}")
        return parts.pop()

    @property
    def groups(self):
        """Indices of the groups in it, in order, each once."""
        return tuple(dict.fromkeys(s.group for s in self.segments if s.group is not None))

    @property
    def single_group(self):
        """The group of which this is one plain segment, else `None`."""
        if self.is_prefix and self.segments[0].unit == 1:
            return self.segments[0].group
        return None

    def width(self, widths):
        """Active channels at `widths` `(..., groups)`: an int if no group is in it."""
        terms = []
        for block in self.blocks:
            active = _sum([s.width(widths) for s in block.segments])
            terms.append(active if block.repeat == 1 else active * block.repeat)
        return _sum(terms)

    def linear(self, groups):
        """`width(widths)` as `widths @ weights + constant`: float64 `(groups,)` and a float."""
        weights, constant = np.zeros(groups), 0.0
        for block in self.blocks:
            for segment in block.segments:
                if segment.group is None:
                    constant += segment.size * block.repeat
                else:
                    weights[segment.group] += segment.unit * block.repeat
        return weights, constant

    # -- slicing -------------------------------------------------------------

    @functools.cached_property
    def _channels(self):
        """For every channel its group, its place in the segment, and the segment's unit.

        Channels of no group stand before the first place of group 0: always active.
        """
        columns = []
        for s in self.flat():
            fixed = s.group is None
            places = np.full(s.size, -1) if fixed else np.arange(s.size)
            group, unit = (0, 1) if fixed else (s.group, s.unit)
            columns.append(np.stack([np.full(s.size, group), places, np.full(s.size, unit)]))
        return np.concatenate(columns, axis=1).astype(np.int32)

    def indices(self, widths):
        """Positions of the active channels in the full tensor, for numpy arrays.

        Args:
            widths: int array `(groups,)`.

        Returns:
            int64 `(width,)`, ascending.
        """
        parts, start = [], 0
        for block in self.blocks:
            for _ in range(block.repeat):
                for segment in block.segments:
                    parts.append(np.arange(start, start + int(segment.width(widths))))
                    start += segment.size
        return np.concatenate(parts)

    def slice(self, tensor, widths, axis=-1):
        """The active channels of a full tensor, in a TensorFlow graph or eagerly.

        Args:
            tensor: `size` long along `axis`.
            widths: int32 tensor `(groups,)`.
            axis: the channel axis; other axes must have a static length where a
                block repeats.

        Returns:
            The tensor, `width(widths)` long along `axis`.
        """
        # Imported here so that costs and search read layouts without TensorFlow.
        from keras_joslim.channel_slicing import slice_axes

        return slice_axes(tensor, {axis: self}, widths)

    # -- JSON ----------------------------------------------------------------

    def to_list(self):
        """A JSON list from which `from_list` makes the same layout."""
        return [
            [[[s.group, s.size, s.unit] for s in block.segments], block.repeat]
            for block in self.blocks
        ]

    @classmethod
    def from_list(cls, blocks):
        """The layout that `to_list` described."""
        return cls(tuple(Block(tuple(Segment(*s) for s in segments), n) for segments, n in blocks))

    def __str__(self):
        def text(block):
            inner = "+".join(
                f"{s.size}" if s.group is None else f"[{s.group}]{s.size}" for s in block.segments
            )
            return inner if block.repeat == 1 else f"({inner})x{block.repeat}"

        return "+".join(map(text, self.blocks))


def _sum(terms):
    """Without the leading 0 of Python's `sum`, which would be an operation of a graph."""
    return functools.reduce(operator.add, terms)
