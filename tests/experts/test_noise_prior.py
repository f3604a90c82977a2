"""Scale of the prior of noise variances, which a strong prior shows, and the noise of fits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.expert_kinds import draw, options_of
from support.fits import fit_quietly

OPTIONS = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def prior_scale(X, y, **options):
    """Noise variances of a single expert whose prior outweighs the rows."""
    moe = MixtureOfExpertsRegressor(1, dispersion_prior=1e10, **OPTIONS)
    return fit_quietly(moe, X, y, **options).noise_variance_[0]


def features(n_rows=300, n_features=3):
    return np.random.default_rng(0).normal(size=(n_rows, n_features))


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_scale_is_the_noise_about_a_linear_target(noise):
    X, rng = features(), np.random.default_rng(1)
    y = X @ [1.0, -1.0, 0.5] + noise * rng.normal(size=300)
    weight = rng.uniform(0.5, 2.0, size=300)
    assert_allclose(np.sqrt(prior_scale(X, y, sample_weight=weight)), noise, rtol=0.15)


def test_scale_is_the_noise_about_steps_and_that_of_each_output():
    X = features()
    steps = np.where(X[:, 0] > 0, 1.0, -1.0) + 0.1 * np.random.default_rng(1).normal(size=300)
    found = prior_scale(X, np.column_stack([steps, X[:, 0]]))
    assert found[0] < 0.05 < np.var(steps)
    assert found[1] < 1e-4


def test_scale_is_at_most_the_variance_of_the_target():
    """Predictions of unseen rows are worse than the mean where nothing relates to the features."""
    X, Y = features(40, 8), np.random.default_rng(1).normal(size=(40, 10))
    ratio = prior_scale(X, Y) / Y.var(axis=0)
    assert_allclose([np.median(ratio), ratio.max()], 1.0, rtol=1e-6)
    # Five rows are too few to tell.
    assert_allclose(prior_scale(X[:5], X[:5, 0]), X[:5, 0].var(), rtol=1e-6)


def smallest_variance(y):
    """The noise variance of an expert that explains its target without error."""
    moe = MixtureOfExpertsRegressor(1, dispersion_prior=0.0, **OPTIONS | {"alpha": 1e-9})
    X = np.column_stack([y, np.random.default_rng(1).normal(size=len(y))])  # distinct rows
    return fit_quietly(moe, X, y).noise_variance_[0]


def test_smallest_variance_is_that_of_rounding_where_most_values_are_tied():
    y = np.random.default_rng(0).normal(size=300)
    rounded = np.round(y / 0.5) * 0.5
    assert_allclose(smallest_variance(rounded), 0.5**2 / 12, rtol=1e-6)
    assert_allclose(smallest_variance(y), 1e-6 * y.var(), rtol=1e-6)
    # Rounding can explain a quarter of the variance at most.
    signs = np.where(y > 0, 100.0, 0.0)
    signs[:2] = 1.0
    assert smallest_variance(signs) <= 0.25 * signs.var() * (1 + 1e-9)


# --- the noise of a default fit -------------------------------------------------------------------


def two_regimes(n_rows, seed, family="normal", dispersion=0.09):
    """Two clear regimes, the gate of which depends on the first feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2))
    is_high = rng.random(n_rows) < 1.0 / (1.0 + np.exp(-1.5 * X[:, 0]))
    predictor = np.where(is_high, 1.5 + 0.5 * X[:, 1], -1.5 - 0.5 * X[:, 1])
    return X, draw(family, predictor, rng, (dispersion, 5.0))


@pytest.mark.parametrize(
    ("family", "dispersion"),
    [
        ("normal", 0.09),
        ("gamma", 0.05),
        ("lognormal", 0.09),
        ("weibull", 0.05),
        ("student_t", 0.09),
    ],
)
def test_noise_of_clear_regimes_is_that_of_the_rows(family, dispersion):
    """The median over three tables, whose estimates have standard errors of six per cent."""
    found = []
    for seed in range(3):
        X, y = two_regimes(300, seed, family, dispersion)
        moe = MixtureOfExpertsRegressor(2, n_init=2, random_state=0, **options_of(family))
        fit_quietly(moe, X, y)
        found.append(getattr(moe, "noise_variance_", None))
        if found[-1] is None:
            found[-1] = moe.dispersion_
    assert_allclose(np.sqrt(np.median(found) / dispersion), 1.0, atol=0.1)


def test_intervals_cover_new_rows_of_clear_regimes():
    moe = MixtureOfExpertsRegressor(2, n_init=2, random_state=0).fit(*two_regimes(300, 0))
    X, y = two_regimes(4000, 1)
    low, high = moe.predict_interval(X, 0.9).T
    assert 0.88 <= np.mean((low <= y) & (y <= high)) <= 0.92


@pytest.mark.parametrize("in_blocks", [False, True])
def test_lower_bounds_of_two_seeds_have_the_same_prior(in_blocks):
    """Its scale is that of a sample of the rows, which is the same for all seeds."""
    X, y = two_regimes(10_000, 0)
    data = (X, y)
    if in_blocks:
        data = (RowBlocks(lambda: ((X[i : i + 5_000], y[i : i + 5_000]) for i in (0, 5_000))),)
    for options in ({"dispersion_prior": 10.0}, {}):
        given = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "tol": 1e-9} | options
        one, other = (
            fit_quietly(MixtureOfExpertsRegressor(2, random_state=seed, **given), *data)
            for seed in (0, 1)
        )
        # Two searches of a prior end within a small gain of its evidence.
        rtol = 1e-9 if options else 1e-7
        assert_allclose(other.lower_bound_, one.lower_bound_, rtol=rtol)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_experts_do_not_collapse_on_rows_that_are_nearly_noiseless(seed):
    """Four experts of 60 rows from two planes, and new rows of these."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(260, 2))
    y = np.where(X[:, 0] > 0, 2.0 * X[:, 1], 1.0 - X[:, 1]) + 1e-4 * rng.normal(size=260)
    moe = fit_quietly(MixtureOfExpertsRegressor(4, random_state=0), X[:60], y[:60])
    logs = moe.score_samples(X[60:], y[60:])
    assert np.isfinite(logs).all()
    # Better than an expert whose noise is a tenth of the standard deviation of y.
    assert logs.mean() > norm.logpdf(0.0, scale=0.1 * y.std())
