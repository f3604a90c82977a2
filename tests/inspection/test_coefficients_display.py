"""CoefficientsDisplay: forest plots of coefficients, intervals and what was dropped."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from skmoe.inspection import CoefficientsDisplay
from support.displays import CASES, caption_of, expert_colour, expert_lines, new_axes, texts
from support.expert_kinds import GENERALIZED, options_of
from support.expert_kinds import draw as draw_target
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

SCALES = np.array([1e-2, 1.0, 1e3])
SHORT = {"random_state": 0, "n_init": 1, "max_iter": 40}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def draw(*data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CoefficientsDisplay.from_estimator(*data, **options)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_regimes(100)
    X = X * SCALES
    return fit_quietly(regressor(), X, y), X, y


@pytest.fixture(scope="module")
def with_dropped():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    y = np.where(X[:, 0] > 0, 2 + X[:, 1], -X[:, 1] + X[:, 2]) + 0.3 * rng.normal(size=200)
    return fit_quietly(regressor(alpha="ard"), X, y), X, y


VALUES = np.array([[1.0, -2.0], [0.5, 0.25], [4.0, 3.0]])
ENDS = np.stack([VALUES - 0.5, VALUES + 1.0], axis=-1)
FEATURES, EXPERTS = ["height", "weight", "age"], ["calm", "wild"]


def given(**options):
    """A display of three features and two experts."""
    arrays = {"feature_names": FEATURES, "expert_names": EXPERTS, "coefficients": VALUES}
    return CoefficientsDisplay(**arrays | options)


def one_panel(coefficients, intervals=None, **options):
    """A display of one expert, with a row for each coefficient."""
    return CoefficientsDisplay(
        feature_names=[f"row {i}" for i in range(len(coefficients))],
        expert_names=["one"],
        coefficients=np.array(coefficients, dtype=float)[:, None],
        intervals=None if intervals is None else np.array(intervals, dtype=float)[:, None],
        by="expert",
        level=0.9,
        **options,
    ).plot()


def positions(artists):
    """Horizontal values of points (F, K) or of lines (F, K, 2)."""
    rows = [[artist.get_xdata() for artist in row] for row in artists]
    return np.squeeze(np.array(rows, dtype=float))


# --- coefficients and intervals of a fit ----------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "standardize"), [("feature", True), ("expert", True), ("feature", False)]
)
def test_points_and_lines_are_those_of_inference(fitted, by, standardize):
    moe, X, y = fitted
    options = {"by": by, "standardize": standardize, "level": 0.8, "features": [2, 0, 1]}
    display = CoefficientsDisplay.from_estimator(moe, X, y, **options)
    result = moe.inference(X, y)
    scale = X.std(axis=0) if standardize else np.ones(3)
    for i, j in enumerate([2, 0, 1]):
        terms = [result.terms.index((f"expert {k}", "", f"x{j}")) for k in range(2)]
        assert_allclose(display.coefficients[i], result.estimates[terms] * scale[j])
        assert_allclose(display.intervals[i], result.conf_int(0.8)[terms] * scale[j])
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


def test_shared_slopes_are_those_of_all_experts(fitted):
    _, X, y = fitted
    display = draw(fit_quietly(regressor(shared_features=[1]), X, y), X, y, features=[0, 1, 2])
    assert_allclose(display.coefficients[1, 0], display.coefficients[1, 1])
    assert_allclose(display.intervals[1, 0], display.intervals[1, 1])
    assert np.isfinite(display.intervals).all()


def test_coefficients_without_intervals_are_those_of_the_mixture(fitted):
    moe, X, y = fitted
    display = draw(moe, X, y, level=None, standardize=False, features=[0, 1, 2])
    assert display.intervals is None
    assert_array_equal(display.coefficients, moe.expert_coef_.T)


def test_the_largest_come_first_and_the_others_are_counted(fitted):
    moe, X, y = fitted
    for standardize, scale in ((True, X.std(axis=0)), (False, np.ones(3))):
        size = np.abs(moe.expert_coef_ * scale).max(axis=0)
        display = draw(moe, X, y, max_features=2, standardize=standardize, level=None)
        assert display.feature_names == [f"x{j}" for j in np.argsort(-size)[:2]]
        assert display.n_columns == 3
        caption = caption_of(display.figure_).replace("\n", " ")
        assert "2 of 3 features, with the largest coefficients" in caption


@pytest.mark.parametrize("case", ["weights", "units", "offset"])
def test_intervals_count_weights_units_and_offsets(case):
    moe, X, y, options = CASES["counts"]()
    options = {"offset": options["offset"], "units": options["units"]}
    if case == "weights":
        options["sample_weight"] = 1.0 + np.arange(len(y)) % 3
    display = draw(moe, X, y, level=0.8, standardize=False, features=[0, 1, 2], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = moe.inference(X, y, **options)
        left_out = {"weights": "sample_weight", "units": "units", "offset": "offset"}[case]
        other = moe.inference(X, y, **options | {left_out: None})
    terms = [[result.terms.index((f"expert {k}", "", f"x{j}")) for k in (0, 1)] for j in range(3)]
    assert_allclose(display.coefficients, result.estimates[terms])
    assert_allclose(display.intervals, result.conf_int(0.8)[terms])
    assert not np.allclose(display.intervals, other.conf_int(0.8)[terms])


# --- scales of the coefficients -------------------------------------------------------------------


@pytest.mark.parametrize("family", GENERALIZED)
def test_coefficients_of_a_family_are_effects_or_ratios(family):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    y = draw_target(family, 0.5 * X[:, 0], rng)
    moe = fit_quietly(regressor(1, **options_of(family), alpha=0.1), X, y)
    display = draw(moe, X, y, level=None, standardize=False, features=[0, 1])
    link = FAMILIES[family].link
    ratios = [measure.name for measure in FAMILIES[family]().measures]
    assert bool(ratios) == (link != "identity")
    name = f"{ratios[0].capitalize()} of y" if ratios else "Effect on y"
    assert display.coefficient_name == name
    scale = np.asarray if link == "identity" else np.exp
    assert_allclose(positions(display.points_), scale(moe.expert_coef_[0]))
    assert {ax.get_xscale() for ax in display.ax_} == {"linear" if link == "identity" else "log"}


@pytest.mark.parametrize("target", [None, 0])
def test_log_odds_of_two_classes_are_odds_ratios(target):
    X, y = flipping_classes(150)
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT | {"max_iter": 10}), X, y)
    display = draw(moe, X, y, target=target, features=[0, 1, 2], standardize=False)
    sign = -1.0 if target == 0 else 1.0
    result = moe.inference(X, y)
    terms = [[result.terms.index((f"expert {k}", "", f"x{j}")) for k in (0, 1)] for j in range(3)]
    expected = np.sort(sign * result.conf_int()[terms], axis=-1)
    assert_allclose(display.coefficients, sign * result.estimates[terms])
    assert_allclose(display.intervals, expected)
    inside = np.clip(display.coefficients, -200.0, 200.0)
    assert_allclose(positions(display.points_), np.exp(inside))
    own, other = (1, 0) if target is None else (0, 1)
    name = f"Odds ratio of class {own} against class {other}, per unit of the feature"
    assert caption_of(display.figure_).startswith(name)


def test_several_classes_have_coefficients_of_their_own():
    moe, X, y, _ = CASES["classes"]()
    display = draw(moe, X, y, standardize=False, level=0.9)
    assert len(display.feature_names) == 6
    result = moe.inference(X, y)
    for name, coefficients, intervals in zip(
        display.feature_names, display.coefficients, display.intervals, strict=True
    ):
        feature, label = re.fullmatch(r"(x\d) \(class (\w+)\)", name).groups()
        c, j = list(moe.classes_).index(label), int(feature[1])
        assert c > 0
        assert_allclose(coefficients, moe.expert_coef_[:, c, j] - moe.expert_coef_[:, 0, j])
        for k in range(2):
            term = result.terms.index((f"expert {k}", label, feature))
            assert_allclose(intervals[k], result.conf_int(0.9)[term])
    caption = f"Odds ratio of the class against class {moe.classes_[0]}, per unit of the feature"
    assert caption_of(display.figure_).startswith(caption)
    of_feature = draw(moe, X, y, features=[1], level=None)
    assert of_feature.feature_names == [f"x1 (class {label})" for label in moe.classes_[1:]]


def test_links_that_differ_have_axes_of_their_own():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, rng.gamma(3.0, np.exp(X[:, 1])), 20.0 + rng.normal(size=200))
    moe = fit_quietly(regressor(family=["gamma", "normal"]), X, y)
    display = draw(moe, X, y)
    assert display.by == "expert"
    assert [ax.get_xscale() for ax in display.ax_] == ["log", "linear"]
    assert display.coefficient_name == "Effect on y, ratios: \N{MULTIPLICATION SIGN}"
    message = refusal(draw, moe, X, y, by="feature")
    assert_refused(message, 'by="feature" needs', "ratios", 'Use by="expert"')


def test_experts_without_predictor_have_no_points():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.where(X[:, 0] > 0, 0, rng.poisson(np.exp(1.0 + 0.5 * X[:, 1])))
    moe = fit_quietly(regressor(family=["zero", "poisson"]), X, y)
    display = draw(moe, X, y, level=None)
    assert display.by == "feature"  # they have no say in the scale of the axes
    assert display.coefficient_name == "Rate ratio of y"
    assert sorted(display.feature_names) == ["x0", "x1"]
    assert_array_equal(np.isfinite(display.coefficients), [[False, True]] * 2)
    assert all(point is None for point in display.points_[:, 0])
    assert all(point is not None for point in display.points_[:, 1])


def test_experts_need_slopes(fitted):
    _, X, y = fitted
    message = refusal(draw, fit_quietly(regressor(expert_features=[]), X, y), X, y)
    assert_refused(message, "CoefficientsDisplay needs experts with slopes", "RegimesDisplay")


# --- points, lines and axes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "step"), [("feature", "SD"), ("feature", "unit"), ("expert", "unit")]
)
def test_each_panel_has_the_coefficients_of_its_feature_or_expert(by, step):
    display = given(by=by, step=step, intervals=ENDS, level=0.8).plot()
    headings, rows = (FEATURES, EXPERTS) if by == "feature" else (EXPERTS, FEATURES)
    assert [ax.get_title(loc="left") for ax in display.ax_] == headings
    for i, ax in enumerate(display.ax_):
        assert texts(ax.get_yticklabels()) == (rows if i == 0 else [""] * len(rows))
        assert ax.get_ylim() == (len(rows) - 0.5, -0.5)
    for (i, k), point in np.ndenumerate(display.points_):
        panel, height = (i, k) if by == "feature" else (k, i)
        assert point.axes is display.ax_[panel]
        assert_array_equal(point.get_xydata(), [[VALUES[i, k], height]])
        inks = point.get_color(), point.get_markerfacecolor(), display.lines_[i, k].get_color()
        assert {ink.lower() for ink in inks} == {expert_colour(k)}
        assert point.get_marker() == expert_lines(2)[k].get_marker()
        assert_array_equal(display.lines_[i, k].get_xdata(), ENDS[i, k])
    limits = {ax.get_xlim() for ax in display.ax_}
    assert len(limits) == (1 if by == "expert" or step == "SD" else 3)  # comparable steps
    for low, high in limits:
        assert low < 0.0 < high
    assert caption_of(display.figure_).split("\n")[0] == f"Coefficient, per {step} of the feature"


def test_ratios_have_a_logarithmic_axis():
    display = given(by="expert", is_ratio=np.array([False, True])).plot()
    plain, ratio = display.ax_
    assert (plain.get_xscale(), ratio.get_xscale()) == ("linear", "log")
    assert_array_equal([point.get_xdata()[0] for point in display.points_[:, 0]], VALUES[:, 0])
    found = [point.get_xdata()[0] for point in display.points_[:, 1]]
    assert_allclose(found, np.exp(VALUES[:, 1]))
    assert_allclose(plain.get_xlim(), (-0.24, 4.24))  # from zero to the largest, with a margin
    assert_allclose(np.log(ratio.get_xlim()), (-2.3, 3.3))


@pytest.mark.parametrize("is_ratio", [False, True])
def test_points_lines_arrows_and_crosses(is_ratio):
    scale = np.exp if is_ratio else np.asarray
    nothing = [np.nan, np.nan]
    estimates = [0.5, -0.2, 1.0, np.nan, 0.3]
    intervals = [[0.1, 0.9], nothing, [-9.0, 9.0], nothing, [0.2, 0.4]]
    display = one_panel(
        estimates,
        intervals,
        is_ratio=np.array([is_ratio]),
        dropped=np.array([False, False, False, False, True]),
    )
    [ax], points, lines = display.ax_, display.points_[:, 0], display.lines_[:, 0]
    for i in (0, 1, 2):
        assert_allclose(points[i].get_xydata(), [[scale(estimates[i]), i]])
        hollow = points[i].get_markerfacecolor() == "white"
        assert hollow == (i == 1)  # it has no interval, while others have one
    assert points[3] is None
    assert_allclose(points[4].get_xydata(), [[scale(0.0), 4]])
    assert points[4].get_marker() == "x"
    assert [line is None for line in lines] == [False, True, False, True, True]
    assert_allclose(lines[0].get_xydata(), [[scale(0.1), 0], [scale(0.9), 0]])
    # The interval that is far longer than the others ends in arrows at the edges of the axis.
    limits = ax.get_xlim()
    assert_allclose(lines[2].get_xdata(), limits)
    arrows = {line.get_marker(): line for line in ax.lines if line.get_marker() in ("<", ">")}
    for end, side in zip(limits, "<>", strict=True):
        assert_allclose(arrows[side].get_xydata(), [[end, 2]])
    upright = [line.get_xdata() for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    assert_allclose(upright, [[scale(0.0)] * 2])


MARGIN = 0.06  # of the length of an axis, on both sides


@pytest.mark.parametrize(
    ("estimates", "intervals", "low", "high"),
    [
        ([1.0, 2.0, -0.5, np.nan], None, -0.5, 2.0),
        ([1.0], None, 0.0, 1.0),  # it holds zero
        ([1e4, -1e4], None, -1e4, 1e4),
        ([1.0, 1.2, 0.9], [[0.6, 1.6], [0.8, 1.8], [0.5, 1.5]], 0.0, 1.8),
        ([1.0, 1.2, 0.9], [[0.6, 1.6], [np.nan] * 2, [0.5, 1.5]], 0.0, 1.6),
        # An interval is cut at 2.5 times the largest estimate or the median interval.
        ([1.0, 1.0, 1.0], [[0.5, 1.5], [0.5, 2.0], [-100.0, 100.0]], -5.0, 5.0),
        ([4.0, 1.0, 1.0], [[0.5, 1.5], [0.5, 2.0], [-100.0, 100.0]], -10.0, 10.0),
        ([0.01, -0.01, 0.0], [[-1.0, 1.0], [-0.9, 1.1], [-1.1, 0.9]], -1.1, 1.1),
        # One that is open on a side has no ends.
        ([0.0, 0.1, 0.1], [[-np.inf, 0.1], [np.nan, 0.2], [-0.2, 0.3]], -0.2, 0.3),
    ],
)
def test_axes_hold_zero_the_estimates_and_typical_intervals(estimates, intervals, low, high):
    margin = MARGIN * (high - low)
    display = one_panel(estimates, intervals)
    assert_allclose(display.ax_[0].get_xlim(), (low - margin, high + margin))


@pytest.mark.parametrize(
    ("values", "is_ratio"),
    [([1e6, -1e6], True), ([1e6, -1e6], False), ([0.0, np.nan], True), ([np.nan, np.nan], False)],
)
def test_huge_and_zero_coefficients_are_drawn(values, is_ratio):
    display = one_panel(values, is_ratio=np.array([is_ratio]))
    display.figure_.set_layout_engine("none")
    display.figure_.draw_without_rendering()
    low, high = display.ax_[0].get_xlim()
    assert np.isfinite([low, high]).all()
    assert low < (1.0 if is_ratio else 0.0) < high
    assert low > 0.0 or not is_ratio


@pytest.mark.parametrize("ratio", [1.5, 30.0, 1e15])
def test_ticks_of_ratios_are_few_plain_round_numbers(ratio):
    for low in (1e-8, 0.9):
        ends = np.log([low, max(low * ratio, 1.1)])
        display = one_panel(ends, is_ratio=np.array([True]))
        ax = display.ax_[0]
        low_end, high_end = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low_end <= tick <= high_end]
        assert 2 <= len(ticks) <= 6
        assert len(ax.get_xticks(minor=True)) == 0
        assert ax.xaxis.get_major_formatter()(0.5, 0) == "0.5"
        if high_end > 6.0 * low_end:
            leading = ticks / 10.0 ** np.floor(np.log10(ticks) + 1e-9)
            assert set(leading.round(9)) <= {1.0, 2.0, 3.0, 5.0}
        else:  # equidistant, as of other numbers
            assert np.allclose(np.diff(ticks), np.diff(ticks)[0])


# --- dropped features and captions ----------------------------------------------------------------


def test_dropped_features_of_a_fit_come_last(with_dropped):
    moe, X, y = with_dropped
    is_dropped = np.isposinf(moe.alpha_)
    assert 0 < is_dropped.sum() < 6
    display = draw(moe, X, y, by="expert", level=None)
    expected = [f"x{j}" for j in np.flatnonzero(is_dropped)]
    n_kept = 6 - len(expected)
    assert display.feature_names[n_kept:] == expected
    assert_array_equal(display.dropped, np.arange(6) >= n_kept)
    by_feature = draw(moe, X, y, level=None)
    assert len(by_feature.ax_) == n_kept
    alone = draw(moe, X, y, features=expected[:1], feature_names=[f"x{j}" for j in range(6)])
    assert alone.points_[0, 0].get_marker() == "x"


@pytest.mark.parametrize(
    ("by", "n_dropped"), [("feature", 0), ("feature", 1), ("feature", 3), ("expert", 1)]
)
def test_dropped_features_are_named_or_crossed_out(by, n_dropped):
    dropped = np.arange(3) < n_dropped
    values = np.where(dropped[:, None], np.nan, VALUES)
    display = given(by=by, coefficients=values, dropped=dropped).plot()
    caption = caption_of(display.figure_).replace("\n", " ")
    crosses = sum(line.get_marker() == "x" for ax in display.ax_ for line in ax.lines)
    if by == "expert":
        assert ("Crosses: dropped features." in caption) == (n_dropped > 0)
        assert crosses == 2 * n_dropped
        pairs = zip(FEATURES, dropped, strict=True)
        expected = [name + " (dropped)" * bool(gone) for name, gone in pairs]
        assert texts(display.ax_[0].get_yticklabels()) == expected
        return
    assert (f"Dropped: {', '.join(FEATURES[:n_dropped])}." in caption) == (n_dropped > 0)
    assert "Crosses" not in caption
    # If all are dropped there is nothing else to draw.
    shown = FEATURES if n_dropped == 3 else FEATURES[n_dropped:]
    assert [ax.get_title(loc="left") for ax in display.ax_] == shown
    assert crosses == (6 if n_dropped == 3 else 0)


@pytest.mark.parametrize("n_dropped", [8, 9])
def test_many_dropped_features_are_counted(n_dropped):
    n_features = n_dropped + 1
    display = given(
        feature_names=[f"f{j}." for j in range(n_features)],
        coefficients=np.ones((n_features, 2)),
        dropped=np.arange(n_features) < n_dropped,
        n_columns=99,
        feature_note="features are others",
    ).plot()
    text = caption_of(display.figure_).replace("\n", " ")
    named = [f"f{j}." for j in range(n_features) if f"f{j}." in text]
    assert named == [f"f{j}." for j in range(8)]
    assert (f"and {n_dropped - 8} more." in text) == (n_dropped > 8)
    assert f"{n_features} of 99 features, with the largest coefficients." in text
    assert text.endswith("The features are others.")


def test_captions_tell_of_points_without_interval_only_if_there_are_some():
    missing = ENDS.copy()
    missing[1, 0] = np.nan
    for intervals, values, level, expected in (
        (ENDS, VALUES, 0.9, "Lines: 90 % intervals."),
        (missing, VALUES, 0.9, "Lines: 90 % intervals. Hollow: no interval."),
        (
            missing,
            np.where(np.isnan(missing[..., 0]), np.nan, VALUES),
            0.9,
            "Lines: 90 % intervals.",
        ),
        (ENDS, VALUES, None, ""),
        (None, VALUES, 0.9, ""),
    ):
        display = given(coefficients=values, intervals=intervals, level=level, by="expert").plot()
        caption = caption_of(display.figure_).replace("\n", " ")
        assert caption == f"Coefficient, per SD of the feature {expected}".strip()


def test_captions_in_the_figure_of_a_user_stand_below_the_last_panel():
    axes = new_axes(3)
    display = given(n_columns=9).plot(axes)
    assert caption_of(display.figure_) == ""
    assert [ax.get_xlabel() == "" for ax in axes] == [True, True, False]
    first, second = axes[-1].get_xlabel().split("\n")
    assert first == "Coefficient, per SD of the feature"
    assert second == "3 of 9 features, with the largest coefficients."


# --- room for names -------------------------------------------------------------------------------
