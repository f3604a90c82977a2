"""Gates: how an expert is chosen from the features of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics import SMALLEST, Array, Design, linear, log_softmax, slope_ridge
from skmoe._softmax import (
    contrast_coordinates,
    contrasts,
    softmax_ascent,
    softmax_curvature,
    softmax_factor,
    softmax_gradient,
    softmax_information,
    softmax_scores,
)


class SoftmaxParams(NamedTuple):
    """Coefficients (K, d) of the gate's logits, summing to zero over the experts."""

    coef: Array


class SoftmaxStatistics(NamedTuple):
    """Gradient (K, d) of the expected log-likelihood."""

    gradient: Array


@dataclass(frozen=True)
class SoftmaxGate:
    """Multinomial logit of the expert on the features.

    Fitted by one Newton step per iteration of EM, as a multinomial logit whose targets are the
    responsibilities [1]_, with the full Hessian: treating the classes as independent does not
    converge [2]_. When the Hessian is too large to be formed, the step is found by conjugate
    gradients.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features: `alpha / 2` times the sum of their
        squares is subtracted from the log-likelihood. Intercepts are free.
    transformer : transformer or None, default=None
        What makes the columns that the gate sees of the features (`gate_features`): splines for
        borders that are not straight, say. Fitted with the mixture; `gate_feature_names_` names
        what it made.

    References
    ----------
    .. [1] M. I. Jordan and R. A. Jacobs (1994), "Hierarchical mixtures of experts and the EM
       algorithm", Neural Computation 6, 181-214.
    .. [2] K. Chen, L. Xu and H. Chi (1999), "Improved learning algorithms for mixture of experts
       in multiclass classification", Neural Networks 12, 1229-1252.

    Examples
    --------
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.gates import SoftmaxGate
    >>> MixtureOfExpertsRegressor(gate=SoftmaxGate(alpha=10.0)).gate
    SoftmaxGate(alpha=10.0, transformer=None)
    """

    alpha: float = 1.0
    transformer: Any = None

    def initial(self, n_experts: int, n_columns: int) -> SoftmaxParams:
        """Parameters that give every expert the same probability."""
        return SoftmaxParams(np.zeros((n_experts, n_columns)))

    def log_prob(self, params: SoftmaxParams, design: Design) -> Array:
        """Log probability of each expert, (K, n)."""
        return log_softmax(linear(params.coef, design))

    def statistics(
        self, params: SoftmaxParams, design: Design, resp: Array, log_prob: Array
    ) -> SoftmaxStatistics:
        """Gradient of the expected log-likelihood."""
        return SoftmaxStatistics(softmax_gradient(design, resp, np.exp(log_prob)))

    def curvature(self, params: SoftmaxParams, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood."""
        return softmax_curvature(design, resp.sum(axis=0), np.exp(log_prob))

    def factor(self, curvature: Any) -> Any:
        """The penalised curvature, ready for solving."""
        ridge = slope_ridge(self.alpha, curvature.shape[-1])
        return softmax_factor(curvature, contrasts(curvature.shape[0]), ridge)

    def solve(
        self, statistics: SoftmaxStatistics, factor: Any, params: SoftmaxParams, step: float
    ) -> SoftmaxParams:
        """One Newton step."""
        n_experts, n_columns = params.coef.shape
        basis, ridge = contrasts(n_experts), slope_ridge(self.alpha, n_columns)
        ascent = softmax_ascent(factor, statistics.gradient, params.coef, basis, ridge)
        return SoftmaxParams(params.coef + step * ascent)

    def constrain(self, params: SoftmaxParams) -> SoftmaxParams:
        """Every coefficient is allowed."""
        return params

    def penalty(self, params: SoftmaxParams) -> float:
        """Half of `alpha` times the squared slopes."""
        coordinates = contrast_coordinates(params.coef, contrasts(len(params.coef)))
        return 0.5 * self.alpha * float(np.square(coordinates[:, :-1]).sum())

    def scores(self, params: SoftmaxParams, k: int, design: Array, log_prob: Array) -> Array:
        """Gradients of the log probability of one expert, row by row, (P, n)."""
        return _log_prob_scores(k, design, log_prob)

    def information(
        self, params: SoftmaxParams, design: Array, weight: Array, log_prob: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (P, P)."""
        return softmax_information(design, weight, np.exp(log_prob), contrasts(len(log_prob)))

    def prior_information(self, params: SoftmaxParams, n_columns: int) -> Array:
        """Hessian of the penalty, (P, P)."""
        return np.diag(np.tile(slope_ridge(self.alpha, n_columns), len(params.coef) - 1))

    def coefficient_map(self, params: SoftmaxParams) -> Array:
        """Contrasts to symmetric coefficients."""
        return contrasts(len(params.coef))

    def n_parameters(self, params: SoftmaxParams) -> int:
        """One coefficient vector fewer than experts."""
        return (len(params.coef) - 1) * params.coef.shape[1]


class ConstantParams(NamedTuple):
    """Log probability of each expert, (K,)."""

    log_weight: Array


class ConstantStatistics(NamedTuple):
    """Weight of the rows of each expert, (K,)."""

    weight: Array


@dataclass(frozen=True)
class ConstantGate:
    """Every row chooses with the same probabilities: a mixture of regressions [1]_.

    References
    ----------
    .. [1] R. E. Quandt and J. B. Ramsey (1978), "Estimating mixtures of normal distributions and
       switching regressions", Journal of the American Statistical Association 73, 730-738.

    Examples
    --------
    >>> from skmoe.gates import ConstantGate
    >>> ConstantGate().initial(n_experts=2, n_columns=3).log_weight
    array([-0.693..., -0.693...])
    """

    def initial(self, n_experts: int, n_columns: int) -> ConstantParams:
        """Equal probabilities."""
        return ConstantParams(np.full(n_experts, -np.log(n_experts)))

    def log_prob(self, params: ConstantParams, design: Design) -> Array:
        """Log probability of each expert, (K, n)."""
        return np.repeat(log_softmax(params.log_weight)[:, None], design.shape[0], axis=1)

    def statistics(
        self, params: ConstantParams, design: Design, resp: Array, log_prob: Array
    ) -> ConstantStatistics:
        """Weight of the rows of each expert."""
        return ConstantStatistics(resp.sum(axis=1))

    def curvature(
        self, params: ConstantParams, design: Design, resp: Array, log_prob: Array
    ) -> None:
        """Not needed: the maximum is in closed form."""

    def factor(self, curvature: None) -> None:
        """Not needed."""

    def solve(
        self, statistics: ConstantStatistics, factor: None, params: ConstantParams, step: float
    ) -> ConstantParams:
        """Shares of the experts."""
        share = statistics.weight / statistics.weight.sum()
        return ConstantParams(np.log(np.maximum(share, SMALLEST)))

    def constrain(self, params: ConstantParams) -> ConstantParams:
        """Normalise, which extrapolation does not."""
        return ConstantParams(log_softmax(params.log_weight))

    def penalty(self, params: ConstantParams) -> float:
        """None."""
        return 0.0

    def scores(self, params: ConstantParams, k: int, design: Array, log_prob: Array) -> Array:
        """Gradients of the log probability of one expert, row by row, (K - 1, n)."""
        return _log_prob_scores(k, design[:, -1:], log_prob)

    def information(
        self, params: ConstantParams, design: Array, weight: Array, log_prob: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (K - 1, K - 1)."""
        basis = contrasts(len(log_prob))
        return softmax_information(design[:, -1:], weight, np.exp(log_prob), basis)

    def prior_information(self, params: ConstantParams, n_columns: int) -> Array:
        """No penalty."""
        n_contrasts = len(params.log_weight) - 1
        return np.zeros((n_contrasts, n_contrasts))

    def coefficient_map(self, params: ConstantParams) -> Array:
        """Contrasts of the logits to log probabilities."""
        basis = contrasts(len(params.log_weight))
        return basis - np.exp(params.log_weight) @ basis

    def n_parameters(self, params: ConstantParams) -> int:
        """One probability fewer than experts."""
        return len(params.log_weight) - 1


def _log_prob_scores(k: int, design: Array, log_prob: Array) -> Array:
    """Gradients of the log probability of one expert in contrasts of the logits."""
    residual = -np.exp(log_prob)
    residual[k] += 1.0
    return softmax_scores(design, residual, contrasts(len(log_prob)))


GATES = {"softmax": SoftmaxGate, "constant": ConstantGate}
