"""Every registered start cuts the table into enough cells, and sees through simple regimes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import crossing_lines, quiet, two_regimes
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset
from skmoe._mixture.initialization import (
    INITIALIZERS,
    MAX_INIT_COLUMNS,
    bayesian_bootstrap_weights,
    init_schedule,
    make_init_data,
    random_partition,
    smooth_labels,
    tree,
    weighted_quantiles,
)
from skmoe._mixture.multistart import N_ITER_FIRST_ROUND

NAMES = sorted(INITIALIZERS)


def table(n_rows=300, n_features=2, n_targets=1, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n_rows, n_features)),
        rng.normal(size=(n_targets, n_rows)),
        rng.uniform(0.5, 2.0, size=n_rows),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_experts", [1, 2, 5, 16])
@pytest.mark.parametrize(("n_features", "n_targets"), [(1, 1), (3, 2), (30, 1)])
def test_starts_fill_every_expert(name, n_experts, n_features, n_targets):
    X, Y, weight = table(n_features=n_features, n_targets=n_targets)
    labels = INITIALIZERS[name](X, Y, weight, n_experts, np.random.default_rng(0))
    assert labels.shape == (300,)
    assert_array_equal(np.unique(labels), np.arange(n_experts))


@pytest.mark.parametrize("name", NAMES)
def test_starts_accept_tables_with_nothing_to_see(name):
    X, Y, weight = np.zeros((20, 2)), np.zeros((1, 20)), np.ones(20)
    X[:, 0] = np.arange(20)
    labels = INITIALIZERS[name](X, Y, weight, 3, np.random.default_rng(0))
    assert_array_equal(np.unique(labels), np.arange(3))


@pytest.mark.parametrize("name", NAMES)
def test_starts_repeat_themselves(name):
    X, Y, weight = table()
    first, second = (
        INITIALIZERS[name](X, Y, weight, 4, np.random.default_rng(3)) for _ in range(2)
    )
    assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["linear_tree", "tree", "kmeans"])
def test_starts_find_two_clear_regimes(name):
    X, y = crossing_lines()
    rows = (X - X.mean()) / X.std(), ((y - y.mean()) / y.std())[None], np.ones(len(y))
    labels = INITIALIZERS[name](*rows, 2, np.random.default_rng(0))
    agreement = adjusted_rand_score(X[:, 0] > 0, labels)
    assert agreement > {"linear_tree": 0.8, "tree": 0.2, "kmeans": 0.3}[name]


def test_random_cuts_differ_and_other_starts_can_be_varied():
    X, Y, weight = table(n_features=1)
    rng = np.random.default_rng(0)
    cuts = [random_partition(X, Y, weight, 3, rng) for _ in range(5)]
    assert len({tuple(labels) for labels in cuts}) == 5
    trees = [tree(X, Y, bayesian_bootstrap_weights(weight, rng), 3, rng) for _ in range(5)]
    assert len({tuple(labels) for labels in trees}) > 1


def test_soft_labels_are_responsibilities():
    resp = smooth_labels(np.array([0, 2, 1]), 3)
    assert_allclose(resp.sum(axis=0), 1.0)
    assert_array_equal(resp.argmax(axis=0), [0, 2, 1])
    assert resp.min() > 0.0


def test_weighted_quantiles_count_weight_as_repeats():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=30), rng.integers(1, 5, size=30)
    levels = np.array([0.1, 0.5, 0.9])
    repeated = values.repeat(weight)
    assert_array_equal(
        weighted_quantiles(values, weight.astype(float), levels),
        weighted_quantiles(repeated, np.ones(len(repeated)), levels),
    )


def test_wide_tables_are_reduced_to_the_columns_that_matter():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 300))
    signal = X[:, 123] + 0.1 * rng.normal(size=200)
    design = np.column_stack([X, np.ones(200)])
    for make in (np.asarray, sparse.csr_array):
        rows = Dataset(make(design), make(design), signal[None], np.ones(200))
        table = make_init_data(rows, signal[None])
        assert table.X.shape == (200, MAX_INIT_COLUMNS)
        assert (np.abs(table.X - X[:, [123]]).max(axis=0) < 1e-8).any()


def test_portfolio_takes_the_kinds_in_turn():
    assert init_schedule("kmeans", 3, 2) == ["kmeans", "kmeans"]
    assert set(init_schedule("auto", 3, 4)) == set(NAMES)
    assert init_schedule("auto", 3, 1) != init_schedule("auto", 9, 1)


def test_kmeans_of_points_equal_but_for_round_off_does_not_warn():
    X = 1e-200 * np.arange(6.0)[:, None]
    labels = INITIALIZERS["kmeans"](X, np.zeros((1, 6)), np.ones(6), 3, np.random.default_rng(0))
    assert labels.shape == (6,)
    assert labels.max() < 3


@pytest.mark.parametrize(("n_init", "rounds"), [(6, [3, 1, 2]), (8, [4, 2, 2])])
def test_the_better_half_goes_on_with_twice_the_iterations_until_two_are_left(n_init, rounds):
    X, y = two_regimes(200)
    moe = MixtureOfExpertsRegressor(
        3, alpha=1.0, gate_alpha=1.0, n_init=n_init, tol=0.0, max_iter=400, random_state=0
    )
    first = N_ITER_FIRST_ROUND
    n_iter = sorted(len(trace) for trace in quiet(moe, X, y).start_traces_)
    assert n_iter == list(np.repeat([first, 3 * first, 7 * first], rounds))
