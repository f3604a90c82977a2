"""The end of a fit: from where EM has stopped to the maximum of the penalised likelihood.

EM is slow where regimes overlap: a small gain in an iteration does not mean that the maximum is
near. Newton's method with the observed information takes a few steps there [1]_. The length of its
step, in standard errors, is the distance of the estimates from the maximum.

References
----------
.. [1] M. Jamshidian and R. I. Jennrich (1997), "Acceleration of the EM algorithm by using
   quasi-Newton methods", Journal of the Royal Statistical Society B 59, 569-587.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import split_into_blocks
from skmoe._mixture.em import (
    LOWER_BOUND_RTOL,
    EMProblem,
    EMResult,
    OnIteration,
    run_em_of_problem,
)
from skmoe._mixture.information import (
    Information,
    Layout,
    coordinates_at_bound,
    dropped_coordinates,
    n_gate_coordinates,
    observed_information,
    signed_coordinates,
)
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.steps import lower_bound_at, project
from skmoe._numerics.signed_steps import is_held, signed_step
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import SupportsGateInference, SupportsInference, has_capability

# Estimates are at the maximum if Newton's step is at most this long, in standard errors. Steps go
# on until they change no digit that is printed, or the lower bound by no more than round-off.
MAX_SHIFT = 0.01
NEGLIGIBLE_SHIFT = 1e-6
LOWER_BOUND_ROUND_OFF = 1e-15  # of lower bounds per row, relative

# A quadratic log-likelihood that is lower by this than its maximum is MAX_SHIFT away.
MAX_GAP = 0.5 * MAX_SHIFT**2

# The squared shift of a step, times this, is more than what Newton's method leaves after it.
CURVATURE = 100.0

# Most steps in a row, shortest fraction of a step, and iterations of EM before the next attempt.
MAX_STEPS_IN_A_ROW = 10
MIN_FRACTION = 1.0 / 64.0
EM_ITERATIONS_BETWEEN = 25

# Most coordinates, and multiplications for an information matrix, of fits with Newton steps.
MAX_COORDINATES = 600
MAX_MULTIPLICATIONS = 1e11

# Directions in which the scaled information is below this fraction of its largest eigenvalue, and
# coordinates with less information than this for each row, stay as they are.
EIGENVALUE_TOL = 1e-10

# Change of a coordinate in the central differences of the penalties.
PENALTY_STEP = 1e-5


class NewtonStep(NamedTuple):
    """A step towards the maximum."""

    change: Array  # of the coordinates, (D,)
    shift: float  # its length in standard errors, an upper bound of that of each estimate
    information: Information


def end_at_maximum(problem: EMProblem, run: EMResult, on_iteration: OnIteration) -> EMResult:
    """Continue a run that EM has ended to the maximum, by Newton's method.

    Where Newton's steps do not lead upward, some iterations of EM come before the next attempt.
    Models without second derivatives, or with too many coordinates, go on with EM until the gain
    that it predicts is that of `MAX_SHIFT`. Estimators as experts, which have no standard errors,
    and tables of so many rows that an information matrix takes too long, end where EM has ended.
    """
    experts = problem.model.experts
    if run.line_search_failed or not problem.ends_at_maximum or experts.needs_all_rows:
        return run
    size, n_multiplications = _costs(problem, run.params)
    if n_multiplications > MAX_MULTIPLICATIONS:
        return run
    if size > MAX_COORDINATES:
        gap = min(problem.tol, MAX_GAP / problem.rows_in_memory.weight.sum())
        return _em(problem, run, max(_n_iter_left(problem, run), 0), gap, on_iteration)
    while run.converged or _n_iter_left(problem, run) > 0:
        run = _newton_steps(problem, run, on_iteration)
        n_left = _n_iter_left(problem, run)
        if run.converged or run.stopped or n_left <= 0:
            return run
        before = run.lower_bound
        run = _em(problem, run, min(EM_ITERATIONS_BETWEEN, n_left), 0.0, on_iteration)
        if run.stopped:
            return run._replace(converged=False)
        is_fixed = run.lower_bound - before <= LOWER_BOUND_RTOL["float64"] * (1.0 + abs(before))
        if is_fixed:  # no step leads upward
            return run._replace(converged=True)
    return run


def _n_iter_left(problem: EMProblem, run: EMResult) -> int:
    return problem.max_iter - run.n_earlier_iter - len(run.lower_bounds)


def _em(
    problem: EMProblem, run: EMResult, n_iter: int, tol: float, on_iteration: OnIteration
) -> EMResult:
    """More iterations of EM, which are extrapolated from the first one on."""
    strict = problem._replace(model=run.model or problem.model, tol=tol)
    more = run_em_of_problem(
        strict, run.continuation, n_iter, on_iteration, n_plain_iter=0, n_exact_iter=0
    )
    return more._replace(n_earlier_iter=run.n_earlier_iter)


def _costs(problem: EMProblem, params: Params) -> tuple[float, float]:
    """Coordinates, and multiplications for an information matrix.

    Models without second derivatives have infinitely many coordinates.
    """
    model, rows = problem.model, problem.rows
    experts: Any = model.experts
    gate: Any = model.gate
    if not has_capability(experts, SupportsInference):
        return np.inf, 0.0
    if not has_capability(gate, SupportsGateInference):
        return np.inf, 0.0
    gate_size = n_gate_coordinates(model, params, rows.n_gate_columns)
    if gate.moved(params.gate, np.zeros(gate_size)) is None:
        return np.inf, 0.0
    expert_size = experts.coordinate_holders(params.experts).shape[1]
    size = model.n_experts * expert_size + gate_size
    return size, model.n_experts * rows.n_rows * float(expert_size + gate_size) ** 2


def _newton_steps(problem: EMProblem, run: EMResult, on_iteration: OnIteration) -> EMResult:
    """Newton's steps that increase the lower bound, and whether the run has converged then."""
    model, rows = run.model or problem.model, problem.rows
    converged = False
    for _ in range(MAX_STEPS_IN_A_ROW):
        step = newton_step(model, run.params, rows)
        converged = step.shift <= MAX_SHIFT
        round_off = LOWER_BOUND_ROUND_OFF * (1.0 + abs(run.lower_bound))
        negligible = np.sqrt(2.0 * round_off * step.information.expert_weight.sum())
        negligible = np.clip(negligible, NEGLIGIBLE_SHIFT, MAX_SHIFT)
        if step.shift <= negligible or _n_iter_left(problem, run) <= 0:
            break
        ahead, fraction = _line_search(model, run, rows, step)
        if ahead is None:
            break
        run = ahead
        if on_iteration(run.n_earlier_iter + len(run.lower_bounds), run):
            return run._replace(converged=converged, stopped=True)
        if fraction == 1.0 and CURVATURE * step.shift**2 <= negligible:
            break
    return run._replace(converged=converged)


