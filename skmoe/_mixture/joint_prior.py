"""The conjugate prior of several outputs whose noise is multivariate normal.

The slopes of a feature are normal with the covariance matrix of the noise over the penalty, and that
matrix is inverse Wishart [1]_. The log density of the prior is that of a few rows more: one for the
slopes of each feature, and one for each output.

References
----------
.. [1] T. W. Anderson (2003), "An Introduction to Multivariate Statistical Analysis", 3rd edition,
   Wiley, chapters 7 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skmoe._mixture.groups import Group
from skmoe._mixture.mixture import Prior
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array
from skmoe.families._joint_normal import JointNormal


class JointPrior(Prior):
    """A prior whose precisions are relative to the covariance matrix of the outputs of an expert."""

    @classmethod
    def of_groups(cls, prior: Prior, groups: Sequence[Group]) -> JointPrior:
        """The prior with these precisions, strengths and squares."""
        return cls(*prior[:6], groups)

    @property
    def rest(self) -> Prior:
        """The prior of coefficients in no group, such as those of the gate."""
        own = np.concatenate([group.coordinates.ravel() for group in self.groups])
        precision = self.precision.copy()
        precision[own] = 0.0
        none = np.zeros(len(precision))
        return Prior.of(precision, np.full(len(precision), -1), none, none)

    def _rows(self, theta: Array) -> Iterator[tuple[Any, Array, Any, Array, Array, Array]]:
        """Family, coordinates and predictors of each expert, with outputs and weights of rows.

        `theta` is one vector. The coordinates of the means are those of each row, (m, r).
        """
        for group in self.groups:
            n_outputs = group.family.n_outputs
            for p in range(len(group.parts)):
                means = np.stack([index[p] for index in group.index[:n_outputs]])
                others = np.concatenate([index[p] for index in group.index[n_outputs:]])
                slopes, scales = means[:, :-1], others[:n_outputs]
                weight = np.append(self.precision[slopes[0]], np.repeat(1.0, n_outputs))
                # Squares of the prior of each output, as a row with this output alone.
                alone = np.diag(np.sqrt(self.squares[scales]))
                eta = np.hstack([theta[slopes], alone])
                predictors = [*eta, *theta[others][:, None]]
                yield JointNormal(n_outputs), slopes, predictors, weight, others, scales

    def penalty(self, theta: Array) -> Array:
        """Negative log density up to a constant, (...)."""
        of_groups = np.array([self._penalty(own) for own in np.atleast_2d(theta)])
        return self.rest.penalty(theta) + of_groups.reshape(theta.shape[:-1])

    def _penalty(self, theta: Array) -> float:
        total = 0.0
        for family, _, eta, weight, others, scales in self._rows(theta):
            logs = family.log_prob(np.zeros((len(scales), len(weight))), eta)
            at_zero = family.log_prob(np.zeros((len(scales), 1)), _at_zero(eta))
            log_root = float(at_zero[0]) + 0.5 * len(scales) * LOG_2PI
            total -= float(weight @ (logs - at_zero)) + self.strength[scales[0]] * log_root
        return total

    def derivatives(self, theta: Array) -> tuple[Array, Array]:
        """Gradient of the penalty, and the diagonal of its curvature, both (..., D)."""
        vectors = np.atleast_2d(theta)
        gradient = np.stack([self._gradient(own) for own in vectors]).reshape(theta.shape)
        gradient += self.rest.derivatives(theta)[0]
        return gradient, np.broadcast_to(self.absolute(theta), theta.shape)

    def _gradient(self, theta: Array) -> Array:
        gradient = np.zeros(len(theta))
        for family, slopes, eta, weight, others, scales in self._rows(theta):
            n_outputs, strength = len(scales), self.strength[scales[0]]
            y = np.zeros((n_outputs, len(weight)))
            first = np.stack(np.broadcast_arrays(*_scores(family, y, eta)))
            at_zero = np.stack(np.broadcast_arrays(*_scores(family, y[:, :1], _at_zero(eta))))
            n_slopes = slopes.shape[1]
            gradient[slopes] -= (first * weight)[:n_outputs, :n_slopes]
            of_others = ((first - at_zero) * weight).sum(axis=1) + strength * at_zero[:, 0]
            gradient[others] -= of_others[n_outputs:]
        return gradient

    def hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        hessian = self.rest.hessian(theta)
        for family, slopes, eta, weight, others, scales in self._rows(theta):
            n_outputs, strength = len(scales), self.strength[scales[0]]
            n_slopes = slopes.shape[1]
            y = np.zeros((n_outputs, len(weight)))
            second = family.second(y, eta)
            at_zero = family.second(y[:, :1], _at_zero(eta))
            for (t, u), values in second.items():
                own = np.broadcast_to(values, len(weight))
                if u < n_outputs or t < n_outputs:
                    rows = slopes[t]
                    columns = (
                        slopes[u] if u < n_outputs else np.full(n_slopes, others[u - n_outputs])
                    )
                    found = -(own * weight)[:n_slopes]
                    np.add.at(hessian, (rows, columns), found)
                    if t != u:
                        np.add.at(hessian, (columns, rows), found)
                    continue
                zero = float(np.ravel(at_zero.get((t, u), np.zeros(1)))[0])
                value = -((own - zero) @ weight + strength * zero)
                i, j = others[t - n_outputs], others[u - n_outputs]
                hessian[i, j] += value
                if i != j:
                    hessian[j, i] += value
        return hessian


def _at_zero(eta: Any) -> list[Array]:
    """Predictors with means of zero."""
    return [np.zeros(1) if len(own) > 1 else own for own in eta]


def _scores(family: Any, y: Array, eta: Any) -> Any:
    """First derivatives (T) of the log density."""
    terms = family.derivatives(y, eta)
    next(terms)
    return next(terms)
