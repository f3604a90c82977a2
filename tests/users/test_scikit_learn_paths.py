"""What scikit-learn users do with an estimator: pipelines, searches, copies, routing, callbacks."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.refusals import refusal
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=200)
CLASS_X, CLASSES = flipping_classes(n_rows=200)
FIXED = {"n_init": 1, "alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
REGRESSOR = MixtureOfExpertsRegressor(2, **FIXED)
CLASSIFIER = MixtureOfExpertsClassifier(2, **FIXED)
CASES = [
    pytest.param(REGRESSOR, X, Y, id="regressor"),
    pytest.param(CLASSIFIER, CLASS_X, CLASSES, id="classifier"),
]


def test_kinds_are_recognised():
    assert is_regressor(REGRESSOR)
    assert is_classifier(CLASSIFIER)


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_pipelines_and_grid_searches_find_the_regimes(moe, features, y):
    pipeline = make_pipeline(StandardScaler(), clone(moe))
    step = pipeline.steps[-1][0]
    grid = {f"{step}__n_experts": [1, 2], f"{step}__gate": ["softmax", SoftmaxGate(alpha=0.1)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(features, y)
    assert search.best_params_[f"{step}__n_experts"] == 2
    assert search.score(features, y) > 0.6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_cross_validation(moe, features, y):
    assert cross_val_predict(moe, features, y, cv=2).shape == y.shape
    assert cross_val_score(moe, features, y, cv=2).min() > 0.55
    if is_classifier(moe):
        log_proba = cross_val_predict(moe, features, y, cv=2, method="predict_log_proba")
        assert_allclose(np.exp(log_proba).sum(axis=1), 1.0)


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_clones_and_copies_say_the_same(moe, features, y, tmp_path):
    fitted = clone(moe).set_params(gate=SoftmaxGate(alpha=2.0)).fit(features, y)
    joblib.dump(fitted, tmp_path / "moe.joblib")
    copies = [pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "moe.joblib")]
    for copy in [*copies, clone(fitted).fit(features, y)]:
        assert copy.get_params() == fitted.get_params()
        assert_array_equal(copy.predict_gate(features), fitted.predict_gate(features))


def test_parameters_stay_as_they_were_given():
    moe = clone(REGRESSOR).set_params(gate=SoftmaxGate(), gate_features=[0, 2])
    before = moe.get_params()
    moe.fit(X, Y)
    assert all(moe.get_params()[name] is value for name, value in before.items())


def test_bagging_stacking_and_transformed_targets():
    assert BaggingRegressor(REGRESSOR, 3, random_state=0).fit(X, Y).score(X, Y) > 0.6
    stack = StackingRegressor([("moe", REGRESSOR), ("ridge", Ridge())], cv=2).fit(X, Y)
    assert stack.score(X, Y) > 0.6
    positive = np.exp(Y / 5)
    transformed = TransformedTargetRegressor(REGRESSOR, func=np.log, inverse_func=np.exp)
    assert transformed.fit(X, positive).score(X, positive) > 0.5


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method):
    calibrated = CalibratedClassifierCV(CLASSIFIER, method=method, cv=2).fit(CLASS_X, CLASSES)
    assert calibrated.score(CLASS_X, CLASSES) > 0.75
    assert_allclose(calibrated.predict_proba(CLASS_X).sum(axis=1), 1.0)


def test_permutation_importance_and_partial_dependence():
    """The third feature has no effect on the classes, and a large one on the target."""
    moe = clone(CLASSIFIER).fit(CLASS_X, CLASSES)
    importance = permutation_importance(moe, CLASS_X, CLASSES, n_repeats=3, random_state=0)
    assert np.argmin(importance.importances_mean) == 2
    assert partial_dependence(moe, CLASS_X, [0], grid_resolution=5)["average"].size == 5
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    moe = clone(REGRESSOR).fit(frame, Y)
    importance = permutation_importance(moe, frame, Y, n_repeats=3, random_state=0)
    assert importance.importances_mean.min() > 0.0
    curve = partial_dependence(moe, frame, ["b"], grid_resolution=5)["average"][0]
    assert curve[-1] > curve[0]


def test_a_frame_with_categories_through_a_column_transformer():
    rng = np.random.default_rng(0)
    city = rng.choice(["bern", "rome", "oslo"], size=200)
    frame = pd.DataFrame({"city": city, "area": rng.uniform(20, 200, size=200)})
    y = frame.city.map({"bern": 10.0, "rome": 4.0, "oslo": -2.0}) * frame.area
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["city"]), remainder="passthrough"
    )
    model = make_pipeline(columns, clone(REGRESSOR).set_params(n_experts=3, n_init=2))
    assert fit_quietly(model, frame, y + rng.normal(size=200)).score(frame, y) > 0.99


# --- metadata routing -------------------------------------------------------------------------


def test_weights_are_routed_through_searches_and_pipelines():
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        moe = clone(REGRESSOR).set_fit_request(sample_weight=True)
        moe.set_score_request(sample_weight=True)
        search = GridSearchCV(moe, {"n_experts": [2]}, cv=2).fit(X, Y, sample_weight=weight)
        routed = search.best_estimator_
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(moe))
        assert "all weights are zero" in refusal(pipeline.fit, X, Y, sample_weight=0 * weight)
    direct, unweighted = (clone(REGRESSOR).fit(X, Y, sample_weight=w) for w in (weight, None))
    assert_allclose(routed.expert_coef_, direct.expert_coef_)
    assert np.abs(routed.expert_coef_ - unweighted.expert_coef_).max() > 1e-4


@pytest.mark.parametrize(
    ("expert", "names"),
    [
        ("linear", set()),
        (["linear", "tree"], set()),
        (Ridge(), {"expert"}),
        (["tree", Ridge()], {"expert_1"}),
    ],
)
def test_named_experts_have_no_routing_of_their_own(expert, names):
    router = MixtureOfExpertsRegressor(2, expert=expert).get_metadata_routing()
    assert {name for name, _ in router} - {"$self_request"} == names


class Costly(Ridge):
    """A ridge regression that keeps the metadata of its last fit."""

    def fit(self, X, y, sample_weight=None, cost=None):
        self.n_costs_ = 0 if cost is None else len(cost)
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize(
    ("expert", "takes"),
    [
        (Costly(), [True, True]),
        (["tree", Costly()], [False, True]),
        ([Costly(), "linear"], [True, False]),
    ],
)
def test_metadata_go_to_experts_that_are_estimators(expert, takes):
    moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=1, **FIXED)
    fit_quietly(moe, X, Y, cost=np.ones(len(Y)))
    found = [getattr(models[0], "n_costs_", 0) > 0 for models in moe.experts_]
    assert found == takes


# --- representations and global state ---------------------------------------------------------


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_html_names_parameters_and_explains_them(moe, features, y):
    html = clone(moe).fit(features, y)._repr_html_()
    assert type(moe).__name__ in html
    assert "n_experts" in html
    if parse_version(sklearn.__version__) >= parse_version("1.8"):
        assert "Number of experts" in html  # the tooltip, from the docstring
    name = type(moe).__name__
    assert repr(type(moe)(2, random_state=0)) == f"{name}(n_experts=2, random_state=0)"


def test_callbacks_are_those_of_scikit_learn():
    has_callbacks = parse_version(sklearn.__version__) >= parse_version("1.9")
    assert hasattr(REGRESSOR, "set_callbacks") == has_callbacks


@pytest.mark.parametrize("moe", [REGRESSOR, CLASSIFIER])
def test_selectors_of_features_take_no_mixture_for_a_linear_model(moe):
    y = CLASSES if is_classifier(moe) else Y
    for selector in (SelectFromModel(moe), RFE(moe)):
        with pytest.raises(ValueError, match="`coef_` or `feature_importances_`"):
            make_pipeline(StandardScaler(), selector).fit(X, y)[-1].get_support()


class Configured(Ridge):
    """A ridge regression that keeps a setting of the process that fits it."""

    def fit(self, X, y, sample_weight=None):
        self.assumed_finite_ = sklearn.get_config()["assume_finite"]
        return super().fit(X, y, sample_weight)


def test_global_configuration_reaches_workers():
    """Threads have a configuration of their own, as processes have."""
    moe = MixtureOfExpertsRegressor(2, expert=Configured(), max_iter=1, n_jobs=2, **FIXED)
    with sklearn.config_context(assume_finite=True), joblib.parallel_backend("threading"):
        fit_quietly(moe, X[:60], Y[:60])
    assert all(model.assumed_finite_ for models in moe.experts_ for model in models)


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    moe = clone(REGRESSOR).set_params(init="random", random_state=1, max_iter=2)
    fit_quietly(moe, X, Y)
    assert_array_equal(np.random.get_state()[1], before)
