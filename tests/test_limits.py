"""Where a mixture is a simpler model, it must be that model."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._mixture.model import expert_usage
from skmoe.blocks import RowBlocks
from skmoe.gates import ConstantGate, SoftmaxGate


@pytest.mark.parametrize("gate", ["softmax", "constant", SoftmaxGate(), ConstantGate()])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 30.0])
def test_one_expert_is_ridge(alpha, gate):
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(1, alpha=alpha, gate=gate).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    ridge = (Ridge(alpha=alpha) if alpha else LinearRegression()).fit(Z, y)
    assert_allclose(moe.predict(X), ridge.predict(Z), rtol=1e-6)
    assert_allclose(moe.expert_coef_[0] * X.std(axis=0), ridge.coef_, rtol=1e-6)
    assert_allclose(moe.predict_gate(X), 1.0)


def test_one_expert_is_ridge_for_each_output_and_with_weights():
    X, Y = load_linnerud(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(X))
    moe = MixtureOfExpertsRegressor(1, alpha=0.5).fit(X, Y, sample_weight=weight)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    ridge = Ridge(alpha=0.5).fit(scaler.transform(X), Y, sample_weight=weight)
    assert_allclose(moe.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-6)


def test_one_expert_without_prior_has_the_maximum_likelihood_variance():
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, y)
    residual = y - LinearRegression().fit(X, y).predict(X)
    assert moe.noise_variance_[0] == pytest.approx(np.mean(residual**2), rel=1e-8)
    n, n_params = len(y), X.shape[1] + 2
    log_likelihood = -0.5 * n * (np.log(2 * np.pi * np.mean(residual**2)) + 1)
    assert moe.score_samples(X, y).sum() == pytest.approx(log_likelihood)
    assert moe.lower_bound_ == pytest.approx(log_likelihood / n)
    assert moe.aic(X, y) == pytest.approx(2 * n_params - 2 * log_likelihood)
    assert moe.bic(X, y) == pytest.approx(np.log(n) * n_params - 2 * log_likelihood)
    assert moe.icl(X, y) == pytest.approx(moe.bic(X, y))  # nothing is uncertain


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
@pytest.mark.parametrize("alpha", [0.1, 3.0])
def test_one_expert_is_logistic_regression(load, alpha):
    X, y = load(return_X_y=True)
    moe = MixtureOfExpertsClassifier(1, alpha=alpha, tol=1e-12).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    logistic = LogisticRegression(C=1 / alpha, solver="newton-cg", tol=1e-12).fit(Z, y)
    assert_allclose(moe.predict_proba(X), logistic.predict_proba(Z), atol=1e-6)
    spread = X.std(axis=0)
    if len(moe.classes_) == 2:
        assert_allclose(moe.expert_coef_[0] * spread, logistic.coef_[0], atol=1e-5)
        assert moe.expert_coef_.shape == (1, X.shape[1])
    else:
        assert_allclose(moe.expert_coef_[0] * spread, logistic.coef_, atol=1e-5)
        assert moe.expert_intercept_.shape == (1, 3)


def test_constant_gate_is_a_mixture_of_regressions():
    """Plain EM for a mixture of two regressions, written out, ends where the estimator does."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=300)
    first = rng.uniform(size=300) < 0.35
    y = np.where(first, 1 + 2 * x, -1 - x) + rng.normal(size=300) * np.where(first, 0.2, 0.4)
    A = np.column_stack([x, np.ones(300)])
    resp = np.where(first, 0.9, 0.1)
    resp = np.stack([resp, 1 - resp])
    for _ in range(2000):
        shares = resp.mean(axis=1)
        coef = [np.linalg.solve((A.T * r) @ A, (A.T * r) @ y) for r in resp]
        residual = np.stack([y - A @ b for b in coef])
        variance = (resp * residual**2).sum(axis=1) / resp.sum(axis=1)
        joint = np.log(shares / np.sqrt(2 * np.pi * variance))[:, None]
        joint = joint - 0.5 * residual**2 / variance[:, None]
        resp = np.exp(joint - logsumexp(joint, axis=0))
    moe = MixtureOfExpertsRegressor(
        2, gate="constant", alpha=0.0, dispersion_prior=0.0, tol=1e-12, max_iter=2000, n_init=8,
        random_state=0,
    ).fit(x[:, None], y)  # fmt: skip
    order = np.argsort(moe.weights_)
    assert_allclose(moe.weights_[order], shares, atol=1e-5)
    assert_allclose(moe.expert_coef_[order, 0], [b[0] for b in coef], atol=1e-5)
    assert_allclose(moe.noise_variance_[order], variance, rtol=1e-4)
    assert moe.score_samples(x[:, None], y).sum() == pytest.approx(logsumexp(joint, axis=0).sum())
    assert_allclose(moe.gate_coef_, 0.0)
    assert_allclose(np.exp(moe.gate_intercept_), moe.weights_)


