"""Estimators inside of estimators as experts: weights, missing values and sparse matrices."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.compose import make_column_transformer as by_columns
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, VarianceThreshold
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
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
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
MIXTURE = MixtureOfExpertsRegressor(2, n_init=1, max_iter=1, random_state=0)
BOOSTED_CLASSES = HistGradientBoostingClassifier(max_iter=2, max_bins=8, min_samples_leaf=5)

ACCEPT = {
    "imputed": IMPUTED,
    "imputed mixture": make_pipeline(SimpleImputer(), MIXTURE),
    "grid": GridSearchCV(IMPUTED, {"ridge__alpha": [0.1, 1.0]}, cv=2),
    "halving": HalvingGridSearchCV(BOOSTED, {}, cv=2),
    "voting": VotingRegressor([("a", BOOSTED), ("b", IMPUTED)]),
    "stacking": StackingRegressor([("a", BOOSTED), ("b", "drop")], cv=2),
    "passthrough": StackingRegressor([("a", BOOSTED)], BOOSTED, cv=2, passthrough=True),
    "bagging": BaggingRegressor(DecisionTreeRegressor(), n_estimators=2),
    "bagged pipeline": BaggingRegressor(IMPUTED, n_estimators=2),
    "default bagging": BaggingRegressor(n_estimators=2),
    "target": TransformedTargetRegressor(IMPUTED),
    "consensus": RANSACRegressor(DecisionTreeRegressor(), min_samples=0.5, max_trials=2),
    "union": make_pipeline(make_union(SimpleImputer(), VarianceThreshold()), BOOSTED),
    "imputing union": make_pipeline(make_union(SimpleImputer(), SimpleImputer()), Ridge()),
    "columns": make_pipeline(by_columns((SimpleImputer(), [0, 1]), (IMPUTER, [2])), Ridge()),
    "selected": make_pipeline(VarianceThreshold(), StandardScaler(), BOOSTED),
    "scaled and imputed": make_pipeline(StandardScaler(), SimpleImputer(), Ridge()),
    "nested pipeline": make_pipeline(make_pipeline("passthrough", StandardScaler()), IMPUTED),
    "function": make_pipeline(FunctionTransformer(np.nan_to_num), Ridge()),
    "remainder": make_pipeline(ColumnTransformer([], remainder=SimpleImputer()), Ridge()),
    "outputs": MultiOutputRegressor(BOOSTED),
}
ACCEPT_CLASSES = {
    "voting": VotingClassifier([("a", BOOSTED_CLASSES)], voting="soft"),
    "stacking": StackingClassifier([("a", BOOSTED_CLASSES)], cv=2),
    "bagging": BaggingClassifier(DecisionTreeClassifier(), n_estimators=2),
    "calibrated": CalibratedClassifierCV(BOOSTED_CLASSES, cv=2),
    "one by one": OneVsRestClassifier(BOOSTED_CLASSES),
    "threshold": TunedThresholdClassifierCV(BOOSTED_CLASSES, cv=2, thresholds=3),
}
REFUSE = {
    "grid": GridSearchCV(Ridge(), {}),
    "voting": VotingRegressor([("a", BOOSTED), ("b", Ridge())]),
    "stacking": StackingRegressor([("a", Ridge()), ("b", BOOSTED)]),
    "passthrough": StackingRegressor([("a", BOOSTED)], passthrough=True),
    "final passthrough": StackingRegressor([("a", BOOSTED)], Ridge(), passthrough=True),
    "bagging": BaggingRegressor(make_pipeline(StandardScaler(), Ridge())),
    "target": TransformedTargetRegressor(Ridge()),
    "union": make_pipeline(make_union(SimpleImputer(), PolynomialFeatures()), BOOSTED),
    "kept by union": make_pipeline(make_union(SimpleImputer(), StandardScaler()), Ridge()),
    "columns": make_pipeline(by_columns((PolynomialFeatures(), [0, 1, 2])), BOOSTED),
    "one branch": make_pipeline(
        by_columns((PolynomialFeatures(), [0]), (SimpleImputer(), slice(1, 3))), BOOSTED
    ),
    "kept columns": make_pipeline(
        by_columns((SimpleImputer(), [0]), remainder="passthrough"), Ridge()
    ),
    "chosen columns": make_pipeline(
        by_columns((SimpleImputer(), lambda X: [0]), ("passthrough", [False, True, True])), Ridge()
    ),
    "identity": make_pipeline(FunctionTransformer(), Ridge()),
    "validated": make_pipeline(FunctionTransformer(np.nan_to_num, validate=True), Ridge()),
    "scaled": make_pipeline(StandardScaler(), VarianceThreshold(), Ridge()),
    "outputs": MultiOutputRegressor(Ridge()),
}
REFUSE_CLASSES = {
    "voting": VotingClassifier([("a", LogisticRegression())], voting="soft"),
    "calibrated": CalibratedClassifierCV(LogisticRegression()),
}
ACCEPTED = [(False, name) for name in ACCEPT] + [(True, name) for name in ACCEPT_CLASSES]
REFUSED = [(False, name) for name in REFUSE] + [(True, name) for name in REFUSE_CLASSES]


def target_of(is_classifier, name):
    if name == "outputs":
        return np.column_stack([Y, -Y])
    return (Y > 0.0).astype(int) if is_classifier else Y


@pytest.mark.parametrize(("is_classifier", "name"), ACCEPTED)
def test_missing_values_are_accepted_where_they_reach_nothing_that_refuses_them(
    is_classifier, name
):
    expert = (ACCEPT_CLASSES if is_classifier else ACCEPT)[name]
    moe = stack(expert, is_classifier)
    assert moe.__sklearn_tags__().input_tags.allow_nan
    fit_quietly(moe, WITH_MISSING, target_of(is_classifier, name))
    found = (moe.predict_proba if is_classifier else moe.predict)(WITH_MISSING)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("name", "make"), [("imputed", mixture), ("columns", mixture), ("columns", stack)]
)
def test_missing_values_of_frames_are_accepted(name, make):
    moe = make(ACCEPT[name])
    fit_quietly(moe, FRAME_WITH_MISSING, Y)
    assert np.isfinite(moe.predict(FRAME_WITH_MISSING)).all()


def assert_refused_by_its_fit(moe, features, y, words):
    """The error is that of the estimator inside, and a note names the expert."""
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        moe.fit(features, y)
    assert "This was expert 0" in caught.value.__notes__[0]


@pytest.mark.parametrize(("is_classifier", "name"), REFUSED)
def test_missing_values_are_refused_by_the_estimator_that_they_reach(is_classifier, name):
    expert = (REFUSE_CLASSES if is_classifier else REFUSE)[name]
    moe, y = stack(expert, is_classifier), target_of(is_classifier, name)
    assert_refused_by_its_fit(moe, WITH_MISSING, y, "does not accept missing values")


@pytest.mark.parametrize("name", ["voting", "kept columns", "identity"])
def test_experts_of_mixtures_refuse_missing_values_in_their_fits(name):
    moe = mixture(REFUSE[name])
    assert_refused_by_its_fit(moe, FRAME_WITH_MISSING, Y, "does not accept missing values")


@pytest.mark.parametrize("features", [WITH_MISSING, FRAME_WITH_MISSING], ids=["array", "frame"])
@pytest.mark.parametrize("expert", [Ridge(), TransformedTargetRegressor(), RANSACRegressor()])
def test_missing_values_are_refused_before_any_fit_if_a_tag_says_so(expert, features):
    assert_fit_refused(mixture(expert), (features, Y), "X", "missing values", "every expert")


def test_a_later_step_that_refuses_missing_values_is_named():
    moe = stack(make_pipeline(FunctionTransformer(abs), Ridge()))
    with pytest.raises(ValueError, match="Ridge does not accept missing values") as caught:
        moe.fit(WITH_MISSING, Y)
    assert "This was expert 0" in caught.value.__notes__[0]


FRAME = pd.DataFrame({"size": X[:, 1], "age": X[:, 2], "city": np.where(Y > 0.0, "u", "v")})


@pytest.mark.parametrize(
    "branches",
    [
        [(IMPUTER, ["size"]), (OneHotEncoder(), ["city"]), ("passthrough", ["age"])],
        [(IMPUTER, slice(0, 1)), (OrdinalEncoder(), [2]), (PolynomialFeatures(), ["age"])],
        [(IMPUTER, ["size"]), (StandardScaler(), lambda frame: ["age"])],
        [("drop", ["size"]), (StandardScaler(), ["age"])],
        [(OneHotEncoder(), [False, False, True])],
    ],
    ids=["names", "slice and numbers", "function", "drop", "mask"],
)
def test_only_columns_with_missing_values_must_be_imputed(branches):
    """Other branches may refuse missing values, if their columns have none."""
    expert = make_pipeline(by_columns(*branches), Ridge())
    missing, elsewhere = FRAME.copy(), FRAME.copy()
    missing.loc[::5, "size"] = np.nan
    elsewhere.loc[::5, "age"] = np.nan
    moe = fit_quietly(mixture(expert), missing, Y)
    assert np.isfinite(moe.predict(missing)).all()
    if any("age" in branch[1] for branch in branches if isinstance(branch[1], list)):
        assert_refused_by_its_fit(mixture(expert), elsewhere, Y, "does not accept missing values")


def test_columns_of_experts_with_other_features_are_not_those_of_the_table():
    missing = WITH_MISSING.copy()
    missing[:, 2] = X[:, 2]
    expert = make_pipeline(by_columns((SimpleImputer(), [1]), remainder="passthrough"), Ridge())
    moe = fit_quietly(mixture(expert, expert_features=[2, 1]), missing, Y)
    assert np.isfinite(moe.predict(missing)).all()


# --- sparse matrices --------------------------------------------------------------------------

SPARSE = sparse.csr_matrix(np.where(X > 0.3, X, 0.0))
CENTERED = make_pipeline(StandardScaler(), Ridge())
DENSE_ONLY = {
    "boosted": BOOSTED,
    "centered": CENTERED,
    "voting": VotingRegressor([("a", Ridge()), ("b", BOOSTED)]),
    "bagging": BaggingRegressor(BOOSTED),
    "later": make_pipeline(StandardScaler(with_mean=False), BOOSTED),
}


class ReadsDense(RecordingRegressor):
    """An estimator of another library, without the tag for sparse matrices that it accepts."""

    def fit(self, X, y, sample_weight=None):
        self.model_ = Ridge().fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        return self.model_.predict(X)


ALSO_SPARSE = {
    "ridge": Ridge(),
    "scaled": make_pipeline(StandardScaler(with_mean=False), Ridge()),
    "densified": make_pipeline(
        FunctionTransformer(lambda X: X.toarray(), accept_sparse=True), BOOSTED
    ),
    "voting": VotingRegressor([("a", Ridge()), ("b", "drop")]),
    "stacking": StackingRegressor([("a", Ridge())], BOOSTED, cv=2),
    "bagging": BaggingRegressor(Ridge(), n_estimators=2),
    "target": TransformedTargetRegressor(Ridge()),
    "columns": make_pipeline(by_columns(("drop", [0]), remainder="passthrough"), Ridge()),
    "other library": ReadsDense(),
}


@pytest.mark.parametrize("name", DENSE_ONLY)
def test_sparse_matrices_are_refused_by_the_estimator_that_they_reach(name):
    moe, words = stack(DENSE_ONLY[name]), "dense data is required|with_mean"
    assert_refused_by_its_fit(moe, SPARSE, Y, words)


@pytest.mark.parametrize("name", ["base", "expert"])
def test_sparse_matrices_are_refused_with_the_remedy(name):
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **{name: BOOSTED})
    assert "toarray" in refusal(moe.fit, SPARSE, Y)


@pytest.mark.parametrize("name", ALSO_SPARSE)
def test_sparse_matrices_are_accepted_where_the_estimators_accept_them(name):
    moe = fit_quietly(stack(ALSO_SPARSE[name]), SPARSE, Y)
    assert np.isfinite(moe.predict(SPARSE)).all()
