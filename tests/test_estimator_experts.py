"""Trees, any scikit-learn estimator, lists and nested mixtures as experts, by cross-fitted EM."""

import pickle
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from recorders import Log, RecordingRegressor
from regimes import crossing_lines, flipping_classes, quiet, steps, two_regimes
from scipy import sparse
from scipy.stats import expon, norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.problem import build_problem
from skmoe._estimators.training_data import GivenRows
from skmoe._mixture.model import log_joint
from skmoe.experts import EXPERTS
from skmoe.gates import GATES

pytestmark = pytest.mark.filterwarnings("ignore:Experts have collapsed")


X, Y = steps()
CLASS_X, CLASSES = flipping_classes(n_rows=300, n_classes=3)


class Noise(RegressorMixin, BaseEstimator):
    """A deliberately bad regressor that says noise, another at each fit."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Noise.fits += 1
        self.rng_ = np.random.default_rng(Noise.fits)
        return self

    def predict(self, X):
        return self.rng_.normal(size=len(X))


class NoiseClassifier(ClassifierMixin, Noise):
    """A deliberately bad classifier."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return super().fit(X, y)

    def predict_proba(self, X):
        return self.rng_.dirichlet(np.ones(len(self.classes_)), size=len(X))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


REGRESSORS = {
    "tree": "tree",
    "deep": DecisionTreeRegressor(),
    "ridge": make_pipeline(StandardScaler(), Ridge()),
    "boosting": HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4),
    "list": ["tree", Ridge()],
    "names": ["linear", "tree"],
    "noise": Noise(),
    "nested": MixtureOfExpertsRegressor(2, n_init=1),
}
CLASSIFIERS = {
    "tree": "tree",
    "deep": DecisionTreeClassifier(),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "list": [LogisticRegression(), ExtraTreesClassifier(5)],
    "names": ["tree", "linear"],
    "noise": NoiseClassifier(),
    "nested": MixtureOfExpertsClassifier(2, n_init=1),
}
CASES = [
    pytest.param(MixtureOfExpertsRegressor(2, expert=expert), X, Y, id=f"regressor-{name}")
    for name, expert in REGRESSORS.items()
] + [
    pytest.param(MixtureOfExpertsClassifier(2, expert=expert), CLASS_X, CLASSES, id=f"class-{name}")
    for name, expert in CLASSIFIERS.items()
]


@pytest.mark.parametrize("cross_fit", [3, False])
@pytest.mark.parametrize(("moe", "features", "y"), CASES)
def test_the_bound_never_falls_whatever_the_expert(moe, features, y, cross_fit):
    moe = clone(moe).set_params(n_init=1, random_state=0, cross_fit=cross_fit, max_iter=5)
    quiet(moe, features, y)
    assert np.diff(moe.lower_bounds_, prepend=moe.lower_bounds_[0]).min() > -1e-10
    assert len(moe.experts_) == 2
    gate, said = moe.predict_gate(features), moe.predict_experts(features)
    mean = np.einsum("nk,nk...->n...", gate, said)
    found = moe.predict_proba(features) if y is CLASSES else moe.predict(features)
    if "Noise" not in repr(moe):  # which never says the same twice
        assert_allclose(found, mean)
        assert np.isfinite(moe.score_samples(features, y)).all()
        assert_allclose(moe.responsibilities(features, y).sum(axis=1), 1.0)


def test_mixtures_of_trees_beat_one_tree():
    features, y = steps(1500)
    X_test, y_test = steps(1500, seed=1)
    moe = MixtureOfExpertsRegressor(4, expert="tree", n_init=2, max_iter=15, random_state=0)
    quiet(moe, features, y)
    tree = DecisionTreeRegressor(min_samples_leaf=10).fit(features, y)
    assert moe.score(X_test, y_test) > tree.score(X_test, y_test)


def test_a_linear_mixture_starts_trees_at_oblique_regimes():
    features, y = steps(600)
    linear = MixtureOfExpertsRegressor(2, random_state=0).fit(features, y)
    moe = MixtureOfExpertsRegressor(2, expert="tree", random_state=0)
    quiet(moe.set_params(init=linear.responsibilities(features, y)), features, y)
    truth = features[:, 0] + features[:, 1] > 0
    agreement = np.mean((moe.apply(features) == 1) == truth)
    assert max(agreement, 1 - agreement) > 0.95


def test_in_sample_noise_goes_to_zero_and_cross_fitted_noise_does_not():
    deep = DecisionTreeRegressor()
    plain = quiet(MixtureOfExpertsRegressor(2, expert=deep, cross_fit=False, random_state=0), X, Y)
    fair = MixtureOfExpertsRegressor(2, expert=deep, random_state=0).fit(X, Y)
    assert plain.noise_variance_.min() < fair.noise_variance_.min() / 2
    X_test, y_test = steps(seed=1)
    assert fair.score_samples(X_test, y_test).mean() > plain.score_samples(X_test, y_test).mean()


