"""The Gaussian process against scikit-learn, finite differences and many restarts."""

import json

import numpy as np
import pytest
import scipy.stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from keras_joslim.search import gaussian_process as gp
from keras_joslim.search import matern
from keras_joslim.search.gaussian_process_fit import fit, log_posterior
from keras_joslim.search.hyperparameters import Hyperparameters, wide_lengthscale_prior

ONE = Hyperparameters((0.7,), 1.8, 0.05)
PER_GROUP = Hyperparameters((0.3, 0.9, 2.5), 0.6, 0.002)
LINEAR = Hyperparameters((0.7,), 0.4, 0.05, slope=3.0)
LINEAR_PER_GROUP = Hyperparameters((0.3, 0.9, 2.5), 0.6, 0.002, slope=20.0)
ALL = [ONE, PER_GROUP, LINEAR, LINEAR_PER_GROUP]


def _data(n=40, d=3, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(0.3, 1.0, (n, d))
    losses = np.sin(5 * inputs[:, 0]) + np.exp(-2 * inputs[:, 1:]).sum(axis=1)
    losses += noise * rng.normal(size=n)
    return inputs, gp.standardise(losses)(losses)


def _scikit(hyperparameters, extra_noise=0.0):
    lengthscales = np.array(hyperparameters.lengthscales)
    kernel = ConstantKernel(hyperparameters.output_scale) * Matern(
        lengthscales if len(lengthscales) > 1 else float(lengthscales[0]), nu=2.5
    )
    if hyperparameters.slope is not None:
        # slope (1 + x.x' / 3) = slope / 3 (3 + x.x')
        kernel += ConstantKernel(hyperparameters.slope / 3) * DotProduct(sigma_0=np.sqrt(3.0))
    alpha = hyperparameters.noise + extra_noise
    return GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None)


