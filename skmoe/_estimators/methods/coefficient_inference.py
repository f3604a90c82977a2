"""Inference of a fitted estimator: coefficients, by the information or by refits, and effects.

Refits are to targets drawn from the fitted mixture. Average effects are those of changes of rows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.censored_targets import check_numbers_of
from skmoe._data.checks import (
    check_choice,
    check_columns,
    check_integer,
    check_signs,
    is_integer,
    shown,
)
from skmoe._data.row_checks import check_metadata, check_weights
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._estimators.fitting.attributes import attributes_of_mixture
from skmoe._inference.average_effects import (
    AverageEffects,
    Change,
    DeltaMethod,
    average_effects_of,
    delta_method,
    standard_errors_of_means,
)
from skmoe._inference.bootstrap import (
    Refit,
    bootstrap_inference,
    parametric_bootstrap,
    repeat_by_weight,
    sample_classes,
)
from skmoe._inference.coefficients import (
    ListedBlock,
    coefficient_values,
    list_blocks,
    make_coefficients,
)
from skmoe._inference.criteria import doubtful_frequencies, missing_for_inference, require
from skmoe._inference.results import Inference
from skmoe._inference.standard_errors import observed_inference
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._checks import check_random_state
from skmoe.exceptions import WeightsWarning, warn_user
from skmoe.protocols import SupportsDistribution


def refit(
    estimator: Any,
    blocks: Sequence[ListedBlock],
    rows: Rows,
    drawn: Rows,
    seed: np.random.SeedSequence,
) -> Refit:
    """A fit to a target drawn from the fitted mixture, which starts from the fitted parameters.

    `rows` are those of the fit, validated; targets are drawn for them repeated by their weights.
    """
    rng = np.random.RandomState(np.random.MT19937(seed))
    model = _without_feature_names(estimator)
    drawn = draw_known_experts(model, drawn, rng)
    target = draw_target(model, drawn, rng)
    model.set_params(n_experts=model.n_experts_)
    model.set_params(warm_start=True, n_init=1, verbose=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model._fit(drawn._replace(y=target))
    fitted = attributes_of_mixture(estimator._in_units(model._fitted))
    attributes = {name: fitted[name] for listed in blocks for name in listed.block.attribute_names}
    return Refit(attributes, model._fitted.responsibilities(rows))


def _without_feature_names(estimator: Any) -> Any:
    """A copy for features that are an array, with column indices in the place of names."""
    model = copy.copy(estimator if estimator._input is None else estimator._input.mixture)
    names = vars(model).pop("feature_names_in_", None)
    if names is not None:
        columns: dict[str, Any] = {
            name: check_columns(
                name, getattr(model, name), model.n_features_in_, names, allow_empty=True
            )
            for name in model.get_params(deep=False)
            if name.endswith("_features")
        }
        if model.monotonic_cst is not None:
            signs = check_signs(model.monotonic_cst, None, model.n_features_in_, names)
            columns["monotonic_cst"] = signs or None
        model.set_params(**columns)
    return model


def draw_known_experts(model: Any, rows: Rows, rng: np.random.RandomState) -> Rows:
    """Rows whose known experts are drawn from the gate, where one expert is possible."""
    if rows.possible is None:
        return rows
    experts = _draw_experts(model, rows._replace(possible=None), rng)
    is_known = rows.possible.sum(axis=1) == 1
    drawn = np.eye(rows.possible.shape[1], dtype=bool)[experts]
    return rows._replace(possible=np.where(is_known[:, None], drawn, rows.possible))


def draw_target(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """A target for validated rows from the fitted mixture: those of a unit from one expert."""
    fitted, gate_prob = model._fitted, None
    if rows.unit is not None or rows.possible is not None:
        gate_prob = np.eye(fitted.mixture.n_experts)[:, _draw_experts(model, rows, rng)]
    if is_classifier(model):
        probs = fitted.predict(rows.X, gate_prob=gate_prob).T
        return model.classes_[sample_classes(probs, rng)]
    distribution = fitted.distribution(rows.X, rows.offset, model._single_output, gate_prob)
    return np.asarray(distribution.rvs(1, rng))[:, 0]


def _draw_experts(model: Any, rows: Rows, rng: np.random.RandomState) -> Array:
    """An expert (n,) for each row, among those that are possible; the same for rows of a unit."""
    log_gate = model._fitted.log_gate_of_units(rows)
    codes = np.arange(rows.n_rows) if rows.unit is None else rows.unit
    prob = np.exp(log_gate)
    if rows.possible is not None:
        prob = prob * rows.possible.T[:, np.unique(codes, return_index=True)[1]]
        prob /= prob.sum(axis=0)
    levels = np.cumsum(prob, axis=0)[:-1]
    return np.asarray((rng.uniform(size=levels.shape[1]) > levels).sum(axis=0)[codes])


COVARIANCE_TYPES = ("observed", "sandwich", "bootstrap")

# Relative difference of the sums of the same weights that is attributed to round-off.
SAME_WEIGHT_RTOL = 1e-6

# Relative difference of the lower bounds per row of the same rows that is attributed to round-off,
# also of features in single precision.
SAME_ROWS_RTOL = 1e-5


class InferenceOptions(NamedTuple):
    """Parameters of `inference` besides the data."""

    method: str = "observed"
    gate_reference: int = 0
    n_bootstrap: int = 200
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int = 0
    cluster: Any = None


def check_inference_options(estimator: Any, options: InferenceOptions) -> None:
    """Raise ValueError for invalid options, or for a mixture without standard errors."""
    check_choice("method", options.method, COVARIANCE_TYPES)
    check_gate_reference(options.gate_reference, estimator.n_experts_)
    message = missing_for_inference(estimator._fitted)
    if message:
        raise ValueError(message)
    if options.method == "bootstrap":
        check_integer("n_bootstrap", options.n_bootstrap, least=2)
        if not is_classifier(estimator):
            require(estimator._fitted.mixture.experts, SupportsDistribution, "the bootstrap")


def check_gate_reference(reference: Any, n_experts: int) -> None:
    """Raise ValueError unless it is the number of an expert."""
    if not (is_integer(reference) and 0 <= reference < n_experts):
        raise ValueError(
            f"gate_reference must be an expert from 0 to {n_experts - 1}; got {reference!r}."
        )


def warn_weights(method: str, rows: Rows, options: InferenceOptions) -> None:
    """Warn of weights that are hardly frequencies, except in the sandwich of clusters."""
    if options.cluster is not None or (rows.weight == 1.0).all():
        return
    reason = doubtful_frequencies(rows)
    if reason:
        labels = "np.arange(len(y))" if rows.unit is None else "units"
        warn_user(
            f"{method} took sample_weight as frequencies, a weight of 2 as two rows; {reason}. If "
            "they are sampling weights, or numbers of values of which y is the average, standard "
            "errors, p-values and criteria are wrong. For right standard errors pass "
            f'method="sandwich", cluster={labels}.',
            WeightsWarning,
        )


def validate_clusters(options: InferenceOptions, given: Rows, rows: Rows) -> Array | None:
    """Number of the cluster of each row or unit, for the sandwich; None without clusters.

    `rows` are those of positive weight, validated, of all that were given.
    """
    if options.cluster is None:
        return None
    if options.method != "sandwich":
        raise ValueError(
            f'cluster needs method="sandwich", whose scores are summed over the rows of a cluster; '
            f'got method={options.method!r}. Use method="sandwich", or leave cluster out.'
        )
    weight = check_weights(given.weight, np.shape(given.X)[0])
    labels = check_metadata({"cluster": options.cluster}, len(weight))["cluster"][weight > 0.0]
    distinct, codes = encode_units(labels)
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


def infer_coefficients(
    estimator: Any, given: Rows, rows: RowsOfFit, options: InferenceOptions
) -> Inference:
    """Inference for checked options and rows of the fit, as given and validated.

    That by the information is at the estimates of the fit.
    """
    clusters = None
    if options.cluster is not None:
        clusters = validate_clusters(options, given, rows.validated)
    fitted, responses = estimator._fitted, estimator._response_names()
    in_units, reference = estimator._in_units(fitted), options.gate_reference
    blocks = list_blocks(in_units, responses, estimator._labels(), reference)
    if options.method == "bootstrap":
        return _infer_by_bootstrap(estimator, rows.validated, options, blocks)
    coefficients = make_coefficients(blocks, vars(estimator), reference)
    inference, indefinite = observed_inference(
        fitted, rows.data, blocks, coefficients, options.method == "sandwich", clusters
    )
    if rows.difference:
        inference.max_shift = np.nan  # the maximum is that of other rows
    if indefinite:
        warn_user(
            "The observed information is indefinite: the estimates are not at a maximum of the "
            "penalised likelihood of these rows. Give the rows and weights of the fit, use larger "
            'penalties (alpha, gate_alpha), or method="bootstrap".',
            ConvergenceWarning,
        )
    return inference


def _infer_by_bootstrap(
    estimator: Any, rows: Rows, options: InferenceOptions, blocks: Sequence[ListedBlock]
) -> Inference:
    check_numbers_of('method="bootstrap", which draws y,', rows.y)
    seed = check_random_state(options.random_state).randint(np.iinfo(np.int32).max)
    replicates = parametric_bootstrap(
        partial(refit, estimator, blocks, rows, repeat_by_weight(rows)),
        partial(coefficient_values, blocks),
        estimator._fitted.responsibilities(rows),
        np.random.SeedSequence(seed).spawn(options.n_bootstrap),
        options.n_jobs,
        int(options.verbose),
    )
    coefficients = make_coefficients(blocks, vars(estimator), options.gate_reference)
    return bootstrap_inference(coefficients, replicates)


# --- the rows of the fit ----------------------------------------------------------------------


class RowsOfFit(NamedTuple):
    """Rows of a fit, as they are given for its inference."""

    validated: Rows
    data: Any  # as the mixture sees them, in double precision; None with estimators or a base
    difference: str  # from those of the fit; "" if there is none, or if it is not known


def rows_of_fit(estimator: Any, rows: Rows) -> RowsOfFit:
    """Validated rows, and whether they are those of the fit."""
    fitted, weight = estimator._fitted, estimator._effective_weight(rows.y, rows.weight)
    extra = fitted.preprocessor.extra_features
    has_base = extra is not None and extra.base is not None
    is_stream = estimator._training_state.stream is not None
    # The lower bound of estimators and of a base is that of predictions of other folds.
    data, other = None, ""
    if not (fitted.mixture.experts.needs_all_rows or has_base):
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


def _delta_method(estimator: Any, inference: Inference) -> DeltaMethod:
    """The delta method for the coefficients of an estimator, whose inference it must be."""
    reference = getattr(inference, "gate_reference", 0)
    in_units, responses = estimator._in_units(estimator._fitted), estimator._response_names()
    blocks = list_blocks(in_units, responses, estimator._labels(), reference)
    own = make_coefficients(blocks, vars(estimator))
    other = "" if getattr(inference, "terms", None) == own.terms else "terms"
    if not other:
        is_own = np.allclose(inference.estimates, own.values, rtol=1e-9, atol=0, equal_nan=True)
        other = "" if is_own else "estimates"
    if other:
        raise ValueError(
            "inference must be that of this mixture, with the same names of experts; got other "
            f"{other}. Pass inference=moe.inference(X, y), with the data of the fit."
        )
    return delta_method(estimator._fitted, inference, blocks)


@underflow_to_zero
def infer_means(estimator: Any, X: Any, rows: Rows) -> Array | None:
    """Standard errors (n, K, m) of the predictions of the experts for X, of m responses.

    The rows are those of the fit. None if the mixture has no standard errors, as of trees.
    """
    if missing_for_inference(estimator._fitted):
        return None
    delta = _delta_method(estimator, estimator.inference(rows.X, rows.y, **rows.arguments))
    at = estimator._checked(Rows(X))
    return standard_errors_of_means(estimator._fitted, at, len(estimator._response_names()), delta)


@underflow_to_zero
def infer_average_effects(
    estimator: Any,
    changes: Iterable[tuple[str, Any, Any, float]],
    rows: Rows,
    on_gate: bool,
    inference: Inference | None,
) -> AverageEffects:
    """Average effects of changes: name, features at both ends, and width of each.

    `rows` have weights of sum one, and an offset.
    """
    fitted, labels, responses = estimator._fitted, estimator._labels(), estimator._response_names()
    delta = None if inference is None else _delta_method(estimator, inference)

    def validated() -> Iterator[Change]:
        for name, low, high, width in changes:
            ends = (Rows(X, None, rows.weight, rows.offset) for X in (low, high))
            at_low, at_high = map(estimator._checked, ends)
            yield Change(name, at_low, at_high, width)

    return average_effects_of(fitted, validated(), responses, labels, on_gate, delta)


def predicts_steps(estimator: Any) -> bool:
    """Whether predictions may be steps: estimators are in the experts, base or gate."""
    mixture, _, preprocessor = estimator._fitted
    return mixture.experts.needs_all_rows or preprocessor.extra_features is not None
