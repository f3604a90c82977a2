"""EM: steps that never lower the penalised log-likelihood per row, from one vector or several.

References
----------
.. [1] A. P. Dempster, N. M. Laird and D. B. Rubin (1977), "Maximum likelihood from incomplete data
   via the EM algorithm", Journal of the Royal Statistical Society B 39, 1-38.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.mixture import (
    CONSTANT,
    EStep,
    Group,
    ImplicitCurvature,
    Inverse,
    Mixture,
    invert,
)
from skmoe._numerics.linalg import one_thread
from skmoe._numerics.signed_steps import signed_step, step_within
from skmoe._numerics.typing import TINY, Array

# First iterations with curvatures of their own, and iterations for which others are used later.
N_FRESH_ITER, REFRESH = 3, 8

# Iterations without extrapolation.
N_PLAIN_ITER = 5

# Attempts to find a step that does not lower the bound; the last one has the length zero.
MAX_HALVINGS = 12

# Most attempts for each of the steps to given responsibilities.
ATTEMPTS_PER_STEP = 3

# Tolerance of comparisons of lower bounds, in units of one plus their size, by the precision of the
# features.
RTOL = {"float64": 1e-11, "float32": 1e-8}

# Largest extrapolation, which grows while extrapolations succeed.
INITIAL_STEP_MAX, STEP_MAX_FACTOR = 16.0, 4.0

# Iterations between the lower bounds of Aitken's estimate.
AITKEN_STRIDE = 6


# Factors of steps of fits that leave rows out, in turn: whole steps after longer ones, which lead
# far along directions in which EM is slow. Iterations of these fits, those of one expert first.
OVERRELAXED = (1.0, 2.0, 1.0, 6.0)
N_ITER_WITHOUT_ROWS = (4, 16)

# Largest change of a log dispersion in one step.
MAX_DISPERSION_STEP = 2.0


# Smallest factor of a scale in one step.
MIN_SCALE_FACTOR = 1e-6


class Curvatures(NamedTuple):
    """Curvatures of the groups, their penalised inverses, and those of users' parts."""

    matrices: Any
    inverses: list[Inverse]  # of experts that share coefficients one matrix, the first
    own: list[Any]


def inverted(mixture: Any, theta: Array, total: Any) -> Curvatures:
    """The curvatures of sums over rows, with the inverses that steps need."""
    prior, found, curvature = mixture.prior, [], total.curvature
    # That of a scale at the mode of its prior.
    diagonal = prior.absolute(theta) + 0.5 * prior.strength
    diagonal = np.broadcast_to(diagonal, theta.shape) if diagonal.ndim < 2 else diagonal
    pairs = list(zip(mixture.groups, curvature, strict=True))
    if mixture.is_tied:
        size = mixture.experts.size
        joint = np.zeros((len(theta), mixture.size, mixture.size))
        for group, matrices in pairs:
            if group not in mixture.gate_groups:
                for own, of_part in zip(group.coordinates, matrices, strict=True):
                    joint[:, own[:, None], own] = of_part
        n_own = len(mixture.experts.first)
        matrix = mixture.reduced_matrix(joint)[:, :n_own, :n_own]
        of_prior = np.where(np.arange(mixture.size) < size, diagonal, 0.0)
        found.append(invert(matrix[None], mixture.reduced(of_prior)[None, :, :n_own]))
        pairs = [pair for pair in pairs if pair[0] in mixture.gate_groups]
    for group, matrices in pairs:
        own = diagonal.take(group.coordinates, axis=1).swapaxes(0, 1)
        is_joint = bool(prior.joint) and group not in mixture.gate_groups
        if is_joint and not isinstance(matrices, ImplicitCurvature):
            # Slopes of several outputs are not independent in the prior.
            matrices, means = matrices.copy(), group.means
            matrices[..., means, means] += prior.of_means(theta).swapaxes(0, 1)
            own = np.where(np.arange(own.shape[-1]) < means.stop, 0.0, own)
        found.append(invert(matrices, own))
    own_sums = zip(mixture.own, total.own, strict=True)
    of_users = [part.invert(theta[:, at], sums.curvature) for (part, at), sums in own_sums]
    return Curvatures(curvature, found, of_users)


