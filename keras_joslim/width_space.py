"""The width space: which width vectors are legal, and how any vector becomes one.

Pure numpy. A *width* is the number of active channels of a channel group; a
width vector `widths` holds one int per group, shape `(groups,)`.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """One searchable variable: tensors whose channel count must stay equal.

    Attributes:
        name: the name of the group, that of the first layer that opens it.
        size: full width, in channels.
        legal: the legal widths, ascending; the last one is `size`.
        members: names of the layers whose channels belong to the group, in
            graph order.
    """

    name: str
    size: int
    legal: tuple
    members: tuple = ()

    def __post_init__(self):
        legal = tuple(int(w) for w in self.legal)
        object.__setattr__(self, "legal", legal)
        object.__setattr__(self, "members", tuple(self.members))
        ascending = all(a < b for a, b in zip(legal, legal[1:]))
        if not legal or legal[0] < 1 or legal[-1] != self.size or not ascending:
            raise ValueError(
                "The legal widths of a channel group must ascend from at least 1 to "
                f"its size. Received: name={self.name!r}, size={self.size}, legal={legal}"
            )


def legal_widths(size, min_width, divisor=1, choices=None, unit=1):
    """The legal widths of one channel group.

    Args:
        size: full width of the group, in channels.
        min_width: smallest width multiplier, in (0, 1].
        divisor: widths are multiples of it (the full width is always legal).
        choices: at most so many widths, evenly spaced; `None` keeps all.
        unit: widths must also be multiples of it (grouped layers need this).

    Returns:
        A tuple of ints, ascending, ending in `size`, never below 1.

    Example:

    >>> legal_widths(32, min_width=0.42, divisor=8)
    (16, 24, 32)
    """
    step = math.lcm(divisor, unit)
    # Rounded half up to the nearest multiple, never to zero.
    lowest = max(step, int(math.floor(min_width * size / step + 0.5)) * step)
    widths = [*range(lowest, size, step), size]
    if choices is not None and choices < len(widths):
        targets = np.linspace(widths[0], size, choices) if choices > 1 else [size]
        widths = sorted({_nearest(np.asarray(widths), target) for target in targets})
    return tuple(int(w) for w in widths)


def _nearest(legal, value):
    """The legal width nearest to `value`; the larger one of a tie."""
    distance = np.abs(legal - value)
    return int(legal[len(legal) - 1 - np.argmin(distance[::-1])])


class WidthSpace:
    """The channel groups of a network with their bounds and ordering constraints.

    Args:
        groups: the `ChannelGroup`s, in the order of the width vector.
        ordering: pairs `(narrow, wide)` of group indices: the width of `wide`
            is never below that of `narrow` (a zero-padded shortcut needs it).
        frozen: `(layer name, reason)` pairs of what stays at full width.

    Raises:
        ValueError: names used twice, an ordering that is circular or asks a
            smaller group to hold a larger one.

    Example:

    >>> space = WidthSpace([ChannelGroup("stem", 16, (8, 12, 16))])
    >>> space.canonical([9.7])
    array([8], dtype=int32)
    """

    def __init__(self, groups, ordering=(), frozen=()):
        self.groups = tuple(groups)
        self.ordering = tuple(sorted({(int(a), int(b)) for a, b in ordering}))
        self.frozen = tuple((str(layer), str(reason)) for layer, reason in frozen)
        names = [group.name for group in self.groups]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Channel group names must be unique. Received twice: {twice}")
        self._ordering = self._sorted_ordering()
        self._legal = tuple(np.asarray(group.legal, np.int64) for group in self.groups)
        # Half-way points: searchsorted(side="right") sends a tie to the larger width.
        self._edges = tuple((legal[1:] + legal[:-1]) / 2 for legal in self._legal)

    # -- facts ---------------------------------------------------------------

    def __len__(self):
        return len(self.groups)

    @property
    def names(self):
        """Names of the groups, in the order of the width vector."""
        return tuple(group.name for group in self.groups)

    @property
    def legal(self):
        """Per group an ascending int array of its legal widths."""
        return self._legal

    @property
    def full(self):
        """The full network's widths, int32 `(groups,)`."""
        return np.array([group.size for group in self.groups], np.int32)

    @property
    def smallest(self):
        """The smallest network's widths, int32 `(groups,)`."""
        return self.canonical([group.legal[0] for group in self.groups])

    @property
    def searchable(self):
        """Indices of the groups that have more than one legal width."""
        return np.array([i for i, g in enumerate(self.groups) if len(g.legal) > 1], np.int64)

    @property
    def min_multiplier(self):
        """The smallest width multiplier of any group."""
        if not self.groups:
            return 1.0
        return float(min(group.legal[0] / group.size for group in self.groups))

    @property
    def num_networks(self):
        """Number of width vectors, ordering constraints aside (a Python int)."""
        return math.prod(len(group.legal) for group in self.groups)

    # -- vectors -------------------------------------------------------------

    def canonical(self, widths):
        """Makes any vector legal: each entry rounded, then the ordering satisfied.

        Args:
            widths: real numbers, shape `(groups,)` or `(n, groups)`.

        Returns:
            int32 of the same shape. Entries go to the nearest legal width, a tie
            to the larger; then every `wide` group is raised to at least its
            `narrow` one. Applying it again changes nothing.

        Raises:
            ValueError: a wrong number of groups, or NaN.
        """
        values = np.asarray(widths, np.float64)
        if values.ndim not in (1, 2) or values.shape[-1] != len(self):
            raise ValueError(
                f"Expected widths of shape ({len(self)},) or (n, {len(self)}), one entry a "
                f"channel group. Received: shape={values.shape}"
            )
        if np.isnan(values).any():
            raise ValueError(f"Widths must be numbers. Received NaN: widths={widths}")
        result = np.empty(values.shape, np.int32)
        for i, (legal, edges) in enumerate(zip(self._legal, self._edges)):
            result[..., i] = legal[np.searchsorted(edges, values[..., i], side="right")]
        for narrow, wide in self._ordering:
            legal = self._legal[wide]
            least = legal[np.searchsorted(legal, result[..., narrow], side="left")]
            result[..., wide] = np.maximum(result[..., wide], least)
        return result

    def validate(self, widths):
        """Returns `widths` as int32 if it is legal as it stands.

        Raises:
            ValueError: naming the group, its value and its legal widths.
        """
        given = np.asarray(widths)
        if not np.issubdtype(given.dtype, np.integer):
            number = np.issubdtype(given.dtype, np.floating)
            if not number or not np.array_equal(given, np.round(given)):
                raise ValueError(
                    "Widths are whole numbers of channels. "
                    f"Received: widths={widths}. For width multipliers use "
                    "`width_space.from_multipliers(...)`."
                )
        canonical = self.canonical(given)
        wrong = np.argwhere(np.atleast_2d(canonical != given))
        if len(wrong):
            row, i = wrong[0]
            group, value = self.groups[i], int(np.atleast_2d(given)[row, i])
            if value in group.legal:
                widest = np.atleast_2d(canonical)[row]
                narrow = next(a for a, b in self.ordering if b == i and widest[a] > value)
                why = f"must be at least that of group {self.groups[narrow].name!r}, which feeds it"
            else:
                why = f"must be one of {_abridged(group.legal)}"
            raise ValueError(
                f"The width of group {group.name!r} (index {i}) {why}. Received: width={value}. "
                "`width_space.canonical(widths)` makes any vector legal."
            )
        return canonical

    def multipliers(self, widths):
        """Width multipliers in (0, 1]: float64 of the shape of `widths`."""
        return np.asarray(widths, np.float64) / self.full

    def from_multipliers(self, multipliers):
        """Canonical widths nearest to the multipliers, `(groups,)` or `(n, groups)`."""
        return self.canonical(np.asarray(multipliers, np.float64) * self.full)

    def uniform(self, multiplier):
        """Canonical widths of one multiplier, above 0 and at most 1, for all groups.

        Raises:
            ValueError: a multiplier out of range, or NaN.
        """
        if not 0 < multiplier <= 1:
            raise ValueError(
                "A width multiplier is above 0 and at most 1; numbers of channels go to "
                f"`canonical`. Received: multiplier={multiplier}"
            )
        return self.from_multipliers(np.full(len(self), float(multiplier)))

    def sample(self, rng, n):
        """`n` canonical vectors, each group uniform over its legal widths: `(n, groups)`."""
        columns = [legal[rng.integers(len(legal), size=n)] for legal in self._legal]
        return self.canonical(np.stack(columns, axis=1))

    # -- report and JSON -----------------------------------------------------

    def to_dict(self):
        """A JSON dict from which `from_dict` makes the same space."""
        return {
            "groups": [
                {"name": g.name, "size": g.size, "legal": list(g.legal), "members": list(g.members)}
                for g in self.groups
            ],
            "ordering": [list(pair) for pair in self.ordering],
            "frozen": [list(pair) for pair in self.frozen],
        }

    @classmethod
    def from_dict(cls, config):
        """The space that `to_dict` described."""
        try:
            groups = [ChannelGroup(**group) for group in config["groups"]]
            return cls(groups, config["ordering"], config["frozen"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"Not the description of a width space: {error!r}") from error

    def __eq__(self, other):
        return isinstance(other, WidthSpace) and self.to_dict() == other.to_dict()

    def __hash__(self):
        return hash((self.names, self.ordering))

    def report(self):
        """What was found, as a JSON dict.

        Returns:
            `networks`: number of width vectors; `groups`: a list of dicts of `name`,
            `size`, `min`, `max`, `widths` (the legal ones), `members` (layer names in
            graph order; `a[4:9]` are channels 4 to 8 of layer `a`, `a / 8` one eighth of
            them) and `never_narrower_than` (names of groups); `frozen`: a list of dicts of
            `layer` and `reason`.
        """
        above = {}
        for narrow, wide in self.ordering:
            above.setdefault(wide, []).append(self.groups[narrow].name)
        groups = [
            {
                "name": group.name,
                "size": group.size,
                "min": group.legal[0],
                "max": group.legal[-1],
                "widths": list(group.legal),
                "members": list(group.members),
                "never_narrower_than": above.get(i, []),
            }
            for i, group in enumerate(self.groups)
        ]
        frozen = [{"layer": layer, "reason": reason} for layer, reason in self.frozen]
        return {"networks": self.num_networks, "groups": groups, "frozen": frozen}

    def summary(self, print_fn=print):
        """Prints `report`: each group with its members in graph order; what is frozen and why."""
        report = self.report()
        print_fn(
            f"{len(self)} channel groups, {len(self.searchable)} searchable, "
            f"up to {_rounded(self.num_networks)} networks"
        )
        for i, group in enumerate(report["groups"]):
            widths = _abridged(group["widths"])
            print_fn(f"  [{i}] {group['name']}: {group['size']} channels, {widths}")
            if group["members"]:
                print_fn(f"      members: {' -> '.join(group['members'])}")
            if group["never_narrower_than"]:
                print_fn(f"      never narrower than {', '.join(group['never_narrower_than'])}")
        if report["frozen"]:
            print_fn("  at full width:")
            for line in report["frozen"]:
                print_fn(f"      {line['layer']}: {_shortened(line['reason'])}")

    def _sorted_ordering(self):
        """The ordering pairs, sorted so that one pass over them satisfies all."""
        for narrow, wide in self.ordering:
            if not (0 <= narrow < len(self) and 0 <= wide < len(self)):
                raise ValueError(
                    f"Ordering names a group that is not there: {(narrow, wide)} of {len(self)}"
                )
            if self.groups[narrow].size > self.groups[wide].size:
                raise ValueError(
                    f"Group {self.groups[wide].name!r} (size={self.groups[wide].size}) cannot be "
                    f"at least as wide as {self.groups[narrow].name!r} "
                    f"(size={self.groups[narrow].size})"
                )
        waiting, done, result = set(range(len(self))), set(), []
        while waiting:
            ready = {w for w in waiting if all(a in done for a, b in self.ordering if b == w)}
            if not ready:
                names = [self.groups[i].name for i in sorted(waiting)]
                raise ValueError(f"The ordering of these channel groups is circular: {names}")
            result += [(a, b) for a, b in self.ordering if b in ready]
            done |= ready
            waiting -= ready
        return tuple(result)


def _rounded(count):
    """A count in three digits; a large network's is more than a float holds."""
    return f"{count:.3g}" if count < 1e300 else f"1e+{math.floor(math.log10(count))}"


def _shortened(reason):
    """A reason with a few of the layers that it keeps; the report has them all."""
    start, keeps, names = reason.partition(" (keeps ")
    names = names.removesuffix(" at full width)").split(", ")
    if len(names) <= 4:
        return reason
    return f"{start}{keeps}{', '.join(names[:4])} and {len(names) - 4} more at full width)"


def _abridged(legal):
    """A short text for a tuple of widths."""
    if len(legal) <= 6:
        return str(list(legal))
    return f"[{legal[0]}, {legal[1]}, ... {legal[-2]}, {legal[-1]}] ({len(legal)} widths)"
