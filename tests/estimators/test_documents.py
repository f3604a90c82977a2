"""Documents that are damaged, edited, or of others are refused; no code of theirs is executed."""

import copy
import json
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import GeneralizedLinearExperts
from support.documents import holders, sealed
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=80)
CLASS_X, CODES = flipping_classes(n_rows=80, n_classes=3)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)
SHORT = {"n_init": 1, "max_iter": 6, "random_state": 0}

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
        MixtureOfExpertsRegressor(2, gate="constant", **SHORT),
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


@pytest.mark.parametrize("case", CASES)
def test_whole_numbers_may_lose_their_decimal_point(case):
    """As other programs write them."""
    text = written(case)
    changed = text.replace(".0,", ",").replace(".0]", "]").replace(".0}", "}")
    assert changed != text
    features = CASES[case][1]
    assert_array_equal(
        read(case, json.loads(changed)).predict(features),
        read(case, json.loads(text)).predict(features),
    )


# --- damage and edits -----------------------------------------------------------------------------

DAMAGE = {
    "a number": (lambda d: d["attributes"]["expert_coef_"]["values"][0].reverse(), "checksum"),
    "a parameter": (lambda d: d["parameters"].update(alpha=3.0), "checksum"),
    "no attributes": (lambda d: d.pop("attributes"), "checksum"),
    "no checksum": (lambda d: d.pop("checksum"), "checksum"),
    "no version": (lambda d: d.pop("version"), "must be of version", "got version None"),
    "another key": (lambda d: d.update(further=2), "checksum"),
    "a key that is no text": (lambda d: d.update({1: 2}), "checksum"),
    "newer": (lambda d: d.update(version=99), "version 99", "upgrade"),
    "older": (lambda d: d.update(version=1), "version 1", "Call to_dict again"),
    "version as text": (lambda d: d.update(version="2"), "got version '2'", "Call to_dict again"),
    "foreign": (lambda d: d.update(format="other"), '"format": "skmoe"', "json.loads"),
    **{
        f"no JSON: {name}": (lambda d, v=value: d["parameters"].update(alpha=v), "checksum")
        for name, value in {"bytes": b"x", "no number": float("nan"), "set": {1}}.items()
    },
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_documents_are_refused(damage):
    change, *words = DAMAGE[damage]
    document = document_of("columns")
    change(document)
    assert_refused(refusal(read, "columns", document), "document must", *words)


def places(value):
    """All dicts and lists of a document, with each of their keys and positions."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, entry in list(entries):
        yield value, name
        if isinstance(entry, dict | list):
            yield from places(entry)


@pytest.mark.parametrize("case", CASES)
def test_every_change_of_a_document_is_refused(case):
    rng, n_places = np.random.default_rng(0), len(list(places(document_of(case))))
    for place in rng.choice(n_places, size=40, replace=False):
        document = document_of(case)
        holder, name = list(places(document))[place]
        before = copy.deepcopy(holder[name])
        if rng.random() < 0.3:
            del holder[name]
        else:
            others = [None, True, 0.25, -7, "x", [], {}, [before]]
            holder[name] = next(others[i] for i in rng.permutation(8) if others[i] != before)
        assert_refused(refusal(read, case, document), "document must ")


@pytest.mark.parametrize("value", [{}, {1: 2}, "text", None, [1]])
def test_what_is_no_document_is_refused(value):
    assert_refused(refusal(read, "columns", value), "document must be a dict that to_dict made")


def test_documents_of_others_are_refused():
    message = refusal(MixtureOfExpertsClassifier.from_dict, document_of("columns"))
    assert_refused(message, "document", "Use MixtureOfExpertsRegressor.from_dict")


def former(value):
    """As 0.2.0 wrote it: noise variances (K, m) in a type of their own."""
    if isinstance(value, list):
        return [former(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    value = {name: former(entry) for name, entry in value.items()}
    if value.get("type") == "GeneralizedLinearParams":
        logs = value.pop("log_dispersion")
        logs["values"] = [[entry for (entry,) in row] for row in logs["values"]]
        value |= {"type": "LinearParams", "log_variance": logs}
    return value


@pytest.mark.parametrize("case", ["columns", "outputs"])
def test_documents_of_the_last_release_are_read(case):
    document = former(document_of(case))
    assert "LinearParams" in json.dumps(document)
    features = CASES[case][1]
    found, same = (read(case, d) for d in (sealed(document), document_of(case)))
    assert_array_equal(found.predict_interval(features), same.predict_interval(features))


# --- documents of other releases, or of others, whose checksum fits -------------------------------

# Case, names under which a value is found, another value, and words of the reason.
OTHERS = [
    # Types: only registered ones are constructed, each in its role.
    ("columns", ("load_", "type"), "Popen", "'Popen' is not known"),
    ("columns", ("load_", "dtype"), "S2000000000", "S2000000000"),
    ("columns", ("model", "gate"), {"type": "LinearExperts"}, ""),
    ("columns", ("model", "gate"), {"type": "Standardization"}, ""),
    ("columns", ("preprocessor",), {"type": "Preprocessor"}, ""),
    ("columns", ("attributes", "_fitted"), {"type": "tuple", "values": []}, "no mixture"),
    # Names that an estimator has otherwise.
    ("columns", ("attributes", "predict"), 1, "'predict' is no attribute"),
    ("columns", ("attributes", "__dict__"), {"type": "dict", "values": []}, "no attribute"),
    ("columns", ("attributes", "gate_feature_names_"), ["x"], "gate_feature_names_"),
    # Parameters of the constructor.
    ("columns", ("parameters", "alpha"), -1.0, "alpha must be a finite number"),
    ("columns", ("parameters", "expert"), "tree of a newer release", "expert must be one of"),
    ("columns", ("parameters", "invented_later"), 1, "invented_later"),
]


def changed(case, names, value):
    """The document with another value wherever one is found by these names."""
    document = document_of(case)
    for holder in list(holders(document, *names[:-1])):
        if len(names) > 1 or names[0] in holder:
            old = holder.get(names[-1])
            holder[names[-1]] = value(old) if callable(value) else value
    assert json.dumps(document) != written(case)
    return sealed(document)


@pytest.mark.parametrize(
    "rule", range(len(OTHERS)), ids=[" ".join(map(str, names)) for _, names, *_ in OTHERS]
)
def test_documents_that_are_no_fit_of_this_release_are_refused(rule):
    case, names, value, *words = OTHERS[rule]
    message = refusal(read, case, changed(case, names, value))
    assert_refused(message, "document must hold a fitted Mix", *words, "upgrade skmoe")


@pytest.mark.parametrize("case", CASES)
def test_documents_must_be_complete(case):
    document = document_of(case)
    names = ["_fitted", "_training_state", "n_features_in_", "n_experts_", "weights_", "load_"]
    names += ["lower_bound_", "lower_bounds_", "n_iter_", "converged_"]
    for name in names:
        incomplete = copy.deepcopy(document)
        del incomplete["attributes"][name]
        message = refusal(read, case, sealed(incomplete))
        assert_refused(message, "document must hold a fitted", "upgrade skmoe")
    for holder in holders(document, "preprocessor"):
        del holder["feature_scaling"]
    message = refusal(read, case, sealed(document))
    assert_refused(message, "document must hold a fitted", "feature_scaling")


def test_what_a_document_lacks_has_its_default():
    """It is of an earlier release, without that parameter or field."""
    document = document_of("columns")
    del document["parameters"]["max_n_experts"]
    for holder in holders(document, "preprocessor"):
        del holder["feature_range"]
    found = read("columns", sealed(document))
    assert found.max_n_experts is None
    assert_array_equal(found.predict(FRAME), read("columns", document_of("columns")).predict(FRAME))


def test_reading_imports_nothing():
    document = changed("columns", ("load_", "type"), "antigravity")
    before = set(sys.modules)
    refusal(read, "columns", document)
    assert set(sys.modules) == before
