"""Fitted mixtures as plain documents: dicts for JSON, with a version and a checksum.

A document contains numbers and names of types. Only types of a known list are constructed when it
is read: those of this package, of the registered families and gates, and of their parameters. Only
attributes of a fit are set, once they agree with each other. Unlike a pickle it runs no code of its
author, and it does not depend on the layout of the modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._estimators.rows.warm_start import TrainingState, fitted_attributes
from skmoe._estimators.saving.document_checks import check_fit, has_declared_types
from skmoe._estimators.saving.plain_values import checksum, decode, encode, no_plain_form
from skmoe._mixture.em import ResumeState
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts._registry import ANY_FAMILY, EXPERTS
from skmoe.families import FAMILIES
from skmoe.gates._averaged import AveragedGate
from skmoe.gates._registry import GATES

FORMAT = "skmoe"

# Raised when documents change so that older releases cannot read them. Version 1 is that of 0.1.0.
VERSION = 2

KEYS = ("format", "version", "estimator", "parameters", "attributes", "checksum")

# Errors of values that are no such document.
DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError)

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
            Attributes such as `expert_coef_` are in the units of the data, and other programs can
            read them.

        Raises
        ------
        ValueError
            If experts, gate or a parameter have no plain form, as estimators have none: use skops
            or joblib. Also if a parameter is not valid, or the fit has not ended.

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
        return to_document(self, _without_training_data(fitted_attributes(self)))

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
            If it is not such a document, is damaged or edited, or is of another version or another
            estimator. Types, shapes and values of parameters and attributes are checked.

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
    types, parameters = _types_by_name(model), estimator.get_params(deep=False)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "parameters": _encode_all(types, _without_generators(parameters)),
        "attributes": _encode_all(types, attributes),
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
    """The fitted estimator of a document."""
    _check_document(document, estimator_class.__name__)
    try:
        parameters, attributes = document["parameters"], document["attributes"]
        types = _types_by_name(_decode_model(attributes))
        estimator = estimator_class(**_decode_all(_part_types_by_name(), parameters))
        missing = set(estimator.get_params(deep=False)) - set(parameters)
        if missing:
            raise ValueError(f"parameters are missing: {sorted(missing)}")
        attributes = _decode_all(types, attributes)
        check_fit(estimator, attributes)
    except (ValueError, *DAMAGE) as error:
        raise ValueError(
            f"document must hold a fitted {estimator_class.__name__} of this release; "
            f"{error!s:.300}. It was edited, is of a newer release (upgrade skmoe), or of a family "
            "or gate that is not registered here: call to_dict again."
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
    """Attributes without what only later fits use, except for the state of EM."""
    return {
        name: _without_rows(value) if isinstance(value, TrainingState) else value
        for name, value in attributes.items()
    }


def _without_rows(state: TrainingState) -> TrainingState:
    """The state of EM, with one model, which is that of the document."""
    of_em = state.resume_state
    of_em = None if of_em is None else of_em._replace(best=None)
    return state._replace(
        resume_state=of_em, cross_fit_cache=None, online_state=None, row_buffer=None
    )


def _decode_model(attributes: Mapping[str, Any]) -> MixtureModel:
    """The model of a document, without its parameters: it determines their types."""
    for value in attributes.values():
        if isinstance(value, dict) and value.get("type") == FittedMixture.__name__:
            model: MixtureModel = decode(_types_by_name(), value["model"])
            if type(model) is not MixtureModel or not has_declared_types(model):
                break
            _check_registered(model)
            return model
    raise ValueError("it contains no mixture")


def _check_registered(model: MixtureModel) -> None:
    """Gate and experts must be of types for their roles."""
    if type(model.gate) not in _gate_types() or type(model.experts) not in _family_types():
        raise ValueError(
            f"its gate is a {type(model.gate).__name__}, its experts are "
            f"{type(model.experts).__name__}"
        )


def _check_document(document: Any, estimator_name: str) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(
            f'document must be a dict that to_dict made, with "format": "{FORMAT}"; got '
            f"{_short_repr(document)}. Parse JSON first: from_dict(json.loads(text))."
        )
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        newer = type(version) is int and version > VERSION
        remedy = "A newer release wrote it: upgrade skmoe" if newer else "Call to_dict again"
        raise ValueError(
            f"document must be of version {VERSION}; got {_short_repr(version)}. {remedy}."
        )
    missing, unknown = set(KEYS) - set(document), set(document) - set(KEYS)
    if missing or unknown:
        keys, reason = (missing, "missing") if missing else (unknown, "not known")
        raise ValueError(
            f"document must have the keys {list(KEYS)}; {_short_keys(keys)} are {reason}. It is "
            "damaged: take another copy, or call to_dict again."
        )
    try:
        computed = checksum({key: value for key, value in document.items() if key != "checksum"})
    except (ValueError, *DAMAGE) as error:
        raise ValueError(
            f"document must have the types of JSON, and finite numbers; {error!s:.300}. It is "
            "damaged: take another copy, or call to_dict again."
        ) from error
    if computed != document["checksum"]:
        raise ValueError(
            "document must be as to_dict made it; its checksum does not match its content. It is "
            "damaged or was edited: take another copy, or call to_dict again."
        )
    other = document["estimator"]
    if other != estimator_name:
        other = f"{other:.100}" if isinstance(other, str) else "damaged estimator"
        raise ValueError(
            f"document must be of a {estimator_name}; got one of a {other}. Use {other}.from_dict."
        )


def _short_repr(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with the keys {_short_keys(value)}"
    if type(value) is int and abs(value) < 2**63:
        return f"version {value}"
    return f"a value of type {type(value).__name__}"


def _short_keys(keys: Iterable[Any]) -> str:
    """Keys that are strings, and the types of others."""
    names = sorted(key if isinstance(key, str) else type(key).__name__ for key in keys)
    return f"{names!s:.300}"


# --- types ------------------------------------------------------------------------------------


def _gate_types() -> set[type]:
    return {AveragedGate, *GATES.values()}


def _family_types() -> set[type]:
    return {*ANY_FAMILY.values(), *(family for row in EXPERTS.values() for family in row.values())}


def _part_types_by_name() -> dict[str, type]:
    """Types of experts, families and gates that documents may contain, by name."""
    types = _gate_types() | _family_types() | set(FAMILIES.values())
    return {kind.__name__: kind for kind in types}


def _types_by_name(model: MixtureModel | None = None) -> dict[str, type]:
    """Types that documents may contain by name, with those of the parameters of a model."""
    types: Iterable[type] = VALUE_TYPES
    if model is not None:
        types = (*types, *model.gate.params_types, *model.experts.params_types)
    return {kind.__name__: kind for kind in types} | _part_types_by_name()


def _check_part(role: str, part: Any) -> None:
    """Raise ValueError if a gate or family cannot be written."""
    reason = ""
    if type(part) not in _gate_types() | _family_types():
        reason = "it is not registered"
    elif not is_dataclass(type(part)):
        reason = "it is not a dataclass"
    elif not part.params_types:
        reason = "it does not list the types of its parameters (params_types)"
    elif not has_declared_types(part):
        reason = "its fields are not of the types that they declare"
    if reason:
        raise ValueError(no_plain_form(role, part, f": {reason}"))


# --- values -----------------------------------------------------------------------------------


def _encode_all(types: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: encode(types, name, value) for name, value in values.items()}


def _decode_all(types: Mapping[str, type], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decode(types, value) for name, value in values.items()}
