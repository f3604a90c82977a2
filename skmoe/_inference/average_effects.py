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
from typing import NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.coefficients import (
    GATE,
    Coefficients,
    ListedBlock,
    Term,
    coefficient_derivatives,
)
from skmoe._inference.labels import Labels, printable_line, printable_name
from skmoe._inference.results import Inference, columns_of_table, table_lines
from skmoe._mixture.data import Data
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import gate_scores
from skmoe._numerics.linalg import add_fields
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

    rows: tuple[Data, Data]
    added: tuple[Array | float, Array | float]  # to the means, by a base model
    width: float

    @property
    def weight(self) -> Array:
        """Weights (n,) of the rows."""
        return self.rows[0].rows.weight


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
    expert_index: Array  # coordinates of each expert among all that are estimated, (K, P)
    inverse: Array  # from changes of scaled coefficients to those of the coordinates, (R, T)
    scale: Array  # of the coefficients, (T,)

    def refits(self, fitted: FittedMixture) -> list[FittedMixture]:
        """The fits of a bootstrap."""
        replicates, (mixture, theta, _) = self.inference.replicates, fitted
        if replicates is None:
            return []
        changes = (replicates - self.inference.estimates) / self.scale @ self.inverse.T
        return [fitted._replace(theta=own) for own in theta + mixture.expanded(changes)]

    def covariance(self, derivatives: Array) -> tuple[Array, list[str]]:
        """Covariance (E, E) of effects with derivatives (E, R), and why some have none."""
        by_scaled = derivatives @ self.inverse
        size = np.abs(by_scaled)
        involved = size > INVOLVED_RTOL * np.maximum(size.max(axis=1, keepdims=True), TINY)
        by_scaled = np.where(involved, by_scaled, 0.0)
        is_unknown = np.array(self.inference.reasons) == NOT_DETERMINED
        reasons = np.where((involved & is_unknown).any(axis=1), NOT_DETERMINED, "").tolist()
        by_coefficients = by_scaled / self.scale
        return by_coefficients @ self.inference.full_covariance @ by_coefficients.T, reasons


def delta_method(
    fitted: FittedMixture, inference: Inference, blocks: Sequence[ListedBlock]
) -> DeltaMethod:
    """The delta method for the coefficients of a mixture, which are those of the blocks."""
    derivatives = coefficient_derivatives(blocks, fitted)
    scale = np.abs(derivatives).max(axis=1)
    scale[scale == 0.0] = 1.0
    inverse = np.linalg.pinv(derivatives / scale[:, None])
    own = [
        np.concatenate([np.zeros(0, int), *(b.coordinates for b in blocks if b.expert == k)])
        for k in range(fitted.mixture.n_experts)
    ]
    index = np.full((len(own), max(map(len, own))), -1)
    for row, of_expert in zip(index, own, strict=True):
        row[: len(of_expert)] = of_expert
    return DeltaMethod(inference, index, inverse, scale)


def average_effects_of(
    mixture: FittedMixture,
    changes: Iterable[Change],
    responses: Sequence[str],
    labels: Labels,
    on_gate: bool,
    delta: DeltaMethod | None,
) -> AverageEffects:
    """Effects of changes on the responses, or on the probabilities of the experts."""
    fits = [mixture, *([] if delta is None else delta.refits(mixture))]
    names, values, derivatives = [], [], []
    n_responses = 0 if on_gate else len(responses)
    for change in changes:
        ends = map(mixture.preprocessor.transform_blocks, (change.low, change.high))
        blocks = [
            Block((mixture.data(a[0]), mixture.data(b[0])), (a[1], b[1]), change.width)
            for a, b in zip(*ends, strict=True)
        ]
        sums = [_sums(fit, blocks, n_responses) for fit in fits]
        names.append(change.name)
        values.append([_effects(of_fit, of_fit, on_gate) for of_fit in sums])
        if delta is not None:
            own = _sums_by_coordinates(mixture, blocks, sums[0], delta.expert_index)
            derivatives.append(np.moveaxis(_effects(own, sums[0], on_gate), 0, -1))
    parts, changing = [MIXTURE], list(responses) if len(responses) > 1 else [""]
    if on_gate:
        parts, changing = [GATE], labels.experts
    elif mixture.mixture.n_experts > 1:
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
    n_experts, of_blocks = mixture.mixture.n_experts, []
    for dataset, added in mixture.preprocessor.transform_blocks(rows):
        data = mixture.data(dataset)
        block = Block((data, data), (added, added), 1.0)
        shape = n_experts, n_responses, len(block.weight), len(mixture.mixture.first)
        derivatives = np.zeros(shape)
        for index in delta.expert_index.T:
            by_coordinate = _mean_derivatives(mixture, block, n_responses, index)[0]
            present = np.flatnonzero(index >= 0)
            derivatives[present, :, :, index[present]] = by_coordinate[present]
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


