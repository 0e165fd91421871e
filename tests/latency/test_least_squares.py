"""The fit is the minimum of what it says, found by another method; and what it is for."""

import numpy as np
import pytest
import scipy.optimize

from keras_joslim.costs.latency_tables import Grid, design, make_grids
from keras_joslim.latency.least_squares import TableProblem
from tests.latency.networks import chain


def problem(seed, samples=12, noise=0.3):
    network = chain()
    grids = make_grids(network.terms, network.space.legal)
    rng = np.random.default_rng(seed)
    matrix = design(grids, network.terms, network.space.sample(rng, samples))
    truth = np.concatenate(
        [np.sort(rng.random(grid.shape).cumsum(-1), axis=0).ravel() for grid in grids]
    )
    latencies = (matrix @ truth + 0.5) * (1 + noise * rng.uniform(-1, 1, samples))
    return grids, matrix, latencies


def energy(grids, matrix, latencies, values, constant, smoothness, monotony):
    """The sum of the module's docstring, with loops."""
    mean = latencies.mean()
    total = np.mean(((latencies - constant - matrix @ values) / latencies) ** 2)
    for grid in grids:
        table = values[grid.values].reshape(grid.shape) / mean
        for axis, knots in enumerate(grid.axes):
            for line in np.moveaxis(table, axis, -1).reshape(-1, len(knots)):
                total += monotony * sum(max(0, a - b) ** 2 for a, b in zip(line, line[1:]))
                step = np.diff(knots).mean()
                for i in range(len(knots) - 2):
                    before = (line[i + 1] - line[i]) / (knots[i + 1] - knots[i])
                    after = (line[i + 2] - line[i + 1]) / (knots[i + 2] - knots[i + 1])
                    second = 2 * (after - before) / (knots[i + 2] - knots[i])
                    total += smoothness * (second * step**2) ** 2
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("smoothness", "monotony"), [(1.0, 1.0), (1e-2, 100.0), (10.0, 1e-3)])
def test_it_is_the_minimum(seed, smoothness, monotony):
    grids, matrix, latencies = problem(seed)
    values, constant = TableProblem(grids, matrix, latencies).solve(smoothness, monotony)

    def of(x):
        return energy(grids, matrix, latencies, x[:-1], x[-1], smoothness, monotony)

    found = np.append(values, constant)
    assert (found >= 0).all()
    rival = scipy.optimize.minimize(
        of, found, method="L-BFGS-B", bounds=[(0, None)] * len(found), options={"ftol": 1e-13}
    )
    assert of(found) <= rival.fun + 1e-6
    far = scipy.optimize.minimize(
        of, np.ones(len(found)), method="L-BFGS-B", bounds=[(0, None)] * len(found)
    )
    assert of(found) <= far.fun + 1e-6


def test_products_of_linear_functions_are_learnt_where_no_sample_was():
    knots = np.array([8.0, 16.0, 24.0, 40.0, 64.0])
    grid = Grid("conv", (knots, knots), 0)
    a, b = np.meshgrid(knots, knots, indexing="ij")
    truth = 0.1 + 0.01 * a + 0.02 * b + 0.003 * a * b
    rng = np.random.default_rng(0)
    seen = rng.choice(25, 9, replace=False)
    matrix = np.eye(25)[seen]
    values, constant = TableProblem([grid], matrix, truth.ravel()[seen]).solve(1.0, 1.0)
    assert values + constant == pytest.approx(truth.ravel(), rel=2e-3)


def test_more_channels_are_not_faster_unless_samples_insist():
    grid = Grid("conv", (np.array([8.0, 16.0, 24.0]),), 0)
    matrix = np.repeat(np.eye(3), 4, axis=0)
    noisy = np.repeat([1.0, 1.2, 1.1], 4)
    soft, _ = TableProblem([grid], matrix, noisy).solve(1e-6, 1e4)
    assert (np.diff(soft) >= -1e-3).all()
    insisted, constant = TableProblem([grid], matrix, noisy).solve(1e-6, 1e-6)
    assert insisted + constant == pytest.approx([1.0, 1.2, 1.1], abs=1e-3)


def test_the_start_does_not_matter():
    grids, matrix, latencies = problem(5)
    made = TableProblem(grids, matrix, latencies)
    first = made.solve(0.1, 10.0)
    second = made.solve(0.1, 10.0, start=(np.full(matrix.shape[1], 3.0), 0.0))
    assert np.append(*first) == pytest.approx(np.append(*second), abs=2e-3)
