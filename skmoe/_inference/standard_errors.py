"""Standard errors of the coefficients by the observed information."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._inference.coefficients import CoefficientLayout, Coefficients, coefficient_covariance
from skmoe._inference.information import Information, covariance, observed_information
from skmoe._inference.results import NEGLIGIBLE_SHIFT, Inference
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.typing import Array


class SandwichOptions(NamedTuple):
    """Whether the covariance is the sandwich, and of which clusters."""

    robust: bool
    clusters: Array | None = None  # number of the cluster of each row or unit


def observed_inference(
    mixture: FittedMixture,
    dataset: Dataset,
    layout: CoefficientLayout,
    coefficients: Coefficients,
    sandwich: SandwichOptions,
    reference: int | None,
) -> tuple[Inference, bool]:
    """Inference by the observed information, and whether that is indefinite."""
    information = observed_information(
        mixture.model, mixture.params, split_into_blocks(dataset), sandwich.clusters
    )
    known = _at_bound(mixture, information), _dropped(mixture, information)
    inverse = covariance(information, *known, sandwich.robust)
    matrix, reasons = coefficient_covariance(layout, mixture, information, inverse, reference)
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


def _dropped(mixture: FittedMixture, information: Information) -> Array:
    """Coordinates of slopes of dropped features, boolean of shape (D,)."""
    model: Any = mixture.model
    dropped = np.zeros(len(information.observed), dtype=bool)
    parts = [(model.experts, index) for index in information.expert_index]
    for part, index in [*parts, (model.gate, information.gate_index)]:
        alpha = part.penalties.get("alpha")
        if isinstance(alpha, tuple):
            columns = np.append(is_dropped(alpha), False)
            # Coefficient vectors come first, and then dispersions, of which there are fewer.
            is_gate = part is model.gate
            contrasts = (
                part.contrast_matrix(mixture.params.gate) if is_gate else part.contrast_matrix()
            )
            flags = np.tile(columns, contrasts.shape[1])
            dropped[index[: len(flags)]] = flags
    return dropped
