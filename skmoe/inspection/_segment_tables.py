"""Tables of experts and features: profiles, coefficients, and effects on the gate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length

from skmoe._data.censored_targets import bounds_of, point_values
from skmoe._data.row_checks import check_weights
from skmoe._data.rows import Rows
from skmoe._numerics.typing import Array
from skmoe.exceptions import FitMismatchWarning
from skmoe.inspection._grid import (
    column_stds,
    feature_axis,
    is_numeric,
    levels_of,
    make_grid,
    numeric_values,
    values_of,
)
from skmoe.inspection._subject import (
    check_targets,
    names_of_fit,
    observed_target,
    one_target,
    row_weights,
    target_name,
)
from skmoe.protocols import LinearPredictor

# Before a ratio.
RATIO_SIGN = "\N{MULTIPLICATION SIGN}"

# Small effects, on a log scale or in standard deviations of y.
SMALL_EFFECT = 0.1

# Quantiles of a feature between which a function changes.
EFFECT_QUANTILES = np.linspace(0.05, 0.95, 7)


class Column(NamedTuple):
    """A feature, or a category of one, which is 1 in its rows and 0 in the others."""

    feature: int
    category: str  # "" for a feature of numbers
    is_share: bool  # whether it consists of zeros and ones
    mean: float  # over the rows
    difference: Array  # of the experts' means from that of all rows, in deviations, (K,)
    deviation: float  # standard deviation over the rows; 0 for a constant column

    def name(self, features: Sequence[str]) -> str:
        """Its name, by those of the features."""
        return features[self.feature] + (f"_{self.category}" if self.category else "")


class CoefficientTable(NamedTuple):
    """Coefficients (p, K) of a linear predictor of the experts, NaN where they have none."""

    block: LinearPredictor
    estimates: Array
    intervals: Array | None  # (p, K, 2)
    is_ratio: Array  # whether they are logs of ratios, (K,)
    name: str  # what they are effects on
    negligible: float  # size of a small effect of one standard deviation of a feature


def positive_rows(rows: Rows) -> Rows:
    """The rows of positive weight: rows of weight zero are absent."""
    if rows.weight is None:
        return rows
    rows = rows._replace(weight=check_weights(rows.weight, rows.n_rows))
    if (rows.weight == 0.0).any():
        check_consistent_length(rows.weight, rows.y, rows.offset, rows.unit, rows.possible)
    return rows.of_positive_weight()


# --- the profile ------------------------------------------------------------------------------


def profile_columns(
    rows: Rows, resp: Array, features: Sequence[int], absent: float = 0.0
) -> list[Column]:
    """Features of numbers, and indicators of the categories of others, `absent` where missing."""
    columns = []
    for j in features:
        values = values_of(rows.X, j)
        by_category = {"": values}
        if not is_numeric(rows.X, j):
            missing = np.array([absent if value is None else 0.0 for value in values])
            by_category = {name: (values == name) + missing for name in levels_of(rows.X, j).values}
        columns += [_column(j, name, of, rows, resp) for name, of in by_category.items()]
    return columns


def _column(j: int, category: str, values: Array, rows: Rows, resp: Array) -> Column:
    """Missing values are left out. The mean of an expert without rows is NaN."""
    known = np.isfinite(values)
    values, weight, resp = values[known], row_weights(rows)[known], resp[known]
    of_expert, is_share = weight @ resp, bool(np.isin(values, (0.0, 1.0)).all())
    if len(values) == 0 or values.min() == values.max():
        none = np.where(of_expert > 0.0, 0.0, np.nan)
        return Column(j, category, is_share, np.nan, none, 0.0)
    mean, scale = weight @ values / weight.sum(), deviation(values, weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (weight * (values - mean)) @ resp / of_expert / scale
    return Column(j, category, is_share, mean, difference, scale)


def deviation(values: Array, weight: Array) -> float:
    """Standard deviation of weighted values."""
    centred = values - weight @ values / weight.sum()
    return float(np.sqrt(weight @ centred**2 / weight.sum()))


def column_deviations(rows: Rows) -> Array:
    """Standard deviation of each column of numbers, (p,), over weighted rows."""
    columns = [numeric_values(rows.X, j) for j in range(rows.X.shape[1])]
    return np.array([deviation(values, row_weights(rows)) for values in columns])


# --- the experts ------------------------------------------------------------------------------


def coefficient_tables(
    estimator: Any, rows: Rows, target: Any, level: float | None
) -> list[CoefficientTable]:
    """Coefficients of an output or of classes, with intervals if there are standard errors.

    The first tables are those of the mean of y, or of what stands in its place. Of several classes
    all but the first have one, since that is the class against which they have log odds. There are
    none without linear predictors.
    """
    if not hasattr(estimator, "expert_coef_"):
        return []
    indices = check_targets(estimator, target, rows.X)
    result = None if level is None else _inference_or_none(estimator, rows)
    blocks = [b for b in estimator.coefficient_blocks_ if isinstance(b, LinearPredictor)]
    blocks.sort(key=lambda block: not block.is_main)
    return [
        _coefficient_table(estimator, block, rows, index, result, level)
        for block, index in product(blocks, indices[len(indices) > 1 :])
    ]


def _coefficient_table(
    estimator: Any, block: LinearPredictor, rows: Rows, index: int, result: Any, level: float | None
) -> CoefficientTable:
    """Coefficients of one linear predictor, with intervals of the given inference."""
    coef = np.array(vars(estimator)[block.coef])
    n_experts, n_features = len(coef), coef.shape[-1]
    coef = coef.reshape(n_experts, -1, n_features)
    sign, position = 1.0, index if coef.shape[1] > 1 else 0
    families = getattr(estimator, "families_", ()) if block.is_main else ()
    is_ratio = np.array([bool(family.measures) for family in families] or [False] * n_experts)
    if block.is_main and is_classifier(estimator):
        # Those of classes are log odds against the first one, and of that against the second.
        sign, is_ratio = 1.0 if index else -1.0, ~is_ratio
        coef = coef[:, 1:] - coef[:, :1] if coef.shape[1] > 1 else coef
        position = max(index - 1, 0)
    estimates = sign * coef[:, position].T
    # Features without a coefficient, and experts without linear predictor, have zeros.
    has_predictor = np.array([family.link != "" for family in families] or [True] * n_experts)
    estimates[:, ~has_predictor] = np.nan
    estimates[~coef.any(axis=(0, 1))] = np.nan
    intervals = None
    if result is not None:
        intervals = np.full((n_features, n_experts, 2), np.nan)
        of_terms = np.sort(sign * result.conf_int(level), axis=1)
        for cell, term in _locate_terms(estimator, block, result.terms, position).items():
            is_held = result.reasons[term] == "at its bound" and has_predictor[cell[1]]
            if is_held or not np.isnan(estimates[cell]):
                estimates[cell] = sign * result.estimates[term]
                intervals[cell] = of_terms[term]
    name = _coefficient_name(estimator, rows.y, index)
    negligible = SMALL_EFFECT
    if not is_classifier(estimator) and not is_ratio.any():
        negligible *= deviation(
            observed_target(estimator, point_values(bounds_of(rows.y)), index), row_weights(rows)
        )
    return CoefficientTable(block, estimates, intervals, is_ratio, name, negligible)


def dropped_features(estimator: Any) -> Array:
    """Features, (p,), that the experts have dropped by infinite penalties."""
    penalty = getattr(estimator, "alpha_", None)
    if isinstance(penalty, np.ndarray):
        return np.isposinf(penalty)
    return np.zeros(estimator.n_features_in_, dtype=bool)


def _coefficient_name(estimator: Any, y: Any, index: int) -> str:
    """What the coefficients are effects on."""
    if is_classifier(estimator):
        own, other = estimator.classes_[[index, 0 if index else 1]]
        return f"Odds ratio of class {own} against class {other}"
    name = target_name(estimator, y, index)
    families = [family for family in getattr(estimator, "families_", ()) if family.link]
    ratios = {family.measures[0].name if family.measures else "" for family in families}
    if len(ratios) == 1 and "" not in ratios:
        return f"{ratios.pop().capitalize()} of {name}"
    return f"Effect on {name}" + (f", ratios: {RATIO_SIGN}" if ratios - {""} else "")


def _inference_or_none(estimator: Any, rows: Rows) -> Any:
    """Standard errors; None for mixtures that have none, such as those with a base model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitMismatchWarning)
        try:
            return estimator.inference(rows.X, rows.y, **rows.arguments)
        except ValueError:
            return None


