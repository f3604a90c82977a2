"""Several starts: which run to their ends, how they are compared, and what repeats them."""

import warnings
from functools import cache

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.fitting.problem import warn_maxima
from skmoe.families import Normal
from skmoe.inspection import Maxima
from support.fits import FIXED, ends_of_starts, fit_quietly, fixed_penalties
from support.tables import flipping_classes, two_regimes


def noisy(n_rows=120, seed=0):
    """A table with several maxima of the likelihood."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    return X, np.where(X[:, 0] > 0, X[:, 1], X[:, 2]) + rng.normal(size=n_rows)


@cache
def raced():
    """Six starts, of which some are dropped."""
    return fit_quietly(MixtureOfExpertsRegressor(3, n_init=6, random_state=0, **FIXED), *noisy())


def best_traces(moe):
    """Traces of the starts that end at the greatest lower bound, of which any may go on."""
    bounds = ends_of_starts(moe)
    return [
        trace
        for trace, bound in zip(moe.start_traces_, bounds, strict=True)
        if bound > bounds.max() - 1e-9
    ]


def test_the_best_start_goes_on_to_its_end():
    moe = raced()
    traces, bounds = best_traces(moe), moe.lower_bounds_
    assert any(np.array_equal(bounds[: len(trace)], trace) for trace in traces)
    assert moe.lower_bound_ >= ends_of_starts(moe).max()
    assert moe.converged_


# --- report of the maximum --------------------------------------------------------------------


def values_and_counts(log_likelihoods, tolerance=0.05):
    """Distinct values, best first, and how often each occurs."""
    found, counts = [], []
    for value in sorted(log_likelihoods, reverse=True):
        if found and found[-1] - value < tolerance:
            counts[-1] += 1
        else:
            found.append(value)
            counts.append(1)
    return found, counts


def test_values_of_starts_are_counted():
    X, y = noisy()
    moe = MixtureOfExpertsRegressor(3, n_init=2, init="random", random_state=0, **FIXED)
    fit_quietly(moe, X, y)
    values, counts = values_and_counts(len(y) * ends_of_starts(moe))
    assert len(values) > 1
    maxima = moe.maxima_
    assert_allclose(maxima.penalised_log_likelihoods, values)
    assert (list(maxima.n_times), maxima.n_runs, maxima.runs) == (counts, 2, "different starts")
    best = moe.responsibilities(X, y).mean(axis=0).min()
    assert_allclose(maxima.smallest_shares[0], best, atol=0.01)
    assert f"reached by {counts[0]} of 2 different starts" in str(maxima)
    assert f"is {values[0] - values[1]:.2f} lower" in str(maxima)
    assert 'init="search"' in str(maxima)  # the count is no proof
    summary = moe.summary()
    assert summary.facts["best value reached by"] == f"{counts[0]} of 2 starts"
    assert str(maxima) in summary.notes


def test_dropped_starts_do_not_count():
    """They have reached no maximum; those that ran longest come closest."""
    moe = raced()
    length = np.array([len(trace) for trace in moe.start_traces_])
    ended = moe.start_converged_ | (length == length.max())
    assert moe.maxima_.n_runs == ended.sum() < 6
    assert_allclose(
        moe.maxima_.penalised_log_likelihoods[0], 120 * ends_of_starts(moe)[ended].max()
    )
    assert "that converged or ran longest, of 6 in all" in str(moe.maxima_)


def test_a_single_start_is_compared_with_none():
    X, y = noisy()
    alone = fit_quietly(MixtureOfExpertsRegressor(2, n_init=1, **FIXED), X, y)
    assert alone.maxima_.n_times == (1,)
    assert "best value reached by" not in alone.summary(X, y).facts
    given = MixtureOfExpertsRegressor(2, init=alone.responsibilities(X, y), **FIXED)
    maxima = fit_quietly(given, X, y).maxima_
    assert (maxima.n_times, str(maxima)) == ((), "No starts were compared.")


def searched(n_init, n_rows=30, seed=1):
    return MixtureOfExpertsRegressor(
        2, init="search", n_init=n_init, gate="constant", random_state=seed, max_iter=30, **FIXED
    ), noisy(n_rows, seed=3)


def test_one_search_counts_its_runs_and_several_count_themselves():
    moe, data = searched(1)
    maxima = fit_quietly(moe, *data).maxima_
    assert maxima.runs == "runs of one search"
    assert "reached by" not in str(maxima)  # its runs are not independent
    assert maxima.reached == f"one search, best of {maxima.n_runs} runs"
    assert maxima.n_runs > 2
    assert_allclose(maxima.penalised_log_likelihoods[0], 30 * moe.lower_bound_)
    moe, data = searched(2)
    maxima = fit_quietly(moe, *data).maxima_
    values, counts = values_and_counts(30 * ends_of_starts(moe))
    assert (maxima.runs, list(maxima.n_times)) == ("searches", counts)
    assert_allclose(maxima.penalised_log_likelihoods, values)


@pytest.mark.parametrize(
    ("n_times", "runs", "warns"),
    [
        ((1, 2), "searches", True),
        ((1, 1), "searches", True),
        ((2, 1), "searches", False),
        ((1,), "searches", False),
        ((1, 4), "starts", False),
    ],
)
def test_a_value_that_one_of_several_searches_reached_is_a_warning(n_times, runs, warns):
    maxima = Maxima((-3.0, -5.0)[: len(n_times)], n_times, (0.2, 0.1)[: len(n_times)], runs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_maxima(maxima)
    assert [str(w.message).count("reached by 1 of") for w in caught] == [1] * warns


def test_starts_from_the_same_partition_count_once():
    """Two clusters can be divided in one way, from which each start begins."""
    cluster = np.arange(40) % 2
    X = cluster[:, None] + np.random.default_rng(0).normal(scale=0.05, size=(40, 1))
    y = 5.0 * cluster + np.random.default_rng(1).normal(scale=0.1, size=40)
    moe = MixtureOfExpertsRegressor(2, init="kmeans", n_init=6, random_state=0, **FIXED)
    maxima = fit_quietly(moe, X, y).maxima_
    assert len(ends_of_starts(moe)) == 6
    assert maxima.n_times == (1,)


def test_the_smallest_share_is_that_of_the_fit():
    """Its penalties are found after the comparison of starts, and move the experts."""
    X, y = noisy()
    moe = MixtureOfExpertsRegressor(3, n_init=2, init="random", random_state=0)
    fit_quietly(moe, X, y)
    assert len(moe.maxima_.n_times) > 1
    share = moe.responsibilities(X, y).mean(axis=0).min()
    assert_allclose(moe.maxima_.smallest_shares[0], share)
    assert f"(of the fit: {100 * share:.1f} %)" in str(moe.maxima_)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_jobs_do_not_matter(make):
    X, y = two_regimes(80) if make is MixtureOfExpertsRegressor else flipping_classes(80)
    moe = make(2, random_state=0, n_init=3, max_iter=30, **fixed_penalties(make))
    with parallel_config(backend="threading"):
        alone, together = (fit_quietly(clone(moe).set_params(n_jobs=n), X, y) for n in (1, 2))
    assert_array_equal(ends_of_starts(alone), ends_of_starts(together))
    assert_array_equal(alone.predict_gate(X), together.predict_gate(X))


class InProcess(Normal):
    """A family that no other process can be sent."""

    def __reduce_ex__(self, protocol):
        raise TypeError("no other process can be sent this family")


def test_the_jobs_of_starts_side_by_side_are_threads():
    """Few starts go on after the first round, and processes would take longer to begin."""
    X, y = two_regimes(80)
    moe = MixtureOfExpertsRegressor(2, family=InProcess(), n_jobs=2, random_state=0, **FIXED)
    assert fit_quietly(moe, X, y).converged_


def test_seeds_repeat_and_generators_move_on():
    X, y = noisy()
    moe = MixtureOfExpertsRegressor(3, init="random", random_state=7, n_init=2, **FIXED)
    fits = [ends_of_starts(fit_quietly(clone(moe), X, y)) for _ in range(2)]
    assert_array_equal(*fits)
    moe.set_params(random_state=np.random.RandomState(0))
    first = ends_of_starts(fit_quietly(moe, X, y))
    assert not np.array_equal(first, ends_of_starts(fit_quietly(moe, X, y)))
