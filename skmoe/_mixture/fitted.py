"""A fitted mixture as a value, and what it says of new rows, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe._data.encoding import Encoder, encode
from skmoe._data.extra_features import ExtraFeatures, append_columns, predict_base
from skmoe._data.rows import Dataset, index_rows, make_dataset, select_raw_features, subset
from skmoe._data.scaling import BLOCK_ROWS, Standardization
from skmoe._mixture.model import MixtureModel, Params, _routed_gate
from skmoe._numerics.typing import Array, Design
from skmoe.protocols import GaussianExperts, InMemoryExperts


class FittedMixture(NamedTuple):
    """Parts, their parameters, and how they see the user's rows."""

    parts: MixtureModel
    params: Params
    scale: Standardization
    gate_columns: Array | None
    expert_columns: Array | None
    target: Standardization | None  # of each output; None for classes
    encoder: Encoder | None = None  # for tables that are not all numbers
    extra_features: ExtraFeatures | None = (
        None  # columns that are added to the features, and a base of the target
    )


def drop_training_state(mixture: FittedMixture) -> FittedMixture:
    """The mixture for new rows, without what it keeps of the rows of a running fit."""
    experts = mixture.parts.experts
    if not isinstance(experts, InMemoryExperts):
        return mixture
    params = mixture.params._replace(experts=experts.drop_training_state(mixture.params.experts))
    return mixture._replace(params=params)


def log_gate(mixture: FittedMixture, X: Any) -> Array:
    """Log probability of each expert, (K, n); with routing, of the experts a row is sent to."""
    return np.concatenate(
        [_log_gate(mixture, rows) for rows, _ in _preprocess_blocks(mixture, X)], axis=1
    )


def predict_experts(mixture: FittedMixture, X: Any) -> Array:
    """What each expert says: means (K, m, n) in the units of y, or probabilities (K, C, n)."""
    said = [_expert_means(mixture, rows) + shift for rows, shift in _preprocess_blocks(mixture, X)]
    return np.concatenate(said, axis=2)


def predict(mixture: FittedMixture, X: Any) -> Array:
    """Mean of what the experts say under the gate, (m, n) or (C, n)."""
    means = []
    for rows, shift in _preprocess_blocks(mixture, X):
        weight = np.exp(_log_gate(mixture, rows))
        if mixture.parts.top_k is None:
            said = _expert_means(mixture, rows)
            said *= weight[:, None]
            means.append(said.sum(axis=0) + shift)
        else:
            means.append(_routed_mean(mixture, rows, weight) + shift)
    return np.concatenate(means, axis=1)


def _routed_mean(mixture: FittedMixture, rows: Dataset, weight: Array) -> Array:
    """Mean that asks each expert only about the rows that are sent to it."""
    experts, params = mixture.parts.experts, mixture.params.experts
    mean: Array | float = 0.0
    for k, share in enumerate(weight):
        sent = np.flatnonzero(share)
        if len(sent):
            said = experts.mean_of(params, k, subset(rows, sent).expert_design)
            if isinstance(mean, float):
                mean = np.zeros((len(said), len(share)))
            mean[:, sent] += share[sent] * said
    if mixture.target is not None:
        center, spread = mixture.target
        mean = center[:, None] + spread[:, None] * mean
    return np.asarray(mean)


def normal_components(mixture: FittedMixture, X: Any) -> tuple[Array, Array, Array]:
    """Weights (C, n), means and standard deviations (C, m, n) of y, in its own units.

    Each expert is asked about the rows that are sent to it; elsewhere its weight is zero.
    """
    parts = []
    for rows, shift in _preprocess_blocks(mixture, X):
        weight, mean, std = _normal_components(mixture, rows)
        parts.append((weight, mean + shift, std))
    weight, mean, std = (np.concatenate(values, axis=-1) for values in zip(*parts, strict=True))
    return weight, mean, std


