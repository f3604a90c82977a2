"""A fit that is killed goes on, and ends where it would have ended."""

import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import quiet
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, checkpoints
from skmoe._data.digests import data_digest
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import Checkpoint, fit_with_checkpoints, load_checkpoint
from skmoe.gates import SoftmaxGate

RNG = np.random.default_rng(0)
X = RNG.uniform(-3, 3, size=(600, 2))
Y = np.select([X[:, 0] < -1, X[:, 0] < 1], [X[:, 1], -2 * X[:, 1]], 2 + X[:, 0])
Y += 1.5 * RNG.normal(size=600)
FIXED = {"alpha": 0.1, "gate_alpha": 1.0}  # without a search, each iteration can be resumed
MOE = MixtureOfExpertsRegressor(3, random_state=0, n_init=1, tol=0.0, max_iter=60, **FIXED)
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
options = {"n_init": 1, "tol": 0.0, "max_iter": 60, "alpha": 0.1, "gate_alpha": 1.0}
moe = MixtureOfExpertsRegressor(3, random_state=0, **options)
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


@pytest.mark.parametrize("case", ["arrays", "blocks", "classes", "generator"])
@pytest.mark.parametrize("life", [1, 2, 5])
def test_killed_at_any_checkpoint(case, life, tmp_path, monkeypatch):
    """The fit ends where one without checkpoints does, to the last bit."""
    moe, data = clone(MOE), (X, Y)
    if case == "blocks":
        data = (RowBlocks(lambda: [(X[:400], Y[:400]), (X[400:], Y[400:])]),)
    if case == "classes":
        options = {k: MOE.get_params()[k] for k in ("tol", "max_iter", "alpha", "gate_alpha")}
        moe = MixtureOfExpertsClassifier(2, **options)
        moe, data = moe.set_params(random_state=0), (X, np.digitize(Y, [-1, 1]))
    if case == "generator":
        moe.set_params(random_state=np.random.RandomState(0))
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
    assert not hasattr(moe, "expert_coef_")
    with pytest.warns(ConvergenceWarning):
        fit_with_checkpoints(moe, *data, **options)
    whole = quiet(clone(moe), *data)
    assert_array_equal(moe.lower_bounds_, whole.lower_bounds_)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_array_equal(getattr(moe, method)(X), getattr(whole, method)(X))


def test_a_file_that_is_half_written_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "fit.joblib"
    before = fit(path, max_iter=30)

    def dying(number):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dying)
        with pytest.raises(KilledError):
            fit_with_checkpoints(clone(MOE), X, Y, path=path)
    assert list(tmp_path.iterdir()) == [path]
    assert_same_fit(load_checkpoint(path), before)


def test_a_converged_fit_is_read_and_not_fitted_again(tmp_path, monkeypatch):
    moe, options = clone(MOE).set_params(tol=1e-9), {"path": tmp_path / "fit.joblib"}
    fit_with_checkpoints(moe, X, Y, **options)
    assert moe.converged_
    assert moe.get_params() == clone(MOE).set_params(tol=1e-9).get_params()
    assert_same_fit(moe, clone(moe).fit(X, Y))
    monkeypatch.setattr(MixtureOfExpertsRegressor, "_fit", None, raising=False)
    assert_same_fit(fit_with_checkpoints(clone(moe), X, Y, **options), moe)


def test_row_blocks_of_a_fit_that_has_ended_are_not_read(tmp_path):
    moe, options = clone(MOE).set_params(tol=1e-9), {"path": tmp_path / "fit.joblib"}
    fit_with_checkpoints(moe, RowBlocks(lambda: [(X, Y)]), **options)
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


@pytest.mark.skipif(not hasattr(MOE, "set_callbacks"), reason="needs scikit-learn 1.9")
@pytest.mark.parametrize("gate_alpha", [1.0, "auto"])
def test_a_callback_keeps_estimators_at_the_end_only(tmp_path, monkeypatch, gate_alpha):
    """A file of every iteration would contain fitted estimators."""
    write, written = checkpoints._write, []

    def recorded(path, origin, attributes):
        written.append(attributes["n_iter_"])
        write(path, origin, attributes)

    monkeypatch.setattr(checkpoints, "_write", recorded)
    moe = clone(MOE).set_params(expert="tree", gate_alpha=gate_alpha, n_init=1, max_iter=8)
    moe = quiet(moe.set_callbacks(Checkpoint(tmp_path / "fit", every=1)), X[:100], Y[:100])
    assert written == [moe.n_iter_]
    assert moe.n_iter_ > 1


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    path = tmp_path / "fit.joblib"
    fit(path)
    with pytest.raises(ValueError, match=r"differs in \['alpha'\]: alpha is 0.1 there, and 5.0"):
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


