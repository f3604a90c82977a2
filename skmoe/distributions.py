"""The distribution that a mixture of experts predicts: for each row a mixture of normals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr
from sklearn.utils import check_random_state

from skmoe._numerics.normal_mixtures import (
    density_parts,
    log_total,
    lower_quantile,
    mean_distance,
    nearest_mode,
)
from skmoe._numerics.probability import LOG_2PI
from skmoe._numerics.typing import Array


class MixtureDistribution:
    """Mixtures of normals, one for each row and output, that share their weights over outputs.

    Rows come first in every array. Where there are several values for each row (quantiles, draws,
    bounds of an interval) their axis is the second one; the axis of the outputs is the last one and
    is absent if the target has one dimension. All answers are for each output by itself.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_components)
        Probabilities of the components, which sum to one.
    means : array-like of shape (n_samples, n_components) or (n_samples, n_components, n_outputs)
        Means of the components.
    stds : array-like of the same shape as `means`
        Standard deviations of the components, positive.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one,
        or a standard deviation is not positive.

    Examples
    --------
    >>> from skmoe.distributions import MixtureDistribution
    >>> dist = MixtureDistribution([[0.5, 0.5]], [[-1.0, 1.0]], [[0.1, 0.1]])
    >>> dist.mean, dist.std.round(3)
    (array([0.]), array([1.005]))
    >>> dist.interval(0.9).round(2)
    array([[-1.13,  1.13]])
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, stds: ArrayLike) -> None:
        self.weights = np.asarray(weights, dtype=float)
        self.means = np.asarray(means, dtype=float)
        self.stds = np.asarray(stds, dtype=float)
        _check_components(self.weights, self.means, self.stds)

    # --- the rows ---

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Any) -> MixtureDistribution:
        """The distributions of chosen rows; an integer chooses one row."""
        if isinstance(rows, (int, np.integer)):
            rows = [range(len(self))[rows]]
        return MixtureDistribution(self.weights[rows], self.means[rows], self.stds[rows])

    def __repr__(self) -> str:
        n_rows, n_components = self.weights.shape
        outputs = "" if self._single else f", {self.means.shape[2]} outputs"
        return f"<MixtureDistribution of {n_rows} rows, {n_components} components{outputs}>"

    @property
    def _single(self) -> bool:
        return self.means.ndim == 2

    def _components(self) -> Iterator[tuple[Array, Array, Array]]:
        """Weight (n, 1, 1), mean and standard deviation (n, 1, m) of each component."""
        n_rows, n_components = self.weights.shape
        means, stds = (
            values.reshape(n_rows, n_components, -1) for values in (self.means, self.stds)
        )
        for k in range(n_components):
            yield self.weights[:, k, None, None], means[:, k, None], stds[:, k, None]

    # --- moments ---

    @property
    def mean(self) -> Array:
        """Mean of each row, of shape (n_samples,) or (n_samples, n_outputs)."""
        return np.einsum("nk,nk...->n...", self.weights, self.means)

    @property
    def var(self) -> Array:
        """Variance of each row: within the components and between them."""
        between = np.square(self.means - self.mean[:, None])
        return np.einsum("nk,nk...->n...", self.weights, np.square(self.stds) + between)

    @property
    def std(self) -> Array:
        """Standard deviation of each row, in the units of y."""
        return np.sqrt(self.var)

    # --- densities and probabilities ---

    def logpdf(self, y: ArrayLike) -> Array:
        """Log density.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            Where to look: one value for each row, or several. A first axis of length one serves
            all rows.

        Returns
        -------
        log_density : ndarray of the shape of y
            Finite even far out in the tails.
        """
        return self._at(y, self._logpdf)

    def pdf(self, y: ArrayLike) -> Array:
        """Density; see `logpdf` for the shape of y."""
        return np.exp(self.logpdf(y))

    def cdf(self, y: ArrayLike) -> Array:
        """Probability of a value up to y; see `logpdf` for the shape of y."""
        return self._at(y, lambda points: self._sum(ndtr, points, 1.0))

    def sf(self, y: ArrayLike) -> Array:
        """Probability of a value above y, exact where `1 - cdf` would be zero."""
        return self._at(y, lambda points: self._sum(ndtr, points, -1.0))

    def logcdf(self, y: ArrayLike) -> Array:
        """Log probability of a value up to y."""
        return self._at(y, lambda points: self._log_sum(log_ndtr, points, 1.0))

    def logsf(self, y: ArrayLike) -> Array:
        """Log probability of a value above y."""
        return self._at(y, lambda points: self._log_sum(log_ndtr, points, -1.0))

    def _logpdf(self, points: Array) -> Array:
        return log_total(
            np.log(weight) - np.log(std) - 0.5 * (LOG_2PI + ((points - mean) / std) ** 2)
            for weight, mean, std in self._present()
        )

    def _sum(self, part: Callable[[Array], Array], points: Array, sign: float) -> Array:
        total = np.zeros(())
        for weight, mean, std in self._components():
            total = total + weight * part(sign * (points - mean) / std)
        return np.minimum(total, 1.0)

    def _log_sum(self, part: Callable[[Array], Array], points: Array, sign: float) -> Array:
        logs = log_total(
            np.log(weight) + part(sign * (points - mean) / std)
            for weight, mean, std in self._present()
        )
        return np.minimum(logs, 0.0)

    def _present(self) -> Iterator[tuple[Array, Array, Array]]:
        with np.errstate(divide="ignore"):  # absent components have weight zero
            yield from self._components()

    def _at(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` says of points (n, q, m), in the shape of y."""
        points = np.asarray(y, dtype=float)
        n_outputs = 1 if self._single else self.means.shape[2]
        shape = points.shape if self._single else points.shape[:-1]
        per_row = len(shape) <= 1
        fits = len(shape) <= 2 and (not shape or shape[0] in (1, len(self)))
        if not fits or (not self._single and points.ndim and points.shape[-1] != n_outputs):
            last = "" if self._single else f", {n_outputs}"
            raise ValueError(
                f"y must be a number or have shape ({len(self)}{last or ','}) or "
                f"({len(self)}, n_values{last}), one row for each row of X; got {points.shape}."
            )
        if points.ndim == 0:
            points = np.full((1, 1, n_outputs), points)
        else:
            width = 1 if per_row else shape[1]
            points = points.reshape(shape[0] if shape else 1, width, n_outputs)
        said = answer(points)
        said = said[:, 0] if per_row else said
        return said[..., 0] if self._single else said

    # --- quantiles ---

    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles, to 1e-10 in probability.

        All rows are solved at once, by Newton's method on the log probability, kept within a
        bracket that starts with the quantiles of the components and is halved where Newton's step
        would leave it.

        Parameters
        ----------
        q : float or array-like of shape (n_values,)
            Probabilities in (0, 1).

        Returns
        -------
        quantiles : ndarray of shape (n_samples,), or (n_samples, n_values) for an array q
            With the axis of the outputs last, if there are several.

        Raises
        ------
        ValueError
            If a probability is outside (0, 1).
        """
        probs = np.asarray(q, dtype=float)
        if probs.ndim > 1 or not ((probs > 0.0) & (probs < 1.0)).all():
            raise ValueError(
                f"q must be a probability in (0, 1), or a list of them; got {q!r}. The quantiles "
                "of 0 and 1 are infinite."
            )
        found = np.stack([self._quantile(float(p)) for p in np.atleast_1d(probs)], axis=1)
        found = found[..., 0] if self._single else found
        return found[:, 0] if probs.ndim == 0 else found

    def _quantile(self, q: float) -> Array:
        """One quantile of every row and output, (n, m)."""
        # In the upper half the distribution is mirrored, to count the smaller tail.
        sign = 1.0 if q <= 0.5 else -1.0
        weights, means, stds = self._flat()
        found = lower_quantile(weights, sign * means, stds, q if q <= 0.5 else 1.0 - q)
        return sign * found.reshape(len(self), -1)

    def _flat(self) -> tuple[Array, Array, Array]:
        """Components with rows and outputs as one axis, each (K, n * m)."""
        n_rows, n_components = self.weights.shape
        n_outputs = 1 if self._single else self.means.shape[2]
        weights = np.repeat(self.weights.T, n_outputs, axis=1)
        means, stds = (
            np.moveaxis(values.reshape(n_rows, n_components, n_outputs), 1, 0).reshape(
                weights.shape
            )
            for values in (self.means, self.stds)
        )
        return weights, means, stds

    @property
    def median(self) -> Array:
        """Median of each row."""
        return self.ppf(0.5)

    def interval(self, coverage: float = 0.9) -> Array:
        """Central interval: as much probability below it as above it.

        Parameters
        ----------
        coverage : float, default=0.9
            Probability of the interval, in (0, 1).

        Returns
        -------
        interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper bound, in the units of y.

        Raises
        ------
        ValueError
            If the coverage is outside (0, 1).
        """
        check_coverage(coverage)
        return self.ppf([0.5 * (1.0 - coverage), 0.5 * (1.0 + coverage)])

    @property
    def mode(self) -> Array:
        """Where the density is highest.

        From the mean of each component a fixed-point iteration, which never lowers the density,
        leads to a local maximum [1]_; the highest is the mode. Newton's steps replace those of the
        iteration where they raise the density more.

        References
        ----------
        .. [1] M. A. Carreira-Perpiñán (2000), "Mode-finding for mixtures of Gaussian
           distributions", IEEE Transactions on Pattern Analysis and Machine Intelligence 22,
           1318-1323.
        """
        weights, means, stds = self._flat()
        peaks = np.stack([nearest_mode(weights, means, stds, mean) for mean in means])
        heights = np.stack([density_parts(weights, means, stds, peak)[0] for peak in peaks])
        best = peaks[heights.argmax(axis=0), np.arange(peaks.shape[1])]
        return best if self._single else best.reshape(len(self), -1)

    # --- scores and draws ---

    def crps(self, y: ArrayLike) -> Array:
        """Continuous ranked probability score of observed values, in closed form [1]_.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values, one for each row.

        Returns
        -------
        crps : ndarray of the shape of y
            Scores in the units of y; smaller is better.

        References
        ----------
        .. [1] E. P. Grimit, T. Gneiting, V. J. Berrocal and N. A. Johnson (2006), "The continuous
           ranked probability score for circular variables and its application to mesoscale
           forecast ensemble verification", Quarterly Journal of the Royal Meteorological Society
           132, 2925-2942.
        """
        return self._at(y, self._crps)

    def _crps(self, points: Array) -> Array:
        parts = list(self._components())
        total: Array | float = 0.0
        for i, (weight, mean, std) in enumerate(parts):
            total = total + weight * mean_distance(points - mean, std)
            total = total - 0.5 * weight**2 * mean_distance(0.0, np.sqrt(2.0) * std)
            for other_weight, other_mean, other_std in parts[:i]:
                spread = np.hypot(std, other_std)
                total = total - weight * other_weight * mean_distance(mean - other_mean, spread)
        return np.asarray(total)

    def rvs(self, size: int | None = None, random_state: Any = None) -> Array:
        """Random draws; the outputs of a draw come from the same component.

        Parameters
        ----------
        size : int, default=None
            Number of draws for each row; None draws one and leaves its axis out.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

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
        chosen = np.zeros(shape, dtype=int)
        drawn = rng.uniform(size=shape) * levels[:, -1:]
        for level in levels.T[:-1]:
            chosen += drawn >= level[:, None]
        rows = np.arange(len(self))[:, None]
        means, stds = self.means[rows, chosen], self.stds[rows, chosen]
        draws = means + stds * rng.standard_normal(means.shape)
        return draws[:, 0] if size is None else draws


def check_coverage(coverage: Any) -> float:
    """A coverage must be a probability in (0, 1)."""
    if not isinstance(coverage, (float, np.floating)) or not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be a probability in (0, 1); got {coverage!r}. For 90 % say 0.9."
        )
    return float(coverage)


def _check_components(weights: Array, means: Array, stds: Array) -> None:
    if weights.ndim != 2 or means.shape[:2] != weights.shape or means.ndim > 3:
        raise ValueError(
            "weights must have shape (n_samples, n_components), and means the same with n_outputs "
            f"appended for several outputs; got {weights.shape} and {means.shape}."
        )
    if stds.shape != means.shape or not (stds > 0.0).all():
        raise ValueError(
            f"stds must be positive and have the shape of means, {means.shape}; got {stds.shape}."
        )
    if not (weights >= 0.0).all() or not np.allclose(weights.sum(axis=1), 1.0):
        raise ValueError("weights must not be negative, and those of a row must sum to one.")
