"""Scorers of predictive distributions where scikit-learn's users need them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from regimes import crossing_lines, flipping_classes
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer, make_interval_scorers, neg_crps_scorer


@pytest.fixture(scope="module")
def fitted():
    X, y = crossing_lines(n_rows=300)
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, y), X, y


def test_scores_are_means_over_rows(fitted):
    moe, X, y = fitted
    dist = moe.predict_dist(X)
    lower, upper = dist.interval(0.8).T
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    scorers = make_interval_scorers(0.8)
    assert_allclose(log_density_scorer(moe, X, y), dist.logpdf(y).mean())
    assert_allclose(neg_crps_scorer(moe, X, y), -dist.crps(y).mean())
    assert_allclose(scorers["coverage"](moe, X, y), (outside == 0).mean())
    assert_allclose(scorers["neg_width"](moe, X, y), -(upper - lower).mean())
    expected = -(upper - lower + 2 / 0.2 * outside).mean()
    assert_allclose(scorers["neg_interval_score"](moe, X, y), expected)


def test_weights_count_rows(fitted):
    moe, X, y = fitted
    weight = np.random.default_rng(0).integers(0, 3, size=len(y))
    repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    scorers = {"log": log_density_scorer, "crps": neg_crps_scorer, **make_interval_scorers()}
    for scorer in scorers.values():
        assert_allclose(scorer(moe, X, y, sample_weight=weight), scorer(moe, *repeated))


def test_grid_search_over_a_pipeline_finds_the_regimes():
    X, y = crossing_lines(n_rows=300)
    step = "mixtureofexpertsregressor"
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(random_state=0))
    for scoring in (log_density_scorer, neg_crps_scorer):
        search = GridSearchCV(pipeline, {f"{step}__n_experts": [1, 2]}, scoring=scoring).fit(X, y)
        assert search.best_params_ == {f"{step}__n_experts": 2}
        own = search.best_estimator_
        assert scoring(search, X, y) == scoring(own, X, y)
        assert scoring(own, X, y) == scoring(own[-1], own[:-1].transform(X), y)


def test_interval_scorers_in_cross_validation():
    X, y = crossing_lines(n_rows=600)
    moe = MixtureOfExpertsRegressor(2, random_state=0)
    scores = cross_validate(moe, X, np.column_stack([y, y]), scoring=make_interval_scorers(0.8))
    assert abs(scores["test_coverage"].mean() - 0.8) < 0.06
    assert (scores["test_neg_interval_score"] < scores["test_neg_width"]).all()


def test_classifiers_have_a_log_density():
    X, y = flipping_classes(n_rows=300)
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    assert_allclose(log_density_scorer(moe, X, y), -log_loss(y, moe.predict_proba(X)))


def test_what_has_no_distribution_is_refused(fitted):
    _, X, y = fitted
    with pytest.raises(TypeError, match=r"needs a mixture of experts with predict_dist.*Ridge"):
        neg_crps_scorer(Ridge().fit(X, y), X, y)
    X_classes, classes = flipping_classes(n_rows=200)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0).fit(X_classes, classes)
    with pytest.raises(TypeError, match="predict_dist"):
        neg_crps_scorer(moe, X_classes, classes)
    transformed = TransformedTargetRegressor(MixtureOfExpertsRegressor(2, n_init=1)).fit(X, y)
    with pytest.raises(TypeError, match="target is transformed"):
        log_density_scorer(transformed, X, y)


def test_bad_input(fitted):
    moe, X, y = fitted
    with pytest.raises(ValueError, match="coverage"):
        make_interval_scorers(95)
    with pytest.raises(ValueError, match=r"y must have shape \(300,\); got \(300, 2\)"):
        make_interval_scorers()["coverage"](moe, X, np.column_stack([y, y]))
