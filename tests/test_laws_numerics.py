"""Numbers of small functions, against formulas written here."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset
from skmoe._data.scaling import safe_range
from skmoe._data.units import make_units
from skmoe._inference.summary import _start_notes
from skmoe._mixture import em
from skmoe._mixture.acceleration import aitken_gap, squarem_step
from skmoe._mixture.e_step import e_step_block
from skmoe._mixture.em import (
    EXPERTS_PER_REFRESH,
    HESSIAN_REFRESH,
    MAX_HALVINGS,
    EMState,
    hessian_refresh_interval,
)
from skmoe._mixture.model import MixtureModel, Params, log_joint
from skmoe._mixture.runs import collapsed_experts
from skmoe._mixture.unit_initialization import responsibilities_of_units
from skmoe._numerics.collapse import MIN_EXPERT_WEIGHT, MIN_WEIGHT_FRACTION, is_collapsed
from skmoe._numerics.multinomial import bohning_lindsay_bound, softmax_hessian
from skmoe._numerics.normal_mixtures import density_parts, nearest_mode
from skmoe._numerics.probability import keep_top_k
from skmoe._numerics.quadrature import SUM_ORDER, integral_points, sum_points
from skmoe.distributions import NormalComponents
from skmoe.distributions._count_families import PoissonComponents
from skmoe.experts import GeneralizedLinearExperts
from skmoe.experts._estimator_params import EstimatorParams, experts_to_refit, rows_to_fit
from skmoe.experts._given_densities import GivenDensities
from skmoe.experts._variance_prior import MAX_ROUNDING_FLOOR, RELATIVE_FLOOR, variance_floor
from skmoe.families import Poisson, Zero
from skmoe.gates import ConstantGate

# --- steps of EM --------------------------------------------------------------------------------


class Model:
    """A model of one number, whose experts may be estimators."""

    def __init__(self, needs_all_rows=False):
        self.experts = type("Experts", (), {"needs_all_rows": needs_all_rows})()


class Number:
    """Parameters that are a number."""

    def __init__(self, value):
        self.value = self.experts = value


def line_search(monkeypatch, objective, hessian_age=0, refresh_interval=1, direction=1.0):
    """The result of a line search from zero, and the evaluations: the point and its Hessian."""
    steps, evaluations = [], []

    def m_step_from(model, state, step, fixed_experts=None):
        steps.append((step, fixed_experts))
        return Number(state.params.value + direction * step)

    def evaluate_at(params, previous=None):
        evaluations.append((params.value, previous is not None))
        age = 0 if previous is None else previous.hessian_age + 1
        return EMState(params, objective(params.value), None, None, params, age)

    monkeypatch.setattr(em, "m_step_from", m_step_from)
    start = EMState(Number(0.0), objective(0.0), None, None, None, hessian_age)
    found = em._line_search(Model(), evaluate_at, start, refresh_interval, 0.0)
    return found, steps, evaluations


def test_a_step_is_halved_until_the_bound_does_not_fall(monkeypatch):
    found, steps, evaluations = line_search(monkeypatch, lambda x: -abs(x - 0.2))
    assert [step for step, _ in steps] == [1.0, 0.5, 0.25]
    assert found.params.value == 0.25
    assert [hessian for _, hessian in evaluations] == [False] * 3
    # Where every step lowers the bound none is made.
    found, steps, _ = line_search(monkeypatch, lambda x: -abs(x))
    assert len(steps) == MAX_HALVINGS
    assert steps[-1][0] == found.params.value == 0.0
    found, _, _ = line_search(monkeypatch, lambda x: 0.0 if x == 0.0 else np.nan)
    assert found.params.value == 0.0


def test_an_old_hessian_is_used_again_until_its_age_or_a_step_that_fails(monkeypatch):
    for age, interval, reused in ((0, 1, False), (0, 2, True), (1, 3, True), (2, 3, False)):
        found, _, evaluations = line_search(monkeypatch, lambda x: x, age, interval)
        assert evaluations == [(1.0, reused)]
        assert found.hessian_age == (age + 1 if reused else 0)
    # After a step that fails the old Hessian is computed where it belongs, once.
    _, _, evaluations = line_search(monkeypatch, lambda x: -abs(x - 0.2), 1, 1)
    assert evaluations == [(1.0, False), (0.0, False), (0.5, False), (0.25, False)]
    _, _, evaluations = line_search(monkeypatch, lambda x: -abs(x - 0.2), 0, 1)
    assert evaluations == [(1.0, False), (0.5, False), (0.25, False)]


def test_hessians_of_many_experts_are_used_longer():
    for n_experts in range(1, HESSIAN_REFRESH * EXPERTS_PER_REFRESH + 1):
        assert hessian_refresh_interval(n_experts) == HESSIAN_REFRESH
    for factor in (2, 5):
        n_experts = factor * HESSIAN_REFRESH * EXPERTS_PER_REFRESH
        assert hessian_refresh_interval(n_experts) == factor * HESSIAN_REFRESH


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_extrapolation_ends_at_the_limit_of_a_linear_iteration(rate):
    limit, begin = [np.array([3.0, -1.0]), np.array(2.0)], [np.array([1.0, 1.0]), np.array(0.0)]
    first, second = (
        [c + rate**n * (b - c) for b, c in zip(begin, limit, strict=True)] for n in (1, 2)
    )
    found, step = squarem_step(begin, first, second, 1e6)
    assert_allclose(step, 1 / (1 - rate))
    for values, expected in zip(found, limit, strict=True):
        assert_allclose(values, expected, atol=1e-9)
    # Of length one it is the second iterate.
    found, step = squarem_step(begin, first, second, 1.0)
    assert step == 1.0
    for values, expected in zip(found, second, strict=True):
        assert_allclose(values, expected)
    found, step = squarem_step(begin, first, second, 1.5)
    assert step == 1.5
    for values, b, c in zip(found, begin, limit, strict=True):
        assert_allclose(values, c + (1 - 1.5 * (1 - rate)) ** 2 * (b - c))


@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize("rate", [0.6, 0.95])
def test_the_gap_of_a_geometric_sequence_is_its_distance_from_the_limit(stride, rate):
    bounds = 5.0 - rate ** np.arange(2 * stride + 4)
    left = rate ** (2 * stride + 3)
    last_gain = rate ** (stride + 3) - left
    assert_allclose(aitken_gap(list(bounds), 0.0, stride), max(left, last_gain), rtol=1e-6)
    assert aitken_gap(list(bounds[: 2 * stride]), 0.0, stride) == np.inf
    assert np.isfinite(aitken_gap(list(bounds[: 2 * stride + 1]), 0.0, stride))
    assert aitken_gap([0.0, 1.0, 2.0, 4.0], 0.0, 1) == np.inf  # it accelerates
    assert aitken_gap([0.0, 1.0, 2.0], 0.0, 1) == np.inf  # it does not slow down
    assert aitken_gap([0.0, 1.0, 1.0 + 1e-12, 1.0 + 2e-12], 1e-9, 1) == 0.0  # a fixed point
    assert aitken_gap([0.0, 1.0, 1.0 + 1e-12, 1.0 + 2e-12], 0.0, 1) > 0.0
    assert aitken_gap([0.0, 1.0, 1.0, 1.0], 0.0, 1) == 0.0


# --- probabilities and information --------------------------------------------------------------


@pytest.mark.parametrize("n_experts", [None, 3])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_bound_of_hessians_is_above_them_and_reached_by_even_probabilities(
    n_classes, n_experts
):
    rng = np.random.default_rng(0)
    design, weight = rng.normal(size=(30, 3)), rng.uniform(0.5, 2.0, size=30)
    size = n_classes * 3

    def matrix(blocks):
        return np.swapaxes(blocks, -3, -2).reshape(size, size)

    for scale in (0.0, 1.0, 5.0):
        logits = scale * rng.normal(size=(n_classes, 30))
        probs = np.exp(logits) / np.exp(logits).sum(axis=0)
        hessian = softmax_hessian(design, weight, probs)
        bound = bohning_lindsay_bound(hessian, design, weight)
        assert np.linalg.eigvalsh(matrix(bound - hessian)).min() > -1e-4
        if scale == 0.0 and n_classes == 2:
            assert_allclose(bound, hessian, atol=1e-5)
    if n_experts is not None:  # each has its part of the rows
        several = bohning_lindsay_bound(np.stack([hessian] * n_experts), design, weight)
        assert_allclose(several, bound / n_experts)


def test_the_most_probable_are_kept_and_of_ties_the_first():
    rng = np.random.default_rng(0)
    log_probs = np.round(rng.normal(size=(5, 40)))
    for top_k in (1, 2, 4):
        kept = np.isfinite(keep_top_k(log_probs, top_k))
        for row, column in zip(log_probs.T, kept.T, strict=True):
            assert_array_equal(
                np.flatnonzero(column), np.sort(np.argsort(-row, kind="stable")[:top_k])
            )
    assert_array_equal(keep_top_k(log_probs, 5), log_probs)
    assert_array_equal(keep_top_k(log_probs, None), log_probs)


# --- integrals, sums and modes ------------------------------------------------------------------


@pytest.mark.parametrize("degree", range(SUM_ORDER))
@pytest.mark.parametrize("n_counts", [1, 7, SUM_ORDER, SUM_ORDER + 1, 40, 1001])
def test_sums_of_polynomials_are_exact(n_counts, degree):
    first, polynomial = 5.0, np.polynomial.legendre.Legendre.basis(degree)

    def value(count):  # of a polynomial that is at most one in size
        return polynomial((count - first - 0.5 * (n_counts - 1)) / (0.5 * n_counts))

    points, weights = sum_points(np.array([first]), np.array([n_counts]))
    expected = value(first + np.arange(n_counts)).sum()
    assert_allclose((weights * value(points)).sum(), expected, rtol=1e-10, atol=1e-11 * n_counts)


def test_sums_of_several_ranges_are_those_of_each():
    first, n_counts = np.array([[0.0, 3.0], [10.0, 200.0]]), np.array([[1, 16], [17, 300]])
    points, weights = sum_points(first, n_counts)
    for index in np.ndindex(first.shape):
        counts = first[index] + np.arange(n_counts[index])
        assert_allclose((weights * points**2)[:, *index].sum(), np.square(counts).sum())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("low", "high"), [(0.7, 0.9), (1.0, 2.0), (1.0, 2.1), (0.01, 5.0)])
@pytest.mark.parametrize("power", [-1.5, -1.0, 0.0, 0.5, 2.0, 3.0])
def test_integrals_of_powers_are_exact(power, low, high, sign):
    """Also over panels many times as wide as they are far from zero."""
    ends = np.sort([sign * low, sign * high])
    points, weights = integral_points(ends[:1], ends[1:])
    assert ((points > ends[0]) & (points < ends[1])).all()
    whole = np.log(high / low) if power == -1.0 else (high ** (power + 1) - low ** (power + 1))
    expected = whole if power == -1.0 else whole / (power + 1)
    assert_allclose((weights * np.abs(points) ** power).sum(), expected, rtol=1e-7)


def test_integrals_over_zero_are_those_of_polynomials():
    left, right = np.array([-3.0, -1.0, 0.0]), np.array([1.0, 2.0, 4.0])
    points, weights = integral_points(left, right)
    for power in range(8):
        expected = (right ** (power + 1) - left ** (power + 1)) / (power + 1)
        assert_allclose((weights * points**power).sum(axis=0), expected, rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-120, 1.0, 1e120])
def test_the_nearest_mode_is_a_local_maximum_that_is_not_lower(unit):
    rng = np.random.default_rng(0)
    weights, means = rng.dirichlet(np.ones(3), size=300).T, rng.uniform(-3, 3, size=(3, 300))
    stds, start = np.exp(rng.uniform(-2, 1, size=(3, 300))), rng.uniform(-3, 3, size=300)
    found = nearest_mode(weights, unit * means, unit * stds, unit * start) / unit
    height, parts, z = density_parts(weights, means, stds, found)
    before, _, _ = density_parts(weights, means, stds, start)
    assert (height >= before * (1 - 1e-12)).all()
    slope, steepest = (parts * z / stds).sum(axis=0), (parts * np.abs(z) / stds).sum(axis=0)
    assert (np.abs(slope) <= 1e-5 * steepest + 1e-9 * height).all()
    for step in (1e-4, -1e-4):
        assert (density_parts(weights, means, stds, found + step)[0] <= height).all()


def test_modes_that_merge_are_found_where_small_steps_would_not_end():
    """Of two equal normals at a distance of two standard deviations, the density is flat."""
    weights, means, stds = np.full((2, 1), 0.5), np.array([[-1.0], [1.0]]), np.ones((2, 1))
    for start in (-3.0, -1.0, 0.5, 2.0):
        assert abs(nearest_mode(weights, means, stds, np.array([start])).item()) < 1e-3


# --- rows that an expert cannot have made -------------------------------------------------------


def zeros_and_counts(y):
    """A point mass and a Poisson expert, their parameters, and rows that belong to pairs."""
    y = np.array([y], dtype=float)
    design = np.ones((y.shape[1], 1))
    experts = GeneralizedLinearExperts((Zero(), Poisson()))
    params = experts.init_params(2, 1)
    units = make_units(np.arange(y.shape[1]) // 2)
    rows = Dataset(design[units.starts], design, y, np.full(y.shape[1], 2.0), units)
    return experts, params, rows


def test_an_expert_has_made_all_rows_of_a_unit_or_none():
    experts, _, rows = zeros_and_counts([0, 0, 0, 2, 1, 0, 3, 4])
    resp = np.array([np.full(8, 0.25), np.full(8, 0.75)])
    found = responsibilities_of_units(experts, resp, rows)
    assert_allclose(found, [[0.25, 0, 0, 0], [0.75, 1, 1, 1]], atol=1e-12)


def test_impossible_rows_without_responsibility_leave_the_bound_finite():
    experts, params, rows = zeros_and_counts([0, 0, 0, 2])
    model = MixtureModel(ConstantGate(), experts, 2)
    params = Params(model.gate.init_params(2, 1), params)
    _, joint = log_joint(model, params, rows)
    assert joint[0, 1] == -np.inf
    resp = np.array([[0.3, 0.0], [0.7, 1.0]])
    found = e_step_block(model, params, False, rows, resp).log_likelihood
    expected = 0.3 * joint[0, 0] + 0.7 * joint[1, 0] + joint[1, 1]
    assert_allclose(found, rows.units.weight[0] * expected)


# --- experts that are estimators, or whose densities are given ----------------------------------


def test_experts_are_refitted_if_their_responsibilities_have_changed():
    none, few = np.zeros(50), np.full(50, 0.01)
    fitted = np.array([none, few, np.full(50, 0.99)])
    params = EstimatorParams((), np.zeros((3, 1)), None, None, fitted)
    assert experts_to_refit(params, fitted, fitted) == []
    changed = fitted.copy()
    changed[1, :5] = 0.0
    assert experts_to_refit(params, fitted, changed) == [1]
    # Those that wait do so until the last change is small beside that since their fit.
    waits = params._replace(last_resp=fitted, waits=np.ones(3, dtype=bool))
    assert experts_to_refit(waits, fitted, fitted) == []
    assert experts_to_refit(waits, fitted, changed) == []
    assert experts_to_refit(waits._replace(last_resp=changed), fitted, changed) == [1]
    one = waits._replace(last_resp=fitted, waits=np.array([True, False, True]))
    assert experts_to_refit(one, fitted, changed) == [1]


def test_rows_of_negligible_responsibility_are_left_out_of_a_fit():
    resp = np.full((2, 100), 1.0)
    resp[0, 1::2] = 1e-9
    rows = np.arange(10, 90)
    assert_array_equal(rows_to_fit(rows, resp, 0), np.arange(10, 90, 2))
    assert_array_equal(rows_to_fit(rows, resp, 1), rows)
    # Weights do not count, and of few rows none is left out.
    assert_array_equal(rows_to_fit(rows, 1e-6 * resp, 0), np.arange(10, 90, 2))
    assert_array_equal(rows_to_fit(rows[:38], resp, 0), rows[:38])
    assert_array_equal(rows_to_fit(rows[:40], resp, 0), np.arange(10, 50, 2))


def test_given_densities_are_the_design_and_have_unknown_means():
    logs, experts = np.random.default_rng(0).normal(size=(7, 3)), GivenDensities()
    params = experts.init_params(3, 3)
    assert_array_equal(experts.log_prob(params, logs, np.zeros((1, 7))), logs.T)
    mean = experts.mean(params, logs)
    assert mean.shape == (3, 1, 7)
    assert np.isnan(mean).all()
    assert experts.n_parameters(params) == 0


def test_experts_of_given_densities_do_not_collapse():
    logs = np.column_stack([np.zeros(9), np.full(9, -50.0)])
    rows = Dataset(np.ones((9, 1)), logs, np.zeros((1, 9)), np.ones(9))
    model = MixtureModel(ConstantGate(), GivenDensities(), 2)
    params = Params(model.gate.init_params(2, 1), model.experts.init_params(2, 1))
    run = SimpleNamespace(params=params)
    assert len(collapsed_experts(SimpleNamespace(model=model, rows=rows), run)) == 0
    other = model._replace(experts=type("Given", (GivenDensities,), {"can_collapse": True})())
    assert_array_equal(collapsed_experts(SimpleNamespace(model=other, rows=rows), run), [1])


def test_few_rows_or_a_small_fraction_of_them_are_a_collapse():
    few, share = MIN_EXPERT_WEIGHT, MIN_WEIGHT_FRACTION
    masses = np.array([np.nextafter(few, 0.0), few, 10.0 * few])
    assert_array_equal(is_collapsed(masses), [True, False, False])
    total = 100.0 * few / share
    masses = np.array([0.9 * share * total, 1.2 * share * total, total])
    assert_array_equal(is_collapsed(masses), [True, False, False])


# --- components, units and floors ---------------------------------------------------------------


def test_components_of_other_rows_have_weight_zero_and_are_valid():
    rng = np.random.default_rng(0)
    weight, rows = rng.uniform(size=(2, 3)), np.array([1, 3, 4])
    normal = NormalComponents(weight, rng.normal(size=(2, 1, 3)), np.full((2, 1, 3), 5.0))
    counts = PoissonComponents(weight, rng.uniform(1.0, 2.0, size=(2, 1, 3)))
    for part in (normal, counts):
        whole, others = part.expand(rows, 6), [0, 2, 5]
        for values, own in zip(whole, part, strict=True):
            assert_array_equal(values[..., rows], own)
        assert_array_equal(whole.weight[:, others], 0.0)
    assert_array_equal(normal.expand(rows, 6).mean[..., others], 0.0)
    assert_array_equal(normal.expand(rows, 6).std[..., others], 1.0)


def test_divisors_are_the_values_but_for_zero():
    values = np.array([0.0, 1e-300, 0.5, 1.0, 1e300])
    assert_array_equal(safe_range(values), [1.0, 1e-300, 0.5, 1.0, 1e300])


def test_a_target_is_rounded_from_half_as_many_values_as_rows():
    half, more = np.array([0.0, 0.1, 0.1, 0.0]), np.array([0.0, 0.1, 0.1, 0.0, 0.2])
    assert_allclose(variance_floor(half[None]), 0.01 / 12)
    assert_allclose(variance_floor(more[None]), RELATIVE_FLOOR)
    assert_allclose(variance_floor(np.zeros((1, 4))), RELATIVE_FLOOR)
    coarse = np.array([0.0, 100.0, 100.0, 0.0])
    assert_allclose(variance_floor(coarse[None]), MAX_ROUNDING_FLOOR)
    fine = np.array([0.0, 1e-9, 1e-9, 0.0])
    assert_allclose(variance_floor(fine[None]), RELATIVE_FLOOR)


# --- inference ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "reason"), [(3, ""), (2, "separated")])
def test_as_many_rows_as_coefficients_determine_them(n_rows, reason):
    X = np.random.default_rng(0).normal(size=(n_rows, 2))
    moe = MixtureOfExpertsRegressor(1, alpha=0.1, dispersion_prior=1.0)
    found = moe.fit(X, X[:, 0] + [0.0, 0.3, -0.2][:n_rows]).inference(X, X[:, 0])
    assert set(found.reasons) == {reason}


def test_the_summary_tells_how_far_starts_are_apart():
    moe = MixtureOfExpertsRegressor(1).fit(np.arange(9.0)[:, None], np.arange(9.0))

    def notes(bounds, converged):
        starts = {"start_lower_bounds_": np.array(bounds), "start_converged_": np.array(converged)}
        return _start_notes(moe._fitted, vars(moe) | starts)

    assert notes([1.0], [True]) == []
    assert notes([1.0, 1.5], [True, False]) == []
    (note,) = notes([1.0, 1.25, 9.0], [True, True, False])
    assert note.startswith("The lower bounds of the 2 starts run to the end differ by at most 0.2 ")
    (note,) = notes([1.0, 1.0 + 1e-7], [True, True])
    assert "differ by less than 1e-6 per row" in note
