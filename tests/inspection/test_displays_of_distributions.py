"""Predictive distributions against y: CalibrationDisplay, RootogramDisplay, SurvivalDisplay."""

from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import left_censored, right_censored
from skmoe.distributions import GammaComponents, PointMassComponents, predictive_distribution
from skmoe.inspection import CalibrationDisplay, RootogramDisplay, SurvivalDisplay
from support.displays import CASES, expert_colour, texts
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

# --- calibration ----------------------------------------------------------------------------------


def test_rows_belong_to_the_gate_of_their_unit():
    """With a base the gate sees the mean of its predictions for a unit, not that of each row."""
    rng = np.random.default_rng(0)
    units, X = np.repeat(np.arange(40), 3), rng.normal(size=(120, 2))
    X[:, 0] = np.repeat(rng.normal(size=40), 3)
    y = np.where(X[:, 0] > 0, 3.0, -3.0) + X[:, 1] + rng.normal(size=120)
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), gate_features=[0], random_state=0)
    moe = fit_quietly(moe, X, y, units=units)
    gate = moe.predict_gate(X, units=units)
    assert not np.allclose(gate, moe.predict_gate(X), atol=1e-3)
    display = CalibrationDisplay.from_estimator(moe, X, y, units=units)
    assert_allclose(display.pit, moe.predict_dist(X, gate_proba=gate).cdf(y))
    survival = SurvivalDisplay.from_estimator(moe, X, y, units=units)
    assert_allclose(survival.shares, gate.mean(axis=0))


def test_transforms_and_coverage_are_those_of_predictive_distributions():
    moe, X, y, _ = CASES["lines"]()
    display = CalibrationDisplay.from_estimator(moe, X, y, n_bins=8)
    pit = moe.predict_dist(X).cdf(y)
    assert_allclose(display.pit, pit)
    assert_allclose(display.density, np.histogram(pit, 8, (0, 1), density=True)[0])
    for i in (4, 9, 17):
        low, high = moe.predict_interval(X, display.nominal[i]).T
        assert_allclose(display.coverage[i], ((low <= y) & (y <= high)).mean(), atol=1e-12)
    moe, X, y, given = CASES["counts"]()  # which have two limits
    display = CalibrationDisplay.from_estimator(moe, X, y, offset=given["offset"])
    dist = moe.predict_dist(X, offset=given["offset"])
    assert_array_equal(display.pit, dist.cdf(y))
    assert_allclose(display.pit_left, dist.cdf(y - 1.0), atol=1e-12)


@pytest.mark.parametrize(("shape", "is_calibrated"), [(2.0, True), (0.8, False)])
def test_censored_rows_are_spread_over_what_is_possible(shape, is_calibrated):
    rng = np.random.default_rng(0)
    time, end = rng.weibull(shape, size=3000), rng.uniform(0.2, 3.0, size=3000)
    y, X = right_censored(np.minimum(time, end), time <= end), np.zeros((3000, 1))
    other = rng.weibull(2.0, size=3000)
    moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, right_censored(other, other < 9.0))
    display = CalibrationDisplay.from_estimator(moe, X, y)
    assert_allclose(display.pit[time > end], 1.0)
    assert_allclose(display.pit_left, moe.predict_dist(X).cdf(np.minimum(time, end)), atol=1e-12)
    assert (np.abs(display.density - 1.0).max() < 0.2) == is_calibrated


def test_points_with_a_probability_are_spread_over_their_steps():
    zero, gamma = np.zeros((1, 1, 3000)), np.full((1, 1, 3000), 2.0)
    one = np.ones((1, 3000))
    parts = [PointMassComponents(one, zero), GammaComponents(one, gamma, gamma)]
    dist = predictive_distribution(parts, np.tile([[0.3], [0.7]], 3000), True)
    y = dist.rvs(random_state=0)
    display = CalibrationDisplay(pit=dist.cdf(y), pit_left=dist.cdf_left(y)).plot()
    assert_allclose(display.coverage, display.nominal, atol=0.04)
    assert_allclose(display.density, 1.0, atol=0.2)
    assert_allclose(CalibrationDisplay(pit=dist.cdf(y)).plot().density[:2], 0.0)


def share_inside(low, high, ends):
    """Share of a step, or of a point, between two ends."""
    if low == high:
        return float(ends[0] <= high <= ends[1])
    return np.ptp(np.clip(ends, low, high)) / (high - low)


