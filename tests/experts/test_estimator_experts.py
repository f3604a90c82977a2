"""Scikit-learn estimators as experts, by cross-fitted EM, with every family around their means."""

import pickle
import warnings
from functools import cache
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    GammaRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES, Normal, StudentT
from skmoe.gates import SoftmaxGate
from skmoe.metrics import log_density_scorer
from support.expert_kinds import draw, example, log_density, predictor_of_mean
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_refused, refusal
from support.stacks import stack_of
from support.tables import flipping_classes, steps

X, Y = steps(150)
CLASS_X, CLASSES = flipping_classes(n_rows=150, n_classes=3)
SHORT = {"n_init": 1, "max_iter": 3, "gate_alpha": 1.0, "random_state": 0}
TREE = DecisionTreeRegressor(max_leaf_nodes=6, min_samples_leaf=10, random_state=0)
SMALL = MixtureOfExpertsRegressor(2, n_init=1, max_iter=2)

# Families whose mean can be given, other than the normal one, and those with exposures.
NAMES = [name for name in FAMILIES if example(name).takes_mean and name != "normal"]
RATES = [name for name in NAMES if FAMILIES[name].link == "log"]
FEW_RATES = ["poisson", "gamma", "inverse_gaussian", "lognormal"]


class CountedNormal(Normal):
    """A normal family that counts how often its log density is asked for."""

    counted: ClassVar[list[int]] = []

    def derivatives(self, y, eta):
        self.counted.append(len(eta))
        yield from super().derivatives(y, eta)


def regressor(expert=TREE, n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, expert=expert, **SHORT | options)


def classifier(expert, n_experts=2, **options):
    return MixtureOfExpertsClassifier(n_experts, expert=expert, **SHORT | options)


def table(name, n_rows=120, seed=0):
    """Two regimes, with slopes of -1 and 1, and arguments of a fit: the offset of rates."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-2, 2, size=(n_rows, 2))
    offset = np.log(rng.uniform(0.2, 4.0, size=n_rows)) if name in RATES else np.zeros(n_rows)
    y = draw(name, offset + 1.0 + np.abs(features[:, 0]), rng, (0.2, 5.0))
    return features, y, {"offset": offset} if name in RATES else {}


class Noise(RegressorMixin, BaseEstimator):
    """A deliberately bad regressor that predicts noise, other at each fit."""

    def fit(self, X, y, sample_weight=None):
        self.rng_ = np.random.default_rng(int(1e6 * np.abs(np.sum(sample_weight))))
        return self

    def predict(self, X):
        return self.rng_.normal(size=len(X))


class NoiseClassifier(ClassifierMixin, Noise):
    """A deliberately bad classifier."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        return self.rng_.dirichlet(np.ones(len(self.classes_)), size=len(X))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


# --- a contract of all estimators ---------------------------------------------------------------

FOLDS, IN_SAMPLE = {"cross_fit": 2}, {"cross_fit": False}
BOOSTING = HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4, max_bins=8)
REGRESSORS = {
    "tree": regressor("tree"),
    "deep tree": regressor(DecisionTreeRegressor(), **FOLDS),
    "pipeline": regressor(make_pipeline(StandardScaler(), Ridge()), **FOLDS),
    "boosting": regressor(BOOSTING, **FOLDS),
    "list": regressor(["tree", Ridge()], **FOLDS),
    "names": regressor(["linear", "tree"], **IN_SAMPLE),
    "noise": regressor(Noise(), **FOLDS),
    "noise in sample": regressor(Noise(), **IN_SAMPLE),
    "mixture": regressor(SMALL, **FOLDS),
    "mixtures in sample": regressor([SMALL, Ridge()], **IN_SAMPLE),
    "mixture of counts": regressor(clone(SMALL).set_params(family="poisson"), 1, **FOLDS),
    "stack": regressor(stack_of(SMALL, Ridge(), cv=2, random_state=0), 1, **FOLDS),
}
CLASSIFIERS = {
    "tree": classifier("tree", **IN_SAMPLE),
    "deep tree": classifier(DecisionTreeClassifier(), **FOLDS),
    "pipeline": classifier(make_pipeline(StandardScaler(), LogisticRegression()), **FOLDS),
    "list": classifier([LogisticRegression(), ExtraTreesClassifier(5)], **FOLDS),
    "names": classifier(["tree", "linear"], **FOLDS),
    "noise": classifier(NoiseClassifier(), **FOLDS),
    "mixture": classifier(MixtureOfExpertsClassifier(2, n_init=1, max_iter=2), **IN_SAMPLE),
}
CASES = {f"{name}, regressor": (moe, X, Y, {}) for name, moe in REGRESSORS.items()}
CASES["mixture of counts, regressor"] = (REGRESSORS["mixture of counts"], *table("poisson", 100))
CASES["mixture of counts, regressor"] = (*CASES["mixture of counts, regressor"][:3], {})
CASES |= {f"{name}, classes": (moe, CLASS_X, CLASSES, {}) for name, moe in CLASSIFIERS.items()}
CASES |= {name: (regressor(family=name, max_iter=5, cross_fit=3), *table(name)) for name in NAMES}
CASES |= {
    f"{name}, shared": (regressor(family=name, dispersion="shared"), *table(name))
    for name in ("gamma", "student_t")
}
CASES["routed gamma"] = (regressor(family="gamma", gate=SoftmaxGate(top_k=1)), *table("gamma"))


