"""Validation of the training data, and conversion to internal types."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from skmoe._data.canonical import CanonicalForm, canonical_form
from skmoe._data.checks import (
    as_csr,
    check_columns,
    check_enough_rows,
    check_offset,
    check_weights,
    class_codes,
)
from skmoe._data.duplicates import unique_weighted_rows
from skmoe._data.encoding import (
    Encoder,
    category_codes,
    encode,
    encoded_columns,
    is_frame,
    make_encoder,
    numeric_names,
)
from skmoe._data.feature_checks import check_numbers, explain_features
from skmoe._data.feature_range import fit_feature_range
from skmoe._data.folds import check_metadata
from skmoe._data.rows import index_rows
from skmoe._data.scaling import Standardization
from skmoe._data.units import join_groups
from skmoe._estimators.parameters.parameters import (
    FitParameters,
    check_init,
    check_metadata_used,
)
from skmoe._estimators.parameters.part_parameters import (
    accepts_missing,
    check_accept_sparse,
    check_one_exposure,
    check_takes_offset,
)
from skmoe._estimators.parameters.tasks import TargetData, TrainingTarget
from skmoe._estimators.rows.metadata_routing import make_routes
from skmoe._estimators.rows.unit_checks import (
    check_gate_columns,
    check_init_of_units,
    validate_units_of_fit,
)
from skmoe._estimators.rows.warm_start import PreviousFit
from skmoe._mixture.initialization import INITIALIZERS
from skmoe._mixture.model import Params
from skmoe._numerics.typing import Array, Design


class GivenRows(NamedTuple):
    """Arguments of `fit` that have an entry for each row."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    groups: Any = None
    metadata: Mapping[str, Any] = {}  # for the fits of experts that are estimators
    offset: Any = None
    units: Any = None


class TrainingData(NamedTuple):
    """Validated rows of positive weight."""

    X: Design  # numeric features
    y: Array  # numbers (n,) or (n, m), or class codes (n,)
    weight: Array
    init: str | Array | Params  # named initialisation, responsibilities (K, n), or parameters
    raw_X: Any  # features as given, for experts that are estimators
    encoder: Encoder | None
    groups: Array | None
    metadata: dict[str, Array]
    routes: tuple[dict[str, str], ...]  # for each expert, arguments of its fit and their metadata
    # Indices and weights of the distinct rows, if the data set is not reduced to them.
    unique_rows: tuple[Array, Array] | None
    columns: tuple[Array | None, Array | None]  # of gate and experts
    shared_columns: Array | None  # of the design matrix of the experts; None without
    previous: PreviousFit | None  # that a warm start continues
    attributes: dict[str, Any]  # fitted attributes
    keeps_all_classes: bool = False  # whether classes without rows are kept
    offset: Array | None = None  # of the linear predictors, (n,) or (m, n)
    noise_variance: Array | None = None  # of the standardised outputs, instead of an estimate
    # Of features and outputs, from the first pass over row blocks.
    block_scaling: tuple[Standardization, Standardization | None] | None = None
    block_range: Array | None = None  # of the features, from the same pass
    units: Array | None = None  # number of the unit of each row; None for each row its own
    unit_factor: float = 1.0  # number of units that each one stands for, in a sample of units
    copy_of: Array | None = None  # number of the distinct row of each row, if copies are kept

    @property
    def fold_groups(self) -> Array | None:
        """Groups of rows that are on one side of every fold: of the user, and units."""
        return join_groups(self.groups, self.units)

    @property
    def feature_range(self) -> Array:
        """Smallest and largest value (2, p) of each feature that `fit` was given."""
        if self.block_range is not None:
            return self.block_range
        if self.raw_X is not None:
            return fit_feature_range(self.raw_X, self.encoder)
        n_features = self.attributes["n_features_in_"]  # without the extra ones
        extended = self.X.shape[1] > n_features
        return fit_feature_range(self.X[:, :n_features] if extended else self.X)

    def take(self, index: Array) -> TrainingData:
        """The rows at an index."""
        return self._replace(
            X=self.X[index],
            y=self.y[index],
            weight=self.weight[index],
            init=self.init[:, index] if isinstance(self.init, np.ndarray) else self.init,
            raw_X=None if self.raw_X is None else index_rows(self.raw_X, index),
            groups=None if self.groups is None else self.groups[index],
            units=None if self.units is None else self.units[index],
            offset=None if self.offset is None else self.offset[..., index],
            metadata={name: values[index] for name, values in self.metadata.items()},
        )

    def make_target(self, params: FitParameters) -> TrainingTarget:
        """The target in the units of the experts."""
        previous = self.previous
        data = TargetData(
            self.y,
            self.weight,
            self.attributes.get("classes_"),
            self.keeps_all_classes,
            None if self.block_scaling is None else self.block_scaling[1],
            None if previous is None else previous.fitted.preprocessor.target_scaling,
            None if previous is None else previous.classes,
            self.offset,
        )
        return params.task.make_target(data, params.density)


