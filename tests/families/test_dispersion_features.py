"""Dispersions that depend on features."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit, logsumexp

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.expert_kinds import GENERALIZED, example, example_target
from support.fits import fit_quietly
from support.refusals import assert_refused, refusal

DEPENDING = ["normal", *(name for name in GENERALIZED if example(name).has_dispersion)]


def target_of(name, predictor):
    """A target of a family from numbers of the order of one."""
    link = example(name).link
    if link == "logit":
        return np.clip(expit(predictor), 1e-3, 1.0 - 1e-3)
    y = predictor if link == "identity" else np.exp(np.clip(predictor / 2.0, -5.0, 5.0))
    return np.round(y) if example(name).is_count else y


def log_density_by_attributes(moe, X, y):
    """Log density of a mixture whose gate and experts are linear, from its public attributes."""
    logits = moe.gate_intercept_ + X @ moe.gate_coef_.T
    logs = logits - logsumexp(logits, axis=1, keepdims=True)
    family = example(moe.family)  # whose dispersion has the units of y
    for k in range(moe.n_experts_):
        predictor = X @ moe.expert_coef_[k] + moe.expert_intercept_[k]
        dispersions = [X @ moe.expert_dispersion_coef_[k] + moe.expert_dispersion_intercept_[k]]
        dispersions += [np.log(getattr(moe, d.attribute)[k]) for d in family.dispersions[1:]]
        logs[:, k] += family.log_prob(y, [predictor, *dispersions])
    return logsumexp(logs, axis=1)


@pytest.mark.parametrize(
    ("name", "alpha"), [(name, None if i % 2 else 0.0) for i, name in enumerate(DEPENDING)]
)
def test_density_of_each_row_is_that_of_the_attributes(name, alpha):
    """Also where the dispersion changes by factors of millions from row to row."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(100, 2)) * [1.0, 10.0]
    noise = np.exp(2.0 * X[:, 0] - 1.0) * rng.normal(size=100)
    y = target_of(name, np.where(X[:, 0] > 0.0, 2.0, -2.0) + 0.1 * X[:, 1] + noise)
    options = {"dispersion_features": [0, 1], "alpha": alpha, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, family=name, n_init=1, **options)
    fit_quietly(moe, X, y)
    assert moe.converged_
    assert_allclose(moe.score_samples(X, y), log_density_by_attributes(moe, X, y), atol=1e-6)


@pytest.mark.parametrize("name", ["normal", "negative_binomial", "student_t"])
def test_sparse_columns_have_the_fit_of_dense_ones_wherever_they_are(name):
    """The prior of a dispersion, and its bounds, are at the means of the features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    noise = np.exp(0.5 * X[:, 0]) * rng.normal(size=120)
    y = target_of(name, 0.5 * X[:, 1] + 2.0 * noise)
    moe = MixtureOfExpertsRegressor(1, family=name, dispersion_features=[0], n_init=1)
    expected = fit_quietly(moe, X, y).score_samples(X, y)
    slopes = moe.expert_dispersion_coef_
    for location in (0.0, 5.0):
        rows = sparse.csr_array(X + location)
        assert_allclose(fit_quietly(moe, rows, y).score_samples(rows, y), expected, atol=1e-5)
        assert_allclose(moe.expert_dispersion_coef_, slopes, rtol=1e-3, atol=1e-4)
        assert_allclose(moe.score_samples(rows.toarray(), y), expected, atol=1e-5)


@pytest.mark.parametrize("name", DEPENDING)
def test_slopes_are_those_of_the_log_dispersion_in_units_of_the_features(name):
    """The likelihood of any units is the same, and the intercept is where the features are zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    y = example_target(example(name), rng, 150)[0] * (
        1.0 if FAMILIES[name].link == "logit" else 1.5
    )
    y = np.round(y) if name == "negative_binomial" else y
    options = {"family": name, "dispersion_features": [1], "random_state": 0}
    one = fit_quietly(MixtureOfExpertsRegressor(1, **options), X, y)
    other = fit_quietly(MixtureOfExpertsRegressor(1, **options), 3.0 + 0.1 * X, y)
    assert_allclose(other.score_samples(3.0 + 0.1 * X, y), one.score_samples(X, y), rtol=1e-4)
    assert_allclose(0.1 * other.expert_dispersion_coef_, one.expert_dispersion_coef_, rtol=1e-3)
    assert one.expert_dispersion_coef_[0, 0] == 0.0
    attribute = one.families_[0].dispersions[0].attribute
    at_mean = one.expert_dispersion_intercept_ + one.expert_dispersion_coef_ @ X.mean(axis=0)
    assert_allclose(np.exp(at_mean), getattr(one, attribute))


