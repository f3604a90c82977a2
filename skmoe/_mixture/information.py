"""Observed information, and Newton's steps with it from where EM has stopped to the maximum.

The Hessian of a row in its predictors is sum_k r_k (H_k + g_k g_k') - g g' [1]_. Here r_k
are responsibilities, H_k and g_k Hessian and gradient of the log joint density of expert k, and g
is the mean of the gradients. Where each row has its own expert it is one weight for each row and
pair of predictors.

EM is slow where regimes overlap: a small gain in an iteration does not mean that the maximum is
near. Newton's method takes a few steps there [2]_. The length of its step, in standard errors, is
the distance of the estimates from the maximum.

References
----------
.. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM algorithm",
   Journal of the Royal Statistical Society B 44, 226-233.
.. [2] M. Jamshidian and R. I. Jennrich (1997), "Acceleration of the EM algorithm by using
   quasi-Newton methods", Journal of the Royal Statistical Society B 59, 569-587.
.. [3] D. A. Binder (1983), "On the variances of asymptotically normal estimators from complex
   surveys", International Statistical Review 51, 279-292.
.. [4] J. Nocedal and S. J. Wright (2006), "Numerical optimization", 2nd edition, Springer,
   chapter 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag
from scipy.special import softmax

from skmoe._mixture.chain import stationary_scores
from skmoe._mixture.em import Objective, Pace, Run, em
from skmoe._mixture.mixture import At, Data, Mixture
from skmoe._numerics.linalg import add_fields, sum_over_blocks, weighted_products
from skmoe._numerics.signed_steps import signed_step
from skmoe._numerics.typing import TINY, Array
from skmoe.families._base import RANK

# Step of differences of logits.
DIFFERENCE = 1e-5


class Information(NamedTuple):
    """The information in all coefficients (D), which shared and absent ones have as others."""

    observed: Array  # (D, D), penalties included
    gradient: Array  # of the log-likelihood, without penalties, (D,)
    scores: Any  # outer products of the gradients of rows, units or clusters (D, D), or None
    expert_weight: Array  # weight of the rows of each expert, (K,)


class Clusters(NamedTuple):
    """Clusters of rows or units, which depend on each other, in the strata of a sample."""

    codes: Array  # number of the cluster of each row or unit
    strata: Array  # number of the stratum of each cluster

    def products(self, scores: Array) -> Array:
        """Sum of the outer products of the scores (C, D) of clusters, from the means of strata.

        With the factor n / (n - 1) of a stratum of n clusters it estimates the variance of the sum
        of the scores [3]_.
        """
        sizes = np.bincount(self.strata)
        means = np.zeros((len(sizes), scores.shape[1]))
        np.add.at(means, self.strata, scores / sizes[self.strata, None])
        deviation = scores - means[self.strata]
        factor = sizes / (sizes - 1.0)
        return np.asarray((factor[self.strata] * deviation.T) @ deviation)


def observed_information(
    mixture: Mixture,
    theta: Array,
    blocks: Any,
    with_scores: bool = False,
    clusters: Clusters | None = None,
) -> Information:
    """Information at coefficients (D,).

    Scores are computed on request, and are summed over the rows (or units) of clusters, which need
    rows in memory.
    """
    by_rows = not mixture.own and not with_scores
    sums: Any
    if by_rows and clusters is None:
        sums = sum_over_blocks(partial(_of_block, mixture, theta), blocks)
    elif clusters is None:
        sums = sum_over_blocks(partial(_of_units, mixture, theta, with_scores), blocks)
    else:
        sizes = np.cumsum([len(block.rows.gate_weight) for block in blocks])
        last = len(clusters.strata) - 1
        of_blocks = [np.append(own, last) for own in np.split(clusters.codes, sizes[:-1])]
        of_block = partial(_of_units, mixture, theta, True)
        sums = reduce(add_fields, map(of_block, blocks, of_blocks))
        sums = (*sums[:2], clusters.products(sums[2]), *sums[3:])
    hessian = mixture.prior.hessian(theta)
    for part, where in mixture.own:
        hessian[where, where] = part.penalty_hessian(theta[where])
    found = Information(hessian - sums[0], *sums[1:])
    return _with_balance(mixture, theta, blocks, found) if mixture.balance else found


# Responsibilities that add nothing to sums over rows.
NO_RESPONSIBILITY = 1e-15


class Entry(NamedTuple):
    """A predictor of an expert or of the gate in a block of rows."""

    where: Array  # its coefficients
    design: Any  # None for a constant
    slope: Array  # its derivative times the responsibility, (n,)


def _of_block(mixture: Mixture, theta: Array, data: Data) -> tuple[Any, ...]:
    """Hessian and gradient of a block of rows, and what else `Information` has."""
    if data.rows.units is not None or data.chain is not None:
        return _of_units(mixture, theta, False, data)
    at, weight = mixture.at(theta[None], data), data.rows.weight
    resp = data.posterior(at.log_gates, at.logs, mixture.top_k)[0][:, 0]
    entries: list[Entry] = []
    weights: dict[tuple[int, int], Array] = {}
    owners: list[int] = []
    for k, index, roles, scores, second in row_derivatives(mixture, at, data):
        if resp[k].max(initial=0.0) < NO_RESPONSIBILITY:
            continue
        start = len(entries)
        for own_index, role, score in zip(index, roles, scores, strict=True):
            own = np.where(resp[k] > 0.0, score, 0.0)
            entries.append(Entry(own_index, data.designs.get(role), resp[k] * own))
            owners.append(k)
        for (t, u), value in second.items():
            weights[start + t, start + u] = resp[k] * value
    slopes = [entry.slope for entry in entries]
    for a, b in combinations_with_replacement(range(len(entries)), 2):
        own = slopes[a] * slopes[b]
        value = -own
        if owners[a] == owners[b]:
            k = owners[a]
            value = value + own / np.where(resp[k] > 0.0, resp[k], 1.0)
        weights[a, b] = weights[a, b] + value if (a, b) in weights else value
    n_own = len(entries)
    for gate in mixture.gate_groups:
        family, proba = gate.family, np.exp(at.log_gates[0])[:, 0, 0]
        center = np.asarray(family.contrasted(resp))
        residual = family.contrasted(resp - np.broadcast_to(proba, resp.shape))
        missing, of_prior = family.covariance(resp), family.covariance(proba)
        for t, of_predictor in enumerate(gate.index):
            entries.append(Entry(of_predictor[0], data.designs.get(gate.roles[t]), residual[t]))
            for a in range(n_own):
                weights[a, n_own + t] = slopes[a] * (family.contrasts[owners[a], t] - center[t])
        for (t, u), value in missing.items():
            weights[n_own + t, n_own + u] = value - of_prior[t, u]
    size = mixture.size
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    for entry in entries:
        weighted = entry.slope * weight
        gradient[entry.where] += (
            weighted.sum() if entry.design is None else entry.design.T @ weighted
        )
    by_designs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b in weights:
        by_designs.setdefault((id(entries[a].design), id(entries[b].design)), []).append((a, b))
    for pairs in by_designs.values():
        first, second = (entries[i].design for i in pairs[0])
        stacked = np.stack([weights[pair] for pair in pairs]) * weight
        products = weighted_products(first, second, stacked, data.column_products)
        for (a, b), found in zip(pairs, products, strict=True):
            rows, columns = entries[a].where, entries[b].where
            hessian[rows[:, None], columns] += found
            if a != b:
                hessian[columns[:, None], rows] += found.T
    if data.at_entry is not None:
        of_entry = _of_block(mixture, theta, data.at_entry)
        hessian, gradient = hessian + of_entry[0], gradient + of_entry[1]
    return hessian, gradient, None, resp @ weight


def row_derivatives(
    mixture: Mixture, at: At, data: Data
) -> Iterator[tuple[int, list[Array], tuple[str, ...], list[Array], dict[Any, Any]]]:
    """Derivatives at one vector, for each family and output of each expert.

    They are the expert, coefficients and roles of its predictors, scores (T) of rows, and second
    derivatives {(t, u): ...}.
    """
    for group, etas, terms in at.terms:
        if not group.roles:
            continue
        family, y, beyond = mixture.experts.target(group, data)
        scores, second = next(terms), family.second(y, etas)
        shape = len(group.parts), 1, data.rows.n_rows
        for p, k in enumerate(group.parts.tolist()):
            own = [np.broadcast_to(v, shape)[p, 0] for v in scores]
            pairs = {
                key: np.broadcast_to(v, shape)[p, 0] for key, v in second.items() if key != RANK
            }
            if RANK in second:
                pairs[RANK] = second[RANK].of(p)
            if beyond is not None:
                own = [np.where(beyond, 0.0, values) for values in own]
                pairs = {key: np.where(beyond, 0.0, v) for key, v in pairs.items()}
            yield k, [index[p] for index in group.index], group.roles, own, pairs


def _of_units(
    mixture: Mixture, theta: Array, with_scores: bool, data: Data, clusters: Any = None
) -> tuple[Any, ...]:
    """The same from gradients of each row, unit or cluster.

    `clusters` has their numbers, followed by the largest number of all blocks.
    """
    if mixture.persists:
        return _of_series(mixture, theta, with_scores, data, clusters)
    hessian, mean, resp = _scores_of_units(mixture, theta, data)
    weight = data.rows.gate_weight
    if data.at_entry is not None:
        of_entry, scores, _ = _scores_of_units(mixture, theta, data.at_entry)
        hessian += of_entry
        mean[:, data.entered] -= scores
    products = None
    if clusters is not None:
        *codes, largest = clusters
        shape, columns = (largest + 1, len(codes)), np.arange(len(codes))
        products = sparse.csr_array((weight, (codes, columns)), shape) @ mean.T
    elif with_scores:
        products = (mean * weight) @ mean.T
    gradient = mean @ weight
    return hessian, gradient, products, data.rows.row_responsibilities(resp) @ data.rows.weight


def _scores_of_units(mixture: Mixture, theta: Array, data: Data) -> tuple[Array, Array, Array]:
    """Hessian (D, D), scores (D, U) of rows or units, and responsibilities (K, U)."""
    split, size = mixture.experts.size, mixture.size
    at = mixture.at(theta[None], data)
    resp = data.posterior(at.log_gates, at.logs, mixture.top_k)[0][:, 0]
    weight = data.rows.gate_weight
    hessian, mean = np.zeros((size, size)), np.zeros((size, len(weight)))
    of_experts = _expert_derivatives(mixture, theta, at, data, resp)
    of_gate = gate_scores(mixture, at.log_gates[0][:, 0], data)
    for k, (index, rows, complete) in enumerate(of_experts):
        hessian[index[:, None], index] += complete
        scores = np.concatenate([data.total(rows), of_gate[k]])
        where = np.append(index, np.arange(split, size))
        weighted = scores * resp[k]
        mean[where] += weighted
        hessian[where[:, None], where] += (weighted * weight) @ scores.T
    hessian[split:, split:] += gate_hessian(mixture, at, data, weight)
    hessian -= (mean * weight) @ mean.T
    return hessian, mean, resp


def _of_series(
    mixture: Mixture, theta: Array, with_scores: bool, data: Data, clusters: Any
) -> tuple[Any, ...]:
    """The same of series, whose experts are a Markov chain.

    The variance of the score of a series, given y, is a sum over its rows. Backwards in time, the
    expectations of the score given the experts from a row on are a martingale, of which the
    increments are squared.
    """
    chain, size, n_experts = data.chain, mixture.size, mixture.n_experts
    at = mixture.at(theta[None], data)
    posterior = chain.posterior(at.log_gates, data.joint(0.0, at.logs), by_row=True)
    resp, pairs = posterior.resp[:, 0], posterior.memberships[1][:, :, 0]
    hessian, n_rows = np.zeros((size, size)), data.rows.n_rows
    of_experts: list[tuple[Array, Array]] = []
    for index, rows, complete in _expert_derivatives(mixture, theta, at, data, resp):
        hessian[index[:, None], index] += complete
        of_experts.append((index, rows.T))
    of_gates: list[list[list[Array]]] = []  # scores (q, U) by gate, part and expert
    n_gates = len(mixture.gate_groups)
    of_groups = at.log_gates[-n_gates:], posterior.memberships[-n_gates:]
    gates = zip(mixture.gate_groups, *of_groups, strict=True)
    for group, log_gate, own in gates:
        family, proba = group.family, np.exp(log_gate)
        total, columns = own.sum(axis=0), data.designs.get(group.roles[0])
        curvature = group.curvature(family.covariance(proba), total, data, True)[:, 0]
        for where, matrix in zip(group.coordinates, curvature, strict=True):
            hessian[where[:, None], where] -= matrix
        columns = _columns(columns, own.shape[-1])
        slopes = family.contrasts[:, :, None, None, None] - family.contrasted(proba)
        scores = [
            [
                np.concatenate([slope[p, 0] * columns for slope in of_expert]).T
                for of_expert in slopes
            ]
            for p in range(len(group.parts))
        ]
        of_gates.append(scores)
    first, last, later = chain.first, chain.last, np.flatnonzero(chain.is_later)
    of_moves = mixture.gate_groups[-1].coordinates
    if mixture.gate.is_stationary:
        of_start, at_start, second = _of_stationary_start(mixture, theta, posterior)
        hessian[of_start[:, None], of_start] += second
    else:
        of_start, at_start = mixture.gate_groups[0].coordinates[0], np.stack(of_gates[0][0])
    came = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), TINY)  # to k from each j
    mean = np.zeros((n_experts, n_rows, size))  # of the score up to each row, given its expert
    for k, (index, own) in enumerate(of_experts):
        mean[k][:, index] = own
        mean[k][first[:, None], of_start] = at_start[k]
        for j, where in enumerate(of_moves):
            mean[k][:, where] += came[k, j][:, None] * of_gates[-1][j][k]
    chain.accumulate(came, mean)
    weight = chain.gate_weights[0]
    at_end = np.einsum("ku,kup->up", resp[:, last], mean[:, last])
    hessian -= at_end.T @ (weight[:, None] * at_end)
    for k, (index, rows) in enumerate(of_experts):
        hessian += mean[k, last].T @ ((weight * resp[k, last])[:, None] * mean[k, last])
        for j, where in enumerate(of_moves):
            increment = mean[j, later - 1] - mean[k, later]
            increment[:, index] += rows[later]
            increment[:, where] += of_gates[-1][j][k][later]
            hessian += increment.T @ (pairs[k, j, later, None] * increment)
    products = None
    if clusters is not None:
        *codes, largest = clusters
        shape, columns = (largest + 1, len(first)), np.arange(len(first))
        products = sparse.csr_array((weight, (np.array(codes)[first], columns)), shape) @ at_end
    elif with_scores:
        products = at_end.T @ (weight[:, None] * at_end)
    return hessian, weight @ at_end, products, resp @ data.rows.weight


def _of_stationary_start(
    mixture: Mixture, theta: Array, posterior: Any
) -> tuple[Array, Array, Array]:
    """Coordinates (q,), scores (K, q) of each first expert, and the expected Hessian (q, q).

    The Hessian, of a few numbers, is by central differences of the scores.
    """
    group, weight = mixture.gate_groups[0], posterior.memberships[0].sum(axis=(1, 2, 3))
    where, contrasts = group.coordinates.ravel(), group.family.contrasts

    def scores(values: Array) -> Array:
        logits = contrasts @ values.reshape(len(group.parts), -1, 1)
        found = stationary_scores(softmax(logits[..., 0], axis=1)[None])[0]
        return np.asarray((found @ contrasts).reshape(len(found), -1))

    at, steps = theta[where], DIFFERENCE * np.eye(len(where))
    ends = [(scores(at + step) - scores(at - step)) / (2.0 * DIFFERENCE) for step in steps]
    second = np.stack([weight @ end for end in ends])
    return where, scores(at), 0.5 * (second + second.T)


def _expert_derivatives(
    mixture: Mixture, theta: Array, at: At, data: Data, resp: Array
) -> list[tuple[Array, Array, Array]]:
    """Coefficients (q,), scores (q, n) and Hessian (q, q) of the log density of each expert.

    The Hessian has the weights of the rows times the responsibilities (K, U).
    """
    experts, weight = mixture.experts, data.rows.row_responsibilities(resp) * data.rows.weight
    if not experts.is_linear:
        of_own: Any = experts.derivatives(mixture.split(theta)[0], data, weight)
        return list(of_own)
    parts: list[list[tuple[Array, Array, Array]]] = [[] for _ in range(mixture.n_experts)]
    for k, coordinates, roles, scores, second in row_derivatives(mixture, at, data):
        columns = [_columns(data.designs.get(role), data.rows.n_rows) for role in roles]
        ends = np.cumsum([0, *map(len, coordinates)])
        hessian = np.zeros((ends[-1], ends[-1]))
        if RANK in second:
            hessian[: ends[1], : ends[1]] = second.pop(RANK).sums(weight[k])
        for (t, u), value in second.items():
            block = (columns[t] * (weight[k] * value)) @ columns[u].T
            hessian[ends[t] : ends[t + 1], ends[u] : ends[u + 1]] += block
            if t != u:
                hessian[ends[u] : ends[u + 1], ends[t] : ends[t + 1]] = block.T
        rows = [
            np.where(weight[k] != 0.0, s, 0.0) * c for s, c in zip(scores, columns, strict=True)
        ]
        parts[k].append((np.concatenate(coordinates), np.concatenate(rows), hessian))
    none = np.zeros(0, dtype=int), np.zeros((0, data.rows.n_rows)), np.zeros((0, 0))
    joined = [list(zip(*own, strict=True)) if own else [[n] for n in none] for own in parts]
    return [
        (np.concatenate(index), np.concatenate(rows), block_diag(*hessians))
        for index, rows, hessians in joined
    ]


def gate_scores(mixture: Mixture, log_gate: Array, data: Data) -> list[Array]:
    """Gradients of the log probability of each expert in the coefficients of the gate, (G, U)."""
    n_rows = len(data.rows.gate_weight)
    if not mixture.gate_groups:
        return [np.zeros((0, n_rows))]
    [group] = mixture.gate_groups
    columns = _columns(data.designs.get(group.roles[0]), n_rows)
    proba = np.broadcast_to(np.exp(log_gate[:, 0]), (mixture.n_experts, n_rows))
    center = group.family.contrasted(proba)
    contrasts = group.family.contrasts
    return [
        np.concatenate([(contrasts[k, t] - own) * columns for t, own in enumerate(center)])
        for k in range(mixture.n_experts)
    ]


def gate_hessian(mixture: Mixture, at: At, data: Data, weight: Array) -> Array:
    """Hessian of the log probability of any expert, with weights (U,), (G, G)."""
    if not mixture.gate_groups:
        return np.zeros((0, 0))
    [group] = mixture.gate_groups
    information = group.family.covariance(np.exp(at.log_gates[0]))
    return -group.curvature(information, weight[None, None], data, True)[0, 0]


def _columns(design: Any, n_rows: int) -> Array:
    """Columns (d, n) of a design; ones for a constant."""
    if design is None:
        return np.ones((1, n_rows))
    return np.asarray((design.toarray() if sparse.issparse(design) else design).T)


def _with_balance(mixture: Mixture, theta: Array, blocks: Any, found: Information) -> Information:
    """The information with the prior of the usage of the experts."""
    split = mixture.experts.size
    usage = mixture.usage(theta[None], blocks)[:, 0]

    def of_block(data: Data) -> tuple[Array, Array]:
        at, weight = mixture.at(theta[None], data), data.rows.gate_weight
        logs = np.broadcast_to(at.log_gates[0][:, 0, 0], (len(usage), len(weight)))
        share = weight * np.exp(logs) / np.maximum(usage, TINY)[:, None]
        hessian = -gate_hessian(mixture, at, data, share.sum(axis=0))
        slopes = []
        of_gate = gate_scores(mixture, at.log_gates[0][:, 0], data)
        for own, scores in zip(share, of_gate, strict=True):
            hessian = hessian - (scores * own) @ scores.T
            slopes.append(scores @ own)
        return hessian, np.stack(slopes)

    information, slopes = sum_over_blocks(of_block, blocks)
    factor = mixture.balance * usage.sum() / len(usage)
    observed, gradient = found.observed.copy(), found.gradient.copy()
    observed[split:, split:] += factor * (information + slopes.T @ slopes)
    gradient[split:] += factor * slopes.sum(axis=0)
    return found._replace(observed=observed, gradient=gradient)


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
MIN_FRACTION, MIN_FRACTION_OF_SAMPLE = 1.0 / 64.0, 0.1
EM_ITERATIONS_BETWEEN = 25

# Fits of many rows make so many steps with an information matrix, of a sample or of all rows. They
# end at a shift that is shorter, as it is known less precisely.
MAX_AGE_OF_SAMPLE, MAX_AGE = 12, 40
LEARNED_SHIFT = 0.1 * MAX_SHIFT

# These iterations are extrapolated from the first one on.
EXTRAPOLATED = Pace(n_plain=0)

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
    gradient: Array  # of the penalised log-likelihood, (D,)
    root: Any = None  # the inverse information is its product with its transpose, (D, r)


def has_newton_steps(objective: Objective, n_rows_of_sample: int = 0) -> bool:
    """Whether Newton's steps can end a fit, or those with the information of a sample."""
    mixture, size = objective.mixture, objective.mixture.size
    if n_rows_of_sample and (not mixture.is_plain or mixture.has_signs):
        return False
    n_products = (n_rows_of_sample or objective.n_rows) * float(size) ** 2
    return size <= MAX_COEFFICIENTS and n_products <= MAX_MULTIPLICATIONS and not mixture.own


