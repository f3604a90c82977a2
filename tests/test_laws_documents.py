"""Documents are read as they were written, and any attribute of them that is another is refused."""

import json
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import ALL_CASES, X, short_fit
from numpy.testing import assert_array_equal

from skmoe._estimators.document_checks import _agrees, has_declared_types
from skmoe._estimators.plain_values import checksum

# Estimators have no plain form.
WRITTEN = [
    case
    for case, (moe, _, _) in ALL_CASES.items()
    if moe.expert == "linear" and moe.base is None and moe.specialize
]


@cache
def written(case):
    return json.dumps(short_fit(case).to_dict())


def read(case, attributes=None):
    """The mixture of a document, with other attributes under a checksum that matches."""
    document = json.loads(written(case))
    if attributes is not None:
        document["attributes"] = attributes
        del document["checksum"]
        document["checksum"] = checksum(document)
    return type(short_fit(case)).from_dict(document)


def is_refused(case, attributes):
    """Whether reading ends with the message of documents that hold no fit."""
    try:
        read(case, attributes)
    except ValueError as error:
        return "must hold a fitted" in str(error)
    return False


def attributes_of(case):
    return json.loads(written(case))["attributes"]


def same_type(value, other):
    """Whether both are flags, numbers, texts, or another type; NumPy has numbers of its own."""
    kinds = (bool, int, float, str)
    return next((kind for kind in kinds if isinstance(value, kind)), type(value)) is next(
        (kind for kind in kinds if isinstance(other, kind)), type(other)
    )


@pytest.mark.parametrize("case", WRITTEN)
def test_a_document_has_all_attributes_of_the_fit(case):
    moe, again = short_fit(case), read(case)
    _, y, given = ALL_CASES[case]
    units = {name: values for name, values in given.items() if name == "units"}
    assert_array_equal(again.score_samples(X, y, **units), moe.score_samples(X, y, **units))
    assert_array_equal(again.predict(X), moe.predict(X))
    public = [name for name in vars(moe) if name.endswith("_") and not name.startswith("_")]
    assert sorted(public) == sorted(name for name in vars(again) if name in public)
    for name in public:
        one, other = getattr(again, name), getattr(moe, name)
        assert same_type(one, other), name
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            assert_array_equal(one, other)


# Fits with different attributes.
FORGED = ["linear-classifier", "student_t-regressor", "units", "outputs"]


def share_of(case, changes):
    """Names of attributes and their changes, those that are made in the document of this case.

    The checks of an attribute are the same for all fits. Each change is therefore made in one of
    the documents that have the attribute. `changes` takes the attributes of a document and yields
    keys, which begin with the name, and changes.
    """
    by_case = {owner: dict(changes(attributes_of(owner))) for owner in FORGED}
    for position, key in enumerate(
        dict.fromkeys(key for found in by_case.values() for key in found)
    ):
        owners = [owner for owner in FORGED if key in by_case[owner]]
        if owners[position % len(owners)] == case:
            yield key[0], by_case[case][key]


def assert_all_refused(case, changes):
    attributes = attributes_of(case)
    shared = list(share_of(case, changes))
    assert shared
    for name, other in shared:
        assert is_refused(case, attributes | {name: other}), (name, other)


NAN = {"type": "float", "values": "nan"}
OTHER_VALUES = [None, "text", -3, True, [0.5], NAN]


def of_other_types(attributes):
    for name, value in attributes.items():
        for i, other in enumerate(OTHER_VALUES):
            if not same_type(value, other):
                yield (name, i), other


@pytest.mark.parametrize("case", FORGED)
def test_attributes_of_another_type_are_refused(case):
    assert_all_refused(case, of_other_types)


def names_of(attributes):
    for name in attributes:
        if name != "n_units_":  # which fits without units do not have
            yield (name,), name


@pytest.mark.parametrize("case", FORGED)
def test_attributes_must_be_there_and_no_others(case):
    attributes = attributes_of(case)
    for name, _ in share_of(case, names_of):
        others = {key: value for key, value in attributes.items() if key != name}
        assert is_refused(case, others), name
    with pytest.raises(ValueError, match="is no attribute of such a fit"):
        read(case, attributes | {"further_": 1.0})


