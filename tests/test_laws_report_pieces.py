"""Pieces of reports and texts, each by itself: tables, cards, controls, charts and diagrams."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cases import ALL_CASES, CLASSES, Y, fitted_case
from cases import X as TABLE
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet
from sklearn import metrics
from sklearn.calibration import calibration_curve

from skmoe import MixtureOfExpertsClassifier
from skmoe._inference.labels import format_percent
from skmoe.distributions import (
    NormalComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
)
from skmoe.inspection import export_mermaid
from skmoe.inspection._heat_map import NO_NUMBER
from skmoe.inspection._mermaid import _label
from skmoe.inspection._report._charts import Charts, chart_label, make_charts
from skmoe.inspection._report._experts import _drivers, _members, _signed, selection_table
from skmoe.inspection._report._held_out import (
    HeldOutRows,
    held_out_scores,
    probabilities_of_class,
)
from skmoe.inspection._report._panel import (
    MAX_COUNTS_DRAWN,
    Slicer,
    _atoms,
    _controls,
    _rounded,
    _shown_range,
    _step,
)
from skmoe.inspection._report._pictures import (
    MAX_CLASSES_DRAWN,
    as_source,
    calibration_picture,
    coefficients_picture,
    drawing,
    number,
    profile_picture,
)
from skmoe.inspection._report._rows import (
    MAX_CHOICES,
    Feature,
    _probes,
    describe_feature,
    grid_of,
    starting_row,
    strongest_features,
    value_of,
    with_values,
)
from skmoe.inspection._style import colour
from skmoe.inspection._text import TextFormat, _largest, _n_omitted, _range, export_text

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")
MINUS = "\N{MINUS SIGN}"


def parsed(text):
    return float(text.replace(MINUS, "-").rstrip(" %"))


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "captions"),
    [
        ("constant gate", ["Mean minus", "Effect on y, per SD"]),
        ("trees", ["Mean minus", "Gate: log odds per SD"]),
        ("two experts", ["Mean minus", "Effect on y, per SD", "Gate: log odds per SD"]),
    ],
)
def test_pictures_of_profiles_have_the_tables_that_there_are(case, captions):
    moe = fitted_case(case)
    picture = profile_picture(moe, TABLE, Y, {"level": None})
    assert len(picture.tables) == len(captions)
    for table, caption in zip(picture.tables, captions, strict=True):
        assert table.caption.startswith(caption)
        assert table.head == ["Feature", *moe.expert_names_]
        assert [row[0] for row in table.rows] == ["x0", "x1"]
    has_coef = any("Effect" in caption for caption in captions)
    assert picture.title == "Experts and features" + ", effect on y" * has_coef
    assert picture.alternative.startswith(picture.title)
    assert picture.source.startswith("data:image/svg+xml;base64,")
    assert plt.get_fignums() == []


def test_pictures_of_coefficients_have_intervals_with_their_level(monkeypatch):
    moe = fitted_case("two experts")
    for level, n_tables in ((0.8, 3), (None, 1)):
        picture = coefficients_picture(moe, TABLE, Y, {"level": level})
        assert len(picture.tables) == n_tables
        assert picture.title == "Coefficients: Effect on y"
    with monkeypatch.context() as patched:
        patched.setattr("skmoe.inspection._segment_tables._inference_or_none", lambda *_: None)
        assert len(coefficients_picture(moe, TABLE, Y, {"level": 0.8}).tables) == 1
    estimates, low, high = (
        np.array([[parsed(cell) for cell in row[1:]] for row in table.rows])
        for table in coefficients_picture(moe, TABLE, Y, {"level": 0.8}).tables
    )
    assert (low < estimates).all()
    assert (estimates < high).all()


def test_numbers_of_tables_have_three_digits_and_a_sign_that_is_no_hyphen():
    assert number(1234.0) == "1.23e+03"
    assert number(-0.5) == f"{MINUS}0.5"
    assert [number(value) for value in (np.nan, np.inf, -np.inf)] == [NO_NUMBER] * 3
    assert _signed(-0.256) == f"{MINUS}0.256"
    assert _signed(0.25) == "+0.25"


def test_drawing_leaves_the_figures_and_the_style_of_the_user():
    mine = plt.figure()
    before = plt.rcParams["svg.hashsalt"]
    plt.ion()
    try:
        with drawing() as pyplot:
            assert plt.rcParams["svg.hashsalt"] == "skmoe"
            assert not plt.isinteractive()
            pyplot.figure()
            assert len(plt.get_fignums()) == 2
        assert plt.isinteractive()
    finally:
        plt.ioff()
    assert plt.get_fignums() == [mine.number]
    assert plt.rcParams["svg.hashsalt"] == before
    context = drawing()
    context.__enter__().figure()
    with pytest.raises(RuntimeError, match="no place"):
        context.gen.throw(RuntimeError("no place"))
    assert plt.get_fignums() == [mine.number]
    sources = []
    for _ in range(2):
        with drawing():
            figure, ax = plt.subplots(figsize=(1, 1))
            ax.plot([0, 1], [0, 1])
            sources.append(as_source(figure))
    assert sources[0] == sources[1]


@pytest.mark.parametrize("n_classes", [2, 3, MAX_CLASSES_DRAWN + 1])
def test_calibration_of_classes_is_that_of_the_first_ones_or_of_the_second_of_two(n_classes):
    table, y = flipping_classes(160, n_classes)
    moe = quiet(MixtureOfExpertsClassifier(1, max_iter=3, random_state=0), table, y)
    labels = [f"class {c}" for c in range(n_classes)]
    picture = calibration_picture(moe, HeldOutRows(table, y, None, None), 0, labels)
    drawn = [1] if n_classes == 2 else list(range(min(n_classes, MAX_CLASSES_DRAWN)))
    assert [found.caption for found in picture.tables] == [
        f"Calibration of class {c}" for c in drawn
    ]
    for found, c in zip(picture.tables, drawn, strict=True):
        assert found.head == ["Predicted probability", "Observed share"]
        wanted = calibration_curve(
            y == c, moe.predict_proba(table)[:, c], n_bins=10, strategy="quantile"
        )
        numbers = [[parsed(cell) for cell in row] for row in found.rows]
        assert_allclose(numbers, np.column_stack(wanted[::-1]), rtol=6e-3)
    observed, proba = probabilities_of_class(moe, HeldOutRows(table, y, None, None), 1)
    assert_array_equal(observed, y == 1)
    assert_array_equal(proba, moe.predict_proba(table)[:, 1])


def test_scores_of_held_out_rows_have_names_and_calibration_all_levels():
    moe = fitted_case("two experts")
    rows = HeldOutRows(TABLE, Y, None, None)
    assert [score.name for score in held_out_scores(moe, rows, 0, 0.9)][3:] == [
        "Mean log density",
        "CRPS",
        "Coverage of 90 % intervals",
        "Mean width of the intervals",
    ]
    picture = calibration_picture(moe, rows, 0, [])
    assert [row[0] for row in picture.tables[0].rows] == [f"{5 * i} %" for i in range(1, 20)]


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_held_out_rows_are_those_of_scikit_learn(weighted):
    weight = np.arange(1.0, 61.0) if weighted else None
    moe = fitted_case("outputs")
    both = np.column_stack([Y, TABLE[:, 0]])[:60]
    rows = HeldOutRows(TABLE[:60], both, weight, None)
    for index in (0, 1):
        scores = {
            score.name: parsed(score.value) for score in held_out_scores(moe, rows, index, 0.5)
        }
        y, predicted = both[:, index], moe.predict(TABLE[:60])[:, index]
        given = {"sample_weight": weight}
        dist = moe.predict_dist(TABLE[:60])
        low, high = dist.interval(0.5)[..., index].T
        inside = (low <= y) & (y <= high)
        wanted = {
            "R\N{SUPERSCRIPT TWO}": metrics.r2_score(y, predicted, **given),
            "RMSE": np.sqrt(metrics.mean_squared_error(y, predicted, **given)),
            "MAE": metrics.mean_absolute_error(y, predicted, **given),
            "Mean log density": np.average(dist.logpdf(both)[:, index], weights=weight),
            "CRPS": np.average(dist.crps(both)[:, index], weights=weight),
            "Coverage of 50 % intervals": 100.0 * np.average(inside, weights=weight),
            "Mean width of the intervals": np.average(high - low, weights=weight),
        }
        assert list(scores) == list(wanted)
        assert_allclose(list(scores.values()), list(wanted.values()), rtol=1e-3, atol=0.05)
    moe, y = fitted_case("linear-classifier"), CLASSES[:60]
    proba = moe.predict_proba(TABLE[:60])
    scores = held_out_scores(moe, HeldOutRows(TABLE[:60], y, weight, None), 0, 0.5)
    brier = np.average(2.0 * (proba[:, 1] - y) ** 2, weights=weight)
    wanted = [
        metrics.accuracy_score(y, proba[:, 1] > 0.5, sample_weight=weight),
        metrics.log_loss(y, proba, sample_weight=weight),
        brier,
    ]
    assert_allclose([parsed(score.value) for score in scores], wanted, rtol=1e-3)


def test_ends_of_intervals_belong_to_them():
    moe, y = fitted_case("poisson-regressor"), ALL_CASES["poisson-regressor"][1]
    low, high = moe.predict_interval(TABLE, 0.6).T
    assert (low == y).any()
    assert (high == y).any()
    inside = np.mean((low <= y) & (y <= high))
    scores = held_out_scores(moe, HeldOutRows(TABLE, y, None, None), 0, 0.6)
    [found] = [score.value for score in scores if "60 %" in score.name]
    assert found == f"{100.0 * inside:.1f} %"


# --- cards ----------------------------------------------------------------------------------------


def test_members_are_the_largest_differences_in_order():
    differences = np.array(
        [[0.05, 1.0], [-0.5, 0.0], [0.1, -2.0], [np.nan, 0.3], [3.0, 0.4], [0.2, 0.2]]
    )
    columns = [
        SimpleNamespace(label=label, difference=row)
        for label, row in zip("abcdef", differences, strict=True)
    ]
    assert _members(columns, 0) == [
        "higher e (+3 SD)",
        f"lower b ({MINUS}0.5 SD)",
        "higher f (+0.2 SD)",
        "higher c (+0.1 SD)",
    ]
    assert _members(columns, 1) == [
        f"lower c ({MINUS}2 SD)",
        "higher a (+1 SD)",
        "higher e (+0.4 SD)",
        "higher d (+0.3 SD)",
    ]
    assert _members(columns[:1], 0) == ["hardly different from all rows"]


def test_drivers_are_the_largest_coefficients_of_any_response():
    text_format = TextFormat(list("abcde"), np.array([1.0, 10.0, 1.0, 1.0, 1.0]), "", 9, 2)
    coef = np.array([[[0.5, -0.2, 0.0, 1.0, 0.1], [0.0, 0.1, 0.0, -3.0, 0.2]]])
    expert = SimpleNamespace(importances=[])
    outputs = SimpleNamespace(expert_coef_=coef)
    lines = _drivers(outputs, expert, 0, text_format)
    assert lines == [
        f"d: +1 (0), {MINUS}3 (1) per SD",
        f"b: {MINUS}2 (0), +1 (1) per SD",
        "a: +0.5 (0), +0 (1) per SD",
        "e: +0.1 (0), +0.2 (1) per SD",
    ]
    classes = SimpleNamespace(expert_coef_=coef, classes_=np.array(["no", "yes"]))
    assert _drivers(classes, expert, 0, text_format)[0] == f"d: +1 (no), {MINUS}3 (yes) per SD"
    one = SimpleNamespace(expert_coef_=coef[:, 0])
    assert _drivers(one, expert, 0, text_format) == [
        f"b: {MINUS}2 per SD",
        "d: +1 per SD",
        "a: +0.5 per SD",
        "e: +0.1 per SD",
    ]
    few = SimpleNamespace(expert_coef_=np.array([[0.0, 0.0, 0.0, 0.0, 2.0]]))
    assert _drivers(few, expert, 0, text_format) == ["e: +2 per SD"]
    important = SimpleNamespace(importances=[(name, 0.25) for name in "abcdef"])
    assert _drivers(one, important, 0, text_format) == [f"{name}: 0.25" for name in "abcd"]
    assert _drivers(SimpleNamespace(), expert, 0, text_format) == []


@pytest.mark.parametrize("criterion", ["auto", "bic", "icl"])
@pytest.mark.parametrize("combine", ["best", "average"])
def test_tables_of_trials_have_all_scores_and_the_number_of_one_start(criterion, combine):
    moe = SimpleNamespace(
        n_experts=criterion,
        n_experts_tried_=[1, 2, 3],
        n_experts_scores_=[-1.23456, -np.inf, 100.0],
        n_experts_=6,
        combine=combine,
        start_traces_=[0, 0, 0],
    )
    table = selection_table(moe)
    assert table["chosen"] == (2 if combine == "average" else 6)
    wanted = (
        "Mean log density of held-out rows"
        if criterion == "auto"
        else f"{MINUS}{criterion.upper()}"
    )
    assert table["heading"] == wanted
    assert table["rows"] == [(1, "-1.2346"), (2, NO_NUMBER), (3, "100")]
    assert selection_table(SimpleNamespace(n_experts=3)) is None


# --- controls of the panel ------------------------------------------------------------------------


@pytest.mark.parametrize("n_values", [1, 2, MAX_CHOICES, MAX_CHOICES + 1])
def test_features_of_few_values_are_choices_and_others_have_a_range(n_values):
    values = np.append(np.arange(float(n_values)) ** 2, [0.0, np.nan, np.inf])
    feature = describe_feature(values[:, None], 0, "height")
    if n_values == 1:
        assert feature is None
        return
    known = np.arange(float(n_values)) ** 2
    assert (feature.column, feature.label, feature.is_category) == (0, "height", False)
    assert feature.is_choice == (n_values <= MAX_CHOICES)
    assert_array_equal(feature.values, known if feature.is_choice else known[[0, -1]])
    grid = grid_of(feature, 5, 1.5)
    control = _controls(feature, 1.5)
    assert (control["label"], control["start"]) == ("height", 1.5)
    if feature.is_choice:
        assert_array_equal(grid, known)
        assert control["choices"] == known.tolist()
        assert "low" not in control
        assert_array_equal(_probes(values[:, None], feature), known)
        return
    assert_array_equal(grid, np.unique([*np.linspace(known[0], known[-1], 5), 1.5]))
    assert_array_equal(grid_of(feature, 5, None), np.linspace(known[0], known[-1], 5))
    assert (control["low"], control["high"]) == (known[0], known[-1])
    assert len(control["grid"]) == 42
    assert 1.5 in control["grid"]
    assert "choices" not in control
    table = np.append(known, np.nan)[:, None]
    assert_allclose(_probes(table, feature), np.quantile(known, [0.05, 0.275, 0.5, 0.725, 0.95]))


@pytest.mark.parametrize("width", [1e-7, 0.03, 1.0, 2.0, 3.9, 4.0, 4.1, 199.0, 1e3, 1e9])
def test_steps_of_sliders_are_the_smallest_round_ones_that_are_few_enough(width):
    step = _step(width)
    assert width / step <= 200.0 * (1.0 + 1e-12)
    power = 10.0 ** np.floor(np.log10(step) + 1e-9)
    assert np.isclose(step / power, [1.0, 2.0, 5.0]).any()
    smaller = step / (2.5 if np.isclose(step / power, 5.0) else 2.0)
    assert width / smaller > 200.0 * (1.0 + 1e-12)


def test_rows_of_a_panel_start_at_medians_or_at_a_row():
    table = np.array([[1.0, 10.0], [3.0, np.nan], [2.0, 30.0]])
    assert_array_equal(starting_row(table, None), [[2.0, 20.0]])
    assert_array_equal(starting_row(table, 2), [[2.0, 30.0]])
    feature = Feature(1, "age", np.array([10.0, 30.0]), True, None)
    assert value_of(starting_row(table, 0), feature) == 10.0
    assert value_of(starting_row(table, 1), feature) is None
    assert_array_equal(
        with_values(table, starting_row(table, 0), feature, [5.0, 6.0]), [[1.0, 5.0], [1.0, 6.0]]
    )


class Model(SimpleNamespace):
    """A prediction and a gate that features move by different amounts."""

    def predict(self, X):
        return X @ self.slopes

    def predict_gate(self, X):
        first = 0.5 + X @ self.gate_slopes
        return np.column_stack([first, 1.0 - first])


def test_features_that_are_offered_move_the_prediction_or_the_gate_most_and_keep_their_order():
    table = np.random.default_rng(0).uniform(size=(50, 4))
    moe = Model(
        slopes=np.array([1.0, 0.1, -10.0, 0.2]), gate_slopes=np.array([0.0, 0.02, 0.0, -0.1])
    )
    features = [describe_feature(table, j, f"x{j}") for j in range(4)]
    start = starting_row(table, None)

    def chosen(n):
        return [f.column for f in strongest_features(moe, table, start, features, n)]

    assert chosen(4) == chosen(9) == [0, 1, 2, 3]
    assert chosen(2) == [2, 3]
    assert chosen(3) == [1, 2, 3]
    still = Model(slopes=np.zeros(4), gate_slopes=np.zeros(4))
    assert [f.column for f in strongest_features(still, table, start, features, 2)] == [0, 1]


@pytest.mark.parametrize(
    ("y", "limits"),
    [
        (np.linspace(-10.0, 90.0, 101), (-9.0 - 4.9, 89.0 + 4.9)),
        (np.linspace(0.0, 100.0, 101), (0.0, 99.0 + 4.9)),
        (np.linspace(50.0, 150.0, 101), (51.0 - 4.9, 149.0 + 4.9)),
        (np.full(5, 3.0), (0.0, 6.0)),
        (np.full(5, -3.0), (-6.0, 0.0)),
        (np.zeros(5), (0.0, 1.0)),
    ],
)
def test_the_range_of_a_target_has_margins_but_no_impossible_values(y, limits):
    assert_allclose(_shown_range(None, y, 0), limits)
    both = np.column_stack([np.full(len(y), 7.0), y])
    assert_allclose(_shown_range(None, both, 1), limits)


def test_values_with_a_probability_are_those_of_all_parts():
    masses = PointMassComponents(np.ones((2, 1)), np.array([[[0.0], [5.0]], [[2.0], [5.0]]]))
    counts = PoissonComponents(np.ones((1, 1)), np.ones((1, 2, 1)))
    normal = NormalComponents(np.ones((1, 1)), np.ones((1, 2, 1)), np.ones((1, 2, 1)))
    assert_array_equal(_atoms([normal], 0, 9.0), [])
    assert_array_equal(_atoms([normal, masses], 0, 9.0), [0.0, 2.0])
    assert_array_equal(_atoms([masses], 1, 9.0), [5.0])
    assert_array_equal(_atoms([counts, masses], 1, 3.0), [0.0, 1.0, 2.0, 3.0, 5.0])
    assert len(_atoms([counts], 0, 1e9)) == MAX_COUNTS_DRAWN + 1


def test_numbers_of_slices_are_short_and_finite():
    found = _rounded(np.array([[1.0 / 3.0, np.nan], [np.inf, 2.0]]))
    assert found == [[0.3333333333, None], [None, 2.0]]
    assert _rounded(np.zeros((0,))) == []


def test_slices_are_the_answers_of_the_mixture_at_the_rows():
    moe, rows = fitted_case("outputs"), TABLE[:5]
    limits = [-3.0, 3.0]
    found = Slicer(moe, 1, 0.8, limits).along(rows)
    assert_allclose(found["gate"], moe.predict_gate(rows), rtol=1e-8)
    assert_allclose(found["experts"], moe.predict_experts(rows)[:, :, 1], rtol=1e-8)
    assert_allclose(found["mean"], moe.predict(rows)[:, 1], rtol=1e-8)
    dist = moe.predict_dist(rows)
    assert_allclose(found["interval"], dist.interval(0.8)[..., 1], rtol=1e-6)
    assert "atoms" not in found
    assert_allclose(found["curve"], np.linspace(-3.0, 3.0, 121), atol=1e-9)
    for i in (0, 60, 120):
        both = np.full((5, 2), found["curve"][i])
        assert_allclose(np.array(found["density"])[:, i], dist.pdf(both)[:, 1], rtol=1e-6)
    classes = fitted_case("linear-classifier")
    found = Slicer(classes, 0, 0.8, None).along(rows)
    assert set(found) == {"gate", "experts", "mean"}
    assert_allclose(found["experts"], classes.predict_experts(rows), rtol=1e-8)
    assert_allclose(found["mean"], classes.predict_proba(rows), rtol=1e-8)


# --- charts ---------------------------------------------------------------------------------------


def panel(**options):
    given = {
        "experts": ["calm", "wild", "calm"],
        "classes": None,
        "formulas": {"gate": {}},
        "target": "$$weight",
        "start": {},
    }
    return given | options


def test_charts_are_those_of_what_is_predicted():
    pytest.importorskip("bokeh", reason="the report needs bokeh")
    for options, names in (
        ({}, {"gate-chart", "density-chart", "along-chart"}),
        ({"formulas": None}, {"gate-chart", "along-chart"}),
        (
            {"formulas": None, "start": {"interval": []}},
            {"gate-chart", "density-chart", "along-chart"},
        ),
        ({"classes": ["no", "yes"]}, {"gate-chart", "classes-chart", "along-chart"}),
    ):
        charts = make_charts(panel(**options))
        assert set(charts.figures) == names
        assert set(charts.items()) == names
        ends = {axis.rsplit("-", 2)[0] for axis in charts.axes}
        assert ends == names
        assert len(charts.axes) == len(charts.grids) == 2 * len(names)
        assert charts.papers == [f"{name}-paper" for name in charts.figures]
        assert len(charts.inks) == len(set(charts.inks))
        glyphs = {r.glyph.name for f in charts.figures.values() for r in f.renderers}
        assert set(charts.inks) <= glyphs
    along = charts.figures["along-chart"]
    assert along.yaxis[0].axis_label == "Probability of the class"
    assert along.xaxis[0].ticker.ticks == []
    along = make_charts(panel()).figures["along-chart"]
    assert along.yaxis[0].axis_label == chart_label("$$weight") != "$$weight"
    assert along.xaxis[0].axis_label is None
    assert chart_label("a $ b") == "a $ b"


def test_bars_of_charts_have_the_names_and_colours_of_their_experts():
    pytest.importorskip("bokeh", reason="the report needs bokeh")
    figure = make_charts(panel()).figures["gate-chart"]
    bars, marks = figure.renderers
    data = bars.data_source.data
    assert [name.strip("\N{ZERO WIDTH SPACE}") for name in data["name"]] == ["calm", "wild", "calm"]
    assert len(set(data["name"])) == 3
    assert data["colour"] == [colour(k) for k in range(3)]
    assert data["now"] == data["start"] == [0.0, 0.0, 0.0]
    assert figure.y_range.factors == data["name"][::-1]
    assert (figure.x_range.start, figure.x_range.end) == (0.0, 1.0)
    assert figure.height == 40 + 30 * 3
    assert not figure.ygrid[0].visible
    assert bars.glyph.right == "now"
    assert marks.glyph.x == "start"


def test_sources_of_charts_have_their_columns_and_areas_stand_on_zero():
    pytest.importorskip("bokeh", reason="the report needs bokeh")
    charts = make_charts(panel())
    density = charts.figures["density-chart"]
    sources = {r.data_source.name: r for r in density.renderers}
    for name, columns in {
        "interval-area": {"x", "y"},
        "parts": {"xs", "ys", "colour"},
        "total": {"x", "y"},
        "total-start": {"x", "y"},
        "mean-line": {"x", "y"},
        "atoms": {"x", "height", "fill"},
        "atoms-start": {"x", "height"},
        "bounds": {"x0", "x1", "y"},
    }.items():
        data = sources[name].data_source.data
        assert set(data) == columns
        assert all(len(column) == 0 for column in data.values())
    area, stems = sources["interval-area"].glyph, sources["atoms"].glyph
    assert (area.y1, area.y2) == (0, "y")
    assert (stems.y0, stems.y1) == (0, "height")
    assert density.yaxis[0].formatter.power_limit_low == -5
    dashes = [sources[name].glyph.line_dash for name in ("total", "total-start", "mean-line")]
    assert dashes[0] == []
    assert dashes[1] != dashes[2] != []
    given = Charts().source("name", "x", given={"y": []})
    assert dict(given.data) == {"x": [], "y": []}
    assert dict(Charts().source("name", given={"y": [1.0]}).data) == {"y": [1.0]}
    assert given.name == "name"


# --- texts ----------------------------------------------------------------------------------------


def test_labels_of_diagrams_hold_no_character_that_ends_them():
    assert _label("calm", "a  b\nc") == '"calm<br/>a b c"'
    assert _label('say "no"') == '"say #34;no#34;"'
    assert _label("<b>[x]{y}|") == '"#60;b#62;#91;x#93;#123;y#125;#124;"'
    assert _label("a-b (1.5 %), c/d: e+f=g_h") == '"a-b (1.5 %), c/d: e+f=g_h"'


@pytest.mark.parametrize(
    "case", ["one expert", "two experts", "poisson-regressor", "linear-classifier"]
)
def test_diagrams_lead_from_the_features_through_the_gate_to_the_prediction(case):
    moe = fitted_case(case)
    lines = export_mermaid(moe).split("\n")
    n_experts = moe.n_experts_
    assert lines[0] == "flowchart LR"
    assert lines[1] == '    input["2 features"] --> gate{"softmax gate"}'
    for k in range(n_experts):
        line = lines[2 + k]
        assert line.startswith(
            f'    gate -->|"{format_percent(moe.weights_[k])}"| expert{k}["expert {k}'
        )
        assert ("noise" in line) == hasattr(moe, "noise_variance_")
    goal = "probabilities of the classes" if case == "linear-classifier" else "mean of y"
    assert lines[2 + n_experts] == f'    expert0 --> output(["{goal}"])'
    rest = [f"    expert{k} --> output" for k in range(1, n_experts)]
    assert lines[3 + n_experts :] == rest
    if case == "two experts":
        for k, std in enumerate(np.sqrt(moe.noise_variance_).ravel()):
            assert f"noise {std:.3g}" in lines[2 + k]
        assert "largest effects" not in lines[1]
        effects = export_mermaid(moe, X=TABLE, max_features=1).split("\n")[1]
        strongest = np.argmax(np.ptp(moe.gate_coef_, axis=0) * TABLE.std(axis=0))
        assert effects.endswith(f'largest effects: x{strongest}"}}')


def test_numbers_of_texts_are_short_and_the_largest_come_first():
    text_format = TextFormat(["a", "b", "c"], np.ones(3), "unit", 2, 3)
    assert text_format.number(1.23456) == "1.235"
    assert text_format.number(1.23456, "+") == "+1.235"
    assert text_format.number(99999.0) == "99999.000"
    assert text_format.number(1e5) == "1e+05"
    assert text_format.number(-123456.0, "+") == "-1.235e+05"
    slopes = np.array([0.5, 0.0, -2.0, 0.5])
    assert _largest(slopes, 9).tolist() == [2, 0, 3]
    assert _largest(slopes, 1).tolist() == [2]
    assert _n_omitted(slopes, text_format) == ", and 1 more"
    assert _n_omitted(slopes, text_format._replace(max_features=3)) == ""
    assert _n_omitted(np.zeros(3), text_format) == ""
    assert _range([3, 1, 2]) == "1 to 3"
    assert _range([2, 2]) == "2"


def test_texts_say_how_many_experts_there_are_and_what_their_gate_is():
    for case in ("one expert", "two experts", "constant gate"):
        moe = fitted_case(case)
        text = export_text(moe)
        n = moe.n_experts_
        first = f"MixtureOfExpertsRegressor: {n} expert{'s' * (n > 1)}, "
        assert text.startswith(first + ("constant gate" if "constant" in case else "softmax gate"))
        assert text.count("gate: log odds per unit") == (n if case == "two experts" else 0)
        same = text.count("gate: the same for all rows")
        assert same == (n if case == "constant gate" else 0)
        assert text.count("noise: standard deviation") == n
        for k in range(n):
            assert f"expert {k} (linear), {format_percent(moe.weights_[k])} of the rows" in text
    two = fitted_case("two experts")
    assert export_text(two, max_features=None) == export_text(two, max_features=2)
    assert ", and 1 more" in export_text(two, max_features=1)
    frame = pd.DataFrame(TABLE, columns=["x0", "x1"])
    assert export_text(two, X=TABLE) == export_text(two, ["x0", "x1"], X=frame.to_numpy())


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_ordinal_values_are_atoms(shift):
    values = np.array([1.0, 2.0, 4.0]) + shift
    part = OrdinalComponents(np.ones((1, 1)), values, np.full((1, 1, 3, 1), 1.0 / 3.0))
    assert_array_equal(_atoms([part], 0, 9.0), values)
