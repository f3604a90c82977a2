"""Values as the types of JSON and back, and the checksum of a document.

Types are written by name. Only types of a given list are constructed, and arrays have a fixed list
of dtypes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array

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
