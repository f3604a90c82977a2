"""Comparisons of fits: criteria of numbers of experts, and the test of nested mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import chdtrc

from skmoe._data.checks import check_choice
from skmoe._inference.criteria import FitStatistics
from skmoe._inference.maxima import Maxima
from skmoe._inference.results import FrameRepr
from skmoe._inference.wald import describe_test
from skmoe._numerics.typing import Array
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


# Criteria of which the smallest is best.
CRITERIA = ("aic", "bic", "sabic", "caic", "awe", "icl")

# Columns of the two parts of the text, and their headings.
OF_CRITERIA = {"log_likelihood": "log-lik.", "n_parameters": "par."} | {
    name: name.upper() for name in CRITERIA
}
OF_SEPARATION = {
    "relative_entropy": "entropy R2",
    "smallest_share": "min. share",
    "mean_probability": "mean prob.",
    "smallest_probability": "min. prob.",
    "smallest_odds": "min. odds",
    "reached": "best reached",
    "p_value": "p",
}


class NExpertsTable(FrameRepr):
    """Fits of several numbers of experts, compared by criteria.

    Returned by `skmoe.model_selection.n_experts_table`; it is not constructed by hand. See "How
    many experts" in the user guide. Printed, it is a text in which the smallest value of each
    criterion has a star.

    Attributes
    ----------
    n_experts : list of int
        Numbers of experts, in increasing order.
    estimators : list of estimators
        Fitted mixture of each number.
    columns : dict of str to ndarray of shape (n_numbers,)
        "log_likelihood", "n_parameters", "aic", "bic", "sabic", "caic", "awe", "icl", "entropy",
        "relative_entropy", "smallest_share", "mean_probability", "smallest_probability",
        "smallest_odds", "n_reached", "n_runs" and "p_value". `n_experts_table` explains them.
    experts : dict of str to list
        For each expert of each number: "n_experts", "expert" (its name), "share", and of the rows
        or units that are assigned to it "mean_probability" and "odds_of_correct_classification".

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_table
    >>> X = np.linspace(-2, 2, 60)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> table = n_experts_table(MixtureOfExpertsRegressor(random_state=0), X, y, [1, 2], init=None)
    >>> table.best("bic")
    2
    """

    def __init__(
        self,
        estimators: Sequence[Any],
        statistics: Sequence[FitStatistics],
        p_values: Sequence[float],
    ) -> None:
        self.estimators = list(estimators)
        self.n_experts = [int(fitted.n_experts_) for fitted in estimators]
        names = ("log_likelihood", "n_parameters", *CRITERIA, "entropy", "relative_entropy")
        columns = {name: [getattr(of_fit, name) for of_fit in statistics] for name in names}
        columns["smallest_share"] = [float(of_fit.share.min()) for of_fit in statistics]
        columns["mean_probability"] = [of_fit.assigned_probability for of_fit in statistics]
        odds = [of_fit.odds_of_correct_classification for of_fit in statistics]
        own = [of_fit.probability_of_own for of_fit in statistics]
        columns["smallest_probability"] = [float(np.nanmin(of_fit)) for of_fit in own]
        columns["smallest_odds"] = [float(np.fmin.reduce(of_fit)) for of_fit in odds]
        self._maxima: list[Maxima] = [fitted.maxima_ for fitted in estimators]
        columns["n_reached"] = [sum(maxima.n_times[:1]) for maxima in self._maxima]
        columns["n_runs"] = [maxima.n_runs for maxima in self._maxima]
        columns["p_value"] = list(p_values)
        self.columns: dict[str, Array] = {name: np.array(v) for name, v in columns.items()}
        self.experts: dict[str, list[Any]] = {
            "n_experts": [k for k in self.n_experts for _ in range(k)],
            "expert": [name for fitted in estimators for name in fitted.expert_names_],
            "share": np.concatenate([of_fit.share for of_fit in statistics]).tolist(),
            "mean_probability": np.concatenate(own).tolist(),
            "odds_of_correct_classification": np.concatenate(odds).tolist(),
        }

    def best(self, criterion: str = "bic") -> int:
        """The number of experts with the smallest value of a criterion.

        Parameters
        ----------
        criterion : {"aic", "bic", "sabic", "caic", "awe", "icl"}, default="bic"
            Name of the criterion.

        Returns
        -------
        n_experts : int
            The number; the smaller one of equal values.

        Raises
        ------
        ValueError
            If there is no such criterion.
        """
        check_choice("criterion", criterion, CRITERIA)
        return self.n_experts[int(np.argmin(self.columns[criterion]))]

    def to_frame(self, what: str = "numbers") -> Any:
        """The table as a pandas frame.

        Parameters
        ----------
        what : {"numbers", "experts"}, default="numbers"
            Rows of the frame: numbers of experts, with the names of `columns`, or each expert of
            each number, with those of `experts`.

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by the number of experts, and by the expert.

        Raises
        ------
        ValueError
            If `what` is neither.
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("NExpertsTable.to_frame")
        check_choice("what", what, ("numbers", "experts"))
        if what == "experts":
            return pandas.DataFrame(self.experts).set_index(["n_experts", "expert"])
        return pandas.DataFrame(self.columns, pandas.Index(self.n_experts, name="n_experts"))

    def __repr__(self) -> str:
        cells = {name: [f"{value:.1f} " for value in self.columns[name]] for name in OF_CRITERIA}
        cells["n_parameters"] = [f"{value:g}" for value in self.columns["n_parameters"]]
        for name in CRITERIA:
            best = self.n_experts.index(self.best(name))
            cells[name][best] = f"{cells[name][best].strip()}*"
        for name in OF_SEPARATION:
            if name in self.columns:
                values = self.columns[name]
                cells[name] = ["" if np.isnan(value) else f"{value:.3f}" for value in values]
        cells["reached"] = [maxima.reached for maxima in self._maxima]
        tested = not np.isnan(self.columns["p_value"]).all()
        shown = {
            name: title for name, title in OF_SEPARATION.items() if tested or name != "p_value"
        }
        lines = [*self._lines(OF_CRITERIA, cells), "", *self._lines(shown, cells)]
        return "\n".join([*lines, "* The smallest value of the criterion."])

    def _lines(self, titles: dict[str, str], cells: dict[str, list[str]]) -> list[str]:
        """Lines of a part of the table, with a column for each title."""
        columns = [["K", *map(str, self.n_experts)]]
        columns += [[title, *cells[name]] for name, title in titles.items()]
        widths = [max(map(len, column)) for column in columns]
        rows = zip(*columns, strict=True)
        return [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
