"""Variable elimination: exact minima, sums and samples of a sum of small tables.

Variables are numbered and discrete; an *energy* is a sum of tables over a few variables each. They
are eliminated one after the other: all tables that name one are added up over it and its
neighbours (the *clique*), and what is left after the minimum, or the sum, over it is a table of its
neighbours (the *message*). Of a chain that is Viterbi's algorithm, and forward filtering.

Source: Koller and Friedman, Probabilistic Graphical Models (2009), 9.3 (sum), 9.4.3 (min-fill),
13.2 (max); backward sampling: Frühwirth-Schnatter, Journal of Time Series Analysis 15 (1994).
"""

import itertools
import math

import numpy as np


class Elimination:
    """The order of elimination of a set of variables, and the passes along it.

    Args:
        sizes: number of values of each variable.
        scopes: for each table the variables that it is over, in any order.

    Attributes:
        order: the variables as they are eliminated, by least fill, then least clique.
        cliques: for each variable the variables of its clique, itself first, the others in the
            order of their elimination.
    """

    def __init__(self, sizes, scopes):
        self.sizes = tuple(int(size) for size in sizes)
        self.order, self.cliques = _min_fill(self.sizes, scopes)
        self._position = {variable: i for i, variable in enumerate(self.order)}
        for variable, clique in self.cliques.items():
            rest = sorted(clique - {variable}, key=self._position.get)
            self.cliques[variable] = (variable, *rest)
        # Where the message of each goes, and the shape in which it is added up there.
        self._receiver, self._message_shape = {}, {}
        self._senders = {variable: [] for variable in self.order}
        for variable in self.order:
            rest = self.cliques[variable][1:]
            if rest:
                receiver = self._receiver[variable] = rest[0]
                self._senders[receiver].append(variable)
                self._message_shape[variable] = self._shape(self.cliques[receiver], rest)

    def clique_size(self, variable):
        """Entries of the table over the clique of a variable (a Python int)."""
        return math.prod(self.sizes[v] for v in self.cliques[variable])

    @property
    def memory(self):
        """Bytes that the largest of the passes holds at once, at most (a Python int)."""
        cliques = [self.clique_size(variable) for variable in self.order]
        # Marginals keep two tables a clique; adding and exponents need three more of the largest.
        return 8 * (2 * sum(cliques) + 3 * max(cliques, default=0))

    def bucket(self, scope):
        """The variable with which a table over `scope` is eliminated: the first of them."""
        return min(scope, key=self._position.get)

    def aligned(self, scope, table):
        """A table over `scope` in the axes of its bucket's clique, the others of length 1."""
        inside = sorted(range(len(scope)), key=lambda axis: self._position[scope[axis]])
        clique = self.cliques[self.bucket(scope)]
        return np.transpose(table, inside).reshape(self._shape(clique, scope))

    def aligned_alone(self, variable, values):
        """Values of one variable, `(size,)`, in the axes of its own clique."""
        return values.reshape(-1, *[1] * (len(self.cliques[variable]) - 1))

    def minimum(self, tables):
        """The least energy and where it is.

        Args:
            tables: for each variable the sum of the tables of its bucket, in the axes of its
                clique; +inf rules values out.

        Returns:
            The energy, a float (+inf if everything is ruled out), and the values, int64
            `(variables,)`; one of several as good.
        """
        messages, best, energy = {}, {}, 0.0
        for variable in self.order:
            table = self._added_up(tables, messages, variable)
            best[variable] = table.argmin(axis=0)
            least = table.min(axis=0)
            if variable in self._receiver:
                messages[variable] = least.reshape(self._message_shape[variable])
            else:
                energy += float(least)
        values = np.zeros(len(self.sizes), np.int64)
        for variable in reversed(self.order):
            values[variable] = best[variable][tuple(values[list(self.cliques[variable][1:])])]
        return energy, values

    def log_partition(self, tables, temperature):
        """`log sum exp(-energy / temperature)` over all values: a float."""
        return self._filtered(tables, temperature)[0]

    def sample(self, tables, temperature, n, rng):
        """Draws from `exp(-energy / temperature) / Z`: all variables of a row jointly.

        Sums forward along the order, then draws backward, each variable given those of its
        clique that have been drawn already.

        Args:
            tables: as for `minimum`.
            temperature: above 0.
            n: number of rows.
            rng: `numpy.random.Generator`.

        Returns:
            int64 `(n, variables)`.
        """
        _, cliques = self._filtered(tables, temperature)
        values = np.zeros((n, len(self.sizes)), np.int64)
        for variable in reversed(self.order):
            rest = tuple(values[:, v] for v in self.cliques[variable][1:])
            weights = _normalised(cliques[variable])[(slice(None), *rest)]
            if not rest:
                weights = np.repeat(weights[:, None], n, axis=1)
            reached = np.cumsum(weights, axis=0)
            # Below the last sum, which rounding leaves a little off 1: never beyond the end.
            drawn = np.minimum(rng.random(n) * reached[-1], np.nextafter(reached[-1], 0.0))
            values[:, variable] = (reached <= drawn).sum(axis=0)
        return values

    def marginals(self, tables, temperature):
        """Probabilities of each variable's values: a list of float64 `(size,)`."""
        _, cliques = self._filtered(tables, temperature)
        beliefs, result = {}, [None] * len(self.sizes)
        for variable in reversed(self.order):
            belief = _normalised(cliques[variable])
            if variable in self._receiver:
                # The receiver's clique holds all the rest of this one.
                receiver = self.cliques[self._receiver[variable]]
                outside = tuple(
                    axis for axis, v in enumerate(receiver) if v not in self.cliques[variable]
                )
                belief = belief * beliefs[self._receiver[variable]].sum(axis=outside)
            beliefs[variable] = belief
            result[variable] = belief.sum(axis=tuple(range(1, belief.ndim)))
        return result

    def _filtered(self, tables, temperature):
        """The forward pass: `log Z`, and for each variable the logarithms over its clique."""
        messages, cliques, total = {}, {}, 0.0
        scaled = {variable: table / -temperature for variable, table in tables.items()}
        for variable in self.order:
            table = cliques[variable] = self._added_up(scaled, messages, variable)
            summed = _logsumexp(table)
            if variable in self._receiver:
                messages[variable] = summed.reshape(self._message_shape[variable])
            else:
                total += float(summed)
        return total, cliques

    def _added_up(self, tables, messages, variable):
        table = tables[variable]
        for sender in self._senders[variable]:
            table = table + messages.pop(sender)
        return table

    def _shape(self, clique, scope):
        return tuple(self.sizes[v] if v in scope else 1 for v in clique)


