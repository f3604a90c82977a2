"""What a regressor knows of y beyond its mean: distributions, intervals, quantiles, draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._estimators.dask_methods import supports_dask
from skmoe._inference.requirements import check_gaussian
from skmoe._mixture import fitted
from skmoe.distributions import MixtureDistribution, check_coverage


class PredictiveMixin:
    """Methods that need experts with normal noise, or densities made of normals."""

    _mixture: Any
    _single_output: bool
    _validate_X: Any

    def predict_dist(self, X) -> MixtureDistribution:
        """Predictive distribution of y, for each row a mixture of normals.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        distribution : MixtureDistribution
            With `mean`, `std`, `pdf`, `cdf`, `ppf`, `interval`, `crps` and `rvs`; see
            `skmoe.distributions.MixtureDistribution`.

        Raises
        ------
        ValueError
            If the density of an expert is not made of normals.
        """
        X = self._validate_X(X)
        check_gaussian(self._mixture.parts.experts)
        weights, means, stds = fitted.normal_components(self._mixture, X)
        means, stds = means.transpose(2, 0, 1), stds.transpose(2, 0, 1)
        if self._single_output:
            means, stds = means[..., 0], stds[..., 0]
        return MixtureDistribution(weights.T, means, stds)

    @supports_dask
    def predict_interval(self, X, coverage=0.9):
        """Central prediction interval.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        coverage : float, default=0.9
            Probability that the interval holds y, in (0, 1), if the model is right.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper bounds, in the units of y.

        Raises
        ------
        ValueError
            If the coverage is outside (0, 1), or the density of an expert is not made of normals.
        """
        check_coverage(coverage)
        return self.predict_dist(X).interval(coverage)

    @supports_dask
    def predict_quantile(self, X, q=0.5):
        """Quantiles of y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        q : float or array-like of shape (n_quantiles,), default=0.5
            Probabilities in (0, 1).

        Returns
        -------
        quantiles : ndarray of shape (n_samples,), or (n_samples, n_quantiles) for an array q
            In the units of y, with the axis of the outputs last, if there are several.

        Raises
        ------
        ValueError
            If a probability is outside (0, 1), or the density of an expert is not made of normals.
        """
        return self.predict_dist(X).ppf(q)

    def sample(self, X, n_samples=1, random_state=None):
        """Random draws of y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        n_samples : int, default=1
            Draws for each row.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        draws : ndarray of shape (n_rows, n_samples) or (n_rows, n_samples, n_outputs)
            In the units of y.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer, or the density of an expert is not made of
            normals.
        """
        return np.asarray(self.predict_dist(X).rvs(n_samples, random_state))
