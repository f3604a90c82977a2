"""Experts that need all rows, such as estimators, as a part of a mixture.

What they have learned is a value of the part, and not in the vector of coefficients. They are
fitted again in each iteration of EM, and the gate takes a step that does not lower the objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.data import Data
from skmoe._mixture.em import Objective, State, fitted_to, line_search
from skmoe._mixture.mixture import flat
from skmoe._mixture.own import ExpertsOfObject
from skmoe._numerics.typing import Array

# Steps of the gate from the responsibilities of a start.
N_GATE_STEPS = 5


class RowsToLearn(NamedTuple):
    """Rows and responsibilities, to which experts are fitted."""

    statistics: Any
    curvature: None
    total: Array  # of the weights of each expert, (K, S)


class LearnerEvaluation:
    """Log densities (K, S, n) of what has been learned; S is one, or the gate has several steps."""

    def __init__(self, experts: LearnedExperts, n_vectors: int, data: Data) -> None:
        self._experts, self._rows = experts, (data.rows.expert_design, data.rows.y)
        logs = experts.own.log_prob(experts.params, *self._rows)
        self.logs = np.repeat(logs[:, None], n_vectors, axis=1)

    def sums(self, weight: Array, curvature: bool) -> RowsToLearn:
        """The rows with responsibilities times weights (K, 1, n)."""
        experts = self._experts
        statistics = experts.own.statistics(experts.params, *self._rows, weight[:, 0])
        return RowsToLearn(statistics, None, weight.sum(axis=-1))


class LearnedExperts(ExpertsOfObject):
    """Experts whose M-step fits them to all rows, with what they have learned.

    Parameters
    ----------
    own : CrossFittedExperts
        Estimators, whose statistics are the rows and whose M-step fits them.
    n_experts : int
        Number of experts.
    params : object, default=None
        What they have learned; None before the first fit.
    """

    is_linear = False
    needs_all_rows = True
    has_derivatives = False
    can_separate = False
    size = 0
    lower = upper = np.zeros(0)
    free = first = np.zeros(0, dtype=int)
    prior, groups, start, flat = flat(0), (), np.zeros(0), 0.0
    atoms: tuple[float, ...] = ()

    def __init__(self, own: Any, n_experts: int, params: Any = None) -> None:
        self.own, self.n_experts = own, n_experts
        self.params = own.init_params(n_experts, 0) if params is None else params

    # --- fits ---

    def refitted(self, rows: RowsToLearn) -> LearnedExperts:
        """The experts after a fit to responsibilities, as far as it improves them."""
        params = self.own.m_step(rows.statistics, None, self.params, 1.0)
        return LearnedExperts(self.own, self.n_experts, params)

    def started(self, objective: Objective, resp: Array) -> tuple[Objective, Array]:
        """Objective and coefficients (D,) after a fit to responsibilities (K, n) or (K, U)."""
        [data] = objective.blocks
        of_gate = resp[:, None]
        of_rows = data.sharing.to_rows(of_gate)
        first = LearnedExperts(self.own, self.n_experts)
        sums = first.evaluate(np.zeros((1, 0)), data).sums(of_rows * data.rows.weight, False)
        mixture = objective.mixture.with_part("experts", first.refitted(sums))
        objective, theta = objective._replace(mixture=mixture), mixture.start
        return objective, fitted_to(objective, theta[None], of_rows, of_gate, N_GATE_STEPS)[0]

    @staticmethod
    def iterations(objective: Objective, theta: Array) -> Iterator[State]:
        """The states of EM; they end when each step of the gate lowers the objective."""
        state = objective.at(theta[None])
        while True:
            mixture = state.mixture
            experts = mixture.experts.refitted(state.total.own[0])
            ahead = objective._replace(mixture=mixture.with_part("experts", experts))
            found = line_search(ahead, state, refresh=1)
            if found is None:
                return
            state = found
            yield state

    def without_training_state(self) -> LearnedExperts:
        """The experts without what belongs to the rows of the fit."""
        params = self.own.drop_training_state(self.params)
        return LearnedExperts(self.own, self.n_experts, params)

    # --- densities and predictions ---

    def evaluate(self, theta: Array, data: Data) -> LearnerEvaluation:
        """Log densities for S vectors of no coefficients."""
        return LearnerEvaluation(self, len(theta), data)

    def mean(self, theta: Array, data: Data, chosen: Sequence[int] | None = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        design = data.rows.expert_design
        if chosen is None:
            return self.own.mean(self.params, design)
        return np.stack([self.own.mean_of(self.params, k, design) for k in chosen])

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """The distribution of one expert."""
        return self.own.components(self.params, k, data.rows.expert_design)

    # --- a vector of no coefficients ---

    def bounded(self, theta: Array) -> Array:
        """The same, (S, 0)."""
        return theta

    def penalty(self, theta: Array) -> Array:
        """Negative log prior of what has been learned, (S,)."""
        return np.full(len(theta), self.own.penalty(self.params))

    def penalty_gradient(self, theta: Array) -> Array:
        """No derivatives, (0,)."""
        return theta

    def invert(self, theta: Array, curvature: Any) -> None:
        """No curvature."""

    def direction(self, theta: Array, sums: Any, curvature: Any) -> Array:
        """No step, (S, 0)."""
        return np.zeros_like(theta)

    def at_bound(self, theta: Array) -> Array:
        """No coefficients."""
        return np.zeros(0, dtype=bool)

    def reduced(self, values: Array) -> Array:
        """The same, (..., 0)."""
        return values

    def expanded(self, values: Array) -> Array:
        """The same, (..., 0)."""
        return values

    # --- the experts ---

    def reordered(self, theta: Array, order: Array) -> Array:
        """The same, (0,)."""
        return theta

    def in_order(self, order: Array) -> LearnedExperts:
        """The experts in another order."""
        return LearnedExperts(self.own, self.n_experts, self.own.reorder(self.params, order))

    # --- what tables show ---

    explains_mean: Any = False

    def shown(self, k: int) -> list[Any]:
        """No block of coefficients of the vector."""
        return []

    def n_parameters(self, theta: Array) -> float:
        """Number of parameters of models and dispersions; NaN if it is unknown."""
        return float(self.own.n_parameters(self.params))

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Fitted attributes in the units of the data."""
        return dict(self.own.attributes(self.params, units))

    def by_expert(self, theta: Array) -> Array:
        """Numbers that describe each expert, (K, V)."""
        params = self.without_training_state().params
        arrays = (values for values in params if isinstance(values, np.ndarray))
        return np.hstack([np.nan_to_num(v.reshape(self.n_experts, -1)) for v in arrays])

    def is_worse_than_mean(self, y: Array) -> Array:
        """Experts that predict held-out rows worse than a constant, (K,), or (0,) if unknown."""
        return self.own.is_worse_than_mean(self.params, y)

    # --- scales ---

    def log_scales(self, theta: Array, data: Data) -> Array | None:
        """Logs of the scales at rows: None, as those of rows left out do not go to zero."""
        return None

    def dispersion_at_bound(self, theta: Array) -> Array:
        """Experts with a scale at its lower bound, boolean of shape (K,)."""
        return self.own.dispersion_at_bound(self.params)

    @property
    def penalties(self) -> dict[str, Any]:
        """Strength and scale of the prior of the scales."""
        return dict(self.own.penalties)

    def with_penalties(self, changes: dict[str, Any]) -> LearnedExperts:
        """The experts with another prior of the scales."""
        return LearnedExperts(self.own.with_options(changes), self.n_experts, self.params)

    @property
    def shared_dispersion(self) -> bool:
        """Whether all experts share their dispersions."""
        return bool(self.own.shared_dispersion)

    def scales(self, theta: Array, total: Any) -> tuple[Array, Array]:
        """Scales in units of `noise_variance`, and the rows of each, (K, m); nan without one."""
        found: tuple[Array, Array] = self.own.scales(self.params, total.own[0].statistics)
        return found