@cache
def fitted(name):
    moe, features, y, given = CASES[name]
    return fit_quietly(clone(moe), features, y, **given)


def dispersions(moe):
    names = "noise_variance_", "dispersion_", "df_"
    return [getattr(moe, name) for name in names if hasattr(moe, name)]


def density_of(moe, k, y, mean):
    """By the distribution of scipy around given means of an expert."""
    family = moe.families_[k].name if hasattr(moe, "families_") else "normal"
    values = [own[k] for own in dispersions(moe)]
    return log_density(family, y, predictor_of_mean(family, mean, values), values)


@pytest.mark.parametrize("name", CASES)
def test_lower_bound_never_falls_and_the_mixture_is_the_average_by_the_gate(name):
    (_, features, y, given), moe = CASES[name], fitted(name)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    n_models = {False: 1, "auto": 5}.get(moe.cross_fit, moe.cross_fit)
    assert {len(models) for models in moe.experts_} == {n_models}
    if name.startswith("noise"):  # which never predicts the same twice
        return
    gate, experts = moe.predict_gate(features), moe.predict_experts(features, **given)
    find = moe.predict_proba if name.endswith("classes") else moe.predict
    assert_allclose(find(features, **given), np.einsum("nk,nk...->n...", gate, experts))
    assert_allclose(moe.responsibilities(features, y, **given).sum(axis=1), 1.0)
    again = pickle.loads(pickle.dumps(moe)).score_samples(features, y, **given)
    assert_array_equal(again, moe.score_samples(features, y, **given))
    assert np.isfinite(again).all()
    if "shared" in name:
        assert all(values[0] == values[1] for values in dispersions(moe))


@pytest.mark.parametrize(
    "name", [name for name in CASES if not name.startswith("noise") and "classes" not in name]
)
def test_distributions_are_those_of_the_family_around_the_means_or_of_mixtures(name):
    (_, features, y, given), moe = CASES[name], fitted(name)
    exposure = np.exp(given.get("offset", np.zeros(len(y))))
    means, logs = moe.predict_experts(features, **given), []
    assert_allclose(means, exposure[:, None] * moe.predict_experts(features))
    for k, models in enumerate(moe.experts_):
        if hasattr(models[0], "predict_dist"):  # a mixture, which has no noise of the family
            assert np.isnan(dispersions(moe)[0][k])
            of_models = [model.score_samples(features, y) for model in models]
            logs.append(np.logaddexp.reduce(of_models, axis=0) - np.log(len(models)))
        else:
            own = exposure * np.mean([model.predict(features) for model in models], axis=0)
            assert_allclose(means[:, k], own, rtol=1e-9)
            logs.append(density_of(moe, k, y, own))
    with np.errstate(divide="ignore"):
        joint = np.log(moe.predict_gate(features)) + np.column_stack(logs)
    expected = np.logaddexp.reduce(joint, axis=1)
    assert_allclose(moe.score_samples(features, y, **given), expected, rtol=1e-7, atol=1e-9)
    resp = moe.responsibilities(features, y, **given)
    assert_allclose(resp, np.exp(joint - expected[:, None]), atol=1e-7)
    assert_allclose(log_density_scorer(moe, features, y, **given), expected.mean())
    dist = moe.predict_dist(features, **given)
    assert_allclose(dist.joint_logpdf(y), expected, rtol=1e-6, atol=1e-8)
    assert_allclose(dist.mean, moe.predict(features, **given), rtol=1e-7)
    assert_array_equal(moe.predict_interval(features, 0.8, **given), dist.interval(0.8))
    draws = moe.sample(features, n_samples=3, random_state=0, **given)
    assert_array_equal(draws, dist.rvs(3, random_state=0))


