"""Average effects of features on predictions, and their standard errors by the delta method [1]_.

A change moves one feature from a low to a high value in all rows. Let g and mu be the probabilities
and means of the experts at both ends. Through the experts the mean of y changes by the sum over
them of mean(g) (mu_high - mu_low), and through the gate by that of (g_high - g_low) mean(mu).

References
----------
.. [1] G. W. Oehlert (1992), "A note on the delta method", The American Statistician 46, 27-29.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset, Rows
from skmoe._inference.coefficients import (
    GATE,
    Coefficients,
    ListedBlock,
    Term,
    coefficient_derivatives,
)
from skmoe._inference.labels import Labels, printable_line, printable_name
from skmoe._inference.results import Inference, columns_of_table, table_lines
from skmoe._mixture.information import Layout, coordinate_layout
from skmoe._mixture.maximum import moved
from skmoe._mixture.model import FittedMixture, Params
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.probability import normalised_top_k
from skmoe._numerics.typing import TINY, Array

# Part of the effects of the whole mixture.
MIXTURE = "mixture"

# Changes of a coordinate of the experts, in the central differences of their means.
COORDINATE_STEP = 1e-4

# A coefficient with a smaller derivative than this fraction of the largest is not involved.
INVOLVED_RTOL = 1e-6

# The reason for which a coefficient, and effects that depend on it, have no covariance.
NOT_DETERMINED = "not determined"


class Change(NamedTuple):
    """A change of one feature in all rows: validated rows at both ends, with weights of sum one."""

    name: str
    low: Rows
    high: Rows
    width: float  # of the change in units of the effect


class Sums(NamedTuple):
    """Weighted sums over the rows, for K experts and m responses, or derivatives of these."""

    experts: Array  # change through each expert, (..., K, m)
    gate: Array  # change through the probability of each expert, (..., K, m)
    share: Array  # mean probability of each expert, (..., K)
    probability: Array  # its change, (..., K)


class Block(NamedTuple):
    """Some of the rows at both ends of a change."""

    rows: tuple[Dataset, Dataset]
    added: tuple[Array | float, Array | float]  # to the means, by a base model
    width: float


class AverageEffects(Inference):
    """Average effects of features on predictions, with standard errors.

    Returned by `skmoe.inspection.average_effects`; it is not constructed by hand. See "Average
    effects" in the user guide.

    Attributes
    ----------
    terms : list of (part, response, name)
        The part of the mixture, the output, class or expert that changes, and the feature. The part
        is "mixture", the name of an expert, or "gate".
    estimates : ndarray of shape (n_terms,)
        Average effects.
    covariance : ndarray of shape (n_terms, n_terms)
        Their covariance; NaN without `inference`.
    reasons : list of str of length n_terms
        Why an effect has no standard error; empty if it has one.
    method : str
        Method of the covariance; empty without `inference`.
    replicates : ndarray of shape (n_bootstrap, n_terms) or None
        Effects in the refits of the bootstrap.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import average_effects
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> average_effects(moe, X, features=["bmi", "sex"]).terms[1]
    Term(part='mixture', response='', name='sex: 1 to 2')
    """

    def __repr__(self) -> str:
        columns, remarks = {"effect": self.estimates}, self.reasons
        if self.method:
            columns |= columns_of_table(self, 0.95)
            columns.pop("estimate")
        lines: list[str] = []
        for part in dict.fromkeys(term.part for term in self.terms):
            chosen = [i for i, term in enumerate(self.terms) if term.part == part]
            lines += [printable_name(part), *table_lines(self.terms, columns, remarks, chosen)]
        end = f"Standard errors: {self.method}." if self.method else ""
        return "\n".join(map(printable_line, [*lines, *([end] if end else [])]))


class DeltaMethod(NamedTuple):
    """From derivatives by the coordinates to covariances, given those of the coefficients."""

    inference: Inference
    layout: Layout
    inverse: Array  # from changes of scaled coefficients to those of the coordinates, (D, T)
    scale: Array  # of the coefficients, (T,)

    def refits(self, mixture: FittedMixture) -> list[Params]:
        """Parameters of the refits of a bootstrap."""
        replicates, (model, params, _) = self.inference.replicates, mixture
        if replicates is None:
            return []
        changes = (replicates - self.inference.estimates) / self.scale @ self.inverse.T
        return [moved(model, params, change, self.layout) for change in changes]

    def covariance(self, derivatives: Array) -> tuple[Array, list[str]]:
        """Covariance (E, E) of effects with derivatives (E, D), and why some have none."""
        by_scaled = derivatives @ self.inverse
        size = np.abs(by_scaled)
        involved = size > INVOLVED_RTOL * np.maximum(size.max(axis=1, keepdims=True), TINY)
        by_scaled = np.where(involved, by_scaled, 0.0)
        is_unknown = np.array(self.inference.reasons) == NOT_DETERMINED
        reasons = np.where((involved & is_unknown).any(axis=1), NOT_DETERMINED, "").tolist()
        by_coefficients = by_scaled / self.scale
        return by_coefficients @ self.inference.full_covariance @ by_coefficients.T, reasons


def delta_method(
    mixture: FittedMixture, inference: Inference, blocks: Sequence[ListedBlock]
) -> DeltaMethod:
    """The delta method for the coefficients of a mixture, which are those of the blocks."""
    model, params, preprocessor = mixture
    layout = coordinate_layout(model, params, preprocessor.n_gate_columns)
    derivatives = coefficient_derivatives(blocks, layout)
    experts: Any = model.experts
    derivatives[:, layout.expert_index[experts.coordinate_holders(params.experts) < 0]] = 0.0
    scale = np.abs(derivatives).max(axis=1)
    scale[scale == 0.0] = 1.0
    inverse = np.linalg.pinv(derivatives / scale[:, None])
    return DeltaMethod(inference, layout, inverse, scale)


def average_effects_of(
    mixture: FittedMixture,
    changes: Iterable[Change],
    responses: Sequence[str],
    labels: Labels,
    on_gate: bool,
    delta: DeltaMethod | None,
) -> AverageEffects:
    """Effects of changes on the responses, or on the probabilities of the experts."""
    fits = [mixture.params, *([] if delta is None else delta.refits(mixture))]
    names, values, derivatives = [], [], []
    n_responses = 0 if on_gate else len(responses)
    for change in changes:
        ends = map(mixture.preprocessor.transform_blocks, (change.low, change.high))
        pairs = zip(*ends, strict=True)
        blocks = [Block((a[0], b[0]), (a[1], b[1]), change.width) for a, b in pairs]
        sums = [_sums(mixture, params, blocks, n_responses) for params in fits]
        names.append(change.name)
        values.append([_effects(of_fit, of_fit, on_gate) for of_fit in sums])
        if delta is not None:
            own = _sums_by_coordinates(mixture, blocks, sums[0], delta.layout)
            derivatives.append(np.moveaxis(_effects(own, sums[0], on_gate), 0, -1))
    parts, changing = [MIXTURE], list(responses) if len(responses) > 1 else [""]
    if on_gate:
        parts, changing = [GATE], labels.experts
    elif mixture.model.n_experts > 1:
        parts = [MIXTURE, *labels.experts, GATE]
    terms = [
        Term(part, response, name) for part in parts for response in changing for name in names
    ]
    estimates, *replicates = np.stack(values, axis=-1).reshape(len(fits), -1)
    none = np.zeros(len(terms), dtype=bool)
    coefficients = Coefficients(terms, estimates, none, [], [""] * len(terms))
    if delta is None:
        unknown = np.full((len(terms), len(terms)), np.nan)
        return AverageEffects(coefficients, unknown, [""] * len(terms), "")
    by_coordinates = np.stack(derivatives, axis=-2).reshape(len(terms), -1)
    covariance, reasons = delta.covariance(by_coordinates)
    method = delta.inference.method
    if not replicates:
        return AverageEffects(coefficients, covariance, reasons, f"delta method, {method}")
    covariance = np.atleast_2d(np.cov(replicates, rowvar=False))
    return AverageEffects(coefficients, covariance, reasons, method, np.array(replicates))


def standard_errors_of_means(
    mixture: FittedMixture, rows: Rows, n_responses: int, delta: DeltaMethod
) -> Array:
    """Standard errors (n, K, m) of the means of the experts; NaN if they are not determined."""
    index, experts = delta.layout.expert_index, np.arange(mixture.model.n_experts)
    of_blocks = []
    for dataset, added in mixture.preprocessor.transform_blocks(rows):
        block = Block((dataset, dataset), (added, added), 1.0)
        shape = (len(experts), n_responses, len(dataset.weight), delta.layout.size)
        derivatives = np.zeros(shape)
        for j, of_coordinate in enumerate(index.T):
            by_coordinate = _mean_derivatives(mixture, block, n_responses, j)[0]
            derivatives[experts, :, :, of_coordinate] = by_coordinate
        errors = np.empty(shape[:-1])
        for k, response in np.ndindex(*shape[:2]):
            covariance, reasons = delta.covariance(derivatives[k, response])
            errors[k, response] = np.sqrt(np.maximum(np.diag(covariance), 0.0))
            errors[k, response, np.array(reasons) != ""] = np.nan
        of_blocks.append(errors)
    return np.moveaxis(np.concatenate(of_blocks, axis=2), 2, 0)


# --- sums over the rows -----------------------------------------------------------------------


def _effects(sums: Sums, at: Sums, on_gate: bool) -> Array:
    """Effects (..., P, m) of a change, or derivatives of those at other sums."""
    if on_gate:
        return sums.probability[..., None, :]
    of_all = (sums.experts + sums.gate).sum(axis=-2, keepdims=True)
    if len(at.share) == 1:
        return of_all
    share = np.maximum(at.share, TINY)[:, None]
    own = sums.experts / share
    if sums is not at:  # the derivative of a quotient
        own = own - sums.share[..., None] * at.experts / share**2
    return np.concatenate([of_all, own, sums.gate.sum(axis=-2, keepdims=True)], axis=-2)


def _probabilities(mixture: FittedMixture, params: Params, block: Block) -> list[Array]:
    """Probabilities (K, n) of the experts at both ends."""
    model = mixture.model
    logs = [model.gate.log_prob(params.gate, rows.gate_design) for rows in block.rows]
    return [np.exp(normalised_top_k(log_gate, model.top_k)) for log_gate in logs]


def _means(mixture: FittedMixture, experts: Any, block: Block, n_responses: int) -> list[Array]:
    """Means (K, m, n) of the experts at both ends, up to a constant that all of them share.

    Effects on the gate need those of no response.
    """
    if not n_responses:
        return [np.zeros((mixture.model.n_experts, 0, len(rows.weight))) for rows in block.rows]
    scaling = mixture.preprocessor.target_scaling
    scale = np.ones(1) if scaling is None else scaling.scale
    return [
        scale[:, None] * mixture.model.experts.mean(experts, rows.expert_design)[:, -n_responses:]
        + added
        for rows, added in zip(block.rows, block.added, strict=True)
    ]


def _sums(
    mixture: FittedMixture, params: Params, blocks: Sequence[Block], n_responses: int
) -> Sums:
    """Sums over the rows for given parameters."""
    of_blocks = []
    for block in blocks:
        means = _means(mixture, params.experts, block, n_responses)
        of_blocks.append(_sums_of_block(block, _probabilities(mixture, params, block), means))
    return reduce(add_fields, of_blocks)


def _sums_of_block(block: Block, gate: Sequence[Array], mean: Sequence[Array]) -> Sums:
    """Sums over the rows of a block. Derivatives of the probabilities may have another axis."""
    (low_gate, high_gate), (low, high) = gate, mean
    weighted = 0.5 * (low_gate + high_gate) * block.rows[0].weight
    changed = (high_gate - low_gate) * block.rows[0].weight / block.width
    return Sums(
        np.einsum("...kn,kmn->...km", weighted, (high - low) / block.width),
        np.einsum("...kn,kmn->...km", changed, 0.5 * (low + high)),
        weighted.sum(axis=-1),
        changed.sum(axis=-1),
    )


def _sums_by_coordinates(
    mixture: FittedMixture, blocks: Sequence[Block], sums: Sums, layout: Layout
) -> Sums:
    """Derivatives of the sums by the coordinates, which are the first axis."""
    found = Sums(*(np.zeros((layout.size, *values.shape)) for values in sums))
    n_responses = sums.experts.shape[-1]
    for block in blocks:
        gate = _probabilities(mixture, mixture.params, block)
        mean = _means(mixture, mixture.params.experts, block, n_responses)
        if len(layout.gate_index):
            of_gate = _sums_of_block(block, _gate_derivatives(mixture, block, gate), mean)
            for total, values in zip(found, of_gate, strict=True):
                total[layout.gate_index] += values
        numbers = np.arange(len(layout.expert_index))
        for j, index in enumerate(layout.expert_index.T):
            # The same coordinate of all experts, each of which changes its own mean only.
            by_coordinate = _mean_derivatives(mixture, block, n_responses, j)
            of_experts = _sums_of_block(block, gate, by_coordinate)
            found.experts[index, numbers] += of_experts.experts
            found.gate[index, numbers] += of_experts.gate
    return found


def _gate_derivatives(
    mixture: FittedMixture, block: Block, probabilities: Sequence[Array]
) -> list[Array]:
    """Derivatives (D, K, n) of the probabilities of the experts at both ends."""
    gate, params = mixture.model.gate, mixture.params.gate
    found = []
    for rows, probability in zip(block.rows, probabilities, strict=True):
        design = rows.gate_design
        design = design.toarray() if sparse.issparse(design) else design
        log_gate = gate.log_prob(params, design)
        scores = [gate.score_rows(params, k, design, log_gate) for k in range(len(log_gate))]
        found.append(np.stack(scores, axis=1) * probability)
    return found


def _mean_derivatives(
    mixture: FittedMixture, block: Block, n_responses: int, j: int
) -> list[Array]:
    """Derivatives (K, m, n) of the means of the experts by their coordinate j, at both ends."""
    experts, params = mixture.model.experts, mixture.params.experts
    step = np.zeros(experts.coordinate_holders(params).shape)
    step[:, j] = COORDINATE_STEP
    ahead, behind = (
        _means(mixture, experts.moved(params, sign * step), block, n_responses)
        for sign in (1.0, -1.0)
    )
    return [(a - b) / (2.0 * COORDINATE_STEP) for a, b in zip(ahead, behind, strict=True)]
