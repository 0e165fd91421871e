"""The two ways in which widths for several platforms are learnt while training."""

import numpy as np

from keras_joslim.schedules.joslim import Joslim
from keras_joslim.schedules.scoring import ScoringSchedule
from keras_joslim.search.platform_sampler import PlatformSampler
from keras_joslim.search.platforms import best_within, platform_targets
from keras_joslim.search.whole_number import whole_number

# The stream of random numbers that platforms are drawn from, beside those of the engine.
_PLATFORM = 100


class PlatformSearch(Joslim):
    """Joslim over a mix of platforms: each period is searched for one, drawn by weight.

    Args:
        platforms: `Platform`s.
        calibration_data: as of `Joslim`.
        tau: as of `Joslim`.
        **options: of `Joslim`; its `cost` is what the history notes and the logs are against.
    """

    def __init__(self, platforms, calibration_data, tau, **options):
        super().__init__(calibration_data, tau, **options)
        self._platforms = platforms
        self.targets = None

    def set_model(self, model):
        super().set_model(model)
        self.targets = platform_targets(self._platforms, self.space)

    def _ask(self):
        # By the period alone, so a resumed run draws the same.
        rng = np.random.default_rng([self.seed, _PLATFORM, self.step // self.tau])
        weights = np.array([target.weight for target in self.targets])
        target = self.targets[rng.choice(len(weights), p=weights / weights.sum())]
        wanted = target.draw(rng, self.num_sampled)
        return self._engine.ask(self.num_sampled, target.cost, wanted)

    def visited(self, count=None):
        """The history; with `count`, for each target in turn its best within the budget."""
        widths = self.history.widths
        if count is not None and count < len(widths):
            widths = widths[best_within(self.targets, widths, self.history.losses, count)]
        return np.unique(widths, axis=0)


class PlatformSampling(ScoringSchedule):
    """Widths drawn at every step from the fields of several platforms, losses told to them all.

    Args:
        platforms: `Platform`s, whose costs give `factors(legal)`.
        strategy: of `search.PlatformSampler`.
        steps: optimizer steps of the whole run.
        num_sampled: networks between the full and the smallest one (M).
        seed: with the step it fixes the draw, given the same losses.
        warmup: share of the steps with uniform draws, at least 0 and below 1.
        choices: legal widths a group at most, evenly spaced among those of the model.
        **settings: `hot`, `cold` and `rate` of `search.AdaptiveSampler`.
    """

    def __init__(
        self, platforms, strategy, steps, num_sampled=2, seed=0, warmup=0.1, choices=12, **settings
    ):
        super().__init__(num_sampled)
        if not 0 <= warmup < 1:
            raise ValueError(
                "The warm-up is a share of the steps, at least 0 and below 1. "
                f"Received: warmup={warmup}"
            )
        self.steps = whole_number("steps", steps, 1)
        self.seed = whole_number("seed", seed, 0)
        self._platforms, self._strategy = platforms, strategy
        self._warmup_steps = int(warmup * self.steps)
        self.choices, self._settings = choices, settings
        self._pending = None

    @property
    def targets(self):
        """The `PlatformTarget`s, once a model is known."""
        return None if self._sampler is None else self._sampler.targets

    @property
    def scores(self):
        """What the widths have scored so far; see `AdaptiveWidths.scores`."""
        return None if self._sampler is None else self._sampler.samplers[0].scores

    def set_model(self, model):
        super().set_model(model)
        if self._sampler is None:
            self._sampler = PlatformSampler(
                self.space,
                self._platforms,
                self._strategy,
                self.steps,
                self._warmup_steps,
                self.seed,
                self.choices,
                **self._settings,
            )
        if self._pending is not None:
            self._sampler.restore(self._pending)
            self._pending = None

    def visited(self, count=60):
        """Answers of the fields; see `search.PlatformSampler.answers`."""
        return self._sampler.answers(count)

    def state(self):
        if self._sampler is None:
            raise ValueError("There is no state yet: `fit` has not begun.")
        return self._sampler.state()

    def restore(self, state):
        self._pending = state
        if getattr(self, "_model", None) is not None:
            self.set_model(self._model)
