"""Which sub-networks are measured: biased to what no table has seen, or drawn freely to judge by.

Networks of widths drawn group by group are all of middling size; half of the draws therefore keep
near one multiplier, so that small and large networks are among them.
"""

import numpy as np

from keras_joslim.costs.latency_tables import design, make_grids

# Spread of the multipliers around the common one.
_SPREAD = 0.15
# Draws among which the one with the least seen entries is taken.
_CHOICE = 32
# Numbers that keep the random streams of the two kinds apart.
_SAMPLES, _HELD_OUT = 1, 2


def draw(space, rng, count):
    """Legal widths, every other row near a common multiplier: int `(count, groups)`."""
    free = space.sample(rng, count)
    common = rng.uniform(space.min_multiplier, 1.0, (count, 1))
    near = space.from_multipliers(
        np.clip(common + rng.normal(0.0, _SPREAD, free.shape), space.min_multiplier, 1.0)
    )
    return np.where(np.arange(count)[:, None] % 2, near, free)


def held_out_widths(space, count, seed=0):
    """Widths to judge a fitted model by: int `(count, groups)`. More begin with the same ones."""
    rng = np.random.default_rng([seed, _HELD_OUT])
    # In pairs, one free and one near a multiplier: how many are drawn changes none of them.
    pairs = [draw(space, rng, 2) for _ in range(-(-count // 2))]
    return np.reshape(pairs, (-1, len(space)))[:count].astype(np.int32)


def sample_widths(terms, space, count, seed=0):
    """Widths to fit a model to: the full and the smallest network, then draws.

    Of some draws the one is taken whose table entries were seen least: entry for entry the sum of
    `1 / (1 + times seen)` is the highest. More of them begin with the same ones.

    Args:
        terms: of a `FileNetwork`.
        space: the `WidthSpace`.
        count: how many.
        seed: fixes them.

    Returns:
        int `(count, groups)`.
    """
    grids = make_grids(terms, space.legal)
    rng = np.random.default_rng([seed, _SAMPLES])
    chosen = [space.full, space.smallest][:count]
    seen = sum(design(grids, terms, np.stack(chosen)).sum(axis=0)[None])
    while len(chosen) < count:
        # (An even and an odd row at a time: free and near a multiplier in turn.)
        rows = draw(space, rng, 2 * _CHOICE)[len(chosen) % 2 :: 2]
        entries = design(grids, terms, rows)
        best = int((entries @ (1.0 / (1.0 + seen))).argmax())
        chosen.append(rows[best])
        seen = seen + entries[best]
    return np.stack(chosen).astype(np.int32)
