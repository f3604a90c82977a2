"""Information criteria by their formulas, and the numbers in them."""

from types import SimpleNamespace
from typing import NamedTuple

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
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts import LinearExperts

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


class Values(NamedTuple):
    """Parameters with a row for each expert."""

    values: np.ndarray


class Gate(NamedTuple):
    """A gate with seven parameters."""

    starts: int

    def n_starts(self, params):
        return self.starts

    def n_parameters(self, params):
        return 7


class OneMore(LinearExperts):
    """Experts with as many parameters as numbers, and one that those of a fit share."""

    def n_parameters(self, params):
        return params.values.size + 1


@pytest.mark.parametrize("n_starts", [1, 2, 3])
def test_parameters_are_those_of_gate_and_experts_of_all_starts(n_starts):
    """What the experts of a start share is counted once for each start."""
    params = Params(None, Values(np.zeros((6, 4))))
    model = MixtureModel(Gate(n_starts), OneMore(), 6)
    assert n_parameters((model, params, None)) == 7 + 24 + n_starts


@pytest.mark.parametrize("case", ["trees", "linear-regressor", "one expert"])
def test_parameters_of_one_fit_are_those_of_its_parts(case):
    model, params, _ = mixture = fitted_case(case)._fitted
    expected = model.gate.n_parameters(params.gate) + model.experts.n_parameters(params.experts)
    assert n_parameters(mixture) == expected
