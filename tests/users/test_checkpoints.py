"""A fit that is killed goes on from its file, and ends where it would have ended."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import Checkpoint, fit_with_checkpoints, load_checkpoint
from skmoe.gates import SoftmaxGate
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines

X, Y = crossing_lines(n_rows=80)
X = np.column_stack([X, X[:, 0] ** 2])
FIXED = {"alpha": 0.1, "gate_alpha": 1.0}  # without a search, each iteration can be resumed
MOE = MixtureOfExpertsRegressor(2, random_state=0, n_init=1, tol=0.0, max_iter=28, **FIXED)
BLOCKS = RowBlocks(lambda: [(X[:50], Y[:50]), (X[50:], Y[50:])])

needs_callbacks = pytest.mark.skipif(
    not hasattr(MOE, "set_callbacks"), reason="needs scikit-learn 1.9"
)


def by_name(data):
    """The arguments of a fit, of which some may be absent."""
    return dict(zip(("X", "y", "sample_weight"), data, strict=False))


def fit(path, *data, every=4, moe=MOE, **options):
    """A fit with checkpoints, without the warning that it has not converged."""
    moe = clone(moe).set_params(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit_with_checkpoints(moe, **by_name(data or (X, Y)), path=path, every=every)


def assert_same_fit(one, other):
    """Bit for bit: both are made by the same steps."""
    assert_array_equal(one.lower_bounds_, other.lower_bounds_)
    for method in ("predict", "predict_gate", "predict_experts"):
        assert_array_equal(getattr(one, method)(X), getattr(other, method)(X))
    for name in ("weights_", "load_"):
        assert_array_equal(getattr(one, name), getattr(other, name))


class KilledError(Exception):
    """Stands for the end of the process."""


@contextlib.contextmanager
def killed_at_write(number, monkeypatch):
    """The process ends while a file is written for the given time."""
    sync, n_writes = os.fsync, []

    def dying(file):
        n_writes.append(1)
        if len(n_writes) == number:
            raise KilledError
        sync(file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dying)
        with contextlib.suppress(KilledError):
            yield
            raise AssertionError("the fit has ended before")


# --- going on -------------------------------------------------------------------------------------

RESUMED = {
    "arrays": (MOE, (X, Y), {}),
    "blocks": (MOE, (BLOCKS,), {}),
    "classes": (
        MixtureOfExpertsClassifier(2, random_state=0, n_init=1, tol=0.0, max_iter=28, **FIXED),
        (X, np.digitize(Y, [-0.5, 0.5])),
        {},
    ),
    "generator": (clone(MOE).set_params(random_state=np.random.RandomState(0)), (X, Y), {}),
    "weights": (MOE, (X, Y), {"sample_weight": np.linspace(1, 2, 80)}),
}


@pytest.mark.parametrize(("case", "number"), [*((case, 2) for case in RESUMED), ("arrays", 3)])
def test_a_fit_that_is_killed_ends_like_one_that_is_not(case, number, tmp_path, monkeypatch):
    moe, data, given = RESUMED[case]
    path, moe = tmp_path / "fit", clone(moe)
    with killed_at_write(number, monkeypatch):
        fit_with_checkpoints(moe, *data, path=path, every=4, **given)
    assert not hasattr(moe, "expert_coef_")
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path).n_iter_ in range(4 * (number - 1), 28, 4)
    with pytest.warns(ConvergenceWarning, match="fit_with_checkpoints again"):
        fit_with_checkpoints(moe, *data, path=path, every=4, **given)
    assert_same_fit(moe, fit_quietly(clone(moe), *data, **given))


def test_offsets_and_units_are_resumed(tmp_path, monkeypatch):
    y = np.round(np.exp(0.5 * Y))
    moe = clone(MOE).set_params(family="poisson", gate="constant")
    given = {"offset": 0.1 * X[:, 0], "units": np.arange(80) // 2}
    with killed_at_write(2, monkeypatch):
        fit_with_checkpoints(moe, X, y, path=tmp_path / "fit", every=4, **given)
    with pytest.warns(ConvergenceWarning):
        fit_with_checkpoints(moe, X, y, path=tmp_path / "fit", every=4, **given)
    whole = fit_quietly(clone(moe), X, y, **given)
    assert_array_equal(moe.lower_bounds_, whole.lower_bounds_)
    for name, other in (("offset", 0.2 * X[:, 0]), ("units", np.arange(80) // 4)):
        message = refusal(
            fit_with_checkpoints, moe, X, y, path=tmp_path / "fit", **given | {name: other}
        )
        assert_refused(
            message, "path must be of a fit with the same parameters and data", f"{[name]}"
        )


SCRIPT = """
import os, signal, sys, warnings
import numpy as np
from skmoe import MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
table, path = np.load(sys.argv[1]), sys.argv[2]
def factory():
    yield table["X"][:50], table["y"][:50]
    if os.path.exists(path):
        os.kill(os.getpid(), signal.SIGKILL)
    yield table["X"][50:], table["y"][50:]
