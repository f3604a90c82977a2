"""Noise around whole models: that of models of all rows, by the learning curve of their errors."""

import numpy as np
import pytest
from kinds import draw
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data import folds
from skmoe._data.folds import (
    RowsToSplit,
    assign_folds_of_models,
    cross_fit_splits,
    is_held_out,
    learning_curve_splits,
)
from skmoe._data.rows import RawFeatures
from skmoe.experts import _whole_models
from skmoe.experts._learning_curve import PRIOR_HELD_OUT_ROWS, error_exponent
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._whole_models import WholeModels
from skmoe.families import FAMILIES, StudentT

RNG = np.random.default_rng(0)
N = 200
X = RNG.uniform(-1.0, 1.0, size=(N, 2))
ERRORS = RNG.normal(size=N)
Y = X[:, 0] + ERRORS
FITS = []

# Families of the distribution around a mean that estimators predict.
MEAN_FAMILIES = [name for name, family in FAMILIES.items() if family.link and name != "ordinal"]


class Learner(RegressorMixin, BaseEstimator):
    """Its errors are those of `ERRORS`, times a power of the weight of its training rows."""

    def __init__(self, exponent=0.5):
        self.exponent = exponent

    def fit(self, X, y, sample_weight=None):
        self.n_rows_ = len(y) if sample_weight is None else np.sum(sample_weight)
        FITS.append(np.sort(X[:, 0]))
        return self

    def predict(self, X):
        order = np.argsort(FEATURE)
        errors = ERRORS[order[np.searchsorted(FEATURE[order], X[:, 0])]]
        return X[:, 0] + errors * (1.0 - (self.n_rows_ / N) ** -self.exponent)


class LearnerOfClasses(ClassifierMixin, BaseEstimator):
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


class LearnerWithDensity(MixtureOfExpertsRegressor):
    """A mixture, which has a distribution of its own, and a record of its fits."""

    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        return super().fit(X, y, sample_weight=sample_weight)


FEATURE = X[:, 0]


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def stack(*members, kind=MixtureOfExpertsRegressor, **options):
    defaults = {"gate": "constant", "random_state": 0}
    return kind(expert=list(members), specialize=False, **defaults | options)


# --- the exponent -----------------------------------------------------------------------------


@pytest.mark.parametrize("b", [0.0, 0.3, 1.0])
def test_a_power_of_the_number_of_rows_has_its_exponent(b):
    found = error_exponent(np.full(2, b * np.log(3.0)), 3.0, 1000.0)
    assert_allclose(found, np.full(2, b * 1000 / (1000 + PRIOR_HELD_OUT_ROWS)))


def test_errors_that_grow_have_the_exponent_zero_and_the_largest_is_one():
    found = error_exponent(np.log([0.5, 9.0]), 2.0, 500.0)
    assert_allclose(found, [0.0, 500 / (500 + PRIOR_HELD_OUT_ROWS)])


def test_few_held_out_rows_are_little_evidence():
    found = [error_exponent(np.log([1.5]), 2.0, n)[0] for n in (1, 10, 100, 1000)]
    assert np.all(np.diff(found) > 0.0)
    assert found[0] < 0.05


@pytest.mark.parametrize(
    "family", [family for family in MEAN_FAMILIES if FAMILIES[family].has_scale]
)
def test_the_scale_has_the_greatest_likelihood(family):
    """Other scales have a smaller one, and units of y change the scale as they should."""
    rng = np.random.default_rng(0)
    mean, weight = np.full((2, N), 2.0), rng.uniform(0.5, 2.0, size=N)
    y = np.stack([draw(family, np.full(N, 0.7), rng, (value, 5.0)) for value in (0.1, 0.4)])
    model = mean_family(family, y, weight)
    others = model.initial(1)[0]
    found = model.best_log_scale(mean, y, weight, others)

    def likelihood(log_scale):
        theta = others.copy()
        theta[:, 0] = log_scale
        return model.log_prob(mean, theta, y) @ weight

    for change in (-1e-3, 1e-3):
        assert np.all(likelihood(found) > likelihood(found + change))
    twice = np.repeat(np.arange(N), 2)
    repeated = model.best_log_scale(mean[:, twice], y[:, twice], 0.5 * weight[twice], others)
    assert_allclose(repeated, found, atol=1e-6)
    swapped = model.best_log_scale(mean[::-1], y[::-1], weight, others[::-1])
    assert_allclose(swapped, found[::-1], atol=1e-6)


