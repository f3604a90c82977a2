"""The constant gate: the same probabilities for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.multinomial import helmert_contrasts, log_prob_score_rows, softmax_information
from skmoe._numerics.probability import log_softmax
from skmoe._numerics.typing import TINY, Array, Design
from skmoe.protocols import Gate, permute_experts


class ConstantParams(NamedTuple):
    """Log probability of each expert, (K,)."""

    log_prior: Array


class ConstantStatistics(NamedTuple):
    """Sum of the responsibilities of each expert, (K,)."""

    weight: Array


@dataclass(frozen=True)
class ConstantGate(Gate):
    """The same probabilities for all rows: a mixture of regressions [1]_.

    Use it, as `gate="constant"`, where regimes overlap in the features and only y separates them.
    There is no penalty. See "Choosing and trusting a fit" in the user guide.

    See Also
    --------
    SoftmaxGate : Probabilities that depend on the features.

    References
    ----------
    .. [1] R. E. Quandt and J. B. Ramsey (1978), "Estimating mixtures of normal distributions and
       switching regressions", Journal of the American Statistical Association 73, 730-738.

    Examples
    --------
    >>> from skmoe.gates import ConstantGate
    >>> ConstantGate().init_params(n_experts=2, n_columns=3).log_prior
    array([-0.693..., -0.693...])
    """

    @property
    def depends_on_features(self) -> bool:
        """The probabilities are the same for all rows."""
        return False

    def init_params(self, n_experts: int, n_columns: int) -> ConstantParams:
        """Equal probabilities."""
        return ConstantParams(np.full(n_experts, -np.log(n_experts)))

    def log_prob(self, params: ConstantParams, design: Design) -> Array:
        """Log probability of each expert, (K, n)."""
        return np.repeat(log_softmax(params.log_prior)[:, None], design.shape[0], axis=1)

    def statistics(
        self, params: ConstantParams, design: Design, resp: Array, log_prob: Array
    ) -> ConstantStatistics:
        """Sum of the responsibilities of each expert."""
        return ConstantStatistics(resp.sum(axis=1))

    def m_step(
        self, statistics: ConstantStatistics, factor: None, params: ConstantParams, step: float
    ) -> ConstantParams:
        """Probabilities proportional to the summed responsibilities."""
        prior = statistics.weight / statistics.weight.sum()
        return ConstantParams(np.log(np.maximum(prior, TINY)))

    def project(self, params: ConstantParams) -> ConstantParams:
        """Normalised probabilities, after an extrapolation."""
        return ConstantParams(log_softmax(params.log_prior))

    def score_rows(self, params: ConstantParams, k: int, design: Array, log_prob: Array) -> Array:
        """Gradient of the log probability of expert k for each row, (K - 1, n)."""
        return log_prob_score_rows(k, design[:, -1:], log_prob)

    def information(
        self, params: ConstantParams, design: Array, weight: Array, log_prob: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (K - 1, K - 1)."""
        basis = helmert_contrasts(len(log_prob))
        return softmax_information(design[:, -1:], weight, np.exp(log_prob), basis)

    def penalty_hessian(self, params: ConstantParams, n_columns: int) -> Array:
        """No penalty."""
        n_contrasts = len(params.log_prior) - 1
        return np.zeros((n_contrasts, n_contrasts))

    def contrast_matrix(self, params: ConstantParams) -> Array:
        """Matrix (K, K - 1) from contrasts of the logits to log probabilities."""
        basis = helmert_contrasts(len(params.log_prior))
        return basis - np.exp(params.log_prior) @ basis

    def moved(self, params: ConstantParams, change: Array) -> ConstantParams:
        """Probabilities after a change of the contrasts of the logits."""
        logits = params.log_prior + helmert_contrasts(len(params.log_prior)) @ change
        return ConstantParams(log_softmax(logits))

    def n_parameters(self, params: ConstantParams) -> int:
        """K - 1 probabilities."""
        return len(params.log_prior) - 1

    def coefficients(self, params: ConstantParams, n_columns: int) -> Array:
        """Slopes of zero, and log probabilities as intercepts, (K, d)."""
        slopes = np.zeros((len(params.log_prior), n_columns - 1))
        return np.column_stack([slopes, params.log_prior])

    def reorder(self, params: ConstantParams, order: Array) -> ConstantParams:
        """Parameters with the experts in another order."""
        return permute_experts(params, order)

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """No matrices are stored."""
        return 0, 0

    def surrogate(
        self,
        statistics: ConstantStatistics,
        hessian: None,
        params: ConstantParams,
        design: Design,
        weight: Array,
    ) -> tuple[ConstantStatistics, None]:
        """The statistics themselves: the M-step is in closed form."""
        return statistics, None

    def surrogate_statistics(
        self, statistics: ConstantStatistics, hessian: None, params: ConstantParams
    ) -> ConstantStatistics:
        """The statistics, which do not depend on the parameters."""
        return statistics

    def rescale(self, y_map: Any) -> ConstantGate:
        """The gate does not depend on the target."""
        return self

    def rescale_params(self, params: ConstantParams, x_map: Array, y_map: Any) -> ConstantParams:
        """The probabilities do not depend on the features."""
        return params

    def rescale_surrogate(
        self, statistics: ConstantStatistics, hessian: None, x_map: Array, y_map: Any
    ) -> tuple[ConstantStatistics, None]:
        """The statistics do not depend on the features."""
        return statistics, None
