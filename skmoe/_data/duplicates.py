"""Tables reduced to their distinct rows."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from skmoe._data.scaling import BLOCK_ROWS, _safe_range
from skmoe._numerics.typing import Array, Design


def unique_weighted_rows(X: Design, y: Array, weight: Array) -> tuple[Array, Array]:
    """Distinct rows of [X, y], in an order that does not depend on the order of the rows given.

    Parameters
    ----------
    X : array or CSR array of shape (n, p)
        Raw features.
    y : array of shape (n,) or (n, m)
    weight : array of shape (n,)

    Returns
    -------
    index : array of shape (n_distinct,)
        One row of each kind.
    weight : array of shape (n_distinct,)
        Weight of all rows of the kind together.
    """
    y = y.reshape(len(y), -1)
    key = _row_hashes(X, seed=0) + _row_hashes(y, seed=1)
    order = np.argsort(key, kind="stable")
    key = key[order]
    repeats = np.zeros(len(order), dtype=bool)  # a row like the one before it
    candidates = np.flatnonzero(key[1:] == key[:-1]) + 1
    if len(candidates):
        here, before = order[candidates], order[candidates - 1]
        repeats[candidates] = (y[here] == y[before]).all(axis=1) & _same_rows(X, here, before)
    first = np.flatnonzero(~repeats)
    return order[first], np.add.reduceat(weight[order], first)


def _row_hashes(X: Design, seed: int) -> Array:
    """One number for each row, the same to the last bit for rows that are alike.

    Values count in units of their column's range, so that changing the units of a column leaves
    the order of the rows.
    """
    mixing = np.random.default_rng(seed).standard_normal(X.shape[1])
    if sparse.issparse(X):
        lowest, highest = (side(axis=0).toarray().ravel() for side in (X.min, X.max))
        return X @ (mixing / _safe_range(highest - lowest))
    lowest = X.min(axis=0).astype(np.float64)
    unit = _safe_range(X.max(axis=0) - lowest)
    keys = np.empty(len(X))
    for begin in range(0, len(X), BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        # A matrix product may sum equal rows in different orders; this sum does not.
        keys[block] = ((X[block] - lowest) / unit * mixing).sum(axis=1)
    return keys


def _same_rows(X: Design, here: Array, before: Array) -> Array:
    if sparse.issparse(X):
        return abs(X[here] - X[before]).max(axis=1).toarray().ravel() == 0.0
    return (X[here] == X[before]).all(axis=1)