def direction(
    mixture: Any, theta: Array, total: Any, curvature: Curvatures, *, quadratic: bool = False
) -> Array:
    """A step of Fisher scoring (S, D) from coefficients (S, D), which leads upward.

    The curvatures may be those of earlier coefficients. Scales are set to their maximum, unless the
    sums are those of a quadratic function.
    """
    matrices, inverses, of_users = curvature
    gradient = total.gradient - mixture.prior.derivatives(theta)[0]
    change, groups, of_experts = np.zeros_like(theta), mixture.groups, mixture.experts.groups
    if mixture.is_tied:
        n_own, reduced = len(mixture.experts.first), np.zeros((len(theta), len(mixture.first)))
        slopes = [group.coordinates[:, group.means].ravel() for group in of_experts]
        dispersions = np.flatnonzero(~np.isin(mixture.first[:n_own], np.concatenate(slopes)))
        own, index = mixture.reduced(gradient)[None, :, :n_own], mixture.first[None, :n_own]
        step = inverses[0].solve(own)
        if mixture.has_signs:
            step = _with_signs(mixture, step, inverses[0], own, index, theta)
        _hold_dispersions(step, index, dispersions, inverses[0], mixture, theta)
        reduced[:, :n_own] = step[0]
        change = mixture.expanded(reduced)
        pairs = zip(of_experts, matrices, strict=False)
        lengths = [_lengths(change[:, g.coordinates].swapaxes(0, 1), g, m) for g, m in pairs]
        change /= np.max([length.max(axis=0) for length in lengths], axis=0)[:, None]
        groups, matrices = groups[len(of_experts) :], matrices[len(of_experts) :]
        inverses = inverses[1:]
    for group, matrix, inverse in zip(groups, matrices, inverses, strict=True):
        index = group.coordinates
        if group in mixture.gate_groups and CONSTANT in group.roles:
            change[:, index] = _of_constant_gate(mixture, group, theta, total)
            continue
        own = gradient.take(index, axis=1).swapaxes(0, 1)
        # Whether the last predictor is the log of a scale, which is independent of the means.
        is_scale = group.family.has_scale and group.roles[group.means.stop > 0 :] == (CONSTANT,)
        is_scale = is_scale and not quadratic and inverse.inverse is not None
        is_scale = is_scale and not np.any(inverse.matrix[..., -1, :-1])
        step = inverse.solve(own)
        if mixture.has_signs:
            step = _with_signs(mixture, step, inverse, own, index, theta)
        if is_scale:
            _set_scale(step, own, group, inverse, matrix)
        else:
            dispersions = np.arange(group.means.stop, index.shape[1])
            if len(dispersions):
                _hold_dispersions(step, index, dispersions, inverse, mixture, theta)
            if len(dispersions) or group.family.max_step < np.inf:
                step = step / _lengths(step, group, matrix)[..., None]
        if group.limits is not None and inverse.inverse is not None:
            _keep_within_rows(step, inverse.inverse, *group.room_of_rows(theta))
        change[:, index] = step.swapaxes(0, 1)
    for (part, where), sums, of_part in zip(mixture.own, total.own, of_users, strict=True):
        change[:, where] = part.direction(theta[:, where], sums, of_part)
    return change


def _with_signs(
    mixture: Any, step: Array, inverse: Inverse, gradient: Array, index: Array, theta: Array
) -> Array:
    """Steps (m, S, q) of m systems with coordinates (m, q), which keep signs."""
    own = theta[:, index].swapaxes(0, 1)
    signs = mixture.signs[index]
    beyond = (signs[:, None] * (own + step) < 0.0).any(axis=-1)
    for m, s in zip(*np.nonzero(beyond), strict=True):
        matrix = inverse.matrix[m, s]
        step[m, s] = signed_step(matrix, gradient[m, s], own[m, s], signs[m])
    return step


def _hold_dispersions(
    step: Array, index: Array, which: Array, inverse: Inverse, mixture: Mixture, theta: Array
) -> None:
    """Log dispersions in steps (P, S, q) stay at their bounds, and move by no more than a maximum.

    Their positions among the coordinates (P, q) are given. The other coefficients have the best
    step beside these. If the whole step were shortened, what is left to them would depend on how
    far the dispersions lead: the threshold of a class without rows can go on for ever.
    """
    own, wanted = theta[:, index[:, which]].swapaxes(0, 1), step[..., which]
    lower, upper = (bound[index[:, which]][:, None] for bound in (mixture.lower, mixture.upper))
    held = wanted.clip(-MAX_DISPERSION_STEP, MAX_DISPERSION_STEP)
    held[((own <= lower) & (wanted < 0.0)) | ((own >= upper) & (wanted > 0.0))] = 0.0
    for at in zip(*np.nonzero((held != wanted).any(axis=-1)), strict=True):
        [changed] = np.nonzero(held[at] != wanted[at])
        values, changed = held[at][changed], which[changed]
        if inverse.inverse is not None:
            columns = inverse.inverse[at][:, changed]
            excess = step[at][changed] - values
            step[at] -= columns @ np.linalg.lstsq(columns[changed], excess, rcond=None)[0]
        step[at][changed] = values


