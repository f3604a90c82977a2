"""Noise around stacked models: that of models of all rows, by the learning curve of their errors.

Out-of-fold errors are those of models of fewer rows. One more fit, to half of the rows without a
fold, shows how fast errors fall with the number of rows.
"""

import numpy as np
import pytest
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES, StudentT
from skmoe.stacking import GatedStackingClassifier
from support.expert_kinds import draw, example
from support.fits import fit_quietly
from support.stacks import stack_of

N = 200
X = np.random.default_rng(0).uniform(-1.0, 1.0, size=(N, 2))
FEATURE = X[:, 0]
ERRORS = np.random.default_rng(1).normal(size=N)
Y = FEATURE + ERRORS
FITS = []

# Held-out rows that the prior of an exponent of zero counts.
PRIOR_ROWS = 20.0
MEAN_FAMILIES = [
    name for name, family in FAMILIES.items() if family.link and example(name).takes_mean
]


class Learner(RegressorMixin, BaseEstimator):
    """Its errors are `size` times `ERRORS`, times a power of the share of rows that it has seen."""

    def __init__(self, exponent=0.5, size=1.0, error=None):
        self.exponent = exponent
        self.size = size
        self.error = error

    def fit(self, X, y, sample_weight=None):
        if self.error is not None and len(X) < N / 2:
            raise self.error("few rows")
        self.share_ = len(y) / N
        FITS.append(np.sort(X[:, 0]))
        return self

    def predict(self, X):
        """For the target `FEATURE + size * ERRORS`."""
        order = np.argsort(FEATURE)
        errors = ERRORS[order[np.searchsorted(FEATURE[order], X[:, 0])]]
        return X[:, 0] + self.size * errors * (1.0 - self.share_**-self.exponent)


class Constant(RegressorMixin, BaseEstimator):
    """A constant above zero, and a record of its fits."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        self.mean_ = self.factor * max(np.average(y, weights=sample_weight), 0.1)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Shares(ClassifierMixin, BaseEstimator):
    """Shares of the classes, and a record of its fits."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.shares_ = counts / len(y)
        FITS.append(len(y))
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class WithDensity(MixtureOfExpertsRegressor):
    """A mixture, which has a distribution of its own, and a record of its fits."""

    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        return super().fit(X, y, sample_weight=sample_weight)


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def stack(*estimators, **options):
    return stack_of(*estimators, **{"gate": "constant", "random_state": 0} | options)


def scale_of(moe, family="normal"):
    return moe.noise_variance_ if family == "normal" else moe.dispersion_


# --- the change ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exponent", "n_folds", "family", "weight"),
    [
        (0.0, 5, "normal", 1.0),
        (0.5, 5, "normal", 1.0),
        (0.5, 4, "normal", 3.0),
        (1.0, 5, "normal", 1.0),
        (2.0, 5, "normal", 1.0),
        (0.5, 5, "student_t", 1.0),
        (1.0, 4, "student_t", 3.0),
    ],
)
def test_noise_is_that_of_a_model_of_all_rows(exponent, n_folds, family, weight):
    """One model has nearly all of the weight, so that its scale without a change is known."""
    target = FEATURE + 1e-3 * ERRORS  # errors of the other model are much larger
    options = {"cv": n_folds, "dispersion_prior": 0.0, "family": family}
    given = {"sample_weight": np.full(N, weight)}

    def scale(learner):
        moe = fit_quietly(stack(learner, Ridge(1e9), **options), X, target, **given)
        assert_allclose(moe.weights_[0], 1.0, atol=0.02)
        return scale_of(moe, family)[0]

    changed = scale(Learner(exponent, 1e-3))
    half, whole = FITS[-1], FITS[n_folds]
    assert len(whole) == N
    assert len(half) == (n_folds - 1) // 2 * N // n_folds
    unchanged = scale(Learner(exponent, 1e-3, ValueError))
    held_out = weight * N / n_folds
    fraction = held_out / (held_out + PRIOR_ROWS) * min(exponent, 1.0)
    expected = 2.0 * fraction * np.log(1.0 - 1.0 / n_folds)
    assert_allclose(np.log(changed / unchanged), expected, atol=0.02)


def test_errors_that_grow_with_the_rows_leave_the_noise():
    target = FEATURE + 1e-3 * ERRORS
    growing, unchanged = (
        fit_quietly(stack(Learner(-1.0, 1e-3, error), Ridge(1e9)), X, target)
        for error in (None, ValueError)
    )
    assert_allclose(growing.noise_variance_, unchanged.noise_variance_)


def test_shared_noise_has_the_mean_change():
    options = {"dispersion": "shared", "dispersion_prior": 0.0}
    moe = stack(Learner(1.0), Learner(0.0), **options).fit(X, Y)
    assert_allclose(moe.noise_variance_, moe.noise_variance_[0])
    unchanged = [Learner(exponent, error=ValueError) for exponent in (1.0, 0.0)]
    unchanged = stack(*unchanged, **options).fit(X, Y)
    found = np.log(moe.noise_variance_ / unchanged.noise_variance_)
    fraction = (N / 5) / (N / 5 + PRIOR_ROWS)
    assert_allclose(found, 0.5 * 2.0 * np.log(0.8) * fraction, rtol=1e-6)


