"""Searches of penalties on all paths: shared slopes, several kinds of search, starts, streams."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, two_regimes
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators import n_experts_selection
from skmoe._numerics import evidence
from skmoe.families import FAMILIES
from skmoe.model_selection import n_experts_test

KINDS = ("auto", "ard", 20.0)


def many_features(n_rows=400, seed=0):
    """Two regimes, in which three of eight features are at work."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 8))
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=n_rows) > 0, 2.0, -1.0)
    return X, slope * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=n_rows)


# --- experts ----------------------------------------------------------------------------------


def test_penalties_of_shared_slopes_are_those_of_one_expert_without_the_intercepts():
    """Most rows belong to one expert, but the rows of all determine the slopes."""
    rng, n_rows, n_features, n_experts = np.random.default_rng(0), 200, 40, 5
    X = rng.normal(size=(n_rows, n_features))
    regime = rng.permutation(np.repeat(range(n_experts), [176, 6, 6, 6, 6]))
    y = X @ (0.1 * rng.normal(size=n_features)) + 40.0 * regime + rng.normal(size=n_rows)
    options = {"gate": "constant", "dispersion": "shared", "tol": 1e-9, "random_state": 0}
    options |= {"init": np.eye(n_experts)[regime], "shared_features": list(range(n_features))}
    moe = quiet(MixtureOfExpertsRegressor(n_experts, max_iter=1000, **options), X, y)

    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    gram = np.zeros((n_features, n_features))
    for k in range(n_experts):
        own = scaled[regime == k]
        gram += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
    coef = moe.expert_coef_[0] * X.std(axis=0)
    inverse = np.linalg.inv(gram + moe.alpha_ * np.eye(n_features))
    n_determined = n_features - moe.alpha_ * np.trace(inverse)
    squares = np.square(coef).sum() / moe.noise_variance_.ravel()[0]
    expected = (n_determined + 1.0) / (squares + 1.0 / 0.1)
    assert_allclose(moe.alpha_, expected, rtol=0.01)


@pytest.mark.parametrize("family", ["gamma", "lognormal"])
def test_experts_without_a_scale_do_not_affect_the_prior_of_scales(family):
    rng = np.random.default_rng(0)
    X, n_rows = rng.normal(size=(600, 2)), 600
    slope = np.where(X[:, 0] > 0, 1.0, -1.0)
    y = np.exp(slope * X[:, 1] + 0.3 * rng.normal(size=n_rows))
    is_zero = rng.random(n_rows) < 0.3
    options = {"dispersion_prior": "auto", "random_state": 0}
    alone = MixtureOfExpertsRegressor(2, family=[family] * 2, **options)
    alone = quiet(alone, X[~is_zero], y[~is_zero])
    moe = MixtureOfExpertsRegressor(3, family=[family, family, "zero"], **options)
    moe = quiet(moe, X, np.where(is_zero, 0.0, y))
    assert_allclose(moe.dispersion_prior_, alone.dispersion_prior_, rtol=0.15)