def _keep_within_rows(step: Array, inverse: Array, normals: Array, room: Array) -> None:
    """Bounds steps (P, S, q) such that log dispersions of rows stay within their room."""
    for at in zip(*np.nonzero((step @ normals.T > room).any(axis=-1)), strict=True):
        step[at] = step_within(step[at], inverse[at], normals, room[at])


def _of_constant_gate(mixture: Any, group: Group, theta: Array, total: Any) -> Array:
    """The whole step of constant probabilities to their maximum, (S, P, K - 1)."""
    own = theta[:, group.coordinates]
    contrasts = group.family.contrasts
    proba = np.exp(group.family.log_probs(own.transpose(2, 1, 0)))  # (K, P, S)
    # The gradient has the differences of observed and expected counts.
    gradient = total.gradient[:, group.coordinates].transpose(2, 1, 0)
    counts = total.gate_counts[mixture.gate_groups.index(group)] * proba
    counts = counts + np.tensordot(contrasts, gradient, 1)
    logs = np.log(np.maximum(counts, TINY))
    # Equal counts have equal probabilities without round-off, so that ties are ties.
    return np.asarray(
        np.tensordot(contrasts.T, logs - logs.max(axis=0), 1).transpose(2, 1, 0) - own
    )


def _set_scale(
    step: Array, gradient: Array, group: Group, inverse: Inverse, curvature: Any
) -> None:
    """The log scale in steps (P, S, q) is set to its maximum after that of the mean.

    Where the log-likelihood of a log scale s is A exp(-s) / 2 + B s / 2, as that of normal noise,
    this is the whole step to its maximum. The gain by the mean lowers A; of a step that is too long
    only a part is made.
    """
    own, means = group.slices[-1].start, group.means
    gain = (step[..., means] * gradient[..., means]).sum(axis=-1)
    slope = gradient[..., own]
    if group.family.max_step == np.inf:  # the gain is that of a quadratic function
        gain *= 0.5
    else:
        part = 1.0 / _lengths(step, group, curvature, only_means=True)
        gain *= part * (1.0 - 0.5 * part)
        gain = np.where(slope > 0.0, np.minimum(gain, slope), gain)
        step[..., means] *= part[..., None]
    rows = np.maximum(inverse.matrix[..., own, own], TINY)
    relative = np.maximum(1.0 + (slope - gain) / rows, MIN_SCALE_FACTOR)
    step[..., own] = np.log(relative)


def _lengths(change: Array, group: Group, curvature: Any, *, only_means: bool = False) -> Array:
    """Factors (P, S) by which steps (P, S, q) are too long, at least one.

    Means change by their largest root mean square, and log dispersions by theirs.
    """
    means, family = group.means, group.family
    lengths = np.ones(change.shape[:2])
    if means.stop > 0 and family.max_step < np.inf:
        of_means = np.zeros_like(change)
        of_means[..., means] = change[..., means]
        if isinstance(curvature, ImplicitCurvature):
            square, rows = curvature.quadratic(of_means), curvature.diagonal()[..., means.stop - 1]
        else:
            square = np.einsum("psi,psij,psj->ps", of_means, curvature, of_means)
            rows = curvature[..., means.stop - 1, means.stop - 1]
        root = np.sqrt(np.maximum(square, 0.0)) / np.sqrt(np.maximum(rows, TINY))
        lengths = np.maximum(lengths, root / family.max_step)
    if means.stop < change.shape[-1] and not only_means:
        longest = np.abs(change[..., means.stop :]).max(axis=-1)
        lengths = np.maximum(lengths, longest / MAX_DISPERSION_STEP)
    return lengths


class State(NamedTuple):
    """Vectors (S, D), their lower bounds, and the sums there."""

    theta: Array
    lower_bound: Array  # per row, (S,)
    total: EStep
    curvature: Any  # of experts and gate, with its inverse
    age: int  # E-steps since the curvature was computed
    mixture: Mixture