def mean_family(name, y, weight):
    options = {
        "variance_floor": np.full(len(y), 1e-6),
        "noise_variance": np.ones(len(y)),
        "shared_dispersion": False,
        "dispersion_prior": 10.0,
    }
    return MeanFamily(FAMILIES[name]()).fitted_to(y, weight, options)


# --- the rows of the fits ---------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [60, 20_001])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("of_classes", [False, True])
def test_half_of_the_training_rows_of_a_fold(n_rows, grouped, of_classes):
    groups = np.arange(n_rows) % 30 if grouped else None
    codes = np.arange(n_rows) % 3 if of_classes else None
    features = RawFeatures(np.zeros((n_rows, 1)))
    rows = RowsToSplit(n_rows, codes, groups)
    features = assign_folds_of_models(features, rows, "auto", 0)
    train, half, test = learning_curve_splits(features)
    first = next(cross_fit_splits(features))
    assert_array_equal(train, first[0])
    assert_array_equal(test, first[1])
    assert set(half) < set(train)
    assert abs(len(half) / len(train) - 0.5) < 0.05
    if grouped:
        rest = np.setdiff1d(train, half)
        assert not set(groups[half]) & set(groups[test])
        assert not set(groups[half]) & set(groups[rest])
    if n_rows > folds.MAX_ROWS_WITH_MORE_FOLDS:
        assert abs(is_held_out(features).mean() - 0.5) < 0.01
        assert_array_equal(np.flatnonzero(is_held_out(features)), test)


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_many_rows_in_few_groups(n_groups):
    n_rows = folds.MAX_ROWS_WITH_MORE_FOLDS + 1
    groups = np.arange(n_rows) % n_groups
    features = RawFeatures(np.zeros((n_rows, 1)))
    features = assign_folds_of_models(features, RowsToSplit(n_rows, None, groups), "auto", 0)
    ((train, test),) = cross_fit_splits(features)
    assert len(train) + len(test) == n_rows
    assert not set(groups[train]) & set(groups[test])
    splits = learning_curve_splits(features)
    assert (splits is None) == (n_groups == 2)


def test_two_folds_have_no_half():
    assert learning_curve_splits(RawFeatures(X)) is None
    assert learning_curve_splits(RawFeatures(X, fold=np.arange(N) % 2)) is None
    assert learning_curve_splits(RawFeatures(X, fold=np.arange(N) % 3)) is not None


