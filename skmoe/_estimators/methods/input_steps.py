"""Mixtures at the end of pipelines and searches: the steps before them, and copies that take X.

The rows of a copy pass the steps before they are validated. Where the last steps scale columns, its
coefficients are those of the columns before them, in their units.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmoe._data.checks import is_integer, shown
from skmoe._data.preprocessing import Standardization, composed
from skmoe._data.rows import Rows, index_rows
from skmoe._data.sklearn_adapter import split_pipeline
from skmoe._estimators.fitting.problem import attributes_of_mixture
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array

SCALERS = StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler


def mixture_of(estimator: Any) -> Any:
    """The mixture of experts in which a fitted pipeline or search ends, for the X of these.

    A pipeline has no method but `predict` and `score`. This function returns a copy of its last
    step whose methods transform X by the other steps first: `predict_interval`, `predict_gate`,
    `score_samples`, `summary`, `inference` and all others that use a fit. See "How do I get
    intervals, densities and summaries of a pipeline?" in the recipes.

    Parameters
    ----------
    estimator : fitted estimator
        A pipeline or search that ends in a mixture of experts or a stack, nested ones too. A
        mixture itself is returned as it is.

    Returns
    -------
    mixture : MixtureOfExpertsRegressor, MixtureOfExpertsClassifier or stack
        It is for predictions, summaries and displays. `fit`, `partial_fit` and the
        conversion to ONNX raise a ValueError, since they need the pipeline, or its last step alone.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts, such as a
        `TransformedTargetRegressor`: use `family="lognormal"`, or pass its `regressor_`.

    See Also
    --------
    skmoe.inspection.export_text : The experts of a pipeline as equations.
    skmoe.metrics.log_density_scorer : The mean of `score_samples`, which accepts pipelines.

    Notes
    -----
    Where the last steps scale columns by `StandardScaler`, `RobustScaler`, `MinMaxScaler` or
    `MaxAbsScaler`, coefficients and their standard errors are those of the columns before them, in
    their units. The same holds for scalers inside a `ColumnTransformer` with dense output. Behind
    other steps the features of `expert_coef_` and `summary` are those that the steps make. They
    have the names of `get_feature_names_out`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.recipes import mixture_of
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), moe).fit(X, y)
    >>> mixture_of(pipeline).predict_interval(X[:1], coverage=0.9).shape
    (1, 2)
    >>> mixture_of(pipeline).summary(X, y).inference.terms[2]
    Term(part='expert 0', response='', name='sex')
    """
    steps, mixture = find_steps(estimator)
    return with_input(mixture, steps, names_of_output(steps, mixture.n_features_in_))


class InputSteps(NamedTuple):
    """What a copy of a fitted mixture has in addition: the steps that its rows pass."""

    steps: Sequence[Any]
    mixture: Any  # that was fitted to the output of the steps
    scaling: Standardization | None  # of columns, by the last steps; None if they do not scale

    def in_units(self, fitted: FittedMixture) -> FittedMixture:
        """A mixture of the output whose coefficients are those of the columns before scaling."""
        if self.scaling is None:
            return fitted
        return fitted._replace(preprocessor=fitted.preprocessor.in_units(self.scaling))


def find_steps(estimator: Any) -> tuple[list[Any], Any]:
    """Fitted transformers of pipelines and searches, and the mixture in which they end."""
    if hasattr(estimator, "estimator") and not hasattr(estimator, "best_estimator_"):
        check_is_fitted(estimator)
    steps, mixture = split_pipeline(estimator)
    if not hasattr(mixture, "predict_gate"):
        remedy = (
            "Pass a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier, or a pipeline or "
            "search that ends in one."
        )
        if hasattr(mixture, "regressor_"):
            remedy = "Pass its regressor_, and y as its transformer_ transforms it."
        elif hasattr(mixture, "best_params_"):
            remedy = "Use refit=True, or pass a mixture that is fitted."
        raise TypeError(
            f"estimator must be a mixture of experts; got {type(mixture).__name__}. {remedy}"
        )
    check_is_fitted(mixture)
    if mixture._input is not None:  # a copy that takes the input of its own steps
        return [*steps, *mixture._input.steps], mixture._input.mixture
    return steps, mixture


class ColumnScaling(NamedTuple):
    """A standardisation of columns, or its inverse, as a step of a pipeline."""

    scaling: Standardization
    inverse: bool = False

    def transform(self, X: Any) -> Any:
        """Columns of an array or data frame, standardised or in their units."""
        center, scale = self.scaling
        if not hasattr(X, "columns"):
            return X * scale + center if self.inverse else (X - center) / scale
        columns = {
            name: X[name] * b + a if self.inverse else (X[name] - a) / b
            for name, a, b in zip(X.columns, center, scale, strict=True)
        }
        return X.assign(**columns) if hasattr(X, "assign") else X.with_columns(**columns)


def split_at_scalers(steps: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """The steps up to the last one that does more than to scale columns, and the scalers after.

    A column transformer that scales some of its columns becomes one that does not, and a scaler.
    """
    n_scalers = 0
    while n_scalers < len(steps) and _scaling(steps[-1 - n_scalers]) is not None:
        n_scalers += 1
    end = len(steps) - n_scalers
    others, scalers = list(steps[:end]), list(steps[end:])
    scaling = _scaling_inside(others[-1]) if others else None
    if scaling is None:
        return others, scalers
    return [*others, ColumnScaling(scaling, inverse=True)], [ColumnScaling(scaling), *scalers]


def with_input(mixture: Any, steps: Sequence[Any], names: Sequence[str] | None) -> Any:
    """A copy of a mixture that takes the rows before the steps; the mixture if there are none.

    The names are those of its features if the fit had none.
    """
    unnamed = not hasattr(mixture, "feature_names_in_") and names is not None
    if not steps and not unnamed:
        return mixture
    view = copy(mixture)
    view._input = InputSteps(steps, mixture, _last_scaling(steps, mixture.n_features_in_))
    in_units = view._in_units(mixture._fitted)
    vars(view).update(attributes_of_mixture(in_units) | {"_fitted": mixture._fitted})
    if unnamed:
        view.feature_names_in_ = np.array(names, dtype=object)
    return view


def names_of_output(steps: Sequence[Any], n_features: int) -> list[str] | None:
    """Names of the columns after the last step; None if a step does not name its columns."""
    names: Any = None
    for step in steps:
        try:
            names = step.get_feature_names_out(names)
        except (AttributeError, ValueError):
            return None
    return [str(name) for name in names] if np.size(names) == n_features and steps else None


def _last_scaling(steps: Sequence[Any], n_features: int) -> Standardization | None:
    """The scaling of the columns by the last steps; None if the last one does more."""
    scalings = [found for step in split_at_scalers(steps)[1] if (found := _scaling(step))]
    if not scalings:
        return None
    center, scale = reduce(composed, scalings)
    return Standardization(np.broadcast_to(center, n_features), np.broadcast_to(scale, n_features))


def _scaling_inside(step: Any) -> Standardization | None:
    """The scaling of the columns that a column transformer makes; None if it scales none.

    Columns of sparse output have no units, since they cannot be shifted.
    """
    if not isinstance(step, ColumnTransformer) or getattr(step, "sparse_output_", True):
        return None  # one inside another is not fitted where it has no columns
    size = max(columns.stop for columns in step.output_indices_.values())
    center, scale, found = np.zeros(size), np.ones(size), False
    for name, columns in step.output_indices_.items():
        steps, last = split_pipeline(step.named_transformers_.get(name))
        scaling = _last_scaling([*steps, last], columns.stop - columns.start)
        if scaling is not None:
            center[columns], scale[columns], found = *scaling, True
    return Standardization(center, scale) if found else None


def _scaling(step: Any) -> Standardization | None:
    """What a scaler does to the columns: centre and scale, each (p,) or a number."""
    if isinstance(step, ColumnScaling):
        return None if step.inverse else step.scaling
    if not isinstance(step, SCALERS) or getattr(step, "clip", False):
        return None
    scale = np.ones(1) if step.scale_ is None else step.scale_
    scale = 1.0 / scale if isinstance(step, MinMaxScaler) else scale
    return Standardization(step.inverse_transform(np.zeros((1, step.n_features_in_)))[0], scale)


# --- fits to the rows of other folds ----------------------------------------------------------


def held_out_folds(cv: Any, rows: Rows, remedy: str) -> list[tuple[Array, Array]]:
    """Training and test rows of folds that hold each row out once; five for None.

    Those of a number keep the rows of a group whole.
    """
    if rows.group is not None and (cv is None or is_integer(cv)):
        cv = GroupKFold(5 if cv is None else int(cv))
    folds = list(check_cv(cv, rows.y).split(rows.X, rows.y, rows.group))
    held_out = np.concatenate([test for _, test in folds])
    if not np.array_equal(np.sort(held_out), np.arange(len(rows.y))):
        raise ValueError(
            f"cv must hold each row out once, as KFold does; got {shown(cv)}. {remedy}"
        )
    return folds


def fitted_to(estimator: Any, rows: Rows, index: Array) -> Any:
    """A clone of a mixture, or of a pipeline or search that ends in one, fitted to some rows."""
    is_prefixed = isinstance(estimator, Pipeline) and not get_config()["enable_metadata_routing"]
    prefix = f"{estimator.steps[-1][0]}__" if is_prefixed else ""
    given = {f"{prefix}{name}": values[index] for name, values in rows.arguments.items()}
    return clone(estimator).fit(index_rows(rows.X, index), index_rows(rows.y, index), **given)
