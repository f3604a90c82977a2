"""Information criteria by their formulas, and the numbers in them."""

from types import SimpleNamespace

import numpy as np
import pytest
from cases import UNITS, X, Y, fitted_case
from numpy.testing import assert_allclose

from skmoe._data.rows import UserRows
from skmoe._inference.criteria import (
    FitStatistics,
    aic,
    bic,
    classification_entropy,
    fit_statistics,
    n_parameters,
)

WEIGHT = np.random.default_rng(0).uniform(0.5, 3.0, size=len(X))


@pytest.mark.parametrize("n_units", [None, 40])
def test_criteria_are_penalised_likelihoods(n_units):
    found = FitStatistics(-100.0, 7.0, 150.0, 3.0, np.ones(2), n_units)
    n_independent = 150.0 if n_units is None else 40.0
    assert found.n_independent == n_independent
    assert found.aic == aic(-100.0, 7.0) == 200.0 + 14.0
    assert_allclose(found.bic, 200.0 + 7.0 * np.log(n_independent))
    assert found.bic == bic(-100.0, 7.0, n_independent)
    assert_allclose(found.icl - found.bic, 6.0)


def test_the_entropy_of_certain_experts_is_zero_and_that_of_equal_ones_the_greatest():
    resp = np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    for weight, expected in (
        ([2.0, 0.0, 0.0], 0.0),
        ([0.0, 3.0, 0.0], 3.0 * np.log(2.0)),
        ([0.0, 0.0, 1.0], -0.25 * np.log(0.25) - 0.75 * np.log(0.75)),
    ):
        assert_allclose(classification_entropy(resp, np.array(weight)), expected, atol=1e-15)


def test_a_unit_counts_once_and_its_rows_by_their_weights():
    """Weights are powers of the densities of rows in their unit."""
    moe = fitted_case("units")
    joint = np.random.default_rng(1).normal(size=(3, UNITS.max() + 1))
    mixture = SimpleNamespace(log_joint=lambda rows: joint)
    counted = fit_statistics(moe._fitted, UserRows(X, Y[None], WEIGHT, None, UNITS)).n_parameters
    rows = UserRows(X, Y[None], WEIGHT, None, UNITS)
    log_density = np.log(np.exp(joint).sum(axis=0))
    resp = np.exp(joint - log_density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skmoe._inference.criteria.n_parameters", lambda mixture: counted)
        found = fit_statistics(mixture, rows)
        alone = fit_statistics(mixture, rows._replace(units=None, weight=WEIGHT[: joint.shape[1]]))
    assert_allclose(found.log_likelihood, log_density.sum())
    assert_allclose(found.entropy, -(resp * np.log(resp)).sum())
    assert_allclose(found.n_rows, WEIGHT.sum())
    assert_allclose(found.expert_weight, resp @ np.bincount(UNITS, WEIGHT))
    assert found.n_units == joint.shape[1]
    own = WEIGHT[: joint.shape[1]]
    assert_allclose(alone.log_likelihood, log_density @ own)
    assert_allclose(alone.expert_weight, resp @ own)
    assert alone.n_units is None


@pytest.mark.parametrize("case", ["average", "trees", "linear-regressor", "one expert"])
def test_parameters_are_those_of_gate_and_experts(case):
    """No column of these tables is constant."""
    model, params, _ = mixture = fitted_case(case)._fitted
    expected = model.gate.n_parameters(params.gate) + model.experts.n_parameters(params.experts)
    assert n_parameters(mixture) == expected


class Part:
    """A part that has as many parameters as columns times experts, or another number."""

    def __init__(self, fitted, needs_all_rows=False, n_starts=1):
        self.fitted, self.needs_all_rows, self.n_of_starts = fitted, needs_all_rows, n_starts

    def n_starts(self, params):
        return self.n_of_starts

    def init_params(self, n_experts, n_columns):
        assert not self.needs_all_rows
        assert self.n_of_starts == 1
        return n_experts * n_columns

    def n_parameters(self, params):
        return self.fitted if params is None else params


@pytest.mark.parametrize("n_starts", [1, 2])
@pytest.mark.parametrize("needs_all_rows", [False, True])
@pytest.mark.parametrize("gate_columns", [None, [0, 1], [1, 2], [2]])
def test_constant_columns_count_for_parts_that_have_slopes(n_starts, needs_all_rows, gate_columns):
    """Neither estimators nor averages have slopes of their own for each column."""
    scale = np.array([1.0, np.inf, np.inf])
    mixture = (
        SimpleNamespace(
            gate=Part(40, n_starts=n_starts), experts=Part(50, needs_all_rows), n_experts=2
        ),
        SimpleNamespace(gate=None, experts=None),
        SimpleNamespace(
            feature_scaling=SimpleNamespace(scale=scale),
            gate_columns=gate_columns,
            expert_columns=[0, 1],
        ),
    )
    n_of_gate = 2 * (2 if gate_columns is None else int(np.isinf(scale[gate_columns]).sum()))
    expected = 90 - (n_of_gate if n_starts == 1 else 0) - (0 if needs_all_rows else 2)
    assert n_parameters(mixture) == expected