def end_at_maximum(
    objective: Objective, run: Run, max_iter: int, tol: float, sample: Any = None
) -> Run:
    """Continue a run that EM has ended to the maximum, by Newton's method.

    Where Newton's steps do not lead upward, some iterations of EM come before the next attempt.
    Models without second derivatives, or with too many coefficients, go on with EM until the gain
    that it predicts is that of `MAX_SHIFT`. Estimators as experts, which have no standard errors,
    and tables of so many rows that an information matrix takes too long, end where EM has ended. If
    blocks of a sample are given, next to whose maximum the run begins, its information is used, or
    that of all blocks if these are given.
    """
    mixture = objective.mixture
    if run.failed or mixture.experts.needs_all_rows:
        return run
    if sample is None and not has_newton_steps(objective):
        if not mixture.own and objective.n_rows * float(mixture.size) ** 2 > MAX_MULTIPLICATIONS:
            return run
        tol = min(tol, MAX_GAP / objective.n_rows)
        return _until_nothing_is_gained(objective, run, max_iter, tol)
    while run.converged or run.n_iter < max_iter:
        run = _newton_steps(objective, run, max_iter, sample)
        sample = sample and objective.blocks  # whose maximum is not next to that of the sample
        n_left = max_iter - run.n_iter
        if run.converged or run.stopped or n_left <= 0:
            return run
        before = run.lower_bound
        run = em(objective, run, min(EM_ITERATIONS_BETWEEN, n_left), 0.0, EXTRAPOLATED)
        if run.stopped:
            return run._replace(converged=False)
        if run.lower_bound - before <= objective.rtol * (1.0 + abs(before)):
            return run._replace(converged=True)  # no step leads upward
    return run


