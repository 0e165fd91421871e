"""Joslim's search engine: ask for widths, tell their losses.

While the history is short, `ask` gives uniform-multiplier widths. Then each point minimises
the augmented Tchebyshev scalarisation of a bound of the loss, from a Gaussian process over the
history, and of the exact cost, at a weight for which the cost comes near a drawn target.
"""

import dataclasses
import functools
import math

import numpy as np
import threadpoolctl

from keras_joslim.search import gaussian_process, pareto, scalarisation
from keras_joslim.search.candidates import CandidateSource
from keras_joslim.search.engine import checked_costs, refuse_other_costs, refuse_other_settings
from keras_joslim.search.history import History, row_keys
from keras_joslim.search.hyperparameters import Hyperparameters
from keras_joslim.search.joslim_settings import checked_settings
from keras_joslim.search.loss_model import LossModel
from keras_joslim.search.pool import Pool
from keras_joslim.search.prior_points import neighbours, prior_points
from keras_joslim.search.whole_number import whole_number

# Streams of random numbers, each keyed by (seed, stream, number of the ask).
_PRIOR, _FIT, _TARGET, _CANDIDATES = range(4)


class JoslimSearch:
    """Joslim's ask/tell engine over a width space.

    Args:
        space: the `WidthSpace`; at least one channel group.
        cost: a function of widths: int `(n, groups)` to numbers `(n,)`, and `(groups,)` to one;
            exact, so it is never modelled.
        targets: where the next points are wanted: `"uniform"`, a cost drawn uniformly between
            the smallest and the full network's (Joslim); `"gap"`, a cost in a gap of the
            front, drawn in proportion to the gap's area (PareCO); `"lambda"`, a weight of the
            scalarisation drawn uniformly, no target cost.
        prior_points: number of uniform-multiplier widths that come first, the full network
            among them.
        bound: of the loss: `"optimistic"`, `mean - sqrt(beta) sd`, or `"upper"`,
            `mean + sqrt(beta) sd`, for comparison with the published code only.
        beta: at least 0.
        tolerance: how far from its target a cost may be, in parts of the full network's cost.
        lengthscales: one `"per_group"`, or `"one"` for all.
        seed: int, at least 0. All randomness derives from it and the number of the ask.
        candidates: how many legal widths each ask begins its search with.
        mean: prior mean of the loss: `"linear"` in the multipliers, spaced by their logarithm, with
            a prior of the lengthscales that widens with the number of groups; or `"zero"`, with
            the published priors.
        surrogate_entries: at most so many entries of the history make the posterior, three
            quarters of them the best, front after front; `None` takes all.

    Attributes:
        history: the `History` of all widths asked, losses NaN until told.
        last_ask: one dict a point of the last ask: `kind` (`"prior"`, `"search"`, or
            `"repeat"` of widths already in the history), `target_cost` (`None` without
            one), `cost`, `weight` of the loss, `missed_tolerance`, `predicted_loss` and
            `predicted_sd` (in the unit of the losses; `None` for prior points).

    Raises:
        ValueError: an argument outside of what is said above, named.

    Example:

    >>> engine = JoslimSearch(space, cost)
    >>> while len(engine.history) < 60:
    ...     widths = engine.ask(2)
    ...     engine.tell([measure(w) for w in engine.history.widths])

    The published setting is `JoslimSearch(space, cost, lengthscales="one", mean="zero",
    surrogate_entries=None)`; what the defaults gain over it is in `docs/search.md`.

    Source: Joslim (ECML-PKDD 2021, arXiv 2007.11752), algorithm 1; PareCO (RealML 2020) for
    `targets="gap"`.
    """

    def __init__(
        self,
        space,
        cost,
        targets="uniform",
        prior_points=20,
        bound="optimistic",
        beta=0.1,
        tolerance=0.02,
        lengthscales="per_group",
        seed=0,
        candidates=2000,
        mean="linear",
        surrogate_entries=600,
    ):
        self._settings = checked_settings(
            targets=targets,
            prior_points=prior_points,
            bound=bound,
            beta=beta,
            tolerance=tolerance,
            lengthscales=lengthscales,
            seed=seed,
            candidates=candidates,
            mean=mean,
            surrogate_entries=surrogate_entries,
        )
        if not len(space):
            raise ValueError("There is nothing to search: the width space has no channel group.")
        self.space, self.cost = space, cost
        self.history = History(len(space))
        self.last_ask = []
        self._asks = 0
        self._model = LossModel(space, mean, lengthscales, self._settings["surrogate_entries"])
        self._source = CandidateSource(space)
        self._prior = None
        self._least_cost, self._full_cost = self._costs(np.stack([space.smallest, space.full]))

    @property
    def uninformed(self):
        """How many networks are asked before a loss counts: the prior points."""
        return len(self._prior_points())

    @property
    def done(self):
        """Never: there is always more to ask, if only again."""
        return False

    def ask(self, m, cost=None, targets=None):
        """The next widths, which also enter the history, without a loss.

        The points of one ask differ from each other and from all that were asked before. Only
        once every legal width vector of the space is in the history are seen ones given
        again (`kind="repeat"` in `last_ask`), those that the scalarisation prefers; they are not
        entered twice, and differ among themselves as far as there are enough.

        Args:
            m: number of points, at least 1.
            cost: what these points are searched by instead of the engine's own cost, a function
                like it: losses are of the widths, whatever they cost, so one history serves
                many costs.
            targets: with `cost`, what they shall cost, in its unit, `(m,)`; prior points have no
                target and leave theirs unused.

        Returns:
            Canonical widths, int32 `(m, groups)`.

        Raises:
            ValueError: m below 1; a cost without its targets, or they without it; points wanted
                beyond the prior ones while no loss has been told. Nothing has changed then.
        """
        m = whole_number("m", m, 1)
        targets = _checked_targets(m, cost, targets)
        waiting = self._waiting_prior_points()[:m]
        points = [_point("prior", cost=cost) for cost in self._costs(waiting)]
        rows = list(waiting)
        if m > len(rows):
            if not self.history.evaluated.any():
                raise ValueError(
                    f"Beyond the {self._settings['prior_points']} prior points, widths are chosen "
                    "by the losses of earlier ones, and none has been told. Call "
                    f"`tell(losses)` with all {len(self.history)} of the history before the next "
                    f"`ask`, or ask for fewer. Received: m={m}, of which {len(rows)} would be "
                    "prior points"
                )
            # One thread, as for the fit; so the sums, and with them the widths, do not depend on
            # the number of cores either.
            with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
                wanted = None if cost is None else targets[len(rows) :]
                found, found_points = self._search(m - len(rows), rows, cost, wanted)
            rows, points = rows + found, points + found_points
        costs = [point["cost"] for point in points]
        if cost is not None:
            costs = self._costs(np.array(rows))
        for row, own_cost in zip(rows, costs, strict=True):
            if row not in self.history:
                self.history.append(row, own_cost)
        self.last_ask = points
        self._asks += 1
        return np.array(rows, np.int32)

    def tell(self, losses, noise=None):
        """Replaces the losses of the whole history.

        Args:
            losses: finite numbers, `(len(history),)`, in its order, all for the same weights:
                losses drift while the weights train, so all are told anew.
            noise: standard deviations of the losses, `(len(history),)`, in their unit: 0 for one
                measured now, more for one carried over from earlier weights, which the surrogate
                then trusts less. `None` is 0 for all.

        Raises:
            ValueError: another number of losses, or one that is not finite, naming its entry;
                the like of the noise. Nothing has changed then.
        """
        self.history.set_losses(losses, noise)

    def state(self):
        """All that later asks depend on, besides space and cost: a JSON dict."""
        fitted = self._model.fitted
        return {
            "settings": dict(self._settings),
            "groups": list(self.space.names),
            "asks": self._asks,
            "history": self.history.to_dict(),
            "hyperparameters": None if fitted is None else fitted.to_dict(),
            "fitted_entries": self._model.fitted_entries,
            "fitted_density": self._model.fitted_density,
            "last_ask": [dict(point) for point in self.last_ask],
        }

    def restore(self, state):
        """Takes up a `state()`: asks go on exactly as if never interrupted.

        Args:
            state: from an engine of the same settings, space and cost.

        Raises:
            ValueError: a state of other settings, groups or cost, or none at all, naming what
                differs. The engine is unchanged then.
        """
        try:
            settings, groups = dict(state["settings"]), list(state["groups"])
            asks, fitted_entries = int(state["asks"]), int(state["fitted_entries"])
            fitted, points = state["hyperparameters"], [dict(p) for p in state["last_ask"]]
            history, density = state["history"], float(state.get("fitted_density", 0.0))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the state of a width search: {error!r}") from error
        refuse_other_settings(settings, self._settings)
        if groups != list(self.space.names):
            raise ValueError(
                "The state is that of a search over other channel groups. "
                f"Received: groups={groups}. Expected: groups={list(self.space.names)}"
            )
        history = History.from_dict(history)
        fitted = None if fitted is None else Hyperparameters.from_dict(fitted)
        if len(history):
            refuse_other_costs(history, self._costs(self.space.validate(history.widths)))
        self.history, self.last_ask, self._asks = history, points, asks
        self._model.fitted, self._model.fitted_entries = fitted, fitted_entries
        self._model.fitted_density = density

    # -- prior points --------------------------------------------------------

    def _waiting_prior_points(self):
        """The prior points not asked yet, in order, `(k, groups)`."""
        points = self._prior_points()
        return points[self.history.unseen(points)]

    def _prior_points(self):
        if self._prior is None:
            count = self._settings["prior_points"]
            self._prior = prior_points(self.space, count, self._rng(_PRIOR, 0))
        return self._prior

    # -- points by the surrogate ---------------------------------------------

    def _search(self, m, taken, cost=None, targets=None):
        """m widths besides `taken`, and their dicts for `last_ask`."""
        surrogate, full_cost, front = self._surrogate(), self._full_cost, self._front()
        by_weight = cost is None and self._settings["targets"] == "lambda"
        if cost is None:
            targets = self._targets(m)
        else:
            surrogate, full_cost, front = self._under(cost, surrogate)
        parents = self.history.widths[front]
        rng = self._rng(_CANDIDATES, self._asks)
        pool, kind = self._pool(surrogate, rng, taken, parents)
        rows, points = [], []
        for target in targets:
            if not len(pool):
                # The last new widths went to the point before.
                pool, kind = self._pool(surrogate, rng, taken + rows, parents)
            chooser = scalarisation.at_weight(target)
            if not by_weight:
                tolerance = self._settings["tolerance"] * full_cost
                chooser = scalarisation.at_cost(surrogate.costs, target, tolerance)
            choice = pool.search(chooser, rng)
            pool.close(choice.index)
            rows.append(pool.widths[choice.index])
            points.append(
                _point(
                    kind,
                    target_cost=None if by_weight else float(target),
                    cost=float(pool.costs[choice.index]),
                    weight=choice.weight,
                    missed_tolerance=choice.missed,
                    predicted_loss=float(surrogate.losses.inverse(pool.means[choice.index])),
                    predicted_sd=float(pool.sds[choice.index] * surrogate.losses.scale),
                )
            )
        return rows, points

    def _pool(self, surrogate, rng, taken, parents):
        """Candidates that are new, or, if the space is exhausted, seen: pool and kind."""
        excluded = set(row_keys(np.array(taken, np.int32))) if taken else set()

        def free(widths):
            return np.array([key not in excluded for key in row_keys(widths)], bool)

        pool = Pool(surrogate, self._source, lambda w: free(w) & self.history.unseen(w))
        candidates = self._source.initial(rng, self._settings["candidates"], parents)
        pool.add(candidates, prune=True)
        if len(pool):
            return pool, "search"
        # No luck is no proof. If all neighbours of what is known are known, all is.
        known = np.array([*self.history.widths, *taken], np.int32)
        pool.add(neighbours(self.space, known))
        if len(pool):
            return pool, "search"
        pool = Pool(surrogate, self._source, free)
        pool.add(known)
        if not len(pool):
            # More points in one ask than there are width vectors.
            pool = Pool(surrogate, self._source, lambda widths: np.ones(len(widths), bool))
            pool.add(known)
        return pool, "repeat"

    def _surrogate(self):
        """What is known of the objectives from the latest losses."""
        sign = -1.0 if self._settings["bound"] == "optimistic" else 1.0
        deviations = sign * math.sqrt(self._settings["beta"])
        rng = self._rng(_FIT, self._asks)
        return self._model.surrogate(self.history, self._costs, deviations, rng)

    def _under(self, cost, surrogate):
        """Of another cost: the surrogate with it, the full network's, and the front against it."""
        costs_of = functools.partial(checked_costs, cost)
        costs = costs_of(self.history.widths)
        known = gaussian_process.standardise(costs[self.history.evaluated])
        surrogate = dataclasses.replace(surrogate, cost=costs_of, costs=known)
        return surrogate, float(costs_of(self.space.full[None])[0]), self._front(costs)

    def _targets(self, m):
        """m target costs, or weights with `targets="lambda"`."""
        rng = self._rng(_TARGET, self._asks)
        low, high = np.full(m, self._least_cost), np.full(m, self._full_cost)
        if self._settings["targets"] == "lambda":
            low, high = np.zeros(m), np.ones(m)
        elif self._settings["targets"] == "gap":
            front = self._front()
            if len(front) > 1:
                areas = pareto.gap_areas(self.history.losses[front], self.history.costs[front])
                gap = rng.choice(len(areas), size=m, p=areas / areas.sum())
                low = self.history.costs[front][gap]
                high = self.history.costs[front][gap + 1]
        return low + (high - low) * rng.random(m)

    def _front(self, costs=None):
        """Entries of the history on the front, by ascending cost; the own one if `None`."""
        evaluated = np.flatnonzero(self.history.evaluated)
        costs = self.history.costs if costs is None else costs
        return evaluated[pareto.front_indices(self.history.losses[evaluated], costs[evaluated])]

    def _costs(self, widths):
        return checked_costs(self.cost, widths)

    def _rng(self, stream, number):
        return np.random.default_rng([self._settings["seed"], stream, number])


def _checked_targets(m, cost, targets):
    if cost is None and targets is None:
        return None
    values = np.asarray([] if targets is None else targets, np.float64)
    if cost is None or values.shape != (m,) or not np.isfinite(values).all():
        raise ValueError(
            f"Another cost comes with {m} finite target costs in its unit, one a point, and "
            f"targets with their cost. Received: cost={cost!r}, targets={targets}"
        )
    return values


def _point(kind, **known):
    """One entry of `last_ask`, `None` for what is not known."""
    point = dict.fromkeys(("target_cost", "weight", "predicted_loss", "predicted_sd"))
    point |= {"kind": kind, "missed_tolerance": False} | known
    point["cost"] = float(point["cost"])
    return point
