"""Targets and labels: what fits take, and what they refuse by name."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.exceptions import CollapsedExpertsWarning, OptionWarning, UnreplicatedMaximumWarning
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

N_ROWS = 24
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
Y = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=N_ROWS)
SHORT = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "max_iter": 2, "random_state": 0}
LARGEST, SMALLEST = 1e140, 1e-140  # squares of these are finite and positive


def regressor(**options):
    return MixtureOfExpertsRegressor(**{"n_experts": 1} | SHORT | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(**{"n_experts": 1} | SHORT | options)


LABELS = {
    "integers": np.array([0, 1]),
    "floats": np.array([0.0, 1.0]),
    "texts": np.array(["a", "b"]),
    "objects": np.array(["a", "b"], dtype=object),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_one_kind_are_classes(name):
    labels = LABELS[name]
    y = labels[(X[:, 0] > 0).astype(int)]
    moe = fit_quietly(classifier(), X, y)
    assert_array_equal(moe.classes_, labels)
    assert_array_equal(moe.predict(X), fit_quietly(classifier(), X, y.tolist()).predict(X))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("place", [0, N_ROWS - 1])
def test_missing_labels_are_refused(missing, place):
    labels = np.array(["a", "b"] * (N_ROWS // 2), dtype=object)
    labels[place] = missing
    assert_fit_refused(classifier(), (X, labels), "y", "none missing", repr(missing))
    units = regressor(gate="constant")
    assert_fit_refused(units, (X, Y), "units", "one kind", "none missing", units=labels)


def test_numbers_and_texts_are_not_of_one_kind():
    labels = np.array(["a", 1] * (N_ROWS // 2), dtype=object)
    assert_fit_refused(classifier(), (X, labels), "y", "of one kind")


EYE = np.eye(N_ROWS)[:, :2]

# A target of a regression, and words of the refusal.
REFUSED_TARGETS = {
    "sparse": (sparse.csr_array(EYE), ("dense array", "csr_array", "toarray")),
    "old sparse": (sparse.coo_matrix(EYE), ("dense array", "coo_matrix", "toarray")),
    "texts": (np.array(["1.5", "two"] * (N_ROWS // 2)), ("numbers", "two")),
    "texts as objects": (np.array(["1.5", None, "x"] * (N_ROWS // 3), object), ("numbers", "x")),
    "bytes": (np.array([b"1", b"v"] * (N_ROWS // 2)), ("numbers", "v")),
    "dates": (np.arange(N_ROWS).astype("datetime64[D]"), ("numbers", "datetime64", "days")),
    "durations": (np.arange(N_ROWS).astype("timedelta64[s]"), ("numbers", "timedelta64")),
    "large": (np.where(X[:, 0] > 0, 1.0, 2 * LARGEST), ("at most 1e+140", "2e+140")),
    "negative": (np.where(X[:, 0] > 0, 1.0, -2 * LARGEST), ("at most 1e+140", "2e+140")),
    "small": (np.sign(X[:, 0]) * 0.5 * SMALLEST, ("larger than 1e-140", "5e-141")),
    "one large output": (np.column_stack([Y, 3e150 * Y / Y.max()]), ("at most 1e+140", "e+150")),
    "one small output": (np.column_stack([Y, Y / Y.max() * 3e-150]), ("1e-140", "e-150")),
}


@pytest.mark.parametrize("case", REFUSED_TARGETS)
def test_targets_that_cannot_be_fitted_are_refused(case):
    y, words = REFUSED_TARGETS[case]
    assert_fit_refused(regressor(), (X, y), "y", *words)


@pytest.mark.parametrize("names", [["low", "high"], ["10", "20"]])
@pytest.mark.parametrize(("kind", "codes"), [(pd.Series, "y.cat.codes"), (None, "y.codes")])
def test_codes_of_ordered_categories_are_fitted_and_their_names_refused(names, kind, codes):
    y = pd.Categorical(np.array(names)[(X[:, 0] > 0).astype(int)], names, ordered=True)
    y = y if kind is None else kind(y)
    ordinal = regressor(family="ordinal")
    words = "must hold numbers", "the category", codes, 'family="ordinal"'
    assert_fit_refused(ordinal, (X, y), "y", *words)
    fit_quietly(ordinal, X, y.codes if kind is None else y.cat.codes)


@pytest.mark.parametrize("kind", ["sparse", "old sparse"])
def test_sparse_classes_are_refused(kind):
    y, words = REFUSED_TARGETS[kind]
    assert_fit_refused(classifier(), (X, y), "y", *words)


@pytest.mark.parametrize("dtype", [str, bytes, object])
def test_texts_of_numbers_are_numbers(dtype):
    moe = fit_quietly(regressor(), X, Y)
    texts = np.array([f"{value!r}" for value in Y.tolist()]).astype(dtype)
    assert_array_equal(fit_quietly(regressor(), X, texts).predict(X), moe.predict(X))


@pytest.mark.parametrize("factor", [0.5 * LARGEST, 4.0 * SMALLEST])
def test_targets_of_any_other_size_are_fitted(factor):
    """The size of a target does not matter up to the bounds."""
    moe, other = (fit_quietly(regressor(), X, scale * Y / 3.0) for scale in (1.0, factor))
    np.testing.assert_allclose(other.predict(X) / factor, moe.predict(X), rtol=1e-6)


def test_a_target_of_zeros_is_fitted():
    assert_array_equal(fit_quietly(regressor(), X, np.zeros(N_ROWS)).predict(X), np.zeros(N_ROWS))


def test_dates_may_be_classes():
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")[(X[:, 0] > 0).astype(int)]
    moe = fit_quietly(classifier(), X, dates)
    assert_array_equal(moe.classes_, np.unique(dates))


# --- values that stand for others ---------------------------------------------------------------

EXPOSURE = np.linspace(0.2, 1.0, N_ROWS)
COUNTS = np.arange(N_ROWS) % 4.0
TIMES = np.linspace(1.0, 90.0, N_ROWS)
OF_TIMES = ["weibull", "exponential", "lognormal", "gamma", "inverse_gaussian"]


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", ["zero", "poisson"]])
def test_rates_are_refused_by_families_of_counts(family):
    moe, rates = regressor(n_experts=2, family=family), COUNTS / EXPOSURE
    words = ["counts", "offset=np.log(exposure)", "claims per year"]
    assert_fit_refused(moe, (X, rates), "y", *words)
    assert_fit_refused(moe, (X, rates), "y", *words, sample_weight=np.ones(N_ROWS))
    words = ["y * sample_weight", "offset=np.log(sample_weight)", "without sample_weight"]
    assert_fit_refused(moe, (X, rates), "y", *words, sample_weight=EXPOSURE)


def test_an_exposure_is_passed_as_a_logarithm():
    moe = regressor(family="poisson")
    words = ["cannot be used", "offset=np.log(exposure)"]
    assert_fit_refused(moe, (X, COUNTS), "exposure", *words, exposure=EXPOSURE)
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


@pytest.mark.parametrize("family", OF_TIMES)
@pytest.mark.parametrize("codes", [(0.0, 1.0), (1.0, 2.0)])
def test_times_and_status_are_no_two_outputs(family, codes):
    status = np.resize(codes, N_ROWS)
    for j, y in ((1, np.c_[TIMES, status]), (0, np.c_[status, TIMES])):
        words = [f"column {j}", f"right_censored(y[:, {1 - j}], y[:, {j}] == {codes[1]:g})"]
        assert_fit_refused(regressor(family=family), (X, y), "y", *words, "skmoe.data")


def test_two_outputs_with_two_values_are_fitted():
    for y in (np.c_[TIMES, TIMES[::-1]], np.c_[TIMES, np.resize([1.0, 3.0], N_ROWS)]):
        assert fit_quietly(regressor(family="gamma"), X, y).predict(X).shape == (N_ROWS, 2)
    both = np.c_[np.resize([1.0, 2.0], N_ROWS), np.repeat([1.0, 2.0], N_ROWS // 2)]
    for family, y in (("gamma", both), ("normal", np.c_[TIMES, np.resize([0.0, 1.0], N_ROWS)])):
        assert fit_quietly(regressor(family=family), X, y).predict(X).shape == (N_ROWS, 2)