def _until_nothing_is_gained(objective: Objective, run: Run, max_iter: int, tol: float) -> Run:
    """EM until a run that begins again gains no more than the tolerance.

    The gain of an extrapolation, beside those of the iterations after it, looks as if the
    log-likelihood were close to its limit.
    """
    n_left = max(max_iter - run.n_iter, 0)
    run = em(objective, run, n_left, tol, EXTRAPOLATED)
    while run.converged and not run.stopped and run.n_iter < max_iter:
        begun = run._replace(lower_bounds=[], n_earlier=run.n_iter)
        again = em(objective, begun, max_iter - run.n_iter, tol, EXTRAPOLATED)
        gain = again.lower_bound - run.lower_bound
        bounds = [*run.lower_bounds, *again.lower_bounds]
        run = again._replace(lower_bounds=bounds, n_earlier=run.n_earlier)
        if gain <= tol:
            return run._replace(converged=not run.stopped, failed=False)
    return run


def _newton_steps(objective: Objective, run: Run, max_iter: int, sample: Any) -> Run:
    """Newton's steps that increase the lower bound, and whether the run has converged then.

    Of many rows an information matrix takes as long as ten or twenty E-steps. There the steps begin
    with that of a sample, and the changes of the gradient correct the inverse matrix for the steps
    after it, by the rule of Broyden, Fletcher, Goldfarb and Shanno [4]_. That of all rows follows
    if these steps do not end.
    """
    converged, mixture, age, learns = False, objective.mixture, 0, sample is not None
    gradient, is_of_sample = None, learns and sample is not objective.blocks
    if learns:
        state = objective.at(run.theta[None], curvature=False)
        run = run._replace(lower_bounds=[*run.lower_bounds[:-1], float(state.lower_bound[0])])
        gradient = state.total.gradient[0]
    for _ in range(MAX_STEPS_IN_A_ROW * (MAX_AGE if learns else 1)):
        if age == 0:
            blocks = sample if is_of_sample else objective.blocks
            step = newton_step(mixture, run.theta, blocks, gradient=gradient)
            inverse, fraction = step.root @ step.root.T if learns else None, 1.0
        converged = step.shift <= MAX_SHIFT
        round_off = LOWER_BOUND_ROUND_OFF * (1.0 + abs(run.lower_bound))
        negligible = np.sqrt(2.0 * round_off * step.information.expert_weight.sum())
        negligible = np.clip(negligible, LEARNED_SHIFT if learns else NEGLIGIBLE_SHIFT, MAX_SHIFT)
        if step.shift <= negligible or run.n_iter >= max_iter:
            break
        # The longest of halved steps that increases the bound, at most twice the part before.
        fraction, reached = min(2.0, 4.0 * fraction), -np.inf
        while not reached > run.lower_bound and fraction > MIN_FRACTION:
            fraction /= 2.0
            theta = mixture.bounded((run.theta + fraction * step.change)[None])
            state = objective.at(theta, curvature=False)
            reached = float(state.lower_bound[0])
        if not reached > run.lower_bound:
            if age == 0 and not is_of_sample:
                break
            age, is_of_sample = 0, False
            continue
        change = theta[0] - run.theta
        run = run._replace(theta=theta[0], lower_bounds=[*run.lower_bounds, reached])
        if objective.observer is not None and objective.observer(run.n_iter, run):
            return run._replace(stopped=True, converged=converged)
        if is_of_sample and fraction < MIN_FRACTION_OF_SAMPLE:
            return run._replace(converged=False)  # far from the maximum EM leads upward faster
        # Where a whole step is short, what it leaves is shorter than its square.
        if not is_of_sample and fraction == 1.0 and CURVATURE * step.shift**2 <= negligible:
            converged = True
            break
        if learns:
            age = (age + 1) % (MAX_AGE_OF_SAMPLE if is_of_sample else MAX_AGE)
            is_of_sample &= age > 0
            gradient = state.total.gradient[0]
            upward = gradient - mixture.penalty_gradient(run.theta)
            bent = step.gradient - upward
            ahead, square = inverse @ bent, float(change @ bent)
            if square > EIGENVALUE_TOL * (change @ step.gradient):
                both = np.outer(change, ahead) / square
                inverse += (1.0 + ahead @ bent / square) / square * np.outer(change, change)
                inverse -= both + both.T
            change = inverse @ upward
            shift = float(np.sqrt(max(change @ upward, 0.0)))
            step = step._replace(change=change, shift=shift, gradient=upward)
    return run._replace(converged=converged)


