"""A Gaussian process with a Matern-5/2 kernel, about zero or about a linear mean.

The prior of the function is `k(x, x') = output_scale * M(r)` with
`M(r) = (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)` and `r^2 = sum_g ((x_g - x'_g) / l_g)^2`,
about a mean of zero or, with a `slope`, about `b_0 + sum_g b_g x_g / sqrt(d)` whose coefficients
are independent, of mean 0 and variance `slope`: as if `slope * (1 + x.x' / d)` were added to `k`.
Observations add independent noise, some of them more than the common one (`extra_noise`).
`output_scale`, `noise` and `slope` are *variances*, in units of the variance of the targets, which
are given standardised (`standardise`).
"""

import dataclasses

import numpy as np
import scipy.linalg

from keras_joslim.search.matern import correlations


@dataclasses.dataclass(frozen=True)
class Standardisation:
    """`(values - mean) / scale`, and back."""

    mean: float
    scale: float

    def __call__(self, values):
        return (np.asarray(values, np.float64) - self.mean) / self.scale

    def inverse(self, values):
        """Standardised values in the original unit."""
        return np.asarray(values, np.float64) * self.scale + self.mean


def standardise(values):
    """The standardisation that gives `values`, `(n,)`, mean 0 and deviation 1.

    Values that are all equal keep their scale: they become 0.
    """
    values = np.asarray(values, np.float64)
    mean, scale = float(np.mean(values)), float(np.std(values))
    # Below the rounding error of the mean there is no spread, only noise.
    equal = scale <= 1e-12 * max(1.0, abs(mean))
    return Standardisation(mean, 1.0 if equal else scale)


class GaussianProcess:
    """The posterior of the function, given observations and hyper-parameters.

    Args:
        inputs: numbers, `(n, d)`; of widths, the multipliers.
        targets: standardised numbers, `(n,)`.
        hyperparameters: `Hyperparameters`, with 1 or d lengthscales.
        extra_noise: variances of at least 0, `(n,)`, that the observations have besides the
            common noise, in units of the variance of the targets; `None` is 0 for all.

    Raises:
        ValueError: shapes that do not fit, or no observation.

    Example:

    >>> process = GaussianProcess([[0.5], [1.0]], [1.0, -1.0], Hyperparameters((0.5,), 1.0, 1e-4))
    >>> mean, sd = process.predict([[0.5]])

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1;
    the linear mean: equations 2.40 and 2.41.
    """

    def __init__(self, inputs, targets, hyperparameters, extra_noise=None):
        self.inputs, targets, extra = observations(inputs, targets, extra_noise)
        self.hyperparameters = hyperparameters
        self._scaled = self.inputs / _lengthscales(hyperparameters, self.inputs.shape[1])
        covariance = hyperparameters.output_scale * correlations(self._scaled, self._scaled)
        self._noise = hyperparameters.noise + extra
        covariance.flat[:: len(targets) + 1] += self._noise
        factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        self._factor = np.asfortranarray(factor)
        self._basis_weights = None
        if hyperparameters.slope is not None:
            targets = targets - self._fit_mean(linear_basis(self.inputs), targets)
        self._weights = self._solve(targets)

    def predict(self, inputs):
        """Posterior mean and standard deviation of the function, noise not included.

        Args:
            inputs: numbers, `(m, d)`.

        Returns:
            `(mean, sd)`, both float64 `(m,)`, in the standardised unit of the targets.
        """
        # (n, m) in column order, which the triangular solve overwrites without a copy.
        covariance = self._covariance(inputs).T
        mean = self._weights @ covariance
        prior_mean, prior_variance = self._mean(inputs, covariance)
        explained = scipy.linalg.blas.dtrsm(
            1.0, self._factor, covariance, lower=True, overwrite_b=True
        )
        variance = self.hyperparameters.output_scale - np.einsum("nm,nm->m", explained, explained)
        return mean + prior_mean, np.sqrt(np.maximum(variance, 0.0) + prior_variance)

    def glance(self, inputs):
        """Posterior mean and a limit that the standard deviation does not exceed.

        The limit is the deviation given one observation alone, the one that tells most (and the
        exact one of the mean). It costs `n m` where the exact one of `predict` costs `n^2 m`.

        Args:
            inputs: numbers, `(m, d)`.

        Returns:
            `(mean, limit)`, both float64 `(m,)`, in the standardised unit of the targets.
        """
        covariance = self._covariance(inputs)
        mean = covariance @ self._weights
        prior_mean, prior_variance = self._mean(inputs, covariance.T)
        scale = self.hyperparameters.output_scale
        covariance *= 1.0 / np.sqrt(scale + self._noise)
        explained = covariance.max(axis=1, initial=0.0) ** 2
        limit = np.sqrt(np.maximum(scale - explained, 0.0) + prior_variance)
        return mean + prior_mean, limit

    def _solve(self, right):
        """The inverse of the covariance of the observations times `right`."""
        return scipy.linalg.cho_solve((self._factor, True), right, check_finite=False)

    def _fit_mean(self, basis, targets):
        """The mean of the observations, `(n,)`, by generalised least squares with a prior."""
        self._basis_weights = self._solve(basis)
        precision = basis.T @ self._basis_weights
        precision.flat[:: len(precision) + 1] += 1.0 / self.hyperparameters.slope
        self._precision_factor = scipy.linalg.cholesky(precision, lower=True)
        self._coefficients = scipy.linalg.cho_solve(
            (self._precision_factor, True), self._basis_weights.T @ targets
        )
        return basis @ self._coefficients

    def _mean(self, inputs, covariance):
        """The mean, and what its coefficients add to the variance, both `(m,)`."""
        if self._basis_weights is None:
            return 0.0, 0.0
        basis = linear_basis(np.asarray(inputs, np.float64))
        # What of the basis the observations near by do not say.
        rest = basis.T - self._basis_weights.T @ covariance
        rest = scipy.linalg.solve_triangular(
            self._precision_factor, rest, lower=True, check_finite=False
        )
        return basis @ self._coefficients, np.einsum("bm,bm->m", rest, rest)

    def _covariance(self, inputs):
        """Of inputs with the observed ones: `(m, n)`."""
        inputs = np.asarray(inputs, np.float64)
        if inputs.ndim != 2 or inputs.shape[1] != self.inputs.shape[1]:
            raise ValueError(
                f"Expected inputs of shape (m, {self.inputs.shape[1]}). "
                f"Received: shape={inputs.shape}"
            )
        scaled = inputs / _lengthscales(self.hyperparameters, inputs.shape[1])
        covariance = correlations(scaled, self._scaled)
        covariance *= self.hyperparameters.output_scale
        return covariance