@pytest.mark.parametrize(
    "name",
    [*FEW_RATES, "student_t", "tree, regressor", "tree, classes", "names, regressor"],
)
def test_weight_two_equals_two_rows_in_any_order(name):
    moe, features, y, given = CASES[name]
    moe = clone(moe).set_params(max_iter=3, **FOLDS if name[:4] == "tree" else IN_SAMPLE)
    weight = np.random.default_rng(3).integers(0, 4, size=len(y))
    rows = np.random.default_rng(4).permutation(np.repeat(np.arange(len(y)), weight))
    of_rows = {key: values[rows] for key, values in given.items()}
    repeated = fit_quietly(clone(moe), features[rows], y[rows], **of_rows)
    weighted = fit_quietly(moe, features, y, sample_weight=weight, **given)
    expected = repeated.score_samples(features, y, **given)
    assert_allclose(weighted.score_samples(features, y, **given), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [*FEW_RATES, "student_t"])
def test_two_regimes_are_found_and_intervals_cover_new_rows(name):
    moe, (features, y, given) = fitted(name), table(name, 400, seed=1)
    rate = np.exp(np.abs(features[:, 0])) if name in RATES else np.abs(features[:, 0])
    # Weights of inverse Gaussians leave little to rows of large rates.
    least = 0.7 if name == "inverse_gaussian" else 0.85
    assert np.corrcoef(moe.predict(features), rate)[0, 1] > least
    low, high = moe.predict_interval(features, 0.9, **given).T
    assert 0.78 < np.mean((low <= y) & (y <= high)) < 0.995


# --- folds --------------------------------------------------------------------------------------


def test_noise_is_that_of_rows_left_out_and_experts_are_the_average_of_fold_models():
    rows = np.column_stack([np.arange(len(Y)), X])
    moe = fit_quietly(regressor(RecordingRegressor(Log()), 1, dispersion_prior=0.0), rows, Y)
    predicted = np.full(len(Y), np.nan)
    for model in moe.experts_[0]:
        held_out = ~np.isin(rows[:, 0], model.table_[:, 0])
        assert np.isnan(predicted[held_out]).all()
        predicted[held_out] = model.predict(rows[held_out])
    assert_allclose(moe.noise_variance_, [np.mean((Y - predicted) ** 2)])
    logs = stats.norm.logpdf(Y, predicted, moe.noise_variance_**0.5)
    assert_allclose(moe.lower_bound_, logs.mean())


def test_mixtures_of_trees_beat_one_tree_at_oblique_regimes_and_trees_in_sample():
    (features, y), (X_new, y_new) = steps(500), steps(500, seed=1)
    linear = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(features, y)
    options = {"init": linear.responsibilities(features, y), "max_iter": 10}
    moe = fit_quietly(regressor("tree", **options), features, y)
    tree = DecisionTreeRegressor(min_samples_leaf=10).fit(features, y)
    assert moe.score(X_new, y_new) > tree.score(X_new, y_new)
    in_sample = regressor(DecisionTreeRegressor(), dispersion_prior=0.0, **options | IN_SAMPLE)
    fit_quietly(in_sample, features, y)  # repeats what it saw
    assert in_sample.noise_variance_.max() < 0.1 * moe.noise_variance_.min()
    better = moe.score_samples(X_new, y_new).mean()
    assert better > in_sample.score_samples(X_new, y_new).mean()


