"""Penalties of gate and experts that maximise the evidence, found within EM.

A few iterations of EM with given penalties alternate with an update of the penalties from the
Hessians at the current parameters [1]_ [2]_. When the penalties have settled, EM runs to
convergence with the last ones. Then they are checked once more, since parameters that EM has moved
far want other penalties. Between updates the penalised lower bound never falls.

The Hessians are those of the expected complete-data log-likelihood, as in the variational treatment
of mixtures of experts [2]_: the evidence is that of the rows divided among the experts by their
responsibilities.

References
----------
.. [1] D. J. C. MacKay (1992), "Bayesian interpolation", Neural Computation 4, 415-447.
.. [2] S. Waterhouse, D. MacKay and T. Robinson (1996), "Bayesian methods for mixtures of experts",
   Advances in Neural Information Processing Systems 8, 351-357.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._mixture.e_step import e_step
from skmoe._mixture.em import EMResult, EMStart
from skmoe._mixture.m_step import project
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.evidence import PenaltySearch
from skmoe._numerics.typing import Array

# Iterations of EM before each update of the penalties.
ITERATIONS_BETWEEN_UPDATES = (3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 10, 10)

# Penalties have settled if none has changed by more than this factor; the second is that after EM
# has converged.
SETTLED_FACTOR = 1.15
FINAL_FACTOR = 1.3

# Largest number of runs to convergence.
MAX_FINAL_RUNS = 3


class EvidenceSearch(NamedTuple):
    """Which penalties of gate and experts are found."""

    gate: PenaltySearch = PenaltySearch()
    experts: PenaltySearch = PenaltySearch()

    def __bool__(self) -> bool:
        return bool(self.gate) or bool(self.experts)


# Runs EM with a model from a start for a number of iterations; None stands for all that are left.
RunEM = Callable[[MixtureModel, EMStart, int | None], EMResult]


def run_with_evidence(
    search: EvidenceSearch,
    model: MixtureModel,
    blocks: Iterable[Dataset],
    start: EMStart,
    run_em: RunEM,
) -> EMResult:
    """EM with penalties that are found on the way; the result has the model with them."""
    default, n_earlier = model, 0
    for n_iter in ITERATIONS_BETWEEN_UPDATES:
        run = run_em(model, start, n_iter)
        n_earlier += len(run.lower_bounds) - len(start.lower_bounds)
        updated = updated_penalties(search, default, model, blocks, run.params)
        settled = _largest_factor(search, model, updated) < SETTLED_FACTOR
        model, start = updated, EMStart(project(updated, run.params))
        if settled:
            break
    for remaining in reversed(range(MAX_FINAL_RUNS)):
        run = run_em(model, start, None)
        run = run._replace(n_earlier_iter=n_earlier)
        if run.line_search_failed or not remaining:
            break
        updated = updated_penalties(search, default, model, blocks, run.params)
        if _largest_factor(search, model, updated) < FINAL_FACTOR:
            break
        n_earlier += len(run.lower_bounds)
        model, start = updated, EMStart(project(updated, run.params))
    return run


def updated_penalties(
    search: EvidenceSearch,
    default: MixtureModel,
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
) -> MixtureModel:
    """The model with penalties that fit the parameters better."""
    map_blocks = getattr(blocks, "map_blocks", map)
    total = e_step(model, blocks, params, with_hessian=True, map_blocks=map_blocks)
    gate, experts = model.gate, model.experts
    if search.gate:
        gate = gate.maximise_evidence(
            search.gate, default.gate, params.gate, total.statistics[0], total.hessians[0]
        )
    if search.experts:
        of_experts: Any = experts
        experts = of_experts.maximise_evidence(
            search.experts, default.experts, params.experts, total.statistics[1], total.hessians[1]
        )
    return model._replace(gate=gate, experts=experts)


def found_options(search: PenaltySearch) -> tuple[str, ...]:
    """Names of the options of a part that are found."""
    slopes = ("alpha",) if search.slopes else ()
    return slopes + (("dispersion_prior", "noise_variance") if search.dispersions else ())


def _largest_factor(search: EvidenceSearch, before: MixtureModel, after: MixtureModel) -> float:
    """The largest factor by which a penalty differs between two models."""
    largest = 0.0
    for name in ("gate", "experts"):
        for option in found_options(getattr(search, name)):
            old, new = (_logs(getattr(getattr(model, name), option)) for model in (before, after))
            largest = max(largest, float(np.abs(new - old).max(initial=0.0)))
    return float(np.exp(largest))


def _logs(value: Any) -> Array:
    return np.log(np.maximum(np.asarray(value, dtype=float), 1e-300))