def _probabilities(fitted: FittedMixture, block: Block) -> list[Array]:
    """Probabilities (K, n) of the experts at both ends."""
    return [np.exp(fitted.gate_logs(data)) for data in block.rows]


def _means(fitted: FittedMixture, block: Block, n_responses: int) -> list[Array]:
    """Means (K, m, n) of the experts at both ends; of no response for effects on the gate."""
    if not n_responses:
        return [np.zeros((fitted.mixture.n_experts, 0, len(block.weight)))] * 2
    return [
        fitted.means(data)[:, -n_responses:] + added
        for data, added in zip(block.rows, block.added, strict=True)
    ]


def _sums(fitted: FittedMixture, blocks: Sequence[Block], n_responses: int) -> Sums:
    """Sums over the rows for a fit."""
    of_blocks = []
    for block in blocks:
        means = _means(fitted, block, n_responses)
        of_blocks.append(_sums_of_block(block, _probabilities(fitted, block), means))
    return reduce(add_fields, of_blocks)


def _sums_of_block(block: Block, gate: Sequence[Array], mean: Sequence[Array]) -> Sums:
    """Sums over the rows of a block. Derivatives of the probabilities may have another axis."""
    (low_gate, high_gate), (low, high) = gate, mean
    weighted = 0.5 * (low_gate + high_gate) * block.weight
    changed = (high_gate - low_gate) * block.weight / block.width
    return Sums(
        np.einsum("...kn,kmn->...km", weighted, (high - low) / block.width),
        np.einsum("...kn,kmn->...km", changed, 0.5 * (low + high)),
        weighted.sum(axis=-1),
        changed.sum(axis=-1),
    )


def _sums_by_coordinates(
    fitted: FittedMixture, blocks: Sequence[Block], sums: Sums, expert_index: Array
) -> Sums:
    """Derivatives of the sums by the coordinates, which are the first axis."""
    mixture = fitted.mixture
    found = Sums(*(np.zeros((len(mixture.first), *values.shape)) for values in sums))
    n_responses, n_of_gate = sums.experts.shape[-1], len(mixture.gate.first)
    for block in blocks:
        gate = _probabilities(fitted, block)
        mean = _means(fitted, block, n_responses)
        if n_of_gate:
            of_gate = _sums_of_block(block, _gate_derivatives(fitted, block, gate), mean)
            for total, values in zip(found, of_gate, strict=True):
                total[-n_of_gate:] += values
        for index in expert_index.T:
            of_experts = _sums_of_block(
                block, gate, _mean_derivatives(fitted, block, n_responses, index)
            )
            present = np.flatnonzero(index >= 0)
            found.experts[index[present], present] += of_experts.experts[present]
            found.gate[index[present], present] += of_experts.gate[present]
    return found


def _gate_derivatives(
    fitted: FittedMixture, block: Block, probabilities: Sequence[Array]
) -> list[Array]:
    """Derivatives (R, K, n) of the probabilities of the experts at both ends."""
    (mixture, theta, _), found = fitted, []
    for data, probability in zip(block.rows, probabilities, strict=True):
        scores = gate_scores(mixture, theta, mixture.log_gate(theta[None], data), data)
        by_coordinates = [mixture.gate.reduced(own.T).T for own in scores]
        found.append(np.stack(by_coordinates, axis=1) * probability)
    return found


def _mean_derivatives(
    fitted: FittedMixture, block: Block, n_responses: int, index: Array
) -> list[Array]:
    """Derivatives (K, m, n) of the mean of each expert by one of its coordinates, at both ends.

    `index` (K,) has that of each expert, which changes its own mean only; -1 for none.
    """
    step = np.zeros(len(fitted.mixture.first))
    step[index[index >= 0]] = COORDINATE_STEP
    step = fitted.mixture.expanded(step)
    ahead, behind = (
        _means(fitted._replace(theta=fitted.theta + sign * step), block, n_responses)
        for sign in (1.0, -1.0)
    )
    return [(a - b) / (2.0 * COORDINATE_STEP) for a, b in zip(ahead, behind, strict=True)]
