"""Families of experts: how each expert generates y from the features of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmoe._numerics import (
    LOG_2PI,
    SMALLEST,
    Array,
    Design,
    RidgeSystem,
    gram_product,
    linear,
    log_softmax,
    ridge_change,
    ridge_system,
    slope_ridge,
    weighted_gram,
    weighted_grams,
    weighted_sums,
)
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
from skmoe.protocols import Normals


class LinearParams(NamedTuple):
    """Coefficients (K, m, d) and log noise variances (K, m) for m outputs."""

    coef: Array
    log_variance: Array


class LinearStatistics(NamedTuple):
    """Sums: weight (K,), residuals times features (K, m, d), squared residuals (K, m)."""

    weight: Array
    gradient: Array
    square: Array


@dataclass(frozen=True)
class LinearExperts:
    r"""Linear regressions with normal noise, independent over the outputs.

    The prior of each expert is conjugate: slopes :math:`\beta \mid \sigma^2 \sim N(0, \sigma^2 /
    \alpha)` on standardised features with a free intercept, and :math:`\sigma^2` inverse gamma with
    shape :math:`\nu_0 / 2` and scale :math:`\nu_0 s_0^2 / 2`. The prior on the variance bounds the
    likelihood, which is unbounded without it [1]_. The M-step is one Newton step. It
    leads to the mode if the Gram matrices are new; old ones serve for some steps, as all curvatures
    do.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes, as in a ridge regression of each expert.
    shared_variance : bool, default=False
        Whether the experts share one noise variance.
    variance_prior : float, default=10.0
        Strength :math:`\nu_0` of the prior on each variance, in rows.
    noise_variance : tuple of float, default=(1.0,)
        Scale :math:`s_0^2` of that prior for each output.
    variance_floor : tuple of float, default=(1e-6,)
        Smallest variance allowed for each output.

    References
    ----------
    .. [1] C. Fraley and A. E. Raftery (2007), "Bayesian regularization for normal mixture
       estimation and model-based clustering", Journal of Classification 24, 155-181.

    Examples
    --------
    >>> from skmoe.experts import LinearExperts
    >>> params = LinearExperts().initial(n_experts=2, n_columns=3)
    >>> params.coef.shape
    (2, 1, 3)
    """

    alpha: float = 1.0
    shared_variance: bool = False
    variance_prior: float = 10.0
    noise_variance: tuple[float, ...] = (1.0,)
    variance_floor: tuple[float, ...] = (1e-6,)

    def initial(self, n_experts: int, n_columns: int) -> LinearParams:
        """Zero means with unit variances."""
        n_outputs = len(self.noise_variance)
        return LinearParams(
            np.zeros((n_experts, n_outputs, n_columns)), np.zeros((n_experts, n_outputs))
        )

    def log_prob(self, params: LinearParams, design: Design, y: Array) -> Array:
        """Log density of y (m, n) under each expert, (K, n)."""
        residual = y - linear(params.coef, design)
        residual *= np.sqrt(0.5 * np.exp(-params.log_variance))[..., None]
        np.square(residual, out=residual)
        constant = -0.5 * (params.log_variance.sum(axis=1) + LOG_2PI * len(y))
        return constant[:, None] - residual.sum(axis=1)

    def predict(self, params: LinearParams, design: Design) -> Array:
        """Mean of each expert, (K, m, n)."""
        return linear(params.coef, design)

    def predict_one(self, params: LinearParams, k: int, design: Design) -> Array:
        """Mean of one expert, (m, n)."""
        return linear(params.coef[k], design)

    def normals(self, params: LinearParams, k: int, design: Design) -> Normals:
        """The one normal density of an expert."""
        mean = self.predict_one(params, k, design)
        variance = np.broadcast_to(np.exp(params.log_variance[k])[:, None], mean.shape)
        return Normals(np.ones((1, mean.shape[1])), mean[None], variance[None])

    def statistics(
        self, params: LinearParams, design: Design, y: Array, resp: Array
    ) -> LinearStatistics:
        """Sums of the residuals."""
        residual = y - linear(params.coef, design)
        weighted = resp[:, None, :] * residual
        return LinearStatistics(
            resp.sum(axis=1),
            weighted_sums(weighted, design),
            np.einsum("kmn,kmn->km", weighted, residual),
        )

    def curvature(self, params: LinearParams, design: Design, y: Array, resp: Array) -> Any:
        """Gram matrices of the rows of each expert."""
        return weighted_grams(design, resp)

    def factor(self, curvature: Any) -> RidgeSystem:
        """The penalised Gram matrices, ready for solving."""
        return ridge_system(curvature, slope_ridge(self.alpha, curvature.shape[-1]))

    def solve(
        self, statistics: LinearStatistics, factor: RidgeSystem, params: LinearParams, step: float
    ) -> LinearParams:
        """Newton step of the coefficients, and the variances there.

        With Gram matrices of the same responsibilities the whole step leads to the posterior mode.
        Older ones are taken to have grown with the weight of the expert's rows.
        """
        gradient = statistics.gradient
        growth = np.maximum(statistics.weight / np.maximum(factor.weight, SMALLEST), 1.0)
        growth = growth[:, None, None]
        change = step / growth * ridge_change(factor, gradient - factor.ridge * params.coef)
        bend = growth * gram_product(factor.gram, change)
        gained = (change * (2.0 * gradient - bend)).sum(axis=2)
        coef = params.coef + change
        squares = np.maximum(statistics.square - gained, 0.0) + np.square(coef) @ factor.ridge
        return self.constrain(LinearParams(coef, self._log_variance(statistics.weight, squares)))

    def _log_variance(self, weight: Array, squares: Array) -> Array:
        rows = np.broadcast_to(weight[:, None], squares.shape)
        if self.shared_variance:
            rows = np.broadcast_to(rows.sum(axis=0), rows.shape)
            squares = np.broadcast_to(squares.sum(axis=0), squares.shape)
        prior = self.variance_prior
        total = np.maximum(rows + prior, SMALLEST)
        return np.log(np.maximum(squares + prior * np.array(self.noise_variance), SMALLEST) / total)

    def constrain(self, params: LinearParams) -> LinearParams:
        """Keep variances above their floor, and one value where they are shared."""
        log_variance = np.maximum(params.log_variance, np.log(self.variance_floor))
        return params._replace(log_variance=log_variance)

    def penalty(self, params: LinearParams) -> float:
        """Negative log prior, up to a constant."""
        precision = np.exp(-params.log_variance)
        slopes = np.square(params.coef) @ slope_ridge(self.alpha, params.coef.shape[-1])
        variances = params.log_variance + precision * np.array(self.noise_variance)
        if self.shared_variance:
            variances = variances[:1]
        return 0.5 * float((slopes * precision).sum() + self.variance_prior * variances.sum())

    def scores(self, params: LinearParams, k: int, design: Array, y: Array) -> Array:
        """Gradients of the log density in coefficients and log variances, row by row, (P, n)."""
        residual = y - self.predict_one(params, k, design)
        precision = np.exp(-params.log_variance[k])[:, None]
        slopes = (residual * precision)[:, None, :] * design.T
        variances = 0.5 * (residual**2 * precision - 1.0)
        return np.concatenate([slopes.reshape(-1, len(design)), variances])

    def information(
        self, params: LinearParams, k: int, design: Array, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log density of one expert, (P, P)."""
        residual = y - self.predict_one(params, k, design)
        gram = weighted_gram(design, weight)
        return self._blocks(
            np.broadcast_to(gram, (len(y), *gram.shape)),
            (weight * residual) @ design,
            0.5 * (residual**2 @ weight),
            params.log_variance[k],
        )

    def prior_information(self, params: LinearParams) -> list[Array]:
        """Hessians of the penalty, (P, P) for each expert."""
        n_experts, n_outputs, n_columns = params.coef.shape
        ridge = slope_ridge(self.alpha, n_columns)
        prior = 0.5 * self.variance_prior * np.array(self.noise_variance)
        return [
            self._blocks(
                np.broadcast_to(np.diag(ridge), (n_outputs, n_columns, n_columns)),
                -ridge * params.coef[k],
                # A shared variance has one prior.
                0.5 * np.square(params.coef[k]) @ ridge
                + (0.0 if k and self.shared_variance else prior),
                params.log_variance[k],
            )
            for k in range(n_experts)
        ]

    @staticmethod
    def _blocks(gram: Array, cross: Array, square: Array, log_variance: Array) -> Array:
        """Information of outputs (m, d, d), (m, d), (m,), in units of the precision, as (P, P)."""
        n_outputs, n_columns = cross.shape
        size = n_outputs * n_columns
        information = np.zeros((size + n_outputs, size + n_outputs))
        for output, precision in enumerate(np.exp(-log_variance)):
            own = slice(output * n_columns, (output + 1) * n_columns)
            last = size + output
            information[own, own] = precision * gram[output]
            information[own, last] = information[last, own] = precision * cross[output]
            information[last, last] = precision * square[output]
        return information

    def n_shared(self) -> int:
        """The log variances, if they are shared."""
        return len(self.noise_variance) if self.shared_variance else 0

    def held(self, params: LinearParams) -> Array:
        """Variances at their floor."""
        free = np.zeros((len(params.coef), params.coef[0].size), dtype=bool)
        return np.hstack([free, params.log_variance <= np.log(self.variance_floor)])

    def coefficient_map(self) -> Array:
        """One coefficient vector for each output."""
        return np.eye(len(self.noise_variance))

    def n_parameters(self, params: LinearParams) -> int:
        """Coefficients and variances."""
        variances = params.log_variance[:1] if self.shared_variance else params.log_variance
        return params.coef.size + variances.size


