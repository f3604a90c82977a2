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
        return self._criteria("aic", (X, y, sample_weight, offset), units).aic

    def bic(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
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
        return self._criteria("bic", (X, y, sample_weight, offset), units).bic

    def icl(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
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
        return self._criteria("icl", (X, y, sample_weight, offset), units).icl

    def _criteria(
        self, criterion: str, data: tuple[Any, Any, Any, Any], units: Any
    ) -> FitStatistics:
        """Criteria of features, target, weights and offset."""
        check_is_fitted(self)
        check_n_parameters_known(self._fitted, criterion, getattr(self, "experts_", ()))
        rows, _ = self._validate_unit_rows(criterion, data, units)
        return fit_statistics(self._fitted, rows.of_positive_weight())
