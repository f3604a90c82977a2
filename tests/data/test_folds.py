"""No row helps to predict its own group, and metadata stay with their rows.

Estimators write down what they are fitted on and asked about. While a fit goes on, a model is asked
either about rows of groups that it has not seen, or about all the rows that it was fitted on (a
trial fit that another number of experts continues from); never about a part of its rows, or
about others of a group that it knows.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.fits import fit_quietly
from support.recording_estimators import (
    Log,
    RecordingClassifier,
    RecordingRegressor,
    by_number,
)
from support.stacks import stack_of

N = 60
N_GROUPS = 15
SMALL = {"n_experts": 2, "max_iter": 2, "n_init": 1, "gate_alpha": 1.0, "random_state": 0}


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


def nested(recorder, **options):
    """A small mixture, for the task of what records."""
    kind = "classifier" if isinstance(recorder, RecordingClassifier) else "regressor"
    return RECORDERS[kind][1](**SMALL | {"max_iter": 1} | options)


def stacked(model, **options):
    """A small stack, for the task of a model."""
    kind = GatedStackingClassifier if is_classifier(model) else GatedStackingRegressor
    fixed = {"cv": 3, "max_iter": 2, "gate_alpha": 1.0, "random_state": 0}
    return stack_of(model, "linear", kind=kind, **fixed | options)


AUTO = {"n_experts": [1, 2], "max_iter": 1}

# Options of a mixture, or a stack, given what records.
PATHS = {
    "experts": lambda r: {"expert": r},
    "three folds": lambda r: {"expert": r, "cross_fit": 3},
    "list": lambda r: {"expert": [r, "linear"]},
    "pipeline": lambda r: {"expert": make_pipeline("passthrough", r)},
    "base": lambda r: {"base": r},
    "number of experts": lambda r: AUTO | {"expert": r, "cross_fit": 2},
    "number of experts on a base": lambda r: AUTO | {"base": r},
    "stacking": lambda r: stacked(r),
    "stacking on a base": lambda r: stacked(nested(r, base=r)),
    "stacking in a pipeline": lambda r: stacked(
        make_pipeline("passthrough", nested(r, expert=r, cross_fit=2))
    ),
    "stacking of stacking": lambda r: stacked(stacked(r, cv=2, max_iter=1)),
    "mixtures as experts": lambda r: {"expert": nested(r, base=r), "cross_fit": 2},
    "mixture as base": lambda r: {"base": nested(r, base=r)},
}
# Those that are met by classifiers, and by rows without groups, too.
FEW_PATHS = ("experts", "base", "stacking on a base")


def fit(task, path, log, **data):
    X, numbers, labels, _ = table()
    recorder, mixture = RECORDERS[task]
    given = PATHS[path](recorder(log))
    moe = mixture(**SMALL | given) if isinstance(given, dict) else given
    return fit_quietly(moe, X, labels if task == "classifier" else numbers, **data)


def count_held_out(questions, group):
    """The number of questions about rows that are held out, of which no group may be known."""
    n_held_out = 0
    for fitted, asked in questions:
        fitted, asked = (rows[:, 0].astype(int) for rows in (fitted, asked))
        if set(fitted) <= set(asked):
            continue
        n_held_out += 1
        assert not set(group[fitted]) & set(group[asked])
    return n_held_out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("task", "path"),
    [*(("regressor", path) for path in PATHS), ("classifier", "experts")],
)
def test_no_group_is_on_both_sides_of_a_fold(task, path):
    log, groups = Log(), table()[-1]
    fit(task, path, log, groups=groups)
    assert count_held_out(log.questions(), groups) >= 2
    # No row of a group is left out, but those that an expert has no responsibility for.
    asked = set().union(*(rows[:, 0].astype(int) for _, rows in log.questions()))
    assert asked == set(range(N))


@pytest.mark.parametrize("task", RECORDERS)
def test_equal_rows_of_different_groups_are_not_one_row(task):
    _, numbers, labels, _ = table()
    X = np.column_stack([np.zeros(20), np.arange(20), np.arange(20) % 3])
    X = np.tile(X, (3, 1))
    y = np.tile((labels if task == "classifier" else numbers)[:20], 3)
    together, apart = Log(), Log()
    for log, groups in ((together, np.arange(N) % 20), (apart, np.arange(N) // 20)):
        recorder, mixture = RECORDERS[task]
        fit_quietly(mixture(**SMALL, expert=recorder(log)), X, y, groups=groups)
    # Three copies in one group are one row of weight three; in three groups they are three rows.
    assert max(len(entry["y"]) for entry in together.fits()) <= 20
    assert sum(len(asked) for _, asked in together.questions()[:5]) == 20
    # Fits of each expert leave out one of the three groups at a time.
    assert [len(entry["y"]) for entry in apart.fits()[:6]] == [40] * 6
    assert [len(asked) for _, asked in apart.questions()[:3]] == [20] * 3


@pytest.mark.parametrize("n_folds", [2, 5])
@pytest.mark.parametrize("grouped", [False, True])
def test_folds_are_stratified_by_class(grouped, n_folds):
    X = table()[0]
    rare = np.where(np.arange(N) % 6 == 0, "rare", "usual")  # ten rows
    data = {"groups": np.arange(N) // 2} if grouped else {}
    log = Log()
    moe = MixtureOfExpertsClassifier(1, expert=RecordingClassifier(log), cross_fit=n_folds)
    fit_quietly(moe.set_params(random_state=0), X, rare, **data)
    folds = [asked[:, 0].astype(int) for _, asked in log.questions()[:n_folds]]
    assert sorted(np.concatenate(folds)) == list(range(N))
    for fold in folds:
        assert abs(len(fold) - N / n_folds) <= (6 if grouped else 1)
        n_rare = (rare[fold] == "rare").sum()
        assert n_rare >= 1 if grouped else n_rare == 10 / n_folds


def rows_held_out(n_rows, y=None, **data):
    """Sizes of the folds that are made of a table without a given number of folds."""
    X, numbers, _, _ = table()
    log, is_regression = Log(), y is None
    recorder, mixture = RECORDERS["regressor" if is_regression else "classifier"]
    moe = mixture(1, expert=recorder(log), max_iter=1, random_state=0)
    fit_quietly(moe, X[:n_rows], numbers[:n_rows] if is_regression else y, **data)
    held_out = {tuple(asked[:, 0]) for _, asked in log.questions()}
    return [len(rows) for rows in held_out if len(rows) < n_rows]


def test_there_are_as_many_folds_as_rows_groups_and_classes_permit():
    assert rows_held_out(N) == [N / 5] * 5
    assert rows_held_out(N, groups=np.arange(N) % 2) == [N / 2] * 2
    assert rows_held_out(3) == [1] * 3
    # Of a class with fewer rows than folds some folds have none.
    assert rows_held_out(N, y=np.arange(N) < 3) == [N / 5] * 5


# --- metadata -----------------------------------------------------------------------------------


def cost(numbers):
    """What goes with a row, known from its number."""
    return 10.0 * numbers + 1.0


def assert_own_costs(log, n_fits):
    assert len(log.fits()) >= n_fits
    for entry in log.fits():
        numbers, given = by_number(entry, "cost")
        assert_allclose(given, cost(numbers))


ZERO_WEIGHTS = {"sample_weight": np.where(np.arange(N) % 4 == 1, 0.0, 1.5)}
GROUPS = {"groups": np.arange(N) % 7}
METADATA_PATHS = {
    "all rows": ({"cross_fit": False}, {}),
    "folds": ({"cross_fit": 3}, {}),
    "groups": ({}, GROUPS),
    "zero weights": ({}, ZERO_WEIGHTS),
    "zero weights, all rows": ({"cross_fit": False}, ZERO_WEIGHTS),
    "number of experts": (AUTO | {"cross_fit": 2}, GROUPS | ZERO_WEIGHTS),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("task", "path"), [*(("regressor", path) for path in METADATA_PATHS), ("classifier", "groups")]
)
def test_metadata_stay_with_their_rows(task, path):
    X, numbers, labels, _ = table()
    order = np.random.default_rng(1).permutation(N)
    recorder, mixture = RECORDERS[task]
    options, data = METADATA_PATHS[path]
    data = {name: values[order] for name, values in data.items()}
    log = Log()
    moe = mixture(**SMALL | options, expert=recorder(log))
    y = (labels if task == "classifier" else numbers)[order]
    fit_quietly(moe, X[order], y, cost=cost(X[order, 0]), **data)
    assert_own_costs(log, 2)


class Step(RecordingRegressor):
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
    X, y = X[::-1], y[::-1]
    logs = {"first": Log(), "last": Log()}
    first, last = Step(logs["first"]), RecordingRegressor(logs["last"])
    asked = ("first", "last") if step == "both" else (step,)
    arguments = {"first": "step__cost", "last": "recordingregressor__cost"}
    with config_context(enable_metadata_routing=routing):
        given = {arguments[name]: cost(X[:, 0]) for name in asked}
        if routing:
            for name, member in (("first", first), ("last", last)):
                member.set_fit_request(cost=name in asked, sample_weight=name == "last")
            given = {"cost": cost(X[:, 0])}
        moe = MixtureOfExpertsRegressor(**SMALL, expert=make_pipeline(first, last), cross_fit=3)
        fit_quietly(moe, X, y, **given)
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
        moe = MixtureOfExpertsRegressor(**SMALL, expert=experts, cross_fit=3)
        fit_quietly(moe, X, y, price=cost(X[:, 0]))
    assert_own_costs(logs[0], 3)
    assert all("cost" not in entry for entry in logs[1].fits())
