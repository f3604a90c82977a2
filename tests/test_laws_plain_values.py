"""Values come back from JSON as they were written, and nothing else is written or read."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from skmoe._estimators.plain_values import (
    DTYPES,
    MAX_DEPTH,
    MAX_PADDING,
    checksum,
    decode,
    encode,
    field_names,
)


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any = 1.0


@dataclass(frozen=True)
class Shape:
    """A dataclass with a field that its constructor does not take."""

    corners: Any
    name: str = "shape"
    size: int = field(init=False, default=3)


TYPES = {"Point": Point, "Shape": Shape}


def same(one, other):
    """Whether values have the same types and entries, in any depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        is_same = one.dtype == other.dtype and one.shape == other.shape
        return is_same and all(same(*pair) for pair in zip(one.flat, other.flat, strict=True))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return (
            list(map(same, one.items(), other.items())) == [True] * len(one) == [True] * len(other)
        )
    if isinstance(one, Shape):
        return same((one.corners, one.name), (other.corners, other.name))
    return one == other or (one != one and other != other)


NUMBERS = {
    name: np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    for name, dtype in DTYPES.items()
    if name not in ("str", "object")
}
VALUES = [
    None,
    True,
    False,
    0,
    1,
    -3,
    2**60,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "text",
    [],
    (),
    {},
    [1, (2.0, "a"), [None]],
    (1, [2.0, ()], math.inf),
    {"a": 1, 2: (3,), (4, "b"): {"c": math.nan}},
    Point(1, [2]),
    Point(np.array([1.5, math.nan]), Point(None)),
    Shape((Point(0.0), Point(1.0, 2.0)), "line"),
    Shape({"type": "array"}),
    *NUMBERS.values(),
    np.array([[math.nan, math.inf], [-math.inf, -0.0]]),
    np.array(["a", "bcd", ""]),
    np.array(["a", "bcd", ""], dtype=object),
    np.zeros((0,)),
    np.zeros((2, 0)),
    np.array([], dtype=str),
    np.array(3.5),
    np.arange(24.0).reshape(2, 3, 4)[:, ::-1],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_values_come_back_from_json_as_they_were(value):
    text = json.dumps(encode(TYPES, "value", value), allow_nan=False)
    assert same(decode(TYPES, json.loads(text)), value)


@pytest.mark.parametrize("value", [np.float64(1.5), np.int32(2), np.bool_(True), np.str_("a")])
def test_scalars_of_numpy_are_written_as_those_of_python(value):
    assert same(encode({}, "value", value), value.item())


def test_fields_are_those_that_a_constructor_takes():
    assert field_names(Point(1)) == ["x", "y"]
    assert field_names(Shape(1)) == ["corners", "name"]
    assert field_names((1, 2)) == field_names({}) == []


# --- what is not written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.ones(2, dtype=complex),
        np.ones(2, dtype=np.float16),
        np.ones(2, dtype=np.longdouble),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([b"a"]),
        np.array([1, 2], dtype=object),
        np.array(["a", None], dtype=object),
        np.array(["a", 1.5], dtype=object),
        np.zeros(2, dtype=[("x", float)]),
    ],
    ids=lambda array: str(array.dtype) + str(array[:2]),
)
def test_arrays_of_other_entries_are_not_written(array):
    with pytest.raises(ValueError, match=r"given: ndarray .* its entries must be numbers or str"):
        encode({}, "given", array)


class Other(NamedTuple):
    """A type that is not known."""

    x: int


class Pair(Point):
    """A type of its own, although it is a kind of a known one."""


@pytest.mark.parametrize("value", [Other(1), Pair(1), {1, 2}, b"a", 1j, object(), range(3)])
def test_other_types_are_not_written(value):
    named = {"Other": Point, "Pair": Point}
    for nested in (value, [value], (value,), {"a": value}, Point(value)):
        with pytest.raises(ValueError, match=rf"{type(value).__name__} has no plain form"):
            encode(TYPES | named, "value", nested)


