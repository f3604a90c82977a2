"""Fits of series that must be equal, or nearly so."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe.gates import MarkovGate
from support.fits import ends_of_starts, fit_quietly
from support.series import (
    PLAIN,
    chain_of,
    classifier,
    plain_passes,
    regressor,
    rows_of_series,
    table,
    with_holes,
)

DATA = table()
ATTRIBUTES = (
    "initial_probabilities_",
    "transition_matrix_",
    "transition_coef_",
    "transition_intercept_",
    "expert_coef_",
    "expert_intercept_",
    "noise_variance_",
    "lower_bound_",
)


def assert_same(one, other, rtol=1e-6, atol=1e-8, names=ATTRIBUTES):
    for name in names:
        if hasattr(one, name):
            assert_allclose(
                getattr(other, name), getattr(one, name), rtol=rtol, atol=atol, err_msg=name
            )


def fit(moe, data, y=None, **given):
    return fit_quietly(clone(moe), data.X, data.y if y is None else y, **data.series | given)


# --- what changes no answer -----------------------------------------------------------------------


START = 0.1 + 0.8 * np.eye(2)[DATA.regimes]
BY_ROW = {
    "nothing else": (regressor(), DATA.y, {}),
    "missing y": (regressor(), with_holes(DATA.y), {}),
    "outputs": (regressor(), np.column_stack([DATA.y, DATA.X[:, 2]]), {}),
    "offset": (regressor(family="poisson"), DATA.of_family("poisson"), {"offset": DATA.X[:, 2]}),
    "known experts": (
        regressor(),
        DATA.y,
        {"known_experts": np.where(np.arange(len(DATA.y)) % 4, -1, DATA.regimes)},
    ),
    "weights": (regressor(), DATA.y, {"sample_weight": 1.0 + (DATA.units == "u2")}),
    "start": (regressor(init=START, max_iter=3), DATA.y, {}),
    "groups": (
        regressor(n_experts=[1, 2], max_iter=5),
        DATA.y,
        {"groups": np.where(np.isin(DATA.units, ["u1", "u2"]), "both", DATA.units)},
    ),
    "trees": (regressor(expert="tree", max_iter=3), DATA.y, {}),
}


@pytest.mark.parametrize("case", BY_ROW)
def test_order_of_rows_does_not_matter(case):
    moe, y, given = BY_ROW[case]
    own = fit(moe, DATA, y, **given)
    order = np.random.default_rng(1).permutation(len(y))
    data, moved = DATA.take(order), {name: values[order] for name, values in given.items()}
    moe = clone(moe).set_params(init=START[order] if case == "start" else moe.init)
    other = fit(moe, data, y[order], **moved)
    assert_same(own, other, rtol=1e-9)
    given, moved = (
        {"offset": values["offset"]} if "offset" in values else {} for values in (given, moved)
    )
    predicted = own.predict(DATA.X, y=y, **DATA.series, **given)
    assert_allclose(other.predict(data.X, y=y[order], **data.series, **moved), predicted[order])


def test_labels_of_units_and_scale_of_time_do_not_matter():
    own = fit(regressor(), DATA)
    numbers = np.unique(DATA.units, return_inverse=True)[1]
    later = np.datetime64("2020-01-01") + (DATA.time * 1e6).astype("timedelta64[s]")
    for units in (-7 * numbers, numbers.astype(float)):
        assert_same(own, fit(regressor(), DATA, units=units), rtol=1e-6)
    instants = pd.Series(later).dt.tz_localize("UTC")
    for time in (np.argsort(np.argsort(DATA.time)), later, instants):
        assert_same(own, fit(regressor(), DATA, time=time), rtol=1e-9)


def test_without_time_rows_are_in_order_and_without_units_they_are_one_series():
    order = np.lexsort((DATA.time, DATA.units))
    data = DATA.take(order)
    own = fit(regressor(), data)
    assert_same(own, fit(regressor(), data, time=None), rtol=1e-9)
    first = data.take(np.flatnonzero(data.units == "u0"))
    assert_same(fit(regressor(), first), fit(regressor(), first, units=None, time=None), rtol=1e-9)


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_series_twice_are_weight_two(family):
    y = DATA.y if family == "normal" else DATA.of_family(family)
    twice = np.isin(DATA.units, np.unique(DATA.units)[[0, 2, 3]])
    again = np.flatnonzero(twice)
    X, y_twice, time = (np.concatenate([v, v[again]]) for v in (DATA.X, y, DATA.time))
    units = np.concatenate([DATA.units, np.char.add("copy of ", DATA.units[again])])
    moe = regressor(family=family, **PLAIN)
    # Features are standardised by all rows, so that penalties would be the same too.
    copied = fit_quietly(clone(moe), X, y_twice, units=units, time=time)
    weight = np.where(twice, 2.0, 1.0)
    weighted = fit(moe, DATA, y, sample_weight=weight)
    assert_same(copied, weighted, rtol=1e-4, atol=1e-5)
    errors = [
        copied.inference(X, y_twice, units=units, time=time).standard_errors,
        weighted.inference(DATA.X, y, sample_weight=weight, **DATA.series).standard_errors,
    ]
    assert_allclose(*errors, rtol=1e-4)


def test_series_of_weight_zero_are_absent():
    gone = DATA.units == "u0"
    weight = np.where(gone, 0.0, 1.0)
    kept = DATA.take(np.flatnonzero(~gone))
    moe = regressor(**PLAIN)
    assert_same(fit(moe, kept), fit(moe, DATA, sample_weight=weight), rtol=1e-5, atol=1e-6)


def test_series_without_any_y_are_absent():
    gone = DATA.units == "u0"
    kept = DATA.take(np.flatnonzero(~gone))
    moe = regressor(**PLAIN)
    own = fit(moe, DATA, np.where(gone, np.nan, DATA.y))
    assert_same(fit(moe, kept), own, rtol=1e-5, atol=1e-6)
    assert own.n_series_ == 5


def test_one_expert_is_that_without_a_gate():
    for moe, y in (
        (regressor(1), DATA.y),
        (regressor(1, family="poisson"), DATA.of_family("poisson")),
    ):
        chain, plain = (
            fit(moe, DATA, y),
            fit_quietly(clone(moe).set_params(gate="softmax"), DATA.X, y),
        )
        assert_same(plain, chain, rtol=1e-7)
        assert chain.n_parameters_ == plain.n_parameters_
        assert_allclose(chain.predict(DATA.X, y=y, **DATA.series), plain.predict(DATA.X), rtol=1e-7)
        assert_allclose(
            chain.score_samples(DATA.X, y, **DATA.series), plain.score_samples(DATA.X, y), rtol=1e-7
        )
        errors = (
            chain.inference(DATA.X, y, **DATA.series).standard_errors,
            plain.inference(DATA.X, y).standard_errors,
        )
        assert_allclose(*errors, rtol=1e-5)
        assert_array_equal(chain.decode(DATA.X, y, **DATA.series), 0)
        for given in ("past", "now", "all"):
            proba = chain.responsibilities(DATA.X, y, given=given, **DATA.series)
            assert_array_equal(proba, np.ones((len(y), 1)))


def test_transitions_that_do_not_depend_on_the_last_regime_are_a_softmax_gate():
    """Regimes of rows are drawn apart: the likelihood is hardly larger than that of the mixture."""
    rng = np.random.default_rng(5)
    n = 2000
    X = rng.normal(size=(n, 2))
    regime = rng.random(n) < 1.0 / (1.0 + np.exp(-X[:, 0]))
    y = np.where(regime, 3.0 + X[:, 1], -3.0 - X[:, 1]) + 0.3 * rng.normal(size=n)
    chain = regressor(
        **PLAIN,
    ).fit(X, y)
    mixture = regressor(gate="softmax", **PLAIN).fit(X, y)
    gain = 2.0 * n * (chain.lower_bound_ - mixture.lower_bound_)
    assert -1e-6 < gain < 20.0  # chi-squared of three degrees of freedom
    expected = mixture.predict_gate(X)
    order = np.argsort(mixture.expert_intercept_)[np.argsort(np.argsort(chain.expert_intercept_))]
    assert np.abs(chain.predict_gate(X, y=y) - expected[:, order]).mean() < 0.03


def test_likelihood_of_a_chain_of_equal_transitions_is_that_of_the_mixture():
    """By plain passes with the coefficients of the mixture without persistence."""
    mixture = regressor(gate="softmax", **PLAIN).fit(DATA.X, DATA.y)
    chain = fit(regressor(**PLAIN), DATA)
    assert chain.lower_bound_ > mixture.lower_bound_
    own = chain_of(chain, DATA.X, DATA.y)
    proba = mixture.predict_gate(DATA.X)
    same = own._replace(moves=np.repeat(proba[:, None], 2, axis=1), initial=proba.mean(axis=0))
    passes = plain_passes(same, DATA.units, DATA.time)
    first = [rows[0] for rows in rows_of_series(DATA.units, DATA.time).values()]
    later = np.setdiff1d(np.arange(len(DATA.y)), first)
    assert_allclose(passes.past[later], proba[later], atol=1e-12)


def test_another_random_state_finds_the_same_maximum():
    fits = [fit(regressor(random_state=seed, n_init=4), DATA) for seed in (0, 1)]
    assert_same(*fits, rtol=1e-3, atol=1e-3)


def test_units_of_measurement_do_not_matter():
    own = fit(regressor(), DATA)
    scale, shift = np.array([1e3, 1e-3, 7.0]), np.array([5.0, -2.0, 0.0])
    X, y = DATA.X * scale + shift, 1000.0 * DATA.y + 50.0
    other = fit_quietly(regressor(), X, y, **DATA.series)
    assert_allclose(other.transition_coef_ * 1e3, own.transition_coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(other.transition_matrix_, own.transition_matrix_, rtol=1e-5)
    assert_allclose(
        other.predict(X, y=y, **DATA.series),
        1000.0 * own.predict(DATA.X, **DATA.given) + 50.0,
        rtol=1e-5,
    )
    densities = own.score_samples(DATA.X, DATA.y, **DATA.series)
    assert_allclose(
        other.score_samples(X, y, **DATA.series), densities - np.log(1000.0), rtol=1e-5, atol=1e-6
    )


def test_names_of_classes_do_not_matter():
    own = fit(classifier(), DATA, DATA.classes)
    renamed = np.where(DATA.classes == "b", 7, -1)
    other = fit(classifier(), DATA, renamed)
    assert_array_equal(other.classes_, [-1, 7])
    assert_allclose(
        other.predict_proba(DATA.X, y=renamed, **DATA.series),
        own.predict_proba(DATA.X, y=DATA.classes, **DATA.series),
        atol=1e-9,
    )


def test_transition_matrix_is_that_at_the_mean_features():
    moe = fit(regressor(3), DATA)
    logits = moe.transition_intercept_ + moe.transition_coef_[..., 0] * DATA.X[:, 0].mean()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert_allclose(moe.transition_matrix_, expected, rtol=1e-6)
    assert_allclose(moe.transition_matrix_.sum(axis=1), 1.0)
    assert_allclose(moe.initial_probabilities_.sum(), 1.0)
    assert_allclose(np.exp(moe.initial_intercept_), moe.initial_probabilities_)
    assert moe.n_series_ == 6


@pytest.mark.parametrize("n_experts", [2, 3])
def test_stationary_start_is_that_of_the_transitions(n_experts):
    data = table((60, 50, 45, 40, 35, 30, 25, 20, 15, 10), n_experts, seed=3)
    gate = MarkovGate(initial="stationary")
    moe = fit(regressor(n_experts, gate=gate, gate_features=[], **PLAIN), data)
    free = fit(regressor(n_experts, gate_features=[], **PLAIN), data)
    assert_allclose(moe.initial_probabilities_ @ moe.transition_matrix_, moe.initial_probabilities_)
    assert moe.n_parameters_ == free.n_parameters_ - (n_experts - 1)
    assert moe.lower_bound_ < free.lower_bound_ + 1e-9
    # Rows that nothing is known of have it at any time.
    proba = moe.predict_gate(data.X, **data.series)
    assert_allclose(proba, np.broadcast_to(moe.initial_probabilities_, proba.shape), rtol=1e-9)
    assert "First rows" not in str(moe.summary(data.X, data.y, **data.series))


# --- missing y ------------------------------------------------------------------------------------


def test_missing_y_leaves_the_density_of_its_row_out():
    """At the maximum, the likelihood by plain passes without these densities is stationary."""
    y = with_holes(DATA.y, 4)
    moe = fit(regressor(**PLAIN), DATA, y)
    passes = plain_passes(chain_of(moe, DATA.X, y), DATA.units, DATA.time)
    n_observed = (~np.isnan(y)).sum()
    assert moe.lower_bound_ * n_observed == pytest.approx(passes.log_density.sum(), rel=1e-9)
    # The expected number of rows, with those without y, is a closed form of the initial rows.
    first = [rows[0] for rows in rows_of_series(DATA.units, DATA.time).values()]
    assert_allclose(moe.initial_probabilities_, passes.all[first].mean(axis=0), atol=1e-4)
    resp = passes.all * ~np.isnan(y)[:, None]
    residual = np.nan_to_num(y)[:, None] - moe.predict_experts(DATA.X)
    assert_allclose(
        moe.noise_variance_, (resp * residual**2).sum(axis=0) / resp.sum(axis=0), rtol=1e-4
    )


def test_rows_without_y_at_the_end_change_nothing():
    """They are forecasts, of which the fit learns nothing; features are standardised alike."""
    moe = regressor(**PLAIN, **{"gate_features": []})
    own = fit(moe, DATA)
    X = np.concatenate([DATA.X, DATA.X])
    units, time = np.tile(DATA.units, 2), np.concatenate([DATA.time, DATA.time + 1000.0])
    y = np.concatenate([DATA.y, np.full(len(DATA.y), np.nan)])
    longer = fit_quietly(clone(moe), X, y, units=units, time=time)
    assert_same(own, longer, rtol=1e-4, atol=1e-5, names=ATTRIBUTES[:-1])


@pytest.mark.parametrize("missing", [None, np.nan, "object"])
def test_missing_classes_may_be_none_or_nan(missing):
    y = DATA.classes.astype(object)
    gone = np.arange(len(y)) % 5 == 0
    y[gone] = None if missing == "object" else missing
    moe = fit(classifier(), DATA, y)
    assert_array_equal(moe.classes_, ["a", "b"])
    predicted = moe.predict(DATA.X, y=y, **DATA.series)
    assert set(predicted) == {"a", "b"}
    score = moe.score(DATA.X, y, **DATA.series)
    assert score == pytest.approx((predicted == y)[~gone].mean())
    numbers = np.where(gone, np.nan, DATA.classes == "b")
    assert_allclose(
        fit(classifier(), DATA, numbers).predict_proba(DATA.X, y=numbers, **DATA.series),
        moe.predict_proba(DATA.X, y=y, **DATA.series),
        atol=1e-9,
    )


# --- the search -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("normal", {}),
        ("poisson", {"alpha": 0.0, "gate_alpha": 0.0}),
        ("missing", {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}),
        ("long", {}),
    ],
)
def test_penalised_lower_bound_never_falls(kind, given):
    data = table((400, 300, 50)) if kind == "long" else DATA
    y = data.of_family("poisson") if kind == "poisson" else data.y
    y = with_holes(y) if kind == "missing" else y
    options = {"family": "poisson"} if kind == "poisson" else {}
    moe = fit(regressor(3, n_init=3, tol=1e-7, max_iter=400, **options, **given), data, y)
    for trace in moe.start_traces_:
        assert (np.diff(trace) > -1e-9 * np.abs(trace[1:])).all()
    assert ends_of_starts(moe).max() <= moe.lower_bound_ + 1e-9


def test_maximum_of_long_series_is_that_of_plain_passes():
    data = table((500, 300, 30))
    own = fit(regressor(**PLAIN), data)
    passes = plain_passes(chain_of(own, data.X, data.y), data.units, data.time)
    first = [rows[0] for rows in rows_of_series(data.units, data.time).values()]
    assert_allclose(own.initial_probabilities_, passes.all[first].mean(axis=0), atol=1e-4)
    residual = data.y[:, None] - own.predict_experts(data.X)
    share = passes.all.sum(axis=0)
    assert_allclose(own.noise_variance_, (passes.all * residual**2).sum(axis=0) / share, rtol=1e-4)
