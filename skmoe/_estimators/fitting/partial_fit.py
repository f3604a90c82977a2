"""`partial_fit`: online EM on batches, for both estimators."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import is_classifier

from skmoe._data.checks import shown
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.row_checks import check_two_classes
from skmoe._data.rows import Dataset, Rows, concat, distinct_rows, split_into_blocks
from skmoe._data.scaling import (
    Moments,
    column_means,
    compute_moments,
    fit_feature_range,
    keeping_sparse,
    merge_moments,
    output_scale,
)
from skmoe._estimators.fitting.attributes import attributes_of_mixture, attributes_of_usage
from skmoe._estimators.fitting.monitor import FitMonitor, FitTask, NullCallbackContext
from skmoe._estimators.fitting.problem import FitProblem, build_problem
from skmoe._estimators.parameters.conflicts import (
    ESTIMATORS,
    STREAM,
    Choice,
    check_conflicts,
    chosen_options,
    conflict_of,
)
from skmoe._estimators.parameters.parameters import FitParameters, check_init
from skmoe._estimators.parameters.part_parameters import family_of
from skmoe._estimators.rows.target_values import check_support
from skmoe._estimators.rows.training_data import (
    FitOptions,
    TrainingData,
    chosen_rows,
    present_rows,
    validate_training_data,
)
from skmoe._estimators.rows.units_and_known_experts import check_known_experts, validate_units
from skmoe._estimators.rows.warm_start import TrainingState
from skmoe._inference.maxima import Maxima
from skmoe._mixture import online
from skmoe._mixture.em import EMStart
from skmoe._mixture.initialization import INITIALIZERS
from skmoe._mixture.model import FittedMixture, MixtureModel, Params, expert_usage
from skmoe._mixture.multistart import fit_starts, run_to_convergence
from skmoe._mixture.online import OnlineState
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.protocols import SupportsReordering, SupportsStreaming, missing_methods, permute_experts

# Maximum numbers of EM iterations on the first batch, which is only an initialisation: from the
# starts, and after them with a search of penalties.
INIT_MAX_ITER = 30
SEARCH_MAX_ITER = 60

# The rows of the first batches are buffered up to this total weight or number of distinct rows, and
# the mixture is re-initialised on them whenever their weight has doubled.
N_BUFFERED_ROWS = 4000

# A re-initialisation is accepted if it increases the log-likelihood of the buffered rows by this
# amount.
MIN_REINITIALIZATION_GAIN = 10.0

# Fitted attributes that the first batch determines, and the names that the user gives.
FIRST_BATCH_ATTRIBUTES = (
    "n_features_in_",
    "n_experts_",
    "feature_names_in_",
    "classes_",
    "_single_output",
    "_expert_names",
)


class RowBuffer(NamedTuple):
    """Distinct rows of one or several batches, whose weights include those of the classes."""

    rows: Rows
    weight_at_init: float = 0.0  # total weight at the last initialisation

    @property
    def total_weight(self) -> float:
        """The number of rows that the weights stand for."""
        return float(self.rows.weight.sum())

    def after_init(self) -> RowBuffer:
        """The buffer after an initialisation on its rows."""
        return self._replace(weight_at_init=self.total_weight)

    def append(self, batch: Rows) -> RowBuffer:
        """The buffer with the rows of another batch."""
        return self._replace(rows=_merge_rows(concat([self.rows, batch])))

    @property
    def has_doubled(self) -> bool:
        """Whether the rows are twice those of the last initialisation, or as many as are kept."""
        return self.total_weight >= min(2.0 * self.weight_at_init, N_BUFFERED_ROWS)

    def is_full(self, half_life: float) -> bool:
        """Whether no more rows are needed, or kept, for initialisations."""
        enough = self.total_weight >= min(N_BUFFERED_ROWS, half_life)
        return enough or self.rows.n_rows >= N_BUFFERED_ROWS


def _merge_rows(rows: Rows) -> Rows:
    """Each distinct row once, with its total weight."""
    others = [values for values in (rows.offset, rows.unit, rows.possible) if values is not None]
    others = [*np.column_stack(others).T] if others else []
    order, first = distinct_rows(rows.X, rows.y, rows.weight, others)
    return rows.take(order[first])._replace(weight=np.add.reduceat(rows.weight[order], first))


class StreamFit(NamedTuple):
    """Result of online EM after a batch."""

    attributes: dict[str, Any]  # FIRST_BATCH_ATTRIBUTES
    preprocessor: Preprocessor
    state: OnlineState
    rows: Dataset  # of the last batch
    row_buffer: RowBuffer | None = None

    @property
    def fitted(self) -> FittedMixture:
        """The mixture for predictions, with averaged parameters."""
        return FittedMixture(self.state.model, self.state.averaged_params, self.preprocessor)

    def log_likelihood(self, rows: Rows) -> float:
        """Log-likelihood of weighted rows."""
        log_density = self.fitted.log_density(rows)
        return float(log_density.sum() if rows.unit is not None else rows.weight @ log_density)


def supports_partial_fit(estimator: Any) -> bool:
    """Whether `partial_fit` is available; an AttributeError names the reason if it is not."""
    chosen = {STREAM: STREAM} | chosen_options(estimator)
    family = family_of(estimator.expert, "classifier" if is_classifier(estimator) else "regressor")
    if family is None:
        chosen[ESTIMATORS] = Choice("expert", estimator.expert)
    else:
        chosen |= _without_streams("experts", estimator.expert, family)
    message = conflict_of(chosen)
    if message:
        raise AttributeError(message)
    return True


def _without_streams(name: str, shown_as: Any, part: Any) -> dict[str, str]:
    """The option of experts or a gate without methods for streams, if they have none."""
    missing = missing_methods(part, SupportsStreaming)
    option = f"{name} without methods for streams"
    return {option: f"{shown_as!r}, which has no method {missing[0]}"} if missing else {}


@underflow_to_zero
def fit_batch(
    estimator: Any, given: Rows, half_life: float | None, classes: Array | None = None
) -> Any:
    """The estimator, which has learned from a batch by `partial_fit`."""
    estimator._check_is_whole("partial_fit")
    half_life = _half_life(half_life)
    params = estimator._validate_parameters()
    chosen = {STREAM: STREAM} | chosen_rows(params, given)
    check_conflicts(chosen | _without_streams("a gate", params.gate, params.gate))
    training_state = getattr(estimator, "_training_state", None)
    if training_state is None:
        result = _first_batch(estimator, params, given, classes)
        searches = tuple(penalty.search for penalty in params.penalties)
    else:
        _check_continued(estimator._fitted.model)
        if estimator.n_experts != estimator.n_experts_:
            raise ValueError(
                f"n_experts must stay {estimator.n_experts_} in later calls of partial_fit; got "
                f"{estimator.n_experts}. Start again with a clone to change it."
            )
        batch = _validate_batch(estimator, params, given)
        state = training_state.online_state or _state_of_fit(
            estimator._fitted, training_state, batch
        )
        result = _next_batch(estimator, state, batch, half_life)
        earlier, later = estimator._row_arguments, given.effective_arguments(batch)
        result.attributes["_row_arguments"] = tuple(sorted({*earlier, *later}))
        if training_state.row_buffer is not None:
            row_buffer = training_state.row_buffer.append(batch)
            result = _reinitialize(estimator, params, result, row_buffer, batch)
        searches = training_state.penalty_searches
    if result.row_buffer is not None and result.row_buffer.is_full(half_life):
        result = result._replace(row_buffer=None)
    estimator._set_fitted_attributes(_attributes(result, searches))
    return estimator


def _attributes(result: StreamFit, searches: tuple[str, ...]) -> dict[str, Any]:
    """Fitted attributes after a batch."""
    state = result.state
    training_state = TrainingState(
        online_state=state, row_buffer=result.row_buffer, penalty_searches=searches
    )
    usage = expert_usage(state.model, state.averaged_params, split_into_blocks(result.rows))
    lower_bound = state.lower_bound - result.preprocessor.log_jacobian
    return (
        result.attributes
        | attributes_of_mixture(result.fitted)
        | attributes_of_usage(usage)
        | {
            "_training_state": training_state,
            "lower_bound_": lower_bound,
            "lower_bounds_": np.array([lower_bound]),
            "start_lower_bounds_": np.array([lower_bound]),
            "start_converged_": np.array([False]),
            "start_traces_": [np.array([lower_bound])],
            "maxima_": Maxima(),
            "n_iter_": state.n_batches,
            "converged_": False,
        }
    )


def _half_life(value: Any) -> float:
    """Number of rows after which the weight of previous rows is halved; None is infinity."""
    if value is None:
        return np.inf
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not 0.0 < value <= np.finfo(float).max:
        raise ValueError(
            f"half_life must be None or a positive number of rows; got {shown(value)}. Pass a "
            "number of rows such as half_life=1000, or None to keep all."
        )
    return float(value)


def _check_continued(model: MixtureModel) -> None:
    """A fit that `partial_fit` continues needs gate and experts for streams."""
    for part in (model.gate, model.experts):
        missing = missing_methods(part, SupportsStreaming)
        if missing:
            raise ValueError(
                f"partial_fit continues fits whose gate and experts are those of streams; the fit "
                f"has a {type(part).__name__}, which has no method {missing[0]}. Use "
                "a clone, or fit."
            )


def classes_of_stream(classes: Any, fitted: Array | None) -> Array:
    """Sorted classes of a stream, which the first call must give and later ones may repeat."""
    if fitted is not None:
        if classes is not None and not np.array_equal(np.unique(np.asarray(classes)), fitted):
            raise ValueError(
                f"classes must be those of the first call to partial_fit, {fitted.tolist()}; got "
                f"{np.asarray(classes).tolist()}. Leave classes out, or start again with a clone."
            )
        return fitted
    if classes is None:
        raise ValueError(
            "classes must be passed on the first call to partial_fit: batches need not hold all "
            "classes. Pass all labels, such as classes=np.unique(y)."
        )
    classes = np.unique(np.asarray(classes))
    check_two_classes(classes)
    return classes


# --- batches ----------------------------------------------------------------------------------


def _first_batch(
    estimator: Any, params: FitParameters, given: Rows, classes: Array | None
) -> StreamFit:
    """Start online EM from a fit of the first batch."""
    data = validate_training_data(estimator, params, given)
    data = present_rows(params, data._replace(options=FitOptions(classes=classes)))
    batch = data.rows
    if not params.task.is_classification:
        batch = batch._replace(y=batch.y.reshape(batch.n_rows, -1))
    batch = _in_double_precision(batch)
    result = _initialize(estimator, params, data, batch)
    row_buffer = RowBuffer(_merge_rows(batch)).after_init()
    return result._replace(row_buffer=row_buffer)


def _in_double_precision(rows: Rows) -> Rows:
    """The rows of positive weight as online EM sees them, with numbers of their units."""
    rows = rows.of_positive_weight()
    unit = None if rows.unit is None else rows.unit_codes
    return rows._replace(X=rows.X.astype(np.float64), unit=unit)


def _state_of_fit(fitted: FittedMixture, training_state: TrainingState, batch: Rows) -> OnlineState:
    """Online EM that continues a fit, before its first batch."""
    model, params, preprocessor = fitted
    _check_stream_width(model, preprocessor.transform_units(batch))
    weight, scaling = training_state.total_weight, preprocessor.feature_scaling
    # Sparse features are not centred, so that a fit does not know their means.
    center = column_means(batch.X, batch.weight) if sparse.issparse(batch.X) else scaling.center
    features = Moments(weight, center, np.where(np.isfinite(scaling.scale), scaling.scale, 0.0))
    outputs, of_target = None, preprocessor.target_scaling
    if model.experts.standardizes_target and of_target is not None:
        outputs = Moments(weight, *of_target)
    return OnlineState(model, params, params, None, features, outputs, 0.0, 0.0, 0, weight)


def _next_batch(estimator: Any, state: OnlineState, batch: Rows, half_life: float) -> StreamFit:
    """Update online EM by a batch, with the standardisation of all rows so far."""
    X, y, weight = batch.X, batch.y, batch.weight
    preprocessor = estimator._fitted.preprocessor
    decay = 0.5 ** (float(weight.sum()) / half_life)
    features = merge_moments(state.features, compute_moments(X, weight), decay)
    feature_scaling = keeping_sparse(output_scale(features, np.inf), X, ())
    outputs, target_scaling, y_map = state.outputs, preprocessor.target_scaling, None
    if outputs is not None:
        outputs = merge_moments(outputs, compute_moments(y, weight), decay)
        target_scaling = output_scale(outputs)
        y_map = online.rescaling(preprocessor.target_scaling, target_scaling)
    state = online.rescale(
        state._replace(features=features, outputs=outputs, fit_weight=decay * state.fit_weight),
        online.rescaling(preprocessor.feature_scaling, feature_scaling),
        (preprocessor.gate_columns, preprocessor.expert_columns),
        y_map,
    )
    preprocessor = preprocessor.extend_range(fit_feature_range(X))._replace(
        feature_scaling=feature_scaling, target_scaling=target_scaling
    )
    previous = vars(estimator)
    attributes = {name: previous[name] for name in FIRST_BATCH_ATTRIBUTES if name in previous}
    if batch.unit is not None:
        attributes["n_units_"] = previous.get("n_units_", 0) + int(batch.unit.max()) + 1
    n_known = previous.get("n_known_", 0) + batch.n_known
    if n_known:
        attributes["n_known_"] = n_known
    rows = preprocessor.transform_units(batch)
    return StreamFit(attributes, preprocessor, online.update(state, rows), rows)


def _reinitialize(
    estimator: Any,
    params: FitParameters,
    result: StreamFit,
    row_buffer: RowBuffer,
    batch: Rows,
) -> StreamFit:
    """Re-initialise on all buffered rows; the result is accepted if it is clearly better."""
    if not row_buffer.has_doubled:
        return result._replace(row_buffer=row_buffer)
    rows, preprocessor = row_buffer.rows, result.preprocessor
    data = TrainingData(
        rows,
        rows.X,
        check_init(params.init, list(INITIALIZERS), rows.n_rows, params.n_experts),
        result.attributes,
        {"gate": preprocessor.gate_columns, "mean": preprocessor.expert_columns},
        result.state.model.experts.slopes,
        signs=result.state.model.experts.signs,
        options=FitOptions(classes=result.attributes.get("classes_")),
    )
    candidate = _initialize(estimator, params, data, rows, result.fitted)
    result = result._replace(row_buffer=row_buffer.after_init())
    gain = candidate.log_likelihood(rows) - result.log_likelihood(rows)
    if gain < MIN_REINITIALIZATION_GAIN:
        return result
    # The mean log-likelihood of the batches is kept, in units of the new standardisation.
    log_jacobian = candidate.preprocessor.log_jacobian - preprocessor.log_jacobian
    state = candidate.state._replace(
        n_batches=result.state.n_batches, lower_bound=result.state.lower_bound + log_jacobian
    )
    dataset = candidate.preprocessor.transform_units(batch)
    return result._replace(preprocessor=candidate.preprocessor, state=state, rows=dataset)


def _initialize(
    estimator: Any,
    params: FitParameters,
    data: TrainingData,
    batch: Rows,
    numbered_like: FittedMixture | None = None,
) -> StreamFit:
    """Start online EM from a fit of rows, whose weights contain those of their classes.

    The experts are numbered to match those of `numbered_like`, if given.
    """
    params = params._replace(task=params.task.with_class_weight(None))
    problem = build_problem(estimator, params, data, data.options)
    em_problem = problem.em_problem
    _check_stream_width(em_problem.model, em_problem.rows)
    start_params, model = _fit_first_batch(estimator, problem)
    # Experts with families of their own have the numbers of the list, and known experts their own.
    can_reorder = batch.possible is None and not model.experts.limitation(SupportsReordering)
    if numbered_like is not None and can_reorder:
        # Square roots, because the product of two responsibilities is weighted.
        weight = 1.0 if batch.unit is not None else np.sqrt(batch.weight)
        resp, previous = (
            mixture.responsibilities(batch) * weight
            for mixture in (problem.make_fitted(start_params, model), numbered_like)
        )
        _, order = linear_sum_assignment(previous @ resp.T, maximize=True)
        start_params = Params(*(permute_experts(part, order) for part in start_params))
    features = compute_moments(batch.X, batch.weight)
    outputs = None
    if model.experts.standardizes_target and not model.experts.is_classifier:
        outputs = compute_moments(batch.y, batch.weight)
    state = online.init_online_state(model, start_params, em_problem.rows, features, outputs)
    return StreamFit(problem.attributes, problem.preprocessor, state, em_problem.rows)


def _fit_first_batch(estimator: Any, problem: FitProblem) -> tuple[Params, MixtureModel]:
    """Parameters, and the model with its penalties, from a short fit of the first batch."""
    em_problem, task = problem.em_problem, FitTask(estimator, NullCallbackContext(), {})
    monitor = FitMonitor(task, "start", lambda run: {}, problem.log_jacobian, 0)
    monitors = [monitor] * len(em_problem.seeds)
    max_iter = min(em_problem.max_iter, INIT_MAX_ITER)
    starts = em_problem._replace(max_iter=max_iter, penalties=())
    run, _ = fit_starts(starts, monitors, monitor, estimator.n_jobs)
    if em_problem.penalties:
        # The starts leave no iterations for a search, which therefore has its own.
        search = em_problem._replace(max_iter=min(em_problem.max_iter, SEARCH_MAX_ITER))
        run = run_to_convergence(search, EMStart(run.params), monitor)
    return run.params, run.model or em_problem.model


def _validate_batch(estimator: Any, params: FitParameters, given: Rows) -> Rows:
    """Validated rows of positive weight of a later batch."""
    rows = estimator._validate_rows(given.X, given.y, given.weight, given.offset)
    classes, unit = getattr(estimator, "classes_", None), None
    weight = params.task.row_weights(rows.y, classes, rows.weight)
    check_support(params, rows.y, weight)
    if given.unit is not None:
        unit = validate_units(given.unit, rows.n_rows)
        estimator._check_gate_columns(rows.X, unit)
    possible = check_known_experts(given.possible, params.n_experts, weight, unit)
    return _in_double_precision(rows._replace(weight=weight, unit=unit, possible=possible))


def _check_stream_width(model: MixtureModel, rows: Dataset) -> None:
    """The matrices of gate and experts must be small enough to be formed."""
    part: Any
    for name, part, design in (
        ("gate_features", model.gate, rows.gate_design),
        ("expert_features", model.experts, rows.expert_design),
    ):
        size, maximum = part.streaming_size(model.n_experts, design.shape[1])
        if size > maximum:
            raise ValueError(
                f"partial_fit keeps matrices of {size} columns, more than {maximum}. Choose fewer "
                f"columns with {name}, use fewer experts, or use fit."
            )
