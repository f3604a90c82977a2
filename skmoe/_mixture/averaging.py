"""Averaging of several fits: a mixture of the experts of all of them.

Predictive densities are averaged, not parameters, so that the experts of different starts need not
correspond to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from skmoe._mixture.model import MixtureModel, Params
from skmoe.gates._averaged import AveragedGate, AverageParams


def average_starts(
    model: MixtureModel, start_params: Sequence[Params]
) -> tuple[MixtureModel, Params]:
    """Model and parameters of the average of several fits of one model."""
    n_starts = len(start_params)
    experts, expert_params = model.experts.concatenate([params.experts for params in start_params])
    gate = AveragedGate(model.gate, model.top_k)
    top_k = None if model.top_k is None else n_starts * model.top_k
    params = Params(AverageParams(tuple(params.gate for params in start_params)), expert_params)
    return MixtureModel(gate, experts, n_starts * model.n_experts, top_k, model.balance), params