def test_rows_without_responsibility_are_left_out_of_fits():
    """Those with less than a thousandth of their weight, unless fewer than twenty would be left."""
    features, log = np.column_stack([np.arange(len(Y)), X]), Log()
    for first in (X[:, 0] > 0, np.arange(len(Y)) < 19):
        log.clear()
        init = np.column_stack([first, ~first]).astype(float)
        moe = regressor(RecordingRegressor(log), init=init, max_iter=1, **IN_SAMPLE)
        fit_quietly(moe, features, Y)
        found = [set(entry["X"][:, 0].astype(int)) for entry in log.fits()[:2]]
        wanted = first if first.sum() > 20 else np.ones(len(Y), dtype=bool)
        assert found == [set(np.flatnonzero(wanted)), set(np.flatnonzero(~first))]


def test_jobs_change_nothing_and_searches_reach_parameters_of_the_expert():
    moe = regressor(RandomForestRegressor(2), max_iter=2, **FOLDS)
    expected = fit_quietly(clone(moe), X, Y).predict(X)
    assert_array_equal(fit_quietly(clone(moe), X, Y).predict(X), expected)
    with parallel_backend("threading"):
        parallel = fit_quietly(clone(moe).set_params(n_jobs=2), X, Y)
    assert_allclose(parallel.predict(X), expected, rtol=1e-9)
    moe = regressor(DecisionTreeRegressor(), max_iter=2, **FOLDS)
    search = GridSearchCV(moe, {"expert__min_samples_leaf": [2, 40]}, cv=2)
    assert fit_quietly(search, X, Y).best_params_ == {"expert__min_samples_leaf": 2}
    assert search.best_estimator_.experts_[0][0].min_samples_leaf == 2


# --- units and means of y -----------------------------------------------------------------------


@pytest.mark.parametrize("dispersion", ["per_expert", "shared"])
def test_units_of_y_shift_the_bound_and_scale_the_noise(dispersion):
    moe = regressor(dispersion=dispersion, dispersion_prior=100.0)
    one, other = fit_quietly(clone(moe), X, Y), fit_quietly(clone(moe), X, Y / 1024)
    assert_allclose(other.lower_bound_ - np.log(1024), one.lower_bound_, atol=1e-9)
    assert_allclose(other.noise_variance_ * 1024**2, one.noise_variance_, rtol=1e-9)


NETWORK = MLPRegressor(
    hidden_layer_sizes=(5,), solver="lbfgs", max_iter=30, alpha=0.01, random_state=0
)


@pytest.mark.parametrize(
    ("expert", "stacked"),
    [
        (NETWORK, True),
        (SVR(), False),
        (make_pipeline(StandardScaler(), SGDRegressor(random_state=0)), True),
    ],
    ids=["network in a stack", "support vectors", "gradient descent in a stack"],
)
def test_estimators_that_need_a_standardised_y_get_it_under_an_identity_link(expert, stacked):
    options = {"cv": 2, "gate_alpha": 1.0, "random_state": 0}
    moe = stack_of(expert, TREE, **options) if stacked else regressor(expert, **FOLDS)
    one, other = (fit_quietly(clone(moe), X, y) for y in (Y, 1e3 * Y + 1e4))
    assert one.score(X, Y) > 0.1
    assert_allclose(other.predict(X), 1e3 * one.predict(X) + 1e4, rtol=1e-3)
    final = type(expert[-1] if hasattr(expert, "steps") else expert)
    assert final.__name__ in other.expert_kinds_
    assert final.__name__ in str(other.summary())
    assert isinstance(fitted("tree, regressor").experts_[0][0], DecisionTreeRegressor)
    as_it_is = fit_quietly(regressor(expert, family="gamma", **IN_SAMPLE), X, np.exp(0.02 * Y))
    assert type(as_it_is.experts_[0][0]) is type(expert)


