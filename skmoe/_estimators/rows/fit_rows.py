"""Whether given rows are those of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.rows import Dataset, Rows
from skmoe._inference.maximum import is_same_lower_bound, lower_bound_of_rows

# Relative difference of the sums of the same weights that is attributed to round-off.
SAME_WEIGHT_RTOL = 1e-6


def dataset_in_fit(estimator: Any, rows: Rows) -> Dataset:
    """Validated rows as the fit sees them, in double precision."""
    weight = estimator._effective_weight(rows.y, rows.weight)
    rows = rows._replace(X=rows.X.astype(np.float64), weight=weight)
    return estimator._fitted.preprocessor.transform_units(rows)


def is_stream(estimator: Any) -> bool:
    """Whether the last batch of `partial_fit`, and not `fit`, has set the fitted attributes."""
    return estimator._training_state.online_state is not None


def has_fit_rows(estimator: Any, rows: Dataset) -> bool:
    """Whether the lower bound of the rows is that of the fit."""
    return is_same_lower_bound(lower_bound_of_rows(estimator._fitted, rows), estimator.lower_bound_)


def describe_other_rows(estimator: Any, rows: Rows) -> str:
    """How rows differ from those of the fit; empty if they do not, or if that is not known."""
    if is_stream(estimator):
        return ""
    model, _, preprocessor = estimator._fitted
    total = float(estimator._effective_weight(rows.y, rows.weight).sum())
    fitted = float(np.sum(estimator.load_)) / (model.top_k or 1)
    if abs(total - fitted) > SAME_WEIGHT_RTOL * fitted:
        return (
            f"Other rows than those of the fit: their weight is {total:g}, in the fit {fitted:g}."
        )
    # The lower bound of estimators and of a base is that of predictions of other folds, and that
    # of an average is that of its best start.
    extra = preprocessor.extra_features
    has_base = extra is not None and extra.base is not None
    averaged = model.gate.n_starts(estimator._fitted.params.gate) > 1
    if model.experts.needs_all_rows or has_base or averaged:
        return ""
    if has_fit_rows(estimator, dataset_in_fit(estimator, rows)):
        return ""
    return "Other rows than those of the fit: they have another lower bound."
