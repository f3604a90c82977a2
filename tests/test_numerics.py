"""Array mathematics against known answers and finite differences."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, special
from scipy.special import logsumexp
from sklearn.linear_model import Ridge

from skmoe._mixture.acceleration import squarem_step
from skmoe._mixture.model import predictive_posterior
from skmoe._numerics.evidence import n_determined_slopes, ridge_slopes, softmax_slopes
from skmoe._numerics.linalg import (
    conjugate_gradients,
    factorize_ridge,
    gram_product,
    linear_predictor,
    ridge_diagonal,
    ridge_newton_step,
    weighted_column_sums,
    weighted_gram,
    weighted_grams,
)
from skmoe._numerics.multinomial import (
    factorize_softmax_hessian,
    helmert_contrasts,
    softmax_gradient,
    softmax_hessian,
    softmax_newton_step,
    to_contrasts,
)
from skmoe._numerics.probability import FEW_CLASSES, log_normalise, log_softmax

RNG = np.random.default_rng(0)
DESIGN = np.column_stack([RNG.normal(size=(60, 3)), np.ones(60)])
WEIGHT = RNG.uniform(0.1, 2.0, size=60)
SINGLE = 1e-5  # what single precision, in which Hessians are summed, leaves of a sum


@pytest.fixture
def rng():
    """A generator of its own for each test."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_products_agree_with_plain_sums(make, rng):
    design = make(DESIGN)
    coef = rng.normal(size=(2, 3, 4))
    weights = rng.uniform(size=(2, 3, 60))
    assert_allclose(linear_predictor(coef, design), np.einsum("kcd,nd->kcn", coef, DESIGN))
    assert_allclose(
        weighted_column_sums(weights, design), np.einsum("kcn,nd->kcd", weights, DESIGN)
    )
    assert_allclose(weighted_gram(design, WEIGHT), (DESIGN.T * WEIGHT) @ DESIGN)


def test_grams_of_few_rows_are_those_of_all(monkeypatch):
    monkeypatch.setattr("skmoe._numerics.linalg.SPARSE_WEIGHTS_COLUMNS", 50)
    weights = np.zeros((20, 60))
    weights[np.arange(60) % 19, np.arange(60)] = WEIGHT  # the last weight has no row
    grams = weighted_grams(DESIGN, weights)
    assert_allclose(grams, [(DESIGN.T * weight) @ DESIGN for weight in weights], atol=1e-12)


