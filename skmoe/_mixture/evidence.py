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
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset
from skmoe._mixture.e_step import e_step
from skmoe._mixture.em import EMResult, EMStart
from skmoe._mixture.m_step import project
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.dispersion_prior import dispersion_gain, dispersion_prior
from skmoe._numerics.evidence import (
    PenaltySearch,
    Slopes,
    evidence_gain,
    found_penalty,
    n_determined_slopes,
)
from skmoe._numerics.typing import TINY, Array

# Iterations of EM before each update of the penalties.
ITERATIONS_BETWEEN_UPDATES = (3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 10, 10)
FINAL_ROUND = len(ITERATIONS_BETWEEN_UPDATES)

# Penalties have settled if none has changed by more than this factor, or if the log evidence has
# changed by less than the tolerance of EM; the second factor is that after EM has converged. The
# log evidence can fall where the parameters of EM are far from their maximum.
SETTLED_FACTOR = 1.15
FINAL_FACTOR = 1.3

# Least degrees of freedom of the residuals of an expert, as a fraction of its rows.
MIN_FREEDOM = 0.1

# Largest fall of the lower bound per row that an update may cause. After a larger one EM does not
# reach the maximum for the new penalties: experts or gate are nearly certain of all rows.
MAX_FALL = 1.0

# Largest number of runs to convergence.
MAX_FINAL_RUNS = 3


class EvidenceSearch(NamedTuple):
    """Which penalties of gate and experts are found, and how exactly."""

    gate: PenaltySearch = PenaltySearch()
    experts: PenaltySearch = PenaltySearch()
    tol: float = 0.0  # change of log evidence per row below which the penalties have settled

    def __bool__(self) -> bool:
        return bool(self.gate) or bool(self.experts)


class SearchStage(NamedTuple):
    """What was done with other penalties, and the present round of a search.

    The round is an index of `ITERATIONS_BETWEEN_UPDATES`. In that after the last, which can begin
    early, EM runs to convergence.
    """

    n_iter: int = 0
    n_runs: int = 0  # to convergence
    round: int = 0

    @property
    def is_final(self) -> bool:
        """Whether EM runs to convergence."""
        return self.round >= FINAL_ROUND

    def after(self, n_iter: int, settled: bool) -> SearchStage:
        """The next stage, after the iterations of this one and an update of the penalties."""
        next_round = FINAL_ROUND if settled or self.is_final else self.round + 1
        return SearchStage(self.n_iter + n_iter, self.n_runs + self.is_final, next_round)


# Runs EM with a model from a start for at most a number of iterations, in a stage of the search.
RunEM = Callable[[MixtureModel, EMStart, int, SearchStage], EMResult]


def run_with_evidence(
    search: EvidenceSearch,
    model: MixtureModel,
    blocks: Iterable[Dataset],
    start: EMStart,
    max_iter: int,
    run_em: RunEM,
) -> EMResult:
    """EM with penalties that are found on the way; the result has the model with them.

    `model` has the default penalties. The search begins at those of the model of the start, if it
    has one; if it also has a resume state of a search, that search goes on. All runs together, with
    the iterations of the start, make at most `max_iter` iterations. It ends early if a run is
    stopped. If an update makes the lower bound fall far, it is undone, and the search ends.
    """
    default, state, n_done = model, start.resume_state, 0
    before: tuple[MixtureModel, EMResult] | None = None
    if start.model is not None and state is not None and state.search_round is not None:
        stage = SearchStage(state.n_earlier_iter, state.n_earlier_runs, state.search_round)
        n_done = len(state.lower_bounds)
    else:
        stage = SearchStage(len(start.lower_bounds))
    model = start.model or model
    if not n_done:
        start = EMStart(start.params)
    while True:
        n_iter = max_iter - stage.n_iter - len(start.lower_bounds)
        if not stage.is_final:
            n_iter = min(n_iter, ITERATIONS_BETWEEN_UPDATES[stage.round] - n_done)
        run = run_em(model, start, n_iter, stage)
        run = run._replace(n_earlier_iter=stage.n_iter)
        n_in_stage = len(run.lower_bounds if n_iter > 0 else start.lower_bounds)
        stopped = run.stopped or run.line_search_failed
        if stopped or stage.n_iter + n_in_stage >= max_iter:
            return run
        if before is not None and run.lower_bound < before[1].lower_bound - MAX_FALL:
            model, start = before[0], EMStart(before[1].params)
            stage = SearchStage(stage.n_iter + n_in_stage, MAX_FINAL_RUNS - 1, FINAL_ROUND)
            before, n_done = None, 0
            continue
        if stage.is_final and stage.n_runs + 1 >= MAX_FINAL_RUNS:
            return run
        updated, gain = updated_penalties(search, default, model, blocks, run.params)
        least_factor = FINAL_FACTOR if stage.is_final else SETTLED_FACTOR
        settled = _largest_factor(search, model, updated) < least_factor or abs(gain) < search.tol
        if stage.is_final and settled:
            return run
        stage, n_done, before = stage.after(n_in_stage, settled), 0, (model, run)
        model, start = updated, EMStart(project(updated, run.params))


