"""Gate and experts as formulas of the features, if they are softmaxes and linear predictors.

Nothing is asked about the kinds of gate and experts: formulas are made of the fitted coefficients,
and kept if they give what the mixture gives on rows of the data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.base import is_classifier

from skmoe._numerics.probability import keep_top_k, log_softmax
from skmoe._numerics.typing import Array
from skmoe.distributions import (
    GammaComponents,
    InverseGaussianComponents,
    LogNormalComponents,
    NegativeBinomialComponents,
    NormalComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
    StudentTComponents,
    UniformComponents,
)
from skmoe.inspection._grid import is_numeric, numeric_values, take_rows

# Largest difference of a formula and the mixture, relative to the largest value.
FORMULA_RTOL = 1e-8

# Rows on which both are compared.
N_COMPARED = 200

# Densities that the page computes: name, the field that moves with the linear predictor, and fields
# that are the same for all rows.
DENSITIES: dict[type, tuple[str, str, tuple[str, ...]]] = {
    NormalComponents: ("normal", "mean", ("std",)),
    StudentTComponents: ("student_t", "mean", ("scale", "df")),
    LogNormalComponents: ("lognormal", "log_mean", ("log_std",)),
    GammaComponents: ("gamma", "mean", ("shape",)),
    InverseGaussianComponents: ("inverse_gaussian", "mean", ("dispersion",)),
    PoissonComponents: ("poisson", "mean", ()),
    NegativeBinomialComponents: ("negative_binomial", "mean", ("dispersion",)),
    PointMassComponents: ("point_mass", "", ("value",)),
    UniformComponents: ("uniform", "", ("low", "high")),
}

# From linear predictors to locations.
INVERSE_LINKS: dict[str, Callable[[Array], Array]] = {"identity": lambda eta: eta, "log": np.exp}


class Predictor(NamedTuple):
    """A linear predictor."""

    slopes: Array  # (..., p)
    intercepts: Array  # (...)

    def at(self, values: Array) -> Array:
        """Values (..., n) at rows (n, p)."""
        return self.slopes @ values.T + np.asarray(self.intercepts)[..., None]

    def given(self, start: Array, columns: Sequence[int]) -> dict[str, Any]:
        """The predictor of some columns, with the others at the starting row."""
        others = np.ones(len(start), dtype=bool)
        others[list(columns)] = False
        intercepts = self.intercepts + self.slopes[..., others] @ start[others]
        slopes = self.slopes[..., list(columns)]
        return {"slopes": slopes.tolist(), "intercept": np.asarray(intercepts).tolist()}


def find_formulas(
    estimator: Any, X: Any, start: Any, columns: Sequence[int], index: int
) -> dict[str, Any] | None:
    """Gate and experts as formulas of some columns; None if they are no such formulas.

    `index` is that of the output of a regressor.
    """
    n_features = estimator.n_features_in_
    if not all(is_numeric(X, j) for j in range(n_features)):
        return None
    if not hasattr(estimator, "expert_coef_") or not hasattr(estimator, "gate_coef_"):
        return None
    compared = np.linspace(0, X.shape[0] - 1, min(N_COMPARED, X.shape[0])).astype(int)
    rows = take_rows(X.tocsr() if hasattr(X, "tocsr") else X, compared)
    values, first = _numbers(rows, n_features), _numbers(start, n_features)[0]
    if not np.isfinite(values).all() or not np.isfinite(first).all():
        return None
    gate = _gate_formula(estimator, rows, values)
    if gate is None:
        return None
    if is_classifier(estimator):
        experts = _class_formulas(estimator, rows, values)
    else:
        experts = _density_formulas(estimator, rows, values, index)
    if experts is None:
        return None
    for formula in (gate, *experts):
        if "predictor" in formula:
            formula |= formula.pop("predictor").given(first, columns)
    return {"gate": gate, "experts": experts}


def _numbers(X: Any, n_features: int) -> Array:
    return np.column_stack([numeric_values(X, j) for j in range(n_features)])


def _agrees(computed: Array, wanted: Array) -> bool:
    largest = np.abs(wanted).max(initial=0.0)
    return bool(np.abs(computed - wanted).max(initial=0.0) <= FORMULA_RTOL * (largest or 1.0))


# --- the gate ---------------------------------------------------------------------------------


def _gate_formula(estimator: Any, rows: Any, values: Array) -> dict[str, Any] | None:
    slopes = estimator.gate_coef_
    if slopes.shape[1] != values.shape[1]:
        return None
    n_starts = (
        len(estimator.start_traces_) if getattr(estimator, "combine", "best") == "average" else 1
    )
    predictor = Predictor(slopes, estimator.gate_intercept_)
    probs = [
        np.exp(log_softmax(keep_top_k(log_softmax(logits), estimator.top_k))) / n_starts
        for logits in np.split(predictor.at(values), n_starts)
    ]
    if not _agrees(np.concatenate(probs).T, estimator.predict_gate(rows)):
        return None
    return {"predictor": predictor, "n_starts": n_starts, "top_k": estimator.top_k}


# --- classes ----------------------------------------------------------------------------------


def _class_formulas(estimator: Any, rows: Any, values: Array) -> list[dict[str, Any]] | None:
    slopes, intercepts = estimator.expert_coef_, estimator.expert_intercept_
    if slopes.ndim == 2:  # log odds of the second of two classes
        slopes = np.stack([np.zeros_like(slopes), slopes], axis=1)
        intercepts = np.stack([np.zeros_like(intercepts), intercepts], axis=1)
    predictors = [Predictor(*coef) for coef in zip(slopes, intercepts, strict=True)]
    wanted = estimator.predict_experts(rows)
    for k, predictor in enumerate(predictors):
        if not _agrees(np.exp(log_softmax(predictor.at(values))).T, wanted[:, k]):
            return None
    return [{"density": "classes", "predictor": predictor} for predictor in predictors]


# --- densities --------------------------------------------------------------------------------


def components_of(estimator: Any, rows: Any) -> list[Any] | None:
    """Components of each expert for all rows; None if experts have none, or several each."""
    n_experts = estimator.n_experts_
    equal = np.full((rows.shape[0], n_experts), 1.0 / n_experts)
    try:
        components = estimator.predict_dist(rows, gate_proba=equal).as_components()
    except (AttributeError, ValueError):
        return None
    parts = [
        _component(part, c)
        for part in getattr(components, "parts", (components,))
        for c in range(len(part.weight))
    ]
    return parts if len(parts) == n_experts else None


def _component(part: Any, c: int) -> Any:
    """One of the components of a mixture, without its weight."""
    of_component = _fields(part)
    varying = {name: values[c] for name, values in of_component.items() if name != "values"}
    return part._replace(**varying)


def _fields(component: Any) -> dict[str, Any]:
    """Arrays of components by the names of their fields."""
    names = inspect.signature(type(component)).parameters
    return dict(zip(names, component, strict=True))


def _density_formulas(
    estimator: Any, rows: Any, values: Array, index: int
) -> list[dict[str, Any]] | None:
    components = components_of(estimator, rows)
    if components is None:
        return None
    coef = np.asarray(estimator.expert_coef_).reshape(len(components), -1, values.shape[1])
    intercepts = np.asarray(estimator.expert_intercept_).reshape(len(components), -1)
    steps = getattr(estimator, "threshold_steps_", None)
    formulas = []
    for k, component in enumerate(components):
        predictor = Predictor(coef[k, index], intercepts[k, index])
        if isinstance(component, OrdinalComponents):
            of_expert = np.zeros(0) if steps is None else steps[k]
            formula = _ordinal_formula(component, predictor, values, of_expert)
        else:
            formula = _density_formula(component, predictor, values, index)
        if formula is None:
            return None
        formulas.append(formula)
    return formulas


def _density_formula(
    component: Any, predictor: Predictor, values: Array, index: int
) -> dict[str, Any] | None:
    if type(component) not in DENSITIES:
        return None
    name, location, constants = DENSITIES[type(component)]
    fields = _fields(component)
    formula: dict[str, Any] = {"density": name}
    for field in constants:
        of_rows = fields[field][index]
        if not _agrees(np.full(len(of_rows), of_rows[0]), of_rows):
            return None
        formula[field] = float(of_rows[0])
    if not location:
        return formula
    wanted = fields[location][index]
    is_count = isinstance(component, (PoissonComponents, NegativeBinomialComponents))
    if is_count and not wanted.any():  # it is always zero
        return {"density": "point_mass", "value": 0.0}
    with np.errstate(over="ignore"):
        for link, inverse in INVERSE_LINKS.items():
            if _agrees(inverse(predictor.at(values)), wanted):
                return formula | {"predictor": predictor, "link": link}
    return None


def _ordinal_formula(
    component: OrdinalComponents, predictor: Predictor, values: Array, steps: Array
) -> dict[str, Any] | None:
    thresholds = np.append(0.0, np.cumsum(steps))
    levels = np.asarray(component.values)
    if len(thresholds) != len(levels) - 1:
        return None
    up_to = expit(thresholds[:, None] - predictor.at(values))
    probabilities = np.diff(np.pad(up_to, ((1, 1), (0, 0)), constant_values=(0.0, 1.0)), axis=0)
    if not _agrees(probabilities, component.probabilities[0]):
        return None
    given = {"values": levels.tolist(), "thresholds": thresholds.tolist()}
    return {"density": "ordinal", "link": "identity", "predictor": predictor} | given
