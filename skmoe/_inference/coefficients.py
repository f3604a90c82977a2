"""The coefficients of a mixture as named terms, and their standard errors by the information.

A mixture has blocks: those of each expert, and that of the gate. A block has responses, such as
outputs or classes, and terms. The coefficients are linear functions of the coordinates, which are
the coefficients that the fit estimates, in its units.

Exact linear dependence of columns, such as of indicators of all categories, which add up to one,
lets some directions of the coordinates change no linear predictor. The data do not determine the
estimates along them; the penalty does, without any error, and it is no information about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.rows import Dataset
from skmoe._inference.labels import Labels
from skmoe._mixture.data import Data
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import EIGENVALUE_TOL, newton_step
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.signed_steps import slope_holders
from skmoe._numerics.typing import Array
from skmoe.protocols import Block, Measure
from skmoe.protocols._blocks import MULTINOMIAL, ODDS_RATIO

INTERCEPT = "(Intercept)"

GATE = "gate"

# Part of the slopes that all experts share; that of others names those which share them.
ALL_EXPERTS = "all experts"

# A coefficient that the data do not determine.
NOT_DETERMINED = "not determined"

# Components of unit vectors up to this size are round-off.
DIRECTION_TOL = 1e-6

# A negative eigenvalue beyond this fraction of the largest is not attributed to round-off.
NEGATIVE_EIGENVALUE_TOL = 1e-6

# A coordinate with a larger squared component than this in other directions is not identified.
NOT_IDENTIFIED_TOL = 1e-3

# Derivatives smaller than this fraction of the largest in their row are zero up to round-off.
DERIVATIVE_RTOL = 1e-9


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


class Listed(NamedTuple):
    """A block with V responses of W terms each, of which some are listed."""

    block: Block
    expert: int | None  # None for the gate
    n_experts: int
    responses: list[str]
    names: list[str]  # of the terms
    parts: list[str]  # that have each of the terms
    is_listed: Array  # boolean, (V, W): a shared slope is listed once, one that is zero never
    measures: dict[Measure, Array]  # the terms that have each, boolean of shape (W,)
    columns: Array  # of the fitted slopes that are coefficients
    scaling: tuple[Array, Array]  # centre and scale of the features of the slopes
    unit: Array  # units of y in which the fit measures each response, (V,)
    coordinates: Array  # among those that are estimated, -1 for absent ones
    can_separate: bool
    reference: int | None = None  # the response against which the others are log odds
    reference_name: str = ""

    def select(self, values: Array) -> Array:
        """Those of all values (V, W, ...) whose terms are listed; of logits the log odds."""
        if self.reference is not None:
            values = values - values[self.reference]
        return values[self.is_listed]

    def repeat(self, values: Any) -> Array:
        """Values (V, 1) of the responses or (W,) of the terms, for each listed term."""
        return np.broadcast_to(values, self.is_listed.shape)[self.is_listed]

    def values(self, attributes: Mapping[str, Any]) -> Array:
        """The listed coefficients, from the fitted attributes."""
        n_parts = 1 if self.expert is None else self.n_experts
        return self.select(self.block.values(attributes, n_parts, self.columns)[self.expert or 0])

    def derivatives(self, size: int) -> Array:
        """Derivatives (t, R) of the listed coefficients by the coordinates, which are constant."""
        center, scale = self.scaling
        slopes = np.hstack([np.diag(1.0 / scale), np.zeros((len(scale), 1))])
        unstandardize = np.vstack([np.append(-center / scale, 1.0), slopes])
        of_block = self.block.derivatives(unstandardize, self.unit)
        of_block = of_block.reshape(len(self.unit), -1, of_block.shape[1])
        is_present = self.coordinates >= 0
        found = np.zeros((int(self.is_listed.sum()), size))
        found[:, self.coordinates[is_present]] = self.select(of_block)[:, is_present]
        return found


@dataclass(eq=False)
class Coefficients:
    """The coefficients of a fitted mixture (T of them)."""

    terms: list[Term]
    values: Array
    is_dispersion: Array  # boolean: logs of dispersions, about which zero is no hypothesis
    exponentials: list[Exponentials] = field(default_factory=list)
    references: list[str] = field(default_factory=list)  # against which each is log odds, or ""
    gate_reference: int = 0
    blocks: list[Listed] = field(default_factory=list)

    def derivatives(self, size: int) -> Array:
        """Derivatives (T, R) of the coefficients by the coordinates, which are constant."""
        return np.concatenate([listed.derivatives(size) for listed in self.blocks])


def list_coefficients(
    fitted: FittedMixture, attributes: Mapping[str, Any], labels: Labels, gate_reference: int
) -> Coefficients:
    """The coefficients of each expert, and last those of the gate, from the fitted attributes."""
    blocks = _blocks_of_experts(fitted, labels)
    if len(labels.experts) > 1:
        blocks.append(_block_of_gate(fitted, labels, gate_reference))
    terms, values, references, is_dispersion = [], [], [], []
    for listed in blocks:
        values.append(listed.values(attributes))
        terms += [
            Term(listed.parts[i], listed.responses[v], listed.names[i])
            for v, i in np.argwhere(listed.is_listed).tolist()
        ]
        references += [listed.reference_name] * len(values[-1])
        is_dispersion += [not listed.block.is_tested] * len(values[-1])
    index, size, start = {term: i for i, term in enumerate(terms)}, len(terms), 0
    found: dict[str, Exponentials] = {}
    for listed in blocks:
        for measure, has_one in listed.measures.items():
            for i in start + np.flatnonzero(listed.repeat(has_one)):
                by = index.get(terms[i]._replace(name=measure.by)) if measure.by else i
                if by is None:  # the dispersion depends on features
                    continue
                none = np.full(size, np.nan), np.arange(size), np.zeros(size)
                own = found.setdefault(measure.name, Exponentials(*measure[:2], *none))
                own.factor[i], own.by[i], own.power[i] = measure.factor, by, measure.power
        start += int(listed.is_listed.sum())
    return Coefficients(
        terms,
        np.concatenate(values),
        np.array(is_dispersion, dtype=bool),
        list(found.values()),
        references,
        gate_reference,
        blocks,
    )


def _blocks_of_experts(fitted: FittedMixture, labels: Labels) -> list[Listed]:
    """The blocks of each expert: the predictors of its means, and its dispersions."""
    responses = labels.responses
    experts, units, n_experts = fitted.mixture.experts, fitted.preprocessor, len(labels.experts)
    used = slice(None) if units.expert_columns is None else units.expert_columns
    center, scale = units.feature_scaling
    columns = np.arange(len(scale))[used]
    columns = columns[columns < units.n_features]
    unit = np.ones(len(responses)) if units.target_scaling is None else units.target_scaling.scale
    shown = [(k, *own) for k in range(n_experts) for own in experts.shown(k)]
    main = {k: block for k, block, _ in shown if block.is_main}
    # The first expert with the same coefficient of the mean, (K, W); negative for absent ones.
    holders = np.tile(np.arange(n_experts)[:, None], 1 + len(columns))
    if experts.slopes:
        has_mean = np.isin(np.arange(n_experts), list(main))
        holders = slope_holders(experts.slopes, has_mean, experts.n_columns)
        holders = np.roll(holders, 1, axis=1)[:, : 1 + len(columns)]
    blocks = []
    for k, block, where in shown:
        own = columns
        if not block.is_dispersion and block.columns is not None:
            own = columns[list(block.columns)]
        names = block.terms([INTERCEPT, *(labels.features[j] for j in own)])
        of_block = block.responses(responses)
        has_term = np.tile(np.arange(n_experts)[:, None] == k, len(names))  # of the experts
        if block.is_main:
            has_term = (holders == holders[k]) & (holders >= 0)
        is_first = (has_term.argmax(axis=0) == k) & has_term[k]
        is_listed = np.tile(is_first, (len(of_block), 1))
        n_holders, parts = has_term.sum(axis=0), []
        for number, of_experts in zip(n_holders, has_term.T, strict=True):
            those = ", ".join(labels.experts[j] for j in np.flatnonzero(of_experts))
            parts.append(ALL_EXPERTS if 1 < number == len(main) else those)
        has_one = np.arange(len(names)) >= (not block.is_dispersion)  # without intercepts
        measures = {}
        for measure in block.measures:  # of shared slopes those of all experts
            of_all = not measure.by and all(measure in other.measures for other in main.values())
            measures[measure] = has_one & (of_all | (n_holders < 2))
        # Logits of classes are log odds against the first class.
        is_logit = block.is_main and block.link == MULTINOMIAL  # type: ignore[union-attr]
        has_reference = is_logit and len(of_block) > 1
        if has_reference:
            is_listed[0] = False
        blocks.append(
            Listed(
                block,
                k,
                n_experts,
                of_block if len(responses) > 1 else [""],
                names,
                parts,
                is_listed,
                measures,
                own,
                (center[own], scale[own]),
                unit if len(of_block) == len(unit) else np.ones(len(of_block)),
                where,
                block.is_main and experts.can_separate,
                0 if has_reference else None,
                labels.classes[0] if is_logit else "",
            )
        )
    return blocks


def _block_of_gate(fitted: FittedMixture, labels: Labels, reference: int) -> Listed:
    """The block of the gate, whose responses are the experts."""
    units, gate, experts = fitted.preprocessor, fitted.mixture.gate, labels.experts
    columns, (center, scale) = gate_columns(units), units.feature_scaling
    used = np.arange(len(scale))
    used = used if units.gate_columns is None else used[units.gate_columns]
    if not gate.depends_on_features:
        columns = used = used[:0]
    names = [INTERCEPT, *(labels.gate_features[j] for j in columns)]
    block, where = gate.shown
    return Listed(
        block,
        None,
        len(experts),
        experts,
        names,
        [GATE] * len(names),
        np.tile(np.arange(len(experts))[:, None] != reference, len(names)),
        {ODDS_RATIO: np.arange(len(names)) > 0},
        columns,
        (center[used], scale[used]),
        np.ones(len(experts)),
        len(fitted.mixture.experts.first) + where,
        gate.depends_on_features,
        reference,
        experts[reference],
    )


def gate_columns(preprocessor: Any) -> Array:
    """Columns of `gate_coef_` that belong to the columns of the gate's design matrix."""
    if preprocessor.gate_columns is None or preprocessor.extra_features is not None:
        return np.arange(preprocessor.n_gate_columns - 1)
    return np.asarray(preprocessor.gate_columns)


