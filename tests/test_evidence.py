"""Penalties found by the evidence: their maximum, selected features, paths and bad input."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from kinds import KINDS, draw, options_of
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, checkpoints
from skmoe._data.rows import UserRows, split_into_blocks
from skmoe._estimators.monitor import FitMonitor
from skmoe._mixture import evidence as search
from skmoe._mixture import runs
from skmoe._mixture.em import EMResult, EMStart
from skmoe._mixture.evidence import FINAL_FACTOR
from skmoe._mixture.model import MixtureModel
from skmoe._mixture.multistart import AVERAGE_RELAXATION
from skmoe._numerics import dispersion_prior as prior_search
from skmoe._numerics import evidence
from skmoe._numerics.linalg import ImplicitGram
from skmoe._numerics.multinomial import SoftmaxHessian, helmert_contrasts, softmax_hessian
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints, load_checkpoint
from skmoe.experts import EXPERTS, LinearExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from skmoe.inspection import export_text

ALPHAS = {"gate": (2.0,) * 3, "experts": (0.5,) * 3}
AUTO = {"alpha": "auto", "gate_alpha": "auto", "random_state": 0}
ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}


def table(name, task, seed=0, n_rows=200):
    """Two regimes of a kind of experts, with one feature of no use."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    if task == "classifier":
        return X, flipping_classes(n_rows, 3, seed)[1]
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=n_rows) > 0, 0.8, -0.8)
    return X, draw(name if name != "linear" else "normal", 0.5 + slope * X[:, 1], rng)


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


def systems(rng, n_systems=2, n_features=5, slopes=(1.0, -1.0, 0.0, 0.0, 0.0), noise=1.0):
    """Hessians (S, p, p) and their products with the optimum, of correlated features."""
    hessians, targets = [], []
    for _ in range(n_systems):
        X = rng.normal(size=(60, n_features))
        X[:, -1] = X[:, 0] + 0.1 * rng.normal(size=60)
        y = X @ np.array(slopes) + noise * rng.normal(size=60)
        hessians.append(X.T @ X)
        targets.append(X.T @ y)
    return np.stack(hessians), np.stack(targets)


def slopes_at(alphas, hessians, targets):
    """Slopes at the mode, as the parts give them."""
    covariances = np.linalg.inv(hessians + np.diag(alphas))
    values = np.einsum("sij,sj->si", covariances, targets)
    return evidence.Slopes(values, covariances, values * alphas)


# --- the maximum of the evidence --------------------------------------------------------------


def test_one_penalty_maximises_the_evidence_and_its_prior():
    hessians, targets = systems(np.random.default_rng(0))
    alpha, default = 1.0, 3.0
    for _ in range(200):
        alphas = np.full(5, alpha)
        alpha = evidence.common_penalty(alpha, slopes_at(alphas, hessians, targets), default)

    def objective(value):
        prior = 0.5 * evidence.PRIOR_COEFFICIENTS * (np.log(value) - value / default)
        return log_evidence(np.full(5, value), hessians, targets) + prior

    best = objective(alpha)
    assert objective(1.02 * alpha) < best
    assert objective(alpha / 1.02) < best


def test_a_slope_that_systems_share_counts_once():
    """Two systems with half of the penalty each are one system with both Hessians."""
    hessians, targets = systems(np.random.default_rng(3), n_systems=1)
    one = slopes_at(np.full(5, 2.0), 2 * hessians, 2 * targets)
    both = slopes_at(np.full(5, 1.0), hessians.repeat(2, axis=0), targets.repeat(2, axis=0))
    both = both._replace(weight=np.full((2, 5), 0.5))
    expected = evidence.n_determined_slopes(2.0, one).sum()
    assert_allclose(evidence.n_determined_slopes(2.0, both).sum(), expected)
    assert_allclose(evidence.common_penalty(2.0, both, 1.0), evidence.common_penalty(2.0, one, 1.0))


def test_no_other_penalty_of_one_feature_has_more_evidence():
    hessians, targets = systems(np.random.default_rng(1))
    start = np.ones(5)
    alphas = evidence.feature_penalties(start, slopes_at(start, hessians, targets))
    keeping = evidence.SPARSITY_FACTOR * np.log(5)

    def objective(values):
        return log_evidence(values, hessians, targets) - keeping * np.sum(values < 1e7)

    # The last feature repeats the first: one of both is kept.
    assert np.sum(alphas[[0, 4]] < evidence.DROPPED) == 1
    assert_array_equal(alphas[2:4], evidence.DROPPED)
    best = objective(alphas)
    for j in range(5):
        for value in (*evidence.PENALTY_GRID[::5], evidence.DROPPED):
            other = alphas.copy()
            other[j] = value
            assert objective(other) <= best + evidence.MIN_IMPROVEMENT


def test_the_gain_of_another_penalty_of_one_feature_is_that_of_the_evidence():
    hessians, targets = systems(np.random.default_rng(4))
    before = np.array([0.3, 2.0, 5.0, 1.0, 0.7])
    slopes = slopes_at(before, hessians, targets)
    for j in range(5):
        for value in (0.01, 0.5, 30.0):
            after = before.copy()
            after[j] = value
            gain = evidence.evidence_gain(tuple(before), tuple(after), slopes)
            both = (log_evidence(values, hessians, targets) for values in (after, before))
            assert_allclose(gain, np.subtract(*both), rtol=1e-9)
    assert evidence.evidence_gain(tuple(before), tuple(before), slopes) == 0.0


def test_the_gain_of_dropping_a_feature_counts_the_prior_of_keeping_it():
    hessians, targets = systems(np.random.default_rng(4))
    kept = np.array([0.3, 2.0, 5.0, 1.0, 0.7])
    slopes = slopes_at(kept, hessians, targets)
    for j in range(5):
        dropped = kept.copy()
        dropped[j] = evidence.DROPPED
        both = (log_evidence(values, hessians, targets) for values in (dropped, kept))
        expected = np.subtract(*both) + evidence.SPARSITY_FACTOR * np.log(5)
        found = evidence.evidence_gain(tuple(kept), tuple(dropped), slopes)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    one = np.full(5, 2.0)
    slopes = slopes_at(one, hessians, targets)
    assert_allclose(
        evidence.evidence_gain(2.0, tuple(kept), slopes),
        evidence.evidence_gain(tuple(one), tuple(kept), slopes),
    )


def test_the_gain_does_not_need_slopes_at_their_mode():
    hessians, targets = systems(np.random.default_rng(5))
    at_mode = slopes_at(np.full(5, 2.0), hessians, targets)
    values = at_mode.values + np.random.default_rng(0).normal(size=at_mode.values.shape)
    gradient = targets - np.einsum("sij,sj->si", hessians, values)
    elsewhere = at_mode._replace(values=values, gradient=gradient)
    found = evidence.evidence_gain(2.0, 3.0, elsewhere)
    assert_allclose(found, evidence.evidence_gain(2.0, 3.0, at_mode))


