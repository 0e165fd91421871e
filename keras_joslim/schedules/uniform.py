"""Slim, or US-Net: one random width multiplier for all groups, new at every step."""

import numpy as np

from keras_joslim.schedules.schedule import Schedule, held_steps, sandwich
from keras_joslim.search.whole_number import whole_number


class UniformWidths(Schedule):
    """One multiplier s ~ U[smallest, 1] a sampled network, for all its groups.

    Yu and Huang, Universally Slimmable Networks (ICCV 2019), sandwich rule.

    Args:
        num_sampled: networks between the full and the smallest one (M).
        seed: with the step it fixes the draw, so a resumed run draws the same.
        min_multiplier: lower end of the draw, in (0, 1]; the space's smallest if `None`.
        tau: steps for which drawn widths are held, as `Joslim` holds what it searched; 1, as
            published, draws new ones at every step.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, num_sampled=2, seed=0, min_multiplier=None, tau=1):
        super().__init__()
        self.num_sampled = whole_number("num_sampled", num_sampled, 0)
        self.seed = whole_number("seed", seed, 0)
        if min_multiplier is not None and not 0 < min_multiplier <= 1:
            raise ValueError(
                "`min_multiplier` is above 0 and at most 1. "
                f"Received: min_multiplier={min_multiplier}"
            )
        self.min_multiplier = min_multiplier
        self.tau = held_steps(tau)

    def widths(self, step):
        rng = np.random.default_rng([self.seed, step // self.tau])
        low = self.space.min_multiplier if self.min_multiplier is None else self.min_multiplier
        draws = rng.uniform(low, 1.0, size=(self.num_sampled, 1))
        sampled = self.space.from_multipliers(np.repeat(draws, len(self.space), axis=1))
        return sandwich(self.space, sampled)
