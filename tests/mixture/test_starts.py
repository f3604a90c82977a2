"""Responsibilities from which EM starts, by tables of features X, targets (m, n), weights."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.metrics import adjusted_rand_score

from skmoe import MixtureOfExpertsRegressor
from skmoe._mixture.em import Run
from skmoe._mixture.partitions import (
    INITIALIZERS,
    initial_responsibilities,
    make_init_data,
    start_jobs,
)
from skmoe._mixture.search import distinct_best
from support.fits import ends_of_starts, fit_quietly
from support.mixtures import case, rows_of
from support.tables import crossing_lines, two_regimes

NAMES = sorted(INITIALIZERS)
# Partitions that depend on the rows by their features, targets and weights only.
PARTITIONS = ("kmeans", "linear_tree", "random", "tree")


def table(n_features=2, n_outputs=1, seed=0, n_rows=120):
    """A regression that changes along each of the features, and weights that matter."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    side = np.where(X[:, -1] > 0.3, 2.0, -1.0) * np.where(X[:, 0] > -0.5, 1.0, 0.3)
    Y = side * X[:, 0] + 0.2 * rng.normal(size=(n_outputs, n_rows))
    Y[1:] += np.abs(X[:, -1])
    return X, Y, rng.uniform(0.2, 3.0, size=n_rows)


def design_of(X):
    """Features and a last column of ones."""
    return np.column_stack([X, np.ones(len(X))])


def dataset(X, Y, weight):
    """Rows as EM sees them."""
    return rows_of(Y, design=design_of(X), weight=weight)


def responsibilities(name, X, Y, weight, n_experts, seed=0):
    return initial_responsibilities(name, X, Y, weight, n_experts, np.random.default_rng(seed))


def partition(name, X, Y, weight, n_experts, seed=0):
    """The expert of each row."""
    resp = responsibilities(name, X, Y, weight, n_experts, seed)
    assert set(resp.ravel()) <= {0.0, 1.0}
    assert_array_equal(resp.sum(axis=0), 1.0)
    return resp.argmax(axis=0)


def points_of(X, Y):
    """Features, and targets that together vary as much."""
    return np.column_stack([X, Y.T * np.sqrt(max(X.shape[1], 1) / len(Y))])


# --- all kinds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_experts", [1, 2, 9])
@pytest.mark.parametrize("name", NAMES)
def test_every_expert_has_rows_and_a_seed_repeats_itself(name, n_experts):
    for n_features, n_outputs in ((1, 1), (3, 2), (30, 1)):
        given = table(n_features, n_outputs, n_rows=150)
        resp = responsibilities(name, *given, n_experts)
        assert resp.shape == (n_experts, 150)
        assert resp.min() >= 0.0
        assert resp.sum(axis=0).max() <= 1.0 + 1e-12
        assert resp.sum(axis=1).min() > 0.0
        assert_array_equal(responsibilities(name, *given, n_experts), resp)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_any_structure_are_divided(name):
    X = np.column_stack([np.arange(20.0), np.zeros(20)])
    resp = responsibilities(name, X, np.zeros((1, 20)), np.ones(20), 3)
    assert resp.sum(axis=1).min() > 0.0


@pytest.mark.parametrize(("name", "least"), [("linear_tree", 0.8), ("tree", 0.2), ("kmeans", 0.3)])
def test_two_clear_regimes_are_found(name, least):
    X, y = crossing_lines()
    labels = partition(name, X / X.std(), ((y - y.mean()) / y.std())[None], np.ones(len(y)), 2)
    assert adjusted_rand_score(X[:, 0] > 0, labels) > least


def names_of(init, n_experts, n_init, *, partitions=False, known=False):
    jobs = start_jobs(init, n_experts, range(n_init), partitions=partitions, known=known)
    return [job.init_name for job in jobs]


def test_kinds_of_starts_take_turns():
    """Those of experts that are estimators are partitions."""
    others = ["elemental", "perturbed", "few_rows", "labels", "random"]
    mixed = ["linear_tree", "kmeans", *others]
    assert sorted([*mixed, "tree"]) == NAMES
    assert names_of("auto", 8, 13) == [*mixed, "kmeans", *others]
    assert names_of("auto", 9, 3) == ["kmeans", "linear_tree", "elemental"]
    assert names_of("auto", 2, 3, known=True) == ["known", *mixed[:2]]
    of_estimators = ["linear_tree", "kmeans", "tree", "random"]
    assert sorted(of_estimators) == sorted(PARTITIONS)
    assert names_of("auto", 8, 5, partitions=True) == [*of_estimators, "linear_tree"]
    assert names_of("auto", 9, 1, partitions=True) == ["kmeans"]
    for init in NAMES:
        assert names_of(init, 9, 2) == [init, init]
    jobs = start_jobs("auto", 2, range(9), partitions=False)
    assert [job.seed for job in jobs if job.is_repeated] == [7, 8]
    assert [job.seed for job in jobs if job.is_first] == [0]


