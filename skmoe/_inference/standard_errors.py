"""Standard errors of the coefficients by the observed information."""

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
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array


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
