"""The prior of the coefficients: precisions, and inverse gamma distributions of scales."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmoe._numerics.typing import Array

# Precision from which a coefficient is zero: its feature has been dropped.
DROPPED = 1e8


class Prior(NamedTuple):
    """The prior of a vector of D coefficients, in which shared ones have equal parts.

    The precision of a coefficient with a scale is relative to the inverse of that scale, as in the
    conjugate prior of a linear regression.
    """

    precision: Array  # (D,)
    scale: Array  # coordinate of the log scale to which it is relative; -1 for none, (D,)
    strength: Array  # of log scales: rows of the prior, (D,)
    squares: Array  # of log scales: sum of squares of the prior, (D,)
    dropped: Array  # coefficients that are zero, since their features have been dropped, (D,)
    is_normal: bool  # whether no precision is relative, as for counts and classes

    @classmethod
    def of(cls, precision: Array, scale: Array, strength: Array, squares: Array) -> Prior:
        """The prior, with facts that hold for all coefficients."""
        is_normal = bool((scale < 0).all() and not strength.any() and not squares.any())
        return cls(precision, scale, strength, squares, precision >= DROPPED, is_normal)

    def absolute(self, theta: Array) -> Array:
        """Precisions (..., D) at given scales."""
        if self.is_normal:
            return self.precision
        inverse = np.exp(-theta[..., self.scale])
        return np.where(self.scale < 0, self.precision, self.precision * inverse)

    def penalty(self, theta: Array) -> Array:
        """Negative log density up to a constant, (...)."""
        total = (self.absolute(theta) * np.square(theta)).sum(axis=-1)
        if not self.is_normal:
            own = self.strength + self.squares != 0.0
            logs, strength = theta[..., own], self.strength[own]
            total = total + (self.squares[own] * np.exp(-logs) + strength * logs).sum(axis=-1)
        return 0.5 * total

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Gradient of the penalty, and the diagonal of its Hessian, both (..., D)."""
        precision = self.absolute(theta)
        gradient = precision * theta
        if self.is_normal:
            return gradient, np.broadcast_to(precision, theta.shape)
        # Sums of squares over their scales, at the coordinates of the log scales.
        of_slopes = precision * np.square(theta)
        scales = np.where(self.scale < 0, len(self.scale), self.scale)
        total = np.zeros((*theta.shape[:-1], len(self.scale) + 1))
        for at in np.ndindex(theta.shape[:-1]):
            total[at] = np.bincount(scales, of_slopes[at], len(self.scale) + 1)
        logs = np.where(self.squares != 0.0, theta, 0.0)
        decreasing = 0.5 * (total[..., :-1] + self.squares * np.exp(-logs))
        gradient = gradient + 0.5 * self.strength - decreasing
        return gradient, precision + decreasing

    def hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        gradient, diagonal = self.derivatives(theta)
        hessian = np.diag(diagonal)
        with_scale = np.flatnonzero(self.scale >= 0)
        cross = -self.absolute(theta)[with_scale] * theta[with_scale]
        hessian[with_scale, self.scale[with_scale]] = cross
        hessian[self.scale[with_scale], with_scale] = cross
        return hessian


def flat(size: int) -> Prior:
    """No prior of so many coefficients."""
    none = np.zeros(size)
    return Prior.of(none, np.full(size, -1), none, none)


def joined(first: Prior, second: Prior) -> Prior:
    """The prior of two vectors, one after the other; the second one is normal."""
    arrays = [np.concatenate(pair) for pair in zip(first[:5], second[:5], strict=True)]
    both = type(first)(*arrays, first.is_normal and second.is_normal)
    if hasattr(first, "groups"):  # of joint outputs
        both.groups = first.groups  # type: ignore[attr-defined]
    return both
