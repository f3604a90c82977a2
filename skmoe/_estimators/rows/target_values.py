"""Values of y that no family generates, and what was probably meant by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.censored_targets import point_values, shown_target
from skmoe._data.rows import has_bounds
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._numerics.typing import Array

# Codes of a status: no event or event.
STATUS_CODES = [0.0, 1.0], [1.0, 2.0]


def check_support(params: FitParameters, y: Array, weight: Array) -> None:
    """Targets of positive weight must be in the support of the family."""
    family = params.density
    if family is None or params.task.is_classification:
        return
    if not has_bounds(y):
        _check_no_status(params.family_name, family, y)
    obstacle = family.obstacle(np.atleast_2d(y.T))
    if obstacle:
        raise ValueError(
            f"{params.family_name} needs {obstacle}. Use another family, such as "
            'family="normal", or several mixtures for several outputs.'
        )
    outside = np.flatnonzero(~family.in_support(np.atleast_2d(y.T)) & (weight > 0.0))
    if len(outside):
        row = int(outside[0])
        values = np.atleast_1d(point_values(y)[row])
        first = "Correct"
        if family.takes_offset and family.in_support(np.round(values)[:, None]).all():
            first = f"{_counts_for_rates(point_values(y), weight)} Otherwise correct"
        raise ValueError(
            f"y must hold {family.support} for {params.family_name}; row {row} holds "
            f"{shown_target(y[row])}. {first} the target, or use "
            f"{_family_for(values, params.uses_estimators)}."
        )


def _check_no_status(named: str, family: Any, y: Array) -> None:
    """Two outputs of a family of times must not be times and codes of their events."""
    is_of_times = np.array_equal(family.in_support(np.array([[-1.0, 2.5]])), [False, True])
    if y.ndim != 2 or y.shape[1] != 2 or not is_of_times:
        return
    values = [np.unique(column).tolist() for column in y.T]
    for time, status in ((0, 1), (1, 0)):
        codes = values[status]
        if codes in STATUS_CODES and len(values[time]) > 2:
            raise ValueError(
                f"y must hold times for {named}; its column {status} holds only {codes[0]:g} and "
                f"{codes[1]:g}, like the status of censored times. If it is one, pass "
                f"right_censored(y[:, {time}], y[:, {status}] == {codes[1]:g}) as y; the function "
                "is in skmoe.data."
            )


def _counts_for_rates(y: Array, weight: Array) -> str:
    """What to pass in the place of rates, of which the weights may be the exposures."""
    counts = y * (weight if y.ndim == 1 else weight[:, None])
    if np.allclose(counts, np.round(counts), rtol=0.0, atol=1e-6):
        return (
            "If y holds rates and sample_weight their exposures, pass the counts, "
            "y * sample_weight, with offset=np.log(sample_weight) and without sample_weight."
        )
    return (
        "If y holds rates, such as claims per year, pass the counts, with offset=np.log(exposure)."
    )


def _family_for(values: Array, of_estimators: bool) -> str:
    """Families in whose support some values are, in words; estimators have one in common."""
    if (values < 0.0).any():
        return 'a family for all numbers, such as family="normal" or "student_t"'
    if (values != np.floor(values)).any():
        return 'a family for positive numbers, such as family="gamma" or "lognormal"'
    if of_estimators:
        return 'a family with zeros, such as family="normal", or "poisson" for counts'
    return 'families with point masses, such as family=["zero", "gamma"] or ["beta", "one"]'
