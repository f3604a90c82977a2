"""The picture of all regimes draws the gate, and each expert with its rows."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import GateDisplay, RegimesDisplay
from skmoe.inspection._regime_panels import MAX_ROW_OPACITY, MIN_RESPONSIBILITY_SHOWN

matplotlib.use("Agg")


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, random_state=0, n_init=1, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    return quiet(regressor(), X, y), X, y


def at_medians(X, column, values):
    rows = np.tile(np.median(X, axis=0), (len(values), 1))
    rows[:, column] = values
    return rows


def test_the_gate_is_that_over_its_strongest_feature(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y)
    alone = GateDisplay.from_estimator(moe, X)
    assert display.gate.feature_names == alone.feature_names == ["x0"]
    assert_allclose(display.gate.gate, alone.gate)
    assert_allclose([line.get_ydata() for line in display.gate.lines_], alone.gate.T)
    assert display.gate.ax_ is display.ax_[0]
    assert display.ax_[0].get_legend() is None
    other = RegimesDisplay.from_estimator(moe, X, y, gate_feature=2)
    assert other.gate.feature_names == ["x2"]


def test_each_expert_is_drawn_over_its_strongest_feature(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y)
    effects = np.abs(moe.expert_coef_) * X.std(axis=0)
    for k in range(2):
        j = int(np.argmax(effects[k]))
        assert display.feature_names[k] == f"x{j}" == display.ax_[1 + k].get_xlabel()
        points = at_medians(X, j, display.grids[k])
        assert_allclose(display.curves[k], moe.predict_experts(points)[:, k])
        assert_array_equal(display.x[k], X[:, j])
        own = X[moe.responsibilities(X, y).argmax(axis=1) == k, j]
        line = display.lines_[k].get_ydata()
        inside = (display.grids[k] >= own.min()) & (display.grids[k] <= own.max())
        assert_allclose(line[inside], display.curves[k][inside])
        assert np.isnan(line[~inside]).all()
    alike = RegimesDisplay.from_estimator(moe, X, y, features=1)
    assert alike.feature_names == ["x1", "x1"]


def test_rows_are_partial_residuals_as_opaque_as_their_responsibilities(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y)
    resp = moe.responsibilities(X, y)
    assert_allclose(display.responsibilities, resp)
    assert_allclose(display.shares, resp.mean(axis=0))
    for k in range(2):
        j = int(display.feature_names[k][1])
        residual = y - moe.predict_experts(X)[:, k]
        curve = moe.predict_experts(at_medians(X, j, X[:, j]))[:, k]
        assert_allclose(display.y[k], curve + residual)
        shown = resp[:, k] >= MIN_RESPONSIBILITY_SHOWN
        offsets = display.scatters_[k].get_offsets()
        assert_allclose(offsets, np.column_stack([X[shown, j], display.y[k][shown]]))
        opacity = display.scatters_[k].get_facecolors()[:, 3]
        assert_allclose(opacity, MAX_ROW_OPACITY * resp[shown, k])
    plain = RegimesDisplay.from_estimator(moe, X, y, adjust=False)
    assert_array_equal(plain.y[0], y)
    assert display.ax_[1 + display.order[0]].get_ylabel() == "y\n(other features at medians)"
    assert plain.ax_[1 + plain.order[0]].get_ylabel() == "y"


def test_panels_are_in_the_order_of_the_gate(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y)
    first = moe.predict_gate(at_medians(X, 0, [X[:, 0].min()])).argmax()
    assert display.order == [first, 1 - first]
    left = [display.ax_[1 + k].get_position().x0 for k in display.order]
    assert left[0] < left[1]
    headings = [ax.get_legend().get_texts()[0].get_text() for ax in display.ax_[1:]]
    shares = moe.responsibilities(X, y).mean(axis=0)
    assert headings == [f"expert {k}\n{100 * shares[k]:.0f} % of the rows" for k in range(2)]
    assert display.ax_[1].get_ylim() == display.ax_[2].get_ylim()


def test_one_expert_has_no_gate(fitted):
    _, X, y = fitted
    display = RegimesDisplay.from_estimator(regressor(1).fit(X, y), X, y)
    assert display.gate is None
    assert len(display.ax_) == 1


@pytest.mark.parametrize("n_experts", [5, 12])
def test_many_experts_have_a_panel_each(n_experts):
    X, y = two_regimes(300)
    moe = quiet(regressor(n_experts, max_iter=5), X, y)
    names = [f"a long name of segment number {k}" for k in range(n_experts)]
    display = RegimesDisplay.from_estimator(moe, X, y, subsample=50, expert_names=names)
    assert len(display.ax_) == 1 + n_experts
    assert all(len(x) == 50 for x in display.x)
    assert display.responsibilities.shape == (50, n_experts)
    display.figure_.draw_without_rendering()
    edges = display.figure_.bbox
    for ax in display.ax_[1:]:
        box = ax.get_legend().get_window_extent()
        assert edges.x0 <= box.x0
        assert box.x1 <= edges.x1 + 1.0


def test_classes_have_marks_above_and_below():
    X, y = flipping_classes()
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0, n_init=1), X, y)
    display = RegimesDisplay.from_estimator(moe, X, y)
    assert display.feature_names == ["x1", "x1"]
    for k in range(2):
        points = at_medians(X, 1, display.grids[k])
        assert_allclose(display.curves[k], moe.predict_experts(points)[:, k, 1])
        shown = display.responsibilities[:, k] >= MIN_RESPONSIBILITY_SHOWN
        heights = display.scatters_[k].get_offsets()[:, 1]
        assert_array_equal(heights > 1.0, y[shown] == 1)
    assert "medians" not in display.target_name


def test_categories_and_trees():
    X, y = two_regimes(200)
    frame = pd.DataFrame(X[:, :2], columns=["depth", "width"])
    level = np.random.default_rng(0).choice(3, 200)
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    frame.loc[3, "width"] = np.nan
    y = pd.Series(y + 20.0 * level, name="yield")
    moe = quiet(regressor(expert="tree", max_iter=2), frame, y)
    display = RegimesDisplay.from_estimator(moe, frame, y)
    assert display.feature_names == ["region", "region"]
    assert_allclose(display.lines_[0].get_ydata(), display.curves[0])
    assert len(display.curves[0]) == 3
    of_width = RegimesDisplay.from_estimator(moe, frame, y, features="width")
    assert all(len(x) == 199 for x in of_width.x)
    assert of_width.target_name.startswith("yield\n")


def test_units_and_pipelines(fitted):
    _, X, y = fitted
    units = np.repeat(np.arange(100), 3)
    moe = quiet(regressor(gate="constant"), X, y, units=units)
    display = RegimesDisplay.from_estimator(moe, X, y, units=units)
    resp = moe.responsibilities(X, y, units=units)
    assert_allclose(display.shares, resp.proba.mean(axis=0))
    assert_allclose(display.responsibilities, resp.rows(units))
    assert "of the units" in display.ax_[1].get_legend().get_texts()[0].get_text()
    pipeline = make_pipeline(StandardScaler(), regressor()).fit(X * 1e3, y)
    scaled = RegimesDisplay.from_estimator(pipeline, X * 1e3, y)
    j = int(scaled.feature_names[0][1])
    assert_allclose(scaled.grids[0][[0, -1]], [1e3 * X[:, j].min(), 1e3 * X[:, j].max()])


def test_axes_are_replaced_and_a_display_draws_again(fitted):
    moe, X, y = fitted
    figure, ax = plt.subplots()
    display = RegimesDisplay.from_estimator(moe, X, y, ax=ax)
    assert display.figure_ is figure
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate_feature": "depth"}, "X has none"),
        ({"features": (0, 1)}, "features must be one feature"),
        ({"adjust": 1}, "adjust must be True or False"),
        ({"subsample": 1}, "subsample must be an integer of at least 2"),
        ({"target": 3}, "target must be the index of an output"),
        ({"expert_names": ["one"]}, "one name for each"),
    ],
)
def test_bad_requests(fitted, options, message):
    moe, X, y = fitted
    with pytest.raises(ValueError, match=message):
        RegimesDisplay.from_estimator(moe, X, y, **options)
