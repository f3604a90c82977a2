"""Standard errors of the coefficients by the observed information.

Exact linear dependence of columns, such as of indicators of all categories, which add up to one,
lets some directions of the coefficients change no linear predictor. The data do not determine the
estimates along them; the penalty does, without any error, and it is no information about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._inference.coefficients import (
    Coefficients,
    ListedBlock,
    coefficient_derivatives,
)
from skmoe._inference.results import Inference
from skmoe._mixture.information import Information, coordinates_at_bound, dropped_coordinates
from skmoe._mixture.maximum import EIGENVALUE_TOL, newton_step
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.steps import lower_bound_at
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array

# Components of unit vectors up to this size are round-off.
DIRECTION_TOL = 1e-6


def invariant_directions(
    dataset: Dataset, blocks: Sequence[ListedBlock], information: Information, free: Array
) -> Array:
    """Directions (D, r) of the free coordinates, boolean (D,), that change no linear predictor.

    There are none if a design has fewer rows than columns, which depend on each other by chance.
    """
    size = len(information.observed)
    designs = split_offset(dataset.expert_design)[0], dataset.gate_design
    if any(rows.shape[0] < rows.shape[1] for rows in designs):
        return np.zeros((size, 0))
    of_experts, of_gate = (
        products.toarray() if sparse.issparse(products) else products
        for products in (rows.T @ rows for rows in designs)
    )
    if not any(_null_space(products).size for products in (of_experts, of_gate)):
        return np.zeros((size, 0))
    gram = np.zeros((size, size))
    for listed in blocks:
        index = listed.index_in(information)
        width = 1 if listed.block.is_dispersion else 1 + len(listed.columns)
        products = of_gate if listed.expert is None else of_experts
        products = products[-width:, -width:]  # of a constant gate, those of the ones
        gram[np.ix_(index, index)] += np.kron(np.eye(len(index) // width), products)
    gram[~free] = gram[:, ~free] = 0.0
    return _null_space(gram)


def _null_space(gram: Array) -> Array:
    """Directions (D, r) of length zero by the products (D, D) of columns, without zero columns."""
    used = np.flatnonzero(np.diag(gram) > 0.0)
    unit = 1.0 / np.sqrt(np.diag(gram)[used])
    eigenvalues, vectors = np.linalg.eigh(gram[np.ix_(used, used)] * unit[:, None] * unit)
    vectors = vectors[:, eigenvalues <= EIGENVALUE_TOL * eigenvalues.max(initial=0.0)]
    directions = np.zeros((len(gram), vectors.shape[1]))
    directions[used] = np.where(np.abs(vectors) > DIRECTION_TOL, vectors, 0.0) * unit[:, None]
    return directions


# A negative eigenvalue beyond this fraction of the largest is not attributed to round-off.
NEGATIVE_EIGENVALUE_TOL = 1e-6

# A coordinate with a larger squared component than this in other directions is not identified.
NOT_IDENTIFIED_TOL = 1e-3

# Derivatives smaller than this fraction of the largest in their row are zero up to round-off.
DERIVATIVE_RTOL = 1e-9

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5


class Covariance(NamedTuple):
    """Covariance of the coordinates, and which of them have none."""

    matrix: Array
    not_identified: Array  # by the data
    at_bound: Array  # taken as known
    dropped: Array  # slopes of dropped features, which are zero
    dependent: Array  # of columns that are linearly dependent
    indefinite: bool  # whether the parameters are not at a maximum


def observed_inference(
    mixture: FittedMixture,
    dataset: Dataset,
    blocks: Sequence[ListedBlock],
    coefficients: Coefficients,
    is_sandwich: bool,
    clusters: Array | None,
) -> tuple[Inference, bool]:
    """Inference by the observed information at the fit, and whether that is indefinite.

    `clusters` has the number of the cluster of each row or unit for the sandwich covariance.
    """
    model, params, _ = mixture
    step = newton_step(model, params, dataset, is_sandwich, clusters)
    information = step.information
    at_bound = coordinates_at_bound(model, params, information)
    dropped = dropped_coordinates(model, params, information)
    free = ~(at_bound | dropped)
    invariant = invariant_directions(dataset, blocks, information, free)
    inverse = covariance(information, at_bound, dropped, is_sandwich, invariant)
    matrix, reasons, is_dependent = coefficient_covariance(blocks, information, inverse)
    method = "observed information"
    if is_sandwich:
        method = "sandwich covariance"
        if clusters is not None:
            n_clusters = len(np.unique(clusters))
            is_free = ~(at_bound | dropped | dispersion_coordinates(blocks, information))
            n_rows = information.expert_weight.sum()
            matrix *= cluster_correction(n_clusters, n_rows, int(is_free.sum()))
            method += f", {n_clusters} clusters"
    inference = Inference(
        coefficients,
        matrix,
        reasons,
        method,
        max_shift=step.shift,
        is_dependent=is_dependent,
    )
    return inference, inverse.indefinite


# --- covariance -------------------------------------------------------------------------------


def covariance(
    information: Information, at_bound: Array, dropped: Array, robust: bool, invariant: Array
) -> Covariance:
    """Inverse of the information; with `robust` the sandwich covariance.

    Coordinates `at_bound` or `dropped`, boolean of shape (D,), are taken as known. The estimates
    satisfy the constraints that the gradient of the penalty is zero along `invariant` directions
    (D, r). These are no information: the covariance is that under the constraints.
    """
    size = len(information.observed)
    matrix, not_identified = np.zeros((size, size)), np.zeros(size, dtype=bool)
    free = np.flatnonzero(~(at_bound | dropped))
    observed = information.observed[np.ix_(free, free)]
    # Coordinates without information, such as intercepts of separated classes, have a diagonal of
    # round-off.
    least = max(EIGENVALUE_TOL * information.expert_weight.sum(), np.finfo(float).tiny)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    dependent = np.abs(invariant).sum(axis=1) > 0.0
    if not len(free):
        return Covariance(matrix, not_identified, at_bound, dropped, dependent, False)
    scaled = observed * unit[:, None] * unit
    fixed = _constraints_of_penalties(scaled, invariant[free] / unit[:, None])
    scaled -= fixed @ (fixed.T @ scaled)
    scaled -= (scaled @ fixed) @ fixed.T
    eigenvalues, eigenvectors = np.linalg.eigh(scaled)
    identified = eigenvalues > EIGENVALUE_TOL * eigenvalues[-1]
    kept = eigenvectors[:, identified]
    inverse = (kept / eigenvalues[identified]) @ kept.T * unit[:, None] * unit
    if robust:
        inverse = inverse @ information.scores[np.ix_(free, free)] @ inverse
    matrix[np.ix_(free, free)] = inverse
    null_space = np.square(eigenvectors[:, ~identified]).sum(axis=1) - np.square(fixed).sum(axis=1)
    not_identified[free] = null_space > NOT_IDENTIFIED_TOL
    indefinite = bool(eigenvalues[0] < -NEGATIVE_EIGENVALUE_TOL * eigenvalues[-1])
    return Covariance(matrix, not_identified, at_bound, dropped, dependent, indefinite)


def _constraints_of_penalties(information: Array, invariant: Array) -> Array:
    """Orthonormal directions (D, r) in which penalties fix the estimates.

    Along invariant directions (D, r) the information is that of the penalties alone. Those without
    a penalty are not constrained.
    """
    invariant = np.linalg.qr(invariant)[0]
    strength, vectors = np.linalg.eigh(invariant.T @ information @ invariant)
    penalised = strength > EIGENVALUE_TOL * np.abs(information).max()
    fixed: Array = np.linalg.qr(information @ (invariant @ vectors[:, penalised]))[0]
    return fixed


def cluster_correction(n_clusters: int, n_rows: float, n_coefficients: int) -> float:
    """Factor of the covariance of few clusters, of a linear regression; that of statsmodels."""
    freedom = max(n_rows - n_coefficients, 1.0)
    return n_clusters / (n_clusters - 1.0) * (n_rows - 1.0) / freedom


# --- coefficients -----------------------------------------------------------------------------


def coefficient_covariance(
    blocks: Sequence[ListedBlock], information: Information, inverse: Covariance
) -> tuple[Array, list[str], Array]:
    """Covariance (T, T) of the coefficients, and for each the reason why it has none, or "".

    Last, whether it is a slope of linearly dependent columns that the penalty determines.
    """
    derivatives = coefficient_derivatives(blocks, information)
    matrix = derivatives @ inverse.matrix @ derivatives.T
    largest = np.abs(derivatives).max(axis=1, keepdims=True)
    involved = np.abs(derivatives) > DERIVATIVE_RTOL * largest
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & inverse.not_identified).any(axis=1)] = "not determined"
    # An intercept in raw units depends on slopes, of which some may be known.
    reasons[~(involved & ~inverse.at_bound).any(axis=1)] = "at its bound"
    separated = [listed.repeat(_is_separated(listed, information)) for listed in blocks]
    reasons[np.concatenate(separated)] = "separated"
    used = involved & ~inverse.dropped
    reasons[~used.any(axis=1)] = "dropped"
    # Slopes of constant features.
    reasons[~derivatives.any(axis=1)] = "fixed"
    is_slope = [listed.repeat(np.arange(listed.is_listed.shape[1]) > 0) for listed in blocks]
    is_dependent = (
        (involved & inverse.dependent).any(axis=1) & np.concatenate(is_slope) & (reasons == "")
    )
    return matrix, reasons.tolist(), is_dependent


def dispersion_coordinates(blocks: Sequence[ListedBlock], information: Information) -> Array:
    """Coordinates that are dispersions, boolean of shape (D,)."""
    flags = np.zeros(len(information.observed), dtype=bool)
    for listed in blocks:
        flags[listed.index_in(information)] |= listed.block.is_dispersion
    return flags


def _is_separated(listed: ListedBlock, information: Information) -> Array:
    """Responses with fewer effective rows than coefficients, boolean of shape (V, 1).

    A row counts for a logit by p (1 - p): not at all where the choice is certain. The sum over the
    rows is the entry of the complete-data information for the intercept.
    """
    width, k, contrasts = 1 + len(listed.columns), listed.expert, listed.block.contrasts
    rows = np.full(len(listed.unit), np.inf if k is None else information.expert_weight[k])
    if listed.can_separate:
        complete = information.complete_gate if k is None else information.complete_experts[k]
        complete = complete[listed.coordinates, listed.coordinates]
        intercepts = complete[width - 1 :: width, width - 1 :: width]
        contrasts = np.eye(len(rows)) if contrasts is None else contrasts
        rows = np.minimum(rows, np.einsum("va,ab,vb->v", contrasts, intercepts, contrasts))
    few = rows < width
    return (few if listed.reference is None else few | few[listed.reference])[:, None]


# --- the rows of the fit ----------------------------------------------------------------------


def lower_bound_of_rows(mixture: FittedMixture, rows: Dataset) -> float:
    """Lower bound per row of a mixture, in the units of y, as in `lower_bound_`."""
    bound = lower_bound_at(mixture.model, mixture.params, split_into_blocks(rows))
    return float(bound - mixture.preprocessor.log_jacobian)


def is_same_lower_bound(first: float, second: float) -> bool:
    """Whether two lower bounds per row are those of the same rows."""
    return abs(first - second) <= SAME_ROWS_RTOL * (1.0 + abs(second))
