"""NumberOfExpertsDisplay: scores of the numbers of experts that a fit tried."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import NumberOfExpertsDisplay
from support.displays import expert_colour, texts
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes


def test_the_chosen_number_is_that_of_the_best_score():
    X, y = flipping_classes(100)
    moe = MixtureOfExpertsClassifier("bic", n_init=2, max_iter=10, random_state=0)
    display = NumberOfExpertsDisplay.from_estimator(fit_quietly(moe, X, y))
    best = np.argmax(moe.n_experts_scores_)
    assert display.chosen == moe.n_experts_tried_[best]
    assert_array_equal(display.line_.get_xdata(), moe.n_experts_tried_)
    assert_array_equal(display.line_.get_ydata(), moe.n_experts_scores_)
    expected = [[display.chosen, moe.n_experts_scores_[best]]]
    assert_array_equal(display.mark_.get_xydata(), expected)
    assert display.ax_.get_ylabel() == "-BIC"
    assert display.errors is None


def test_scores_of_held_out_rows_have_standard_errors():
    X, y = crossing_lines(120)
    moe = MixtureOfExpertsRegressor("auto", n_init=1, max_iter=10, random_state=0)
    display = NumberOfExpertsDisplay.from_estimator(fit_quietly(moe, X, y))
    assert display.chosen == moe.n_experts_
    assert_array_equal(display.errors, moe.n_experts_score_errors_)
    assert "held-out" in display.ax_.get_ylabel()


@pytest.mark.parametrize("errors", [None, [0.5, 0.25, 0.0]])
def test_scores_have_bars_of_error_and_the_best_a_line(errors):
    scores = [1.0, 1.75, 2.0]
    display = NumberOfExpertsDisplay(
        tried=[1, 2, 4], scores=scores, chosen=2, score_name="-BIC", errors=errors
    ).plot()
    assert_array_equal(display.line_.get_xydata(), np.column_stack([[1, 2, 4], scores]))
    assert_array_equal(display.mark_.get_xydata(), [[2, 1.75]])
    assert display.line_.get_color().lower() == expert_colour(0)
    labels = texts(display.legend_)
    assert "chosen: 2" in labels
    assert ("best score" in labels) == (errors is not None)
    if errors is None:
        assert display.error_bars_ is None
        return
    [best] = [line for line in display.ax_.lines if line.get_label() == "best score"]
    assert list(best.get_ydata()) == [2.0, 2.0]
    segments = display.error_bars_.lines[2][0].get_segments()
    expected = np.array(scores)[:, None] + np.outer(errors, [-1.0, 1.0])
    assert_allclose([ends[:, 0] for ends in segments], [[n, n] for n in (1, 2, 4)])
    assert_allclose([ends[:, 1] for ends in segments], expected)


def test_a_given_number_was_not_selected():
    X, y = crossing_lines(50)
    moe = fit_quietly(MixtureOfExpertsRegressor(1), X, y)
    message = refusal(NumberOfExpertsDisplay.from_estimator, moe)
    assert_refused(message, "NumberOfExpertsDisplay needs", "got n_experts=1", '"auto"')
