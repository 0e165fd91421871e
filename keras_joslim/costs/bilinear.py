"""A cost that is a sum of products of two widths: exact, vectorised, stateless."""

import numpy as np

from keras_joslim.costs.factor import bilinear_factors


class BilinearCost:
    """A cost `sum_t c_t * width(a_t) * width(b_t)` over pairs of channel layouts.

    Args:
        terms: `(coefficient, layout or None, layout or None)` triples; `None`
            counts as width 1.
        groups: number of channel groups.

    Call arguments:
        widths: int, `(groups,)` or `(n, groups)`.

    Returns of a call: int64, a scalar or `(n,)`.

    Raises:
        ValueError: widths of another length.
    """

    name = "cost"
    unit = ""

    def __init__(self, terms, groups):
        self._groups = groups
        summed = {}
        for coefficient, first, second in terms:
            key = tuple(sorted(_key(layout, groups) for layout in (first, second)))
            summed[key] = summed.get(key, 0.0) + coefficient
        rows = list(summed)
        self._coefficients = np.array([summed[row] for row in rows])
        self._first, self._first_constant = _matrix([row[0] for row in rows], groups)
        self._second, self._second_constant = _matrix([row[1] for row in rows], groups)

    def __call__(self, widths):
        widths = np.asarray(widths)
        if widths.ndim not in (1, 2) or widths.shape[-1] != self._groups:
            raise ValueError(
                f"Expected widths of shape ({self._groups},) or (n, {self._groups}). "
                f"Received: shape={widths.shape}"
            )
        # Counts stay far below 2**53, so float64 sums of whole numbers are exact.
        values = widths.astype(np.float64)
        first = values @ self._first + self._first_constant
        second = values @ self._second + self._second_constant
        return np.rint((first * second) @ self._coefficients).astype(np.int64)

    def factors(self, legal):
        """The cost as tables over the widths of the groups that each of its terms depends on.

        Args:
            legal: per group an ascending int array of its legal widths (`WidthSpace.legal`).

        Returns:
            A list of `Factor`s whose sum is the cost, such as `search.WidthMRF` takes.
        """
        first = (self._first, self._first_constant)
        second = (self._second, self._second_constant)
        return bilinear_factors(self._coefficients, first, second, legal)

    def share_of(self, widths, groups):
        """The share of the cost at `widths` in terms that depend on any of `groups`.

        Args:
            widths: int `(groups,)`.
            groups: indices of groups.

        Returns:
            A float from 0 to 1; 0 where there is no cost at all.
        """
        values = np.asarray(widths, np.float64)
        products = (values @ self._first + self._first_constant) * (
            values @ self._second + self._second_constant
        )
        depends = (self._first[groups].any(0)) | (self._second[groups].any(0))
        parts = products * self._coefficients
        return float(parts[depends].sum() / max(parts.sum(), 1.0))


def _key(layout, groups):
    if layout is None:
        return (0.0,) * groups + (1.0,)
    weights, constant = layout.linear(groups)
    return (*weights.tolist(), constant)


def _matrix(rows, groups):
    table = np.array(rows).reshape(len(rows), groups + 1)
    return np.ascontiguousarray(table[:, :-1].T), table[:, -1].copy()
