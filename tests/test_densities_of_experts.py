"""Densities and probabilities of experts that are estimators, alone and inside of others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.sklearn_adapter import final_estimator, predict_expert, predict_oob
from skmoe.families import StudentT


def data(n_rows=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    y = np.where(X[:, 0] > 0, 2.0 * X[:, 1], -X[:, 2]) + 0.2 * rng.normal(size=n_rows)
    return X, y


def mixture(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, n_init=1, random_state=0, **options)


def stack(*members, **options):
    return mixture(expert=list(members), specialize=False, **options)


# --- out of bag -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RandomForestRegressor, BaggingRegressor])
def test_rows_that_are_in_all_bags_have_no_out_of_bag_prediction(kind):
    """Ensembles have a mean of zero there, which would depend on the origin of y."""
    X, y = data()
    forest = kind(n_estimators=3, oob_score=True, random_state=0)
    found = []
    for shift in (0.0, 1000.0):
        model = quiet(clone(forest), X, y + shift)
        predicted = predict_oob(model, None)
        assert 0 < np.isnan(predicted).sum() < 60
        assert_allclose(np.nanmean(predicted), (y + shift).mean(), atol=1.0)
        moe = mixture(1, expert=forest, cross_fit="oob")
        found.append(quiet(moe, X, y + shift).noise_variance_)
    assert_allclose(*found, rtol=0.2)


@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_classes_of_rows_that_are_in_all_bags_have_no_out_of_bag_prediction(kind):
    X, y = data()
    labels = np.where(y > 0.5, "b", np.where(y < -0.5, "a", "c"))
    with np.errstate(invalid="ignore"):
        model = quiet(kind(n_estimators=3, oob_score=True, random_state=0), X, labels)
    predicted = predict_oob(model, np.unique(labels))
    unknown = np.isnan(predicted)
    assert 0 < unknown.any(axis=0).sum() < 60
    assert_array_equal(unknown.any(axis=0), unknown.all(axis=0))
    assert_allclose(predicted[:, ~unknown[0]].sum(axis=0), 1.0)


# --- class probabilities ----------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 10, 11, 600, 1000, 1500])
def test_probabilities_of_many_classes_keep_their_order(n_classes):
    """They are mixed with at most a hundredth of the uniform distribution."""
    y = np.arange(n_classes)
    tree = quiet(DecisionTreeClassifier(), y[:, None], y)
    probs = predict_expert(tree, y[:, None], y)
    assert_allclose(probs.sum(axis=0), 1.0)
    assert probs.min() > 0.0
    assert np.diag(probs).min() >= 0.99
    assert_allclose(probs[0, 1], min(1e-3, 0.01 / n_classes))


class Probabilities(ClassifierMixin, BaseEstimator):
    """Gives the same numbers for each class."""

    def __init__(self, value=1.0):
        self.value = value

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        probs = np.full((len(X), len(self.classes_)), 1.0 / len(self.classes_))
        shift = np.array([self.value, -self.value])
        return probs * self.value if self.value >= 0.0 else probs + shift


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize(("value", "found"), [(2.0, "a sum of 2"), (0.9, "0.9"), (-0.6, "-0.1")])
def test_numbers_that_are_no_probabilities_are_refused(specialize, value, found):
    X, y = data()
    experts = [Probabilities(value), LogisticRegression()]
    moe = MixtureOfExpertsClassifier(2, expert=experts, specialize=specialize)
    with pytest.raises(ValueError, match=f"sum in each row is 1; its predict_proba.*{found}") as e:
        moe.fit(X, y > 0)
    assert "expert 0, Probabilities" in e.value.__notes__[0]
    assert not hasattr(moe, "classes_")
    moe.set_params(expert=[Probabilities(1.0 + 1e-7), LogisticRegression()])
    quiet(moe, X, y > 0)


# --- distributions ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["normal", "student_t", "lognormal", "gamma", "poisson"])
@pytest.mark.parametrize("inner", ["linear", "stack"])
def test_experts_that_are_mixtures_of_any_family_have_distributions(family, inner):
    """Their density is the integral of nothing else than that of the distribution."""
    X, y = data(100)
    y = np.round(np.exp(0.3 * y) * 3.0) if family == "poisson" else np.exp(0.3 * y)
    family = StudentT(df=4.0) if family == "student_t" else family
    expert = mixture(2, family=family)
    if inner == "stack":
        expert = stack(mixture(2, family=family), mixture(1, family=family))
    moe = quiet(mixture(2, expert=expert, max_iter=3), X, y)
    dist = moe.predict_dist(X)
    density = dist.logpmf(y) if family == "poisson" else dist.logpdf(y)
    assert_allclose(density, moe.score_samples(X, y), rtol=1e-6, atol=1e-6)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-6)
    low, high = moe.predict_interval(X).T
    assert (low < high).all()
    assert np.mean((low <= y) & (y <= high)) > 0.7
    assert moe.sample(X[:5], 3, random_state=0).shape == (5, 3)


class WithDensity(RegressorMixin, BaseEstimator):
    """A regression with a log density, and no distribution."""

    def fit(self, X, y, sample_weight=None):
        self.line_ = Ridge().fit(X, y)
        return self

    def predict(self, X):
        return self.line_.predict(X)

    def score_samples(self, X, y):
        return -0.5 * np.square(y - self.predict(X)) - 0.5 * np.log(2.0 * np.pi)


@pytest.mark.parametrize(
    "member",
    [
        mixture(2, expert=WithDensity()),
        stack(WithDensity(), "tree"),
        make_pipeline(StandardScaler(), mixture(2, expert=[WithDensity(), "linear"])),
        GridSearchCV(mixture(2, expert=WithDensity()), {"n_experts": [2]}, cv=2),
    ],
    ids=["experts", "whole models", "pipeline", "search"],
)
def test_members_whose_experts_have_no_distribution_keep_their_density(member):
    X, y = data()
    moe = quiet(stack(member, Ridge()), X, y)
    assert_array_equal(moe.spread_, 1.0)
    assert np.isfinite(moe.score_samples(X, y)).all()
    with pytest.raises(ValueError, match=r"expert 0 .* has a density of its own and no predictive"):
        moe.predict_dist(X)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_mixtures_in_searches_keep_their_distributions(in_pipeline):
    """A search of one candidate is this candidate."""
    X, y = data()
    member = mixture(2)
    search = GridSearchCV(member, {"alpha": [0.1]}, cv=2)
    if in_pipeline:
        search = make_pipeline(StandardScaler(), search)
        member = make_pipeline(StandardScaler(), member.set_params(alpha=0.1))
    assert type(final_estimator(search)) is MixtureOfExpertsRegressor
    found, expected = (
        quiet(stack(model, Ridge()), X, y)
        for model in (search, clone(member).set_params(**alpha_of(member)))
    )
    assert_allclose(found.score_samples(X, y), expected.score_samples(X, y), rtol=1e-8)
    assert_allclose(found.predict_interval(X), expected.predict_interval(X), rtol=1e-6)
    assert_array_equal(np.isnan(found.noise_variance_), [True, False])
    assert type(final_estimator(found.experts_[0][0])) is MixtureOfExpertsRegressor


def alpha_of(member):
    name = "mixtureofexpertsregressor__alpha" if hasattr(member, "steps") else "alpha"
    return {name: 0.1}


def test_mixtures_of_other_measures_in_searches_are_refused():
    X, y = data()
    counts = GridSearchCV(mixture(2, family="poisson"), {"alpha": [1.0]}, cv=2)
    with pytest.raises(ValueError, match="whose densities can be compared"):
        stack(counts, Ridge()).fit(X, np.round(np.exp(y)))


# --- means ------------------------------------------------------------------------------------


def heavy_tails(n_rows=200, seed=3):
    """Mostly zeros, and a few very large numbers."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    y = np.exp(X[:, 1] + 2.0 * rng.normal(size=n_rows))
    return X, np.where(rng.random(n_rows) < 0.6, 0.0, y)


@pytest.mark.parametrize("specialize", [True, False])
def test_distributions_around_a_mean_have_this_mean(specialize):
    X, y = heavy_tails()
    trees = ExtraTreesRegressor(20, min_samples_leaf=2)
    expert = trees if specialize else [mixture(2), trees]
    moe = mixture(2, expert=expert, specialize=specialize, family="student_t")
    moe = quiet(moe, X, y)
    assert_allclose(np.nanmin(moe.df_), 1.1)
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-6)
    assert np.isposinf(dist.std).any()
    assert not np.isnan(dist.std).any()
    # Degrees of freedom that the user gives are kept.
    given = quiet(clone(moe).set_params(family=StudentT(df=0.9)), X, y)
    assert np.isfinite(given.predict(X)).all()
