"""The average of several fits, which is one mixture of all their experts.

The predictive density is averaged, not the parameters: experts of different starts need not match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._mixture.model import MixtureModel, Params
from skmoe.gates._averaged import AveragedGate, AverageParams
from skmoe.protocols import InMemoryExperts


def average_starts(parts: MixtureModel, fits: Sequence[Params]) -> tuple[MixtureModel, Params]:
    """The parts and parameters of the average of fits of the same parts."""
    n_starts = len(fits)
    experts: Any = parts.experts
    fields = [params.experts for params in fits]
    if isinstance(experts, InMemoryExperts):
        experts, joined = experts.concatenate(fields)
    else:  # components come first
        joined = type(fields[0])(*(np.concatenate(values) for values in zip(*fields, strict=True)))
    gate: Any = AveragedGate(parts.gate, parts.top_k)
    top_k = None if parts.top_k is None else n_starts * parts.top_k
    params = Params(AverageParams(tuple(params.gate for params in fits)), joined)
    return MixtureModel(gate, experts, top_k, parts.balance), params
