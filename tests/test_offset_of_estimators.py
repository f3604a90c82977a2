"""Offsets of experts that are estimators: they predict y per unit of exposure."""

import pickle
import warnings

import numpy as np
import pytest
from kinds import DISTRIBUTIONS, draw
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import GammaRegressor, PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsRegressor
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.families import FAMILIES
from skmoe.inspection import CalibrationDisplay, ExpertsDisplay
from skmoe.metrics import log_density_scorer

# Families with a log link whose mean can be given.
NAMES = [name for name, family in FAMILIES.items() if family().takes_mean and family.link == "log"]
COUNTS = [name for name in NAMES if FAMILIES[name].is_count]
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10)
N = 400


def table(name, n_rows=N, seed=0):
    """Two regimes of rates, with slopes of -1 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 2))
    exposure = rng.uniform(0.2, 4.0, size=n_rows)
    return X, draw(name, np.log(exposure) + 1.0 + np.abs(X[:, 0]), rng, (0.2,)), np.log(exposure)


def mixture(name, n_experts=2, **options):
    plain = {"expert": TREE, "n_init": 1, "random_state": 0, "max_iter": 15}
    return MixtureOfExpertsRegressor(n_experts, family=name, **(plain | options))


def quiet_fit(moe, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return moe.fit(*args, **kwargs)


def frozen(name, mean, dispersion):
    """The distribution of scipy with given means, and a dispersion if there is one."""
    predictor = np.log(mean) - (0.5 * dispersion[0] if name == "lognormal" else 0.0)
    return DISTRIBUTIONS[name](predictor, *dispersion)


def log_density(name, y, mean, dispersion):
    distribution = frozen(name, mean, dispersion)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


def dispersions(moe, k):
    return [moe.dispersion_[k]] if hasattr(moe, "dispersion_") else []


# --- fits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_the_estimator_of_rates(name):
    X, y, offset = table(name)
    moe = quiet_fit(mixture(name, 1, cross_fit=False, dispersion_prior=0.0), X, y, offset=offset)
    exposure = np.exp(offset)
    seed = moe.experts_[0][0].random_state
    single = clone(TREE).set_params(random_state=seed)
    single.fit(X, y / exposure, sample_weight=exposure if name in COUNTS else None)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-12)
    assert_allclose(moe.predict(X, offset), exposure * single.predict(X), rtol=1e-12)
    if dispersions(moe, 0):  # that of maximum likelihood for these means
        best = optimize.minimize_scalar(
            lambda log: -log_density(name, y, moe.predict(X, offset), [np.exp(log)]).mean(),
            bounds=(-4.0, 2.0),
            options={"xatol": 1e-10},
        )
        assert_allclose(moe.score_samples(X, y, offset).mean(), -best.fun, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "estimator"), [("poisson", PoissonRegressor), ("gamma", GammaRegressor)]
)
def test_regressions_are_linear_experts(name, estimator):
    X, y, offset = table(name)
    expert = estimator(alpha=0.0, solver="newton-cholesky", tol=1e-12)
    options = {"dispersion_prior": 0.0, "cross_fit": False}
    moe = mixture(name, 1, expert=expert, **options).fit(X, y, offset=offset)
    options = {"dispersion_prior": 0.0, "alpha": 0.0, "tol": 1e-14, "max_iter": 1000}
    linear = mixture(name, 1, **(options | {"expert": "linear"})).fit(X, y, offset=offset)
    assert_allclose(moe.predict(X), linear.predict(X), rtol=1e-5)
    density = moe.score_samples(X, y, offset)
    assert_allclose(density, linear.score_samples(X, y, offset), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rates_of_two_regimes_are_found(name):
    X, y, offset = table(name, 600)
    expert = {"poisson": "poisson", "negative_binomial": "poisson"}.get(name, "gamma")
    # Few bins: scikit-learn is slow at weighted quantiles.
    expert = HistGradientBoostingRegressor(loss=expert, max_iter=10, max_bins=16)
    moe = quiet_fit(mixture(name, expert=expert), X, y, offset=offset)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    X_new, y_new, offset_new = table(name, 1000, seed=1)
    rate = np.exp(1.0 + np.abs(X_new[:, 0]))
    if name == "lognormal":
        rate *= np.exp(0.1)
    assert np.corrcoef(moe.predict(X_new), rate)[0, 1] > 0.9
    low, high = moe.predict_interval(X_new, 0.9, offset=offset_new).T
    assert 0.8 < np.mean((low <= y_new) & (y_new <= high)) < 0.98
    blind = quiet_fit(mixture(name, expert=expert), X, y)
    gain = moe.score_samples(X_new, y_new, offset_new) - blind.score_samples(X_new, y_new)
    assert gain.mean() > 0.1


@pytest.mark.parametrize("expert", [TREE, "linear"], ids=["tree", "linear"])
@pytest.mark.parametrize("name", NAMES)
def test_an_offset_of_zeros_is_none_bit_for_bit(name, expert):
    X, y, _ = table(name)
    one = quiet_fit(mixture(name, 5, expert=expert), X, y)
    other = quiet_fit(mixture(name, 5, expert=expert), X, y, offset=np.zeros(N))
    assert_array_equal(one.lower_bounds_, other.lower_bounds_)
    assert_array_equal(one.predict(X), other.predict(X))
    assert_array_equal(one.predict(X), one.predict(X, offset=np.zeros(N)))
    assert_array_equal(one.score_samples(X, y), one.score_samples(X, y, np.zeros(N)))


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_of_the_exposure_does_not_matter(name):
    """Also where the estimator has a penalty, if its loss is a likelihood of y."""
    X, y, offset = table(name)
    expert = HistGradientBoostingRegressor(
        loss="poisson" if name in COUNTS else "gamma",
        max_iter=5,
        max_bins=8,
        l2_regularization=5.0,
        random_state=0,
    )
    years, months = (
        quiet_fit(mixture(name, 1, expert=expert, cross_fit=False), X, y, offset=offset + unit)
        for unit in np.log([1.0, 16.0])
    )
    assert_allclose(16.0 * months.predict(X), years.predict(X), rtol=1e-5)
    assert_allclose(months.lower_bound_, years.lower_bound_, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_exposure_divides_the_rates(name):
    X, y, _ = table(name)
    labels = (X[:, 0] > 0).astype(int)
    init = 0.1 + 0.8 * np.eye(2)[labels]
    without = quiet_fit(mixture(name, init=init), X, y)
    constant = quiet_fit(mixture(name, init=init), X, y, offset=np.full(N, np.log(8.0)))
    assert_allclose(8.0 * constant.predict(X), without.predict(X), rtol=1e-6)
    assert_allclose(
        constant.score_samples(X, y, np.full(N, np.log(8.0))),
        without.score_samples(X, y),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repeats_and_order_does_not_matter(name):
    X, y, offset = table(name, 150)
    weight = np.random.default_rng(3).integers(1, 4, size=150)
    weighted = quiet_fit(mixture(name, cross_fit=False), X, y, sample_weight=weight, offset=offset)
    rows = np.random.default_rng(4).permutation(np.repeat(np.arange(150), weight))
    repeated = quiet_fit(mixture(name, cross_fit=False), X[rows], y[rows], offset=offset[rows])
    assert_allclose(
        weighted.score_samples(X, y, offset), repeated.score_samples(X, y, offset), rtol=1e-6
    )


def test_equal_rows_of_different_exposure_are_different_rows():
    X, y, _ = table("poisson", 100)
    X, y, offset = np.repeat(X, 2, axis=0), np.repeat(y, 2), np.log(np.tile([0.5, 2.0], 100))
    moe = quiet_fit(mixture("poisson", 1, cross_fit=False), X, y, offset=offset)
    exposure = np.exp(offset)
    single = clone(moe.experts_[0][0]).fit(X, y / exposure, sample_weight=exposure)
    assert_allclose(moe.predict(X), single.predict(X), rtol=1e-12)


def test_means_of_zero_are_raised_to_rates():
    rng = np.random.default_rng(0)
    X, offset = rng.uniform(size=(200, 1)), np.log(rng.uniform(1.0, 5.0, size=200))
    y = np.where(X[:, 0] < 0.5, 0.0, rng.poisson(4.0 * np.exp(offset)))
    moe = quiet_fit(mixture("poisson", 1, cross_fit=False), X, y, offset=offset)
    rate = y.sum() / np.exp(offset).sum()
    assert_allclose(moe.predict([[0.1]]), 1e-3 * rate)
    assert_allclose(moe.predict([[0.1]], [np.log(3.0)]), 3e-3 * rate)


def test_out_of_bag_predictions_have_the_exposure():
    X, y, offset = table("gamma")
    expert = RandomForestRegressor(20, min_samples_leaf=10, oob_score=True, random_state=0)
    options = {"expert": expert, "cross_fit": "oob"}
    moe = quiet_fit(mixture("gamma", 1, **options), X, y, offset=offset)
    assert_allclose(moe.dispersion_, 0.2, rtol=0.4)
    assert_allclose(moe.lower_bound_, moe.score_samples(X, y, offset).mean(), atol=0.2)


def test_several_outputs_have_one_exposure():
    X, y, offset = table("poisson")
    Y = np.column_stack([y, 2.0 * y])
    moe = quiet_fit(mixture("poisson", 1, cross_fit=False), X, Y, offset=offset)
    assert_allclose(moe.predict(X, offset), np.exp(offset)[:, None] * moe.predict(X))
    assert_allclose(moe.predict(X)[:, 1], 2.0 * moe.predict(X)[:, 0])
    with pytest.raises(
        ValueError, match=r"offset must have shape \(n_samples,\), the same for all"
    ):
        mixture("poisson").fit(X, Y, offset=np.column_stack([offset, offset]))


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_those_of_the_exposure(name):
    X, y, offset = table(name)
    moe = quiet_fit(mixture(name), X, y, offset=offset)
    exposure, gate = np.exp(offset), moe.predict_gate(X)
    means = moe.predict_experts(X, offset)
    assert_allclose(means, exposure[:, None] * moe.predict_experts(X))
    assert_allclose(moe.predict(X, offset), exposure * moe.predict(X))
    logs = [log_density(name, y, means[:, k], dispersions(moe, k)) for k in range(2)]
    joint = gate.T * np.exp(logs)
    expected = np.log(joint.sum(axis=0))
    assert_allclose(moe.score_samples(X, y, offset), expected, rtol=1e-8)
    assert_allclose(moe.responsibilities(X, y, offset), (joint / joint.sum(axis=0)).T, atol=1e-8)
    dist = moe.predict_dist(X, offset)
    found = dist.logpmf(y) if FAMILIES[name].is_count else dist.logpdf(y)
    assert_allclose(found, expected)
    assert_allclose(dist.mean, moe.predict(X, offset))
    assert_array_equal(moe.predict_interval(X, 0.8, offset=offset), dist.interval(0.8))
    assert_array_equal(moe.predict_quantile(X, 0.3, offset=offset), dist.ppf(0.3))
    draws = moe.sample(X, 3, random_state=0, offset=offset)
    assert_array_equal(draws, dist.rvs(3, random_state=0))
    assert_allclose(log_density_scorer(moe, X, y, offset=offset), expected.mean())
    assert_array_equal(pickle.loads(pickle.dumps(moe)).predict(X, offset), moe.predict(X, offset))


def test_routed_and_averaged_predictions():
    X, y, offset = table("gamma")
    for options in ({"top_k": 1}, {"combine": "average", "n_init": 2}):
        moe = quiet_fit(mixture("gamma", **options), X, y, offset=offset)
        assert_allclose(moe.predict(X, offset), np.exp(offset) * moe.predict(X))
        assert_allclose(moe.predict_dist(X, offset).mean, moe.predict(X, offset))


def test_displays_take_the_offset():
    pytest.importorskip("matplotlib").use("agg")
    X, y, offset = table("poisson", 1000)
    moe = quiet_fit(mixture("poisson"), X, y, offset=offset)
    calibration = CalibrationDisplay.from_estimator(moe, X, y, offset=offset)
    assert np.abs(calibration.coverage - np.linspace(0, 1, len(calibration.coverage))).max() < 0.15
    experts = ExpertsDisplay.from_estimator(moe, X, y, offset=offset)
    assert_allclose(experts.y, y / np.exp(offset))


# --- fits by other ways -------------------------------------------------------------------------


def test_a_warm_start_with_another_offset_fits_again():
    X, y, offset = table("poisson")
    moe = mixture("poisson", warm_start=True)
    rates = quiet_fit(moe, X, y, offset=offset).predict(X)
    same = quiet_fit(moe, X, y, offset=offset).predict(X)
    assert_allclose(same, rates, rtol=0.2)
    in_percent = quiet_fit(moe, X, y, offset=offset + np.log(100.0))
    assert_allclose(in_percent.predict(X, offset + np.log(100.0)).sum(), y.sum(), rtol=0.15)


def test_numbers_of_experts_are_selected_with_the_offset():
    X, y, offset = table("gamma", 200)
    expert = DecisionTreeRegressor(max_leaf_nodes=2)
    moe = quiet_fit(mixture("gamma", "bic", expert=expert), X, y, offset=offset)
    alone = quiet_fit(mixture("gamma", moe.n_experts_, expert=expert), X, y, offset=offset)
    found = moe.n_experts_scores_[moe.n_experts_ - 1]
    assert_allclose(found, -alone.bic(X, y, offset=offset), rtol=0.05)


def test_checkpoints_keep_the_offset(tmp_path):
    X, y, offset = table("poisson")
    whole = quiet_fit(mixture("poisson"), X, y, offset=offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        kept = fit_with_checkpoints(
            mixture("poisson"), X, y, path=tmp_path / "fit", every=15, offset=offset
        )
    assert_array_equal(kept.predict(X), whole.predict(X))


def test_metadata_routing_in_a_pipeline_and_a_search():
    X, y, offset = table("poisson")
    with config_context(enable_metadata_routing=True):
        moe = mixture("poisson").set_fit_request(offset=True).set_predict_request(offset=True)
        pipeline = quiet_fit(make_pipeline(StandardScaler(), moe), X, y, offset=offset)
        alone = quiet_fit(mixture("poisson"), StandardScaler().fit_transform(X), y, offset=offset)
        assert_array_equal(pipeline[-1].predict(X), alone.predict(X))
        assert_allclose(
            pipeline.predict(X, offset=offset), np.exp(offset) * pipeline.predict(X), rtol=1e-12
        )
        grid = {"mixtureofexpertsregressor__expert__max_leaf_nodes": [2, 6]}
        search = GridSearchCV(pipeline, grid, cv=2, scoring=log_density_scorer)
        search = quiet_fit(search, X, y, offset=offset)
        blind = quiet_fit(GridSearchCV(pipeline, grid, cv=2, scoring=log_density_scorer), X, y)
        assert search.best_score_ > blind.best_score_ + 0.1
