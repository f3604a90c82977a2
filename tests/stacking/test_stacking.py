"""Stacks: a gate is trained on out-of-fold densities of models that are fitted to all rows."""

import pickle
import re
import warnings
from functools import cache

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
from skmoe.gates import SoftmaxGate
from skmoe.inspection import export_mermaid, export_text
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.components import normal_mixture
from support.expert_kinds import log_density, predictor_of_mean
from support.fits import fit_quietly, loads
from support.recording_estimators import Log, RecordingRegressor, by_number
from support.stacks import stack_of
from support.tables import crossing_lines, flipping_classes, two_regimes

X, Y = two_regimes(n_rows=60)
CLASS_X, CLASSES = flipping_classes(n_rows=150, n_classes=3)
COUNTS = np.random.default_rng(0).poisson(np.exp(X[:, 0]))
LINEAR = MixtureOfExpertsRegressor(1)
SMALL = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, tol=1e-2, random_state=0)
STUDENT = MixtureOfExpertsRegressor(1, family="student_t", max_iter=5, tol=1e-2)
SEARCH = GridSearchCV(LINEAR, {"alpha": [0.5]}, cv=2)
TREE = DecisionTreeRegressor(max_depth=3, random_state=0)


def stack(*estimators, **options):
    return stack_of(*estimators, **{"gate_alpha": 10.0, "cv": 2, "random_state": 0} | options)


def with_names(**options):
    models = [("ridge", Ridge()), ("tree", clone(TREE))]
    return GatedStackingRegressor(models, cv=3, random_state=0, **options)


