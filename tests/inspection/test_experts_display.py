"""ExpertsDisplay: predictions of the experts over a feature, with the rows and their units."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import colors
from matplotlib.collections import PathCollection
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import ExpertsDisplay, RegimesDisplay, TrajectoriesDisplay, export_text
from support.displays import (
    CASES,
    at_medians,
    expert_colour,
    expert_rgb,
    frame_at_references,
    new_axes,
    texts,
)
from support.fits import fit_quietly
from support.heteroscedastic import HeteroscedasticExperts
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(150)
    return fit_quietly(regressor(), X, y), X, y


@pytest.fixture(scope="module")
def categorical():
    X, y = two_regimes(100)
    frame = pd.DataFrame(X[:, :2], columns=["depth", "width"])
    level = np.random.default_rng(0).choice(3, 100)
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    frame.loc[7, "region"] = None
    frame.loc[3, "width"] = np.nan
    y = y + 2.0 * level
    return fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y), frame, y


def given_experts(**options):
    """A display of arrays: the experts are a line and a parabola."""
    grid = np.linspace(-1.0, 2.0, 40)
    given = {
        "feature_name": "height",
        "target_name": "weight",
        "grid": grid,
        "curves": np.column_stack([grid, 1.0 - grid**2]),
        "gate": np.column_stack([0.6 + 0.1 * grid, 0.4 - 0.1 * grid]),
        "mean": grid / 2.0,
        "x": np.array([0.0, 1.0, 0.5]),
        "y": np.array([1.0, 0.0, 1.0]),
        "assigned_expert": np.array([0, 1, 0]),
        "band": None,
        "coverage": None,
    }
    return ExpertsDisplay(**given | options)


# --- numbers --------------------------------------------------------------------------------------


def test_curves_are_predictions_with_the_other_features_at_medians(fitted):
    moe, X, y = fitted
    given = {"grid_resolution": 25, "coverage": 0.8, "adjust": False}
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, **given)
    assert_allclose(display.grid, np.linspace(X[:, 1].min(), X[:, 1].max(), 25))
    rows = at_medians(X, 1, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows))
    assert_allclose(display.gate, moe.predict_gate(rows))
    assert_allclose(display.line_.get_xydata(), np.column_stack([display.grid, moe.predict(rows)]))
    assert_allclose(display.band, moe.predict_interval(rows, 0.8))
    assert_array_equal(display.x, X[:, 1])
    assert_array_equal(display.y, y)
    assert_array_equal(display.assigned_expert, moe.responsibilities(X, y).argmax(axis=1))
    assert_array_equal(display.scatter_.get_offsets(), np.column_stack([display.x, display.y]))
    expected = [*moe.expert_names_, "mixture", "80 % interval", "rows, by expert"]
    assert texts(display.legend_) == expected


def test_one_of_several_outputs_is_drawn():
    moe, X, Y, _ = CASES["outputs"]()
    display = ExpertsDisplay.from_estimator(moe, X, Y, 0, target=1)
    rows = at_medians(X, 0, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows)[:, :, 1])
    assert_allclose(display.mean, moe.predict(rows)[:, 1])
    assert_allclose(display.band, moe.predict_interval(rows, 0.9)[:, :, 1])
    assert display.ax_.get_ylabel() == "y1\n(other features at medians)"


def test_probabilities_of_a_class_are_drawn_with_marks_above_and_below():
    moe, X, y, _ = CASES["classes"]()
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, target="red")
    c = list(moe.classes_).index("red")
    rows = at_medians(X, 1, display.grid)
    assert_allclose(display.curves, moe.predict_experts(rows)[:, :, c])
    assert_allclose(display.mean, moe.predict_proba(rows)[:, c])
    assert_array_equal(display.y, y == "red")
    heights = display.scatter_.get_offsets()[:, 1]
    low, high = display.ax_.get_ylim()
    assert_array_equal(heights > 1.0, y == "red")
    assert_array_equal(heights < 0.0, y != "red")
    assert low < heights.min() < 0.0 < 1.0 < heights.max() < high
    assert (display.band, display.coverage) == (None, None)
    assert display.ax_.get_ylabel() == "Probability of class red"
    assert texts(display.legend_)[-1] == "rows, by expert\n(of the class: top)"
    assert display.legend_.legend_handles[-1].get_marker() == "|"


def test_of_two_classes_the_second_is_drawn():
    X, y = flipping_classes(80)
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT), X, y)
    display = ExpertsDisplay.from_estimator(moe, X, y, 1)
    assert_allclose(display.mean, moe.predict_proba(at_medians(X, 1, display.grid))[:, 1])
    assert_array_equal(display.y, y)


def test_rows_with_an_exposure_are_drawn_per_unit_of_it():
    moe, X, y, given = CASES["counts"]()
    options = given | {"max_units": None, "adjust": False}
    display = ExpertsDisplay.from_estimator(moe, X, y, 1, **options)
    assert_allclose(display.y, y / np.exp(given["offset"]))
    assert display.target_name == "y per unit of exposure"
    own = moe.responsibilities(X, y, offset=given["offset"], units=given["units"])
    assert_array_equal(display.assigned_expert, own.rows(given["units"]).argmax(axis=1))


@pytest.mark.parametrize("display_class", [ExpertsDisplay, RegimesDisplay, TrajectoriesDisplay])
def test_rows_of_little_exposure_do_not_squeeze_the_others(display_class):
    """A claim in eighteen days is a rate of 20: a small point, beyond the axes."""
    rng = np.random.default_rng(0)
    X, exposure = rng.normal(size=(200, 1)), np.repeat([0.05, 1.0], [30, 170])
    y = np.append(np.arange(30) % 5 == 0, rng.poisson(np.exp(0.3 * X[30:, 0]))).astype(float)
    offset, options = np.log(exposure), {}
    if display_class is TrajectoriesDisplay:
        options = {"time": 0, "coverage": None}
    moe = fit_quietly(regressor(2, family="poisson", gate="constant"), X, y, offset=offset)
    display = display_class.from_estimator(moe, X, y, offset=offset, **options)
    assert max(map(np.max, np.atleast_2d(display.y))) == pytest.approx(20.0)
    assert all(ax.get_ylim()[1] < 12.0 for ax in np.ravel(display.ax_)[-2:])
    points = [drawn for ax in np.ravel(display.ax_) for drawn in ax.collections]
    areas = [np.unique(of.get_sizes()) for of in points if isinstance(of, PathCollection)]
    areas = [of for of in areas if len(of) > 1]
    assert areas
    assert all(of[-1] == pytest.approx(20.0 * of[0]) for of in areas)


Y = np.arange(6.0)
TWO = {"a": Y, "b": Y[::-1]}


@pytest.mark.parametrize(
    ("y", "target", "name"),
    [
        (Y.tolist(), None, "y"),
        (Y[:, None], None, "y"),
        (np.column_stack([Y, Y[::-1]]), 1, "y1"),
        (pd.Series(Y, name="price"), None, "price"),
        (pd.Series(Y), None, "y"),
        (pd.Series(Y, name=""), None, "y"),
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
    assert "UnnamedDensity" in message
    assert "coverage=None" in message
    assert ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None).band is None
    assert export_text(moe).count("  y = ") == 2


# --- curves and bands -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_category", [False, True])
def test_curves_are_as_opaque_as_the_gate(is_category):
    display = given_experts(categories=[f"c{i}" for i in range(40)] if is_category else None)
    display.plot()
    opacity = {}
    for k, curve in enumerate(display.curves_):
        gate = display.gate[:, k]
        points = np.column_stack([display.grid, display.curves[:, k]])
        segments = np.array(curve.get_segments())
        if is_category:
            assert_allclose(segments.mean(axis=1), points)
            assert_allclose(np.ptp(segments, axis=1), np.tile([0.72, 0.0], (40, 1)), atol=1e-12)
        else:
            assert_allclose(segments, np.stack([points[:-1], points[1:]], axis=1))
        shown = gate if is_category else (gate[1:] + gate[:-1]) / 2.0
        ink = curve.get_colors()
        assert_allclose(ink[:, :3], np.tile(expert_rgb(k), (len(ink), 1)))
        opacity |= dict(zip(shown.tolist(), ink[:, 3].tolist(), strict=True))
    gate, found = np.array(list(opacity.items())).T
    least = np.polyval(np.polyfit(gate, found, 1), [0.0, 1.0])  # a line in the probability
    assert_allclose(least, [0.06, 1.0], atol=1e-9)
    assert_allclose(found, 0.06 + 0.94 * gate)


def test_marks_of_experts_are_drawn_where_they_are_probable():
    gate = np.column_stack([np.full(40, 0.96), np.full(40, 0.04)])
    display = given_experts(gate=gate, curves=np.column_stack([np.zeros(40), np.full(40, 1e3)]))
    display.plot()
    first, second = (c for c in display.ax_.collections[1:] if c not in display.curves_)
    assert len(first.get_offsets()) == 7
    assert len(second.get_offsets()) == 0
    low, high = display.ax_.get_ylim()
    assert -1.0 < low < 0.0 < 1.0 < high < 2.0  # of rows and probable predictions only
    faces, edges = first.get_facecolors(), first.get_edgecolors()
    assert_allclose(faces[:, :3], np.tile(expert_rgb(0), (7, 1)))
    assert_array_equal(edges[:, :3], 1.0)
    assert_allclose(edges[:, 3], faces[:, 3])
    probable = given_experts(gate=np.full((40, 2), 0.05), curves=display.curves).plot()
    assert 2.0 < probable.ax_.get_ylim()[1] < 3.0  # as far above the rows as these are high


@pytest.mark.parametrize("coverage", [None, 0.8])
@pytest.mark.parametrize("has_band", [False, True])
def test_bands_are_drawn_if_they_and_their_coverage_are_known(coverage, has_band):
    grid = given_experts().grid
    band = np.column_stack([grid - 1.0, grid + 1.0]) if has_band else None
    display = given_experts(band=band, coverage=coverage).plot()
    is_drawn = has_band and coverage is not None
    assert (display.band_ is not None) == is_drawn
    assert ("80 % interval" in texts(display.legend_)) == is_drawn
    if is_drawn:
        vertices = display.band_.get_paths()[0].vertices
        at = [vertices[vertices[:, 0] == point, 1] for point in grid]
        assert_allclose([(ends.min(), ends.max()) for ends in at], band)
    assert display.line_.get_linestyle() == "--"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("height", "weight")


def test_rows_are_residuals_about_their_expert_in_its_colour(fitted):
    moe, X, y = fitted
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    each = np.arange(len(X))
    residual = y - moe.predict_experts(X)[each, display.assigned_expert]
    curve = moe.predict_experts(at_medians(X, 0, X[:, 0]))[each, display.assigned_expert]
    assert_allclose(display.y, curve + residual)
    ink = display.scatter_.get_facecolors()[:, :3]
    assert_allclose(ink, np.array([expert_rgb(k) for k in display.assigned_expert]))
    assert len(set(display.assigned_expert)) == 2
    plain = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None, adjust=False)
    assert_array_equal(plain.y, y)
    labels = [each.ax_.get_ylabel() for each in (display, plain)]
    assert labels == ["y\n(other features at medians)", "y"]


# --- rows -----------------------------------------------------------------------------------------


def test_rows_without_the_feature_are_not_drawn(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(
        moe, frame, pd.Series(y, name="yield"), "width", adjust=False
    )
    assert display.ax_.get_ylabel() == "yield"
    assert_array_equal(display.y, np.delete(y, 3))
    assert_array_equal(display.x, np.delete(frame["width"].to_numpy(), 3))
    assert len(display.assigned_expert) == 99
    assert np.isfinite(display.curves).all()


# --- categories -----------------------------------------------------------------------------------


def test_experts_over_categories_are_dashes_with_rows_beside_them(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(moe, frame, y, "region", coverage=0.8, adjust=False)
    rows = frame_at_references(frame, "region", ["south", "north", "east"])
    assert_allclose(display.curves, moe.predict_experts(rows))
    assert_allclose(display.band, moe.predict_interval(rows, 0.8))
    known = frame["region"].notna().to_numpy()
    assert_array_equal(display.x, frame["region"].cat.codes[known])
    assert_array_equal(display.y, y[known])
    for curve, values in zip(display.curves_, display.curves.T, strict=True):
        for i, segment in enumerate(curve.get_segments()):
            assert_allclose(segment, [[i - 0.36, values[i]], [i + 0.36, values[i]]])
    boxes = [path.get_extents() for path in display.band_.get_paths()]
    boxes = [box for box in boxes if box.width > 0.0]
    assert len(boxes) == 3
    for i, box in enumerate(boxes):
        assert_allclose((box.x0, box.x1), (i - 0.36, i + 0.36))
        assert_allclose((box.y0, box.y1), display.band[i])
    shift = display.scatter_.get_offsets()[:, 0] - display.x
    assert np.abs(shift).max() <= 0.25
    assert shift.min() < -0.2 < 0.2 < shift.max()
    assert len(np.unique(shift)) == len(shift)
    assert_array_equal(display.scatter_.get_offsets()[:, 1], display.y)
    assert (display.line_.get_linestyle(), display.line_.get_marker()) == ("None", "_")
    assert_allclose(display.ax_.get_xlim(), (-0.6, 2.6))


def test_adjusted_rows_keep_their_category(categorical):
    moe, frame, y = categorical
    display = ExpertsDisplay.from_estimator(moe, frame, y, "region", coverage=None)
    known = np.flatnonzero(frame["region"].notna())
    rows = frame_at_references(frame, "region", frame["region"].to_numpy())
    each, assigned = np.arange(len(frame)), moe.responsibilities(frame, y).argmax(axis=1)
    change = (moe.predict_experts(rows) - moe.predict_experts(frame))[each, assigned]
    assert_allclose(display.y, (y + change)[known])


# --- panels ---------------------------------------------------------------------------------------


def test_a_list_makes_a_panel_of_each_feature(fitted):
    moe, X, y = fitted
    names = ["depth", "width", "height"]
    display = ExpertsDisplay.from_estimator(
        moe, X, y, names, feature_names=names, coverage=0.8, grid_resolution=20
    )
    for j, panel in enumerate(display.panels):
        alone = ExpertsDisplay.from_estimator(moe, X, y, j, coverage=0.8, grid_resolution=20)
        for name in ("grid", "curves", "gate", "mean", "band", "x", "y", "assigned_expert"):
            assert_array_equal(getattr(panel, name), getattr(alone, name))
    assert [ax.get_xlabel() for ax in display.ax_] == names
    assert [ax.get_ylabel() for ax in display.ax_] == ["y\n(other features at medians)", "", ""]
    assert [ax.get_legend() is not None for ax in display.ax_] == [False, False, True]
    axes = new_axes(3)
    assert_array_equal(display.plot(axes).ax_, axes)
    assert display.plot(ax := new_axes()).figure_ is ax.figure
    message = refusal(ExpertsDisplay.from_estimator, moe, X, y, (0, 1))
    assert_refused(message, "features must be one feature", "each at a time")


# --- units ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(0)
    first = rng.uniform(size=60) < 0.4
    size = np.where(first, rng.integers(5, 8, size=60), rng.integers(1, 4, size=60))
    units = np.repeat([f"customer {i}" for i in range(60)], size)
    order = rng.permutation(len(units))
    X = rng.normal(size=(len(units), 2))
    sign = np.where(np.repeat(first, size)[order], 1.0, -1.0)
    y = sign * (1.0 + X[:, 0]) + 0.7 * rng.normal(size=len(units))
    moe = fit_quietly(regressor(gate="constant"), X, y, units=units[order])
    return moe, X, y, units[order]


def test_the_rows_of_a_unit_are_one_line_in_the_colour_of_its_expert(customers):
    moe, X, y, units = customers
    given = {"units": pd.Series(units), "max_units": None, "adjust": False}
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, **given)
    table = moe.responsibilities(X, y, units=units)
    assert_array_equal(display.units, units)
    assert_array_equal(display.assigned_expert, table.rows(units).argmax(axis=1))
    inks = map(colors.to_hex, display.unit_lines_.get_colors())
    lines = {
        tuple(map(tuple, segment)): ink
        for segment, ink in zip(display.unit_lines_.get_segments(), inks, strict=True)
    }
    assert len(lines) == 60
    for label, proba in zip(table.labels, table.proba, strict=True):
        own = units == label
        line = np.column_stack([X[own, 0], y[own]])[np.argsort(X[own, 0])]
        assert lines[tuple(map(tuple, line))] == expert_colour(proba.argmax())
    assert texts(display.legend_)[-1] == "rows, by the\nexpert of the unit"
    assert display.legend_.legend_handles[-1].get_linestyle() == "-"


def test_whole_units_are_shown_the_same_ones_each_time(customers):
    moe, X, y, units = customers
    order = np.random.default_rng(3).permutation(len(y))
    given = {"units": units, "max_units": 10}
    first = ExpertsDisplay.from_estimator(moe, X, y, 0, **given)
    again = ExpertsDisplay.from_estimator(
        moe, X[order], y[order], 0, **given | {"units": units[order]}
    )
    chosen = set(first.units)
    assert len(chosen) == len(first.unit_lines_.get_segments()) == 10
    assert set(again.units) == chosen
    assert len(first.x) == np.isin(units, list(chosen)).sum()
    others = ExpertsDisplay.from_estimator(moe, X, y, 0, **given, random_state=1)
    assert set(others.units) != chosen
    default = ExpertsDisplay.from_estimator(moe, X, y, 0, units=units, subsample=2)
    assert len(default.unit_lines_.get_segments()) == 50


def test_rows_without_units_and_rows_of_classes_have_no_lines(customers):
    moe, X, y, units = customers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        display = ExpertsDisplay.from_estimator(moe, X, y, 0)
    assert (display.unit_lines_, display.units) == (None, None)
    moe = MixtureOfExpertsClassifier(2, gate="constant", **SHORT)
    fit_quietly(moe, X, y > 0, units=units)
    display = ExpertsDisplay.from_estimator(moe, X, y > 0, 0, units=units, max_units=None)
    expected = moe.responsibilities(X, y > 0, units=units).rows(units).argmax(axis=1)
    assert_array_equal(display.assigned_expert, expected)
    assert display.unit_lines_ is None


@pytest.mark.parametrize("kind", ["linear", "tree"])
def test_the_default_is_a_feature_that_the_experts_use_if_they_use_any(kind):
    X, y = two_regimes(150)  # the first feature moves the gate, the second one the experts
    given = {"linear": {"expert_features": [1]}, "tree": {"expert": "tree", "cross_fit": False}}
    moe = fit_quietly(regressor(**given[kind]), X, y)
    used = np.ptp(moe.predict_experts(at_medians(X, 0, X[:, 0])), axis=0).max() > 0.0
    found = ExpertsDisplay.from_estimator(moe, X, y)
    assert found.feature_name == ("x0" if used else "x1")
    assert np.ptp(found.curves, axis=0).max() > 0.0
    without = fit_quietly(regressor(expert_features=[]), X, y)
    assert ExpertsDisplay.from_estimator(without, X, y).feature_name == "x0"


def test_residuals_are_ratios_where_experts_have_a_log_link(fitted):
    _, X, y = fitted
    y = np.exp(y / 2.0)
    moe = fit_quietly(regressor(family=["gamma", "normal"], n_init=2), X, y)
    display = ExpertsDisplay.from_estimator(moe, X, y, 0, coverage=None)
    each = np.arange(len(X)), display.assigned_expert
    own = moe.predict_experts(X)[each]
    curve = moe.predict_experts(at_medians(X, 0, X[:, 0]))[each]
    is_log = display.assigned_expert == 0
    assert 10 < is_log.sum() < 140
    assert_allclose((display.y / curve)[is_log], (y / own)[is_log])
    assert_allclose((display.y - curve)[~is_log], (y - own)[~is_log])
