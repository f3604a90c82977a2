"""Regimes that are there are found, and all that a mixture says of them fits together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import FIXED, FIXED_OF_CLASSES, fit_quietly
from support.tables import crossing_lines, flipping_classes, two_regimes

# --- regimes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_two_lines_are_found(seed):
    X, y = crossing_lines(n_rows=400, seed=seed)
    moe = MixtureOfExpertsRegressor(2, random_state=seed).fit(X, y)
    order = np.argsort(moe.expert_coef_[:, 0])
    assert_allclose(moe.expert_coef_[order, 0], [-1, 2], atol=0.1)
    assert_allclose(moe.expert_intercept_[order], [1, 1], atol=0.1)
    assert_allclose(np.sqrt(moe.noise_variance_[order]), [0.3, 0.1], rtol=0.2)
    assert_allclose(moe.weights_, 0.5, atol=0.07)
    assert moe.converged_
    assert (moe.apply(X) == order[(X[:, 0] < 0).astype(int)]).mean() > 0.97


def test_a_soft_gate_is_found():
    X, y = two_regimes(n_rows=2000)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    up = int(np.argmax(moe.expert_coef_[:, 0]))
    assert_allclose(moe.gate_coef_[up] - moe.gate_coef_[1 - up], [4, 0, 0], atol=0.5)
    assert_allclose(moe.expert_coef_[up], [1, 2, 3], atol=0.06)
    assert_allclose(moe.expert_coef_[1 - up], [-1, -1, -1], atol=0.06)
    assert moe.score(X, y) > LinearRegression().fit(X, y).score(X, y) + 0.1


@pytest.mark.parametrize("n_classes", [2, 4])
def test_flipped_rules_are_found(n_classes):
    X, y = flipping_classes(n_rows=1200, n_classes=n_classes)
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    assert moe.score(X, y) > LogisticRegression().fit(X, y).score(X, y) + 0.2
    slopes = moe.expert_coef_
    slopes = slopes if n_classes == 2 else slopes[:, -1] - slopes[:, 0]
    step = 3.0 * (n_classes - 1)
    assert_allclose(np.sort(slopes[:, 1]), [-step, step], rtol=0.25)


# --- what is said of them -----------------------------------------------------------------------


def test_all_that_a_regressor_says_fits_together():
    X, y = load_diabetes(return_X_y=True)
    X = X[:, [2, 8, 3]]
    moe = MixtureOfExpertsRegressor(3, n_init=2, random_state=0, **FIXED)
    fit_quietly(moe, X, y)
    gate, means = moe.predict_gate(X), moe.predict_experts(X)
    assert gate.shape == means.shape == (len(y), 3)
    assert_allclose(gate.sum(axis=1), 1.0)
    assert_allclose(means, X @ moe.expert_coef_.T + moe.expert_intercept_)
    assert_allclose(moe.predict(X), (gate * means).sum(axis=1))
    logits = X @ moe.gate_coef_.T + moe.gate_intercept_
    assert_allclose(gate, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    densities = gate * norm.pdf(y[:, None], means, np.sqrt(moe.noise_variance_))
    assert_allclose(moe.score_samples(X, y), np.log(densities.sum(axis=1)))
    resp = densities / densities.sum(axis=1, keepdims=True)
    assert_allclose(moe.responsibilities(X, y), resp, atol=1e-12)
    assert_allclose(moe.weights_, gate.mean(axis=0))
    assert_allclose(moe.apply(X), gate.argmax(axis=1))
    entropy = -(resp * np.log(np.maximum(resp, 1e-300))).sum()
    assert_allclose(moe.icl(X, y), moe.bic(X, y) + 2 * entropy)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    interval = moe.predict_interval(X, 0.9)
    assert_allclose(interval, moe.predict_quantile(X, [0.05, 0.95]))
    assert_allclose(dist.cdf(interval), np.tile([0.05, 0.95], (len(y), 1)), atol=1e-8)
    assert ((interval[:, 0] < y) & (y < interval[:, 1])).mean() == pytest.approx(0.9, abs=0.05)
    draws = moe.sample(X, n_samples=50, random_state=0)
    assert_allclose(draws.mean(), dist.mean.mean(), atol=0.06 * y.std())
    log_likelihood = moe.score_samples(X, y).sum()
    assert_allclose(moe.aic(X, y), 2 * (3 * 4 + 3 + 2 * 4) - 2 * log_likelihood)
    assert_allclose(moe.bic(X, y), 23 * np.log(len(y)) - 2 * log_likelihood)


def test_outputs_share_the_regime_of_a_row():
    """In densities and in draws: outputs are not independent."""
    X, y = two_regimes(150)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **FIXED)
    draws = moe.fit(X, np.column_stack([y, -y])).sample(X[:1], n_samples=1000, random_state=0)[0]
    joint = moe.score_samples(np.repeat(X[:1], 1000, axis=0), draws)
    marginal = moe.predict_dist(X[:1]).logpdf(draws[None]).sum(axis=-1)[0]
    assert joint.mean() > marginal.mean()
    column = moe.fit(X, y[:, None])
    assert column.predict(X).shape == (150, 1)
    assert column.predict_experts(X).shape == (150, 2, 1)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_all_that_a_classifier_says_fits_together(n_classes):
    X, codes = flipping_classes(200, n_classes)
    y = np.array(["d", "b", "a", "c"])[codes]
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0, **FIXED_OF_CLASSES).fit(X, y)
    gate, experts = moe.predict_gate(X), moe.predict_experts(X)
    assert experts.shape == (len(y), 2, n_classes)
    assert_allclose(experts.sum(axis=2), 1.0)
    probs = np.einsum("nk,nkc->nc", gate, experts)
    assert_allclose(moe.predict_proba(X), probs)
    assert_allclose(moe.predict_log_proba(X), np.log(probs))
    assert (moe.predict(X) == moe.classes_[probs.argmax(axis=1)]).all()
    of_y = experts[np.arange(len(y)), :, np.searchsorted(moe.classes_, y)]
    total = (gate * of_y).sum(axis=1)
    assert_allclose(moe.score_samples(X, y), np.log(total))
    assert_allclose(moe.responsibilities(X, y), gate * of_y / total[:, None])
    logits = np.einsum("np,k...p->nk...", X, moe.expert_coef_) + moe.expert_intercept_
    if n_classes == 2:
        assert_allclose(experts[..., 1], 1 / (1 + np.exp(-logits)))
    else:
        odds = np.exp(logits)
        assert_allclose(experts, odds / odds.sum(axis=2, keepdims=True))
    n_parameters = 2 * (n_classes - 1) * 4 + 4
    assert_allclose(moe.aic(X, y), 2 * n_parameters - 2 * np.log(total).sum())


def test_without_a_target_the_prediction_itself_is_scored():
    X, y = two_regimes(100)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **FIXED).fit(X, y)
    with pytest.warns(UserWarning, match="Pass the observed target"):
        alone = moe.score_samples(X)
    assert_allclose(alone, moe.score_samples(X, moe.predict(X)))
    X, y = flipping_classes(100)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0, **FIXED_OF_CLASSES).fit(X, y)
    with pytest.warns(UserWarning, match="without y"):
        alone = moe.score_samples(X)
    assert_allclose(alone, np.log(moe.predict_proba(X).max(axis=1)))
