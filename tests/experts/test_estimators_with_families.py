"""Estimators that predict the mean of y, with every family of conditional distributions."""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset, RawFeatures
from skmoe._mixture.data import Data
from skmoe.experts import LinearExperts
from skmoe.experts._cross_fitted import CrossFittedExperts, Fits, Learned
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import FAMILIES
from support.expert_kinds import DISTRIBUTIONS, draw, example, predictor_of_mean
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

# Families whose mean can be given, other than the normal one.
NAMES = [name for name, row in FAMILIES.items() if example(name).takes_mean and name != "normal"]
# A count, and numbers with one and with two dispersions.
FEW = ["poisson", "gamma", "student_t"]
WITH_SCALE = [name for name in NAMES if example(name).has_scale]
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10, random_state=0)


def table(name, n_rows=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.2, 5.0))


def mixture(name, n_experts=2, **options):
    fixed = {"expert": TREE, "n_init": 1, "random_state": 0, "max_iter": 6, "gate_alpha": 1.0}
    options = fixed | options
    return MixtureOfExpertsRegressor(n_experts, family=name, **options)


@cache
def fitted(name, dispersion="per_expert"):
    return fit_quietly(mixture(name, dispersion=dispersion), *table(name))


def dispersions(moe):
    return [getattr(moe, name) for name in ("dispersion_", "df_") if hasattr(moe, name)]


def log_density(name, y, mean, values):
    """By the distribution of scipy with given means."""
    distribution = DISTRIBUTIONS[name](predictor_of_mean(name, mean, values), *values)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


@pytest.mark.parametrize(
    ("name", "dispersion"),
    [*((name, "per_expert") for name in NAMES), ("gamma", "shared"), ("student_t", "shared")],
)
def test_lower_bound_never_falls(name, dispersion):
    moe = fitted(name, dispersion)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    assert [family.name for family in moe.families_] == [name, name]
    for values in dispersions(moe)[:1]:
        assert (values[0] == values[1]) == (dispersion == "shared")


@pytest.mark.parametrize("name", ["normal", *FEW])
def test_shared_dispersions_are_one_parameter_of_each_output(name):
    X, y = table(name, 100)
    y = np.column_stack([y, y[::-1]])
    if LinearExperts((example(name),)).obstacle(y.T):  # a family of one output
        return
    own, shared = (
        fit_quietly(mixture(name, 3, dispersion=dispersion, max_iter=1, cross_fit=2), X, y)
        for dispersion in ("per_expert", "shared")
    )
    n_own = len(example(name).dispersions)
    # Trees may differ: their leaves are counted by the models.
    leaves = [sum(models[0].get_n_leaves() for models in moe.experts_) for moe in (own, shared)]
    difference = own.n_parameters_ - shared.n_parameters_ - 2 * (leaves[0] - leaves[1])
    assert difference == (3 - 1) * 2 * n_own
    assert all(values.shape == (3, 2) for values in dispersions(own))


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_its_estimator_with_the_dispersion_of_maximum_likelihood(name):
    X, y = table(name)
    moe = fit_quietly(mixture(name, 1, cross_fit=False, dispersion_prior=0.0), X, y)
    mean = moe.experts_[0][0].predict(X)
    assert_allclose(moe.predict(X), mean)
    found = [float(values[0]) for values in dispersions(moe)]
    if found:
        best = optimize.minimize(
            lambda logs: -log_density(name, y, mean, np.exp(logs)).mean(),
            np.log([0.3, 5.0][: len(found)]),
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-14},
        )
        assert_allclose(log_density(name, y, mean, found).mean(), -best.fun, rtol=0, atol=1e-9)
        assert_allclose(found, np.exp(best.x), rtol=1e-3)


