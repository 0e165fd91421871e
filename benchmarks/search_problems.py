"""Two-objective problems over width spaces whose fronts are known exactly.

    python benchmarks/search_problems.py    # the problems, and their fronts against enumeration

All but the recorded tables are chains: the loss is a rising function of
`sum_g u_g(w_g) + sum_g p_g(w_g, w_{g+1})`, the cost is `sum_g c_g(w_g) + sum_g q_g(w_g, w_{g+1})`
in whole numbers. Then dynamic programming over (width of the last group, cost so far) gives the
least loss at every cost: the exact front, by no search at all. `chain_front` does that, and running
this file compares it with the enumeration of spaces small enough for it.

| problem | groups | loss | cost |
|---|--:|---|---|
| `separable` | 8 | sum of exponentials | additive |
| `bottleneck` | 16 | logarithm of a sum over neighbours: the narrower of two decides | products of neighbours |
| `chain` | 25 | sum of exponentials | products of neighbours |
| `noisy` | 40 | power of a sum of exponentials; measured with noise, drawn anew each time, of 5 % of the range from full to smallest | products of neighbours |
| `few` | 60 | sum of exponentials; amounts are powers of a rank, 6 of 60 groups carry most of it | products of neighbours |

A recorded table (`benchmarks/tables/*.npz`) holds the loss of *every* network of a small space,
measured once with trained weights: its front is that of the enumeration.
"""  # noqa: E501 (rows of a table)

import functools
import itertools
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
TABLES = ROOT / "benchmarks" / "tables"
ANALYTIC = ("separable", "bottleneck", "chain", "noisy", "few")

from keras_joslim.search.pareto import front_indices, hypervolume  # noqa: E402
from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths  # noqa: E402


class Problem:
    """A space, exact losses and costs, and the front.

    Attributes:
        space: the `WidthSpace`.
        noise: standard deviation of a measured loss, in the unit of the loss.
        front: `(losses, costs)` of the exact front, by ascending cost.
    """

    noise = 0.0

    def measured(self, widths, rng):
        """Losses as a search would measure them: with noise, if there is any."""
        losses = self.loss(widths)
        return losses + self.noise * rng.normal(size=losses.shape)

    @property
    def reference(self):
        """The corner of the hypervolume: the smallest network's loss, the full one's cost."""
        space = self.space
        return float(self.loss(space.smallest[None])[0]), float(self.cost(space.full[None])[0])

    @functools.cached_property
    def greatest(self):
        """Hypervolume of the exact front."""
        return hypervolume(*self.front, self.reference)

    def share(self, widths):
        """True hypervolume of the widths as a share of the exact front's, in [0, 1]."""
        losses, costs = self.loss(widths), self.cost(widths)
        return hypervolume(losses, costs, self.reference) / self.greatest


