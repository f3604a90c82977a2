"""Standard errors of the coefficients by the observed information, at the maximum near a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._inference.coefficients import (
    Coefficients,
    ListedBlock,
    coefficient_covariance,
    dropped_coordinates,
)
from skmoe._inference.information import Information, covariance, observed_information
from skmoe._inference.results import NEGLIGIBLE_SHIFT, Inference
from skmoe._mixture.em import EMOptions, EMResult, EMStart, evaluate, run_em
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array

# EM stops at this estimate of the remaining gain per row, where the estimates are within a small
# fraction of their standard errors of the maximum.
MAXIMUM_TOL = 1e-10

MAXIMUM_MAX_ITER = 1000

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5


class SandwichOptions(NamedTuple):
    """Whether the covariance is the sandwich, and of which clusters."""

    robust: bool
    clusters: Array | None = None  # number of the cluster of each row or unit


def observed_inference(
    mixture: FittedMixture,
    dataset: Dataset,
    blocks: Sequence[ListedBlock],
    coefficients: Coefficients,
    sandwich: SandwichOptions,
) -> tuple[Inference, bool]:
    """Inference by the observed information, and whether that is indefinite."""
    information = observed_information(
        mixture.model, mixture.params, split_into_blocks(dataset), sandwich.clusters
    )
    dropped = dropped_coordinates(blocks, mixture, information)
    inverse = covariance(information, _at_bound(mixture, information), dropped, sandwich.robust)
    matrix, reasons = coefficient_covariance(blocks, information, inverse)
    method = "observed information"
    if sandwich.robust:
        method = "sandwich covariance"
        if sandwich.clusters is not None:
            method += f", {len(np.unique(sandwich.clusters))} clusters"
    return Inference(coefficients, matrix, reasons, method), inverse.indefinite


def compared_to_fit(inference: Inference, fitted: Array) -> Inference:
    """Inference at the maximum, given the coefficients of the fit.

    Where none of them differs noticeably from the maximum, the estimates are those of the fit.
    """
    errors, estimates = inference.standard_errors, inference.estimates
    known = errors > 0.0  # not for NaN
    shift = float(np.max(np.abs(fitted - estimates)[known] / errors[known], initial=0.0))
    estimates = fitted if shift <= NEGLIGIBLE_SHIFT else estimates
    coefficients = Coefficients(
        inference.terms, estimates, inference.is_dispersion, inference.has_ratio
    )
    covariance, reasons, method = inference.covariance, inference.reasons, inference.method
    return Inference(coefficients, covariance, reasons, method, max_shift=shift)


def _at_bound(mixture: FittedMixture, information: Information) -> Array:
    """Coordinates at a bound, boolean of shape (D,)."""
    experts_at_bound = mixture.model.experts.at_bound(mixture.params.experts)
    at_bound = np.zeros(len(information.observed), dtype=bool)
    for index, flags in zip(information.expert_index, experts_at_bound, strict=True):
        at_bound[index] |= flags
    return at_bound


# --- the maximum of the penalised likelihood --------------------------------------------------


def continue_to_maximum(mixture: FittedMixture, rows: Dataset) -> FittedMixture:
    """The mixture at the maximum that EM reaches from its parameters on the rows of the fit."""
    options = EMOptions(MAXIMUM_MAX_ITER, MAXIMUM_TOL, n_plain_iter=0)
    blocks = split_into_blocks(rows)
    run = run_em(mixture.model, blocks, EMStart(mixture.params), options, _never_stop)
    return mixture._replace(params=run.params)


def _never_stop(n_iter: int, run: EMResult) -> bool:
    return False


def lower_bound_of_rows(mixture: FittedMixture, rows: Dataset) -> float:
    """Lower bound per row of a mixture, in the units of y, as in `lower_bound_`."""
    state = evaluate(mixture.model, split_into_blocks(rows), mixture.params)
    return float(state.lower_bound - mixture.preprocessor.log_jacobian)


def is_same_lower_bound(first: float, second: float) -> bool:
    """Whether two lower bounds per row are those of the same rows."""
    return abs(first - second) <= SAME_ROWS_RTOL * (1.0 + abs(second))