class LogisticParams(NamedTuple):
    """Coefficients (K, C, d) of the class logits of each expert, summing to zero over classes."""

    coef: Array


class LogisticStatistics(NamedTuple):
    """Gradient (K, C, d) of the expected log-likelihood."""

    gradient: Array


@dataclass(frozen=True)
class LogisticExperts:
    """Multinomial logistic regressions, y being class codes 0 to C - 1.

    One Newton step per iteration of EM, with the weights of the expert's rows. The penalty is that
    of scikit-learn's `LogisticRegression` with `C=1/alpha` on standardised features: on the one
    coefficient vector of two classes, on the symmetric coefficients of more.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes; intercepts are free. Zero lets coefficients grow without limit
        where an expert separates its classes.
    n_classes : int, default=2
        Number of classes.

    Examples
    --------
    >>> from skmoe.experts import LogisticExperts
    >>> params = LogisticExperts(n_classes=3).initial(n_experts=2, n_columns=5)
    >>> params.coef.shape
    (2, 3, 5)
    """

    alpha: float = 1.0
    n_classes: int = 2

    def initial(self, n_experts: int, n_columns: int) -> LogisticParams:
        """Equal probabilities of the classes."""
        return LogisticParams(np.zeros((n_experts, self.n_classes, n_columns)))

    def log_prob(self, params: LogisticParams, design: Design, y: Array) -> Array:
        """Log probability of the class codes y (n,) under each expert, (K, n)."""
        log_probs = log_softmax(linear(params.coef, design), axis=1)
        return log_probs[:, y, np.arange(len(y))]

    def predict(self, params: LogisticParams, design: Design) -> Array:
        """Class probabilities of each expert, (K, C, n)."""
        return np.exp(log_softmax(linear(params.coef, design), axis=1))

    def predict_one(self, params: LogisticParams, k: int, design: Design) -> Array:
        """Class probabilities of one expert, (C, n)."""
        return np.exp(log_softmax(linear(params.coef[k], design)))

    def statistics(
        self, params: LogisticParams, design: Design, y: Array, resp: Array
    ) -> LogisticStatistics:
        """Gradient of the expected log-likelihood."""
        targets = np.zeros((len(resp), self.n_classes, len(y)))
        targets[:, y, np.arange(len(y))] = resp
        return LogisticStatistics(softmax_gradient(design, targets, self.predict(params, design)))

    def curvature(self, params: LogisticParams, design: Design, y: Array, resp: Array) -> Any:
        """Negative Hessian of the expected log-likelihood of each expert."""
        return softmax_curvature(design, resp, self.predict(params, design))

    def factor(self, curvature: Any) -> Any:
        """The penalised curvature of each expert, ready for solving."""
        ridge = slope_ridge(self.alpha, curvature.shape[-1])
        return softmax_factor(curvature, self._basis(), ridge)

    def solve(
        self,
        statistics: LogisticStatistics,
        factor: Any,
        params: LogisticParams,
        step: float,
    ) -> LogisticParams:
        """One Newton step of each expert."""
        ridge = slope_ridge(self.alpha, params.coef.shape[-1])
        ascent = softmax_ascent(factor, statistics.gradient, params.coef, self._basis(), ridge)
        return LogisticParams(params.coef + step * ascent)

    def constrain(self, params: LogisticParams) -> LogisticParams:
        """Every coefficient is allowed."""
        return params

    def penalty(self, params: LogisticParams) -> float:
        """Half of `alpha` times the squared slopes."""
        coordinates = contrast_coordinates(params.coef, self._basis())
        return 0.5 * self.alpha * float(np.square(coordinates[..., :-1]).sum())

    def scores(self, params: LogisticParams, k: int, design: Array, y: Array) -> Array:
        """Gradients of the log probability in contrasts of coefficients, row by row, (P, n)."""
        residual = -self.predict_one(params, k, design)
        residual[y, np.arange(len(y))] += 1.0
        return softmax_scores(design, residual, self._basis())

    def information(
        self, params: LogisticParams, k: int, design: Array, y: Array, weight: Array
    ) -> Array:
        """Negative Hessian of the weighted log probability of one expert, (P, P)."""
        probs = self.predict_one(params, k, design)
        return softmax_information(design, weight, probs, self._basis())

    def prior_information(self, params: LogisticParams) -> list[Array]:
        """Hessians of the penalty, (P, P) for each expert."""
        ridge = np.tile(slope_ridge(self.alpha, params.coef.shape[-1]), self.n_classes - 1)
        return [np.diag(ridge)] * len(params.coef)

    def n_shared(self) -> int:
        """None."""
        return 0

    def held(self, params: LogisticParams) -> Array:
        """None."""
        n_experts, n_classes, n_columns = params.coef.shape
        return np.zeros((n_experts, (n_classes - 1) * n_columns), dtype=bool)

    def coefficient_map(self) -> Array:
        """Log odds of the second of two classes, else one coefficient vector for each class."""
        return np.eye(1) if self.n_classes == 2 else self._basis()

    def n_parameters(self, params: LogisticParams) -> int:
        """One coefficient vector fewer than classes for each expert."""
        n_experts, n_classes, n_columns = params.coef.shape
        return n_experts * (n_classes - 1) * n_columns

    def _basis(self) -> Array:
        return contrasts(self.n_classes, binary=True)


EXPERTS = {"linear": {"regressor": LinearExperts, "classifier": LogisticExperts}}

# Estimators that a name stands for among experts that are estimators.
ESTIMATORS = {
    "linear": {"regressor": Ridge(), "classifier": LogisticRegression()},
    "tree": {
        "regressor": DecisionTreeRegressor(min_samples_leaf=2),
        "classifier": DecisionTreeClassifier(min_samples_leaf=10),
    },
}
