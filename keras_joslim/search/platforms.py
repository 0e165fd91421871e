"""Target platforms: a cost, budgets and a share each, and what training has to aim at."""

import dataclasses
import math
import numbers

import numpy as np

from keras_joslim.search.engine import checked_costs


@dataclasses.dataclass(frozen=True, eq=False)
class Platform:
    """A kind of device that one network is trained for.

    Args:
        name: what it is called, such as "pixel7".
        cost: a function of widths, such as a fitted `costs.Latency` or `costs.MACs(slim)`.
        budgets: the most that a sub-network may cost there, in the cost's unit; a number, or
            several, each of which gets a sub-network and an equal part of the weight.
        weight: its share, such as a number of users; only proportions matter.

    Raises:
        ValueError: no name, a cost that cannot be called, budgets that are not positive numbers, a
            weight that is negative or not finite.

    Example:

    >>> Platform("pixel7", kj.costs.Latency.load("pixel7.json", slim), [4.0, 8.0], weight=0.6)
    """

    name: str
    cost: object
    budgets: tuple
    weight: float = 1.0

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"A platform has a name. Received: name={self.name!r}")
        if isinstance(self.cost, type) or not callable(self.cost):
            raise ValueError(
                f"The cost of platform {self.name!r} is an object called with widths, such as "
                f"`costs.MACs(slim)`. Received: cost={self.cost!r}"
            )
        given = self.budgets if isinstance(self.budgets, (tuple, list)) else (self.budgets,)
        if not given or not all(_is_number(value) and value > 0 for value in given):
            raise ValueError(
                f"The budgets of platform {self.name!r} are one number above 0 or several. "
                f"Received: budgets={self.budgets!r}"
            )
        if not _is_number(self.weight) or self.weight < 0:
            raise ValueError(
                f"The weight of platform {self.name!r} is a share, a finite number of at least 0. "
                f"Received: weight={self.weight!r}"
            )
        object.__setattr__(self, "budgets", tuple(float(value) for value in given))
        object.__setattr__(self, "weight", float(self.weight))


@dataclasses.dataclass(frozen=True, eq=False)
class PlatformTarget:
    """One budget of a platform: a sub-network is wanted for it.

    Attributes:
        platform: name of the platform.
        cost: function of widths.
        budget: the most that the sub-network may cost, in the cost's unit.
        weight: its part of all weights, which add up to 1.
        least: what the smallest network costs there.
        full: what the full network costs there.
    """

    platform: str
    cost: object
    budget: float
    weight: float
    least: float
    full: float

    def draw(self, rng, count):
        """Costs to search at, uniformly between the smallest network's and the budget: `(count,)`.

        A budget above what the full network costs is no aim: the full network's cost is the end.
        """
        return rng.uniform(self.least, max(self.least, min(self.budget, self.full)), count)


def platform_targets(platforms, space):
    """The budgets of all platforms over the widths of one model.

    Args:
        platforms: `Platform`s, at least one.
        space: the `WidthSpace`.

    Returns:
        A list of `PlatformTarget`s, in the order of the platforms and of their budgets.

    Raises:
        ValueError: no platforms, two of one name, weights that add up to nothing, a budget below
            the cost of the smallest network, naming that.
    """
    platforms = check_platforms(platforms)
    total = math.fsum(platform.weight for platform in platforms)
    ends = np.stack([space.smallest, space.full])
    targets = []
    for platform in platforms:
        least, full = checked_costs(platform.cost, ends).tolist()
        share = platform.weight / total / len(platform.budgets)
        for budget in platform.budgets:
            if budget < least:
                unit = getattr(platform.cost, "unit", "")
                raise ValueError(
                    f"The budget of platform {platform.name!r} is below what the smallest network "
                    f"costs there, {least:g} {unit}".rstrip()
                    + f". Received: budget={budget:g}"
                )
            targets.append(PlatformTarget(platform.name, platform.cost, budget, share, least, full))
    return targets


def check_platforms(platforms):
    """The platforms as a list, checked as far as they can be without a model.

    Raises:
        ValueError: none, something that is no `Platform`, two of one name, weights that add up
            to nothing.
    """
    if isinstance(platforms, Platform):
        raise ValueError(f"Expected a list of platforms. Received: platforms={platforms!r}")
    platforms = list(platforms)
    if not platforms:
        raise ValueError("Expected one platform or more. Received: platforms=[]")
    names = set()
    for platform in platforms:
        if not isinstance(platform, Platform):
            raise ValueError(f"Expected a Platform. Received: {platform!r}")
        if platform.name in names:
            raise ValueError(
                f"Two platforms are called {platform.name!r}. Give each a name of its own; several "
                "budgets of one platform are `budgets=[...]`."
            )
        names.add(platform.name)
    if not 0 < math.fsum(platform.weight for platform in platforms) < math.inf:
        raise ValueError(
            "The weights of the platforms must add up to something above 0. "
            f"Received: weights={[platform.weight for platform in platforms]}"
        )
    return platforms


def _is_number(value):
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def best_within(targets, widths, losses, count):
    """The networks worth judging for the targets: for each in turn the next best within its budget.

    Args:
        targets: `PlatformTarget`s.
        widths: canonical widths, int `(n, groups)`.
        losses: theirs, `(n,)`; NaN where there is none.
        count: how many at most.

    Returns:
        int64 indices, ascending, each once.
    """
    ranked = np.argsort(losses, kind="stable")[: int(np.isfinite(losses).sum())]
    queues = [
        list(ranked[checked_costs(target.cost, widths[ranked]) <= target.budget])
        for target in targets
    ]
    chosen = []
    while any(queues) and len(chosen) < count:
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return np.array(sorted(chosen), np.int64)
