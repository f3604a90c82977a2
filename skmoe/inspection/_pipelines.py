"""Mixtures at the end of pipelines and searches, as functions of the input of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skmoe._data.sklearn_adapter import split_pipeline
from skmoe._inference.coefficients import ALL_EXPERTS, INTERCEPT, Coefficients
from skmoe._inference.labels import feature_labels
from skmoe._inference.results import Inference
from skmoe._numerics.typing import Array
from skmoe.protocols import LinearPredictor

# What the features are if a pipeline makes others of those that it is given.
TRANSFORMED_NOTE = "features are those of the transformed table"


class Subject(NamedTuple):
    """What is drawn or described: a mixture, and rows that it takes."""

    mixture: Any
    X: Any
    note: str = ""  # what the features are, if they are not those of the rows that were given


class Scaling(NamedTuple):
    """Features of the mixture as functions of those of the input: slope * x + offset, each (p,)."""

    slope: Array
    offset: Array


def find_mixture(estimator: Any, X: Any = None) -> Subject:
    """The mixture in which pipelines and searches end, and rows that it takes.

    Where the other steps scale columns, the mixture is one of the input, in its units and with its
    names, and the rows are those given. Other steps are applied to the rows, and the features are
    those of the transformed table.
    """
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
    if not steps:
        return Subject(mixture, X)
    names = getattr(mixture, "feature_names_in_", None)
    n_features = mixture.n_features_in_
    scaling = _composed_scaling(steps, n_features)
    if scaling is not None:
        inputs = getattr(steps[0], "feature_names_in_", names)
        return Subject(_of_input(mixture, steps, scaling, feature_labels(inputs, n_features)), X)
    note = TRANSFORMED_NOTE
    rows = None if X is None else _transform(steps, X)
    made = _names_of_output(steps)
    if names is not None or made is None or len(made) != n_features:
        return Subject(mixture, rows, note)
    unscaled = Scaling(np.ones(n_features), np.zeros(n_features))
    return Subject(_of_input(mixture, [], unscaled, made), rows, note)


def _transform(steps: Sequence[Any], X: Any) -> Any:
    for step in steps:
        X = step.transform(X)
    return X


def _names_of_output(steps: Sequence[Any]) -> list[str] | None:
    """Names of the columns after the last step; None if a step does not name its columns."""
    names: Any = None
    for step in steps:
        try:
            names = step.get_feature_names_out(names)
        except (AttributeError, ValueError):
            return None
    return [str(name) for name in names]


# --- scalers ----------------------------------------------------------------------------------


def _composed_scaling(steps: Sequence[Any], n_features: int) -> Scaling | None:
    """The scaling by all steps; None if one is no invertible scaler of columns."""
    slope, offset = 1.0, 0.0
    for step in steps:
        scaling = _scaling(step)
        if scaling is None:
            return None
        slope, offset = scaling[0] * slope, scaling[0] * offset + scaling[1]
    return Scaling(np.broadcast_to(slope, n_features), np.broadcast_to(offset, n_features))


def _scaling(step: Any) -> tuple[Any, Any] | None:
    """Slope and offset of a scaler, each (p,) or a number."""
    if isinstance(step, (StandardScaler, RobustScaler)):
        centre = step.mean_ if isinstance(step, StandardScaler) else step.center_
        is_centred = step.with_mean if isinstance(step, StandardScaler) else step.with_centering
        slope = 1.0 if step.scale_ is None else 1.0 / step.scale_
        return slope, (-centre * slope if is_centred else 0.0)
    if isinstance(step, MinMaxScaler) and not step.clip:
        return step.scale_, step.min_
    if isinstance(step, MaxAbsScaler) and not getattr(step, "clip", False):
        return 1.0 / step.scale_, 0.0
    return None


# --- the mixture of the input -----------------------------------------------------------------


def _of_input(mixture: Any, steps: Sequence[Any], scaling: Scaling, names: Sequence[str]) -> Any:
    """A copy of a mixture that takes the input of the steps, with coefficients in its units.

    Its methods are those of the mixture, given transformed rows.
    """

    def takes_input(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda X, *others, **options: method(_transform(steps, X), *others, **options)

    view = copy(mixture)
    view.feature_names_in_ = np.array(names, dtype=object)
    view.predict = takes_input(mixture.predict)
    view.predict_gate = takes_input(mixture.predict_gate)
    view.predict_experts = takes_input(mixture.predict_experts)
    view.responsibilities = takes_input(mixture.responsibilities)
    view.score_samples = takes_input(mixture.score_samples)
    if is_classifier(mixture):
        view.predict_proba = takes_input(mixture.predict_proba)
    else:
        view.predict_dist = takes_input(mixture.predict_dist)
        view.predict_interval = takes_input(mixture.predict_interval)
    if hasattr(mixture, "expert_coef_"):
        for block in _predictors(mixture):
            coef, intercept = vars(mixture)[block.coef], vars(mixture)[block.intercept]
            vars(view)[block.intercept] = intercept + coef @ scaling.offset
            vars(view)[block.coef] = coef * scaling.slope
        explain, inference = takes_input(mixture.explain), takes_input(mixture.inference)
        view.explain = lambda *data, **options: _scaled_effects(explain(*data, **options), scaling)
        view.inference = lambda *data, **options: _inference_of_input(
            inference(*data, **options), mixture, names, scaling
        )
    if hasattr(mixture, "gate_coef_"):
        slope, offset = _gate_scaling(mixture, scaling)
        view.gate_intercept_ = mixture.gate_intercept_ + mixture.gate_coef_ @ offset
        view.gate_coef_ = mixture.gate_coef_ * slope
    return view


def _predictors(mixture: Any) -> list[LinearPredictor]:
    """The linear predictors of the experts."""
    return [b for b in mixture.coefficient_blocks_ if isinstance(b, LinearPredictor)]


def _names_of(mixture: Any) -> list[str]:
    return feature_labels(getattr(mixture, "feature_names_in_", None), mixture.n_features_in_)


def _gate_scaling(mixture: Any, scaling: Scaling) -> Scaling:
    """The scaling of the columns of the gate, of which some may be derived from features."""
    position = {name: j for j, name in enumerate(_names_of(mixture))}
    index = [position.get(str(name), -1) for name in mixture.gate_feature_names_]
    slope, offset = np.append(scaling.slope, 1.0), np.append(scaling.offset, 0.0)
    return Scaling(slope[index], offset[index])


def _scaled_effects(explained: Bunch, scaling: Scaling) -> Bunch:
    """Derivatives by the features of the input."""
    derivatives = {"slope", "gate_effect"} & set(explained)
    return Bunch(**{**explained, **{name: explained[name] * scaling.slope for name in derivatives}})


def _inference_of_input(
    result: Inference, mixture: Any, new_names: Sequence[str], scaling: Scaling
) -> Inference:
    """Inference on the coefficients of the features of the input, which are linear in the others.

    An offset of a feature is added to the intercepts of the part, or of all experts for a slope
    that they share.
    """
    names = _names_of(mixture)
    feature: dict[str, tuple[int, str, str]] = {}
    for block in _predictors(mixture):
        (intercept,) = block.terms([INTERCEPT])
        renamed = zip(block.terms(names), block.terms(new_names), strict=True)
        feature |= {name: (j, new, intercept) for j, (name, new) in enumerate(renamed)}
    terms, change = list(result.terms), np.eye(len(result.terms))
    for i, (part, response, name) in enumerate(result.terms):
        if name not in feature or result.is_dispersion[i]:
            continue
        j, new_name, intercept = feature[name]
        change[i, i] = scaling.slope[j]
        terms[i] = terms[i]._replace(name=new_name)
        for other, (own_part, own_response, own_name) in enumerate(result.terms):
            same_part = own_part == part or (part == ALL_EXPERTS and own_part.startswith("expert"))
            if own_name == intercept and own_response == response and same_part:
                change[other, i] = scaling.offset[j]
    replicates = None if result.replicates is None else result.replicates @ change.T
    return Inference(
        Coefficients(terms, change @ result.estimates, result.is_dispersion, result.has_ratio),
        change @ result.covariance @ change.T,
        result.reasons,
        result.method,
        replicates,
        result.max_shift,
    )
