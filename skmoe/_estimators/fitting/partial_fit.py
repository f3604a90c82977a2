"""Fits to batches of a stream."""

from __future__ import annotations

from typing import Any


def supports_partial_fit(estimator: Any) -> bool:
    """Whether an estimator can be fitted to batches."""
    return False


def fit_batch(estimator: Any, rows: Any, **options: Any) -> Any:
    """Fit to a batch."""
    raise NotImplementedError


def classes_of_stream(*args: Any) -> Any:
    """Classes of a stream."""
    raise NotImplementedError
