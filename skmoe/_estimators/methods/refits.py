"""Refits of an estimator to targets drawn from its fitted mixture, for the bootstrap."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.row_checks import check_columns, check_signs
from skmoe._data.rows import Rows
from skmoe._estimators.fitting.attributes import attributes_of_mixture
from skmoe._inference.bootstrap import Refit, sample_classes
from skmoe._inference.coefficients import ListedBlock
from skmoe._numerics.typing import Array


def refit(
    estimator: Any,
    blocks: Sequence[ListedBlock],
    rows: Rows,
    drawn: Rows,
    seed: np.random.SeedSequence,
) -> Refit:
    """A fit to a target drawn from the fitted mixture, which starts from the fitted parameters.

    `rows` are those of the fit, validated; targets are drawn for them repeated by their weights.
    """
    rng = np.random.RandomState(np.random.MT19937(seed))
    model = _without_feature_names(estimator)
    drawn = draw_known_experts(model, drawn, rng)
    target = draw_target(model, drawn, rng)
    model.set_params(n_experts=model.n_experts_, warm_start=True, n_init=1, verbose=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model._fit(drawn._replace(y=target))
    fitted = attributes_of_mixture(estimator._in_units(model._fitted))
    attributes = {name: fitted[name] for listed in blocks for name in listed.block.attribute_names}
    return Refit(attributes, model._fitted.responsibilities(rows))


def _without_feature_names(estimator: Any) -> Any:
    """A copy for features that are an array, with column indices in the place of names."""
    model = copy.copy(estimator if estimator._input is None else estimator._input.mixture)
    names = vars(model).pop("feature_names_in_", None)
    if names is not None:
        columns: dict[str, Any] = {
            name: check_columns(
                name, getattr(model, name), model.n_features_in_, names, allow_empty=True
            )
            for name in model.get_params(deep=False)
            if name.endswith("_features")
        }
        if model.monotonic_cst is not None:
            signs = check_signs(model.monotonic_cst, None, model.n_features_in_, names)
            columns["monotonic_cst"] = signs or None
        model.set_params(**columns)
    return model


def draw_known_experts(model: Any, rows: Rows, rng: np.random.RandomState) -> Rows:
    """Rows whose known experts are drawn from the gate, where one expert is possible."""
    if rows.possible is None:
        return rows
    experts = _draw_experts(model, rows._replace(possible=None), rng)
    is_known = rows.possible.sum(axis=1) == 1
    drawn = np.eye(rows.possible.shape[1], dtype=bool)[experts]
    return rows._replace(possible=np.where(is_known[:, None], drawn, rows.possible))


def draw_target(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """A target for validated rows from the fitted mixture: those of a unit from one expert."""
    fitted, gate_prob = model._fitted, None
    if rows.unit is not None or rows.possible is not None:
        gate_prob = np.eye(fitted.model.n_experts)[:, _draw_experts(model, rows, rng)]
    if is_classifier(model):
        probs = fitted.predict(rows.X, gate_prob=gate_prob).T
        return model.classes_[sample_classes(probs, rng)]
    distribution = fitted.distribution(rows.X, rows.offset, model._single_output, gate_prob)
    return np.asarray(distribution.rvs(1, rng))[:, 0]


def _draw_experts(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """An expert (n,) for each row, among those that are possible; the same for rows of a unit."""
    log_gate = model._fitted.log_gate_of_units(rows)
    codes = np.arange(rows.n_rows) if rows.unit is None else rows.unit
    prob = np.exp(log_gate)
    if rows.possible is not None:
        prob = prob * rows.possible.T[:, np.unique(codes, return_index=True)[1]]
        prob /= prob.sum(axis=0)
    levels = np.cumsum(prob, axis=0)[:-1]
    return np.asarray((rng.uniform(size=levels.shape[1]) > levels).sum(axis=0)[codes])
