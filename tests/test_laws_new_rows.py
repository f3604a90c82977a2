"""New rows of a fitted mixture, and documents that are no fit, are refused by name."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from cases import UNITS, X, Y, fitted_case, regressor
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.plain_values import checksum
from skmoe._estimators.serialization import _check_part
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate

# --- features ---------------------------------------------------------------------------------

FRAME = pd.DataFrame({"size": X[:, 0], "kind": np.where(X[:, 1] > 0, "a", "b")})


@pytest.fixture(scope="module")
def of_frame():
    moe = regressor(expert="tree", n_experts=2, n_init=1, max_iter=2)
    return quiet(moe, FRAME.astype({"kind": "category"}), Y)


def test_a_mixture_of_a_frame_takes_frames_with_its_columns(of_frame):
    frame = FRAME.astype({"kind": "category"})
    assert of_frame.predict(frame[:5]).shape == (5,)
    for other in (
        frame.rename(columns={"size": "length"}),
        frame[["kind", "size"]],
        frame[["size"]],
    ):
        with pytest.raises(ValueError, match="feature"):
            of_frame.predict(other)
    with pytest.raises(ValueError, match="frame"):
        of_frame.predict(X)
    assert list(of_frame.feature_names_in_) == ["size", "kind"]
    assert of_frame.n_features_in_ == 2


@pytest.mark.parametrize("case", ["two experts", "trees", "linear-classifier"])
def test_new_rows_have_the_columns_of_the_fit(case):
    moe = fitted_case(case)
    for other in (X[:, :1], np.column_stack([X, X]), X[0]):
        with pytest.raises(ValueError, match=r"features|2D array"):
            moe.predict(other)
    assert moe.n_features_in_ == 2
    assert_array_equal(moe.predict(X.tolist()), moe.predict(X))
    assert_allclose(moe.predict_gate(sparse.csr_array(X)), moe.predict_gate(X), atol=1e-12)


@pytest.mark.parametrize("case", ["two experts", "linear-classifier", "linear-regressor"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_linear_experts_need_finite_features(case, value):
    rows = X[:4].copy()
    rows[2, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        fitted_case(case).predict(rows)


def test_trees_that_saw_missing_values_take_them():
    missing = np.where(X > 1.5, np.nan, X)
    moe = quiet(regressor(expert="tree", n_experts=2, n_init=1, max_iter=2), missing, Y)
    assert np.isfinite(moe.predict(missing)).all()
    with pytest.raises(ValueError, match="infinity"):
        moe.predict(np.where(np.isnan(missing), np.inf, missing))
    with pytest.raises(ValueError, match="NaN"):
        moe.predict(sparse.csr_array(missing))


# --- units ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_units():
    features = np.column_stack([X[UNITS * 2, 0], X[:, 1]])
    moe = regressor(n_experts=2, n_init=1, max_iter=5, gate_features=[0])
    return quiet(moe, features, Y, units=UNITS), features


def test_units_are_one_for_each_row_of_any_container(of_units):
    moe, features = of_units
    expected = moe.responsibilities(features, Y, units=UNITS)
    for rows in (features.tolist(), sparse.csr_array(features), pd.DataFrame(features)):
        found = moe.responsibilities(rows, Y.tolist(), units=UNITS.tolist())
        assert_allclose(found.proba, expected.proba, atol=1e-9)
    with pytest.raises(ValueError, match="units"):
        moe.responsibilities(features, Y, units=UNITS[:-1])


def test_rows_of_weight_zero_tell_nothing_of_their_unit(of_units):
    moe, features = of_units
    weight = np.where(np.arange(len(Y)) % 3 == 0, 0.0, 1.0)
    kept = weight > 0.0
    whole = moe.responsibilities(features, Y, units=UNITS, sample_weight=weight)
    part = moe.responsibilities(features[kept], Y[kept], units=UNITS[kept])
    assert_allclose(whole.proba, part.proba)
    assert_array_equal(whole.labels, part.labels)


def test_features_of_the_gate_do_not_vary_in_units(of_units):
    moe, features = of_units
    with pytest.raises(ValueError, match="constant within each unit"):
        moe.responsibilities(features[:, ::-1], Y, units=UNITS)
    with pytest.raises(ValueError, match="constant within each unit"):
        moe.predict_gate(features[:, ::-1], units=UNITS)
    assert moe.responsibilities(features, Y, units=np.arange(len(Y))).proba.shape == (len(Y), 2)


def test_categories_of_the_gate_do_not_vary_in_units():
    kind = np.where(X[UNITS * 2, 0] > 0, "a", "b")
    frame = pd.DataFrame({"size": X[:, 1], "kind": pd.Categorical(kind, ["a", "b"])})
    moe = regressor(expert="tree", n_experts=2, n_init=1, max_iter=2, gate_features=["kind"])
    moe = quiet(moe, frame, Y, units=UNITS)
    assert moe.responsibilities(frame, Y, units=UNITS).proba.shape == (len(Y) // 2, 2)
    other = frame.assign(kind=pd.Categorical(np.where(np.arange(len(Y)) % 2, "a", "b")))
    with pytest.raises(ValueError, match=r"'kind.*' varies in unit 0"):
        moe.responsibilities(other, Y, units=UNITS)


def test_features_that_a_gate_transforms_do_not_vary_in_units(of_units):
    _, features = of_units
    gate = SoftmaxGate(transformer=StandardScaler())
    moe = regressor(n_experts=2, n_init=1, max_iter=2, gate=gate, gate_features=[0])
    moe = quiet(moe, features, Y, units=UNITS)
    assert moe.responsibilities(features, Y, units=UNITS).proba.shape == (len(Y) // 2, 2)
    with pytest.raises(ValueError, match="'x0' varies in unit"):
        moe.responsibilities(features[:, ::-1], Y, units=UNITS)


@pytest.mark.parametrize("method", ["responsibilities", "score_samples", "bic"])
def test_rows_without_the_units_of_the_fit_are_noticed(of_units, method):
    moe, features = of_units
    with pytest.warns(UserWarning, match=f"{method} got no units, unlike the fit"):
        getattr(moe, method)(features, Y)


# --- summaries --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sample_weight", "offset", "units"])
def test_a_summary_needs_the_rows_to_which_arguments_belong(name):
    moe = fitted_case("two experts")
    with pytest.raises(ValueError, match="needs X and y, the data of the fit, for weights"):
        moe.summary(**{name: np.ones(len(Y))})
    with pytest.raises(ValueError, match="both X and y"):
        moe.summary(X)


def test_standard_errors_of_a_summary_are_those_of_the_weighted_rows():
    weight = np.where(X[:, 0] < -0.85, 5.0, 1.0)
    moe = fitted_case("weights")
    told = str(moe.summary(X, Y, weight))
    assert told != str(moe.summary(X, Y))
    errors = moe.inference(X, Y, weight).standard_errors
    frame = moe.summary(X, Y, weight).to_frame()
    (column,) = [name for name in frame.columns if "std" in name or "error" in name]
    shown = frame[column].to_numpy(dtype=float)
    assert np.isfinite(shown).any()
    assert set(np.round(shown[np.isfinite(shown)], 10)) <= set(np.round(errors, 10))


# --- documents --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document():
    return json.dumps(fitted_case("two experts").to_dict())


def changed(document, **entries):
    """A document with other entries, and the checksum of its content."""
    content = json.loads(document) | entries
    del content["checksum"]
    return content | {"checksum": checksum(content)}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("text", "got a value of type str"),
        ({"b": 1, "a": 2}, r"got a dict with the keys \['a', 'b'\]"),
        ({"b": 1, 2: 2}, r"got a dict with the keys \['b', 'int'\]"),
        ([1], "got a value of type list"),
    ],
)
def test_what_is_no_document_is_shown(given, shown):
    with pytest.raises(ValueError, match=f"a dict that to_dict made.*{shown}"):
        MixtureOfExpertsRegressor.from_dict(given)


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        (1, "got version 1. Call to_dict again"),
        (3, "got version 3. A newer release wrote it"),
        (2**63 - 1, "got version 9223372036854775807. A newer"),
        (2**63, "got a value of type int. A newer"),
        (-(2**63), "got a value of type int. Call"),
        (2.0, "got a value of type float. Call"),
        (True, "got a value of type bool. Call"),
        (None, "got a value of type NoneType. Call"),
    ],
)
def test_other_versions_are_named(document, version, shown):
    with pytest.raises(ValueError, match=f"must be of version 2; {shown}"):
        MixtureOfExpertsRegressor.from_dict(json.loads(document) | {"version": version})


def test_documents_of_another_estimator_are_named(document):
    with pytest.raises(ValueError, match=r"one of a MixtureOfExpertsRegressor\. Use Mixture"):
        MixtureOfExpertsClassifier.from_dict(json.loads(document))
    for other in (5, None, ["a"]):
        with pytest.raises(ValueError, match="got one of a damaged estimator"):
            MixtureOfExpertsRegressor.from_dict(changed(document, estimator=other))


def test_documents_are_whole(document):
    content = json.loads(document)
    for name in content:
        part = {key: value for key, value in content.items() if key != name}
        with pytest.raises(ValueError, match=rf"\['{name}'\] are missing|a dict that|version"):
            MixtureOfExpertsRegressor.from_dict(part)
    with pytest.raises(ValueError, match=r"\['more'\] are not known"):
        MixtureOfExpertsRegressor.from_dict(content | {"more": 1})
    edited = copy.deepcopy(content)
    edited["parameters"]["alpha"] = 7.0
    with pytest.raises(ValueError, match="its checksum does not match"):
        MixtureOfExpertsRegressor.from_dict(edited)
    parameters = {k: v for k, v in content["parameters"].items() if k != "alpha"}
    with pytest.raises(ValueError, match=r"parameters are missing: \['alpha'\]"):
        MixtureOfExpertsRegressor.from_dict(changed(document, parameters=parameters))


def with_model(document, **parts):
    """A document whose mixture has other parts."""
    attributes = json.loads(document)["attributes"]
    attributes["_fitted"]["model"] |= parts
    return changed(document, attributes=attributes)


def test_parts_of_documents_have_their_roles(document):
    model = json.loads(document)["attributes"]["_fitted"]["model"]
    with pytest.raises(ValueError, match="its gate is a LinearExperts, its experts are Linear"):
        MixtureOfExpertsRegressor.from_dict(with_model(document, gate=model["experts"]))
    with pytest.raises(ValueError, match="it contains no mixture"):
        MixtureOfExpertsRegressor.from_dict(with_model(document, experts=model["gate"]))
    for parts in ({"n_experts": "two"}, {"n_experts": 2.5}, {"balance": None}):
        with pytest.raises(ValueError, match="it contains no mixture"):
            MixtureOfExpertsRegressor.from_dict(with_model(document, **parts))
    attributes = json.loads(document)["attributes"]
    attributes["_fitted"]["model"] = attributes["_fitted"]["params"]
    with pytest.raises(ValueError, match="must hold a fitted"):
        MixtureOfExpertsRegressor.from_dict(changed(document, attributes=attributes))


def test_parts_whose_fields_have_other_types_are_not_written():
    _check_part("experts", LinearExperts(alpha=2.0))
    for alpha in ("two", None, np.ones(2)):
        with pytest.raises(ValueError, match="fields are not of the types that they declare"):
            _check_part("experts", LinearExperts(alpha=alpha))
    with pytest.raises(ValueError, match="it is not registered"):
        _check_part("gate", object())
