"""Offsets: the log of an exposure is added to every linear predictor, wherever rows are used."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor

from skmoe import MixtureOfExpertsRegressor, model_selection
from skmoe.exceptions import FitMismatchWarning
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_text
from skmoe.metrics import log_density_scorer, make_interval_scorers, neg_crps_scorer
from support.fits import fit_quietly

N = 600
X = np.random.default_rng(0).uniform(-2, 2, size=(N, 2))
RATE = np.exp(0.5 + np.abs(X[:, 0]))  # two regimes, with slopes of -1 and 1
EXPOSURE = np.random.default_rng(1).uniform(0.05, 4.0, size=N)
OFFSET = np.log(EXPOSURE)
Y = np.random.default_rng(2).poisson(EXPOSURE * RATE)


def mixture(n_experts=2, **options):
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}
    return MixtureOfExpertsRegressor(n_experts, family="poisson", **fixed | options)


@cache
def fitted(tol=1e-6, **options):
    """A fit that tests read only."""
    return mixture(tol=tol, **options).fit(X, Y, offset=OFFSET)


# --- fits ---------------------------------------------------------------------------------------


def test_every_output_can_have_an_exposure_of_its_own():
    exposure = np.column_stack([EXPOSURE, EXPOSURE[::-1]])
    y = np.random.default_rng(3).poisson(exposure * RATE[:, None] * [1.0, 2.0])
    joint = mixture(1, tol=1e-14).fit(X, y, offset=np.log(exposure))
    for j in range(2):
        alone = mixture(1, tol=1e-14).fit(X, y[:, j], offset=np.log(exposure[:, j]))
        assert_allclose(joint.expert_coef_[0, j], alone.expert_coef_[0], atol=1e-6)
        mean = joint.predict(X, offset=np.log(exposure))[:, j]
        assert_allclose(mean, alone.predict(X) * exposure[:, j], rtol=1e-6)
    same = mixture(1, tol=1e-14).fit(X, y, offset=OFFSET)
    both = mixture(1, tol=1e-14).fit(X, y, offset=np.column_stack([OFFSET, OFFSET]))
    assert_allclose(same.expert_coef_, both.expert_coef_, atol=1e-9)


def test_first_iteration_is_one_of_rates():
    """Starts look at rates, so that exposures of any size leave the regimes as they are."""
    exposure = np.exp(np.random.default_rng(7).uniform(-4.0, 4.0, size=N))
    y = np.round(1000.0 * exposure * RATE)
    moe = fit_quietly(mixture(max_iter=1), X, y, offset=np.log(exposure))
    right = moe.predict_gate(X)[:, moe.expert_coef_[:, 0].argmax()]
    assert np.mean((right > 0.5) == (X[:, 0] > 0.0)) > 0.95


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"gate": SoftmaxGate(top_k=1)}],
    ids=["mixture", "routed"],
)
def test_means_are_rates_times_exposure(options):
    moe = fit_quietly(mixture(**options), X, Y, offset=OFFSET)
    assert_allclose(moe.predict(X, offset=OFFSET), EXPOSURE * moe.predict(X))
    assert_allclose(moe.predict(X, offset=np.zeros(N)), moe.predict(X))
    experts = moe.predict_experts(X, offset=OFFSET)
    assert_allclose(experts, EXPOSURE[:, None] * moe.predict_experts(X))
    assert_allclose(np.mean(moe.predict(X, offset=OFFSET)), Y.mean(), rtol=0.03)


def test_distributions_are_of_counts_in_the_exposure():
    moe = fitted()
    dist = moe.predict_dist(X, offset=OFFSET)
    gate, means = moe.predict_gate(X), moe.predict_experts(X, offset=OFFSET)
    joint = gate * stats.poisson.pmf(Y[:, None], means)
    pmf = joint.sum(axis=1)
    assert_allclose(dist.pmf(Y), pmf)
    assert_allclose(moe.score_samples(X, Y, offset=OFFSET), np.log(pmf))
    assert_array_equal(moe.predict_interval(X, 0.8, offset=OFFSET), dist.interval(0.8))
    assert_array_equal(moe.predict_quantile(X, 0.3, offset=OFFSET), dist.ppf(0.3))
    draws = moe.sample(X, n_samples=3, random_state=0, offset=OFFSET)
    assert_array_equal(draws, dist.rvs(3, random_state=0))
    assert_allclose(moe.responsibilities(X, Y, offset=OFFSET), joint / pmf[:, None], atol=1e-10)


def test_scores_and_criteria_are_those_of_the_exposures():
    moe = fitted()
    prediction = moe.predict(X, offset=OFFSET)
    r2 = 1.0 - np.square(Y - prediction).sum() / np.square(Y - Y.mean()).sum()
    assert_allclose(moe.score(X, Y, offset=OFFSET), r2)
    log_likelihood = moe.score_samples(X, Y, offset=OFFSET).sum()
    assert_allclose(moe.aic(X, Y, offset=OFFSET), 2.0 * moe.n_parameters_ - 2.0 * log_likelihood)
    bic = np.log(N) * moe.n_parameters_ - 2.0 * log_likelihood
    assert_allclose(moe.bic(X, Y, offset=OFFSET), bic)
    assert moe.icl(X, Y, offset=OFFSET) > bic
    assert_allclose(log_density_scorer(moe, X, Y, offset=OFFSET), log_likelihood / N)
    crps = moe.predict_dist(X, offset=OFFSET).crps(Y).mean()
    assert_allclose(neg_crps_scorer(moe, X, Y, offset=OFFSET), -crps)
    coverage = make_interval_scorers(0.8)["coverage"]
    assert coverage(moe, X, Y, offset=OFFSET) > 0.8 > coverage(moe, X, Y, offset=np.zeros(N))


# --- other ways of a fit ------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["auto", "bic"])
def test_numbers_of_experts_are_selected_with_the_offset(criterion):
    data, given = (X[:300], Y[:300]), {"offset": OFFSET[:300]}
    alone = mixture().fit(*data, **given)
    moe = fit_quietly(mixture(criterion), *data, **given)
    assert moe.n_experts_ == 2
    expected = {
        "auto": alone.score_samples(*data, **given).mean(),
        "bic": -alone.bic(*data, **given),
    }
    # Held-out rows have lower densities.
    tolerance = {"auto": {"atol": 0.15}, "bic": {"rtol": 0.01}}
    assert_allclose(moe.n_experts_scores_[1], expected[criterion], **tolerance[criterion])


# --- base models --------------------------------------------------------------------------------


def boosted_trees():
    return HistGradientBoostingRegressor(loss="poisson", max_iter=15, max_bins=32, random_state=0)


def test_a_base_enters_as_the_log_of_its_prediction():
    based = fit_quietly(mixture(base=boosted_trees()), X, Y)
    prediction = based.base_.predict(X)
    # The experts multiply the prediction of the base.
    table = np.column_stack([np.ones(N), X])
    factors = np.exp(table @ np.column_stack([based.expert_intercept_, based.expert_coef_]).T)
    assert_allclose(based.predict_experts(X), prediction[:, None] * factors)
    assert_allclose(based.predict_dist(X).mean, based.predict(X))
    assert "base" in based.gate_feature_names_
    assert "expected y = exp(log(base) " in export_text(based)
    assert "expected y = exp(log(base) + linear predictor)" in str(based.summary())
    assert_allclose(based.predict(X).mean(), Y.mean(), rtol=0.03)


@pytest.mark.parametrize("call", ["n_experts_table", "n_experts_test", "likelihood_ratio_test"])
def test_comparisons_of_a_fitted_mixture_warn_of_its_forgotten_offset(call):
    moe, arguments = fitted(), {"n_bootstrap": 1, "n_experts": 1}
    if call == "n_experts_table":
        arguments = {"n_experts": [1], "init": None}
    models = [moe]
    if call == "likelihood_ratio_test":
        smaller = fit_quietly(mixture(shared_features=[1]), X, Y, offset=OFFSET)
        models, arguments = [smaller, mixture()], {}
    with pytest.warns(FitMismatchWarning, match=f"{call} got no offset, unlike the fit.*Pass it"):
        getattr(model_selection, call)(*models, X, Y, **arguments)
