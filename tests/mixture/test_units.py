"""Units: the rows of one customer, patient or product have one expert."""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.inspection import UnitResponsibilities
from support.fits import FIXED, fit_quietly, fixed_penalties, loads
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.tables import panel, panel_of

X, Y, UNITS, REGIMES = panel(50, 4)
N_ROWS = len(Y)


def regressor(n_experts=3, **options):
    given = {"gate": "constant", "n_init": 2, "random_state": 0} | FIXED
    return MixtureOfExpertsRegressor(n_experts, **given | options)


@cache
def fitted():
    """A fit that tests read only."""
    return regressor().fit(X, Y, units=UNITS)


def row_log_densities(coef, intercept, variance, features=X):
    return norm.logpdf(Y[:, None], features @ coef.T + intercept, np.sqrt(variance))


def unit_densities(log_gate, logs, units=UNITS):
    """Log densities (U,) and responsibilities (U, K) of units, from those of rows (n, K)."""
    joint = log_gate + np.stack([logs[units == label].sum(axis=0) for label in np.unique(units)])
    log_density = logsumexp(joint, axis=1)
    return log_density, np.exp(joint - log_density[:, None])


def by_hand(moe, features=X):
    logs = row_log_densities(moe.expert_coef_, moe.expert_intercept_, moe.noise_variance_, features)
    first = [np.flatnonzero(label == UNITS)[0] for label in np.unique(UNITS)]
    return unit_densities(np.log(moe.predict_gate(features[first])), logs)


# --- the model ----------------------------------------------------------------------------------


def test_densities_and_responsibilities_are_those_of_whole_units():
    moe = fitted()
    log_density, resp = by_hand(moe)
    assert_allclose(moe.score_samples(X, Y, units=UNITS), log_density)
    table = moe.responsibilities(X, Y, units=UNITS)
    assert_allclose(table.proba, resp, atol=1e-12)
    assert_array_equal(table.labels, np.unique(UNITS))
    assert_allclose(moe.weights_, resp.mean(axis=0), atol=2e-3)


def test_a_fit_maximises_the_likelihood_of_units():
    moe = regressor(alpha=1e-10, dispersion_prior=0.0, tol=1e-12, max_iter=1000)
    moe.fit(X, Y, units=UNITS)
    assert_allclose(moe.lower_bound_ * N_ROWS, by_hand(moe)[0].sum(), rtol=1e-6)
    log_gate = np.log(moe.predict_gate(X[:1]))

    def log_likelihood(values):
        coef, intercept = values[:6].reshape(3, 2), values[6:9]
        logs = row_log_densities(coef, intercept, np.exp(values[9:]))
        return unit_densities(log_gate, logs)[0].sum()

    at = [moe.expert_coef_.ravel(), moe.expert_intercept_, np.log(moe.noise_variance_)]
    assert_allclose(approx_fprime(np.concatenate(at), log_likelihood, 1e-6), 0.0, atol=5e-3)


def test_units_recover_regimes_that_rows_do_not():
    features, y, units, regimes = panel(100, 5)
    by_unit = regressor(n_init=4).fit(features, y, units=units)
    found = by_unit.responsibilities(features, y, units=units).proba.argmax(axis=1)
    assert adjusted_rand_score(regimes, found) >= 0.95
    by_row = regressor(n_init=4).fit(features, y).responsibilities(features, y).argmax(axis=1)
    assert adjusted_rand_score(regimes[units], by_row) < 0.6


def test_the_gate_sees_one_row_of_each_unit():
    data = np.column_stack([X, (REGIMES == 0).astype(float)[UNITS]])
    moe = regressor(gate="softmax", gate_features=[2], expert_features=[0, 1], gate_alpha=0.1)
    moe.fit(data, Y, units=UNITS)
    own = moe.apply(data)
    assert [len(np.unique(own[data[:, 2] == value])) for value in (0.0, 1.0)] == [1, 1]
    assert len(np.unique(own)) == 2
    log_density, _ = by_hand(moe, data)
    assert_allclose(moe.score_samples(data, Y, units=UNITS), log_density)