def test_warnings_name_experts_worse_than_the_mean_and_no_loss_of_the_family():
    moe = regressor(Noise(), 1, max_iter=300)
    with pytest.warns(ConvergenceWarning, match=r"worse than the mean of y: expert 0\."):
        moe.fit(X, Y + 100.0, sample_weight=np.full(150, 2.0))
    expert = HistGradientBoostingRegressor(loss="poisson", max_iter=3, max_bins=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Some experts predict")
        warnings.filterwarnings("ignore", category=ConvergenceWarning, message="EM")
        noise = np.random.default_rng(0).normal(size=len(X))
        regressor(DecisionTreeRegressor()).fit(X, noise)
        warnings.simplefilter("error")
        features, y, _ = table("poisson", 100)
        regressor([expert, "tree"], family="poisson", max_iter=100, **FOLDS).fit(features, y)


@pytest.mark.parametrize("stacked", [False, True])
def test_distribution_of_heavy_tails_around_a_mean_has_this_mean(stacked):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(120, 3))
    y = np.exp(features[:, 1] + 4.0 * rng.normal(size=120))
    y[rng.random(120) < 0.6] = 0.0
    trees = ExtraTreesRegressor(5, min_samples_leaf=2, random_state=0)
    moe = regressor(trees, family="student_t", max_iter=1, **FOLDS)
    if stacked:
        moe = stack_of(SMALL, trees, family="student_t", gate_alpha=1.0, random_state=0, cv=2)
    fit_quietly(moe, features, y)
    # The least degrees of freedom for which there is a mean.
    assert 1.1 - 1e-9 < np.nanmin(moe.df_) < 1.3
    dist = moe.predict_dist(features)
    assert_allclose(dist.mean, moe.predict(features), rtol=1e-6)
    assert np.isposinf(dist.std).any()
    assert not np.isnan(dist.std).any()
    # Degrees of freedom that the user gives are kept.
    given = fit_quietly(clone(moe).set_params(family=StudentT(df=0.9)), features, y)
    assert np.isfinite(given.predict(features)).all()


@pytest.mark.parametrize("name", ["poisson", "student_t"])
def test_means_of_zero_are_raised_where_they_are_impossible_only(name):
    rng = np.random.default_rng(0)
    features, exposure = rng.uniform(size=(200, 1)), rng.uniform(1.0, 5.0, size=200)
    exposure = exposure if name == "poisson" else np.ones(200)
    given = {"offset": np.log(exposure)} if name == "poisson" else {}
    y = np.where(features[:, 0] < 0.5, 0.0, rng.poisson(4.0 * exposure))
    moe = fit_quietly(regressor(n_experts=1, family=name, **IN_SAMPLE), features, y, **given)
    least = 1e-3 * y.sum() / exposure.sum() if given else 0.0
    assert_allclose(moe.predict([[0.1]]), least, atol=1e-12)
    assert np.isfinite(moe.score_samples(features, y, **given)).all()


class Extreme(LinearRegression):
    """Predicts a mean beyond any bound for new rows."""

    def predict(self, X):
        return np.where(X[:, 0] > 100.0, 1e100, np.abs(super().predict(X)) + 0.1)


@pytest.mark.parametrize("name", [*FEW_RATES, "student_t"])
def test_densities_stay_finite_at_means_beyond_any_bound_and_for_constant_targets(name):
    features, y, _ = table(name, 60)
    moe = fit_quietly(regressor(Extreme(), 1, family=name, **IN_SAMPLE), features, y)
    far = moe.score_samples(np.full((60, 2), 200.0), y)
    assert np.isfinite(far).all()
    assert far.sum() < moe.score_samples(features, y).sum()
    constant = fit_quietly(regressor(family=name, **FOLDS), features, np.full(60, 3.0))
    assert_allclose(constant.predict(features), 3.0, rtol=1e-5)


# --- dispersions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_the_estimator_with_the_dispersion_of_maximum_likelihood(name):
    """Rates have the weights of their family, of counts the exposures."""
    features, y, given = table(name)
    moe = regressor(n_experts=1, family=name, dispersion_prior=0.0, max_iter=6, **IN_SAMPLE)
    fit_quietly(moe, features, y, **given)
    exposure = np.exp(given.get("offset", np.zeros(len(y))))
    weight = exposure ** FAMILIES[name]().exposure_power
    single = clone(TREE).fit(features, y / exposure, sample_weight=weight)
    assert_allclose(moe.predict(features), single.predict(features), rtol=1e-9)
    mean = moe.predict(features, **given)
    found = [float(values[0]) for values in dispersions(moe)]

    def loss(logs):
        values = np.exp(logs)
        return -log_density(name, y, predictor_of_mean(name, mean, values), values).mean()

    if found:
        options = {"Nelder-Mead": {"xatol": 1e-8, "fatol": 1e-14}}
        start = np.log([0.3, 5.0][: len(found)])
        method = "Nelder-Mead" if len(found) > 1 else "BFGS"
        best = optimize.minimize(loss, start, method=method, options=options.get(method))
        assert_allclose(loss(np.log(found)), best.fun, rtol=0, atol=1e-9)
        assert_allclose(found, np.exp(best.x), rtol=1e-3)


