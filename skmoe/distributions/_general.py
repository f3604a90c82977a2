"""Mixtures of components of different families, continuous and discrete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._base import RowMixtures, check_weights
from skmoe.distributions._component_functions import Block
from skmoe.distributions._diversity import integrated_variance, mean_score
from skmoe.distributions._general_searches import highest_points
from skmoe.distributions._joint import correlations
from skmoe.distributions._nested import NestedComponents
from skmoe.distributions._rows import map_rows, mixture_weights


class GeneralMixtureDistribution(RowMixtures):
    """Mixtures of components of any families, one for each row and output.

    Rows come first in every array that is returned. Several values for each row (quantiles, draws,
    bounds of an interval) are the second axis. The outputs are the last axis, which is absent for a
    single output. Each output is treated by itself.

    Continuous and discrete components may be mixed, such as a point mass at zero and a gamma.
    Densities are then with respect to the sum of Lebesgue measure and a unit mass at each value
    that has a probability. At such a value `pdf` and `pmf` are this probability, and elsewhere
    `pdf` is the density of the continuous components. See "Distributions and calibration" in the
    user guide.

    Parameters
    ----------
    components : sequence of components
        Components of each of the K experts, such as `GammaComponents`, with rows as their last
        axis.
    gate_prob : array-like of shape (K, n_samples)
        Probability of each expert.
    single_output : bool, default=True
        Whether the axis of the outputs is left out of what is returned.

    Attributes
    ----------
    weights : ndarray of shape (n_samples, n_components)
        Probabilities of the components of all experts.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    CountMixtureDistribution : Mixtures of distributions of counts.

    Notes
    -----
    A component of Student's t has infinite variance up to 2 degrees of freedom, and no mean up to
    1: then `var` is infinite, and `mean` and `var` are not a number. Its score `crps` is finite
    above 1/2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import GammaComponents, GeneralMixtureDistribution
    >>> from skmoe.distributions import PointMassComponents
    >>> zero = PointMassComponents(weight=np.ones((1, 1)), value=np.zeros((1, 1, 1)))
    >>> gamma = GammaComponents(np.ones((1, 1)), mean=np.full((1, 1, 1), 3.0),
    ...                         shape=np.full((1, 1, 1), 2.0))
    >>> dist = GeneralMixtureDistribution([zero, gamma], [[0.2], [0.8]])
    >>> dist.mean, dist.pmf(0.0), dist.cdf_left(0.0)
    (array([2.4]), array([0.2]), array([0.]))
    >>> dist.ppf([0.1, 0.6]).round(3)
    array([[0.   , 2.518]])
    """

    def __init__(
        self, components: Sequence[Any], gate_prob: ArrayLike, single_output: bool = True
    ) -> None:
        self._parts = tuple(components)
        self._gate_prob = np.asarray(gate_prob, dtype=float)
        self._single_output = single_output
        _check_parts(self._parts, self._gate_prob, single_output)
        self.weights = mixture_weights([part.weight for part in self._parts], self._gate_prob)
        check_weights(self.weights)
        self.correlations = None if single_output else correlations(self._parts)
        blocks = [part.block() for part in self._parts]
        if single_output:
            blocks = [
                Block(family, tuple(values[..., 0] for values in parameters))
                for family, parameters in blocks
            ]
        self._blocks = tuple(blocks)

    def _take(self, rows: Any) -> Self:
        parts = [map_rows(part, lambda values: values[..., rows]) for part in self._parts]
        return type(self)(parts, self._gate_prob[:, rows], self._single_output)

    def as_components(self) -> Any:
        """These distributions as those of one expert of another mixture.

        Returns
        -------
        components : object
            Weights and parameters of the components, whose last axis counts the rows.
        """
        return NestedComponents(self._gate_prob, self._parts)

    # --- probabilities ---

    def pmf(self, y: ArrayLike) -> Array:
        """Probability of the value y itself.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            Zero if only continuous components can take the value.
        """
        return np.exp(self.logpmf(y))

    def logpmf(self, y: ArrayLike) -> Array:
        """Log probability of the value y itself.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,), (n_samples, n_values) or with n_outputs last
            One value for each row, or several along a second axis. A number, or a first axis of
            length one such as that of `grid[None]`, serves all rows.

        Returns
        -------
        log_probability : ndarray of the shape of y, with n_samples rows
            Minus infinity if only continuous components can take the value.
        """
        return self._at(y, lambda points: self._log_density(points, discrete=True))

    @property
    @underflow_to_zero
    def mode(self) -> Array:
        """Where `pdf` is highest.

        The modes of the components, the values that have a probability, and local maxima between
        the modes of the continuous components are compared. Where both values with a probability
        and a density exist, the result depends on the units of y, as the density does.
        """
        best = highest_points(self._flat_components())
        return best if self._single else best.reshape(len(self), self._n_outputs)

    # --- scores ---

    def _crps(self, points: Array) -> Array:
        with np.errstate(invalid="ignore"):  # of values that may be infinite
            variance = integrated_variance(self._flat_components())
            score = mean_score(list(self._components()), points)
            score = score - variance.reshape(len(self), 1, self._n_outputs)
        return np.where(np.isnan(score) & ~np.isnan(points), np.inf, np.maximum(score, 0.0))


def _check_parts(parts: Sequence[Any], gate_prob: Array, single_output: bool) -> None:
    """Components of the experts must agree with the probabilities of the gate."""
    if not parts or gate_prob.ndim != 2 or len(parts) != len(gate_prob):
        raise ValueError(
            "gate_prob must have shape (n_experts, n_samples), one row for each entry of "
            f"components; got shape {gate_prob.shape} for {len(parts)}."
        )
    shapes = [part.weight.shape for part in parts]
    if any(len(shape) != 2 or shape[1] != gate_prob.shape[1] for shape in shapes):
        raise ValueError(
            "weights of components must have shape (n_components, n_samples) with n_samples "
            f"{gate_prob.shape[1]}; got {shapes}."
        )
    outputs = {part.block().parameters[0].shape[2] for part in parts}
    if len(outputs) > 1 or (single_output and outputs != {1}):
        raise ValueError(
            "components must have the same number of outputs, and one if single_output is True; "
            f"got {sorted(outputs)}."
        )
