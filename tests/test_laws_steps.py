"""Steps of EM: their lengths, their Hessians, what is tried when, and what ends them."""

from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import two_regimes

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import Standardization
from skmoe._mixture import em, evidence, m_step
from skmoe._mixture.acceleration import LOWER_BOUND_RTOL, aitken_gap, lower_bound_tolerance
from skmoe._mixture.e_step import e_step, e_step_block
from skmoe._mixture.em import HESSIAN_REFRESH, EMOptions, EMStart, EMState, run_em
from skmoe._mixture.initialization import smooth_labels
from skmoe._mixture.m_step import MAX_HALVINGS, params_from_responsibilities, penalty
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.online import (
    AVERAGING_FACTOR,
    STEP_POWER,
    init_online_state,
    rescaling,
    update,
)
from skmoe._numerics.evidence import PenaltySearch
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate, SoftmaxGate

X, Y = two_regimes(300)
DESIGN = np.column_stack([X, np.ones(300)])
WEIGHT = np.random.default_rng(0).uniform(0.5, 2.0, size=300)
ROWS = Dataset(DESIGN, DESIGN, ((Y - Y.mean()) / Y.std())[None], WEIGHT)
RESP = smooth_labels((X[:, 1] > 0).astype(int), 2)
MODEL = MixtureModel(SoftmaxGate(), LinearExperts(), 2)


def never(n_iter, run):
    return False


def start_of(model=MODEL, n_steps=5):
    return EMStart(params_from_responsibilities(model, ROWS, RESP, n_steps))


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rtol", [0.0, 1e-6, 1e-2])
@pytest.mark.parametrize("value", [-40.0, -1.0, 0.0, 3.0, 50.0])
def test_a_step_may_lower_the_bound_by_its_round_off_only(value, rtol, monkeypatch):
    """The round-off is relative to the bound, or absolute where the bound is small."""
    allowed = rtol * (1.0 + abs(value))
    number = type("Number", (), {"needs_all_rows": False})()
    model = SimpleNamespace(experts=number)

    monkeypatch.setattr(em, "m_step_from", lambda model, state, step, fixed: Params(step, step))

    def taken(first_fall):
        """The length of the step, of which only the longest one lowers the bound."""

        def evaluate_at(params, previous=None):
            fall = first_fall if params.gate == 1.0 else 0.0
            return EMState(params, value - fall, None, None, None, 0)

        start = evaluate_at(Params(0.0, 0.0))
        return em._line_search(model, evaluate_at, start, 1, rtol).params.gate

    assert taken(0.9 * allowed) == 1.0
    assert taken(1.1 * allowed + 1e-9) == 0.5


@pytest.mark.parametrize("needs_all_rows", [False, True])
def test_experts_that_need_all_rows_are_fitted_once_in_a_line_search(needs_all_rows, monkeypatch):
    """The first step of the gate may be too long; the experts of it are kept."""
    fixed_experts = []

    def step_to(model, state, step, fixed):
        fixed_experts.append(fixed)
        return Params(step, f"experts of {step}")

    monkeypatch.setattr(em, "m_step_from", step_to)
    model = SimpleNamespace(experts=SimpleNamespace(needs_all_rows=needs_all_rows))
    state = EMState(Params(0.0, "experts"), 0.0, None, None, None, 0)
    em._line_search(
        model,
        lambda at, old: EMState(at, 0.3 - at.gate, None, None, None, 0),
        state,
        1,
        0.0,
    )
    if needs_all_rows:
        assert fixed_experts == [None, "experts of 1.0", "experts of 0.5"]
    else:
        assert fixed_experts == [None] * 3


@pytest.mark.parametrize("n_exact_iter", [0, 1, 3])
def test_hessians_are_new_in_the_first_iterations_and_then_for_a_while_old(n_exact_iter):
    n_iter, seen = n_exact_iter + 2 * HESSIAN_REFRESH + 1, []

    def listen(n_iter, run):
        seen.append((run.resume_state.hessian_age, run.resume_state.hessian_params is run.params))
        return False

    # The run begins with a Hessian of its own, which counts as one of an E-step.
    options = EMOptions(n_iter, 0.0, n_plain_iter=10**6, n_exact_iter=n_exact_iter)
    run_em(MODEL, split_into_blocks(ROWS), start_of(), options, listen)
    ages = [0] * n_exact_iter
    while len(ages) < n_iter:
        ages.append((ages[-1] + 1) % HESSIAN_REFRESH if ages else 1)
    assert [age for age, _ in seen] == ages
    assert [is_new for _, is_new in seen] == [age == 0 for age in ages]


