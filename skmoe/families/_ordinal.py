"""Cumulative logits for ratings, scores and other ordered values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import OrdinalComponents
from skmoe.families._base import Curvature, Family, as_outputs
from skmoe.protocols import Dispersion

# Bounds of the log differences of thresholds.
LOG_STEP_BOUNDS = (-12.0, 5.0)

# Smallest difference of two thresholds in derivatives.
MIN_GAP = 1e-12

# Largest exponent: its exponential is finite.
MAX_EXPONENT = 700.0


@dataclass(frozen=True)
class Ordinal(Family):
    r"""Cumulative logit model for ordered values :math:`v_1 < v_2 < \dots < v_L` [1]_.

    Use it, as `family="ordinal"`, for ratings and scores. The log odds of :math:`y > v_l` are
    :math:`\eta - c_l`, with thresholds :math:`0 = c_1 < c_2 < \dots`, which are the same for all
    rows of an expert. With two values it is a logistic regression. See "Families" in the user
    guide.

    Parameters
    ----------
    values : tuple of float, default=()
        The possible values, 2 to 30, such as `(1.0, 2.0, 3.0, 4.0, 5.0)`; empty for the distinct
        values of y in the fit.

    See Also
    --------
    skmoe.MixtureOfExpertsClassifier : Classes without an order.

    References
    ----------
    .. [1] P. McCullagh (1980), "Regression models for ordinal data", Journal of the Royal
       Statistical Society B 42, 109-142.

    Examples
    --------
    >>> from skmoe.families import Ordinal
    >>> len(Ordinal(values=(1.0, 2.0, 3.0, 4.0, 5.0)).dispersions)
    3
    """

    name: ClassVar[str] = "ordinal"
    takes_bounds: ClassVar[bool] = False
    link: ClassVar[str] = "logit"
    is_continuous: ClassVar[bool] = False
    max_step: ClassVar[float] = 2.0
    max_outputs: ClassVar[float] = 1
    max_values: ClassVar[float] = 30  # each has a threshold in every expert
    has_dispersion: ClassVar[bool] = False

    values: tuple[float, ...] = ()

    @property
    def support(self) -> str:
        """The possible values."""
        if not self.values:
            return "finite numbers"
        return f"the values {', '.join(f'{value:g}' for value in self.values)}"

    @property
    def option_for_parts(self) -> str:
        """The values are those of all rows."""
        return "" if self.values else "Ordinal(values=(1.0, 2.0, 3.0))"

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Ordinal:
        """The distinct values of the output."""
        return self if self.values else replace(self, values=tuple(np.unique(y).tolist()))

    def in_support(self, y: Array) -> Array:
        """The possible values; all numbers before the fit."""
        return np.isin(y, self.values) if self.values else np.ones(y.shape, dtype=bool)

    def start(self, y: Array, weight: Array) -> Array:
        """Log odds of more than the first value, and thresholds at a distance of one."""
        share = weight[y > self.values[0]].sum() / weight.sum()
        log_odds = np.log(max(share, TINY**0.1) / max(1.0 - share, TINY**0.1))
        return np.array([log_odds, *[0.0] * len(self.dispersions)])

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Differences of successive thresholds."""
        return _steps(max(len(self.values) - 2, 0))

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Bounds of the log differences."""
        return (LOG_STEP_BOUNDS,) * len(self.dispersions)

    @property
    def equation(self) -> str:
        """The log odds of more than the first value."""
        first = f"{self.values[0]:g}" if self.values else "the first value"
        return f"log odds of {{response}} > {first} = {{predictor}}"

    # --- probabilities ---

    def _thresholds(self, eta: Sequence[Array]) -> list[Any]:
        """The thresholds between the values, L - 1 arrays."""
        thresholds: list[Any] = [np.zeros(1)]
        for log_step in eta[1:]:
            thresholds.append(thresholds[-1] + np.exp(log_step))
        return thresholds

    def _code(self, y: Array) -> Array:
        """Index of each value; of the nearest one below for other numbers."""
        code = np.searchsorted(self.values, y, side="right") - 1
        return np.clip(code, 0, len(self.values) - 1)

    def _limits(self, y: Array, eta: Sequence[Array]) -> tuple[Array, Array, Array, Array]:
        """Codes, logits of up to y and of less than y, and difference of these, at least tiny."""
        code, inner = self._code(y), self._thresholds(eta)
        ends = [np.full(1, -np.inf), *inner, np.full(1, np.inf)]
        gaps = [np.maximum(high - low, MIN_GAP) for low, high in pairwise(ends)]
        upper, lower, gap = (_at(values, code) for values in (ends[1:], ends[:-1], gaps))
        return code, upper - eta[0], lower - eta[0], gap

    def derivatives(self, y: Array, eta: Sequence[Array]) -> Iterator[Any]:
        """Observed information about the thresholds, which is positive semi-definite.

        That about their log differences is without the gradient, which vanishes at the maximum. The
        difference of logistic functions is without cancellation.
        """
        code, upper, lower, gap = self._limits(y, eta)
        above, below = _odds(upper, lower)
        logs = np.log(-np.expm1(-gap)) - np.log1p(above + below + above * below)
        # Beyond the largest exponent the logs are linear.
        if max(-float(upper.min()), float(lower.max())) > MAX_EXPONENT:
            logs += np.minimum(upper + MAX_EXPONENT, 0.0)
            logs += np.minimum(MAX_EXPONENT - lower, 0.0)
        yield logs
        not_upper, up_to_lower, beyond = above / (1.0 + above), below / (1.0 + below), _beyond(gap)
        by_upper, by_lower = not_upper + beyond, up_to_lower + beyond
        yield (
            up_to_lower - not_upper,
            *(
                np.exp(step) * (by_upper * (code > j) - by_lower * (code > j + 1))
                for j, step in enumerate(eta[1:])
            ),
        )
        yield _information(code, not_upper, up_to_lower, beyond, eta)

    def second(self, y: Array, eta: Sequence[Array]) -> Curvature:
        """Minus the information, and the gradient by each log difference."""
        code, upper, lower, gap = self._limits(y, eta)
        not_upper, up_to_lower = (odds / (1.0 + odds) for odds in _odds(upper, lower))
        beyond = _beyond(gap)
        information = _information(code, not_upper, up_to_lower, beyond, eta)
        second = {key: -values for key, values in information.items()}
        for j, step in enumerate(eta[1:]):
            slope = (not_upper + beyond) * (code > j) - (up_to_lower + beyond) * (code > j + 1)
            second[1 + j, 1 + j] += np.exp(step) * slope
        return second

    def mean(self, eta: Sequence[Array]) -> Array:
        """Mean of the values."""
        mean = np.array(self.values[:1])
        for gap, threshold in zip(np.diff(self.values), self._thresholds(eta), strict=True):
            mean = mean + gap * expit(eta[0] - threshold)
        return mean

    def mean_derivatives(self, eta: Sequence[Array]) -> list[Any]:
        """By the linear predictor, and minus sums over the thresholds that move with a step."""
        slopes = [
            gap * expit(eta[0] - threshold) * expit(threshold - eta[0])
            for gap, threshold in zip(np.diff(self.values), self._thresholds(eta), strict=True)
        ]
        moved = [-np.exp(step) * sum(slopes[1 + j :]) for j, step in enumerate(eta[1:])]
        return [sum(slopes), *moved]

    def components(self, eta: Sequence[Array]) -> OrdinalComponents:
        """The distribution over the values."""
        eta = as_outputs(eta)
        up_to = [expit(threshold - eta[0]) for threshold in self._thresholds(eta)]
        up_to = [np.zeros_like(up_to[0]), *up_to, np.ones_like(up_to[0])]
        probabilities = np.diff(np.stack(np.broadcast_arrays(*up_to)), axis=0)
        weight = np.ones((1, probabilities.shape[-1]))
        return OrdinalComponents(
            weight, np.array(self.values), np.moveaxis(probabilities, 0, -2)[None]
        )

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Ratings from 1 to 4."""
        return rng.integers(1, 5, size=(1, n_rows)).astype(float)


