"""The conjugate prior of several outputs whose noise is multivariate normal.

The slopes of a feature are normal with the covariance matrix of the noise over the penalty, and
that matrix is inverse Wishart [1]_. Arrays are (..., P, m, m) for P experts and m outputs.

References
----------
.. [1] T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", 3rd edition,
   Wiley, chapters 7 and 8.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from skmoe._mixture.mixture import Group, Prior
from skmoe._numerics import covariances
from skmoe._numerics.typing import Array

# Relative distance of the smallest eigenvalue from its bound up to which it is there.
BOUND_RTOL = 1e-6

# Step of the differences of gradients, relative to one plus the size of a coefficient.
HESSIAN_STEP = 2e-5


class Outputs(NamedTuple):
    """Coordinates of the coefficients of P experts with m outputs, and their prior."""

    means: Array  # with the intercept, (P, m, d)
    log_variance: Array  # (P, m)
    fisher_z: Array  # of pairs of outputs, (P, m (m - 1) / 2)
    squares: Array  # scale matrix of the prior, (P, m, m)

    @classmethod
    def of_group(cls, group: Group, squares: Array) -> Outputs:
        """Those of a group."""
        n_outputs = group.family.n_outputs
        means = np.stack(group.index[:n_outputs], axis=1)
        others = np.concatenate(group.index[n_outputs:], axis=1)
        log_variance, fisher_z = np.split(others, [n_outputs], axis=1)
        return cls(means, log_variance, fisher_z, squares[group.parts])

    def covariance(self, theta: Array) -> Array:
        """Covariance matrices at coefficients (..., D)."""
        return covariances.covariance_matrix(
            theta[..., self.log_variance], theta[..., self.fisher_z]
        )

    def whitening(self, theta: Array) -> tuple[Array, Array]:
        """Square roots of the precisions at coefficients (..., D), and log determinants."""
        return covariances.whitening(theta[..., self.log_variance], theta[..., self.fisher_z])

    def precision(self, theta: Array) -> Array:
        """Precisions at coefficients (..., D)."""
        matrix = self.whitening(theta)[0]
        return np.asarray(matrix @ np.swapaxes(matrix, -1, -2))

    def by_coordinates(self, theta: Array, gradient: Array) -> Array:
        """Gradients by the coordinates, from those by the entries of the covariances."""
        covariance = self.covariance(theta)
        first, second = covariances.pairs_of(covariance.shape[-1])
        std = np.exp(0.5 * theta[..., self.log_variance])
        by_z = std[..., first] * std[..., second]
        by_z = by_z * (1.0 - np.square(np.tanh(theta[..., self.fisher_z])))
        by_z = 2.0 * gradient[..., first, second] * by_z
        return np.concatenate([(gradient * covariance).sum(axis=-1), by_z], axis=-1)


class JointPrior(Prior):
    """A prior whose precisions are relative to the covariance matrix of the outputs of an expert.

    The experts are one group, of which `joint` are the outputs.
    """

    @classmethod
    def of_group(cls, prior: Prior, group: Group, squares: Array) -> JointPrior:
        """The prior with these precisions and strengths, and scale matrices (K, m, m)."""
        arrays = prior.precision, prior.scale, prior.strength, prior.squares
        return cls(*arrays, Outputs.of_group(group, squares))

    @cached_property
    def rest(self) -> Prior:
        """The prior of other coefficients, such as those of the gate."""
        precision, none = self.precision.copy(), np.zeros(len(self.precision))
        precision[self.joint.means] = 0.0
        return Prior(precision, np.full(len(precision), -1), none, none)

    def _sums(self, theta: Array) -> tuple[Array, Array, Array]:
        """Coefficients of the means, their precisions, and products of residuals of the prior."""
        coef, ridge = theta[..., self.joint.means], self.precision[self.joint.means]
        return coef, ridge, self.joint.squares + (coef * ridge) @ np.swapaxes(coef, -1, -2)

    def penalty(self, theta: Array) -> Array:
        """Negative log density up to a constant, (...)."""
        matrix, log_det = self.joint.whitening(theta)
        strength = self.strength[self.joint.log_variance[:, 0]]
        squares = (matrix * (self._sums(theta)[2] @ matrix)).sum(axis=(-1, -2))
        return self.rest.penalty(theta) + 0.5 * (squares + strength * log_det).sum(axis=-1)

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Gradient of the penalty, and the diagonal of its curvature, both (..., D)."""
        gradient, diagonal = self.rest.derivatives(theta)
        gradient, joint = gradient.copy(), self.joint
        coef, ridge, products = self._sums(theta)
        precision = joint.precision(theta)
        strength = self.strength[joint.log_variance[:, :1], None]
        by_covariance = 0.5 * (strength * precision - precision @ products @ precision)
        gradient[..., joint.means] = precision @ (coef * ridge)
        others = np.concatenate([joint.log_variance, joint.fisher_z], axis=-1)
        gradient[..., others] = joint.by_coordinates(theta, by_covariance)
        return gradient, np.where(diagonal > 0.0, diagonal, self.absolute(theta))

    def of_means(self, theta: Array) -> Array:
        """Curvatures of the penalty by the means of all outputs, (S, P, m d, m d)."""
        precision, ridge = self.joint.precision(theta), self.precision[self.joint.means[:, 0]]
        diagonal = ridge[..., None] * np.eye(ridge.shape[-1])
        blocks = precision[..., :, None, :, None] * diagonal[:, None, :, None]
        size = self.joint.means[0].size
        return np.asarray(blocks.reshape(*precision.shape[:-2], size, size))

    def hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D), by differences of the gradient."""
        steps = HESSIAN_STEP * (1.0 + np.abs(theta))
        ahead, behind = (self.derivatives(theta + sign * np.diag(steps))[0] for sign in (0.5, -0.5))
        hessian = (ahead - behind) / steps[:, None]
        return np.asarray(0.5 * (hessian + hessian.T))

    # --- covariance matrices that are not singular ---

    def raised(self, theta: Array, lower: Array) -> Array:
        """Coefficients (S, D) whose covariance matrices have no eigenvalue below its bound."""
        joint, floor = self.joint, np.exp(lower[self.joint.log_variance])
        own = np.where(np.isfinite(theta).all(axis=-1, keepdims=True), theta, 0.0)
        covariance = joint.covariance(own)
        s, p = np.nonzero(covariances.least_eigenvalue(covariance, floor) < 1.0)
        if len(s):
            raised = covariances.covariance_coordinates(
                covariances.with_least_eigenvalue(covariance[s, p], floor[p])
            )
            theta[s[:, None], joint.log_variance[p]] = raised[0]
            theta[s[:, None], joint.fisher_z[p]] = raised[1]
        return theta

    def at_floor(self, theta: Array, lower: Array) -> Array:
        """Experts with a combination of outputs of the smallest variance, boolean of shape (P,)."""
        floor = np.exp(lower[self.joint.log_variance])
        return covariances.least_eigenvalue(self.joint.covariance(theta), floor) <= 1.0 + BOUND_RTOL

    # --- penalties that are found ---

    def products(self, theta: Array, squares: Array) -> Array:
        """Products of outputs with given squares (K, m) and the correlations of the noise."""
        correlation = covariances.correlation_matrix(theta[self.joint.fisher_z], squares.shape[1])
        root = np.sqrt(squares)
        return np.asarray(root[:, :, None] * correlation * root[:, None])

    def independent(self, theta: Array, gradient: Array, noise: Array) -> tuple[Array, Array]:
        """Coefficients and gradient (D,) of outputs that are transformed to independent ones.

        Their variances stay. `noise` is the part of each scale that is noise, (D,).
        """
        joint, theta, gradient = self.joint, theta.copy(), gradient.copy()
        log_variance = theta[joint.log_variance]
        std = np.exp(0.5 * log_variance) * np.sqrt(noise[joint.log_variance])
        root = covariances.whitening(np.zeros_like(log_variance), theta[joint.fisher_z])[0]
        matrix = std[:, :, None] * np.swapaxes(root, -1, -2) / std[:, None]
        covariance = joint.covariance(theta)
        by_mean = matrix @ covariance @ gradient[joint.means]
        gradient[joint.means] = np.exp(-log_variance)[..., None] * by_mean
        theta[joint.means] = matrix @ theta[joint.means]
        return theta, gradient
