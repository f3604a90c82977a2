"""From a fitted mixture to statements about it: information criteria, errors of coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._coefficients import Layout, Term, term_covariance
from skmoe._em import Params, Parts
from skmoe._information import Information, covariance, observed_information
from skmoe._mixture import Mixture
from skmoe._numerics import Array
from skmoe._rows import Rows, in_blocks
from skmoe.reports import Inference


def n_parameters(parts: Parts, params: Params) -> float:
    """Free parameters of gate and experts."""
    return parts.gate.n_parameters(params.gate) + parts.experts.n_parameters(params.experts)


def akaike(log_likelihood: float, n_params: float) -> float:
    """Akaike's information criterion, smaller is better."""
    return 2.0 * n_params - 2.0 * log_likelihood


def bayesian(log_likelihood: float, n_params: float, n_rows: float) -> float:
    """Schwarz's Bayesian information criterion, smaller is better."""
    return n_params * float(np.log(n_rows)) - 2.0 * log_likelihood


def entropy(resp: Array, weight: Array) -> float:
    """Entropy of the responsibilities (K, n), summed over weighted rows."""
    logs = np.log(np.where(resp > 0.0, resp, 1.0))
    return -float((resp * logs).sum(axis=0) @ weight)


def observed_inference(
    mixture: Mixture,
    rows: Rows,
    layout: Layout,
    terms: list[Term],
    estimates: Array,
    robust: bool,
    reference: int | None,
) -> tuple[Inference, bool]:
    """Errors by the observed information, and whether it was indefinite."""
    information = observed_information(mixture.parts, mixture.params, in_blocks(rows))
    inverse = covariance(information, _held(mixture, information), robust)
    matrix, reasons = term_covariance(layout, mixture, information, inverse, reference)
    method = "sandwich covariance" if robust else "observed information"
    return Inference(terms, estimates, matrix, reasons, method), inverse.indefinite


def _held(mixture: Mixture, information: Information) -> Array:
    """Coordinates (D,) at a limit."""
    experts: Any = mixture.parts.experts
    held = np.zeros(len(information.observed), dtype=bool)
    for slots, limits in zip(
        information.expert_slots, experts.held(mixture.params.experts), strict=True
    ):
        held[slots] |= limits
    return held