@pytest.mark.parametrize("init", NAMES)
def test_starts_are_equal_for_weights_and_for_repeated_rows_in_any_order(init):
    X, Y, _ = table(3, n_rows=60)
    weight = np.where(X[:, 0] > 0.5, 4.0, 1.0)
    rows = np.repeat(np.arange(60), weight.astype(int))
    rows = np.random.default_rng(0).permutation(rows)
    options = {"init": init, "n_init": 2, "random_state": 0, "tol": 0.0, "max_iter": 2}
    moe = MixtureOfExpertsRegressor(3, alpha=1.0, gate_alpha=1.0, **options)
    weighted = ends_of_starts(fit_quietly(moe, X, Y[0], sample_weight=weight))
    repeated = ends_of_starts(fit_quietly(moe, X[rows], Y[0][rows]))
    assert_allclose(repeated, weighted, rtol=1e-6)


@pytest.mark.parametrize("init", [*NAMES, "search"])
def test_starts_do_not_depend_on_the_signs_of_features_and_target(init):
    X, Y, _ = table(3, n_rows=30)
    options = {"init": init, "n_init": 1, "random_state": 0, "max_iter": 2}
    moe = MixtureOfExpertsRegressor(2, alpha=1.0, gate_alpha=1.0, **options)
    first = ends_of_starts(fit_quietly(moe, X, Y[0]))
    second = ends_of_starts(fit_quietly(moe, X * [-1.0, 1.0, -1.0], -Y[0]))
    assert_allclose(second, first, rtol=1e-8)


@pytest.mark.parametrize("init", NAMES)
def test_starts_of_one_kind_differ_and_the_first_does_not_depend_on_their_number(init):
    X, Y, _ = table(3)
    options = {"init": init, "random_state": 1, "tol": 0.0, "max_iter": 2, "alpha": 1.0}
    one, three = (
        fit_quietly(MixtureOfExpertsRegressor(3, n_init=n, gate_alpha=1.0, **options), X, Y[0])
        for n in (1, 3)
    )
    assert len(np.unique(ends_of_starts(three).round(9))) == 3
    assert_allclose(three.start_traces_[0], one.start_traces_[0])


def test_kinds_of_starts_are_different_ones():
    X, Y, _ = table(3)
    options = {"n_init": 1, "random_state": 1, "tol": 0.0, "max_iter": 2, "alpha": 1.0}
    moes = [MixtureOfExpertsRegressor(3, init=i, gate_alpha=1.0, **options) for i in NAMES]
    ends = [ends_of_starts(fit_quietly(moe, X, Y[0]))[0] for moe in moes]
    assert len(np.unique(np.round(ends, 9))) == len(NAMES)


# --- linear trees -------------------------------------------------------------------------------


def test_of_many_columns_those_along_which_the_regression_changes_are_split():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 40))
    Y = (np.where(X[:, 33] > 0.5, 6.0, 0.0) * X[:, 0] + rng.normal(size=600))[None]
    labels = partition("linear_tree", X, Y, rng.uniform(0.5, 2.0, size=600), 2)
    assert adjusted_rand_score(X[:, 33] > 0.5, labels) > 0.6


# --- other kinds --------------------------------------------------------------------------------


def test_kmeans_of_points_equal_but_for_round_off_does_not_warn():
    X = 1e-200 * np.arange(6.0)[:, None]
    assert partition("kmeans", X, np.zeros((1, 6)), np.ones(6), 3).max() < 3


def test_elemental_starts_have_rows_for_one_or_two_regressions_of_each_expert():
    """The same number for each expert; on few rows, as many as there are."""
    given, sizes = table(2), set()
    for seed in range(40):
        resp = responsibilities("elemental", *given, 4, seed)
        assert set(resp.ravel()) == {0.0, 1.0}
        (size,) = set(resp.sum(axis=1))
        sizes.add(int(size))
    assert sizes == {3, 4, 5, 6}
    few = responsibilities("elemental", *table(8, n_rows=10), 4)
    assert_array_equal(few.sum(axis=1), [2.0, 2.0, 2.0, 2.0])
    assert responsibilities("elemental", *table(8, n_rows=2), 4).sum() == 2.0


