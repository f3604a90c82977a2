"""Observed information of the log-likelihood of a mixture, and its gradient [1]_.

The Hessian of a row in its predictors is sum_k r_k (H_k + g_k g_k') - g g', with responsibilities
r_k, Hessian H_k and gradient g_k of the log joint density of expert k, and the mean g of the
gradients. Where each row has its own expert it is one weight for each row and pair of predictors.

References
----------
.. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM algorithm",
   Journal of the Royal Statistical Society B 44, 226-233.
"""

from __future__ import annotations

from functools import partial, reduce
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._mixture.data import Data
from skmoe._mixture.mixture import Mixture
from skmoe._numerics.linalg import add_fields, column_products, sum_over_blocks
from skmoe._numerics.typing import TINY, Array


class Information(NamedTuple):
    """The information in all coefficients (D), which shared and absent ones have as others."""

    observed: Array  # (D, D), penalties included
    gradient: Array  # of the log-likelihood, without penalties, (D,)
    scores: Any  # outer products of the gradients of rows, units or clusters (D, D), or None
    expert_weight: Array  # weight of the rows of each expert, (K,)


def observed_information(
    mixture: Mixture,
    theta: Array,
    blocks: Any,
    with_scores: bool = False,
    clusters: Array | None = None,
) -> Information:
    """Information at coefficients (D,).

    Scores are computed on request, and are summed over rows (or units) with the same number in
    `clusters`, which need rows in memory.
    """
    by_rows = mixture.gate.is_linear and mixture.experts.is_linear and not with_scores
    sums: Any
    if by_rows and clusters is None:
        sums = sum_over_blocks(partial(_of_block, mixture, theta), blocks)
    elif clusters is None:
        sums = sum_over_blocks(partial(_of_units, mixture, theta, with_scores), blocks)
    else:
        sizes = np.cumsum([len(block.sharing.gate_weight) for block in blocks])
        of_blocks = [np.append(own, clusters.max()) for own in np.split(clusters, sizes[:-1])]
        of_block = partial(_of_units, mixture, theta, True)
        sums = reduce(add_fields, map(of_block, blocks, of_blocks))
        sums = (*sums[:2], sums[2].T @ sums[2], *sums[3:])
    found = Information(*sums)
    of_experts, of_gate = mixture.split(theta)
    split = mixture.experts.size
    observed = -found.observed
    observed[:split, :split] += mixture.experts.penalty_hessian(of_experts)
    observed[split:, split:] += mixture.gate.penalty_hessian(of_gate)
    if mixture.balance:
        observed, gradient = _with_balance(mixture, theta, blocks, observed, found.gradient)
        found = found._replace(gradient=gradient)
    return found._replace(observed=observed)


class Entry(NamedTuple):
    """A predictor of an expert or of the gate in a block of rows."""

    index: Array  # of its coefficients
    design: Any  # None for a constant
    slope: Array  # its derivative times the responsibility, (n,)


def _of_block(mixture: Mixture, theta: Array, data: Data) -> tuple[Any, ...]:
    """Hessian and gradient of a block of rows, no scores, and the weights of the experts."""
    if data.rows.units is not None:
        return _of_units(mixture, theta, False, data)
    experts, gate, split = mixture.experts, mixture.gate, mixture.experts.size
    of_experts, of_gate = mixture.split(theta)
    evaluation = experts.evaluate(of_experts[None], data)
    of_gate_rows = gate.evaluate(of_gate[None], data)
    resp = data.posterior(of_gate_rows.logs, evaluation.logs, mixture.top_k)[0][:, 0]
    weight = data.rows.weight
    entries: list[Entry] = []
    weights: dict[tuple[int, int], Array] = {}
    owners: list[int] = []
    for k, index, roles, scores, second in evaluation.parts():
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
    if gate.groups:
        family, proba = gate.family, np.exp(of_gate_rows.logs)
        center = np.asarray(family.contrasted(resp))
        scores = family.contrasted(resp - np.broadcast_to(proba[:, 0], resp.shape))
        missing, of_prior = family.covariance(resp), family.covariance(proba[:, 0])
        design = None if gate.is_constant else data.designs[gate.groups[0].roles[0]]
        for t, index in enumerate(gate.groups[0].index):
            entries.append(Entry(split + index[0], design, scores[t]))
            for a in range(n_own):
                weights[a, n_own + t] = slopes[a] * (family.contrasts[owners[a], t] - center[t])
        for (t, u), value in missing.items():
            weights[n_own + t, n_own + u] = value - of_prior[t, u]
    size = mixture.size
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    for entry in entries:
        weighted = entry.slope * weight
        gradient[entry.index] += (
            weighted.sum() if entry.design is None else entry.design.T @ weighted
        )
    _add_products(entries, {key: value * weight for key, value in weights.items()}, hessian)
    return hessian, gradient, None, resp @ weight


