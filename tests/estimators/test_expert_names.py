"""Names of experts are checked, kept as long as the fit, saved, and used wherever experts occur."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmoe.inspection import (
    ExpertsDisplay,
    GateDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)
from support.fits import CLASSES, X, Y, classifier, fit_quietly, regressor, target_of
from support.refusals import assert_refused, refusal

SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 5}
NAMES = ["small cars", "large <b>cars</b>"]
NUMBERS = ["expert 0", "expert 1"]

CASES = {
    "regressor": (regressor(**SHORT), Y),
    "classifier": (classifier(**SHORT), CLASSES),
    "counts": (regressor(family="poisson", **SHORT), target_of("poisson")),
    "trees": (regressor(expert="tree", cross_fit=False, **SHORT), Y),
    "constant gate": (regressor(gate="constant", **SHORT), Y),
}


@pytest.fixture(scope="module")
def fits():
    return {case: fit_quietly(moe, X, y) for case, (moe, y) in CASES.items()}


def named(fits, case="regressor", names=NAMES):
    return copy.copy(fits[case]).set_expert_names(names)


# --- set and removed --------------------------------------------------------------------------


def test_names_are_numbers_until_they_are_set_and_after_they_are_removed(fits):
    moe = copy.copy(fits["regressor"])
    assert moe.expert_names_ == NUMBERS
    for ordered in (tuple, iter, np.array):
        assert moe.set_expert_names(ordered(NAMES)) is moe
        assert moe.expert_names_ == NAMES
        assert {type(name) for name in moe.expert_names_} == {str}
    moe.expert_names_.append("another")  # a copy
    assert moe.expert_names_ == NAMES
    assert moe.set_expert_names(None).expert_names_ == NUMBERS


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a"], ["2 experts", "got 1", "None"]),
        (["a", "b", "c"], ["2 experts", "got 3"]),
        *(
            (value, ["list", "2 experts"])
            for value in ("ab", b"ab", 7, {"a", "b"}, {"a": 1, "b": 2})
        ),
        (["a", 1], ["strings", "expert 1 is 1", "a name of its own"]),
        ([None, "a"], ["strings", "expert 0 is None"]),
        (["a", "a"], ["differ", "expert 1 is 'a'"]),
        (["a b", "a \n b"], ["differ"]),  # printed alike
        (["a", ""], ["empty", "expert 1 is ''"]),
        (["\t", "b"], ["empty", "expert 0"]),
        (["a", "gate"], ["'gate'", "expert 1"]),
        (["all  experts", "a"], ["'all experts'", "expert 0"]),
    ],
)
def test_other_names_are_refused_and_change_nothing(fits, names, words):
    moe = named(fits)
    assert_refused(refusal(moe.set_expert_names, names), "names", *words)
    assert moe.expert_names_ == NAMES


def test_names_need_a_fit():
    moe = regressor()
    with pytest.raises(NotFittedError):
        moe.set_expert_names(NAMES)
    assert not hasattr(moe, "expert_names_")


# --- as long as the fit -----------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_warm_start_keeps_names_and_a_new_fit_forgets_them(fits, case):
    moe, y = named(fits, case).set_params(warm_start=True), CASES[case][1]
    assert fit_quietly(moe, X, y).expert_names_ == NAMES
    assert not hasattr(clone(moe), "expert_names_")
    moe.set_params(warm_start=False)
    assert fit_quietly(moe, X, y).expert_names_ == NUMBERS
    moe.set_expert_names(NAMES).set_params(n_experts=3)
    assert fit_quietly(moe, X, y).expert_names_ == [*NUMBERS, "expert 2"]


@pytest.mark.parametrize("case", ["regressor", "classifier", "counts"])
def test_a_stream_that_continues_and_copies_keep_names(fits, case):
    moe, y = copy.deepcopy(fits[case]).set_expert_names(NAMES), CASES[case][1]
    for _ in range(2):  # the first batch after a fit, and one after a batch
        assert moe.partial_fit(X, y).expert_names_ == NAMES
    assert pickle.loads(pickle.dumps(moe)).expert_names_ == NAMES


def test_a_stream_keeps_names_through_new_initialisations():
    moe = regressor(**SHORT).partial_fit(X[:50], Y[:50]).set_expert_names(NAMES)
    assert moe.partial_fit(X[50:200], Y[50:200]).expert_names_ == NAMES  # the rows have doubled


# --- used -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_tables_and_texts_have_the_names(fits, case):
    moe, y = named(fits, case), CASES[case][1]
    for text in (str(moe.summary(X, y)), export_text(moe)):
        assert all(f"{name} (" in text for name in NAMES)
        assert "expert 0" not in text.lower()
        assert "expert 1" not in text.lower()
    assert moe.summary().to_frame("experts").index.tolist() == NAMES
    diagram, html = export_mermaid(moe), moe._repr_html_()
    assert '"small cars<br/>' in diagram
    assert "large #60;b#62;cars" in diagram
    assert "small cars" in html
    assert "large &lt;b&gt;cars" in html
    assert "<b>cars" not in html


def test_terms_of_inference_have_the_names():
    moe = fit_quietly(regressor(**SHORT | {"max_iter": 200}), X, Y).set_expert_names(NAMES)
    result = moe.inference(X, Y)
    for k, name in enumerate(NAMES):
        assert (name, "", "x0") in result.terms
        assert (("gate", name, "x0") in result.terms) == (k > 0)  # the first is the reference
        summary = moe.summary(X, Y, gate_reference=k)
        assert f"log odds against {name}" in str(summary)


def test_equations_of_different_families_have_the_names():
    moe = regressor(family=["normal", "lognormal"], **SHORT)
    notes = fit_quietly(moe, X, np.exp(0.3 * Y)).set_expert_names(NAMES).summary().notes
    assert [note.split(":")[0] for note in notes if note.split(":")[0] in NAMES] == NAMES


def test_names_with_control_characters_are_printed_as_escapes(fits):
    moe = named(fits, names=["a\x1b[31m", "b\n c\u202e"])
    for text in (str(moe.summary(X, Y)), export_text(moe), export_mermaid(moe)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "b c" in text


# --- pictures ---------------------------------------------------------------------------------

pytest.importorskip("matplotlib", reason="pictures need matplotlib")


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def legend_texts(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def test_pictures_have_the_names_of_the_model(fits):
    names = ["rich ($$)", "_others"]
    moe = named(fits, names=names)
    for display in (
        ExpertsDisplay.from_estimator(moe, X, Y),
        GateDisplay.from_estimator(moe, X),
        GateDisplay.from_estimator(moe, X, features=(0, 1)),
    ):
        assert display.expert_names == names
        assert legend_texts(display)[:2] == ["rich (\\$\\$)", " _others"]
        display.figure_.draw_without_rendering()  # no formula between the dollar signs
    bars = ResponsibilitiesDisplay.from_estimator(moe, X, Y)
    assert ticks(bars.ax_[0]) == ticks(bars.ax_[1]) == ["rich (\\$\\$)", "_others"]
    profile = SegmentProfileDisplay.from_estimator(moe, X, Y)
    assert profile.expert_names == names
