"""Hyper-parameters of the Gaussian process by maximum a posteriori.

They maximise `log p(targets | parameters) + sum log Gamma(parameter)`. The densities are those of
the parameters themselves: the optimiser moves in their logarithms only because they are positive,
so no Jacobian enters and the optimum is the same in any coordinates.
"""

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import threadpoolctl

from keras_joslim.search import hyperparameters as known
from keras_joslim.search.gaussian_process import linear_basis, observations
from keras_joslim.search.hyperparameters import Hyperparameters
from keras_joslim.search.matern import exact_squares


def log_posterior(
    logarithms,
    inputs,
    targets,
    extra_noise=None,
    linear=False,
    lengthscale_prior=known.LENGTHSCALE_PRIOR,
):
    """Log density of targets and hyper-parameters, up to no constant, and its gradient.

    Args:
        logarithms: `Hyperparameters.logarithms`, of 1 or d lengthscales.
        inputs: numbers, `(n, d)`.
        targets: standardised numbers, `(n,)`.
        extra_noise: as for `GaussianProcess`.
        linear: the mean is linear, and the last one of the logarithms that of its slope.
        lengthscale_prior: `(shape, rate)` of the Gamma density of each lengthscale.

    Returns:
        `(value, gradient)`: a float and the derivative by `logarithms`; `(-inf, zeros)` where
        the covariance is numerically singular.

    Source: Rasmussen and Williams (2006), equations 2.30 and 5.9, plus the Gamma priors.
    """
    given = observations(inputs, targets, extra_noise)
    density = _LogPosterior(*given, linear, lengthscale_prior)
    return density(np.asarray(logarithms, np.float64))


def fit(
    inputs,
    targets,
    per_group=False,
    start=None,
    restarts=4,
    rng=None,
    iterations=100,
    extra_noise=None,
    linear=False,
    lengthscale_prior=known.LENGTHSCALE_PRIOR,
):
    """The hyper-parameters of maximal posterior density, by L-BFGS from several starts.

    Args:
        inputs: numbers, `(n, d)`.
        targets: standardised numbers, `(n,)`.
        per_group: one lengthscale an input, rather than one for all.
        start: `Hyperparameters` to begin from, such as an earlier fit.
        restarts: number of further starts, drawn from the priors. Without any, and with a `start`,
            that is the only one; else the modes of the priors are one too.
        rng: `numpy.random.Generator` for those; seeded with 0 by default.
        iterations: at most so many steps of L-BFGS a start.
        extra_noise: as for `GaussianProcess`.
        linear: a linear mean with a slope, rather than a mean of zero.
        lengthscale_prior: `(shape, rate)` of the Gamma density of each lengthscale.

    Returns:
        The best `Hyperparameters` found.

    Raises:
        ValueError: shapes that do not fit, or a start with another number of lengthscales, or with
            a slope where the mean is zero, or without one.
    """
    inputs, targets, extra = observations(inputs, targets, extra_noise)
    count = max(1, inputs.shape[1]) if per_group else 1
    if start is not None and len(start.lengthscales) != count:
        raise ValueError(
            f"Expected a start with {count} lengthscales. "
            f"Received: lengthscales={start.lengthscales}"
        )
    rng = np.random.default_rng(0) if rng is None else rng
    if start is not None and (start.slope is not None) != linear:
        raise ValueError(
            f"Expected a start {'with' if linear else 'without'} a slope. Received: start={start}"
        )
    bounds = [known.LENGTHSCALE_BOUNDS] * count + [known.OUTPUT_SCALE_BOUNDS, known.NOISE_BOUNDS]
    bounds = np.log(bounds + [known.SLOPE_BOUNDS] * linear)
    # The modes of the priors, with little noise: a re-calibrated loss hardly varies.
    shape, rate = lengthscale_prior
    output_scale, slope = map(_mode, (known.OUTPUT_SCALE_PRIOR, known.SLOPE_PRIOR))
    slope = slope if linear else None
    mode = Hyperparameters((_mode(lengthscale_prior),) * count, output_scale, 1e-2, slope)
    starts = [] if start is None else [start.logarithms]
    if restarts or not starts:
        starts.append(mode.logarithms)
    for _ in range(restarts):
        lengthscales = rng.gamma(shape, 1 / rate, count)
        scale = rng.gamma(known.OUTPUT_SCALE_PRIOR[0], 1 / known.OUTPUT_SCALE_PRIOR[1])
        # The noise prior is so wide that its draws would all start as pure noise.
        noise = 10 ** rng.uniform(-4, 0)
        starts.append(Hyperparameters(tuple(lengthscales), scale, noise, slope).logarithms)
    density = _LogPosterior(inputs, targets, extra, linear, lengthscale_prior)

    def negative(logarithms):
        value, gradient = density(logarithms)
        # L-BFGS steps back from a large finite value, not from an infinite one.
        return (-value, -gradient) if np.isfinite(value) else (1e25, gradient)

    best = None
    # One thread: these matrices are too small to gain from two, which wait for each other for
    # seconds whenever something else holds the cores.
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        for first in starts:
            result = scipy.optimize.minimize(
                negative,
                np.clip(first, bounds[:, 0], bounds[:, 1]),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": iterations, "ftol": 1e-9, "gtol": 1e-4},
            )
            if best is None or result.fun < best.fun:
                best = result
    return Hyperparameters.from_logarithms(best.x, linear)


