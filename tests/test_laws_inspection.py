"""What pictures and texts show is computed anew from the public answers of a mixture."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import stats
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.labels import format_percent
from skmoe.inspection import (
    CalibrationDisplay,
    ConvergenceDisplay,
    ExpertsDisplay,
    GateDisplay,
    NumberOfExpertsDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)
from skmoe.inspection._expert_curves import MIN_OPACITY, MIN_PROBABILITY_SHOWN
from skmoe.inspection._heat_map import (
    DARK_LUMINANCE,
    LUMINANCE_WEIGHTS,
    NO_NUMBER,
    coefficient_texts,
    n_decimals_of,
    power_of_ten,
    signed_numbers,
)

plt = pytest.importorskip("matplotlib.pyplot")
Axes = pytest.importorskip("matplotlib.axes").Axes
plt.switch_backend("agg")


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    return quiet(MixtureOfExpertsRegressor(3, random_state=0, n_init=2), X, y), X, y


# --- texts --------------------------------------------------------------------------------------

UNITS = np.array([1e-3, 1.0, 1e3])


def of_units(task, **options):
    """A mixture of features of other units, of which the last has the largest effects."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(400, 3))
    up = Z @ [0.2, 1.0, 4.0] > 0.3
    y = np.where(up, Z @ [0.5, 1.0, 3.0], -Z @ [0.5, 1.0, 3.0]) + 0.3 * rng.normal(size=400)
    kind = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    moe = kind(2, random_state=0, n_init=1, **options)
    return quiet(moe, Z * UNITS, y if task == "regressor" else y > 0), Z * UNITS


@pytest.mark.parametrize("options", [{}, {"expert": Ridge(1e-12)}], ids=["linear", "estimators"])
def test_terms_of_texts_are_ranked_by_deviations_if_these_are_known(options):
    moe, X = of_units("regressor", **options)
    for rows, largest in ((X, "x2"), (None, "x0")):
        text = export_text(moe, X=rows, max_features=1)
        named = [set(re.findall(r"x\d", line)) for line in text.splitlines()]
        assert [names for names in named if names] == [{largest}] * 4  # of two gates and equations
        assert text.count("standard deviation:") == (0 if rows is None else 2)


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_numbers_of_texts_are_coefficients(task):
    moe, X = of_units(task)
    lines = export_text(moe, X=X, decimals=6).splitlines()
    effects = (moe.gate_coef_ - moe.gate_coef_[::-1]) * X.std(axis=0)
    gates = [line for line in lines if "gate: log odds per standard deviation" in line]
    for line, expected in zip(gates, effects, strict=True):
        for name, number in re.findall(r"(x\d) ([+-]\d+\.\d+)", line):
            assert_allclose(float(number), expected[int(name[1])], atol=1e-6)
        order = [int(name) for name in re.findall(r"x(\d)", line)]
        assert order == np.argsort(-np.abs(expected)).tolist()
    equations = [line for line in lines if re.search(r"= -?\d", line)]
    slopes, intercepts = moe.expert_coef_.reshape(2, 3), moe.expert_intercept_.reshape(2)
    for line, row, intercept in zip(equations, slopes, intercepts, strict=True):
        assert_allclose(float(re.search(r"= (-?\d+\.\d+)", line)[1]), intercept, atol=1e-6)
        for sign, number, name in re.findall(r" ([+-]) (\d+\.\d+) x(\d)", line):
            assert_allclose(float(sign + number), row[int(name)], atol=1e-6)


def test_mermaid_ranks_features_by_deviations():
    moe, X = of_units("regressor")
    text = export_mermaid(moe, X=X)
    assert re.findall(r"x\d", text.split("largest effects:")[1].split('"')[0]) == ["x2", "x1", "x0"]
    none = quiet(MixtureOfExpertsRegressor(2, gate="constant", n_init=1, max_iter=3), X, X[:, 1])
    assert "largest effects" not in export_mermaid(none, X=X)
    some = MixtureOfExpertsRegressor(2, gate_features=[1], n_init=1, max_iter=3, random_state=0)
    effects = export_mermaid(quiet(some, X, X[:, 1]), X=X).split("largest effects:")[1]
    assert re.findall(r"x\d", effects.split('"')[0]) == ["x1"]


