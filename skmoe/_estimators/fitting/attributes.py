"""Fitted attributes and warnings after a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.rows import is_dask
from skmoe._data.sklearn_adapter import LOSSES, has_density, special_loss
from skmoe._estimators.fitting.problem import FitProblem
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.rows.training_data import TrainingState
from skmoe._inference.labels import describe_spikes, feature_labels, printable_name
from skmoe._inference.results import Maxima
from skmoe._mixture.em import Run, aitken_gap
from skmoe._mixture.fitted import FittedMixture, Usage, n_needed_experts, spikes
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.search import COUNTED_SEARCHES, Found
from skmoe._mixture.starts import Problem
from skmoe._numerics.evidence import is_dropped
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.exceptions import (
    CollapsedExpertsWarning,
    DegenerateExpertWarning,
    OptionWarning,
    UnreplicatedMaximumWarning,
    warn_user,
)

# Of the penalties of a part, what belongs to the prior of its scales and is no attribute.
HIDDEN_PENALTIES = ("noise_variance", "predictor_squares")

# Attributes of how the rows use the experts.
OF_USAGE = ("weights_", "_gate_overlap", "_load")


def attributes_of_mixture(fitted: FittedMixture) -> dict[str, Any]:
    """Attributes of gate and experts in original units, and the fitted mixture.

    Penalties are numbers, or arrays with one for each feature. That of a gate without slopes, as of
    one expert, is NaN.
    """
    mixture, theta, preprocessor = fitted
    of_experts, of_gate = mixture.split(theta)
    extra, gate_columns = preprocessor.extra_features, preprocessor.gate_columns
    attributes = {"_fitted": fitted, "base_": extra and extra.base, "gate_alpha_": np.nan}
    if preprocessor.feature_range is not None:
        attributes["feature_range_"] = preprocessor.feature_range
    n_columns = len(preprocessor.feature_scaling.scale if gate_columns is None else gate_columns)
    coef = mixture.gate.coefficients(of_gate, n_columns + 1)
    if coef is not None:
        slopes, intercepts = preprocessor.raw_coefficients(coef, gate_columns)
        slopes = slopes if extra is None else slopes[:, gate_columns]
        attributes |= {"gate_coef_": slopes, "gate_intercept_": intercepts}
    if mixture.experts.link:
        attributes["link_"] = mixture.experts.link
    for prefix, part in ("gate_", mixture.gate), ("", mixture.experts):
        for name, value in part.penalties.items():
            if name not in HIDDEN_PENALTIES:
                if isinstance(value, tuple):
                    values = np.where(is_dropped(value), np.inf, np.array(value))
                    value = preprocessor.feature_values(values, of_gate=part is mixture.gate)
                attributes[f"{prefix}{name}_"] = value
    n_params = float(mixture.experts.n_parameters(of_experts) + mixture.gate.n_parameters(of_gate))
    attributes["n_parameters_"] = int(n_params) if n_params.is_integer() else n_params
    return attributes | mixture.experts.attributes(of_experts, preprocessor)


def attributes_of_run(problem: FitProblem, run: Run) -> dict[str, Any]:
    """Attributes of a run of EM."""
    lower_bounds = np.array(run.lower_bounds) - problem.preprocessor.log_jacobian
    fitted = attributes_of_mixture(problem.make_fitted(run.theta, run.mixture))
    return {
        **problem.attributes,
        **fitted,
        "_training_state": TrainingState(
            penalty_searches=tuple(penalty.search for penalty in problem.penalties)
        ),
        "lower_bound_": lower_bounds[-1],
        "lower_bounds_": lower_bounds,
        "n_iter_": run.n_iter,
        "converged_": run.converged,
    }


def attributes_of_fit(problem: FitProblem, found: Found, usage: Usage) -> dict[str, Any]:
    """Attributes at the end of a fit."""
    run, mass = found.run, usage.responsibility_mass
    attributes = attributes_of_run(problem, run)
    experts, log_jacobian = run.mixture.experts, problem.preprocessor.log_jacobian
    # Experts that fit a few rows nearly exactly, or all of theirs. If all dispersions are at their
    # bound, y is a function of X, and nothing is wrong.
    at_bound = experts.dispersion_at_bound(run.theta)
    degenerate = np.array(at_bound & (not at_bound.all()))
    if not experts.needs_all_rows:
        data = Data(problem.em_problem.rows_in_memory, experts.dispersion_columns)
        degenerate |= spikes(run.mixture, run.theta, data, mass)
    total_weight = float(mass.sum())
    state = attributes["_training_state"]._replace(
        total_weight=total_weight, spikes=tuple(np.flatnonzero(degenerate).tolist())
    )
    maxima = Maxima()
    if found.maxima:  # the first is that of the fit
        first = found.maxima[0]._replace(
            smallest_share=float(mass.min() / total_weight), is_spurious=bool(degenerate.any())
        )
        bounds, n_times, *others = zip(first, *found.maxima[1:], strict=True)
        values = tuple(total_weight * (bound - log_jacobian) for bound in bounds)
        maxima = Maxima(values, n_times, others[0], found.counted, found.kept, others[1])
    # Of the starts, each when it ended or was dropped.
    traces = [np.array(start.lower_bounds) - log_jacobian for start in found.starts]
    return (
        attributes
        | dict(zip(OF_USAGE, usage, strict=False))
        | {
            "_training_state": state,
            "n_experts_": run.mixture.n_experts,
            "maxima_": maxima,
            "start_converged_": np.array([start.converged for start in found.starts]),
            "start_traces_": traces,
        }
    )


# --- the order of the experts -----------------------------------------------------------------

# Shares that differ by less than this fraction are equal: they are if regimes are mirror images of
# each other. Fits from different starts stop at shares that differ by a hundredth of it.
SHARE_RTOL = 1e-3


def order_by_share(mixture: Mixture, theta: Array, share: Array) -> Array:
    """Indices (K,) of the experts, the largest share of the rows first.

    So the numbers do not depend on the start. Experts of equal share are ordered by their
    coefficients.
    """
    order, first = np.argsort(-share, kind="stable"), 0
    while first < len(order):
        smallest = (1.0 - SHARE_RTOL) * share[order[first]]
        last = first + int(np.count_nonzero(share[order[first:]] >= smallest))
        if last > first + 1:
            equal = mixture.experts.by_expert(mixture.split(theta)[0])[order[first:last]]
            # The values in which the experts differ most decide, which are not those of round-off.
            by_spread = np.argsort(-np.ptp(equal, axis=0), kind="stable")
            ranked = np.lexsort(-equal[:, by_spread].T[::-1])
            order[first:last] = order[first:last][ranked]
        first = last
    return order


# --- warnings ---------------------------------------------------------------------------------


def warn_of_fit(
    estimator: Any,
    params: FitParameters,
    problem: Problem,
    run: Run,
    responsibility_mass: Array,
    offset: Any = None,
) -> None:
    """Warn of what a fit has found."""
    experts = run.mixture.experts
    # Models of a stack may have no rows.
    of_mixture = params.expert_parameter == "expert"
    if run.failed or (not run.converged and run.n_iter >= estimator.max_iter):
        warn_user(_advice(run, estimator.max_iter, problem, of_mixture), ConvergenceWarning)
    at_bound = experts.dispersion_at_bound(run.theta)
    if at_bound.any() and not at_bound.all():
        named = _named(np.flatnonzero(at_bound), estimator.expert_names_)
        warn_user(
            f"The noise variance of some experts is at its floor: {named}. They fit their rows "
            'exactly. Increase dispersion_prior, use fewer experts, or dispersion="shared".',
            DegenerateExpertWarning,
        )
    others = [k for k in estimator._training_state.spikes if not at_bound[k]]
    if others:
        spikes_of_fit = [estimator.expert_names_[k] for k in others]
        warn_user(describe_spikes(spikes_of_fit), DegenerateExpertWarning)
    if estimator.maxima_.runs == COUNTED_SEARCHES:
        warn_maxima(estimator.maxima_)
    if of_mixture and is_collapsed(responsibility_mass).any():
        # The same text for all fits, so that Python can show it once.
        warn_user(
            "Experts have collapsed: others explain nearly all of their rows better. Use fewer "
            "experts (n_experts), a larger gate_alpha, or more starts (n_init). The summary for "
            "the rows of the fit names them: summary(X, y).",
            CollapsedExpertsWarning,
        )
    if params.uses_estimators:
        names = estimator.expert_names_ if of_mixture else []
        _warn_of_estimators(params, problem.rows, experts, names)
    if hasattr(estimator, "expert_covariance_") and at_bound.all():
        warn_user(
            "The covariance matrices of all experts are at their floor, where correlations mean "
            "nothing: an output is constant, or a linear function of X or of the others. Leave "
            'such outputs out of y, or use covariance_type="diag".',
            DegenerateExpertWarning,
        )
    if offset is not None and not is_dask(offset):
        values = np.asarray(offset, dtype=np.float64)
        if values.size and 0.0 < values.min() < values.max() <= 1.0:
            warn_user(
                f"The offset is between {values.min():.3g} and {values.max():.3g}, as exposures of "
                "at most one year are. It must be their logarithm: if they are exposures, pass "
                "offset=np.log(exposure).",
                OptionWarning,
            )
    preprocessor = estimator._fitted.preprocessor
    if experts.signs and run.mixture.gate.depends_on_features:
        columns = preprocessor.expert_columns
        columns = np.arange(preprocessor.n_features) if columns is None else columns
        signed = columns[np.flatnonzero(experts.signs)]
        seen = np.intersect1d(signed, preprocessor.features_of_gate)
        if len(seen):
            labels = getattr(estimator, "feature_names_in_", None)
            named = _named(seen, feature_labels(labels, estimator.n_features_in_))
            warn_user(
                f"The gate uses features with signs in monotonic_cst: {named}. Each expert is "
                "monotonic in them, but the prediction need not be, as it also changes with the "
                "probabilities of the experts. Leave them out of gate_features.",
                OptionWarning,
            )


def _named(index: Iterable[int], names: Sequence[str]) -> str:
    return ", ".join(printable_name(names[k]) for k in index)


def _advice(run: Run, max_iter: int, problem: Problem, of_mixture: bool) -> str:
    """On EM that has stopped before convergence; experts that are not needed are a reason."""
    if run.failed:
        return (
            "EM stopped, since no step increases the lower bound. Experts or a gate of your own "
            "can cause it: check that `m_step` does not decrease their part of the objective."
        )
    gap, n_experts = aitken_gap(run.lower_bounds), run.mixture.n_experts
    estimate = "the remaining gain per row cannot be estimated"
    if 0.0 < gap < np.inf:  # a power of ten: texts repeat, and Python can show them once
        power = f"{10.0 ** np.ceil(np.log10(gap)):.0e}"
        estimate = f"the remaining gain is less than about {power} nats per row"
    data = Data(problem.rows_in_memory, run.mixture.experts.dispersion_columns)
    n_needed = n_needed_experts(run.mixture, run.theta, data) if of_mixture else n_experts
    remedy = (
        "Increase max_iter, or make the problem easier with fewer experts or larger penalties "
        "(alpha, gate_alpha). Fits of estimators as experts end earlier with a larger tol."
    )
    if n_needed < n_experts:
        remedy = (
            f"The rows do not tell {n_experts} experts apart: {n_needed} would fit nearly as well, "
            'and more iterations change little. Use fewer experts; n_experts="auto" finds their '
            "number."
        )
    return f"EM did not converge in max_iter={max_iter} iterations: {estimate}. {remedy}"


def warn_maxima(maxima: Maxima) -> None:
    """Warn if only one of several searches has reached the best value."""
    if maxima.runs == COUNTED_SEARCHES and maxima.n_runs > 1 and maxima.n_times[0] == 1:
        warn_user(
            f"{maxima} There may be a better one: raise n_init, or use fewer experts.",
            UnreplicatedMaximumWarning,
        )


def _warn_of_estimators(
    params: FitParameters, rows: Any, experts: Any, names: Sequence[str]
) -> None:
    """Warn of losses other than that of normal noise, and of useless experts with names."""
    of_noise = not params.task.is_classification and params.mean_family is None
    for estimator in params.estimators or ():
        loss = special_loss(estimator) if of_noise and not has_density(estimator) else None
        if loss:
            warn_user(
                f"expert={estimator!r} has a {loss} loss, but the mixture gives it normal noise: "
                "densities, intervals and responsibilities are those of normal noise. "
                f"{LOSSES[loss]}",
                OptionWarning,
            )
            break
    worse = np.flatnonzero(experts.is_worse_than_mean(rows.y)) if names else ()
    if len(worse):
        warn_user(
            "Some experts predict held-out rows much worse than the mean of y: "
            f"{_named(worse, names)}. Scale the features, or y by TransformedTargetRegressor, or "
            "give the estimator other options, such as more iterations.",
            ConvergenceWarning,
        )
