"""Cumulative logits: sums over the values, extreme predictors, and which values are possible."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import LinearExperts
from skmoe.families import Ordinal
from support.families import no_scaling
from support.fits import fit_quietly


def test_extreme_predictors_have_finite_log_probabilities():
    family, steps = Ordinal((1.0, 2.0, 3.0, 4.0)), np.log([[2000.0], [1.0]])
    predictor, y = np.array([-100.0, 100.0, 3000.0, 0.0]), np.array([3.0, 1.0, 1.0, 4.0])
    found = family.log_prob(y, [predictor, *steps])
    # Of odds that are exponentials: more than 2000, less than 0, less than 0, more than 2001.
    assert_allclose(found, [-2100.0 + np.log1p(-np.exp(-1.0)), -100.0, -3000.0, -2001.0])
    _, (score, *_), *_ = family.derivatives(y, [predictor, *steps])
    assert_allclose(score, [1.0, -1.0, -1.0, 1.0])


def test_scores_of_separated_experts_are_those_of_their_attributes():
    """Without penalties the slopes of an expert whose rows are separated increase far."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, -1.0]
    y = np.digitize(2.0 * X[:, 0] + 0.3 * rng.logistic(size=100), [-2.0, 0.0, 2.0])
    options = {"gate": "constant", "alpha": 0.0, "n_init": 1, "random_state": 0}
    moe = fit_quietly(MixtureOfExpertsRegressor(3, family="ordinal", **options), X, y)
    predictor = X @ moe.expert_coef_.T + moe.expert_intercept_
    assert np.abs(predictor).max() > 100.0
    zero, end = np.zeros((3, 1)), np.full((3, 1), np.inf)
    thresholds = np.hstack([-end, zero, np.cumsum(moe.threshold_steps_, axis=1), end])
    upper, lower = (thresholds[:, y + shift].T - predictor for shift in (1, 0))
    probability = expit(upper) - expit(lower)
    probability = np.where(lower > 0.0, expit(-lower) - expit(-upper), probability)
    assert_allclose(np.exp(moe.score_samples(X, y)), probability @ moe.weights_, rtol=1e-6)


@pytest.mark.parametrize(("n_values", "is_possible"), [(1, 0), (2, 1), (30, 1), (31, 0)])
def test_two_to_thirty_values_of_one_output(n_values, is_possible):
    y = np.arange(n_values, dtype=float)[None]
    for family in (Ordinal(), Ordinal(tuple(y[0]))):
        experts = LinearExperts((family,))
        assert (experts.obstacle(y) == "") == is_possible
        assert experts.obstacle(np.concatenate([y, y])) == "one output"


def test_given_values_stay_whatever_the_rows_have():
    y = np.array([[2.0, 1.0, 2.0, 5.0]])
    assert Ordinal().fitted_to(y, np.ones(4), no_scaling()).values == (1.0, 2.0, 5.0)
    assert Ordinal((0.0, 1.0)).fitted_to(y, np.ones(4), no_scaling()).values == (0.0, 1.0)
    # Values of rows in parts must be given.
    assert "values" in Ordinal().option_for_parts
    assert not Ordinal((1.0, 2.0)).option_for_parts
    assert Ordinal((0.5, 2.0)).support == "the values 0.5, 2"


@pytest.mark.parametrize("value", [1.0, 2.0])
def test_first_log_odds_are_finite_where_all_rows_have_one_value(value):
    start = Ordinal((1.0, 2.0)).start(np.full(9, value), np.ones(9)).item()
    assert np.isfinite(start)
    assert start > 10.0 if value == 2.0 else start < -10.0
