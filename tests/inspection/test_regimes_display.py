"""RegimesDisplay: the gate over its strongest feature, and each expert with its rows below."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import GateDisplay, RegimesDisplay
from support.displays import (
    CASES,
    at_medians,
    expert_colour,
    expert_lines,
    expert_rgb,
    frame_at_references,
    texts,
)
from support.fits import X, Y, fit_quietly, fitted_case
from support.tables import flipping_classes, two_regimes

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 15}

# Rows of a smaller responsibility are not drawn; the opacity of a row that is certain.
LEAST_RESPONSIBILITY, MAX_OPACITY = 0.02, 0.6


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


@pytest.fixture(scope="module")
def fitted():
    return fitted_case("linear-regressor"), X, Y  # three regimes over the first feature


GRID = np.linspace(-1.0, 2.0, 40)


def given(responsibilities, x=None, y=None, **options):
    """A display of given responsibilities, in which all experts are lines over one feature."""
    n_rows, k = np.shape(responsibilities)
    x = np.zeros(n_rows) if x is None else x
    arrays = {
        "gate": None,
        "expert_names": [f"expert {i}" for i in range(k)],
        "shares": np.mean(responsibilities, axis=0),
        "feature_names": ["height"] * k,
        "grids": [GRID] * k,
        "curves": [7.0 + (i + 1) * GRID for i in range(k)],
        "x": [x] * k,
        "y": [np.zeros(n_rows) if y is None else y] * k,
        "responsibilities": np.asarray(responsibilities),
        "target_name": "weight",
    }
    return RegimesDisplay(**arrays | options)


# --- what is drawn of a fit -----------------------------------------------------------------------


def test_the_gate_is_that_over_its_strongest_feature(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y, subsample=9)
    alone = GateDisplay.from_estimator(moe, X)
    assert display.gate.feature_names == alone.feature_names == ["x0"]
    assert_array_equal(display.gate.gate, alone.gate)
    assert_allclose([line.get_ydata() for line in display.gate.lines_], alone.gate.T)
    assert display.gate.ax_ is display.ax_[0]
    assert display.ax_[0].get_legend() is None
    assert display.ax_[0].get_ylabel() == "Gate probability"
    other = RegimesDisplay.from_estimator(moe, X, y, gate_feature=1, subsample=9)
    assert other.gate.feature_names == ["x1"]


@pytest.mark.parametrize("case", ["lines", "outputs"])
def test_each_expert_is_drawn_over_the_feature_that_moves_it_most(case):
    moe, X, y, options = CASES[case]()
    display = RegimesDisplay.from_estimator(moe, X, y, **options)
    coef, answers = moe.expert_coef_, moe.predict_experts
    if case == "outputs":
        coef = coef[:, 1]

        def answers(rows):
            return moe.predict_experts(rows)[:, :, 1]

    strongest = np.argmax(np.abs(coef) * X.std(axis=0), axis=1)
    best = moe.responsibilities(X, y).argmax(axis=1)
    for k, j in enumerate(strongest):
        assert display.feature_names[k] == f"x{j}" == display.ax_[1 + k].get_xlabel()
        curve = answers(at_medians(X, j, display.grids[k]))[:, k]
        assert_allclose(display.curves[k], curve)
        assert_array_equal(display.x[k], X[:, j])
        # The line is drawn in full over the rows of the expert.
        own, grid = X[best == k, j], display.grids[k]
        inside = (grid >= own.min()) & (grid <= own.max())
        line = display.lines_[k].get_ydata()
        assert_allclose(line[inside], curve[inside])
        assert np.isnan(line[~inside]).all()


def test_features_may_be_given(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y, features=1, gate_feature=0, subsample=9)
    assert display.feature_names == ["x1"] * 3
    assert display.gate.feature_names == ["x0"]


def test_experts_without_effects_are_drawn_over_the_feature_of_the_gate():
    X, y = two_regimes(80)
    moe = fit_quietly(regressor(expert_features=[]), X, y)
    display = RegimesDisplay.from_estimator(moe, X, y, gate_feature=2)
    assert display.feature_names == ["x2", "x2"]
    default = RegimesDisplay.from_estimator(moe, X, y)
    assert default.feature_names == default.gate.feature_names * 2


def test_rows_are_partial_residuals_as_opaque_as_their_responsibilities(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y, features=1)
    resp = moe.responsibilities(X, y)
    assert_array_equal(display.responsibilities, resp)
    assert_allclose(display.shares, resp.mean(axis=0))
    for k in range(3):
        residual = y - moe.predict_experts(X)[:, k]
        curve = moe.predict_experts(at_medians(X, 1, X[:, 1]))[:, k]
        assert_allclose(display.y[k], curve + residual, atol=1e-9)
        shown = resp[:, k] >= LEAST_RESPONSIBILITY
        offsets = display.scatters_[k].get_offsets()
        assert_allclose(offsets, np.column_stack([X[shown, 1], display.y[k][shown]]))
        ink = display.scatters_[k].get_facecolors()
        assert_allclose(ink[:, :3], np.tile(expert_rgb(k), (shown.sum(), 1)))
        assert_allclose(ink[:, 3], MAX_OPACITY * resp[shown, k])
    plain = RegimesDisplay.from_estimator(moe, X, y, adjust=False, features=1)
    assert_array_equal(plain.y[0], y)
    assert display.ax_[1].get_ylabel() == "y\n(other features at medians)"
    assert plain.ax_[1].get_ylabel() == "y"


def test_panels_are_in_the_order_of_their_experts_if_no_other_is_given(fitted):
    moe, X, y = fitted
    display = RegimesDisplay.from_estimator(moe, X, y, gate_feature=0, subsample=9)
    own = given(np.full((3, 3), 1.0 / 3.0), order=[2, 0, 1]).plot()
    for axes, order in ((display.ax_[1:], [0, 1, 2]), (own.ax_, [2, 0, 1])):
        shown = [ax.get_position().x0 for ax in axes]
        assert np.argsort(shown).tolist() == order
    headings = [texts(ax.get_legend())[0] for ax in display.ax_[1:]]
    shares = moe.responsibilities(X, y).mean(axis=0)
    expected = [f"expert {k}\n{100 * shares[k]:.0f} % of the rows" for k in range(3)]
    assert headings == expected
    assert len({ax.get_ylim() for ax in display.ax_[1:]}) == 1


def test_one_expert_has_no_gate(fitted):
    _, X, y = fitted
    display = RegimesDisplay.from_estimator(regressor(1).fit(X, y), X, y)
    assert display.gate is None
    assert len(display.ax_) == 1


@pytest.mark.parametrize("target", [None, 0])
def test_rows_of_classes_are_marks_above_and_below(target):
    X, y = flipping_classes(120)
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT), X, y)
    display = RegimesDisplay.from_estimator(moe, X, y, target=target)
    c = 1 if target is None else target
    assert display.feature_names == ["x1", "x1"]
    for k in range(2):
        points = at_medians(X, 1, display.grids[k])
        assert_allclose(display.curves[k], moe.predict_experts(points)[:, k, c])
        shown = display.responsibilities[:, k] >= LEAST_RESPONSIBILITY
        heights = display.scatters_[k].get_offsets()[:, 1]
        assert_array_equal(heights > 1.0, y[shown] == c)
        assert_array_equal(heights < 0.0, y[shown] != c)
        low, high = display.ax_[1 + k].get_ylim()
        assert low < heights.min()
        assert heights.max() < high
    assert display.target_name == f"Probability of class {c}"


def test_categories_are_drawn_with_their_rows_beside_them():
    X, y = two_regimes(100)
    frame = pd.DataFrame(X[:, :2], columns=["depth", "width"])
    level = np.random.default_rng(0).choice(3, 100)
    frame["region"] = pd.Categorical.from_codes(level, ["south", "north", "east"])
    frame.loc[3, "width"] = np.nan
    y = pd.Series(y + 20.0 * level, name="yield")
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y)
    display = RegimesDisplay.from_estimator(moe, frame, y)
    assert display.feature_names == ["region", "region"]
    rows = frame_at_references(frame, "region", ["south", "north", "east"])
    for k, (line, scatter) in enumerate(zip(display.lines_, display.scatters_, strict=True)):
        assert_allclose(display.curves[k], moe.predict_experts(rows)[:, k])
        assert_allclose(line.get_xydata(), np.column_stack([[0, 1, 2], display.curves[k]]))
        assert line.get_linestyle() == "None"
        [dashes] = [c for c in line.axes.collections if c is not scatter]
        for i, segment in enumerate(dashes.get_segments()):
            height = display.curves[k][i]
            assert_allclose(segment, [[i - 0.36, height], [i + 0.36, height]])
        shown = display.responsibilities[:, k] >= LEAST_RESPONSIBILITY
        shift = scatter.get_offsets()[:, 0] - display.x[k][shown]
        assert 0.1 < np.abs(shift).max() <= 0.25
        assert shift.min() < 0.0 < shift.max()
    of_width = RegimesDisplay.from_estimator(moe, frame, y, features="width")
    assert all(len(x) == 99 for x in of_width.x)  # one has no value
    assert of_width.target_name.startswith("yield\n")


def test_shares_are_those_of_units_and_rows_per_unit_of_exposure():
    moe, X, y, options = CASES["counts"]()
    display = RegimesDisplay.from_estimator(moe, X, y, adjust=False, **options)
    table = moe.responsibilities(X, y, offset=options["offset"], units=options["units"])
    assert_allclose(display.shares, table.proba.mean(axis=0))
    assert_array_equal(display.responsibilities, table.rows(options["units"]))
    assert_allclose(display.y[0], y / np.exp(options["offset"]))
    assert display.target_name == "y per unit of exposure"
    assert "% of the units" in texts(display.ax_[1].get_legend())[0]


def test_units_of_unequal_size_count_once():
    X, y = two_regimes(80)
    units = np.repeat(np.arange(20), np.tile([1, 13, 1, 1], 5))
    moe = fit_quietly(regressor(gate="constant"), X, y, units=units)
    display = RegimesDisplay.from_estimator(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert_allclose(display.shares, table.proba.mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_rows = RegimesDisplay.from_estimator(moe, X, y)
    assert np.abs(of_rows.shares - display.shares).max() > 1e-3


# --- panels of given arrays -----------------------------------------------------------------------


@pytest.mark.parametrize("is_probability", [False, True])
def test_panels_have_rows_and_a_line_that_is_pale_beyond_the_rows_of_its_expert(is_probability):
    rng = np.random.default_rng(0)
    resp = rng.dirichlet([0.5, 0.5], size=60)
    resp[0] = [1.0 - LEAST_RESPONSIBILITY, LEAST_RESPONSIBILITY]
    x, y = rng.uniform(-0.5, 1.5, size=60), rng.integers(0, 2, 60).astype(float)
    display = given(resp, x, y, is_probability=is_probability).plot()
    heights = np.where(y > 0, 1.05, -0.05) if is_probability else y
    for k, (line, scatter) in enumerate(zip(display.lines_, display.scatters_, strict=True)):
        ax, own = line.axes, x[resp.argmax(axis=1) == k]
        inside = (own.min() <= GRID) & (own.max() >= GRID)
        assert 0 < inside.sum() < 40
        assert_array_equal(np.isfinite(line.get_ydata()), inside)
        [whole] = [other for other in ax.lines if other is not line]
        assert_array_equal(whole.get_ydata(), display.curves[k])
        assert whole.get_alpha() < 1.0
        assert {line.get_color().lower(), whole.get_color().lower()} == {expert_colour(k)}
        assert line.get_marker() == expert_lines(2)[k].get_marker()
        shown = resp[:, k] >= LEAST_RESPONSIBILITY
        expected = np.column_stack([x, heights])[shown]
        assert_allclose(scatter.get_offsets(), expected)
        ink = scatter.get_edgecolors() if is_probability else scatter.get_facecolors()
        assert_allclose(ink[:, 3], MAX_OPACITY * resp[shown, k])
        assert ax.get_xlim() == (-1.0, 2.0)
        share = 100 * resp[:, k].mean()
        assert texts(ax.get_legend()) == [f"expert {k}\n{share:.0f} % of the rows"]


def test_an_expert_without_rows_has_its_whole_line():
    display = given([[1.0, 0.0]] * 5, np.arange(5.0)).plot()
    assert len(display.scatters_[1].get_offsets()) == 0
    assert_array_equal(display.lines_[1].get_ydata(), display.curves[1])


@pytest.mark.parametrize(
    ("responsibilities", "y", "limits"),
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
def test_heights_are_those_of_the_rows_that_belong_to_their_expert(responsibilities, y, limits):
    display = given(responsibilities, y=np.array(y)).plot()
    for ax in display.ax_:
        assert_allclose(ax.get_ylim(), limits)
    of_class = given(responsibilities, y=np.ones(3), is_probability=True).plot()
    assert_allclose([ax.get_ylim() for ax in of_class.ax_], [(-0.1, 1.1)] * 2)


@pytest.mark.parametrize(("n_experts", "with_gate"), [(1, False), (2, True), (5, True), (9, False)])
def test_panels_have_rows_of_about_the_same_length(n_experts, with_gate):
    gate = None
    if with_gate:
        probability = np.full((40, n_experts), 1.0 / n_experts)
        gate = GateDisplay(feature_names=["x"], values=[GRID], gate=probability)
    display = given(np.full((3, n_experts), 1.0 / n_experts), gate=gate).plot()
    assert len(display.ax_) == n_experts + with_gate
    n_rows = int(np.ceil(n_experts / 4))
    n_columns = int(np.ceil(n_experts / n_rows))
    for i, ax in enumerate(display.ax_[with_gate:]):
        spec = ax.get_subplotspec()
        place = spec.rowspan.start - with_gate, spec.colspan.start
        assert place == divmod(i, n_columns)
        assert ax.get_ylabel() == ("weight" if place[1] == 0 else "")
    if with_gate:
        spec = display.ax_[0].get_subplotspec()
        assert (spec.rowspan.start, spec.colspan.start, spec.colspan.stop) == (0, 0, n_columns)
    width, height = display.figure_.get_size_inches()
    assert_allclose(
        (width, height), (0.4 + 2.8 * max(n_columns, 2), 2.0 * with_gate + 2.5 * n_rows)
    )