def validate_training_data(
    estimator: Any,
    params: FitParameters,
    given: GivenRows,
    names: Array | None = None,
) -> TrainingData:
    """Validate the arguments of `fit`, without changing the estimator.

    `names` are feature names, for X without names.
    """
    validation_copy = copy.copy(estimator)  # receives n_features_in_ and feature_names_in_
    X, y, attributes = _validate_X_y(validation_copy, params, given.X, given.y)
    check_enough_rows(params.n_experts, len(y), "rows")
    weight = check_weights(given.sample_weight, len(y))
    offset = validate_offset(params, given.offset, len(y), 1 if y.ndim == 1 else y.shape[1])
    if offset is not None and not offset.any():
        offset = None  # the same fit, bit for bit
    check_support(params, y, weight)
    raw_X = X if params.uses_estimators else None
    encoder = _make_encoder(params, X, weight)
    if encoder is not None:
        X = encode(encoder, X)
    n_features = validation_copy.n_features_in_
    names = getattr(validation_copy, "feature_names_in_", names)
    gate_columns = check_columns("gate_features", params.gate_features, n_features, names)
    # Experts without features have means, or counts, that do not depend on them: latent classes.
    expert_columns = check_columns(
        "expert_features",
        params.expert_features,
        n_features,
        names,
        allow_empty=not params.uses_estimators,
    )
    if encoder is not None:
        gate_columns = encoded_columns(encoder, gate_columns)
    init = check_init(params.init, list(INITIALIZERS), len(y), params.n_experts)
    extras = check_metadata({"groups": given.groups, **given.metadata}, len(y))
    check_metadata_used(extras, params)
    units = validate_units_of_fit(params, given.units, weight)
    if units is not None:
        attributes["n_units_"] = len(np.unique(units.codes[weight > 0.0]))
        if params.gate_aggregate is None and params.gate.depends_on_features:
            column_names = numeric_names(names, encoder, n_features)
            check_gate_columns(X, units, gate_columns, column_names)
        check_init_of_units(init, units)
    attributes |= {"n_features_in_": n_features, "n_experts_": params.n_experts}
    if names is not None:
        attributes["feature_names_in_"] = names
    groups = extras.pop("groups", None)
    is_trivial = units is None or (len(units.labels) == len(y) and (weight == 1.0).all())
    return TrainingData(
        X=X,
        y=y,
        weight=weight,
        init=init if isinstance(init, str) else init.T,
        raw_X=raw_X,
        encoder=encoder,
        groups=groups,
        metadata=extras,
        routes=make_routes(estimator, extras, params.n_experts) if params.uses_estimators else (),
        unique_rows=None,
        columns=(gate_columns, expert_columns),
        shared_columns=_shared_columns(params.shared_features, expert_columns, n_features, names),
        previous=None,
        attributes=attributes,
        offset=offset,
        units=None if units is None or is_trivial else units.codes,
    )


def validate_offset(
    params: FitParameters, offset: Any, n_rows: int, n_outputs: int
) -> Array | None:
    """Offset of the linear predictors, (n,) or (m, n), which the family must take, or None."""
    if offset is not None:
        check_takes_offset(params.expert_parameter, params.expert, params.density)
    values = check_offset(offset, n_rows, n_outputs)
    if params.uses_estimators:
        check_one_exposure(params.expert_parameter, params.expert, values)
    return values


def _shared_columns(
    shared_features: Any, expert_columns: Array | None, n_features: int, names: Array | None
) -> Array | None:
    """Columns of the design matrix of the experts whose slopes are shared; None without."""
    if shared_features is None:
        return None
    columns = check_columns("shared_features", shared_features, n_features, names)
    assert columns is not None
    own = np.arange(n_features) if expert_columns is None else expert_columns
    missing = [str(column) for column in columns if column not in own]
    if missing:
        raise ValueError(
            f"shared_features must be among the expert_features; column {missing[0]} is not. Add "
            "it to expert_features, or leave it out of shared_features."
        )
    return np.flatnonzero(np.isin(own, columns))


