"""Parameters and statistics of experts that are estimators."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import RawFeatures
from skmoe._numerics.typing import Array

# Rows with a smaller responsibility (relative to their weight) are left out of an expert's fit,
# unless fewer than MIN_FIT_ROWS would remain.
MIN_RESPONSIBILITY = 1e-3
MIN_FIT_ROWS = 20

# An expert is refitted when its responsibilities have changed by more than this fraction of their
# sum since its last fit.
REFIT_TOL = 1e-2

# After their first fit, and after a refit that was not accepted, cross-fitted experts wait until
# gate variances have adapted, which costs nearly nothing: until the last change of all
# responsibilities is at most this fraction of that since the last fits. They need larger changes.
SETTLED_FRACTION = 0.05
REFIT_TOL_OF_WAITING = 0.05


class EstimatorParams(NamedTuple):
    """Fitted models of the folds, and their out-of-fold predictions for the training rows."""

    models: tuple[tuple[Any, ...], ...]  # of each expert; their predictions are averaged
    log_variance: Array  # (K, m); NaN for experts with their own density
    # Means (K, m, n) or class probabilities (K, C, n); None after the fit.
    oof_predictions: Any = None
    oof_log_density: Any = None  # (K, n); zero for experts without their own density
    # Responsibilities (K, n) at the last refit, accepted or not.
    resp_at_last_fit: Array | None = None
    last_resp: Array | None = None  # responsibilities (K, n) of the last M-step
    waits: Array | None = None  # experts (K,) that are refitted only when all have settled
    # Of densities of stacked models around their means, (K,), and their out-of-fold log densities
    # at each possible spread, (S, n) of each model; None after the fit.
    spread: Array | None = None
    at_spreads: Any = None

    def of_rows(self, index: Array) -> EstimatorParams:
        """Stacked models with their out-of-fold predictions of some rows."""
        return self._replace(
            oof_predictions=self.oof_predictions[..., index],
            oof_log_density=self.oof_log_density[:, index],
            at_spreads=tuple(of_model[:, index] for of_model in self.at_spreads),
        )


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


def experts_to_refit(params: EstimatorParams, fit_resp: Array, resp: Array) -> list[int]:
    """Experts whose responsibilities have changed since their last fit, `fit_resp` (K, n).

    Those that wait are among them once the responsibilities of all have settled.
    """
    change, mass = np.abs(resp - fit_resp).sum(axis=1), resp.sum(axis=1)
    changed = change > REFIT_TOL * mass
    if params.waits is not None and params.last_resp is not None:
        last_change = np.abs(resp - params.last_resp).sum()
        have_settled = last_change <= SETTLED_FRACTION * change.sum()
        changed &= ~params.waits | (have_settled & (change > REFIT_TOL_OF_WAITING * mass))
    return np.flatnonzero(changed).tolist()


def rows_to_fit(rows: Array, resp: Array, k: int) -> Array:
    """Rows with more than a negligible responsibility of expert k; all rows if these are few."""
    kept = rows[resp[k, rows] > MIN_RESPONSIBILITY * resp[:, rows].sum(axis=0)]
    return kept if len(kept) >= MIN_FIT_ROWS else rows
