"""Scorers of predictive distributions agree with means that are written out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.metrics import (
    log_density_scorer,
    make_interval_scorers,
    make_survival_scorers,
    neg_crps_scorer,
)
from support.fits import CLASSES, UNITS, X, Y, fit_quietly, fitted_case, target_of
from support.refusals import assert_refused, refusal

COUNTS = target_of("poisson")
WEIGHT = np.random.default_rng(2).integers(0, 3, size=len(X))
OFFSET = 0.5 * X[:, 1]
SCORERS = {"density": log_density_scorer, "crps": neg_crps_scorer, **make_interval_scorers(0.5)}
SCORERS |= {f"{name} of times": scorer for name, scorer in make_survival_scorers().items()}


@pytest.fixture(scope="module")
def counts():
    moe = MixtureOfExpertsRegressor(2, family="poisson", n_init=1, max_iter=10, random_state=0)
    return fit_quietly(moe, X, COUNTS, offset=OFFSET)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_scores_are_means_over_rows_with_their_weights_and_offset(counts, weight):
    """Intervals include their bounds, which counts reach."""
    given = {"sample_weight": weight, "offset": OFFSET}
    dist = counts.predict_dist(X, offset=OFFSET)
    lower, upper = dist.interval(0.5).T
    assert ((lower == COUNTS) & (upper > COUNTS)).any()
    assert ((upper == COUNTS) & (lower < COUNTS)).any()
    outside = np.maximum(lower - COUNTS, 0) + np.maximum(COUNTS - upper, 0)
    for name, values in {
        "density": dist.logpmf(COUNTS),
        "crps": -dist.crps(COUNTS),
        "coverage": (lower <= COUNTS) & (upper >= COUNTS),
        "neg_width": lower - upper,
        "neg_interval_score": lower - upper - outside * 2.0 / (1.0 - 0.5),
    }.items():
        score = SCORERS[name](counts, X, COUNTS, **given)
        assert_allclose(score, np.average(values, weights=weight), err_msg=name)


@pytest.mark.parametrize("name", SCORERS)
def test_weight_two_equals_two_rows(name):
    moe = fitted_case("two experts")
    repeated = np.repeat(X, WEIGHT, axis=0), np.repeat(Y, WEIGHT)
    assert_allclose(SCORERS[name](moe, X, Y, sample_weight=WEIGHT), SCORERS[name](moe, *repeated))


def test_scores_of_units_are_means_over_units():
    moe = fitted_case("units")
    given = {"units": UNITS, "sample_weight": 1.0 + WEIGHT}
    densities = moe.score_samples(X, Y, **given)
    score = log_density_scorer(moe, X, Y, **given)
    assert_allclose(score, densities.sum() / len(np.unique(UNITS)))


def test_outputs_have_equal_weights():
    moe = fitted_case("outputs")
    outputs = np.column_stack([moe.predict(X)[:, 0] + 1.0, X[:, 0]])
    crps = moe.predict_dist(X).crps(outputs)
    score = neg_crps_scorer(moe, X, outputs, sample_weight=WEIGHT)
    assert_allclose(score, -np.average(crps, axis=0, weights=WEIGHT).mean())


def test_log_density_of_classes_is_the_negative_log_loss():
    moe = fitted_case("linear-classifier")
    score = log_density_scorer(moe, X, CLASSES)
    assert_allclose(score, -log_loss(CLASSES, moe.predict_proba(X)))


class Other:
    """A mixture of another package, without an offset."""

    def predict_gate(self, X):
        return np.ones((len(X), 1))

    def score_samples(self, X, y):
        return X[:, 0] - y

    def predict_dist(self, X):
        return fitted_case("two experts").predict_dist(X)


def test_mixtures_of_other_packages_need_not_take_an_offset():
    y = np.arange(4.0)
    assert_allclose(log_density_scorer(Other(), X[:4], y), np.mean(X[:4, 0] - y))
    own = fitted_case("two experts").predict_dist(X[:4])
    assert_allclose(neg_crps_scorer(Other(), X[:4], y), -own.crps(y).mean())


def test_scorers_request_what_they_take_by_metadata_routing():
    for name, scorer in SCORERS.items():
        expected = dict.fromkeys(["offset", "units", "time", "var_weights"], True)
        assert scorer.get_metadata_routing().score.requests == expected, name


# --- refusals -------------------------------------------------------------------------------------


def test_what_has_no_score_is_refused():
    moe, classes = fitted_case("two experts"), fitted_case("linear-classifier")
    transformed = TransformedTargetRegressor(MixtureOfExpertsRegressor(2, n_init=1, max_iter=3))
    two = np.column_stack([Y, Y])
    for call, words in {
        lambda: neg_crps_scorer(Ridge().fit(X, Y), X, Y): ("predict_dist", "Ridge"),
        lambda: neg_crps_scorer(classes, X, CLASSES): ("predict_dist",),
        lambda: log_density_scorer(fit_quietly(transformed, X, Y), X, Y): ("is transformed",),
        lambda: make_interval_scorers(95): ("coverage", "(0, 1)", "95"),
        lambda: SCORERS["coverage"](moe, X, two): ("shape (300,)", "got (300, 2)"),
    }.items():
        assert_refused(refusal(call), "", *words)


@pytest.mark.parametrize("name", SCORERS)
def test_weights_that_are_none_are_refused(name):
    moe = fitted_case("two experts")
    for weight, *words in (
        (np.where(np.arange(len(Y)) == 7, -1.0, 1.0), "not negative", "row 7 holds -1"),
        (np.full(len(Y), np.nan), "finite", "row 0 holds nan"),
        (np.zeros(len(Y)), "zero for every row", "positive weight"),
        (np.ones(3), f"the {len(Y)} rows", "(3,)"),
        ("heavy", "numbers", "heavy"),
    ):
        message = refusal(SCORERS[name], moe, X, Y, sample_weight=weight)
        assert_refused(message, "sample_weight must", *words)


def test_bounds_of_values_that_are_all_observed_have_the_scores_of_numbers():
    moe, event = fitted_case("linear-regressor"), np.ones(len(Y), dtype=bool)
    y = right_censored(Y, event)
    assert neg_crps_scorer(moe, X, y) == neg_crps_scorer(moe, X, Y)
    event[0] = False
    assert_refused(
        refusal(neg_crps_scorer, moe, X, right_censored(Y, event)), "the score needs values of y"
    )
