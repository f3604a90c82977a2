"""Spreads of whole models: what they are, which densities have one, and that they fit the pool."""

import pickle

import numpy as np
import pytest
from cases import ALL_CASES, fitted_case
from cases import X as FEATURES
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators import stacking
from skmoe.distributions import MixtureDistribution, predictive_distribution
from skmoe.experts import _spreads
from skmoe.experts._spreads import SPREADS, best_spread, is_location_scale, with_spread
from skmoe.inspection import export_text

RNG = np.random.default_rng(0)
X = RNG.uniform(-1.0, 1.0, size=(400, 2))
Y = X[:, 1] + 0.1 * RNG.normal(size=400)


class Given(RegressorMixin, BaseEstimator):
    """Its distribution is known before the fit: two normals about a bias, wider than the noise."""

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
        return MixtureDistribution(np.full(means.shape, 0.5), means, stds)

    def score_samples(self, X, y):
        return self.predict_dist(X).logpdf(y)


def stack(*members, **options):
    defaults = {"specialize": False, "gate": "constant", "cross_fit": 3, "random_state": 0}
    return MixtureOfExpertsRegressor(expert=list(members), **defaults | options)


# --- what a spread is -------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.5, 0.8, 1.0, 1.3, 2.0, 10.0])
def test_the_spread_undoes_a_wrong_width(width):
    """The width of 1 is that of the noise. Spreads have steps of ten per cent, within a range."""
    moe = stack(Given(width), Given(width, bias=3.0)).fit(X, Y)
    wanted = np.clip(1.0 / width, SPREADS.min(), SPREADS.max())
    assert abs(np.log(moe.spread_[0] / wanted)) < 1.2 * np.log(1.1)
    assert moe.weights_[0] > 0.99
    # A model that explains no row keeps its distribution.
    assert moe.spread_[1] == 1.0


@pytest.mark.parametrize("scale", [-1000.0, 1e-3])
def test_spreads_do_not_depend_on_the_units_of_y(scale):
    moe = stack(Given(1.6), Given(0.7, bias=0.05)).fit(X, Y)
    members = Given(1.6, scale=scale), Given(0.7, bias=0.05, scale=scale)
    other = stack(*members).fit(X, scale * Y)
    assert_array_equal(other.spread_, moe.spread_)
    assert_allclose(other.weights_, moe.weights_, rtol=1e-6)


def test_distributions_contract_around_the_predictions():
    moe = stack(Given(3.0), Ridge()).fit(X, Y)
    (model,), spread = moe.experts_[0], moe.spread_[0]
    assert spread < 0.6
    own, of_stack = model.predict_dist(X), moe.predict_dist(X)
    means = model.predict(X)[:, None]
    assert_allclose(of_stack.means[:, :2], means + spread * (own.means - means))
    assert_allclose(of_stack.stds[:, :2], spread * own.stds)
    expected = model.score_samples(X, means[:, 0] + (Y - means[:, 0]) / spread) - np.log(spread)
    ridge = norm.logpdf(Y, moe.experts_[1][0].predict(X), np.sqrt(moe.noise_variance_[1]))
    mixed = logsumexp([expected, ridge], b=moe.weights_[:, None], axis=0)
    assert_allclose(moe.score_samples(X, Y), mixed, rtol=1e-8)
    assert_allclose(moe.predict_dist(X).logpdf(Y), mixed, rtol=1e-8)


def test_several_outputs_have_one_spread():
    both = np.column_stack([Y, 3.0 * Y[::-1]])
    member = MixtureOfExpertsRegressor(2, n_init=1, tol=1e-2, random_state=0)
    moe = stack(member, clone(member).set_params(n_experts=1)).fit(X, both)
    assert moe.spread_.shape == (2,)
    moe._fitted.params.experts.spread[0] = 0.5
    narrow = moe.experts_[0][0]
    mean = narrow.predict(X)
    first = narrow.score_samples(X, mean + (both - mean) / 0.5) - 2.0 * np.log(0.5)
    mean = moe.experts_[1][0].predict(X)
    spread = moe.spread_[1]
    second = moe.experts_[1][0].score_samples(X, mean + (both - mean) / spread)
    second = second - 2.0 * np.log(spread)
    expected = logsumexp([first, second], b=moe.weights_[:, None], axis=0)
    assert_allclose(moe.score_samples(X, both), expected, rtol=1e-8)


