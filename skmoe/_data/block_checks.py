"""Validation of row blocks against the first block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from skmoe._data.checks import as_csr, check_same_length
from skmoe._numerics.typing import Array, Design


class Block(NamedTuple):
    """Validated rows; the labels of a classifier are not encoded."""

    X: Design
    y: Array
    weight: Array


class BlockColumns(BaseEstimator):
    """Receives `n_features_in_` and `feature_names_in_` of the first block from scikit-learn."""


class BlockChecker:
    """Validates blocks; columns, dtype and number of outputs must be those of the first block.

    Parameters
    ----------
    is_classification : bool
        Whether y holds labels.
    check_target : callable
        Called with the target and the weights of each block; raises ValueError if y has values
        that the experts do not support.
    """

    def __init__(
        self, is_classification: bool, check_target: Callable[[Array, Array], None]
    ) -> None:
        self.is_classification = is_classification
        self.check_target = check_target
        self.columns = BlockColumns()
        self.kind: tuple[str, tuple] | None = None  # dtype of X, and shape of a row of y

    @property
    def feature_names(self) -> Array | None:
        """Names of the features, if the first block has any."""
        return getattr(self.columns, "feature_names_in_", None)

    def __call__(self, index: int, block: Any) -> Block:
        """Validated rows of a block."""
        X, y, *rest = check_block(index, block)
        kind = _dtypes(X), np.shape(y)[1:]
        first = self.kind is None
        self.kind = kind if self.kind is None else self.kind
        X = with_block_index(
            index,
            validate_data,
            self.columns,
            X,
            reset=first,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_min_samples=0,
        )
        check_block_kind(index, kind, self.kind)
        y = with_block_index(index, self._validate_y, y)
        with_block_index(index, check_same_length, X, y.T)
        weight = np.asarray(rest[0], dtype=np.float64) if rest else np.ones(len(y))
        with_block_index(index, check_block_weights, weight, len(y))
        with_block_index(index, self.check_target, y, weight)
        return Block(as_csr(X), y, weight)

    def _validate_y(self, y: Any) -> Array:
        if self.is_classification:
            return column_or_1d(y)
        return check_array(
            y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_min_samples=0
        )


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a data frame."""
    if hasattr(X, "dtypes"):
        return ", ".join(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))


def check_block(index: int, block: Any) -> Any:
    """A block must be a tuple of features, target and optional weights."""
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        raise ValueError(
            f"block {index} must be a tuple (X, y) or (X, y, sample_weight); got "
            f"{type(block).__name__}. Yield such tuples from the factory."
        )
    return block


def with_block_index(index: int, check: Any, *values: Any, **options: Any) -> Any:
    """Result of a check; its errors name the block."""
    try:
        return check(*values, **options)
    except ValueError as error:
        raise ValueError(f"block {index}: {error}") from error


def check_block_kind(index: int, kind: tuple, first: tuple) -> None:
    """Dtype of the features and number of outputs must be those of the first block."""
    if kind != first:
        raise ValueError(
            f"block {index} must be like the first: X of dtype {first[0]} and rows of y of shape "
            f"{first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
        )


def check_block_weights(weight: Array, n_rows: int) -> None:
    """Weights must be finite and non-negative, one for each row."""
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0.0).any():
        raise ValueError(
            f"sample_weight must hold one finite number, not negative, for each of {n_rows} rows; "
            f"got shape {weight.shape}. Correct the weights in the factory."
        )