@pytest.mark.parametrize("name", ["b", "a very long name of a column " * 3])
@pytest.mark.parametrize("n_experts", [1, 2])
def test_columns_of_summaries_end_where_their_headings_end(n_experts, name):
    X, y = two_regimes(300)
    frame = pd.DataFrame(X, columns=["a", name.strip(), "c"])
    moe = quiet(MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1), frame, y)
    lines = str(moe.summary(frame, y)).splitlines()
    headings = [line for line in lines if "std. error" in line]
    assert len(headings) == n_experts + (n_experts > 1)
    row = re.compile(r"  (\(Intercept\)|a|a very .*?|b|c)  +-?[\d.e]+")
    rows = [line for line in lines if row.match(line)]
    assert len(rows) == 4 * len(headings)
    assert len({len(line) for line in headings + rows}) == 1
    estimates = {row.match(line).end() for line in rows}
    assert estimates == {headings[0].index("estimate") + len("estimate")}


@pytest.mark.parametrize("n_experts", [1, 2])
def test_notebooks_count_experts(n_experts):
    X, y = two_regimes(100)
    moe = quiet(MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1), X, y)
    page = moe._repr_html_()
    assert f"{n_experts} expert{'s' * (n_experts > 1)}<" in page
    for weight in moe.weights_:
        assert f"width:{100 * weight:.1f}%" in page


def test_shares_of_almost_nothing_and_almost_all_are_not_rounded_to_these():
    shares = {0.0: "0 %", 1e-9: "< 1 %", 0.009: "< 1 %", 0.01: "1 %", 0.5: "50 %", 0.99: "99 %"}
    shares |= {0.991: "> 99 %", 1.0 - 1e-9: "> 99 %", 1.0: "100 %"}
    assert {share: format_percent(share) for share in shares} == shares


def digits_of(text):
    return re.sub(r"\D", "", text)


@pytest.mark.parametrize("size", [0.0126, 0.126, 1.26, 12.6, 126.0])
def test_the_largest_number_of_a_table_has_three_digits(size):
    values = np.array([[0.3 * size, -size], [0.0, np.nan]])
    n_decimals = n_decimals_of(values, 0.0)
    texts = signed_numbers(values, n_decimals)
    assert digits_of(texts[0, 1]).lstrip("0") == "126"
    assert texts[0, 1].startswith("\N{HYPHEN-MINUS}")
    assert texts[0, 0].startswith("+")
    assert_allclose([float(text) for text in texts[0]], values[0], atol=0.51 * 10.0**-n_decimals)
    assert float(texts[1, 0]) == 0.0
    assert texts[1, 1] == NO_NUMBER
    assert n_decimals_of(values / 1e3, size) == n_decimals  # the range counts if it is larger


def test_a_table_of_zeros_has_three_digits():
    zeros = np.zeros((1, 1))
    assert power_of_ten(zeros, 0.0) == 1.0
    (text,) = signed_numbers(zeros, n_decimals_of(zeros, 0.0)).ravel()
    assert digits_of(text) == "000"


@pytest.mark.parametrize("exponent", [-12, -9, -6, -3, -2, -1, 0, 3, 4, 5, 6, 9])
@pytest.mark.parametrize("mantissa", [1.0, 1.26, 9.99])
def test_tables_of_any_size_have_short_numbers(exponent, mantissa):
    values = np.array([[-mantissa, 0.5 * mantissa]]) * 10.0**exponent
    no_ratio = np.zeros(2, dtype=bool)
    intervals = np.stack([values - 0.1 * np.abs(values), values + 0.1 * np.abs(values)], axis=-1)
    numbers, small_print, power = coefficient_texts(values, intervals, no_ratio, 0.0)
    assert power == 10.0 ** round(np.log10(power))
    assert_allclose([float(text) * power for text in numbers[0]], values[0], rtol=0.02)
    for text, interval in zip(small_print[0], intervals[0], strict=True):
        low, high = (float(end) * power for end in text.strip("[]").split(", "))
        assert_allclose((low, high), interval, rtol=0.02)
    assert max(len(text) for text in numbers[0]) <= 7


# --- pictures -----------------------------------------------------------------------------------


def test_curves_are_as_opaque_as_the_gate_between_their_ends(fitted):
    moe, X, y = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, features=0)
    for gate, curve, line in zip(display.gate.T, display.curves.T, display.curves_, strict=True):
        between = (gate[1:] + gate[:-1]) / 2
        assert_allclose(line.get_colors()[:, 3], MIN_OPACITY + (1 - MIN_OPACITY) * between)
        for segment, a, b in zip(line.get_segments(), curve, curve[1:], strict=False):
            assert_allclose(segment[:, 1], [a, b])
    low, high = display.ax_.get_ylim()
    shown = display.curves[display.gate >= MIN_PROBABILITY_SHOWN]
    assert low < min(shown.min(), y.min())
    assert high > max(shown.max(), y.max())


