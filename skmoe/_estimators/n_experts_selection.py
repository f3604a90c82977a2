"""Selection of the number of experts, by the log density of held-out rows or by a criterion.

Numbers are tried in increasing order until several in turn bring no improvement. Each fit starts
from the previous one, with the experts of the lowest likelihood split in two.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length, check_random_state

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_weights
from skmoe._data.dask_chunks import is_dask
from skmoe._data.folds import check_several_groups, make_feasible_folds
from skmoe._data.rows import index_rows
from skmoe._estimators.capabilities import check_integer_n_experts
from skmoe._estimators.parameters import check_n_experts_selection
from skmoe._estimators.part_parameters import is_family
from skmoe._numerics.typing import Array

# Numbers beyond the best after which the search ends.
PATIENCE = 2

# Trials need not converge to the last: their tolerance and iterations, and those of splits.
TRIAL_TOL = 1e-3

TRIAL_MAX_ITER = 50

SPLIT_MAX_ITER = 10

# Share of the rows that count as explained well.
REFERENCE_QUANTILE = 0.9

# An expert with fewer rows of more than a negligible share is split on all rows.
MIN_SPLIT_RESPONSIBILITY = 0.01

MIN_ROWS_TO_SPLIT = 20

# Folds of the rows; with many rows one of them is held out, with few each in turn.
N_SELECTION_FOLDS = 3

SINGLE_HOLDOUT_ROWS = 1000

# Standard errors by which a larger number must predict better.
N_STANDARD_ERRORS = 1.0


class SelectionResult(NamedTuple):
    """The number chosen, the numbers tried, and what they scored (greater is better)."""

    n_experts: int
    tried: Array
    scores: Array


class SelectionData(NamedTuple):
    """Rows for trials, as the user gave them."""

    X: Any
    y: Array
    weight: Array
    extras: dict[str, Array]  # groups and metadata

    def take(self, rows: Array) -> SelectionData:
        """Some of the rows."""
        extras = {name: values[rows] for name, values in self.extras.items()}
        return SelectionData(index_rows(self.X, rows), self.y[rows], self.weight[rows], extras)


def n_experts_grid() -> Iterator[int]:
    """1 to 6 and then every fourth or so: 8, 10, 13, 16, 20, 25, ..."""
    number = 1
    while True:
        yield number
        number = max(number + 1, round(1.25 * number))


def select_by_criterion(criterion: Callable[[int], float], maximum: int) -> SelectionResult:
    """The number with the smallest criterion."""
    tried: list[int] = []
    scores: list[float] = []
    for number in n_experts_grid():
        if number > maximum or _no_improvement(scores):
            break
        tried.append(number)
        scores.append(-criterion(number))
    return SelectionResult(tried[int(np.argmax(scores))], np.array(tried), np.array(scores))


def select_by_holdout(
    score: Callable[[int], Array], weight: Array, maximum: int
) -> SelectionResult:
    """The smallest number that scores rows held out within a standard error of the best.

    The error is that of the mean difference, row by row [1]_.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone (1984), "Classification and Regression
       Trees", Wadsworth, section 3.4.3.
    """
    tried: list[int] = []
    rows: list[Array] = []
    means: list[float] = []
    for number in n_experts_grid():
        if number > maximum or _no_improvement(means):
            break
        tried.append(number)
        rows.append(score(number))
        means.append(float(np.average(rows[-1], weights=weight)))
    best = rows[int(np.argmax(means))]
    near = [
        number
        for number, own in zip(tried, rows, strict=True)
        if _within_one_se(best - own, weight)
    ]
    return SelectionResult(near[0], np.array(tried), np.array(means))


def _within_one_se(difference: Array, weight: Array) -> bool:
    """Whether a difference, row by row, is within its standard error."""
    mean = np.average(difference, weights=weight)
    standard_error = np.sqrt(np.average((difference - mean) ** 2, weights=weight) / weight.sum())
    return bool(mean <= N_STANDARD_ERRORS * standard_error)


def _no_improvement(scores: list[float]) -> bool:
    """Whether the last few trials brought nothing."""
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE


def uses_groups(estimator: Any) -> bool:
    """Whether a fit has folds that keep groups together: of estimators, or of a base model."""
    return estimator.base is not None or not is_family(estimator.expert)


def select_n_experts(
    estimator: Any, X: Any, y: Any, sample_weight: Any, groups: Any, metadata: dict[str, Any]
) -> SelectionResult:
    """The number of experts for an estimator that leaves it open: "auto", "bic" or "icl"."""
    if isinstance(X, RowBlocks) or is_dask(X):
        check_integer_n_experts("a fit from blocks of rows", estimator.n_experts)
    data = _take_data(X, y, sample_weight, groups, metadata)
    n_rows = len(data.y)
    maximum = check_n_experts_selection(estimator, n_rows)
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
    if estimator.n_experts == "auto":
        held_out = _held_out(estimator, data, seed)
        all_rows = np.arange(n_rows)
        fitters = [
            IncrementalFitter(estimator, data, np.setdiff1d(all_rows, rows), seed)
            for rows in held_out
        ]
        weight = data.weight[np.concatenate(held_out)]
        return select_by_holdout(partial(_score, fitters, data, held_out), weight, maximum)
    fitter = IncrementalFitter(estimator, data, np.arange(n_rows), seed)
    criterion = str(estimator.n_experts)
    return select_by_criterion(
        lambda number: getattr(fitter.fit(number), criterion)(data.X, data.y, data.weight), maximum
    )


class IncrementalFitter:
    """Fits to some rows with more and more experts, each started from the previous fit."""

    def __init__(self, estimator: Any, data: SelectionData, rows: Array, seed: int) -> None:
        self.estimator = estimator
        self.data = data.take(rows)
        self.seed = seed
        self.fitted: Any = None  # the last fit

    def fit(self, number: int) -> Any:
        """The fit with a number of experts, more than before."""
        data, weight = self.data, self.data.weight
        if self.fitted is None:
            self.fitted = self._fit(data, weight, number)
            return self.fitted
        resp = self.fitted.responsibilities(data.X, data.y)
        log_density = self.fitted.score_samples(data.X, data.y)
        shortfall = np.maximum(np.quantile(log_density, REFERENCE_QUANTILE) - log_density, 0.0)
        n_new = number - resp.shape[1]  # fewer than there are experts
        to_split = np.argsort(-(weight * shortfall) @ resp, kind="stable")[:n_new]
        columns = [resp]
        for k in to_split:
            fraction = self._split(resp[:, k])
            columns.append(resp[:, [k]] * fraction[:, None])
            resp[:, k] *= 1.0 - fraction
        init = np.hstack(columns)
        init /= init.sum(axis=1, keepdims=True)
        noise = self.fitted._fitted.model.experts.estimates.get("noise_variance")
        noise = None if noise is None else np.array(noise)
        self.fitted = self._fit(data, weight, number, init, noise_variance=noise)
        return self.fitted

    def _split(self, resp: Array) -> Array:
        """Probability (n,) of the second of two experts that replace one with responsibilities."""
        data, weight = self.data, self.data.weight
        own = np.flatnonzero(resp > MIN_SPLIT_RESPONSIBILITY)
        if len(own) >= MIN_ROWS_TO_SPLIT and len(np.unique(data.y[own])) > 1:
            data, weight = data.take(own), (weight * resp)[own]
        pair = self._fit(data, weight, 2, max_iter=SPLIT_MAX_ITER)
        if not is_classifier(pair):
            return pair.responsibilities(self.data.X, self.data.y)[:, 1]
        # Rows of classes that the expert's rows lack are split by the gate alone.
        second = pair.predict_gate(self.data.X)[:, 1]
        known = np.flatnonzero(np.isin(self.data.y, pair.classes_))
        rows = self.data.take(known)
        second[known] = pair.responsibilities(rows.X, rows.y)[:, 1]
        return second

    def _fit(
        self,
        data: SelectionData,
        weight: Array,
        number: int,
        init: Array | None = None,
        max_iter: int = TRIAL_MAX_ITER,
        noise_variance: Array | None = None,
    ) -> Any:
        estimator = self.estimator
        changed = {
            "n_experts": number,
            "n_init": 1,
            "init": estimator.init if init is None else init,
            "combine": "best",
            "max_iter": min(estimator.max_iter, max_iter),
            "tol": max(estimator.tol, TRIAL_TOL),
            "top_k": None if estimator.top_k is None else min(estimator.top_k, number),
            "random_state": self.seed,
            "verbose": 0,
        }
        fresh = type(estimator)(**estimator.get_params(deep=False) | changed)
        metadata = dict(data.extras)
        groups = metadata.pop("groups", None)
        groups = groups if uses_groups(estimator) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fresh._fit(
                data.X, data.y, weight, groups, metadata, noise_variance=noise_variance
            )


def _take_data(
    X: Any, y: Any, sample_weight: Any, groups: Any, metadata: dict[str, Any]
) -> SelectionData:
    """Rows of positive weight, in what can be indexed."""
    check_consistent_length(X, y, groups, *metadata.values())
    X, y = X if hasattr(X, "shape") else np.asarray(X), np.asarray(y)
    X = X.tocsr() if sparse.issparse(X) else X
    weight = check_weights(sample_weight, len(y))
    kept = np.flatnonzero(weight > 0.0)
    extras = {name: np.asarray(values) for name, values in metadata.items()}
    if groups is not None:
        extras["groups"] = np.asarray(groups)
    return SelectionData(X, y, weight, extras).take(kept)


def _held_out(estimator: Any, data: SelectionData, seed: int) -> list[Array]:
    """Rows to hold out, in turn: of many rows once, of few until each was."""
    groups, codes = data.extras.get("groups"), None
    common = np.ones(len(data.y), dtype=bool)
    if is_classifier(estimator):
        _, codes, counts = np.unique(data.y, return_inverse=True, return_counts=True)
        # A class with fewer rows than folds is always fitted.
        common = counts[codes] >= N_SELECTION_FOLDS
        codes = codes if common.all() else None
    fold = make_feasible_folds(N_SELECTION_FOLDS, codes, groups, len(data.y), seed)
    check_several_groups('n_experts="auto"', fold)
    n_turns = 1 if len(data.y) >= SINGLE_HOLDOUT_ROWS else fold.max() + 1
    return [np.flatnonzero((fold == j) & common) for j in range(n_turns)]


def _score(
    fitters: list[IncrementalFitter], data: SelectionData, held_out: list[Array], number: int
) -> Array:
    """Log densities of the rows held out, under fits of the others."""
    scores = []
    for fitter, rows in zip(fitters, held_out, strict=True):
        left_out = data.take(rows)
        scores.append(fitter.fit(number).score_samples(left_out.X, left_out.y))
    return np.concatenate(scores)
