"""Estimators that predict the mean of y, per unit of exposure, with every family."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import GammaRegressor, LinearRegression, PoissonRegressor
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe._data.rows import Dataset, RawFeatures
from skmoe._mixture.data import Data
from skmoe.experts import LinearExperts
from skmoe.experts._cross_fitted import CrossFittedExperts, Fits, Learned
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from skmoe.metrics import log_density_scorer
from support.expert_kinds import DISTRIBUTIONS, draw, example, predictor_of_mean
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

# Families whose mean can be given, other than the normal one, and those with exposures.
NAMES = [name for name, row in FAMILIES.items() if example(name).takes_mean and name != "normal"]
RATES = [name for name in NAMES if FAMILIES[name].link == "log"]
# A count, and numbers with one and with two dispersions; rates of other weights.
FEW = ["poisson", "gamma", "student_t"]
FEW_RATES = ["poisson", "gamma", "inverse_gaussian", "lognormal"]
WITH_SCALE = [name for name in NAMES if example(name).has_scale]
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10, random_state=0)
N = 200


def table(name, n_rows=N, seed=0):
    """Two regimes, with slopes of -1 and 1, and arguments of a fit: the offset of rates."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    offset = np.log(rng.uniform(0.2, 4.0, size=n_rows)) if name in RATES else np.zeros(n_rows)
    y = draw(name, offset + 1.0 + np.abs(X[:, 0]), rng, (0.2, 5.0))
    return X, y, {"offset": offset} if name in RATES else {}


def mixture(name, n_experts=2, **options):
    fixed = {"expert": TREE, "n_init": 1, "random_state": 0, "max_iter": 6, "gate_alpha": 1.0}
    return MixtureOfExpertsRegressor(n_experts, family=name, **fixed | options)


@cache
def fitted(name, dispersion="per_expert"):
    X, y, given = table(name)
    return fit_quietly(mixture(name, dispersion=dispersion), X, y, **given)


def dispersions(moe):
    return [getattr(moe, name) for name in ("dispersion_", "df_") if hasattr(moe, name)]


def log_density(name, y, mean, values):
    """By the distribution of scipy with given means."""
    distribution = DISTRIBUTIONS[name](predictor_of_mean(name, mean, values), *values)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


@pytest.mark.parametrize(
    ("name", "dispersion"),
    [*((name, "per_expert") for name in NAMES), ("gamma", "shared"), ("student_t", "shared")],
)
def test_lower_bound_never_falls(name, dispersion):
    moe = fitted(name, dispersion)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    assert [family.name for family in moe.families_] == [name, name]
    for values in dispersions(moe)[:1]:
        assert (values[0] == values[1]) == (dispersion == "shared")


@pytest.mark.parametrize("name", ["normal", *FEW])
def test_shared_dispersions_are_one_parameter_of_each_output(name):
    X, y, _ = table(name, 100)
    y = np.column_stack([y, y[::-1]])
    if LinearExperts((example(name),)).obstacle(y.T):  # a family of one output
        return
    own, shared = (
        fit_quietly(mixture(name, 3, dispersion=dispersion, max_iter=1, cross_fit=2), X, y)
        for dispersion in ("per_expert", "shared")
    )
    n_own = len(example(name).dispersions)
    # Trees may differ: their leaves are counted by the models.
    leaves = [sum(models[0].get_n_leaves() for models in moe.experts_) for moe in (own, shared)]
    difference = own.n_parameters_ - shared.n_parameters_ - 2 * (leaves[0] - leaves[1])
    assert difference == (3 - 1) * 2 * n_own
    assert all(values.shape == (3, 2) for values in dispersions(own))


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_the_estimator_with_the_dispersion_of_maximum_likelihood(name):
    """Rates have the weights of their family, of counts the exposures."""
    X, y, given = table(name)
    moe = mixture(name, 1, cross_fit=False, dispersion_prior=0.0)
    fit_quietly(moe, X, y, **given)
    exposure = np.exp(given.get("offset", np.zeros(N)))
    weight = exposure ** FAMILIES[name]().exposure_power
    single = clone(TREE).fit(X, y / exposure, sample_weight=weight)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-9)
    mean = moe.predict(X, **given)
    assert_allclose(mean, exposure * single.predict(X), rtol=1e-9)
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


