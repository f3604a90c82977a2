"""A fit that is killed goes on, and ends where it would have ended."""

import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from regimes import quiet
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, checkpoints
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import Checkpoint, fit_with_checkpoints, load_checkpoint

RNG = np.random.default_rng(0)
X = RNG.uniform(-3, 3, size=(600, 2))
Y = np.select([X[:, 0] < -1, X[:, 0] < 1], [X[:, 1], -2 * X[:, 1]], 2 + X[:, 0])
Y += 1.5 * RNG.normal(size=600)
MOE = MixtureOfExpertsRegressor(3, random_state=0, n_init=1, tol=0.0, max_iter=60)
# Passes after the first checkpoint last long enough to be killed in the middle of one.
SCRIPT = """
import sys, time, warnings
import numpy as np
from pathlib import Path
from skmoe import MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
warnings.simplefilter("ignore")
table = np.load(sys.argv[1])
def factory():
    if Path(sys.argv[2]).exists():
        time.sleep(0.1)
    yield table["X"], table["y"]
moe = MixtureOfExpertsRegressor(3, random_state=0, n_init=1, tol=0.0, max_iter=60)
fit_with_checkpoints(moe, RowBlocks(factory), path=sys.argv[2], every=7)
"""


def fit(path, data=(X, Y), every=7, **options):
    """A fit that runs for all its iterations."""
    with pytest.warns(ConvergenceWarning, match="fit_with_checkpoints again"):
        return fit_with_checkpoints(clone(MOE).set_params(**options), *data, path=path, every=every)


def assert_same_fit(one, other):
    assert_array_equal(one.lower_bounds_, other.lower_bounds_)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_array_equal(getattr(one, method)(X), getattr(other, method)(X))
    for name in ("weights_", "load_", "noise_variance_"):
        assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_killed_process_loses_nothing(tmp_path):
    np.savez(tmp_path / "table.npz", X=X, y=Y)
    path = tmp_path / "killed.joblib"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "table.npz"), str(path)]
    root = Path(skmoe.__file__).parents[1]
    with subprocess.Popen(command, cwd=root) as process:
        while not path.exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.5)
        assert process.poll() is None, "ended before it could be killed"
        process.kill()
    blocks = RowBlocks(lambda: [(X, Y)])
    assert load_checkpoint(path).n_iter_ in range(7, 60, 7)
    resumed = fit(path, (blocks,))
    assert resumed.n_iter_ == 60
    assert_same_fit(resumed, quiet(clone(MOE), blocks))  # that no one interrupted


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("case", ["arrays", "blocks", "classes"])
@pytest.mark.parametrize("life", [1, 2, 5])
def test_killed_at_any_checkpoint(case, life, tmp_path, monkeypatch):
    """The fit ends where one without checkpoints does, to the last bit."""
    moe, data = clone(MOE), (X, Y)
    if case == "blocks":
        data = (RowBlocks(lambda: [(X[:400], Y[:400]), (X[400:], Y[400:])]),)
    if case == "classes":
        moe = MixtureOfExpertsClassifier(2, **{k: MOE.get_params()[k] for k in ("tol", "max_iter")})
        moe, data = moe.set_params(random_state=0), (X, np.digitize(Y, [-1, 1]))
    write, written = checkpoints._write, []

    def dying(*content):
        write(*content)
        written.append(1)
        if len(written) == life:
            raise KilledError

    monkeypatch.setattr(checkpoints, "_write", dying)
    options = {"path": tmp_path / "fit.joblib", "every": 4}
    with pytest.raises(KilledError):
        fit_with_checkpoints(moe, *data, **options)
    assert not hasattr(moe, "coef_")
    with pytest.warns(ConvergenceWarning):
        fit_with_checkpoints(moe, *data, **options)
    whole = quiet(clone(moe), *data)
    assert_array_equal(moe.lower_bounds_, whole.lower_bounds_)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_array_equal(getattr(moe, method)(X), getattr(whole, method)(X))


def test_a_file_that_is_half_written_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "fit.joblib"
    before = fit(path, max_iter=30)

    def dying(content, file):
        file.write(b"half")
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(joblib, "dump", dying)
        with pytest.raises(KilledError):
            fit_with_checkpoints(clone(MOE), X, Y, path=path)
    assert_same_fit(load_checkpoint(path), before)


