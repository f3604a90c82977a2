"""Where a mixture is a simpler model, it is that model of scikit-learn, or plain EM written out."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import GATES
from support.fits import fit_quietly


@pytest.mark.parametrize("load", [load_diabetes, load_linnerud])
@pytest.mark.parametrize(
    ("alpha", "gate"),
    [(0.01, "softmax"), *((30.0, kind()) for kind in GATES.values() if not kind.persists)],
)
def test_one_expert_is_ridge_for_each_output_and_with_weights(load, alpha, gate):
    X, y = load(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(X))
    moe = MixtureOfExpertsRegressor(1, alpha=alpha, gate=gate).fit(X, y, sample_weight=weight)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    ridge = Ridge(alpha=alpha).fit(scaler.transform(X), y, sample_weight=weight)
    assert_allclose(moe.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-6)
    assert_allclose(moe.expert_coef_[0] * scaler.scale_, ridge.coef_, rtol=1e-4)
    assert_allclose(moe.predict_gate(X), 1.0)


def test_one_expert_without_prior_has_the_maximum_likelihood_and_its_criteria():
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, y)
    variance = np.mean(np.square(y - LinearRegression().fit(X, y).predict(X)))
    assert moe.noise_variance_[0] == pytest.approx(variance, rel=1e-8)
    n, n_params = len(y), X.shape[1] + 2
    log_likelihood = -0.5 * n * (np.log(2 * np.pi * variance) + 1)
    assert moe.score_samples(X, y).sum() == pytest.approx(log_likelihood)
    assert moe.lower_bound_ == pytest.approx(log_likelihood / n)
    assert moe.aic(X, y) == pytest.approx(2 * n_params - 2 * log_likelihood)
    assert moe.bic(X, y) == pytest.approx(np.log(n) * n_params - 2 * log_likelihood)
    assert moe.icl(X, y) == pytest.approx(moe.bic(X, y))  # nothing is uncertain


@pytest.mark.parametrize("n_experts", [2, 4])
@pytest.mark.parametrize("fraction", [0.01, 0.08])
def test_mixtures_of_rare_values_are_fitted_without_false_alarms(n_experts, fraction):
    X = np.random.default_rng(1).normal(size=(300, 2))
    y = (X[:, 0] > np.quantile(X[:, 0], 1 - fraction)).astype(float)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe = MixtureOfExpertsRegressor(n_experts, n_init=2, random_state=0).fit(X, y)
    assert not any("EM stopped" in str(warning.message) for warning in caught)
    assert moe.n_iter_ > 1
    assert moe.score(X, y) > 0.05
    # Where penalties are found, noise variances of few rows count the uncertainty of their slopes.
    assert (moe.noise_variance_ <= y.var() * 1.5).all()
    given = fit_quietly(clone(moe).set_params(alpha=0.1), X, y)
    assert (given.noise_variance_ <= y.var() * 1.1).all()


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
@pytest.mark.parametrize("alpha", [0.1, 3.0])
def test_one_expert_is_logistic_regression(load, alpha):
    X, y = load(return_X_y=True)
    moe = MixtureOfExpertsClassifier(1, alpha=alpha, tol=1e-12).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    logistic = LogisticRegression(C=1 / alpha, solver="newton-cg", tol=1e-12).fit(Z, y)
    assert_allclose(moe.predict_proba(X), logistic.predict_proba(Z), atol=1e-6)
    coef = logistic.coef_[0] if len(moe.classes_) == 2 else logistic.coef_
    assert moe.expert_coef_.shape == (1, *coef.shape)
    assert_allclose(moe.expert_coef_[0] * X.std(axis=0), coef, atol=1e-5)


def test_a_constant_gate_is_a_mixture_of_regressions():
    """Plain EM for a mixture of two regressions, written out, ends where the estimator does."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=200)
    first = rng.uniform(size=200) < 0.35
    y = np.where(first, 1 + 2 * x, -1 - x) + rng.normal(size=200) * np.where(first, 0.2, 0.4)
    A = np.column_stack([x, np.ones(200)])
    start = np.where(first, 0.9, 0.1)
    resp = np.stack([start, 1 - start])
    for _ in range(300):
        shares = resp.mean(axis=1)
        coef = [np.linalg.solve((A.T * r) @ A, (A.T * r) @ y) for r in resp]
        residual = np.stack([y - A @ b for b in coef])
        variance = (resp * residual**2).sum(axis=1) / resp.sum(axis=1)
        joint = np.log(shares / np.sqrt(2 * np.pi * variance))[:, None]
        joint = joint - 0.5 * residual**2 / variance[:, None]
        resp = np.exp(joint - logsumexp(joint, axis=0))
    options = {"alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-12, "max_iter": 500}
    moe = MixtureOfExpertsRegressor(
        2, gate="constant", init=np.stack([start, 1 - start], 1), **options
    )
    moe.fit(x[:, None], y)
    order = np.argsort(moe.weights_)
    assert_allclose(moe.weights_[order], shares, atol=1e-5)
    assert_allclose(moe.expert_coef_[order, 0], [b[0] for b in coef], atol=1e-5)
    assert_allclose(moe.noise_variance_[order], variance, rtol=1e-4)
    assert moe.score_samples(x[:, None], y).sum() == pytest.approx(logsumexp(joint, axis=0).sum())
    assert_allclose(moe.gate_coef_, 0.0)
    assert_allclose(np.exp(moe.gate_intercept_), moe.weights_)


# --- more columns than a matrix that is formed ----------------------------------------------------


def wide_table(make, n_rows=40, n_columns=1010):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)) * (rng.uniform(size=(n_rows, n_columns)) < 0.5)
    y = X[:, 1] * np.where(X[:, 0] > 0, 2.0, -2.0) + 0.3 * rng.normal(size=n_rows)
    return make(X), X / X.std(axis=0), y


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_one_expert_of_many_columns_is_ridge_or_logistic_regression(make):
    """Steps by conjugate gradients, which are truncated, lead to the same solution."""
    X, Z, y = wide_table(make)
    moe = MixtureOfExpertsRegressor(1, alpha=50.0, dispersion_prior=1.0, tol=1e-13, max_iter=500)
    ridge = Ridge(alpha=50.0).fit(Z, y)
    assert_allclose(fit_quietly(moe, X, y).predict(X), ridge.predict(Z), atol=1e-4)
    moe = MixtureOfExpertsClassifier(1, alpha=50.0, tol=1e-13, max_iter=500)
    logistic = LogisticRegression(C=1 / 50.0, solver="newton-cg", tol=1e-10).fit(Z, y > 0)
    found = fit_quietly(moe, X, y > 0).predict_proba(X)
    assert_allclose(found, logistic.predict_proba(Z), atol=1e-4)
