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
from skmoe._mixture.m_step import penalty, project
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.dispersion_prior import (
    dispersion_gain,
    dispersion_prior,
    dispersion_volume,
)
from skmoe._numerics.evidence import (
    PenaltySearch,
    Slopes,
    evidence_gain,
    found_penalty,
    n_determined_slopes,
    posterior_volume,
    scaled_penalty,
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

# Log evidence per row by which other penalties must be better for a return to them. Smaller
# differences are within the errors of Laplace's approximation where experts have few rows.
MIN_LOSS = 0.1

# Largest number of runs to convergence.
MAX_FINAL_RUNS = 3


class EvidenceSearch(NamedTuple):
    """Which penalties of gate and experts are found, and how exactly."""

    gate: PenaltySearch = PenaltySearch()
    experts: PenaltySearch = PenaltySearch()
    tol: float = 0.0  # change of log evidence per row below which the penalties have settled
    relaxation: float = 1.0  # factor of the penalties of slopes in the run to convergence

    def __bool__(self) -> bool:
        return bool(self.gate) or bool(self.experts)

    @property
    def kinds(self) -> tuple[str, str, str]:
        """Kinds of search for `gate_alpha`, `alpha` and `dispersion_prior`; "" without one."""
        return self.gate.slopes, self.experts.slopes, "auto" if self.experts.dispersions else ""

    def split(self, kinds: tuple[str, str, str]) -> tuple[EvidenceSearch, EvidenceSearch]:
        """The searches that are of given kinds, and the others."""
        parts = []
        pairs = list(zip(self.kinds, kinds, strict=True))
        for same in (True, False):
            gate, alpha, prior = (own if (own == kind) is same else "" for own, kind in pairs)
            experts = PenaltySearch(alpha, bool(prior))
            parts.append(self._replace(gate=PenaltySearch(gate), experts=experts))
        return parts[0], parts[1]

    @property
    def drops_features(self) -> bool:
        """Whether features can be dropped; the evidence can fall if needed ones are."""
        return "ard" in (self.gate.slopes, self.experts.slopes)


class Best(NamedTuple):
    """The penalties with the highest evidence so far, and parameters that EM has found there."""

    model: MixtureModel
    params: Params
    log_evidence: float  # per row

    def is_better_than(self, update: Update) -> bool:
        """Whether the evidence is clearly higher than that of the penalties before an update."""
        return self.log_evidence >= update.log_evidence + MIN_LOSS


class SearchStage(NamedTuple):
    """What was done with other penalties, and the present round of a search.

    The round is an index of `ITERATIONS_BETWEEN_UPDATES`. In that after the last, which can begin
    early, EM runs to convergence.
    """

    n_iter: int = 0
    n_runs: int = 0  # to convergence
    round: int = 0
    best: Best | None = None  # of a search that can drop features

    @property
    def is_final(self) -> bool:
        """Whether EM runs to convergence."""
        return self.round >= FINAL_ROUND

    @property
    def is_last(self) -> bool:
        """Whether the penalties are not updated after this stage."""
        return self.is_final and self.n_runs + 1 >= MAX_FINAL_RUNS

    def after(self, n_iter: int, settled: bool, best: Best | None) -> SearchStage:
        """The next stage, after the iterations of this one and an update of the penalties."""
        next_round = FINAL_ROUND if settled or self.is_final else self.round + 1
        return SearchStage(self.n_iter + n_iter, self.n_runs + self.is_final, next_round, best)

    def last(self, n_iter: int) -> SearchStage:
        """A run to convergence, after which the penalties are not updated."""
        return SearchStage(self.n_iter + n_iter, MAX_FINAL_RUNS - 1, FINAL_ROUND)


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
    stopped. A search that can drop features ends at penalties that it has left if their evidence
    was clearly higher. With a relaxation there is one run to convergence.
    """
    default, model = model, start.model or model
    stage, start, n_done = _first_stage(start)
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
        if n_done and not _goes_on(start, run):  # the best penalties were those of other rows
            stage = stage._replace(best=None)
        if stage.is_last and stage.best is None:
            return run
        update = updated_penalties(search, default, model, blocks, run.params)
        settled = _has_settled(search, stage, model, update)
        best, last, n_done = stage.best, stage.last(n_in_stage), 0
        if stage.is_last or (stage.is_final and settled):
            if best is None or not best.is_better_than(update):
                return _without_best(run)
            model, start, stage = best.model, EMStart(best.params), last
            continue
        if search.drops_features:
            best = _better(best, Best(update.before, run.params, update.log_evidence))
        stage = stage.after(n_in_stage, settled, best)
        model, start = update.model, EMStart(project(update.model, run.params))
        if stage.is_final and search.relaxation != 1.0:
            if best is not None and best.is_better_than(update):
                model, start = best.model, EMStart(best.params)
            model, stage = _relaxed(search, model), last


def _first_stage(start: EMStart) -> tuple[SearchStage, EMStart, int]:
    """The stage of a start, where EM begins, and the iterations that the stage has already had."""
    state = start.resume_state
    if start.model is None or state is None or state.search_round is None:
        return SearchStage(len(start.lower_bounds)), EMStart(start.params), 0
    best = None if state.best is None else Best(*state.best)
    stage = SearchStage(state.n_earlier_iter, state.n_earlier_runs, state.search_round, best)
    return stage, start, len(state.lower_bounds)


def _goes_on(start: EMStart, run: EMResult) -> bool:
    """Whether a run continues the arithmetic of its start, which other rows do not."""
    old, new = start.resume_state, run.resume_state
    if old is None or new is None:
        return False
    return new.lower_bounds[: len(old.lower_bounds)] == old.lower_bounds


def _relaxed(search: EvidenceSearch, model: MixtureModel) -> MixtureModel:
    """The model with penalties of the slopes that are multiplied by the factor of the search."""
    parts = {}
    for name in ("gate", "experts"):
        if getattr(search, name).slopes:
            part = getattr(model, name)
            parts[name] = replace(part, alpha=scaled_penalty(part.alpha, search.relaxation))
    return model._replace(**parts)


def _without_best(run: EMResult) -> EMResult:
    """The result of a search that has ended, which needs no other penalties."""
    state = run.resume_state
    return run if state is None else run._replace(resume_state=state._replace(best=None))


def _better(best: Best | None, found: Best) -> Best:
    """The penalties with the higher evidence."""
    return found if best is None or found.log_evidence > best.log_evidence else best


def _has_settled(
    search: EvidenceSearch, stage: SearchStage, model: MixtureModel, update: Update
) -> bool:
    """Whether an update of the penalties has changed little."""
    least_factor = FINAL_FACTOR if stage.is_final else SETTLED_FACTOR
    settled = _largest_factor(search, model, update.model) < least_factor
    return settled or abs(update.gain) < search.tol


class Update(NamedTuple):
    """The model with penalties that fit the parameters better."""

    model: MixtureModel
    before: MixtureModel  # with the former penalties, for each feature if those found are
    gain: float  # of log evidence by the new penalties, per row
    log_evidence: float  # of the former penalties, per row and up to a constant


def updated_penalties(
    search: EvidenceSearch,
    default: MixtureModel,
    model: MixtureModel,
    blocks: Iterable[Dataset],
    params: Params,
) -> Update:
    """New penalties from the Hessians at the parameters, and the evidence of those before."""
    map_blocks = getattr(blocks, "map_blocks", map)
    total = e_step(model, blocks, params, with_hessian=True, map_blocks=map_blocks)
    before, parts, gain = {}, {}, 0.0
    log_evidence = total.log_likelihood - penalty(model, params)
    for i, name in enumerate(("gate", "experts")):
        of_part: PenaltySearch = getattr(search, name)
        if of_part:
            at = PartStatistics(params[i], total.statistics[i], total.hessians[i])
            found = _with_found(getattr(model, name), getattr(default, name), of_part, at)
            before[name], parts[name] = found.before, found.part
            gain, log_evidence = gain + found.gain, log_evidence + found.volume
    gain, log_evidence = gain / total.weight, log_evidence / total.weight
    return Update(model._replace(**parts), model._replace(**before), gain, log_evidence)


class PartStatistics(NamedTuple):
    """Parameters of gate or experts, and their statistics and Hessian there."""

    params: Any
    statistics: Any
    hessian: Any


class FoundPart(NamedTuple):
    """A part with new penalties."""

    part: Any
    before: Any  # with the former penalties, for each feature if those found are
    gain: float  # of log evidence
    volume: float  # of the posterior at the former penalties, in logs


def _with_found(part: Any, default: Any, search: PenaltySearch, at: PartStatistics) -> FoundPart:
    """The part with new penalties; those of `default` count as a few coefficients of the data."""
    slopes, found, gain, volume = part.penalised_slopes(*at), {}, 0.0, 0.0
    if search.slopes == "ard" and not isinstance(part.alpha, tuple):
        part = replace(part, alpha=(float(part.alpha),) * slopes.values.shape[-1])
    if search.slopes:
        found["alpha"] = found_penalty(search.slopes, part.alpha, slopes, default.alpha)
        gain += evidence_gain(part.alpha, found["alpha"], slopes)
        volume = posterior_volume(part.alpha, slopes)
    if search.dispersions:
        scales = _scales(part, slopes, at)
        prior, of_prior = _found_prior(part, default, scales)
        found, gain = found | prior, gain + of_prior
        volume += dispersion_volume(_prior(part), scales.rows, _prior(default))
    return FoundPart(replace(part, **found), part, gain, volume)


class ScaleStatistics(NamedTuple):
    """Scales of the experts that have one, or the one that they share, each (K, m)."""

    scale: Array
    rows: Array
    determined: Array  # number of slopes that the data determine


def _scales(experts: Any, slopes: Slopes, at: PartStatistics) -> ScaleStatistics:
    scale, rows = experts.scales(at.params, at.statistics)
    determined = n_determined_slopes(experts.alpha, slopes).reshape(rows.shape)
    has_scale = ~np.isnan(scale).any(axis=1)
    scale, rows, determined = scale[has_scale], rows[has_scale], determined[has_scale]
    if experts.shared_dispersion:
        scale = scale[:1]
        rows, determined = (values.sum(axis=0, keepdims=True) for values in (rows, determined))
    return ScaleStatistics(scale, rows, determined)


def _found_prior(
    experts: Any, default: Any, scales: ScaleStatistics
) -> tuple[dict[str, Any], float]:
    """Strength and scale of the prior of dispersions, and their gain of log evidence."""
    scale, rows, determined = scales
    if not rows.any():
        return {}, 0.0
    # A scale is the mode (squares + strength * center) / (rows + strength).
    strength, center = _prior(experts)
    squares = np.maximum((rows + strength) * scale - strength * center, 0.0)
    freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
    found = dispersion_prior(squares, freedom, _prior(default))
    gain = dispersion_gain((strength, center), found, squares, freedom, _prior(default))
    return {"dispersion_prior": found[0], "noise_variance": tuple(found[1].tolist())}, gain


def _prior(experts: Any) -> tuple[float, Array]:
    """Strength and scales (m,) of the prior of dispersions."""
    return experts.dispersion_prior, np.array(experts.noise_variance)


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
