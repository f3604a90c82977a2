"""Stacking: a gate is trained on out-of-fold densities of given models."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.distributions import MixtureDistribution
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_mermaid, export_text
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor, by_number
from support.refusals import assert_refused, refusal
from support.stacks import stack_of
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=60)
LINEAR = MixtureOfExpertsRegressor(1)
SMALL = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, tol=1e-2, random_state=0)
TREE = DecisionTreeRegressor(max_depth=3, random_state=0)


def stack(*estimators, **options):
    estimators = estimators or (LINEAR, Ridge(), TREE)
    return stack_of(*estimators, **{"gate_alpha": 10.0, "cv": 3, "random_state": 0} | options)


def fitted(moe, *data, **given):
    return fit_quietly(moe, *data, **given)


class RightOnOneSide(RegressorMixin, BaseEstimator):
    """Knows the density of y where the first feature has the sign of `side`, and else is vague."""

    def __init__(self, side=1.0):
        self.side = side

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X[:, 1]

    def _std(self, X):
        return np.where(X[:, 0] * self.side > 0, 0.1, 1.0)

    def score_samples(self, X, y):
        return norm.logpdf(y, X[:, 1], self._std(X))

    def predict_dist(self, X):
        return MixtureDistribution(np.ones((len(X), 1)), X[:, 1:2], self._std(X)[:, None])


class Memory(RegressorMixin, BaseEstimator):
    """Predicts a million where the label in the first feature was among the rows of its fit."""

    def fit(self, X, y, sample_weight=None):
        self.labels_ = np.unique(X[:, 0])
        return self

    def predict(self, X):
        return np.where(np.isin(X[:, 0], self.labels_), 1e6, 0.0)


class Far(RegressorMixin, BaseEstimator):
    """Far from any target."""

    def fit(self, X, y, sample_weight=None):
        self.shape_ = np.shape(y)[1:]
        return self

    def predict(self, X):
        return np.full((len(X), *self.shape_), 1e3)


# Worse than a prediction of zero, and better than one of a million.
FAR_AWAY = DummyRegressor(strategy="constant", constant=50.0)


def halves(n_rows=200):
    """Rows whose noise has a standard deviation of 0.1 everywhere."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(n_rows, 2))
    return features, features[:, 1] + 0.1 * rng.normal(size=n_rows)


def log_density_at_spread(model, X, y, spread):
    """Of a model whose distributions are narrowed around their means."""
    mean = model.predict(X)
    return model.score_samples(X, mean + (y - mean) / spread) - y[0].size * np.log(spread)


# --- the gate -----------------------------------------------------------------------------------


def test_the_gate_finds_where_each_model_is_right():
    features, y = halves()
    moe = stack(RightOnOneSide(-1.0), RightOnOneSide(1.0), gate_alpha=0.1).fit(features, y)
    gate = moe.predict_gate([[-0.8, 0.0], [0.8, 0.0]])
    assert gate[[0, 1], [0, 1]].min() > 0.9
    alone = max(RightOnOneSide(side).score_samples(features, y).mean() for side in (-1.0, 1.0))
    assert moe.score_samples(features, y).mean() > alone + 0.5
    assert moe.converged_
    assert np.diff(moe.lower_bounds_).min() > -1e-10


def test_constant_weights_are_the_fixed_point_of_em():
    features, y = halves()
    models = RightOnOneSide(-1.0), RightOnOneSide(1.0)
    weight = np.random.default_rng(1).integers(1, 4, size=len(y))
    moe = stack(*models, gate="constant", tol=1e-12).fit(features, y, sample_weight=weight)
    logs = np.stack(
        [
            log_density_at_spread(model, features, y, spread)
            for model, spread in zip(models, moe.spread_, strict=True)
        ],
        axis=1,
    )
    share = np.array([0.5, 0.5])
    for _ in range(2000):
        share = np.average(softmax(np.log(share) + logs, axis=1), axis=0, weights=weight)
    assert_allclose(moe.weights_, share, rtol=1e-5)
    bound = np.average(logsumexp(np.log(share) + logs, axis=1), weights=weight)
    assert_allclose(moe.lower_bound_, bound, rtol=1e-7)