@pytest.mark.parametrize("family", ["normal", "student_t"])
def test_noise_stays_above_its_floor(family):
    """Out-of-fold errors are above it, and errors of a model of all rows would be below it."""
    floor = 1e-6 * np.var(FEATURE)
    size = 1.1 * 0.8 * np.sqrt(floor / np.mean(np.square(ERRORS)))

    given = StudentT(df=1000.0) if family == "student_t" else family
    moe = stack(*[Learner(1.0, size)] * 2, dispersion_prior=0.0, family=given)
    fit_quietly(moe, X, FEATURE + size * ERRORS)
    assert_allclose(scale_of(moe, family), floor, rtol=0.01)


def test_each_output_has_its_own_change():
    noise = np.random.default_rng(1).normal(size=(N, 2)) * [1e-9, 0.5]
    y = X + noise
    trees = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
    moe, swapped = (
        stack(trees, Ridge(1e9), dispersion_prior=0.0).fit(X, target) for target in (y, y[:, ::-1])
    )
    assert_allclose(moe.noise_variance_, swapped.noise_variance_[:, ::-1], rtol=1e-6)


def test_new_rows_of_a_function_without_noise_have_larger_densities():
    """Out-of-fold errors of trees are larger than those of the trees of all rows."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1.0, 1.0, size=(3000, 3))
    y = np.sin(4.0 * features[:, 0]) + features[:, 1] * features[:, 2]

    class WithoutHalf(ExtraTreesRegressor):
        def fit(self, X, y, sample_weight=None):
            if len(X) < 350:
                raise ValueError("few rows")
            return super().fit(X, y, sample_weight)

    given, new = (features[:500], y[:500]), (features[500:], y[500:])
    moe, unchanged = (
        fit_quietly(stack(trees(20, random_state=0), Ridge()), *given)
        for trees in (ExtraTreesRegressor, WithoutHalf)
    )
    assert_allclose(moe.weights_, unchanged.weights_)
    assert_allclose(moe.predict(new[0]), unchanged.predict(new[0]))
    assert moe.score_samples(*new).mean() > unchanged.score_samples(*new).mean()


@pytest.mark.parametrize("family", ["normal", "gamma"])
def test_weight_two_equals_two_rows(family):
    weight = np.random.default_rng(1).integers(1, 4, size=N)
    rows = np.repeat(np.arange(N), weight)
    y = np.exp(Y) if family == "gamma" else Y
    trees = DecisionTreeRegressor(min_samples_leaf=1, max_depth=6, random_state=0)
    weighted, repeated = (stack(trees, Constant(), family=family) for _ in range(2))
    fit_quietly(weighted, X, y, sample_weight=weight)
    fit_quietly(repeated, X[rows], y[rows])
    assert_allclose(weighted.score_samples(X, y), repeated.score_samples(X, y), rtol=1e-6)


# --- the fits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grouped", [False, True])
def test_half_of_the_training_rows_of_a_fold_is_fitted(grouped):
    groups = {"groups": np.arange(N) % 40} if grouped else {}
    fit_quietly(stack(Learner(), Ridge()), X, Y, **groups)
    first, half = FITS[0], FITS[-1]
    assert len(FITS) == 7
    assert set(half) < set(first)
    assert abs(len(half) / len(first) - 0.5) < 0.05
    if grouped:
        group = {feature: row % 40 for row, feature in enumerate(FEATURE)}
        rest = set(FEATURE) - set(half)
        assert not {group[feature] for feature in half} & {group[feature] for feature in rest}


@pytest.mark.parametrize("family", MEAN_FAMILIES)
def test_one_more_fit_is_made_for_families_with_a_scale_only(family):
    y = draw(family, np.full(N, 0.5), np.random.default_rng(0), (0.5, 5.0))
    fit_quietly(stack(Constant(), Constant(2.0), family=family), X, y)
    assert len(FITS) == 2 * (7 if FAMILIES[family].has_scale else 6)


@pytest.mark.parametrize(
    ("estimators", "options", "n_fits"),
    [
        ([Learner(), Ridge()], {"cv": 2}, 3),
        ([Learner(), Ridge()], {"cv": 3}, 5),
        ([WithDensity(1), Ridge()], {}, 6),
        ([Shares(), Shares()], {"kind": GatedStackingClassifier}, 12),
    ],
    ids=["two folds", "three folds", "density", "classifiers"],
)
def test_models_that_need_no_change_are_not_fitted_to_a_half(estimators, options, n_fits):
    fit_quietly(stack(*estimators, **options), X, Y > 0.0 if "kind" in options else Y)
    assert len(FITS) == n_fits


@pytest.mark.parametrize(("n_rows", "n_fits"), [(120, 6), (125, 7)])
def test_a_half_of_less_than_fifty_rows_is_not_fitted(n_rows, n_fits):
    fit_quietly(stack(Learner(), Ridge()), X[:n_rows], Y[:n_rows])
    assert len(FITS) == n_fits  # half of four folds of 25 rows is fitted


@pytest.mark.parametrize("error", [ValueError, np.linalg.LinAlgError])
def test_errors_of_too_few_rows_are_passed_over(error):
    moe = fit_quietly(stack(Learner(error=error), Learner(error=error)), X, Y)
    assert_array_equal([len(models) for models in moe.experts_], [1, 1])


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_other_errors_of_the_half_name_the_model(error, n_jobs):
    moe = stack(Ridge(), Learner(error=error), n_jobs=n_jobs)
    with parallel_backend("threading"), pytest.raises(error, match="few rows") as caught:
        moe.fit(X, Y)
    (note,) = caught.value.__notes__
    assert note.startswith("This was expert 1, Learner(")
    assert note.endswith("without fold 0.")


def test_an_interrupt_of_the_half_ends_the_fit():
    with pytest.raises(KeyboardInterrupt):
        stack(Ridge(), Learner(error=KeyboardInterrupt)).fit(X, Y)