options = {"n_init": 1, "tol": 0.0, "max_iter": 28, "alpha": 0.1, "gate_alpha": 1.0}
moe = MixtureOfExpertsRegressor(2, random_state=0, **options)
fit_with_checkpoints(moe, RowBlocks(factory), path=path, every=7)
"""


def test_a_killed_process_loses_nothing(tmp_path):
    """It is killed in the middle of a pass after the first checkpoint."""
    np.savez(tmp_path / "table.npz", X=X, y=Y)
    path = tmp_path / "killed.joblib"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "table.npz"), str(path)]
    done = subprocess.run(command, cwd=Path(skmoe.__file__).parents[1], check=False)
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(path).n_iter_ == 7
    assert_same_fit(fit(path, BLOCKS, every=7), fit_quietly(clone(MOE), BLOCKS))


def test_a_warm_start_resumes_a_fit_that_has_not_ended(tmp_path, monkeypatch):
    with killed_at_write(3, monkeypatch):
        fit_with_checkpoints(clone(MOE), X, Y, path=tmp_path / "fit", every=4)
    moe = load_checkpoint(tmp_path / "fit").set_params(warm_start=True)
    assert_same_fit(fit_quietly(moe, X, Y), fit_quietly(clone(MOE), X, Y))


def test_more_iterations_go_on_from_the_file(tmp_path):
    short = fit(tmp_path / "fit", max_iter=20)
    longer = fit(tmp_path / "fit")
    assert_array_equal(longer.lower_bounds_[:20], short.lower_bounds_)
    assert_same_fit(longer, fit_quietly(clone(MOE), X, Y))


def test_iterations_of_the_starts_count_in_a_fit_that_goes_on(tmp_path):
    short = fit(tmp_path / "fit", max_iter=9)
    longer = fit(tmp_path / "fit")
    assert_array_equal(longer.lower_bounds_[:9], short.lower_bounds_)
    assert longer.n_iter_ == len(longer.lower_bounds_) <= MOE.max_iter


def test_a_fit_that_has_ended_is_read_and_not_fitted_again(tmp_path, monkeypatch):
    """Nothing is written, and row blocks are not read."""
    moe = clone(MOE).set_params(tol=1e-3, max_iter=280)
    fitted = fit_with_checkpoints(clone(moe), BLOCKS, path=tmp_path / "fit")
    assert fitted.converged_
    assert fitted.get_params() == moe.get_params()
    assert_same_fit(fitted, clone(moe).fit(BLOCKS))
    monkeypatch.setattr(os, "fsync", None)
    unread = RowBlocks(lambda: 1 / 0)
    assert_same_fit(fit_with_checkpoints(clone(moe), unread, path=tmp_path / "fit"), fitted)
    assert str(fitted.summary(X, Y))


def test_a_fit_killed_before_its_last_write_is_completed(tmp_path, monkeypatch):
    """What follows the iterations, such as the use of the experts, is found again."""
    moe = clone(MOE).set_params(n_experts=4, tol=1e-2, max_iter=100, gate_alpha=1e-3)
    writes, sync = [], os.fsync
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: (writes.append(1), sync(file)))
        whole = fit(tmp_path / "whole", every=1, moe=moe)
    with killed_at_write(len(writes), monkeypatch):
        fit(tmp_path / "fit", every=1, moe=moe)
    assert not hasattr(load_checkpoint(tmp_path / "fit"), "weights_")
    resumed = fit(tmp_path / "fit", every=1, moe=moe)
    assert_same_fit(resumed, whole)
    assert hasattr(resumed, "start_lower_bounds_")


def test_estimators_as_experts_are_fitted_in_segments(tmp_path):
    trees = {"expert": "tree", "cross_fit": 2, "max_iter": 18}
    whole = fit(tmp_path / "whole", every=15, **trees)
    assert whole.n_iter_ == 18
    fit(tmp_path / "cut", every=15, **trees | {"max_iter": 15})
    resumed = fit(tmp_path / "cut", every=15, **trees)
    assert_array_equal(resumed.predict(X), whole.predict(X))
    assert_array_equal(resumed.lower_bounds_, whole.lower_bounds_)


# --- callbacks of scikit-learn --------------------------------------------------------------------


@needs_callbacks
def test_a_callback_keeps_a_fit_that_can_be_resumed(tmp_path):
    path = tmp_path / "fit"

    class Kill(Checkpoint):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            if getattr(fitted_estimator, "n_iter_", 0) == 26:
                raise KilledError

    moe = clone(MOE).set_params(n_init=2)
    with pytest.raises(KilledError):
        clone(moe).set_callbacks(Kill(path, every=5)).fit(X, Y)
    assert load_checkpoint(path).n_iter_ == 25
    whole = fit_quietly(clone(moe), X, Y)
    assert_same_fit(fit(path, moe=moe), whole)
    assert_same_fit(fit_quietly(clone(moe).set_callbacks(Checkpoint(path)), X, Y), whole)
    assert_same_fit(load_checkpoint(path), whole)
    # The file is of the data of the fit.
    message = refusal(fit_with_checkpoints, clone(moe), X, -Y, path=path)
    assert_refused(message, "path must be of a fit with the same parameters and data", "['y']")


@needs_callbacks
@pytest.mark.parametrize("gate_alpha", [1.0, "auto"])
def test_a_callback_keeps_estimators_at_the_end_only(gate_alpha, tmp_path, monkeypatch):
    """A file of every iteration would contain fitted estimators."""
    writes, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (writes.append(1), sync(file)))
    moe = clone(MOE).set_params(expert="tree", cross_fit=2, gate_alpha=gate_alpha, max_iter=2)
    moe = fit_quietly(moe.set_callbacks(Checkpoint(tmp_path / "fit", every=1)), X, Y)
    assert len(writes) == 1
    assert moe.n_iter_ > 1


# --- other fits -----------------------------------------------------------------------------------

INIT = np.random.default_rng(0).dirichlet(np.ones(2), size=80 * 8)[:80]
OTHER_PARAMETERS = {
    "alpha": ({"alpha": 0.1}, {"alpha": 5.0}, "alpha is 0.1 there, and 5.0 here"),
    "type": ({"alpha": 1.0}, {"alpha": "auto"}, "alpha"),
    "columns": ({"gate_features": [0]}, {"gate_features": [1]}, "gate_features"),
    "init": ({"init": INIT}, {"init": INIT[:, ::-1]}, "init"),
    "random state": (
        {"random_state": np.random.RandomState(0)},
        {"random_state": np.random.RandomState(1)},
        "random_state has other values there",
    ),
    "estimators": ({"expert": [Ridge(1.0), Ridge()]}, {"expert": [Ridge(2.0), Ridge()]}, "expert"),
    "pipelines": (
        {"expert": [make_pipeline(Ridge()), make_pipeline(StandardScaler(), Ridge())]},
        {"expert": [make_pipeline(Ridge(2.0)), make_pipeline(StandardScaler(), Ridge())]},
        "expert",
    ),
}


@pytest.mark.parametrize("case", OTHER_PARAMETERS)
def test_a_file_of_other_parameters_is_refused(case, tmp_path):
    first, other, text = OTHER_PARAMETERS[case]
    fit(tmp_path / "fit", every=15, max_iter=2, **first)
    moe = clone(MOE).set_params(**other)
    message = refusal(fit_with_checkpoints, moe, X, Y, path=tmp_path / "fit")
    assert_refused(
        message, "path must be of a fit with the same parameters and data", "another path", text
    )


def test_equal_parameters_in_another_form_are_the_same(tmp_path):
    path = tmp_path / "fit"
    fit(path, init=INIT, max_iter=2, verbose=0)
    assert fit(path, init=np.asfortranarray(INIT), max_iter=3, n_jobs=2).n_iter_ == 3
    first = {"expert": [Ridge(), Ridge(2.0)], "max_iter": 2}
    fit(tmp_path / "trees", every=15, **first)
    fitted = {"expert": [Ridge().fit(X, Y), Ridge(2.0)], "max_iter": 2}
    fit(tmp_path / "trees", every=15, **fitted)


def test_a_file_of_another_class_of_estimators_is_refused(tmp_path):
    fit(tmp_path / "fit", max_iter=2)
    moe = MixtureOfExpertsClassifier(2, random_state=0, n_init=1, tol=0.0, **FIXED)
    message = refusal(fit_with_checkpoints, moe, X, Y > 0, path=tmp_path / "fit")
    assert_refused(message, "path must be of a fit with the same parameters and data", "estimator")


FRAME = pd.DataFrame(X, columns=["a", "b"])
CITIES = FRAME.assign(c=np.where(X[:, 0] > 0, "x", "y"))
SPARSE = sparse.csr_array(np.where(X > 0, X, 0.0))
WEIGHT = np.linspace(1, 2, 80)
MANY = np.arange(70_000.0)
CHANGED = X.copy()
CHANGED[-1, -1] += 1e-9
# Data, the same data in another form, other data, and what differs.
DATA = {
    "X": ((X, Y), (np.asfortranarray(X), Y), (CHANGED, Y), ["X"]),
    "order": ((X, Y), (X[::-1][::-1], Y), (X[::-1], Y), ["X"]),
    "type": ((X, Y), (X.copy(), Y), (X.astype(np.float32), Y), ["X"]),
    "y": ((X, Y), (X, pd.Series(Y)), (X, Y[::-1]), ["y"]),
    "weights": ((X, Y, WEIGHT), (X, Y, WEIGHT.tolist()), (X, Y, 1 / WEIGHT), ["sample_weight"]),
    "no weights": ((X, Y), (X, Y, None), (X, Y, WEIGHT), ["sample_weight"]),
    "fewer rows": ((X, Y), (X.tolist(), Y.tolist()), (X[1:], Y[1:]), ["X", "y"]),
    "names": ((FRAME, Y), (FRAME.copy(), Y), (FRAME.rename(columns={"a": "z"}), Y), ["X"]),
    "index": ((FRAME, Y), (FRAME.set_axis(np.arange(80)[::-1]), Y), (FRAME + 1e-9, Y), ["X"]),
    "last row of many": (
        (np.c_[MANY, -MANY], MANY),
        (np.asfortranarray(np.c_[MANY, -MANY]), MANY),
        (np.c_[MANY, -MANY], np.r_[MANY[:-1], -1.0]),
        ["y"],
    ),
    "sparse": ((SPARSE, Y), (sparse.csc_matrix(SPARSE), Y), (abs(SPARSE) * 2, Y), ["X"]),
    "blocks": ((X, Y), (X, Y), (BLOCKS,), ["X", "y"]),
}


@pytest.mark.parametrize("case", DATA)
def test_a_file_of_other_data_is_refused(case, tmp_path):
    data, same, other, names = DATA[case]
    path = tmp_path / "fit"
    fit(path, *data, max_iter=2)
    assert fit(path, *same, max_iter=3).n_iter_ == 3
    message = refusal(fit_with_checkpoints, clone(MOE), **by_name(other), path=path)
    name = "path must be of a fit with the same parameters and data"
    assert_refused(message, name, f"differs in {names}", "delete the file")


def test_categories_of_other_rows_are_refused(tmp_path):
    path, trees = tmp_path / "fit", {"expert": "tree", "cross_fit": 2, "max_iter": 2}
    fit(path, CITIES, Y, every=15, **trees)
    fit(path, CITIES.copy(), Y, every=15, **trees)
    other = CITIES.assign(c=CITIES["c"].to_numpy()[::-1])
    message = refusal(
        fit_with_checkpoints, clone(MOE).set_params(**trees), other, Y, path=path, every=15
    )
    assert_refused(message, "path must be of a fit with the same parameters and data", "['X']")


@pytest.mark.parametrize("change", ["X", "spread", "y", "rows"])
def test_row_blocks_of_other_rows_are_refused(change, tmp_path):
    path = tmp_path / "fit"
    fit(path, BLOCKS, max_iter=5)
    thirds = RowBlocks(lambda: [(X[:20], Y[:20]), (X[20:60], Y[20:60]), (X[60:], Y[60:])])
    assert fit(path, thirds, max_iter=6).n_iter_ == 6
    other = {
        "X": (X + 1, Y),
        "spread": (2 * X - X.mean(axis=0), Y),
        "y": (X, Y + 1),
        "rows": (X[1:], Y[1:]),
    }[change]
    message = refusal(fit_with_checkpoints, clone(MOE), RowBlocks(lambda: [other]), path=path)
    assert_refused(message, "path must be of a fit of the same rows", "means", "delete the file")


@pytest.mark.parametrize(
    ("options", "every", "name", "words"),
    [
        ({}, 0, "every must be an integer of at least 1", ["0"]),
        ({"expert": "tree"}, 2, "every must be an integer of at least 15", ["2"]),
        ({"combine": "average"}, 25, "fit_with_checkpoints", ["combine='average'", '"best"']),
        ({"n_experts": "auto"}, 25, "fit_with_checkpoints", ["n_experts='auto'", "integer"]),
        (
            {"gate": SoftmaxGate(transformer=FunctionTransformer(lambda X: X))},
            25,
            "fit_with_checkpoints needs parameters that can be pickled",
            ["module"],
        ),
    ],
)
def test_fits_that_cannot_be_resumed_are_refused(options, every, name, words, tmp_path):
    moe = clone(MOE).set_params(**options)
    message = refusal(fit_with_checkpoints, moe, X, Y, path=tmp_path / "fit", every=every)
    assert_refused(message, name, *words)
    assert not list(tmp_path.iterdir())


def test_the_interval_of_a_callback_is_checked():
    assert_refused(refusal(Checkpoint, "fit", every=0), "every must be an integer of at least 1")
    assert repr(Checkpoint(Path("fit"), every=3)) == "Checkpoint('fit', every=3)"


# --- files ----------------------------------------------------------------------------------------


def test_a_damaged_file_is_refused(tmp_path):
    path, rng = tmp_path / "fit", np.random.default_rng(0)
    fit(path, max_iter=3)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 1, 64, len(whole) // 2, len(whole) - 1)]
    damaged += [whole + b"x", bytes(100), pickle.dumps(1)]
    for position in [*rng.integers(len(whole), size=12), *range(-90, 0, 13), -1]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        message = refusal(load_checkpoint, path)
        assert_refused(message, "path must be of a whole checkpoint", str(path), "delete the file")
    message = refusal(fit_with_checkpoints, clone(MOE), X, Y, path=path)
    assert_refused(message, "path must be of a whole checkpoint", "damaged")
    path.write_bytes(whole)
    assert load_checkpoint(path).n_iter_ == 3


def test_a_file_with_a_class_that_is_missing_is_refused(tmp_path, monkeypatch):
    class Missing(MixtureOfExpertsRegressor):
        pass

    monkeypatch.setattr(sys.modules[__name__], "Missing", Missing, raising=False)
    Missing.__qualname__ = "Missing"
    path = tmp_path / "fit"
    fit(path, moe=Missing(2, random_state=0, max_iter=3))
    assert type(load_checkpoint(path)) is Missing
    monkeypatch.delattr(sys.modules[__name__], "Missing")
    message = refusal(load_checkpoint, path)
    assert_refused(message, "path must be of a whole checkpoint", str(path), "missing here")


def test_two_processes_may_write_the_same_file(tmp_path, monkeypatch):
    """Another process writes the whole file while one is writing."""
    path, sync, others = tmp_path / "fit", os.fsync, []

    def interrupted(number):
        sync(number)
        if not others:
            others.append(1)
            fit(path, max_iter=6)

    monkeypatch.setattr(os, "fsync", interrupted)
    moe = fit(path, max_iter=6)
    assert list(tmp_path.iterdir()) == [path]
    assert_same_fit(load_checkpoint(path), moe)


BAD_PATHS = {
    "empty": ("", "''"),
    "number": (3, "3"),
    "folder": (".", "it is a folder"),
    "no folder": ("no/fit", "in a folder that exists", "'no/fit'"),
    "in a file": ("file/fit", "in a folder that exists", "'file/fit'"),
    "long": ("x" * 300, "xxx"),
    "null": ("x\0", "null"),
}


@pytest.mark.parametrize("case", BAD_PATHS)
def test_a_bad_path_is_refused_before_the_fit(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    path, *words = BAD_PATHS[case]
    name, words = "path must name a file that can be written", [*words, "Give another"]
    unread = RowBlocks(lambda: 1 / 0)
    assert_refused(refusal(fit_with_checkpoints, clone(MOE), unread, path=path), name, *words)
    assert_refused(refusal(Checkpoint(path).setup, MOE, None), name, *words)
    assert os.listdir() == ["file"]
