"""Checks of the arguments of the test of the number of experts, before any fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_integer, shown
from skmoe._data.rows import Rows, is_dask
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.rows.training_data import TrainingData, validate_training_data
from skmoe._inference.requirements import require
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsDistribution

WHAT = "n_experts_test"


def check_is_mixture(estimator: Any) -> None:
    """Raise TypeError for anything but an instance of an estimator of this package."""
    if not isinstance(estimator, BaseMixtureOfExperts):
        got, remedy = shown(estimator), "Pass an instance."
        if hasattr(estimator, "steps"):
            got = type(estimator).__name__
            remedy = "Transform X first, and pass the last step of the pipeline."
        elif hasattr(estimator, "estimators"):
            remedy = "The number of models of a stack is that of its list."
        raise TypeError(
            "estimator must be a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier; got "
            f"{got}. {remedy}"
        )


def validate_tabulated_estimator(estimator: Any, init: Any) -> Any:
    """A clone whose fits with several numbers of experts have criteria.

    `init` replaces that of the estimator, if it is not None.
    """
    check_is_mixture(estimator)
    tabulated = clone(estimator)
    if init is not None:
        tabulated.set_params(init=init)
    unused = ("base", "top_k", "class_weight")  # the test needs them at their defaults
    for name, value, reason, remedy in _unsupported(tabulated):
        if name not in unused:
            raise ValueError(
                f"n_experts_table cannot use {name}={shown(value)}: {reason}. {remedy}"
            )
    params = tabulated.set_params(n_experts=1, top_k=None)._validate_parameters()
    if params.family is None:
        raise ValueError(
            "n_experts_table needs experts whose parameters can be counted; got "
            f'expert={shown(estimator.expert)}. Use expert="linear", or choose the number by '
            'held-out rows: n_experts="auto".'
        )
    return tabulated.set_params(top_k=estimator.top_k)


def check_numbers(n_experts: Any) -> list[int]:
    """The distinct numbers of experts of a table, in increasing order."""
    numbers = sorted({check_integer("n_experts", number, least=1) for number in n_experts})
    if not numbers:
        raise ValueError("n_experts must have at least one number, such as range(1, 7); got none.")
    return numbers


def validate_tested_estimator(estimator: Any, n_experts: Any) -> Any:
    """A clone with K experts, of which K and K + 1 can be fitted and drawn from."""
    check_is_mixture(estimator)
    number = estimator.n_experts if n_experts is None else n_experts
    if n_experts is None and isinstance(number, str):
        raise ValueError(
            f"{WHAT} needs an integer n_experts, the number of the null hypothesis; got an "
            f"estimator with n_experts={number!r}. Pass one, such as n_experts=2."
        )
    fewer = check_integer("n_experts", number, least=1)
    for name, value, reason, remedy in _unsupported(estimator):
        raise ValueError(f"{WHAT} cannot use {name}={shown(value)}: {reason}. {remedy}")
    tested = clone(estimator)
    for number in (fewer + 1, fewer):
        params = tested.set_params(n_experts=number)._validate_parameters()
        if params.family is None or params.family.needs_all_rows:
            raise ValueError(
                f"{WHAT} needs experts with a likelihood, and those that are estimators have none "
                f"that a fit maximises; got expert={shown(estimator.expert)}. Use "
                'expert="linear", or choose the number by held-out rows: n_experts="auto".'
            )
        if not is_classifier(estimator):
            require(params.family, SupportsDistribution, WHAT)
    return tested


def _unsupported(estimator: Any) -> Iterator[tuple[str, Any, str, str]]:
    """Name, value, reason and remedy of each parameter with which there is no test."""
    for name in ("expert", "family"):
        value = getattr(estimator, name, None)
        if isinstance(value, list | tuple):
            reason = "a list has an entry for each of a given number of experts"
            yield name, value, reason, f"Give one {name} for all experts."
    if isinstance(estimator.combine, str) and estimator.combine == "average":
        reason = "an average of starts does not maximise the likelihood"
        yield "combine", "average", reason, 'Use combine="best".'
    if estimator.base is not None:
        reason = "targets can be drawn from the mixture, but not from the base"
        yield "base", estimator.base, reason, "Use base=None."
    if estimator.top_k is not None:
        reason = "routing to few experts does not maximise the likelihood"
        yield "top_k", estimator.top_k, reason, "Use top_k=None."
    if not isinstance(estimator.init, str):
        reason = "responsibilities are of a given number of experts"
        yield "init", estimator.init, reason, 'Use a named init such as "auto".'
    if getattr(estimator, "class_weight", None) is not None:
        reason = "weighted classes have no likelihood from which targets can be drawn"
        yield "class_weight", estimator.class_weight, reason, "Use class_weight=None."


def validate_test_data(tested: Any, given: Rows) -> TrainingData:
    """The rows in memory, those of weight two twice."""
    if isinstance(given.X, RowBlocks) or is_dask(given.X):
        raise ValueError(
            f"{WHAT} needs all rows in memory, for which it draws targets; got X as "
            f"{type(given.X).__name__}. Pass an array, or a sample of the rows."
        )
    more = clone(tested).set_params(n_experts=tested.n_experts + 1)
    data = validate_training_data(more, more._validate_parameters(), given)
    index = np.repeat(np.arange(data.rows.n_rows), _counts(data.rows.weight))
    return data.select(index, np.ones(len(index)))


def _counts(weight: Array) -> Array:
    """Weights as numbers of rows."""
    counts = weight.astype(int)
    fractional = np.flatnonzero(counts != weight)
    if len(fractional):
        row = int(fractional[0])
        raise ValueError(
            f"sample_weight must hold integers, which count the rows that {WHAT} draws; row {row} "
            f"has weight {weight[row]:g}. Leave weights out that do not count rows."
        )
    return counts
