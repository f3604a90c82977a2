"""The coefficients of a mixture as named terms, and their standard errors by the information.

A mixture has blocks: those of each expert, and that of the gate. A block has responses, such as
outputs or classes, and terms. The coefficients are linear functions of the coordinates, which are
the coefficients that the fit estimates, in its units.

Exact linear dependence of columns, such as of indicators of all categories, which add up to one,
lets some directions of the coordinates change no linear predictor. The data do not determine the
estimates along them; the penalty does, without any error, and it is no information about them.

What inference and distributions require of a mixture is checked before any work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from skmoe._data.rows import Dataset
from skmoe._inference import inference as results
from skmoe._inference.inference import DIRECTION_TOL, Exponentials, Inference, Term
from skmoe._inference.labels import Labels
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import EIGENVALUE_TOL, Clusters, newton_step
from skmoe._mixture.mixture import Data, Mixture
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array
from skmoe.protocols import (
    MULTINOMIAL,
    ODDS_RATIO,
    Block,
    EffectCovariance,
    LinearPredictor,
    Measure,
)

INTERCEPT = "(Intercept)"

# Parts of the gate: that of rows, or of the first rows and transitions of series.
GATE = "gate"
FIRST_ROWS = "first rows"
TRANSITIONS = "transitions from"

# Part of the slopes that all experts share; that of others names those which share them.
ALL_EXPERTS = "all experts"

# A negative eigenvalue beyond this fraction of the largest is not attributed to round-off.
NEGATIVE_EIGENVALUE_TOL = 1e-6

# A coordinate with a larger squared component than this in other directions is not identified.
NOT_IDENTIFIED_TOL = 1e-3

# Variance of the share of an expert among first rows below which it is certain.
LEAST_SHARE = 1e-6

# Variance of random effects, relative to that of the noise, that is zero.
NO_VARIANCE = 1e-8

# Derivatives smaller than this fraction of the largest in their row are zero up to round-off.
DERIVATIVE_RTOL = 1e-9

# Relative difference of moments, of features in single precision, that is round-off.
MOMENT_RTOL = 1e-6


class Listed(NamedTuple):
    """A block whose coefficients are t terms, each of one of V responses."""

    block: Block
    expert: int | None  # None for the gate
    terms: list[Term]
    response: Array  # index of that of each term, (t,)
    position: Array  # of each term among the intercept and the slopes, (t,)
    measures: dict[Measure, list[int]]  # the positions that have each
    columns: Array  # of the fitted slopes that are coefficients
    scaling: tuple[Array, Array]  # centre and scale of the features of the slopes
    unit: Array  # units of y in which the fit measures each response, (V,)
    coordinates: Array  # among those that are estimated, -1 for absent ones
    reference: int | None  # the response against which the others are log odds
    reference_name: str
    origin: int | None = None  # of transitions, the expert of the row before

    def select(self, values: Array) -> Array:
        """Those of the terms among values (V, W, ...); of logits the log odds."""
        if self.reference is not None:
            values = values - values[self.reference]
        return values[self.response, self.position]


def list_coefficients(
    fitted: FittedMixture, attributes: Mapping[str, Any], labels: Labels, gate_reference: int
) -> Inference:
    """The coefficients of each expert, and last those of the gate, from the fitted attributes."""
    blocks = _blocks_of_experts(fitted, labels)
    if len(labels.experts) > 1 and fitted.mixture.gate.is_linear:
        blocks += blocks_of_gate(fitted, labels, gate_reference)
    terms = [term for listed in blocks for term in listed.terms]
    index, size, start = {term: i for i, term in enumerate(terms)}, len(terms), 0
    values = []
    found: dict[str, Exponentials] = {}
    is_variance, is_tested = np.zeros((2, size), dtype=bool)
    for listed in blocks:
        block, where = listed.block, slice(start, start + len(listed.terms))
        if isinstance(block, EffectCovariance):
            is_variance[where] = block.is_variance[listed.position]
        # Of a log dispersion that depends on features, zero is a hypothesis about the slopes only.
        is_log = isinstance(block, LinearPredictor) and not block.is_main and block.link == "log"
        is_tested[where] = block.is_tested & (not is_log or listed.position > 0)
        part = listed.origin if listed.expert is None else listed.expert
        n_parts = 1 if part is None else len(labels.experts)
        of_parts = block.values(attributes, n_parts, listed.columns)
        values.append(listed.select(of_parts[part or 0]))
        for measure, positions in listed.measures.items():
            for i in start + np.flatnonzero(np.isin(listed.position, positions)):
                by = index.get(terms[i]._replace(name=measure.by)) if measure.by else i
                if by is None:  # the dispersion depends on features
                    continue
                none = np.full(size, np.nan), np.arange(size), np.zeros(size)
                own = found.setdefault(measure.name, Exponentials(*measure[:2], *none))
                own.factor[i], own.by[i], own.power[i] = measure.factor, by, measure.power
        start += len(listed.terms)
    return Inference(
        terms,
        np.concatenate([np.zeros(0), *values]),  # there may be no coefficients at all
        ~is_tested,
        np.zeros(size, dtype=bool),
        [""] * size,
        gate_reference,
        exponentials=list(found.values()),
        references=[listed.reference_name for listed in blocks for _ in listed.terms],
        blocks=blocks,
        is_variance=is_variance,
    )


def derivatives_of(blocks: Sequence[Listed], theta: Array) -> Array:
    """Derivatives (T, R) of the coefficients of blocks by the coordinates, at some of these (R,).

    They are constant but for covariances of random effects.
    """
    found, start = np.zeros((sum(len(listed.terms) for listed in blocks), len(theta))), 0
    for listed in blocks:
        center, scale = listed.scaling
        slopes = np.hstack([np.diag(1.0 / scale), np.zeros((len(scale), 1))])
        unstandardize = np.vstack([np.append(-center / scale, 1.0), slopes])
        # Those of the vectors (V, 1 + p), raveled; logs of dispersions differ by constants.
        of_block = np.eye(len(listed.unit))
        if isinstance(listed.block, LinearPredictor):
            contrasts = of_block if listed.block.contrasts is None else listed.block.contrasts
            if listed.block.link == "identity":
                contrasts = listed.unit[:, None] * contrasts
            of_block = np.kron(contrasts, unstandardize)
        elif isinstance(listed.block, EffectCovariance):
            kept = [1 + column for column in listed.block.columns]
            transform = unstandardize[np.ix_(kept, listed.block.columns)]
            factors = theta[listed.coordinates].reshape(len(listed.unit), -1)
            pairs = zip(factors, listed.unit, strict=True)
            own = [listed.block.derivatives(factor, unit * transform) for factor, unit in pairs]
            of_block = block_diag(*own)
        of_block = listed.select(of_block.reshape(len(listed.unit), -1, of_block.shape[1]))
        end, is_present = start + len(listed.terms), listed.coordinates >= 0
        found[start:end, listed.coordinates[is_present]] = of_block[:, is_present]
        start = end
    return found


def _blocks_of_experts(fitted: FittedMixture, labels: Labels) -> list[Listed]:
    """The blocks of each expert: the predictors of its means, and its dispersions."""
    experts, units, responses = fitted.mixture.experts, fitted.preprocessor, labels.responses
    center, scale = units.feature_scaling
    columns = np.arange(len(scale))
    columns = columns if units.expert_columns is None else columns[units.expert_columns]
    if units.extra_features is not None:
        columns = columns[columns < units.n_features]
    unit = np.ones(len(responses)) if units.target_scaling is None else units.target_scaling.scale
    shown = [(k, *own) for k in range(len(labels.experts)) for own in experts.shown(k)]
    # The coordinates of the intercept and the slopes of each expert, of its first response.
    of_outputs: dict[int | None, dict[int, list[int]]] = {}
    for k, block, where in shown:
        if block.is_main:
            vector = np.roll(where[: experts.n_columns], 1)[: 1 + len(columns)].tolist()
            of_outputs.setdefault(block.output, {})[k] = vector
    mains = [block for _, block, _ in shown if block.is_main]
    blocks = []
    for k, block, where in shown:
        own = columns
        if not block.is_dispersion and block.columns is not None:
            own = columns[list(block.columns)]
        vectors = of_outputs.get(block.output, {})
        names = [INTERCEPT, *(labels.features[j] for j in own)]
        names = names if block.is_main else block.terms(names)
        has_several = len(responses) > 1
        of_block = block.responses(responses) if has_several else [""]
        holders = [[k]] * len(names)  # the experts that share each
        if isinstance(block, EffectCovariance) and block.is_shared:
            holders = [[*vectors]] * len(names)
        if block.is_main and len(experts.first) < experts.size:
            holders = [
                [j for j, vector in vectors.items() if vector[i] == at >= 0]
                for i, at in enumerate(vectors[k])
            ]
        elif isinstance(block, LinearPredictor) and (where < 0).any():  # of a log dispersion
            holders = [[k] if at >= 0 else [] for at in np.roll(where, 1)]
        measures = {}
        for measure in block.measures:  # of shared slopes those of all experts
            of_all = not measure.by and all(measure in main.measures for main in mains)
            first = 0 if block.is_dispersion else 1  # without intercepts
            chosen = range(first, len(names))
            measures[measure] = [i for i in chosen if of_all or len(holders[i]) < 2]
        # Logits of classes are log odds against the first class.
        is_logit = block.is_main and block.link == MULTINOMIAL  # type: ignore[union-attr]
        reference = 0 if is_logit and has_several else None
        is_listed = np.tile([those[:1] == [k] for those in holders], (len(of_block), 1))
        if reference is not None:
            is_listed[reference] = False
        response, position = np.nonzero(is_listed)
        parts = [
            ALL_EXPERTS
            if 1 < len(those) == len(vectors)
            else ", ".join(labels.experts[j] for j in those)
            for those in holders
        ]
        pairs = zip(response.tolist(), position.tolist(), strict=True)
        blocks.append(
            Listed(
                block,
                k,
                [Term(parts[i], of_block[v], names[i]) for v, i in pairs],
                response,
                position,
                measures,
                own,
                (center[own], scale[own]),
                unit if len(of_block) == len(unit) else np.ones(len(of_block)),
                where,
                reference,
                labels.classes[0] if is_logit else "",
            )
        )
    return blocks


def blocks_of_gate(fitted: FittedMixture, labels: Labels, reference: int) -> list[Listed]:
    """The blocks of the gate, whose responses are the experts.

    Its columns are those of `gate_coef_` with a slope. Of transitions from an expert the reference
    is to stay.
    """
    mixture, experts, units = fitted.mixture, labels.experts, fitted.preprocessor
    center, scale = units.feature_scaling
    used = np.arange(len(scale))
    used = used if units.gate_columns is None else used[units.gate_columns]
    used = used if mixture.gate.depends_on_features else used[:0]
    # With features that the gate derives, the attribute has its columns only.
    columns = used if units.extra_features is None else np.arange(len(used))
    shown, found = mixture.gate.shown, []
    origins: list[int | None] = [None]
    if mixture.persists:
        origins = [None, *range(len(experts))][-len(shown) :]
    for (block, where), origin in zip(shown, origins, strict=True):
        part, size, against = GATE, len(columns), reference
        if origin is not None:
            part, against = f"{TRANSITIONS} {experts[origin]}", origin
        elif mixture.persists:
            part, size = FIRST_ROWS, 0
        names = [INTERCEPT, *(labels.gate_features[j] for j in columns[:size])]
        others = [k for k in range(len(experts)) if k != against]
        found.append(
            Listed(
                block,
                None,
                [Term(part, experts[k], name) for k in others for name in names],
                np.repeat(others, len(names)),
                np.tile(np.arange(len(names)), len(others)),
                {ODDS_RATIO: list(range(1, len(names)))},
                columns[:size],
                (center[used[:size]], scale[used[:size]]),
                np.ones(len(experts)),
                len(mixture.experts.first) + where,
                against,
                experts[against],
                origin,
            )
        )
    return found


def indicator_columns(mixture: FittedMixture, feature_range: Array | None) -> Array:
    """Which columns, (p,), held zeros and ones only in the rows of the fit.

    Between two bounds such a column has the largest variance for its mean. The moments of sparse
    columns, which are not centred, do not show it. With extra features there is none.
    """
    preprocessor = mixture.preprocessor
    (center, scale), own = preprocessor.feature_scaling, preprocessor.feature_range
    plain = preprocessor.extra_features is None and preprocessor.encoder is None
    if own is None or feature_range is None or not plain:
        return np.zeros(len(scale), dtype=bool)
    is_extreme = np.isclose((own[1] - center) * (center - own[0]), scale**2, rtol=MOMENT_RTOL)
    is_unit = np.isclose(feature_range, [[0.0], [1.0]], rtol=0.0, atol=MOMENT_RTOL).all(axis=0)
    return np.asarray(is_extreme & is_unit)


# --- requirements -----------------------------------------------------------------------------

# The covariance matrix of more coefficients than this takes too much memory and time.
MAX_TERMS = 5000


def require_distribution(part: Any, what: str) -> None:
    """Raise ValueError if a family, or experts, lack the distribution that `what` needs.

    They are those of a mixture, or what the user gave.
    """
    for own in getattr(part, "families", ()) or (getattr(part, "own", part),):
        if getattr(own, "components", None) is None:
            raise ValueError(
                f"{what} needs a predictive distribution; {type(own).__name__} has no method "
                'components (see "Write your own family, gate and experts" in the tutorials). '
                "Use score_samples for log densities."
            )


def missing_for_inference(fitted: FittedMixture, n_terms: float) -> str:
    """Message why a mixture of so many coefficients has no standard errors; "" if it has."""
    mixture, extra = fitted.mixture, fitted.preprocessor.extra_features
    for part, name, remedy in (
        (mixture.experts, "experts", 'Linear and logistic experts have them (expert="linear").'),
        (mixture.gate, "a gate", 'The gates "softmax" and "constant" have them.'),
    ):
        if not part.has_derivatives:
            reason = part.own.lacks_inference.format(type(part.own).__name__)
            return f"inference needs {name} with second derivatives: {reason}. {remedy}"
    if mixture.top_k is not None:
        return (
            f"inference needs every expert to see every row; got gate.top_k={mixture.top_k}. "
            "Fit with a gate without top_k."
        )
    if n_terms > MAX_TERMS:
        return (
            "inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {MAX_TERMS}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )
    if extra is not None and extra.base is not None:
        return (
            f"inference needs a mixture without a base; got base={extra.base!r}, whose "
            "out-of-fold predictions, to which the mixture was fitted, are not kept. Fit with "
            "base=None."
        )
    return ""


# --- standard errors --------------------------------------------------------------------------


def observed_errors(
    fitted: FittedMixture,
    data: Data,
    coefficients: Inference,
    is_sandwich: bool,
    clusters: Clusters | None,
) -> tuple[Inference, bool]:
    """The coefficients with errors by the observed information, or by the sandwich covariance.

    Returned is also whether the information is indefinite, as it is at no maximum.
    """
    mixture, theta, _ = fitted
    step = newton_step(mixture, theta, [data], is_sandwich, clusters)
    first, (observed, _, scores, weight) = mixture.first, step.information
    at_bound, dropped = mixture.at_bound(theta)[first], mixture.prior.dropped[first]
    known = at_bound | dropped
    blocks = coefficients.blocks
    invariant = _invariant_directions(data.rows, blocks, ~known)
    if not mixture.is_plain:
        observed = mixture.reduced_matrix(observed)
        scores = None if scores is None else mixture.reduced_matrix(scores)
    least = max(EIGENVALUE_TOL * weight.sum(), np.finfo(float).tiny)
    matrix, is_unknown, is_indefinite = _inverse(observed, scores, known, invariant, least)
    method = "sandwich covariance" if is_sandwich else "observed information"
    if clusters is not None:
        n_strata = int(clusters.strata.max()) + 1
        method += f", {len(clusters.strata)} clusters" + f", {n_strata} strata" * (n_strata > 1)
    derivatives = derivatives_of(blocks, theta[first])
    size = np.abs(derivatives)
    involved = size > DERIVATIVE_RTOL * size.max(axis=1, keepdims=True)
    reasons = np.full(len(derivatives), "", dtype=object)
    reasons[(involved & is_unknown).any(axis=1)] = results.NOT_DETERMINED
    # An intercept in raw units depends on slopes, of which some may be known.
    reasons[~(involved & ~at_bound).any(axis=1)] = "at its bound"
    reasons[_is_separated(fitted, data, weight, blocks)] = "separated"
    is_first = np.array([term.part == FIRST_ROWS for term in coefficients.terms])
    reasons[is_first & (reasons == "separated")] = "certain"
    reasons[~(involved & ~dropped).any(axis=1)] = "dropped"
    reasons[~derivatives.any(axis=1)] = "fixed"  # slopes of constant features
    if fitted.preprocessor.counts_units:
        reasons[_without_effect(fitted, coefficients)] = results.NO_EFFECT
    is_dependent = (involved & invariant.any(axis=1)).any(axis=1) & (reasons == "")
    is_dependent &= np.concatenate([listed.position > 0 for listed in blocks])
    found = replace(
        coefficients,
        method=method,
        full_covariance=derivatives @ matrix @ derivatives.T,
        reasons=reasons.tolist(),
        is_dependent=is_dependent,
        max_shift=step.shift,
        theta=theta,
        coordinates=matrix,
        is_unknown=is_unknown,
    )
    return found, is_indefinite


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


def _without_effect(fitted: FittedMixture, coefficients: Inference) -> Array:
    """Covariances (T,) of random effects of which a variance is zero, beside that of the noise."""
    log_noise, start = fitted.theta[fitted.mixture.experts.scale_index], 0
    found = np.zeros(len(coefficients.terms), dtype=bool)
    for listed in coefficients.blocks:
        end = start + len(listed.terms)
        if isinstance(listed.block, EffectCovariance) and listed.terms:
            scale = np.append(1.0, listed.scaling[1])[1 + np.array(listed.block.columns)]
            lower, values = listed.block.lower, coefficients.estimates[start:end]
            values = values.reshape(-1, len(lower[0]))[:, listed.block.is_variance]
            small = NO_VARIANCE * listed.unit**2 * np.exp(log_noise[listed.expert])
            own = values * np.square(scale) < small[:, None]
            found[start:end] = (own[:, lower[0]] | own[:, lower[1]]).ravel()
        start = end
    return found


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
    gram = np.zeros((size, size))
    for listed in blocks:
        products: Array = np.ones((1, 1))
        if isinstance(listed.block, LinearPredictor):
            own = listed.block.columns
            kept = [*(range(len(listed.columns)) if own is None else own), -1]
            products = (of_gate if listed.expert is None else of_experts)[np.ix_(kept, kept)]
        n_vectors = len(listed.coordinates) // len(products)
        products = np.kron(np.eye(n_vectors), products)
        is_present = listed.coordinates >= 0
        index = listed.coordinates[is_present]
        gram[np.ix_(index, index)] += products[np.ix_(is_present, is_present)]
    gram[~free] = gram[:, ~free] = 0.0
    used = np.flatnonzero(np.diag(gram) > 0.0)
    unit = 1.0 / np.sqrt(np.diag(gram)[used])
    eigenvalues, vectors = np.linalg.eigh(gram[np.ix_(used, used)] * unit[:, None] * unit)
    vectors = vectors[:, eigenvalues <= EIGENVALUE_TOL * eigenvalues.max(initial=0.0)]
    directions = np.zeros((size, vectors.shape[1]))
    directions[used] = np.where(np.abs(vectors) > DIRECTION_TOL, vectors, 0.0) * unit[:, None]
    return directions


def _rows_of_gates(mixture: Mixture, theta: Array, data: Data) -> list[Any]:
    """Expected first rows, and transitions, to each expert (K,), for each part of the gate."""
    at = mixture.at(theta[None], data)
    first, moves = data.posterior(at.log_gates, at.logs, None).memberships
    # First rows are few, and their probabilities constant: they count unless one is certain.
    share = first[:, 0, 0].sum(axis=-1) / first.sum()
    of_first = [np.where(share * (1.0 - share) < LEAST_SHARE, 0.0, np.inf)]
    of_moves = list(moves[:, :, 0].sum(axis=-1).T)
    return of_moves if mixture.gate.is_stationary else of_first + of_moves


def _is_separated(
    fitted: FittedMixture, data: Data, weight: Array, blocks: Sequence[Listed]
) -> Array:
    """Terms (T,) of responses with fewer rows that count than coefficients.

    An expert has rows with `weight` (K,) in all. Where choices are nearly certain, or counts nearly
    zero, rows do not count.
    """
    mixture, theta, _ = fitted
    information = np.full((len(weight), sum(len(listed.unit) for listed in blocks)), np.inf)
    if any(not group.family.is_continuous for group in mixture.experts.groups):
        of_experts = mixture.split(theta)[0]
        resp = mixture.responsibilities(theta[None], data)[0][:, 0]
        own = data.rows.row_responsibilities(resp) * data.rows.weight
        information = mixture.experts.intercept_information(of_experts, data, own)
    if mixture.persists:
        of_gates = _rows_of_gates(mixture, theta, data)
    else:
        proba = np.exp(mixture.log_gate(theta[None], data)[:, 0])
        of_gates = [(proba * (1.0 - proba) * data.rows.gate_weight).sum(axis=1)]
        of_gates = of_gates if mixture.gate.depends_on_features else [np.inf]
    left, found = [*information], []  # of the responses of each expert, in the order of its blocks
    for listed in blocks:
        rows: Any = of_gates.pop(0) if listed.expert is None else weight[listed.expert]
        if listed.expert is not None and listed.block.is_main:
            own, left[listed.expert] = np.split(left[listed.expert], [len(listed.unit)])
            rows = np.minimum(rows, own)
        few = np.broadcast_to(rows < 1 + len(listed.columns), len(listed.unit))
        few = few if listed.reference is None else few | few[listed.reference]
        found.append(few[listed.response])
    return np.concatenate(found)
