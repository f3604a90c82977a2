"""Methods of both estimators for inference: criteria, standard errors, summary, explanation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.checks import check_level
from skmoe._data.rows import Rows, is_dask
from skmoe._data.sklearn_adapter import count_parameters, typical_model
from skmoe._estimators.methods.coefficient_inference import (
    InferenceOptions,
    check_gate_reference,
    coefficients_of,
    infer_coefficients,
    rows_of_fit,
)
from skmoe._estimators.methods.expert_names import ExpertNamesMixin, labels_of
from skmoe._estimators.methods.new_rows import NewRowsMixin, supports_dask
from skmoe._inference.comparisons import (
    FitStatistics,
    fit_statistics,
    missing_for_inference,
)
from skmoe._inference.effects import (
    Explanation,
    base_predictions,
    feature_effects,
    has_gate_effects,
)
from skmoe._inference.inference import Inference
from skmoe._inference.summary import Findings, Summary, make_summary
from skmoe._numerics.probability import underflow_to_zero
from skmoe._numerics.typing import Array
from skmoe.protocols import Block


class ReportingMixin(ExpertNamesMixin, NewRowsMixin):
    """Methods that describe a fitted mixture."""

    _squeeze_outputs: Any
    predict_gate: Any
    predict_experts: Any
    n_experts_: int
    _in_units: Any
    n_parameters_: float
    feature_range_: Any

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
        cluster: Any = None,
        known_experts: Any = None,
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
          number of rows.

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
            Weights of the fit, which are frequencies. For the standard errors of sampling weights,
            and of averages of y with the numbers of values as weights, use `method="sandwich"` and
            `cluster=np.arange(n_samples)`.
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
        cluster : array-like of shape (n_samples,), default=None
            For `method="sandwich"`: labels of clusters, such as schools or customers, whose rows
            may depend on each other in ways that the mixture does not model [4]_. None for rows, or
            units, that are independent. The covariance has the factor G / (G - 1) *
            (n - 1) / (n - k) for G clusters, n rows and k coefficients, as in statsmodels.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit. The bootstrap draws those of rows with one possible expert.

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
        check_gate_reference(gate_reference, self.n_experts_)
        options = InferenceOptions(
            method, gate_reference, n_bootstrap, random_state, n_jobs, verbose
        )
        clusters = {} if cluster is None else {"cluster": cluster}
        given = Rows(X, y, sample_weight, offset, units, None, clusters, known_experts)
        rows = rows_of_fit(self, self._validate_rows_of_fit("inference", given))
        return infer_coefficients(self, "inference", rows, options)

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
        known_experts: Any = None,
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
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.
        **inference : dict
            Parameters of `inference`, such as `method` and `cluster`.

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
        ConvergenceWarning
            As `inference` does.
        FitMismatchWarning
            If weights, an offset, units or known experts were given to `fit`, but not here.
        WeightsWarning
            As `inference` does.

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
        check_gate_reference(gate_reference, self.n_experts_)
        if (X is None) != (y is None):
            raise ValueError("summary needs both X and y, the data of the fit, or neither.")
        others = sample_weight, offset, units, known_experts
        if X is None and (inference or any(values is not None for values in others)):
            raise ValueError(
                "summary needs X and y, the data of the fit, for weights, offset, units, known "
                "experts and parameters of inference."
            )
        fitted, obstacle = self._fitted, missing_for_inference(self._fitted, self.n_parameters_)
        in_units = self._in_units(fitted)
        found = Findings(self, vars(self), in_units, labels_of(self), gate_reference)
        if X is not None:
            cluster = inference.pop("cluster", None)
            clusters = {} if cluster is None else {"cluster": cluster}
            given = Rows(X, y, sample_weight, offset, units, None, clusters, known_experts)
            rows = rows_of_fit(self, self._validate_rows_of_fit("summary", given))
            found = found._replace(
                statistics=fit_statistics(fitted, rows.validated, self.n_parameters_),
                has_weights=not (rows.validated.weight == 1.0).all(),
                difference=rows.difference,
                obstacle=obstacle,
            )
            if inference or clusters or not obstacle:
                options = InferenceOptions(gate_reference=gate_reference, **inference)
                result = infer_coefficients(self, "summary", rows, options)
                found = found._replace(inference=result, coefficients=result)
        if found.coefficients is None:
            experts = fitted.mixture.experts
            is_linear = hasattr(self, "gate_coef_") and not experts.needs_all_rows
            if self.coefficient_blocks_ and is_linear:
                found = found._replace(coefficients=coefficients_of(self, gate_reference))
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
        known_experts: Any = None,
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
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.

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
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        return self._criteria("aic", given).numbers["aic"]

    def bic(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        known_experts: Any = None,
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
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.

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
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        return self._criteria("bic", given).numbers["bic"]

    def icl(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        known_experts: Any = None,
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
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the fit.

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
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        return self._criteria("icl", given).numbers["icl"]

    def _criteria(self, criterion: str, given: Rows) -> FitStatistics:
        """Criteria of rows with their target."""
        check_is_fitted(self)
        if np.isnan(self.n_parameters_):
            uncounted = f"{type(self._fitted.mixture.experts.own).__name__} has"
            for k, models in enumerate(getattr(self, "experts_", ())):
                model = typical_model(models)
                if np.isnan(count_parameters(model)):
                    uncounted = f"expert {k} ({type(model).__name__}) has"
                    break
            raise ValueError(
                f"{criterion} needs experts whose parameters can be counted; {uncounted} no such "
                "number. Compare models by the log density of held-out rows (score_samples) "
                "instead."
            )
        rows = self._validate_rows_of_fit(criterion, given)
        return fit_statistics(self._fitted, rows, self.n_parameters_)

    # --- explanation ---

    def explain(self, X: Any, *, offset: Any = None) -> Explanation:
        """Contributions of experts, gate and features to the prediction of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.

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
        given = {} if offset is None else {"offset": offset}
        self._check_mean()
        arrays = {"gate": self.predict_gate(X), "experts": self.predict_experts(X, **given)}
        if hasattr(self, "expert_coef_"):
            effects = self._feature_effects(X, **given)
            arrays["slope"] = effects[:, 0]
            if has_gate_effects(self._fitted, vars(self)):
                arrays["gate_effect"] = effects[:, 1]
        extra = self._fitted.preprocessor.extra_features
        if extra is not None and extra.base is not None:
            arrays["base"] = self._base_predictions(X)
        index = X.index if hasattr(X, "iloc") and not is_dask(X) else None
        return Explanation(arrays, labels_of(self), index)

    @supports_dask
    def _feature_effects(self, X: Any, offset: Any = None) -> Array:
        """Effects of the features through experts and gate, (n, 2, p) or (n, 2, m, p)."""
        rows = self._checked(Rows(X, offset=offset))
        effects = feature_effects(self._fitted, vars(self), rows.X, rows.offset)
        return effects[:, :, 0] if vars(self)["expert_coef_"].ndim == 2 else effects

    @supports_dask
    def _base_predictions(self, X: Any) -> Array:
        """Predictions of the base model, of the shape of `predict` or `predict_proba`."""
        return self._squeeze_outputs(base_predictions(self._fitted, self._checked(Rows(X)).X))
