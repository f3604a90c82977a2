"""Experts and gates of users in a mixture, see "Write your own expert" in the documentation.

Their coefficients are the arrays of their parameters, one after the other. Inference and Newton's
method are in coordinates of which these are linear functions: `jacobian` leads from one to the
other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from skmoe._mixture.data import Data
from skmoe._mixture.described import Shown
from skmoe._mixture.mixture import flat
from skmoe._numerics.linalg import split_offset, with_offset
from skmoe._numerics.typing import Array
from skmoe.protocols import (
    LinearPredictor,
    SupportsGateInference,
    SupportsInference,
    SupportsReordering,
    has_capability,
)

# Step of the differences that give the gradient of a penalty, relative to one plus a coefficient.
PENALTY_STEP = 1e-5


class OwnSums(NamedTuple):
    """Sums over rows, which are additive: what the part needs of them for each vector."""

    statistics: tuple[Any, ...]  # of S vectors
    curvature: Any  # their Hessians, None for an M-step in closed form; None if not wanted
    total: Array  # of the weights of each expert, (K, S)


class OwnEvaluation:
    """Log densities or log probabilities at vectors (S, D), and the sums that depend on them."""

    def __init__(self, part: OwnPart, theta: Array, arguments: tuple[Any, ...]) -> None:
        # What a part computes once for density, statistics and Hessian is kept with it.
        self._at = [part.at(params, arguments) for params in map(part.params, theta)]
        self.logs = np.stack([at.logs for at in self._at], axis=1)

    def sums(self, weight: Array, curvature: bool) -> OwnSums:
        """Statistics and Hessians for responsibilities times weights (K, S, n)."""
        pairs = list(zip(self._at, np.moveaxis(weight, 1, 0), strict=True))
        statistics = tuple(at.own.statistics(*at.of_rows(resp)) for at, resp in pairs)
        total = weight.sum(axis=-1)
        if not curvature:
            return OwnSums(statistics, None, total)
        return OwnSums(
            statistics, tuple(at.own.hessian(*at.of_rows(resp)) for at, resp in pairs), total
        )


class At(NamedTuple):
    """A part at parameters and rows."""

    own: Any
    params: Any
    arguments: tuple[Any, ...]
    logs: Array  # (K, n)
    added: tuple[Array, ...]  # arguments after the responsibilities

    def of_rows(self, resp: Array) -> tuple[Any, ...]:
        """Arguments of statistics and Hessian."""
        return (self.params, *self.arguments, resp, *self.added)


class OwnPart(ABC):
    """What experts and gates of users have in common."""

    is_linear = False
    needs_all_rows = False
    flat: Any = 0.0
    inference: ClassVar[type]  # the capability that has the derivatives

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        self.own, self.n_experts, self.n_columns = own, n_experts, n_columns
        self.first_params = own.init_params(n_experts, n_columns)
        self.size = sum(np.size(values) for values in self.first_params)
        self.lower, self.upper = np.repeat([[-np.inf], [np.inf]], self.size, axis=1)
        self.prior = flat(self.size)
        self.groups: list[Any] = []
        self.start = self.theta(self.first_params)
        self.can_reorder = has_capability(own, SupportsReordering)
        self.penalties = dict(own.penalties)
        self.has_derivatives = has_capability(own, self.inference) and self._moves()

    @abstractmethod
    def at(self, params: Any, arguments: tuple[Any, ...]) -> At:
        """The part at parameters and rows."""

    # --- the vector ---

    def params(self, theta: Array) -> Any:
        """Parameters of coefficients (D,)."""
        arrays, end = [], 0
        for like in self.first_params:
            start, end = end, end + np.size(like)
            arrays.append(theta[start:end].reshape(np.shape(like)))
        return type(self.first_params)(*arrays)

    def theta(self, params: Any) -> Array:
        """Coefficients (D,) of parameters."""
        return np.concatenate([np.zeros(0), *(np.ravel(values) for values in params)])

    def reordered(self, theta: Array, order: Array) -> Array:
        """Coefficients (D,) with the experts in another order."""
        return self.theta(self.own.reorder(self.params(theta), order))

    def with_penalties(self, changes: dict[str, Any]) -> Self:
        """The same part with other penalties."""
        return type(self)(self.own.with_options(changes), self.n_experts, self.n_columns)

    def n_parameters(self, theta: Array) -> float:
        """Number of free parameters; NaN if it cannot be counted."""
        return float(self.own.n_parameters(self.params(theta)))

    # --- steps ---

    def invert(self, theta: Array, curvature: tuple[Any, ...]) -> tuple[Any, ...]:
        """Factorizations of the Hessians of S vectors."""
        return tuple(map(self.own.factorize, curvature))

    def direction(self, theta: Array, sums: OwnSums, factors: tuple[Any, ...]) -> Array:
        """The M-step (S, D) from coefficients, which leads upward."""
        ahead = [
            self.theta(self.own.m_step(statistics, factor, self.params(vector), 1.0))
            for vector, statistics, factor in zip(theta, sums.statistics, factors, strict=True)
        ]
        return np.stack(ahead) - theta

    def bounded(self, theta: Array) -> Array:
        """The nearest valid coefficients (S, D)."""
        return np.stack([self.theta(self.own.project(self.params(vector))) for vector in theta])

    def penalty(self, theta: Array) -> Array:
        """Negative log prior up to a constant, (S,)."""
        return np.array([float(self.own.penalty(self.params(vector))) for vector in theta])

    def penalty_gradient(self, theta: Array) -> Array:
        """Gradient of the penalty at one vector, (D,), from differences."""
        steps = np.diag(PENALTY_STEP * (1.0 + np.abs(theta)))
        return (self.penalty(theta + steps) - self.penalty(theta - steps)) / (2.0 * np.diag(steps))

    def at_bound(self, theta: Array) -> Array:
        """Coefficients (D,) at a bound."""
        return np.zeros(self.size, dtype=bool)

    # --- coordinates of inference ---

    @abstractmethod
    def _moves(self) -> bool:
        """Whether coordinates of inference move the parameters."""

    @abstractmethod
    def _changed(self, change: Array) -> Any:
        """The first parameters after a change of the coordinates."""

    @property
    @abstractmethod
    def n_coordinates(self) -> int:
        """Number of coordinates of inference, (R,)."""

    @cached_property
    def jacobian(self) -> Any:
        """Derivatives of the coefficients by the coordinates, sparse of shape (D, R)."""
        if not self.has_derivatives:
            return sparse.eye_array(self.size, format="csr")
        columns, one = [], np.zeros(self.n_coordinates)
        for coordinate in range(self.n_coordinates):
            one[coordinate] = 1.0
            column = self.theta(self._changed(one)) - self.start
            columns.append(sparse.csc_array(column[:, None]))
            one[coordinate] = 0.0
        return sparse.csr_array(sparse.hstack(columns))

    @cached_property
    def dual(self) -> Array:
        """Matrix (D, R) from gradients in the coordinates to such of the coefficients.

        What `reduced` makes of these are the former.
        """
        jacobian = self.jacobian.toarray()
        return np.asarray(np.linalg.solve(jacobian.T @ jacobian, jacobian.T).T)

    @cached_property
    def free(self) -> Array:
        """The coordinate of each coefficient; -1 for those that have none."""
        if not self.has_derivatives:
            return np.arange(self.size)
        largest = abs(self.jacobian).toarray()
        return np.where(largest.any(axis=1), largest.argmax(axis=1), -1)

    @cached_property
    def first(self) -> Array:
        """A coefficient that each coordinate changes, (R,)."""
        if not self.has_derivatives:
            return np.arange(self.size)
        return np.asarray(abs(self.jacobian).toarray().argmax(axis=0))

    def reduced(self, values: Array) -> Array:
        """Gradients (..., D) in the coordinates, (..., R)."""
        return np.asarray(values @ self.jacobian)

    def expanded(self, values: Array) -> Array:
        """Changes (..., R) of the coordinates as such of the coefficients, (..., D)."""
        return np.asarray(values @ self.jacobian.T)


class OwnExperts(OwnPart):
    """Experts of a user, an object of `skmoe.protocols.Experts`."""

    has_one_family = True  # whether all can have made the same rows
    shared_dispersion = False
    dispersion_columns = slopes = signs = atoms = ()
    inference = SupportsInference

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        super().__init__(own, n_experts, n_columns)
        self.are_exchangeable, self.with_predictor = self.can_reorder, list(range(n_experts))
        self.can_collapse, self.can_separate = bool(own.can_collapse), bool(own.can_separate)
        self.link, self.takes_offset = str(own.link), bool(own.takes_offset)
        self.explains_mean, self.all_blocks = bool(own.explains_mean), tuple(own.blocks)
        self.sizes = np.full(n_experts, self.size / n_experts)

    def at(self, params: Any, arguments: tuple[Any, ...]) -> At:
        """The family at parameters and rows."""
        own = self.own.at(params, *arguments)
        return At(own, params, arguments, own.log_prob(params, *arguments), ())

    def evaluate(self, theta: Array, data: Data) -> OwnEvaluation:
        """Log densities at coefficients (S, D), and the sums that depend on them."""
        return OwnEvaluation(self, theta, (data.rows.expert_design, data.rows.y))

    def mean(self, theta: Array, data: Data, chosen: Sequence[int] | None = None) -> Array:
        """Means (K, m, n), or class probabilities (K, C, n), of all experts or of some."""
        params, design = self.params(theta), data.rows.expert_design
        if chosen is None:
            return np.asarray(self.own.mean(params, design))
        return np.stack([self.own.mean_of(params, k, design) for k in chosen])

    def components(self, theta: Array, k: int, data: Data) -> Any:
        """The distribution of one expert, as a mixture of one component."""
        return self.own.components(self.params(theta), k, data.rows.expert_design)

    def at_bound(self, theta: Array) -> Array:
        """Coefficients (D,) at a bound."""
        flags = super().at_bound(theta)
        if self.has_derivatives:
            bounds = self.own.at_bound(self.params(theta))
            flags[self.first[np.broadcast_to(bounds, self._shape).ravel()]] = True
        return flags

    # --- what tables show ---

    def shown(self, k: int) -> list[Shown]:
        """The blocks of one expert."""
        found, fields = [], self.first_params._asdict()
        start = k * self._shape[1] if self.has_derivatives else 0
        for block in self.all_blocks:
            size = block.n_coordinates(fields[block.params].shape[1], self.n_columns)
            found.append(Shown(block, np.arange(start, start + size)))
            start += size
        return found

    def attributes(self, theta: Array, units: Any) -> dict[str, Any]:
        """Fitted attributes in the units of the data."""
        return dict(self.own.attributes(self.params(theta), units))

    def by_expert(self, theta: Array) -> Array:
        """Numbers that describe each expert, (K, V)."""
        arrays = (np.reshape(values, (self.n_experts, -1)) for values in self.params(theta))
        return np.hstack([np.zeros((self.n_experts, 0)), *arrays])

    def intercept_information(self, theta: Array, data: Data, weight: Array) -> Array:
        """Information about the intercept of each response of each expert, (K, V)."""
        [(block, where)] = [own for own in self.shown(0) if own.block.is_main]
        last = where[self.n_columns - 1 :: self.n_columns]
        contrasts = np.eye(len(last)) if block.contrasts is None else block.contrasts
        rows, found = (self._dense(data), data.rows.y), []
        for k, of_expert in enumerate(weight):
            information = self.own.information(self.params(theta), k, *rows, of_expert)
            of_intercepts = contrasts @ information[np.ix_(last, last)]
            found.append((of_intercepts * contrasts).sum(axis=1))
        return np.stack(found)

    def mean_slopes(self, theta: Array, data: Data) -> Array:
        """Derivatives (1, K, m, n) of the means by their linear predictors."""
        params, design = self.params(theta), data.rows.expert_design
        slopes = self.own.mean_derivative(params, design)
        return (np.ones_like(self.mean(theta, data)) if slopes is None else slopes)[None]

    # --- which experts can have made a row, and their scales ---

    def in_order(self, order: Array) -> OwnExperts:
        """The experts with what each of them has of its own in another order: the same."""
        return self

    def log_scales(self, theta: Array, data: Data) -> Array | None:
        """Logs of the scales at rows, which can be broadcast to (K, m, n); None without any."""
        found: Array | None = self.own.log_scales(self.params(theta), data.rows.expert_design)
        return found

    def dispersion_at_bound(self, theta: Array) -> Array:
        """Experts with a scale at its lower bound, boolean of shape (K,)."""
        if not self.size:
            return np.zeros(self.n_experts, dtype=bool)
        return np.asarray(self.own.dispersion_at_bound(self.params(theta)))

    # --- derivatives of single experts ---

    def scores(self, theta: Array, k: int, data: Data) -> Array:
        """Gradients of the log density of one expert in its coefficients, (q, n)."""
        design, y = self._dense(data), data.rows.y
        return self._of_expert(k)[1] @ self.own.score_rows(self.params(theta), k, design, y)

    def hessian(self, theta: Array, k: int, data: Data, weight: Array) -> tuple[Array, Array]:
        """Coefficients of one expert, and the Hessian of its weighted log density, (q, q)."""
        index, dual = self._of_expert(k)
        rows = self._dense(data), data.rows.y
        information = self.own.information(self.params(theta), k, *rows, weight)
        return index, -dual @ information @ dual.T

    def penalty_hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        hessians = self.own.penalty_hessian(self.params(theta))
        return self.dual @ block_diag(*hessians) @ self.dual.T

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Number of experts, and of the coordinates of each."""
        return self.n_experts, len(self.own.penalty_hessian(self.first_params)[0])

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates of inference."""
        return self._shape[0] * self._shape[1]

    def _moves(self) -> bool:
        return self.n_coordinates > 0

    def _changed(self, change: Array) -> Any:
        return self.own.moved(self.first_params, change.reshape(self._shape))

    def _of_expert(self, k: int) -> tuple[Array, Array]:
        """Coefficients of an expert, (q,), and the matrix (q, P) from gradients to theirs."""
        n_own = self._shape[1]
        own = self.dual[:, k * n_own : (k + 1) * n_own]
        index = np.flatnonzero(own.any(axis=1))
        return index, own[index]

    def _dense(self, data: Data) -> Any:
        matrix, offset = split_offset(data.rows.expert_design)
        return with_offset(matrix.toarray() if sparse.issparse(matrix) else matrix, offset)


class OwnGate(OwnPart):
    """A gate of a user, an object of `skmoe.protocols.Gate`."""

    inference = SupportsGateInference

    def __init__(self, own: Any, n_experts: int, n_columns: int) -> None:
        super().__init__(own, n_experts, n_columns)
        self.depends_on_features = bool(own.depends_on_features)

    def at(self, params: Any, arguments: tuple[Any, ...]) -> At:
        """The gate at parameters and rows."""
        logs = self.own.log_prob(params, *arguments)
        return At(self.own, params, arguments, logs, (logs,))

    def evaluate(self, theta: Array, data: Data) -> OwnEvaluation:
        """Log probabilities at coefficients (S, D), and the sums that depend on them."""
        return OwnEvaluation(self, theta, (data.rows.gate_design,))

    def log_prob(self, theta: Array, data: Data) -> Array:
        """Log probabilities (K, S, U) of the experts."""
        return self.evaluate(theta, data).logs

    @property
    def shown(self) -> Shown:
        """Its only block."""
        contrasts, where = None, np.zeros(0, dtype=int)
        if self.has_derivatives:
            contrasts = self.own.contrast_matrix(self.first_params)
            where = np.arange(self.n_coordinates)
        names = "softmax", "gate_coef_", "gate_intercept_"
        return Shown(LinearPredictor("", "", *names, contrasts=contrasts), where)

    def coefficients(self, theta: Array, n_columns: int) -> Array | None:
        """Coefficients (K, d) of the logits; None if they are not linear."""
        found: Array | None = self.own.coefficients(self.params(theta), n_columns)
        return found

    def scores(self, theta: Array, k: int, data: Data) -> Array:
        """Gradients of the log probability of one expert, (D, U)."""
        params, design, logs = self._at_rows(theta, data)
        return self.dual @ self.own.score_rows(params, k, design, logs)

    def hessian(self, theta: Array, data: Data, weight: Array) -> Array:
        """Hessian of the log probability of any expert, with weights (U,), (D, D)."""
        params, design, logs = self._at_rows(theta, data)
        return -self.dual @ self.own.information(params, design, weight, logs) @ self.dual.T

    def penalty_hessian(self, theta: Array) -> Array:
        """Hessian of the penalty at one vector, (D, D)."""
        hessian = self.own.penalty_hessian(self.params(theta), self.n_columns)
        return self.dual @ hessian @ self.dual.T

    def _at_rows(self, theta: Array, data: Data) -> tuple[Any, Array, Array]:
        """Parameters, dense design and log probabilities (K, U)."""
        design, params = data.rows.gate_design, self.params(theta)
        design = design.toarray() if sparse.issparse(design) else design
        return params, design, self.own.log_prob(params, design)

    @cached_property
    def n_coordinates(self) -> int:  # type: ignore[override]
        """Number of coordinates of inference."""
        return len(self.own.penalty_hessian(self.first_params, self.n_columns))

    def _moves(self) -> bool:
        no_change = np.zeros(self.n_coordinates)
        return self.own.moved(self.first_params, no_change) is not None

    def _changed(self, change: Array) -> Any:
        return self.own.moved(self.first_params, change)
