"""Tables of latency over one or two widths: knots, and what lies between them.

A table is bilinear between its knots, so that it is of any widths, and its values at the knots are
all that is to be fitted.
"""

import dataclasses

import numpy as np

from keras_joslim.costs.width_functions import evaluate

# Knots along an axis. With 8, a convolution's table has 64 values.
KNOTS = 8


@dataclasses.dataclass(frozen=True)
class Term:
    """One operator of a file.

    Attributes:
        name: of the tensor that it computes, as the converter called it.
        signature: what it is: the operator, its options and its sizes, letters for those that
            widths change. Operators of one signature cost the same at the same widths.
        axes: tuple of at most two functions (`costs.width_functions`), the widths that it depends
            on: of its input and of its output, where they differ.
    """

    name: str
    signature: str
    axes: tuple

    def to_dict(self):
        """A JSON dict."""
        axes = [
            {"groups": {str(g): w for g, w in enumerate(f[:-1]) if w}, "constant": f[-1]}
            for f in self.axes
        ]
        return {"name": self.name, "signature": self.signature, "axes": axes}

    @classmethod
    def from_dict(cls, values, groups):
        """What `to_dict` described, of a network of so many groups."""
        axes = []
        for axis in values["axes"]:
            function = [0.0] * groups + [float(axis["constant"])]
            for group, weight in axis["groups"].items():
                function[int(group)] = float(weight)
            axes.append(tuple(function))
        return cls(values["name"], values["signature"], tuple(axes))


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """The knots of one table.

    Attributes:
        signature: of the operators that it is for.
        axes: tuple of ascending float64 arrays, the knots; at most two.
        start: where its values begin among those of all tables.
    """

    signature: str
    axes: tuple
    start: int

    @property
    def shape(self):
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self):
        return int(np.prod(self.shape))

    @property
    def values(self):
        """Slice of this table's values among those of all."""
        return slice(self.start, self.start + self.size)

    def weights(self, places):
        """What the knots weigh at some places.

        Args:
            places: float `(n, axes)`; outside of the knots the value at the nearest holds.

        Returns:
            Indices into the table, flat, int `(n, 2 ** axes)`, and weights of the same shape.
        """
        index = np.zeros((len(places), 1), np.int64)
        weight = np.ones((len(places), 1))
        for knots, at in zip(self.axes, places.T, strict=True):
            low, share = between(knots, at)
            high = np.minimum(low + 1, len(knots) - 1)
            index = index[:, :, None] * len(knots) + np.stack([low, high], 1)[:, None, :]
            weight = weight[:, :, None] * np.stack([1 - share, share], 1)[:, None, :]
            index, weight = index.reshape(len(places), -1), weight.reshape(len(places), -1)
        return index, weight


def between(knots, at):
    """The knot at or below each value, and how far it is on the way to the next, 0 to 1."""
    if len(knots) == 1:
        return np.zeros(len(at), np.int64), np.zeros(len(at))
    low = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    share = (at - knots[low]) / (knots[low + 1] - knots[low])
    return low, np.clip(share, 0.0, 1.0)


def make_grids(terms, legal, knots=KNOTS):
    """The tables that the terms need: a list of `Grid`, in order of their signatures.

    Args:
        terms: `Term`s.
        legal: per group an ascending int array of its legal widths.
        knots: along an axis, at most.
    """
    # At the legal widths of a group alone, all its functions' values are seen; of a sum the ends.
    full = np.array([widths[-1] for widths in legal])
    ends = np.stack([[widths[0] for widths in legal], full])
    reached = {}
    for term in terms:
        for axis, function in enumerate(term.axes):
            groups = np.flatnonzero(function[:-1])
            rows = ends
            if len(groups) == 1:
                rows = np.tile(full, (len(legal[groups[0]]), 1))
                rows[:, groups[0]] = legal[groups[0]]
            values = evaluate([function], rows)[:, 0]
            reached.setdefault((term.signature, axis), []).append(values)
    grids, start = [], 0
    for signature in sorted({term.signature for term in terms}):
        count = sum(1 for name, _ in reached if name == signature)
        axes = tuple(
            _knots(np.unique(np.concatenate(reached[signature, axis])), knots)
            for axis in range(count)
        )
        grids.append(Grid(signature, axes, start))
        start += grids[-1].size
    return grids


def _knots(values, count):
    """Some of the values, the first and the last among them, evenly spaced as far as can be."""
    if len(values) == 2 and values[1] - values[0] > count:
        return np.linspace(*values, count)
    if len(values) <= count:
        return values
    targets = np.linspace(values[0], values[-1], count)
    nearest = np.abs(values[:, None] - targets).argmin(axis=0)
    return values[np.unique(nearest)]


def design(grids, terms, widths):
    """How often each value of the tables counts in each network.

    Args:
        grids: list of `Grid`.
        terms: the network's.
        widths: int `(n, groups)`.

    Returns:
        float64 `(n, values)`: its product with the values is the networks' latency without what
        does not depend on widths.
    """
    by_signature = {grid.signature: grid for grid in grids}
    total = sum(grid.size for grid in grids)
    matrix = np.zeros((len(widths), total))
    rows = np.arange(len(widths))[:, None]
    for term in terms:
        grid = by_signature[term.signature]
        index, weight = grid.weights(evaluate(list(term.axes), np.asarray(widths)))
        np.add.at(matrix, (rows, grid.start + index), weight)
    return matrix
