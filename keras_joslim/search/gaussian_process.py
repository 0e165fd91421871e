"""A Gaussian process with a Matern-5/2 kernel, fitted by maximum a posteriori.

The prior of the function is `k(x, x') = output_scale * M(r)` with
`M(r) = (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)` and `r^2 = sum_g ((x_g - x'_g) / l_g)^2`;
observations add independent noise, some of them more than the common one (`extra_noise`).
`output_scale` and `noise` are *variances*, in units of the
variance of the targets, which are given standardised (`standardise`); the prior mean is zero.

The hyper-parameters maximise `log p(targets | parameters) + sum log Gamma(parameter)`. The
densities are those of the parameters themselves: the optimiser moves in their logarithms only
because they are positive, so no Jacobian enters and the optimum is the same in any coordinates.
"""

import dataclasses

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import threadpoolctl

# Gamma(shape, rate). The first two are those of the published Joslim code.
LENGTHSCALE_PRIOR = (3.0, 6.0)
OUTPUT_SCALE_PRIOR = (2.0, 0.15)
NOISE_PRIOR = (1.1, 0.05)

# The search stays inside these. The least noise, 1 % of the targets' deviation, keeps the
# Cholesky factor of a thousand near-equal widths accurate.
LENGTHSCALE_BOUNDS = (1e-2, 1e2)
OUTPUT_SCALE_BOUNDS = (1e-3, 1e3)
NOISE_BOUNDS = (1e-4, 1e1)

_SQRT5 = np.sqrt(5.0)
# Entries of a covariance that are computed at a time.
_BLOCK = 32768


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


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The hyper-parameters of the process.

    Attributes:
        lengthscales: one for all inputs, or one an input; in units of the inputs.
        output_scale: variance of the function, the targets' variance being 1.
        noise: variance of the observation noise, likewise.
    """

    lengthscales: tuple
    output_scale: float
    noise: float

    def __post_init__(self):
        lengthscales = tuple(float(value) for value in self.lengthscales)
        object.__setattr__(self, "lengthscales", lengthscales)
        object.__setattr__(self, "output_scale", float(self.output_scale))
        object.__setattr__(self, "noise", float(self.noise))
        values = np.array([*lengthscales, self.output_scale, self.noise])
        if not lengthscales or not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(
                "Hyper-parameters must be positive numbers, at least one lengthscale among them. "
                f"Received: {self.to_dict()}"
            )

    @property
    def logarithms(self):
        """`(lengthscales + 2,)`: log lengthscales, log output scale, log noise."""
        return np.log([*self.lengthscales, self.output_scale, self.noise])

    @classmethod
    def from_logarithms(cls, logarithms):
        """The hyper-parameters whose `logarithms` these are."""
        *lengthscales, output_scale, noise = np.exp(np.asarray(logarithms, np.float64)).tolist()
        return cls(tuple(lengthscales), output_scale, noise)

    def to_dict(self):
        """A JSON dict from which `from_dict` makes the same."""
        return {
            "lengthscales": list(self.lengthscales),
            "output_scale": self.output_scale,
            "noise": self.noise,
        }

    @classmethod
    def from_dict(cls, config):
        """The hyper-parameters that `to_dict` described."""
        try:
            return cls(tuple(config["lengthscales"]), config["output_scale"], config["noise"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the description of hyper-parameters: {error}") from error


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

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1.
    """

    def __init__(self, inputs, targets, hyperparameters, extra_noise=None):
        self.inputs, targets, extra = _observations(inputs, targets, extra_noise)
        self.hyperparameters = hyperparameters
        self._scaled = self.inputs / _lengthscales(hyperparameters, self.inputs.shape[1])
        covariance = hyperparameters.output_scale * _correlations(self._scaled, self._scaled)
        self._noise = hyperparameters.noise + extra
        covariance.flat[:: len(targets) + 1] += self._noise
        factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        self._factor = np.asfortranarray(factor)
        self._weights = scipy.linalg.cho_solve((self._factor, True), targets, check_finite=False)

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
        explained = scipy.linalg.blas.dtrsm(
            1.0, self._factor, covariance, lower=True, overwrite_b=True
        )
        variance = self.hyperparameters.output_scale - np.einsum("nm,nm->m", explained, explained)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def glance(self, inputs):
        """Posterior mean and a limit that the standard deviation does not exceed.

        The limit is the deviation given one observation alone, the one that tells most. It costs
        `n m` where the exact one of `predict` costs `n^2 m`.

        Args:
            inputs: numbers, `(m, d)`.

        Returns:
            `(mean, limit)`, both float64 `(m,)`, in the standardised unit of the targets.
        """
        covariance = self._covariance(inputs)
        mean = covariance @ self._weights
        scale = self.hyperparameters.output_scale
        covariance *= 1.0 / np.sqrt(scale + self._noise)
        explained = covariance.max(axis=1, initial=0.0) ** 2
        return mean, np.sqrt(np.maximum(scale - explained, 0.0))

    def _covariance(self, inputs):
        """Of inputs with the observed ones: `(m, n)`."""
        inputs = np.asarray(inputs, np.float64)
        if inputs.ndim != 2 or inputs.shape[1] != self.inputs.shape[1]:
            raise ValueError(
                f"Expected inputs of shape (m, {self.inputs.shape[1]}). "
                f"Received: shape={inputs.shape}"
            )
        scaled = inputs / _lengthscales(self.hyperparameters, inputs.shape[1])
        covariance = _correlations(scaled, self._scaled)
        covariance *= self.hyperparameters.output_scale
        return covariance


