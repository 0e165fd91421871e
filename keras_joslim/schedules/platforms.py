"""One network trained for a weighted set of target platforms."""

import inspect

from keras_joslim.costs.network_identity import refuse_cost_of_other_network
from keras_joslim.schedules.joslim import SEARCH_ARGUMENTS, Joslim
from keras_joslim.schedules.platform_search import PlatformSampling, PlatformSearch
from keras_joslim.schedules.schedule import Schedule
from keras_joslim.schedules.uniform import UniformWidths
from keras_joslim.search.platform_sampler import SAMPLINGS
from keras_joslim.search.platforms import check_platforms, platform_targets

STRATEGIES = ("joslim", "uniform", *SAMPLINGS)
# What each takes besides the arguments of `PlatformWidths`.
_OWN = {"calibration_data", "tau", "num_sampled", "seed", "search"}
_OPTIONS = dict.fromkeys(SAMPLINGS, {"warmup", "choices", "hot", "cold", "rate"}) | {
    "joslim": (set(inspect.signature(Joslim).parameters) | SEARCH_ARGUMENTS) - _OWN,
    "uniform": {"min_multiplier"},
}


class PlatformWidths(Schedule):
    """Widths for several platforms at once, each with its own cost, budgets and share.

    What is sought is `max sum_p w_p accuracy(weights, best widths of p within its budget)`. The
    strategies differ in which networks the steps train:

    - `"joslim"`: every `tau` steps a platform is drawn by weight and target costs uniformly between
      the smallest network's cost there and the budget; the search engine is asked for widths at
      those costs, from one history that all platforms share (a loss does not depend on the
      platform).
    - `"mixture"`, `"averaged"`, `"argmax"`, `"largest"`: widths are drawn at every step from fields
      over widths, whose scores are learnt from the losses of the steps; see
      `search.PlatformSampler`. They need costs with `factors(legal)`.
    - `"uniform"`: plain slimmable training (`UniformWidths`), whatever the platforms are.

    After it `platform_points` chooses for each platform, out of `visited()`, the network of lowest
    calibrated validation loss within the budget.

    Wang and Blaschko, Slimmable networks for multiple target platforms (NLDL 2022), which has all
    but `"joslim"`; Joslim (ECML-PKDD 2021) for that.

    Args:
        platforms: `Platform`s, one or more.
        calibration_data: with "joslim": `(x, y)` or `(x, y, sample_weight)`, one batch held out
            from the weights' training, on which the history's losses are measured.
        tau: with "joslim": optimizer steps between two searches.
        strategy: one of the above.
        num_sampled: networks between the full and the smallest one (M).
        seed: fixes the draws and the search.
        steps: with the four that draw from fields: optimizer steps of the whole run, over which
            the temperature falls.
        **options: with "joslim" further ones of `Joslim` (`recalibration`, `recent`,
            `prior_points`, ...; `cost` is what its history and logs are against); with the four
            `warmup` (share of the steps with uniform draws, 0.1), `choices` (legal widths a group,
            12), `hot`, `cold` and `rate` of `search.AdaptiveSampler`; with "uniform"
            `min_multiplier` of `UniformWidths`.

    Raises:
        ValueError: no platforms, two of one name, weights that add up to nothing, an unknown
            strategy, or one without what it needs or with an option of another; once the model is
            known, a budget below the cost of the smallest network, naming that, and a cost without
            factors where they are needed.

    Example:

    >>> platforms = [
    ...     kj.Platform("phone", kj.costs.Latency.load("phone.json", slim), [4.0, 8.0], weight=3),
    ...     kj.Platform("watch", kj.costs.Latency.load("watch.json", slim), 5.0, weight=1),
    ... ]
    >>> schedule = kj.PlatformWidths(platforms, (x_validation, y_validation), tau=100)
    >>> slim.fit(x_train, y_train, epochs=20, callbacks=[schedule])
    """

    def __init__(
        self,
        platforms,
        calibration_data=None,
        tau=None,
        strategy="joslim",
        num_sampled=2,
        seed=0,
        steps=None,
        **options,
    ):
        super().__init__()
        self.platforms = check_platforms(platforms)
        if strategy not in STRATEGIES:
            raise ValueError(
                f"strategy must be one of {list(STRATEGIES)}. Received: strategy={strategy!r}"
            )
        _refuse_unknown(strategy, options)
        self.strategy = strategy
        common = {"num_sampled": num_sampled, "seed": seed, **options}
        if strategy == "joslim":
            _refuse_missing(strategy, calibration_data=calibration_data, tau=tau)
            self._inner = PlatformSearch(self.platforms, calibration_data, tau, **common)
        elif strategy == "uniform":
            self._inner = UniformWidths(**common)
        else:
            _refuse_missing(strategy, steps=steps)
            self._inner = PlatformSampling(self.platforms, strategy, steps, **common)
        self.needs_task_losses = self._inner.needs_task_losses
        self.keeps_history = self._inner.keeps_history
        self._pending = None

    @property
    def targets(self):
        """One `search.PlatformTarget` for each budget of each platform."""
        return platform_targets(self.platforms, self.space)

    @property
    def history(self):
        """With "joslim", the widths visited so far with their losses (`search.History`)."""
        return self._inner.history

    @property
    def scores(self):
        """Of the strategies that draw from fields, what each width has scored; else `None`."""
        return self._inner.scores

    @property
    def choices(self):
        """Of those, the legal widths a group at most that are scored; else `None`."""
        return getattr(self._inner, "choices", None)

    @property
    def seconds(self):
        """With "joslim", time spent on re-calibration and search; else empty."""
        return getattr(self._inner, "seconds", {})

    def recalibrate(self, everything=False):
        """With "joslim", measures the history with today's weights; see `Joslim.recalibrate`."""
        self._inner.recalibrate(everything)

    def widths(self, step):
        return self._inner.widths(step)

    def visited(self, count=None):
        """The widths among which each platform's point is looked for: int32 `(n, groups)`.

        With "joslim" of the history, those best within the budgets; of the fields their answers
        (`search.PlatformSampler.answers`); uniform multipliers else.

        Args:
            count: how many at most; with "joslim" all if `None`, else 60.
        """
        return self._inner.visited() if count is None else self._inner.visited(count)

    # -- what fit calls ------------------------------------------------------

    def set_params(self, params):
        super().set_params(params)
        self._inner.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        for platform in self.platforms:
            refuse_cost_of_other_network(platform.cost, model)
        own = _described(self.targets)
        state, self._pending = self._pending, None
        if state is not None and state["targets"] != own:
            raise ValueError(
                "The state is that of a PlatformWidths with other platforms, budgets, weights or "
                f"costs (name, budget, weight, least and full cost): {state['targets']}. This one "
                f"has {own}."
            )
        self._inner.set_model(model)
        if state is not None:
            self._inner.restore(state["schedule"])

    def on_train_begin(self, logs=None):
        self._inner.on_train_begin(logs)

    def on_train_end(self, logs=None):
        self._inner.on_train_end(logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._inner.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._inner.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._inner.on_epoch_end(epoch, logs)

    # -- going on later ------------------------------------------------------

    def state(self):
        return {
            "strategy": self.strategy,
            "targets": _described(self.targets),
            "schedule": self._inner.state(),
        }

    def restore(self, state):
        if state["strategy"] != self.strategy:
            raise ValueError(
                f"The state is that of a PlatformWidths with strategy={state['strategy']!r}; this "
                f"one has strategy={self.strategy!r}. Construct it with the same arguments."
            )
        self._pending = state
        if getattr(self, "_model", None) is not None:
            self.set_model(self._model)


def _described(targets):
    """What tells two sets of targets apart, as JSON gives it back."""
    return [[t.platform, t.budget, t.weight, t.least, t.full] for t in targets]


def _refuse_unknown(strategy, options):
    known = _OPTIONS[strategy]
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(
            f"The strategy {strategy!r} of PlatformWidths has no option {unknown[0]!r}; it has "
            f"{sorted(known)}."
        )


def _refuse_missing(strategy, **needed):
    for name, value in needed.items():
        if value is None:
            raise ValueError(f"The strategy {strategy!r} needs `{name}`. Received: {name}=None")
