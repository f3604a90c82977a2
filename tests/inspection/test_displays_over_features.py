"""Gate and experts over features: GateDisplay, ExpertsDisplay and RegimesDisplay."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, GateDisplay, RegimesDisplay, export_text
from support.displays import (
    CASES,
    at_medians,
    expert_colour,
    expert_lines,
    expert_rgb,
    frame_at_references,
    new_axes,
    texts,
)
from support.fits import fit_quietly
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

NAMES = ["depth", "width", "height"]
LEVELS = ["south", "north", "east"]
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(150)
    frame = pd.DataFrame(X, columns=NAMES)
    return fit_quietly(regressor(3), frame, y), frame, y


@pytest.fixture(scope="module")
def categorical():
    """Categories in an order of their own, and missing values in two columns."""
    X, y = two_regimes(150)
    frame = pd.DataFrame(X[:, :2], columns=NAMES[:2])
    rng = np.random.default_rng(0)
    level = rng.choice(3, 150, p=[0.2, 0.3, 0.5])
    frame["region"] = pd.Categorical.from_codes(level, LEVELS)
    frame["code"] = [f"code {i}" for i in rng.integers(15, size=150)]
    frame.loc[7, "region"] = None
    frame.loc[3, "width"] = np.nan
    y = pd.Series(y + 20.0 * level, name="yield")
    return fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y), frame, y


def held(frame, column, values):
    """Rows with the other columns at their medians."""
    rows = at_medians(frame.to_numpy(), list(frame.columns).index(column), values)
    return pd.DataFrame(rows, columns=frame.columns)


# --- the gate -------------------------------------------------------------------------------------


def test_lines_of_the_gate_have_the_other_features_at_medians(fitted):
    moe, frame, _ = fitted
    display = GateDisplay.from_estimator(moe, frame, "width")
    width = frame["width"].to_numpy()
    assert_allclose(display.values[0], np.linspace(width.min(), width.max(), 200))
    assert_allclose(display.gate, moe.predict_gate(held(frame, "width", display.values[0])))
    for k, line in enumerate(display.lines_):
        expected = np.column_stack([display.values[0], display.gate[:, k]])
        assert_array_equal(line.get_xydata(), expected)
        assert line.get_color() == expert_lines(3)[k].get_color()
    assert display.ax_.get_xlabel() == "width"
    assert texts(display.legend_) == moe.expert_names_
    one = GateDisplay(
        feature_names=["x"], values=[np.arange(5.0)], gate=np.ones((5, 1)), expert_names=["one"]
    )
    assert texts(one.plot().legend_) == ["one"]


def test_regions_are_the_most_probable_experts_over_two_features(fitted):
    moe, frame, _ = fitted
    display = GateDisplay.from_estimator(moe, frame, ("height", "depth"))
    across, up = display.values
    rows = held(frame, "height", across).assign(depth=up[4])
    assert_allclose(display.gate[4], moe.predict_gate(rows))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("height", "depth")
    assert_allclose(display.image_.get_extent(), [across[0], across[-1], up[0], up[-1]])
    assert display.image_.origin == "lower"
    shown = np.unique(display.gate.argmax(axis=2))
    assert texts(display.legend_) == [moe.expert_names_[k] for k in shown]
    found = [colors.to_hex(patch.get_facecolor()) for patch in display.legend_.get_patches()]
    assert found == [expert_colour(k) for k in shown]


def test_regions_are_paler_where_the_gate_is_less_certain():
    probability = np.array([1.0, 0.6, 0.4, 1.0 / 3.0])
    gate = np.empty((2, 4, 3))
    gate[..., 1] = probability
    gate[..., 0] = gate[..., 2] = (1.0 - probability) / 2.0
    values = [np.arange(4.0), np.arange(2.0)]
    display = GateDisplay(feature_names=["a", "b"], values=values, gate=gate, expert_names=NAMES)
    ink = 1.0 - np.asarray(display.plot().image_.get_array())[0]
    own = 1.0 - expert_rgb(1)
    strength = ink.sum(axis=1) / own.sum()
    assert_allclose(ink[:3], strength[:3, None] * own)
    slopes = np.diff(strength)[:2] / np.diff(probability)[:2]
    assert_allclose(slopes[0], slopes[1])  # linear in the largest probability
    assert 0.0 < strength[-1] < 0.25 * strength[0]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_features_are_chosen_by_index_name_or_mask(make):
    X, y = two_regimes(60)
    frame = make(dict(zip(NAMES, X.T, strict=True)))
    moe = fit_quietly(regressor(max_iter=3), frame, y)
    mask = np.array([False, True, False])
    found = [GateDisplay.from_estimator(moe, frame, j) for j in ("width", 1, -2, mask, ["width"])]
    for display in found:
        assert_array_equal(display.gate, found[0].gate)
        assert display.panels is None
    assert found[-1].ax_.get_xlabel() == "width"
    assert_refused(refusal(GateDisplay.from_estimator, moe, frame, "b"), "features")


def test_a_list_makes_a_panel_of_each_entry(fitted):
    moe, frame, y = fitted
    features = ["width", ("depth", "height"), 0, 2]
    display = GateDisplay.from_estimator(moe, frame, features)
    for panel, one in zip(display.panels, features, strict=True):
        assert_array_equal(panel.gate, GateDisplay.from_estimator(moe, frame, one).gate)
    assert [ax.get_xlabel() for ax in display.ax_] == ["width", "depth", "depth", "height"]
    specs = [ax.get_subplotspec() for ax in display.ax_]  # rows of about the same length
    cells = [(spec.rowspan.start, spec.colspan.start) for spec in specs]
    assert cells == [(0, 0), (0, 1), (1, 0), (1, 1)]
    lines = GateDisplay.from_estimator(moe, frame, [(0, 1), 1, 0, 2])  # they share a legend
    assert [ax.get_legend() is not None for ax in lines.ax_] == [True, True, False, False]
    experts = ExpertsDisplay.from_estimator(moe, frame, y, NAMES, coverage=0.8)
    for name, panel in zip(NAMES, experts.panels, strict=True):
        alone = ExpertsDisplay.from_estimator(moe, frame, y, name, coverage=0.8)
        for field in ("grid", "curves", "gate", "mean", "band", "x", "y", "assigned_expert"):
            assert_array_equal(getattr(panel, field), getattr(alone, field))
    assert [ax.get_ylabel() for ax in experts.ax_] == ["y\n(other features at medians)", "", ""]
    assert [ax.get_legend() is not None for ax in experts.ax_] == [False, False, True]
    assert experts.plot(ax := new_axes()).figure_ is ax.figure


def test_the_default_is_the_feature_on_which_the_gate_depends_most(fitted, categorical):
    moe, frame, y = fitted
    wide = frame * [1.0, 1.0, 1e3]  # a small slope for a feature of large deviation
    for table, model in ((frame, moe), (wide, fit_quietly(regressor(3), wide, y))):
        effect = np.ptp(model.gate_coef_, axis=0) * table.to_numpy().std(axis=0)
        found = GateDisplay.from_estimator(model, table).feature_names
        assert found == [NAMES[int(effect.argmax())]]
    moe, frame, _ = categorical  # its gate has derived columns
    changes = []
    for name in frame.columns:
        if frame[name].dtype.kind == "f":
            values = np.nanquantile(frame[name], np.linspace(0.05, 0.95, 7))
        else:
            values = frame[name].value_counts().index[:12]
        rows = frame_at_references(frame, name, values)
        changes.append(np.ptp(moe.predict_gate(rows), axis=0).max())
    [found] = GateDisplay.from_estimator(moe, frame).feature_names
    assert found.split(" (")[0] == frame.columns[np.argmax(changes)]


@pytest.mark.parametrize("kind", ["linear", "tree"])
def test_the_default_is_a_feature_that_the_experts_use_if_they_use_any(kind):
    X, y = two_regimes(150)  # the first feature moves the gate, the second one the experts
    given = {"linear": {"expert_features": [1]}, "tree": {"expert": "tree", "cross_fit": False}}
    moe = fit_quietly(regressor(**given[kind]), X, y)
    used = np.ptp(moe.predict_experts(at_medians(X, 0, X[:, 0])), axis=0).max() > 0.0
    assert ExpertsDisplay.from_estimator(moe, X, y).feature_name == ("x0" if used else "x1")
    without = fit_quietly(regressor(expert_features=[]), X, y)
    assert ExpertsDisplay.from_estimator(without, X, y).feature_name == "x0"
    regimes = RegimesDisplay.from_estimator(without, X, y)
    assert regimes.feature_names == regimes.gate.feature_names * 2 == ["x0", "x0"]
    X = np.column_stack([np.ones(150), X[:, 1], 100.0 * X[:, 2]])  # one does not vary
    constant = fit_quietly(regressor(gate="constant"), X, np.sign(X[:, 2]) * X[:, 1])
    assert GateDisplay.from_estimator(constant, X).feature_names[0] in ("x1", "x2")


# --- categories -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_marks_with_their_shares_of_the_known_rows(make):
    X, y = two_regimes(80)
    words = np.random.default_rng(1).choice(["b", "a", "c"], 80, p=[0.5, 0.3, 0.2]).tolist()
    table = make({"x": X[:, 0].tolist(), "word": [*words[:-1], None]})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), table, y)
    display = GateDisplay.from_estimator(moe, table, "word")
    shares = {word: words[:-1].count(word) / 79 for word in "abc"}
    expected = [f"{word}\n{100 * share:.0f} %" for word, share in shares.items()]
    assert texts(display.ax_.get_xticklabels()) == display.categories == expected
    for k, line in enumerate(display.lines_):
        assert_array_equal(line.get_xydata(), np.column_stack([range(3), display.gate[:, k]]))
        assert line.get_linestyle() == "None"
        assert line.get_marker() == expert_lines(2)[k].get_marker()


def test_the_most_frequent_of_many_categories_are_drawn(categorical):
    moe, frame, _ = categorical
    display = GateDisplay.from_estimator(moe, frame, "code")
    shown = texts(display.ax_.get_xticklabels())  # turned, without shares
    assert [label.get_rotation() for label in display.ax_.get_xticklabels()] == [40.0] * 12
    most = frame["code"].value_counts()
    assert most[shown].min() >= most.drop(shown).max()
    assert display.ax_.get_xlabel() == "code (12 of 15 categories)"


@pytest.mark.parametrize("feature", ["width", "region"])
def test_other_columns_are_held_at_medians_and_most_frequent_categories(categorical, feature):
    moe, frame, y = categorical
    display = GateDisplay.from_estimator(moe, frame, feature)
    values = LEVELS if feature == "region" else display.values[0]
    rows = frame_at_references(frame, feature, values)
    assert_allclose(display.gate, moe.predict_gate(rows))
    experts = ExpertsDisplay.from_estimator(moe, frame, y, feature, coverage=None)
    assert_allclose(experts.curves, moe.predict_experts(rows))
    known = frame[feature].notna().to_numpy()
    own = frame_at_references(frame, feature, frame[feature].to_numpy())
    each, assigned = np.arange(len(frame)), moe.responsibilities(frame, y).argmax(axis=1)
    change = (moe.predict_experts(own) - moe.predict_experts(frame))[each, assigned]
    assert_allclose(experts.y, (y + change)[known])
    assert len(experts.x) == 149


def test_rows_of_a_category_lie_beside_a_dash(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(moe, frame, y, "region", coverage=0.8, adjust=False)
    regimes = RegimesDisplay.from_estimator(moe, frame, y, features="region")
    dashes = [curve.get_segments() for curve in display.curves_]
    dashes += [line.axes.collections[1].get_segments() for line in regimes.lines_]
    for k, segments in enumerate(dashes):
        for i, segment in enumerate(segments):
            height = display.curves[i, k % 2]
            assert_allclose(segment, [[i - 0.36, height], [i + 0.36, height]])
    boxes = [path.get_extents() for path in display.band_.get_paths()]
    for i, box in enumerate(box for box in boxes if box.width > 0.0):
        assert_allclose([box.x0, box.x1, box.y0, box.y1], [i - 0.36, i + 0.36, *display.band[i]])
    shift = display.scatter_.get_offsets()[:, 0] - display.x
    assert -0.25 <= shift.min() < -0.2 < 0.2 < shift.max() <= 0.25
    assert (display.line_.get_linestyle(), display.line_.get_marker()) == ("None", "_")
    of_width = RegimesDisplay.from_estimator(moe, frame, y, features="width")
    assert all(len(x) == 149 for x in of_width.x)  # one has no value
    assert of_width.target_name == "yield\n(other features at medians)"


REFUSED = [
    ((0, 1, 2), "all", ["one feature or two", "got (0, 1, 2)", "two at a time"]),
    ([], "all", ["must not be empty", "strongest"]),
    (np.arange(150) % 3, "all", []),  # a target
    ("region", "north", ["must vary", "'region'", "more rows"]),
    ("depth", "same", ["must vary", "'depth'", "more rows"]),
    (("width", "region"), "all", ["numbers", "'region'", "another feature"]),
]


@pytest.mark.parametrize(("features", "rows", "words"), REFUSED)
def test_wrong_features_are_refused(categorical, features, rows, words):
    moe, frame, y = categorical
    chosen = {"north": frame[frame["region"] == "north"], "same": frame.iloc[[3] * 5], "all": frame}
    message = refusal(GateDisplay.from_estimator, moe, chosen[rows], features)
    assert_refused(message.lower(), "features", *map(str.lower, words))
    assert len(message) < 300
    message = refusal(ExpertsDisplay.from_estimator, moe, frame, y, (0, 1))
    assert_refused(message, "features must be one feature", "each at a time")


# --- experts --------------------------------------------------------------------------------------


def test_curves_are_predictions_with_the_other_features_at_medians(fitted):
    moe, X, y = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, coverage=0.8, adjust=False)
    rows = held(X, "width", display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows))
    assert_allclose(display.gate, moe.predict_gate(rows))
    assert_allclose(display.line_.get_xydata(), np.column_stack([display.grid, moe.predict(rows)]))
    assert_allclose(display.band, moe.predict_interval(rows, 0.8))
    vertices = display.band_.get_paths()[0].vertices
    at = [vertices[vertices[:, 0] == point, 1] for point in display.grid]
    assert_allclose([(ends.min(), ends.max()) for ends in at], display.band)
    assert_array_equal(display.assigned_expert, moe.responsibilities(X, y).argmax(axis=1))
    assert_array_equal(display.scatter_.get_offsets(), np.column_stack([X["width"], y]))
    ink = display.scatter_.get_facecolors()[:, :3]
    assert_allclose(ink, np.array([expert_rgb(k) for k in display.assigned_expert]))
    expected = [*moe.expert_names_, "mixture", "80 % interval", "rows, by expert"]
    assert texts(display.legend_) == expected
    for k, curve in enumerate(display.curves_):  # as opaque as the gate
        points = np.column_stack([display.grid, display.curves[:, k]])
        assert_allclose(curve.get_segments(), np.stack([points[:-1], points[1:]], axis=1))
        opacity = 0.06 + 0.94 * (display.gate[1:, k] + display.gate[:-1, k]) / 2.0
        assert_allclose(curve.get_colors()[:, 3], opacity)
        assert_allclose(curve.get_colors()[:, :3], np.tile(expert_rgb(k), (199, 1)))
    plain = ExpertsDisplay.from_estimator(moe, X, y, 1, coverage=None)
    assert (plain.band, plain.band_) == (None, None)


def test_residuals_are_ratios_where_experts_have_a_log_link(fitted):
    X, y = fitted[1].to_numpy(), np.exp(fitted[2] / 2.0)
    moe = fit_quietly(regressor(family=["gamma", "normal"], n_init=2), X, y)
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    regimes = RegimesDisplay.from_estimator(moe, X, y, features=0)
    own = moe.predict_experts(X)
    curve = moe.predict_experts(at_medians(X, 0, X[:, 0]))
    expected = np.column_stack([curve[:, 0] * y / own[:, 0], curve[:, 1] + y - own[:, 1]])
    assert_allclose(np.column_stack(regimes.y), expected, rtol=1e-6)
    each = np.arange(len(X)), display.assigned_expert
    assert_allclose(display.y, expected[each], rtol=1e-6)
    assert 10 < display.assigned_expert.sum() < 140


def test_marks_and_axes_show_experts_where_they_are_probable(fitted):
    moe, X, y = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    display.gate = np.tile([0.96, 0.04, 0.0], (200, 1))
    display.curves = np.tile([0.0, 1e3, 1e3], (200, 1))
    display.plot()
    marks = [c for c in display.ax_.collections[1:] if c not in display.curves_]
    assert [len(c.get_offsets()) for c in marks] == [7, 0, 0]
    assert display.ax_.get_ylim()[1] < 3.0 * np.abs(display.y).max()


def test_probabilities_of_a_class_are_drawn_with_marks_above_and_below():
    moe, X, y, _ = CASES["classes"]()
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, target="red")
    c = list(moe.classes_).index("red")
    rows = at_medians(X, 1, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows)[:, :, c])
    assert_allclose(display.mean, moe.predict_proba(rows)[:, c])
    assert display.ax_.get_ylabel() == "Probability of class red"
    assert (display.band, display.unit_lines_) == (None, None)
    regimes = RegimesDisplay.from_estimator(moe, X, y, target="red", features=1)
    assert_allclose(np.column_stack(regimes.curves), display.curves)
    marks = [(display.scatter_, display.y)]
    for k, scatter in enumerate(regimes.scatters_):
        shown = regimes.responsibilities[:, k] >= 0.02
        marks.append((scatter, regimes.y[k][shown]))
    for scatter, of_class in marks:
        heights = scatter.get_offsets()[:, 1]
        assert_array_equal(heights, np.where(of_class > 0.0, 1.05, -0.05))
    assert_array_equal(display.y, y == "red")
    X, y = flipping_classes(80)
    moe = fit_quietly(regressor(), X, y)  # of a regressor that predicts zeros and ones
    assert ExpertsDisplay.from_estimator(moe, X, y).scatter_.get_offsets()[:, 1].max() != 1.05


def test_rows_with_an_exposure_and_units_are_drawn_per_unit_of_it():
    moe, X, y, given = CASES["counts"]()
    units, table = given["units"], moe.responsibilities(X, y, **given)
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, adjust=False, **given)
    assert_allclose(display.y, y / np.exp(given["offset"]))
    assert display.target_name == "y per unit of exposure"
    assert_array_equal(display.assigned_expert, table.rows(units).argmax(axis=1))
    lines = zip(display.unit_lines_.get_segments(), display.unit_lines_.get_colors(), strict=True)
    for label, proba, (line, ink) in zip(table.labels, table.proba, lines, strict=True):
        own = units == label
        expected = np.column_stack([X[own, 1], display.y[own]])[np.argsort(X[own, 1])]
        assert_allclose(line, expected)
        assert colors.to_hex(ink) == expert_colour(proba.argmax())
    assert texts(display.legend_)[-1] == "rows, by the\nexpert of the unit"
    regimes = RegimesDisplay.from_estimator(moe, X, y, adjust=False, **given)
    assert_allclose(regimes.shares, table.proba.mean(axis=0))
    assert_array_equal(regimes.responsibilities, table.rows(units))
    assert_allclose(regimes.y[0], display.y)
    assert "% of the units" in texts(regimes.ax_[1].get_legend())[0]


Y = np.arange(6.0)
TWO = {"a": Y, "b": Y[::-1]}


@pytest.mark.parametrize(
    ("y", "target", "name"),
    [
        (Y.tolist(), None, "y"),
        (Y[:, None], None, "y"),
        (np.column_stack([Y, Y[::-1]]), 1, "y1"),
        (pd.Series(Y, name="price"), None, "price"),
        (pd.Series(Y, name=3), None, "y"),
        (pl.Series("price", Y), None, "price"),
        (pd.DataFrame(TWO), 1, "b"),
        (pl.DataFrame(TWO), 0, "a"),
    ],
)
def test_targets_have_their_own_names(y, target, name):
    X = np.random.default_rng(0).normal(size=(6, 1))
    moe = fit_quietly(MixtureOfExpertsRegressor(1, alpha=1.0), X, y)
    display = ExpertsDisplay.from_estimator(moe, X, y, target=target, coverage=None)
    assert display.ax_.get_ylabel() == name


@dataclass(frozen=True)
class UnnamedDensity(HeteroscedasticExperts):
    """Experts without a predictive distribution."""

    components = None


def test_experts_without_distribution_have_no_band():
    X, y = two_regimes(60)
    moe = fit_quietly(regressor(expert=UnnamedDensity()), X, y)
    message = refusal(ExpertsDisplay.from_estimator, moe, X, y, 0)
    assert_refused(message, "predict_interval needs", "UnnamedDensity", "coverage=None")
    assert ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None).band is None
    assert export_text(moe).count("  y = ") == 2


# --- regimes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["lines", "outputs"])
def test_each_expert_is_drawn_over_the_feature_that_moves_it_most(case):
    moe, X, y, options = CASES[case]()
    display = RegimesDisplay.from_estimator(moe, X, y, **options)
    target = options.get("target", 0)
    coef = moe.expert_coef_.reshape(moe.n_experts_, -1, 3)[:, target]

    def answers(rows):
        return moe.predict_experts(rows).reshape(len(rows), moe.n_experts_, -1)[..., target]

    resp = moe.responsibilities(X, y)
    assert_array_equal(display.responsibilities, resp)
    gate = GateDisplay.from_estimator(moe, X)
    assert_array_equal(display.gate.gate, gate.gate)
    assert display.gate.ax_ is display.ax_[0]
    assert display.ax_[0].get_legend() is None
    assert len({ax.get_ylim() for ax in display.ax_[1:]}) == 1
    width = np.ptp(np.quantile(X, [0.05, 0.95], axis=0), axis=0)
    for k, j in enumerate(np.argmax(np.abs(coef) * width, axis=1)):
        ax, line, scatter = display.ax_[1 + k], display.lines_[k], display.scatters_[k]
        assert display.feature_names[k] == f"x{j}" == ax.get_xlabel()
        share = f"{100 * resp[:, k].mean():.0f} % of the rows"
        assert texts(ax.get_legend()) == [f"expert {k}\n{share}"]
        curve = answers(at_medians(X, j, display.grids[k]))[:, k]
        assert_allclose(display.curves[k], curve)
        # The line is drawn in full over the rows of the expert, which are partial residuals.
        own, grid = X[resp.argmax(axis=1) == k, j], display.grids[k]
        inside = (grid >= own.min()) & (grid <= own.max())
        assert_allclose(line.get_ydata(), np.where(inside, curve, np.nan))
        shown = resp[:, k] >= 0.02
        y_k = y if y.ndim == 1 else y[:, target]
        heights = answers(at_medians(X, j, X[:, j]))[:, k] + y_k - answers(X)[:, k]
        expected = np.column_stack([X[:, j], heights])[shown]
        assert_allclose(scatter.get_offsets(), expected, rtol=1e-5, atol=1e-9)
        assert_allclose(scatter.get_facecolors()[:, 3], 0.6 * resp[shown, k])
    given = {"features": 1, "gate_feature": 2, "adjust": False} | options
    other = RegimesDisplay.from_estimator(moe, X, y, **given)
    assert (other.feature_names, other.gate.feature_names) == (["x1"] * moe.n_experts_, ["x2"])
    assert_array_equal(other.y[0], y if y.ndim == 1 else y[:, target])


@pytest.mark.parametrize(
    ("resp", "y", "limits"),
    [
        # From 6 to 9, which are the rows that belong to an expert; the lines are at 7 there.
        ([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [6.0, 50.0, 9.0], (5.85, 9.15)),
        # The lines are cut off above the rows by their height, and below a single height never.
        ([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [1.0, 50.0, 3.0], (0.8, 5.2)),
        ([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [2.0, 50.0, 2.0], (1.75, 7.25)),
        # Without any such row, that of the curves.
        ([[0.5, 0.5]] * 3, [1.0, 2.0, 3.0], (5.0 - 0.3, 11.0 + 0.3)),
    ],
)
def test_heights_are_those_of_the_rows_that_belong_to_their_expert(resp, y, limits):
    grid = np.linspace(-1.0, 2.0, 40)
    arrays = {
        "gate": None,
        "expert_names": ["a", "b"],
        "shares": np.mean(resp, axis=0),
        "feature_names": ["height"] * 2,
        "grids": [grid] * 2,
        "curves": [7.0 + (i + 1) * grid for i in range(2)],
        "x": [np.zeros(3)] * 2,
        "y": [np.array(y)] * 2,
        "responsibilities": np.asarray(resp),
        "target_name": "weight",
        "categories": [None] * 2,
    }
    display = RegimesDisplay(**arrays).plot()
    assert_allclose([ax.get_ylim() for ax in display.ax_], [limits] * 2)
    of_class = RegimesDisplay(**arrays | {"y": [np.ones(3)] * 2}, is_probability=True).plot()
    assert_allclose([ax.get_ylim() for ax in of_class.ax_], [(-0.1, 1.1)] * 2)


@pytest.mark.parametrize("n_experts", [1, 5])
def test_panels_of_experts_stand_below_the_gate_in_rows_of_about_the_same_length(n_experts):
    X, y = two_regimes(60)
    moe = fit_quietly(regressor(n_experts, max_iter=2), X, y)
    display = RegimesDisplay.from_estimator(moe, X, y)
    with_gate = n_experts > 1
    assert (display.gate is not None) == with_gate
    specs = [ax.get_subplotspec() for ax in display.ax_[with_gate:]]
    places = [(spec.rowspan.start - with_gate, spec.colspan.start) for spec in specs]
    assert places == [divmod(k, 3) for k in range(n_experts)]
    named = [ax.get_ylabel() != "" for ax in display.ax_[with_gate:]]
    assert named == [column == 0 for _, column in places]
    if with_gate:
        assert display.ax_[0].get_subplotspec().colspan.stop == 3


def test_rows_of_little_exposure_do_not_stretch_the_axis():
    """Their rates are 200, and those of the others a few."""
    rng = np.random.default_rng(0)
    X, exposure = rng.normal(size=(300, 2)), rng.uniform(0.2, 1.0, size=300)
    exposure[:6] = 0.005
    y = rng.poisson(np.exp(0.3 * X[:, 0]) * exposure)
    y[:2] = 1
    offset = np.log(exposure)
    moe = fit_quietly(regressor(family="poisson"), X, y, offset=offset)
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, offset=offset)
    assert display.y.max() > 100.0
    assert display.figure_.axes[0].get_ylim()[1] < 20.0
