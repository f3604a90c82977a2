"""The gate of an average of several fits: it chooses a fit, and then an expert of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._numerics.probability import keep_top_k
from skmoe._numerics.typing import Array, Design
from skmoe.protocols import Gate


class AverageParams(NamedTuple):
    """Parameters of the gate of each start."""

    starts: tuple[Any, ...]

    @property
    def coef(self) -> Array:
        """Coefficients of all starts, if the gates have any: logits within a start."""
        return np.concatenate([params.coef for params in self.starts])

    @property
    def log_prior(self) -> Array:
        """Log probabilities of all experts, for constant gates."""
        weights = [params.log_prior for params in self.starts]
        return np.concatenate(weights) - np.log(len(self.starts))


@dataclass(frozen=True)
class AveragedGate:
    """Chooses a start, each with the same probability, and then an expert of it.

    Parameters
    ----------
    gate : Gate
        The gate of a single start.
    top_k : int or None
        Most experts of a row in each start.
    """

    gate: Gate
    top_k: int | None

    def log_prob(self, params: AverageParams, design: Design) -> Array:
        """Log probability of each expert, (S * K, n)."""
        parts = []
        for start in params.starts:
            kept = keep_top_k(self.gate.log_prob(start, design), self.top_k)
            parts.append(kept - logsumexp(kept, axis=0))
        return np.concatenate(parts) - np.log(len(parts))

    def n_parameters(self, params: AverageParams) -> int:
        """Those of all starts; their weights are not fitted."""
        return sum(self.gate.n_parameters(start) for start in params.starts)