def test_the_gain_of_a_slope_that_systems_share_counts_once():
    hessians, targets = systems(np.random.default_rng(3), n_systems=1)
    one = slopes_at(np.full(5, 2.0), 2 * hessians, 2 * targets)
    both = slopes_at(np.full(5, 1.0), hessians.repeat(2, axis=0), targets.repeat(2, axis=0))
    both = both._replace(weight=np.full((2, 5), 0.5))
    expected = evidence.evidence_gain(2.0, 0.4, one)
    assert_allclose(evidence.evidence_gain(2.0, 0.4, both), expected)


def test_dropped_features_return_when_they_are_needed():
    hessians, targets = systems(np.random.default_rng(2))
    dropped = np.full(5, evidence.DROPPED)
    slopes = slopes_at(dropped, hessians, targets)
    # The coefficients of dropped features are zero, so that the gradient is what they would gain.
    slopes = slopes._replace(values=np.zeros((2, 5)), gradient=targets)
    start = np.ones(5)
    again = evidence.feature_penalties(dropped, slopes)
    first = evidence.feature_penalties(start, slopes_at(start, hessians, targets))
    assert_array_equal(again < evidence.DROPPED, first < evidence.DROPPED)


@pytest.mark.parametrize("ratio", [1.0, 100.0])
def test_prior_of_dispersions_is_strong_where_they_are_alike(ratio):
    rng = np.random.default_rng(0)
    variances = 0.1 * np.geomspace(1.0, ratio, 12)[:, None]
    squares = variances * rng.chisquare(40, size=(12, 1))
    rows = np.full((12, 1), 40.0)
    strength, scale = prior_search.dispersion_prior(squares, rows, (10.0, np.ones(1)))
    if ratio == 1.0:
        assert strength > 20.0
        assert_allclose(scale, 0.1, rtol=0.2)
    else:
        assert strength < 5.0


def _of_mode(prior, squares, rows):
    """Log posterior of the variances at their modes, without its constant."""
    strength, scales = prior
    logs = np.log((squares + strength * scales) / (rows + strength))
    return 0.5 * ((rows + strength) * (logs + 1.0)).sum()


@pytest.mark.parametrize("strength", [0.2, 10.0, 300.0])
def test_no_other_prior_of_dispersions_is_more_probable(strength):
    """Sums of squares have scaled F distributions; strength and scales have log-normal priors."""
    rng = np.random.default_rng(0)
    rows, center = rng.uniform(5.0, 60.0, size=(6, 2)), np.array([0.5, 2.0])
    squares = rows * 0.8 * rng.chisquare(8, size=(6, 2)) / 8
    found = prior_search.dispersion_prior(squares, rows, (strength, center))

    def objective(logs):
        nu, scale = np.exp(logs[0]), np.exp(logs[1:])
        fits = stats.f(rows, nu).logpdf(squares / (rows * scale)) - np.log(scale)
        begin = np.log([max(strength, prior_search.MIN_STRENGTH), *center])
        stds = [prior_search.LOG_STRENGTH_STD, *2 * [prior_search.LOG_SCALE_STD]]
        return fits.sum() + stats.norm(begin, stds).logpdf(logs).sum()

    logs, defaults = np.log([found[0], *found[1]]), (strength, center)
    # The posterior of the variances at its mode, and its volume, are the evidence.
    volumes = [
        prior_search.dispersion_volume(prior, rows, defaults) - _of_mode(prior, squares, rows)
        for prior in ((7.0, center), found)
    ]
    assert_allclose(volumes[1] - volumes[0], objective(logs) - objective(np.log([7.0, *center])))
    gain = prior_search.dispersion_gain((7.0, center), found, squares, rows, defaults)
    assert_allclose(gain, objective(logs) - objective(np.log([7.0, *center])))
    for change in 0.02 * np.vstack([np.eye(3), -np.eye(3)]):
        assert objective(logs + change) < objective(logs)


def test_the_volume_of_the_posterior_makes_the_evidence_of_the_penalised_likelihood():
    """For regressions with known noise, and with penalties common to all slopes or of each."""
    hessians, targets = systems(np.random.default_rng(0))

    def found(alphas, penalty):
        slopes = evidence.Slopes(*slopes_at(alphas, hessians, targets)[:3])
        explained = np.einsum("si,si->", slopes.values, targets)
        precision = hessians + np.diag(alphas)
        explained -= 0.5 * np.einsum("si,sij,sj->", slopes.values, precision, slopes.values)
        return explained + evidence.posterior_volume(penalty, slopes)

    one, other = np.full(5, 0.7), np.array([3.0, 0.2, 5.0, 1.0, 2.0])
    expected = log_evidence(other, hessians, targets) - log_evidence(one, hessians, targets)
    assert_allclose(found(other, tuple(other)) - found(one, tuple(one)), expected)
    # Five features that may be dropped have a prior, in which a dropped one has no part.
    prior = evidence.SPARSITY_FACTOR * np.log(5)
    assert_allclose(found(one, 0.7) - found(one, tuple(one)), 5 * prior)
    dropped = np.array([3.0, 0.2, evidence.DROPPED, 1.0, 2.0])
    expected = log_evidence(dropped, hessians, targets) - log_evidence(one, hessians, targets)
    gain = found(dropped, tuple(dropped)) - found(one, tuple(one))
    assert_allclose(gain, expected + prior, rtol=1e-6)
    # Variances stand for matrices that are not formed.
    slopes = evidence.Slopes(np.ones((2, 5)), np.full((2, 5), 0.3), np.ones((2, 5)))
    assert_allclose(evidence.posterior_volume(2.0, slopes), 5 * np.log(0.6))


# Experts with equal and unequal dispersions, and defaults that hold the strength at a bound.
PRIORS_OF_DISPERSIONS = [
    (ratio, strength) for ratio in (1.0, 3.0, 100.0, 1e6) for strength in (0.2, 10.0, 300.0, 1e5)
]


