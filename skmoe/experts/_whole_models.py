"""Whole models as experts: each is fitted once to all rows, and a gate learns where it is right.

Out-of-fold predictions of fits without each fold give the log density of every row under every
model. They are those of rows that the models have not seen, and decide which model the gate trusts
where: stacking of predictive densities, with weights that depend on the features.

References
----------
Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some models are
(somewhere) useful", Bayesian Analysis 17, 1043-1071.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.folds import cross_fit_splits
from skmoe._data.rows import RawFeatures
from skmoe._data.sklearn_adapter import (
    check_log_density,
    count_parameters,
    final_estimator,
    predict_components,
    takes_weights,
)
from skmoe._numerics.collapse import COLLAPSED
from skmoe._numerics.typing import Array
from skmoe.experts._cross_fitted import CrossFittedExperts
from skmoe.experts._cross_fitted_families import CrossFittedFamilyExperts
from skmoe.experts._estimator_params import AllRows, EstimatorParams


class FitObserver(Protocol):
    """Observer of the fits, which gets number and name of each model."""

    def start(self, k: int, name: str) -> None:
        """Called before the fits of model k."""

    def end(self, k: int, name: str, params: EstimatorParams) -> None:
        """Called after the fits of model k, with the parameters of all models so far."""


@dataclass(frozen=True)
class WholeModels(CrossFittedExperts):
    """Estimators that are fitted once to all rows, and once without each fold.

    The last column of `seeds` has the random states of the fits to all rows.
    """

    def fit_models(
        self, features: RawFeatures, y: Array, weight: Array, observer: FitObserver
    ) -> EstimatorParams:
        """Models that are fitted to all rows, with out-of-fold predictions of these rows.

        Noise variances, or dispersions, are those of greatest penalised likelihood for the
        out-of-fold predictions of all rows.
        """
        n_experts, n_rows = len(self.estimators), len(weight)
        statistics = AllRows(features, y, np.broadcast_to(weight, (n_experts, n_rows)))
        predictions = np.zeros((n_experts, self._n_outputs(), n_rows)) + self._placeholder()
        log_density = np.zeros((n_experts, n_rows))
        params = self.init_params(n_experts, 0)
        initial = params.log_variance
        params = params._replace(oof_predictions=predictions, oof_log_density=log_density)
        for k in range(n_experts):
            name = type(final_estimator(self.estimators[k])).__name__
            observer.start(k, name)
            model = self._fit_expert(k, statistics, predictions[k], log_density[k])
            # Noise that is shared is not that of models without predictions yet.
            resp = statistics.resp * (np.arange(n_experts) <= k)[:, None]
            log_variance = self._log_variance(predictions, y, resp, initial)
            params = params._replace(models=(*params.models, (model,)), log_variance=log_variance)
            observer.end(k, name, params)
        return params

    def _fit_expert(
        self, k: int, statistics: AllRows, predictions: Array, log_density: Array
    ) -> Any:
        """Model of expert k for all rows; its out-of-fold predictions are written to the arrays."""
        rows = np.arange(len(log_density))
        splits = list(cross_fit_splits(statistics.features))
        results = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_fold)(k, j, statistics, train, test)
            for j, (train, test) in enumerate([*splits, (rows, rows[:0])])
        )
        for (_, test), (_, prediction, logs) in zip(splits, results, strict=False):
            predictions[:, test] = prediction
            log_density[test] = logs
        return results[-1][0]

    def _fit_fold(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        """Predictions of a fold, or the model if there are no rows to predict."""
        with warnings.catch_warnings():
            # A model that has more experts than its rows need is no worse for it: the gate weights
            # it by its out-of-fold densities, and its own experts are not read.
            warnings.filterwarnings("ignore", message=COLLAPSED)
            model, prediction, logs = self._fit_predict_fold(k, j, statistics, train, test)
        return None if len(test) else model, prediction, logs

    def _fit_predict(
        self, k: int, j: int, statistics: AllRows, train: Array, test: Array
    ) -> tuple[Any, Array, Array]:
        if not len(test):
            return self._fit(k, j, statistics, train), np.zeros((self._n_outputs(), 0)), np.zeros(0)
        model, prediction, logs = super()._fit_predict(k, j, statistics, train, test)
        check_log_density(logs)
        return model, prediction, logs

    def _fit(self, k: int, j: int, statistics: AllRows, rows: Array) -> Any:
        """Model of expert k; rows are repeated for estimators that take no weights."""
        if not takes_weights(self.estimators[k]):
            rows = np.repeat(rows, statistics.resp[k, rows].astype(int))
            statistics = statistics._replace(resp=np.ones_like(statistics.resp))
        return super()._fit(k, j, statistics, rows)

    def first(self, params: EstimatorParams, n_experts: int) -> tuple[WholeModels, EstimatorParams]:
        """The first experts alone, and their parameters without training state."""
        log_variance = params.log_variance[:n_experts]
        of_first = EstimatorParams(params.models[:n_experts], log_variance, None, None, None)
        return replace(self, estimators=self.estimators[:n_experts]), of_first

    def components(self, params: EstimatorParams, k: int, features: RawFeatures) -> Any:
        """Distribution of expert k around its mean, or its own distribution."""
        if self._has_density()[k]:
            return predict_components(params.models[k][0], features.X)
        return super().components(params, k, features)


@dataclass(frozen=True)
class WholeFamilyModels(WholeModels, CrossFittedFamilyExperts):
    """Whole models; those without a density of their own predict the mean of a family."""

    def _valid_means(self, k: int, prediction: Array, offset: Array | None) -> Array:
        if self._has_density()[k]:
            return prediction
        return super()._valid_means(k, prediction, offset)

    def _means_of_family(self, predictions: Array) -> Array:
        """Predictions (K, m, n) with valid means for experts that have their own density."""
        own = self._has_density()[:, None, None]
        return np.where(own, self._placeholder(), predictions)

    def _log_prob(
        self, predictions: Array, log_density: Array, log_variance: Array, y: Array
    ) -> Array:
        of_family = super()._log_prob(
            self._means_of_family(predictions), log_density, np.nan_to_num(log_variance), y
        )
        return np.where(self._has_density()[:, None], log_density, of_family)

    def _log_variance(self, predictions: Array, y: Array, resp: Array, start: Array) -> Array:
        own = self._has_density()
        weight = np.where(own[:, None], 0.0, resp)
        found = self.mean_family.maximise(self._means_of_family(predictions), y, weight, start)
        return np.where(own[:, None, None], np.nan, found)

    def n_parameters(self, params: EstimatorParams) -> float:
        """Number of parameters of the models and dispersions; NaN if it is unknown."""
        counts = [count_parameters(models[0]) for models in params.models]
        dispersions = params.log_variance[~self._has_density()]
        return sum(counts) + dispersions[: 1 if self.shared_dispersion else None].size
