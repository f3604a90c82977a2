"""The coefficients of a mixture as one list of named terms: their values and their covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from skmoe._data.scaling import Standardization
from skmoe._inference.information import Covariance, Information
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array

INTERCEPT = "(Intercept)"

NOISE = "log(noise variance)"

GATE = "gate"


class Term(NamedTuple):
    """Where a coefficient stands."""

    part: str  # "expert 0", ..., or "gate"
    response: str  # output, class, or expert that the gate chooses; empty if there is one only
    name: str  # of the feature, or what else it is


class CoefficientLayout(NamedTuple):
    """Which coefficients a mixture has, in the order in which they are listed.

    Expert by expert: its coefficient vectors, each an intercept and slopes, then its log noise
    variances. Last the coefficient vectors of the gate, if there is a choice.
    """

    n_experts: int
    responses: Sequence[str]  # of the public coefficient vectors of an expert
    n_noise: int
    expert_columns: Array  # features that experts and gate see
    gate_columns: Array
    gate_column_index: Array  # of those among the columns of `gate_coef_`
    has_gate: bool


def make_layout(mixture: FittedMixture, responses: Sequence[str]) -> CoefficientLayout:
    """The layout of a mixture of smooth parts."""
    everything = np.arange(len(mixture.scale.scale))
    expert_columns, gate_columns = mixture.expert_columns, mixture.gate_columns
    if hasattr(mixture.params.gate, "log_prior"):
        gate_columns = everything[:0]
    elif gate_columns is None:
        gate_columns = everything
    expert_columns = everything if expert_columns is None else everything[expert_columns]
    gate_places = gate_columns
    if mixture.extra_features is not None:
        expert_columns = expert_columns[expert_columns < mixture.extra_features.n_features]
        gate_places = np.arange(len(gate_columns))
    n_experts = len(mixture.params.experts.coef)
    return CoefficientLayout(
        n_experts,
        responses,
        len(responses) if hasattr(mixture.params.experts, "log_variance") else 0,
        expert_columns,
        gate_columns,
        gate_places,
        n_experts > 1,
    )


def coefficient_terms(
    layout: CoefficientLayout, features: Sequence[str], gate_features: Sequence[str]
) -> list[Term]:
    """Names of the coefficients, given those of the columns of `coef_` and `gate_coef_`."""
    shown = layout.responses if len(layout.responses) > 1 else [""] * len(layout.responses)
    of_expert = [INTERCEPT, *(features[j] for j in layout.expert_columns)]
    of_gate = [INTERCEPT, *(gate_features[j] for j in layout.gate_column_index)]
    experts = [f"expert {k}" for k in range(layout.n_experts)]
    terms = []
    for expert in experts:
        terms += [Term(expert, response, name) for response in shown for name in of_expert]
        terms += [Term(expert, response, NOISE) for response in shown[: layout.n_noise]]
    if layout.has_gate:
        terms += [Term(GATE, expert, name) for expert in experts for name in of_gate]
    return terms


def coefficient_values(layout: CoefficientLayout, model: Any, reference: int | None) -> Array:
    """Coefficients of a fitted estimator."""
    shape = layout.n_experts, len(layout.responses), -1
    intercepts, slopes = model.intercept_.reshape(shape), model.coef_.reshape(shape)
    vectors = np.concatenate([intercepts, slopes[..., layout.expert_columns]], axis=2)
    parts = [vectors.reshape(layout.n_experts, -1)]
    if layout.n_noise:
        parts.append(np.log(model.noise_variance_.reshape(layout.n_experts, -1)))
    values = np.hstack(parts).ravel()
    if not layout.has_gate:
        return values
    gate = np.hstack(
        [model.gate_intercept_[:, None], model.gate_coef_[:, layout.gate_column_index]]
    )
    if reference is not None:
        gate = gate - gate[reference]
    return np.concatenate([values, gate.ravel()])


def jacobian(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    reference: int | None,
) -> Array:
    """Derivatives (T, D) of the coefficients by the coordinates of the information."""
    of_responses, of_choices = _contrast_matrices(mixture, reference)
    if mixture.target is not None:
        of_responses = mixture.target.scale[:, None] * of_responses
    vectors = np.kron(of_responses, _unstandardise(mixture.scale, layout.expert_columns))
    block = linalg.block_diag(vectors, np.eye(layout.n_noise))
    size = len(information.observed)
    rows = [_scatter_columns(block, slots, size) for slots in information.expert_index]
    if layout.has_gate:
        vectors = np.kron(of_choices, _unstandardise(mixture.scale, layout.gate_columns))
        rows.append(_scatter_columns(vectors, information.gate_index, size))
    return np.concatenate(rows)


def coefficient_covariance(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    inverse: Covariance,
    reference: int | None,
) -> tuple[Array, list[str]]:
    """Covariance (T, T) of the coefficients, and for each why it has none, or an empty string."""
    slopes = jacobian(layout, mixture, information, reference)
    matrix = slopes @ inverse.matrix @ slopes.T
    touched = np.abs(slopes) > 1e-9 * np.abs(slopes).max(axis=1, keepdims=True)
    reasons = np.where((touched & inverse.not_identified).any(axis=1), "not determined", "")
    reasons = reasons.astype(object)
    reasons[_separated(layout, mixture, information, reference)] = "separated"
    # Slopes of constant features, and the gate's reference.
    reasons[~slopes.any(axis=1)] = "fixed"
    unknown = reasons != ""
    matrix[unknown] = matrix[:, unknown] = np.nan
    return matrix, reasons.tolist()


def _separated(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    reference: int | None,
) -> Array:
    """Coefficients of vectors that fewer rows inform than they have coefficients, (T,).

    A row informs a logit by p (1 - p): not at all where the choice is certain. The sum over the
    rows is what the complete-data information has for the intercepts.
    """
    of_responses, of_choices = _contrast_matrices(mixture, None)
    width, flags = 1 + len(layout.expert_columns), []
    for n_rows, complete in zip(information.rows, information.complete_experts, strict=True):
        rows = np.full(len(layout.responses), n_rows)
        if mixture.target is None:
            rows = np.minimum(rows, _effective_rows(complete, of_responses, width))
        flags += [np.repeat(rows < width, width), np.repeat(n_rows < width, layout.n_noise)]
    if layout.has_gate:
        width = 1 + len(layout.gate_columns)
        few = _effective_rows(information.complete_gate, of_choices, width) < width
        flags.append(np.repeat(few if reference is None else few | few[reference], width))
    return np.concatenate(flags)


def _contrast_matrices(mixture: FittedMixture, reference: int | None) -> tuple[Array, Array]:
    """From the coefficient vectors of the coordinates to the public ones, of experts and gate."""
    experts: Any = mixture.parts.experts
    gate: Any = mixture.parts.gate
    of_choices = gate.contrast_matrix(mixture.params.gate)
    if reference is not None:
        of_choices = of_choices - of_choices[reference]
    return experts.contrast_matrix(), of_choices


def _effective_rows(complete: Array, vectors: Array, width: int) -> Array:
    """Weight of the rows that inform each public coefficient vector."""
    intercepts = np.arange(vectors.shape[1]) * width + width - 1
    of_intercepts = complete[np.ix_(intercepts, intercepts)]
    return np.einsum("va,ab,vb->v", vectors, of_intercepts, vectors)


def _scatter_columns(block: Array, slots: Array, size: int) -> Array:
    wide = np.zeros((len(block), size))
    wide[:, slots] = block
    return wide


def _unstandardise(scale: Standardization, columns: Array) -> Array:
    """Matrix (1 + p, d) from standardised coefficients to intercept and slopes of raw features."""
    center, spread = scale.center[columns], scale.scale[columns]
    slopes = np.hstack([np.diag(1.0 / spread), np.zeros((len(columns), 1))])
    return np.vstack([np.append(-center / spread, 1.0), slopes])
