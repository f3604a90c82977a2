"""Adapter for scikit-learn estimators: weighted fits, predictions, predictive densities.

Weights and groups pass through pipelines, searches and ensembles of scikit-learn. Where they would
be left out without an error, the rules here go from estimator to estimator, and ask the signatures
of the innermost ones. Missing values and sparse matrices are refused by the estimators themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from inspect import signature
from typing import Any, TypeVar

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
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
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import has_fit_parameter

from skmoe._data.rows import RawFeatures
from skmoe._numerics.typing import TINY, Array

ScorerT = TypeVar("ScorerT", bound=Callable[..., float])

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


# --- weights ----------------------------------------------------------------------------------


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
        if not hasattr(estimator.cv, "get_metadata_routing"):
            return None
        divides = estimator.cv.get_metadata_routing().split.requests.get(GROUPS)
        return GROUPS if divides else None
    if isinstance(estimator, PASS_ARGUMENTS):
        parts = inner_estimators(estimator)
        return groups_argument(parts[0]) if parts else None
    # Mixtures refuse groups that they do not use.
    uses_groups = getattr(estimator, "_uses_groups", True)
    return GROUPS if uses_groups and has_fit_parameter(estimator, GROUPS) else None


# --- missing values ---------------------------------------------------------------------------


def may_accept_missing_values(estimator: Any) -> bool:
    """Whether an estimator accepts missing values, as far as its tag shows.

    What pipelines and ensembles do with them depends on the estimators inside: their fits answer.
    """
    names, own_names = (set(estimator.get_params(deep=deep)) for deep in (True, False))
    return names != own_names or bool(get_tags(estimator).input_tags.allow_nan)


# Lower bound for class probabilities, so that a single row cannot have unlimited influence, and for
# that of all classes together, of which there can be many.
MIN_CLASS_PROBABILITY = 1e-3
MAX_UNIFORM_PROBABILITY = 1e-2

# Largest difference of a sum of class probabilities from one: that of sums in single precision.
PROBABILITY_SUM_TOL = 1e-3

# Estimators that accept validated features: validation takes longer than their fit to few rows.
TREES = (DecisionTreeRegressor, DecisionTreeClassifier)

# Losses of regressors for which normal noise is the wrong density, with the remedy.
LOSSES = {
    "poisson": 'For counts use family="poisson".',
    "gamma": 'For positive targets use family="gamma".',
    "tweedie": 'For targets with zeros use expert="linear", family=["zero", "gamma"].',
    "quantile": "For quantiles use experts of the mean, and predict_quantile.",
}


# Regressors whose steps, tolerances or penalties are for a target of the order of one.
OF_STANDARDISED_TARGETS = {
    "MLPRegressor",
    "SVR",
    "NuSVR",
    "LinearSVR",
    "SGDRegressor",
    "NeuralNetRegressor",
}


def with_standardised_target(estimator: Any) -> Any:
    """The estimator, on a standardised target if its fit needs one, with predictions as given."""
    if type(final_estimator(estimator)).__name__ not in OF_STANDARDISED_TARGETS:
        return estimator
    return TransformedTargetRegressor(estimator, transformer=StandardScaler())


def fit_estimator(
    estimator: Any, seed: int, X: Any, y: Array, weight: Array, metadata: dict[str, Any]
) -> Any:
    """Clone fitted with weights and metadata; a constant classifier if y has a single class."""
    if is_classifier(estimator) and len(np.unique(y)) < 2:
        return DummyClassifier().fit(np.zeros((len(y), 1)), y)
    model = _seeded_clone(estimator, seed)
    # Weights of one are not passed: some estimators take a slow path with any weights.
    # Metadata of a pipeline are routed to its steps before, and those of others by the fit itself.
    kinds = (*COMMITTEES, *BAGGING, *PASS_ARGUMENTS, *NEED_WEIGHTS)
    alone = isinstance(model, Pipeline) or (isinstance(model, kinds) and not {*metadata} - {GROUPS})
    routed = get_config()["enable_metadata_routing"] and not alone
    weights = {}
    if not (weight == 1.0).all():
        weights = {WEIGHT if routed else weight_argument(model) or WEIGHT: weight}
    with config_context(enable_metadata_routing=routed):
        return model.fit(X, y, **weights, **metadata)


def groups_of_folds(estimator: Any, groups: Array | None) -> dict[str, Array]:
    """Arguments of fit that keep the rows of a group on one side of folds inside an estimator."""
    argument = None if groups is None else groups_argument(estimator)
    return {} if argument is None or groups is None else {argument: groups}


def validate_for_trees(estimators: Sequence[Any], features: RawFeatures) -> RawFeatures:
    """Features that trees need not validate in each fit, if all estimators are trees.

    They are of single precision, which trees use inside, and without missing values.
    """
    X = features.X
    # The targets of the Poisson criterion are validated with the features.
    if not isinstance(X, np.ndarray) or not all(
        type(model) in TREES and model.criterion != "poisson" for model in estimators
    ):
        return features
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(X, dtype=np.float32)
    if not np.isfinite(single).all():
        return features
    return features._replace(X=single, is_validated=True)


def unchecked(model: Any, features: RawFeatures) -> dict[str, Any]:
    """Arguments by which a tree skips the validation of features that are validated."""
    return {"check_input": False} if features.is_validated and type(model) in TREES else {}


def _seeded_clone(estimator: Any, seed: int) -> Any:
    """Clone whose random states are set where they are None."""
    if type(estimator) in TREES and estimator.random_state is None:
        # Without nested estimators, copying is enough; `clone` inspects signatures.
        model = copy(estimator)
        for name in [name for name in vars(model) if name.endswith("_")]:
            delattr(model, name)
        model.random_state = seed
        return model
    model = clone(estimator)
    seeds = {
        name: seed
        for name, value in model.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return model.set_params(**seeds) if seeds else model


def is_constant(model: Any) -> bool:
    """Whether a fitted model is the constant classifier of rows of a single class."""
    return isinstance(model, DummyClassifier) and len(model.classes_) == 1


def typical_model(models: Sequence[Any]) -> Any:
    """One of the models of an expert: a constant, of a fold with a single class, if all are."""
    return next((model for model in models if not is_constant(model)), models[0])


def has_density(estimator: Any) -> bool:
    """Whether an estimator has a method score_samples(X, y): the log density of y."""
    method = getattr(final_estimator(estimator), "score_samples", None)
    return method is not None and "y" in signature(method).parameters


def final_estimator(estimator: Any) -> Any:
    """The last step of pipelines, and the estimator of searches; others as they are."""
    return split_pipeline(estimator)[1]


def named_estimator(model: Any) -> Any:
    """The estimator whose class names a fitted model: without the scaling of its target."""
    final = final_estimator(model)
    if isinstance(final, TransformedTargetRegressor):
        return final_estimator(final.regressor_)
    return final


def split_pipeline(estimator: Any) -> tuple[list[Any], Any]:
    """Transformers of pipelines and searches, in their order, and the final estimator."""
    steps: list[Any] = []
    while True:
        is_search = isinstance(estimator, SEARCHES) and estimator.refit
        inner = estimator.estimator if is_search else estimator
        inner = getattr(estimator, "best_estimator_", inner)
        if isinstance(inner, Pipeline):
            *before, inner = [step for _, step in inner.steps]
            steps += [step for step in before if step is not None and not isinstance(step, str)]
        if inner is estimator:
            return steps, estimator
        estimator = inner


def special_loss(estimator: Any) -> str:
    """The loss of a regressor that is not that of normal noise: a key of `LOSSES`, or ""."""
    final = final_estimator(estimator)
    name = type(final).__name__.removesuffix("Regressor").lower()
    if name in LOSSES:
        return name
    options = final.get_params(deep=False) if hasattr(final, "get_params") else {}
    for option in ("loss", "objective", "criterion"):
        value = options.get(option)
        for loss in LOSSES:
            if isinstance(value, str) and loss in value:
                return loss
    return ""


def transform_by(steps: Sequence[Any], X: Any) -> Any:
    """Features transformed by one step after the other."""
    for step in steps:
        X = step.transform(X)
    return X


def has_predict_dist(estimator: Any) -> bool:
    """Whether a regressor has distributions, as mixtures of experts have if their experts do."""
    final = final_estimator(estimator)
    return hasattr(final, "predict_dist") and not any(map(_hides_distribution, experts_of(final)))


def experts_of(mixture: Any) -> list[Any]:
    """Experts that a mixture, or a stack of named models, is given; none of other estimators."""
    if hasattr(mixture, "estimators"):
        models = [entry[-1] for entry in mixture.estimators if isinstance(entry, list | tuple)]
        return [model for model in models if not isinstance(model, str) or model != "drop"]
    experts = getattr(mixture, "expert", [])
    return list(experts) if isinstance(experts, list | tuple) else [experts]


def _hides_distribution(expert: Any) -> bool:
    """Whether an expert has a log density, but no distribution."""
    if isinstance(expert, str):
        return False
    if hasattr(expert, "fit"):
        return has_density(expert) and not has_predict_dist(expert)
    return not hasattr(expert, "components")


def predict_expert(model: Any, X: Any, classes: Array | None, **options: bool) -> Array:
    """Means (m, n), or class probabilities (C, n) in the order of `classes`."""
    if classes is None:
        prediction = np.asarray(model.predict(X, **options), dtype=float)
        return prediction.reshape(len(prediction), -1).T
    probs = np.zeros((len(classes), X.shape[0]))
    # Classes that are missing in the training rows of the model have probability zero.
    probs[np.searchsorted(classes, model.classes_)] = model.predict_proba(X, **options).T
    check_probabilities(probs)
    if len(model.classes_) == len(classes) and has_density(model):
        return np.maximum(probs, TINY)  # mixtures of experts have bounded probabilities already
    # They are mixed with the uniform distribution.
    uniform = min(len(probs) * MIN_CLASS_PROBABILITY, MAX_UNIFORM_PROBABILITY)
    return (1.0 - uniform) * probs + uniform / len(probs)


def predict_log_density(model: Any, X: Any, y: Array) -> Array:
    """Log density (n,) of y (m, n) under a model with `has_density`."""
    steps, final = split_pipeline(model)
    X = transform_by(steps, X)
    log_density = final.score_samples(X, y.T if len(y) > 1 else y[0])
    log_density = np.asarray(log_density, dtype=float)
    check_log_density(log_density, y.shape[1])
    return log_density


def predict_log_densities(model: Any, X: Any, points: Sequence[Array]) -> list[Array]:
    """Log densities (n,) of several arrays of outputs (m, n) under a model with `predict_dist`."""
    if len(points[0]) > 1:  # densities of a distribution are those of each output by itself
        return [predict_log_density(model, X, y) for y in points]
    dist = predict_distribution(model, X)
    return [np.asarray(dist.logpdf(y[0])) for y in points]


def predict_distribution(model: Any, X: Any) -> Any:
    """Predictive distributions of a mixture of experts."""
    steps, final = split_pipeline(model)
    return final.predict_dist(transform_by(steps, X))


def predict_components(model: Any, X: Any) -> Any:
    """Components of the predictive distributions of a mixture of experts."""
    return predict_distribution(model, X).as_components()


def takes_weights(estimator: Any) -> bool:
    """Whether weights of the rows reach an estimator, or the last step of a pipeline."""
    return weight_argument(estimator) is not None


def count_parameters(model: Any) -> float:
    """Number of free parameters of a fitted model; NaN if it is unknown."""
    model = final_estimator(model)
    if is_constant(model):
        return 0.0
    if hasattr(model, "get_n_leaves"):
        return float(model.get_n_leaves() * model.tree_.value[0].size)
    if hasattr(model, "n_parameters_"):  # a mixture of experts
        return float(model.n_parameters_)
    if hasattr(model, "coef_") and hasattr(model, "intercept_"):
        return float(np.size(model.coef_) + np.size(model.intercept_))
    return float("nan")


def check_means(k: int, estimator: Any, family: str, prediction: Array) -> None:
    """Means under a log link must not be negative."""
    least = float(prediction.min(initial=0.0))
    if least < 0.0:
        raise ValueError(
            f"expert {k} must predict means that are not negative for family={family!r}; got "
            f"{least:g} of {estimator!r}. Use a loss with a log link, such as "
            'HistGradientBoostingRegressor(loss="poisson") or PoissonRegressor(). In a list '
            '"linear" is a ridge regression; expert="linear" alone has the link of the family.'
        )


def check_log_density(log_density: Array, n_rows: int) -> None:
    """Log densities must be numbers, or minus infinity, of shape (n_rows,)."""
    if log_density.shape != (n_rows,):
        raise ValueError(
            f"An expert must have one log density for each of {n_rows} rows; its score_samples "
            f"returned shape {log_density.shape}. Correct it, or use another estimator."
        )
    if np.isnan(log_density).any() or (log_density == np.inf).any():
        raise ValueError(
            "An expert must have log densities that are numbers, or minus infinity; its "
            "score_samples returned NaN or infinity. Use another estimator."
        )


def check_probabilities(probs: Array) -> None:
    """Class probabilities (C, n) must be from zero, with a sum of one; NaN is found elsewhere."""
    least, sums = float(probs.min(initial=0.0)), probs.sum(axis=0)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > PROBABILITY_SUM_TOL)
    if least >= -PROBABILITY_SUM_TOL and not len(wrong):
        return
    found = f"a sum of {sums[wrong[0]]:g}" if len(wrong) else f"{least:g}"
    raise ValueError(
        "An expert must have class probabilities of at least 0 whose sum in each row is 1; its "
        f"predict_proba returned {found}. Correct it, or wrap it in CalibratedClassifierCV."
    )


def check_prediction(prediction: Array, n_outputs: int, n_rows: int) -> None:
    """Predictions of an expert must be finite and of shape (n_outputs, n_rows)."""
    if prediction.shape != (n_outputs, n_rows):
        raise ValueError(
            f"An expert must predict {n_outputs} value(s) for each of {n_rows} rows; its answer "
            f"has shape {prediction.T.shape}. Correct its predict, or use another estimator."
        )
    check_finite("An expert", prediction)


def check_finite(name: str, prediction: Array) -> None:
    """Predictions of an expert or a base must be finite."""
    if not np.isfinite(prediction).all():
        raise ValueError(
            f"{name} must predict finite values; it predicted NaN or infinity. Standardise or "
            "impute the features it sees, or use another estimator."
        )


# --- metadata routing -------------------------------------------------------------------------


def requests_metadata(*names: str) -> Callable[[ScorerT], ScorerT]:
    """Decorator: metadata routing passes these arguments to a scorer."""

    def with_request(scorer: ScorerT) -> ScorerT:
        request = MetadataRequest(owner=scorer.__name__)
        for name in names:
            request.score.add_request(param=name, alias=True)
        vars(scorer)["get_metadata_routing"] = lambda: request
        return scorer

    return with_request
