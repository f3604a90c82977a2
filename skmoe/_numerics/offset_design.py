"""Designs with an offset: a known part of the linear predictor, such as the log of an exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmoe._numerics.linalg import linear_predictor
from skmoe._numerics.typing import Array, Design


@dataclass(frozen=True)
class OffsetDesign:
    """A design matrix, and what is added to the linear predictor of each row."""

    matrix: Design
    offset: Array  # (n,) for all outputs, or (m, n)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of the design matrix."""
        return self.matrix.shape

    def __getitem__(self, index: Array | slice) -> OffsetDesign:
        """The rows at an index."""
        return OffsetDesign(self.matrix[index], self.offset[..., index])


def with_offset(design: Any, offset: Array | float | None) -> Any:
    """A design with an offset; the design itself for an offset of None, or of 0.0."""
    return OffsetDesign(design, offset) if isinstance(offset, np.ndarray) else design


def split_offset(design: Any) -> tuple[Any, Array | float]:
    """Design matrix and offset of the design of a family with `takes_offset`.

    Parameters
    ----------
    design : array, sparse array, or design with an offset
        The design that a method of the family was given.

    Returns
    -------
    matrix : array or sparse array of shape (n_rows, n_columns)
        The design matrix.
    offset : float or ndarray of shape (n_rows,) or (n_outputs, n_rows)
        What is added to the linear predictor of each row; 0.0 without an offset.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.protocols import split_offset
    >>> matrix, offset = split_offset(np.ones((4, 2)))
    >>> matrix.shape, offset
    ((4, 2), 0.0)
    """
    if isinstance(design, OffsetDesign):
        return design.matrix, design.offset
    return design, 0.0


def offset_predictor(coef: Array, design: Any) -> Array:
    """Linear predictors (..., m, n) plus the offset of the design, for coefficients (..., m, d)."""
    matrix, offset = split_offset(design)
    predictor = linear_predictor(coef, matrix)
    if isinstance(offset, np.ndarray):
        predictor += offset
    return predictor
