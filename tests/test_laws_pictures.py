"""What every display shares, whatever it shows: axes that hold it, names, colours, and words.

A display is enlisted by its name in `skmoe.inspection`: it gets those of the arguments here that
its `from_estimator` has. What it cannot draw of a case it refuses with one of the usual errors.
"""

import re
import warnings
from copy import copy
from functools import cache
from inspect import signature

import kinds
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from scipy.integrate import trapezoid
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, inspection
from skmoe.families import FAMILIES
from skmoe.inspection import (
    ConvergenceDisplay,
    RootogramDisplay,
)
from skmoe.inspection._contributions import Contributions
from skmoe.inspection._densities import row_density
from skmoe.inspection._expert_curves import CATEGORY_WIDTH
from skmoe.inspection._style import (
    MAX_LEGEND_ROWS,
    N_MARKS,
    colour,
    expert_handle,
    expert_legend,
    grid_axes,
    marked_points,
)
from skmoe.inspection._targets import target_name
from skmoe.inspection._waterfall import INCREASE, draw_waterfall, short_number, waterfall_bars

plt = pytest.importorskip("matplotlib.pyplot")
collections = pytest.importorskip("matplotlib.collections")
colors = pytest.importorskip("matplotlib.colors")
Text = pytest.importorskip("matplotlib.text").Text
plt.switch_backend("agg")

DISPLAYS = {name: getattr(inspection, name) for name in inspection.__all__ if "Display" in name}
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 12}
NAMES = ["calm", "wild", "odd"]

# Arguments of a display that make it quick, or the same each time.
QUICK = {"n_repeats": 2, "random_state": 0, "subsample": 60, "level": 0.8, "n_steps": 4}


def lines():
    """Numbers of very different sizes, so that a margin in wrong units is seen."""
    X, y = two_regimes(150)
    X, y = X * [1e-3, 1.0, 1e3], 1e-3 * y
    return quiet(MixtureOfExpertsRegressor("bic", **SHORT), X, y), X, y, {}


def one_feature():
    X, y = two_regimes(100, n_features=1)
    return quiet(MixtureOfExpertsRegressor(1, **SHORT), X, y), X, y, {}


def categories():
    X, y = two_regimes(90)
    level = np.random.default_rng(0).choice(3, 90)
    frame = pd.DataFrame({"height": X[:, 0]})
    frame["region"] = pd.Categorical.from_codes(level, ["north", "south", "west"])
    moe = MixtureOfExpertsRegressor(2, expert="tree", **SHORT | {"max_iter": 3})
    y = y + 3.0 * level
    return quiet(moe, frame, y), frame, y, {"features": "region"}


def classes():
    X, codes = flipping_classes(150, n_classes=3)
    y = np.array(["red", "green", "blue"])[codes]
    return quiet(MixtureOfExpertsClassifier(2, **SHORT), X, y), X, y, {"target": "green"}


def counts():
    X, y = two_regimes(160)
    y, offset = np.floor(np.abs(y)), np.linspace(-0.3, 0.3, 160)
    moe = MixtureOfExpertsRegressor(2, family="poisson", gate="constant", **SHORT)
    units = np.repeat(np.arange(40), 4)
    return (
        quiet(moe, X, y, units=units, offset=offset), X, y, {"units": units, "offset": offset}
    )  # fmt: skip


def outputs():
    X, y = two_regimes(150)
    Y = np.column_stack([y, 5.0 - X[:, 2] * np.sign(y)])
    return quiet(MixtureOfExpertsRegressor(3, **SHORT), X, Y), X, Y, {"target": 1}


CASES = {
    case.__name__: cache(case)
    for case in (lines, one_feature, categories, classes, counts, outputs)
}


