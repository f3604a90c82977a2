"""Gradients, Hessians and Newton steps of softmax models, against finite differences and sums."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmoe._numerics.evidence import n_determined_slopes, softmax_slopes
from skmoe._numerics.linalg import linear_predictor, ridge_diagonal
from skmoe._numerics.multinomial import (
    bohning_lindsay_bound,
    factorize_softmax_hessian,
    helmert_contrasts,
    softmax_gradient,
    softmax_hessian,
    softmax_newton_step,
    to_contrasts,
)
from skmoe._numerics.probability import FEW_CLASSES, log_softmax

SINGLE = 1e-5  # what single precision, in which Hessians are summed, leaves of a sum
DESIGN = np.column_stack([np.random.default_rng(0).normal(size=(60, 3)), np.ones(60)])
WEIGHT = np.random.default_rng(1).uniform(0.1, 2.0, size=60)


def value(coef, targets, design=DESIGN):
    return float((targets * log_softmax(linear_predictor(coef, design))).sum())


def finite_differences(function, point, step=1e-5):
    slopes = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        slopes[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return slopes


def problem(n_classes, design=DESIGN, weight=WEIGHT):
    rng = np.random.default_rng(0)
    targets = rng.dirichlet(np.ones(n_classes), size=len(design)).T * weight
    coef = rng.normal(size=(n_classes, design.shape[1])) / np.sqrt(design.shape[1])
    return targets, coef, np.exp(log_softmax(linear_predictor(coef, design)))


def peaked_probabilities(n_classes):
    """Of which few are large."""
    logits = 4.0 * np.random.default_rng(0).normal(size=(n_classes, 60))
    return np.exp(log_softmax(logits))


def exact_hessian(probs, design=DESIGN, weight=WEIGHT):
    kernel = np.eye(len(probs))[:, :, None] * probs - probs[:, None] * probs
    return np.einsum("n,abn,nd,ne->abde", weight, kernel, design, design, optimize=True)


def in_contrasts(hessian, basis):
    size = basis.shape[1] * hessian.shape[-1]
    return np.einsum("ai,abde,bj->idje", basis, hessian, basis).reshape(size, size)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("binary", [False, True])
def test_contrasts_span_vectors_that_sum_to_zero(n_classes, binary):
    basis = helmert_contrasts(n_classes, binary=binary)
    assert_allclose(basis.sum(axis=0), 0.0, atol=1e-14)
    coordinates = np.random.default_rng(0).normal(size=(n_classes - 1, 4))
    assert_allclose(to_contrasts(basis @ coordinates, basis), coordinates)
    if not binary:
        assert_allclose(basis.T @ basis, np.eye(n_classes - 1), atol=1e-14)
    elif n_classes == 2:
        assert_allclose(np.diff(basis @ [[3.0]], axis=0), 3.0)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_derivatives_are_those_of_finite_differences(n_classes):
    targets, coef, probs = problem(n_classes)
    gradient = softmax_gradient(DESIGN, targets, probs)
    assert_allclose(gradient, finite_differences(lambda at: value(at, targets), coef), atol=1e-6)

    def gradient_at(at):
        return softmax_gradient(DESIGN, targets, np.exp(log_softmax(linear_predictor(at, DESIGN))))

    blocks = softmax_hessian(DESIGN, WEIGHT, probs)
    for a in range(n_classes):
        for d in range(4):
            slopes = finite_differences(lambda at, a=a, d=d: gradient_at(at)[a, d], coef)
            assert_allclose(-blocks[a, :, d, :], slopes, atol=SINGLE)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_classes", [2, FEW_CLASSES, FEW_CLASSES + 2])
@pytest.mark.parametrize("n_models", [None, 3])
def test_hessians_are_plain_sums(n_classes, n_models, make):
    """Of several models of many classes, dense ones leave out pairs of improbable classes."""
    rng = np.random.default_rng(0)
    shape = () if n_models is None else (n_models,)
    probs = np.exp(log_softmax(rng.normal(size=(*shape, n_classes, 60)), axis=-2))
    weight = rng.uniform(size=(*shape, 60))
    weight[..., ::3] = 0.0
    design = np.where(rng.uniform(size=DESIGN.shape) < 0.5, 0.0, DESIGN)
    found = softmax_hessian(make(design), weight, probs)
    expected = (
        exact_hessian(probs, design, weight)
        if n_models is None
        else np.stack([exact_hessian(p, design, w) for p, w in zip(probs, weight, strict=True)])
    )
    exact = n_models is None or n_classes <= FEW_CLASSES or make is not np.asarray
    assert np.allclose(found, expected, rtol=SINGLE, atol=3 * SINGLE) == exact


@pytest.mark.parametrize("n_classes", [FEW_CLASSES, FEW_CLASSES + 1, 12])
def test_hessians_of_several_models_are_at_least_half_of_the_exact_ones(n_classes):
    probs, basis = peaked_probabilities(n_classes), helmert_contrasts(n_classes)
    exact = exact_hessian(probs)
    # A gate, which is a single model, has exact ones.
    assert_allclose(softmax_hessian(DESIGN, WEIGHT, probs), exact, rtol=SINGLE, atol=SINGLE)
    found = softmax_hessian(DESIGN, np.stack([WEIGHT] * 2), np.stack([probs] * 2))[1]
    classes = np.arange(n_classes)
    assert_allclose(found[classes, classes], exact[classes, classes], rtol=SINGLE, atol=SINGLE)
    assert (np.abs(found - exact).max() > 1e-3) == (n_classes > FEW_CLASSES)
    gap = in_contrasts(found, basis) - 0.5 * in_contrasts(exact, basis)
    assert np.linalg.eigvalsh(gap).min() > -SINGLE


def test_rows_of_extreme_values_and_no_weight_leave_hessians_finite():
    design, weight = DESIGN.copy(), WEIGHT.copy()
    design[0], weight[0] = 1e25, 1e-60
    _, _, probs = problem(3)
    blocks = softmax_hessian(design, 1e50 * weight, probs)
    without = softmax_hessian(DESIGN[1:], 1e50 * WEIGHT[1:], probs[:, 1:])
    assert_allclose(blocks, without, rtol=1e-4, atol=1e46)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_hessians_too_large_to_be_formed_multiply_like_those_that_are(make):
    """Also as a sum over blocks of rows."""
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(20, 350)), np.ones(20)])
    weight = rng.uniform(0.1, 2.0, size=(2, 20))
    probs = rng.dirichlet(np.ones(4), size=(2, 20)).swapaxes(1, 2)
    coef = rng.normal(size=(2, 4, 351))
    first, second = (
        softmax_hessian(make(design[rows]), weight[:, rows], probs[..., rows])
        for rows in (slice(7), slice(7, None))
    )
    found, basis = first + second, helmert_contrasts(4)
    assert found.shape == (2, 4, 351)
    diagonal = found.contrast_diagonal(basis)
    for k in range(2):
        exact = exact_hessian(probs[k], design, weight[k])
        product = np.einsum("abde,be->ad", exact, coef[k], optimize=True)
        assert_allclose((found @ coef)[k], product, rtol=1e-8, atol=1e-8)
        expected = np.einsum("ac,abdd,bc->cd", basis, exact, basis, optimize=True)
        assert_allclose(diagonal[k], expected, rtol=1e-9)


@pytest.mark.parametrize("n_classes", [3, 12])
def test_newton_steps_solve_the_penalised_system(n_classes):
    rng = np.random.default_rng(0)
    basis = helmert_contrasts(n_classes)
    hessian, ridge = exact_hessian(peaked_probabilities(n_classes)), ridge_diagonal(0.7, 4)
    coef, gradient = (basis @ rng.normal(size=(n_classes - 1, 4)) for _ in range(2))
    kept = hessian.copy()
    step = softmax_newton_step(
        factorize_softmax_hessian(hessian, basis, ridge), gradient, coef, basis, ridge
    )
    assert_allclose(hessian, kept, rtol=0.0)
    assert_allclose(step.sum(axis=0), 0.0, atol=1e-12)
    matrix = in_contrasts(hessian, basis) + np.diag(np.tile(ridge, n_classes - 1))
    expected = np.linalg.solve(matrix, (basis.T @ (gradient - ridge * coef)).ravel())
    assert_allclose(basis.T @ step, expected.reshape(n_classes - 1, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_steps_of_singular_systems_do_not_depend_on_the_unit_of_the_weights(n_classes, unit):
    """A column of zeros has no curvature and no step; the others have theirs."""
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=200), np.zeros(200), np.ones(200)])
    probs = rng.dirichlet(np.ones(n_classes), size=200).T
    targets = np.eye(n_classes)[:, rng.integers(n_classes, size=200)]
    weight, coef, ridge = np.ones(200), np.zeros((n_classes, 3)), np.zeros(3)
    basis, gradient = helmert_contrasts(n_classes), (targets - probs) @ design

    def step(scale):
        hessian = softmax_hessian(design, scale * weight, probs)
        factor = factorize_softmax_hessian(hessian, basis, ridge)
        return softmax_newton_step(factor, scale * gradient, coef, basis, ridge)

    expected = step(1.0)
    assert np.abs(expected[:, [0, 2]]).min() > 1e-3
    assert_allclose(expected[:, 1], 0.0, atol=1e-9)
    assert_allclose(step(unit), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("n_classes", "binary", "n_columns"),
    [(2, False, 4), (2, True, 4), (3, False, 4), (4, False, 350)],
)
def test_newton_steps_lead_to_the_maximum(n_classes, binary, n_columns):
    """Also where the system is too large to be formed, and steps are truncated."""
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(60, n_columns - 1)), np.ones(60)])
    targets, _, _ = problem(n_classes, design)
    basis = helmert_contrasts(n_classes, binary=binary)
    ridge = ridge_diagonal(0.7, n_columns)
    coef = np.zeros((n_classes, n_columns))
    for _ in range(8 if n_columns < 10 else 25):
        probs = np.exp(log_softmax(linear_predictor(coef, design)))
        hessian = softmax_hessian(design, targets.sum(axis=0), probs)
        factor = factorize_softmax_hessian(hessian, basis, ridge)
        gradient = softmax_gradient(design, targets, probs)
        coef = coef + softmax_newton_step(factor, gradient, coef, basis, ridge)
    probs = np.exp(log_softmax(linear_predictor(coef, design)))
    slope = basis.T @ softmax_gradient(design, targets, probs) - ridge * to_contrasts(coef, basis)
    assert_allclose(slope, 0.0, atol=1e-5)
    assert_allclose(coef.sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_bound_of_hessians_is_above_them_and_reached_by_even_probabilities(n_classes):
    for scale in (0.0, 1.0, 5.0):
        logits = scale * np.random.default_rng(0).normal(size=(n_classes, 60))
        hessian = softmax_hessian(DESIGN, WEIGHT, np.exp(log_softmax(logits)))
        bound = bohning_lindsay_bound(hessian, DESIGN, WEIGHT)
        gap = np.swapaxes(bound - hessian, -3, -2).reshape(n_classes * 4, -1)
        assert np.linalg.eigvalsh(gap).min() > -1e-4
        if scale == 0.0 and n_classes == 2:
            assert_allclose(bound, hessian, atol=1e-5)
    # Each of several experts has its part of the rows.
    several = bohning_lindsay_bound(np.stack([hessian] * 3), DESIGN, WEIGHT)
    assert_allclose(several, bound / 3)


@pytest.mark.parametrize("n_classes", [3, 12])
@pytest.mark.parametrize("n_models", [1, 2])
def test_determined_slopes_are_traces(n_classes, n_models):
    rng = np.random.default_rng(0)
    probs, basis = peaked_probabilities(n_classes), helmert_contrasts(n_classes)
    hessian, coef = exact_hessian(probs), basis @ rng.normal(size=(n_classes - 1, 4))
    matrix = in_contrasts(hessian, basis)
    penalty = np.tile(ridge_diagonal(5.0, 4), n_classes - 1)
    expected = np.trace(np.linalg.solve(matrix + np.diag(penalty), matrix))
    hessians, coefs = (np.stack([a] * n_models) if n_models > 1 else a for a in (hessian, coef))
    slopes = softmax_slopes(hessians, basis, 5.0, coefs, coefs)
    # Intercepts are not penalised, and all of them are determined.
    found = n_determined_slopes(5.0, slopes).sum() + n_models * (n_classes - 1)
    assert_allclose(found, n_models * expected, rtol=1e-4)
    assert_allclose(basis @ slopes.values[: n_classes - 1], coef[:, :-1])


def test_slopes_of_hessians_not_formed_have_the_variances_of_their_diagonals():
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.normal(size=(20, 600)), np.ones(20)])
    weight, basis = rng.uniform(0.5, 1.0, size=20), helmert_contrasts(3)
    probs = rng.dirichlet(np.ones(3), size=20).T
    coef, gradient = rng.normal(size=(2, 3, 601))
    slopes = softmax_slopes(softmax_hessian(design, weight, probs), basis, 0.7, coef, gradient)
    assert_allclose(slopes.values, to_contrasts(coef, basis)[:, :-1])
    assert_allclose(slopes.gradient, (basis.T @ gradient)[:, :-1])
    for j in range(2):
        variance = basis[:, j] ** 2 @ probs - (basis[:, j] @ probs) ** 2
        expected = 1.0 / ((variance * weight) @ design**2 + 0.7)[:-1]
        assert_allclose(slopes.covariances[j], expected)
