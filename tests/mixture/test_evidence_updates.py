"""Updates of penalties: slopes with their posterior, and the evidence of other penalties."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skmoe._mixture.evidence import Penalty, penalised_slopes, updated_penalties
from skmoe._mixture.mixture import Mixture
from skmoe._numerics import evidence as prior
from skmoe._numerics.evidence import DROPPED, SPARSITY_FACTOR
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate
from support.families import no_scaling
from support.mixtures import CASES, Case, case, gradient, linear, log_likelihood, rows_of

# --- slopes -------------------------------------------------------------------------------------


def slopes_of(own, part):
    state = own.objective.at(own.theta[None])
    found = penalised_slopes(state)
    return {field: slopes for (name, field), slopes in found.items() if name == part}, state


@pytest.mark.parametrize("part", ["experts", "gate"])
@pytest.mark.parametrize("name", CASES)
def test_slopes_are_those_of_penalty_and_likelihood(name, part):
    own = case(name)
    mixture, theta = own.mixture, own.theta
    found, _ = slopes_of(own, part)
    blocks = getattr(mixture, part).blocks
    shift = mixture.experts.size if part == "gate" else 0
    for field, (values, covariances, gradients, weight) in found.items():
        alpha = {"alpha": 0.9 if part == "gate" else 0.7, "dispersion_alpha": 1.7}[field]
        roles = ("dispersion",) if field == "dispersion_alpha" else ("mean", "gate")
        along = np.zeros(mixture.size)
        for block in (block for block in blocks if block.role in roles):
            index = shift + np.r_[block.where][:-1]
            along[index] = theta[index]
        without = mixture.penalty(theta[None]) - mixture.penalty((theta - along)[None])
        if not any(family.couples_outputs for family in mixture.experts.families):
            penalty = 0.5 * alpha * (weight * np.square(values)).sum()
            assert_allclose(penalty, without[0], atol=1e-12)
            # Along the slopes the log-likelihood changes as the gradient has it.
            [expected] = gradient(
                lambda at, without=mixture.penalty: (
                    log_likelihood(mixture, at, own.blocks()) + without(at)
                ),
                theta,
                along[None],
            )
            assert_allclose((gradients * values).sum(), expected, rtol=1e-5, atol=1e-5)
        assert covariances.shape == (*values.shape, values.shape[1])
        assert (np.linalg.eigvalsh(covariances) > 0.0).all()


# --- updates ------------------------------------------------------------------------------------


@cache
def regression():
    """Centred features and target of one regression."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    y = features @ [0.5, 0.0, 0.1] + 0.8 * rng.normal(size=40)
    return features, y - y.mean()


def mixture_of(alpha, **options):
    """One regression with given penalties."""
    features, y = regression()
    design = np.asfortranarray(np.column_stack([features, np.ones(40)]))
    rows = rows_of(y[None], design=design, weight=np.ones(40))
    estimates = {"noise_variance": (0.8,), "variance_floor": (1e-6,)}
    experts = LinearExperts(alpha=alpha, dispersion_prior=0.0, **options)
    experts = experts.experts_of(rows, no_scaling(), 1, estimates, {})
    return Mixture(experts, ConstantGate().gate_of(1, 4)), rows


def state_at(mixture, rows, variance):
    """The state at the penalised maximum for a given variance."""
    features, y = regression()
    alphas = np.broadcast_to(mixture.experts.penalties["alpha"], 3)
    slopes = np.linalg.solve(features.T @ features + np.diag(alphas), features.T @ y)
    theta = np.array([*slopes, 0.0, np.log(variance)])
    return Case(mixture, rows, theta).objective.at(theta[None])


def log_marginal(alphas, variance):
    """Log density of the target, without the slopes, whose prior variance is variance / alpha."""
    features, y = regression()
    covariance = variance * (np.eye(40) + features / alphas @ features.T)
    return stats.multivariate_normal.logpdf(y, np.zeros(40), covariance)


def of_slopes(kind):
    return [Penalty("experts", ("alpha",), 0.1, kind)]


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_the_evidence_of_an_update_is_that_of_a_regression_without_its_slopes(kind):
    """Up to a constant; of penalties of each feature the prior of keeping them is counted."""
    found, expected = [], []
    for alpha in (0.5, 4.0):
        mixture, rows = mixture_of(alpha if kind == "auto" else (alpha,) * 3)
        update = updated_penalties(of_slopes(kind), mixture, state_at(mixture, rows, 0.6))
        found.append(40 * update.log_evidence)
        expected.append(log_marginal(np.full(3, alpha), 0.6))
        best = update.mixture.experts.penalties["alpha"]
        gain = log_marginal(np.broadcast_to(best, 3), 0.6) - expected[-1]
        if kind == "auto":  # the gain is that of each slope alone; features are nearly independent
            assert_allclose(40 * update.gain, gain, atol=0.1)
            assert_allclose(update.factor, max(best / alpha, alpha / best))
        else:
            kept = np.array(best) < DROPPED
            assert kept[0]
            assert not kept[1]
            of_prior = SPARSITY_FACTOR * np.log(3) * (~kept).sum()
            assert_allclose(40 * update.gain, gain + of_prior, atol=0.4)
    assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_the_prior_of_dispersions_is_found_from_residuals_and_their_freedom(shared):
    own = linear("normal", n_outputs=2, shared_dispersion=shared, gate=ConstantGate())
    mixture, rows = own.mixture, own.rows
    theta = mixture.start  # of experts that are alike
    state = own.objective.at(theta[None])
    default = mixture.with_parts(
        experts=mixture.experts.with_penalties(
            {"dispersion_prior": 9.0, "noise_variance": (0.1, 0.2)}
        ),
    )
    of_scales = Penalty("experts", ("dispersion_prior", "noise_variance"), 10.0, "auto")
    update = updated_penalties([of_scales], default, state)
    design, weight = rows.expert_design, rows.weight / 3
    ridge = np.diag([0.7, 0.7, 0.7, 0.0])
    gram = design.T @ (weight[:, None] * design)
    n_slopes = np.trace(np.linalg.solve(gram + ridge, gram)) - 1.0  # the intercept is free
    unit = mixture.experts.unit_variance
    total = weight.sum()
    variance = np.exp(theta[mixture.experts.scale_index]) / unit
    # A scale is the mode (squares + strength * center) / (rows + strength).
    center = np.array([0.8, 1.3])
    squares, freedom = (total + 4.0) * variance - 4.0 * center, np.full((3, 2), total - n_slopes)
    if shared:
        squares = ((3 * total + 4.0) * variance - 4.0 * center)[:1]
        freedom = freedom.sum(axis=0, keepdims=True)
    defaults = np.log([9.0, 0.1, 0.2])
    logs = prior.dispersion_prior(np.maximum(squares, 0.0), freedom, defaults, defaults)
    strength, scale = np.exp(logs[0]), np.exp(logs[1:])
    found = update.mixture.experts.penalties
    assert_allclose(found["dispersion_prior"], strength, rtol=1e-6)
    # Of new rows, whose residuals are larger, but for those of one model of all rows.
    noise = np.array(found["noise_variance"])
    assert (noise >= scale - 1e-9).all()
    assert (noise <= np.maximum(scale, [0.1, 0.2]) + 1e-9).all()
    assert found["alpha"] == 0.7