def draw(name, case, **options):
    """The display of a case; None if it refuses."""
    moe, X, y, given = CASES[case]()
    method = DISPLAYS[name].from_estimator
    known = signature(method).parameters
    data = {"X": X, "y": y} if "y" in known else {"X": X} if "X" in known else {}
    given = {key: value for key, value in (QUICK | given | options).items() if key in known}
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "(?s).*(units|standard errors|Hessian|collapsed)")
        try:
            return method(moe, **data, **given)
        except (ValueError, TypeError) as error:
            if not re.search(r"need|Use|For|Choose|Draw|Pass", str(error)):
                raise
            return None


@cache
def drawn(name, case):
    """The same with names of experts, once for all laws."""
    return draw(name, case, expert_names=NAMES[: CASES[case]()[0].n_experts_], max_features=2)


DRAWN = [(name, case) for name in DISPLAYS for case in CASES]


def test_every_display_is_drawn_in_some_case():
    assert [name for name in DISPLAYS if not any(drawn(name, case) for case in CASES)] == []


# --- axes -----------------------------------------------------------------------------------------


def points_of(ax):
    """For each axis the data coordinates of all that is drawn, as fractions of its length."""
    found = {"x": [], "y": []}
    to_axes = ax.transAxes.inverted()
    for artist in [*ax.lines, *ax.patches, *ax.collections]:
        if isinstance(artist, collections.PathCollection):
            transform, vertices = artist.get_offset_transform(), [artist.get_offsets()]
        elif isinstance(artist, collections.Collection):
            transform = artist.get_transform()
            vertices = [path.vertices for path in artist.get_paths()]
            if isinstance(artist, collections.QuadMesh):
                vertices = [artist.get_coordinates().reshape(-1, 2)]
        else:
            transform, vertices = artist.get_transform(), [artist.get_path().vertices]
            if not len(vertices[0]):
                continue
        if not vertices:
            continue
        points = to_axes.transform(
            transform.transform(np.ma.filled(np.concatenate(vertices), np.nan))
        )
        in_data = transform.contains_branch_seperately(ax.transData)
        for side, values, counts_here in zip("xy", points.T, in_data, strict=True):
            if counts_here:
                found[side].append(values[np.isfinite(values)])
    return {side: np.concatenate([np.zeros(0), *values]) for side, values in found.items()}


def shown_axes(display):
    return [] if display is None else [ax for ax in display.figure_.axes if ax.axison]


FRAMES = (pd.DataFrame, pl.DataFrame)


@cache
def named(case, make):
    """The mixture of a case, fitted on a frame whose names are those of an array."""
    moe, X, y, given = CASES[case]()
    frame = make({f"x{j}": column for j, column in enumerate(X.T)})
    given = {key: given[key] for key in ("units", "offset") if key in given}
    return quiet(clone(moe), frame, y, **given), frame


# Pictures that leave out what their docstrings name: rows of other experts, and the first, steep
# iterations.
CUT = {("RegimesDisplay", "y"), ("ConvergenceDisplay", "y")}


def is_probability(limits):
    return abs(limits[0]) < 0.12 and abs(limits[1] - 1.0) < 0.13


@pytest.mark.parametrize(("name", "case"), DRAWN)
def test_axes_hold_what_they_show_and_little_else(name, case):
    display = drawn(name, case)
    extents = {}
    for ax in shown_axes(display):
        limits = {"x": np.sort(ax.get_xlim()), "y": np.sort(ax.get_ylim())}
        for side, values in points_of(ax).items():
            if not len(values):
                continue
            if (name, side) not in CUT:
                assert values.min() > -1e-6, side
                assert values.max() < 1.0 + 1e-6, side
            if not is_probability(limits[side]):
                extents.setdefault((side, *limits[side]), []).append(np.clip(values, 0.0, 1.0))
    for where, values in extents.items():  # of all panels with the same limits
        width = np.ptp(np.concatenate(values))
        assert width > 0.4 or width < 1e-9, where


COUNTED = {"Iteration of EM", "Number of experts", "Count"}


