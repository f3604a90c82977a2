"""No row helps to predict its own group, and metadata stay with their rows.

Estimators write down what they are fitted on and asked about. While a fit goes on, a model is asked
either about rows of groups that it has not seen, or about all the rows that it was fitted on (a
trial fit that another number of experts continues from); never about a part of its rows, or
about others of a group that it knows.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from recorders import (
    Log,
    OutOfBagClassifier,
    OutOfBagRegressor,
    RecordingClassifier,
    RecordingRegressor,
    by_number,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.folds import make_feasible_folds, make_folds
from skmoe._data.nested_estimators import groups_argument
from skmoe._estimators import n_experts_selection

N = 120
N_GROUPS = 24


def table():
    """Numbered rows in groups of a few, whose class says little of their group."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(N), rng.uniform(-1, 1, size=(N, 2))])
    groups = rng.permutation(np.arange(N) % N_GROUPS)
    y = np.sign(X[:, 1]) * X[:, 2] + 0.1 * rng.normal(size=N)
    return X, y, np.where(y > 0, "up", "down"), groups


RECORDERS = {
    "regressor": (RecordingRegressor, MixtureOfExpertsRegressor),
    "classifier": (RecordingClassifier, MixtureOfExpertsClassifier),
}

# Options of a mixture, given what records.
PATHS = {
    "experts": lambda recorder: {"expert": recorder},
    "three folds": lambda recorder: {"expert": recorder, "cross_fit": 3},
    "in a list": lambda recorder: {"expert": [recorder, "linear"]},
    "pipeline": lambda recorder: {"expert": make_pipeline("passthrough", recorder)},
    "base": lambda recorder: {"base": recorder},
    "pipeline as base": lambda recorder: {"base": make_pipeline("passthrough", recorder)},
    "average": lambda recorder: {"expert": recorder, "combine": "average", "n_init": 2},
    "number of experts": lambda recorder: {
        "expert": recorder,
        "n_experts": "auto",
        "cross_fit": 2,
    },
    "number of experts on a base": lambda recorder: {"base": recorder, "n_experts": "auto"},
    "criterion": lambda recorder: {"base": recorder, "n_experts": "bic"},
    "whole models": lambda recorder: {"expert": [recorder, "linear"], "specialize": False},
    "whole model on a base": lambda recorder: {
        "expert": [nested(recorder, base=recorder), "linear"],
        "specialize": False,
    },
    "whole model of experts in a pipeline": lambda recorder: {
        "expert": [make_pipeline("passthrough", nested(recorder, expert=recorder)), "linear"],
        "specialize": False,
    },
    "whole models in whole models": lambda recorder: {
        "expert": [nested(recorder, expert=[recorder, "linear"], specialize=False), "linear"],
        "specialize": False,
    },
    "mixtures as experts": lambda recorder: {"expert": nested(recorder, base=recorder)},
    "mixture as base": lambda recorder: {"base": nested(recorder, base=recorder)},
    "whole model with a number of experts": lambda recorder: {
        "expert": [nested(recorder, base=recorder, n_experts="auto"), "linear"],
        "specialize": False,
    },
}


def nested(recorder, **options):
    """A small mixture, for the task of what records."""
    kind = "classifier" if isinstance(recorder, RecordingClassifier) else "regressor"
    small = {"n_experts": 2, "max_iter": 2, "n_init": 1, "random_state": 0}
    return RECORDERS[kind][1](**small | options)