class Run(NamedTuple):
    """The end of a run of EM."""

    theta: Array  # (D,)
    lower_bounds: list[float]  # after each iteration
    converged: bool = False
    failed: bool = False  # no step, not even of length zero, kept the bound from falling
    stopped: bool = False  # by an observer
    mixture: Any = None  # with the penalties of the run
    n_earlier: int = 0  # iterations with other penalties
    total: Any = None  # sums over the rows where a run begins, with curvatures, if they are known

    @property
    def n_iter(self) -> int:
        """Number of iterations, with those with other penalties."""
        return self.n_earlier + len(self.lower_bounds)

    @property
    def lower_bound(self) -> float:
        """The last lower bound."""
        return self.lower_bounds[-1]


class Objective(NamedTuple):
    """The penalised log-likelihood per row: mixture, blocks of rows, and prior."""

    mixture: Mixture
    blocks: Any
    map_blocks: Any = None
    rtol: float = RTOL["float64"]
    n_rows: int = 0
    # Called after each iteration of a run with its number and the run; True stops it.
    observer: Any = None

    def at(
        self,
        theta: Array,
        known: State | None = None,
        total: EStep | None = None,
        *,
        curvature: bool = True,
    ) -> State:
        """The state at vectors (S, D), with the curvature of another one if that is given.

        Sums over rows with curvatures, which do not depend on penalties, may be known. A state
        without curvature has a lower bound, and leads nowhere.
        """
        mixture, curvature = self.mixture, curvature and known is None
        if total is None:
            total = mixture.e_step(
                theta, self.blocks, curvature=curvature, map_blocks=self.map_blocks
            )
        bound = (total.log_likelihood - mixture.penalty(theta)) / total.weight
        if known is not None:
            return State(theta, bound, total, known.curvature, known.age + 1, mixture)
        own = inverted(mixture, theta, total) if curvature else None
        return State(theta, bound, total, own, 0, mixture)

    def ahead(self, state: State, step: float = 1.0) -> Array:
        """The vectors a step ahead."""
        change = direction(self.mixture, state.theta, state.total, state.curvature)
        return self.mixture.bounded(state.theta + step * change)


class Pace(NamedTuple):
    """Iterations without extrapolation, and first iterations with curvatures of their own."""

    n_plain: int = N_PLAIN_ITER
    n_fresh: int = N_FRESH_ITER


DEFAULT_PACE = Pace()


def em(
    objective: Objective, start: Array | Run, n_iter: int, tol: float, pace: Pace = DEFAULT_PACE
) -> Run:
    """Run EM from a vector (D,), or continue a run, with extrapolations [1]_.

    It has converged when Aitken's estimate of the gain that remains is below `tol`. The lower
    bounds of the run that is continued count.

    References
    ----------
    .. [1] R. Varadhan and C. Roland (2008), "Simple and globally convergent methods for
       accelerating the convergence of any EM algorithm", Scandinavian Journal of Statistics 35,
       335-353. Scheme SqS3.
    """
    begun = start if isinstance(start, Run) else Run(start, [])
    theta, bounds, n_earlier = begun.theta, list(begun.lower_bounds), begun.n_earlier
    mixture = objective.mixture
    converged = bool(bounds) and aitken_gap(bounds, objective.rtol) < tol
    if converged or n_iter < 1:
        bounds = bounds or [float(objective.at(theta[None]).lower_bound[0])]
        return Run(theta, bounds, converged, mixture=mixture, n_earlier=n_earlier)
    last = len(bounds) + n_iter
    if mixture.experts.needs_all_rows:
        states = mixture.experts.iterations(objective, theta)
    else:
        states = iterations(objective, begun, pace)
    for state in states:
        theta, mixture = state.theta[0], state.mixture
        bounds.append(float(state.lower_bound[0]))
        converged = aitken_gap(bounds, objective.rtol) < tol
        run = Run(theta, bounds, converged, mixture=mixture, n_earlier=n_earlier)
        stopped = objective.observer is not None and objective.observer(run.n_iter, run)
        if converged or stopped or len(bounds) >= last:
            return run._replace(stopped=stopped)
    if not bounds:
        bounds.append(float(objective.at(theta[None]).lower_bound[0]))
    return Run(theta, bounds, failed=True, mixture=mixture, n_earlier=n_earlier)


