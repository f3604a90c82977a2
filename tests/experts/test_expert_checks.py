"""Which estimators may be experts, and what errors of experts, folds and answers say."""

import threading
import time

import numpy as np
import pytest
from joblib import parallel_backend
from numpy.testing import assert_array_equal
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.stacks import stack_of
from support.tables import steps

X, Y = steps(100)
IS_POSITIVE = Y > 0
GROUPS = {"groups": np.arange(100) % 3}
MAKERS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}


@pytest.mark.parametrize(
    ("n_rows", "y", "options", "data", "name", "words"),
    [
        (10, Y, {"cross_fit": 11}, {}, "cross_fit=11", ["rows", "10", "at most 10"]),
        (
            23,
            np.arange(100) >= 20,
            {"cross_fit": 4},
            {},
            "cross_fit=4",
            ["smallest class, 3", "at most 3"],
        ),
        (21, np.arange(100) >= 20, {"cross_fit": 2}, {}, "cross_fit=2", ["class, 1", '"auto".']),
        (100, Y, {"cross_fit": 4}, GROUPS, "cross_fit=4", ["groups, 3", "at most 3"]),
        (
            100,
            Y,
            {"cross_fit": "auto", "base": Ridge()},
            {"groups": np.zeros(100)},
            "base",
            ["at least 2 groups", "got 1"],
        ),
        (
            100,
            Y,
            {"cross_fit": "auto"},
            {"groups": np.zeros(100)},
            'cross_fit="auto"',
            ["at least 2 groups", "got 1"],
        ),
    ],
)
def test_more_folds_than_rows_groups_or_rows_of_a_class_are_refused(
    n_rows, y, options, data, name, words
):
    make = MixtureOfExpertsRegressor if y is Y else MixtureOfExpertsClassifier
    moe = make(2, expert="tree", **options)
    assert_fit_refused(moe, (X[:n_rows], y[:n_rows]), name, *words, **data)


@pytest.mark.parametrize(("expert", "remedy"), [("tree", 'family="normal"'), ("linear", "zero")])
def test_remedies_for_zeros_are_possible_with_the_expert(expert, remedy):
    moe = MixtureOfExpertsRegressor(2, expert=expert, family="gamma")
    assert_fit_refused(moe, (X, np.arange(100.0)), "y", "row 0 holds 0", remedy)


@pytest.mark.parametrize(
    ("metadata", "expert", "words"),
    [
        (np.ones(5), RecordingRegressor(Log()), ["one entry for each of the 100 rows"]),
        (np.ones(100), "linear", ["cannot be used", "expert='linear'"]),
        (np.ones(100), "tree", ["cannot be used", "by name"]),
    ],
)
def test_metadata_that_no_expert_takes_are_refused(metadata, expert, words):
    moe = MixtureOfExpertsRegressor(2, expert=expert)
    assert_fit_refused(moe, (X, Y), "cost", *words, cost=metadata)


class Brittle(DecisionTreeRegressor):
    """A tree that breaks where the first row of the table is not among its rows."""

    def fit(self, X, y, sample_weight=None):
        if not (X[:, 0] == 0.0).any():
            raise RuntimeError("broken")
        return super().fit(X, y, sample_weight)


def test_an_expert_that_breaks_is_named_with_its_fold():
    table = np.column_stack([np.arange(100), X])
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0)
    before = fit_quietly(moe, table, Y).predict(table)
    with pytest.raises(RuntimeError, match="broken") as caught:
        moe.set_params(expert=Brittle()).fit(table, Y)
    (note,) = caught.value.__notes__
    assert note.startswith("This was expert 0, Brittle(), without fold ")
    moe.set_params(expert="tree")
    assert_array_equal(moe.predict(table), before)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_expert_that_breaks_on_all_rows_is_named(n_jobs):
    moe = MixtureOfExpertsRegressor(2, expert=[Ridge(), HistGradientBoostingRegressor()])
    moe.set_params(cross_fit=False, n_jobs=n_jobs)
    n_threads = threading.active_count()
    with (
        parallel_backend("threading"),
        pytest.raises(ValueError, match="1d array") as caught,
    ):
        moe.fit(X, np.column_stack([Y, Y]))
    note = "This was expert 1, HistGradientBoostingRegressor(), fitted on all rows."
    assert caught.value.__notes__ == [note]
    # The other fit goes on, and its end would restore the filters of warnings within other tests.
    for _ in range(1000):
        if threading.active_count() <= n_threads:
            break
        time.sleep(0.01)


