"""Weights of platforms drawn by a Chinese restaurant process: few with most of the users."""

import math

import numpy as np

from keras_joslim.search.whole_number import whole_number


def restaurant_weights(platforms, alpha, seed, customers=100):
    """Shares of platforms, from customers who would rather sit where many sit already.

    The first customer opens a table. Customer n + 1 joins table k of `n_k` customers with
    probability `n_k / (n + alpha)` and opens a new one with `alpha / (n + alpha)`. The share of a
    table is its part of all customers: the largest table goes to the first platform in an order
    drawn by the seed, the next largest to the second, and so on. Tables beyond the platforms are
    merged into the last one; platforms beyond the tables have the share 0.

    Wang and Blaschko, Slimmable networks for multiple target platforms (NLDL 2022).

    Args:
        platforms: how many.
        alpha: above 0; a small one gives nearly all to one platform.
        seed: fixes the draw.
        customers: how many are seated.

    Returns:
        float64 `(platforms,)`, adding up to 1.

    Raises:
        ValueError: `alpha` that is not above 0 and finite, a number that is no whole number from 1.

    Example:

    >>> restaurant_weights(4, alpha=1.0, seed=0)
    """
    platforms = whole_number("platforms", platforms, 1)
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    sizes = np.sort(table_sizes(alpha, whole_number("customers", customers, 1), rng))[::-1]
    shares = np.zeros(platforms)
    shares[: min(len(sizes), platforms)] = sizes[:platforms]
    shares[-1] += sizes[platforms:].sum()
    weights = np.empty(platforms)
    weights[rng.permutation(platforms)] = shares / customers
    return weights


def table_sizes(alpha, customers, rng):
    """Customers at each table, in the order in which the tables were opened: int64 `(tables,)`."""
    if not 0 < alpha < math.inf:
        raise ValueError(
            "alpha says how readily a new table is opened: above 0 and finite. "
            f"Received: alpha={alpha}"
        )
    sizes = []
    for seated in range(customers):
        # A number below `seated + alpha` falls among the seated, or beyond them.
        place = rng.random() * (seated + alpha)
        table = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        if table == len(sizes):
            sizes.append(0)
        sizes[table] += 1
    return np.array(sizes, np.int64)