def test_bars_stand_beside_each_other_over_their_expert(fitted):
    moe, X, y = fitted
    display = ResponsibilitiesDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    usage, assigned = list(display.usage_bars_), list(display.assigned_bars_)
    share = np.bincount(resp.argmax(axis=1), minlength=3) / len(y)
    for k in range(3):
        assert_allclose(usage[k].get_height(), resp[:, k].mean())
        assert_allclose(assigned[k].get_height(), share[k])
        assert_allclose(usage[k].get_x() + usage[k].get_width(), k, atol=1e-12)
        assert_allclose(assigned[k].get_x(), k, atol=1e-12)
        assert_allclose(np.sort(display.certainty[k]), np.sort(resp[resp.argmax(axis=1) == k, k]))


def test_histograms_are_densities_within_bands_of_chance(fitted):
    moe, X, y = fitted
    display = CalibrationDisplay.from_estimator(moe, X, y)
    pit = moe.predict_dist(X).cdf(y)
    n_bins = len(display.density)
    assert_allclose(display.density, np.histogram(pit, n_bins, (0, 1), density=True)[0])
    intervals = [moe.predict_interval(X, level) for level in display.nominal[[4, 9]]]
    inside = [((lower <= y) & (y <= upper)).mean() for lower, upper in (i.T for i in intervals)]
    assert_allclose(display.coverage[[4, 9]], inside, atol=1 / 300)
    box = display.bands_[0].get_extents().transformed(display.ax_[0].transData.inverted())
    for bound, bracket in ((box.y0, (0.0, 0.05)), (box.y1, (0.95, 1.0))):
        count = bound * 300 / n_bins
        assert bracket[0] <= stats.binom.cdf(count, 300, 1 / n_bins) <= bracket[1]


def test_the_axis_of_convergence_holds_the_ends_of_all_starts(fitted):
    moe, _, _ = fitted
    display = ConvergenceDisplay.from_estimator(moe)
    low, high = display.ax_.get_ylim()
    ends = [trace[-1] for trace in moe.start_traces_]
    assert low < min(ends)
    assert max(moe.lower_bounds_) < high
    bounds = np.concatenate([[-100.0, -50.0], np.linspace(-1.0, 0.0, 30)])
    traces = [bounds, np.append(bounds[:20], -3.0)]
    flat = ConvergenceDisplay(lower_bounds=bounds, start_traces=traces).plot()
    low, high = flat.ax_.get_ylim()
    assert -10.0 < low < -3.0
    assert 0.0 < high < 1.0


@pytest.mark.parametrize("features", [(1,), (0, 2)])
def test_the_gate_is_drawn_between_the_ends_of_features_with_their_deciles(fitted, features):
    moe, X, _ = fitted
    display = GateDisplay.from_estimator(moe, X, features=features, grid_resolution=7)
    deciles = np.quantile(X[:, list(features)], np.arange(1, 10) / 10, axis=0).T
    marks = [
        line for line in display.ax_.lines if line.get_marker() in "|_" and len(line.get_xdata())
    ]
    for j, (mark, expected) in enumerate(zip(marks[-len(features) :], deciles, strict=True)):
        assert_allclose(mark.get_xdata() if j == 0 else mark.get_ydata(), expected)
        edge = mark.get_ydata() if j == 0 else mark.get_xdata()
        assert_allclose(edge, edge[0])
    rows = np.tile(np.median(X, axis=0), (7, 1))
    for axis, j in zip(display.values, features, strict=True):
        assert_allclose(axis, np.linspace(X[:, j].min(), X[:, j].max(), 7))
    if len(features) == 1:
        rows[:, features[0]] = display.values[0]
        assert_allclose(display.gate, moe.predict_gate(rows))
    else:  # the first feature is horizontal
        rows[:, 0], rows[:, 2] = display.values[0], display.values[1][3]
        assert_allclose(display.gate[3], moe.predict_gate(rows))


@pytest.mark.parametrize("combine", ["best", "average"])
def test_the_chosen_number_is_that_of_one_start(combine):
    X, y = flipping_classes(200)
    moe = MixtureOfExpertsClassifier("bic", combine=combine, n_init=2, random_state=0)
    display = NumberOfExpertsDisplay.from_estimator(quiet(moe, X, y))
    chosen = moe.n_experts_tried_[np.argmax(moe.n_experts_scores_)]
    assert display.chosen == chosen
    assert_array_equal(display.mark_.get_xdata(), [chosen])