def em_problem(moe, X, y, **options):
    return build_problem(moe, moe._validate_parameters(), GivenRows(X, y, **options)).em_problem


def test_rows_are_judged_by_experts_that_did_not_see_them():
    """What the running fit says of a row comes from models of the other folds."""
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(), random_state=0)
    setup = em_problem(moe, X, Y)
    experts, table, y = setup.model.experts, setup.rows.expert_design, setup.rows.y
    resp = np.full((2, len(Y)), 0.5)
    params = experts.init_params(2, 3)
    params = experts.m_step(experts.statistics(params, table, y, resp), None, params, 1.0)
    for fold, model in enumerate(params.models[0]):
        inside = table.fold == fold
        assert_allclose(params.oof_predictions[0, 0, inside], model.predict(table.X[inside]))
        seen = model.predict(table.X[~inside]) - y[0, ~inside]
        assert np.abs(seen).max() < 1e-9  # a deep tree repeats what it saw
    assert np.square(params.oof_predictions[0, 0] - y[0]).mean() > 0.01


def test_experts_are_the_average_of_their_fold_models_with_the_noise_out_of_fold():
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(), random_state=0).fit(X, Y)
    for k, models in enumerate(moe.experts_):
        assert len(models) == 5
        said = np.mean([model.predict(X) for model in models], axis=0)
        assert_allclose(moe.predict_experts(X)[:, k], said)
    resp = moe.responsibilities(X, Y)
    squares = (Y[:, None] - moe.predict_experts(X)) ** 2
    assert ((resp * squares).sum(axis=0) / resp.sum(axis=0) < moe.noise_variance_ / 2).all()
    plain = quiet(clone(moe).set_params(cross_fit=False), X, Y)
    assert [len(models) for models in plain.experts_] == [1, 1]


def test_groups_stay_in_one_fold():
    groups = np.arange(len(Y)) % 20
    moe = MixtureOfExpertsRegressor(2, expert="tree", random_state=0)
    table = em_problem(moe, X, Y, groups=groups).rows.expert_design
    order = {tuple(row): group for row, group in zip(X, groups, strict=True)}
    of_row = np.array([order[tuple(row)] for row in table.X])
    for group in range(20):
        assert len(np.unique(table.fold[of_row == group])) == 1
    assert len(np.unique(table.fold)) == 5
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            moe.set_fit_request(groups=True, sample_weight=False), {"n_experts": [2]}, cv=2
        )
        search.fit(X, Y, groups=groups)
        table = np.column_stack([np.arange(len(Y)), X])
        log = Log()
        moe.set_params(expert=RecordingRegressor(log), max_iter=2)
        quiet(GridSearchCV(moe, {"n_experts": [2]}, cv=2), table, Y, groups=groups)
    assert len(log.questions()) > 20
    for fitted, asked in log.questions():
        fitted, asked = (rows[:, 0].astype(int) for rows in (fitted, asked))
        out_of_fold = len(asked) < len(fitted) and not set(fitted) <= set(asked)
        # The search itself splits rows; a mixture keeps the groups of its own rows together.
        if out_of_fold and len(asked) <= 60:
            assert not set(groups[fitted]) & set(groups[asked])


def test_folds_are_stratified_by_class():
    rare = np.r_[np.zeros(240), np.ones(50), np.full(10, 2)].astype(int)
    moe = MixtureOfExpertsClassifier(2, expert="tree", random_state=0)
    setup = em_problem(moe, CLASS_X, rare)
    fold = setup.rows.expert_design.fold
    for j in range(5):
        assert (setup.rows.y[fold == j] == 2).sum() == 2


class Remembering(Ridge):
    """A ridge regression that keeps the metadata of its fit."""

    def fit(self, X, y, sample_weight=None, cost=None):
        assert cost is None or len(cost) == len(y)
        self.rows_, self.cost_ = X, cost
        return super().fit(X, y, sample_weight)


def test_metadata_reaches_the_experts():
    cost = 100.0 * X[:, 0] + X[:, 1]
    moe = MixtureOfExpertsRegressor(2, expert=Remembering(), n_init=1, random_state=0)
    moe.fit(X, Y, cost=cost)
    for model in (model for models in moe.experts_ for model in models):
        assert_allclose(model.cost_, 100.0 * model.rows_[:, 0] + model.rows_[:, 1])
    with sklearn.config_context(enable_metadata_routing=True):
        expert = Remembering().set_fit_request(cost=True, sample_weight=True)
        routed = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, random_state=0)
        routed.fit(X, Y, cost=cost)
    assert_allclose(routed.predict(X), moe.predict(X))
    with pytest.raises(ValueError, match="cost must have one entry for each of the 400 rows"):
        moe.fit(X, Y, cost=cost[:5])
    with pytest.raises(ValueError, match='cost cannot be used: expert="linear" takes no metadata'):
        MixtureOfExpertsRegressor(2).fit(X, Y, cost=cost)
    with pytest.raises(ValueError, match="cost cannot be used: experts that are given by name"):
        MixtureOfExpertsRegressor(2, expert="tree").fit(X, Y, cost=cost)


