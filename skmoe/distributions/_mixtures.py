"""Mixtures of components of every row, of any families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import utils

from skmoe._numerics.probability import mean_distance, underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions import _sums as sums
from skmoe.distributions._components import (
    JointComponents,
    NestedComponents,
    flatten_components,
    joint_log_density,
    one_output,
    take_rows,
)
from skmoe.distributions._continuous import NORMAL
from skmoe.distributions._sums import Component, weighted_sum
from skmoe.exceptions import OptionWarning, warn_user

# Difference of the sum of the weights of a row from one that counts as round-off.
WEIGHT_TOL = 1e-5

# Standard deviations above the mean from which on restricted means are those without the rest.
FAR_ABOVE = 1e3


def check_coverage(coverage: Any) -> float:
    """A coverage must be a probability in (0, 1)."""
    if not isinstance(coverage, (float, np.floating)) or not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be a probability in (0, 1); got {coverage!r}. For 90 % use 0.9."
        )
    return float(coverage)


def check_quantiles(q: Any) -> Array:
    """Quantiles must be of probabilities in (0, 1): one of them, or a list."""
    try:
        probs = np.asarray(q, dtype=float)
    except (TypeError, ValueError):
        probs = np.empty(0)
    if probs.ndim > 1 or not probs.size or not ((probs > 0.0) & (probs < 1.0)).all():
        raise ValueError(
            f"q must be a probability in (0, 1), or a list of them; got {q!r}. For 95 % use "
            "0.95; the quantiles of 0 and 1 can be infinite."
        )
    return probs


def check_random_state(random_state: Any) -> np.random.RandomState:
    """The random state of a parameter `random_state`."""
    try:
        return utils.check_random_state(random_state)
    except ValueError:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1, or a RandomState of NumPy; "
            f"got {random_state!r}. Pass an integer such as random_state=0."
        ) from None


def _numbers(y: Any) -> Array:
    """Values of y must be numbers, or missing; None as a whole is neither."""
    try:
        return np.asarray(y if y is not None else {}, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"y must hold numbers; got {y!r:.80}. If it is censored, use score_samples(X, y) or "
            "skmoe.metrics.censored_crps; of a dict of outcomes pass the columns of an array."
        ) from None


def _check_count(name: str, value: Any) -> int:
    """A number of draws must be a positive integer."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}. Pass, say, 200.")
    return int(value)


