"""OWS: scores of single widths from random networks, then the exact best within a budget."""

import numpy as np

from keras_joslim.search.budgeted_widths import widths_over_budgets
from keras_joslim.search.cost_field import cost_field
from keras_joslim.search.random_search import RandomSearch
from keras_joslim.search.unary_scores import UnaryScores


class MRFSearch(RandomSearch):
    """Ask/tell engine that measures random networks; their losses score the widths.

    The full and the smallest network come first, then random ones, each group uniform over at most
    `choices` legal widths, as long as it is asked. The score of a width is the mean of
    `loss - full loss` over the random networks that had it, and `answers` are the widths of least
    total score that a budget allows: no network of those told needs to be among them. Scores
    gathered elsewhere, such as by `AdaptiveWidths` while training, can be given: then nothing is
    left to ask, and the search is `done` at once.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a cost object with `factors(legal)`, such as `costs.MACs(slim)`.
        budget: what the answer may cost, in the unit of the cost; `None` is a spread of budgets.
        choices: legal widths a group at most.
        seed: int, at least 0.
        scores: for each group one array, a number for each legal width of
            `search.thinned(space, choices)`, lower is better.

    Attributes:
        field: the `WidthMRF` of the cost.
        history: the `History` of all widths asked, losses NaN until told.

    Raises:
        ValueError: a cost without factors; a budget below the least cost, naming that and its
            widths; scores of another shape; a space without channel groups.

    Example:

    >>> engine = MRFSearch(slim.width_space, kj.costs.MACs(slim), budget=1e8)
    >>> kj.search_widths(slim, engine, (x_validation, y_validation), evaluations=500)
    >>> engine.answers()

    Source: Berman et al., AOWS (CVPR 2020, arXiv 2005.10481), of OWS.
    """

    def __init__(self, space, cost, budget=None, choices=12, seed=0, scores=None):
        self.field = cost_field(space, cost, choices)
        super().__init__(space, cost, seed)
        self.budget = None if budget is None else float(budget)
        self._scores = None if scores is None else self.field.checked(scores)
        self._settings |= {
            "budget": self.budget,
            "choices": int(choices),
            "scores": None if scores is None else [values.tolist() for values in self._scores],
        }
        if self.budget is not None:
            # Told before anything is measured.
            self.field.within([np.zeros(len(v)) for v in self.field.space.legal], self.budget)

    @property
    def done(self):
        """Whether nothing is left to ask for: scores were given, or every network was asked."""
        return self._scores is not None or super().done

    def ask(self, m):
        """The next widths, which also enter the history, without a loss; see `RandomSearch.ask`.

        Raises:
            ValueError: m below 1; the search is done.
        """
        if self._scores is not None:
            raise ValueError(
                "The search is done: its scores were given, so there is nothing to ask for. See "
                "`done`."
            )
        return super().ask(m)

    @property
    def scores(self):
        """Scores of the legal widths of `field.space`: a list of float64 arrays.

        Raises:
            ValueError: fewer than three networks have a loss, the ends and a random one.
        """
        if self._scores is not None:
            return self._scores
        known = self.history.evaluated
        if known.sum() < 3 and not self.done:
            raise ValueError(
                "Scores of widths come from random networks, which are measured after the full "
                "and the smallest one: 3 networks or more, hundreds to be of use. "
                f"Received: {known.sum()}"
            )
        unary = UnaryScores(self.field.space)
        # The ends are not drawn at random; in a space of nothing else they are all there is.
        drawn = known & (np.arange(len(known)) > 1) if known.sum() > 2 else known
        unary.tell(self.history.widths[drawn], self.history.losses[drawn], self.history.losses[0])
        return unary.scores

    def answers(self, count=60):
        """The best widths by the scores: int32 `(n, groups)`, distinct.

        Args:
            count: budgets, evenly spaced from the least to the full cost; with a budget of its
                own the engine has one answer.
        """
        if self.budget is not None:
            return self.field.within(self.scores, self.budget).widths[None]
        return widths_over_budgets(self.field, self.scores, count)

    def _drawn_space(self):
        return self.field.space

    def _draw(self, rng, count):
        return self.field.space.sample(rng, count)
