"""TwoStage (OFA, BigNAS when only channels vary): a random width for each group."""

import numpy as np

from keras_joslim.schedules.schedule import Schedule, held_steps, sandwich
from keras_joslim.search.whole_number import whole_number


class RandomWidths(Schedule):
    """a_g ~ U[smallest, 1] for every group of a sampled network, new at every step.

    The first stage of two-stage methods (Cai et al., Once-for-All, ICLR 2020) and
    of AutoSlim (Yu and Huang, 2019).

    Args:
        num_sampled: networks between the full and the smallest one (M).
        seed: with the step it fixes the draw, so a resumed run draws the same.
        tau: steps for which drawn widths are held, as `Joslim` holds what it searched; 1, as
            published, draws new ones at every step.
    """

    def __init__(self, num_sampled=2, seed=0, tau=1):
        super().__init__()
        self.num_sampled = whole_number("num_sampled", num_sampled, 0)
        self.seed = whole_number("seed", seed, 0)
        self.tau = held_steps(tau)

    def widths(self, step):
        rng = np.random.default_rng([self.seed, step // self.tau])
        return sandwich(self.space, self._draw(rng))

    def _draw(self, rng):
        low = self.space.multipliers(self.space.smallest)
        draws = rng.uniform(low, 1.0, size=(self.num_sampled, len(self.space)))
        return self.space.from_multipliers(draws)

    def visited(self, count=60):
        """Random widths and the uniform ones, half and half."""
        rng = np.random.default_rng(self.seed)
        draws = np.concatenate([self._draw(rng) for _ in range(count)])[: count // 2]
        return np.unique([*draws, *super().visited(count - count // 2)], axis=0)