def test_metadata_is_routed_to_lists_and_into_pipelines():
    cost, price = 100.0 * X[:, 0] + X[:, 1], 7.0 * X[:, 2]
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        last = Remembering().set_fit_request(cost="price", sample_weight=False)
        experts = [
            Remembering().set_fit_request(cost=True, sample_weight=True),
            make_pipeline(scaler, "passthrough", last),
            "tree",
        ]
        moe = MixtureOfExpertsRegressor(3, expert=experts, n_init=1, max_iter=2, random_state=0)
        quiet(moe, X, Y, cost=cost, price=price)
    first, second, _ = (models[0] for models in moe.experts_)
    assert_allclose(first.cost_, 100.0 * first.rows_[:, 0] + first.rows_[:, 1])
    given = second[0].inverse_transform(second[-1].rows_)
    assert_allclose(second[-1].cost_, 7.0 * given[:, 2])
    assert moe.get_params()["expert"][1][-1].get_metadata_routing().fit.requests["cost"] == "price"
    # Without routing it goes where the argument says.
    pipeline = make_pipeline(StandardScaler(), Remembering())
    moe.set_params(n_experts=2, expert=["tree", pipeline])
    quiet(moe, X, Y, remembering__cost=price)
    second = moe.experts_[1][0]
    given = second[0].inverse_transform(second[-1].rows_)
    assert_allclose(second[-1].cost_, 7.0 * given[:, 2])


def test_grid_search_reaches_into_the_expert():
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(), n_init=1, random_state=0)
    search = GridSearchCV(moe, {"expert__min_samples_leaf": [2, 150]}, cv=3).fit(X, Y)
    assert search.best_params_ == {"expert__min_samples_leaf": 2}
    assert search.best_estimator_.experts_[0][0].min_samples_leaf == 2


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_jobs_and_repeats_do_not_matter(n_jobs):
    expert = RandomForestRegressor(5)
    moe = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, max_iter=4, random_state=0)
    first = quiet(clone(moe), X, Y).predict(X)
    assert_array_equal(quiet(clone(moe).set_params(n_jobs=n_jobs), X, Y).predict(X), first)
    copy = pickle.loads(pickle.dumps(quiet(moe, X, Y)))
    assert_array_equal(copy.predict(X), first)


def test_weight_is_repetition_for_trees_too():
    weight = np.random.default_rng(0).integers(0, 3, size=len(Y))
    rows = np.random.default_rng(1).permutation(np.arange(len(Y)).repeat(weight))
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=2, random_state=0)
    weighted = clone(moe).fit(X, Y, sample_weight=weight)
    assert_array_equal(clone(moe).fit(X[rows], Y[rows]).predict(X), weighted.predict(X))


def test_out_of_bag_predictions_serve_for_folds():
    forest = RandomForestRegressor(30, oob_score=True)
    moe = MixtureOfExpertsRegressor(
        2, expert=forest, cross_fit="oob", n_init=1, max_iter=5, random_state=0
    )
    quiet(moe, X, Y)
    inside = quiet(clone(moe).set_params(cross_fit=False), X, Y)
    assert (moe.noise_variance_ > 1.3 * inside.noise_variance_).all()
    with pytest.raises(ValueError, match='cross_fit="oob" needs experts with oob_score=True'):
        clone(moe).set_params(expert=RandomForestRegressor(5)).fit(X, Y)


def test_experts_that_miss_a_class_are_aligned():
    features = np.sort(np.random.default_rng(0).uniform(-3, 3, size=(300, 1)), axis=0)
    y = np.array(["low", "mid", "top"])[np.digitize(features[:, 0], [-1, 1])]
    moe = quiet(MixtureOfExpertsClassifier(3, expert="tree", n_init=1, random_state=0), features, y)
    assert moe.predict_experts(features).shape == (300, 3, 3)
    assert_allclose(moe.predict_experts(features).sum(axis=2), 1.0)
    assert moe.score(features, y) > 0.95
    assert set(moe.experts_[0][0].classes_) <= {"low", "mid", "top"}


def nested_regimes(n_rows=1500, seed=0):
    """Four lines: x0 chooses a pair, x1 one of the pair."""
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, size=(n_rows, 3))
    regime = 2 * (features[:, 0] > 0) + (features[:, 1] > 0)
    slope = np.array([-6.0, -2.0, 2.0, 6.0])[regime]
    return features, slope * features[:, 2] + 3 * (regime >= 2) + 0.2 * rng.normal(size=n_rows)


