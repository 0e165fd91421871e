"""A cost as a sum of tables over the widths that each layer depends on.

The form in which an exact search over widths reads a cost: `BilinearCost.factors` gives it, and so
does any other cost with a method `factors(legal)`.
"""

import dataclasses
import math

import numpy as np

# Half a GiB: a table that large is one of two sums of many widths each.
_MOST_ENTRIES = 2**26


@dataclasses.dataclass(frozen=True)
class WidthSum:
    """A whole-number combination of the widths of several groups: a concatenated input's channels.

    Attributes:
        terms: `(group, weight)` pairs of at least two groups, kept sorted by group; weights are
            whole numbers from 1.

    Raises:
        ValueError: fewer than two groups, a group twice, or another weight.

    Example:

    >>> WidthSum(((0, 1), (2, 1))).values([np.array([2, 4]), np.array([8]), np.array([3, 5])])
    array([5, 7, 9])
    """

    terms: tuple

    def __post_init__(self):
        try:
            terms = tuple(sorted((int(group), int(weight)) for group, weight in self.terms))
            whole = sorted((float(group), float(weight)) for group, weight in self.terms) == [
                (float(group), float(weight)) for group, weight in terms
            ]
        except (TypeError, ValueError, OverflowError):
            terms, whole = (), False
        distinct = {group for group, _ in terms}
        if not whole or len(distinct) < 2 or len(distinct) < len(terms) or min(terms)[0] < 0:
            raise ValueError(
                "A sum of widths is of two groups or more, each once, as (group, weight) pairs of "
                f"whole numbers. Received: terms={self.terms}"
            )
        if any(weight < 1 for _, weight in terms):
            raise ValueError(f"Weights are whole numbers from 1. Received: terms={self.terms}")
        object.__setattr__(self, "terms", terms)

    @property
    def groups(self):
        """Indices of the groups in it, ascending."""
        return tuple(group for group, _ in self.terms)

    def values(self, legal):
        """The values that it takes over the legal widths: ascending int64, each once.

        Args:
            legal: per group an ascending int array of its legal widths.
        """
        (first, weight), *others = self.terms
        reached = weight * np.asarray(legal[first], np.int64)
        for group, weight in others:
            reached = sums(reached, weight * np.asarray(legal[group], np.int64))
        return reached


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """A part of a cost that depends on few widths, as a table over them.

    Attributes:
        groups: what each axis of the table stands for: the index of a channel group, or a
            `WidthSum`; distinct. None at all makes a constant.
        table: finite float64; along an axis one entry a legal width of the group, ascending, or
            one a value of `WidthSum.values`.

    Raises:
        ValueError: an axis that is neither, one used twice, another number of axes than the table
            has, entries that are NaN or infinite.

    Example:

    >>> legal = [np.array([8, 16]), np.array([4, 8, 12])]
    >>> convolution = Factor((0, 1), np.multiply.outer(legal[0], legal[1]))
    """

    groups: tuple
    table: np.ndarray

    def __post_init__(self):
        groups = tuple(self.groups)
        for axis in groups:
            if not isinstance(axis, WidthSum | int | np.integer) or isinstance(axis, bool):
                raise ValueError(
                    "An axis of a factor is the index of a channel group or a WidthSum. "
                    f"Received: {axis!r} in groups={self.groups}"
                )
        groups = tuple(axis if isinstance(axis, WidthSum) else int(axis) for axis in groups)
        if len(set(groups)) < len(groups):
            raise ValueError(
                f"A factor names each of its axes once. Received: groups={self.groups}"
            )
        table = np.asarray(self.table, np.float64)
        if table.ndim != len(groups):
            raise ValueError(
                f"A factor of {len(groups)} groups has a table of as many axes. "
                f"Received: groups={self.groups}, table of shape {table.shape}"
            )
        wrong = np.argwhere(~np.isfinite(table))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise ValueError(
                "The entries of a factor's table are finite numbers. "
                f"Received: {table[place]} at {place}, groups={self.groups}"
            )
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "table", table)


def sums(first, second):
    """All that a number of the one and one of the other add up to, each once, ascending.

    Args:
        first: ascending int array, from 0.
        second: another.
    """
    seen = np.zeros(first[-1] + second[-1] + 1, bool)
    for value in second:
        seen[first + value] = True
    return np.flatnonzero(seen)


