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
from scipy import sparse

from skmoe._em import Look, Params, Parts, look_over
from skmoe._numerics import Array, Design, weighted_gram
from skmoe._rows import ROUND_OFF, Rows, Scale, in_blocks, standard_scale
from skmoe.experts import LinearExperts, LinearParams, LinearStatistics
from skmoe.gates import ConstantParams, ConstantStatistics

# Weight of a batch among n like it is n to the minus this: between 1/2 and 1, so that the noise of
# the batches averages out and the start is forgotten.
STEP_POWER = 0.6
# Weight of the newest parameters in the average that predicts, in their share of all rows.
NEWEST = 4.0
# Share of the bound in the curvature: where probabilities are near 0 or 1 the Hessian vanishes, and
# a step by it alone would know no limit.
BOUND_SHARE = 0.01


class Moments(NamedTuple):
    """Weight, mean and variance of the columns of all rows, old ones forgotten."""

    weight: float
    mean: Array
    variance: Array


class Stream(NamedTuple):
    """What is known of the rows so far."""

    parts: Parts
    params: Params  # newest
    average: Params  # that predict
    summary: tuple[Any, Any]  # of gate and experts, per unit of weight: (statistics, curvature)
    features: Moments
    outputs: Moments | None
    seen: float  # weight of all rows ever
    bound: float  # log-likelihood per row of the batches, each before it was learnt
    n_batches: int


def moments_of(X: Design, weight: Array) -> Moments:
    """Moments of the columns of a batch."""
    total = weight.sum()
    spread = standard_scale(X, weight).spread
    return Moments(
        float(total), (X.T @ weight) / total, np.where(np.isfinite(spread), spread, 0.0) ** 2
    )


def joined(old: Moments, new: Moments, keep: float) -> Moments:
    """Moments of old rows, of which a share is kept, and of new ones."""
    before = keep * old.weight
    total = before + new.weight
    share, change = new.weight / total, new.mean - old.mean
    mean = old.mean + share * change
    spread_of_means = share * (1.0 - share) * change**2
    variance = (1.0 - share) * old.variance + share * new.variance + spread_of_means
    return Moments(total, mean, variance)


def feature_scale(moments: Moments, X: Design) -> Scale:
    """Standardisation of features; sparse ones are scaled only."""
    spread = np.sqrt(moments.variance)
    constant = spread <= ROUND_OFF * np.abs(moments.mean)
    center = np.zeros_like(spread) if sparse.issparse(X) else moments.mean
    return Scale(center, np.where(constant, np.inf, spread))


def output_scale(moments: Moments) -> Scale:
    """Standardisation of outputs; constant ones are centred only."""
    spread = np.sqrt(moments.variance)
    constant = spread <= ROUND_OFF * np.abs(moments.mean)
    return Scale(moments.mean, np.where(constant, 1.0, spread))


# --- learning ---------------------------------------------------------------------------------


def begin(
    parts: Parts, params: Params, rows: Rows, features: Moments, outputs: Moments | None
) -> Stream:
    """A stream that has seen its first batch, to which the parameters were fitted."""
    look = look_over(parts, in_blocks(rows), params, curved=True)
    summary = _summarise(look, params, rows)
    bound = look.value / look.weight
    return Stream(parts, params, params, summary, features, outputs, look.weight, bound, 1)


def learn(stream: Stream, rows: Rows) -> Stream:
    """The stream after a batch, which its moments already know."""
    parts, params = stream.parts, stream.params
    look = look_over(parts, in_blocks(rows), params, curved=True)
    seen, known = stream.seen + look.weight, stream.features.weight
    share = look.weight / known
    gain = max(share, (look.weight / seen) ** STEP_POWER)
    summary = _mix(stream.summary, _summarise(look, params, rows), gain)
    params = _maximise(parts, summary, params, known)
    return stream._replace(
        params=params,
        average=_mix(stream.average, params, min(1.0, NEWEST * share)),
        summary=summary,
        seen=seen,
        bound=stream.bound + share * (look.value / look.weight - stream.bound),
        n_batches=stream.n_batches + 1,
    )


def _summarise(look: Look, params: Params, rows: Rows) -> tuple[Any, Any]:
    """What both parts are to remember of a batch, per unit of weight."""
    designs = rows.gate_design, rows.expert_design
    curvatures = look.curvatures
    return tuple(  # type: ignore[return-value]
        _scaled(_model(statistics, curvature, values, design, rows.weight), 1.0 / look.weight)
        for statistics, curvature, values, design in zip(
            look.statistics, curvatures, params, designs, strict=True
        )
    )


def _model(statistics: Any, curvature: Any, params: Any, design: Design, weight: Array) -> Any:
    """Sums that stand for the log-likelihood at any parameters: statistics, and a curvature."""
    if curvature is None:
        return statistics, None
    if isinstance(statistics, LinearStatistics):
        # At coefficients of zero, residuals are y itself.
        return _residual_sums(statistics, curvature, -params.coef), curvature
    curvature = curvature + BOUND_SHARE * _bound(curvature, design, weight)
    pull = statistics.gradient + _product(curvature, params.coef)
    return type(statistics)(pull), curvature


def _bound(curvature: Array, design: Design, weight: Array) -> Array:
    """The bound of Böhning and Lindsay on the negative Hessian, (..., C, C, d, d).

    Of several experts each is taken to have its equal share of the rows.
    """
    n_classes, n_experts = curvature.shape[-3], len(curvature) if curvature.ndim > 4 else 1
    gram = weighted_gram(design, weight / n_experts)
    coupling = 0.5 * (np.eye(n_classes) - 1.0 / n_classes)
    return coupling[:, :, None, None] * gram


