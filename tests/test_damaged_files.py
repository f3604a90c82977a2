"""Documents that were damaged or forged are refused, or predict finite numbers and run no code."""

import copy
import json
import math
from contextlib import suppress
from functools import cache

import numpy as np
import pandas as pd
import pytest
from regimes import flipping_classes, quiet, two_regimes

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.document_checks import _agrees
from skmoe._estimators.plain_values import MAX_DEPTH, MAX_PADDING, checksum
from skmoe._estimators.serialization import VERSION
from skmoe.experts import GeneralizedLinearExperts

X, Y = two_regimes(n_rows=200)
CLASS_X, CODES = flipping_classes(n_rows=200, n_classes=3)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)
SHORT = {"max_iter": 8, "random_state": 0}
SCRIPT = '"><script>alert(1)</script>'

CASES = {
    "columns": (MixtureOfExpertsRegressor(2, gate_features=["a"], n_init=1, **SHORT), FRAME, Y),
    "outputs": (
        MixtureOfExpertsRegressor(3, top_k=2, n_init=2, **SHORT),
        X,
        np.column_stack([Y, X[:, 0]]),
    ),
    "average": (
        MixtureOfExpertsRegressor(2, combine="average", n_init=2, gate="constant", **SHORT),
        X,
        Y,
    ),
    "counts": (
        MixtureOfExpertsRegressor(2, expert=GeneralizedLinearExperts(alpha=0.5), n_init=1, **SHORT),
        X,
        np.floor(np.abs(3 * Y)),
    ),
    "classes": (
        MixtureOfExpertsClassifier(2, class_weight={"one": 2.0}, n_init=1, **SHORT),
        CLASS_X,
        np.array(["one", "three", "two"])[CODES],
    ),
}


@cache
def written(case):
    moe, features, y = CASES[case]
    return json.dumps(quiet(moe, features, y).to_dict())


