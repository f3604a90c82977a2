"""The gate of an average of several fits: it chooses a fit, and then an expert of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._numerics.probability import keep_top_k
from skmoe._numerics.typing import Array, Design
from skmoe.protocols import ChoiceModel, Gate


class AverageParams(NamedTuple):
    """Parameters of the gate of each start."""

    starts: tuple[Any, ...]


@dataclass(frozen=True)
class AveragedGate(ChoiceModel):
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

    @property
    def params_types(self) -> tuple[type, ...]:
        """Named tuples of the parameters: its own, and those of the gate of a single start."""
        return (AverageParams, *self.gate.params_types)

    @property
    def depends_on_features(self) -> bool:
        """Whether the probabilities differ between rows."""
        return self.gate.depends_on_features

    def n_starts(self, params: AverageParams) -> int:
        """Number of starts."""
        return len(params.starts)

    def coefficients(self, params: AverageParams, n_columns: int) -> Array | None:
        """Coefficients of the logits within each start, or log probabilities of all experts."""
        starts = [self.gate.coefficients(start, n_columns) for start in params.starts]
        if any(coef is None for coef in starts):
            return None
        joined = np.concatenate(starts)  # type: ignore[arg-type]
        if not self.depends_on_features:
            joined[:, -1] -= np.log(len(starts))
        return joined
