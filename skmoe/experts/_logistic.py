"""Multinomial logistic regressions as experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from skmoe._data.checks import check_integer, check_real
from skmoe._numerics.evidence import Slopes, joint_slopes, slope_penalty, without_dropped
from skmoe._numerics.linalg import (
    factorize_ridge,
    linear_predictor,
    ridge_diagonal,
    used_columns,
    weighted_column_sums,
)
from skmoe._numerics.multinomial import (
    MAX_DENSE_HESSIAN,
    contrast_hessian,
    factorize_softmax_hessian,
    helmert_contrasts,
    softmax_hessian,
    softmax_information,
    softmax_score_rows,
    to_contrasts,
)
from skmoe._numerics.probability import log_softmax, softmax_of_classes
from skmoe._numerics.signed_steps import (
    constrained_steps,
    equal_parts,
    joint_covariances,
    of_holders,
    with_signs,
)
from skmoe._numerics.typing import Alpha, Array, Design
from skmoe.protocols import Block, Experts, LinearPredictor
from skmoe.protocols._softmax import SoftmaxPart, SoftmaxStatistics


class LogisticParams(NamedTuple):
    """Coefficients (K, C, d) of the class logits of each expert, summing to zero over classes."""

    coef: Array


@dataclass(frozen=True)
class LogisticExperts(SoftmaxPart, Experts):
    """Multinomial logistic regressions, y being class codes 0 to C - 1.

    One Newton step per iteration of EM, with the weights of the expert's rows. The penalty is that
    of scikit-learn's `LogisticRegression` with `C=1/alpha` on standardised features: on the one
    coefficient vector of two classes, on the symmetric coefficients of more.

    In a `MixtureOfExpertsClassifier` these are the experts of `expert="linear"`. See
    "The model" in the user guide.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features, typically 0.1 to 100; intercepts are
        free. Zero lets coefficients grow without limit where an expert separates its classes.
    n_classes : int, default=2
        Number of classes; set by the fit.
    signs : tuple of int, default=()
        Signs of the slopes of the log odds of the second of two classes: 1 for at least zero, -1
        for at most zero, 0 for any; () for all.
    slopes : tuple of tuple of int, default=()
        For each expert, a number of its slopes in each column of the design matrix: experts with
        equal numbers share them, and -1 is none. By default each expert has all for itself.

    See Also
    --------
    LinearExperts : Linear regressions.

    Examples
    --------
    >>> from skmoe.experts import LogisticExperts
    >>> params = LogisticExperts(n_classes=3).init_params(n_experts=2, n_columns=5)
    >>> params.coef.shape
    (2, 3, 5)
    """

    link: ClassVar[str] = "logit"
    is_classifier: ClassVar[bool] = True
    support: ClassVar[str] = "class labels"
    estimated_options: ClassVar[tuple[str, ...]] = ("n_classes",)
    can_separate: ClassVar[bool] = True
    explains_mean: ClassVar[bool] = False

    alpha: Alpha = 1.0
    n_classes: int = 2
    signs: tuple[int, ...] = ()
    slopes: tuple[tuple[int, ...], ...] = ()

    def check_options(self) -> None:
        """Validate penalty and number of classes."""
        check_real("expert.alpha", self.alpha)
        check_integer("expert.n_classes", self.n_classes, least=2)

    def init_params(self, n_experts: int, n_columns: int) -> LogisticParams:
        """Equal probabilities of the classes."""
        return LogisticParams(np.zeros((n_experts, self.n_classes, n_columns)))

    def at(self, params: LogisticParams, design: Design, y: Array) -> Any:
        """The family with the class probabilities at these rows and parameters."""
        if type(self) is not LogisticExperts:  # a subclass may have other probabilities
            return self
        log_prob, probs = softmax_of_classes(linear_predictor(params.coef, design), y)
        options = self.alpha, self.n_classes, self.signs, self.slopes
        return _LogisticExpertsAt(*options, log_prob, probs)

    def log_prob(self, params: LogisticParams, design: Design, y: Array) -> Array:
        """Log probability of the class codes y (n,) under each expert, (K, n)."""
        log_probs = log_softmax(linear_predictor(params.coef, design), axis=1)
        return log_probs[:, y, np.arange(len(y))]

    def mean(self, params: LogisticParams, design: Design) -> Array:
        """Class probabilities of each expert, (K, C, n)."""
        return np.exp(log_softmax(linear_predictor(params.coef, design), axis=1))

    def mean_of(self, params: LogisticParams, k: int, design: Design) -> Array:
        """Class probabilities of one expert, (C, n)."""
        return np.exp(log_softmax(linear_predictor(params.coef[k], design)))

    def statistics(
        self, params: LogisticParams, design: Design, y: Array, resp: Array
    ) -> SoftmaxStatistics:
        """Gradient of the expected log-likelihood."""
        residual = -resp[:, None] * self.mean(params, design)
        residual[:, y, np.arange(len(y))] += resp
        return SoftmaxStatistics(weighted_column_sums(residual, design))

    def hessian(self, params: LogisticParams, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessian of the expected log-likelihood of each expert."""
        # Constraints need the matrices themselves.
        max_size = np.inf if self.signs or self.slopes else MAX_DENSE_HESSIAN
        return softmax_hessian(design, resp, self.mean(params, design), max_size)

    def factorize(self, curvature: Any) -> Any:
        """The penalised curvature of each expert, ready for solving."""
        ridge = ridge_diagonal(self.alpha, curvature.shape[-1])
        basis = self._contrasts(self.n_classes)
        if not (self.signs or self.slopes):
            return factorize_softmax_hessian(curvature, basis, ridge)
        matrices = np.stack([contrast_hessian(blocks, basis) for blocks in curvature])
        return factorize_ridge(matrices, np.tile(ridge, basis.shape[1]))

    # --- slopes that experts share or lack, and signs of the slopes of log odds, of two classes ---

    def coordinate_holders(self, params: LogisticParams) -> Array:
        """The expert that has each contrast, the first of those that share it, or -1, (K, P)."""
        n_experts, n_classes, n_columns = params.coef.shape
        return np.tile(self.slope_holders(n_experts, n_columns), n_classes - 1)

    def _share(self, params: LogisticParams) -> Array:
        """Part of the penalty on a slope that each expert has, (K, 1, d)."""
        holders = self.slope_holders(len(params.coef), params.coef.shape[-1])
        return equal_parts(holders)[:, None]

    def penalty(self, params: LogisticParams) -> float:
        """`alpha / 2` times the sum of the squared slopes, of which shared ones count once."""
        coordinates = to_contrasts(params.coef, self._contrasts(self.n_classes))
        return slope_penalty(self.alpha, np.sqrt(self._share(params)) * coordinates)

    def m_step(
        self, statistics: Any, factor: Any, params: LogisticParams, step: float
    ) -> LogisticParams:
        """Newton step, scaled by `step`, that keeps signs and shared slopes."""
        if not (self.signs or self.slopes):
            return super().m_step(statistics, factor, params, step)
        basis = self._contrasts(self.n_classes)
        coef = to_contrasts(params.coef, basis)
        ridge = self._share(params) * ridge_diagonal(self.alpha, coef.shape[-1])
        gradient, flat = basis.T @ statistics.gradient - ridge * coef, (len(coef), 1, -1)
        signs = np.append(self.signs, 0.0) if self.signs else np.zeros(1)
        joint = np.ones((len(coef), 1)), self.coordinate_holders(params)
        change = constrained_steps(
            factor,
            gradient.reshape(flat),
            coef.reshape(flat),
            signs,
            joint if self.slopes else None,
        )
        return self.project(LogisticParams(params.coef + step * basis @ change.reshape(coef.shape)))

    def project(self, params: LogisticParams) -> LogisticParams:
        """Slopes of dropped features, and those that do not have their sign, at zero."""
        params = super().project(params)
        if self.slopes:
            holders = self.slope_holders(len(params.coef), params.coef.shape[-1])
            params = LogisticParams(of_holders(params.coef, holders))
        if not self.signs:
            return params
        coef = with_signs(self._log_odds(params), np.append(self.signs, 0.0))
        return LogisticParams(self._contrasts(2) @ coef[:, None])

    def _log_odds(self, params: LogisticParams) -> Array:
        """Coefficients (K, d) of the log odds of the second of two classes."""
        return params.coef[:, 1] - params.coef[:, 0]

    def signed_coordinates(self, params: LogisticParams) -> tuple[Array, Array]:
        """The coefficients of the log odds of each expert, and their signs."""
        if not self.signs:
            return super().signed_coordinates(params)
        coef = self._log_odds(params)
        lacked = self.coordinate_holders(params) < 0
        return coef, np.where(lacked, 0.0, np.append(self.signs, 0.0))

    def penalised_slopes(
        self, params: LogisticParams, statistics: Any, hessian: Any
    ) -> dict[str, Slopes]:
        """Slopes of the contrasts; the posterior of a slope held at its bound is its prior."""
        if self.signs:
            free = ~self.at_bound(params)
            hessian = hessian * (free[:, :, None] * free[:, None])[:, None, None]
            gradient = np.where(free[:, None], statistics.gradient, 0.0)
            statistics = statistics._replace(gradient=gradient)
        if not self.slopes:
            return super().penalised_slopes(params, statistics, hessian)
        basis, n_columns = self._contrasts(self.n_classes), params.coef.shape[-1]
        precision = np.ones((len(hessian), basis.shape[1]))
        system, holders = self.factorize(hessian), self.coordinate_holders(params)
        covariances = joint_covariances(system, precision[:, :1], holders)
        blocks = covariances.reshape(-1, *(basis.shape[1], n_columns) * 2)
        of_rows = np.einsum("kcicj->kcij", blocks), basis.T @ statistics.gradient
        coef, ridge = to_contrasts(params.coef, basis), system.ridge[:n_columns]
        own = holders[:, :n_columns]
        return {"alpha": joint_slopes(*of_rows, coef, precision, ridge, own)}

    # --- inference ---

    def score_rows(self, params: LogisticParams, k: int, design: Array, y: Array) -> Array:
        """Gradients of the log probability in contrasts of coefficients, row by row, (P, n)."""
        residual = -self.mean_of(params, k, design)
        residual[y, np.arange(len(y))] += 1.0
        return softmax_score_rows(design, residual, self._contrasts(self.n_classes))

    def information(
        self, params: LogisticParams, k: int, design: Array, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of one expert, (P, P)."""
        probs = self.mean_of(params, k, design)
        return softmax_information(design, weight, probs, self._contrasts(self.n_classes))

    def penalty_hessian(self, params: LogisticParams) -> list[Array]:
        """Hessians of the penalty, (P, P) for each expert."""
        ridge = self._share(params)[:, 0] * ridge_diagonal(self.alpha, params.coef.shape[-1])
        return [np.diag(np.tile(own, self.n_classes - 1)) for own in ridge]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Log odds of the second of two classes, else one coefficient vector for each class."""
        contrasts = None if self.n_classes == 2 else self._contrasts(self.n_classes)
        return (LinearPredictor(link="softmax", contrasts=contrasts),)

    def n_parameters(self, params: LogisticParams) -> int:
        """One coefficient vector fewer than classes for each expert."""
        n_experts, n_classes, n_columns = params.coef.shape
        used = used_columns(params.coef)
        if self.signs:
            used |= without_dropped(np.append(self.signs, 0.0), self.alpha) != 0.0
        holders = self.slope_holders(n_experts, n_columns)
        is_first = holders == np.arange(n_experts)[:, None]
        return (n_classes - 1) * int((is_first & used).sum())

    def _contrasts(self, n_vectors: int) -> Array:
        return helmert_contrasts(n_vectors, binary=True)

    @classmethod
    def example_target(cls, rng: np.random.Generator, n_rows: int) -> Array:
        """Codes of two classes."""
        return rng.integers(0, 2, size=n_rows)

    def attributes(self, params: LogisticParams, units: Any) -> dict[str, Any]:
        """Coefficients of raw features; for two classes those of the log odds."""
        slopes, intercepts = units.expert_coefficients(params.coef)
        if self.n_classes == 2:
            slopes, intercepts = (values[:, 1] - values[:, 0] for values in (slopes, intercepts))
        return {"expert_coef_": slopes, "expert_intercept_": intercepts}

    # --- streams ---

    def streaming_size(self, n_experts: int, n_columns: int) -> tuple[int, int]:
        """Columns of the Hessians, and the most that are formed."""
        return (self.n_classes - 1) * n_columns, MAX_DENSE_HESSIAN


@dataclass(frozen=True, eq=False)
class _LogisticExpertsAt(LogisticExperts):
    """Logistic experts in one E-step, whose probabilities are computed once."""

    row_log_prob: Any = None  # of y, (K, n)
    probs: Any = None  # of all classes, (K, C, n)

    def log_prob(self, params: LogisticParams, design: Design, y: Array) -> Array:
        """Log probability of y, as it was computed."""
        return self.row_log_prob

    def mean(self, params: LogisticParams, design: Design) -> Array:
        """Class probabilities, as they were computed."""
        return self.probs
