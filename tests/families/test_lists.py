"""Lists of families: zeros, outliers, densities beside point masses, and a choice by the data."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import Gamma
from support.expert_kinds import draw
from support.fits import fit_quietly

FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}


def two_slopes(name, n_rows, seed=0):
    """Two regimes with slopes of -1 and 1 of the linear predictor, drawn from a family."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.1, 4.0))


def mixture(n_experts, family, **options):
    return MixtureOfExpertsRegressor(n_experts, family=family, **FIXED | options)


def test_zero_inflated_counts_are_recovered():
    """The gate finds the share of rows that are always zero."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-2, 2, size=(3000, 2))
    y = draw("poisson", 1.0 + 0.7 * X[:, 0], rng)
    y = np.where(rng.uniform(size=len(y)) < 1 / (1 + np.exp(1 + X[:, 1])), 0.0, y)
    moe = mixture(2, ["zero", "poisson"]).fit(X, y)
    assert_allclose(moe.expert_coef_[1], [0.7, 0.0], atol=0.05)
    share = moe.predict_gate([[2.0, 0.0], [-2.0, 0.0], [2.0, 1.0]])[:, 0]
    assert_allclose(share, 1 / (1 + np.exp([1.0, 1.0, 2.0])), atol=0.06)
    # The point mass has no coefficients, and explains zeros only.
    assert np.isnan(moe.expert_intercept_[0])
    assert not moe.expert_coef_[0].any()
    assert moe.n_parameters_ == 3 + 3
    assert not moe.predict_experts(X)[:, 0].any()
    resp = moe.responsibilities(X, y)
    assert not resp[y > 0, 0].any()
    assert (resp[y == 0, 0] > 0.0).all()


@pytest.mark.parametrize(
    ("n_experts", "family"), [(2, "student_t"), (3, ["normal", "normal", "uniform"])], ids=str
)
def test_outliers_do_not_hide_the_regimes(n_experts, family):
    X, y = two_slopes("normal", 600)
    rng = np.random.default_rng(2)
    gross = rng.uniform(size=len(y)) < 0.05
    y = np.where(gross, rng.uniform(-60, 60, size=len(y)), y)
    error, error_of_normal = (
        np.abs(moe.fit(X, y).predict(X[~gross]) - 1.0 - np.abs(X[~gross, 0])).mean()
        for moe in (mixture(n_experts, family, n_init=3), mixture(2, "normal", n_init=3))
    )
    assert error < 0.35
    assert error_of_normal > 2 * error


def test_order_of_a_list_does_not_matter_where_the_data_choose():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1500, 1))
    right = X[:, 0] > 0
    y = np.where(right, rng.gamma(2.0, 3.0, size=1500), rng.lognormal(1.0, 1.0, size=1500))
    order = ["gamma", "lognormal"]
    moe, swapped = (mixture(2, family, n_init=3).fit(X, y) for family in (order, order[::-1]))
    assert moe.predict_gate([[1.5]])[0, 0] > 0.8
    assert_allclose(moe.lower_bound_, swapped.lower_bound_, atol=2e-3)


def test_normal_expert_beside_another_family_is_a_linear_expert():
    X, y = two_slopes("normal", 100)
    plain = mixture(1, "normal", tol=1e-12, dispersion_prior=0.0).fit(X, y)
    start = np.column_stack([np.ones(100), np.zeros(100)])
    beside = mixture(2, ["normal", "student_t"], init=start, tol=1e-12, dispersion_prior=0.0)
    fit_quietly(beside.set_params(gate="constant", max_iter=1), X, y)
    assert_allclose(beside.expert_coef_[0], plain.expert_coef_[0], rtol=1e-2, atol=1e-2)
    assert_allclose(beside.noise_variance_[0], plain.noise_variance_[0], rtol=0.1)


@pytest.mark.parametrize("family", ["normal", "student_t", "gamma", "lognormal"])
def test_density_beside_a_point_mass_is_that_of_the_distribution(family):
    X, y = two_slopes(family, 100)
    y[::4] = 0.0
    moe = fit_quietly(mixture(2, ["zero", family]), X, y)
    assert_allclose(moe.predict_dist(X).logpdf(y), moe.score_samples(X, y), rtol=1e-9)
    assert_allclose(moe.responsibilities(X, y)[y == 0.0, 0], 1.0, rtol=1e-12)


@dataclass(frozen=True)
class StrictGamma(Gamma):
    """Derivatives are asked for at positive numbers only."""

    def derivatives(self, y, eta):
        assert (y > 0.0).all()
        return super().derivatives(y, eta)

    def second(self, y, eta):
        assert (y > 0.0).all()
        return super().second(y, eta)


def test_derivatives_are_not_asked_for_outside_the_support():
    X, y = two_slopes("gamma", 100)
    y[::4] = 0.0
    strict, plain = (
        fit_quietly(mixture(2, ["zero", family], max_iter=5, tol=0.0), X, y)
        for family in (StrictGamma(), "gamma")
    )
    assert_allclose(strict.expert_coef_, plain.expert_coef_)
    assert np.isfinite(strict.inference(X, y).standard_errors).all()


def test_expert_without_possible_rows_has_a_predictor_of_zero():
    X, y = two_slopes("gamma", 100)
    with pytest.warns(UserWarning, match="collapsed"):
        moe = mixture(2, ["normal", "gamma"]).fit(X, -y)
    assert_allclose([moe.expert_intercept_[1], *moe.expert_coef_[1]], 0.0, atol=1e-12)
    assert_allclose(moe.predict_gate(X)[:, 0], 1.0, atol=1e-2)