def dispersions_of_experts(ratio, n_experts=8):
    """Sums of squares of two outputs, and their degrees of freedom."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(5.0, 60.0, size=(n_experts, 2))
    variances = 0.1 * np.geomspace(1.0, ratio, n_experts)[:, None]
    return variances * rng.chisquare(weight), weight


@pytest.mark.parametrize(("ratio", "strength"), PRIORS_OF_DISPERSIONS)
def test_derivatives_of_the_log_evidence_of_a_prior(ratio, strength):
    squares, weight = dispersions_of_experts(ratio)
    center, logs = np.log([strength, 0.5, 2.0]), np.log([20.0, 0.05, 3.0])

    def at(logs):
        return prior_search.log_evidence_of_prior(logs, squares, weight, center)

    for j, change in enumerate(1e-5 * np.eye(3)):
        after, before = at(logs + change), at(logs - change)
        gradient, hessian = at(logs).gradient[j], at(logs).hessian[j]
        assert_allclose((after.value - before.value) / 2e-5, gradient, rtol=1e-6, atol=1e-5)
        assert_allclose((after.gradient - before.gradient) / 2e-5, hessian, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("ratio", "strength"), PRIORS_OF_DISPERSIONS)
def test_the_gradient_at_the_prior_of_dispersions_is_zero_or_points_out_of_bounds(ratio, strength):
    squares, weight = dispersions_of_experts(ratio)
    defaults = strength, np.array([0.5, 2.0])
    found = prior_search.dispersion_prior(squares, weight, defaults)
    logs = np.log([found[0], *found[1]])
    center = np.log([max(strength, prior_search.MIN_STRENGTH), 0.5, 2.0])
    gradient = prior_search.log_evidence_of_prior(logs, squares, weight, center).gradient
    size = 0.5 * weight.sum()  # of the terms of the derivatives by scales
    assert_allclose(gradient[1:], 0.0, atol=1e-6 * size)
    if found[0] == pytest.approx(prior_search.MIN_STRENGTH, rel=1e-12):
        assert gradient[0] < 0.0
    elif found[0] == pytest.approx(prior_search.MAX_STRENGTH, rel=1e-12):
        assert gradient[0] > 0.0
    else:
        assert abs(gradient[0]) < 1e-6 * size


@pytest.mark.parametrize(("ratio", "strength"), PRIORS_OF_DISPERSIONS)
def test_the_prior_of_dispersions_does_not_depend_on_the_order(ratio, strength):
    squares, weight = dispersions_of_experts(ratio)
    scale = np.array([0.5, 2.0])
    found = prior_search.dispersion_prior(squares, weight, (strength, scale))
    order = np.random.default_rng(1).permutation(len(squares))
    of_others = prior_search.dispersion_prior(squares[order], weight[order], (strength, scale))
    swapped = prior_search.dispersion_prior(
        squares[:, ::-1], weight[:, ::-1], (strength, scale[::-1])
    )
    assert_allclose(of_others[0], found[0], rtol=1e-8)
    assert_allclose(of_others[1], found[1], rtol=1e-8)
    assert_allclose(swapped[0], found[0], rtol=1e-8)
    assert_allclose(swapped[1][::-1], found[1], rtol=1e-8)


# --- the search within EM ---------------------------------------------------------------------


def two_experts(alpha=1.0, gate_alpha=1.0, **options):
    return MixtureModel(SoftmaxGate(alpha=gate_alpha), LinearExperts(alpha=alpha, **options), 2)


def test_the_largest_factor_is_that_of_any_penalty():
    both = search.PenaltySearch("auto", True)
    chosen = search.EvidenceSearch(search.PenaltySearch("auto"), both)
    start = two_experts(2.0, 3.0, dispersion_prior=4.0, noise_variance=(0.5, 1.0))
    for options, factor in (
        ({}, 1.0),
        ({"alpha": 5.0}, 2.5),
        ({"alpha": 0.5}, 4.0),
        ({"gate_alpha": 1.0}, 3.0),
        ({"dispersion_prior": 5.0, "gate_alpha": 3.3}, 1.25),
        ({"noise_variance": (0.5, 0.8)}, 1.25),
        ({"noise_variance": (1.5, 0.9), "alpha": 1.0}, 3.0),
    ):
        own = {"dispersion_prior": 4.0, "noise_variance": (0.5, 1.0)}
        other = two_experts(**{"alpha": 2.0, "gate_alpha": 3.0} | own | options)
        assert search._largest_factor(chosen, start, other) == pytest.approx(factor)
        only_gate = search.EvidenceSearch(search.PenaltySearch("auto"))
        of_gate = options.get("gate_alpha", 3.0) / 3.0
        found = search._largest_factor(only_gate, start, other)
        assert found == pytest.approx(max(of_gate, 1.0 / of_gate))


def searched(
    monkeypatch, factors, max_iter=1000, stopped_at=None, gains=None, levels=None, relaxation=1.0
):
    """Runs of a search whose penalty changes by given factors in turn, and its result.

    The gains of log evidence are large, or those given; the tolerance is 0.1. With levels of the
    log evidence there is a penalty for each feature, and a level of 0.5 more is clearly higher.
    """
    left, runs_of_em = iter(factors), []
    gains_left, levels_left = iter(gains or [1.0] * len(factors)), iter(levels or [])
    kind = "ard" if levels else "auto"

    def updated(chosen, default, model, blocks, params):
        alpha = float(np.ravel(model.experts.alpha)[0]) * next(left)
        other = two_experts((alpha,) if levels else alpha)
        level = next(levels_left, 0.0) * search.MIN_LOSS / 0.5
        before = two_experts(
            model.experts.alpha if not levels else tuple(np.ravel(model.experts.alpha))
        )
        return search.Update(other, before, next(gains_left), level)

    def run_em(model, start, n_iter, stage):
        runs_of_em.append((n_iter, stage, model.experts.alpha))
        stopped = len(runs_of_em) == stopped_at
        lower_bounds = [*start.lower_bounds, *np.zeros(20 if stage.is_final else n_iter)]
        return EMResult(start.params, lower_bounds[:max_iter], True, False, None, model, 0, stopped)

    monkeypatch.setattr(search, "updated_penalties", updated)
    monkeypatch.setattr(search, "project", lambda model, params: params)
    of_experts = search.PenaltySearch(kind)
    chosen = search.EvidenceSearch(experts=of_experts, tol=0.1, relaxation=relaxation)
    start = EMStart(None, [0.0] * 15)
    found = search.run_with_evidence(chosen, two_experts(), [], start, max_iter, run_em)
    return runs_of_em, found


def test_runs_become_longer_until_penalties_settle_and_then_go_to_convergence(monkeypatch):
    between, small = search.ITERATIONS_BETWEEN_UPDATES, 1.0 + 0.5 * (search.SETTLED_FACTOR - 1.0)
    done, found = searched(monkeypatch, [2.0, 2.0, small, 1.0])
    assert [n_iter for n_iter, _, _ in done[:3]] == list(between[:3])
    assert_allclose([alpha for _, _, alpha in done], [1.0, 2.0, 4.0, 4.0 * small])
    n_earlier = 15 + sum(between[:3])
    stages = [search.SearchStage(15 + sum(between[:i]), 0, i) for i in range(3)]
    last = search.SearchStage(n_earlier, 0, search.FINAL_ROUND)
    assert [stage for _, stage, _ in done] == [*stages, last]
    assert done[-1][0] == 1000 - n_earlier
    assert found.n_earlier_iter == n_earlier
    assert found.model.experts.alpha == 4.0 * small
    # Where the last ones have changed once more it converges again, a few times at most.
    for factors, n_runs in (([1.0, 2.0, 1.0], 2), ([1.0] + 9 * [2.0], search.MAX_FINAL_RUNS)):
        done, found = searched(monkeypatch, factors)
        assert [run[1].is_final for run in done] == [False] + [True] * n_runs
        assert [run[1].n_runs for run in done[1:]] == list(range(n_runs))
        assert [run[1].n_iter for run in done[1:]] == [18 + 20 * i for i in range(n_runs)]
    # Penalties that never settle are taken as they are.
    done, _ = searched(monkeypatch, [2.0] * len(between) + [1.0])
    assert [run[0] for run in done[:-1]] == list(between)
    assert done[-1][1].n_runs == 0


def test_penalties_have_settled_where_they_gain_less_than_the_tolerance(monkeypatch):
    between = search.ITERATIONS_BETWEEN_UPDATES
    for gains, n_rounds, n_runs in (
        ([0.09, 0.09], 1, 1),
        ([1.0, 0.09, 0.09], 2, 1),
        ([0.09, 0.11, 0.09], 1, 2),
        # A fall is a change too.
        ([-0.5, -0.09, -0.5, 0.0], 2, 2),
    ):
        done, found = searched(monkeypatch, [5.0] * 10, gains=gains)
        assert [run[0] for run in done[:n_rounds]] == list(between[:n_rounds])
        assert [run[1].is_final for run in done] == [False] * n_rounds + [True] * n_runs
        # Those of the last update have no run of their own.
        assert found.model.experts.alpha == 5.0 ** (len(done) - 1)


@pytest.mark.parametrize(
    ("factors", "levels", "alphas"),
    [
        # The second penalty has the highest evidence, or the first, which all features have.
        ([2.0, 2.0, 2.0, 1.0, 1.0], [-9.0, -1.0, -2.0, -3.0, -4.0], [1, 2, 4, 8, 8, 2]),
        ([2.0, 2.0, 2.0, 1.0, 1.0], [9.0, -1.0, -2.0, -3.0, -4.0], [1, 2, 4, 8, 8, 1]),
        # The evidence of the last is not clearly less.
        ([2.0, 2.0, 2.0, 1.0, 1.0], [-9.0, -1.0, -2.0, -3.0, -1.4], [1, 2, 4, 8, 8]),
        # The last has the highest evidence.
        ([2.0, 2.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0], [1, 2, 4, 4]),
        # A search that does not settle ends at the best, too.
        ([2.0] * 99, [*range(10), 20, *range(10)], [*2 ** np.arange(15), 2**10]),
    ],
)
def test_a_search_that_drops_features_ends_at_the_highest_evidence(
    factors, levels, alphas, monkeypatch
):
    done, found = searched(monkeypatch, factors, levels=[float(level) for level in levels])
    assert_allclose([np.ravel(run[2])[0] for run in done], alphas)
    assert found.model.experts.alpha == (alphas[-1],)
    assert done[-1][1].is_final
    # All runs count, and the best is kept for fits that are resumed.
    before = [run[0] if not run[1].is_final else 20 for run in done[:-1]]
    assert found.n_earlier_iter == 15 + sum(before)
    unit = search.MIN_LOSS / 0.5
    kept = [None if run[1].best is None else run[1].best.log_evidence / unit for run in done]
    known = levels[: len(done) - 1]
    expected = [None, *np.maximum.accumulate(known)][: len(done)]
    assert kept[: len(expected) - 1] == pytest.approx(expected[:-1])


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (None, [1.0, 2.0, 4.0, 8.0 * 0.5]),
        # The penalties of the last run are those with the highest evidence, relaxed.
        ([-9.0, -1.0, -2.0], [1.0, 2.0, 4.0, 2.0 * 0.5]),
        ([-9.0, -1.0, 2.0], [1.0, 2.0, 4.0, 8.0 * 0.5]),
    ],
)
def test_a_relaxed_search_has_one_run_to_convergence(levels, expected, monkeypatch):
    factors, gains = [2.0, 2.0, 2.0, 9.0], [1.0, 1.0, 0.0, 1.0]
    options = {"gains": gains, "levels": levels, "relaxation": 0.5}
    done, found = searched(monkeypatch, factors, **options)
    assert_allclose([np.ravel(run[2])[0] for run in done], expected)
    assert [run[1].is_final for run in done] == [False] * 3 + [True]
    assert found.n_earlier_iter == 15 + sum(run[0] for run in done[:3])


def test_penalties_of_an_average_are_relaxed():
    """Those of each start are a part of what the search finds; dropped features remain so."""
    X, y = two_regimes(150)
    options = {"n_init": 2, "combine": "average", "random_state": 0}
    own = MixtureOfExpertsRegressor(2, **options, alpha="auto", gate_alpha=1.0).fit(X, y)
    given = MixtureOfExpertsRegressor(2, **options, gate_alpha=1.0)
    alone = MixtureOfExpertsRegressor(2, alpha="auto", gate_alpha=1.0, random_state=0).fit(X, y)

    def distance(alpha):
        return np.abs(clone(given).set_params(alpha=alpha).fit(X, y).predict(X) - own.predict(X))

    relaxed, same = (distance(factor * alone.alpha_).max() for factor in (AVERAGE_RELAXATION, 1.0))
    assert relaxed < 0.2 * same
    assert evidence.scaled_penalty((1.0, evidence.DROPPED), 0.5) == (0.5, evidence.DROPPED)


@pytest.mark.parametrize("name", ["gate", "experts"])
def test_the_penalties_of_a_beginning_are_those_of_each_feature(name):
    """A model with them is the same, and the prior of keeping features is counted."""
    X, y = two_regimes(100)
    fitted = MixtureOfExpertsRegressor(2, alpha=0.5, gate_alpha=2.0, random_state=0).fit(X, y)
    model, params, preprocessor = fitted._fitted
    rows = UserRows(X, y[None], np.ones(100), None, None)
    blocks = split_into_blocks(preprocessor.transform_units(rows))
    chosen = search.EvidenceSearch(**{name: search.PenaltySearch("ard")})
    same = model._replace(**{name: replace(getattr(model, name), alpha=ALPHAS[name])})
    found = [
        search.updated_penalties(chosen, model, other, blocks, params) for other in (model, same)
    ]
    assert getattr(found[0].before, name).alpha == ALPHAS[name]
    assert found[0] == found[1]


def test_a_search_has_no_more_iterations_than_are_allowed_and_can_be_stopped(monkeypatch):
    for max_iter, expected in ((18, [3]), (20, [3, 2]), (25, [3, 3, 4])):
        done, _ = searched(monkeypatch, [2.0] * 20, max_iter)
        assert [run[0] for run in done] == expected
    for number in (1, 3):
        done, found = searched(monkeypatch, [2.0] * 20, stopped_at=number)
        assert len(done) == number
        assert found.stopped


@pytest.mark.parametrize("shared", [False, True])
def test_the_prior_of_dispersions_is_found_from_residuals_and_their_freedom(shared, monkeypatch):
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(50, 2)), np.ones(50)])
    y, resp = rng.normal(size=(2, 50)), rng.dirichlet(np.ones(3), size=50).T
    own = {"shared_dispersion": shared, "dispersion_prior": 4.0}
    experts = LinearExperts(alpha=0.7, noise_variance=(0.8, 1.3), **own, variance_floor=(1e-6,) * 2)
    params, hessian = experts.init_params(3, 3), experts.hessian(None, design, y, resp)
    statistics = experts.statistics(params, design, y, resp)
    params = experts.m_step(statistics, experts.factorize(hessian), params, 1.0)
    statistics, seen = experts.statistics(params, design, y, resp), []

    def capture(squares, freedom, defaults):
        seen.append((squares, freedom, defaults))
        return 5.0, np.array([0.7, 0.9])

    monkeypatch.setattr(search, "dispersion_prior", capture)
    at = search.PartStatistics(params, statistics, hessian)
    default = replace(experts, dispersion_prior=9.0, noise_variance=(0.1, 0.2))
    only_dispersions = search.PenaltySearch("", True)
    priors = (4.0, np.array([0.8, 1.3])), (5.0, np.array([0.7, 0.9]))
    found, before, gain, volume = search._with_found(experts, default, only_dispersions, at)
    assert before is experts
    rows = np.repeat(resp.sum(axis=1)[:, None], 2, axis=1)
    rows = rows.sum(axis=0, keepdims=True) if shared else rows
    defaults = 9.0, np.array([0.1, 0.2])
    assert_allclose(volume, prior_search.dispersion_volume(priors[0], rows, defaults))
    assert gain == prior_search.dispersion_gain(*priors, *seen[0])
    assert found == replace(experts, dispersion_prior=5.0, noise_variance=(0.7, 0.9))
    ridge, squares, freedom = np.diag([0.7, 0.7, 0.0]), np.empty((3, 2)), np.empty((3, 2))
    for k, weight in enumerate(resp):
        gram = design.T @ (weight[:, None] * design)
        n_slopes = np.trace(np.linalg.solve(gram + ridge, gram)) - 1.0  # the intercept is free
        for output in range(2):
            coef = params.coef[k, output]
            squares[k, output] = weight @ np.square(y[output] - design @ coef)
            squares[k, output] += coef @ ridge @ coef
            freedom[k, output] = weight.sum() - n_slopes
    if shared:
        squares, freedom = (values.sum(axis=0, keepdims=True) for values in (squares, freedom))
    assert_allclose(seen[0][0], squares)
    assert_allclose(seen[0][1], freedom)
    assert seen[0][2][0] == 9.0
    assert_allclose(seen[0][2][1], [0.1, 0.2])


@pytest.mark.parametrize(("name", "task"), KINDS)
@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_penalties_have_settled_and_the_bound_never_falls(name, task, kind):
    X, y = table(name, task)
    options = options_of(name) | {"alpha": kind, "gate_alpha": kind, "random_state": 0}
    moe = quiet(ESTIMATORS[task](2, n_init=2, **options), X, y)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-9
    assert moe.n_iter_ > len(moe.lower_bounds_)
    again = quiet(clone(moe).set_params(max_iter=1000, tol=1e-8), X, y)
    if kind == "auto":
        assert 1 / FINAL_FACTOR**2 < again.gate_alpha_ / moe.gate_alpha_ < FINAL_FACTOR**2
    else:
        assert_array_equal(np.isposinf(again.gate_alpha_), np.isposinf(moe.gate_alpha_))
        assert np.isposinf(moe.gate_alpha_[2])  # of no use


def test_the_search_ends_when_penalties_have_settled():
    """It takes a few times the iterations of a fit with the penalties that it finds."""
    X, y = two_regimes(200)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, y)
    penalties = {"alpha": moe.alpha_, "gate_alpha": moe.gate_alpha_}
    fixed = clone(moe).set_params(**penalties).fit(X, y)
    assert fixed.n_iter_ < moe.n_iter_ <= 3 * fixed.n_iter_


def test_a_search_ends_earlier_with_a_larger_tolerance(monkeypatch):
    """The gain is per unit of weight: many rows determine the slopes whatever the penalty is."""
    n_updates, updated = [], search.updated_penalties

    def counted(*arguments):
        n_updates[-1] += 1
        return updated(*arguments)

    monkeypatch.setattr(search, "updated_penalties", counted)
    X, y = two_regimes(1000)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
    for tol, weight in ((1e-2, 1.0), (1e-6, 1.0), (1e-6, 1e4)):
        n_updates.append(0)
        moe.set_params(tol=tol).fit(X, y, sample_weight=np.full(len(y), weight))
    assert n_updates[0] == 2 < n_updates[1]
    assert n_updates[2] < n_updates[1]


def test_gate_of_no_use_is_penalised_more_than_one_that_separates():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    found = []
    for separating in (X[:, 0], rng.normal(size=400)):
        y = np.where(separating > 0, 1.0, -1.0) * (1.0 + X[:, 1]) + 0.1 * rng.normal(size=400)
        columns = {"gate_features": [0, 2, 3], "expert_features": [1]}
        moe = MixtureOfExpertsRegressor(2, **AUTO, **columns).fit(X, y)
        found.append(moe.gate_alpha_)
    assert found[0] < 0.1
    assert found[1] > 2.0


def test_numbers_keep_their_meaning():
    X, y = two_regimes(200)
    fixed = MixtureOfExpertsRegressor(2, alpha=0.5, gate_alpha=2.0, random_state=0).fit(X, y)
    assert (fixed.alpha_, fixed.gate_alpha_, fixed.dispersion_prior_) == (0.5, 2.0, 10.0)
    assert fixed.n_iter_ == len(fixed.lower_bounds_)
    model = fixed._fitted.model
    assert model.gate == SoftmaxGate(alpha=2.0)
    assert model.experts.alpha == 0.5


def test_a_given_penalty_stays_where_the_prior_of_dispersions_is_found():
    X, y = two_regimes(200)
    options = {"alpha": 0.5, "dispersion_prior": "auto", "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert moe.alpha_ == 0.5
    assert moe.dispersion_prior_ != 10.0


@pytest.mark.parametrize("max_iter", [2, 8, 17])
def test_iterations_of_the_search_count(max_iter):
    X, y = two_regimes(200)
    options = AUTO | {"tol": 0.0, "max_iter": max_iter, "init": initial(y), "n_init": 1}
    with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter} iterations"):
        moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert moe.n_iter_ == max_iter
    assert len(moe.lower_bounds_) <= max_iter


def test_an_observer_stops_the_search(monkeypatch):
    X, y = two_regimes(200)
    calls = []

    def stopping(monitor, n_iter, result):
        calls.append(n_iter)
        return len(calls) == 5

    monkeypatch.setattr(FitMonitor, "__call__", stopping)
    moe = MixtureOfExpertsRegressor(2, **AUTO, init=initial(y), tol=0.0).fit(X, y)
    assert moe.n_iter_ == len(calls) == 5


def initial(y):
    """Responsibilities of two experts by the sign of y."""
    return np.column_stack([y > 0, y <= 0]).astype(float)


def test_a_target_without_noise_gets_small_penalties():
    X, _ = two_regimes(300)
    y = np.where(X[:, 0] > 0, X @ [1.0, 2.0, 3.0], -X[:, 1])
    moe = quiet(MixtureOfExpertsRegressor(2, **AUTO), X, y)
    assert moe.alpha_ < 0.1


# --- features that are dropped ----------------------------------------------------------------


@pytest.fixture(scope="module")
def selected():
    """A mixture whose gate needs feature 0 and whose experts need 1 and 2, of 8."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 8))
    slopes = np.where(rng.uniform(size=500) < 1 / (1 + np.exp(-4 * X[:, 0])), 1.5, -1.5)
    y = slopes * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=500)
    moe = MixtureOfExpertsRegressor(2, alpha="ard", gate_alpha="ard", random_state=0)
    return X, y, moe.fit(X, y)


