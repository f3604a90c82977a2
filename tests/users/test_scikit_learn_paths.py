"""What scikit-learn users do with an estimator: pipelines, searches, copies, routing, callbacks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from threadpoolctl import ThreadpoolController, threadpool_limits

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, metrics
from skmoe.families import Family
from skmoe.gates import SoftmaxGate
from skmoe.metrics import log_density_scorer
from support.fits import fit_quietly
from support.refusals import refusal
from support.tables import flipping_classes, panel, two_regimes

VERSION = parse_version(sklearn.__version__)
FIXED = {"n_init": 1, "alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
REGRESSOR = MixtureOfExpertsRegressor(2, **FIXED)
CLASSIFIER = MixtureOfExpertsClassifier(2, **FIXED)
X, Y = two_regimes(n_rows=200)
CLASS_X, CLASSES = flipping_classes(n_rows=200)
BOTH = pytest.mark.parametrize(
    ("moe", "X", "y"),
    [
        pytest.param(REGRESSOR, X, Y, id="regressor"),
        pytest.param(CLASSIFIER, CLASS_X, CLASSES, id="classifier"),
    ],
)


@BOTH
def test_pipelines_and_grid_searches_find_the_regimes(moe, X, y):
    assert (is_classifier if moe is CLASSIFIER else is_regressor)(moe)
    pipeline = make_pipeline(StandardScaler(), clone(moe))
    step = pipeline.steps[-1][0]
    grid = {f"{step}__n_experts": [1, 2], f"{step}__gate": ["softmax", SoftmaxGate(alpha=0.1)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_[f"{step}__n_experts"] == 2
    assert search.score(X, y) > 0.6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@BOTH
def test_clones_say_the_same_and_parameters_stay_as_they_were_given(moe, X, y):
    moe = clone(moe).set_params(gate=SoftmaxGate(alpha=2.0), gate_features=[0, 2])
    before = moe.get_params()
    moe.fit(X, y)
    assert all(moe.get_params()[name] is value for name, value in before.items())
    copy = clone(moe).fit(X, y)
    assert copy.get_params() == moe.get_params()
    assert_array_equal(copy.predict_gate(X), moe.predict_gate(X))


def test_meta_estimators_take_mixtures():
    positive, options = np.exp(Y / 5), {"func": np.log, "inverse_func": np.exp}
    for model, features, y in (
        (BaggingRegressor(REGRESSOR, 3, random_state=0), X, Y),
        (StackingRegressor([("moe", REGRESSOR), ("ridge", Ridge())], cv=2), X, Y),
        (TransformedTargetRegressor(REGRESSOR, **options), X, positive),
        (CalibratedClassifierCV(CLASSIFIER, cv=2), CLASS_X, CLASSES),
    ):
        assert model.fit(features, y).score(features, y) > 0.5
    log_proba = cross_val_predict(CLASSIFIER, CLASS_X, CLASSES, cv=2, method="predict_log_proba")
    assert_allclose(np.exp(log_proba).sum(axis=1), 1.0)


# --- importance of features -------------------------------------------------------------------


def test_importance_effects_and_shap_values():
    """Column 3 has no effect, and small units: its slopes are the largest."""
    noise = 1e-4 * np.random.default_rng(0).normal(size=(200, 1))
    table = np.hstack([X, noise])
    moe = clone(REGRESSOR).set_params(alpha=1e-6).fit(table, Y)

    def importances(moe):
        """Mean size of the effects of one standard deviation of each feature."""
        effects = moe.explain(table)
        return np.abs(effects.slope + effects.gate_effect).mean(axis=0) * table.std(axis=0)

    assert not SelectFromModel(moe, prefit=True, importance_getter=importances).get_support()[3]
    found = permutation_importance(moe, table, Y, scoring=log_density_scorer, random_state=0)
    assert found.importances_mean.argmin() == 3
    curve = partial_dependence(moe, table, [1], grid_resolution=5)["average"][0]
    assert curve[-1] > curve[0]
    shap = pytest.importorskip("shap")
    values = shap.Explainer(moe.predict, table[:50])(table[:5])
    sums = values.values.sum(axis=1) + values.base_values
    assert_allclose(sums, moe.predict(table[:5]), rtol=1e-6)


@BOTH
def test_selectors_of_features_take_no_mixture_for_a_linear_model(moe, X, y):
    for selector in (SelectFromModel(moe), RFE(moe)):
        with pytest.raises(ValueError, match="`coef_` or `feature_importances_`"):
            make_pipeline(StandardScaler(), selector).fit(X, y)[-1].get_support()


# --- pipelines whose first steps change nothing are their last step ---------------------------

PIPELINES = {
    "one step": make_pipeline,
    "two steps": lambda last: make_pipeline("passthrough", last),
}
SCORERS = {name: getattr(metrics, name) for name in metrics.__all__ if name.endswith("_scorer")}
SCORERS |= metrics.make_interval_scorers(0.8) | metrics.make_survival_scorers()
SHORT = {"max_iter": 2, "cross_fit": 2}
SHORT_REGRESSOR, SHORT_CLASSIFIER = (
    clone(moe).set_params(**SHORT) for moe in (REGRESSOR, CLASSIFIER)
)


@pytest.mark.parametrize(
    ("moe", "part", "step", "pipeline"),
    [
        (SHORT_REGRESSOR, "expert", SHORT_REGRESSOR, "two steps"),
        (SHORT_REGRESSOR, "base", Ridge(), "one step"),
        (SHORT_CLASSIFIER, "expert", SHORT_CLASSIFIER, "one step"),
        (SHORT_CLASSIFIER, "base", LogisticRegression(), "two steps"),
    ],
)
def test_pipelines_as_parts_are_their_last_step(moe, part, step, pipeline):
    X, y = (flipping_classes if is_classifier(moe) else two_regimes)(40)
    plain = fit_quietly(clone(moe).set_params(**{part: step}), X, y)
    piped = fit_quietly(clone(moe).set_params(**{part: PIPELINES[pipeline](step)}), X, y)
    methods = ["predict", "predict_gate", "predict_experts"]
    for method in methods + ["predict_interval"] * is_regressor(moe):
        assert_allclose(getattr(piped, method)(X), getattr(plain, method)(X))
    assert_allclose(piped.score_samples(X, y), plain.score_samples(X, y))
    assert_allclose(piped.lower_bound_, plain.lower_bound_)
    assert piped.n_parameters_ == plain.n_parameters_


@pytest.mark.parametrize("name", SCORERS)
def test_scores_of_pipelines_are_those_of_their_last_step(name):
    X, y = two_regimes(40)
    score = SCORERS[name](fit_quietly(clone(SHORT_REGRESSOR), X, y), X, y)
    assert np.isfinite(score)
    for make in PIPELINES.values():
        pipeline = fit_quietly(make(clone(SHORT_REGRESSOR)), X, y)
        assert_allclose(SCORERS[name](pipeline, X, y), score)


# --- metadata routing -------------------------------------------------------------------------


def test_weights_are_routed_through_searches_and_pipelines():
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y))
    with config_context(enable_metadata_routing=True):
        moe = clone(REGRESSOR).set_fit_request(sample_weight=True)
        moe.set_score_request(sample_weight=True)
        search = GridSearchCV(moe, {"n_experts": [2]}, cv=2).fit(X, Y, sample_weight=weight)
        routed = search.best_estimator_
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(moe))
        assert "all weights are zero" in refusal(pipeline.fit, X, Y, sample_weight=0 * weight)
    direct, unweighted = (clone(REGRESSOR).fit(X, Y, sample_weight=w) for w in (weight, None))
    assert_allclose(routed.expert_coef_, direct.expert_coef_)
    assert np.abs(routed.expert_coef_ - unweighted.expert_coef_).max() > 1e-4


def test_offsets_and_units_are_routed_through_searches_and_pipelines():
    X, y, units, _ = panel(40, 5)
    offset = np.log(np.random.default_rng(0).uniform(0.05, 4.0, size=len(y)))
    counts, standard = np.exp(offset) + np.round(np.abs(y)), StandardScaler().fit_transform(X)
    options = {"scoring": log_density_scorer, "cv": GroupKFold(2)}
    moe = clone(REGRESSOR).set_params(gate="constant", family="poisson")
    given = {"units": units, "offset": offset}
    with config_context(enable_metadata_routing=True):
        routed = clone(moe).set_fit_request(units=True, offset=True, groups=False)
        routed.set_predict_request(offset=True)
        grid = {"mixtureofexpertsregressor__n_experts": [2]}
        search = GridSearchCV(make_pipeline(StandardScaler(), routed), grid, **options)
        fit_quietly(search, X, np.round(counts), groups=units, **given)
        predicted = search.best_estimator_.predict(X, offset=offset)
    alone = fit_quietly(moe, standard, np.round(counts), **given)
    assert_allclose(predicted, alone.predict(standard, offset=offset), rtol=1e-6)
    assert search.best_estimator_[-1].n_units_ == 40
    weight = np.arange(len(y)) % 3
    copies = np.repeat(np.arange(len(y)), weight)
    by_row = {name: values[copies] for name, values in given.items()}
    y = np.round(counts)
    assert_allclose(
        log_density_scorer(search, X, y, sample_weight=weight, **given),
        log_density_scorer(search, X[copies], y[copies], **by_row),
    )


@pytest.mark.parametrize(
    "labels",
    [
        lambda units: pd.Series([f"customer {unit:02}" for unit in units], dtype="category"),
        lambda units: np.array([f"customer {unit:02}" for unit in units]),
        lambda units: pd.Timestamp("2020-01-01") + pd.to_timedelta(units, unit="D"),
        lambda units: [int(unit) for unit in units],
    ],
    ids=["categories", "words", "dates", "list"],
)
def test_labels_of_units_of_any_kind(labels):
    X, y, units, _ = panel(40, 4)
    frame, moe = pd.DataFrame(X, columns=["a", "b"]), clone(REGRESSOR).set_params(gate="constant")
    expected = clone(moe).fit(X, y, units=units).expert_coef_
    assert_array_equal(clone(moe).fit(frame, y, units=labels(units)).expert_coef_, expected)


class Noting(Ridge):
    """A ridge regression that keeps the metadata, and a setting of the process, of its last fit."""

    def fit(self, X, y, sample_weight=None, cost=None):
        self.n_costs_ = 0 if cost is None else len(cost)
        self.assumed_finite_ = sklearn.get_config()["assume_finite"]
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize(
    ("expert", "names", "takes"),
    [
        ("linear", set(), []),
        (["linear", "tree"], set(), [False, False]),
        (Noting(), {"expert"}, [True, True]),
        (["tree", Noting()], {"expert_1"}, [False, True]),
    ],
)
def test_metadata_go_to_experts_that_are_estimators(expert, names, takes):
    """Experts chosen by name have no routing of their own."""
    moe = clone(REGRESSOR).set_params(expert=expert, max_iter=1)
    router = moe.get_metadata_routing()
    assert {name for name, _ in router} - {"$self_request"} == names
    if any(takes):
        fit_quietly(moe, X, Y, cost=np.ones(len(Y)))
        assert [getattr(models[0], "n_costs_", 0) > 0 for models in moe.experts_] == takes


# --- representations and global state ---------------------------------------------------------


@BOTH
def test_html_names_parameters_and_explains_them(moe, X, y):
    html, name = clone(moe).fit(X, y)._repr_html_(), type(moe).__name__
    assert name in html
    assert "n_experts" in html
    if parse_version("1.8") <= VERSION:
        assert "Number of experts" in html  # the tooltip, from the docstring
    assert repr(type(moe)(2, random_state=0)) == f"{name}(n_experts=2, random_state=0)"
    assert hasattr(moe, "set_callbacks") == (parse_version("1.9") <= VERSION)


def test_global_configuration_reaches_workers():
    """Threads have a configuration of their own, as processes have."""
    moe = clone(REGRESSOR).set_params(expert=Noting(), max_iter=1, n_jobs=2)
    with config_context(assume_finite=True), joblib.parallel_backend("threading"):
        fit_quietly(moe, X[:60], Y[:60])
    assert all(model.assumed_finite_ for models in moe.experts_ for model in models)


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    fit_quietly(clone(REGRESSOR).set_params(init="random", random_state=1, max_iter=2), X, Y)
    assert_array_equal(np.random.get_state()[1], before)


# --- threads ----------------------------------------------------------------------------------


LIBRARIES = ThreadpoolController()  # all are loaded: to look for them takes longer than to ask


def threads_of_linear_algebra():
    return [found["num_threads"] for found in LIBRARIES.info() if found["user_api"] == "blas"]


@dataclass(frozen=True)
class Watched(Family):
    """Normal noise of variance one, which calls a function wherever densities are computed."""

    watch: object = None
    name = "watched"

    def log_prob(self, y, eta):
        self.watch()
        return -0.5 * (y - eta[0]) ** 2 - 0.5 * np.log(2.0 * np.pi)


def test_a_fit_has_one_thread_of_linear_algebra_and_gives_the_others_back():
    """Of several threads most would wait: products of a few columns are short."""
    seen = []

    def watch():
        seen.append(threads_of_linear_algebra())

    def fit(n_rows):
        moe = MixtureOfExpertsRegressor(2, family=Watched(watch=watch), random_state=0)
        return moe.fit(X[:n_rows], Y[:n_rows])

    with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(2) as threads:
        before = threads_of_linear_algebra()
        fit(200)
        assert before == [2] * len(before) == threads_of_linear_algebra()
        n_iterations = sum(found == [1] * len(before) for found in seen)
        assert n_iterations > 0.95 * len(seen) > 10
        list(threads.map(fit, [40, 200]))  # one ends while the other goes on
        assert before == threads_of_linear_algebra()
