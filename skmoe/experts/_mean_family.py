"""Families of conditional distributions around given means, with their dispersions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmoe._data.scaling import Standardization
from skmoe._numerics.linalg import bounded_newton_step
from skmoe._numerics.probability import summed_over_experts, without_outliers
from skmoe._numerics.typing import TINY, Array
from skmoe.families import Family, Normal
from skmoe.families._base import sums_of_derivatives

# Means of exactly zero under a log link, as of trees on counts, are raised to this fraction of the
# mean of y.
RELATIVE_MEAN_FLOOR = 1e-3

# Standard deviations below this fraction of the largest absolute value are round-off.
RELATIVE_ROUND_OFF = 1e-13

# Newton's method for the log dispersions: largest number of steps, largest change in a step, bounds
# of the curvature per row, halvings of a step, and the change, or the relative gain of
# log-likelihood, below which it ends. Far from the maximum curvatures are larger, and steps short.
MAX_STEPS = 50
MAX_CHANGE = 2.0
MIN_CURVATURE, MAX_CURVATURE = 1e-6, 100.0
MAX_DISPERSION_HALVINGS = 25
CHANGE_TOL = 1e-9
RELATIVE_GAIN_TOL = 1e-12


@dataclass(frozen=True)
class MeanFamily:
    """A family whose means (K, m, n) are given; log dispersions have the shape (K, m, T).

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
        return self.family.obstacle(y)

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
        bounds = np.array(self.family.log_dispersion_bounds_of_means).reshape(-1, 2)
        start, low, high = (
            np.tile(values, (len(y), 1))
            for values in (np.array(self.family.initial_log_dispersion), bounds[:, 0], bounds[:, 1])
        )
        if self.family.has_scale:
            start[:, 0] += np.log(variance)
            low[:, 0] = np.log(np.array(options["variance_floor"]) * variance)
            high[:, 0] += np.log(np.maximum(variance, 1.0))
        own_units = Standardization(np.zeros(len(y)), np.ones(len(y)))
        return replace(
            self,
            family=self.family.fitted_to(y, weight, own_units),
            shared=options["shared_dispersion"],
            prior=options["dispersion_prior"] if self.family.has_scale else 0.0,
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

    def _predictor(self, mean: Array, theta: Any) -> Array:
        bound = self.family.max_predictor
        return np.clip(self.family.predictor_of_mean(mean, theta), -bound, bound)

    def log_prob(self, mean: Array, log_dispersion: Array, y: Array) -> Array:
        """Log density of each output, (K, m, n)."""
        theta = _by_dispersion(log_dispersion)
        return self.family.log_prob(y, self._predictor(mean, theta), theta)

    def components(self, mean: Array, log_dispersion: Array) -> Any:
        """Distribution of one expert with means (m, n) and log dispersions (m, T)."""
        theta = _by_dispersion(log_dispersion)
        return self.family.components(self._predictor(mean, theta), theta)

    def penalties(self, log_dispersion: Array) -> Array:
        """Negative log prior of the scale of each expert and output, (K, m)."""
        if not self.family.has_scale:
            return np.zeros(log_dispersion.shape[:2])
        # Relative to the scale of the prior, so that it does not depend on the units of y.
        ratio = log_dispersion[..., 0] - np.log(self.prior_scale)
        return 0.5 * self.prior * (ratio + np.exp(-ratio))

    def at_floor(self, log_dispersion: Array) -> Array:
        """Experts with a scale at its lower bound, (K,)."""
        if not self.family.has_scale:
            return np.zeros(len(log_dispersion), dtype=bool)
        return np.any(log_dispersion[..., 0] <= np.array(self.low)[:, 0], axis=1)

    # --- estimates ---

    def initial(self, n_experts: int) -> Array:
        """First log dispersions, (K, m, T)."""
        start = np.array(self.start)
        return np.broadcast_to(start, (n_experts, *start.shape)).copy()

    def maximise(self, mean: Array, y: Array, resp: Array, start: Array) -> Array:
        """Log dispersions that maximise the penalised log-likelihood of given means, (K, m, T).

        Newton's method from `start`, within the bounds. A step is halved until the log-likelihood
        does not fall, so that the value is at least that of `start`.
        """
        theta = start
        if not theta.shape[-1]:
            return theta
        if self.family == Normal():
            return self._normal_scale(mean, y, resp)
        low, high = np.array(self.low), np.array(self.high)
        value = self._value(mean, theta, y, resp)
        for _ in range(MAX_STEPS):
            step = self._newton_step(mean, theta, y, resp)
            # A step of round-off cannot be seen in the value.
            open_ = np.abs(step).max(axis=-1) >= CHANGE_TOL
            moved, before = theta.copy(), value
            for halving in range(MAX_DISPERSION_HALVINGS):
                trial = np.clip(theta + 0.5**halving * step, low, high)
                trial_value = self._value(mean, trial, y, resp)
                accepted = open_ & (trial_value >= value)
                moved = np.where(accepted[..., None], trial, moved)
                value = np.where(accepted, trial_value, value)
                open_ &= ~accepted
                if not open_.any():
                    break
            change = np.abs(moved - theta).max()
            theta = moved
            gained = value - before > RELATIVE_GAIN_TOL * np.abs(value)
            if change < CHANGE_TOL or not gained.any():
                break
        return theta

    def _normal_scale(self, mean: Array, y: Array, resp: Array) -> Array:
        """The same in closed form for the log variances of normal noise."""
        squares = self._summed(np.einsum("kn,kmn->km", resp, np.square(y - mean)))
        rows = self._summed(np.repeat(resp.sum(axis=1)[:, None], len(y), axis=1)) + self.prior
        squares = squares + self.prior * self.prior_scale
        log_variance = np.log(np.maximum(squares, TINY) / np.maximum(rows, TINY))[..., None]
        return np.maximum(log_variance, self.low)

    def best_log_scale(self, mean: Array, y: Array, weight: Array, log_dispersion: Array) -> Array:
        """Log scales of one expert with the greatest likelihood for its means (m, n), (m,).

        Its other log dispersions (m, T) are given, and there is no prior.
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

    def _value(self, mean: Array, theta: Array, y: Array, resp: Array) -> Array:
        """Penalised log-likelihood of each expert and output, (K, m)."""
        logs = np.einsum("kn,kmn->km", resp, self.log_prob(mean, theta, y))
        return self._summed(logs) - self.penalties(theta)

    def _newton_step(self, mean: Array, theta: Array, y: Array, resp: Array) -> Array:
        """Newton step of the log dispersions, (K, m, T), bounded and always upward."""
        arrays = _by_dispersion(theta)
        predictor = self._predictor(mean, arrays)
        first, second = self.family.mean_dispersion_derivatives(y, predictor, arrays)
        sums = sums_of_derivatives(first, second, resp[:, None])
        gradient, hessian = (self._summed(values) for values in sums)
        curvature = -hessian
        if self.family.has_scale:
            decreasing = 0.5 * self.prior * np.exp(np.log(self.prior_scale) - theta[..., 0])
            gradient[..., 0] = gradient[..., 0] + decreasing - 0.5 * self.prior
            curvature[..., 0, 0] = curvature[..., 0, 0] + decreasing
        # Parameters at a bound that the gradient leads beyond stay there.
        beyond = ((theta <= np.array(self.low)) & (gradient < 0.0)) | (
            (theta >= np.array(self.high)) & (gradient > 0.0)
        )
        gradient = np.where(beyond, 0.0, gradient)
        fixed = beyond[..., :, None] | beyond[..., None, :]
        curvature = np.where(fixed, np.eye(theta.shape[-1]), curvature)
        values, vectors = np.linalg.eigh(curvature)
        mass = self._summed(resp.sum(axis=1))[:, None, None]
        most = MAX_CURVATURE * np.maximum(mass, 1.0)
        values = np.clip(np.abs(values), MIN_CURVATURE * mass + TINY, most)
        return bounded_newton_step(gradient, values, vectors, MAX_CHANGE)


def _by_dispersion(log_dispersion: Array) -> Array:
    """Log dispersions (T, ..., m, 1) from (..., m, T)."""
    return np.moveaxis(log_dispersion, -1, 0)[..., None]
