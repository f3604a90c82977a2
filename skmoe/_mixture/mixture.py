"""The mixture: one vector of the coefficients of experts and gate, and its E-step.

The vector consists of blocks. Groups of their predictors are evaluated together. Arrays of rows
have the shape (P, S, n): P experts of one family, S vectors side by side, n rows. Those that are
the same for all rows have the shape (P, S, 1). Coefficients are (S, D).

References
----------
.. [1] R. A. Jacobs, M. I. Jordan, S. J. Nowlan and G. E. Hinton (1991), "Adaptive mixtures of local
   experts", Neural Computation 3, 79-87.
.. [2] K. Lange, D. R. Hunter and I. Yang (2000), "Optimization transfer using surrogate objective
   functions", Journal of Computational and Graphical Statistics 9, 1-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import combinations, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.entries import apart_from_entry
from skmoe._data.rows import Dataset
from skmoe._mixture.chain import Chain, Posterior, stationary, stationary_scores
from skmoe._numerics.evidence import DROPPED
from skmoe._numerics.linalg import (
    conjugate_gradients,
    inverse_of,
    product,
    split_offset,
    squared,
    sum_over_blocks,
    weighted_products,
)
from skmoe._numerics.probability import keep_top_k, log_normalise, normalised_top_k
from skmoe._numerics.typing import TINY, Array
from skmoe.families._base import RANK

# Roles of predictors: in which columns they are linear.
GATE_ROLE, MEAN, DISPERSION, CONSTANT = "gate", "mean", "dispersion", "constant"


class Data:
    """A block of rows as gate and experts read it, with what is computed from it once.

    Each row has an expert of its own. Those of a unit, if there are units, have one expert, and
    the weight of a row is the power of its density.
    """

    def __init__(
        self, rows: Dataset, dispersion_columns: tuple[int, ...] = (), *, keeps: bool = False
    ) -> None:
        # Rows of entries, whose probabilities divide the densities, and the numbers of their rows.
        self.at_entry: Any = None
        self.entered: Any = None
        if rows.y.dtype.names and "entry" in rows.y.dtype.names:
            rows, of_entry, self.entered = apart_from_entry(rows)
            if len(self.entered):
                self.at_entry = Data(of_entry, dispersion_columns)
        self.rows = rows
        matrix, offset = split_offset(rows.expert_design)
        self.offset = offset if isinstance(offset, np.ndarray) else None
        self.designs = {GATE_ROLE: rows.gate_design, MEAN: matrix}
        if dispersion_columns:
            columns = matrix[:, [*dispersion_columns, -1]]
            columns = columns.toarray(order="F") if sparse.issparse(columns) else columns
            self.designs[DISPERSION] = np.asfortranarray(columns)
        self.weight = float(rows.weight.sum())
        # What experts read of y, for each family and output.
        self.targets: dict[Any, Any] = {}
        # Products of the columns of its designs, if they are kept.
        self.column_products: dict[int, tuple[Array, Array]] | None = {} if keeps else None
        # Responsibilities of experts for rows (K, S, n), and for the gate (K, S, U).
        self.given: Any = None
        # Parts of the rows or units in the sums of each vector, (S, U); None for all of each.
        self.counted: Any = None
        # What other rows of their units say of rows: changes of the means of experts, and variances
        # of random effects that are left, (K, m, n); None for new units.
        self.known: Any = None
        # How regimes follow one another, where rows are series.
        self.chain: Any = None if rows.series is None else Chain(rows.series)

    def replace(self, **values: Any) -> Data:
        """The same rows with given responsibilities, or of which some are counted."""
        if self.at_entry is not None:
            counted = values.get("counted")
            counted = None if counted is None else counted[:, self.entered]
            values["at_entry"] = self.at_entry.replace(counted=counted)
        other = copy(self)
        vars(other).update(values)
        return other

    def total(self, logs: Array) -> Array:
        """Log densities (..., n) of rows, summed for what shares an expert, (..., U)."""
        units = self.rows.units
        if self.chain is not None:  # where y is missing, the density is one
            return np.where(self.rows.weight > 0.0, logs, 0.0)
        return logs if units is None else units.sum_rows(logs * self.rows.weight) / units.weight

    def posterior(self, log_gates: list[Array], logs: Array, top_k: int | None) -> Posterior:
        """What is known of the experts of rows or units, given the probabilities of each gate."""
        if len(log_gates) > 1:
            return self.chain.posterior(log_gates, self.joint(0.0, logs), self.counted)
        joint = self.joint(log_gates[0][:, 0], logs)
        if top_k is not None:
            joint = keep_top_k(joint.reshape(len(joint), -1), top_k).reshape(joint.shape)
        resp, log_density = log_normalise(joint)
        return Posterior(resp, log_density, [resp[:, None]])

    def joint(self, log_gate: Array | float, logs: Array) -> Array:
        """Log joint densities (K, S, U); minus infinity for experts known to be impossible."""
        joint = self.total(logs) + log_gate
        possible = self.rows.possible
        return joint if possible is None else np.where(possible[:, None], joint, -np.inf)


def at_values(y: Array, values: list[float]) -> Array:
    """Where y is one of some values; an interval is none."""
    if y.dtype.names:
        return np.isin(y["lower"], values) & (y["lower"] == y["upper"])
    return np.isin(y, values)


# Most coefficients of a system whose matrix is formed.
MAX_DENSE = 1000

# Tolerance of conjugate gradients, which the next iteration of EM continues.
CG_TOL = 0.03


class Inverse(NamedTuple):
    """Penalised curvatures (..., q, q), and their inverses; None of those that are not formed."""

    matrix: Any
    inverse: Array | None
    diagonal: Array  # of the penalty, (..., q)

    def solve(self, gradient: Array) -> Array:
        """Steps (..., q) from gradients."""
        if self.inverse is not None:
            return np.asarray((self.inverse @ gradient[..., None])[..., 0])
        diagonal = self.matrix.diagonal() + self.diagonal
        return conjugate_gradients(
            lambda vector: self.matrix @ vector + self.diagonal * vector,
            gradient,
            diagonal,
            axes=(-1,),
            tol=CG_TOL,
        )

    def variances(self) -> Array:
        """Diagonals of the inverses, (..., q); of matrices that are not formed about so."""
        if self.inverse is None:
            return 1.0 / np.maximum(self.matrix.diagonal() + self.diagonal, TINY)
        return np.diagonal(self.inverse, axis1=-2, axis2=-1)


def invert(matrices: Any, diagonal: Array) -> Inverse:
    """Inverses of curvatures (..., q, q) with a diagonal (..., q) added."""
    if isinstance(matrices, ImplicitCurvature):
        return Inverse(matrices, None, diagonal)
    matrix, size = matrices.copy(), diagonal.shape[-1]
    matrix.reshape(*matrix.shape[:-2], size * size)[..., :: size + 1] += diagonal
    return Inverse(matrix, inverse_of(matrix), diagonal)


@dataclass(frozen=True)
class ImplicitCurvature:
    """Curvatures of P experts and S vectors that are not formed: products only.

    They are sums over row blocks. Each has the designs of the predictors, None for a constant, and
    weights (P, S, n) of pairs of predictors.
    """

    blocks: tuple[tuple[tuple[Any, ...], dict[tuple[int, int], Array]], ...]
    slices: tuple[slice, ...]

    def __add__(self, other: ImplicitCurvature) -> ImplicitCurvature:
        return ImplicitCurvature(self.blocks + other.blocks, self.slices)

    @property
    def size(self) -> int:
        """Number of coefficients of an expert."""
        return int(self.slices[-1].stop)

    def __matmul__(self, vector: Array) -> Array:
        """Products with vectors (P, S, q)."""
        total = np.zeros(vector.shape)
        for designs, weights in self.blocks:
            pairs = zip((vector[..., s] for s in self.slices), designs, strict=True)
            changes = [own if d is None else product(own, d.T) for own, d in pairs]
            for (t, u), weight in weights.items():
                total[..., self.slices[t]] += _sums(weight * changes[u], designs[t])
                if t != u:
                    total[..., self.slices[u]] += _sums(weight * changes[t], designs[u])
        return total

    def diagonal(self) -> Array:
        """Diagonals, (P, S, q)."""
        parts: list[Any] = [0.0] * len(self.slices)
        for designs, weights in self.blocks:
            for (t, u), weight in weights.items():
                if t == u:
                    squares = None if designs[t] is None else squared(designs[t])
                    parts[t] = parts[t] + _sums(weight, squares)
        shape = np.broadcast_shapes(*(np.shape(part)[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(p, (*shape, np.shape(p)[-1])) for p in parts], -1)

    def quadratic(self, vector: Array) -> Array:
        """Quadratic forms (P, S) of vectors (P, S, q)."""
        return np.asarray((vector * (self @ vector)).sum(axis=-1))


def _sums(weighted: Array, design: Any) -> Array:
    if design is None:
        return np.asarray(weighted.sum(axis=-1, keepdims=True))
    return product(weighted, design)


# How far below the bound at the means of the features log dispersions can lie: those of rows of a
# fit, and of new ones.
MARGINS_BELOW = np.log([1e6, 1e9])

# Most columns of which the outermost rows are also those of sums and differences of two columns.
MAX_PAIRED_COLUMNS = 20


class Limits(NamedTuple):
    """Where log dispersions lie that depend on features."""

    low: Array  # at the means of the features, (P,)
    high: Array
    rows: Array  # outermost rows of the fit, (R, e)
    above: Array  # how far above the bound those of a fit, and of new rows, can lie, (2,)


def outermost_rows(columns: Array) -> Array:
    """Rows (R, e) of columns (n, e) that are the furthest in some directions.

    The directions are those of all columns, and of the sums and differences of two columns.
    """
    found = [columns.argmin(axis=0), columns.argmax(axis=0)]
    has_pairs = columns.shape[1] <= MAX_PAIRED_COLUMNS
    for i, j in combinations(range(columns.shape[1]), 2) if has_pairs else ():
        for sums in (columns[:, i] + columns[:, j], columns[:, i] - columns[:, j]):
            found.append(np.array([sums.argmin(), sums.argmax()]))
    return np.asarray(np.unique(columns[np.concatenate(found)], axis=0))


# Number of the gate among the parts.
OF_GATE = -1


class Block(NamedTuple):
    """A slice of the vector: the coefficients of one predictor of one part."""

    part: int  # number of the expert, or OF_GATE
    output: int  # of y, or of a family of all outputs 0
    predictor: int  # of the family
    role: str
    where: slice


class Group:
    """Experts with one family for one output, or the gate, which are evaluated in one call."""

    def __init__(
        self, family: Any, parts: Array, output: int | None, blocks: Sequence[Sequence[Block]]
    ) -> None:
        self.family, self.parts = family, parts
        self.output = output  # None for a family of all outputs
        first = blocks[0] if blocks else ()
        self.roles = tuple(block.role for block in first)
        # Coordinates of each predictor, (P, d), and of all of them, (P, q).
        where = [[np.arange(b.where.start, b.where.stop) for b in own] for own in blocks]
        self.index = [np.stack(of_predictor) for of_predictor in zip(*where, strict=True)]
        self.coordinates = np.hstack([np.zeros((len(parts), 0), dtype=int), *self.index])
        # Where each predictor is among them, and those of the mean.
        ends = np.cumsum([0, *(index.shape[1] for index in self.index)]).tolist()
        self.slices = [slice(*pair) for pair in pairwise(ends)]
        self.means = slice(0, ends[sum(role in (MEAN, GATE_ROLE) for role in self.roles)])
        # The predictors of each role, one role after the other.
        runs = groupby(range(len(self.roles)), key=self.roles.__getitem__)
        self.runs = [(role, list(own)) for role, own in runs]
        self.of_runs = [np.stack([self.index[t] for t in own]) for _, own in self.runs]
        self.limits: Limits | None = None

    def set_limits(self, limits: Limits) -> None:
        """Sets where log dispersions lie that depend on features."""
        self.limits = limits

    def predictors(self, theta: Array, data: Data) -> Any:
        """The T predictors (P, S, n) at coefficients (S, D); those of a gate are stacked."""
        etas: Any = []
        for (role, _), index in zip(self.runs, self.of_runs, strict=True):
            coef = theta.take(index, axis=1).transpose(1, 2, 0, 3)
            own = coef if role == CONSTANT else product(coef, data.designs[role].T)
            etas = own if role == GATE_ROLE else [*etas, *own]
        if data.offset is not None and MEAN in self.roles and self.family.link == "log":
            of_output = data.offset if data.offset.ndim == 1 else data.offset[self.output]
            etas[0] = etas[0] + of_output
        bound = self.family.max_predictor
        if bound < np.inf:
            etas[0] = np.clip(etas[0], -bound, bound)
        if self.limits is not None:
            t, limits = self.roles.index(DISPERSION), self.limits
            low, high = limits.low - MARGINS_BELOW[1], limits.high + limits.above[1]
            etas[t] = np.clip(etas[t], low[:, None, None], high[:, None, None])
        if data.rows.log_n is not None and self.family.is_dispersion_model:
            etas[1] = etas[1] - data.rows.log_n
        return etas

    def excess_of_rows(self, theta: Array) -> Array:
        """Largest changes of log dispersions below and above, in parts of their room, (2, S, P).

        Changes are from the means of the features to the outermost rows of the fit.
        """
        assert self.limits is not None
        own, limits = theta[:, self.index[self.roles.index(DISPERSION)]], self.limits
        change, level = own[..., :-1] @ limits.rows.T, own[..., -1]
        below, above = MARGINS_BELOW[0], limits.above[0]
        low, high = limits.low - level - below, limits.high - level + above
        return np.stack([change.min(axis=-1) / low, change.max(axis=-1) / high])

    def room_of_rows(self, theta: Array) -> tuple[Array, Array]:
        """Normals (B, q) and room (P, S, B) of bounds `normals @ step <= room` of steps."""
        assert self.limits is not None
        t, limits = self.roles.index(DISPERSION), self.limits
        rows = np.append(limits.rows, np.ones((len(limits.rows), 1)), axis=1)
        logs = theta[:, self.index[t]].swapaxes(0, 1) @ rows.T
        below, above = MARGINS_BELOW[0], limits.above[0]
        room = [logs - limits.low[:, None, None] + below, limits.high[:, None, None] + above - logs]
        normals = np.zeros((2 * len(rows), self.coordinates.shape[1]))
        normals[:, self.slices[t]] = np.vstack([-rows, rows])
        return normals, np.maximum(np.concatenate(room, axis=-1), 0.0)

    def within_limits(self, theta: Array) -> Array:
        """Coefficients (S, D) with slopes so short that log dispersions are not out of bounds."""
        slopes = self.index[self.roles.index(DISPERSION)][:, :-1]
        shortened = theta.copy()
        longest = np.maximum(self.excess_of_rows(theta).max(axis=0), 1.0)
        shortened[:, slopes] /= longest[..., None]
        return shortened

    # --- sums over rows ---

    def add_gradient(self, scores: Any, data: Data, gradient: Array) -> None:
        """Adds to the gradient (S, D) that of T weighted scores (P, S, n)."""
        for (role, chosen), index in zip(self.runs, self.of_runs, strict=True):
            if role == CONSTANT:
                sums = np.stack([scores[t].sum(-1, keepdims=True) for t in chosen])
            else:
                own = [scores[t] for t in chosen]
                stacked = own[0][None] if len(own) == 1 else np.stack(own)
                sums = product(stacked, data.designs[role])
            gradient[:, index] = sums.transpose(2, 0, 1, 3)

    def curvature(self, information: Any, weight: Array, data: Data, dense: bool) -> Any:
        """Matrices (P, S, q, q) of the information of pairs of predictors, with weights (P, S, n).

        They are not formed if they are too large, unless they must be dense.
        """
        weighted = {key: weight * value for key, value in information.items() if key != RANK}
        dense = dense or self.family.couples_rows
        if self.coordinates.shape[1] > MAX_DENSE and not dense:
            designs = tuple(data.designs.get(role) for role in self.roles)
            return ImplicitCurvature(((designs, weighted),), tuple(self.slices))
        size = self.coordinates.shape[1]
        matrices = np.zeros((*weight.shape[:2], size, size))
        by_designs: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for t, u in weighted:
            by_designs.setdefault((self.roles[t], self.roles[u]), []).append((t, u))
        for roles, pairs in by_designs.items():
            first, second = (data.designs.get(role) for role in roles)
            own = [weighted[pair] for pair in pairs]
            stacked = own[0][None] if len(own) == 1 else np.stack(own)
            flat = stacked.reshape(-1, weight.shape[-1])
            found = weighted_products(first, second, flat, data.column_products, not dense)
            shape = *stacked.shape[:3], *found.shape[1:]
            for (t, u), own in zip(pairs, found.reshape(shape), strict=True):
                rows, columns = self.slices[t], self.slices[u]
                matrices[..., rows, columns] = own
                if t != u:
                    matrices[..., columns, rows] = np.swapaxes(own, -1, -2)
        if self.family.couples_rows:
            matrices[..., self.means, self.means] += information[RANK].sums(weight)
        return matrices


# Part of the room of a log dispersion from which on it is at a bound, up to round-off.
NEXT_TO_ONE = 1.0 - 1e-9


class Prior:
    """The prior of a vector of D coefficients, in which shared ones have equal parts.

    The precision of a coefficient (D,) with a scale is relative to the inverse of that scale, as in
    the conjugate prior of a linear regression. `scale` is the coordinate of the log scale, -1 for
    none (D,). Those of log scales have a strength, the rows of the prior, and squares, the sum of
    squares of the prior (D,). `joint` are the outputs whose noise is joint, and `constant` belongs
    to the negative log density.
    """

    def __init__(
        self,
        precision: Array,
        scale: Array,
        strength: Array,
        squares: Array,
        joint: Any = None,
        constant: float = 0.0,
    ) -> None:
        self.precision, self.scale, self.joint, self.constant = precision, scale, joint, constant
        self.strength, self.squares = strength, squares
        has_scale, is_scale = scale >= 0, strength + squares != 0.0
        is_scale[scale[has_scale]] = True
        # Coordinates of the log scales, of which each has a bin.
        self.scales = np.flatnonzero(is_scale)
        self.bins = np.where(has_scale, np.searchsorted(self.scales, scale), len(self.scales))
        self.signs, self.at_scale = -1.0 * has_scale, np.where(has_scale, scale, 0)
        # Coefficients that are zero, since their features have been dropped, (D,).
        self.dropped = precision >= DROPPED
        # Whether no precision is relative, as for counts and classes.
        self.is_normal = not len(self.scales)

    def absolute(self, theta: Array) -> Array:
        """Precisions (..., D) at given scales."""
        if self.is_normal:
            return self.precision
        logs = theta.take(self.at_scale, axis=-1)
        logs *= self.signs
        return np.asarray(self.precision * np.exp(logs, out=logs))

    def penalty(self, theta: Array) -> Array:
        """Negative log density up to a constant, (...)."""
        total = (self.absolute(theta) * np.square(theta)).sum(axis=-1)
        if not self.is_normal:
            logs = theta.take(self.scales, axis=-1)
            squares, strength = self.squares[self.scales], self.strength[self.scales]
            total = total + (squares * np.exp(-logs) + strength * logs).sum(axis=-1)
        return np.asarray(0.5 * total + self.constant)

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Gradient of the penalty, and the diagonal of its Hessian, both (..., D)."""
        precision = self.absolute(theta)
        gradient = precision * theta
        if self.is_normal:
            return gradient, np.broadcast_to(precision, theta.shape)
        # Sums of squares over their scales, by the bins of these.
        size, n_vectors = len(self.scales) + 1, theta[..., 0].size
        index = self.bins + size * np.arange(n_vectors)[:, None]
        total = np.bincount(index.ravel(), (gradient * theta).ravel(), size * n_vectors)
        total = total.reshape(*theta.shape[:-1], size)[..., :-1]
        of_prior = self.squares[self.scales] * np.exp(-theta.take(self.scales, axis=-1))
        decreasing = 0.5 * (total + of_prior)
        gradient[..., self.scales] += 0.5 * self.strength[self.scales] - decreasing
        diagonal = precision.copy()
        diagonal[..., self.scales] += decreasing
        return gradient, diagonal

    def hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        diagonal = self.derivatives(theta)[1]
        hessian = np.diag(diagonal)
        with_scale = np.flatnonzero(self.scale >= 0)
        cross = -self.absolute(theta)[with_scale] * theta[with_scale]
        hessian[with_scale, self.scale[with_scale]] = cross
        hessian[self.scale[with_scale], with_scale] = cross
        return hessian


