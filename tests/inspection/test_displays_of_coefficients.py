"""Coefficients and profiles of the experts: CoefficientsDisplay and SegmentProfileDisplay."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from skmoe.inspection import CoefficientsDisplay, SegmentProfileDisplay
from support.displays import CASES, caption_of, expert_colour, expert_lines, new_axes, texts
from support.expert_kinds import GENERALIZED, options_of
from support.expert_kinds import draw as draw_target
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

SCALES = np.array([1e-2, 1.0, 1e3])
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 25}
NO_NUMBER, RATIO = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def draw(display, *data, **options):
    with warnings.catch_warnings():  # rows are not always those of the fit
        warnings.simplefilter("ignore")
        return display.from_estimator(*data, **options)


def forest(*data, **options):
    return draw(CoefficientsDisplay, *data, **options)


def profile(*data, **options):
    return draw(SegmentProfileDisplay, *data, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(100)
    X = X * SCALES
    return fit_quietly(regressor(), X, y), X, y


VALUES = np.array([[1.0, -2.0], [0.5, 0.25], [4.0, 3.0]])
ENDS = np.stack([VALUES - 0.5, VALUES + 1.0], axis=-1)
FEATURES, EXPERTS = ["height", "weight", "age"], ["calm", "wild"]
GIVEN = {"feature_names": FEATURES, "expert_names": EXPERTS}


def given(**options):
    """A forest plot of three features and two experts."""
    arrays = {"coefficients": VALUES, "is_ratio": np.zeros(2, bool)}
    return CoefficientsDisplay(**GIVEN | arrays | options)


def profile_of(**options):
    """A heat map of the same."""
    arrays = {"shares": np.array([0.3, 0.7]), "profile": VALUES / 4.0}
    return SegmentProfileDisplay(**GIVEN | arrays | options).plot()


def positions(artists):
    """Horizontal values of points (F, K) or of lines (F, K, 2)."""
    rows = [[artist.get_xdata() for artist in row] for row in artists]
    return np.squeeze(np.array(rows, dtype=float))


def terms_of(result, n_features, response=""):
    return [
        [result.terms.index((f"expert {k}", response, f"x{j}")) for k in (0, 1)]
        for j in range(n_features)
    ]


# --- coefficients of a fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "standardize"), [("feature", True), ("expert", True), ("feature", False)]
)
def test_points_and_lines_are_those_of_inference(fitted, by, standardize):
    moe, X, y = fitted
    options = {"by": by, "standardize": standardize, "level": 0.8, "features": [2, 0, 1]}
    display = forest(moe, X, y, **options)
    result, terms = moe.inference(X, y), terms_of(moe.inference(X, y), 3)
    scale = (X.std(axis=0) if standardize else np.ones(3))[[2, 0, 1], None]
    assert_allclose(display.coefficients, result.estimates[terms][[2, 0, 1]] * scale)
    expected = result.conf_int(0.8)[terms][[2, 0, 1]] * scale[..., None]
    assert_allclose(display.intervals, expected)
    assert_allclose(positions(display.points_), display.coefficients)
    assert_allclose(positions(display.lines_), display.intervals)
    heights = [[point.get_ydata()[0] for point in row] for row in display.points_]
    assert_array_equal(heights, np.indices((3, 2))[1 if by == "feature" else 0])
    names = ["x2", "x0", "x1"], ["expert 0", "expert 1"]
    found = [ax.get_title(loc="left") for ax in display.ax_]
    rows = texts(display.ax_[0].get_yticklabels())
    assert [found, rows] == list(names if by == "feature" else names[::-1])
    step = "SD" if standardize else "unit"
    expected = f"Effect on y, per {step} of the feature\nLines: 80 % intervals."
    assert caption_of(display.figure_) == expected


def test_the_largest_come_first_and_the_others_are_counted(fitted):
    moe, X, y = fitted
    for standardize, scale in ((True, X.std(axis=0)), (False, np.ones(3))):
        size = np.abs(moe.expert_coef_ * scale).max(axis=0)
        display = forest(moe, X, y, max_features=2, standardize=standardize, level=None)
        assert display.feature_names == [f"x{j}" for j in np.argsort(-size)[:2]]
        caption = caption_of(display.figure_).replace("\n", " ")
        assert "2 of 3 features: those with the largest coefficients" in caption
        assert display.intervals is None


@pytest.mark.parametrize("left_out", ["sample_weight", "units", "offset"])
def test_intervals_count_weights_units_and_offsets(left_out):
    moe, X, y, options = CASES["counts"]()
    options = options | {"sample_weight": 1.0 + np.arange(len(y)) % 3}
    display = forest(moe, X, y, level=0.8, standardize=False, features=[0, 1, 2], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = moe.inference(X, y, **options)
        other = moe.inference(X, y, **options | {left_out: None})
    terms = terms_of(result, 3)
    assert_allclose(display.coefficients, result.estimates[terms])
    assert_allclose(display.intervals, result.conf_int(0.8)[terms])
    assert not np.allclose(display.intervals, other.conf_int(0.8)[terms])


@pytest.mark.parametrize("family", GENERALIZED)
def test_coefficients_of_a_family_are_effects_or_ratios(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = draw_target(family, 0.5 * X[:, 0], rng)
    moe = fit_quietly(regressor(1, **options_of(family), alpha=0.1), X, y)
    display = forest(moe, X, y, level=None, standardize=False, features=[0, 1])
    link = FAMILIES[family].link
    ratios = [measure.name for measure in FAMILIES[family]().measures]
    name = f"{ratios[0].capitalize()} of y" if ratios else "Effect on y"
    assert display.coefficient_name == name
    scale = np.asarray if link == "identity" else np.exp
    assert_allclose(positions(display.points_), scale(moe.expert_coef_[0]))
    assert {ax.get_xscale() for ax in display.ax_} == {"linear" if link == "identity" else "log"}


@pytest.mark.parametrize("target", [None, 0])
def test_log_odds_of_two_classes_are_odds_ratios(target):
    X, y = flipping_classes(150)
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT | {"max_iter": 10}), X, y)
    display = forest(moe, X, y, target=target, features=[0, 1, 2], standardize=False)
    sign = -1.0 if target == 0 else 1.0
    result, terms = moe.inference(X, y), terms_of(moe.inference(X, y), 3)
    assert_allclose(display.coefficients, sign * result.estimates[terms])
    assert_allclose(display.intervals, np.sort(sign * result.conf_int()[terms], axis=-1))
    inside = np.clip(display.coefficients, -200.0, 200.0)
    assert_allclose(positions(display.points_), np.exp(inside))
    own, other = (1, 0) if target is None else (0, 1)
    name = f"Odds ratio of class {own} against class {other}, per unit of the feature"
    assert caption_of(display.figure_).startswith(name)


def test_several_classes_have_coefficients_of_their_own():
    moe, X, y, _ = CASES["classes"]()
    display = forest(moe, X, y, standardize=False, level=0.9)
    assert len(display.feature_names) == 6
    result = moe.inference(X, y)
    for name, coefficients, intervals in zip(
        display.feature_names, display.coefficients, display.intervals, strict=True
    ):
        feature, label = re.fullmatch(r"(x\d) \(class (\w+)\)", name).groups()
        c, j = list(moe.classes_).index(label), int(feature[1])
        assert_allclose(coefficients, moe.expert_coef_[:, c, j] - moe.expert_coef_[:, 0, j])
        terms = [result.terms.index((f"expert {k}", label, feature)) for k in range(2)]
        assert_allclose(intervals, result.conf_int(0.9)[terms])
    caption = f"Odds ratio of the class against class {moe.classes_[0]}, per unit of the feature"
    assert caption_of(display.figure_).startswith(caption)


def test_links_that_differ_have_axes_of_their_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, rng.gamma(3.0, np.exp(X[:, 1])), 20.0 + rng.normal(size=200))
    moe = fit_quietly(regressor(family=["gamma", "normal"]), X, y)
    display = forest(moe, X, y)
    assert display.by == "expert"
    assert [ax.get_xscale() for ax in display.ax_] == ["log", "linear"]
    assert display.coefficient_name == f"Effect on y, ratios: {RATIO}"
    message = refusal(forest, moe, X, y, by="feature")
    assert_refused(message, 'by="feature" needs', "ratios", 'Use by="expert"')


def test_experts_without_predictor_have_no_points():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, 0, rng.poisson(np.exp(1.0 + 0.5 * X[:, 1])))
    moe = fit_quietly(regressor(family=["zero", "poisson"], expert_features=[1]), X, y)
    display = forest(moe, X, y, level=None)
    assert (display.by, display.feature_names) == ("feature", ["x1"])
    assert [point is None for point in display.points_[0]] == [True, False]
    assert caption_of(display.figure_).startswith("Rate ratio of y,")
    message = refusal(forest, fit_quietly(regressor(expert_features=[]), X, y), X, y)
    assert_refused(message, "CoefficientsDisplay needs experts with slopes", "RegimesDisplay")


def test_dropped_features_of_a_fit_are_hollow_at_zero_and_come_last():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    y = np.where(X[:, 0] > 0, 2 + X[:, 1], -X[:, 1] + X[:, 2]) + 0.3 * rng.normal(size=200)
    moe = fit_quietly(regressor(alpha="ard", max_iter=40), X, y)
    dropped = [f"x{j}" for j in np.flatnonzero(np.isposinf(moe.alpha_))]
    display = forest(moe, X, y)
    assert 0 < len(dropped) < 6
    assert sorted(display.feature_names[-len(dropped) :]) == dropped
    for point in display.points_[-len(dropped) :].ravel():
        assert (point.get_xdata()[0], point.get_markerfacecolor()) == (0.0, "white")
    assert "On the vertical line: dropped, or at their bound." in caption_of(display.figure_)


# --- points, lines and axes -----------------------------------------------------------------------


@pytest.mark.parametrize(("by", "step"), [("feature", "SD"), ("feature", "unit"), ("expert", "SD")])
def test_each_panel_has_the_coefficients_of_its_feature_or_expert(by, step):
    is_ratio = np.array([False, by == "expert"])
    display = given(by=by, step=step, intervals=ENDS, level=0.8, is_ratio=is_ratio).plot()
    headings, rows = (FEATURES, EXPERTS) if by == "feature" else (EXPERTS, FEATURES)
    assert [ax.get_title(loc="left") for ax in display.ax_] == headings
    for i, ax in enumerate(display.ax_):
        assert texts(ax.get_yticklabels()) == (rows if i == 0 else [""] * len(rows))
        assert ax.get_ylim() == (len(rows) - 0.5, -0.5)
    for (i, k), point in np.ndenumerate(display.points_):
        panel, height = (i, k) if by == "feature" else (k, i)
        scale = np.exp if is_ratio[k] else np.asarray
        assert point.axes is display.ax_[panel]
        assert_allclose(point.get_xydata(), [[scale(VALUES[i, k]), height]])
        assert_allclose(display.lines_[i, k].get_xdata(), scale(ENDS[i, k]))
        inks = point.get_color(), point.get_markerfacecolor(), display.lines_[i, k].get_color()
        assert {ink.lower() for ink in inks} == {expert_colour(k)}
        assert point.get_marker() == expert_lines(2)[k].get_marker()
    n_limits = 3 if step == "unit" else 1 + (by == "expert")  # comparable steps
    assert len({ax.get_xlim() for ax in display.ax_}) == n_limits
    assert display.ax_[-1].get_xscale() == ("log" if by == "expert" else "linear")


@pytest.mark.parametrize(
    ("estimates", "intervals", "low", "high"),
    [
        ([2.0, -0.5, np.nan], None, -0.5, 2.0),
        ([1.0], None, 0.0, 1.0),  # it holds zero
        ([1.0, 1.2, 0.9], [[0.6, 1.6], [np.nan] * 2, [0.5, 1.5]], 0.0, 1.6),
        # An interval is cut at 2.5 times the largest estimate or the median interval.
        ([1.0, 1.0, 1.0], [[0.5, 1.5], [0.5, 2.0], [-100.0, 100.0]], -5.0, 5.0),
        ([4.0, 1.0, 1.0], [[0.5, 1.5], [0.5, 2.0], [-100.0, 100.0]], -10.0, 10.0),
        # One that is open on a side has no ends.
        ([0.0, 0.1, 0.1], [[-np.inf, 0.1], [np.nan, 0.2], [-0.2, 0.3]], -0.2, 0.3),
    ],
)
@pytest.mark.parametrize("is_ratio", [False, True])
def test_axes_hold_zero_the_estimates_and_typical_intervals(
    estimates, intervals, low, high, is_ratio
):
    display = CoefficientsDisplay(
        feature_names=[f"row {i}" for i in range(len(estimates))],
        expert_names=["one"],
        coefficients=np.array(estimates)[:, None],
        intervals=None if intervals is None else np.array(intervals)[:, None],
        is_ratio=np.array([is_ratio]),
        by="expert",
        level=0.9,
    ).plot()
    margin, scale = 0.06 * (high - low), np.exp if is_ratio else np.asarray
    [ax], [points] = display.ax_, display.points_.T
    assert_allclose(ax.get_xlim(), scale([low - margin, high + margin]))
    for estimate, point, interval in zip(estimates, points, intervals or points, strict=True):
        assert (point is None) == np.isnan(estimate)
        if point is not None:
            is_hollow = intervals is not None and not np.isfinite(interval).all()
            assert (point.get_markerfacecolor() == "white") == is_hollow
    upright = [line.get_xdata() for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    assert_allclose(upright, [[scale(0.0)] * 2])


@pytest.mark.parametrize("ratio", [1.5, 30.0, 1e15, np.inf])
def test_ticks_of_ratios_are_few_plain_round_numbers(ratio):
    ends = np.log([0.9, 0.9 * ratio])
    ends = np.where(np.isfinite(ends), ends, 1e6)
    display = given(coefficients=np.tile(ends, (3, 1)), is_ratio=np.ones(2, bool)).plot()
    ax = display.ax_[0]
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert np.isfinite(high)
    assert 2 <= len(ticks) <= 6
    assert len(ax.get_xticks(minor=True)) == 0
    assert ax.xaxis.get_major_formatter()(0.5, 0) == "0.5"
    if high > 6.0 * low:
        leading = ticks / 10.0 ** np.floor(np.log10(ticks) + 1e-9)
        assert set(leading.round(6)) <= {1.0, 2.0, 3.0, 5.0}
    else:  # equidistant, as of other numbers
        assert np.allclose(np.diff(ticks), np.diff(ticks)[0])


def test_captions_tell_of_points_without_interval_and_stand_below_the_last_panel():
    missing = ENDS.copy()
    missing[1, 0] = np.nan
    for intervals, level, expected in (
        (ENDS, 0.9, "Lines: 90 % intervals."),
        (missing, 0.9, "Lines: 90 % intervals. Hollow: no interval."),
        (None, 0.9, ""),
    ):
        display = given(intervals=intervals, level=level, by="expert").plot()
        caption = caption_of(display.figure_).replace("\n", " ")
        assert caption == f"Coefficient, per SD of the feature {expected}".strip()
    axes = new_axes(3)
    display = given(n_columns=9, feature_note="features are others").plot(axes)
    assert [ax.get_xlabel() == "" for ax in axes] == [True, True, False]
    lines = axes[-1].get_xlabel().split("\n")
    assert lines[1:] == [
        "3 of 9 features: those with the largest coefficients.",
        "The features are others.",
    ]


# --- profiles -------------------------------------------------------------------------------------


def by_hand(values, resp, weight=None):
    """Means of the experts minus that of all rows, in standard deviations, feature by row."""
    weight = np.ones(len(values)) if weight is None else weight
    rows = []
    for column in values.T:
        known = np.isfinite(column)
        column, own, of_experts = column[known], weight[known], resp[known]
        mean = np.average(column, weights=own)
        deviation = np.sqrt(np.average((column - mean) ** 2, weights=own))
        means = [np.average(column, weights=own * r) for r in of_experts.T]
        rows.append((np.array(means) - mean) / deviation)
    return np.array(rows)


def test_profiles_are_differences_of_weighted_means(fitted):
    moe, X, y = fitted
    resp = moe.responsibilities(X, y)
    for weight in (None, np.arange(len(y)) % 3):
        display = profile(moe, X, y, sample_weight=weight)
        assert_allclose(display.profile, by_hand(X, resp, weight), rtol=1e-9)
        assert_allclose(display.shares, np.average(resp, axis=0, weights=weight))


def test_rows_have_the_responsibilities_of_their_unit():
    rng = np.random.default_rng(0)
    units = np.repeat([f"unit {i}" for i in rng.permutation(30)], rng.integers(1, 9, size=30))
    own = rng.normal(size=30)[np.unique(units, return_inverse=True)[1]]
    X = np.column_stack([rng.normal(size=len(units)) + 0.5 * own, own])
    y = np.where(own > 0.5, 1.0, -1.0) * X[:, 0] + 0.8 * rng.normal(size=len(units))
    moe = fit_quietly(regressor(gate_features=[1], alpha=0.1, gate_alpha=1.0), X, y, units=units)
    display = profile(moe, X, y, units=units)
    table = moe.responsibilities(X, y, units=units)
    assert_allclose(display.shares, table.proba.mean(axis=0))
    assert_allclose(display.profile, by_hand(X, table.rows(units)))
    assert display.ax_.get_xlabel() == "%: share of the units"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_categories_are_indicators_in_alphabetical_order(make):
    X, y = two_regimes(100)
    words = np.where(X[:, 0] > 0, "up", "down").tolist()
    words[5] = None
    width = np.where(np.arange(100) == 3, np.nan, X[:, 1])
    frame = make({"depth": X[:, 0], "width": width, "kind": words})
    moe = fit_quietly(regressor(expert="tree", cross_fit=False, max_iter=2), frame, y)
    display = profile(moe, frame, y)
    assert display.feature_names == ["depth", "width", "kind_down", "kind_up"]
    up, down = (np.array([word == kind for word in words], float) for kind in ("up", "down"))
    columns = np.column_stack([X[:, 0], width, down, up])
    resp = moe.responsibilities(frame, y)
    assert_allclose(display.profile, by_hand(columns, resp), rtol=1e-6)


def test_experts_may_have_no_rows(fitted):
    _, X, y = fitted
    target = np.where(X[:, 0] > 0.0, 0.0, 5.0 + np.abs(y))
    moe = fit_quietly(regressor(family=["zero", "gamma"]), X, target)
    kept = target > 0.0  # rows whose density is zero under the first expert
    display = profile(moe, X[kept], target[kept])
    assert_array_equal(np.isnan(display.profile), [[True, False]] * 3)
    assert texts(display.texts_[:, 0]) == [NO_NUMBER] * 3


def test_the_features_with_the_largest_differences_are_drawn():
    X, y = two_regimes(100, n_features=14)
    X[:, 7] = 1.0  # a constant feature has no effect
    moe = fit_quietly(regressor(max_iter=3), X, y)
    every = profile(moe, X, y, max_features=14)
    assert_allclose(every.profile[7], 0.0)
    score = np.abs(every.profile).max(axis=1)
    display = profile(moe, X, y, max_features=4)
    assert display.feature_names == [f"x{j}" for j in np.sort(np.argsort(-score)[:4])]
    assert "4 of 14 features" in display.ax_.get_xlabel()
    assert len(profile(moe, X, y).feature_names) == 12


# --- cells ----------------------------------------------------------------------------------------


def test_cells_have_their_numbers():
    display = profile_of(n_columns=9, of_units=True, feature_note="a note")
    heading = display.ax_.get_title(loc="left").replace("\n", " ")
    assert heading == "Mean minus that of all rows, in SDs of the feature"
    note = "%: share of the units\n3 of 9 features:\nthose with the largest differences\na note"
    assert display.ax_.get_xlabel() == note
    assert texts(display.ax_.get_yticklabels()) == FEATURES
    assert texts(display.ax_.get_xticklabels()) == ["calm\n30 %", "wild\n70 %"]
    assert texts(display.texts_.ravel()) == [f"{value:+.2f}" for value in np.ravel(VALUES / 4.0)]
    assert [bar.get_color().lower() for bar in display.ax_.lines] == [
        expert_colour(k) for k in (0, 1)
    ]
    assert (display.ax_.get_xlim(), display.ax_.get_ylim()) == ((-0.5, 1.5), (2.5, -0.5))


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        (VALUES / 100.0, 0.5),  # small effects are pale
        (VALUES, 4.0),
        (np.where(VALUES > 3.0, np.nan, VALUES), 3.0),
    ],
)
def test_colours_are_on_a_symmetric_scale_on_which_numbers_can_be_read(values, largest):
    display = profile_of(profile=values)
    mesh = display.mesh_
    assert mesh.get_clim() == (-largest, largest)
    masked = np.ma.getmaskarray(mesh.get_array()).reshape(3, 2)
    assert_array_equal(masked, ~np.isfinite(values))
    for text, value in zip(display.texts_.ravel(), values.ravel(), strict=True):
        if np.isfinite(value):
            luminance = np.array(mesh.cmap(mesh.norm(value))[:3]) @ [0.299, 0.587, 0.114]
            assert abs((text.get_color() == "white") - luminance) > 0.4
        else:
            assert text.get_color() not in ("white", "black")
