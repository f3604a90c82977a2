"""Several outputs with a covariance matrix for each expert: `covariance_type="full"`."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.mixture import GaussianMixture

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.exceptions import DegenerateExpertWarning
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_text
from skmoe.metrics import neg_energy_score_scorer
from support.fits import fit_quietly

IRIS = load_iris().data
FREE = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-10, "max_iter": 2000}


def joint(n_experts=2, **options):
    options = {"covariance_type": "full", "random_state": 0} | options
    return MixtureOfExpertsRegressor(n_experts, **options)


def two_regimes(n_rows=600):
    """Rows whose outputs have opposite correlations in both regimes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    noise = rng.normal(size=(n_rows, 2))
    noise[:, 1] = 0.8 * np.sign(X[:, 0]) * noise[:, 0] + 0.6 * noise[:, 1]
    mean = np.where(X[:, :1] > 0.0, [1.0, 2.0], [-3.0, 4.0])
    return X, mean + X[:, 1:] + noise


def test_one_expert_is_least_squares_with_the_covariance_of_the_residuals():
    X, Y = IRIS[:, :1], IRIS[:, 1:]
    moe = joint(1, **FREE).fit(X, Y)
    least_squares = LinearRegression().fit(X, Y)
    assert_allclose(moe.expert_coef_[0], least_squares.coef_, rtol=1e-8)
    residual = Y - least_squares.predict(X)
    covariance = residual.T @ residual / len(Y)
    assert_allclose(moe.expert_covariance_[0], covariance, rtol=1e-8)
    logs = stats.multivariate_normal(cov=covariance).logpdf(residual)
    assert_allclose(moe.score_samples(X, Y), logs, rtol=1e-8)
    assert_allclose(moe.predict_dist(X).joint_logpdf(Y), logs, rtol=1e-8)


def test_penalised_coefficients_do_not_depend_on_the_covariance():
    """The prior of the slopes is in units of the noise, so that they are those of ridge."""
    X, Y = IRIS[:, :2], IRIS[:, 2:]
    moe = joint(1, alpha=20.0).fit((X - X.mean(axis=0)) / X.std(axis=0), Y)
    ridge = Ridge(20.0).fit((X - X.mean(axis=0)) / X.std(axis=0), Y)
    assert_allclose(moe.expert_coef_[0], ridge.coef_, rtol=1e-7)


@pytest.mark.parametrize(("dispersion", "kind"), [("per_expert", "full"), ("shared", "tied")])
def test_without_features_it_is_a_gaussian_mixture(dispersion, kind):
    options = {"gate": "constant", "expert_features": [], "dispersion": dispersion}
    moe = joint(2, n_init=4, **options, **FREE).fit(IRIS[:, :1], IRIS)
    other = GaussianMixture(2, covariance_type=kind, reg_covar=0.0, tol=1e-12, max_iter=10_000)
    other = other.set_params(random_state=0).fit(IRIS)
    assert_allclose(moe.score_samples(IRIS[:, :1], IRIS).mean(), other.score(IRIS), rtol=1e-9)
    order = np.argsort(-other.weights_)
    assert_allclose(moe.weights_, other.weights_[order], atol=1e-5)
    covariances = other.covariances_[order] if kind == "full" else [other.covariances_] * 2
    assert_allclose(moe.expert_covariance_, covariances, atol=1e-5)


@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_of_one_output_it_is_the_default(family):
    X, y = IRIS[:, :1], IRIS[:, 2]
    given = {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0, "tol": 1e-10}
    one, other = (
        joint(2, family=family, covariance_type=kind, n_init=1, **given).fit(X, y)
        for kind in ("full", "diag")
    )
    assert_allclose(one.score_samples(X, y), other.score_samples(X, y), rtol=1e-4, atol=1e-4)
    assert one.n_parameters_ == other.n_parameters_
    assert_allclose(one.inference(X, y).estimates, other.inference(X, y).estimates, atol=1e-3)


def test_regimes_of_one_mean_are_told_apart_by_their_correlations():
    X, Y = two_regimes()
    moe = joint(n_init=4).fit(X, Y)
    full, diag = (
        m.score_samples(X, Y).sum() for m in (moe, joint(covariance_type="diag").fit(X, Y))
    )
    assert full > diag + 200.0
    inference = moe.inference(X, Y)
    terms = [term for term in inference.terms if term.name == "atanh(correlation)"]
    assert [term.response for term in terms] == ["y0, y1"] * 2
    frame = inference.to_frame()
    z = [frame.loc[tuple(term), "z"] for term in terms]
    assert max(z) > 10.0
    assert min(z) < -10.0


def test_texts_have_the_correlation_of_each_pair():
    X, Y = two_regimes(200)
    text = export_text(joint(1).fit(X, Y))
    assert re.search(r"^  correlation: [-+]?0\.\d+$", text, re.MULTILINE)
    text = export_text(joint(1).fit(X, np.column_stack([Y, X[:, 0] - Y[:, 0]])))
    pairs = re.findall(r"correlation of (y\d, y\d): ", text)
    assert pairs == ["y0, y1", "y0, y2", "y1, y2"]


