"""Offsets of experts that are estimators: they predict y per unit of exposure."""

import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import GammaRegressor, PoissonRegressor
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from skmoe.metrics import log_density_scorer
from support.expert_kinds import DISTRIBUTIONS, draw, example, predictor_of_mean
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

# Families with a log link whose mean can be given.
NAMES = [name for name, row in FAMILIES.items() if example(name).takes_mean and row.link == "log"]
COUNTS = [name for name in NAMES if FAMILIES[name].is_count]
# A count and a number, with and without a dispersion, of other weights of rates.
FEW = ["poisson", "gamma", "inverse_gaussian", "lognormal"]
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10, random_state=0)
N = 200


def table(name, n_rows=N, seed=0):
    """Two regimes of rates, with slopes of -1 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    exposure = rng.uniform(0.2, 4.0, size=n_rows)
    return X, draw(name, np.log(exposure) + 1.0 + np.abs(X[:, 0]), rng, (0.2,)), np.log(exposure)


def mixture(name, n_experts=2, **options):
    fixed = {"expert": TREE, "n_init": 1, "random_state": 1, "max_iter": 6, "gate_alpha": 1.0}
    fixed["dispersion_prior"] = 10.0
    options = fixed | options
    return MixtureOfExpertsRegressor(n_experts, family=name, **options)


@cache
def fitted(name):
    X, y, offset = table(name)
    return fit_quietly(mixture(name), X, y, offset=offset)


def log_density(name, y, mean, dispersion):
    """By the distribution of scipy with given means, and a dispersion if there is one."""
    distribution = DISTRIBUTIONS[name](predictor_of_mean(name, mean, dispersion), *dispersion)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


def dispersions(moe, k):
    return [moe.dispersion_[k]] if hasattr(moe, "dispersion_") else []


# --- fits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_the_estimator_of_rates(name):
    """Rates have the weights of their family, of counts the exposures."""
    X, y, offset = table(name)
    moe = mixture(name, 1, cross_fit=False, dispersion_prior=0.0)
    fit_quietly(moe, X, y, offset=offset)
    exposure = np.exp(offset)
    weight = exposure ** FAMILIES[name]().exposure_power
    single = clone(TREE).fit(X, y / exposure, sample_weight=weight)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-9)
    assert_allclose(moe.predict(X, offset=offset), exposure * single.predict(X), rtol=1e-9)
    if dispersions(moe, 0):  # that of maximum likelihood for these means
        best = optimize.minimize_scalar(
            lambda log: -log_density(name, y, moe.predict(X, offset=offset), [np.exp(log)]).mean(),
            bounds=(-4.0, 2.0),
            options={"xatol": 1e-10},
        )
        assert_allclose(moe.score_samples(X, y, offset=offset).mean(), -best.fun, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "estimator"), [("poisson", PoissonRegressor), ("gamma", GammaRegressor)]
)
def test_regressions_are_linear_experts(name, estimator):
    X, y, offset = table(name)
    expert = estimator(alpha=0.0, solver="newton-cholesky", tol=1e-12)
    options = {"dispersion_prior": 0.0, "cross_fit": False}
    moe = mixture(name, 1, expert=expert, **options).fit(X, y, offset=offset)
    options = {"dispersion_prior": 0.0, "alpha": 0.0, "tol": 1e-14, "max_iter": 1000}
    linear = mixture(name, 1, **(options | {"expert": "linear"})).fit(X, y, offset=offset)
    assert_allclose(moe.predict(X), linear.predict(X), rtol=1e-5)
    density = moe.score_samples(X, y, offset=offset)
    assert_allclose(density, linear.score_samples(X, y, offset=offset), rtol=1e-5)


@pytest.mark.parametrize("name", FEW)
def test_rates_of_two_regimes_are_found(name):
    moe = fitted(name)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    X, y, offset = table(name, 300, seed=1)
    rate = np.exp(1.0 + np.abs(X[:, 0]) + (0.1 if name == "lognormal" else 0.0))
    # Weights of inverse Gaussians leave little to rows of large rates; exponentials vary most.
    least = 0.7 if name in ("inverse_gaussian", "exponential") else 0.85
    assert np.corrcoef(moe.predict(X), rate)[0, 1] > least
    low, high = moe.predict_interval(X, 0.9, offset=offset).T
    assert 0.78 < np.mean((low <= y) & (y <= high)) < 0.98
    blind = fit_quietly(mixture(name), *table(name)[:2])
    gain = moe.score_samples(X, y, offset=offset) - blind.score_samples(X, y)
    assert gain.mean() > 0.05


@pytest.mark.parametrize(
    ("name", "expert"), [("poisson", TREE), ("gamma", TREE), ("gamma", "linear")]
)
def test_an_offset_of_zeros_is_none(name, expert):
    X, y, _ = table(name)
    moe = mixture(name, expert=expert, max_iter=2, alpha=0.1, gate_alpha=1.0)
    one, other = fit_quietly(clone(moe), X, y), fit_quietly(clone(moe), X, y, offset=np.zeros(N))
    assert_allclose(other.lower_bounds_, one.lower_bounds_, rtol=1e-9)
    assert_allclose(other.predict(X), one.predict(X), rtol=1e-7)
    assert_array_equal(one.predict(X), one.predict(X, offset=np.zeros(N)))
    assert_array_equal(one.score_samples(X, y), one.score_samples(X, y, offset=np.zeros(N)))


@pytest.mark.parametrize("name", [name for name in FEW if name != "inverse_gaussian"])
def test_the_unit_of_the_exposure_does_not_matter(name):
    """Also where the estimator has a penalty, if its loss is a likelihood of y."""
    X, y, offset = table(name)
    expert = HistGradientBoostingRegressor(
        loss="poisson" if name in COUNTS else "gamma",
        max_iter=3,
        max_bins=8,
        l2_regularization=5.0,
        random_state=0,
    )
    years, months = (
        fit_quietly(mixture(name, 1, expert=expert, cross_fit=False), X, y, offset=offset + unit)
        for unit in np.log([1.0, 16.0])
    )
    assert_allclose(16.0 * months.predict(X), years.predict(X), rtol=1e-5)
    assert_allclose(months.lower_bound_, years.lower_bound_, rtol=1e-5)


@pytest.mark.parametrize("name", FEW)
def test_a_constant_exposure_divides_the_rates(name):
    X, y, _ = table(name)
    init = 0.1 + 0.8 * np.eye(2)[(X[:, 0] > 0).astype(int)]
    constant = np.full(N, np.log(8.0))
    # The scale of the prior comes from a tree whose ties are broken by round-off.
    options = {"init": init, "max_iter": 3, "dispersion_prior": 0.0}
    without, divided = (
        fit_quietly(mixture(name, **options), X, y, offset=offset) for offset in (None, constant)
    )
    assert_allclose(8.0 * divided.predict(X), without.predict(X), rtol=1e-6)
    density = divided.score_samples(X, y, offset=constant)
    assert_allclose(density, without.score_samples(X, y), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_weight_two_equals_two_rows_in_any_order(name):
    X, y, offset = table(name, 100)
    weight = np.random.default_rng(3).integers(1, 4, size=100)
    rows = np.random.default_rng(4).permutation(np.repeat(np.arange(100), weight))
    weighted, repeated = (mixture(name, cross_fit=False, max_iter=3) for _ in range(2))
    fit_quietly(weighted, X, y, sample_weight=weight, offset=offset)
    fit_quietly(repeated, X[rows], y[rows], offset=offset[rows])
    expected = repeated.score_samples(X, y, offset=offset)
    assert_allclose(weighted.score_samples(X, y, offset=offset), expected, rtol=1e-6)


def test_equal_rows_of_different_exposure_are_different_rows():
    X, y, _ = table("poisson", 50)
    X, y, offset = np.repeat(X, 2, axis=0), np.repeat(y, 2), np.log(np.tile([0.5, 2.0], 50))
    moe = fit_quietly(mixture("poisson", 1, cross_fit=False), X, y, offset=offset)
    exposure = np.exp(offset)
    single = clone(TREE).fit(X, y / exposure, sample_weight=exposure)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-9)


def test_means_of_zero_are_raised_to_rates():
    rng = np.random.default_rng(0)
    X, offset = rng.uniform(size=(200, 1)), np.log(rng.uniform(1.0, 5.0, size=200))
    y = np.where(X[:, 0] < 0.5, 0.0, rng.poisson(4.0 * np.exp(offset)))
    moe = fit_quietly(mixture("poisson", 1, cross_fit=False), X, y, offset=offset)
    rate = y.sum() / np.exp(offset).sum()
    assert_allclose(moe.predict([[0.1]]), 1e-3 * rate)
    assert_allclose(moe.predict([[0.1]], offset=[np.log(3.0)]), 3e-3 * rate)


def test_several_outputs_have_one_exposure():
    X, y, offset = table("poisson", 100)
    both = np.column_stack([y, 2.0 * y])
    moe = fit_quietly(mixture("poisson", 1, cross_fit=False), X, both, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset)[:, None] * moe.predict(X))
    assert_allclose(moe.predict(X)[:, 1], 2.0 * moe.predict(X)[:, 0])
    offsets = np.column_stack([offset, offset])
    words = ["(n_samples,)", "the same for all outputs", (100, 2), 'expert="linear"']
    assert_fit_refused(mixture("poisson"), (X, both), "expert", *words, offset=offsets)


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_the_exposure(name):
    X, y, offset = table(name)
    moe = fitted(name)
    exposure, gate = np.exp(offset), moe.predict_gate(X)
    means = moe.predict_experts(X, offset=offset)
    assert_allclose(means, exposure[:, None] * moe.predict_experts(X))
    assert_allclose(moe.predict(X, offset=offset), exposure * moe.predict(X))
    logs = [log_density(name, y, means[:, k], dispersions(moe, k)) for k in range(2)]
    joint = gate.T * np.exp(logs)
    expected = np.log(joint.sum(axis=0))
    assert_allclose(moe.score_samples(X, y, offset=offset), expected, rtol=1e-7)
    assert_allclose(
        moe.responsibilities(X, y, offset=offset), (joint / joint.sum(axis=0)).T, atol=1e-8
    )
    assert_allclose(log_density_scorer(moe, X, y, offset=offset), expected.mean())
    assert_array_equal(
        pickle.loads(pickle.dumps(moe)).predict(X, offset=offset), moe.predict(X, offset=offset)
    )
    dist = moe.predict_dist(X[:12], offset=offset[:12])
    found = dist.logpmf(y[:12]) if FAMILIES[name].is_count else dist.logpdf(y[:12])
    assert_allclose(found, expected[:12], rtol=1e-7)
    assert_allclose(dist.mean, moe.predict(X[:12], offset=offset[:12]))
    given = {"offset": offset[:12]}
    assert_array_equal(moe.predict_interval(X[:12], 0.8, **given), dist.interval(0.8))
    assert_array_equal(moe.predict_quantile(X[:12], 0.3, **given), dist.ppf(0.3))
    draws = moe.sample(X[:12], n_samples=3, random_state=0, **given)
    assert_array_equal(draws, dist.rvs(3, random_state=0))


def test_routed_predictions():
    X, y, offset = table("gamma")
    moe = fit_quietly(mixture("gamma", max_iter=4, gate=SoftmaxGate(top_k=1)), X, y, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset) * moe.predict(X))
    assert_allclose(moe.predict_dist(X, offset=offset).mean, moe.predict(X, offset=offset))


# --- other ways of a fit ------------------------------------------------------------------------


def test_a_warm_start_with_another_offset_fits_again():
    X, y, offset = table("poisson")
    moe = mixture("poisson", warm_start=True)
    rates = fit_quietly(moe, X, y, offset=offset).predict(X)
    assert_allclose(fit_quietly(moe, X, y, offset=offset).predict(X), rates, rtol=0.3)
    in_percent = offset + np.log(100.0)
    moe = fit_quietly(moe, X, y, offset=in_percent)
    assert_allclose(moe.predict(X, offset=in_percent).sum(), y.sum(), rtol=0.15)


def test_numbers_of_experts_are_selected_with_the_offset():
    X, y, offset = table("gamma", 60)
    stump = DecisionTreeRegressor(max_leaf_nodes=2, random_state=0)
    options = {"expert": stump, "max_iter": 2, "cross_fit": 2}
    moe = fit_quietly(mixture("gamma", "bic", **options), X, y, offset=offset)
    alone = mixture("gamma", moe.n_experts_, **options)
    fit_quietly(alone, X, y, offset=offset)
    found = moe.n_experts_scores_[moe.n_experts_ - 1]
    assert_allclose(found, -alone.bic(X, y, offset=offset), rtol=0.1)
