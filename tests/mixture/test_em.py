"""EM: it never falls, ends at a maximum, and says so when it cannot."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe._mixture.em import Pace, aitken_gap, em, fitted_to, squarem_step, threads
from skmoe.families import Normal
from skmoe.gates import ConstantGate
from support.fits import fit_quietly
from support.mixtures import case, linear, started
from support.tables import two_regimes

# --- the lower bound ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["normal", "units", "known units", "routing", "balance"])
def test_the_bound_is_the_penalised_log_likelihood_per_row(name):
    """By gate, experts and sharing alone."""
    own = case(name)
    mixture, rows, theta = own.mixture, own.rows, own.theta[None]
    [data] = own.blocks()
    at = mixture.at(theta, data)
    joint = np.broadcast_to(
        at.log_gates[0][:, 0, 0], (mixture.n_experts, len(rows.gate_weight))
    ).copy()
    usage = np.exp(joint) @ rows.gate_weight / rows.gate_weight.sum()
    if rows.units is None:
        joint += at.logs[:, 0]
    else:  # rows with a weight are powers of densities, in a unit with another one
        unit = np.repeat(np.arange(len(rows.gate_weight)), rows.units.sizes)
        for row, own_unit in enumerate(unit):
            power = rows.weight[row] / rows.units.weight[own_unit]
            joint[:, own_unit] += power * at.logs[:, 0, row]
    if rows.possible is not None:
        joint[~rows.possible] = -np.inf
    if mixture.top_k:  # only the most probable experts of each row take part
        joint = np.sort(joint, axis=0)[-mixture.top_k :]
    total = rows.gate_weight @ logsumexp(joint, axis=0) - mixture.penalty(theta)[0]
    total += mixture.balance * rows.gate_weight.sum() * np.log(usage).mean()
    assert_allclose(own.objective.at(theta).lower_bound[0], total / rows.weight.sum(), rtol=1e-10)
    if mixture.top_k is None:
        resp = np.exp(joint - logsumexp(joint, axis=0))
        assert_allclose(mixture.responsibilities(theta, data)[0][:, 0], resp, atol=1e-12)


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_the_intercept_of_an_expert_without_rows_stays_where_it_is(name):
    """With an earlier curvature, which had still fewer rows of it, no lower bound is in the way."""
    own = case(name)
    [group], [gate] = own.mixture.experts.groups, own.mixture.gate_groups
    intercepts = np.stack([index[:, -1] for index in gate.index])

    def without_rows(log_odds):
        theta = own.theta.copy()
        theta[intercepts] -= log_odds * gate.family.contrasts[:1].T
        return theta[None]

    before, theta = own.objective.at(without_rows(90.0)), without_rows(40.0)
    ahead = own.objective.ahead(own.objective.at(theta, before))
    change = (ahead - theta)[0, group.index[0][0]]
    assert abs(change[-1]) < 0.1


def test_constant_gate_of_a_balanced_fit_has_pseudo_rows_of_each_expert():
    """It has a closed form: mean responsibilities, and pseudo-rows."""
    X, y = two_regimes(150)
    given = {"alpha": 0.1, "n_init": 1, "tol": 1e-12, "max_iter": 5000, "random_state": 0}
    for balance in (0.0, 0.5):
        moe = MixtureOfExpertsRegressor(2, gate=ConstantGate(balance=balance), **given)
        resp = fit_quietly(moe, X, y).responsibilities(X, y).mean(axis=0)
        expected = (resp + balance / 2) / (1 + balance)
        assert_allclose(moe.predict_gate(X[:1])[0], expected, atol=1e-4)


# --- extrapolation and stopping -----------------------------------------------------------------


def run(own, n_iter=1000, tol=1e-9, **options):
    return em(own.objective, started(own), n_iter, tol, **options)


def test_extrapolation_reaches_the_same_maximum_in_fewer_iterations():
    plain, fast = (run(case("normal"), pace=Pace(n)) for n in (10**6, 3))
    assert_allclose(fast.lower_bound, plain.lower_bound, atol=1e-7)
    assert len(fast.lower_bounds) < len(plain.lower_bounds)


def test_first_iterations_are_not_extrapolated():
    own = case("normal")
    plain = run(own, 12, 0.0, pace=Pace(10**6)).lower_bounds
    for n_plain in (1, 4):
        found = run(own, 12, 0.0, pace=Pace(n_plain)).lower_bounds
        assert found[: n_plain + 1] == plain[: n_plain + 1]
        assert found[n_plain + 1] != plain[n_plain + 1]


def test_squarem_step_is_that_of_varadhan_and_roland():
    """Scheme S3 of a linear map is exact in one dimension, and no shorter than two iterations."""
    limit, rate = 3.0, 0.9
    path = [np.array([limit + rate**t]) for t in range(3)]
    found, step = squarem_step(*path, 1e6)
    assert_allclose(found, limit, atol=1e-10)
    assert_allclose(step, 1.0 / (1.0 - rate))
    start, first, second = np.random.default_rng(0).normal(size=(3, 7))
    r, v = first - start, second - 2 * first + start
    for longest in (1.0, 16.0):
        step = min(max(np.linalg.norm(r) / np.linalg.norm(v), 1.0), longest)
        found, used = squarem_step(start, first, second, longest)
        assert_allclose(used, step)
        assert_allclose(found, start + 2 * step * r + step**2 * v)
    turning = [np.array([value]) for value in (0.0, 1.0, -1.0)]
    assert squarem_step(*turning, 16.0) == (-1.0, 1.0)


def test_remaining_gain_is_the_estimate_of_aitken():
    for rate in (0.9, 0.999):
        bounds = [-(rate**t) for t in range(200)]
        assert_allclose(aitken_gap(bounds), rate**199, rtol=1e-6)  # all that is left
    fast = [-(0.6**t) for t in range(15)]
    assert_allclose(aitken_gap(fast), fast[-1] - fast[-7])  # at least the last gain
    assert aitken_gap(bounds[:5]) == np.inf  # too short to tell
    assert aitken_gap([*range(30)]) == np.inf  # no sign of an end


@pytest.mark.parametrize("level", [-1000.0, 0.0, 1000.0])
def test_a_gain_of_two_iterations_within_round_off_is_none(level):
    """The round-off is relative to the bound, or absolute where the bound is small."""
    for rtol in (1e-9, 1e-6):
        allowed = rtol * (1.0 + abs(level))
        for gain, gap in ((0.9 * allowed, 0.0), (1.2 * allowed, np.inf)):
            assert aitken_gap([level - 1.0, level - gain, level - 0.4 * gain, level], rtol) == gap
            assert aitken_gap([level - gain, level - 0.4 * gain, level], rtol) == gap
        assert aitken_gap([level - 0.1 * allowed, level], rtol) == np.inf


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_a_converged_run_is_within_its_tolerance_of_the_maximum(tol):
    found, best = run(case("normal"), tol=tol), run(case("normal"), 5000, 1e-11)
    assert found.converged
    assert 0.0 <= best.lower_bound - found.lower_bound < 3 * tol


# --- steps to given responsibilities ------------------------------------------------------------


def test_steps_to_responsibilities_lead_to_ridge_and_logistic_regressions():
    own = linear("normal", n_experts=2, alpha=3.0, dispersion_prior=0.0)
    rows, mixture = own.rows, own.mixture
    resp = np.random.default_rng(0).dirichlet([1.0, 1.0], size=rows.n_rows).T
    theta = mixture.start[None]
    found = fitted_to(own.objective, theta, resp[:, None], resp[:, None], 30)[0]
    of_experts, of_gate = mixture.split(found)
    design, weighted = rows.expert_design, resp * rows.weight
    for k, values in enumerate(of_experts.reshape(2, -1)):
        ridge = Ridge(3.0).fit(design[:, :-1], rows.y[0], sample_weight=weighted[k])
        assert_allclose(values[:-1], [*ridge.coef_, ridge.intercept_], rtol=1e-6, atol=1e-8)
        squares = weighted[k] @ (rows.y[0] - ridge.predict(design[:, :-1])) ** 2
        squares += 3.0 * (ridge.coef_**2).sum()
        assert_allclose(np.exp(values[-1]), squares / weighted[k].sum())

    def loss(values):  # of the contrast of two experts
        log_gate = log_softmax(np.outer(mixture.gate.family.contrasts[:, 0], design @ values), 0)
        return -(weighted * log_gate).sum() + 0.5 * 0.9 * (values[:-1] ** 2).sum()

    best = minimize(loss, np.zeros(design.shape[1]), method="BFGS", options={"gtol": 1e-8}).x
    assert_allclose(of_gate, best, atol=1e-5)


# --- the line search, observers, threads and continuation ---------------------------------------


@dataclass(frozen=True)
class Wrong(Normal):
    """A family with scores of the wrong sign: no step leads upward."""

    def derivatives(self, y, eta):
        terms = super().derivatives(y, eta)
        yield next(terms)
        yield [-score for score in next(terms)]
        yield next(terms)


def test_steps_that_lower_the_likelihood_end_the_run():
    own = linear("normal")
    start = started(own)
    for group in own.mixture.groups[:1]:
        group.family = Wrong()
    found = em(own.objective, start, 50, 1e-9)
    assert_array_equal(found.theta, start)
    assert set(found.lower_bounds) == {own.objective.at(start[None]).lower_bound[0]}


def test_an_observer_can_end_a_run():
    heard = []

    def observe(n_iter, state):
        heard.append((n_iter, len(state.lower_bounds)))
        return n_iter == 4

    own = case("normal")
    found = em(own.objective._replace(observer=observe), started(own), 1000, 1e-9)
    assert heard == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert found.stopped
    assert not found.converged


def test_threads_change_no_bit():
    own = case("normal")
    blocks = own.blocks(10)
    alone = em(own.objective._replace(blocks=blocks), own.theta, 8, 0.0)
    with threads(blocks, 3) as map_blocks:
        assert map_blocks is not None
        objective = own.objective._replace(blocks=blocks, map_blocks=map_blocks)
        together = em(objective, own.theta, 8, 0.0)
    assert alone.lower_bounds == together.lower_bounds
    assert_array_equal(alone.theta, together.theta)
    with threads(blocks, 1) as map_blocks:
        assert map_blocks is None


def test_a_run_that_goes_on_ends_at_the_same_maximum():
    own = case("normal")
    whole = run(own, 2000, 1e-11)
    for n_first in (1, 4, 11):
        first = run(own, n_first, 0.0)
        bounds = first.lower_bounds
        rest = em(own.objective, first._replace(lower_bounds=bounds), 2000, 1e-11)
        assert rest.lower_bounds[:n_first] == bounds
        assert min(np.diff(rest.lower_bounds)) > -1e-10
        assert_allclose(rest.lower_bound, whole.lower_bound, atol=1e-8)
    again = em(own.objective, whole, 10, 1e-11)
    assert again.converged
    assert again.lower_bounds == whole.lower_bounds
    none = em(own.objective, own.theta, 0, 1e-11)
    assert_array_equal(none.theta, own.theta)
    assert not none.converged
