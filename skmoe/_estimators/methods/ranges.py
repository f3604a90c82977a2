"""The method that finds rows outside of the ranges of the features in the fit."""

from __future__ import annotations

from typing import Any

from skmoe._data.scaling import is_outside_ranges
from skmoe._estimators.methods.dask import supports_dask
from skmoe._estimators.methods.new_rows import NewRowsMixin
from skmoe._numerics.typing import Array


class FeatureRangeMixin(NewRowsMixin):
    """`is_outside_range`, for both estimators."""

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
            Features. For those of a pipeline, use `skmoe.pipelines.mixture_of`.

        Returns
        -------
        outside : ndarray of bool of shape (n_samples,)
            True for rows with at least one such feature. Rows of the fit are False.

        Raises
        ------
        ValueError
            If X is not as in `predict`, or if the estimator was saved by a release that did not
            store the ranges.

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
        X = self._validate_X(X)
        model, _, preprocessor = self._fitted
        if preprocessor.feature_range is None:
            raise ValueError(
                "is_outside_range needs the ranges of the features, which are not in this "
                "estimator: an earlier release saved it. Fit it again with this release."
            )
        used = preprocessor.used_features(gate=model.gate.depends_on_features)
        return is_outside_ranges(X, preprocessor.feature_range, used, preprocessor.encoder)
