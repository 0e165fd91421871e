"""NSGA-II over legal widths, by pymoo: the search that Once-for-All networks are used with."""

import numpy as np

from keras_joslim.search.generation_search import GenerationSearch
from keras_joslim.search.prior_points import prior_points
from keras_joslim.search.random_search import random_widths
from keras_joslim.search.whole_number import whole_number

# Batches of random widths drawn to fill the first generation; a small space has no more.
_DRAWS = 32
# Matings until a generation is full of distinct children; in a small space it may never be.
_MATINGS = 10
# The search ends when so many generations one after the other have nothing new.
_IDLE_GENERATIONS = 20


class NSGA2Search(GenerationSearch):
    """Ask/tell engine by NSGA-II, loss and cost both minimised.

    The variables are the places of each group's width among its legal ones. The first generation is
    half uniform multipliers, the full and the smallest network first, and half random widths. Each
    later one is made from the best `population` networks so far by tournament, simulated
    binary crossover and polynomial mutation, rounded and made canonical. One that the history has
    already is not measured again: its loss is known. The search is `done` when nothing new has
    come up for 20 generations.

    All randomness derives from the seed and the number of the generation; nothing of the
    algorithm is kept but its population, so losses that are told anew count from then on.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`.
        population: networks in a generation, at least 4.
        seed: int, at least 0.

    Attributes:
        history: the `History` of all widths asked, losses NaN until told.

    Raises:
        ValueError: pymoo is not installed; a space without channel groups; an argument out of
            range.

    Example:

    >>> engine = NSGA2Search(space, cost)
    >>> widths = engine.ask(8)
    >>> engine.tell([measure(w) for w in engine.history.widths])

    Source: Deb, Pratap, Agarwal and Meyarivan, A fast and elitist multiobjective genetic algorithm:
    NSGA-II, IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """

    def __init__(self, space, cost, population=40, seed=0):
        settings = {
            "population": whole_number("population", population, 4),
            "seed": whole_number("seed", seed, 0),
        }
        self._generations, self._population = 0, np.empty(0, np.int64)
        super().__init__(space, cost, settings)
        self._counts = np.array([len(space.legal[group]) for group in space.searchable])
        self._pymoo = _algorithm(self) if len(self._counts) else None

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        return super().state() | {
            "generations": self._generations,
            "population": self._population.tolist(),
        }

    def _take_up(self, state, history):
        generations = whole_number("generations", state["generations"], 0)
        population = np.array(state["population"], np.int64)
        if population.ndim != 1 or not np.isin(population, np.arange(len(history))).all():
            raise ValueError(
                f"The population names entries that the history of {len(history)} does not have. "
                f"Received: population={population.tolist()}"
            )
        super()._take_up(state, history)
        self._generations, self._population = generations, population

    def _first(self):
        size = self._settings["population"]
        rng = self._rng()
        chosen = list(prior_points(self.space, size // 2, rng))
        known = {row.tobytes() for row in chosen}
        for _ in range(_DRAWS):
            for row in random_widths(self.space, rng, size - len(chosen)):
                if row.tobytes() not in known:
                    known.add(row.tobytes())
                    chosen.append(row)
        return np.array(chosen, np.int32)

    def _next(self):
        members = self._members
        for _ in range(_IDLE_GENERATIONS if self._pymoo is not None else 0):
            self._generations += 1
            members = self._children(members)
            if self.history.unseen(members).any():
                return members
        return np.empty((0, len(self.space)), np.int32)

    def _children(self, members):
        """Survivors of the population and `members`, which become it, and their children."""
        from pymoo.core.population import Population

        problem, algorithm = self._pymoo
        rng = algorithm.random_state = self._rng()
        entries = np.union1d(self._population, self._entries(members))
        objectives = np.stack([self.history.losses[entries], self.history.costs[entries]], axis=1)
        places = self._places(self.history.widths[entries])
        individuals = Population.new("X", places, "F", objectives)
        size, known = self._settings["population"], {"algorithm": algorithm, "random_state": rng}
        kept = algorithm.survival.do(
            problem, individuals, n_survive=size, return_indices=True, **known
        )
        self._population = entries[kept]
        children = algorithm.mating.do(problem, individuals[kept], size, **known)
        if not len(children):
            return np.empty((0, len(self.space)), np.int32)
        return self._widths(children.get("X"))

    def _places(self, widths):
        """Widths `(n, groups)` as places among the legal ones, float64 `(n, searchable)`."""
        searchable, legal = self.space.searchable, self.space.legal
        columns = [np.searchsorted(legal[group], widths[:, group]) for group in searchable]
        return np.stack(columns, axis=1).astype(np.float64)

    def _widths(self, places):
        """Canonical widths of places, which are rounded: int32 `(n, groups)`."""
        places = np.clip(np.round(places), 0, self._counts - 1).astype(np.int64)
        widths = np.repeat(self.space.full[None], len(places), axis=0)
        for column, group in enumerate(self.space.searchable):
            widths[:, group] = self.space.legal[group][places[:, column]]
        return self.space.canonical(widths)

    def _rng(self):
        return np.random.default_rng([self._settings["seed"], self._generations])


def _algorithm(search):
    """pymoo's problem and its NSGA-II, whose operators are used."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.core.repair import Repair
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
    except ImportError as error:
        raise ValueError(
            f"NSGA-II is that of pymoo (the extra 'nsga2'), which cannot be imported: {error}. "
            "Install it: pip install pymoo"
        ) from None

    class Canonical(Repair):
        """Before equal ones are dropped, children become what would be measured."""

        def _do(self, problem, places, **_):
            return search._places(search._widths(places))

    counts = search._counts
    problem = Problem(n_var=len(counts), n_obj=2, xl=0, xu=counts - 1)
    algorithm = NSGA2(
        pop_size=search._settings["population"],
        # What pymoo advises for whole numbers: children further from their parents.
        crossover=SBX(prob=1.0, eta=3.0),
        mutation=PM(prob=1.0, eta=3.0),
        repair=Canonical(),
        eliminate_duplicates=True,
    )
    algorithm.mating.n_max_iterations = _MATINGS
    return problem, algorithm