def test_nested_mixtures_are_the_hierarchical_mixture_of_experts():
    features, y = nested_regimes()
    tree = MixtureOfExpertsRegressor(
        2,
        expert=MixtureOfExpertsRegressor(2, gate_alpha=0.1, n_init=2, dispersion_prior=0.0),
        gate_alpha=0.1,
        n_init=2,
        cross_fit=False,
        random_state=0,
    ).fit(features, y)
    flat = MixtureOfExpertsRegressor(
        4, gate_alpha=0.1, n_init=8, dispersion_prior=0.0, random_state=0
    ).fit(features, y)
    X_test, y_test = nested_regimes(seed=1)
    density, flat_density = (moe.score_samples(X_test, y_test).mean() for moe in (tree, flat))
    assert density > flat_density - 0.02
    # The gates multiply to the gate of the whole, and so do the densities.
    outer, inner = tree.predict_gate(X_test), [m.predict_gate(X_test) for (m,) in tree.experts_]
    leaves = np.stack([outer[:, [k]] * inner[k] for k in range(2)], axis=1)
    said = np.stack([m.predict_experts(X_test) for (m,) in tree.experts_], axis=1)
    assert_allclose(leaves.sum(axis=(1, 2)), 1.0)
    assert_allclose((leaves * said).sum(axis=(1, 2)), tree.predict(X_test))
    logs = np.stack([m.score_samples(X_test, y_test) for (m,) in tree.experts_], axis=1)
    assert_allclose(np.log((outer * np.exp(logs)).sum(axis=1)), tree.score_samples(X_test, y_test))


def test_criteria_count_what_can_be_counted():
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=3, random_state=0)
    quiet(moe, X, Y)
    leaves = sum(models[0].get_n_leaves() for models in moe.experts_)
    log_likelihood = moe.score_samples(X, Y).sum()
    assert moe.aic(X, Y) == pytest.approx(2 * (leaves + 2 + 4) - 2 * log_likelihood)
    boosted = MixtureOfExpertsRegressor(
        2, expert=HistGradientBoostingRegressor(max_iter=3), n_init=1, max_iter=2, random_state=0
    )
    quiet(boosted, X, Y)
    with pytest.raises(ValueError, match=r"bic needs .* expert 0 \(HistGradientBoosting"):
        boosted.bic(X, Y)


def test_warm_start_goes_on_from_given_responsibilities():
    """The second fit takes the rows in the order of the first, which the responsibilities set."""
    X, y = steps(n_rows=60)
    init = np.random.default_rng(0).dirichlet(np.ones(2), size=60)
    options = {"alpha": 0.1, "gate_alpha": 1.0, "tol": 0.0, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, init=init, warm_start=True, **options)
    halves, whole = clone(moe).set_params(max_iter=3), clone(moe).set_params(max_iter=6)
    quiet(quiet(halves, X, y), X, y)
    assert_array_equal(halves.predict(X), quiet(whole, X, y).predict(X))
    trees = quiet(clone(halves).set_params(expert="tree"), X, y)
    bound, fold = trees.lower_bound_, trees._training_state.cross_fit_cache.fold
    assert quiet(trees, X, y).lower_bound_ >= bound
    assert_array_equal(trees._training_state.cross_fit_cache.fold, fold)


class Surprised(MixtureOfExpertsRegressor):
    """A regressor to which every observation is very improbable, as to one without any noise."""

    def score_samples(self, X, y=None):
        return super().score_samples(X, y) - 1e9


def test_experts_with_very_low_densities_are_fitted():
    expert = Surprised(1, n_init=1, random_state=0)
    moe = MixtureOfExpertsRegressor(2, expert=expert, n_init=1, max_iter=2, random_state=0)
    X, y = crossing_lines(n_rows=40)
    assert np.isfinite(quiet(moe, X, y).predict(X)).all()
    assert np.isfinite(moe.lower_bounds_).all()


def test_warm_start_goes_on_from_sparse_rows():
    """Whether a sparse matrix is known to be in order does not make it another one."""
    X, y = steps(n_rows=60)
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=3, random_state=0)
    quiet(moe.set_params(warm_start=True), sparse.csr_array(X), y)
    bound, key = moe.lower_bound_, moe._training_state.cross_fit_cache.key
    assert quiet(moe, sparse.csr_array(X), y).lower_bound_ >= bound
    assert moe._training_state.cross_fit_cache.key == key


def test_warm_start_goes_on():
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0, warm_start=True)
    moe.set_params(max_iter=3)
    bounds = [quiet(moe, X, Y).lower_bound_ for _ in range(3)]
    assert bounds[0] < bounds[1] < bounds[2]
    moe.set_params(max_iter=200)
    fold = moe._training_state.cross_fit_cache.fold
    for seed in (0, 1, None):  # the folds of the first fit stay
        bounds.append(quiet(moe.set_params(random_state=seed), X, Y).lower_bound_)
    assert np.diff(bounds).min() > -1e-10
    assert_array_equal(moe._training_state.cross_fit_cache.fold, fold)
    deep = moe.experts_[0][0].get_depth()
    moe.set_params(expert=DecisionTreeRegressor(max_depth=2)).fit(X, Y)
    assert moe.experts_[0][0].get_depth() == 2 < deep  # other experts are fitted anew
    moe.fit(X[:300], Y[:300])
    assert moe._fitted.params.experts.oof_predictions is None
    with pytest.raises(ValueError, match="warm_start=True continues a fit whose"):
        moe.set_params(n_experts=3).fit(X, Y)