def test_ticks_of_counts_are_integers():
    drawn = [
        ConvergenceDisplay(lower_bounds=np.arange(3.0), start_traces=[np.arange(3.0)]).plot(),
        DISPLAYS["NumberOfExpertsDisplay"](
            tried=[1, 2, 3], scores=[0.0, 1.0, 0.5], chosen=2, score_name="score"
        ).plot(),
        RootogramDisplay.from_predictions([0, 1, 2, 2], [1.0, 0.0, 2.0]),
    ]
    assert {display.ax_.get_xlabel() for display in drawn} == COUNTED
    for display in drawn:
        ticks = display.ax_.get_xticks()
        assert len(ticks) > 1
        assert_array_equal(ticks, np.round(ticks))


def test_flat_lower_bounds_are_drawn_without_a_warning():
    flat = np.full(20, 3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = ConvergenceDisplay(lower_bounds=flat, start_traces=[flat, flat]).plot()
    low, high = display.ax_.get_ylim()
    assert low < 3.0 < high


# --- arguments ------------------------------------------------------------------------------------

# The smallest values of options that are whole numbers.
LEAST = {
    "max_features": 1,
    "grid_resolution": 2,
    "subsample": 2,
    "max_units": 2,
    "n_repeats": 1,
    "n_steps": 1,
    "row": 0,
    "max_count": 0,
    "n_bins": 2,
    "decimals": 0,
}
WHOLE = [
    (name, option, case)
    for name, display in DISPLAYS.items()
    for option in LEAST
    for case in ["counts" if name == "RootogramDisplay" or option == "max_units" else "outputs"]
    if option
    in {**signature(display.from_estimator).parameters, **signature(display.plot).parameters}
]


@pytest.mark.parametrize(("name", "option", "case"), WHOLE)
def test_whole_numbers_begin_where_they_should(name, option, case):
    moe, X, y, given = CASES[case]()
    method = DISPLAYS[name].from_estimator
    known = {*signature(method).parameters, *signature(DISPLAYS[name].plot).parameters}
    given = {key: value for key, value in (QUICK | {"level": None} | given).items() if key in known}
    given |= {"explain": False} if "explain" in known and option != "n_steps" else {}
    data = (X, y) if "y" in known | {*signature(method).parameters} else (X,)
    plt.close("all")
    assert method(moe, *data, **given | {option: LEAST[option]})
    for wrong in (LEAST[option] - 1, LEAST[option] + 0.5, True):
        with pytest.raises(ValueError, match=f"{option} must be an integer"):
            method(moe, *data, **given | {option: wrong})
    if option == "row":
        method(moe, *data, **given | {option: len(X) - 1})
        with pytest.raises(ValueError, match="row must be an integer"):
            method(moe, *data, **given | {option: len(X)})


@pytest.mark.parametrize("option", ["max_features", "decimals"])
@pytest.mark.parametrize("export", [inspection.export_text, inspection.export_mermaid])
def test_whole_numbers_of_texts_begin_where_they_should(export, option):
    moe, X, _, _ = CASES["lines"]()
    if option in signature(export).parameters:
        assert export(moe, X=X, **{option: LEAST[option]})
        with pytest.raises(ValueError, match=f"{option} must be an integer"):
            export(moe, X=X, **{option: LEAST[option] - 1})


def displays_with(option):
    return [
        name for name in DISPLAYS if option in signature(DISPLAYS[name].from_estimator).parameters
    ]


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for option in ("coverage", "level") for name in displays_with(option)],
)
def test_shares_lie_between_zero_and_one_and_are_named(name, option):
    assert "87.6 %" in texts_of(draw(name, "one_feature", **{option: 0.876}))
    method, data = DISPLAYS[name].from_estimator, CASES["one_feature"]()[:3]
    for wrong in (0.0, 1.0, 90, True, "0.9"):
        with pytest.raises(ValueError, match=option):
            method(*data, **{option: wrong})
    assert "% interval" not in texts_of(draw(name, "one_feature", **{option: None}))


