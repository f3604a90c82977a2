"""M-steps from given responsibilities: they climb, to the weighted fits of the experts."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from support.em import dataset, design_of, e_step_block, flat, mixture, soft_labels, start_from
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.tables import two_regimes


def table(n_rows=80, n_features=2):
    X, y = two_regimes(n_rows, n_features)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=n_rows)
    rows = dataset(X, ((y - y.mean()) / y.std())[None], weight)
    return rows, soft_labels(X[:, 1] > 0)


def objective(model, params, rows, resp):
    """The penalised expected log-likelihood of the complete data."""
    found = e_step_block(model, params, False, rows, resp).log_likelihood
    return found - model.gate.penalty(params.gate) - model.experts.penalty(params.experts)


@dataclass(frozen=True)
class LongSteps(SoftmaxGate):
    """A gate whose steps are too long by a factor."""

    factor: float = 60.0

    def m_step(self, statistics, factor, params, step):
        return super().m_step(statistics, factor, params, self.factor * step)


@dataclass(frozen=True)
class Falling(LinearExperts):
    """Experts whose M-step lowers the likelihood, whatever its length."""

    def m_step(self, statistics, factor, params, step):
        return params._replace(log_dispersion=params.log_dispersion + 0.5)


@pytest.mark.parametrize("factor", [1.0, 3.0, 60.0])
def test_steps_never_lower_the_objective(factor):
    rows, resp = table()
    model = mixture(LongSteps(alpha=1.0, factor=factor))
    values = [objective(model, start_from(model, rows, resp, n), rows, resp) for n in range(6)]
    assert (np.diff(values) >= 0.0).all()
    assert values[1] > values[0]


def test_steps_lead_to_weighted_ridge_and_logistic_regressions():
    rows, resp = table()
    model = mixture(SoftmaxGate(alpha=2.0), LinearExperts(alpha=3.0, dispersion_prior=0.0))
    found = start_from(model, rows, resp, 30)
    design, weighted = rows.expert_design, resp * rows.weight
    ridge = np.diag([3.0, 3.0, 0.0])
    for k in range(2):
        gram, cross = (
            design.T @ (weighted[k][:, None] * design),
            design.T @ (weighted[k] * rows.y[0]),
        )
        coef = np.linalg.solve(gram + ridge, cross)
        assert_allclose(found.experts.coef[k, 0], coef, rtol=1e-6, atol=1e-8)
        squares = weighted[k] @ (rows.y[0] - design @ coef) ** 2 + coef @ ridge @ coef
        assert_allclose(np.exp(found.experts.log_dispersion[k, 0, 0]), squares / weighted[k].sum())

    def loss(values):  # of the second expert against the first
        log_gate = log_softmax(np.stack([0.0 * (design @ values), design @ values]), axis=0)
        return -(weighted * log_gate).sum() + 0.5 * 2.0 * (values[:2] ** 2).sum() / 2.0

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    assert_allclose(found.gate.coef[1] - found.gate.coef[0], best, atol=1e-5)


def test_blocks_of_rows_have_their_own_responsibilities():
    """So many columns that the rows are in several blocks."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_200, 55))
    y = X[:, 0] + rng.normal(size=len(X))
    rows = dataset(X, y[None])
    resp = soft_labels(X[:, 1] + 1e-3 * np.arange(len(X)) > 1.0)
    found = start_from(mixture(ConstantGate(), LinearExperts(alpha=1.0)), rows, resp, 2)
    ridge = np.diag([1.0] * 55 + [0.0])
    design = design_of(X)
    for k in range(2):
        gram = design.T @ (resp[k][:, None] * design) + ridge
        expected = np.linalg.solve(gram, design.T @ (resp[k] * y))
        assert_allclose(found.experts.coef[k, 0], expected, rtol=1e-6, atol=1e-8)


def test_parameters_stay_where_every_step_lowers_the_objective():
    rows, resp = table()
    model = mixture(ConstantGate(), Falling())
    found = start_from(model, rows, resp, 3)
    assert_array_equal(flat(found), flat(start_from(model, rows, resp, 0)))


def test_estimators_are_not_fitted_again_when_a_step_of_the_gate_is_shortened():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(60.0), rng.normal(size=(60, 2))])
    y = np.where(X[:, 1] > 0, X[:, 2], -X[:, 2]) + 0.1 * rng.normal(size=60)
    resp = np.column_stack([X[:, 1] > 0, X[:, 1] <= 0]) * 0.8 + 0.1
    n_fits = []
    for factor in (1.0, 60.0):
        log, gate = Log(), LongSteps(alpha=1.0, factor=factor)
        expert = RecordingRegressor(log)
        moe = MixtureOfExpertsRegressor(
            2, expert=expert, gate=gate, gate_features=[1], cross_fit=False, init=resp, max_iter=2
        )
        n_iter = fit_quietly(moe.set_params(tol=0.0), X, y).n_iter_
        assert n_iter == 2
        n_fits.append(len(log.fits()))
    assert n_fits[0] == n_fits[1]
