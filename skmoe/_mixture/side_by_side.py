"""EM of many starts at once: their experts are experts of one family, side by side.

An iteration is one pass over arrays of starts, experts and rows, so that a hundred starts on a
small table cost little more than a few. Experts that share parameters are fitted start by start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.em import N_EXACT_ITER, EMResult
from skmoe._mixture.model import MixtureModel, Params, balance_prior, posterior, summed_gates
from skmoe._mixture.steps import total_penalty
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array

# Largest number of log densities (starts, experts, rows), and of coefficients, in memory.
MAX_NUMBERS = 400_000

# Iterations for which a Hessian is used, after the first ones with Hessians of their own.
N_ITER_OF_HESSIAN = 5

# M-steps from the responsibilities of a start, for the experts and for the gate.
N_EXPERT_STEPS = 5
N_GATE_STEPS = 2


# Starts in which an expert fits few rows exactly can overflow; they stay where they are finite.
ignoring_overflow = np.errstate(over="ignore", divide="ignore", invalid="ignore")


class _Starts(NamedTuple):
    """Parameters of S starts: of each gate, and of the experts side by side, (S * K, ...)."""

    gates: tuple[Any, ...]
    experts: Any

    def replaced(self, others: _Starts, chosen: Array, fraction: float = 1.0) -> _Starts:
        """The starts, of which those that are chosen go a fraction of the way to others.

        A start stays where it is if the others are not finite.
        """
        n_starts = len(self.gates)
        for values in others.experts:
            chosen = chosen & np.isfinite(values.reshape(n_starts, -1)).all(axis=1)
        chosen &= [all(np.isfinite(values).all() for values in gate) for gate in others.gates]

        def moved(old: Array, new: Array) -> Array:
            return new if fraction == 1.0 else (1.0 - fraction) * old + fraction * new

        gates = tuple(
            type(old)(*map(moved, old, new)) if is_chosen else old
            for old, new, is_chosen in zip(self.gates, others.gates, chosen, strict=True)
        )
        of_experts = np.repeat(chosen, len(self.experts[0]) // n_starts)
        fields = [
            np.where(of_experts.reshape(-1, *(1,) * (old.ndim - 1)), moved(old, new), old)
            for old, new in zip(self.experts, others.experts, strict=True)
        ]
        return _Starts(gates, type(self.experts)(*fields))


class _EStep(NamedTuple):
    """Sums over the rows: log-likelihood of each start, statistics, and Hessians on request."""

    log_likelihood: Array  # (S,)
    gates: tuple[Any, ...]
    experts: Any
    gate_hessians: tuple[Any, ...] | None
    expert_hessian: Any


def run_side_by_side(
    model: MixtureModel, rows: Dataset, starts: Sequence[Params], n_iter: int
) -> list[EMResult]:
    """Parameters after a number of iterations of EM from each start.

    A start whose step would decrease its lower bound goes half of the way in the next iteration.
    """
    run = partial(_run_batch, model, split_into_blocks(rows), n_iter)

    def failed(start: Params) -> EMResult:
        return EMResult(start, [-np.inf], converged=False, line_search_failed=True)

    return _in_batches(run, failed, starts, model, rows)


def params_of_starts(
    model: MixtureModel, rows: Dataset, expert_resp: Sequence[Array], gate_resp: Sequence[Array]
) -> list[Params]:
    """Parameters of starts, by M-steps from their responsibilities.

    Each start has responsibilities of experts for the rows, (K, n), which may sum to less than one:
    the other rows do not count. Those for the gate are (K, n), or (K, U) of units.
    """

    def fit(batch: Sequence[tuple[Array, Array]]) -> list[Params]:
        of_experts = np.concatenate([resp for resp, _ in batch])
        experts = fitted_experts(model, rows, of_experts, len(batch))
        split = model.experts.split(experts, len(batch))
        return [
            Params(fitted_gate(model, rows, resp), own)
            for (_, resp), (_, own) in zip(batch, split, strict=True)
        ]

    def failed(start: tuple[Array, Array]) -> Params:
        n_columns = rows.gate_design.shape[1], rows.expert_design.shape[1]
        gate = model.gate.init_params(model.n_experts, n_columns[0])
        return Params(gate, model.experts.init_params(model.n_experts, n_columns[1]))

    pairs = list(zip(expert_resp, gate_resp, strict=True))
    return _in_batches(fit, failed, pairs, model, rows)


def _in_batches(
    function: Callable[[Sequence[Any]], list[Any]],
    failed: Callable[[Any], Any],
    starts: Sequence[Any],
    model: MixtureModel,
    rows: Dataset,
) -> list[Any]:
    """Results of a function of several starts, in groups that fit into memory together.

    Experts that share parameters are fitted start by start.
    Experts of one's own can fail where a start leaves matrices singular. Its group is then computed
    start by start, and `failed` gives the result of that start, unless there is one start only.
    """
    results: list[Any] = []
    longest = max(rows.n_rows, rows.n_gate_columns, rows.expert_design.shape[1])
    size = max(MAX_NUMBERS // (model.n_experts * longest), 1)
    size = 1 if model.experts.shares_parameters else size
    for i in range(0, len(starts), size):
        batch = starts[i : i + size]
        try:
            results += function(batch)
        except np.linalg.LinAlgError:
            if len(starts) == 1:
                raise
            for start in batch:
                try:
                    results += function([start])
                except np.linalg.LinAlgError:
                    results.append(failed(start))
    return results


def fitted_gate(model: MixtureModel, rows: Dataset, resp: Array) -> Any:
    """Parameters of the gate after a few M-steps to given responsibilities, (K, n) or (K, U)."""
    gate, design = model.gate, rows.gate_design
    params = gate.init_params(len(resp), design.shape[1])
    weighted = resp * rows.gate_weight
    for _ in range(N_GATE_STEPS):
        log_prob = gate.log_prob(params, design)
        statistics = gate.statistics(params, design, weighted, log_prob)
        hessian = gate.hessian(params, design, weighted, log_prob)
        params = gate.m_step(statistics, gate.factorize(hessian), params, 1.0)
    return params


@ignoring_overflow
def fitted_experts(model: MixtureModel, rows: Dataset, resp: Array, n_starts: int) -> Any:
    """Parameters of experts after a few M-steps to given responsibilities, (S * K, n).

    A start whose step would decrease its part of the objective goes half of the way.
    """
    family, design, y = model.experts, rows.expert_design, rows.y
    trial = _Starts(((),) * n_starts, family.init_params(len(resp), design.shape[1]))
    accepted, best, weighted = trial, np.full(n_starts, -np.inf), resp * rows.weight
    for step in range(N_EXPERT_STEPS + 1):
        at = family.at(trial.experts, design, y)
        log_prob = np.where(weighted > 0.0, at.log_prob(trial.experts, design, y), 0.0)
        penalties = [family.penalty(own) for _, own in family.split(trial.experts, n_starts)]
        reached = (weighted * log_prob).reshape(n_starts, -1).sum(axis=1) - penalties
        rises = reached >= best  # False for NaN
        accepted, best = accepted.replaced(trial, rises), np.where(rises, reached, best)
        if step < N_EXPERT_STEPS:
            statistics = at.statistics(trial.experts, design, y, weighted)
            factor = family.factorize(at.hessian(trial.experts, design, y, weighted))
            ahead = _Starts(trial.gates, family.m_step(statistics, factor, trial.experts, 1.0))
            trial = accepted.replaced(trial, ~rises, 0.5).replaced(ahead, rises)
    return accepted.experts


@ignoring_overflow
def _run_batch(
    model: MixtureModel, blocks: Sequence[Dataset], n_iter: int, params: Sequence[Params]
) -> list[EMResult]:
    gates = tuple(start.gate for start in params)
    trial = _Starts(gates, model.experts.concatenate([start.experts for start in params])[1])
    accepted, bounds = trial, np.full(len(params), -np.inf)
    total_weight = sum(float(block.weight.sum()) for block in blocks)
    history: list[list[float]] = [[] for _ in params]
    factors: Any = None
    for iteration in range(n_iter + 1):
        is_exact = iteration < N_EXACT_ITER or iteration % N_ITER_OF_HESSIAN == 0
        state = _e_step(model, trial, blocks, is_exact)
        penalties = [total_penalty(model, start) for start in _apart(model, trial)]
        reached = (state.log_likelihood - penalties) / total_weight
        rises = reached >= bounds  # False for NaN
        accepted, bounds = accepted.replaced(trial, rises), np.where(rises, reached, bounds)
        for i in np.flatnonzero(rises):
            history[i].append(float(bounds[i]))
        if is_exact:
            of_gates = [model.gate.factorize(hessian) for hessian in state.gate_hessians or ()]
            factors = of_gates, model.experts.factorize(state.expert_hessian)
        if iteration < n_iter:
            ahead = _m_step(model, trial, state, factors)
            trial = accepted.replaced(trial, ~rises, 0.5).replaced(ahead, rises)
    runs: list[EMResult] = []
    for own, of_own in zip(_apart(model, accepted), history, strict=True):
        of_iterations = of_own[1:] or of_own or [-np.inf]  # without that of the start
        runs.append(EMResult(own, of_iterations, False, False))
    return runs


def _apart(model: MixtureModel, starts: _Starts) -> list[Params]:
    """Parameters of each start."""
    experts = model.experts.split(starts.experts, len(starts.gates))
    return [Params(gate, own) for gate, (_, own) in zip(starts.gates, experts, strict=True)]


def _e_step(
    model: MixtureModel, starts: _Starts, blocks: Sequence[Dataset], with_hessians: bool
) -> _EStep:
    """The E-step of all starts."""
    usages: Sequence[Any] = [None] * len(starts.gates)
    if model.balance:
        usages = [
            sum(summed_gates(model.gate, params, block) for block in blocks)
            for params in starts.gates
        ]
    of_blocks = (_e_step_block(model, starts, usages, block, with_hessians) for block in blocks)
    return reduce(add_fields, of_blocks)


def _e_step_block(
    model: MixtureModel, starts: _Starts, usages: Sequence[Any], rows: Dataset, with_hessians: bool
) -> _EStep:
    """The E-step of all starts on one block of rows; `usages` are those of `balance_prior`."""
    n_starts, n_experts, gate = len(starts.gates), model.n_experts, model.gate
    family = model.experts.at(starts.experts, rows.expert_design, rows.y)
    log_density = family.log_prob(starts.experts, rows.expert_design, rows.y)
    joint = rows.sum_over_units(log_density).reshape(n_starts, n_experts, -1)
    log_gates = [gate.log_prob(params, rows.gate_design) for params in starts.gates]
    joint = joint + np.stack(log_gates)
    joint = joint if rows.possible is None else rows.of_possible(joint)
    # Experts first, as `posterior` has them, and the rows of all starts one after another.
    resp, log_mixture = posterior(np.moveaxis(joint, 0, 1).reshape(n_experts, -1), model.top_k)
    resp = np.moveaxis(resp.reshape(n_experts, n_starts, -1), 1, 0)
    log_likelihood = log_mixture.reshape(n_starts, -1) @ rows.gate_weight
    gate_resp = resp * rows.gate_weight
    of_experts = resp.reshape(n_starts * n_experts, -1)
    expert_resp = rows.row_responsibilities(of_experts) * rows.weight
    if model.balance:
        priors = [
            balance_prior(model.balance, logs, rows.gate_weight, usage)
            for logs, usage in zip(log_gates, usages, strict=True)
        ]
        log_likelihood += [value for value, _ in priors]
        gate_resp = gate_resp + np.stack([pseudo for _, pseudo in priors])
    of_gates = list(zip(starts.gates, gate_resp, log_gates, strict=True))
    design, rows_of_experts = rows.gate_design, (rows.expert_design, rows.y, expert_resp)
    return _EStep(
        log_likelihood,
        tuple(gate.statistics(params, design, own, logs) for params, own, logs in of_gates),
        family.statistics(starts.experts, *rows_of_experts),
        tuple(gate.hessian(params, design, own, logs) for params, own, logs in of_gates)
        if with_hessians
        else None,
        family.hessian(starts.experts, *rows_of_experts) if with_hessians else None,
    )


def _m_step(model: MixtureModel, starts: _Starts, state: _EStep, factors: Any) -> _Starts:
    """The M-step of all starts."""
    of_gates = zip(state.gates, factors[0], starts.gates, strict=True)
    gates = tuple(model.gate.m_step(*of_gate, 1.0) for of_gate in of_gates)
    experts = model.experts.m_step(state.experts, factors[1], starts.experts, 1.0)
    return _Starts(gates, experts)