# --- standard errors --------------------------------------------------------------------------


class Errors(NamedTuple):
    """What is known of the errors of the T coefficients, and of their R coordinates."""

    method: str
    covariance: Array  # of the coefficients, (T, T)
    reasons: list[str]  # for which a coefficient has no error; "" if it has one
    replicates: Array | None = None  # estimates (B, T) of refits
    refits: Sequence[Array] = ()  # their vectors (D,)
    blocks: Sequence[Listed] = ()
    theta: Any = None  # the estimates, (D,)
    coordinates: Any = None  # covariance of the coordinates, (R, R)
    is_unknown: Any = False  # which of them the data do not determine, (R,)
    is_dependent: Any = False  # slopes of dependent columns that the penalty determines, (T,)
    max_shift: float = np.nan  # distance from the maximum in standard errors
    is_indefinite: bool = False  # whether the estimates are at no maximum

    def coordinates_of(self, n_experts: int) -> Array:
        """Coordinates (K, P) of each expert among all that are estimated; -1 for none."""
        of_experts: list[list[int]] = [[] for _ in range(n_experts)]
        for listed in self.blocks:
            if listed.expert is not None:
                of_experts[listed.expert] += listed.coordinates.tolist()
        size = max(map(len, of_experts))
        return np.array([own + [-1] * (size - len(own)) for own in of_experts])

    def delta_method(self, derivatives: Array) -> tuple[Array, list[str]]:
        """Covariance (E, E) of functions with derivatives (E, R), and why some have none."""
        size = np.abs(derivatives)
        involved = size > DIRECTION_TOL * size.max(axis=1, keepdims=True, initial=0.0)
        used = np.where(involved, derivatives, 0.0)
        unknown = (involved & self.is_unknown).any(axis=1)
        reasons = np.where(unknown, NOT_DETERMINED, "").tolist()
        return used @ self.coordinates @ used.T, reasons


