"""AOWS and OWS: widths drawn by scores that the losses of training give them."""

import math

import numpy as np

from keras_joslim.costs import MACs
from keras_joslim.costs.network_identity import refuse_cost_of_other_network
from keras_joslim.schedules.scoring import ScoringSchedule
from keras_joslim.search.adaptive_sampler import AdaptiveSampler
from keras_joslim.search.budgeted_widths import widths_over_budgets
from keras_joslim.search.cost_field import cost_field
from keras_joslim.search.whole_number import whole_number


class AdaptiveWidths(ScoringSchedule):
    """Widths drawn ever closer to the best ones within a budget, scored while they train.

    After each step the task losses of the drawn networks and of the full one, on the batch that
    they were trained on, score the widths drawn: `search.AdaptiveSampler`. At first draws are
    uniform over at most `choices` legal widths a group; then whole networks are drawn from
    `exp(-(scores + gamma cost) / T)`, gamma being the price at which the best widths just meet the
    budget, at a temperature T that falls to the last step. Without a budget (OWS) draws are
    uniform throughout, and `best(budget)` says the widths for any budget afterwards.

    Berman et al., AOWS: Adaptive and Optimal Network Width Search with Latency Constraints (CVPR
    2020, arXiv 2005.10481), there with 5 warm-up epochs.

    Args:
        budget: cost of the networks sought, in its unit; `None` for OWS.
        steps: optimizer steps of the whole run, however many times `fit` is called for it: epochs
            times batches an epoch. Needed with a budget.
        cost: a cost object with `factors(legal)`, such as `costs.Parameters(slim)`; `MACs` of
            the model if `None`. Give `ParetoFront.build(costs=[...])` the same.
        warmup: share of the steps that draws uniformly, from 0, below 1.
        choices: legal widths a group to draw from, at most.
        num_sampled: networks between the full and the smallest one (M), at least 1.
        seed: with the step and the losses it fixes the draws.
        hot: temperature after the warm-up, in units of loss.
        cold: temperature at the last step.
        rate: weight of a new loss in the moving average of a score, in (0, 1].

    Raises:
        ValueError: an argument out of range, a budget without `steps`; with the model, a cost
            without factors, or a budget below the least cost, naming that and its widths.

    Example:

    >>> macs = kj.costs.MACs(slim)
    >>> aows = kj.AdaptiveWidths(0.3 * macs(slim.width_space.full), steps=20 * 400)
    >>> slim.fit(x_train, y_train, batch_size=64, epochs=20, callbacks=[aows])  # 400 batches each
    >>> aows.best().widths  # (groups,)
    """

    def __init__(
        self,
        budget=None,
        steps=None,
        cost=None,
        warmup=0.1,
        choices=12,
        num_sampled=2,
        seed=0,
        hot=10.0,
        cold=5e-4,
        rate=0.02,
    ):
        super().__init__(num_sampled)
        # One that no widths meet is refused once the model is known, naming the least cost.
        if budget is not None and math.isnan(budget):
            raise ValueError(f"A budget is a number in the unit of the cost. Received: {budget=}")
        if budget is not None and steps is None:
            raise ValueError(
                "With a budget the temperature falls to the last step: give `steps`, the optimizer "
                "steps of the whole run, epochs times batches an epoch. "
                f"Received: budget={budget}, steps=None"
            )
        if not 0 <= warmup < 1:
            raise ValueError(
                f"`warmup` is a share of the steps, from 0, below 1. Received: warmup={warmup}"
            )
        self.budget = budget
        self.steps = None if budget is None else whole_number("steps", steps, 1)
        self.cost = cost
        self.choices = whole_number("choices", choices, 1)
        self._settings = {
            "warmup_steps": 0 if budget is None else int(warmup * self.steps),
            "seed": seed,
            "hot": hot,
            "cold": cold,
            "rate": rate,
        }
        self._pending = None

    @property
    def sampler(self):
        """The `search.AdaptiveSampler`.

        Raises:
            ValueError: no model is known yet.
        """
        if self._sampler is None:
            raise ValueError("There are no scores yet: `fit` has not begun.")
        return self._sampler

    @property
    def scores(self):
        """What the widths have scored so far, lower is better.

        Returns:
            For each group a float64 array, one number for each of its legal widths in
            `search.thinned(space, choices)`; all 0 before the first step.
        """
        return self.sampler.scores

    def set_model(self, model):
        if self._sampler is not None and model is not self._model:
            raise ValueError(
                f"This AdaptiveWidths holds the scores of model {self._model.name!r}. Make a new "
                f"one for another model. Received: model {model.name!r}"
            )
        super().set_model(model)
        if self._sampler is None:
            self.cost = MACs(model) if self.cost is None else self.cost
            refuse_cost_of_other_network(self.cost, model)
            field = cost_field(self.space, self.cost, self.choices)
            self._sampler = AdaptiveSampler(field, self.budget, self.steps, **self._settings)
        if self._pending is not None:
            self._sampler.restore(self._pending)
            self._pending = None

    def best(self, budget=None):
        """The best widths by the scores: a `search.ScoredWidths`.

        Args:
            budget: its own if `None`.

        Raises:
            ValueError: no budget here nor there, or one below the least cost, naming that.
        """
        return self.sampler.best(budget)

    def visited(self, count=60):
        """The best widths within the own budget and within others from the least to the full cost.

        They are the exact search's answers, not the networks that were drawn.
        """
        sampler = self.sampler
        own = [] if self.budget is None else [sampler.best().widths]
        if count == len(own):
            return np.array(own, np.int32)
        spread = widths_over_budgets(sampler.field, sampler.scores, count - len(own))
        return np.unique([*own, *spread], axis=0)

    def state(self):
        return {
            "choices": self.choices,
            "num_sampled": self.num_sampled,
            "sampler": self.sampler.state(),
        }

    def restore(self, state):
        for name in ("choices", "num_sampled"):
            if state.get(name) != getattr(self, name):
                raise ValueError(
                    f"The state is that of an AdaptiveWidths with {name}={state.get(name)!r}; this "
                    f"one has {name}={getattr(self, name)!r}. Construct it with the same arguments."
                )
        if self._sampler is None:
            self._pending = state["sampler"]
        else:
            self._sampler.restore(state["sampler"])
