"""Mixtures of normals."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.normal_mixtures import (
    density_parts,
    mean_distance,
    nearest_mode,
)
from skmoe._numerics.probability import LOG_2PI, underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._base import RowMixtures, check_shapes, check_weights
from skmoe.distributions._component_functions import Block, Components, functions_of_normal
from skmoe.distributions._joint import JointComponents


def _log_pdf(y: Array, mean: Array, std: Array) -> Array:
    return -np.log(std) - 0.5 * (LOG_2PI + ((y - mean) / std) ** 2)


def _crps(y: Array, mean: Array, std: Array) -> Array:
    """Score of one component: Gneiting and Raftery (2007)."""
    return mean_distance(y - mean, std) - std / np.sqrt(np.pi)


NORMAL = functions_of_normal(
    lambda y, mean, std: (y - mean) / std,
    lambda score, mean, std: mean + std * score,
    mean=lambda mean, std: mean,
    variance=lambda mean, std: np.square(std),
    mode=lambda mean, std: mean,
    log_pdf=_log_pdf,
    crps=_crps,
    location_scale=True,
)


class NormalComponents(namedtuple("_NormalFields", "weight mean std"), Components):
    """Mixtures of normals that one expert predicts, one for each row; rows are the last axis.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_rows)
        Probabilities of the components, which sum to one.
    mean : ndarray of shape (n_components, n_outputs, n_rows)
        Means of the components.
    std : ndarray of shape (n_components, n_outputs, n_rows)
        Standard deviations of the components.

    See Also
    --------
    predictive_distribution : The mixture of the components of several experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, predictive_distribution
    >>> parts = NormalComponents(np.ones((1, 2)), np.zeros((1, 1, 2)), np.full((1, 1, 2), 2.0))
    >>> predictive_distribution([parts], np.ones((1, 2)), single_output=True).var
    array([4., 4.])
    """

    functions = NORMAL
    locations = ("mean",)
    scales = ("std",)


class MixtureDistribution(RowMixtures):
    """Mixtures of normals, one for each row and output, that share their weights over outputs.

    Rows come first in every array. Several values for each row (quantiles, draws, bounds of an
    interval) are the second axis. The outputs are the last axis, which is absent if the target has
    one dimension. Each output is treated by itself.

    The properties `mean`, `std`, `var`, `median` and `mode` are arrays: `dist.mean`, not
    `dist.mean()`. The methods `pdf`, `cdf`, `ppf`, `interval`, `crps` and `rvs` are called. See
    "Distributions and calibration" in the user guide, and "Do intervals adapt to the noise?" in
    the gallery.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_components)
        Probabilities of the components, which sum to one.
    means : array-like of shape (n_samples, n_components) or (n_samples, n_components, n_outputs)
        Means of the components.
    stds : array-like of the same shape as `means`
        Standard deviations of the components, positive.
    correlations : array-like of shape (n_components, n_outputs, n_outputs), default=None
        Correlation matrices of the outputs in each component; None for independent outputs.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one,
        or a standard deviation is not positive.

    See Also
    --------
    CountMixtureDistribution : Mixtures of distributions of counts.
    GeneralMixtureDistribution : Mixtures of other families, and of several.

    Examples
    --------
    >>> from skmoe.distributions import MixtureDistribution
    >>> dist = MixtureDistribution([[0.5, 0.5]], [[-1.0, 1.0]], [[0.1, 0.1]])
    >>> dist.mean, dist.std.round(3)
    (array([0.]), array([1.005]))
    >>> dist.interval(0.9).round(2)
    array([[-1.13,  1.13]])
    """

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        stds: ArrayLike,
        correlations: ArrayLike | None = None,
    ) -> None:
        self.weights = np.asarray(weights, dtype=float)
        self.means = np.asarray(means, dtype=float)
        self.stds = np.asarray(stds, dtype=float)
        self.correlations = None if correlations is None else np.asarray(correlations, dtype=float)
        check_shapes(self.weights, self.means)
        if self.stds.shape != self.means.shape or not (self.stds > 0.0).all():
            raise ValueError(
                f"stds must be positive and have the shape of means, {self.means.shape}; got "
                f"{self.stds.shape}."
            )
        check_weights(self.weights)
        self._blocks = (Block(NORMAL, (self.means, self.stds)),)

    def _take(self, rows: Any) -> Self:
        weights, means, stds = (values[rows] for values in (self.weights, self.means, self.stds))
        return type(self)(weights, means, stds, self.correlations)

    def as_components(self) -> NormalComponents | JointComponents:
        """These distributions as those of one expert of another mixture.

        Returns
        -------
        components : object
            Weights and parameters of the components, whose last axis counts the rows.
        """
        mean, std = (v.reshape(*self.weights.shape, -1) for v in (self.means, self.stds))
        normal = NormalComponents(self.weights.T, mean.transpose(1, 2, 0), std.transpose(1, 2, 0))
        return normal if self.correlations is None else JointComponents(normal, self.correlations)

    @property
    @underflow_to_zero
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
        parts = ((weight, *own) for _, weight, own in self._flat_components())
        weights, means, stds = (np.stack(values) for values in zip(*parts, strict=True))
        peaks = np.stack([nearest_mode(weights, means, stds, mean) for mean in means])
        heights = np.stack([density_parts(weights, means, stds, peak)[0] for peak in peaks])
        best = peaks[heights.argmax(axis=0), np.arange(peaks.shape[1])]
        return best if self._single else best.reshape(len(self), self._n_outputs)

    # --- scores ---

    def _crps(self, points: Array) -> Array:
        parts = list(self._components())
        total: Array | float = 0.0
        for i, (_, weight, (mean, std)) in enumerate(parts):
            total = total + weight * mean_distance(points - mean, std)
            total = total - 0.5 * weight**2 * mean_distance(0.0, np.sqrt(2.0) * std)
            for _, other_weight, (other_mean, other_std) in parts[:i]:
                spread = np.hypot(std, other_std)
                total = total - weight * other_weight * mean_distance(mean - other_mean, spread)
        return np.asarray(total)
