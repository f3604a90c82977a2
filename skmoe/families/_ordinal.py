"""Cumulative logits for ratings, scores and other ordered values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import OrdinalComponents
from skmoe.families._base import Family
from skmoe.protocols import Dispersion

# Largest number of values: each has a threshold in every expert.
MAX_VALUES = 30

# Bounds of the log differences of thresholds.
LOG_STEP_BOUNDS = (-12.0, 5.0)


@dataclass(frozen=True)
class Ordinal(Family):
    r"""Cumulative logit model for ordered values :math:`v_1 < v_2 < \dots < v_L` [1]_.

    The log odds of :math:`y > v_l` are :math:`\eta - c_l`, with thresholds :math:`0 = c_1 < c_2 <
    \dots`, which an expert has in common for all rows. With two values it is a logistic regression.

    Parameters
    ----------
    values : tuple of float, default=()
        The possible values, 2 to 30; empty for the distinct values of y in the fit.

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
    link: ClassVar[str] = "logit"
    is_continuous: ClassVar[bool] = False
    max_predictor: ClassVar[float] = 100.0
    max_step: ClassVar[float] = 2.0

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
        n_steps = max(len(self.values) - 2, 0)
        return tuple(
            Dispersion(f"log(threshold {j + 2} - threshold {j + 1})", "threshold_steps_", j)
            for j in range(n_steps)
        )

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

    def _limits(self, y: Array, predictor: Array, log_dispersion: Any) -> tuple[Array, Array]:
        """Logits of up to y, and of less than y."""
        code = self._code(y)
        thresholds = self._thresholds(log_dispersion)
        shape = np.broadcast_shapes(code.shape, predictor.shape)
        upper, lower = np.full(shape, np.inf), np.full(shape, -np.inf)
        for level in range(len(self.values)):
            here = np.broadcast_to(code == level, shape)
            if level < len(self.values) - 1:
                upper = np.where(here, thresholds[level + 1] - predictor, upper)
            if level > 0:
                lower = np.where(here, thresholds[level] - predictor, lower)
        return upper, lower

    def log_prob(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Log probability; the difference of two logistic functions without cancellation."""
        upper, lower = self._limits(y, predictor, log_dispersion)
        logs = log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(-_gap(upper, lower)))
        return np.where(self.in_support(y), logs, -np.inf)

    def predictor_score(self, y: Array, predictor: Array, log_dispersion: Any) -> Array:
        """Derivative by the linear predictor."""
        upper, lower = self._limits(y, predictor, log_dispersion)
        return expit(lower) - expit(-upper)

    def predictor_information(self, predictor: Array, log_dispersion: Any) -> Array:
        """Expected square of the score."""
        cumulative = self._cumulative(predictor, log_dispersion)
        information = np.zeros(predictor.shape)
        for below, up_to in pairwise(cumulative):
            information += (up_to - below) * np.square(below - (1.0 - up_to))
        return information

    def _beyond(self, y: Array, n_steps: int) -> tuple[list[Array], list[Array]]:
        """Whether the upper, and the lower threshold of each value are beyond each step."""
        code = self._code(y)
        above = [(code >= j + 1) & (code <= n_steps) for j in range(n_steps)]
        return above, [code >= j + 2 for j in range(n_steps)]

    def cross_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> list[Array] | None:
        """By the log differences of the thresholds, which move with the intercept."""
        upper, lower = self._limits(y, predictor, log_dispersion)
        above, below = self._beyond(y, len(log_dispersion))
        by_upper, by_lower = expit(upper) * expit(-upper), expit(lower) * expit(-lower)
        return [
            np.exp(log_step) * (by_upper * above[j] + by_lower * below[j])
            for j, log_step in enumerate(log_dispersion)
        ]

    def dispersion_derivatives(
        self, y: Array, predictor: Array, log_dispersion: Any
    ) -> tuple[list[Array], list[list[Array]]]:
        """By the log differences of the thresholds."""
        n_steps = len(log_dispersion)
        upper, lower = self._limits(y, predictor, log_dispersion)
        excess = 1.0 / np.expm1(_gap(upper, lower))
        by_upper = expit(-upper) + excess
        by_lower = -expit(lower) - excess
        cross = excess * (1.0 + excess)
        upper_upper = -expit(upper) * expit(-upper) - cross
        lower_lower = -expit(lower) * expit(-lower) - cross
        above, below = self._beyond(y, n_steps)
        steps = [np.exp(log_step) for log_step in log_dispersion]
        first = [steps[j] * (by_upper * above[j] + by_lower * below[j]) for j in range(n_steps)]
        second = [
            [
                steps[i]
                * steps[j]
                * (
                    upper_upper * (above[i] & above[j])
                    + cross * ((above[i] & below[j]).astype(float) + (below[i] & above[j]))
                    + lower_lower * (below[i] & below[j])
                )
                + (first[j] if i == j else 0.0)
                for j in range(n_steps)
            ]
            for i in range(n_steps)
        ]
        return first, second

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


def _gap(upper: Array, lower: Array) -> Array:
    """Difference of the logits of a value, of at least a tiny positive number."""
    return np.maximum(upper - lower, 1e-12)