@pytest.mark.parametrize("name", ["gamma", "student_t", "lognormal"])
def test_the_prior_of_the_scale_is_inverse_gamma(name):
    """Its own scale is that of a very strong prior."""
    X, y, given = table(name, 100)
    fits = {
        prior: fit_quietly(mixture(name, 1, cross_fit=False, dispersion_prior=prior), X, y, **given)
        for prior in (1e9, 60.0)
    }
    mean, prior_scale = fits[60.0].predict(X, **given), fits[1e9].dispersion_[0]
    others = [values[0] for values in dispersions(fits[60.0])[1:]]
    prior = stats.invgamma(30.0, scale=30.0 * prior_scale)

    def loss(log_scale):
        scale = np.exp(log_scale)
        logs = log_density(name, y, mean, [scale, *others])
        return -logs.sum() - prior.logpdf(scale) - log_scale

    found = np.log(fits[60.0].dispersion_[0])
    best = optimize.minimize_scalar(loss, bounds=(found - 2, found + 2), options={"xatol": 1e-9})
    assert_allclose(found, best.x, atol=1e-3)


@pytest.mark.parametrize("name", WITH_SCALE)
def test_scales_have_a_floor_relative_to_the_variance_of_the_target(name):
    X, y, _ = table(name, 60)
    deep = DecisionTreeRegressor(random_state=0)
    moe = mixture(name, 1, expert=deep, cross_fit=False, dispersion_prior=0.0)
    family = example(name).fitted_to(y[None], np.ones(60), None)
    floor = np.log(1e-6 * np.var(family.working_target(y)))
    scale = np.exp(floor) * family.dispersion_unit
    assert_allclose(fit_quietly(moe, X, y).dispersion_, scale, rtol=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_the_exposure(name):
    X, y, given = table(name)
    moe, few = fitted(name), {key: values[:12] for key, values in given.items()}
    exposure, gate = np.exp(given.get("offset", np.zeros(N))), moe.predict_gate(X)
    means = moe.predict_experts(X, **given)
    assert_allclose(means, exposure[:, None] * moe.predict_experts(X))
    assert_allclose(moe.predict(X, **given), exposure * moe.predict(X))
    logs = [
        log_density(name, y, means[:, k], [values[k] for values in dispersions(moe)])
        for k in range(2)
    ]
    joint = gate.T * np.exp(logs)
    expected = np.log(joint.sum(axis=0))
    assert_allclose(moe.score_samples(X, y, **given), expected, rtol=1e-7)
    assert_allclose(moe.responsibilities(X, y, **given), (joint / joint.sum(axis=0)).T, atol=1e-8)
    assert_allclose(log_density_scorer(moe, X, y, **given), expected.mean())
    again = pickle.loads(pickle.dumps(moe))
    assert_array_equal(again.predict(X, **given), moe.predict(X, **given))
    dist = moe.predict_dist(X[:12], **few)
    found = dist.logpmf(y[:12]) if FAMILIES[name].is_count else dist.logpdf(y[:12])
    assert_allclose(found, expected[:12], rtol=1e-7)
    assert_allclose(dist.mean, moe.predict(X[:12], **few))
    assert_array_equal(moe.predict_interval(X[:12], 0.8, **few), dist.interval(0.8))
    assert_array_equal(moe.predict_quantile(X[:12], 0.3, **few), dist.ppf(0.3))
    draws = moe.sample(X[:12], n_samples=3, random_state=0, **few)
    assert_array_equal(draws, dist.rvs(3, random_state=0))


@pytest.mark.parametrize("name", [*FEW_RATES, "student_t"])
def test_two_regimes_are_found_and_intervals_cover_new_rows(name):
    moe = fitted(name)
    X, y, given = table(name, 400, seed=1)
    rate = np.exp(1.0 + np.abs(X[:, 0])) if name in RATES else np.abs(X[:, 0])
    # Weights of inverse Gaussians leave little to rows of large rates.
    assert np.corrcoef(moe.predict(X), rate)[0, 1] > (0.7 if name == "inverse_gaussian" else 0.85)
    low, high = moe.predict_interval(X, 0.9, **given).T
    assert 0.78 < np.mean((low <= y) & (y <= high)) < 0.995
    if given:
        blind = fit_quietly(mixture(name), *table(name)[:2])
        gain = moe.score_samples(X, y, **given) - blind.score_samples(X, y)
        assert gain.mean() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_weight_two_equals_two_rows_in_any_order(name):
    X, y, given = table(name, 100)
    weight = np.random.default_rng(3).integers(1, 4, size=100)
    rows = np.random.default_rng(4).permutation(np.repeat(np.arange(100), weight))
    weighted, repeated = (mixture(name, cross_fit=False, max_iter=3) for _ in range(2))
    fit_quietly(weighted, X, y, sample_weight=weight, **given)
    fit_quietly(repeated, X[rows], y[rows], **{key: own[rows] for key, own in given.items()})
    expected = repeated.score_samples(X, y, **given)
    assert_allclose(weighted.score_samples(X, y, **given), expected, rtol=1e-6)


def test_boosting_with_a_log_link_does_not_warn_of_its_loss():
    X, y, _ = table("poisson", 100)
    expert = HistGradientBoostingRegressor(loss="poisson", max_iter=3, max_bins=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moe = mixture("poisson", expert=[expert, "tree"], max_iter=100, cross_fit=2).fit(X, y)
    assert np.isfinite(moe.score_samples(X, y)).all()


@pytest.mark.parametrize("name", ["poisson", "student_t"])
def test_means_of_zero_are_raised_where_they_are_impossible_only(name):
    rng = np.random.default_rng(0)
    X, exposure = rng.uniform(size=(200, 1)), rng.uniform(1.0, 5.0, size=200)
    exposure = exposure if name == "poisson" else np.ones(200)
    given = {"offset": np.log(exposure)} if name == "poisson" else {}
    y = np.where(X[:, 0] < 0.5, 0.0, rng.poisson(4.0 * exposure))
    moe = fit_quietly(mixture(name, 1, cross_fit=False), X, y, **given)
    least = 1e-3 * y.sum() / exposure.sum() if given else 0.0
    assert_allclose(moe.predict([[0.1]]), least, atol=1e-12)
    assert np.isfinite(moe.score_samples(X, y, **given)).all()
    if given:
        assert_allclose(moe.predict([[0.1]], offset=[np.log(3.0)]), 3.0 * least)


def test_negative_means_are_refused():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(200, 1))
    y = rng.poisson(np.exp(2 * X[:, 0])).astype(float)
    message = refusal(mixture("poisson", 1, expert=LinearRegression()).fit, X, y)
    assert_refused(message, "expert 0", "not negative", "poisson", LinearRegression())


class Extreme(LinearRegression):
    """Predicts a mean beyond any bound for new rows."""

    def predict(self, X):
        return np.where(X[:, 0] > 100.0, 1e100, np.abs(super().predict(X)) + 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_densities_stay_finite_at_means_beyond_any_bound(name):
    X, y, _ = table(name, 60)
    moe = fit_quietly(mixture(name, 1, expert=Extreme(), cross_fit=False), X, y)
    far = moe.score_samples(np.full((60, 2), 200.0), y)
    assert np.isfinite(far).all()
    assert far.sum() < moe.score_samples(X, y).sum()


def test_values_outside_the_support_are_refused():
    X, y, _ = table("gamma", 60)
    assert_fit_refused(mixture("gamma"), (X, -y), "y", "positive numbers", 'family="gamma"')


@pytest.mark.parametrize(("name", "value"), [("poisson", 0.0), ("gamma", 3.0), ("lognormal", 0.1)])
def test_constant_targets_are_fitted(name, value):
    X = np.random.default_rng(0).normal(size=(60, 2))
    moe = fit_quietly(mixture(name, max_iter=5), X, np.full(60, value))
    assert_allclose(moe.predict(X), value, rtol=1e-5, atol=1e-6)
    assert all((values > 1e-9).all() for values in dispersions(moe))


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_a_row_of_next_to_no_weight_gives_a_constant_target_no_variance(name):
    """Round-off of the mean of the constant is no variance of its own."""
    y, weight = np.append(np.full(49, 0.1), 0.0)[None], np.append(np.ones(49), 1e-40)
    with_row = experts_of(name, y, weight)
    without = experts_of(name, y[:, :-1], weight[:-1])
    assert_allclose(with_row.start, without.start)
    assert_allclose(with_row.lower, without.lower)
    theta = np.zeros_like(with_row.start)
    assert_allclose(with_row.prior.penalty(theta), without.prior.penalty(theta))


def experts_of(name, y, weight, shared=False, prior=1.0):
    """Two estimators around whose means there is a family."""
    estimator = DecisionTreeRegressor()
    fits = Fits((estimator,) * 2, np.zeros((2, 1), dtype=int), ({},) * 2)
    features = RawFeatures(np.zeros((len(weight), 1)))
    rows = Dataset(np.ones((len(weight), 1)), features, y, weight)
    options = MeanFamily((example(name),), shared_dispersion=shared, dispersion_prior=prior)
    estimates = {"noise_variance": (0.1,), "variance_floor": (1e-6,)}
    return CrossFittedExperts.of_rows(fits, rows, options, estimates)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if example(name).dispersions])
