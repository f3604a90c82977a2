"""Which estimators may be experts, and what errors of experts, folds and answers say."""

import threading
import time

import numpy as np
import pytest
from joblib import parallel_backend
from sklearn.ensemble import HistGradientBoostingRegressor, StackingClassifier, StackingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused
from support.stacks import stack_of
from support.tables import steps

X, Y = steps(100)
IS_POSITIVE, LATE = Y > 0, np.arange(100) >= 20
ONE_GROUP, THREE_GROUPS = {"groups": np.zeros(100)}, {"groups": np.arange(100) % 3}


class Answering(DecisionTreeRegressor):
    """A tree with predictions from a function."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def predict(self, X):
        return self.answer(X)


class Voting(DecisionTreeClassifier):
    """A tree with class probabilities from a function."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def predict_proba(self, X):
        return np.tile(self.answer, (len(X), 1))


def regressor(expert="tree", **options):
    return MixtureOfExpertsRegressor(2, expert=expert, n_init=1, random_state=0, **options)


def classifier(expert="tree", **options):
    return MixtureOfExpertsClassifier(2, expert=expert, n_init=1, random_state=0, **options)


def nan(X):
    return np.full(len(X), np.nan)


EXPOSURES = {"offset": np.zeros((100, 2))}

# Mixtures, numbers of rows, targets, further arguments of the fit, and the message.
REFUSED = {
    "rows": (regressor(cross_fit=11), 10, Y, {}, "cross_fit=11", "rows", "10", "at most 10"),
    "class": (classifier(cross_fit=4), 23, LATE, {}, "cross_fit=4", "class, 3", "at most 3"),
    "one of a class": (classifier(cross_fit=2), 21, LATE, {}, "cross_fit=2", '"auto".'),
    "groups": (regressor(cross_fit=4), 100, Y, THREE_GROUPS, "cross_fit=4", "groups, 3"),
    "a base": (regressor(base=Ridge()), 100, Y, ONE_GROUP, "base", "at least 2 groups", "got 1"),
    "one group": (regressor(), 100, Y, ONE_GROUP, 'cross_fit="auto"', "at least 2 groups"),
    "zeros": (regressor(family="gamma"), 100, LATE * 1.0, {}, "y", "holds 0", 'family="normal"'),
    "negative": (regressor(family="gamma"), 100, -1.0 - LATE, {}, "y", "positive numbers"),
    "linear": (regressor("linear", family="gamma"), 100, LATE * 1.0, {}, "y", "holds 0", "zero"),
    "exposures": (
        *(regressor(family="poisson"), 100, np.column_stack([LATE, LATE]), EXPOSURES, "expert"),
        *("(n_samples,)", "the same for all outputs", (100, 2), 'expert="linear"'),
    ),
    "metadata": (
        *(regressor(RecordingRegressor(Log())), 100, Y, {"cost": np.ones(5)}, "cost"),
        "one entry for each of the 100 rows",
    ),
    "metadata of linear experts": (
        *(regressor("linear"), 100, Y, {"cost": np.ones(100)}, "cost"),
        *("cannot be used", "expert='linear'"),
    ),
    "metadata of names": (regressor(), 100, Y, {"cost": np.ones(100)}, "cost", "by name"),
    "negative means": (
        *(regressor(LinearRegression(), family="poisson"), 100, np.round(np.exp(Y)), {}),
        *("expert", "not negative", "poisson", LinearRegression()),
    ),
    "NaN": (regressor(Answering(nan)), 100, Y, {}, "An expert must predict finite values"),
    "three": (
        *(regressor(Answering(lambda X: np.zeros(3))), 100, Y, {}, "An expert"),
        *("1 value(s) for each of 20 rows", "(3, 1)"),
    ),
    "two outputs": (
        *(regressor(Answering(lambda X: np.zeros((len(X), 2)))), 100, Y, {}, "An expert"),
        "its answer has shape (20, 2)",
    ),
    "a sum": (
        *(classifier(Voting([0.4, 0.4])), 100, IS_POSITIVE, {}, "An expert"),
        *("probabilities", "sum", "0.8", "CalibratedClassifierCV"),
    ),
    "negative probabilities": (
        *(classifier(Voting([1.2, -0.2])), 100, IS_POSITIVE, {}, "An expert", "-0.2"),
    ),
    "NaN of a base": (regressor("linear", base=Answering(nan)), 100, Y, {}, "base", "finite"),
    "infinity of a base": (
        *(classifier("linear", base=Voting([np.inf, 0.0])), 100, IS_POSITIVE, {}, "base"),
        "finite values",
    ),
    "a search": (
        *(stack_of(GridSearchCV(Ridge(), {}, refit=False), Ridge()), 100, Y, {}),
        *("estimators[0]", "must be one of"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_folds_arguments_and_answers_that_cannot_be_used_are_refused(name):
    moe, n_rows, y, given, *words = REFUSED[name]
    assert_fit_refused(moe, (X[:n_rows], y[:n_rows]), *words, **given)


class Brittle(DecisionTreeRegressor):
    """A tree that breaks where the first row of the table is not among its rows."""

    def fit(self, X, y, sample_weight=None):
        if not (X[:, 0] == 0.0).any():
            raise RuntimeError("broken")
        return super().fit(X, y, sample_weight)


def interrupt(X):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("expert", "error", "note"),
    [
        (Brittle(), RuntimeError, "This was expert 0, Brittle(), without fold "),
        (Answering(lambda X: X[:, 99]), IndexError, "This was expert 0, Answering("),
        (Answering(interrupt), KeyboardInterrupt, ""),
    ],
)
def test_an_expert_that_breaks_is_named_and_leaves_the_last_fit(expert, error, note):
    rows = np.column_stack([np.arange(100), X])
    moe = regressor(max_iter=2)
    before = dict(vars(fit_quietly(moe, rows, Y)))
    with pytest.raises(error) as caught:
        moe.set_params(expert=expert).fit(rows, Y)
    assert getattr(caught.value, "__notes__", [""])[0].startswith(note)
    assert vars(moe.set_params(expert="tree")) == before


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_expert_that_breaks_on_all_rows_is_named(n_jobs):
    moe = MixtureOfExpertsRegressor(2, expert=[Ridge(), HistGradientBoostingRegressor()])
    moe.set_params(cross_fit=False, n_jobs=n_jobs)
    n_threads = threading.active_count()
    with parallel_backend("threading"), pytest.raises(ValueError, match="1d array") as caught:
        moe.fit(X, np.column_stack([Y, Y]))
    note = "This was expert 1, HistGradientBoostingRegressor(), fitted on all rows."
    assert caught.value.__notes__ == [note]
    # The other fit goes on, and its end would restore the filters of warnings within other tests.
    for _ in range(1000):
        if threading.active_count() <= n_threads:
            break
        time.sleep(0.01)


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
