"""Pipelines that end in a mixture, whose other steps are fitted once."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skmoe._data.checks import shown
from skmoe._data.steps import UnitPipeline
from skmoe._estimators.base import BaseMixtureOfExperts


def check_is_mixture(name: str, estimator: Any) -> None:
    """Raise TypeError for anything but a mixture of this package, or a pipeline with one."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, BaseMixtureOfExperts):
        remedy = "Pass an instance, or a pipeline that ends in one."
        if hasattr(last, "estimators"):
            remedy = "The number of models of a stack is that of its list."
        raise TypeError(
            f"{name} must be a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier; got "
            f"{shown(last)}. {remedy}"
        )


def steps_of(estimator: Any) -> list[Any]:
    """The steps of a pipeline before its last one, not fitted; none of other estimators."""
    steps = estimator.steps[:-1] if isinstance(estimator, Pipeline) else []
    return [clone(step, safe=False) for _, step in steps]


def without_steps(estimator: Any, X: Any, y: Any, units: Any) -> tuple[Any, Any, Pipeline | None]:
    """Features that the steps of a pipeline transform, its mixture, and the fitted pipeline.

    The pipeline is None for a mixture alone. One of courses of units needs these.
    """
    if isinstance(estimator, UnitPipeline):
        estimator.check_units(units)
    if not isinstance(estimator, Pipeline):
        return X, estimator, None
    pipeline: Pipeline = clone(estimator)
    if len(pipeline.steps) > 1:
        X = pipeline[:-1].fit_transform(X, y)
    return X, pipeline.steps[-1][1], pipeline


def with_mixture(pipeline: Pipeline | None, fitted: Any) -> Any:
    """The pipeline with a fitted mixture at its end; the mixture itself for None."""
    if pipeline is None:
        return fitted
    return type(pipeline)([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])
