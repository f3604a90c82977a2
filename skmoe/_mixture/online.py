"""Online EM: decayed averages of statistics, and the parameters that they stand for [1]_.

What a batch says is averaged with what the batches before it said, and the M-step sees the average.
Parts without a closed form get a model of their log-likelihood instead of its gradient: the
quadratic with the batch's gradient and with a curvature that is never much below the bound of
Böhning and Lindsay [2]_. Such models add up, as statistics do [3]_. The parameters that predict are
an average over the way, which forgets how it began [4]_.

Features and target are standardised by their running moments. When these move, statistics and
parameters move along, without loss: both are sums over affine functions of the rows.

References
----------
.. [1] O. Cappé and E. Moulines (2009), "On-line expectation-maximization algorithm for latent data
   models", Journal of the Royal Statistical Society B 71, 593-613.
.. [2] D. Böhning and B. G. Lindsay (1988), "Monotonicity of quadratic-approximation algorithms",
   Annals of the Institute of Statistical Mathematics 40, 641-663.
.. [3] J. Mairal (2013), "Stochastic majorization-minimization algorithms for large-scale
   optimization", Advances in Neural Information Processing Systems 26.
.. [4] O. Shamir and T. Zhang (2013), "Stochastic gradient descent for non-smooth optimization:
   convergence results and optimal averaging schemes", Proceedings of ICML, 71-79.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.moments import Moments
from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import Standardization
from skmoe._mixture.e_step import EStepStatistics, e_step
from skmoe._mixture.model import MixtureModel, Params
from skmoe._numerics.linalg import weighted_gram
from skmoe._numerics.typing import Array, Design
from skmoe.experts._linear import LinearExperts, LinearParams, LinearStatistics
from skmoe.gates._constant import ConstantParams, ConstantStatistics

# Weight of a batch among n like it is n to the minus this: between 1/2 and 1, so that the noise of
# the batches averages out and the start is forgotten.
STEP_POWER = 0.6

# Weight of the newest parameters in the average that predicts, in their share of all rows.
AVERAGING_FACTOR = 4.0

# Share of the bound in the curvature: where probabilities are near 0 or 1 the Hessian vanishes, and
# a step by it alone would know no limit.
BOUND_SHARE = 0.01


class OnlineState(NamedTuple):
    """What is known of the rows so far."""

    parts: MixtureModel
    params: Params  # newest
    averaged_params: Params  # that predict
    averaged_statistics: tuple[
        Any, Any
    ]  # of gate and experts, per unit of weight: (statistics, curvature)
    features: Moments
    outputs: Moments | None
    total_weight: float  # weight of all rows ever
    lower_bound: float  # log-likelihood per row of the batches, each before it was learnt
    n_batches: int


# --- learning ---------------------------------------------------------------------------------


def init_online_state(
    parts: MixtureModel, params: Params, rows: Dataset, features: Moments, outputs: Moments | None
) -> OnlineState:
    """A stream that has seen its first batch, to which the parameters were fitted."""
    look = e_step(parts, split_into_blocks(rows), params, with_hessian=True)
    averaged_statistics = _batch_statistics(look, params, rows)
    bound = look.log_likelihood / look.weight
    return OnlineState(
        parts, params, params, averaged_statistics, features, outputs, look.weight, bound, 1
    )


def update(stream: OnlineState, rows: Dataset) -> OnlineState:
    """The stream after a batch, which its moments already know."""
    parts, params = stream.parts, stream.params
    look = e_step(parts, split_into_blocks(rows), params, with_hessian=True)
    seen, known = stream.total_weight + look.weight, stream.features.weight
    share = look.weight / known
    step_size = max(share, (look.weight / seen) ** STEP_POWER)
    averaged_statistics = _interpolate(
        stream.averaged_statistics, _batch_statistics(look, params, rows), step_size
    )
    params = _m_step(parts, averaged_statistics, params, known)
    return stream._replace(
        params=params,
        averaged_params=_interpolate(
            stream.averaged_params, params, min(1.0, AVERAGING_FACTOR * share)
        ),
        averaged_statistics=averaged_statistics,
        total_weight=seen,
        lower_bound=stream.lower_bound
        + share * (look.log_likelihood / look.weight - stream.lower_bound),
        n_batches=stream.n_batches + 1,
    )


def _batch_statistics(look: EStepStatistics, params: Params, rows: Dataset) -> tuple[Any, Any]:
    """What both parts are to remember of a batch, per unit of weight."""
    designs = rows.gate_design, rows.expert_design
    curvatures = look.hessians
    return tuple(  # type: ignore[return-value]
        _scaled(_surrogate(statistics, curvature, values, design, rows.weight), 1.0 / look.weight)
        for statistics, curvature, values, design in zip(
            look.statistics, curvatures, params, designs, strict=True
        )
    )


def _surrogate(statistics: Any, curvature: Any, params: Any, design: Design, weight: Array) -> Any:
    """Sums that stand for the log-likelihood at any parameters: statistics, and a curvature."""
    if curvature is None:
        return statistics, None
    if isinstance(statistics, LinearStatistics):
        # At coefficients of zero, residuals are y itself.
        return _residual_sums(statistics, curvature, -params.coef), curvature
    curvature = curvature + BOUND_SHARE * _bohning_lindsay_bound(curvature, design, weight)
    linear_term = statistics.gradient + _product(curvature, params.coef)
    return type(statistics)(linear_term), curvature


def _bohning_lindsay_bound(curvature: Array, design: Design, weight: Array) -> Array:
    """The bound of Böhning and Lindsay on the negative Hessian, (..., C, C, d, d).

    Of several experts each is taken to have its equal share of the rows.
    """
    n_classes, n_experts = curvature.shape[-3], len(curvature) if curvature.ndim > 4 else 1
    gram = weighted_gram(design, weight / n_experts)
    coupling = 0.5 * (np.eye(n_classes) - 1.0 / n_classes)
    return coupling[:, :, None, None] * gram


def _m_step(
    parts: MixtureModel, averaged_statistics: tuple[Any, Any], params: Params, weight: float
) -> Params:
    """The M-step, as if all rows had said what the summary says."""
    solved = []
    part: Any
    for part, model, values in zip(
        (parts.gate, parts.experts), averaged_statistics, params, strict=True
    ):
        statistics, curvature = _scaled(model, weight)
        if isinstance(statistics, LinearStatistics):
            statistics = _residual_sums(statistics, curvature, values.coef)
        elif curvature is not None:
            gradient = statistics.gradient - _product(curvature, values.coef)
            statistics = type(statistics)(gradient)
        solved.append(part.m_step(statistics, part.factorize(curvature), values, 1.0))
    return Params(*solved)


def _residual_sums(statistics: LinearStatistics, gram: Array, change: Array) -> LinearStatistics:
    """Sums of the residuals after a change of the coefficients (K, m, d)."""
    gradient = statistics.gradient - change @ gram
    square = statistics.residual_ss - (change * (statistics.gradient + gradient)).sum(axis=-1)
    return LinearStatistics(statistics.weight, gradient, square)


def _product(curvature: Array, coef: Array) -> Array:
    return np.einsum("...abij,...bj->...ai", curvature, coef, optimize=True)


def _interpolate(old: Any, new: Any, share: float) -> Any:
    """Values `share` of the way from old to new, through all tuples."""
    if old is None:
        return None
    if isinstance(old, tuple):
        mixed = [_interpolate(a, b, share) for a, b in zip(old, new, strict=True)]
        return type(old)(*mixed) if hasattr(old, "_fields") else tuple(mixed)
    return old + share * (new - old)


def _scaled(model: Any, factor: float) -> Any:
    statistics, curvature = model
    scaled = type(statistics)(*(factor * values for values in statistics))
    return scaled, None if curvature is None else factor * curvature


# --- moving the scale -------------------------------------------------------------------------


class AffineMap(NamedTuple):
    """How standardised values change with their scale: new = slope * old + shift."""

    slope: Array
    shift: Array


def rescaling(old: Standardization, new: Standardization) -> AffineMap:
    """From one standardisation to another; a constant column is zero under the old one."""
    varied = np.isfinite(old.scale)
    slope = np.where(varied, np.where(varied, old.scale, 0.0) / new.scale, 0.0)
    return AffineMap(slope, (old.center - new.center) / new.scale)


def rescale(
    stream: OnlineState,
    features: AffineMap,
    columns: tuple[Array | None, Array | None],
    outputs: AffineMap | None,
) -> OnlineState:
    """The stream in terms of another scale."""
    gate, experts = (_matrix(features, chosen) for chosen in columns)
    parts = stream.parts
    if outputs is not None and isinstance(parts.experts, LinearExperts):
        parts = parts._replace(experts=_rescale_noise(parts.experts, outputs))
    return stream._replace(
        parts=parts,
        params=_rescale_params(stream.params, gate, experts, outputs),
        averaged_params=_rescale_params(stream.averaged_params, gate, experts, outputs),
        averaged_statistics=(
            _rescale_surrogate(stream.averaged_statistics[0], gate, None),
            _rescale_surrogate(stream.averaged_statistics[1], experts, outputs),
        ),
    )


def _matrix(affine_map: AffineMap, columns: Array | None) -> Array:
    """The change of the rows of a design, (d, d)."""
    chosen = np.arange(len(affine_map.slope)) if columns is None else columns
    matrix = np.diag(np.append(affine_map.slope[chosen], 1.0))
    matrix[:-1, -1] = affine_map.shift[chosen]
    return matrix


def _rescale_noise(experts: LinearExperts, outputs: AffineMap) -> LinearExperts:
    def rescaled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple((outputs.slope**2 * np.array(values)).tolist())

    return replace(
        experts,
        noise_variance=rescaled(experts.noise_variance),
        variance_floor=rescaled(experts.variance_floor),
    )


def _rescale_params(
    params: Params, gate: Array, experts: Array, outputs: AffineMap | None
) -> Params:
    gate_params, expert_params = params
    if not isinstance(gate_params, ConstantParams):
        gate_params = type(gate_params)(_rescale_coef(gate_params.coef, gate))
    coef = expert_params.coef
    if outputs is None:
        return Params(gate_params, type(expert_params)(_rescale_coef(coef, experts)))
    coef = outputs.slope[:, None] * coef
    coef[..., -1] += outputs.shift
    log_variance = expert_params.log_variance + 2.0 * np.log(outputs.slope)
    return Params(gate_params, LinearParams(_rescale_coef(coef, experts), log_variance))


def _rescale_coef(coef: Array, matrix: Array) -> Array:
    """Coefficients that say the same of moved rows."""
    slope, shift = np.diag(matrix)[:-1], matrix[:-1, -1]
    slopes = np.where(slope > 0.0, coef[..., :-1] / np.where(slope > 0.0, slope, 1.0), 0.0)
    return np.concatenate([slopes, coef[..., -1:] - (slopes @ shift)[..., None]], axis=-1)


def _rescale_surrogate(model: Any, matrix: Array, outputs: AffineMap | None) -> Any:
    """Statistics and curvature of moved rows."""
    statistics, curvature = model
    if isinstance(statistics, ConstantStatistics):
        return model
    if isinstance(statistics, LinearStatistics) and outputs is not None:
        return _rescale_squares(statistics, curvature, matrix, outputs)
    return (
        type(statistics)(statistics.gradient @ matrix.T),
        matrix @ curvature @ matrix.T,
    )


def _rescale_squares(
    statistics: LinearStatistics, gram: Array, matrix: Array, outputs: AffineMap
) -> tuple[LinearStatistics, Array]:
    weight, cross, square = statistics
    slope, shift = outputs.slope, outputs.shift
    square = slope**2 * square + 2.0 * slope * shift * cross[..., -1] + shift**2 * weight[:, None]
    cross = slope[:, None] * cross + shift[:, None] * gram[:, None, -1, :]
    return LinearStatistics(weight, cross @ matrix.T, square), matrix @ gram @ matrix.T
