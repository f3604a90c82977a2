"""The coefficients of a mixture as one list of named terms: their values and their covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._inference.information import Covariance, Information
from skmoe._inference.labels import Labels
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel
from skmoe._numerics.typing import Array
from skmoe.protocols import Dispersion

INTERCEPT = "(Intercept)"

GATE = "gate"

# Part of the slopes that all experts share.
ALL_EXPERTS = "all experts"

# Derivatives smaller than this fraction of the largest in their row are zero up to round-off.
DERIVATIVE_RTOL = 1e-9


class Term(NamedTuple):
    """Name of a coefficient."""

    part: str  # name of an expert, "all experts" for shared slopes, or "gate"
    response: str  # output, class, or expert of the gate's logit; empty if there is one only
    name: str  # of the feature, "(Intercept)", or the name of a dispersion parameter


class Coefficients(NamedTuple):
    """The coefficients of a fitted mixture (T of them)."""

    terms: list[Term]
    values: Array
    is_dispersion: Array  # boolean: log dispersions, for which zero is no hypothesis
    has_ratio: Array  # boolean: slopes of which the exponential is a ratio, of means or of odds


class CoefficientLayout(NamedTuple):
    """Which coefficients a mixture has, in the order in which they are listed.

    For each expert its coefficient vectors, each an intercept and slopes, then the logs of its
    dispersion parameters. Last the coefficient vectors of the gate, if there are several experts.
    """

    n_experts: int
    responses: Sequence[str]  # of the public coefficient vectors of an expert
    dispersions: tuple[Dispersion, ...]
    expert_columns: Array  # columns of `expert_coef_` of which experts have slopes
    gate_columns: Array  # numeric columns of which the gate has slopes
    gate_column_index: Array  # of those among the columns of `gate_coef_`
    has_gate: bool
    # Which of the terms of each expert it has, (K, P): families can differ between the experts,
    # and slopes that all share are terms of the first expert with a linear predictor.
    present: Array
    shared_terms: Array  # which of the intercept and the slopes are shared, (1 + p,)
    ratio_terms: Array  # which of the terms of each expert are logs of ratios, (K, P)

    @property
    def n_dispersion(self) -> int:
        """Number of dispersion parameters of an expert, for all responses."""
        return len(self.dispersions) * len(self.responses)

    def select(self, values: Any) -> Any:
        """Those of all terms (T', ...) that are present."""
        n_gate = len(values) - self.present.size
        kept = np.flatnonzero(np.concatenate([self.present.ravel(), np.ones(n_gate, dtype=bool)]))
        return values[kept] if isinstance(values, np.ndarray) else [values[i] for i in kept]

    @property
    def attribute_names(self) -> list[str]:
        """Fitted attributes that hold the coefficients."""
        names = ["expert_coef_", "expert_intercept_"]
        names += dict.fromkeys(dispersion.attribute for dispersion in self.dispersions)
        return names + (["gate_coef_", "gate_intercept_"] if self.has_gate else [])


# --- names and values -------------------------------------------------------------------------


def has_coefficients(mixture: FittedMixture, attributes: Mapping[str, Any]) -> bool:
    """Whether experts and gate have coefficients."""
    n_columns = mixture.preprocessor.n_gate_columns
    gate_coef = mixture.model.gate.coefficients(mixture.params.gate, n_columns)
    return "expert_coef_" in attributes and gate_coef is not None


def make_layout(mixture: FittedMixture, responses: Sequence[str]) -> CoefficientLayout:
    """The layout of a mixture with coefficients."""
    preprocessor, model = mixture.preprocessor, mixture.model
    all_columns = np.arange(len(preprocessor.feature_scaling.scale))
    expert_columns, gate_columns = (
        all_columns if columns is None else all_columns[columns]
        for columns in (preprocessor.expert_columns, preprocessor.gate_columns)
    )
    column_index = gate_column_index(preprocessor)
    if not model.gate.depends_on_features:
        gate_columns, column_index = gate_columns[:0], column_index[:0]
    expert_columns = expert_columns[expert_columns < preprocessor.n_features]
    shared_terms = np.zeros(1 + len(expert_columns), dtype=bool)
    shared_terms[1 + np.array(model.experts.shared_slopes, dtype=int)] = True
    return CoefficientLayout(
        model.n_experts,
        responses,
        model.experts.dispersions,
        expert_columns,
        gate_columns,
        column_index,
        model.n_experts > 1,
        _present_terms(model, len(responses), shared_terms),
        shared_terms,
        _ratio_terms(model, len(responses), shared_terms),
    )


def _present_terms(model: MixtureModel, n_responses: int, shared_terms: Array) -> Array:
    """Which terms each expert has, (K, P): coefficients, and then dispersions."""
    experts, rows = model.experts, []
    listed = False  # whether the shared terms are terms of an earlier expert
    for k in range(model.n_experts):
        own = [dispersion in experts.dispersions_of(k) for dispersion in experts.dispersions]
        has_predictor = experts.has_predictor(k)
        coefficients = np.full(len(shared_terms), has_predictor) & ~(shared_terms & listed)
        listed |= has_predictor
        dispersions = np.repeat(own, n_responses).astype(bool)
        rows.append(np.concatenate([np.tile(coefficients, n_responses), dispersions]))
    return np.array(rows)


def _ratio_terms(model: MixtureModel, n_responses: int, shared_terms: Array) -> Array:
    """Which terms of each expert are logs of ratios, (K, P): a shared slope if all its are."""
    experts, rows = model.experts, []
    regressions = [k for k in range(model.n_experts) if experts.has_predictor(k)]
    of_all = all(experts.has_ratios(k) for k in regressions)
    for k in range(model.n_experts):
        slopes = np.where(shared_terms, of_all, experts.has_ratios(k))
        slopes[0] = False  # the intercept
        dispersions = np.zeros(len(experts.dispersions) * n_responses, dtype=bool)
        rows.append(np.concatenate([np.tile(slopes, n_responses), dispersions]))
    return np.array(rows)


def gate_column_index(preprocessor: Preprocessor) -> Array:
    """Columns of `gate_coef_` that belong to the columns of the gate's design matrix."""
    if preprocessor.gate_columns is None or preprocessor.extra_features is not None:
        return np.arange(preprocessor.n_gate_columns - 1)
    return np.asarray(preprocessor.gate_columns)


def coefficient_terms(layout: CoefficientLayout, labels: Labels) -> list[Term]:
    """Names of the coefficients, from those of experts, features and columns of the gate."""
    responses = layout.responses if len(layout.responses) > 1 else [""] * len(layout.responses)
    names = [INTERCEPT, *(labels.features[j] for j in layout.expert_columns)]
    gate_terms = [INTERCEPT, *(labels.gate_features[j] for j in layout.gate_column_index)]
    terms = []
    for expert in labels.experts:
        parts = [ALL_EXPERTS if shared else expert for shared in layout.shared_terms]
        terms += [
            Term(part, response, name)
            for response in responses
            for part, name in zip(parts, names, strict=True)
        ]
        terms += [
            Term(expert, response, dispersion.term)
            for dispersion in layout.dispersions
            for response in responses
        ]
    if layout.has_gate:
        terms += [Term(GATE, expert, name) for expert in labels.experts for name in gate_terms]
    selected: list[Term] = layout.select(terms)
    return selected


def coefficient_values(
    layout: CoefficientLayout, attributes: Mapping[str, Any], reference: int | None
) -> Array:
    """Coefficients (T,) from the fitted attributes; those of the gate against a reference."""
    shape = layout.n_experts, len(layout.responses), -1
    intercepts = attributes["expert_intercept_"].reshape(shape)
    slopes = attributes["expert_coef_"].reshape(shape)
    vectors = np.concatenate([intercepts, slopes[..., layout.expert_columns]], axis=2)
    parts = [vectors.reshape(layout.n_experts, -1)]
    for dispersion in layout.dispersions:
        dispersions = attributes[dispersion.attribute]
        if dispersion.position is not None:
            dispersions = dispersions[..., dispersion.position]
        parts.append(np.log(dispersions.reshape(layout.n_experts, -1)))
    values: Array = layout.select(np.hstack(parts).ravel())
    if not layout.has_gate:
        return values
    gate_slopes = attributes["gate_coef_"][:, layout.gate_column_index]
    gate = np.hstack([attributes["gate_intercept_"][:, None], gate_slopes])
    if reference is not None:
        gate = gate - gate[reference]
    return np.concatenate([values, gate.ravel()])


def make_coefficients(
    layout: CoefficientLayout,
    labels: Labels,
    attributes: Mapping[str, Any],
    reference: int | None = None,
) -> Coefficients:
    """Named coefficients from the fitted attributes."""
    terms = coefficient_terms(layout, labels)
    width = 1 + len(layout.expert_columns)
    of_expert = np.repeat([False, True], [len(layout.responses) * width, layout.n_dispersion])
    flags = np.zeros((2, len(terms)), dtype=bool)  # those of the gate are neither
    for flag, of_experts in zip(
        flags, (np.tile(of_expert, layout.n_experts), layout.ratio_terms.ravel()), strict=True
    ):
        selected = layout.select(of_experts)
        flag[: len(selected)] = selected
    return Coefficients(terms, coefficient_values(layout, attributes, reference), *flags)


# --- covariance -------------------------------------------------------------------------------


def jacobian(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    reference: int | None,
) -> Array:
    """Derivatives (T, D) of the coefficients by the coordinates of the information."""
    expert_contrasts, gate_contrasts = _contrast_matrices(mixture, reference)
    preprocessor = mixture.preprocessor
    if preprocessor.target_scaling is not None:
        expert_contrasts = preprocessor.target_scaling.scale[:, None] * expert_contrasts
    scaling = preprocessor.feature_scaling
    vectors = np.kron(expert_contrasts, _unstandardization_matrix(scaling, layout.expert_columns))
    block = linalg.block_diag(vectors, np.eye(layout.n_dispersion))
    size = len(information.observed)
    rows = [_scatter_columns(block, index, size) for index in information.expert_index]
    if layout.has_gate:
        vectors = np.kron(gate_contrasts, _unstandardization_matrix(scaling, layout.gate_columns))
        rows.append(_scatter_columns(vectors, information.gate_index, size))
    derivatives: Array = layout.select(np.concatenate(rows))
    return derivatives


def coefficient_covariance(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    inverse: Covariance,
    reference: int | None,
) -> tuple[Array, list[str]]:
    """Covariance (T, T) of the coefficients, and for each the reason why it has none, or ""."""
    derivatives = jacobian(layout, mixture, information, reference)
    matrix = derivatives @ inverse.matrix @ derivatives.T
    largest = np.abs(derivatives).max(axis=1, keepdims=True)
    involved = np.abs(derivatives) > DERIVATIVE_RTOL * largest
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & inverse.not_identified).any(axis=1)] = "not determined"
    reasons[(involved & inverse.at_bound).any(axis=1)] = "at its bound"
    reasons[_separated(layout, mixture, information, reference)] = "separated"
    used = involved & ~inverse.dropped
    reasons[~used.any(axis=1)] = "dropped"
    # Slopes of constant features, and the reference of the gate.
    reasons[~derivatives.any(axis=1)] = "fixed"
    unknown = reasons != ""
    matrix[unknown] = matrix[:, unknown] = np.nan
    return matrix, reasons.tolist()


