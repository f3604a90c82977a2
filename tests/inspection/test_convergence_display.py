"""ConvergenceDisplay: lower bounds of EM for every start."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import ConvergenceDisplay
from support.displays import expert_colour, texts
from support.fits import ends_of_starts, fit_quietly
from support.tables import crossing_lines


def test_every_start_of_a_fit_is_drawn():
    X, y = crossing_lines(100)
    moe = fit_quietly(MixtureOfExpertsRegressor(3, n_init=3, max_iter=15, random_state=0), X, y)
    display = ConvergenceDisplay.from_estimator(moe)
    assert len(display.start_lines_) == 3
    for line, trace in zip(display.start_lines_, moe.start_traces_, strict=True):
        assert_array_equal(line.get_ydata(), trace)
    done, kept = moe.start_converged_, np.arange(3) == display.kept
    assert_array_equal(display.start_ends_.get_ydata(), ends_of_starts(moe)[done])
    assert_array_equal(display.dropped_ends_.get_ydata(), ends_of_starts(moe)[~done & ~kept])
    assert_array_equal(display.kept_end_.get_ydata(), [ends_of_starts(moe).max()])
    low, high = display.ax_.get_ylim()
    ends = [trace[-1] for trace in moe.start_traces_]
    assert low < min(ends) <= max(ends) < high


@pytest.mark.parametrize("found", [False, True])
def test_lower_bounds_at_other_penalties_are_not_compared(found):
    """The thick line goes on to the end of the fit only if the penalties stay the same."""
    X, y = crossing_lines(100)
    penalties = {} if found else {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0}
    moe = MixtureOfExpertsRegressor(3, n_init=3, random_state=0, **penalties)
    display = ConvergenceDisplay.from_estimator(fit_quietly(moe, X, y))
    kept = moe.start_traces_[display.kept]
    shown = display.line_.get_ydata()
    assert_array_equal(shown, kept if found else moe.lower_bounds_)
    assert_array_equal(shown[: len(kept)], kept)
    assert kept[-1] == ends_of_starts(moe).max()


def test_the_kept_start_is_that_of_the_fit_also_if_another_one_has_no_maximum():
    """A few rows on a line have an infinite likelihood, up to the floor of the noise variance."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 1))
    y = X[:, 0] + rng.normal(size=60)
    y[:8] = 2.0 * X[:8, 0] + 1.0
    penalties = {"alpha": 1e-6, "gate": "constant", "dispersion_prior": 0.0}
    moe = MixtureOfExpertsRegressor(2, n_init=8, random_state=0, **penalties)
    display = ConvergenceDisplay.from_estimator(fit_quietly(moe, X, y))
    assert display.kept == moe.maxima_.kept
    kept = moe.start_traces_[display.kept]
    assert_array_equal(moe.lower_bounds_[: len(kept)], kept)
    assert_array_equal(display.line_.get_ydata(), moe.lower_bounds_)
    assert kept[-1] < ends_of_starts(moe).max() - 0.1


@pytest.mark.parametrize("kept", [None, 1])
@pytest.mark.parametrize("converged", [None, [True, True], [False, True], [False, False]])
def test_runs_begin_with_the_first_iteration_and_end_in_a_mark(converged, kept):
    bounds = np.array([-5.0, -2.0, -1.5, -1.2, -1.0])
    traces = [bounds[:3] - 0.1, bounds - 0.5]
    display = ConvergenceDisplay(
        lower_bounds=bounds, start_traces=traces, start_converged=converged, kept=kept
    ).plot()
    iterations = np.arange(1.0, 6.0)
    assert_array_equal(display.line_.get_xydata(), np.column_stack([iterations, bounds]))
    assert display.line_.get_color().lower() == expert_colour(0)
    for line, trace in zip(display.start_lines_, traces, strict=True):
        expected = np.column_stack([iterations[: len(trace)], trace])
        assert_array_equal(line.get_xydata(), expected)
        assert line.get_color().lower() != expert_colour(0)
    ends = np.array([[3, traces[0][-1]], [5, traces[1][-1]]])
    done = np.array([True, True] if converged is None else converged)
    assert_array_equal(display.start_ends_.get_xydata(), ends[done])
    is_kept = np.arange(2) == kept if kept is not None else np.zeros(2, dtype=bool)
    dropped = ~done & ~is_kept
    assert_array_equal(display.dropped_ends_.get_xydata(), ends[dropped])
    assert_array_equal(display.kept_end_.get_xydata(), ends[is_kept])
    assert display.dropped_ends_.get_fillstyle() == "none"
    expected = ["kept start", "starts", *["chosen here"] * bool(is_kept.any())]
    expected += ["converged"] * bool(done.any()) + ["dropped before"] * bool(dropped.any())
    assert texts(display.legend_) == expected


STEEP = np.array([-100.0, -10.0, -4.0, -2.0, -1.0])
GENTLE = np.array([-2.0, -1.5, -1.4, -1.2, -1.0])


@pytest.mark.parametrize(
    ("bounds", "others", "low"),
    [
        (STEEP, [], -1.0 - 3.0 * 1.0),  # three times the range after the third iteration
        (GENTLE, [], -1.0 - 3.0 * 0.2),
        (GENTLE, [np.array([-3.0, -2.5])], -3.0),  # the end of a short run is shown as well
    ],
)
def test_the_first_steep_iterations_are_cut(bounds, others, low):
    display = ConvergenceDisplay(lower_bounds=bounds, start_traces=[bounds, *others]).plot()
    margin = 0.05 * (-1.0 - low)
    assert_allclose(display.ax_.get_ylim(), (low - margin, -1.0 + margin))


@pytest.mark.parametrize("bounds", [np.full(20, 3.0), np.array([3.0]), np.array([2.0, 3.0])])
def test_flat_and_short_runs_are_drawn(bounds):
    display = ConvergenceDisplay(lower_bounds=bounds, start_traces=[bounds, bounds]).plot()
    low, high = display.ax_.get_ylim()
    assert low < 3.0 < high
