"""Units: the rows of one customer, patient or product have one expert."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.inspection import UnitResponsibilities
from support.fits import FIXED, fit_quietly, fixed_penalties
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


# --- rows and refusals --------------------------------------------------------------------------

# The gate has the first column, which is constant in each unit.
OF_UNITS = np.column_stack([np.unique(UNITS, return_index=True)[1][UNITS], X[:, 1]])
VARYING = OF_UNITS[:, ::-1]


def of_gate(**options):
    return regressor(**{"gate": "softmax", "gate_features": [0], "max_iter": 3} | options)


def test_units_come_in_any_container():
    moe = fit_quietly(of_gate(), OF_UNITS, Y, units=UNITS)
    expected = moe.responsibilities(OF_UNITS, Y, units=UNITS)
    for rows in (OF_UNITS.tolist(), sparse.csr_array(OF_UNITS), pd.DataFrame(OF_UNITS)):
        found = moe.responsibilities(rows, Y.tolist(), units=UNITS.tolist())
        assert_allclose(found.proba, expected.proba, atol=1e-9)
    labels = np.array([f"unit {u:03d}" for u in UNITS])
    named = moe.responsibilities(OF_UNITS[::-1], Y[::-1], units=labels[::-1])
    assert named.labels.tolist() == sorted(set(labels))
    assert_allclose(named.proba, expected.proba, atol=1e-9)
    rows = np.arange(N_ROWS)  # units of one row
    assert moe.responsibilities(VARYING, Y, units=rows).proba.shape == (N_ROWS, 3)


KINDS = pd.Categorical(np.where(OF_UNITS[:, 0] > 90, "a", "b"), ["a", "b"])
# Options, rows, rows whose gate features vary within units, and the column.
ENCODED = {
    "numbers": ({}, OF_UNITS, VARYING, "'x0'"),
    "transformer": ({"gate": SoftmaxGate(transformer=StandardScaler())}, OF_UNITS, VARYING, "'x0'"),
    "category": (
        {"expert": "tree", "gate_features": ["kind"]},
        pd.DataFrame({"size": X[:, 1], "kind": KINDS}),
        pd.DataFrame({"size": X[:, 1], "kind": KINDS[np.argsort(X[:, 0])]}),
        "'kind",
    ),
}


@pytest.mark.parametrize("what", ENCODED)
def test_gate_features_are_constant_within_units(what):
    options, rows, other, column = ENCODED[what]
    moe = fit_quietly(of_gate(**options), rows, Y, units=UNITS)
    assert moe.responsibilities(rows, Y, units=UNITS).proba.shape == (50, 3)
    for method, data in (("responsibilities", (other, Y)), ("predict_gate", (other,))):
        message = refusal(getattr(moe, method), *data, units=UNITS)
        assert_refused(message, "gate_features", "constant within each unit", column)


def test_gate_features_are_constant_after_the_remedy_of_the_message():
    frame, moe = pd.DataFrame(X, columns=["age", "income"]), of_gate()
    remedy = "df.groupby(unit)['age'].transform('mean')"
    assert_fit_refused(
        moe, (frame, Y), "gate_features", "'age'", "varies in unit", remedy, units=UNITS
    )
    reduced = frame.assign(age=frame.groupby(UNITS)["age"].transform("mean"))
    probs = fit_quietly(moe, reduced, Y, units=UNITS).predict_gate(reduced, units=UNITS)
    assert_allclose(probs, probs[np.unique(UNITS, return_index=True)[1]][UNITS], atol=1e-12)
    assert np.ptp(probs[:, 0]) > 0.01


# Units and weights, and the name and further words of the message.
REFUSED = [
    (np.zeros(N_ROWS), None, "n_experts", "number of units", "1"),
    (UNITS, UNITS == 3, "n_experts", "positive weight", "1"),
    (UNITS, UNITS < 2, "n_experts", "units", "2"),
    (UNITS[:-1], None, "units", "one entry", "200 rows"),
    (UNITS[:, None], None, "units", "one dimension"),
    (["a", None] * (N_ROWS // 2), None, "units", "one kind"),
    (np.where(UNITS == 7, np.nan, UNITS), None, "units", "missing"),
    ([None, *range(N_ROWS - 1)], None, "units", "missing"),
]


@pytest.mark.parametrize("case", REFUSED)
def test_units_are_labels_of_rows_and_several(case):
    units, weight, name, *words = case
    assert_fit_refused(regressor(), (X, Y), name, *words, units=units, sample_weight=weight)


@pytest.mark.parametrize(
    ("shape", "row", "word"),
    [
        ((N_ROWS - 1, 3), [0.5, 0.5, 0.0], f"({N_ROWS}, 3)"),
        ((N_ROWS, 2), [0.5, 0.5], f"({N_ROWS}, 3)"),
        ((N_ROWS, 3), [0.2, 0.7, 0.0], "Divide"),
        ((N_ROWS, 3), [1.2, -0.2, 0.0], "row 4"),
        ((N_ROWS, 3), [np.nan, 1.0, 0.0], "row 4"),
        ((N_ROWS, 3), [np.inf, 0.0, 0.0], "row 4"),
    ],
)
def test_given_probabilities_of_experts_are_checked(shape, row, word):
    moe = fitted()
    proba = np.resize([0.5, 0.5, 0.0][: shape[1]], shape)
    proba[4] = row
    for method in (moe.predict, moe.predict_dist):
        assert_refused(refusal(method, X, gate_proba=proba), "gate_proba", word)
    own, slightly = (
        moe.predict_dist(X, gate_proba=factor * moe.predict_gate(X)) for factor in (1, 1 + 9e-7)
    )
    assert_allclose(slightly.mean, own.mean, rtol=1e-12)


def test_a_unit_that_no_expert_can_have_made_is_refused():
    rng = np.random.default_rng(0)
    units, features = np.repeat(np.arange(20), 2), rng.normal(size=(40, 1))
    y = np.where(np.arange(40) % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    moe = regressor(2, family=["zero", "gamma"])
    assert_fit_refused(moe, (features, y), "units", "possible under one", units=units)
    possible = np.where(units % 2 == 0, 0.0, rng.gamma(2.0, size=40))
    for given in (moe, clone(moe).set_params(init=np.full((40, 2), 0.5))):
        assert_allclose(given.fit(features, possible, units=units).weights_[0], 0.5, atol=0.02)
