"""A model to build on: what the mixture learns of what it leaves, and what it lacks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logit
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes

FIXED = {"alpha": 1.0, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def waves(n_rows=100, seed=0):
    """A smooth curve whose noise is twenty times larger on one side."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-3, 3, size=(n_rows, 2))
    noise = np.where(X[:, 1] > 0, 1.0, 0.05)
    return X, np.sin(2 * X[:, 0]) + noise * rng.normal(size=n_rows)


def regressor(base, n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, base=base, **FIXED | options)


def classifier(base, n_experts=2, **options):
    return MixtureOfExpertsClassifier(n_experts, base=base, **FIXED | options)


@pytest.mark.parametrize(
    "options", [{}, {"expert": "tree"}, {"n_experts": "bic"}, {"gate": SoftmaxGate(top_k=1)}]
)
def test_distribution_and_pickle_with_a_base(options):
    X, y = waves(60)
    moe = fit_quietly(regressor(Ridge(), max_iter=3).set_params(**options), X, y)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X))
    assert_allclose(dist.logpdf(y), moe.score_samples(X, y))
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X), moe.predict(X))


def test_mixture_is_fitted_to_what_the_base_leaves_out_of_fold():
    """A base that knows the rows of its fit by heart leaves nothing of them in sample."""
    (X, y), (X_new, y_new) = waves(600), waves(600, seed=1)
    base = DecisionTreeRegressor(random_state=0)
    moe = regressor(base, 1).fit(X, y)
    folds = KFold(5, shuffle=True, random_state=1)
    left = np.mean((y - cross_val_predict(base, X, y, cv=folds)) ** 2)
    assert_allclose(moe.noise_variance_[0], left, rtol=0.25)
    assert np.mean((y - moe.base_.predict(X)) ** 2) == 0
    # The base brings the means, and the mixture the noise.
    boosting = HistGradientBoostingRegressor(max_iter=40, random_state=0)
    moe = regressor(boosting).fit(X, y)
    assert moe.score(X_new, y_new) > clone(boosting).fit(X, y).score(X_new, y_new) - 0.03
    std = moe.predict_dist(X_new).std
    assert std[X_new[:, 1] > 1].mean() > 3 * std[X_new[:, 1] < -1].mean()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifier_is_better_than_its_base(n_classes):
    (X, y), names = flipping_classes(n_rows=400, n_classes=n_classes), np.array(["a", "b", "c"])
    X_new, y_new = flipping_classes(n_rows=600, n_classes=n_classes, seed=1)
    base = RandomForestClassifier(10, min_samples_leaf=5, random_state=0)
    moe = classifier(base).fit(X, names[y])
    loss = log_loss(names[y_new], moe.predict_proba(X_new))
    assert loss < log_loss(names[y_new], moe.base_.predict_proba(X_new))
    assert moe.expert_coef_.shape[-1] == 3
    assert list(moe.gate_feature_names_)[3:] == [f"base_{c}" for c in moe.classes_]
    assert "expert 1" in str(moe.summary(X, names[y]))


def test_slopes_beside_a_constant_base_are_those_of_the_log_odds():
    X, y = flipping_classes(150)
    moe = classifier(DummyClassifier()).fit(X, y)
    log_odds = logit(moe.predict_experts(X)[..., 1])
    slopes = np.linalg.lstsq(np.c_[X, np.ones(len(X))], log_odds, rcond=None)[0][:-1].T
    assert_allclose(moe.expert_coef_, slopes, rtol=1e-6, atol=1e-7)


def test_frames_sparse_rows_and_outputs_with_a_base():
    X, y = waves()
    frame, moe = pd.DataFrame(X, columns=["a", "b"]), regressor(Ridge())
    assert list(clone(moe).fit(frame, y).gate_feature_names_) == ["a", "b", "base"]
    rows = sparse.csr_array(X)
    one, other = (clone(moe).set_params(tol=1e-9).fit(given, y) for given in (X, rows))
    assert_allclose(one.predict(X), other.predict(rows), atol=1e-3)
    both = fit_quietly(clone(moe), X, np.column_stack([y, -y])).predict(X)
    assert_allclose(both[:, 1], -both[:, 0], atol=1e-6)
    frame["kind"] = pd.Categorical(np.where(X[:, 0] > 0, "up", "down"))
    boosting = HistGradientBoostingRegressor(
        categorical_features="from_dtype", max_iter=5, random_state=0
    )
    trees = regressor(boosting, expert=boosting, max_iter=2, cross_fit=2)
    fit_quietly(trees, frame, y, groups=np.arange(len(y)) // 2)
    assert list(trees.gate_feature_names_)[-1] == "base"
    assert trees.score(frame, y) > 0.1


@pytest.mark.parametrize("make", [regressor, classifier])
def test_inference_with_a_base_is_refused_and_a_summary_goes_without(make):
    X, y = waves() if make is regressor else flipping_classes(100)
    moe = make(Ridge() if make is regressor else LogisticRegression()).fit(X, y)
    assert_refused(refusal(moe.inference, X, y), "inference needs a mixture without a base")
    summary, name = moe.summary(X, y), moe.gate_feature_names_[-1]
    estimate = summary.to_frame().loc[("gate", "expert 1", name), "estimate"]
    assert_allclose(estimate, moe.gate_coef_[1, -1] - moe.gate_coef_[0, -1])
    assert "log-likelihood" in str(summary)


def test_a_base_is_asked_once():
    (X, y), log = waves(), Log()
    numbered = np.column_stack([np.arange(100), X])
    moe = fit_quietly(regressor(RecordingRegressor(log), max_iter=2), numbered, y)
    for method in ("predict", "predict_experts", "predict_gate", "predict_dist"):
        log.clear()
        getattr(moe, method)(numbered)
        assert len(log.questions()) == 1
    log.clear()
    moe.responsibilities(numbered, y)
    assert len(log.questions()) == 1


def test_units_of_sparse_features_have_a_base_and_dispersions_by_features():
    """Of few columns most are centred, which makes them dense; with the base they are not most."""
    X, y = waves()
    X = np.column_stack([X, X[::-1, 0]])
    X, units = np.where(np.abs(X) > 1.0, X, 0.0), np.arange(len(y)) // 2
    moe = regressor(DecisionTreeRegressor(max_depth=3), gate="constant", dispersion_features=[0, 1])
    one, other = (
        fit_quietly(clone(moe), rows, y, units=units) for rows in (X, sparse.csr_array(X))
    )
    assert_allclose(one.lower_bound_, other.lower_bound_, atol=1e-6)
