"""Checks of the values of a document: those of a fit, which agree with each other.

A checksum proves that a document is whole, not who wrote it. Attributes are those of a fixed list:
the private state of an estimator, what every fit computes, and what the parts of the mixture derive
from its parameters. Each check raises a ValueError with the reason only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._data.units import GATE_AGGREGATES
from skmoe._estimators.fitting.attributes import attributes_of_mixture
from skmoe._estimators.methods.expert_names import check_expert_names
from skmoe._estimators.parameters.penalty_parameters import SEARCHES
from skmoe._estimators.rows.warm_start import OPTIONAL_ATTRIBUTES, PRIVATE_ATTRIBUTES, TrainingState
from skmoe._estimators.saving.plain_values import field_names
from skmoe._mixture.em import ResumeState
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.typing import TINY, Array

# Attributes of every fit and stream that has ended: types of scalars.
SCALAR_TYPES: dict[str, Any] = {
    "n_features_in_": int,
    "n_experts_": int,
    "lower_bound_": float,
    "n_iter_": int,
    "converged_": bool,
}

# Those of some fits.
OPTIONAL_SCALARS: dict[str, Any] = {"n_units_": int}

# Arrays with kinds of dtypes, and what their axis counts: those of every fit, and further ones.
REQUIRED_ARRAYS = {
    "lower_bounds_": ("f", "iterations"),
    "weights_": ("f", "experts"),
    "load_": ("f", "experts"),
    "start_lower_bounds_": ("f", "starts"),
    "start_converged_": ("b", "starts"),
}
CLASSIFIER_ARRAYS = {"classes_": ("biufUO", "classes")}
OPTIONAL_ARRAYS = {
    "feature_names_in_": ("O", "features"),
    "n_experts_tried_": ("i", "numbers tried"),
    "n_experts_scores_": ("f", "numbers tried"),
    "n_experts_score_errors_": ("f", "numbers tried"),
}
MAY_BE_INFINITE = {"n_experts_scores_", "n_experts_score_errors_"}
LISTS = {"start_traces_": "starts"}

# Least values of the estimated options of a family that are variances.
MIN_VARIANCES = {"noise_variance": 0.0, "variance_floor": TINY}

# Tolerance between attributes of a document and those computed from its mixture, which other
# machines round differently: relative to the number, and to the largest of its array.
RTOL = 1e-6

ATOL = 1e-9


def _require(condition: Any, reason: str) -> None:
    """Raise ValueError with the reason unless the condition holds."""
    if not condition:
        raise ValueError(reason)


# --- types of fields --------------------------------------------------------------------------


def has_declared_types(value: Any, hint: Any = Any) -> bool:
    """Whether a value, and all fields in it, have the types that their classes declare."""
    if not _is_a(value, hint):
        return False
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return all(has_declared_types(entry) for entry in value)
    hints = _field_hints(type(value)) if field_names(value) else {}
    return all(
        has_declared_types(getattr(value, name), hints.get(name, Any))
        for name in field_names(value)
    )


def _field_hints(kind: type) -> dict[str, Any]:
    """Declared types of fields; {} if they are of names that exist for type checkers only."""
    try:
        return get_type_hints(kind)
    except NameError:
        return {}


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type; numbers must be finite."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_a(value, argument) for argument in arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return isinstance(value, tuple) and all(_is_a(entry, arguments[0]) for entry in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    if hint in (int, bool):
        return type(value) is hint
    kind = hint if origin is None else origin
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


# --- the mixture ------------------------------------------------------------------------------


def check_mixture(fitted: FittedMixture, n_features: int, classes: Array | None) -> None:
    """Model, parameters and preprocessor must agree."""
    model, params, preprocessor = fitted
    _check_preprocessor(preprocessor, n_features, classes is not None)
    _require(
        model.top_k is None or 1 <= model.top_k <= model.n_experts,
        "top_k of the model is not a number of its experts",
    )
    _require(model.balance >= 0.0, "balance of the model is negative")
    _require(model.gate.transformer is None, "the gate has a transformer")
    scaling = preprocessor.target_scaling
    n_responses = len(scaling.center if scaling is not None else classes)  # type: ignore[arg-type]
    if scaling is not None and not model.experts.standardizes_target:
        identity = (scaling.center == 0.0) & (scaling.scale == 1.0)
        _require(identity.all(), "the experts have a target that is not standardised")
    for name, estimate in model.experts.estimates.items():
        if isinstance(estimate, int):
            _require(estimate == n_responses, f"{name} is not the number of classes")
        else:
            _require(len(estimate) == n_responses, f"{name} has not one number for each output")
            _require(min(estimate) >= MIN_VARIANCES.get(name, -np.inf), f"{name} is too small")
    _check_params(model, params, preprocessor)
    _check_predictions(fitted)


def _check_preprocessor(preprocessor: Preprocessor, n_features: int, has_classes: bool) -> None:
    _check_scaling(preprocessor.feature_scaling, n_features)
    for columns in (preprocessor.gate_columns, preprocessor.expert_columns):
        if columns is not None:
            _require(columns.ndim == 1 and columns.dtype.kind == "i", "columns are not indices")
            within = (columns >= 0) & (columns < n_features)
            _require(within.all(), "indices of columns are not those of features")
            _require(len(np.unique(columns)) == len(columns), "a column is used twice")
    outputs = preprocessor.target_scaling
    _require((outputs is None) == has_classes, "the target is of the other estimator")
    if outputs is not None:
        _require(outputs.center.ndim == 1 and outputs.center.size, "there are no outputs")
        _check_scaling(outputs, len(outputs.center))
        _require(np.isfinite(outputs.scale).all(), "the scale of an output is infinite")
    _check_range(preprocessor.feature_range, n_features)
    others = (preprocessor.encoder, preprocessor.extra_features, preprocessor.uses_raw_features)
    _require(others == (None, None, False), "the features are encoded or extended")
    aggregate = preprocessor.gate_aggregate
    _require(aggregate in GATE_AGGREGATES, "the gate's features are reduced in an unknown way")


def _check_scaling(scaling: Standardization, size: int) -> None:
    for values in scaling:
        _require(values.dtype == np.float64, "a standardisation is not of dtype float64")
        _require(values.shape == (size,), "a standardisation has not one number for each column")
    _require(np.isfinite(scaling.center).all(), "the center of a column is not finite")
    _require((scaling.scale > 0.0).all(), "the scale of a column is not positive")


def _check_range(feature_range: Array | None, n_features: int) -> None:
    if feature_range is None:
        return
    _require(feature_range.dtype == np.float64, "the ranges of the features are not of float64")
    _require(feature_range.shape == (2, n_features), "the features have not one range each")
    _require(np.isfinite(feature_range).all(), "the range of a feature is not finite")
    ordered = (feature_range[0] <= feature_range[1]).all()
    _require(ordered, "the smallest value of a feature is above the largest")


def _check_params(model: MixtureModel, params: Params, preprocessor: Preprocessor) -> None:
    """Parameters must be such as the parts themselves make them."""
    # A few experts show the shapes: the first axis of all parameters counts the experts.
    n_shown, columns = min(model.n_experts, 2), preprocessor.expert_columns
    n_columns = 1 + (preprocessor.n_features if columns is None else len(columns))
    shown = model.experts.init_params(n_shown, n_columns)
    _check_same_form("experts", params.experts, shown, model.n_experts)
    gates = model.gate.single_gates(params.gate)
    n_experts = model.n_experts // len(gates)
    _require(n_experts * len(gates) == model.n_experts, "starts have different numbers of experts")
    for gate, gate_params in gates:
        shown = gate.init_params(min(n_experts, 2), preprocessor.n_gate_columns)
        _check_same_form("gate", gate_params, shown, n_experts)


def _check_same_form(name: str, params: Any, shown: Any, n_experts: int) -> None:
    _require(type(params) is type(shown), f"the parameters of the {name} are of another type")
    for field, values, example in zip(params._fields, params, shown, strict=True):
        array, shape = np.asarray(values), (n_experts, *np.shape(example)[1:])
        _require(
            array.dtype == np.asarray(example).dtype, f"{field} of the {name} is no such array"
        )
        _require(array.shape == shape, f"{field} of the {name} must have the shape {shape}")
        _require(np.isfinite(array).all(), f"{field} of the {name} is not finite")


def _check_predictions(fitted: FittedMixture) -> None:
    """Predictions in the middle of the features, and a standard deviation off, must be finite."""
    center, scale = fitted.preprocessor.feature_scaling
    X = center + np.array([[-1.0], [0.0], [1.0]]) * np.where(np.isfinite(scale), scale, 0.0)
    predicted = (fitted.predict_experts(X), fitted.predict(X), np.exp(fitted.log_gate(X)))
    finite = all(np.isfinite(values).all() for values in predicted)
    _require(finite, "predictions are not finite")


# --- the state for later fits -----------------------------------------------------------------


def check_training_state(state: TrainingState, fitted: FittedMixture) -> None:
    """A state of EM from which the mixture of the document can be fitted further."""
    resume_state, numbering = state.resume_state, state.numbering
    rows = state.cross_fit_cache, state.online_state, state.row_buffer
    _require(rows == (None, None, None), "the training state has rows")
    _require({*state.penalty_searches} <= {"", *SEARCHES}, "a kind of search is unknown")
    _require(0.0 <= state.total_weight < np.inf, "the weight of the rows is no positive number")
    if numbering is not None:
        is_permutation = sorted(numbering) == list(range(fitted.model.n_experts))
        _require(is_permutation, "the numbers of the experts are no permutation")
    if resume_state is None:
        return
    for params in (resume_state.hessian_params, resume_state.squarem_start):
        if params is not None:
            _check_params(fitted.model, params, fitted.preprocessor)
    numbers = [value for value in resume_state if isinstance(value, int | float)]
    _require(min(numbers) >= 0, f"a number of the {ResumeState.__name__} is negative")


# --- attributes -------------------------------------------------------------------------------


def check_fit(estimator: Any, attributes: Mapping[str, Any]) -> None:
    """Parameters must be valid, and attributes those of a fit that has ended."""
    with np.errstate(all="ignore"):  # numbers that overflow are refused
        _check_attributes(estimator, attributes)
    fixed = copy.copy(estimator)
    if isinstance(estimator.n_experts, str):  # the number was selected
        fixed.set_params(n_experts=attributes["n_experts_"])
    fixed._validate_parameters()


def _check_attributes(estimator: Any, attributes: Mapping[str, Any]) -> None:
    """Attributes must be all those of a fit, and no others, and agree with each other."""
    hints = get_type_hints(type(estimator))
    private = {name: hints[name] for name in PRIVATE_ATTRIBUTES if name in hints}
    arrays = dict(REQUIRED_ARRAYS)
    if is_classifier(estimator):
        arrays |= CLASSIFIER_ARRAYS
    absent = set(OPTIONAL_ATTRIBUTES) - set(attributes)
    private = {name: hint for name, hint in private.items() if name not in absent}
    _check_names("is missing", {*private, *SCALAR_TYPES, *arrays, *LISTS} - set(attributes))
    optional = {name: hint for name, hint in OPTIONAL_SCALARS.items() if name in attributes}
    for name, hint in (private | SCALAR_TYPES | optional).items():
        _require(has_declared_types(attributes[name], hint), f"{name} is of another type")
    by_type = {hint: attributes[name] for name, hint in private.items()}
    fitted, classes = by_type[FittedMixture], attributes.get("classes_")
    n_features, n_experts = attributes["n_features_in_"], fitted.model.n_experts
    sizes = {"features": n_features, "experts": n_experts}
    _check_arrays(attributes, arrays | OPTIONAL_ARRAYS, sizes)
    if classes is not None:
        _require(len(classes) >= 2, "there are fewer than two classes")
        _require(np.array_equal(np.unique(classes), classes), "classes_ is not sorted")
    check_mixture(fitted, n_features, classes)
    check_training_state(by_type[TrainingState], fitted)
    derived = {
        name: value
        for name, value in attributes_of_mixture(fitted).items()
        if name not in PRIVATE_ATTRIBUTES
    }
    _check_derived(attributes, derived)
    known = {
        *private,
        *SCALAR_TYPES,
        *OPTIONAL_SCALARS,
        *arrays,
        *OPTIONAL_ARRAYS,
        *LISTS,
        *derived,
    }
    _check_names("is no attribute of such a fit", set(attributes) - known)
    _check_values(attributes, by_type, n_experts)


def _check_names(reason: str, names: Iterable[str]) -> None:
    for name in sorted(names)[:1]:
        raise ValueError(f"{name!r:.100} {reason}")


def _check_arrays(
    attributes: Mapping[str, Any], arrays: Mapping[str, tuple[str, str]], sizes: dict[str, int]
) -> None:
    """Dtypes and shapes; axes that count the same have the same length."""
    for name in [name for name in (*arrays, *LISTS) if name in attributes]:
        values = attributes[name]
        if name in LISTS:
            _require(isinstance(values, list), f"{name} is not a list")
            for trace in values:
                _check_array(name, trace, "f")
            axis = LISTS[name]
        else:
            kinds, axis = arrays[name]
            _check_array(name, values, kinds)
        size = sizes.setdefault(axis, len(values))
        _require(len(values) == size, f"{name} must have one entry for each of the {size} {axis}")


def _check_array(name: str, values: Any, kinds: str) -> None:
    _require(isinstance(values, np.ndarray) and values.ndim == 1, f"{name} is no array of one axis")
    _require(values.dtype.kind in kinds, f"{name} has the dtype {values.dtype}")
    may_be_infinite = values.dtype.kind != "f" or name in MAY_BE_INFINITE
    finite = may_be_infinite or np.isfinite(values).all()
    _require(finite, f"{name} is not finite")


def _check_derived(attributes: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
    """Attributes that other programs read must be those of the mixture that predicts."""
    for name, expected in derived.items():
        _check_names("is missing", {name} - set(attributes))
        agrees = _agrees(attributes[name], expected)
        _require(agrees, f"{name} is not that of the mixture")


def _is_floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _agrees(value: Any, expected: Any) -> bool:
    if _is_floats(expected):
        if not _is_floats(value) or value.shape != expected.shape:
            return False
        atol = ATOL * np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        return np.allclose(value, expected, rtol=RTOL, atol=atol, equal_nan=True)
    if isinstance(expected, list | tuple):
        return (
            type(value) is type(expected)
            and len(value) == len(expected)
            and all(_agrees(one, other) for one, other in zip(value, expected, strict=True))
        )
    if isinstance(expected, int | float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and np.array_equal(value, expected, equal_nan=True)
    return type(value) is type(expected) and bool(np.all(value == expected))


def _check_values(
    attributes: Mapping[str, Any], by_type: Mapping[type, Any], n_experts: int
) -> None:
    """Values that other attributes determine, or that can be no others."""
    outputs = by_type[FittedMixture].preprocessor.target_scaling
    single = not by_type.get(bool) or len(outputs.center) == 1
    _require(single, "there is more than the single output")
    _require(attributes["n_experts_"] == n_experts, "n_experts_ is not that of the mixture")
    if "_expert_names" in attributes:
        check_expert_names("names of experts", attributes["_expert_names"], n_experts)
    for name in ("n_iter_", "n_units_"):
        _require(attributes.get(name, 1) >= 1, f"{name} is not positive")
    lower_bounds = attributes["lower_bounds_"]
    same = len(lower_bounds) and attributes["lower_bound_"] == lower_bounds[-1]
    _require(same, "lower_bound_ is not the last one of lower_bounds_")
    for name in ("weights_", "load_"):
        _require((attributes[name] >= 0.0).all(), f"{name} is negative")
    _require(np.isclose(attributes["weights_"].sum(), 1.0), "weights_ do not sum to one")
