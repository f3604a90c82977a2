"""Streams: steps to the maximum of decayed sums of expansions, one of each batch [1]_ [2]_.

The log-likelihood of a batch is replaced by that of the complete data, whose expected value is
expanded to second order at the coefficients. For constant probabilities of the experts the sums are
counts. Expansions are summed over batches, and the sums of earlier batches decay.

References
----------
.. [1] O. Cappé and E. Moulines (2009), "On-line expectation-maximization algorithm for latent data
   models", Journal of the Royal Statistical Society B 71, 593-613.
.. [2] J. Mairal (2013), "Stochastic majorization-minimization algorithms for large-scale
   optimization", Advances in Neural Information Processing Systems 26.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.em import MAX_DISPERSION_STEP, direction, inverted
from skmoe._mixture.mixture import MEAN, EStep, Mixture
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array

# Steps for each batch, which is expanded anew at the coefficients that each of them reaches.
N_STEPS_PER_BATCH = 3

# Part of the curvature of equal probabilities that is added to that of a gate in each batch. Where
# a gate is certain its own curvature vanishes, and new rows would move it at once.
INERTIA = 0.01

# Largest gradient of a log dispersion, besides that of the longest step: a sum would keep those of
# rows that are far from all experts.
MAX_DISPERSION_SCORE = 10.0


class Stream(NamedTuple):
    """What is kept of the batches so far."""

    theta: Array  # (D,)
    sums: EStep | None = None  # of all batches: their gradients are those at zero
    n_batches: int = 0
    # Coefficients and weight of a fit that the stream continues, while it has fewer rows.
    fit: tuple[Array, float] | None = None
    data: Any = None  # rows of the first batches, until there are enough
    weight_at_start: float = 0.0  # of these rows, when the stream has last started


def started(stream: Stream, mixture: Mixture, blocks: Any) -> Stream:
    """A stream at coefficients that are those of a fit to its first rows."""
    theta = stream.theta[None]
    total = at_zero(mixture, theta, mixture.e_step(theta, blocks, curvature=True))
    return stream._replace(sums=total, n_batches=stream.n_batches + 1)


def learned(stream: Stream, mixture: Mixture, blocks: Any, decay: float) -> Stream:
    """A stream after another batch; `decay` is what remains of the weight of earlier rows."""
    theta, kept, fit, total = stream.theta[None], stream.sums, stream.fit, None
    log_likelihood = None
    kept = None if kept is None else _scaled(kept, decay)
    for _ in range(N_STEPS_PER_BATCH):
        batch = mixture.e_step(theta, blocks, curvature=True)
        # The log density of rows is that before they are used.
        log_likelihood = batch.log_likelihood if log_likelihood is None else log_likelihood
        batch = batch._replace(log_likelihood=log_likelihood)
        batch = at_zero(mixture, theta, batch)
        total = batch if kept is None else add_fields(kept, batch)
        whole = total if fit is None else _with_fit(mixture, total, fit[0], decay * fit[1])
        whole = at(mixture, theta, whole)
        change = direction(mixture, theta, whole, inverted(mixture, theta, whole), quadratic=True)
        theta = mixture.bounded(theta + change)
    assert total is not None
    if fit is not None:
        fit = fit[0], decay * fit[1]
        if fit[1] <= total.weight:  # from here on the rows stand for those of the fit
            total, fit = _scaled(total, 1.0 + fit[1] / total.weight), None
    return stream._replace(theta=theta[0], sums=total, n_batches=stream.n_batches + 1, fit=fit)


def _with_fit(mixture: Mixture, total: EStep, theta: Array, weight: float) -> EStep:
    """Sums with those of the rows of a fit, which are not known.

    They have the curvature of the rows of the stream, and their maximum at the fit.
    """
    theta = theta[None]
    rows = _scaled(at(mixture, theta, total), weight / total.weight)
    rows = rows._replace(gradient=mixture.penalty_gradient(theta[0])[None])
    return add_fields(total, at_zero(mixture, theta, rows))


def _scaled(sums: Any, factor: float) -> Any:
    """Nested tuples of sums times a factor."""
    if not isinstance(sums, tuple):
        return factor * sums
    fields = [_scaled(values, factor) for values in sums]
    return type(sums)(*fields) if hasattr(sums, "_fields") else tuple(fields)


# --- expansions -------------------------------------------------------------------------------


def at_zero(mixture: Mixture, theta: Array, total: EStep) -> EStep:
    """Sums at coefficients (1, D) in the form that adds up over batches: gradients at zero.

    Of the means of an expert with a scale, gradient and curvature are those for a scale of one.
    """
    gradient, matrices = total.gradient.copy(), []
    for group, matrix in zip(mixture.groups, total.curvature, strict=True):
        matrix, means, others = matrix.copy(), group.means, slice(group.means.stop, None)
        if group in mixture.gate_groups:
            added = INERTIA * float(total.gate_counts[0][0, 0]) / mixture.n_experts
            matrix += added * np.eye(matrix.shape[-1])
        else:
            if group.family.has_scale:
                matrix[..., means, others] = matrix[..., others, means] = 0.0
            index = group.coordinates[:, None, others]
            information = np.diagonal(matrix, axis1=-2, axis2=-1)[..., others]
            limit = MAX_DISPERSION_STEP * information + MAX_DISPERSION_SCORE
            gradient[0, index] = gradient[0, index].clip(-limit, limit)
        matrices.append(matrix)
    total = total._replace(gradient=gradient, curvature=tuple(matrices))
    total = total._replace(gradient=gradient + _slopes(mixture, theta, total))
    return _rescaled(mixture, total, _units(mixture, theta))


def at(mixture: Mixture, theta: Array, total: EStep) -> EStep:
    """Sums at coefficients (1, D) from those in the form that adds up."""
    total = _rescaled(mixture, total, 1.0 / _units(mixture, theta))
    return total._replace(gradient=total.gradient - _slopes(mixture, theta, total))


def _slopes(mixture: Mixture, theta: Array, total: EStep) -> Array:
    """Curvatures times coefficients, (1, D); of a constant gate the counts that are expected."""
    slopes = np.zeros_like(theta)
    for group, matrix in zip(mixture.groups, total.curvature, strict=True):
        index = group.coordinates[:, None]
        values = theta[0, index]
        slope = (matrix @ values[..., None])[..., 0]
        if mixture.gate.is_constant and group in mixture.gate_groups:
            gate: Any = mixture.gate.family
            counts = total.gate_counts[0][0, 0] * gate.mean(list(values[0, 0, :, None, None]))
            slope = gate.contrasted(counts).reshape(slope.shape)
        slopes[0, index] = slope
    return slopes


def _units(mixture: Mixture, theta: Array) -> Array:
    """Scales (D,) of the noise about the means of experts; one for other coefficients."""
    units = np.ones(mixture.size)
    for group in mixture.experts.groups:
        n_means = group.roles.count(MEAN)
        for t in range(n_means if group.family.has_scale else 0):
            units[group.index[t]] = np.exp(theta[0, group.index[n_means + t][:, -1:]])
    return units


def _rescaled(mixture: Mixture, total: EStep, units: Array) -> EStep:
    """Gradients and curvatures times the units of the coefficients."""
    roots = [np.sqrt(units[group.coordinates])[:, None] for group in mixture.groups]
    pairs = zip(total.curvature, roots, strict=True)
    matrices = [matrix * root[..., None] * root[..., None, :] for matrix, root in pairs]
    return total._replace(gradient=total.gradient * units, curvature=tuple(matrices))
