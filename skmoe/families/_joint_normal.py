"""Several outputs whose noise is multivariate normal, or is so on the scale of their logarithms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.covariances import MAX_CORRELATION, correlation_matrix, whitening
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import JointComponents
from skmoe.families._base import Curvature, Family, log_variance_of
from skmoe.families._normal import LogNormal, Normal
from skmoe.protocols import Correlation, Dispersion


@dataclass(frozen=True)
class JointNormal(Family):
    r"""Multivariate normal distribution of m outputs, or of their logarithms [1]_.

    y has the shape (m, n). The predictors are the m means, the m log variances, and Fisher's z of
    the correlation of each pair of outputs, in the order of the upper triangle.

    Parameters
    ----------
    n_outputs : int, default=2
        Number of outputs.
    of_logs : bool, default=False
        Whether the logarithms are normal.

    References
    ----------
    .. [1] T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", 3rd
       edition, Wiley, chapter 8.

    Examples
    --------
    >>> from skmoe.families._joint_normal import JointNormal
    >>> JointNormal(2).roles
    ('mean', 'mean', 'constant', 'constant', 'constant')
    """

    couples_outputs: ClassVar[bool] = True
    has_scale: ClassVar[bool] = True
    takes_bounds: ClassVar[bool] = False
    has_dispersion: ClassVar[bool] = False

    n_outputs: int = 2
    of_logs: bool = False

    # --- facts ---

    @property
    def of_one(self) -> Normal | LogNormal:
        """The family of each output alone."""
        return LogNormal() if self.of_logs else Normal()

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the family of each output."""
        return self.of_one.name

    @property
    def link(self) -> str:  # type: ignore[override]
        """That of the family of each output."""
        return self.of_one.link

    @property
    def standardizes_target(self) -> bool:  # type: ignore[override]
        """That of the family of each output."""
        return self.of_one.standardizes_target

    @property
    def max_predictor(self) -> float:  # type: ignore[override]
        """That of the family of each output."""
        return self.of_one.max_predictor

    @property
    def support(self) -> str:
        """That of the family of each output."""
        return self.of_one.support

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of outputs."""
        return list(combinations(range(self.n_outputs), 2))

    @property
    def roles(self) -> tuple[str, ...]:
        """Means and constants."""
        n_constants = self.n_outputs + len(self.pairs)
        return ("mean",) * self.n_outputs + ("constant",) * n_constants

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """A block of the log variances, and one of Fisher's z of the correlations."""
        return (*self.of_one.dispersions, *([Correlation()] if self.pairs else []))

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Of each predictor after the means."""
        largest = float(np.arctanh(MAX_CORRELATION))
        of_variances = self.of_one.log_dispersion_bounds * self.n_outputs
        return (*of_variances, *[(-largest, largest)] * len(self.pairs))

    # --- the data of the fit ---

    def in_units(self, scaling: Any) -> Family:
        """The family of each output."""
        return self.of_one

    def in_support(self, y: Array) -> Array:
        """Whether each output of a row is possible."""
        return self.of_one.in_support(y)

    def working_target(self, y: Array) -> Array:
        """That of the family of each output."""
        return self.of_one.working_target(y)

    def start(self, y: Array, weight: Array) -> Array:
        """Those of independent outputs."""
        values = self._normal(y)
        variances = [log_variance_of(own, weight) for own in values]
        means = np.average(values, axis=-1, weights=weight)
        return np.array([*means, *variances, *[0.0] * len(self.pairs)])

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Outputs (m, n) with correlations of about one half."""
        values = rng.normal(size=n_rows) + rng.normal(size=(self.n_outputs, n_rows))
        return np.exp(0.5 * values) if self.of_logs else values

    def _normal(self, y: Array) -> Array:
        return np.log(y) if self.of_logs else y

    # --- the density ---

    def _covariance(self, eta: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Whitening matrices (..., n, m, m), log determinants, and slopes (P, ..., n) by z."""
        m = self.n_outputs
        log_variance = np.stack(np.broadcast_arrays(*eta[m : 2 * m]), axis=-1)
        fisher_z = np.zeros((*log_variance.shape[:-1], 0))
        if self.pairs:
            fisher_z = np.stack(np.broadcast_arrays(*eta[2 * m :]), axis=-1)
        shape = np.broadcast_shapes(log_variance.shape[:-1], fisher_z.shape[:-1])
        log_variance = np.broadcast_to(log_variance, (*shape, m))
        fisher_z = np.broadcast_to(fisher_z, (*shape, len(self.pairs)))
        matrix, log_det = whitening(log_variance, fisher_z)
        std = np.exp(0.5 * np.moveaxis(log_variance, -1, 0))
        by_z = 1.0 - np.square(np.tanh(np.moveaxis(fisher_z, -1, 0)))
        for own, (i, j) in zip(by_z, self.pairs, strict=True):
            own *= std[i] * std[j]
        return matrix, log_det, by_z

    def _at(self, y: Array, eta: Sequence[Array]) -> tuple[Any, ...]:
        """Residuals, these times the precision, (m, ..., n), the precision, and slopes by z."""
        matrix, _, by_z = self._covariance(eta)
        residual = _residual(self._normal(y), eta)
        precision = np.moveaxis(matrix @ np.swapaxes(matrix, -1, -2), (-2, -1), (0, 1))
        return residual, np.einsum("ij...,j...->i...", precision, residual), precision, by_z

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        values = self._normal(y)
        matrix, log_det, by_z = self._covariance(eta)
        residual = _residual(values, eta)
        whitened = np.einsum("...ji,j...->i...", matrix, residual)
        logs = np.einsum("i...,i...->...", whitened, whitened)
        logs += log_det + self.n_outputs * LOG_2PI
        logs *= -0.5
        if self.of_logs:
            logs -= values.sum(axis=0)
        yield logs
        scaled = np.einsum("...ij,j...->i...", matrix, whitened)
        precision = np.moveaxis(matrix @ np.swapaxes(matrix, -1, -2), (-2, -1), (0, 1))
        yield (
            *scaled,
            *(0.5 * (scaled * residual - 1.0)),
            *(
                slope * (scaled[i] * scaled[j] - precision[i, j])
                for slope, (i, j) in zip(by_z, self.pairs, strict=True)
            ),
        )
        yield self._information(matrix, precision, by_z)

    def _information(self, matrix: Array, precision: Array, by_z: Array) -> Curvature:
        """Expected information about means, and about variances and correlations."""
        root = np.linalg.inv(matrix)
        covariance = np.moveaxis(np.swapaxes(root, -1, -2) @ root, (-2, -1), (0, 1))
        m, information = self.n_outputs, {}
        for i in range(m):
            for j in range(i, m):
                information[i, j] = precision[i, j]
                information[m + i, m + j] = 0.25 * ((i == j) + precision[i, j] * covariance[i, j])
        for number, (i, j) in enumerate(self.pairs):
            half = 0.5 * by_z[number] * precision[i, j]
            information[m + i, 2 * m + number] = information[m + j, 2 * m + number] = half
            for other in range(number, len(self.pairs)):
                k, h = self.pairs[other]
                product = precision[i, k] * precision[j, h] + precision[i, h] * precision[j, k]
                information[2 * m + number, 2 * m + other] = by_z[number] * by_z[other] * product
        return information

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """By means, log variances and Fisher's z."""
        residual, scaled, precision, by_z = self._at(y, eta)
        m, second = self.n_outputs, {}
        for i in range(m):
            for j in range(m):
                if j >= i:
                    second[i, j] = -precision[i, j]
                # Derivative of the scaled residual i by log variance j.
                moved = -0.5 * (precision[i, j] * residual[j] + (i == j) * scaled[i])
                second[i, m + j] = moved
                if j >= i:
                    second[m + i, m + j] = 0.5 * residual[i] * moved
        for number, (k, h) in enumerate(self.pairs):
            own = 2 * m + number
            moved = -by_z[number] * (precision[:, k] * scaled[h] + precision[:, h] * scaled[k])
            for i in range(m):
                second[i, own] = moved[i]
                second[m + i, own] = 0.5 * residual[i] * moved[i]
            for earlier in range(number + 1):
                i, j = self.pairs[earlier]
                product = precision[i, k] * precision[j, h] + precision[i, h] * precision[j, k]
                product = by_z[number] * product + moved[i] * scaled[j] + scaled[i] * moved[j]
                second[2 * m + earlier, own] = by_z[earlier] * product
            slope = scaled[k] * scaled[h] - precision[k, h]
            second[own, own] -= 2.0 * np.tanh(eta[own]) * by_z[number] * slope
        return second

    # --- moments ---

    def mean(self, eta: Sequence[Array]) -> Array:
        """Means of the outputs, (..., m, n)."""
        means = np.stack(np.broadcast_arrays(*eta[: self.n_outputs]), axis=-2)
        if not self.of_logs:
            return means
        return np.exp(means + 0.5 * np.exp(self._log_variances(eta)))

    def _log_variances(self, eta: Sequence[Array]) -> Array:
        own = eta[self.n_outputs : 2 * self.n_outputs]
        return np.stack(np.broadcast_arrays(*own), axis=-2)

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """Of all outputs, (..., m, n)."""
        mean, m = self.mean(eta), self.n_outputs
        slope = mean if self.of_logs else np.ones(mean.shape)
        derivatives: list[Any] = [0.0] * len(self.roles)
        of_variance = 0.5 * np.exp(self._log_variances(eta)) * slope if self.of_logs else None
        for i in range(m):
            is_own = (np.arange(m) == i)[:, None]
            derivatives[i] = slope * is_own
            if of_variance is not None:
                derivatives[m + i] = of_variance * is_own
        return derivatives

    def location(self, mean: Array, eta: Sequence[Array]) -> Array:
        """The first m predictors, (..., m, n)."""
        return np.log(mean) - 0.5 * np.exp(self._log_variances(eta)) if self.of_logs else mean

    def components(self, eta: Sequence[Array]) -> JointComponents:
        """The joint distribution of the outputs, with constants that are the same for all rows."""
        m = self.n_outputs
        pair = np.stack(np.broadcast_arrays(*eta[:m])), np.stack(eta[m : 2 * m])
        fisher_z = np.array([np.ravel(values)[0] for values in eta[2 * m :]])
        return JointComponents(self.of_one.components(pair), correlation_matrix(fisher_z, m)[None])


def _residual(values: Array, eta: Sequence[Array]) -> Array:
    """Residuals (m, ..., n) of outputs (m, n)."""
    return np.stack(np.broadcast_arrays(*(y - mean for y, mean in zip(values, eta, strict=False))))