def test_a_large_penalty_gives_constant_weights():
    constant, shrunk = (
        fitted(stack(Ridge(), TREE, tol=1e-9, **options), X, Y)
        for options in ({"gate": "constant"}, {"gate_alpha": 1e8})
    )
    assert_allclose(shrunk.predict_gate(X), constant.predict_gate(X), atol=1e-3)


# --- out of fold --------------------------------------------------------------------------------


def test_densities_are_out_of_fold():
    """Otherwise the predictions of a million would be in the noise variance and the weight."""
    features = np.column_stack([np.arange(len(Y)), X])
    moe = stack(Memory(), FAR_AWAY, gate="constant").fit(features, Y)
    assert moe.noise_variance_[0] < 10.0 * np.mean(Y**2)
    assert moe.weights_[0] > 0.5


@pytest.mark.parametrize("name", ["groups", "units"])
def test_rows_of_a_group_are_never_on_both_sides(name):
    labels = np.arange(len(Y)) // 5
    features = np.column_stack([labels, X])
    moe = stack(Memory(), FAR_AWAY, gate="constant")
    assert moe.fit(features, Y, **{name: labels}).weights_[0] > 0.5
    assert moe.fit(features, Y).weights_[0] < 0.1


def recorded(y=Y, **options):
    """A stack of a regression that knows the rows of its fits, and of one that is far away."""
    rows = np.arange(60)
    table, weight = np.column_stack([rows, X[rows]]), 0.5 + rows % 3
    log = Log()
    moe = stack(RecordingRegressor(log), Far(), gate="constant", **options)
    fitted(moe, table, y[rows], sample_weight=weight)
    out_of_fold = np.full(y[rows].shape, np.nan)
    for entry in log.fits()[:3]:  # fits without a fold come first
        held_out = ~np.isin(rows, entry["X"][:, 0])
        assert np.isnan(out_of_fold[held_out]).all()
        model = LinearRegression().fit(entry["X"][:, 1:], entry["y"], entry["weight"])
        out_of_fold[held_out] = model.predict(table[held_out, 1:])
    assert_array_equal(by_number(log.fits()[3], "weight")[1], weight)
    return moe, y[rows] - out_of_fold, weight


@pytest.mark.parametrize("outputs", [1, 2])
def test_noise_is_that_of_out_of_fold_residuals(outputs):
    y = Y if outputs == 1 else np.column_stack([Y, X[:, 0] + 0.1 * Y])
    moe, residual, weight = recorded(y=y, dispersion_prior=0.0)
    assert_allclose(moe.weights_[0], 1.0, atol=1e-6)
    expected = np.average(residual**2, axis=0, weights=weight)
    assert_allclose(moe.noise_variance_[0], expected, rtol=1e-4)


def test_the_prior_of_the_noise_counts_as_rows():
    without, _, weight = recorded(dispersion_prior=0.0)
    free, strong = without.noise_variance_[0], recorded(dispersion_prior=1e9)[0].noise_variance_[0]
    some = recorded(dispersion_prior=30.0)[0].noise_variance_[0]
    mass = weight.sum()
    assert_allclose(some, (mass * free + 30.0 * strong) / (mass + 30.0), rtol=1e-4)


def test_models_are_fitted_to_all_rows_with_their_weights():
    weight = np.random.default_rng(0).uniform(0.3, 1.9, size=len(Y))
    moe = fitted(stack(Ridge(5.0), LinearRegression()), X, Y, sample_weight=weight)
    for (model,), (_, kind) in zip(moe.experts_, moe.estimators, strict=True):
        assert_allclose(model.coef_, clone(kind).fit(X, Y, sample_weight=weight).coef_)


def test_units_have_one_responsibility():
    units = np.arange(len(Y)) // 5
    moe = fitted(stack(gate="constant"), X, Y, units=units)
    resp = moe.responsibilities(X, Y, units=units)
    assert (np.ptp(resp.rows(units).reshape(-1, 5, 3), axis=1) == 0.0).all()
    assert moe.n_units_ == len(Y) // 5


# --- weights, order, jobs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "last"),
    [("normal", TREE), ("student_t", KNeighborsRegressor(3))],
    ids=["normal-tree", "student_t-neighbours"],
)
def test_weight_two_equals_two_rows(family, last):
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 3, size=len(Y))
    moe = stack(Ridge(), last, family=family)
    weighted = fitted(clone(moe), X, Y, sample_weight=weight)
    rows = rng.permutation(np.repeat(np.arange(len(Y)), weight))
    twice = fitted(clone(moe), X[rows], Y[rows])
    assert_allclose(weighted.predict(X), twice.predict(X), rtol=1e-6)
    assert_allclose(weighted.score_samples(X, Y), twice.score_samples(X, Y), rtol=1e-5)
    assert_allclose(weighted.lower_bound_, twice.lower_bound_, rtol=1e-6)


