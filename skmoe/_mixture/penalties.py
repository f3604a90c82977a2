"""Penalties of gate and experts that maximise the evidence, found within EM.

A few iterations of EM with given penalties alternate with an update of the penalties from the
Hessians at the current parameters [1]_ [2]_. When the penalties have settled, EM runs to
convergence with the last ones. Then they are checked once more, since parameters that EM has moved
far want other penalties. Between updates the penalised lower bound never falls.

Laplace's approximation of the evidence is poor where experts can separate the rows, such as those
of classes: their Hessian vanishes. There the penalties that were found are compared with default
ones by the densities of rows that are left out.

The Hessians are those of the expected complete-data log-likelihood, as in the variational treatment
of mixtures of experts [2]_: the evidence is that of the rows divided among the experts by their
responsibilities.

The search (`_search_penalties`) knows the criterion only as an `Update` of the penalties, and the
criterion (`updated_penalties`) knows a block of coefficients only as its `Slopes`. The hyperprior
of their penalty is in `common_penalty`, and that of the prior of scales in `dispersion_prior`.

References
----------
.. [1] D. J. C. MacKay (1992), "Bayesian interpolation", Neural Computation 4, 415-447.
.. [2] S. Waterhouse, D. MacKay and T. Robinson (1996), "Bayesian methods for mixtures of experts",
   Advances in Neural Information Processing Systems 8, 351-357.
.. [3] P. Craven and G. Wahba (1979), "Smoothing noisy data with spline functions", Numerische
   Mathematik 31, 377-403.
.. [4] H. Akaike (1969), "Fitting autoregressive models for prediction", Annals of the Institute of
   Statistical Mathematics 21, 243-247.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks, subset_units
from skmoe._mixture.em import (
    N_PLAIN_ITER,
    EMProblem,
    EMResult,
    EMStart,
    Monitor,
    OnIteration,
    run_em_of_problem,
)
from skmoe._mixture.model import MixtureModel, Params, Penalty, log_joint, posterior
from skmoe._mixture.starts import first_rounds_side_by_side, start_jobs
from skmoe._mixture.steps import EStepStatistics, e_step, project, total_penalty
from skmoe._numerics.dispersion_prior import dispersion_gain, dispersion_prior, dispersion_volume
from skmoe._numerics.evidence import (
    Slopes,
    common_penalty,
    evidence_gain,
    feature_penalties,
    n_determined_slopes,
    posterior_volume,
)
from skmoe._numerics.probability import summed_over_experts
from skmoe._numerics.typing import TINY, Alpha, Array
from skmoe.protocols import SupportsEvidence
from skmoe.protocols._capabilities import missing_methods

# Largest share of the rows in the sample of the initialisation for which penalties are sought there
# first. With a larger one the search on all rows is as fast alone.
MAX_SAMPLE_SHARE = 0.1

# Iterations of EM before each update of the penalties.
ITERATIONS_BETWEEN_UPDATES = (3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 10, 10)
FINAL_ROUND = len(ITERATIONS_BETWEEN_UPDATES)

# Penalties have settled if none has changed by more than this factor, or if the log evidence has
# changed by less than the tolerance of EM; the second factor is that after EM has converged. The
# log evidence can fall where the parameters of EM are far from their maximum.
SETTLED_FACTOR = 1.15
FINAL_FACTOR = 1.3

# Largest share of the rows that coefficients count as, in the residuals of new rows.
MAX_USED_SHARE = 0.8

# Least degrees of freedom of the residuals of an expert, as a fraction of its rows.
MIN_FREEDOM = 0.1

# Log evidence per row by which other penalties must be better for a return to them. Smaller
# differences are within the errors of Laplace's approximation where experts have few rows.
MIN_LOSS = 0.1

# Largest number of runs to convergence.
MAX_FINAL_RUNS = 3

# Folds of rows that are left out in turn, and starts and iterations of EM on the others.
N_FOLDS = 3
N_FOLD_STARTS = 4
N_FOLD_ITER = 30


# --- the search -------------------------------------------------------------------------------


def run_with_evidence(problem: EMProblem, start: EMStart, monitor: Monitor) -> EMResult:
    """EM to convergence with penalties that are found on the way, which the result has.

    The search begins with the penalties of a sample, if there is one, as few iterations on all rows
    are left then. If an observer stops it there, the result has its parameters and penalties, and
    no iteration is made on all rows.
    """
    sample = problem.init_data.rows
    is_small = sample.n_rows <= MAX_SAMPLE_SHARE * problem.rows.n_rows
    is_continued = start.model is not None or len(start.lower_bounds) > 0
    if is_small and not is_continued and not problem.model.experts.needs_all_rows:
        of_sample = problem._replace(rows=_with_own_weight(sample))
        run = _search_penalties(of_sample, start, monitor.on_sample)
        start = EMStart(run.params, model=run.model)
        if run.stopped:  # the lower bound is that of all rows
            found = problem._replace(model=run.model or problem.model)
            run = run_em_of_problem(found, EMStart(run.params), 0, monitor)
            return run._replace(stopped=True)
    run = _search_penalties(problem, start, monitor)
    in_memory = isinstance(problem.rows, Dataset) and not is_small
    is_common = all(penalty.search == "auto" for penalty in problem.penalties)
    if in_memory and is_common and problem.model.experts.can_separate:
        return _compared_with_default(problem, start.params, run, monitor)
    return run


def _with_own_weight(sample: Dataset) -> Dataset:
    """A sample whose rows have the weight of themselves, and not of the rows that are not drawn.

    Their sum is the effective number of rows (L. Kish, 1965, "Survey Sampling"), unless the sum of
    the given weights is smaller.
    """
    weight = sample.weight
    factor = min(float(weight.sum() / np.square(weight).sum()), 1.0)
    if sample.units is not None:
        return subset_units(sample, np.arange(len(sample.units.starts)), factor)
    return sample._replace(weight=factor * weight)


def _search_penalties(problem: EMProblem, start: EMStart, on_iteration: OnIteration) -> EMResult:
    """EM on the rows of the problem, in stages between which the penalties are updated.

    The model of the problem has the default penalties. The search begins at those of the model of
    the start, if it has one. All runs together, with the iterations of the start, make at most
    `max_iter` iterations. It ends early if a run is stopped. A search that can drop features ends
    at penalties that it has left if their evidence was clearly higher: the evidence can fall if
    needed ones are dropped.
    """
    model, n_done = start.model or problem.model, len(start.lower_bounds)
    start, search_round, n_runs = EMStart(start.params), 0, 0  # runs to convergence
    # Model, parameters and log evidence per row of the penalties with the highest so far.
    best: tuple[MixtureModel, Params, float] | None = None
    drops_features = any(penalty.search == "ard" for penalty in problem.penalties)
    while True:
        is_final = search_round >= FINAL_ROUND
        n_iter = problem.max_iter - n_done
        if not is_final:
            n_iter = min(n_iter, ITERATIONS_BETWEEN_UPDATES[search_round])
        stage = problem._replace(model=model, tol=problem.tol if is_final else 0.0)
        run = _run_stage(stage, start, n_iter, (n_done, is_final), on_iteration)
        n_done += len(run.lower_bounds)
        if run.stopped or run.line_search_failed or n_done >= problem.max_iter:
            return run
        is_last = is_final and n_runs + 1 >= MAX_FINAL_RUNS
        if is_last and best is None:
            return run
        blocks = split_into_blocks(problem.rows)
        total = e_step(model, blocks, run.params, with_hessian=True)
        update = updated_penalties(problem.penalties, problem.model, model, total, run.params)
        least_factor = FINAL_FACTOR if is_final else SETTLED_FACTOR
        settled = update.factor < least_factor or abs(update.gain) < problem.tol
        if is_last or (is_final and settled):
            if best is None or best[2] < update.log_evidence + MIN_LOSS:
                return run
            model, start, best = best[0], EMStart(best[1]), None
            n_runs = MAX_FINAL_RUNS - 1
            continue
        if drops_features and (best is None or update.log_evidence > best[2]):
            best = update.before, run.params, update.log_evidence
        n_runs += is_final
        search_round = FINAL_ROUND if settled or is_final else search_round + 1
        # The E-step does not depend on penalties, but features that are dropped move parameters.
        params, known = project(update.model, run.params), None if drops_features else total
        model, start = update.model, EMStart(params, total=known)


def _compared_with_default(
    problem: EMProblem, first: Params, run: EMResult, monitor: Monitor
) -> EMResult:
    """The run, or one with the default penalties if rows left out are more probable with them.

    That one begins at the first parameters of the search, so that it is the run of default
    penalties that are given.
    """
    if not run.converged or problem.model.experts.needs_all_rows:
        return run
    if _gain_on_rows_left_out(problem, run.model or problem.model) >= 0.0:
        return run
    n_done = run.n_earlier_iter + len(run.lower_bounds)
    start, n_left = EMStart(first), problem.max_iter - n_done
    other = _run_stage(problem, start, n_left, (n_done, True), monitor)
    return other if other.converged else run._replace(stopped=other.stopped)


def _gain_on_rows_left_out(problem: EMProblem, model: MixtureModel) -> float:
    """Gain of the log density of rows or units left out, by other penalties than the default ones.

    The others begin with starts of their own: the parameters of the fit know the rows left out,
    and the more so the smaller its penalties are.
    """
    data, gain = problem.on_sample().init_data, 0.0
    jobs = start_jobs(problem, "auto", np.random.SeedSequence(0).spawn(N_FOLD_STARTS))
    fold = np.random.default_rng(0).permutation(len(data.rows.gate_weight)) % N_FOLDS
    for i in range(N_FOLDS):
        others, left_out = (data.part(np.flatnonzero(is_in)) for is_in in (fold != i, fold == i))
        own = problem._replace(rows=others.rows, init_data=others)
        best = max(first_rounds_side_by_side(own, jobs), key=lambda start: start.lower_bound)
        for one, sign in ((model, 1.0), (problem.model, -1.0)):
            of_model, start = own._replace(model=one), EMStart(best.params)
            run = run_em_of_problem(of_model, start, N_FOLD_ITER, lambda *_: False)
            density = posterior(log_joint(one, run.params, left_out.rows)[1])[1]
            gain += sign * float(left_out.rows.gate_weight @ density)
    return gain


def _run_stage(
    problem: EMProblem,
    start: EMStart,
    n_iter: int,
    stage: tuple[int, bool],
    on_iteration: OnIteration,
) -> EMResult:
    """EM in a stage of the search: its earlier iterations, which count, and whether it converges.

    The iterations before an update of the penalties are not extrapolated.
    """
    n_earlier_iter, is_final = stage

    def observer(n: int, run: EMResult) -> bool:
        return on_iteration(n_earlier_iter + n, run._replace(n_earlier_iter=n_earlier_iter))

    n_plain_iter = N_PLAIN_ITER if is_final else max(ITERATIONS_BETWEEN_UPDATES)
    run = run_em_of_problem(problem, start, n_iter, observer, n_plain_iter, n_exact_iter=0)
    return run._replace(n_earlier_iter=n_earlier_iter)


def with_penalties_of(
    model: MixtureModel, previous: MixtureModel, penalties: Sequence[Penalty]
) -> MixtureModel:
    """The model with the penalties that a previous fit has found."""
    for name, fields, *_ in penalties:
        part, found = getattr(model, name), getattr(previous, name)
        known = {field: getattr(found, field) for field in fields if hasattr(found, field)}
        model = model._replace(**{name: part.with_options(known)})
    return model


# --- the criterion ----------------------------------------------------------------------------


class Update(NamedTuple):
    """The model with penalties that fit the parameters better."""

    model: MixtureModel
    before: MixtureModel  # with the former penalties, for each feature if those found are
    gain: float  # of log evidence by the new penalties, per row
    log_evidence: float  # of the former penalties, per row and up to a constant
    factor: float  # the largest by which a penalty has changed


def updated_penalties(
    penalties: Sequence[Penalty],
    default: MixtureModel,
    model: MixtureModel,
    total: EStepStatistics,
    params: Params,
) -> Update:
    """New penalties from an E-step with Hessians at the parameters, and the evidence before.

    The penalties of the default model count as a few coefficients of the data.
    """
    before, after, gain, largest = model, model, 0.0, 0.0
    log_evidence = total.log_likelihood - total_penalty(model, params)
    n_gate = 0.0
    for i, name in enumerate(("gate", "experts")):
        own = [penalty for penalty in penalties if penalty.part == name]
        part, of_default = getattr(model, name), getattr(default, name)
        found: dict[str, Any] = {}
        statistics = total.statistics[i]
        slopes = _slopes(part, params[i], statistics, total.hessians[i])
        if name == "gate" and "alpha" in slopes:
            n_gate = _n_determined(part.penalties["alpha"], slopes["alpha"])
        wanted = any("predictor_squares" in penalty.fields for penalty in own)
        # Without covariances the number of slopes that the data determine is not known.
        wanted = wanted and hasattr(part, "predictor_squares")
        if wanted and slopes["alpha"].covariances.ndim == 3:
            scales = part.scales(params[i], statistics)
            squares = _predictor_squares(part, slopes["alpha"], scales)
            found["predictor_squares"] = part.added_squares(params[i], squares)
        for penalty in own:
            if penalty.is_of_scales:
                scales = part.scales(params[i], statistics)
                update = _update_of_scales(part, of_default, slopes.get("alpha"), scales, n_gate)
            else:
                update = _update_of_slopes(part, of_default, slopes, penalty)
            part, found = part.with_options(update.before), found | update.after
            gain, log_evidence = gain + update.gain, log_evidence + update.volume
            for pair in zip(update.before.values(), update.after.values(), strict=True):
                logs = (np.log(np.maximum(value, TINY)) for value in pair)
                largest = max(largest, float(np.abs(np.subtract(*logs)).max(initial=0.0)))
        before = before._replace(**{name: part})
        after = after._replace(**{name: part.with_options(found)})
    weight = total.weight
    return Update(after, before, gain / weight, log_evidence / weight, float(np.exp(largest)))


def _slopes(part: Any, params: Any, statistics: Any, hessian: Any) -> dict[str, Slopes]:
    """The penalised slopes of a part by their penalties; none of estimators."""
    if missing_methods(part, SupportsEvidence):
        return {}
    slopes: dict[str, Slopes] = part.penalised_slopes(params, statistics, hessian)
    return slopes


def _n_determined(alpha: Alpha, slopes: Slopes) -> float:
    """Coefficients that the data determine: slopes, and the intercept of each system."""
    determined = n_determined_slopes(alpha, slopes)
    return float(determined.sum()) + len(determined)


class BlockUpdate(NamedTuple):
    """Another penalty of a block of coefficients, by the fields of the part."""

    before: dict[str, Any]  # one for each feature if those found are
    after: dict[str, Any]
    gain: float  # of log evidence
    volume: float  # of the posterior at the former penalty, in logs


def _update_of_slopes(
    part: Any, default: Any, slopes: dict[str, Slopes], penalty: Penalty
) -> BlockUpdate:
    """The penalty of a block of slopes: one number, or one for each feature."""
    field = penalty.fields[0]
    old, of_block = getattr(part, field), slopes[field]
    new: Alpha
    if penalty.search == "ard":
        if not isinstance(old, tuple):
            old = (float(old),) * of_block.values.shape[-1]
        new = feature_penalties(old, of_block)
    else:
        new = common_penalty(old, of_block, getattr(default, field))
    gain, volume = evidence_gain(old, new, of_block), posterior_volume(old, of_block)
    return BlockUpdate({field: old}, {field: new}, gain, volume)


def _update_of_scales(
    experts: Any, default: Any, slopes: Slopes | None, scales: Any, n_gate: float
) -> BlockUpdate:
    """Strength and scale of the prior of dispersions; experts without a scale have no part in it.

    `scales` and their rows are (K, m), from which `slopes` take degrees of freedom. Estimators have
    none: their residuals are those of rows left out. `n_gate` are coefficients of the gate.
    """
    squares, rows, determined = _sums_of_squares(experts, slopes, scales)
    has_scale = ~np.isnan(squares).any(axis=1)
    if experts.shared_dispersion:
        has_scale &= np.arange(len(rows)) == 0
    n_used = n_gate + (0.0 if slopes is None else (determined + 1.0)[has_scale].sum(axis=0))
    squares, rows, determined = (a[has_scale] for a in (squares, rows, determined))
    (strength, center), prior = (
        (part.dispersion_prior, np.array(part.noise_variance)) for part in (experts, default)
    )
    volume = dispersion_volume((strength, center), rows, prior)
    before = {"dispersion_prior": strength, "noise_variance": experts.noise_variance}
    if not rows.any():
        return BlockUpdate(before, before, 0.0, volume)
    freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
    found, scale = dispersion_prior(squares, freedom, prior)
    scale = _scale_of_new_rows(scale, n_used / rows.sum(axis=0), prior[1])
    gain = dispersion_gain((strength, center), (found, scale), squares, freedom, prior)
    after = {"dispersion_prior": found, "noise_variance": tuple(scale.tolist())}
    return BlockUpdate(before, after, gain, volume)


def _scale_of_new_rows(scale: Array, used: Array, of_one_model: Array) -> Array:
    """Scales of the prior, (m,), that residuals of new rows would give.

    With p coefficients for n rows, residuals of new rows are (n + p) / (n - p) times those of the
    fit, by Akaike's final prediction error [4]_; `used` is p / n. They are at most those of one
    model of all rows, which are known from rows left out. The smaller they are beside these, the
    less of the difference is explained by experts that choose rows which suit them, and the less is
    added. So the residuals of clearly separate regimes stay as they are.
    """
    share = np.minimum(used, MAX_USED_SHARE)
    factor = (1.0 + share) / (1.0 - share)
    of_new_rows = scale * factor ** np.minimum(scale * factor / np.maximum(of_one_model, TINY), 1.0)
    return np.maximum(np.minimum(of_new_rows, of_one_model), scale)


def _sums_of_squares(experts: Any, slopes: Slopes | None, scales: Any) -> tuple[Array, ...]:
    """Squares of the residuals, their number, and slopes that the data determine, (K, m).

    They are sums over the experts where these share a scale.
    """
    scale, rows = scales
    strength, center = experts.dispersion_prior, np.array(experts.noise_variance)
    determined = np.zeros(rows.shape)
    if slopes is not None:
        determined = n_determined_slopes(experts.alpha, slopes).reshape(rows.shape)
    if experts.shared_dispersion:
        rows, determined = map(summed_over_experts, (rows, determined))
    # A scale is the mode (squares + strength * center) / (rows + strength).
    squares = np.maximum((rows + strength) * scale - strength * center, 0.0)
    return squares, rows, determined


def _predictor_squares(experts: Any, slopes: Slopes, scales: Any) -> Array:
    """Squares that the uncertainty of the slopes adds to those of the residuals.

    With S squares of n rows, of which the slopes and the intercept take g, the variance of the
    noise is near S / n, as S has the penalty of the slopes. About the fitted mean that of a new row
    is S / (n - g), by generalised cross-validation [3]_.
    """
    squares, rows, determined = _sums_of_squares(experts, slopes, scales)
    freedom = np.maximum(1.0 - (determined + 1.0) / np.maximum(rows, TINY), MIN_FREEDOM)
    return np.nan_to_num(squares * (1.0 / freedom - 1.0))  # nothing without a scale