def colours_of(artist):
    found = []
    for getter in ("get_color", "get_colors", "get_facecolor", "get_edgecolor"):
        if hasattr(artist, getter):
            found += [colors.to_hex(c) for c in colors.to_rgba_array(getattr(artist, getter)())]
    return found


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option.name)
        for name, display in DISPLAYS.items()
        for option in signature(display.plot).parameters.values()
        if option.name.endswith("kwargs")
    ],
)
@pytest.mark.parametrize("short", [False, True])
def test_properties_of_the_user_take_the_place_of_the_defaults(name, option, short):
    case = "counts" if name == "RootogramDisplay" else "lines"
    display = copy(drawn(name, case))  # others read what was drawn
    own = {"c" if short and option == "kwargs" else "color": "#123456"}
    if name == "SegmentProfileDisplay":  # of a map of colours
        own = {"cmap": "PuOr"}
    plt.close("all")
    again = display.plot(**(own if option == "kwargs" else {option: own}))
    if name == "SegmentProfileDisplay":
        assert {mesh.cmap.name for mesh in again.meshes_} == {"PuOr"}
        return
    drawn_artists = [a for ax in again.figure_.axes for a in ax.get_children()]
    assert any("#123456" in colours_of(artist) for artist in drawn_artists)


def arrays_of(display):
    """What a display was made of, in one list of numbers and texts."""
    found = []
    stack = [
        getattr(display, name)
        for name in signature(type(display).__init__).parameters
        if name != "self"
    ]
    while stack:
        value = stack.pop()
        if type(value) in DISPLAYS.values():
            stack += [
                getattr(value, name)
                for name in signature(type(value).__init__).parameters
                if name != "self"
            ]
        elif isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.append(value.astype(float))
        elif isinstance(value, int | float):
            found.append(np.array(float(value)))
        else:
            found.append(str(value))
    return found


@pytest.mark.parametrize("make", [pl.DataFrame, sparse.csr_array])
@pytest.mark.parametrize("name", displays_with("X"))
def test_tables_of_all_types_give_the_same_picture(name, make):
    case = "counts" if name == "RootogramDisplay" else "lines"
    moe, X, y, given = CASES[case]()
    X = np.where(np.abs(X) < 0.6 * X.std(axis=0), 0.0, X)
    method = DISPLAYS[name].from_estimator
    known = signature(method).parameters
    given = {key: value for key, value in (QUICK | {"level": None} | given).items() if key in known}
    drawn_of = []
    for estimator, table in ((moe, X), named(case, make) if make in FRAMES else (moe, make(X))):
        if make in FRAMES and table is not X:
            table = make(dict(zip(estimator.feature_names_in_, X.T, strict=True)))
        data = {"X": table, "y": y} if "y" in known else {"X": table} if "X" in known else {}
        plt.close("all")
        drawn_of.append(arrays_of(method(estimator, **data, **given)))
    assert len(drawn_of[0]) == len(drawn_of[1])
    for one, other in zip(*drawn_of, strict=True):
        if isinstance(one, str):
            assert one == other
        else:
            assert_allclose(one, other, rtol=1e-6, atol=1e-9 * np.abs(one).max(initial=0.0))


# --- names, colours and words ---------------------------------------------------------------------


def texts_of(display):
    """All texts of a picture, in one line."""
    found = display.figure_.findobj(Text)
    for ax in display.figure_.axes:
        found += [*ax.get_xticklabels(), *ax.get_yticklabels()]
    return " ".join(" ".join(text.get_text().split()) for text in found if text.get_visible())


@pytest.mark.parametrize(("name", "case"), DRAWN)
def test_names_of_experts_are_shown_in_their_colours(name, case):
    display = drawn(name, case)
    known = signature(DISPLAYS[name].from_estimator).parameters
    if display is None or "expert_names" not in known:
        return
    names = NAMES[: CASES[case]()[0].n_experts_]
    text = texts_of(display)
    assert [one for one in names if one not in text] == []
    assert not re.search(r"expert \d", text)
    for legend in filter(None, (ax.get_legend() for ax in display.figure_.axes)):
        for label, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            for k, one in enumerate(names):
                if label.get_text().startswith(one):
                    get = getattr(handle, "get_facecolor", getattr(handle, "get_color", None))
                    assert colors.to_hex(colors.to_rgb(get())).upper() == colour(k)