def _locate_terms(
    estimator: Any, block: LinearPredictor, terms: Sequence[Any], position: int
) -> dict[Any, int]:
    """Index of the term of each feature and expert, for the output or class at a position."""
    of_experts = [term for term in terms if term.part != "gate"]
    if not of_experts:  # no expert has a linear predictor
        return {}
    response = list(dict.fromkeys(term.response for term in of_experts))[position]
    names = names_of_fit(estimator)
    found = {}
    for k, expert in enumerate(estimator.expert_names_):
        index = {
            (term.response, term.name): i
            for i, term in enumerate(terms)
            if term.part == "all experts" or f", {expert}, " in f", {term.part}, "
        }
        for j, name in enumerate(block.terms(names)):
            if (response, name) in index:
                found[j, k] = index[response, name]
    return found


# --- the gate ---------------------------------------------------------------------------------


def gate_slopes(estimator: Any, columns: Sequence[Column]) -> Array | None:
    """Log odds (F, K) of each expert against the first for one unit more of each column.

    NaN for columns that the gate does not use; None if it uses none of them.
    """
    log_odds = gate_log_odds(estimator)
    if log_odds is None:
        return None
    position = {str(name): j for j, name in enumerate(estimator.gate_feature_names_)}
    slopes = np.full((len(columns), len(log_odds)), np.nan)
    names = names_of_fit(estimator)
    for i, column in enumerate(columns):
        j = position.get(column.name(names))
        if j is not None and log_odds[:, j].any():
            slopes[i] = log_odds[:, j]
    return None if np.isnan(slopes).all() else slopes


