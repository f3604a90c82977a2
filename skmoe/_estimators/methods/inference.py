"""Inference about a fitted estimator: coefficients, by the information or by refits, and effects.

Methods of both estimators are criteria, standard errors, summary and explanation. Refits are to
targets drawn from the fitted mixture. Average effects are those of changes of rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skmoe._data.checks import check_choice, check_integer, check_level
from skmoe._data.preprocessing import predict_base
from skmoe._data.rows import Rows
from skmoe._data.sklearn_adapter import count_parameters
from skmoe._estimators.methods import draws
from skmoe._estimators.methods.new_rows import ExpertNamesMixin, NewRowsMixin, labels_of
from skmoe._inference import effects
from skmoe._inference.coefficients import (
    derivatives_of,
    indicator_columns,
    list_coefficients,
    missing_for_inference,
    observed_errors,
    require_distribution,
)
from skmoe._inference.designs import clusters_of, kinds_of_weights, warn_of_weights
from skmoe._inference.effects import AverageEffects, Explanation, Quantity, slopes_by_coordinates
from skmoe._inference.inference import Inference, delta_errors, delta_method, frame_of
from skmoe._inference.summary import Findings, FitStatistics, Summary, fit_statistics, make_summary
from skmoe._mixture.em import Objective, em
from skmoe._mixture.information import end_at_maximum
from skmoe._mixture.starts import blocks_of
from skmoe._numerics.linalg import one_thread
from skmoe._numerics.probability import log_normalise, underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.distributions._mixtures import check_random_state
from skmoe.exceptions import warn_user
from skmoe.protocols import Block

COVARIANCE_TYPES = ("observed", "sandwich", "bootstrap")

# Arguments of the fit that methods about it need, besides an offset and units.
WEIGHING = ("sample_weight", "known_experts")

DESIGN = ("cluster", "strata")  # of a sample

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


class RowsOfFit(NamedTuple):
    """Rows of a fit, as they are given for its inference."""

    validated: Rows
    data: Any  # as the mixture sees them, in double precision; None with estimators or a base
    posterior: tuple[Array, Array]  # responsibilities (K, U), and log densities (U,)
    difference: str  # from those of the fit; "" if there is none, or if it is not known


def infer_coefficients(
    estimator: Any, name: str, rows: RowsOfFit, options: InferenceOptions
) -> Inference:
    """Inference by the method `name`, at the estimates of the fit."""
    if options.method != "observed":
        check_choice("method", options.method, COVARIANCE_TYPES)
    if obstacle := missing_for_inference(estimator._fitted, estimator.n_parameters_):
        raise ValueError(obstacle)
    if options.method == "bootstrap":
        check_integer("n_bootstrap", options.n_bootstrap, least=2)
        if not is_classifier(estimator):
            require_distribution(estimator._fitted.mixture.experts, "the bootstrap")
    clusters, is_sandwich = None, options.method == "sandwich"
    if is_sandwich or rows.validated.metadata:
        clusters = clusters_of(rows.validated, options.method)
    if clusters is None and not np.isin(rows.validated.weight, [0.0, 1.0]).all():
        warn_of_weights(name, rows.validated)
    in_units, labels = estimator._in_units(estimator._fitted), labels_of(estimator)
    coefficients = list_coefficients(in_units, vars(estimator), labels, options.gate_reference)
    if not coefficients.terms:  # of one uniform distribution
        return coefficients
    if options.method == "bootstrap":
        return _bootstrap(estimator, rows.validated, options, coefficients)
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


def rows_of_fit(estimator: Any, name: str, given: Rows) -> RowsOfFit:
    """The rows for the method `name`, and whether they are those of the fit."""
    rows, _ = estimator._checked_units(name, given, *WEIGHING)
    rows = rows.of_positive_weight() if rows.series is None else rows.in_time_order()
    rows = rows.of_known_y() if estimator._fitted.preprocessor.counts_units else rows
    (mixture, theta, preprocessor), fitted = estimator._fitted, estimator._fitted
    weight = estimator._effective_weight(rows.y, rows.weight)
    is_stream = estimator._training_state.stream is not None
    data, posterior, other = None, None, ""
    # The lower bound of estimators and of a base is that of predictions of other folds.
    if not mixture.experts.needs_all_rows and estimator.base_ is None:
        seen = rows._replace(X=rows.X.astype(np.float64), weight=weight)
        data = fitted.data(preprocessor.transform_units(seen))
        bound, known = estimator.lower_bound_, fitted.lower_bound(data)
        if not is_stream and abs(known - bound) > SAME_ROWS_RTOL * (1.0 + abs(bound)):
            other = "Other rows than those of the fit: they have another lower bound."
        # Predictions with `top_k` have another gate, and class weights are no powers of densities.
        if mixture.top_k is None and (rows.unit is None or weight is rows.weight):
            resp, log_density = mixture.responsibilities(theta[None], data)
            logs = np.broadcast_to(preprocessor.log_jacobian(data.rows.y), data.rows.weight.shape)
            posterior = resp[:, 0], log_density[0] - data.total(logs)
    if posterior is None:
        posterior = log_normalise(fitted.log_joint(rows))
    total = estimator._training_state.total_weight
    if not is_stream and abs(weight.sum() - total) > SAME_WEIGHT_RTOL * total:
        other = (
            f"Other rows than those of the fit: their weight is {weight.sum():g}, in the fit "
            f"{total:g}."
        )
    return RowsOfFit(rows, data, posterior, other)


# --- targets drawn from a fit -----------------------------------------------------------------


def _bootstrap(
    estimator: Any, rows: Rows, options: InferenceOptions, coefficients: Inference
) -> Inference:
    """Errors by refits to targets that are drawn from the fit, with matched experts.

    Rows are resampled in place of targets where drawn ones could not be observed as those are.
    """
    seed = check_random_state(options.random_state).randint(np.iinfo(np.int32).max)
    counts, drawn = rows.weight.astype(int), rows
    if (counts == rows.weight).all():  # rows of integer weight are as many rows
        drawn = draws.copies_of(rows, counts, estimator._fitted.preprocessor.counts_units)
    refits = Parallel(n_jobs=options.n_jobs, verbose=10 * int(options.verbose))(
        delayed(_refit)(estimator, rows, drawn, seed)
        for seed in np.random.SeedSequence(seed).spawn(options.n_bootstrap)
    )
    mixture, theta, _ = estimator._fitted
    size = len(mixture.first)
    changes = np.array(refits) - theta
    if not mixture.is_plain:  # those of the coordinates
        changes = changes @ np.linalg.pinv(mixture.expanded(np.eye(size)))
    derivatives = derivatives_of(coefficients.blocks, theta[mixture.first])
    replicates = coefficients.estimates + changes @ derivatives.T
    return replace(
        coefficients,
        method=f"{'non' * draws.are_resampled(rows)}parametric bootstrap, {len(refits)} refits",
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
    is_resampled = draws.are_resampled(drawn)
    if is_resampled:
        drawn = draws.resampled(drawn, rng)
    elif drawn.possible is not None:  # where one expert is possible, it is drawn from the gate
        experts = draws.draw_experts(fitted, drawn._replace(possible=None), rng)
        is_known = drawn.possible.sum(axis=1) == 1
        own = np.eye(drawn.possible.shape[1], dtype=bool)[experts]
        drawn = drawn._replace(possible=np.where(is_known[:, None], own, drawn.possible))
    target = drawn.y if is_resampled else draws.draw_target(estimator, drawn, rng)
    target = target if is_classifier(estimator) else target.reshape(len(target), -1)
    weight = np.ones(drawn.n_rows) if drawn.weight is None else drawn.weight
    weight = estimator._effective_weight(target, weight)
    drawn = drawn._replace(X=drawn.X.astype(np.float64), y=target, weight=weight)
    dataset = fitted.preprocessor.transform_units(drawn)
    objective = Objective(fitted.mixture, blocks_of(fitted.mixture, dataset), n_rows=dataset.n_rows)
    length = estimator.max_iter, estimator.tol
    with one_thread():
        run = end_at_maximum(objective, em(objective, fitted.theta, *length), *length)
    if not fitted.mixture.can_reorder:
        return run.theta
    refit = fitted._replace(theta=run.theta)
    overlap = fitted.responsibilities(rows) @ refit.responsibilities(rows).T
    return fitted.mixture.reordered(run.theta, linear_sum_assignment(overlap, maximize=True)[1])


# --- effects ----------------------------------------------------------------------------------


def infer_if_possible(estimator: Any, rows: Rows) -> Inference | None:
    """Inference from the rows of the fit; None if the mixture has no standard errors."""
    is_missing = missing_for_inference(estimator._fitted, estimator.n_parameters_)
    has_none = is_missing or not len(estimator._fitted.theta)  # coefficients
    return None if has_none else estimator.inference(rows.X, rows.y, **rows.arguments)


@underflow_to_zero
def infer_means(estimator: Any, X: Any, rows: Rows) -> Array | None:
    """Standard errors (n, K, m) of the predictions of the experts for X, of m responses.

    The rows are those of the fit. None if the mixture has no standard errors, as of trees.
    """
    inference = infer_if_possible(estimator, rows)
    if inference is None:
        return None
    at, n_responses = estimator._checked(Rows(X)), len(labels_of(estimator).responses)

    def means(fit: Any) -> Array:
        return np.asarray(fit.predict_experts(at.X)[:, -n_responses:])

    errors = delta_errors(inference, slopes_by_coordinates(estimator._fitted, means))
    return np.moveaxis(errors, 2, 0)


@underflow_to_zero
def covariance_by_fit(
    estimator: Any, given: Rows, function: Callable[[Array], Array]
) -> Array | float:
    """Covariance of a function of the responsibilities (n, K) of rows that errors of the fit cause.

    The rows are those of the fit. Zero if the mixture has no standard errors, as of trees.
    """
    fitted = estimator._fitted
    if missing_for_inference(fitted, estimator.n_parameters_):
        return 0.0
    inference = estimator.inference(given.X, given.y, **given.arguments)
    rows, _ = estimator._checked_units("responsibilities", given)
    slopes = slopes_by_coordinates(fitted, lambda fit: function(fit.responsibilities(rows).T))
    return delta_method(inference, slopes)[0]


@underflow_to_zero
def infer_average_effects(
    estimator: Any,
    changes: Iterable[tuple[str, Any, Any, float]],
    rows: Rows,
    on_gate: bool,
    inference: Inference | None,
    at_time: tuple[str, float] | None = None,
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
        checked: Rows = estimator._checked(Rows(X, None, None, rows.offset))
        # Each row of series is taken for itself.
        return checked._replace(weight=rows.weight, time=None, series=None)

    ends = ((name, validated(low), validated(high), width) for name, low, high, width in changes)
    found = effects.average_effects_of(fitted, ends, labels, on_gate, inference, at_time)
    if on_gate or at_time or not hasattr(estimator, "last_time_"):
        return found
    note = effects.note_on_means(fitted, validated(rows.X), estimator.last_time_)
    return replace(found, note=note)


@underflow_to_zero
def infer_predictions(
    estimator: Any, inference: Inference, given: Rows, quantity: tuple[str, Any, Any], level: float
) -> Any:
    """Frame of predictions for new rows, with intervals, as `Inference.predictions` describes."""
    asked, labels = Quantity.checked(*quantity), labels_of(estimator)
    effects.warn_of_times(estimator, asked.times)
    if asked.what == "mean":
        estimator._check_mean()
    elif labels.classes:
        raise ValueError(f'what must be "mean" for classes, of probabilities; got {asked.what!r}.')
    else:
        require_distribution(estimator._fitted.mixture.experts, f"what={asked.what!r}")
    rows = estimator._checked(given)._replace(time=None, series=None)
    columns = effects.predictions_of(inference, estimator._fitted, rows, asked, level)
    names = given.X.index if hasattr(given.X, "iloc") else range(rows.n_rows)
    levels: dict[str, Any] = {"row": names}
    levels |= {"time": asked.times} if asked.times.ndim else {}
    if labels.classes or len(labels.responses) > 1:
        levels["class" if labels.classes else "output"] = labels.classes or labels.responses
    index = levels["row"] if len(levels) == 1 else list(product(*levels.values()))
    return frame_of(inference, columns, index, list(levels) if len(levels) > 1 else None)


def predicts_steps(estimator: Any) -> bool:
    """Whether predictions may be steps: estimators are in the experts, base or gate."""
    mixture, _, preprocessor = estimator._fitted
    return mixture.experts.needs_all_rows or preprocessor.extra_features is not None


# --- methods ----------------------------------------------------------------------------------


class ReportingMixin(ExpertNamesMixin, NewRowsMixin):
    """Methods that describe a fitted mixture."""

    _squeeze_outputs: Any
    n_experts_: int
    _in_units: Any
    n_parameters_: float

    @property
    def coefficient_blocks_(self) -> tuple[Block, ...]:
        """Blocks of coefficients of the experts, with the names of their attributes."""
        check_is_fitted(self)
        return self._fitted.mixture.experts.all_blocks

    # --- standard errors ---

    @underflow_to_zero
    def inference(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        method: str = "observed",
        gate_reference: int = 0,
        n_bootstrap: int = 200,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        cluster: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        strata: Any = None,
    ) -> Inference:
        """Standard errors, p-values and confidence intervals of the coefficients.

        They are those of experts with a linear predictor and of the gate, given the data of the
        fit. See "Standard errors and summaries" in the user guide. There are three methods:

        - "observed" inverts the negative Hessian of the penalised log-likelihood [1]_. This is a
          normal approximation to the posterior, with the penalties as priors. With penalties near
          zero it is maximum likelihood.
        - "sandwich" puts the outer product of the scores of the rows between two of these inverses.
          It is valid under a misspecified model [2]_.
        - "bootstrap" draws targets from the fitted mixture, refits it from its parameters under the
          same penalties and matches the experts [3]_. It is slower, and does not need a large
          number of rows. Drawn times are censored as those of the rows: where the event was seen,
          the end of the observation is drawn from its Kaplan-Meier estimate beyond it [5]_. Rows,
          or units, are resampled where y lies between two bounds, or rows of units or several
          outputs enter later: how drawn values would be observed is not known.

        The estimates are those of the fit. Given other rows, the first two methods invert the
        information of these rows there. Slopes of linearly dependent columns, such as indicators of
        all categories, have the errors of what the data determine: see `is_dependent` of the
        result.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the fit, which are frequencies, or with `cluster` or `strata` the sampling
            weights of a survey. If these have neither, use `cluster=np.arange(n_samples)`.
        method : {"observed", "sandwich", "bootstrap"}, default="observed"
            Method of the covariance, see above.
        gate_reference : int, default=0
            Expert against which the coefficients of the gate are log odds.
        n_bootstrap : int, default=200
            Refits of the bootstrap: 50 to 200 for standard errors, 1000 for intervals.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the bootstrap. An integer makes the result reproducible.
        n_jobs : int, default=None
            Refits to run in parallel; -1 for all processors, None for one.
        verbose : int, default=0
            1 prints the progress of the bootstrap, 0 nothing.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the fit.
        units : array-like of shape (n_samples,), default=None
            Units of the fit. The sandwich is then that of independent units, and the bootstrap
            draws all rows of a unit from one expert.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series, as in `fit` with `gate="markov"`.
        cluster : array-like of shape (n_samples,), default=None
            For `method="sandwich"`: labels of clusters, such as schools or customers, whose rows
            may depend on each other in ways that the mixture does not model [4]_. None for rows, or
            units, that are independent. The covariance has the factor G / (G - 1) for G clusters,
            as `svyglm` in R; statsmodels has (n - 1) / (n - k) besides.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit. The bootstrap draws those of rows with one possible expert.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean; None for one.
        strata : array-like of shape (n_samples,), default=None
            For `method="sandwich"`: labels of the strata of a sample, each with two clusters or
            more. Clusters are those of a stratum; None are rows, or units.

        Returns
        -------
        inference : Inference
            With `standard_errors`, `z_values`, `p_values`, `conf_int` and `to_frame`.

        Raises
        ------
        ValueError
            If the mixture has no standard errors: experts that are estimators, a base model, or
            `top_k`. Experts of your own need `blocks`, and a gate of your own has none. Also if the
            bootstrap cannot draw targets, or a parameter is invalid.

        Warns
        -----
        ConvergenceWarning
            If the penalised likelihood of these rows has no maximum at the estimates: the rows are
            not those of the fit, or the model has too many parameters for them.
        FitMismatchWarning
            If weights, an offset, units or known experts were given to `fit`, but not here.
        WeightsWarning
            If weights are not whole numbers, or the sum of those of a continuous y is more than
            twice, or less than half, the number of rows, and there are no clusters.

        See Also
        --------
        summary : The coefficients as a text, with criteria.
        skmoe.inspection.CoefficientsDisplay : The coefficients with their intervals, as a picture.

        References
        ----------
        .. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM
           algorithm", Journal of the Royal Statistical Society B 44, 226-233.
        .. [2] H. White (1982), "Maximum likelihood estimation of misspecified models",
           Econometrica 50, 1-25.
        .. [3] G. J. McLachlan and D. Peel (2000), "Finite Mixture Models", Wiley, chapter 2.16.
        .. [4] K.-Y. Liang and S. L. Zeger (1986), "Longitudinal data analysis using generalized
           linear models", Biometrika 73, 13-22.
        .. [5] A. C. Davison and D. V. Hinkley (1997), "Bootstrap Methods and their Application",
           Cambridge University Press, sections 3.5 and 7.3.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y)
        >>> moe.inference(X, y).standard_errors.shape  # of two experts, and their log odds
        (25,)
        """
        check_is_fitted(self)
        check_integer("gate_reference", gate_reference, least=0, most=self.n_experts_ - 1)
        options = InferenceOptions(
            method, gate_reference, n_bootstrap, random_state, n_jobs, verbose
        )
        named = zip(DESIGN, (cluster, strata), strict=True)
        design = {name: labels for name, labels in named if labels is not None}
        given = Rows(X, y, sample_weight, offset, units, None, design, known_experts, time)
        rows = rows_of_fit(self, "inference", given._replace(n_values=var_weights))
        found = infer_coefficients(self, "inference", rows, options)
        # A later fit of the estimator does not change what the result is about.
        return replace(found, predictor=partial(infer_predictions, copy.copy(self)))

    # --- summary ---

    @underflow_to_zero
    def summary(
        self,
        X: Any = None,
        y: Any = None,
        *,
        sample_weight: Any = None,
        level: float = 0.95,
        gate_reference: int = 0,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        **inference: Any,
    ) -> Summary:
        """Experts, gate, criteria and coefficients of the fit, as a text.

        See "A summary, line by line" in the user guide.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Features of the fit. With them and y the summary has the log-likelihood, information
            criteria, effective rows and, where there are any, standard errors.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the fit.
        level : float, default=0.95
            Confidence of the intervals, in (0, 1).
        gate_reference : int, default=0
            Expert against which the coefficients of the gate are log odds, as in `inference`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the fit.
        units : array-like of shape (n_samples,), default=None
            Units of the fit.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean; None for one.
        **inference : dict
            Parameters of `inference`, such as `method`, `cluster` and `strata`.

        Returns
        -------
        summary : Summary
            To be printed, or read by `to_frame`, `facts`, `experts` and `inference`. Its notes
            explain the numbers, and report if the rows are not those of the fit.

        Raises
        ------
        ValueError
            If only one of X and y is given, if the level is outside (0, 1), or if parameters of
            `inference` are given for a mixture without standard errors.

        Warns
        -----
        ConvergenceWarning, WeightsWarning
            As `inference` does.
        FitMismatchWarning
            If weights, an offset, units or known experts were given to `fit`, but not here.

        See Also
        --------
        skmoe.inspection.export_text : The fit as equations.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
        >>> moe.summary(X, y).to_frame("experts")["share"].round(1).tolist()
        [0.6, 0.4]
        """
        check_is_fitted(self)
        check_level(level)
        check_integer("gate_reference", gate_reference, least=0, most=self.n_experts_ - 1)
        if (X is None) != (y is None):
            raise ValueError("summary needs both X and y, the data of the fit, or neither.")
        others = sample_weight, offset, units, known_experts, time, var_weights
        if X is None and (inference or any(values is not None for values in others)):
            raise ValueError(
                "summary needs X and y, the data of the fit, for weights, offset, units, known "
                "experts and parameters of inference."
            )
        obstacle = missing_for_inference(self._fitted, self.n_parameters_)
        in_units, labels = self._in_units(self._fitted), labels_of(self)
        found = Findings(self, in_units, labels, gate_reference)
        if X is not None:
            design = {name: inference.pop(name) for name in DESIGN if name in inference}
            given = Rows(X, y, sample_weight, offset, units, None, design, known_experts, time)
            rows = rows_of_fit(self, "summary", given._replace(n_values=var_weights))
            is_plain = np.isin(rows.validated.weight, [0.0, 1.0]).all() and var_weights is None
            counts_units = self._fitted.preprocessor.counts_units
            found = found._replace(
                statistics=fit_statistics(
                    rows.posterior, rows.validated, self.n_parameters_, counts_units
                ),
                weights=() if is_plain else kinds_of_weights(rows.validated, counts_units),
                difference=rows.difference,
                obstacle=obstacle,
            )
            if inference or design or not obstacle:
                options = InferenceOptions(gate_reference=gate_reference, **inference)
                result = infer_coefficients(self, "summary", rows, options)
                found = found._replace(coefficients=result)
        if found.coefficients is None:
            has_estimators = self._fitted.mixture.experts.needs_all_rows
            if self.coefficient_blocks_ and not has_estimators:
                listed = list_coefficients(in_units, vars(self), labels, gate_reference)
                found = found._replace(coefficients=listed)
        return make_summary(found, level)

    # --- information criteria ---

    def aic(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
    ) -> float:
        """Akaike's information criterion (AIC); smaller is better.

        It aims at prediction, and often selects too many experts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean; None for one.

        Returns
        -------
        aic : float
            Twice the number of parameters minus twice the log-likelihood, without penalties.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted, as of most estimators. Compare the
            log density of held-out rows (`score_samples`) instead.

        See Also
        --------
        bic : The criterion with a larger penalty for parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
        >>> one, two = (MixtureOfExpertsRegressor(k, random_state=0).fit(X, y) for k in (1, 2))
        >>> bool(two.aic(X, y) < one.aic(X, y))
        True
        """
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        return self._criteria("aic", given._replace(n_values=var_weights)).numbers["aic"]

    def bic(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
    ) -> float:
        """Bayesian information criterion (BIC, Schwarz 1978); smaller is better.

        It favours fewer experts than `aic`. Differences of less than 2 are negligible, and those of
        more than 10 are large (Kass and Raftery 1995).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows, if there are no units.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean; None for one.

        Returns
        -------
        bic : float
            The number of parameters times the log of the number of rows, or of units, minus twice
            the log-likelihood.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted, as of most estimators. Compare the
            log density of held-out rows (`score_samples`) instead.
        """
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        return self._criteria("bic", given._replace(n_values=var_weights)).numbers["bic"]

    def icl(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
    ) -> float:
        """Integrated completed likelihood (Biernacki, Celeux and Govaert 2000); smaller is better.

        It favours experts to which rows clearly belong, and so fewer experts than `bic`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows, if there are no units.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean; None for one.

        Returns
        -------
        icl : float
            The Bayesian information criterion plus twice the entropy of the responsibilities.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted, as of most estimators. Compare the
            log density of held-out rows (`score_samples`) instead.
        """
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        return self._criteria("icl", given._replace(n_values=var_weights)).numbers["icl"]

    def _criteria(self, criterion: str, given: Rows) -> FitStatistics:
        """Criteria of rows with their target."""
        check_is_fitted(self)
        if np.isnan(self.n_parameters_):
            uncounted = type(self._fitted.mixture.experts.own).__name__
            for k, models in enumerate(getattr(self, "experts_", ())):
                if np.isnan(count_parameters(models)):
                    uncounted = f"expert {k} ({self.expert_kinds_[k]})"
                    break
            raise ValueError(
                f"{criterion} needs experts whose parameters can be counted; {uncounted} has no "
                "such number. Compare models by the log density of held-out rows (score_samples) "
                "instead."
            )
        rows = self._checked_units(criterion, given, *WEIGHING)[0].of_positive_weight()
        counts_units = self._fitted.preprocessor.counts_units
        rows = rows.of_known_y() if counts_units else rows
        posterior = log_normalise(self._fitted.log_joint(rows))
        return fit_statistics(posterior, rows, self.n_parameters_, counts_units)

    # --- explanation ---

    def explain(
        self, X: Any, *, offset: Any = None, y: Any = None, units: Any = None, time: Any = None
    ) -> Explanation:
        """Contributions of experts, gate and features to the prediction of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere, as in `predict`.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit` with `gate="markov"`.

        Returns
        -------
        explanation : Explanation
            A dict of arrays with names, which `to_frame` returns as a pandas frame:

            gate : ndarray of shape (n_samples, n_experts)
                Probabilities of the experts.
            experts : ndarray
                Predictions of the experts: `predict_experts`.
            slope : ndarray of shape (n_samples, n_features) or (n_samples, n_responses, n_features)
                For experts with a linear predictor: the derivative of their means by the features,
                averaged with the probabilities of the gate. It is the effect of one unit more of a
                feature, for small changes and under a fixed gate. On a `base` it is that of the
                part which the experts add. For classes it is that of their log odds, of
                `classes_[1]` if there are two.
            gate_effect : ndarray of the shape of `slope`
                For such a regression under a gate with slopes: the effect of the same change
                through the probabilities of the gate. `slope + gate_effect` is the derivative of
                `predict`. Of columns of zeros and ones in the fit, both have the change from zero
                to one. This needs a dense table without a `base`.
            base : ndarray of shape (n_samples,) or (n_samples, n_responses)
                With a `base`: its predictions, or its class probabilities. The derivatives leave
                out its dependence on the features.

        See Also
        --------
        skmoe.inspection.PredictionDisplay : The prediction of one row as a picture.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, 1 - np.abs(X[:, 0]))
        >>> moe.explain([[-2.0], [2.0]])["slope"].round(1)
        array([[ 1.],
               [-1.]])
        """
        given = Rows(X, y, offset=offset, unit=units, time=time)
        rows, gate, of_units = self._with_gate(given, None)
        self._check_mean()
        fitted, attributes = self._fitted, vars(self)
        gate = np.exp(fitted.log_gate(rows.X)) if gate is None else gate
        means = fitted.predict_experts(rows.X, rows.offset)
        if of_units is not None and fitted.preprocessor.target_scaling is not None:
            means = means + fitted.preprocessor.target_scaling.scale[:, None] * of_units.shift
        arrays = {"gate": gate.T, "experts": self._squeeze_outputs(means.transpose(2, 0, 1))}
        if hasattr(self, "expert_coef_"):
            found = effects.feature_effects(fitted, attributes, rows, gate, means)
            found = found[:, :, 0] if attributes["expert_coef_"].ndim == 2 else found
            arrays["slope"] = found[:, 0]
            if effects.has_gate_effects(fitted, attributes):
                arrays["gate_effect"] = found[:, 1]
        extra = fitted.preprocessor.extra_features
        if extra is not None and extra.base is not None:
            base = predict_base(extra.base, rows.X, extra.classes)
            arrays["base"] = self._squeeze_outputs(base if extra.classes is None else np.exp(base))
        index, switch = X.index if hasattr(X, "iloc") else None, None
        depends = self.n_experts_ > 1 and fitted.mixture.gate.depends_on_features
        if depends and effects.has_gate_effects(fitted, attributes):
            scale = self._in_units(fitted).preprocessor.feature_scaling.scale
            stays = indicator_columns(fitted, attributes.get("feature_range_"))
            scale = np.where(np.isfinite(scale) & ~stays, scale, 0.0)
            log_gate, slopes = fitted.log_gate(rows.X), attributes["gate_coef_"]
            switch = effects.nearest_changes(log_gate, slopes, scale)
        return Explanation(arrays, labels_of(self), index, switch)
