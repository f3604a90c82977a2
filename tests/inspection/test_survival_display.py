"""SurvivalDisplay: mean survival functions over the Kaplan-Meier curve."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import left_censored, right_censored
from skmoe.inspection import SurvivalDisplay
from support.displays import texts
from support.refusals import refusal


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


def test_curves_of_experts_add_up_to_that_of_the_mixture():
    moe, X, y = cure()
    display = SurvivalDisplay.from_estimator(moe, X, y)
    assert_allclose(display.curves[:, 0], 1.0, rtol=1e-12)
    assert_allclose(display.curves @ display.shares, display.mixture, rtol=1e-12)
    assert_allclose(display.mixture, moe.predict_dist(X).sf(display.times[None]).mean(axis=0))
    share = f"{100 * display.shares[0]:.0f} % of the rows"
    assert any(share in text for text in texts(display.legend_))


def test_a_calibrated_mixture_is_in_the_band():
    display = SurvivalDisplay.from_estimator(*cure())
    mixture = np.interp(display.observed_times, display.times, display.mixture)
    inside = (display.band[0] <= mixture) & (mixture <= display.band[1])
    assert inside.mean() > 0.9


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
    assert (display.band[0] <= display.observed).all()


def test_other_bounds_are_refused():
    moe, X, _ = cure()
    y = left_censored(np.ones(len(X)), np.arange(len(X)) % 2)
    assert "right-censored time" in refusal(SurvivalDisplay.from_estimator, moe, X, y)
