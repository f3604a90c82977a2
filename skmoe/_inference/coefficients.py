"""The coefficients of a mixture as one list of named terms, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.scaling import Standardization
from skmoe._inference.labels import Labels
from skmoe._mixture.information import Information, Layout
from skmoe._mixture.model import FittedMixture
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Block, LinearPredictor, SupportsGateInference, has_capability

INTERCEPT = "(Intercept)"

GATE = "gate"

# Part of the slopes that all experts share; that of others names those which share them.
ALL_EXPERTS = "all experts"


class Term(NamedTuple):
    """Name of a coefficient."""

    part: str  # an expert, "all experts" or the names of several that share a slope, or "gate"
    response: str  # output, class, or expert of the gate's logit; empty if there is one only
    name: str  # of the feature, "(Intercept)", or the name of a dispersion parameter


class Coefficients(NamedTuple):
    """The coefficients of a fitted mixture (T of them)."""

    terms: list[Term]
    values: Array
    is_dispersion: Array  # boolean: logs of dispersions or probabilities, which are not tested
    has_ratio: Array  # boolean: slopes of which the exponential is a ratio, of means or of odds
    gate_reference: int | None = None  # expert against which logits of the gate are log odds


class ListedBlock(NamedTuple):
    """A block of an expert or of the gate in the list: V responses with W terms each."""

    block: Block
    expert: int | None  # None for the gate
    n_experts: int  # with an entry in the fitted attributes; 1 for the gate
    terms: list[Term]
    is_listed: Array  # boolean, (W,): a shared slope is listed once, one that is zero never
    has_ratio: Array  # boolean, (W,)
    columns: Array  # of the fitted slopes that are coefficients
    unstandardize: Array  # from coefficients of standardised features to those of raw ones
    unit: Array  # units of y in which the fit measures each response, (V,)
    coordinates: slice  # among those of the expert, or of the gate
    can_separate: bool
    reference: int | None = None  # expert against which logits of the gate are log odds

    @property
    def is_log(self) -> bool:
        """Whether the values are logs of dispersions, or of probabilities of a constant gate."""
        is_probability = self.expert is None and not self.can_separate and self.reference is None
        return not self.block.is_tested or is_probability

    def select(self, values: Array) -> Array:
        """Those of all values (V, W, ...) whose terms are listed; of logits the log odds."""
        if self.reference is not None:
            values = values - values[self.reference]
        return values[:, self.is_listed].reshape(len(self.terms), *values.shape[2:])

    def index_in(self, layout: Information | Layout) -> Array:
        """Indices of its coordinates among all of them."""
        k = self.expert
        of_part = layout.gate_index if k is None else layout.expert_index[k]
        return of_part[self.coordinates]

    def repeat(self, values: Array) -> Array:
        """Values (V, 1) of the responses or (W,) of the terms, for each listed term."""
        shape = len(self.unit), len(self.is_listed)
        return np.broadcast_to(values, shape)[:, self.is_listed].ravel()


def has_coefficients(mixture: FittedMixture) -> bool:
    """Whether the experts, which are no estimators, and the gate have coefficients."""
    n_columns, experts = mixture.preprocessor.n_gate_columns, mixture.model.experts
    gate_coef = mixture.model.gate.coefficients(mixture.params.gate, n_columns)
    return bool(experts.blocks) and not experts.needs_all_rows and gate_coef is not None


def list_blocks(
    mixture: FittedMixture, responses: Sequence[str], labels: Labels, reference: int | None = None
) -> list[ListedBlock]:
    """The blocks of coefficients of each expert, and last those of the gate."""
    model, preprocessor = mixture.model, mixture.preprocessor
    scaling, target_scaling = preprocessor.feature_scaling, preprocessor.target_scaling
    used = slice(None) if preprocessor.expert_columns is None else preprocessor.expert_columns
    columns = np.arange(len(scaling.scale))[used]
    columns = columns[columns < preprocessor.n_features]
    names = [INTERCEPT, *(labels.features[j] for j in columns)]
    unit = np.ones(len(responses)) if target_scaling is None else target_scaling.scale
    rows = [model.experts.blocks_of(k) for k in range(model.n_experts)]
    main = [(k, own) for k, row in enumerate(rows) for own in row if own and own.is_main]
    shares_ratios = all(own.has_ratios for _, own in main)
    numbers = np.arange(model.n_experts)[:, None]
    holders = np.roll(model.experts.slope_holders(model.n_experts, len(names)), 1, axis=1)
    blocks = []
    for k, row in enumerate(rows):
        end = 0
        for declared, block in zip(model.experts.blocks, row, strict=True):
            start, end = end, end + declared.n_coordinates(len(responses), len(names))
            if block is None:
                continue
            own = columns
            if isinstance(block, LinearPredictor) and block.columns is not None:
                own = columns[list(block.columns)]
            own_names = block.terms([INTERCEPT, *(labels.features[j] for j in own)])
            of_terms = holders if block.is_main else np.tile(numbers, len(own_names))
            is_listed = of_terms[k] == k
            of_several = (of_terms == k).sum(axis=0) > 1
            has_ratio = np.where(of_several, shares_ratios, block.has_ratios)
            has_ratio[0] = False  # of the intercept
            own_responses = block.responses(responses)
            own_unit = unit if len(own_responses) == len(unit) else np.ones(len(own_responses))
            terms = [
                Term(_part(of_terms[:, i] == k, len(main), labels), response, own_names[i])
                for response in (own_responses if len(responses) > 1 else [""])
                for i in np.flatnonzero(is_listed)
            ]
            can_separate = block.is_main and model.experts.can_separate
            blocks.append(
                ListedBlock(
                    block,
                    k,
                    model.n_experts,
                    terms,
                    is_listed,
                    has_ratio,
                    own,
                    _unstandardization_matrix(scaling, own),
                    own_unit,
                    slice(start, end),
                    can_separate,
                )
            )
    if model.n_experts > 1:
        blocks.append(_gate_block(mixture, labels, reference))
    return blocks


def _part(has_term: Array, n_with_slopes: int, labels: Labels) -> str:
    """The experts that have a term, in words."""
    if 1 < has_term.sum() == n_with_slopes:
        return ALL_EXPERTS
    return ", ".join(labels.experts[k] for k in np.flatnonzero(has_term))


def _gate_block(mixture: FittedMixture, labels: Labels, reference: int | None) -> ListedBlock:
    """The coefficients of the gate, whose responses are the experts."""
    preprocessor, gate = mixture.preprocessor, mixture.model.gate
    scaling, columns = preprocessor.feature_scaling, gate_column_index(preprocessor)
    used = slice(None) if preprocessor.gate_columns is None else preprocessor.gate_columns
    used = np.arange(len(scaling.scale))[used]
    if not gate.depends_on_features:
        columns = used = used[:0]
    contrasts = None
    if has_capability(gate, SupportsGateInference):
        contrasts = gate.contrast_matrix(mixture.params.gate)  # type: ignore[attr-defined]
    names = [INTERCEPT, *(labels.gate_features[j] for j in columns)]
    return ListedBlock(
        LinearPredictor("", "", "softmax", "gate_coef_", "gate_intercept_", contrasts=contrasts),
        None,
        1,
        [Term(GATE, expert, name) for expert in labels.experts for name in names],
        np.ones(len(names), dtype=bool),
        np.zeros(len(names), dtype=bool),
        columns,
        _unstandardization_matrix(scaling, used),
        np.ones(len(labels.experts)),
        slice(None),
        gate.depends_on_features,
        reference,
    )


def gate_column_index(preprocessor: Preprocessor) -> Array:
    """Columns of `gate_coef_` that belong to the columns of the gate's design matrix."""
    if preprocessor.gate_columns is None or preprocessor.extra_features is not None:
        return np.arange(preprocessor.n_gate_columns - 1)
    return np.asarray(preprocessor.gate_columns)


