"""Refits of an estimator to targets drawn from its fitted mixture, for the bootstrap."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_columns
from skmoe._data.rows import UserRows
from skmoe._inference.bootstrap import BootstrapRows, Refit, bootstrap_rows, sample_classes
from skmoe._inference.coefficients import CoefficientLayout
from skmoe._numerics.typing import Array


def make_refit(
    estimator: Any, layout: CoefficientLayout, rows: UserRows
) -> Callable[[np.random.SeedSequence], Refit]:
    """A function that returns the refit for a seed, given the validated rows of the fit."""
    return partial(_refit, estimator, layout, bootstrap_rows(rows))


def _refit(
    estimator: Any, layout: CoefficientLayout, rows: BootstrapRows, seed: np.random.SeedSequence
) -> Refit:
    """A fit to a target drawn from the fitted mixture, which starts from the fitted parameters."""
    rng = np.random.RandomState(np.random.MT19937(seed))
    model = _without_feature_names(estimator)
    drawn_offset = {} if rows.drawn_offset is None else {"offset": rows.drawn_offset.T}
    gate_proba = _sample_experts(model, rows, rng)
    target = _sample_target(model, rows.drawn_X, drawn_offset | gate_proba, rng)
    units = {} if rows.drawn_units is None else {"units": rows.drawn_units}
    model.set_params(n_experts=model.n_experts_, warm_start=True, n_init=1, verbose=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows.drawn_X, target, sample_weight=rows.drawn_weight, **drawn_offset, **units)
    attributes = {name: getattr(model, name) for name in layout.attribute_names}
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
            for name in ("gate_features", "expert_features")
        }
        model.set_params(**columns)
    return model


def _sample_experts(
    model: Any, rows: BootstrapRows, rng: np.random.RandomState
) -> dict[str, Array]:
    """One expert for all rows of each unit, as `gate_proba`; nothing without units."""
    if rows.drawn_units is None:
        return {}
    prior = model.predict_gate(rows.drawn_X, units=rows.drawn_units)
    levels = np.cumsum(prior, axis=1)[:, :-1]
    drawn = rng.uniform(size=int(rows.drawn_units.max()) + 1)[rows.drawn_units]
    experts = (drawn[:, None] > levels).sum(axis=1)
    return {"gate_proba": np.eye(prior.shape[1])[experts]}


def _sample_target(
    model: Any, X: Any, given: dict[str, Array], rng: np.random.RandomState
) -> Array:
    """A target drawn from the predictive distributions of the rows."""
    if is_classifier(model):
        return model.classes_[sample_classes(model.predict_proba(X, **given), rng)]
    return model.sample(X, 1, rng, **given)[:, 0]
