"""What every display shares, whatever it shows: axes that hold it, names, colours, arguments."""

import re
import sys
import warnings
from copy import copy
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import collections, colors
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor, inspection
from support import fits
from support.displays import (
    CASES,
    DISPLAYS,
    DRAWN,
    NAMED,
    NAMES,
    REFUSED,
    all_texts,
    assert_same_picture,
    case_of,
    displays_with,
    draw,
    drawn,
    expert_colour,
    expert_lines,
    frame_at_references,
    named,
    new_axes,
    parameters_of,
    texts,
)
from support.fits import fit_quietly, fitted_case
from support.refusals import assert_refused, refusal
from support.tables import two_regimes


@pytest.mark.parametrize("name", REFUSED)
def test_a_display_says_what_it_needs(name):
    for case in REFUSED[name]:
        given = {"target": None} if "target" in parameters_of(name) and case == "classes" else {}
        message = refusal(draw, name, case, **given)
        assert re.match(rf"{name} needs|estimator must be|families", message), message
        assert re.search(r"Use|Fit|For", message), message


# --- axes -----------------------------------------------------------------------------------------


def points_of(ax):
    """For each axis the data coordinates of all that is drawn, as fractions of its length."""
    found = {"x": [], "y": []}
    to_axes = ax.transAxes.inverted()
    for artist in [*ax.lines, *ax.patches, *ax.collections]:
        if isinstance(artist, collections.PathCollection):
            transform, vertices = artist.get_offset_transform(), [artist.get_offsets()]
        elif isinstance(artist, collections.QuadMesh):
            transform, vertices = artist.get_transform(), [artist.get_coordinates().reshape(-1, 2)]
        elif isinstance(artist, collections.Collection):
            transform = artist.get_transform()
            vertices = [path.vertices for path in artist.get_paths()]
        else:
            transform, vertices = artist.get_transform(), [artist.get_path().vertices]
        vertices = [points for points in vertices if len(points)]
        if not vertices:
            continue
        points = np.ma.filled(np.concatenate(vertices), np.nan)
        points = to_axes.transform(transform.transform(points))
        in_data = transform.contains_branch_seperately(ax.transData)
        for side, values, counts_here in zip("xy", points.T, in_data, strict=True):
            if counts_here:
                found[side].append(values[np.isfinite(values)])
    return {side: np.concatenate([np.zeros(0), *values]) for side, values in found.items()}


# Pictures that leave out what their docstrings name: rows of other experts, pale curves, and the
# first, steep iterations.
CUT = {("RegimesDisplay", "y"), ("ExpertsDisplay", "y"), ("ConvergenceDisplay", "y")}


@pytest.mark.parametrize(("name", "case"), DRAWN)
def test_axes_hold_what_they_show_and_little_else(name, case):
    extents = {}
    for ax in drawn(name, case).figure_.axes:
        limits = {"x": np.sort(ax.get_xlim()), "y": np.sort(ax.get_ylim())}
        for side, values in points_of(ax).items():
            if not ax.axison or not len(values):
                continue
            if (name, side) not in CUT:
                assert values.min() > -1e-6, side
                assert values.max() < 1.0 + 1e-6, side
            is_probability = np.abs(limits[side] - [0.0, 1.0]).max() < 0.13
            if not is_probability:
                extents.setdefault((side, *limits[side]), []).append(np.clip(values, 0.0, 1.0))
    for where, values in extents.items():  # of all panels with the same limits
        width = np.ptp(np.concatenate(values))
        assert width > 0.4 or width < 1e-9, where


# A kind with any numbers, with a target far from the others, and with a few values.
OF_EACH_SUPPORT = ("linear", "exponential", "ordinal")


