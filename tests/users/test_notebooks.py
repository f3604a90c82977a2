"""Notebooks show the summary below the diagram of scikit-learn."""

from html import unescape

import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.tables import two_regimes

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 10}


def page_of(estimator):
    bundle = estimator._repr_mimebundle_()
    assert bundle["text/plain"] == repr(estimator)
    return bundle["text/html"]


def summary_in(page):
    """The text below the diagram."""
    below = page.partition("skmoe-experts")[2]
    return unescape(below.partition("<pre>")[2].partition("</pre>")[0])


@pytest.mark.parametrize("n_experts", [1, 2])
def test_fitted_mixtures_are_shown_with_their_summary(n_experts):
    X, y = two_regimes(100)
    moe = fit_quietly(MixtureOfExpertsRegressor(n_experts, **SHORT), X, y)
    for page in (page_of(moe), moe._repr_html_()):
        assert "sk-top-container" in page  # scikit-learn's own
        assert f"{n_experts} expert{'s' * (n_experts > 1)}<" in page
        assert summary_in(page) == str(moe.summary())


def test_mixtures_are_shown_before_the_fit_and_inside_pipelines():
    X, y = two_regimes(50)
    assert "skmoe-experts" not in page_of(MixtureOfExpertsRegressor())
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, **SHORT))
    for estimator in (pipeline, fit_quietly(pipeline, X, y)):
        assert "MixtureOfExpertsRegressor" in page_of(estimator)
    assert "skmoe-experts" in page_of(pipeline[-1])


def test_notebooks_that_want_text_get_text():
    with sklearn.config_context(display="text"):
        assert not hasattr(MixtureOfExpertsRegressor(), "_repr_html_")
        assert "text/html" not in MixtureOfExpertsRegressor()._repr_mimebundle_()