@pytest.mark.parametrize("n_bins", [2, 10])
def test_histograms_count_rows_and_bands_hold_what_chance_does(n_bins):
    rng = np.random.default_rng(0)
    pit = rng.uniform(size=40) ** 1.5
    left = np.where(np.arange(40) % 2 == 0, pit, pit * rng.uniform(size=40))
    display = CalibrationDisplay(pit=pit, pit_left=left, n_bins=n_bins).plot()
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    pairs = list(zip(left, pit, strict=True))
    count = [sum(share_inside(*pair, ends) for pair in pairs) for ends in pairwise(edges)]
    assert_allclose(display.density, np.array(count) * n_bins / 40)
    assert_allclose(display.stairs_.get_data().values, display.density)
    assert_allclose(display.stairs_.get_data().edges, edges)
    for level, share in zip(display.nominal, display.coverage, strict=True):
        ends = 0.5 - level / 2, 0.5 + level / 2
        expected = np.mean([share_inside(*pair, ends) for pair in pairs])
        assert_allclose(share, expected, atol=1e-12)
    # 95 % of binomial counts, at each point.
    band = display.bands_[1].get_paths()[0].vertices
    for level in display.nominal:
        found = band[np.isclose(band[:, 0], level), 1] * 40
        assert_allclose([found.min(), found.max()], stats.binom.ppf([0.025, 0.975], 40, level))
    box = display.bands_[0].get_extents().transformed(display.ax_[0].transData.inverted())
    expected = stats.binom.ppf([0.025, 0.975], 40, 1 / n_bins) * n_bins / 40
    assert_allclose([box.y0, box.y1], expected)
    left, right = display.ax_
    assert [list(line.get_ydata()) for line in left.lines] == [[1.0, 1.0]]
    [diagonal] = [line for line in right.lines if line is not display.line_]
    assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    expected = np.column_stack([display.nominal, display.coverage])
    assert_array_equal(display.line_.get_xydata(), expected)
    inks = display.line_.get_color(), display.stairs_.get_edgecolor()
    assert {colors.to_hex(ink) for ink in inks} == {expert_colour(0)}
    assert texts(right.get_legend()) == ["observed", "95 % range\nif calibrated"]


# --- counts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inflated():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 2))
    y = np.where(rng.uniform(size=300) < 0.3, 0, rng.poisson(np.exp(1 + X[:, 0])))
    options = {"random_state": 0, "n_init": 1, "max_iter": 30}
    moe = MixtureOfExpertsRegressor(2, family=["zero", "poisson"], **options)
    return fit_quietly(moe, X, y), X, y


def test_frequencies_are_those_of_the_rows_and_of_the_mixture(inflated):
    moe, X, y = inflated
    display = RootogramDisplay.from_estimator(moe, X, y)
    gate, rate = moe.predict_gate(X), np.exp(moe.expert_intercept_[1] + X @ moe.expert_coef_[1])
    for count in range(y.max() + 1):
        probability = gate[:, 0] * (count == 0) + gate[:, 1] * stats.poisson(rate).pmf(count)
        assert_allclose(display.expected[count], probability.sum())
        assert display.observed[count] == (y == count).sum()
    assert_array_equal(display.counts, np.arange(y.max() + 1))
    plain = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)  # excess zeros are seen
    assert RootogramDisplay.from_estimator(plain, X, y).deviation[0] < -2.5
    assert abs(display.deviation[0]) < 1
    high = np.where(np.arange(len(y)) == 0, 300, y)
    assert len(RootogramDisplay.from_estimator(moe, X, high).counts) == 101


def test_bars_hang_from_the_line_within_a_band():
    observed, expected = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 0.25])
    display = RootogramDisplay(observed=observed, expected=expected).plot()
    root = np.sqrt(expected)
    assert_allclose([bar.get_y() for bar in display.bars_], root - np.sqrt(observed))
    assert_allclose([bar.get_y() + bar.get_height() for bar in display.bars_], root)
    centres = [bar.get_x() + bar.get_width() / 2 for bar in display.bars_]
    assert_allclose(centres, range(3), atol=1e-12)
    assert_allclose(display.line_.get_xydata(), np.column_stack([range(3), root]))
    vertices = display.band_.get_paths()[0].vertices
    assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], [-1.0, 1.0])
    ticks = display.ax_.get_xticks()
    assert_array_equal(ticks, np.round(ticks))


