"""Streams: steps to the maximum of decayed sums of expansions, one of each batch [1]_ [2]_.

The log-likelihood of a batch is replaced by that of the complete data, whose expected value is
expanded to second order at the coefficients. For the logs of scales, and for constant probabilities
of the experts, the sums are those of the statistics. Expansions are summed over batches, and the
sums of earlier batches decay.

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

from skmoe._mixture.data import CONSTANT, MEAN
from skmoe._mixture.em import MAX_DISPERSION_STEP, direction, inverted
from skmoe._mixture.groups import Group
from skmoe._mixture.joint_prior import Outputs
from skmoe._mixture.mixture import EStep, Mixture
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
        theta = _ahead(mixture, theta, whole)
    assert total is not None
    if fit is not None:
        fit = fit[0], decay * fit[1]
        if fit[1] <= total.weight:  # from here on the rows stand for those of the fit
            total, fit = _scaled(total, 1.0 + fit[1] / total.weight), None
    return stream._replace(theta=theta[0], sums=total, n_batches=stream.n_batches + 1, fit=fit)


def _ahead(mixture: Mixture, theta: Array, total: EStep) -> Array:
    """Coefficients (1, D) after a step to the maximum of the sums."""
    total = at(mixture, theta, total)
    change = direction(mixture, theta, total, inverted(mixture, theta, total))
    if mixture.is_tied:  # the steps of other scales are whole ones to their maximum
        scales = mixture.experts.scale_index[mixture.experts.scale_index >= 0]
        change[:, scales] = change[:, scales].clip(-MAX_DISPERSION_STEP, MAX_DISPERSION_STEP)
    return mixture.bounded(theta + change)


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
    """Sums at coefficients (1, D) in the form that adds up over batches.

    Gradients are those at zero. Of the means of an expert with a scale, gradient and curvature are
    those for a scale of one. Where it has no other dispersion, the gradient of the log of the scale
    is the sum of squares at zero.
    """
    if mixture.gate_group is not None:
        added = INERTIA * float(total.gate_counts[0]) / mixture.n_experts
        *others, matrix = total.curvature
        matrix = matrix + added * np.eye(matrix.shape[-1])
        total = total._replace(curvature=(*others, matrix))
    return _moved(mixture, theta, total, to_zero=True)


def at(mixture: Mixture, theta: Array, total: EStep) -> EStep:
    """Sums at coefficients (1, D) from those in the form that adds up."""
    return _moved(mixture, theta, total, to_zero=False)


def _moved(mixture: Mixture, theta: Array, total: EStep, *, to_zero: bool) -> EStep:
    gradient, matrices = np.zeros_like(total.gradient), []
    move, move_joint = (_at_zero, _joint_at_zero) if to_zero else (_at, _joint_at)
    for group, matrix in zip(mixture.groups, total.curvature, strict=True):
        index = group.coordinates[:, None]
        values, before = theta[0, index], total.gradient[0, index]
        if mixture.gate.is_constant and group is mixture.gate_group:
            # The gradient is that of counts, of which the expected ones are exact.
            gate: Any = mixture.gate.family
            proba = gate.mean(list(values[0, 0, :, None, None]))
            slope = gate.contrasted(total.gate_counts[0] * proba).reshape(before.shape)
            after = before + slope if to_zero else before - slope
        elif group.family.couples_outputs:
            joint, rows = mixture.prior.joint, total.counts[group.parts]
            after, matrix = move_joint(joint, theta, before, matrix, rows)
        else:
            after, matrix = move(group, values, before, matrix)
        gradient[0, index] = after
        matrices.append(matrix)
    return total._replace(gradient=gradient, curvature=tuple(matrices))


def _at_zero(group: Group, theta: Array, gradient: Array, matrix: Array) -> Any:
    """Gradient (P, 1, q) and curvature of a group in the form that adds up."""
    means, others = group.means, slice(group.means.stop, None)
    if group.family.has_scale:
        matrix = matrix.copy()
        matrix[..., means, others] = matrix[..., others, means] = 0.0
    information = np.diagonal(matrix, axis1=-2, axis2=-1)[..., others]
    own = _own_scale(group)
    if own is None:
        limit = MAX_DISPERSION_STEP * information + MAX_DISPERSION_SCORE
        length = (np.abs(gradient[..., others]) / limit).max(axis=-1, initial=1.0, keepdims=True)
        gradient = gradient.copy()
        gradient[..., others] /= length
    total = gradient + (matrix @ theta[..., None])[..., 0]
    if not group.family.has_scale:
        return total, matrix
    scale = _scale_of(group, theta)
    if own is not None:
        moments = (theta[..., means] * (gradient + total)[..., means]).sum(axis=-1)
        total[..., own] = scale[..., 0] * (
            2.0 * (gradient[..., own] + information[..., 0]) + moments
        )
    total[..., means] *= scale
    matrix[..., means, means] *= scale[..., None]
    return total, matrix


def _at(group: Group, theta: Array, total: Array, matrix: Array) -> Any:
    """Gradient (P, 1, q) and curvature of a group at coefficients."""
    means, own, scale = group.means, _own_scale(group), _scale_of(group, theta)
    total, matrix = total.copy(), matrix.copy()
    total[..., means] /= scale
    matrix[..., means, means] /= scale[..., None]
    gradient = total - (matrix @ theta[..., None])[..., 0]
    if own is not None:
        moments = (theta[..., means] * (gradient + total)[..., means]).sum(axis=-1)
        squares = total[..., own] / scale[..., 0]
        gradient[..., own] = 0.5 * (squares - moments) - matrix[..., own, own]
    return gradient, matrix


def _joint_at_zero(
    joint: Outputs, theta: Array, gradient: Array, matrix: Array, rows: Array
) -> Any:
    """Sums of joint outputs in the form that adds up: all that their step needs.

    In the place of the gradient are products of outputs and features, and of outputs; in that of
    the curvature are those of features. `rows` (P, 1) are weights.
    """
    covariance, coef = joint.covariance(theta)[0], theta[0, joint.means]
    n_means, n_columns = joint.means[0].size, coef.shape[-1]
    by_mean = gradient[:, 0, :n_means].reshape(coef.shape)
    by_covariance = joint.by_covariance(theta, np.moveaxis(gradient[..., n_means:], 0, 1))[0]
    gram = matrix[:, 0, :n_columns, :n_columns] / joint.precision(theta)[0][:, :1, :1]
    with_features = covariance @ by_mean
    products = rows[..., None] * covariance + 2.0 * covariance @ by_covariance @ covariance
    products += _symmetric(coef, with_features + 0.5 * coef @ gram)
    total, sums = np.zeros_like(gradient), np.zeros_like(matrix)
    total[:, 0, :n_means] = (with_features + coef @ gram).reshape(len(coef), -1)
    total[:, 0, n_means:] = _entries(products)
    sums[:, 0, :n_columns, :n_columns] = gram
    return total, sums


def _joint_at(joint: Outputs, theta: Array, total: Array, sums: Array, rows: Array) -> Any:
    """Gradient (P, 1, q) and curvature of joint outputs at coefficients."""
    covariance, precision = joint.covariance(theta)[0], joint.precision(theta)[0]
    coef, n_means = theta[0, joint.means], joint.means[0].size
    n_outputs, n_columns = coef.shape[1:]
    gram = sums[:, 0, :n_columns, :n_columns]
    with_features = total[:, 0, :n_means].reshape(coef.shape) - coef @ gram
    products, (first, second) = np.zeros_like(covariance), np.triu_indices(n_outputs, 1)
    index, entries = np.arange(n_outputs), total[:, 0, n_means:]
    products[:, index, index] = entries[:, :n_outputs]
    products[:, first, second] = products[:, second, first] = entries[:, n_outputs:]
    products -= _symmetric(coef, with_features + 0.5 * coef @ gram)
    by_covariance = 0.5 * (precision @ products @ precision - rows[..., None] * precision)
    gradient, matrix = np.zeros_like(total), np.zeros_like(sums)
    gradient[:, 0, :n_means] = (precision @ with_features).reshape(len(coef), -1)
    gradient[:, 0, n_means:] = joint.by_coordinates(theta, by_covariance[None])[0]
    of_means = precision[:, :, None, :, None] * gram[:, None, :, None]
    matrix[:, 0, :n_means, :n_means] = of_means.reshape(len(coef), n_means, n_means)
    others = np.arange(n_means, total.shape[-1])
    matrix[:, 0, others, others] = 0.5 * rows
    return gradient, matrix


def _symmetric(left: Array, right: Array) -> Array:
    """Products (P, m, m) of two matrices (P, m, d), and their transposes."""
    product = left @ np.swapaxes(right, -1, -2)
    return np.asarray(product + np.swapaxes(product, -1, -2))


def _entries(matrices: Array) -> Array:
    """Entries (P, m (m + 1) / 2) of symmetric matrices, those of the diagonal first."""
    first, second = np.triu_indices(matrices.shape[-1], 1)
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.concatenate([diagonal, matrices[..., first, second]], axis=-1)


def _own_scale(group: Group) -> int | None:
    """Coordinate of the log scale in a group, if it is the only dispersion."""
    is_only = group.family.has_scale and group.roles[-1] == CONSTANT
    return group.means.stop if is_only and group.roles.count(CONSTANT) == 1 else None


def _scale_of(group: Group, theta: Array) -> Array:
    """Scales (P, 1, 1) of the experts of a group; one where there is none."""
    if not group.family.has_scale:
        return np.ones((*theta.shape[:2], 1))
    own = group.slices[group.roles.count(MEAN)].stop - 1
    return np.exp(theta[..., own : own + 1])
