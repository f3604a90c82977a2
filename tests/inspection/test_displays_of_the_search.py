"""How a fit came about: ConvergenceDisplay of the starts, NumberOfExpertsDisplay of the numbers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import ConvergenceDisplay, NumberOfExpertsDisplay
from skmoe.model_selection import n_experts_table
from support.displays import expert_colour, texts
from support.fits import ends_of_starts, fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes


@pytest.mark.parametrize("found", [False, True])
def test_every_start_of_a_fit_is_drawn_at_its_penalties(found):
    """The thick line goes on to the end of the fit only if the penalties stay the same."""
    X, y = crossing_lines(100)
    penalties = {} if found else {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0}
    moe = MixtureOfExpertsRegressor(3, n_init=3, random_state=0, **penalties)
    display = ConvergenceDisplay.from_estimator(fit_quietly(moe, X, y))
    for line, trace in zip(display.start_lines_, moe.start_traces_, strict=True):
        assert_array_equal(line.get_ydata(), trace)
    kept, ends = moe.start_traces_[display.kept], ends_of_starts(moe)
    assert_array_equal(display.line_.get_ydata(), kept if found else moe.lower_bounds_)
    assert_array_equal(display.line_.get_ydata()[: len(kept)], kept)
    assert display.kept == moe.maxima_.kept == ends.argmax()
    assert_array_equal(display.start_converged, moe.start_converged_)
    low, high = display.ax_.get_ylim()
    assert low < ends.min() <= ends.max() < high


@pytest.mark.parametrize("converged", [[True, True], [False, True], [False, False]])
def test_runs_begin_with_the_first_iteration_and_end_in_a_mark(converged):
    bounds, done = np.array([-5.0, -2.0, -1.5, -1.2, -1.0]), np.array(converged)
    traces = [bounds[:3] - 0.1, bounds - 0.5]
    display = ConvergenceDisplay(
        lower_bounds=bounds, start_traces=traces, start_converged=done, kept=1
    ).plot()
    iterations = np.arange(1.0, 6.0)
    assert_array_equal(display.line_.get_xydata(), np.column_stack([iterations, bounds]))
    assert display.line_.get_color().lower() == expert_colour(0)
    for line, trace in zip(display.start_lines_, traces, strict=True):
        expected = np.column_stack([iterations[: len(trace)], trace])
        assert_array_equal(line.get_xydata(), expected)
        assert line.get_color().lower() != expert_colour(0)
    marks = [(line.get_markevery(), line.get_fillstyle()) for line in display.start_lines_]
    assert marks == [([-1], "full" if each else "none") for each in converged]
    assert_array_equal(display.kept_end_.get_xydata(), [[5, traces[1][-1]]])
    kinds = dict.fromkeys("converged" if each else "dropped before" for each in converged)
    assert texts(display.legend_) == ["kept start", "chosen here", *kinds]


STEEP = np.array([-100.0, -10.0, -4.0, -2.0, -1.0])
GENTLE = np.array([-2.0, -1.5, -1.4, -1.2, -1.0])


@pytest.mark.parametrize(
    ("bounds", "others", "low"),
    [
        (STEEP, [], -1.0 - 3.0 * 1.0),  # three times the range after the third iteration
        (GENTLE, [], -1.0 - 3.0 * 0.2),
        (GENTLE, [np.array([-3.0, -2.5])], -3.0),  # the end of a short run is shown as well
        (np.full(20, -1.0), [], -21.0),
        (np.array([-2.0, -1.0]), [], -2.0),
    ],
)
def test_the_first_steep_iterations_are_cut(bounds, others, low):
    done = np.ones(1 + len(others), dtype=bool)
    given = {"start_traces": [bounds, *others], "start_converged": done, "kept": 0}
    display = ConvergenceDisplay(lower_bounds=bounds, **given).plot()
    margin = 0.05 * (-1.0 - low)
    expected = (low - margin, -1.0 + margin) if low > -21.0 else (-2.0, 0.0)
    assert_allclose(display.ax_.get_ylim(), expected)
    ticks = display.ax_.get_xticks()
    assert_array_equal(ticks, np.round(ticks))


def test_the_chosen_number_is_that_of_the_best_score():
    X, y = flipping_classes(100)
    moe = MixtureOfExpertsClassifier("bic", n_init=2, max_iter=10, random_state=0)
    display = NumberOfExpertsDisplay.from_estimator(fit_quietly(moe, X, y))
    best = np.argmax(moe.n_experts_scores_)
    assert display.chosen == moe.n_experts_tried_[best]
    assert_array_equal(display.line_.get_xdata(), moe.n_experts_tried_)
    assert_array_equal(display.line_.get_ydata(), moe.n_experts_scores_)
    assert display.ax_.get_ylabel() == "-BIC"
    X, y = crossing_lines(120)  # scores of held-out rows have standard errors
    moe = MixtureOfExpertsRegressor("auto", n_init=1, max_iter=10, random_state=0)
    display = NumberOfExpertsDisplay.from_estimator(fit_quietly(moe, X, y))
    assert display.chosen == moe.n_experts_
    assert_array_equal(display.errors, moe.n_experts_score_errors_)
    assert "held-out" in display.ax_.get_ylabel()
    moe = fit_quietly(MixtureOfExpertsRegressor(1), X, y)
    message = refusal(NumberOfExpertsDisplay.from_estimator, moe)
    assert_refused(message, "NumberOfExpertsDisplay needs", "got n_experts=1", '"auto"')


def test_a_table_of_numbers_is_drawn_by_its_bic():
    X, y = crossing_lines(60)
    moe = MixtureOfExpertsRegressor(1, n_init=1, random_state=0)
    table = n_experts_table(moe, X, y, [1, 2], init=None)
    display = NumberOfExpertsDisplay.from_estimator(table)
    assert display.chosen == table.best("bic")
    assert_array_equal(display.line_.get_ydata(), -table.columns["bic"])
    assert display.ax_.get_ylabel() == "-BIC"


@pytest.mark.parametrize("errors", [None, [0.5, 0.25, 0.0]])
def test_scores_have_bars_of_error_and_the_best_a_line(errors):
    scores = [1.0, 1.75, 2.0]
    display = NumberOfExpertsDisplay(
        tried=[1, 2, 4], scores=scores, chosen=2, score_name="-BIC", errors=errors
    ).plot()
    assert_array_equal(display.line_.get_xydata(), np.column_stack([[1, 2, 4], scores]))
    assert_array_equal(display.mark_.get_xydata(), [[2, 1.75]])
    labels = texts(display.legend_)
    assert "chosen: 2" in labels
    assert ("best score" in labels) == (errors is not None) == (display.error_bars_ is not None)
    if errors is not None:
        [best] = [line for line in display.ax_.lines if line.get_label() == "best score"]
        assert list(best.get_ydata()) == [2.0, 2.0]
        segments = display.error_bars_.lines[2][0].get_segments()
        expected = np.array(scores)[:, None] + np.outer(errors, [-1.0, 1.0])
        assert_allclose([ends[:, 1] for ends in segments], expected)