class Answering(DecisionTreeRegressor):
    """A tree with predictions, and log densities if there are any, from functions."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def predict(self, X):
        return self.answer(X)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda X: np.full(len(X), np.nan), "must predict finite values; it predicted NaN"),
        (lambda X: np.zeros(3), r"1 value\(s\) for each of 20 rows; its answer has shape \(3, 1\)"),
        (lambda X: np.zeros((len(X), 2)), r"its answer has shape \(20, 2\)"),
        (lambda X: X[:, 99], "out of bounds"),
    ],
)
def test_wrong_predictions_are_refused(answer, message):
    moe = MixtureOfExpertsRegressor(2, expert=Answering(answer), n_init=1, random_state=0)
    with pytest.raises((ValueError, IndexError), match=message) as caught:
        moe.fit(X, Y)
    assert "This was expert 0, Answering(" in caught.value.__notes__[0]
    assert not hasattr(moe, "experts_")


class Voting(DecisionTreeClassifier):
    """A tree with class probabilities from a function."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def predict_proba(self, X):
        return np.tile(self.answer, (len(X), 1))


@pytest.mark.parametrize(("answer", "found"), [([0.4, 0.4], "0.8"), ([1.2, -0.2], "-0.2")])
def test_probabilities_that_are_none_are_refused(answer, found):
    moe = MixtureOfExpertsClassifier(2, expert=Voting(answer), n_init=1, random_state=0)
    words = ["probabilities", "sum", found, "CalibratedClassifierCV"]
    assert_refused(refusal(moe.fit, X, IS_POSITIVE), "An expert", *words)


@pytest.mark.parametrize(("task", "value"), [("regressor", np.nan), ("classifier", np.inf)])
def test_a_base_without_finite_predictions_is_refused(task, value):
    class Broken(DecisionTreeClassifier if task == "classifier" else DecisionTreeRegressor):
        def predict(self, X):
            return np.full(len(X), value)

        def predict_proba(self, X):
            return np.full((len(X), 2), value)

    y = Y if task == "regressor" else IS_POSITIVE
    assert_fit_refused(MAKERS[task](2, base=Broken()), (X, y), "base", "finite values")


def test_an_interrupted_fit_leaves_the_last_one():
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0)
    before = vars(fit_quietly(moe, X, Y)).copy()

    def interrupt(features):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moe.set_params(expert=Answering(interrupt)).fit(np.column_stack([X, X]), Y)
    moe.set_params(expert="tree")
    assert vars(moe) == before


@pytest.mark.parametrize(
    "outer",
    [
        lambda inner: inner,
        lambda inner: make_pipeline(StandardScaler(), inner),
        lambda inner: GridSearchCV(make_pipeline(inner), {}, cv=2),
    ],
    ids=["alone", "pipeline", "search"],
)
def test_stacks_of_scikit_learn_without_a_final_estimator_are_accepted(outer):
    """Before the fit they show no predict, since they do not know their final estimator."""
    options = {"cv": 2, "random_state": 0}
    stack = outer(StackingRegressor([("ridge", Ridge())], cv=2))
    moe = stack_of(stack, Ridge(), **options)
    assert np.isfinite(fit_quietly(moe, X, Y).predict(X)).all()
    stack = outer(StackingClassifier([("logistic", LogisticRegression())], cv=2))
    moe = stack_of(stack, LogisticRegression(), kind=GatedStackingClassifier, **options)
    assert np.isfinite(fit_quietly(moe, X, IS_POSITIVE).predict_proba(X)).all()


def test_a_search_without_a_final_fit_is_refused():
    search = GridSearchCV(Ridge(), {}, refit=False)
    assert_fit_refused(stack_of(search, Ridge()), (X, Y), "estimators[0]", "must be one of")