def fit(task, path, X, y, log, **data):
    recorder, mixture = RECORDERS[task]
    options = {"n_experts": 2, "max_iter": 3, "n_init": 1, "random_state": 0}
    moe = mixture(**(options | PATHS[path](recorder(log))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return moe.fit(X, y, **data)


def assert_not_known(questions, kind):
    """Nobody is asked about a part of what they know; `kind` is the group of each row."""
    apart = 0
    for fitted, asked in questions:
        fitted, asked = (rows[:, 0].astype(int) for rows in (fitted, asked))
        if set(fitted) <= set(asked):
            continue
        apart += 1
        assert not set(kind[fitted]) & set(kind[asked])
    return apart


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("task", RECORDERS)
def test_no_group_is_on_both_sides_of_a_fold(task, path, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2)))
    X, numbers, labels, groups = table()
    log = Log()
    fit(task, path, X, labels if task == "classifier" else numbers, log, groups=groups)
    apart = assert_not_known(log.questions(), groups)
    assert apart >= 3
    # Of the rows of a group that a fit knows none is missing, but those that an expert leaves out.
    told = set().union(*(asked[:, 0].astype(int) for _, asked in log.questions()))
    assert told == set(range(N))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("task", RECORDERS)
def test_no_row_is_on_both_sides_of_a_fold(task, path, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2)))
    X, numbers, labels, _ = table()
    log = Log()
    fit(task, path, X, labels if task == "classifier" else numbers, log)
    assert assert_not_known(log.questions(), np.arange(N)) >= 3


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("task", RECORDERS)
def test_searches_that_divide_by_groups_get_them(task, routing):
    X, numbers, labels, groups = table()
    log, (recorder, mixture) = Log(), RECORDERS[task]
    search = GridSearchCV(recorder(log), {"log": [log]}, cv=GroupKFold(3))
    moe = mixture(expert=[search, "linear"], specialize=False, random_state=0)
    y = labels if task == "classifier" else numbers
    with warnings.catch_warnings(), config_context(enable_metadata_routing=routing):
        warnings.simplefilter("ignore")
        moe.fit(X, y, groups=groups)
    assert assert_not_known(log.questions(), groups) > 15
    # Without groups, or with another splitter, there is nothing to pass on.
    assert groups_argument(clone(search).set_params(cv=KFold(3))) is None
    assert groups_argument(clone(search).set_params(cv=3)) is None
    assert groups_argument(mixture(2)) is None
    assert groups_argument(make_pipeline("passthrough", mixture(2, base=search))) is not None


@pytest.mark.parametrize("task", RECORDERS)
def test_units_are_on_one_side_of_the_folds_of_whole_models(task):
    X, numbers, labels, units = table()
    log, (recorder, mixture) = Log(), RECORDERS[task]
    of_list = [nested(recorder(log), base=recorder(log)), "linear"]
    moe = mixture(expert=of_list, specialize=False, gate_aggregate="mean", random_state=0)
    y = labels if task == "classifier" else numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, units=units)
    assert assert_not_known(log.questions(), units) > 15


@pytest.mark.parametrize("task", RECORDERS)
def test_groups_are_those_of_rows_of_positive_weight(task):
    X, numbers, labels, groups = table()
    weight = np.where(np.arange(N) % 3 == 1, 0.0, 1.0)
    log = Log()
    y = labels if task == "classifier" else numbers
    fit(task, "experts", X, y, log, groups=groups, sample_weight=weight)
    assert assert_not_known(log.questions(), groups) >= 5
    for entry in log.fits():
        assert (weight[entry["X"][:, 0].astype(int)] == 1.0).all()


def test_frames_keep_their_groups():
    X, y, _, groups = table()
    log = Log()
    frame = pd.DataFrame(X, columns=["number", "a", "b"])
    fit("regressor", "experts", frame, y, log, groups=[f"group {g}" for g in groups])
    assert assert_not_known(log.questions(), groups) >= 5