@pytest.mark.parametrize("n_plain_iter", [0, 1, 4, 10**6])
def test_cycles_are_extrapolated_after_the_plain_ones(n_plain_iter, monkeypatch):
    """From the iterate before the cycle, the one after it, and the next step from there."""
    calls, bounds, squarem_step = [], [], em.squarem_step

    def spy(first, second, third, step_max):
        calls.append((len(bounds), first, second, third))
        return squarem_step(first, second, third, step_max)

    iterates = [start_of().params]

    def listen(n_iter, run):
        bounds.append(run.lower_bound)
        iterates.append(run.params)
        return False

    monkeypatch.setattr(em, "squarem_step", spy)
    options = EMOptions(12, 0.0, n_plain_iter)
    run_em(MODEL, split_into_blocks(ROWS), EMStart(iterates[0]), options, listen)
    if n_plain_iter > 12:
        assert not calls
        return
    # A cycle that is extrapolated has two iterations, unless its extrapolation is refused.
    assert calls[0][0] == n_plain_iter + 1
    for n_iter, first, second, third in calls:
        for found, expected in ((first, iterates[n_iter - 1]), (second, iterates[n_iter])):
            for one, other in zip(found, [*expected.gate, *expected.experts], strict=True):
                assert_array_equal(one, other)
        assert any((a != b).any() for a, b in zip(second, third, strict=True))
    for one, other in pairwise(calls):
        assert other[0] - one[0] in (1, 2)


