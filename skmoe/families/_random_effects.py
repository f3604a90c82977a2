"""Normal noise with random effects: coefficients of each unit of its own, which are normal.

The rows y of a unit are normal with the covariance matrix V = s I + Z D Z', D = L L' [1]_. All sums
over rows are those over units of the columns Z and of the residuals. With A = Z L, matrices of the
size q of the effects are solved: V^-1 = I / s - A M^-1 A' / s^2, where M = I + A'A / s.

Matrices have the shape (q, q, P, S, U): P experts, S vectors of coefficients, U units.

References
----------
.. [1] N. M. Laird and J. H. Ware (1982), "Random-effects models for longitudinal data", Biometrics
   38, 963-974.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.units import make_units
from skmoe._numerics.linalg import weighted_products
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.families._base import RANK, Family
from skmoe.families._continuous import Normal
from skmoe.protocols import EffectCovariance

# Part of the standard deviation of y that an effect has at the start.
START = 0.5

# Part of the largest eigenvalue of products of columns below which columns are dependent.
RANK_TOL = 1e-9


@dataclass(frozen=True)
class RandomEffects(Normal):
    """Normal noise, and effects of units that are normal with the covariance matrix L L'.

    The predictors are the mean, the log of the noise variance, and the lower triangle of L row by
    row. Its signs are free, so that variances of zero are no bound. The densities, scores and
    second derivatives of a unit are those of its rows together.

    Parameters
    ----------
    columns : tuple of int, default=(-1,)
        Columns of the design that have an effect: the intercept, and slopes.
    is_shared : bool, default=False
        Whether all experts have one covariance matrix.

    Examples
    --------
    >>> from skmoe.families._random_effects import RandomEffects
    >>> RandomEffects((-1, 0)).roles
    ('mean', 'constant', 'constant', 'constant', 'constant')
    """

    couples_rows: ClassVar[bool] = True
    takes_bounds: ClassVar[bool] = False
    is_dispersion_model: ClassVar[bool] = False
    has_dispersion: ClassVar[bool] = False

    columns: tuple[int, ...] = (-1,)
    is_shared: bool = False

    # --- facts ---

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The rows and columns of L that are estimated."""
        return [(i, j) for i in range(len(self.columns)) for j in range(i + 1)]

    @property
    def roles(self) -> tuple[str, ...]:  # type: ignore[override]
        """A mean and constants."""
        return ("mean", "constant", *["constant"] * len(self.pairs))

    @property
    def dispersions(self) -> Any:  # type: ignore[override]
        """The noise variance, and a block of the covariances."""
        of_effects = EffectCovariance(columns=self.columns, is_shared=self.is_shared)
        return (*Normal.dispersions, of_effects)

    @property
    def log_dispersion_bounds(self) -> Any:  # type: ignore[override]
        """Of each predictor after the mean."""
        return (*Normal.log_dispersion_bounds, *[(-np.inf, np.inf)] * len(self.pairs))

    def in_support(self, y: Array) -> Array:
        """All numbers; those that are NaN are missing."""
        return ~np.isinf(y)

    def in_units(self, scaling: Any) -> Family:
        """Normal noise."""
        return Normal()

    def start(self, y: Array, weight: Array) -> Array:
        """Noise and effects that have equal parts of the variance."""
        mean, log_variance = super().start(y, weight)
        std = START * np.exp(0.5 * log_variance)
        effects = [std * (i == j) for i, j in self.pairs]
        return np.array([mean, log_variance + 2.0 * np.log(START), *effects])

    # --- rows ---

    def factor(self, eta: Sequence[Array]) -> Array:
        """The matrices L, (q, q, ...), from predictors."""
        shape = np.broadcast_shapes(*(np.shape(values) for values in eta[2:]))
        found = np.zeros((len(self.columns), len(self.columns), *shape))
        for (i, j), values in zip(self.pairs, eta[2:], strict=True):
            found[i, j] = values
        return found

    def effects_of(self, design: Any) -> Array:
        """The columns Z of rows, (q, n)."""
        found = design[:, list(self.columns)]
        return np.ascontiguousarray((found.toarray() if sparse.issparse(found) else found).T)

    def of_rows(self, y: Array, units: Any, design: Any) -> OfRows:
        """The family of the rows of units."""
        return OfRows(self, y, units, design)

    def predictive(self, eta: Sequence[Array], design: Any, known: Any = None) -> list[Array]:
        """Mean and log variance of rows (n,), of new units or from the other rows of theirs.

        The latter are what these add to the mean, and the variance of the effects that is left.
        """
        shift, variance = (0.0, None) if known is None else known
        if variance is None:
            columns = self.effects_of(design)
            variance = np.square(np.einsum("ij...,i...->j...", self.factor(eta), columns)).sum(0)
        return [eta[0] + shift, np.log(np.exp(eta[1]) + variance)]


