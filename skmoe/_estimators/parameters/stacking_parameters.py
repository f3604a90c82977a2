"""Validation of the parameters of stacks, and of the rows that their models are fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from skmoe._data.checks import is_integer
from skmoe._data.folds import assign_folds_of_stack
from skmoe._data.rows import Dataset
from skmoe._data.sklearn_adapter import (
    experts_of,
    final_estimator,
    has_density,
    has_predict_dist,
    takes_weights,
)
from skmoe._estimators.parameters.parameters import (
    FitParameters,
    check_penalties,
    decided_penalties,
    shared_parameters,
)
from skmoe._estimators.parameters.part_parameters import (
    check_list_entry,
    measure_of_families,
    resolve_families,
)
from skmoe._numerics.typing import Array
from skmoe.experts._mean_family import MeanFamily
from skmoe.experts._stacking import StackedModels
from skmoe.families import Family, Normal, Ordinal

# The gate has one start. The seeds of folds and models are those after the seeds of the starts of a
# mixture, of which there are by default so many.
N_SEEDS_OF_STARTS = 4

# Largest number of rows after rows are repeated by their weights.
MAX_REPEATED_ROWS = 10_000_000

# Mean weight of the rows of a value of y, from which on values are counted as few.
MIN_ROWS = 5.0


def validate_stacking_parameters(
    stack: Any, models: Sequence[Any], default_alphas: tuple[float, float]
) -> FitParameters:
    """Validate the parameters of a stack of some models.

    The first of the default values of `alpha` is that of the model "linear".
    """
    if len(models) < 2:
        raise ValueError(
            "estimators must have at least two entries, between which the gate chooses; got "
            f"{len(models)}. Add another model, or use the model by itself."
        )
    penalties = check_penalties(stack, default_alphas)
    shared = shared_parameters(stack, len(models), penalties)
    task = shared["task"]
    for k, model in enumerate(models):
        check_list_entry(f"estimators[{k}]", model, task.name, weighted=False)
    option = getattr(stack, "family", "normal")
    mean_family = _resolve_family(option, models)
    if not task.is_classification:
        _check_same_measure(models, Normal() if mean_family is None else mean_family.family)
    return FitParameters(
        **shared | {"cross_fit": _check_cv(stack.cv)},
        penalties=decided_penalties(penalties, stack, len(models), None),
        expert=list(models),
        expert_parameter="estimators",
        estimators=list(models),
        mean_family=mean_family,
        density=mean_family,
        estimator_experts=StackedModels,
        alpha=default_alphas[0],
        n_init=N_SEEDS_OF_STARTS,
        assign_folds=assign_folds_of_stack,
    )


def _check_cv(value: Any) -> int | None:
    """Validate a number of folds, or None."""
    if value is None or (is_integer(value) and int(value) >= 2):
        return None if value is None else int(value)
    raise ValueError(
        f"cv must be None or the number of folds, an integer of at least 2; got {value!r}. Models "
        "are weighed by densities of rows that they have not seen: in-sample densities would "
        "favour those that fit their training rows most closely."
    )


def _resolve_family(option: Any, models: Iterable[Any]) -> MeanFamily | None:
    """The family of models without a density of their own; None for normal noise."""
    if isinstance(option, list | tuple):
        raise ValueError(
            f"family must be one family, which models without a density of their own have in "
            f"common; got {option!r}. Put a mixture with these families into estimators."
        )
    families = resolve_families(option, 1)
    if families == (Normal(),):
        return None
    if all(not isinstance(model, str) and has_density(model) for model in models):
        raise ValueError(
            f"family={option!r} is that of models without a density of their own, of which "
            "there is none in estimators. Leave family out."
        )
    if not families[0].takes_mean:
        raise ValueError(
            f"family must have a mean, which models predict; got {option!r}. Choose a family that "
            'has, such as "gamma", or put a mixture with this family into estimators.'
        )
    return MeanFamily(families[:1])


# --- measures ---------------------------------------------------------------------------------


def _check_same_measure(models: Sequence[Any], family: Family) -> None:
    """The densities of all models must be with respect to the same measure.

    Models of given values, such as ratings, join others for y with few values.
    """
    kinds = [measure_of_families(_families(model, family)) for model in models]
    join = models_of_values(models)
    others = [k for k in range(len(models)) if not join[k]]
    if any(join) and kinds and all(kinds[k] == measure_of_families([Normal()]) for k in others):
        kinds = [kinds[others[0]] if others else kinds[0]] * len(models)
        for k in others:
            if has_density(models[k]) and not has_predict_dist(models[k]):
                raise ValueError(
                    f"estimators[{k}], {models[k]!r}, must have a predictive distribution "
                    "(predict_dist), whose probabilities of the values of y are compared with "
                    "those of an ordinal family. Leave it or the ordinal family out."
                )
    for k, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                "estimators must be models whose densities can be compared; estimators[0], "
                f"{models[0]!r}, predicts {kinds[0]}, and estimators[{k}], {models[k]!r}, "
                f"{kind}. Give all models families of one kind."
            )


def _families(model: Any, family: Family) -> tuple[Family, ...]:
    """The families of a model, or of the first of its own experts that has a density.

    Models without a density of their own have the given family.
    """
    if isinstance(model, str) or not has_density(model):
        return (family,)
    final = final_estimator(model)
    # A nested mixture has the measure of its own experts, if these have densities.
    own = [e for e in experts_of(final) if not isinstance(e, str) and has_density(e)]
    if own:
        return _families(own[0], Normal())
    option = getattr(final, "family", "normal")
    n_families = len(option) if isinstance(option, list | tuple) else 1
    return resolve_families(option, n_families)


def models_of_values(models: Iterable[Any]) -> list[bool]:
    """Whether each model predicts the probabilities of given values, such as ratings."""
    families = [_families(model, Normal()) for model in models]
    return [
        not any(one.is_continuous or one.is_count or one.atoms for one in of_model)
        for of_model in families
    ]


def few_values(y: Array, weight: Array) -> tuple[float, ...]:
    """The values of one output (m, n), if they are few; none otherwise."""
    values = np.unique(y)
    few = len(y) == 1 and len(values) <= Ordinal.max_values
    return tuple(values.tolist()) if few and weight.sum() >= MIN_ROWS * len(values) else ()


# --- the rows ---------------------------------------------------------------------------------


def check_stacked_rows(models: Sequence[Any], rows: Dataset) -> None:
    """Models have enough rows, and take an offset and weights that are no whole numbers."""
    offset, weight, fold = rows.expert_design.offset, rows.weight, rows.expert_design.fold
    n_fitted = len(weight) - int(np.bincount(fold[fold >= 0]).max())
    repeatable = (weight == np.round(weight)).all() and weight.sum() <= MAX_REPEATED_ROWS
    for k, model in enumerate(models):
        if isinstance(model, str):
            continue
        n_experts = getattr(final_estimator(model), "n_experts", None)
        if isinstance(n_experts, int | np.integer) and n_experts > n_fitted:
            raise ValueError(
                f"estimators[{k}], a mixture of {n_experts} experts, needs as many rows; without a "
                f"fold there are {n_fitted}. Give more rows, or choose a model with fewer experts."
            )
        reason = "takes no sample_weight" if not takes_weights(model) else ""
        if not repeatable and reason:
            raise ValueError(
                f"estimators[{k}] takes no sample_weight, so that rows are repeated for it, and "
                f"their weights must be whole numbers of at most {MAX_REPEATED_ROWS} in total; got "
                f"{model!r} with weights such as {weight.min():g}, which come from sample_weight "
                "or class_weight. Choose an estimator that takes weights, or fit without them."
            )
        reason = "has a density of its own" if has_density(model) else reason
        if offset is not None and reason:
            raise ValueError(
                f"offset needs models that are fitted to y per unit of exposure; estimators[{k}], "
                f"{model!r}, {reason}. Leave it out of estimators, or fit without offset."
            )


def check_possible(log_density: Array, y: Array) -> None:
    """Some model must have a positive out-of-fold density at each target."""
    impossible = np.flatnonzero(np.isneginf(log_density.max(axis=0)))
    if len(impossible):
        values = ", ".join(f"{value:g}" for value in np.atleast_1d(y[..., impossible[0]]))
        raise ValueError(
            f"y must be possible under some model that was fitted without its row; y = {values} is "
            "not. Use fewer folds, or a model with a density everywhere; for ordered values name "
            "all of them, as in family=Ordinal(values=(1.0, 2.0, 3.0))."
        )
