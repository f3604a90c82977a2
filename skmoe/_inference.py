"""From a fitted mixture to statements about it: information criteria."""

from __future__ import annotations

import numpy as np

from skmoe._em import Params, Parts
from skmoe._numerics import Array


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
