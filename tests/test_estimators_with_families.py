"""Estimators that predict the mean of y, with every family of conditional distributions."""

import warnings

import numpy as np
import pytest
from kinds import DISTRIBUTIONS, draw
from numpy.testing import assert_allclose
from scipy import optimize
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import FAMILIES

NAMES = [name for name, family in FAMILIES.items() if family().takes_mean and name != "normal"]
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10)


def table(name, n_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    return X, draw(name, 1.0 + np.abs(X[:, 0]), rng, (0.2, 5.0))


def fitted(name, X, y, n_experts=2, **options):
    options = {"expert": TREE, "n_init": 1, "random_state": 0, "max_iter": 15} | options
    moe = MixtureOfExpertsRegressor(n_experts, family=name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return moe.fit(X, y)


def dispersions(moe):
    return [getattr(moe, name) for name in ("dispersion_", "df_") if hasattr(moe, name)]


def frozen(name, mean, values):
    """The distribution of scipy with given means."""
    predictor = mean if FAMILIES[name].link == "identity" else np.log(mean)
    if name == "lognormal":
        predictor = predictor - 0.5 * values[0]
    return DISTRIBUTIONS[name](predictor, *values)


def log_density(name, y, mean, values):
    distribution = frozen(name, mean, values)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


@pytest.mark.parametrize("dispersion", ["per_expert", "shared"])
@pytest.mark.parametrize("name", NAMES)
def test_the_lower_bound_never_falls(name, dispersion):
    X, y = table(name)
    moe = fitted(name, X, y, dispersion=dispersion)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    assert len(moe.families_) == 2
    for values in dispersions(moe):
        assert (values[0] == values[1]) == (dispersion == "shared")


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_its_estimator_with_the_dispersion_of_maximum_likelihood(name):
    X, y = table(name)
    moe = fitted(name, X, y, 1, cross_fit=False, dispersion_prior=0.0)
    mean = moe.experts_[0][0].predict(X)
    assert_allclose(moe.predict(X), mean)
    found = [float(values[0]) for values in dispersions(moe)]
    if found:
        best = optimize.minimize(
            lambda logs: -log_density(name, y, mean, np.exp(logs)).mean(),
            np.log([0.3, 5.0][: len(found)]),
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-14},
        )
        assert_allclose(log_density(name, y, mean, found).mean(), -best.fun, rtol=0, atol=1e-9)
        assert_allclose(found, np.exp(best.x), rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_densities_around_the_predictions(name):
    X, y = table(name)
    moe = fitted(name, X, y)
    means, gate = moe.predict_experts(X), moe.predict_gate(X)
    logs = [
        log_density(name, y, means[:, k], [values[k] for values in dispersions(moe)])
        for k in range(2)
    ]
    expected = np.log((gate.T * np.exp(logs)).sum(axis=0))
    assert_allclose(moe.score_samples(X, y), expected, rtol=1e-8)
    dist = moe.predict_dist(X)
    found = dist.logpmf(y) if FAMILIES[name].is_count else dist.logpdf(y)
    assert_allclose(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_intervals_cover(name):
    X, y = table(name, 600)
    moe = fitted(name, X, y)
    X_test, y_test = table(name, 600, seed=1)
    low, high = moe.predict_interval(X_test, 0.9).T
    assert 0.84 < np.mean((low <= y_test) & (y_test <= high)) < 0.99


@pytest.mark.parametrize("name", NAMES)
def test_weights_equal_repeats(name):
    X, y = table(name, 120)
    weight = np.random.default_rng(3).integers(1, 4, size=120)
    options = {"expert": TREE, "n_init": 1, "random_state": 0, "max_iter": 5, "cross_fit": False}
    moe = MixtureOfExpertsRegressor(2, family=name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        one = moe.fit(X, y, sample_weight=weight).score_samples(X, y)
        repeated = np.repeat(np.arange(120), weight)
        other = moe.fit(X[repeated], y[repeated]).score_samples(X, y)
    assert_allclose(one, other, rtol=1e-6)


def test_boosting_with_a_log_link_does_not_warn_of_its_loss():
    X, y = table("poisson")
    expert = HistGradientBoostingRegressor(loss="poisson", max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moe = MixtureOfExpertsRegressor(2, expert=[expert, "tree"], family="poisson", n_init=1)
        moe.set_params(random_state=0).fit(X, y)
    assert np.isfinite(moe.score_samples(X, y)).all()


def test_means_of_zero_are_raised():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(200, 1))
    y = np.where(X[:, 0] < 0.5, 0.0, rng.poisson(4.0, size=200))
    moe = fitted("poisson", X, y, 1, cross_fit=False)
    assert_allclose(moe.predict([[0.1]]), 1e-3 * y.mean())
    assert np.isfinite(moe.score_samples([[0.1]], [1.0])).all()


def test_negative_means_are_refused():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(200, 1))
    y = rng.poisson(np.exp(2 * X[:, 0])).astype(float)
    message = r"must predict means that are not negative for family='poisson'; got -.*LinearReg"
    with pytest.raises(ValueError, match=message):
        fitted("poisson", X, y, 1, expert=LinearRegression())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            ({"family": name}, "It has no mean that estimators could predict")
            for name in ("ordinal", "zero", "uniform")
        ],
        *[
            (
                {"family": ["gamma", "lognormal"], "expert": expert},
                r"family=\['gamma', 'lognormal'\] needs expert=\"linear\"; got expert=.*Tree.* "
                "Experts that are estimators have one family in common: give that, or use",
            )
            for expert in (TREE, [TREE, "linear"])
        ],
        ({"family": "gamma", "base": TREE}, "base needs experts to whose mean"),
        ({"family": "gamma", "expert": MixtureOfExpertsRegressor(2)}, "a density of its own"),
    ],
)
def test_refused_combinations(options, message):
    X, y = table("gamma", 60)
    moe = MixtureOfExpertsRegressor(2, **({"expert": TREE} | options))
    with pytest.raises(ValueError, match=message):
        moe.fit(X, y)


