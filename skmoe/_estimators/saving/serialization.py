"""Fitted mixtures as plain documents: dicts for JSON, with a version and a checksum.

A document contains numbers and names of types. Only types of a known list are constructed when it
is read: those of this package, of the registered families and gates, and of their parameters.
Unlike a pickle it runs no code of its author, and it does not depend on the layout of the modules.
Values are written as the types of JSON, types by name, and arrays with one of a fixed list of
dtypes. The checksum shows that a document is whole, not who wrote it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from inspect import signature
from typing import Any, Self, get_type_hints

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._estimators.parameters.parameters import options_of_number
from skmoe._estimators.rows.warm_start import (
    OPTIONAL_ATTRIBUTES,
    PRIVATE_ATTRIBUTES,
    TrainingState,
    fitted_attributes,
)
from skmoe._inference.maxima import Maxima
from skmoe._mixture.model import FittedMixture, MixtureModel, Params
from skmoe._numerics.typing import Array
from skmoe.experts._linear_families import GeneralizedLinearParams
from skmoe.experts._registry import ANY_FAMILY, EXPERTS, JOINT_OUTPUTS
from skmoe.families import FAMILIES
from skmoe.gates._averaged import AveragedGate
from skmoe.gates._registry import GATES

# Dtypes of arrays: of numbers, of strings as wide as the longest one ("str"), and "object".
DTYPES = {
    np.dtype(kind).name: np.dtype(kind)
    for kind in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "U", "O")
}


# --- writing ----------------------------------------------------------------------------------


def encode(types: Mapping[str, type], name: str, value: Any) -> Any:
    """A value in the types of JSON; `name` is for the error."""
    if isinstance(value, np.ndarray):
        return _encode_array(name, value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):  # JSON has no infinities
        return value if math.isfinite(value) else {"type": "float", "values": str(value)}
    if types.get(type(value).__name__) is type(value):
        encoded = {
            field: encode(types, f"{name}.{field}", getattr(value, field))
            for field in signature(type(value)).parameters
        }
        return {"type": type(value).__name__, **encoded}
    if type(value) in (list, tuple):
        entries = [encode(types, name, entry) for entry in value]
        return entries if type(value) is list else {"type": "tuple", "values": entries}
    if type(value) is slice:
        return {"type": "slice", "values": [value.start, value.stop, value.step]}
    if type(value) is dict:  # keys need not be strings
        pairs = [
            [encode(types, name, key), encode(types, name, entry)] for key, entry in value.items()
        ]
        return {"type": "dict", "values": pairs}
    raise ValueError(no_plain_form(name, value))


def _encode_array(name: str, array: Array) -> dict[str, Any]:
    dtype = "str" if array.dtype.kind == "U" else array.dtype.name
    has_objects = dtype == "object" and not all(isinstance(entry, str) for entry in array.flat)
    if dtype not in DTYPES or has_objects:
        names = ", ".join(DTYPES)
        raise ValueError(
            no_plain_form(name, array, f": its entries must be numbers or strings of {names}")
        )
    return {"type": "array", "dtype": dtype, "values": encode({}, name, array.tolist())}


def no_plain_form(name: str, value: Any, reason: str = "") -> str:
    """The error for a value that cannot be written."""
    return (
        "to_dict writes registered families and gates, such as linear experts with a softmax gate; "
        f"{name}: {type(value).__name__} has no plain form{reason}. Use joblib.dump, or skops."
    )


# --- reading ----------------------------------------------------------------------------------


def decode(types: Mapping[str, type], value: Any) -> Any:
    """The value of an encoded value; fields that it lacks have the default of its type.

    Raises an error (ValueError, TypeError, LookupError, ArithmeticError) if it is none.
    """
    if isinstance(value, list):
        return [decode(types, entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind, content = value["type"], {name: v for name, v in value.items() if name != "type"}
    if kind == "array":
        return np.array(decode({}, content["values"]), dtype=DTYPES[content["dtype"]])
    if kind == "float":
        return float(content["values"])
    if kind == "tuple":
        return tuple(decode(types, content["values"]))
    if kind == "slice":
        return slice(*content["values"])
    if kind == "dict":
        return {decode(types, key): decode(types, entry) for key, entry in content["values"]}
    if kind not in types:
        raise ValueError(f"the type {kind!r:.100} is not known")
    return types[kind](**{name: decode(types, entry) for name, entry in content.items()})


# --- checksum ---------------------------------------------------------------------------------


def checksum(content: dict[str, Any]) -> str:
    """Digest of all values; 1 and 1.0 are the same, because other programs write either.

    Raises an error (ValueError, TypeError, RecursionError) if the content is not JSON.
    """
    text = json.dumps(_with_floats(content), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_floats(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_floats(entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


FORMAT = "skmoe"

# Raised when documents change so that older releases cannot read them. Version 1 is that of 0.1.0.
VERSION = 2

# Parameters of earlier releases, with the only value that their documents have.
FORMER_PARAMETERS = {"specialize": True}

# Errors of values that are no such document.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

# Types of values that every fitted mixture contains.
VALUE_TYPES: tuple[type, ...] = (
    FittedMixture,
    MixtureModel,
    Params,
    Preprocessor,
    Standardization,
    TrainingState,
    Maxima,
)

# Public attributes of every fit and stream that has ended.
PUBLIC_ATTRIBUTES = (
    *("n_features_in_", "n_experts_", "weights_", "load_"),
    *("lower_bound_", "lower_bounds_", "n_iter_", "converged_"),
)


class SerializationMixin:
    """Methods that write a fitted estimator as a plain document, and read it."""

    _check_is_whole: Any

    def to_dict(self) -> dict[str, Any]:
        """The fitted estimator as a plain document: dicts, lists, strings and numbers.

        The families and gates of this package, and registered ones with `params_types`, can be
        written; experts that are estimators cannot. The document can be stored as JSON, and is read
        by `from_dict` of this and later releases, without pickle. Predictions of the estimator that
        is read are the same to the last bit. A `random_state` that is a generator is written as
        None.

        Returns
        -------
        document : dict
            Parameters of the constructor and fitted attributes, with a version and a checksum.
            Attributes such as `expert_coef_` are in the units of the data, and other programs can
            read them.

        Raises
        ------
        ValueError
            If experts, gate, a parameter or an attribute have no plain form, as estimators have
            none: use skops or joblib. Also if a parameter is not valid, or the fit has not ended.

        Examples
        --------
        >>> import json
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
        >>> text = json.dumps(moe.to_dict())
        >>> same = MixtureOfExpertsRegressor.from_dict(json.loads(text))
        >>> bool((same.predict(X) == moe.predict(X)).all())
        True
        """
        check_is_fitted(self)
        self._check_is_whole("to_dict")
        attributes = fitted_attributes(self)
        state = _without_rows(attributes["_training_state"])
        return to_document(self, attributes | {"_training_state": state})

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """The fitted estimator of a document of `to_dict`.

        Only registered types are constructed, and no code is executed. A checksum recognises
        damage. It does not prove who wrote the document: for files of others there is skops.

        Parameters
        ----------
        document : dict
            The result of `to_dict`, as it is or after a passage through JSON.

        Returns
        -------
        estimator : estimator
            Fitted.

        Raises
        ------
        ValueError
            If it is not such a document, is damaged or edited, or is of another version, of another
            estimator, or of a family or gate that is not registered.

        See Also
        --------
        to_dict : It writes the document, and has an example.
        """
        estimator: Self = from_document(cls, document)
        return estimator


# --- documents --------------------------------------------------------------------------------


def to_document(estimator: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The document of an estimator with given fitted attributes."""
    model = next(value for value in attributes.values() if isinstance(value, FittedMixture)).model
    _check_part("gate", model.gate)
    _check_part("experts", model.experts)
    types = _types_by_name(model)
    parameters = {
        name: None if isinstance(value, np.random.RandomState) else value
        for name, value in estimator.get_params(deep=False).items()
    }
    document = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "parameters": {name: encode(types, name, value) for name, value in parameters.items()},
        "attributes": {name: encode(types, name, value) for name, value in attributes.items()},
    }
    document["checksum"] = checksum(document)
    try:
        from_document(type(estimator), document)
    except ValueError as error:
        raise ValueError(
            "to_dict writes what from_dict can read: a fit with valid parameters; "
            f"{error.__cause__ or error}. Fit again, or use joblib.dump."
        ) from error
    return document