def _normal_components(mixture: FittedMixture, rows: Dataset) -> tuple[Array, Array, Array]:
    assert mixture.target is not None
    center, spread = mixture.target
    experts, params = mixture.parts.experts, mixture.params.experts
    assert isinstance(experts, GaussianExperts)
    components: tuple[list[Array], list[Array], list[Array]] = [], [], []
    for k, share in enumerate(np.exp(_log_gate(mixture, rows))):
        sent = np.arange(len(share)) if mixture.parts.top_k is None else np.flatnonzero(share)
        sent = sent if len(sent) else np.arange(1)  # an expert of no row still tells its components
        said = experts.components(params, k, subset(rows, sent).expert_design)
        for weight, mean, variance in zip(*said, strict=True):
            shares, means = np.zeros_like(share), np.repeat(center[:, None], len(share), axis=1)
            stds = np.repeat(spread[:, None], len(share), axis=1)
            shares[sent] = share[sent] * weight
            means[:, sent] += spread[:, None] * mean
            stds[:, sent] *= np.sqrt(variance)
            for values, value in zip(components, (shares, means, stds), strict=True):
                values.append(value)
    return tuple(np.stack(values) for values in components)  # type: ignore[return-value]


def log_joint(mixture: FittedMixture, X: Any, y: Array) -> Array:
    """Log density of y and each expert, (K, n); y is (m, n) in its own units, or codes (n,)."""
    change = 0.0 if mixture.target is None else float(np.log(mixture.target.scale).sum())
    experts, params = mixture.parts.experts, mixture.params.experts
    parts = [
        _log_gate(mixture, rows) + experts.log_prob(params, rows.expert_design, rows.y)
        for rows, _ in _preprocess_blocks(mixture, X, y)
    ]
    return np.concatenate(parts, axis=1) - change


def log_density(mixture: FittedMixture, X: Any, y: Array) -> Array:
    """Log density or log probability of y, (n,)."""
    return logsumexp(log_joint(mixture, X, y), axis=0)


def _log_gate(mixture: FittedMixture, rows: Dataset) -> Array:
    gate = mixture.parts.gate.log_prob(mixture.params.gate, rows.gate_design)
    return _routed_gate(gate, mixture.parts.top_k)


def _expert_means(mixture: FittedMixture, rows: Dataset) -> Array:
    said = mixture.parts.experts.mean(mixture.params.experts, rows.expert_design)
    if mixture.target is not None:
        center, spread = mixture.target
        said = center[:, None] + spread[:, None] * said
    return said


def _preprocess_blocks(
    mixture: FittedMixture, X: Any, y: Array | None = None
) -> Iterator[tuple[Dataset, Array | float]]:
    """Rows as the parts see them, and what a base says of their target, (m, n), or nothing."""
    columns, added = (mixture.gate_columns, mixture.expert_columns), mixture.extra_features
    raw = isinstance(mixture.parts.experts, InMemoryExperts)
    n_rows = X.shape[0]
    # A call of an estimator costs more than its rows.
    size = n_rows if raw or added is not None else BLOCK_ROWS
    for begin in range(0, n_rows, size):
        block = slice(begin, begin + size)
        here = index_rows(X, block)
        ones, told = np.ones(here.shape[0]), None
        if added is not None and added.base is not None:
            told = predict_base(added.base, here, added.classes)
        shift = 0.0 if told is None or mixture.target is None else told.T
        y_here = np.empty(here.shape[0]) if y is None else y[..., block]
        if y is not None and mixture.target is not None:
            center, spread = mixture.target
            y_here = (y_here - shift - center[:, None]) / spread[:, None]
        table = select_raw_features(here, columns[1]) if raw else None
        numbers = to_numeric(mixture, here, told)
        yield make_dataset(numbers, mixture.scale, *columns, y_here, ones, table), shift


def to_numeric(mixture: FittedMixture, X: Any, told: Array | None) -> Design:
    """Features in numbers, with the columns that are added to them; `told` is what a base says."""
    numbers = X if mixture.encoder is None else encode(mixture.encoder, X)
    return (
        numbers
        if mixture.extra_features is None
        else append_columns(mixture.extra_features, numbers, told)
    )
