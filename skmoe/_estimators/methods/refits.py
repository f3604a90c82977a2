"""Refits of an estimator to targets drawn from its fitted mixture, for the bootstrap."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_columns
from skmoe._data.rows import UserRows
from skmoe._inference.bootstrap import BootstrapRows, Refit, bootstrap_rows, sample_classes
from skmoe._inference.coefficients import ListedBlock
from skmoe._numerics.typing import Array


def make_refit(
    estimator: Any, blocks: Sequence[ListedBlock], rows: UserRows
) -> Callable[[np.random.SeedSequence], Refit]:
    """A function that returns the refit for a seed, given the validated rows of the fit."""
    return partial(_refit, estimator, blocks, bootstrap_rows(rows))


def _refit(
    estimator: Any, blocks: Sequence[ListedBlock], rows: BootstrapRows, seed: np.random.SeedSequence
) -> Refit:
    """A fit to a target drawn from the fitted mixture, which starts from the fitted parameters."""
    rng = np.random.RandomState(np.random.MT19937(seed))
    model = _without_feature_names(estimator)
    offset = None if rows.drawn_offset is None else rows.drawn_offset.T
    by_row = {"offset": offset, "units": rows.drawn_units}
    given = {name: values for name, values in by_row.items() if values is not None}
    target = draw_target(model, rows.drawn_X, given, rng)
    model.set_params(n_experts=model.n_experts_, warm_start=True, n_init=1, verbose=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.drawn_X, target, sample_weight=rows.drawn_weight, **given)
    names = {name for listed in blocks for name in listed.block.attribute_names}
    attributes = {name: getattr(model, name) for name in names}
    return Refit(attributes, model._fitted.responsibilities(rows.of_fit))


def _without_feature_names(estimator: Any) -> Any:
    """A copy for features that are an array, with column indices in the place of names."""
    model = copy.copy(estimator)
    names = vars(model).pop("feature_names_in_", None)
    if names is not None:
        columns = {
            name: check_columns(
                name, getattr(model, name), model.n_features_in_, names, allow_empty=True
            )
            for name in ("gate_features", "expert_features", "shared_features")
            if hasattr(model, name)
        }
        model.set_params(**columns)
    return model


def draw_target(model: Any, X: Any, given: dict[str, Array], rng: np.random.RandomState) -> Array:
    """A target for given rows, drawn from the fitted mixture.

    `given` may hold the offset of the rows, and the number of the unit of each row: the rows of a
    unit are drawn from one expert.
    """
    of_rows = {name: values for name, values in given.items() if name == "offset"}
    if "units" in given:
        of_rows["gate_proba"] = _sample_experts(model, X, given["units"], rng)
    return _sample_target(model, X, of_rows, rng)


def _sample_experts(model: Any, X: Any, units: Array, rng: np.random.RandomState) -> Array:
    """One expert for all rows of each unit, as `gate_proba`."""
    prior = model.predict_gate(X, units=units)
    levels = np.cumsum(prior, axis=1)[:, :-1]
    drawn = rng.uniform(size=int(units.max()) + 1)[units]
    experts = (drawn[:, None] > levels).sum(axis=1)
    return np.eye(prior.shape[1])[experts]


def _sample_target(
    model: Any, X: Any, given: dict[str, Array], rng: np.random.RandomState
) -> Array:
    """A target drawn from the predictive distributions of the rows."""
    if is_classifier(model):
        return model.classes_[sample_classes(model.predict_proba(X, **given), rng)]
    return model.sample(X, 1, rng, **given)[:, 0]