def test_dispersions_maximise_the_penalised_likelihood_from_any_start(name, shared):
    rng = np.random.default_rng(5)
    y = draw(name, 1.0 + rng.normal(size=200), rng, (0.2, 5.0))[None]
    mean = np.exp(1.0 + 0.3 * rng.normal(size=(2, 1, 200)))
    resp = rng.dirichlet([1.0, 1.0], size=200).T
    experts = experts_of(name, y, np.ones(200), shared, 40.0)
    experts = experts.changed(learned=Learned((), mean, np.zeros((2, 200))))
    rows = Dataset(np.ones((200, 1)), RawFeatures(np.zeros((200, 1))), y, np.ones(200))
    data, found = Data(rows), []
    for fraction in (0.02, 0.5, 0.98):
        start = experts.lower + fraction * (experts.upper - experts.lower)
        best, value = experts.with_best_dispersions(start, data, resp, 200)
        found.append(value.sum())
        for t in range(len(start)):
            for sign in (1.0, -1.0):
                moved = best.copy()
                tied = experts.free == experts.free[t]
                moved[tied] = np.clip(best + sign * 1e-3, experts.lower, experts.upper)[tied]
                other = experts.with_best_dispersions(moved, data, resp, 0)[1]
                assert other.sum() <= value.sum() + 1e-9
    assert_allclose(found, found[0], rtol=1e-8)


