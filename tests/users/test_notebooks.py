"""Notebooks show a table of the experts below the diagram of scikit-learn."""

import re

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_mermaid
from support.fits import fit_quietly

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 10}


def page_of(estimator):
    bundle = estimator._repr_mimebundle_()
    assert bundle["text/plain"] == repr(estimator)
    return bundle["text/html"]


def cells(page):
    table = page[page.index('class="skmoe-experts"') :]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(150, 2))
Y = RNG.gamma(3.0, np.exp(1 + X))
NESTED = MixtureOfExpertsRegressor(2, n_init=1, max_iter=3)
# A mixture, its target, and the attributes that are shown for each expert.
CASES = {
    "one expert": (MixtureOfExpertsRegressor(1), Y[:, 0], ["noise_variance_"]),
    "two experts": (MixtureOfExpertsRegressor(2), Y[:, 0], ["noise_variance_"]),
    "outputs": (MixtureOfExpertsRegressor(2), Y, ["noise_variance_"]),
    "gamma": (MixtureOfExpertsRegressor(2, family="gamma"), Y, ["dispersion_"]),
    "zeros": (
        MixtureOfExpertsRegressor(2, family=["gamma", "zero"]),
        Y[:, 0] * (np.arange(150) % 3 > 0),
        ["dispersion_"],
    ),
    "two families": (
        MixtureOfExpertsRegressor(2, family=["normal", "student_t"]),
        Y[:, 0],
        ["noise_variance_", "dispersion_", "df_"],
    ),
    "counts": (MixtureOfExpertsRegressor(2, family="poisson"), np.floor(Y), []),
    "classes": (MixtureOfExpertsClassifier(2), X[:, 0] * Y[:, 0] > 0.5, []),
    "estimators": (  # a mixture has a density of its own
        MixtureOfExpertsRegressor(2, expert=["tree", NESTED]),
        Y[:, 0],
        ["noise_variance_"],
    ),
}
WORDS = {"dispersion_": "dispersion", "df_": "degrees of freedom", "noise_variance_": "noise"}


@pytest.mark.parametrize("case", CASES)
def test_notebooks_and_diagrams_have_a_row_or_a_box_for_each_expert(case):
    moe, y, columns = CASES[case]
    fit_quietly(moe.set_params(**SHORT), X, y)
    page, diagram, n_experts = page_of(moe), export_mermaid(moe), moe.n_experts
    assert "sk-top-container" in page  # scikit-learn's own
    assert f"{n_experts} expert{'s' * (n_experts > 1)}<" in page
    for name in ("dispersion_", "df_"):
        assert (f">{WORDS[name]}</th>" in page) == (name in columns)
        assert (WORDS[name] in diagram) == (name in columns)
    assert cells(page) == cells(moe._repr_html_())
    assert len(cells(page)) == n_experts
    for k, row in enumerate(cells(page)):
        [box] = [line for line in diagram.splitlines() if f'["expert {k}<br/>' in line]
        assert row[0] == f"expert {k}"
        if "expert" in case:
            assert row[1] == "linear"
        if case == "estimators":
            assert row[1] == type(moe.experts_[k][0]).__name__
        assert row[2].endswith(f"{100 * moe.weights_[k]:.0f} %")
        assert f"width:{100 * moe.weights_[k]:.1f}%" in page
        assert row[3] == f"{moe.summary().experts[k].load:.6g}"
        assert len(row) == 4 + len(columns)
        for name, cell in zip(columns, row[4:], strict=True):
            values = np.atleast_1d(getattr(moe, name)[k])
            values = np.sqrt(values) if name == "noise_variance_" else values
            assert (cell == "") == np.isnan(values).all()
            if cell:
                shown = [float(number) for number in cell.split(", ")]
                np.testing.assert_allclose(shown, values, rtol=5e-3)
                assert f"<br/>{WORDS[name]} {cell}" in box


def test_mixtures_are_shown_before_the_fit_and_inside_pipelines():
    y = Y[:, 0]
    assert "skmoe-experts" not in page_of(MixtureOfExpertsRegressor())
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, **SHORT))
    for estimator in (pipeline, fit_quietly(pipeline, X, y)):
        assert "MixtureOfExpertsRegressor" in page_of(estimator)
    assert "skmoe-experts" in page_of(pipeline[-1])


def test_notebooks_that_want_text_get_text():
    with sklearn.config_context(display="text"):
        assert not hasattr(MixtureOfExpertsRegressor(), "_repr_html_")
        assert "text/html" not in MixtureOfExpertsRegressor()._repr_mimebundle_()
