"""`partial_fit`: online EM on batches, for both estimators."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import validate_data

from skmoe._data.checks import as_csr, check_same_length, check_weights, class_weights
from skmoe._data.duplicates import unique_weighted_rows
from skmoe._data.feature_checks import explain_features
from skmoe._data.moments import compute_moments, feature_scale, merge_moments, output_scale
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.rows import Dataset, UserRows, split_into_blocks
from skmoe._estimators.attributes import attributes_of_mixture
from skmoe._estimators.callbacks import FitTask, NullCallbackContext
from skmoe._estimators.capabilities import (
    check_half_life,
    check_partial_fit_supported,
    check_same_n_experts,
    check_stream_size,
)
from skmoe._estimators.monitor import FitMonitor
from skmoe._estimators.parameters import FitParameters
from skmoe._estimators.problem import FitOptions, FitProblem, build_problem
from skmoe._estimators.training_data import GivenRows, check_support, validate_offset
from skmoe._estimators.warm_start import TrainingState, previous_fit
from skmoe._mixture import online
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import Params, expert_usage
from skmoe._mixture.multistart import EMProblem, fit_best_start
from skmoe._mixture.online import OnlineState
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array, Design

# Maximum number of EM iterations on the first batch, which is only an initialisation.
INIT_MAX_ITER = 30

# The rows of the first batches are buffered up to this total weight or number of distinct rows, and
# the mixture is re-initialised on them whenever their weight has doubled.
N_BUFFERED_ROWS = 4000

# A re-initialisation is accepted if it increases the log-likelihood of the buffered rows by this
# amount.
MIN_REINITIALIZATION_GAIN = 10.0

# Fitted attributes that the first batch determines.
FIRST_BATCH_ATTRIBUTES = (
    "n_features_in_",
    "n_experts_",
    "feature_names_in_",
    "classes_",
    "_single_output",
)


class RowBuffer(NamedTuple):
    """Validated rows of positive weight, from one or several batches."""

    X: Design
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array  # sample weights times class weights
    offset: Array | None = None  # of the linear predictors, (n,) or (m, n)
    weight_at_init: float = 0.0  # total weight at the last initialisation

    @property
    def total_weight(self) -> float:
        """The number of rows that the weights stand for."""
        return float(self.weight.sum())

    def as_user_rows(self) -> UserRows:
        """The rows for the methods of a fitted mixture."""
        return UserRows(self.X, self.y, self.weight, self.offset)

    def append(self, other: RowBuffer) -> RowBuffer:
        """The buffer with the rows of another batch."""
        stack = sparse.vstack if sparse.issparse(self.X) else np.concatenate
        return self._replace(
            X=stack([self.X, other.X]),
            y=np.concatenate([self.y, other.y], axis=-1),
            weight=np.concatenate([self.weight, other.weight]),
            offset=_join_offsets(self, other),
        ).merge_duplicates()

    def merge_duplicates(self) -> RowBuffer:
        """The buffer with each distinct row once."""
        keys, offset = self.y.T, self.offset
        if offset is not None:
            keys = np.column_stack([keys, offset.T])
        index, weight = unique_weighted_rows(self.X, keys, self.weight)
        offset = None if offset is None else offset[..., index]
        return self._replace(X=self.X[index], y=self.y[..., index], weight=weight, offset=offset)

    def is_full(self, half_life: float) -> bool:
        """Whether no more rows are needed, or kept, for initialisations."""
        enough = self.total_weight >= min(N_BUFFERED_ROWS, half_life)
        return enough or len(self.weight) >= N_BUFFERED_ROWS


def _join_offsets(*batches: RowBuffer) -> Array | None:
    """Offset of the rows of several batches, of which those without one have 0."""
    given = [batch.offset for batch in batches if batch.offset is not None]
    if not given:
        return None
    shape = max((offset.shape[:-1] for offset in given), key=len)
    return np.concatenate(
        [
            np.broadcast_to(
                0.0 if batch.offset is None else batch.offset, (*shape, len(batch.weight))
            )
            for batch in batches
        ],
        axis=-1,
    )


class StreamFit(NamedTuple):
    """Result of online EM after a batch."""

    attributes: dict[str, Any]  # FIRST_BATCH_ATTRIBUTES
    preprocessor: Preprocessor
    state: OnlineState
    rows: Dataset  # of the last batch

    @property
    def fitted(self) -> FittedMixture:
        """The mixture for predictions, with averaged parameters."""
        return FittedMixture(self.state.model, self.state.averaged_params, self.preprocessor)

    def log_likelihood(self, rows: RowBuffer) -> float:
        """Log-likelihood of weighted rows."""
        return float(rows.weight @ self.fitted.log_density(rows.as_user_rows()))


class StreamingMixin:
    """Implementation of `partial_fit`, which has other arguments in each estimator."""

    @underflow_to_zero
    def _partial_fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        classes: Array | None = None,
        offset: Any = None,
    ) -> Any:
        half_life = check_half_life(self.half_life)
        params = self._validate_parameters()
        check_partial_fit_supported(params)
        training_state = getattr(self, "_training_state", TrainingState())
        if training_state.online_state is None:
            data = X, y, sample_weight, offset
            result, row_buffer = _first_batch(self, params, data, classes)
        else:
            check_same_n_experts(self.n_experts, self.n_experts_)
            batch = _validate_batch(self, params, X, y, sample_weight, offset)
            result = _next_batch(self, batch, half_life)
            row_buffer = training_state.row_buffer
            if row_buffer is not None:
                row_buffer = row_buffer.append(batch)
                result, row_buffer = _reinitialize(self, params, result, row_buffer, batch)
        if row_buffer is not None and row_buffer.is_full(half_life):
            row_buffer = None
        self._set_fitted_attributes(_attributes(result, row_buffer))
        return self


def _attributes(result: StreamFit, row_buffer: RowBuffer | None) -> dict[str, Any]:
    """Fitted attributes after a batch."""
    state = result.state
    usage = expert_usage(state.model, state.averaged_params, split_into_blocks(result.rows))
    lower_bound = state.lower_bound - result.preprocessor.log_jacobian
    return (
        result.attributes
        | attributes_of_mixture(result.fitted)
        | {
            "_training_state": TrainingState(online_state=state, row_buffer=row_buffer),
            "weights_": usage.mean_gate_prob,
            "load_": usage.load,
            "lower_bound_": lower_bound,
            "lower_bounds_": np.array([lower_bound]),
            "start_lower_bounds_": np.array([lower_bound]),
            "start_converged_": np.array([False]),
            "start_traces_": [np.array([lower_bound])],
            "n_iter_": state.n_batches,
            "converged_": False,
        }
    )


# --- batches ----------------------------------------------------------------------------------


def _first_batch(
    estimator: Any,
    params: FitParameters,
    data: tuple[Any, Any, Any, Any],
    classes: Array | None,
) -> tuple[StreamFit, RowBuffer | None]:
    """Start online EM from a fit of the first batch, or from a previous fit."""
    options = FitOptions(previous=previous_fit(estimator, warm_start=True), classes=classes)
    validation_copy = copy.copy(estimator)
    result, batch = _initialize(validation_copy, params, data, options, numbered_like=None)
    if options.previous is not None:
        return result, None
    row_buffer = batch.merge_duplicates()
    return result, row_buffer._replace(weight_at_init=row_buffer.total_weight)


def _next_batch(estimator: Any, batch: RowBuffer, half_life: float) -> StreamFit:
    """Update online EM by a batch, with the standardisation of all rows so far."""
    X, y, weight, offset = batch.X, batch.y, batch.weight, batch.offset
    fitted, state = estimator._fitted, estimator._training_state.online_state
    preprocessor = fitted.preprocessor
    decay = 0.5 ** (float(weight.sum()) / half_life)
    features = merge_moments(state.features, compute_moments(X, weight), decay)
    feature_scaling = feature_scale(features, X)
    outputs, target_scaling, y_map = state.outputs, preprocessor.target_scaling, None
    if outputs is not None:
        outputs = merge_moments(outputs, compute_moments(y.T, weight), decay)
        target_scaling = output_scale(outputs)
        y_map = online.rescaling(preprocessor.target_scaling, target_scaling)
    state = online.rescale(
        state._replace(features=features, outputs=outputs),
        online.rescaling(preprocessor.feature_scaling, feature_scaling),
        (preprocessor.gate_columns, preprocessor.expert_columns),
        y_map,
    )
    preprocessor = preprocessor._replace(
        feature_scaling=feature_scaling, target_scaling=target_scaling
    )
    previous = vars(estimator)
    attributes = {name: previous[name] for name in FIRST_BATCH_ATTRIBUTES if name in previous}
    rows, _ = preprocessor.transform(X, y, weight, offset)
    return StreamFit(attributes, preprocessor, online.update(state, rows), rows)


def _reinitialize(
    estimator: Any,
    params: FitParameters,
    result: StreamFit,
    row_buffer: RowBuffer,
    batch: RowBuffer,
) -> tuple[StreamFit, RowBuffer]:
    """Re-initialise on all buffered rows; the result is accepted if it is clearly better."""
    total = row_buffer.total_weight
    if total < min(2.0 * row_buffer.weight_at_init, N_BUFFERED_ROWS):
        return result, row_buffer
    validation_copy = copy.copy(estimator)
    for name in ("_fitted", "feature_names_in_"):  # the buffered rows are arrays
        vars(validation_copy).pop(name, None)
    preprocessor = result.preprocessor
    params = params._replace(
        gate_features=preprocessor.gate_columns, expert_features=preprocessor.expert_columns
    )
    X, y, weight, offset = row_buffer.X, row_buffer.y, row_buffer.weight, row_buffer.offset
    classes = result.attributes.get("classes_")
    if classes is None:
        y = y[0] if estimator._single_output else y.T
    else:  # the row weights include the class weights
        y, validation_copy.class_weight = classes[y], None
        params = params._replace(task=validation_copy._make_task())
    data = X, y, weight, None if offset is None else offset.T
    candidate, _ = _initialize(
        validation_copy, params, data, FitOptions(classes=classes), result.fitted
    )
    row_buffer = row_buffer._replace(weight_at_init=total)
    gain = candidate.log_likelihood(row_buffer) - result.log_likelihood(row_buffer)
    if gain < MIN_REINITIALIZATION_GAIN:
        return result, row_buffer
    # The mean log-likelihood of the batches is kept, in units of the new standardisation.
    log_jacobian = candidate.preprocessor.log_jacobian - preprocessor.log_jacobian
    state = candidate.state._replace(
        n_batches=result.state.n_batches, lower_bound=result.state.lower_bound + log_jacobian
    )
    rows, _ = candidate.preprocessor.transform(batch.X, batch.y, batch.weight, batch.offset)
    return StreamFit(result.attributes, candidate.preprocessor, state, rows), row_buffer


def _initialize(
    validation_copy: Any,
    params: FitParameters,
    data: tuple[Any, Any, Any, Any],
    options: FitOptions,
    numbered_like: FittedMixture | None,
) -> tuple[StreamFit, RowBuffer]:
    """Start online EM from a fit of rows (X, y, sample_weight, offset).

    `validation_copy` receives the fitted attributes. The experts are numbered to match those of
    `numbered_like`, if given.
    """
    X, y, weight, offset = data
    problem = build_problem(
        validation_copy, params, GivenRows(X, y, weight, offset=offset), options
    )
    em_problem = problem.em_problem
    model = em_problem.model
    _check_stream_width(em_problem)
    start_params = em_problem.init
    if not isinstance(start_params, Params):
        start_params = _fit_first_batch(validation_copy, problem)
    fitted = problem.make_fitted(start_params)
    for name, value in (problem.attributes | {"_fitted": fitted}).items():
        setattr(validation_copy, name, value)
    batch = _validate_batch(validation_copy, params, *data)
    if numbered_like is not None:
        # Square roots, because the product of two responsibilities is weighted.
        resp, previous = (
            mixture.responsibilities(batch.as_user_rows()) * np.sqrt(batch.weight)
            for mixture in (fitted, numbered_like)
        )
        start_params = _match_experts(start_params, resp, previous)
    features = compute_moments(batch.X, batch.weight)
    outputs = None
    if model.experts.standardizes_target and not model.experts.is_classifier:
        outputs = compute_moments(batch.y.T, batch.weight)
    state = online.init_online_state(model, start_params, em_problem.rows, features, outputs)
    return StreamFit(problem.attributes, problem.preprocessor, state, em_problem.rows), batch


def _fit_first_batch(estimator: Any, problem: FitProblem) -> Params:
    """Parameters from a fit of the first batch with few iterations."""
    em_problem = problem.em_problem
    em_problem = em_problem._replace(max_iter=min(em_problem.max_iter, INIT_MAX_ITER))
    task = FitTask(estimator, NullCallbackContext(), {})
    monitor = FitMonitor(task, "start", lambda run: {}, problem.log_jacobian, 0)
    monitors = [monitor] * len(em_problem.seeds)
    run, _ = fit_best_start(em_problem, monitors, monitor, estimator.n_jobs)
    return run.params


def _validate_batch(
    estimator: Any, params: FitParameters, X: Any, y: Any, sample_weight: Any, offset: Any
) -> RowBuffer:
    """Validated rows of positive weight."""
    with explain_features(X):
        X = validate_data(estimator, X, reset=False, accept_sparse="csr", dtype=np.float64)
    X = as_csr(X)
    y = check_same_length(X, estimator._validate_target(y))
    weight = check_weights(sample_weight, X.shape[0])
    if params.task.is_classification:
        weight = class_weights(params.task.class_weight, estimator.classes_, y, weight)
    check_support(params, y.T, weight)
    n_outputs = 1 if y.ndim == 1 else len(y)
    offset = validate_offset(params, offset, X.shape[0], n_outputs)
    present = np.flatnonzero(weight > 0.0)
    offset = None if offset is None else offset[..., present]
    return RowBuffer(X[present], y[..., present], weight[present], offset)


def _match_experts(params: Params, resp: Array, previous: Array) -> Params:
    """Parameters with experts reordered to maximise the agreement with `previous` (K, n)."""
    _, order = linear_sum_assignment(previous @ resp.T, maximize=True)
    return Params(*(type(part)(*(values[order] for values in part)) for part in params))


def _check_stream_width(problem: EMProblem) -> None:
    """The matrices of gate and experts must be small enough to be formed."""
    model, rows = problem.model, problem.rows
    part: Any
    for name, part, design in (
        ("gate_features", model.gate, rows.gate_design),
        ("expert_features", model.experts, rows.expert_design),
    ):
        size, maximum = part.streaming_size(model.n_experts, design.shape[1])
        check_stream_size(name, size, maximum)
