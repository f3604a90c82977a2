"""Penalties that maximise the evidence of ridge regressions, against the evidence written out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._numerics import evidence


def log_evidence(alphas, hessians, targets):
    """Log evidence of regressions with penalties (p,), Hessians (S, p, p), Hessian times optimum.

    Up to a constant, the scale of the noise being one.
    """
    total = 0.0
    for hessian, target in zip(hessians, targets, strict=True):
        precision = hessian + np.diag(alphas)
        total += 0.5 * (np.log(alphas).sum() - np.linalg.slogdet(precision)[1])
        total += 0.5 * target @ np.linalg.solve(precision, target)
    return total


def systems(seed, n_systems=2, n_features=5):
    """Hessians (S, p, p) and their products with the optimum; the last feature is nearly the first.

    The first two features have slopes.
    """
    rng = np.random.default_rng(seed)
    hessians, targets = [], []
    for _ in range(n_systems):
        X = rng.normal(size=(60, n_features))
        X[:, -1] = X[:, 0] + 0.1 * rng.normal(size=60)
        y = X[:, 0] - X[:, 1] + rng.normal(size=60)
        hessians.append(X.T @ X)
        targets.append(X.T @ y)
    return np.stack(hessians), np.stack(targets)


def slopes_at(alphas, hessians, targets):
    """Slopes at the mode, as gates and experts give them."""
    covariances = np.linalg.inv(hessians + np.diag(alphas))
    values = np.einsum("sij,sj->si", covariances, targets)
    return evidence.Slopes(values, covariances, values * alphas)


def gain_of(before, after, slopes):
    """Gain of log evidence by another penalty."""
    return evidence.evidence_of_penalty(before, after, slopes)[0]


def volume_of(penalty, slopes):
    """Log evidence of a penalty less the log of the posterior at its mode."""
    return evidence.evidence_of_penalty(penalty, penalty, slopes)[1]


OTHERS = np.array([0.3, 2.0, 5.0, 1.0, 0.7])  # penalties of five features


def test_one_penalty_maximises_the_evidence_and_its_prior():
    hessians, targets = systems(0)
    alpha, default = 1.0, 3.0
    for _ in range(200):
        alphas = np.full(5, alpha)
        alpha = evidence.common_penalty(alpha, slopes_at(alphas, hessians, targets), default)

    def objective(value):
        prior = 0.5 * evidence.PRIOR_COEFFICIENTS * (np.log(value) - value / (5 * default))
        return log_evidence(np.full(5, value), hessians, targets) + prior

    assert objective(1.02 * alpha) < objective(alpha) > objective(alpha / 1.02)


def test_no_other_penalty_of_one_feature_has_more_evidence():
    hessians, targets = systems(1)
    start = np.ones(5)
    alphas = np.array(evidence.feature_penalties(start, slopes_at(start, hessians, targets)))
    keeping = evidence.SPARSITY_FACTOR * np.log(5)

    def objective(values):
        return log_evidence(values, hessians, targets) - keeping * np.sum(values < 1e7)

    # The last feature repeats the first: one of both is kept.
    assert np.sum(alphas[[0, 4]] < evidence.DROPPED) == 1
    assert_array_equal(alphas[2:4], evidence.DROPPED)
    best = objective(alphas)
    for j in range(5):
        for value in (*evidence.PENALTY_GRID[::5], evidence.DROPPED):
            other = np.where(np.arange(5) == j, value, alphas)
            assert objective(other) <= best + evidence.MIN_IMPROVEMENT


def test_dropped_features_return_when_they_are_needed():
    hessians, targets = systems(2)
    dropped, start = np.full(5, evidence.DROPPED), np.ones(5)
    # The coefficients of dropped features are zero, so that the gradient is what they would gain.
    slopes = slopes_at(dropped, hessians, targets)
    slopes = slopes._replace(values=np.zeros((2, 5)), gradient=targets)
    again = np.array(evidence.feature_penalties(dropped, slopes))
    first = np.array(evidence.feature_penalties(start, slopes_at(start, hessians, targets)))
    assert_array_equal(again < evidence.DROPPED, first < evidence.DROPPED)


@pytest.mark.parametrize("value", [0.01, 0.5, 30.0, evidence.DROPPED])
@pytest.mark.parametrize("j", range(5))
def test_gain_of_another_penalty_of_one_feature(j, value):
    """It is the gain of the evidence; dropping a feature gains the prior of keeping it."""
    hessians, targets = systems(4)
    after = np.where(np.arange(5) == j, value, OTHERS)
    slopes = slopes_at(OTHERS, hessians, targets)
    gain = gain_of(tuple(OTHERS), tuple(after), slopes)
    expected = np.subtract(*(log_evidence(a, hessians, targets) for a in (after, OTHERS)))
    expected += evidence.SPARSITY_FACTOR * np.log(5) * (value == evidence.DROPPED)
    assert_allclose(gain, expected, rtol=1e-5, atol=1e-5)


def test_the_gain_does_not_need_slopes_at_their_mode():
    hessians, targets = systems(5)
    at_mode = slopes_at(np.full(5, 2.0), hessians, targets)
    values = at_mode.values + np.random.default_rng(0).normal(size=at_mode.values.shape)
    gradient = targets - np.einsum("sij,sj->si", hessians, values)
    elsewhere = at_mode._replace(values=values, gradient=gradient)
    found = gain_of(2.0, 3.0, elsewhere)
    assert_allclose(found, gain_of(2.0, 3.0, at_mode))


def test_a_slope_that_systems_share_counts_once():
    """Two systems with half of the penalty each are one system with both Hessians."""
    hessians, targets = systems(3, n_systems=1)
    one = slopes_at(np.full(5, 2.0), 2 * hessians, 2 * targets)
    both = slopes_at(np.full(5, 1.0), hessians.repeat(2, axis=0), targets.repeat(2, axis=0))
    both = both._replace(weight=np.full((2, 5), 0.5))
    for function, *arguments in (
        (lambda slopes: evidence.n_determined_slopes(2.0, slopes).sum(),),
        (lambda slopes: evidence.common_penalty(2.0, slopes, 1.0),),
        (lambda slopes: gain_of(2.0, 0.4, slopes),),
    ):
        assert_allclose(function(both, *arguments), function(one, *arguments))


def test_volume_and_penalised_likelihood_are_the_evidence():
    """For penalties common to all slopes or of each, of which one can be dropped."""
    hessians, targets = systems(0)

    def found(alphas, penalty):
        slopes = slopes_at(alphas, hessians, targets)
        precision = hessians + np.diag(alphas)
        explained = np.einsum("si,si->", slopes.values, targets)
        explained -= 0.5 * np.einsum("si,sij,sj->", slopes.values, precision, slopes.values)
        return explained + volume_of(penalty, slopes)

    def expected(alphas):
        return log_evidence(alphas, hessians, targets) - log_evidence(one, hessians, targets)

    one = np.full(5, 0.7)
    gain = found(OTHERS, tuple(OTHERS)) - found(one, tuple(one))
    assert_allclose(gain, expected(OTHERS))
    # Five features that may be dropped have a prior, in which a dropped one has no part.
    prior = evidence.SPARSITY_FACTOR * np.log(5)
    assert_allclose(found(one, 0.7) - found(one, tuple(one)), 5 * prior)
    dropped = np.where(np.arange(5) == 2, evidence.DROPPED, OTHERS)
    gain = found(dropped, tuple(dropped)) - found(one, tuple(one))
    assert_allclose(gain, expected(dropped) + prior, rtol=1e-6)


@pytest.mark.parametrize("kind", ["auto", "ard"])
@pytest.mark.parametrize("seed", range(2))
def test_variances_of_independent_slopes_are_diagonal_matrices(seed, kind):
    rng = np.random.default_rng(seed)
    values, variances = rng.normal(size=(3, 6)), rng.uniform(0.01, 0.5, size=(3, 6))
    gradient = rng.normal(size=(3, 6))
    alpha = 0.5 if kind == "auto" else rng.uniform(0.1, 2.0, 6)
    matrices = np.stack([np.diag(row) for row in variances])
    one, other = (evidence.Slopes(values, v, gradient) for v in (variances, matrices))
    if kind == "ard":
        found = [evidence.feature_penalties(alpha, slopes) for slopes in (one, other)]
    else:
        found = [evidence.common_penalty(alpha, slopes, 1.0) for slopes in (one, other)]
    assert_allclose(*found, rtol=1e-12)
    penalty = 0.5 if kind == "auto" else tuple(alpha)
    for function in (evidence.n_determined_slopes, volume_of):
        assert_allclose(function(penalty, one), function(penalty, other))


def test_one_penalty_stays_in_its_range():
    rng = np.random.default_rng(0)
    values, variances, gradient = rng.normal(size=(2, 3)), np.full((2, 3), 0.01), np.zeros((2, 3))
    tiny, huge = (evidence.Slopes(size * values, variances, gradient) for size in (0.0, 1e9))
    assert evidence.common_penalty(2.0, tiny, 1e9) == evidence.MAX_PENALTY
    assert evidence.common_penalty(2.0, huge, 1.0) == evidence.MIN_PENALTY
    # A default of zero is the smallest penalty.
    zero, least = (evidence.common_penalty(2.0, tiny, v) for v in (0.0, evidence.MIN_PENALTY))
    assert zero == least
    assert len(evidence.feature_penalties(2.0, tiny)) == 3


def test_features_of_large_penalties_are_dropped():
    dropped = evidence.DROPPED
    assert evidence.is_dropped((1.0, dropped, 0.5 * dropped)).tolist() == [False, True, False]


@pytest.mark.parametrize("n_axes", [2, 3])
def test_slopes_whose_variance_is_zero_by_underflow_have_finite_evidence(n_axes):
    covariances = np.array([[0.1, 0.2], [0.0, 0.0]])
    covariances = covariances if n_axes == 2 else covariances[:, :, None] * np.eye(2)
    values, gradient = np.array([[0.5, 0.1], [3e-65, 0.0]]), np.zeros((2, 2))
    slopes = evidence.Slopes(values, covariances, gradient)
    with np.errstate(all="raise", under="ignore"):
        found = evidence.evidence_of_penalty(5.0, 3.0, slopes)
    assert np.isfinite(found).all()
