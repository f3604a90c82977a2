"""Distinct rows, in an order that does not depend on how the user gives rows, columns and outputs.

Initialisation draws random numbers, breaks ties by position, and cuts at quantiles from below. It
therefore works on columns and outputs with a canonical order and sign. So a fit depends neither on
their order nor on their signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.scaling import BLOCK_ROWS, fit_standardization, safe_range
from skmoe._numerics.typing import Array, Design

# Decimals of moments and correlations that are compared: round-off must not decide the order.
MOMENT_DECIMALS = 6


class CanonicalForm(NamedTuple):
    """Canonical order and signs of columns and outputs; signs are in the given order."""

    columns: Array  # indices of the columns, (p,)
    column_signs: Array  # (p,)
    outputs: Array  # indices of the outputs, (m,)
    signs: Array  # of the outputs, (m,)
    # Number of the last keys of rows, which order those rows only that are equal in all others.
    n_ties: int = 0


def canonical_form(X: Design, Y: Array, weight: Array, *, signed: bool) -> CanonicalForm:
    """Canonical form of features (n, p) and targets (m, n) with row weights.

    Columns are sorted by their correlations with the targets and by their standardised moments. The
    sign of a column makes its skewness negative, and that of an output makes it positive. Where it
    is zero, the correlation with the first output or column is positive. With `signed=False`, for
    indicators of classes, the targets keep their signs. The most frequent one comes first, and
    equally frequent ones are ordered by their correlations with squares of the columns, and with
    the columns.
    """
    skewness, kurtosis, correlations, with_squares = _moments(X, Y, weight)
    strength = np.abs(correlations)
    # Constant columns, whose moments are zero, come last.
    total = np.round(strength.sum(axis=0), MOMENT_DECIMALS)
    keys = kurtosis == 0.0, total, np.abs(skewness), kurtosis
    columns = np.lexsort(keys[::-1])  # the first key first
    column_signs = -np.sign(skewness)
    outputs, signs = np.arange(len(Y)), np.ones(len(Y))
    if signed:
        skewness, kurtosis, *_ = _moments(Y.T, Y[:0], weight)
        outputs = np.lexsort((strength.sum(axis=1), kurtosis, np.abs(skewness)))
        by_columns = (correlations * column_signs)[:, columns]
        signs = _first_sign([skewness, *by_columns.T])
    else:
        rarity = -np.round(Y @ weight / weight.sum(), MOMENT_DECIMALS)
        by_columns = (correlations * column_signs)[:, columns]
        outputs = lexicographic_order(
            np.column_stack([rarity, with_squares[:, columns], by_columns])
        )
    by_outputs = (correlations * signs[:, None])[outputs]
    return CanonicalForm(columns, _first_sign([column_signs, *by_outputs]), outputs, signs)


def lexicographic_order(values: Array) -> Array:
    """Indices of rows in ascending order: by the first column, where equal by the second, etc."""

    def difference(one: int, other: int) -> int:
        unequal = np.flatnonzero(values[one] != values[other])[:1]
        return int(np.sign(values[one, unequal] - values[other, unequal]).sum())

    return np.array(sorted(range(len(values)), key=cmp_to_key(difference)), dtype=int)


def _first_sign(values: Sequence[Array]) -> Array:
    """Signs of the first of several values that are not zero, and 1 if all are."""
    signs = np.sign([*values, np.ones_like(values[0])])
    return np.take_along_axis(signs, (signs != 0.0).argmax(axis=0)[None], axis=0)[0]


def _moments(X: Design, Y: Array, weight: Array) -> tuple[Array, ...]:
    """Skewness and kurtosis (p,) of the columns, and their correlations with the targets (m, p).

    The last ones are mean products of the targets and the squares of the columns, (m, p). All are
    rounded, and zero for constant columns.
    """
    total = weight.sum()
    center, scale = fit_standardization(X, weight)
    target_center, target_scale = fit_standardization(Y.T, weight)
    targets = (Y - target_center[:, None]) / target_scale[:, None] * weight
    if sparse.issparse(X):
        unit = sparse.csr_array(X, dtype=np.float64, copy=True)
        unit.data /= scale[unit.indices]
        sums, power = [unit.T @ weight], unit
        for _ in range(3):
            power = power.multiply(unit)
            sums.append(power.T @ weight)
        first, second, third, fourth = (values / total for values in sums)
        cube = third - 3.0 * first * second + 2.0 * first**3
        fourth = fourth - 4.0 * first * third + 6.0 * first**2 * second - 3.0 * first**4
        correlations = (unit.T @ targets.T).T / total
        of_squares = (unit.multiply(unit).T @ targets.T).T / total
        with_squares = of_squares - 2.0 * first * correlations
    else:
        cube, fourth = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        correlations, with_squares = np.zeros((2, len(Y), X.shape[1]))
        for start in range(0, len(X), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            unit = (X[block] - center) / scale
            square = np.square(unit)
            cube += weight[block] @ (square * unit)
            fourth += weight[block] @ np.square(square)
            correlations += targets[:, block] @ unit
            with_squares += targets[:, block] @ square
        cube, fourth = cube / total, fourth / total
        correlations, with_squares = correlations / total, with_squares / total
    moments = cube, fourth, correlations, with_squares
    return tuple(np.round(values, MOMENT_DECIMALS) for values in moments)


# --- distinct rows ----------------------------------------------------------------------------


def unique_weighted_rows(
    X: Design, y: Array, weight: Array, form: CanonicalForm | None = None
) -> tuple[Array, Array]:
    """Distinct rows of [X, y] with their total weights, in an order that depends on values only.

    The order depends neither on the order of the rows, nor on order and signs of the columns and
    outputs.

    Parameters
    ----------
    X : array or CSR array of shape (n, p)
        Raw features.
    y : array of shape (n,) or (n, m)
        Outputs, and after them other keys.
    weight : array of shape (n,)
    form : CanonicalForm, optional
        Of the columns of X and of the outputs; by default they keep their order and sign.

    Returns
    -------
    index : array of shape (n_distinct,)
        Index of one row for each distinct row.
    weight : array of shape (n_distinct,)
        Total weight of its duplicates.
    """
    order, first = sorted_rows(X, y, weight, form)
    return order[first], np.add.reduceat(weight[order], first)


def unique_weighted_rows_of_units(
    X: Design, y: Array, weight: Array, codes: Array, form: CanonicalForm, *, merge: bool
) -> tuple[Array, Array, Array]:
    """Distinct rows of each unit with their total weights, unit after unit.

    The order of the rows in a unit, and that of the units, depend on values only: not on the order
    of the rows, nor on the labels of the units.

    Parameters
    ----------
    X, y, weight, form
        As of `unique_weighted_rows`.
    codes : array of int of shape (n,)
        Number of the unit of each row.
    merge : bool
        Whether equal rows of a unit become one row.

    Returns
    -------
    index : array of shape (n_distinct,)
        Index of one row for each distinct row.
    weight : array of shape (n_distinct,)
        Total weight of its duplicates.
    codes : array of shape (n_distinct,)
        Number of its unit in the new order.
    """
    codes = np.unique(codes, return_inverse=True)[1].ravel()
    order, first = sorted_rows(X, y, weight, form)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.repeat(np.arange(len(first)), np.diff(first, append=len(order)))
    order = np.lexsort((weight, rank, codes))
    sorted_codes, sorted_rank = codes[order], rank[order]
    is_first = np.ones(len(order), dtype=bool)
    if merge:
        same_unit = sorted_codes[1:] == sorted_codes[:-1]
        is_first[1:] = ~(same_unit & (sorted_rank[1:] == sorted_rank[:-1]))
    first = np.flatnonzero(is_first)
    totals = np.add.reduceat(weight[order], first)
    index, sorted_codes, sorted_rank = order[first], sorted_codes[first], sorted_rank[first]
    # A number of each unit by its distinct rows, by which units are sorted.
    starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    hashes = np.random.default_rng(2).random(len(rank))[sorted_rank]
    new_codes = np.empty(len(starts), dtype=np.intp)
    new_codes[np.argsort(np.add.reduceat(totals * hashes, starts), kind="stable")] = np.arange(
        len(starts)
    )
    of_rows = new_codes[sorted_codes]
    order = np.argsort(of_rows, kind="stable")
    return index[order], totals[order], of_rows[order]


def sorted_rows(
    X: Design, y: Array, weight: Array, form: CanonicalForm | None = None
) -> tuple[Array, Array]:
    """All rows in the order of `unique_weighted_rows`, in which copies follow each other.

    Returns the index of the rows in this order, (n,), and the positions in it of the first copy of
    each distinct row, (n_distinct,).
    """
    y = y.reshape(len(y), -1)
    if form is None:
        n_outputs = y.shape[1]
        columns, outputs = np.arange(X.shape[1]), np.arange(n_outputs)
        form = CanonicalForm(columns, np.ones(len(columns)), outputs, np.ones(n_outputs))
    n_keys = y.shape[1] - form.n_ties
    others = np.arange(len(form.signs), n_keys)
    signs = np.append(form.signs, np.ones(len(others)))
    hashes = _row_hashes(X, form.columns, form.column_signs, seed=0)
    hashes += _row_hashes(y[:, :n_keys], np.append(form.outputs, others), signs, seed=1)
    # Duplicates are added up in the order of their weights, not in that of the rows.
    order = np.lexsort((weight, *y[:, n_keys:].T, hashes))
    hashes = hashes[order]
    is_first = np.ones(len(order), dtype=bool)
    candidates = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    if len(candidates):
        current, previous = order[candidates], order[candidates - 1]
        same_y = (y[current] == y[previous]).all(axis=1)
        is_first[candidates] = ~(same_y & same_rows(X, current, previous))
    return order, np.flatnonzero(is_first)


def _row_hashes(X: Design, columns: Array, signs: Array, seed: int) -> Array:
    """A number for each row, (n,), which is bit for bit the same for equal rows.

    It is a random projection, drawn in the order `columns`, of columns with their signs, divided by
    their range, so that the order of the rows does not depend on the units of the columns.
    """
    direction = np.empty(X.shape[1])
    direction[columns] = np.random.default_rng(seed).standard_normal(X.shape[1])
    direction *= signs
    if sparse.issparse(X):
        lowest, highest = (side(axis=0).toarray().ravel() for side in (X.min, X.max))
        return X @ (direction / safe_range(highest - lowest))
    lowest = X.min(axis=0).astype(np.float64)
    unit = safe_range(X.max(axis=0) - lowest)
    hashes = np.empty(len(X))
    for start in range(0, len(X), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        # A matrix product may add the columns of equal rows in different orders; this sum does not.
        hashes[block] = ((X[block] - lowest) / unit * direction).sum(axis=1)
    return hashes


def same_rows(X: Design, first: Array, second: Array) -> Array:
    """Whether the rows at two arrays of indices are equal."""
    if sparse.issparse(X):
        return abs(X[first] - X[second]).max(axis=1).toarray().ravel() == 0.0
    return (X[first] == X[second]).all(axis=1)