@pytest.mark.parametrize("case", [f"{name}-regressor" for name in OF_EACH_SUPPORT])
@pytest.mark.parametrize("name", displays_with("adjust"))
def test_a_row_far_from_the_others_does_not_squeeze_them(name, case):
    moe, X, y = fitted_case(case), fits.X.copy(), fits.CASES[case][1]
    X[7] = [30.0, -30.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # experts may overflow there
        display = DISPLAYS[name].from_estimator(moe, X, y, subsample=None)
    for ax in display.figure_.axes:
        assert np.ptp(ax.get_xlim()) < 9.0
        assert ax.get_ylabel() == "Gate probability" or np.ptp(ax.get_ylim()) < 4.0 * np.ptp(y)
    # An exponential target has a value of its own that is far.
    beyond = "2 rows" if name == "RegimesDisplay" and "exponential" in case else "1 row"
    assert f"{beyond} beyond the axes" in all_texts(display)
    typical = DISPLAYS[name].from_estimator(moe, fits.X[:50], y[:50])
    assert ("beyond" in all_texts(typical)) == (beyond == "2 rows")


def columns_of_two_values():
    X, y = two_regimes(120)
    frame = pd.DataFrame(X, columns=["depth", "width", "height"])
    frame["insured"] = frame["width"] > 0.3
    frame["sex"] = np.where(frame["height"] > 0.0, 2.0, 1.0)
    frame["floor"] = (frame["depth"] > 0.0).astype(int)
    y = y + 5.0 * frame["insured"] + 4.0 * frame["floor"]
    moe = MixtureOfExpertsRegressor(2, **{"random_state": 0, "n_init": 1, "max_iter": 12})
    return fit_quietly(moe, frame, y), frame, y


@pytest.mark.parametrize(
    ("column", "ticks"), {"insured": ["0", "1"], "floor": ["0", "1"], "sex": ["1", "2"]}.items()
)
@pytest.mark.parametrize("name", ["ExpertsDisplay", "GateDisplay", "RegimesDisplay"])
def test_columns_of_two_values_have_points_instead_of_lines(name, column, ticks):
    moe, frame, y = columns_of_two_values()
    given = {"X": frame, "y": y, "features": column, "gate_feature": column}
    known = parameters_of(name)
    display = DISPLAYS[name].from_estimator(moe, **{k: given[k] for k in given if k in known})
    second = frame[column].astype(float) == float(ticks[1])
    for ax in display.figure_.axes:
        percent = [f"{100 * (~second).mean():.0f} %", f"{100 * second.mean():.0f} %"]
        labels = [f"{tick}\n{share}" for tick, share in zip(ticks, percent, strict=True)]
        assert texts(ax.get_xticklabels()) == labels
        assert {line.get_linestyle() for line in ax.lines} == {"None"}
    values = [frame[column].dtype.type(float(tick)) for tick in ticks]
    if name == "GateDisplay":
        expected = moe.predict_gate(frame_at_references(frame, column, values))
        assert_allclose(display.gate, expected)


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_is_drawn_on_given_axes_and_again_on_new_ones(name):
    figure, (left, right) = plt.subplots(1, 2)
    display = draw(name, case_of(name), ax=right)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    # Several panels take the place of the axes; others stay.
    assert left.axison
    box = right.get_subplotspec().get_position(figure)
    for ax in np.ravel(display.ax_):
        place = ax.get_subplotspec().get_position(figure)
        assert box.x0 - 1e-9 <= place.x0 < place.x1 <= box.x1 + 1e-9
    assert right.axison == (right in np.ravel(display.ax_))
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize("name", DISPLAYS)
def test_panels_are_drawn_on_as_many_axes_as_there_are(name):
    display = copy(drawn(name, case_of(name)))
    n_axes = np.size(display.ax_)
    if n_axes > 1 and name != "RegimesDisplay":
        axes = new_axes(n_axes)
        assert_array_equal(display.plot(list(axes)).ax_, axes)
    message = refusal(display.plot, new_axes(n_axes + 1))
    assert_refused(message, "ax must be one matplotlib axes", f"got {n_axes + 1}", "None")


# --- estimators -----------------------------------------------------------------------------------


# What takes a fitted mixture besides the displays, with its rows.
READERS = {
    "export_text": lambda moe, X, y: inspection.export_text(moe),
    "export_mermaid": lambda moe, X, y: inspection.export_mermaid(moe),
    "export_html": lambda moe, X, y: inspection.export_html(moe, X, y, "page.html"),
    "average_effects": lambda moe, X, y: inspection.average_effects(moe, X),
    "permutation_importance_by_part": inspection.permutation_importance_by_part,
}


@pytest.mark.parametrize("name", [*DISPLAYS, *READERS])
def test_only_fitted_mixtures_are_read(name):
    moe, X, y, _ = CASES["lines"]()

    def read(estimator):
        return READERS[name](estimator, X, y) if name in READERS else draw(name, "lines", estimator)

    with pytest.raises(NotFittedError):
        read(MixtureOfExpertsRegressor())
    search = GridSearchCV(moe, {"n_experts": [1]}, cv=2, refit=False)
    with pytest.raises(NotFittedError):
        read(search)
    search.best_params_, search.cv_results_, search.multimetric_ = {}, {}, False  # as after fit
    transformed = TransformedTargetRegressor(moe)
    transformed.regressor_ = moe
    for wrong, words in {
        Ridge().fit(X, y): ["got Ridge", "MixtureOfExpertsRegressor"],
        make_pipeline(StandardScaler(), Ridge()).fit(X, y): ["got Ridge", "pipeline or search"],
        search: ["got GridSearchCV", "refit=True"],
        transformed: ["got TransformedTargetRegressor", "Pass its regressor_"],
    }.items():
        with pytest.raises(TypeError) as caught:
            read(wrong)
        assert_refused(str(caught.value), "estimator must be a mixture of experts", *words)


@pytest.mark.parametrize("name", DISPLAYS)
def test_without_matplotlib_the_extra_is_named(name, monkeypatch):
    moe = CASES["lines"]()[0]
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError) as caught:
        draw(name, "lines", moe)
    assert_refused(str(caught.value), f"{name}.from_estimator", "matplotlib", ".[plot]")


