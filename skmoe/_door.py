"""From an estimator and the user's data to a fit that is ready to run.

Everything that can be wrong is found here, before any work, and nothing of the estimator changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from skmoe import _validation
from skmoe._em import Params, Parts
from skmoe._mixture import Mixture, make_rows
from skmoe._numerics import Array, Design
from skmoe._rows import Scale, distinct_rows, standard_scale, take
from skmoe._search import Setup
from skmoe._starts import STARTS, make_table
from skmoe.experts import EXPERTS
from skmoe.gates import GATES
from skmoe.protocols import Gate

# Rows on which starts are found; tables of no more distinct rows are reduced to those.
MOST_ROWS = 20_000


class Options(NamedTuple):
    """Checked parameters of the estimator."""

    n_experts: int
    expert: str
    gate: Gate
    n_init: int
    max_iter: int
    tol: float


class Data(NamedTuple):
    """Checked rows of positive weight."""

    X: Design
    y: Array  # numbers (n,) or (n, m), or codes of labels (n,)
    weight: Array
    begin: str | Array | Params
    distinct: tuple[Array, Array] | None  # rows of each kind and their weights, if many
    columns: tuple[Array | None, Array | None]  # of gate and experts
    previous: Mixture | None  # that a warm start goes on from
    attributes: dict[str, Any]


class Target(NamedTuple):
    """The target as the parts want it."""

    y: Array  # standardised outputs (m, n), or class codes (n,)
    signals: Array  # what starts look at, (m, n)
    weight: Array
    scale: Scale | None  # of the outputs
    attributes: dict[str, Any]


class Problem(NamedTuple):
    """A fit that is ready to run."""

    mixture: Callable[..., Mixture]  # of its `params`
    setup: Setup
    bound_shift: float  # from the lower bound of standardised outputs to the user's
    attributes: dict[str, Any]  # known before the fit


def open_door(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Problem:
    """Check parameters and data and lay out the fit."""
    options = _check_options(estimator)
    data = _reduce(_check_data(estimator, options, X, y, sample_weight), options.n_experts)
    return _lay_out(estimator, options, data)


def _check_options(estimator: Any) -> Options:
    n_experts = _validation.check_integer("n_experts", estimator.n_experts, least=1)
    gate_alpha = _validation.check_real("gate_alpha", estimator.gate_alpha)
    _validation.check_real("alpha", estimator.alpha)
    _validation.check_flag("warm_start", estimator.warm_start)
    _validation.check_verbose(estimator.verbose)
    estimator._check_own_parameters()
    return Options(
        n_experts,
        _validation.check_expert(estimator.expert, EXPERTS),
        _validation.resolve_gate(estimator.gate, GATES, gate_alpha, n_experts),
        _validation.check_integer("n_init", estimator.n_init, least=1),
        _validation.check_integer("max_iter", estimator.max_iter, least=1),
        _validation.check_real("tol", estimator.tol),
    )


def _check_data(estimator: Any, options: Options, X: Any, y: Any, sample_weight: Any) -> Data:
    """Rows of positive weight: zero weight is absence."""
    probe = copy.copy(estimator)  # takes what scikit-learn's validation writes
    X, y, attributes = estimator._validate_fit_data(probe, X, y)
    X = _validation.as_csr(X)
    n_features, names = probe.n_features_in_, getattr(probe, "feature_names_in_", None)
    gate_columns, expert_columns = (
        _validation.check_columns(name, getattr(estimator, name), n_features, names)
        for name in ("gate_features", "expert_features")
    )
    weight = _validation.check_weights(sample_weight, len(y))
    begin = _validation.check_init(estimator.init, list(STARTS), len(y), options.n_experts)
    begin = begin if isinstance(begin, str) else begin.T
    present = np.flatnonzero(weight > 0.0)
    if len(present) < len(weight):
        X, y, weight = X[present], y[present], weight[present]
        begin = begin if isinstance(begin, str) else begin[:, present]
    previous = getattr(estimator, "_mixture", None) if estimator.warm_start else None
    if previous is not None:
        _validation.check_same_width(n_features, len(previous.scale.spread))
        begin = previous.params
    attributes |= {"n_features_in_": n_features, "n_experts_": options.n_experts}
    if names is not None:
        attributes["feature_names_in_"] = names
    columns = gate_columns, expert_columns
    return Data(X, y, weight, begin, None, columns, previous, attributes)


def _reduce(data: Data, n_experts: int) -> Data:
    """Find distinct rows, and leave those only if they are not many."""
    distinct, weight = distinct_rows(data.X, data.y, data.weight)
    _validation.check_enough_rows(n_experts, len(distinct))
    if len(distinct) > MOST_ROWS or isinstance(data.begin, np.ndarray):
        return data._replace(distinct=(distinct, weight))
    return data._replace(X=data.X[distinct], y=data.y[distinct], weight=weight)


def _lay_out(estimator: Any, options: Options, data: Data) -> Problem:
    target = estimator._make_target(data)
    previous = data.previous
    scale = standard_scale(data.X, target.weight) if previous is None else previous.scale
    rows = make_rows(data.X, scale, *data.columns, target.y, target.weight)
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    *seeds, sample_seed = np.random.SeedSequence(seed).spawn(options.n_init + 1)
    sample, signals = rows, target.signals
    if data.distinct is not None:
        rng = np.random.default_rng(sample_seed)
        index, weight = data.distinct
        chosen = np.sort(rng.permutation(len(index))[:MOST_ROWS])
        index, weight = index[chosen], weight[chosen]
        # Penalties are to weigh as much against the sample as against all rows.
        sample = take(rows, index, weight * (target.weight.sum() / weight.sum()))
        signals = signals[:, index]
    table = make_table(sample, signals)
    parts = Parts(options.gate, estimator._make_experts(options.expert, table))
    if previous is not None:
        _validation.check_continues(previous.params, parts, rows, options.n_experts)
    setup = Setup(
        parts, rows, table, options.n_experts, data.begin, seeds, options.max_iter, options.tol
    )
    mixture = partial(
        Mixture,
        parts=parts,
        scale=scale,
        gate_columns=data.columns[0],
        expert_columns=data.columns[1],
        target=target.scale,
    )
    shift = 0.0 if target.scale is None else -float(np.log(target.scale.spread).sum())
    return Problem(mixture, setup, shift, data.attributes | target.attributes)
