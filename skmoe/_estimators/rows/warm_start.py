"""Warm starts: the state that is kept after a fit and used by the next one."""

from __future__ import annotations

from typing import Any, NamedTuple

import joblib
from scipy import sparse

from skmoe._data.row_checks import check_same_outputs, check_two_classes
from skmoe._data.rows import has_bounds
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.mixture import Mixture
from skmoe._numerics.typing import Array

# Private fitted attributes, which not every fit has.
PRIVATE_ATTRIBUTES = (
    *("_fitted", "_training_state", "_single_output"),
    *("_expert_names", "_row_arguments", "_load", "_gate_overlap", "_model_names"),
)


class CrossFitCache(NamedTuple):
    """Out-of-fold predictions of a fit, reused by a warm start on the same data."""

    key: str | None  # digest of data and experts
    fold: Array | None
    experts: Any  # with out-of-fold predictions
    theta: Array


class TrainingState(NamedTuple):
    """State that is continued by a warm start or `partial_fit`; unused in predictions."""

    cross_fit_cache: CrossFitCache | None = None
    stream: Any = None  # Stream of `partial_fit`
    # Searches by which the penalties were found, in the order of `PENALTIES`.
    penalty_searches: tuple[str, ...] = ("", "", "")
    total_weight: float = 0.0  # of the rows of a fit
    spikes: tuple[int, ...] = ()  # experts that fit a few rows nearly exactly


class PreviousFit(NamedTuple):
    """The fit that a warm start continues."""

    fitted: FittedMixture
    training_state: TrainingState
    classes: Array | None
    expert_names: tuple[str, ...] | None  # that the user gave
    converged: bool


def previous_fit(estimator: Any) -> PreviousFit | None:
    """The previous fit of an estimator, which a warm start continues, if there is one."""
    if not hasattr(estimator, "_fitted"):
        return None
    classes, names = (getattr(estimator, name, None) for name in ("classes_", "_expert_names"))
    fitted, state = estimator._fitted, estimator._training_state
    return PreviousFit(fitted, state, classes, names, bool(estimator.converged_))


def cache_key(params: FitParameters, data: Any, target: Any) -> str | None:
    """Digest of everything that determines the out-of-fold predictions of the experts."""
    X, rows = data.X, data.rows
    # Sparse matrices also remember which of their properties were looked up.
    features = (X.shape, X.data, X.indices, X.indptr) if sparse.issparse(X) else X
    try:
        of_experts = params.estimators, params.cross_fit, params.mean_family
        return joblib.hash(
            (*rows._replace(X=features, y=target.y), data.columns["mean"], *of_experts)
        )
    except Exception:  # experts that cannot be pickled cannot be compared
        return None


def cached_fit(previous: PreviousFit | None, key: str | None) -> CrossFitCache | None:
    """The cache of the previous fit, if data and experts are the same."""
    cache = None if previous is None else previous.training_state.cross_fit_cache
    return cache if key is not None and cache is not None and cache.key == key else None


def check_continued(data: Any, previous: PreviousFit) -> None:
    """Features and target of a warm start must be of the kind of those of the previous fit."""
    before, y, reason = previous.fitted.preprocessor, data.rows.y, ""
    scaling, classes = before.target_scaling, data.attributes.get("classes_")
    if data.X.shape[1] != before.n_features:
        reason = f"with {before.n_features} features; X has {data.X.shape[1]}"
    elif scaling is not None:
        # The target of a fit to censored y is in its own units.
        if has_bounds(y) and not ((scaling.center == 0.0) & (scaling.scale == 1.0)).all():
            reason = "to values of y, and y is censored"
        check_same_outputs(1 if y.ndim == 1 else y.shape[1], len(scaling.center))
    elif previous.classes is not None:
        check_two_classes(classes)
        if classes.tolist() != previous.classes.tolist():  # numbers and texts may be compared
            reason = f"with classes {previous.classes.tolist()}; y has {classes.tolist()}"
    if reason:
        raise ValueError(
            f"warm_start=True continues a fit {reason}. Set warm_start=False to start again."
        )


def check_warm_start(previous: FittedMixture, mixture: Mixture) -> None:
    """The coefficients of the previous fit must be those of this fit."""
    before, now = previous.mixture, mixture
    for name in ("experts", "gate"):
        one, other = getattr(before, name), getattr(now, name)
        sizes = one.size, other.size
        if type(one) is not type(other) or sizes[0] != sizes[1]:
            raise ValueError(
                f"warm_start=True continues a fit whose {name} had parameters of shapes "
                f"{sizes[0]}; n_experts={now.n_experts} and the data want {sizes[1]}. "
                "Set warm_start=False to start again."
            )