def test_the_features_at_work_are_found(selected):
    X, _, moe = selected
    assert_array_equal(np.flatnonzero(np.isfinite(moe.alpha_)), [1, 2])
    assert_array_equal(np.flatnonzero(np.isfinite(moe.gate_alpha_)), [0])
    assert not moe.expert_coef_[:, [0, 3, 4, 5, 6, 7]].any()
    assert not moe.gate_coef_[:, 1:].any()
    assert moe.n_parameters_ == 2 * (3 + 1) + 2
    other = X.copy()
    other[:, 3:] = np.random.default_rng(1).normal(size=(500, 5))
    assert_array_equal(moe.predict(other), moe.predict(X))


def test_dropped_features_are_named(selected):
    X, y, moe = selected
    text = export_text(moe)
    assert "dropped by the experts: x0, x3, x4, x5, x6, x7" in text
    assert "dropped by the gate: x1, x2, x3, x4, x5, x6, x7" in text
    summary = moe.summary(X, y)
    assert "Dropped by the experts: x0, x3, x4, x5, x6, x7." in str(summary)
    inference = moe.inference(X, y)
    reasons = dict(zip([tuple(term) for term in inference.terms], inference.reasons, strict=True))
    dropped = [term[2] for term, reason in reasons.items() if reason == "dropped"]
    assert sorted(set(dropped)) == [f"x{j}" for j in range(8)]
    assert set(reasons.values()) == {"", "dropped"}