def _at(values: Sequence[Array], code: Array) -> Array:
    """Of arrays (..., 1) or (..., n) for each value, those of the codes (n,)."""
    arrays = np.broadcast_arrays(*values)
    if arrays[0].shape[-1:] == (1,):
        return np.take(np.concatenate(arrays, axis=-1), code, axis=-1)
    table = np.stack(arrays)
    return np.take_along_axis(table, np.broadcast_to(code, table.shape[1:])[None], axis=0)[0]


def _odds(upper: Array, lower: Array) -> tuple[Array, Array]:
    """Odds of more than the upper, and of up to the lower limit, at most e to `MAX_EXPONENT`.

    Exponentials are faster than logistic functions, each of which takes one.
    """
    above = np.exp(-np.maximum(upper, -MAX_EXPONENT))
    return above, np.exp(np.minimum(lower, MAX_EXPONENT))


def _information(
    code: Array, not_upper: Array, up_to_lower: Array, beyond: Array, eta: Sequence[Array]
) -> Curvature:
    """Curvature by the linear predictor and the differences of thresholds, in units of these."""
    steps = [np.exp(values) for values in eta[1:]]
    of_upper, of_lower = not_upper * (1.0 - not_upper), up_to_lower * (1.0 - up_to_lower)
    information: Curvature = {(0, 0): of_upper + of_lower}
    for j, step in enumerate(steps):
        # The lower limit moves with a step, or the upper one alone.
        moved = of_upper * (code > j) + of_lower * (code > j + 1)
        information[0, 1 + j] = -step * moved
        for i in range(j):
            information[1 + i, 1 + j] = steps[i] * step * moved
        alone = beyond * (1.0 + beyond) * (code == j + 1)
        information[1 + j, 1 + j] = np.square(step) * (moved + alone)
    return information


def _beyond(gap: Array) -> Array:
    """Derivative of the log of the difference of two logistic functions by a far limit."""
    with np.errstate(over="ignore"):  # of an infinite gap
        return 1.0 / np.expm1(gap)


@lru_cache(maxsize=64)  # each iteration of EM needs them, many times
def _steps(n_steps: int) -> tuple[Dispersion, ...]:
    return tuple(
        Dispersion(
            f"log(threshold {j + 2} - threshold {j + 1})",
            "threshold_steps_",
            position=j,
            name="threshold steps",
        )
        for j in range(n_steps)
    )
