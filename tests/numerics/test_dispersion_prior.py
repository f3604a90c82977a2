"""The prior of dispersions: scaled F distributions of sums of squares, log-normal hyperpriors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skmoe._numerics import evidence as prior


def logs_of(strength, scales):
    """Logs of strength and scales, (1 + m,)."""
    return np.log([max(strength, prior.MIN_STRENGTH), *scales])


def prior_of(squares, weight, strength, scales):
    """Strength and scales of the prior that is found, from defaults."""
    strength, *found = np.exp(
        prior.dispersion_prior(squares, weight, *[logs_of(strength, scales)] * 2)
    )
    return strength, np.array(found)


def log_posterior_of_modes(found, squares, rows):
    """Log posterior of the variances at their modes, without its constant."""
    strength, scales = found
    logs = np.log((squares + strength * scales) / (rows + strength))
    return 0.5 * ((rows + strength) * (logs + 1.0)).sum()


@pytest.mark.parametrize("strength", [0.2, 10.0, 300.0])
def test_no_other_prior_is_more_probable(strength):
    rng = np.random.default_rng(0)
    rows, center = rng.uniform(5.0, 60.0, size=(6, 2)), np.array([0.5, 2.0])
    squares = rows * 0.8 * rng.chisquare(8, size=(6, 2)) / 8
    found = prior_of(squares, rows, strength, center)

    def objective(logs):
        nu, scale = np.exp(logs[0]), np.exp(logs[1:])
        fits = stats.f(rows, nu).logpdf(squares / (rows * scale)) - np.log(scale)
        begin = np.log([max(strength, prior.MIN_STRENGTH), *center])
        return fits.sum() + stats.norm(begin, prior.LOG_STD).logpdf(logs).sum()

    logs = np.log([found[0], *found[1]])
    for change in 0.02 * np.vstack([np.eye(3), -np.eye(3)]):
        assert objective(logs + change) < objective(logs)
    expected = objective(logs) - objective(np.log([7.0, *center]))

    def log_evidence(other, squares):
        return prior.log_evidence_of_prior(
            logs_of(*other), squares, rows, logs_of(strength, center)
        )

    gain = log_evidence(found, squares)[0] - log_evidence((7.0, center), squares)[0]
    assert_allclose(gain, expected)
    # The posterior of the variances at its mode, and its volume, are the evidence.
    volumes = []
    for other in ((7.0, center), found):
        nu, scales = other
        volume = log_evidence(other, (rows + nu) / np.e - nu * scales)[0]
        volumes.append(volume - log_posterior_of_modes(other, squares, rows))
    assert_allclose(volumes[1] - volumes[0], expected)


# Experts with equal and unequal dispersions, and defaults that hold the strength at a bound.
CASES = [(ratio, strength) for ratio in (1.0, 3.0, 1e6) for strength in (0.2, 10.0, 1e5)]


def dispersions_of_experts(ratio):
    """Sums of squares of two outputs, and their degrees of freedom."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(5.0, 60.0, size=(8, 2))
    return 0.1 * np.geomspace(1.0, ratio, 8)[:, None] * rng.chisquare(weight), weight


@pytest.mark.parametrize(("ratio", "strength"), CASES)
def test_derivatives_of_the_log_evidence(ratio, strength):
    squares, weight = dispersions_of_experts(ratio)
    center, logs = np.log([strength, 0.5, 2.0]), np.log([20.0, 0.05, 3.0])

    def at(logs):
        return prior.log_evidence_of_prior(logs, squares, weight, center)

    for j, change in enumerate(1e-5 * np.eye(3)):
        after, before = at(logs + change), at(logs - change)
        gradient = at(logs)[1][j]
        assert_allclose((after[0] - before[0]) / 2e-5, gradient, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("ratio", "strength"), CASES)
def test_the_gradient_is_zero_or_points_out_of_bounds(ratio, strength):
    squares, weight = dispersions_of_experts(ratio)
    found = prior_of(squares, weight, strength, [0.5, 2.0])
    center = logs_of(strength, [0.5, 2.0])
    gradient = prior.log_evidence_of_prior(logs_of(*found), squares, weight, center)[1]
    size = 0.5 * weight.sum()  # of the terms of the derivatives by scales
    assert_allclose(gradient[1:], 0.0, atol=1e-6 * size)
    if found[0] == pytest.approx(prior.MIN_STRENGTH, rel=1e-12):
        assert gradient[0] < 0.0
    elif found[0] == pytest.approx(prior.MAX_STRENGTH, rel=1e-12):
        assert gradient[0] > 0.0
    else:
        assert abs(gradient[0]) < 1e-6 * size