# --- what is not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "Other", "x": 1}, "'Other' is not known"),
        ({"type": None}, "NoneType is not known"),
        ({"type": ["Point"]}, "list is not known"),
        ({}, "is not known"),
        ({"type": "float", "values": "1.5"}, "a number is '1.5'"),
        ({"type": "float", "values": "NaN"}, "a number is 'NaN'"),
        ({"type": "tuple", "values": "ab"}, "a list is missing"),
        ({"type": "dict", "values": {"a": 1}}, "a list is missing"),
        ({"type": "Point", "x": 1}, "must have the fields"),
        ({"type": "Shape", "corners": 1}, "must have the fields"),
        ({"type": "array", "dtype": "float16", "values": [1.0]}, "is not one of"),
        ({"type": "array", "dtype": "complex128", "values": [1.0]}, "is not one of"),
        ({"type": "array", "dtype": "int64", "values": [1.0]}, "entries of another type"),
        ({"type": "array", "dtype": "int64", "values": [True]}, "entries of another type"),
        ({"type": "array", "dtype": "bool", "values": [1]}, "entries of another type"),
        ({"type": "array", "dtype": "float64", "values": ["1"]}, "entries of another type"),
        ({"type": "array", "dtype": "str", "values": [1]}, "entries of another type"),
        ({"type": "array", "dtype": "object", "values": [None]}, "entries of another type"),
        ({"type": "array", "dtype": "float64", "values": [[1.0, 2.0], [3.0]]}, "sequence|lengths"),
        ({"type": "array", "dtype": "object", "values": [["a", "b"], ["c"]]}, "lengths"),
        ({"type": "array", "dtype": "object", "values": [["a"], "c"]}, "sequence|lengths"),
    ],
)
def test_other_values_are_not_read(value, reason):
    for nested in (value, [value], {"type": "tuple", "values": [value]}):
        with pytest.raises(ValueError, match=reason):
            decode(TYPES, nested)


def test_integers_are_read_as_numbers_of_arrays_that_hold_them():
    array = decode({}, {"type": "array", "dtype": "float32", "values": [1, 2.5]})
    assert same(array, np.array([1.0, 2.5], dtype=np.float32))


@pytest.mark.parametrize("n_short", [1, 10, 100])
def test_arrays_of_strings_have_little_padding(n_short):
    """Of an array with one long string the padding of all others is limited."""
    n_characters = MAX_PADDING * (n_short + 1)  # before those of the long string
    refused = []
    lengths = np.unique(np.geomspace(1, 100 * MAX_PADDING, 60).astype(int))
    for length in lengths.tolist():
        strings = [""] * n_short + ["a" * length]
        stored = length * len(strings)
        too_many = stored > n_characters + MAX_PADDING * length
        document = {"type": "array", "dtype": "str", "values": strings}
        for action, argument in (
            (lambda value: encode({}, "names", np.array(value)), strings),
            (lambda value: decode({}, value), document),
        ):
            if too_many:
                with pytest.raises(ValueError, match="differ"):
                    action(argument)
            else:
                action(argument)
        refused.append(too_many)
        decode({}, document | {"dtype": "object"})
    assert any(refused) == (n_short >= MAX_PADDING)


# --- digests ------------------------------------------------------------------------------------


def test_digests_are_those_of_values_and_not_of_their_form():
    assert checksum({"a": 1, "b": [2, 3.0]}) == checksum({"b": [2.0, 3], "a": 1.0})
    distinct = [
        1,
        2,
        -1,
        True,
        False,
        None,
        "1",
        [1],
        [[1]],
        {},
        [],
        {"b": 1},
        1.5,
        2**53,
        2**53 + 1,
    ]
    distinct += [-(2**53) - 1, -(2**53) - 2]
    digests = {checksum({"a": value}) for value in distinct}
    assert len(digests) == len(distinct)


@pytest.mark.parametrize("make", [lambda value: [value], lambda value: {"a": value}])
def test_values_are_nested_in_so_many_levels_and_no_more(make):
    value = 1
    for _ in range(MAX_DEPTH - 1):
        value = make(value)
    assert checksum({"value": value})
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels"):
        checksum({"value": make(value)})


@pytest.mark.parametrize("value", [{1: 2}, {"a": 1, None: 2}, {"a": {2.5: 1}}])
def test_keys_are_strings(value):
    with pytest.raises(TypeError, match="not all strings"):
        checksum({"value": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"a", np.ones(2)])
def test_digests_are_of_values_of_json_only(value):
    with pytest.raises((ValueError, TypeError)):
        checksum({"value": [value]})
