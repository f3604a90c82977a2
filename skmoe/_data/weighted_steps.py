"""Pipelines and their steps that use the weights of the rows, or their units."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config
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


class UnitPipeline(Pipeline):
    """A pipeline that ends in a mixture of units, whose labels its `fit` takes and needs."""

    def fit(self, X: Any, y: Any = None, *, units: Any = None, **params: Any) -> UnitPipeline:
        """Fit the steps, the last one with the units, which may be given as `mixture__units`."""
        last, estimator = self.steps[-1]
        if not hasattr(estimator, "predict"):  # the steps before the mixture, by `pipeline[:-1]`
            super().fit(X, y, **params)
            return self
        of_last = f"{last}__units"
        units = params.pop(of_last, units)
        self.check_units(units)
        name = "units" if get_config()["enable_metadata_routing"] else of_last
        return super().fit(X, y, **params, **{name: units})

    def check_units(self, units: Any) -> None:
        """Units must be given."""
        if units is None:
            raise ValueError(
                "units must be the labels of the persons, or other units, of the rows, since all "
                'rows of a unit follow one course; got None. Pass units=table["person"], or in a '
                f'search {self.steps[-1][0]}__units=table["person"]. If each row is a unit of its '
                "own, use MixtureOfExpertsRegressor."
            )