def observed_errors(
    fitted: FittedMixture,
    data: Data,
    coefficients: Coefficients,
    is_sandwich: bool,
    clusters: Array | None,
) -> Errors:
    """Errors by the observed information at the fit, or by the sandwich covariance.

    `clusters` has the number of the cluster of each row or unit for the latter.
    """
    mixture, theta, _ = fitted
    step = newton_step(mixture, theta, [data], is_sandwich, clusters)
    first, (observed, _, scores, weight) = mixture.first, step.information
    at_bound, dropped = mixture.at_bound(theta)[first], mixture.prior.dropped[first]
    invariant = _invariant_directions(data.rows, coefficients.blocks, ~(at_bound | dropped))
    observed = mixture.reduced_matrix(observed)
    scores = mixture.reduced_matrix(scores) if is_sandwich else None
    least = max(EIGENVALUE_TOL * weight.sum(), np.finfo(float).tiny)
    known = at_bound | dropped
    matrix, is_unknown, is_indefinite = _inverse(observed, scores, known, invariant, least)
    method = "observed information"
    if is_sandwich:
        method = "sandwich covariance"
    if clusters is not None:  # the factor of few clusters of a linear regression in statsmodels
        n_clusters = len(np.unique(clusters))
        method += f", {n_clusters} clusters"
        is_scale = np.zeros(len(first), dtype=bool)
        for listed in coefficients.blocks:
            is_scale[listed.coordinates] |= listed.block.is_dispersion
        n_rows, n_coefficients = weight.sum(), int((~(known | is_scale)).sum())
        matrix *= n_clusters / (n_clusters - 1.0) * (n_rows - 1.0)
        matrix /= max(n_rows - n_coefficients, 1.0)
    derivatives = coefficients.derivatives(len(first))
    size = np.abs(derivatives)
    involved = size > DERIVATIVE_RTOL * size.max(axis=1, keepdims=True)
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & is_unknown).any(axis=1)] = NOT_DETERMINED
    # An intercept in raw units depends on slopes, of which some may be known.
    reasons[~(involved & ~at_bound).any(axis=1)] = "at its bound"
    reasons[_is_separated(fitted, data, weight, coefficients.blocks)] = "separated"
    reasons[~(involved & ~dropped).any(axis=1)] = "dropped"
    reasons[~derivatives.any(axis=1)] = "fixed"  # slopes of constant features
    is_slope = [listed.repeat(np.arange(len(listed.names)) > 0) for listed in coefficients.blocks]
    is_dependent = (involved & invariant.any(axis=1)).any(axis=1) & np.concatenate(is_slope)
    return Errors(
        method,
        derivatives @ matrix @ derivatives.T,
        reasons.tolist(),
        blocks=coefficients.blocks,
        theta=theta,
        coordinates=matrix,
        is_unknown=is_unknown,
        is_dependent=is_dependent & (reasons == ""),
        max_shift=step.shift,
        is_indefinite=is_indefinite,
    )