class LowRank(NamedTuple):
    """What is added to the curvature of the means beside a diagonal of rows."""

    weights: Array  # of units, for pairs of effects, (q, q, P, S, U)
    designs: Sequence[Any]  # sums over units of the design times the column of each effect, (U, d)
    starts: Array  # first rows of units

    def of(self, p: int) -> LowRank:
        """That of one expert and one vector."""
        return self._replace(weights=self.weights[:, :, p, 0])

    def sums(self, weight: Array) -> Array:
        """Matrices (..., d, d) with weights (..., n) of rows."""
        weight = weight[..., self.starts]
        total: Any = 0.0
        for i, one in enumerate(self.designs):
            for j, other in enumerate(self.designs[: i + 1]):
                own = (weight * self.weights[i, j]).reshape(-1, weight.shape[-1])
                found = weighted_products(one, other, own)
                total = total + (found if i == j else found + np.swapaxes(found, -1, -2))
        return np.asarray(total.reshape(*weight.shape[:-1], *total.shape[-2:]))


class Solved(NamedTuple):
    """What densities and derivatives of units need, at some predictors."""

    variance: Array  # of the noise, (..., 1)
    factor: Array  # L, (q, q, ..., 1)
    inverse: Array  # M^-1
    gram_factor: Array  # Z'Z L
    scaled: Array  # means of the standardised effects L^-1 b, given y, (q, ..., U)
    log_density: Array  # of units
    residual: Array  # V^-1 (y - mean), (..., n)


