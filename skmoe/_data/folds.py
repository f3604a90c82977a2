"""Folds of cross-fitting, which stay the same during a fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from skmoe._data.rows import RawFeatures
from skmoe._data.target_checks import check_labels
from skmoe._numerics.typing import Array

# Number of folds of cross_fit="auto", for whole models as well.
N_CROSS_FIT_FOLDS = 5

# Number of folds for whole models, such as a base, that are fitted to more than this number of
# rows: models of half of them are hardly worse, and each fold costs one fit of every model.
MAX_ROWS_WITH_MORE_FOLDS = 20_000
N_FOLDS_OF_MANY_ROWS = 2

# Number of parts of many rows of which one half is held out: the other half has parts of its own.
N_PARTS_OF_MANY_ROWS = 4


class RowsToSplit(NamedTuple):
    """What the folds of rows depend on, besides a seed."""

    n_rows: int
    codes: Array | None = None  # class codes (n,), by which folds are stratified
    groups: Array | None = None  # labels (n,) of groups that are not divided
    # Numbers (n,) of the distinct rows, from zero and in an order that depends on values only.
    # Copies of a row are not divided. None if all rows are distinct.
    copy_of: Array | None = None

    def distinct(self) -> RowsToSplit:
        """One row for each distinct row."""
        if self.copy_of is None:
            return self
        _, first = np.unique(self.copy_of, return_index=True)
        codes, groups = (None if v is None else v[first] for v in (self.codes, self.groups))
        return RowsToSplit(len(first), codes, groups)

    def of_copies(self, fold: Array) -> Array:
        """Folds of all rows, from those of the distinct rows."""
        return fold if self.copy_of is None else fold[self.copy_of]


def make_folds(n_folds: int, codes: Array | None, groups: Array | None, n: int, seed: int) -> Array:
    """Fold of each of n rows, (n,): stratified by class codes, with groups in one fold."""
    stratified = codes is not None
    if groups is not None:
        splitter = (
            StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
            if stratified
            else GroupKFold(n_folds)
        )
    elif stratified:
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = KFold(n_folds, shuffle=True, random_state=seed)
    fold = np.empty(n, dtype=int)
    rows = np.zeros((n, 1))
    for j, (_, test) in enumerate(splitter.split(rows, codes, groups)):
        fold[test] = j
    return fold


def make_feasible_folds(
    max_folds: int, codes: Array | None, groups: Array | None, n: int, seed: int
) -> Array:
    """Fold of each of n rows, (n,), with as many folds as rows and groups permit.

    The folds are stratified unless a class has fewer rows than there are folds. With a single row
    or group all rows are in fold 0.
    """
    n_folds = min(max_folds, n if groups is None else len(np.unique(groups)))
    if n_folds < 2:
        return np.zeros(n, dtype=int)
    if codes is not None and int(np.bincount(codes).min()) < n_folds:
        codes = None
    return make_folds(n_folds, codes, groups, n, seed)


def n_folds_of_models(n_rows: int) -> int:
    """Number of folds for whole models, if it is not given."""
    return N_CROSS_FIT_FOLDS if n_rows <= MAX_ROWS_WITH_MORE_FOLDS else N_FOLDS_OF_MANY_ROWS


def is_held_out(features: RawFeatures) -> Array:
    """Whether each row has out-of-fold predictions, (n,)."""
    if features.fold is None:
        return np.ones(features.shape[0], dtype=bool)
    return np.asarray(features.fold >= 0)


def check_folds(
    n_folds: int, n_rows: int, smallest_class: int | None, n_groups: int | None
) -> None:
    """There must not be more folds than rows, groups, or rows of a class."""
    for name, maximum in (
        ("rows", n_rows),
        ("groups", n_groups),
        ("rows of the smallest class", smallest_class),
    ):
        if maximum is not None and n_folds > maximum:
            remedy = 'Use cross_fit="auto".'
            if maximum > 1:
                remedy = f'Use at most {maximum} folds, or cross_fit="auto".'
            elif name == "groups":
                remedy = "Leave groups out, or give finer ones."
            raise ValueError(
                f"cross_fit={n_folds} must not exceed the number of {name}, {maximum}. {remedy}"
            )


def check_several_folds(name: str, fold: Array, groups: Array | None) -> None:
    """Out-of-fold predictions need at least two folds, so two distinct rows or two groups."""
    if fold.any():
        return
    unit, remedy = "distinct rows", f"Leave {name.split('=')[0]} out, or give more rows."
    if groups is not None:
        unit, remedy = "groups", "Leave groups out, or give finer ones."
    raise ValueError(
        f"{name} needs rows that are left out of its fits: at least 2 {unit}; got 1. {remedy}"
    )


def check_metadata(metadata: Mapping[str, Any], n_rows: int) -> dict[str, Array]:
    """Metadata as arrays, which must have one entry for each row; None is dropped."""
    arrays = {name: np.asarray(values) for name, values in metadata.items() if values is not None}
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) != n_rows:
            raise ValueError(
                f"{name} must have one entry for each of the {n_rows} rows of X; got shape "
                f"{values.shape}."
            )
    for name in ("groups", "units", "cluster"):
        if name in arrays:
            check_labels(name, arrays[name])
    return arrays


def assign_folds(
    features: RawFeatures,
    rows: RowsToSplit,
    cross_fit: int | str | bool,
    seed: int,
    auto_folds: int = N_CROSS_FIT_FOLDS,
) -> RawFeatures:
    """Features with the fold of each row, if the value of `cross_fit` needs folds."""
    if cross_fit is False or cross_fit == "oob":
        return features
    n_rows, codes, groups, _ = rows.distinct()
    if cross_fit == "auto":
        fold = make_feasible_folds(auto_folds, codes, groups, n_rows, seed)
        return features._replace(fold=rows.of_copies(fold)) if fold.any() else features
    n_folds = int(cross_fit)
    smallest = None if codes is None else int(np.bincount(codes).min())
    n_groups = None if groups is None else len(np.unique(groups))
    check_folds(n_folds, n_rows, smallest, n_groups)
    fold = make_folds(n_folds, codes, groups, n_rows, seed)
    return features._replace(fold=rows.of_copies(fold))


def assign_folds_of_models(
    features: RawFeatures, rows: RowsToSplit, cross_fit: int | str | bool, seed: int
) -> RawFeatures:
    """Features with the fold of each row for whole models that a gate combines.

    Of many rows half are held out, once, which are enough for the weights of the models. The others
    are in two folds with negative numbers.
    """
    if rows.distinct().n_rows <= MAX_ROWS_WITH_MORE_FOLDS or cross_fit != "auto":
        return assign_folds(features, rows, cross_fit, seed)
    features = assign_folds(features, rows, cross_fit, seed, N_PARTS_OF_MANY_ROWS)
    if features.fold is None:
        return features
    half = (int(features.fold.max()) + 1) // 2
    return features._replace(fold=np.where(features.fold < half, 0, half - 1 - features.fold))


def learning_curve_splits(features: RawFeatures) -> tuple[Array, Array, Array] | None:
    """Indices of the rows of a fit without fold 0, of half of these, and of the rows of fold 0.

    A half is one half of the other folds, so that groups are not divided. None if there are fewer
    than two other folds.
    """
    if features.fold is None:
        return None
    others = np.setdiff1d(features.fold, [0])
    if len(others) < 2:
        return None
    in_half = np.isin(features.fold, others[: len(others) // 2])
    rows = np.arange(features.shape[0])
    return rows[features.fold != 0], rows[in_half], rows[features.fold == 0]


def name_of_rows(features: RawFeatures, j: int, train: Array) -> str:
    """Name of the rows of a fit in messages: all, those without fold j, or half of these."""
    if len(train) == features.shape[0]:
        return "fitted on all rows"
    without_fold = len(train) == np.count_nonzero(features.fold != j)
    return f"without fold {j}" if without_fold else f"fitted on half of the rows without fold {j}"


def cross_fit_splits(features: RawFeatures) -> Iterator[tuple[Array, Array]]:
    """Indices of the training and the test rows of each fold; all rows for both without folds."""
    rows = np.arange(features.shape[0])
    if features.fold is None:
        yield rows, rows
        return
    for j in range(int(features.fold.max()) + 1):
        yield rows[features.fold != j], rows[features.fold == j]
