"""Spreads of pooled models: what they are, which densities have one, and that they fit the pool."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import Ridge

from skmoe.distributions import predictive_distribution
from skmoe.families import FAMILIES
from skmoe.inspection import export_text
from skmoe.stacking import GatedStackingClassifier
from support.components import normal_mixture
from support.displays import three_digits
from support.expert_kinds import draw, example
from support.families import no_scaling
from support.stacks import KnownMean, stack_of

# Spreads have steps of ten per cent in a range about one, and a prior of a few rows.
STEP = np.log(1.1)
SPREADS = np.exp(STEP * np.arange(-12, 5))
PRIOR_ROWS = 10.0


def table(n_rows=200):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, size=(n_rows, 2))
    return X, X[:, 1] + 0.1 * rng.normal(size=n_rows)


X, Y = table()


class Given(RegressorMixin, BaseEstimator):
    """Its distribution is known before the fit: two normals about a bias; width 1 is the noise."""

    def __init__(self, width=1.0, bias=0.0, scale=1.0):
        self.width = width
        self.bias = bias
        self.scale = scale

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.scale * (X[:, 1] + self.bias)

    def predict_dist(self, X):
        half = 0.06 * self.width * self.scale
        means = self.predict(X)[:, None] + np.array([-half, half])
        stds = np.full(means.shape, 0.08 * self.width * abs(self.scale))
        return normal_mixture(np.full(means.shape, 0.5), means, stds)

    def log_density(self, X, y, spread):
        """At distances from the mean that are divided by a spread."""
        mean = self.predict(X)
        return self.predict_dist(X).logpdf(mean + (y - mean) / spread) - np.log(spread)


def stack(*models, **options):
    return stack_of(*models, **{"gate": "constant", "cv": 2, "random_state": 0} | options)


@pytest.mark.parametrize("width", [0.5, 1.0, 1.3, 10.0])
def test_spread_undoes_a_wrong_width(width):
    moe = stack(Given(width), Given(width, bias=3.0)).fit(X, Y)
    wanted = np.clip(1.0 / width, SPREADS.min(), SPREADS.max())
    assert abs(np.log(moe.spread_[0] / wanted)) < 1.5 * STEP
    assert moe.weights_[0] > 0.99
    # A model that explains no row keeps its distribution.
    assert moe.spread_[1] == 1.0


@pytest.mark.parametrize("scale", [-1000.0, 1e-3])
def test_spreads_do_not_depend_on_the_units_of_y(scale):
    moe = stack(Given(1.6), Given(0.7, bias=0.05)).fit(X, Y)
    models = Given(1.6, scale=scale), Given(0.7, bias=0.05, scale=scale)
    other = stack(*models).fit(X, scale * Y)
    # At most to the next of two spreads that are equally good.
    assert_allclose(np.log(other.spread_), np.log(moe.spread_), atol=1.01 * STEP)
    # A tenth of a row: weights of models that explain nothing are tiny in any unit.
    assert_allclose(other.weights_, moe.weights_, rtol=0, atol=0.1 / len(Y))


class TooWide(RegressorMixin, BaseEstimator):
    """A distribution of a family around the second feature, which is wider than its rows."""

    def __init__(self, name="normal", shift=0.0):
        self.name = name
        self.shift = shift

    def fit(self, X, y, sample_weight=None):
        weight = np.ones(len(y))
        self.family_ = example(self.name).fitted_to(y[None], weight, no_scaling())
        n_dispersions = len(self.family_.dispersions)
        thresholds = self.family_.start(y, weight)[1 + n_dispersions :]
        largest = [high for _, high in self.family_.log_dispersion_bounds][:n_dispersions]
        wide = np.minimum(np.log([1.0, 20.0, 1.0][:n_dispersions]), largest)
        self.others_ = [*wide, *thresholds]
        return self

    def predict(self, X):
        return self.predict_dist(X).mean

    def predict_dist(self, X):
        predictor = (0.5 + X[None, :, 1] + self.shift) * bool(self.family_.link)
        others = [np.full((1, len(X)), value) for value in self.others_]
        part = self.family_.components([predictor, *others])
        return predictive_distribution([part], np.ones((1, len(X))), single_output=True)


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].link])
def test_only_families_of_location_and_scale_have_a_spread(name):
    """The others would get values that they do not have."""
    y = draw(name, 0.5 + X[:, 1], np.random.default_rng(1), (0.05, 20.0))
    moe = stack(TooWide(name), TooWide(name, shift=-0.5)).fit(X, y)
    if FAMILIES[name].link == "identity":
        assert moe.spread_[0] < 0.7
    else:
        assert_array_equal(moe.spread_, 1.0)
    logs = []
    for (model,), spread in zip(moe.experts_, moe.spread_, strict=True):
        center = model.predict(X)
        at = center + (y - center) / spread
        logs.append(model.predict_dist(X).joint_logpdf(at) - np.log(spread))
    mixed = logsumexp(logs, b=moe.weights_[:, None], axis=0)
    assert_allclose(moe.score_samples(X, y), mixed, rtol=1e-7, atol=1e-8)
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-8)


class GivenProbabilities(ClassifierMixin, BaseEstimator):
    """Knows the logits of two classes, up to a factor."""

    def __init__(self, factor=1.0, bias=0.0):
        self.factor = factor
        self.bias = bias

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        logit = self.factor * (5.0 * X[:, 1] + self.bias)
        return np.column_stack([expit(-logit), expit(logit)])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def drawn_classes(n_rows):
    rng = np.random.default_rng(4)
    features = rng.uniform(-1.0, 1.0, size=(n_rows, 2))
    return features, (rng.uniform(size=n_rows) < expit(5.0 * features[:, 1])).astype(int)


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.4])
def test_temperature_undoes_a_wrong_certainty(factor):
    features, classes = drawn_classes(3000)
    models = GivenProbabilities(factor), GivenProbabilities(1.0, bias=-50.0)
    moe = stack(*models, kind=GatedStackingClassifier).fit(features, classes)
    assert abs(np.log(moe.temperature_[0] / factor)) < 2.0 * STEP
    assert moe.weights_[0] > 0.99
    logit = factor / moe.temperature_[0] * 5.0 * features[:, 1]
    assert_allclose(moe.predict_experts(features)[:, 0, 1], expit(logit), atol=5e-3)
    probabilities = moe.predict_proba(features)
    of_class = np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
    assert_allclose(moe.score_samples(features, classes), np.log(of_class))
    again = pickle.loads(pickle.dumps(moe))
    assert_array_equal(again.predict_proba(features), probabilities)
    named = "temperature of the probabilities" in export_text(moe).split("\n\n")[1]
    assert named == (moe.temperature_[0] != 1.0)


def test_likelihood_of_the_pool_never_falls_and_its_end_is_a_maximum():
    """No other spread of a model is better for the rows that it explains; the prior counts."""
    y = Y + 0.5 * (X[:, 0] > 0.0)
    models = Given(2.5), Given(1.5, bias=0.5)
    moe = stack(*models, KnownMean(0.2)).fit(X, y)
    assert moe.weights_[:2].min() > 0.2
    assert np.diff(moe.lower_bounds_).min() > -1e-12
    assert np.ptp(moe.lower_bounds_) > 0.0
    resp = moe.responsibilities(X, y).T
    for k, model in enumerate(models):
        logs = np.array([model.log_density(X, y, spread) for spread in SPREADS])
        value = logs @ resp[k] - PRIOR_ROWS * np.square(np.log(SPREADS))
        chosen = np.argmin(np.abs(SPREADS - moe.spread_[k]))
        assert_allclose(SPREADS[chosen], moe.spread_[k])
        assert value[chosen] > value.max() - 0.2
        assert value.max() - value.min() > 1.0
    # The weights are the mean responsibilities.
    assert_allclose(moe.weights_, resp.mean(axis=1), atol=5e-3)


def test_noise_is_that_of_the_rows_that_a_model_explains():
    """The variance of a model without a density maximises the likelihood of the pool too."""
    wide = np.where(X[:, 0] > 0.3, 4.0, 1.0) * (Y - X[:, 1]) + X[:, 1]
    moe = stack(KnownMean(), KnownMean(0.2), tol=1e-10, dispersion_prior=0.0).fit(X, wide)
    resp = moe.responsibilities(X, wide).T
    squares = np.square(wide - np.stack([X[:, 1], X[:, 1] + 0.2]))
    expected = (resp * squares).sum(axis=1) / resp.sum(axis=1)
    assert_allclose(moe.noise_variance_, expected, rtol=0.05)
    assert abs(moe.noise_variance_[0] / squares[0].mean() - 1.0) > 0.1


def test_text_of_a_fit_has_spreads_that_are_not_one():
    moe = stack(Given(2.0), Ridge(), Given(2.0, bias=3.0)).fit(X, Y)
    first, second, third = export_text(moe).split("\n\n")[1:4]
    assert f"distribution: {three_digits(moe.spread_[0])} times as wide as the model's" in first
    assert "times as wide" not in second + third
