"""Estimators as experts: which are accepted, and what errors name."""

import numpy as np
import pandas as pd
import pytest
from regimes import quiet
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import Ordinal

N = 160
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = X[:, 1] + 0.3 * RNG.normal(size=N)
WITH_MISSING = np.where(RNG.uniform(size=X.shape) < 0.1, np.nan, X)
MIXTURE = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)


def stack(*members, kind=MixtureOfExpertsRegressor, **options):
    return kind(expert=list(members), specialize=False, random_state=0, **options)


@pytest.mark.parametrize(
    "member",
    [
        make_pipeline(SimpleImputer(), Ridge()),
        make_pipeline(SimpleImputer(), MIXTURE),
        make_pipeline("passthrough", SimpleImputer(), Ridge()),
        make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=5)),
        make_pipeline(make_column_transformer((SimpleImputer(), [0, 1])), Ridge()),
        GridSearchCV(HistGradientBoostingRegressor(max_iter=5), {"max_depth": [2, 3]}, cv=2),
        GridSearchCV(make_pipeline(SimpleImputer(), Ridge()), {"ridge__alpha": [0.1, 1.0]}, cv=2),
    ],
)
def test_members_that_impute_get_missing_values(member):
    moe = quiet(stack(member, HistGradientBoostingRegressor(max_iter=5)), WITH_MISSING, Y)
    assert np.isfinite(moe.predict(WITH_MISSING)).all()
    frame = pd.DataFrame(WITH_MISSING, columns=["a", "b", "c"])
    assert np.isfinite(quiet(stack(member, "tree"), frame, Y).predict(frame)).all()


@pytest.mark.parametrize(
    "member",
    [
        Ridge(),
        make_pipeline(Ridge()),
        make_pipeline(StandardScaler(), Ridge()),
        GridSearchCV(Ridge(), {}),
    ],
)
def test_members_without_imputation_are_refused_before_any_fit(member):
    with pytest.raises(ValueError, match="X must have no missing values unless every expert"):
        stack(member, "tree").fit(WITH_MISSING, Y)


def test_a_later_step_that_refuses_missing_values_is_named():
    with pytest.raises(ValueError, match="Ridge does not accept missing values") as error:
        stack(make_pipeline(FunctionTransformer(abs), Ridge()), "tree").fit(WITH_MISSING, Y)
    assert "This was expert 0" in error.value.__notes__[0]


@pytest.mark.parametrize(
    "outer",
    [
        lambda inner: inner,
        lambda inner: make_pipeline(StandardScaler(), inner),
        lambda inner: make_pipeline(make_pipeline(inner)),
        lambda inner: GridSearchCV(make_pipeline(inner), {}, cv=2),
    ],
)
def test_a_stack_of_scikit_learn_without_a_final_estimator_is_a_model(outer):
    """Before the fit it shows no predict, since it does not know its final estimator."""
    regressor = outer(StackingRegressor([("ridge", Ridge())], cv=2))
    assert np.isfinite(quiet(stack(regressor, Ridge()), X, Y).predict(X)).all()
    classifier = outer(StackingClassifier([("logistic", LogisticRegression())], cv=2))
    moe = stack(classifier, LogisticRegression(), kind=MixtureOfExpertsClassifier)
    assert np.isfinite(quiet(moe, X, Y > 0.0).predict_proba(X)).all()


def test_a_search_without_a_final_fit_is_no_model():
    with pytest.raises(ValueError, match=r"expert\[0\] must be one of"):
        stack(GridSearchCV(Ridge(), {}, refit=False), Ridge()).fit(X, Y)


class Densities(Ridge):
    """An expert with log densities of its own, as a test gives them."""

    def __init__(self, given=None):
        super().__init__()
        self.given = given

    def score_samples(self, X, y):
        return self.given(len(y))


def with_densities(given, specialize):
    """A mixture of an expert with densities of its own, and a simple one."""
    return MixtureOfExpertsRegressor(
        expert=[Densities(given), "tree"],
        n_experts=2,
        specialize=specialize,
        n_init=1,
        max_iter=2,
        cross_fit=2,
        random_state=0,
    )


@pytest.mark.parametrize("specialize", [True, False])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda n: np.zeros((n, 1)), r"one log density for each of 80 rows.* shape \(80, 1\)"),
        (lambda n: np.zeros(1), r"one log density for each of 80 rows.* shape \(1,\)"),
        (lambda n: 0.0, r"one log density for each of 80 rows.* shape \(\)"),
        (lambda n: np.full(n, np.nan), "returned NaN or infinity"),
        (lambda n: np.full(n, np.inf), "returned NaN or infinity"),
    ],
)
def test_log_densities_are_checked_in_both_kinds_of_mixtures(given, message, specialize):
    with pytest.raises(ValueError, match=message) as error:
        with_densities(given, specialize).fit(X, Y)
    assert "This was expert 0" in error.value.__notes__[0]


@pytest.mark.parametrize("specialize", [True, False])
def test_log_densities_of_new_rows_are_checked(specialize):
    few = with_densities(lambda n: np.zeros(n if n > 5 else 1), specialize)
    quiet(few, X, Y)
    with pytest.raises(ValueError, match="one log density for each of 3 rows"):
        few.score_samples(X[:3], Y[:3])


def test_weights_that_cannot_repeat_rows_have_a_source():
    members = KNeighborsClassifier(), LogisticRegression()
    moe = stack(*members, kind=MixtureOfExpertsClassifier, class_weight="balanced")
    with pytest.raises(ValueError, match="which come from sample_weight or class_weight"):
        moe.fit(X, Y > 0.5)


def test_a_rare_value_needs_a_list_of_all_values():
    ratings = np.where(np.arange(N) == 7, 5.0, 1.0 + (Y > 0.0))
    members = [MixtureOfExpertsRegressor(k, family="ordinal", n_init=1) for k in (1, 2)]
    with pytest.raises(ValueError, match=r"y = 5 is not\. .*family=Ordinal\(values="):
        quiet(stack(*members), X, ratings)
    values = Ordinal(values=(1.0, 2.0, 5.0))
    given = [MixtureOfExpertsRegressor(k, family=values, n_init=1) for k in (1, 2)]
    assert np.isfinite(quiet(stack(*given), X, ratings).score_samples(X, ratings)).all()


@pytest.mark.parametrize("kind", ["pandas", "nullable", "polars"])
@pytest.mark.parametrize("specialize", [False, True])
def test_named_estimators_take_missing_values_of_any_kind(kind, specialize):
    columns = {"a": X[:, 0], "kind": np.where(X[:, 1] > 0.0, "u", "v"), "n": np.arange(N) % 5}
    frame = pd.DataFrame(columns)
    missing = frame.astype({"n": "Int64"} if kind == "nullable" else {"n": float})
    missing.loc[3, "n"] = pd.NA if kind == "nullable" else np.nan
    if kind == "polars":
        polars = pytest.importorskip("polars")
        frame, missing = polars.from_pandas(frame), polars.from_pandas(missing)
    moe = MixtureOfExpertsRegressor(
        2, expert=["tree", "linear"], specialize=specialize, max_iter=3, random_state=0
    )
    assert np.isfinite(quiet(moe, missing, Y).predict(missing)).all()
    assert np.isfinite(quiet(moe, frame, Y).predict(missing)).all()
