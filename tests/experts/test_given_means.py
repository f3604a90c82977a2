"""Distributions of each family around the means of estimators: dispersions, exposures, zeros."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.expert_kinds import DISTRIBUTIONS, draw, example, log_density
from support.fits import fit_quietly
from support.refusals import assert_fit_refused

WITH_MEANS = [name for name, family in FAMILIES.items() if family.link and example(name).takes_mean]
of_all = pytest.mark.parametrize("name", WITH_MEANS)


class KnownMean(RegressorMixin, BaseEstimator):
    """Predicts a function of the first feature that does not depend on the fit."""

    def __init__(self, factor=1.0, seen=None):
        self.factor = factor
        self.seen = seen

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        if isinstance(self.seen, list):
            self.seen.append((X[:, 0].copy(), np.array(y), np.array(sample_weight)))
        return self

    def __sklearn_clone__(self):
        return KnownMean(self.factor, self.seen)

    def predict(self, X):
        return self.factor * np.exp(0.5 * X[:, 0])


def table(name, n_rows=120):
    """Rows of a family whose predictors are half the first feature."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2))
    predictor = 0.5 * X[:, 0] if example(name).link == "log" else np.exp(0.5 * X[:, 0])
    return X, draw(name, predictor, rng, (0.4, 5.0))


def mixture(experts, family, **options):
    fixed = {"gate_alpha": 1.0, "n_init": 1, "random_state": 0, "dispersion_prior": 0.0}
    return MixtureOfExpertsRegressor(len(experts), expert=experts, family=family, **fixed | options)


def dispersions(moe, name):
    """Dispersion parameters of each expert, (K, T)."""
    names = [dispersion.attribute for dispersion in example(name).dispersions]
    return np.column_stack([getattr(moe, attribute) for attribute in names])


def log_prob_at_mean(name, y, mean, values):
    predictor = example(name).predictor_of_mean(mean, np.log(values)[:, None])
    return log_density(name, y, predictor, values)


def slopes_at(objective, values, step=1e-5):
    """Derivatives of an objective by the logs of positive numbers."""
    return [
        (objective(values * np.exp(step * unit)) - objective(values * np.exp(-step * unit)))
        / (2.0 * step)
        for unit in np.eye(len(values))
    ]


@pytest.mark.parametrize("name", [name for name in WITH_MEANS if FAMILIES[name]().dispersions])
@pytest.mark.parametrize("prior", [0.0, 30.0])
def test_dispersions_maximise_the_penalised_likelihood_of_the_means(name, prior):
    """The prior of a scale is inverse gamma; its own scale is that of a fit with all prior."""
    X, y = table(name)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))

    def fitted(strength):
        moe = mixture([KnownMean()], name, dispersion_prior=strength)
        return dispersions(fit_quietly(moe, X, y, sample_weight=weight), name)[0]

    found = fitted(prior)
    scale = fitted(1e8)[0] if FAMILIES[name].has_scale else 1.0

    def objective(values):
        logs = weight @ log_prob_at_mean(name, y, np.exp(0.5 * X[:, 0]), values)
        if FAMILIES[name].has_scale:
            logs -= 0.5 * prior * (np.log(values[0]) + scale / values[0])
        return logs

    assert_allclose(slopes_at(objective, found), 0.0, atol=1e-2)
    if FAMILIES[name].has_scale:  # the prior is seen
        assert abs(np.log(fitted(1e3)[0] / scale)) < abs(np.log(fitted(0.0)[0] / scale)) + 1e-9


@of_all
def test_two_experts_have_the_dispersions_of_their_rows(name):
    """Or one for both, if they share it; densities are those of scipy around the means."""
    X, y = table(name)
    larger = X[:, 1] > 0.0
    y = np.where(larger, 8.0 * y, y)
    for shared in (False, True):
        if shared and not example(name).dispersions:
            continue
        options = {"dispersion": "shared"} if shared else {}
        moe = mixture([KnownMean(), KnownMean(8.0)], name, tol=1e-9, **options)
        moe.set_params(init=np.column_stack([~larger, larger]).astype(float))
        fit_quietly(moe, X, y)
        means = moe.predict_experts(X)
        assert_allclose(means, np.exp(0.5 * X[:, [0]]) * [1.0, 8.0], rtol=1e-9)
        values = dispersions(moe, name) if example(name).dispersions else np.zeros((2, 0))
        logs = [log_prob_at_mean(name, y, means[:, k], values[k]) for k in range(2)]
        joint = np.log(moe.predict_gate(X)).T + np.array(logs)
        assert_allclose(moe.score_samples(X, y), np.logaddexp(*joint), rtol=1e-7, atol=1e-9)
        if not example(name).dispersions:
            continue
        resp = moe.responsibilities(X, y).T

        def objective(k, at, resp=resp, means=means):
            return resp[k] @ log_prob_at_mean(name, y, means[:, k], at)

        # The second dispersion may be at its bound, where the likelihood does not change much.
        if shared:
            assert_array_equal(values[0], values[1])
            slopes = slopes_at(lambda at: objective(0, at) + objective(1, at), values[0])
            assert_allclose(slopes[0], 0.0, atol=0.1)
        else:
            for k in range(2):
                slopes = slopes_at(lambda at, k=k: objective(k, at), values[k])
                assert_allclose(slopes[0], 0.0, atol=0.1)


