"""A search of penalties goes on where the fit before it has ended, on all paths."""

import json
import pickle
import re

import numpy as np
import pytest
from kinds import KINDS, draw, options_of
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._mixture.evidence import ITERATIONS_BETWEEN_UPDATES
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints, load_checkpoint

ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}
PARAMETRIC = [(name, task) for name, task in KINDS if name not in ("tree", "intercept")]

# Iterations of the starts, for two starts or one.
N_START = 15


def table(name, task, n_rows=200, seed=0):
    """Two regimes of a kind of experts."""
    rng = np.random.default_rng(seed)
    if task == "classifier":
        return flipping_classes(n_rows, 3, seed)
    X = rng.normal(size=(n_rows, 3))
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=n_rows) > 0, 0.8, -0.8)
    return X, draw(name if name != "linear" else "normal", 0.5 + slope * X[:, 1], rng)


def make(name, task, **options):
    """An estimator whose search takes all its rounds to settle."""
    kinds = {"alpha": "auto", "gate_alpha": "auto", "n_init": 2, "tol": 1e-9, "random_state": 0}
    return ESTIMATORS[task](2, **kinds | options_of(name) | options)


def assert_same_fit(moe, whole):
    assert_array_equal(moe.alpha_, whole.alpha_)
    assert_array_equal(moe.gate_alpha_, whole.gate_alpha_)
    assert moe.lower_bound_ == whole.lower_bound_
    assert moe.converged_ == whole.converged_


@pytest.mark.parametrize("kind", ["auto", "ard"])
@pytest.mark.parametrize(("name", "task"), PARAMETRIC)
def test_two_fits_are_one_bit_for_bit(name, task, kind):
    """The first ends with the starts, within a round of the search, at its end, or after it."""
    X, y = table(name, task)
    moe = make(name, task, alpha=kind, gate_alpha=kind, max_iter=70)
    whole = quiet(moe, X, y)
    n_round = ITERATIONS_BETWEEN_UPDATES[0]
    for n_first in (N_START, N_START + 1, N_START + n_round, N_START + n_round + 2, 45):
        if n_first >= whole.n_iter_:
            continue
        first = quiet(clone(moe).set_params(max_iter=n_first, warm_start=True), X, y)
        assert not first.converged_
        second = quiet(first.set_params(max_iter=70 - n_first), X, y)
        assert_same_fit(second, whole)
        assert second.n_iter_ == whole.n_iter_ - n_first


