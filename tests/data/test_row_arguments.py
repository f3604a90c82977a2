"""Weights, class weights and offsets in every form that users give.

Refusals of their values are in `tests/estimators/test_refused_data.py`.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly

X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.random.default_rng(1).poisson(np.exp(X[:, 0])).astype(float)
LABELS = np.array(["a", "b", "c"])[np.arange(30) % 3]
COUNTS = np.random.default_rng(2).integers(0, 3, size=30)


def one_expert():
    return MixtureOfExpertsRegressor(1, n_init=1, family="poisson", alpha=1.0)


def classifier(**options):
    return MixtureOfExpertsClassifier(1, alpha=1.0, n_init=1, **options)


@pytest.mark.parametrize("make", [list, tuple, pd.Series, lambda w: w.astype(object), np.float32])
def test_weights_are_numbers_in_any_container(make):
    expected = fit_quietly(one_expert(), X, Y, sample_weight=COUNTS.astype(float)).expert_coef_
    given = make(COUNTS)
    assert_array_equal(fit_quietly(one_expert(), X, Y, sample_weight=given).expert_coef_, expected)


def test_true_and_false_are_weights_of_one_and_zero():
    kept = COUNTS > 0
    moe = fit_quietly(one_expert(), X, Y, sample_weight=kept)
    expected = fit_quietly(one_expert(), X[kept], Y[kept]).expert_coef_
    assert_allclose(moe.expert_coef_, expected, rtol=1e-8)


def test_weights_of_the_user_stay_as_they_are():
    weight = COUNTS.astype(float)
    fit_quietly(classifier(class_weight={"a": 3.0}), X, LABELS, sample_weight=weight)
    assert_array_equal(weight, COUNTS)


@pytest.mark.parametrize("factors", [[0.5, 0.25, 2.0], [0.0, 0.5, 1.0], [3.0, 0.0, 0.0]])
def test_class_weights_may_be_zero_but_not_all(factors):
    """The rows of a class without weight do not matter, and its label stays one of the classes."""
    moe = classifier(class_weight=dict(zip("abc", factors, strict=True)))
    probs = fit_quietly(moe, X, LABELS).predict_proba(X)
    assert_array_equal(moe.classes_, ["a", "b", "c"])
    weight = np.array([factors["abc".index(label)] for label in LABELS])
    moved = X + 5.0 * (weight == 0.0)[:, None]
    assert_allclose(fit_quietly(moe, moved, LABELS).predict_proba(X), probs, atol=1e-6)
    if weight.all():
        same = fit_quietly(classifier(), X, LABELS, sample_weight=weight)
        assert_allclose(same.predict_proba(X), probs, atol=1e-6)


@pytest.mark.parametrize("make", [list, tuple, pd.Series, lambda v: v[:, None], np.float32])
def test_offsets_are_numbers_in_any_container(make):
    offset = np.round(X[:, 1], 3).astype(np.float32).astype(float)
    expected = fit_quietly(one_expert(), X, Y, offset=offset).expert_coef_
    assert_allclose(fit_quietly(one_expert(), X, Y, offset=make(offset)).expert_coef_, expected)


@pytest.mark.parametrize("make", [np.asarray, list, lambda y: y[:, None], pd.Series])
def test_targets_of_new_rows_come_in_any_container(make):
    moe = fit_quietly(one_expert(), X, Y)
    assert_array_equal(moe.score_samples(X, make(Y)), moe.score_samples(X, Y))