class OfRows:
    """Random effects of the rows of a block: the family of its target."""

    def __init__(self, family: RandomEffects, y: Array, units: Any, design: Any) -> None:
        units = make_units(np.arange(len(y))) if units is None else units
        self.family, self.units, self.design = family, units, design
        missing = np.isnan(y)
        self.seen: Any = None  # rows whose y is known, if some is not
        self.y, self.columns = y, family.effects_of(design)
        self.sizes = units.sizes
        if missing.any():
            self.seen = 1.0 - missing
            self.y, self.columns = np.where(missing, 0.0, y), self.columns * self.seen
            self.sizes = units.sum_rows(self.seen)
        self.gram = _grams(self.columns, units)

    @cached_property
    def sums(self) -> list[Any]:
        """Sums over units of the design times the column of each effect."""
        n_units, n_rows = len(self.sizes), len(self.y)
        starts = np.append(self.units.starts, n_rows)
        shape = n_units, n_rows
        products = [
            sparse.csr_array((column, np.arange(n_rows), starts), shape) @ self.design
            for column in self.columns
        ]
        return [np.asfortranarray(p) if isinstance(p, np.ndarray) else p for p in products]

    def at(self, eta: Sequence[Array]) -> Solved:
        """Units at predictors (..., n) of the mean, and constants (..., 1)."""
        units, variance, factor = self.units, np.exp(eta[1]), self.family.factor(eta)
        residual = self.y - eta[0]
        if self.seen is not None:
            residual *= self.seen
        gram_factor = _product(self.gram[:, :, None, None], factor)
        matrix = _product(np.swapaxes(factor, 0, 1), gram_factor) / variance
        for i in range(len(matrix)):
            matrix[i, i] += 1.0
        inverse, log_det = _inverse(matrix)
        products = np.stack([units.sum_rows(column * residual) for column in self.columns])
        rotated = np.einsum("ji...,j...->i...", factor, products) / variance
        scaled = np.einsum("ij...,j...->i...", inverse, rotated)
        squares = units.sum_rows(np.square(residual)) / variance
        squares -= (rotated * scaled).sum(axis=0)
        logs = -0.5 * (self.sizes * (LOG_2PI + eta[1]) + log_det + squares)
        residual -= self.at_rows(np.einsum("ij...,j...->i...", factor, scaled))
        residual /= variance
        return Solved(variance, factor, inverse, gram_factor, scaled, logs, residual)

    def at_rows(self, effects: Array) -> Array:
        """Sums (..., n) of the columns times effects (q, ..., U) of units."""
        total = self.units.repeat(effects[0])
        total *= self.columns[0]
        for column, own in zip(self.columns[1:], effects[1:], strict=True):
            total += column * self.units.repeat(own)
        return total

    def of_units(self, values: Array) -> Array:
        """Values (..., U) of units at their first rows, zero at the others, (..., n)."""
        found = np.zeros((*values.shape[:-1], len(self.y)))
        found[..., self.units.starts] = values
        return found

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Information that is no less than the expected one, also at variances of zero.

        What is of a unit is at its first row.
        """
        own = self.at(eta)
        yield self.of_units(own.log_density)
        variance, factor, inverse, gram_factor, scaled, _, residual = own
        pairs, n_effects = self.family.pairs, len(factor)
        trace = self.sizes - n_effects + np.einsum("ii...->...", inverse)
        squares = variance * self.units.sum_rows(np.square(residual))
        # Z'V^-1 (y - mean), Z'V^-1 Z L, and Z'V^-1 Z.
        slope = np.stack([self.units.sum_rows(column * residual) for column in self.columns])
        of_factor = _product(gram_factor, inverse) / variance
        products = self.gram[:, :, None, None] / variance - _product(
            of_factor, np.swapaxes(gram_factor, 0, 1) / variance
        )
        score = slope[:, None] * scaled - of_factor
        constants = [0.5 * (squares - trace), *(score[i, j] for i, j in pairs)]
        yield [residual, *map(self.of_units, constants)]
        cross = _product(of_factor, inverse)
        trace_of_square = self.sizes - n_effects + np.einsum("ij...,ji...->...", inverse, inverse)
        found: dict[Any, Any] = {(0, 0): 1.0 / variance}
        found[1, 1] = self.of_units(0.5 * trace_of_square)
        numbered = list(enumerate(pairs, start=2))
        for c, (i, j) in numbered:
            found[1, c] = self.of_units(cross[i, j])
            for d, (k, m) in numbered[c - 2 :]:
                value = of_factor[k, j] * of_factor[i, m]
                found[c, d] = self.of_units(value + products[i, k] if j == m else value)
        if self.seen is not None:
            found[0, 0] = found[0, 0] * self.seen
        spread = _product(factor, inverse) / np.square(variance)
        rank = _product(spread, np.swapaxes(factor, 0, 1))
        yield found | {RANK: LowRank(-rank, self.sums, self.units.starts)}
        twice = np.einsum("ij...,j...->i...", inverse, scaled)
        second: dict[Any, Any] = {(0, 0): -found[0, 0]}
        second[0, 1] = self.at_rows(np.einsum("ij...,j...->i...", factor, twice)) / variance
        second[0, 1] -= residual
        bend = squares - (scaled * twice).sum(axis=0)
        second[1, 1] = self.of_units(0.5 * trace_of_square - bend + 0.5 * (squares - trace))
        again = (slope - np.einsum("ij...,j...->i...", gram_factor, twice) / variance) / variance
        back = _product(spread, np.swapaxes(gram_factor, 0, 1))
        for c, (i, j) in numbered:
            value = cross[i, j] - variance * again[i] * scaled[j] - slope[i] * twice[j]
            second[1, c] = self.of_units(value)
            effects = back[:, i] * scaled[j] - spread[:, j] * variance * slope[i]
            effects[i] -= scaled[j] / variance
            second[0, c] = self.at_rows(effects)
            for d, (k, m) in numbered[c - 2 :]:
                value = (
                    inverse[j, m] * slope[i] * slope[k]
                    + of_factor[k, j] * of_factor[i, m]
                    - of_factor[i, m] * scaled[j] * slope[k]
                    - of_factor[k, j] * scaled[m] * slope[i]
                    - products[i, k] * (inverse[j, m] + scaled[j] * scaled[m])
                )
                second[c, d] = self.of_units(value)
        yield second | {RANK: LowRank(rank, self.sums, self.units.starts)}

    def second(self, y: Array, eta: Sequence[Array]) -> Any:
        """Second derivatives, of which those of constants are at the first rows of units."""
        *_, found = self.derivatives(y, eta)
        return found

    def from_others(self, eta: Sequence[Array]) -> tuple[Array, ...]:
        """What is known of each row from the other rows of its unit, (..., n).

        It is the change of its mean, the variance of its effects that is left, and the log
        density of its own y given these rows; zero where y is missing.
        """
        own = self.at(eta)
        seen = np.ones(len(self.y)) if self.seen is None else self.seen
        columns = self.family.effects_of(self.design)
        effects = np.einsum("ij...,j...->i...", own.factor, own.scaled)
        shift = sum(c * self.units.repeat(e) for c, e in zip(columns, effects, strict=True))
        covariance = _product(_product(own.factor, own.inverse), np.swapaxes(own.factor, 0, 1))
        variance = sum(
            one * other * self.units.repeat(covariance[i, j])
            for i, one in enumerate(columns)
            for j, other in enumerate(columns)
        )
        # Without its own y a row has the mean y - v / h and the variance 1 / h, h of V^-1.
        share = np.where(seen > 0.0, variance / own.variance, 0.0)
        precision = (1.0 - share) / own.variance
        deviation = own.residual / precision
        logs = -0.5 * (LOG_2PI - np.log(precision) + own.residual * deviation)
        left_out = self.y - deviation - eta[0], 1.0 / precision - own.variance, logs
        pairs = zip(left_out, (shift, variance, 0.0), strict=True)
        return tuple(np.where(seen > 0.0, *pair) for pair in pairs)


def variance_within_units(columns: Array, init_data: Any) -> Array:
    """Variance of outputs (m, n) about one regression with coefficients of each unit, (m,).

    These are of columns (q, n). Of units without more rows than such coefficients it is one.
    """
    rows, units, n_columns = init_data.rows, init_data.rows.units, init_data.X.shape[1]
    values = np.vstack([init_data.X.T, init_data.Y])
    grams = _grams(columns, units)
    inverse = np.linalg.pinv(grams.transpose(2, 0, 1), hermitian=True)
    sums = np.stack([units.sum_rows(column * values) for column in columns])
    effects = np.einsum("uij,jvu->ivu", inverse, sums)
    values -= sum(c * units.repeat(own) for c, own in zip(columns, effects, strict=True))
    products = (values * rows.weight) @ values.T
    coef = np.linalg.pinv(products[:n_columns, :n_columns], rcond=RANK_TOL, hermitian=True)
    cross = products[:n_columns, n_columns:]
    squares = np.diagonal(products)[n_columns:] - (cross * (coef @ cross)).sum(axis=0)
    used = np.linalg.matrix_rank(coef) + units.weight @ np.einsum("uij,jiu->u", inverse, grams)
    freedom = rows.weight.sum() - used
    return np.clip(squares / freedom, 0.0, 1.0) if freedom > 0.5 else np.ones(len(squares))


def _grams(columns: Array, units: Any) -> Array:
    """Products of columns (q, n), summed over the rows of each unit, (q, q, U)."""
    return np.stack([[units.sum_rows(one * other) for one in columns] for other in columns])


def _product(one: Array, other: Array) -> Array:
    """Products of matrices (q, q, ...)."""
    return np.asarray(np.einsum("ij...,jk...->ik...", one, other))


def _inverse(matrix: Array) -> tuple[Array, Array]:
    """Inverses of matrices (q, q, ...) of which none has an eigenvalue below one, and log dets."""
    found, log_det = matrix.copy(), np.zeros(matrix.shape[2:])
    for k in range(len(found)):
        pivot, row, column = found[k, k].copy(), found[k].copy(), found[:, k].copy()
        log_det += np.log(pivot)
        row /= pivot
        found -= column[:, None] * row
        found[:, k] = -column / pivot
        found[k] = row
        found[k, k] = 1.0 / pivot
    return found, log_det
