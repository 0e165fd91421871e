"""Latency tables by least squares: not negative, softly monotone, and as smooth as samples say.

Minimised over the values `l >= 0` of all tables and the constant:

    mean_i ((latency_i - constant - A_i l) / latency_i)^2
        + smoothness * sum (second differences of l along an axis)^2
        + monotony * sum max(0, l(narrower) - l(wider))^2

with differences in units of the mean latency. What has no second differences, products of two
linear functions of widths, is what an operator's arithmetic and memory traffic are: values that
no sample has seen follow those that were. Soft monotonicity is AOWS's (Berman et al., CVPR 2020);
relative errors, for small networks matter as much as large ones.
"""

import itertools

import numpy as np
import scipy.linalg
import scipy.sparse

_ITERATIONS = 200
_SHORTEST = 1e-6
# Of the mean squared relative error: far below what any measurement repeats to.
_GAIN = 1e-10
_RIDGE = 1e-9


class TableProblem:
    """The problem for some samples.

    Args:
        grids: list of `costs.latency_tables.Grid`.
        matrix: float `(samples, values)`, see `costs.latency_tables.design`.
        latencies: float `(samples,)`, milliseconds.
    """

    def __init__(self, grids, matrix, latencies):
        self._scale = float(np.mean(latencies))
        # In units of the mean latency, each row divided by its latency; the constant comes last.
        rows = np.concatenate([matrix, np.ones((len(matrix), 1))], axis=1)
        relative = (latencies / self._scale)[:, None]
        self._rows = rows / relative
        self._count = len(latencies)
        self._second = _differences(grids, 2, rows.shape[1])
        self._first = _differences(grids, 1, rows.shape[1])
        self._gram = self._rows.T @ self._rows / self._count
        self._target = self._rows.sum(axis=0) / self._count

    def solve(self, smoothness, monotony, start=None):
        """The values of the tables and the constant.

        Args:
            smoothness, monotony: weights, above 0.
            start: values to begin with; those of another solution.

        Returns:
            Milliseconds: float64 `(values,)`, and a float.
        """
        quadratic = self._gram + smoothness * (self._second.T @ self._second).toarray()
        # Values that neither samples nor smoothness speak of have some solution, the least.
        quadratic[np.diag_indices_from(quadratic)] += _RIDGE
        first, target = self._first, self._target

        def energy(values):
            drop = np.minimum(first @ values, 0.0)
            return values @ (quadratic @ values - 2 * target) + monotony * drop @ drop

        size = len(target)
        if start is None:
            values = np.full(size, 1.0 / self._rows.sum(axis=1).mean())
        else:
            values = np.append(*start) / self._scale
        # Projected Newton (Bertsekas, SIAM J. Control 1982): between bounds and kinks the energy is
        # quadratic, and a few steps find which of them hold.
        now = energy(values)
        for _ in range(_ITERATIONS):
            falls = first[first @ values < 0.0]
            hessian = quadratic + monotony * (falls.T @ falls).toarray()
            slope = quadratic @ values - target + monotony * (falls.T @ (falls @ values))
            free = (values > 0.0) | (slope < 0.0)
            step = np.zeros(size)
            step[free] = scipy.linalg.solve(
                hessian[np.ix_(free, free)], -slope[free], assume_a="pos"
            )
            length, moved = 1.0, None
            while length > _SHORTEST:
                moved = np.maximum(values + length * step, 0.0)
                after = energy(moved)
                if after <= now + 1e-4 * 2 * slope @ (moved - values):
                    break
                length /= 2
            else:
                break
            gain, values, now = now - after, moved, after
            if gain <= _GAIN:
                break
        values = values * self._scale
        return values[:-1], float(values[-1])


def _differences(grids, order, columns):
    """First or second differences along each axis of each table: a sparse matrix.

    Second ones are divided ones times the square of the axis's mean step, so that knots at uneven
    distances make no curvature.
    """
    rows, places, values, row = [], [], [], 0
    for grid in grids:
        index = np.arange(grid.size).reshape(grid.shape) + grid.start
        for axis, knots in enumerate(grid.axes):
            if len(knots) <= order:
                continue
            weights = _weights(knots, order)
            lines = np.moveaxis(index, axis, -1).reshape(-1, len(knots))
            for line, at in itertools.product(lines, range(len(knots) - order)):
                rows += [row] * (order + 1)
                places += line[at : at + order + 1].tolist()
                values += weights[at].tolist()
                row += 1
    return scipy.sparse.csr_array((values, (rows, places)), shape=(row, columns))


def _weights(knots, order):
    """Of each difference its weights: float `(len(knots) - order, order + 1)`."""
    if order == 1:
        return np.tile([-1.0, 1.0], (len(knots) - 1, 1))
    steps = np.diff(knots)
    before, after = steps[:-1], steps[1:]
    unit = np.mean(steps) ** 2
    left, right = 2 / (before * (before + after)), 2 / (after * (before + after))
    return unit * np.stack([left, -left - right, right], axis=1)
