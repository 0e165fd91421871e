"""Channel groups while a graph is read: united, split, frozen, ordered.

A *raw* group is what a handler opened. It stays a group of the network, or is
bound to a layout of other raw groups once the graph shows that its channels are
theirs: all of one other group (a sum), the parts of several (a sum with a
concatenation), equal parts (a grouped convolution), or fixed channels.
"""

import functools
import math
import operator
import re

from keras_joslim.channel_layout import ChannelLayout, Segment

# A layout of more segments is frozen rather than matched with one of other segments.
_MOST_SEGMENTS = 4096


class Partition:
    """The channel groups found so far.

    Layouts made during the walk name raw groups; `resolve` says what they have
    become. A frozen group is at full width for good.

    Args:
        names: `id(operation)` -> its name in the report, see `unique_names`.
    """

    def __init__(self, names):
        self._bound = []
        self._size = []
        self._members = []
        self._parts = []
        # Where a group stands in the report: its number, for a part of a group followed by
        # the part's.
        self._rank = []
        self._units = []
        self._unit = {}
        self._orders = []
        self._names = names
        # Lines of the report, by layer.
        self.reasons = {}
        # Ids of operations that stay as they are, though their kind has a slimmable layer.
        self.stock = set()

    # -- what handlers call ----------------------------------------------------

    def name(self, operation):
        """The name of an operation, that of a whole nested model too."""
        return self._names.get(id(operation), operation.name)

    def open(self, size, owner, parts=1, start=None):
        """A new group of `size` channels, opened by layer `owner`: its layout.

        Args:
            size: channels at full width.
            owner: the layer.
            parts: so many equal parts of the layer's channels have this group's
                width; a divisor holds for all of them together.
            start: the first of the owner's channels that are these, if they are not all.
        """
        layout = self._nameless(int(size), parts)
        label = "" if parts == 1 else f" / {parts}"
        if start is not None:
            label = f"[{start}:{start + size}]"
        self._members[layout.single_group] = [self.name(owner) + label]
        return layout

    def resolve(self, layout):
        """`layout` in terms of the groups as they stand, frozen ones as fixed channels."""

        def resolved(segment):
            bound = None if segment.group is None else self._bound[segment.group]
            if bound is None:
                return ChannelLayout.of_group(segment.group, segment.size, segment.unit)
            bound = self._bound[segment.group] = self.resolve(bound)
            return bound.scaled(segment.unit)

        return layout.substituted(resolved)

    def join(self, layout, member):
        """Notes that the channels of layer `member` are those of `layout`."""
        member = self.name(member)
        for group in self.resolve(layout).groups:
            if member not in self._members[group]:
                self._members[group].append(member)

    def merge(self, first, second, layer, sources=()):
        """Makes two layouts equal, as a sum of the two tensors demands.

        A group whose channels belong to several groups of the other layout is split.
        Channels that meet fixed ones are frozen, with a reason that names `layer`.

        Args:
            first: layout of the one tensor.
            second: layout of the other.
            layer: the operation that demands it.
            sources: the two operations that make the tensors, for the report.

        Returns:
            The merged layout.

        Raises:
            ValueError: layouts of different sizes.
        """
        a, b = self.resolve(first), self.resolve(second)
        if a.size != b.size:
            raise ValueError(
                f"Layer {self.name(layer)!r} asks for equal channels where there are {a.size} and "
                f"{b.size}{self._of(sources)}. Received: layouts {a} and {b}"
            )
        one, other = a.single_group, b.single_group
        if a == b:
            return a
        if one is not None and other is not None:
            self._bind(max(one, other), ChannelLayout.of_group(min(one, other), a.size))
        elif a.is_fixed or b.is_fixed:
            self.freeze(b if a.is_fixed else a, layer, self._meets_fixed(sources, a.is_fixed))
        elif one is not None or other is not None:
            self._bind(one if other is None else other, b if other is None else a)
            self._note_fixed(a, b, layer, sources)
        elif max(_segments(a), _segments(b)) > _MOST_SEGMENTS:
            reason = f"combines tensors of too many channel groups{self._of(sources)}"
            self.freeze(a, layer, reason)
            self.freeze(b, layer, reason)
        else:
            self._match(list(reversed(a.flat())), list(reversed(b.flat())), layer, sources)
            self._note_fixed(a, b, layer, sources)
        return self.resolve(a)

    def part(self, layout, parts, layer):
        """The layout of one of so many equal parts of a tensor's channels, all narrowed alike."""
        layout = self.resolve(layout)
        if layout.is_fixed:
            return ChannelLayout.fixed(layout.size // parts)
        part = self._nameless(layout.size // parts, parts)
        self.merge(layout, part.repeated(parts), layer)
        self.join(part, layer)
        return self.resolve(part)

    def cut(self, layout, sizes, layer):
        """The layouts of consecutive parts of a tensor's channels, as a split makes them."""
        layout = self.resolve(layout)
        if not layout.is_fixed:
            joined = functools.reduce(operator.add, map(self._nameless, sizes))
            layout = self.merge(layout, joined, layer)
            self.join(layout, layer)
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return [layout.between(end - n, end) for n, end in zip(sizes, ends, strict=True)]

    def freeze(self, layout, layer, reason):
        """Keeps all groups of `layout` at full width and notes why."""
        groups = self.resolve(layout).groups
        own = self.name(layer)
        kept = [m for group in groups for m in self._members[group] if m != own]
        for group in groups:
            self._bound[group] = ChannelLayout.fixed(self._size[group])
        if groups:
            kept = list(dict.fromkeys(kept))
            kept = f" (keeps {', '.join(kept)} at full width)" if kept else ""
            self.note(layer, reason + kept)

    def note(self, layer, reason):
        """Adds a line to the report of what stays at full width."""
        self.reasons.setdefault(self.name(layer), reason)

    def order(self, narrow, wide, layer):
        """Keeps `wide` at least as wide as `narrow`: each one plain group, or fixed.

        What turns out to be made of several groups is frozen, in the name of `layer`.
        """
        self._orders.append((narrow, wide, layer))

    def require_unit(self, layout, unit, layer):
        """Channels are kept or dropped `unit` at a time, each unit within one segment.

        A layout of which that cannot be said is frozen, in the name of `layer`.
        """
        if unit > 1:
            self._units.append((layout, unit, layer))

    # -- what is read at the end -----------------------------------------------

    def close(self):
        """Settles units and orderings once the whole graph is read."""
        settled, before = self._num_bound(), -1
        # Freezing one layout may break the promises made for another.
        while settled != before:
            for layout, unit, layer in self._units:
                if not _fits(self.resolve(layout), unit):
                    self.freeze(layout, layer, f"keeps or drops {unit} channels at a time")
            for narrow, wide, layer in self._orders:
                for layout in (narrow, wide):
                    resolved = self.resolve(layout)
                    if not resolved.is_fixed and resolved.single_group is None:
                        reason = "pads channels that are made of several groups"
                        self.freeze(narrow, layer, reason)
                        self.freeze(wide, layer, reason)
            # A circle is one group; what it leaves of another circle shows in the next round.
            for a, b in self._circular()[:1]:
                self._bind(b, ChannelLayout.of_group(a, self._size[a]))
            settled, before = self._num_bound(), settled
        for layout, unit, _ in self._units:
            for segment in self.resolve(layout).segments:
                if segment.group is not None:
                    own = unit // math.gcd(unit, segment.unit)
                    self._unit[segment.group] = math.lcm(self._unit.get(segment.group, 1), own)

    @property
    def ordering(self):
        """Pairs (narrow, wide) of groups, once closed."""
        pairs = [
            (self.resolve(a).single_group, self.resolve(b).single_group) for a, b in self._both
        ]
        return [(a, b) for a, b in pairs if a is not None and b is not None and a != b]

    def least(self, group):
        """Channels that a group must have, for the fixed ones that it pads."""
        resolved = ((self.resolve(a), self.resolve(b)) for a, b in self._both)
        return max([1, *(a.size for a, b in resolved if a.is_fixed and b.single_group == group)])

    def roots(self):
        """The groups of the network, in the order they were opened, parts where the whole was."""
        unbound = [group for group, bound in enumerate(self._bound) if bound is None]
        return sorted(unbound, key=lambda group: self._rank[group])

    def size(self, group):
        """Channels of a group."""
        return self._size[group]

    def parts(self, group):
        """Equal parts of a layer's channels that all have the group's width."""
        return self._parts[group]

    def unit(self, group):
        """What the widths of a group must be multiples of."""
        return self._unit.get(group, 1)

    def members(self, group):
        """Names of the layers in a group, in the order of the walk."""
        return tuple(self._members[group])

    # -- uniting and splitting ---------------------------------------------------

    def _num_bound(self):
        return sum(bound is not None for bound in self._bound)

    @property
    def _both(self):
        return [(narrow, wide) for narrow, wide, _ in self._orders]

    def _bind(self, group, layout):
        """The channels of `group` are those of `layout` from now on."""
        self._bound[group] = layout
        at = 0
        for block in layout.blocks:
            for segment in block.segments:
                if segment.group is not None:
                    self._adopt(segment, group, _label(layout, block, segment, at), at)
                at += segment.size
            at += block.period * (block.repeat - 1)

    def _adopt(self, segment, group, label, at):
        """The members of `group`, or the part that `label` names, join those of a segment."""
        own, rank = self._members[segment.group], (*self._rank[group], at)
        adopted = [_labelled(member, label) for member in self._members[group]]
        earlier = rank < self._rank[segment.group]
        members = [*adopted, *own] if earlier else [*own, *adopted]
        self._members[segment.group] = list(dict.fromkeys(members))
        self._rank[segment.group] = min(rank, self._rank[segment.group])
        if not label:
            parts = math.gcd(self._parts[segment.group], self._parts[group])
            self._parts[segment.group] = parts

    def _nameless(self, size, parts=1):
        """A new group that takes its members from those that are bound to it."""
        self._bound.append(None)
        self._size.append(size)
        self._members.append([])
        self._parts.append(parts)
        self._rank.append((len(self._rank),))
        return ChannelLayout.of_group(len(self._bound) - 1, size)

    def _match(self, a, b, layer, sources):
        """Unites two stacks of segments from the top, splitting what ends too late."""
        while a:
            s, t = self._top(a), self._top(b)
            if s.size != t.size:
                stack, longer, shorter = (a, s, t) if s.size > t.size else (b, t, s)
                self._split(stack, longer, shorter.size, layer, sources)
                continue
            a.pop()
            b.pop()
            if s != t:
                self._unite(s, t, layer, sources)

    def _top(self, stack):
        """The top segment as things stand: what is bound is replaced by its parts."""
        while True:
            top = stack[-1]
            resolved = self.resolve(ChannelLayout.of_group(top.group, top.size, top.unit)).flat()
            if resolved == (top,):
                return top
            stack.pop()
            stack += reversed(resolved)

    def _split(self, stack, segment, size, layer, sources):
        """Cuts the top segment of a stack after `size` channels."""
        rest = segment.size - size
        if segment.group is None:
            stack.pop()
            stack += [Segment(None, rest), Segment(None, size)]
        elif size % segment.unit:
            layout = ChannelLayout.of_group(segment.group, self._size[segment.group])
            self.freeze(layout, layer, f"cuts a multiplied channel in two{self._of(sources)}")
        else:
            parts = self._parts[segment.group]
            first, second = (self._nameless(n // segment.unit, parts) for n in (size, rest))
            self._bind(segment.group, first + second)

    def _unite(self, s, t, layer, sources):
        """Makes two segments of equal size one."""
        if s.group is None or t.group is None:
            known, fixed = (t, 0) if s.group is None else (s, 1)
            layout = ChannelLayout.of_group(known.group, self._size[known.group])
            self.freeze(layout, layer, self._meets_fixed(sources, fixed == 0))
        elif s.unit == t.unit:
            first, second = sorted((s.group, t.group))
            self._bind(second, ChannelLayout.of_group(first, self._size[first]))
        else:
            unit = math.lcm(s.unit, t.unit)
            if s.size % unit:
                for group in (s.group, t.group):
                    layout = ChannelLayout.of_group(group, self._size[group])
                    self.freeze(layout, layer, f"multiplies channels unequally{self._of(sources)}")
                return
            common = self._nameless(s.size // unit)
            for segment in sorted((s, t), key=lambda segment: segment.group):
                self._bind(segment.group, common.scaled(unit // segment.unit))

    def _of(self, sources):
        names = [repr(self.name(source)) for source in sources]
        return f", those of {' and '.join(names)}" if names else ""

    def _meets_fixed(self, sources, first_is_fixed):
        if not sources:
            return "some of its channels meet channels that stay at full width"
        fixed, other = (f" of {self.name(source)!r}" for source in sources)
        fixed, other = (fixed, other) if first_is_fixed else (other, fixed)
        return f"combines channels{other} with channels{fixed} that stay at full width"

    def _note_fixed(self, a, b, layer, sources):
        """Says so if a part of what was searchable before a merge is fixed after it."""
        before = [s for layout in (a, b) for s in layout.segments if s.group is not None]
        for segment in before:
            after = self.resolve(ChannelLayout.of_group(segment.group, self._size[segment.group]))
            if any(s.group is None for s in after.segments):
                self.note(layer, f"combines some channels with fixed ones{self._of(sources)}")

    def _circular(self):
        """Pairs of groups that are each at least as wide as the other."""
        edges = set(self.ordering)
        reach, grown = set(edges), True
        while grown:
            more = {(a, d) for a, b in reach for c, d in reach if b == c and a != d} - reach
            grown, reach = bool(more), reach | more
        return [(a, b) for a, b in reach if a < b and (b, a) in reach]


def _segments(layout):
    return sum(len(block.segments) * block.repeat for block in layout.blocks)


def _fits(layout, unit):
    """Whether every segment of a layout starts and ends with a whole unit."""
    return layout.is_fixed or all(segment.size % unit == 0 for segment in layout.segments)


def _label(layout, block, segment, at):
    """What part of a bound group's members a segment of its layout is; "" if all."""
    if layout.is_prefix:
        return "" if segment.unit == 1 else f" / {segment.unit}"
    if len(layout.blocks) == 1 and len(block.segments) == 1:
        return f" / {block.repeat}"
    return f"[{at}:{at + segment.size}]"


def _labelled(member, label):
    """A member's name with what part of it is meant; the part of a part is written as one."""
    outer = re.fullmatch(r"(.*)\[(\d+):(\d+)\]", member)
    inner = re.fullmatch(r"\[(\d+):(\d+)\]", label)
    if outer and inner:
        start = int(outer[2])
        return f"{outer[1]}[{start + int(inner[1])}:{start + int(inner[2])}]"
    return member + label
