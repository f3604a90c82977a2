"""What mixtures of all families of components share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skmoe._numerics.normal_mixtures import log_total
from skmoe._numerics.typing import Array


@dataclass(frozen=True)
class Family:
    """A family of component distributions: functions of points and of the parameters.

    Points and parameters are arrays that broadcast against each other. `variance` takes the
    parameters only, and `draw` a random state and the parameters.
    """

    parameters: tuple[str, ...]  # attributes of the mixture that hold them; "means" comes first
    variance: Callable[..., Array]
    cdf: Callable[..., Array]
    sf: Callable[..., Array]
    log_cdf: Callable[..., Array]
    log_sf: Callable[..., Array]
    draw: Callable[..., Array]


class RowMixtures(ABC):
    """Mixtures of one family, one for each row and output, that share weights over the outputs."""

    _family: ClassVar[Family]
    weights: Array
    means: Array

    @abstractmethod
    def __init__(self, weights: ArrayLike, *parameters: ArrayLike) -> None:
        """Weights and parameters of the components, in the order of the family."""

    # --- the rows ---

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Any) -> Self:
        """The distributions of chosen rows; an integer chooses one row."""
        if isinstance(rows, (int, np.integer)):
            rows = [range(len(self))[rows]]
        return type(self)(self.weights[rows], *(values[rows] for values in self._parameters()))

    def __repr__(self) -> str:
        n_rows, n_components = self.weights.shape
        outputs = "" if self._single else f", {self.means.shape[2]} outputs"
        return f"<{type(self).__name__} of {n_rows} rows, {n_components} components{outputs}>"

    @property
    def _single(self) -> bool:
        return self.means.ndim == 2

    @property
    def _n_outputs(self) -> int:
        return 1 if self._single else self.means.shape[2]

    def _parameters(self) -> list[Array]:
        """Parameters of the components, each of the shape of `means`."""
        return [getattr(self, name) for name in self._family.parameters]

    def _components(self) -> Iterator[tuple[Array, ...]]:
        """Weight (n, 1, 1) and parameters (n, 1, m) of each component."""
        shape = (*self.weights.shape, self._n_outputs)
        parameters = [values.reshape(shape) for values in self._parameters()]
        for k in range(shape[1]):
            yield self.weights[:, k, None, None], *(values[:, k, None] for values in parameters)

    def _flat(self) -> tuple[Array, ...]:
        """Weights and parameters with rows and outputs as one axis, each (K, n * m)."""
        shape = (*self.weights.shape, self._n_outputs)
        weights = np.repeat(self.weights.T, self._n_outputs, axis=1)
        parameters = (
            np.moveaxis(values.reshape(shape), 1, 0).reshape(weights.shape)
            for values in self._parameters()
        )
        return weights, *parameters

    # --- moments ---

    @property
    def mean(self) -> Array:
        """Mean of each row, of shape (n_samples,) or (n_samples, n_outputs)."""
        return np.einsum("nk,nk...->n...", self.weights, self.means)

    @property
    def var(self) -> Array:
        """Variance of each row: within the components and between them."""
        between = np.square(self.means - self.mean[:, None])
        within = self._family.variance(*self._parameters())
        return np.einsum("nk,nk...->n...", self.weights, within + between)

    @property
    def std(self) -> Array:
        """Standard deviation of each row, in the units of y."""
        return np.sqrt(self.var)

    # --- probabilities ---

    def cdf(self, y: ArrayLike) -> Array:
        """Probability of a value up to y; see `logpdf` for the shape of y."""
        return self._at(y, lambda points: self._sum(self._family.cdf, points))

    def sf(self, y: ArrayLike) -> Array:
        """Probability of a value above y, exact where `1 - cdf` would be zero."""
        return self._at(y, lambda points: self._sum(self._family.sf, points))

    def logcdf(self, y: ArrayLike) -> Array:
        """Log probability of a value up to y."""
        return self._at(y, lambda points: self._log_sum(self._family.log_cdf, points))

    def logsf(self, y: ArrayLike) -> Array:
        """Log probability of a value above y."""
        return self._at(y, lambda points: self._log_sum(self._family.log_sf, points))

    def _sum(self, part: Callable[..., Array], points: Array) -> Array:
        return weighted_sum(self._components(), part, points)

    def _log_sum(self, part: Callable[..., Array], points: Array) -> Array:
        # Absent components have weight zero; what is not a number stays so.
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = log_total(
                np.log(weight) + part(points, *parameters)
                for weight, *parameters in self._components()
            )
        return np.minimum(logs, 0.0)

    def _at(self, y: ArrayLike, answer: Callable[[Array], Array]) -> Array:
        """What `answer` says of points (n, q, m), in the shape of y."""
        points = np.asarray(y, dtype=float)
        n_outputs = self._n_outputs
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
        values = answer(points)
        values = values[:, 0] if per_row else values
        return values[..., 0] if self._single else values

    # --- quantiles ---

    @abstractmethod
    def _quantile(self, q: float) -> Array:
        """One quantile of every row and output, (n, m)."""

    def _quantiles(self, q: ArrayLike) -> Array:
        """Quantiles in the shape that `ppf` documents."""
        probs = np.asarray(q, dtype=float)
        if probs.ndim > 1 or not ((probs > 0.0) & (probs < 1.0)).all():
            raise ValueError(
                f"q must be a probability in (0, 1), or a list of them; got {q!r}. The quantiles "
                "of 0 and 1 are infinite."
            )
        found = np.stack([self._quantile(float(p)) for p in np.atleast_1d(probs)], axis=1)
        found = found[..., 0] if self._single else found
        return found[:, 0] if probs.ndim == 0 else found

    @property
    def median(self) -> Array:
        """Median of each row."""
        return self._quantiles(0.5)

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
        return self._quantiles([0.5 * (1.0 - coverage), 0.5 * (1.0 + coverage)])

    # --- draws ---

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
        draws = self._family.draw(rng, *(values[rows, chosen] for values in self._parameters()))
        return draws[:, 0] if size is None else draws


def weighted_sum(
    components: Iterable[Sequence[Array]], part: Callable[..., Array], points: Array
) -> Array:
    """Sum of weighted probabilities, term by term: no array holds all components."""
    total = np.zeros(())
    for weight, *parameters in components:
        total = total + weight * part(points, *parameters)
    return np.minimum(total, 1.0)


# --- components of expert families ---


def expand_rows(values: Array, rows: Array, n_rows: int, fill: float) -> Array:
    """Array with `n_rows` on its last axis, of which `rows` are given and the others `fill`."""
    expanded = np.full((*values.shape[:-1], n_rows), fill)
    expanded[..., rows] = values
    return expanded


def mixture_weights(weights: Iterable[Array], gate_prob: Array) -> Array:
    """Weights (n, C) of the components (C_k, n) of all experts, from those of the gate (K, n)."""
    shares = [share * weight for share, weight in zip(gate_prob, weights, strict=True)]
    return np.ascontiguousarray(np.concatenate(shares)).T


def mixture_parameters(values: Iterable[Array], single_output: bool) -> Array:
    """Parameters (n, C, m) of the components (C_k, m, n) of all experts, or (n, C) of one output.

    Row sums depend on the memory layout in their last bit; it is always that of (C, m, n).
    """
    stacked = np.ascontiguousarray(np.concatenate(list(values))).transpose(2, 0, 1)
    return stacked[..., 0] if single_output else stacked


# --- checks ---


def check_coverage(coverage: Any) -> float:
    """A coverage must be a probability in (0, 1)."""
    if not isinstance(coverage, (float, np.floating)) or not 0.0 < coverage < 1.0:
        raise ValueError(
            f"coverage must be a probability in (0, 1); got {coverage!r}. For 90 % say 0.9."
        )
    return float(coverage)


def check_shapes(weights: Array, means: Array) -> None:
    """Weights (n, K) and means (n, K) or (n, K, m) must agree."""
    if weights.ndim != 2 or means.shape[:2] != weights.shape or means.ndim > 3:
        raise ValueError(
            "weights must have shape (n_samples, n_components), and means the same with n_outputs "
            f"appended for several outputs; got {weights.shape} and {means.shape}."
        )


def check_weights(weights: Array) -> None:
    """Weights must be probabilities that sum to one in every row."""
    if not (weights >= 0.0).all() or not np.allclose(weights.sum(axis=1), 1.0):
        raise ValueError("weights must not be negative, and those of a row must sum to one.")
