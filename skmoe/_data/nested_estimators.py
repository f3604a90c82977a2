"""Estimators that contain others: what reaches the inner ones, and what these accept.

Weights, missing values and sparse matrices pass through pipelines, searches and ensembles of
scikit-learn. Its tags leave out some of these, so that the rules here go from estimator to
estimator, and ask tags and signatures of the innermost ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, RFECV, SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RANSACRegressor, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.encoding import has_missing_numbers

WEIGHT = "sample_weight"
GROUPS = "groups"

# The base class of all searches of scikit-learn.
SEARCHES: Any = GridSearchCV.__base__

# Estimators that fit several others to the same rows.
COMMITTEES = (VotingRegressor, VotingClassifier, StackingRegressor, StackingClassifier)
BAGGING = (BaggingRegressor, BaggingClassifier)
# Since scikit-learn 1.8 bagging draws rows by their weights; before, it passes weights on.
DRAWS_BY_WEIGHT = BaggingRegressor().max_samples is None

# Estimators whose fit passes all its arguments on to the inner estimator.
PASS_ARGUMENTS = (SEARCHES, TransformedTargetRegressor, RFE, RegressorChain)

# Estimators that take weights if the fit of the inner estimator names them.
NEED_WEIGHTS = (
    AdaBoostClassifier,
    CalibratedClassifierCV,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RANSACRegressor,
)

# Estimators that pass the features to the inner estimator as they are, or some of their columns.
PASS_FEATURES = (
    SEARCHES,
    CalibratedClassifierCV,
    FixedThresholdClassifier,
    MultiOutputClassifier,
    MultiOutputRegressor,
    OneVsRestClassifier,
    TransformedTargetRegressor,
    TunedThresholdClassifierCV,
)
PASS_COLUMNS = (*BAGGING, RANSACRegressor, RFE, SelfTrainingClassifier)

# Boosting takes sparse matrices as the inner estimator does, and no missing values in 1.6.
PASS_SPARSE = (*PASS_FEATURES, *PASS_COLUMNS, AdaBoostClassifier, AdaBoostRegressor)

# Transformers that keep missing values missing, and sparse matrices sparse, where they take them.
KEEP_VALUES = (
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SelectorMixin,
    StandardScaler,
)

# What a transformer does with missing values: the last one is also what it may do.
REFUSED, KEPT, REPLACED = "refused", "kept", "replaced"


def inner_estimators(estimator: Any) -> list[Any]:
    """Estimators that an estimator fits to rows of X; none where it has its default ones."""
    if isinstance(estimator, COMMITTEES):
        return [part for part in _named(estimator.estimators) if hasattr(part, "fit")]
    values = [getattr(estimator, name, None) for name in ("regressor", "estimator")]
    values.append(getattr(estimator, "base_estimator", None))  # before scikit-learn 1.7
    return [value for value in values if hasattr(value, "fit")][:1]


def _named(entries: Any, position: int = 1) -> list[Any]:
    """Estimators, or other values, of tuples (name, estimator, ...)."""
    entries = entries if isinstance(entries, list | tuple) else []
    return [entry[position] for entry in entries if isinstance(entry, list | tuple)]


def _final(estimator: Any) -> list[Any]:
    """The final estimator of a stack of scikit-learn, where it is not the default one."""
    final = getattr(estimator, "final_estimator", None)
    return [final] if hasattr(final, "fit") else []


def searched_estimator(estimator: Any) -> Any:
    """The estimator of a search that refits it; other estimators as they are."""
    is_refitted = isinstance(estimator, SEARCHES) and estimator.refit
    return estimator.estimator if is_refitted else estimator


# --- weights ----------------------------------------------------------------------------------


def contains_estimators(estimator: Any) -> bool:
    """Whether the arguments of fit are passed to other estimators of scikit-learn."""
    kinds = (Pipeline, *COMMITTEES, *BAGGING, *PASS_ARGUMENTS, *NEED_WEIGHTS)
    return isinstance(estimator, kinds)


def weight_argument(estimator: Any) -> str | None:
    """The argument of fit, without metadata routing, that carries weights of the rows.

    None if weights do not reach all inner estimators. Of a pipeline the last step is meant.
    """
    if isinstance(estimator, Pipeline):
        return _argument_of_last_step(estimator, weight_argument)
    parts = inner_estimators(estimator)
    if isinstance(estimator, COMMITTEES):
        return WEIGHT if all(map(_takes_plain_weights, parts + _final(estimator))) else None
    if isinstance(estimator, PASS_ARGUMENTS) and not isinstance(estimator, RFECV):
        return weight_argument(parts[0]) if parts else WEIGHT
    if not has_fit_parameter(estimator, WEIGHT):
        return None
    if isinstance(estimator, BAGGING) and DRAWS_BY_WEIGHT:
        return WEIGHT if estimator.bootstrap else None  # otherwise all rows are drawn once
    if isinstance(estimator, CalibratedClassifierCV):  # a frozen estimator is not fitted
        parts = [part for part in parts if not isinstance(part, FrozenEstimator)]
    reaches = all(_takes_plain_weights(part) and has_fit_parameter(part, WEIGHT) for part in parts)
    return WEIGHT if reaches or not isinstance(estimator, NEED_WEIGHTS + BAGGING) else None


def _argument_of_last_step(
    pipeline: Pipeline, argument_of: Callable[[Any], str | None]
) -> str | None:
    """The argument of the fit of a pipeline that reaches the last step as one of its fit."""
    name, last = pipeline.steps[-1]
    inner = argument_of(last)
    return None if inner is None else f"{name}__{inner}"


def _takes_plain_weights(estimator: Any) -> bool:
    return weight_argument(estimator) == WEIGHT


def scores_without_weights(estimator: Any) -> bool:
    """Whether a search is among the estimators that weights reach: its scores do not use them."""
    if isinstance(estimator, SEARCHES):
        return True
    if isinstance(estimator, Pipeline):
        return scores_without_weights(estimator.steps[-1][1])
    return any(map(scores_without_weights, inner_estimators(estimator) + _final(estimator)))


# --- groups -----------------------------------------------------------------------------------


def groups_argument(estimator: Any) -> str | None:
    """The argument of fit, without metadata routing, that carries groups for folds inside of it.

    None if there are no such folds. Searches divide rows by groups, and do not pass them on.
    """
    if isinstance(estimator, Pipeline):
        return _argument_of_last_step(estimator, groups_argument)
    if isinstance(estimator, (SEARCHES, RFECV)):
        return GROUPS if _divides_by_groups(estimator.cv) else None
    if isinstance(estimator, PASS_ARGUMENTS):
        parts = inner_estimators(estimator)
        return groups_argument(parts[0]) if parts else None
    # Mixtures refuse groups that they do not use.
    uses_groups = getattr(estimator, "_uses_groups", True)
    return GROUPS if uses_groups and has_fit_parameter(estimator, GROUPS) else None


def _divides_by_groups(splitter: Any) -> bool:
    """Whether a splitter of scikit-learn is one for groups."""
    if not hasattr(splitter, "get_metadata_routing"):
        return False
    return bool(splitter.get_metadata_routing().split.requests.get(GROUPS))


# --- missing values ---------------------------------------------------------------------------


def accepts_missing_values(estimator: Any, X: Any = None) -> bool:
    """Whether missing values reach no estimator that refuses them.

    X are the features, of which a `ColumnTransformer` may take the missing values apart; without
    X, it accepts missing values if they may all be in columns where they are accepted.
    """
    if isinstance(estimator, Pipeline):
        *steps, (_, last) = estimator.steps
        fate, X = _fate_in_steps([step for _, step in steps], X)
        return accepts_missing_values(last, X) if fate == KEPT else fate == REPLACED
    parts = inner_estimators(estimator)
    if isinstance(estimator, COMMITTEES):
        if getattr(estimator, "passthrough", False):  # the default final estimators refuse them
            return bool(_final(estimator)) and all(
                map(accepts_missing_values, parts + _final(estimator))
            )
        return bool(parts) and all(accepts_missing_values(part, X) for part in parts)
    if parts and isinstance(estimator, PASS_FEATURES):
        return accepts_missing_values(parts[0], X)
    if parts and isinstance(estimator, PASS_COLUMNS):
        return accepts_missing_values(parts[0])
    return bool(get_tags(estimator).input_tags.allow_nan)


def _fate_in_steps(steps: Sequence[Any], X: Any) -> tuple[str, Any]:
    """What steps in turn do with missing values, and the features where these are unchanged."""
    for step in steps:
        fate = _fate(step, X)
        if fate != KEPT:
            return fate, None
        X = X if step in (None, "passthrough") else None
    return KEPT, X


def _fate(transformer: Any, X: Any) -> str:
    """What a transformer does with missing values."""
    if transformer is None or isinstance(transformer, str):
        return REPLACED if transformer == "drop" else KEPT
    if isinstance(transformer, Pipeline):
        return _fate_in_steps(_named(transformer.steps), X)[0]
    if isinstance(transformer, FeatureUnion):
        fates = [_fate(part, X) for part in _named(transformer.transformer_list)]
        return _worst(fates)
    if isinstance(transformer, ColumnTransformer):
        return _fate_in_columns(transformer, X)
    if isinstance(transformer, FunctionTransformer) and not transformer.validate:
        return KEPT if transformer.func is None else REPLACED
    if not get_tags(transformer).input_tags.allow_nan:
        return REFUSED
    keeps = isinstance(transformer, KEEP_VALUES)
    if isinstance(transformer, OrdinalEncoder):
        keeps = bool(np.isnan(transformer.encoded_missing_value))
    return KEPT if keeps else REPLACED


def _fate_in_columns(transformer: Any, X: Any) -> str:
    """What the branches of a `ColumnTransformer` do with missing values of their columns."""
    branches = [*_named(transformer.transformers), transformer.remainder]
    columns = None if X is None else _columns_of_branches(transformer, X)
    if columns is None:
        fates = {_fate(branch, None) for branch in branches}
        order = (REPLACED, KEPT, REFUSED)
        return next(fate for fate in order if fate in fates)
    missing = {j for j in range(X.shape[1]) if has_missing_numbers(X, j)}
    return _worst(
        [
            _fate(branch, None)
            for branch, of_branch in zip(branches, columns, strict=True)
            if missing & of_branch
        ]
    )


def _worst(fates: Sequence[str]) -> str:
    """What happens to missing values that all of several transformers get."""
    order = (REFUSED, KEPT, REPLACED)
    return next((fate for fate in order if fate in fates), REPLACED)


def _columns_of_branches(transformer: Any, X: Any) -> list[set[int]] | None:
    """Indices of the columns of each branch and of the remainder; None if they are unknown."""
    try:
        columns = [_indices(chosen, X) for chosen in _named(transformer.transformers, 2)]
    except Exception:  # not valid for X: the error is that of the fit
        return None
    return [*columns, set(range(X.shape[1])).difference(*columns)]


def _indices(chosen: Any, X: Any) -> set[int]:
    """Indices of columns that are chosen by numbers, names, flags or a function."""
    chosen = chosen(X) if callable(chosen) else chosen
    if not isinstance(chosen, slice):
        chosen = np.atleast_1d(chosen)
        if chosen.dtype.kind in "OU":
            return {list(X.columns).index(name) for name in chosen}
        chosen = chosen if len(chosen) else slice(0)
    return set(np.arange(X.shape[1])[chosen].tolist())


# --- sparse matrices --------------------------------------------------------------------------


# The first versions of scikit-learn with tags left out this one: a ridge takes sparse matrices.
HAS_SPARSE_TAGS = bool(get_tags(Ridge()).input_tags.sparse)


def sparse_obstacle(estimator: Any) -> Any:
    """The estimator of scikit-learn that a sparse matrix reaches and that refuses it, or None.

    Estimators of other libraries need not have set the tag: their fit answers.
    """
    if estimator is None or isinstance(estimator, str):
        return None
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            obstacle = sparse_obstacle(step)
            passes = step is None or isinstance(step, (str, *KEEP_VALUES))
            if obstacle is not None or not passes:
                return obstacle
        return None
    if isinstance(estimator, COMMITTEES):
        return _first_obstacle(inner_estimators(estimator))
    if isinstance(estimator, FeatureUnion):
        return _first_obstacle(_named(estimator.transformer_list))
    if isinstance(estimator, ColumnTransformer):
        return _first_obstacle([*_named(estimator.transformers), estimator.remainder])
    parts = inner_estimators(estimator)
    if parts and isinstance(estimator, PASS_SPARSE):
        return sparse_obstacle(parts[0])
    is_known = HAS_SPARSE_TAGS and type(estimator).__module__.startswith("sklearn.")
    return estimator if is_known and not get_tags(estimator).input_tags.sparse else None


def _first_obstacle(estimators: Sequence[Any]) -> Any:
    obstacles = map(sparse_obstacle, estimators)
    return next((obstacle for obstacle in obstacles if obstacle is not None), None)