def log_posterior(logarithms, inputs, targets, extra_noise=None):
    """Log density of targets and hyper-parameters, up to no constant, and its gradient.

    Args:
        logarithms: `Hyperparameters.logarithms`, `(1 + 2,)` or `(d + 2,)`.
        inputs: numbers, `(n, d)`.
        targets: standardised numbers, `(n,)`.
        extra_noise: as for `GaussianProcess`.

    Returns:
        `(value, gradient)`: a float and the derivative by `logarithms`; `(-inf, zeros)` where
        the covariance is numerically singular.

    Source: Rasmussen and Williams (2006), equations 2.30 and 5.9, plus the Gamma priors.
    """
    observations = _observations(inputs, targets, extra_noise)
    return _LogPosterior(*observations)(np.asarray(logarithms, np.float64))


def fit(
    inputs,
    targets,
    per_group=False,
    start=None,
    restarts=4,
    rng=None,
    iterations=100,
    extra_noise=None,
):
    """The hyper-parameters of maximal posterior density, by L-BFGS from several starts.

    Args:
        inputs: numbers, `(n, d)`.
        targets: standardised numbers, `(n,)`.
        per_group: one lengthscale an input, rather than one for all.
        start: `Hyperparameters` to begin from besides the built-in start, such as an earlier fit.
        restarts: number of further starts, drawn from the priors.
        rng: `numpy.random.Generator` for those; seeded with 0 by default.
        iterations: at most so many steps of L-BFGS a start.
        extra_noise: as for `GaussianProcess`.

    Returns:
        The best `Hyperparameters` found.

    Raises:
        ValueError: shapes that do not fit, or a start with another number of lengthscales.
    """
    inputs, targets, extra = _observations(inputs, targets, extra_noise)
    count = max(1, inputs.shape[1]) if per_group else 1
    if start is not None and len(start.lengthscales) != count:
        raise ValueError(
            f"Expected a start with {count} lengthscales. "
            f"Received: lengthscales={start.lengthscales}"
        )
    rng = np.random.default_rng(0) if rng is None else rng
    bounds = np.log([LENGTHSCALE_BOUNDS] * count + [OUTPUT_SCALE_BOUNDS, NOISE_BOUNDS])
    # The modes of the priors, with little noise: a re-calibrated loss hardly varies.
    lengthscale = (LENGTHSCALE_PRIOR[0] - 1) / LENGTHSCALE_PRIOR[1]
    output_scale = (OUTPUT_SCALE_PRIOR[0] - 1) / OUTPUT_SCALE_PRIOR[1]
    starts = [Hyperparameters((lengthscale,) * count, output_scale, 1e-2).logarithms]
    if start is not None:
        starts.insert(0, start.logarithms)
    for _ in range(restarts):
        lengthscales = rng.gamma(LENGTHSCALE_PRIOR[0], 1 / LENGTHSCALE_PRIOR[1], count)
        scale = rng.gamma(OUTPUT_SCALE_PRIOR[0], 1 / OUTPUT_SCALE_PRIOR[1])
        # The noise prior is so wide that its draws would all start as pure noise.
        starts.append(np.log([*lengthscales, scale, 10 ** rng.uniform(-4, 0)]))
    density = _LogPosterior(inputs, targets, extra)

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
    return Hyperparameters.from_logarithms(best.x)


