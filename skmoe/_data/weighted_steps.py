"""Steps of pipelines that use the weights of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter


class WeightedImputer(SimpleImputer):
    """Imputation by the weighted mean of the values of a column that are not missing."""

    statistics_: Any

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> WeightedImputer:
        """Find the means; sparse features have no missing values."""
        super().fit(X, y)
        if sample_weight is not None and not sparse.issparse(X):
            values = np.ma.masked_invalid(np.asarray(X, dtype=float))
            average: Any = np.ma.average(values, axis=0, weights=sample_weight)
            means = average.filled(np.nan)
            self.statistics_ = np.where(np.isnan(means), self.statistics_, means)
        return self


class WeightedPipeline(Pipeline):
    """A pipeline whose steps before the last one use the weights of the last one as well."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> WeightedPipeline:
        """Fit the steps; of those before the last one those that take weights get them."""
        *before, (last, _) = self.steps
        weight = params.get(f"{last}__sample_weight")
        if weight is not None:
            taking = [name for name, step in before if has_fit_parameter(step, "sample_weight")]
            params |= {f"{name}__sample_weight": weight for name in taking}
        return super().fit(X, y, **params)
