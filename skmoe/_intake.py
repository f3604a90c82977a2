"""Taking in: an estimator's parameters and the user's rows, checked and in the types of the fit."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import validate_data

from skmoe import _expert_validation, _validation
from skmoe._em import Params
from skmoe._encoding import Encoder, encode, encoded_columns, is_frame, make_encoder
from skmoe._mixture import Mixture
from skmoe._numerics import Array, Design
from skmoe._rows import Scale
from skmoe._rows import take_rows as take_table
from skmoe._starts import STARTS
from skmoe.experts import ESTIMATORS, EXPERTS
from skmoe.gates import GATES
from skmoe.protocols import Gate


class Options(NamedTuple):
    """Checked parameters of the estimator."""

    n_experts: int
    experts: str | list[Any]  # a parametric family, or K names or estimators
    gate: Gate
    n_init: int
    max_iter: int
    tol: float
    cross_fit: int | str | bool
    top_k: int | None
    balance: float


class Data(NamedTuple):
    """Checked rows of positive weight."""

    X: Design  # in numbers
    y: Array  # numbers (n,) or (n, m), or codes of labels (n,)
    weight: Array
    begin: str | Array | Params
    raw: Any  # the table as given, for experts that take it so
    encoder: Encoder | None
    groups: Array | None
    metadata: dict[str, Array]
    distinct: tuple[Array, Array] | None  # rows of each kind and their weights, if many
    columns: tuple[Array | None, Array | None]  # of gate and experts
    previous: Mixture | None  # that a warm start goes on from
    attributes: dict[str, Any]
    all_classes: bool = False  # whether classes without rows are to stay
    scales: tuple[Scale, Scale | None] | None = None  # of features and outputs, if known

    def take(self, index: Array) -> Data:
        """Rows at an index."""
        return self._replace(
            X=self.X[index],
            y=self.y[index],
            weight=self.weight[index],
            begin=self.begin[:, index] if isinstance(self.begin, np.ndarray) else self.begin,
            raw=None if self.raw is None else take_table(self.raw, index),
            groups=None if self.groups is None else self.groups[index],
            metadata={name: values[index] for name, values in self.metadata.items()},
        )


def check_options(estimator: Any) -> Options:
    n_experts = _validation.check_integer("n_experts", estimator.n_experts, least=1)
    gate_alpha = _validation.check_real("gate_alpha", estimator.gate_alpha)
    if estimator.alpha is not None:
        _validation.check_real("alpha", estimator.alpha)
    _validation.check_flag("warm_start", estimator.warm_start)
    _validation.check_verbose(estimator.verbose)
    n_init = _validation.check_integer("n_init", estimator.n_init, least=1)
    _validation.check_combine(estimator.combine, n_init, estimator.init, estimator.warm_start)
    estimator._check_own_parameters()
    experts = _expert_validation.check_experts(
        estimator.expert, n_experts, task_of(estimator), list(EXPERTS), list(ESTIMATORS)
    )
    cross_fit = _expert_validation.check_cross_fit(estimator.cross_fit)
    _expert_validation.check_out_of_bag(cross_fit, experts)
    _expert_validation.check_base(estimator.base, task_of(estimator))
    return Options(
        n_experts,
        experts,
        _validation.resolve_gate(estimator.gate, GATES, gate_alpha, n_experts),
        n_init,
        _validation.check_integer("max_iter", estimator.max_iter, least=1),
        _validation.check_real("tol", estimator.tol),
        cross_fit,
        _validation.check_top_k(estimator.top_k, n_experts),
        _validation.check_real("balance", estimator.balance),
    )


def check_data(
    estimator: Any,
    options: Options,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    metadata: dict[str, Any],
    names: Array | None = None,
) -> Data:
    probe = copy.copy(estimator)  # takes what scikit-learn's validation writes
    in_table = not isinstance(options.experts, str)
    if in_table and is_frame(X):
        X = validate_data(probe, X, skip_check_array=True)
        stand_in = np.zeros((X.shape[0], 1))
        _, y, attributes = estimator._validate_fit_data(copy.copy(estimator), stand_in, y)
    else:
        with _validation.remedy_for_holes():
            X, y, attributes = estimator._validate_fit_data(probe, X, y)
        X = _validation.as_csr(X)
    weight = _validation.check_weights(sample_weight, len(y))
    raw = X if in_table else None
    encoder = _make_encoder(estimator, X, weight) if in_table else None
    if encoder is not None:
        X = encode(encoder, X)
    n_features, names = probe.n_features_in_, getattr(probe, "feature_names_in_", names)
    gate_columns, expert_columns = (
        _validation.check_columns(name, getattr(estimator, name), n_features, names)
        for name in ("gate_features", "expert_features")
    )
    if encoder is not None:
        gate_columns = encoded_columns(encoder, gate_columns)
    begin = _validation.check_init(estimator.init, list(STARTS), len(y), options.n_experts)
    extras = _expert_validation.check_metadata({"groups": groups, **metadata}, len(y))
    _expert_validation.check_unused(extras, options.experts, estimator.base is not None)
    attributes |= {"n_features_in_": n_features, "n_experts_": options.n_experts}
    if names is not None:
        attributes["feature_names_in_"] = names
    return Data(
        X,
        y,
        weight,
        begin if isinstance(begin, str) else begin.T,
        raw,
        encoder,
        extras.pop("groups", None),
        extras,
        None,
        (gate_columns, expert_columns),
        None,
        attributes,
    )


def of_classes(data: Data, classes: Array) -> Data:
    """Rows of a part of the data, whose classes are known."""
    codes = _validation.class_codes(data.attributes["classes_"][data.y], classes)
    attributes = data.attributes | {"classes_": classes}
    return data._replace(y=codes, attributes=attributes, all_classes=True)


def _make_encoder(estimator: Any, X: Any, weight: Array) -> Encoder | None:
    """What makes numbers for the gate of a table that may hold other things."""
    takes_missing = _expert_validation.accepts_missing(estimator.expert)
    if not is_frame(X) and (sparse.issparse(X) or not takes_missing):
        return None
    encoder = make_encoder(X, weight, takes_missing)
    _expert_validation.check_numbers(estimator, X, encoder)
    return encoder


def present(data: Data) -> Data:
    """Rows of positive weight: zero weight is absence."""
    kept = np.flatnonzero(data.weight > 0.0)
    return data if len(kept) == len(data.weight) else data.take(kept)


def task_of(estimator: Any) -> str:
    return "classifier" if is_classifier(estimator) else "regressor"