def linear_basis(inputs):
    """What the linear mean is linear in: 1 and the inputs over the root of their number."""
    return np.column_stack([np.ones(len(inputs)), inputs / np.sqrt(max(1, inputs.shape[1]))])


def observations(inputs, targets, extra_noise=None):
    """All three as float64 arrays that fit each other; extra noise 0 for `None`.

    Raises:
        ValueError: they do not fit.
    """
    inputs, targets = np.asarray(inputs, np.float64), np.asarray(targets, np.float64)
    if inputs.ndim != 2 or targets.shape != inputs.shape[:1] or not len(targets):
        raise ValueError(
            "Expected inputs of shape (n, d) and targets of shape (n,), n at least 1. "
            f"Received: inputs.shape={inputs.shape}, targets.shape={targets.shape}"
        )
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise ValueError(
            "Inputs and targets must be finite: leave out what has not been evaluated."
        )
    extra = np.zeros(len(targets)) if extra_noise is None else np.asarray(extra_noise, np.float64)
    if extra.shape != targets.shape or not (np.isfinite(extra) & (extra >= 0)).all():
        raise ValueError(
            f"Expected extra noise of shape ({len(targets)},), variances that are finite and at "
            f"least 0. Received: extra_noise.shape={extra.shape}, extra_noise={extra}"
        )
    return inputs, targets, extra


def _lengthscales(hyperparameters, d):
    lengthscales = np.asarray(hyperparameters.lengthscales)
    if len(lengthscales) not in (1, d):
        raise ValueError(
            f"Expected 1 or {d} lengthscales for {d} inputs. "
            f"Received: lengthscales={hyperparameters.lengthscales}"
        )
    return lengthscales