@pytest.mark.parametrize("dispersion", ["per_expert", "shared"])
def test_the_bound_does_not_depend_on_the_units_of_y(dispersion):
    # Deeper trees depend on the units: nodes of an impurity below 1e-16 are not split.
    tree = DecisionTreeRegressor(min_samples_leaf=10, random_state=0)
    moe = MixtureOfExpertsRegressor(2, expert=tree, dispersion=dispersion, random_state=0)
    moe.set_params(dispersion_prior=100.0, n_init=1).fit(X, Y)
    small = clone(moe).fit(X, Y / 1024)
    assert small.lower_bound_ - np.log(1024) == pytest.approx(moe.lower_bound_)
    assert_allclose(small.noise_variance_ * 1024**2, moe.noise_variance_)


def test_mixtures_in_pipelines_keep_their_density_and_have_no_noise_of_their_own():
    inner = MixtureOfExpertsRegressor(2, n_init=1)
    experts = [inner, make_pipeline(StandardScaler(), inner), "linear"]
    moe = MixtureOfExpertsRegressor(3, expert=experts, n_init=1, max_iter=3, random_state=0)
    quiet(moe, X, Y)
    assert_array_equal(np.isnan(moe.noise_variance_), [True, True, False])
    logs = np.column_stack(
        [
            np.logaddexp.reduce([model.score_samples(X, Y) for model in moe.experts_[0]], axis=0),
            np.logaddexp.reduce(
                [model[-1].score_samples(model[:-1].transform(X), Y) for model in moe.experts_[1]],
                axis=0,
            ),
        ]
    ) - np.log(5)
    noise = np.sqrt(moe.noise_variance_[2])
    normal = norm.logpdf(Y, moe.predict_experts(X)[:, 2], noise)
    joint = np.log(moe.predict_gate(X)) + np.column_stack([logs, normal])
    assert_allclose(moe.score_samples(X, Y), np.logaddexp.reduce(joint, axis=1))


def test_gates_of_nested_classifiers_multiply_to_the_whole():
    tree = MixtureOfExpertsClassifier(
        2, expert=MixtureOfExpertsClassifier(2, n_init=1, max_iter=5), n_init=1, cross_fit=False
    )
    tree.set_params(max_iter=4, random_state=0)
    quiet(tree, CLASS_X, CLASSES)
    outer = tree.predict_gate(CLASS_X)
    whole = sum(
        (outer[:, [k]] * model.predict_gate(CLASS_X))[..., None] * model.predict_experts(CLASS_X)
        for k, (model,) in enumerate(tree.experts_)
    )
    assert_allclose(whole.sum(axis=1), tree.predict_proba(CLASS_X))


def test_several_outputs():
    both = np.column_stack([Y, 2 * Y + X[:, 0]])
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0).fit(X, both)
    assert moe.predict(X).shape == (len(Y), 2)
    assert moe.noise_variance_.shape == (2, 2)
    assert np.diff(moe.lower_bounds_).min() > -1e-10


def test_large_tables_start_on_a_sample(monkeypatch):
    moe = MixtureOfExpertsRegressor(2, expert=DecisionTreeRegressor(min_samples_leaf=10))
    whole = clone(moe).set_params(random_state=0).fit(X, Y)
    monkeypatch.setattr("skmoe._estimators.init_rows.MAX_INIT_ROWS", 150)
    sampled = clone(moe).set_params(random_state=0).fit(X, Y)
    assert sampled.score(X, Y) > whole.score(X, Y) - 0.1


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expert", "message"),
    [
        ("r", KNeighborsRegressor(), "must accept sample_weight in fit"),
        ("r", make_pipeline(StandardScaler(), KNeighborsRegressor()), "must accept sample_weight"),
        ("c", LinearSVC(), "must have predict_proba"),
        ("r", DecisionTreeClassifier(), "expert must be a regressor, as the mixture is"),
        ("c", Ridge(), "expert must be a classifier, as the mixture is"),
        ("r", ["tree", LogisticRegression()], r"expert\[1\] must be a regressor"),
        ("r", ["tree", "forest"], r"expert\[1\] must be one of \['linear', 'tree'\]"),
        ("r", DecisionTreeRegressor, "must be an instance; got the class DecisionTreeRegressor"),
        ("r", StandardScaler(), "a scikit-learn estimator or a list"),
    ],
)
def test_bad_experts(make, expert, message):
    makers = {"r": MixtureOfExpertsRegressor, "c": MixtureOfExpertsClassifier}
    with pytest.raises(ValueError, match=message):
        makers[make](2, expert=expert).fit(X, Y if make == "r" else Y > 0)