@pytest.mark.parametrize("name", ["gamma", "lognormal"])
def test_the_prior_of_the_scale_is_inverse_gamma(name):
    """Its own scale is that of a very strong prior."""
    features, y, given = table(name, 100)
    strong, moe = (
        fit_quietly(
            regressor(n_experts=1, family=name, dispersion_prior=prior, max_iter=6, **IN_SAMPLE),
            *(features, y),
            **given,
        )
        for prior in (1e9, 60.0)
    )
    mean, others = moe.predict(features, **given), [values[0] for values in dispersions(moe)[1:]]
    prior = stats.invgamma(30.0, scale=30.0 * strong.dispersion_[0])

    def loss(log_scale):
        values = [np.exp(log_scale), *others]
        logs = log_density(name, y, predictor_of_mean(name, mean, values), values)
        return -logs.sum() - prior.logpdf(values[0]) - log_scale

    found = np.log(moe.dispersion_[0])
    best = optimize.minimize_scalar(loss, bounds=(found - 2, found + 2), options={"xatol": 1e-9})
    assert_allclose(found, best.x, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if example(name).has_scale])
def test_scales_have_a_floor_relative_to_the_variance_of_the_target(name):
    features, y, _ = table(name, 60)
    deep = DecisionTreeRegressor(random_state=0)
    moe = fit_quietly(
        regressor(deep, 1, family=name, dispersion_prior=0.0, **IN_SAMPLE), features, y
    )
    family = example(name).fitted_to(y[None], np.ones(60), None)
    floor = 1e-6 * np.var(family.working_target(y)) * family.dispersion_unit
    assert_allclose(moe.dispersion_, floor, rtol=0.5)