def test_a_converged_fit_is_read_and_not_fitted_again(tmp_path):
    moe, options = clone(MOE).set_params(tol=1e-9), {"path": tmp_path / "fit.joblib"}
    fit_with_checkpoints(moe, X, Y, **options)
    assert moe.converged_
    assert moe.get_params() == clone(MOE).set_params(tol=1e-9).get_params()
    assert_same_fit(moe, clone(moe).fit(X, Y))
    unread = RowBlocks(lambda: 1 / 0)
    assert_same_fit(fit_with_checkpoints(clone(moe), unread, **options), moe)


def test_more_iterations_go_on_from_the_file(tmp_path):
    short = fit(tmp_path / "fit.joblib", max_iter=30)
    longer = fit(tmp_path / "fit.joblib")
    assert_array_equal(longer.lower_bounds_[:30], short.lower_bounds_)
    assert_same_fit(longer, quiet(clone(MOE), X, Y))


def test_estimators_are_fitted_in_segments(tmp_path):
    trees = {"expert": "tree", "n_experts": 2, "max_iter": 32}
    whole = fit(tmp_path / "whole.joblib", every=16, **trees)
    assert whole.n_iter_ == 32
    fit(tmp_path / "cut.joblib", every=16, **trees | {"max_iter": 16})
    assert_array_equal(fit(tmp_path / "cut.joblib", every=16, **trees).predict(X), whole.predict(X))


@pytest.mark.skipif(not hasattr(MOE, "set_callbacks"), reason="needs scikit-learn 1.9")
def test_a_callback_keeps_a_fit(tmp_path):
    path = tmp_path / "fit.joblib"

    class Kill(Checkpoint):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            if getattr(fitted_estimator, "n_iter_", 0) == 41:
                raise KilledError

    moe = clone(MOE).set_params(n_init=2)
    with pytest.raises(KilledError):
        clone(moe).set_callbacks(Kill(path, every=10)).fit(X, Y)
    assert load_checkpoint(path).n_iter_ == 40
    whole = quiet(clone(moe), X, Y)
    with pytest.warns(ConvergenceWarning):
        assert_same_fit(fit_with_checkpoints(clone(moe), X, Y, path=path), whole)
    kept = quiet(clone(moe).set_callbacks(Checkpoint(path)), X, Y)
    assert_same_fit(kept, whole)
    assert_same_fit(load_checkpoint(path), whole)


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    path = tmp_path / "fit.joblib"
    fit(path)
    with pytest.raises(ValueError, match=r"differs in \['alpha'\]: alpha is None there, and 5.0"):
        fit_with_checkpoints(clone(MOE).set_params(alpha=5.0), X, Y, path=path)
    for message, every, options in (
        ("every must be an integer of at least 1", 0, {}),
        ("every must be an integer of at least 15", 2, {"expert": "tree"}),
        ('needs combine="best"', 25, {"combine": "average"}),
        ("needs an integer n_experts; got 'auto'", 25, {"n_experts": "auto"}),
    ):
        moe = clone(MOE).set_params(**options)
        with pytest.raises(ValueError, match=message):
            fit_with_checkpoints(moe, X, Y, path=tmp_path / "new.joblib", every=every)
    with pytest.raises(ValueError, match="every must be an integer of at least 1"):
        Checkpoint(path, every=0)


@pytest.mark.parametrize("seed", range(3))
def test_a_fit_killed_after_its_last_iteration_is_completed(tmp_path, monkeypatch, seed):
    """What follows the iterations, re-initialised experts and their use, is not lost."""
    from skmoe import checkpoints

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 2))
    y = np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.1 * rng.normal(size=80)
    options = {"random_state": seed, "n_init": 1, "max_iter": 60, "gate_alpha": 1e-3}
    moe = MixtureOfExpertsRegressor(6, **options)
    path, write = tmp_path / "fit", checkpoints._write

    def killed(target, estimator, attributes):
        write(target, estimator, attributes)
        if attributes["converged_"] and "weights_" not in attributes:
            raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = fit_with_checkpoints(clone(moe), X, y, path=tmp_path / "whole", every=1)
        monkeypatch.setattr(checkpoints, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            fit_with_checkpoints(clone(moe), X, y, path=path, every=1)
        monkeypatch.setattr(checkpoints, "_write", write)
        resumed = fit_with_checkpoints(clone(moe), X, y, path=path, every=1)
    assert resumed.lower_bound_ == whole.lower_bound_
    assert (resumed.predict(X) == whole.predict(X)).all()
    for name in ("weights_", "load_", "start_lower_bounds_", "start_traces_"):
        assert hasattr(resumed, name)
    assert str(resumed.summary(X, y))
