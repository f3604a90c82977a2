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
from support.tables import flipping_classes, two_regimes

SHORT = {"random_state": 0, "n_init": 1, "max_iter": 10}


def page_of(estimator):
    bundle = estimator._repr_mimebundle_()
    assert bundle["text/plain"] == repr(estimator)
    return bundle["text/html"]


def cells(page):
    table = page[page.index('class="skmoe-experts"') :]
    rows = re.findall("<tr>(.*?)</tr>", table)[1:]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


@pytest.mark.parametrize("n_experts", [1, 2])
def test_each_expert_has_a_row(n_experts):
    X, y = two_regimes(100)
    moe = fit_quietly(MixtureOfExpertsRegressor(n_experts, **SHORT), X, y)
    for page in (page_of(moe), moe._repr_html_()):
        assert "sk-top-container" in page  # scikit-learn's own
        assert f"{n_experts} expert{'s' * (n_experts > 1)}<" in page
        assert len(cells(page)) == n_experts
        for k, row in enumerate(cells(page)):
            assert row[:2] == [f"expert {k}", "linear"]
            assert row[2].endswith(f"{100 * moe.weights_[k]:.0f} %")
            assert f"width:{100 * moe.weights_[k]:.1f}%" in page
            assert row[3] == f"{moe.summary().experts[k].load:.6g}"
            assert row[4] == f"{np.sqrt(moe.noise_variance_[k]):.3g}"


def test_experts_of_classes_have_no_noise_and_estimators_their_name():
    X, y = flipping_classes(60)
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **SHORT), X, y)
    assert [len(row) for row in cells(page_of(moe))] == [4, 4]
    nested = MixtureOfExpertsRegressor(2, n_init=1, max_iter=3)
    moe = MixtureOfExpertsRegressor(2, expert=["tree", nested], **SHORT | {"max_iter": 2})
    rows = cells(page_of(fit_quietly(moe, X, X[:, 1])))
    assert rows[0][1] == "DecisionTreeRegressor"
    assert [bool(row[4]) for row in rows] == [True, False]  # a mixture has a density of its own


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
def test_notebooks_and_diagrams_show_dispersions(family, columns, n_outputs):
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
    page, diagram = page_of(moe), export_mermaid(moe)
    for name, word in words.items():
        assert (f">{word}</th>" in page) == (name in columns)
        assert (word in diagram) == (name in columns)
    for k, row in enumerate(cells(page)):
        [box] = [line for line in diagram.splitlines() if f'["expert {k}<br/>' in line]
        assert len(row) == 4 + len(columns)
        for name, cell in zip(columns, row[4:], strict=True):
            values = np.atleast_1d(getattr(moe, name)[k])
            values = np.sqrt(values) if name == "noise_variance_" else values
            assert (cell == "") == np.isnan(values).all()
            if cell:
                shown = [float(number) for number in cell.split(", ")]
                np.testing.assert_allclose(shown, values, rtol=5e-3)
                assert f"<br/>{words.get(name, 'noise')} {cell}" in box


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