def test_dropped_features_survive_files(selected):
    X, _, moe = selected
    for same in (pickle.loads(pickle.dumps(moe)), type(moe).from_dict(moe.to_dict())):
        assert_array_equal(same.predict(X), moe.predict(X))
        assert_array_equal(same.alpha_, moe.alpha_)


def test_order_and_units_of_columns_do_not_matter(selected):
    X, y, moe = selected
    order = np.random.default_rng(0).permutation(8)
    other = clone(moe).fit(100.0 * X[:, order] + 7.0, y)
    assert_array_equal(np.isfinite(other.alpha_), np.isfinite(moe.alpha_[order]))
    assert_array_equal(np.isfinite(other.gate_alpha_), np.isfinite(moe.gate_alpha_[order]))


def test_columns_that_a_part_does_not_use_have_no_penalty():
    X, y = two_regimes(300)
    columns = {"expert_features": [0, 2], "gate_features": [0]}
    options = {"alpha": "ard", "gate_alpha": "ard", "random_state": 0} | columns
    moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert_array_equal(np.isnan(moe.alpha_), [False, True, False])
    assert_array_equal(np.isnan(moe.gate_alpha_), [False, True, True])


def test_experts_without_features_have_nothing_to_select():
    X, y = two_regimes(200)
    options = {"alpha": "ard", "gate_alpha": "ard", "expert_features": [], "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    assert np.isnan(moe.alpha_).all()
    assert "dropped by the experts: none" in export_text(moe)
    assert "ropped" not in str(moe.summary()).replace("Dropped by the gate", "")


@pytest.mark.parametrize(
    "options",
    [
        {"base": DecisionTreeClassifier(max_depth=2)},
        {"gate": "softmax", "gate_features": [0, 1]},
    ],
    ids=["base", "gate features"],
)
def test_selection_goes_with_other_columns(options):
    X, y = two_regimes(200)
    kinds = {"alpha": "ard", "gate_alpha": "ard", "random_state": 0}
    moe = quiet(MixtureOfExpertsClassifier(2, **kinds, **options), X, y > 0)
    assert moe.alpha_.shape == (3,)
    assert moe.gate_alpha_.shape == moe.gate_coef_.shape[1:]
    assert len(str(moe.summary())) > 0


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_blocks_find_the_penalties_of_rows_in_memory(kind):
    X, y = two_regimes(900)
    options = {"alpha": kind, "gate_alpha": kind, "random_state": 0}
    in_memory = MixtureOfExpertsRegressor(2, **options).fit(X, y)
    blocks = RowBlocks(lambda: ((X[i : i + 300], y[i : i + 300]) for i in range(0, 900, 300)))
    in_blocks = MixtureOfExpertsRegressor(2, **options).fit(blocks)
    assert_allclose(in_blocks.alpha_, in_memory.alpha_, rtol=0.01)
    assert_allclose(in_blocks.gate_alpha_, in_memory.gate_alpha_, rtol=0.01)


def test_streams_keep_the_penalties_of_their_first_rows():
    X, y = two_regimes(600)
    stream = MixtureOfExpertsRegressor(2, **AUTO)
    stream.partial_fit(X[:400], y[:400])
    assert (stream.alpha_, stream.gate_alpha_) != (0.1, 1.0)
    stream.partial_fit(X[400:], y[400:])
    assert stream._fitted.model.gate.alpha == stream.gate_alpha_ != 1.0


def test_warm_starts_keep_the_penalties():
    X, y = two_regimes(300)
    moe = MixtureOfExpertsRegressor(2, warm_start=True, **AUTO).fit(X, y)
    found, bound = (moe.alpha_, moe.gate_alpha_), moe.lower_bound_
    moe.set_params(tol=1e-8).fit(X, y)
    assert (moe.alpha_, moe.gate_alpha_) == found
    assert moe.lower_bound_ >= bound
    moe.set_params(alpha=5.0).fit(X, y)
    assert (moe.alpha_, moe.gate_alpha_) == (5.0, found[1])


def test_checkpoints_keep_the_penalties(tmp_path):
    X, y = two_regimes(300)
    moe = MixtureOfExpertsRegressor(2, tol=1e-6, **AUTO)
    whole = clone(moe).fit(X, y)
    kept = fit_with_checkpoints(clone(moe), X, y, path=tmp_path / "fit")
    assert_array_equal(kept.predict(X), whole.predict(X))
    assert load_checkpoint(tmp_path / "fit").gate_alpha_ == whole.gate_alpha_


@pytest.mark.parametrize("final_factor", [FINAL_FACTOR, 1.0])
@pytest.mark.parametrize("n_written", [1, 3])
def test_a_fit_that_is_resumed_goes_on_with_its_search(
    final_factor, n_written, tmp_path, monkeypatch
):
    """A factor of one lets the search go on as often as it can after EM has converged."""
    monkeypatch.setattr("skmoe._mixture.evidence.FINAL_FACTOR", final_factor)
    X, y = two_regimes(300)
    moe = MixtureOfExpertsRegressor(2, tol=1e-9, max_iter=1000, **AUTO)
    whole = clone(moe).fit(X, y)
    write, written = checkpoints._write, []

    def dying(*content):
        write(*content)
        written.append(content)
        if len(written) == n_written:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            fit_with_checkpoints(clone(moe), X, y, path=tmp_path / "fit", every=1)
    resumed = fit_with_checkpoints(clone(moe), X, y, path=tmp_path / "fit", every=1)
    assert (resumed.alpha_, resumed.gate_alpha_) == (whole.alpha_, whole.gate_alpha_)
    assert_array_equal(resumed.lower_bounds_, whole.lower_bounds_)
    assert resumed.n_iter_ == whole.n_iter_


def test_segments_of_a_fit_with_checkpoints_go_on_with_the_search(tmp_path, monkeypatch):
    X, y = two_regimes(120)
    searches, find = [], runs.run_with_evidence

    def recorded(chosen, model, blocks, start, *options):
        searches.append((start.model, find(chosen, model, blocks, start, *options)))
        return searches[-1][1]

    monkeypatch.setattr(runs, "run_with_evidence", recorded)
    options = {"expert": "tree", "gate_alpha": "auto", "max_iter": 32, "tol": 0.0}
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options)
    with pytest.warns(ConvergenceWarning, match="fit_with_checkpoints again"):
        moe = fit_with_checkpoints(moe, X, y, path=tmp_path / "fit", every=16)
    assert moe.n_iter_ == 32
    (_, first), (begun_at, second) = searches
    assert begun_at.gate.alpha == first.model.gate.alpha != 1.0
    assert moe.gate_alpha_ == second.model.gate.alpha
    # Lower bounds are those with the last penalties.
    assert_allclose(np.diff(moe.lower_bounds_), np.diff(second.lower_bounds))
    assert len(second.lower_bounds) < 16


