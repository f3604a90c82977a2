"""Information criteria."""

from __future__ import annotations

import numpy as np

from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.typing import Array


def n_parameters(parts: MixtureModel, params: Params) -> float:
    """Free parameters of gate and experts."""
    return parts.gate.n_parameters(params.gate) + parts.experts.n_parameters(params.experts)


def aic(log_likelihood: float, n_params: float) -> float:
    """Akaike's information criterion, smaller is better."""
    return 2.0 * n_params - 2.0 * log_likelihood


def bic(log_likelihood: float, n_params: float, n_rows: float) -> float:
    """Schwarz's Bayesian information criterion, smaller is better."""
    return n_params * float(np.log(n_rows)) - 2.0 * log_likelihood


def classification_entropy(resp: Array, weight: Array) -> float:
    """Entropy of the responsibilities (K, n), summed over weighted rows."""
    logs = np.log(np.where(resp > 0.0, resp, 1.0))
    return -float((resp * logs).sum(axis=0) @ weight)