def test_one_of_several_outputs_is_drawn_with_its_offset(inflated):
    _, X, y = inflated
    Y, offset = np.column_stack([y, y[::-1]]), np.linspace(-0.5, 0.5, len(y))
    moe = MixtureOfExpertsRegressor(1, family="poisson", alpha=0.1)
    moe = fit_quietly(moe, X, Y, offset=offset)
    display = RootogramDisplay.from_estimator(moe, X, Y, target=1, max_count=3, offset=offset)
    assert len(display.counts) == 4
    assert_allclose(display.expected[2], moe.predict_dist(X, offset=offset).pmf(2.0)[:, 1].sum())
    assert display.observed[2] == (Y[:, 1] == 2).sum()


def test_counts_that_are_all_observed_are_numbers_also_as_bounds(inflated):
    moe, X, y = inflated
    event = np.ones(len(y), dtype=bool)
    display = RootogramDisplay.from_estimator(moe, X, right_censored(y, event))
    assert_allclose(display.observed, RootogramDisplay.from_estimator(moe, X, y).observed)
    event[0] = False
    message = refusal(RootogramDisplay.from_estimator, moe, X, right_censored(y, event))
    assert_refused(message, "RootogramDisplay needs values of y", "censored", "SurvivalDisplay")


@pytest.mark.parametrize("display", [RootogramDisplay, CalibrationDisplay])
def test_classes_have_displays_of_their_own(inflated, display):
    _, X, y = inflated
    moe = MixtureOfExpertsClassifier(1).fit(X, y > 0)
    message = refusal(display.from_estimator, moe, X, y > 0)
    assert_refused(message, "estimator must be a regressor", "MixtureOfExpertsClassifier")
    assert message.endswith("For classes use sklearn.calibration.CalibrationDisplay.")


@pytest.mark.parametrize("wrong", [0.5, -1.0, np.inf, np.nan])
def test_counts_must_be_whole_numbers(inflated, wrong):
    moe, X, y = inflated
    y = np.where(np.arange(len(y)) == 1, wrong, y)
    message = refusal(RootogramDisplay.from_estimator, moe, X, y)
    assert_refused(message, "y must hold counts", "non-negative integers", "CalibrationDisplay")


# --- times ----------------------------------------------------------------------------------------