def newton_step(
    mixture: Mixture, theta: Array, blocks: Any, *scores: Any, gradient: Any = None
) -> NewtonStep:
    """Newton's step from coefficients (D,), which leads upward also where there is no maximum.

    `scores` are the arguments of `observed_information` for those of rows or clusters. If the rows
    are a sample, the gradient is that of the log-likelihood of all rows.
    """
    information = observed_information(mixture, theta, blocks, *scores)
    if gradient is not None:
        information = information._replace(gradient=gradient)
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
        return NewtonStep(np.zeros(mixture.size), 0.0, information, gradient)
    observed, slope = observed[np.ix_(kept, kept)], slope[kept]
    least = max(EIGENVALUE_TOL * information.expert_weight.sum(), TINY)
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    eigenvalues, vectors = np.linalg.eigh(observed * unit[:, None] * unit)
    size = np.abs(eigenvalues)
    known = size > EIGENVALUE_TOL * size.max()
    along = vectors[:, known].T @ (slope * unit)
    root = np.zeros((len(first), len(along)))
    root[kept] = unit[:, None] * vectors[:, known] / np.sqrt(size[known])
    change = root @ (along / np.sqrt(size[known]))
    shift = float(np.sqrt((np.square(along) / size[known]).sum()))
    signs, values = mixture.signs[first], theta[first]
    if mixture.has_signs and (signs * (values + change) < 0.0).any():
        known_vectors = vectors[:, known] / unit[:, None]
        matrix = (known_vectors * size[known]) @ known_vectors.T
        slope = known_vectors @ along
        change[kept] = signed_step(matrix, slope, values[kept], signs[kept])
        shift = float(np.sqrt(max(change[kept] @ slope, 0.0)))
    change = change if mixture.is_plain else mixture.expanded(change)
    return NewtonStep(change, shift, information, gradient, root)
