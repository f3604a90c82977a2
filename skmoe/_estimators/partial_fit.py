"""Learning from a stream of batches: what both estimators share of `partial_fit`."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import validate_data

from skmoe._data.checks import as_csr, check_same_length, check_weights, class_weights
from skmoe._data.moments import compute_moments, feature_scale, merge_moments, output_scale
from skmoe._data.rows import Dataset, make_dataset, split_into_blocks
from skmoe._estimators.callbacks import FitTask, NullCallbackContext
from skmoe._estimators.capabilities import (
    check_half_life,
    check_partial_fit_supported,
    check_same_experts,
    check_stream_size,
)
from skmoe._estimators.monitor import FitMonitor
from skmoe._estimators.problem import build_problem
from skmoe._estimators.training_data import FitProblem
from skmoe._mixture import fitted, online
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params, expert_usage
from skmoe._mixture.multistart import fit_best_start
from skmoe._mixture.online import OnlineState
from skmoe._numerics.linalg import MAX_DENSE_GRAM
from skmoe._numerics.multinomial import MAX_DENSE_HESSIAN
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array, Design

# Iterations of EM on the first batch: it is a start, and not the whole of the data.
INIT_MAX_ITER = 30

# Rows with which starts are looked for: a stream is kept as a table until it has as many, and
# begins anew whenever it has twice as many rows as at the last search.
N_BUFFERED_ROWS = 4000

# Log-likelihood of these rows that a new start must gain: less is luck.
MIN_REINITIALIZATION_GAIN = 10.0

# Attributes that the first batch decides.
FIRST_BATCH_ATTRIBUTES = (
    "n_features_in_",
    "n_experts_",
    "feature_names_in_",
    "classes_",
    "_single_output",
)


class RowBuffer(NamedTuple):
    """All rows of a stream that is still short, as `_check_batch` gives them."""

    X: Design
    y: Array
    weight: Array
    n_rows_at_init: int = 0  # rows at the last search for starts

    def joined(self, other: RowBuffer) -> RowBuffer:
        """With the rows of another batch."""
        stack = sparse.vstack if sparse.issparse(self.X) else np.concatenate
        return self._replace(
            X=stack([self.X, other.X]),
            y=np.concatenate([self.y, other.y], axis=-1),
            weight=np.concatenate([self.weight, other.weight]),
        )


class StreamFit(NamedTuple):
    """What `partial_fit` has come to."""

    known: dict[str, Any]  # fitted attributes
    mixture: FittedMixture  # its parameters are not those of the stream
    stream: OnlineState
    rows: Dataset  # of the last batch


def supports_partial_fit(estimator: Any) -> bool:
    """Whether `partial_fit` is on offer; its absence says why."""
    if not isinstance(estimator.expert, str) or estimator.expert != "linear":
        raise AttributeError(
            f'partial_fit needs expert="linear"; got {estimator.expert!r}. Experts that are '
            "estimators need all rows at once: use fit, on a sample of the rows if need be."
        )
    weights = getattr(estimator, "class_weight", None)
    if isinstance(weights, str) and weights == "balanced":
        raise AttributeError(
            'partial_fit cannot know class_weight="balanced" before the end of the stream. Pass '
            "the weights of the classes as a dict."
        )
    return True


class StreamingMixin:
    """The work of `partial_fit`, whose arguments differ between the estimators."""

    _stream: OnlineState | None
    _mixture: FittedMixture

    def _partial_fit(self: Any, X, y, sample_weight, classes: Array | None = None):
        half_life = check_half_life(self.half_life)
        check_partial_fit_supported(self)
        if getattr(self, "_stream", None) is None:
            state, row_buffer = self._first_batch(X, y, sample_weight, classes)
        else:
            check_same_experts(self.n_experts, self.n_experts_)
            batch = RowBuffer(*self._check_batch(X, y, sample_weight))
            state, row_buffer = self._next_batch(batch, half_life), getattr(self, "_early", None)
            if row_buffer is not None:
                state, row_buffer = self._reinitialize(state, row_buffer.joined(batch), batch)
        if row_buffer is not None and len(row_buffer.weight) >= min(N_BUFFERED_ROWS, half_life):
            row_buffer = None
        known, mixture, stream, rows = state
        share, load, _ = expert_usage(stream.parts, stream.averaged_params, split_into_blocks(rows))
        make_mixture = partial(mixture._replace, parts=stream.parts)
        bound = stream.lower_bound - _log_jacobian(mixture)
        self._set_fitted_attributes(
            self._attributes(make_mixture, known, stream.averaged_params)
            | {
                "_memory": None,
                "_resume_state": None,
                "_stream": stream,
                "_early": row_buffer,
                "weights_": share,
                "load_": load,
                "lower_bound_": bound,
                "lower_bounds_": np.array([bound]),
                "start_lower_bounds_": np.array([bound]),
                "start_traces_": [np.array([bound])],
                "n_iter_": stream.n_batches,
                "converged_": False,
            }
        )
        return self

    def _first_batch(
        self: Any, X, y, sample_weight, classes: Array | None
    ) -> tuple[StreamFit, RowBuffer | None]:
        validation_copy = copy.copy(self)
        validation_copy.warm_start = hasattr(self, "_mixture")  # a fit is gone on from
        state, batch = self._begin(validation_copy, X, y, sample_weight, classes, None)
        searched = batch._replace(n_rows_at_init=len(batch.weight))
        return state, None if validation_copy.warm_start else searched

    def _reinitialize(
        self: Any, state: StreamFit, row_buffer: RowBuffer, batch: RowBuffer
    ) -> tuple[StreamFit, RowBuffer]:
        """A stream that begins anew with all of its rows, if that explains them better."""
        n_rows = len(row_buffer.weight)
        if n_rows < min(2 * row_buffer.n_rows_at_init, N_BUFFERED_ROWS):
            return state, row_buffer
        known, mixture, stream, _ = state
        previous = mixture._replace(params=stream.averaged_params)
        validation_copy = copy.copy(self)
        for name in ("_mixture", "feature_names_in_"):  # the rows are arrays now
            vars(validation_copy).pop(name, None)
        validation_copy.warm_start = False
        validation_copy.gate_features, validation_copy.expert_features = (
            mixture.gate_columns,
            mixture.expert_columns,
        )
        X, y, weight, _ = row_buffer
        classes = known.get("classes_")
        if classes is None:
            y = y[0] if self._single_output else y.T
        else:  # whose weights are in those of the rows
            y, validation_copy.class_weight = classes[y], None
        candidate, _ = self._begin(validation_copy, X, y, weight, classes, previous)
        row_buffer = row_buffer._replace(n_rows_at_init=n_rows)
        if (
            _log_likelihood(candidate, row_buffer)
            < _log_likelihood(state, row_buffer) + MIN_REINITIALIZATION_GAIN
        ):
            return state, row_buffer
        bound = stream.lower_bound - _log_jacobian(mixture) + _log_jacobian(candidate.mixture)
        stream = candidate.stream._replace(n_batches=stream.n_batches, lower_bound=bound)
        return StreamFit(
            known, candidate.mixture, stream, _batch_dataset(candidate.mixture, batch)
        ), row_buffer

    def _begin(
        self: Any,
        validation_copy: Any,
        X,
        y,
        sample_weight,
        classes: Array | None,
        previous: FittedMixture | None,
    ) -> tuple[StreamFit, RowBuffer]:
        """A stream of the rows so far, by parameters of a probe, which may know a fit.

        Experts are numbered like those of a mixture before.
        """
        problem = build_problem(validation_copy, X, y, sample_weight, classes=classes)
        em_problem = problem.em_problem
        _check_stream_width(em_problem.parts, em_problem.rows, em_problem.n_experts, classes)
        params = em_problem.init if isinstance(em_problem.init, Params) else self._start(problem)
        mixture = problem.mixture(params=params)
        for name, value in (problem.attributes | {"_mixture": mixture}).items():
            setattr(validation_copy, name, value)
        batch = RowBuffer(*validation_copy._check_batch(X, y, sample_weight))
        X, y, weight, _ = batch
        if previous is not None:
            params = _match_experts(
                params,
                _weighted_responsibilities(mixture, batch),
                _weighted_responsibilities(previous, batch),
            )
            mixture = mixture._replace(params=params)
        features = compute_moments(X, weight)
        outputs = None if mixture.target is None else compute_moments(y.T, weight)
        stream = online.init_online_state(
            em_problem.parts, params, em_problem.rows, features, outputs
        )
        return StreamFit(problem.attributes, mixture, stream, em_problem.rows), batch

    def _start(self: Any, problem: FitProblem) -> Params:
        """Parameters that a short search finds on the first batch."""
        em_problem = problem.em_problem._replace(max_iter=min(self.max_iter, INIT_MAX_ITER))
        task = FitTask(self, NullCallbackContext(), {})
        listener = FitMonitor(task, "start", lambda run: {}, problem.log_jacobian, 0)
        run, _ = fit_best_start(
            em_problem, [listener] * len(em_problem.seeds), listener, self.n_jobs
        )
        return run.params

    def _next_batch(self: Any, batch: RowBuffer, half_life: float) -> StreamFit:
        X, y, weight, _ = batch
        mixture, stream = self._mixture, self._stream
        decay = 0.5 ** (weight.sum() / half_life)
        features = merge_moments(stream.features, compute_moments(X, weight), decay)
        scale = feature_scale(features, X)
        outputs, target, output_move = stream.outputs, mixture.target, None
        if outputs is not None:
            outputs = merge_moments(outputs, compute_moments(y.T, weight), decay)
            target = output_scale(outputs)
            output_move = online.rescaling(mixture.target, target)
        columns = mixture.gate_columns, mixture.expert_columns
        stream = online.rescale(
            stream._replace(features=features, outputs=outputs),
            online.rescaling(mixture.scale, scale),
            columns,
            output_move,
        )
        known = {name: vars(self)[name] for name in FIRST_BATCH_ATTRIBUTES if name in vars(self)}
        mixture = mixture._replace(scale=scale, target=target)
        rows = _batch_dataset(mixture, batch)
        return StreamFit(known, mixture, online.update(stream, rows), rows)

    def _check_batch(self: Any, X, y, sample_weight) -> tuple[Design, Array, Array]:
        """Rows of positive weight: features, outputs (m, n) or class codes (n,), and weights."""
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        X = as_csr(X)
        y = check_same_length(X, self._validate_new_target(y))
        weight = check_weights(sample_weight, X.shape[0])
        if hasattr(self, "classes_"):
            weight = class_weights(self.class_weight, self.classes_, y, weight)
        present = np.flatnonzero(weight > 0.0)
        return X[present], y[..., present], weight[present]


def _log_jacobian(mixture: FittedMixture) -> float:
    """From log densities of the standardised target to those in its own units, to be subtracted."""
    return 0.0 if mixture.target is None else float(np.log(mixture.target.scale).sum())


def _batch_dataset(mixture: FittedMixture, batch: RowBuffer) -> Dataset:
    """The rows of a batch on the scale of the mixture."""
    X, y, weight, _ = batch
    if mixture.target is not None:
        center, spread = mixture.target
        y = (y - center[:, None]) / spread[:, None]
    columns = mixture.gate_columns, mixture.expert_columns
    return make_dataset(X, mixture.scale, *columns, y, weight)


def _weighted_responsibilities(mixture: FittedMixture, row_buffer: RowBuffer) -> Array:
    """Responsibilities of the experts for the early rows, times the roots of weights, (K, n)."""
    resp, _ = log_normalise(fitted.log_joint(mixture, row_buffer.X, row_buffer.y))
    return resp * np.sqrt(row_buffer.weight)


def _match_experts(params: Params, explained: Array, previous: Array) -> Params:
    """Parameters in the order in which experts explain most of the rows that they did before."""
    _, order = linear_sum_assignment(previous @ explained.T, maximize=True)
    return Params(*(type(part)(*(values[order] for values in part)) for part in params))


def _log_likelihood(state: StreamFit, row_buffer: RowBuffer) -> float:
    """Log-likelihood of the early rows."""
    said = state.mixture._replace(parts=state.stream.parts, params=state.stream.averaged_params)
    return float(row_buffer.weight @ fitted.log_density(said, row_buffer.X, row_buffer.y))


def _check_stream_width(
    parts: MixtureModel, rows: Dataset, n_experts: int, classes: Array | None
) -> None:
    """Matrices of the width of the table are kept: they must be small enough to be formed."""
    n_gate, n_columns = rows.gate_design.shape[1], rows.expert_design.shape[1]
    gate_size = (n_experts - 1) * n_gate if hasattr(parts.gate, "alpha") else 0
    expert_size = n_columns if classes is None else (len(classes) - 1) * n_columns
    check_stream_size("gate_features", gate_size, MAX_DENSE_HESSIAN)
    most = MAX_DENSE_GRAM if classes is None else MAX_DENSE_HESSIAN
    check_stream_size("expert_features", expert_size, most)
