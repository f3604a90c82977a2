"""Predictive distributions that held-out rows recalibrate, so that intervals hold for any model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from skmoe._numerics.typing import TINY, Array
from skmoe.distributions._mixtures import PredictiveDistribution, check_coverage, check_quantiles
from skmoe.distributions._sums import tail_quantiles

# Round-off of ranks and probabilities.
ROUND_OFF = 1e-12


def conformalize(
    dist: PredictiveDistribution, y: ArrayLike
) -> Callable[[PredictiveDistribution], ConformalDistribution]:
    """Conformal adjustment of predictive distributions by rows that the fit has not seen.

    Of each of n calibration rows the probability up to y is taken, by its own predicted
    distribution. Were the model correct, these were uniform. Their ranks replace probabilities of
    new distributions [1]_, [2]_. So intervals include the values of new rows with at least their
    coverage, for any model and number of rows, on average over rows. Calibration rows and new rows
    must be exchangeable: drawn alike, in any order. Rows of one unit, or of series in time, are
    not.

    Parameters
    ----------
    dist : PredictiveDistribution
        Distributions of the calibration rows, such as `moe.predict_dist(X_cal)`, of one output.
        They must not be rows of the fit.
    y : array-like of shape (n_samples,)
        Values of these rows. Counts, and other values with a probability of their own, make
        intervals wider than their coverage needs.

    Returns
    -------
    adjust : callable
        `adjust(dist)` is the `ConformalDistribution` of new rows.

    Raises
    ------
    ValueError
        If the distributions have several outputs, or if y is censored, NaN or of another length.

    See Also
    --------
    skmoe.inspection.CalibrationDisplay : Whether an adjustment is needed.

    References
    ----------
    .. [1] V. Vovk, I. Petej, P. Toccaceli, A. Gammerman, E. Ahlberg and L. Carlsson (2020),
       "Conformal calibrators", Proceedings of Machine Learning Research 128, 84-99.
    .. [2] V. Chernozhukov, K. Wüthrich and Y. Zhu (2021), "Distributional conformal prediction",
       Proceedings of the National Academy of Sciences 118, e2107794118.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.distributions import conformalize
    >>> X_fit, X_cal, y_fit, y_cal = train_test_split(
    ...     *load_diabetes(return_X_y=True), random_state=0
    ... )
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X_fit, y_fit)
    >>> adjust = conformalize(moe.predict_dist(X_cal), y_cal)
    >>> adjust(moe.predict_dist(X_cal[:2])).interval(0.9).round()
    array([[ 98., 349.],
           [156., 327.]])
    """
    if not isinstance(dist, PredictiveDistribution) or dist.mean.ndim > 1:
        raise ValueError(
            f"dist must be the distribution of one output, as of predict_dist; got {dist!r}. "
            "Adjust each output by itself: dist.marginal(0)."
        )
    values = np.asarray(y)
    if values.dtype.names:
        raise ValueError(
            "y must be known, and is censored: the rank of a value that was not observed is not "
            "known. Compare predicted and observed survival by CalibrationDisplay."
        )
    if values.shape != (len(dist),) or not len(dist) or np.isnan(values.astype(float)).any():
        raise ValueError(
            f"y must have a number for each of the {len(dist)} rows of dist, and no NaN; got shape "
            f"{values.shape}. Pass the y of the rows that are predicted."
        )
    below, beyond = (f(values[:, None])[:, 0] for f in (dist.cdf_left, dist.sf))
    # Values outside of the support of their distribution have no finite bound.
    return partial(
        ConformalDistribution,
        below=np.sort(np.where(beyond >= 1.0, below, np.maximum(below, TINY))),
        beyond=np.sort(np.where(below >= 1.0, beyond, np.maximum(beyond, TINY))),
    )


class ConformalDistribution:
    """Predictive distributions with probabilities that held-out rows have corrected.

    Returned by the result of `conformalize`; it is not constructed by hand. Quantiles and bounds
    are infinite where there are too few calibration rows: intervals of 90 % need 19.

    Attributes
    ----------
    dist : PredictiveDistribution
        The distributions before the adjustment.

    Examples
    --------
    Values that spread three times as much as predicted:

    >>> import numpy as np
    >>> from skmoe.distributions import NormalComponents, PredictiveDistribution, conformalize
    >>> part = NormalComponents(np.ones((1, 99)), np.zeros((1, 1, 99)), np.ones((1, 1, 99)))
    >>> dist = PredictiveDistribution([part], np.ones((1, 99)))
    >>> y = 3.0 * dist.ppf(np.arange(1, 100) / 100)[0]
    >>> conformalize(dist, y)(dist[:1]).interval(0.9).round(1)
    array([[-4.9,  4.9]])
    """

    def __init__(self, dist: PredictiveDistribution, *, below: Array, beyond: Array) -> None:
        self.dist = dist
        self._below, self._beyond = below, beyond

    def __len__(self) -> int:
        return len(self.dist)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} rows, by {len(self._below)} other rows>"

    def cdf(self, y: ArrayLike) -> Array:
        """Probability of a value up to y, which includes y itself.

        Parameters
        ----------
        y : float or array-like of shape (n_samples,) or (n_samples, n_values)
            One value for each row, or several along a second axis, as of
            `PredictiveDistribution.cdf`.

        Returns
        -------
        probability : ndarray of the shape of y, with n_samples rows
            The middle of what n calibration rows leave open, which is less than 1 / (n + 1), or for
            counts the probability of y more.
        """
        n = len(self._below)
        prob, rest = self.dist.cdf(y), self.dist.sf(y)
        ranks = n - np.searchsorted(self._beyond, rest) + np.searchsorted(self._below, prob)
        return np.asarray((prob + 0.5 * ranks) / (n + 1))

    def ppf(self, q: ArrayLike) -> Array:
        """Quantiles, whose rank is rounded away from the median.

        Parameters
        ----------
        q : float or array-like of shape (n_values,)
            Probabilities in (0, 1).

        Returns
        -------
        quantiles : ndarray of shape (n_samples,), or (n_samples, n_values) for an array q
            From q = 0.5 on the value of a new row is at most the quantile with at least the
            probability q, and otherwise below it with at most q.
        """
        probs = check_quantiles(q)
        flat, n = self.dist._flat_components(), len(self._below)
        found = np.where(probs < 0.5, -np.inf, np.inf) * np.ones((len(self), probs.size))
        for j, prob in enumerate(np.atleast_1d(probs)):
            is_lower = prob < 0.5
            rank = int(np.floor((prob if is_lower else 1.0 - prob) * (n + 1) + ROUND_OFF))
            level = (self._below if is_lower else self._beyond)[rank - 1] if rank else 0.0
            if level > 0.0:  # beyond the round-off of the value that has it
                level = min(level * (1.0 + ROUND_OFF), 1.0 - ROUND_OFF) if is_lower else level
                found[:, j] = tail_quantiles(flat, np.full(len(self), level), is_lower)
        return found[:, 0] if probs.ndim == 0 else found

    median = PredictiveDistribution.median

    def interval(self, coverage: float = 0.9) -> Array:
        """Interval that includes the value of a new row with at least the coverage.

        Each bound is passed with at most half of the rest. Without a value of its own probability
        the coverage is at most 2 / (n + 1) larger, for n calibration rows.

        Parameters
        ----------
        coverage : float, default=0.9
            Probability of the interval, in (0, 1), on average over rows.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2)
            Lower and upper bound, in the units of y; infinite with too few calibration rows.
        """
        check_coverage(coverage)
        return self.ppf([0.5 * (1.0 - coverage), 0.5 * (1.0 + coverage)])
