"""What must not change a fit, and what changes it in a known way."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, two_regimes
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.checks import class_weights
from skmoe._estimators import n_experts_selection
from skmoe._estimators.n_experts_selection import IncrementalFitter
from skmoe._estimators.problem import build_problem
from skmoe._estimators.training_data import GivenRows

INITS = ["auto", "linear_tree", "kmeans", "tree", "random"]
CASES = [
    pytest.param(make(init=init, n_init=n_init, random_state=1), load, id=f"{load.__name__}-{init}")
    for make, load in [
        (MixtureOfExpertsRegressor, load_diabetes),
        (MixtureOfExpertsClassifier, load_iris),
        (MixtureOfExpertsRegressor, two_regimes),
        (MixtureOfExpertsClassifier, flipping_classes),
    ]
    for init, n_init in [(init, 1 + 3 * (init in ("auto", "tree"))) for init in INITS]
]


def table(load):
    X, y = load(return_X_y=True) if load.__module__.startswith("sklearn") else load()
    return X, y, np.random.default_rng(0)


def says(moe, X):
    """All that a mixture says of rows, experts in their order."""
    mean = moe.predict_proba(X) if hasattr(moe, "predict_proba") else moe.predict(X)
    return np.column_stack([mean.reshape(len(mean), -1), moe.predict_gate(X)])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("moe", "load"), CASES)
def test_order_of_rows_does_not_matter(moe, load):
    X, y, rng = table(load)
    order = rng.permutation(len(y))
    first, second = clone(moe).fit(X, y), clone(moe).fit(X[order], y[order])
    assert_array_equal(first.lower_bounds_, second.lower_bounds_)
    assert_array_equal(says(first, X), says(second, X))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("moe", "load"), CASES)
def test_weight_is_repetition_and_zero_weight_is_absence(moe, load):
    X, y, rng = table(load)
    weight = rng.integers(0, 4, size=len(y))
    weighted = clone(moe).fit(X, y, sample_weight=weight)
    repeated = rng.permutation(np.arange(len(y)).repeat(weight))
    literally = clone(moe).fit(X[repeated], y[repeated])
    assert_array_equal(weighted.lower_bounds_, literally.lower_bounds_)
    assert_array_equal(says(weighted, X), says(literally, X))
    assert weighted.bic(X, y, weight) == pytest.approx(literally.bic(X[repeated], y[repeated]))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_balanced_classes_count_weights():
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).integers(0, 4, size=len(y))
    moe = MixtureOfExpertsClassifier(2, class_weight="balanced", random_state=0)
    weighted = clone(moe).fit(X, y, sample_weight=weight)
    repeated = np.arange(len(y)).repeat(weight)
    assert_allclose(says(weighted, X), says(clone(moe).fit(X[repeated], y[repeated]), X), atol=1e-6)


def test_balanced_classes_weigh_the_same():
    codes, weight = np.array([0, 0, 0, 1, 1, 2]), np.array([1.0, 2.0, 0.5, 4.0, 1.0, 0.1])
    balanced = class_weights("balanced", np.arange(3), codes, weight)
    assert_allclose(np.bincount(codes, balanced), weight.sum() / 3)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_units_of_features_do_not_matter(make):
    X, y = two_regimes() if make is MixtureOfExpertsRegressor else flipping_classes()
    stretch, shift = np.array([1e-6, 1.0, 1e5]), np.array([1.0, -3.0, 1e6])
    first = make(2, random_state=0).fit(X, y)
    second = make(2, random_state=0).fit(X * stretch + shift, y)
    assert_allclose(says(first, X), says(second, X * stretch + shift), atol=1e-4)
    assert second.lower_bound_ == pytest.approx(first.lower_bound_, abs=1e-6)
    assert_allclose(first.expert_coef_, second.expert_coef_ * stretch, rtol=1e-3, atol=1e-3)
    assert_allclose(first.gate_coef_, second.gate_coef_ * stretch, rtol=1e-3, atol=1e-3)


def test_units_of_the_target_do_not_matter():
    X, y = two_regimes()
    first = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    second = MixtureOfExpertsRegressor(2, random_state=0).fit(X, 1e6 * y - 3e7)
    assert_allclose(1e6 * first.predict(X) - 3e7, second.predict(X), rtol=1e-5)
    assert_allclose(1e12 * first.noise_variance_, second.noise_variance_, rtol=1e-4)
    assert second.lower_bound_ == pytest.approx(first.lower_bound_ - np.log(1e6), abs=1e-6)
    assert_allclose(
        second.score_samples(X, 1e6 * y - 3e7), first.score_samples(X, y) - np.log(1e6), atol=1e-4
    )


@pytest.mark.filterwarnings("ignore:Experts have collapsed")  # three experts for two regimes
@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_experts_are_as_their_start_names_them(make):
    X, y = two_regimes() if make is MixtureOfExpertsRegressor else flipping_classes()
    resp = np.random.default_rng(0).dirichlet(np.ones(3), size=len(y))
    resp[:, 0] += X[:, 0] > 0
    resp /= resp.sum(axis=1, keepdims=True)
    options = {"tol": 1e-2, "alpha": 0.1, "gate_alpha": 1.0}
    first = make(3, init=resp, **options).fit(X, y)
    order = [2, 0, 1]
    second = make(3, init=resp[:, order], **options).fit(X, y)
    assert_allclose(second.predict_gate(X), first.predict_gate(X)[:, order], atol=1e-6)
    assert_allclose(second.expert_coef_, first.expert_coef_[order], atol=1e-6)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_sparse_and_dense_features_give_the_same_fit(make):
    X, y = two_regimes(n_features=4) if make is MixtureOfExpertsRegressor else flipping_classes()
    X = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.6, X, 0.0)
    dense = make(2, random_state=0, init="linear_tree", n_init=1, tol=1e-9).fit(X, y)
    for container in (sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix):
        thin = clone(dense).fit(container(X), y)
        assert thin.lower_bound_ == pytest.approx(dense.lower_bound_, abs=1e-6)
        assert_allclose(says(thin, container(X)), says(dense, X), atol=1e-3)
        assert_allclose(says(thin, X), says(thin, container(X)), atol=1e-9)
        assert_allclose(says(dense, container(X)), says(dense, X), atol=1e-9)


@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_jobs_do_not_matter(make):
    X, y = two_regimes() if make is MixtureOfExpertsRegressor else flipping_classes()
    alone = make(2, random_state=0, n_init=3).fit(X, y)
    together = make(2, random_state=0, n_init=3, n_jobs=2).fit(X, y)
    assert_array_equal(alone.start_lower_bounds_, together.start_lower_bounds_)
    assert_array_equal(says(alone, X), says(together, X))


def test_large_tables_start_from_a_sample_and_fit_all_rows(monkeypatch):
    X, y = two_regimes(n_rows=1500)
    # Without the prior, whose scale is estimated on the sample, and a search that ends when the
    # penalties hardly change.
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 0.0}
    moe = MixtureOfExpertsRegressor(2, random_state=0, tol=1e-9, **fixed)
    whole = clone(moe).fit(X, y)
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 300)
    sampled = clone(moe).fit(X, y)
    assert sampled.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-7)
    assert_allclose(sampled.predict(X), whole.predict(X), atol=1e-3)
    assert_allclose(
        sampled.predict_gate(X).max(axis=1), whole.predict_gate(X).max(axis=1), atol=1e-3
    )
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = clone(sampled).fit(X[order], y[order])
    assert_allclose(shuffled.predict(X), sampled.predict(X), atol=1e-6)


def em_problem(moe, X, y):
    return build_problem(moe, moe._validate_parameters(), GivenRows(X, y)).em_problem


def test_a_sample_weighs_as_much_as_all_rows(monkeypatch):
    X, y = two_regimes(n_rows=500)
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 100)
    setup = em_problem(MixtureOfExpertsRegressor(2, random_state=0), X, y)
    assert len(setup.init_data.rows.weight) == 100
    assert setup.init_data.rows.weight.sum() == pytest.approx(500)
    assert len(setup.rows.weight) == 500


@pytest.mark.parametrize(("n_experts", "n_rows"), [(2, 40), (4, 60), (8, 100)])
def test_more_coefficients_start_from_more_rows(monkeypatch, n_experts, n_rows):
    X, y = two_regimes(n_rows=500)
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 100)
    monkeypatch.setattr("skmoe._estimators.init_rows.MIN_INIT_ROWS", 40)
    # A coefficient of gate and expert each for every column and the intercept.
    monkeypatch.setattr(
        "skmoe._estimators.init_rows.INIT_ROWS_PER_COEFFICIENT", 7.5 / (X.shape[1] + 1)
    )
    setup = em_problem(MixtureOfExpertsRegressor(n_experts), X, y)
    assert len(setup.init_data.rows.weight) == n_rows


@pytest.mark.parametrize("init", ["linear_tree", "tree"])
def test_starts_of_one_kind_differ(init):
    X, y = load_diabetes(return_X_y=True)
    moe = MixtureOfExpertsRegressor(3, init=init, n_init=3, max_iter=15, random_state=0)
    with pytest.warns(UserWarning, match="did not converge"):
        moe.fit(X, y)
    assert len(np.unique(moe.start_lower_bounds_)) == 3


def test_seeds_repeat_and_generators_move_on():
    X, y = two_regimes()
    moe = MixtureOfExpertsRegressor(2, init="random", random_state=7)
    assert_array_equal(clone(moe).fit(X, y).predict(X), clone(moe).fit(X, y).predict(X))
    moving = MixtureOfExpertsRegressor(2, init="random", random_state=np.random.RandomState(0))
    first = moving.fit(X, y).start_lower_bounds_
    assert not np.array_equal(first, moving.fit(X, y).start_lower_bounds_)


# --- selected numbers of experts ----------------------------------------------------------------


SELECTIONS = [
    pytest.param(
        make(criterion, n_init=1, max_iter=15, random_state=1),
        load,
        id=f"{load.__name__}-{criterion}",
    )
    for make, load in [
        (MixtureOfExpertsRegressor, two_regimes),
        (MixtureOfExpertsClassifier, flipping_classes),
    ]
    for criterion in ("auto", "bic", "icl")
]


def assert_same_selection(first, second, X):
    assert_array_equal(first.n_experts_tried_, second.n_experts_tried_)
    assert_allclose(first.n_experts_scores_, second.n_experts_scores_, rtol=1e-10)
    assert_array_equal(says(first, X), says(second, X))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("some", [False, True], ids=["all rows", "some rows"])
@pytest.mark.parametrize(("moe", "load"), SELECTIONS)
def test_a_selected_number_takes_a_weight_as_repetition(moe, load, some, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2, 3)))
    X, y = load(n_rows=100)
    X, y = np.vstack([X, X[:10]]), np.append(y, y[:10])
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, size=len(y)) if some else np.full(len(y), 3)
    groups = np.arange(len(y)) // 4
    repeated = rng.permutation(np.arange(len(y)).repeat(weight))
    for labels in (None, groups) if moe.n_experts == "auto" else (None,):
        weighted, literally = clone(moe), clone(moe)
        weighted.fit(X, y, weight, groups=labels)
        labels = None if labels is None else labels[repeated]
        literally.fit(X[repeated], y[repeated], groups=labels)
        assert_same_selection(weighted, literally, X)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("moe", "load"), SELECTIONS)
def test_a_selected_number_does_not_depend_on_the_order_of_rows(moe, load, monkeypatch):
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter((1, 2, 3)))
    X, y = load(n_rows=100)
    X, y = np.vstack([X, X[:40]]), np.append(y, y[:40])
    rng = np.random.default_rng(0)
    weight, groups = rng.uniform(0.1, 2.0, size=len(y)), np.arange(len(y)) // 7
    order = rng.permutation(len(y))
    for labels in (None, groups) if moe.n_experts == "auto" else (None,):
        first, second = clone(moe), clone(moe)
        first.fit(X, y, weight, groups=labels)
        labels = None if labels is None else labels[order]
        second.fit(X[order], y[order], weight[order], groups=labels)
        assert_same_selection(first, second, X)


@pytest.mark.filterwarnings("ignore")
def test_copies_of_a_row_are_held_out_together(monkeypatch):
    """A fit that has seen a row predicts its copies too well."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 8)), rng.normal(size=30)
    rows = rng.permutation(np.arange(30).repeat(10))
    held_out = []
    original = n_experts_selection._held_out

    def recorded(estimator, data, seed):
        folds = original(estimator, data, seed)
        held_out.extend(data.X[fold] for fold in folds)
        return folds

    monkeypatch.setattr(n_experts_selection, "_held_out", recorded)
    MixtureOfExpertsRegressor("auto", random_state=0).fit(X[rows], y[rows])
    assert len(held_out) == 3
    found = np.vstack(held_out)
    assert_array_equal(np.sort(found, axis=0), np.sort(X, axis=0))  # each row in one fold, once


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_the_largest_number_counts_rows_by_their_weights(criterion, monkeypatch):
    grid = (1, 2, 4, 8, 16, 32)
    monkeypatch.setattr(n_experts_selection, "n_experts_grid", lambda: iter(grid))
    monkeypatch.setattr(n_experts_selection, "PATIENCE", 100)
    monkeypatch.setattr(IncrementalFitter, "has_collapsed", lambda fitter: False)
    X, y = two_regimes(n_rows=30)
    moe = MixtureOfExpertsRegressor(criterion, n_init=1, max_iter=2, random_state=0)
    # There are never more experts than distinct rows, of which ten are held out.
    for weight, largest in [(1.0, 2), (1.5, 4), (50.0, 16)]:
        assert moe.fit(X, y, np.full(30, weight)).n_experts_tried_[-1] == largest
    with pytest.raises(ValueError, match=r"counted by their weights; got 1\. .*mean of one"):
        moe.fit(X, y, np.full(30, 1 / 30))


@pytest.mark.filterwarnings("ignore")
def test_no_more_experts_than_distinct_rows_are_tried(monkeypatch):
    """Copies of a row in several groups are one row to parametric experts."""
    monkeypatch.setattr(n_experts_selection, "PATIENCE", 100)
    monkeypatch.setattr(IncrementalFitter, "has_collapsed", lambda fitter: False)
    X, y = two_regimes(n_rows=6)
    X, y = np.tile(X, (40, 1)), np.tile(y, 40)
    moe = MixtureOfExpertsRegressor("auto", n_init=1, max_iter=3, random_state=0)
    assert moe.fit(X, y).n_experts_tried_.max() == 4
    assert moe.fit(X, y, groups=np.arange(240) // 6).n_experts_tried_.max() == 6


def test_classes_of_few_distinct_rows_cannot_be_held_out():
    X, y = np.tile([[0.0], [1.0], [0.0], [1.0]], (30, 1)), np.tile([0, 1, 1, 0], 30)
    with pytest.raises(ValueError, match=r'at least 3 distinct rows.*at most 2.*"bic"'):
        MixtureOfExpertsClassifier("auto").fit(X, y)
