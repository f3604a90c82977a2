"""Uniform experts alone, which have no coefficients: whatever is asked of a fit has an answer."""

import numpy as np
import pytest

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import CoefficientsDisplay, TrajectoriesDisplay, export_html, export_text

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 2)), RNG.uniform(size=60)


@pytest.fixture(scope="module")
def moe():
    return MixtureOfExpertsRegressor(1, family="uniform").fit(X, Y)


def test_texts_say_where_y_is_uniform(moe, tmp_path):
    summary = moe.summary(X, Y)
    assert summary.facts["parameters"] == "0"
    assert "y is uniform from" in str(summary)
    assert "No standard errors" not in str(summary)
    assert "y is uniform from" in export_text(moe)
    assert "MixtureOfExpertsRegressor" in moe._repr_html_()
    export_html(moe, X, Y, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 0


@pytest.mark.parametrize("method", ["observed", "sandwich", "bootstrap"])
def test_inference_has_no_terms(moe, method):
    assert moe.inference(X, Y, method=method).to_frame().empty


def test_pictures_need_no_standard_errors_and_say_what_they_need(moe):
    TrajectoriesDisplay.from_estimator(moe, X, Y)
    with pytest.raises(ValueError, match="needs experts with slopes"):
        CoefficientsDisplay.from_estimator(moe, X, Y)


def test_starts_move_experts_without_coefficients():
    """None of them has a linear predictor, by which the others of a list differ."""
    moe = MixtureOfExpertsRegressor(3, family="uniform", random_state=0).fit(X, Y)
    assert np.isfinite(moe.predict(X)).all()
