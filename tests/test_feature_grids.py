"""Several features make a grid, categories are drawn, and the default is the strongest feature."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, two_regimes

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, GateDisplay
from skmoe.inspection._leading import expert_effects, leading_feature
from skmoe.inspection._style import COLOURS, DASHES, MARKERS

matplotlib.use("Agg")
NAMES = ["depth", "width", "height"]
LEVELS = ["south", "north", "east"]


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(300)
    frame = pd.DataFrame(X, columns=NAMES)
    return quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), frame, y), frame, y


@pytest.fixture(scope="module")
def categorical():
    X, y = two_regimes(200)
    frame = pd.DataFrame(X[:, :2], columns=NAMES[:2])
    rng = np.random.default_rng(0)
    level = rng.choice(3, 200, p=[0.2, 0.3, 0.5])
    frame["region"] = pd.Categorical.from_codes(level, LEVELS)
    frame["code"] = [f"code {i}" for i in rng.integers(15, size=200)]
    frame.loc[7, "region"] = None
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=3, random_state=0)
    return quiet(moe, frame, y + 2.0 * level), frame, y + 2.0 * level


def at_medians(frame, column, values):
    rows = frame.iloc[[0] * len(values)].reset_index(drop=True)
    for name in frame.columns:
        if name in NAMES:
            rows[name] = frame[name].median()
        else:
            most = frame[name].mode()[0]
            rows[name] = pd.Series([most] * len(values)).astype(frame[name].dtype)
    rows[column] = pd.Series(values).astype(frame[column].dtype)
    return rows


# --- grids ----------------------------------------------------------------------------------------


def test_a_list_makes_a_panel_of_each_entry(fitted):
    moe, X, _ = fitted
    display = GateDisplay.from_estimator(moe, X, ["width", ("depth", "height"), 0, 2])
    assert len(display.panels) == len(display.ax_) == 4
    alone = GateDisplay.from_estimator(moe, X, ("depth", "height"))
    assert_allclose(display.panels[1].gate, alone.gate)
    labels = [ax.get_xlabel() for ax in display.ax_]
    assert labels == ["width", "depth", "depth", "height"]
    assert_allclose(display.gate, display.panels[0].gate)
    assert alone.panels is None
    assert {ax.figure for ax in display.ax_} == {display.figure_}
    with_legend = [ax.get_legend() is not None for ax in display.ax_]
    assert with_legend == [True, True, True, True]  # the pair ends the first row
    one = GateDisplay.from_estimator(moe, X, ["width"])
    assert one.panels is None


def test_a_list_makes_a_panel_of_experts_for_each_feature(fitted):
    moe, X, y = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, NAMES, coverage=0.8)
    for j, panel in enumerate(display.panels):
        alone = ExpertsDisplay.from_estimator(moe, X, y, j, coverage=0.8)
        for name in ("grid", "curves", "gate", "mean", "band", "x", "y", "assigned_expert"):
            assert_array_equal(getattr(panel, name), getattr(alone, name))
    assert [ax.get_xlabel() for ax in display.ax_] == NAMES
    assert [ax.get_ylabel() for ax in display.ax_] == ["y", "", ""]
    assert [ax.get_legend() is not None for ax in display.ax_] == [False, False, True]
    again = display.plot()
    assert again.figure_ is display.figure_
    figure, axes = plt.subplots(1, 3)
    assert_array_equal(display.plot(axes).ax_, axes)
    figure, ax = plt.subplots()
    assert display.plot(ax).figure_ is figure
    with pytest.raises(ValueError, match="one for each of the 3 panels; got 2"):
        display.plot(axes[:2])


def test_the_former_name_of_features_warns(fitted):
    moe, X, y = fitted
    with pytest.warns(FutureWarning, match="feature is features since version 0.2"):
        display = ExpertsDisplay.from_estimator(moe, X, y, feature="width", coverage=None)
    assert display.feature_name == "width"


# --- the default ----------------------------------------------------------------------------------


def test_the_default_is_the_feature_on_which_the_gate_depends_most(fitted):
    moe, X, y = fitted
    effect = np.ptp(moe.gate_coef_, axis=0) * X.to_numpy().std(axis=0)
    strongest = NAMES[int(np.argmax(effect))]
    assert GateDisplay.from_estimator(moe, X).feature_names == [strongest]
    assert ExpertsDisplay.from_estimator(moe, X, y).feature_name == strongest
    turned = X[["height", "width", "depth"]]
    other = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), turned, y)
    assert GateDisplay.from_estimator(other, turned).feature_names == [strongest]
    assert strongest == "depth"


def test_gates_without_slopes_are_probed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1.0, 1.0, 100.0]
    X[:, 0] = 1.0
    y = np.where(rng.uniform(size=300) < 0.5, 1.0, -1.0) * X[:, 1] + 0.1 * rng.normal(size=300)
    moe = quiet(MixtureOfExpertsRegressor(2, gate="constant", random_state=0), X, y)
    assert leading_feature(moe, X) == 1  # of the experts, as the gate is constant


def test_gates_of_derived_columns_are_probed(categorical):
    moe, frame, _ = categorical
    changes = []
    for name in frame.columns:
        values = np.unique(frame[name].dropna().astype(str))
        if name in NAMES:
            values = np.quantile(frame[name], np.linspace(0.05, 0.95, 7))
        elif name == "code":
            values = frame[name].value_counts().index[:12]
        changes.append(np.ptp(moe.predict_gate(at_medians(frame, name, values)), axis=0).max())
    assert leading_feature(moe, frame) == int(np.argmax(changes))


# --- categories -----------------------------------------------------------------------------------


def test_categories_are_drawn_in_their_order(categorical):
    moe, frame, _ = categorical
    display = GateDisplay.from_estimator(moe, frame, "region")
    assert_array_equal(display.values[0], [0.0, 1.0, 2.0])
    assert_allclose(display.gate, moe.predict_gate(at_medians(frame, "region", LEVELS)))
    ticks = [label.get_text() for label in display.ax_.get_xticklabels()]
    shares = frame["region"].value_counts(normalize=True)
    assert ticks == [f"{level}\n{100 * shares[level]:.0f} %" for level in LEVELS]
    for k, line in enumerate(display.lines_):
        assert_allclose(line.get_ydata(), display.gate[:, k])
        assert line.get_linestyle() == "None"
        assert line.get_marker() == MARKERS[k]


def test_experts_over_categories(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(moe, frame, y, "region")
    rows = at_medians(frame, "region", LEVELS)
    assert_allclose(display.curves, moe.predict_experts(rows))
    assert_allclose(display.band, moe.predict_interval(rows, 0.9))
    known = frame["region"].notna().to_numpy()
    assert_array_equal(display.x, frame["region"].cat.codes[known])
    assert_allclose(display.y, y[known])
    for curve, values in zip(display.curves_, display.curves.T, strict=True):
        for i, segment in enumerate(curve.get_segments()):
            assert_allclose(segment[:, 1], values[i])
            assert_allclose(segment[:, 0].mean(), i, atol=1e-12)
            assert np.ptp(segment[:, 0]) > 0.5
    beside = display.scatter_.get_offsets()[:, 0]
    assert (np.abs(beside - display.x) < 0.3).all()
    assert len(np.unique(beside)) == len(beside)
    heights = np.concatenate([path.vertices[:, 1] for path in display.band_.get_paths()])
    for bound in display.band.ravel():
        assert np.isclose(heights, bound).any()


def test_adjusted_rows_keep_their_category(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(moe, frame, y, "region", coverage=None, adjust=True)
    known = np.flatnonzero(frame["region"].notna())
    rows = at_medians(frame, "region", frame["region"].to_numpy())
    each = np.arange(len(frame))
    assigned = moe.responsibilities(frame, y).argmax(axis=1)
    change = (moe.predict_experts(rows) - moe.predict_experts(frame))[each, assigned]
    assert_allclose(display.y, (y + change)[known])


def test_the_most_frequent_of_many_categories_are_drawn(categorical):
    moe, frame, _ = categorical
    display = GateDisplay.from_estimator(moe, frame, "code")
    shown = [label.get_text() for label in display.ax_.get_xticklabels()]
    most = frame["code"].value_counts()
    assert len(shown) == 12
    assert most[shown].min() >= most.drop(shown).max()
    assert display.ax_.get_xlabel() == "code (12 of 15 categories)"


def test_polars_categories_are_drawn(categorical):
    _, frame, y = categorical
    table = pl.DataFrame(
        {"depth": frame["depth"].to_numpy(), "code": frame["code"].str.slice(5, 6).tolist()}
    )
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=2, random_state=0)
    try:
        quiet(moe, table, y)
    except (TypeError, ValueError):
        pytest.skip("trees take no strings of polars here")
    display = GateDisplay.from_estimator(moe, table, "code")
    assert len(display.categories) == table["code"].n_unique()


def test_categories_must_vary(categorical):
    moe, frame, _ = categorical
    with pytest.raises(ValueError, match="'region' does not"):
        GateDisplay.from_estimator(moe, frame[frame["region"] == "north"], "region")


# --- experts without colours ----------------------------------------------------------------------


def test_experts_differ_in_grey_print():
    gate = np.full((50, 12), 1 / 12)
    display = GateDisplay(feature_names=["x"], values=[np.arange(50.0)], gate=gate).plot()
    styles = [(line.get_linestyle(), line.get_marker()) for line in display.lines_]
    assert len(set(styles[:8])) == 8
    assert [line.get_linestyle() for line in display.lines_[:4]] == list(DASHES)
    combined = {(line.get_color(), line.get_marker()) for line in display.lines_}
    assert len(combined) == 12
    assert len({color for color, _ in combined}) == len(COLOURS)
    marked = [set(line.get_markevery()) for line in display.lines_[:7]]
    assert not set.intersection(*marked)


def test_names_of_experts_are_in_legend_and_regions(fitted):
    moe, X, y = fitted
    names = ["shallow", "deep"]
    display = GateDisplay.from_estimator(moe, X, ("depth", "width"), expert_names=names)
    assert {label.get_text() for label in display.labels_} == set(names)
    legend = [text.get_text() for text in display.legend_.get_texts()]
    assert legend[:2] == names
    display = ExpertsDisplay.from_estimator(moe, X, y, expert_names=names)
    assert [text.get_text() for text in display.legend_.get_texts()][:2] == names
    with pytest.raises(ValueError, match="one name for each of the 2 experts"):
        ExpertsDisplay.from_estimator(moe, X, y, expert_names=["one"])


def test_effects_of_linear_experts_are_slopes_per_standard_deviation():
    X, y = two_regimes(100)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(X, y)
    for j in range(X.shape[1]):
        further = X + np.eye(X.shape[1])[j]
        slopes = moe.predict_experts(further) - moe.predict_experts(X)
        assert_allclose(expert_effects(moe, X, 0)[j], np.abs(slopes[0]) * X[:, j].std())
