"""Scorers of distributions agree with means that are written out."""

import numpy as np
import pytest
from cases import UNITS, X, fitted_case, target_of
from numpy.testing import assert_allclose
from regimes import quiet

from skmoe import MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer, make_interval_scorers, neg_crps_scorer

COUNTS = target_of("poisson")
WEIGHT = np.random.default_rng(2).uniform(0.0, 2.0, size=len(X))
OFFSET = 0.5 * X[:, 1]


@pytest.fixture(scope="module")
def counts():
    moe = MixtureOfExpertsRegressor(2, family="poisson", n_init=1, max_iter=10, random_state=0)
    return quiet(moe, X, COUNTS, offset=OFFSET)


def test_scorers_request_what_they_take_by_metadata_routing():
    with_units = log_density_scorer.get_metadata_routing().score.requests
    assert with_units == {"offset": True, "units": True}
    for scorer in (neg_crps_scorer, *make_interval_scorers().values()):
        assert scorer.get_metadata_routing().score.requests == {"offset": True}


@pytest.mark.parametrize("coverage", [0.2, 0.5, 0.9])
def test_intervals_of_counts_include_their_bounds(counts, coverage):
    lower, upper = counts.predict_interval(X, coverage, offset=OFFSET).T
    assert ((lower == COUNTS) & (upper > COUNTS)).any()
    assert ((upper == COUNTS) & (lower < COUNTS)).any()
    inside = (lower <= COUNTS) & (upper >= COUNTS)
    below, above = np.clip(lower - COUNTS, 0, None), np.clip(COUNTS - upper, 0, None)
    width = upper - lower
    scorers = make_interval_scorers(coverage)
    for name, values in {
        "coverage": inside,
        "neg_width": -width,
        "neg_interval_score": -width - (below + above) * 2.0 / (1.0 - coverage),
    }.items():
        score = scorers[name](counts, X, COUNTS, sample_weight=WEIGHT, offset=OFFSET)
        assert_allclose(score, np.average(values, weights=WEIGHT))


def test_scores_are_means_over_rows_with_their_weights_and_offset(counts):
    given = {"sample_weight": WEIGHT, "offset": OFFSET}
    dist = counts.predict_dist(X, OFFSET)
    score = log_density_scorer(counts, X, COUNTS, **given)
    assert_allclose(score, np.average(dist.logpmf(COUNTS), weights=WEIGHT))
    score = neg_crps_scorer(counts, X, COUNTS, **given)
    assert_allclose(score, -np.average(dist.crps(COUNTS), weights=WEIGHT))


def test_scores_of_units_are_means_over_units():
    moe, y = fitted_case("units"), fitted_case("two experts").predict(X)
    densities = moe.score_samples(X, y, units=UNITS, sample_weight=WEIGHT)
    score = log_density_scorer(moe, X, y, sample_weight=WEIGHT, units=UNITS)
    assert_allclose(score, densities.sum() / len(densities))
    assert len(densities) == len(np.unique(UNITS))


class Other:
    """A mixture of another package, without an offset."""

    def predict_gate(self, X):
        return np.ones((len(X), 1))

    def score_samples(self, X, y):
        return X[:, 0] - y

    def predict_dist(self, X):
        return fitted_case("two experts").predict_dist(X)


def test_mixtures_of_other_kinds_need_not_take_an_offset():
    y = np.arange(4.0)
    assert_allclose(log_density_scorer(Other(), X[:4], y), np.mean(X[:4, 0] - y))
    own = fitted_case("two experts").predict_dist(X[:4])
    assert_allclose(neg_crps_scorer(Other(), X[:4], y), -own.crps(y).mean())


def test_outputs_have_equal_weights():
    moe = fitted_case("outputs")
    outputs = np.column_stack([moe.predict(X)[:, 0] + 1.0, X[:, 0]])
    crps = moe.predict_dist(X).crps(outputs)
    score = neg_crps_scorer(moe, X, outputs, sample_weight=WEIGHT)
    assert_allclose(score, -np.average(crps, axis=0, weights=WEIGHT).mean())
