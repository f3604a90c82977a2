"""The average of several fits, which is one mixture of all their experts.

The predictive density is averaged, not the parameters: experts of different starts need not match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._em import Params, Parts, routed
from skmoe._numerics import Array, Design
from skmoe.protocols import Gate, TableExperts


class AverageParams(NamedTuple):
    """Parameters of the gate of each start."""

    starts: tuple[Any, ...]

    @property
    def coef(self) -> Array:
        """Coefficients of all starts, if the gates have any: logits within a start."""
        return np.concatenate([params.coef for params in self.starts])

    @property
    def log_weight(self) -> Array:
        """Log probabilities of all experts, for constant gates."""
        weights = [params.log_weight for params in self.starts]
        return np.concatenate(weights) - np.log(len(self.starts))


@dataclass(frozen=True)
class AverageGate:
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
            kept = routed(self.gate.log_prob(start, design), self.top_k)
            parts.append(kept - logsumexp(kept, axis=0))
        return np.concatenate(parts) - np.log(len(parts))

    def n_parameters(self, params: AverageParams) -> int:
        """Those of all starts; their weights are not fitted."""
        return sum(self.gate.n_parameters(start) for start in params.starts)


def average(parts: Parts, fits: Sequence[Params]) -> tuple[Parts, Params]:
    """The parts and parameters of the average of fits of the same parts."""
    n_starts = len(fits)
    experts: Any = parts.experts
    fields = [params.experts for params in fits]
    if isinstance(experts, TableExperts):
        experts, joined = experts.join(fields)
    else:  # components come first
        joined = type(fields[0])(*(np.concatenate(values) for values in zip(*fields, strict=True)))
    gate: Any = AverageGate(parts.gate, parts.top_k)
    top_k = None if parts.top_k is None else n_starts * parts.top_k
    params = Params(AverageParams(tuple(params.gate for params in fits)), joined)
    return Parts(gate, experts, top_k, parts.balance), params
