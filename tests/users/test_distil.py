"""Readable mixtures that are fitted to the predictions of strong models."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_text
from skmoe.pipelines import mixture_of
from skmoe.recipes import distil
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=300)
NEW_X, NEW_Y = two_regimes(n_rows=200, seed=1)
X_CLASS, LABELS = flipping_classes(n_rows=300, n_classes=3)


def linear(**options):
    """A regression with normal noise."""
    return MixtureOfExpertsRegressor(1, alpha=1e-6, dispersion_prior=0.0, **options)


@pytest.fixture(scope="module")
def strong():
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def forest():
    return RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(X_CLASS, LABELS)


def test_a_mixture_of_the_same_form_finds_the_strong_one(strong):
    mixture = MixtureOfExpertsRegressor(2, alpha=0.1, gate_alpha=0.1, dispersion_prior=0.0)
    found = distil(strong, X, mixture, X_val=NEW_X, random_state=0)
    assert found.r2 > 0.99
    assert abs(found.divergence) < 0.005
    assert found.n_rows == len(X)
    for k in range(2):
        distances = np.abs(found.mixture.expert_coef_ - strong.expert_coef_[k]).max(axis=-1)
        assert distances.min() < 0.1
    assert "expert 1" in export_text(found.mixture)


def test_draws_have_the_spread_of_the_distributions():
    teacher = linear().fit(X, Y)
    noise = distil(teacher, X, linear(), X_val=X, random_state=0).mixture.predict_dist(X).std
    np.testing.assert_allclose(noise, teacher.predict_dist(X).std, rtol=0.015)


def test_divergences_of_normal_distributions_are_those_of_their_formula(strong):
    teacher, fewer = linear().fit(X, Y), linear(expert_features=[0, 1])
    found = distil(teacher, X, fewer, X_val=NEW_X, random_state=0)
    expected, mixture = teacher.predict_dist(NEW_X), found.mixture.predict_dist(NEW_X)
    ratio = expected.var / mixture.var
    shift = (expected.mean - mixture.mean) ** 2 / mixture.var
    formula = 0.5 * (ratio - 1.0 - np.log(ratio) + shift)
    assert formula.mean() > 0.05
    np.testing.assert_allclose(found.divergences, formula, rtol=0.3, atol=0.05)
    np.testing.assert_allclose(found.divergence, formula.mean(), rtol=0.05)


def test_scores_are_those_of_both_models_for_held_out_targets(strong):
    found = distil(strong, X, linear(), X_val=NEW_X, y_val=NEW_Y, random_state=0)
    models = (strong, found.mixture)
    densities = [model.score_samples(NEW_X, NEW_Y).mean() for model in models]
    errors = [np.sqrt(np.mean((model.predict(NEW_X) - NEW_Y) ** 2)) for model in models]
    np.testing.assert_allclose(found.scores["log density"], densities)
    np.testing.assert_allclose(found.scores["RMSE"], errors)
    means = [model.predict(NEW_X) for model in models]
    share = 1.0 - np.mean((means[0] - means[1]) ** 2) / np.var(means[0])
    np.testing.assert_allclose(found.r2, share)
    text = " ".join(str(found).split())
    assert f"explains {100 * share:.1f} % of the variance" in text
    assert f"RMSE {errors[1]:.4g} (strong model: {errors[0]:.4g})" in text
    assert f"{100 - 100 * np.exp(-found.divergence):.1f} % less probable" in text


def test_a_fifth_of_the_rows_is_held_out_and_a_seed_repeats_the_result(strong):
    found, same = (distil(strong, X, linear(), random_state=3) for _ in range(2))
    assert (found.n_rows, len(found.divergences), found.scores) == (240, 60, {})
    np.testing.assert_array_equal(found.divergences, same.divergences)
    assert (distil(strong, X, linear(), random_state=4).divergences != found.divergences).any()


def test_without_a_mixture_the_readable_recipe_selects_the_number_of_experts():
    x = X[:26, 2:]
    mixture = distil(Ridge().fit(x, Y[:26]), x, random_state=0).mixture
    assert (mixture.max_n_experts, mixture.alpha, mixture.gate_alpha) == (None, "auto", "auto")
    assert mixture.n_experts_ == mixture.n_experts <= 6


def test_points_are_approximated_by_their_means():
    points = RandomForestRegressor(20, random_state=0).fit(X, Y)
    found = distil(points, X, MixtureOfExpertsRegressor(2), X_val=NEW_X, y_val=NEW_Y)
    assert found.r2 > 0.7
    assert np.isnan(found.divergences).all()
    assert list(found.scores) == ["RMSE"]
    assert "predicts no distributions" in str(found)


def test_class_probabilities_are_approximated(forest):
    mixture = MixtureOfExpertsClassifier(2)
    found = distil(forest, X_CLASS[::2], mixture, X_val=X_CLASS[1::2], y_val=LABELS[1::2])
    prob = [model.predict_proba(X_CLASS[1::2]) for model in (forest, found.mixture)]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(prob[0] > 0.0, prob[0] * np.log(prob[0] / prob[1]), 0.0)
    np.testing.assert_allclose(found.divergences, terms.sum(axis=1), atol=1e-12)
    assert 0.02 < found.divergence < 0.3
    assert found.r2 > 0.5
    errors = [
        np.mean(model.predict(X_CLASS[1::2]) != LABELS[1::2]) for model in (forest, found.mixture)
    ]
    np.testing.assert_allclose(found.scores["error rate"], errors)


def test_a_logistic_regression_finds_itself():
    """Its weights are class probabilities, small ones as frequent as they are probable."""
    X_iris, y = load_iris(return_X_y=True)
    teacher = LogisticRegression(C=0.1, max_iter=1000).fit(X_iris, y)
    assert (teacher.predict_proba(X_iris) < 0.01).mean() > 0.15
    found = distil(teacher, X_iris, MixtureOfExpertsClassifier(1, alpha=0.01), X_val=X_iris)
    assert found.divergence < 0.005


def test_a_class_that_is_never_probable_is_kept():
    x = np.linspace(-1.0, 1.0, 100)[:, None]
    y = np.where(np.arange(100) == 50, "rare", np.where(x[:, 0] > 0.0, "up", "down"))
    teacher = LogisticRegression(C=1e-3).fit(np.repeat(x, 20, axis=0)[:-1], np.repeat(y, 20)[:-1])
    teacher.intercept_[0 + list(teacher.classes_).index("rare")] -= 9.0
    assert teacher.predict_proba(x)[:, list(teacher.classes_).index("rare")].max() < 1e-5
    found = distil(teacher, x, MixtureOfExpertsClassifier(1), random_state=0)
    assert list(found.mixture.classes_) == ["down", "rare", "up"]
    assert np.isfinite(found.divergences).all()


def test_classifiers_without_probabilities_are_certain_of_their_labels():
    teacher = make_pipeline(StandardScaler(), RidgeClassifier()).fit(X_CLASS, LABELS)
    found = distil(teacher, X_CLASS, MixtureOfExpertsClassifier(2), X_val=X_CLASS)
    prob = found.mixture.predict_proba(X_CLASS)
    column = np.searchsorted(found.mixture.classes_, teacher.predict(X_CLASS))
    assert len(found.mixture.classes_) < 3  # one class is never predicted
    expected = -np.log(prob[np.arange(len(prob)), column])
    np.testing.assert_allclose(found.divergences, expected, rtol=1e-5, atol=1e-12)


def test_pipelines_and_searches_may_be_on_both_sides():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    teacher = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
    teacher = make_pipeline(StandardScaler(), teacher)
    teacher = GridSearchCV(teacher, {"mixtureofexpertsregressor__n_experts": [2]}, cv=2)
    readable = MixtureOfExpertsRegressor("bic", max_n_experts=3, n_init=1)
    readable = make_pipeline(StandardScaler(), readable)
    found = distil(teacher.fit(frame, Y), frame, readable, random_state=0)
    assert mixture_of(found.mixture).n_experts_ == 2
    assert found.divergence < 0.1
    assert readable[-1].n_experts == "bic"  # what is given stays as it is
    assert "predictions of MixtureOfExpertsRegressor for 240 rows" in " ".join(str(found).split())


def test_several_outputs_keep_their_dependence():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 1)) + 0.3 * rng.normal(size=(300, 2))
    joint = MixtureOfExpertsRegressor(1, covariance_type="full", dispersion_prior=0.0)
    found = distil(clone(joint).fit(X, X[:, :2] + noise), X, joint, X_val=X, random_state=0)
    assert found.r2 > 0.95
    assert abs(found.divergence) < 0.05


def test_counts_are_compared_with_counts():
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0]))
    teacher = MixtureOfExpertsRegressor(1, family="poisson").fit(X, counts)
    same = MixtureOfExpertsRegressor(1, family="poisson")
    assert abs(distil(teacher, X, same, X_val=X).divergence) < 0.01
    other = distil(teacher, X, linear(), X_val=X)
    assert np.isinf(other.divergence)
    assert "another family" in str(other)


def test_what_cannot_be_distilled_is_refused_before_any_work(strong, forest):
    with pytest.raises(NotFittedError):
        distil(linear(), X)
    message = refusal(distil, strong, X[:5])
    assert_refused(message, "X", "10 rows", "got 5", "need no targets")
    message = refusal(distil, strong, X, y_val=Y)
    assert_refused(message, "y_val", "X_val, which is None", "Pass")
    message = refusal(distil, strong, X, X_val=X, y_val=Y[1:])
    assert "inconsistent" in message
    for model, wrong, task in (
        (strong, MixtureOfExpertsClassifier(2), "regressor"),
        (forest, MixtureOfExpertsRegressor(2), "classifier"),
        (strong, RandomForestRegressor(), "regressor"),
    ):
        message = refusal(distil, model, X, wrong)
        assert_refused(message, "mixture", f"a {task}", repr(wrong), f"readable_{task}()")
    assert_refused(refusal(distil, strong, X, random_state="seed"), "random_state", "integer")
