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

from skmoe._mixture.em import Objective, Observer, Pace, Run, em
from skmoe._mixture.information import Information, observed_information
from skmoe._mixture.mixture import Mixture
from skmoe._numerics.signed_steps import signed_step
from skmoe._numerics.typing import TINY, Array

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

# Most coefficients, and multiplications for an information matrix, of fits with Newton steps.
MAX_COEFFICIENTS = 600
MAX_MULTIPLICATIONS = 1e11

# Directions in which the scaled information is below this fraction of its largest eigenvalue, and
# coefficients with less information than this for each row, stay as they are.
EIGENVALUE_TOL = 1e-10


class NewtonStep(NamedTuple):
    """A step towards the maximum."""

    change: Array  # of the coefficients, (D,)
    shift: float  # its length in standard errors, an upper bound of that of each estimate
    information: Information


def end_at_maximum(
    objective: Objective, run: Run, max_iter: int, tol: float, observer: Observer | None = None
) -> Run:
    """Continue a run that EM has ended to the maximum, by Newton's method.

    Where Newton's steps do not lead upward, some iterations of EM come before the next attempt.
    Models without second derivatives, or with too many coefficients, go on with EM until the gain
    that it predicts is that of `MAX_SHIFT`. Estimators as experts, which have no standard errors,
    and tables of so many rows that an information matrix takes too long, end where EM has ended.
    """
    mixture = objective.mixture
    if run.failed or mixture.experts.needs_all_rows:
        return run
    size, n_rows = mixture.size, objective.n_rows
    has_derivatives = mixture.experts.has_derivatives and mixture.gate.has_derivatives
    if has_derivatives and n_rows * float(size) ** 2 > MAX_MULTIPLICATIONS:
        return run
    if size > MAX_COEFFICIENTS or not has_derivatives:
        n_left = max(max_iter - run.n_iter, 0)
        return _more(objective, run, n_left, min(tol, MAX_GAP / n_rows), observer)
    while run.converged or run.n_iter < max_iter:
        run = _newton_steps(objective, run, max_iter, observer)
        n_left = max_iter - run.n_iter
        if run.converged or run.stopped or n_left <= 0:
            return run
        before = run.lower_bound
        run = _more(objective, run, min(EM_ITERATIONS_BETWEEN, n_left), 0.0, observer)
        if run.stopped:
            return run._replace(converged=False)
        if run.lower_bound - before <= objective.rtol * (1.0 + abs(before)):
            return run._replace(converged=True)  # no step leads upward
    return run


def _more(
    objective: Objective, run: Run, n_iter: int, tol: float, observer: Observer | None
) -> Run:
    """More iterations of EM, which are extrapolated from the first one on."""
    return em(objective, run, n_iter, tol, observer, Pace(n_plain=0))


def _newton_steps(objective: Objective, run: Run, max_iter: int, observer: Observer | None) -> Run:
    """Newton's steps that increase the lower bound, and whether the run has converged then."""
    converged = False
    for _ in range(MAX_STEPS_IN_A_ROW):
        step = newton_step(objective.mixture, run.theta, objective.blocks)
        converged = step.shift <= MAX_SHIFT
        round_off = LOWER_BOUND_ROUND_OFF * (1.0 + abs(run.lower_bound))
        negligible = np.sqrt(2.0 * round_off * step.information.expert_weight.sum())
        negligible = np.clip(negligible, NEGLIGIBLE_SHIFT, MAX_SHIFT)
        if step.shift <= negligible or run.n_iter >= max_iter:
            break
        ahead, fraction = _line_search(objective, run, step)
        if ahead is None:
            break
        run = ahead
        stopped = observer is not None and observer(run.n_iter, run)
        if stopped:
            return run._replace(stopped=True, converged=converged)
        # Where a whole step is short, what it leaves is shorter than its square.
        if fraction == 1.0 and CURVATURE * step.shift**2 <= negligible:
            converged = True
            break
    return run._replace(converged=converged)


def _line_search(objective: Objective, run: Run, step: NewtonStep) -> tuple[Run | None, float]:
    """The run after the longest of halved steps that increases the lower bound, if there is one."""
    fraction, mixture = 1.0, objective.mixture
    while fraction >= MIN_FRACTION:
        theta = mixture.bounded((run.theta + fraction * step.change)[None])
        reached = objective.lower_bound(theta)
        if reached > run.lower_bound:
            return run._replace(theta=theta[0], lower_bounds=[*run.lower_bounds, reached]), fraction
        fraction /= 2.0
    return None, 0.0


def newton_step(mixture: Mixture, theta: Array, blocks: Any, *scores: Any) -> NewtonStep:
    """Newton's step from coefficients (D,), which leads upward also where there is no maximum.

    `scores` are the arguments of `observed_information` for those of rows or clusters.
    """
    information = observed_information(mixture, theta, blocks, *scores)
    gradient = information.gradient - mixture.penalty_gradient(theta)
    # Those whose gradient leads to the side of their sign are released.
    inward = mixture.signs * gradient > 0.0
    fixed = mixture.at_bound(theta) & ~inward | mixture.prior.dropped
    # Slopes of constant features are zero, and remain so.
    fixed |= (gradient == 0.0) & (np.count_nonzero(information.observed, axis=0) < 2)
    observed, slope, first = information.observed, gradient, mixture.first
    if not mixture.is_plain:
        observed, slope = mixture.reduced_matrix(observed), mixture.reduced(slope)
    kept = ~fixed[first]
    change = np.zeros(len(first))
    if not kept.any():
        return NewtonStep(np.zeros(mixture.size), 0.0, information)
    observed, slope = observed[np.ix_(kept, kept)], slope[kept]
    least = max(EIGENVALUE_TOL * information.expert_weight.sum(), TINY)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    eigenvalues, vectors = np.linalg.eigh(observed * unit[:, None] * unit)
    size = np.abs(eigenvalues)
    known = size > EIGENVALUE_TOL * size.max()
    along = vectors[:, known].T @ (slope * unit)
    change[kept] = unit * (vectors[:, known] @ (along / size[known]))
    shift = float(np.sqrt((np.square(along) / size[known]).sum()))
    signs, values = mixture.signs[first], theta[first]
    if mixture.has_signs and (signs * (values + change) < 0.0).any():
        known_vectors = vectors[:, known] / unit[:, None]
        matrix = (known_vectors * size[known]) @ known_vectors.T
        slope = known_vectors @ along
        change[kept] = signed_step(matrix, slope, values[kept], signs[kept])
        shift = float(np.sqrt(max(change[kept] @ slope, 0.0)))
    change = change if mixture.is_plain else mixture.expanded(change)
    return NewtonStep(change, shift, information)
