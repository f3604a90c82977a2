"""Callbacks see the search of penalties on the sample, and can stop the fit there."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from regimes import quiet, two_regimes

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.monitor import FitMonitor
from skmoe._mixture import runs
from skmoe.blocks import RowBlocks

try:
    from sklearn.callback import ProgressBar
except ImportError:
    ProgressBar = None

SAMPLE = 150
ON_SAMPLE = "iteration on the sample"
X, Y = two_regimes(n_rows=1500)


@pytest.fixture(autouse=True)
def small_samples(monkeypatch):
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", SAMPLE)
    monkeypatch.setattr("skmoe._estimators.init_rows.MIN_INIT_ROWS", SAMPLE)


@pytest.fixture
def tasks(monkeypatch):
    """Names of the tasks of iterations of the final run, and a function that stops them."""
    seen, end = Tasks(), FitMonitor._end_task

    def recorded(self, name, result):
        stops = end(self, name, result)
        if not self.label.startswith("EM"):
            return stops
        seen.names.append(name)
        seen.results.append(result)
        return seen.names.count(name) >= seen.stop_after.get(name, np.inf)

    monkeypatch.setattr(FitMonitor, "_end_task", recorded)
    return seen


class Tasks:
    def __init__(self):
        self.names, self.results, self.stop_after = [], [], {}


def regressor(**options):
    return MixtureOfExpertsRegressor(2, random_state=0, **options)


@pytest.mark.parametrize("n_iter", [1, 4, 11])
@pytest.mark.parametrize("task", ["regressor", "classifier", "blocks"])
def test_nothing_is_run_after_a_stop_on_the_sample(tasks, monkeypatch, task, n_iter):
    monkeypatch.setattr(runs, "with_reinitialized_experts", None)
    tasks.stop_after[ON_SAMPLE] = n_iter
    moe, data = regressor(), (X, Y)
    if task == "classifier":
        moe, data = MixtureOfExpertsClassifier(2, random_state=0), (X, Y > 0.5)
    elif task == "blocks":
        data = (RowBlocks.from_arrays(X, Y),)
    moe.fit(*data)
    assert tasks.names == [ON_SAMPLE] * n_iter
    assert moe.n_iter_ == len(moe.lower_bounds_) == 1  # the initial lower bound of all rows
    assert not moe.converged_
    assert np.isfinite([moe.lower_bound_, *moe.gate_coef_.ravel(), *moe.expert_coef_.ravel()]).all()
    assert np.isfinite(moe.predict_gate(X)).all()
    last = tasks.results[-1]
    found, expected = (params.experts.coef for params in (moe._fitted.params, last.params))
    assert_array_equal(np.sort(found, axis=0), np.sort(expected, axis=0))  # of any order
    assert moe._fitted.model.experts.alpha == last.model.experts.alpha


def test_the_lower_bound_after_a_stop_is_that_of_all_rows(tasks):
    tasks.stop_after[ON_SAMPLE] = 5
    moe = regressor().fit(X, Y)
    stopped, alpha, gate_alpha = moe.lower_bound_, moe.alpha_, moe.gate_alpha_
    tasks.stop_after.clear()
    moe.set_params(alpha=alpha, gate_alpha=gate_alpha, warm_start=True, max_iter=1)
    quiet(moe, X, Y)
    assert stopped < moe.lower_bound_ < stopped + 0.5


def test_a_warm_start_goes_on_after_a_stop_on_the_sample(tasks):
    tasks.stop_after[ON_SAMPLE] = 3
    moe = regressor(warm_start=True, tol=1e-6).fit(X, Y)
    tasks.stop_after.clear()
    moe.fit(X, Y)
    whole = regressor(tol=1e-6).fit(X, Y)
    assert moe.converged_
    assert moe.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)


def test_experts_are_not_reinitialised_after_a_stop_on_all_rows(tasks, monkeypatch):
    monkeypatch.setattr(runs, "with_reinitialized_experts", None)
    tasks.stop_after["iteration"] = 2
    moe = regressor().fit(X, Y)
    assert tasks.names[-2:] == ["iteration"] * 2
    assert moe.n_iter_ == 2


def test_iterations_on_the_sample_have_a_label_and_do_not_count(tasks, capsys):
    moe = regressor(verbose=2).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    on_sample = [line for line in lines if line.startswith("  EM, search on the sample:")]
    of_run = [line for line in lines if line.startswith("  EM:")]
    assert len(on_sample) == tasks.names.count(ON_SAMPLE) > 0
    assert len(of_run) == tasks.names.count("iteration") == moe.n_iter_
    assert [int(line.split()[1]) for line in of_run] == [*range(1, moe.n_iter_ + 1)]
    assert f"{moe.n_iter_} iterations" in lines[-1]


def test_no_checkpoint_is_written_on_the_sample(monkeypatch):
    written, on_sample = [], FitMonitor.on_sample

    def recorded(self, n_iter, result):
        self.on_resumable_iteration = lambda *given: written.append(given)
        try:
            return on_sample(self, n_iter, result)
        finally:
            self.on_resumable_iteration = None

    monkeypatch.setattr(FitMonitor, "on_sample", recorded)
    regressor().fit(X, Y)
    assert not written


class Stopper:
    """Stops at the end of a task of a name."""

    def __init__(self, name, stop_after):
        self.name, self.stop_after, self.ended = name, stop_after, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        assert np.isfinite(fitted_estimator.score(X, y))
        self.ended.append((context.parent.task_name if context.parent else "", context.task_name))
        return self.ended.count(("EM", self.name)) >= self.stop_after


@pytest.mark.skipif(ProgressBar is None, reason="needs scikit-learn 1.9")
def test_a_callback_stops_the_search_on_the_sample():
    stopper = Stopper(ON_SAMPLE, 3)
    moe = regressor().set_callbacks(stopper).fit(X, Y)
    assert stopper.ended.count(("EM", ON_SAMPLE)) == 3
    assert ("EM", "iteration") not in stopper.ended
    assert np.isfinite(moe.score(X, Y))
