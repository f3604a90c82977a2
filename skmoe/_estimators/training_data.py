"""Taking in: an estimator's parameters and the user's rows, checked and in the types of the fit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from skmoe._data.checks import (
    as_csr,
    check_columns,
    check_weights,
    class_codes,
    explain_missing_values,
)
from skmoe._data.encoding import (
    Encoder,
    check_numbers,
    encode,
    encoded_columns,
    is_frame,
    make_encoder,
)
from skmoe._data.folds import check_metadata
from skmoe._data.rows import index_rows
from skmoe._data.scaling import Standardization
from skmoe._estimators.parameters import (
    FitParameters,
    accepts_missing,
    check_init,
    check_metadata_used,
)
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.initialization import INITIALIZERS
from skmoe._mixture.model import Params
from skmoe._mixture.multistart import EMProblem
from skmoe._numerics.typing import Array, Design


class TrainingData(NamedTuple):
    """Checked rows of positive weight."""

    X: Design  # in numbers
    y: Array  # numbers (n,) or (n, m), or codes of labels (n,)
    weight: Array
    init: str | Array | Params
    raw_X: Any  # the table as given, for experts that take it so
    encoder: Encoder | None
    groups: Array | None
    metadata: dict[str, Array]
    unique_rows: tuple[Array, Array] | None  # rows of each kind and their weights, if many
    columns: tuple[Array | None, Array | None]  # of gate and experts
    warm_start_from: FittedMixture | None  # that a warm start goes on from
    attributes: dict[str, Any]
    all_classes: bool = False  # whether classes without rows are to stay
    known_scales: tuple[Standardization, Standardization | None] | None = (
        None  # of features and outputs, if known
    )

    def take(self, index: Array) -> TrainingData:
        """Rows at an index."""
        return self._replace(
            X=self.X[index],
            y=self.y[index],
            weight=self.weight[index],
            init=self.init[:, index] if isinstance(self.init, np.ndarray) else self.init,
            raw_X=None if self.raw_X is None else index_rows(self.raw_X, index),
            groups=None if self.groups is None else self.groups[index],
            metadata={name: values[index] for name, values in self.metadata.items()},
        )


def validate_training_data(
    estimator: Any,
    options: FitParameters,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    metadata: dict[str, Any],
    names: Array | None = None,
) -> TrainingData:
    validation_copy = copy.copy(estimator)  # takes what scikit-learn's validation writes
    uses_estimators = not isinstance(options.experts, str)
    if uses_estimators and is_frame(X):
        X = validate_data(validation_copy, X, skip_check_array=True)
        dummy_X = np.zeros((X.shape[0], 1))
        _, y, attributes = estimator._validate_fit_data(copy.copy(estimator), dummy_X, y)
    else:
        with explain_missing_values():
            X, y, attributes = estimator._validate_fit_data(validation_copy, X, y)
        X = as_csr(X)
    weight = check_weights(sample_weight, len(y))
    raw_X = X if uses_estimators else None
    encoder = _make_encoder(estimator, X, weight) if uses_estimators else None
    if encoder is not None:
        X = encode(encoder, X)
    n_features, names = (
        validation_copy.n_features_in_,
        getattr(validation_copy, "feature_names_in_", names),
    )
    gate_columns, expert_columns = (
        check_columns(name, getattr(estimator, name), n_features, names)
        for name in ("gate_features", "expert_features")
    )
    if encoder is not None:
        gate_columns = encoded_columns(encoder, gate_columns)
    init = check_init(estimator.init, list(INITIALIZERS), len(y), options.n_experts)
    extras = check_metadata({"groups": groups, **metadata}, len(y))
    check_metadata_used(extras, options.experts, estimator.base is not None)
    attributes |= {"n_features_in_": n_features, "n_experts_": options.n_experts}
    if names is not None:
        attributes["feature_names_in_"] = names
    return TrainingData(
        X,
        y,
        weight,
        init if isinstance(init, str) else init.T,
        raw_X,
        encoder,
        extras.pop("groups", None),
        extras,
        None,
        (gate_columns, expert_columns),
        None,
        attributes,
    )


def with_classes(data: TrainingData, classes: Array) -> TrainingData:
    """Rows of a part of the data, whose classes are known."""
    codes = class_codes(data.attributes["classes_"][data.y], classes)
    attributes = data.attributes | {"classes_": classes}
    return data._replace(y=codes, attributes=attributes, all_classes=True)


def _make_encoder(estimator: Any, X: Any, weight: Array) -> Encoder | None:
    """What makes numbers for the gate of a table that may hold other things."""
    takes_missing = accepts_missing(estimator.expert)
    if not is_frame(X) and (sparse.issparse(X) or not takes_missing):
        return None
    encoder = make_encoder(X, weight, takes_missing)
    check_numbers(estimator, X, encoder)
    return encoder


def drop_zero_weight(data: TrainingData) -> TrainingData:
    """Rows of positive weight: zero weight is absence."""
    kept = np.flatnonzero(data.weight > 0.0)
    return data if len(kept) == len(data.weight) else data.take(kept)


class TrainingTarget(NamedTuple):
    """The target as the parts want it."""

    y: Array  # outputs (m, n), or class codes (n,)
    init_targets: Array  # what starts look at: standardised outputs or class indicators (m, n)
    weight: Array
    scale: Standardization | None  # of the outputs
    attributes: dict[str, Any]


class FitProblem(NamedTuple):
    """A fit that is ready to run."""

    mixture: Callable[..., FittedMixture]  # of its `params`
    em_problem: EMProblem
    log_jacobian: float  # from the lower bound of standardised outputs to the user's
    attributes: dict[str, Any]  # known before the fit
    key: str | None  # of data and experts, where a warm start may want to know them again
