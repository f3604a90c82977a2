"""Base classes of the estimators: attributes and methods of a fitted mixture, and its fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from html import escape
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmoe._data.preprocessing import is_outside_ranges
from skmoe._data.rows import Rows, feature_labels
from skmoe._estimators.fitting.callbacks import CallbackSupportMixin, task_of_fit, with_callbacks
from skmoe._estimators.fitting.problem import (
    PRIVATE_ATTRIBUTES,
    attributes_of_fit,
    build_problem,
    make_monitors,
    order_by_share,
    warn_of_fit,
)
from skmoe._estimators.methods.inference import ReportingMixin
from skmoe._estimators.methods.input_steps import InputSteps
from skmoe._estimators.methods.new_rows import ObservedRowsMixin, supports_dask
from skmoe._estimators.parameters.conflicts import selects_number
from skmoe._estimators.parameters.parameters import FitParameters, validate_parameters
from skmoe._estimators.parameters.parts import accepts_missing, uses_groups
from skmoe._estimators.rows.training_data import FitOptions, TrainingState, make_router
from skmoe._estimators.selection.n_experts import with_selected_n_experts
from skmoe._mixture.fitted import FittedMixture, expert_usage
from skmoe._mixture.search import fit_starts
from skmoe._mixture.starts import blocks_of
from skmoe._numerics.typing import Array
from skmoe.experts._linear import EXPERTS


class ExpertsReprMixin:
    """Hooks of notebooks that append the summary to the representation of scikit-learn."""

    @property
    def _repr_html_(self) -> Callable[[], str]:
        inner = super()._repr_html_  # type: ignore[misc]  # absent unless scikit-learn draws diagrams
        return lambda: inner() + _summary_in_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += _summary_in_html(self)
        return bundle


def _summary_in_html(estimator: Any) -> str:
    """The text of the summary without rows; empty before the fit."""
    if not hasattr(estimator, "weights_"):
        return ""
    title = f"{estimator.n_experts_} expert" + "s" * (estimator.n_experts_ > 1)
    return (
        f'<details open class="skmoe-experts"><summary style="cursor:pointer">{title}</summary>'
        f"<pre>{escape(str(estimator.summary()))}</pre></details>"
    )


class BaseMixture(
    ReportingMixin, ExpertsReprMixin, CallbackSupportMixin, ObservedRowsMixin, BaseEstimator
):
    """Base class of mixtures of experts and of stacks: what a fitted gate with experts can do."""

    # The HTML representation of scikit-learn needs a link for its tooltips; there is no site yet.
    _doc_link_module = "skmoe"
    _doc_link_template = "#{estimator_name}"

    _training_state: TrainingState
    _multi_output = False  # whether y may have several columns
    # Units that `fit` asks for are passed on to `score` of series only, if asked for.
    __metadata_request__score: ClassVar[dict[str, Any]] = {"units": False}

    _has_models = False  # whether it is a stack, whose models are fitted before the gate
    # Steps of a pipeline, whose input this copy of its last step takes (`mixture_of`).
    _input: InputSteps | None = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = self._multi_output
        expert = getattr(self, "expert", None)  # a stack has several
        has_name = isinstance(expert, str) and expert in EXPERTS  # these take no missing values
        tags.input_tags.allow_nan = not has_name and accepts_missing(self._expert_parameter[1])
        return tags

    def _effective_weight(self, target: Array, weight: Array) -> Array:
        """Row weights of the fit: sample weights times class weights."""
        return weight

    # --- fit ---

    # A stack has other parameters.
    _validate_parameters: Callable[..., FitParameters] = validate_parameters

    def _set_fitted_attributes(self, attributes: dict[str, Any]) -> None:
        """Replace all fitted attributes of the previous fit.

        A single assignment replaces them: an interrupt finds the former attributes or the new ones.
        """
        kept = {
            name: value
            for name, value in vars(self).items()
            if name not in PRIVATE_ATTRIBUTES and (name[-1] != "_" or name[0] == "_")
        }
        self.__dict__ = kept | attributes

    @with_callbacks
    def _fit(self, given: Any, **options_of_fit: Any) -> Any:
        """`fit` of `Rows`, or of validated `TrainingData`, with some of `FitOptions`."""
        if self._input is not None:
            self._check_is_whole("a fit")
        fixed, task = self, None
        has_callbacks = bool(getattr(self, "_skl_callbacks", None))
        offset = given.offset if isinstance(given, Rows) else None
        added: dict[str, Any] = {}  # attributes
        # Steps that lead too far are taken back.
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            number = 1 if self._has_models else self.n_experts
            if not isinstance(number, int) and (isinstance(number, str) or selects_number(number)):
                task = task_of_fit(self, given, None) if has_callbacks else None
                fixed, given, added = with_selected_n_experts(self, given, task)
            params = fixed._validate_parameters()
            previous = self if params.warm_start and hasattr(self, "_fitted") else None
            noise = None if isinstance(given, Rows) else given.options.noise_variance
            options = FitOptions(previous, None, noise, **options_of_fit)
            problem = build_problem(fixed, params, given, options)
            n_fits = params.n_experts if self._has_models else len(problem.em_problem.seeds)
            if has_callbacks and task is None:
                task = task_of_fit(self, given, n_fits + 1)
            if self._has_models:
                problem, added = self._with_models(problem, params, task)
            em_problem = problem.em_problem
            monitors: Sequence[Any] = ()
            if self.verbose or task:
                # After the fits of models, or the selection of the number of experts.
                first_id = n_fits if self._has_models else bool(added)
                monitors = make_monitors(problem, int(self.verbose), task, first_id)
            found = fit_starts(em_problem, self.n_jobs, monitors)
            run, mixture = found.run, found.run.mixture
            usage = expert_usage(mixture, run.theta, blocks_of(mixture, em_problem.rows))
            # The order of the user is kept: of a previous fit, of a list of experts, of known
            # experts, or of initial responsibilities.
            is_list = params.estimators is not None and len(params.estimators) > 1
            of_user = previous is not None or "n_known_" in problem.attributes or is_list
            if not of_user and isinstance(params.init, str) and mixture.can_reorder:
                order = order_by_share(mixture, run.theta, usage.mean_gate_prob)
                theta, usage = mixture.reordered(run.theta, order), usage.take(order)
                mixture = mixture.with_parts(experts=mixture.experts.in_order(order))
                run = run._replace(theta=theta, mixture=mixture)
            attributes = attributes_of_fit(problem, found._replace(run=run), usage) | added
            self._set_fitted_attributes(attributes)
            if task:
                task.end(lambda: attributes)
            warn_of_fit(self, params, em_problem, run, usage.responsibility_mass, offset)
        return self

    # --- the end of a pipeline ---

    def _check_is_whole(self, use: str) -> None:
        """Raise ValueError for a copy that takes the input of the steps of a pipeline."""
        if self._input is not None:
            raise ValueError(
                f"{use} needs a mixture without the steps of a pipeline, which mixture_of adds. "
                "Use the pipeline, or its last step."
            )

    def _in_units(self, fitted: FittedMixture) -> FittedMixture:
        """A mixture with coefficients in the units of the input of this estimator."""
        return fitted if self._input is None else self._input.in_units(fitted)

    # --- predictions ---

    @property
    def gate_feature_names_(self) -> Array:
        """Names of the columns that are available to the gate."""
        check_is_fitted(self)
        preprocessor, extra = self._fitted.preprocessor, self._fitted.preprocessor.extra_features
        given = getattr(self, "feature_names_in_", None)
        names = feature_labels(given, self.n_features_in_, preprocessor.encoder)
        if extra is None:
            return np.array(names, dtype=object)
        return np.array([*names, *extra.names], dtype=object)[preprocessor.gate_columns]

    def get_metadata_routing(self) -> Any:
        """Routing of metadata: to this estimator and, in fit, to the experts.

        Returns
        -------
        routing : MetadataRouter
            See scikit-learn's user guide on metadata routing.
        """
        return make_router(self)

    @supports_dask
    def predict_gate(self, X: Any, *, units: Any = None, y: Any = None, time: Any = None) -> Array:
        """Probability of each expert for each row, given its features, and the past of a series.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, in which the gate's features must be constant; None if each row is a
            unit of its own. With `gate="markov"` they are series.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere, as in `predict`. It is not a mean of several
            values: for `var_weights` use `responsibilities(..., given="past")`.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of series.

        Returns
        -------
        gate : ndarray of shape (n_samples, n_experts)
            Probabilities, which sum to one over the experts.

        See Also
        --------
        responsibilities : The probabilities given features and target.
        """
        check_is_fitted(self)
        if self._fitted.mixture.gate.persists or not (y is time is None):
            return np.asarray(self._with_gate(Rows(X, y, unit=units, time=time), None)[1]).T
        rows = self._checked(Rows(X, unit=units))
        if units is None:
            return np.exp(self._fitted.log_gate(rows.X)).T
        codes = rows.unit_codes
        return np.exp(self._fitted.log_gate_of_units(rows._replace(unit=codes))).T[codes]

    @supports_dask
    def apply(self, X: Any, *, y: Any = None, units: Any = None, time: Any = None) -> Array:
        """Most probable expert of each row, given its features, and the past of a series.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere, as in `predict`.
        units, time : array-like of shape (n_samples,), default=None
            Units as in `predict_gate`, and order of the rows of series.

        Returns
        -------
        experts : ndarray of shape (n_samples,)
            Indices of experts, from 0 to `n_experts_ - 1`.
        """
        return np.argmax(self.predict_gate(X, units=units, y=y, time=time), axis=1)

    @supports_dask
    def is_outside_range(self, X: Any) -> Array:
        """Whether each row has a feature outside of its range in the rows of the fit.

        A linear expert extrapolates without limit, and far outside the gate is sure of one expert:
        predictions and intervals of such rows are not supported by data. The ranges are
        `feature_range_`. Features that neither gate nor experts use do not count. A category, or a
        missing value, that a feature did not have in the fit counts as outside.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. For those of a pipeline, use `skmoe.recipes.mixture_of`.

        Returns
        -------
        outside : ndarray of bool of shape (n_samples,)
            True for rows with at least one such feature. Rows of the fit are False.

        Raises
        ------
        ValueError
            If X is not as in `predict`.

        Notes
        -----
        Each feature is compared with its own range, up to the round-off of single precision. False
        does not mean that similar rows were in the fit: a row may combine values that never
        occurred together. For those, use `sklearn.ensemble.IsolationForest`. Where a feature has
        more than 50 categories, new ones cannot be distinguished from infrequent ones, and do not
        count.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> moe.feature_range_
        array([[-3.],
               [ 3.]])
        >>> moe.is_outside_range([[0.0], [10.0]])
        array([False,  True])
        """
        X = self._checked(Rows(X)).X
        mixture, _, preprocessor = self._fitted
        assert preprocessor.feature_range is not None
        used = preprocessor.used_features(gate=mixture.gate.depends_on_features)
        return is_outside_ranges(X, preprocessor.feature_range, used, preprocessor.encoder)


@dataclass(eq=False, repr=False)
class BaseMixtureOfExperts(BaseMixture):
    """Base class of the mixtures, whose experts are fitted together with the gate."""

    # All parameters in their order; a kind of estimator fixes those that it does not have.
    n_experts: int | str | Iterable[int] = "auto"
    _: KW_ONLY
    expert: Any = "linear"
    family: Any = "normal"
    gate: Any = "softmax"
    base: Any = None
    alpha: float | str | None = None
    gate_alpha: float | str | None = None
    gate_features: Any = None
    expert_features: Any = None
    shared_features: Any = None
    dispersion_features: Any = None
    monotonic_cst: Any = None
    dispersion: str = "per_expert"
    covariance_type: str = "diag"
    random_features: Any = None
    random_covariance: str = "shared"
    dispersion_prior: float | str = "auto"
    cross_fit: int | str | bool = "auto"
    class_weight: Any = None
    init: Any = "auto"
    n_init: int | str = "auto"
    max_iter: int = 300
    tol: float = 1e-4
    warm_start: bool = False
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int | bool = 0

    @property
    def _expert_parameter(self) -> tuple[str, Any]:
        return "expert", self.expert

    def _experts_by_name(self) -> dict[str, Any]:
        if isinstance(self.expert, list | tuple):
            return {f"expert_{k}": entry for k, entry in enumerate(self.expert)}
        return {"expert": self.expert}

    @property
    def _uses_groups(self) -> bool:
        """Whether `fit` takes groups, which `_data.nested_estimators` asks of inner estimators."""
        return uses_groups(self)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the mixture by EM.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or RowBlocks
            Features: numbers, or a data frame with categories if every expert accepts them. They
            are standardised inside; sparse ones are scaled only. Data that are larger than memory
            are a Dask collection, or `skmoe.data.RowBlocks`, such as of a memory map. Blocks
            contain y, weights, offset and units too.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target; the classifier takes labels of shape (n_samples,). Values of which only bounds
            are known, such as times of events to come, are made by `skmoe.data`. NaN is missing in
            one of several outputs, or in rows of a unit, and contributes nothing. Several outputs
            may be a dict of columns, or a frame, in which a censored column is the list of the
            entries of its array, such as `list(right_censored(time, event))`.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequencies of the rows: a row of weight two counts as two rows, of weight zero as none.
            Sampling weights have the same coefficients. For their standard errors use `inference`
            with `method="sandwich"`, `cluster` and `strata`.
        groups : array-like of shape (n_samples,), default=None
            Labels of groups, such as hospitals, whose rows are kept in one fold. For fits with
            folds: experts that are estimators, a base, or `n_experts="auto"`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Log of the exposure, such as the years of observation of each row; for experts with a
            log link, such as `family="poisson"`. It is added to the linear predictor of every
            expert. `predict` without an offset is per unit of exposure (offset 0); methods that
            take y, and those of the distribution of y, then warn. Estimators under a log link are
            fitted to y per unit of exposure.
        units : array-like of shape (n_samples,), default=None
            Labels of customers, patients or products with several rows, in any order. All rows of a
            unit come from one expert, given which they are independent. The gate sees one row for
            each unit, in which its features must be constant. None if each row is a unit of its
            own. With `gate="markov"` they are series, whose rows may have different experts; None
            is one series. With `random_features` their rows are dependent, and may lack y (NaN).
        time : array-like of shape (n_samples,), default=None
            Order of the rows of each unit, with `gate="markov"`: numbers or dates, which differ
            within a unit. None for the order in which they are given. A y that is NaN is missing.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known: integers, with -1 where nothing is known. Or
            booleans, True for the experts that are possible. The experts keep these numbers. A unit
            is known if one of its rows is. See "Known experts" in the user guide.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers n of values of which each y is the mean, such as claims of an average cost: the
            variance, and so the dispersion of the family, is divided by n [1]_. For the families
            "normal", "gamma", "inverse_gaussian" and "tweedie". None for one.
        **fit_params : dict of array-like of shape (n_samples,)
            Metadata for the fits of experts that are estimators, cut to the rows of each fit.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            Before any work, for invalid parameters or data; a previous fit is left unchanged.
            Examples are missing values or text in X, values of y that the family cannot generate,
            negative weights, and more experts than rows. Arguments that are of no use are errors
            too: `groups` without folds, an `offset` without a log link, metadata that no expert
            takes. The message has the remedy.

        Warns
        -----
        ConvergenceWarning
            If the fit has not converged in `max_iter` iterations: increase `max_iter`. Also if
            no step increases the lower bound, which experts or a gate of your own can cause.
        UnreplicatedMaximumWarning
            If only one of several searches has reached the best maximum: raise `n_init`.
        CollapsedExpertsWarning
            If experts have fewer than two rows, or a thousandth of all: use fewer experts.
        DegenerateExpertWarning
            If the noise variance of some experts is at its floor: they fit their rows exactly, so
            increase `dispersion_prior`. Also if the covariance matrices of all experts are at their
            floor, as those of constant outputs.
        OptionWarning
            In three cases. An offset has the values of exposures, of which it should be the
            logarithm. The gate uses features with signs in `monotonic_cst`, so that
            predictions need not be monotonic: leave them out of `gate_features`. An expert is an
            estimator with a loss for counts, positive targets or quantiles, but has normal noise:
            use `family`.

        References
        ----------
        .. [1] B. Jorgensen (1987), "Exponential dispersion models", Journal of the Royal
           Statistical Society B 49, 127-162.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> moe.converged_, moe.n_iter_ <= moe.max_iter
        (True, True)
        """
        rows = Rows(X, y, sample_weight, offset, units, groups, fit_params, known_experts, time)
        return self._fit(rows._replace(n_values=var_weights))
