"""Inference of a fitted estimator: coefficients, by the information or by refits, and effects.

Refits are to targets drawn from the fitted mixture. Average effects are those of changes of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.censored_targets import check_numbers_of, point_values
from skmoe._data.checks import (
    check_choice,
    check_integer,
    is_integer,
    shown,
)
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._estimators.methods.expert_names import labels_of
from skmoe._inference.coefficients import derivatives_of, list_coefficients, observed_errors
from skmoe._inference.comparisons import missing_for_inference, require
from skmoe._inference.effects import AverageEffects, average_effects_of, standard_errors_of_means
from skmoe._inference.inference import Inference
from skmoe._mixture.em import Objective, em
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import end_at_maximum
from skmoe._mixture.starts import blocks_of
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_random_state
from skmoe.exceptions import WeightsWarning, warn_user
from skmoe.protocols import SupportsDistribution

COVARIANCE_TYPES = ("observed", "sandwich", "bootstrap")

# Relative difference of the sums of the same weights that is attributed to round-off.
SAME_WEIGHT_RTOL = 1e-6

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5

# Draws of a target until it has all classes.
MAX_DRAWS = 100

# Mean weights beyond which rows of a continuous y are hardly so many equal rows.
MAX_MEAN_FREQUENCY = 2.0


class InferenceOptions(NamedTuple):
    """Parameters of `inference` besides the data."""

    method: str = "observed"
    gate_reference: int = 0
    n_bootstrap: int = 200
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0


class RowsOfFit(NamedTuple):
    """Rows of a fit, as they are given for its inference."""

    validated: Rows
    data: Any  # as the mixture sees them, in double precision; None with estimators or a base
    difference: str  # from those of the fit; "" if there is none, or if it is not known


def check_gate_reference(reference: Any, n_experts: int) -> None:
    """Raise ValueError unless it is the number of an expert."""
    if not (is_integer(reference) and 0 <= reference < n_experts):
        raise ValueError(
            f"gate_reference must be an expert from 0 to {n_experts - 1}; got {reference!r}."
        )


def coefficients_of(estimator: Any, gate_reference: int = 0) -> Inference:
    """Coefficients of a fitted estimator, in the units of its input, without errors."""
    fitted = estimator._in_units(estimator._fitted)
    return list_coefficients(fitted, vars(estimator), labels_of(estimator), gate_reference)


def infer_coefficients(
    estimator: Any, name: str, rows: RowsOfFit, options: InferenceOptions
) -> Inference:
    """Inference by the method `name`, at the estimates of the fit."""
    check_choice("method", options.method, COVARIANCE_TYPES)
    if obstacle := missing_for_inference(estimator._fitted, estimator.n_parameters_):
        raise ValueError(obstacle)
    if options.method == "bootstrap":
        check_integer("n_bootstrap", options.n_bootstrap, least=2)
        if not is_classifier(estimator):
            require(estimator._fitted.mixture.experts, SupportsDistribution, "the bootstrap")
    clusters = None
    if "cluster" in rows.validated.metadata:
        clusters = _clusters(rows.validated, options.method)
    if clusters is None and (rows.validated.weight != 1.0).any():
        _warn_of_weights(name, rows.validated)
    coefficients = coefficients_of(estimator, options.gate_reference)
    if options.method == "bootstrap":
        return _bootstrap(estimator, rows.validated, options, coefficients)
    is_sandwich = options.method == "sandwich"
    found, is_indefinite = observed_errors(
        estimator._fitted, rows.data, coefficients, is_sandwich, clusters
    )
    if rows.difference:
        found = replace(found, max_shift=np.nan)  # the maximum is that of other rows
    if is_indefinite:
        warn_user(
            "The observed information is indefinite: the estimates are not at a maximum of the "
            "penalised likelihood of these rows. Give the rows and weights of the fit, use larger "
            'penalties (alpha, gate_alpha), or method="bootstrap".',
            ConvergenceWarning,
        )
    return found


def _warn_of_weights(name: str, rows: Rows) -> None:
    """A warning of weights that are hardly the numbers of rows for which they are taken."""
    y, n_rows, total = point_values(rows.y), rows.n_rows, rows.weight.sum()
    is_far = not 1.0 / MAX_MEAN_FREQUENCY <= total / n_rows <= MAX_MEAN_FREQUENCY
    if (rows.weight != np.round(rows.weight)).any():
        reason = "they are not whole numbers"
    elif is_far and (y != np.round(y)).any():
        reason = f"their sum, {total:g}, is far from the number of rows, {n_rows}"
    else:
        return
    labels = "np.arange(len(y))" if rows.unit is None else "units"
    warn_user(
        f"{name} took sample_weight as frequencies, a weight of 2 as two rows; {reason}. If "
        "they are sampling weights, or numbers of values of which y is the average, standard "
        "errors, p-values and criteria are wrong. For right standard errors pass "
        f'method="sandwich", cluster={labels}.',
        WeightsWarning,
    )


def _clusters(rows: Rows, method: str) -> Array:
    """Number of the cluster of each row or unit, for the sandwich."""
    if method != "sandwich":
        raise ValueError(
            f'cluster needs method="sandwich", whose scores are summed over the rows of a cluster; '
            f'got method={method!r}. Use method="sandwich", or leave cluster out.'
        )
    distinct, codes = encode_units(rows.metadata["cluster"])
    if len(distinct) < 2:
        raise ValueError(
            f"cluster must have at least two distinct labels; got one, {shown(distinct[0])}. Leave "
            "it out if the rows are independent."
        )
    if rows.unit is None:
        return codes
    _, first = np.unique(rows.unit, return_index=True)
    cut = codes != codes[first][rows.unit]
    if cut.any():
        raise ValueError(
            f"cluster must keep the rows of a unit together; row {int(cut.argmax())} is in another "
            "cluster than the first row of its unit. Use coarser clusters."
        )
    return codes[first]


def rows_of_fit(estimator: Any, rows: Rows) -> RowsOfFit:
    """Validated rows, and whether they are those of the fit."""
    fitted, weight = estimator._fitted, estimator._effective_weight(rows.y, rows.weight)
    is_stream = estimator._training_state.stream is not None
    # The lower bound of estimators and of a base is that of predictions of other folds.
    data, other = None, ""
    if not fitted.mixture.experts.needs_all_rows and estimator.base_ is None:
        seen = rows._replace(X=rows.X.astype(np.float64), weight=weight)
        data = fitted.data(fitted.preprocessor.transform_units(seen))
        bound, known = estimator.lower_bound_, fitted.lower_bound(data)
        if not is_stream and abs(known - bound) > SAME_ROWS_RTOL * (1.0 + abs(bound)):
            other = "Other rows than those of the fit: they have another lower bound."
    total = estimator._training_state.total_weight
    if not is_stream and abs(weight.sum() - total) > SAME_WEIGHT_RTOL * total:
        other = (
            f"Other rows than those of the fit: their weight is {weight.sum():g}, in the fit "
            f"{total:g}."
        )
    return RowsOfFit(rows, data, other)


# --- targets drawn from a fit -----------------------------------------------------------------


def draw_target(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """A target for validated rows from the fitted mixture: those of a unit from one expert.

    Codes of classes are drawn again until all classes are present.
    """
    fitted, gate_prob = model._fitted, None
    if rows.unit is not None or rows.possible is not None:
        gate_prob = np.eye(fitted.mixture.n_experts)[:, _draw_experts(fitted, rows, rng)]
    if not is_classifier(model):
        distribution = fitted.distribution(rows.X, rows.offset, model._single_output, gate_prob)
        return np.asarray(distribution.rvs(1, rng))[:, 0]
    levels = np.cumsum(fitted.predict(rows.X, gate_prob=gate_prob).T, axis=1)[:, :-1]
    for _ in range(MAX_DRAWS):
        codes = (rng.uniform(size=(len(levels), 1)) > levels).sum(axis=1)
        if len(np.unique(codes)) == len(model.classes_):
            break
    return codes


def _draw_experts(fitted: FittedMixture, rows: Rows, rng: np.random.RandomState) -> Array:
    """An expert (n,) for each row, among those that are possible; the same for rows of a unit."""
    codes = np.arange(rows.n_rows) if rows.unit is None else rows.unit
    prob = np.exp(fitted.log_gate_of_units(rows))
    if rows.possible is not None:
        prob = prob * rows.possible.T[:, np.unique(codes, return_index=True)[1]]
        prob /= prob.sum(axis=0)
    levels = np.cumsum(prob, axis=0)[:-1]
    return np.asarray((rng.uniform(size=levels.shape[1]) > levels).sum(axis=0)[codes])


def _bootstrap(
    estimator: Any, rows: Rows, options: InferenceOptions, coefficients: Inference
) -> Inference:
    """Errors by refits to targets that are drawn from the fit, with matched experts."""
    check_numbers_of('method="bootstrap", which draws y,', rows.y)
    seed = check_random_state(options.random_state).randint(np.iinfo(np.int32).max)
    counts, drawn = rows.weight.astype(int), rows
    if (counts == rows.weight).all():  # rows of integer weight are as many rows
        drawn = rows.take(np.repeat(np.arange(rows.n_rows), counts))._replace(weight=None)
    refits = Parallel(n_jobs=options.n_jobs, verbose=10 * int(options.verbose))(
        delayed(_refit)(estimator, rows, drawn, seed)
        for seed in np.random.SeedSequence(seed).spawn(options.n_bootstrap)
    )
    mixture, theta, _ = estimator._fitted
    size = len(mixture.first)
    changes = np.array(refits) - theta
    if not mixture.is_plain:  # those of the coordinates
        changes = changes @ np.linalg.pinv(mixture.expanded(np.eye(size)))
    derivatives = derivatives_of(coefficients.blocks, size)
    replicates = coefficients.estimates + changes @ derivatives.T
    return replace(
        coefficients,
        method=f"parametric bootstrap, {len(refits)} refits",
        full_covariance=np.atleast_2d(np.cov(replicates, rowvar=False)),
        replicates=replicates,
        theta=theta,
        refits=refits,
        coordinates=np.atleast_2d(np.cov(changes, rowvar=False)),
    )


def _refit(estimator: Any, rows: Rows, drawn: Rows, seed: np.random.SeedSequence) -> Array:
    """Coefficients (D,) of a fit of the same mixture to a drawn target, from those of the fit.

    The experts are matched by their responsibilities for the rows and the target of the fit.
    """
    rng, fitted = np.random.RandomState(np.random.MT19937(seed)), estimator._fitted
    if drawn.possible is not None:  # where one expert is possible, it is drawn from the gate
        experts = _draw_experts(fitted, drawn._replace(possible=None), rng)
        is_known = drawn.possible.sum(axis=1) == 1
        own = np.eye(drawn.possible.shape[1], dtype=bool)[experts]
        drawn = drawn._replace(possible=np.where(is_known[:, None], own, drawn.possible))
    target = draw_target(estimator, drawn, rng)
    target = target if is_classifier(estimator) else target.reshape(len(target), -1)
    weight = np.ones(drawn.n_rows) if drawn.weight is None else drawn.weight
    weight = estimator._effective_weight(target, weight)
    drawn = drawn._replace(X=drawn.X.astype(np.float64), y=target, weight=weight)
    dataset = fitted.preprocessor.transform_units(drawn)
    objective = Objective(fitted.mixture, blocks_of(fitted.mixture, dataset), n_rows=dataset.n_rows)
    length = estimator.max_iter, estimator.tol
    run = end_at_maximum(objective, em(objective, fitted.theta, *length), *length)
    if not fitted.mixture.can_reorder:
        return run.theta
    refit = fitted._replace(theta=run.theta)
    overlap = fitted.responsibilities(rows) @ refit.responsibilities(rows).T
    return fitted.mixture.reordered(run.theta, linear_sum_assignment(overlap, maximize=True)[1])


# --- effects ----------------------------------------------------------------------------------


@underflow_to_zero
def infer_means(estimator: Any, X: Any, rows: Rows) -> Array | None:
    """Standard errors (n, K, m) of the predictions of the experts for X, of m responses.

    The rows are those of the fit. None if the mixture has no standard errors, as of trees.
    """
    if missing_for_inference(estimator._fitted, estimator.n_parameters_):
        return None
    inference = estimator.inference(rows.X, rows.y, **rows.arguments)
    at, n_responses = estimator._checked(Rows(X)), len(labels_of(estimator).responses)
    return standard_errors_of_means(estimator._fitted, at, n_responses, inference)


@underflow_to_zero
def infer_average_effects(
    estimator: Any,
    changes: Iterable[tuple[str, Any, Any, float]],
    rows: Rows,
    on_gate: bool,
    inference: Inference | None,
) -> AverageEffects:
    """Average effects of changes: name, features at both ends, and width of each.

    `rows` have weights of sum one, and an offset. The inference must be that of this mixture.
    """
    fitted, labels = estimator._fitted, labels_of(estimator)
    theta: Any = fitted.theta if inference is None else getattr(inference, "theta", None)
    if not np.array_equal(theta, fitted.theta):
        raise ValueError(
            "inference must be that of this mixture; got that of other estimates. Pass "
            "inference=moe.inference(X, y), with the data of the fit."
        )

    def validated(X: Any) -> Rows:
        checked: Rows = estimator._checked(Rows(X, None, rows.weight, rows.offset))
        return checked

    ends = ((name, validated(low), validated(high), width) for name, low, high, width in changes)
    return average_effects_of(fitted, ends, labels, on_gate, inference)


def predicts_steps(estimator: Any) -> bool:
    """Whether predictions may be steps: estimators are in the experts, base or gate."""
    mixture, _, preprocessor = estimator._fitted
    return mixture.experts.needs_all_rows or preprocessor.extra_features is not None
