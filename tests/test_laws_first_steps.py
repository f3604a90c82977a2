"""Steps from given responsibilities: what they raise, in which blocks, and what is refitted."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import two_regimes

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture import m_step
from skmoe._mixture.e_step import EStepStatistics
from skmoe._mixture.initialization import smooth_labels
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

X, Y = two_regimes(200)
DESIGN = np.column_stack([X, np.ones(200)])
ROWS = Dataset(DESIGN, DESIGN, ((Y - Y.mean()) / Y.std())[None], np.ones(200))
RESP = smooth_labels((X[:, 1] > 0).astype(int), 2)


@pytest.mark.parametrize("size", [50, 70, 199])
def test_first_steps_do_not_depend_on_the_blocks(size, monkeypatch):
    """Each block has the responsibilities of its own rows."""
    model = MixtureModel(SoftmaxGate(), LinearExperts(), 2)
    expected = m_step.params_from_responsibilities(model, ROWS, RESP, 3)
    monkeypatch.setattr(m_step, "split_into_blocks", lambda rows: split_into_blocks(rows, size))
    found = m_step.params_from_responsibilities(model, ROWS, RESP, 3)
    for part, other in zip(found, expected, strict=True):
        for values, others in zip(part, other, strict=True):
            assert_allclose(values, others, atol=1e-6)


class Parabola:
    """A likelihood of one number with a penalty; the full step is of length one."""

    def __init__(self, monkeypatch, slope, curvature, needs_all_rows=False):
        init = SimpleNamespace(init_params=lambda n_experts, n_columns: 0.0)
        self.slope, self.curvature, self.steps = slope, curvature, []
        experts = SimpleNamespace(needs_all_rows=needs_all_rows, **vars(init))
        self.model = MixtureModel(init, experts, 2)
        monkeypatch.setattr(m_step, "factorize_hessians", lambda model, hessians: None)
        monkeypatch.setattr(m_step, "e_step_block", self.evaluate)
        monkeypatch.setattr(m_step, "penalty", lambda model, params: curvature * params.gate**2)
        monkeypatch.setattr(m_step, "m_step", self.step)

    def evaluate(self, model, params, with_hessian, rows, resp):
        return EStepStatistics(self.slope * params.gate, 1.0, None, None)

    def step(self, model, statistics, factors, params, step, fixed_experts):
        self.steps.append((step, fixed_experts))
        experts = len(self.steps) if fixed_experts is None else fixed_experts
        return Params(params.gate + step, experts)

    def climb(self, n_steps):
        return m_step.params_from_responsibilities(self.model, ROWS, RESP, n_steps).gate


@pytest.mark.parametrize(
    ("curvature", "expected"), [(0.5, 1.0), (2.0, 1.0), (4.0, 0.5), (7.0, 0.25)]
)
def test_the_longest_first_step_is_taken_that_does_not_lower_the_penalised_likelihood(
    curvature, expected, monkeypatch
):
    """A step that leaves it as it is may be taken: 2 x - 4 x^2 is zero for a step of one half."""
    assert Parabola(monkeypatch, 2.0, curvature).climb(1) == expected


def test_experts_that_need_all_rows_are_fitted_once_in_each_first_step(monkeypatch):
    parabola = Parabola(monkeypatch, 2.0, 7.0, needs_all_rows=True)
    parabola.climb(1)
    assert parabola.steps == [(1.0, None), (0.5, 1), (0.25, 1)]
    parabola = Parabola(monkeypatch, 2.0, 7.0)
    parabola.climb(1)
    assert parabola.steps == [(1.0, None), (0.5, None), (0.25, None)]


def test_an_m_step_is_that_of_gate_and_experts_unless_the_experts_are_given():
    def part(name):
        return SimpleNamespace(m_step=lambda *given: (name, *given))

    model = MixtureModel(part("gate"), part("experts"), 2)
    given = (1, 2), (3, 4), Params(5, 6), 0.5
    assert m_step.m_step(model, *given) == (("gate", 1, 3, 5, 0.5), ("experts", 2, 4, 6, 0.5))
    assert m_step.m_step(model, *given, "fixed") == (("gate", 1, 3, 5, 0.5), "fixed")
