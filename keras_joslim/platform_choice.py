"""For each target platform the sub-network to ship there, and what that is worth altogether."""

import dataclasses

import numpy as np
from tqdm import tqdm

from keras_joslim.costs import MACs, Parameters
from keras_joslim.costs.network_identity import refuse_cost_of_other_network
from keras_joslim.front import ParetoFront, ParetoPoint
from keras_joslim.search.engine import checked_costs
from keras_joslim.search.platforms import check_platforms, platform_targets


@dataclasses.dataclass(frozen=True)
class PlatformPoint:
    """The choice for one budget of a platform.

    Attributes:
        platform: name of the platform.
        budget: the most that the network may cost there, in the unit of the platform's cost.
        weight: its part of all weights, which add up to 1.
        cost: what it costs there.
        point: name of the point in the front of the choices.
    """

    platform: str
    budget: float
    weight: float
    cost: float
    point: str


@dataclasses.dataclass(frozen=True)
class PlatformPoints:
    """The choices for all platforms.

    Attributes:
        front: a `ParetoFront` of the chosen networks, each once, by ascending MACs. It is no front
            against one cost: a network that one platform is best served by may be dominated on
            another.
        choices: `PlatformPoint`s, one a budget, in the order of the platforms.
    """

    front: ParetoFront
    choices: tuple

    def weighted(self, metric="accuracy", split="validation"):
        """The mean over the platforms of a result of their points, by weight.

        Args:
            metric: such as "accuracy" or "loss".
            split: "validation", which points are chosen by, or "test", once it is measured.

        Raises:
            ValueError: the points have no such result.
        """
        total = 0.0
        for choice in self.choices:
            results = getattr(self.front[choice.point], split)
            if metric not in results:
                raise ValueError(
                    f"Point {choice.point} has no {split} {metric!r}. It has: {sorted(results)}"
                )
            total += choice.weight * results[metric]
        return total

    def measure_test(self, model, test):
        """The same with test results of each point; see `ParetoFront.measure_test`."""
        return dataclasses.replace(self, front=self.front.measure_test(model, test))


def choose_points(platforms, space, history):
    """The network of lowest loss within each budget of each platform.

    Args:
        platforms: `Platform`s.
        space: the `WidthSpace`.
        history: dicts of the networks to choose among, `widths` and `loss`, such as `history` of a
            `ParetoFront`: losses on validation data, BatchNormalization calibrated.

    Returns:
        A list of pairs of a `search.PlatformTarget` and the index of the chosen network; of equal
        losses the one that costs less.

    Raises:
        ValueError: what `platform_targets` says; something else than such dicts; a budget that no
            network of the history with a finite loss is within.
    """
    try:
        widths = [entry["widths"] for entry in history]
        losses = np.array([entry["loss"] for entry in history], np.float64)
    except (TypeError, KeyError):
        raise ValueError(
            "The networks to choose among are dicts of `widths` and `loss`: `history` of a "
            f"`ParetoFront.build(...)`. Received: {type(history).__name__}"
        ) from None
    if not np.isfinite(losses).any():
        raise ValueError(
            "None of the networks to choose among has a loss that is a number. "
            f"Received: {len(losses)} networks"
        )
    widths = space.validate(np.array(widths, np.int32))
    chosen = []
    for target in platform_targets(platforms, space):
        costs = checked_costs(target.cost, widths)
        within = np.flatnonzero((costs <= target.budget) & np.isfinite(losses))
        if not len(within):
            raise ValueError(
                f"None of the {len(widths)} networks judged is within the budget of platform "
                f"{target.platform!r}: the cheapest costs {costs.min():g}. "
                f"Received: budget={target.budget:g}"
            )
        best = within[np.lexsort((costs[within], losses[within]))[0]]
        chosen.append((target, int(best)))
    return chosen


def platform_points(model, platforms, history, validation, calibration, progress=True):
    """Chooses the point of every platform, and makes it.

    Args:
        model: the trained, compiled `SlimmableModel`.
        platforms: `Platform`s.
        history: the networks judged; see `choose_points`.
        validation: as of `ParetoFront.build`, the data the losses of the history are of.
        calibration: likewise.
        progress: whether to show a progress bar.

    Returns:
        `PlatformPoints`; its front has the calibrated stock Keras models.

    Raises:
        ValueError: see `choose_points`.

    Example:

    >>> judged = kj.ParetoFront.build(slim, schedule.visited(), validation, calibration)
    >>> chosen = platform_points(slim, platforms, judged.history, validation, calibration)
    >>> chosen.weighted("accuracy")
    """
    # Here, not above: what is stored of them is read without Keras.
    from keras_joslim.batch_norm import as_batches, calibrate_batch_norm
    from keras_joslim.conversion import extract
    from keras_joslim.evaluation import Judge

    space, platforms = model.width_space, check_platforms(platforms)
    for platform in platforms:
        refuse_cost_of_other_network(platform.cost, model)
    chosen = choose_points(platforms, space, history)
    costs = {cost.name: cost for cost in (MACs(model), Parameters(model))}
    distinct = {tuple(history[index]["widths"]) for _, index in chosen}
    ordered = sorted(distinct, key=lambda row: (int(costs["macs"](np.array(row))), row))
    judge, calibration = Judge(model, validation), as_batches(calibration)
    points, networks, names = [], {}, {}
    for row in tqdm(ordered, "points of platforms", disable=not progress, leave=False):
        name = names[row] = f"p{len(points):02d}"
        network = calibrate_batch_norm(extract(model, np.array(row, np.int32)), calibration)
        network.name = f"{model.name}_{name}"
        networks[name] = network
        facts = {cost: int(function(np.array(row))) for cost, function in costs.items()}
        results = judge.measure(lambda x, n=network: n(x, training=False))
        points.append(ParetoPoint(name, row, facts, results))
    front = ParetoFront(points, list(history), "macs", space.to_dict())
    front.models = networks
    return PlatformPoints(front, choices_of(chosen, history, names))


def choices_of(chosen, history, names):
    """`PlatformPoint`s of what `choose_points` gave.

    Args:
        chosen: pairs of a target and an index.
        history: what the indices are into.
        names: dict of widths, as tuples, to names of points.
    """
    choices = []
    for target, index in chosen:
        row = tuple(history[index]["widths"])
        cost = float(checked_costs(target.cost, np.array([row], np.int32))[0])
        choices.append(
            PlatformPoint(target.platform, target.budget, target.weight, cost, names[row])
        )
    return tuple(choices)