def _inverse(
    observed: Array, scores: Array | None, known: Array, invariant: Array, least: float
) -> tuple[Array, Array, bool]:
    """Inverse of the observed information (R, R), or with products of scores the sandwich.

    Coordinates `known`, boolean of shape (R,), have no error. The estimates satisfy the constraints
    that the gradient of the penalty is zero along `invariant` directions (R, r). These are no
    information: the covariance is that under the constraints. Returned are also the coordinates
    that are not identified, and whether the information is indefinite.
    """
    size = len(observed)
    matrix, not_identified = np.zeros((size, size)), np.zeros(size, dtype=bool)
    free = np.flatnonzero(~known)
    if not len(free):
        return matrix, not_identified, False
    observed = observed[np.ix_(free, free)]
    # Coordinates without information, such as intercepts of separated classes, have a diagonal of
    # round-off.
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(observed)), least))
    scaled = observed * unit[:, None] * unit
    fixed = np.zeros((len(free), 0))
    if invariant.size:
        # Along invariant directions the information is that of the penalties alone, which fix
        # estimates in its directions. Those without a penalty are not constrained.
        basis = np.linalg.qr(invariant[free] / unit[:, None])[0]
        strength, vectors = np.linalg.eigh(basis.T @ scaled @ basis)
        is_penalised = strength > EIGENVALUE_TOL * np.abs(scaled).max()
        fixed = np.linalg.qr(scaled @ (basis @ vectors[:, is_penalised]))[0]
        scaled -= fixed @ (fixed.T @ scaled)
        scaled -= (scaled @ fixed) @ fixed.T
    eigenvalues, eigenvectors = np.linalg.eigh(scaled)
    identified = eigenvalues > EIGENVALUE_TOL * eigenvalues[-1]
    kept = eigenvectors[:, identified]
    inverse = (kept / eigenvalues[identified]) @ kept.T * unit[:, None] * unit
    if scores is not None:
        inverse = inverse @ scores[np.ix_(free, free)] @ inverse
    matrix[np.ix_(free, free)] = inverse
    null_space = np.square(eigenvectors[:, ~identified]).sum(axis=1) - np.square(fixed).sum(axis=1)
    not_identified[free] = null_space > NOT_IDENTIFIED_TOL
    is_indefinite = eigenvalues[0] < -NEGATIVE_EIGENVALUE_TOL * eigenvalues[-1]
    return matrix, not_identified, bool(is_indefinite)


