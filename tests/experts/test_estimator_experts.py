"""Scikit-learn estimators as experts, by cross-fitted EM."""

import pickle
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_backend
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, SGDRegressor
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingRegressor
from support.fits import fit_quietly
from support.recording_estimators import (
    Log,
    RecordingRegressor,
)
from support.refusals import assert_refused, refusal
from support.tables import crossing_lines, flipping_classes, steps

X, Y = steps(150)
CLASS_X, CLASSES = flipping_classes(n_rows=150, n_classes=3)
SHORT = {"n_init": 1, "max_iter": 4, "gate_alpha": 1.0, "random_state": 0}
TREE = DecisionTreeRegressor(min_samples_leaf=10, random_state=0)


def regressor(expert, n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, expert=expert, **SHORT | options)


def classifier(expert, n_experts=2, **options):
    return MixtureOfExpertsClassifier(n_experts, expert=expert, **SHORT | options)


# --- EM -----------------------------------------------------------------------------------------


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


REGRESSORS = {
    "tree": "tree",
    "deep tree": DecisionTreeRegressor(),
    "pipeline": make_pipeline(StandardScaler(), Ridge()),
    "boosting": HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4, max_bins=8),
    "list": ["tree", Ridge()],
    "names": ["linear", "tree"],
    "noise": Noise(),
    "mixture": MixtureOfExpertsRegressor(2, n_init=1, max_iter=2),
}
CLASSIFIERS = {
    "tree": "tree",
    "deep tree": DecisionTreeClassifier(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "list": [LogisticRegression(), ExtraTreesClassifier(5)],
    "names": ["tree", "linear"],
    "noise": NoiseClassifier(),
    "mixture": MixtureOfExpertsClassifier(2, n_init=1, max_iter=2),
}


@pytest.mark.parametrize(
    ("task", "name", "cross_fit"),
    [
        *(("regressor", name, 2) for name in REGRESSORS),
        *(("classifier", name, 2) for name in CLASSIFIERS),
        *(("regressor", name, False) for name in ("names", "noise", "mixture")),
        *(("classifier", name, False) for name in ("tree", "noise")),
    ],
)
def test_lower_bound_never_falls_and_the_mixture_is_the_average_by_the_gate(task, name, cross_fit):
    if task == "regressor":
        moe, features, y = regressor(REGRESSORS[name], cross_fit=cross_fit), X, Y
    else:
        moe, features, y = classifier(CLASSIFIERS[name], cross_fit=cross_fit), CLASS_X, CLASSES
    fit_quietly(moe, features, y)
    assert np.diff(moe.lower_bounds_).min(initial=0.0) > -1e-10
    assert [len(models) for models in moe.experts_] == [2 if cross_fit else 1] * 2
    if name == "noise":  # which never predicts the same twice
        return
    mean = np.einsum("nk,nk...->n...", moe.predict_gate(features), moe.predict_experts(features))
    found = moe.predict_proba(features) if task == "classifier" else moe.predict(features)
    assert_allclose(found, mean)
    assert np.isfinite(moe.score_samples(features, y)).all()
    assert_allclose(moe.responsibilities(features, y).sum(axis=1), 1.0)


@cache
def recorded():
    """A mixture of one regression, whose models know the rows of their fits."""
    table = np.column_stack([np.arange(len(Y)), X])
    moe = regressor(RecordingRegressor(Log()), 1, dispersion_prior=0.0)
    return fit_quietly(moe, table, Y), table


def test_noise_is_that_of_predictions_of_rows_that_a_model_has_not_seen():
    moe, table = recorded()
    predicted = np.full(len(Y), np.nan)
    for model in moe.experts_[0]:
        held_out = ~np.isin(table[:, 0], model.table_[:, 0])
        assert np.isnan(predicted[held_out]).all()
        predicted[held_out] = model.predict(table[held_out])
    assert_allclose(moe.noise_variance_, [np.mean((Y - predicted) ** 2)])
    assert_allclose(moe.lower_bound_, norm.logpdf(Y, predicted, moe.noise_variance_**0.5).mean())


def test_experts_are_the_average_of_their_fold_models():
    moe, table = recorded()
    assert len(moe.experts_[0]) == 5
    expected = np.mean([model.predict(table) for model in moe.experts_[0]], axis=0)
    assert_allclose(moe.predict_experts(table)[:, 0], expected)


def test_cross_fitted_noise_of_deep_trees_is_not_zero():
    """In sample a deep tree repeats what it saw."""
    deep = DecisionTreeRegressor()
    in_sample, fair = (
        fit_quietly(regressor(deep, cross_fit=cross_fit, dispersion_prior=0.0), X, Y)
        for cross_fit in (False, 5)
    )
    assert in_sample.noise_variance_.max() < 0.1 * fair.noise_variance_.min()
    X_new, y_new = steps(150, seed=1)
    better = fair.score_samples(X_new, y_new).mean()
    assert better > in_sample.score_samples(X_new, y_new).mean()


def test_mixtures_of_trees_beat_one_tree_at_oblique_regimes():
    features, y = steps(500)
    X_new, y_new = steps(500, seed=1)
    linear = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(features, y)
    moe = regressor("tree", init=linear.responsibilities(features, y), max_iter=10)
    fit_quietly(moe, features, y)
    tree = DecisionTreeRegressor(min_samples_leaf=10).fit(features, y)
    assert moe.score(X_new, y_new) > tree.score(X_new, y_new)
    # The linear mixture has found the oblique line between the regimes.
    agreement = np.mean((moe.apply(features) == 1) == (features[:, 0] + features[:, 1] > 0))
    assert max(agreement, 1 - agreement) > 0.9


def test_weight_two_equals_two_rows_for_trees():
    weight = np.random.default_rng(0).integers(0, 3, size=len(Y))
    rows = np.random.default_rng(1).permutation(np.arange(len(Y)).repeat(weight))
    weighted = fit_quietly(regressor(TREE), X, Y, sample_weight=weight)
    repeated = fit_quietly(regressor(TREE), X[rows], Y[rows])
    assert_allclose(repeated.predict(X), weighted.predict(X), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dispersion", ["per_expert", "shared"])
def test_units_of_y_shift_the_bound_and_scale_the_noise(dispersion):
    moe = regressor(TREE, dispersion=dispersion, dispersion_prior=100.0)
    one, other = fit_quietly(clone(moe), X, Y), fit_quietly(clone(moe), X, Y / 1024)
    assert_allclose(other.lower_bound_ - np.log(1024), one.lower_bound_, atol=1e-9)
    assert_allclose(other.noise_variance_ * 1024**2, one.noise_variance_, rtol=1e-9)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    "expert",
    [
        MLPRegressor(
            hidden_layer_sizes=(5,), solver="lbfgs", max_iter=30, alpha=0.01, random_state=0
        ),
        SVR(),
        make_pipeline(StandardScaler(), SGDRegressor(random_state=0)),
    ],
    ids=["network", "support vectors", "gradient descent"],
)
def test_units_of_y_do_not_matter_to_estimators_that_need_a_standardised_one(expert, stacked):
    def fitted(y):
        if stacked:
            models = [("one", expert), ("tree", TREE)]
            return fit_quietly(GatedStackingRegressor(models, random_state=0), X, y)
        return fit_quietly(regressor(expert), X, y)

    moe, other = fitted(Y), fitted(1e3 * Y + 1e4)
    assert moe.score(X, Y) > 0.1
    assert_allclose(other.predict(X), 1e3 * moe.predict(X) + 1e4, rtol=1e-3)
    name = type(expert[-1] if hasattr(expert, "steps") else expert).__name__
    assert name in other.expert_kinds_
    assert name in str(other.summary())


def test_other_estimators_and_those_under_a_log_link_get_y_as_it_is():
    assert isinstance(fit_quietly(regressor(TREE), X, Y).experts_[0][0], DecisionTreeRegressor)
    moe = regressor(SVR(), family="gamma")
    assert isinstance(fit_quietly(moe, X, np.exp(0.1 * Y)).experts_[0][0], SVR)


def test_a_warning_names_experts_that_are_worse_than_the_mean():
    moe = regressor(Noise(), 1, max_iter=300)
    with pytest.warns(ConvergenceWarning, match=r"worse than the mean of y: expert 0\."):
        moe.fit(X, Y + 100.0, sample_weight=np.full(150, 2.0))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Some experts predict")
        fit = regressor(DecisionTreeRegressor()).fit
        warnings.filterwarnings("ignore", category=ConvergenceWarning, message="EM")
        fit(X, np.random.default_rng(0).normal(size=len(X)))


def test_experts_that_miss_a_class_give_it_a_small_probability():
    features = np.sort(np.random.default_rng(0).uniform(-3, 3, size=(120, 1)), axis=0)
    y = np.array(["low", "mid", "top"])[np.digitize(features[:, 0], [-1, 1])]
    moe = fit_quietly(classifier("tree", 3), features, y)
    assert_allclose(moe.predict_experts(features).sum(axis=2), 1.0)
    assert moe.predict_experts(features).min() > 1e-4
    assert moe.score(features, y) > 0.95
    assert set(moe.experts_[0][0].classes_) <= {"low", "mid", "top"}


def test_jobs_and_copies_change_nothing():
    moe = regressor(RandomForestRegressor(2), max_iter=2, cross_fit=2)
    first = fit_quietly(clone(moe), X, Y)
    expected = first.predict(X)
    assert_array_equal(fit_quietly(clone(moe), X, Y).predict(X), expected)
    assert_array_equal(pickle.loads(pickle.dumps(first)).predict(X), expected)
    with parallel_backend("threading"):
        parallel = fit_quietly(clone(moe).set_params(n_jobs=2), X, Y)
    assert_allclose(parallel.predict(X), expected, rtol=1e-9)


def test_searches_reach_parameters_of_the_expert():
    moe = regressor(DecisionTreeRegressor(), max_iter=2, cross_fit=2)
    search = GridSearchCV(moe, {"expert__min_samples_leaf": [2, 40]}, cv=2)
    fit_quietly(search, X, Y)
    assert search.best_params_ == {"expert__min_samples_leaf": 2}
    assert search.best_estimator_.experts_[0][0].min_samples_leaf == 2


class OtherTree(DecisionTreeRegressor):
    """A tree that the package does not know as one of scikit-learn."""


@pytest.mark.parametrize("missing", [False, True])
def test_trees_are_those_of_fits_by_the_public_method(missing):
    """Fits of trees leave out checks of features, which changes nothing."""
    features = np.where(np.arange(X.size).reshape(X.shape) % 11 == 0, np.nan, X) if missing else X
    one, other = (
        fit_quietly(regressor(tree(min_samples_leaf=2)), features, Y)
        for tree in (DecisionTreeRegressor, OtherTree)
    )
    assert_allclose(other.predict(features), one.predict(features), rtol=1e-12)


def test_rows_without_responsibility_are_left_out_of_fits():
    """Those with less than a thousandth of their weight, unless fewer than twenty would be left."""
    features = np.column_stack([np.arange(len(Y)), X])
    side = X[:, 0] > 0
    log = Log()
    init = np.column_stack([side, ~side]).astype(float)
    moe = regressor(RecordingRegressor(log), init=init, max_iter=1, cross_fit=False)
    fit_quietly(moe, features, Y)
    fitted = [set(entry["X"][:, 0].astype(int)) for entry in log.fits()]
    assert fitted[:2] == [set(np.flatnonzero(side)), set(np.flatnonzero(~side))]
    log.clear()
    few = np.arange(len(Y)) < 19
    moe.set_params(init=np.column_stack([few, ~few]).astype(float))
    fit_quietly(moe, features, Y)
    assert len(log.fits()[0]["X"]) == len(Y)


# --- mixtures as experts ------------------------------------------------------------------------


def nested_regimes(n_rows=300, seed=0):
    """Four lines: the first feature chooses a pair, the second one of the pair."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, size=(n_rows, 3))
    regime = 2 * (features[:, 0] > 0) + (features[:, 1] > 0)
    slope = np.array([-6.0, -2.0, 2.0, 6.0])[regime]
    return features, slope * features[:, 2] + 3 * (regime >= 2) + 0.2 * rng.normal(size=n_rows)


def test_mixtures_as_experts_are_the_hierarchical_mixture_of_experts():
    features, y = nested_regimes()
    X_new, y_new = nested_regimes(seed=1)
    inner = MixtureOfExpertsRegressor(2, gate_alpha=0.1, n_init=1, dispersion_prior=0.0)
    init = np.column_stack([features[:, 0] > 0, features[:, 0] <= 0]).astype(float)
    tree = regressor(inner, gate_alpha=0.1, init=init, cross_fit=False)
    fit_quietly(tree, features, y)
    # All four regimes are found: the noise is that of the table.
    density = norm.logpdf(0.2 * np.random.default_rng(2).normal(size=300), scale=0.2).mean()
    assert tree.score_samples(X_new, y_new).mean() > density - 0.4
    # The gates multiply to the gate of the whole, and so do the densities.
    outer, gates = tree.predict_gate(X_new), [m.predict_gate(X_new) for (m,) in tree.experts_]
    leaves = np.stack([outer[:, [k]] * gates[k] for k in range(2)], axis=1)
    means = np.stack([m.predict_experts(X_new) for (m,) in tree.experts_], axis=1)
    assert_allclose((leaves * means).sum(axis=(1, 2)), tree.predict(X_new))
    logs = np.stack([m.score_samples(X_new, y_new) for (m,) in tree.experts_], axis=1)
    assert_allclose(np.log((outer * np.exp(logs)).sum(axis=1)), tree.score_samples(X_new, y_new))


def test_classifiers_as_experts_multiply_their_gates():
    inner = MixtureOfExpertsClassifier(2, n_init=1, max_iter=2)
    tree = fit_quietly(classifier(inner, cross_fit=False, max_iter=2), CLASS_X, CLASSES)
    outer = tree.predict_gate(CLASS_X)
    whole = sum(
        (outer[:, [k]] * model.predict_gate(CLASS_X))[..., None] * model.predict_experts(CLASS_X)
        for k, (model,) in enumerate(tree.experts_)
    )
    assert_allclose(whole.sum(axis=1), tree.predict_proba(CLASS_X))


def test_mixtures_as_experts_keep_their_density_and_have_no_noise():
    inner = MixtureOfExpertsRegressor(2, n_init=1, max_iter=2)
    experts = [inner, make_pipeline(StandardScaler(), inner), "linear"]
    moe = fit_quietly(regressor(experts, 3, cross_fit=2, max_iter=2), X, Y)
    assert_array_equal(np.isnan(moe.noise_variance_), [True, True, False])
    models = [
        [model.score_samples(X, Y) for model in moe.experts_[0]],
        [model[-1].score_samples(model[:-1].transform(X), Y) for model in moe.experts_[1]],
    ]
    logs = [np.logaddexp.reduce(of_folds, axis=0) - np.log(2) for of_folds in models]
    noise = np.sqrt(moe.noise_variance_[2])
    logs.append(norm.logpdf(Y, moe.predict_experts(X)[:, 2], noise))
    joint = np.log(moe.predict_gate(X)) + np.column_stack(logs)
    assert_allclose(moe.score_samples(X, Y), np.logaddexp.reduce(joint, axis=1))
    dist = moe.predict_dist(X)
    assert_allclose(dist.logpdf(Y), moe.score_samples(X, Y))
    assert_allclose(dist.mean, moe.predict(X))


class Surprised(MixtureOfExpertsRegressor):
    """A regressor to which every observation is very improbable, as to one without any noise."""

    def score_samples(self, X, y=None):
        return super().score_samples(X, y) - 1e9


def test_experts_with_very_low_densities_are_fitted():
    features, y = crossing_lines(n_rows=40)
    expert = Surprised(1, n_init=1, random_state=0)
    moe = fit_quietly(regressor(expert, max_iter=2, cross_fit=2), features, y)
    assert np.isfinite(moe.predict(features)).all()
    assert np.isfinite(moe.lower_bounds_).all()


# --- criteria -----------------------------------------------------------------------------------


def test_criteria_count_leaves_and_refuse_what_cannot_be_counted():
    moe = fit_quietly(regressor("tree"), X, Y)
    leaves = sum(models[0].get_n_leaves() for models in moe.experts_)
    log_likelihood = moe.score_samples(X, Y).sum()
    # Leaves, two noise variances, and four coefficients of the gate.
    assert_allclose(moe.aic(X, Y), 2 * (leaves + 2 + 4) - 2 * log_likelihood)
    boosting = HistGradientBoostingRegressor(max_iter=2, max_bins=8)
    boosted = fit_quietly(regressor(boosting, max_iter=1, cross_fit=2), X, Y)
    assert_refused(refusal(boosted.bic, X, Y), "bic", "expert 0 (HistGradientBoosting")
    ridges = fit_quietly(regressor(Ridge(), dispersion="shared", gate="constant"), X, Y)
    assert ridges.n_parameters_ == 2 * 4 + 1 + 1


# --- experts with names in lists ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "task", "is_missing"),
    [(0.1, "regressor", False), (3.0, "regressor", True), (3.0, "classifier", True)],
)
def test_linear_experts_of_lists_are_penalised_on_standardised_features(alpha, task, is_missing):
    """Categories have indicators; missing numbers have the mean and an indicator."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": 5.0 * rng.normal(size=90), "age": rng.uniform(size=90)})
    frame["kind"] = rng.choice([*"abc"], size=90)
    if is_missing:
        frame.loc[::7, "size"] = np.nan
    side = (
        frame["size"].fillna(0.0) + 2.0 * (frame["kind"] == "b") + rng.normal(size=90)
    ).to_numpy()
    columns = [
        *(frame["kind"] == kind for kind in "abc"),
        frame["size"].fillna(frame["size"].mean()),
        frame["age"],
    ]
    if is_missing:
        columns.append(frame["size"].isna())
    scaled = np.column_stack(columns).astype(float)
    scaled = scaled / scaled.std(axis=0)
    make = regressor if task == "regressor" else classifier
    moe = make(["linear"], 1, alpha=alpha, cross_fit=False)
    if task == "regressor":
        expected = Ridge(alpha=alpha).fit(scaled, side).predict(scaled)
        found = fit_quietly(moe, frame, side).predict(frame)
        assert_allclose(found, expected, rtol=1e-7)
    else:
        model = LogisticRegression(C=1.0 / alpha, max_iter=1000, tol=1e-8).fit(scaled, side > 1.0)
        ((found,),) = fit_quietly(moe, frame, side > 1.0).experts_
        # To the tolerance of the solver.
        assert_allclose(found.predict_proba(frame), model.predict_proba(scaled), atol=5e-3)
    # Rows of a category that no fit has seen are predicted.
    assert np.isfinite(moe.predict(frame.assign(kind="new"))).all()


