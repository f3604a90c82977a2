"""Artists of displays that are made of given numbers: each is where its number says."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cases import X as TABLE
from cases import Y, fitted_case
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe._inference.labels import format_percent
from skmoe.inspection import (
    CalibrationDisplay,
    ConvergenceDisplay,
    ExpertsDisplay,
    GateDisplay,
    ImportanceDisplay,
    NumberOfExpertsDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    RootogramDisplay,
)
from skmoe.inspection._contributions import Contributions, path_contributions
from skmoe.inspection._densities import MIN_GATE_SHOWN, RowDensity
from skmoe.inspection._expert_curves import (
    CATEGORY_WIDTH,
    JITTER_WIDTH,
    MIN_OPACITY,
    MIN_PROBABILITY_SHOWN,
    draw_band,
    draw_curves,
    draw_rows,
    draw_unit_lines,
    with_opacity,
)
from skmoe.inspection._expert_slices import ObservedRows, rows_over
from skmoe.inspection._feature_axes import FeatureAxis
from skmoe.inspection._prediction_panels import _draw_atoms, _step, draw_distribution
from skmoe.inspection._regime_panels import (
    MAX_REGIME_COLUMNS,
    MAX_ROW_OPACITY,
    MIN_RESPONSIBILITY_SHOWN,
    RegimePanel,
    draw_regime,
    regime_axes,
    set_heights,
)
from skmoe.inspection._regimes import _strongest_features
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, dash, marker, rgb
from skmoe.inspection._targets import exposure_of_rows, observed_target, one_target
from skmoe.inspection._waterfall import (
    DECREASE,
    INCREASE,
    draw_waterfall,
    short_number,
    waterfall_bars,
)

plt = pytest.importorskip("matplotlib.pyplot")
colors = pytest.importorskip("matplotlib.colors")
plt.switch_backend("agg")


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def flat_lines(ax):
    """Heights of the lines from side to side."""
    return [
        line.get_ydata()[0]
        for line in ax.lines
        if list(line.get_xdata()) == [0, 1] and line.get_transform() != ax.transData
    ]


# --- one number for each of a few things ----------------------------------------------------------


@pytest.mark.parametrize("errors", [None, [0.5, 0.25, 0.0]])
def test_numbers_of_experts_are_drawn_with_their_scores_and_the_best_score(errors):
    scores = [1.0, 1.75, 2.0]
    display = NumberOfExpertsDisplay(
        tried=[1, 2, 4], scores=scores, chosen=2, score_name="-BIC", errors=errors
    ).plot()
    assert_array_equal(display.line_.get_xydata(), np.column_stack([[1, 2, 4], scores]))
    assert_array_equal(display.mark_.get_xydata(), [[2, 1.75]])
    assert display.line_.get_color() == colour(0)
    assert display.ax_.get_ylabel() == "-BIC"
    labels = labels_of(display.legend_)
    assert "chosen: 2" in labels
    assert ("best score" in labels) == (errors is not None)
    if errors is None:
        assert display.error_bars_ is None
        return
    assert flat_lines(display.ax_) == [2.0]
    segments = display.error_bars_.lines[2][0].get_segments()
    assert_allclose([ends[:, 0] for ends in segments], np.repeat([[1], [2], [4]], 2, axis=1))
    wanted = np.array(scores)[:, None] + np.outer(errors, [-1.0, 1.0])
    assert_allclose([ends[:, 1] for ends in segments], wanted)


@pytest.mark.parametrize("converged", [None, [True, True], [False, True], [False, False]])
def test_runs_of_convergence_begin_with_the_first_iteration_and_end_in_a_mark(converged):
    bounds = np.array([-5.0, -2.0, -1.5, -1.2, -1.0])
    traces = [bounds[:3] - 0.1, bounds - 0.5]
    display = ConvergenceDisplay(
        lower_bounds=bounds, start_traces=traces, start_converged=converged
    ).plot()
    assert_array_equal(display.line_.get_xdata(), [1, 2, 3, 4, 5])
    assert_array_equal(display.line_.get_ydata(), bounds)
    assert display.line_.get_color() == colour(0)
    for line, trace in zip(display.start_lines_, traces, strict=True):
        assert_array_equal(line.get_xdata(), np.arange(1, len(trace) + 1))
        assert_array_equal(line.get_ydata(), trace)
        assert line.get_color() == LIGHT_GREY
    ends = np.array([[3, traces[0][-1]], [5, traces[1][-1]]])
    done = np.array([True, True] if converged is None else converged)
    assert_array_equal(display.start_ends_.get_xydata(), ends[done])
    assert_array_equal(display.dropped_ends_.get_xydata(), ends[~done])
    labels = labels_of(display.legend_)
    wanted = ["kept run", "starts"]
    wanted += ["converged"] * bool(done.any()) + ["dropped before"] * bool(not done.all())
    assert labels == wanted


def test_the_axis_of_convergence_is_three_times_the_range_of_late_iterations():
    bounds = np.array([-100.0, -10.0, -4.0, -2.0, -1.0])
    display = ConvergenceDisplay(lower_bounds=bounds, start_traces=[bounds]).plot()
    height = 3.0 * (-1.0 + 2.0)
    assert_allclose(display.ax_.get_ylim(), (-1.0 - 1.05 * height, -1.0 + 0.05 * height))
    gentle = np.array([-2.0, -1.5, -1.4, -1.2, -1.0])
    display = ConvergenceDisplay(lower_bounds=gentle, start_traces=[gentle]).plot()
    assert_allclose(display.ax_.get_ylim(), (-1.0 - 1.05 * 0.6, -1.0 + 0.05 * 0.6))  # 3 times 0.2
    # The end of a short run is on the axis as well.
    short = np.array([-3.0, -2.5])
    display = ConvergenceDisplay(lower_bounds=gentle, start_traces=[gentle, short]).plot()
    assert_allclose(display.ax_.get_ylim(), (-3.0 - 0.1, -1.0 + 0.1))


def test_bars_of_importance_are_means_with_deviations_one_part_above_the_other():
    rng = np.random.default_rng(0)
    parts = {name: rng.normal(size=(3, 4)) for name in ("both", "experts", "gate")}
    display = ImportanceDisplay(
        feature_names=["a" * 40, "weight", "age"], **parts, n_columns=7, feature_note="a note"
    ).plot()
    centres = {}
    for name, bars in display.bars_.items():
        assert_allclose([bar.get_width() for bar in bars], parts[name].mean(axis=1))
        centres[name] = np.array([bar.get_y() + bar.get_height() / 2 for bar in bars])
        segments = bars.errorbar.lines[2][0].get_segments()
        ends = np.array([segment[:, 0] for segment in segments])
        assert_allclose(ends.mean(axis=1), parts[name].mean(axis=1))
        assert_allclose(np.ptp(ends, axis=1), 2.0 * parts[name].std(axis=1))
    assert_allclose(centres["experts"], [0.0, 1.0, 2.0], atol=1e-12)
    assert_allclose(centres["both"] - centres["experts"], -0.27)
    assert_allclose(centres["gate"] - centres["experts"], 0.27)
    assert display.ax_.get_ylim() == (2.5, -0.5)
    upright = [line for line in display.ax_.lines if list(line.get_ydata()) == [0, 1]]
    assert [list(line.get_xdata()) for line in upright] == [[0.0, 0.0]]
    assert_allclose(display.figure_.get_size_inches()[1], 1.3 + 0.5 * 3)
    ticks = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert ticks[1:] == ["weight", "age"]
    assert len(ticks[0]) == 30
    label = display.ax_.get_xlabel().split("\n")
    assert label[1:] == ["3 of 7 features: the most important ones", "a note"]
    plain = ImportanceDisplay(feature_names=["a", "b", "c"], **parts).plot()
    assert "\n" not in plain.ax_.get_xlabel()
    assert labels_of(plain.ax_.get_legend()) == ["both", "in the experts only", "in the gate only"]


@pytest.mark.parametrize("of_units", [False, True])
def test_bars_and_boxes_of_responsibilities_are_those_of_the_table(of_units):
    rng = np.random.default_rng(0)
    resp = rng.dirichlet([0.3, 0.3, 0.3], size=200)
    resp = np.column_stack([resp, np.zeros(200)])
    display = ResponsibilitiesDisplay(responsibilities=resp, of_units=of_units).plot()
    best = resp.argmax(axis=1)
    for k in range(4):
        usage, assigned = display.usage_bars_[k], display.assigned_bars_[k]
        assert_allclose(
            (usage.get_x(), usage.get_x() + usage.get_width()), (k - 0.38, k), atol=1e-12
        )
        assert_allclose(
            (assigned.get_x(), assigned.get_x() + assigned.get_width()), (k, k + 0.38), atol=1e-12
        )
        assert_allclose(usage.get_height(), resp[:, k].mean())
        assert_allclose(assigned.get_height(), np.mean(best == k))
        assert usage.get_facecolor() == colors.to_rgba(colour(k))
        assert assigned.get_facecolor() == colors.to_rgba("white")
        assert assigned.get_edgecolor() == colors.to_rgba(colour(k))
    assert len(display.boxes_) == 3
    shares, certainties = display.ax_
    for k, box in enumerate(display.boxes_):
        vertices = box.get_path().vertices
        quartiles = np.quantile(resp[best == k, k], [0.25, 0.75])
        assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], quartiles)
        assert_allclose([vertices[:, 0].min(), vertices[:, 0].max()], [k - 0.3, k + 0.3])
        assert box.get_facecolor() == colors.to_rgba(colour(k))
        whiskers = np.concatenate(
            [
                line.get_ydata()
                for line in certainties.lines
                if len(line.get_xdata()) == 2 and set(line.get_xdata()) == {float(k)}
            ]
        )
        found = resp[best == k, k]
        low, high = np.percentile(found, [5, 95])
        assert_allclose(whiskers.min(), found[found >= low].min())
        assert_allclose(whiskers.max(), found[found <= high].max())
    assert flat_lines(certainties) == [0.25]
    assert {line.get_marker() for line in certainties.lines} <= {"", "None"}  # no single rows
    assert certainties.get_ylim()[0] == 0.0
    assert 1.0 < certainties.get_ylim()[1] < 1.1
    counted = "units" if of_units else "rows"
    assert shares.get_ylabel() == f"Share of the {counted}"
    assert certainties.get_ylabel() == f"Responsibility for assigned {counted}"


STYLES = ("hanging", "standing", "suspended")


@pytest.mark.parametrize("style", STYLES)
def test_bars_of_rootograms_are_roots_of_frequencies_within_a_band(style):
    observed, expected = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 0.25])
    display = RootogramDisplay(observed=observed, expected=expected).plot(style=style)
    low = {"hanging": np.sqrt(expected) - np.sqrt(observed)}.get(style, np.zeros(3))
    height = np.sqrt(expected) - np.sqrt(observed) if style == "suspended" else np.sqrt(observed)
    line = np.zeros(3) if style == "suspended" else np.sqrt(expected)
    for i, bar in enumerate(display.bars_):
        assert_allclose(bar.get_x() + bar.get_width() / 2, i, atol=1e-12)
        assert 0.5 < bar.get_width() < 1.0
        assert_allclose((bar.get_y(), bar.get_height()), (low[i], height[i]))
    assert_allclose(display.line_.get_xydata(), np.column_stack([[0, 1, 2], line]))
    centre = np.sqrt(expected) if style == "standing" else np.zeros(3)
    vertices = display.band_.get_paths()[0].vertices
    for i in range(3):
        ends = vertices[vertices[:, 0] == i, 1]
        assert_allclose([ends.min(), ends.max()], [centre[i] - 1.0, centre[i] + 1.0])
    assert flat_lines(display.ax_) == [0.0]


def test_rows_with_larger_counts_than_are_drawn_are_left_out():
    y = np.array([0, 1, 1, 2, 5, 5, 3])
    display = RootogramDisplay.from_predictions(y, [1.0, 2.0, 3.0])
    assert_array_equal(display.observed, [1, 2, 1])
    display = RootogramDisplay.from_predictions(y, np.ones(8))
    assert_array_equal(display.observed, [1, 2, 1, 1, 0, 2, 0, 0])


@pytest.mark.parametrize("n_bins", [2, 5, 10])
def test_histograms_of_calibration_count_rows_and_bands_hold_what_chance_does(n_bins):
    rng = np.random.default_rng(0)
    pit = rng.uniform(size=40) ** 1.5
    left = np.where(np.arange(40) % 2 == 0, pit, pit * rng.uniform(size=40))
    display = CalibrationDisplay(pit=pit, pit_left=left).plot(n_bins=n_bins)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    count = np.zeros(n_bins)
    for low, high in zip(left, pit, strict=True):
        if low == high:
            count += np.histogram([high], edges)[0]
        else:
            count += np.diff(np.clip(edges, low, high)) / (high - low)
    assert_allclose(display.density, count * n_bins / 40)
    assert_allclose(display.stairs_.get_data().values, display.density)
    for level, share in zip(display.nominal, display.coverage, strict=True):
        ends = 0.5 - level / 2, 0.5 + level / 2
        inside = [
            float(ends[0] <= high <= ends[1])
            if low == high
            else np.ptp(np.clip(ends, low, high)) / (high - low)
            for low, high in zip(left, pit, strict=True)
        ]
        assert_allclose(share, np.mean(inside), atol=1e-12)
    assert_allclose(display.nominal, 0.05 * np.arange(1, 20))
    band = display.bands_[1].get_paths()[0].vertices
    for level in display.nominal:
        ends = band[np.isclose(band[:, 0], level), 1] * 40
        low, high = stats.binom.ppf([0.025, 0.975], 40, level)
        assert_allclose([ends.min(), ends.max()], [low, high])
    extents = display.bands_[0].get_extents().transformed(display.ax_[0].transData.inverted())
    wanted = stats.binom.ppf([0.025, 0.975], 40, 1 / n_bins) * n_bins / 40
    assert_allclose([extents.y0, extents.y1], wanted)
    left_axes, right_axes = display.ax_
    assert left_axes.get_xlim() == right_axes.get_xlim() == right_axes.get_ylim() == (0.0, 1.0)
    assert left_axes.get_ylim()[0] == 0.0
    assert flat_lines(left_axes) == [1.0]
    diagonal = [line for line in right_axes.lines if line is not display.line_]
    assert_array_equal(diagonal[0].get_xydata(), [[0, 0], [1, 1]])
    assert_allclose(
        display.line_.get_xydata(), np.column_stack([display.nominal, display.coverage])
    )
    assert display.line_.get_color() == colour(0)
    assert display.stairs_.get_edgecolor() == colors.to_rgba(colour(0))
    assert "95 % range\nif calibrated" in labels_of(right_axes.get_legend())


# --- curves of experts ----------------------------------------------------------------------------

GRID = np.linspace(-1.0, 2.0, 40)
CURVES = np.column_stack([GRID, 1.0 - GRID**2, 100.0 + GRID])
GATE = np.column_stack([0.6 + 0.1 * GRID, 0.36 - 0.1 * GRID, np.full(40, 0.04)])


@pytest.mark.parametrize("is_category", [False, True])
def test_curves_of_experts_are_as_opaque_as_the_gate_and_their_axis_holds_the_probable(is_category):
    _, ax = plt.subplots()
    ax.set_ylim(0.9, 1.1)
    grid = np.arange(40.0) if is_category else GRID
    lines = draw_curves(ax, grid, CURVES, GATE, is_category=is_category, kwargs=None)
    marks = [c for c in ax.collections if c not in lines]
    for k, (collection, scatter) in enumerate(zip(lines, marks, strict=True)):
        segments = np.array(collection.get_segments())
        points = np.column_stack([grid, CURVES[:, k]])
        if is_category:
            half = [CATEGORY_WIDTH, 0.0]
            assert_allclose(segments, np.stack([points - half, points + half], axis=1))
            between = GATE[:, k]
        else:
            assert_allclose(segments, np.stack([points[:-1], points[1:]], axis=1))
            between = (GATE[1:, k] + GATE[:-1, k]) / 2
        assert_allclose(collection.get_colors(), with_opacity(k, between))
        drawn = scatter.get_offsets()
        if k == 2:  # nowhere probable enough
            assert len(drawn) == 0
            continue
        assert len(drawn) == (40 if is_category else 7)
        index = [int(np.flatnonzero(np.isclose(grid, x))[0]) for x in drawn[:, 0]]
        assert_allclose(drawn[:, 1], CURVES[index, k])
        assert_allclose(scatter.get_facecolors(), with_opacity(k, GATE[index, k]))
        edges = scatter.get_edgecolors()
        assert_array_equal(edges[:, :3], 1.0)
        assert_allclose(edges[:, 3], scatter.get_facecolors()[:, 3])
    shown = CURVES[:, :2]
    margin = 0.05 * np.ptp(shown)
    assert_allclose(ax.get_ylim(), (shown.min() - margin, shown.max() + margin))
    ax.set_ylim(-50.0, 50.0)
    draw_curves(ax, grid, CURVES, GATE, is_category=is_category, kwargs=None)
    assert ax.get_ylim() == (-50.0, 50.0)
    [own, *_] = draw_curves(ax, grid, CURVES, GATE, is_category=is_category, kwargs={"colors": "k"})
    assert_array_equal(own.get_colors(), [[0.0, 0.0, 0.0, 1.0]])


def test_opacity_is_least_without_probability_and_full_with_certainty():
    for k in (0, 3):
        found = with_opacity(k, np.array([0.0, 0.5, 1.0]))
        assert_allclose(found[:, :3], np.tile(rgb(k), (3, 1)))
        assert_allclose(found[:, 3], [MIN_OPACITY, (1.0 + MIN_OPACITY) / 2, 1.0])
    _, ax = plt.subplots()
    gate = np.column_stack([np.full(40, MIN_PROBABILITY_SHOWN), np.full(40, 0.95)])
    draw_curves(ax, GRID, CURVES[:, 1:], gate, is_category=False, kwargs=None)
    assert ax.get_ylim()[1] > 100.0  # a probability at the bound is shown
    assert [len(c.get_offsets()) for c in ax.collections[1::2]] == [7, 7]


def test_bands_over_categories_are_boxes():
    band = np.array([[0.0, 1.0], [2.0, 4.0]])
    _, ax = plt.subplots()
    boxes = draw_band(ax, np.array([0.0, 1.0]), band, is_category=True, kwargs={})
    assert len(boxes.get_paths()) == 2
    for i, path in enumerate(boxes.get_paths()):
        ends = path.get_extents()
        assert_allclose((ends.x0, ends.x1), (i - CATEGORY_WIDTH, i + CATEGORY_WIDTH))
        assert_allclose((ends.y0, ends.y1), band[i])
    whole = draw_band(ax, np.array([0.0, 1.0]), band, is_category=False, kwargs={"color": "red"})
    ends = whole.get_paths()[0].get_extents()
    assert_allclose((ends.x0, ends.x1, ends.y0, ends.y1), (0.0, 1.0, 0.0, 4.0))


def test_rows_stay_near_their_category_and_units_are_lines_in_the_order_of_the_feature():
    x, y = np.repeat([0.0, 1.0], 50), np.arange(100.0)
    experts = np.arange(100) % 3
    _, ax = plt.subplots()
    spread = draw_rows(ax, x, y, experts, {}, is_category=True).get_offsets()
    assert_array_equal(spread[:, 1], y)
    shift = spread[:, 0] - x
    assert np.abs(shift).max() <= JITTER_WIDTH
    assert shift.min() < -0.8 * JITTER_WIDTH < 0.8 * JITTER_WIDTH < shift.max()
    scatter = draw_rows(ax, x, y, experts, {}, is_category=False)
    assert_array_equal(scatter.get_offsets(), np.column_stack([x, y]))
    assert_allclose(scatter.get_facecolors()[:, :3], [rgb(k) for k in experts])
    x = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    lines = draw_unit_lines(ax, x, -x, np.array([1, 0, 1, 0, 1]), ["b", "a", "b", "a", "b"])
    first, second = lines.get_segments()
    assert_array_equal(first, [[2.0, -2.0], [3.0, -3.0], [4.0, -4.0]])
    assert_array_equal(second, [[1.0, -1.0], [5.0, -5.0]])
    assert_allclose(lines.get_colors()[:, :3], [rgb(1), rgb(0)])


def experts_display(**options):
    given = {
        "feature_name": "height",
        "target_name": "weight",
        "grid": GRID,
        "curves": CURVES[:, :2],
        "gate": np.column_stack([GATE[:, 0], 1.0 - GATE[:, 0]]),
        "mean": CURVES[:, :2].mean(axis=1),
        "x": np.array([0.0, 1.0, 0.5]),
        "y": np.array([1.0, 0.0, 1.0]),
        "assigned_expert": np.array([0, 1, 0]),
        "band": None,
        "coverage": None,
    }
    return ExpertsDisplay(**given | options)


@pytest.mark.parametrize("coverage", [None, 0.8])
@pytest.mark.parametrize("has_band", [False, True])
def test_bands_of_experts_are_drawn_if_they_and_their_coverage_are_known(coverage, has_band):
    band = np.column_stack([GRID - 1.0, GRID + 1.0]) if has_band else None
    display = experts_display(band=band, coverage=coverage).plot()
    drawn = has_band and coverage is not None
    assert (display.band_ is not None) == drawn
    assert ("80 % interval" in labels_of(display.legend_)) == drawn
    assert display.unit_lines_ is None
    assert_array_equal(display.line_.get_xydata(), np.column_stack([GRID, display.mean]))
    assert display.line_.get_linestyle() == "--"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("height", "weight")
    assert_array_equal(display.scatter_.get_offsets(), np.column_stack([display.x, display.y]))
    assert labels_of(display.legend_)[:2] == display.expert_names == ["expert 0", "expert 1"]
    assert labels_of(display.legend_)[-1] == "rows, by expert"


@pytest.mark.parametrize("is_probability", [False, True])
@pytest.mark.parametrize("units", [None, np.array([4, 4, 7])])
def test_rows_of_classes_are_marks_above_and_below_and_units_are_lines(is_probability, units):
    display = experts_display(is_probability=is_probability, units=units).plot()
    heights = display.scatter_.get_offsets()[:, 1]
    assert_allclose(heights, [1.05, -0.05, 1.05] if is_probability else [1.0, 0.0, 1.0])
    assert (display.unit_lines_ is None) == (units is None or is_probability)
    label = "rows, by expert" if units is None else "rows, by the\nexpert of the unit"
    label += "\n(of the class: top)" * is_probability
    assert labels_of(display.legend_)[-1] == label
    handle = display.legend_.legend_handles[-1]
    assert handle.get_marker() == ("|" if is_probability else "o")
    assert handle.get_linestyle() == ("-" if display.unit_lines_ is not None else "None")
    if is_probability:
        assert display.ax_.get_ylim() == (-0.1, 1.1)
    sizes = {tuple(display.scatter_.get_sizes())}
    plain = experts_display().plot()
    if is_probability:
        assert sizes == {(40,)}
    else:
        assert (sizes == {tuple(plain.scatter_.get_sizes())}) == (units is None)


def test_experts_over_categories_have_a_dash_for_the_mixture():
    display = experts_display(
        grid=np.arange(2.0),
        curves=CURVES[:2, :2],
        gate=np.full((2, 2), 0.5),
        mean=np.array([0.5, 0.25]),
        categories=["a\n50 %", "b\n50 %"],
    ).plot()
    assert display.line_.get_linestyle() == "None"
    assert display.line_.get_marker() == "_"
    assert_array_equal(display.line_.get_xydata(), [[0.0, 0.5], [1.0, 0.25]])
    assert_allclose(display.ax_.get_xlim(), (-0.6, 1.6))
    shift = display.scatter_.get_offsets()[:, 0] - display.x
    assert (shift != 0.0).all()


# --- the gate -------------------------------------------------------------------------------------


def test_lines_of_the_gate_have_the_style_of_their_expert_and_deciles_lie_on_the_axis():
    gate = np.column_stack([GATE[:, 0], 1.0 - GATE[:, 0]])
    deciles = [np.linspace(-0.9, 1.8, 9)]
    display = GateDisplay(
        feature_names=["height"], values=[GRID], gate=gate, deciles=deciles, expert_names=["a", "b"]
    ).plot()
    for k, line in enumerate(display.lines_):
        assert_array_equal(line.get_xydata(), np.column_stack([GRID, gate[:, k]]))
        style = line.get_color(), line.get_linestyle(), line.get_marker()
        assert style == (colour(k), dash(k), marker(k))
        assert len(line.get_markevery()) == 7
    assert display.ax_.get_xlim() == (-1.0, 2.0)
    assert_allclose(display.ax_.get_ylim(), (-0.03, 1.03))
    assert labels_of(display.legend_) == ["a", "b", "deciles of the rows"]
    marks = [line for line in display.ax_.lines if line not in display.lines_]
    assert [mark.get_marker() for mark in marks] == ["|"]
    assert_allclose(marks[0].get_xdata(), deciles[0])
    assert_allclose(marks[0].get_ydata(), 0.02)
    plain = GateDisplay(
        feature_names=["word"],
        values=[np.arange(2.0)],
        gate=gate[:2],
        categories=["x\n50 %", "y\n50 %"],
    ).plot()
    assert labels_of(plain.legend_) == ["expert 0", "expert 1"]
    assert {line.get_linestyle() for line in plain.lines_} == {"None"}
    assert_allclose(plain.ax_.get_xlim(), (-0.6, 1.6))


@pytest.mark.parametrize("n_shown", [1, 2])
def test_regions_of_the_gate_are_named_in_their_middle(n_shown):
    horizontal, vertical = np.linspace(0.0, 4.0, 9), np.linspace(10.0, 16.0, 7)
    first = np.tile(np.where(horizontal < 1.6, 0.2, 0.7), (7, 1))
    first = first if n_shown == 2 else np.full((7, 9), 0.7)
    gate = np.stack([np.zeros((7, 9)), first, 1.0 - first], axis=-1)
    display = GateDisplay(
        feature_names=["height", "age"],
        values=[horizontal, vertical],
        gate=gate,
        deciles=[np.array([1.0]), np.array([12.0])],
        feature_note="a note",
    ).plot()
    assert display.image_.get_extent() == [0.0, 4.0, 10.0, 16.0]
    assert display.image_.origin == "lower"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("height\n(a note)", "age")
    names = ["1", "2"][:n_shown]
    assert [label.get_text() for label in display.labels_] == names
    for label in display.labels_:
        x, y = label.get_position()
        at = gate[np.argmin(np.abs(vertical - y)), np.argmin(np.abs(horizontal - x))]
        assert at.max() == at[int(label.get_text())]
        assert vertical[0] < y < vertical[-1]
    legend = labels_of(display.legend_)
    assert legend == [f"expert {name}" for name in names] + ["deciles of the rows"]
    patches = display.legend_.get_patches()
    assert [p.get_facecolor() for p in patches] == [colors.to_rgba(colour(int(n))) for n in names]
    marks = [line.get_marker() for line in display.ax_.lines]
    assert sorted(marks) == ["_", "|"]


# --- regimes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_gate", [False, True])
@pytest.mark.parametrize("n_experts", [1, 2, 3, 4, 5, 6, 9])
def test_panels_of_regimes_have_rows_of_about_the_same_length(n_experts, with_gate):
    above, below = regime_axes(None, "caller", n_experts, with_gate=with_gate)
    assert (above is not None) == with_gate
    assert len(below) == n_experts
    n_rows = int(np.ceil(n_experts / MAX_REGIME_COLUMNS))
    n_columns = int(np.ceil(n_experts / n_rows))
    places = [
        (ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in below
    ]
    assert places == [(i // n_columns + with_gate, i % n_columns) for i in range(n_experts)]
    width, height = below[0].figure.get_size_inches()
    assert_allclose(width, 2.9 * max(n_columns, 2))
    assert_allclose(height, 2.0 * with_gate + 2.5 * n_rows)
    if with_gate:
        spec = above.get_subplotspec()
        assert (spec.rowspan.start, spec.colspan.start, spec.colspan.stop) == (0, 0, n_columns)
    _, ax = plt.subplots()
    regime_axes(ax, "caller", n_experts, with_gate=with_gate)
    assert not ax.axison
    assert len(ax.figure.axes) == 1 + n_experts + with_gate
    set_heights(below, "height", (1.0, 2.0))
    for ax, (_, column) in zip(below, places, strict=True):
        assert ax.get_ylim() == (1.0, 2.0)
        assert ax.get_ylabel() == ("height" if column == 0 else "")


def regime_panel(k, categories=None):
    rng = np.random.default_rng(0)
    resp = rng.dirichlet([0.5, 0.5], size=60)
    resp[0] = [1.0 - MIN_RESPONSIBILITY_SHOWN, MIN_RESPONSIBILITY_SHOWN]
    x = rng.integers(0, 2, 60).astype(float) if categories else rng.uniform(-1.0, 2.0, 60)
    grid = np.arange(2.0) if categories else GRID
    curve = CURVES[: len(grid), k]
    y = rng.integers(0, 2, 60).astype(float)
    return RegimePanel(k, "calm\n30 %", "height", categories, grid, curve, x, y, resp)


@pytest.mark.parametrize("is_probability", [False, True])
@pytest.mark.parametrize("k", [0, 1])
def test_regimes_are_drawn_over_their_own_rows_as_opaque_as_their_responsibilities(
    k, is_probability
):
    panel = regime_panel(k)
    _, ax = plt.subplots()
    line, scatter = draw_regime(ax, panel, is_probability, None)
    own = panel.x[panel.resp.argmax(axis=1) == k]
    inside = np.isin(
        GRID, GRID[np.searchsorted(GRID, own.min()) : np.searchsorted(GRID, own.max())]
    )
    assert 0 < inside.sum() < 40
    assert_array_equal(np.isfinite(line.get_ydata()), inside)
    assert_allclose(line.get_ydata()[inside], panel.curve[inside])
    [whole] = [other for other in ax.lines if other is not line]
    assert_array_equal(whole.get_ydata(), panel.curve)
    assert whole.get_alpha() < 1.0
    assert {line.get_color(), whole.get_color()} == {colour(k)}
    assert line.get_marker() == marker(k)
    shown = panel.resp[:, k] >= MIN_RESPONSIBILITY_SHOWN
    offsets = scatter.get_offsets()
    assert_allclose(offsets[:, 0], panel.x[shown])
    height = np.where(panel.y > 0, 1.05, -0.05) if is_probability else panel.y
    assert_allclose(offsets[:, 1], height[shown])
    fill = scatter.get_facecolors() if not is_probability else scatter.get_edgecolors()
    assert_allclose(fill[:, :3], np.tile(rgb(k), (len(offsets), 1)))
    assert_allclose(fill[:, 3], MAX_ROW_OPACITY * panel.resp[shown, k])
    assert ax.get_xlim() == (-1.0, 2.0)
    assert ax.get_xlabel() == "height"
    assert labels_of(ax.get_legend()) == ["calm\n30 %"]
    _, ax = plt.subplots()
    none = panel._replace(resp=np.tile(np.eye(2)[1 - k], (60, 1)))
    line, scatter = draw_regime(ax, none, is_probability, None)
    assert len(scatter.get_offsets()) == 0
    assert_array_equal(line.get_ydata(), panel.curve)  # without rows of its own it is drawn whole


def test_regimes_over_categories_are_dashes_with_rows_beside_them():
    panel = regime_panel(1, ["a\n50 %", "b\n50 %"])
    _, ax = plt.subplots()
    line, scatter = draw_regime(ax, panel, False, None)
    assert line.get_linestyle() == "None"
    assert_array_equal(line.get_xydata(), np.column_stack([panel.grid, panel.curve]))
    dashes = next(c for c in ax.collections if c is not scatter).get_segments()
    for i, segment in enumerate(dashes):
        assert_allclose(segment[:, 0], [i - CATEGORY_WIDTH, i + CATEGORY_WIDTH])
        assert_allclose(segment[:, 1], panel.curve[i])
    shown = panel.resp[:, 1] >= MIN_RESPONSIBILITY_SHOWN
    shift = scatter.get_offsets()[:, 0] - panel.x[shown]
    assert (shift != 0.0).all()
    assert shift.min() < 0.0 < shift.max()
    assert np.abs(shift).max() <= JITTER_WIDTH
    _, ax = plt.subplots()
    _, own = draw_regime(ax, panel, False, {"color": "black", "s": 3})
    assert_array_equal(own.get_facecolors()[0], [0.0, 0.0, 0.0, 1.0])
    assert_array_equal(own.get_sizes(), [3])


def regimes_display(resp, y, **options):
    k = resp.shape[1]
    given = {
        "gate": None,
        "expert_names": [f"expert {i}" for i in range(k)],
        "shares": resp.mean(axis=0),
        "feature_names": ["height"] * k,
        "grids": [GRID] * k,
        "curves": [np.array([7.0, 9.0])] * k,
        "x": [np.zeros(len(resp))] * k,
        "y": y,
        "responsibilities": resp,
        "target_name": "weight",
        "order": list(range(k)),
    }
    return RegimesDisplay(**given | options)


def test_heights_of_regimes_are_those_of_the_rows_that_belong_to_them():
    resp = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    y = [np.array([1.0, 50.0, 99.0]), np.array([-99.0, -50.0, 3.0])]
    assert_allclose(regimes_display(resp, y)._heights(), (1.0 - 0.1, 3.0 + 0.1))
    assert regimes_display(resp, y, is_probability=True)._heights() == (-0.1, 1.1)
    even = np.full((3, 2), 0.5)
    assert_allclose(regimes_display(even, y)._heights(), (7.0 - 0.1, 9.0 + 0.1))
    same = [np.full(3, 2.0), np.full(3, 2.0)]
    assert_allclose(regimes_display(resp, same)._heights(), (1.0, 3.0))


def test_each_expert_is_drawn_over_the_feature_that_moves_it_most(monkeypatch):
    effects = np.array([[1.0, 0.0, 0.2], [3.0, 0.0, 0.1], [2.0, 0.0, 0.3]])
    moe = SimpleNamespace(n_experts_=3)
    monkeypatch.setattr("skmoe.inspection._regimes.expert_effects", lambda *_: effects)
    assert _strongest_features(moe, None, 0, 2) == [1, 2, 2]
    monkeypatch.setattr("skmoe.inspection._regimes.expert_effects", lambda *_: effects[:, 1:2])
    assert _strongest_features(moe, None, 0, 1) == [1, 1, 1]


# --- rows and targets -----------------------------------------------------------------------------


def test_shares_of_regimes_count_each_row_or_each_unit_once():
    resp = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.2, 0.8]])
    given = (None, 0, "y", np.zeros(4), resp)
    rows = ObservedRows(*given, None, None)
    assert_allclose(rows.shares, [0.8, 0.2])
    assert_array_equal(rows.assigned_expert, [0, 0, 0, 1])
    units = np.array(["b", "b", "b", "a"])
    of_units = ObservedRows(*given, units, np.array(["b", "a"]))
    assert_allclose(of_units.shares, [0.6, 0.4])
    axis = FeatureAxis("height", 0, GRID, np.array([0.0, np.nan, 1.0, 2.0]))
    assert_array_equal(rows_over(axis, rows, (None, 1, 0)), [0, 2, 3])
    assert len(rows_over(axis, rows, (2, None, 0))) == 2
    assert_array_equal(rows_over(axis, of_units, (2, None, 0)), [0, 2, 3])
    many = ObservedRows(None, 0, "y", np.zeros(6), np.ones((6, 1)), np.arange(6) // 2, np.arange(3))
    axis = axis._replace(observed=np.arange(6.0))
    shown = rows_over(axis, many, (None, 2, 0))
    assert len(shown) == 4
    assert len(set(shown // 2)) == 2


def test_one_target_is_taken_where_there_are_several():
    values = np.arange(12.0).reshape(2, 3, 2)
    assert_array_equal(one_target(values, 1, 2), values[:, :, 1])
    assert_array_equal(one_target(values[0], 1, 1), values[0][:, 1])
    assert_array_equal(one_target(values[0], 1, 2), values[0])
    assert_array_equal(one_target([1.0, 2.0], 0, 1), [1.0, 2.0])
    assert exposure_of_rows(None, 0) == 1.0
    assert_allclose(exposure_of_rows(np.log([2.0, 3.0]), 0), [2.0, 3.0])
    assert_allclose(exposure_of_rows(np.log([[2.0, 3.0]]), 1), [3.0])
    classes = fitted_case("linear-classifier")
    assert_array_equal(observed_target(classes, [[0], [1], [1]], 1), [0.0, 1.0, 1.0])
    assert_array_equal(observed_target(classes, pd.Series([0, 1, 1]), 0), [1.0, 0.0, 0.0])


# --- predictions ----------------------------------------------------------------------------------


def test_contributions_are_integrals_on_the_path_from_the_mean_row():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 3))
    weights, slopes = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))

    def gate(rows):
        odds = np.exp(rows @ weights)
        return odds / odds.sum(axis=1, keepdims=True)

    def experts(rows):
        return rows @ slopes + 0.3 * np.sin(rows @ slopes)

    through_gate, through_experts = path_contributions(table, 4, gate, experts, 400)
    start, end = table.mean(axis=0), table[4]
    points = start + ((np.arange(2000) + 0.5) / 2000)[:, None] * (end - start)
    for j in range(3):
        step = 1e-5 * np.eye(3)[j]
        of_gate = (gate(points + step) - gate(points - step)) / 2e-5
        of_experts = (experts(points + step) - experts(points - step)) / 2e-5
        width = end[j] - start[j]
        wanted = width * np.mean((of_gate * experts(points)).sum(axis=1))
        assert_allclose(through_gate[j], wanted, rtol=1e-3, atol=1e-5)
        wanted = width * np.mean((of_experts * gate(points)).sum(axis=1))
        assert_allclose(through_experts[j], wanted, rtol=1e-3, atol=1e-5)
    # Whatever the number of steps, they add up to the change.
    for n_steps in (1, 2, 7):
        parts = path_contributions(table, 4, gate, experts, n_steps)
        ends = np.array([start, end])
        change = np.diff((gate(ends) * experts(ends)).sum(axis=1))
        assert_allclose(np.sum(parts), change[0], rtol=1e-10)
    given = Contributions(1.0, np.array([0.5, 0.25]), np.array([1.0, -0.5]), 2.5)
    assert given.remainder == 0.25


def test_bars_of_a_waterfall_are_the_largest_and_the_rest_together():
    gate = np.array([0.1, 0.0, -2.0, 0.3, 0.0])
    experts = np.array([0.2, 0.0, 1.0, -0.5, 0.05])
    total = 1.0 + gate.sum() + experts.sum()
    given = Contributions(1.0, gate, experts, total)
    labels = list("abcde")
    assert [bar.label for bar in waterfall_bars(given, labels, 4)] == ["c", "d", "a", "e"]
    assert [bar.label for bar in waterfall_bars(given, labels, 9)] == ["c", "d", "a", "e"]
    bars = waterfall_bars(given, labels, 3)
    assert [bar.label for bar in bars] == ["c", "d", "2 other features"]
    assert_allclose(bars[2][1:], [0.25, 0.1])
    bars = waterfall_bars(given, labels, 1)
    assert [bar.label for bar in bars] == ["4 other features"]
    four = Contributions(1.0, gate[:4], experts[:4], 1.0 + gate[:4].sum() + experts[:4].sum())
    assert waterfall_bars(four, labels, 2)[-1].label == "2 other features"
    for shift, has_remainder in ((0.0, False), (1e-10, False), (1e-7, True), (-1e-7, True)):
        bars = waterfall_bars(given._replace(prediction=total + shift), labels, 9)
        assert (bars[-1].label == "remainder") == has_remainder
        if has_remainder:
            assert_allclose(bars[-1][1:], [shift, 0.0], rtol=1e-4)
    # What is round-off depends on the largest of all numbers.
    large = Contributions(1e6, gate, experts, 1e6 + gate.sum() + experts.sum() + 1e-5)
    assert waterfall_bars(large, labels, 9)[-1].label == "e"


def test_bars_of_a_waterfall_follow_each_other():
    given = Contributions(1.0, np.array([0.5, -2.0]), np.array([-0.25, 1.0]), 0.25)
    bars = waterfall_bars(given, ["a", "b"], 9)
    _, ax = plt.subplots()
    drawn = draw_waterfall(ax, given, bars, "weight")
    position = 1.0
    for i, (bar, (upper, lower)) in enumerate(zip(bars, drawn, strict=True), start=1):
        for part, change, side in ((upper, bar.experts, -1), (lower, bar.gate, 1)):
            left, right = part.get_x(), part.get_x() + part.get_width()
            assert_allclose([left, right], [position, position + change])
            assert_allclose(part.get_y() + part.get_height() / 2, i + side * 0.18)
            assert part.get_edgecolor() == colors.to_rgba(INCREASE if change > 0 else DECREASE)
            assert (part.get_hatch() or "") == ("////" if side == 1 else "")
            is_white = part.get_facecolor() == colors.to_rgba("white")
            assert is_white == (side == 1)
            position += change
    assert_allclose(position, 0.25)
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["-1", "+0.25"]
    ends = [max(1.0, 2.0, 0.0), max(0.0, -0.25, 0.25)]
    assert_allclose([text.xy for text in ax.texts], np.column_stack([ends, [1, 2]]))
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["mean row: 1", "b", "a", "this row: 0.25"]
    assert_array_equal(ax.get_yticks(), range(4))
    assert ax.get_ylim() == (3.5, -0.5)
    margin = 0.18 * 2.25
    assert_allclose(ax.get_xlim(), (-0.25 - margin / 3, 2.0 + margin))
    assert ax.get_xlabel() == "weight"
    upright = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert_allclose([line.get_xdata()[0] for line in upright], [1.0, 0.0, 0.25])
    assert_allclose([line.get_ydata() for line in upright], [[0, 1], [1, 2], [2, 3]])
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert_allclose([line.get_xydata()[0] for line in diamonds], [[1.0, 0], [0.25, 3]])
    assert labels_of(ax.get_legend()) == ["through the experts", "through the gate"]
    none = Contributions(1.0, np.zeros(2), np.array([0.5, 0.0]), 1.5)
    _, ax = plt.subplots()
    draw_waterfall(ax, none, waterfall_bars(none, ["a", "b"], 9), "weight")
    assert labels_of(ax.get_legend()) == ["through the experts"]
    flat = Contributions(1.0, np.zeros(2), np.zeros(2), 1.0)
    _, ax = plt.subplots()
    draw_waterfall(ax, flat, waterfall_bars(flat, ["a", "b"], 9), "weight")
    assert_allclose(ax.get_xlim(), (1.0 - 1.0 / 3, 2.0))
    for value, text in ((999.4, "999"), (1e3, "1000"), (999999.0, "999999"), (1e6, "1e+06")):
        assert short_number(value) == text
        assert short_number(-value, "+") == f"-{text}"


def test_atoms_of_a_density_stand_beside_it_and_say_their_probability():
    gate = np.array([0.6, 0.4 - MIN_GATE_SHOWN / 2, MIN_GATE_SHOWN / 2])
    grid = np.linspace(1.0, 5.0, 30)
    density = np.full((30, 3), 0.1) * gate
    values, probability = np.array([0.0, 2.0]), np.array([[0.5, 0.2, 0.0], [0.1, 0.1, 0.0]])
    given = RowDensity(gate, grid, density, values, probability)
    _, ax = plt.subplots()
    marks = {"prediction": 2.0, "observed": 3.5}
    artists = draw_distribution(ax, given, ["a", "b", "c"], None, None, marks)
    assert [artist is None for artist in artists] == [False, False, True]
    low, high = ax.get_xlim()
    assert low < 0.0
    assert high == 5.0
    texts = [text.get_text() for text in ax.texts]
    assert texts == [f"{format_percent(0.7)} at 0", f"{format_percent(0.2)} at 2"]
    assert_allclose([text.xy for text in ax.texts], [[0.0, 0.7], [2.0, 0.2]])
    bars = [bar for container in ax.containers for bar in container]
    assert len(bars) == 4
    for bar, value in zip(bars, [0.0, 2.0] * 2, strict=True):
        assert_allclose(bar.get_x() + bar.get_width() / 2, value, atol=1e-12)
        assert low < bar.get_x()
    assert_allclose([bar.get_height() for bar in bars], [0.5, 0.1, 0.2, 0.1])
    assert_allclose([bar.get_y() for bar in bars], [0.0, 0.0, 0.5, 0.1])
    upright = {
        line.get_label(): line
        for line in ax.lines
        if "tion:" in line.get_label() or "observed" in line.get_label()
    }
    assert set(upright) == {"prediction: 2", "observed: 3.5"}
    assert upright["prediction: 2"].get_linestyle() == ":"
    assert upright["observed: 3.5"].get_linestyle() == "--"
    assert_array_equal(upright["observed: 3.5"].get_xdata(), [3.5, 3.5])
    certain = given._replace(probability=np.array([[0.95, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    _, ax = plt.subplots()
    ax.set_xlim(-10.0, 10.0)
    _draw_atoms(ax, certain, np.array([0, 1]))
    assert ax.texts[0].xy == (0.0, 0.9)  # the text stays inside
    assert ax.get_xlim() == (-10.0, 10.0)
    assert_allclose(ax.containers[0][0].get_width(), 0.02 * 20.0)
    assert _step(np.array([3.0])) == 1.0
    assert _step(np.array([1.0, 3.0, 3.5])) == 0.5


def prediction_display(**options):
    gate = np.array([0.75, 0.25])
    grid = np.linspace(0.0, 4.0, 20)
    given = {
        "gate": gate,
        "values": np.empty(0),
        "probability": np.empty((0, 2)),
        "grid": grid,
        "density": np.column_stack([grid, 4.0 - grid]) / 8.0 * gate,
        "prediction": 2.0,
        "expert_names": ["calm", "wild"],
        "target_name": "weight",
    }
    return PredictionDisplay(**given | options)


def test_predictions_have_a_waterfall_if_all_of_its_numbers_are_known():
    parts = {
        "base_value": 1.0,
        "gate_contributions": np.array([0.5, 0.0]),
        "expert_contributions": np.array([0.25, 0.25]),
    }
    display = prediction_display(**parts).plot(note="a note")
    assert len(display.ax_) == 2
    assert len(display.bars_) == 2
    assert display.ax_[1].get_xlabel() == "weight\n(a note)"
    assert display.ax_[0].get_xlabel() == "weight"
    labels = [text.get_text() for text in display.ax_[1].get_yticklabels()]
    assert labels == ["mean row: 1", "x0", "x1", "this row: 2"]
    assert prediction_display(**parts).plot().ax_[1].get_xlabel() == "weight"
    assert_allclose(display.figure_.get_size_inches()[1], 3.6)
    many = {name: np.ones(20) for name in ("gate_contributions", "expert_contributions")}
    tall = prediction_display(**parts | many).plot(max_features=12)
    assert_allclose(tall.figure_.get_size_inches()[1], 0.36 * (13 + 2) + 1.3)
    assert len(tall.bars_) == 13
    for missing in parts:
        display = prediction_display(**parts | {missing: None}).plot()
        assert len(display.ax_) == 1
        assert display.bars_ == []


@pytest.mark.parametrize("observed", [None, 1])
def test_predictions_of_classes_name_the_observed_one(observed):
    display = prediction_display(
        classes=["no", "yes"],
        probability=np.array([[0.5, 0.05], [0.25, 0.2]]),
        observed=observed,
        grid=np.empty(0),
        density=np.empty((0, 2)),
    ).plot()
    labels = [text.get_text() for text in display.ax_[0].get_yticklabels()]
    assert labels == ["no", "yes" + "\n(observed)" * (observed is not None)]


def test_everything_of_a_prediction_that_belongs_to_no_expert_is_grey_or_black():
    display = prediction_display(interval=np.array([1.0, 3.0]), coverage=0.9).plot()
    own = {colors.to_hex(colour(k)) for k in range(2)}
    for line in display.ax_[0].lines:
        belongs = line in list(display.experts_)
        assert (colors.to_hex(line.get_color()) in own) == belongs
    assert DARK_GREY not in own
    moe = fitted_case("linear-regressor")
    shown = PredictionDisplay.from_estimator(moe, TABLE, Y, row=len(Y) - 1, explain=False)
    assert shown.observed == Y[-1]
    assert_allclose(shown.prediction, moe.predict(TABLE[-1:])[0])
