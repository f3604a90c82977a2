"""Estimators inside of estimators as experts: weights, missing values and sparse matrices."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from recorders import Log, RecordingClassifier, RecordingRegressor
from regimes import quiet
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
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
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
from skmoe._data.nested_estimators import HAS_SPARSE_TAGS, sparse_obstacle, weight_argument

N = 120
RNG = np.random.default_rng(0)
X = np.column_stack([np.arange(float(N)), RNG.normal(size=(N, 2))])
Y = X[:, 1] + 0.3 * RNG.normal(size=N)
WEIGHT = RNG.uniform(0.5, 2.0, size=N)
BOOSTED = HistGradientBoostingRegressor(max_iter=3)
# Before this version bagging passes weights on; since then it draws rows by them.
BAGGING_DRAWS = parse_version(sklearn.__version__) >= parse_version("1.8")


def mixture(expert, is_classifier=False, specialize=True, **options):
    """A mixture of an expert and a simple one."""
    kind = MixtureOfExpertsClassifier if is_classifier else MixtureOfExpertsRegressor
    given = {"n_init": 1, "max_iter": 2, "cross_fit": 2, "random_state": 0} | options
    return kind(2, expert=[expert, "tree"], specialize=specialize, **given)


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
    "consensus": lambda inner: RANSACRegressor(inner, min_samples=0.5, random_state=0),
    "features": lambda inner: RFE(inner, n_features_to_select=3),
    "outputs": lambda inner: MultiOutputRegressor(inner),
    "chain": lambda inner: RegressorChain(inner),
}
CLASSIFIERS = SEARCHES | {
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


def nested(is_classifier, name, inside, is_weighted=True):
    """A meta-estimator with a recorder inside, its target and the log."""
    log = Log()
    kinds = (RecordingRegressor, Unweighted), (RecordingClassifier, UnweightedClassifier)
    inner = kinds[is_classifier][not is_weighted](log)
    inner = {"alone": inner, "pipeline": make_pipeline("passthrough", inner)}[inside]
    target = (Y > 0.0).astype(int) if is_classifier else Y
    target = np.column_stack([Y, -Y]) if name in ("outputs", "chain") else target
    outer = (CLASSIFIERS if is_classifier else REGRESSORS)[name](inner)
    return make_pipeline("passthrough", outer), target, log


def reaches(name, inside, is_weighted=True):
    """Whether weights reach the recorder."""
    if name == "bagging" and BAGGING_DRAWS:
        return True
    return is_weighted and (inside == "alone" or name in THROUGH_PIPELINES)


def check_recorded(log, name, weight=None):
    """Each fit has been given weights: those of its rows, or others that differ."""
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
            assert len(np.unique(found)) > 1
        elif name == "bagging":  # weights times numbers of copies
            copies = found / weight[numbers]
            assert_allclose(copies, np.round(copies))
        else:
            assert_allclose(found, weight[numbers])


@pytest.mark.parametrize("inside", ["alone", "pipeline"])
@pytest.mark.parametrize(("is_classifier", "name"), NESTED)
def test_responsibilities_reach_the_inner_estimator_or_are_refused(is_classifier, name, inside):
    expert, target, log = nested(is_classifier, name, inside)
    moe = mixture(expert, is_classifier)
    if name in SEARCHES or not reaches(name, inside):
        with pytest.raises(ValueError, match=r"expert\[0\] must accept sample_weight in fit"):
            moe.fit(X, target)
        assert not log
        return
    quiet(moe, X, target)
    check_recorded(log, name)


@pytest.mark.parametrize("inside", ["alone", "pipeline"])
@pytest.mark.parametrize(("is_classifier", "name"), NESTED)
def test_weights_reach_the_inner_estimator_of_a_member_or_are_refused(is_classifier, name, inside):
    member, target, log = nested(is_classifier, name, inside)
    moe = mixture(member, is_classifier, specialize=False)
    if not reaches(name, inside):
        with pytest.raises(ValueError, match=r"expert\[0\] takes no sample_weight"):
            moe.fit(X, target, sample_weight=WEIGHT)
        assert not log
        return
    quiet(moe, X, target, sample_weight=WEIGHT)
    check_recorded(log, name, WEIGHT)


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize(("is_classifier", "name"), NESTED)
def test_inner_estimators_without_weights_are_refused_before_any_fit(
    is_classifier, name, specialize
):
    if reaches(name, "alone", is_weighted=False):
        return
    expert, target, log = nested(is_classifier, name, "alone", is_weighted=False)
    message = "must accept sample_weight in fit" if specialize else "takes no sample_weight"
    with pytest.raises(ValueError, match=rf"expert\[0\] {message}"):
        mixture(expert, is_classifier, specialize).fit(X, target, sample_weight=WEIGHT)
    assert not log


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("specialize", [True, False])
def test_a_weight_of_two_is_the_row_twice_inside_of_ensembles(specialize, routing):
    tree = DecisionTreeRegressor(max_depth=3, random_state=0)
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
        weighted, twice = (mixture(expert, specialize=specialize) for _ in range(2))
        quiet(weighted, features, Y, sample_weight=weight)
        quiet(twice, features[rows], Y[rows])
    assert_allclose(weighted.predict(features), twice.predict(features), rtol=1e-6, atol=1e-8)


def test_bagging_fits_rows_in_proportion_to_their_weights():
    log, weight = Log(), np.where(np.arange(N) % 2, 50.0, 0.5)
    moe = mixture(BaggingRegressor(RecordingRegressor(log)), specialize=False)
    quiet(moe, X, Y, sample_weight=weight)
    for entry in log.fits():
        is_heavy = entry["X"][:, 0] % 2 == 1
        assert np.average(is_heavy, weights=entry.get("weight")) > 0.9


@pytest.mark.parametrize("outer", [lambda inner: inner, SEARCHES["grid"], REGRESSORS["target"]])
@pytest.mark.parametrize("routing", [False, True])
def test_metadata_and_weights_reach_the_same_inner_estimator(outer, routing):
    with config_context(enable_metadata_routing=routing):
        log = Log()
        inner = RecordingRegressor(log)
        if routing:
            inner.set_fit_request(cost=True, sample_weight=True)
            inner.set_score_request(sample_weight=True)
        cost = 10.0 + np.arange(N)
        moe = mixture(outer(inner), specialize=False)
        quiet(moe, X, Y, sample_weight=WEIGHT, cost=cost)
    check_recorded(log, "inner", WEIGHT)
    for entry in log.fits():
        assert_allclose(entry["cost"], 10.0 + entry["X"][:, 0])


@pytest.mark.parametrize(
    ("estimator", "argument"),
    [
        (Ridge(), "sample_weight"),
        (KNeighborsRegressor(), None),
        (make_pipeline("passthrough", make_pipeline(Ridge())), "pipeline__ridge__sample_weight"),
        (GridSearchCV(make_pipeline(Ridge()), {}), "ridge__sample_weight"),
        (TransformedTargetRegressor(), "sample_weight"),
        (BaggingRegressor(Ridge(), bootstrap=False), None if BAGGING_DRAWS else "sample_weight"),
        (CalibratedClassifierCV(FrozenEstimator(KNeighborsClassifier())), "sample_weight"),
        (RFECV(Ridge()), None),
        (StackingRegressor([("a", Ridge())], KNeighborsRegressor()), None),
        (VotingRegressor([("a", GridSearchCV(Ridge(), {}))]), "sample_weight"),
        (MultiOutputRegressor(GridSearchCV(Ridge(), {})), None),
        (OneVsRestClassifier(LogisticRegression()), None),
        (TunedThresholdClassifierCV(LogisticRegression()), None),
        (SelfTrainingClassifier(LogisticRegression()), None),
        (CalibratedClassifierCV(KNeighborsClassifier()), None),
    ],
)
def test_the_argument_that_carries_weights(estimator, argument):
    assert weight_argument(estimator) == argument


def test_the_remedy_for_a_search_is_a_search_over_the_mixture():
    for search in (GridSearchCV(Ridge(), {}), VotingRegressor([("a", GridSearchCV(Ridge(), {}))])):
        with pytest.raises(ValueError, match="Search over the mixture instead, as in GridSearchCV"):
            mixture(search).fit(X, Y)
    moe = mixture("tree", max_iter=1)
    search = GridSearchCV(moe, {"expert": [["tree", Ridge(1.0)], ["tree", Ridge(9.0)]]}, cv=2)
    assert quiet(search, X, Y).best_params_["expert"][0] == "tree"


# --- missing values ---------------------------------------------------------------------------

WITH_MISSING = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
IMPUTER = make_pipeline(SimpleImputer(), StandardScaler())
IMPUTED = make_pipeline(SimpleImputer(), Ridge())
PARTLY_IMPUTED = by_columns((SimpleImputer(), [0]), remainder="passthrough")
BOOSTED_CLASSES = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5)

ACCEPT = {
    "voting": VotingRegressor([("a", BOOSTED), ("b", IMPUTED)]),
    "stacking": StackingRegressor([("a", BOOSTED), ("b", "drop")], cv=2),
    "passthrough": StackingRegressor([("a", BOOSTED)], BOOSTED, cv=2, passthrough=True),
    "bagging": BaggingRegressor(DecisionTreeRegressor(), n_estimators=2),
    "bagged pipeline": BaggingRegressor(IMPUTED, n_estimators=2),
    "default bagging": BaggingRegressor(n_estimators=2),
    "target": TransformedTargetRegressor(IMPUTED),
    "consensus": RANSACRegressor(DecisionTreeRegressor(), min_samples=0.5),
    "halving": HalvingGridSearchCV(BOOSTED, {}, cv=2),
    "union": make_pipeline(make_union(SimpleImputer(), VarianceThreshold()), BOOSTED),
    "imputing union": make_pipeline(make_union(SimpleImputer(), SimpleImputer()), Ridge()),
    "columns": make_pipeline(
        by_columns(
            (SimpleImputer(), [0, 1]), (make_pipeline(SimpleImputer(), StandardScaler()), [2])
        ),
        Ridge(),
    ),
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
    "threshold": TunedThresholdClassifierCV(BOOSTED_CLASSES, cv=2),
}
REFUSE = {
    "voting": VotingRegressor([("a", BOOSTED), ("b", Ridge())]),
    "stacking": StackingRegressor([("a", Ridge()), ("b", BOOSTED)]),
    "passthrough": StackingRegressor([("a", BOOSTED)], passthrough=True),
    "final passthrough": StackingRegressor([("a", BOOSTED)], Ridge(), passthrough=True),
    "bagging": BaggingRegressor(make_pipeline(StandardScaler(), Ridge())),
    "target": TransformedTargetRegressor(Ridge()),
    "default target": TransformedTargetRegressor(),
    "consensus": RANSACRegressor(),
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


def as_expert(expert, is_classifier, specialize):
    """A mixture of a kind that the expert permits."""
    if specialize and (weight_argument(expert) is None or isinstance(expert, HalvingGridSearchCV)):
        pytest.skip("it takes no weights")
    return mixture(expert, is_classifier, specialize)


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize(("is_classifier", "name"), ACCEPTED)
def test_missing_values_are_accepted_where_they_reach_nothing_that_refuses_them(
    is_classifier, name, specialize
):
    expert = (ACCEPT_CLASSES if is_classifier else ACCEPT)[name]
    moe = as_expert(expert, is_classifier, specialize)
    assert moe.__sklearn_tags__().input_tags.allow_nan
    for features in (WITH_MISSING, pd.DataFrame(WITH_MISSING, columns=["a", "b", "c"])):
        quiet(moe, features, target_of(is_classifier, name))
        found = moe.predict_proba(features) if is_classifier else moe.predict(features)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize(("is_classifier", "name"), REFUSED)
def test_missing_values_are_refused_before_any_fit(is_classifier, name, specialize):
    expert = (REFUSE_CLASSES if is_classifier else REFUSE)[name]
    moe = as_expert(expert, is_classifier, specialize)
    for features in (WITH_MISSING, pd.DataFrame(WITH_MISSING, columns=["a", "b", "c"])):
        with pytest.raises(ValueError, match="X must have no missing values unless") as error:
            moe.fit(features, target_of(is_classifier, name))
        assert not hasattr(error.value, "__notes__")  # of an expert and its fold


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
)
def test_columns_with_missing_values_are_those_that_must_be_imputed(branches):
    """Other branches may refuse missing values, if their columns have none."""
    expert = make_pipeline(by_columns(*branches), Ridge())
    missing, elsewhere = FRAME.copy(), FRAME.copy()
    missing.loc[::5, "size"] = np.nan
    elsewhere.loc[::5, "age"] = np.nan
    moe = quiet(mixture(expert), missing, Y)
    assert np.isfinite(moe.predict(missing)).all()
    if any("age" in branch[1] for branch in branches if isinstance(branch[1], list)):
        with pytest.raises(ValueError, match=r"X must have no missing values .* 'age'") as error:
            mixture(expert).fit(elsewhere, Y)
        assert not hasattr(error.value, "__notes__")


def test_columns_of_experts_with_other_features_are_not_those_of_the_table():
    missing = WITH_MISSING.copy()
    missing[:, 2] = X[:, 2]
    expert = make_pipeline(by_columns((SimpleImputer(), [1]), remainder="passthrough"), Ridge())
    moe = quiet(mixture(expert, expert_features=[2, 1]), missing, Y)
    assert np.isfinite(moe.predict(missing)).all()


# --- sparse matrices --------------------------------------------------------------------------

SPARSE = sparse.csr_matrix(np.where(X > 0.3, X, 0.0))
CENTERED = make_pipeline(StandardScaler(), Ridge())
DENSE_ONLY = {
    "boosted": (BOOSTED, "HistGradientBoostingRegressor"),
    "centered": (CENTERED, "StandardScaler"),
    "voting": (VotingRegressor([("a", Ridge()), ("b", BOOSTED)]), "HistGradientBoosting"),
    "stacking": (StackingRegressor([("a", CENTERED)]), "StandardScaler"),
    "bagging": (BaggingRegressor(BOOSTED), "HistGradientBoosting"),
    "target": (TransformedTargetRegressor(BOOSTED), "HistGradientBoosting"),
    "later": (make_pipeline(StandardScaler(with_mean=False), BOOSTED), "HistGradientBoosting"),
    "union": (make_pipeline(FeatureUnion([("a", StandardScaler())]), Ridge()), "StandardScaler"),
    "columns": (make_pipeline(by_columns((StandardScaler(), [0])), Ridge()), "StandardScaler"),
}
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
}


class ReadsDense(RecordingRegressor):
    """An estimator of another library, without the tag for sparse matrices that it accepts."""

    def fit(self, X, y, sample_weight=None):
        self.model_ = Ridge().fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        return self.model_.predict(X)


@pytest.mark.skipif(not HAS_SPARSE_TAGS, reason="this scikit-learn has no tag")
@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize("name", DENSE_ONLY)
def test_sparse_matrices_are_refused_before_any_fit(name, specialize):
    expert, part = DENSE_ONLY[name]
    moe = mixture(expert, specialize=specialize)
    if specialize and weight_argument(expert) is None:
        return
    message = rf"(?s)expert\[0\] must accept sparse matrices.*{part}.*Give X.toarray\(\)"
    with pytest.raises(ValueError, match=message):
        moe.fit(SPARSE, Y)
    assert np.isfinite(quiet(moe, SPARSE.toarray(), Y).predict(SPARSE.toarray())).all()


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize("name", [*ALSO_SPARSE, "other library"])
def test_sparse_matrices_are_accepted_where_the_estimators_accept_them(name, specialize):
    expert = ALSO_SPARSE.get(name, ReadsDense())
    assert sparse_obstacle(expert) is None
    moe = quiet(mixture(expert, specialize=specialize), SPARSE, Y)
    assert np.isfinite(moe.predict(SPARSE)).all()


@pytest.mark.skipif(not HAS_SPARSE_TAGS, reason="this scikit-learn has no tag")
def test_a_base_and_an_expert_of_all_kinds_accept_sparse_matrices():
    for name, options in (("base", {"base": BOOSTED}), ("expert", {"expert": BOOSTED})):
        moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0, **options)
        with pytest.raises(ValueError, match=f"{name} must accept sparse matrices, as X is one"):
            moe.fit(SPARSE, Y)