def test_rows_are_repeated_for_estimators_without_weights_only():
    weight = np.random.default_rng(3).integers(1, 4, size=len(Y))
    moe = fitted(stack(Ridge(), KNeighborsRegressor(3)), X, Y, sample_weight=weight)
    (neighbours,) = moe.experts_[1]
    assert neighbours.n_samples_fit_ == weight.sum()
    rows = np.repeat(np.arange(len(Y)), weight)
    alone = KNeighborsRegressor(3).fit(X[rows], Y[rows])
    assert_allclose(neighbours.predict(X), alone.predict(X))


def test_jobs_change_nothing():
    one = fitted(stack(Ridge(), TREE), X, Y)
    with parallel_backend("threading"):
        two = fitted(stack(Ridge(), TREE, n_jobs=2), X, Y)
    assert_allclose(two.score_samples(X, Y), one.score_samples(X, Y), rtol=1e-9)


def test_random_states_of_estimators_are_different_and_reproducible():
    forests = [RandomForestRegressor(3), RandomForestRegressor(3)]
    one, two = (fitted(stack(*forests), X, Y) for _ in range(2))
    assert_array_equal(one.predict(X), two.predict(X))
    first, second = one.predict_experts(X).T
    assert (first != second).any()


# --- densities ----------------------------------------------------------------------------------


def log_density(moe, X, y):
    """Log density of the mixture, from those of the models."""
    logs = []
    for k, (model,) in enumerate(moe.experts_):
        if hasattr(model, "score_samples"):
            logs.append(log_density_at_spread(model, X, y, moe.spread_[k]))
        else:
            std = np.sqrt(moe.noise_variance_[k])
            logs.append(norm.logpdf(y, model.predict(X), std).reshape(len(X), -1).sum(axis=1))
    return logsumexp(np.log(moe.predict_gate(X)).T + logs, axis=0)


NESTED = stack_of(SMALL, Ridge(), cv=2, random_state=0)
STUDENT = MixtureOfExpertsRegressor(1, family="student_t", max_iter=5, tol=1e-2)


@pytest.mark.parametrize("estimator", [NESTED, STUDENT], ids=["stack", "student"])
def test_the_distribution_is_the_mixture_of_those_of_the_models(estimator):
    moe = fitted(stack(estimator, Ridge(), cv=2), X, Y)
    assert_array_equal(np.isnan(moe.noise_variance_), [True, False])
    dist, expected = moe.predict_dist(X), log_density(moe, X, Y)
    assert_allclose(dist.logpdf(Y), expected, rtol=1e-8)
    assert_allclose(moe.score_samples(X, Y), expected, rtol=1e-8)
    means = [model.predict(X) for (model,) in moe.experts_]
    assert_allclose(moe.predict(X), (moe.predict_gate(X).T * means).sum(axis=0), rtol=1e-8)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-8)
    low, high = moe.predict_interval(X).T
    assert ((low < Y) & (high > Y)).mean() > 0.7


def test_models_with_a_density_have_no_dispersion_of_the_family():
    """Their means are not those of the family either: they may be negative."""
    y = np.exp(0.3 * Y)
    moe = fitted(stack(RightOnOneSide(), TREE, family="gamma"), X, y)
    assert_array_equal(np.isnan(moe.dispersion_), [True, False])
    assert moe.predict_experts(X)[:, 0].min() < 0.0
    leaves = moe.experts_[1][0].get_n_leaves()
    both = fitted(stack(TREE, TREE, family="gamma", gate="constant"), X, y)
    assert both.n_parameters_ == 2 * leaves + 2 + 1
    shared = stack(TREE, TREE, family="gamma", gate="constant", dispersion="shared")
    assert fitted(shared, X, y).n_parameters_ == 2 * leaves + 1 + 1
    message = refusal(stack(Ridge(), TREE, family="gamma").fit, X, y - y.min() + 1e-3)
    assert_refused(message, "expert 0", "not negative", "Ridge()")