@pytest.mark.parametrize("task", ESTIMATORS)
def test_penalties_are_found_by_default_for_linear_experts_without_a_base(task):
    X, y = table("linear", task)
    make = ESTIMATORS[task]
    default = quiet(make(2, random_state=0), X, y)
    found = quiet(make(2, **AUTO), X, y)
    assert (default.alpha_, default.gate_alpha_) == (found.alpha_, found.gate_alpha_)
    assert default.gate_alpha_ != 1.0
    constant = quiet(make(2, gate="constant", random_state=0), X, y)
    assert constant.alpha_ not in (0.1, 1.0)
    tree = DecisionTreeClassifier if task == "classifier" else DecisionTreeRegressor
    trees = quiet(make(2, expert=tree(max_depth=2), max_iter=3, random_state=0), X, y)
    assert trees.gate_alpha_ == 1.0
    with_base = quiet(make(2, base=tree(max_depth=2), random_state=0), X, y)
    assert (with_base.alpha_, with_base.gate_alpha_) == (10.0, 1.0)


@pytest.mark.parametrize("combine", ["average", "best_converged"])
def test_several_starts_find_penalties(combine):
    X, y = two_regimes(150)
    moe = MixtureOfExpertsRegressor(2, combine=combine, n_init=2, **AUTO).fit(X, y)
    if combine == "average":  # each start has its own
        assert not hasattr(moe, "alpha_")
        fixed = clone(moe).set_params(alpha=0.1, gate_alpha=1.0).fit(X, y)
        assert np.abs(fixed.predict(X) - moe.predict(X)).max() > 1e-4
    else:
        assert moe.gate_alpha_ != 1.0
        assert moe.start_converged_.all()