def _line_search(
    model: MixtureModel, run: EMResult, rows: Any, step: NewtonStep
) -> tuple[EMResult | None, float]:
    """The run after the longest fraction of a step that increases the lower bound, and this."""
    blocks, fraction = split_into_blocks(rows), 1.0
    while fraction >= MIN_FRACTION:
        ahead = moved(model, run.params, fraction * step.change, step.information)
        ahead = project(model, ahead)
        reached = lower_bound_at(model, ahead, blocks)
        if reached > run.lower_bound:
            return run.moved_to(ahead, reached), fraction
        fraction /= 2.0
    return None, 0.0


def newton_step(model: MixtureModel, params: Params, rows: Any, *scores: Any) -> NewtonStep:
    """Newton's step from given parameters, which leads upward also where there is no maximum.

    `scores` are the arguments of `observed_information` for those of rows or clusters.
    """
    information = observed_information(model, params, rows, *scores)
    gradient = information.gradient - _penalty_gradient(model, params, information)
    fixed = coordinates_at_bound(model, params, information)
    has_signs = bool(model.experts.signs)
    if has_signs:
        values, signs = signed_coordinates(model, params, information)
        # Slopes of zero whose gradient leads to the side of their sign are released.
        fixed &= ~(is_held(values, signs) & (signs * gradient > 0.0))
    fixed |= dropped_coordinates(model, params, information)
    # Slopes of constant features are zero, and remain so.
    fixed |= (gradient == 0.0) & (np.count_nonzero(information.observed, axis=0) < 2)
    free, change = ~fixed, np.zeros(len(gradient))
    observed, gradient = information.observed[np.ix_(free, free)], gradient[free]
    if not len(gradient):
        return NewtonStep(change, 0.0, information)
    least = max(EIGENVALUE_TOL * information.expert_weight.sum(), TINY)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    eigenvalues, vectors = np.linalg.eigh(observed * unit[:, None] * unit)
    size = np.abs(eigenvalues)
    known = size > EIGENVALUE_TOL * size.max()
    along = vectors[:, known].T @ (gradient * unit)
    change[free] = unit * (vectors[:, known] @ (along / size[known]))
    shift = float(np.sqrt((np.square(along) / size[known]).sum()))
    if has_signs and (signs * (values + change) < 0.0).any():
        known_vectors = vectors[:, known] / unit[:, None]
        matrix = (known_vectors * size[known]) @ known_vectors.T
        gradient = known_vectors @ along
        change[free] = signed_step(matrix, gradient, values[free], signs[free])
        shift = float(np.sqrt(change[free] @ gradient))
    return NewtonStep(change, shift, information)


def moved(
    model: MixtureModel, params: Params, change: Array, layout: Information | Layout
) -> Params:
    """Parameters after a change (D,) of the coordinates."""
    of_experts = change[layout.expert_index]
    return Params(
        model.gate.moved(params.gate, change[layout.gate_index]),
        model.experts.moved(params.experts, of_experts),
    )


def _penalty_gradient(model: MixtureModel, params: Params, information: Information) -> Array:
    """Gradient of the penalties in the coordinates, by central differences of each part."""
    gradient = np.zeros(len(information.gradient))
    indices = information.gate_index, information.expert_index
    for part, own, index in zip((model.gate, model.experts), params, indices, strict=True):
        for j in np.unique(index):
            change = PENALTY_STEP * (index == j)
            ahead, behind = (part.penalty(part.moved(own, sign * change)) for sign in (1.0, -1.0))
            gradient[j] = (ahead - behind) / (2.0 * PENALTY_STEP)
    return gradient
