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
from sklearn.preprocessing import (
    FunctionTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.fixes import parse_version

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingClassifier, RecordingRegressor
from support.refusals import assert_fit_refused, assert_refused, refusal
from support.stacks import stack_of

N = 60
X = np.column_stack([np.arange(float(N)), np.random.default_rng(0).normal(size=(N, 2))])
Y = X[:, 1] + 0.3 * np.random.default_rng(1).normal(size=N)
WEIGHT = np.random.default_rng(2).uniform(0.5, 2.0, size=N)
BOOSTED = HistGradientBoostingRegressor(max_iter=2, max_bins=8, min_samples_leaf=5)
# Before this version bagging passes weights on; since then it draws rows by them.
BAGGING_DRAWS = parse_version(sklearn.__version__) >= parse_version("1.8")


def mixture(expert, is_classifier=False, **options):
    """A mixture of an expert and a simple one."""
    kind = MixtureOfExpertsClassifier if is_classifier else MixtureOfExpertsRegressor
    given = {"n_init": 1, "max_iter": 1, "cross_fit": 2, "gate_alpha": 1.0, "random_state": 0}
    return kind(2, expert=[expert, "tree"], **given | options)


def stack(model, is_classifier=False, **options):
    """A stack of a model and a simple one."""
    kind = GatedStackingClassifier if is_classifier else GatedStackingRegressor
    given = {"max_iter": 1, "cv": 2, "gate_alpha": 1.0, "random_state": 0}
    return stack_of(model, "tree", kind=kind, **given | options)


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
NESTED = [(False, name) for name in REGRESSORS] + [(True, name) for name in CLASSIFIERS]
# With a pipeline inside, only those that pass the arguments of fit on.
THROUGH_PIPELINES = {*SEARCHES, "target", "features", "chain"}


class Unweighted(RecordingRegressor):
    def fit(self, X, y):
        return super().fit(X, y)


class UnweightedClassifier(RecordingClassifier):
    def fit(self, X, y):
        return super().fit(X, y)


def nested(is_classifier, name, in_pipeline=False, is_weighted=True):
    """A meta-estimator with a recorder inside, its target and the log."""
    log = Log()
    kinds = (RecordingRegressor, Unweighted), (RecordingClassifier, UnweightedClassifier)
    inner = kinds[is_classifier][not is_weighted](log)
    inner = make_pipeline("passthrough", inner) if in_pipeline else inner
    target = (Y > 0.0).astype(int) if is_classifier else Y
    target = np.column_stack([Y, -Y]) if name in ("outputs", "chain") else target
    outer = (CLASSIFIERS if is_classifier else REGRESSORS)[name](inner)
    return make_pipeline("passthrough", outer), target, log


def reaches(name, in_pipeline=False, is_weighted=True):
    """Whether weights reach the recorder."""
    if name == "bagging" and BAGGING_DRAWS:
        return True
    return is_weighted and (not in_pipeline or name in THROUGH_PIPELINES)


def assert_weighted(log, name, weight=None):
    """Each fit has been given weights: those of its rows, or responsibilities."""
    assert log.fits()
    for entry in log.fits():
        numbers = entry["X"][:, int(name == "final")].astype(int)
        if name == "bagging" and BAGGING_DRAWS:
            counts = entry.get("weight", np.ones(len(numbers)))
            drawn = np.bincount(numbers, counts, minlength=N)
            assert (drawn.astype(int) == drawn).all()
            assert drawn.max() > 1.0
            continue
        found = entry["weight"]
        if weight is None or name == "boosting":  # boosting divides by their sum
            assert (found != 1.0).any()
        elif name == "bagging":  # weights times numbers of copies
            copies = found / weight[numbers]
            assert_allclose(copies, np.round(copies))
        else:
            assert_allclose(found, weight[numbers])


@pytest.mark.parametrize("in_pipeline", [False, True], ids=["alone", "pipeline"])
@pytest.mark.parametrize(("is_classifier", "name"), NESTED)
def test_weights_reach_the_inner_estimator_or_are_refused(is_classifier, name, in_pipeline):
    model, target, log = nested(is_classifier, name, in_pipeline)
    moe = stack(model, is_classifier)
    if reaches(name, in_pipeline):
        fit_quietly(moe, X, target, sample_weight=WEIGHT)
        assert_weighted(log, name, WEIGHT)
    else:
        message = refusal(moe.fit, X, target, sample_weight=WEIGHT)
        assert_refused(message, "estimators[0]", "takes no sample_weight")
        assert not log


@pytest.mark.parametrize(
    ("is_classifier", "name", "in_pipeline"),
    [
        *((*case, False) for case in NESTED),
        (False, "target", True),
        (False, "voting", True),
        (True, "calibrated", True),
    ],
)
def test_responsibilities_reach_the_inner_estimator_or_are_refused(
    is_classifier, name, in_pipeline
):
    expert, target, log = nested(is_classifier, name, in_pipeline)
    moe = mixture(expert, is_classifier)
    if name in SEARCHES or not reaches(name, in_pipeline):
        assert_fit_refused(moe, (X, target), "expert[0]", "sample_weight", "fit")
        assert not log
    else:
        fit_quietly(moe, X, target)
        assert_weighted(log, name)


@pytest.mark.parametrize(("is_classifier", "name"), NESTED)
def test_inner_estimators_without_weights_are_refused_before_any_fit(is_classifier, name):
    if reaches(name, is_weighted=False):
        return
    expert, target, log = nested(is_classifier, name, is_weighted=False)
    for make, name in ((mixture, "expert[0]"), (stack, "estimators[0]")):
        moe = make(expert, is_classifier)
        message = refusal(moe.fit, X, target, sample_weight=WEIGHT)
        assert_refused(message, name, "sample_weight")
        assert not log


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsRegressor(),
        RFECV(Ridge()),
        StackingRegressor([("a", Ridge())], KNeighborsRegressor()),
        MultiOutputRegressor(GridSearchCV(Ridge(), {})),
        OneVsRestClassifier(LogisticRegression()),
        TunedThresholdClassifierCV(LogisticRegression()),
        SelfTrainingClassifier(LogisticRegression()),
        CalibratedClassifierCV(KNeighborsClassifier()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_whose_inner_ones_take_no_weights_are_refused(estimator):
    is_classifier = sklearn.base.is_classifier(estimator)
    y = (Y > 0.0).astype(int) if is_classifier else Y
    moe = mixture(estimator, is_classifier)
    assert_fit_refused(moe, (X, y), "expert[0]", "must accept sample_weight")


def test_bagging_of_all_rows_takes_no_weights_where_it_draws_by_them():
    moe = mixture(BaggingRegressor(Ridge(), n_estimators=2, bootstrap=False))
    if BAGGING_DRAWS:
        assert_fit_refused(moe, (X, Y), "expert[0]", "must accept sample_weight")
    else:
        assert np.isfinite(fit_quietly(moe, X, Y).predict(X)).all()


def test_frozen_estimators_need_no_weights():
    frozen = FrozenEstimator(KNeighborsClassifier().fit(X, Y > 0.0))
    moe = fit_quietly(mixture(CalibratedClassifierCV(frozen), True), X, Y > 0.0)
    assert np.isfinite(moe.predict_proba(X)).all()


@pytest.mark.parametrize(("make", "routing"), [(mixture, True), (stack, False)])
def test_weight_two_equals_two_rows_inside_of_ensembles(make, routing):
    tree = DecisionTreeRegressor(max_depth=2, random_state=0)
    expert = VotingRegressor(
        [
            ("tree", TransformedTargetRegressor(tree, func=np.cbrt, inverse_func=lambda y: y**3)),
            ("line", LinearRegression()),
        ]
    )
    expert = TransformedTargetRegressor(make_pipeline("passthrough", expert))
    weight = np.random.default_rng(1).integers(1, 3, size=N)
    rows = np.arange(N).repeat(weight)
    features = X[:, 1:]
    with config_context(enable_metadata_routing=routing):
        weighted, twice = (make(expert, max_iter=2) for _ in range(2))
        fit_quietly(weighted, features, Y, sample_weight=weight)
        fit_quietly(twice, features[rows], Y[rows])
    assert_allclose(weighted.predict(features), twice.predict(features), rtol=1e-6, atol=1e-8)


def test_bagging_fits_rows_in_proportion_to_their_weights():
    log, weight = Log(), np.where(np.arange(N) % 2, 50.0, 0.5)
    moe = stack(BaggingRegressor(RecordingRegressor(log)))
    fit_quietly(moe, X, Y, sample_weight=weight)
    for entry in log.fits():
        is_heavy = entry["X"][:, 0] % 2 == 1
        assert np.average(is_heavy, weights=entry.get("weight")) > 0.8


@pytest.mark.parametrize(
    "outer",
    [lambda inner: inner, SEARCHES["grid"], REGRESSORS["target"]],
    ids=["alone", "grid", "target"],
)
@pytest.mark.parametrize("routing", [False, True])
def test_metadata_and_weights_reach_the_same_inner_estimator(outer, routing):
    with config_context(enable_metadata_routing=routing):
        log = Log()
        inner = RecordingRegressor(log)
        if routing:
            inner.set_fit_request(cost=True, sample_weight=True)
            inner.set_score_request(sample_weight=True)
        cost = 10.0 + np.arange(N)
        moe = stack(outer(inner))
        fit_quietly(moe, X, Y, sample_weight=WEIGHT, cost=cost)
    assert_weighted(log, "inner", WEIGHT)
    for entry in log.fits():
        assert_allclose(entry["cost"], 10.0 + entry["X"][:, 0])


def test_the_remedy_for_a_search_is_a_search_over_the_mixture():
    for search in (GridSearchCV(Ridge(), {}), VotingRegressor([("a", GridSearchCV(Ridge(), {}))])):
        assert_fit_refused(mixture(search), (X, Y), "expert[0]", "Search over the mixture")
    moe = mixture("tree")
    search = GridSearchCV(moe, {"expert": [["tree", Ridge(1.0)], ["tree", Ridge(9.0)]]}, cv=2)
    assert fit_quietly(search, X, Y).best_params_["expert"][0] == "tree"


# --- missing values ---------------------------------------------------------------------------

WITH_MISSING = np.where(np.random.default_rng(3).uniform(size=X.shape) < 0.1, np.nan, X)
FRAME_WITH_MISSING = pd.DataFrame(WITH_MISSING, columns=["a", "b", "c"])
IMPUTER = make_pipeline(SimpleImputer(), StandardScaler())
IMPUTED = make_pipeline(SimpleImputer(), Ridge())

# Whether missing values reach an estimator that refuses them.
ACCEPT = {
    "imputed": IMPUTED,
    "voting": VotingRegressor([("a", BOOSTED), ("b", IMPUTED)]),
    "columns": make_pipeline(by_columns((SimpleImputer(), [0, 1]), (IMPUTER, [2])), Ridge()),
    "imputed mixture": make_pipeline(
        SimpleImputer(), MixtureOfExpertsRegressor(2, n_init=1, max_iter=1, random_state=0)
    ),
}
REFUSE = {
    "grid": GridSearchCV(Ridge(), {}),
    "voting": VotingRegressor([("a", BOOSTED), ("b", Ridge())]),
    "kept columns": make_pipeline(
        by_columns((SimpleImputer(), [0]), remainder="passthrough"), Ridge()
    ),
}


@pytest.mark.parametrize("rows", [WITH_MISSING, FRAME_WITH_MISSING], ids=["array", "frame"])
@pytest.mark.parametrize(
    ("name", "make"), [("imputed", mixture), *((name, stack) for name in ACCEPT)]
)
def test_missing_values_are_accepted_where_nothing_refuses_them(name, rows, make):
    moe = make(ACCEPT[name])
    assert moe.__sklearn_tags__().input_tags.allow_nan
    assert np.isfinite(fit_quietly(moe, rows, Y).predict(rows)).all()


def assert_refused_by_its_fit(moe, features, y, words):
    """The error is that of the estimator inside, and a note names the expert."""
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        moe.fit(features, y)
    assert "This was expert 0" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("name", "make"), [("kept columns", mixture), *((name, stack) for name in REFUSE)]
)
def test_missing_values_are_refused_by_the_estimator_that_they_reach(name, make):
    moe = make(REFUSE[name])
    assert_refused_by_its_fit(moe, FRAME_WITH_MISSING, Y, "does not accept missing values")


@pytest.mark.parametrize("features", [WITH_MISSING, FRAME_WITH_MISSING], ids=["array", "frame"])
@pytest.mark.parametrize("expert", [Ridge(), TransformedTargetRegressor(), RANSACRegressor()])
def test_missing_values_are_refused_before_any_fit_if_a_tag_says_so(expert, features):
    assert_fit_refused(mixture(expert), (features, Y), "X", "missing values", "every expert")


# --- sparse matrices --------------------------------------------------------------------------

SPARSE = sparse.csr_matrix(np.where(X > 0.3, X, 0.0))


@pytest.mark.parametrize(
    "expert", [BOOSTED, make_pipeline(StandardScaler(), Ridge()), BaggingRegressor(BOOSTED)]
)
def test_sparse_matrices_are_refused_by_the_estimator_that_they_reach(expert):
    assert_refused_by_its_fit(stack(expert), SPARSE, Y, "dense data is required|with_mean")


@pytest.mark.parametrize("name", ["base", "expert"])
def test_sparse_matrices_are_refused_with_the_remedy(name):
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **{name: BOOSTED})
    assert "toarray" in refusal(moe.fit, SPARSE, Y)


@pytest.mark.parametrize(
    "expert",
    [
        Ridge(),
        make_pipeline(FunctionTransformer(lambda X: X.toarray(), accept_sparse=True), BOOSTED),
        StackingRegressor([("a", Ridge())], BOOSTED, cv=2),
    ],
)
def test_sparse_matrices_are_accepted_where_the_estimators_accept_them(expert):
    moe = fit_quietly(stack(expert), SPARSE, Y)
    assert np.isfinite(moe.predict(SPARSE)).all()