def _maximise(parts: Parts, summary: tuple[Any, Any], params: Params, weight: float) -> Params:
    """The M-step, as if all rows had said what the summary says."""
    solved = []
    part: Any
    for part, model, values in zip((parts.gate, parts.experts), summary, params, strict=True):
        statistics, curvature = _scaled(model, weight)
        if isinstance(statistics, LinearStatistics):
            statistics = _residual_sums(statistics, curvature, values.coef)
        elif curvature is not None:
            gradient = statistics.gradient - _product(curvature, values.coef)
            statistics = type(statistics)(gradient)
        solved.append(part.solve(statistics, part.factor(curvature), values, 1.0))
    return Params(*solved)


def _residual_sums(statistics: LinearStatistics, gram: Array, change: Array) -> LinearStatistics:
    """Sums of the residuals after a change of the coefficients (K, m, d)."""
    gradient = statistics.gradient - change @ gram
    square = statistics.square - (change * (statistics.gradient + gradient)).sum(axis=-1)
    return LinearStatistics(statistics.weight, gradient, square)


def _product(curvature: Array, coef: Array) -> Array:
    return np.einsum("...abij,...bj->...ai", curvature, coef, optimize=True)


def _mix(old: Any, new: Any, share: float) -> Any:
    """Values `share` of the way from old to new, through all tuples."""
    if old is None:
        return None
    if isinstance(old, tuple):
        mixed = [_mix(a, b, share) for a, b in zip(old, new, strict=True)]
        return type(old)(*mixed) if hasattr(old, "_fields") else tuple(mixed)
    return old + share * (new - old)


def _scaled(model: Any, factor: float) -> Any:
    statistics, curvature = model
    scaled = type(statistics)(*(factor * values for values in statistics))
    return scaled, None if curvature is None else factor * curvature


# --- moving the scale -------------------------------------------------------------------------


class Move(NamedTuple):
    """How standardised values change with their scale: new = slope * old + shift."""

    slope: Array
    shift: Array


def move_between(old: Scale, new: Scale) -> Move:
    """From one standardisation to another; a constant column is zero under the old one."""
    varied = np.isfinite(old.spread)
    slope = np.where(varied, np.where(varied, old.spread, 0.0) / new.spread, 0.0)
    return Move(slope, (old.center - new.center) / new.spread)


def moved(
    stream: Stream,
    features: Move,
    columns: tuple[Array | None, Array | None],
    outputs: Move | None,
) -> Stream:
    """The stream in terms of another scale."""
    gate, experts = (_matrix(features, chosen) for chosen in columns)
    parts = stream.parts
    if outputs is not None and isinstance(parts.experts, LinearExperts):
        parts = parts._replace(experts=_moved_noise(parts.experts, outputs))
    return stream._replace(
        parts=parts,
        params=_moved_params(stream.params, gate, experts, outputs),
        average=_moved_params(stream.average, gate, experts, outputs),
        summary=(
            _moved_model(stream.summary[0], gate, None),
            _moved_model(stream.summary[1], experts, outputs),
        ),
    )


def _matrix(move: Move, columns: Array | None) -> Array:
    """The change of the rows of a design, (d, d)."""
    chosen = np.arange(len(move.slope)) if columns is None else columns
    matrix = np.diag(np.append(move.slope[chosen], 1.0))
    matrix[:-1, -1] = move.shift[chosen]
    return matrix


def _moved_noise(experts: LinearExperts, outputs: Move) -> LinearExperts:
    def rescaled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple((outputs.slope**2 * np.array(values)).tolist())

    return replace(
        experts,
        noise_variance=rescaled(experts.noise_variance),
        variance_floor=rescaled(experts.variance_floor),
    )


def _moved_params(params: Params, gate: Array, experts: Array, outputs: Move | None) -> Params:
    moved_gate, moved_experts = params
    if not isinstance(moved_gate, ConstantParams):
        moved_gate = type(moved_gate)(_moved_coef(moved_gate.coef, gate))
    coef = moved_experts.coef
    if outputs is None:
        return Params(moved_gate, type(moved_experts)(_moved_coef(coef, experts)))
    coef = outputs.slope[:, None] * coef
    coef[..., -1] += outputs.shift
    log_variance = moved_experts.log_variance + 2.0 * np.log(outputs.slope)
    return Params(moved_gate, LinearParams(_moved_coef(coef, experts), log_variance))


def _moved_coef(coef: Array, matrix: Array) -> Array:
    """Coefficients that say the same of moved rows."""
    slope, shift = np.diag(matrix)[:-1], matrix[:-1, -1]
    slopes = np.where(slope > 0.0, coef[..., :-1] / np.where(slope > 0.0, slope, 1.0), 0.0)
    return np.concatenate([slopes, coef[..., -1:] - (slopes @ shift)[..., None]], axis=-1)


def _moved_model(model: Any, matrix: Array, outputs: Move | None) -> Any:
    """Statistics and curvature of moved rows."""
    statistics, curvature = model
    if isinstance(statistics, ConstantStatistics):
        return model
    if isinstance(statistics, LinearStatistics) and outputs is not None:
        return _moved_squares(statistics, curvature, matrix, outputs)
    return (
        type(statistics)(statistics.gradient @ matrix.T),
        matrix @ curvature @ matrix.T,
    )


def _moved_squares(
    statistics: LinearStatistics, gram: Array, matrix: Array, outputs: Move
) -> tuple[LinearStatistics, Array]:
    weight, cross, square = statistics
    slope, shift = outputs.slope, outputs.shift
    square = slope**2 * square + 2.0 * slope * shift * cross[..., -1] + shift**2 * weight[:, None]
    cross = slope[:, None] * cross + shift[:, None] * gram[:, None, -1, :]
    return LinearStatistics(weight, cross @ matrix.T, square), matrix @ gram @ matrix.T