def iterations(objective: Objective, begun: Run, pace: Pace) -> Iterator[State]:
    """The states of EM; they end when no step keeps the lower bound from falling."""
    state = objective.at(begun.theta[None], total=begun.total)
    longest, n_cycles = INITIAL_STEP_MAX, 0
    while True:
        before = state.theta
        refresh = 1 if n_cycles < pace.n_fresh else REFRESH
        found = line_search(objective, state, refresh)
        n_cycles += 1
        if found is None:
            return
        state = found
        yield state
        if n_cycles <= pace.n_plain:
            continue
        third = objective.ahead(state)
        target, step = squarem_step(before, state.theta, third, longest)
        trial = objective.at(objective.mixture.bounded(target), state)
        if trial.lower_bound[0] >= state.lower_bound[0]:
            longest *= STEP_MAX_FACTOR if step == longest else 1.0
            state = trial
            yield state
        else:
            longest = max(longest / 2.0, INITIAL_STEP_MAX)


def line_search(objective: Objective, state: State, refresh: int) -> State | None:
    """The longest of halved steps after which the lower bound is no less; None if there is none.

    A step of length zero hides nothing but round-off, and M-steps of users that lead downward.
    """
    bound = state.lower_bound[0]
    least = bound - objective.rtol * (1.0 + abs(bound))
    for attempt in range(MAX_HALVINGS - bool(objective.mixture.own)):
        step = 0.5**attempt if attempt < MAX_HALVINGS - 1 else 0.0
        theta = objective.ahead(state, step)
        trial = objective.at(theta, state if state.age + 1 < refresh else None)
        if trial.lower_bound[0] >= least:
            return trial
        if state.age > 0:  # the curvature may be to blame
            state = objective.at(state.theta)
    return None


def side_by_side(
    objective: Objective,
    thetas: Array,
    n_iter: int,
    n_attempts: int = 0,
    factors: Any = (1.0,),
    counted: Array | None = None,
) -> tuple[Array, list[list[float]]]:
    """Vectors (S, D) and lower bounds of each after a number of iterations, without extrapolation.

    Steps may be longer by factors, in turn. One whose step would lower its bound goes half of the
    way in the next iteration. With a number of attempts only steps that were not halved count, all
    have curvatures of their own, and one that gains nothing is the last. Rows, or units, may count
    by other factors for each vector, (S, U).
    """
    if counted is not None:
        ends = np.cumsum([len(data.rows.gate_weight) for data in objective.blocks])
        pairs = zip(objective.blocks, np.split(counted, ends[:-1], axis=1), strict=True)
        objective = objective._replace(blocks=[data.replace(counted=own) for data, own in pairs])
    accepted, trial, found = thetas, thetas, thetas.copy()
    best = np.full(len(thetas), -np.inf)
    # Lower bounds by iterations, those of steps that were halved left out, and their numbers.
    history = np.full(((n_attempts or n_iter) + 1, len(thetas)), np.nan)
    n_risen, going, state = np.zeros(len(thetas), dtype=int), np.arange(len(thetas)), None
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"), one_thread():
        for iteration in range(len(history)):
            fresh = n_attempts > 0 or iteration < N_FRESH_ITER or iteration % REFRESH == 0
            may_be_last = n_attempts > 0 and n_risen[going].max() >= n_iter
            known = None if fresh else state
            state = objective.at(trial, known, curvature=not may_be_last)
            reached = state.lower_bound
            rises = reached >= best  # False for NaN
            gains_nothing = np.abs(reached - best) <= objective.rtol * np.abs(reached)
            found[going] = accepted = np.where(rises[:, None], trial, accepted)
            best = np.where(rises, reached, best)
            history[iteration, going[rises]] = best[rises]
            n_risen[going] += rises
            ended = n_risen[going] > n_iter
            if iteration == len(history) - 1 or (ended | gains_nothing).all():
                break
            ended |= (n_attempts > 0) & gains_nothing
            state = objective.at(trial) if may_be_last else state
            ahead = objective.ahead(state, factors[iteration % len(factors)])
            ahead = np.where(np.isfinite(ahead).all(axis=1, keepdims=True), ahead, accepted)
            trial = np.where(rises[:, None], ahead, 0.5 * (accepted + trial))
            trial = np.where(np.isfinite(trial) & ~ended[:, None], trial, accepted)
            if n_attempts and 2 * ended.sum() > len(ended):  # the others go on by themselves
                left = np.flatnonzero(~ended)
                going, accepted, trial, best = (v[left] for v in (going, accepted, trial, best))
                given = ((data, [own[:, left] for own in data.given]) for data in objective.blocks)
                blocks = [data.replace(given=own) for data, own in given]
                objective = objective._replace(blocks=blocks)
    bounds = [own[~np.isnan(own)].tolist() for own in history.T]
    return found, [own[1:] or own or [-np.inf] for own in bounds]


