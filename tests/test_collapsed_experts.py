"""Experts that lose their rows are re-initialised, whichever way the fit ends."""

import warnings

import numpy as np
import pytest

from skmoe import MixtureOfExpertsRegressor
from skmoe._mixture import multistart, runs


def two_lines(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 2))
    return X, np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 0.1 * rng.normal(size=60)


@pytest.mark.parametrize("combine", ["best", "average"])
def test_fits_that_end_within_the_comparison_of_the_starts_are_offered_other_rows(
    monkeypatch, combine
):
    offered = []
    original = runs._reinitialize_collapsed

    def spy(problem, run, monitor):
        offered.append(len(runs.collapsed_experts(problem, run)))
        return original(problem, run, monitor)

    monkeypatch.setattr(runs, "_reinitialize_collapsed", spy)
    ended_early = 0
    for seed in range(12):
        X, y = two_lines(seed)
        moe = MixtureOfExpertsRegressor(6, combine=combine, n_init=2, max_iter=15, random_state=0)
        offered.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            moe.fit(X, y)
        if any("collapsed" in str(warning.message) for warning in caught):
            ended_early += 1
            assert offered, "experts have collapsed and no re-initialisation was tried"
    assert ended_early or combine == "average"


@pytest.mark.parametrize("max_iter", [1, 3, 5, 15, 40])
@pytest.mark.parametrize("combine", ["best", "average"])
def test_no_run_takes_more_than_max_iter_iterations(combine, max_iter):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 1)), rng.standard_cauchy(60)
    options = {"n_init": 2, "max_iter": max_iter, "random_state": 0, "combine": combine}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe = MixtureOfExpertsRegressor(4, **options).fit(X, y)
    assert moe.n_iter_ <= max_iter
    assert max(len(trace) for trace in moe.start_traces_) <= max_iter


def test_a_reinitialisation_is_kept_only_if_it_is_better(monkeypatch):
    X, y = two_lines(3)
    options = {"n_init": 1, "init": "random", "random_state": 3, "gate_alpha": 1e-3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = MixtureOfExpertsRegressor(6, **options).fit(X, y)
        monkeypatch.setattr(runs, "MAX_REINITIALIZATIONS", 0)
        never = MixtureOfExpertsRegressor(6, **options).fit(X, y)
    assert kept.lower_bound_ >= never.lower_bound_


def test_collapsed_experts_get_the_rows_of_the_lowest_likelihood(monkeypatch):
    captured = []
    original = runs.params_from_responsibilities

    def spy(model, rows, resp, n_steps):
        captured.append((rows, resp.copy()))
        return original(model, rows, resp, n_steps)

    X, y = two_lines(0)
    # Expert 2 has no rows, and the others explain the lines, but not four outliers.
    y[:4] += 8.0
    init = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0, np.zeros(60)]).astype(float)
    options = {"init": init, "gate": "constant", "dispersion_prior": 0.01, "random_state": 0}
    for module in (multistart, runs):
        monkeypatch.setattr(module, "params_from_responsibilities", spy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MixtureOfExpertsRegressor(3, **options).fit(X, y)
    assert len(captured) > 1, "no re-initialisation was tried"
    rows, resp = captured[1]
    given = np.argsort(-resp[2], kind="stable")[:4]
    assert set(given) == set(np.argsort(-rows.y[0], kind="stable")[:4])
