"""A fitted mixture as a value, and what it says of new rows, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._augment import Added, add_columns, tell_base
from skmoe._em import Params, Parts, joint_log_prob, routed
from skmoe._encoding import Encoder, encode
from skmoe._numerics import Array, Design, add
from skmoe._rows import BLOCK_ROWS, RawTable, Rows, Scale, make_design, take, take_rows
from skmoe.protocols import NormalExperts, TableExperts


class Mixture(NamedTuple):
    """Parts, their parameters, and how they see the user's rows."""

    parts: Parts
    params: Params
    scale: Scale
    gate_columns: Array | None
    expert_columns: Array | None
    target: Scale | None  # of each output; None for classes
    encoder: Encoder | None = None  # for tables that are not all numbers
    added: Added | None = None  # columns that are added to the features, and a base of the target


def make_rows(
    X: Design,
    scale: Scale,
    gate_columns: Array | None,
    expert_columns: Array | None,
    y: Array,
    weight: Array,
    table: RawTable | None = None,
) -> Rows:
    """Rows as the parts see them: features in numbers, and the `table` of experts that want it."""
    gate_design = make_design(X, scale, gate_columns)
    if table is not None:
        return Rows(gate_design, table, y, weight)
    if gate_columns is expert_columns:
        return Rows(gate_design, gate_design, y, weight)
    return Rows(gate_design, make_design(X, scale, expert_columns), y, weight)


def raw_table(X: Any, columns: Array | None) -> RawTable:
    """The chosen columns of a table."""
    if columns is None:
        return RawTable(X)
    return RawTable(X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns])


def released(mixture: Mixture) -> Mixture:
    """The mixture for new rows, without what it keeps of the rows of a running fit."""
    experts = mixture.parts.experts
    if not isinstance(experts, TableExperts):
        return mixture
    params = mixture.params._replace(experts=experts.release(mixture.params.experts))
    return mixture._replace(params=params)


def log_gate(mixture: Mixture, X: Any) -> Array:
    """Log probability of each expert, (K, n); with routing, of the experts a row is sent to."""
    return np.concatenate([_log_gate(mixture, rows) for rows, _ in _blocks(mixture, X)], axis=1)


def predict_experts(mixture: Mixture, X: Any) -> Array:
    """What each expert says: means (K, m, n) in the units of y, or probabilities (K, C, n)."""
    said = [_say(mixture, rows) + shift for rows, shift in _blocks(mixture, X)]
    return np.concatenate(said, axis=2)


def predict(mixture: Mixture, X: Any) -> Array:
    """Mean of what the experts say under the gate, (m, n) or (C, n)."""
    means = []
    for rows, shift in _blocks(mixture, X):
        weight = np.exp(_log_gate(mixture, rows))
        if mixture.parts.top_k is None:
            said = _say(mixture, rows)
            said *= weight[:, None]
            means.append(said.sum(axis=0) + shift)
        else:
            means.append(_sparse_mean(mixture, rows, weight) + shift)
    return np.concatenate(means, axis=1)


def _sparse_mean(mixture: Mixture, rows: Rows, weight: Array) -> Array:
    """Mean that asks each expert only about the rows that are sent to it."""
    experts, params = mixture.parts.experts, mixture.params.experts
    mean: Array | float = 0.0
    for k, share in enumerate(weight):
        sent = np.flatnonzero(share)
        if len(sent):
            said = experts.predict_one(params, k, take(rows, sent).expert_design)
            if isinstance(mean, float):
                mean = np.zeros((len(said), len(share)))
            mean[:, sent] += share[sent] * said
    if mixture.target is not None:
        center, spread = mixture.target
        mean = center[:, None] + spread[:, None] * mean
    return np.asarray(mean)


def normals(mixture: Mixture, X: Any) -> tuple[Array, Array, Array]:
    """Weights (C, n), means and standard deviations (C, m, n) of y, in its own units.

    Each expert is asked about the rows that are sent to it; elsewhere its weight is zero.
    """
    parts = []
    for rows, shift in _blocks(mixture, X):
        weight, mean, std = _normals(mixture, rows)
        parts.append((weight, mean + shift, std))
    weight, mean, std = (np.concatenate(values, axis=-1) for values in zip(*parts, strict=True))
    return weight, mean, std


