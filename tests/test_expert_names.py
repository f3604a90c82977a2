"""Names of experts are checked, kept as long as the fit, saved, and used wherever experts occur."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.plain_values import checksum
from skmoe.checkpoints import fit_with_checkpoints, load_checkpoint
from skmoe.gates import GATES
from skmoe.inspection import (
    ExpertsDisplay,
    GateDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)

X, Y = two_regimes(n_rows=200)
CLASS_X, CODES = flipping_classes(n_rows=200, n_classes=3)
SHORT = {"n_init": 1, "max_iter": 10, "random_state": 0}
NAMES = ["small cars", "large <b>cars</b>"]
DEFAULTS = ["expert 0", "expert 1"]

CASES = {
    "regressor": (MixtureOfExpertsRegressor(2, **SHORT), X, Y),
    "classifier": (MixtureOfExpertsClassifier(2, **SHORT), CLASS_X, CODES),
    "counts": (MixtureOfExpertsRegressor(2, family="poisson", **SHORT), X, np.round(np.abs(Y))),
    "trees": (MixtureOfExpertsRegressor(2, expert="tree", **SHORT), X, Y),
    "constant gate": (MixtureOfExpertsRegressor(2, gate="constant", **SHORT), X, Y),
}
assert {"softmax", "constant"} == set(GATES), "a new gate needs a case"


def fitted(case="regressor", names=NAMES):
    moe, features, y = CASES[case]
    return quiet(clone(moe), features, y).set_expert_names(names)


# --- set and removed --------------------------------------------------------------------------


def test_names_are_numbers_until_they_are_set_and_after_they_are_removed():
    moe = fitted(names=None)
    assert moe.expert_names_ == DEFAULTS
    assert moe.set_expert_names(np.array(NAMES)) is moe
    assert moe.expert_names_ == NAMES
    assert {type(name) for name in moe.expert_names_} == {str}
    moe.expert_names_.append("another")  # a copy
    assert moe.expert_names_ == NAMES
    assert moe.set_expert_names(None).expert_names_ == DEFAULTS


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "one name for each of the 2 experts; got 1"),
        (["a", "b", "c"], "one name for each of the 2 experts; got 3"),
        ("ab", "names must be a list with one name for each of the 2 experts; got 'ab'"),
        ({"a", "b"}, "names must be a list"),
        (7, "names must be a list"),
        (["a", 1], "names must be strings; that of expert 1 is 1"),
        (["a", None], "names must be strings; that of expert 1 is None"),
        (["a", "a"], "names must differ; experts 0 and 1 are both 'a'"),
        (["a b", "a \n b"], "names must differ"),  # printed alike
        (["a", ""], "names must not be empty; that of expert 1 is ''"),
        (["\t", "b"], "names must not be empty; that of expert 0"),
        (["a", "gate"], "names must not be 'gate' or 'all experts'"),
        (["all  experts", "a"], "names must not be 'gate' or 'all experts'"),
    ],
)
def test_bad_names_get_one_error_and_change_nothing(names, message):
    moe = fitted()
    with pytest.raises(ValueError, match=message):
        moe.set_expert_names(names)
    assert moe.expert_names_ == NAMES


def test_names_need_a_fit():
    moe = MixtureOfExpertsRegressor(2)
    with pytest.raises(NotFittedError):
        moe.set_expert_names(NAMES)
    assert not hasattr(moe, "expert_names_")


# --- as long as the fit ------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_warm_start_keeps_names_and_a_new_fit_forgets_them(case):
    _, features, y = CASES[case]
    moe = fitted(case).set_params(warm_start=True)
    assert quiet(moe, features, y).expert_names_ == NAMES
    assert quiet(moe.set_params(warm_start=False), features, y).expert_names_ == DEFAULTS
    assert not hasattr(clone(moe), "expert_names_")


@pytest.mark.parametrize("case", ["regressor", "classifier", "counts"])
def test_a_stream_that_continues_keeps_names(case):
    _, features, y = CASES[case]
    moe = fitted(case)
    for _ in range(2):  # the first batch after a fit, and one after a batch
        assert moe.partial_fit(features, y).expert_names_ == NAMES


def test_a_stream_keeps_names_through_new_initialisations():
    moe = MixtureOfExpertsRegressor(2, **SHORT).partial_fit(X[:50], Y[:50])
    moe.set_expert_names(NAMES)
    assert moe.partial_fit(X[50:], Y[50:]).expert_names_ == NAMES  # the rows have doubled


def test_another_number_of_experts_has_no_names():
    moe = fitted().set_params(n_experts=3)
    assert quiet(moe, X, Y).expert_names_ == [*DEFAULTS, "expert 2"]


def test_an_average_of_starts_has_a_name_for_each_expert_of_each_start():
    moe = MixtureOfExpertsRegressor(2, combine="average", **SHORT | {"n_init": 2})
    names = ["a", "b", "c", "d"]
    assert quiet(moe, X, Y).set_expert_names(names).expert_names_ == names
    assert "d (linear, start 1)" in str(moe.summary())


# --- saved -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["regressor", "classifier", "counts", "constant gate"])
def test_plain_documents_keep_names(case):
    moe = fitted(case)
    document = json.loads(json.dumps(moe.to_dict()))
    assert type(moe).from_dict(document).expert_names_ == NAMES
    document = json.loads(json.dumps(moe.set_expert_names(None).to_dict()))
    assert type(moe).from_dict(document).expert_names_ == DEFAULTS


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "one name for each of the 2 experts"),
        (["a", 1], "of another type|must be strings"),
        (["a", "a"], "must differ"),
        (["a", " "], "must not be empty"),
        (["gate", "a"], "must not be 'gate'"),
        ("ab", "_expert_names is of another type"),
        (None, "_expert_names is of another type"),
    ],
)
def test_damaged_names_of_a_document_are_refused(names, message):
    document = fitted().to_dict()
    forged = {"type": "tuple", "values": names} if isinstance(names, list) else names
    document["attributes"]["_expert_names"] = forged
    content = {key: value for key, value in document.items() if key != "checksum"}
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor.from_dict(content | {"checksum": checksum(content)})


@pytest.mark.parametrize("case", CASES)
def test_pickles_keep_names(case):
    assert pickle.loads(pickle.dumps(fitted(case))).expert_names_ == NAMES


def test_checkpoints_keep_names_of_the_fit_that_they_continue(tmp_path):
    path = tmp_path / "fit.joblib"
    moe = MixtureOfExpertsRegressor(2, **SHORT)
    quiet_fit = fit_with_checkpoints(moe.set_params(max_iter=200), X, Y, path=path)
    assert quiet_fit.expert_names_ == DEFAULTS
    assert load_checkpoint(path).expert_names_ == DEFAULTS
    fitted_with_names = load_checkpoint(path).set_expert_names(NAMES).set_params(warm_start=True)
    assert fitted_with_names.fit(X, Y).expert_names_ == NAMES


def test_onnx_models_have_the_names_as_metadata():
    onnx = pytest.importorskip("skl2onnx") and pytest.importorskip("skmoe.onnx")
    moe = fitted()
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, **SHORT))
    quiet(pipeline, X, Y)[-1].set_expert_names(NAMES)
    for model in (moe, pipeline):
        properties = {p.key: p.value for p in onnx.to_onnx(model, X[:1]).metadata_props}
        assert json.loads(properties["skmoe.expert_names"]) == NAMES


# --- used --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_tables_and_texts_have_the_names(case):
    moe, (_, features, y) = fitted(case), CASES[case]
    for text in (str(moe.summary(features, y)), export_text(moe)):
        assert all(f"{name} (" in text for name in NAMES)
        assert "expert 0" not in text.lower()
        assert "expert 1" not in text.lower()
    assert moe.summary().to_frame("experts").index.tolist() == NAMES
    diagram = export_mermaid(moe)
    assert '"small cars<br/>' in diagram
    assert "large #60;b#62;cars" in diagram
    html = moe._repr_html_()
    assert "small cars" in html
    assert "large &lt;b&gt;cars" in html
    assert "<b>cars" not in html


def test_terms_of_inference_have_the_names():
    moe = fitted()
    result = moe.inference(X, Y)
    frame = result.to_frame()
    for k, name in enumerate(NAMES):
        slopes = frame.loc[name, "", "x0"]["estimate"]
        assert slopes == pytest.approx(moe.expert_coef_[k, 0], rel=1e-2)
        assert ("gate", name, "x0") in result.terms
    text = str(moe.summary(X, Y))
    assert f"Gate: log odds of {NAMES[1]} against {NAMES[0]}" in text
    text = str(moe.summary(X, Y, gate_reference=1))
    assert f"Gate: log odds against {NAMES[1]}" in text


def test_equations_of_different_families_have_the_names():
    families = ["normal", "lognormal"]
    moe = quiet(MixtureOfExpertsRegressor(2, family=families, **SHORT), X, np.exp(0.3 * Y))
    notes = moe.set_expert_names(NAMES).summary().notes
    assert [note.split(":")[0] for note in notes if note.split(":")[0] in NAMES] == NAMES


def test_tables_of_units_have_the_names():
    units = np.arange(len(Y)) // 4
    moe = quiet(MixtureOfExpertsRegressor(2, gate="constant", **SHORT), X, Y, units=units)
    table = moe.set_expert_names(NAMES).responsibilities(X, Y, units=units)
    assert table.to_frame().columns.tolist() == NAMES
    display = ResponsibilitiesDisplay.from_predictions(table)
    assert ticks(display.ax_[0]) == ["small cars", "large\n<b>cars</b>"]


def test_warnings_have_the_names():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 1))
    y = np.where(features[:, 0] > 0, 2.0, rng.normal(size=60))
    moe = MixtureOfExpertsRegressor(2, dispersion_prior=1e-9, random_state=0)
    with pytest.warns(UserWarning, match="noise variance of some experts is at its floor: expert"):
        moe.fit(features, y)
    moe.set_expert_names(NAMES).set_params(warm_start=True)
    with pytest.warns(UserWarning, match="at its floor: (small cars|large <b>cars</b>)"):
        moe.fit(features, y)


def test_names_with_control_characters_are_printed_as_escapes():
    moe = fitted(names=["a\x1b[31m", "b\n c"])
    for text in (str(moe.summary(X, Y)), export_text(moe), export_mermaid(moe)):
        assert "\x1b" not in text
        assert "b c" in text


# --- pictures ----------------------------------------------------------------------------------


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def legend_texts(display):
    return [text.get_text() for text in display.legend_.get_texts()]


NAMES_OF_PICTURES = ["rich ($$)", "_others"]


def test_pictures_have_the_names_of_the_model():
    moe = fitted(names=NAMES_OF_PICTURES)
    in_legends = ["rich (\\$\\$)", " _others"]
    for display in (
        ExpertsDisplay.from_estimator(moe, X, Y),
        GateDisplay.from_estimator(moe, X),
        GateDisplay.from_estimator(moe, X, features=(0, 1)),
    ):
        assert display.expert_names == NAMES_OF_PICTURES
        assert legend_texts(display)[:2] == in_legends
        display.figure_.draw_without_rendering()  # no formula between the dollar signs
    regions = GateDisplay.from_estimator(moe, X, features=(0, 1)).labels_
    assert {text.get_text() for text in regions} <= {"rich (\\$\\$)", "_others"}
    bars = ResponsibilitiesDisplay.from_estimator(moe, X, Y)
    assert ticks(bars.ax_[0]) == ticks(bars.ax_[1]) == ["rich (\\$\\$)", "_others"]
    profile = SegmentProfileDisplay.from_estimator(moe, X, Y)
    assert profile.expert_names == NAMES_OF_PICTURES
    profile.figure_.draw_without_rendering()


def test_names_of_a_picture_replace_those_of_the_model():
    moe = fitted()
    for display in (
        ExpertsDisplay.from_estimator(moe, X, Y, expert_names=["a", "b"]),
        GateDisplay.from_estimator(moe, X, expert_names=["a", "b"]),
    ):
        assert legend_texts(display)[:2] == ["a", "b"]
    bars = ResponsibilitiesDisplay.from_estimator(moe, X, Y, expert_names=["a", "b"])
    assert ticks(bars.ax_[0]) == ["a", "b"]
    for draw in (ExpertsDisplay, ResponsibilitiesDisplay, SegmentProfileDisplay):
        with pytest.raises(ValueError, match="expert_names must be a list with one name for each"):
            draw.from_estimator(moe, X, Y, expert_names=["a"])
    with pytest.raises(ValueError, match="expert_names must differ"):
        GateDisplay.from_estimator(moe, X, expert_names=["a", "a"])


def test_experts_without_names_have_numbers_in_pictures():
    moe = fitted(names=None)
    assert legend_texts(ExpertsDisplay.from_estimator(moe, X, Y))[:2] == DEFAULTS
    assert ticks(ResponsibilitiesDisplay.from_estimator(moe, X, Y).ax_[0]) == ["0", "1"]
    labels = GateDisplay.from_estimator(moe, X, features=(0, 1)).labels_
    assert {label.get_text() for label in labels} <= {"0", "1"}


def test_coefficients_of_a_profile_are_found_by_the_names():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    moe = quiet(MixtureOfExpertsRegressor(2, **SHORT), frame, Y)
    plain = SegmentProfileDisplay.from_estimator(moe, frame, Y)
    named = SegmentProfileDisplay.from_estimator(moe.set_expert_names(NAMES), frame, Y)
    assert np.isfinite(plain.intervals).all()
    assert_array_equal(named.intervals, plain.intervals)
