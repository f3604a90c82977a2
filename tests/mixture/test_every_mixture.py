"""What holds of every mixture, whatever its families, gate, rows and constraints."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe._mixture.em import em, side_by_side
from skmoe._mixture.information import Clusters, end_at_maximum, observed_information
from support.expert_kinds import GENERALIZED
from support.mixtures import (
    CASES,
    OF_USERS,
    blocks_of,
    case,
    gradient,
    log_likelihood,
    started,
    taken,
)

# Families whose fits go the same way as that of another differ by their derivatives only. What
# weights, blocks of rows and starts do in fits of every kind is tested in `tests/properties`.
SAME = set(GENERALIZED) - {"poisson", "student_t", "ordinal"}
KINDS = [name for name in CASES | OF_USERS if name not in SAME]
EVERY_KIND = pytest.mark.parametrize("name", KINDS)
# Gates of users have no derivatives.
DIFFERENTIABLE = [name for name in CASES | OF_USERS if "own gate" not in name]
OF_DERIVATIVES = pytest.mark.parametrize("name", DIFFERENTIABLE)
# Ways in which rows enter the sums.
WAYS = ["4 classes", "joint", "weibull, censored", "list, dispersion features and signs", "units"]
WAYS += ["units of lists", "known units", "offset", "sparse", "balance of units", "routing"]
WAYS += ["own classes", "own second predictor, own gate, units"]


def fields(value):
    """All arrays of nested sums, in order; None and products that are not formed left out."""
    if isinstance(value, tuple):
        return [array for own in value for array in fields(own)]
    return [] if value is None else [np.asarray(value)]


def sums(mixture, theta, blocks):
    return fields(mixture.e_step(theta, blocks, curvature=True))


def assert_same(found, expected, **tolerances):
    for own, other in zip(found, expected, strict=True):
        scale = max(float(np.abs(other).max(initial=0.0)), 1.0)
        assert_allclose(own, other, **{"rtol": 1e-10, "atol": 1e-11 * scale} | tolerances)


# --- sums ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_sums_over_blocks_and_over_copies_in_any_order_are_those_of_all_rows(name):
    """A weight of two is a row twice."""
    own = case(name)
    mixture, rows, theta = own.mixture, own.rows, own.theta[None]
    assert_same(sums(mixture, theta, own.blocks(17)), sums(mixture, theta, own.blocks()))
    index = np.arange(len(rows.gate_weight))
    order = np.random.default_rng(0).permutation(index) if rows.units is None else index
    blocks = blocks_of(mixture, taken(rows, order)) + own.blocks()
    weight = 2.0 if rows.units is not None else 2.0 * rows.weight
    heavy = blocks_of(mixture, taken(rows, slice(None), weight))
    assert_same(sums(mixture, theta, blocks), sums(mixture, theta, heavy))


@EVERY_KIND
def test_vectors_side_by_side_are_those_of_each(name):
    own = case(name)
    mixture, blocks = own.mixture, own.blocks()
    thetas = np.stack([own.theta, started(own)])
    state = own.objective.at(thetas)
    for i, theta in enumerate(thetas):
        alone = own.objective.at(theta[None])
        assert_allclose(state.lower_bound[i], alone.lower_bound[0], rtol=1e-12)
        ahead, of_one = own.objective.ahead(state), own.objective.ahead(alone)
        assert_allclose(ahead[i], of_one[0], rtol=1e-7, atol=1e-9)
        resp = mixture.responsibilities(thetas, blocks[0])[0][:, i]
        assert_allclose(resp, mixture.responsibilities(theta[None], blocks[0])[0][:, 0], atol=1e-12)


# --- derivatives --------------------------------------------------------------------------------


@OF_DERIVATIVES
def test_gradient_is_that_of_differences(name):
    own = case(name)
    mixture, blocks, theta = own.mixture, own.blocks(), own.theta
    directions = mixture.expanded(np.eye(len(mixture.first)))
    found = _total_gradient(mixture, theta, blocks) - mixture.penalty_gradient(theta)
    found = mixture.reduced(found)
    expected = gradient(lambda at: log_likelihood(mixture, at, blocks), theta, directions)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    state = own.objective.at(theta[None])
    change = (own.objective.ahead(state, 1e-3)[0] - theta)[mixture.first]
    assert change.any()
    slope = (found * change).sum()
    assert slope > -1e-12, "a step leads downward"


@OF_DERIVATIVES
def test_information_is_that_of_differences(name):
    own = case(name)
    mixture, blocks, theta = own.mixture, own.blocks(25), own.theta
    information = observed_information(mixture, theta, blocks)
    # Directions that change all coefficients at once see every entry.
    n_coefs = len(mixture.first)
    changes = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, n_coefs))
    directions = mixture.expanded(changes)

    def slopes(at):
        found = [_total_gradient(mixture, one, blocks) for one in at]
        return mixture.reduced(
            np.stack([f - mixture.penalty_gradient(one) for f, one in zip(found, at, strict=True)])
        )

    assert_allclose(information.gradient, _total_gradient(mixture, theta, blocks), atol=1e-8)
    expected = -gradient(slopes, theta, directions, 1e-4 / np.sqrt(n_coefs))
    found = mixture.reduced_matrix(information.observed)
    scale = np.abs(found).max()
    assert_allclose(found, found.T, rtol=1e-9, atol=1e-9 * scale)
    assert_allclose(changes @ found, expected, rtol=2e-5, atol=2e-7 * scale)
    assert_allclose(information.expert_weight.sum(), own.rows.weight.sum())


def _total_gradient(mixture, theta, blocks):
    if mixture.own:  # whose sums in an E-step are their own
        return observed_information(mixture, theta, blocks).gradient
    return mixture.e_step(theta[None], blocks, curvature=False).gradient[0]


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name in KINDS])
def test_information_by_scores_of_rows_is_the_same(name):
    """That of whole rows is computed from pairs of predictors, the other from each gradient."""
    own = case(name)
    mixture, theta, blocks = own.mixture, own.theta, own.blocks()
    by_pairs = observed_information(mixture, theta, blocks)
    by_rows = observed_information(mixture, theta, blocks, with_scores=True)
    assert_allclose(by_rows.observed, by_pairs.observed, rtol=1e-8, atol=1e-8)
    assert_allclose(by_rows.gradient, by_pairs.gradient, rtol=1e-8, atol=1e-8)
    codes = np.arange(len(own.rows.gate_weight)) % 3
    scores = np.array([*_gradients_of_clusters(mixture, theta, own.rows, codes)])
    expected = 3.0 * np.cov(scores, rowvar=False)
    clusters = Clusters(codes, np.zeros(3, dtype=int))
    of_clusters = observed_information(mixture, theta, blocks, clusters=clusters).scores
    if mixture.balance:
        return  # the prior of the usage has no rows
    assert_allclose(of_clusters, expected, rtol=1e-7, atol=1e-7)


def _gradients_of_clusters(mixture, theta, rows, clusters):
    for number in range(clusters.max() + 1):
        index = np.flatnonzero(clusters == number)
        own = taken(rows, index)
        yield _total_gradient(mixture, theta, blocks_of(mixture, own))


# --- EM and Newton's method ---------------------------------------------------------------------


@EVERY_KIND
def test_the_bound_never_falls(name):
    own = case(name)
    objective, theta = own.objective, started(own)
    run = em(objective, theta, 15, 0.0)
    bounds = np.array(run.lower_bounds)
    assert not run.failed
    assert np.diff(bounds).min() > -1e-10 * (1.0 + np.abs(bounds).max())
    assert bounds[0] >= objective.at(theta[None]).lower_bound[0] - 1e-10
    assert_allclose(bounds[-1], objective.at(run.theta[None]).lower_bound[0], rtol=1e-10)
    lower, upper = own.mixture.lower, own.mixture.upper
    assert (run.theta >= lower).all()
    assert (run.theta <= upper).all()
    thetas = np.stack([theta, own.theta])
    found, histories = side_by_side(objective, thetas, 10)
    for history, at in zip(histories, found, strict=True):
        assert np.diff(history).min(initial=0.0) >= 0.0
        assert_allclose(history[-1], objective.at(at[None]).lower_bound[0], rtol=1e-10)


# Where routed rows change sides the likelihood jumps.
SMOOTH = [name for name in KINDS if name in DIFFERENTIABLE and name != "routing"]


@pytest.mark.parametrize("name", SMOOTH)
def test_a_run_ends_at_a_maximum(name):
    own = case(name)
    mixture, objective = own.mixture, own.objective
    run = em(objective, started(own), 3000, 1e-6)
    ended = end_at_maximum(objective, run, 5000, 1e-9)
    assert ended.converged
    assert ended.lower_bound >= run.lower_bound - 1e-12 * (1.0 + abs(run.lower_bound))
    found = observed_information(mixture, ended.theta, objective.blocks)
    slope = mixture.reduced(found.gradient - mixture.penalty_gradient(ended.theta))
    free = ~mixture.at_bound(ended.theta)[mixture.first]
    observed = mixture.reduced_matrix(found.observed)[np.ix_(free, free)]
    # In standard errors.
    shift = np.abs(np.linalg.pinv(observed, hermitian=True) @ slope[free])
    errors = np.sqrt(np.abs(np.diag(np.linalg.pinv(observed, hermitian=True))))
    assert (shift <= 1e-2 * np.maximum(errors, 1e-6)).all()
    assert np.linalg.eigvalsh(observed).min() > -1e-6 * np.abs(observed).max()


# --- the order of the experts -------------------------------------------------------------------


@EVERY_KIND
def test_reordered_mixtures_have_the_same_densities(name):
    own = case(name)
    mixture = own.mixture
    if not mixture.can_reorder:
        return
    order = np.random.default_rng(1).permutation(mixture.n_experts)
    theta = mixture.reordered(own.theta, order)
    [data] = own.blocks()
    data.rows = data.rows._replace(possible=None)
    joint = mixture.log_joint(own.theta[None], data)
    assert_allclose(mixture.log_joint(theta[None], data), joint[order], rtol=1e-9, atol=1e-10)
    assert_allclose(mixture.penalty(theta[None]), mixture.penalty(own.theta[None]), rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_projected_coefficients_are_valid_and_stay(name):
    own = case(name)
    mixture = own.mixture
    theta = own.theta + np.random.default_rng(0).normal(size=mixture.size)
    projected = mixture.projected(theta)
    # Of covariances at a floor the eigenvalues are raised again by round-off.
    assert_allclose(mixture.projected(projected), projected, rtol=1e-13)
    assert_array_equal(mixture.expanded(projected[mixture.first]), projected)
    lower, upper = mixture.lower, mixture.upper
    assert ((lower <= projected) & (projected <= upper)).all()
    assert mixture.reduced(np.ones(mixture.size)).sum() == (mixture.free >= 0).sum()
