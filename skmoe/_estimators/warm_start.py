"""Warm starts: what is taken over from the warm_start_from fit, and the checks that it fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import joblib
import numpy as np

from skmoe._data.rows import Dataset
from skmoe._estimators.parameters import FitParameters
from skmoe._estimators.training_data import FitProblem, TrainingData, TrainingTarget
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.multistart import EMProblem
from skmoe._numerics.typing import Array
from skmoe.protocols import InMemoryExperts


class CrossFitCache(NamedTuple):
    """What experts that are estimators said in a fit, for the next one of the same data."""

    key: str | None  # of data and experts
    fold: Array | None
    params: Params


def _add_warm_start(estimator: Any, data: TrainingData) -> TrainingData:
    """What a warm start goes on from."""
    warm_start_from = getattr(estimator, "_mixture", None) if estimator.warm_start else None
    if warm_start_from is None:
        return data
    n_before = (
        len(warm_start_from.scale.scale)
        if warm_start_from.extra_features is None
        else warm_start_from.extra_features.n_features
    )
    check_n_features(data.X.shape[1], n_before)
    return data._replace(warm_start_from=warm_start_from, init=warm_start_from.params)


def _resume(setup: EMProblem, estimator: Any) -> EMProblem:
    """From the very place where the last fit ended.

    A fit that is kept as it runs counts the iterations before its interruption as its own.
    """
    place = getattr(estimator, "_resume_state", None)
    kept = getattr(estimator, "_keep", None) is not None
    return setup._replace(
        resume_state=place,
        previous_lower_bounds=place.lower_bounds if kept and place is not None else (),
    )


def _cache_key(options: FitParameters, data: TrainingData, target: TrainingTarget) -> str | None:
    """A digest of all that decides what experts say out of fold."""
    try:
        return joblib.hash(
            (
                (data.X, target.y, target.weight, data.groups, data.metadata, data.columns[1]),
                (options.experts, options.cross_fit),
            )
        )
    except Exception:  # experts that cannot be pickled are not known again
        return None


def _cached(estimator: Any, key: str | None) -> CrossFitCache | None:
    memory = getattr(estimator, "_memory", None)
    return memory if key is not None and memory is not None and memory.key == key else None


def make_cache(problem: FitProblem, params: Params) -> CrossFitCache | None:
    """What is kept for a warm start, if there may be one."""
    if problem.key is None:
        return None
    return CrossFitCache(problem.key, problem.em_problem.rows.expert_design.fold, params)


def check_n_features(n_features: int, n_before: int) -> None:
    """As many features as the fit that is to be continued."""
    if n_features != n_before:
        raise ValueError(
            f"warm_start=True goes on from a fit with {n_before} features; X has {n_features}. "
            "Set warm_start=False to fit anew."
        )


def check_warm_start_params(
    params: Params, parts: MixtureModel, rows: Dataset, n_experts: int
) -> None:
    """Parameters of a warm_start_from fit suit the parts of this one."""
    wanted = Params(
        parts.gate.init_params(n_experts, rows.gate_design.shape[1]),
        parts.experts.init_params(n_experts, rows.expert_design.shape[1]),
    )
    if isinstance(parts.experts, InMemoryExperts) and type(wanted.experts) is type(params.experts):
        # Models are fitted anew: the gate must suit, and with it the number of experts.
        params = params._replace(experts=wanted.experts)
    for part, ours, before in zip(params._fields, wanted, params, strict=True):
        shapes, shapes_before = ([np.shape(a) for a in values] for values in (ours, before))
        if type(ours) is not type(before) or shapes != shapes_before:
            raise ValueError(
                f"warm_start=True goes on from a fit whose {part} had parameters of shapes "
                f"{shapes_before}; n_experts={n_experts} and the data want {shapes}. "
                "Set warm_start=False to fit anew."
            )


def check_same_classes(classes: Array, before: Array) -> None:
    """The classes that the fit had."""
    if not np.array_equal(classes, before):
        raise ValueError(
            f"warm_start=True goes on from a fit with classes {before.tolist()}; y has "
            f"{classes.tolist()}. Set warm_start=False to fit anew."
        )
