"""Whole models as experts: their fits, noise and densities, without a gate."""

import numpy as np
import pytest
from kinds import example
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from skmoe._data.rows import RawFeatures
from skmoe.distributions import MixtureDistribution
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._whole_models import WholeFamilyModels, WholeModels

N_ROWS, PRIOR, SCALE = 60, 4.0, 0.8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 2))
Y = (X @ [1.0, -2.0] + 3.0 + RNG.normal(size=N_ROWS))[None]
FOLD = np.arange(N_ROWS) % 3
WEIGHT = RNG.uniform(0.3, 1.9, size=N_ROWS)
FEATURES = RawFeatures(X, FOLD)


class Certain(RegressorMixin, BaseEstimator):
    """A model with a density of its own, which is normal around the first feature."""

    def __init__(self, std=0.5):
        self.std = std

    def fit(self, X, y, sample_weight=None):
        self.coef_, self.intercept_ = np.ones(2), 0.0
        return self

    def predict(self, X):
        return -np.abs(X[:, 0])

    def score_samples(self, X, y):
        return norm.logpdf(y, self.predict(X), self.std)

    def predict_dist(self, X):
        one = np.ones((len(X), 1))
        return MixtureDistribution(one, self.predict(X)[:, None], self.std * one)


class Observer:
    def __init__(self):
        self.calls = []

    def start(self, k, name):
        self.calls.append(("start", k, name))

    def end(self, k, name, params):
        self.calls.append(("end", k, name, params))


def whole(estimators, kind=WholeModels, **options):
    k = len(estimators)
    given = {"dispersion_prior": PRIOR, "noise_variance": (SCALE,), "variance_floor": (1e-6,)}
    return kind(tuple(estimators), np.zeros((k, 4), dtype=int), ({},) * k, **given | options)


def out_of_fold(model, y, weight):
    found = np.empty(N_ROWS)
    for j in range(3):
        test = j == FOLD
        train = ~test
        found[test] = model.fit(X[train], y[train], sample_weight=weight[train]).predict(X[test])
    return found


@pytest.mark.parametrize("shared", [False, True])
def test_whole_models_are_fitted_with_the_weights_of_the_rows(shared):
    observer = Observer()
    experts = whole([Ridge(5.0), LinearRegression()], shared_dispersion=shared)
    params = experts.fit_models(FEATURES, Y, WEIGHT, observer)
    squares = []
    for k, model in enumerate((Ridge(5.0), LinearRegression())):
        ((fitted,),) = params.models[k : k + 1]
        assert_allclose(fitted.coef_, model.fit(X, Y[0], sample_weight=WEIGHT).coef_)
        predicted = out_of_fold(model, Y[0], WEIGHT)
        assert_allclose(params.oof_predictions[k, 0], predicted)
        squares.append(WEIGHT @ np.square(Y[0] - predicted))
    mass = np.full(2, WEIGHT.sum())
    if shared:
        squares, mass = np.full(2, sum(squares)), np.full(2, mass.sum())
    variance = (np.array(squares) + PRIOR * SCALE) / (mass + PRIOR)
    assert_allclose(params.log_variance[:, 0], np.log(variance))
    assert_array_equal(params.oof_log_density, 0.0)
    logs = norm.logpdf(Y[0], params.oof_predictions[:, 0], np.sqrt(variance)[:, None])
    assert_allclose(experts.log_prob(params, FEATURES, Y), logs)
    names = ["Ridge", "LinearRegression"]
    wanted = [(kind, k, names[k]) for k in range(2) for kind in ("start", "end")]
    assert [call[:3] for call in observer.calls] == wanted
    assert [len(call[3].models) for call in observer.calls if call[0] == "end"] == [1, 2]


def test_rows_are_repeated_for_whole_models_that_take_no_weights_only():
    counts = np.random.default_rng(1).integers(0, 3, size=N_ROWS).astype(float)
    params = whole([KNeighborsRegressor(3), Ridge()]).fit_models(FEATURES, Y, counts, Observer())
    rows = np.repeat(np.arange(N_ROWS), counts.astype(int))
    other = KNeighborsRegressor(3).fit(X[rows], Y[0, rows])
    assert_allclose(params.models[0][0].predict(X), other.predict(X))
    halves = whole([Ridge()]).fit_models(FEATURES, Y, 0.5 * counts, Observer())
    ridge = Ridge().fit(X, Y[0], sample_weight=0.5 * counts)
    assert_allclose(halves.models[0][0].coef_, ridge.coef_)