def test_trees_of_lists_are_trees_of_numbers():
    moe = fit_quietly(regressor(["tree", "linear"], alpha=2.0, max_iter=1), X, Y)
    assert type(moe.experts_[0][0]) is DecisionTreeRegressor
    assert moe.experts_[1][0][-1].alpha == 2.0
    strong = fit_quietly(classifier(["linear", "tree"], alpha=0.0, max_iter=1), CLASS_X, CLASSES)
    assert 1e10 < strong.experts_[0][0][-1].C < np.inf


# --- the prior of the noise ---------------------------------------------------------------------


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
    moe = regressor(Ridge(), 1, dispersion_prior=1e9)
    # Other folds have other errors.
    assert_allclose(fit_quietly(moe, features, y).noise_variance_, min(errors), rtol=0.5)
    assert max(errors) > 3.0 * min(errors)


def test_the_noise_of_too_few_rows_is_around_the_variance_of_y():
    rng = np.random.default_rng(0)
    features = np.arange(6.0)[:, None]
    y = features[:, 0] + 0.01 * rng.normal(size=6)
    moe = regressor(Ridge(), 1, dispersion_prior=1e9, cross_fit=False)
    assert_allclose(fit_quietly(moe, features[:5], y[:5]).noise_variance_, np.var(y[:5]), rtol=1e-6)
    assert fit_quietly(moe, features, y).noise_variance_ < 0.1 * np.var(y)