def _invariant_directions(dataset: Dataset, blocks: Sequence[Listed], free: Array) -> Array:
    """Directions (R, r) of the free coordinates, boolean (R,), that change no linear predictor.

    There are none if a design has fewer rows than columns, which depend on each other by chance.
    """
    size = len(free)
    designs = split_offset(dataset.expert_design)[0], dataset.gate_design
    if any(rows.shape[0] < rows.shape[1] for rows in designs):
        return np.zeros((size, 0))
    of_experts, of_gate = (
        products.toarray() if sparse.issparse(products) else products
        for products in (rows.T @ rows for rows in designs)
    )
    if not any(_null_space(products).size for products in (of_experts, of_gate)):
        return np.zeros((size, 0))
    gram = np.zeros((size, size))
    for listed in blocks:
        width = 1 if listed.block.is_dispersion else 1 + len(listed.columns)
        products = of_gate if listed.expert is None else of_experts
        products = products[-width:, -width:]  # of a constant gate, those of the ones
        products = np.kron(np.eye(len(listed.coordinates) // width), products)
        is_present = listed.coordinates >= 0
        index = listed.coordinates[is_present]
        gram[np.ix_(index, index)] += products[np.ix_(is_present, is_present)]
    gram[~free] = gram[:, ~free] = 0.0
    return _null_space(gram)


def _null_space(gram: Array) -> Array:
    """Directions (D, r) of length zero by the products (D, D) of columns, without zero columns."""
    used = np.flatnonzero(np.diag(gram) > 0.0)
    unit = 1.0 / np.sqrt(np.diag(gram)[used])
    eigenvalues, vectors = np.linalg.eigh(gram[np.ix_(used, used)] * unit[:, None] * unit)
    vectors = vectors[:, eigenvalues <= EIGENVALUE_TOL * eigenvalues.max(initial=0.0)]
    directions = np.zeros((len(gram), vectors.shape[1]))
    directions[used] = np.where(np.abs(vectors) > DIRECTION_TOL, vectors, 0.0) * unit[:, None]
    return directions


def _is_separated(
    fitted: FittedMixture, data: Data, weight: Array, blocks: Sequence[Listed]
) -> Array:
    """Terms (T,) of responses with fewer rows that count than coefficients.

    An expert has rows with `weight` (K,) in all. Where choices are nearly certain, or counts nearly
    zero, rows do not count.
    """
    mixture, theta, _ = fitted
    of_experts = mixture.split(theta)[0]
    information = np.full((len(weight), 1), np.inf)
    if mixture.experts.can_separate:
        resp = mixture.responsibilities(theta[None], data)[0][:, 0]
        own = data.sharing.to_rows(resp) * data.rows.weight
        information = mixture.experts.intercept_information(of_experts, data, own)
    proba = np.exp(mixture.log_gate(theta[None], data)[:, 0])
    of_gate = (proba * (1.0 - proba) * data.sharing.gate_weight).sum(axis=1)
    found = []
    for listed in blocks:
        rows: Any = np.inf if listed.expert is None else weight[listed.expert]
        if listed.can_separate:
            own = of_gate if listed.expert is None else information[listed.expert]
            rows = np.minimum(rows, own)
        few = np.broadcast_to(rows < 1 + len(listed.columns), len(listed.unit))
        few = few if listed.reference is None else few | few[listed.reference]
        found.append(listed.repeat(few[:, None]))
    return np.concatenate(found)