@pytest.mark.parametrize("name", ["gamma", "student_t", "lognormal"])
def test_the_prior_of_the_scale_is_inverse_gamma(name):
    """Its own scale is that of a very strong prior."""
    X, y = table(name, 100)
    fits = {
        prior: fit_quietly(mixture(name, 1, cross_fit=False, dispersion_prior=prior), X, y)
        for prior in (1e9, 60.0)
    }
    mean, prior_scale = fits[60.0].predict(X), fits[1e9].dispersion_[0]
    others = [values[0] for values in dispersions(fits[60.0])[1:]]
    prior = stats.invgamma(30.0, scale=30.0 * prior_scale)

    def loss(log_scale):
        scale = np.exp(log_scale)
        logs = log_density(name, y, mean, [scale, *others])
        return -logs.sum() - prior.logpdf(scale) - log_scale

    found = np.log(fits[60.0].dispersion_[0])
    best = optimize.minimize_scalar(loss, bounds=(found - 2, found + 2), options={"xatol": 1e-9})
    assert_allclose(found, best.x, atol=1e-3)


@pytest.mark.parametrize("name", WITH_SCALE)
def test_scales_have_a_floor_relative_to_the_variance_of_the_target(name):
    X, y = table(name, 60)
    deep = DecisionTreeRegressor(random_state=0)
    moe = mixture(name, 1, expert=deep, cross_fit=False, dispersion_prior=0.0)
    family = example(name).fitted_to(y[None], np.ones(60), None)
    floor = np.log(1e-6 * np.var(family.working_target(y)))
    scale = np.exp(floor) * family.dispersion_unit
    assert_allclose(fit_quietly(moe, X, y).dispersion_, scale, rtol=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_densities_around_the_predictions(name):
    X, y = table(name)
    moe = fitted(name)
    means, gate = moe.predict_experts(X), moe.predict_gate(X)
    logs = [
        log_density(name, y, means[:, k], [values[k] for values in dispersions(moe)])
        for k in range(2)
    ]
    expected = np.log((gate.T * np.exp(logs)).sum(axis=0))
    assert_allclose(moe.score_samples(X, y), expected, rtol=1e-7)
    dist = moe.predict_dist(X)
    found = dist.logpmf(y) if FAMILIES[name].is_count else dist.logpdf(y)
    assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("name", FEW)
def test_intervals_cover_new_rows(name):
    X, y = table(name, 400, seed=1)
    low, high = fitted(name).predict_interval(X, 0.9).T
    assert 0.8 < np.mean((low <= y) & (y <= high)) < 0.995


@pytest.mark.parametrize("name", NAMES)
def test_weight_two_equals_two_rows(name):
    X, y = table(name, 100)
    weight = np.random.default_rng(3).integers(1, 4, size=100)
    rows = np.repeat(np.arange(100), weight)
    moe = mixture(name, cross_fit=False, max_iter=3)
    weighted = fit_quietly(moe, X, y, sample_weight=weight).score_samples(X, y)
    repeated = fit_quietly(moe, X[rows], y[rows]).score_samples(X, y)
    assert_allclose(weighted, repeated, rtol=1e-6)


def test_boosting_with_a_log_link_does_not_warn_of_its_loss():
    X, y = table("poisson", 100)
    expert = HistGradientBoostingRegressor(loss="poisson", max_iter=3, max_bins=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moe = mixture("poisson", expert=[expert, "tree"], max_iter=100, cross_fit=2).fit(X, y)
    assert np.isfinite(moe.score_samples(X, y)).all()


@pytest.mark.parametrize("name", ["poisson", "student_t"])
def test_means_of_zero_are_raised_where_they_are_impossible_only(name):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 1))
    y = np.where(X[:, 0] < 0.5, 0.0, rng.poisson(4.0, size=200))
    moe = fit_quietly(mixture(name, 1, cross_fit=False), X, y)
    assert_allclose(moe.predict([[0.1]]), 1e-3 * y.mean() if name == "poisson" else 0.0, atol=1e-12)
    assert np.isfinite(moe.score_samples([[0.1]], [1.0])).all()


def test_negative_means_are_refused():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(200, 1))
    y = rng.poisson(np.exp(2 * X[:, 0])).astype(float)
    message = refusal(mixture("poisson", 1, expert=LinearRegression()).fit, X, y)
    assert_refused(message, "expert 0", "not negative", "poisson", LinearRegression())


