"""Notebooks show the summary below the diagram of scikit-learn."""

import re
from html import unescape

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import export_mermaid
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


@pytest.mark.parametrize(
    ("family", "columns"),
    [
        ("gamma", ["dispersion_"]),
        (["gamma", "zero"], ["dispersion_"]),
        (["normal", "student_t"], ["noise_variance_", "dispersion_", "df_"]),
        ("poisson", []),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_diagrams_show_dispersions(family, columns, n_outputs):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(150, 2))
    y = rng.gamma(3.0, np.exp(1 + X)[:, :n_outputs])
    if family == "poisson":
        y = np.floor(y)
    if "zero" in family:
        y[::3] = 0.0
    moe = MixtureOfExpertsRegressor(2, family=family, **SHORT)
    fit_quietly(moe, X, y if n_outputs == 2 else y[:, 0])
    words = {"dispersion_": "dispersion", "df_": "degrees of freedom"}
    diagram = export_mermaid(moe)
    for name, word in words.items():
        assert (word in diagram) == (name in columns)
    for k in range(2):
        [box] = [line for line in diagram.splitlines() if f'["expert {k}<br/>' in line]
        for name in columns:
            values = np.atleast_1d(getattr(moe, name)[k])
            values = np.sqrt(values) if name == "noise_variance_" else values
            found = re.search(f'<br/>{words.get(name, "noise")} ([^<"]*)', box)
            assert (found is None) == np.isnan(values).all()
            if found:
                shown = [float(number) for number in found.group(1).split(", ")]
                np.testing.assert_allclose(shown, values, rtol=5e-3)


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
