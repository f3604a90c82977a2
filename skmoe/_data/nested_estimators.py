"""Estimators that contain others: which arguments of fit reach the inner ones.

Weights and groups pass through pipelines, searches and ensembles of scikit-learn. Where they would
be left out without an error, the rules here go from estimator to estimator, and ask the signatures
of the innermost ones. Missing values and sparse matrices are refused by the estimators themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

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


def inner_estimators(estimator: Any) -> list[Any]:
    """Estimators that an estimator fits to rows of X; none where it has its default ones."""
    if isinstance(estimator, COMMITTEES):
        entries = estimator.estimators if isinstance(estimator.estimators, list | tuple) else []
        parts = [entry[1] for entry in entries if isinstance(entry, list | tuple)]
        return [part for part in parts if hasattr(part, "fit")]
    values = [getattr(estimator, name, None) for name in ("regressor", "estimator")]
    values.append(getattr(estimator, "base_estimator", None))  # before scikit-learn 1.7
    return [value for value in values if hasattr(value, "fit")][:1]


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


def may_accept_missing_values(estimator: Any) -> bool:
    """Whether an estimator accepts missing values, as far as its tag shows.

    What pipelines and ensembles do with them depends on the estimators inside: their fits answer.
    """
    names, own_names = (set(estimator.get_params(deep=deep)) for deep in (True, False))
    return names != own_names or bool(get_tags(estimator).input_tags.allow_nan)
