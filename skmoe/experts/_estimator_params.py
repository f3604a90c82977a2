"""Parameters and statistics of experts that are estimators."""

from __future__ import annotations

from typing import Any, NamedTuple

from skmoe._data.rows import RawFeatures
from skmoe._numerics.typing import Array


class EstimatorParams(NamedTuple):
    """Fitted models of the folds, and their out-of-fold predictions for the training rows."""

    models: tuple[tuple[Any, ...], ...]  # of each expert; their predictions are averaged
    log_variance: Array  # (K, m); NaN for experts with their own density
    # Means (K, m, n) or class probabilities (K, C, n); None after the fit.
    oof_predictions: Array | None
    oof_log_density: Array | None  # (K, n); zero for experts without their own density
    resp_at_last_fit: Array | None  # responsibilities (K, n) at the last refit, accepted or not
    last_resp: Array | None = None  # responsibilities (K, n) of the last M-step
    waits: Array | None = None  # experts (K,) that are refitted only when all have settled


class AllRows(NamedTuple):
    """The rows themselves, in place of sufficient statistics."""

    features: RawFeatures
    y: Array
    resp: Array


class Fits(NamedTuple):
    """Models of some experts, and their out-of-fold predictions."""

    models: list[tuple[Any, ...]]
    predictions: Array
    log_density: Array
