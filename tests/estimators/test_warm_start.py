"""What a warm start continues, what it keeps, and which other fits it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from support.fits import CASES, fit_quietly, fitted
from support.fits import X as ALL_X
from support.fits import Y as ALL_Y
from support.refusals import assert_refused, refusal

N_ROWS = 80
X, Y = np.column_stack([np.arange(N_ROWS), ALL_X[:N_ROWS]]), ALL_Y[:N_ROWS]
CLASSES = (Y > 0).astype(int)
SOFTMAX = {"gate": "softmax", "gate_features": [1, 2]}
NAMED = pd.DataFrame(X, columns=["a", "b", "c"])
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0, "warm_start": True}
OPTIONS |= {"alpha": 0.1, "gate_alpha": 1.0, "gate_features": [1, 2], "expert_features": [1, 2]}


def regressor(**options):
    return MixtureOfExpertsRegressor(**OPTIONS | options)


# --- continuing -------------------------------------------------------------------------------


EXACT = {"tol": 1e-9, "max_iter": 2000}
OF_KINDS = ["linear-regressor", "linear-classifier", "poisson-regressor", "student_t-regressor"]
OF_OPTIONS = ["constant gate", "units", "shared noise", "shared slopes", "signs", "outputs"]


@pytest.mark.parametrize("case", [*OF_KINDS, *OF_OPTIONS])
def test_a_fit_that_goes_on_ends_at_the_maximum_of_one_fit(case):
    """It begins at the parameters of the first one, so that it takes fewer iterations."""
    _, y, given = CASES[case]
    whole, moe = fitted(case, **EXACT), fitted(case, tol=1e-9, max_iter=25)
    bound = moe.lower_bound_
    fit_quietly(moe.set_params(warm_start=True, **EXACT), ALL_X, y, **given)
    assert moe.converged_
    assert moe.lower_bounds_[0] >= bound - 1e-9
    assert_allclose(moe.lower_bound_, whole.lower_bound_, rtol=1e-6)
    assert_allclose(moe.predict(ALL_X), whole.predict(ALL_X), atol=1e-3 * np.abs(y).max())
    assert moe.n_iter_ < whole.n_iter_
    fit_quietly(moe, ALL_X, y, **given)
    assert_allclose(moe.lower_bound_, whole.lower_bound_, rtol=1e-6)
    assert moe.n_iter_ < 10


@pytest.mark.parametrize("case", ["linear-regressor", "poisson-regressor", "linear-classifier"])
def test_a_fit_to_some_more_rows_is_faster_from_the_fit_before(case):
    _, y, _ = CASES[case]
    moe = fitted(case, **EXACT)
    first = fit_quietly(clone(moe).set_params(warm_start=True), ALL_X[:280], y[:280])
    fit_quietly(first, ALL_X, y)
    # Penalties are those of features with the scale of the first rows.
    assert first.lower_bound_ >= moe.lower_bound_ - 5e-3
    assert first.n_iter_ < moe.n_iter_


@pytest.mark.parametrize(
    ("expert", "make_rows"),
    [
        ("tree", np.asarray),
        ("tree", sparse.csr_array),
        (Ridge(), sparse.csr_array),
        (["linear", "tree"], np.asarray),
    ],
)
def test_estimators_continue_from_the_responsibilities_of_the_fit_before(expert, make_rows):
    """They are other estimators if these are chosen now, on the rows that are given now."""
    features = make_rows(np.where(np.abs(X) > 0.3, X, 0.0))
    options = {"expert_features": None, "gate_features": None, "max_iter": 6, "cross_fit": 2}
    options |= {"expert": expert}
    moe = fit_quietly(regressor(**options), features, Y)
    before = moe.predict_gate(features)
    again = fit_quietly(moe.set_params(expert=LinearRegression()), features, Y)
    assert isinstance(again.experts_[0][0], LinearRegression)
    assert np.abs(again.predict_gate(features) - before).mean() < 0.25
    assert again.maxima_.n_times == ()  # no starts were compared


# --- other problems ---------------------------------------------------------------------------

WIDER, COUNTS = np.column_stack([X, X[:, 1]]), np.round(np.abs(Y))


def counts(**options):
    return regressor(family="poisson", **options)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"n_experts": 3}, ["n_experts=3"]),
        ({}, {"gate": "constant"}, ["gate"]),
        ({}, {"family": "student_t"}, ["experts"]),
        ({}, {"expert": "tree"}, ["experts"]),
        ({"expert": "tree"}, {"expert": "linear"}, ["experts"]),
        ({"expert": "tree"}, {"n_experts": 3}, ["n_experts=3"]),
        ({}, {"gate_features": [1]}, ["gate"]),
        ({}, {"expert_features": [1]}, ["experts"]),
        # A gate of as many coefficients, of which others have the same place.
        ({"gate": "markov", "gate_features": []}, SOFTMAX, ["gate"]),
    ],
)
def test_other_models_do_not_continue_a_fit(before, after, words):
    moe = fit_quietly(regressor(**before), X, Y)
    predicted = moe.predict(X)
    message = refusal(moe.set_params(**after).fit, X, Y)
    assert_refused(message, "warm_start=True", *words, "warm_start=False")
    assert_array_equal(moe.predict(X), predicted)
    fit_quietly(moe.set_params(warm_start=False), X, Y)  # as the message says


@pytest.mark.parametrize(
    ("make", "first", "second", "words"),
    [
        (regressor, (X, Y), (WIDER, Y), ["3 features", "have 4"]),
        (
            regressor,
            (NAMED, Y),
            (NAMED[["b", "a", "c"]], Y),
            ["['a', 'b', 'c']", "['b', 'a', 'c']"],
        ),
        (regressor, (X, Y), (X, np.column_stack([Y, Y])), ["1 output", "2 outputs"]),
        (regressor, (X, np.column_stack([Y, Y])), (X, Y), ["2 output", "1 outputs"]),
        (counts, (X, COUNTS), (X, np.column_stack([COUNTS, COUNTS])), ["2 outputs"]),
        (regressor, (X, Y), (X, right_censored(Y, Y > 0)), ["censored y"]),
        (MixtureOfExpertsClassifier, (X, CLASSES), (X, CLASSES + 1), ["[0, 1]", "[1, 2]"]),
        (MixtureOfExpertsClassifier, (X, CLASSES), (X, CLASSES.astype(str)), ["['0', '1']"]),
    ],
)
def test_other_data_do_not_continue_a_fit(make, first, second, words):
    moe = fit_quietly(make(**OPTIONS), *first)
    assert_refused(refusal(moe.fit, *second), "warm_start=True", *words, "warm_start=False")


# Slopes that experts share, lack or have a sign of, of the second of two features.
CONSTRAINTS = {
    "shared": {"shared_features": [1]},
    "of some": {"expert_features": [[0, 1], [0]]},
    "signs": {"monotonic_cst": [0, -1]},
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_a_warm_start_takes_other_slopes_and_signs(make, name):
    rng = np.random.default_rng(0)
    features, regime = rng.normal(size=(400, 2)), np.arange(400) % 2
    predictor = np.where(regime, 2.0 + 2.0 * features[:, 0], -2.0 - 2.0 * features[:, 0])
    target = predictor + 0.1 * features[:, 1] + 0.5 * rng.logistic(size=400)
    target = target > 0.0 if make is MixtureOfExpertsClassifier else target
    options = {"gate": "constant", "alpha": 0.1, "n_init": 1, "random_state": 0}
    if make is MixtureOfExpertsRegressor:
        options |= {"family": "student_t", "dispersion_prior": 10.0}
    moe = make(2, warm_start=True, **options).fit(features, target)
    moe.set_params(**CONSTRAINTS[name]).fit(features, target)
    assert moe.converged_
    again = make(2, **options, **CONSTRAINTS[name])
    again.set_params(init=moe.responsibilities(features, target)).fit(features, target)
    assert_allclose(moe.lower_bound_, again.lower_bound_, rtol=1e-6)
    assert_allclose(moe.expert_coef_, again.expert_coef_, atol=1e-3)
