"""Units: the rows of one customer, patient or product have one expert."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
from kinds import KINDS, options_of
from numpy.testing import assert_allclose, assert_array_equal
from panels import panel, panel_of
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.units import join_groups, varying_cell
from skmoe._estimators.problem import build_problem
from skmoe._estimators.training_data import GivenRows
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.metrics import log_density_scorer
from skmoe.reports import UnitResponsibilities

ESTIMATORS = {"regressor": MixtureOfExpertsRegressor, "classifier": MixtureOfExpertsClassifier}


def estimator(name, task, **options):
    kind = ESTIMATORS[task]
    return kind(2, gate="constant", random_state=0, n_init=2, **options_of(name) | options)


def quietly(fit, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*args, **kwargs)


def log_densities_by_hand(moe, X, y, units):
    """Log densities (U,) and responsibilities (U, K) of units under normal experts, by scipy."""
    mean = X @ moe.expert_coef_.T + moe.expert_intercept_
    logs = norm(mean, np.sqrt(moe.noise_variance_)).logpdf(y[:, None])
    labels = np.unique(units)
    sums = np.stack([logs[units == label].sum(axis=0) for label in labels])
    rows = [np.flatnonzero(units == label)[0] for label in labels]
    joint = np.log(moe.predict_gate(X[rows])) + sums
    log_density = logsumexp(joint, axis=1)
    return log_density, np.exp(joint - log_density[:, None])


# --- the model --------------------------------------------------------------------------------


def test_densities_and_responsibilities_are_those_of_whole_units():
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0).fit(X, y, units=units)
    log_density, resp = log_densities_by_hand(moe, X, y, units)
    assert_allclose(moe.score_samples(X, y, units=units), log_density)
    table = moe.responsibilities(X, y, units=units)
    assert_allclose(table.proba, resp, atol=1e-12)
    assert_array_equal(table.labels, np.unique(units))
    assert_allclose(moe.weights_, resp.mean(axis=0), atol=2e-3)


def test_the_fit_maximises_the_likelihood_of_units():
    X, y, units, _ = panel()
    options = {"gate": "constant", "alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-12}
    moe = MixtureOfExpertsRegressor(3, random_state=0, max_iter=1000, **options)
    moe.fit(X, y, units=units)
    best = log_densities_by_hand(moe, X, y, units)[0].sum()
    assert_allclose(moe.lower_bound_ * len(y), best)
    moved, coef = copy.copy(moe), moe.expert_coef_.ravel()

    def log_likelihood(values):
        moved.expert_coef_ = values.reshape(3, 2)
        return log_densities_by_hand(moved, X, y, units)[0].sum()

    assert_allclose(approx_fprime(coef, log_likelihood, 1e-6), 0.0, atol=2e-3)


def test_units_recover_regimes_that_rows_do_not():
    for seed in range(3):
        X, y, units, regimes = panel(300, 5, seed=seed)
        moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
        by_unit = moe.fit(X, y, units=units).responsibilities(X, y, units=units).proba
        assert adjusted_rand_score(regimes, by_unit.argmax(axis=1)) >= 0.95
        by_row = moe.fit(X, y).responsibilities(X, y)
        assert adjusted_rand_score(regimes[units], by_row.argmax(axis=1)) < 0.6


def test_the_gate_sees_one_row_of_each_unit():
    X, y, units, regimes = panel(200, 4)
    label = (regimes == 0).astype(float)[units]
    moe = MixtureOfExpertsRegressor(
        3, gate_features=[2], expert_features=[0, 1], gate_alpha=0.1, random_state=0
    )
    data = np.column_stack([X, label])
    moe.fit(data, y, units=units)
    own = moe.apply(data)
    share = [np.mean(own[label == value] == own[label == value][0]) for value in (0.0, 1.0)]
    assert share == [1.0, 1.0]
    assert len(np.unique(own)) == 2
    log_density, _ = log_densities_by_hand(moe, data, y, units)
    assert_allclose(moe.score_samples(data, y, units=units), log_density)


# --- laws over all kinds of experts -----------------------------------------------------------


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_the_lower_bound_never_falls(name, task):
    X, y, units = panel_of(name, task)
    moe = quietly(estimator(name, task).fit, X, y, units=units)
    assert (np.diff(moe.lower_bounds_) > -1e-9).all()
    assert np.isfinite(moe.predict_gate(X)).all()


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_a_row_of_weight_two_is_the_row_twice_in_its_unit(name, task):
    X, y, units = panel_of(name, task)
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    index = np.repeat(np.arange(len(y)), weight)
    weighted = quietly(estimator(name, task).fit, X, y, weight.astype(float), units=units)
    repeated = quietly(estimator(name, task).fit, X[index], y[index], units=units[index])
    plain = quietly(estimator(name, task).fit, X, y, units=units)
    assert_array_equal(weighted.expert_coef_, repeated.expert_coef_)
    assert np.abs(plain.expert_coef_ - weighted.expert_coef_).max() > 1e-3
    args = X[index], y[index]
    for criterion in ("aic", "bic", "icl"):
        found = getattr(weighted, criterion)(X, y, weight, units=units)
        assert_allclose(found, getattr(repeated, criterion)(*args, units=units[index]))


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_the_order_of_rows_and_the_labels_do_not_matter(name, task):
    X, y, units = panel_of(name, task)
    order = np.random.default_rng(1).permutation(len(y))
    labels = np.array([f"unit {(7 * unit) % 40}" for unit in units])
    moe = quietly(estimator(name, task).fit, X, y, units=units)
    other = quietly(estimator(name, task).fit, X[order], y[order], units=labels[order])
    assert_array_equal(moe.expert_coef_, other.expert_coef_)
    assert_array_equal(moe.gate_intercept_, other.gate_intercept_)


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_units_of_one_row_are_no_units(name, task):
    X, y, _ = panel_of(name, task)
    moe = quietly(estimator(name, task).fit, X, y)
    single = quietly(estimator(name, task).fit, X, y, units=np.arange(len(y))[::-1])
    assert_array_equal(moe.expert_coef_, single.expert_coef_)
    assert_array_equal(moe.lower_bounds_, single.lower_bounds_)


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_all_units_twice_have_the_same_maximum(name, task):
    X, y, units = panel_of(name, task)
    options = {"alpha": 0.0, "tol": 1e-9, "max_iter": 1000}
    options |= {"dispersion_prior": 0.0} if task == "regressor" else {}
    moe = quietly(estimator(name, task, **options).fit, X, y, units=units)
    twice = quietly(
        estimator(name, task, **options).fit,
        np.vstack([X, X]),
        np.concatenate([y, y]),
        units=np.concatenate([units, units + 1000]),
    )
    assert_allclose(twice.lower_bound_, moe.lower_bound_, atol=1e-6)
    order = np.argsort(moe.expert_coef_.reshape(2, -1)[:, 0])
    other = np.argsort(twice.expert_coef_.reshape(2, -1)[:, 0])
    assert_allclose(twice.expert_coef_[other], moe.expert_coef_[order], atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_one_expert_is_the_single_model(name, task):
    X, y, units = panel_of(name, task)
    single, grouped = (estimator(name, task).set_params(n_experts=1) for _ in range(2))
    quietly(single.fit, X, y)
    quietly(grouped.fit, X, y, units=units)
    assert_allclose(grouped.expert_coef_, single.expert_coef_, atol=1e-4)


# --- estimators as experts, folds -------------------------------------------------------------


@pytest.mark.parametrize("expert", [Ridge(), ["linear", Ridge()], "tree"])
def test_no_fold_has_a_part_of_a_unit(expert):
    X, y, units, _ = panel(40, 5)
    moe = MixtureOfExpertsRegressor(2, expert=expert, gate="constant", n_init=1, random_state=0)
    fold = moe_folds(moe, X, y, units)
    for label in np.unique(units):
        assert len(np.unique(fold[units == label])) == 1
    assert len(np.unique(fold)) == 5
    apart = moe_folds(moe, X, y, None)
    assert any(len(np.unique(apart[units == label])) > 1 for label in np.unique(units))


def moe_folds(moe, X, y, units):
    """Fold of each row in cross-fitting, in the order of the rows of the fit."""
    problem = build_problem(moe, moe._validate_parameters(), GivenRows(X, y, units=units))
    features = problem.em_problem.rows.expert_design
    fold = dict(zip(map(tuple, features.X), features.fold, strict=True))
    return np.array([fold[tuple(row)] for row in X])


def test_a_base_is_cross_fitted_by_units():
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(40), 5)
    level = rng.uniform(size=40)[units]  # which only rows of the same unit have in common
    X = np.column_stack([level + 1e-9 * rng.normal(size=200), rng.normal(size=200)])
    y = rng.permutation(40)[units] + 0.1 * rng.normal(size=200)
    base = DecisionTreeRegressor(random_state=0)
    options = {"base": base, "gate": "constant", "n_init": 1, "random_state": 0}
    apart = quietly(MixtureOfExpertsRegressor(1, **options).fit, X, y)
    together = quietly(MixtureOfExpertsRegressor(1, **options).fit, X, y, units=units)
    # A tree that has seen the unit knows y; one that has not does not.
    assert together.noise_variance_[0] > 4 * apart.noise_variance_[0]


def test_groups_and_units_are_both_kept_together():
    groups = np.array([0, 0, 1, 1, 2, 3])
    units = np.array(["a", "b", "b", "c", "d", "d"])
    joined = join_groups(groups, units)
    assert len(np.unique(joined)) == 2
    assert len(np.unique(joined[:4])) == 1
    assert_array_equal(join_groups(None, units), units)
    assert_array_equal(join_groups(groups, None), groups)


def test_the_number_of_experts_is_chosen_by_whole_units():
    X, y, units, _ = panel(100, 4, n_regimes=2)
    moe = MixtureOfExpertsRegressor("auto", gate="constant", random_state=0)
    assert moe.fit(X, y, units=units).n_experts_ == 2


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_criteria_choose_by_units(criterion):
    X, y, units, _ = panel(100, 5)
    moe = MixtureOfExpertsRegressor(criterion, gate="constant", random_state=0)
    assert moe.fit(X, y, units=units).n_experts_ == 3


# --- gate features that vary within a unit ----------------------------------------------------


def gate_panel():
    X, y, units, _ = panel(80, 4)
    return np.column_stack([X, np.random.default_rng(5).normal(size=len(y))]), y, units


def test_gate_features_are_averaged_or_those_of_the_first_row():
    X, y, units = gate_panel()
    weight = np.random.default_rng(0).integers(1, 4, size=len(y)).astype(float)
    options = {"gate_features": [2], "expert_features": [0, 1], "random_state": 0}
    mean, first = X.copy(), X.copy()
    for unit in np.unique(units):
        rows = np.flatnonzero(units == unit)
        mean[rows, 2] = np.average(X[rows, 2], weights=weight[rows])
        first[rows, 2] = X[rows[0], 2]
    # The standardisation of the gate's feature is that of all rows; without a penalty it does not
    # matter.
    options |= {"gate_alpha": 0.0, "tol": 1e-10, "max_iter": 2000}
    for aggregate, reduced in (("mean", mean), ("first", first)):
        moe = MixtureOfExpertsRegressor(3, gate_aggregate=aggregate, **options)
        moe.fit(X, y, weight, units=units)
        given = MixtureOfExpertsRegressor(3, **options).fit(reduced, y, weight, units=units)
        assert_allclose(moe.lower_bound_, given.lower_bound_, atol=1e-6)
        order, other = np.argsort(moe.expert_coef_[:, 0]), np.argsort(given.expert_coef_[:, 0])
        assert_allclose(moe.expert_coef_[order], given.expert_coef_[other], atol=1e-3)
        gate = moe.predict_gate(X, units=units)
        if aggregate == "first":
            assert_allclose(gate, moe.predict_gate(first), atol=1e-12)
        assert all(np.ptp(gate[units == unit], axis=0).max() == 0.0 for unit in np.unique(units))


@pytest.mark.parametrize("aggregate", ["mean", "first"])
def test_units_without_weight_are_absent(aggregate):
    X, y, units = gate_panel()
    weight = (units % 3 != 1).astype(float)
    kept = weight > 0.0
    moe = MixtureOfExpertsRegressor(2, gate_aggregate=aggregate, random_state=0)
    found = clone(moe).fit(X, y, weight, units=units)
    absent = clone(moe).fit(X[kept], y[kept], units=units[kept])
    assert_array_equal(found.expert_coef_, absent.expert_coef_)
    assert_array_equal(found.gate_coef_, absent.gate_coef_)


def test_gate_features_that_vary_are_named():
    X, y, units = gate_panel()
    with pytest.raises(ValueError, match=r"gate_features must be constant .* column 'x2' varies"):
        MixtureOfExpertsRegressor(2, gate_features=[2]).fit(X, y, units=units)
    assert varying_cell(np.array([[1.0], [1.0], [2.0]]), np.array([0, 0, 1]), None) is None
    assert varying_cell(np.array([[1.0], [3.0], [2.0]]), np.array([0, 1, 1]), None) == (0, 1)


# --- predictions of units whose history is known ----------------------------------------------


@pytest.mark.parametrize("task", list(ESTIMATORS))
def test_predictions_use_given_probabilities(task):
    X, y, units = panel_of("linear" if task == "regressor" else "logistic", task)
    moe = ESTIMATORS[task](2, gate="constant", random_state=0).fit(X, y, units=units)
    proba = np.random.default_rng(0).dirichlet([1.0, 1.0], size=len(y))
    means = moe.predict_experts(X)
    expected = np.einsum("nk,nk...->n...", proba, means)
    if task == "classifier":
        assert_allclose(moe.predict_proba(X, gate_proba=proba), expected)
        assert_array_equal(moe.predict(X, gate_proba=proba), moe.classes_[expected.argmax(axis=1)])
        assert_allclose(moe.predict_log_proba(X, gate_proba=proba), np.log(expected))
        return
    assert_allclose(moe.predict(X, gate_proba=proba), expected)
    assert_allclose(moe.predict_dist(X, gate_proba=proba).mean, expected)
    known = np.eye(2)[np.zeros(len(y), dtype=int)]
    low, high = moe.predict_interval(X, 0.9, gate_proba=known).T
    sd = np.sqrt(moe.noise_variance_[0])
    assert_allclose(low, means[:, 0] - norm.ppf(0.95) * sd)
    assert_allclose(moe.predict_quantile(X, 0.95, gate_proba=known), high)
    drawn = moe.sample(X, 200, random_state=0, gate_proba=known)
    assert_allclose(drawn.mean(axis=1), means[:, 0], atol=6 * sd / np.sqrt(200))


def test_intervals_are_narrower_for_units_with_a_longer_history():
    X, y, units, _ = panel(300, 6, noise=0.3)
    order = np.argsort(units, kind="stable")
    X, y, units = X[order], y[order], units[order]
    period = np.tile(np.arange(6), 300)
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0).fit(X, y, units=units)
    last = period == 5
    widths = []
    for n_known in (0, 1, 2, 5):
        past = period < n_known
        proba = None
        if n_known:
            table = moe.responsibilities(X[past], y[past], units=units[past])
            proba = table.rows(units[last])
        interval = moe.predict_interval(X[last], gate_proba=proba)
        widths.append(np.mean(interval[:, 1] - interval[:, 0]))
        covered = (interval[:, 0] <= y[last]) & (y[last] <= interval[:, 1])
        assert 0.84 <= covered.mean() <= 0.96
    assert (np.diff(widths) < 0.0).all()
    assert widths[-1] < 0.5 * widths[0]


def test_units_without_history_get_the_probabilities_of_the_gate():
    table = UnitResponsibilities(np.array(["a", "b"]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    prior = np.full((3, 2), 0.5)
    rows = table.rows(["b", "new", "a"], new=prior)
    assert_array_equal(rows, [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    with pytest.raises(ValueError, match="units must be in the table; 'new' is not"):
        table.rows(["b", "new"])
    with pytest.raises(ValueError, match="new must have shape"):
        table.rows(["b", "new", "a"], new=prior[:2])
    frame = table.to_frame()
    assert list(frame.index) == ["a", "b"]
    assert len(table) == 2
    assert "2 units, 2 experts" in repr(table)


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (np.ones((3, 2)), "must have shape"),
        (np.full((4, 2), 0.4), "sum to 1 in each row; row 0"),
        (np.array([[0.5, 0.5]] * 3 + [[1.5, -0.5]]), "row 3"),
        (np.array([[np.nan, 0.5]] + [[0.5, 0.5]] * 3), "row 0"),
    ],
)
def test_invalid_probabilities_are_refused(proba, message):
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y, units=units)
    with pytest.raises(ValueError, match=f"gate_proba .*{message}"):
        moe.predict(X[:4], gate_proba=proba)


# --- inference --------------------------------------------------------------------------------


def test_criteria_count_units():
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0).fit(X, y, units=units)
    log_density, resp = log_densities_by_hand(moe, X, y, units)
    bic = moe.n_parameters_ * np.log(60) - 2 * log_density.sum()
    assert_allclose(moe.bic(X, y, units=units), bic)
    entropy = -np.sum(resp * np.log(np.maximum(resp, 1e-300)))
    assert_allclose(moe.icl(X, y, units=units), bic + 2 * entropy)
    facts = moe.summary(X, y, units=units).facts
    assert facts["units"] == "60"
    assert facts["rows"] == "300"


def test_the_sandwich_sums_scores_over_clusters():
    X, y, units, _ = panel(50, 6)
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0, tol=1e-12).fit(X, y)
    found = moe.inference(X, y, method="sandwich", cluster=units)
    design = np.column_stack([X, np.ones(len(y))])
    residual = y - moe.predict(X)
    sums = np.stack([(design * residual[:, None])[units == u].sum(axis=0) for u in range(50)])
    bread = np.linalg.inv(design.T @ design)
    expected = np.sqrt(np.diag(bread @ sums.T @ sums @ bread))
    by_term = {
        term: se for (_, _, term), se in zip(found.terms, found.standard_errors, strict=True)
    }
    assert_allclose([by_term["x0"], by_term["x1"], by_term["(Intercept)"]], expected, rtol=1e-5)
    assert "50 clusters" in found.method


def test_errors_of_rows_are_too_small_where_rows_repeat():
    X, y, *_ = panel(100, 5)
    index = np.repeat(np.arange(len(y)), 2)
    moe = MixtureOfExpertsRegressor(1, random_state=0).fit(X[index], y[index])
    naive = moe.inference(X[index], y[index], method="sandwich").standard_errors
    clustered = moe.inference(X[index], y[index], method="sandwich", cluster=index)
    assert_allclose(clustered.standard_errors[:3], np.sqrt(2.0) * naive[:3], rtol=1e-2)


def test_the_sandwich_of_units_is_that_of_clusters_of_rows():
    X, y, units, _ = panel(60, 5)
    one = MixtureOfExpertsRegressor(1, random_state=0).fit(X, y)
    grouped = MixtureOfExpertsRegressor(1, random_state=0).fit(X, y, units=units)
    by_cluster = one.inference(X, y, method="sandwich", cluster=units).standard_errors
    by_unit = grouped.inference(X, y, method="sandwich", units=units).standard_errors
    assert_allclose(by_unit[:3], by_cluster[:3], rtol=1e-3)


def test_rows_of_weight_zero_are_absent_from_units():
    X, y, units, _ = panel(60, 5)
    weight = np.where(np.arange(len(y)) % 4 == 0, 0.0, 1.0)
    weight[units == 7] = 0.0
    kept = weight > 0.0
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
    weighted = clone(moe).fit(X, y, weight, units=units)
    without = clone(moe).fit(X[kept], y[kept], units=units[kept])
    assert weighted.n_units_ == without.n_units_ == 59
    given, own = {"units": units, "sample_weight": weight}, {"units": units[kept]}
    rows = X[kept], y[kept]
    assert_array_equal(weighted.score_samples(X, y, **given), without.score_samples(*rows, **own))
    table = weighted.responsibilities(X, y, **given)
    assert_array_equal(table.labels, without.responsibilities(*rows, **own).labels)
    assert_allclose(weighted.bic(X, y, **given), without.bic(*rows, **own))
    cluster = units // 2
    options = {"method": "sandwich"}
    for found, expected in (
        (weighted.inference(X, y, **given), without.inference(*rows, **own)),
        (
            weighted.inference(X, y, cluster=cluster, **given, **options),
            without.inference(*rows, cluster=cluster[kept], **own, **options),
        ),
    ):
        assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-6)


def test_the_bootstrap_draws_whole_units():
    X, y, units, _ = panel(80, 5)
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0).fit(X, y, units=units)
    options = {"method": "bootstrap", "n_bootstrap": 40, "random_state": 0}
    found = moe.inference(X, y, units=units, **options).standard_errors
    observed = moe.inference(X, y, units=units).standard_errors
    ratio = found[observed > 0] / observed[observed > 0]
    assert 0.8 < np.median(ratio) < 1.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": np.zeros(300)}, "cluster needs method"),
        ({"cluster": np.zeros(300), "method": "sandwich"}, "at least two distinct labels"),
        ({"cluster": np.arange(300), "method": "sandwich"}, "rows of a unit together"),
        ({"cluster": np.arange(3), "method": "sandwich"}, "one entry for each of the 300 rows"),
    ],
)
def test_invalid_clusters_are_refused(options, message):
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y, units=units)
    with pytest.raises(ValueError, match=message):
        moe.inference(X, y, units=units, **options)


# --- rows in parts ----------------------------------------------------------------------------


def sorted_panel(*args, **kwargs):
    X, y, units, regimes = panel(*args, **kwargs)
    order = np.argsort(units, kind="stable")
    return X[order], y[order], units[order], regimes


def test_blocks_of_whole_units_give_the_fit_in_memory(monkeypatch):
    X, y, units, _ = sorted_panel(60, 5)
    weight = np.random.default_rng(0).integers(0, 3, size=len(y)).astype(float)
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0, tol=1e-8, max_iter=500)
    in_memory = clone(moe).fit(X, y, weight, units=units)
    monkeypatch.setattr("skmoe._data.blocks.BLOCK_BYTES", 17 * X.itemsize * 2)
    monkeypatch.setattr("skmoe._data.blocks.UNIT_ROWS", 2)
    blocks = RowBlocks.from_arrays(X, y, weight, units=units)
    sizes = [len(block[1]) for block in blocks]
    assert set(sizes) == {20}
    in_blocks = clone(moe).fit(blocks)
    assert_allclose(in_blocks.lower_bound_, in_memory.lower_bound_, atol=1e-7)
    order, other = (
        np.argsort(in_memory.expert_coef_[:, 0]),
        np.argsort(in_blocks.expert_coef_[:, 0]),
    )
    assert_allclose(in_blocks.expert_coef_[other], in_memory.expert_coef_[order], atol=1e-3)


def test_a_sample_of_units_serves_for_the_starts(monkeypatch):
    X, y, units, regimes = sorted_panel(300, 5)
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 400)
    monkeypatch.setattr("skmoe._estimators.init_rows.MIN_INIT_ROWS", 400)
    fits = [
        clone(moe).fit(X, y, units=units),
        clone(moe).fit(RowBlocks.from_arrays(X, y, units=units)),
    ]
    for fit in fits:
        assert fit.n_units_ == 300
        resp = fit.responsibilities(X, y, units=units).proba
        assert adjusted_rand_score(regimes, resp.argmax(axis=1)) > 0.95


def test_a_sample_has_as_many_whole_units_as_fit(monkeypatch):
    rng = np.random.default_rng(0)
    sizes = rng.permutation(np.repeat([1, 2, 20], 30))
    units = np.repeat(np.arange(90), sizes)
    X = rng.normal(size=(len(units), 1))
    y = np.where(units % 2 == 0, 1.0, -1.0) * X[:, 0] + 0.1 * rng.normal(size=len(units))
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 200)
    monkeypatch.setattr("skmoe._estimators.init_rows.MIN_INIT_ROWS", 200)
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    problem = build_problem(moe, moe._validate_parameters(), GivenRows(X, y, units=units))
    sample = problem.em_problem.init_data.rows
    assert 180 < len(sample.y[0]) <= 200
    assert set(sample.units.sizes.tolist()) == {1, 2, 20}
    assert sample.weight.sum() == pytest.approx(len(y))
    assert_allclose(sample.units.weight, len(y) / len(sample.y[0]))


def test_dask_chunks_of_whole_units():
    array = pytest.importorskip("dask.array")
    X, y, units, _ = sorted_panel(60, 5)
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
    chunks = {"chunks": 100}
    collections = [array.from_array(values, **chunks) for values in (y, units)]
    features = array.from_array(X, chunks=(100, 2))
    distributed = clone(moe).fit(features, collections[0], units=collections[1])
    assert_allclose(distributed.lower_bound_, moe.fit(X, y, units=units).lower_bound_, atol=1e-3)
    with pytest.raises(ValueError, match="units are not supported by score_samples of Dask"):
        distributed.score_samples(features, collections[0], units=collections[1])
    cut = array.from_array(units, chunks=93)
    with pytest.raises(ValueError, match="all rows of a unit in one block"):
        clone(moe).fit(features.rechunk((93, 2)), collections[0].rechunk(93), units=cut)


def blocks_of(X, y, units, size):
    return RowBlocks(
        lambda: (
            (X[i : i + size], y[i : i + size], None, None, units[i : i + size])
            for i in range(0, len(y), size)
        )
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y, u: blocks_of(X, y, u, 97), "all rows of a unit in one block; unit 19 is"),
        (lambda X, y, u: blocks_of(X[::-1][1:], y[1:], np.roll(u, 2)[1:], 299), "next to each"),
        (
            lambda X, y, u: RowBlocks(lambda: iter([(X, y, None, None, u), (X, y)])),
            "in every block or in none",
        ),
    ],
)
def test_blocks_that_cut_a_unit_are_refused(change, message):
    X, y, units, _ = sorted_panel(60, 5)
    moe = MixtureOfExpertsRegressor(2, gate="constant")
    with pytest.raises(ValueError, match=message):
        moe.fit(change(X, y, units))
    assert not hasattr(moe, "expert_coef_")


def test_streams_of_units():
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
    for seed in range(6):
        X, y, units, regimes = panel(100, 5, seed=seed)
        moe.partial_fit(X, y, units=units)
    resp = moe.responsibilities(X, y, units=units).proba
    assert adjusted_rand_score(regimes, resp.argmax(axis=1)) > 0.9
    assert moe.n_units_ == 600


# --- tools of scikit-learn, files -------------------------------------------------------------


def test_averages_of_starts():
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(
        3, gate="constant", combine="average", n_init=2, random_state=0
    ).fit(X, y, units=units)
    log_density, resp = log_densities_by_hand(moe, X, y, units)
    assert_allclose(moe.score_samples(X, y, units=units), log_density)
    assert_allclose(moe.responsibilities(X, y, units=units).proba, resp, atol=1e-12)


def test_units_in_pipelines_and_searches():
    X, y, units, _ = panel(40, 5)
    with config_context(enable_metadata_routing=True):
        moe = MixtureOfExpertsRegressor(gate="constant", n_init=1, random_state=0)
        moe.set_fit_request(units=True, groups=False)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), moe),
            {"mixtureofexpertsregressor__n_experts": [1, 3]},
            scoring=log_density_scorer,
            cv=GroupKFold(2),
        )
        search.fit(X, y, units=units, groups=units)
        fitted = search.best_estimator_[-1]
    assert fitted.n_units_ == 40
    assert fitted.n_experts_ == 3
    score = log_density_scorer(search, X, y, units=units)
    rows = search.best_estimator_[:-1].transform(X)
    assert_allclose(score, fitted.score_samples(rows, y, units=units).mean())
    weight = np.arange(len(y)) % 3
    repeated = np.repeat(np.arange(len(y)), weight)
    assert_allclose(
        log_density_scorer(search, X, y, weight, units=units),
        log_density_scorer(search, X[repeated], y[repeated], units=units[repeated]),
    )


def test_files_keep_units(tmp_path):
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(
        2, gate_aggregate="mean", gate_features=[0], random_state=0
    ).fit(X, y, units=units)
    expected = moe.responsibilities(X, y, units=units).proba
    buffer = io.BytesIO()
    joblib.dump(moe, buffer)
    for copied in (
        pickle.loads(pickle.dumps(moe)),
        MixtureOfExpertsRegressor.from_dict(moe.to_dict()),
        joblib.load(io.BytesIO(buffer.getvalue())),
    ):
        assert_allclose(copied.responsibilities(X, y, units=units).proba, expected, rtol=1e-12)
        assert copied.n_units_ == 60
    path = tmp_path / "fit.joblib"
    saved = fit_with_checkpoints(clone(moe), X, y, path=path, units=units)
    assert_array_equal(saved.expert_coef_, moe.expert_coef_)
    with pytest.raises(ValueError, match=r"differs in .'units'."):
        fit_with_checkpoints(clone(moe), X, y, path=path, units=units[::-1])


def test_a_warm_start_goes_on():
    X, y, units, _ = panel()
    options = {"gate": "constant", "alpha": 0.1, "n_init": 1, "tol": 1e-10, "random_state": 0}
    moe = MixtureOfExpertsRegressor(3, **options)
    whole = clone(moe).fit(X, y, units=units)
    part = clone(moe).set_params(max_iter=6)
    quietly(part.fit, X, y, units=units)
    part.set_params(warm_start=True, max_iter=200).fit(X, y, units=units)
    assert_allclose(part.lower_bound_, whole.lower_bound_, rtol=1e-10)


def test_data_frames_and_labels_of_any_kind():
    pandas = pytest.importorskip("pandas")
    X, y, units, _ = panel()
    frame = pandas.DataFrame(X, columns=["price", "promotion"])
    labels = pandas.Series([f"customer {unit}" for unit in units], dtype="category")
    dates = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(units, unit="D")
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
    expected = clone(moe).fit(X, y, units=units).expert_coef_
    for given in (labels, labels.astype(str), dates, list(units)):
        assert_array_equal(clone(moe).fit(frame, y, units=given).expert_coef_, expected)


def test_several_outputs():
    X, y, units, regimes = panel(60, 4)
    both = np.column_stack([y, -2.0 * y])
    moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0).fit(X, both, units=units)
    resp = moe.responsibilities(X, both, units=units).proba
    assert adjusted_rand_score(regimes, resp.argmax(axis=1)) > 0.7
    swapped = clone(moe).fit(X, both[:, ::-1], units=units)
    assert_allclose(swapped.expert_coef_[:, ::-1], moe.expert_coef_, atol=1e-6)


def test_a_base_has_one_prediction_for_the_gate_of_a_unit():
    X, y, units, _ = panel(60, 5)
    column = np.repeat(0.0, len(y))
    data = np.column_stack([X, column + units % 3])
    moe = MixtureOfExpertsRegressor(
        2,
        base=HistGradientBoostingRegressor(max_iter=10),
        gate_features=[2],
        random_state=0,
        n_init=1,
    )
    quietly(moe.fit, data, y, units=units)
    assert np.isfinite(moe.score_samples(data, y, units=units)).all()
    assert list(moe.gate_feature_names_) == ["x2", "base"]
    mean = np.bincount(units, moe.base_.predict(data)) / np.bincount(units)
    logits = np.column_stack([np.arange(60) % 3, mean]) @ moe.gate_coef_.T + moe.gate_intercept_
    expected = np.exp(log_softmax(logits, axis=1))[units]
    assert np.ptp(moe.base_.predict(data)[units == 0]) > 0.0
    assert_allclose(moe.predict_gate(data, units=units), expected, rtol=1e-9)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (np.arange(299), "units must have one entry for each of the 300 rows"),
        (np.zeros(300), "units must have at least two distinct labels"),
        (np.where(np.arange(300) == 7, np.nan, np.arange(300.0)), "none missing"),
        ([None, *range(299)], "none missing"),
        (np.zeros((300, 2)), "units must have one dimension"),
        (np.arange(300) % 2, "n_experts must not exceed the number of units .*, 2"),
    ],
)
def test_invalid_units_are_refused(units, message):
    X, y, _, _ = panel()
    moe = MixtureOfExpertsRegressor(3, gate="constant")
    with pytest.raises(ValueError, match=message):
        moe.fit(X, y, units=units)
    assert not hasattr(moe, "expert_coef_")


def test_initial_responsibilities_are_those_of_units():
    X, y, units, regimes = panel()
    init = np.full((300, 3), 0.05)
    init[np.arange(300), regimes[units]] = 0.9
    moe = MixtureOfExpertsRegressor(3, gate="constant", init=init, random_state=0)
    resp = moe.fit(X, y, units=units).responsibilities(X, y, units=units).proba
    assert adjusted_rand_score(regimes, resp.argmax(axis=1)) > 0.9
    init[0] = init[0][::-1]
    init[0, 1] += 1 - init[0].sum()
    changed = init.copy()
    changed[0] = [0.2, 0.3, 0.5]
    with pytest.raises(ValueError, match="same responsibilities in all rows of a unit"):
        MixtureOfExpertsRegressor(3, gate="constant", init=changed).fit(X, y, units=units)


def test_units_that_are_left_out_are_missed():
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y, units=units)
    for method in ("score_samples", "responsibilities", "bic", "inference", "summary"):
        call = getattr(moe, method)
        with pytest.warns(UserWarning, match=f"{method} got no units, unlike the fit") as record:
            call(X, y)
        assert len([r for r in record if "got no units" in str(r.message)]) == 1


def test_aggregates_need_units():
    X, y, units, _ = panel()
    with pytest.raises(ValueError, match=r"gate_aggregate='mean' reduces .* got no units"):
        MixtureOfExpertsRegressor(2, gate_aggregate="mean").fit(X, y)
    with pytest.raises(ValueError, match='gate_aggregate must be None, "mean" or "first"'):
        MixtureOfExpertsRegressor(2, gate_aggregate="median").fit(X, y, units=units)


def test_a_unit_that_no_expert_can_have_made_is_refused():
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(20), 2)
    y = np.where(np.arange(40) % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    X = rng.normal(size=(40, 1))
    moe = MixtureOfExpertsRegressor(2, family=["zero", "gamma"], gate="constant")
    with pytest.raises(ValueError, match="units must have rows that are all possible under one"):
        moe.fit(X, y, units=units)
    same = np.where(units % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    moe.fit(X, same, units=units)
    assert_allclose(moe.weights_[0], 0.5, atol=0.02)


def test_one_regression_of_all_rows_is_the_classical_one():
    X, y, units, _ = panel()
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, gate="constant").fit(X, y, units=units)
    assert_allclose(moe.expert_coef_[0], LinearRegression().fit(X, y).coef_)
