"""Information criteria."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import posterior
from skmoe._numerics.typing import Array


class FitStatistics(NamedTuple):
    """Log-likelihood, number of parameters and entropy of a mixture for weighted rows."""

    log_likelihood: float
    n_parameters: float
    n_rows: float  # sum of the weights
    entropy: float  # of the responsibilities of rows, or of units
    expert_weight: Array  # responsibilities summed over the weighted rows, (K,)
    n_units: int | None = None  # None for a unit of each row

    @property
    def aic(self) -> float:
        """Akaike's information criterion, smaller is better."""
        return 2.0 * self.n_parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, of independent rows or units."""
        n_independent = self.n_rows if self.n_units is None else self.n_units
        return self.n_parameters * float(np.log(n_independent)) - 2.0 * self.log_likelihood

    @property
    def icl(self) -> float:
        """Integrated completed likelihood."""
        return self.bic + 2.0 * self.entropy


def fit_statistics(mixture: FittedMixture, rows: Rows) -> FitStatistics:
    """Statistics for weighted rows."""
    resp, log_density = posterior(mixture.log_joint(rows))
    weight, row_weight = rows.weight, rows.weight
    if rows.unit is not None:
        weight = np.ones(len(log_density))
        row_weight = np.bincount(rows.unit, rows.weight)
    return FitStatistics(
        float(log_density @ weight),
        n_parameters(mixture),
        float(rows.weight.sum()),
        classification_entropy(resp, weight),
        resp @ row_weight,
        None if rows.unit is None else len(log_density),
    )


def n_parameters(mixture: FittedMixture) -> float:
    """Number of free parameters of gate and experts; NaN if it cannot be counted.

    An average has those of all its starts.
    """
    model, params, _ = mixture
    fits = model.experts.split(params.experts, model.gate.n_starts(params.gate))
    total = sum(experts.n_parameters(of_fit) for experts, of_fit in fits)
    return float(model.gate.n_parameters(params.gate) + total)


def classification_entropy(resp: Array, weight: Array) -> float:
    """Entropy of the responsibilities (K, n), summed over weighted rows."""
    logs = np.log(np.where(resp > 0.0, resp, 1.0))
    return 0.0 - float((resp * logs).sum(axis=0) @ weight)  # not -0.0 for one expert
