"""Parametric bootstrap: refits to targets drawn from a fitted mixture, with experts aligned."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils.parallel import Parallel, delayed

from skmoe._numerics.typing import Array, Design

# Draws of a target until it has all classes.
MAX_DRAWS = 100


def parametric_bootstrap(
    model: Any,
    X: Design,
    y: Any,
    weight: Array,
    list_values: Callable[[Any], Array],
    seeds: list[np.random.SeedSequence],
    n_jobs: int | None,
    verbose: int,
) -> Array:
    """Estimates (B, T) of refits that start from the fitted parameters.

    `list_values` takes an object with the fitted attributes. Rows of integer weight are drawn as
    that many rows.
    """
    model = copy.copy(model)
    vars(model).pop("feature_names_in_", None)  # X is an array
    repeats = weight.astype(int)
    drawn: Design = X
    weight_of_drawn: Array | None = weight
    if (repeats == weight).all():
        drawn, weight_of_drawn = X[np.repeat(np.arange(len(weight)), repeats)], None
    expected = model.responsibilities(X, y)
    fits = Parallel(n_jobs=n_jobs, verbose=10 * verbose)(
        delayed(_refit)(model, drawn, weight_of_drawn, seed) for seed in seeds
    )
    return np.stack([list_values(_match_experts(fit, expected, X, y)) for fit in fits])


def _refit(model: Any, X: Any, weight: Array | None, seed: np.random.SeedSequence) -> Any:
    rng = np.random.RandomState(np.random.MT19937(seed))
    fresh = copy.copy(model).set_params(warm_start=True, n_init=1, verbose=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fresh.fit(X, _sample_targets(model, X, rng), sample_weight=weight)


def _sample_targets(model: Any, X: Any, rng: np.random.RandomState) -> Array:
    if not hasattr(model, "classes_"):
        return model.sample(X, 1, rng)[:, 0]
    levels = np.cumsum(model.predict_proba(X), axis=1)[:, :-1]
    for _ in range(MAX_DRAWS):
        codes = (rng.uniform(size=(len(levels), 1)) > levels).sum(axis=1)
        if len(np.unique(codes)) == len(model.classes_):
            break
    return model.classes_[codes]


def _match_experts(fit: Any, expected: Array, X: Any, y: Any) -> SimpleNamespace:
    """Attributes of a refit, with the experts in the order that explains the same rows."""
    _, order = linear_sum_assignment(expected.T @ fit.responsibilities(X, y), maximize=True)
    names = ("coef_", "intercept_", "noise_variance_", "gate_coef_", "gate_intercept_")
    return SimpleNamespace(
        **{name: getattr(fit, name)[order] for name in names if hasattr(fit, name)}
    )