def test_initial_responsibilities_are_those_of_units():
    init = np.full((N_ROWS, 3), 0.05)
    init[np.arange(N_ROWS), REGIMES[UNITS]] = 0.9
    moe = regressor(init=init).fit(X, Y, units=UNITS)
    resp = moe.responsibilities(X, Y, units=UNITS).proba
    assert adjusted_rand_score(REGIMES, resp.argmax(axis=1)) > 0.8
    assert resp[REGIMES == 0, 0].mean() > 0.8  # in the order of the user
    changed = init.copy()
    changed[0] = [0.2, 0.3, 0.5]
    words = "same responsibilities", "unit"
    assert_fit_refused(regressor(init=changed), (X, Y), "init", *words, units=UNITS)


def test_several_outputs_of_units():
    both = np.column_stack([Y, -2.0 * Y])
    moe = regressor().fit(X, both, units=UNITS)
    resp = moe.responsibilities(X, both, units=UNITS).proba
    assert adjusted_rand_score(REGIMES, resp.argmax(axis=1)) > 0.7
    swapped = regressor().fit(X, both[:, ::-1], units=UNITS)
    coef, other = moe.expert_coef_, swapped.expert_coef_[:, ::-1]
    order, order_of_other = (np.argsort(values[:, 0, 0]) for values in (coef, other))
    assert_allclose(other[order_of_other], coef[order], atol=1e-5)


def test_one_regression_of_all_rows_is_the_classical_one():
    moe = regressor(1, alpha=0.0).fit(X, Y, units=UNITS)
    assert_allclose(moe.expert_coef_[0], LinearRegression().fit(X, Y).coef_)


def test_a_warm_start_goes_on():
    options = {"n_init": 1, "tol": 1e-10}
    whole = regressor(**options).fit(X, Y, units=UNITS)
    part = fit_quietly(regressor(**options, max_iter=6), X, Y, units=UNITS)
    part.set_params(warm_start=True, max_iter=200).fit(X, Y, units=UNITS)
    assert_allclose(part.lower_bound_, whole.lower_bound_, rtol=1e-10)


# --- folds --------------------------------------------------------------------------------------

NUMBERED = np.column_stack([np.arange(N_ROWS), X])


def sides(log):
    """Numbers of the rows that models were fitted on, and asked about, where both differ."""
    for fitted_on, asked in log.questions():
        known, new = fitted_on[:, 0].astype(int), asked[:, 0].astype(int)
        if len(np.intersect1d(known, new)) == 0:
            yield known, new


