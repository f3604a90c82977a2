"""`partial_fit`: learning from batches, for both estimators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from skmoe._data.checks import check_real
from skmoe._data.preprocessing import fit_feature_range, merge_feature_ranges
from skmoe._data.rows import Rows, check_two_classes, concat
from skmoe._estimators.fitting.problem import OF_USAGE, attributes_of_mixture, build_problem
from skmoe._estimators.parameters import conflicts
from skmoe._estimators.parameters.conflicts import Choice
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.parts import is_parametric
from skmoe._estimators.rows import training_data
from skmoe._estimators.rows.training_data import FitOptions, TrainingData, TrainingState
from skmoe._inference.inference import Maxima
from skmoe._mixture.fitted import FittedMixture, expert_usage
from skmoe._mixture.mixture import MAX_DENSE, Mixture
from skmoe._mixture.search import fit_starts
from skmoe._mixture.starts import blocks_of
from skmoe._mixture.stream import Stream, learned, started
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import TINY, Array

# The rows of the first batches are kept up to this weight or number, and a start is found anew on
# them whenever their weight has doubled.
N_KEPT_ROWS = 4000


def supports_partial_fit(estimator: Any) -> bool:
    """Whether `partial_fit` is available; an AttributeError names the reason if it is not."""
    chosen = {conflicts.STREAM: conflicts.STREAM} | conflicts.chosen_options(estimator)
    if not is_parametric(estimator.expert):
        chosen[conflicts.ESTIMATORS] = Choice("expert", estimator.expert)
    if message := conflicts.conflict_of(chosen):
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
    decay_of = np.inf if half_life is None else max(check_real("half_life", half_life), TINY)
    params = estimator._validate_parameters()
    conflicts.check_conflicts(
        {conflicts.STREAM: conflicts.STREAM} | training_data.chosen_rows(params, given)
    )
    state = getattr(estimator, "_training_state", None)
    if state is None:
        data = training_data.validate_training_data(estimator, params, given)
        rows, searches = data.rows, tuple(penalty.search for penalty in params.penalties)
    else:
        _check_continued(estimator)
        estimator._warn_of_missing("partial_fit", given, "offset", "units")
        rows, searches = estimator._checked(given, has_target=True), state.penalty_searches
    if rows.y.dtype.kind == "f" and np.isnan(rows.y).any():
        conflicts.check_conflicts(
            {conflicts.MISSING: "y with missing values", conflicts.STREAM: conflicts.STREAM}
        )
    if state is None:
        data = training_data.present_rows(
            params, data._replace(options=FitOptions(classes=classes))
        )
        batch = _in_double_precision(data.rows)
        if not params.task.is_classification:
            batch = batch._replace(y=batch.y.reshape(batch.n_rows, -1))
        fitted, stream = _start(estimator, params, data._replace(rows=batch, X=batch.X))
        attributes = data.attributes | {"n_experts_": params.n_experts}
    else:
        classes = getattr(estimator, "classes_", None)
        weight = params.task.row_weights(rows.y, classes, rows.weight)
        training_data.check_support(params, rows.y, weight)
        batch = _in_double_precision(rows._replace(weight=weight))
        attributes = vars(estimator).copy()
        if batch.unit is not None:
            attributes["n_units_"] = attributes.get("n_units_", 0) + int(batch.unit.max()) + 1
        if batch.n_known:
            attributes["n_known_"] = attributes.get("n_known_", 0) + batch.n_known
        names = {*attributes["_row_arguments"], *given.effective_arguments(batch)}
        attributes["_row_arguments"] = tuple(sorted(names))
        fitted = estimator._fitted
        stream = state.stream or Stream(fitted.theta, fit=(fitted.theta, state.total_weight))
        decay = 0.5 ** (float(batch.weight.sum()) / decay_of)
        fitted, stream = _next(estimator, params, stream, batch, decay)
    if stream.data is not None:
        rows = stream.data.rows
        if rows.weight.sum() >= min(N_KEPT_ROWS, decay_of) or rows.n_rows >= N_KEPT_ROWS:
            stream = stream._replace(data=None)
    (mixture, theta, preprocessor), sums = fitted, stream.sums
    assert sums is not None
    usage = expert_usage(mixture, theta, blocks_of(mixture, preprocessor.transform_units(batch)))
    bound = sums.log_likelihood[0] / sums.weight - preprocessor.log_jacobian()
    attributes |= attributes_of_mixture(fitted) | dict(zip(OF_USAGE, usage, strict=False))
    attributes |= {
        "_training_state": TrainingState(stream=stream, penalty_searches=searches),
        "lower_bound_": float(bound),
        "lower_bounds_": np.array([bound]),
        "start_converged_": np.array([False]),
        "start_traces_": [np.array([bound])],
        "maxima_": Maxima(),
        "n_iter_": stream.n_batches,
        "converged_": False,
    }
    estimator._set_fitted_attributes(attributes)
    return estimator


def _check_continued(estimator: Any) -> None:
    """What `partial_fit` continues has the same number of experts, and parts for streams."""
    mixture, number = estimator._fitted.mixture, estimator.n_experts_
    if "var_weights" in estimator._row_arguments:
        raise ValueError(
            "partial_fit takes no var_weights, with which the estimator has been fitted. Fit it "
            "again to all rows, with fit(X, y, var_weights=...)."
        )
    for part in (mixture.gate, mixture.experts):
        if not part.is_linear or part.needs_all_rows:
            raise ValueError(
                "partial_fit continues fits of linear experts with a softmax or constant gate; "
                f"the fit has {type(part).__name__}. Use a clone, or fit."
            )
    if estimator.n_experts != number:
        raise ValueError(
            f"n_experts must stay {number} in later calls of partial_fit; got "
            f"{estimator.n_experts}. Start again with a clone to change it."
        )


def _check_widths(mixture: Mixture) -> None:
    """The matrices of gate and experts must be small enough to be formed."""
    for group in reversed(mixture.groups):  # the gate is the last one
        name = "gate_features" if group in mixture.gate_groups else "expert_features"
        size = group.coordinates.shape[1]
        if size > MAX_DENSE:
            raise ValueError(
                f"partial_fit keeps matrices of {size} columns, more than {MAX_DENSE}. Choose "
                f"fewer columns with {name}, use fewer experts, or use fit."
            )


# --- batches ----------------------------------------------------------------------------------


def _in_double_precision(rows: Rows) -> Rows:
    """The rows of positive weight as streams see them, with numbers of their units."""
    rows = rows.of_positive_weight()
    unit = None if rows.unit is None else rows.unit_codes
    return rows._replace(X=rows.X.astype(np.float64), unit=unit)


def _next(
    estimator: Any, params: FitParameters, stream: Stream, batch: Rows, decay: float
) -> tuple[FittedMixture, Stream]:
    """Mixture and stream after a batch, in the standardisation of the first rows.

    They start again with all rows that are kept, once their weight has doubled.
    """
    mixture, _, preprocessor = estimator._fitted
    _check_widths(mixture)
    ranges = merge_feature_ranges(preprocessor.feature_range, fit_feature_range(batch.X))
    preprocessor = preprocessor._replace(feature_range=ranges)
    blocks = blocks_of(mixture, preprocessor.transform_units(batch))
    stream = learned(stream, mixture, blocks, decay)
    fitted = FittedMixture(mixture, stream.theta, preprocessor)
    if stream.data is None:
        return fitted, stream
    rows = concat([stream.data.rows, batch])
    data = stream.data._replace(rows=rows, X=rows.X)
    if rows.weight.sum() < min(2.0 * stream.weight_at_start, N_KEPT_ROWS):
        return fitted, stream._replace(data=data)
    fitted, again = _start(estimator, params, data, fitted)
    return fitted, again._replace(n_batches=stream.n_batches)


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
    run = fit_starts(em_problem, estimator.n_jobs).run
    theta, mixture = run.theta, run.mixture
    if like is not None and rows.possible is None and mixture.can_reorder:
        # Square roots, because the product of two responsibilities is weighted.
        weight = 1.0 if rows.unit is not None else np.sqrt(rows.weight)
        both = like, problem.make_fitted(theta, mixture)
        previous, resp = (own.responsibilities(rows) * weight for own in both)
        _, order = linear_sum_assignment(previous @ resp.T, maximize=True)
        theta = mixture.reordered(theta, order)
        mixture = mixture.with_parts(experts=mixture.experts.in_order(order))
    stream = Stream(theta, data=data, weight_at_start=float(rows.weight.sum()))
    stream = started(stream, mixture, blocks_of(mixture, em_problem.rows))
    return problem.make_fitted(theta, mixture), stream