class Shifted(KnownMean):
    """Means that are zero on one side, or negative."""

    def predict(self, X):
        return np.maximum(super().predict(X) - 1.0, self.factor - 1.0)

    def __sklearn_clone__(self):
        return Shifted(self.factor, self.seen)


@of_all
def test_negative_means_are_refused_and_zeros_are_raised_under_a_log_link(name):
    X, y = table(name)
    if example(name).link == "identity":
        moe = fit_quietly(mixture([Shifted(0.5)], name), X, y)
        assert moe.predict(X).min() == -0.5
        return
    assert_fit_refused(mixture([Shifted(0.5)], name), (X, y), "expert 0", "not negative")
    moe = fit_quietly(mixture([Shifted(1.0)], name), X, y)
    # A thousandth of the mean of y stands for zero.
    zero = X[:, 0] <= 0
    assert_allclose(moe.predict(X[zero]), 1e-3 * y.mean(), rtol=1e-6)
    assert_allclose(moe.predict(X[~zero]), np.exp(0.5 * X[~zero, 0]) - 1.0)


@pytest.mark.parametrize("name", [name for name in WITH_MEANS if FAMILIES[name].link == "log"])
def test_estimators_see_rates_with_weights_of_their_precision(name):
    """Outputs per unit of exposure, of which the offset is the logarithm."""
    X, y = table(name)
    exposure = np.random.default_rng(1).uniform(0.5, 4.0, size=len(y))
    weight = np.random.default_rng(2).uniform(0.5, 2.0, size=len(y))
    moe, log = mixture([KnownMean(1.0, seen := [])], name), np.log(exposure)
    fit_quietly(moe, X, y, offset=log, sample_weight=weight)
    place = {value: i for i, value in enumerate(X[:, 0])}
    ratios = []
    for numbers, rates, weights in seen:
        rows = np.array([place[value] for value in numbers])
        assert_allclose(rates, (y / exposure)[rows])
        precision = example(name).rate_weight(exposure)[rows]
        ratios.append(weights / (precision * weight[rows]))
    assert_allclose(np.concatenate(ratios), ratios[0][0])
    means = np.exp(0.5 * X[:, 0]) * exposure
    assert_allclose(moe.predict(X, offset=log), means)
    values = dispersions(moe, name)[0] if example(name).dispersions else np.zeros(0)
    logs = log_prob_at_mean(name, y, means, values)
    assert_allclose(moe.score_samples(X, y, offset=log), logs, rtol=1e-7, atol=1e-9)


def test_every_family_that_takes_a_mean_has_the_mean_it_is_given():
    for name in WITH_MEANS:
        values = np.array([0.3, 5.0])[: len(example(name).dispersions)]
        predictor = example(name).predictor_of_mean(2.5, np.log(values))
        assert_allclose(DISTRIBUTIONS[name](predictor, *values).mean(), 2.5)


def test_noise_of_estimators_is_the_mean_square_of_their_errors():
    """Of each output; at least the smallest variance of its rounding."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 2))
    y = np.exp(0.5 * X[:, 0]) + 0.5 * rng.normal(size=150)
    y[::2] *= 3.0
    moe = mixture([KnownMean(), KnownMean(3.0)], "normal", tol=1e-8)
    fit_quietly(moe, X, y)
    resp = moe.responsibilities(X, y)
    squares = resp * np.square(y[:, None] - moe.predict_experts(X))
    assert_allclose(moe.noise_variance_, squares.sum(0) / resp.sum(0), rtol=1e-3)
    rounded = np.round(2.0 * np.exp(0.5 * np.round(X[:, 0]))) / 2.0
    exact = mixture([Rounded()], "normal")
    found = fit_quietly(exact, X, rounded).noise_variance_
    values = np.unique(rounded)
    assert_allclose(found, np.median(np.diff(values)) ** 2 / 12, rtol=1e-6)


class Rounded(KnownMean):
    """Explains a rounded target without error."""

    def predict(self, X):
        return np.round(2.0 * np.exp(0.5 * np.round(X[:, 0]))) / 2.0

    def __sklearn_clone__(self):
        return Rounded(self.factor, self.seen)
