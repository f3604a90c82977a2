"""Adapter for scikit-learn estimators: weighted fits, predictions, predictive distributions.

Weights and groups pass through pipelines, searches and ensembles of scikit-learn. Where they would
be left out without an error, the rules here go from estimator to estimator, and ask the signatures
of the innermost ones. Missing values and sparse matrices are refused by the estimators themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import predictive_distribution

WEIGHT = "sample_weight"
GROUPS = "groups"

# The base class of all searches of scikit-learn.
SEARCHES: Any = GridSearchCV.__base__

# Estimators that fit several others to the same rows.
COMMITTEES = (VotingRegressor, VotingClassifier, StackingRegressor, StackingClassifier)

# Estimators that draw rows by their weights; bagging does since scikit-learn 1.8.
BAGGING = (BaggingRegressor, BaggingClassifier) if BaggingRegressor().max_samples is None else ()
DRAW_ROWS = (AdaBoostRegressor, *BAGGING)

# Estimators whose fit passes all its arguments on to the inner estimator.
PASS_ARGUMENTS = (SEARCHES, TransformedTargetRegressor, RFE, RegressorChain)

# Parameters that are estimators, in scikit-learn before 1.7 `base_estimator` among them.
INNER = ("regressor", "estimator", "base_estimator", "final_estimator")


def inner_estimators(estimator: Any) -> list[Any]:
    """Estimators that an estimator fits to rows; none where it has its default ones."""
    parts = [getattr(estimator, name, None) for name in INNER]
    if isinstance(estimator, COMMITTEES):
        parts = [model for _, model in estimator.estimators] + parts
    return [p for p in parts if hasattr(p, "fit") and not isinstance(p, FrozenEstimator)]


def fit_argument(estimator: Any, name: str) -> str | None:
    """The argument of fit, without metadata routing, that carries weights, or groups for folds.

    None if weights do not reach all inner estimators, or if there are no folds. Of a pipeline the
    last step is meant.
    """
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inner = fit_argument(last, name)
        return inner and f"{step}__{inner}"
    if name == GROUPS and isinstance(estimator, (SEARCHES, RFECV)):  # which do not pass them on
        routing = getattr(estimator.cv, "get_metadata_routing", None)
        return GROUPS if routing and routing().split.requests.get(GROUPS) else None
    parts = inner_estimators(estimator)
    if isinstance(estimator, PASS_ARGUMENTS) and not isinstance(estimator, RFECV):
        return fit_argument(parts[0] if parts else LinearRegression(), name)
    is_committee = name == WEIGHT and isinstance(estimator, COMMITTEES)
    if not is_committee and not has_fit_parameter(estimator, name):
        return None
    if name == GROUPS:  # mixtures refuse groups that they do not use
        return GROUPS if getattr(estimator, "_uses_groups", True) else None
    if isinstance(estimator, DRAW_ROWS):  # bagging can have all rows once
        return WEIGHT if getattr(estimator, "bootstrap", True) else None
    reaches = all(
        fit_argument(part, WEIGHT) == WEIGHT and (is_committee or has_fit_parameter(part, WEIGHT))
        for part in parts
    )
    return WEIGHT if reaches else None


def takes_weights(estimator: Any) -> bool:
    """Whether weights of the rows reach an estimator, or the last step of a pipeline."""
    return fit_argument(estimator, WEIGHT) is not None


def scores_without_weights(estimator: Any) -> bool:
    """Whether a search is among the estimators that weights reach: its scores do not use them."""
    if isinstance(estimator, Pipeline):
        return scores_without_weights(estimator.steps[-1][1])
    inner = inner_estimators(estimator)
    return isinstance(estimator, SEARCHES) or any(map(scores_without_weights, inner))


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

# Losses of regressors for which normal noise is the wrong density, with the remedy.
LOSSES = {
    "poisson": 'For counts use family="poisson".',
    "gamma": 'For positive targets use family="gamma".',
    "tweedie": 'For targets with zeros use expert="linear", family=["zero", "gamma"].',
    "quantile": "For quantiles use experts of the mean, and predict_quantile.",
}


# Regressors whose steps, tolerances or penalties are for a target of the order of one.
OF_STANDARDISED_TARGETS: tuple[str, ...] = ("MLPRegressor", "SVR", "NuSVR", "LinearSVR")
OF_STANDARDISED_TARGETS += ("SGDRegressor", "NeuralNetRegressor")


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
    model = clone(estimator)
    unset = [name for name, value in model.get_params().items() if value is None]
    seeded = (name for name in unset if name.split("__")[-1] == "random_state")
    model.set_params(**dict.fromkeys(seeded, seed))
    # Weights of one are not passed: some estimators take a slow path with any weights.
    # Metadata of a pipeline are routed to its steps before, and those of others by the fit itself.
    passes = isinstance(model, PASS_ARGUMENTS) or bool(inner_estimators(model))
    alone = isinstance(model, Pipeline) or (passes and not {*metadata} - {GROUPS})
    routed = get_config()["enable_metadata_routing"] and not alone
    weights = {}
    if not (weight == 1.0).all():
        weights = {WEIGHT if routed else fit_argument(model, WEIGHT) or WEIGHT: weight}
    with config_context(enable_metadata_routing=routed):
        return model.fit(X, y, **weights, **metadata)


def groups_of_folds(estimator: Any, groups: Array | None) -> dict[str, Array]:
    """Arguments of fit that keep the rows of a group on one side of folds inside an estimator."""
    argument = fit_argument(estimator, GROUPS)
    return {} if argument is None or groups is None else {argument: groups}


def is_constant(model: Any) -> bool:
    """Whether a fitted model is the constant classifier of rows of a single class."""
    return isinstance(model, DummyClassifier) and len(model.classes_) == 1


def typical_model(models: Sequence[Any]) -> Any:
    """One of the models of an expert: a constant, of a fold with a single class, if all are."""
    return next((model for model in models if not is_constant(model)), models[0])


def has_density(estimator: Any) -> bool:
    """Whether a regressor has its own distributions of y, as mixtures of experts have."""
    return hasattr(final_estimator(estimator), "predict_dist")


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
    if isinstance(estimator, Pipeline):
        *before, last = [step for _, step in estimator.steps]
        steps, final = split_pipeline(last)
        own = [step for step in before if step is not None and not isinstance(step, str)]
        return own + steps, final
    is_search = isinstance(estimator, SEARCHES) and estimator.refit
    inner = getattr(estimator, "best_estimator_", estimator.estimator if is_search else None)
    return ([], estimator) if inner is None else split_pipeline(inner)


def special_loss(estimator: Any) -> str:
    """The loss of a regressor that is not that of normal noise: a key of `LOSSES`, or ""."""
    final = final_estimator(estimator)
    options = final.get_params(deep=False) if hasattr(final, "get_params") else {}
    texts = [options.get(option) for option in ("loss", "objective", "criterion")]
    texts.append(type(final).__name__.lower())
    found = [loss for loss in LOSSES for text in texts if isinstance(text, str) and loss in text]
    return found[0] if found else ""


def transform_by(steps: Sequence[Any], X: Any) -> Any:
    """Features transformed by one step after the other."""
    for step in steps:
        X = step.transform(X)
    return X


def experts_of(mixture: Any) -> list[Any]:
    """Experts that a mixture, or a stack of named models, is given; none of other estimators."""
    if hasattr(mixture, "estimators"):
        models = [entry[-1] for entry in mixture.estimators if isinstance(entry, list | tuple)]
        return [model for model in models if not isinstance(model, str) or model != "drop"]
    experts = getattr(mixture, "expert", [])
    return list(experts) if isinstance(experts, list | tuple) else [experts]


def predict_expert(model: Any, X: Any, classes: Array | None) -> Array:
    """Means (m, n), or class probabilities (C, n) in the order of `classes`."""
    if classes is None:
        prediction = np.asarray(model.predict(X), dtype=float)
        return prediction.reshape(len(prediction), -1).T
    probs = np.zeros((len(classes), X.shape[0]))
    # Classes that are missing in the training rows of the model have probability zero.
    probs[np.searchsorted(classes, model.classes_)] = model.predict_proba(X).T
    check_probabilities(probs)
    if len(model.classes_) == len(classes) and hasattr(final_estimator(model), "score_samples"):
        return np.maximum(probs, TINY)  # mixtures of experts have bounded probabilities already
    # They are mixed with the uniform distribution.
    uniform = min(len(probs) * MIN_CLASS_PROBABILITY, MAX_UNIFORM_PROBABILITY)
    return (1.0 - uniform) * probs + uniform / len(probs)


def predict_components(model: Any, X: Any) -> Any:
    """Components of the predictive distributions of a mixture of experts."""
    steps, final = split_pipeline(model)
    return final.predict_dist(transform_by(steps, X)).as_components()


def log_density(components: Any, y: Array) -> Array:
    """Log density (n,) of outputs (m, n) under components."""
    is_single = len(y) == 1
    dist = predictive_distribution([components], np.ones((1, y.shape[1])), is_single)
    return np.asarray(dist.joint_logpdf(y[0] if is_single else y.T))


def count_parameters(models: Sequence[Any]) -> float:
    """Number of free parameters of a fitted expert, given its models; NaN if it is unknown."""
    model = final_estimator(typical_model(models))
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


def check_probabilities(probs: Array) -> None:
    """Class probabilities (C, n) must be from zero, with a sum of one; NaN is found elsewhere."""
    least, sums = float(probs.min(initial=0.0)), probs.sum(axis=0)
    if least < -PROBABILITY_SUM_TOL or (np.abs(sums - 1.0) > PROBABILITY_SUM_TOL).any():
        raise ValueError(
            "An expert must have class probabilities of at least 0 whose sum in each row is 1; its "
            f"predict_proba returned {least:g}, and sums from {sums.min():g} to {sums.max():g}. "
            "Correct it, or wrap it in CalibratedClassifierCV."
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
