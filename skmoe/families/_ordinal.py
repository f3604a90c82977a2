"""Cumulative logits for ratings, scores and other ordered values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import OrdinalComponents
from skmoe.families._base import Family, Partials, sums_of_derivatives
from skmoe.protocols import Dispersion

# Largest number of values: each has a threshold in every expert.
MAX_VALUES = 30

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

    def obstacle(self, y: Array) -> str:
        """One output with few different values."""
        if len(y) > 1:
            return "one output"
        n_values = len(np.unique(y)) if not self.values else len(self.values)
        if not 2 <= n_values <= MAX_VALUES:
            return f"2 to {MAX_VALUES} different values of y, not {n_values}"
        return ""

    def fitted_to(self, y: Array, weight: Array, scaling: Any) -> Ordinal:
        """The distinct values of the output."""
        return self if self.values else replace(self, values=tuple(np.unique(y).tolist()))

    def in_support(self, y: Array) -> Array:
        """The possible values; all numbers before the fit."""
        return np.isin(y, self.values) if self.values else np.ones(y.shape, dtype=bool)

    def initial_predictor(self, y: Array, weight: Array) -> float:
        """Log odds of more than the first value."""
        share = weight[y > self.values[0]].sum() / weight.sum()
        return float(np.log(max(share, TINY**0.1) / max(1.0 - share, TINY**0.1)))

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Differences of successive thresholds."""
        return _steps(max(len(self.values) - 2, 0))

    @property
    def log_dispersion_bounds(self) -> tuple[tuple[float, float], ...]:
        """Bounds of the log differences."""
        return (LOG_STEP_BOUNDS,) * len(self.dispersions)

    # --- probabilities ---

    def _thresholds(self, log_dispersion: Any) -> list[Any]:
        """The thresholds from minus to plus infinity, L + 1 arrays."""
        thresholds: list[Any] = [-np.inf, np.zeros(())]
        for log_step in log_dispersion:
            thresholds.append(thresholds[-1] + np.exp(log_step))
        return [*thresholds, np.inf]

    def _code(self, y: Array) -> Array:
        """Index of each value; of the nearest one below for other numbers."""
        return np.clip(np.searchsorted(self.values, y, side="right") - 1, 0, len(self.values) - 1)

    def _at_levels(self, values: Array, code: Array) -> Array:
        """Entries of a table (..., 1, L) of the values, (..., 1, n) for codes (1, n)."""
        return np.take(values, code[0], axis=-1)

    def _threshold_table(self, predictor: Array, log_dispersion: Any) -> Array:
        """The thresholds from minus to plus infinity, (..., 1, L + 1)."""
        shape = (*predictor.shape[:-1], 1)
        thresholds = self._thresholds(log_dispersion)
        return np.concatenate([np.broadcast_to(value, shape) for value in thresholds], axis=-1)

    def _limits(self, y: Array, predictor: Array, log_dispersion: Any) -> tuple[Array, Array]:
        """Logits of up to y, and of less than y."""
        code, thresholds = self._code(y), self._threshold_table(predictor, log_dispersion)
        upper = self._at_levels(thresholds[..., 1:], code) - predictor
        return upper, self._at_levels(thresholds[..., :-1], code) - predictor

    def _gaps(self, predictor: Array, log_dispersion: Any) -> Array:
        """Differences of the logits of each value, at least a tiny positive number, (..., 1, L)."""
        return np.maximum(np.diff(self._threshold_table(predictor, log_dispersion)), MIN_GAP)

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log probability; the difference of two logistic functions without cancellation."""
        upper, lower = self._limits(y, predictor, log_dispersion)
        log_gaps = np.log(-np.expm1(-self._gaps(predictor, log_dispersion)))
        above, below = _odds(upper, lower)
        logs = self._at_levels(log_gaps, self._code(y)) - np.log1p(above + below + above * below)
        # Beyond the largest exponent the logs are linear.
        if max(-float(upper.min()), float(lower.max())) > MAX_EXPONENT:
            logs = logs + np.minimum(upper + MAX_EXPONENT, 0.0)
            logs = logs + np.minimum(MAX_EXPONENT - lower, 0.0)
        possible = self.in_support(y)
        return logs if possible.all() else np.where(possible, logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative by the linear predictor."""
        above, below = _odds(*self._limits(y, predictor, log_dispersion))
        return below / (1.0 + below) - above / (1.0 + above)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Expected square of the score."""
        cumulative = self._cumulative(predictor, log_dispersion)
        information = np.zeros(predictor.shape)
        for below, up_to in pairwise(cumulative):
            information += (up_to - below) * np.square(below - (1.0 - up_to))
        return information

    def _beyond(self, n_steps: int) -> tuple[Array, Array]:
        """Whether the upper, and the lower threshold of each value are beyond each step, (T, L)."""
        level, step = np.arange(len(self.values)), np.arange(n_steps)[:, None]
        return (level >= step + 1) & (level <= n_steps), level >= step + 2

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """By the log differences of the thresholds, which move with the intercept."""
        limits = self._limits(y, predictor, log_dispersion)
        by_upper, by_lower = (odds / (1.0 + odds) / (1.0 + odds) for odds in _odds(*limits))
        above, below = self._beyond(len(log_dispersion))
        code = self._code(y)
        return [
            np.exp(log_step) * (by_upper * above[j][code] + by_lower * below[j][code])
            for j, log_step in enumerate(log_dispersion)
        ]

    def dispersion_derivatives(self, y: Array, predictor: Array, log_dispersion: Any) -> Partials:
        """By the log differences of the thresholds."""
        code, at = self._code(y), (y, predictor, log_dispersion)
        above, below = ([row[code] for row in rows] for rows in self._beyond(len(log_dispersion)))
        limits = self._by_limits(at, lambda rows: rows, lambda table: self._at_levels(table, code))
        return _by_log_steps(log_dispersion, *limits, (above, below))

    def dispersion_sums(
        self, y: Array, predictor: Array, log_dispersion: Any, weight: Array
    ) -> tuple[Array, Array]:
        """Sums of `dispersion_derivatives`, by way of sums over the rows of each value."""
        at = y, predictor, log_dispersion
        is_level = (self._code(y)[0][:, None] == np.arange(len(self.values))).astype(float)
        n_level = weight @ is_level
        limits = self._by_limits(
            at, lambda rows: (weight * rows) @ is_level, lambda table: n_level * table
        )
        derivatives = _by_log_steps(log_dispersion, *limits, self._beyond(len(log_dispersion)))
        return sums_of_derivatives(*derivatives, np.ones(n_level.shape))

    def _by_limits(
        self, at: Any, of_rows: Callable[[Array], Array], of_levels: Callable[[Array], Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        """First and second derivatives by upper and lower limit, given y and the parameters.

        They are sums of what `of_rows` returns of values for each row, and `of_levels` of those
        for each value of y.
        """
        not_upper, up_to_lower = (odds / (1.0 + odds) for odds in _odds(*self._limits(*at)))
        excess = 1.0 / np.expm1(self._gaps(*at[1:]))
        beyond, cross = of_levels(excess), of_levels(excess * (1.0 + excess))
        return (of_rows(not_upper) + beyond, -of_rows(up_to_lower) - beyond), (
            -of_rows(not_upper * (1.0 - not_upper)) - cross,
            cross,
            -of_rows(up_to_lower * (1.0 - up_to_lower)) - cross,
        )

    def _cumulative(self, predictor: Array, log_dispersion: Any) -> list[Array]:
        """Probabilities of up to each value, from zero to one, L + 1 arrays."""
        return [expit(threshold - predictor) for threshold in self._thresholds(log_dispersion)]

    def _probabilities(self, predictor: Array, log_dispersion: Any) -> Array:
        """Probability of each value, (L, ...)."""
        return np.diff(np.stack(self._cumulative(predictor, log_dispersion)), axis=0)

    def mean(self, predictor: Array, log_dispersion: Any) -> Array:
        """Mean of the values."""
        probabilities = self._probabilities(predictor, log_dispersion)
        return np.einsum("l,l...->...", np.array(self.values), probabilities)

    def mean_derivative(self, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative of the mean by the linear predictor."""
        cumulative = np.stack(self._cumulative(predictor, log_dispersion))[1:-1]
        steps = np.diff(self.values)
        return np.einsum("l,l...->...", steps, cumulative * (1.0 - cumulative))

    def components(self, predictor: Array, log_dispersion: Any) -> OrdinalComponents:
        """The distribution over the values."""
        probabilities = self._probabilities(predictor, log_dispersion)
        weight = np.ones((1, predictor.shape[-1]))
        return OrdinalComponents(
            weight, np.array(self.values), np.moveaxis(probabilities, 0, -2)[None]
        )

    def equation(self, response: str, predictor: str) -> str:
        """The log odds of more than the first value."""
        first = f"{self.values[0]:g}" if self.values else "the first value"
        return f"log odds of {response} > {first} = {predictor}"

    def example_target(self, rng: np.random.Generator, n_rows: int) -> Array:
        """Ratings from 1 to 4."""
        return rng.integers(1, 5, size=(1, n_rows)).astype(float)


