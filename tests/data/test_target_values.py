"""Targets that stand for others, and those that only look like it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.exceptions import CollapsedExpertsWarning, OptionWarning, UnreplicatedMaximumWarning
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

N_ROWS = 24
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
Y = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=N_ROWS)
SHORT = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "max_iter": 2, "random_state": 0}


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_experts": 1} | SHORT | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(**{"n_experts": 1} | SHORT | options)


@pytest.mark.parametrize("names", [["low", "high"], ["10", "20"]])
@pytest.mark.parametrize(("kind", "codes"), [(pd.Series, "y.cat.codes"), (None, "y.codes")])
def test_codes_of_ordered_categories_are_fitted_and_their_names_refused(names, kind, codes):
    y = pd.Categorical(np.array(names)[(X[:, 0] > 0).astype(int)], names, ordered=True)
    y = y if kind is None else kind(y)
    ordinal = regressor(family="ordinal")
    words = "must hold numbers", "the category", codes, 'family="ordinal"'
    assert_fit_refused(ordinal, (X, y), "y", *words)
    fit_quietly(ordinal, X, y.codes if kind is None else y.cat.codes)


@pytest.mark.parametrize("dtype", [str, bytes, object])
def test_texts_of_numbers_are_numbers(dtype):
    moe = fit_quietly(regressor(), X, Y)
    texts = np.array([f"{value!r}" for value in Y.tolist()]).astype(dtype)
    assert_array_equal(fit_quietly(regressor(), X, texts).predict(X), moe.predict(X))


def test_a_target_of_zeros_is_fitted():
    assert_array_equal(fit_quietly(regressor(), X, np.zeros(N_ROWS)).predict(X), np.zeros(N_ROWS))


# --- values that stand for others ---------------------------------------------------------------

EXPOSURE = np.linspace(0.2, 1.0, N_ROWS)
COUNTS = np.arange(N_ROWS) % 4.0
TIMES = np.linspace(1.0, 90.0, N_ROWS)


def test_an_exposure_is_passed_as_a_logarithm():
    moe = regressor(family="poisson")
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
        return moe.fit(X, COUNTS, **given)


def test_two_outputs_with_two_values_are_fitted():
    for y in (np.c_[TIMES, TIMES[::-1]], np.c_[TIMES, np.resize([1.0, 3.0], N_ROWS)]):
        assert fit_quietly(regressor(family="gamma"), X, y).predict(X).shape == (N_ROWS, 2)
    both = np.c_[np.resize([1.0, 2.0], N_ROWS), np.repeat([1.0, 2.0], N_ROWS // 2)]
    for family, y in (("gamma", both), ("normal", np.c_[TIMES, np.resize([0.0, 1.0], N_ROWS)])):
        assert fit_quietly(regressor(family=family), X, y).predict(X).shape == (N_ROWS, 2)
