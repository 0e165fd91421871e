"""Two objectives made one: augmented Tchebyshev, and the weight at which it hits a target cost.

Losses and costs come standardised. A *weight* is that of the loss, in (0, 1); the cost has the
rest. A larger weight asks for a lower loss, so for a more expensive network.
"""

import dataclasses

import numpy as np

# The ideal point: three deviations below the mean, in both objectives.
IDEAL = -3.0
# Breaks ties between points of the same maximum in favour of the dominating one.
AUGMENTATION = 1e-6
# Halvings of the weight's interval; beyond, neighbouring weights are equal for any purpose.
HALVINGS = 40


@dataclasses.dataclass(frozen=True)
class Choice:
    """The minimiser of a scalarisation.

    Attributes:
        index: which of the candidates.
        weight: the weight of the loss.
        missed: whether its cost is further from the target than tolerated.
    """

    index: int
    weight: float
    missed: bool


def tchebyshev(losses, costs, weight):
    """The augmented Tchebyshev scalarisation, to be minimised.

    Args:
        losses: standardised, `(n,)`.
        costs: standardised, `(n,)`.
        weight: weight of the loss, in [0, 1]; the cost's is `1 - weight`.

    Returns:
        float64 `(n,)`: `max_i l_i (g_i - b) + 1e-6 sum_i l_i (g_i - b)` with `b = -3`.

    Source: Joslim (arXiv 2007.11752), section 3; b and the augmentation as published.
    """
    loss_term = weight * (np.asarray(losses, np.float64) - IDEAL)
    cost_term = (1.0 - weight) * (np.asarray(costs, np.float64) - IDEAL)
    return np.maximum(loss_term, cost_term) + AUGMENTATION * (loss_term + cost_term)


def choose_by_weight(losses, costs, weight):
    """The `Choice` of a given weight: the first minimiser among the candidates."""
    return Choice(int(np.argmin(tchebyshev(losses, costs, weight))), float(weight), False)


def choose_by_cost(losses, costs, target, tolerance, start=0.5):
    """Bisects the weight until the minimiser's cost is near a target.

    Args:
        losses: standardised, `(n,)`.
        costs: standardised, `(n,)`.
        target: the cost to reach, standardised as `costs`.
        tolerance: largest distance from the target that is near enough, in the same unit.
        start: the weight to try first, such as that of an earlier bisection.

    Returns:
        The `Choice` of the first weight that is near enough; else the one of those tried whose
        cost came nearest to the target, with `missed=True`.
    """
    low, high, weight, best = 0.0, 1.0, float(start), None
    for _ in range(HALVINGS):
        choice = choose_by_weight(losses, costs, weight)
        excess = costs[choice.index] - target
        if abs(excess) <= tolerance:
            return choice
        if best is None or abs(excess) < abs(costs[best.index] - target):
            best = choice
        if excess > 0:
            high = weight
        else:
            low = weight
        weight = 0.5 * (low + high)
    return dataclasses.replace(best, missed=True)


def at_weight(weight):
    """How a pool chooses at a weight, for `Pool.search`."""
    return lambda losses, costs, _: choose_by_weight(losses, costs, weight)


def at_cost(standardisation, target, tolerance):
    """How a pool chooses near a target cost, for `Pool.search`.

    Args:
        standardisation: that of the pool's costs.
        target: the cost to reach, in its own unit.
        tolerance: as for `choose_by_cost`, in the cost's own unit.
    """
    wanted, tolerance = float(standardisation(target)), tolerance / standardisation.scale

    def choose(losses, costs, weight):
        start = 0.5 if weight is None else weight
        return choose_by_cost(losses, costs, wanted, tolerance, start)

    return choose
