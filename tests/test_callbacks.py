"""scikit-learn's callbacks, through starts and iterations; their absence before 1.9."""

import numpy as np
import pytest
from regimes import flipping_classes, two_regimes
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.callbacks import CallbackSupportMixin

X, Y = two_regimes(n_rows=200)

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:
    ProgressBar = ScoringMonitor = None
needs_callbacks = pytest.mark.skipif(ProgressBar is None, reason="needs scikit-learn 1.9")


def test_fits_do_without_callbacks():
    context = CallbackSupportMixin._init_callback_context
    assert callable(context)
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    assert hasattr(moe, "set_callbacks") == (ProgressBar is not None)


class Recorder:
    """Counts tasks, and stops a run after some iterations."""

    def __init__(self, stop_after=10**6):
        self.begun, self.ended, self.stop_after = [], [], stop_after
        self.set_up = self.torn_down = 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.ended.append((context.task_name, fitted_estimator.score(X, y)))
        return context.task_name == "iteration" and context.task_id + 1 >= self.stop_after


@needs_callbacks
def test_every_task_begins_and_ends_with_a_fitted_estimator():
    recorder = Recorder()
    moe = MixtureOfExpertsRegressor(2, n_init=3, random_state=0).set_callbacks(recorder).fit(X, Y)
    assert recorder.set_up == recorder.torn_down == 1
    assert recorder.begun.count("fit") == 1
    assert recorder.begun.count("start") == 3
    assert recorder.begun.count("iteration") > 10
    assert sorted(recorder.begun) == sorted(name for name, _ in recorder.ended)
    assert recorder.ended[-1] == ("fit", moe.score(X, Y))
    assert all(np.isfinite(score) for _, score in recorder.ended)


@needs_callbacks
def test_the_fits_of_whole_models_are_tasks():
    recorder = Recorder()
    models = [MixtureOfExpertsRegressor(1), Ridge(), DecisionTreeRegressor(max_depth=2)]
    moe = MixtureOfExpertsRegressor(expert=models, specialize=False, random_state=0)
    moe.set_callbacks(recorder).fit(X, Y)
    ended = [(name, score) for name, score in recorder.ended if name == "model"]
    assert recorder.begun.count("model") == len(ended) == 3
    assert ended[0] == ("model", moe.experts_[0][0].score(X, Y))
    assert recorder.ended[-1] == ("fit", moe.score(X, Y))


@needs_callbacks
def test_a_callback_can_stop_the_runs():
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).set_callbacks(Recorder(4))
    moe.fit(X, Y)
    assert moe.n_iter_ <= 8  # four iterations of the start, four of the long run


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_scores_are_monitored_in_every_iteration(n_jobs):
    features, y = flipping_classes(n_rows=200)
    monitor = ScoringMonitor(scoring="neg_log_loss")
    moe = MixtureOfExpertsClassifier(2, n_init=2, n_jobs=n_jobs, random_state=0)
    moe.set_callbacks(monitor).fit(features, y)
    data = monitor.get_logs().data
    iterations = [row for row in data if row["task_name"] == "iteration"]
    assert len(iterations) >= moe.n_iter_
    assert all(-np.log(2) < row["neg_log_loss"] < 0 for row in iterations)
    assert {row["task_name"] for row in data} >= {"fit", "start", "iteration"}


@needs_callbacks
def test_progress_is_shown(capsys):
    moe = MixtureOfExpertsRegressor(2, n_init=2, random_state=0).set_callbacks(ProgressBar())
    moe.fit(X, Y)
    shown = capsys.readouterr().out
    assert "MixtureOfExpertsRegressor - fit" in shown
    assert "start #1" in shown


@needs_callbacks
def test_callbacks_are_torn_down_after_an_error():
    recorder = Recorder()
    moe = MixtureOfExpertsRegressor(2, random_state=0).set_callbacks(recorder)
    with pytest.raises(ValueError, match="NaN"):
        moe.fit(X * np.nan, Y)
    assert recorder.set_up == recorder.torn_down
