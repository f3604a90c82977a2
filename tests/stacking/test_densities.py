"""Densities and distributions of experts and models that are mixtures, pipelines or searches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES, StudentT
from support.expert_kinds import draw
from support.fits import fit_quietly
from support.refusals import assert_fit_refused
from support.stacks import stack_of

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def data(n_rows=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    y = np.where(X[:, 0] > 0, 2.0 * X[:, 1], -X[:, 2]) + 0.2 * rng.normal(size=n_rows)
    return X, y


def mixture(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **FIXED | {"max_iter": 3} | options)


def specialised(expert, n_experts=2, **options):
    return mixture(n_experts, expert=expert, cross_fit=2, **{"max_iter": 1} | options)


def stack(*models, **options):
    fixed = {"gate_alpha": 1.0, "random_state": 0, "cv": 2, "max_iter": 20}
    return stack_of(*models, **fixed | options)


# --- distributions ---

NAMES = [name for name in FAMILIES if FAMILIES[name].link in ("identity", "log")]


def assert_distribution(moe, X, y):
    dist = moe.predict_dist(X)
    density = dist.logpdf(y) if hasattr(dist, "logpdf") else dist.logpmf(y)
    assert_allclose(density, moe.score_samples(X, y), rtol=1e-6, atol=1e-6)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-6)
    low, high = moe.predict_interval(X[:10]).T
    assert np.mean((low <= y[:10]) & (y[:10] <= high)) > 0.5
    assert moe.sample(X[:5], n_samples=3, random_state=0).shape == (5, 3)


@pytest.mark.parametrize("name", ["poisson", "gamma", "student_t"])
def test_experts_that_are_mixtures_of_any_family_have_distributions(name):
    X, y = data()
    y = draw(name, 0.5 * y, np.random.default_rng(1), (0.1, 5.0))
    family = StudentT(df=4.0) if name == "student_t" else name
    moe = specialised(mixture(2, family=family, max_iter=1), n_experts=1)
    assert_distribution(fit_quietly(moe, X, y), X, y)


@pytest.mark.parametrize("name", ["normal", "poisson"])
def test_experts_that_are_stacks_have_distributions(name):
    X, y = data(40)
    y = draw(name, 0.5 * y, np.random.default_rng(1), (0.1, 5.0))
    inner = stack(mixture(2, family=name, max_iter=2), mixture(1, family=name, max_iter=2))
    moe = specialised(inner, n_experts=1, max_iter=1)
    assert_distribution(fit_quietly(moe, X, y), X, y)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_search_of_one_candidate_is_this_candidate(in_pipeline):
    X, y = data()
    search = GridSearchCV(mixture(1), {"alpha": [0.5]}, cv=2)
    alone = mixture(1, alpha=0.5)
    if in_pipeline:
        search, alone = (make_pipeline(StandardScaler(), model) for model in (search, alone))
    found, expected = (fit_quietly(stack(model, Ridge()), X, y) for model in (search, alone))
    assert_allclose(found.score_samples(X, y), expected.score_samples(X, y), rtol=1e-8)
    assert_allclose(found.predict_interval(X[:8]), expected.predict_interval(X[:8]), rtol=1e-6)
    assert_array_equal(np.isnan(found.noise_variance_), [True, False])


def test_measure_of_a_mixture_in_a_search_must_be_that_of_the_others():
    X, y = data()
    counts = GridSearchCV(mixture(2, family="poisson"), {"alpha": [1.0]}, cv=2)
    moe = stack(counts, Ridge())
    assert_fit_refused(
        moe, (X, np.round(np.exp(y))), "estimators must be models", "can be compared"
    )


@pytest.mark.parametrize("stacked", [False, True])
def test_distribution_of_heavy_tails_around_a_mean_has_this_mean(stacked):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 3))
    y = np.exp(X[:, 1] + 4.0 * rng.normal(size=120))
    y[rng.random(120) < 0.6] = 0.0
    trees = ExtraTreesRegressor(5, min_samples_leaf=2, random_state=0)
    options = {"family": "student_t"}
    moe = stack(mixture(), trees, **options) if stacked else specialised(trees, **options)
    fit_quietly(moe, X, y)
    # The least degrees of freedom for which there is a mean.
    assert 1.1 - 1e-9 < np.nanmin(moe.df_) < 1.3
    dist = moe.predict_dist(X)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-6)
    assert np.isposinf(dist.std).any()
    assert not np.isnan(dist.std).any()
    # Degrees of freedom that the user gives are kept.
    given = fit_quietly(clone(moe).set_params(family=StudentT(df=0.9)), X, y)
    assert np.isfinite(given.predict(X)).all()


@pytest.mark.parametrize("n_classes", [2, 12])
def test_probabilities_are_mixed_with_a_hundredth_of_the_uniform_distribution(n_classes):
    """Or less, so that no class is impossible, and the order of the classes stays."""
    y = np.repeat(np.arange(n_classes), 8)
    moe = MixtureOfExpertsClassifier(1, expert=DecisionTreeClassifier(), random_state=0)
    X = (y + 0.1 * np.random.default_rng(0).uniform(size=len(y)))[:, None]
    probability = fit_quietly(moe, X, y).predict_experts(X)[:, 0]
    assert_allclose(probability.sum(axis=1), 1.0)
    assert probability[np.arange(len(y)), y].min() >= 0.99
    other = np.arange(n_classes) != y[:, None]
    assert_allclose(probability[other], min(1e-3, 0.01 / n_classes))
