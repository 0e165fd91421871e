"""The hyper-parameters of the Gaussian process, their priors and bounds."""

import dataclasses

import numpy as np

# Gamma(shape, rate). The first two are those of the published Joslim code.
LENGTHSCALE_PRIOR = (3.0, 6.0)
OUTPUT_SCALE_PRIOR = (2.0, 0.15)
NOISE_PRIOR = (1.1, 0.05)
# Its mode, 16, lets a mean that is linear in multipliers fall by three deviations from the
# smallest network to the full one.
SLOPE_PRIOR = (2.0, 0.0625)

# The search stays inside these. The least noise, 1 % of the targets' deviation, keeps the
# Cholesky factor of a thousand near-equal widths accurate.
LENGTHSCALE_BOUNDS = (1e-2, 1e2)
OUTPUT_SCALE_BOUNDS = (1e-3, 1e3)
NOISE_BOUNDS = (1e-4, 1e1)
SLOPE_BOUNDS = (1e-4, 1e3)


def wide_lengthscale_prior(inputs):
    """A prior of lengthscales that grows with the root of the number of inputs.

    Distances grow with it: under the published prior, random widths of many groups would all be
    far from each other, and the process would have learned nothing between them. Up to 4 inputs
    it is the published one.

    Args:
        inputs: their number.

    Returns:
        `(shape, rate)` of a Gamma density.

    Source: the scaling is that of Hvarfner, Hellsten and Nardi, Vanilla Bayesian optimization
    performs great in high dimensions (ICML 2024); shape and rate are the published ones.
    """
    shape, rate = LENGTHSCALE_PRIOR
    return shape, rate / max(1.0, 0.5 * np.sqrt(inputs))


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The hyper-parameters of the process.

    Attributes:
        lengthscales: one for all inputs, or one an input; in units of the inputs.
        output_scale: variance of the function, the targets' variance being 1.
        noise: variance of the observation noise, likewise.
        slope: variance of the coefficients of the linear mean; `None` for a mean of zero.
    """

    lengthscales: tuple
    output_scale: float
    noise: float
    slope: float | None = None

    def __post_init__(self):
        lengthscales = tuple(float(value) for value in self.lengthscales)
        object.__setattr__(self, "lengthscales", lengthscales)
        object.__setattr__(self, "output_scale", float(self.output_scale))
        object.__setattr__(self, "noise", float(self.noise))
        if self.slope is not None:
            object.__setattr__(self, "slope", float(self.slope))
        values = np.array(self._values())
        if not lengthscales or not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(
                "Hyper-parameters must be positive numbers, at least one lengthscale among them. "
                f"Received: {self.to_dict()}"
            )

    def _values(self):
        slope = [] if self.slope is None else [self.slope]
        return [*self.lengthscales, self.output_scale, self.noise, *slope]

    @property
    def logarithms(self):
        """Logarithms of lengthscales, output scale, noise and, if there is one, slope: `(k,)`."""
        return np.log(self._values())

    @classmethod
    def from_logarithms(cls, logarithms, linear=False):
        """The hyper-parameters whose `logarithms` these are; `linear` if a slope is among them."""
        values = np.exp(np.asarray(logarithms, np.float64)).tolist()
        slope = values.pop() if linear else None
        *lengthscales, output_scale, noise = values
        return cls(tuple(lengthscales), output_scale, noise, slope)

    def to_dict(self):
        """A JSON dict from which `from_dict` makes the same."""
        return {
            "lengthscales": list(self.lengthscales),
            "output_scale": self.output_scale,
            "noise": self.noise,
            "slope": self.slope,
        }

    @classmethod
    def from_dict(cls, config):
        """The hyper-parameters that `to_dict` described."""
        try:
            values = (config["output_scale"], config["noise"], config.get("slope"))
            return cls(tuple(config["lengthscales"]), *values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the description of hyper-parameters: {error}") from error
