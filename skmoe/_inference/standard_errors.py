"""From a fitted mixture to statements about it: information criteria, errors of coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._inference.coefficients import CoefficientLayout, Term, coefficient_covariance
from skmoe._inference.information import Information, covariance, observed_information
from skmoe._inference.results import Inference
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array


def observed_inference(
    mixture: FittedMixture,
    rows: Dataset,
    layout: CoefficientLayout,
    terms: list[Term],
    estimates: Array,
    robust: bool,
    reference: int | None,
) -> tuple[Inference, bool]:
    """Errors by the observed information, and whether it was indefinite."""
    information = observed_information(mixture.parts, mixture.params, split_into_blocks(rows))
    inverse = covariance(information, _held(mixture, information), robust)
    matrix, reasons = coefficient_covariance(layout, mixture, information, inverse, reference)
    method = "sandwich covariance" if robust else "observed information"
    return Inference(terms, estimates, matrix, reasons, method), inverse.indefinite


def _held(mixture: FittedMixture, information: Information) -> Array:
    """Coordinates (D,) at a limit."""
    experts: Any = mixture.parts.experts
    held = np.zeros(len(information.observed), dtype=bool)
    for slots, limits in zip(
        information.expert_index, experts.at_bound(mixture.params.experts), strict=True
    ):
        held[slots] |= limits
    return held
