"""Warm starts: what is kept for the next fit, and what it takes from the previous one."""

from __future__ import annotations

from typing import Any, NamedTuple

import joblib
import numpy as np

from skmoe._data.rows import Dataset
from skmoe._estimators.parameters import FitParameters
from skmoe._mixture.em import ResumeState
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.typing import Array

# The private state of a fitted estimator; serialization, checkpoints and Dask read this list.
PRIVATE_ATTRIBUTES = ("_fitted", "_training_state", "_single_output")


class CrossFitCache(NamedTuple):
    """Parameters with the out-of-fold predictions of a fit, for the next one of the same data."""

    key: str | None  # digest of data and experts
    fold: Array | None
    params: Params


class TrainingState(NamedTuple):
    """What a later fit or `partial_fit` continues; predictions do not need it."""

    resume_state: ResumeState | None = None  # of EM
    cross_fit_cache: CrossFitCache | None = None
    online_state: Any = None  # OnlineState of a stream
    row_buffer: Any = None  # RowBuffer of a stream that is still short


class PreviousFit(NamedTuple):
    """The fit that a warm start continues."""

    fitted: FittedMixture
    training_state: TrainingState
    classes: Array | None


def previous_fit(estimator: Any, warm_start: bool) -> PreviousFit | None:
    """The fit of an estimator, if it is to be continued."""
    if not warm_start or not hasattr(estimator, "_fitted"):
        return None
    classes = getattr(estimator, "classes_", None)
    return PreviousFit(estimator._fitted, estimator._training_state, classes)


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """The fitted attributes of an estimator: the public ones, and its private state."""
    return {
        name: value
        for name, value in vars(estimator).items()
        if name in PRIVATE_ATTRIBUTES or (name.endswith("_") and name[0] != "_")
    }


def cache_key(params: FitParameters, data: Any, y: Array, weight: Array) -> str | None:
    """Digest of everything that determines the out-of-fold predictions of the experts."""
    try:
        return joblib.hash(
            (
                (data.X, y, weight, data.groups, data.metadata, data.columns[1]),
                (params.estimators, params.cross_fit),
            )
        )
    except Exception:  # experts that cannot be pickled are never recognised
        return None


def cached_fit(previous: PreviousFit | None, key: str | None) -> CrossFitCache | None:
    """The cache of the previous fit, if it was one of the same data and experts."""
    cache = None if previous is None else previous.training_state.cross_fit_cache
    return cache if key is not None and cache is not None and cache.key == key else None


def check_n_features(n_features: int, previous: int) -> None:
    """A warm start needs as many features as the previous fit had."""
    if n_features != previous:
        raise ValueError(
            f"warm_start=True goes on from a fit with {previous} features; X has {n_features}. "
            "Set warm_start=False to fit anew."
        )


def check_warm_start_params(params: Params, model: MixtureModel, rows: Dataset) -> None:
    """Parameters of the previous fit must have the shapes of those of this one."""
    wanted = Params(
        model.gate.init_params(model.n_experts, rows.gate_design.shape[1]),
        model.experts.init_params(model.n_experts, rows.expert_design.shape[1]),
    )
    if model.experts.needs_all_rows and type(wanted.experts) is type(params.experts):
        # Experts are fitted anew: only the gate, and with it the number of experts, must match.
        params = params._replace(experts=wanted.experts)
    for part, ours, before in zip(params._fields, wanted, params, strict=True):
        shapes, shapes_before = ([np.shape(a) for a in values] for values in (ours, before))
        if type(ours) is not type(before) or shapes != shapes_before:
            raise ValueError(
                f"warm_start=True goes on from a fit whose {part} had parameters of shapes "
                f"{shapes_before}; n_experts={model.n_experts} and the data want {shapes}. "
                "Set warm_start=False to fit anew."
            )