# --- exposures ---


@pytest.mark.parametrize(
    ("name", "estimator"), [("poisson", PoissonRegressor), ("gamma", GammaRegressor)]
)
def test_regressions_are_linear_experts(name, estimator):
    X, y, given = table(name)
    offset = given["offset"]
    expert = estimator(alpha=0.0, solver="newton-cholesky", tol=1e-12)
    options = {"dispersion_prior": 0.0, "cross_fit": False}
    moe = mixture(name, 1, expert=expert, **options).fit(X, y, offset=offset)
    options = {"dispersion_prior": 0.0, "alpha": 0.0, "tol": 1e-14, "max_iter": 1000}
    linear = mixture(name, 1, **(options | {"expert": "linear"})).fit(X, y, offset=offset)
    assert_allclose(moe.predict(X), linear.predict(X), rtol=1e-5)
    density = moe.score_samples(X, y, offset=offset)
    assert_allclose(density, linear.score_samples(X, y, offset=offset), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "expert"), [("poisson", TREE), ("gamma", TREE), ("gamma", "linear")]
)
def test_an_offset_of_zeros_is_none(name, expert):
    X, y, _ = table(name)
    moe = mixture(name, expert=expert, max_iter=2, alpha=0.1, gate_alpha=1.0)
    one, other = fit_quietly(clone(moe), X, y), fit_quietly(clone(moe), X, y, offset=np.zeros(N))
    assert_allclose(other.lower_bounds_, one.lower_bounds_, rtol=1e-9)
    assert_allclose(other.predict(X), one.predict(X), rtol=1e-7)
    assert_array_equal(one.predict(X), one.predict(X, offset=np.zeros(N)))
    assert_array_equal(one.score_samples(X, y), one.score_samples(X, y, offset=np.zeros(N)))