def test_borders_of_regions_are_where_two_experts_are_equally_probable(fitted, monkeypatch):
    moe, X, _ = fitted
    drawn = []
    contour = Axes.contour

    def spy(self, horizontal, vertical, margin, **options):
        drawn.append((margin, options["levels"]))
        return contour(self, horizontal, vertical, margin, **options)

    monkeypatch.setattr(Axes, "contour", spy)
    display = GateDisplay.from_estimator(moe, X, features=(0, 2), grid_resolution=9)
    shown = np.unique(display.gate.argmax(axis=2))
    assert len(drawn) == len(shown) > 1
    for k, (margin, levels) in zip(shown, drawn, strict=True):
        assert levels == [0.0]
        assert_array_equal(margin > 0.0, display.gate.argmax(axis=2) == k)
        others = np.max([display.gate[..., j] for j in range(3) if j != k], axis=0)
        assert_allclose(margin, display.gate[..., k] - others)


# --- profiles of the experts ----------------------------------------------------------------------


@pytest.mark.parametrize("cmap", ["RdBu_r", "PuOr"])
def test_cells_of_profiles_have_the_colour_of_their_number_which_can_be_read(fitted, cmap):
    moe, X, y = fitted
    display = SegmentProfileDisplay.from_estimator(moe, X, y, cmap=cmap)
    tables = display.profile, display.coefficients, display.gate_effects
    for mesh, texts, table in zip(display.meshes_, display.texts_, tables, strict=True):
        low, high = mesh.get_clim()
        assert low == -high
        assert high >= np.abs(table).max()
        colours = mesh.cmap(mesh.norm(table))[..., :3]
        for text, cell in zip(texts.ravel(), colours.reshape(-1, 3), strict=True):
            is_dark = cell @ LUMINANCE_WEIGHTS < DARK_LUMINANCE
            assert text.get_color() == ("white" if is_dark else "black")
        largest = np.unravel_index(np.abs(table).argmax(), table.shape)
        paleness = colours.min(axis=-1)
        assert paleness[largest] == paleness.min()


def test_experts_that_hardly_differ_have_pale_profiles():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = np.where(rng.uniform(size=400) < 0.5, 5.0, -5.0) + 0.1 * rng.normal(size=400)
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, n_init=1)
    display = SegmentProfileDisplay.from_estimator(quiet(moe, X, y), X, y)
    assert np.abs(display.profile).max() < 0.2
    for mesh, table in zip(display.meshes_, (display.profile, display.coefficients), strict=True):
        assert mesh.cmap(mesh.norm(table))[..., :3].min() > 0.5


@pytest.mark.parametrize("n_experts", [1, 2, 5, 8])
def test_numbers_of_profiles_stay_in_their_cells(n_experts):
    X, y = two_regimes(400, n_features=4)
    names = ["a", "of_several_words_joined_by_underscores", "with blanks in between, " * 3, "b"]
    frame = pd.DataFrame(X, columns=names)
    moe = MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(frame, 1e3 * y)
        display = SegmentProfileDisplay.from_estimator(moe, frame, 1e3 * y)
    display.figure_.draw_without_rendering()
    edges = display.figure_.bbox
    for ax, texts in zip(display.ax_, display.texts_, strict=True):
        cell = ax.transData.transform([[0, 0], [1, 1]])
        width, height = np.abs(cell[1] - cell[0])
        for text in ax.texts:  # the numbers and the small print
            box = text.get_window_extent()
            assert box.width < width
            assert box.height < height
        headings = [label.get_window_extent() for label in ax.get_xticklabels()]
        for left, right in pairwise(headings):
            assert left.x1 < right.x0
        boxes = [*headings, *(label.get_window_extent() for label in ax.get_yticklabels())]
        for box in boxes:
            assert edges.x0 <= box.x0
            assert box.x1 <= edges.x1
        assert texts.shape == (4, n_experts)
    rows = [label.get_window_extent() for label in display.ax_[0].get_yticklabels()]
    for upper, lower in pairwise(rows):
        assert lower.y1 < upper.y0
    for left, right in pairwise(display.ax_):
        assert left._left_title.get_window_extent().x1 < right._left_title.get_window_extent().x0