def test_top_k_routes_to_models_of_any_density():
    moe = fitted(stack(RightOnOneSide(), SMALL, Ridge(), gate=SoftmaxGate(top_k=1), cv=2), X, Y)
    routed = moe.apply(X)
    means = np.stack([model.predict(X) for (model,) in moe.experts_])
    expected = means[routed, np.arange(len(X))]
    assert_allclose(moe.predict_dist(X).mean, expected, rtol=1e-8)


def test_several_outputs():
    both = np.column_stack([Y, Y**2])
    moe = fitted(stack(LINEAR, Ridge(), cv=2), X, both)
    assert_allclose(moe.score_samples(X, both), log_density(moe, X, both))
    assert moe.predict_dist(X).mean.shape == (len(Y), 2)
    assert moe.noise_variance_.shape == (2, 2)


def test_counts_with_own_densities_and_with_a_family():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(X[:, 0]))
    mixture = MixtureOfExpertsRegressor(1, family="negative_binomial", max_iter=5)
    moe = fitted(stack(mixture, PoissonRegressor(), family="poisson", cv=2), X, counts)
    dist = moe.predict_dist(X)
    assert dist.is_count
    assert_allclose(dist.logpmf(counts), moe.score_samples(X, counts), rtol=1e-8)
    exposure = np.log(rng.uniform(0.5, 2.0, size=len(counts)))
    rates = fitted(stack(PoissonRegressor(), "tree", family="poisson"), X, counts, offset=exposure)
    factor = rates.predict(X, offset=np.full(len(X), np.log(3.0))) / rates.predict(X)
    assert_allclose(factor, 3.0)


def test_classifiers():
    features, y = flipping_classes(n_rows=150, n_classes=3)
    mixture = MixtureOfExpertsClassifier(2, n_init=1, max_iter=10, tol=1e-2, random_state=0)
    estimators = mixture, LogisticRegression(), DecisionTreeClassifier(max_depth=3), GaussianNB()
    moe = fitted(stack(*estimators, kind=GatedStackingClassifier, cv=2), features, y)
    gate, experts = moe.predict_gate(features), moe.predict_experts(features)
    probs = moe.predict_proba(features)
    assert_allclose(probs, np.einsum("nk,nkc->nc", gate, experts))
    own = moe.experts_[0][0].predict_proba(features)
    assert_allclose(experts[:, 0], softmax(np.log(own) / moe.temperature_[0], axis=1))
    assert_allclose(moe.score_samples(features, y), np.log(probs[np.arange(len(y)), y]))
    assert moe.weights_[0] > 0.5  # the mixture knows both rules
    assert not hasattr(moe, "spread_")


def test_class_weights_and_rare_classes():
    features, y = flipping_classes(n_rows=120)
    y[:2] = 2  # in some folds no row of this class is left
    options = {"class_weight": "balanced", "cv": None, "kind": GatedStackingClassifier}
    moe = fitted(stack(LogisticRegression(), GaussianNB(), **options), features, y)
    assert_allclose(moe.predict_proba(features).sum(axis=1), 1.0)


def test_missing_values_and_categories_reach_the_estimators_as_they_are():
    frame = pd.DataFrame({"size": X[:, 0], "other": X[:, 1]})
    frame["city"] = pd.Categorical(np.where(X[:, 2] > 0, "rome", "oslo"))
    frame.loc[::7, "size"] = np.nan
    boosting = HistGradientBoostingRegressor(
        max_iter=3, max_bins=8, categorical_features="from_dtype", random_state=0
    )
    moe = fitted(stack(boosting, "tree", "linear", cv=2), frame, Y)
    assert np.isfinite(moe.predict(frame)).all()
    assert "city_rome" in list(moe.gate_feature_names_)


