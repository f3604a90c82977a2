"""Documents that were damaged or forged are refused, or predict finite numbers and run no code."""

import copy
import json
from contextlib import suppress
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import GeneralizedLinearExperts
from support.documents import array, holders, sealed
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=80)
CLASS_X, CODES = flipping_classes(n_rows=80, n_classes=3)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)
SHORT = {"n_init": 1, "max_iter": 6, "random_state": 0}
SCRIPT = '"><script>alert(1)</script>'
NAN, INFINITY = ({"type": "float", "values": name} for name in ("nan", "inf"))

CASES = {
    "columns": (MixtureOfExpertsRegressor(2, gate_features=["a"], **SHORT), FRAME, Y, {}),
    "outputs": (
        MixtureOfExpertsRegressor(3, top_k=2, **SHORT),
        X,
        np.column_stack([Y, X[:, 0]]),
        {},
    ),
    "average": (
        MixtureOfExpertsRegressor(2, combine="average", gate="constant", **SHORT | {"n_init": 2}),
        X,
        Y,
        {},
    ),
    "counts": (
        MixtureOfExpertsRegressor(2, expert=GeneralizedLinearExperts(alpha=0.5), **SHORT),
        X,
        np.floor(np.abs(3 * Y)),
        {},
    ),
    "student_t": (MixtureOfExpertsRegressor(2, family="student_t", **SHORT), X, Y, {}),
    "units": (
        MixtureOfExpertsRegressor(2, gate_aggregate="mean", **SHORT),
        X,
        Y,
        {"units": np.arange(80) // 2},
    ),
    "classes": (
        MixtureOfExpertsClassifier(2, class_weight={"one": 2.0}, **SHORT),
        CLASS_X,
        np.array(["one", "three", "two"])[CODES],
        {},
    ),
}


@cache
def written(case):
    moe, features, y, given = CASES[case]
    return json.dumps(fit_quietly(moe, features, y, **given).to_dict())


def document_of(case):
    return json.loads(written(case))


def read(case, document):
    return type(CASES[case][0]).from_dict(document)


def assert_reading_refused(case, document, *words, remedy="upgrade skmoe"):
    message = refusal(read, case, document)
    assert_refused(message, "document must hold a fitted Mix", *words, remedy)


@pytest.mark.parametrize("case", CASES)
def test_a_document_that_is_sealed_again_is_read(case):
    moe = read(case, sealed(document_of(case)))
    assert np.isfinite(moe.predict_experts(CASES[case][1])).all()


def test_round_off_of_derived_attributes_is_no_damage():
    document = document_of("columns")
    values = document["attributes"]["expert_coef_"]
    values["values"] = (np.array(values["values"]) * (1.0 + 1e-13)).tolist()
    assert document["attributes"]["dispersion_prior_"] == 10.0
    document["attributes"]["dispersion_prior_"] = 10  # as other programs write it
    assert_array_equal(
        read("columns", sealed(document)).predict(FRAME),
        read("columns", document_of("columns")).predict(FRAME),
    )


# --- damage without a new checksum ----------------------------------------------------------------


def change_number(document):
    document["attributes"]["expert_coef_"]["values"][0][0] = 0.0


def nested(levels, make=lambda value: [value]):
    value = 1
    for _ in range(levels):
        value = make(value)
    return value


DAMAGE = {
    "a number": (change_number, "checksum"),
    "a parameter": (lambda d: d["parameters"].update(alpha=3.0), "checksum"),
    "no attributes": (lambda d: d.pop("attributes"), "'attributes'", "are missing"),
    "no checksum": (lambda d: d.pop("checksum"), "'checksum'", "are missing"),
    "newer": (lambda d: d.update(version=99), "version 99", "upgrade"),
    "older": (lambda d: d.update(version=1), "version 1", "Call to_dict again"),
    "foreign": (lambda d: d.update(format="other"), '"format": "skmoe"', "json.loads"),
    "another key": (lambda d: d.update({1: 2}), "must have the keys", "are not known"),
    "a huge key": (lambda d: d.update({10**5000: 2}), "must have the keys", "are not known"),
    **{
        f"version {name}": (lambda d, v=value: d.update(version=v), "must be of version", "got")
        for name, value in {
            "text": "2",
            "none": None,
            "flag": True,
            "float": 2.0,
            "huge": 10**5000,
        }.items()
    },
    **{
        f"no JSON: {name}": (
            lambda d, v=value: d["parameters"].update(gate_features=v),
            "types of JSON",
            "take another copy",
        )
        for name, value in {
            "levels of lists": nested(100),
            "levels of dicts": nested(100, lambda value: {"a": value}),
            "bytes": b"x",
            "keys": {1: 2, "a": 3},
            "no number": float("nan"),
            "set": {1},
            "huge": 10**5000,
        }.items()
    },
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_documents_are_refused(damage):
    change, *words = DAMAGE[damage]
    document = document_of("columns")
    change(document)
    assert_refused(refusal(read, "columns", document), "document must", *words)


@pytest.mark.parametrize("value", [{}, {1: 2}, {10**5000: 2}, "text", None, [1]])
def test_what_is_no_document_is_refused(value):
    assert_refused(refusal(read, "columns", value), "document must be a dict that to_dict made")


def test_documents_of_others_are_refused():
    message = refusal(MixtureOfExpertsClassifier.from_dict, document_of("columns"))
    assert_refused(message, "document", "Use MixtureOfExpertsRegressor.from_dict")


def test_values_may_be_nested():
    """An average of starts needs several levels."""
    document = document_of("columns")
    document["parameters"]["gate_features"] = nested(12)
    assert read("columns", sealed(document)).get_params()["gate_features"] == nested(12)


# --- forged documents, whose checksum fits --------------------------------------------------------

# Case, names under which it is found, value, and words of the reason.
FORGED = [
    # Names that an estimator has otherwise.
    ("columns", ("attributes", "_doc_link_template"), SCRIPT, "no attribute"),
    ("columns", ("attributes", "predict"), 1, "'predict' is no attribute"),
    ("columns", ("attributes", "__dict__"), {"type": "dict", "values": []}, "no attribute"),
    ("columns", ("attributes", "gate_feature_names_"), ["x"], "no attribute"),
    ("columns", ("attributes", "further_"), 1.0, "no attribute"),
    # Parameters of the mixture.
    ("columns", ("params", "experts", "coef", "values"), [[[NAN] * 5]] * 2, "coef"),
    ("columns", ("params", "experts", "coef", "values"), lambda v: v[:1], "(2, 1, 5)"),
    ("columns", ("params", "experts", "coef", "values"), [[[1.7e308] * 5]] * 2, "not finite"),
    ("columns", ("params", "experts", "log_variance", "values"), [[0.0, 0.0]], "log_variance"),
    ("columns", ("params", "gate", "coef", "dtype"), "float32", "coef of the gate"),
    (
        "columns",
        ("params", "gate"),
        {"type": "LinearParams", "coef": array(1.0), "log_variance": array(1.0)},
        "gate",
        "another type",
    ),
    ("columns", ("hessian_params", "gate", "coef", "values"), [], "coef of the gate"),
    ("average", ("gate", "starts", "values"), lambda v: v[:1] * 3, "starts"),
    # The model.
    ("columns", ("model", "n_experts"), 3, "experts"),
    ("columns", ("model", "n_experts"), 10**9, "experts"),
    ("columns", ("model", "top_k"), "x", "no mixture"),
    ("outputs", ("model", "top_k"), 4, "top_k"),
    ("columns", ("model", "balance"), -1.0, "balance"),
    ("columns", ("model", "experts", "noise_variance", "values"), [-1.0], "noise_variance"),
    ("columns", ("model", "experts", "variance_floor", "values"), [0], "variance_floor"),
    ("columns", ("model", "gate", "transformer"), 1, "transformer"),
    ("columns", ("model", "gate"), {"type": "LinearExperts"}, "gate"),
    ("classes", ("model", "experts", "n_classes"), 4, "n_classes"),
    # The preprocessor.
    ("columns", ("feature_scaling", "scale", "values", 0), 0.0, "not positive"),
    ("columns", ("feature_scaling", "center", "values", 0), INFINITY, "not finite"),
    ("columns", ("feature_scaling", "center"), array([0.0] * 4, "float32"), "float64"),
    ("columns", ("feature_scaling", "center"), array([0.0]), "each column"),
    ("counts", ("target_scaling", "center", "values"), [1.0], "not standardised"),
    ("columns", ("target_scaling", "scale", "values"), [INFINITY], "infinite"),
    ("columns", ("preprocessor", "target_scaling"), None, "other estimator"),
    ("classes", ("preprocessor", "target_scaling"), "x", ""),
    ("columns", ("preprocessor", "gate_columns", "values"), [10**12], "indices of columns"),
    ("columns", ("preprocessor", "gate_columns"), array([0.5], "int64"), "another type"),
    ("columns", ("preprocessor", "gate_columns"), array([[0]], "int64"), "not indices"),
    ("columns", ("preprocessor", "gate_columns"), array([0, 0], "int64"), "used twice"),
    ("columns", ("preprocessor", "uses_raw_features"), True, "encoded"),
    ("columns", ("feature_range", "values", 0, 0), 1e9, "above the largest"),
    # The state for later fits.
    ("columns", ("row_buffer",), 1, "rows"),
    ("columns", ("resume_state", "cycle"), -1, "negative"),
    ("columns", ("resume_state", "cycle"), 1.5, "another type"),
    ("columns", ("total_weight",), -1.0, "weight"),
    ("columns", ("numbering", "values"), [0, 0], "permutation"),
    ("columns", ("penalty_searches", "values"), ["x", "", ""], "search"),
    # Attributes.
    ("columns", ("noise_variance_", "values", 0), -1.0, "noise_variance_"),
    ("columns", ("expert_coef_", "values", 0, 0), 5.0, "expert_coef_ is not that of"),
    ("columns", ("n_features_in_",), 3, "3"),
    ("columns", ("n_iter_",), 0, "n_iter_ is not positive"),
    ("columns", ("n_experts_",), 3, "n_experts_"),
    ("columns", ("lower_bound_",), 9.0, "lower_bound_"),
    ("columns", ("load_", "values"), ["1", "2"], "another type"),
    ("columns", ("load_", "values"), [[1.0, 2.0]], "one axis"),
    ("columns", ("load_", "values"), [1.0, NAN], "not finite"),
    ("columns", ("load_", "values"), [-1.0, 1.0], "negative"),
    ("columns", ("load_",), array([1, 2], "int64"), "load_ has the dtype int64"),
    ("columns", ("load_", "dtype"), "(100000000,)f8", "dtype"),
    ("columns", ("load_", "type"), "Popen", "'Popen' is not"),
    ("columns", ("weights_", "values"), [0.1, 0.1], "sum to"),
    ("columns", ("start_traces_",), 1, "not a list"),
    ("columns", ("start_traces_",), [1], "one axis"),
    ("columns", ("feature_names_in_", "values"), [["a"], 1, "b", "c"], "another type"),
    ("columns", ("feature_names_in_", "values"), [["a"], "b", "c", "d"], "lengths"),
    ("columns", ("feature_names_in_", "dtype"), "S2000000000", "dtype 'S2000"),
    ("columns", ("feature_names_in_", "dtype"), "<U200000000", "dtype '<U2000"),
    ("outputs", ("attributes", "_single_output"), True, "single output"),
    ("classes", ("classes_", "values"), ["one", "two", "three"], "not sorted"),
    ("classes", ("classes_", "values"), ["one"], "two classes"),
    # Parameters of the constructor.
    ("columns", ("parameters", "alpha"), -1.0, "alpha must be a finite number"),
    ("columns", ("parameters", "alpha"), 10**400, ""),
    ("columns", ("parameters", "expert"), SCRIPT, "expert must be one of"),
    ("columns", ("parameters", "invented_later"), 1, "invented_later"),
    ("columns", ("parameters", "gate_features"), {"type": "tuple", "values": "ab"}, "a list"),
    ("columns", ("parameters", "gate_features"), {"type": "float", "values": "NaN"}, "'NaN'"),
    (
        "columns",
        ("parameters", "gate_features"),
        array(["a"] * 1000 + ["a" * 10**5], "str"),
        "differ too much in length",
    ),
    ("columns", ("parameters", "gate_features"), array([1], "bool"), "another type"),
    ("columns", ("parameters", "gate_features"), array([None], "object"), "another type"),
    ("columns", ("parameters", "gate_features"), array([1.0], "float16"), "not one of"),
]


def forged(case, names, value):
    """The document with a value at all places that are found by these names."""
    document = document_of(case)
    found = list(holders(document, *names[:-1]))
    assert found
    changed = 0
    for holder in found:
        if len(names) == 1 and names[0] not in holder:
            continue
        old = holder.get(names[-1]) if isinstance(holder, dict) else holder[names[-1]]
        holder[names[-1]] = value(old) if callable(value) else value
        changed += 1
    assert changed
    return sealed(document)


@pytest.mark.parametrize(
    "rule", range(len(FORGED)), ids=[" ".join(map(str, names)) for _, names, *_ in FORGED]
)
def test_forged_documents_are_refused(rule):
    case, names, value, *words = FORGED[rule]
    assert_reading_refused(case, forged(case, names, value), *words)


def test_a_document_without_a_mixture_is_refused():
    document = document_of("columns")
    for attributes in ({}, {"n_iter_": 3}):
        assert_reading_refused(
            "columns", sealed(document | {"attributes": attributes}), "contains no mixture"
        )
    del document["parameters"]["tol"]
    assert_reading_refused("columns", sealed(document), "parameters are missing: ['tol']")


def test_fields_of_a_preprocessor_must_be_complete():
    document = document_of("columns")
    for holder in holders(document, "preprocessor"):
        del holder["encoder"]
    assert_reading_refused("columns", sealed(document), "Preprocessor must have the fields")


# --- each attribute of a fit ----------------------------------------------------------------------

# The checks of an attribute are the same for all fits: each change is made in one document that
# has the attribute.
OWNERS = ("student_t", "classes", "units")
OTHER_VALUES = [None, "text", -3, True, [0.5], NAN]
# Arrays that a mixture does not determine: they are of the rows of the fit.
OF_ROWS = ("weights_", "load_", "lower_bounds_", "start_lower_bounds_", "start_converged_")


def same_type(value, other):
    """Whether both are flags, numbers, texts, or of one other type."""
    kinds = (bool, int, float, str)
    return next((kind for kind in kinds if isinstance(value, kind)), type(value)) is next(
        (kind for kind in kinds if isinstance(other, kind)), type(other)
    )


def other_attributes(attributes):
    """Names of attributes, and values that must be refused: in turn those of other types."""
    for i, (name, value) in enumerate(attributes.items()):
        for other in OTHER_VALUES[i % 2 :: 2]:
            if not same_type(value, other):
                yield name, other
        if not isinstance(value, dict) or value.get("type") != "array":
            continue
        values = value["values"]
        yield name, value | {"values": [values]}
        if name != "lower_bounds_":  # which has as many as there were iterations
            yield name, value | {"values": [*values, values[-1]]}
        if value["dtype"] == "float64" and name not in OF_ROWS:
            numbers = np.array(values, dtype=float)
            yield name, value | {"values": (numbers * 1.01 + 0.01).tolist()}
            numbers.flat[0] = 1.5 * numbers.flat[0] + 0.1
            yield name, value | {"values": numbers.tolist()}


@pytest.mark.parametrize("case", OWNERS)
def test_attributes_of_other_types_shapes_and_numbers_are_refused(case):
    document = document_of(case)
    own = document["attributes"]
    changes = [
        (name, other)
        for name, other in other_attributes(own)
        if all(
            name not in document_of(owner)["attributes"] for owner in OWNERS[: OWNERS.index(case)]
        )
    ]
    assert changes
    for name, other in changes:
        forgery = document | {"attributes": own | {name: other}}
        assert "must hold a fitted" in refusal(read, case, sealed(forgery)), (name, other)


@pytest.mark.parametrize("case", OWNERS)
def test_attributes_must_be_complete(case):
    document = document_of(case)
    for name in document["attributes"]:
        if name != "n_units_":  # which fits without units do not have
            others = {key: v for key, v in document["attributes"].items() if key != name}
            assert_reading_refused(case, sealed(document | {"attributes": others}))


# --- many damages at once -------------------------------------------------------------------------


def paths(value, path=()):
    """Paths of all values in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, entry in entries:
        yield (*path, name)
        if isinstance(entry, dict | list):
            yield from paths(entry, (*path, name))


def damage(rng, document):
    """One random damage of a document, in place."""
    every = list(paths(document))
    parents = []
    for _ in range(2):
        *path, name = every[rng.integers(len(every))]
        parent = document
        for step in path:
            parent = parent[step]
        parents.append((parent, name))
    (parent, name), (other, other_name) = parents
    value = parent[name]
    kind = rng.choice(["delete", "retype", "reshape", "swap", "scale", "rename"])
    if kind == "delete":
        del parent[name]
    elif kind == "retype":
        parent[name] = copy.deepcopy(REPLACEMENTS[rng.integers(len(REPLACEMENTS))])
    elif kind == "reshape":
        lists = isinstance(value, list)
        parent[name] = [[value], value[:-1], value * 2][rng.integers(3)] if lists else [value]
    elif kind == "swap":
        parent[name], other[other_name] = copy.deepcopy((other[other_name], value))
    elif kind == "scale" and isinstance(value, int | float):
        factor = [-1, 0, 2, 10**6, 1e300, 1e-300, 10**400][rng.integers(7)]
        parent[name] = value * factor if abs(factor) < 10**300 else factor
    elif isinstance(parent, dict):
        parent[rng.choice(["_repr_html_", "x", "coef_", "__class__"])] = parent.pop(name)


REPLACEMENTS = [None, True, 0, -1, 1.5, 10**12, 10**400, "", "x", SCRIPT, "nan", [], {}, [[1.0]]]
REPLACEMENTS += [NAN, array([]), array(["x"], "object"), array([SCRIPT], "str"), array(1.0)]
REPLACEMENTS += [{"type": "tuple", "values": [1]}, {"type": "SoftmaxGate"}, nested(20)]


def test_documents_with_random_damage_are_refused_or_predict_finite_numbers():
    """Some damages are changes to other values that are valid."""
    rng = np.random.default_rng(0)
    n_read, n_documents = 0, 80
    for _ in range(n_documents):
        case = list(CASES)[rng.integers(len(CASES))]
        document = document_of(case)
        content = {name: document[name] for name in ("parameters", "attributes")}
        for _ in range(rng.integers(1, 3)):
            damage(rng, content)
        document |= content
        with suppress(ValueError):  # no checksum of what is not JSON
            document = sealed(document)
        try:
            moe = read(case, document)
        except ValueError as error:
            assert_refused(str(error), "document must ")
            continue
        n_read += 1
        features = np.asarray(CASES[case][1])
        if hasattr(moe, "feature_names_in_"):  # perhaps others
            features = pd.DataFrame(features, columns=moe.feature_names_in_)
        assert np.isfinite(moe.predict_experts(features)).all()
        assert np.isfinite(moe.predict_gate(features)).all()
        assert moe.predict(features).shape == CASES[case][2].shape
        assert str(moe.summary())
        assert SCRIPT not in moe._repr_html_()
    assert 0 < n_read < n_documents