def _logsumexp(table):
    """Stable `log(sum(exp(table), axis=0))`, -inf where all of it is."""
    most = table.max(axis=0)
    shift = np.where(np.isneginf(most), 0.0, most)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(table - shift).sum(axis=0)) + shift


def _normalised(logarithms):
    """Probabilities along the first axis; 0 where nothing is possible."""
    most = logarithms.max(axis=0)
    weights = np.exp(logarithms - np.where(np.isneginf(most), 0.0, most))
    total = weights.sum(axis=0)
    return weights / np.where(total > 0, total, 1.0)


def _min_fill(sizes, scopes):
    """Eliminates again and again the variable that joins the fewest pairs of its neighbours.

    Returns:
        The order, and for each variable the set of its clique.
    """
    near = {variable: set() for variable in range(len(sizes))}
    for scope in scopes:
        for a, b in itertools.permutations(scope, 2):
            near[a].add(b)

    def price(variable):
        around = near[variable]
        pairs = len(around) * (len(around) - 1) // 2
        joined = sum(len(near[a] & around) for a in around) // 2
        logs = sum(math.log(sizes[v]) for v in around) + math.log(sizes[variable])
        return pairs - joined, logs, variable

    prices = {variable: price(variable) for variable in near}
    order, cliques = [], {}
    while near:
        variable = min(prices.values())[-1]
        around = near.pop(variable)
        del prices[variable]
        order.append(variable)
        cliques[variable] = around | {variable}
        for v in around:
            near[v] |= around - {v}
            near[v].discard(variable)
        for v in around.union(*(near[v] for v in around)):
            prices[v] = price(v)
    return order, cliques