def from_document(estimator_class: type[Any], document: Any) -> Any:
    """The fitted estimator of a document.

    Parameters and fields that it lacks are of later releases, and have their defaults.
    """
    name = estimator_class.__name__
    _check_document(document, name)
    try:
        document = _of_this_release(document)
        types = _types_by_name(_decode_model(document["attributes"]))
        parameters, attributes = (
            {key: decode(types, value) for key, value in document[part].items()}
            for part in ("parameters", "attributes")
        )
        for key, value in FORMER_PARAMETERS.items():
            if parameters.get(key) is value:
                del parameters[key]
        estimator = estimator_class(**parameters)
        if "maxima_" not in attributes:  # as in 0.2.0
            attributes["maxima_"] = Maxima(kept=int(attributes["start_lower_bounds_"].argmax()))
        _check_attributes(estimator_class, attributes)
        estimator._set_fitted_attributes(attributes)
        fixed = copy.copy(estimator)
        if isinstance(estimator.n_experts, str):  # the number was selected
            fixed.set_params(**options_of_number(fixed, attributes["n_experts_"]))
        fixed._validate_parameters()
    except DAMAGE as error:
        raise ValueError(
            f"document must hold a fitted {name} of this release; {error!s:.300}. It is of a newer "
            "release (upgrade skmoe), or of a family or gate that is not registered here: call "
            "to_dict again."
        ) from error
    return estimator