def fitted_to(
    objective: Objective, theta: Array, of_experts: Array, of_gate: Array, n_steps: int
) -> Array:
    """Vectors (S, D) after steps to given responsibilities.

    Those of the experts are of rows, (K, S, n), and those of the gate of rows or units, (K, S, U).
    """
    blocks = list(objective.blocks)
    sizes = np.cumsum([[d.rows.n_rows, len(d.rows.gate_weight)] for d in blocks], axis=0).T
    parts = zip((of_experts, of_gate), sizes, strict=True)
    given = (np.split(own, ends[:-1], axis=2) for own, ends in parts)
    blocks = [data.replace(given=pair) for data, *pair in zip(blocks, *given, strict=True)]
    to_given = objective._replace(blocks=blocks, map_blocks=None)
    return side_by_side(to_given, theta, n_steps, ATTEMPTS_PER_STEP * n_steps)[0]


def without_rows(objective: Objective, theta: Array, left_out: Array) -> tuple[Array, Array]:
    """Log densities (S, U), and sums (K, S) of the responsibilities of the rows that are counted.

    They are those after some iterations from a vector (D,), each of which leaves other parts of
    rows, or units, out, (S, U). Longer steps than those of EM need half of the iterations [1]_.

    References
    ----------
    .. [1] R. Salakhutdinov and S. Roweis (2003), "Adaptive overrelaxed bound optimization methods",
       Proceedings of ICML, 664-671.
    """
    thetas, counted = np.repeat(theta[None], len(left_out), axis=0), 1.0 - left_out
    n_iter = N_ITER_WITHOUT_ROWS[objective.mixture.n_experts > 1]
    thetas = side_by_side(objective, thetas, n_iter, 0, OVERRELAXED, counted)[0]
    found = [objective.mixture.responsibilities(thetas, data) for data in objective.blocks]
    weight = np.concatenate([data.rows.gate_weight for data in objective.blocks])
    resp = np.concatenate([own for own, _ in found], axis=2)
    return np.concatenate([own for _, own in found], axis=1), (resp * counted) @ weight


@contextmanager
def threads(blocks: Any, n_threads: int) -> Iterator[Any]:
    """A map over blocks in memory that keeps their order; None without threads."""
    n_threads = min(n_threads, len(blocks)) if isinstance(blocks, list) else 1
    if n_threads == 1:
        yield None
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield pool.map


def squarem_step(start: Array, first: Array, second: Array, longest: float) -> tuple[Array, float]:
    """The squared extrapolation of three vectors that follow one another, and its length."""
    change, difference = first - start, second - 2.0 * first + start
    ratio = np.sqrt(np.vdot(change, change) / max(float(np.vdot(difference, difference)), TINY))
    step = float(np.clip(ratio, 1.0, longest))
    return start + 2.0 * step * change + step**2 * difference, step


def aitken_gap(bounds: Sequence[float], rtol: float = RTOL["float64"]) -> float:
    """Aitken's estimate of the distance of an increasing sequence from its limit [1]_.

    Returns zero at a fixed point up to `rtol`, and infinity while no estimate is possible.

    References
    ----------
    .. [1] D. Böhning, E. Dietz, R. Schaub, P. Schlattmann and B. Lindsay (1994), "The distribution
       of the likelihood ratio for mixtures of densities from the one-parameter exponential
       family", Annals of the Institute of Statistical Mathematics 46, 373-388.
    """
    if len(bounds) > 2 and bounds[-1] - bounds[-3] <= rtol * (1.0 + abs(bounds[-1])):
        return 0.0
    if len(bounds) <= 2 * AITKEN_STRIDE:
        return math.inf
    gain = bounds[-1 - AITKEN_STRIDE] - bounds[-1 - 2 * AITKEN_STRIDE]
    last = bounds[-1] - bounds[-1 - AITKEN_STRIDE]
    if last >= gain:
        return math.inf
    # Large early gains make the estimate too optimistic: it is bounded below by the last gain.
    return max(last**2 / (gain - last), last)