class PredictiveDistribution:
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
    >>> dist.interval(0.8)
    array([[ 0., 11.]])
    """

    output_names: Sequence[str] = ()  # of several, if they are known

    def __init__(
        self, components: Sequence[Any], gate_prob: ArrayLike, single_output: bool = True
    ) -> None:
        self._parts = tuple(components)
        self._gate_prob = np.asarray(gate_prob, dtype=float)
        self._single = single_output
        n_parts, shape = len(self._parts), self._gate_prob.shape
        shapes = [np.shape(part.weight)[1:] for part in self._parts]
        if not n_parts or len(shape) != 2 or shapes != [shape[1:]] * len(self._gate_prob):
            raise ValueError(
                "gate_prob must have shape (n_experts, n_samples), one row for each entry of "
                "components, whose weights have shape (n_components, n_samples); got shape "
                f"{shape} for {n_parts} with {shapes}."
            )
        self._blocks = tuple(part.block() for part in self._parts)
        outputs = {parameters[0].shape[2] for _, parameters in self._blocks}
        if len(outputs) > 1 or (single_output and outputs != {1}):
            raise ValueError(
                "components must have the same number of outputs, and one if single_output is "
                f"True; got {sorted(outputs)}."
            )
        self._n_outputs = outputs.pop()
        pairs = zip(self._gate_prob, self._parts, strict=True)
        shares = [prob * part.weight for prob, part in pairs]
        self.weights = np.ascontiguousarray(np.concatenate(shares)).T
        excess = np.abs(self.weights.sum(axis=1) - 1.0)
        if not ((self.weights >= 0.0).all() and (excess <= WEIGHT_TOL).all()):
            raise ValueError("weights must not be negative, and those of a row must sum to one.")
        # Correlation matrices of the outputs in each component, (C, m, m); None if independent.
        self.correlations: Array | None = None
        if any(isinstance(part, JointComponents) for part in self._parts):
            alone = np.eye(self._n_outputs)
            own = [getattr(p, "correlation", [alone] * len(p.weight)) for p in self._parts]
            self.correlations = np.concatenate(own)

    @property
    def is_count(self) -> bool:
        """Whether all components are distributions of counts, or point masses at zero."""
        return all(
            family.counts or (family.discrete and not np.any(family.atoms(*parameters)))
            for family, parameters in self._blocks
        )

    # --- the rows ---

    def __getitem__(self, rows: Any) -> PredictiveDistribution:
        """The distributions of chosen rows, of which there may be none; an integer chooses one."""
        if isinstance(rows, (int, np.integer)):
            rows = [range(len(self))[rows]]
        parts, gate_prob = take_rows(self._parts, rows), self._gate_prob[:, rows]
        chosen = type(self)(parts, gate_prob, self._single)
        chosen.output_names = self.output_names
        return chosen

    def marginal(self, output: int | str) -> PredictiveDistribution:
        """The distributions of one of several outputs.

        Parameters
        ----------
        output : int or str
            Its number, or the name of its column in the y of the fit.

        Returns
        -------
        distribution : PredictiveDistribution
            That of a single output.
        """
        names: list[Any] = list(self.output_names)
        index: Any = names.index(output) if output in names else output
        if not isinstance(index, (int, np.integer)) or not 0 <= index < self._n_outputs:
            raise ValueError(
                f"output must be a number from 0 to {self._n_outputs - 1}"
                f"{f', or one of {names}' if names else ''}; got {output!r}."
            )
        parts = [one_output(part, int(index)) for part in self._parts]
        return predictive_distribution(parts, self._gate_prob, single_output=True)

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

        def flat(values: Array) -> Array:
            return np.broadcast_to(values, (len(self), n_values, self._n_outputs)).reshape(-1)

        parts = self._components()
        return [Component(kind, flat(share), tuple(map(flat, own))) for kind, share, own in parts]

    def _integrals(self, points: Array, power: int) -> Array:
        """Integrals (2, n, q, m) of a power of both tails, up to points and from them on."""
        shape = len(self), points.shape[1], self._n_outputs
        flat = np.broadcast_to(np.where(np.isfinite(points), points, 0.0), shape).reshape(-1)
        return sums.tail_integrals(self._flat_components(shape[1]), flat, power).reshape(2, *shape)

    def _squeeze(self, values: Array) -> Array:
        """Without the last axis, of the outputs, if there is a single one."""
        return values[..., 0] if self._single else values

    # --- moments ---

    def _moments(self, name: str) -> Array:
        """Means or variances of the components, (n, C, m)."""
        with np.errstate(over="ignore"):
            moments = [getattr(functions, name)(*own) for functions, own in self._blocks]
        # Absent components have weight zero.
        return np.where(self.weights[..., None] > 0.0, np.concatenate(moments, axis=1), 0.0)

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
        return sums.log_weighted_sum(chosen, "log_pdf", points)

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
        return self._at_jointly(y, lambda at: joint_log_density(parts, self.correlations, at))

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
        return self._at(y, lambda at: weighted_sum(self._components(), "cdf", at, left=True))

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
            that the count is at least y. NaN where the probability that it is relative to is zero.
            Far in the tails, where the logarithms of both are large, it has fewer digits.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """

        def hazard(points: Array) -> Array:
            later = self._log_sum("log_sf", points, left=True)
            return np.where(later > -np.inf, np.exp(self._logpdf(points) - later), np.nan)

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
            At most y, and at most the mean, in the units of y; for infinite y the mean.

        Warns
        -----
        OptionWarning
            If y is a vector of increasing times: each of them is taken for one row only.
        """
        return self._at_times(y, self._restricted_mean)

    def _restricted_mean(self, points: Array) -> Array:
        mean = self.mean.reshape(len(self), 1, self._n_outputs)
        means: Any = 0.0
        for family, weight, own in self._components():
            until = family.mean(*own) * family.share_of_mean(points, *own)
            means += weight * np.minimum(points * family.sf(points, *own) + until, points)
        # Far below the mean the sum has lost digits.
        integrated = np.isfinite(points) & ~(np.isfinite(means) & (points > 1e-6 * mean))
        if integrated.any():
            lower, upper = self._integrals(points, 1)
            # Far above the mean the difference to the integral of the lower tail loses digits.
            is_far = (points - mean > FAR_ABOVE * self.std.reshape(mean.shape)) & (upper < np.inf)
            others = np.minimum(np.where(is_far, mean - upper, points - lower), mean)
            # Without a mean the integral of the lower tail is infinite.
            others = np.where(np.isnan(mean), -np.inf, others)
            means = np.where(integrated, others, means)
        return np.where(np.isposinf(points), mean, np.where(np.isneginf(points), points, means))

    def _log_sum(self, name: str, points: Array, *, left: bool = False) -> Array:
        return np.minimum(sums.log_weighted_sum(self._components(), name, points, left=left), 0.0)

    def _at_times(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` returns of times, with a warning if they may be meant for all rows."""
        times = _numbers(y)
        is_per_row = self._single and times.ndim == 1 and 1 < len(times) == len(self)
        if is_per_row and times[0] >= 0.0 and (times[1:] > times[:-1]).all():
            warn_user(
                f"y has one entry for each of the {len(self)} rows, since it has one dimension. "
                "Pass y[None] for the same values in every row, or y[:, None] for one in each.",
                OptionWarning,
            )
        return self._at(y, answer)

    def _at_jointly(self, y: ArrayLike, answer: Callable[[Array], Any]) -> Array:
        """What `answer` returns (n, q, 1) of all outputs, in the shape of y without their axis."""
        found = self._at(y, answer)
        return found if self._single else found[..., 0]

    def _at(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` returns of points (n, q, m), in the shape of y."""
        points = _numbers(y)
        outputs_last = points[..., None] if self._single or not points.ndim else points
        *shape, n_outputs = outputs_last.shape
        fits = len(shape) <= 2 and [*shape, 1][0] in (1, len(self))
        if not fits or (points.ndim and n_outputs != self._n_outputs):
            last = "" if self._single else f", {self._n_outputs}"
            raise ValueError(
                f"y must be a number or have shape ({len(self)}{last or ','}) or "
                f"({len(self)}, n_values{last}), one row for each row of X; got {points.shape}. "
                "Pass the same values for every row as y[None]."
            )
        with np.errstate(all="ignore"):  # limits are returned where numbers over- or underflow
            values = answer(outputs_last.reshape(*[*shape, 1, 1][:2], n_outputs))
        return self._squeeze(values[:, 0] if len(shape) < 2 else values)

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
        rng = check_random_state(random_state)
        chosen = self._chosen(size, rng)
        draws = np.empty((*chosen.shape, self._n_outputs))
        start = 0
        for family, parameters in self._blocks:
            stop = start + parameters[0].shape[1]
            rows, columns = np.nonzero((chosen >= start) & (chosen < stop))
            of_block = chosen[rows, columns] - start
            drawn = tuple(v[rows, of_block] for v in parameters)
            if self.correlations is None:
                draws[rows, columns] = family.draw(rng, *drawn)
            else:
                roots = np.linalg.cholesky(self.correlations[start:stop])[of_block]
                score = np.einsum("rij,rj->ri", roots, rng.standard_normal(drawn[0].shape))
                draws[rows, columns] = family.from_normal_score(score, *drawn)
            start = stop
        return self._squeeze(draws[:, 0] if size is None else draws)

    def _chosen(self, size: int | None, rng: np.random.RandomState) -> Array:
        """Numbers of the components (n, size) of draws."""
        shape = len(self), 1 if size is None else _check_count("size", size)
        levels = np.cumsum(self.weights, axis=1)
        uniform = rng.uniform(size=shape) * levels[:, -1:]
        chosen = np.sum([uniform >= level[:, None] for level in levels.T[:-1]], axis=0)
        return np.broadcast_to(chosen, shape).astype(int)

    # --- scores ---

    def _crps(self, points: Array) -> Array:
        """Scores of observed values (n, q, m)."""
        if not all(family is NORMAL for family, _ in self._blocks):
            scores = self._integrals(points, 2).sum(axis=0)
            return np.where(np.isfinite(points), scores, np.abs(points))
        parts = list(self._components())
        total: Array | float = 0.0
        for i, (_, weight, (mean, std)) in enumerate(parts):
            total = total + weight * mean_distance(points - mean, std)
            total = total - 0.5 * weight**2 * mean_distance(0.0, np.sqrt(2.0) * std)
            for _, other_weight, (other_mean, other_std) in parts[:i]:
                spread = np.hypot(std, other_std)
                total = total - weight * other_weight * mean_distance(mean - other_mean, spread)
        return np.asarray(total)

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
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or with n_values in between
            Observed values of all outputs for each row, or several along a second axis.
        n_draws : int, default=200
            Number of pairs of draws for each row.
        random_state : int, RandomState instance or None, default=0
            Source of randomness.

        Returns
        -------
        energy_score : ndarray of shape (n_samples,) or (n_samples, n_values)
            Scores in the units of y; smaller is better.

        Raises
        ------
        ValueError
            If y has another shape, or n_draws is not a positive integer.

        References
        ----------
        .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
           estimation", Journal of the American Statistical Association 102, 359-378.
        """
        n_pairs, rng = _check_count("n_draws", n_draws), check_random_state(random_state)

        def of_pair(points: Array) -> Any:
            shape = len(self), 1, self._n_outputs
            one, other = (self.rvs(None, rng).reshape(shape) for _ in range(2))
            distances = (one - points, other - points, other - one)
            near, far, apart = (np.linalg.norm(d, axis=2, keepdims=True) for d in distances)
            return 0.5 * (near + far - apart)

        return self._at_jointly(y, lambda at: sum(of_pair(at) for _ in range(n_pairs)) / n_pairs)

    # --- quantiles ---

    @underflow_to_zero
    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles, to 1e-10 in probability: the smallest values whose `cdf` reaches q.

        All rows and probabilities are solved at once, on the smaller tail, in a bracket that starts
        with the quantiles of the components. Newton's method solves for the normal score of the
        probability, and Chandrupatla's method finds counts. A quantile at a value that has a
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
        probs = check_quantiles(q)
        found = sums.quantiles(self._flat_components(), np.atleast_1d(probs))
        found = found.reshape(probs.size, len(self.weights), self._n_outputs).swapaxes(0, 1)
        return self._squeeze(found[:, 0] if probs.ndim == 0 else found)

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


def predictive_distribution(
    parts: Sequence[Any], gate_prob: Array, single_output: bool
) -> PredictiveDistribution:
    """Predictive distribution of a mixture of experts.

    The method `predict_dist` of the regressor calls it. You need it for components that you make
    yourself: see "Write your own family, gate and experts" in the tutorials.

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
        The weights are those of the components times those of their expert.

    See Also
    --------
    PredictiveDistribution : Mixtures of any families.

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
    return PredictiveDistribution(*flatten_components(parts, gate_prob), single_output)
