"""Distributions of outcomes of different families, whose rows have the experts in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.probability import log_total
from skmoe._numerics.typing import Array
from skmoe.distributions._components import take_rows
from skmoe.distributions._mixtures import (
    PredictiveDistribution,
    check_random_state,
    predictive_distribution,
)
from skmoe.distributions._sums import log_share


class OutcomeDistribution(PredictiveDistribution):
    """Mixtures of components of several outcomes, each with families of its own.

    All methods are those of `PredictiveDistribution`, and treat each outcome by itself; the
    outcomes are the last axis. The outcomes of a draw come from the same expert.

    Parameters
    ----------
    components : sequence of OutcomeComponents
        Those of each of the K experts.
    gate_prob : ndarray of shape (K, n_samples)
        Probability of each expert.
    single_output : bool, default=False
        Outcomes are several.
    """

    def __init__(
        self, components: Sequence[Any], gate_prob: Any, single_output: bool = False
    ) -> None:
        self._parts, self._gate_prob, self._single = tuple(components), gate_prob, False
        self._marginals = [
            predictive_distribution(parts, gate_prob, single_output=True)
            for parts in zip(*(own.parts for own in components), strict=True)
        ]
        self._n_outputs, self.weights = len(self._marginals), np.ascontiguousarray(gate_prob.T)

    @property
    def is_count(self) -> bool:
        """Whether all outcomes are counts."""
        return all(own.is_count for own in self._marginals)

    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles of each outcome.

        Parameters
        ----------
        q : float or array-like of shape (n_values,)
            Probabilities in (0, 1).

        Returns
        -------
        quantiles : ndarray of shape (n_samples, n_outputs) or (n_samples, n_values, n_outputs)
            In the units of y.
        """
        return np.stack([own.ppf(q) for own in self._marginals], axis=-1)

    def joint_logpdf(self, y: ArrayLike) -> Array:
        """Joint log density of all outcomes; those that are NaN are left out.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_outputs) or (n_samples, n_values, n_outputs)
            Values of all outcomes for each row, or several along a second axis.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or (n_samples, n_values)
            Log density or log probability of the outcomes that are given.
        """

        def of_expert(points: Array, prob: Array, expert: Any) -> Array:
            marginals = [_of_expert(own, len(self)) for own in expert.parts]
            logs = np.where(np.isnan(points), 0.0, _stacked_at("logpdf", marginals, points))
            return log_share(prob[:, None, None], logs.sum(axis=-1, keepdims=True))

        pairs = list(zip(self._gate_prob, self._parts, strict=True))
        return self._at_jointly(y, lambda at: log_total(of_expert(at, *pair) for pair in pairs))

    def rvs(self, size: int | None = None, random_state: Any = None) -> Array:
        """Random draws; the outcomes of a draw come from the same expert.

        Parameters
        ----------
        size : int, default=None
            Number of draws for each row; None draws one and leaves its axis out.
        random_state : int, RandomState instance or None, default=None
            Source of randomness. An integer makes the draws reproducible.

        Returns
        -------
        draws : ndarray of shape (n_samples, n_outputs) or (n_samples, size, n_outputs)
            Draws in the units of y.
        """
        rng = check_random_state(random_state)
        chosen = self._chosen(size, rng)
        draws = np.empty((*chosen.shape, self._n_outputs))
        for k, expert in enumerate(self._parts):
            rows, columns = np.nonzero(chosen == k)
            for j, own in enumerate(expert.parts):
                of_rows = _of_expert(take_rows(own, rows), len(rows))
                draws[rows, columns, j] = of_rows.rvs(None, rng)
        return draws[:, 0] if size is None else draws


def _of_expert(part: Any, n_rows: int) -> PredictiveDistribution:
    """The distribution of one outcome under one expert."""
    return predictive_distribution([part], np.ones((1, n_rows)), single_output=True)


def _stacked_at(name: str, marginals: Sequence[Any], points: Array) -> Array:
    """What the distribution of each outcome has at its values (n, q, m), or at those of all."""
    columns = np.broadcast_to(points, (*points.shape[:2], len(marginals))).transpose(2, 0, 1)
    pairs = zip(marginals, columns, strict=True)
    return np.stack([getattr(own, name)(values) for own, values in pairs], axis=-1)


def _of_each(name: str) -> Callable[..., Array]:
    """A method that gives what the distribution of each outcome has at its values."""

    def method(self: OutcomeDistribution, y: ArrayLike) -> Array:
        return self._at(y, lambda points: _stacked_at(name, self._marginals, points))

    method.__name__, method.__doc__ = name, getattr(PredictiveDistribution, name).__doc__
    return method


def _stacked(name: str) -> property:
    """A property that stacks those of the outcomes."""
    return property(
        lambda self: np.stack([getattr(own, name) for own in self._marginals], axis=-1),
        doc=getattr(PredictiveDistribution, name).__doc__,
    )


AT_VALUES = ("logpdf", "logpmf", "cdf", "cdf_left", "sf", "logcdf", "logsf", "hazard")
for name in (*AT_VALUES, "restricted_mean", "crps"):
    setattr(OutcomeDistribution, name, _of_each(name))
for name in ("mean", "var"):
    setattr(OutcomeDistribution, name, _stacked(name))
