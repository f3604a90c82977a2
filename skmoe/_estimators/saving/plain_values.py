"""Values as the types of JSON and back, and the digest of a document.

Types are written by name, and only types of a given list are constructed. What is read takes memory
in proportion to the text, and has a fixed list of dtypes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from skmoe._numerics.typing import Array

# Types of the entries of an array in a document, by the kind of its dtype.
ENTRY_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (int, float),  # other programs write 1 for 1.0
    "U": (str,),
    "O": (str,),
}

# Numeric dtypes of arrays. Those of strings are "str", as wide as the longest one, and "object".
NUMERIC_DTYPES = {
    np.dtype(kind).name: np.dtype(kind)
    for kind in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
}
DTYPES = NUMERIC_DTYPES | {"str": np.dtype(str), "object": np.dtype(object)}

# Characters that an array of strings stores, with its padding, for each character of its text.
MAX_PADDING = 64

# Depth of nested values; parameters of an average of starts need 11.
MAX_DEPTH = 32

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def field_names(value: Any) -> list[str]:
    """Fields of a dataclass that its constructor takes, or of a named tuple; [] for others."""
    if is_dataclass(value):
        return [field.name for field in fields(value) if field.init]
    return list(getattr(value, "_fields", ()))


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
            for field in field_names(value)
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


def no_plain_form(name: str, value: Any, reason: str = "") -> str:
    """The error for a value that cannot be written."""
    return (
        "to_dict writes registered families and gates, such as linear experts with a softmax gate; "
        f"{name}: {type(value).__name__} has no plain form{reason}. Use joblib.dump, or skops."
    )


def _encode_array(name: str, array: Array) -> dict[str, Any]:
    dtype = "str" if array.dtype.kind == "U" else array.dtype.name
    entries = array.ravel().tolist()
    if dtype not in DTYPES or not all(
        isinstance(entry, ENTRY_TYPES[array.dtype.kind]) for entry in entries
    ):
        names = ", ".join(DTYPES)
        raise ValueError(
            no_plain_form(name, array, f": its entries must be numbers or strings of {names}")
        )
    if dtype == "str" and _is_padded(entries):
        reason = ": its strings differ much in length; convert it to dtype object"
        raise ValueError(no_plain_form(name, array, reason))
    return {"type": "array", "dtype": dtype, "values": encode({}, name, array.tolist())}


def _is_padded(entries: list[str]) -> bool:
    """Whether an array of these strings would be mostly padding."""
    lengths = [len(entry) for entry in entries]
    return len(entries) * max(lengths, default=0) > MAX_PADDING * (len(entries) + sum(lengths))


# --- reading ----------------------------------------------------------------------------------


def decode(types: Mapping[str, type], value: Any) -> Any:
    """The value of an encoded value.

    Raises an error (ValueError, TypeError, KeyError, OverflowError) if it is none.
    """
    if isinstance(value, list):
        return [decode(types, entry) for entry in value]
    if not isinstance(value, dict):
        return value
    content = dict(value)
    kind = content.pop("type", None)
    if kind == "array":
        return _decode_array(**content)
    if kind == "float":
        return _decode_float(**content)
    if kind == "tuple":
        return tuple(decode(types, _as_list(**content)))
    if kind == "dict":
        pairs = _as_list(**content)
        return {decode(types, key): decode(types, entry) for key, entry in pairs}
    if not isinstance(kind, str) or kind not in types:
        raise ValueError(f"the type {_shown(kind)} is not known")
    made: Any = types[kind](**{name: decode(types, entry) for name, entry in content.items()})
    if set(field_names(made)) != set(content):
        raise ValueError(f"{kind} must have the fields {field_names(made)}")
    return made


def _decode_float(values: str) -> float:
    if values not in NOT_FINITE:
        raise ValueError(f"a number is {_shown(values)}")
    return NOT_FINITE[values]


def _as_list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise ValueError("a list is missing")
    return values


def _shown(name: Any) -> str:
    return f"{name!r:.100}" if isinstance(name, str) else type(name).__name__


def _decode_array(dtype: str, values: Any) -> Array:
    if dtype not in DTYPES:
        raise ValueError(f"the dtype {_shown(dtype)} of an array is not one of {list(DTYPES)}")
    kind = DTYPES[dtype].kind
    plain = decode({}, values)
    entries = list(_entries(plain))
    if not all(type(entry) in ENTRY_TYPES[kind] for entry in entries):
        raise ValueError(f"an array of dtype {dtype} has entries of another type")
    if kind == "U" and _is_padded(entries):
        raise ValueError("the strings of an array of dtype str differ too much in length")
    with np.errstate(over="ignore"):
        array = np.array(plain, dtype=DTYPES[dtype])
    if array.size != len(entries) or any(isinstance(entry, list) for entry in array.flat):
        raise ValueError("the rows of an array have different lengths")
    return array


def _entries(values: Any) -> Iterator[Any]:
    """Entries of nested lists."""
    if isinstance(values, list):
        for entry in values:
            yield from _entries(entry)
    else:
        yield values


# --- digest -----------------------------------------------------------------------------------


def checksum(content: dict[str, Any]) -> str:
    """Digest of all values; 1 and 1.0 are the same, because other programs write either.

    Raises an error (ValueError, TypeError) if the content is not of the types of JSON.
    """
    text = json.dumps(_canonical(content, 0), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"its values are nested in more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("the keys of its dicts are not all strings")
        return {name: _canonical(entry, depth + 1) for name, entry in value.items()}
    if isinstance(value, list):
        return [_canonical(entry, depth + 1) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value