def axis_widths(axis, legal):
    """The widths along an axis of a factor, ascending int64.

    Args:
        axis: the index of a group, or a `WidthSum`.
        legal: per group an ascending int array of its legal widths.

    Raises:
        ValueError: a group that there is not.
    """
    groups = axis.groups if isinstance(axis, WidthSum) else (axis,)
    for group in groups:
        if not 0 <= group < len(legal):
            raise ValueError(
                f"A factor names a channel group that there is not: index {group} of {len(legal)}. "
                f"Received: {axis}"
            )
    return axis.values(legal) if isinstance(axis, WidthSum) else np.asarray(legal[axis], np.int64)


def bilinear_factors(coefficients, first, second, legal):
    """The factors of `sum_t c_t * (widths @ a_t + a0_t) * (widths @ b_t + b0_t)`.

    A side of several groups becomes one axis, their `WidthSum`. Terms on the same axes are added.

    Args:
        coefficients: float `(terms,)`.
        first: `(weights, constants)` of the one side, float `(groups, terms)` and `(terms,)`.
        second: the same of the other side.
        legal: per group an ascending int array of its legal widths.

    Returns:
        A list of `Factor`s, at most one for the same axes.

    Raises:
        ValueError: weights that are not whole numbers, where a side is of several groups; a table
            of more than half a GiB.
    """
    tables, values = {}, {}
    for t, coefficient in enumerate(coefficients):
        table, axes = np.float64(coefficient), []
        for weights, constants in (first, second):
            axis, scale = _axis(weights[:, t])
            if axis is None:
                table = table * constants[t]
                continue
            if axis not in values:
                values[axis] = axis_widths(axis, legal).astype(np.float64)
            line = scale * values[axis] + constants[t]
            if axis in axes:
                table = table * line
            else:
                _refuse_large(axes, axis, table.size * line.size)
                table = np.multiply.outer(table, line)
                axes.append(axis)
        key = tuple(axes)
        if key[::-1] in tables and len(key) == 2:
            key, table = key[::-1], table.T
        tables[key] = tables.get(key, 0.0) + table
    return [Factor(axes, table) for axes, table in tables.items()]


def table_factors(terms, constant, legal):
    """The factors of a sum of tables of one or two linear functions of widths.

    Terms on the same axes are added.

    Args:
        terms: list of `(functions, table)`: each function weights of the groups and then a
            constant, whole numbers; `table(*values)` gives the table over arrays of their values.
        constant: what no width changes.
        legal: per group an ascending int array of its legal widths.

    Returns:
        A list of `Factor`s.

    Raises:
        ValueError: a table of more than half a GiB.
    """
    tables = {(): np.float64(constant)}
    for functions, table in terms:
        axes, lines = [], []
        for function in functions:
            axis, scale = _axis(np.asarray(function[:-1]))
            lines.append(scale * axis_widths(axis, legal).astype(np.float64) + function[-1])
            axes.append(axis)
        if len(set(axes)) < len(axes):
            # Both ends are the same group's: a diagonal.
            values = np.diagonal(table(*lines))
            axes = axes[:1]
        else:
            _refuse_large(axes[:-1], axes[-1], math.prod(map(len, lines)))
            values = table(*lines)
        key = tuple(axes)
        if key[::-1] in tables and len(key) == 2:
            key, values = key[::-1], values.T
        tables[key] = tables.get(key, 0.0) + values
    return [Factor(axes, table) for axes, table in tables.items()]


def _refuse_large(axes, axis, entries):
    if entries > _MOST_ENTRIES:
        raise ValueError(
            f"A layer's cost would be a table of {entries} entries over {(*axes, axis)}, more than "
            f"{_MOST_ENTRIES}. Give the groups in it fewer legal widths: `search.thinned(space, "
            "choices)`, or `make_slimmable(choices=...)`."
        )


def _axis(weights):
    """The axis that one side depends on, and by what it is multiplied; `None` for a constant."""
    groups = np.flatnonzero(weights).tolist()
    if len(groups) < 2:
        return (groups[0], weights[groups[0]]) if groups else (None, 0.0)
    # Flatten multiplies all weights alike: divided out, layers after it share the sum.
    scale = math.gcd(*(int(weights[group]) for group in groups)) or 1
    return WidthSum(tuple((group, weights[group] / scale) for group in groups)), float(scale)