# --- arguments ------------------------------------------------------------------------------------

# An option, a wrong value, and words of the message; for every display that has the option.
LEAST = {"max_features": 1, "subsample": 2, "n_repeats": 1, "row": 0, "max_count": 0, "n_bins": 2}
WHOLE = [
    (option, wrong, "must be an integer")
    for option, least in LEAST.items()
    for wrong in (least - 1, least + 0.5, True)
]


WRONG = [
    *WHOLE,
    ("row", 150, "0 to 149"),
    ("target", 1, "index of an output, from 0 to 0"),
    ("target", -1, "index of an output"),
    ("target", True, "index of an output"),
    ("target", "height", "index of an output"),
    ("standardize", 1, "True or False"),
    ("adjust", "yes", "True or False"),
    ("features", "height", "X has none"),
    ("features", 3, "from 0 to 2"),
    ("features", 1.5, ""),
    ("features", (1, 1), "twice"),
    ("features", [], ""),
    ("gate_feature", "height", "X has none"),
    ("gate_feature", (0, 1), "one feature"),
    ("by", "row", "one of"),
    *[("level", wrong, "(0, 1)") for wrong in (0.0, 95, True)],
    *[("coverage", wrong, "(0, 1)") for wrong in (1.0, "0.9", np.nan)],
    ("sample_weight", [1.0], "150"),
]


def with_option(option):
    """Displays that have an option; `by` of survival curves is a column."""
    names = [name for name in DISPLAYS if option in parameters_of(name)]
    return [name for name in names if (name, option) != ("SurvivalDisplay", "by")]


# One wrong value for every display, and the others for the first one.
WRONG_OF = [
    (name, option, value, words)
    for i, (option, value, words) in enumerate(WRONG)
    for name in with_option(option)[: 1 if i and WRONG[i - 1][0] == option else None]
]


@pytest.mark.parametrize(("name", "option", "value", "words"), WRONG_OF)
def test_wrong_arguments_are_refused(name, option, value, words):
    message = refusal(draw, name, case_of(name), **{option: value})
    assert_refused(message, option, *([words] if words else []))
    if option in LEAST and value != 150:
        assert f"got {value!r}" in message
        assert draw(name, case_of(name), **{option: LEAST[option]})


@pytest.mark.filterwarnings("ignore:.* got no offset")
@pytest.mark.parametrize("name", displays_with("y"))
def test_a_target_has_as_many_values_as_there_are_rows(name):
    moe, X, y, _ = CASES[case_of(name)]()
    for wrong in (y[:-1], np.append(y, 1.0)):
        assert str(len(wrong)) in refusal(DISPLAYS[name].from_estimator, moe, X, wrong)


