"""Where a mixture is a simpler model, it is that model of scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


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
