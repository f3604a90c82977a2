"""Fits of series that must be equal, or nearly so."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmoe.gates import MarkovGate
from support.fits import fit_quietly
from support.series import (
    PLAIN,
    regressor,
    table,
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


def test_labels_of_units_and_scale_of_time_do_not_matter():
    moe = regressor(max_iter=10)
    own = fit(moe, DATA)
    numbers = np.unique(DATA.units, return_inverse=True)[1]
    later = np.datetime64("2020-01-01") + (DATA.time * 1e6).astype("timedelta64[s]")
    for units in (-7 * numbers, numbers.astype(float)):
        assert_same(own, fit(moe, DATA, units=units), rtol=1e-6)
    instants = pd.Series(later).dt.tz_localize("UTC")
    for time in (np.argsort(np.argsort(DATA.time)), later, instants):
        assert_same(own, fit(moe, DATA, time=time), rtol=1e-9)


def test_without_time_rows_are_in_order_and_without_units_they_are_one_series():
    order = np.lexsort((DATA.time, DATA.units))
    data, moe = DATA.take(order), regressor(max_iter=10)
    assert_same(fit(moe, data), fit(moe, data, time=None), rtol=1e-9)
    first = data.take(np.flatnonzero(data.units == "u0"))
    assert_same(fit(moe, first), fit(moe, first, units=None, time=None), rtol=1e-9)


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


def test_rows_without_y_at_the_end_change_nothing():
    """They are forecasts, of which the fit learns nothing; features are standardised alike."""
    moe = regressor(**PLAIN, **{"gate_features": []})
    own = fit(moe, DATA)
    X = np.concatenate([DATA.X, DATA.X])
    units, time = np.tile(DATA.units, 2), np.concatenate([DATA.time, DATA.time + 1000.0])
    y = np.concatenate([DATA.y, np.full(len(DATA.y), np.nan)])
    longer = fit_quietly(clone(moe), X, y, units=units, time=time)
    assert_same(own, longer, rtol=1e-4, atol=1e-5, names=ATTRIBUTES[:-1])


# --- the search -----------------------------------------------------------------------------------