# --- other fits -------------------------------------------------------------------------------


def test_values_that_the_text_of_a_parameter_abridges_are_compared(tmp_path):
    """Arrays of more than 1000 numbers."""
    rng, path = np.random.default_rng(0), tmp_path / "fit"
    init = rng.dirichlet(np.ones(3), size=len(X))
    other = init.copy()
    other[10:-10] = rng.dirichlet(np.ones(3), size=len(X) - 20)
    assert repr(init) == repr(other)
    fit(path, init=init, max_iter=8)
    assert fit(path, init=np.asfortranarray(init), max_iter=9).n_iter_ == 9
    with pytest.raises(ValueError, match=r"differs in \['init'\]: init has other values there"):
        fit_with_checkpoints(clone(MOE).set_params(init=other), X, Y, path=path)


def test_parameters_of_nested_estimators_are_compared(tmp_path):
    moe = MixtureOfExpertsRegressor(2, expert=[Ridge(1.0), Ridge()], max_iter=2, random_state=0)
    quiet_fit(moe, X, Y, path=tmp_path / "fit", every=15)
    fitted = clone(moe).set_params(expert=[Ridge(1.0).fit(X, Y), Ridge()])
    quiet_fit(fitted, X, Y, path=tmp_path / "fit", every=15)
    other = clone(moe).set_params(expert=[Ridge(1.0), Ridge(2.0)])
    with pytest.raises(ValueError, match=r"differs in \['expert'\]"):
        quiet_fit(other, X, Y, path=tmp_path / "fit", every=15)