@pytest.mark.parametrize("role", ["expert", "base"])
@pytest.mark.parametrize("with_groups", [False, True], ids=["", "groups"])
def test_no_fold_has_a_part_of_a_unit(role, with_groups):
    """Nor of a group of units."""
    log = Log()
    given = {"units": UNITS} | ({"groups": UNITS // 2} if with_groups else {})
    moe = regressor(2, **{role: RecordingRegressor(log)}, n_init=1, max_iter=2, gate_features=[3])
    data = np.column_stack([NUMBERED, UNITS % 7])
    fit_quietly(moe.set_params(gate="softmax"), data, Y, **given)
    labels, n_folds = given.get("groups", UNITS), 0
    for known, new in sides(log):
        assert not np.isin(labels[new], labels[known]).any()
        n_folds += 1
    assert n_folds >= 5
    log.clear()
    fit_quietly(moe, data, Y)
    assert any(np.isin(UNITS[new], UNITS[known]).any() for known, new in sides(log))


def test_a_base_has_one_prediction_for_the_gate_of_a_unit():
    data = np.column_stack([X, UNITS % 3])
    moe = regressor(2, base=HistGradientBoostingRegressor(max_iter=5), gate="softmax", n_init=1)
    fit_quietly(moe.set_params(gate_features=[2]), data, Y, units=UNITS)
    assert list(moe.gate_feature_names_) == ["x2", "base"]
    mean = np.bincount(UNITS, moe.base_.predict(data)) / np.bincount(UNITS)
    logits = np.column_stack([np.arange(50) % 3, mean]) @ moe.gate_coef_.T + moe.gate_intercept_
    assert np.ptp(moe.base_.predict(data)[UNITS == 0]) > 0.0
    expected = np.exp(log_softmax(logits, axis=1))[UNITS]
    assert_allclose(moe.predict_gate(data, units=UNITS), expected, rtol=1e-9)


@pytest.mark.parametrize("criterion", [(1, 2, 3), "bic"])
def test_the_number_of_experts_is_chosen_by_whole_units(criterion):
    features, y, units, _ = panel(40, 4, n_regimes=2, noise=0.3)
    moe = regressor(criterion, n_init=1).fit(features, y, units=units)
    assert moe.n_experts_ == 2


# --- predictions of units whose history is known ------------------------------------------------


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_predictions_use_given_probabilities(task):
    features, y, units = panel_of("linear", task)
    make = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    moe = make(2, gate="constant", n_init=1, random_state=0, **fixed_penalties(make))
    moe.fit(features, y, units=units)
    proba = np.random.default_rng(0).dirichlet([1.0, 1.0], size=len(y))
    means = moe.predict_experts(features)
    expected = np.einsum("nk,nk...->n...", proba, means)
    if task == "classifier":
        assert_allclose(moe.predict_proba(features, gate_proba=proba), expected)
        labels = moe.classes_[expected.argmax(axis=1)]
        assert_array_equal(moe.predict(features, gate_proba=proba), labels)
        assert_allclose(moe.predict_log_proba(features, gate_proba=proba), np.log(expected))
        return
    assert_allclose(moe.predict(features, gate_proba=proba), expected)
    assert_allclose(moe.predict_dist(features, gate_proba=proba).mean, expected)
    known = np.eye(2)[np.zeros(len(y), dtype=int)]
    low, high = moe.predict_interval(features, 0.9, gate_proba=known).T
    sd = np.sqrt(moe.noise_variance_[0])
    assert_allclose(low, means[:, 0] - norm.ppf(0.95) * sd)
    assert_allclose(moe.predict_quantile(features, 0.95, gate_proba=known), high)
    drawn = moe.sample(features, n_samples=200, random_state=0, gate_proba=known)
    assert_allclose(drawn.mean(axis=1), means[:, 0], atol=6 * sd / np.sqrt(200))


def test_intervals_are_narrower_for_units_with_a_longer_history():
    features, y, units, _ = panel(200, 6, noise=0.3)
    order = np.argsort(units, kind="stable")
    features, y, units = features[order], y[order], units[order]
    period = np.tile(np.arange(6), 200)
    moe = regressor().fit(features, y, units=units)
    last, widths = period == 5, []
    for n_known in (0, 1, 2, 5):
        proba, past = None, period < n_known
        if n_known:
            table = moe.responsibilities(features[past], y[past], units=units[past])
            proba = table.rows(units[last])
        low, high = moe.predict_interval(features[last], gate_proba=proba).T
        widths.append(np.mean(high - low))
        assert 0.82 <= ((low <= y[last]) & (y[last] <= high)).mean() <= 0.97
    assert (np.diff(widths) < 0.0).all()
    assert widths[-1] < 0.5 * widths[0]


def test_units_without_history_get_the_probabilities_of_the_gate():
    table = UnitResponsibilities(np.array(["a", "b"]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    prior = np.full((3, 2), 0.5)
    rows = table.rows(["b", "new", "a"], new=prior)
    assert_array_equal(rows, [[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    assert_refused(refusal(table.rows, ["b", "new"]), "units", "new")
    assert_refused(refusal(table.rows, ["b", "new", "a"], new=prior[:2]), "new", "shape")
    assert list(table.to_frame().index) == ["a", "b"]
    assert len(table) == 2
    assert "2 units, 2 experts" in repr(table)


# --- criteria and inference ---------------------------------------------------------------------


def test_criteria_count_units():
    moe = fitted()
    log_density, resp = by_hand(moe)
    bic = moe.n_parameters_ * np.log(50) - 2 * log_density.sum()
    assert_allclose(moe.bic(X, Y, units=UNITS), bic)
    entropy = -np.sum(resp * np.log(np.maximum(resp, 1e-300)))
    assert_allclose(moe.icl(X, Y, units=UNITS), bic + 2 * entropy)
    facts = moe.summary(X, Y, units=UNITS).facts
    assert (facts["units"], facts["rows"]) == ("50", "200")


@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_loads_and_effective_rows_count_the_rows_of_units():
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=N_ROWS)
    moe = regressor(max_iter=5)
    fit_quietly(moe, X, Y, sample_weight=weight, units=UNITS)
    gate = moe.predict_gate(X)
    assert_allclose(loads(moe), np.bincount(gate.argmax(axis=1), weight, minlength=3))
    resp = moe.responsibilities(X, Y, sample_weight=weight, units=UNITS).proba[UNITS]
    rows = [expert.rows for expert in moe.summary(X, Y, sample_weight=weight, units=UNITS).experts]
    assert_allclose(rows, weight @ resp)


def test_a_sandwich_sums_scores_over_clusters():
    moe = regressor(1, alpha=1e-10, dispersion_prior=0.0, tol=1e-12).fit(X, Y)
    found = moe.inference(X, Y, method="sandwich", cluster=UNITS)
    design = np.column_stack([X, np.ones(N_ROWS)])
    scores = design * (Y - moe.predict(X))[:, None]
    sums = np.stack([scores[unit == UNITS].sum(axis=0) for unit in range(50)])
    bread = np.linalg.inv(design.T @ design)
    few = 50 / 49 * (N_ROWS - 1) / (N_ROWS - 3)
    expected = np.sqrt(few * np.diag(bread @ sums.T @ sums @ bread))
    errors = {term.name: se for term, se in zip(found.terms, found.standard_errors, strict=True)}
    assert_allclose([errors["x0"], errors["x1"], errors["(Intercept)"]], expected, rtol=1e-5)
    assert "50 clusters" in found.method
    # Units are clusters, whose rows are dependent through their expert too.
    grouped = regressor(1, alpha=1e-10, dispersion_prior=0.0, tol=1e-12).fit(X, Y, units=UNITS)
    by_unit = grouped.inference(X, Y, method="sandwich", units=UNITS).standard_errors
    assert_allclose(by_unit[:3], found.standard_errors[:3] / np.sqrt(few), rtol=1e-3)
    # Rows that repeat tell nothing new.
    index = np.repeat(np.arange(N_ROWS), 2)
    twice = regressor(1).fit(X[index], Y[index])
    naive = twice.inference(X[index], Y[index], method="sandwich").standard_errors
    clustered = twice.inference(X[index], Y[index], method="sandwich", cluster=index)
    assert_allclose(clustered.standard_errors[:3], np.sqrt(2.0) * naive[:3], rtol=1e-2)


def test_rows_of_weight_zero_are_absent_from_units():
    weight = np.where(np.arange(N_ROWS) % 4 == 0, 0.0, 1.0)
    weight[UNITS == 7] = 0.0
    kept = weight > 0.0
    weighted = regressor().fit(X, Y, sample_weight=weight, units=UNITS)
    without = regressor().fit(X[kept], Y[kept], units=UNITS[kept])
    n_units = len(np.unique(UNITS[kept]))
    assert weighted.n_units_ == without.n_units_ == n_units
    given, own = {"units": UNITS, "sample_weight": weight}, {"units": UNITS[kept]}
    rows = X[kept], Y[kept]
    assert_allclose(
        weighted.score_samples(X, Y, **given), without.score_samples(*rows, **own), rtol=1e-9
    )
    labels = weighted.responsibilities(X, Y, **given).labels
    assert_array_equal(labels, without.responsibilities(*rows, **own).labels)
    assert_allclose(weighted.bic(X, Y, **given), without.bic(*rows, **own))
    for more, fewer in (
        ({}, {}),
        (
            {"cluster": UNITS // 2, "method": "sandwich"},
            {"cluster": UNITS[kept] // 2, "method": "sandwich"},
        ),
    ):
        found = weighted.inference(X, Y, **given, **more).standard_errors
        assert_allclose(found, without.inference(*rows, **own, **fewer).standard_errors, rtol=1e-6)


def test_a_bootstrap_draws_whole_units():
    moe = fitted()
    options = {"method": "bootstrap", "n_bootstrap": 12, "random_state": 0}
    found = moe.inference(X, Y, units=UNITS, **options).standard_errors
    observed = moe.inference(X, Y, units=UNITS).standard_errors
    ratio = found[observed > 0] / observed[observed > 0]
    assert 0.7 < np.median(ratio) < 1.4


# --- refusals and warnings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "words"),
    [
        (np.arange(N_ROWS - 1), ("one entry", "200 rows")),
        (np.where(np.arange(N_ROWS) == 7, np.nan, np.arange(200.0)), ("missing",)),
        ([None, *range(N_ROWS - 1)], ("missing",)),
        (np.zeros((N_ROWS, 2)), ("one dimension",)),
    ],
)
def test_invalid_units_are_refused(units, words):
    assert_fit_refused(regressor(), (X, Y), "units", *words, units=units)


def test_combinations_that_units_do_not_allow_are_refused():
    few = np.arange(N_ROWS) % 2
    assert_fit_refused(regressor(), (X, Y), "n_experts", "number of units", units=few)
    varying = regressor(gate="softmax", gate_features=[1])
    words = "constant", "'x1'", "transform('mean')"
    assert_fit_refused(varying, (X, Y), "gate_features", *words, units=UNITS)


def test_a_unit_that_no_expert_can_have_made_is_refused():
    rng = np.random.default_rng(0)
    units, features = np.repeat(np.arange(20), 2), rng.normal(size=(40, 1))
    y = np.where(np.arange(40) % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    moe = regressor(2, family=["zero", "gamma"])
    assert_fit_refused(moe, (features, y), "units", "possible under one", units=units)
    possible = np.where(units % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    for given in (moe, clone(moe).set_params(init=np.full((40, 2), 0.5))):
        assert_allclose(given.fit(features, possible, units=units).weights_[0], 0.5, atol=0.02)


@pytest.mark.parametrize(
    ("proba", "words"),
    [
        (np.ones((3, 2)), ("shape",)),
        (np.full((4, 3), 0.4), ("sum to 1", "row 0")),
        (np.array([[0.5, 0.5, 0.0]] * 3 + [[1.5, -0.5, 0.0]]), ("row 3",)),
        (np.array([[np.nan, 0.5, 0.5]] + [[0.5, 0.5, 0.0]] * 3), ("row 0",)),
    ],
)
def test_invalid_probabilities_are_refused(proba, words):
    assert_refused(refusal(fitted().predict, X[:4], gate_proba=proba), "gate_proba", *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluster": UNITS}, ("method",)),
        ({"cluster": np.zeros(N_ROWS), "method": "sandwich"}, ("two distinct labels",)),
        ({"cluster": np.arange(N_ROWS), "method": "sandwich"}, ("rows of a unit together",)),
        ({"cluster": np.arange(3), "method": "sandwich"}, ("one entry", "200 rows")),
    ],
)
def test_invalid_clusters_are_refused(options, words):
    message = refusal(fitted().inference, X, Y, units=UNITS, **options)
    assert_refused(message, "cluster", *words)


@pytest.mark.parametrize(
    "method", ["score_samples", "responsibilities", "bic", "inference", "summary"]
)
def test_units_that_are_left_out_are_missed_once(method):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(fitted(), method)(X, Y)
    assert sum(f"{method} got no units" in str(warning.message) for warning in caught) == 1


# --- rows in parts ------------------------------------------------------------------------------


def sorted_panel(n_units=50):
    features, y, units, regimes = panel(n_units, 4)
    order = np.argsort(units, kind="stable")
    return features[order], y[order], units[order], regimes


def blocks_of(features, y, units, size, weight=None):
    parts = [slice(i, i + size) for i in range(0, len(y), size)]
    weights = np.ones(len(y)) if weight is None else weight
    return RowBlocks(lambda: ((features[p], y[p], weights[p], None, units[p]) for p in parts))


def test_blocks_of_whole_units_give_the_fit_in_memory():
    features, y, units, _ = sorted_panel()
    weight = np.random.default_rng(0).integers(0, 3, size=len(y)).astype(float)
    moe = regressor(tol=1e-9, max_iter=500)
    in_memory = clone(moe).fit(features, y, sample_weight=weight, units=units)
    for blocks in (
        blocks_of(features, y, units, 20, weight),
        RowBlocks.from_arrays(features, y, sample_weight=weight, units=units),
    ):
        in_blocks = clone(moe).fit(blocks)
        assert_allclose(in_blocks.lower_bound_, in_memory.lower_bound_, atol=1e-6)
        assert_allclose(in_blocks.expert_coef_, in_memory.expert_coef_, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda X, y, u: blocks_of(X, y, u, 30), "RowBlocks", ("one block", "unit 7")),
        (
            lambda X, y, u: blocks_of(X, y, np.roll(u, 2), 200),
            "block 0",
            (
                "units",
                "next to each",
            ),
        ),
        (
            lambda X, y, u: RowBlocks(lambda: iter([(X, y, None, None, u), (X, y)])),
            "RowBlocks",
            ("units", "every block or in none"),
        ),
    ],
)
def test_blocks_that_cut_a_unit_are_refused(change, name, words):
    assert_fit_refused(regressor(2), (change(*sorted_panel()[:3]),), name, *words)


def test_streams_of_units():
    moe = regressor(n_init=1)
    for seed in range(5):
        features, y, units, regimes = panel(60, 5, seed=seed)
        moe.partial_fit(features, y, units=units)
    resp = moe.responsibilities(features, y, units=units).proba
    assert adjusted_rand_score(regimes, resp.argmax(axis=1)) > 0.8
    assert moe.n_units_ == 300