@pytest.mark.parametrize("name", displays_with("X"))
def test_a_table_has_the_features_of_the_fit(name):
    X = CASES[case_of(name)]()[1]
    assert "X has 2 features" in refusal(draw, name, case_of(name), X=X[:, :2])


@pytest.mark.parametrize("name", displays_with("target"))
def test_classes_are_chosen_by_label_and_outputs_by_index(name):
    for case, words in {"classes": "one of the classes", "outputs": "from 0 to 1"}.items():
        if (name, case) in DRAWN:
            for wrong in ("maybe", 7) if case == "classes" else (None, "maybe", 7):
                message = refusal(draw, name, case, target=wrong)
                assert_refused(message, "target must be", words, f"got {wrong!r}", "Pass the")


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for option in ("coverage", "level") for name in displays_with(option)],
)
def test_intervals_name_their_probability(name, option):
    case = "one_feature" if (name, "one_feature") in DRAWN else case_of(name)
    assert "87.6 %" in all_texts(draw(name, case, **{option: 0.876}))
    assert "% interval" not in all_texts(draw(name, case, **{option: None}))


# --- tables ---------------------------------------------------------------------------------------


def with_zeros(X):
    return np.where(np.abs(X) < 0.6 * X.std(axis=0), 0.0, X)


def odd_index(columns):
    """A data frame with an index that is neither sorted nor of integers."""
    n_rows = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=np.arange(n_rows)[::-1] + 0.5)


@cache
def fitted_on_frame(case, names=("x0", "x1", "x2")):
    """A fit whose features have names."""
    moe, X, y, given = CASES[case]()
    frame = pd.DataFrame(X, columns=names)
    given = {key: given[key] for key in ("units", "time", "offset") if key in given}
    return fit_quietly(clone(moe), frame, y, **given)


@cache
def picture_of_array(name):
    """The picture of a table of which some values are zero."""
    X = with_zeros(CASES[case_of(name)]()[1])
    return draw(name, case_of(name), X=X), X


# Frames of pandas are met in all other tests; those that take rows must not take them by the index.
MAKES = [(name, sparse.csr_array) for name in displays_with("X")]
INDEXED = {*displays_with("sample_weight"), *displays_with("row")}
MAKES += [(name, odd_index if name in INDEXED else pl.DataFrame) for name in displays_with("X")]
MAKES += [(name, np.ndarray.tolist) for name in ("ExpertsDisplay", "PredictionDisplay")]
MAKES += [("PredictionDisplay", pl.DataFrame)]


@pytest.mark.parametrize(("name", "make"), MAKES)
def test_tables_of_any_type_give_the_same_picture(name, make):
    expected, X = picture_of_array(name)
    moe = None
    if make in (odd_index, pl.DataFrame):
        moe, X = fitted_on_frame(case_of(name)), {f"x{j}": x for j, x in enumerate(X.T)}
    assert_same_picture(expected, draw(name, case_of(name), moe, make(X)))


# --- rows, outputs and classes --------------------------------------------------------------------


def drawn_of_rows(name, case, rows):
    """The picture of some rows, with what belongs to them."""
    _, X, y, given = CASES[case]()
    own = {key: given[key][rows] for key in ("units", "time", "offset") if key in given}
    return draw(name, case, X=X[rows], y=y[rows], **own)


@pytest.mark.parametrize("case", ["lines", "counts"])
@pytest.mark.parametrize("name", displays_with("sample_weight"))
def test_rows_of_weight_zero_are_absent(name, case):
    kept = np.arange(len(CASES[case]()[2])) % 3 > 0
    kept[:4] = False  # a unit without rows is no unit
    found = draw(name, case, sample_weight=kept.astype(float))
    assert_same_picture(found, drawn_of_rows(name, case, kept))
    message = refusal(draw, name, case, sample_weight=kept.astype(float), units=[1, 2])
    assert "inconsistent numbers of samples" in message


@pytest.mark.parametrize("name", ["CoefficientsDisplay", "SegmentProfileDisplay"])
def test_weight_two_equals_two_rows(name):
    weight = np.arange(len(CASES["lines"]()[2])) % 3
    found = draw(name, "lines", sample_weight=weight.tolist())
    repeated = drawn_of_rows(name, "lines", np.repeat(np.arange(len(weight)), weight))
    assert_same_picture(found, repeated)


