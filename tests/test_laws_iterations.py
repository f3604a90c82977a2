"""Iterations: extrapolations, estimates of what is left, and standardisations that change."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import Standardization, design_matrix
from skmoe._data.units import UnitLabels, make_units, reduce_to_units
from skmoe._mixture import runs
from skmoe._mixture.acceleration import aitken_gap, squarem_step
from skmoe._mixture.em import EMResult
from skmoe._mixture.evidence import SearchStage
from skmoe._mixture.initialization import LABEL_SMOOTHING
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.online import _design_map, rescaling
from skmoe._mixture.runs import EMProblem, _in_stage, _rows_in_memory, collapsed_experts
from skmoe.experts import LinearExperts
from skmoe.experts._given_densities import GivenDensities
from skmoe.gates import ConstantGate


def test_an_extrapolation_is_no_shorter_than_two_iterations():
    """If the iterates turn round the step is of length one, which is the second iterate."""
    start, first, second = [np.array([0.0])], [np.array([1.0])], [np.array([-1.0])]
    found, step = squarem_step(start, first, second, 16.0)
    assert step == 1.0
    assert_allclose(found[0], second[0])


def expected_gap(bounds, rtol, stride):
    """Aitken's estimate, written out."""
    if len(bounds) > 2 and bounds[-1] - bounds[-3] <= rtol * (1.0 + abs(bounds[-1])):
        return 0.0
    if len(bounds) < 2 * stride + 1:
        return np.inf
    last, between, before = bounds[::-stride][:3]
    gain, last_gain = between - before, last - between
    if last_gain >= gain:
        return np.inf
    return max(last_gain**2 / (gain - last_gain), last_gain)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_the_gap_is_the_estimate_of_aitken(stride, seed):
    rng = np.random.default_rng(seed)
    gains = rng.uniform(size=rng.integers(1, 12))
    bounds = list(10.0 * rng.normal() + np.cumsum(gains))
    for rtol in (0.0, 0.05):
        assert_allclose(aitken_gap(bounds, rtol, stride), expected_gap(bounds, rtol, stride))


def test_a_gain_of_two_iterations_within_round_off_is_none():
    """The round-off is relative to the size of the bound, or absolute for small ones."""
    for level in (0.0, -100.0, 100.0):
        allowed = 0.01 * (1.0 + abs(level))
        for share, is_fixed in ((0.9, True), (1.2, False)):
            bounds = [level - share * allowed, level - 0.3 * allowed, level]
            assert (aitken_gap(bounds, 0.01, 1) == 0.0) == is_fixed
            history = [-1e9, -1e6, -1e5 - abs(level), *bounds]
            assert (aitken_gap(history, 0.01, 1) == 0.0) == is_fixed


@pytest.mark.parametrize("columns", [None, np.array([2, 0]), np.array([], dtype=int)])
def test_rows_of_a_new_standardisation_are_mapped_rows_of_the_old_one(columns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 3)) + np.array([1.0, 5.0, -2.0])
    old, new = (
        Standardization(rng.normal(size=3), rng.uniform(0.5, 2.0, size=3)) for _ in range(2)
    )
    matrix = _design_map(rescaling(old, new), columns)
    before, after = (design_matrix(X, scaling, columns) for scaling in (old, new))
    assert_allclose(before @ matrix.T, after)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("averaged", [[], [0], [1, 2], [0, 1, 2]])
def test_a_row_of_a_unit_has_means_or_the_first_values(make, averaged):
    rng = np.random.default_rng(0)
    design, weight = rng.normal(size=(9, 3)), rng.uniform(0.5, 2.0, size=9)
    codes = np.repeat([0, 1, 2], [4, 1, 4])
    found = reduce_to_units(make(design), make_units(codes), weight, np.isin(range(3), averaged))
    found = found.toarray() if sparse.issparse(found) else found
    for u in range(3):
        own = codes == u
        for j in range(3):
            mean = np.average(design[own, j], weights=weight[own])
            assert_allclose(found[u, j], mean if j in averaged else design[own, j][0])


def test_runs_of_units_are_counted_from_zero():
    for codes in ([0, 0, 1], [5, 5, 3, 5], [2], []):
        codes = np.array(codes, dtype=int)
        runs = UnitLabels(np.arange(6), codes).runs
        changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
        assert_array_equal(runs, np.searchsorted(changes, np.arange(len(codes)), side="right"))


# --- collapsed experts ----------------------------------------------------------------------------


def problem_of(experts, rows, init_rows=None):
    init_data = type("InitData", (), {"rows": init_rows})()
    model = MixtureModel(ConstantGate(), experts, 2)
    return EMProblem(model, rows, init_data, "auto", [], 10, 1e-6)


@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_experts_have_collapsed_if_the_weight_of_their_rows_is_small(weight):
    """One row of weight one is too few, and one of weight ten is not."""
    n = 40
    design, y = np.ones((n, 1)), np.zeros((1, n))
    y[0, 0] = 10.0
    weights = np.ones(n)
    weights[0] = weight
    rows = Dataset(design, design, y, weights)
    experts, gate = LinearExperts(), ConstantGate()
    params = experts.init_params(2, 1)._replace(coef=np.array([[[0.0]], [[10.0]]]))
    run = EMResult(Params(gate.init_params(2, 1), params), [0.0], True, False)
    for problem in (problem_of(experts, rows), problem_of(experts, object(), rows)):
        assert _rows_in_memory(problem) is rows
        assert collapsed_experts(problem, run).tolist() == ([1] if weight == 1.0 else [])
    never = GivenDensities()
    assert collapsed_experts(problem_of(never, rows), run).tolist() == []


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_worst_rows_of_all_blocks_go_to_a_collapsed_expert(size, monkeypatch):
    """They are as many as an even share of the weight."""
    rng = np.random.default_rng(0)
    n = 40
    design, y = np.ones((n, 1)), rng.normal(size=(1, n))
    rows = Dataset(design, design, y, np.ones(n))
    experts, gate = LinearExperts(), ConstantGate()
    params = experts.init_params(2, 1)._replace(coef=np.array([[[0.0]], [[100.0]]]))
    run = EMResult(Params(gate.init_params(2, 1), params), [0.0], True, False)
    seen = []
    monkeypatch.setattr(runs, "split_into_blocks", lambda rows: split_into_blocks(rows, size))
    monkeypatch.setattr(
        runs, "params_from_responsibilities", lambda model, rows, resp, n_steps: seen.append(resp)
    )
    monkeypatch.setattr(runs, "run_em_of_problem", lambda problem, start, *rest: start)
    runs._reinitialize_collapsed(problem_of(experts, rows), run, None)
    (resp,) = seen
    worst = np.argsort(-np.abs(y[0]))[: n // 2]
    expected = np.zeros(n)
    expected[worst] = LABEL_SMOOTHING
    assert_allclose(resp[1], expected, atol=1e-9)
    assert_allclose(resp.sum(axis=0), 1.0)
    failed = run._replace(line_search_failed=True)
    assert runs._reinitialize_collapsed(problem_of(experts, rows), failed, None) is None


def test_a_run_after_others_knows_of_them():
    run = EMResult(None, [1.0, 2.0], True, False)
    found = _in_stage(SearchStage(7, 2), run)
    assert (found.n_earlier_iter, found.resume_state) == (7, None)
