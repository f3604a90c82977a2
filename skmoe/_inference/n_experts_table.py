"""The table of numbers of experts: criteria, separation and starts of the fit of each number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._inference.criteria import FitStatistics
from skmoe._inference.maxima import Maxima
from skmoe._inference.results import FrameRepr
from skmoe._numerics.typing import Array
from skmoe._optional import import_pandas

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
        "relative_entropy", "smallest_share", "mean_probability", "n_reached", "n_runs" and
        "p_value". `n_experts_table` explains them.

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
        columns["n_reached"] = [sum(maxima.n_times[:1]) for maxima in self._maxima]
        columns["n_runs"] = [maxima.n_runs for maxima in self._maxima]
        columns["p_value"] = list(p_values)
        self.columns: dict[str, Array] = {name: np.array(v) for name, v in columns.items()}

    @property
    def _maxima(self) -> list[Maxima]:
        return [fitted.maxima_ for fitted in self.estimators]

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
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {list(CRITERIA)}; got {criterion!r}.")
        return self.n_experts[int(np.argmin(self.columns[criterion]))]

    def to_frame(self) -> Any:
        """The table as a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by the numbers of experts, with the names of `columns`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("NExpertsTable.to_frame")
        index = pandas.Index(self.n_experts, name="n_experts")
        return pandas.DataFrame(self.columns, index=index)

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
