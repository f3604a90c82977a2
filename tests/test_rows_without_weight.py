"""Rows of weight zero are absent everywhere, also those whose target is impossible."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import quiet

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_html
from skmoe.metrics import log_density_scorer, neg_crps_scorer

# Options, and a target that the experts cannot have.
IMPOSSIBLE = {
    "ordinal": ({"family": "ordinal"}, 99.0),
    "poisson": ({"family": "poisson"}, -5.0),
    "gamma": ({"family": "gamma"}, -1.0),
    "zero, uniform": ({"family": ["zero", "uniform"]}, 1e6),
    "normal": ({}, 1e6),
}


def table(name, n_rows=150):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    if name == "ordinal":
        return X, np.digitize(X[:, 0] + rng.logistic(size=n_rows), [-1, 0, 1]).astype(float)
    if name == "poisson":
        return X, rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    y = rng.gamma(2.0, np.exp(0.5 * X[:, 0])) + 0.1
    return X, np.where(X[:, 1] > 0.5, 0.0, y) if name == "zero, uniform" else y


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_reports_and_scores_are_those_without_the_row(name, tmp_path):
    options, impossible = IMPOSSIBLE[name]
    X, y = table(name)
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options)
    moe = quiet(moe, X, y)
    more = np.vstack([X, [[0.5, -0.5]]]), np.append(y, impossible)
    weight = np.append(np.ones(len(y)), 0.0)
    for criterion in (moe.aic, moe.bic, moe.icl):
        assert_allclose(criterion(*more, sample_weight=weight), criterion(X, y))
    for scorer in (log_density_scorer, neg_crps_scorer):
        assert_allclose(scorer(moe, *more, sample_weight=weight), scorer(moe, X, y))
    assert str(moe.summary(*more, sample_weight=weight)) == str(moe.summary(X, y))
    if name != "zero, uniform":
        given, absent = moe.inference(*more, sample_weight=weight), moe.inference(X, y)
        assert_allclose(given.standard_errors, absent.standard_errors)
        pages = []
        for data, weights in ((more, weight), ((X, y), np.ones(len(y)))):
            path = tmp_path / "report.html"
            held_out = {"X_held_out": data[0], "y_held_out": data[1]}
            export_html(moe, X, y, path, sample_weight_held_out=weights, **held_out)
            pages.append(path.read_text("utf-8"))
        assert "nan" not in pages[0].split("Mean log density")[1][:300]
        assert (
            pages[0].split("Mean log density")[1][:300]
            == (pages[1].split("Mean log density")[1][:300])
        )


def test_scores_of_classes_are_those_without_the_row():
    X, y = table("normal")
    moe = quiet(MixtureOfExpertsClassifier(2, n_init=1, random_state=0), X, y > 1.0)
    more = np.vstack([X, [[9.0, 9.0]]]), np.append(y > 1.0, False)
    weight = np.append(np.ones(len(y)), 0.0)
    assert_allclose(moe.bic(*more, sample_weight=weight), moe.bic(X, y > 1.0))
    assert_allclose(
        log_density_scorer(moe, *more, sample_weight=weight), log_density_scorer(moe, X, y > 1.0)
    )


def test_the_entropy_of_one_expert_is_zero_without_a_sign():
    X, y = table("normal")
    moe = quiet(MixtureOfExpertsRegressor(1), X, y)
    assert moe.summary(X, y).facts["entropy"] == "0"
