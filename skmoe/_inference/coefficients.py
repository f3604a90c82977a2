"""The coefficients of a mixture as one list of named terms, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.preprocessing import Preprocessor, Standardization
from skmoe._inference.labels import Labels
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import Block, LinearPredictor, Measure
from skmoe.protocols._blocks import MULTINOMIAL, ODDS_RATIO

INTERCEPT = "(Intercept)"

GATE = "gate"

# Part of the slopes that all experts share; that of others names those which share them.
ALL_EXPERTS = "all experts"


class Term(NamedTuple):
    """Name of a coefficient."""

    part: str  # an expert, "all experts" or the names of several that share a slope, or "gate"
    response: str  # output, class, or expert of the gate's log odds; empty if there is one only
    name: str  # of the feature, "(Intercept)", or the name of a dispersion parameter


class Exponentials(NamedTuple):
    """What exponentials of coefficients (T) are, such as rate ratios; NaN for coefficients without.

    Their logs are coefficients times a factor, and times powers of dispersions for hazard ratios.
    """

    name: str
    of: str  # what one unit more of a feature multiplies; "" for no ratio
    factor: Array
    by: Array  # indices of logs of dispersions; of the coefficients themselves without any
    power: Array

    def logs(self, values: Array) -> Array:
        """Their logs (..., T) for coefficients (..., T)."""
        return np.asarray(self.factor * values * np.exp(self.power * values[..., self.by]))

    def errors(self, values: Array, covariance: Array) -> Array:
        """Standard errors of their logs, by the delta method."""
        logs = self.logs(values)
        own, other = self.factor * np.exp(self.power * values[self.by]), self.power * logs
        variance, cross = np.diag(covariance), covariance[np.arange(len(values)), self.by]
        squares = own**2 * variance + 2.0 * own * other * cross + other**2 * variance[self.by]
        return np.sqrt(np.maximum(squares, 0.0))


class Coefficients(NamedTuple):
    """The coefficients of a fitted mixture (T of them)."""

    terms: list[Term]
    values: Array
    is_dispersion: Array  # boolean: logs of dispersions, about which zero is no hypothesis
    exponentials: list[Exponentials]
    references: list[str]  # expert or class against which each is log odds; "" for others
    gate_reference: int = 0


class ListedBlock(NamedTuple):
    """A block of an expert or of the gate in the list: V responses with W terms each."""

    block: Block
    expert: int | None  # None for the gate
    n_experts: int  # with an entry in the fitted attributes; 1 for the gate
    terms: list[Term]
    is_listed: Array  # boolean, (V, W): a shared slope is listed once, one that is zero never
    measures: dict[Measure, Array]  # the terms that have each, boolean of shape (W,)
    columns: Array  # of the fitted slopes that are coefficients
    unstandardize: Array  # from coefficients of standardised features to those of raw ones
    unit: Array  # units of y in which the fit measures each response, (V,)
    coordinates: Array  # among those that are estimated, -1 for absent ones
    can_separate: bool
    reference: Array | None = None  # number of the response against which each is log odds, (V,)
    reference_names: tuple[str, ...] = ("",)  # for each response, or one for all

    def select(self, values: Array) -> Array:
        """Those of all values (V, W, ...) whose terms are listed; of logits the log odds."""
        if self.reference is not None:
            values = values - values[self.reference]
        return values[self.is_listed]

    def repeat(self, values: Array) -> Array:
        """Values (V, 1) of the responses or (W,) of the terms, for each listed term."""
        return np.broadcast_to(values, self.is_listed.shape)[self.is_listed]


def list_blocks(
    fitted: FittedMixture, responses: Sequence[str], labels: Labels, gate_reference: int = 0
) -> list[ListedBlock]:
    """The blocks of coefficients of each expert, and last those of the gate."""
    mixture, preprocessor = fitted.mixture, fitted.preprocessor
    scaling, target_scaling = preprocessor.feature_scaling, preprocessor.target_scaling
    used = slice(None) if preprocessor.expert_columns is None else preprocessor.expert_columns
    columns = np.arange(len(scaling.scale))[used]
    columns = columns[columns < preprocessor.n_features]
    names = [INTERCEPT, *(labels.features[j] for j in columns)]
    unit = np.ones(len(responses)) if target_scaling is None else target_scaling.scale
    experts, n_experts = mixture.experts, mixture.n_experts
    shown = [experts.shown(k) for k in range(n_experts)]
    main = [(k, *own) for k, of_expert in enumerate(shown) for own in of_expert if own[0].is_main]
    # Which experts have each coefficient of the first vector of the means, (K, W).
    numbers = np.full((n_experts, len(names)), -1)
    for k, block, where in main:
        n_vectors = len(responses) if block.contrasts is None else block.contrasts.shape[1]
        vector = where.reshape(n_vectors, -1)[0]
        numbers[k] = np.append(vector[-1:], vector[: len(columns)])
    blocks = []
    for k, of_expert in enumerate(shown):
        for block, where in of_expert:
            own = columns
            if isinstance(block, LinearPredictor) and block.columns is not None:
                own = columns[list(block.columns)]
            own_names = block.terms([INTERCEPT, *(labels.features[j] for j in own)])
            own_responses = block.responses(responses)
            own_unit = unit if len(own_responses) == len(unit) else np.ones(len(own_responses))
            has_term = np.tile(np.arange(n_experts)[:, None] == k, len(own_names))
            is_first = np.ones(len(own_names), dtype=bool)
            if block.is_main:
                has_term = (numbers == numbers[k]) & (numbers >= 0)
                is_first = has_term.argmax(axis=0) == k
                is_first &= has_term[k]
            is_listed = np.tile(is_first, (len(own_responses), 1))
            # Logits of classes become log odds against the first class.
            is_logit = block.is_main and block.link == MULTINOMIAL  # type: ignore[union-attr]
            reference = None
            if is_logit and len(own_responses) > 1:
                reference = np.zeros(len(own_responses), dtype=int)
                is_listed[0] = False
            named = own_responses if len(responses) > 1 else [""]
            is_shared = has_term.sum(axis=0) > 1
            parts = [
                _shared_part(own_term, len(main), labels) if shared else labels.experts[k]
                for own_term, shared in zip(has_term.T, is_shared, strict=True)
            ]
            terms = [Term(parts[i], named[v], own_names[i]) for v, i in np.argwhere(is_listed)]
            blocks.append(
                ListedBlock(
                    block,
                    k,
                    n_experts,
                    terms,
                    is_listed,
                    _measures(block, [own for _, own, _ in main], is_shared),
                    own,
                    _unstandardization_matrix(scaling, own),
                    own_unit,
                    where,
                    block.is_main and experts.can_separate,
                    reference,
                    tuple(labels.classes[:1]) if is_logit else ("",),
                )
            )
    if n_experts > 1:
        blocks.append(_gate_block(fitted, labels, gate_reference))
    return blocks


def _measures(block: Block, main: Sequence[Block], is_shared: Array) -> dict[Measure, Array]:
    """The terms, boolean (W,), that have each measure; of shared slopes those of all experts."""
    has_one = np.arange(len(is_shared)) >= (not block.is_dispersion)  # without intercepts
    found = {}
    for measure in block.measures:
        of_all = not measure.by and all(measure in other.measures for other in main)
        found[measure] = has_one & (of_all | ~is_shared)
    return found


def _shared_part(has_term: Array, n_with_slopes: int, labels: Labels) -> str:
    """The experts that share a term, in words."""
    if has_term.sum() == n_with_slopes:
        return ALL_EXPERTS
    return ", ".join(labels.experts[k] for k in np.flatnonzero(has_term))


def _gate_block(fitted: FittedMixture, labels: Labels, gate_reference: int) -> ListedBlock:
    """The coefficients of the gate, whose responses are the experts."""
    preprocessor, gate = fitted.preprocessor, fitted.mixture.gate
    scaling, columns = preprocessor.feature_scaling, gate_column_index(preprocessor)
    used = slice(None) if preprocessor.gate_columns is None else preprocessor.gate_columns
    used = np.arange(len(scaling.scale))[used]
    if not gate.depends_on_features:
        columns = used = used[:0]
    names = [INTERCEPT, *(labels.gate_features[j] for j in columns)]
    experts, (block, where) = labels.experts, gate.shown
    reference = np.full(len(experts), gate_reference)
    is_listed = reference != np.arange(len(experts))
    return ListedBlock(
        block,
        None,
        1,
        [Term(GATE, experts[k], name) for k in np.flatnonzero(is_listed) for name in names],
        np.repeat(is_listed[:, None], len(names), axis=1),
        {ODDS_RATIO: np.arange(len(names)) > 0},
        columns,
        _unstandardization_matrix(scaling, used),
        np.ones(len(experts)),
        len(fitted.mixture.experts.first) + where,
        gate.depends_on_features,
        reference,
        tuple(experts[k] for k in reference),
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


def make_coefficients(
    blocks: Sequence[ListedBlock], attributes: Mapping[str, Any], gate_reference: int = 0
) -> Coefficients:
    """Named coefficients from the fitted attributes."""
    references = [listed.repeat(np.array(listed.reference_names)[:, None]) for listed in blocks]
    return Coefficients(
        [term for listed in blocks for term in listed.terms],
        coefficient_values(blocks, attributes),
        np.repeat([not b.block.is_tested for b in blocks], [len(b.terms) for b in blocks]),
        _exponentials(blocks),
        np.concatenate(references).tolist(),
        gate_reference,
    )


def _exponentials(blocks: Sequence[ListedBlock]) -> list[Exponentials]:
    """The measures of all blocks, by their names."""
    terms = [term for listed in blocks for term in listed.terms]
    index = {term: i for i, term in enumerate(terms)}
    found: dict[str, Exponentials] = {}
    start = 0
    for listed in blocks:
        for measure, has_one in listed.measures.items():
            for i in start + np.flatnonzero(listed.repeat(has_one)):
                by = index.get(terms[i]._replace(name=measure.by)) if measure.by else i
                if by is None:  # the dispersion depends on features
                    continue
                size = len(terms)
                none = np.full(size, np.nan), np.arange(size), np.zeros(size)
                own = found.setdefault(measure.name, Exponentials(*measure[:2], *none))
                own.factor[i], own.by[i], own.power[i] = measure.factor, by, measure.power
        start += len(listed.terms)
    return list(found.values())


def coefficient_derivatives(blocks: Sequence[ListedBlock], fitted: FittedMixture) -> Array:
    """Derivatives (T, R) of the coefficients by those that are estimated, which are constant."""
    derivatives, size = [], len(fitted.mixture.first)
    for listed in blocks:
        of_block = listed.block.derivatives(listed.unstandardize, listed.unit)
        of_block = of_block.reshape(len(listed.unit), -1, of_block.shape[1])
        is_present = listed.coordinates >= 0
        derivatives.append(np.zeros((len(listed.terms), size)))
        of_present = listed.select(of_block)[:, is_present]
        derivatives[-1][:, listed.coordinates[is_present]] = of_present
    return np.concatenate(derivatives)


def _unstandardization_matrix(scaling: Standardization, columns: Array) -> Array:
    """Matrix (1 + p, d) from standardised coefficients to intercept and slopes of raw features."""
    center, scale = scaling.center[columns], scaling.scale[columns]
    slopes = np.hstack([np.diag(1.0 / scale), np.zeros((len(columns), 1))])
    return np.vstack([np.append(-center / scale, 1.0), slopes])


def average_log_odds(slopes: Array, attributes: Mapping[str, Any]) -> Array:
    """Slopes (K, q) of the log odds of each expert against the others, averaged over the rows.

    By the derivative of the softmax, a feature changes the mean probability of expert k by the sum
    over the others of E[g_k g_l] (slope of k - slope of l). The others therefore count in
    proportion to E[g_k g_l], and the average has the sign of the change. It is the log odds of two
    experts.
    """
    overlap = np.maximum(attributes["_gate_overlap"], TINY)
    compete = np.where(np.eye(len(overlap), dtype=bool), 0.0, overlap)
    compete /= compete.sum(axis=1, keepdims=True)
    found: Array = slopes - compete @ slopes
    return found
