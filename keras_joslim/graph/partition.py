"""Channel groups while a graph is read: merged by union-find, frozen, ordered."""

import math

from keras_joslim.channel_layout import ChannelLayout, Segment


class Partition:
    """The channel groups found so far.

    Layouts made during the walk name *raw* groups; `resolve` says what they have
    become. A frozen group is at full width for good.
    """

    def __init__(self):
        self._parent = []
        self._size = []
        self._members = []
        self._frozen = []
        self._unit = []
        self._least = []
        self.ordering = []
        self.reasons = {}

    def open(self, size, owner):
        """A new group of `size` channels, opened by layer `owner`: its layout."""
        self._parent.append(len(self._parent))
        self._size.append(size)
        self._members.append([owner])
        self._frozen.append(False)
        self._unit.append(1)
        self._least.append(1)
        return ChannelLayout.of_group(len(self._parent) - 1, size)

    def root(self, group):
        """The raw group that stands for all groups merged with `group`."""
        while self._parent[group] != group:
            self._parent[group] = self._parent[self._parent[group]]
            group = self._parent[group]
        return group

    def resolve(self, layout):
        """`layout` in terms of root groups, frozen ones as fixed channels."""

        def resolved(segment):
            if segment.group is None:
                return segment
            root = self.root(segment.group)
            return Segment(None if self._frozen[root] else root, segment.size, segment.unit)

        return layout.map_segments(resolved)

    def join(self, layout, member):
        """Notes that the channels of layer `member` are those of `layout`."""
        for group in self.resolve(layout).groups:
            if member not in self._members[group]:
                self._members[group].append(member)

    def merge(self, first, second, layer):
        """Makes two layouts equal, as a sum of the two tensors demands.

        Channels that cannot be matched one to one are frozen, with a reason that
        names `layer`.

        Returns:
            The merged layout.
        """
        a, b = self.resolve(first), self.resolve(second)
        if a == b:
            return a
        if a.is_fixed or b.is_fixed:
            other = b if a.is_fixed else a
            self.freeze(other, layer, "is combined with channels that stay at full width")
        elif _shape(a) == _shape(b):
            for one, two in zip(a.segments, b.segments, strict=True):
                self._unite(one.group, two.group, layer)
        else:
            reason = "combines tensors whose channels are made of different groups"
            self.freeze(a, layer, reason)
            self.freeze(b, layer, reason)
        return self.resolve(a)

    def freeze(self, layout, layer, reason):
        """Keeps all groups of `layout` at full width and notes why."""
        groups = self.resolve(layout).groups
        for group in groups:
            self._frozen[group] = True
        if groups:
            self.note(layer, reason)

    def note(self, layer, reason):
        """Adds a line to the report of what stays at full width."""
        self.reasons.setdefault(layer, reason)

    def order(self, narrow, wide):
        """Keeps the group of `wide` at least as wide as `narrow`: one plain group, or fixed."""
        if narrow.is_fixed:
            self._least[wide.single_group] = narrow.size
        else:
            self.ordering.append((narrow.single_group, wide.single_group))

    def require_unit(self, layout, unit):
        """Widths of the groups of `layout` must be multiples of `unit`."""
        for group in self.resolve(layout).groups:
            self._unit[group] = math.lcm(self._unit[group], unit)

    def close(self):
        """Settles the orderings once the whole graph is read: a circle is one group."""
        for a, b in self._circular():
            self._unite(a, b, self._members[a][0])

    def least(self, group):
        """Channels that a root group must have, for frozen channels that it pads."""
        frozen = (
            self._size[narrow]
            for narrow, wide in self.ordering
            if self.root(wide) == group and self._frozen[self.root(narrow)]
        )
        return max([self._least[group], *frozen])

    def roots(self):
        """Root groups that are not frozen, in the order they were opened."""
        return [g for g in range(len(self._parent)) if self.root(g) == g and not self._frozen[g]]

    def size(self, group):
        """Channels of a root group."""
        return self._size[group]

    def unit(self, group):
        """What the widths of a root group must be multiples of."""
        return self._unit[group]

    def members(self, group):
        """Names of the layers in a root group, in the order of the walk."""
        return tuple(self._members[group])

    def _unite(self, first, second, layer):
        a, b = (None if g is None else self.root(g) for g in (first, second))
        if a is None or b is None:
            group = b if a is None else a
            if group is not None and not self._frozen[group]:
                self._frozen[group] = True
                self.note(layer, "is combined with channels that stay at full width")
            return
        if a == b:
            return
        a, b = min(a, b), max(a, b)
        self._parent[b] = a
        self._members[a] += [m for m in self._members[b] if m not in self._members[a]]
        self._frozen[a] = self._frozen[a] or self._frozen[b]
        self._unit[a] = math.lcm(self._unit[a], self._unit[b])
        self._least[a] = max(self._least[a], self._least[b])

    def _circular(self):
        """Pairs of groups that are each at least as wide as the other."""
        edges = {(self.root(a), self.root(b)) for a, b in self.ordering}
        reach, grown = set(edges), True
        while grown:
            more = {(a, d) for a, b in reach for c, d in reach if b == c} - reach
            grown, reach = bool(more), reach | more
        return [(a, b) for a, b in reach if a < b and (b, a) in reach]


def _shape(layout):
    return [(block.repeat, [(s.size, s.unit) for s in block.segments]) for block in layout.blocks]