def wrong_numbers(text):
    """Numbers that do not agree with the noun behind them, such as "1 features"."""
    nouns = "feature|expert|row|unit|count|class|start|iteration|step|categor"
    one = re.findall(rf"(?<![\d.,/-])1 (?:{nouns})(?:e?s|ies)\b", text)
    several = re.findall(rf"(?<![\d.,/-])(?:[2-9]|\d\d+) (?:{nouns}|category)\b(?!s)", text)
    return one + several


def test_wrong_numbers_are_found():
    assert wrong_numbers("1 features, 2 expert, 10 rows, 1 unit, 1.1 rows, 2 classes") == [
        "1 features",
        "2 expert",
    ]


@pytest.mark.parametrize(("name", "case"), DRAWN)
def test_numbers_of_pictures_agree_with_their_nouns(name, case):
    display = drawn(name, case)
    assert display is None or wrong_numbers(texts_of(display)) == []


@pytest.mark.parametrize("case", CASES)
def test_numbers_of_texts_agree_with_their_nouns(case):
    moe, X, y, given = CASES[case]()
    given = {name: given[name] for name in ("units", "offset") if name in given}
    texts = [inspection.export_text(moe, X=X), inspection.export_mermaid(moe, X=X)]
    texts += [re.sub(r"<[^>]+>", " ", moe._repr_html_())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts.append(str(moe.summary(X, y, **given)))
    assert [wrong_numbers(text) for text in texts] == [[]] * 4


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in DISPLAYS
        if "standardize" in signature(DISPLAYS[name].from_estimator).parameters
    ],
)
def test_steps_of_features_are_named(name, standardize):
    text = texts_of(draw(name, "lines", standardize=standardize))
    assert ("per SD" in text, "per unit" in text) == (standardize, not standardize)


@pytest.mark.parametrize("name", displays_with("max_features"))
def test_features_that_are_left_out_are_counted(name):
    n_features = CASES["lines"]()[1].shape[1]
    known = signature(DISPLAYS[name].from_estimator).parameters
    counted = re.compile(rf"1 of {n_features} |{n_features} other features")
    assert counted.search(texts_of(draw(name, "lines", max_features=1)))
    assert not re.search(r" of 3 |other feature", texts_of(draw(name, "lines", max_features=99)))
    if "features" in known:  # those that were asked for
        assert not counted.search(texts_of(draw(name, "lines", features=[0])))


# --- what is drawn of a distribution --------------------------------------------------------------


