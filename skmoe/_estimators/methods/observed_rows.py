"""Methods of both estimators for rows with their target: responsibilities and log densities."""

from __future__ import annotations

from typing import Any, overload

from skmoe._data.rows import Rows
from skmoe._estimators.methods.expert_names import ExpertNamesMixin
from skmoe._estimators.methods.new_rows import NewRowsMixin, supports_dask
from skmoe._inference.results import UnitResponsibilities
from skmoe._numerics.typing import Array
from skmoe.exceptions import FitMismatchWarning, warn_user


class ObservedRowsMixin(ExpertNamesMixin, NewRowsMixin):
    """What a fitted mixture computes from observed targets."""

    predict: Any

    @overload
    def responsibilities(
        self,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: None = None,
        sample_weight: Any = None,
        known_experts: Any = None,
    ) -> Array: ...

    @overload
    def responsibilities(
        self,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any,
        sample_weight: Any = None,
        known_experts: Any = None,
    ) -> UnitResponsibilities: ...

    @supports_dask
    def responsibilities(
        self,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any = None,
        sample_weight: Any = None,
        known_experts: Any = None,
    ) -> Any:
        """Probability that each expert generated each observed row, or each unit.

        It is the gate probability times the density of y under the expert, divided by the sum over
        the experts. Responsibilities of training rows are optimistic for flexible experts, and with
        a `base`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in their units, the powers of their densities. Without units they
            make no difference.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_experts) or UnitResponsibilities
            Probabilities, which sum to one over the experts; of units a table by their labels.

        Warns
        -----
        FitMismatchWarning
            If units or an offset were given to `fit`, but not here.

        See Also
        --------
        predict_gate : The probabilities given the features only.
        skmoe.inspection.ResponsibilitiesDisplay : Usage of the experts as a picture.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> bool(moe.responsibilities([[-2.0]], [2.0]).max() > 0.99)
        True
        """
        observed = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        rows, labels = self._validate_unit_rows("responsibilities", observed)
        resp = self._fitted.responsibilities(rows).T
        if labels is None:
            return resp
        return UnitResponsibilities(labels, resp, self.expert_names_)

    @supports_dask
    def score_samples(
        self,
        X: Any,
        y: Any = None,
        *,
        offset: Any = None,
        units: Any = None,
        sample_weight: Any = None,
        known_experts: Any = None,
    ) -> Array:
        """Log density of the observed target, or its log probability for classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed target. None, which scikit-learn's checks of estimators use, scores the
            mixture's own prediction, and warns.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in their units, the powers of their densities. Without units they
            make no difference.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or (n_units,)
            Natural logarithm of the predictive density of each row, in the units of y; of units
            that of all rows of each unit, in ascending order of the labels.

        Warns
        -----
        FitMismatchWarning
            If y is None, or if units or an offset were given to `fit`, but not here.

        See Also
        --------
        skmoe.metrics.log_density_scorer : The mean of these, for cross-validation.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> likely, unlikely = moe.score_samples([[-2.0], [-2.0]], [2.0, 5.0])
        >>> bool(likely > unlikely)
        True
        """
        if y is None:
            warn_user(
                "score_samples without y is the log density of the mixture's own prediction, not "
                "of observations. Pass the observed target: score_samples(X, y).",
                FitMismatchWarning,
            )
            given = {} if offset is None else {"offset": offset}
            y = self.predict(X, **given)
        observed = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        rows, _ = self._validate_unit_rows("score_samples", observed)
        return self._fitted.log_density(rows)