def gate_log_odds(estimator: Any) -> Array | None:
    """Slopes (K, q) of the log odds of each expert against the first one; None without any."""
    slopes = getattr(estimator, "gate_coef_", None)
    if slopes is None or estimator.n_experts_ == 1 or not slopes.any():
        return None
    return np.asarray(slopes - slopes[0])


def derived_gate_columns(estimator: Any) -> list[str] | None:
    """Names of the columns of the gate if they are derived from the features; otherwise None."""
    names = [str(name) for name in estimator.gate_feature_names_]
    return None if names == names_of_fit(estimator) else names


def gate_effects(estimator: Any, X: Any) -> Array | None:
    """Range (p,) over the experts of their log odds for one standard deviation of each feature.

    None for a gate without slopes, or one whose columns are derived from the features.
    """
    log_odds = gate_log_odds(estimator)
    if log_odds is None or derived_gate_columns(estimator) is not None:
        return None
    effects: Array = np.ptp(log_odds, axis=0) * column_stds(X)
    return effects


def leading_feature(estimator: Any, X: Any, of_experts: Array | None = None) -> int:
    """The feature with the largest effect on the gate, or on the experts under a constant gate.

    Without slopes of the gate, an effect is the largest change of a probability, or of a
    prediction, with the other features at their medians. With the effects `of_experts` (p, K) it is
    a feature that some expert uses, if there is one.
    """
    effects = gate_effects(estimator, X)
    if effects is None:
        effects = changes_over_features(X, estimator.predict_gate).max(axis=1)
    if of_experts is not None and of_experts.any():
        effects = np.where(of_experts.any(axis=1), effects, 0.0)
    if not np.any(effects > 0.0):
        effects = changes_over_features(X, estimator.predict_experts).max(axis=1)
    return int(np.argmax(effects))


def expert_effects(estimator: Any, X: Any, index: int) -> Array:
    """Effects (p, K) of the features on the experts' predictions of an output or class.

    Absolute coefficients for one standard deviation, or changes of predictions with the other
    features at their medians.
    """
    n_experts = estimator.n_experts_
    if hasattr(estimator, "expert_coef_"):
        coef = estimator.expert_coef_.reshape(n_experts, -1, estimator.n_features_in_)
        of_target = coef[:, index if coef.shape[1] > 1 else 0]
        effects: Array = np.abs(of_target.T) * column_stds(X)[:, None]
        return effects
    return changes_over_features(
        X, lambda rows: one_target(estimator.predict_experts(rows), index, 2)
    )


def changes_over_features(X: Any, function: Callable[[Any], Array]) -> Array:
    """Changes (p, m) over each feature of the m values that a function of rows has."""
    changes: list[Array] = []
    for j in range(X.shape[1]):
        try:
            axis = feature_axis(X, j, "", len(EFFECT_QUANTILES))
        except ValueError:  # it does not vary
            changes.append(np.zeros(1))
            continue
        is_numeric = axis.categories is None
        grid = np.nanquantile(axis.observed, EFFECT_QUANTILES) if is_numeric else axis.grid
        values = function(make_grid(X, [j], grid[:, None]))
        changes.append(np.ptp(values.reshape(len(values), -1), axis=0))
    width = max(len(change) for change in changes)
    return np.array([np.broadcast_to(change, width) for change in changes])
