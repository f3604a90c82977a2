"""Several starts: which run to their ends, how they are compared, and what repeats them."""

from functools import cache

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import fit_quietly
from support.tables import flipping_classes, two_regimes

FIXED = {"alpha": 0.1, "gate_alpha": 1.0}


def noisy(n_rows=120, seed=0):
    """A table with several maxima of the likelihood."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    return X, np.where(X[:, 0] > 0, X[:, 1], X[:, 2]) + rng.normal(size=n_rows)


@cache
def raced():
    """Six starts, of which some are dropped."""
    return fit_quietly(MixtureOfExpertsRegressor(3, n_init=6, random_state=0, **FIXED), *noisy())


@cache
def converged(n_init=4):
    moe = MixtureOfExpertsRegressor(2, n_init=n_init, combine="best_converged", random_state=0)
    return fit_quietly(moe.set_params(**FIXED), *noisy())


def best_traces(moe):
    """Traces of the starts that end at the greatest lower bound, of which any may go on."""
    bounds = moe.start_lower_bounds_
    return [
        trace
        for trace, bound in zip(moe.start_traces_, bounds, strict=True)
        if bound > bounds.max() - 1e-9
    ]


def test_dropped_starts_are_marked():
    moe = raced()
    assert moe.start_converged_.dtype == bool
    assert len(moe.start_converged_) == len(moe.start_lower_bounds_) == len(moe.start_traces_) == 6
    for is_converged, trace in zip(moe.start_converged_, moe.start_traces_, strict=True):
        assert is_converged or len(trace) in (15, 45, 105)
    assert sum(len(trace) == 15 for trace in moe.start_traces_) >= 3
    assert not moe.start_converged_.all()


def test_the_best_start_goes_on_to_its_end():
    moe = raced()
    traces, bounds = best_traces(moe), moe.lower_bounds_
    assert any(np.array_equal(bounds[: len(trace)], trace) for trace in traces)
    assert moe.lower_bound_ >= moe.start_lower_bounds_.max()
    assert moe.converged_


def test_starts_that_run_to_their_ends_are_compared_there():
    moe = converged()
    assert moe.start_converged_.all()
    assert moe.lower_bound_ == moe.start_lower_bounds_.max()
    assert any(np.array_equal(moe.lower_bounds_, trace) for trace in best_traces(moe))
    assert moe.n_iter_ == len(moe.lower_bounds_)
    # The first of them is the only start of a fit with one.
    alone = clone(moe).set_params(n_init=1, combine="best").fit(*noisy())
    assert_allclose(alone.lower_bound_, moe.start_lower_bounds_[0], rtol=1e-12)


def test_a_search_of_penalties_continues_the_best_of_the_converged_starts():
    moe = MixtureOfExpertsRegressor(2, n_init=2, combine="best_converged", random_state=0)
    moe = fit_quietly(moe, *two_regimes(120))
    assert moe.start_converged_.all()
    assert moe.n_iter_ > max(len(trace) for trace in moe.start_traces_)


@pytest.mark.parametrize("combine", ["best", "best_converged"])
def test_given_responsibilities_are_the_only_start(combine):
    X, y = two_regimes(120)
    resp = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    given = MixtureOfExpertsRegressor(2, init=resp, combine=combine, n_init=3, **FIXED).fit(X, y)
    plain = MixtureOfExpertsRegressor(2, init=resp, **FIXED).fit(X, y)
    assert given.start_converged_.shape == given.start_lower_bounds_.shape == (1,)
    assert_array_equal(given.expert_coef_, plain.expert_coef_)


def test_each_way_of_fitting_says_which_starts_have_converged():
    X, y = flipping_classes(120)
    moe = MixtureOfExpertsClassifier(2, combine="best_converged", n_init=2, random_state=0, **FIXED)
    assert moe.fit(X, y).start_converged_.tolist() == [True, True]
    X, y = two_regimes(120)
    moe = MixtureOfExpertsRegressor(2, combine="average", n_init=2, random_state=0, **FIXED)
    assert moe.fit(X, y).start_converged_.tolist() == [True, True]
    moe = MixtureOfExpertsRegressor(2, combine="best_converged", warm_start=True, random_state=0)
    assert moe.set_params(**FIXED).fit(X, y).fit(X, y).start_converged_.shape == (1,)
    stream = MixtureOfExpertsRegressor(2, random_state=0).partial_fit(X, y)
    assert_array_equal(stream.start_converged_, [False])


def test_summary_counts_starts_run_to_the_end():
    X, y = noisy()
    facts = raced().summary(X, y).facts
    assert facts["starts run to the end"] == f"{raced().start_converged_.sum()} of 6"
    assert converged().summary(X, y).facts["starts run to the end"] == "4 of 4"
    alone = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, **FIXED), X, y)
    assert "starts run to the end" not in alone.summary(X, y).facts


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
@pytest.mark.parametrize("combine", ["best", "average"])
def test_jobs_do_not_matter(make, combine):
    X, y = two_regimes(80) if make is MixtureOfExpertsRegressor else flipping_classes(80)
    moe = make(2, random_state=0, n_init=3, combine=combine, max_iter=30, **FIXED)
    with parallel_config(backend="threading"):
        alone, together = (fit_quietly(clone(moe).set_params(n_jobs=n), X, y) for n in (1, 2))
    assert_array_equal(alone.start_lower_bounds_, together.start_lower_bounds_)
    assert_array_equal(alone.predict_gate(X), together.predict_gate(X))


def test_seeds_repeat_and_generators_move_on():
    X, y = noisy()
    moe = MixtureOfExpertsRegressor(3, init="random", random_state=7, n_init=2, **FIXED)
    fits = [fit_quietly(clone(moe), X, y).start_lower_bounds_ for _ in range(2)]
    assert_array_equal(*fits)
    moe.set_params(random_state=np.random.RandomState(0))
    first = fit_quietly(moe, X, y).start_lower_bounds_
    assert not np.array_equal(first, fit_quietly(moe, X, y).start_lower_bounds_)
