"""Result of the likelihood-ratio test of nested mixtures, and its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import chdtrc

from skmoe._inference.results import FrameRepr
from skmoe._inference.wald import describe_test
from skmoe._optional import import_pandas


class NestedModelsTest(FrameRepr):
    """Likelihood-ratio test of a mixture against a larger one that contains it.

    Returned by `skmoe.model_selection.likelihood_ratio_test`; it is not constructed by hand.
    Printed, it is a sentence.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : int
        Difference of the numbers of parameters.
    p_value : float
        Probability of a statistic at least as large under the smaller model, by the chi-squared
        distribution.
    log_likelihoods : ndarray of shape (2,)
        Largest log-likelihoods of the smaller and of the larger model.
    n_parameters : ndarray of shape (2,)
        Numbers of their parameters.
    estimators : list of estimators
        The fits of the smaller and of the larger model, by maximum likelihood.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import likelihood_ratio_test
    >>> X, y = load_iris(return_X_y=True)[0][:, [2]], load_iris().data[:, 1]
    >>> options = {"dispersion": "shared", "random_state": 0}
    >>> larger = MixtureOfExpertsRegressor(2, **options)
    >>> smaller = MixtureOfExpertsRegressor(2, shared_features=[0], **options)
    >>> likelihood_ratio_test(smaller, larger, X, y).df
    1
    """

    def __init__(self, estimators: Sequence[Any], log_likelihoods: Sequence[float]) -> None:
        self.estimators = list(estimators)
        self.log_likelihoods = np.array(log_likelihoods)
        self.n_parameters = np.array([fitted.n_parameters_ for fitted in estimators])
        self.statistic = max(2.0 * float(np.diff(self.log_likelihoods)[0]), 0.0)
        self.df = int(np.diff(self.n_parameters)[0])
        self.p_value = float(chdtrc(self.df, self.statistic))

    def to_frame(self) -> Any:
        """A pandas frame with a row for each model.

        Returns
        -------
        frame : pandas.DataFrame
            With the columns "log_likelihood", "n_parameters", "statistic", "df" and "p_value", the
            last three of which the larger model has.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("NestedModelsTest.to_frame")
        columns = {
            "log_likelihood": self.log_likelihoods,
            "n_parameters": self.n_parameters,
            "statistic": [np.nan, self.statistic],
            "df": [np.nan, self.df],
            "p_value": [np.nan, self.p_value],
        }
        return pandas.DataFrame(columns, index=pandas.Index(["smaller", "larger"], name="model"))

    def __repr__(self) -> str:
        return describe_test("Likelihood-ratio", self, "The smaller model is")
