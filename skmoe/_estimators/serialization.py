"""Fitted mixtures as plain documents: dicts for JSON, with a version and a checksum.

A document contains numbers and names of types. Only types of a known list are constructed when it
is read: those of this package, of the registered families and gates, and of their parameters.
Unlike a pickle it runs no code of its author, and it does not depend on the layout of the modules.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._estimators.warm_start import TrainingState, fitted_attributes
from skmoe._mixture.em import ResumeState
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts._registry import EXPERTS
from skmoe.gates._averaged import AveragedGate
from skmoe.gates._registry import GATES

FORMAT = "skmoe"

# Raised when documents change so that older releases cannot read them.
VERSION = 1

KEYS = ("format", "version", "estimator", "parameters", "attributes", "checksum")

# Types of values that every fitted mixture contains.
VALUE_TYPES: tuple[type, ...] = (
    FittedMixture,
    MixtureModel,
    Params,
    Preprocessor,
    Standardization,
    TrainingState,
    ResumeState,
)


class SerializationMixin:
    """Methods that write a fitted estimator as a plain document, and read it."""

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
            Attributes such as `coef_` are in the units of the data: other programs can read them.

        Raises
        ------
        ValueError
            If experts, gate or a parameter have no plain form.

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
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        return to_document(type(self).__name__, parameters, fitted_attributes(self))

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """The fitted estimator of a document of `to_dict`.

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
            If it is not such a document, if it is damaged, of a newer version, or of another
            estimator.
        """
        estimator: Self = from_document(cls, document)
        return estimator


# --- documents --------------------------------------------------------------------------------


def to_document(
    estimator_name: str, parameters: Mapping[str, Any], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of an estimator, from its constructor parameters and fitted attributes.

    What only later fits use is left out, except for the state from which EM is resumed.
    """
    model = next(value for value in attributes.values() if isinstance(value, FittedMixture)).model
    _check_part("gate", model.gate)
    _check_part("experts", model.experts)
    types = _types_by_name(model)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": estimator_name,
        "parameters": _encode_all(types, _without_generators(parameters)),
        "attributes": _encode_all(types, _without_training_data(attributes)),
    }
    return document | {"checksum": _checksum(document)}