def fitted_kind(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = kinds.draw(name if name in FAMILIES else "normal", 0.5 + 0.4 * X[:, 0], rng)
    options = kinds.options_of(name) if name != "zero, gamma" else {"family": ["zero", "gamma"]}
    if name == "zero, gamma":
        y = np.where(X[:, 1] > 0.5, 0.0, np.exp(y))
    return quiet(MixtureOfExpertsRegressor(2, **SHORT, **options), X, y), X, y


@pytest.mark.parametrize(
    "name", [*(name for name, task in kinds.KINDS if task == "regressor"), "zero, gamma"]
)
def test_densities_of_experts_add_up_to_their_probabilities(name):
    moe, X, y = fitted_kind(name)
    parts = row_density(moe, X, 3, 0, None)
    total = trapezoid(parts.density, parts.grid, axis=0) + parts.probability.sum(axis=0)
    assert_allclose(total, moe.predict_gate(X[[3]])[0], atol=0.02)
    assert_allclose(parts.gate, moe.predict_gate(X[[3]])[0])
    is_discrete = np.array_equal(y, np.round(y))
    assert (len(parts.grid) == 0) == is_discrete
    assert (len(parts.values) > 0) == (is_discrete or name == "zero, gamma")
    for values in (parts.grid, parts.values):
        assert (np.diff(values) > 0.0).all()
    assert not np.isin(parts.values, parts.grid).any()
    distribution = moe.predict_dist(X[[3]])
    assert_allclose(parts.density.sum(axis=1), distribution.pdf(parts.grid[None])[0], 1e-8, 1e-12)
    if is_discrete:
        steps = distribution.pmf(parts.values[None])[0]
        assert_allclose(parts.probability.sum(axis=1), steps, 1e-6, 1e-9)


# --- bars of a waterfall --------------------------------------------------------------------------


@pytest.mark.parametrize("n_used", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("remainder", [0.0, 1.0])
def test_bars_of_a_waterfall_add_up(n_used, most, remainder):
    size = np.zeros(6)
    size[[4, 0, 5, 1, 2][:n_used]] = [7.0, -5.0, 3.0, 2.0, -1.0][:n_used]
    given = Contributions(10.0, 0.25 * size, 0.75 * size, 10.0 + size.sum() + remainder)
    bars = waterfall_bars(given, list("abcdef"), most)
    assert_allclose(10.0 + sum(bar.experts + bar.gate for bar in bars), given.prediction)
    named = [bar.label for bar in bars if len(bar.label) == 1]
    n_named = n_used if n_used <= most else most - 1
    assert named == list("eafbc")[:n_named]
    left = n_used - n_named
    others = [f"{left} other feature{'s' * (left > 1)}"] if left else []
    assert [bar.label for bar in bars] == named + others + ["remainder"] * bool(remainder)
    figure, ax = plt.subplots()
    draw_waterfall(ax, given, bars, "y")
    plt.close(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "mean row: 10",
        *(bar.label for bar in bars),
        f"this row: {short_number(given.prediction)}",
    ]
    assert_array_equal(ax.get_yticks(), np.arange(len(bars) + 2))
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    ends = [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds]
    assert_allclose(ends, [(10.0, 0), (given.prediction, len(bars) + 1)])
    shown = {patch.get_facecolor()[:3] for patch in ax.patches if patch.get_width() > 0.0}
    assert colors.to_rgb(INCREASE) in shown


@pytest.mark.parametrize("value", [0.0, 1e-7, 0.5, 9.996, 99.96, 999.4, 1e3, 1234.0, 999999.4, 1e6])
def test_short_numbers_are_short_and_exact_enough(value):
    for sign in (1.0, -1.0):
        text = short_number(sign * value)
        assert_allclose(float(text), sign * value, rtol=0.005)
        assert len(text) <= 9
        assert float(short_number(sign * value, "+")) == float(text)
    assert ("e" in short_number(value)) == (value >= 1e6 or 0.0 < value < 1e-4)
    if 1e3 <= value < 1e6:
        assert int(short_number(value)) == round(value)


# --- names of targets, and marks ------------------------------------------------------------------

Y = np.arange(6.0)


@pytest.mark.parametrize(
    ("y", "index", "name"),
    [
        (Y, 0, "y"),
        (Y.tolist(), 0, "y"),
        (Y[:, None], 0, "y"),
        (Y.reshape(3, 2), 1, "y1"),
        (pd.Series(Y, name="price"), 0, "price"),
        (pd.Series(Y), 0, "y"),
        (pd.Series(Y, name=""), 0, "y"),
        (pd.Series(Y, name=3), 0, "y"),
        (pl.Series("price", Y), 0, "price"),
        (pd.DataFrame({"a": Y, "b": Y}), 1, "b"),
        (pl.DataFrame({"a": Y, "b": Y}), 0, "a"),
    ],
)
def test_targets_have_their_own_names(y, index, name):
    assert target_name(MixtureOfExpertsRegressor(), y, index) == name


@pytest.mark.parametrize("n_points", [1, 2, 7, 8, 50, 200])
def test_curves_of_two_experts_have_marks_at_different_points(n_points):
    marks = [marked_points(n_points, k) for k in range(4)]
    for of_expert in marks:
        assert 1 <= len(of_expert) <= N_MARKS
        assert len(of_expert) == min(N_MARKS, n_points)
        assert 0 <= of_expert[0] <= of_expert[-1] < n_points
        if n_points >= 50:
            gaps = np.diff(of_expert)
            assert gaps.max() - gaps.min() <= 1
            assert n_points / N_MARKS - 1 <= gaps.min()
    if n_points >= 50:
        assert len({point for of_expert in marks for point in of_expert}) == 4 * N_MARKS


@pytest.mark.parametrize("n_panels", range(1, 9))
def test_panels_of_a_grid_have_rows_of_about_the_same_length(n_panels):
    plt.close("all")
    axes = grid_axes(None, "a display", n_panels, 3, (2.0, 1.5))
    specs = [ax.get_subplotspec() for ax in axes]
    n_rows, n_columns = specs[0].get_gridspec().get_geometry()
    assert n_columns <= 3
    assert n_rows == -(-n_panels // 3)
    assert n_rows * (n_columns - 1) < n_panels <= n_rows * n_columns
    assert_allclose(axes[0].figure.get_size_inches(), (2.0 * n_columns, 1.5 * n_rows))
    cells = [(spec.rowspan.start, spec.colspan.start) for spec in specs]
    assert cells == [divmod(i, n_columns) for i in range(n_panels)]


@pytest.mark.parametrize("n_experts", [1, 2, 16, 17, 33])
def test_legends_have_as_few_columns_as_fit(n_experts):
    figure, ax = plt.subplots()
    handles = [expert_handle(k, f"expert {k}") for k in range(n_experts)]
    legend = expert_legend(ax, handles)
    figure.draw_without_rendering()
    # Labels of a column begin at the same place.
    columns = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(columns) == -(-n_experts // MAX_LEGEND_ROWS)
    assert [text.get_text() for text in legend.get_texts()] == [h.get_label() for h in handles]


# --- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "features"), [("lines", 0), ("lines", (0, 1)), ("categories", 1)])
def test_deciles_are_in_the_legend_if_they_are_drawn(case, features):
    display = draw("GateDisplay", case, features=features)
    labels = [text.get_text() for text in display.legend_.get_texts()]
    marks = [line for line in display.ax_.lines if line.get_marker() in ("|", "_")]
    assert len(marks) == (0 if case == "categories" else np.size(features))
    assert ("deciles of the rows" in labels) == (case != "categories")


@pytest.mark.parametrize("case", [case for case in CASES if case != "classes"])
def test_panels_of_regimes_hold_the_rows_that_count_in_them(case):
    display = drawn("RegimesDisplay", case)
    limits = {ax.get_ylim() for ax in display.ax_[-len(display.y) :]}
    ((low, high),) = limits
    counted = [y[display.responsibilities[:, k] > 0.5] for k, y in enumerate(display.y)]
    counted = np.concatenate(counted)
    assert low < counted.min() <= counted.max() < high
    assert np.ptp(counted) > 0.7 * (high - low)


def test_what_is_drawn_at_a_category_stays_there():
    display = draw("ExpertsDisplay", "categories", coverage=0.8)
    boxes = [path.get_extents() for path in display.band_.get_paths()]
    boxes = [box for box in boxes if box.width > 0.0]
    n_levels = len(display.grid)
    assert len(boxes) == n_levels == 3
    for i, box in enumerate(boxes):
        assert_allclose((box.x0, box.x1), (i - CATEGORY_WIDTH, i + CATEGORY_WIDTH))
        assert_allclose((box.y0, box.y1), display.band[i])
    for curve in display.curves_:
        ends = [segment[:, 0] for segment in curve.get_segments()]
        middles = np.arange(n_levels)[:, None]
        assert_allclose(
            np.sort(ends), np.hstack([middles - CATEGORY_WIDTH, middles + CATEGORY_WIDTH])
        )
    beside = display.scatter_.get_offsets()[:, 0]
    assert 0.0 < np.abs(beside - display.x).max() < CATEGORY_WIDTH
