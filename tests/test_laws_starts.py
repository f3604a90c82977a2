"""The linear tree of the initialisation is the greedy tree that a search over all splits finds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import Ridge

from skmoe._data.rows import Dataset
from skmoe._data.units import make_units
from skmoe._mixture import initialization
from skmoe._mixture.initialization import (
    INITIALIZERS,
    MAX_INIT_COLUMNS,
    MAX_SPLIT_TARGETS,
    MAX_SPLIT_VARIABLES,
    N_THRESHOLDS,
    RELATIVE_RIDGE,
    InitData,
    init_schedule,
    kmeans,
    linear_tree,
    make_init_data,
    random_partition,
    tree,
    weighted_quantiles,
)
from skmoe._mixture.multistart import StartJob
from skmoe._mixture.unit_initialization import SHRINKAGE_ROWS, unit_features


def table(n_features=2, n_outputs=1, seed=0, n_rows=120):
    """A regression that changes along each of the features, and weights that matter."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    side = np.where(X[:, -1] > 0.3, 2.0, -1.0) * np.where(X[:, 0] > -0.5, 1.0, 0.3)
    Y = side * X[:, 0] + 0.2 * rng.normal(size=(n_outputs, n_rows))
    Y[1:] += np.abs(X[:, -1])
    return X, Y, rng.uniform(0.2, 3.0, size=n_rows)


def ridge(X, Y, weight):
    """Coefficients (m, p + 1), intercept last, and squared error, by an augmented least squares."""
    design = np.column_stack([X, np.ones(len(X))])
    size = design.shape[1]
    penalty = RELATIVE_RIDGE * (weight @ np.square(design)).sum() / size + 1e-12
    rows = np.vstack([np.sqrt(weight)[:, None] * design, np.sqrt(penalty) * np.eye(size)])
    targets = np.vstack([np.sqrt(weight)[:, None] * Y.T, np.zeros((size, len(Y)))])
    coef = np.linalg.lstsq(rows, targets, rcond=None)[0].T
    return coef, (np.square(Y - coef @ design.T) @ weight).sum()


def quantile(values, weight, level):
    for value in np.unique(values):
        if weight[values <= value].sum() >= level * weight.sum() * (1 - 1e-9):
            return value
    raise AssertionError


def best_split(X, Y, weight, rows):
    """Gain and right child of the best split of a leaf, by fits of every candidate."""
    coef, error = ridge(X[rows], Y[:, rows], weight[rows])
    fitted = coef @ np.column_stack([X[rows], np.ones(len(rows))]).T
    least, best, right = X.shape[1] + 2, 0.0, None
    for variable in [*X[rows].T, *fitted]:
        for i in range(1, N_THRESHOLDS + 1):
            threshold = quantile(variable, weight[rows], i / (N_THRESHOLDS + 1))
            child = variable > threshold
            if min(child.sum(), (~child).sum()) < least:
                continue
            parts = (rows[child], rows[~child])
            gain = error - sum(ridge(X[part], Y[:, part], weight[part])[1] for part in parts)
            if gain > best + 1e-9 * error:
                best, right = gain, rows[child]
    return best, right