@pytest.mark.parametrize("kind", ["line", "steps"])
def test_the_prior_of_the_noise_is_around_the_better_of_a_line_and_a_tree(kind):
    """A strong prior leaves nothing else."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(150, 2))
    mean = features.sum(axis=1) if kind == "line" else 2.0 * (features[:, 0] > 0.0)
    y = mean + 0.3 * rng.normal(size=150)
    models = Ridge(1e-3), DecisionTreeRegressor(min_samples_leaf=3, random_state=0)
    folds = KFold(3, shuffle=True, random_state=0)
    errors = [
        np.mean((y - cross_val_predict(model, features, y, cv=folds)) ** 2) for model in models
    ]
    assert np.argmin(errors) == (kind == "steps")
    moe = fit_quietly(regressor(Ridge(), 1, dispersion_prior=1e9), features, y)
    assert_allclose(moe.noise_variance_, min(errors), rtol=0.5)  # other folds have other errors
    assert max(errors) > 3.0 * min(errors)


@pytest.mark.parametrize("name", ["normal", "gamma", "student_t"])
def test_parameters_are_leaves_dispersions_of_each_output_and_the_gate(name):
    features, y, _ = table(name, 100)
    y = np.column_stack([y, y[::-1]])
    for dispersion, n_vectors in (("per_expert", 3), ("shared", 1)):
        moe = regressor(n_experts=3, family=name, dispersion=dispersion, max_iter=1, **FOLDS)
        fit_quietly(moe, features, y)
        leaves = sum(2 * models[0].get_n_leaves() for models in moe.experts_)
        own = n_vectors * 2 * len(example(name).dispersions)
        assert moe.n_parameters_ == leaves + own + 2 * 3
        log_likelihood = moe.score_samples(features, y).sum()
        assert_allclose(moe.aic(features, y), 2 * moe.n_parameters_ - 2 * log_likelihood)
    boosted = fitted("boosting, regressor")
    assert_refused(refusal(boosted.bic, X, Y), "bic", "expert 0 (HistGradientBoosting")


# --- exposures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "estimator"), [("poisson", PoissonRegressor), ("gamma", GammaRegressor)]
)
def test_regressions_are_linear_experts(name, estimator):
    features, y, given = table(name)
    options = {"family": name, "dispersion_prior": 0.0}
    expert = estimator(alpha=0.0, solver="newton-cholesky", tol=1e-12)
    moe = fit_quietly(regressor(expert, 1, **options, **IN_SAMPLE), features, y, **given)
    options |= {"alpha": 0.0, "tol": 1e-14, "max_iter": 1000}
    linear = regressor("linear", 1, **options).fit(features, y, **given)
    density = linear.score_samples(features, y, **given)
    assert_allclose(moe.score_samples(features, y, **given), density, rtol=1e-5)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_a_constant_exposure_divides_the_rates(name):
    """An exposure of one is none."""
    features, y, _ = table(name)
    init = 0.1 + 0.8 * np.eye(2)[(features[:, 0] > 0).astype(int)]
    # The scale of the prior comes from a tree whose ties are broken by round-off.
    moe = regressor(family=name, init=init, max_iter=3, dispersion_prior=0.0)
    without = fit_quietly(clone(moe), features, y)
    density = without.score_samples(features, y)
    for exposure in (1.0, 8.0):
        offset = np.full(len(y), np.log(exposure))
        divided = fit_quietly(clone(moe), features, y, offset=offset)
        assert_allclose(exposure * divided.predict(features), without.predict(features), rtol=1e-6)
        assert_allclose(divided.score_samples(features, y, offset=offset), density, atol=1e-6)


def test_several_outputs_have_one_exposure_and_the_number_of_experts_is_found_with_it():
    features, y, given = table("poisson", 60)
    both = np.column_stack([y, 2.0 * y])
    stump = DecisionTreeRegressor(max_leaf_nodes=2, random_state=0)
    moe = regressor(stump, 1, family="poisson", **IN_SAMPLE)
    fit_quietly(moe, features, both, **given)
    exposure, rates = np.exp(given["offset"])[:, None], moe.predict(features)
    assert_allclose(moe.predict(features, **given), exposure * rates)
    assert_allclose(rates[:, 1], 2.0 * rates[:, 0])
    found = regressor(stump, "bic", family="poisson", max_iter=2, **FOLDS)
    fit_quietly(found, features, y, **given)
    alone = clone(found).set_params(n_experts=found.n_experts_)
    bic = fit_quietly(alone, features, y, **given).bic(features, y, **given)
    assert_allclose(found.n_experts_scores_[found.n_experts_ - 1], -bic, rtol=0.1)


def test_a_warm_start_with_another_offset_fits_again():
    features, y, given = table("poisson")
    moe = regressor(family="poisson", warm_start=True)
    rates = fit_quietly(moe, features, y, **given).predict(features)
    assert_allclose(fit_quietly(moe, features, y, **given).predict(features), rates, rtol=0.3)
    in_percent = {"offset": given["offset"] + np.log(100.0)}
    fit_quietly(moe, features, y, **in_percent)
    assert_allclose(moe.predict(features, **in_percent).sum(), y.sum(), rtol=0.15)


# --- classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 12])
def test_probabilities_are_mixed_with_a_hundredth_of_the_uniform_distribution(n_classes):
    """Or less, so that no class is impossible, not even one that an expert has not seen."""
    y = np.repeat(np.arange(n_classes), 8)
    features = (y + 0.1 * np.random.default_rng(0).uniform(size=len(y)))[:, None]
    moe = fit_quietly(classifier(DecisionTreeClassifier(), 1), features, y)
    probability = moe.predict_experts(features)[:, 0]
    assert_allclose(probability.sum(axis=1), 1.0)
    assert probability[np.arange(len(y)), y].min() >= 0.99
    other = np.arange(n_classes) != y[:, None]
    assert_allclose(probability[other], min(1e-3, 0.01 / n_classes))
    two = fit_quietly(classifier("tree"), features, y).predict_experts(features)
    assert_allclose(two.sum(axis=2), 1.0)
    assert two.min() > 1e-4


# --- mixtures as experts ------------------------------------------------------------------------


def nested_regimes(seed, n_rows=300):
    """Four lines: the first feature chooses a pair, the second one of the pair."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, size=(n_rows, 3))
    regime = 2 * (features[:, 0] > 0) + (features[:, 1] > 0)
    slope = np.array([-6.0, -2.0, 2.0, 6.0])[regime]
    return features, slope * features[:, 2] + 3 * (regime >= 2) + 0.2 * rng.normal(size=n_rows)