def flat(size: int) -> Prior:
    """No prior of so many coefficients."""
    none = np.zeros(size)
    return Prior(none, np.full(size, -1), none, none)


# Responsibility for each row, in units of its weight, that the curvature of an expert has at least.
# Nothing else holds the intercept of an expert without rows, whose steps no lower bound would see.
NO_ROWS = 1e-10


class EStep(NamedTuple):
    """Sums over rows at S vectors; they add up over blocks, wherever these are stored."""

    log_likelihood: Array  # (S,)
    weight: float
    gradient: Array  # of the expected log-likelihood of the complete data, (S, D)
    curvature: Any  # of each group (P, S, q, q), or an `ImplicitCurvature`; None if not wanted
    counts: Array  # total responsibilities of the experts, (K, S)
    gate_counts: Any  # totals of the targets of each gate, (P, S)
    own: tuple[Any, ...]  # sums of experts and gates of users


class At(NamedTuple):
    """Experts and gate at S vectors and a block of rows."""

    log_gates: list[Array]  # of each gate (K, P, S, U), or (K, P, S, 1)
    logs: Array  # log densities (K, S, n)
    terms: list[tuple[Any, ...]]  # group, predictors and further derivatives, for each group


class Mixture:
    """Gate and experts, whose coefficients are one vector: those of the experts come first.

    `top_k` is the largest number of experts of a row, and `balance` the strength of the prior on
    the usage of the experts, in units of the rows.
    """

    def __init__(
        self, experts: Any, gate: Any, *, top_k: int | None = None, balance: float = 0.0
    ) -> None:
        self.experts, self.gate, self.n_experts = experts, gate, experts.n_experts
        self.top_k, self.balance = top_k, balance
        self.can_reorder = bool(experts.can_reorder and gate.can_reorder)
        parts, split = (experts, gate), experts.size
        self.size = split + gate.size
        self.lower, self.upper, self.flat = (
            np.concatenate([np.broadcast_to(getattr(part, name), part.size) for part in parts])
            for name in ("lower", "upper", "flat")
        )
        # The coordinate of each coefficient among those that are estimated, -1 for absent ones,
        # and the first coefficient of each coordinate.
        self.free = np.concatenate(
            [experts.free, np.where(gate.free < 0, -1, gate.free + len(experts.first))]
        )
        self.first = np.concatenate([experts.first, split + gate.first])
        self.is_tied = experts.is_linear and len(experts.first) < split
        # Whether each coefficient is estimated for itself.
        self.is_plain = len(self.first) == self.size
        self.signs = np.where(self.lower == 0.0, 1.0, np.where(self.upper == 0.0, -1.0, 0.0))
        self.has_signs = bool(self.signs.any())
        first, second = experts.prior, gate.prior  # the latter is normal
        names = "precision", "scale", "strength", "squares"
        arrays = [np.append(getattr(first, name), getattr(second, name)) for name in names]
        self.prior: Any = type(first)(*arrays, first.joint, first.constant)
        self.drops = bool(self.prior.dropped.any())
        self.gate_groups: list[Group] = []
        for parts_of_gate in gate.gates if gate.is_linear and gate.blocks else ():
            after = [
                [b._replace(where=slice(b.where.start + split, b.where.stop + split)) for b in own]
                for own in parts_of_gate
            ]
            self.gate_groups.append(Group(gate.family, np.arange(len(after)), None, after))
        self.limited = [g for g in experts.groups if g.limits] if experts.is_linear else []
        self.groups: list[Group] = [*experts.groups, *self.gate_groups]
        self.persists = gate.persists and len(self.gate_groups) > 0  # that of several experts
        slices = slice(0, split), slice(split, self.size)
        self.own = [pair for pair in zip(parts, slices, strict=True) if not pair[0].is_linear]
        # Coefficients without slopes.
        self.start = self.bounded(np.concatenate([part.start for part in parts])[None])[0]

    def with_parts(self, **parts: Any) -> Mixture:
        """The mixture with other experts, or another gate."""
        parts = {"experts": self.experts, "gate": self.gate, **parts}
        return Mixture(**parts, top_k=self.top_k, balance=self.balance)

    def split(self, theta: Array) -> tuple[Array, Array]:
        """Coefficients (..., D) of experts and of the gate."""
        return theta[..., : self.experts.size], theta[..., self.experts.size :]

    # --- densities ---

    def at(self, theta: Array, data: Data) -> At:
        """Log densities and log probabilities at coefficients (S, D)."""
        experts, terms = self.experts, []
        groups = experts.groups
        logs: Any = None
        if not experts.is_linear:
            logs = experts.log_prob(theta[:, : experts.size], data)
        for group in groups:
            family, y, beyond = experts.target(group, data)
            etas = group.predictors(theta, data)
            derivatives = iter(family.derivatives(y, etas))
            found = next(derivatives)
            found = found if beyond is None else np.where(beyond, -np.inf, found)
            shape = (len(group.parts), len(theta), data.rows.n_rows)
            found = found if found.shape == shape else np.broadcast_to(found, shape)
            terms.append((group, etas, derivatives))
            if len(groups) == 1:
                logs = found
                break
            logs = np.zeros((self.n_experts, *shape[1:])) if logs is None else logs
            logs[group.parts] += found
        if not self.persists:
            return At([self.log_gate(theta, data)[:, None]], logs, terms)
        of_gates = [(group, group.predictors(theta, data)) for group in self.gate_groups]
        log_gates = [group.family.log_probs(etas) for group, etas in of_gates]
        if self.gate.is_stationary:
            move = np.exp(log_gates[0][..., 0]).transpose(2, 1, 0)
            log_gates.insert(0, np.log(np.maximum(stationary(move), TINY)).T[:, None, :, None])
        return At(log_gates, logs, terms)

    def log_gate(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log probabilities (K, S, U) of the experts, or (K, S, 1) if they are constant.

        Predictions are under the gate by which rows are routed: with `top_k` only the k most
        probable experts of each row have positive probability.
        """
        if not self.gate.is_linear:
            logs = self.gate.log_prob(theta[:, self.experts.size :], data)
        elif not self.gate_groups:  # one expert
            logs = np.zeros((1, len(theta), 1))
        else:
            logs = self.gate.family.log_probs(self.gate_groups[0].predictors(theta, data))[:, 0]
        if not routed or self.top_k is None:
            return np.asarray(logs)
        return normalised_top_k(logs.reshape(len(logs), -1), self.top_k).reshape(logs.shape)

    def log_joint(self, theta: Array, data: Data, *, routed: bool = False) -> Array:
        """Log joint densities (K, S, U) of expert and y, of rows or units.

        Those of rows of a series are given all of it.
        """
        at = self.at(theta, data)
        if data.chain is not None:
            resp, log_density, _ = data.posterior(at.log_gates, at.logs, None)
            return np.log(np.maximum(resp, TINY)) + log_density
        log_gate = self.log_gate(theta, data, routed=True) if routed else at.log_gates[0][:, 0]
        joint = data.joint(log_gate, at.logs)
        if data.at_entry is not None:
            of_entry = self.log_joint(theta, data.at_entry, routed=routed)
            joint[..., data.entered] -= log_normalise(of_entry)[1]
        return joint

    def responsibilities(self, theta: Array, data: Data) -> tuple[Array, Array]:
        """Responsibilities of the E-step, (K, S, U), and log densities, (S, U)."""
        at = self.at(theta, data)
        resp, log_density, _ = data.posterior(at.log_gates, at.logs, self.top_k)
        if data.at_entry is not None:
            log_density[:, data.entered] -= self.responsibilities(theta, data.at_entry)[1]
        return resp, log_density

    # --- EM ---

    def e_step(
        self, theta: Array, blocks: Iterable[Data], *, curvature: bool, map_blocks: Any = None
    ) -> EStep:
        """Sums over all rows at coefficients (S, D)."""
        usage = self.usage(theta, blocks) if self.balance else None
        of_block = partial(self.e_step_block, theta, curvature=curvature, usage=usage)
        total: EStep = sum_over_blocks(of_block, blocks, map_blocks)
        return total

    def e_step_block(
        self, theta: Array, data: Data, *, curvature: bool, usage: Array | None = None
    ) -> EStep:
        """Sums over a block of rows.

        With given responsibilities the log-likelihood is the expected one of the complete data.
        """
        at, rows, gate_weight = self.at(theta, data), data.rows, data.rows.gate_weight
        if data.given is None:
            resp, log_density, memberships = data.posterior(at.log_gates, at.logs, self.top_k)
            if data.counted is not None:
                resp, log_density = resp * data.counted, log_density * data.counted
                memberships = [resp[:, None]] if data.chain is None else memberships
            log_likelihood = log_density @ gate_weight
            of_rows = resp if rows.units is None else rows.row_responsibilities(resp)
        else:
            of_rows, of_gate = data.given
            memberships = [of_gate[:, None]]
            if self.persists:
                memberships = data.chain.complete(of_gate)
        targets = memberships if len(memberships) > 1 else [memberships[0] * gate_weight]
        is_plain = data.given is None and rows.units is None and data.chain is None
        weight = targets[0][:, 0] if is_plain else of_rows * rows.weight
        if data.given is not None:
            # Rows outside the support of an expert have log density minus infinity.
            log_likelihood = (weight * np.where(weight > 0.0, at.logs, 0.0)).sum(axis=(0, 2))
            for own, logs in zip(targets, at.log_gates, strict=True):
                log_likelihood += (own * np.where(own > 0.0, logs, 0.0)).sum(axis=(0, 1, 3))
        if self.balance and data.given is None:
            own = self.usage(theta, [data]) if usage is None else usage
            log_gate = at.log_gates[0][:, 0]
            log_prior, added = balance_prior(self.balance, log_gate, gate_weight, own)
            log_likelihood, targets = log_likelihood + log_prior, [targets[0] + added[:, None]]
        gradient, found = np.zeros_like(theta), []
        counts, seen = weight.sum(axis=2), weight
        if curvature and (counts < NO_ROWS * data.weight).any():
            seen = weight + NO_ROWS * rows.weight
        for group, _, derivatives in at.terms:
            parts = slice(None) if len(at.terms) == 1 else group.parts
            own = weight[parts]
            if not group.roles:
                found.append(np.zeros((*own.shape[:2], 0, 0)))
                continue
            scores, information = next(derivatives), next(derivatives) if curvature else None
            group.add_gradient([own * score for score in scores], data, gradient)
            if curvature:
                dense = self.is_tied or self.has_signs
                found.append(group.curvature(information, seen[parts], data, dense))
        of_groups = at.log_gates[-len(self.gate_groups) :], targets[-len(self.gate_groups) :]
        for group, logs, target in zip(self.gate_groups, *of_groups, strict=False):
            if len(self.gate_groups) < len(targets):  # a stationary start
                move = np.exp(logs[..., 0]).transpose(2, 1, 0)
                of_first = targets[0].sum(axis=(1, 3))
                pull = np.einsum("ks,skjl->ljs", of_first, stationary_scores(move))
                target = target.sum(axis=-1, keepdims=True) + pull[..., None]
            proba, total = np.exp(logs), target.sum(axis=0)
            residual = group.family.contrasted(target - total * proba)
            group.add_gradient(residual, data, gradient)
            if curvature:
                information = group.family.covariance(proba)
                found.append(group.curvature(information, total, data, False))
        own_sums = []
        for part, where in self.own:
            of_gate = targets[0][:, 0], (at.log_gates[0][:, 0],)
            of_part = (weight, ()) if part is self.experts else of_gate
            own_sums.append(part.sums(theta[:, where], data, *of_part, curvature))
        totals = tuple(target.sum(axis=(0, 3)) for target in of_groups[1])
        matrices = tuple(found) if curvature else None
        if data.at_entry is not None and data.given is None:  # which bends the likelihood upward
            of_entry = self.e_step_block(theta, data.at_entry, curvature=False)
            log_likelihood = log_likelihood + of_entry.log_likelihood
            gradient += of_entry.gradient
        return EStep(log_likelihood, data.weight, gradient, matrices, counts, totals, (*own_sums,))

    def usage(self, theta: Array, blocks: Iterable[Data]) -> Array:
        """Sums of the gate's probabilities over rows or units, (K, S)."""

        def of_block(data: Data) -> Array:
            logs, weight = self.log_gate(theta, data), data.rows.gate_weight
            proba = np.exp(np.broadcast_to(logs, (*logs.shape[:2], len(weight))))
            return np.asarray(proba @ weight)

        return np.asarray(sum_over_blocks(of_block, blocks))

    # --- the vector ---

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        penalty = self.prior.penalty(theta)
        for part, where in self.own:
            penalty = penalty + part.penalty(theta[:, where])
        return np.asarray(penalty)

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,)."""
        gradient = self.prior.derivatives(theta)[0]
        for part, where in self.own:
            gradient[where] = part.penalty_gradient(theta[where])
        return np.asarray(gradient)

    def bounded(self, theta: Array) -> Array:
        """The nearest valid coefficients (S, D)."""
        theta = np.minimum(np.maximum(theta, self.lower), self.upper)
        if self.drops:
            theta = np.where(self.prior.dropped, 0.0, theta)
        if self.prior.joint:
            theta = self.prior.raised(theta, self.lower)
        for group in self.limited:
            theta = group.within_limits(theta)
        for part, where in self.own:
            theta[:, where] = part.bounded(theta[:, where])
        return theta

    def at_bound(self, theta: Array) -> Array:
        """Coefficients at a bound, or so near that the likelihood is constant, boolean (D,)."""
        found = (theta <= self.lower + self.flat) | (theta >= self.upper)
        if self.prior.joint:
            joint, at_floor = self.prior.joint, self.prior.at_floor(theta, self.lower)
            for index in (joint.log_variance, joint.fisher_z):
                found[index] |= at_floor[:, None]
        for group in self.limited:
            excess = group.excess_of_rows(theta[None]).max(axis=(0, 1))
            found[group.index[group.roles.index(DISPERSION)][excess >= NEXT_TO_ONE]] = True
        return np.asarray(found)

    def reduced(self, values: Array) -> Array:
        """Sums of values (..., D) over coefficients that are equal, (..., R)."""
        total, present = np.zeros((len(self.first), *values.shape[:-1])), self.free >= 0
        np.add.at(total, self.free[present], np.moveaxis(values, -1, 0)[present])
        return np.moveaxis(total, 0, -1)

    def reduced_matrix(self, matrix: Array) -> Array:
        """The same for both axes of matrices (..., D, D)."""
        return np.swapaxes(self.reduced(np.swapaxes(self.reduced(matrix), -1, -2)), -1, -2)

    def expanded(self, values: Array) -> Array:
        """Values (..., R) of estimated coefficients for all, zero for absent ones, (..., D)."""
        return np.where(self.free < 0, 0.0, values[..., self.free])

    def projected(self, theta: Array) -> Array:
        """The nearest coefficients (D,) of which shared ones are equal, and absent ones zero."""
        return self.bounded(self.expanded(theta[self.first])[None])[0]

    # --- the order of the experts ---

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) of the same mixture with its experts in another order."""
        of_experts, of_gate = self.split(theta)
        of_experts = self.experts.reordered(of_experts, order)
        return np.concatenate([of_experts, self.gate.reordered(of_gate, order)])


def balance_prior(
    balance: float, log_gate: Array, weight: Array, usage: Array
) -> tuple[Array, Array]:
    """Log prior (S,) of the usage of the experts, and its responsibilities (K, S, U) for the gate.

    The log prior is `balance` times the total weight times the mean over the experts of the log of
    their mean probability: that of a block is the part of its weight. Responsibilities divide the
    probability of each expert among the rows. Their expected log probability is a lower bound of
    the log prior, up to a constant, with equality at the current gate. So a step with these in
    addition increases the sum of log-likelihood and log prior [2]_. `usage` (K, S) is the sum of
    the gate's probabilities over all blocks.
    """
    usage = np.maximum(usage, TINY)
    total = usage.sum(axis=0)
    value = balance * float(weight.sum()) * np.log(usage / total).mean(axis=0)
    # Logs, as the usage can be next to nothing.
    shares = np.exp(log_gate - np.log(usage)[..., None])
    return value, (balance / len(usage) * total)[:, None] * weight * shares