def sealed(document):
    """The document with a checksum that matches, as whoever forges one can compute it."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    return content | {"checksum": checksum(content)}


def read(case, document):
    return type(CASES[case][0]).from_dict(document)


# --- one damage at a time ---------------------------------------------------------------------


def test_a_document_that_is_sealed_again_is_read():
    for case in CASES:
        moe = read(case, sealed(json.loads(written(case))))
        assert np.isfinite(moe.predict_experts(CASES[case][1])).all()


def forged(case, change):
    document = json.loads(written(case))
    change(document["attributes"])
    return sealed(document)


def set_value(*path, value):
    """A change of one value, given by its path."""

    def change(attributes):
        for name in path[:-1]:
            attributes = attributes[name]
        attributes[path[-1]] = value(attributes[path[-1]]) if callable(value) else value

    return change


def array(values, dtype="float64"):
    return {"type": "array", "dtype": dtype, "values": values}


EXPERTS = ("_fitted", "params", "experts")
SCALING = ("_fitted", "preprocessor", "feature_scaling")
FORGED = {
    "a name of the class": (set_value("_doc_link_template", value=SCRIPT), "no attribute"),
    "a method": (set_value("predict", value=1), "'predict' is no attribute"),
    "the dict": (set_value("__dict__", value={"type": "dict", "values": []}), "no attribute"),
    "a property": (set_value("gate_feature_names_", value=["x"]), "no attribute"),
    "NaN": (
        set_value(*EXPERTS, "coef", "values", value=lambda v: [[[_nan()] * 5]] * 2),
        "coef of the experts is not finite",
    ),
    "another number of experts": (set_value("_fitted", "model", "n_experts", value=3), "experts"),
    "a huge number of experts": (
        set_value("_fitted", "model", "n_experts", value=10**9),
        "one entry for each of the 1000000000 experts",
    ),
    "fewer experts": (
        set_value(*EXPERTS, "coef", "values", value=lambda v: v[:1]),
        r"coef of the experts must have the shape \(2, 1, 5\)",
    ),
    "another shape": (
        set_value(*EXPERTS, "log_variance", "values", value=[[0.0, 0.0]]),
        "log_variance of the experts must have the shape",
    ),
    "a negative variance": (
        set_value("_fitted", "model", "experts", "noise_variance", "values", value=[-1.0]),
        "noise_variance is too small",
    ),
    "no lower bound of a variance": (
        set_value("_fitted", "model", "experts", "variance_floor", "values", value=[0]),
        "variance_floor is too small",
    ),
    "a negative noise": (set_value("noise_variance_", "values", 0, value=-1.0), "noise_variance_"),
    "scale zero": (set_value(*SCALING, "scale", "values", 0, value=0.0), "is not positive"),
    "an infinite center": (
        set_value(*SCALING, "center", "values", 0, value={"type": "float", "values": "inf"}),
        "is not finite",
    ),
    "fewer features": (set_value("n_features_in_", value=3), "one entry for each of the 3"),
    "a column that is none": (
        set_value("_fitted", "preprocessor", "gate_columns", "values", value=[10**12]),
        "indices of columns",
    ),
    "routing by a string": (set_value("_fitted", "model", "top_k", value="x"), "no mixture"),
    "experts in the place of the gate": (
        lambda a: a["_fitted"]["model"].update(gate=a["_fitted"]["model"]["experts"]),
        "its gate is a LinearExperts",
    ),
    "a transformer": (set_value("_fitted", "model", "gate", "transformer", value=1), "transformer"),
    "other slopes": (
        set_value("expert_coef_", "values", 0, 0, value=5.0),
        "expert_coef_ is not that of",
    ),
    "no mixture": (lambda a: a.pop("_fitted"), "contains no mixture"),
    "nothing": (lambda a: a.clear(), "contains no mixture"),
    "no weights of the right sum": (set_value("weights_", "values", value=[0.1, 0.1]), "sum to"),
    "a resume state of other experts": (
        set_value(
            "_training_state", "resume_state", "hessian_params", "gate", "coef", "values", value=[]
        ),
        "coef of the gate must have the shape",
    ),
    "an integer that is none": (
        set_value("_fitted", "preprocessor", "gate_columns", value=array([0.5], "int64")),
        "entries of another type",
    ),
    "numbers as text": (set_value("load_", "values", value=["1", "2"]), "entries of another type"),
    "objects": (
        set_value("feature_names_in_", "values", value=[["a"], 1, "b", "c"]),
        "entries of another type",
    ),
    "lists among names": (
        set_value("feature_names_in_", "values", value=[["a"], "b", "c", "d"]),
        "rows of an array have different lengths",
    ),
    "bytes": (set_value("feature_names_in_", "dtype", value="S2000000000"), "the dtype 'S2000"),
    "a structure": (set_value("load_", "dtype", value="(100000000,)f8"), "the dtype"),
    "a type that is none": (set_value("load_", "type", value="Popen"), "the type 'Popen' is not"),
}


PREPROCESSOR = ("_fitted", "preprocessor")
STATE = ("_training_state", "resume_state")


def scaling(center, scale, dtype="float64"):
    return {
        "type": "Standardization",
        "center": array(center, dtype),
        "scale": array(scale, dtype),
    }


def _nan():
    return {"type": "float", "values": "nan"}


# Case, path, value, and the reason for which it is refused.
RULES = [
    ("outputs", ("_fitted", "model", "top_k"), 4, "top_k of the model"),
    ("columns", ("_fitted", "model", "balance"), -1.0, "balance of the model"),
    ("counts", (*PREPROCESSOR, "target_scaling", "center", "values"), [1.0], "not standardised"),
    ("classes", ("_fitted", "model", "experts", "n_classes"), 4, "n_classes is not the number"),
    ("columns", (*PREPROCESSOR, "gate_columns"), array([[0]], "int64"), "are not indices"),
    ("columns", (*PREPROCESSOR, "gate_columns"), array([0, 0], "int64"), "used twice"),
    ("columns", (*PREPROCESSOR, "uses_raw_features"), True, "encoded or extended"),
    ("columns", (*PREPROCESSOR, "target_scaling"), None, "of the other estimator"),
    ("classes", (*PREPROCESSOR, "target_scaling"), scaling([0.0], [1.0]), "the other estimator"),
    ("columns", (*PREPROCESSOR, "target_scaling"), scaling([], []), "there are no outputs"),
    (
        "columns",
        (*PREPROCESSOR, "target_scaling"),
        scaling([0.0], [{"type": "float", "values": "inf"}]),
        "scale of an output is infinite",
    ),
    ("columns", (*PREPROCESSOR, "feature_scaling"), scaling([1.0], [1.0]), "for each column"),
    (
        "columns",
        (*PREPROCESSOR, "feature_scaling"),
        scaling([0.0] * 4, [1.0] * 4, "float32"),
        "not of dtype float64",
    ),
    (
        "average",
        ("_fitted", "params", "gate", "starts", "values"),
        lambda starts: starts[:1] * 3,
        "starts have different numbers of experts",
    ),
    (
        "columns",
        ("_fitted", "params", "gate"),
        {"type": "LinearParams", "coef": array(1.0), "log_variance": array(1.0)},
        "parameters of the gate are of another type",
    ),
    (
        "columns",
        ("_fitted", "params", "gate", "coef", "dtype"),
        "float32",
        "coef of the gate is no such array",
    ),
    (
        "columns",
        (*EXPERTS, "coef", "values"),
        [[[1.7e308] * 5], [[1.7e308] * 5]],
        "predictions are not finite",
    ),
    ("columns", ("_training_state", "row_buffer"), 1, "the training state has rows"),
    ("columns", (*STATE, "cycle"), -1, "a number of the ResumeState is negative"),
    ("columns", (*STATE, "cycle"), 1.5, "_training_state is of another type"),
    ("columns", ("n_iter_",), "5", "n_iter_ is of another type"),
    ("columns", ("n_iter_",), 0, "n_iter_ is not positive"),
    ("columns", ("n_experts_",), 3, "n_experts_ is not that of the mixture"),
    ("columns", ("lower_bound_",), 9.0, "lower_bound_ is not the last one"),
    ("outputs", ("_single_output",), True, "more than the single output"),
    ("classes", ("classes_", "values"), ["one", "two", "three"], "classes_ is not sorted"),
    ("classes", ("classes_", "values"), ["one"], "fewer than two classes"),
    ("columns", ("start_traces_",), 1, "start_traces_ is not a list"),
    ("columns", ("start_traces_",), [1], "start_traces_ is no array of one axis"),
    (
        "columns",
        PREPROCESSOR,
        lambda fields: {name: fields[name] for name in fields if name != "encoder"},
        "Preprocessor must have the fields",
    ),
    ("columns", ("load_", "values"), [[1.0, 2.0]], "load_ is no array of one axis"),
    ("columns", ("load_",), array([1, 2], "int64"), "load_ has the dtype int64"),
    ("columns", ("load_", "values"), [1.0, _nan()], "load_ is not finite"),
    ("columns", ("load_", "values"), [-1.0, 1.0], "load_ is negative"),
    ("columns", ("link_",), "log", "link_ is not that of the mixture"),
    ("columns", ("base_",), 1, "base_ is not that of the mixture"),
    ("columns", ("n_parameters_",), 1, "n_parameters_ is not that of the mixture"),
]


@pytest.mark.parametrize("rule", range(len(RULES)), ids=[reason for *_, reason in RULES])
def test_each_rule_of_a_fit_is_checked(rule):
    case, path, value, reason = RULES[rule]
    with pytest.raises(ValueError, match=reason):
        read(case, forged(case, set_value(*path, value=value)))


@pytest.mark.parametrize("name", ["expert_coef_", "load_", "classes_", "n_iter_", "start_traces_"])
def test_attributes_must_be_complete(name):
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        read("classes", forged("classes", lambda attributes: attributes.pop(name)))


@pytest.mark.parametrize("name", FORGED)
def test_forged_attributes_are_refused(name):
    change, message = FORGED[name]
    with pytest.raises(ValueError, match=f"must hold a fitted Mix.*{message}.*call to_dict again"):
        read("columns", forged("columns", change))


def test_forged_parameters_are_refused():
    document = json.loads(written("columns"))
    for change, message in (
        ({"alpha": -1.0}, "alpha must be a finite number"),
        ({"alpha": 10**400}, ""),
        ({"expert": SCRIPT}, "expert must be one of"),
        ({"expert": document["attributes"]["_fitted"]}, "FittedMixture"),
        ({"invented_later": 1}, "invented_later"),
    ):
        forgery = sealed(document | {"parameters": document["parameters"] | change})
        with pytest.raises(ValueError, match=f"must hold a fitted .*{message}.*upgrade skmoe"):
            read("columns", forgery)
    del document["parameters"]["tol"]
    with pytest.raises(ValueError, match=r"parameters are missing: \['tol'\]"):
        read("columns", sealed(document))


def test_other_versions_are_refused():
    document = json.loads(written("columns"))
    assert document["version"] == VERSION
    for version in (VERSION - 1, -1, str(VERSION), None, True, float(VERSION), math.nan, 10**5000):
        with pytest.raises(ValueError, match=f"must be of version {VERSION}; got"):
            read("columns", sealed(document) | {"version": version})


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_not_of_json_is_refused():
    document = json.loads(written("columns"))
    values = [nested(900), nested(MAX_DEPTH), b"x", {1: 2}, {1: 2, "a": 3}, 10**5000, math.nan, {1}]
    for value in values:
        document["parameters"]["gate_features"] = value
        with pytest.raises(ValueError, match=r"must have the types of JSON.*take another copy"):
            read("columns", document)


def test_values_may_be_nested_up_to_the_limit():
    assert checksum({"value": nested(MAX_DEPTH - 1)})
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels"):
        checksum({"value": nested(MAX_DEPTH)})


def test_other_keys_are_refused():
    for key in (1, b"x", "x", 10**5000, None):
        with pytest.raises(ValueError, match=r"must have the keys .* not known"):
            read("columns", json.loads(written("columns")) | {key: 2})
        with pytest.raises(ValueError, match="must be a dict that to_dict made"):
            read("columns", {key: 2})


def test_keys_that_are_missing_are_named():
    document = quiet(MixtureOfExpertsRegressor(1), X, Y).to_dict()
    del document["checksum"]
    with pytest.raises(ValueError, match=r"checksum.* are missing"):
        MixtureOfExpertsRegressor.from_dict(document)


def test_round_off_of_derived_attributes_is_none_of_damage():
    exact = np.array([[1.0, np.nan], [1e3, 0.0]])
    assert _agrees(exact * (1.0 + 1e-13), exact)
    assert not _agrees(exact * 1.01, exact)
    assert not _agrees(exact[0], exact)


def test_memory_is_bounded_by_the_text():
    """A width that is declared is not a width that is stored."""
    names = array(["a", "b", "c", "d"], "<U200000000")
    with pytest.raises(ValueError, match="the dtype '<U200000000' of an array is not one of"):
        read("columns", forged("columns", set_value("feature_names_in_", value=names)))
    padded = array(["a"] * 10 * MAX_PADDING + ["a" * 10**5], "str")
    document = json.loads(written("columns"))
    document["parameters"]["gate_features"] = padded
    with pytest.raises(ValueError, match="differ too much in length"):
        read("columns", sealed(document))
    labels = np.array([f"{k:04}" for k in range(199)] + ["a" * 10**4])
    moe = MixtureOfExpertsRegressor(1, gate_features=labels)
    with pytest.raises(ValueError, match="gate_features: ndarray has no plain form: its strings"):
        moe.set_params(gate_features=None).fit(X, Y).set_params(gate_features=labels).to_dict()


# --- many at once -----------------------------------------------------------------------------


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
REPLACEMENTS += [_nan(), array([]), array(["x"], "object"), array([SCRIPT], "str"), array(1.0)]
REPLACEMENTS += [{"type": "tuple", "values": [1]}, {"type": "SoftmaxGate"}, nested(20)]


def damage_many(seed, n_documents):
    """Number of damaged documents that are read; all of them predict finite numbers."""
    rng = np.random.default_rng(seed)
    n_read = 0
    for _ in range(n_documents):
        case = list(CASES)[rng.integers(len(CASES))]
        document = json.loads(written(case))
        content = {name: document[name] for name in ("parameters", "attributes")}
        for _ in range(rng.integers(1, 3)):
            damage(rng, content)
        document |= content
        with suppress(ValueError):  # no checksum of what is not JSON
            document = sealed(document)
        try:
            moe = read(case, document)
        except ValueError:
            with pytest.raises(ValueError, match=r"^document must "):
                read(case, document)
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
    return n_read


def test_damaged_documents_are_refused_or_predict_finite_numbers():
    """Some damages are changes to other values that are valid."""
    assert 0 < damage_many(seed=0, n_documents=150) < 150
