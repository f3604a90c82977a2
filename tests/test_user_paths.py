"""What scikit-learn users do with an estimator."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

X, Y = two_regimes(n_rows=300)
CLASS_X, CLASSES = flipping_classes(n_rows=300)
CASES = [
    pytest.param(MixtureOfExpertsRegressor(2, random_state=0), X, Y, id="regressor"),
    pytest.param(MixtureOfExpertsClassifier(2, random_state=0), CLASS_X, CLASSES, id="classifier"),
]


def test_kinds_are_recognised():
    assert is_regressor(MixtureOfExpertsRegressor())
    assert is_classifier(MixtureOfExpertsClassifier())


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_pipeline_and_grid_search(moe, features, y):
    pipeline = make_pipeline(StandardScaler(), clone(moe))
    step = pipeline.steps[-1][0]
    grid = {f"{step}__n_experts": [1, 2], f"{step}__gate": ["softmax", SoftmaxGate(alpha=0.1)]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(features, y)
    assert search.best_params_[f"{step}__n_experts"] == 2
    assert search.score(features, y) > 0.6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_cross_validation(moe, features, y):
    predicted = cross_val_predict(clone(moe), features, y, cv=3)
    assert predicted.shape == y.shape
    assert cross_val_score(clone(moe), features, y, cv=3, n_jobs=2).min() > 0.55
    if is_classifier(moe):
        probs = cross_val_predict(clone(moe), features, y, cv=3, method="predict_log_proba")
        assert_allclose(np.exp(probs).sum(axis=1), 1.0)


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_clones_and_copies_say_the_same(moe, features, y):
    fitted = clone(moe).set_params(gate=SoftmaxGate(alpha=2.0)).fit(features, y)
    copies = [pickle.loads(pickle.dumps(fitted)), clone(fitted).fit(features, y)]
    for copy in copies:
        assert copy.get_params() == fitted.get_params()
        assert_array_equal(copy.predict_gate(features), fitted.predict_gate(features))


def test_models_are_saved_by_joblib(tmp_path):
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    joblib.dump(moe, tmp_path / "moe.joblib")
    assert_array_equal(joblib.load(tmp_path / "moe.joblib").predict(X), moe.predict(X))


def test_parameters_stay_as_they_were_given():
    columns, gate = [0, 2], SoftmaxGate()
    moe = MixtureOfExpertsRegressor(2, gate=gate, gate_features=columns, random_state=0)
    before = moe.get_params()
    moe.fit(X, Y)
    assert all(moe.get_params()[name] is value for name, value in before.items())


def test_bagging():
    bag = BaggingRegressor(MixtureOfExpertsRegressor(2, n_init=1), 5, random_state=0).fit(X, Y)
    assert bag.score(X, Y) > 0.6


def test_stacking_and_transformed_target():
    stack = StackingRegressor(
        [("moe", MixtureOfExpertsRegressor(2, random_state=0)), ("ridge", Ridge())], cv=3
    ).fit(X, Y)
    assert stack.score(X, Y) > 0.6
    positive = np.exp(Y / 5)
    moe = TransformedTargetRegressor(
        MixtureOfExpertsRegressor(2, random_state=0), func=np.log, inverse_func=np.exp
    ).fit(X, positive)
    assert moe.score(X, positive) > 0.5


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method):
    features, y = load_breast_cancer(return_X_y=True)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0)
    calibrated = CalibratedClassifierCV(moe, method=method, cv=3).fit(features, y)
    assert calibrated.score(features, y) > 0.95
    assert_allclose(calibrated.predict_proba(features).sum(axis=1), 1.0)


def test_permutation_importance_and_partial_dependence():
    frame, y = load_diabetes(return_X_y=True, as_frame=True)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(frame, y)
    importance = permutation_importance(moe, frame, y, n_repeats=3, random_state=0)
    assert frame.columns[np.argmax(importance.importances_mean)] in ("bmi", "s5", "s1")
    curve = partial_dependence(moe, frame, ["bmi"], grid_resolution=10)["average"][0]
    assert curve[-1] > curve[0]
    classifier = MixtureOfExpertsClassifier(2, random_state=0).fit(CLASS_X, CLASSES)
    importance = permutation_importance(classifier, CLASS_X, CLASSES, random_state=0)
    assert np.argmin(importance.importances_mean) == 2
    assert partial_dependence(classifier, CLASS_X, [0], grid_resolution=5)["average"].size == 5


def test_a_frame_with_categories_through_a_column_transformer():
    rng = np.random.default_rng(0)
    city = rng.choice(["bern", "rome", "oslo"], size=300)
    frame = pd.DataFrame({"city": city, "area": rng.uniform(20, 200, size=300)})
    slope = frame.city.map({"bern": 10.0, "rome": 4.0, "oslo": -2.0})
    y = slope * frame.area + rng.normal(size=300)
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(sparse_output=False), ["city"]), remainder="passthrough"
        ),
        MixtureOfExpertsRegressor(3, random_state=0),
    )
    assert model.fit(frame, y).score(frame, y) > 0.99


def test_metadata_routing():
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        moe = MixtureOfExpertsRegressor(random_state=0).set_fit_request(sample_weight=True)
        moe.set_score_request(sample_weight=True)
        search = GridSearchCV(moe, {"n_experts": [2]}, cv=3).fit(X, Y, sample_weight=weight)
        routed = search.best_estimator_
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(moe))
        with pytest.raises(ValueError, match="all weights are zero"):
            pipeline.fit(X, Y, sample_weight=0 * weight)
    direct = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y, sample_weight=weight)
    assert_allclose(routed.expert_coef_, direct.expert_coef_)
    unweighted = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    assert np.abs(routed.expert_coef_ - unweighted.expert_coef_).max() > 1e-4


@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_html_names_parameters_and_explains_them(moe, features, y):
    html = clone(moe).fit(features, y)._repr_html_()
    assert type(moe).__name__ in html
    assert "n_experts" in html
    if sklearn.__version__ >= "1.8":
        assert "Number of experts" in html  # the tooltip, from the docstring
    assert repr(moe) in (
        "MixtureOfExpertsRegressor(n_experts=2, random_state=0)",
        "MixtureOfExpertsClassifier(n_experts=2, random_state=0)",
    )


def test_verbose_prints_starts_and_iterations(capsys):
    moe = MixtureOfExpertsRegressor(3, n_init=3, tol=1e-10, random_state=0)  # which takes long
    quiet(moe, X, Y)
    assert capsys.readouterr().out == ""
    assert moe.n_iter_ > 45  # the best start goes on after the others have ended
    quiet(moe.set_params(verbose=1), X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["start 0", "start 1", "start 2"]
    assert len(lines) == 4
    assert (
        lines[-1] == f"EM: lower bound {moe.lower_bound_:.8f}, {moe.n_iter_} iterations, converged"
    )
    for start in range(3):
        printed = float(lines[start].split()[4].rstrip(","))
        assert np.abs(moe.start_traces_[start] - printed).min() < 1e-8
    quiet(moe.set_params(verbose=True), X, Y)
    assert capsys.readouterr().out.splitlines() == lines
    quiet(moe.set_params(verbose=2), X, Y)
    lines = capsys.readouterr().out.splitlines()
    values = [float(line.split()[-1]) for line in lines if line.startswith("  start 1:")]
    assert len(values) > 3
    assert_allclose(values, moe.start_traces_[1][: len(values)], atol=1e-8)
    assert np.diff(values).min() > -1e-7


class Configured(Ridge):
    """A ridge regression that keeps a setting of the process that fits it."""

    def fit(self, X, y, sample_weight=None):
        self.assumed_finite_ = sklearn.get_config()["assume_finite"]
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("assumed", [False, True])
def test_global_configuration_reaches_workers(assumed):
    moe = MixtureOfExpertsRegressor(
        2, expert=Configured(), n_init=1, max_iter=2, n_jobs=2, random_state=0
    )
    with sklearn.config_context(assume_finite=assumed):
        quiet(moe, X, Y)
    assert {model.assumed_finite_ for models in moe.experts_ for model in models} == {assumed}


def test_global_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    MixtureOfExpertsRegressor(3, init="random", random_state=1).fit(*load_diabetes(return_X_y=True))
    assert_array_equal(np.random.get_state()[1], before)
