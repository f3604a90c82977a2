"""What both estimators share: the door, the search for the best fit, the attributes."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skmoe._data.checks import as_csr, check_same_length
from skmoe._data.encoding import check_frame, check_numbers, encoded_names, is_frame
from skmoe._data.rows import split_into_blocks
from skmoe._data.scaling import unstandardize_coefficients
from skmoe._estimators.callbacks import CallbackSupportMixin, FitTask, with_callbacks
from skmoe._estimators.dask_methods import supports_dask
from skmoe._estimators.html_repr import ExpertsReprMixin
from skmoe._estimators.inference_methods import ReportingMixin
from skmoe._estimators.metadata_routing import make_router
from skmoe._estimators.monitor import FitMonitor
from skmoe._estimators.n_experts_selection import select_n_experts, uses_groups
from skmoe._estimators.parameters import accepts_missing
from skmoe._estimators.partial_fit import StreamingMixin
from skmoe._estimators.problem import build_problem
from skmoe._estimators.serialization import SerializationMixin
from skmoe._estimators.training_data import FitProblem, TrainingData, TrainingTarget
from skmoe._estimators.warm_start import make_cache
from skmoe._mixture import fitted
from skmoe._mixture.acceleration import aitken_gap
from skmoe._mixture.averaging import average_starts
from skmoe._mixture.em import EMResult
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.initialization import InitData
from skmoe._mixture.model import Params, expert_usage
from skmoe._mixture.multistart import (
    MAX_REINITIALIZATIONS,
    best_result,
    fit_all_starts,
    fit_best_start,
    is_collapsed,
)
from skmoe._numerics.typing import Array
from skmoe.protocols import InMemoryExperts


class BaseMixtureOfExperts(
    ReportingMixin,
    SerializationMixin,
    StreamingMixin,
    ExpertsReprMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Fit, gate and responsibilities, shared by both estimators."""

    # Tooltips of the HTML representation need a link; without a site it leads nowhere.
    _doc_link_module = "skmoe"
    _doc_link_template = "#{estimator_name}"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = accepts_missing(self.expert)
        return tags

    # --- what the estimators differ in ---

    _default_alphas: tuple[float, float]  # without a base, and on one

    @abstractmethod
    def _check_own_parameters(self) -> None:
        """Refuse bad values of parameters that only this estimator has."""

    @abstractmethod
    def _validate_fit_data(self, probe, X, y) -> tuple[Any, Array, dict[str, Any]]:
        """X, y as numbers, and attributes, by scikit-learn's checks, which write to the probe."""

    @abstractmethod
    def _make_target(self, data: TrainingData, standardise: bool) -> TrainingTarget:
        """The target of a fit, on the scale of a previous one if there is one."""

    @abstractmethod
    def _make_experts(self, families: dict[str, Any], table: InitData) -> Any:
        """Experts of a family with the hyper-parameters of this estimator."""

    @abstractmethod
    def _make_table_experts(self, table: InitData, **options: Any) -> Any:
        """Experts that are estimators, with the hyper-parameters of this one."""

    @abstractmethod
    def _noise_attributes(self, mixture: FittedMixture) -> dict[str, Any]:
        """Fitted attributes that experts of any kind have."""

    @abstractmethod
    def _validate_new_target(self, y) -> Array:
        """The target of new rows: (m, n) in its own units, or class codes (n,)."""

    @abstractmethod
    def _expert_attributes(self, mixture: FittedMixture) -> dict[str, Any]:
        """Fitted attributes of the experts, in the user's units."""

    def _effective_weight(self, target: Array, weight: Array) -> Array:
        """Weights of rows as the fit counts them."""
        return weight

    @abstractmethod
    def _response_names(self) -> list[str]:
        """Names of the coefficient vectors of an expert: outputs, or classes."""

    def _warn_variance_floor(self) -> None:
        """Tell of trouble that only experts of this estimator can have."""

    # --- fit ---

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None, groups=None, **fit_params):
        """Fit the mixture by EM.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or RowBlocks
            Features. They are standardised inside; sparse ones are scaled only. Rows that are
            larger than memory come as `skmoe.blocks.RowBlocks`, with their target and weights, or
            as a `numpy.memmap`, which is not loaded, or as a Dask array or data frame.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target; the classifier takes labels of shape (n_samples,).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. A weight of two is the row twice, zero is absence.
        groups : array-like of shape (n_samples,), default=None
            Groups whose rows stay in one fold, wherever rows are left out: for experts that are
            estimators, a base, or a number of experts chosen by rows held out.
        **fit_params : dict of array-like of shape (n_samples,)
            Metadata for the fits of experts that are estimators, cut to the rows of each fit.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data break a rule. What was fitted before stays.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` iterations do not bring the lower bound within `tol` of its limit.
        UserWarning
            If an expert collapses.
        """
        fixed, chosen = self, {}
        if isinstance(self.n_experts, str):
            choice = select_n_experts(self, X, y, sample_weight, groups, fit_params)
            fixed = copy.copy(self).set_params(n_experts=choice.n_experts)
            chosen = {"n_experts_tried_": choice.tried, "n_experts_scores_": choice.scores}
            groups = groups if uses_groups(self) else None
        problem = build_problem(fixed, X, y, sample_weight, groups, fit_params)
        em_problem = problem.em_problem
        context = self._init_callback_context(
            max_subtasks=len(em_problem.seeds) + 1, sequential_subtasks=False
        )
        weights = None if sample_weight is None else {"sample_weight": sample_weight}
        task = FitTask(self, context, {"X": X, "y": y, "metadata": weights}).start()
        starts, final = self._listeners(problem, task)
        make_mixture, known, n_fits = problem.mixture, problem.attributes, 1
        if self.combine == "average":
            runs = fit_all_starts(em_problem, starts, self.n_jobs)
            run, traces, n_fits = best_result(runs), [run.lower_bounds for run in runs], len(runs)
            parts, params = average_starts(em_problem.parts, [run.params for run in runs])
            make_mixture = partial(make_mixture, parts=parts)
            known = known | {"n_experts_": n_fits * em_problem.n_experts}
        else:
            run, traces = fit_best_start(em_problem, starts, final, self.n_jobs)
            parts, params = em_problem.parts, run.params
        share, load, count = expert_usage(parts, params, split_into_blocks(em_problem.rows))
        final_run = run._replace(
            params=params, resume_state=run.resume_state if n_fits == 1 else None
        )
        attributes = self._attributes_of_run(
            make_mixture, known | chosen, problem.log_jacobian, final_run
        ) | {
            "_memory": make_cache(problem, run.params),
            "weights_": share,
            "load_": load,
            "start_lower_bounds_": np.array([trace[-1] for trace in traces]) + problem.log_jacobian,
            "start_traces_": [np.array(trace) + problem.log_jacobian for trace in traces],
        }
        self._set_fitted_attributes(attributes)
        task.end(lambda: attributes)
        # An expert that one start of an average has lost does no harm.
        self._warn(run, count if n_fits == 1 else np.full(1, count.sum()))
        self._warn_variance_floor()
        return self

    def _listeners(self, problem: FitProblem, task: FitTask) -> tuple[list[FitMonitor], FitMonitor]:
        """Listeners to the starts and to the long run."""
        em_problem = problem.em_problem
        n_starts = len(em_problem.seeds)
        attributes = partial(
            self._attributes_of_run, problem.mixture, problem.attributes, problem.log_jacobian
        )
        most = (1 + MAX_REINITIALIZATIONS) * em_problem.max_iter
        tasks = [task.subtask("start", most, task_id=i) for i in range(n_starts)]
        tasks.append(task.subtask("EM", most, task_id=n_starts))
        labels = [f"start {i}" for i in range(n_starts)] + ["EM"]
        *starts, final = (
            FitMonitor(subtask, label, attributes, problem.log_jacobian, int(self.verbose))
            for subtask, label in zip(tasks, labels, strict=True)
        )
        final.keep = getattr(self, "_keep", None)
        return starts, final

    def _attributes_of_run(
        self,
        make_mixture: Callable[..., FittedMixture],
        known: dict[str, Any],
        shift: float,
        run: EMResult,
    ) -> dict[str, Any]:
        """Fitted attributes of what a run has come to."""
        bounds = np.array(run.lower_bounds) + shift
        return self._attributes(make_mixture, known, run.params) | {
            "_resume_state": run.resume_state,
            "_stream": None,
            "_early": None,
            "lower_bound_": bounds[-1],
            "lower_bounds_": bounds,
            "n_iter_": len(bounds),
            "converged_": run.converged,
        }

    def _attributes(
        self, make_mixture: Callable[..., FittedMixture], known: dict[str, Any], params: Params
    ) -> dict[str, Any]:
        """Fitted attributes that predict."""
        mixture = fitted.drop_training_state(make_mixture(params=params))
        return (
            known
            | {
                "_mixture": mixture,
                "base_": None if mixture.extra_features is None else mixture.extra_features.base,
            }
            | self._gate_attributes(mixture)
            | self._attributes_of_experts(mixture)
        )

    def _attributes_of_experts(self, mixture: FittedMixture) -> dict[str, Any]:
        if isinstance(mixture.parts.experts, InMemoryExperts):
            models = [list(models) for models in mixture.params.experts.models]
            return {"experts_": models} | self._noise_attributes(mixture)
        return self._expert_attributes(mixture)

    def _effective_alpha(self) -> float:
        """`alpha`, or what it is if it is left open."""
        alone, on_base = self._default_alphas
        default = alone if self.base is None else on_base
        return default if self.alpha is None else float(self.alpha)

    def _build_family(self, family: Any, options: dict[str, Any]) -> Any:
        """A family with those of the options that its constructor names."""
        options = {"alpha": self._effective_alpha()} | options
        known = signature(family).parameters
        return family(**{name: value for name, value in options.items() if name in known})

    def _gate_attributes(self, mixture: FittedMixture) -> dict[str, Any]:
        """Coefficients of the gate's logits in the user's units; none for a gate without them."""
        params = mixture.params.gate
        if hasattr(params, "log_prior"):
            n_experts = len(params.log_prior)
            slopes, intercepts = np.zeros((n_experts, len(mixture.scale.scale))), params.log_prior
        elif hasattr(params, "coef"):
            slopes, intercepts = unstandardize_coefficients(
                params.coef, mixture.scale, mixture.gate_columns
            )
        else:
            return {}
        if mixture.extra_features is not None:
            slopes = slopes[:, mixture.gate_columns]
        return {"gate_coef_": slopes, "gate_intercept_": intercepts}

    def _set_fitted_attributes(self, attributes: dict[str, Any]) -> None:
        """Put the fitted attributes of this fit in the place of those of the last."""
        for name in [name for name in vars(self) if name.endswith("_") and name[0] != "_"]:
            delattr(self, name)
        for name, value in attributes.items():
            setattr(self, name, value)

    def _warn(self, run: EMResult, count: Array) -> None:
        """Tell of numerical trouble."""
        if run.line_search_failed:
            warnings.warn(
                "EM stopped: no step kept the lower bound from falling. A part lowers its own "
                "objective; if it is one of your own, check its `solve`.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif not run.converged and len(run.lower_bounds) >= self.max_iter:
            left = aitken_gap(run.lower_bounds)
            estimate = f"about {left:.1e}" if np.isfinite(left) else "an unknown amount"
            warnings.warn(
                f"EM did not converge in max_iter={self.max_iter} iterations: {estimate} per row "
                f"is left to gain, tol={self.tol:g}. Increase max_iter, raise tol, or make the "
                "problem easier with fewer experts or larger penalties (alpha, gate_alpha).",
                ConvergenceWarning,
                stacklevel=3,
            )
        total, dead = count.sum(), np.flatnonzero(is_collapsed(count))
        if len(dead):
            shares = ", ".join(f"{k} ({count[k]:.2g} of {total:.6g} rows)" for k in dead)
            warnings.warn(
                f"Experts have collapsed, leaving their rows to others: {shares}. Use fewer "
                "experts (n_experts), a larger gate_alpha, or more starts (n_init).",
                UserWarning,
                stacklevel=3,
            )

    # --- what a fitted mixture says ---

    def _validate_X(self, X) -> Any:
        check_is_fitted(self)
        encoder = self._mixture.encoder
        if encoder is not None and encoder.is_frame:
            if is_frame(X):
                X = validate_data(self, X, reset=False, skip_check_array=True)
                check_numbers(self, X, encoder)
                return X
            check_frame(encoder)
        holes = encoder is not None and encoder.allow_nan and not sparse.issparse(X)
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if holes else True,
        )
        X = as_csr(X)
        return X.toarray() if encoder is not None and sparse.issparse(X) else X

    @property
    def gate_feature_names_(self) -> Array:
        """Names of the columns that the gate is offered."""
        check_is_fitted(self)
        names = np.array(self._feature_names(), dtype=object)
        encoder, added = self._mixture.encoder, self._mixture.extra_features
        if encoder is not None:
            names = np.array(encoded_names(encoder, names), dtype=object)
        if added is not None:
            names = np.array([*names, *added.names], dtype=object)[self._mixture.gate_columns]
        return names

    def _ensure_all_finite(self, X) -> bool | str:
        """What scikit-learn checks in fit: all finite, or no infinity where experts take holes."""
        takes_missing = accepts_missing(self.expert) and not sparse.issparse(X)
        return "allow-nan" if takes_missing else True

    def get_metadata_routing(self):
        """Routing of metadata: to this estimator and, in fit, to the experts.

        Returns
        -------
        routing : MetadataRouter
            See scikit-learn's user guide on metadata routing.
        """
        return make_router(self)

    def _validate_X_y(self, X, y) -> tuple[Any, Array]:
        X = self._validate_X(X)
        return X, check_same_length(X, self._validate_new_target(y))

    @supports_dask
    def predict_gate(self, X):
        """Probability of each expert for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        gate : ndarray of shape (n_samples, n_experts)
            Probabilities, which sum to one over the experts.
        """
        X = self._validate_X(X)
        return np.exp(fitted.log_gate(self._mixture, X)).T

    @supports_dask
    def apply(self, X):
        """Most probable expert of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        experts : ndarray of shape (n_samples,)
            Indices of experts.
        """
        return np.argmax(self.predict_gate(X), axis=1)

    @supports_dask
    def responsibilities(self, X, y):
        """Probability that each expert generated each observed row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_experts)
            Probabilities, which sum to one over the experts.
        """
        X, y = self._validate_X_y(X, y)
        joint = fitted.log_joint(self._mixture, X, y)
        return np.exp(joint - logsumexp(joint, axis=0)).T

    @supports_dask
    def score_samples(self, X, y=None):
        """Log density of the observed target, or its log probability for classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed target. None scores the mixture's own prediction, which tells how sure it is.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Natural logarithm of the predictive density of each row, in the units of y.
        """
        X, y = self._validate_X_y(X, self.predict(X) if y is None else y)
        return fitted.log_density(self._mixture, X, y)
