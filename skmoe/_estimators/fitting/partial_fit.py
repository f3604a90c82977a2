"""`partial_fit`: learning from batches, for both estimators."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from skmoe._data.checks import shown
from skmoe._data.preprocessing import CONSTANT_RTOL, Preprocessor, fit_feature_range
from skmoe._data.row_checks import check_two_classes
from skmoe._data.rows import Rows, concat
from skmoe._estimators.fitting.attributes import attributes_of_mixture
from skmoe._estimators.fitting.problem import build_problem
from skmoe._estimators.parameters.conflicts import (
    ESTIMATORS,
    STREAM,
    Choice,
    check_conflicts,
    chosen_options,
    conflict_of,
)
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.parts import is_parametric
from skmoe._estimators.rows.training_data import (
    FitOptions,
    TrainingData,
    TrainingState,
    check_support,
    chosen_rows,
    present_rows,
    validate_training_data,
)
from skmoe._inference.results import Maxima
from skmoe._mixture.fitted import FittedMixture, expert_usage
from skmoe._mixture.groups import MAX_DENSE
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.search import fit_starts
from skmoe._mixture.starts import blocks_of
from skmoe._mixture.stream import Stream, learned, started
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array

# The rows of the first batches are kept up to this weight or number, and a start is found anew on
# them whenever their weight has doubled. It is kept if it gains so much log-likelihood on them.
N_KEPT_ROWS = 4000
MIN_GAIN = 10.0


def supports_partial_fit(estimator: Any) -> bool:
    """Whether `partial_fit` is available; an AttributeError names the reason if it is not."""
    chosen = {STREAM: STREAM} | chosen_options(estimator)
    if not is_parametric(estimator.expert):
        chosen[ESTIMATORS] = Choice("expert", estimator.expert)
    message = conflict_of(chosen)
    if message:
        raise AttributeError(message)
    return True


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


@underflow_to_zero
def fit_batch(
    estimator: Any, given: Rows, half_life: float | None, classes: Array | None = None
) -> Any:
    """The estimator, which has learned from a batch by `partial_fit`."""
    estimator._check_is_whole("partial_fit")
    decay_of = _half_life(half_life)
    params = estimator._validate_parameters()
    check_conflicts({STREAM: STREAM} | chosen_rows(params, given))
    state = getattr(estimator, "_training_state", None)
    if state is None:
        data = validate_training_data(estimator, params, given)
        data = present_rows(params, data._replace(options=FitOptions(classes=classes)))
        batch = _in_double_precision(data.rows)
        if not params.task.is_classification:
            batch = batch._replace(y=batch.y.reshape(batch.n_rows, -1))
        fitted, stream = _start(estimator, params, data._replace(rows=batch, X=batch.X))
        attributes = data.attributes | {"n_experts_": params.n_experts}
        searches = tuple(penalty.search for penalty in params.penalties)
    else:
        _check_continued(estimator)
        batch, searches = _validate_batch(estimator, params, given), state.penalty_searches
        attributes = vars(estimator).copy()
        if batch.unit is not None:
            attributes["n_units_"] = attributes.get("n_units_", 0) + int(batch.unit.max()) + 1
        if batch.n_known:
            attributes["n_known_"] = attributes.get("n_known_", 0) + batch.n_known
        names = {*attributes["_row_arguments"], *given.effective_arguments(batch)}
        attributes["_row_arguments"] = tuple(sorted(names))
        theta = estimator._fitted.theta
        stream = state.stream or Stream(theta, fit=(theta, state.total_weight))
        decay = 0.5 ** (float(batch.weight.sum()) / decay_of)
        fitted, stream = _next(estimator._fitted, stream, batch, decay)
        if stream.data is not None:
            fitted, stream = _started_again(estimator, params, fitted, stream)
    if stream.data is not None:
        rows = stream.data.rows
        if rows.weight.sum() >= min(N_KEPT_ROWS, decay_of) or rows.n_rows >= N_KEPT_ROWS:
            stream = stream._replace(data=None)
    state = TrainingState(stream=stream, penalty_searches=searches)
    attributes = attributes | {"_training_state": state} | _attributes(fitted, stream, batch)
    estimator._set_fitted_attributes(attributes)
    return estimator


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


def _check_continued(estimator: Any) -> None:
    """What `partial_fit` continues has the same number of experts, and parts for streams."""
    mixture = estimator._fitted.mixture
    for part in (mixture.gate, mixture.experts):
        if not part.is_linear or part.needs_all_rows:
            raise ValueError(
                "partial_fit continues fits of linear experts with a softmax or constant gate; "
                f"the fit has {type(part).__name__}. Use a clone, or fit."
            )
    if estimator.n_experts != estimator.n_experts_:
        raise ValueError(
            f"n_experts must stay {estimator.n_experts_} in later calls of partial_fit; got "
            f"{estimator.n_experts}. Start again with a clone to change it."
        )


def _check_widths(mixture: Mixture) -> None:
    """The matrices of gate and experts must be small enough to be formed."""
    for group in reversed(mixture.groups):  # the gate is the last one
        name = "gate_features" if group is mixture.gate_group else "expert_features"
        size = group.coordinates.shape[1]
        if size > MAX_DENSE:
            raise ValueError(
                f"partial_fit keeps matrices of {size} columns, more than {MAX_DENSE}. Choose "
                f"fewer columns with {name}, use fewer experts, or use fit."
            )


# --- batches ----------------------------------------------------------------------------------


def _validate_batch(estimator: Any, params: FitParameters, given: Rows) -> Rows:
    """Validated rows of positive weight of a later batch."""
    rows = estimator._checked(given, has_target=True)
    weight = params.task.row_weights(rows.y, getattr(estimator, "classes_", None), rows.weight)
    check_support(params, rows.y, weight)
    return _in_double_precision(rows._replace(weight=weight))


def _in_double_precision(rows: Rows) -> Rows:
    """The rows of positive weight as streams see them, with numbers of their units."""
    rows = rows.of_positive_weight()
    unit = None if rows.unit is None else rows.unit_codes
    return rows._replace(X=rows.X.astype(np.float64), unit=unit)


def _next(
    fitted: FittedMixture, stream: Stream, batch: Rows, decay: float
) -> tuple[FittedMixture, Stream]:
    """Mixture and stream after a batch, in the standardisation of the first rows."""
    mixture, _, preprocessor = fitted
    _check_widths(mixture)
    preprocessor = preprocessor.extend_range(fit_feature_range(batch.X))
    preprocessor = _with_late_columns(preprocessor, batch.X)
    blocks = blocks_of(mixture, preprocessor.transform_units(batch))
    stream = learned(stream, mixture, blocks, decay)
    if stream.data is not None:
        rows = concat([stream.data.rows, batch])
        init = stream.data.init if isinstance(stream.data.init, str) else "auto"
        stream = stream._replace(data=stream.data._replace(rows=rows, X=rows.X, init=init))
    return FittedMixture(mixture, stream.theta, preprocessor), stream


def _with_late_columns(preprocessor: Preprocessor, X: Any) -> Preprocessor:
    """Columns that were constant so far have the scale of their first other values."""
    center, scale = preprocessor.feature_scaling
    constant = np.flatnonzero(~np.isfinite(scale[: X.shape[1]]))
    if not len(constant):
        return preprocessor
    values = X[:, constant]
    values = values.toarray() if sparse.issparse(values) else values
    size = np.abs(values - center[constant]).max(axis=0)
    scale = scale.copy()
    is_new = size > CONSTANT_RTOL * np.abs(center[constant])
    scale[constant] = np.where(is_new, size, np.inf)
    scaling = preprocessor.feature_scaling._replace(scale=scale)
    return preprocessor._replace(feature_scaling=scaling)


# --- starts -----------------------------------------------------------------------------------


def _start(
    estimator: Any, params: FitParameters, data: TrainingData, like: FittedMixture | None = None
) -> tuple[FittedMixture, Stream]:
    """Mixture and stream from a fit of rows, whose weights contain those of classes.

    The experts are numbered to match those of another mixture, if given.
    """
    params, rows = params._replace(task=replace(params.task, class_weight=None)), data.rows
    problem = build_problem(estimator, params, data, data.options)
    em_problem = problem.em_problem
    _check_widths(em_problem.mixture)
    run = fit_starts(em_problem, [None] * len(em_problem.seeds), None, estimator.n_jobs).run
    theta, mixture = run.theta, run.mixture
    if like is not None and rows.possible is None and mixture.can_reorder:
        # Square roots, because the product of two responsibilities is weighted.
        weight = 1.0 if rows.unit is not None else np.sqrt(rows.weight)
        both = like, problem.make_fitted(theta, mixture)
        previous, resp = (own.responsibilities(rows) * weight for own in both)
        _, order = linear_sum_assignment(previous @ resp.T, maximize=True)
        theta = mixture.reordered(theta, order)
        mixture = mixture.with_part("experts", mixture.experts.in_order(order))
    stream = Stream(theta, data=data, weight_at_start=float(rows.weight.sum()))
    stream = started(stream, mixture, blocks_of(mixture, em_problem.rows))
    return problem.make_fitted(theta, mixture), stream


def _started_again(
    estimator: Any, params: FitParameters, fitted: FittedMixture, stream: Stream
) -> tuple[FittedMixture, Stream]:
    """Mixture and stream from a fit of all rows that are kept, if it is clearly better."""
    rows = stream.data.rows
    weight = float(rows.weight.sum())
    if weight < min(2.0 * stream.weight_at_start, N_KEPT_ROWS):
        return fitted, stream
    found, again = _start(estimator, params, stream.data, fitted)
    of_rows = 1.0 if rows.unit is not None else rows.weight
    gain = (of_rows * (found.log_density(rows) - fitted.log_density(rows))).sum()
    if gain < MIN_GAIN:
        return fitted, stream._replace(weight_at_start=weight)
    # The log densities of the batches are kept, in units of the new standardisation.
    assert stream.sums is not None
    assert again.sums is not None
    change = found.preprocessor.log_jacobian - fitted.preprocessor.log_jacobian
    mean = stream.sums.log_likelihood / stream.sums.weight + change
    sums = again.sums._replace(log_likelihood=mean * again.sums.weight)
    return found, again._replace(sums=sums, n_batches=stream.n_batches)


# --- attributes -------------------------------------------------------------------------------


def _attributes(fitted: FittedMixture, stream: Stream, batch: Rows) -> dict[str, Any]:
    """Attributes of the mixture after a batch."""
    mixture, theta, preprocessor = fitted
    blocks = blocks_of(mixture, preprocessor.transform_units(batch))
    assert stream.sums is not None
    bound = float(stream.sums.log_likelihood[0] / stream.sums.weight) - preprocessor.log_jacobian
    usage = expert_usage(mixture, theta, blocks)
    return attributes_of_mixture(fitted) | {
        "weights_": usage.mean_gate_prob,
        "_gate_overlap": usage.gate_overlap,
        "_load": usage.load,
        "lower_bound_": bound,
        "lower_bounds_": np.array([bound]),
        "start_converged_": np.array([False]),
        "start_traces_": [np.array([bound])],
        "maxima_": Maxima(),
        "n_iter_": stream.n_batches,
        "converged_": False,
    }
