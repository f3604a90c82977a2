"""A pipeline of one step is that step, and one whose first steps change nothing is its last."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import flipping_classes, quiet, two_regimes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, metrics

PIPELINES = {
    "one step": make_pipeline,
    "two steps": lambda last: make_pipeline("passthrough", last),
}
SCORERS = {name: getattr(metrics, name) for name in dir(metrics) if name.endswith("_scorer")}
SCORERS |= metrics.make_interval_scorers(0.8)


def case(task):
    kind = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    X, y = two_regimes(60) if task == "regressor" else flipping_classes(60)
    return lambda n_experts=2, **options: kind(n_experts, **(OPTIONS | options)), X, y


OPTIONS = {"n_init": 1, "max_iter": 2, "random_state": 0, "cross_fit": 2}


def steps(task):
    """What may be an expert or a base."""
    make, _, _ = case(task)
    return {
        "linear": Ridge() if task == "regressor" else LogisticRegression(),
        "mixture": make(),
    }


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("part", ["expert", "base"])
@pytest.mark.parametrize("step", ["linear", "mixture"])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_parts_of_a_mixture(task, step, part, pipeline):
    make, X, y = case(task)
    one = steps(task)[step]
    plain = quiet(make(**{part: one}), X, y)
    piped = quiet(make(**{part: PIPELINES[pipeline](one)}), X, y)
    for method in ("predict", "predict_gate", "predict_experts"):
        if hasattr(plain, method):
            assert_allclose(getattr(piped, method)(X), getattr(plain, method)(X))
    assert_allclose(piped.score_samples(X, y), plain.score_samples(X, y))
    assert_allclose(piped.lower_bound_, plain.lower_bound_)
    assert piped.n_parameters_ == plain.n_parameters_
    if task == "regressor":
        assert_allclose(piped.predict_interval(X), plain.predict_interval(X))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", SCORERS)
def test_scorers(name, pipeline):
    make, X, y = case("regressor")
    scorer, moe = SCORERS[name], quiet(make(), X, y)
    piped = quiet(PIPELINES[pipeline](make()), X, y)
    assert np.isfinite(scorer(moe, X, y))
    assert scorer(piped, X, y) == pytest.approx(scorer(moe, X, y))