def test_starts_of_few_rows_have_an_expert_of_random_rows_and_divide_the_others():
    X, Y, weight = table(2)
    sizes, rests = set(), set()
    for seed in range(60):
        labels = partition("few_rows", X, Y, weight, 3, seed)
        sizes.add(int((labels == 2).sum()))
        rest = labels != 2
        # Cuts along a direction of features and target separate the others; labels do not.
        points = points_of(X, Y)[rest]
        plane = np.linalg.lstsq(np.column_stack([points, np.ones(rest.sum())]), labels[rest] - 0.5)
        side = np.column_stack([points, np.ones(rest.sum())]) @ plane[0] > 0
        rests.add(bool((side == labels[rest]).mean() > 0.8))
    assert sizes == {1, 2, 3, 4, 5, 6}
    assert rests == {True, False}
    assert set(partition("few_rows", X, Y, weight, 1)) == {0}
    assert set(partition("few_rows", X[:2], Y[:, :2], weight[:2], 3)) <= {0, 1, 2}


# --- features of the starts ---------------------------------------------------------------------


def test_features_are_those_of_gate_and_experts_unless_others_are_given():
    X, Y, weight = table(3)
    gate, experts, given = (design_of(X[:, [j]]) for j in range(3))
    rows = dataset(X, Y, weight)._replace(gate_design=gate, expert_design=experts)
    columns = {tuple(column) for column in np.abs(make_init_data(rows, Y).X.T).round(6)}
    assert columns == {tuple(np.abs(X[:, j]).round(6)) for j in (0, 1)}
    found = make_init_data(rows, Y, given).X
    assert_allclose(found, X[:, [2]] * -np.sign(stats.skew(X[:, 2])), atol=1e-8)
    both = make_init_data(dataset(X[:, :1], Y, weight), Y).X
    assert_allclose(np.abs(both), np.abs(X[:, [0]]), atol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_features_of_wide_tables_are_the_columns_correlated_with_a_target(container):
    """With weights that count as repetition."""
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(80, 70)), rng.integers(1, 6, size=80)
    Y = np.stack([X[:, 43] + 0.1 * rng.normal(size=80), rng.normal(size=80)])

    def features(rows, weights):
        given = dataset(X[rows], Y[:, rows], weights)
        design = container(given.gate_design)
        data = make_init_data(given._replace(gate_design=design, expert_design=design), Y[:, rows])
        return data.X

    found = features(np.arange(80), weight.astype(float))
    mean = np.average(Y, axis=1, weights=weight)[:, None]
    score = np.abs(((Y - mean) * weight) @ X).max(axis=0)
    expected = X[:, np.argsort(-score)[:50]]
    assert_allclose(np.sort(np.abs(found[0])), np.sort(np.abs(expected[0])), atol=1e-8)
    repeated = np.repeat(np.arange(80), weight)
    assert_allclose(features(repeated, np.ones(len(repeated))), found[repeated])
    assert {*features(np.arange(80), np.ones(80))[0]} != {*found[0]}  # the weights matter


def test_constant_columns_are_not_features():
    X, Y, weight = table(2)
    with_constant = np.hstack([np.full((len(X), 2), 3.0), X])
    few, many = (make_init_data(dataset(Z, Y, weight), Y).X for Z in (X, with_constant))
    assert_array_equal(many, few)


