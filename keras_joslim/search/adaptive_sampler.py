"""AOWS: widths drawn from a field over widths whose scores are learnt from the losses they get."""

import numpy as np

from keras_joslim.search.engine import refuse_other_settings
from keras_joslim.search.unary_scores import UnaryScores
from keras_joslim.search.whole_number import whole_number


class AdaptiveSampler:
    """Ask/tell sampler: uniform at first, then ever closer to the best widths within a budget.

    The score of a width of a group is the moving average of `loss - full loss` over the networks
    told that had it (`UnaryScores`). In the warm-up every legal width is as likely as any other;
    after it whole networks are drawn from `exp(-(scores + gamma cost) / T)`, where gamma is the
    price at which the best widths just meet the budget, and T falls log-linearly. Without a budget
    (OWS) the warm-up never ends: widths for any budget are what `best(budget)` says afterwards.

    Berman et al., AOWS: Adaptive and Optimal Network Width Search with Latency Constraints (CVPR
    2020, arXiv 2005.10481). Ours: the joint draw.

    Args:
        field: a `WidthMRF`.
        budget: cost that the widths sought may have; `None` draws uniformly throughout.
        steps: steps of the whole run, warm-up included; not needed without a budget.
        warmup_steps: steps of uniform draws, from 0, below `steps`.
        seed: with the step it fixes the draw, given the same scores.
        hot: temperature after the warm-up, in units of loss.
        cold: temperature at the last step.
        rate: weight of a new loss in the moving average, in (0, 1].

    Raises:
        ValueError: an argument out of range; a budget below the least cost, naming that.

    Example:

    >>> sampler = AdaptiveSampler(field, budget=1e8, steps=1000, warmup_steps=100)
    >>> for step in range(1000):
    ...     widths = sampler.ask(2, step)
    ...     sampler.tell(widths, [measure(w) for w in widths], measure(space.full))
    >>> sampler.best().widths
    """

    def __init__(
        self,
        field,
        budget=None,
        steps=None,
        warmup_steps=0,
        seed=0,
        hot=10.0,
        cold=5e-4,
        rate=0.02,
    ):
        self.field = field
        self.budget = None if budget is None else float(budget)
        self.steps = None if budget is None else whole_number("steps", steps, 1)
        self.warmup_steps = whole_number("warmup_steps", warmup_steps, 0)
        self.seed = whole_number("seed", seed, 0)
        self.hot, self.cold, self.rate = float(hot), float(cold), float(rate)
        if self.steps is not None and self.warmup_steps >= self.steps:
            raise ValueError(
                "The warm-up must be shorter than the run. "
                f"Received: warmup_steps={warmup_steps}, steps={steps}"
            )
        if not 0 < self.cold <= self.hot < np.inf:
            raise ValueError(
                "Temperatures are above 0 and fall from `hot` to `cold`. "
                f"Received: hot={hot}, cold={cold}"
            )
        if not 0 < self.rate <= 1:
            raise ValueError(f"`rate` is above 0 and at most 1. Received: rate={rate}")
        self._unary = UnaryScores(field.space, self.rate)
        if self.budget is not None:
            # Told now, not after the warm-up.
            field.within(self.scores, self.budget)
        self._gamma = None

    @property
    def scores(self):
        """Scores of all widths as they stand: a list of float64 `(legal widths,)`."""
        return self._unary.scores

    @property
    def counts(self):
        """How often each width of each group was told: a list of int64 arrays."""
        return self._unary.counts

    def temperature(self, step):
        """Temperature at a step, in units of loss; infinite while draws are uniform."""
        if self.budget is None or step < self.warmup_steps:
            return np.inf
        share = (step - self.warmup_steps) / max(self.steps - 1 - self.warmup_steps, 1)
        return self.hot * (self.cold / self.hot) ** min(share, 1.0)

    def ask(self, n, step):
        """Widths to train and measure at a step: int32 `(n, groups)`."""
        rng = np.random.default_rng([self.seed, step])
        temperature = self.temperature(step)
        if temperature == np.inf:
            return self.field.space.sample(rng, n)
        scores = self.scores
        if self._gamma is None:
            self._gamma = self.field.price(scores, self.budget)
        return self.field.sample(scores, self._gamma, temperature, n, rng)

    def tell(self, widths, losses, full_loss):
        """Takes in the losses of some networks; see `UnaryScores.tell`."""
        self._unary.tell(widths, losses, full_loss)
        self._gamma = None

    def best(self, budget=None):
        """The best widths by today's scores: `ScoredWidths`; within the own budget if `None`.

        Raises:
            ValueError: no budget here nor there; see `WidthMRF.within`.
        """
        budget = self.budget if budget is None else budget
        if budget is None:
            raise ValueError("Within what budget? This sampler has none: give `best(budget)` one.")
        return self.field.within(self.scores, budget)

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {"settings": self._settings, **self._unary.state()}

    def restore(self, state):
        """Takes up a `state()`: asks go on as if never interrupted.

        Raises:
            ValueError: the state of other settings, naming the first that differs, or none at
                all. Nothing has changed then.
        """
        try:
            settings = dict(state["settings"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the state of an AdaptiveSampler: {error!r}") from error
        refuse_other_settings(settings, self._settings, "sampler", "one")
        self._unary.restore(state)
        self._gamma = None

    @property
    def _settings(self):
        names = ("budget", "steps", "warmup_steps", "seed", "hot", "cold", "rate")
        legal = [values.tolist() for values in self.field.space.legal]
        groups = list(self.field.space.names)
        return {name: getattr(self, name) for name in names} | {"groups": groups, "legal": legal}