def _validate_X_y(
    validation_copy: Any, params: FitParameters, X: Any, y: Any
) -> tuple[Any, Array, dict[str, Any]]:
    """Validated X and y; data frames for experts that are estimators are not converted."""
    if sparse.issparse(X):
        check_accept_sparse(params.expert_parameter, params.expert, params.base)
    finite = "allow-nan" if accepts_missing(params.expert) and not sparse.issparse(X) else True
    if params.uses_estimators and is_frame(X):
        X = validate_data(validation_copy, X, skip_check_array=True)
        dummy_X = np.zeros((X.shape[0], 1))
        _, y, attributes = params.task.validate(copy.copy(validation_copy), dummy_X, y, finite)
        return X, y, attributes
    with explain_features(X):
        X, y, attributes = params.task.validate(validation_copy, X, y, finite)
    return as_csr(X), y, attributes


def check_support(params: FitParameters, y: Array, weight: Array) -> None:
    """Targets of positive weight must be in the support of the family."""
    family = params.density
    if family is None or params.task.is_classification:
        return
    obstacle = family.obstacle(np.atleast_2d(y.T))
    if obstacle:
        raise ValueError(
            f"{params.family_name} needs {obstacle}. Use another family, such as "
            'family="normal", or several mixtures for several outputs.'
        )
    outside = np.flatnonzero(~family.in_support(np.atleast_2d(y.T)) & (weight > 0.0))
    if len(outside):
        row = int(outside[0])
        values = np.atleast_1d(y[row])
        value = ", ".join(f"{entry:g}" for entry in values)
        raise ValueError(
            f"y must hold {family.support} for {params.family_name}; row {row} holds {value}. "
            f"Correct the target, or use {_family_for(values, params.uses_estimators)}."
        )


def _family_for(values: Array, of_estimators: bool) -> str:
    """Families in whose support some values are, in words; estimators have one in common."""
    if (values < 0.0).any():
        return 'a family for all numbers, such as family="normal" or "student_t"'
    if (values != np.floor(values)).any():
        return 'a family for positive numbers, such as family="gamma" or "lognormal"'
    if of_estimators:
        return 'a family with zeros, such as family="normal", or "poisson" for counts'
    return 'a list of families with "zero", such as family=["zero", "gamma"]'


def with_classes(data: TrainingData, classes: Array) -> TrainingData:
    """Data with the labels encoded by a given list of classes."""
    codes = class_codes(data.attributes["classes_"][data.y], classes)
    attributes = data.attributes | {"classes_": classes}
    return data._replace(y=codes, attributes=attributes, keeps_all_classes=True)


def _make_encoder(params: FitParameters, X: Any, weight: Array) -> Encoder | None:
    """Encoder of the gate's features, if the experts accept features that are not numeric."""
    if not params.uses_estimators:
        return None
    allow_nan = accepts_missing(params.expert)
    if not is_frame(X) and (sparse.issparse(X) or not allow_nan):
        return None
    encoder = make_encoder(X, weight, allow_nan)
    # Indices of columns in experts are those of X only if experts have all columns.
    of_experts = X if params.expert_features is None else None
    accepted = allow_nan and accepts_missing(params.expert, of_experts)
    check_numbers(X, encoder._replace(allow_nan=accepted))
    return encoder


def distinct_rows(params: FitParameters, data: TrainingData) -> tuple[Array, Array]:
    """Indices of the distinct rows, and their total weights.

    Their order does not depend on the order of the rows. Rows of different groups or
    offsets are different.
    """
    keys, form = row_keys(params, data)
    return unique_weighted_rows(data.X, keys, data.weight, form)


def row_keys(params: FitParameters, data: TrainingData) -> tuple[Array, CanonicalForm]:
    """What distinguishes rows besides their features, and the canonical form of the data."""
    outputs = data.y.reshape(len(data.y), -1)
    keys = outputs
    if data.groups is not None:
        keys = np.column_stack([keys, np.unique(data.groups, return_inverse=True)[1]])
    if data.offset is not None:
        keys = np.column_stack([keys, data.offset.T])
    if data.encoder is not None:  # infrequent categories are merged in data.X
        keys = np.column_stack([keys, category_codes(data.encoder, data.raw_X)])
    signed = not params.task.is_classification
    return keys, canonical_form(data.X, outputs.T, data.weight, signed=signed)


def drop_zero_weight(data: TrainingData) -> TrainingData:
    """The rows of positive weight."""
    kept = np.flatnonzero(data.weight > 0.0)
    return data if len(kept) == len(data.weight) else data.take(kept)