def sharp_classes():
    """A small table where the search for "ard" returns to penalties that it has left."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(50, 8))
    return X, X[:, 0] + 0.1 * rng.normal(size=50) > 0.0


def test_a_return_to_the_best_penalties_is_that_of_one_fit(monkeypatch):
    X, y = sharp_classes()
    options = {"alpha": "ard", "gate_alpha": "ard", "n_init": 4, "tol": 1e-4}
    moe = make("linear", "classifier", max_iter=200, **options)
    whole = quiet(clone(moe), X, y)
    assert whole._training_state.resume_state.best is None
    for n_first in (45, 70, 100, whole.n_iter_ - 2):
        first = quiet(clone(moe).set_params(max_iter=n_first, warm_start=True), X, y)
        first = pickle.loads(pickle.dumps(first))
        second = quiet(first.set_params(max_iter=200 - n_first), X, y)
        assert_same_fit(second, whole)
    monkeypatch.setattr("skmoe._mixture.evidence.MIN_LOSS", np.inf)
    assert quiet(clone(moe), X, y).lower_bound_ < whole.lower_bound_ - 0.1


def test_the_best_penalties_of_other_rows_are_not_those_of_a_fit():
    X, y = sharp_classes()
    options = {"alpha": "ard", "gate_alpha": "ard", "n_init": 4, "max_iter": 100}
    moe = quiet(make("linear", "classifier", warm_start=True, **options), X, y)
    state = moe._training_state.resume_state
    model, params, _ = state.best
    for best in (None, (model, params, 1e9)):
        of_em = state._replace(best=best)
        moe._training_state = moe._training_state._replace(resume_state=of_em)
        same, others = (pickle.loads(pickle.dumps(moe)).set_params(max_iter=200) for _ in range(2))
        quiet(same, X, y)
        quiet(others, X[::-1] + 0.1, y)
        if best is None:
            of_same, of_others = same, others
        assert (same.lower_bound_ == of_same.lower_bound_) == (best is None)
        assert_same_fit(others, of_others)


def test_fits_of_one_iteration_are_one_fit():
    X, y = table("linear", "regressor")
    moe = make("linear", "regressor", max_iter=60)
    whole = quiet(clone(moe), X, y)
    moe.set_params(max_iter=N_START, warm_start=True)
    n_iter = 0
    while n_iter < whole.n_iter_:
        n_iter += quiet(moe, X, y).n_iter_
        moe.set_params(max_iter=1)
    assert n_iter == whole.n_iter_
    assert_same_fit(moe, whole)


def test_fits_of_blocks_and_of_documents_go_on():
    X, y = table("linear", "regressor", 600)
    blocks = RowBlocks(lambda: ((X[i : i + 200], y[i : i + 200]) for i in range(0, 600, 200)))
    moe = make("linear", "regressor", max_iter=60)
    whole = quiet(clone(moe), blocks)
    first = quiet(clone(moe).set_params(max_iter=N_START + 4, warm_start=True), blocks)
    read = type(moe).from_dict(json.loads(json.dumps(first.to_dict())))
    for continued in (first, read):
        quiet(continued.set_params(max_iter=60 - N_START - 4), blocks)
        assert_same_fit(continued, whole)


@pytest.mark.parametrize("combine", ["best", "best_converged"])
def test_starts_that_leave_no_iteration_to_the_search_have_not_converged(combine):
    X, y = two_regimes(200)
    moe = make("linear", "regressor", tol=1e-2, combine=combine)
    n_start = len(quiet(clone(moe), X, y).start_traces_[0])
    moe.set_params(max_iter=n_start)
    with pytest.warns(ConvergenceWarning, match=f"EM did not converge in max_iter={n_start} it"):
        moe.fit(X, y)
    assert not moe.converged_
    assert quiet(moe.set_params(alpha=0.1, gate_alpha=1.0), X, y).converged_


def test_a_fit_that_has_converged_keeps_its_penalties():
    X, y = two_regimes(300)
    moe = make("linear", "regressor", tol=1e-6, warm_start=True).fit(X, y)
    found = moe.alpha_, moe.gate_alpha_
    other_X, other_y = two_regimes(300, seed=1)
    moe.fit(other_X, 2.0 * other_y)
    assert (moe.alpha_, moe.gate_alpha_) == found


def test_a_search_goes_on_with_other_rows():
    X, y = two_regimes(300)
    moe = make("linear", "regressor", max_iter=N_START + 1, warm_start=True, tol=1e-6)
    first = quiet(moe, X, y).gate_alpha_
    other_X, other_y = two_regimes(2000, seed=1)
    found = quiet(moe.set_params(max_iter=200), other_X, other_y)
    alone = make("linear", "regressor", max_iter=200, tol=1e-6).fit(other_X, other_y)
    assert first == 1.0
    assert_allclose(found.gate_alpha_, alone.gate_alpha_, rtol=0.3)
    assert_allclose(found.alpha_, alone.alpha_, rtol=0.3)


def test_the_gate_of_estimators_goes_on():
    X, y = two_regimes(120)
    options = {"n_init": 1, "max_iter": 5, "alpha": None, "warm_start": True}
    moe = quiet(make("tree", "regressor", **options), X, y)
    before = moe.gate_alpha_
    assert before == 1.0
    assert quiet(moe.set_params(max_iter=12), X, y).gate_alpha_ != before


# --- checkpoints and progress -----------------------------------------------------------------


def test_a_round_of_the_search_is_written(tmp_path):
    X, y = two_regimes(200)
    moe = make("linear", "regressor", max_iter=60)
    whole = quiet(clone(moe), X, y)
    short = clone(moe).set_params(max_iter=N_START + 2)
    with pytest.warns(UserWarning, match="EM did not converge in max_iter=17 iterations"):
        fit_with_checkpoints(short, X, y, path=tmp_path / "fit", every=1)
    assert load_checkpoint(tmp_path / "fit").n_iter_ == N_START + 2
    resumed = fit_with_checkpoints(clone(moe), X, y, path=tmp_path / "fit", every=1)
    assert_same_fit(resumed, whole)
    assert resumed.n_iter_ == whole.n_iter_
    assert_array_equal(resumed.lower_bounds_, whole.lower_bounds_)


def test_iterations_are_counted_from_the_first(capsys):
    X, y = two_regimes(200)
    moe = quiet(make("linear", "regressor", max_iter=60, verbose=2), X, y)
    printed = capsys.readouterr().out
    numbers = [int(number) for number in re.findall(r"^  EM: +(\d+) ", printed, re.MULTILINE)]
    assert numbers == list(range(N_START + 1, moe.n_iter_ + 1))
    assert f"{moe.n_iter_} iterations" in printed.splitlines()[-1]


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [300, 5500])
@pytest.mark.parametrize(("name", "task"), PARAMETRIC)
def test_streams_find_penalties_on_their_first_batch(name, task, n_rows):
    X, y = table(name, task, n_rows)
    options = {"classes": np.unique(y)} if task == "classifier" else {}
    moe = make(name, task, tol=1e-6)
    stream = clone(moe).partial_fit(X, y, **options)
    quiet(moe, X, y)
    assert_allclose(stream.alpha_, moe.alpha_, rtol=0.3)
    assert_allclose(stream.gate_alpha_, moe.gate_alpha_, rtol=0.3)


def test_a_stream_keeps_the_penalties_of_a_fit_that_has_not_converged():
    X, y = table("linear", "regressor", 300)
    moe = quiet(make("linear", "regressor", max_iter=N_START + 4), X, y)
    found = moe.alpha_, moe.gate_alpha_
    assert not moe.converged_
    assert found != (0.1, 1.0)
    moe.partial_fit(X, y)
    assert (moe.alpha_, moe.gate_alpha_) == found
    # A fit that a stream has begun finds its own.
    found = quiet(moe.set_params(max_iter=100, warm_start=True, tol=1e-6), X, y)
    alone = make("linear", "regressor", tol=1e-6).fit(X, y)
    assert_allclose(found.gate_alpha_, alone.gate_alpha_, rtol=0.3)
