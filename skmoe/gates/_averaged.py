"""The gate of the average of several fits: equal probability for each fit, then its own gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.probability import normalised_top_k
from skmoe._numerics.typing import Array, Design
from skmoe.protocols import ChoiceModel, Gate, SupportsReordering, missing_methods


class AverageParams(NamedTuple):
    """Parameters of the gate of each start."""

    starts: tuple[Any, ...]


@dataclass(frozen=True)
class AveragedGate(ChoiceModel):
    """Equal probability for each start, times the gate probabilities within the start.

    Parameters
    ----------
    gate : Gate
        The gate of a single start.
    top_k : int or None
        Maximum number of experts of a row in each start.
    """

    gate: Gate
    top_k: int | None

    def log_prob(self, params: AverageParams, design: Design) -> Array:
        """Log probability of each expert, (S * K, n)."""
        log_probs = [
            normalised_top_k(self.gate.log_prob(start, design), self.top_k)
            for start in params.starts
        ]
        return np.concatenate(log_probs) - np.log(len(log_probs))

    def n_parameters(self, params: AverageParams) -> int:
        """Number of free parameters of all starts, whose probabilities are fixed."""
        return sum(self.gate.n_parameters(start) for start in params.starts)

    @property
    def depends_on_features(self) -> bool:
        """Whether the probabilities differ between rows."""
        return self.gate.depends_on_features

    def single_gates(self, params: AverageParams) -> list[tuple[Gate, Any]]:
        """The gate of a single start, with the parameters of each start."""
        return [(self.gate, start) for start in params.starts]

    def limitation(self, capability: type) -> str:
        """Experts can be reordered if the gate of a single start allows it."""
        if capability is not SupportsReordering:
            return ""
        missing = missing_methods(self.gate, capability)
        return (
            f"its gate has no method {missing[0]}" if missing else self.gate.limitation(capability)
        )

    def reorder(self, params: AverageParams, order: Array) -> AverageParams:
        """Parameters with the experts of each start in another order."""
        gate: Any = self.gate
        within = order.reshape(len(params.starts), -1)
        within = within - within.min(axis=1, keepdims=True)
        pairs = zip(params.starts, within, strict=True)
        return AverageParams(tuple(gate.reorder(start, of_start) for start, of_start in pairs))

    def coefficients(self, params: AverageParams, n_columns: int) -> Array | None:
        """Coefficients of the logits within each start, or log probabilities of all experts."""
        of_starts = [self.gate.coefficients(start, n_columns) for start in params.starts]
        if any(coef is None for coef in of_starts):
            return None
        concatenated: Array = np.concatenate(of_starts)  # type: ignore[arg-type]
        if not self.depends_on_features:
            concatenated[:, -1] -= np.log(len(of_starts))
        return concatenated
