"""Fitted mixtures as plain documents: what JSON can hold, with a version and a checksum.

A document names types of a fixed list and holds numbers, so that reading one runs no code of its
author, unlike pickle, and does not hang on how this release lays out its modules.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.scaling import Standardization
from skmoe._mixture.em import ResumeState
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts._linear import LinearExperts, LinearParams
from skmoe.experts._logistic import LogisticExperts, LogisticParams
from skmoe.gates._averaged import AveragedGate, AverageParams
from skmoe.gates._constant import ConstantGate, ConstantParams
from skmoe.gates._softmax import SoftmaxGate, SoftmaxParams

FORMAT = "skmoe"

# Raised when documents change so that older releases cannot read them.
VERSION = 1

KEYS = ("format", "version", "estimator", "parameters", "attributes", "checksum")

GATES = (SoftmaxGate, SoftmaxParams, ConstantGate, ConstantParams, AveragedGate, AverageParams)

EXPERTS = (LinearExperts, LinearParams, LogisticExperts, LogisticParams)

TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        FittedMixture,
        MixtureModel,
        Params,
        ResumeState,
        Standardization,
        *GATES,
        *EXPERTS,
    )
}

# Attributes that are no public ones, and yet part of a fit.
PRIVATE = ("_mixture", "_single_output", "_resume_state")


class SerializationMixin:
    """Methods that write a fitted estimator as a plain document, and read it."""

    def to_dict(self) -> dict[str, Any]:
        """The fitted estimator as a plain document: dicts, lists, strings and numbers.

        For linear experts with a softmax or constant gate. The document can be stored as JSON, and
        is read by `from_dict` of this and later releases, without pickle. Predictions of the
        estimator that is read are the same to the last bit. Of a `random_state` that is a generator
        nothing is kept.

        Returns
        -------
        document : dict
            Parameters of the constructor and fitted attributes, with a version and a checksum.
            Attributes such as `coef_` are in the user's units: other programs can read them.

        Raises
        ------
        ValueError
            If experts or gate are of a kind that has no plain form.

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
        if isinstance(parameters["random_state"], np.random.RandomState):
            parameters["random_state"] = None
        attributes = {
            name: value
            for name, value in vars(self).items()
            if name in PRIVATE or (name.endswith("_") and name[0] != "_")
        }
        document = {
            "format": FORMAT,
            "version": VERSION,
            "estimator": type(self).__name__,
            "parameters": _encode_all(parameters),
            "attributes": _encode_all(attributes),
        }
        return document | {"checksum": _checksum(document)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Any:
        """The fitted estimator that a document of `to_dict` tells of.

        Parameters
        ----------
        document : dict
            What `to_dict` returned, or what JSON made of it.

        Returns
        -------
        estimator : estimator
            Fitted.

        Raises
        ------
        ValueError
            If it is no such document, if it is damaged, of a newer version, or of another
            estimator.
        """
        _check_document(document, cls.__name__)
        try:
            moe = cls(**_decode_all(document["parameters"]))
            attributes = _decode_all(document["attributes"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"document is whole, but has what this release does not know: {error}. It is of a "
                "newer release: upgrade skmoe."
            ) from error
        for name, value in attributes.items():
            setattr(moe, name, value)
        return moe


def _check_document(document: Any, estimator: str) -> None:
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
    if document["estimator"] != estimator:
        raise ValueError(
            f"document must be of a {estimator}; got one of a {document['estimator']}. Use "
            f"{document['estimator']}.from_dict."
        )


def _short_repr(value: Any) -> str:
    shown = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
    return f"a dict with the keys {shown}" if isinstance(value, dict) else str(shown)


def _encode_all(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _encode(name, value) for name, value in values.items()}


def _encode(name: str, value: Any) -> Any:
    """A value in the terms of JSON; `name` is for the error."""
    if isinstance(value, np.ndarray):
        values = _encode(name, value.tolist())
        return {"type": "array", "dtype": _dtype(value.dtype), "values": values}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):  # JSON has no infinities
        return value if math.isfinite(value) else {"type": "float", "values": str(value)}
    if TYPES.get(type(value).__name__) is type(value):
        names = [field.name for field in fields(value)] if is_dataclass(value) else value._fields
        inner = {key: _encode(f"{name}.{key}", getattr(value, key)) for key in names}
        return {"type": type(value).__name__, **inner}
    if type(value) in (list, tuple):
        entries = [_encode(name, entry) for entry in value]
        return entries if type(value) is list else {"type": "tuple", "values": entries}
    if type(value) is dict:  # keys need not be strings
        pairs = [[_encode(name, key), _encode(name, entry)] for key, entry in value.items()]
        return {"type": "dict", "values": pairs}
    raise ValueError(
        f"to_dict writes linear experts with a softmax or constant gate; {name} is a "
        f"{type(value).__name__}, which has no plain form. Use joblib.dump, or skops."
    )


def _dtype(dtype: np.dtype) -> str:
    """Strings and bytes by their kind and length, the same on every machine."""
    return "object" if dtype.kind == "O" else dtype.newbyteorder("<").str


def _decode_all(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _decode(value) for name, value in values.items()}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = value["type"]
    if kind == "array":
        dtype = np.dtype(value["dtype"])
        return np.array(_decode(value["values"]), dtype=dtype.newbyteorder("="))
    if kind == "float":
        return float(value["values"])
    if kind == "tuple":
        return tuple(_decode(value["values"]))
    if kind == "dict":
        return {_decode(key): _decode(entry) for key, entry in value["values"]}
    inner = {name: _decode(entry) for name, entry in value.items() if name != "type"}
    return TYPES[kind](**inner)


def _checksum(content: dict[str, Any]) -> str:
    """A digest of all values, in which 1 and 1.0 are the same: other programs write either."""
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
