"""Systems of linear equations: their units, their singular directions, and empty ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe._numerics.multinomial import (
    factorize_softmax_hessian,
    helmert_contrasts,
    softmax_hessian,
    softmax_newton_step,
)


@pytest.mark.parametrize("unit", [1e-20, 1e-12, 1e12, 1e20])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_steps_of_singular_systems_do_not_depend_on_the_unit_of_the_weights(n_classes, unit):
    """A column of zeros has no curvature and no step; the others have theirs."""
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=200), np.zeros(200), np.ones(200)])
    probs = rng.dirichlet(np.ones(n_classes), size=200).T
    targets = np.eye(n_classes)[:, rng.integers(n_classes, size=200)]
    weight, coef, ridge = np.ones(200), np.zeros((n_classes, 3)), np.zeros(3)
    basis = helmert_contrasts(n_classes)
    gradient = (targets - probs) @ design

    def step(scale):
        hessian = softmax_hessian(design, scale * weight, probs)
        factor = factorize_softmax_hessian(hessian, basis, ridge)
        return softmax_newton_step(factor, scale * gradient, coef, basis, ridge)

    expected = step(1.0)
    assert np.abs(expected[:, [0, 2]]).min() > 1e-3
    assert_allclose(expected[:, 1], 0.0, atol=1e-9)
    assert_allclose(step(unit), expected, rtol=1e-4, atol=1e-9)
