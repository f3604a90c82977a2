"""Former names raise, so that tools for linear models find none, and older files are read."""

import copy
import json
import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.former_names import PRESENT_NAMES, with_present_names
from skmoe._estimators.plain_values import checksum
from skmoe.checkpoints import _read, _write, fit_with_checkpoints, load_checkpoint
from skmoe.experts import LinearExperts

X, Y = two_regimes(n_rows=200)
COUNTS = np.floor(np.abs(Y))
CLASS_X, CODES = flipping_classes(n_rows=200, n_classes=3)
SHORT = {"n_init": 1, "max_iter": 8, "random_state": 0}


class PresentNames(LinearExperts):
    """Experts that give their attributes the names that estimators have."""

    def attributes(self, params, units):
        return with_present_names(super().attributes(params, units))


CASES = {
    "linear": (MixtureOfExpertsRegressor(2, **SHORT), X, Y),
    "one": (MixtureOfExpertsRegressor(1, **SHORT), X, Y),
    "outputs": (MixtureOfExpertsRegressor(2, **SHORT), X, np.column_stack([Y, X[:, 0]])),
    "average": (
        MixtureOfExpertsRegressor(2, combine="average", **{**SHORT, "n_init": 2}),
        X,
        Y,
    ),
    "constant gate": (MixtureOfExpertsRegressor(2, gate="constant", **SHORT), X, Y),
    "families": (MixtureOfExpertsRegressor(2, family=["zero", "poisson"], **SHORT), X, COUNTS),
    "own": (MixtureOfExpertsRegressor(2, expert=PresentNames(), **SHORT), X, Y),
    "base": (MixtureOfExpertsRegressor(2, base=LinearRegression(), **SHORT), X, Y),
    "estimators": (MixtureOfExpertsRegressor(2, expert=LinearRegression(), **SHORT), X, Y),
    "trees": (MixtureOfExpertsRegressor(2, expert="tree", **SHORT), X, Y),
    "whole": (
        MixtureOfExpertsRegressor(
            2,
            expert=[LinearRegression(), MixtureOfExpertsRegressor(2, **SHORT)],
            specialize=False,
            **SHORT,
        ),
        X,
        Y,
    ),
    "classes": (MixtureOfExpertsClassifier(2, **SHORT), CLASS_X, CODES),
    "two classes": (MixtureOfExpertsClassifier(2, **SHORT), CLASS_X, CODES > 0),
    "logistic estimators": (
        MixtureOfExpertsClassifier(2, expert=LogisticRegression(), **SHORT),
        CLASS_X,
        CODES,
    ),
}
WITH_COEF = set(CASES) - {"estimators", "trees", "whole", "logistic estimators"}


@cache
def fitted(case):
    """The fit of a case and its features."""
    moe, features, y = CASES[case]
    return quiet(clone(moe), features, y), features


# --- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_no_mixture_is_taken_for_a_linear_model(case):
    """scikit-learn reads `coef_` or `feature_importances_`, shap `coef_` and `intercept_`."""
    moe, features = fitted(case)
    for name in ("coef_", "intercept_", "feature_importances_"):
        assert not hasattr(moe, name)
    assert hasattr(moe, "expert_coef_") == hasattr(moe, "expert_intercept_") == (case in WITH_COEF)
    with pytest.raises(ValueError, match="should have `coef_` or `feature_importances_`"):
        SelectFromModel(moe, prefit=True).fit(features).get_support()


@pytest.mark.parametrize("case", ["linear", "classes"])
def test_selections_that_fit_the_mixture_raise(case):
    moe, X, y = CASES[case]
    moe = clone(moe).set_params(max_iter=300)
    for selection in (SelectFromModel(moe), RFE(moe)):
        with pytest.raises(ValueError, match="should have `coef_` or `feature_importances_`"):
            make_pipeline(StandardScaler(), selection).fit(X, y)[-1].get_support()


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESENT_NAMES)
@pytest.mark.parametrize("case", ["linear", "trees", "classes"])
def test_the_error_of_a_former_name_has_the_present_one_and_the_reason(case, name):
    reason = rf"has no {name} since version 0\.2: tools such as SelectFromModel and shap\.Explainer"
    for moe in (CASES[case][0], fitted(case)[0]):
        with pytest.raises(AttributeError, match=reason) as error:
            getattr(moe, name)
        assert f"Use {PRESENT_NAMES[name]}," in str(error.value)
        assert "shap.Explainer(moe.predict, X)" in str(error.value)


@pytest.mark.parametrize("case", ["linear", "own"])
def test_attributes_of_experts_have_the_present_names(case):
    moe, features = fitted(case)
    means = moe.expert_intercept_ + features @ moe.expert_coef_.T
    np.testing.assert_allclose(moe.predict_experts(features), means)
    assert not set(PRESENT_NAMES) & set(vars(moe))


# --- files of earlier versions ----------------------------------------------------------------


def with_former_names(attributes):
    former = {present: name for name, present in PRESENT_NAMES.items()}
    renamed = {former.get(name, name): value for name, value in attributes.items()}
    assert set(PRESENT_NAMES) <= set(renamed)
    return renamed


def assert_same(read, moe, X):
    assert_array_equal(read.predict(X), moe.predict(X))
    assert_array_equal(read.predict_gate(X), moe.predict_gate(X))
    assert_array_equal(read.expert_coef_, moe.expert_coef_)
    assert_array_equal(read.expert_intercept_, moe.expert_intercept_)
    assert str(read.summary()) == str(moe.summary())
    assert set(vars(read)) == set(vars(moe))


@pytest.mark.parametrize("case", ["linear", "outputs", "average", "families", "classes"])
def test_documents_with_the_former_names_are_read(case):
    moe, features = fitted(case)
    document = moe.to_dict()
    older = {**document, "attributes": with_former_names(document["attributes"])}
    older["checksum"] = checksum({key: older[key] for key in older if key != "checksum"})
    read = type(moe).from_dict(json.loads(json.dumps(older)))
    assert_same(read, moe, features)
    assert read.to_dict() == document


def test_pickles_with_the_former_names_are_read():
    moe, features = fitted("linear")
    older = copy.copy(moe)
    vars(older).update(with_former_names(vars(older)))
    for name in PRESENT_NAMES.values():
        del vars(older)[name]
    assert_same(pickle.loads(pickle.dumps(older)), moe, features)


def test_checkpoints_with_the_former_names_are_read(tmp_path):
    path, moe = tmp_path / "fit.joblib", MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
    whole = fit_with_checkpoints(clone(moe), X, Y, path=path)
    origin, attributes = _read(path)
    _write(path, origin, with_former_names(attributes))
    assert_same(load_checkpoint(path), whole, X)
    assert_same(fit_with_checkpoints(clone(moe), X, Y, path=path), whole, X)
