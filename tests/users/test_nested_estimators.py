"""Estimators inside of estimators as experts: weights, missing values and sparse matrices."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.compose import make_column_transformer as by_columns
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.fixes import parse_version

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingClassifier, RecordingRegressor
from support.refusals import assert_fit_refused
from support.stacks import stack_of

N = 60
X = np.column_stack([np.arange(float(N)), np.random.default_rng(0).normal(size=(N, 2))])
Y = X[:, 1] + 0.3 * np.random.default_rng(1).normal(size=N)
CLASSES = (Y > 0.0).astype(int)
WEIGHT = np.random.default_rng(2).uniform(0.5, 2.0, size=N)
BOOSTED = HistGradientBoostingRegressor(max_iter=2, max_bins=8, min_samples_leaf=5)
# Before this version bagging passes weights on; since then it draws rows by them.
BAGGING_DRAWS = parse_version(sklearn.__version__) >= parse_version("1.8")


def mixture(expert, is_classifier=False, **options):
    """A mixture of an expert and a simple one."""
    kind = MixtureOfExpertsClassifier if is_classifier else MixtureOfExpertsRegressor
    given = {"n_init": 1, "max_iter": 1, "cross_fit": 2, "gate_alpha": 1.0, "random_state": 0}
    return kind(2, expert=[expert, "tree"], **given | options)


def stack(model, is_classifier=False):
    """A stack of a model and a simple one."""
    kind = GatedStackingClassifier if is_classifier else GatedStackingRegressor
    options = {"max_iter": 1, "cv": 2, "gate_alpha": 1.0, "random_state": 0}
    return stack_of(model, "tree", kind=kind, **options)


# --- weights ----------------------------------------------------------------------------------

# Estimators with one inside, by name. A search scores rows without weights.
SEARCHES = {
    "grid": lambda inner: GridSearchCV(inner, {}, cv=2),
    "random": lambda inner: RandomizedSearchCV(inner, {}, n_iter=1, cv=2),
    "halving": lambda inner: HalvingGridSearchCV(inner, {}, cv=2),
}
REGRESSORS = SEARCHES | {
    "target": lambda inner: TransformedTargetRegressor(inner),
    "voting": lambda inner: VotingRegressor([("a", inner), ("b", "drop"), ("c", Ridge())]),
    "stacking": lambda inner: StackingRegressor([("a", inner)], cv=2),
    "final": lambda inner: StackingRegressor([("a", Ridge())], inner, cv=2, passthrough=True),
    "bagging": lambda inner: BaggingRegressor(inner, n_estimators=2),
    "boosting": lambda inner: AdaBoostRegressor(inner, n_estimators=2),
    "consensus": lambda inner: RANSACRegressor(
        inner, min_samples=0.5, max_trials=2, random_state=0
    ),
    "features": lambda inner: RFE(inner, n_features_to_select=3),
    "outputs": lambda inner: MultiOutputRegressor(inner),
    "chain": lambda inner: RegressorChain(inner),
}
CLASSIFIERS = {
    "grid": SEARCHES["grid"],
    "voting": lambda inner: VotingClassifier([("a", inner)], voting="soft"),
    "stacking": lambda inner: StackingClassifier([("a", inner)], cv=2),
    "bagging": lambda inner: BaggingClassifier(inner, n_estimators=2),
    "boosting": lambda inner: AdaBoostClassifier(inner, n_estimators=1),
    "calibrated": lambda inner: CalibratedClassifierCV(inner, cv=2),
}
# With a pipeline inside, only those that pass the arguments of fit on.
THROUGH_PIPELINES = {*SEARCHES, "target", "features", "chain"}


class Unweighted(RecordingRegressor):
    def fit(self, X, y):
        return super().fit(X, y)


class UnweightedClassifier(RecordingClassifier):
    def fit(self, X, y):
        return super().fit(X, y)


def draws_rows(is_classifier, name):
    return (name == "bagging" and BAGGING_DRAWS) or (name == "boosting" and not is_classifier)


def assert_weighted(log, is_classifier, name, weight=None):
    """Each fit has been given weights, those of its rows or responsibilities, or rows drawn."""
    assert log.fits()
    for entry in log.fits():
        numbers, found = entry["X"][:, int(name == "final")].astype(int), entry.get("weight")
        if draws_rows(is_classifier, name):
            counts = np.bincount(numbers, np.ones(len(numbers)) if found is None else found)
            assert (counts.astype(int) == counts).all()
            assert counts.max() > 1.0
        elif weight is None or name == "boosting":  # boosting divides by their sum
            assert (found != 1.0).any()
        else:
            copies = found / weight[numbers]  # of bagging that passes weights on
            assert_allclose(copies, np.round(copies) if name == "bagging" else 1.0)


@pytest.mark.parametrize("inner", ["weighted", "pipeline", "unweighted"])
@pytest.mark.parametrize(
    ("is_classifier", "name"),
    [(False, name) for name in REGRESSORS] + [(True, name) for name in CLASSIFIERS],
)
def test_weights_reach_the_inner_estimator_or_are_refused(is_classifier, name, inner):
    """Those of the rows in a stack, and responsibilities of a mixture."""
    log = Log()
    kinds = (RecordingRegressor, Unweighted), (RecordingClassifier, UnweightedClassifier)
    model = kinds[is_classifier][inner == "unweighted"](log)
    model = make_pipeline("passthrough", model) if inner == "pipeline" else model
    outer = (CLASSIFIERS if is_classifier else REGRESSORS)[name](model)
    outer = make_pipeline("passthrough", outer)
    target = CLASSES if is_classifier else Y
    target = np.column_stack([Y, -Y]) if name in ("outputs", "chain") else target
    reaches = inner == "weighted" or (inner == "pipeline" and name in THROUGH_PIPELINES)
    reaches = reaches or draws_rows(is_classifier, name)
    given = {"sample_weight": WEIGHT}
    if reaches:
        fit_quietly(stack(outer, is_classifier), X, target, **given)
        assert_weighted(log, is_classifier, name, WEIGHT)
    else:
        words = "estimators[0]", "takes no sample_weight"
        assert_fit_refused(stack(outer, is_classifier), (X, target), *words, **given)
        assert not log
    log.clear()
    moe = mixture(outer, is_classifier)
    if reaches and name not in SEARCHES:
        fit_quietly(moe, X, target)
        assert_weighted(log, is_classifier, name)
    else:
        assert_fit_refused(moe, (X, target), "expert[0]", "sample_weight", "fit")
        assert not log


REFUSED = {
    KNeighborsRegressor(): "must accept sample_weight",
    RFECV(Ridge()): "must accept sample_weight",
    StackingRegressor([("a", Ridge())], KNeighborsRegressor()): "must accept sample_weight",
    MultiOutputRegressor(GridSearchCV(Ridge(), {})): "must accept sample_weight",
    OneVsRestClassifier(LogisticRegression()): "must accept sample_weight",
    TunedThresholdClassifierCV(LogisticRegression()): "must accept sample_weight",
    SelfTrainingClassifier(LogisticRegression()): "must accept sample_weight",
    CalibratedClassifierCV(KNeighborsClassifier()): "must accept sample_weight",
    GridSearchCV(Ridge(), {}): "Search over the mixture",
    VotingRegressor([("a", GridSearchCV(Ridge(), {}))]): "Search over the mixture",
}
OF_ALL_ROWS = BaggingRegressor(Ridge(), n_estimators=2, bootstrap=False)
if BAGGING_DRAWS:
    REFUSED[OF_ALL_ROWS] = "must accept sample_weight"


@pytest.mark.parametrize("estimator", REFUSED, ids=lambda estimator: type(estimator).__name__)
def test_estimators_whose_inner_ones_take_no_weights_are_refused(estimator):
    is_classifier = sklearn.base.is_classifier(estimator)
    moe, y = mixture(estimator, is_classifier), CLASSES if is_classifier else Y
    assert_fit_refused(moe, (X, y), "expert[0]", REFUSED[estimator])


def test_frozen_estimators_need_no_weights_and_searches_choose_experts():
    frozen = FrozenEstimator(KNeighborsClassifier().fit(X, CLASSES))
    moe = fit_quietly(mixture(CalibratedClassifierCV(frozen), True), X, CLASSES)
    assert np.isfinite(moe.predict_proba(X)).all()
    grid = {"expert": [["tree", Ridge(1.0)], ["tree", Ridge(9.0)]]}
    search = fit_quietly(GridSearchCV(mixture("tree"), grid, cv=2), X, Y)
    assert search.best_params_["expert"][0] == "tree"


@pytest.mark.parametrize(("make", "routing"), [(mixture, True), (stack, False)])
def test_weight_two_equals_two_rows_inside_of_ensembles(make, routing):
    tree = DecisionTreeRegressor(max_depth=2, random_state=0)
    target = TransformedTargetRegressor(tree, func=np.cbrt, inverse_func=lambda y: y**3)
    expert = VotingRegressor([("tree", target), ("line", LinearRegression())])
    expert = TransformedTargetRegressor(make_pipeline("passthrough", expert))
    weight = np.random.default_rng(1).integers(1, 3, size=N)
    rows, features = np.arange(N).repeat(weight), X[:, 1:]
    with config_context(enable_metadata_routing=routing):
        weighted = fit_quietly(make(expert), features, Y, sample_weight=weight)
        twice = fit_quietly(make(expert), features[rows], Y[rows])
    assert_allclose(weighted.predict(features), twice.predict(features), rtol=1e-6, atol=1e-8)


def test_bagging_fits_rows_in_proportion_to_their_weights():
    log, weight = Log(), np.where(np.arange(N) % 2, 50.0, 0.5)
    fit_quietly(stack(BaggingRegressor(RecordingRegressor(log))), X, Y, sample_weight=weight)
    for entry in log.fits():
        is_heavy = entry["X"][:, 0] % 2 == 1
        assert np.average(is_heavy, weights=entry.get("weight")) > 0.8


@pytest.mark.parametrize("outer", [lambda inner: inner, SEARCHES["grid"], REGRESSORS["target"]])
@pytest.mark.parametrize("routing", [False, True])
def test_metadata_and_weights_reach_the_same_inner_estimator(outer, routing):
    log, cost = Log(), 10.0 + np.arange(N)
    with config_context(enable_metadata_routing=routing):
        inner = RecordingRegressor(log)
        if routing:
            inner.set_fit_request(cost=True, sample_weight=True)
            inner.set_score_request(sample_weight=True)
        fit_quietly(stack(outer(inner)), X, Y, sample_weight=WEIGHT, cost=cost)
    assert_weighted(log, False, "inner", WEIGHT)
    for entry in log.fits():
        assert_allclose(entry["cost"], 10.0 + entry["X"][:, 0])


# --- missing values and sparse matrices -------------------------------------------------------

WITH_MISSING = np.where(np.random.default_rng(3).uniform(size=X.shape) < 0.1, np.nan, X)
FRAME = pd.DataFrame(WITH_MISSING, columns=["a", "b", "c"])
SPARSE = sparse.csr_matrix(np.where(X > 0.3, X, 0.0))
IMPUTER = make_pipeline(SimpleImputer(), StandardScaler())
IMPUTED = make_pipeline(SimpleImputer(), Ridge())
SMALL = MixtureOfExpertsRegressor(2, n_init=1, max_iter=1, random_state=0)
SPLIT = by_columns((SimpleImputer(), [0, 1]), (IMPUTER, [2]))
KEPT = by_columns((SimpleImputer(), [0]), remainder="passthrough")
DENSE = FunctionTransformer(lambda X: X.toarray(), accept_sparse=True)

# What reaches the estimators inside, and the words of the one that refuses it.
INPUTS = [
    (mixture(IMPUTED), WITH_MISSING, ""),
    (stack(VotingRegressor([("a", BOOSTED), ("b", IMPUTED)])), FRAME, ""),
    (stack(make_pipeline(SPLIT, Ridge())), FRAME, ""),
    (stack(make_pipeline(SimpleImputer(), SMALL)), WITH_MISSING, ""),
    (mixture(make_pipeline(KEPT, Ridge())), FRAME, "does not accept missing values"),
    (stack(GridSearchCV(Ridge(), {})), FRAME, "does not accept missing values"),
    (stack(VotingRegressor([("a", Ridge())])), FRAME, "does not accept missing values"),
    (stack(Ridge()), SPARSE, ""),
    (stack(make_pipeline(DENSE, BOOSTED)), SPARSE, ""),
    (stack(StackingRegressor([("a", Ridge())], BOOSTED, cv=2)), SPARSE, ""),
    (stack(BOOSTED), SPARSE, "dense data is required"),
    (stack(make_pipeline(StandardScaler(), Ridge())), SPARSE, "with_mean"),
    (stack(BaggingRegressor(BOOSTED)), SPARSE, "dense data is required"),
]


@pytest.mark.parametrize(("moe", "rows", "words"), INPUTS)
def test_rows_are_accepted_or_refused_by_the_estimator_that_they_reach(moe, rows, words):
    assert rows is SPARSE or moe.__sklearn_tags__().input_tags.allow_nan
    if not words:
        assert np.isfinite(fit_quietly(moe, rows, Y).predict(rows)).all()
        return
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        moe.fit(rows, Y)
    assert "This was expert 0" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", ["base", "expert"])
def test_sparse_matrices_are_refused_with_the_remedy(name):
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **{name: BOOSTED})
    with pytest.raises((ValueError, TypeError), match="toarray"):
        moe.fit(SPARSE, Y)