@pytest.mark.parametrize("hyperparameters", ALL)
def test_posterior_is_scikit_learns(hyperparameters):
    inputs, targets = _data()
    others = np.random.default_rng(1).uniform(0.2, 1.1, (50, 3))
    mean, sd = gp.GaussianProcess(inputs, targets, hyperparameters).predict(others)
    expected = _scikit(hyperparameters).fit(inputs, targets).predict(others, return_std=True)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(sd, expected[1], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("hyperparameters", ALL)
def test_log_posterior_is_scikit_learns_likelihood_and_scipys_gamma_densities(hyperparameters):
    inputs, targets = _data()
    value, _ = log_posterior(
        hyperparameters.logarithms, inputs, targets, linear=hyperparameters.slope is not None
    )
    kernel = _scikit(hyperparameters).kernel + WhiteKernel(hyperparameters.noise)
    model = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(inputs, targets)
    expected = model.log_marginal_likelihood_value_
    for values, (shape, rate) in (
        (hyperparameters.lengthscales, (3.0, 6.0)),
        (hyperparameters.output_scale, (2.0, 0.15)),
        (hyperparameters.noise, (1.1, 0.05)),
        ([] if hyperparameters.slope is None else hyperparameters.slope, (2.0, 0.0625)),
    ):
        expected += np.sum(scipy.stats.gamma(shape, scale=1 / rate).logpdf(values))
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("hyperparameters", ALL)
def test_gradient_is_the_finite_difference(hyperparameters):
    inputs, targets = _data()
    point, linear = hyperparameters.logarithms, hyperparameters.slope is not None
    _, gradient = log_posterior(point, inputs, targets, linear=linear)
    step = 1e-5
    for i in range(len(point)):
        offset = step * np.eye(len(point))[i]
        above, _ = log_posterior(point + offset, inputs, targets, linear=linear)
        below, _ = log_posterior(point - offset, inputs, targets, linear=linear)
        assert gradient[i] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("per_group", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_many_restarts_find_nothing_better(per_group, seed, linear):
    inputs, targets = _data(n=30, seed=seed)
    settings = {"per_group": per_group, "linear": linear, "lengthscale_prior": (3.0, 4.0)}
    density = {"linear": linear, "lengthscale_prior": (3.0, 4.0)}
    found = fit(inputs, targets, **settings)
    value, gradient = log_posterior(found.logarithms, inputs, targets, **density)
    many = fit(inputs, targets, **settings, restarts=30, rng=np.random.default_rng(9))
    best, _ = log_posterior(many.logarithms, inputs, targets, **density)
    assert value >= best - 1e-4
    assert np.abs(gradient).max() < 0.05
    assert len(found.lengthscales) == (3 if per_group else 1)


@pytest.mark.parametrize("hyperparameters", ALL)
def test_extra_noise_is_scikit_learns_alpha_of_each_observation(hyperparameters):
    inputs, targets = _data()
    extra = np.random.default_rng(2).gamma(0.5, 0.4, len(targets))
    others = np.random.default_rng(1).uniform(0.2, 1.1, (50, 3))
    process = gp.GaussianProcess(inputs, targets, hyperparameters, extra)
    model = _scikit(hyperparameters, extra).fit(inputs, targets)
    expected = model.predict(others, return_std=True)
    np.testing.assert_allclose(process.predict(others), expected, rtol=1e-7, atol=1e-9)
    # The prior of the hyper-parameters does not depend on the observations.
    point, linear = hyperparameters.logarithms, hyperparameters.slope is not None
    without = log_posterior(point, inputs, targets, linear=linear)[0]
    prior = without - _scikit(hyperparameters).fit(inputs, targets).log_marginal_likelihood_value_
    value, gradient = log_posterior(point, inputs, targets, extra, linear)
    assert value == pytest.approx(model.log_marginal_likelihood_value_ + prior, rel=1e-9)
    for i, offset in enumerate(1e-5 * np.eye(len(point))):
        above, _ = log_posterior(point + offset, inputs, targets, extra, linear)
        below, _ = log_posterior(point - offset, inputs, targets, extra, linear)
        assert gradient[i] == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-5)


def test_no_extra_noise_is_none_to_the_last_bit():
    inputs, targets = _data()
    others = np.random.default_rng(1).uniform(0.2, 1.1, (50, 3))
    zeros = np.zeros(len(targets))
    for method in ("predict", "glance"):
        with_zeros = getattr(gp.GaussianProcess(inputs, targets, ONE, zeros), method)(others)
        np.testing.assert_array_equal(
            with_zeros, getattr(gp.GaussianProcess(inputs, targets, ONE), method)(others)
        )
    assert fit(inputs, targets, extra_noise=zeros) == fit(inputs, targets)


def test_the_fit_lays_on_extra_noise_what_it_explains():
    """Half of the observations are off by 1 and said to be: the common noise stays small."""
    inputs, targets = _data(n=80, noise=0.01)
    off = np.arange(len(targets)) % 2 == 0
    targets = targets + off * np.random.default_rng(5).normal(size=len(targets))
    told = fit(inputs, targets, extra_noise=1.0 * off)
    assert told.noise < 0.01 < 0.1 < fit(inputs, targets).noise


def test_glance_has_a_limit_of_the_deviation_with_extra_noise_too():
    inputs, targets = _data()
    extra = np.random.default_rng(2).gamma(0.5, 0.4, len(targets))
    process = gp.GaussianProcess(inputs, targets, PER_GROUP, extra)
    others = np.concatenate([inputs, np.random.default_rng(1).uniform(0, 2, (100, 3))])
    mean, sd = process.predict(others)
    glanced, limit = process.glance(others)
    np.testing.assert_allclose(glanced, mean, rtol=1e-9, atol=1e-10)
    assert (sd <= limit + 1e-9).all()
    single = gp.GaussianProcess(inputs[:1], targets[:1], PER_GROUP, extra[:1])
    np.testing.assert_allclose(single.glance(others)[1], single.predict(others)[1], atol=1e-6)


def test_a_linear_function_is_known_far_away_by_its_mean():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0.3, 0.6, (40, 3))
    targets = inputs @ [3.0, -2.0, 1.0] + 1.0
    fitted = fit(inputs, targets, linear=True)
    process = gp.GaussianProcess(inputs, targets, fitted)
    far = rng.uniform(2.0, 3.0, (5, 3))
    np.testing.assert_allclose(process.predict(far)[0], far @ [3.0, -2.0, 1.0] + 1.0, atol=0.2)
    zero = gp.GaussianProcess(inputs, targets, fit(inputs, targets))
    assert np.abs(zero.predict(far)[0] - (far @ [3.0, -2.0, 1.0] + 1.0)).min() > 0.5


def test_lengthscales_widen_with_the_root_of_the_number_of_inputs():
    assert wide_lengthscale_prior(1) == wide_lengthscale_prior(4) == (3.0, 6.0)
    assert wide_lengthscale_prior(16) == (3.0, 3.0)
    assert wide_lengthscale_prior(64) == (3.0, 1.5)


def test_the_fit_tells_noise_from_function():
    quiet = fit(*_data(n=60, noise=0.01))
    loud = fit(*_data(n=60, noise=0.5))
    assert quiet.noise < 0.01 < 0.1 < loud.noise


def test_a_group_that_does_not_matter_gets_a_longer_lengthscale():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0.3, 1.0, (60, 2))
    losses = np.sin(8 * inputs[:, 0])
    first, second = fit(inputs, gp.standardise(losses)(losses), per_group=True).lengthscales
    assert second > 2 * first


def test_a_warm_start_keeps_the_optimum():
    inputs, targets = _data()
    first = fit(inputs, targets)
    again = fit(inputs, targets, start=first, restarts=0)
    np.testing.assert_allclose(again.logarithms, first.logarithms, atol=0.02)