def _odds(upper: Array, lower: Array) -> tuple[Array, Array]:
    """Odds of more than the upper, and of up to the lower limit, at most e to `MAX_EXPONENT`.

    Exponentials are faster than logistic functions, each of which takes one.
    """
    above = np.exp(-np.maximum(upper, -MAX_EXPONENT))
    return above, np.exp(np.minimum(lower, MAX_EXPONENT))


def _by_log_steps(
    log_steps: Sequence[Array],
    by_limits: tuple[Array, Array],
    second_by_limits: tuple[Array, Array, Array],
    beyond: tuple[Any, Any],
) -> Partials:
    """Gradient (T) and Hessian (T, T) in the log steps, from derivatives by upper and lower limit.

    `beyond` has for each step whether the upper, and the lower limit moves with it.
    """
    (by_upper, by_lower), (upper_upper, cross, lower_lower) = by_limits, second_by_limits
    (above, below), steps = beyond, [np.exp(log_step) for log_step in log_steps]
    first = [step * (by_upper * above[j] + by_lower * below[j]) for j, step in enumerate(steps)]
    second: list[list[Array]] = [[] for _ in steps]
    for i, step in enumerate(steps):
        for j in range(i):
            second[i].append(second[j][i])
        for j in range(i, len(steps)):
            both = upper_upper * (above[i] & above[j]) + lower_lower * (below[i] & below[j])
            mixed = (above[i] & below[j]).astype(float) + (below[i] & above[j])
            second[i].append(step * steps[j] * (both + cross * mixed))
        second[i][i] = second[i][i] + first[i]
    return first, second


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