def _separated(
    layout: CoefficientLayout,
    mixture: FittedMixture,
    information: Information,
    reference: int | None,
) -> Array:
    """Coefficients of vectors with fewer effective rows than coefficients, boolean of shape (T,).

    A row counts for a logit by p (1 - p): not at all where the choice is certain. The sum over the
    rows is the entry of the complete-data information for the intercept.
    """
    expert_contrasts, gate_contrasts = _contrast_matrices(mixture, None)
    width, flags = 1 + len(layout.expert_columns), []
    for n_rows, complete in zip(
        information.expert_weight, information.complete_experts, strict=True
    ):
        rows = np.full(len(layout.responses), n_rows)
        if mixture.model.experts.can_separate:
            rows = np.minimum(rows, _effective_rows(complete, expert_contrasts, width))
        flags += [np.repeat(rows < width, width), np.repeat(n_rows < width, layout.n_dispersion)]
    if layout.has_gate:
        width = 1 + len(layout.gate_columns)
        few = _effective_rows(information.complete_gate, gate_contrasts, width) < width
        few &= mixture.model.gate.depends_on_features  # shares are finite logits
        flags.append(np.repeat(few if reference is None else few | few[reference], width))
    separated: Array = layout.select(np.concatenate(flags))
    return separated


def _contrast_matrices(mixture: FittedMixture, reference: int | None) -> tuple[Array, Array]:
    """From the coefficient vectors of the coordinates to the public ones, of experts and gate."""
    experts: Any = mixture.model.experts
    gate_contrasts = mixture.model.gate.contrast_matrix(mixture.params.gate)
    if reference is not None:
        gate_contrasts = gate_contrasts - gate_contrasts[reference]
    return experts.contrast_matrix(), gate_contrasts


def _effective_rows(complete: Array, contrasts: Array, width: int) -> Array:
    """Effective number of rows of each public coefficient vector."""
    intercepts = np.arange(contrasts.shape[1]) * width + width - 1
    intercept_block = complete[np.ix_(intercepts, intercepts)]
    return np.einsum("va,ab,vb->v", contrasts, intercept_block, contrasts)


def _scatter_columns(block: Array, index: Array, size: int) -> Array:
    """The block in the columns `index` of a wider matrix, zero elsewhere.

    Coordinates beyond the columns of the block are no coefficients.
    """
    wide = np.zeros((len(block), size))
    wide[:, index[: block.shape[1]]] = block
    return wide


def _unstandardization_matrix(scaling: Standardization, columns: Array) -> Array:
    """Matrix (1 + p, d) from standardised coefficients to intercept and slopes of raw features."""
    center, scale = scaling.center[columns], scaling.scale[columns]
    slopes = np.hstack([np.diag(1.0 / scale), np.zeros((len(columns), 1))])
    return np.vstack([np.append(-center / scale, 1.0), slopes])
