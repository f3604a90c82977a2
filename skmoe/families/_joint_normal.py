"""Several outputs whose noise is multivariate normal, or is so on the scale of their logarithms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from skmoe._numerics.covariances import (
    MAX_CORRELATION,
    correlation_matrix,
    covariance_derivatives,
    whitening,
)
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.distributions import JointComponents
from skmoe.families._base import Curvature, Family, of_others
from skmoe.families._continuous import LogNormal, Normal
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

    def start(self, y: Array, weight: Array) -> Array:
        """Those of independent outputs."""
        starts = np.transpose([self.of_one.start(own, weight) for own in y])
        return np.append(starts, np.zeros(len(self.pairs)))

    # --- the density ---

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Expected information."""
        m, n_own = self.n_outputs, len(eta)
        values = np.log(y) if self.of_logs else y
        constants = np.broadcast_arrays(*eta[m:])
        log_variance, fisher_z = (
            np.stack(own, axis=-1) if own else np.zeros((*constants[0].shape, 0))
            for own in (constants[:m], constants[m:])
        )
        matrix, log_det = whitening(log_variance, fisher_z)
        pairs = zip(values, eta, strict=False)
        residual = np.stack(np.broadcast_arrays(*(own - mean for own, mean in pairs)))
        whitened = np.einsum("...ji,j...->i...", matrix, residual)
        logs = np.einsum("i...,i...->...", whitened, whitened)
        logs += log_det + m * LOG_2PI
        logs *= -0.5
        if self.of_logs:
            logs -= values.sum(axis=0)
        yield logs
        scaled = np.einsum("...ij,j...->i...", matrix, whitened)
        precision = np.moveaxis(matrix @ np.swapaxes(matrix, -1, -2), (-2, -1), (0, 1))
        # Derivatives of the covariance by the constants, (T, m, m, ...).
        slopes = np.moveaxis(covariance_derivatives(log_variance, fisher_z), (-2, -1), (1, 2))
        moved = np.einsum("tij...,j...->ti...", slopes, scaled)
        products = np.einsum("ij...,tjk...->tik...", precision, slopes)
        traces = np.einsum("tii...->t...", products)
        yield (*scaled, *(0.5 * (np.einsum("i...,ti...->t...", scaled, moved) - traces)))
        of_constants = 0.5 * np.einsum("tij...,uji...->tu...", products, products)
        information: Curvature = {(i, j): precision[i, j] for i in range(m) for j in range(i, m)}
        rest = [(t, u) for t in range(n_own - m) for u in range(t, n_own - m)]
        yield information | {(m + t, m + u): of_constants[t, u] for t, u in rest}

    # --- moments ---

    def mean(self, eta: Sequence[Array]) -> Array:
        """Means of the outputs, (..., m, n)."""
        means = np.stack(np.broadcast_arrays(*eta[: self.n_outputs]), axis=-2)
        if not self.of_logs:
            return means
        log_variances = np.broadcast_arrays(*eta[self.n_outputs : 2 * self.n_outputs])
        return np.exp(means + 0.5 * np.exp(np.stack(log_variances, axis=-2)))

    def components(self, eta: Sequence[Array]) -> JointComponents:
        """The joint distribution of the outputs, with constants that are the same for all rows."""
        m = self.n_outputs
        pair = np.stack(np.broadcast_arrays(*eta[:m])), np.stack(eta[m : 2 * m])
        fisher_z = np.array([np.ravel(values)[0] for values in eta[2 * m :]])
        return JointComponents(self.of_one.components(pair), correlation_matrix(fisher_z, m)[None])


OF_EACH = "name", "link", "support", "in_support", "working_target"
of_others(JointNormal, "of_one", (*OF_EACH, "standardizes_target", "max_predictor"))
