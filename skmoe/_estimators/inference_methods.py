"""What both estimators report of a fit: criteria, errors of coefficients, summary, explanation."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from skmoe._data.checks import check_choice, check_integer, check_weights
from skmoe._data.rows import make_dataset
from skmoe._inference.bootstrap import parametric_bootstrap
from skmoe._inference.coefficients import coefficient_terms, coefficient_values, make_layout
from skmoe._inference.criteria import aic, bic, classification_entropy, n_parameters
from skmoe._inference.labels import feature_labels
from skmoe._inference.requirements import (
    check_differentiable,
    check_n_parameters_known,
    check_no_base,
    check_reference,
    is_differentiable,
)
from skmoe._inference.results import Inference, Summary
from skmoe._inference.standard_errors import observed_inference
from skmoe._inference.summary import make_summary
from skmoe._mixture import fitted
from skmoe._numerics.typing import Array

COVARIANCE_TYPES = ("observed", "sandwich", "bootstrap")

# Coefficients of which the matrix of their covariance fits into memory and time.
MOST_TERMS = 5000


class ReportingMixin:
    """Methods that tell what was fitted."""

    n_experts_: int
    n_features_in_: int
    base_: Any
    gate_coef_: Any
    _mixture: Any
    _validate_X_y: Any
    _response_names: Any
    _effective_weight: Any
    gate_feature_names_: Any
    predict_gate: Any
    predict_experts: Any

    def aic(self, X, y, sample_weight=None):
        """Akaike's information criterion; smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        aic : float
            Twice the number of parameters minus twice the log-likelihood, without penalties.
        """
        joint, weight = self._log_joint_and_weight(X, y, sample_weight)
        return aic(logsumexp(joint, axis=0) @ weight, self._checked_n_parameters("aic"))

    def bic(self, X, y, sample_weight=None):
        """Bayesian information criterion (Schwarz 1978); smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows.

        Returns
        -------
        bic : float
            The number of parameters times the log of the number of rows, minus twice the
            log-likelihood.
        """
        joint, weight = self._log_joint_and_weight(X, y, sample_weight)
        log_likelihood = logsumexp(joint, axis=0) @ weight
        return bic(log_likelihood, self._checked_n_parameters("bic"), weight.sum())

    def icl(self, X, y, sample_weight=None):
        """Integrated completed likelihood (Biernacki, Celeux and Govaert 2000); smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows.

        Returns
        -------
        icl : float
            The Bayesian information criterion plus twice the entropy of the responsibilities.
        """
        joint, weight = self._log_joint_and_weight(X, y, sample_weight)
        log_density = logsumexp(joint, axis=0)
        value = bic(log_density @ weight, self._checked_n_parameters("icl"), weight.sum())
        return value + 2.0 * classification_entropy(np.exp(joint - log_density), weight)

    def inference(
        self,
        X,
        y,
        sample_weight=None,
        *,
        method="observed",
        gate_reference=None,
        n_bootstrap=200,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ) -> Inference:
        """Standard errors, p-values and confidence intervals of linear experts and the gate.

        Given the data of the fit. "observed" inverts the negative Hessian of the penalised
        log-likelihood [1]_: errors are those of a normal approximation to the posterior under the
        penalties as priors, and with penalties near zero those of maximum likelihood. "sandwich"
        puts the scores of the rows between two of these inverses, which allows for a model that is
        not quite right [2]_. "bootstrap" draws targets from the fitted mixture, refits from the
        fitted parameters and aligns the experts [3]_: it needs no large number of rows.

        The fit should have converged well: use a `tol` of 1e-8 or less.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the fit; they count rows.
        method : {"observed", "sandwich", "bootstrap"}, default="observed"
            How the covariance is found.
        gate_reference : int, default=None
            Expert against which the coefficients of the gate are log odds. By default they sum to
            zero over the experts, as `gate_coef_` does.
        n_bootstrap : int, default=200
            Refits of the bootstrap.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the bootstrap.
        n_jobs : int, default=None
            Refits to run in parallel.
        verbose : int, default=0
            Whether the bootstrap shows its progress.

        Returns
        -------
        inference : Inference
            With `standard_errors`, `z_values`, `p_values`, `conf_int` and `to_frame`.

        Raises
        ------
        ValueError
            If the experts or the gate have no smooth coefficients, as estimators do; if rows are
            routed (`top_k`); or if a parameter breaks its rule.

        Warns
        -----
        ConvergenceWarning
            If the parameters are not at a maximum.

        References
        ----------
        .. [1] T. A. Louis (1982), "Finding the observed information matrix when using the EM
           algorithm", Journal of the Royal Statistical Society B 44, 226-233.
        .. [2] H. White (1982), "Maximum likelihood estimation of misspecified models",
           Econometrica 50, 1-25.
        .. [3] G. J. McLachlan and D. Peel (2000), "Finite Mixture Models", Wiley, chapter 2.16.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> moe = MixtureOfExpertsRegressor(2, gate="constant", tol=1e-8, random_state=0).fit(X, y)
        >>> moe.inference(X, y).standard_errors.shape  # of two experts and two weights
        (26,)
        """
        check_is_fitted(self)
        check_choice("method", method, COVARIANCE_TYPES)
        check_reference(gate_reference, self.n_experts_)
        check_differentiable(self._mixture.parts, MOST_TERMS, self._n_parameters())
        check_no_base(self.base_)
        rows, target = self._validate_X_y(X, y)
        weight = check_weights(sample_weight, rows.shape[0])
        layout = make_layout(self._mixture, self._response_names())
        terms = coefficient_terms(layout, self._feature_names(), self.gate_feature_names_)
        values = partial(coefficient_values, layout, reference=gate_reference)
        if method == "bootstrap":
            n_bootstrap = check_integer("n_bootstrap", n_bootstrap, least=2)
            seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
            seeds = np.random.SeedSequence(seed).spawn(n_bootstrap)
            draws = parametric_bootstrap(self, rows, y, weight, values, seeds, n_jobs, int(verbose))
            label = f"parametric bootstrap, {n_bootstrap} refits"
            covariance = np.atleast_2d(np.cov(draws, rowvar=False))
            return Inference(terms, values(self), covariance, [""] * len(terms), label, draws)
        table = make_dataset(
            fitted.to_numeric(self._mixture, rows, None),
            self._mixture.scale,
            self._mixture.gate_columns,
            self._mixture.expert_columns,
            self._standard_target(target),
            self._effective_weight(target, weight),
        )
        inference, indefinite = observed_inference(
            self._mixture, table, layout, terms, values(self), method == "sandwich", gate_reference
        )
        if indefinite:
            warnings.warn(
                "The observed information is indefinite: the fit is not at a maximum of the "
                "penalised likelihood of these rows. Fit with a smaller tol (1e-8) and a larger "
                'max_iter, give the rows of the fit, or use method="bootstrap".',
                ConvergenceWarning,
                stacklevel=2,
            )
        return inference

    def summary(self, X=None, y=None, sample_weight=None, *, level=0.95, **inference) -> Summary:
        """What was fitted, as text: experts, gate, criteria.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Features of the fit. With them and y the summary has the log-likelihood, information
            criteria, effective rows and standard errors.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target of the fit.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the fit.
        level : float, default=0.95
            Confidence of the intervals.
        **inference : dict
            Parameters of `inference`, such as `method` and `gate_reference`.

        Returns
        -------
        summary : Summary
            To be printed, or taken apart: `to_frame`, `facts`, `experts`, `inference`.

        Raises
        ------
        ValueError
            If only one of X and y is given.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
        >>> moe.summary(X, y).to_frame("experts")["share"].round(1).tolist()
        [0.5, 0.5]
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise ValueError("summary needs both X and y, the data of the fit, or neither.")
        if X is None and (inference or sample_weight is not None):
            raise ValueError("summary needs X and y, the data of the fit, to say more of it.")
        joint = weight = found = None
        if X is not None:
            joint, weight = self._log_joint_and_weight(X, y, sample_weight)
            if inference or (is_differentiable(self._mixture.parts) and self.base_ is None):
                found = self.inference(X, y, sample_weight, **inference)
        reference = inference.get("gate_reference")
        return make_summary(
            self, joint, weight, found, level, self._coefficients_or_none(), reference
        )

    def explain(self, X):
        """How the prediction of each row comes about.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        explanation : Bunch
            gate : ndarray of shape (n_samples, n_experts)
                Weights of the experts.
            experts : ndarray
                What each expert says: `predict_experts`.
            slope : ndarray of shape (n_samples, n_features) or (n_samples, n_responses, n_features)
                For linear experts: the slopes of the experts (of their log odds for classes),
                blended by the weights. What a small change of a feature does while the gate stays
                as it is.
            gate_effect : ndarray of the shape of `slope`
                For linear regression under a gate with slopes: what the same change does by moving
                the gate. `slope + gate_effect` is the derivative of `predict`.
        """
        gate, experts = self.predict_gate(X), self.predict_experts(X)
        explanation = Bunch(gate=gate, experts=experts)
        if not hasattr(self, "coef_"):
            return explanation
        explanation.slope = np.einsum("nk,k...p->n...p", gate, self.coef_)
        of_features = np.shape(getattr(self, "gate_coef_", [])) == (
            len(gate.T),
            self.n_features_in_,
        )
        if not hasattr(self, "classes_") and of_features:
            pull = self.gate_coef_ - (gate @ self.gate_coef_)[:, None]  # (n, K, p)
            explanation.gate_effect = np.einsum("nk,nk...,nkp->n...p", gate, experts, pull)
        return explanation

    def _coefficients_or_none(self) -> tuple[list[Any], Array] | None:
        """Coefficients by name, where there are any."""
        gate = self._mixture.params.gate
        if not hasattr(self, "coef_") or not (hasattr(gate, "coef") or hasattr(gate, "log_prior")):
            return None
        layout = make_layout(self._mixture, self._response_names())
        terms = coefficient_terms(layout, self._feature_names(), self.gate_feature_names_)
        return terms, coefficient_values(layout, self, None)

    def _feature_names(self) -> list[str]:
        return feature_labels(self)

    def _gate_names(self) -> list[str]:
        """Names of the columns that the gate sees."""
        columns, names = self._mixture.gate_columns, self.gate_feature_names_
        offered = columns is None or self._mixture.extra_features is not None
        return list(names if offered else names[columns])

    def _standard_target(self, y: Array) -> Array:
        if self._mixture.target is None:
            return y
        center, spread = self._mixture.target
        return (y - center[:, None]) / spread[:, None]

    def _log_joint_and_weight(self, X, y, sample_weight) -> tuple[Array, Array]:
        X, y = self._validate_X_y(X, y)
        weight = check_weights(sample_weight, X.shape[0])
        return fitted.log_joint(self._mixture, X, y), weight

    def _checked_n_parameters(self, criterion: str) -> float:
        n_params = self._n_parameters()
        if np.isnan(n_params):
            check_n_parameters_known(criterion, self._mixture.params.experts.models)
        return n_params

    def _n_parameters(self) -> float:
        return n_parameters(self._mixture.parts, self._mixture.params)