class _LogPosterior:
    """`log_posterior` for fixed observations: what does not depend on parameters is kept."""

    def __init__(self, inputs, targets, extra_noise):
        self.inputs, self.targets, self.extra_noise = inputs, targets, extra_noise
        self.squares = _exact_squares(inputs)
        self.scaled = np.sqrt(5.0 * self.squares)

    def __call__(self, logarithms):
        *lengthscales, output_scale, noise = np.exp(logarithms)
        n, shared = len(self.targets), len(lengthscales) == 1
        if shared:
            scaled = self.scaled / lengthscales[0]
        else:
            scaled = np.sqrt(5.0 * _exact_squares(self.inputs / np.asarray(lengthscales)))
        # In place throughout: fresh memory would cost more than the arithmetic.
        decay = np.negative(scaled)
        np.exp(decay, out=decay)
        decay *= output_scale
        slope = scaled + 1.0
        function = np.multiply(scaled, scaled, out=scaled)
        function *= 1.0 / 3.0
        function += slope
        function *= decay
        slope *= decay
        covariance = function.copy()
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
        gradient[-2] = 0.5 * np.vdot(outer, function)
        gradient[-1] = 0.5 * noise * np.trace(outer)
        # dK_ij / dlog l_g = (5/3) s (1 + sqrt5 r) exp(-sqrt5 r) (x_ig - x_jg)^2 / l_g^2
        outer *= slope
        if shared:
            gradient[0] = 5.0 / 6.0 * np.vdot(outer, self.squares) / lengthscales[0] ** 2
        else:
            # sum_ij P_ij (x_i - x_j)^2 = 2 (sum_i x_i^2 sum_j P_ij - sum_ij x_i P_ij x_j)
            products = outer.sum(axis=1) @ self.inputs**2
            products -= np.einsum("ng,ng->g", self.inputs, outer @ self.inputs)
            gradient[:-2] = 5.0 / 3.0 * products / np.asarray(lengthscales) ** 2

        priors = [LENGTHSCALE_PRIOR] * len(lengthscales) + [OUTPUT_SCALE_PRIOR, NOISE_PRIOR]
        shape, rate = np.array(priors).T
        values = np.exp(logarithms)
        value += np.sum(
            shape * np.log(rate)
            - scipy.special.gammaln(shape)
            + (shape - 1.0) * logarithms
            - rate * values
        )
        return float(value), gradient + (shape - 1.0) - rate * values


def _observations(inputs, targets, extra_noise=None):
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


def _exact_squares(inputs):
    """Squared distances of all pairs, `(n, n)`, exactly 0 on the diagonal."""
    centred = inputs - inputs.mean(axis=0)
    squares = _squares(centred, centred)
    np.fill_diagonal(squares, 0.0)
    return squares


def _squares(left, right):
    """Squared euclidean distances, `(m, n)`, zero where rounding would make them negative."""
    squares = left @ (-2.0 * right.T)
    squares += np.einsum("md,md->m", left, left)[:, None]
    squares += np.einsum("nd,nd->n", right, right)
    return np.maximum(squares, 0.0, out=squares)


def _correlations(left, right):
    """Matern-5/2 correlations of the rows, `(m, n)`; inputs in units of the lengthscale."""
    # Centred, the products of _squares keep their digits.
    centre = right.mean(axis=0)
    left, right = _SQRT5 * (left - centre), _SQRT5 * (right - centre)
    result = np.empty((len(left), len(right)))
    # Some rows at a time: a dozen passes over memory become passes over the cache.
    rows = max(1, _BLOCK // len(right))
    for first in range(0, len(left), rows):
        distances = _squares(left[first : first + rows], right)
        np.sqrt(distances, out=distances)
        decay = np.exp(-distances)
        # 1 + t + t^2 / 3 by Horner's rule.
        values = np.multiply(distances, 1.0 / 3.0, out=result[first : first + rows])
        values += 1.0
        values *= distances
        values += 1.0
        values *= decay
    return result
