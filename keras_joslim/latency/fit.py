"""Fits a latency model to samples; how smooth and how monotone, held-out samples say."""

import dataclasses
import itertools

import numpy as np
import threadpoolctl

from keras_joslim.costs.latency import Latency
from keras_joslim.costs.latency_tables import design, make_grids
from keras_joslim.latency.least_squares import TableProblem

# Weights that are tried, see `latency.least_squares`.
SMOOTHNESS = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3)
MONOTONY = (1.0, 1e2)
FOLDS = 5
# Samples without which tables would be guesses.
FEWEST_SAMPLES = 20


def fit_latency(samples, seed=0):
    """A latency model of samples.

    Smoothness and monotony are those that do best in a cross-validation of five folds, by the root
    mean square of relative errors; the networks held out for validation are not looked at.

    Args:
        samples: `latency.samples.Samples`.
        seed: of the folds.

    Returns:
        `costs.Latency`.

    Raises:
        ValueError: fewer than 20 samples.
    """
    widths, latencies = samples.part("fit")
    if len(widths) < FEWEST_SAMPLES:
        raise ValueError(
            f"A latency model needs {FEWEST_SAMPLES} samples or more; some hundreds are better. "
            f"Received: {len(widths)}. `joslim latency sample` measures more."
        )
    terms = samples.terms
    grids = make_grids(terms, samples.legal)
    matrix = design(grids, terms, widths)
    # A thousand small systems: two threads of BLAS wait for each other, three times as long.
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        scores = _cross_validated(grids, matrix, latencies, seed)
        smoothness, monotony = min(scores, key=scores.get)
        values, constant = TableProblem(grids, matrix, latencies).solve(smoothness, monotony)
    facts = {name: samples.about[name] for name in ("network", "format", "device", "settings")}
    facts["fit"] = {
        "samples": len(widths),
        "smoothness": smoothness,
        "monotony": monotony,
        "cross_validated_error": scores[smoothness, monotony],
        "drift": samples.drift,
    }
    facts["constant"] = constant
    facts["operators"] = samples.about["operators"]
    facts["tables"] = {
        grid.signature: {
            "widths": [axis.tolist() for axis in grid.axes],
            "ms": values[grid.values].reshape(grid.shape).tolist(),
        }
        for grid in grids
    }
    return Latency(facts)


def _cross_validated(grids, matrix, latencies, seed):
    """(smoothness, monotony) -> root mean square of the relative errors on left-out folds."""
    fold = np.random.default_rng(seed).permutation(len(matrix)) % FOLDS
    errors = {pair: [] for pair in itertools.product(SMOOTHNESS, MONOTONY)}
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        problem, start = TableProblem(grids, matrix[train], latencies[train]), None
        for pair in errors:
            start = problem.solve(*pair, start)
            predicted = matrix[test] @ start[0] + start[1]
            errors[pair].append((predicted - latencies[test]) / latencies[test])
    return {pair: float(np.sqrt(np.mean(np.concatenate(e) ** 2))) for pair, e in errors.items()}


@dataclasses.dataclass(frozen=True)
class Validation:
    """How far a latency model is off on networks that it was not fitted to.

    Attributes:
        widths: int `(n, groups)`.
        measured, predicted: float `(n,)`, milliseconds.
        error: root mean square error as a share of the mean latency.
        repeatability: the same of one measurement against another, by the square root of 2;
            `None` where nothing was measured twice.
        bias: mean of predicted less measured as a share of the mean latency.
        rank_correlation: Kendall's tau of predicted and measured.
    """

    widths: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    error: float
    repeatability: float | None
    bias: float
    rank_correlation: float

    def to_dict(self):
        """A JSON dict."""
        values = dataclasses.asdict(self)
        arrays = ("widths", "measured", "predicted")
        return values | {name: values[name].tolist() for name in arrays}

    def __str__(self):
        repeated = "not known, nothing was measured twice"
        if self.repeatability is not None:
            repeated = f"{self.repeatability:.1%}"
        return (
            f"{len(self.measured)} networks held out, {self.measured.min():.3f} to "
            f"{self.measured.max():.3f} ms: error {self.error:.1%} of the mean (RMSE), bias "
            f"{self.bias:+.1%}, Kendall's tau {self.rank_correlation:.3f}; repeatability of one "
            f"measurement {repeated}."
        )


def validate_latency(latency, samples):
    """Compares a model with the networks that were held out.

    Args:
        latency: `costs.Latency`.
        samples: the `Samples`.

    Returns:
        `Validation`.

    Raises:
        ValueError: none was held out.
    """
    import scipy.stats

    widths, measured = samples.part("held_out")
    if len(widths) < 2:
        raise ValueError(
            "To validate a latency model two networks or more must be held out. Received: "
            f"{len(widths)}. `joslim latency sample --held_out=200` measures some."
        )
    predicted = latency(widths)
    mean = measured.mean()
    order = scipy.stats.kendalltau(predicted, measured).statistic
    return Validation(
        widths,
        measured,
        predicted,
        error=float(np.sqrt(np.mean((predicted - measured) ** 2)) / mean),
        repeatability=samples.repeatability,
        bias=float(np.mean(predicted - measured) / mean),
        # (Of latencies that are all the same there is no order to tell.)
        rank_correlation=0.0 if np.isnan(order) else float(order),
    )
