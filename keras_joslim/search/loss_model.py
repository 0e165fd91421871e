"""The surrogate of an ask: what of the history it sees, in which inputs, fitted how often."""

import numpy as np

from keras_joslim.search import gaussian_process, gaussian_process_fit, hyperparameters
from keras_joslim.search.pool import Surrogate

# Hyper-parameters are fitted to at most so many entries, evenly spaced over the history: they
# are few, and the fit costs the cube of it.
_FIT_ENTRIES = 192
# They are fitted again when the history has grown by this factor, or when their log posterior has
# become less by so much an entry, as when losses drift while the weights train.
_FIT_GROWTH = 1.25
_FIT_DRIFT = 0.1
# Draws from the priors that the first fit starts from as well. Later ones start from the earlier
# fit alone and take few steps: hyper-parameters change little, and the next fit goes on from there.
_FIRST_RESTARTS = 3
_STEPS = 20
# Of the entries of a thinned posterior, the part that is best; the rest is spread over the others.
_BEST = 0.75


class LossModel:
    """Makes the surrogate of the latest losses; holds the hyper-parameters between asks.

    Args:
        space: the `WidthSpace`.
        mean: `"linear"`: inputs are multipliers spaced by their logarithm, the prior mean is linear
            in them, and the prior of the lengthscales widens with the number of groups;
            `"zero"`: inputs are the multipliers, mean and priors the published ones.
        lengthscales: `"one"` or `"per_group"`.
        entries: at most so many of the history make the posterior; `None` takes all.

    Attributes:
        fitted: the `Hyperparameters` held, `None` before the first fit.
        fitted_entries: evaluated entries there were at the last fit.
        fitted_density: log posterior an entry at the last fit.
    """

    def __init__(self, space, mean, lengthscales, entries):
        self.space, self.entries = space, entries
        self.linear, self.per_group = mean == "linear", lengthscales == "per_group"
        self.fitted, self.fitted_entries, self.fitted_density = None, 0, 0.0
        groups = space.searchable
        self._least = np.array([space.legal[g][0] / space.legal[g][-1] for g in groups])
        self._prior = hyperparameters.LENGTHSCALE_PRIOR
        if self.linear:
            self._prior = hyperparameters.wide_lengthscale_prior(len(groups))

    def inputs(self, widths):
        """Inputs of the process, `(n, searchable groups)`, between the least multiplier and 1."""
        multipliers = self.space.multipliers(widths)[:, self.space.searchable]
        if not self.linear:
            return multipliers
        # Spaced by logarithm, both ends left where they are.
        return 1.0 - (1.0 - self._least) * np.log(multipliers) / np.log(self._least)

    def surrogate(self, history, cost, deviations, rng):
        """The `Surrogate` of a history, fitted again if that has grown.

        Args:
            history: the `History`, some of it evaluated.
            cost: function of widths `(n, groups)`, float64 `(n,)`.
            deviations: as in `Surrogate`.
            rng: `numpy.random.Generator` for the starts of a first fit.
        """
        evaluated = np.flatnonzero(history.evaluated)
        losses = gaussian_process.standardise(history.losses[evaluated])
        data = (
            self.inputs(history.widths[evaluated]),
            losses(history.losses[evaluated]),
            (history.noise[evaluated] / losses.scale) ** 2,
        )
        few = _spread(len(evaluated), _FIT_ENTRIES)
        few = [column[few] for column in data]
        grown = len(evaluated) >= _FIT_GROWTH * self.fitted_entries
        if self.fitted is None or grown or self._density(*few) < self.fitted_density - _FIT_DRIFT:
            self._fit(*few, rng)
            self.fitted_entries = len(evaluated)
        kept = self._kept(history, evaluated)
        inputs, targets, extra_noise = (column[kept] for column in data)
        return Surrogate(
            process=gaussian_process.GaussianProcess(inputs, targets, self.fitted, extra_noise),
            cost=cost,
            losses=losses,
            costs=gaussian_process.standardise(history.costs[evaluated]),
            inputs=self.inputs,
            deviations=deviations,
        )

    def _fit(self, inputs, targets, extra_noise, rng):
        effort = {"iterations": _STEPS, "restarts": 0}
        if self.fitted is None:
            effort = {"restarts": _FIRST_RESTARTS}
        self.fitted = gaussian_process_fit.fit(
            inputs,
            targets,
            per_group=self.per_group,
            start=self.fitted,
            rng=rng,
            extra_noise=extra_noise,
            linear=self.linear,
            lengthscale_prior=self._prior,
            **effort,
        )
        self.fitted_density = self._density(inputs, targets, extra_noise)

    def _density(self, inputs, targets, extra_noise):
        """Log posterior of the held hyper-parameters, an entry."""
        value, _ = gaussian_process_fit.log_posterior(
            self.fitted.logarithms, inputs, targets, extra_noise, self.linear, self._prior
        )
        return value / len(targets)

    def _kept(self, history, evaluated):
        """Which of the evaluated entries make the posterior: places among them."""
        if self.entries is None or len(evaluated) <= self.entries:
            return np.arange(len(evaluated))
        best = history.leading(max(1, int(_BEST * self.entries)))
        best = np.searchsorted(evaluated, best)
        others = np.setdiff1d(np.arange(len(evaluated)), best)
        others = others[_spread(len(others), self.entries - len(best))]
        return np.sort(np.concatenate([best, others]))


def _spread(count, most):
    """At most so many places of `count`, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