@pytest.mark.parametrize("task", RECORDERS)
def test_equal_rows_of_different_groups_are_not_one_row(task):
    _, numbers, labels, _ = table()
    X = np.column_stack([np.zeros(N), np.arange(N) % 40, np.arange(N) % 3])
    y = (labels if task == "classifier" else numbers)[np.arange(N) % 40]
    X, y = np.tile(X[:40], (3, 1)), np.tile(y[:40], 3)
    thrice, apart = Log(), Log()
    fit(task, "experts", X, y, thrice, groups=np.arange(N) % 40)
    fit(task, "experts", X, y, apart, groups=np.arange(N) // 40)
    # Three copies in one group are one row of weight three; in three groups they are three rows.
    assert max(len(entry["y"]) for entry in thrice.fits()) <= 40
    assert sum(len(asked) for _, asked in thrice.questions()[:5]) == 40
    # Fits of each expert leave out one of the three groups at a time.
    assert [len(entry["y"]) for entry in apart.fits()[:6]] == [80] * 6
    assert [len(asked) for _, asked in apart.questions()[:3]] == [40] * 3


@pytest.mark.parametrize("n_folds", [2, 5])
def test_folds_are_stratified_and_keep_groups(n_folds):
    rng = np.random.default_rng(0)
    codes = (np.arange(100) % 10 == 0).astype(int)
    groups = rng.permutation(np.arange(100) % 50)
    for known in (None, groups):
        fold = make_folds(n_folds, codes, known, 100, seed=0)
        assert set(fold) == set(range(n_folds))
        counts = np.bincount(fold, minlength=n_folds)
        assert counts.max() - counts.min() <= (20 if known is not None else 1)
        rare = np.bincount(fold[codes == 1], minlength=n_folds)
        assert rare.min() >= (1 if known is not None else 10 // n_folds)
        if known is not None:
            assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    plain = make_folds(n_folds, None, groups, 100, seed=0)
    assert all(len(set(plain[groups == group])) == 1 for group in set(groups))
    # As many folds as there are groups, or rows, and none of one.
    assert make_feasible_folds(5, None, np.arange(100) % 2, 100, 0).max() == 1
    assert make_feasible_folds(5, None, None, 3, 0).max() == 2
    assert not make_feasible_folds(5, None, np.zeros(100), 100, 0).any()
    few = np.where(np.arange(100) < 3, 1, 0)  # fewer rows of a class than folds
    assert make_feasible_folds(5, few, None, 100, 0).max() == 4


# --- metadata -----------------------------------------------------------------------------------


def cost(numbers):
    """What goes with a row, known from its number."""
    return 10.0 * numbers + 1.0


def assert_own_costs(log, n_fits):
    assert len(log.fits()) >= n_fits
    for entry in log.fits():
        numbers, given = by_number(entry, "cost")
        assert_allclose(given, cost(numbers))


METADATA_PATHS = {
    "all rows": ({"cross_fit": False}, {}),
    "folds": ({}, {}),
    "three folds": ({"cross_fit": 3}, {}),
    "groups": ({}, {"groups": np.arange(N) % 7}),
    "zero weights": ({}, {"sample_weight": np.where(np.arange(N) % 4 == 1, 0.0, 1.5)}),
    "zero weights, all rows": (
        {"cross_fit": False},
        {"sample_weight": np.where(np.arange(N) % 4 == 1, 0.0, 1.5)},
    ),
    "number of experts": ({"n_experts": "auto", "cross_fit": 2}, {}),
    "number of experts, groups": (
        {"n_experts": "auto", "cross_fit": 2},
        {"groups": np.arange(N) % 7},
    ),
    "number of experts, zero weights": (
        {"n_experts": "auto", "cross_fit": 2},
        {"sample_weight": np.where(np.arange(N) % 4 == 1, 0.0, 1.5)},
    ),
    "average": ({"combine": "average", "n_init": 2}, {}),
}


@pytest.mark.parametrize("path", METADATA_PATHS)
@pytest.mark.parametrize("task", RECORDERS)
def test_metadata_stay_with_their_rows(task, path, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2)))
    X, numbers, labels, _ = table()
    order = np.random.default_rng(1).permutation(N)
    X = X[order]
    y = (labels if task == "classifier" else numbers)[order]
    recorder, mixture = RECORDERS[task]
    options, data = METADATA_PATHS[path]
    data = {name: np.asarray(values)[order] for name, values in data.items()}
    log = Log()
    moe = mixture(
        **({"n_experts": 2, "max_iter": 3, "n_init": 1, "random_state": 0} | options),
        expert=recorder(log),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, cost=cost(X[:, 0]), **data)
    assert_own_costs(log, 2)