# --- which densities have one -----------------------------------------------------------------


def components_of(case):
    """Components of a fit, and values of y."""
    dist, y = fitted_case(case).predict_dist(FEATURES), ALL_CASES[case][1]
    return dist, dist.as_components(), y


REGRESSIONS = [
    case
    for case, (moe, y, given) in ALL_CASES.items()
    if isinstance(moe, MixtureOfExpertsRegressor) and np.ndim(y) == 1
]


@pytest.mark.parametrize("case", REGRESSIONS)
def test_components_are_of_location_and_scale_if_a_spread_gives_the_density(case):
    dist, parts, y = components_of(case)
    center = fitted_case(case).predict(FEATURES)
    narrow = predictive_distribution(
        [with_spread(parts, center[None], 0.7)], np.ones((1, len(y))), single_output=True
    )
    expected = dist.logpdf(center + (y - center) / 0.7) - np.log(0.7)
    found = narrow.logpdf(y)
    same = np.allclose(found, expected, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert same == is_location_scale(parts)


def test_discrete_and_positive_distributions_keep_their_spread():
    rng = np.random.default_rng(1)
    counts, costs = rng.poisson(np.exp(X[:, 0])), rng.gamma(2.0, np.exp(X[:, 0]))
    for family, y in (("poisson", counts), ("gamma", costs), ("lognormal", costs)):
        member = MixtureOfExpertsRegressor(1, family=family)
        moe = stack(member, clone(member).set_params(expert_features=[1])).fit(X, y)
        assert_array_equal(moe.spread_, 1.0)


class DensityAlone(RegressorMixin, BaseEstimator):
    """Has a density that is too wide, and no method `predict_dist`."""

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X[:, 1]

    def score_samples(self, X, y):
        return norm.logpdf(y, X[:, 1], 0.3)


def test_models_without_a_distribution_keep_their_density():
    moe = stack(DensityAlone(), Ridge()).fit(X, Y)
    assert_array_equal(moe.spread_, 1.0)


def test_classifiers_and_experts_that_specialise_have_no_spread():
    classes = (Y > 0).astype(int)
    models = [LogisticRegression(), DecisionTreeClassifier(max_depth=2)]
    moe = MixtureOfExpertsClassifier(expert=models, specialize=False).fit(X, classes)
    assert not hasattr(moe, "spread_")
    assert not hasattr(fitted_case("a list of estimators"), "spread_")


# --- the pool ---------------------------------------------------------------------------------


def test_the_best_spread_maximises_the_penalised_likelihood():
    rng = np.random.default_rng(2)
    y, resp = 0.6 * rng.normal(size=30), rng.uniform(size=30)
    logs = np.stack([norm.logpdf(y, scale=c) for c in SPREADS])
    prior = norm.logpdf(np.log(SPREADS), scale=1.0 / np.sqrt(2.0 * _spreads.PRIOR_ROWS))
    value = [weight @ resp for weight in logs] + prior
    assert best_spread(logs, resp) == np.argmax(value)
    # Without rows the prior alone decides.
    assert SPREADS[best_spread(logs, np.zeros(30))] == 1.0
    assert best_spread(logs[:1], resp) == 0


def test_the_likelihood_of_the_pool_never_falls(monkeypatch):
    """And it ends at a point that no other spread of one model improves."""
    runs, run_em = [], stacking.run_em

    def recorded(model, blocks, *arguments):
        runs.append((model, blocks[0], run_em(model, blocks, *arguments)))
        return runs[-1][-1]

    monkeypatch.setattr(stacking, "run_em", recorded)
    monkeypatch.setattr(stacking, "POOL_TOL", 1e-8)
    stack(Given(2.5), Given(1.5, bias=0.1), Ridge()).fit(X, Y)
    ((model, rows, run),) = runs
    assert len(run.lower_bounds) > 3
    assert np.diff(run.lower_bounds).min() > -1e-12
    params = run.params.experts
    log_weight = model.gate.log_prob(run.params.gate, rows.gate_design)
    joint = log_weight + model.experts.log_prob(params, rows.expert_design, rows.y)

    def objective(joint, spread):
        total = logsumexp(joint, axis=0).sum()
        return total - model.experts.penalty(params._replace(spread=spread))

    best = objective(joint, params.spread)
    assert_allclose(best, len(Y) * run.lower_bound, rtol=1e-6)
    for k in range(2):
        for value, logs in zip(SPREADS, params.at_spreads[k], strict=True):
            spread, other = params.spread.copy(), joint.copy()
            spread[k], other[k] = value, log_weight[k] + logs
            assert objective(other, spread) < best + 0.1


def test_noise_is_that_of_the_rows_that_a_model_explains():
    """The variance of a model without a density maximises the likelihood of the pool too."""

    class Fixed(Given):
        """Predicts the mean alone."""

        def __getattribute__(self, name):
            if name in ("score_samples", "predict_dist"):
                raise AttributeError(name)
            return super().__getattribute__(name)

    wide = np.where(X[:, 0] > 0.3, 4.0, 1.0) * (Y - X[:, 1]) + X[:, 1]
    moe = stack(Fixed(), Fixed(bias=0.2), tol=1e-10, dispersion_prior=0.0).fit(X, wide)
    resp = moe.responsibilities(X, wide).T
    means = np.stack([X[:, 1], X[:, 1] + 0.2])
    expected = (resp * np.square(wide - means)).sum(axis=1) / resp.sum(axis=1)
    assert_allclose(moe.noise_variance_, expected, rtol=0.05)
    assert abs(moe.noise_variance_[0] / np.square(wide - means[0]).mean() - 1.0) > 0.1


def test_units_are_pooled_as_wholes():
    """Each unit here is one row twice, so that the spread is that of single rows."""
    units = np.repeat(np.arange(len(Y)), 2)
    twice = np.repeat(np.arange(len(Y)), 2)
    moe = stack(Given(2.0), Given(1.0, bias=0.1))
    alone = clone(moe).fit(X, Y)
    doubled = clone(moe).fit(X[twice], Y[twice], units=units)
    assert abs(np.log(doubled.spread_[0] / alone.spread_[0])) < np.log(1.11)
    own = doubled.responsibilities(X[twice], Y[twice], units=units).rows(units)
    assert_array_equal(own[::2], own[1::2])


def test_weights_count_as_rows():
    weight = np.random.default_rng(3).integers(0, 3, size=len(Y))
    moe = stack(Given(2.2), Given(0.6, bias=0.1), Ridge())
    weighted = clone(moe).fit(X, Y, sample_weight=weight)
    rows = np.repeat(np.arange(len(Y)), weight)
    repeated = clone(moe).fit(X[rows], Y[rows])
    assert_array_equal(weighted.spread_, repeated.spread_)
    assert_allclose(weighted.noise_variance_, repeated.noise_variance_, equal_nan=True)


def test_the_text_of_a_fit_has_spreads_that_are_not_one():
    moe = stack(Given(2.0), Ridge(), Given(2.0, bias=3.0)).fit(X, Y)
    first, second, third = export_text(moe).split("\n\n")[1:4]
    assert f"distribution: {moe.spread_[0]:.2g} times as wide as the model's" in first
    assert "times as wide" not in second + third


def test_spreads_survive_files_and_copies():
    moe = stack(Given(3.0), Ridge()).fit(X, Y)
    again = pickle.loads(pickle.dumps(moe))
    assert_array_equal(again.spread_, moe.spread_)
    assert_array_equal(again.score_samples(X, Y), moe.score_samples(X, Y))
