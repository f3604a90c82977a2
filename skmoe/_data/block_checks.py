"""Validation of row blocks against the first block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import column_or_1d, validate_data

from skmoe._data.blocks import ENTRIES
from skmoe._data.censored_targets import has_bounds, known_weight
from skmoe._data.row_checks import (
    as_csr,
    check_block_weights,
    check_outputs,
    check_same_length,
    check_target,
    explain_features,
)
from skmoe._data.rows import Rows
from skmoe._numerics.typing import Array


class BlockColumns(BaseEstimator):
    """Receives `n_features_in_` and `feature_names_in_` of the first block from scikit-learn."""


@dataclass(eq=False)
class BlockChecker:
    """Validates blocks; columns, dtype and number of outputs must be those of the first block.

    Parameters
    ----------
    is_classification : bool
        Whether y holds labels.
    check_target : callable
        Called with the target and the weights of each block; raises ValueError if y has values
        that the experts do not support.
    check_offset : callable
        Called with the offset, and the numbers of rows and outputs, of each block; returns an array
        (n,) or (n, m), or raises ValueError.
    check_units : callable
        Called with the units, the features and their names of each block; returns the units, or
        raises ValueError.
    check_known : callable
        Called with the known experts, the weights and the units of each block; returns the possible
        experts of its rows, or raises ValueError.
    """

    is_classification: bool
    check_target: Callable[[Array, Array], None]
    check_offset: Callable[[Any, int, int], Array | None]
    check_units: Callable[[Any, Any, Any], Array | None]
    check_known: Callable[..., Array | None]
    columns: BlockColumns = field(default_factory=BlockColumns)
    # dtype of X, and shapes of a row of y and of the offset, if there is one
    kind: tuple[str, tuple, tuple | None] | None = None

    @property
    def feature_names(self) -> Array | None:
        """Names of the features, if the first block has any."""
        return getattr(self.columns, "feature_names_in_", None)

    def __call__(self, index: int, block: Any) -> Rows:
        """Validated rows of a block; the labels of a classifier are not encoded."""
        X, y, weight, offset, units, known = check_block(index, block)
        if self.is_classification:
            with_block_index(index, check_target, y, True)
        offset_shape = None if offset is None else np.shape(offset)[1:]
        kind = _dtypes(X), (*np.shape(y)[1:], *["bounds"] * has_bounds(y)), offset_shape
        first = self.kind is None
        self.kind = kind if self.kind is None else self.kind
        X = with_block_index(index, self._validate_X, X, first)
        check_block_kind(index, kind, self.kind)
        y = with_block_index(index, self._validate_y, y)
        with_block_index(index, check_same_length, X, y)
        weight = with_block_index(index, check_block_weights, weight, len(y))
        with_block_index(index, self.check_target, y, weight)
        weight = known_weight(y, weight)
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        offset = with_block_index(index, self.check_offset, offset, len(y), n_outputs)
        X = as_csr(X)
        units = with_block_index(index, self.check_units, units, X, self.feature_names)
        possible = with_block_index(index, self.check_known, known, weight=weight, units=units)
        return Rows(X, y, weight, offset, units, possible=possible)

    def _validate_X(self, X: Any, first: bool) -> Any:
        with explain_features(X):
            return validate_data(
                self.columns,
                X,
                reset=first,
                accept_sparse="csr",
                dtype=np.float64,
                ensure_min_samples=0,
            )

    def _validate_y(self, y: Any) -> Array:
        return column_or_1d(y) if self.is_classification else check_outputs(y, ensure_min_samples=0)


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a data frame."""
    if hasattr(X, "dtypes"):
        return ", ".join(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))


def check_block(index: int, block: Any) -> Any:
    """Features, target, weights, offset, units and known experts of a block, or None for others."""
    if not isinstance(block, tuple) or len(block) not in range(2, len(ENTRIES) + 1):
        raise ValueError(
            f"block {index} must be a tuple (X, y), followed by sample_weight, offset, units and "
            f"known_experts, if there are any; got {type(block).__name__}. Yield such tuples from "
            "the factory."
        )
    return *block, *[None] * (len(ENTRIES) - len(block))


def with_block_index(index: int, check: Any, *values: Any, **options: Any) -> Any:
    """Result of a check; its errors name the block."""
    try:
        return check(*values, **options)
    except ValueError as error:
        raise ValueError(f"block {index}: {error}") from error


def check_block_kind(index: int, kind: tuple, first: tuple) -> None:
    """Dtype of the features, number of outputs and offset must be those of the first block."""
    if kind[2] != first[2]:
        raise ValueError(
            f"block {index} must have an offset like the first, of rows of shape {first[2]}; got "
            f"{kind[2]}. Yield an offset with every block, zeros where there is none, or with none."
        )
    if kind != first:
        raise ValueError(
            f"block {index} must be like the first: X of dtype {first[0]} and rows of y of shape "
            f"{first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
        )