@cache
def with_outputs_exchanged():
    moe, X, Y, _ = CASES["outputs"]()
    return fit_quietly(clone(moe), X, Y[:, ::-1])


@pytest.mark.parametrize("name", displays_with("target"))
def test_one_of_several_outputs_is_drawn(name):
    if (name, "outputs") not in DRAWN:
        return
    frame = pd.DataFrame(CASES["outputs"]()[2], columns=["speed", "force"])
    found = draw(name, "outputs", y=frame, target=1)
    exchanged = draw(
        name, "outputs", with_outputs_exchanged(), y=frame[["force", "speed"]], target=0
    )
    assert_same_picture(found, exchanged, rtol=1e-4)
    assert "speed" not in all_texts(found)


@pytest.mark.parametrize("case", ["lines", "counts"])
@pytest.mark.parametrize("name", displays_with("subsample"))
def test_a_sample_of_the_rows_or_of_whole_units_is_shown(name, case):
    _, _, y, given = CASES[case]()
    own = {"adjust": False} if "adjust" in parameters_of(name) else {}
    heights = y / np.exp(given.get("offset", np.zeros(len(y))))
    displays = [draw(name, case, **own, subsample=most) for most in (50, 50, len(y), None)]
    first, again, every, whole = (np.atleast_2d(display.y)[0] for display in displays)
    assert_array_equal(first, again)
    for shown in (every, whole):
        assert_allclose(shown, heights)
    kept = np.isin(heights.round(9), first.round(9))
    if case == "lines":
        assert len(first) == kept.sum() == 50
    elif name != "RegimesDisplay":  # four rows each
        units = displays[0].units
        assert_array_equal(np.unique(units, return_counts=True)[1], np.full(13, 4))


@pytest.mark.parametrize("name", ["ExpertsDisplay", "RegimesDisplay", "TrajectoriesDisplay"])
def test_each_class_has_the_picture_that_it_has_alone(name):
    display = draw(name, "classes", target=None)
    labels = CASES["classes"]()[0].classes_
    for panel, label in zip(display.panels, labels, strict=True):
        alone = draw(name, "classes", target=label)
        assert alone.panels is None
        assert_same_picture(panel, alone)
    shown = [ax.get_ylabel().replace("\n", " ") for ax in display.ax_]
    named = [text for text in shown if text.startswith("Probability")]
    assert named == [f"Probability of class {label}" for label in labels]


# --- names, colours and words ---------------------------------------------------------------------


@cache
def texts_of_drawn(name, case):
    return all_texts(drawn(name, case))


@pytest.mark.parametrize(("name", "case"), [pair for pair in DRAWN if pair[0] in NAMED])
def test_names_of_experts_are_shown_in_their_colours(name, case):
    display = drawn(name, case)
    names = NAMES[: CASES[case]()[0].n_experts_]
    text = texts_of_drawn(name, case)
    assert [one for one in names if one not in text] == []
    assert not re.search(r"expert \d", text)
    for legend in filter(None, (ax.get_legend() for ax in display.figure_.axes)):
        for label, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            for k, one in enumerate(names):
                if label.get_text().startswith(one):
                    get = getattr(handle, "get_facecolor", getattr(handle, "get_color", None))
                    assert colors.to_hex(colors.to_rgb(get())) == expert_colour(k)


def test_experts_differ_in_grey_print():
    lines = expert_lines(40)
    styles = [(line.get_linestyle(), line.get_marker()) for line in lines]
    assert len(set(styles[:8])) == 8
    assert len({line.get_linestyle() for line in lines[:4]}) == 4
    assert len({(line.get_color(), line.get_linestyle()) for line in lines[:28]}) == 28
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 40
    assert len({line.get_color() for line in lines[:13]}) == 13


LONG = "a name of many words such as the surveys of households have"