def test_mixtures_as_experts_are_the_hierarchical_mixture_of_experts():
    (features, y), (X_new, y_new) = nested_regimes(0), nested_regimes(1)
    inner = MixtureOfExpertsRegressor(2, gate_alpha=0.1, n_init=1, dispersion_prior=0.0)
    init = np.column_stack([features[:, 0] > 0, features[:, 0] <= 0]).astype(float)
    tree = fit_quietly(regressor(inner, gate_alpha=0.1, init=init, **IN_SAMPLE), features, y)
    # All four regimes are found: the noise is that of the table.
    density = stats.norm.logpdf(0.2 * np.random.default_rng(2).normal(size=300), scale=0.2).mean()
    assert tree.score_samples(X_new, y_new).mean() > density - 0.4
    # The gates multiply to the gate of the whole.
    outer, gates = tree.predict_gate(X_new), [m.predict_gate(X_new) for (m,) in tree.experts_]
    leaves = np.stack([outer[:, [k]] * gates[k] for k in range(2)], axis=1)
    means = np.stack([m.predict_experts(X_new) for (m,) in tree.experts_], axis=1)
    assert_allclose((leaves * means).sum(axis=(1, 2)), tree.predict(X_new))
    of_classes = fitted("mixture, classes")
    outer = of_classes.predict_gate(CLASS_X)
    whole = sum(
        (outer[:, [k]] * model.predict_gate(CLASS_X))[..., None] * model.predict_experts(CLASS_X)
        for k, (model,) in enumerate(of_classes.experts_)
    )
    assert_allclose(whole.sum(axis=1), of_classes.predict_proba(CLASS_X))


# --- experts with names in lists ----------------------------------------------------------------


@pytest.mark.parametrize("is_missing", [False, True])
@pytest.mark.parametrize("make", [regressor, classifier])
def test_linear_experts_of_lists_are_penalised_on_standardised_features(make, is_missing):
    """Categories have indicators; missing numbers have the median and an indicator."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": 5.0 * rng.normal(size=90), "age": rng.uniform(size=90)})
    frame["kind"] = rng.choice([*"abc"], size=90)
    if is_missing:
        frame.loc[::7, "size"] = np.nan
    side = frame["size"].fillna(0.0) + 2.0 * (frame["kind"] == "b") + rng.normal(size=90)
    columns = [*(frame["kind"] == kind for kind in "abc")]
    median = frame["size"].quantile(0.5, interpolation="lower")
    columns += [frame["size"].fillna(median), frame["age"]]
    columns += [frame["size"].isna()] * is_missing
    scaled = np.column_stack(columns).astype(float)
    scaled = scaled / scaled.std(axis=0)
    moe = make(["linear"], 1, alpha=3.0, **IN_SAMPLE)
    if make is regressor:
        expected = Ridge(alpha=3.0).fit(scaled, side).predict(scaled)
        assert_allclose(fit_quietly(moe, frame, side).predict(frame), expected, rtol=1e-7)
    else:
        model = LogisticRegression(C=1.0 / 3.0, max_iter=1000, tol=1e-8).fit(scaled, side > 1.0)
        ((found,),) = fit_quietly(moe, frame, side > 1.0).experts_
        # To the tolerance of the solver.
        assert_allclose(found.predict_proba(frame), model.predict_proba(scaled), atol=5e-3)
    # Rows of a category that no fit has seen are predicted.
    assert np.isfinite(moe.predict(frame.assign(kind="new"))).all()
    names = fitted("names, regressor" if make is regressor else "names, classes").experts_
    assert {type(models[0]).__name__[:12] for models in names} == {"DecisionTree", "WeightedPipe"}


def test_noise_is_found_in_a_few_steps():
    """Also where the lower bound falls in the last digit, which no shorter step can mend."""
    CountedNormal.counted.clear()
    n_iter, tree = 0, DecisionTreeRegressor(max_depth=2)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(200, 3))
        y = np.where(rows[:, 0] > 0, rows[:, 1], -rows[:, 1]) + 0.1 * rng.normal(size=200)
        moe = regressor(tree, family=CountedNormal(), n_init=2, max_iter=20)
        fit_quietly(moe, rows, y)
        n_iter += sum(len(trace) for trace in (*moe.start_traces_, moe.lower_bounds_))
    assert 0 < len(CountedNormal.counted) < 15 * n_iter
