"""Squared distances and Matern-5/2 correlations of many pairs."""

import numpy as np

_SQRT5 = np.sqrt(5.0)
# Entries of a covariance that are computed at a time.
_BLOCK = 32768


def correlations(left, right):
    """Matern-5/2 correlations of the rows, `(m, n)`; inputs in units of the lengthscale."""
    # Centred, the products of _squares keep their digits.
    centre = right.mean(axis=0)
    left, right = _SQRT5 * (left - centre), _SQRT5 * (right - centre)
    result = np.empty((len(left), len(right)))
    # Some rows at a time: a dozen passes over memory become passes over the cache.
    rows = max(1, _BLOCK // len(right))
    for first in range(0, len(left), rows):
        distances = _squares(left[first : first + rows], right)
        np.sqrt(distances, out=distances)
        decay = np.exp(-distances)
        # 1 + t + t^2 / 3 by Horner's rule.
        values = np.multiply(distances, 1.0 / 3.0, out=result[first : first + rows])
        values += 1.0
        values *= distances
        values += 1.0
        values *= decay
    return result


def exact_squares(inputs):
    """Squared distances of all pairs, `(n, n)`, exactly 0 on the diagonal."""
    centred = inputs - inputs.mean(axis=0)
    squares = _squares(centred, centred)
    np.fill_diagonal(squares, 0.0)
    return squares


def _squares(left, right):
    """Squared euclidean distances, `(m, n)`, zero where rounding would make them negative."""
    squares = left @ (-2.0 * right.T)
    squares += np.einsum("md,md->m", left, left)[:, None]
    squares += np.einsum("nd,nd->n", right, right)
    return np.maximum(squares, 0.0, out=squares)