def _mode(prior):
    shape, rate = prior
    return (shape - 1.0) / rate


class _LogPosterior:
    """`log_posterior` for fixed observations: what does not depend on parameters is kept."""

    def __init__(self, inputs, targets, extra_noise, linear, lengthscale_prior):
        self.inputs, self.targets, self.extra_noise = inputs, targets, extra_noise
        self.squares = exact_squares(inputs)
        self.scaled = np.sqrt(5.0 * self.squares)
        self.lengthscale_prior = lengthscale_prior
        self.products = None
        if linear:
            basis = linear_basis(inputs)
            self.products = basis @ basis.T

    def __call__(self, logarithms):
        values = np.exp(logarithms)
        slopes = 0 if self.products is None else 1
        *lengthscales, output_scale, noise = values[: len(values) - slopes]
        n, shared = len(self.targets), len(lengthscales) == 1
        if shared:
            scaled = self.scaled / lengthscales[0]
        else:
            scaled = np.sqrt(5.0 * exact_squares(self.inputs / np.asarray(lengthscales)))
        # In place throughout: fresh memory would cost more than the arithmetic.
        decay = np.negative(scaled)
        np.exp(decay, out=decay)
        decay *= output_scale
        steepness = scaled + 1.0
        function = np.multiply(scaled, scaled, out=scaled)
        function *= 1.0 / 3.0
        function += steepness
        function *= decay
        steepness *= decay
        covariance = function.copy()
        if slopes:
            covariance += values[-1] * self.products
        covariance.flat[:: n + 1] += noise + self.extra_noise
        # The transpose is in column order: LAPACK works in it, and leaves the lower triangle.
        factor, failed = scipy.linalg.lapack.dpotrf(covariance.T, lower=True, overwrite_a=True)
        if failed:
            return -np.inf, np.zeros_like(logarithms)
        value = -np.sum(np.log(np.diag(factor))) - 0.5 * n * np.log(2.0 * np.pi)
        inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
        inverse = np.tril(inverse)
        inverse += np.tril(inverse, -1).T
        weights = inverse @ self.targets
        value -= 0.5 * self.targets @ weights

        # Half the trace of (w w' - K^-1) dK, for dK by the logarithm of each parameter.
        outer = np.subtract(np.outer(weights, weights), inverse, out=inverse)
        gradient = np.empty_like(logarithms)
        place = len(lengthscales)
        gradient[place] = 0.5 * np.vdot(outer, function)
        gradient[place + 1] = 0.5 * noise * np.trace(outer)
        if slopes:
            gradient[-1] = 0.5 * values[-1] * np.vdot(outer, self.products)
        # dK_ij / dlog l_g = (5/3) s (1 + sqrt5 r) exp(-sqrt5 r) (x_ig - x_jg)^2 / l_g^2
        outer *= steepness
        if shared:
            gradient[0] = 5.0 / 6.0 * np.vdot(outer, self.squares) / lengthscales[0] ** 2
        else:
            # sum_ij P_ij (x_i - x_j)^2 = 2 (sum_i x_i^2 sum_j P_ij - sum_ij x_i P_ij x_j)
            products = outer.sum(axis=1) @ self.inputs**2
            products -= np.einsum("ng,ng->g", self.inputs, outer @ self.inputs)
            gradient[:place] = 5.0 / 3.0 * products / np.asarray(lengthscales) ** 2

        priors = [self.lengthscale_prior] * len(lengthscales)
        priors += [known.OUTPUT_SCALE_PRIOR, known.NOISE_PRIOR] + [known.SLOPE_PRIOR] * slopes
        shape, rate = np.array(priors).T
        value += np.sum(
            shape * np.log(rate)
            - scipy.special.gammaln(shape)
            + (shape - 1.0) * logarithms
            - rate * values
        )
        return float(value), gradient + (shape - 1.0) - rate * values
