"""A pipeline of one step is that step, and one whose first steps change nothing is its last."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, metrics
from support.fits import fit_quietly
from support.tables import flipping_classes, two_regimes

PIPELINES = {
    "one step": make_pipeline,
    "two steps": lambda last: make_pipeline("passthrough", last),
}
SCORERS = {name: getattr(metrics, name) for name in dir(metrics) if name.endswith("_scorer")}
SCORERS |= metrics.make_interval_scorers(0.8) | metrics.make_survival_scorers()
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0, "cross_fit": 2}
OPTIONS |= {"alpha": 0.1, "gate_alpha": 1.0}


def regressor(**options):
    return MixtureOfExpertsRegressor(**OPTIONS | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(**OPTIONS | options)


@pytest.mark.parametrize(
    ("make", "part", "step", "pipeline"),
    [
        (regressor, "expert", Ridge(), "one step"),
        (regressor, "expert", regressor(), "two steps"),
        (regressor, "base", regressor(), "one step"),
        (classifier, "expert", LogisticRegression(), "two steps"),
        (classifier, "expert", classifier(), "one step"),
        (classifier, "base", LogisticRegression(), "two steps"),
    ],
)
def test_pipelines_as_parts_are_their_last_step(make, part, step, pipeline):
    X, y = two_regimes(40) if make is regressor else flipping_classes(40)
    plain = fit_quietly(make(**{part: step}), X, y)
    piped = fit_quietly(make(**{part: PIPELINES[pipeline](step)}), X, y)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_allclose(getattr(piped, method)(X), getattr(plain, method)(X))
    assert_allclose(piped.score_samples(X, y), plain.score_samples(X, y))
    assert_allclose(piped.lower_bound_, plain.lower_bound_)
    assert piped.n_parameters_ == plain.n_parameters_
    if make is regressor:
        assert_allclose(piped.predict_interval(X), plain.predict_interval(X))


@pytest.mark.parametrize("name", SCORERS)
def test_scores_of_pipelines_are_those_of_their_last_step(name):
    X, y = two_regimes(40)
    score = SCORERS[name](fit_quietly(regressor(), X, y), X, y)
    assert np.isfinite(score)
    for pipeline in PIPELINES.values():
        assert_allclose(SCORERS[name](fit_quietly(pipeline(regressor()), X, y), X, y), score)
