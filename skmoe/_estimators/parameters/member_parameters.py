"""Validation of `specialize=False`: experts that are whole models, of which a gate is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.folds import check_several_folds
from skmoe._data.rows import RawFeatures
from skmoe._data.sklearn_adapter import final_estimator, has_density, takes_weights
from skmoe._estimators.parameters.comparable_densities import measure_of_families
from skmoe._estimators.parameters.part_parameters import (
    check_list_entry,
    resolve_families,
    resolve_mean_family,
)
from skmoe._numerics.typing import Array
from skmoe.experts._mean_family import MeanFamily
from skmoe.families import Family, Normal

# The default of `n_experts`, in whose place the list of experts gives their number.
DEFAULT_N_EXPERTS = 4

# Largest number of rows after rows are repeated by their weights.
MAX_REPEATED_ROWS = 10_000_000


class Members(NamedTuple):
    """Experts that are whole models, and the family of those without a density of their own."""

    estimators: list[Any]
    mean_family: MeanFamily | None  # None for normal noise


def resolve_members(estimator: Any, task: str) -> Members:
    """Validated experts of a mixture with specialize=False, one for each entry of `expert`."""
    expert = estimator.expert
    if not isinstance(expert, list | tuple):
        raise ValueError(
            "expert must be a list of estimators with specialize=False, since copies of one model "
            f"that are fitted to the same rows are all equal; got {expert!r}. Give different "
            "models, or use specialize=True."
        )
    if len(expert) < 2:
        raise ValueError(
            "expert must have at least two entries with specialize=False, between which the gate "
            f"chooses; got {len(expert)}. Add another model, or use the model by itself."
        )
    if estimator.n_experts not in (DEFAULT_N_EXPERTS, len(expert)):
        raise ValueError(
            f"n_experts must agree with expert, a list of {len(expert)} models; got "
            f"{estimator.n_experts!r}. Leave n_experts out."
        )
    _check_other_options(estimator)
    chosen = [check_list_entry(k, entry, task, weighted=False) for k, entry in enumerate(expert)]
    option = getattr(estimator, "family", "normal")
    families = resolve_families(option, len(expert))
    mean_family = None
    if families is not None:
        own = [e for e in chosen if isinstance(e, str) or not has_density(e)]
        if not own:
            raise ValueError(
                f"family={option!r} is that of models without a density of their own, of which "
                "there is none in expert. Leave family out."
            )
        mean_family = resolve_mean_family(own, option, families)
    if task == "regressor":
        _check_same_measure(chosen, families or (Normal(),))
    return Members(chosen, mean_family)


def _check_other_options(estimator: Any) -> None:
    """Options that need experts which specialise, or several starts."""
    cross_fit = estimator.cross_fit
    if cross_fit is False or (isinstance(cross_fit, str) and cross_fit != "auto"):
        raise ValueError(
            "cross_fit must be the number of folds with specialize=False; got "
            f"{cross_fit!r}. In-sample densities are optimistic for models that fit their training "
            'rows closely, so that the gate would choose them everywhere. Use cross_fit="auto" or '
            "an integer."
        )
    for name, default, reason in (
        ("init", "auto", "the gate starts from equal probabilities"),
        ("combine", "best", "the gate has a single start"),
        ("warm_start", False, "every fit fits all models"),
        ("base", None, "every expert models y itself: put the base into the list"),
        ("shared_features", None, "whole models have no slopes in common"),
    ):
        value = getattr(estimator, name, default)
        if not (isinstance(value, type(default)) and value == default):
            raise ValueError(
                f"{name} must be {default!r} with specialize=False, since {reason}; got {value!r}."
            )


# --- measures ---------------------------------------------------------------------------------


def _check_same_measure(members: list[Any], families: tuple[Family, ...]) -> None:
    """The densities of all members must be with respect to the same measure."""
    kinds = [_measure(member, families) for member in members]
    for k, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                "expert must be a list of models whose densities can be compared; expert[0], "
                f"{members[0]!r}, predicts {kinds[0]}, and expert[{k}], {members[k]!r}, "
                f"{kind}. Give all models families of one kind."
            )


def _measure(member: Any, families: Iterable[Family]) -> str:
    """What a member predicts: densities, or probabilities, or both, in words."""
    if isinstance(member, str) or not has_density(member):
        return measure_of_families(families)
    final = final_estimator(member)
    # A nested mixture has the measure of its own experts, if these have densities.
    inner = getattr(final, "expert", None)
    entries = inner if isinstance(inner, list | tuple) else [inner]
    own = [entry for entry in entries if not isinstance(entry, str) and has_density(entry)]
    if own:
        return _measure(own[0], (Normal(),))
    option = getattr(final, "family", "normal")
    n_families = len(option) if isinstance(option, list | tuple) else 1
    return measure_of_families(resolve_families(option, n_families) or (Normal(),))


# --- the data ---------------------------------------------------------------------------------


def check_members(
    members: list[Any], features: RawFeatures, weight: Array, groups: Array | None
) -> None:
    """What whole models need of the data: several folds, and weights and an offset they take."""
    fold = np.zeros(len(weight), dtype=int) if features.fold is None else features.fold
    check_several_folds("specialize=False", fold, groups)
    if features.offset is not None:
        _check_offset(members)
    _check_weights(members, weight)


def _check_offset(members: Iterable[Any]) -> None:
    """An offset, by which rows have weights, needs experts of the family, which take weights."""
    for k, member in enumerate(members):
        if isinstance(member, str):
            continue
        reason = "takes no sample_weight" if not takes_weights(member) else ""
        reason = "has a density of its own" if has_density(member) else reason
        if reason:
            raise ValueError(
                f"offset needs experts that are fitted to y per unit of exposure; expert[{k}], "
                f"{member!r}, {reason}. Leave it out of expert, or fit without offset."
            )


def _check_weights(members: Iterable[Any], weight: Array) -> None:
    """Rows are repeated for estimators that take no weights, which must be whole numbers then."""
    whole = bool((weight == np.round(weight)).all()) and weight.sum() <= MAX_REPEATED_ROWS
    for k, member in enumerate(members):
        if not whole and not isinstance(member, str) and not takes_weights(member):
            raise ValueError(
                f"expert[{k}] takes no sample_weight, so that rows are repeated for it, and their "
                f"weights must be whole numbers of at most {MAX_REPEATED_ROWS} in total; got "
                f"{member!r} with weights such as {weight.min():g}, which come from sample_weight "
                "or class_weight. Choose an estimator that takes weights, or fit without them."
            )
