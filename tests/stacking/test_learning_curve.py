"""Noise around stacked models: that of models of all rows, by the learning curve of their errors.

Out-of-fold errors are those of models of fewer rows. One more fit, to half of the rows without a
fold, shows how fast errors fall with the number of rows.
"""

import numpy as np
import pytest
from joblib import parallel_backend
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES, StudentT
from skmoe.stacking import GatedStackingClassifier
from support.expert_kinds import draw
from support.fits import fit_quietly
from support.recording_estimators import Log
from support.stacks import stack_of

N = 200
X = np.random.default_rng(0).uniform(-1.0, 1.0, size=(N, 2))
FEATURE = X[:, 0]
ERRORS = np.random.default_rng(1).normal(size=N)
SMALL = 1e-3

# Held-out rows that the prior of an exponent of zero counts.
PRIOR_ROWS = 20.0


class Learner(RegressorMixin, BaseEstimator):
    """Its errors are `size` times `ERRORS`, times a power of the share of rows that it has seen."""

    def __init__(self, exponent=0.5, size=SMALL, error=None, log=()):
        self.exponent = exponent
        self.size = size
        self.error = error
        self.log = log

    def fit(self, X, y, sample_weight=None):
        if self.error is not None and len(X) < N / 2:
            raise self.error("few rows")
        self.share_ = len(y) / N
        if isinstance(self.log, Log):
            self.log.append(("fit", X[:, 0]))
        return self

    def predict(self, X):
        """For the target `FEATURE + size * ERRORS`, and a positive number near it elsewhere."""
        order = np.argsort(FEATURE)
        errors = ERRORS[order[np.searchsorted(FEATURE[order], X[:, 0])]]
        return X[:, 0] + self.size * errors * (1.0 - self.share_**-self.exponent)


class Constant(Learner):
    def predict(self, X):
        return np.full(len(X), 1.0 + self.exponent)


class Shares(ClassifierMixin, Learner):
    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return super().fit(X, y)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


class WithDensity(MixtureOfExpertsRegressor):
    """A mixture, which has a distribution of its own, and a record of its fits."""

    log = Log()

    def fit(self, X, y, sample_weight=None):
        self.log.append(("fit", X[:, 0]))
        return super().fit(X, y, sample_weight=sample_weight)


def stack(*estimators, **options):
    fixed = {"gate": "constant", "random_state": 0, "dispersion_prior": 0.0}
    return stack_of(*estimators, **fixed | options)


def scale_of(*estimators, size=SMALL, given=None, **options):
    """Of the first model, which has nearly all of the weight."""
    models = estimators if len(estimators) > 1 else (*estimators, Ridge(1e9))
    moe = fit_quietly(stack(*models, **options), X, FEATURE + size * ERRORS, **given or {})
    return moe.noise_variance_ if hasattr(moe, "noise_variance_") else moe.dispersion_


@pytest.mark.parametrize(
    ("exponent", "n_folds", "family", "weight"),
    [
        (-1.0, 5, "normal", 1.0),  # errors that grow with the rows leave the noise
        (0.5, 5, "normal", 1.0),
        (0.5, 4, "normal", 3.0),
        (2.0, 5, "normal", 1.0),
        (1.0, 4, "student_t", 3.0),
    ],
)
def test_noise_is_that_of_a_model_of_all_rows(exponent, n_folds, family, weight):
    """Without the fit to half of the rows it is that of models of fewer rows."""
    options = {"cv": n_folds, "family": family, "given": {"sample_weight": np.full(N, weight)}}
    changed, unchanged = (
        scale_of(Learner(exponent, error=error), **options)[0] for error in (None, ValueError)
    )
    held_out = weight * N / n_folds
    fraction = held_out / (held_out + PRIOR_ROWS) * np.clip(exponent, 0.0, 1.0)
    expected = 2.0 * fraction * np.log(1.0 - 1.0 / n_folds)
    assert_allclose(np.log(changed / unchanged), expected, atol=0.02)


def test_shared_noise_has_the_learning_curve_of_both_models():
    changed, unchanged = (
        scale_of(Learner(1.0, 1.0, error), Learner(0.0, 1.0, error), size=1.0, dispersion="shared")
        for error in (None, np.linalg.LinAlgError)
    )
    fewer, more = (1.0 + share**-2.0 for share in (0.4, 0.8))
    exponent = 0.5 * np.log(fewer / more) / np.log(2.0)
    fraction = (N / 5) / (N / 5 + PRIOR_ROWS)
    expected = 2.0 * exponent * fraction * np.log(0.8)
    assert_allclose(np.log(changed / unchanged), expected, rtol=1e-3)


@pytest.mark.parametrize("family", ["normal", StudentT(df=1000.0)])
def test_noise_stays_above_its_floor(family):
    """Out-of-fold errors are above it, and errors of a model of all rows would be below it."""
    floor = 1e-6 * np.var(FEATURE)
    size = 1.1 * 0.8 * np.sqrt(floor / np.mean(np.square(ERRORS)))
    found = scale_of(*[Learner(1.0, size)] * 2, size=size, family=family)
    assert_allclose(found, floor, rtol=0.01)


@pytest.mark.parametrize("grouped", [False, True])
def test_half_of_the_training_rows_of_a_fold_is_fitted(grouped):
    groups, log = {"groups": np.arange(N) % 40} if grouped else {}, Log()
    fit_quietly(stack(Learner(log=log), Ridge()), X, FEATURE + ERRORS, **groups)
    first, *_, half = map(set, log.fits())
    assert len(log) == 7
    assert half < first
    assert abs(len(half) / len(first) - 0.5) < 0.05
    group = {feature: row % 40 for row, feature in enumerate(FEATURE)}
    rest = {group[feature] for feature in set(FEATURE) - half}
    assert not (grouped and {group[feature] for feature in half} & rest)


@pytest.mark.parametrize(
    ("model", "n_rows", "options", "n_fits"),
    [
        (Learner, N, {"cv": 2}, 3),
        (Learner, N, {"cv": 3}, 5),
        (Learner, 120, {}, 6),  # of less than fifty rows in a half
        (Learner, 125, {}, 7),
        (WithDensity, N, {}, 6),
        (Shares, N, {"kind": GatedStackingClassifier}, 6),
        *((Constant, N, {"family": f}, 6 + FAMILIES[f].has_scale) for f in ("poisson", "gamma")),
    ],
)
def test_one_more_fit_is_made_where_a_scale_can_change(model, n_rows, options, n_fits):
    log, y = Log(), FEATURE[:n_rows] + ERRORS[:n_rows]
    if "family" in options:
        rng = np.random.default_rng(0)
        y = draw(options["family"], np.full(n_rows, 0.5), rng, (0.5, 5.0))
    WithDensity.log = log
    model = WithDensity(1) if model is WithDensity else model(log=log)
    other, y = (Shares(), y > 0.0) if "kind" in options else (Constant(1.0), y)
    moe = stack_of(model, other, gate="constant", random_state=0, **options)
    fit_quietly(moe, X[:n_rows], y)
    assert len(log) == n_fits


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_other_errors_of_the_half_name_the_model(error, n_jobs):
    moe = stack(Ridge(), Learner(error=error), n_jobs=n_jobs)
    with parallel_backend("threading"), pytest.raises(error, match="few rows") as caught:
        moe.fit(X, FEATURE + ERRORS)
    if error is not KeyboardInterrupt:
        (note,) = caught.value.__notes__
        assert note.startswith("This was expert 1, Learner(")
        assert note.endswith("without fold 0.")
