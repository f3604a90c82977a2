"""Moments, probabilities, draws and scores of mixtures of components of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import utils

from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._components import Block, draw_outputs, joint_log_density
from skmoe.distributions._scores import tail_integrals
from skmoe.distributions._searches import Component, highest_points, log_weighted_sum, weighted_sum
from skmoe.exceptions import OptionWarning, warn_user


def check_coverage(coverage: Any) -> float:
    """A coverage must be a probability in (0, 1)."""
    if not isinstance(coverage, (float, np.floating)) or not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be a probability in (0, 1); got {coverage!r}. For 90 % use 0.9."
        )
    return float(coverage)


def check_random_state(random_state: Any) -> np.random.RandomState:
    """The random state of a parameter `random_state`."""
    try:
        return utils.check_random_state(random_state)
    except ValueError:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1, or a RandomState of NumPy; "
            f"got {random_state!r}. Pass an integer such as random_state=0."
        ) from None


class RowMixtures:
    """Mixtures of components, one for each row and output, that share weights over the outputs."""

    weights: Array
    # Correlation matrices of the outputs in each component, (C, m, m); None if independent.
    correlations: Array | None
    # Components of one family after another, in the order of the weights; their parameters have
    # shape (n, C, m).
    _blocks: Sequence[Block]
    _n_outputs: int
    _single: bool  # whether the axis of the outputs is left out

    def __len__(self) -> int:
        return len(self.weights)

    def _components(self) -> Iterator[Component]:
        """Weight (n, 1, 1) and parameters (n, 1, m) of each component."""
        weights = iter(self.weights.T[..., None, None])
        for family, parameters in self._blocks:
            for k in range(parameters[0].shape[1]):
                yield Component(family, next(weights), tuple(v[:, k, None] for v in parameters))

    def _flat_components(self, n_values: int = 1) -> list[Component]:
        """Weight and parameters of each component with rows, values and outputs as one axis."""
        shape = len(self), n_values, self._n_outputs
        return [
            Component(
                family,
                np.broadcast_to(weight, shape).reshape(-1),
                tuple(np.broadcast_to(values, shape).reshape(-1) for values in parameters),
            )
            for family, weight, parameters in self._components()
        ]

    def _integrals(self, points: Array, power: int) -> Array:
        """Integrals (2, n, q, m) of a power of both tails, up to points and from them on."""
        shape = len(self), points.shape[1], self._n_outputs
        finite = np.where(np.isfinite(points), points, 0.0)
        flat = np.broadcast_to(finite, shape).reshape(-1)
        return tail_integrals(self._flat_components(shape[1]), flat, power).reshape(2, *shape)

    def _squeeze(self, values: Array) -> Array:
        """Without the last axis, of the outputs, if there is a single one."""
        return values[..., 0] if self._single else values

    # --- moments ---

    def _moments(self, name: str) -> Array:
        """Means or variances of the components, (n, C, m)."""
        with np.errstate(over="ignore"):
            moments = np.concatenate(
                [getattr(functions, name)(*own) for functions, own in self._blocks], axis=1
            )
        # Absent components have weight zero.
        return np.where(self.weights[..., None] > 0.0, moments, 0.0)

    @property
    def mean(self) -> Array:
        """Mean of each row, of shape (n_samples,) or (n_samples, n_outputs)."""
        return self._squeeze(np.einsum("nk,nkm->nm", self.weights, self._moments("mean")))

    @property
    @underflow_to_zero
    def var(self) -> Array:
        """Variance of each row: within the components and between them."""
        means, within = self._moments("mean"), self._moments("variance")
        with np.errstate(invalid="ignore", over="ignore"):
            center = np.einsum("nk,nkm->nm", self.weights, means)
            between = np.square(means - center[:, None])
            return self._squeeze(np.einsum("nk,nkm->nm", self.weights, within + between))

    @property
    def std(self) -> Array:
        """Standard deviation of each row, in the units of y."""
        return np.sqrt(self.var)

    @property
    @underflow_to_zero
    def mode(self) -> Array:
        """Where `pdf` is highest.

        The values that have a probability, and local maxima between quantiles of the continuous
        components, are compared. Where both values with a probability and a density exist, the
        result depends on the units of y, as the density does.
        """
        best = highest_points(self._flat_components())
        return self._squeeze(best.reshape(len(self), self._n_outputs))

    # --- probabilities ---

    def _logpdf(self, points: Array) -> Array:
        """Log density, or log probability of the values of discrete distributions."""
        mass = self._log_density(points, discrete=True)
        return np.where(mass > -np.inf, mass, self._log_density(points, discrete=False))

    def _log_density(self, points: Array, discrete: bool) -> Array:
        """Log density of the discrete components, or of the continuous ones."""
        chosen = [part for part in self._components() if part.family.discrete == discrete]
        if not chosen:
            shape = np.broadcast_shapes(points.shape, (len(self), 1, self._n_outputs))
            return np.where(np.isnan(points), np.nan, np.full(shape, -np.inf))
        return log_weighted_sum(chosen, "log_pdf", points)

    def logpdf(self, y: ArrayLike) -> Array:
        """Log density.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_density : ndarray of the shape of y, with n_samples rows
            Finite even far out in the tails; minus infinity where no component has a density. For
            discrete distributions it is the log probability.
        """
        return self._at(y, self._logpdf)

    def joint_logpdf(self, y: ArrayLike) -> Array:
        """Joint log density of all outputs, as `score_samples` has it.

        The components have all outputs in common, so that outputs are dependent even where they are
        independent within each component.

        Parameters
        ----------
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or with n_values in between
            Values of all outputs for each row, or several along a second axis.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or (n_samples, n_values)
            Of a single output it is `logpdf`.
        """
        parts = list(self._components())
        found = self._at(y, lambda points: joint_log_density(parts, self.correlations, points))
        return found if self._single else found[..., 0]

    def pdf(self, y: ArrayLike) -> Array:
        """Density: the exponential of `logpdf`.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        density : ndarray of the shape of y, with n_samples rows
            Not negative, in units of 1/y. For discrete distributions they are probabilities.
        """
        return np.exp(self.logpdf(y))

    def cdf(self, y: ArrayLike) -> Array:
        """Probability of a value up to y, which includes y itself.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Between 0 and 1. A point mass at v has 1 from y = v on, and 0 below.
        """
        return self._at(y, lambda points: weighted_sum(self._components(), "cdf", points))

    def cdf_left(self, y: ArrayLike) -> Array:
        """Probability of a value below y: the limit of `cdf` from the left.

        It differs from `cdf` at values that have a probability, such as counts. The distribution
        function at y that is drawn uniformly between the two is uniform for calibrated
        distributions; `skmoe.inspection.CalibrationDisplay` uses both.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Between 0 and 1. A point mass at v has 1 above y = v, and 0 at v and below.
        """
        return self._at(
            y, lambda points: weighted_sum(self._components(), "cdf", points, left=True)
        )

    def sf(self, y: ArrayLike) -> Array:
        """Probability of a value above y, exact where `1 - cdf` would be zero.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Between 0 and 1. A point mass at v has 1 below y = v, and 0 from v on.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """
        return self._at_times(y, lambda points: weighted_sum(self._components(), "sf", points))

    def logcdf(self, y: ArrayLike) -> Array:
        """Log probability of a value up to y, which includes y itself.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y, with n_samples rows
            Finite even far out in the lower tail; minus infinity below all values of y.
        """
        return self._at(y, lambda points: self._log_sum("log_cdf", points))

    def logsf(self, y: ArrayLike) -> Array:
        """Log probability of a value above y.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y, with n_samples rows
            Finite even far out in the upper tail; minus infinity above all values of y.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """
        return self._at_times(y, lambda points: self._log_sum("log_sf", points))

    def hazard(self, y: ArrayLike) -> Array:
        """Rate of events at y among the rows without an event until then.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        hazard : ndarray of the shape of y, with n_samples rows
            The density relative to `sf`, in units of 1/y; of counts the probability of y given
            that the count is at least y.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """

        def hazard(points: Array) -> Array:
            return np.exp(self._logpdf(points) - self._log_sum("log_sf", points, left=True))

        return self._at_times(y, hazard)

    def cumulative_hazard(self, y: ArrayLike) -> Array:
        """The integral of the hazard up to y: minus `logsf`.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        cumulative_hazard : ndarray of the shape of y, with n_samples rows
            Not negative, and infinite above all values of y.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """
        return -self.logsf(y)

    def restricted_mean(self, y: ArrayLike) -> Array:
        """Mean of the smaller of a value and y, such as the mean time without an event until y.

        It is finite where the mean is not, and is the area below the curve of `sf` up to y where no
        value is negative.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        mean : ndarray of the shape of y, with n_samples rows
            At most y, in the units of y; for infinite y the mean.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """
        return self._at_times(y, self._restricted_mean)

    def _restricted_mean(self, points: Array) -> Array:
        mean = self.mean.reshape(len(self), 1, self._n_outputs)
        # Without a mean the integral of the lower tail is infinite.
        means = np.where(np.isnan(mean), -np.inf, points - self._integrals(points, 1)[0])
        return np.where(np.isposinf(points), mean, np.where(np.isneginf(points), points, means))

    def _log_sum(self, name: str, points: Array, *, left: bool = False) -> Array:
        return np.minimum(log_weighted_sum(self._components(), name, points, left=left), 0.0)

    def _at_times(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` returns of times, with a warning if they may be meant for all rows."""
        times = np.asarray(y, dtype=float)
        is_per_row = self._single and times.ndim == 1 and 1 < len(times) == len(self)
        if is_per_row and times[0] >= 0.0 and (times[1:] > times[:-1]).all():
            warn_user(
                f"y has one entry for each of the {len(self)} rows, since it has one dimension. "
                "Pass y[None] for the same values in every row, or y[:, None] for one in each.",
                OptionWarning,
            )
        return self._at(y, answer)

    @underflow_to_zero
    def _at(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` returns of points (n, q, m), in the shape of y."""
        points = np.asarray(y, dtype=float)
        n_outputs = self._n_outputs
        shape = points.shape if self._single else points.shape[:-1]
        per_row = len(shape) <= 1
        fits = len(shape) <= 2 and (not shape or shape[0] in (1, len(self)))
        if not fits or (not self._single and points.ndim and points.shape[-1] != n_outputs):
            last = "" if self._single else f", {n_outputs}"
            raise ValueError(
                f"y must be a number or have shape ({len(self)}{last or ','}) or "
                f"({len(self)}, n_values{last}), one row for each row of X; got {points.shape}. "
                "Pass the same values for every row as y[None]."
            )
        if points.ndim == 0:
            points = np.full((1, 1, n_outputs), points)
        else:
            width = 1 if per_row else shape[1]
            points = points.reshape(shape[0] if shape else 1, width, n_outputs)
        values = answer(points)
        return self._squeeze(values[:, 0] if per_row else values)

    # --- draws ---

    def rvs(self, size: int | None = None, random_state: Any = None) -> Array:
        """Random draws; the outputs of a draw come from the same component.

        Parameters
        ----------
        size : int, default=None
            Number of draws for each row; None draws one and leaves its axis out.
        random_state : int, RandomState instance or None, default=None
            Source of randomness. An integer makes the draws reproducible.

        Returns
        -------
        draws : ndarray of shape (n_samples,) or (n_samples, size), with the outputs last
            Draws in the units of y.

        Raises
        ------
        ValueError
            If size is not a positive integer.
        """
        if size is not None and (not isinstance(size, (int, np.integer)) or size < 1):
            raise ValueError(f"size must be None or an integer of at least 1; got {size!r}.")
        rng = check_random_state(random_state)
        shape = len(self), 1 if size is None else int(size)
        levels = np.cumsum(self.weights, axis=1)
        uniform = rng.uniform(size=shape) * levels[:, -1:]
        chosen = np.sum([uniform >= level[:, None] for level in levels.T[:-1]], axis=0)
        chosen = np.broadcast_to(chosen, shape).astype(int)
        draws = np.empty((*shape, self._n_outputs))
        start = 0
        for family, parameters in self._blocks:
            stop = start + parameters[0].shape[1]
            rows, columns = np.nonzero((chosen >= start) & (chosen < stop))
            of_block = chosen[rows, columns] - start
            drawn = tuple(v[rows, of_block] for v in parameters)
            matrices = None if self.correlations is None else self.correlations[start:stop]
            draws[rows, columns] = draw_outputs(rng, family, drawn, matrices, of_block)
            start = stop
        return self._squeeze(draws[:, 0] if size is None else draws)

    # --- scores ---

    def _crps(self, points: Array) -> Array:
        """Scores of observed values (n, q, m)."""
        return np.where(np.isfinite(points), self._integrals(points, 2).sum(axis=0), np.abs(points))

    def crps(self, y: ArrayLike) -> Array:
        """Continuous ranked probability score of observed values.

        It is the integral of the squared difference of the distribution function to a step at y
        [1]_. For mixtures of normals it has a closed form [2]_. Of other mixtures Gauss-Legendre
        rules between quantiles of the components compute it, to a relative 1e-7. Where counts above
        64 are mixed with densities it is exact to about 1e-5.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values, one for each row.

        Returns
        -------
        crps : ndarray of the shape of y
            Scores in the units of y; smaller is better. Infinite for components of Student's t with
            up to 1/2 degrees of freedom.

        References
        ----------
        .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
           estimation", Journal of the American Statistical Association 102, 359-378.
        .. [2] E. P. Grimit, T. Gneiting, V. J. Berrocal and N. A. Johnson (2006), "The continuous
           ranked probability score for circular variables and its application to mesoscale
           forecast ensemble verification", Quarterly Journal of the Royal Meteorological Society
           132, 2925-2942.
        """
        return self._at(y, self._crps)

    def energy_score(self, y: ArrayLike, n_draws: int = 200, random_state: Any = 0) -> Array:
        """Energy score of observed values: the CRPS of several outputs together [1]_.

        It is the mean distance of a draw from the observed values, less half of that of two draws.
        It depends on the units of the outputs: those with large values have large weights.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values, one for each row.
        n_draws : int, default=200
            Number of pairs of draws for each row.
        random_state : int, RandomState instance or None, default=0
            Source of randomness.

        Returns
        -------
        energy_score : ndarray of shape (n_samples,)
            Scores in the units of y; smaller is better.

        References
        ----------
        .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
           estimation", Journal of the American Statistical Association 102, 359-378.
        """
        rng, observed = check_random_state(random_state), np.asarray(y, dtype=float)
        observed, total = observed.reshape(len(self), self._n_outputs), np.zeros(len(self))
        for _ in range(n_draws):
            one, other = (self.rvs(None, rng).reshape(observed.shape) for _ in range(2))
            distances = (one - observed, other - observed, other - one)
            near, far, apart = (np.linalg.norm(d, axis=1) for d in distances)
            total += 0.5 * (near + far - apart)
        return total / n_draws