@pytest.mark.parametrize(("n_features", "n_outputs"), [(1, 1), (2, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_a_linear_tree_splits_where_squared_errors_fall_most(n_features, n_outputs, seed):
    X, Y, weight = table(n_features, n_outputs, seed)
    labels = np.zeros(len(X), dtype=int)
    for n_leaves in (2, 3, 4):
        splits = [
            best_split(X, Y, weight, np.flatnonzero(labels == k)) for k in range(n_leaves - 1)
        ]
        leaf = int(np.argmax([gain for gain, _ in splits]))
        labels[splits[leaf][1]] = n_leaves - 1
        found = linear_tree(X, Y, weight, n_leaves, np.random.default_rng(0))
        assert_array_equal(found, labels)


def test_leaves_are_as_large_as_their_regressions():
    """Rows that are too few for two regressions are split by chance."""
    X, Y, weight = table(n_rows=7)
    rows = np.arange(7)
    gain, right = initialization._best_split(X, Y, weight, rows >= 0)
    assert gain == 0.0
    assert len(right) == 0
    X, Y, weight = table(n_rows=8)
    gain, right = initialization._best_split(X, Y, weight, np.arange(8) >= 0)
    assert gain > 0.0
    assert len(right) == 4


def test_of_many_columns_those_that_change_the_regression_are_split():
    rng = np.random.default_rng(0)
    n_columns = MAX_SPLIT_VARIABLES + 15
    X = rng.normal(size=(600, n_columns))
    weight = rng.uniform(0.5, 2.0, size=600)
    noise = np.where(X[:, 30] > 0, 4.0, 0.5)
    targets = np.stack([noise * rng.normal(size=600), rng.normal(size=600)])
    design = np.column_stack([X, np.ones(600)])
    coef = np.zeros((2, n_columns + 1))
    variables = initialization._split_variables(design, targets, weight, coef)
    assert len(variables) == MAX_SPLIT_VARIABLES + 2
    assert any((variable == X[:, 30]).all() for variable in variables)
    residual = np.abs(targets) * weight
    score = np.max([np.abs(np.cov(r, X.T, ddof=0)[0, 1:]) for r in residual], axis=0)
    expected = np.sort(np.argsort(-score)[:MAX_SPLIT_VARIABLES])
    assert_allclose(np.stack(variables[:-2]), X[:, expected].T)


def test_of_many_targets_those_whose_fitted_values_vary_most_are_split():
    rng = np.random.default_rng(0)
    n_targets, weight = MAX_SPLIT_TARGETS + 5, rng.uniform(0.2, 3.0, size=60)
    design = np.column_stack([rng.normal(size=60), np.ones(60)])
    coef = np.column_stack([rng.permutation(n_targets) + 1.0, rng.normal(size=n_targets)])
    targets = coef @ design.T
    variables = initialization._split_variables(design, targets, weight, coef)
    kept = np.sort(np.argsort(-coef[:, 0])[:MAX_SPLIT_TARGETS])
    assert_allclose(np.stack(variables), [design[:, 0], *targets[kept]], atol=1e-8)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_features_of_units_are_means_and_coefficients_of_their_regressions(n_outputs):
    """Each unit has a ridge regression of what the regression of all rows leaves."""
    X, Y, weight = table(2, n_outputs)
    sizes = np.array([1, 2, 5, 12, 40, 60])
    units = make_units(np.repeat(np.arange(len(sizes)), sizes))
    design = np.column_stack([X, np.ones(len(X))])
    rows = Dataset(design[units.starts], design, Y, weight, units)
    means, targets, of_units = unit_features(InitData(rows, X, Y, np.arange(n_outputs)))
    squares = weight @ np.square(design)
    whole = np.linalg.solve(
        design.T @ (weight[:, None] * design) + 1e-3 * squares.sum() / 3 * np.eye(3),
        design.T @ (weight * Y).T,
    )
    residual, scaled = Y - (design @ whole).T, design / np.sqrt(squares / weight.sum())
    expected = np.empty((n_outputs, 3, len(sizes)))
    for u in range(len(sizes)):
        own = units.codes == u
        assert_allclose(means[u], np.average(X[own], axis=0, weights=weight[own]))
        assert_allclose(of_units[u], weight[own].sum())
        for output in range(n_outputs):
            ridge = Ridge(SHRINKAGE_ROWS, fit_intercept=False)
            ridge.fit(scaled[own], residual[output, own], sample_weight=weight[own])
            expected[output, :, u] = ridge.coef_
    expected = expected.reshape(-1, len(sizes))
    centred = expected - expected.mean(axis=1, keepdims=True)
    assert_allclose(targets, centred / centred.std(axis=1).max(), rtol=1e-6, atol=1e-8)


def test_features_of_starts_are_those_of_gate_and_experts_unless_others_are_given():
    X, Y, weight = table(3)
    ones = np.ones((len(X), 1))
    gate, experts, given = (np.hstack([X[:, [j]], ones]) for j in range(3))
    rows = Dataset(gate, experts, Y, weight)
    columns = {tuple(column) for column in make_init_data(rows, Y).X.T.round(6)}
    assert columns == {tuple(X[:, j].round(6)) for j in (0, 1)}
    assert_allclose(make_init_data(rows, Y, given).X, X[:, [2]], atol=1e-8)
    same = Dataset(gate, gate, Y, weight)
    assert_allclose(make_init_data(same, Y).X, X[:, [0]], atol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_features_of_starts_are_those_of_repeated_rows(container):
    """Also of wide tables, of which the columns that follow the target are kept."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, MAX_INIT_COLUMNS + 20)) + rng.exponential(size=(80, 1))
    weight = rng.integers(1, 6, size=80)
    Y = rng.normal(size=(2, 80)) + rng.exponential(size=80) * weight
    design = np.column_stack([X, np.ones(80)])
    found, unweighted = (
        make_init_data(Dataset(container(design), container(design), Y, w), Y)
        for w in (weight.astype(float), np.ones(80))
    )
    repeated, Y_of_rows = np.repeat(design, weight, axis=0), np.repeat(Y, weight, axis=1)
    rows = Dataset(container(repeated), container(repeated), Y_of_rows, np.ones(weight.sum()))
    other = make_init_data(rows, Y_of_rows)
    assert_allclose(np.repeat(found.X, weight, axis=0), other.X)
    assert_allclose(np.repeat(found.Y, weight, axis=1), other.Y)
    assert_array_equal(found.outputs, other.outputs)
    assert {*found.X[0]} != {*unweighted.X[0]}  # the weights matter


def test_kmeans_of_fewer_points_than_experts_is_their_partition():
    X = np.repeat([[0.0], [1.0]], [5, 7], axis=0)
    labels = kmeans(X, X.T, np.ones(12), 4, np.random.default_rng(0))
    assert len(set(labels[:5])) == len(set(labels[5:])) == 1
    assert labels[0] != labels[5]


def test_units_without_deviations_have_targets_of_zero():
    units = make_units(np.repeat(np.arange(4), 3))
    X = np.random.default_rng(0).normal(size=(12, 1))
    design = np.column_stack([X, np.ones(12)])
    rows = Dataset(design[units.starts], design, np.zeros((1, 12)), np.ones(12), units)
    _, targets, _ = unit_features(InitData(rows, X, np.zeros((1, 12)), np.arange(1)))
    assert not targets.any()


def test_random_cells_are_cut_between_quartiles_of_their_weight():
    X, Y, weight = table()
    for seed in range(20):
        labels = random_partition(X, Y, weight, 2, np.random.default_rng(seed))
        share = np.bincount(labels, weight) / weight.sum()
        assert share.min() > 0.2
    # The heaviest cell is cut next, so that no cell has more than three quarters of the half.
    for seed in range(20):
        two, three = (
            random_partition(X, Y, weight, k, np.random.default_rng(seed)) for k in (2, 3)
        )
        cut = np.flatnonzero(three == 2)
        assert_array_equal(np.delete(two, cut), np.delete(three, cut))
        heaviest = np.bincount(two, weight).argmax()
        assert set(two[cut]) == {heaviest}
        assert 0 < len(cut) < (two == heaviest).sum()


def test_random_cells_of_ties_are_separated_or_left():
    X = np.repeat([[0.0], [1.0]], [15, 1], axis=0)
    for seed in range(10):
        labels = random_partition(X, X.T, np.ones(16), 3, np.random.default_rng(seed))
        assert len(set(labels[:15])) == 1  # equal rows are never apart
        assert labels[15] != labels[0]
        assert labels.max() == 1


@pytest.mark.parametrize("n_experts", [2, 3, 5])
def test_a_leaf_has_a_quarter_of_an_even_share_of_the_weight(n_experts):
    """Rows far from the others are a leaf of their own if they have so much weight."""
    even = 1.0 / n_experts
    X = np.linspace(0.0, 1.0, 200)[:, None]
    is_far = np.arange(200) >= 190
    Y = np.where(is_far, 50.0, X[:, 0])[None]
    for share, is_leaf in ((0.2 * even, False), (0.3 * even, True), (0.45 * even, True)):
        weight = np.where(is_far, share / 10, (1.0 - share) / 190)
        labels = tree(X, Y, weight, n_experts, np.random.default_rng(0))
        assert set(labels) == set(range(n_experts))
        assert np.bincount(labels, weight).min() >= 0.25 * even - 1e-12
        assert ((labels == labels[-1]) == is_far).all() == is_leaf


@pytest.mark.parametrize("n_features", [0, 1, 4])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_targets_weigh_as_much_as_features_in_distances(n_features, n_targets):
    """Or as one feature, where there is none."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, n_features)), rng.normal(size=(n_targets, 90))
    Y = (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)
    found = initialization._scaled_targets(X, Y)
    assert found.shape == (90, n_targets)
    assert_allclose(found.var(axis=0).sum(), max(n_features, 1))
    assert_allclose(np.abs(np.corrcoef(found[:, 0], Y[0])[0, 1]), 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_goes_on_from_the_means_of_random_cells(seed):
    X, Y, weight = table(2, 2, seed)
    Y = (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)
    points = np.column_stack([X, initialization._scaled_targets(X, Y)])
    cells = random_partition(X, Y, weight, 4, np.random.default_rng(seed))
    centers = np.array(
        [np.average(points[cells == k], axis=0, weights=weight[cells == k]) for k in range(4)]
    )
    for _ in range(200):  # the algorithm of Lloyd
        labels = np.square(points[:, None] - centers).sum(axis=2).argmin(axis=1)
        centers = np.array(
            [np.average(points[labels == k], axis=0, weights=weight[labels == k]) for k in range(4)]
        )
    found = kmeans(X, Y, weight, 4, np.random.default_rng(seed))
    assert (found == labels).mean() > 0.98  # it does not go on until nothing changes


def test_weighted_quantiles_reach_their_level():
    rng = np.random.default_rng(0)
    values, weight = np.round(rng.normal(size=50), 1), rng.uniform(0.1, 3.0, size=50)
    for level in (0.05, 0.25, 0.5, 0.9, 1.0):
        assert weighted_quantiles(values, weight, level) == quantile(values, weight, level)


def test_the_portfolio_takes_all_in_turn():
    names = ["linear_tree", "kmeans", "tree", "random"]
    assert init_schedule("auto", 8, 5) == [*names, "linear_tree"]
    assert init_schedule("auto", 9, 4) == ["kmeans", "linear_tree", "tree", "random"]
    assert init_schedule("tree", 9, 2) == ["tree", "tree"]


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("seed", range(3))
def test_a_row_of_weight_four_is_four_rows(name, seed):
    X, Y, _ = table(2, 2, seed)
    weight = np.where(X[:, 0] + X[:, 1] > 0.5, 4.0, 1.0)
    index = np.repeat(np.arange(len(X)), weight.astype(int))
    labels, repeated = (
        INITIALIZERS[name](X[rows], Y[:, rows], w, 4, np.random.default_rng(seed))
        for rows, w in ((np.arange(len(X)), weight), (index, np.ones(len(index))))
    )
    assert_array_equal(labels[index], repeated)


def test_starts_after_the_first_assign_cells_at_random():
    rng, seed = np.random.default_rng(0), np.random.SeedSequence(0)
    assert StartJob("kmeans", True, False, seed).shuffles(rng) is None
    assert StartJob("kmeans", False, False, seed).shuffles(rng) is rng


def test_constant_columns_do_not_take_part_in_random_starts():
    X, Y, weight = table(2)
    ones, constant = np.ones((len(X), 1)), np.full((len(X), 2), 3.0)
    few, many = np.hstack([X, ones]), np.hstack([constant, X, ones])
    found, expected = (make_init_data(Dataset(d, d, Y, weight), Y).X for d in (many, few))
    assert_array_equal(found, expected)


def test_rows_of_more_weight_count_more_in_the_choice_of_targets_to_split():
    """Half of the fitted values vary in light rows only, and they have the lower rank."""
    n_kept = MAX_SPLIT_TARGETS
    x, z = np.zeros((2, 40))
    x[:20], z[20:] = np.tile([1.0, -1.0], (2, 10))
    design = np.column_stack([x, z, np.ones(40)])
    coef = np.zeros((2 * n_kept, 3))
    coef[:n_kept, 0], coef[n_kept:, 1] = 2.0 + np.arange(n_kept), 1.0
    weight = np.where(x != 0.0, 1e-4, 1.0)
    variables = initialization._split_variables(design, coef @ design.T, weight, coef)
    assert_allclose(np.stack(variables), [x, z, *[z] * n_kept], atol=1e-8)
