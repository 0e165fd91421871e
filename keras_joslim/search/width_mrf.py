"""A Markov random field over widths: exact search and sampling where a cost is a sum of tables."""

import dataclasses
import functools
import itertools
import math

import numpy as np

from keras_joslim.costs.factor import WidthSum, axis_widths, sums
from keras_joslim.search.budgeted_widths import price_of_budget, widths_within
from keras_joslim.search.elimination import Elimination


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredWidths:
    """Widths and what they are worth.

    Attributes:
        widths: int32 `(groups,)`.
        score: the sum of their scores, lower is better.
        cost: the sum of the factors.
        gamma: the price of cost at which they were found, in units of score a unit of cost.
        bound: no widths within the budget score less than this; `None` where there was no budget.
    """

    widths: np.ndarray
    score: float
    cost: float
    gamma: float
    bound: float | None = None


class WidthMRF:
    """The energy `sum_g score_g(width_g) + gamma * cost(widths)` over all legal widths.

    Scores are losses: *lower is better*, one number for every legal width of every group; so is
    the cost. The probability of widths at a temperature T is `exp(-energy / T) / Z`. All answers
    are exact up to rounding, ordering constraints of the space included. Berman et al., AOWS (CVPR
    2020, arXiv 2005.10481), has it of chains; here of any network whose tables fit in memory.

    Args:
        space: the `WidthSpace`; `search.thinned(space, 12)` of one with many legal widths.
        factors: `costs.Factor`s over the legal widths of *this* space, whose sum is the cost, such
            as `costs.MACs(slim).factors(space.legal)`.
        memory: bytes that tables may take.

    Attributes:
        memory: bytes that an answer takes at most.

    Raises:
        ValueError: a factor of a group that is not there, a table of another shape than the legal
            widths, or tables that would not fit in the memory, naming the groups; that is
            told before they are made.

    Example:

    >>> space = kj.search.thinned(slim.width_space, 12)
    >>> mrf = kj.search.WidthMRF(space, kj.costs.MACs(slim).factors(space.legal))
    >>> scores = [1 - legal / legal[-1] for legal in space.legal]
    >>> mrf.within(scores, budget=1e8).widths
    """

    def __init__(self, space, factors, memory=2**30):
        if not len(space):
            raise ValueError("There is nothing to search: the width space has no channel group.")
        if not memory > 0:
            raise ValueError(f"Expected a number of bytes above 0. Received: memory={memory}")
        self.space = space
        self._variables = list(range(len(space)))
        self._values = [np.asarray(legal, np.int64) for legal in space.legal]
        self._factors = list(factors)
        # The tables that rule values out, made when all are known to fit.
        rules = [(pair, _ordered) for pair in space.ordering]
        self._sums, places = {}, {}
        for factor in self._factors:
            self._check_shape(factor)
            for axis in factor.groups:
                if isinstance(axis, WidthSum):
                    places[axis] = self._sum_variable(axis.terms, rules)
                    self._sums[axis] = self._values[places[axis]]
                else:
                    places[axis] = axis
        scopes = [tuple(places[axis] for axis in factor.groups) for factor in self._factors]
        every = [*scopes, *(scope for scope, _ in rules)]
        self._elimination = Elimination([len(values) for values in self._values], every)
        self.memory = self._elimination.memory
        self._check_memory(memory)
        self._scopes = scopes
        self._cost_tables, self._constant = self._added_up(
            (scope, factor.table) for scope, factor in zip(scopes, self._factors, strict=True)
        )
        self._rule_tables, _ = self._added_up(
            (scope, rule(*(self._values[v] for v in scope))) for scope, rule in rules
        )

    # -- widths --------------------------------------------------------------

    def cost(self, widths):
        """The sum of the factors at legal widths: float64, a scalar or `(n,)`.

        Args:
            widths: int `(groups,)` or `(n, groups)`.

        Raises:
            ValueError: widths that are not legal in this space.
        """
        widths = self.space.validate(widths)
        costs = self.costs_at(self.places(np.atleast_2d(widths)))
        return costs if widths.ndim == 2 else float(costs[0])

    def score(self, scores, widths):
        """The sum of the scores at legal widths: float64, a scalar or `(n,)`."""
        scores, widths = self.checked(scores), self.space.validate(widths)
        places = self.places(np.atleast_2d(widths))
        total = sum(values[column] for values, column in zip(scores, places.T, strict=True))
        return total if widths.ndim == 2 else float(total[0])

    def places(self, widths):
        """Where legal widths `(n, groups)` stand among those of their groups: int64."""
        columns = [np.searchsorted(w, c) for w, c in zip(self.space.legal, widths.T, strict=True)]
        return np.stack(columns, axis=1)

    def costs_at(self, places):
        """Costs `(n,)` of places `(n, groups)`; +inf where the ordering forbids the widths."""
        columns = np.ascontiguousarray(places.T)
        at = dict(enumerate(columns))
        for axis, values in self._sums.items():
            total = sum(weight * self.space.legal[g][columns[g]] for g, weight in axis.terms)
            at[axis] = np.searchsorted(values, total)
        costs = np.zeros(len(places))
        for factor in self._factors:
            costs += factor.table[tuple(at[axis] for axis in factor.groups)]
        for narrow, wide in self.space.ordering:
            forbidden = self.space.legal[narrow][at[narrow]] > self.space.legal[wide][at[wide]]
            costs[forbidden] = math.inf
        return costs

    @functools.cached_property
    def interacting(self):
        """Which pairs of groups share a factor or are ordered: bool `(groups, groups)`."""
        pairs = np.zeros((len(self.space), len(self.space)), bool)
        for factor in self._factors:
            groups = {
                group
                for axis in factor.groups
                for group in (axis.groups if isinstance(axis, WidthSum) else (axis,))
            }
            for a, b in itertools.permutations(groups, 2):
                pairs[a, b] = True
        for a, b in self.space.ordering:
            pairs[a, b] = pairs[b, a] = True
        return pairs

    # -- answers -------------------------------------------------------------

    def minimum(self, scores, gamma):
        """The widths of least `score + gamma * cost`, exactly.

        Args:
            scores: a sequence of one array for each group, `(legal widths,)`, finite.
            gamma: price of a unit of cost, from 0.

        Returns:
            `ScoredWidths`.

        Raises:
            ValueError: scores of another shape or not finite, naming the group; gamma negative
                or not finite.
        """
        scores, gamma = self.checked(scores), _checked_gamma(gamma)
        _, values = self._elimination.minimum(self._tables(scores, gamma))
        return self.scored(scores, values[: len(self.space)], gamma)

    def within(self, scores, budget):
        """The best widths found that cost no more than a budget.

        A price of cost is sought at which the exact minimum just meets the budget; that reaches
        only the convex hull of score against cost, so what is left of the budget is then used by
        moves of one group or two while they score better. `bound` of the answer says how far
        from the optimum it can be at most. Factors should not be negative.

        Args:
            scores: as for `minimum`.
            budget: the most that they may cost, a number.

        Returns:
            `ScoredWidths`, with `bound`.

        Raises:
            ValueError: no widths cost so little, naming the least cost; a budget that is NaN.
        """
        return widths_within(self, scores, budget)

    def price(self, scores, budget):
        """The gamma at which `minimum` just meets a budget; 0 where it does without a price.

        Arguments and errors are those of `within`.
        """
        return price_of_budget(self, scores, budget)

    def log_partition(self, scores, gamma, temperature):
        """`log Z`, the logarithm of the sum of `exp(-energy / temperature)`: a float.

        Arguments and errors are those of `minimum`; the temperature is above 0.
        """
        tables, temperature = self._at(scores, gamma, temperature)
        total = self._elimination.log_partition(tables, temperature)
        return total - float(gamma) * self._constant / temperature

    def marginals(self, scores, gamma, temperature):
        """Probabilities of the legal widths of each group: a list of float64 `(legal widths,)`.

        Drawing groups independently from these is *not* a draw from the field: use `sample`.
        """
        tables, temperature = self._at(scores, gamma, temperature)
        return self._elimination.marginals(tables, temperature)[: len(self.space)]

    def sample(self, scores, gamma, temperature, n, rng):
        """Exact draws of whole width vectors, all groups jointly: int32 `(n, groups)`.

        Args:
            scores: as for `minimum`.
            gamma: as for `minimum`.
            temperature: above 0, in units of score.
            n: number of draws.
            rng: `numpy.random.Generator`.
        """
        tables, temperature = self._at(scores, gamma, temperature)
        values = self._elimination.sample(tables, temperature, n, rng)
        columns = [legal[values[:, g]] for g, legal in enumerate(self.space.legal)]
        return np.stack(columns, axis=1).astype(np.int32)

    # -- for the search under a budget ---------------------------------------

    def checked(self, scores):
        """Scores as a list of float64 arrays, one a group."""
        scores = [np.asarray(values, np.float64) for values in scores]
        if len(scores) != len(self.space):
            raise ValueError(
                f"Expected scores of {len(self.space)} channel groups, one array each. "
                f"Received: {len(scores)}"
            )
        for group, values in zip(self.space.groups, scores, strict=True):
            if values.shape != (len(group.legal),):
                raise ValueError(
                    f"Expected {len(group.legal)} scores of group {group.name!r}, one a legal "
                    f"width. Received: shape={values.shape}"
                )
            wrong = np.flatnonzero(~np.isfinite(values))
            if len(wrong):
                raise ValueError(
                    f"Scores are finite numbers. Received: {values[wrong[0]]} for group "
                    f"{group.name!r} at width {group.legal[wrong[0]]}"
                )
        return scores

    def scored(self, scores, places, gamma=0.0):
        """`ScoredWidths` of one row of places `(groups,)`."""
        widths = [legal[place] for legal, place in zip(self.space.legal, places, strict=True)]
        score = math.fsum(values[place] for values, place in zip(scores, places, strict=True))
        cost = float(self.costs_at(np.asarray(places)[None])[0])
        return ScoredWidths(np.array(widths, np.int32), score, cost, gamma)

    # -- inside --------------------------------------------------------------

    def _at(self, scores, gamma, temperature):
        scores, gamma = self.checked(scores), _checked_gamma(gamma)
        temperature = float(temperature)
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"Expected a finite temperature above 0. Received: temperature={temperature}"
            )
        return self._tables(scores, gamma), temperature

    def _tables(self, scores, gamma):
        """For each variable the sum of its bucket's tables."""
        tables = {}
        for variable in self._elimination.order:
            parts = []
            if variable < len(scores):
                parts.append(self._elimination.aligned_alone(variable, scores[variable]))
            if variable in self._cost_tables:
                parts.append(gamma * self._cost_tables[variable])
            if variable in self._rule_tables:
                parts.append(self._rule_tables[variable])
            tables[variable] = sum(parts[1:], parts[0]) if parts else np.zeros(1)
        return tables

    def _added_up(self, scoped):
        """Tables added up by bucket, and the sum of those of no variable."""
        buckets, constant = {}, 0.0
        for scope, table in scoped:
            if not scope:
                constant += float(table)
                continue
            bucket = self._elimination.bucket(scope)
            table = self._elimination.aligned(scope, table)
            buckets[bucket] = buckets[bucket] + table if bucket in buckets else table
        return buckets, constant

    def _sum_variable(self, terms, rules):
        """The variable of a sum; sums that begin alike share the variables of what they share."""
        *before, (group, weight) = terms
        if not before:
            return group
        key = tuple(terms)
        if key in self._variables:
            return self._variables.index(key)
        first = self._sum_variable(before, rules)
        first_weight = before[0][1] if len(before) == 1 else 1
        values = sums(first_weight * self._values[first], weight * self._values[group])
        self._variables.append(key)
        self._values.append(values)
        variable = len(self._values) - 1
        rule = functools.partial(_adds_up, first_weight, weight)
        rules.append(((first, group, variable), rule))
        return variable

    def _check_shape(self, factor):
        shape = tuple(len(axis_widths(axis, self.space.legal)) for axis in factor.groups)
        if factor.table.shape != shape:
            names = [self._axis_name(axis) for axis in factor.groups]
            raise ValueError(
                f"The table of a factor over {' x '.join(names)} must have one entry a legal "
                f"width, shape {shape}. Received: shape={factor.table.shape}. Factors are made "
                "for one space: `cost.factors(space.legal)`."
            )

    def _axis_name(self, axis):
        terms = axis.terms if isinstance(axis, WidthSum) else axis
        if isinstance(terms, int):
            return repr(self.space.names[terms])
        names = [repr(self.space.names[group]) for group, _ in terms]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"the sum of {', '.join(names[:3])}{more}"

    def _check_memory(self, memory):
        elimination = self._elimination
        if self.memory <= memory:
            return
        largest = max(elimination.order, key=elimination.clique_size)
        names = []
        for variable in elimination.cliques[largest]:
            terms = self._variables[variable]
            name = self._axis_name(terms if isinstance(terms, int) else WidthSum(terms))
            names.append(f"{name} ({len(self._values[variable])} widths)")
        raise ValueError(
            f"An exact search over these widths needs {_bytes(self.memory)}, more than "
            f"memory={memory} ({_bytes(memory)}). The largest of its tables is over "
            f"{' x '.join(names)}. Thin the space (`search.thinned(space, choices)`, or a larger "
            "divisor in make_slimmable), keep layers of these groups whole (`skip=`), or give more "
            "memory."
        )


def _ordered(narrow, wide):
    """Rules out that the one is wider than the other."""
    return np.where(narrow[:, None] > wide, math.inf, 0.0)


def _adds_up(first_weight, weight, first, second, total):
    """Rules out totals that are not the sum of the two."""
    sums = np.add.outer(first_weight * first, weight * second)
    return np.where(sums[..., None] == total, 0.0, math.inf)


def _checked_gamma(gamma):
    gamma = float(gamma)
    if not 0 <= gamma < math.inf:
        raise ValueError(
            f"gamma is the price of a unit of cost, a finite number from 0. Received: gamma={gamma}"
        )
    return gamma


def _bytes(count):
    return f"{count / 2**30:.3g} GiB" if count >= 2**29 else f"{count / 2**20:.3g} MiB"