class Extreme(LinearRegression):
    """Predicts a mean beyond any bound for new rows."""

    def predict(self, X):
        return np.where(X[:, 0] > 100.0, 1e100, np.abs(super().predict(X)) + 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_densities_stay_finite_at_means_beyond_any_bound(name):
    X, y = table(name, 60)
    moe = fit_quietly(mixture(name, 1, expert=Extreme(), cross_fit=False), X, y)
    far = moe.score_samples(np.full((60, 2), 200.0), y)
    assert np.isfinite(far).all()
    assert far.sum() < moe.score_samples(X, y).sum()


def test_values_outside_the_support_are_refused():
    X, y = table("gamma", 60)
    assert_fit_refused(mixture("gamma"), (X, -y), "y", "positive numbers", 'family="gamma"')


@pytest.mark.parametrize(("name", "value"), [("poisson", 0.0), ("gamma", 3.0), ("lognormal", 0.1)])
def test_constant_targets_are_fitted(name, value):
    X = np.random.default_rng(0).normal(size=(60, 2))
    moe = fit_quietly(mixture(name, max_iter=5), X, np.full(60, value))
    assert_allclose(moe.predict(X), value, rtol=1e-5, atol=1e-6)
    assert all((values > 1e-9).all() for values in dispersions(moe))


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_a_row_of_next_to_no_weight_gives_a_constant_target_no_variance(name):
    """Round-off of the mean of the constant is no variance of its own."""
    y, weight = np.append(np.full(49, 0.1), 0.0)[None], np.append(np.ones(49), 1e-40)
    with_row = experts_of(name, y, weight)
    without = experts_of(name, y[:, :-1], weight[:-1])
    assert_allclose(with_row.start, without.start)
    assert_allclose(with_row.lower, without.lower)
    theta = np.zeros_like(with_row.start)
    assert_allclose(with_row.prior.penalty(theta), without.prior.penalty(theta))


def experts_of(name, y, weight, shared=False, prior=1.0):
    """Two estimators around whose means there is a family."""
    estimator = DecisionTreeRegressor()
    fits = Fits((estimator,) * 2, np.zeros((2, 1), dtype=int), ({},) * 2)
    features = RawFeatures(np.zeros((len(weight), 1)))
    rows = Dataset(np.ones((len(weight), 1)), features, y, weight)
    options = MeanFamily((example(name),), shared_dispersion=shared, dispersion_prior=prior)
    estimates = {"noise_variance": (0.1,), "variance_floor": (1e-6,)}
    return CrossFittedExperts.of_rows(fits, rows, options, estimates)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if example(name).dispersions])
def test_dispersions_maximise_the_penalised_likelihood_from_any_start(name, shared):
    rng = np.random.default_rng(5)
    y = draw(name, 1.0 + rng.normal(size=200), rng, (0.2, 5.0))[None]
    mean = np.exp(1.0 + 0.3 * rng.normal(size=(2, 1, 200)))
    resp = rng.dirichlet([1.0, 1.0], size=200).T
    experts = experts_of(name, y, np.ones(200), shared, 40.0)
    experts = experts.with_learned(Learned((), mean, np.zeros((2, 200))))
    rows = Dataset(np.ones((200, 1)), RawFeatures(np.zeros((200, 1))), y, np.ones(200))
    data, found = Data(rows), []
    for fraction in (0.02, 0.5, 0.98):
        start = experts.lower + fraction * (experts.upper - experts.lower)
        best, value = experts.with_best_dispersions(start, data, resp, 200)
        found.append(value.sum())
        for t in range(len(start)):
            for sign in (1.0, -1.0):
                moved = best.copy()
                tied = experts.free == experts.free[t]
                moved[tied] = np.clip(best + sign * 1e-3, experts.lower, experts.upper)[tied]
                other = experts.with_best_dispersions(moved, data, resp, 0)[1]
                assert other.sum() <= value.sum() + 1e-9
    assert_allclose(found, found[0], rtol=1e-8)