def coefficient_values(blocks: Sequence[ListedBlock], attributes: Mapping[str, Any]) -> Array:
    """Coefficients (T,) from the fitted attributes."""
    values = []
    for listed in blocks:
        of_all = listed.block.values(attributes, listed.n_experts, listed.columns)
        values.append(listed.select(of_all[listed.expert or 0]))
    return np.concatenate(values)


def make_coefficients(blocks: Sequence[ListedBlock], attributes: Mapping[str, Any]) -> Coefficients:
    """Named coefficients from the fitted attributes."""
    return Coefficients(
        [term for listed in blocks for term in listed.terms],
        coefficient_values(blocks, attributes),
        np.repeat([b.is_log for b in blocks], [len(b.terms) for b in blocks]),
        np.concatenate([listed.repeat(listed.has_ratio) for listed in blocks]),
        blocks[-1].reference,
    )


def coefficient_derivatives(blocks: Sequence[ListedBlock], layout: Information | Layout) -> Array:
    """Derivatives (T, D) of the coefficients by the coordinates, which are constant."""
    size = 1 + max(int(layout.gate_index.max(initial=-1)), int(layout.expert_index.max()))
    derivatives = []
    for listed in blocks:
        of_block = listed.block.derivatives(listed.unstandardize, listed.unit)
        of_block = of_block.reshape(len(listed.unit), -1, of_block.shape[1])
        derivatives.append(np.zeros((len(listed.terms), size)))
        derivatives[-1][:, listed.index_in(layout)] = listed.select(of_block)
    return np.concatenate(derivatives)


def _unstandardization_matrix(scaling: Standardization, columns: Array) -> Array:
    """Matrix (1 + p, d) from standardised coefficients to intercept and slopes of raw features."""
    center, scale = scaling.center[columns], scaling.scale[columns]
    slopes = np.hstack([np.diag(1.0 / scale), np.zeros((len(columns), 1))])
    return np.vstack([np.append(-center / scale, 1.0), slopes])


def average_log_odds(slopes: Array, attributes: Mapping[str, Any], n_per_start: int) -> Array:
    """Slopes (K, q) of the log odds of each expert against the others, averaged over the rows.

    By the derivative of the softmax, a feature changes the mean probability of expert k by the sum
    over the others of E[g_k g_l] (slope of k - slope of l). The others therefore count in
    proportion to E[g_k g_l], and the average has the sign of the change. It is the log odds of two
    experts. In an average of starts the others are those of the same start.
    """
    weights = attributes["weights_"]
    # A fit of an earlier release has no products: the experts count by their shares.
    overlap = attributes.get("gate_overlap_", np.outer(weights, weights))
    start = np.arange(len(weights)) // n_per_start
    is_other = (start[:, None] == start) & ~np.eye(len(weights), dtype=bool)
    compete = np.where(is_other, np.maximum(overlap, TINY), 0.0)
    compete /= compete.sum(axis=1, keepdims=True)
    found: Array = slopes - compete @ slopes
    return found
