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

from skmoe._data.rows import Dataset
from skmoe._inference.coefficients import Coefficients, ListedBlock, coefficient_derivatives
from skmoe._inference.results import Inference
from skmoe._mixture.data import Data
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import EIGENVALUE_TOL, newton_step
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array

# Components of unit vectors up to this size are round-off.
DIRECTION_TOL = 1e-6


def invariant_directions(dataset: Dataset, blocks: Sequence[ListedBlock], free: Array) -> Array:
    """Directions (R, r) of the free coordinates, boolean (R,), that change no linear predictor.

    There are none if a design has fewer rows than columns, which depend on each other by chance.
    """
    size = len(free)
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
        width = 1 if listed.block.is_dispersion else 1 + len(listed.columns)
        products = of_gate if listed.expert is None else of_experts
        products = products[-width:, -width:]  # of a constant gate, those of the ones
        products = np.kron(np.eye(len(listed.coordinates) // width), products)
        is_present = listed.coordinates >= 0
        index = listed.coordinates[is_present]
        gram[np.ix_(index, index)] += products[np.ix_(is_present, is_present)]
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


class Covariance(NamedTuple):
    """Covariance of the coordinates (R), and which of them have none."""

    matrix: Array
    not_identified: Array  # by the data
    at_bound: Array  # taken as known
    dropped: Array  # slopes of dropped features, which are zero
    dependent: Array  # of columns that are linearly dependent
    indefinite: bool  # whether the parameters are not at a maximum


def observed_inference(
    fitted: FittedMixture,
    data: Data,
    blocks: Sequence[ListedBlock],
    coefficients: Coefficients,
    is_sandwich: bool,
    clusters: Array | None,
) -> tuple[Inference, bool]:
    """Inference by the observed information at the fit, and whether that is indefinite.

    `clusters` has the number of the cluster of each row or unit for the sandwich covariance.
    """
    mixture, theta, _ = fitted
    step = newton_step(mixture, theta, [data], is_sandwich, clusters)
    first, (observed, _, scores, weight) = mixture.first, step.information
    at_bound, dropped = mixture.at_bound(theta)[first], mixture.prior.dropped[first]
    invariant = invariant_directions(data.rows, blocks, ~(at_bound | dropped))
    observed = mixture.reduced_matrix(observed)
    scores = mixture.reduced_matrix(scores) if is_sandwich else None
    inverse = covariance(observed, scores, weight.sum(), at_bound, dropped, invariant)
    matrix, reasons, is_dependent = coefficient_covariance(
        blocks, fitted, inverse, effective_rows(fitted, data, weight, blocks)
    )
    method = "observed information"
    if is_sandwich:
        method = "sandwich covariance"
        if clusters is not None:
            n_clusters = len(np.unique(clusters))
            is_free = ~(at_bound | dropped | dispersion_coordinates(blocks, len(first)))
            matrix *= cluster_correction(n_clusters, weight.sum(), int(is_free.sum()))
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
    observed: Array,
    scores: Array | None,
    n_rows: float,
    at_bound: Array,
    dropped: Array,
    invariant: Array,
) -> Covariance:
    """Inverse of the observed information (R, R); with products of scores the sandwich covariance.

    Coordinates `at_bound` or `dropped`, boolean of shape (R,), are taken as known. The estimates
    satisfy the constraints that the gradient of the penalty is zero along `invariant` directions
    (R, r). These are no information: the covariance is that under the constraints.
    """
    size = len(observed)
    matrix, not_identified = np.zeros((size, size)), np.zeros(size, dtype=bool)
    free = np.flatnonzero(~(at_bound | dropped))
    observed = observed[np.ix_(free, free)]
    # Coordinates without information, such as intercepts of separated classes, have a diagonal of
    # round-off.
    least = max(EIGENVALUE_TOL * n_rows, np.finfo(float).tiny)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    dependent = np.abs(invariant).sum(axis=1) > 0.0
    if not len(free):
        return Covariance(matrix, not_identified, at_bound, dropped, dependent, False)
    scaled = observed * unit[:, None] * unit
    fixed = np.zeros((len(free), 0))
    if invariant.size:
        fixed = _constraints_of_penalties(scaled, invariant[free] / unit[:, None])
        scaled -= fixed @ (fixed.T @ scaled)
        scaled -= (scaled @ fixed) @ fixed.T
    eigenvalues, eigenvectors = np.linalg.eigh(scaled)
    identified = eigenvalues > EIGENVALUE_TOL * eigenvalues[-1]
    kept = eigenvectors[:, identified]
    inverse = (kept / eigenvalues[identified]) @ kept.T * unit[:, None] * unit
    if scores is not None:
        inverse = inverse @ scores[np.ix_(free, free)] @ inverse
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
    blocks: Sequence[ListedBlock], fitted: FittedMixture, inverse: Covariance, rows: list[Array]
) -> tuple[Array, list[str], Array]:
    """Covariance (T, T) of the coefficients, and for each the reason why it has none, or "".

    Last, whether it is a slope of linearly dependent columns that the penalty determines. `rows`
    are the effective ones.
    """
    derivatives = coefficient_derivatives(blocks, fitted)
    matrix = derivatives @ inverse.matrix @ derivatives.T
    largest = np.abs(derivatives).max(axis=1, keepdims=True)
    involved = np.abs(derivatives) > DERIVATIVE_RTOL * largest
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & inverse.not_identified).any(axis=1)] = "not determined"
    # An intercept in raw units depends on slopes, of which some may be known.
    reasons[~(involved & ~inverse.at_bound).any(axis=1)] = "at its bound"
    separated = [
        listed.repeat(_is_separated(listed, own)) for listed, own in zip(blocks, rows, strict=True)
    ]
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


def dispersion_coordinates(blocks: Sequence[ListedBlock], size: int) -> Array:
    """Coordinates that are dispersions, boolean of shape (R,)."""
    flags = np.zeros(size, dtype=bool)
    for listed in blocks:
        flags[listed.coordinates] |= listed.block.is_dispersion
    return flags


def effective_rows(
    fitted: FittedMixture, data: Data, weight: Array, blocks: Sequence[ListedBlock]
) -> list[Array]:
    """Rows that count for each response of each block.

    They are those of the expert, of which there are `weight` (K,). Where choices are nearly
    certain, or counts nearly zero, rows do not count.
    """
    mixture, theta, _ = fitted
    of_experts, of_gate = mixture.split(theta)
    information = np.full((len(weight), 1), np.inf)
    if mixture.experts.can_separate:
        resp = mixture.responsibilities(theta[None], data)[0][:, 0]
        own = data.sharing.to_rows(resp) * data.rows.weight
        information = mixture.experts.intercept_information(of_experts, data, own)
    proba = np.exp(mixture.log_gate(theta[None], data)[:, 0])
    of_gate = (proba * (1.0 - proba) * data.sharing.gate_weight).sum(axis=1)
    found = []
    for listed in blocks:
        if listed.expert is None:
            found.append(of_gate if listed.can_separate else np.full(1, np.inf))
        else:
            own = information[listed.expert] if listed.can_separate else np.full(1, np.inf)
            found.append(np.minimum(own, weight[listed.expert]))
    return found


def _is_separated(listed: ListedBlock, rows: Array) -> Array:
    """Responses with fewer effective rows than coefficients, boolean of shape (V, 1)."""
    few = np.broadcast_to(rows < 1 + len(listed.columns), len(listed.unit))
    return (few if listed.reference is None else few | few[listed.reference])[:, None]
