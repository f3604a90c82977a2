"""Curvatures: as matrices, and as products where matrices would be too large."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._mixture.mixture import MAX_DENSE, ImplicitCurvature, inverse_of, invert
from support.fits import fit_quietly


@pytest.mark.parametrize("make", [np.asfortranarray, sparse.csr_array])
def test_products_of_curvatures_that_are_not_formed_are_those_of_matrices(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4)) * (rng.random((30, 4)) < 0.7)
    weights = {key: rng.uniform(size=(2, 3, 30)) for key in ((0, 0), (0, 1), (1, 1), (2, 2))}
    slices, columns = (slice(0, 4), slice(4, 5), slice(5, 9)), [X, np.ones((30, 1)), X]
    implicit = ImplicitCurvature((((make(X), None, make(X)), weights),), slices)
    dense = np.zeros((2, 3, 9, 9))
    for (t, u), weight in weights.items():
        found = np.einsum("psn,nd,ne->psde", weight, columns[t], columns[u])
        dense[..., slices[t], slices[u]] = found
        dense[..., slices[u], slices[t]] = np.swapaxes(found, -1, -2)
    vector = rng.normal(size=(2, 3, 9))
    assert_allclose(implicit @ vector, np.einsum("psij,psj->psi", dense, vector))
    assert_allclose(implicit.diagonal(), np.diagonal(dense, axis1=-2, axis2=-1))
    assert_allclose(implicit.quadratic(vector), (vector * (implicit @ vector)).sum(axis=-1))
    assert_allclose((implicit + implicit) @ vector, 2.0 * (implicit @ vector))
    assert implicit.size == 9
    # Steps of conjugate gradients are those of the inverse, to their tolerance.
    ridge = np.full((2, 3, 9), 5.0)
    found, expected = invert(implicit, ridge), invert(dense, ridge)
    gap = found.solve(vector) - expected.solve(vector)
    assert np.linalg.norm(gap) < 0.1 * np.linalg.norm(expected.solve(vector))
    assert_allclose(
        expected.solve(vector), np.linalg.solve(expected.matrix, vector[..., None])[..., 0]
    )
    assert_allclose(found.variances(), 1.0 / (implicit.diagonal() + 5.0))
    assert_allclose(expected.variances(), np.diagonal(expected.inverse, axis1=-2, axis2=-1))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_singular_matrices_have_pseudo_inverses(unit):
    """Whatever the units of the coefficients are."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 4, 2))
    matrix = root @ np.swapaxes(root, 1, 2)
    matrix[1, 3] = matrix[1, :, 3] = 0.0
    scale = np.array([1.0, unit, 1.0, 1.0])
    inverse = inverse_of(matrix * scale[:, None] * scale)
    assert np.isfinite(inverse).all()
    gradient = (matrix @ rng.normal(size=4)) * scale
    step = (inverse @ gradient[..., None])[..., 0]
    # The step solves the system, in which only some directions are known.
    assert_allclose(
        ((matrix * scale[:, None] * scale) @ step[..., None])[..., 0], gradient, rtol=1e-6
    )
    regular = matrix + np.eye(4)
    assert_allclose(inverse_of(regular), np.linalg.inv(regular))


@pytest.mark.parametrize("task", ["regression", "classes", "counts"])
def test_more_columns_than_matrices_can_have(task):
    """Steps by conjugate gradients lead to where those of matrices do."""
    rng = np.random.default_rng(0)
    n_rows, wide = 120, MAX_DENSE + 50
    signal = rng.normal(size=(n_rows, 6)) * (rng.random((n_rows, 6)) < 0.8)
    predictor = np.where(signal[:, 0] > 0, signal[:, 1], -signal[:, 1])
    X = sparse.csr_array(np.column_stack([signal, np.zeros((n_rows, wide - 6))]))
    options = {"alpha": 2.0, "gate_alpha": 2.0, "n_init": 1, "tol": 1e-9, "max_iter": 3000}
    options |= {"random_state": 0, "init": np.where(signal[:, [0]] > 0, [0.8, 0.2], [0.2, 0.8])}
    if task == "classes":
        y, maker = (predictor > 0).astype(int), MixtureOfExpertsClassifier
    elif task == "counts":
        y, maker = rng.poisson(np.exp(predictor)), MixtureOfExpertsRegressor
        options["family"] = "poisson"
    else:
        y, maker = predictor + 0.2 * rng.normal(size=n_rows), MixtureOfExpertsRegressor
        options["dispersion_prior"] = 0.0
    narrow = fit_quietly(maker(2, **options), signal, y)
    found = fit_quietly(maker(2, **options), X, y)
    assert (np.diff(found.lower_bounds_) > -1e-9).all()
    assert_allclose(found.lower_bound_, narrow.lower_bound_, atol=1e-5)
    assert_allclose(found.expert_coef_[..., :6], narrow.expert_coef_, atol=0.02)
    assert not found.expert_coef_[..., 6:].any()