class RightOnOneSide(RegressorMixin, BaseEstimator):
    """Knows the density of y where the first feature has the sign of `side`, and else is vague."""

    def __init__(self, side=1.0):
        self.side = side

    def fit(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X[:, 1]

    def predict_dist(self, X):
        std = np.where(X[:, 0] * self.side > 0, 0.1, 1.0)
        return normal_mixture(np.ones((len(X), 1)), X[:, 1:2], std[:, None])


# --- a contract of all stacks -------------------------------------------------------------------

STACKS = {
    "mixtures and means": (stack(SMALL, Ridge(), TREE), X, Y),
    "a stack": (stack(stack(SMALL, Ridge()), Ridge()), X, Y),
    "Student's t": (stack(STUDENT, Ridge(), family="student_t"), X, Y),
    "a pipeline and a search": (
        stack(make_pipeline(StandardScaler(), SMALL), make_pipeline(StandardScaler(), SEARCH)),
        X,
        Y,
    ),
    "several outputs": (stack(LINEAR, Ridge()), X, np.column_stack([Y, Y**2])),
    "routing": (stack(SMALL, LINEAR, Ridge(), gate=SoftmaxGate(top_k=1)), X, Y),
    "positive numbers": (stack(RightOnOneSide(), TREE, family="gamma"), X, np.exp(0.3 * Y)),
    "counts": (
        stack(
            MixtureOfExpertsRegressor(1, family="negative_binomial", max_iter=5),
            PoissonRegressor(),
            family="poisson",
        ),
        X,
        COUNTS,
    ),
    "random states": (stack(RandomForestRegressor(3), RandomForestRegressor(3)), X, Y),
    "neighbours": (stack(Ridge(), KNeighborsRegressor(3)), X, Y),
    "classes": (
        stack(
            MixtureOfExpertsClassifier(2, n_init=1, max_iter=10, tol=1e-2, random_state=0),
            LogisticRegression(),
            DecisionTreeClassifier(max_depth=3, random_state=0),
            kind=GatedStackingClassifier,
        ),
        CLASS_X,
        CLASSES,
    ),
}
REGRESSIONS = [name for name in STACKS if name != "classes"]


@cache
def fitted(name):
    moe, features, y = STACKS[name]
    return fit_quietly(clone(moe), features, y)


def own_density(model, X, y, spread):
    """Of a mixture or a stack, behind scaling or a search, at a spread; None of other models."""
    mean = model.predict(X)
    if hasattr(model, "steps"):
        X, model = model[:-1].transform(X), model[-1]
    model = getattr(model, "best_estimator_", model)
    if not hasattr(model, "predict_dist"):
        return None
    logs = model.predict_dist(X).joint_logpdf(mean + (y - mean) / spread)
    return logs - y[0].size * np.log(spread)


def density_around(moe, k, X, y):
    """Of the family of the stack around the mean of a model."""
    name = moe.family
    found = [getattr(moe, attribute, None) for attribute in ("dispersion_", "df_")]
    found = [moe.noise_variance_] if name == "normal" else [v for v in found if v is not None]
    mean, others = moe.experts_[k][0].predict(X), [values[k] for values in found]
    logs = log_density(name, y, predictor_of_mean(name, mean, others), others)
    return logs.reshape(len(X), -1).sum(axis=1)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_the_distribution_is_the_mixture_of_those_of_the_models(name):
    moe, (_, _, y) = fitted(name), STACKS[name]
    logs = []
    for k, (model,) in enumerate(moe.experts_):
        own = own_density(model, X, y, moe.spread_[k])
        logs.append(density_around(moe, k, X, y) if own is None else own)
    with np.errstate(divide="ignore"):
        gate = moe.predict_gate(X).T
        expected = logsumexp(np.log(gate) + logs, axis=0)
    assert_allclose(moe.score_samples(X, y), expected, rtol=1e-7)
    dist, means = moe.predict_dist(X), np.stack([model.predict(X) for (model,) in moe.experts_])
    assert_allclose(dist.joint_logpdf(y), expected, rtol=1e-7)
    assert_allclose(np.moveaxis(moe.predict_experts(X), 1, 0), means)
    assert_allclose(moe.predict(X), np.einsum("kn,kn...->n...", gate, means), rtol=1e-8)
    assert_allclose(dist.mean, moe.predict(X), rtol=1e-8)
    low, high = np.moveaxis(moe.predict_interval(X), 1, 0)
    assert ((low <= y) & (y <= high)).mean() > 0.7


def test_probabilities_are_averaged_at_the_temperatures_of_the_models():
    moe = fitted("classes")
    gate, experts = moe.predict_gate(CLASS_X), moe.predict_experts(CLASS_X)
    probs = moe.predict_proba(CLASS_X)
    assert_allclose(probs, np.einsum("nk,nkc->nc", gate, experts))
    own = moe.experts_[0][0].predict_proba(CLASS_X)
    assert_allclose(experts[:, 0], softmax(np.log(own) / moe.temperature_[0], axis=1))
    logs = np.log(probs[np.arange(len(CLASSES)), CLASSES])
    assert_allclose(moe.score_samples(CLASS_X, CLASSES), logs)
    assert moe.weights_[0] > 0.5  # the mixture knows both rules
    assert not hasattr(moe, "spread_")


@pytest.mark.parametrize("name", ["neighbours", "classes"])
def test_weight_two_equals_two_rows_in_any_order(name):
    moe, features, y = STACKS[name]
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 3, size=len(y))
    rows = rng.permutation(np.repeat(np.arange(len(y)), weight))
    weighted = fit_quietly(clone(moe), features, y, sample_weight=weight)
    twice = fit_quietly(clone(moe), features[rows], y[rows])
    expected = twice.score_samples(features, y)
    assert_allclose(weighted.score_samples(features, y), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(weighted.lower_bound_, twice.lower_bound_, rtol=1e-6)


@pytest.mark.parametrize("name", ["mixtures and means", "random states", "classes"])
def test_copies_and_jobs_change_nothing(name):
    """Random states are different and reproducible."""
    one, (moe, features, y) = fitted(name), STACKS[name]
    with parallel_backend("threading"):
        two = fit_quietly(clone(moe).set_params(n_jobs=2), features, y)
    for other in (two, pickle.loads(pickle.dumps(one))):
        expected = one.score_samples(features, y)
        assert_allclose(other.score_samples(features, y), expected, rtol=1e-9)
    assert (np.diff(one.predict_experts(features), axis=1) != 0.0).any()


def test_copies_of_few_distinct_rows_are_in_all_folds():
    """Rates of four cells, which no model knows that has not seen rows of both classes."""
    cells, rates = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [0.9, 0.2, 0.3, 0.7]
    features = np.repeat(cells, 100, axis=0)
    classes = np.concatenate([np.arange(100) < 100 * rate for rate in rates])
    models = LogisticRegression(), DecisionTreeClassifier(min_samples_leaf=10, random_state=0)
    moe = stack(*models, kind=GatedStackingClassifier, cv=None).fit(features, classes)
    assert_allclose(moe.predict_proba(cells)[:, 1], rates, atol=0.03)


# --- the gate -----------------------------------------------------------------------------------


def halves(n_rows=200):
    """Rows whose noise has a standard deviation of 0.1 everywhere."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(n_rows, 2))
    return features, features[:, 1] + 0.1 * rng.normal(size=n_rows)


def test_the_gate_finds_where_each_model_is_right():
    features, y = halves()
    moe = stack(RightOnOneSide(-1.0), RightOnOneSide(1.0), gate_alpha=0.1).fit(features, y)
    gate = moe.predict_gate([[-0.8, 0.0], [0.8, 0.0]])
    assert gate[[0, 1], [0, 1]].min() > 0.9
    alone = RightOnOneSide().predict_dist(features).logpdf(y).mean()
    assert moe.score_samples(features, y).mean() > alone + 0.5
    assert moe.converged_
    assert np.diff(moe.lower_bounds_).min() > -1e-10


def test_constant_weights_are_the_fixed_point_of_em_and_those_of_a_large_penalty():
    features, y = halves()
    models = RightOnOneSide(-1.0), RightOnOneSide(1.0)
    weight = np.random.default_rng(1).integers(1, 4, size=len(y))
    moe, shrunk = (
        stack(*models, tol=1e-12, **options).fit(features, y, sample_weight=weight)
        for options in ({"gate": "constant"}, {"gate_alpha": 1e8})
    )
    pairs = zip(models, moe.spread_, strict=True)
    logs = np.stack([own_density(model, features, y, spread) for model, spread in pairs], axis=1)
    share = np.array([0.5, 0.5])
    for _ in range(2000):
        share = np.average(softmax(np.log(share) + logs, axis=1), axis=0, weights=weight)
    assert_allclose(moe.weights_, share, rtol=1e-5)
    bound = np.average(logsumexp(np.log(share) + logs, axis=1), weights=weight)
    assert_allclose(moe.lower_bound_, bound, rtol=1e-7)
    assert_allclose(shrunk.predict_gate(features), moe.predict_gate(features), atol=1e-3)


# --- the fits -----------------------------------------------------------------------------------

# Worse than a prediction of zero, and better than one of a million.
FAR_AWAY = DummyRegressor(strategy="constant", constant=50.0)


def recorded(y, **options):
    """A stack of a regression and of a model far away, and the residuals out of fold."""
    rows, log, weight = np.arange(60), Log(), 0.5 + np.arange(60) % 3
    table, far = np.column_stack([rows, X]), DummyRegressor(strategy="constant", constant=1e3)
    far = far if y.ndim == 1 else far.set_params(constant=[1e3, 1e3])
    moe = stack(RecordingRegressor(log), far, gate="constant", cv=3, **options)
    fit_quietly(moe, table, y, sample_weight=weight)
    out_of_fold = np.full(y.shape, np.nan)
    for entry in log.fits()[:3]:  # fits without a fold come first
        held_out = ~np.isin(rows, entry["X"][:, 0])
        assert np.isnan(out_of_fold[held_out]).all()
        model = LinearRegression().fit(entry["X"][:, 1:], entry["y"], entry["weight"])
        out_of_fold[held_out] = model.predict(table[held_out, 1:])
    assert_array_equal(by_number(log.fits()[3], "weight")[1], weight)
    return moe.noise_variance_[0], y - out_of_fold, weight


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_noise_is_that_of_out_of_fold_residuals_and_its_prior_counts_as_rows(n_outputs):
    y = Y if n_outputs == 1 else np.column_stack([Y, X[:, 0] + 0.1 * Y])
    free, residual, weight = recorded(y, dispersion_prior=0.0)
    assert_allclose(free, np.average(residual**2, axis=0, weights=weight), rtol=1e-4)
    some, strong = (recorded(y, dispersion_prior=prior)[0] for prior in (30.0, 1e9))
    mass = weight.sum()
    assert_allclose(some, (mass * free + 30.0 * strong) / (mass + 30.0), rtol=1e-4)


def test_models_are_fitted_to_all_rows_with_weights_or_to_repeated_rows():
    weight = np.random.default_rng(3).integers(1, 4, size=len(Y))
    moe = stack(Ridge(), KNeighborsRegressor(3))
    fit_quietly(moe, X, Y, sample_weight=weight)
    (ridge,), (neighbours,) = moe.experts_
    assert_allclose(ridge.coef_, Ridge().fit(X, Y, sample_weight=weight).coef_)
    assert neighbours.n_samples_fit_ == weight.sum()
    rows = np.repeat(np.arange(len(Y)), weight)
    assert_allclose(neighbours.predict(X), KNeighborsRegressor(3).fit(X[rows], Y[rows]).predict(X))


# Stacks of more rows hold out one of three folds, once; bases of more have two folds.
FEW, FEW_FOR_BASE = 5_000, 20_000
MANY_X, MANY_Y = crossing_lines(FEW + 5)
WEIGHT = np.resize([1.0, 2.0, 3.0, 1.0, 5.0], len(MANY_Y))


class Recording:
    """Writes down the first feature of the rows of each fit."""

    def fit(self, X, y, sample_weight=None):
        self.log.append(("fit", X[:, 0]))
        return super().fit(X, y, sample_weight=sample_weight)


class RecordingRidge(Recording, Ridge):
    log = Log()


class RecordingBayes(Recording, GaussianNB):
    log = RecordingRidge.log


@pytest.fixture
def log():
    RecordingRidge.log.clear()
    return RecordingRidge.log


@pytest.mark.parametrize(
    ("n_rows", "options", "sizes"),
    [
        (FEW + 5, {}, [2 / 3, 1.0, 1 / 3]),  # the last one is that of the learning curve
        (FEW + 5, {"cv": 2}, [0.5, 0.5, 1.0]),
        (FEW, {}, [2 / 3] * 3 + [1.0, 1 / 3]),
        (FEW + 5, {"kind": GatedStackingClassifier}, [2 / 3, 1.0]),
    ],
    ids=["many", "folds", "few", "classes"],
)
def test_of_many_rows_one_third_is_held_out_once(log, n_rows, options, sizes):
    features, y = MANY_X[:n_rows], MANY_Y[:n_rows]
    models = RecordingRidge(), LinearRegression()
    if "kind" in options:
        models, y = (RecordingBayes(), LogisticRegression()), y > np.median(y)
    moe = stack(*models, **{"gate": "constant", "cv": None} | options)
    fit_quietly(moe, features, y)
    found = log.fits()
    assert [len(rows) for rows in found] == [pytest.approx(s * n_rows, abs=3) for s in sizes]
    assert_allclose(loads(moe).sum(), n_rows)
    if len(sizes) == 3 and not options:
        held_out = ~np.isin(features[:, 0], found[0])
        residual = y - LinearRegression().fit(features[~held_out], y[~held_out]).predict(features)
        logs = norm.logpdf(residual[held_out], scale=np.sqrt(moe.noise_variance_[1]))
        assert_allclose(moe.lower_bound_, logs.mean(), atol=1e-2)
        assert set(found[2]) < set(found[0])


@pytest.mark.parametrize(
    ("name", "n_groups"), [("groups", 1001), ("units", 1001), ("groups", 2), ("groups", 4)]
)
def test_groups_of_many_rows_are_not_divided_and_rows_held_out_stand_for_all(log, name, n_groups):
    group = np.arange(len(MANY_Y)) % n_groups
    moe = stack(RecordingRidge(), LinearRegression(), gate="constant", cv=None)
    fit_quietly(moe, MANY_X, MANY_Y, sample_weight=WEIGHT, **{name: group})
    seen = np.isin(MANY_X[:, 0], log.fits()[0])
    assert not set(group[seen]) & set(group[~seen])
    assert_allclose(loads(moe).sum(), WEIGHT.sum())


@pytest.mark.parametrize(("n_rows", "n_folds"), [(FEW_FOR_BASE, 5), (FEW_FOR_BASE + 5, 2)])
def test_a_base_has_five_folds_unless_rows_are_very_many(log, n_rows, n_folds):
    moe = MixtureOfExpertsRegressor(1, base=RecordingRidge(), n_init=1)
    fit_quietly(moe, *crossing_lines(n_rows))
    assert len(log) == n_folds + 1  # each fold, and all rows


def test_of_many_rows_a_weight_is_a_number_of_rows_and_the_penalty_is_found():
    """A sample of the rows, which searches of penalties use, has no densities."""
    rows = np.repeat(np.arange(len(MANY_Y)), WEIGHT.astype(int))
    moe = stack(Ridge(), Ridge(100.0), cv=None, gate_alpha="auto")
    weighted = fit_quietly(clone(moe), MANY_X, MANY_Y, sample_weight=WEIGHT)
    repeated = fit_quietly(clone(moe), MANY_X[rows], MANY_Y[rows])
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-6)
    assert weighted.gate_alpha_ > 0.0


# --- what goes to the models --------------------------------------------------------------------


def test_units_have_one_responsibility():
    units = np.arange(len(Y)) // 5
    moe = fit_quietly(stack(LINEAR, Ridge(), TREE, gate="constant"), X, Y, units=units)
    resp = moe.responsibilities(X, Y, units=units)
    assert (np.ptp(resp.rows(units).reshape(-1, 5, 3), axis=1) == 0.0).all()
    assert moe.n_units_ == len(Y) // 5


def test_dispersions_of_a_family_are_counted_once_if_shared_and_offsets_are_exposures():
    y = np.exp(0.3 * Y)
    own, shared = (
        fit_quietly(stack(TREE, TREE, family="gamma", gate="constant", dispersion=kind), X, y)
        for kind in ("per_expert", "shared")
    )
    leaves = own.experts_[0][0].get_n_leaves()
    assert own.n_parameters_ == 2 * leaves + 2 + 1
    assert shared.n_parameters_ == 2 * leaves + 1 + 1
    exposure = np.log(np.random.default_rng(0).uniform(0.5, 2.0, size=len(Y)))
    rates = stack(PoissonRegressor(), "tree", family="poisson")
    fit_quietly(rates, X, COUNTS, offset=exposure)
    factor = rates.predict(X, offset=np.full(len(X), np.log(3.0))) / rates.predict(X)
    assert_allclose(factor, 3.0)


def test_class_weights_and_rare_classes():
    features, y = flipping_classes(n_rows=120)
    y[:2] = 2  # in some folds no row of this class is left
    options = {"class_weight": "balanced", "cv": None, "kind": GatedStackingClassifier}
    moe = fit_quietly(stack(LogisticRegression(), GaussianNB(), **options), features, y)
    assert_allclose(moe.predict_proba(features).sum(axis=1), 1.0)


def test_missing_values_categories_and_metadata_reach_the_estimators_as_they_are():
    frame = pd.DataFrame({"size": X[:, 0], "other": X[:, 1]})
    frame["city"] = pd.Categorical(np.where(X[:, 2] > 0, "rome", "oslo"))
    frame.loc[::7, "size"] = np.nan
    boosting = HistGradientBoostingRegressor(
        max_iter=3, max_bins=8, categorical_features="from_dtype", random_state=0
    )
    moe = fit_quietly(stack(boosting, "tree", "linear"), frame, Y)
    assert np.isfinite(moe.predict(frame)).all()
    assert "city_rome" in list(moe.gate_feature_names_)
    log = Log()
    with config_context(enable_metadata_routing=True):
        recorder = RecordingRegressor(log).set_fit_request(cost=True)
        moe = GatedStackingRegressor([("recorder", recorder), ("tree", "tree")], cv=2)
        assert "recorder" in str(moe.get_metadata_routing())
        fit_quietly(moe, X, Y, cost=10.0 * X[:, 0])
    for entry in log.fits():
        assert_array_equal(entry["cost"], 10.0 * entry["X"][:, 0])


def test_collapsed_experts_of_an_estimator_are_no_fault_of_the_stack():
    """The gate weights the estimator by its densities, whatever its experts are."""
    features, y = two_regimes(n_rows=30)
    estimator = MixtureOfExpertsRegressor(6, alpha=0.1, gate_alpha=1.0, n_init=1, random_state=0)
    with pytest.warns(UserWarning, match="Experts have collapsed"):
        clone(estimator).fit(features, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack(estimator, Ridge()).fit(features, y)


# --- as an estimator of scikit-learn ------------------------------------------------------------


def test_models_have_names_and_can_be_dropped():
    moe = fit_quietly(with_names(), X, Y)
    assert moe.expert_names_ == list(moe.named_estimators_) == ["ridge", "tree"]
    assert moe.expert_kinds_ == ["Ridge", "DecisionTreeRegressor"]
    assert_array_equal(moe.named_estimators_.ridge.predict(X), moe.predict_experts(X)[:, 0])
    three = with_names()
    three.estimators.insert(1, ("far", FAR_AWAY))
    without = fit_quietly(three.set_params(far="drop"), X, Y)
    assert list(without.named_estimators_) == ["ridge", "tree"]
    assert_array_equal(without.predict(X), moe.predict(X))
    assert moe.set_expert_names(["line", "steps"]).expert_names_ == ["line", "steps"]
    assert list(moe.named_estimators_) == ["ridge", "tree"]


def test_parameters_of_models_are_set_and_searched_by_their_names():
    moe = with_names()
    changed = clone(moe).set_params(ridge__alpha=7.0, tree="linear", gate="constant")
    assert changed.get_params()["ridge__alpha"] == dict(changed.estimators)["ridge"].alpha == 7.0
    assert (dict(changed.estimators)["tree"], changed.gate) == ("linear", "constant")
    assert moe.get_params()["ridge__alpha"] == 1.0
    assert {"estimators", "ridge"} & set(moe.get_params(deep=False)) == {"estimators"}
    other = clone(moe).set_params(estimators=[("a", Ridge()), ("b", TREE)], a__alpha=3.0)
    assert dict(other.estimators)["a"].alpha == 3.0
    with pytest.raises(ValueError, match="Invalid parameter 'forest'"):
        moe.set_params(forest__max_depth=2)
    trees = [TREE, DecisionTreeRegressor(max_depth=1)]
    pairs = zip([1e-3, 1e6], trees, strict=True)
    grid = [{"ridge__alpha": [alpha], "tree": [tree]} for alpha, tree in pairs]
    search = fit_quietly(GridSearchCV(with_names(), grid, cv=2), X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.named_estimators_
    assert best.ridge.alpha == search.best_params_["ridge__alpha"]


def test_progress_of_many_rows_is_printed(capsys):
    """A stack has no starts, and no sample of rows for them."""
    many, y = two_regimes(n_rows=2500)
    fit_quietly(stack(Ridge(), LinearRegression(), verbose=1), many, y)
    printed = capsys.readouterr().out
    assert re.findall(r"(?m)^(model \d|EM)\b", printed) == ["model 0", "model 1", "EM"]


def test_texts_and_progress(capsys):
    moe = fit_quietly(with_names(verbose=2).set_params(ridge=SMALL), X, Y)
    printed = capsys.readouterr().out
    for line in ("model 0, MixtureOfExpertsRegressor: fitted", "model 1, DecisionTree", "EM: "):
        assert line in printed
    text = export_text(moe)
    assert "ridge (" in text
    assert "itself a mixture of 2 experts" in text
    assert "average of" not in text
    assert "DecisionTreeRegressor" in export_mermaid(moe)
    assert "DecisionTreeRegressor" in str(moe.summary(X, Y))
    assert "DecisionTreeRegressor" in moe._repr_html_()
    fit_quietly(with_names(), X, Y)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("noise", [1.0, 1e-2])
def test_noise_of_a_model_that_explains_nearly_all_is_found(noise):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    y = 3.0 * features[:, 0] + noise * rng.normal(size=200)
    models = [("line", LinearRegression()), ("mean", DummyRegressor())]
    moe = GatedStackingRegressor(models, dispersion_prior=0, random_state=0).fit(features, y)
    assert 0.5 * noise**2 < moe.noise_variance_[0] < 2.0 * noise**2
