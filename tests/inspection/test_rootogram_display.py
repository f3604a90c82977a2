"""RootogramDisplay: square roots of observed and expected frequencies of counts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import RootogramDisplay
from support.displays import CASES, new_axes
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 30}


@pytest.fixture(scope="module")
def inflated():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 2))
    y = np.where(rng.uniform(size=300) < 0.3, 0, rng.poisson(np.exp(1 + X[:, 0])))
    moe = MixtureOfExpertsRegressor(2, family=["zero", "poisson"], **SHORT)
    return fit_quietly(moe, X, y), X, y


def bars(display):
    """Ends of the bars, from below."""
    return np.array([[bar.get_y(), bar.get_y() + bar.get_height()] for bar in display.bars_])


def test_frequencies_are_those_of_the_rows_and_of_the_mixture(inflated):
    moe, X, y = inflated
    display = RootogramDisplay.from_estimator(moe, X, y)
    gate, rate = moe.predict_gate(X), np.exp(moe.expert_intercept_[1] + X @ moe.expert_coef_[1])
    for count in range(y.max() + 1):
        probability = gate[:, 0] * (count == 0) + gate[:, 1] * stats.poisson(rate).pmf(count)
        assert_allclose(display.expected[count], probability.sum())
        assert display.observed[count] == (y == count).sum()
    assert_array_equal(display.counts, np.arange(y.max() + 1))
    assert_allclose(display.deviation, np.sqrt(display.expected) - np.sqrt(display.observed))


def test_excess_zeros_are_seen(inflated):
    moe, X, y = inflated
    plain = MixtureOfExpertsRegressor(1, family="poisson").fit(X, y)
    assert RootogramDisplay.from_estimator(plain, X, y).deviation[0] < -2.5
    assert abs(RootogramDisplay.from_estimator(moe, X, y).deviation[0]) < 1


@pytest.mark.parametrize("style", ["hanging", "standing", "suspended"])
def test_bars_are_roots_of_frequencies_within_a_band(style):
    observed, expected = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 0.25])
    display = RootogramDisplay(observed=observed, expected=expected).plot(style=style)
    root, zero = np.sqrt(expected), np.zeros(3)
    ends = {
        "hanging": (root - np.sqrt(observed), root),
        "standing": (zero, np.sqrt(observed)),
        "suspended": (zero, root - np.sqrt(observed)),
    }
    assert_allclose(bars(display), np.column_stack(ends[style]))
    for i, bar in enumerate(display.bars_):
        assert_allclose(bar.get_x() + bar.get_width() / 2, i, atol=1e-12)
        assert 0.5 < bar.get_width() < 1.0
    level = zero if style == "suspended" else root
    assert_allclose(display.line_.get_xydata(), np.column_stack([[0, 1, 2], level]))
    centre = root if style == "standing" else zero
    vertices = display.band_.get_paths()[0].vertices
    for i in range(3):
        at = vertices[vertices[:, 0] == i, 1]
        assert_allclose([at.min(), at.max()], [centre[i] - 1.0, centre[i] + 1.0])
    [axis] = [line for line in display.ax_.lines if line is not display.line_]
    assert list(axis.get_ydata()) == [0.0, 0.0]


def test_styles_and_axes_are_passed_on():
    y, expected = np.array([0, 1, 1, 2]), np.array([1.0, 2.0, 1.0])
    display = RootogramDisplay.from_predictions(y, expected, style="standing")
    assert_allclose(bars(display)[:, 0], 0.0)
    ax = new_axes()
    assert display.plot(ax, style="suspended").ax_ is ax
    assert_allclose(display.line_.get_ydata(), 0.0)


def test_rows_with_larger_counts_than_are_drawn_are_left_out():
    y = np.array([0, 1, 1, 2, 5, 5, 3])
    display = RootogramDisplay.from_predictions(y, [1.0, 2.0, 3.0])
    assert_array_equal(display.observed, [1, 2, 1])
    display = RootogramDisplay.from_predictions(y, np.ones(8))
    assert_array_equal(display.observed, [1, 2, 1, 1, 0, 2, 0, 0])


def test_one_of_several_outputs_is_drawn_with_its_offset(inflated):
    _, X, y = inflated
    Y = np.column_stack([y, y[::-1]])
    offset = np.linspace(-0.5, 0.5, len(y))
    moe = MixtureOfExpertsRegressor(1, family="poisson", alpha=0.1)
    moe = fit_quietly(moe, X, Y, offset=offset)
    display = RootogramDisplay.from_estimator(moe, X, Y, target=1, max_count=3, offset=offset)
    assert len(display.counts) == 4
    assert_allclose(display.expected[2], moe.predict_dist(X, offset=offset).pmf(2.0)[:, 1].sum())
    assert display.observed[2] == (Y[:, 1] == 2).sum()


def test_at_most_a_hundred_counts_are_drawn_by_default(inflated):
    moe, X, y = inflated
    high = np.where(np.arange(len(y)) == 0, 300, y)
    assert len(RootogramDisplay.from_estimator(moe, X, high).counts) == 101


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: y + 0.5, ["non-negative integers", "row 0 holds", "CalibrationDisplay"]),
        (lambda y: np.where(np.arange(len(y)) == 1, -1.0, y), ["row 1 holds -1"]),
        (lambda y: np.where(np.arange(len(y)) == 1, np.inf, y), ["row 1 holds inf"]),
        (lambda y: np.where(np.arange(len(y)) == 1, np.nan, y), ["row 1 holds nan"]),
        (lambda y: y[:-1], ["a count for each of the 300 rows", "(299,)"]),
        (lambda y: np.column_stack([y, y])[None], ["a count for each of the 300 rows"]),
    ],
)
def test_counts_must_be_whole_numbers_for_all_rows(inflated, change, words):
    moe, X, y = inflated
    message = refusal(RootogramDisplay.from_estimator, moe, X, change(y))
    assert_refused(message, "y must", *words)


@pytest.mark.parametrize("expected", [[[1.0]], [], 1.0, [-1e-9, 1.0], [np.nan]])
def test_expected_frequencies_must_be_numbers_of_rows(expected):
    message = refusal(RootogramDisplay.from_predictions, [0, 1], expected)
    assert_refused(message, "expected must be one-dimensional", "non-negative", "Pass sums")


@pytest.mark.parametrize("y", [2.0, [], [[[1]]]])
def test_counts_need_rows(y):
    message = refusal(RootogramDisplay.from_predictions, y, [1.0, 2.0])
    assert_refused(message, "y must have a count for each row")


@pytest.mark.parametrize("case", ["lines", "classes"])
def test_families_must_be_those_of_counts(case):
    moe, X, y, _ = CASES[case]()
    message = refusal(RootogramDisplay.from_estimator, moe, X, y)
    if case == "lines":
        assert_refused(message, "RootogramDisplay needs", "family='normal'", "CalibrationDisplay")
    target = "red" if case == "classes" else None
    message = refusal(RootogramDisplay.from_estimator, moe, X, y, target=target)
    assert "families of counts" in message