def quiet_fit(moe, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_with_checkpoints(moe, *data, **options)


FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(c=np.where(X[:, 0] > 0, "x", "y"))
SPARSE = sparse.csr_array(np.where(X > 0, X, 0.0))
WEIGHT = np.linspace(1, 2, len(X))
# Data, the same data in another form, other data, and what differs.
DATA = {
    "X": ((X, Y), (np.asfortranarray(X), Y), (X + 1e-9, Y), "X"),
    "y": ((X, Y), (X, pd.Series(Y)), (X, Y[::-1]), "y"),
    "weights": ((X, Y, WEIGHT), (X, Y, WEIGHT.tolist()), (X, Y, 1 / WEIGHT), "sample_weight"),
    "no weights": ((X, Y), (X, Y, None), (X, Y, WEIGHT), "sample_weight"),
    "fewer rows": ((X, Y), (X.tolist(), Y.tolist()), (X[1:], Y[1:]), "X', 'y"),
    "names": (
        (FRAME[["a", "b"]], Y),
        (FRAME.copy()[["a", "b"]], Y),
        (FRAME[["a", "b"]].rename(columns={"a": "z"}), Y),
        "X",
    ),
    "sparse": ((SPARSE, Y), (sparse.csc_matrix(SPARSE), Y), (abs(SPARSE) * 2, Y), "X"),
    "blocks": ((X, Y), (X, Y), (RowBlocks(lambda: [(X, Y)]),), "X', 'y"),
}


@pytest.mark.parametrize("case", DATA)
def test_other_data_are_refused(case, tmp_path):
    data, same, other, names = DATA[case]
    path = tmp_path / "fit"
    fit(path, data, max_iter=5)
    assert fit(path, same, max_iter=6).n_iter_ == 6
    with pytest.raises(ValueError, match=rf"fit of the same data; .* differs in \['{names}'\]"):
        fit_with_checkpoints(clone(MOE), *other, path=path)


def test_equal_objects_have_equal_digests():
    first, second = (np.array(["".join(pair) for pair in ("ab", "cd")], object) for _ in range(2))
    assert first[0] is not second[0]
    assert data_digest(first) == data_digest(second)
    assert data_digest(first) != data_digest(second[::-1])


def test_digests_of_numbers_are_made_of_their_bytes():
    """Without objects in their place, which would need many times the memory."""
    numbers = np.arange(200_000.0)
    data_digest(numbers[:10])
    tracemalloc.start()
    data_digest(numbers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * numbers.nbytes


def test_categories_are_compared(tmp_path):
    moe = MixtureOfExpertsRegressor(1, expert="tree", max_iter=2, random_state=0)
    frame, y = FRAME[:40], Y[:40]
    quiet_fit(moe, frame, y, path=tmp_path / "fit")
    quiet_fit(clone(moe), frame.copy(), y, path=tmp_path / "fit")
    other = frame.assign(c=frame["c"].to_numpy()[::-1])
    with pytest.raises(ValueError, match=r"differs in \['X'\]"):
        quiet_fit(clone(moe), other, y, path=tmp_path / "fit")


@pytest.mark.parametrize("change", ["X", "spread", "y", "rows"])
def test_other_row_blocks_are_refused(change, tmp_path):
    path = tmp_path / "fit"
    fit(path, (RowBlocks(lambda: [(X, Y)]),), max_iter=5)
    halves = RowBlocks(lambda: [(X[:300], Y[:300]), (X[300:], Y[300:])])
    assert fit(path, (halves,), max_iter=6).n_iter_ == 6
    other = {
        "X": (X + 1, Y),
        "spread": (2 * X - X.mean(axis=0), Y),
        "y": (X, Y + 1),
        "rows": (X[1:], Y[1:]),
    }[change]
    with pytest.raises(ValueError, match=r"same rows; the row blocks have other means"):
        fit_with_checkpoints(clone(MOE), RowBlocks(lambda: [other]), path=path)


@pytest.mark.skipif(not hasattr(MOE, "set_callbacks"), reason="needs scikit-learn 1.9")
def test_a_callback_keeps_what_the_fit_is_of(tmp_path):
    path = tmp_path / "fit"
    quiet(clone(MOE).set_params(max_iter=8).set_callbacks(Checkpoint(path)), X, Y)
    assert fit(path, max_iter=9).n_iter_ == 9
    with pytest.raises(ValueError, match=r"differs in \['y'\]"):
        fit_with_checkpoints(clone(MOE), X, -Y, path=path)


# --- files ------------------------------------------------------------------------------------


def test_damaged_files_are_refused(tmp_path):
    path, rng = tmp_path / "fit", np.random.default_rng(0)
    fit(path, max_iter=5)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 1, 64, len(whole) // 2, len(whole) - 1)]
    damaged += [
        whole + b"x",
        bytes(100),
        pickle.dumps(1),
        whole.replace(b"point 2", b"point 3"),
    ]
    for position in [*rng.integers(len(whole), size=50), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        for read in (load_checkpoint, partial(fit_with_checkpoints, clone(MOE), X, Y)):
            with pytest.raises(ValueError, match=f"{path} is damaged.*delete the file"):
                read(path=path)
    path.write_bytes(whole)
    assert load_checkpoint(path).n_iter_ == 5


def test_files_of_other_classes_are_refused(tmp_path, monkeypatch):
    class Missing(MixtureOfExpertsRegressor):
        pass

    monkeypatch.setitem(globals(), "Missing", Missing)
    Missing.__qualname__ = "Missing"
    path = tmp_path / "fit"
    quiet_fit(Missing(2, random_state=0, max_iter=5), X, Y, path=path)
    assert type(load_checkpoint(path)) is Missing
    monkeypatch.delitem(globals(), "Missing")
    with pytest.raises(ValueError, match=f"{path} was written by other versions, or with classes"):
        load_checkpoint(path)


def test_a_file_can_be_written_by_several_processes(tmp_path, monkeypatch):
    """Another process writes the whole file while one is writing."""
    path, sync, others = tmp_path / "fit", os.fsync, []

    def interrupted(number):
        sync(number)
        if not others:
            others.append(1)
            quiet_fit(clone(MOE), X, Y, path=path)

    monkeypatch.setattr(os, "fsync", interrupted)
    moe = quiet_fit(clone(MOE), X, Y, path=path)
    assert list(tmp_path.iterdir()) == [path]
    assert_same_fit(load_checkpoint(path), moe)


def test_paths_are_checked_before_the_fit(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(MixtureOfExpertsRegressor, "_fit", None, raising=False)
    for path, message in (
        ("", "path must name a file; got ''"),
        (tmp_path, "path must name a file"),
        (3, "path must name a file; got 3"),
        (tmp_path / "no" / "fit", "path must be in a folder that exists.*Make the folder first"),
        (tmp_path / "file" / "fit", "path must be in a folder that exists"),
        (tmp_path / ("x" * 300), "path must be the name of a file that can be written.*another"),
        ("x\0", "path must be the name of a file that can be written"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_with_checkpoints(clone(MOE), X, Y, path=path)
        with pytest.raises(ValueError, match=message):
            Checkpoint(path).setup(MOE, None)
    assert os.listdir(tmp_path) == ["file"]


def test_parameters_that_cannot_be_written_are_refused_before_the_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(MixtureOfExpertsRegressor, "_fit", None, raising=False)
    moe = MixtureOfExpertsRegressor(
        2, gate=SoftmaxGate(transformer=FunctionTransformer(lambda X: X))
    )
    with pytest.raises(ValueError, match="needs parameters that can be pickled"):
        fit_with_checkpoints(moe, X, Y, path=tmp_path / "fit")