def _add_products(
    entries: list[Entry], weights: dict[tuple[int, int], Array], hessian: Array
) -> None:
    """Adds the sums of weighted products of the columns of pairs of predictors."""
    by_designs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b in weights:
        by_designs.setdefault((id(entries[a].design), id(entries[b].design)), []).append((a, b))
    for pairs in by_designs.values():
        first, second = (entries[i].design for i in pairs[0])
        stacked = np.stack([weights[pair] for pair in pairs])
        for (a, b), found in zip(pairs, _products(first, second, stacked), strict=True):
            rows, columns = entries[a].index, entries[b].index
            hessian[rows[:, None], columns] += found
            if a != b:
                hessian[columns[:, None], rows] += found.T


def _products(first: Any, second: Any, weights: Array) -> Any:
    """Matrices (m, d, e) of the products of the columns of two designs, with weights (m, n)."""
    if first is None and second is None:
        return weights.sum(axis=1)[:, None, None]
    if first is None or second is None:
        design = second if first is None else first
        sums = np.asarray((design.T @ weights.T).T)
        return sums[:, None, :] if first is None else sums[:, :, None]
    if sparse.issparse(first) or sparse.issparse(second) or first is not second:
        first, second = (d.tocsr() if sparse.issparse(d) else d for d in (first, second))
        found = [first.T @ (second * row[:, None]) for row in weights]
        return [f.toarray() if sparse.issparse(f) else f for f in found]
    n_columns = first.shape[1]
    if 2 * len(weights) <= n_columns:
        return [(first.T * row) @ first for row in weights]
    a, b = np.triu_indices(n_columns)
    found = np.empty((len(weights), n_columns, n_columns))
    found[:, a, b] = found[:, b, a] = weights @ column_products(first.T).T
    return found


def _of_units(
    mixture: Mixture, theta: Array, with_scores: bool, data: Data, clusters: Any = None
) -> tuple[Any, ...]:
    """The same from gradients of each row, unit or cluster.

    `clusters` has their numbers, followed by the largest number of all blocks.
    """
    experts, gate, split = mixture.experts, mixture.gate, mixture.experts.size
    of_experts, of_gate = mixture.split(theta)
    log_gate = gate.log_prob(of_gate[None], data)[:, 0]
    logs = experts.log_prob(of_experts[None], data)[:, 0]
    resp = data.posterior(log_gate[:, None], logs[:, None], mixture.top_k)[0][:, 0]
    weight, size = data.sharing.gate_weight, mixture.size
    hessian, mean = np.zeros((size, size)), np.zeros((size, len(weight)))
    for k, own in enumerate(resp):
        row_weight = data.sharing.to_rows(own) * data.rows.weight
        index, complete = experts.hessian(of_experts, k, data, row_weight)
        hessian[index[:, None], index] += complete
        scores = np.zeros((len(index) + gate.size, len(weight)))
        rows = experts.scores(of_experts, k, data)
        scores[: len(index)] = data.sharing.total(np.where(row_weight > 0.0, rows, 0.0))
        scores[len(index) :] = gate.scores(of_gate, k, data)
        where = np.append(index, np.arange(split, size))
        weighted = scores * own
        mean[where] += weighted
        hessian[where[:, None], where] += (weighted * weight) @ scores.T
    hessian[split:, split:] += gate.hessian(of_gate, data, weight)
    weighted = mean * weight
    hessian -= weighted @ mean.T
    scores = None
    if clusters is not None:
        *codes, largest = clusters
        shape, columns = (largest + 1, len(codes)), np.arange(len(codes))
        scores = sparse.csr_array((weight, (codes, columns)), shape) @ mean.T
    elif with_scores:
        scores = weighted @ mean.T
    gradient = mean @ weight
    return hessian, gradient, scores, data.sharing.to_rows(resp) @ data.rows.weight


def _with_balance(
    mixture: Mixture, theta: Array, blocks: Any, observed: Array, gradient: Array
) -> tuple[Array, Array]:
    """Information and gradient with the prior of the usage of the experts."""
    gate, split = mixture.gate, mixture.experts.size
    of_gate = theta[split:]
    usage = mixture.usage(theta[None], blocks)[:, 0]

    def of_block(data: Data) -> tuple[Array, Array]:
        logs = np.broadcast_to(
            gate.log_prob(of_gate[None], data)[:, 0], (len(usage), len(data.sharing.gate_weight))
        )
        share = data.sharing.gate_weight * np.exp(logs) / np.maximum(usage, TINY)[:, None]
        hessian, slopes = -gate.hessian(of_gate, data, share.sum(axis=0)), []
        for k, own in enumerate(share):
            scores = gate.scores(of_gate, k, data)
            hessian = hessian - (scores * own) @ scores.T
            slopes.append(scores @ own)
        return hessian, np.stack(slopes)

    information, slopes = sum_over_blocks(of_block, blocks)
    factor = mixture.balance * usage.sum() / len(usage)
    observed[split:, split:] += factor * (information + slopes.T @ slopes)
    gradient = gradient.copy()
    gradient[split:] += factor * slopes.sum(axis=0)
    return observed, gradient