# --- the fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["normal", "student_t"])
@pytest.mark.parametrize("b", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_folds", [4, 5])
def test_noise_is_that_of_a_model_of_all_rows(b, n_folds, family):
    """One model has nearly all of the weight, so that its scale without a change is known."""
    target = X[:, 0] + 1e-3 * ERRORS  # errors of the other model are much larger
    options = {"cross_fit": n_folds, "dispersion_prior": 0.0, "family": family}
    moe = quiet(stack(Scaled(Learner(b), 1e-3), Ridge(1e9), **options), X, target)
    half, whole = FITS[-1], FITS[n_folds]
    assert len(whole) == N
    assert len(half) == (n_folds - 1) // 2 * N // n_folds
    constant = quiet(stack(Scaled(Learner(0.0), 1e-3), Ridge(1e9), **options), X, target)
    assert_allclose(moe.weights_[0], 1.0, atol=0.02)
    scales = [
        fit.noise_variance_ if family == "normal" else fit.dispersion_ for fit in (moe, constant)
    ]
    found = np.log(scales[0][0] / scales[1][0])
    shrinkage = (N / n_folds) / (N / n_folds + PRIOR_HELD_OUT_ROWS)
    of_folds = -2.0 * b * np.log(1.0 - 1.0 / n_folds)
    assert_allclose(found, of_folds * (1.0 - shrinkage), atol=0.02)


class Scaled(RegressorMixin, BaseEstimator):
    """A model whose errors are multiplied by a number."""

    def __init__(self, model=None, factor=1.0):
        self.model = model
        self.factor = factor

    def fit(self, X, y, sample_weight=None):
        self.model_ = clone(self.model).fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        return X[:, 0] + self.factor * (self.model_.predict(X) - X[:, 0])


@pytest.mark.parametrize("family", MEAN_FAMILIES)
def test_only_a_scale_is_changed(family):
    """One more fit is made for families with a scale, and for no other."""
    y = draw(family, np.full(N, 0.5), np.random.default_rng(0), (0.5, 5.0))
    quiet(stack(Positive(), Positive(2.0), family=family), X, y)
    assert len(FITS) == 2 * (7 if FAMILIES[family].has_scale else 6)


class Positive(RegressorMixin, BaseEstimator):
    """A constant above zero."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        self.mean_ = self.factor * max(np.average(y, weights=sample_weight), 0.1)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


def test_a_model_that_needs_more_rows_than_a_half_has_no_change(monkeypatch):
    """All other fits have enough rows, so that the fit as a whole is possible."""
    features = np.random.default_rng(0).normal(size=(N, 100))
    features[:, 0] = X[:, 0]
    needs_many = make_pipeline(PCA(100), Ridge())
    with pytest.raises(ValueError, match="n_components=100"):
        clone(needs_many).fit(features[: 2 * N // 5], Y[: 2 * N // 5])
    changes = []
    monkeypatch.setattr(
        WholeModels,
        "of_all_rows",
        lambda self, params: changes.append(params.scale_change) or params,
    )
    stack(needs_many, Learner(1.0)).fit(features, Y)
    ((of_first,), (of_second,)) = changes[0]
    assert of_first == 0.0
    assert of_second < 0.0


class FailsOnTheHalf(Learner):
    """Raises an error in the fit to half of the rows without a fold."""

    def __init__(self, error=RuntimeError):
        self.error = error

    def fit(self, X, y, sample_weight=None):
        if len(X) < N / 2:
            raise self.error("few rows")
        self.exponent = 0.5
        return super().fit(X, y, sample_weight)


def test_a_value_error_of_the_half_is_passed_over():
    moe = stack(FailsOnTheHalf(ValueError), FailsOnTheHalf(np.linalg.LinAlgError)).fit(X, Y)
    assert len(moe.experts_) == 2


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, TypeError])
def test_other_errors_of_the_half_name_the_member(error, n_jobs):
    moe = stack(Ridge(), FailsOnTheHalf(error), n_jobs=n_jobs)
    with pytest.raises(error, match="few rows") as caught:
        moe.fit(X, Y)
    (note,) = caught.value.__notes__
    assert note.startswith("This was expert 1, FailsOnTheHalf(")
    assert note.endswith("fitted on half of the rows without fold 0.")


def test_an_interrupt_of_the_half_ends_the_fit():
    with pytest.raises(KeyboardInterrupt):
        stack(Ridge(), FailsOnTheHalf(KeyboardInterrupt)).fit(X, Y)


@pytest.mark.parametrize("n_rows", [120, 125])
def test_a_half_of_few_rows_is_not_fitted(n_rows):
    stack(Learner(), Ridge()).fit(X[:n_rows], Y[:n_rows])
    assert len(FITS) == (6 if n_rows == 120 else 7)  # half of four folds of 25 rows


def test_models_with_a_density_are_not_fitted_to_a_half():
    stack(LearnerWithDensity(2, n_init=1), Ridge()).fit(X, Y)
    assert len(FITS) == 6


def test_classifiers_are_not_fitted_to_a_half():
    moe = stack(LearnerOfClasses(), LearnerOfClasses(), kind=MixtureOfExpertsClassifier)
    moe.fit(X, Y > 0.0)
    assert len(FITS) == 12


def test_shared_noise_has_the_mean_change(monkeypatch):
    moe = stack(Learner(1.0), Learner(0.0), dispersion="shared").fit(X, Y)
    assert_allclose(moe.noise_variance_, moe.noise_variance_[0])
    monkeypatch.setattr(WholeModels, "of_all_rows", lambda self, params: params)
    unchanged = stack(Learner(1.0), Learner(0.0), dispersion="shared").fit(X, Y)
    shrinkage = (N / 5) / (N / 5 + PRIOR_HELD_OUT_ROWS)
    found = np.log(moe.noise_variance_ / unchanged.noise_variance_)
    assert_allclose(found, 0.5 * 2.0 * np.log(0.8) * shrinkage, rtol=1e-6)


@pytest.mark.parametrize("family", ["normal", "student_t"])
def test_noise_stays_above_its_floor(family):
    """Out-of-fold errors are above it, and errors of a model of all rows would be below it."""
    size = 1.1 * 0.8 * np.sqrt(1e-6 * np.var(X[:, 0]) / np.mean(np.square(ERRORS)))
    models = Scaled(Learner(1.0), size), Scaled(Learner(1.0), size)
    family = StudentT(df=1000.0) if family == "student_t" else family
    moe = stack(*models, dispersion_prior=0.0, family=family).fit(X, X[:, 0] + size * ERRORS)
    found = moe.noise_variance_ if family == "normal" else moe.dispersion_
    assert_allclose(found, 1e-6 * np.var(X[:, 0]), rtol=0.01)


def test_all_held_out_rows_are_compared(monkeypatch):
    counts = []

    def counted(decrease, ratio, n_held_out):
        counts.append(n_held_out)
        return np.zeros_like(decrease)

    monkeypatch.setattr(_whole_models, "error_exponent", counted)
    stack(Learner(), Ridge()).fit(X, Y, sample_weight=np.full(N, 3.0))
    assert_allclose(counts, 3.0 * N / 5)


def test_each_output_has_its_own_exponent():
    noise = np.random.default_rng(1).normal(size=(N, 2)) * [1e-9, 0.5]
    y = X + noise
    trees = DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
    moe = stack(trees, Ridge(1e9), dispersion_prior=0.0).fit(X, y)
    swapped = stack(trees, Ridge(1e9), dispersion_prior=0.0).fit(X, y[:, ::-1])
    assert_allclose(moe.noise_variance_, swapped.noise_variance_[:, ::-1], rtol=1e-6)


@pytest.mark.parametrize("family", ["normal", "student_t", "gamma"])
def test_a_weight_of_two_is_the_row_twice(family):
    weight = np.random.default_rng(1).integers(1, 4, size=N)
    twice = np.repeat(np.arange(N), weight)
    y = np.exp(Y) if family == "gamma" else Y
    trees = DecisionTreeRegressor(min_samples_leaf=1, max_depth=6, random_state=0)
    moe = stack(trees, Positive(), family=family)
    weighted, repeated = clone(moe), clone(moe)
    quiet(weighted, X, y, sample_weight=weight)
    quiet(repeated, X[twice], y[twice])
    assert_allclose(weighted.score_samples(X, y), repeated.score_samples(X, y), rtol=1e-7)


@pytest.mark.parametrize("family", ["normal", "student_t"])
def test_new_rows_of_a_function_without_noise_have_larger_densities(family, monkeypatch):
    """Out-of-fold errors of trees are larger than those of the trees of all rows."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1.0, 1.0, size=(3000, 3))
    y = np.sin(4.0 * features[:, 0]) + features[:, 1] * features[:, 2]
    trees = ExtraTreesRegressor(20, random_state=0)
    given, new = (features[:500], y[:500]), (features[500:], y[500:])
    moe = quiet(stack(trees, Ridge(), family=family), *given)
    monkeypatch.setattr(WholeModels, "of_all_rows", lambda self, params: params)
    unchanged = quiet(stack(trees, Ridge(), family=family), *given)
    assert_allclose(moe.weights_, unchanged.weights_)
    assert_allclose(moe.predict(new[0]), unchanged.predict(new[0]))
    assert moe.score_samples(*new).mean() > unchanged.score_samples(*new).mean()
