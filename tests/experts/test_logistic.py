"""Logistic experts: equal probabilities at the start, and what one E-step may keep."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from skmoe.experts import LogisticExperts
from support.parts import DESIGN, N_COLUMNS, N_EXPERTS, N_ROWS, RESP, somewhere, step_of


def codes(n_classes):
    return np.random.default_rng(n_classes).integers(0, n_classes, size=N_ROWS)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_start_gives_every_class_the_same_probability(n_classes):
    experts = LogisticExperts(n_classes=n_classes)
    mean = experts.mean(experts.init_params(2, N_COLUMNS), DESIGN)
    assert_allclose(mean, np.full((2, n_classes, N_ROWS), 1.0 / n_classes))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_steps_lead_to_the_regressions_of_scikit_learn(n_classes):
    """With the same penalty, on the one vector of two classes or on symmetric ones of more."""
    experts, y = LogisticExperts(0.7, n_classes), codes(n_classes)
    params = experts.init_params(N_EXPERTS, N_COLUMNS)
    for _ in range(12):
        params = step_of(experts, params, y)
    for k, weight in enumerate(RESP):
        single = LogisticRegression(C=1.0 / 0.7, tol=1e-10, max_iter=1000)
        single.fit(DESIGN[:, :-1], y, sample_weight=weight)
        expected = single.predict_proba(DESIGN[:, :-1]).T
        assert_allclose(experts.mean(params, DESIGN)[k], expected, atol=1e-5)


@pytest.mark.parametrize("n_classes", [3, 12])
def test_experts_of_one_e_step_compute_the_same(n_classes):
    experts, y = LogisticExperts(n_classes=n_classes), codes(n_classes)
    params = somewhere(experts)
    found = experts.at(params, DESIGN, y)
    assert_allclose(found.log_prob(params, DESIGN, y), experts.log_prob(params, DESIGN, y))
    assert_allclose(found.mean(params, DESIGN), experts.mean(params, DESIGN))
    for name in ("statistics", "hessian"):
        one, other = (getattr(part, name)(params, DESIGN, y, RESP) for part in (found, experts))
        # Curvatures may be summed in single precision.
        assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-4)


def test_probabilities_of_a_subclass_are_its_own():
    class Even(LogisticExperts):
        def mean(self, params, design):
            return np.full((N_EXPERTS, self.n_classes, design.shape[0]), 1.0 / self.n_classes)

    experts, y = Even(n_classes=3), codes(3)
    params = somewhere(experts)
    assert_allclose(experts.at(params, DESIGN, y).mean(params, DESIGN), 1.0 / 3.0)