@pytest.mark.parametrize("shared", [False, True])
def test_models_with_densities_of_their_own_have_no_dispersions_of_the_family(shared):
    own = [True, False, False]
    y = np.exp(0.2 * Y)
    options = {"variance_floor": (1e-6,), "noise_variance": (SCALE,), "dispersion_prior": PRIOR}
    options["shared_dispersion"] = shared
    family = MeanFamily(example("student_t")).fitted_to(y, WEIGHT, options)
    models = [Certain(), Ridge(5.0), LinearRegression()]
    experts = whole(models, WholeFamilyModels, shared_dispersion=shared, mean_family=family)
    params = experts.fit_models(FEATURES, y, WEIGHT, Observer())
    assert_array_equal(np.isnan(params.log_variance).all(axis=(1, 2)), own)
    assert_array_equal(np.isnan(params.log_variance).any(axis=(1, 2)), own)
    # The other models have those that they would have without it.
    both = whole(models[1:], WholeFamilyModels, shared_dispersion=shared, mean_family=family)
    alone = both.fit_models(FEATURES, y, WEIGHT, Observer())
    assert_allclose(params.log_variance[1:], alone.log_variance, rtol=1e-6, atol=1e-9)
    assert experts.n_parameters(params) == both.n_parameters(alone) + 3
    assert both.n_parameters(alone) == 2 * 3 + 2 * (1 if shared else 2)
    logs = experts.log_prob(params, FEATURES, y)
    assert_allclose(logs[0], norm.logpdf(y[0], -np.abs(X[:, 0]), 0.5))
    assert_allclose(logs[1:], both.log_prob(alone, FEATURES, y), rtol=1e-6)
    # Their means are not those of the family: they may be negative.
    assert_allclose(experts.mean_of(params, 0, FEATURES)[0], -np.abs(X[:, 0]))
    part = experts.components(params, 0, FEATURES)
    assert_array_equal(part.std, 0.5)
    assert_allclose(part.mean[0, 0], -np.abs(X[:, 0]))


def test_negative_means_are_valid_of_models_with_a_density_only():
    counts = np.round(np.exp(0.3 * Y))
    options = {"variance_floor": (1e-6,), "noise_variance": (1.0,), "dispersion_prior": 0.0}
    family = MeanFamily(example("poisson")).fitted_to(
        counts, WEIGHT, options | {"shared_dispersion": False}
    )
    experts = whole([Certain(), Ridge()], WholeFamilyModels, mean_family=family)
    means = np.array([[-2.0, 1.0]])
    assert_array_equal(experts._valid_means(0, means, None), means)
    with pytest.raises(ValueError, match="means that are not negative"):
        experts._valid_means(1, means, None)


@pytest.mark.parametrize("name", ["gamma", "poisson", "lognormal", "student_t"])
def test_models_that_are_not_fitted_yet_have_finite_densities(name):
    """The dispersions are those of greatest likelihood for the predictions of all models."""
    y = np.round(np.exp(0.3 * Y)) + 1.0
    options = {"variance_floor": (1e-6,), "noise_variance": (SCALE,), "dispersion_prior": PRIOR}
    family = MeanFamily(example(name)).fitted_to(y, WEIGHT, options | {"shared_dispersion": False})
    trees = [DecisionTreeRegressor(max_depth=depth) for depth in (1, 2)]
    experts = whole(trees, WholeFamilyModels, mean_family=family)
    observer = Observer()
    params = experts.fit_models(FEATURES, y, WEIGHT, observer)
    assert all(np.isfinite(call[3].log_variance).all() for call in observer.calls[1::2])
    resp = np.broadcast_to(WEIGHT, (2, N_ROWS))
    start = family.initial(2)
    best = family.maximise(params.oof_predictions, y, resp, start)
    assert_allclose(params.log_variance, best)


def test_noise_that_is_shared_is_that_of_the_models_which_are_fitted():
    """What observers see of the first models is what a fit of these alone has."""
    models = [Ridge(5.0), LinearRegression(), DecisionTreeRegressor(max_depth=2, random_state=0)]
    y = Y + 50.0
    observer = Observer()
    whole(models, shared_dispersion=True).fit_models(FEATURES, y, WEIGHT, observer)
    for n_models, call in enumerate(observer.calls[1::2], start=1):
        rows = WEIGHT.sum() * n_models
        squares = sum(
            WEIGHT @ np.square(y[0] - out_of_fold(model, y[0], WEIGHT))
            for model in models[:n_models]
        )
        variance = (squares + PRIOR * SCALE) / (rows + PRIOR)
        assert_allclose(call[3].log_variance[:n_models], np.log(variance))
