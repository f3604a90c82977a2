"""A search of penalties begins at those of the fit before it; later fits keep its result."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.expert_kinds import options_of
from support.fits import FIXED, fit_quietly
from support.tables import regimes_of, two_regimes

ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}

# Kinds of experts whose slopes have other systems of equations, or whose scale is estimated.
SEARCHED = [
    ("linear", "regressor"),
    ("linear", "classifier"),
    ("student_t", "regressor"),
    ("negative_binomial", "regressor"),
    ("ordinal", "regressor"),
]

# Iterations of the starts, for two starts.
N_START = 15


def make(name="linear", task="regressor", **options):
    """An estimator whose search takes all its rounds to settle."""
    kinds = {"alpha": "auto", "gate_alpha": "auto", "n_init": 2, "tol": 1e-9, "random_state": 0}
    return ESTIMATORS[task](2, **kinds | options_of(name) | options)


# --- warm starts ------------------------------------------------------------------------------


def kinds_of_search():
    for name, task in SEARCHED:
        yield name, task, "auto"
    yield "linear", "regressor", "ard"
    yield "linear", "classifier", "ard"
    yield "poisson", "regressor", "ard"


@pytest.mark.parametrize(("name", "task", "kind"), kinds_of_search())
def test_a_search_goes_on_from_the_penalties_of_the_fit_before(name, task, kind):
    """The first fit ends within a round of the search."""
    X, y = regimes_of(name, task, 120)
    moe = make(name, task, alpha=kind, gate_alpha=kind, max_iter=500, tol=1e-6)
    whole = fit_quietly(clone(moe), X, y)
    first = fit_quietly(clone(moe).set_params(max_iter=N_START + 4, warm_start=True), X, y)
    assert not first.converged_
    second = fit_quietly(first.set_params(max_iter=500), X, y)
    assert second.converged_
    assert second.n_iter_ < whole.n_iter_
    for name in ("alpha_", "gate_alpha_"):
        values, expected = (np.asarray(getattr(fit, name)) for fit in (second, whole))
        kept = np.isfinite(values) & np.isfinite(expected)
        # The search ends where the evidence is flat; those of single features are of a grid.
        assert_allclose(values[kept], expected[kept], rtol=0.6 if kind == "ard" else 0.3)
    assert_allclose(second.lower_bound_, whole.lower_bound_, atol=0.02)


def test_penalties_are_compared_with_default_ones_after_a_warm_start():
    X, y = make_blobs(60, 8, centers=3, cluster_std=2.0, random_state=0)
    moe = MixtureOfExpertsClassifier(2, n_init=1, random_state=0, max_iter=300)
    whole = fit_quietly(clone(moe), X, y)
    assert whole.alpha_ == 1.0
    first = fit_quietly(clone(moe).set_params(max_iter=N_START + 20, warm_start=True), X, y)
    assert not first.converged_
    second = fit_quietly(first.set_params(max_iter=300), X, y)
    assert second.alpha_ == 1.0
    assert_allclose(second.lower_bound_, whole.lower_bound_, rtol=1e-6)
    assert fit_quietly(second, X, y).alpha_ == 1.0


def test_starts_that_leave_no_iteration_to_the_search_have_not_converged():
    X, y = two_regimes(100)
    moe = make(tol=1e-2)
    n_start = len(fit_quietly(clone(moe), X, y).start_traces_[0])
    moe.set_params(max_iter=n_start)
    with pytest.warns(ConvergenceWarning, match=f"EM did not converge in max_iter={n_start} it"):
        moe.fit(X, y)
    assert not moe.converged_
    moe.set_params(**FIXED, max_iter=n_start + 10)
    assert fit_quietly(moe, X, y).converged_


def test_a_fit_that_has_converged_keeps_its_penalties():
    X, y = two_regimes(150)
    moe = make(tol=1e-6, warm_start=True).fit(X, y)
    found, bound = (moe.alpha_, moe.gate_alpha_), moe.lower_bound_
    moe.set_params(tol=1e-8).fit(X, y)
    assert (moe.alpha_, moe.gate_alpha_) == found
    assert moe.lower_bound_ >= bound - 1e-12
    other_X, other_y = two_regimes(150, seed=1)
    moe.fit(other_X, 2.0 * other_y)
    assert (moe.alpha_, moe.gate_alpha_) == found
    moe.set_params(alpha=5.0).fit(X, y)
    assert (moe.alpha_, moe.gate_alpha_) == (5.0, found[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [("auto", "ard"), ("ard", "auto"), ("ard", "ard"), ("auto", 20.0), (20.0, "ard")],
)
def test_warm_starts_find_penalties_of_another_kind(before, after):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    slope = np.where(X[:, 0] + 0.3 * rng.normal(size=200) > 0, 2.0, -1.0)
    y = slope * X[:, 1] + X[:, 2] + 0.3 * rng.normal(size=200)
    options = {"n_init": 1, "random_state": 0, "warm_start": True, "dispersion_prior": 10.0}
    moe = MixtureOfExpertsRegressor(2, alpha=before, gate_alpha=before, **options).fit(X, y)
    moe = pickle.loads(pickle.dumps(moe))
    found = moe.alpha_, moe.gate_alpha_
    moe.set_params(alpha=after, gate_alpha=after).fit(X, y)
    fresh = clone(moe).set_params(warm_start=False).fit(X, y)
    for name in ("alpha_", "gate_alpha_"):
        values, expected = np.asarray(getattr(moe, name)), np.asarray(getattr(fresh, name))
        assert values.shape == expected.shape
        assert_array_equal(np.isinf(values), np.isinf(expected))
        kept = np.isfinite(values)
        # Penalties of single features are those of a grid, whose steps are a factor of 1.5.
        assert_allclose(values[kept], expected[kept], rtol=0.6)
    if before == after:
        assert_array_equal(found[0], moe.alpha_)
        assert_array_equal(found[1], moe.gate_alpha_)


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), SEARCHED[:2])
def test_streams_find_penalties_on_their_first_batch_and_keep_them(name, task):
    X, y = regimes_of(name, task, 80)
    options = {"classes": np.unique(y)} if task == "classifier" else {}
    moe = make(name, task, tol=1e-4, n_init=1)
    stream = clone(moe).partial_fit(X, y, **options)
    fit_quietly(moe, X, y)
    for name in ("alpha_", "gate_alpha_"):  # from other iterations, which can settle elsewhere
        ratio = getattr(stream, name) / getattr(moe, name)
        assert abs(np.log(ratio)) < np.log(2.0)
    found = stream.alpha_, stream.gate_alpha_
    stream.partial_fit(X[:60], y[:60])
    assert (stream.alpha_, stream.gate_alpha_) == found != (0.1, 1.0)
