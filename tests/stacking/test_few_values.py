"""Stacks for ratings: continuous models predict probabilities of the values, as ordinal ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from support.components import normal_mixture
from support.refusals import assert_fit_refused
from support.stacks import KnownMean, stack_of

VALUES = np.array([0.0, 1.0, 2.0, 4.0])
rng = np.random.default_rng(0)
X = rng.uniform(-1.0, 1.0, size=(200, 2))
NUMBER = 2.0 + 2.0 * X[:, 0] + 0.7 * rng.normal(size=200)
Y = VALUES[np.abs(NUMBER[:, None] - VALUES).argmin(axis=1)]
ORDINAL = MixtureOfExpertsRegressor(1, family="ordinal", random_state=0)


class Given(RegressorMixin, BaseEstimator):
    """A distribution that is known before the fit, with a narrow peak at the value 4."""

    def __init__(self, bias=0.0, peak=0.0):
        self.bias = bias
        self.peak = peak

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.predict_dist(X).mean

    def predict_dist(self, X):
        means = np.column_stack([2.0 + 2.0 * X[:, 0] + self.bias, np.full(len(X), 4.0)])
        weights = np.tile([1.0 - self.peak, self.peak], (len(X), 1))
        return normal_mixture(weights, means, np.tile([1.0, 1e-6], (len(X), 1)))


def stack(*models, **options):
    return stack_of(*models, **{"gate": "constant", "cv": 2, "random_state": 0} | options)


@pytest.fixture(scope="module")
def fitted():
    return stack(Given(), Ridge(), ORDINAL).fit(X, Y)


def test_a_value_has_the_probability_of_its_cell(fitted):
    limits = np.array([-np.inf, 0.5, 1.5, 3.0, np.inf])
    noise = np.sqrt([1.0, fitted.noise_variance_[1]]) * fitted.spread_[:2]
    means = [2.0 + 2.0 * X[:, 0], fitted.named_estimators_["model 1"].predict(X)]
    cells = [
        np.diff(norm.cdf(limits, mean[:, None], std), axis=1)
        for mean, std in zip(means, noise, strict=True)
    ]
    cells.append(fitted.named_estimators_["model 2"].predict_dist(X).pmf(VALUES[None]))
    expected = np.einsum("k,knl->nl", fitted.weights_, cells)
    assert_allclose(fitted.predict_dist(X).pmf(VALUES[None]), expected, rtol=1e-8)
    of_truth = expected[np.arange(len(Y)), np.searchsorted(VALUES, Y)]
    assert_allclose(fitted.score_samples(X, Y), np.log(of_truth), rtol=1e-8)
    assert_allclose(fitted.predict(X), expected @ VALUES, rtol=1e-8)
    assert_allclose(fitted.predict_experts(X), np.transpose(np.array(cells) @ VALUES), rtol=1e-8)
    draws = fitted.sample(X, n_samples=20, random_state=0)
    assert_array_equal(np.unique(draws), VALUES)
    assert np.isin(fitted.predict_interval(X), VALUES).all()
    assert_array_equal(fitted.score_samples(X[:1], [3.0]), [-np.inf])


def test_noise_is_that_of_all_rows_and_its_spread_that_of_the_rows_of_a_model():
    errors = Y - Given().predict(X)
    models = KnownMean(2.0, 2.0, 0), KnownMean(5.0, 2.0, 0), ORDINAL
    moe = stack(*models, dispersion_prior=0.0).fit(X, Y)
    expected = np.square(errors).mean(), np.square(errors - 3.0).mean()
    assert_allclose(moe.noise_variance_[:2], expected, rtol=1e-8)


def test_a_narrow_peak_at_a_value_gains_no_more_than_its_probability():
    peaked, accurate = Given(bias=1.5, peak=0.3), DecisionTreeRegressor(max_leaf_nodes=8)
    by_density = stack(peaked, accurate).fit(X, Y)
    by_probability = stack(peaked, accurate, ORDINAL).fit(X, Y)
    assert by_probability.weights_[0] < 0.5 * by_density.weights_[0]


def test_ordinal_models_are_left_out_for_many_values_outputs_and_values_of_few_rows():
    joined, without = stack(Ridge(), "tree", ORDINAL), stack(Ridge(), "tree")
    names = ["model 0", "model 1"]
    assert list(joined.fit(X, NUMBER).named_estimators_) == joined.expert_names_ == names
    assert_allclose(joined.predict(X), without.fit(X, NUMBER).predict(X), rtol=1e-10)
    # The tree repeats these values exactly, and would have no noise.
    outputs = joined.set_params(dispersion_prior=10.0).fit(X, np.column_stack([Y, Y]))
    assert outputs.predict(X).shape == (len(X), 2)
    few = np.concatenate([np.flatnonzero(value == Y)[:4] for value in VALUES])
    moe, twice = stack(Given(), Given(1.0), ORDINAL), np.full(16, 2.0)
    assert moe.fit(X[few], Y[few]).n_experts_ == 2
    assert moe.fit(X[few], Y[few], sample_weight=twice).n_experts_ == 3
    refused = stack(Ridge(), ORDINAL)
    assert_fit_refused(refused, (X, NUMBER), "estimators", "many values", "Add a model")


def test_weights_are_rows_and_units_of_y_do_not_matter():
    moe, twice = stack(Ridge(), Given(0.5), ORDINAL), np.arange(60) % 2 + 1
    weighted = moe.fit(X[:60], Y[:60], sample_weight=twice).predict(X)
    repeated = moe.fit(np.repeat(X[:60], twice, axis=0), np.repeat(Y[:60], twice)).predict(X)
    assert_allclose(weighted, repeated, rtol=1e-6)
    moe = stack(Ridge(), "tree", ORDINAL)
    predicted, moved = moe.fit(X, Y).predict(X), moe.fit(X, 3.0 * Y - 7.0).predict(X)
    assert_allclose(moved, 3.0 * predicted - 7.0, rtol=1e-6)


@pytest.mark.parametrize(("bias", "value", "tail"), [(-9.0, 4.0, 10.0), (9.0, 0.0, 10.5)])
def test_small_probabilities_of_both_ends_are_exact(bias, value, tail):
    moe = stack(Given(bias), Given(bias), ORDINAL).fit(X, Y)
    dist = moe.predict_dist(np.zeros((1, 2)), gate_proba=[[1.0, 0.0, 0.0]])
    assert_allclose(dist.logpdf([value]), norm.logsf(tail / moe.spread_[0]), rtol=1e-5)
