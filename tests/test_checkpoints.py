"""A fit that is killed goes on, and ends where it would have ended."""

import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skmoe
from skmoe import MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints

RNG = np.random.default_rng(0)
X = RNG.uniform(-3, 3, size=(600, 2))
Y = np.select([X[:, 0] < -1, X[:, 0] < 1], [X[:, 1], -2 * X[:, 1]], 2 + X[:, 0])
Y += 1.5 * RNG.normal(size=600)
MOE = MixtureOfExpertsRegressor(3, random_state=0, n_init=1, tol=0.0, max_iter=60)
# Passes after the first stretch last long enough to be killed in the middle of one.
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
        time.sleep(0.2)
    yield table["X"], table["y"]
moe = MixtureOfExpertsRegressor(3, random_state=0, n_init=1, tol=0.0, max_iter=60)
fit_with_checkpoints(moe, RowBlocks(factory), path=sys.argv[2], every=15)
"""


def fit(path, data=(X, Y), **options):
    """A fit that runs for all its iterations."""
    with pytest.warns(ConvergenceWarning, match="fit_with_checkpoints again"):
        return fit_with_checkpoints(clone(MOE).set_params(**options), *data, path=path, every=15)


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
    done = len(joblib.load(path)[2])
    assert 0 < done < 60
    resumed = fit(path, (blocks,))
    through = fit(tmp_path / "through.joblib", (blocks,))
    assert through.n_iter_ == 60
    assert_array_equal(resumed.lower_bounds_, through.lower_bounds_)
    assert_array_equal(resumed.predict(X), through.predict(X))


def test_the_fit_ends_where_one_without_checkpoints_does(tmp_path):
    """The bound never falls, from one stretch to the next either."""
    moe = clone(MOE).set_params(tol=1e-9)
    plain = clone(moe).fit(X, Y)
    fit_with_checkpoints(moe, X, Y, path=tmp_path / "fit.joblib", every=15)
    assert moe.converged_
    assert abs(moe.lower_bound_ - plain.lower_bound_) < 1e-6
    assert moe.n_iter_ == len(moe.lower_bounds_) > 15
    assert (np.diff(moe.lower_bounds_) > -1e-9).all()
    assert moe.get_params() == clone(MOE).set_params(tol=1e-9).get_params()


def test_more_iterations_go_on_from_the_file(tmp_path):
    short = fit(tmp_path / "fit.joblib", max_iter=30)
    longer = fit(tmp_path / "fit.joblib")
    assert_array_equal(longer.lower_bounds_[:30], short.lower_bounds_)
    assert_array_equal(longer.predict(X), fit(tmp_path / "other.joblib").predict(X))


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    fit(tmp_path / "fit.joblib")
    with pytest.raises(ValueError, match=r"differs in \['alpha'\]: alpha is 0.1 there, and 5.0"):
        fit_with_checkpoints(
            clone(MOE).set_params(alpha=5.0), X, Y, path=tmp_path / "fit.joblib", every=15
        )
    with pytest.raises(ValueError, match="every must be an integer of at least 15"):
        fit_with_checkpoints(MOE, X, Y, path=tmp_path / "new.joblib", every=2)