def test_a_hopelessly_penalised_gate_is_constant():
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(2, gate_alpha=1e10, random_state=0).fit(X, y)
    assert np.ptp(moe.predict_gate(X), axis=0).max() < 1e-6


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("Moe", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_systems_that_are_too_large_to_be_formed_have_the_same_solution(make, Moe, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 6)) * (rng.uniform(size=(600, 6)) < 0.5)
    y = X[:, 1] * np.where(X[:, 0] > 0, 2.0, -2.0) + 0.3 * rng.normal(size=600)
    y = y if Moe is MixtureOfExpertsRegressor else np.digitize(y, [-0.5, 0.5])
    fixed = {"alpha": 1.0, "gate_alpha": 1.0, "random_state": 0}
    moe = Moe(2, tol=1e-7, n_init=1, max_iter=500, **fixed)
    formed = clone(moe).fit(make(X), y)
    monkeypatch.setattr("skmoe._numerics.multinomial.MAX_DENSE_HESSIAN", 0)
    monkeypatch.setattr("skmoe._numerics.linalg.MAX_DENSE_GRAM", 0)
    unformed = clone(moe).fit(make(X), y)
    assert np.diff(unformed.lower_bounds_).min() > -1e-10
    assert unformed.lower_bound_ == pytest.approx(formed.lower_bound_, abs=1e-5)
    assert_allclose(unformed.expert_coef_, formed.expert_coef_, atol=0.02)


# --- the ends of the number scale -------------------------------------------------------------


def two_planes(n_rows=200):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    return X, np.where(X[:, 0] > 0, 3 * X[:, 1], -3 * X[:, 1]) + 0.2 * rng.normal(size=n_rows)


@pytest.mark.parametrize("distance", [1e8, 1e20, 1e100])
@pytest.mark.parametrize("top_k", [None, 2])
def test_responsibilities_of_rows_far_from_all_experts_sum_to_one(distance, top_k):
    X, y = two_planes()
    moe = MixtureOfExpertsRegressor(3, dispersion="shared", top_k=top_k, random_state=0, n_init=1)
    resp = quiet(moe, X, y).responsibilities(X, np.full(len(y), distance))
    assert_allclose(resp.sum(axis=1), 1.0)
    usage = expert_usage(moe._fitted.model, moe._fitted.params, [rows_far_away(moe, X, distance)])
    assert usage.responsibility_mass.sum() == pytest.approx(len(y))


def rows_far_away(moe, X, distance):
    return moe._fitted.preprocessor.transform(X, np.full((1, len(X)), distance))[0]


@pytest.mark.parametrize("scale", [1e-139, 1e-100, 1e100, 5e138])
def test_predictions_are_finite_in_every_unit_of_the_target(scale):
    X, y = two_planes()
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y * scale)
    expected = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert_allclose(moe.noise_variance_, expected.noise_variance_ * scale**2, rtol=1e-6)
    assert_allclose(moe.predict(X), expected.predict(X) * scale, rtol=1e-6)
    actual, wanted = moe.predict_dist(X), expected.predict_dist(X)
    for name in ("std", "median", "mode"):
        assert_allclose(getattr(actual, name) / scale, getattr(wanted, name), rtol=1e-4, atol=1e-6)
    assert_allclose(actual.crps(y * scale) / scale, wanted.crps(y), rtol=1e-4)


def from_blocks(moe, X, y):
    return moe.fit(RowBlocks.from_arrays(X, y))


def from_batches(moe, X, y):
    return moe.partial_fit(X[:150], y[:150]).partial_fit(X[150:], y[150:])


def from_rows(moe, X, y):
    return moe.fit(X, y)


def from_sparse_rows(moe, X, y):
    return moe.fit(sparse.csr_array(X), y)


@pytest.mark.parametrize("fit", [from_rows, from_sparse_rows, from_blocks, from_batches])
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_features_have_any_unit(fit, scale):
    X, y = two_planes()
    moe = fit(MixtureOfExpertsRegressor(2, random_state=0), X * scale, y)
    expected = fit(MixtureOfExpertsRegressor(2, random_state=0), X, y)
    assert_allclose(moe.predict(X * scale), expected.predict(X), atol=1e-5)
    assert np.isfinite(moe.expert_coef_).all()


@pytest.mark.parametrize("half_life", [5e-324, 1e300])
def test_any_half_life_is_without_overflow(half_life):
    X, y = two_planes()
    moe = MixtureOfExpertsRegressor(2, half_life=half_life, random_state=0)
    assert np.isfinite(from_batches(moe, X, y).predict(X)).all()


@pytest.mark.parametrize("weight", [1e-100, 1e-10, 1e10, 1e137])
@pytest.mark.parametrize("Moe", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_weights_have_any_unit(Moe, weight):
    X, y = two_planes()
    y = y if Moe is MixtureOfExpertsRegressor else y > 0
    moe = quiet(Moe(2, n_init=1, random_state=0), X, y, sample_weight=np.full(len(X), weight))
    assert np.isfinite(moe.lower_bound_)
    assert np.isfinite(moe.expert_coef_).all()


@pytest.mark.parametrize("expert", ["linear", "tree"])
def test_the_order_of_repeated_rows_with_fractional_weights_changes_no_bit(expert):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 3)) > 0) * 1.0
    y = np.round(X @ [1, 2, 3] + rng.normal(size=60))
    weight = rng.uniform(0.1, 3, size=60)
    moe = MixtureOfExpertsRegressor(3, expert=expert, n_init=1, max_iter=5, random_state=0)
    expected = quiet(clone(moe), X, y, sample_weight=weight)
    for _ in range(2):
        order = rng.permutation(60)
        permuted = quiet(clone(moe), X[order], y[order], sample_weight=weight[order])
        assert_array_equal(permuted.lower_bounds_, expected.lower_bounds_)
        assert_array_equal(permuted.predict(X), expected.predict(X))