@pytest.mark.parametrize("family", sorted(name for name, one in FAMILIES.items() if one.has_scale))
@pytest.mark.parametrize("seed", [1, 6, 16, 19, 30, 34, 36])
def test_targets_with_little_noise_can_be_fitted(family, seed):
    """Experts can lose all rows, which leaves nothing but errors of round-off in their steps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4))
    y = np.exp(3.0 * X[:, 0] + 1e-3 * rng.normal(size=60))
    for n_experts in (2, 3, 4):
        moe = MixtureOfExpertsRegressor(n_experts, family=family, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            warnings.filterwarnings("error", message="EM stopped")
            moe.fit(X, y)
        assert np.isfinite(moe.lower_bounds_).all()


# --- kinds of search --------------------------------------------------------------------------


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
@pytest.mark.parametrize("through_document", [False, True])
def test_warm_starts_find_penalties_of_another_kind(before, after, through_document):
    X, y = many_features()
    moe = MixtureOfExpertsRegressor(2, alpha=before, gate_alpha=before, random_state=0)
    moe.set_params(warm_start=True).fit(X, y)
    assert moe.converged_
    if through_document:
        moe = MixtureOfExpertsRegressor.from_dict(moe.to_dict())
    found = moe.alpha_, moe.gate_alpha_
    moe.set_params(alpha=after, gate_alpha=after).fit(X, y)
    fresh = clone(moe).set_params(warm_start=False).fit(X, y)
    for name in ("alpha_", "gate_alpha_"):
        values, expected = np.asarray(getattr(moe, name)), np.asarray(getattr(fresh, name))
        assert values.shape == expected.shape
        assert_array_equal(np.isinf(values), np.isinf(expected))
        kept = np.isfinite(values)
        assert_allclose(values[kept], expected[kept], rtol=0.3)
    if before == after:
        assert_array_equal(found[0], moe.alpha_)
        assert_array_equal(found[1], moe.gate_alpha_)


def test_a_document_with_an_unknown_kind_of_search_is_refused():
    X, y = two_regimes(60)
    moe = MixtureOfExpertsRegressor(1).fit(X, y)
    moe._training_state = moe._training_state._replace(penalty_searches=("auto", "bayes", ""))
    with pytest.raises(ValueError, match="a kind of search is unknown"):
        MixtureOfExpertsRegressor.from_dict(moe.to_dict())


# --- starts and numbers of experts ------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [12, 20, 100])
def test_a_search_after_converged_starts_counts_their_iterations(max_iter):
    X, y = many_features()
    options = {"combine": "best_converged", "random_state": 0, "n_init": 3}
    moe = quiet(MixtureOfExpertsRegressor(2, max_iter=max_iter, **options), X, y)
    n_iter = len(moe.start_traces_[int(moe.start_lower_bounds_.argmax())])
    n_search = moe.n_iter_ - n_iter
    assert 0 <= n_search <= max_iter - n_iter
    assert bool(moe.converged_) is (max_iter == 100)


def test_numbers_of_experts_are_tried_with_an_estimate_of_the_noise(monkeypatch):
    """The scale of a prior that a smaller mixture has found is none."""
    given, fit = [], n_experts_selection.IncrementalFitter._fit

    def watched(self, *arguments, noise_variance=None, **options):
        given.append(noise_variance)
        return fit(self, *arguments, noise_variance=noise_variance, **options)

    monkeypatch.setattr(n_experts_selection.IncrementalFitter, "_fit", watched)
    X, y = many_features(200)
    for prior in (10.0, "auto"):
        given.clear()
        moe = MixtureOfExpertsRegressor("bic", dispersion_prior=prior, random_state=0)
        moe.fit(X, y)
        estimates = [value for value in given if value is not None]
        assert bool(estimates) is (prior != "auto")
        assert all(np.array_equal(value, estimates[0]) for value in estimates)


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_tests_of_the_number_of_experts_have_the_initial_penalties(kind):
    X, y = many_features(100)
    results = [
        n_experts_test(
            MixtureOfExpertsRegressor(n_init=1, **options), X, y, n_experts=1, n_bootstrap=2,
            random_state=0,
        )
        for options in (
            {"alpha": kind, "gate_alpha": kind, "dispersion_prior": "auto"},
            {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0},
        )
    ]  # fmt: skip
    assert_array_equal(*[result.log_likelihoods for result in results])
    assert_array_equal(*[result.statistic for result in results])


@pytest.mark.parametrize("searched", [False, True])
def test_summaries_compare_starts_with_the_same_penalties_only(searched):
    X, y = many_features()
    numbers = {} if searched else {"alpha": 0.1, "gate_alpha": 1.0}
    moe = MixtureOfExpertsRegressor(2, n_init=2, combine="average", random_state=0, **numbers)
    moe.set_params(dispersion_prior=10.0, max_iter=1000).fit(X, y)
    assert moe.start_converged_.all()
    assert ("run to the end differ by" in str(moe.summary(X, y))) is not searched


# --- constant features ------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_constant_features_do_not_affect_which_features_are_kept(task):
    n_different = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(200, 4))
        slope = np.where(X[:, 0] + 0.3 * rng.normal(size=200) > 0, 1.0, -1.0)
        y = slope * X[:, 1] + 0.13 * X[:, 2] + 0.5 * rng.normal(size=200)
        options = {"alpha": "ard", "gate_alpha": "ard", "n_init": 1, "random_state": 0}
        kind = MixtureOfExpertsRegressor
        if task == "classifier":
            kind, y = MixtureOfExpertsClassifier, y > 0.3 * rng.normal(size=200)
        few = quiet(kind(2, **options), X, y)
        many = quiet(kind(2, **options), np.column_stack([X, np.ones((200, 20))]), y)
        for name in ("alpha_", "gate_alpha_"):
            expected, found = getattr(few, name), getattr(many, name)
            assert_allclose(found[:4], expected, rtol=1e-6)
            assert np.isinf(found[4:]).all()
        n_different += np.isfinite(few.alpha_).sum() != 2
    assert n_different or task == "classifier"


def test_features_vary_if_they_have_a_gradient_or_a_slope():
    values = np.array([[0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    gradient = np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]])
    assert evidence.Slopes(values, np.ones((2, 4)), gradient).n_varying == 2
