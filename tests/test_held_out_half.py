"""Whole models of many rows: fits without one half, whose densities train the gate, and to all."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, two_regimes
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import folds

X, Y = two_regimes(n_rows=150)
CLASSES = np.where(np.median(Y) < Y, "high", "low")
FITS = []


class Recording:
    """Keeps the first feature of the rows of each fit."""

    def fit(self, X, y, sample_weight=None):
        FITS.append(np.sort(X[:, 0]))
        return super().fit(X, y, sample_weight=sample_weight)


class RecordingRidge(Recording, Ridge):
    pass


class RecordingLogistic(Recording, LogisticRegression):
    pass


@pytest.fixture(autouse=True)
def many_rows(monkeypatch):
    """All rows of this file are many."""
    monkeypatch.setattr(folds, "MAX_ROWS_WITH_MORE_FOLDS", 100)
    FITS.clear()


def stack(*members, kind=MixtureOfExpertsRegressor, **options):
    return kind(expert=list(members), specialize=False, random_state=0, **options)


@pytest.mark.parametrize(
    ("members", "kind", "y"),
    [
        ((RecordingRidge(), LinearRegression()), MixtureOfExpertsRegressor, Y),
        ((RecordingLogistic(), ExtraTreesClassifier()), MixtureOfExpertsClassifier, CLASSES),
    ],
    ids=["regressor", "classifier"],
)
def test_each_model_is_fitted_to_one_half_and_to_all(members, kind, y):
    stack(*members, kind=kind).fit(X, y)
    half, whole = FITS
    assert abs(len(half) - len(X) / 2) <= 1
    assert_array_equal(whole, np.sort(X[:, 0]))
    FITS.clear()
    stack(*members, kind=kind, cross_fit=2).fit(X, y)
    first, second, _ = FITS
    assert_array_equal(np.sort(np.concatenate([first, second])), whole)


def test_the_bound_is_that_of_the_half_that_was_held_out():
    moe = stack(RecordingRidge(), LinearRegression(), gate="constant", dispersion_prior=0.0)
    moe.fit(X, Y)
    seen = np.isin(X[:, 0], FITS[0])
    models = [clone(model).fit(X[seen], Y[seen]) for model in moe.expert]
    residuals = [Y[~seen] - model.predict(X[~seen]) for model in models]
    logs = [
        norm(0.0, np.sqrt(variance)).logpdf(residual)
        for variance, residual in zip(moe.noise_variance_, residuals, strict=True)
    ]
    expected = logsumexp(np.log(moe.weights_)[:, None] + logs, axis=0).mean()
    assert_allclose(moe.lower_bound_, expected, rtol=1e-8)


@pytest.mark.parametrize("by", [None, "units"])
def test_rows_that_are_held_out_stand_for_all(by):
    weight = np.tile([1.0, 2.0, 3.0, 1.0, 5.0], len(Y) // 5)
    labels = {} if by is None else {by: np.arange(len(Y)) // 5}
    moe = stack(Ridge(), DecisionTreeRegressor(max_depth=2), gate="constant")
    moe.fit(X, Y, sample_weight=weight, **labels)
    assert_allclose(moe.load_.sum(), weight.sum())


@pytest.mark.parametrize("kind", ["regressor", "classifier", "poisson"])
def test_a_weight_of_two_is_the_row_twice(kind):
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, size=len(Y))
    twice = np.repeat(np.arange(len(Y)), weight)
    y = {"regressor": Y, "classifier": CLASSES, "poisson": np.round(np.abs(Y))}[kind]
    if kind == "classifier":
        moe = stack(
            LogisticRegression(), LogisticRegression(C=0.01), kind=MixtureOfExpertsClassifier
        )
        predict = "predict_proba"
    elif kind == "poisson":
        moe = stack(PoissonRegressor(), PoissonRegressor(alpha=9.0), family="poisson")
        predict = "predict"
    else:
        moe, predict = stack(Ridge(), DecisionTreeRegressor(max_depth=3, random_state=0)), "predict"
    weighted, repeated = clone(moe), clone(moe)
    quiet(weighted, X, y, sample_weight=weight)
    quiet(repeated, X[twice], y[twice])
    assert_allclose(getattr(weighted, predict)(X), getattr(repeated, predict)(X), rtol=1e-9)
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("n_rows", [100, 101])
def test_only_many_rows_are_held_out_once(n_rows):
    stack(RecordingRidge(), LinearRegression()).fit(X[:n_rows], Y[:n_rows])
    assert len(FITS) == (6 if n_rows == 100 else 2)


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_the_penalty_of_a_gate_over_models_of_many_rows_is_found(kind, monkeypatch):
    """A sample of the rows has no densities."""
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 40)
    if kind == "regressor":
        moe, y = stack(Ridge(), DecisionTreeRegressor(max_depth=3), gate_alpha="auto"), Y
    else:
        members = LogisticRegression(), ExtraTreesClassifier(max_depth=3)
        moe = stack(*members, kind=MixtureOfExpertsClassifier, gate_alpha="auto")
        y = CLASSES
    quiet(moe, X, y)
    assert moe.gate_alpha_ > 0.0
    assert_allclose(moe.load_.sum(), len(y))