@cache
def cure():
    """A fit with a share of rows that never have the event."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 1))
    is_cured = rng.uniform(size=400) < 1 / (1 + np.exp(-2 * X[:, 0]))
    time, end = np.where(is_cured, np.inf, rng.weibull(2, size=400)), rng.uniform(1, 3, size=400)
    y = right_censored(np.minimum(time, end), time <= end)
    moe = MixtureOfExpertsRegressor(2, family=["never", "weibull"], random_state=0)
    return moe.fit(X, y), X, y


def test_curves_of_experts_add_up_to_that_of_the_mixture_which_is_calibrated():
    moe, X, y = cure()
    display = SurvivalDisplay.from_estimator(moe, X, y)
    assert_allclose(display.curves[:, 0], 1.0, rtol=1e-12)
    assert_allclose(display.curves @ display.shares, display.mixture, rtol=1e-12)
    assert_allclose(display.mixture, moe.predict_dist(X).sf(display.times[None]).mean(axis=0))
    for k, line in enumerate(display.lines_):
        assert_array_equal(
            line.get_xydata(), np.column_stack([display.times, display.curves[:, k]])
        )
    share = f"{100 * display.shares[0]:.0f} % of the rows"
    assert any(share in text for text in texts(display.legend_))
    mixture = np.interp(display.observed_times, display.times, display.mixture)
    inside = (display.band[0] <= mixture) & (mixture <= display.band[1])
    assert inside.mean() > 0.9
    y = left_censored(np.ones(len(X)), np.arange(len(X)) % 2)
    assert "right-censored time" in refusal(SurvivalDisplay.from_estimator, moe, X, y)


@pytest.mark.parametrize("level", [0.95, 0.5, None])
def test_steps_are_those_of_kaplan_and_meier(level):
    """By hand: at 2 one of the four remaining rows has the event, and one is lost after it."""
    time, event = [1.0, 2.0, 2.0, 3.0, 4.0], [True, True, False, True, False]
    moe, X, _ = cure()
    display = SurvivalDisplay.from_estimator(moe, X[:5], right_censored(time, event), level=level)
    survival = np.array([1.0, 0.8, 0.6, 0.3, 0.3])
    assert_array_equal(display.observed_times, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert_allclose(display.observed, survival)
    if level is None:
        assert display.band_ is None
        return
    variance = np.cumsum([1 / (5 * 4), 1 / (4 * 3), 1 / (2 * 1)])
    width = {0.95: 1.959964, 0.5: 0.6744898}[level] * np.sqrt(variance) / np.log(survival[1:4])
    for side, sign in enumerate((-1.0, 1.0)):
        expected = survival[1:4] ** np.exp(sign * width)
        assert_allclose(display.band[side, 1:4], expected, rtol=1e-6)


@cache
def trial():
    """Censored times of two arms, in a frame, and a fit behind an encoder."""
    rng = np.random.default_rng(3)
    arm = pd.Categorical.from_codes(rng.integers(0, 2, size=300), ["placebo", "drug"])
    X = pd.DataFrame({"arm": arm, "age": rng.normal(size=300)})
    time = np.exp(1 + 0.8 * arm.codes - 0.5 * X["age"].to_numpy()) * rng.weibull(1.5, size=300)
    end = rng.uniform(1, 6, size=300)
    steps = make_column_transformer((OneHotEncoder(drop="first"), ["arm"]), remainder="passthrough")
    y = right_censored(np.minimum(time, end), time <= end)
    moe = make_pipeline(steps, MixtureOfExpertsRegressor(1, family="weibull"))
    return moe.fit(X, y), X, y


def test_groups_have_curves_and_numbers_at_risk_of_their_own():
    moe, X, y = trial()
    display = SurvivalDisplay.from_estimator(moe, X, y, by="arm")
    assert [group.group_name for group in display.groups] == ["arm: placebo", "arm: drug"]
    drawn = [text.get_text() for text in display.numbers_]
    for group, name in zip(display.groups, ["placebo", "drug"], strict=True):
        rows = np.flatnonzero(X["arm"] == name)
        own = SurvivalDisplay.from_estimator(moe, X.iloc[rows], y[rows])
        assert_allclose(group.observed, own.observed)
        expected = moe[-1].predict_dist(moe[:-1].transform(X.iloc[rows])).sf(display.times[None])
        assert_allclose(group.mixture, expected.mean(axis=0))
        at_risk = (y["lower"][rows] >= display.risk_times[:, None]).sum(axis=1)
        assert_array_equal(group.at_risk, at_risk)
        assert drawn[: len(at_risk)] == [str(number) for number in at_risk]
        drawn = drawn[len(at_risk) :]
        assert_array_equal(group.observed_line_.get_ydata(), group.observed)
    assert_allclose(display.mixture, SurvivalDisplay.from_estimator(moe, X, y).mixture)
    assert_refused(
        refusal(SurvivalDisplay.from_estimator, moe, X, y, by="age"), "by", "300", "two to 6"
    )


def test_rows_at_risk_have_entered():
    moe, X, _ = cure()
    end, entry = np.array([2.0, 3.0, 4.0]), np.array([0.0, 1.5, 3.5])
    y = right_censored(end, [1, 1, 0], entry=entry)
    display = SurvivalDisplay.from_estimator(moe, X[:3], y)
    times = display.risk_times[:, None]
    assert_array_equal(display.at_risk, ((entry <= times) & (times <= end)).sum(axis=1))
    assert display.at_risk[[0, -1]].tolist() == [1, 1]


def test_calibration_at_a_time_is_beside_kaplan_and_meier():
    """In a group without censoring before the time it is the share of the rows with an event."""
    moe, X, y = trial()
    display = CalibrationDisplay.from_estimator(moe, X, y, horizon=0.9, n_bins=3)
    risk = 1 - moe[-1].predict_dist(moe[:-1].transform(X)).sf(0.9)
    order = np.argsort(risk)
    for own, column in zip(np.array_split(order, 3), display.risk_groups.T, strict=True):
        predicted, observed, low, high = column
        assert predicted == pytest.approx(risk[own].mean())
        assert observed == pytest.approx((y["lower"][own] <= 0.9).mean())
        assert low < observed < high
    assert_allclose(display.line_.get_xydata(), display.risk_groups[:2].T)
    assert "0.9" in display.ax_[1].get_xlabel()
    late = refusal(CalibrationDisplay.from_estimator, moe, X, y, horizon=50.0)
    assert_refused(late, "horizon", "last time", 50, "within")