# --- which starts go on -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_init", "lengths"), [(3, [20, 60, 60]), (20, [20] * 14 + [60] * 4 + [180] * 2)]
)
def test_the_best_starts_go_on_three_times_as_long_until_two_are_left(n_init, lengths):
    """First a quarter of them. Steps back do not count as iterations."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 4))
    y = X[:, 0] * np.where(X[:, 1] > 0, 1.0, -1.0) + rng.normal(size=150)
    options = {"alpha": 1.0, "gate_alpha": 1.0, "tol": 0.0, "max_iter": 200, "random_state": 3}
    moe = fit_quietly(MixtureOfExpertsRegressor(5, n_init=n_init, **options), X, y)
    ends = sorted(len(trace) for trace in moe.start_traces_)
    assert_allclose(ends, lengths, rtol=0.1)
    # In each round the starts of the greatest lower bounds go on.
    for before, n_iter in pairwise([0, *sorted(set(lengths))[:-1]]):
        dropped = [trace[-1] for trace in moe.start_traces_ if before < len(trace) <= n_iter]
        kept = [trace[n_iter - 1] for trace in moe.start_traces_ if len(trace) > n_iter]
        # Those at the point of another one do not.
        others = [own for own in dropped if np.abs(np.subtract(kept, own)).min() > 1e-3 / len(y)]
        assert before or len(others) >= len(dropped) - 1
        assert min(kept) >= max(others, default=-np.inf)
    assert_array_equal(ends_of_starts(moe), [trace[-1] for trace in moe.start_traces_])
    assert moe.n_iter_ == 200


def test_very_many_starts_have_more_iterations():
    X = np.random.default_rng(3).normal(size=(150, 3))
    y = X[:, 0] * np.sign(X[:, 1]) + X[:, 2]
    options = {"alpha": 1.0, "gate_alpha": 1.0, "tol": 0.0, "max_iter": 60, "random_state": 3}
    for n_init, n_iter in [(99, 20), (100, 45)]:
        moe = fit_quietly(MixtureOfExpertsRegressor(3, n_init=n_init, **options), X, y)
        lengths = [len(trace) for trace in moe.start_traces_]
        assert 0.9 * n_iter < np.median(lengths) <= n_iter


def overlapping():
    """Four regressions that overlap, with 150 rows in all."""
    rng = np.random.default_rng(0)
    X, z, coef = rng.normal(size=(150, 2)), rng.integers(4, size=150), rng.normal(size=(4, 3))
    mean = np.exp(0.7 * (np.column_stack([X, np.ones(150)]) * coef[z]).sum(axis=1))
    return X, rng.wald(mean, 3.0)


def of_overlapping(**parameters):
    penalties = {"alpha": 1e-6, "gate_alpha": 1e-6, "dispersion_prior": 1.0}
    return MixtureOfExpertsRegressor(
        4, family="inverse_gaussian", gate="constant", **penalties, **parameters
    )


@pytest.mark.parametrize(("init", "are_moves"), [("auto", True), ("random", False)])
def test_half_of_many_mixed_starts_move_an_expert_of_the_best_one(init, are_moves):
    """So they begin higher than nearly all others: three experts are those of a good mixture."""
    X, y = overlapping()
    moe = fit_quietly(of_overlapping(init=init, n_init=36, random_state=0), X, y)
    first = [trace[0] for trace in moe.start_traces_]
    assert (np.median(first[18:]) > np.quantile(first[:18], 0.9)) == are_moves


def test_starts_that_move_an_expert_reach_a_maximum_that_others_miss():
    """Without them all six fits end a quarter of a nat below it."""
    X, y = overlapping()
    fits = [fit_quietly(of_overlapping(random_state=seed), X, y) for seed in range(6)]
    reached = np.array([moe.lower_bound_ for moe in fits]) * len(y)
    assert reached.max() < -134.5
    assert (reached > -134.6).sum() >= 3


@pytest.mark.parametrize("units", [None, np.arange(40) % 2])
def test_two_rows_or_units_are_enough_for_two_experts(units):
    rng = np.random.default_rng(0)
    X, y = np.repeat([[0.0], [1.0]], 20, axis=0), np.repeat([0.0, 1.0], 20)
    X, y = (X, y) if units is None else (rng.normal(size=(40, 1)), rng.normal(size=40))
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    fit_quietly(moe, X, y, units=units)
    assert np.isfinite(moe.predict(X)).all()


def test_of_starts_at_the_same_point_one_goes_on():
    """So that the others have tried another maximum, if there is one."""
    own = case("normal")
    mixture, problem = own.mixture, SimpleNamespace(rows=own.rows)
    floor = own.theta.copy()
    floor[mixture.experts.scale_index[0]] = mixture.lower[mixture.experts.scale_index[0]]
    unit = 1.0 / own.rows.weight.sum()  # one unit of the log-likelihood
    ends = [(own.theta, -3.0), (own.theta, -1.0), (own.theta, -1.0 - 1e-4 * unit)]
    ends += [(own.theta, -1.0 - 1e-2 * unit), (floor, 5.0), (own.theta, -np.inf)]
    runs = [Run(theta, [bound], mixture=mixture) for theta, bound in ends]
    assert distinct_best(problem, runs, 2) == [1, 3]
    # Where a dispersion is at its bound there is no maximum.
    assert distinct_best(problem, runs, 9) == [1, 3, 0, 4]
    assert distinct_best(problem, runs[5:], 1) == [0]


def test_starts_of_estimators_have_fewer_iterations_in_the_first_round():
    X, y = two_regimes(100)
    options = {"expert": "tree", "cross_fit": False, "max_iter": 20, "tol": 0.0}
    moe = MixtureOfExpertsRegressor(2, n_init=3, **options)
    ends = sorted(len(trace) for trace in fit_quietly(moe, X, y).start_traces_)
    assert ends == [4, 12, 12]


@pytest.mark.parametrize("init", ["linear_tree", "tree", "kmeans"])
def test_partitions_without_features_split_the_target(init):
    """Without features that vary, cells of the features alone would be one cell."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(0.0, 1.0, 60), rng.normal(8.0, 1.0, 60)])
    rows = np.ones((120, 1)), y[None], np.ones(120)
    cells = initial_responsibilities(init, *rows, 2, np.random.default_rng(0)).sum(axis=1)
    assert (cells > 20.0).all()
    moe = MixtureOfExpertsRegressor(2, gate="constant", expert_features=[], init=init, n_init=1)
    moe.fit(np.ones((120, 1)), y)
    assert_allclose(np.sort(moe.expert_intercept_), [y[:60].mean(), y[60:].mean()], atol=0.1)
