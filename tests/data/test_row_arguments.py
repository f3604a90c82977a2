"""Targets, weights, class weights and offsets in every form that users give.

Refusals of their values are in `tests/estimators/test_refused_data.py`.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.exceptions import CollapsedExpertsWarning, OptionWarning, UnreplicatedMaximumWarning
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.random.default_rng(1).poisson(np.exp(X[:, 0])).astype(float)
LABELS = np.array(["a", "b", "c"])[np.arange(30) % 3]
COUNTS = np.random.default_rng(2).integers(0, 3, size=30)


def one_expert(**options):
    return MixtureOfExpertsRegressor(
        1, **{"n_init": 1, "family": "poisson", "alpha": 1.0} | options
    )


def classifier(**options):
    return MixtureOfExpertsClassifier(1, alpha=1.0, n_init=1, **options)


@pytest.mark.parametrize("name", ["sample_weight", "offset"])
@pytest.mark.parametrize("make", [list, tuple, pd.Series, lambda v: v.astype(object), np.float32])
def test_numbers_of_rows_come_in_any_container(name, make):
    values = COUNTS.astype(float)
    expected = fit_quietly(one_expert(), X, Y, **{name: values}).expert_coef_
    moe = fit_quietly(one_expert(), X, Y, **{name: make(values)})
    assert_array_equal(moe.expert_coef_, expected)


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


@pytest.mark.parametrize("make", [np.asarray, list, lambda y: y[:, None], pd.Series])
def test_targets_and_offsets_of_new_rows_come_in_any_container(make):
    moe = fit_quietly(one_expert(), X, Y)
    expected = moe.score_samples(X, Y, offset=Y)
    assert_array_equal(moe.score_samples(X, make(Y), offset=make(Y)), expected)


@pytest.mark.parametrize("names", [["low", "high"], ["10", "20"]])
@pytest.mark.parametrize(("kind", "codes"), [(pd.Series, "y.cat.codes"), (None, "y.codes")])
def test_codes_of_ordered_categories_are_fitted_and_their_names_refused(names, kind, codes):
    y = pd.Categorical(np.array(names)[(X[:, 0] > 0).astype(int)], names, ordered=True)
    y = y if kind is None else kind(y)
    ordinal = one_expert(family="ordinal")
    words = "must hold numbers", "the category", codes, 'family="ordinal"'
    assert_fit_refused(ordinal, (X, y), "y", *words)
    fit_quietly(ordinal, X, y.codes if kind is None else y.cat.codes)


@pytest.mark.parametrize("dtype", [str, bytes, object])
def test_texts_of_numbers_are_numbers(dtype):
    moe = fit_quietly(one_expert(family="normal"), X, Y)
    texts = np.array([f"{value!r}" for value in Y.tolist()]).astype(dtype)
    assert_array_equal(
        fit_quietly(one_expert(family="normal"), X, texts).predict(X), moe.predict(X)
    )


# --- values that stand for others ---------------------------------------------------------------

EXPOSURE, TIMES = np.linspace(0.2, 1.0, 30), np.linspace(1.0, 90.0, 30)


def test_an_exposure_is_passed_as_a_logarithm():
    moe = one_expert(max_iter=2)
    for n_experts in (1, "bic"):
        with pytest.warns(OptionWarning, match=r"between 0.2 and 1, .* offset=np.log\(exposure\)"):
            fit_counts(moe.set_params(n_experts=n_experts), offset=EXPOSURE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptionWarning)
        for offset in (np.log(EXPOSURE), np.log(EXPOSURE) + 1.0, 3.0 * EXPOSURE):
            fit_counts(moe, offset=offset)


def fit_counts(moe, **given):
    """Fit counts, without the warnings that short fits of small tables give."""
    with warnings.catch_warnings():
        for other in (ConvergenceWarning, UnreplicatedMaximumWarning, CollapsedExpertsWarning):
            warnings.simplefilter("ignore", other)
        return moe.fit(X, Y, **given)