def test_the_number_of_experts_and_a_grid_are_searched_with_penalties():
    X, y = two_regimes(120)
    chosen = MixtureOfExpertsRegressor("auto", n_init=1, **AUTO).fit(X, y)
    assert chosen.n_experts_ == 2
    assert chosen.gate_alpha_ != 1.0
    grid = GridSearchCV(MixtureOfExpertsRegressor(2, **AUTO), {"alpha": ["auto", 100.0]}, cv=2)
    assert grid.fit(X, y).best_params_ == {"alpha": "auto"}


def test_implicit_hessians_give_penalties():
    rng = np.random.default_rng(0)
    X = sparse.random(150, 1100, density=0.05, random_state=0, format="csr")
    y = np.asarray(X[:, :3].sum(axis=1)).ravel() + 0.1 * rng.normal(size=150)
    moe = quiet(MixtureOfExpertsRegressor(2, n_init=1, max_iter=60, **AUTO), X, y)
    assert np.isfinite([moe.alpha_, moe.gate_alpha_]).all()
    assert moe.alpha_ > 1.0  # more columns than rows


def test_the_penalty_of_a_gate_over_estimators_is_found():
    X, y = two_regimes(120)
    options = {"expert": "tree", "n_init": 1, "max_iter": 12, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, gate_alpha="auto", **options)
    assert quiet(moe, X, y).gate_alpha_ != 1.0