@pytest.mark.parametrize(
    ("n_threads", "n_blocks", "n_columns", "n_workers"),
    [(1, 5, 64, 1), (3, 5, 64, 3), (3, 2, 64, 2), (3, 1, 64, 1), (3, 5, 63, 1), (2, 5, 90, 2)],
)
def test_threads_are_as_many_as_blocks_and_coefficients_are_worth(
    n_threads, n_blocks, n_columns, n_workers, monkeypatch
):
    """Of two experts; streamed blocks are read by one thread."""
    assert em.MIN_SIZE_FOR_THREADS == 2 * 64
    pools = []

    class Pool:
        def __init__(self, n_workers):
            pools.append(n_workers)

        def __enter__(self):
            return SimpleNamespace(map=map)

        def __exit__(self, *args):
            return None

    monkeypatch.setattr(em, "ThreadPoolExecutor", Pool)
    rng = np.random.default_rng(0)
    design = rng.normal(size=(40, n_columns))
    rows = Dataset(design, DESIGN[:40], ROWS.y[:, :40], np.ones(40))
    blocks = split_into_blocks(rows, 40 // n_blocks)
    assert len(blocks) == n_blocks
    params = Params(SoftmaxGate().init_params(2, n_columns), LinearExperts().init_params(2, 4))
    run_em(MODEL, blocks, EMStart(params), EMOptions(1, 0.0, 5, n_threads), never)
    assert pools == ([n_workers] if n_workers > 1 else [])
    pools.clear()

    class Stream:
        def __iter__(self):
            return iter(blocks)

    run_em(MODEL, Stream(), EMStart(params), EMOptions(1, 0.0, 5, n_threads), never)
    assert pools == []


@pytest.mark.parametrize("max_iter", [0, 1, 2, 5])
def test_a_run_has_the_iterations_that_are_allowed_after_those_before(max_iter):
    first = run_em(MODEL, split_into_blocks(ROWS), start_of(), EMOptions(3, 0.0, 5), never)
    assert not first.converged
    assert not first.stopped
    seen = []

    def listen(n_iter, run):
        seen.append(n_iter)
        assert run.lower_bound == run.lower_bounds[-1] == run.resume_state.lower_bounds[-1]
        assert len(run.lower_bounds) == n_iter
        return False

    options = EMOptions(max_iter, 0.0, 5)
    again = run_em(MODEL, split_into_blocks(ROWS), first.continuation, options, listen)
    assert seen == list(range(4, 4 + max_iter))
    assert len(again.lower_bounds) == 3 + max_iter
    assert not again.line_search_failed
    assert again.model is MODEL
    # Without an iteration before, and none allowed, there is the bound of the start.
    alone = run_em(MODEL, split_into_blocks(ROWS), start_of(), EMOptions(0, 0.0, 5), never)
    total = e_step(MODEL, [ROWS], alone.params, with_hessian=False)
    expected = (total.log_likelihood - penalty(MODEL, alone.params)) / WEIGHT.sum()
    assert_allclose(alone.lower_bounds, [expected])
    assert not alone.converged


def test_a_run_that_has_converged_makes_no_further_iteration():
    options = EMOptions(500, 1e-6, 5)
    first = run_em(MODEL, split_into_blocks(ROWS), start_of(), options, never)
    assert first.converged
    again = run_em(MODEL, split_into_blocks(ROWS), first.continuation, options, never)
    assert again.converged
    assert again.lower_bounds == first.lower_bounds
    # It does for a smaller tolerance.
    stricter = EMOptions(500, 1e-10, 5)
    further = run_em(MODEL, split_into_blocks(ROWS), first.continuation, stricter, never)
    assert len(further.lower_bounds) > len(first.lower_bounds)
    assert further.lower_bound >= first.lower_bound


def test_bounds_of_an_earlier_run_end_a_run_only_after_an_iteration_of_its_own():
    """They tell that it has converged as soon as one bound counts as that of this run."""
    options = EMOptions(500, 1e-6, 5)
    first = run_em(MODEL, split_into_blocks(ROWS), start_of(), options, never)
    assert first.converged
    for n_before, n_after in ((0, 1), (1, 1), (2, 2)):
        bounds = first.lower_bounds[len(first.lower_bounds) - n_before :]
        start = EMStart(first.params, bounds, first.resume_state)
        again = run_em(MODEL, split_into_blocks(ROWS), start, options, never)
        assert again.converged
        assert len(again.lower_bounds) == n_after


@pytest.mark.parametrize("level", [-1000.0, 0.0, 1000.0])
def test_a_fixed_point_is_one_up_to_the_round_off_of_the_bound(level):
    for rtol in (1e-9, 1e-6):
        allowed = rtol * (1.0 + abs(level))
        for gain, gap in ((0.9 * allowed, 0.0), (1.2 * allowed, np.inf)):
            assert aitken_gap([level - 1.0, level - gain, level - 0.4 * gain, level], rtol) == gap
            assert aitken_gap([level - gain, level - 0.4 * gain, level], rtol) == gap
            assert aitken_gap([level - 0.4 * gain, level], rtol) == np.inf


def test_round_off_of_the_bound_is_that_of_the_design():
    assert lower_bound_tolerance(None) == LOWER_BOUND_RTOL["float64"]
    for dtype in (np.float32, np.float64):
        assert lower_bound_tolerance(DESIGN.astype(dtype)) == LOWER_BOUND_RTOL[dtype.__name__]


# --- parameters of given responsibilities -------------------------------------------------------


def expected_log_likelihood(model, params):
    found = e_step_block(model, params, False, ROWS, RESP).log_likelihood
    return found - penalty(model, params)


@dataclass(frozen=True)
class LongSteps(SoftmaxGate):
    """A gate whose steps are too long by a factor."""

    factor: float = 60.0

    def m_step(self, statistics, factor, params, step):
        return super().m_step(statistics, factor, params, self.factor * step)


@dataclass(frozen=True)
class Falling(LinearExperts):
    """Experts whose objective falls in every step."""

    def m_step(self, statistics, factor, params, step):
        return params._replace(log_variance=params.log_variance + 0.5)


@pytest.mark.parametrize("factor", [1.0, 3.0, 60.0])
def test_steps_from_given_responsibilities_never_lower_their_objective(factor):
    model = MODEL._replace(gate=LongSteps(factor=factor))
    values = [
        expected_log_likelihood(model, params_from_responsibilities(model, ROWS, RESP, n_steps))
        for n_steps in range(7)
    ]
    assert (np.diff(values) >= 0.0).all()
    assert values[1] > values[0]
    # They lead to the parameters of greatest likelihood, which small steps lead to.
    best = params_from_responsibilities(MODEL, ROWS, RESP, 60)
    if factor == 1.0:
        assert_allclose(values[-1], expected_log_likelihood(MODEL, best), rtol=1e-8)


def test_parameters_stay_where_every_step_lowers_their_objective(monkeypatch):
    model = MixtureModel(ConstantGate(), Falling(), 2)
    steps, step_to = [], m_step.m_step

    def spy(model, statistics, factors, params, step, fixed=None):
        steps.append(step)
        return step_to(model, statistics, factors, params, step, fixed)

    monkeypatch.setattr(m_step, "m_step", spy)
    found = params_from_responsibilities(model, ROWS, RESP, 3)
    assert steps == [0.5**i for i in range(MAX_HALVINGS)]
    start = Params(model.gate.init_params(2, 4), model.experts.init_params(2, 4))
    for part, expected in zip(found, start, strict=True):
        for one, other in zip(part, expected, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("n_steps", [0, 1, 4])
def test_each_step_from_given_responsibilities_has_its_own_hessian(n_steps, monkeypatch):
    """There is none at the last parameters, from which no step goes."""
    computed, block = [], m_step.e_step_block

    def spy(model, params, with_hessian, *data):
        computed.append(with_hessian)
        return block(model, params, with_hessian, *data)

    monkeypatch.setattr(m_step, "e_step_block", spy)
    params_from_responsibilities(MODEL, ROWS, RESP, n_steps)
    assert computed == ([True] * n_steps + [False] if n_steps else [True])


# --- penalties ----------------------------------------------------------------------------------


def test_residuals_of_an_expert_keep_a_tenth_of_their_freedom(monkeypatch):
    """Also where it has fewer rows than slopes."""
    rng, n_rows = np.random.default_rng(0), 30
    design = np.column_stack([rng.normal(size=(n_rows, 8)), np.ones(n_rows)])
    resp = np.stack([np.full(n_rows, 0.9), np.full(n_rows, 0.1)])
    experts = LinearExperts(alpha=1e-9)
    y, hessian = rng.normal(size=(1, n_rows)), experts.hessian(None, design, None, resp)
    params = experts.init_params(2, 9)
    statistics, seen = experts.statistics(params, design, y, resp), []
    monkeypatch.setattr(
        evidence, "dispersion_prior", lambda *given: seen.append(given) or (1.0, np.ones(1))
    )
    at = evidence.PartStatistics(params, statistics, hessian)
    evidence._with_found(experts, experts, PenaltySearch("", True), at)
    # Eight slopes are determined, which leaves 19 of the rows of the first expert.
    rows = resp.sum(axis=1)
    expected = np.maximum(rows - 8.0, evidence.MIN_FREEDOM * rows)
    assert_allclose(seen[0][1][:, 0], expected, rtol=1e-6)
    assert expected[1] == evidence.MIN_FREEDOM * rows[1]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("n_columns", [1, 4])
def test_an_expert_without_rows_tells_nothing_about_the_noise(n_columns, alpha):
    """Also without a penalty, and without features."""
    design, resp = DESIGN[:, -n_columns:], np.array([[0.6], [0.4], [0.0]]) * WEIGHT
    found = []
    for own in (resp, resp[:2]):
        experts = LinearExperts(alpha=alpha, dispersion_prior=4.0)
        params = experts.init_params(len(own), n_columns)
        hessian = experts.hessian(params, design, ROWS.y, own)
        statistics = experts.statistics(params, design, ROWS.y, own)
        at = evidence.PartStatistics(params, statistics, hessian)
        with np.errstate(all="raise", under="ignore"):
            other = evidence._with_found(experts, experts, PenaltySearch("", True), at).part
        found.append([other.dispersion_prior, *other.noise_variance])
    assert np.isfinite(found).all()
    if alpha > 0.0:
        assert_allclose(found[0], found[1], rtol=0.2)


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gate", [ConstantGate(), SoftmaxGate()], ids=lambda gate: type(gate).__name__
)
@pytest.mark.parametrize("memory", [np.inf, 170.0])
def test_a_batch_moves_the_averages_by_its_part_of_the_rows(gate, memory):
    """`memory` is the weight of all rows that are remembered, as with a half-life."""
    model = MixtureModel(gate, LinearExperts(), 2)
    batches = [
        Dataset(DESIGN[i], DESIGN[i], ROWS.y[:, i], WEIGHT[i])
        for i in np.split(np.arange(300), [150, 165, 280])
    ]
    weights = [batch.weight.sum() for batch in batches]
    params = params_from_responsibilities(model, batches[0], RESP[:, :150], 3)
    state = init_online_state(model, params, batches[0], SimpleNamespace(weight=weights[0]), None)

    def per_row(batch, params):
        total = e_step(model, [batch], params, with_hessian=True)
        parts = zip(
            (model.gate, model.experts),
            total.statistics,
            total.hessians,
            params,
            (batch.gate_design, batch.expert_design),
            strict=True,
        )
        surrogates = [
            part.surrogate(*given, design, batch.weight) for part, *given, design in parts
        ]
        weight = batch.weight.sum()
        flat = [[*linear, quadratic] for linear, quadratic in surrogates]
        return [
            None if a is None else a / weight for of_part in flat for a in of_part
        ], total.log_likelihood / weight

    def flat(statistics):
        return [a for linear, quadratic in statistics for a in (*linear, quadratic)]

    averages, bound = per_row(batches[0], params)
    assert_allclose(state.lower_bound, bound)
    assert state.n_batches == 1
    assert_allclose(state.total_weight, weights[0])
    for found, expected in zip(flat(state.averaged_statistics), averages, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert_allclose(found, expected)
    for i, batch in enumerate(batches[1:], start=1):
        before = state
        current = min(sum(weights[: i + 1]), memory)
        state = update(state._replace(features=SimpleNamespace(weight=current)), batch)
        part = weights[i] / current
        step = max(part, (weights[i] / sum(weights[: i + 1])) ** STEP_POWER)
        new, log_likelihood = per_row(batch, before.params)
        averages = [
            None if a is None else (1 - step) * a + step * b
            for a, b in zip(averages, new, strict=True)
        ]
        for found, expected in zip(flat(state.averaged_statistics), averages, strict=True):
            if found is not None:
                assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        bound += part * (log_likelihood - bound)
        assert_allclose(state.lower_bound, bound)
        assert state.n_batches == i + 1
        assert_allclose(state.total_weight, sum(weights[: i + 1]))
        newest = min(1.0, AVERAGING_FACTOR * part)
        for old, fresh, averaged in zip(
            before.averaged_params, state.params, state.averaged_params, strict=True
        ):
            for a, b, c in zip(old, fresh, averaged, strict=True):
                assert_allclose(c, (1 - newest) * a + newest * b, rtol=1e-9, atol=1e-12)
        # The experts are the least squares of the averaged sums times the weight of the rows.
        ridge = np.diag([1.0] * 3 + [0.0])
        for k in range(2):
            gram, cross = current * averages[-1][k], current * averages[-3][k, 0]
            expected = np.linalg.solve(gram + ridge, cross)
            assert_allclose(state.params.experts.coef[k, 0], expected, rtol=1e-6, atol=1e-8)


def test_a_change_of_the_standardisation_maps_the_values_of_all_columns():
    """A column that was constant has been zero, and begins at the new centre."""
    rng = np.random.default_rng(0)
    center, scale = rng.normal(size=4), np.array([0.5, np.inf, 3.0, 1.0])
    old = Standardization(center, scale)
    new = Standardization(rng.normal(size=4), rng.uniform(0.5, 2.0, size=4))
    values = rng.normal(size=(5, 4))
    values[:, 1] = center[1]
    slope, shift = rescaling(old, new)
    before, after = ((values - by.center) / by.scale for by in (old, new))
    assert_allclose(slope * before + shift, after)
    assert slope[1] == 0.0


def test_prior_of_dispersions_stays_where_no_expert_has_one():
    experts = replace(LinearExperts(), dispersion_prior=3.0)
    scales = evidence.ScaleStatistics(np.ones((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)))
    assert evidence._found_prior(experts, experts, scales) == ({}, 0.0)
