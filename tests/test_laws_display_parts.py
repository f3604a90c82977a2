"""Parts of pictures that several displays share: axes, names, numbers, tables and forests."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmoe.inspection._feature_axes import (
    MAX_DRAWN_CATEGORIES,
    MAX_LEVEL_CHARACTERS,
    feature_axis,
    label_categories,
    label_feature,
    label_outer,
)
from skmoe.inspection._forest import (
    MAX_LOG_RATIO,
    N_TICKS,
    ForestPanel,
    axis_limits,
    draw_forest,
    ticks_of_ratios,
)
from skmoe.inspection._grid import (
    at_reference_values,
    categories_of,
    column_stds,
    is_numeric,
    make_grid,
    numeric_values,
    path_rows,
    rows_to_show,
    take_rows,
    units_to_show,
    values_of_row,
    with_column,
)
from skmoe.inspection._heat_map import (
    CHARACTER_WIDTH,
    NO_NUMBER,
    Panel,
    coefficient_texts,
    draw_panel,
    interval_texts,
    label_experts,
    label_features,
    n_decimals_of,
    power_of_ten,
    ratio_interval_texts,
    ratio_numbers,
    shortened,
    signed_numbers,
    text_width,
)
from skmoe.inspection._segment_tables import (
    _coefficient_name,
    _columns_of_feature,
    _difference,
    column_deviations,
    deviation,
    dropped_features,
    gate_slopes,
    largest_rows,
    positive_rows,
)
from skmoe.inspection._style import (
    COLOURS,
    DASHES,
    HATCHES,
    MARKERS,
    MAX_LEGEND_ROWS,
    beside_marks,
    colour,
    dash,
    expert_handle,
    expert_legend,
    grid_axes,
    hatch,
    in_first_column,
    in_legend,
    label_below,
    legend_above,
    marked_points,
    marker,
    merged,
    merged_marks,
    names_or_default,
    one_axes,
    panel_axes,
    rgb,
    two_axes,
    wrapped,
)

plt = pytest.importorskip("matplotlib.pyplot")
colors = pytest.importorskip("matplotlib.colors")
plt.switch_backend("agg")


# --- axes -----------------------------------------------------------------------------------------


def test_axes_are_those_given_or_new_ones():
    _, ax = plt.subplots()
    assert one_axes(ax, "caller") is ax
    new = one_axes(None, "caller")
    assert new.figure is not ax.figure
    for given in (np.array([ax, new]), [ax, new]):
        assert list(two_axes(given, "caller")) == [ax, new]
        assert list(panel_axes(given, "caller", [1.0, 2.0], 0.5, 3.0)) == [ax, new]
        assert list(grid_axes(given, "caller", 2, 3, (1.0, 1.0))) == [ax, new]
    assert list(panel_axes(ax, "caller", [1.0], 0.5, 3.0)) == [ax]
    for wrong in ([ax, new, ax], [ax, new, ax, new]):
        for make in (
            lambda given: two_axes(given, "caller"),
            lambda given: panel_axes(given, "caller", [1.0, 2.0], 0.5, 3.0),
            lambda given: grid_axes(given, "caller", 2, 3, (1.0, 1.0)),
        ):
            with pytest.raises(ValueError, match=f"got {len(wrong)}. Pass None"):
                make(wrong)
    assert ax.axison


def test_panels_stand_in_one_row_and_are_as_wide_as_they_ask():
    axes = panel_axes(None, "caller", [1.0, 3.0, 2.0], 0.5, 2.5)
    assert_allclose(axes[0].figure.get_size_inches(), [6.5, 2.5])
    grid = axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (1, 3)
    assert grid.get_width_ratios() == [1.0, 3.0, 2.0]
    pair = two_axes(None, "caller")
    assert [ax.get_subplotspec().colspan.start for ax in pair] == [0, 1]
    assert in_first_column(pair) == [True, False]


@pytest.mark.parametrize("n_panels", [1, 2, 3, 4, 5, 7, 10])
def test_grids_have_as_few_rows_as_possible_and_size_for_each_panel(n_panels):
    axes = grid_axes(None, "caller", n_panels, 3, (2.0, 1.5))
    grid = axes[0].get_subplotspec().get_gridspec()
    n_rows = int(np.ceil(n_panels / 3))
    assert (grid.nrows, grid.ncols) == (n_rows, int(np.ceil(n_panels / n_rows)))
    assert_allclose(axes[0].figure.get_size_inches(), [2.0 * grid.ncols, 1.5 * n_rows])
    assert len(axes) == n_panels
    places = [
        (ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes
    ]
    assert places == [divmod(i, grid.ncols) for i in range(n_panels)]
    assert in_first_column(axes) == [column == 0 for _, column in places]


def test_several_panels_take_the_place_of_a_single_one():
    figure, cells = plt.subplots(1, 2)
    axes = grid_axes(cells[1], "caller", 4, 2, (1.0, 1.0))
    assert not cells[1].axison
    assert cells[0].axison
    assert {ax.figure for ax in axes} == {figure}
    assert len(axes) == 4
    box = cells[1].get_subplotspec().get_position(figure)
    for ax in axes:
        place = ax.get_subplotspec().get_position(figure)
        assert box.x0 - 1e-9 <= place.x0 < place.x1 <= box.x1 + 1e-9
    assert len(two_axes(cells[:1], "caller")) == 2
    assert not cells[0].axison


def test_axes_that_are_in_no_grid_have_names_of_their_own():
    figure = plt.figure()
    free = [figure.add_axes([0.1, 0.1, 0.3, 0.3]), figure.add_axes([0.6, 0.1, 0.3, 0.3])]
    assert in_first_column(np.array(free, dtype=object)) == [True, True]
    for ax in free:
        ax.set_ylabel("height")
    label_outer(np.array(free, dtype=object), [True, True])
    assert [ax.get_ylabel() for ax in free] == ["height", "height"]


@pytest.mark.parametrize("is_own", [True, False])
def test_notes_stand_below_the_figure_or_below_the_last_axes(is_own):
    figure, axes = plt.subplots(1, 2)
    notes = ["first note", "second note", "third note"]
    label_below(axes, notes, is_own=is_own)
    below = figure._supxlabel.get_text() if is_own else axes[1].get_xlabel()
    assert below == ("first note\nsecond note third note" if is_own else "\n".join(notes))
    assert axes[0].get_xlabel() == ""
    assert (axes[1].get_xlabel() == "") == is_own


# --- styles and names -----------------------------------------------------------------------------


def test_styles_of_experts_repeat_after_the_last_one():
    for style, values in ((colour, COLOURS), (dash, DASHES), (marker, MARKERS), (hatch, HATCHES)):
        assert [style(k) for k in range(2 * len(values))] == [*values, *values]
    for k in range(len(COLOURS) + 1):
        assert_allclose(rgb(k), colors.to_rgb(colour(k)))
        handle = expert_handle(k, "calm")
        assert handle.get_label() == "calm"
        assert (handle.get_color(), handle.get_linestyle()) == (colour(k), dash(k))
        assert handle.get_marker() == marker(k)
    assert expert_handle(1, "calm", c="black", marker="x").get_color() == "black"


@pytest.mark.parametrize("n_points", [1, 3, 7, 8, 50, 200])
def test_marks_are_spread_over_a_curve(n_points):
    for k in range(8):
        marks = marked_points(n_points, k)
        assert marks == sorted(set(marks))
        assert 0 <= marks[0] <= marks[-1] < n_points
        assert len(marks) == min(7, n_points)
        if n_points > 14:
            assert np.ptp(np.diff(marks)) <= 1
    assert marked_points(200, 0)[0] == 0
    first = [marked_points(200, k)[0] / (200 / 7) for k in range(4)]
    assert_allclose(first, np.arange(4) * 0.618 % 1.0, atol=7 / 200)


def test_properties_of_the_user_replace_the_defaults_by_any_of_their_names():
    defaults = {"color": "red", "linewidth": 1.0, "facecolor": "blue"}
    assert merged(defaults, None) == merged(defaults, {}) == defaults
    assert merged(defaults, {"lw": 3.0}) == defaults | {"linewidth": 3.0}
    assert merged(defaults, {"c": "green"}) == {"color": "green", "linewidth": 1.0}
    assert merged(defaults, {"facecolor": "white"}) == defaults | {"facecolor": "white"}
    assert merged(defaults, {"alpha": 0.5}) == defaults | {"alpha": 0.5}
    marks = {"c": ["red"], "s": 3}
    assert merged_marks(marks, None) == marks
    assert merged_marks(marks, {"color": "green"}) == {"s": 3, "color": "green"}
    assert merged_marks(marks, {"c": "green", "s": 4}) == {"c": "green", "s": 4}


def test_names_are_short_where_there_is_no_place():
    assert names_or_default(None, 2) == ["expert 0", "expert 1"]
    assert names_or_default(("calm", "wild"), 2) == ["calm", "wild"]
    assert beside_marks(["expert 0", "expert 1"]) == ["0", "1"]
    assert beside_marks(["expert 1", "expert 0"]) != ["1", "0"]
    assert beside_marks(["calm", "wild"]) == ["calm", "wild"]
    assert in_legend(["_calm", "wild", "cal_m"]) == [" _calm", "wild", "cal_m"]
    assert wrapped("costs $5 or $6", 40) == r"costs \$5 or \$6"
    assert wrapped("of_several_words", 8).replace("\n", "") == "of_several_words"
    assert max(map(len, wrapped("of_several_words", 8).split("\n"))) <= 8
    many = wrapped("one two three four five six", 5)
    assert many.count("\n") == 2
    assert many.endswith("...")


@pytest.mark.parametrize(
    "n_handles", [1, MAX_LEGEND_ROWS, MAX_LEGEND_ROWS + 1, 2 * MAX_LEGEND_ROWS + 1]
)
def test_legends_have_one_more_column_when_one_is_full(n_handles):
    _, ax = plt.subplots()
    legend = expert_legend(ax, [expert_handle(k, f"expert {k}") for k in range(n_handles)])
    assert legend._ncols == int(np.ceil(n_handles / MAX_LEGEND_ROWS))
    assert len(legend.get_texts()) == n_handles
    assert not legend.get_frame_on()
    above = legend_above(ax, [expert_handle(0, "calm"), expert_handle(1, "wild")], ncols=2)
    assert above._ncols == 2
    assert not above.get_frame_on()
    ax.figure.canvas.draw()
    assert above.get_window_extent().y0 >= ax.get_window_extent().y1 - 1.0


# --- heat maps ------------------------------------------------------------------------------------


def panel(values, small_print=None, least_range=0.0):
    values = np.array(values)
    return Panel("heading", values, signed_numbers(values, 1), small_print, least_range, 3.0)


@pytest.mark.parametrize(
    ("values", "least_range", "largest"),
    [
        ([[1.0, -3.0, np.nan]], 0.0, 3.0),
        ([[1.0, -3.0, 2.0], [0.0, 0.0, 1.0]], 5.0, 5.0),
        ([[0.0], [0.0]], 0.0, 1.0),
        ([[np.nan, np.nan]], 0.0, 1.0),
        ([[np.nan, np.inf]], 0.25, 0.25),
    ],
)
def test_cells_of_heat_maps_lie_about_their_numbers_on_a_symmetric_scale(
    values, least_range, largest
):
    _, ax = plt.subplots()
    given = panel(values, least_range=least_range)
    mesh, texts = draw_panel(ax, given, None)
    n_rows, n_experts = given.values.shape
    assert mesh.get_clim() == (-largest, largest)
    corners = mesh.get_coordinates()
    assert_allclose(corners[0, :, 0], np.arange(n_experts + 1) - 0.5)
    assert_allclose(corners[:, 0, 1], np.arange(n_rows + 1) - 0.5)
    assert ax.get_xlim() == (-0.5, n_experts - 0.5)
    assert ax.get_ylim() == (n_rows - 0.5, -0.5)
    assert ax.get_title(loc="left") == "heading"
    assert not any(spine.get_visible() for spine in ax.spines.values())
    drawn = mesh.get_array().reshape(n_rows, n_experts)
    assert_array_equal(np.ma.getmaskarray(drawn), ~np.isfinite(given.values))
    for (i, k), text in np.ndenumerate(texts):
        assert text.get_position() == (k, i)
        assert text.get_text() == given.numbers[i, k]
        assert text.get_horizontalalignment() == "center"
        if not np.isfinite(given.values[i, k]):
            assert text.get_color() not in ("white", "black")
    own, _ = draw_panel(ax, given, {"vmin": -9.0, "cmap": "PuOr"})
    assert own.get_clim()[0] == -9.0
    assert own.cmap.name == "PuOr"


def test_small_print_of_a_cell_stands_below_its_number():
    _, ax = plt.subplots()
    small_print = np.array([["[1, 2]", ""], ["", "[3, 4]"]], dtype=object)
    _, texts = draw_panel(ax, panel([[1.5, 1.0], [0.5, 3.5]], small_print), None)
    assert len(ax.texts) == 6
    for (i, k), printed in np.ndenumerate(small_print):
        found = [text for text in ax.texts if printed and text.get_text() == printed]
        assert len(found) == bool(printed)
        number = texts[i, k]
        x, y = number.get_position()
        assert x == k
        assert abs(y - i) < 0.1
        for small in found:
            assert small.get_position()[0] == k
            assert i < y < small.get_position()[1] < i + 0.5
            assert small.get_fontsize() < number.get_fontsize()
            assert small.get_color() == number.get_color()
            assert small.get_horizontalalignment() == "center"


def test_columns_of_heat_maps_have_bars_in_the_colours_of_their_experts():
    _, ax = plt.subplots()
    label_experts(ax, ["calm", "wild"])
    label_features(ax, ["height", "weight", "age"], shown=True)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["calm", "wild"]
    assert_array_equal(ax.get_xticks(), [0, 1])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["height", "weight", "age"]
    assert_array_equal(ax.get_yticks(), [0, 1, 2])
    for k, bar in enumerate(ax.lines):
        assert bar.get_color() == colour(k)
        left, right = bar.get_xdata()
        assert_allclose(left + right, 2.0 * k)
        assert 0.4 < (right - left) / 2.0 < 0.5
        assert_array_equal(bar.get_ydata(), 1.0)
        assert bar.get_transform() is not ax.transData
        assert not bar.get_clip_on()
    tick = ax.xaxis.get_major_ticks()[0]
    assert tick.label2.get_visible()
    assert not tick.label1.get_visible()
    label_features(ax, ["height", "weight"], shown=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["", ""]


def test_short_names_are_whole_and_long_ones_keep_both_ends():
    letters = "abcdefghijklmnopqrstuvwxyz"
    for width in (26, 27, 40):
        assert shortened(letters, width) == letters
    assert shortened(letters, 12) == "abcde...wxyz"
    assert shortened("abcd efgh ijkl", 10) == "abcd...jkl"
    for width in range(6, 26):
        short = shortened(letters, width)
        assert len(short) == width
        begin, end = short.split("...")
        assert letters.startswith(begin)
        assert letters.endswith(end)
    assert text_width(["a", "bcd\nef", ""]) == 3 * CHARACTER_WIDTH
    assert text_width(["abc", "b\ncdefg"]) == 5 * CHARACTER_WIDTH


@pytest.mark.parametrize(
    ("largest", "least_range", "power", "n_decimals"),
    [
        (0.0, 0.0, 1.0, 2),
        (0.01, 0.0, 1.0, 4),
        (0.0099, 0.0, 1e-3, 5),
        (9.99e4, 0.0, 1.0, 0),
        (1e5, 0.0, 1e3, 0),
        (1.0, 0.0, 1.0, 2),
        (0.5, 20.0, 1.0, 1),
        (1e-12, 0.0, 1e-12, 8),
        (1e-7, 1.0, 1.0, 2),
    ],
)
def test_powers_of_ten_and_digits_are_those_of_the_largest_number(
    largest, least_range, power, n_decimals
):
    values = np.array([[largest, -largest / 2.0], [np.nan, np.inf]])
    assert_allclose(power_of_ten(values, least_range), power, rtol=1e-12)
    assert n_decimals_of(values, least_range) == n_decimals
    assert power_of_ten(-values, least_range) == power_of_ten(values, least_range)


def test_numbers_have_signs_unless_they_are_shown_as_zero():
    values = np.array([[1.26, -1.26, 0.0, -1e-9, 1e-9, np.nan, 1e5, -2.5e5, 99999.0]])
    texts = signed_numbers(values, 1)[0].tolist()
    assert texts[:6] == ["+1.3", "-1.3", "0.0", "0.0", "0.0", NO_NUMBER]
    assert [float(text) for text in texts[6:]] == [1e5, -2.5e5, 99999.0]
    assert texts[6:] == ["+1e+05", "-2.5e+05", "+99999.0"]
    intervals = np.array([[[-1.0, 2.0], [np.nan, 1.0], [0.0, np.nan]]])
    assert interval_texts(intervals, 1).tolist() == [["[-1.0, 2.0]", "", ""]]
    ratios = np.log([[2.0, 0.11, 11.0, 0.0999, 9.999]])
    written = ratio_numbers(ratios)[0].tolist()
    assert [text[1:] for text in written] == ["2.00", "0.11", "11", "0.0999", "10.00"]
    assert len({text[0] for text in written}) == 1
    pair = np.log([[[0.5, 20.0], [0.05, 1.0]]])
    assert ratio_interval_texts(pair).tolist() == [["[0.50, 20]", "[0.05, 1.00]"]]
    assert ratio_numbers(np.array([[1e4]]))[0, 0].endswith("inf")


def test_tables_write_ratios_as_ratios_and_other_numbers_in_a_power_of_ten():
    table = np.array([[2e6, np.log(2.0)], [-1e6, np.log(0.5)]])
    ends = np.stack([table - 0.5, table + 0.5], axis=-1)
    numbers, small_print, power = coefficient_texts(table, ends, np.array([False, True]), 0.0)
    assert power == 1e6
    assert numbers[:, 0].tolist() == ["+2.00", "-1.00"]
    assert [text[1:] for text in numbers[:, 1]] == ["2.00", "0.50"]
    assert small_print[:, 0].tolist() == ["[2.00, 2.00]", "[-1.00, -1.00]"]
    assert small_print[0, 1] == f"[{2 * np.exp(-0.5):.2f}, {2 * np.exp(0.5):.2f}]"
    numbers, small_print, power = coefficient_texts(table, None, np.array([False, False]), 1e9)
    assert (power, small_print) == (1e9, None)
    assert numbers[0, 0] == "0.00"[:4] or float(numbers[0, 0]) == 0.0


# --- forests --------------------------------------------------------------------------------------


def forest(estimates, intervals=None, dropped=None, *, is_ratio=False):
    n = len(estimates)
    return ForestPanel(
        "heading",
        [f"row {i}" for i in range(n)],
        None,
        np.arange(n),
        np.array(estimates),
        None if intervals is None else np.array(intervals),
        np.zeros(n, dtype=bool) if dropped is None else np.array(dropped),
        is_ratio,
    )


@pytest.mark.parametrize("is_ratio", [False, True])
def test_points_and_lines_of_forests_are_estimates_and_intervals(is_ratio):
    scale = np.exp if is_ratio else np.asarray
    given = forest(
        [0.5, -0.2, 1.0, np.nan, 0.3],
        [[0.1, 0.9], [np.nan, np.nan], [-9.0, 9.0], [np.nan] * 2, [0.2, 0.4]],
        [False, False, False, False, True],
        is_ratio=is_ratio,
    )
    _, ax = plt.subplots()
    limits = (-1.5, 2.0)
    points, lines = draw_forest(ax, given, limits, None)
    assert_allclose(ax.get_xlim(), scale(np.array(limits)))
    assert ax.get_ylim() == (4.5, -0.5)
    assert ax.get_xscale() == ("log" if is_ratio else "linear")
    assert [text.get_text() for text in ax.get_yticklabels()] == given.labels
    assert_array_equal(ax.get_yticks(), range(5))
    assert ax.get_title(loc="left") == "heading"
    assert [ax.spines[side].get_visible() for side in ("top", "right", "left", "bottom")] == [
        False,
        False,
        False,
        True,
    ]
    for i in (0, 1, 2):
        assert_allclose(points[i].get_xydata(), [[scale(given.estimates[i]), i]])
        assert points[i].get_color() == colour(i)
        assert points[i].get_marker() == marker(i)
        assert points[i].get_linestyle() == "None"
        hollow = points[i].get_markerfacecolor() == "white"
        assert hollow == (i == 1)
    assert points[3] is None
    assert_allclose(points[4].get_xydata(), [[scale(0.0), 4]])
    assert points[4].get_marker() == "x"
    assert [line is None for line in lines] == [False, True, False, True, True]
    assert_allclose(lines[0].get_xydata(), [[scale(0.1), 0], [scale(0.9), 0]])
    assert_allclose(lines[2].get_xdata(), scale(np.array(limits)))
    assert lines[2].get_color() == colour(2)
    arrows = {line.get_marker(): line for line in ax.lines if line.get_marker() in ("<", ">")}
    assert set(arrows) == {"<", ">"}
    for end, side in zip(limits, "<>", strict=True):
        assert_allclose(arrows[side].get_xydata(), [[scale(end), 2]])
    zero = [
        line
        for line in ax.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    ]
    assert_allclose(zero[0].get_xdata(), scale(0.0))


def test_points_of_forests_without_intervals_are_filled_and_take_the_style_of_the_user():
    _, ax = plt.subplots()
    points, lines = draw_forest(ax, forest([0.5, -3.0]), (-1.0, 1.0), {"color": "black"})
    assert lines == [None, None]
    assert [point.get_color() for point in points] == ["black", "black"]
    assert all(point.get_markerfacecolor() == "black" for point in points)
    assert_allclose(points[1].get_xdata(), [-1.0])  # at the edge
    given = forest([0.5], [[-1.0, 1.0]])
    _, ax = plt.subplots()
    points, lines = draw_forest(ax, given, (-1.0, 1.0), {"color": "black", "marker": "x"})
    assert lines[0].get_marker() in ("", "None")
    assert lines[0].get_color() == "black"
    assert lines[0].get_linestyle() == "-"
    assert points[0].get_marker() == "x"
    assert not any(line.get_marker() in ("<", ">") for line in ax.lines)


def test_axes_of_forests_hold_zero_the_points_and_the_typical_intervals():
    low, high = axis_limits([forest([1.0, 2.0]), forest([-0.5, np.nan])])
    assert_allclose((low, high), (-0.5 - 0.06 * 2.5, 2.0 + 0.06 * 2.5))
    assert_allclose(axis_limits([forest([1.0])]), (-0.06, 1.06))
    assert_allclose(axis_limits([forest([0.0])]), (-1.0, 1.0))
    assert_allclose(axis_limits([forest([np.nan], [[np.nan, np.nan]])]), (-1.0, 1.0))
    # An interval that is far longer than the largest estimate and the others is cut.
    ends = [[0.5, 1.5], [0.5, 2.0], [-100.0, 100.0]]
    low, high = axis_limits([forest([1.0, 1.0, 1.0], ends)])
    reach = 2.5 * 2.0
    assert_allclose((low, high), (-reach - 0.12 * reach, reach + 0.12 * reach))
    low, high = axis_limits([forest([4.0, 1.0, 1.0], ends)])
    assert_allclose(high, 10.0 + 0.06 * 20.0)
    huge = axis_limits([forest([1e6], is_ratio=True)])
    assert_allclose(huge, (-0.06 * MAX_LOG_RATIO, 1.06 * MAX_LOG_RATIO))
    assert_allclose(axis_limits([forest([1e6])]), (-6e4, 1.06e6))


@pytest.mark.parametrize("low", [1e-8, 0.013, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("ratio", [7.0, 30.0, 1e3, 1e6, 1e15])
def test_ticks_of_ratios_are_few_round_numbers_between_the_ends(low, ratio):
    high = low * ratio
    ticks = ticks_of_ratios(low, high)
    assert 1 <= len(ticks) <= N_TICKS + 1
    assert (ticks >= low).all()
    assert (ticks <= high).all()
    assert (np.diff(ticks) > 0).all()
    leading = ticks / 10.0 ** np.floor(np.log10(ticks) + 1e-9)
    assert np.isin(np.round(leading, 9), [1.0, 2.0, 3.0, 5.0]).all()
    if ratio > 20.0:
        assert len(ticks) >= 2
    # Of the finer scales the first one that is not too fine is taken.
    decades = 10.0 ** np.arange(-12.0, 20.0)
    for digits in ([1.0, 2.0, 5.0], [1.0, 3.0], [1.0]):
        finer = np.sort(np.outer(decades, digits).ravel())
        finer = finer[(finer >= low * (1 - 1e-12)) & (finer <= high * (1 + 1e-12))]
        if len(finer) <= N_TICKS + 1:
            assert abs(len(finer) - len(ticks)) <= 1  # an end may be lost by round-off
            break


@pytest.mark.parametrize("width", [0.5, 1.0, 1.9, 3.0])
def test_axes_of_ratios_have_plain_numbers(width):
    _, ax = plt.subplots()
    draw_forest(ax, forest([0.1], is_ratio=True), (-width / 2, width / 2), None)
    ax.figure.canvas.draw()
    assert len(ax.get_xticks(minor=True)) == 0
    ends = np.exp([-width / 2, width / 2])
    shown = [t for t in ax.get_xticks() if ends[0] <= t <= ends[1]]
    assert 2 <= len(shown) <= 6
    is_plain = np.allclose(np.diff(shown), np.diff(shown)[0])
    assert is_plain == (width < np.log(6.0))
    assert ax.xaxis.get_major_formatter()(0.5, 0) == "0.5"


# --- rows of tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_frames_are_numbers_or_categories(frame):
    table = frame(
        {"n": [1, 2, 2], "x": [0.5, None, 1.5], "b": [True, False, True], "w": ["a", None, "b"]}
    )
    assert [is_numeric(table, j) for j in range(4)] == [True, True, True, False]
    assert_array_equal(numeric_values(table, 0), [1.0, 2.0, 2.0])
    assert_array_equal(numeric_values(table, 1), [0.5, np.nan, 1.5])
    assert_array_equal(numeric_values(table, 2), [1.0, 0.0, 1.0])
    assert numeric_values(table, 0).dtype == float
    assert categories_of(table, 3) == ["a", None, "b"]
    values = values_of_row(table, 2)
    assert values == [2.0, 1.5, 1.0, "b"]
    assert [type(value) for value in values[:3]] == [float] * 3
    assert_allclose(column_stds(table), [np.std([1, 2, 2]), 0.5, np.std([1, 0, 1]), 1.0])
    taken = take_rows(table, np.array([2, 0]))
    assert values_of_row(taken, 0) == values
    changed = with_column(table, 3, np.array([2, 2, 0]))
    assert categories_of(changed, 3) == ["b", "b", "a"]
    assert_array_equal(numeric_values(changed, 0), [1.0, 2.0, 2.0])
    changed = with_column(table, 0, np.array([2, 1, 0]))
    assert_array_equal(numeric_values(changed, 0), [2.0, 2.0, 1.0])
    assert categories_of(changed, 3) == ["a", None, "b"]


@pytest.mark.parametrize("make", [np.array, sparse.csc_array])
def test_one_column_is_permuted_and_the_others_stay(make):
    values = np.random.default_rng(0).normal(size=(6, 4))
    order = np.array([3, 0, 5, 1, 2, 4])
    for j in range(4):
        table = make(values)
        changed = with_column(table, j, order)
        wanted = values.copy()
        wanted[:, j] = values[order, j]
        found = changed.toarray() if sparse.issparse(changed) else changed
        assert_array_equal(found, wanted)
        assert_array_equal(table.toarray() if sparse.issparse(table) else table, values)
        assert_array_equal(numeric_values(table, j), values[:, j])
    assert is_numeric(table, 0)
    assert values_of_row(make(values), 3) == values[3].tolist()
    assert_array_equal(take_rows([1, 2, 3], np.array([2, 0])), [3, 1])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_grids_of_frames_hold_the_most_frequent_category(frame):
    table = frame(
        {"n": [1.0, 2.0, 5.0, np.nan], "w": ["a", "b", "b", "c"], "u": ["z", "y", "y", "z"]}
    )
    grid = make_grid(table, [], np.empty((2, 0)))
    assert list(grid.columns) == ["n", "w", "u"]
    assert_array_equal(numeric_values(grid, 0), [2.0, 2.0])
    assert categories_of(grid, 1) == ["b", "b"]
    assert categories_of(grid, 2) == ["y", "y"]  # of equally frequent ones the first in order
    grid = make_grid(table, [1, 0], np.array([[3, 7.0], [0, 8.0]]))
    assert categories_of(grid, 1) == ["c", "a"]
    assert_array_equal(numeric_values(grid, 0), [7.0, 8.0])
    own = at_reference_values(table, 1)
    assert categories_of(own, 1) == ["a", "b", "b", "c"]
    assert_array_equal(numeric_values(own, 0), 2.0)
    own = at_reference_values(table, 0)
    assert_array_equal(numeric_values(own, 0), [1.0, 2.0, 5.0, np.nan])
    assert set(categories_of(own, 1)) == {"b"}
    fraction = np.array([[0.0, 0.0, 0.0], [0.25, 0.49, 0.5], [1.0, 1.0, 1.0]])
    path = path_rows(table, 0, fraction)
    mean = 8.0 / 3.0
    assert_allclose(numeric_values(path, 0), mean + np.array([0.0, 0.25, 1.0]) * (1.0 - mean))
    assert categories_of(path, 1) == ["b", "b", "a"]
    assert categories_of(path, 2) == ["y", "z", "z"]


def test_values_that_are_missing_everywhere_have_no_median_and_no_mean():
    table = np.array([[np.nan, 1.0], [np.nan, 3.0]])
    assert_array_equal(make_grid(table, [], np.empty((1, 0))), [[np.nan, 2.0]])
    path = path_rows(table, 1, np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]))
    assert_array_equal(path, [[np.nan, 2.0], [np.nan, 2.5], [np.nan, 3.0]])
    infinite = np.array([[np.inf, 1.0], [1.0, 3.0]])
    path = path_rows(infinite, 0, np.array([[0.49, 0.0], [0.5, 1.0]]))
    assert_array_equal(path, [[1.0, 2.0], [np.inf, 1.0]])
    assert_array_equal(column_stds(np.array([[2.0, 1.0], [2.0, np.nan]])), [1.0, 1.0])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_medians_of_sparse_columns_count_their_zeros(share):
    values = np.arange(1.0, 9.0)
    values[: round(8 * share)] = 0.0
    dense = np.column_stack([values, values[::-1], -values])
    grid = make_grid(sparse.csc_array(dense), [1], np.array([[5.0], [6.0]]))
    wanted = np.tile(np.median(dense, axis=0), (2, 1))
    wanted[:, 1] = [5.0, 6.0]
    assert sparse.issparse(grid)
    assert_allclose(grid.toarray(), wanted)


def test_samples_are_as_large_as_they_may_be_and_those_of_units_are_the_same_each_time():
    finite = np.array([True, False, True, True, True])
    assert_array_equal(rows_to_show(finite, 4, 0), [0, 2, 3, 4])
    assert len(rows_to_show(finite, 3, 0)) == 3
    labels = np.array(["a", "b", "c", "d"])
    assert_array_equal(units_to_show(labels, 4, None), labels)
    assert_array_equal(units_to_show(labels, 3, None), units_to_show(labels, 3, 0))
    for wrong in (1, 2.5):
        with pytest.raises(ValueError, match="subsample"):
            rows_to_show(finite, wrong, 0)
        with pytest.raises(ValueError, match="max_units"):
            units_to_show(labels, wrong, 0)


# --- axes of features -----------------------------------------------------------------------------


def test_axes_of_numbers_have_equidistant_points_between_the_ends():
    table = np.array([[3.0], [np.nan], [-1.0], [0.0]])
    axis = feature_axis(table, 0, "height", 5)
    assert (axis.name, axis.column, axis.categories) == ("height", 0, None)
    assert_allclose(axis.grid, [-1.0, 0.0, 1.0, 2.0, 3.0])
    assert_array_equal(axis.positions, axis.grid)
    assert_array_equal(axis.observed, table[:, 0])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_axes_of_categories_have_their_shares_of_the_known_rows(frame):
    words = ["b", "a", None, "b", "c", "b"]
    axis = feature_axis(frame({"n": [1.0] * 6, "w": words}), 1, "word", 9)
    assert axis.categories == ["a\n20 %", "b\n60 %", "c\n20 %"]
    assert [words[i] for i in axis.grid] == ["a", "b", "c"]
    assert_array_equal(axis.positions, [0.0, 1.0, 2.0])
    assert_array_equal(axis.observed, [1.0, 0.0, np.nan, 1.0, 2.0, 1.0])
    assert axis.name == "word"
    assert len(feature_axis(frame({"n": [1, 2], "w": ["b", "a"]}), 1, "word", 9).grid) == 2
    for constant in (["a", "a"], ["a", None], [None, None]):
        with pytest.raises(ValueError, match="'word' does not"):
            feature_axis(
                frame({"w": pd.Series(constant, dtype=object).tolist(), "n": [1, 2]}), 0, "word", 9
            )


def test_categories_in_an_order_of_their_own_keep_it_and_rare_ones_are_counted():
    sizes = ["small", "large", "medium", "large"]
    column = pd.Categorical(sizes, ["small", "medium", "large"])
    axis = feature_axis(pd.DataFrame({"size": column}), 0, "size", 9)
    assert [text.split("\n")[0] for text in axis.categories] == ["small", "medium", "large"]
    n = MAX_DRAWN_CATEGORIES
    words = [f"w{i:02d}" for i in range(n + 2)] + [f"w{i:02d}" for i in range(2, n + 2)]
    axis = feature_axis(pd.DataFrame({"w": words}), 0, "word", 9)
    assert axis.name == f"word ({n} of {n + 2} categories)"
    assert [text.split("\n")[0] for text in axis.categories] == words[2 : n + 2]
    assert np.isnan(axis.observed[:2]).all()
    assert not np.isnan(axis.observed[2:]).any()
    axis = feature_axis(pd.DataFrame({"w": words[2 : n + 2]}), 0, "word", 9)
    assert axis.name == "word"
    assert len(axis.categories) == n


@pytest.mark.parametrize("n_characters", [MAX_LEVEL_CHARACTERS, MAX_LEVEL_CHARACTERS + 1])
def test_long_names_of_categories_are_turned_and_have_no_shares(n_characters):
    first = "a" * 20 + "\n5 %"
    second = "b" * (n_characters - len(first))
    _, ax = plt.subplots()
    label_categories(ax, [first, second])
    labels = [text.get_text() for text in ax.get_xticklabels()]
    turned = n_characters > MAX_LEVEL_CHARACTERS
    assert labels == ([shortened("a" * 20, 16), second] if turned else [first, second])
    assert (ax.get_xticklabels()[0].get_rotation() > 0.0) == turned
    assert_array_equal(ax.get_xticks(), [0, 1])
    assert_allclose(ax.get_xlim(), (-0.6, 1.6))
    label_feature(ax, "word", None, "")
    assert ax.get_xlabel() == "word"
    label_feature(ax, "word", ["a", "b", "c"], "a note")
    assert ax.get_xlabel() == "word\n(a note)"
    assert_allclose(ax.get_xlim(), (-0.6, 2.6))


def test_labels_of_axes_in_a_row_are_said_once_if_they_are_alike():
    for alike in ([True] * 4, [True, False, True, True], [False] * 4, [False, True] * 2):
        _, cells = plt.subplots(2, 2)
        axes = cells.ravel()
        for ax in axes:
            ax.set_ylabel("height")
        label_outer(axes, alike)
        wanted = ["height", "" if alike[0] and alike[1] else "height"]
        wanted += ["height", "" if alike[2] and alike[3] else "height"]
        assert [ax.get_ylabel() for ax in axes] == wanted


# --- profiles and coefficients --------------------------------------------------------------------


class Gate(SimpleNamespace):
    def predict_gate(self, X):
        return np.full((X.shape[0], 2), 0.5)


@pytest.mark.parametrize("make", [np.array, pd.DataFrame, sparse.csr_array])
def test_rows_without_a_weight_are_left_out(make):
    values = np.arange(8.0).reshape(4, 2)
    table, y, offset, units = make(values), np.arange(4), np.arange(4) + 10, list("abcd")
    for weight in (None, np.ones(4), [1, 2, 3, 4]):
        rows = positive_rows(Gate(), table, y, weight, offset, units)
        assert rows.X.shape == (4, 2)
        assert rows.y is y
        assert rows.offset is offset
        assert rows.units is units
        assert (rows.weight is None) == (weight is None)
        assert_array_equal(rows.weights, np.ones(4) if weight is None else weight)
    rows = positive_rows(Gate(), table, y, [1.0, 0.0, 2.0, 0.0], offset, units)
    found = rows.X.toarray() if sparse.issparse(rows.X) else np.asarray(rows.X)
    assert_array_equal(found, values[[0, 2]])
    assert_array_equal(rows.y, [0, 2])
    assert_array_equal(rows.weight, [1.0, 2.0])
    assert_array_equal(rows.offset, [10, 12])
    assert list(rows.units) == ["a", "c"]
    rows = positive_rows(Gate(), table, y, [1.0, 0.0, 2.0, 0.0], None, None)
    assert rows.offset is None
    assert rows.units is None
    assert_allclose(column_deviations(rows), [4.0 * np.sqrt(2.0) / 3.0] * 2)
    for wrong in ((y[1:], None, None), (y, offset[1:], None), (y, None, units[1:])):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            positive_rows(Gate(), table, wrong[0], [1.0, 0.0, 2.0, 0.0], *wrong[1:])


def test_differences_of_means_are_in_weighted_deviations_of_the_known_values():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=30), rng.uniform(0.5, 2.0, size=30)
    resp = rng.dirichlet([1.0, 1.0, 1.0], size=30)
    values[[3, 7]] = np.nan
    known = np.isfinite(values)
    difference, found = _difference(values, weight, resp)
    centre = np.average(values[known], weights=weight[known])
    std = np.sqrt(np.average((values[known] - centre) ** 2, weights=weight[known]))
    assert_allclose(found, std)
    assert_allclose(deviation(values[known], weight[known]), std)
    for k in range(3):
        mean = np.average(values[known], weights=(weight * resp[:, k])[known])
        assert_allclose(difference[k], (mean - centre) / std)
    # A constant has no deviation; an expert without rows has no mean.
    certain = np.array([[1.0, 0.0]] * 4)
    for column in (np.full(4, 2.5), np.array([2.5, np.nan, 2.5, np.nan]), np.full(4, np.nan)):
        difference, found = _difference(column, np.ones(4), certain)
        assert found == 0.0
        assert_array_equal(difference, [np.nan if np.isnan(column).all() else 0.0, np.nan])
    difference, found = _difference(np.arange(4.0), np.ones(4), certain)
    assert_allclose(found, np.std(np.arange(4.0)))
    assert_allclose(difference, [0.0, np.nan], atol=1e-12)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_categories_are_indicators_in_alphabetical_order(frame):
    table = frame({"n": [1.0, 2.0, 3.0], "w": ["b", None, "a"]})
    [(suffix, values)] = _columns_of_feature(table, 0)
    assert suffix == ""
    assert_array_equal(values, [1.0, 2.0, 3.0])
    found = dict(_columns_of_feature(table, 1))
    assert list(found) == ["_a", "_b"]
    assert_array_equal(found["_a"], [0.0, 0.0, 1.0])
    assert_array_equal(found["_b"], [1.0, 0.0, 0.0])


def test_dropped_features_are_those_of_an_infinite_penalty():
    none = [False, False, False]
    for penalty, dropped in (
        (0.5, none),
        (np.inf, none),
        (np.array([1.0, np.inf, 0.0]), [False, True, False]),
        (np.array([np.inf, -np.inf, np.inf]), [True, False, True]),
    ):
        moe = SimpleNamespace(alpha_=penalty, n_features_in_=3)
        assert_array_equal(dropped_features(moe), dropped)
    assert_array_equal(dropped_features(SimpleNamespace(n_features_in_=3)), none)


def test_slopes_of_the_gate_are_those_of_its_own_columns():
    coef = np.array([[1.0, 0.0, -2.0], [-1.0, 0.0, 2.0]])
    moe = SimpleNamespace(
        gate_coef_=coef, combine="best", n_experts_=2, gate_feature_names_=np.array(list("abc"))
    )
    columns = [SimpleNamespace(key=key) for key in ("c", "b", "d", "a")]
    found = gate_slopes(moe, columns)
    # The log odds of one of two experts are twice its centred logit; b does nothing, d is unknown.
    wanted = np.array([2.0 * coef[:, 2], [np.nan] * 2, [np.nan] * 2, 2.0 * coef[:, 0]])
    assert_array_equal(found, wanted)
    assert gate_slopes(moe, columns[1:3]) is None
    moe.gate_coef_ = np.zeros((2, 3))
    assert gate_slopes(moe, columns) is None
    moe.n_experts_, moe.gate_coef_ = 3, np.array([[1.0, 0, 0], [-1.0, 0, 0], [0.0, 0, 0]])
    assert_allclose(gate_slopes(moe, columns[3:]), [[1.5, -1.5, 0.0]])


@pytest.mark.parametrize(
    ("links", "name"),
    [
        ([], "Effect on y"),
        (["identity", "identity"], "Effect on y"),
        (["log", "log"], "Ratio of the mean of y"),
        (["log", ""], "Ratio of the mean of y"),
        (["logit", ""], "Odds ratio of more y"),
        (["log", "identity"], "Effect on y, ratios: \N{MULTIPLICATION SIGN}"),
        (["log", "logit"], "Effect on y, ratios: \N{MULTIPLICATION SIGN}"),
    ],
)
def test_coefficients_are_named_by_what_they_are_effects_on(links, name):
    from skmoe import MixtureOfExpertsRegressor

    moe = MixtureOfExpertsRegressor()
    moe.families_ = [SimpleNamespace(link=link) for link in links]
    assert _coefficient_name(moe, np.zeros(3), 0) == name


@pytest.mark.parametrize(("labels", "name"), [([0, 1], "Log odds"), ([0, 1, 2], "Logit")])
def test_coefficients_of_classes_are_named_by_their_scale(labels, name):
    from skmoe import MixtureOfExpertsClassifier

    moe = MixtureOfExpertsClassifier()
    moe.classes_ = np.array(labels)
    for index in labels:
        assert _coefficient_name(moe, None, index) == f"{name} of class {index}"


def test_rows_with_the_largest_values_of_any_table_are_kept_in_order():
    first = np.array([[0.1, 0.2], [5.0, -10.0], [np.nan, 1.0], [-4.0, 0.0]])
    second = np.array([[0.0, 9.0], [0.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    tables = [(first, 0.0), (None, 5.0), (second, 0.0)]
    assert largest_rows(tables, 4).tolist() == [0, 1, 2, 3]
    assert largest_rows(tables, 2).tolist() == [0, 1]
    assert largest_rows(tables, 3).tolist() == [0, 1, 3]
    # A table of small values counts less than its least range says.
    assert largest_rows([(first, 0.0), (second, 1e3)], 2).tolist() == [1, 3]
    assert largest_rows([(first, 1e3), (second, 0.0)], 1).tolist() == [0]
    assert largest_rows([(np.zeros((3, 2)), 0.0)], 2).tolist() == [0, 1]
