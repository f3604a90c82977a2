"""Explanations are dicts of arrays, as before, with names for frames, notebooks and texts."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.reports import Explanation

X, Y = two_regimes(n_rows=120)
FRAME = pd.DataFrame(
    X, columns=["price", "<i>age</i>", "size"], index=[f"r{i}" for i in range(120)]
)
OUTPUTS = np.column_stack([Y, X[:, 0]])
CLASS_X, CODES = flipping_classes(n_rows=120, n_classes=3)
LABELS = np.array(["one", "three", "two"])[CODES]
SHORT = {"n_init": 1, "max_iter": 8, "random_state": 0}
NAMES = ["small", "large <b>"]

EXPERTS_ONLY, ALL = ("gate", "experts"), ("gate", "experts", "slope", "gate_effect")
CASES = {
    "regressor": (MixtureOfExpertsRegressor(2, **SHORT), X, Y, ALL),
    "outputs": (MixtureOfExpertsRegressor(2, **SHORT), X, OUTPUTS, ALL),
    "log link": (MixtureOfExpertsRegressor(2, family="poisson", **SHORT), X, np.exp(Y) // 1, ALL),
    "two classes": (MixtureOfExpertsClassifier(2, **SHORT), CLASS_X, CODES > 0, ALL[:3]),
    "classes": (MixtureOfExpertsClassifier(2, **SHORT), CLASS_X, LABELS, ALL[:3]),
    "trees": (MixtureOfExpertsRegressor(2, expert="tree", **SHORT), X, Y, EXPERTS_ONLY),
}


def explained(case, rows=None):
    moe, features, y, _ = CASES[case]
    moe = quiet(copy.copy(moe), features if rows is None else rows, y).set_expert_names(NAMES)
    return moe, moe.explain(features if rows is None else rows)


# --- a dict ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_is_a_dict_whose_arrays_are_attributes(case):
    moe, explanation = explained(case)
    assert isinstance(explanation, dict)
    assert isinstance(explanation, Explanation)
    assert tuple(explanation) == CASES[case][3]
    for name, values in explanation.items():
        assert getattr(explanation, name) is values
        assert name in dir(explanation)
    assert_array_equal(explanation["gate"], moe.predict_gate(CASES[case][1]))
    assert_array_equal(explanation.experts, moe.predict_experts(CASES[case][1]))
    assert dict(**explanation).keys() == explanation.keys()


def test_what_an_explanation_lacks_is_no_attribute():
    _, explanation = explained("trees")
    assert not hasattr(explanation, "slope")
    with pytest.raises(AttributeError, match=r"has no slope; it has \['gate', 'experts'\]"):
        _ = explanation.slope


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies_and_pickles_keep_names(copied):
    _, explanation = explained("regressor", FRAME)
    again = copied(explanation)
    assert_array_equal(again.slope, explanation.slope)
    pd.testing.assert_frame_equal(again.to_frame(), explanation.to_frame())
    assert repr(again) == repr(explanation)


# --- a frame -----------------------------------------------------------------------------------


def test_a_frame_has_the_index_and_the_names_of_the_features():
    _, explanation = explained("regressor", FRAME)
    slope = explanation.to_frame("slope")
    assert slope.index.tolist() == FRAME.index.tolist()
    assert slope.columns.tolist() == FRAME.columns.tolist()
    assert_array_equal(slope, explanation.slope)
    for quantity in ("gate", "experts"):
        frame = explanation.to_frame(quantity)
        assert frame.columns.tolist() == NAMES
        assert_array_equal(frame, explanation[quantity])


def test_rows_of_an_array_have_numbers():
    _, explanation = explained("regressor")
    frame = explanation.to_frame()
    assert frame.index.tolist() == list(range(len(X)))
    assert frame["slope"].columns.tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("case", CASES)
def test_the_whole_frame_has_every_number_once(case):
    _, explanation = explained(case)
    frame = explanation.to_frame()
    assert frame.shape[1] == sum(values[0].size for values in explanation.values())
    assert frame.columns.is_unique
    for quantity in explanation:
        assert_array_equal(frame[quantity], explanation.to_frame(quantity))


@pytest.mark.parametrize(
    ("case", "responses"), [("outputs", ["y0", "y1"]), ("classes", ["one", "three", "two"])]
)
def test_columns_of_several_responses_have_their_names(case, responses):
    _, explanation = explained(case)
    frame = explanation.to_frame()
    assert frame.columns.names == ["quantity", "response", "name"]
    for i, response in enumerate(responses):
        assert_array_equal(frame["experts"][response], explanation.experts[:, :, i])
        assert_array_equal(frame["slope"][response], explanation.slope[:, i])
        assert frame["experts"][response].columns.tolist() == NAMES
    assert frame["gate"][""].columns.tolist() == NAMES


def test_slopes_of_two_classes_are_those_of_one_log_odds():
    _, explanation = explained("two classes")
    frame = explanation.to_frame()
    assert_array_equal(frame["experts"]["True"], explanation.experts[:, :, 1])
    assert_array_equal(explanation.to_frame("slope"), explanation.slope)
    assert explanation.to_frame("slope").columns.names == ["name"]


def test_unknown_arrays_are_refused():
    _, explanation = explained("trees")
    with pytest.raises(ValueError, match=r"what must be one of \['experts', 'gate'\]; got 'slope'"):
        explanation.to_frame("slope")


# --- notebooks and texts -----------------------------------------------------------------------


def test_notebooks_show_a_frame_whose_names_are_escaped():
    _, explanation = explained("regressor", FRAME)
    page = explanation._repr_html_()
    assert "<table" in page
    assert "&lt;i&gt;age&lt;/i&gt;" in page
    assert "<i>" not in page
    assert "large &lt;b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize("result", ["explanation", "inference", "units"])
def test_notebooks_without_pandas_show_the_text(result, monkeypatch):
    moe, explanation = explained("regressor")
    units = np.arange(len(Y))
    shown = {
        "explanation": lambda: explanation,
        "inference": lambda: moe.inference(X, Y),
        "units": lambda: moe.responsibilities(X, Y, units=units),
    }[result]()
    assert "<table" in shown._repr_html_()
    with pd.option_context("display.notebook_repr_html", False):
        assert shown._repr_html_().startswith("<pre>")
    monkeypatch.setitem(sys.modules, "pandas", None)
    page = shown._repr_html_()
    assert page.startswith("<pre>")
    assert "<b>" not in page
    assert page.count("&lt;") == repr(shown).count("<")
    with pytest.raises(ImportError, match=r"skmoe\[frames\]"):
        shown.to_frame()


def test_the_text_has_shapes_and_names():
    _, explanation = explained("outputs", FRAME)
    assert repr(explanation).splitlines() == [
        "Explanation of 120 rows",
        "  gate         120 x 2      small, large <b>",
        "  experts      120 x 2 x 2  small, large <b>; y0, y1",
        "  slope        120 x 2 x 3  y0, y1; price, <i>age</i>, size",
        "  gate_effect  120 x 2 x 3  y0, y1; price, <i>age</i>, size",
    ]


def test_the_text_is_short_and_shows_no_control_characters():
    wide = pd.DataFrame(np.tile(X, 20)).rename(columns=lambda j: f"column\x1b number {j}")
    moe = quiet(MixtureOfExpertsRegressor(2, **SHORT), wide, Y)
    text = repr(moe.explain(wide))
    assert max(map(len, text.splitlines())) <= 88
    assert "\x1b" not in text
    assert "..." in text


def test_explanations_of_dask_arrays_have_frames():
    array = pytest.importorskip("dask.array")
    moe, explanation = explained("regressor")
    lazy = moe.explain(array.from_array(X, chunks=(50, 3)))
    pd.testing.assert_frame_equal(lazy.to_frame(), explanation.to_frame())
