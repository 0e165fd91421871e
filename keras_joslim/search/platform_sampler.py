"""Widths drawn for several platforms from what is learnt of them all together."""

import numpy as np

from keras_joslim.search.adaptive_sampler import AdaptiveSampler
from keras_joslim.search.cost_field import cost_field
from keras_joslim.search.engine import checked_costs, refuse_other_settings
from keras_joslim.search.platforms import platform_targets
from keras_joslim.search.whole_number import whole_number

SAMPLINGS = ("mixture", "averaged", "argmax", "largest")


class PlatformSampler:
    """Ask/tell sampler over the fields of several platforms, with the scores shared.

    A loss does not depend on the platform: what is told counts for all, and only the price of a
    width differs. In the warm-up widths are uniform; then, at the temperature of `AdaptiveSampler`,

    - `"mixture"`: each network is drawn for a platform, drawn by weight, from its own field;
    - `"averaged"`: from the platforms' marginals, averaged by weight, each group by itself;
    - `"argmax"`: the best widths as of now of a platform drawn by weight;
    - `"largest"`: from the field of the platform of largest weight alone.

    Wang and Blaschko, Slimmable networks for multiple target platforms (NLDL 2022).

    Args:
        space: the `WidthSpace`.
        platforms: `Platform`s, whose costs give `factors(legal)`.
        strategy: one of the four.
        steps: steps of the whole run, warm-up included.
        warmup_steps: steps of uniform draws, from 0, below `steps`.
        seed: with the step it fixes the draw, given the same scores.
        choices: legal widths a group at most.
        **settings: `hot`, `cold` and `rate` of `AdaptiveSampler`.

    Attributes:
        space: the `WidthSpace` of at most so many legal widths.
        targets: the `PlatformTarget`s, one a budget.
        samplers: one `AdaptiveSampler` each.

    Raises:
        ValueError: an argument out of range, a cost without factors, what `platform_targets` says.

    Example:

    >>> sampler = PlatformSampler(space, platforms, "mixture", steps=1000, warmup_steps=100)
    >>> for step in range(1000):
    ...     widths = sampler.ask(2, step)
    ...     sampler.tell(widths, [measure(w) for w in widths], measure(space.full))
    >>> [sampler.best(place).widths for place in range(len(sampler.targets))]
    """

    def __init__(
        self, space, platforms, strategy, steps, warmup_steps, seed=0, choices=12, **settings
    ):
        if strategy not in SAMPLINGS:
            raise ValueError(
                f"strategy must be one of {list(SAMPLINGS)}. Received: strategy={strategy!r}"
            )
        self.strategy, self.seed = strategy, seed
        self.targets = platform_targets(platforms, space)
        fields = {}
        for target in self.targets:
            if target.platform not in fields:
                fields[target.platform] = cost_field(space, target.cost, choices)
        self.space = fields[self.targets[0].platform].space
        # Each with a seed of its own: the same random numbers for two platforms would tie
        # their draws together.
        self.samplers = [
            AdaptiveSampler(
                fields[target.platform],
                target.budget,
                steps,
                warmup_steps,
                int(np.random.SeedSequence([seed, place]).generate_state(1)[0]),
                **settings,
            )
            for place, target in enumerate(self.targets)
        ]
        self.warmup_steps = self.samplers[0].warmup_steps
        weights = np.array([target.weight for target in self.targets])
        if strategy == "largest":
            names = [target.platform for target in self.targets]
            shares = dict.fromkeys(names, 0.0)
            for name, weight in zip(names, weights, strict=True):
                shares[name] += weight
            largest = max(shares, key=shares.get)
            weights = weights * np.array([name == largest for name in names])
        self._weights = weights / weights.sum()

    def ask(self, n, step):
        """Widths to train and measure at a step: int32 `(n, groups)`."""
        if step < self.warmup_steps:
            return self.samplers[0].ask(n, step)
        rng = np.random.default_rng([self.seed, step])
        if self.strategy == "averaged":
            return self._from_marginals(rng, n, step)
        places = rng.choice(len(self.targets), n, p=self._weights)
        widths = np.empty((n, len(self.space)), np.int32)
        for place in np.unique(places):
            rows = places == place
            if self.strategy == "argmax":
                widths[rows] = self.samplers[place].best().widths
            else:
                widths[rows] = self.samplers[place].ask(int(rows.sum()), step)
        return widths

    def tell(self, widths, losses, full_loss):
        """Takes in the losses of some networks; see `AdaptiveSampler.tell`."""
        for sampler in self.samplers:
            sampler.tell(widths, losses, full_loss)

    def best(self, place, budget=None):
        """The best widths of a target by today's scores: `ScoredWidths`.

        Args:
            place: which of the `targets`.
            budget: its own if `None`.
        """
        return self.samplers[place].best(budget)

    def answers(self, count=60):
        """Networks worth judging for the targets: int32 `(n, groups)`, distinct, n at most `count`.

        The best widths within each budget, then within less and less of it, down to the half of
        what is above the smallest network's cost. Where these repeat, draws of the fields within
        the budgets follow, ever hotter, so that as many are judged as of any other method.

        Args:
            count: how many, from 1.
        """
        count = whole_number("count", count, 1)
        part = -(-count // len(self.targets))
        # A dict, as a set that keeps its order.
        rows = {}
        for share in np.linspace(0.0, 0.5, part):
            for place, target in enumerate(self.targets):
                budget = target.budget - share * (target.budget - target.least)
                rows[tuple(self.best(place, budget).widths.tolist())] = None
        first = self.samplers[0]
        rng, temperature = np.random.default_rng([self.seed, first.steps]), first.cold
        while len(rows) < count and temperature <= first.hot:
            for target, own in zip(self.targets, self.samplers, strict=True):
                gamma = own.field.price(own.scores, target.budget)
                drawn = own.field.sample(own.scores, gamma, temperature, part, rng)
                within = checked_costs(target.cost, drawn) <= target.budget
                rows |= dict.fromkeys(map(tuple, drawn[within].tolist()))
            temperature *= 2.0
        return np.unique(list(rows)[:count], axis=0).astype(np.int32)

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {
            "settings": self._settings,
            "samplers": [sampler.state() for sampler in self.samplers],
        }

    def restore(self, state):
        """Takes up a `state()`: asks go on as if never interrupted.

        Raises:
            ValueError: the state of other settings or platforms, or none at all.
        """
        try:
            settings, states = dict(state["settings"]), list(state["samplers"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the state of a PlatformSampler: {error!r}") from error
        refuse_other_settings(settings, self._settings, "sampler", "one")
        for sampler, told in zip(self.samplers, states, strict=True):
            sampler.restore(told)

    @property
    def _settings(self):
        targets = [[t.platform, t.budget, t.weight] for t in self.targets]
        return {"strategy": self.strategy, "seed": self.seed, "targets": targets}

    def _from_marginals(self, rng, n, step):
        means = [np.zeros(len(legal)) for legal in self.space.legal]
        for weight, sampler in zip(self._weights, self.samplers, strict=True):
            # A platform without users has no say, and need not be computed.
            if weight > 0:
                scores = sampler.scores
                gamma = sampler.field.price(scores, sampler.budget)
                shares = sampler.field.marginals(scores, gamma, sampler.temperature(step))
                for mean, share in zip(means, shares, strict=True):
                    mean += weight * share
        columns = [
            rng.choice(legal, n, p=mean / mean.sum())
            for legal, mean in zip(self.space.legal, means, strict=True)
        ]
        # Groups drawn by themselves may break an ordering.
        return self.space.canonical(np.stack(columns, axis=1)).astype(np.int32)
