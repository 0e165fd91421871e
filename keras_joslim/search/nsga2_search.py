"""NSGA-II over legal widths, by pymoo: the search that Once-for-All networks are used with."""

import numpy as np

from keras_joslim.search.generation_search import GenerationSearch
from keras_joslim.search.prior_points import prior_points
from keras_joslim.search.whole_number import whole_number


class NSGA2Search(GenerationSearch):
    """Ask/tell engine by NSGA-II, losses and costs both minimised.

    A genome is the place of each group's width among its legal ones. The first generation is
    half uniform multipliers, the full and the smallest network among them, half random.

    Args:
        space: the `WidthSpace`.
        cost: an exact function of widths.
        population: networks a generation, an even number from 4.
        seed: int, at least 0.

    Raises:
        ValueError: pymoo is not installed (`pip install pymoo`), or an argument out of range.

    Example:

    >>> engine = NSGA2Search(space, cost)
    >>> widths = engine.ask(8)
    >>> engine.tell([measure(w) for w in engine.history.widths])

    Source: Deb, Pratap, Agarwal and Meyarivan, IEEE Trans. Evol. Comp. 6(2), 2002. Crossover and
    mutation are pymoo's simulated binary and polynomial ones, rounded.
    """

    def __init__(self, space, cost, population=40, seed=0):
        population, seed = whole_number("population", population, 4), whole_number("seed", seed, 0)
        if population % 2:
            raise ValueError(f"population must be even. Received: population={population}")
        try:
            import pymoo  # noqa: F401
        except ImportError as error:
            raise ValueError(
                f"NSGA-II is pymoo's, which cannot be imported ({error}): pip install pymoo, or "
                "pip install 'keras_joslim[nsga2]'"
            ) from None
        super().__init__(space, cost, {"population": population, "seed": seed})

    def _first(self):
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair

        space, size = self.space, self._settings["population"]
        rng = np.random.default_rng([self._settings["seed"], 0])
        uniform = prior_points(space, size // 2, rng)
        begin = np.concatenate([uniform, space.sample(rng, size - len(uniform))])
        limits = np.array([len(space.legal[group]) - 1 for group in space.searchable])
        self._problem = Problem(n_var=len(limits), n_obj=2, xl=0, xu=limits, vtype=int)
        self._algorithm = NSGA2(
            pop_size=size,
            sampling=self._places(begin),
            crossover=SBX(prob=0.9, eta=15, vtype=float, repair=RoundingRepair()),
            mutation=PM(eta=20, vtype=float, repair=RoundingRepair()),
            # Genomes that are equal once they are legal are one network: costly only in turns.
            eliminate_duplicates=True,
        )
        self._algorithm.setup(
            self._problem, termination=NoTermination(), seed=self._settings["seed"]
        )
        return self._asked()

    def _next(self, generation, losses):
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        objectives = np.stack([losses, self._costs(generation)], axis=1)
        Evaluator().eval(StaticProblem(self._problem, F=objectives), self._individuals)
        self._algorithm.tell(infills=self._individuals)
        return self._asked()

    def _asked(self):
        self._individuals = self._algorithm.ask()
        if self._individuals is None or not len(self._individuals):
            return None
        return self._widths(np.asarray(self._individuals.get("X")))

    def _places(self, widths):
        """Genomes of widths."""
        columns = [
            np.searchsorted(self.space.legal[group], widths[:, group])
            for group in self.space.searchable
        ]
        return np.stack(columns, axis=1)

    def _widths(self, places):
        widths = np.repeat(self.space.full[None], len(places), axis=0)
        for column, group in enumerate(self.space.searchable):
            widths[:, group] = self.space.legal[group][places[:, column].astype(int)]
        return self.space.canonical(widths)