def boxes_of_names(display):
    """Extents of all texts but the ticks of horizontal axes, each with its text."""
    figure = display.figure_
    figure.draw_without_rendering()
    ticks, view = set(), {}
    for ax in figure.axes:
        ticks |= {*ax.get_xticklabels()}
        view |= dict.fromkeys(ax.get_yticklabels(), ax.get_window_extent())
    found = [one for one in figure.findobj(Text) if one.get_text() and one.get_visible()]
    boxes = [(one, one.get_window_extent()) for one in found if one not in ticks]
    # Axes have some ticks beyond their ends, which are not drawn.
    return [
        (one.get_text(), box)
        for one, box in boxes
        if one not in view or view[one].y0 - 1.0 < (box.y0 + box.y1) / 2 < view[one].y1 + 1.0
    ]


# Those of some features have a grid of panels.
GRIDS = [("GateDisplay", [0, 1, 2, 0]), ("GateDisplay", [0, (0, 1)])]
GRIDS += [("ExpertsDisplay", [0, 1, 2, 0])]


@pytest.mark.parametrize(("name", "features"), [*((name, None) for name in DISPLAYS), *GRIDS])
def test_long_names_stay_in_the_figure_and_apart(name, features):
    moe, X, y, given = CASES[case_of(name)]()
    names = tuple(f"{k} {LONG}" for k in range(X.shape[1]))
    moe, X = fitted_on_frame(case_of(name), names), pd.DataFrame(X, columns=names)
    own = {"X": X, "y": pd.Series(y, name=LONG), "level": None} | given
    own["features"] = features
    moe = named(moe, [f"{k} {LONG}" for k in range(moe.n_experts_)])
    known = parameters_of(name)
    own = {key: own[key] for key in own if key in known}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        display = DISPLAYS[name].from_estimator(moe, **own)
    boxes = boxes_of_names(display)
    for text, box in boxes:
        assert box.x0 > -1.0, text
        assert box.x1 < display.figure_.bbox.x1 + 1.0, text
        assert box.y0 > -1.0, text
    for i, (text, box) in enumerate(boxes):
        others = [other for other, place in boxes[:i] if box.shrunk(0.97, 0.97).overlaps(place)]
        assert others == [], text


def wrong_numbers(text):
    """Numbers that do not agree with the noun behind them, such as "1 features"."""
    nouns = "feature|expert|row|unit|count|class|start|iteration|step|categor"
    one = re.findall(rf"(?<![\d.,/-])1 (?:{nouns})(?:e?s|ies)\b", text)
    several = re.findall(rf"(?<![\d.,/-])(?:[2-9]|\d\d+) (?:{nouns}|category)\b(?!s)", text)
    return one + several


@pytest.mark.parametrize("name", DISPLAYS)
def test_numbers_of_pictures_agree_with_their_nouns(name):
    for other, case in DRAWN:
        if other == name:
            assert wrong_numbers(texts_of_drawn(name, case)) == [], case


@pytest.mark.parametrize("name", displays_with("max_features"))
def test_features_that_are_left_out_are_counted(name):
    n_features = CASES["lines"]()[1].shape[1]
    counted = re.compile(rf"1 of {n_features} |{n_features} other features")
    assert counted.search(all_texts(draw(name, "lines", max_features=1)))
    every = all_texts(draw(name, "lines", max_features=n_features))
    assert not re.search(r" of 3 |other feature", every)
    if "features" in parameters_of(name):  # those that were asked for
        assert not counted.search(all_texts(draw(name, "lines", features=[0])))


NAMES_OF_FEATURES = ("price in $ of $x", "_a_b", "two\nlines")


@pytest.mark.parametrize("name", [*displays_with("features"), "PredictionDisplay"])
def test_names_may_hold_any_letters(name):
    moe = fitted_on_frame(case_of(name), NAMES_OF_FEATURES)
    frame = pd.DataFrame(CASES[case_of(name)]()[1], columns=NAMES_OF_FEATURES)
    names = ["_hidden", "$ and $", "a name of several words"][: moe.n_experts_]
    display = draw(name, case_of(name), named(moe, names), frame)
    for one in display.figure_.findobj(Text):
        one.get_window_extent()  # dollars could begin a formula
    text = all_texts(display).replace(r"\$", "$").replace("_ ", "_")
    assert any(" ".join(one.split()) in text for one in NAMES_OF_FEATURES)
    if name in NAMED:
        assert [one for one in names if one not in text] == []