def updated_penalties(
    search: EvidenceSearch,
    default: MixtureModel,
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
) -> tuple[MixtureModel, float]:
    """The model with penalties that fit the parameters better, and its gain of log evidence.

    The gain is per row.
    """
    map_blocks = getattr(blocks, "map_blocks", map)
    total = e_step(model, blocks, params, with_hessian=True, map_blocks=map_blocks)
    parts, gain = {}, 0.0
    for i, name in enumerate(("gate", "experts")):
        of_part: PenaltySearch = getattr(search, name)
        if of_part:
            parts[name], of_found = _with_found(
                getattr(model, name),
                getattr(default, name),
                of_part,
                PartStatistics(params[i], total.statistics[i], total.hessians[i]),
            )
            gain += of_found
    return model._replace(**parts), gain / total.weight


class PartStatistics(NamedTuple):
    """Parameters of gate or experts, and their statistics and Hessian there."""

    params: Any
    statistics: Any
    hessian: Any


def _with_found(
    part: Any, default: Any, search: PenaltySearch, at: PartStatistics
) -> tuple[Any, float]:
    """The part with new penalties, and their gain of log evidence.

    The penalties of `default` count as a few coefficients of the data.
    """
    slopes, found, gain = part.penalised_slopes(*at), {}, 0.0
    if search.slopes:
        found["alpha"] = found_penalty(search.slopes, part.alpha, slopes, default.alpha)
        gain += evidence_gain(part.alpha, found["alpha"], slopes)
    if search.dispersions:
        prior, of_prior = _found_prior(
            part, default, slopes, *part.scales(at.params, at.statistics)
        )
        found, gain = found | prior, gain + of_prior
    return replace(part, **found), gain


def _found_prior(
    experts: Any, default: Any, slopes: Slopes, scale: Array, rows: Array
) -> tuple[dict[str, Any], float]:
    """Strength and scale of the prior of dispersions, and their gain of log evidence.

    They come from the scales of the experts and their rows, (K, m).
    """
    if not rows.any():
        return {}, 0.0
    determined = n_determined_slopes(experts.alpha, slopes).reshape(rows.shape)
    if experts.shared_dispersion:
        scale, rows = scale[:1], rows.sum(axis=0, keepdims=True)
        determined = determined.sum(axis=0, keepdims=True)
    # A scale is the mode (squares + strength * center) / (rows + strength).
    strength, center = experts.dispersion_prior, np.array(experts.noise_variance)
    squares = np.maximum((rows + strength) * scale - strength * center, 0.0)
    freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
    defaults = default.dispersion_prior, np.array(default.noise_variance)
    found = dispersion_prior(squares, freedom, defaults)
    gain = dispersion_gain((strength, center), found, squares, freedom, defaults)
    return {"dispersion_prior": found[0], "noise_variance": tuple(found[1].tolist())}, gain


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
    return np.log(np.maximum(np.asarray(value, dtype=float), TINY))