# Arrays that a mixture does not determine: they are of the rows of the fit.
OF_ROWS = ("weights_", "load_", "lower_bounds_", "start_lower_bounds_", "start_converged_")


def of_other_shapes_and_numbers(attributes):
    arrays = {
        name: value
        for name, value in attributes.items()
        if isinstance(value, dict) and value.get("type") == "array"
    }
    assert len(arrays) > 6
    for name, array in arrays.items():
        values = array["values"]
        yield (name, "an axis more"), array | {"values": [values]}
        if name != "lower_bounds_":  # which has as many as there were iterations
            yield (name, "an entry more"), array | {"values": [*values, values[-1]]}
        if array["dtype"] == "float64" and name not in OF_ROWS:
            numbers = np.array(values, dtype=float)
            yield (name, "all"), array | {"values": (numbers * 1.01 + 0.01).tolist()}
            numbers.flat[0] = 1.5 * numbers.flat[0] + 0.1
            yield (name, "one"), array | {"values": numbers.tolist()}


@pytest.mark.parametrize("case", FORGED)
def test_arrays_of_other_shapes_and_numbers_are_refused(case):
    assert_all_refused(case, of_other_shapes_and_numbers)


class Pair(NamedTuple):
    """Two fields with declared types."""

    number: float
    count: int | None


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (1.0, int, False),
        (True, int, False),
        (1, bool, False),
        (True, bool, True),
        (1, float, True),
        (1.5, float, True),
        (True, float, False),
        ("1.5", float, False),
        (np.inf, float, False),
        (np.nan, float, False),
        (1, int | None, True),
        (None, int | None, True),
        (1.5, int | None, False),
        ("one", str, True),
        (1, str, False),
        ("one", Any, True),
        ((1.0, 2.0), tuple[float, ...], True),
        ((), tuple[float, ...], True),
        ((1.0, "two"), tuple[float, ...], False),
        ([1.0, 2.0], tuple[float, ...], False),
        ([1.0], list[float], True),
        ((1.0,), list[float], False),
        (Pair(1.0, None), Pair, True),
        (Pair("one", None), Pair, False),
        (Pair(1.0, 2.5), Pair, False),
        ((Pair(1.0, 2), Pair(1.0, 2.5)), Any, False),
        ((Pair(1.0, 2), Pair(1.0, None)), Any, True),
        ((1.0, 2.0), Pair, False),
    ],
)
def test_values_are_of_their_declared_types(value, hint, expected):
    assert has_declared_types(value, hint) is expected


NUMBERS = np.array([1e6, 0.0, np.nan])


@pytest.mark.parametrize(
    ("value", "expected", "agree"),
    [
        (NUMBERS, NUMBERS, True),
        (NUMBERS * (1.0 + 1e-8), NUMBERS, True),
        (NUMBERS + np.array([0.0, 1e-5, 0.0]), NUMBERS, True),  # small beside the largest
        (NUMBERS + np.array([0.0, 1.0, 0.0]), NUMBERS, False),
        (NUMBERS * (1.0 + 1e-3), NUMBERS, False),
        (NUMBERS[None], NUMBERS, False),
        (np.zeros(3, dtype=int), np.zeros(3), False),
        (np.array([np.inf, 1.0]), np.array([np.inf, 1.0]), True),
        (np.array([np.inf, 1.1]), np.array([np.inf, 1.0]), False),
        ([1.0, 2.0], np.array([1.0, 2.0]), False),
        ([NUMBERS, "a"], [NUMBERS, "a"], True),
        ([NUMBERS, "a"], [NUMBERS, "b"], False),
        ([NUMBERS], [NUMBERS, "a"], False),
        ((1, 2), [1, 2], False),
        ((1, 2), (1, 2), True),
        (1.0, 1, True),
        (True, 1, False),
        (np.nan, np.nan, True),
        (2, 1, False),
        ("1", 1, False),
        ("log", "log", True),
        ("log", "identity", False),
        (None, None, True),
        (1.0, None, False),
        (np.array(["a", "b"]), np.array(["a", "b"]), True),
        (np.array(["a", "c"]), np.array(["a", "b"]), False),
    ],
)
def test_derived_attributes_agree_but_for_round_off(value, expected, agree):
    assert _agrees(value, expected) is agree
