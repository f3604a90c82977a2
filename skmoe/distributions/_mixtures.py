"""Mixtures of components of every row, of any families, and those of normals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.probability import mean_distance, underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._base import RowMixtures, check_coverage
from skmoe.distributions._components import (
    JointComponents,
    NestedComponents,
    flatten_components,
    take_rows,
)
from skmoe.distributions._continuous import NormalComponents
from skmoe.distributions._searches import general_quantiles, normal_quantiles, quantiles

# Difference of the sum of the weights of a row from one that counts as round-off.
WEIGHT_TOL = 1e-5


class PredictiveDistribution(RowMixtures):
    """Mixtures of components of any families, one for each row and output.

    Rows come first in every array that is returned. Several values for each row (quantiles, draws,
    bounds of an interval) are the second axis. The outputs are the last axis, which is absent for a
    single output. Each output is treated by itself. Counts are returned as floats.

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
    is_count : bool
        Whether all components are distributions of counts.

    Raises
    ------
    ValueError
        If the shapes do not match, a weight is negative or the weights of a row do not sum to one.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    predictive_distribution : The distribution of a mixture of experts.

    Notes
    -----
    A component of Student's t has infinite variance up to 2 degrees of freedom, and no mean up to
    1: then `var` is infinite, and `mean` and `var` are not a number. Its score `crps` is finite
    above 1/2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.distributions import PoissonComponents, PredictiveDistribution
    >>> part = PoissonComponents(np.full((2, 1), 0.5), mean=np.array([[[1.0]], [[9.0]]]))
    >>> dist = PredictiveDistribution([part], [[1.0]])
    >>> dist.mean, dist.var
    (array([5.]), array([21.]))
    >>> dist.pmf([[0, 1, 2]]).round(3)
    array([[0.184, 0.184, 0.094]])
    >>> dist.interval(0.8), dist.mode
    (array([[ 0., 11.]]), array([1.]))
    """

    _search: ClassVar[Callable[..., Array]] = staticmethod(general_quantiles)

    def __init__(
        self, components: Sequence[Any], gate_prob: ArrayLike, single_output: bool = True
    ) -> None:
        self._parts = tuple(components)
        self._gate_prob = np.asarray(gate_prob, dtype=float)
        self._single = single_output
        n_parts, shape = len(self._parts), self._gate_prob.shape
        if not n_parts or len(shape) != 2 or n_parts != len(self._gate_prob):
            raise ValueError(
                "gate_prob must have shape (n_experts, n_samples), one row for each entry of "
                f"components; got shape {shape} for {n_parts}."
            )
        shapes = [part.weight.shape for part in self._parts]
        if any(len(own) != 2 or own[1] != shape[1] for own in shapes):
            raise ValueError(
                "weights of components must have shape (n_components, n_samples) with n_samples "
                f"{shape[1]}; got {shapes}."
            )
        self._blocks = tuple(part.block() for part in self._parts)
        outputs = {parameters[0].shape[2] for _, parameters in self._blocks}
        if len(outputs) > 1 or (single_output and outputs != {1}):
            raise ValueError(
                "components must have the same number of outputs, and one if single_output is "
                f"True; got {sorted(outputs)}."
            )
        self._n_outputs = outputs.pop()
        shares = [
            prob * part.weight for prob, part in zip(self._gate_prob, self._parts, strict=True)
        ]
        self.weights = np.ascontiguousarray(np.concatenate(shares)).T
        if (
            not (self.weights >= 0.0).all()
            or not (np.abs(self.weights.sum(axis=1) - 1.0) <= WEIGHT_TOL).all()
        ):
            raise ValueError("weights must not be negative, and those of a row must sum to one.")
        self.correlations = None if single_output else _correlations(self._parts)

    @classmethod
    def _of(cls, parts: Sequence[Any], gate_prob: Array, single_output: bool) -> Self:
        """An object of this class, without its own constructor."""
        made = cls.__new__(cls)
        PredictiveDistribution.__init__(made, parts, gate_prob, single_output)
        return made

    @property
    def is_count(self) -> bool:
        """Whether all components are distributions of counts, or point masses at zero."""
        return all(
            family.counts or (family.discrete and not np.any(family.atoms(*parameters)))
            for family, parameters in self._blocks
        )

    # --- the rows ---

    def __getitem__(self, rows: Any) -> Self:
        """The distributions of chosen rows, of which there may be none; an integer chooses one."""
        if isinstance(rows, (int, np.integer)):
            rows = [range(len(self))[rows]]
        parts, gate_prob = take_rows(self._parts, rows), self._gate_prob[:, rows]
        return self._of(parts, gate_prob, self._single)

    def __repr__(self) -> str:
        n_rows, n_components = self.weights.shape
        outputs = "" if self._single else f", {self._n_outputs} outputs"
        return f"<{type(self).__name__} of {n_rows} rows, {n_components} components{outputs}>"

    def as_components(self) -> Any:
        """These distributions as those of one expert of another mixture.

        Returns
        -------
        components : object
            Weights and parameters of the components, whose last axis counts the rows.
        """
        if len(self._parts) == 1:
            return self._parts[0]
        return NestedComponents(self._gate_prob, self._parts)

    # --- quantiles ---

    @underflow_to_zero
    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles, to 1e-10 in probability: the smallest values whose `cdf` reaches q.

        All rows and probabilities are solved at once, on the log probability of the smaller tail,
        in a bracket that starts with the quantiles of the components. Halley's method solves
        mixtures of normals, and Chandrupatla's method others. A quantile at a value that has a
        probability is that value.

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
        try:
            probs = np.asarray(q, dtype=float)
        except (TypeError, ValueError):
            probs = np.empty(0)
        if probs.ndim > 1 or not probs.size or not ((probs > 0.0) & (probs < 1.0)).all():
            raise ValueError(
                f"q must be a probability in (0, 1), or a list of them; got {q!r}. For 95 % use "
                "0.95; the quantiles of 0 and 1 can be infinite."
            )
        found = quantiles(self._flat_components(), np.atleast_1d(probs), self._search)
        found = found.reshape(probs.size, len(self.weights), self._n_outputs).swapaxes(0, 1)
        found = found[..., 0] if self._single else found
        return found[:, 0] if probs.ndim == 0 else found

    @property
    def median(self) -> Array:
        """Median of each row."""
        return self.ppf(0.5)

    def interval(self, coverage: float = 0.9) -> Array:
        """Central interval: as much probability below it as above it.

        The bounds are the quantiles of both tails. Of counts, whose probabilities come in steps,
        an interval that includes its bounds has at least the probability `coverage`.

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


