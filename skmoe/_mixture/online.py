"""Online EM: M-steps from exponentially averaged sufficient statistics [1]_.

The sufficient statistics of the batches are averaged with decaying weights, and the M-step uses the
average. For gates and experts without a closed-form M-step a quadratic surrogate replaces the
log-likelihood of a batch. Its Hessian is at least a fraction of Böhning and Lindsay's bound [2]_.
Surrogates are additive, as statistics are [3]_. Predictions use an average of the parameters over
the batches, in which early batches are forgotten [4]_.

Features and target are standardised by their running moments. When the moments change, statistics
and parameters are rescaled exactly.

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

from typing import Any, NamedTuple

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.scaling import AffineMap, Moments, Standardization
from skmoe._mixture.model import MixtureModel, Params
from skmoe._mixture.steps import EStepStatistics, e_step
from skmoe._numerics.typing import Array

# The step size is the fraction of all rows that are in the batch, raised to this power. Values
# between 1/2 and 1 make the noise of the batches average out and the initial parameters be
# forgotten.
STEP_POWER = 0.6

# Weight of the newest parameters in the average for predictions, relative to the fraction of all
# rows that are in the batch.
AVERAGING_FACTOR = 4.0


class OnlineState(NamedTuple):
    """State of online EM after some batches."""

    model: MixtureModel
    params: Params  # of the last M-step
    averaged_params: Params  # for predictions
    # For gate and experts: statistics and Hessian of the surrogate, per unit of weight; None before
    # the first batch.
    averaged_statistics: tuple[Any, Any] | None
    features: Moments
    outputs: Moments | None
    total_weight: float  # of all rows of all batches
    lower_bound: float  # mean log-likelihood per row, of each batch before its M-step
    n_batches: int
    fit_weight: float = 0.0  # of the rows of a fit that the stream continues


# --- updates ----------------------------------------------------------------------------------


def init_online_state(
    model: MixtureModel, params: Params, rows: Dataset, features: Moments, outputs: Moments | None
) -> OnlineState:
    """State after the first batch, with the parameters of a fit to it."""
    result = e_step(model, split_into_blocks(rows), params, with_hessian=True)
    return OnlineState(
        model,
        params,
        params,
        _batch_statistics(model, result, params, rows),
        features,
        outputs,
        result.weight,
        result.log_likelihood / result.weight,
        1,
    )


def update(state: OnlineState, rows: Dataset) -> OnlineState:
    """State after another batch, whose rows are already part of the moments.

    The rows of a fit before the stream are not in the statistics. Its parameters have the weight of
    its rows in the averaged parameters, which are also those of the E-step.
    """
    model, params = state.model, state.averaged_params if state.fit_weight else state.params
    result = e_step(model, split_into_blocks(rows), params, with_hessian=True)
    total_weight = state.total_weight + result.weight
    current_weight = state.features.weight - state.fit_weight  # of the rows of the stream
    fraction = result.weight / current_weight
    step_size = max(fraction, (result.weight / total_weight) ** STEP_POWER)
    averaged_statistics = batch = _batch_statistics(model, result, params, rows)
    if state.averaged_statistics is not None:
        averaged_statistics = _interpolate(state.averaged_statistics, batch, step_size)
    params = _m_step(model, averaged_statistics, params, current_weight)
    averaging_weight = min(1.0, AVERAGING_FACTOR * fraction)
    if state.fit_weight:
        averaging_weight = result.weight / state.features.weight
    log_likelihood = result.log_likelihood / result.weight
    return state._replace(
        params=params,
        averaged_params=_interpolate(state.averaged_params, params, averaging_weight),
        averaged_statistics=averaged_statistics,
        total_weight=total_weight,
        lower_bound=state.lower_bound + fraction * (log_likelihood - state.lower_bound),
        n_batches=state.n_batches + 1,
        # The fit no longer counts when the stream has as many rows.
        fit_weight=state.fit_weight if state.fit_weight > current_weight else 0.0,
    )


def _batch_statistics(
    model: MixtureModel, result: EStepStatistics, params: Params, rows: Dataset
) -> tuple[Any, Any]:
    """Statistics and Hessians of the surrogates of gate and experts, per unit of weight."""
    (of_gate, of_experts), (gate_hessian, hessian) = result.statistics, result.hessians
    gate_rows, expert_rows = (rows.gate_design, rows.gate_weight), (rows.expert_design, rows.weight)
    experts: Any = model.experts
    gate_surrogate = model.gate.surrogate(of_gate, gate_hessian, params.gate, *gate_rows)
    surrogate = experts.surrogate(of_experts, hessian, params.experts, *expert_rows)
    factor = 1.0 / result.weight
    return _scaled(gate_surrogate, factor), _scaled(surrogate, factor)


def _m_step(
    model: MixtureModel, averaged_statistics: tuple[Any, Any], params: Params, weight: float
) -> Params:
    """M-step from averaged statistics, multiplied by the total weight of the rows."""
    new = []
    part: Any
    for part, averaged, values in zip(
        (model.gate, model.experts), averaged_statistics, params, strict=True
    ):
        statistics, hessian = _scaled(averaged, weight)
        statistics = part.surrogate_statistics(statistics, hessian, values)
        new.append(part.m_step(statistics, part.factorize(hessian), values, 1.0))
    return Params(*new)


def _interpolate(old: Any, new: Any, fraction: float) -> Any:
    """Linear interpolation old + fraction * (new - old) of nested tuples; None stays None."""
    if old is None:
        return None
    if isinstance(old, tuple):
        fields = [_interpolate(a, b, fraction) for a, b in zip(old, new, strict=True)]
        return type(old)(*fields) if hasattr(old, "_fields") else tuple(fields)
    return old + fraction * (new - old)


def _scaled(surrogate: tuple[Any, Any], factor: float) -> tuple[Any, Any]:
    """Statistics and Hessian of a surrogate times a factor."""
    statistics, hessian = surrogate
    scaled = type(statistics)(*(factor * values for values in statistics))
    return scaled, None if hessian is None else factor * hessian


# --- changes of the standardisation -----------------------------------------------------------


def rescaling(old: Standardization, new: Standardization) -> AffineMap:
    """Map from values standardised by `old` to values standardised by `new`.

    Columns that are constant under `old` have been standardised to zero, so that their slope is 0.
    """
    varies = np.isfinite(old.scale)
    slope = np.where(varies, old.scale, 0.0) / new.scale
    return AffineMap(slope, (old.center - new.center) / new.scale)


def rescale(
    state: OnlineState,
    features: AffineMap,
    columns: tuple[Array | None, Array | None],
    outputs: AffineMap | None,
) -> OnlineState:
    """State for another standardisation of features and outputs.

    `columns` are the features of gate and experts.
    """
    gate: Any = state.model.gate
    experts: Any = state.model.experts
    x_maps = Params(*(_design_map(features, index) for index in columns))
    model = state.model
    if outputs is not None:
        model = model._replace(experts=experts.rescale(outputs))
    parts = Params(gate, experts)

    def rescale_params(params: Params) -> Params:
        triples = zip(parts, params, x_maps, strict=True)
        return Params(*(part.rescale_params(own, x_map, outputs) for part, own, x_map in triples))

    surrogates = None
    if state.averaged_statistics is not None:
        triples = zip(parts, state.averaged_statistics, x_maps, strict=True)
        gate, experts = (
            part.rescale_surrogate(*own, x_map, outputs) for part, own, x_map in triples
        )
        surrogates = gate, experts
    return state._replace(
        model=model,
        params=rescale_params(state.params),
        averaged_params=rescale_params(state.averaged_params),
        averaged_statistics=surrogates,
    )


def _design_map(affine_map: AffineMap, columns: Array | None) -> Array:
    """Matrix (d, d) that maps rows of the old design matrix to those of the new one."""
    index = np.arange(len(affine_map.slope)) if columns is None else columns
    matrix = np.diag(np.append(affine_map.slope[index], 1.0))
    matrix[:-1, -1] = affine_map.shift[index]
    return matrix