def test_too_many_folds():
    with pytest.raises(ValueError, match="cross_fit=11 must not exceed the number of rows, 10"):
        MixtureOfExpertsRegressor(2, expert="tree", cross_fit=11).fit(X[:10], Y[:10])
    y = np.r_[np.zeros(20), np.ones(3)]
    with pytest.raises(ValueError, match=r"rows of the smallest class, 3. Use at most 3 folds"):
        MixtureOfExpertsClassifier(2, expert="tree", cross_fit=4).fit(X[:23], y)
    moe = MixtureOfExpertsRegressor(2, expert="tree", cross_fit=4)
    with pytest.raises(ValueError, match="cross_fit=4 must not exceed the number of groups, 3"):
        moe.fit(X, Y, groups=np.arange(len(Y)) % 3)
    with pytest.raises(
        ValueError, match=r'cross_fit="auto" needs rows .* at least 2 groups; got 1'
    ):
        moe.set_params(cross_fit="auto").fit(X, Y, groups=np.zeros(len(Y)))


def test_a_class_of_one_row_leaves_no_number_of_folds():
    X, y = np.arange(20.0)[:, None], np.repeat(["a", "b", "c"], [1, 9, 10])
    moe = MixtureOfExpertsClassifier(2, expert=DecisionTreeClassifier(), cross_fit=2)
    with pytest.raises(ValueError, match=r"class, 1\. Use cross_fit=\"auto\"\.$"):
        moe.fit(X, y)
    with pytest.raises(ValueError, match=r"class, 2\. Use at most 2 folds, or cross_fit"):
        moe.set_params(cross_fit=3).fit(np.vstack([X, [[20.0]]]), np.append(y, "a"))


@pytest.mark.parametrize(("task", "value"), [("regressor", np.nan), ("classifier", np.inf)])
def test_a_base_without_finite_predictions_is_named(task, value):
    class Broken(DecisionTreeClassifier if task == "classifier" else DecisionTreeRegressor):
        def predict(self, X):
            return np.full(len(X), value)

        def predict_proba(self, X):
            return np.full((len(X), 2), value)

    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = X[:, 0] > 0 if task == "classifier" else X[:, 0]
    with pytest.raises(ValueError, match="base must predict finite values"):
        kind(2, base=Broken()).fit(X, y)


def test_remedies_for_zeros_are_possible_with_estimators():
    X = np.random.default_rng(0).normal(size=(40, 2))
    moe = MixtureOfExpertsRegressor(2, expert="tree", family="gamma")
    with pytest.raises(ValueError, match=r'row 0 holds 0\. .* such as family="normal"'):
        moe.fit(X, np.arange(40.0))
    with pytest.raises(ValueError, match=r'row 0 holds 0\. .* such as family=."zero", "gamma"'):
        moe.set_params(expert="linear").fit(X, np.arange(40.0))


