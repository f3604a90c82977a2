"""Regimes that are there are found, and estimators say about them what they should."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import crossing_lines, flipping_classes, quiet, two_regimes
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks


@pytest.mark.parametrize("seed", range(5))
def test_two_lines_are_found(seed):
    X, y = crossing_lines(n_rows=1000, seed=seed)
    moe = MixtureOfExpertsRegressor(2, random_state=seed).fit(X, y)
    order = np.argsort(moe.expert_coef_[:, 0])
    assert_allclose(moe.expert_coef_[order, 0], [-1, 2], atol=0.1)
    assert_allclose(moe.expert_intercept_[order], [1, 1], atol=0.1)
    assert_allclose(np.sqrt(moe.noise_variance_[order]), [0.3, 0.1], rtol=0.2)
    assert_allclose(moe.weights_, 0.5, atol=0.05)
    assert moe.converged_
    assert (moe.apply(X) == order[(X[:, 0] < 0).astype(int)]).mean() > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_a_soft_gate_is_found(seed):
    X, y = two_regimes(n_rows=4000, seed=seed)
    moe = MixtureOfExpertsRegressor(2, random_state=seed).fit(X, y)
    up = int(np.argmax(moe.expert_coef_[:, 0]))
    slopes = moe.gate_coef_[up] - moe.gate_coef_[1 - up]
    assert_allclose(slopes, [4, 0, 0], atol=0.5)
    assert_allclose(moe.expert_coef_[up], [1, 2, 3], atol=0.05)
    assert_allclose(moe.expert_coef_[1 - up], [-1, -1, -1], atol=0.05)
    assert moe.score(X, y) > LinearRegression().fit(X, y).score(X, y) + 0.1


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_flipped_rules_are_found(n_classes):
    X, y = flipping_classes(n_rows=3000, n_classes=n_classes)
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    logistic = LogisticRegression().fit(X, y)
    assert moe.score(X, y) > logistic.score(X, y) + 0.2
    slopes = (
        moe.expert_coef_ if n_classes == 2 else moe.expert_coef_[:, -1] - moe.expert_coef_[:, 0]
    )
    step = 3.0 * (n_classes - 1)
    assert_allclose(np.sort(slopes[:, 1]), [-step, step], rtol=0.2)


def test_what_a_regressor_says_fits_together():
    X, y = load_diabetes(return_X_y=True)
    X = X[:, [2, 8, 3]]
    # The lower bounds of starts and of the fit are comparable with the same penalties.
    moe = MixtureOfExpertsRegressor(3, alpha=0.1, gate_alpha=1.0, random_state=0).fit(X, y)
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
    assert_allclose(moe.responsibilities(X, y), resp)
    assert_allclose(moe.weights_, gate.mean(axis=0))
    assert_allclose(moe.apply(X), gate.argmax(axis=1))
    entropy = -(resp * np.log(np.maximum(resp, 1e-300))).sum()
    assert moe.icl(X, y) == pytest.approx(moe.bic(X, y) + 2 * entropy)
    n_parameters = 3 * 4 + 3 + 2 * 4
    log_likelihood = moe.score_samples(X, y).sum()
    assert moe.aic(X, y) == pytest.approx(2 * n_parameters - 2 * log_likelihood)
    assert moe.start_lower_bounds_.shape == (4,)
    assert moe.lower_bound_ >= moe.start_lower_bounds_.max()


def test_traces_of_all_starts_are_kept():
    X, y = two_regimes()
    fixed = {"alpha": 0.1, "gate_alpha": 1.0}
    moe = MixtureOfExpertsRegressor(2, n_init=3, random_state=0, **fixed).fit(X, y)
    ends = [trace[-1] for trace in moe.start_traces_]
    assert_allclose(ends, moe.start_lower_bounds_, rtol=0)
    kept = moe.start_traces_[int(np.argmax(ends))]
    assert_allclose(kept, moe.lower_bounds_[: len(kept)], rtol=0)
    for trace in moe.start_traces_:
        assert len(trace) > 1
        assert (np.diff(trace) > -1e-9).all()


def test_what_a_regressor_says_of_several_outputs_fits_together():
    X, y = two_regimes()
    Y = np.column_stack([y, 5.0 - 2.0 * y + X[:, 1]])
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    means = moe.predict_experts(X)
    assert means.shape == (len(y), 2, 2)
    assert moe.expert_coef_.shape == (2, 2, 3)
    assert moe.expert_intercept_.shape == moe.noise_variance_.shape == (2, 2)
    assert_allclose(means, np.einsum("np,kmp->nkm", X, moe.expert_coef_) + moe.expert_intercept_)
    assert_allclose(moe.predict(X), np.einsum("nk,nkm->nm", moe.predict_gate(X), means))
    density = norm.pdf(Y[:, None], means, np.sqrt(moe.noise_variance_)).prod(axis=2)
    expected = np.log((moe.predict_gate(X) * density).sum(axis=1))
    assert_allclose(moe.score_samples(X, Y), expected)
    one = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y[:, None])
    assert one.predict(X).shape == (len(y), 1)
    assert one.predict_experts(X).shape == (len(y), 2, 1)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_what_a_classifier_says_fits_together(n_classes):
    X, codes = flipping_classes(n_classes=n_classes)
    y = np.array(["d", "b", "a", "c"])[codes]
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    gate, experts = moe.predict_gate(X), moe.predict_experts(X)
    assert experts.shape == (len(y), 2, n_classes)
    assert_allclose(experts.sum(axis=2), 1.0)
    probs = np.einsum("nk,nkc->nc", gate, experts)
    assert_allclose(moe.predict_proba(X), probs)
    assert_allclose(moe.predict_log_proba(X), np.log(probs))
    assert (moe.predict(X) == moe.classes_[probs.argmax(axis=1)]).all()
    seen = np.searchsorted(moe.classes_, y)
    of_y = experts[np.arange(len(y)), :, seen]
    assert_allclose(moe.score_samples(X, y), np.log((gate * of_y).sum(axis=1)))
    assert_allclose(
        moe.responsibilities(X, y), gate * of_y / (gate * of_y).sum(axis=1, keepdims=True)
    )
    logits = np.einsum("np,k...p->nk...", X, moe.expert_coef_) + moe.expert_intercept_
    if n_classes == 2:
        assert_allclose(experts[..., 1], 1 / (1 + np.exp(-logits)))
    else:
        odds = np.exp(logits)
        assert_allclose(experts, odds / odds.sum(axis=2, keepdims=True))
    n_parameters = 2 * (n_classes - 1) * 4 + 4
    log_likelihood = moe.score_samples(X, y).sum()
    assert moe.aic(X, y) == pytest.approx(2 * n_parameters - 2 * log_likelihood)


def test_without_a_target_the_prediction_itself_is_scored():
    X, y = two_regimes()
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="not of observations. Pass the observed target"):
        alone = moe.score_samples(X)
    assert_allclose(alone, moe.score_samples(X, moe.predict(X)))
    X, y = flipping_classes()
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="without y"):
        alone = moe.score_samples(X)
    assert_allclose(alone, np.log(moe.predict_proba(X).max(axis=1)))


def test_gate_and_experts_see_only_their_columns():
    X, y = two_regimes(n_features=4)
    moe = MixtureOfExpertsRegressor(
        2, gate_features=[0], expert_features=[False, True, True, True], random_state=0
    ).fit(X, y)
    assert_allclose(moe.gate_coef_[:, 1:], 0.0)
    assert_allclose(moe.expert_coef_[:, 0], 0.0)
    moved = X.copy()
    moved[:, 1:] += 1.0
    assert_allclose(moe.predict_gate(X), moe.predict_gate(moved))
    moved = X.copy()
    moved[:, 0] += 1.0
    assert_allclose(moe.predict_experts(X), moe.predict_experts(moved))
    assert moe.aic(X, y) - 2 * moe.score_samples(X, y).sum() * -1 == pytest.approx(
        2 * (2 * 4 + 2 + 2)
    )


def test_shared_variance_is_one_value():
    X, y = crossing_lines()
    moe = MixtureOfExpertsRegressor(2, dispersion="shared", random_state=0).fit(X, y)
    assert moe.noise_variance_[0] == moe.noise_variance_[1]
    assert np.diff(moe.lower_bounds_).min() > -1e-10


def test_a_given_start_is_used():
    X, y = two_regimes()
    truth = (y > X.sum(axis=1)).astype(float)
    resp = np.column_stack([truth, 1 - truth])
    moe = MixtureOfExpertsRegressor(2, init=resp).fit(X, y)
    assert np.argmax(moe.expert_coef_[:, 0]) == 0  # the expert that the start names first
    assert moe.start_lower_bounds_.shape == (1,)
    weight = np.r_[0.0, np.ones(len(y) - 1)]  # a row without weight has no place in the start
    assert_allclose(
        MixtureOfExpertsRegressor(2, init=resp).fit(X, y, weight).predict(X),
        MixtureOfExpertsRegressor(2, init=resp[1:]).fit(X[1:], y[1:]).predict(X),
    )


def test_warm_start_goes_on_where_the_last_fit_ended():
    X, y = two_regimes()
    moe = MixtureOfExpertsRegressor(2, max_iter=5, random_state=0, warm_start=True, tol=1e-9)
    with pytest.warns(UserWarning, match="did not converge"):
        moe.fit(X, y)
    ended = moe.lower_bound_
    moe.set_params(max_iter=1000).fit(X, y)
    assert moe.lower_bounds_[0] >= ended - 1e-10
    assert moe.converged_
    converged = moe.lower_bound_
    assert moe.fit(X, y).lower_bound_ == pytest.approx(converged, abs=1e-8)
    assert moe.n_iter_ < 30


WARM = {
    "regressor": (MixtureOfExpertsRegressor(2, n_init=1), *two_regimes(), 10, 10),
    "classifier": (MixtureOfExpertsClassifier(2, n_init=1), *flipping_classes(n_classes=3), 10, 10),
    "after the race": (MixtureOfExpertsRegressor(2), *two_regimes(), 47, 20),
    "constant": (MixtureOfExpertsRegressor(2, gate="constant", n_init=2), *two_regimes(), 16, 9),
}


@pytest.mark.parametrize("case", WARM)
@pytest.mark.parametrize("in_blocks", [False, True])
def test_two_fits_are_one_to_the_last_bit(case, in_blocks):
    moe, X, y, one, other = WARM[case]
    data = (X, y)
    if in_blocks:  # the race, on a sample, runs to its end in both
        one, data = max(one, 15), (RowBlocks(lambda: [(X[:350], y[:350]), (X[350:], y[350:])]),)
    moe = clone(moe).set_params(random_state=0, tol=0.0, alpha=0.1, gate_alpha=1.0)
    whole = quiet(clone(moe).set_params(max_iter=one + other), *data)
    halves = quiet(moe.set_params(max_iter=one, warm_start=True), *data)
    bounds = halves.lower_bounds_
    quiet(halves.set_params(max_iter=other), *data)
    assert halves.n_iter_ == other
    assert_array_equal(np.r_[bounds, halves.lower_bounds_], whole.lower_bounds_)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_array_equal(getattr(halves, method)(X), getattr(whole, method)(X))