@pytest.mark.parametrize("recorder", [OutOfBagRegressor, OutOfBagClassifier])
def test_metadata_of_ensembles(recorder):
    X, numbers, labels, _ = table()
    log = Log()
    task = "classifier" if recorder is OutOfBagClassifier else "regressor"
    moe = RECORDERS[task][1](2, expert=recorder(log), cross_fit="oob", max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, labels if task == "classifier" else numbers, cost=cost(X[:, 0]))
    assert_own_costs(log, 2)


def repeated_rows():
    """Each row twice, with other costs."""
    X, y, _, _ = table()
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    return X, y, cost(X[:, 0]) + np.tile([0.0, 0.5], N)


def test_metadata_of_repeated_rows_in_trial_fits(monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1,)))
    X, y, costs = repeated_rows()
    log = Log()
    expert = RecordingRegressor(log)
    moe = MixtureOfExpertsRegressor("auto", expert=expert, cross_fit=False, random_state=0)
    moe.fit(X, y, cost=costs)
    # Trial fits leave out a third of the rows, of which those with other costs are others.
    trials = [entry["cost"] for entry in log.fits() if len(entry["cost"]) == 4 * N // 3]
    assert trials
    assert all(set(np.mod(values, 1.0)) == {0.0, 0.5} for values in trials)


def test_metadata_of_repeated_rows():
    X, y, costs = repeated_rows()
    log = Log()
    moe = MixtureOfExpertsRegressor(1, expert=RecordingRegressor(log), cross_fit=False)
    moe.fit(X, y, cost=costs)
    # Starts look at distinct rows; but rows that differ in what goes with them are not one.
    assert len(log.fits()[-1]["y"]) == 2 * N
    assert sorted(log.fits()[-1]["cost"]) == sorted(costs)
    for entry in log.fits():
        assert_allclose(cost(entry["X"][:, 0]), np.floor(entry["cost"]))


class Scaler(RecordingRegressor):
    """A step of a pipeline that takes costs, too."""

    def transform(self, X):
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = None
        return tags


@pytest.mark.parametrize("routing", [False, True], ids=["spelled", "routed"])
@pytest.mark.parametrize("step", ["first", "last", "both"])
def test_metadata_reach_the_step_that_asks_for_them(step, routing):
    X, y, _, _ = table()
    X = X[::-1]
    logs = {"first": Log(), "last": Log()}
    first, last = Scaler(logs["first"]), RecordingRegressor(logs["last"])
    asked = ("first", "last") if step == "both" else (step,)
    with config_context(enable_metadata_routing=routing):
        if routing:
            for name, member in (("first", first), ("last", last)):
                member.set_fit_request(cost=name in asked, sample_weight=name == "last")
        expert = make_pipeline(first, last)
        names = {"first": "scaler__cost", "last": "recordingregressor__cost"}
        given = {"cost": cost(X[:, 0])}
        if not routing:
            given = {names[name]: cost(X[:, 0]) for name in asked}
        moe = MixtureOfExpertsRegressor(2, expert=expert, max_iter=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moe.fit(X, y[::-1], **given)
    for name, log in logs.items():
        if name in asked:
            assert_own_costs(log, 5)
        else:
            assert all("cost" not in entry for entry in log.fits())
    assert all("weight" in entry for entry in logs["last"].fits())


def test_metadata_reach_the_expert_of_a_list_that_asks_for_them():
    X, y, _, _ = table()
    logs = [Log(), Log()]
    with config_context(enable_metadata_routing=True):
        experts = [
            RecordingRegressor(log).set_fit_request(cost=alias)
            for log, alias in zip(logs, ["price", False], strict=True)
        ]
        moe = MixtureOfExpertsRegressor(2, expert=experts, max_iter=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moe.fit(X, y, price=cost(X[:, 0]))
    assert_own_costs(logs[0], 5)
    assert all("cost" not in entry for entry in logs[1].fits())
