"""CalibrationDisplay: histogram of the probability integral transform, and observed coverage."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib import colors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.distributions import GammaComponents, PointMassComponents, predictive_distribution
from skmoe.inspection import CalibrationDisplay, SurvivalDisplay
from support.displays import CASES, expert_colour, texts
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal


def test_rows_belong_to_the_gate_of_their_unit():
    """With a base the gate sees the mean of its predictions for a unit, not that of each row."""
    rng = np.random.default_rng(0)
    units, X = np.repeat(np.arange(40), 3), rng.normal(size=(120, 2))
    X[:, 0] = np.repeat(rng.normal(size=40), 3)
    y = np.where(X[:, 0] > 0, 3.0, -3.0) + X[:, 1] + rng.normal(size=120)
    moe = MixtureOfExpertsRegressor(2, base=Ridge(), gate_features=[0], random_state=0)
    moe = fit_quietly(moe, X, y, units=units)
    assert not np.allclose(moe.predict_gate(X, units=units), moe.predict_gate(X), atol=1e-3)
    gate = moe.predict_gate(X, units=units)
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


def test_counts_have_two_limits_and_the_offset_of_their_row():
    moe, X, y, given = CASES["counts"]()
    display = CalibrationDisplay.from_estimator(moe, X, y, offset=given["offset"])
    dist = moe.predict_dist(X, offset=given["offset"])
    assert_array_equal(display.pit, dist.cdf(y))
    assert_allclose(display.pit_left, dist.cdf(y - 1.0), atol=1e-12)


def test_counts_of_the_mixture_are_calibrated():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(2000, 1))
    y = rng.poisson(np.exp(X[:, 0] - 1))  # most are zero or one
    moe = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)
    display = CalibrationDisplay.from_estimator(moe, X, y)
    assert_allclose(display.coverage, display.nominal, atol=0.04)
    assert_allclose(display.density, 1.0, atol=0.2)


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
    display = CalibrationDisplay.from_predictions(dist.cdf(y), pit_left=dist.cdf_left(y))
    assert_allclose(display.coverage, display.nominal, atol=0.04)
    assert_allclose(display.density, 1.0, atol=0.2)
    without = CalibrationDisplay.from_predictions(dist.cdf(y))
    assert_allclose(without.density[:2], 0.0)


def share_inside(low, high, ends):
    """Share of a step, or of a point, between two ends."""
    if low == high:
        return float(ends[0] <= high <= ends[1])
    return np.ptp(np.clip(ends, low, high)) / (high - low)


@pytest.mark.parametrize("n_bins", [2, 5, 10])
def test_histograms_count_rows_and_bands_hold_what_chance_does(n_bins):
    rng = np.random.default_rng(0)
    pit = rng.uniform(size=40) ** 1.5
    left = np.where(np.arange(40) % 2 == 0, pit, pit * rng.uniform(size=40))
    display = CalibrationDisplay(pit=pit, pit_left=left).plot(n_bins=n_bins)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    pairs = list(zip(left, pit, strict=True))
    count = [sum(share_inside(*pair, ends) for pair in pairs) for ends in pairwise(edges)]
    assert_allclose(display.density, np.array(count) * n_bins / 40)
    assert_allclose(display.stairs_.get_data().values, display.density)
    assert_allclose(display.stairs_.get_data().edges, edges)
    assert_allclose(display.nominal, 0.05 * np.arange(1, 20))
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


def test_the_picture_compares_with_calibrated_distributions():
    display = CalibrationDisplay(pit=np.linspace(0.0, 1.0, 40)).plot()
    left, right = display.ax_
    assert left.get_xlim() == right.get_xlim() == right.get_ylim() == (0.0, 1.0)
    assert left.get_ylim()[0] == 0.0
    assert [list(line.get_ydata()) for line in left.lines] == [[1.0, 1.0]]
    [diagonal] = [line for line in right.lines if line is not display.line_]
    assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    expected = np.column_stack([display.nominal, display.coverage])
    assert_array_equal(display.line_.get_xydata(), expected)
    inks = display.line_.get_color(), display.stairs_.get_edgecolor()
    assert {colors.to_hex(ink) for ink in inks} == {expert_colour(0)}
    assert texts(right.get_legend()) == ["observed", "95 % range\nif calibrated"]
    assert_allclose(display.coverage, display.nominal, atol=0.03)


def test_given_transforms_are_counted():
    pit = np.r_[np.full(30, 0.5), np.full(10, 0.02)]
    display = CalibrationDisplay.from_predictions(pit, n_bins=4)
    assert_allclose(display.density, [1.0, 0.0, 3.0, 0.0])
    assert_allclose(display.coverage, np.where(display.nominal >= 0.96, 1.0, 0.75))


@pytest.mark.parametrize(
    ("pit", "left", "name", "words"),
    [
        ([[0.5]], None, "pit must", ["one-dimensional", "(1, 1)"]),
        ([], None, "pit must", ["one-dimensional"]),
        ([0.5, 1.0 + 1e-9], None, "pit must", ["between 0 and 1"]),
        ([0.5, -0.5], None, "pit must", ["between 0 and 1", "-0.5"]),
        ([0.5, np.nan], None, "pit must", ["between 0 and 1", "nan"]),
        ([0.5, 0.6], [0.1], "pit_left must", ["shape of pit", "(2,)", "(1,)"]),
        ([0.5, 0.6], [0.1, 0.7], "pit_left must", ["between 0 and pit", "0.7 for 0.6"]),
        ([0.5, 0.6], [-0.1, 0.1], "pit_left must", ["between 0 and pit", "-0.1"]),
        ([0.5, 0.6], [0.1, np.nan], "pit_left must", ["between 0 and pit", "nan"]),
    ],
)
def test_transforms_must_be_probabilities(pit, left, name, words):
    message = refusal(CalibrationDisplay.from_predictions, pit, pit_left=left)
    assert_refused(message, name, *words)


def test_limits_from_the_left_may_be_zero_or_the_transform():
    pit = [0.0, 0.5, 1.0]
    for left in ([0.0, 0.0, 0.0], pit):
        assert_array_equal(CalibrationDisplay.from_predictions(pit, pit_left=left).pit_left, left)


def test_calibration_of_classes_is_in_scikit_learn():
    moe, X, y, _ = CASES["classes"]()
    message = refusal(CalibrationDisplay.from_estimator, moe, X, y)
    assert_refused(message, "estimator must be a regressor", "sklearn.calibration")