@pytest.mark.parametrize("hyperparameters", [PER_GROUP, LINEAR_PER_GROUP])
def test_glance_has_the_mean_and_a_limit_of_the_deviation(hyperparameters):
    inputs, targets = _data()
    process = gp.GaussianProcess(inputs, targets, hyperparameters)
    others = np.concatenate([inputs, np.random.default_rng(1).uniform(0, 2, (100, 3))])
    mean, sd = process.predict(others)
    glanced, limit = process.glance(others)
    np.testing.assert_allclose(glanced, mean, rtol=1e-9, atol=1e-10)
    assert (sd <= limit + 1e-9).all()
    # With one observation there is nothing the limit leaves out.
    single = gp.GaussianProcess(inputs[:1], targets[:1], PER_GROUP)
    np.testing.assert_allclose(single.glance(others)[1], single.predict(others)[1], atol=1e-6)


def test_covariances_do_not_depend_on_the_block(monkeypatch):
    inputs, targets = _data()
    others = np.random.default_rng(1).uniform(0.2, 1.1, (50, 3))
    whole = gp.GaussianProcess(inputs, targets, ONE).predict(others)
    monkeypatch.setattr(matern, "_BLOCK", 7 * len(inputs))
    parts = gp.GaussianProcess(inputs, targets, ONE).predict(others)
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-12)


def test_equal_inputs_and_thousands_of_near_equal_ones_are_no_trouble():
    inputs = np.repeat([[0.5, 0.5], [0.5, 0.500001], [1.0, 1.0]], 100, axis=0)
    targets = np.tile([1.0, -1.0, 0.5], 100)
    for hyperparameters in (
        fit(inputs, targets, restarts=0),
        Hyperparameters((100.0,), 1000.0, 1e-4),
    ):
        mean, sd = gp.GaussianProcess(inputs, targets, hyperparameters).predict(inputs)
        assert np.isfinite(mean).all()
        assert np.isfinite(sd).all()


def test_one_observation_and_no_input():
    fitted = fit(np.empty((2, 0)), [1.0, 1.2], per_group=True)
    mean, _ = gp.GaussianProcess(np.empty((2, 0)), [1.0, 1.2], fitted).predict(np.empty((3, 0)))
    assert (mean > 0.5).all()
    fit([[0.5, 0.2]], [0.0])


def test_standardise():
    standard = gp.standardise([1.0, 3.0])
    np.testing.assert_allclose(standard([1.0, 3.0, 5.0]), [-1.0, 1.0, 3.0])
    np.testing.assert_allclose(standard.inverse(standard([4.0, -2.0])), [4.0, -2.0])
    np.testing.assert_allclose(gp.standardise([0.1] * 7)([0.1, 1.1]), [0.0, 1.0], atol=1e-12)


def test_hyperparameters_as_json():
    for given in (PER_GROUP, LINEAR_PER_GROUP):
        assert Hyperparameters.from_dict(json.loads(json.dumps(given.to_dict()))) == given
        linear = given.slope is not None
        again = Hyperparameters.from_logarithms(given.logarithms, linear)
        np.testing.assert_allclose(again.logarithms, given.logarithms)
        assert (again.slope is not None) == linear


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"lengthscales": [], "output_scale": 1.0, "noise": 1.0},
        {"lengthscales": [1.0, -1.0], "output_scale": 1.0, "noise": 1.0},
        {"lengthscales": [1.0], "output_scale": float("nan"), "noise": 1.0},
        {"lengthscales": 1.0, "output_scale": 1.0, "noise": 1.0},
    ],
)
def test_foreign_hyperparameters_are_refused(config):
    with pytest.raises(ValueError, match="Not the description of hyper-parameters"):
        Hyperparameters.from_dict(config)


def test_shapes_that_do_not_fit():
    inputs, targets = _data()
    with pytest.raises(ValueError, match=r"inputs\.shape=\(40, 3\), targets\.shape=\(39,\)"):
        gp.GaussianProcess(inputs, targets[:-1], ONE)
    for extra in ([0.1] * 39, [-0.1] * 40, [np.nan] * 40):
        with pytest.raises(ValueError, match=r"extra noise of shape \(40,\).*at least 0"):
            gp.GaussianProcess(inputs, targets, ONE, extra)
    with pytest.raises(ValueError, match=r"n at least 1"):
        fit(np.empty((0, 3)), [])
    with pytest.raises(ValueError, match="must be finite"):
        fit(inputs, np.append(targets[:-1], np.nan))
    with pytest.raises(ValueError, match=r"1 or 3 lengthscales.*\(1\.0, 2\.0\)"):
        gp.GaussianProcess(inputs, targets, Hyperparameters((1.0, 2.0), 1.0, 1.0))
    with pytest.raises(ValueError, match=r"shape \(m, 3\)\. Received: shape=\(5, 2\)"):
        gp.GaussianProcess(inputs, targets, ONE).predict(np.ones((5, 2)))
    with pytest.raises(ValueError, match=r"start with 3 lengthscales"):
        fit(inputs, targets, per_group=True, start=ONE)
    with pytest.raises(ValueError, match=r"start with a slope"):
        fit(inputs, targets, start=ONE, linear=True)
