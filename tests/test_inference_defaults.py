"""Standard errors of default fits are those at the maximum of the likelihood."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import crossing_lines, two_regimes
from sklearn import datasets

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.maximum import SAME_ROWS_RTOL, is_same_lower_bound


def table(name):
    """An estimator, features and target."""
    regressor, classifier = MixtureOfExpertsRegressor, MixtureOfExpertsClassifier
    if name == "diabetes":
        return regressor(2, random_state=0), *datasets.load_diabetes(return_X_y=True)
    if name == "diabetes, 4 experts":
        return regressor(4, random_state=0), *datasets.load_diabetes(return_X_y=True)
    if name == "iris":
        X, y = datasets.load_iris(return_X_y=True)
        return classifier(2, random_state=0), X[50:, :2], y[50:]
    if name == "breast cancer":
        X, y = datasets.load_breast_cancer(return_X_y=True)
        return classifier(2, random_state=0), X[:, :10], y
    if name == "radius":
        X, _ = datasets.load_breast_cancer(return_X_y=True)
        return regressor(2, random_state=0), X[:, 4:10], X[:, 0]
    X, y = datasets.load_linnerud(return_X_y=True)
    return regressor(2, gate="constant", random_state=0), X, y


TABLES = ["diabetes", "diabetes, 4 experts", "iris", "breast cancer", "radius", "linnerud"]


@pytest.mark.parametrize("method", ["observed", "sandwich"])
@pytest.mark.parametrize("name", TABLES)
def test_errors_of_a_default_fit_are_those_of_an_exact_one(name, method):
    moe, X, y = table(name)
    found = moe.fit(X, y).inference(X, y, method=method)
    exact_fit = moe.set_params(warm_start=True, tol=1e-10, max_iter=5000).fit(X, y)
    exact = exact_fit.inference(X, y, method=method)
    assert found.reasons == exact.reasons
    known = np.array([not reason for reason in exact.reasons])
    assert known.any()
    errors = exact.standard_errors[known]
    assert_allclose(found.standard_errors[known], errors, rtol=2e-3)
    assert (np.abs(found.estimates - exact.estimates)[known] < 0.011 * errors).all()


def test_estimates_that_move_are_those_at_the_maximum():
    moe, X, y = table("diabetes")
    moe.set_params(tol=1e-3).fit(X, y)
    fitted = {name: value.copy() for name, value in vars(moe).items() if name.endswith("coef_")}
    summary = moe.summary(X, y)
    found = summary.inference
    assert found.max_shift > 0.01
    moved = f"Estimates moved by at most {found.max_shift:.2g} standard errors to the maximum."
    assert moved in str(summary)
    slopes = found.estimates[[t.part == "expert 0" and t.name[0] == "x" for t in found.terms]]
    assert not np.allclose(slopes, moe.expert_coef_[0], rtol=1e-6)
    assert_allclose(
        slopes,
        moe.set_params(tol=1e-10, warm_start=True).fit(X, y).expert_coef_[0],
        rtol=1e-3,
        atol=1e-3,
    )
    for name, value in fitted.items():
        assert not np.array_equal(value, getattr(moe, name))  # of the second fit
    exact = moe.summary(X, y)
    assert exact.inference.max_shift < 0.01
    assert "Estimates moved" not in str(exact)
    assert_allclose(exact.inference.estimates[1:11], moe.expert_coef_[0], rtol=0)


def test_inference_leaves_the_fit_as_it_was():
    moe, X, y = table("diabetes")
    before = moe.fit(X, y).predict(X)
    moe.inference(X, y)
    assert np.array_equal(before, moe.predict(X))


def test_float32_rows_and_weights_have_the_errors_of_double_precision():
    X, y = two_regimes(n_rows=300)
    weight = np.tile([1.0, 2.0, 0.0], 100)
    X = X.astype(np.float32).astype(float)
    found, narrow = (
        MixtureOfExpertsRegressor(2, random_state=0)
        .fit(rows, y, sample_weight=weight)
        .inference(rows, y, weight)
        for rows in (X, X.astype(np.float32))
    )
    # Round-off may exchange the numbers of the two experts.
    assert_allclose(np.sort(narrow.standard_errors), np.sort(found.standard_errors), rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_terms_without_errors_have_a_footnote_with_the_remedy():
    X, y = datasets.load_iris(return_X_y=True)
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    text = str(moe.summary(X, y))
    assert "  separated\n" in text
    assert "\nseparated: fewer rows count than there are coefficients" in text
    assert "Use larger penalties (alpha, gate_alpha)" in text
    X, y = crossing_lines(n_rows=200)
    X = np.column_stack([X, np.ones(200)])
    text = str(MixtureOfExpertsRegressor(2, random_state=0).fit(X, y).summary(X, y))
    assert "\nfixed: a constant feature" in text
    text = str(MixtureOfExpertsRegressor(2, random_state=0).fit(X[:, :1], y).summary(X[:, :1], y))
    assert "fixed:" not in text
    assert "separated:" not in text
    twice = np.column_stack([X[:, 0], X[:, 0]])
    moe = MixtureOfExpertsRegressor(1, alpha=0.0).fit(twice, y)
    assert "\nnot determined: the rows do not identify it" in str(moe.summary(twice, y))
    exact = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0).fit(X, X[:, 0])
    assert exact.inference(X, X[:, 0]).reasons[-1] == "at its bound"


def test_other_rows_are_not_climbed():
    X, y = two_regimes(n_rows=400)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = moe.inference(X[200:], y[200:])
    assert found.max_shift == 0.0
    index = found.terms.index(("expert 0", "", "x0"))
    assert found.estimates[index] == moe.expert_coef_[0, 0]


def test_a_stream_has_errors_at_the_maximum_of_the_rows_given():
    X, y = two_regimes(n_rows=600)
    moe = MixtureOfExpertsRegressor(2, random_state=0)
    for start in range(0, 600, 200):
        moe.partial_fit(X[start : start + 200], y[start : start + 200])
    found = moe.inference(X, y)
    assert np.isfinite(found.max_shift)
    assert not any(found.reasons)


@pytest.mark.parametrize("size", [0.0, 1e3, -1e6])
def test_round_off_of_a_lower_bound_is_as_large_as_it(size):
    unit = SAME_ROWS_RTOL * (1.0 + abs(size))
    for difference, same in ((0.5, True), (-0.5, True), (2.0, False), (-2.0, False)):
        assert is_same_lower_bound(size + difference * unit, size) == same