def _normals(mixture: Mixture, rows: Rows) -> tuple[Array, Array, Array]:
    assert mixture.target is not None
    center, spread = mixture.target
    experts, params = mixture.parts.experts, mixture.params.experts
    assert isinstance(experts, NormalExperts)
    components: tuple[list[Array], list[Array], list[Array]] = [], [], []
    for k, share in enumerate(np.exp(_log_gate(mixture, rows))):
        sent = np.arange(len(share)) if mixture.parts.top_k is None else np.flatnonzero(share)
        sent = sent if len(sent) else np.arange(1)  # an expert of no row still tells its components
        said = experts.normals(params, k, take(rows, sent).expert_design)
        for weight, mean, variance in zip(*said, strict=True):
            shares, means = np.zeros_like(share), np.repeat(center[:, None], len(share), axis=1)
            stds = np.repeat(spread[:, None], len(share), axis=1)
            shares[sent] = share[sent] * weight
            means[:, sent] += spread[:, None] * mean
            stds[:, sent] *= np.sqrt(variance)
            for values, value in zip(components, (shares, means, stds), strict=True):
                values.append(value)
    return tuple(np.stack(values) for values in components)  # type: ignore[return-value]


def log_joint(mixture: Mixture, X: Any, y: Array) -> Array:
    """Log density of y and each expert, (K, n); y is (m, n) in its own units, or codes (n,)."""
    change = 0.0 if mixture.target is None else float(np.log(mixture.target.spread).sum())
    experts, params = mixture.parts.experts, mixture.params.experts
    parts = [
        _log_gate(mixture, rows) + experts.log_prob(params, rows.expert_design, rows.y)
        for rows, _ in _blocks(mixture, X, y)
    ]
    return np.concatenate(parts, axis=1) - change


def log_density(mixture: Mixture, X: Any, y: Array) -> Array:
    """Log density or log probability of y, (n,)."""
    return logsumexp(log_joint(mixture, X, y), axis=0)


def _log_gate(mixture: Mixture, rows: Rows) -> Array:
    gate = mixture.parts.gate.log_prob(mixture.params.gate, rows.gate_design)
    return _routed_gate(gate, mixture.parts.top_k)


def _routed_gate(gate: Array, top_k: int | None) -> Array:
    """Log probabilities of the experts that a row is sent to, among themselves."""
    if top_k is None:
        return gate
    kept = routed(gate, top_k)
    return kept - logsumexp(kept, axis=0)


class Usage(NamedTuple):
    """How experts are used, each (K,)."""

    share: Array  # mean probability of the gate as it predicts
    # Weight of the rows that the gate sends to the expert: to the `top_k` most probable ones, or
    # without routing to the most probable one.
    load: Array
    explained: Array  # weight of the rows that the expert explains


def usage(parts: Parts, params: Params, blocks: Any) -> Usage:
    """How experts are used by the rows of all blocks."""
    over = getattr(blocks, "over", map)  # blocks that live elsewhere bring their own
    total = reduce(add, over(partial(_usage, parts, params), blocks))
    return total._replace(share=total.share / total.share.sum())


def _usage(parts: Parts, params: Params, rows: Rows) -> Usage:
    """What a block adds; its share is a sum."""
    gate, joint = joint_log_prob(parts, params, rows)
    share = np.exp(_routed_gate(gate, parts.top_k)) @ rows.weight
    load = np.isfinite(routed(gate, parts.top_k or 1)) @ rows.weight
    joint = routed(joint, parts.top_k)
    return Usage(share, load, np.exp(joint - logsumexp(joint, axis=0)) @ rows.weight)


def _say(mixture: Mixture, rows: Rows) -> Array:
    said = mixture.parts.experts.predict(mixture.params.experts, rows.expert_design)
    if mixture.target is not None:
        center, spread = mixture.target
        said = center[:, None] + spread[:, None] * said
    return said


def _blocks(
    mixture: Mixture, X: Any, y: Array | None = None
) -> Iterator[tuple[Rows, Array | float]]:
    """Rows as the parts see them, and what a base says of their target, (m, n), or nothing."""
    columns, added = (mixture.gate_columns, mixture.expert_columns), mixture.added
    raw = isinstance(mixture.parts.experts, TableExperts)
    n_rows = X.shape[0]
    # A call of an estimator costs more than its rows.
    size = n_rows if raw or added is not None else BLOCK_ROWS
    for begin in range(0, n_rows, size):
        block = slice(begin, begin + size)
        here = take_rows(X, block)
        ones, told = np.ones(here.shape[0]), None
        if added is not None and added.base is not None:
            told = tell_base(added.base, here, added.classes)
        shift = 0.0 if told is None or mixture.target is None else told.T
        y_here = np.empty(here.shape[0]) if y is None else y[..., block]
        if y is not None and mixture.target is not None:
            center, spread = mixture.target
            y_here = (y_here - shift - center[:, None]) / spread[:, None]
        table = raw_table(here, columns[1]) if raw else None
        numbers = in_numbers(mixture, here, told)
        yield make_rows(numbers, mixture.scale, *columns, y_here, ones, table), shift


def in_numbers(mixture: Mixture, X: Any, told: Array | None) -> Design:
    """Features in numbers, with the columns that are added to them; `told` is what a base says."""
    numbers = X if mixture.encoder is None else encode(mixture.encoder, X)
    return numbers if mixture.added is None else add_columns(mixture.added, numbers, told)
