"""Of many rows the search of penalties begins on the sample of the initialisation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet, two_regimes
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset
from skmoe._data.units import make_units
from skmoe._mixture import runs
from skmoe._mixture.multistart import AVERAGE_RELAXATION
from skmoe.blocks import RowBlocks

SAMPLE = 150


@pytest.fixture
def small_samples(monkeypatch):
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", SAMPLE)
    monkeypatch.setattr("skmoe._estimators.init_rows.MIN_INIT_ROWS", SAMPLE)


@pytest.fixture
def searches(monkeypatch):
    """Number of rows of each search, and its result."""
    found, search = [], runs._search_on_rows

    def recorded(problem, start, monitor):
        result = search(problem, start, monitor)
        rows = problem.rows
        found.append((len(rows.weight) if isinstance(rows, Dataset) else None, start, result))
        return result

    monkeypatch.setattr(runs, "_search_on_rows", recorded)
    return found


def table(n_rows=1500, seed=0):
    """Two regimes in the first features, and five features that nothing depends on."""
    X, y = two_regimes(n_rows=n_rows, seed=seed)
    noise = np.random.default_rng(seed).normal(size=(n_rows, 5))
    return np.hstack([X, noise]), y


def penalties(moe):
    return np.log(np.concatenate([np.ravel(moe.alpha_), np.ravel(moe.gate_alpha_)]))


@pytest.mark.parametrize("kind", ["auto", "ard"])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_penalties_and_fit_are_those_of_all_rows(small_samples, monkeypatch, searches, task, kind):
    X, y = table()
    moe = MixtureOfExpertsRegressor(2, alpha=kind, gate_alpha=kind, tol=1e-6, random_state=0)
    if task == "classifier":
        y = y > np.median(y)
        moe = MixtureOfExpertsClassifier(2, alpha=kind, gate_alpha=kind, tol=1e-6, random_state=0)
    moe.fit(X, y)
    assert [n_rows for n_rows, *_ in searches] == [SAMPLE, len(X)]
    monkeypatch.setattr(runs, "_has_small_sample", lambda problem: False)
    whole = clone(moe).fit(X, y)
    # Penalties of single features are those of a grid, whose steps are a factor of 1.5.
    assert_allclose(penalties(moe), penalties(whole), atol=np.log(1.6))
    assert moe.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)
    *_, (_, _, last) = searches[:2]
    assert moe.n_iter_ == last.n_earlier_iter + len(last.lower_bounds)


def test_the_search_goes_on_where_that_of_the_sample_has_ended(small_samples, searches):
    X, y = table()
    MixtureOfExpertsRegressor(2, alpha="ard", random_state=0).fit(X, y)
    (_, start, of_sample), (_, continued, _) = searches
    assert start.model is None
    assert continued.model is of_sample.model
    assert continued.params is of_sample.params
    assert not continued.lower_bounds


def test_penalties_of_an_average_are_relaxed_on_all_rows_only(small_samples, searches):
    X, y = table()
    options = {"alpha": "auto", "gate_alpha": "auto", "n_init": 2, "random_state": 0}
    averaged = MixtureOfExpertsRegressor(2, combine="average", **options).fit(X, y)
    assert averaged.n_experts_ == 4
    (*_, of_sample), (*_, relaxed) = searches[:2]
    searches.clear()
    MixtureOfExpertsRegressor(2, **options).fit(X, y)
    (*_, best_of_sample), (*_, best) = searches
    for found, expected, factor in (
        (of_sample, best_of_sample, 1.0),
        (relaxed, best, AVERAGE_RELAXATION),
    ):
        alphas = [[run.model.gate.alpha, run.model.experts.alpha] for run in (found, expected)]
        assert_allclose(np.divide(*alphas), factor, rtol=0.3)


def test_a_sample_of_many_of_the_rows_saves_nothing(small_samples, searches):
    least = round(SAMPLE / runs.MAX_SAMPLE_SHARE)
    X, y = table(least - 1)
    MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert [n_rows for n_rows, *_ in searches] == [len(X)]
    searches.clear()
    X, y = table(least)
    MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    assert [n_rows for n_rows, *_ in searches] == [SAMPLE, len(X)]


@pytest.mark.parametrize("search", [{}, {"alpha": 1.0, "gate_alpha": 1.0}])
def test_given_penalties_are_not_searched_on_a_sample(small_samples, searches, search):
    X, y = table()
    MixtureOfExpertsRegressor(2, random_state=0, **search).fit(X, y)
    assert len(searches) == (0 if search else 2)


def test_estimators_are_not_fitted_to_the_sample_for_the_penalty_of_their_gate(
    small_samples, searches
):
    X, y = table()
    moe = MixtureOfExpertsRegressor(2, expert="tree", gate_alpha="auto", max_iter=8, random_state=0)
    quiet(moe, X, y)
    assert [n_rows for n_rows, *_ in searches] == [len(X)]


def test_blocks_begin_with_their_sample(small_samples, monkeypatch, searches):
    X, y = table()
    blocks = RowBlocks(lambda: ((X[i : i + 500], y[i : i + 500]) for i in range(0, len(X), 500)))
    moe = MixtureOfExpertsRegressor(2, tol=1e-6, random_state=0).fit(blocks)
    assert [n_rows for n_rows, *_ in searches] == [SAMPLE, None]
    monkeypatch.setattr(runs, "_has_small_sample", lambda problem: False)
    whole = clone(moe).fit(blocks)
    assert_allclose(penalties(moe), penalties(whole), atol=np.log(1.3))
    assert moe.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)


def test_whole_units_are_in_the_sample(small_samples, searches):
    X, y = table()
    units = np.arange(len(y)) // 3
    moe = MixtureOfExpertsRegressor(2, gate_aggregate="mean", random_state=0)
    moe.fit(X, y, units=units)
    n_sampled, n_rows = (n_rows for n_rows, *_ in searches)
    assert n_sampled % 3 == 0
    assert n_sampled <= SAMPLE
    assert n_rows == len(y)


@pytest.mark.parametrize("in_units", [False, True])
@pytest.mark.parametrize(
    ("factor", "expected"), [(1.0, 12.0), (50.0, 12.0), (0.5, 6.0)], ids=["own", "others", "less"]
)
def test_rows_of_a_sample_weigh_at_most_what_they_are(in_units, factor, expected):
    design = np.ones((12, 1))
    units = make_units(np.repeat(np.arange(4), 3)) if in_units else None
    gate = design[:4] if in_units else design
    rows = runs._with_own_weight(
        Dataset(gate, design, np.ones((1, 12)), np.full(12, factor), units)
    )
    assert_allclose(rows.weight.sum(), expected)
    assert_allclose(rows.unit_weight.sum(), expected)
    assert_array_equal(rows.weight, rows.weight[0])


def test_unequal_weights_are_worth_fewer_rows():
    design, weight = np.ones((3, 1)), np.array([8.0, 1.0, 1.0])
    rows = runs._with_own_weight(Dataset(design, design, np.ones((1, 3)), weight))
    assert_allclose(rows.weight, weight * 10.0 / 66.0)
