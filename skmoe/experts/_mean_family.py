"""Families of conditional distributions around given means, with their dispersions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from skmoe._data.preprocessing import Standardization
from skmoe._numerics.probability import summed_over_experts, without_outliers
from skmoe._numerics.typing import TINY, Array
from skmoe.experts._linear import LinearExperts
from skmoe.families import Family, Normal

# Means of exactly zero under a log link, as of trees on counts, are raised to this fraction of the
# mean of y.
RELATIVE_MEAN_FLOOR = 1e-3

# Standard deviations below this fraction of the largest absolute value are round-off.
RELATIVE_ROUND_OFF = 1e-13

# Where the search for log dispersions ends: gain and gradient of the log-likelihood per row.
OPTIONS = {"ftol": 1e-14, "gtol": 1e-8}


@dataclass(frozen=True)
class MeanFamily:
    """A family whose means (K, m, n) are given; log dispersions have the shape (K, m, T - 1).

    Parameters
    ----------
    family : Family
        The conditional distribution of y.
    shared : bool
        Whether all experts share the dispersions.
    prior : float
        Strength of the inverse-gamma prior of a scale, in rows.
    noise_variance, target_variance, target_mean : tuple of float
        Scale of the prior in units of the variance of the working target, this variance, and the
        mean of y per unit of exposure, for each output.
    start, low, high : tuple of tuple of float
        First values of the log dispersions, and their bounds, for each output.
    """

    family: Family = Normal()  # noqa: RUF009
    shared: bool = False
    prior: float = 0.0
    noise_variance: tuple[float, ...] = (1.0,)
    target_variance: tuple[float, ...] = (1.0,)
    target_mean: tuple[float, ...] = (1.0,)
    start: tuple[tuple[float, ...], ...] = ((0.0,),)
    low: tuple[tuple[float, ...], ...] = ((-np.inf,),)
    high: tuple[tuple[float, ...], ...] = ((np.inf,),)

    # Estimators are fitted to y in its own units.
    standardizes_target = False

    @property
    def link(self) -> str:
        """The link of the family."""
        return self.family.link

    @property
    def prior_scale(self) -> Array:
        """Scale of the prior of each output, (m,)."""
        return np.maximum(np.multiply(self.noise_variance, self.target_variance), TINY)

    @property
    def takes_offset(self) -> bool:
        """Whether means are proportional to exposures."""
        return self.family.link == "log"

    @property
    def support(self) -> str:
        """Values of y that are possible, in words."""
        return self.family.support

    def obstacle(self, y: Array) -> str:
        """What the family needs and outputs (m, n) do not have; "" for nothing."""
        return LinearExperts((self.family,)).obstacle(y)

    def in_support(self, y: Array) -> Array:
        """Whether all outputs of a row are possible, boolean of shape (n,)."""
        return np.asarray(self.family.in_support(y).all(axis=0))

    def working_target(self, y: Array) -> Array:
        """Outputs for the initialisation, without outliers if these are expected."""
        target = self.family.working_target(y)
        return without_outliers(target) if self.family.has_outliers else target

    def fitted_to(
        self, y: Array, weight: Array, options: dict[str, Any], exposure: Array | None = None
    ) -> MeanFamily:
        """The family with what depends on the outputs (m, n) of the fit.

        `options` has the noise variance and its lower bound, relative to the variance of the
        working target, and the options of the dispersions. `exposure` (n,) is that of the rows.
        """
        mean_exposure = 1.0 if exposure is None else np.average(exposure, weights=weight)
        target_mean = np.average(y, axis=1, weights=weight) / mean_exposure
        target = self.working_target(y if exposure is None else y / exposure)
        center = np.average(target, axis=1, weights=weight)
        variance = np.average(np.square(target - center[:, None]), axis=1, weights=weight)
        # Round-off of a constant target is no variance.
        round_off = np.square(RELATIVE_ROUND_OFF * np.abs(target).max(axis=1)) + TINY
        variance = np.where(variance > round_off, variance, 1.0)
        own_units = Standardization(np.zeros(len(y)), np.ones(len(y)))
        family = self.family.fitted_to(y, weight, own_units)
        rates = y if exposure is None else y / exposure
        start = np.stack([family.start(row, weight)[1:] for row in rates])
        bounds = np.array(family.log_dispersion_bounds_of_means).reshape(-1, 2)
        low, high = (np.tile(ends, (len(y), 1)) for ends in bounds.T)
        if family.has_scale:
            low[:, 0] = np.log(np.array(options["variance_floor"]) * variance)
            high[:, 0] += np.log(np.maximum(variance, 1.0))
        return replace(
            self,
            family=family,
            shared=options["shared_dispersion"],
            prior=options["dispersion_prior"] if family.has_scale else 0.0,
            noise_variance=tuple(options["noise_variance"]),
            target_variance=tuple(variance.tolist()),
            target_mean=tuple(target_mean.tolist()),
            start=tuple(map(tuple, np.clip(start, low, high).tolist())),
            low=tuple(map(tuple, low.tolist())),
            high=tuple(map(tuple, high.tolist())),
        )

    # --- densities ---

    def raise_zeros(self, mean: Array) -> Array:
        """Means (m, n) with a small positive number in place of zeros, under a log link."""
        if self.family.link != "log":
            return mean
        floor = RELATIVE_MEAN_FLOOR * np.maximum(np.array(self.target_mean), TINY**0.5)
        return np.where(mean == 0.0, floor[:, None], mean)

    def _predictors(self, mean: Array, log_dispersion: Array) -> list[Array]:
        """Predictors (T) at means (..., n), of log dispersions (..., T - 1)."""
        others = [*np.moveaxis(log_dispersion, -1, 0)[..., None]]
        bound = self.family.max_predictor
        location = self.family.location(mean, [np.zeros(1), *others])
        return [np.clip(location, -bound, bound), *others]

    def log_prob(self, mean: Array, log_dispersion: Array, y: Array) -> Array:
        """Log density of each output, (K, m, n)."""
        return self.family.log_prob(y, self._predictors(mean, log_dispersion))

    def components(self, mean: Array, log_dispersion: Array) -> Any:
        """Distribution of one expert with means (m, n) and log dispersions (m, T - 1)."""
        predictors = self._predictors(mean, log_dispersion)
        return self.family.components([np.broadcast_to(eta, mean.shape) for eta in predictors])

    def penalties(self, log_dispersion: Array) -> Array:
        """Negative log prior of the scale of each expert and output, (K, m)."""
        if not self.family.has_scale:
            return np.zeros(log_dispersion.shape[:2])
        # Relative to the scale of the prior, so that it does not depend on the units of y.
        return self._penalty(log_dispersion[..., 0] - np.log(self.prior_scale))

    def _penalty(self, ratio: Array) -> Array:
        return np.asarray(0.5 * self.prior * (ratio + np.exp(-ratio)))

    def at_floor(self, log_dispersion: Array) -> Array:
        """Experts with a scale at its lower bound, (K,)."""
        if not self.family.has_scale:
            return np.zeros(len(log_dispersion), dtype=bool)
        return np.any(log_dispersion[..., 0] <= np.array(self.low)[:, 0], axis=1)

    # --- estimates ---

    def initial(self, n_experts: int) -> Array:
        """First log dispersions, (K, m, T - 1)."""
        start = np.array(self.start)
        return np.broadcast_to(start, (n_experts, *start.shape)).copy()

    def maximise(self, mean: Array, y: Array, resp: Array, start: Array) -> Array:
        """Log dispersions that maximise the penalised log-likelihood of given means, (K, m, T - 1).

        They lie within the bounds, and are at least as good as those of `start`.
        """
        if not start.shape[-1]:
            return start
        if self.family == Normal():
            return self._normal_scale(mean, y, resp)
        found, n_experts = start.copy(), len(start)
        for own in [slice(None)] if self.shared else [slice(k, k + 1) for k in range(n_experts)]:
            for output in range(len(y)):
                of_output = mean[own, output]
                rows = of_output, np.broadcast_to(y[output], of_output.shape), resp[own]
                found[own, output] = self._maximum(output, rows, start[own][0, output])
        return found

    def _maximum(self, output: int, rows: tuple[Array, Array, Array], start: Array) -> Array:
        """Log dispersions (T - 1,) of one output, for means, y and weights (K, n)."""
        mean, y, resp = rows
        rows_of_prior, n_rows = self.prior, max(float(resp.sum()), 1.0)
        log_scale = np.log(self.prior_scale[output])

        def loss(at: Array) -> float:
            logs = self.family.log_prob(y, self._predictors(mean, at))
            value = -float((resp * logs).sum())
            if rows_of_prior:
                value += float(self._penalty(at[0] - log_scale))
            return value / n_rows

        bounds = list(zip(self.low[output], self.high[output], strict=True))
        found, low = [start], np.array(self.low[output])
        for first in (start, np.array(self.start[output])):
            ahead = minimize(
                loss, first, jac="3-point", bounds=bounds, method="L-BFGS-B", options=OPTIONS
            ).x
            # From where the likelihood is nearly constant no slope leads elsewhere.
            is_flat = ahead < low + self.family.flat_margin
            found += [ahead, np.where(is_flat, low, ahead)]
            if not is_flat.any():
                break
        return np.asarray(min(found, key=loss))

    def _normal_scale(self, mean: Array, y: Array, resp: Array) -> Array:
        """The same in closed form for the log variances of normal noise."""
        squares = self._summed(np.einsum("kn,kmn->km", resp, np.square(y - mean)))
        rows = self._summed(np.repeat(resp.sum(axis=1)[:, None], len(y), axis=1)) + self.prior
        squares = squares + self.prior * self.prior_scale
        log_variance = np.log(np.maximum(squares, TINY) / np.maximum(rows, TINY))[..., None]
        return np.maximum(log_variance, self.low)

    def best_log_scale(self, mean: Array, y: Array, weight: Array, log_dispersion: Array) -> Array:
        """Log scales of one expert with the greatest likelihood for its means (m, n), (m,).

        Its other log dispersions (m, T - 1) are given, and there is no prior.
        """
        low, high = (
            tuple((own[0], *given[1:]) for own, given in zip(ends, log_dispersion, strict=True))
            for ends in (self.low, self.high)
        )
        family = replace(self, prior=0.0, low=low, high=high)
        start = log_dispersion[None]
        return np.asarray(family.maximise(mean[None], y, weight[None], start)[0, :, 0])

    def _summed(self, values: Array) -> Array:
        """Sums over the experts that share the dispersions, for each expert."""
        return summed_over_experts(values) if self.shared else values