@pytest.mark.parametrize("name", [name for name in FEW_RATES if name != "inverse_gaussian"])
def test_the_unit_of_the_exposure_does_not_matter(name):
    """Also where the estimator has a penalty, if its loss is a likelihood of y."""
    X, y, given = table(name)
    offset = given["offset"]
    expert = HistGradientBoostingRegressor(
        loss="poisson" if FAMILIES[name].is_count else "gamma",
        max_iter=3,
        max_bins=8,
        l2_regularization=5.0,
        random_state=0,
    )
    years, months = (
        fit_quietly(mixture(name, 1, expert=expert, cross_fit=False), X, y, offset=offset + unit)
        for unit in np.log([1.0, 16.0])
    )
    assert_allclose(16.0 * months.predict(X), years.predict(X), rtol=1e-5)
    assert_allclose(months.lower_bound_, years.lower_bound_, rtol=1e-5)


@pytest.mark.parametrize("name", FEW_RATES)
def test_a_constant_exposure_divides_the_rates(name):
    X, y, _ = table(name)
    init = 0.1 + 0.8 * np.eye(2)[(X[:, 0] > 0).astype(int)]
    constant = np.full(N, np.log(8.0))
    # The scale of the prior comes from a tree whose ties are broken by round-off.
    options = {"init": init, "max_iter": 3, "dispersion_prior": 0.0}
    without, divided = (
        fit_quietly(mixture(name, **options), X, y, offset=offset) for offset in (None, constant)
    )
    assert_allclose(8.0 * divided.predict(X), without.predict(X), rtol=1e-6)
    density = divided.score_samples(X, y, offset=constant)
    assert_allclose(density, without.score_samples(X, y), atol=1e-6)


def test_equal_rows_of_different_exposure_are_different_rows():
    X, y, _ = table("poisson", 50)
    X, y, offset = np.repeat(X, 2, axis=0), np.repeat(y, 2), np.log(np.tile([0.5, 2.0], 50))
    moe = fit_quietly(mixture("poisson", 1, cross_fit=False), X, y, offset=offset)
    exposure = np.exp(offset)
    single = clone(TREE).fit(X, y / exposure, sample_weight=exposure)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-9)


def test_several_outputs_have_one_exposure():
    X, y, given = table("poisson", 100)
    offset = given["offset"]
    both = np.column_stack([y, 2.0 * y])
    moe = fit_quietly(mixture("poisson", 1, cross_fit=False), X, both, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset)[:, None] * moe.predict(X))
    assert_allclose(moe.predict(X)[:, 1], 2.0 * moe.predict(X)[:, 0])
    offsets = np.column_stack([offset, offset])
    words = ["(n_samples,)", "the same for all outputs", (100, 2), 'expert="linear"']
    assert_fit_refused(mixture("poisson"), (X, both), "expert", *words, offset=offsets)


def test_routed_predictions():
    X, y, given = table("gamma")
    offset = given["offset"]
    moe = fit_quietly(mixture("gamma", max_iter=4, gate=SoftmaxGate(top_k=1)), X, y, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset) * moe.predict(X))
    assert_allclose(moe.predict_dist(X, offset=offset).mean, moe.predict(X, offset=offset))


def test_a_warm_start_with_another_offset_fits_again():
    X, y, given = table("poisson")
    offset = given["offset"]
    moe = mixture("poisson", warm_start=True)
    rates = fit_quietly(moe, X, y, offset=offset).predict(X)
    assert_allclose(fit_quietly(moe, X, y, offset=offset).predict(X), rates, rtol=0.3)
    in_percent = offset + np.log(100.0)
    moe = fit_quietly(moe, X, y, offset=in_percent)
    assert_allclose(moe.predict(X, offset=in_percent).sum(), y.sum(), rtol=0.15)


def test_numbers_of_experts_are_selected_with_the_offset():
    X, y, given = table("gamma", 60)
    offset = given["offset"]
    stump = DecisionTreeRegressor(max_leaf_nodes=2, random_state=0)
    options = {"expert": stump, "max_iter": 2, "cross_fit": 2}
    moe = fit_quietly(mixture("gamma", "bic", **options), X, y, offset=offset)
    alone = mixture("gamma", moe.n_experts_, **options)
    fit_quietly(alone, X, y, offset=offset)
    found = moe.n_experts_scores_[moe.n_experts_ - 1]
    assert_allclose(found, -alone.bic(X, y, offset=offset), rtol=0.1)
