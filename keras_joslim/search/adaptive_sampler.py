"""AOWS: widths drawn from a field over widths whose scores are learnt from the losses they get."""

import numpy as np

from keras_joslim.search.engine import refuse_other_settings
from keras_joslim.search.whole_number import whole_number


class AdaptiveSampler:
    """Ask/tell sampler: uniform at first, then ever closer to the best widths within a budget.

    The score of a width of a group is the moving average of `loss - full loss` over the networks
    told that had it. In the warm-up every legal width is as likely as any other; after it whole
    networks are drawn from `exp(-(scores + gamma cost) / T)`, where gamma is the price at which the
    best widths just meet the budget, and T falls log-linearly. A width that no network told had
    yet scores as the worst one seen of its group: it is neither ruled out nor given a bonus; of a
    group of which none was seen all score 0.

    Berman et al., AOWS: Adaptive and Optimal Network Width Search with Latency Constraints (CVPR
    2020, arXiv 2005.10481). Ours: a plain mean until it has `1 / rate` entries; the joint draw.

    Args:
        field: a `WidthMRF`.
        budget: cost that the widths sought may have.
        steps: steps of the whole run, warm-up included.
        warmup_steps: steps of uniform draws, from 0, below `steps`.
        seed: with the step it fixes the draw, given the same scores.
        hot: temperature after the warm-up, in units of loss.
        cold: temperature at the last step.
        rate: weight of a new loss in the moving average, in (0, 1].

    Attributes:
        counts: how often each width of each group was told: a list of int64 arrays.

    Raises:
        ValueError: an argument out of range; a budget below the least cost, naming that.

    Example:

    >>> sampler = AdaptiveSampler(field, budget=1e8, steps=1000, warmup_steps=100)
    >>> for step in range(1000):
    ...     widths = sampler.ask(2, step)
    ...     sampler.tell(widths, [measure(w) for w in widths], measure(space.full))
    >>> sampler.best().widths
    """

    def __init__(self, field, budget, steps, warmup_steps, seed=0, hot=10.0, cold=5e-4, rate=0.02):
        self.field, self.budget = field, float(budget)
        self.steps = whole_number("steps", steps, 1)
        self.warmup_steps = whole_number("warmup_steps", warmup_steps, 0)
        self.seed = whole_number("seed", seed, 0)
        self.hot, self.cold, self.rate = float(hot), float(cold), float(rate)
        if self.warmup_steps >= self.steps:
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
        sizes = [len(legal) for legal in field.space.legal]
        self.counts = [np.zeros(size, np.int64) for size in sizes]
        self._means = [np.zeros(size) for size in sizes]
        # Told now, not after the warm-up.
        field.within(self._means, self.budget)
        self._gamma = None

    @property
    def scores(self):
        """Scores of all widths as they stand: a list of float64 `(legal widths,)`."""
        result = []
        for means, counts in zip(self._means, self.counts, strict=True):
            seen = counts > 0
            worst = means[seen].max() if seen.any() else 0.0
            result.append(np.where(seen, means, worst))
        return result

    def temperature(self, step):
        """Temperature at a step, in units of loss; infinite in the warm-up."""
        if step < self.warmup_steps:
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
        """Takes in the losses of some networks.

        Args:
            widths: legal widths, int `(n, groups)`.
            losses: `(n,)`, measured on the same images as `full_loss`.
            full_loss: the full network's.

        Raises:
            ValueError: widths that are not legal, another number of losses, or one that is not
                finite. Nothing has changed then.
        """
        widths = np.atleast_2d(self.field.space.validate(widths))
        above = np.asarray(losses, np.float64) - float(full_loss)
        if above.shape != (len(widths),) or not np.isfinite(above).all():
            raise ValueError(
                f"Expected {len(widths)} finite losses, one a network, and the full network's. "
                f"Received: losses={losses}, full_loss={full_loss}"
            )
        for row, value in zip(self.field.places(widths), above, strict=True):
            for means, counts, place in zip(self._means, self.counts, row, strict=True):
                counts[place] += 1
                means[place] += max(self.rate, 1.0 / counts[place]) * (value - means[place])
        self._gamma = None

    def best(self, budget=None):
        """The best widths by today's scores: `ScoredWidths`; within the own budget if `None`."""
        return self.field.within(self.scores, self.budget if budget is None else budget)

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {
            "settings": self._settings,
            "counts": [counts.tolist() for counts in self.counts],
            "means": [means.tolist() for means in self._means],
        }

    def restore(self, state):
        """Takes up a `state()`: asks go on as if never interrupted.

        Raises:
            ValueError: the state of other settings, naming the first that differs, or none at
                all. Nothing has changed then.
        """
        try:
            settings = dict(state["settings"])
            counts = [np.array(values, np.int64) for values in state["counts"]]
            means = [np.array(values, np.float64) for values in state["means"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the state of an AdaptiveSampler: {error!r}") from error
        refuse_other_settings(settings, self._settings, "sampler", "one")
        shapes = [values.shape for values in self.counts]
        if [v.shape for v in counts] != shapes or [v.shape for v in means] != shapes:
            raise ValueError("The state has other numbers of widths a group than its settings say.")
        self.counts, self._means, self._gamma = counts, means, None

    @property
    def _settings(self):
        names = ("budget", "steps", "warmup_steps", "seed", "hot", "cold", "rate")
        legal = [values.tolist() for values in self.field.space.legal]
        groups = list(self.field.space.names)
        return {name: getattr(self, name) for name in names} | {"groups": groups, "legal": legal}