def test_dispersion_prior_is_found():
    X, y = two_regimes(300)
    moe = MixtureOfExpertsRegressor(2, dispersion_prior="auto", random_state=0).fit(X, y)
    assert moe.dispersion_prior_ != 10.0
    t = MixtureOfExpertsRegressor(
        2, family="student_t", dispersion_prior="auto", dispersion="shared", random_state=0
    )
    assert t.fit(X, y).dispersion_prior_ != 10.0


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": "best"}, 'alpha must be "auto" or "ard", or a number of at least 0'),
        ({"alpha": -1.0}, "alpha must be a finite number of at least 0; got -1"),
        ({"dispersion_prior": "ard"}, 'dispersion_prior must be "auto", or a number'),
        ({"alpha": "auto", "expert": "tree"}, 'alpha="auto" needs experts with a penalty'),
        ({"alpha": "ard", "expert": LinearExperts()}, 'alpha="ard" needs experts with a penalty'),
        ({"gate_alpha": "auto", "gate": "constant"}, 'gate_alpha="auto" needs gates with a'),
        ({"gate_alpha": "ard", "gate": ConstantGate()}, 'gate_alpha="ard" needs gates with a'),
        ({"alpha": "ard", "shared_features": [0]}, 'alpha="ard" finds a penalty for each feature'),
        (
            {"dispersion_prior": "auto", "expert": "tree"},
            'dispersion_prior="auto" needs experts with a penalty',
        ),
    ],
)
def test_bad_penalties_are_refused(options, message):
    X, y = two_regimes(60)
    with pytest.raises(ValueError, match=re.escape(message)):
        MixtureOfExpertsRegressor(2, **options).fit(X, y)


@pytest.mark.parametrize("search", ["auto", "ard"])
def test_gate_objects_have_the_penalty_of_the_estimator_or_their_own(search):
    X, y = two_regimes(200)
    moe = MixtureOfExpertsRegressor(2, gate_alpha=search, random_state=0).fit(X, y)
    of_object = clone(moe).set_params(gate=SoftmaxGate()).fit(X, y)
    assert_array_equal(of_object.gate_alpha_, moe.gate_alpha_)
    assert of_object.lower_bound_ == moe.lower_bound_
    # Without a request a number of the object is kept, and a search leaves the object as it is.
    gate = SoftmaxGate(alpha=3.0, transformer=PolynomialFeatures(2, include_bias=False))
    own = clone(moe).set_params(gate=gate, gate_alpha=None).fit(X, y)
    found = clone(own).set_params(gate_alpha=search).fit(X, y)
    assert own.gate_alpha_ == 3.0
    assert np.size(found.gate_alpha_) == (1 if search == "auto" else len(own.gate_feature_names_))
    assert np.all(np.asarray(found.gate_alpha_) != 3.0)
    # A number replaces that of the object, so that a search over `gate_alpha` compares fits.
    given = clone(own).set_params(gate_alpha=5.0).fit(X, y)
    assert given.gate_alpha_ == 5.0
    assert_array_equal(
        given.predict(X), clone(own).set_params(gate=replace(gate, alpha=5.0)).fit(X, y).predict(X)
    )
    assert gate.alpha == 3.0
    restored = MixtureOfExpertsRegressor.from_dict(of_object.to_dict())
    assert_array_equal(restored.gate_alpha_, of_object.gate_alpha_)
    assert_array_equal(restored.predict(X), of_object.predict(X))


@pytest.mark.parametrize(
    "options",
    [{}, {"gate_alpha": 7.0}, {"base": Ridge()}, {"expert": "tree", "max_iter": 30}],
    ids=str,
)
def test_a_gate_object_without_a_penalty_is_that_of_its_name(options):
    X, y = two_regimes(200)
    named = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options).fit(X, y)
    of_object = clone(named).set_params(gate=SoftmaxGate()).fit(X, y)
    assert of_object.gate_alpha_ == named.gate_alpha_
    assert of_object.lower_bound_ == named.lower_bound_
    assert_array_equal(of_object.predict(X), named.predict(X))
    assert of_object.gate == SoftmaxGate()


class NoEvidence(LinearExperts):
    """A family whose penalty cannot be found."""

    penalised_slopes = None


def test_registered_parts_without_the_capability_are_refused(monkeypatch):
    monkeypatch.setitem(EXPERTS, "no evidence", {"regressor": NoEvidence})
    X, y = two_regimes(60)
    moe = MixtureOfExpertsRegressor(2, expert="no evidence", alpha="auto")
    with pytest.raises(ValueError, match=r"see skmoe\.protocols\.SupportsEvidence"):
        moe.fit(X, y)


@pytest.mark.parametrize("kind", ["auto", "ard"])
@pytest.mark.parametrize("seed", range(5))
def test_variances_of_independent_slopes_are_diagonal_matrices(seed, kind):
    rng = np.random.default_rng(seed)
    values, variances = rng.normal(size=(3, 6)), rng.uniform(0.01, 0.5, size=(3, 6))
    gradient = rng.normal(size=(3, 6))
    alpha = 0.5 if kind == "auto" else rng.uniform(0.1, 2.0, 6)
    matrices = np.stack([np.diag(row) for row in variances])
    one, other = (evidence.Slopes(values, v, gradient) for v in (variances, matrices))
    assert_allclose(
        evidence.found_penalty(kind, alpha, one, 1.0),
        evidence.found_penalty(kind, alpha, other, 1.0),
        rtol=1e-12,
    )
    assert_allclose(
        evidence.n_determined_slopes(alpha, one), evidence.n_determined_slopes(alpha, other)
    )


@pytest.mark.parametrize("part", ["experts", "gate"])
def test_the_evidence_forms_no_matrix_where_the_fit_forms_none(part):
    """Memory is linear in the number of columns."""
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(50, 7)), np.ones(50)])
    weight = rng.uniform(size=(2, 50))
    if part == "experts":
        hessian = ImplicitGram(((design, weight),))
        formed = np.einsum("kn,ni,nj->kij", weight, design, design)
        coef, gradient = rng.normal(size=(2, 2, 1, 8))
        found, full = (
            evidence.ridge_slopes(h, np.append(np.full(7, 0.3), 0.0), coef, gradient)
            for h in (hessian, formed)
        )
    else:
        probs = weight / weight.sum(axis=0)
        hessian = SoftmaxHessian(((design, np.ones(50), probs),))
        coef, gradient = rng.normal(size=(2, 2, 8))
        basis = helmert_contrasts(2)
        formed = softmax_hessian(design, np.ones(50), probs)
        found, full = (
            evidence.softmax_slopes(h, basis, 0.3, coef, gradient) for h in (hessian, formed)
        )
    assert found.covariances.shape == found.values.shape
    assert full.covariances.shape == (*full.values.shape, 7)
    assert_array_equal(found.values, full.values)
    assert_array_equal(found.gradient, full.gradient)
    # The inverse of the diagonal is at most the diagonal of the inverse.
    assert (found.covariances <= np.diagonal(full.covariances, axis1=1, axis2=2)).all()
    assert_allclose(found.covariances, np.diagonal(full.covariances, axis1=1, axis2=2), rtol=0.5)
