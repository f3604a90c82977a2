"""scikit-learn's callbacks: announced tasks with the data of the fit, and fits that they stop."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge

from support import fits
from support.fits import classifier, fit_quietly, regressor
from support.refusals import refusal
from support.stacks import stack_of

N_ROWS = 100
X, Y, CLASSES, UNITS = (rows[:N_ROWS] for rows in (fits.X, fits.Y, fits.CLASSES, fits.UNITS))

# The first iterations of all starts are made together, and are one task of each.
N_ITER_FIRST_ROUND = 20

callbacks = pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")


class Recorder:
    """Remembers tasks, their data and their scores, and stops after some tasks of a name."""

    def __init__(self, stop_after=10**6, stopped="iteration"):
        self.stop_after, self.stopped = stop_after, stopped
        self.contexts, self.data, self.ended = [], [], []
        self.n_set_up = self.n_torn_down = 0

    def setup(self, estimator, context):
        self.n_set_up += 1

    def teardown(self, estimator, context):
        self.n_torn_down += 1

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.contexts.append(context)
        self.data.append((X, y, metadata))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.ended.append((context.task_name, fitted_estimator.score(X, y)))
        return context.task_name == self.stopped and context.task_id + 1 >= self.stop_after


def fit_with(recorder, moe, *data, **given):
    fit_quietly(moe.set_callbacks(recorder), *data, **given)
    return moe


STACK = stack_of(regressor(n_experts=1), Ridge(), "tree", max_iter=4)


def short(**options):
    return regressor(**{"max_iter": 4} | options)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (short(n_init=3), ["start"] * 3 + ["EM"]),
        (short(n_experts=1, n_init=1), ["start", "EM"]),
        (short(expert="tree", cross_fit=False, n_init=2), ["start"] * 2 + ["EM"]),
        # A search has more runs to convergence than there may be iterations.
        (short(init="search", n_experts=2, n_init=1, max_iter=1), ["start", "EM"]),
        (STACK, ["model", "model", "model", "EM"]),
    ],
)
def test_tasks_are_numbered_and_announced(estimator, names):
    recorder = Recorder()
    moe = fit_with(recorder, clone(estimator), X, Y)
    whole, *_ = recorder.contexts
    assert (whole.task_name, whole.parent) == ("fit", None)
    children = sorted(whole._children_map.values(), key=lambda child: child.task_id)
    assert whole.max_subtasks == len(names)
    assert [child.task_id for child in children] == list(range(len(names)))
    assert [child.task_name for child in children] == names
    for child in children:
        iterations = list(child._children_map.values())
        assert len(iterations) <= (child.max_subtasks or 0)
        assert {context.task_name for context in iterations} <= {"iteration"}
        assert all(context.max_subtasks == 0 for context in iterations)
    # Each task ends with a fitted estimator, the whole with that of the fit.
    begun = sorted(context.task_name for context in recorder.contexts)
    assert begun == sorted(name for name, _ in recorder.ended)
    assert recorder.n_set_up == recorder.n_torn_down == 1
    assert recorder.ended[-1] == ("fit", moe.score(X, Y))
    assert all(np.isfinite(score) for _, score in recorder.ended)
    if names[0] == "model":  # the first one is scored alone
        scores = [score for name, score in recorder.ended if name == "model"]
        assert scores[0] == moe.experts_[0][0].score(X, Y)


@pytest.mark.parametrize(("criterion", "stop_after"), [("auto", 2), ("bic", 10**6)])
def test_trials_of_the_number_of_experts_are_the_parts_of_the_first_task(criterion, stop_after):
    recorder = Recorder(stop_after, "trial")
    moe = fit_with(recorder, regressor(n_experts=criterion, n_init=2), X, Y)
    whole, selection, *_ = recorder.contexts
    assert (whole.task_name, whole.max_subtasks) == ("fit", None)
    assert (selection.task_name, selection.task_id) == ("selection", 0)
    names = [child.task_name for child in whole._children_map.values()]
    assert names == ["selection", "start", "start", "EM"]
    trials = [score for name, score in recorder.ended if name == "trial"]
    assert len(trials) - len(moe.n_experts_tried_) in (0, 1)  # experts of the last one can collapse
    assert len(trials) == stop_after or stop_after > 2
    # A trial is scored as the fit of its number: one expert is a regression, here for all starts.
    assert trials[0] == pytest.approx(regressor(n_experts=1).fit(X, Y).score(X, Y), rel=1e-3)
    assert recorder.n_set_up == recorder.n_torn_down == 1
    assert recorder.ended[-1] == ("fit", moe.score(X, Y))


@pytest.mark.parametrize("metadata", [{}, {"offset": 0.1 * X[:, 1], "units": UNITS}])
def test_tasks_have_the_data_of_the_fit(metadata):
    recorder, y = Recorder(), fits.target_of("poisson")[:N_ROWS]
    moe = regressor(family="poisson", n_init=1, max_iter=2, gate="constant")
    fit_with(recorder, moe, X, y, **metadata)
    assert len(recorder.data) > 3
    for features, target, found in recorder.data:
        assert features is X
        assert target is y
        assert list(found or {}) == list(metadata)
        for name, values in metadata.items():
            assert_array_equal(found[name], values)


def test_a_callback_can_stop_the_runs():
    moe = fit_with(Recorder(stop_after=4), regressor(n_experts=2, n_init=1, tol=0.0), X, Y)
    [trace] = moe.start_traces_
    assert 0 < len(trace) <= N_ITER_FIRST_ROUND
    assert moe.n_iter_ == len(trace) + 4  # of the start, and of the run after it


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_scores_are_monitored_in_every_iteration(n_jobs):
    monitor = callbacks.ScoringMonitor(scoring="neg_log_loss")
    moe = classifier(n_experts=2, max_iter=30, n_jobs=n_jobs)
    with joblib.parallel_config(backend="threading"):
        fit_with(monitor, moe, X, CLASSES)
    rows = monitor.get_logs().data
    iterations = [row for row in rows if row["task_name"] == "iteration"]
    assert len(iterations) >= moe.n_init + moe.n_iter_ - N_ITER_FIRST_ROUND > moe.n_init
    assert all(-np.log(2) < row["neg_log_loss"] < 0 for row in iterations)
    assert {row["task_name"] for row in rows} >= {"fit", "start", "iteration"}


def test_progress_is_shown(capsys):
    fit_with(callbacks.ProgressBar(), regressor(n_experts=2, n_init=2, max_iter=3), X, Y)
    assert "start #1" in capsys.readouterr().out


def test_callbacks_are_torn_down_after_an_error():
    recorder = Recorder()
    assert "NaN" in refusal(regressor().set_callbacks(recorder).fit, X * np.nan, Y)
    assert recorder.n_set_up == recorder.n_torn_down