def _of_this_release(value: Any) -> Any:
    """A value as this release writes it: former releases had other types and fields."""
    if isinstance(value, list):
        return [_of_this_release(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    value = {name: _of_this_release(entry) for name, entry in value.items()}
    if value.get("type") == MixtureModel.__name__ and "shared_columns" in value["experts"]:
        shared = value["experts"].pop("shared_columns")["values"]
        value["experts"]["slopes"] = _as_slopes(shared, value["n_experts"])
    if value.get("type") == Maxima.__name__ and "log_likelihoods" in value:  # as in 0.3.0
        value["penalised_log_likelihoods"] = value.pop("log_likelihoods")
    if value.get("type") == "LinearParams":
        variance = value.pop("log_variance")
        entries = [[[entry] for entry in row] for row in variance["values"]]
        value |= {
            "type": GeneralizedLinearParams.__name__,
            "log_dispersion": variance | {"values": entries},
        }
    return value


def _as_slopes(shared: list[int], n_experts: int) -> dict[str, Any]:
    """The encoded slopes of experts that share some columns."""
    columns = range(max(shared, default=-1) + 1)
    rows = [[0 if j in shared else k for j in columns] for k in range(n_experts)]
    tuples = [{"type": "tuple", "values": row} for row in rows if shared]
    return {"type": "tuple", "values": tuples}


def _without_rows(state: TrainingState) -> TrainingState:
    """The state without what only later fits use."""
    return state._replace(cross_fit_cache=None, online_state=None, row_buffer=None)


def _check_document(document: Any, estimator_name: str) -> None:
    """A document must be whole, and of this version and estimator."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        shown = f"a value of type {type(document).__name__}"
        if isinstance(document, dict):
            shown = f"a dict with the keys {sorted(map(str, document))!s:.300}"
        raise ValueError(
            f'document must be a dict that to_dict made, with "format": "{FORMAT}"; got {shown}. '
            "Parse JSON first: from_dict(json.loads(text))."
        )
    version = document.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        remedy = "A newer release wrote it: upgrade skmoe" if newer else "Call to_dict again"
        raise ValueError(
            f"document must be of version {VERSION}; got version {version!r:.100}. {remedy}."
        )
    try:
        computed = checksum({key: value for key, value in document.items() if key != "checksum"})
    except DAMAGE:  # it is not JSON
        computed = ""
    if computed != document.get("checksum"):
        raise ValueError(
            "document must be as to_dict made it; its checksum does not match its content. It is "
            "damaged or was edited: take another copy, or call to_dict again."
        )
    other = document["estimator"]
    if other != estimator_name:
        raise ValueError(
            f"document must be of a {estimator_name}; got one of a {other}. Use {other}.from_dict."
        )


# --- types and shapes -------------------------------------------------------------------------


def part_types() -> dict[str, type]:
    """Types of experts, families and gates that documents may contain, by name."""
    experts = [kind for row in EXPERTS.values() for kind in row.values()]
    types: list[type] = [
        AveragedGate,
        *GATES.values(),
        *ANY_FAMILY.values(),
        *JOINT_OUTPUTS.values(),
        *experts,
        *FAMILIES.values(),
    ]
    return {kind.__name__: kind for kind in types}


def _types_by_name(model: MixtureModel | None = None) -> dict[str, type]:
    """Types that documents may contain by name, with those of the parameters of a model."""
    types: Iterable[type] = VALUE_TYPES
    if model is not None:
        types = (*types, *model.gate.params_types, *model.experts.params_types)
    return {kind.__name__: kind for kind in types} | part_types()


def _decode_model(attributes: Mapping[str, Any]) -> MixtureModel:
    """The model of a document, without its parameters: it determines their types."""
    for value in attributes.values():
        if isinstance(value, dict) and value.get("type") == FittedMixture.__name__:
            model: MixtureModel = decode(_types_by_name(), value["model"])
            return model
    raise ValueError("it contains no mixture")


def _check_part(role: str, part: Any) -> None:
    """Raise ValueError if a gate or family cannot be written."""
    reason = ""
    if type(part) not in part_types().values():
        reason = "it is not registered"
    elif not is_dataclass(type(part)):
        reason = "it is not a dataclass"
    elif not part.params_types:
        reason = "it does not list the types of its parameters (params_types)"
    if reason:
        raise ValueError(no_plain_form(role, part, f": {reason}"))


def _check_attributes(estimator_class: type[Any], attributes: Mapping[str, Any]) -> None:
    """Attributes must be those of a fit that has ended."""
    required = {name for name in PRIVATE_ATTRIBUTES if name in get_type_hints(estimator_class)}
    for name in sorted({*required, *PUBLIC_ATTRIBUTES} - {*OPTIONAL_ATTRIBUTES} - set(attributes)):
        raise ValueError(f"{name!r} is missing, as before the end of a fit")
    for name in attributes:
        is_public = name.endswith("_") and not name.startswith("_")
        is_property = hasattr(estimator_class, name)
        if (is_property or not is_public) and name not in PRIVATE_ATTRIBUTES:
            raise ValueError(f"{name!r:.100} is no attribute of a fit")
