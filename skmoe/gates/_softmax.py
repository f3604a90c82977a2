"""The softmax gate: a multinomial logit of the expert on the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import check_real, check_transformer
from skmoe._numerics.linalg import linear_predictor, ridge_diagonal, used_columns
from skmoe._numerics.multinomial import (
    MAX_DENSE_HESSIAN,
    factorize_softmax_hessian,
    helmert_contrasts,
    log_prob_score_rows,
    softmax_gradient,
    softmax_hessian,
    softmax_information,
)
from skmoe._numerics.probability import exp_of_logs, log_softmax
from skmoe._numerics.typing import Alpha, Array, Design
from skmoe.protocols import Gate
from skmoe.protocols._softmax import SoftmaxPart, SoftmaxStatistics

# Where a search for the penalty starts, and near which it stays on small data sets.
DEFAULT_GATE_ALPHA = 1.0


class SoftmaxParams(NamedTuple):
    """Coefficients (K, d) of the gate's logits, summing to zero over the experts."""

    coef: Array


@dataclass(frozen=True)
class SoftmaxGate(SoftmaxPart, Gate):
    """Multinomial logit of the expert on the features.

    Fitted by one Newton step per iteration of EM, as a multinomial logit whose targets are the
    responsibilities [1]_, with the full Hessian: treating the classes as independent does not
    converge [2]_. If the Hessian is too large to be formed, the step is computed by conjugate
    gradients.

    Parameters
    ----------
    alpha : float or None, default=None
        L2 penalty on the slopes for standardised features: `alpha / 2` times the sum of their
        squares is subtracted from the log-likelihood. Intercepts are not penalised. Try 0.1 to 100;
        raise it if the gate follows noise. With None `gate_alpha` of the estimator decides, which
        finds the penalty from the data by default; outside of an estimator None is 1. A number of
        `gate_alpha`, "auto" and "ard" replace a number that is given here.
    transformer : transformer or None, default=None
        Transformer of the gate's features (`gate_features`), such as `SplineTransformer()` for
        curved borders between the experts. It is fitted with the mixture; its output columns are
        named in `gate_feature_names_`. None for linear borders. See "Nonlinear borders" in the user
        guide.

    See Also
    --------
    ConstantGate : The same probabilities for all rows.

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

    alpha: Alpha | None = None
    transformer: Any = None

    def check_options(self) -> None:
        """Validate penalty and transformer."""
        if self.alpha is not None:
            check_real("gate.alpha", self.alpha)
        check_transformer("gate.transformer", self.transformer)

    @property
    def has_open_penalty(self) -> bool:
        """Whether `gate_alpha` of the estimator decides by default."""
        return self.alpha is None

    @property
    def slope_alpha(self) -> Alpha:
        """The penalty on the slopes, the default if there is none."""
        return DEFAULT_GATE_ALPHA if self.alpha is None else self.alpha

    def init_params(self, n_experts: int, n_columns: int) -> SoftmaxParams:
        """Parameters that give every expert the same probability."""
        return SoftmaxParams(np.zeros((n_experts, n_columns)))

    def log_prob(self, params: SoftmaxParams, design: Design) -> Array:
        """Log probability of each expert, (K, n)."""
        return log_softmax(linear_predictor(params.coef, design))

    def statistics(
        self, params: SoftmaxParams, design: Design, resp: Array, log_prob: Array
    ) -> SoftmaxStatistics:
        """Gradient of the expected log-likelihood."""
        return SoftmaxStatistics(softmax_gradient(design, resp, exp_of_logs(log_prob)))

    def hessian(self, params: SoftmaxParams, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood."""
        return softmax_hessian(design, resp.sum(axis=0), exp_of_logs(log_prob))

    def factorize(self, hessian: Any) -> Any:
        """Factorization of the Hessian with the penalty."""
        ridge = ridge_diagonal(self.slope_alpha, hessian.shape[-1])
        return factorize_softmax_hessian(hessian, helmert_contrasts(hessian.shape[0]), ridge)

    def score_rows(self, params: SoftmaxParams, k: int, design: Array, log_prob: Array) -> Array:
        """Gradient of the log probability of expert k for each row, (P, n)."""
        return log_prob_score_rows(k, design, log_prob)

    def information(
        self, params: SoftmaxParams, design: Array, weight: Array, log_prob: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of any expert, (P, P)."""
        return softmax_information(
            design, weight, exp_of_logs(log_prob), helmert_contrasts(len(log_prob))
        )

    def penalty_hessian(self, params: SoftmaxParams, n_columns: int) -> Array:
        """Hessian of the penalty, (P, P)."""
        return np.diag(np.tile(ridge_diagonal(self.slope_alpha, n_columns), len(params.coef) - 1))

    def contrast_matrix(self, params: SoftmaxParams) -> Array:
        """Matrix (K, K - 1) from contrasts to symmetric coefficients."""
        return helmert_contrasts(len(params.coef))

    def _contrasts(self, n_vectors: int) -> Array:
        return helmert_contrasts(n_vectors)

    def n_parameters(self, params: SoftmaxParams) -> int:
        """K - 1 coefficient vectors."""
        return (len(params.coef) - 1) * int(used_columns(params.coef).sum())

    def coefficients(self, params: SoftmaxParams, n_columns: int) -> Array:
        """Coefficients of the logits, (K, d)."""
        return params.coef

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Number of columns of the Hessian, and the maximum."""
        return (n_experts - 1) * n_columns, MAX_DENSE_HESSIAN
