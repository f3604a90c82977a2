"""Fits of many rows begin on the sample of the initialisation."""

import re
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.dummy import DummyRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly

# Fewest rows of which the sample of 5000 rows is small enough.
N_ROWS = 15_000
ON_SAMPLE = "iteration on the sample"


@cache
def table():
    """Two regimes by the first feature, and one feature that nothing depends on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 2))
    right = X[:, 0] + 0.3 * rng.normal(size=N_ROWS) > 0.0
    y = np.where(right, 1.0, -1.0) * (1.0 + X[:, 0]) + 0.3 * rng.normal(size=N_ROWS)
    return X, y, right


def regressor(**options):
    return MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options)


@cache
def in_memory():
    """The fit to all rows of the table."""
    X, y, _ = table()
    return regressor().fit(X, y)


def iterations(printed):
    """Numbers of the iterations on the sample, and of those of the final run."""
    return [
        [int(number) for number in re.findall(rf"^  {label}: +(\d+) ", printed, re.MULTILINE)]
        for label in ("EM, search on the sample", "EM")
    ]


def penalties(moe):
    return np.log(np.concatenate([np.ravel(moe.alpha_), np.ravel(moe.gate_alpha_)]))


@pytest.mark.parametrize("kind", ["auto", "ard"])
def test_penalties_and_fit_are_those_of_all_rows(kind, capsys):
    """Fewer rows by one are searched as a whole."""
    X, y, _ = table()
    moe = regressor(alpha=kind, gate_alpha=kind, verbose=2).fit(X, y)
    on_sample, of_run = iterations(capsys.readouterr().out)
    assert on_sample
    assert of_run == list(range(of_run[0], moe.n_iter_ + 1))
    whole = regressor(alpha=kind, gate_alpha=kind, verbose=2).fit(X[:-1], y[:-1])
    assert not iterations(capsys.readouterr().out)[0]
    # Penalties of single features are those of a grid, whose steps are a factor of 1.5.
    found, expected = penalties(moe), penalties(whole)
    assert_array_equal(np.isinf(found), np.isinf(expected))
    kept = np.isfinite(found)
    assert_allclose(found[kept], expected[kept], atol=np.log(1.6))
    assert moe.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)
    # Fewer iterations on all rows than a search as a whole takes.
    assert moe.n_iter_ <= whole.n_iter_ + 5


def test_given_penalties_begin_on_the_sample_and_estimators_do_not(capsys):
    X, y, _ = table()
    given = {"alpha": 1.0, "gate_alpha": 1.0, "dispersion_prior": 10.0}
    moe = regressor(**given, verbose=2).fit(X, y)
    assert iterations(capsys.readouterr().out)[0]
    whole = regressor(**given).fit(X[:-1], y[:-1])
    assert moe.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)
    constant = DummyRegressor()
    estimators = regressor(
        expert=constant, gate_alpha="auto", max_iter=1, verbose=2, cross_fit=False
    )
    fit_quietly(estimators, X, y)
    assert not iterations(capsys.readouterr().out)[0]


def test_row_blocks_and_units_begin_with_their_sample(capsys):
    X, y, _ = table()
    blocks = RowBlocks.from_arrays(X, y)
    moe = regressor(verbose=2).fit(blocks)
    assert iterations(capsys.readouterr().out)[0]
    assert_allclose(penalties(moe), penalties(in_memory()), atol=np.log(1.3))
    assert moe.lower_bound_ == pytest.approx(in_memory().lower_bound_, abs=1e-3)
    units = np.arange(N_ROWS) // 2
    of_units = regressor(gate="constant", max_iter=20, verbose=2)
    fit_quietly(of_units, X, y, units=units)
    assert iterations(capsys.readouterr().out)[0]


# --- stopping on the sample -------------------------------------------------------------------


class Stopper:
    """A callback that stops at the end of the n-th task of a name in the final run."""

    def __init__(self, name, stop_after):
        self.name, self.stop_after, self.ended = name, stop_after, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        parent = context.parent.task_name if context.parent else ""
        if parent == "EM":
            self.ended.append(
                (context.task_name, fitted_estimator.alpha_, fitted_estimator.expert_coef_)
            )
        names = [name for name, *_ in self.ended]
        return parent == "EM" and names.count(self.name) >= self.stop_after


@pytest.mark.parametrize(("task", "n_iter"), [("regressor", 4), ("classifier", 1), ("blocks", 2)])
def test_nothing_is_run_after_a_stop_on_the_sample(task, n_iter):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    X, y, right = table()
    moe, data = regressor(), (X, y)
    if task == "classifier":
        moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0)
        data = X, right
    elif task == "blocks":
        data = (RowBlocks.from_arrays(X, y),)
    stopper = Stopper(ON_SAMPLE, n_iter)
    moe.set_callbacks(stopper).fit(*data)
    assert [name for name, *_ in stopper.ended] == [ON_SAMPLE] * n_iter
    assert moe.n_iter_ == len(moe.lower_bounds_) == 1  # the initial lower bound of all rows
    assert not moe.converged_
    assert np.isfinite([moe.lower_bound_, *moe.gate_coef_.ravel(), *moe.expert_coef_.ravel()]).all()
    _, alpha, coef = stopper.ended[-1]
    assert moe.alpha_ == alpha
    assert_allclose(np.sort(moe.expert_coef_, axis=0), np.sort(coef, axis=0))  # of any order
    if task == "regressor":  # the lower bound is that of all rows
        mean = moe.score_samples(X, y).mean()
        assert moe.lower_bound_ == pytest.approx(mean, abs=0.01)
        # A fit goes on from there.
        moe.set_callbacks().set_params(warm_start=True).fit(X, y)
        assert moe.converged_
        assert moe.lower_bound_ == pytest.approx(in_memory().lower_bound_, abs=2e-3)


# --- the maximum of all rows, from that of the sample -----------------------------------------


@pytest.mark.parametrize("family", ["normal", "student_t", "poisson", "gamma", "classes"])
def test_fits_end_at_the_maximum_of_all_rows(family):
    """By the exact information, which the fit does not compute."""
    X, y, right = table()
    rng = np.random.default_rng(1)
    if family == "classes":
        flipped = np.where(rng.uniform(size=N_ROWS) < 0.2, ~right, right)
        moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0)
        moe.fit(X, flipped)
        assert moe.inference(X, flipped).max_shift <= 0.01
        return
    target = {"poisson": rng.poisson(np.exp(y)), "gamma": rng.gamma(4.0, np.exp(y))}.get(family, y)
    moe = regressor(family=family).fit(X, target)
    assert moe.converged_
    assert moe.inference(X, target).max_shift <= 0.01


def test_experts_for_which_the_sample_has_no_evidence_are_emptied():
    X, y, _ = table()
    moe = MixtureOfExpertsRegressor(5, random_state=0)
    fit_quietly(moe, X, y)
    two = in_memory()
    assert_allclose(moe.weights_[:2], two.weights_, atol=0.02)
    assert moe.score_samples(X, y).sum() > two.score_samples(X, y).sum() - 5.0
    assert moe.inference(X, y).max_shift <= 0.01


def test_an_expert_with_few_rows_but_much_evidence_stays():
    """Of the sample it has about twenty rows, of three coefficients."""
    X, y, _ = table()
    is_rare = np.random.default_rng(2).uniform(size=N_ROWS) < 0.004
    y = np.where(is_rare, 8.0 + 2.0 * X[:, 1] + 0.3 * (y - y.mean()), y)
    moe = MixtureOfExpertsRegressor(3, random_state=0).fit(X, y)
    assert moe.weights_[2] == pytest.approx(is_rare.mean(), rel=0.2)
    assert moe.responsibilities(X[is_rare], y[is_rare])[:, 2].mean() > 0.95
