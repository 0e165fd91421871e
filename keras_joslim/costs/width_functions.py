"""Linear functions of widths, recognised by their values at a few width vectors.

A size that is seen in a network at a few width vectors is the width of one of the network's
channel layouts, or a multiple of one, or constant. A function is a tuple of floats: what each
group's width is multiplied by, and the constant.
"""

import numpy as np


class WidthFunctions:
    """The functions that sizes in a network may be.

    Args:
        layouts: the `ChannelLayout`s of the network.
        rows: int `(n, groups)`, the width vectors at which sizes are seen, the full one first;
            such as `telling_rows` chooses.
    """

    def __init__(self, layouts, rows):
        self._rows = np.asarray(rows)
        self._by_ratio = {}
        for linear in _linear(layouts, self._rows.shape[1]):
            values = evaluate([linear], self._rows)[:, 0]
            self._by_ratio.setdefault(_ratios(values), linear / values[0])

    def find(self, values):
        """The function that has these values at the width vectors, or `None`."""
        values = np.asarray(values, np.float64)
        if (values == values[0]).all():
            return (*np.zeros(self._rows.shape[1]), float(values[0]))
        unit = self._by_ratio.get(_ratios(values)) if values[0] else None
        # (Rounded, so that a whole number is one whatever it was divided by before.)
        return None if unit is None else tuple(np.round(unit * values[0], 9).tolist())

    def agrees(self, function, values):
        """Does the function have these values (`None` where one is not known)?"""
        mine = evaluate([function], self._rows)[:, 0]
        return all(theirs in (None, own) for own, theirs in zip(mine, values, strict=True))


def telling_rows(layouts, rows):
    """Few width vectors at which all layouts differ that differ at any of the given ones.

    Args:
        layouts: the `ChannelLayout`s of a network.
        rows: int `(n, groups)`, `n` above 2, the full and the smallest widths first.

    Returns:
        Indices into `rows`: 0, 1 and at least one more.
    """
    rows = np.asarray(rows)
    one = np.zeros(rows.shape[1] + 1)
    one[-1] = 1.0
    values = evaluate([*_linear(layouts, rows.shape[1]), one], rows)
    ratios = (values / values[0]).T

    def told_apart(columns):
        return len(np.unique(ratios[:, columns], axis=0))

    chosen, wanted = [0, 1], told_apart(range(len(rows)))
    while len(chosen) < 3 or told_apart(chosen) < wanted:
        others = [i for i in range(len(rows)) if i not in chosen]
        chosen.append(max(others, key=lambda i: told_apart([*chosen, i])))
    return chosen


def evaluate(functions, widths):
    """Values of functions: whole float64 numbers, `(n, functions)`, at widths `(n, groups)`."""
    matrix = np.array(functions, np.float64).reshape(-1, widths.shape[1] + 1)
    return np.rint(widths @ matrix[:, :-1].T + matrix[:, -1])


def _linear(layouts, groups):
    """The widths of layouts, and of their segments one by one, as arrays."""
    parts = [
        type(layout).of_group(s.group, s.size, s.unit)
        for layout in layouts
        for s in layout.segments
        if s.group is not None
    ]
    rows = [
        np.append(*layout.linear(groups)) for layout in (*layouts, *parts) if not layout.is_fixed
    ]
    return list(np.unique(rows, axis=0)) if rows else []


def _ratios(values):
    """Quotients of whole numbers: if they are equal, then to the last bit."""
    return tuple((values / values[0]).tolist())
