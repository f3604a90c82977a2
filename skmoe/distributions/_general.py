"""Mixtures of components of different families, of counts, and of mixtures; the predictive one."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.probability import mean_distance, underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._base import RowMixtures
from skmoe.distributions._checks import check_shapes, check_weights
from skmoe.distributions._component_functions import (
    Block,
    map_rows,
    mixture_parameters,
    mixture_weights,
)
from skmoe.distributions._count_families import NegativeBinomialComponents, PoissonComponents
from skmoe.distributions._diversity import integrated_variance, mean_score
from skmoe.distributions._general_searches import highest_points
from skmoe.distributions._joint import JointComponents, correlations, marginals
from skmoe.distributions._normal import NormalComponents
from skmoe.distributions._point_mass import PointMassComponents


class NestedComponents(NamedTuple):
    """The mixture that one expert predicts, of components of any families; rows are the last axis.

    Attributes
    ----------
    gate_prob : ndarray of shape (n_parts, n_rows)
        Probabilities of the parts, which sum to one.
    parts : tuple of components
        Components such as `NormalComponents`, whose own weights sum to one.
    """

    gate_prob: Array
    parts: tuple[Any, ...]

    def rescale(self, center: Array, scale: Array) -> NestedComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(parts=tuple(part.rescale(center, scale) for part in self.parts))

    def shift(self, offset: Array | float) -> NestedComponents:
        """Components of y + offset, for an offset of shape (m, n) or a number."""
        return self._replace(parts=tuple(part.shift(offset) for part in self.parts))


def average_components(components: Sequence[Any], n_rows: int) -> Any:
    """The mixture of several components with equal weights, of normal ones as such."""
    if all(isinstance(component, NormalComponents) for component in components):
        weight, mean, std = (np.concatenate(values) for values in zip(*components, strict=True))
        return NormalComponents(weight / len(components), mean, std)
    equal = np.full((len(components), n_rows), 1.0 / len(components))
    parts, prob = flatten_components(components, equal)
    return NestedComponents(prob, tuple(parts))


def flatten_components(components: Sequence[Any], gate_prob: Array) -> tuple[list[Any], Array]:
    """Components that are not nested, and their probabilities (K, n)."""
    if not any(isinstance(component, NestedComponents) for component in components):
        return list(components), gate_prob
    flat: list[Any] = []
    probs: list[Array] = []
    for component, prob in zip(components, gate_prob, strict=True):
        if isinstance(component, NestedComponents):
            flat += component.parts
            probs += list(prob * component.gate_prob)
        else:
            flat.append(component)
            probs.append(prob)
    return flat, np.stack(probs)


class ComponentMixtures(RowMixtures):
    """Mixtures of components of any families: what those of counts and of normals share."""

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
        taken, parts = copy(self), map_rows(self._parts, lambda values: values[..., rows])
        gate_prob = self._gate_prob[:, rows]
        ComponentMixtures.__init__(taken, parts, gate_prob, self._single_output)
        return taken

    def as_components(self) -> Any:
        """These distributions as those of one expert of another mixture.

        Returns
        -------
        components : object
            Weights and parameters of the components, whose last axis counts the rows.
        """
        return (
            self._parts[0]
            if len(self._parts) == 1
            else NestedComponents(self._gate_prob, self._parts)
        )

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


class GeneralMixtureDistribution(ComponentMixtures):
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


class MixtureDistribution(ComponentMixtures):
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
        weights, means, stds = (np.asarray(v, dtype=float) for v in (weights, means, stds))
        check_shapes(weights, means)
        if stds.shape != means.shape or not (stds > 0.0).all():
            raise ValueError(
                f"stds must be positive and have the shape of means, {means.shape}; got "
                f"{stds.shape}."
            )
        single_output = means.ndim == 2
        part: Any = _components_of(NormalComponents, weights, means, stds)
        if correlations is not None:
            part = JointComponents(part, np.asarray(correlations, dtype=float))
        super().__init__([part], np.ones((1, len(weights))), single_output)

    @property
    def means(self) -> Array:
        """Means of the components."""
        return self._blocks[0].parameters[0]

    @property
    def stds(self) -> Array:
        """Standard deviations of the components."""
        return self._blocks[0].parameters[1]

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


class CountMixtureDistribution(GeneralMixtureDistribution):
    """Mixtures of distributions of counts, one for each row and output.

    The components are negative binomials, of which Poissons are those without dispersion. Outputs
    share the weights. See "Distributions and calibration" in the user guide.

    Rows come first in every array. Several values for each row (quantiles, draws, bounds of an
    interval) are the second axis. The outputs are the last axis, which is absent if the target has
    one dimension. Each output is treated by itself. Counts are returned as floats.

    Parameters
    ----------
    weights : array-like of shape (n_samples, n_components)
        Probabilities of the components, which sum to one.
    means : array-like of shape (n_samples, n_components) or (n_samples, n_components, n_outputs)
        Means of the components, not negative. A component of mean 0 is the count 0: with it the
        mixture is zero-inflated.
    dispersions : array-like of the same shape as `means`, default=None
        Dispersions of negative binomials, not negative; the variance of a component is
        mean + dispersion * mean^2. None for Poissons.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one,
        or a mean or dispersion is negative or not finite.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    GeneralMixtureDistribution : Mixtures of other families, and of several.

    Examples
    --------
    >>> from skmoe.distributions import CountMixtureDistribution
    >>> dist = CountMixtureDistribution([[0.5, 0.5]], [[1.0, 9.0]])
    >>> dist.mean, dist.var
    (array([5.]), array([21.]))
    >>> dist.pmf([[0, 1, 2]]).round(3)
    array([[0.184, 0.184, 0.094]])
    >>> dist.interval(0.8), dist.mode
    (array([[ 0., 11.]]), array([1.]))
    """

    def __init__(
        self, weights: ArrayLike, means: ArrayLike, dispersions: ArrayLike | None = None
    ) -> None:
        weights, given = np.asarray(weights, dtype=float), {"means": np.asarray(means, dtype=float)}
        check_shapes(weights, given["means"])
        kind: type[Any] = PoissonComponents
        if dispersions is not None:
            kind, given["dispersions"] = NegativeBinomialComponents, np.asarray(dispersions, float)
            shape, wanted = given["dispersions"].shape, given["means"].shape
            if shape != wanted:
                raise ValueError(
                    f"dispersions must have the shape of means, {wanted}; got {shape}."
                )
        for name, values in given.items():
            refused = values[~((values >= 0.0) & np.isfinite(values))]
            if refused.size:
                raise ValueError(f"{name} must be finite and not negative; got {refused[0]}.")
        part = _components_of(kind, weights, *given.values())
        super().__init__([part], np.ones((1, len(weights))), given["means"].ndim == 2)

    @property
    def means(self) -> Array:
        """Means of the components."""
        return self._blocks[0].parameters[0]

    @property
    def dispersions(self) -> Array | None:
        """Dispersions of negative binomials; None for Poissons."""
        return next(iter(self._blocks[0].parameters[1:]), None)


def _components_of(kind: type[Any], weights: Array, *parameters: Array) -> Any:
    """Components of parameters (n, C) or (n, C, m), and weights (n, C)."""
    shape = *weights.shape, -1
    return kind(weights.T, *(values.reshape(shape).transpose(1, 2, 0) for values in parameters))


PredictiveDistribution = MixtureDistribution | CountMixtureDistribution | GeneralMixtureDistribution


def predictive_distribution(
    parts: Sequence[Any], gate_prob: Array, single_output: bool
) -> PredictiveDistribution:
    """Predictive distribution of a mixture of experts.

    The method `predict_dist` of the regressor calls it. You need it for components that you make
    yourself: see "Write your own expert" in the documentation.

    Parameters
    ----------
    parts : sequence of components
        Components of each of the K experts, for all rows. Their families may differ.
    gate_prob : ndarray of shape (K, n_rows)
        Probability of each expert.
    single_output : bool
        Whether the target has one dimension, so that the axis of the outputs is left out.

    Returns
    -------
    distribution : MixtureDistribution, CountMixtureDistribution or GeneralMixtureDistribution
        The first if all components are normal, the second if all are distributions of counts:
        Poissons, negative binomials and point masses at zero. The weights are those of the
        components times those of their expert.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    CountMixtureDistribution : Mixtures of distributions of counts.
    GeneralMixtureDistribution : Mixtures of other families, and of several.

    Examples
    --------
    Two experts with the means 0 and 4, and one row, which is of the second one in three of four
    cases:

    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, predictive_distribution
    >>> one = np.ones((1, 1, 1))
    >>> parts = [NormalComponents(one[0], mean * one, one) for mean in (0.0, 4.0)]
    >>> predictive_distribution(parts, np.array([[0.25], [0.75]]), single_output=True).mean
    array([3.])
    """
    parts, gate_prob = flatten_components(parts, gate_prob)
    weights = mixture_weights([part.weight for part in parts], gate_prob)
    of_outputs = marginals(parts)
    if all(isinstance(part, NormalComponents) for part in of_outputs):
        normal = [(part.mean, part.std) for part in of_outputs]
        means, stds = mixture_parameters(normal, single_output)
        dependence = None if single_output else correlations(parts)
        return MixtureDistribution(weights, means, stds, dependence)
    counts = [_counts(part) for part in parts]
    if any(count is None for count in counts):
        return GeneralMixtureDistribution(parts, gate_prob, single_output)
    means, dispersions = mixture_parameters(counts, single_output)
    dispersed = any(isinstance(part, NegativeBinomialComponents) for part in parts)
    return CountMixtureDistribution(weights, means, dispersions if dispersed else None)


def _counts(part: Any) -> tuple[Array, Array] | None:
    """Means and dispersions of components of counts, of which zero has mean 0; else None."""
    if isinstance(part, PoissonComponents):
        return part.mean, np.zeros_like(part.mean)
    if isinstance(part, NegativeBinomialComponents):
        return part.mean, part.dispersion
    if isinstance(part, PointMassComponents) and not part.value.any():
        return part.value, np.zeros_like(part.value)
    return None
