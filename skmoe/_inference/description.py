"""What texts, diagrams, pages and graphs show of a fitted mixture: predictors, equations, noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._inference.labels import (
    base_term,
    counted_noun,
    format_percent,
    link_equation,
    named_dispersions,
    printable_name,
)
from skmoe._numerics.typing import Array
from skmoe.protocols import LinearPredictor


class Equation(NamedTuple):
    """A linear predictor of an expert, in the units of the features."""

    text: str  # with a place for the predictor
    coefficients: Array  # intercept and slopes, (1 + p,)
    least: float  # effects of less than a part of it are nothing


class ExpertDescription(NamedTuple):
    """An expert as it is shown."""

    name: str
    kind: str
    share: str  # in per cent
    counted: str  # what the shares are of
    equations: list[Equation]
    at_bound: Array  # features whose slopes are zero by their signs
    dispersions: dict[str, list[float]]


def linear_predictors(estimator: Any) -> list[LinearPredictor]:
    """The blocks of coefficients that are linear predictors, that of the mean first."""
    blocks = [b for b in estimator.coefficient_blocks_ if isinstance(b, LinearPredictor)]
    return sorted(blocks, key=lambda block: not block.is_main)


def coefficients_of(estimator: Any, block: LinearPredictor) -> Array:
    """Intercepts and slopes, (K, V, 1 + p), of outputs, or of the logits of all classes.

    Experts without linear predictor have zeros.
    """
    features = np.arange(estimator.n_features_in_)
    values = np.nan_to_num(block.values(vars(estimator), estimator.n_experts_, features))
    if block.is_main and values.shape[1] < len(getattr(estimator, "classes_", ())):
        values = np.concatenate([np.zeros_like(values), values], axis=1)  # log odds of the second
    return values


def describe_experts(estimator: Any) -> list[ExpertDescription]:
    """The experts of a fitted mixture."""
    at_bound = getattr(estimator, "slopes_at_bound_", None)
    predictors = linear_predictors(estimator)
    found = []
    for k, kind in enumerate(estimator.expert_kinds_):
        held = np.zeros(0, dtype=int)
        if at_bound is not None and predictors:
            held = np.flatnonzero(np.atleast_2d(at_bound[k]).all(axis=0))
        found.append(
            ExpertDescription(
                printable_name(estimator.expert_names_[k]),
                kind,
                format_percent(estimator.weights_[k]),
                counted_noun(hasattr(estimator, "n_units_")),
                [each for block in predictors for each in _equations(estimator, block, k)],
                held,
                named_dispersions(estimator, k),
            )
        )
    return found


def _equations(estimator: Any, block: LinearPredictor, k: int) -> list[Equation]:
    """One equation for each output, or for each class with a logit of the expert."""
    values = coefficients_of(estimator, block)[k]
    scale, responses = "logit", ["y"] if len(values) == 1 else [f"y{i}" for i in range(len(values))]
    base = "" if estimator.base_ is None else f"{base_term(estimator.link_)} + "
    if is_classifier(estimator):
        scale, (reference, *others) = "log odds", estimator.classes_
        against = f" against class {reference}" * (len(others) > 1)
        responses = [f"class {label}{against}" for label in others]
        values, base = values[1:] - values[0], "terms of the base + " * bool(base)
    family = estimator.families_[k] if hasattr(estimator, "families_") else None
    link = block.link if not block.is_main else estimator.link_ if family is None else family.link
    # Effects of less than a part of one are nothing on the scale of a log, and of less than that
    # part of the noise on the scale of y.
    least = np.ones(len(values))
    if link == "identity":
        noise = getattr(estimator, "noise_variance_", np.zeros(estimator.n_experts_))[k]
        least = np.resize(np.sqrt(np.nan_to_num(noise)), len(values))
    texts = []
    for response in responses:
        predictor = base + "{predictor}"
        if not block.is_main:
            texts.append(f"{block.label}{f' of {response}' * (len(values) > 1)} = {{predictor}}")
        elif family is not None:
            texts.append(family.equation.format(response=response, predictor=predictor))
        else:
            texts.append(link_equation(estimator.link_, response, predictor, scale))
    return list(map(Equation, texts, values, least.tolist()))