PATHS = {
    "as it is": {},
    "symmetric products": {"MAX_SMALL_PRODUCT": 0},
    "rows without weight left out": {"SPARSE_WEIGHTS_FACTOR": 0, "SPARSE_WEIGHTS_COLUMNS": 0},
    "dense forms": {"MAX_SPARSE_DENSITY": 0.0},
    "sparse forms": {"MAX_SPARSE_DENSITY": 1.0},
    "not formed": {"MAX_DENSE_GRAM": 0},
}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("zeros", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("n_weights", [1, 2, 7])
@pytest.mark.parametrize("path", PATHS)
def test_gram_matrices_are_plain_sums_whatever_way_they_are_computed(
    path, n_weights, zeros, make, monkeypatch, rng
):
    for name, value in PATHS[path].items():
        monkeypatch.setattr(f"skmoe._numerics.linalg.{name}", value)
    design = np.where(rng.uniform(size=DESIGN.shape) < 0.3, 0.0, DESIGN)
    weights = rng.uniform(0.1, 3.0, size=(n_weights, 60))
    weights[rng.uniform(size=weights.shape) < zeros] = 0.0
    expected = np.einsum("kn,nd,ne->kde", weights, design, design)
    assert_allclose(weighted_gram(make(design), weights[0]), expected[0], rtol=1e-9, atol=1e-12)
    found = weighted_grams(make(design), weights)
    coef = rng.normal(size=(n_weights, 3, 4))
    products = np.einsum("kde,kme->kmd", expected, coef)
    assert_allclose(gram_product(found, coef), products, rtol=1e-9, atol=1e-9)
    assert found.shape == expected.shape
    if path == "not formed":
        assert_allclose(found.diagonal(), np.einsum("kdd->kd", expected))
    else:
        assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    system = factorize_ridge(found, ridge_diagonal(2.0, 4))
    assert_allclose(system.weight, expected[:, -1, -1])


@pytest.mark.parametrize("density", [0.05, 0.5])  # below and above that of dense sums
@pytest.mark.parametrize("n_weights", [1, 5])
def test_grams_of_sparse_designs_are_those_of_dense_ones(density, n_weights, rng):
    design = np.where(rng.random((200, 6)) < density, rng.normal(size=(200, 6)), 0.0)
    weights = rng.uniform(size=(n_weights, 200))
    expected = [(design.T * weight) @ design for weight in weights]
    assert_allclose(weighted_grams(sparse.csr_array(design), weights), expected, atol=1e-12)


@pytest.mark.parametrize("normalise", [log_normalise, predictive_posterior])
def test_log_normalise_survives_extreme_values(normalise):
    joint = np.array([[-1e5, -3.0, 700.0, -1e18], [-1e5 - 2, -5.0, -800.0, -1e18]])
    resp, density = normalise(joint)
    assert_allclose(density, logsumexp(joint, axis=0))
    assert_allclose(resp.sum(axis=0), 1.0)
    assert resp[1, 2] == 0.0


def test_log_softmax_agrees_with_scipy(rng):
    logits = rng.normal(size=(2, 5, 7)) * 300
    assert_allclose(log_softmax(logits, axis=1), special.log_softmax(logits, axis=1))


def test_ridge_change_from_zero_is_ridge(rng):
    y = rng.normal(size=(2, 60))
    ridge = ridge_diagonal(3.0, 4)
    system = factorize_ridge(weighted_gram(DESIGN, WEIGHT)[None], ridge)
    coef = ridge_newton_step(system, ((y * WEIGHT) @ DESIGN)[None])[0]
    model = Ridge(alpha=3.0).fit(DESIGN[:, :-1], y.T, sample_weight=WEIGHT)
    assert_allclose(coef[:, :-1], model.coef_, rtol=1e-8)
    assert_allclose(coef[:, -1], model.intercept_, rtol=1e-8)


def test_ridge_change_of_a_singular_system_is_the_smallest():
    design = np.column_stack([DESIGN[:, :1], DESIGN[:, :1], np.ones(60)])
    y = 4.0 * design[:, :1].T + 1.0
    system = factorize_ridge(np.stack([design.T @ design, np.zeros((3, 3))]), np.zeros(3))
    changes = ridge_newton_step(system, np.stack([y @ design, np.zeros((1, 3))]))
    assert_allclose(changes[0], [[2.0, 2.0, 1.0]], rtol=1e-6)
    assert_allclose(changes[1], 0.0)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("binary", [False, True])
def test_contrasts_span_vectors_that_sum_to_zero(n_classes, binary, rng):
    basis = helmert_contrasts(n_classes, binary=binary)
    assert_allclose(basis.sum(axis=0), 0.0, atol=1e-14)
    coordinates = rng.normal(size=(n_classes - 1, 4))
    assert_allclose(to_contrasts(basis @ coordinates, basis), coordinates)


def softmax_value(coef, targets):
    return float((targets * log_softmax(linear_predictor(coef, DESIGN))).sum())


def finite_differences(function, point, step=1e-5):
    slopes = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        slopes[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return slopes


def softmax_problem(n_classes, rng):
    targets = rng.dirichlet(np.ones(n_classes), size=60).T * WEIGHT
    coef = rng.normal(size=(n_classes, 4))
    probs = np.exp(log_softmax(linear_predictor(coef, DESIGN)))
    return targets, coef, probs


@pytest.mark.parametrize("n_classes", [2, 4])
def test_softmax_derivatives_are_those_of_finite_differences(n_classes, rng):
    targets, coef, probs = softmax_problem(n_classes, rng)
    gradient = softmax_gradient(DESIGN, targets, probs)
    expected = finite_differences(lambda at: softmax_value(at, targets), coef)
    assert_allclose(gradient, expected, atol=1e-6)

    def gradient_at(at):
        there = np.exp(log_softmax(linear_predictor(at, DESIGN)))
        return softmax_gradient(DESIGN, targets, there)

    blocks = softmax_hessian(DESIGN, WEIGHT, probs)
    for a in range(n_classes):
        for d in range(4):
            slopes = finite_differences(lambda at, a=a, d=d: gradient_at(at)[a, d], coef)
            assert_allclose(-blocks[a, :, d, :], slopes, atol=SINGLE)


def many_classes(rng, n_classes=12):
    """Probabilities of which few are large, and contrasts of that many classes."""
    logits = 4.0 * rng.normal(size=(n_classes, 60))
    return np.exp(log_softmax(logits)), helmert_contrasts(n_classes)


def in_contrasts(hessian, basis):
    size = basis.shape[1] * hessian.shape[-1]
    return np.einsum("ai,abde,bj->idje", basis, hessian, basis).reshape(size, size)


def exact_hessian(probs, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("skmoe._numerics.multinomial.FEW_CLASSES", 10**6)
        return softmax_hessian(DESIGN, WEIGHT, probs)


def test_hessians_of_many_classes_bound_half_of_the_exact_ones(monkeypatch, rng):
    probs, basis = many_classes(rng)
    exact = exact_hessian(probs, monkeypatch)
    # A gate, which is a single model, has exact ones.
    assert_allclose(softmax_hessian(DESIGN, WEIGHT, probs), exact)
    several = np.stack([WEIGHT, WEIGHT]), np.stack([probs, probs])
    found = softmax_hessian(DESIGN, *several)[1]
    classes = np.arange(len(probs))
    assert_allclose(found[classes, classes], exact[classes, classes], rtol=SINGLE, atol=SINGLE)
    assert np.abs(found - exact).max() > 1e-3  # something is left out
    gap = in_contrasts(found, basis) - 0.5 * in_contrasts(exact, basis)
    assert np.linalg.eigvalsh(gap).min() > -SINGLE
    monkeypatch.setattr("skmoe._numerics.multinomial.MIN_PAIR_PROB", 0.0)
    every = softmax_hessian(DESIGN, *several)
    assert_allclose(every, np.stack([exact, exact]), rtol=SINGLE, atol=SINGLE)


def test_steps_of_many_classes_solve_the_penalised_system(monkeypatch, rng):
    probs, basis = many_classes(rng)
    hessian, ridge = exact_hessian(probs, monkeypatch), ridge_diagonal(0.7, 4)
    coef, gradient = (basis @ rng.normal(size=(11, 4)) for _ in range(2))
    kept = hessian.copy()
    step = softmax_newton_step(
        factorize_softmax_hessian(hessian, basis, ridge), gradient, coef, basis, ridge
    )
    assert_allclose(hessian, kept, rtol=0.0)
    assert_allclose(step.sum(axis=0), 0.0, atol=1e-12)
    matrix = in_contrasts(hessian, basis) + np.diag(np.tile(ridge, 11))
    expected = np.linalg.solve(matrix, (basis.T @ (gradient - ridge * coef)).ravel())
    assert_allclose(basis.T @ step, expected.reshape(11, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_classes", [3, 12])
@pytest.mark.parametrize("n_models", [1, 2])
def test_determined_slopes_of_softmax_models_are_traces(n_classes, n_models, monkeypatch, rng):
    probs, basis = many_classes(rng, n_classes)
    hessian, coef = exact_hessian(probs, monkeypatch), basis @ rng.normal(size=(n_classes - 1, 4))
    matrix = in_contrasts(hessian, basis)
    penalty = np.tile(ridge_diagonal(5.0, 4), n_classes - 1)
    expected = np.trace(np.linalg.solve(matrix + np.diag(penalty), matrix))
    hessians, coefs = (np.stack([a] * n_models) if n_models > 1 else a for a in (hessian, coef))
    slopes = softmax_slopes(hessians, basis, 5.0, coefs, coefs)
    # Intercepts are not penalised, and all of them are determined.
    found = n_determined_slopes(5.0, slopes).sum() + n_models * (n_classes - 1)
    assert_allclose(found, n_models * expected, rtol=1e-4)
    assert_allclose(basis @ slopes.values[: n_classes - 1], coef[:, :-1])
    monkeypatch.setattr("skmoe._numerics.multinomial.MAX_DENSE_HESSIAN", 0)
    implicit = softmax_slopes(softmax_hessian(DESIGN, WEIGHT, probs), basis, 5.0, coef, coef)
    diagonal = np.diag(matrix) / (np.diag(matrix) + penalty)
    found = n_determined_slopes(5.0, implicit).sum() + n_classes - 1
    assert_allclose(found, diagonal.sum(), rtol=0.2)


def test_extreme_rows_leave_hessians_finite(rng):
    design, weight = DESIGN.copy(), WEIGHT.copy()
    design[0], weight[0] = 1e25, 1e-60
    probs = softmax_problem(3, rng)[2]
    blocks = softmax_hessian(design, 1e50 * weight, probs)
    without = softmax_hessian(DESIGN[1:], 1e50 * WEIGHT[1:], probs[:, 1:])
    assert_allclose(blocks, without, rtol=1e-4, atol=1e46)


def test_products_with_designs_in_single_precision_are_sums_in_double(rng):
    design = DESIGN.astype(np.float32)
    weights = np.stack([WEIGHT, WEIGHT[::-1]])
    coef = rng.normal(size=(2, 3, 4))
    for product, operand in [
        (linear_predictor, coef),
        (weighted_column_sums, weights),
        (lambda weights, design: weighted_grams(design, weights), weights),
    ]:
        found = product(operand, design)
        assert found.dtype == np.float64
        assert_allclose(found, product(operand, DESIGN), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_matrices_that_are_not_formed_multiply_like_those_that_are(make, monkeypatch, rng):
    n_classes = 4
    _, coef, probs = softmax_problem(n_classes, rng)
    weights = np.stack([WEIGHT, WEIGHT[::-1]])
    probs = np.stack([probs, probs[::-1]])
    coef = np.stack([coef, 2.0 * coef])
    formed = (
        softmax_hessian(DESIGN, weights, probs),
        weighted_grams(DESIGN, weights),
    )
    monkeypatch.setattr("skmoe._numerics.multinomial.MAX_DENSE_HESSIAN", 0)
    monkeypatch.setattr("skmoe._numerics.linalg.MAX_DENSE_GRAM", 0)
    halves = [slice(0, 20), slice(20, None)]
    hessian, gram = (
        first + second
        for first, second in zip(
            *(
                (
                    softmax_hessian(make(DESIGN[rows]), weights[:, rows], probs[..., rows]),
                    weighted_grams(make(DESIGN[rows]), weights[:, rows]),
                )
                for rows in halves
            ),
            strict=True,
        )
    )
    product = np.einsum("kabde,kbe->kad", formed[0], coef)
    assert_allclose(hessian @ coef, product, rtol=SINGLE, atol=SINGLE)
    basis = helmert_contrasts(coef.shape[1])
    diagonal = np.einsum("ac,kabdd,bc->kcd", basis, formed[0], basis)
    assert_allclose(hessian.contrast_diagonal(basis), diagonal, rtol=SINGLE)
    assert_allclose(gram @ coef, np.einsum("kde,kme->kmd", formed[1], coef))
    assert_allclose(gram.diagonal(), np.einsum("kdd->kd", formed[1]))
    totals = [
        factorize_ridge(grams, np.ones(DESIGN.shape[1])).weight for grams in (gram, formed[1])
    ]
    assert_allclose(totals, [weights.sum(axis=1)] * 2)


def test_conjugate_gradients_solve_each_system_and_never_get_worse(rng):
    roots = rng.normal(size=(3, 5, 5))
    matrices = np.einsum("kab,kcb->kac", roots, roots) + 0.1 * np.eye(5)
    right, start = rng.normal(size=(2, 3, 5))
    right[1] = matrices[1] @ start[1]  # solved from the start
    diagonal = np.einsum("kaa->ka", matrices)

    def solve(tol):
        product = partial(np.einsum, "kab,kb->ka", matrices)
        return conjugate_gradients(product, right, start, diagonal, axes=(-1,), tol=tol)

    def value(at):
        return 0.5 * np.einsum("ka,kab,kb->k", at, matrices, at) - (right * at).sum(axis=1)

    assert_allclose(solve(1e-12), np.linalg.solve(matrices, right[..., None])[..., 0])
    assert (value(solve(0.9)) <= value(start) + 1e-12).all()


@pytest.mark.parametrize("n_free", [0, 1, 4])
def test_conjugate_gradients_begin_wherever_they_are_told(n_free, rng):
    """Also where some coordinates of the start are zero, and some have no curvature."""
    root = rng.normal(size=(5, 9))
    matrix = np.zeros((6, 6))
    matrix[:5, :5] = root @ root.T
    right, start = np.append(rng.normal(size=5), 0.0), np.zeros(6)
    start[:n_free] = rng.normal(size=n_free)
    found = conjugate_gradients(
        partial(np.matmul, matrix), right, start, np.diag(matrix), axes=(-1,), tol=1e-10
    )
    assert_allclose(found[:5], np.linalg.solve(matrix[:5, :5], right[:5]), rtol=1e-7)
    assert found[5] == 0.0
    assert start[n_free:].tolist() == [0.0] * (6 - n_free)  # the start is left as it is


@pytest.mark.parametrize("n_classes", [2, FEW_CLASSES, FEW_CLASSES + 2])
@pytest.mark.parametrize("n_models", [None, 1, 3])
def test_hessians_of_sparse_designs_are_exact(n_classes, n_models, monkeypatch, rng):
    """For any number of classes and models, and rows without weight."""
    shape = () if n_models is None else (n_models,)
    logits, weight = rng.normal(size=(*shape, n_classes, 60)), rng.uniform(size=(*shape, 60))
    weight[..., ::3] = 0.0
    probs = np.exp(log_softmax(logits, axis=-2))
    diagonal = np.eye(n_classes)[:, :, None] * probs[..., None, :, :]
    kernel = diagonal - probs[..., :, None, :] * probs[..., None, :, :]
    design = np.where(rng.uniform(size=DESIGN.shape) < 0.5, 0.0, DESIGN)
    expected = np.einsum("...n,...abn,nd,ne->...abde", weight, kernel, design, design)
    found = softmax_hessian(sparse.csr_array(design), weight, probs)
    assert_allclose(found, expected, rtol=SINGLE, atol=SINGLE)


def test_slopes_of_matrices_that_are_not_formed_have_the_variances_of_their_diagonals(
    monkeypatch, rng
):
    """They are exact where columns are orthogonal."""
    design = np.linalg.qr(rng.normal(size=(60, 4)))[0]
    weights, ridge = np.array([0.5, 2.0])[:, None] * np.ones(60), ridge_diagonal(0.7, 4)
    coef, gradient = rng.normal(size=(2, 2, 3, 4))
    formed = ridge_slopes(weighted_grams(design, weights), ridge, coef, gradient)
    monkeypatch.setattr("skmoe._numerics.linalg.MAX_DENSE_GRAM", 0)
    found = ridge_slopes(weighted_grams(design, weights), ridge, coef, gradient)
    assert_allclose(found.covariances, np.diagonal(formed.covariances, axis1=1, axis2=2))
    for one, other in zip(found[::2], formed[::2], strict=True):
        assert_allclose(one, other, atol=1e-12)
    monkeypatch.setattr("skmoe._numerics.multinomial.MAX_DENSE_HESSIAN", 0)
    probs, basis = many_classes(rng, 3)
    coef, gradient = rng.normal(size=(2, 3, 4))
    slopes = softmax_slopes(softmax_hessian(DESIGN, WEIGHT, probs), basis, 0.7, coef, gradient)
    assert_allclose(slopes.values, to_contrasts(coef, basis)[:, :-1])
    assert_allclose(slopes.gradient, (basis.T @ gradient)[:, :-1])
    for j in range(2):
        variance = basis[:, j] ** 2 @ probs - (basis[:, j] @ probs) ** 2
        expected = 1.0 / ((variance * WEIGHT) @ DESIGN**2 + ridge)[:-1]
        assert_allclose(slopes.covariances[j], expected)


def test_pairs_of_more_than_a_few_classes_only_are_left_out(monkeypatch, rng):
    """Where Hessians of several models are of many classes; those of one model have all pairs."""
    for n_classes, is_exact in ((FEW_CLASSES, True), (FEW_CLASSES + 1, False)):
        probs, _ = many_classes(rng, n_classes)
        exact = exact_hessian(probs, monkeypatch)
        several = softmax_hessian(DESIGN, np.stack([WEIGHT] * 2), np.stack([probs] * 2))
        assert np.allclose(several, exact, rtol=SINGLE, atol=SINGLE) == is_exact
        assert_allclose(softmax_hessian(DESIGN, WEIGHT, probs), exact, rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dense", [True, False])
def test_softmax_ascent_leads_to_the_maximum(n_classes, binary, dense, monkeypatch, rng):
    if not dense:
        monkeypatch.setattr("skmoe._numerics.multinomial.MAX_DENSE_HESSIAN", 0)
    targets, _, _ = softmax_problem(n_classes, rng)
    basis = helmert_contrasts(n_classes, binary=binary)
    ridge = ridge_diagonal(0.7, 4)
    coef = np.zeros((n_classes, 4))
    for _ in range(8 if dense else 20):
        probs = np.exp(log_softmax(linear_predictor(coef, DESIGN)))
        factor = factorize_softmax_hessian(
            softmax_hessian(DESIGN, targets.sum(axis=0), probs), basis, ridge
        )
        gradient = softmax_gradient(DESIGN, targets, probs)
        coef = coef + softmax_newton_step(factor, gradient, coef, basis, ridge)

    def penalised(coordinates):
        penalty = 0.5 * (ridge * coordinates**2).sum()
        return softmax_value(basis @ coordinates, targets) - penalty

    coordinates = to_contrasts(coef, basis)
    assert_allclose(finite_differences(penalised, coordinates), 0.0, atol=1e-5)
    assert_allclose(coef.sum(axis=0), 0.0, atol=1e-12)


def test_extrapolate_finds_the_limit_of_a_geometric_sequence(rng):
    limit, error = rng.normal(size=5), rng.normal(size=5)
    path = [[limit + 0.9**t * error] for t in range(3)]
    moved, length = squarem_step(*path, step_max=100.0)
    assert length == pytest.approx(10.0)
    assert_allclose(moved[0], limit, atol=1e-12)
    _, short = squarem_step(*path, step_max=4.0)
    assert short == 4.0
    still, _ = squarem_step(path[0], path[0], path[0], step_max=4.0)
    assert_allclose(still[0], path[0][0])