def test_covariances_of_collinear_outputs_stay_above_their_floor():
    """Outputs of which one is a multiple of the other have a combination of no variance."""
    X, Y = two_regimes(200)
    moe = joint(n_init=4, **FREE | {"tol": 1e-6})
    with pytest.warns(DegenerateExpertWarning, match="linear function of X or of the others"):
        moe.fit(X, np.column_stack([Y, 2.0 * Y[:, 0]]))
    scale = np.append(Y.std(axis=0), 2.0 * Y[:, 0].std())
    standard = moe.expert_covariance_ / np.outer(scale, scale)
    assert_allclose(np.linalg.eigvalsh(standard)[:, 0], 1e-6, rtol=1e-3)
    assert np.all(np.diff(moe.lower_bounds_) >= -1e-9)
    inference = moe.inference(X, np.column_stack([Y, 2.0 * Y[:, 0]]))
    pairs = zip(inference.terms, inference.reasons, strict=True)
    assert {reason for term, reason in pairs if "(" in term.name[1:]} == {"at its bound"}


def test_row_blocks_and_streams_have_the_same_covariances():
    X, Y = two_regimes(500)
    given = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1}
    moe = joint(**given).fit(X, Y)
    of_blocks = joint(**given).fit(RowBlocks.from_arrays(X, Y))
    assert_allclose(of_blocks.expert_covariance_, moe.expert_covariance_, rtol=1e-3, atol=1e-3)
    stream = joint(n_init=1)
    for batch in np.split(np.arange(500), 5):
        stream.partial_fit(X[batch], 1e3 * Y[batch])
    order = np.argsort(stream.expert_covariance_[:, 0, 1])
    expected = moe.expert_covariance_[np.argsort(moe.expert_covariance_[:, 0, 1])]
    assert_allclose(stream.expert_covariance_[order] / 1e6, expected, atol=0.15)
    # A stream that continues a fit, whose penalties were found.
    found = joint(n_init=1).fit(X, Y)
    before = found.score_samples(X, Y).mean()
    found.partial_fit(X[:250], Y[:250])
    assert found.score_samples(X, Y).mean() == pytest.approx(before, abs=0.05)


# --- predictive distributions ---


@pytest.mark.parametrize("options", [{}, {"gate": SoftmaxGate(top_k=1)}])
@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_joint_density_is_that_of_the_scores(family, options):
    X, Y = two_regimes(300)
    Y = Y if family == "normal" else np.exp(0.3 * Y)
    moe = fit_quietly(joint(family=family, n_init=1, max_iter=20, **options), X, Y)
    dist = moe.predict_dist(X)
    assert_allclose(dist.joint_logpdf(Y), moe.score_samples(X, Y), rtol=1e-8)
    assert_allclose(dist.joint_logpdf(Y[:, None])[:, 0], dist.joint_logpdf(Y))
    assert_allclose(dist[5:9].joint_logpdf(Y[5:9]), dist.joint_logpdf(Y)[5:9])
    # Single outputs are those of the margins.
    assert dist.logpdf(Y).shape == dist.cdf(Y).shape == Y.shape
    assert_allclose(dist.mean, moe.predict(X))


@pytest.mark.parametrize("family", ["normal", "lognormal"])
def test_draws_have_the_covariance_of_their_expert(family):
    X, Y = two_regimes(300)
    Y = Y if family == "normal" else np.exp(0.3 * Y)
    moe = fit_quietly(joint(1, family=family), X, Y)
    draws = moe.sample(X[:1], n_samples=20_000, random_state=0)[0]
    draws = draws if family == "normal" else np.log(draws)
    assert_allclose(np.cov(draws.T), moe.expert_covariance_[0], rtol=0.05, atol=0.02)


def test_energy_score_of_one_output_is_the_crps_and_correlations_lower_it():
    X, Y = two_regimes(400)
    dist = fit_quietly(joint(n_init=1), X, Y[:, 0]).predict_dist(X)
    score = dist.energy_score(Y[:, 0], n_draws=1000)
    assert score.mean() == pytest.approx(dist.crps(Y[:, 0]).mean(), rel=0.01)
    scores = [
        neg_energy_score_scorer(fit_quietly(joint(2, covariance_type=kind, n_init=4), X, Y), X, Y)
        for kind in ("full", "diag")
    ]
    assert scores[1] < scores[0] < 0.0


def test_the_uncertainty_of_many_slopes_adds_to_variances_and_covariances_alike():
    """Where the penalty is found: correlations are those of the residuals."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 40))
    Y = X[:, :5].sum(axis=1)[:, None] + rng.normal(size=(200, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    moe = joint(1, dispersion_prior=0.0).fit(X, Y)
    residual = Y - moe.predict(X)
    ratio = moe.expert_covariance_[0] / (residual.T @ residual / len(X))
    assert ratio.min() > 1.1
    assert_allclose(ratio, ratio[0, 0], rtol=0.05)


def test_covariances_of_constant_outputs_are_at_a_floor_that_a_warning_names():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.column_stack([np.ones(60), X[:, 0] + 0.1 * rng.normal(size=60)])
    with pytest.warns(DegenerateExpertWarning, match="at their floor.*an output is constant"):
        joint(1, n_init=1).fit(X, y)
    joint(1, n_init=1, covariance_type="diag").fit(X, y)