def from_document(estimator_class: type[Any], document: Any) -> Any:
    """The fitted estimator of a document."""
    _check_document(document, estimator_class.__name__)
    try:
        types = _types_by_name(_decode_model(document["attributes"]))
        estimator = estimator_class(**_decode_all(types, document["parameters"]))
        attributes = _decode_all(types, document["attributes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"document is whole, but contains what this release does not know: {error}. It is of a "
            "newer release (upgrade skmoe), or of a family or gate that is not registered here."
        ) from error
    estimator._set_fitted_attributes(attributes)
    return estimator


def _without_generators(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with None for generators of random numbers."""
    return {
        name: None if isinstance(value, np.random.RandomState) else value
        for name, value in parameters.items()
    }


def _without_training_data(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with a training state that contains no rows and no results for rows."""
    return {
        name: TrainingState(value.resume_state) if isinstance(value, TrainingState) else value
        for name, value in attributes.items()
    }


def _decode_model(attributes: Mapping[str, Any]) -> MixtureModel:
    """The model of a document, without its parameters: it determines their types."""
    encoded: Any = next(
        (
            value
            for value in attributes.values()
            if isinstance(value, dict) and value["type"] == FittedMixture.__name__
        ),
        None,
    )
    model: MixtureModel = _decode(_types_by_name(), encoded["model"])
    return model


def _check_document(document: Any, estimator_name: str) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(
            f'document must be a dict that to_dict made, with "format": "{FORMAT}"; got '
            f"{_short_repr(document)}. Parse JSON first: from_dict(json.loads(text))."
        )
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(
            f"document must be of version {VERSION} or older; got version {version}. A newer "
            "release wrote it: upgrade skmoe."
        )
    missing = [key for key in KEYS if key not in document]
    if missing:
        raise ValueError(
            f"document must have the keys {list(KEYS)}; {missing} are missing. It is damaged: take "
            "another copy, or call to_dict again."
        )
    content = {key: value for key, value in document.items() if key != "checksum"}
    if _checksum(content) != document["checksum"]:
        raise ValueError(
            "document must be as to_dict made it; its checksum does not match its content. It is "
            "damaged or was edited: take another copy, or call to_dict again."
        )
    if document["estimator"] != estimator_name:
        raise ValueError(
            f"document must be of a {estimator_name}; got one of a {document['estimator']}. Use "
            f"{document['estimator']}.from_dict."
        )


def _short_repr(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with the keys {sorted(map(str, value))}"
    return type(value).__name__


# --- types ------------------------------------------------------------------------------------


def _part_types() -> set[type]:
    """Types of families and gates that documents may contain."""
    families = {family for row in EXPERTS.values() for family in row.values()}
    return {AveragedGate, *GATES.values(), *families}


def _types_by_name(model: MixtureModel | None = None) -> dict[str, type]:
    """Types that documents may contain by name, with those of the parameters of a model."""
    types: Iterable[type] = (*VALUE_TYPES, *_part_types())
    if model is not None:
        types = (*types, *model.gate.params_types, *model.experts.params_types)
    return {kind.__name__: kind for kind in types}


def _check_part(role: str, part: Any) -> None:
    """Raise ValueError if a gate or family cannot be written."""
    reason = ""
    if type(part) not in _part_types():
        reason = "it is not registered"
    elif not is_dataclass(type(part)):
        reason = "it is not a dataclass"
    elif not part.params_types:
        reason = "it does not list the types of its parameters (params_types)"
    if reason:
        raise ValueError(_no_plain_form(role, part, f": {reason}"))


def _no_plain_form(name: str, value: Any, reason: str = "") -> str:
    return (
        "to_dict writes registered families and gates, such as linear experts with a softmax gate; "
        f"{name}: {type(value).__name__} has no plain form{reason}. Use joblib.dump, or skops."
    )


# --- values -----------------------------------------------------------------------------------


def _encode_all(types: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _encode(types, name, value) for name, value in values.items()}


def _encode(types: Mapping[str, type], name: str, value: Any) -> Any:
    """A value in the types of JSON; `name` is for the error."""
    if isinstance(value, np.ndarray):
        values = _encode(types, name, value.tolist())
        return {"type": "array", "dtype": _dtype(value.dtype), "values": values}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):  # JSON has no infinities
        return value if math.isfinite(value) else {"type": "float", "values": str(value)}
    if types.get(type(value).__name__) is type(value):
        encoded = {
            field: _encode(types, f"{name}.{field}", getattr(value, field))
            for field in _field_names(value)
        }
        return {"type": type(value).__name__, **encoded}
    if type(value) in (list, tuple):
        entries = [_encode(types, name, entry) for entry in value]
        return entries if type(value) is list else {"type": "tuple", "values": entries}
    if type(value) is dict:  # keys need not be strings
        pairs = [
            [_encode(types, name, key), _encode(types, name, entry)] for key, entry in value.items()
        ]
        return {"type": "dict", "values": pairs}
    raise ValueError(_no_plain_form(name, value))


def _field_names(value: Any) -> list[str]:
    """Names of the fields of a dataclass or a named tuple, which its constructor takes."""
    if is_dataclass(value):
        return [field.name for field in fields(value) if field.init]
    return list(value._fields)


def _dtype(dtype: np.dtype) -> str:
    """Strings and bytes by their kind and length, the same on every machine."""
    return "object" if dtype.kind == "O" else dtype.newbyteorder("<").str


def _decode_all(types: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _decode(types, value) for name, value in values.items()}


def _decode(types: Mapping[str, type], value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(types, entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = value["type"]
    if kind == "array":
        dtype = np.dtype(value["dtype"])
        return np.array(_decode(types, value["values"]), dtype=dtype.newbyteorder("="))
    if kind == "float":
        return float(value["values"])
    if kind == "tuple":
        return tuple(_decode(types, value["values"]))
    if kind == "dict":
        return {_decode(types, key): _decode(types, entry) for key, entry in value["values"]}
    return types[kind](**{name: _decode(types, v) for name, v in value.items() if name != "type"})


def _checksum(content: dict[str, Any]) -> str:
    """Digest of all values; 1 and 1.0 are the same, because other programs write either."""
    text = json.dumps(_canonical(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value