def test_values_outside_the_support_are_refused():
    X, y = table("gamma", 60)
    with pytest.raises(ValueError, match='y must hold positive numbers for family="gamma"'):
        fitted("gamma", X, -y)


@pytest.mark.parametrize(("name", "value"), [("poisson", 0.0), ("gamma", 3.0), ("lognormal", 0.1)])
def test_constant_targets_are_fitted_without_warnings(name, value):
    X = np.random.default_rng(0).normal(size=(100, 2))
    moe = MixtureOfExpertsRegressor(2, expert=TREE, family=name, n_init=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        moe.fit(X, np.full(100, value))
    assert_allclose(moe.predict(X), value, rtol=1e-5, atol=1e-6)
    assert all((values > 1e-9).all() for values in dispersions(moe))


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_a_row_of_next_to_no_weight_gives_a_constant_target_no_variance(name):
    """Round-off of the mean of the constant is no variance of its own."""
    options = {"noise_variance": (0.1,), "variance_floor": (1e-6,)}
    options |= {"shared_dispersion": False, "dispersion_prior": 1.0}
    y, weight = np.append(np.full(49, 0.1), 0.0)[None], np.append(np.ones(49), 1e-40)
    with_row = MeanFamily(FAMILIES[name]()).fitted_to(y, weight, options)
    without = MeanFamily(FAMILIES[name]()).fitted_to(y[:, :-1], weight[:-1], options)
    assert with_row.prior_scale == without.prior_scale == (0.1,)
    assert with_row.low == without.low
    assert with_row.start == without.start


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if FAMILIES[name]().dispersions])
def test_dispersions_maximise_the_penalised_likelihood_from_any_start(name, shared):
    rng = np.random.default_rng(5)
    y = draw(name, 1.0 + rng.normal(size=200), rng, (0.2, 5.0))[None]
    mean = np.exp(1.0 + 0.3 * rng.normal(size=(2, 1, 200)))
    resp = rng.dirichlet([1.0, 1.0], size=200).T
    options = {"noise_variance": (0.1,), "variance_floor": (1e-6,)}
    options |= {"shared_dispersion": shared, "dispersion_prior": 40.0}
    family = MeanFamily(FAMILIES[name]()).fitted_to(y, np.ones(200), options)

    def value(theta):
        logs = (resp[:, None] * family.log_prob(mean, theta, y)).sum(axis=(1, 2))
        return logs.sum() - family.penalties(theta)[: 1 if shared else None].sum()

    found = []
    for fraction in (0.05, 0.5, 0.95):
        low, high = np.array(family.low), np.array(family.high)
        start = np.broadcast_to(low + fraction * (high - low), (2, *low.shape))
        theta = family.maximise(mean, y, resp, start)
        assert value(theta) >= value(start)
        found.append(value(theta))
        for t in range(theta.shape[-1]):
            for sign in (1.0, -1.0):
                moved = theta.copy()
                moved[..., t] = np.clip(theta[..., t] + sign * 1e-3, low[:, t], high[:, t])
                assert value(moved) <= value(theta) + 1e-9
    assert_allclose(found, found[0], rtol=1e-8)
