"""Stacks of many rows: fits without one third, whose densities train the gate, and of all rows."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skmoe import MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly, loads
from support.stacks import stack_of
from support.tables import crossing_lines

# Stacks of more rows hold out one third, in place of five folds; bases of more have two folds.
FEW, FEW_FOR_BASE = 5_000, 20_000
X, Y = crossing_lines(FEW + 5)
CLASSES = np.where(np.median(Y) < Y, "high", "low")
WEIGHT = np.resize([1.0, 2.0, 3.0, 1.0, 5.0], len(Y))
FITS = []


class Recording:
    """Keeps the first feature of the rows of each fit."""

    def fit(self, X, y, sample_weight=None):
        FITS.append(np.sort(X[:, 0]))
        return super().fit(X, y, sample_weight=sample_weight)


class RecordingRidge(Recording, Ridge):
    pass


class RecordingBayes(Recording, GaussianNB):
    pass


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def stack(*estimators, **options):
    return stack_of(*estimators, **{"gate": "constant", "random_state": 0, "max_iter": 5} | options)


@cache
def fitted():
    """A stack of two regressions, and the first feature of the rows of the fits of the first."""
    moe = fit_quietly(stack(RecordingRidge(), LinearRegression(), dispersion_prior=0.0), X, Y)
    return moe, tuple(FITS)


def test_each_model_is_fitted_to_two_thirds_and_to_all_rows():
    two_thirds, whole, one_third = fitted()[1]
    assert abs(len(two_thirds) - 2 * len(X) / 3) <= 2
    assert set(one_third) < set(two_thirds)  # of the learning curve
    assert abs(len(one_third) - len(X) / 3) <= 2
    assert_array_equal(whole, np.sort(X[:, 0]))


def test_the_bound_is_that_of_the_rows_that_were_held_out():
    moe, (two_thirds, *_) = fitted()
    seen = np.isin(X[:, 0], two_thirds)
    models = [clone(model).fit(X[seen], Y[seen]) for _, model in moe.estimators]
    residuals = [Y[~seen] - model.predict(X[~seen]) for model in models]
    logs = [
        norm.logpdf(residual, scale=np.sqrt(variance))
        for variance, residual in zip(moe.noise_variance_, residuals, strict=True)
    ]
    expected = logsumexp(np.log(moe.weights_)[:, None] + logs, axis=0).mean()
    # Noise is that of models of all rows: errors of regressions hardly depend on their number.
    assert_allclose(moe.lower_bound_, expected, atol=1e-3)


@pytest.mark.parametrize("labels", ["groups", "units"])
def test_groups_are_not_divided_and_rows_held_out_stand_for_all(labels):
    group = np.arange(len(Y)) // 5
    moe = stack(RecordingRidge(), LinearRegression())
    fit_quietly(moe, X, Y, sample_weight=WEIGHT, **{labels: group})
    seen = np.isin(X[:, 0], FITS[0])
    assert_array_equal(np.bincount(group, weights=seen) % 5, 0.0)
    assert_allclose(loads(moe).sum(), WEIGHT.sum())


@pytest.mark.parametrize(("n_groups", "n_fits"), [(2, 2), (3, 3), (4, 3)])
def test_few_groups_are_not_divided(n_groups, n_fits):
    group = np.arange(len(Y)) % n_groups
    fit_quietly(stack(RecordingRidge(), LinearRegression()), X, Y, groups=group)
    seen = np.isin(X[:, 0], FITS[0])
    assert not set(group[seen]) & set(group[~seen])
    assert len(FITS) == n_fits  # two groups leave none for half of the others


def test_classifiers_are_fitted_to_two_thirds_and_to_all_rows():
    estimators = RecordingBayes(), LogisticRegression()
    moe = fit_quietly(stack(*estimators, kind=GatedStackingClassifier), X, CLASSES)
    assert [len(rows) for rows in FITS] == [pytest.approx(2 * len(X) / 3, abs=2), len(X)]
    assert_allclose(loads(moe).sum(), len(X))


def test_folds_can_be_given_and_few_rows_have_more():
    fit_quietly(stack(RecordingRidge(), LinearRegression(), cv=2), X, Y)
    first, second, whole = FITS
    assert_array_equal(np.sort(np.concatenate([first, second])), whole)
    FITS.clear()
    fit_quietly(stack(RecordingRidge(), LinearRegression()), X[:FEW], Y[:FEW])
    assert len(FITS) == 5 + 1 + 1  # each fold, all rows, and half of those without a fold


@pytest.mark.parametrize(("n_rows", "n_folds"), [(FEW_FOR_BASE, 5), (FEW_FOR_BASE + 5, 2)])
def test_a_base_has_five_folds_unless_rows_are_very_many(n_rows, n_folds):
    moe = MixtureOfExpertsRegressor(1, base=RecordingRidge(), n_init=1)
    fit_quietly(moe, *crossing_lines(n_rows))
    assert len(FITS) == n_folds + 1  # each fold, and all rows


def test_weight_two_equals_two_rows():
    """The number of distinct rows decides, whatever their weights."""
    rows = np.repeat(np.arange(len(Y)), WEIGHT.astype(int))
    weighted, repeated = (stack(Ridge(), Ridge(100.0)) for _ in range(2))
    fit_quietly(weighted, X, Y, sample_weight=WEIGHT)
    fit_quietly(repeated, X[rows], Y[rows])
    assert_allclose(weighted.predict(X[:50]), repeated.predict(X[:50]), rtol=1e-7)
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-7)


def test_the_penalty_of_the_gate_is_found():
    """A sample of the rows, which searches of penalties use, has no densities."""
    moe = stack(Ridge(), LinearRegression(), gate="softmax", gate_alpha="auto")
    fit_quietly(moe, X, Y)
    assert moe.gate_alpha_ > 0.0
    assert_allclose(loads(moe).sum(), len(Y))