def two_noises(n_rows=2000):
    """Two regimes whose noise depends on a feature, one that increases and one that decreases."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(n_rows, 3))
    is_high = features[:, 2] > 0.0
    log_variance = np.where(is_high, -1.0 + 0.8 * features[:, 1], -1.5 - 0.4 * features[:, 1])
    mean = np.where(is_high, 1.0 + 2.0 * features[:, 0], -features[:, 0])
    return features, mean + np.exp(0.5 * log_variance) * rng.normal(size=n_rows)


def test_slopes_of_each_regime_are_found():
    """With the features of means, of dispersions and of the gate apart."""
    features, y = two_noises()
    moe = MixtureOfExpertsRegressor(
        2, expert_features=[0], dispersion_features=[1], gate_features=[2], random_state=0
    ).fit(features, y)
    high = int(np.argmax(moe.expert_coef_[:, 0]))
    assert not moe.expert_coef_[:, 1:].any()
    slopes = moe.expert_dispersion_coef_[[high, 1 - high]]
    assert_allclose(slopes, [[0.0, 0.8, 0.0], [0.0, -0.4, 0.0]], atol=0.15)
    low, up = moe.predict_interval(features, 0.9).T
    for rows in (features[:, 1] < -1.0, features[:, 1] > 1.0):
        assert np.mean((low <= y) & (y <= up), where=rows) == pytest.approx(0.9, abs=0.04)
    assert {term.name for term in moe.inference(features, y).terms if term.part == "expert 0"} == {
        "(Intercept)",
        "x0",
        "log(noise variance): (Intercept)",
        "log(noise variance): x1",
    }


def test_zero_is_a_hypothesis_about_slopes_of_the_log_dispersion_only():
    """The intercept depends on the unit of y."""
    features, y = two_noises(100)
    moe = MixtureOfExpertsRegressor(1, dispersion_features=[1]).fit(features, y)
    found = moe.inference(features, y)
    intercept, slope = found.terms[-2:]
    assert intercept.name == "log(noise variance): (Intercept)"
    is_tested = [True, True, True, True, False, True]
    assert np.isfinite(found.p_values).tolist() == is_tested
    assert np.isfinite(found.z_values).tolist() == is_tested
    assert np.isfinite(found.standard_errors).all()
    assert_refused(
        refusal(found.wald_test, [intercept]), "terms", "no hypothesis", tuple(intercept)
    )
    assert found.wald_test([slope]).df == 1


def test_summary_has_factors_of_the_noise_for_a_standard_deviation():
    features, y = two_noises(300)
    features[:, 0] = 1.0  # a constant column has no factor
    moe = MixtureOfExpertsRegressor(1, dispersion_features=[0, 1], random_state=0)
    moe.fit(features, y)
    described = moe.summary(features, y).experts[0].dispersion_description
    factor = np.exp(0.5 * moe.expert_dispersion_coef_[0, 1] * features[:, 1].std())
    start, number, *rest = described.rsplit(" ", 5)
    assert (start, rest) == ("noise sd times", ["per", "SD", "of", "x1"])
    assert float(number) == pytest.approx(factor, rel=1e-3)
    plain = MixtureOfExpertsRegressor(1).fit(features, y)
    assert plain.summary().experts[0].dispersion_description == ""


def test_slopes_of_a_mean_that_depends_on_the_dispersion_are_derivatives():
    features, y = two_noises(100)
    moe = MixtureOfExpertsRegressor(1, family="lognormal", dispersion_features=[1])
    fit_quietly(moe, features, np.exp(0.2 * y))
    slope = moe.explain(features[:5])["slope"]
    step = 1e-4 * np.eye(3)
    found = [
        (moe.predict(features[:5] + one) - moe.predict(features[:5] - one)) / 2e-4 for one in step
    ]
    assert_allclose(slope, np.transpose(found), rtol=1e-5, atol=1e-7)


def test_outputs_have_the_standard_errors_of_separate_fits():
    """One expert, whose outputs have nothing in common."""
    features, y = two_noises(300)
    options = {"alpha": 0.1, "dispersion_prior": 0.0, "tol": 1e-10}
    moe = MixtureOfExpertsRegressor(1, dispersion_features=[0, 1], **options)
    both = np.column_stack([y, features[:, 1] * (y + 3.0)])
    together = moe.fit(features, both).inference(features, both)
    apart = [moe.fit(features, one).inference(features, one) for one in both.T]
    for term, error in zip(together.terms, together.standard_errors, strict=True):
        alone = apart[int(term.response[1:])]
        names = [other.name for other in alone.terms]
        assert_allclose(error, alone.standard_errors[names.index(term.name)], rtol=1e-4)


@pytest.mark.parametrize("family", ["lognormal", "weibull", "loglogistic"])
def test_means_of_rows_of_a_fit_stay_near_its_largest_y(family):
    """A large dispersion of logarithms has a huge mean, also where its expert is improbable."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3))
    mean = np.exp(0.3 * X[:, 0] + np.where(X[:, 1] > 0, 1, -0.5))
    y = rng.gamma(2, mean / 2)
    options = {"dispersion_features": [1], "random_state": 0}
    moe = fit_quietly(MixtureOfExpertsRegressor(3, family=family, **options), X, y)
    assert moe.predict(X).max() < 2.0 * y.max()
