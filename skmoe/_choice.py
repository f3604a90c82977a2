"""How many experts: the number that predicts rows that were not fitted best, or a criterion.

Numbers are tried from few to many until several in turn bring nothing.
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

from skmoe import _validation
from skmoe._folds import make_folds
from skmoe._numerics import Array
from skmoe._rows import take_rows

# Numbers beyond the best after which the search ends.
PATIENCE = 2
# Starts of each trial.
N_TRIAL_STARTS = 2
# Folds of the rows; with many rows one of them is held out, with few each in turn.
N_FOLDS = 4
MANY_ROWS = 2000
# Standard errors by which a larger number must predict better.
CAUTION = 1.0


class Choice(NamedTuple):
    """The number chosen, the numbers tried, and what they scored (greater is better)."""

    n_experts: int
    tried: Array
    scores: Array


class TrialData(NamedTuple):
    """Rows for trials, as the user gave them."""

    X: Any
    y: Array
    weight: Array
    extras: dict[str, Array]  # groups and metadata


def numbers() -> Iterator[int]:
    """1 to 6 and then every fourth or so: 8, 10, 13, 16, 20, 25, ..."""
    number = 1
    while True:
        yield number
        number = max(number + 1, round(1.25 * number))


def by_criterion(fit: Callable[[int], Any], criterion: Callable[[Any], float], most: int) -> Choice:
    """The number whose fit has the smallest criterion."""
    tried: list[int] = []
    scores: list[float] = []
    for number in numbers():
        if number > most or _settled(scores):
            break
        tried.append(number)
        scores.append(-criterion(fit(number)))
    return Choice(tried[int(np.argmax(scores))], np.array(tried), np.array(scores))


def by_held_out_rows(score: Callable[[int], Array], weight: Array, most: int) -> Choice:
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
    for number in numbers():
        if number > most or _settled(means):
            break
        tried.append(number)
        rows.append(score(number))
        means.append(float(np.average(rows[-1], weights=weight)))
    best = int(np.argmax(means))
    for number, scores in zip(tried, rows, strict=True):
        lead = rows[best] - scores
        mean = np.average(lead, weights=weight)
        spread = np.sqrt(np.average((lead - mean) ** 2, weights=weight) / weight.sum())
        if mean <= CAUTION * spread:
            return Choice(number, np.array(tried), np.array(means))
    raise AssertionError("the best number leads itself by nothing")  # pragma: no cover


def _settled(scores: list[float]) -> bool:
    """Whether the last few trials brought nothing."""
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= PATIENCE


def choose(
    estimator: Any, X: Any, y: Any, sample_weight: Any, groups: Any, metadata: dict[str, Any]
) -> Choice:
    """The number of experts for an estimator that leaves it open: "auto", "bic" or "icl"."""
    data = _take_data(X, y, sample_weight, groups, metadata)
    n_rows = len(data.y)
    most = _validation.check_open_number(estimator, n_rows)
    seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))

    def fit(number: int, rows: Array) -> Any:
        return _fit_trial(estimator, data, number, rows, seed)

    if estimator.n_experts == "auto":
        held_out = _held_out(estimator, data, seed)
        weight = data.weight[np.concatenate(held_out)]
        return by_held_out_rows(partial(_score, fit, data, held_out), weight, most)
    criterion = {"bic": "bic", "icl": "icl"}[estimator.n_experts]
    everything = np.arange(n_rows)
    return by_criterion(
        lambda number: fit(number, everything),
        lambda model: getattr(model, criterion)(data.X, data.y, data.weight),
        most,
    )


def _take_data(
    X: Any, y: Any, sample_weight: Any, groups: Any, metadata: dict[str, Any]
) -> TrialData:
    """Rows of positive weight, in what can be indexed."""
    check_consistent_length(X, y, groups, *metadata.values())
    X, y = X if hasattr(X, "shape") else np.asarray(X), np.asarray(y)
    X = X.tocsr() if sparse.issparse(X) else X
    weight = _validation.check_weights(sample_weight, len(y))
    kept = np.flatnonzero(weight > 0.0)
    extras = {name: np.asarray(values)[kept] for name, values in metadata.items()}
    if groups is not None:
        extras["groups"] = np.asarray(groups)[kept]
    return TrialData(take_rows(X, kept), y[kept], weight[kept], extras)


def _held_out(estimator: Any, data: TrialData, seed: int) -> list[Array]:
    """Rows to hold out, in turn: of many rows once, of few until each was."""
    groups, codes = data.extras.get("groups"), None
    common = np.ones(len(data.y), dtype=bool)
    if is_classifier(estimator):
        _, codes, counts = np.unique(data.y, return_inverse=True, return_counts=True)
        # A class with fewer rows than folds is always fitted.
        common = counts[codes] >= N_FOLDS
        codes = codes if common.all() else None
    n_folds = N_FOLDS if groups is None else min(N_FOLDS, len(np.unique(groups)))
    fold = make_folds(n_folds, codes, groups, len(data.y), seed)
    n_turns = 1 if len(data.y) >= MANY_ROWS else n_folds
    return [np.flatnonzero((fold == j) & common) for j in range(n_turns)]


def _fit_trial(estimator: Any, data: TrialData, number: int, rows: Array, seed: int) -> Any:
    parameters = estimator.get_params(deep=False)
    changed = {
        "n_experts": number,
        "n_init": min(estimator.n_init, N_TRIAL_STARTS),
        "combine": "best",
        "top_k": None if estimator.top_k is None else min(estimator.top_k, number),
        "random_state": seed,
        "verbose": 0,
    }
    model = type(estimator)(**parameters | changed)
    extras = {name: values[rows] for name, values in data.extras.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(
            take_rows(data.X, rows), data.y[rows], sample_weight=data.weight[rows], **extras
        )


def _score(
    fit: Callable[[int, Array], Any], data: TrialData, held_out: list[Array], number: int
) -> Array:
    """Log densities of the rows held out, under fits of the others."""
    everything, scores = np.arange(len(data.y)), []
    for rows in held_out:
        model = fit(number, np.setdiff1d(everything, rows))
        scores.append(model.score_samples(take_rows(data.X, rows), data.y[rows]))
    return np.concatenate(scores)