class MixtureDistribution(PredictiveDistribution):
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
    PredictiveDistribution : Mixtures of other families, and of several.

    Examples
    --------
    >>> from skmoe.distributions import MixtureDistribution
    >>> dist = MixtureDistribution([[0.5, 0.5]], [[-1.0, 1.0]], [[0.1, 0.1]])
    >>> dist.mean, dist.std.round(3)
    (array([0.]), array([1.005]))
    >>> dist.interval(0.9).round(2)
    array([[-1.13,  1.13]])
    """

    _search = staticmethod(normal_quantiles)

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        stds: ArrayLike,
        correlations: ArrayLike | None = None,
    ) -> None:
        weights, means, stds = (np.asarray(own, dtype=float) for own in (weights, means, stds))
        if weights.ndim != 2 or means.shape[:2] != weights.shape or means.ndim > 3:
            raise ValueError(
                "weights must have shape (n_samples, n_components), and means the same with "
                f"n_outputs appended for several outputs; got {weights.shape} and {means.shape}."
            )
        if stds.shape != means.shape:
            raise ValueError(f"stds must have the shape of means, {means.shape}; got {stds.shape}.")
        if not (stds > 0.0).all():
            raise ValueError(f"stds must be positive; got {stds[~(stds > 0.0)][0]}.")
        parameters = (own.reshape(*weights.shape, -1).transpose(1, 2, 0) for own in (means, stds))
        part: Any = NormalComponents(weights.T, *parameters)
        if correlations is not None:
            part = JointComponents(part, np.asarray(correlations, dtype=float))
        super().__init__([part], np.ones((1, len(means))), means.ndim == 2)

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
    distribution : PredictiveDistribution
        A `MixtureDistribution` if all components are normal. The weights are those of the
        components times those of their expert.

    See Also
    --------
    MixtureDistribution : Mixtures of normals.
    PredictiveDistribution : Mixtures of other families, and of several.

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
    singles = [getattr(part, "marginal", part) for part in parts]
    are_normal = parts and all(isinstance(part, NormalComponents) for part in singles)
    kind = MixtureDistribution if are_normal else PredictiveDistribution
    return kind._of(parts, gate_prob, single_output)


def _correlations(parts: Sequence[Any]) -> Array | None:
    """Correlation matrices (C, m, m) of all components; None if all are independent."""
    if not any(isinstance(part, JointComponents) for part in parts):
        return None
    own = [
        part.correlation
        if isinstance(part, JointComponents)
        else np.tile(np.eye(part.block().parameters[0].shape[2]), (len(part.weight), 1, 1))
        for part in parts
    ]
    return np.concatenate(own)
