"""export_text: the rules of the regimes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._inference.labels import (
    expert_names,
    feature_labels,
    format_percent,
    gate_name,
    last_step,
    noise_std,
)
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_mixture, check_names, check_table
from skmoe.inspection._grid import spreads


class Wording(NamedTuple):
    """How numbers and names are written."""

    names: list[str]
    scale: Array  # by which slopes are multiplied before they are compared
    per: str
    most: int
    decimals: int


def export_text(estimator, feature_names=None, *, X=None, max_features=5, decimals=2):
    """Describe the regimes of a fitted mixture in words.

    For each expert: its share of the rows, the features by which the gate chooses it, and what it
    says. The gate is told as the log odds of the expert against the average of the others: how much
    they grow with one standard deviation of the feature if `X` is given, and with one unit without.
    Of estimators as experts, what they are and which features they lean on, where they tell.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit, or x0, x1 and so on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose spread makes the slopes of different features comparable.
    max_features : int, default=5
        Most features to name in each line, the largest slopes first; None for all.
    decimals : int, default=2
        Digits after the decimal point.

    Returns
    -------
    text : str
        One block of lines for each expert.

    Raises
    ------
    TypeError
        If the estimator is not a mixture of experts.
    ValueError
        If there is not one name for each feature, or a number is not an integer in its range.

    See Also
    --------
    export_mermaid : The same as a diagram.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import export_text
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> print(export_text(moe, ["depth"], decimals=1))
    MixtureOfExpertsRegressor: 2 experts, softmax gate
    <BLANKLINE>
    expert 0 (linear), 50 % of the rows
      gate: log odds per unit: depth ...
      y = ...
    """
    check_mixture(estimator)
    names = [" ".join(name.split()) for name in check_names(estimator, feature_names)]
    n_features = estimator.n_features_in_
    most = n_features if max_features is None else check_integer("max_features", max_features, 1)
    check_integer("decimals", decimals, least=0)
    spread = np.ones(n_features) if X is None else spreads(check_table(estimator, X))
    per = "unit" if X is None else "standard deviation"
    wording = Wording(names, spread, per, most, decimals)
    n_experts = estimator.n_experts_
    title = f"{type(estimator).__name__}: {n_experts} expert" + "s" * (n_experts > 1)
    lines = [f"{title}, {gate_name(estimator)} gate"]
    for k, kind in enumerate(expert_names(estimator)):
        lines += ["", f"expert {k} ({kind}), {format_percent(estimator.weights_[k])} of the rows"]
        told = _tell_gate(estimator, k, wording) + _tell_expert(estimator, k, wording)
        lines += [f"  {line}" for line in told]
    return "\n".join(lines)


def gate_leanings(estimator: Any) -> Array | None:
    """Slopes (K, q) of the log odds of each expert against the others; None if there are none."""
    slopes = getattr(estimator, "gate_coef_", None)
    if slopes is None or len(slopes) == 1 or not slopes.any():
        return None
    return slopes * len(slopes) / (len(slopes) - 1.0)


def encoded_columns(estimator: Any) -> list[str] | None:
    """Names of the gate's columns where it sees categories and holes as numbers; else None."""
    names = [str(name) for name in estimator.gate_feature_names_]
    return None if names == feature_labels(estimator) else names


def _tell_gate(estimator: Any, k: int, wording: Wording) -> list[str]:
    leanings = gate_leanings(estimator)
    if estimator.n_experts_ == 1:
        return []
    if leanings is None:
        if hasattr(estimator, "gate_coef_"):
            return ["gate: the same for all rows"]
        return ["gate: of its own kind; predict_gate tells its probabilities"]
    names = encoded_columns(estimator)
    if names is not None:
        wording = wording._replace(names=names, scale=np.ones(len(names)), per="unit")
    slopes = leanings[k] * wording.scale
    terms = [
        f"{wording.names[j]} {slopes[j]:+.{wording.decimals}f}"
        for j in _largest(slopes, wording.most)
    ]
    return [f"gate: log odds per {wording.per}: {', '.join(terms)}{_rest(slopes, wording)}"]


def _tell_expert(estimator: Any, k: int, wording: Wording) -> list[str]:
    if hasattr(estimator, "experts_"):
        lines = _tell_models(estimator.experts_[k], wording)
    elif hasattr(estimator, "coef_"):
        lines = _equations(estimator, k, wording)
    else:
        lines = []
    deviations = noise_std(estimator)
    if deviations is not None and deviations[k]:
        told = ", ".join(f"{value:.{wording.decimals}f}" for value in deviations[k])
        lines.append(f"noise: standard deviation {told}")
    return lines


def _equations(estimator: Any, k: int, wording: Wording) -> list[str]:
    """One equation for each output, or for each class whose logit the expert has."""
    slopes = np.atleast_2d(estimator.coef_[k])
    intercepts = np.atleast_1d(estimator.intercept_[k])
    if not is_classifier(estimator):
        sides = ["y"] if len(slopes) == 1 else [f"y{i}" for i in range(len(slopes))]
    elif len(slopes) == 1:
        sides = [f"log odds of class {estimator.classes_[1]}"]
    else:
        sides = [f"logit of class {label}" for label in estimator.classes_]
    if estimator.expert != "linear":  # a family with a link of its own
        sides = [f"linear predictor of {side}" for side in sides]
    return [
        f"{side} = {_sum(intercept, row, wording)}"
        for side, intercept, row in zip(sides, intercepts, slopes, strict=True)
    ]


def _sum(intercept: float, slopes: Array, wording: Wording) -> str:
    """An intercept and the largest terms."""
    told = f"{intercept:.{wording.decimals}f}"
    for j in _largest(slopes * wording.scale, wording.most):
        sign = "-" if slopes[j] < 0 else "+"
        told += f" {sign} {abs(slopes[j]):.{wording.decimals}f} {wording.names[j]}"
    return told + _rest(slopes, wording)


def _tell_models(models: Sequence[Any], wording: Wording) -> list[str]:
    """What can be said of the models of an expert, one for each fold."""
    steps = [last_step(model) for model in models]
    lines = []
    if len(models) > 1:
        lines.append(f"average of {len(models)} models, one for each fold")
    if all(hasattr(step, "get_n_leaves") for step in steps):
        leaves = _range([step.get_n_leaves() for step in steps])
        depths = _range([step.get_depth() for step in steps])
        lines.append(f"{leaves} leaves, depth {depths}")
    if all(hasattr(step, "predict_gate") for step in steps):
        lines.append(f"itself a mixture of {_range([step.n_experts_ for step in steps])} experts")
    importances = [np.asarray(getattr(step, "feature_importances_", [])) for step in steps]
    if all(len(values) == len(wording.names) for values in importances):
        mean = np.mean(importances, axis=0)
        terms = [
            f"{wording.names[j]} {mean[j]:.{wording.decimals}f}"
            for j in _largest(mean, wording.most)
        ]
        if terms:
            lines.append(f"leans on {', '.join(terms)} (shares of importance)")
    return lines


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _largest(slopes: Array, most: int) -> Array:
    """Indices of the largest slopes that are not zero."""
    order = np.argsort(-np.abs(slopes), kind="stable")
    return order[np.abs(slopes[order]) > 0.0][:most]


def _rest(slopes: Array, wording: Wording) -> str:
    """How many slopes were left out."""
    left = int(np.count_nonzero(slopes)) - wording.most
    return f", and {left} more" if left > 0 else ""
