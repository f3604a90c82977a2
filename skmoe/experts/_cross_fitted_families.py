"""Cross-fitted estimators of the mean of y, with any family of conditional distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmoe._data.rows import RawFeatures
from skmoe._data.sklearn_adapter import check_means
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._estimator_params import EstimatorParams
from skmoe.experts._mean_family import MeanFamily
from skmoe.protocols import Block


@dataclass(frozen=True)
class CrossFittedFamilyExperts(CrossFittedExperts):
    """Estimators that predict the mean of y, around which y has the distribution of a family.

    `log_variance` of the parameters holds the log dispersions, (K, m, T).
    """

    mean_family: MeanFamily = MeanFamily()  # noqa: RUF009

    @property
    def takes_offset(self) -> bool:
        """Whether means are proportional to exposures, which the family decides."""
        return self.mean_family.takes_offset

    @property
    def support(self) -> str:
        """That of the family."""
        return self.mean_family.support

    def in_support(self, y: Array) -> Array:
        """Rows that are possible under the family."""
        return self.mean_family.in_support(y)

    def init_params(self, n_experts: int, n_columns: int) -> EstimatorParams:
        """Parameters without models; all experts have the same density."""
        return EstimatorParams((), self.mean_family.initial(n_experts))

    def components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k around its mean."""
        return self._around(self.mean_of(params, k, features), params.log_variance[k])

    def _around(self, mean: Array, log_variance: Array) -> Any:
        return self.mean_family.components(mean, log_variance)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The dispersions of the family."""
        return self.mean_family.family.dispersions

    def attributes(self, params: EstimatorParams, units: Any) -> dict[str, Any]:
        """`experts_`, `families_` and the dispersions of the family."""
        family = self.mean_family.family
        fitted: dict[str, Any] = {
            "experts_": [list(models) for models in params.models],
            "families_": [family] * len(params.models),
        }
        logs = np.moveaxis(params.log_variance, -1, 0)[..., None]
        for dispersion, value in zip(
            family.dispersions, family.dispersion_values(logs), strict=True
        ):
            values = value[..., 0]
            fitted[dispersion.attribute] = values[:, 0] if values.shape[1] == 1 else values
        return fitted

    def dispersion_at_bound(self, params: EstimatorParams) -> Array:
        """Experts with a scale at its lower bound."""
        return self.mean_family.at_floor(params.log_variance)

    def _log_prob(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array
    ) -> Array:
        return self.mean_family.log_prob(predictions, log_variance, y).sum(axis=1)

    def _log_variance(self, predictions: Array, y: Array, resp: Array, start: Array) -> Array:
        return self.mean_family.maximise(predictions, y, resp, start)

    def _penalties(self, log_variance: Array) -> Array:
        return self.mean_family.penalties(log_variance).sum(axis=1)

    def _valid_means(self, k: int, prediction: Array, offset: Array | None) -> Array:
        family = self.mean_family.family
        if family.link == "log":
            check_means(k, self.estimators[k], family.name, prediction)
        means = self.mean_family.raise_zeros(prediction)
        return means if offset is None else means * np.exp(offset)

    def _per_exposure(self, target: Array, weight: Array, offset: Array) -> tuple[Array, Array]:
        exposure = np.exp(offset)
        scaled = weight * self.mean_family.family.rate_weight(exposure)
        return (target.T / exposure).T, np.maximum(scaled, TINY**0.5)

    def _placeholder(self) -> Array:
        return self.mean_family.raise_zeros(np.array(self.mean_family.target_mean)[:, None])
