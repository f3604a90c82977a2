"""Fits with random effects that must agree, and densities by dense matrices."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LinearRegression

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.people import ML, fitted, log_densities, regressor, table

DATA = table()
X, Y, UNITS, N = DATA.X, DATA.y, DATA.units, len(DATA.y)
ONCE = np.sort(np.unique(UNITS, return_index=True)[1])


def assert_same(moe, other, rtol=1e-6):
    """Estimates agree."""
    for name in ("expert_coef_", "random_covariance_", "noise_variance_", "gate_coef_"):
        values = getattr(other, name)
        assert_allclose(getattr(moe, name), values, rtol=rtol, atol=rtol * np.abs(values).max())


def test_densities_of_units_are_those_of_dense_matrices():
    assert_allclose(
        fitted().score_samples(X, Y, units=UNITS), log_densities(fitted(), DATA), rtol=1e-10
    )


def test_regimes_and_effects_are_found():
    resp = fitted().responsibilities(X, Y, units=UNITS).rows(UNITS)
    is_first = DATA.regimes == DATA.regimes[resp[:, 0].argmax()]
    assert ((resp[:, 0] > 0.5) == is_first)[np.abs(resp[:, 0] - 0.5) > 0.45].mean() > 0.95
    assert_allclose(np.sort(fitted().expert_coef_[:, 0]), [-1.0, 1.5], atol=0.3)
    assert_allclose(np.diag(fitted().random_covariance_[0]), [2.25, 0.16], rtol=0.6)


def test_copies_of_a_row_in_a_unit_are_several_rows():
    moe = regressor(1, **ML).fit(np.vstack([X, X]), np.append(Y, Y), units=np.append(UNITS, UNITS))
    densities = moe.score_samples(np.vstack([X, X]), np.append(Y, Y), units=np.append(UNITS, UNITS))
    assert moe.lower_bound_ * 2 * N == pytest.approx(densities.sum(), abs=1e-8)


def test_summaries_count_units_as_the_criteria_do():
    given = {"units": UNITS, "sample_weight": 1.0 + (UNITS < 10)}
    moe = regressor(1, **ML).fit(X, Y, **given)
    facts = moe.summary(X, Y, **given).facts
    assert float(facts["units"]) == len(np.unique(UNITS)) + 10
    extra = moe.bic(X, Y, **given) - moe.aic(X, Y, **given)
    assert (np.log(float(facts["units"])) - 2.0) * moe.n_parameters_ == pytest.approx(extra)


def test_rows_whose_y_is_missing_contribute_nothing():
    missing = (np.random.default_rng(0).random(N) < 0.2) | (UNITS == 3)
    holes, kept = np.where(missing, np.nan, Y), ~missing
    moe = regressor(n_init=2).fit(X, holes, units=UNITS)
    other = regressor(n_init=2).fit(X[kept], Y[kept], units=UNITS[kept])
    assert_same(moe, other, rtol=1e-12)
    given, rest = {"units": UNITS}, (X[kept], Y[kept])
    errors = moe.inference(X, holes, **given).standard_errors
    assert_allclose(errors, other.inference(*rest, units=UNITS[kept]).standard_errors)
    assert moe.aic(X, holes, **given) == pytest.approx(other.aic(*rest, units=UNITS[kept]))
    resp = moe.responsibilities(X, holes, **given)
    row = int(np.flatnonzero(UNITS == 3)[0])
    assert_allclose(resp.rows(UNITS)[row], moe.predict_gate(X[[row]])[0])


def test_row_blocks_of_whole_units():
    order = np.argsort(UNITS, kind="stable")
    ends = np.searchsorted(UNITS[order], [20, 40])

    def blocks():
        for own in np.split(order, ends):
            yield X[own], Y[own], None, None, UNITS[own]

    moe = regressor(n_init=2).fit(RowBlocks(blocks))
    assert_same(moe, fitted(), rtol=1e-5)
    assert moe.n_units_ == fitted().n_units_


def test_sparse_features():
    moe = regressor(n_init=2, **ML).fit(sparse.csr_array(X), Y, units=UNITS)
    assert_same(moe, fitted(**ML), rtol=1e-5)
    known = {"y": Y, "units": UNITS}
    assert_allclose(
        moe.predict(sparse.csr_array(X), **known),
        fitted(**ML).predict(X, **known),
        rtol=1e-5,
        atol=1e-4,
    )


def test_outputs_have_effects_of_their_own_and_can_be_swapped():
    Z = np.column_stack([Y, X[:, 0] + np.random.default_rng(0).normal(size=N)])
    one, other = (regressor(1, **ML).fit(X, Z[:, own], units=UNITS) for own in ([0, 1], [1, 0]))
    assert one.random_covariance_.shape == (1, 2, 2, 2)
    assert_allclose(one.random_covariance_, other.random_covariance_[:, ::-1], rtol=1e-5, atol=1e-8)
    alone = regressor(1, **ML).fit(X, Y, units=UNITS)
    assert_allclose(one.random_covariance_[:, 0], alone.random_covariance_, rtol=1e-5)
    inference = one.inference(X, Z, units=UNITS)
    terms = [tuple(term) for term in inference.terms]
    i = terms.index(("expert 0", "y0", "var(x0)"))
    j = terms.index(("expert 0", "y1", "var(x0)"))
    assert inference.estimates[i] == one.random_covariance_[0, 0, 1, 1]
    assert inference.estimates[j] == one.random_covariance_[0, 1, 1, 1]
    known = alone.predict(X, y=Y, units=UNITS)
    assert_allclose(one.predict(X, y=Z, units=UNITS)[:, 0], known, rtol=1e-5, atol=1e-5)


def test_known_experts_are_those_of_their_units():
    known = np.where(UNITS < 20, DATA.regimes, -1)
    moe = regressor(n_init=2).fit(X, Y, units=UNITS, known_experts=known)
    assert moe.expert_coef_[1, 0] > 0.0 > moe.expert_coef_[0, 0]


def test_covariances_of_each_expert():
    moe = regressor(random_covariance="per_expert", n_init=2, **ML).fit(X, Y, units=UNITS)
    assert moe.n_parameters_ == fitted(**ML).n_parameters_ + 3
    assert moe.lower_bound_ > fitted(**ML).lower_bound_
    assert not np.allclose(*moe.random_covariance_)
    assert_array_equal(*fitted(**ML).random_covariance_)


def test_effects_of_features_without_slope():
    moe = regressor(1, expert_features=[1], random_features=[0], **ML).fit(X, Y, units=UNITS)
    assert moe.expert_coef_[0, 0] == 0.0
    assert moe.random_covariance_[0, 1, 1] > 1.0  # the slopes of both regimes
    assert moe.n_parameters_ == 2 + 1 + 3


def test_without_differences_of_units_effects_are_zero_and_the_rest_is_least_squares():
    # Residuals whose sums in each unit are zero leave less than nothing to units.
    units = np.repeat(np.arange(40), 4)
    x = np.random.default_rng(0).normal(size=(160, 1))
    y = 2.0 * x[:, 0] + np.tile([1.0, -1.0, 1.0, -1.0], 40)
    moe = MixtureOfExpertsRegressor(1, random_features=[], random_state=0, **ML)
    moe.fit(x, y, units=units)
    plain = LinearRegression().fit(x, y)
    assert moe.converged_
    assert_allclose(moe.random_covariance_, 0.0, atol=1e-10)
    assert_allclose(moe.expert_coef_[0], plain.coef_, rtol=1e-6)
    summary = moe.summary(x, y, units=units)
    inference = summary.inference
    index = [tuple(term) for term in inference.terms].index(("expert 0", "", "var(intercept)"))
    assert inference.reasons[index] == "zero"
    assert "the variance of the random effect is zero" in " ".join(str(summary).split())


def test_effects_that_depend_on_each_other_are_named():
    rng, units = np.random.default_rng(0), np.repeat(np.arange(50), 6)
    time = np.tile(np.arange(6.0), 50)
    y = (1.0 + time) * rng.normal(size=50)[units] + 0.5 * rng.normal(size=300)
    moe = MixtureOfExpertsRegressor(1, random_features=[0], random_state=0, **ML)
    moe.fit(time[:, None], y, units=units)
    is_singular = np.linalg.eigvalsh(moe.random_covariance_[0])[0] < 1e-6
    text = " ".join(str(moe.summary(time[:, None], y, units=units)).split())
    assert ("random effects is singular" in text) == is_singular


def test_one_population_is_one_regime_and_two_are_two():
    rng, units = np.random.default_rng(0), np.repeat(np.arange(150), 5)
    time, n = np.tile(np.arange(5.0), 150), 750
    effect = 2.0 * rng.normal(size=150)[units]
    one = 10.0 - 0.3 * time + effect + rng.normal(size=n)
    two = one + 1.3 * time * (units < 60)
    moe = MixtureOfExpertsRegressor(gate="constant", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert moe.fit(time[:, None], one, units=units).n_experts_ > 2
    moe.set_params(random_features=[])
    assert moe.fit(time[:, None], one, units=units).n_experts_ == 1
    assert moe.fit(time[:, None], two, units=units).n_experts_ == 2


@pytest.mark.parametrize("method", ["sandwich", "bootstrap"])
def test_other_standard_errors_are_near_those_of_the_information(method):
    options = {"n_bootstrap": 40, "random_state": 0} if method == "bootstrap" else {}
    moe = regressor(1, gate="constant", gate_features=None, expert_features=[0, 1])
    data = table(200, seed=3)
    own = data.take(data.regimes == 0)
    moe.fit(own.X, own.y, units=own.units)
    expected = moe.inference(own.X, own.y, units=own.units)
    found = moe.inference(own.X, own.y, units=own.units, method=method, **options)
    assert_allclose(found.standard_errors / expected.standard_errors, 1.0, atol=0.45)
    is_variance = [term.name.startswith("var") for term in found.terms]
    assert (found.conf_int()[is_variance] > 0.0).all()
