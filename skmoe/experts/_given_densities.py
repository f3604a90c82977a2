"""Experts whose densities are given, so that EM trains the gate alone.

The objective is then the log-likelihood of a mixture of given densities, less the gate's penalty:
it has one maximum in the probabilities of a constant gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.protocols import Experts


class NoParams(NamedTuple):
    """Nothing is estimated, and nothing is summed over the rows."""


@dataclass(frozen=True)
class GivenDensities(Experts):
    """Experts whose log densities (n, K) are the design matrix itself."""

    can_collapse: ClassVar[bool] = False

    def init_params(self, n_experts: int, n_columns: int) -> NoParams:
        """No parameters."""
        return NoParams()

    def log_prob(self, params: NoParams, design: Array, y: Array) -> Array:
        """The given log densities, (K, n)."""
        return design.T

    def mean(self, params: NoParams, design: Array) -> Array:
        """Unknown means (K, 1, n)."""
        return np.full((design.shape[1], 1, design.shape[0]), np.nan)

    def statistics(self, params: NoParams, design: Array, y: Array, resp: Array) -> NoParams:
        """No statistics."""
        return NoParams()

    def m_step(self, statistics: NoParams, factor: None, params: NoParams, step: float) -> NoParams:
        """No parameters."""
        return NoParams()

    def n_parameters(self, params: NoParams) -> float:
        """None."""
        return 0.0
