"""Methods of both estimators for information criteria."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skmoe._inference.criteria import FitStatistics, fit_statistics
from skmoe._inference.requirements import check_n_parameters_known
from skmoe._mixture.fitted import FittedMixture


class CriteriaMixin:
    """Information criteria of a fitted mixture."""

    _fitted: FittedMixture
    _validate_unit_rows: Any

    def aic(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
    ) -> float:
        """Akaike's information criterion; smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for a unit of each row.

        Returns
        -------
        aic : float
            Twice the number of parameters minus twice the log-likelihood, without penalties.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted.
        """
        return self._criteria("aic", (X, y, sample_weight, offset), units).aic

    def bic(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
    ) -> float:
        """Bayesian information criterion (Schwarz 1978); smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows, if there are no units.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for a unit of each row.

        Returns
        -------
        bic : float
            The number of parameters times the log of the number of rows, or of units, minus twice
            the log-likelihood.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted.
        """
        return self._criteria("bic", (X, y, sample_weight, offset), units).bic

    def icl(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
    ) -> float:
        """Integrated completed likelihood (Biernacki, Celeux and Govaert 2000); smaller is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; their sum is the number of rows, if there are no units.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for a unit of each row.

        Returns
        -------
        icl : float
            The Bayesian information criterion plus twice the entropy of the responsibilities.

        Raises
        ------
        ValueError
            If the parameters of an expert cannot be counted.
        """
        return self._criteria("icl", (X, y, sample_weight, offset), units).icl

    def _criteria(
        self, criterion: str, data: tuple[Any, Any, Any, Any], units: Any
    ) -> FitStatistics:
        """Criteria of features, target, weights and offset."""
        check_is_fitted(self)
        check_n_parameters_known(self._fitted, criterion, getattr(self, "experts_", ()))
        return fit_statistics(self._fitted, self._validate_unit_rows(criterion, data, units)[0])