def test_collapsed_experts_of_an_estimator_are_no_fault_of_the_stack():
    """The gate weights the estimator by its densities, whatever its experts are."""
    features, y = two_regimes(n_rows=30)
    estimator = MixtureOfExpertsRegressor(6, alpha=0.1, gate_alpha=1.0, n_init=1, random_state=0)
    with pytest.warns(UserWarning, match="Experts have collapsed"):
        clone(estimator).fit(features, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack(estimator, Ridge(), cv=2).fit(features, y)


# --- as an estimator of scikit-learn ------------------------------------------------------------


def test_copies_and_searches():
    moe = fitted(stack(Ridge(), TREE), X, Y)
    for other in (fitted(clone(moe), X, Y), pickle.loads(pickle.dumps(moe))):
        assert_array_equal(other.score_samples(X, Y), moe.score_samples(X, Y))
    pipeline = make_pipeline(
        StandardScaler(), stack(make_pipeline(StandardScaler(), Ridge()), TREE)
    )
    grid = {"gatedstackingregressor__gate_alpha": [1.0, 100.0]}
    assert np.isfinite(fitted(GridSearchCV(pipeline, grid, cv=2), X, Y).best_score_)


def test_models_have_names():
    moe = fitted(stack_with_names(), X, Y)
    assert moe.expert_names_ == list(moe.named_estimators_) == ["ridge", "tree"]
    assert moe.expert_kinds_ == ["Ridge", "DecisionTreeRegressor"]
    assert_array_equal(moe.named_estimators_.ridge.predict(X), moe.predict_experts(X)[:, 0])
    assert "ridge (Ridge)" in export_text(moe)
    assert moe.set_expert_names(["line", "steps"]).expert_names_ == ["line", "steps"]
    assert list(moe.named_estimators_) == ["ridge", "tree"]


def stack_with_names(**options):
    models = [("ridge", Ridge()), ("tree", clone(TREE))]
    return GatedStackingRegressor(models, cv=3, random_state=0, **options)


def test_parameters_of_models_are_set_by_their_names():
    moe = stack_with_names()
    changed = clone(moe).set_params(ridge__alpha=7.0, tree="linear", gate="constant")
    assert changed.get_params()["ridge__alpha"] == dict(changed.estimators)["ridge"].alpha == 7.0
    assert (dict(changed.estimators)["tree"], changed.gate) == ("linear", "constant")
    assert moe.get_params()["ridge__alpha"] == 1.0
    assert "estimators" in moe.get_params(deep=False)
    assert "ridge" not in moe.get_params(deep=False)
    other = clone(moe).set_params(estimators=[("a", Ridge()), ("b", TREE)], a__alpha=3.0)
    assert dict(other.estimators)["a"].alpha == 3.0
    with pytest.raises(ValueError, match="Invalid parameter 'forest'"):
        moe.set_params(forest__max_depth=2)


def test_a_search_over_models_and_their_parameters():
    grid = {"ridge__alpha": [1e-3, 1e6], "tree": [TREE, DecisionTreeRegressor(max_depth=1)]}
    search = fitted(GridSearchCV(stack_with_names(), grid, cv=2), X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.named_estimators_
    assert best.ridge.alpha == search.best_params_["ridge__alpha"]


def test_models_can_be_dropped():
    three = GatedStackingRegressor(
        [("ridge", Ridge()), ("far", Far()), ("tree", TREE)], cv=3, random_state=0
    )
    without, two = fitted(three.set_params(far="drop"), X, Y), fitted(stack_with_names(), X, Y)
    assert list(without.named_estimators_) == ["ridge", "tree"]
    assert_array_equal(without.predict(X), two.predict(X))


def test_metadata_are_routed_to_models_by_name():
    log = Log()
    with config_context(enable_metadata_routing=True):
        recorder = RecordingRegressor(log).set_fit_request(cost=True)
        models = [("recorder", recorder), ("tree", "tree")]
        moe = GatedStackingRegressor(models, cv=2, random_state=0)
        assert "recorder" in str(moe.get_metadata_routing())
        fitted(moe, X, Y, cost=10.0 * X[:, 0])
    for entry in log.fits():
        assert_array_equal(entry["cost"], 10.0 * entry["X"][:, 0])


def test_texts_and_progress(capsys):
    moe = fitted(stack(SMALL, TREE, verbose=2, cv=2), X, Y)
    printed = capsys.readouterr().out
    for line in ("model 0, MixtureOfExpertsRegressor: fitted", "model 1, DecisionTree", "EM: "):
        assert line in printed
    text = export_text(moe)
    assert "itself a mixture of 2 experts" in text
    assert "average of" not in text
    assert "DecisionTreeRegressor" in export_mermaid(moe)
    assert "DecisionTreeRegressor, 8 leaves" in str(moe.summary(X, Y))
    assert "DecisionTreeRegressor" in moe._repr_html_()
    fitted(stack(Ridge(), TREE), X, Y)
    assert not capsys.readouterr().out