class Chain(Problem):
    """An analytic problem of the kind described above.

    Args:
        groups: number of channel groups.
        seed: fixes sizes and coefficients.
        additive: costs of single groups only, rather than products of neighbours.
        narrower: the loss depends on the narrower of two neighbours, not on single groups.
        amounts: function `(rng, groups)` of the share of each group in the loss.
        transform: rising function applied to the sum.
        noise: deviation of a measured loss in parts of the range from full to smallest.
        choices: at most so many legal widths a group.
    """

    def __init__(
        self, groups, seed, additive=False, narrower=False, amounts=None, transform=None,
        noise=0.0, choices=24,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        # As in a network: the deeper the wider, and the less often each weight is used.
        depth = np.linspace(0.0, 1.0, groups)
        sizes = 8 * np.round(2 * 2.0 ** (3.0 * depth + rng.uniform(-0.4, 0.4, groups))).astype(int)
        self.space = WidthSpace(
            [
                ChannelGroup(f"g{i}", int(s), legal_widths(int(s), 0.25, 1 + (s > 32), choices))
                for i, s in enumerate(sizes)
            ]
        )
        amounts = (amounts or (lambda r, n: r.gamma(1.0, 1.0, n)))(rng, groups)
        self.amounts = amounts / amounts.sum()
        self.rates = rng.uniform(2.0, 6.0, groups)
        uses = np.maximum(1.0, 64.0 * 4.0 ** (-3.0 * depth) * rng.uniform(0.5, 2.0, groups))
        self.narrower, self.additive = narrower, additive
        self.transform = transform or (lambda total: total)
        # Whole numbers of a unit so large that the full network costs some thousands of it.
        products = uses * sizes * (1.0 if additive else np.append(sizes[1:], 10.0))
        self.unit = products.sum() / 6000.0
        self.uses, self.sizes = uses, sizes
        worst, least = self.loss(np.stack([self.space.smallest, self.space.full]))
        self.noise = noise * (worst - least)

    def loss(self, widths):
        """True losses of widths `(n, groups)`."""
        m = self.space.multipliers(np.atleast_2d(widths))
        if self.narrower:
            m = np.minimum(m, np.concatenate([m[:, 1:], m[:, -1:]], axis=1))
        return self.transform((self.amounts * np.exp(-self.rates * m)).sum(axis=1))

    def cost(self, widths):
        """Costs of widths `(n, groups)` or of one, whole numbers as floats."""
        rows = np.atleast_2d(np.asarray(widths, np.int64))
        following = np.concatenate([rows[:, 1:], np.full((len(rows), 1), 10)], axis=1)
        costs = self._cost_terms(rows, following).sum(axis=1).astype(np.float64)
        return costs if np.ndim(widths) == 2 else float(costs[0])

    def _cost_terms(self, first, second):
        """Costs of the groups given their widths and those that follow."""
        products = self.uses * first * (1.0 if self.additive else second)
        return np.maximum(1, np.round(products / self.unit)).astype(np.int64)

    @functools.cached_property
    def front(self):
        groups, legal = len(self.space), self.space.legal

        def tables(g):
            """Loss and cost of group g for each pair of its width and the next one's."""
            following = legal[g + 1] if g + 1 < groups else np.array([10])
            first, second = np.meshgrid(legal[g], following, indexing="ij")
            m = first / self.sizes[g]
            if self.narrower and g + 1 < groups:
                m = np.minimum(m, second / self.sizes[g + 1])
            products = self.uses[g] * first * (1.0 if self.additive else second)
            costs = np.maximum(1, np.round(products / self.unit)).astype(np.int64)
            return self.amounts[g] * np.exp(-self.rates[g] * m), costs

        totals, costs = chain_front([tables(g) for g in range(groups)])
        return self.transform(totals), costs.astype(np.float64)


def chain_front(tables):
    """The front of sums along a chain.

    Args:
        tables: for each group `(losses, costs)`, both `(widths of it, widths of the next)`, costs
            whole; the last group's next has one width.

    Returns:
        `(losses, costs)` of the front by ascending cost.
    """
    highest = int(sum(costs.max() for _, costs in tables))
    best = np.full((tables[0][0].shape[0], highest + 1), np.inf)
    best[:, 0] = 0.0
    for losses, costs in tables:
        following = np.full((losses.shape[1], highest + 1), np.inf)
        for first, second in itertools.product(*map(range, losses.shape)):
            step = int(costs[first, second])
            moved = best[first, : highest + 1 - step] + losses[first, second]
            np.minimum(following[second, step:], moved, out=following[second, step:])
        best = following
    costs = np.flatnonzero(np.isfinite(best[0]))
    losses = best[0, costs]
    kept = front_indices(losses, costs)
    return losses[kept], costs[kept]


class Table(Problem):
    """Measured losses of all networks of a small space.

    Args:
        name: of the file in `benchmarks/tables/`, without its ending.
    """

    def __init__(self, name):
        path = TABLES / f"{name}.npz"
        if not path.exists():
            raise SystemExit(f"{path} is not there: search_engines.py --record={name} makes it")
        with np.load(path) as data:
            self.space = WidthSpace.from_dict(json.loads(str(data["space"])))
            self.widths, losses, costs = data["widths"], data["losses"], data["costs"]
        self._losses = {row.tobytes(): x for row, x in zip(self.widths, losses, strict=True)}
        self._costs = {row.tobytes(): x for row, x in zip(self.widths, costs, strict=True)}
        kept = front_indices(losses, costs)
        self.front = losses[kept].astype(np.float64), costs[kept].astype(np.float64)

    def loss(self, widths):
        """Recorded losses of widths `(n, groups)`."""
        return self._look_up(self._losses, np.atleast_2d(widths))

    def cost(self, widths):
        """Costs of widths `(n, groups)` or of one."""
        costs = self._look_up(self._costs, np.atleast_2d(widths))
        return costs if np.ndim(widths) == 2 else float(costs[0])

    def _look_up(self, column, widths):
        rows = np.ascontiguousarray(widths, np.int32)
        return np.array([column[row.tobytes()] for row in rows], np.float64)


def problem(name):
    """The `Problem` of that name."""
    if name == "separable":
        return Chain(8, seed=1, additive=True)
    if name == "bottleneck":
        return Chain(16, seed=2, narrower=True, transform=lambda s: np.log(0.02 + s))
    if name == "chain":
        return Chain(25, seed=3)
    if name == "noisy":
        return Chain(40, seed=4, transform=lambda s: s**0.5, noise=0.05)
    if name == "few":
        return Chain(60, seed=5, amounts=_steep, choices=12)
    return Table(name)


def _steep(rng, groups):
    return rng.permutation((1.0 + np.arange(groups)) ** -2.0)


def main():
    """Prints the problems, and compares fronts with enumeration."""
    for name in ANALYTIC:
        made = problem(name)
        losses, costs = made.front
        uniform = np.array([made.space.uniform(m) for m in np.linspace(0.25, 1.0, 50)])
        print(
            f"{name}: {len(made.space)} groups, {float(made.space.num_networks):.3g} networks, "
            f"front of {len(losses)} points, losses {losses[-1]:.4f} to {losses[0]:.4f}, costs "
            f"{costs[0]:.0f} to {costs[-1]:.0f}; uniform multipliers reach "
            f"{made.share(uniform):.4f} of its hypervolume"
        )
    for settings in ({"additive": True}, {}, {"narrower": True, "transform": np.log}):
        small = Chain(5, seed=7, choices=5, **settings)
        everything = small.space.canonical(list(itertools.product(*small.space.legal)))
        losses, costs = small.loss(everything), small.cost(everything)
        kept = front_indices(losses, costs)
        np.testing.assert_allclose(small.front, (losses[kept], costs[kept]), rtol=1e-12)
        print(f"{small.space.num_networks} networks of 5 groups {settings}: the same front")


if __name__ == "__main__":
    main()