class Brittle(DecisionTreeRegressor):
    """A tree that breaks at its third fit."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        Brittle.fits += 1
        if Brittle.fits == 3:
            raise RuntimeError("broken")
        return super().fit(X, y, sample_weight)


def test_an_expert_that_breaks_is_named_with_its_fold():
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0).fit(X, Y)
    before = moe.predict(X)
    Brittle.fits = 0
    with pytest.raises(RuntimeError, match="broken") as caught:
        moe.set_params(expert=Brittle()).fit(X, Y)
    assert caught.value.__notes__ == ["This was expert 0, Brittle(), without fold 2."]
    moe.set_params(expert="tree")
    assert_array_equal(moe.predict(X), before)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_note_says_how_the_rows_were_chosen(n_jobs):
    moe = MixtureOfExpertsRegressor(2, expert=[Ridge(), HistGradientBoostingRegressor()])
    moe.set_params(cross_fit=False, n_jobs=n_jobs)
    with pytest.raises(ValueError, match="1d array") as caught:
        moe.fit(X, np.column_stack([Y, Y]))
    note = "This was expert 1, HistGradientBoostingRegressor(), fitted on all rows."
    assert caught.value.__notes__ == [note]


class Answering(DecisionTreeRegressor):
    """A tree that answers out of turn."""

    def __init__(self, answer=None):
        super().__init__()
        self.answer = answer

    def predict(self, X):
        return self.answer(X)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda X: np.full(len(X), np.nan), "must predict finite values; it predicted NaN"),
        (lambda X: np.zeros(3), r"1 value\(s\) for each of 80 rows; its answer has shape \(3, 1\)"),
        (lambda X: np.zeros((len(X), 2)), r"its answer has shape \(80, 2\)"),
        (lambda X: X[:, 99], "out of bounds"),
    ],
)
def test_wrong_answers_are_refused(answer, message):
    moe = MixtureOfExpertsRegressor(2, expert=Answering(answer), random_state=0)
    with pytest.raises((ValueError, IndexError), match=message) as caught:
        moe.fit(X, Y)
    assert "This was expert 0, Answering(" in caught.value.__notes__[0]
    assert not hasattr(moe, "experts_")


def test_an_interrupted_fit_leaves_the_last_one():
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, random_state=0).fit(X, Y)
    before = vars(moe).copy()

    def interrupt(features):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moe.set_params(expert=Answering(interrupt)).fit(np.column_stack([X, X]), Y)
    moe.set_params(expert="tree")
    assert vars(moe) == before


# --- routing and load -------------------------------------------------------------------------


@pytest.mark.parametrize("expert", ["linear", "tree"])
@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_top_k_sends_each_row_to_few_experts(expert, task):
    features, y = load_diabetes(return_X_y=True)
    if task == "classifier":
        features, y = load_iris(return_X_y=True)
    make = MixtureOfExpertsRegressor if task == "regressor" else MixtureOfExpertsClassifier
    moe = make(4, expert=expert, top_k=2, n_init=1, cross_fit=2, max_iter=6, random_state=0)
    quiet(moe, features, y)
    assert np.diff(moe.lower_bounds_, prepend=moe.lower_bounds_[0]).min() > -1e-10
    gate = moe.predict_gate(features)
    assert ((gate > 0).sum(axis=1) == 2).all()
    assert_allclose(gate.sum(axis=1), 1.0)
    mean = np.einsum("nk,nk...->n...", gate, moe.predict_experts(features))
    assert_allclose(
        moe.predict(features) if task == "regressor" else moe.predict_proba(features), mean
    )
    assert ((moe.responsibilities(features, y) > 0).sum(axis=1) <= 2).all()
    assert_array_equal(moe.load_, (gate > 0).sum(axis=0))
    assert_allclose(moe.weights_, gate.mean(axis=0))
    one = quiet(clone(moe).set_params(top_k=1), features, y)
    assert_array_equal(one.predict_gate(features).max(axis=1), 1.0)
    dense = quiet(clone(moe).set_params(top_k=4), features, y)
    plain = quiet(clone(moe).set_params(top_k=None), features, y)
    assert_allclose(dense.predict_gate(features), plain.predict_gate(features), atol=1e-6)


class Counting(DecisionTreeRegressor):
    """A tree that counts the rows it is asked about."""

    asked = 0

    def predict(self, X):
        Counting.asked += len(X)
        return super().predict(X)


def test_routed_prediction_asks_experts_about_their_own_rows_only():
    moe = MixtureOfExpertsRegressor(
        8, expert=Counting(), top_k=2, n_init=1, max_iter=2, random_state=0
    )
    quiet(moe, X, Y)
    Counting.asked = 0
    moe.predict(X)
    assert Counting.asked == 2 * 5 * len(Y)  # five models of each of two experts
    Counting.asked = 0
    moe.set_params(top_k=2).predict_experts(X)
    assert Counting.asked == 8 * 5 * len(Y)


def starving():
    """A regime of few rows beside two of many."""
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(600, 2))
    y = np.where(features[:, 0] > 0, 3 * features[:, 1], -3 * features[:, 1])
    return features, y + 0.5 * rng.normal(size=600)


def test_balance_brings_a_starved_expert_back_and_costs_likelihood():
    features, y = starving()
    plain = quiet(MixtureOfExpertsRegressor(3, random_state=0), features, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = MixtureOfExpertsRegressor(3, balance=0.5, random_state=0).fit(features, y)
    assert plain.weights_.min() < 0.02
    assert even.weights_.min() > 0.1
    assert np.diff(even.lower_bounds_).min() > -1e-10
    likelihood = [moe.score_samples(features, y).sum() for moe in (plain, even)]
    assert likelihood[1] < likelihood[0] + 5


def test_balanced_gates_are_those_of_pseudo_rows():
    """The objective is the likelihood with uniform pseudo-targets for each row."""
    features, y = two_regimes()
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, balance=0.3, **fixed).fit(features, y)
    setup = em_problem(moe, features, y)
    log_gate, joint = log_joint(setup.model, moe._fitted.params, setup.rows)
    value = np.logaddexp(*joint).sum() + 0.3 * log_gate.mean(axis=0).sum()
    parts, params = setup.model, moe._fitted.params
    value -= parts.gate.penalty(params.gate) + parts.experts.penalty(params.experts)
    assert moe.lower_bound_ == pytest.approx(value / len(y) - np.log(y.std()), abs=1e-9)


def test_dead_experts_are_seeded_anew_where_rows_are_worst_explained(monkeypatch):
    features, y = crossing_lines()
    y = np.where(features[:, 0] < -1.6, -20.0 - features[:, 0], y)
    # Experts 0 and 1 explain most rows well; 2 has none, and a constant gate gives it none.
    init = np.column_stack([features[:, 0] > 0, features[:, 0] <= 0, np.zeros(len(y))])
    moe = MixtureOfExpertsRegressor(
        3, gate="constant", init=init.astype(float), alpha=1e-3, dispersion_prior=1.0
    )
    moe.fit(features, y)
    assert moe.weights_.min() > 0.08
    order = np.argsort(moe.expert_intercept_)  # first that of the rows which both explained worst
    assert_allclose(moe.expert_intercept_[order], [-20.0, 1.0, 1.0], atol=0.2)
    assert_allclose(np.sort(moe.expert_coef_[order[1:], 0]), [-1.0, 2.0], atol=0.2)
    assert np.diff(moe.lower_bounds_).min() > -1e-10
    monkeypatch.setattr("skmoe._mixture.runs.MAX_REINITIALIZATIONS", 0)
    assert quiet(clone(moe), features, y).weights_[2] < 1e-6


def test_the_family_of_the_documentation(monkeypatch):
    monkeypatch.setitem(EXPERTS, "waiting_time", None)  # so that the row of the example goes again
    path = Path(__file__).parents[1] / "examples" / "waiting_time_expert.py"
    example = runpy.run_path(str(path))
    family = example["WaitingTimeExperts"]
    monkeypatch.setitem(EXPERTS, "waiting_time", {"regressor": family})
    rng = np.random.default_rng(0)
    features = rng.uniform(-1, 1, size=(2000, 2))
    log_mean = np.where(features[:, 0] < 0, 1 + 1.5 * features[:, 1], 4 - features[:, 1])
    y = rng.exponential(np.exp(log_mean))
    fixed = {"alpha": 0.1, "gate_alpha": 1.0, "random_state": 0}
    moe = MixtureOfExpertsRegressor(2, expert="waiting_time", **fixed).fit(features, y)
    assert_allclose(np.sort(moe.expert_coef_[:, 1]), [-1.0, 1.5], atol=0.15)
    assert np.diff(moe.lower_bounds_).min() > -1e-10
    logs = expon.logpdf(y[:, None], scale=moe.predict_experts(features))
    expected = np.log((moe.predict_gate(features) * np.exp(logs)).sum(axis=1))
    assert_allclose(moe.score_samples(features, y), expected)
    # The unit of time adds a constant to the intercepts.
    in_ms = MixtureOfExpertsRegressor(2, expert=family(alpha=0.1), random_state=0)
    in_ms.fit(features, 1000 * y)
    assert_allclose(in_ms.expert_coef_, moe.expert_coef_, atol=1e-6)
    assert_allclose(in_ms.expert_intercept_, moe.expert_intercept_ + np.log(1000), atol=1e-6)
    both = np.column_stack([y, y[::-1]])
    assert clone(in_ms).fit(features, both).expert_coef_.shape == (2, 2, 2)
    with pytest.raises(ValueError, match=r"positive numbers .* row 0 holds 0"):
        clone(in_ms).fit(features, y - y[0])
    with pytest.raises(ValueError, match="WaitingTimeExperts has no method components"):
        moe.predict_interval(features)


def test_the_gate_of_the_documentation(monkeypatch):
    monkeypatch.setitem(GATES, "dirichlet", None)
    path = Path(__file__).parents[1] / "examples" / "dirichlet_gate.py"
    gate = runpy.run_path(str(path))["DirichletGate"]
    monkeypatch.setitem(GATES, "dirichlet", gate)
    features, y = crossing_lines()
    weak, strong = (
        MixtureOfExpertsRegressor(2, gate="dirichlet", gate_alpha=alpha, random_state=0)
        for alpha in (1e-6, 1e6)
    )
    constant = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(features, y)
    # The gate does not tell how its experts are reordered.
    assert_allclose(np.sort(weak.fit(features, y).weights_), constant.weights_[::-1], atol=1e-3)
    assert_allclose(strong.fit(features, y).weights_, 0.5, atol=1e-3)
    assert np.diff(weak.lower_bounds_).min() > -1e-10
    with pytest.raises(ValueError, match=r"DirichletGate has no methods? score_rows"):
        weak.inference(features, y)


def refitted_at(moe, weights):
    """Whether experts get other models in M-steps with given first responsibilities in turn."""
    setup = em_problem(moe, X, Y)
    experts, table, y = setup.model.experts, setup.rows.expert_design, setup.rows.y
    params, fitted = experts.init_params(2, 3), []
    for weight in weights:
        resp = np.stack([weight, 1.0 - weight])
        fits = Noise.fits
        params = experts.m_step(experts.statistics(params, table, y, resp), None, params, 1.0)
        fitted.append(Noise.fits > fits)
    return fitted


@pytest.mark.parametrize(
    ("cross_fit", "expected"), [(3, [True, False, True]), (False, [True, True, True])]
)
def test_cross_fitted_experts_wait_for_the_gate_before_a_refit(cross_fit, expected):
    """Responsibilities that do not change any more have settled; in sample nothing waits."""
    moe = MixtureOfExpertsRegressor(2, expert=Noise(), cross_fit=cross_fit, random_state=0)
    before, after = np.full(len(Y), 0.5), np.where(np.arange(len(Y)) % 2, 0.9, 0.1)
    last = after if cross_fit else before
    assert refitted_at(moe, [before, after, last]) == expected


def test_trees_are_those_of_validated_fits(monkeypatch):
    """Skipping the validation of features and joblib changes no bit."""
    moe = MixtureOfExpertsRegressor(2, expert="tree", n_init=1, max_iter=3, random_state=0)
    fast = quiet(clone(moe), X, Y).predict(X)
    monkeypatch.setattr("skmoe.experts._cross_fitted.validate_for_trees", lambda _, rows: rows)
    assert_array_equal(quiet(clone(moe), X, Y).predict(X), fast)
