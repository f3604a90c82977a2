"""What the starts or searches of a fit have found: the best value, how often, and the others."""

from __future__ import annotations

from typing import Any, NamedTuple

from skmoe._mixture.search import RUNS_OF_SEARCH
from skmoe._optional import import_pandas

# What to do beyond the default starts.
MORE_STARTS = (
    'Other starts may find a better one: init="search" compares 100, in about twenty times the '
    "time."
)


class Maxima(NamedTuple):
    """Values that the starts or searches of a fit have reached, the best one first.

    The fitted attribute `maxima_`; it is not constructed by hand. Values that differ by less than
    0.05, or by less than `tol` per row, count as one. They are penalised log-likelihoods, at the
    penalties at which starts are compared: those from which `fit` searches for others, so that
    `lower_bound_` of the fit has another value. Starts of large tables run on a sample, whose
    values are scaled to all rows.

    Counts are no proof. Starts from the same partition of the rows count once, but different ones
    can all miss a better maximum. The runs of one search descend from one mixture, whose experts
    are exchanged, so that they do not count as independent: several searches (`n_init=3`) are.

    It is empty where nothing was compared: after a warm start or given responsibilities.

    Attributes
    ----------
    penalised_log_likelihoods : tuple of float
        Penalised log-likelihoods of all rows, the best first.
    n_times : tuple of int
        How often each of them was reached.
    smallest_shares : tuple of float
        Smallest share of the rows, or units, that an expert has there. The first is that of the
        fit.
    runs : str
        What is counted: "searches" (`init="search"` with several), "runs of one search" (with
        one), "different starts", or those "that converged or ran longest" where others were
        dropped.
    kept : int
        Index, in `start_traces_`, of the start or search that went on to the fit: the best of
        those without a noise variance at its floor.
    is_spurious : tuple of bool
        Whether an expert fits a few rows nearly exactly there, with a dispersion far below that of
        the others. The first is that of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> print(moe.fit(X, np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])).maxima_)
    The best maximum was reached by 2 of 2 different starts that converged or ran longest, of 8 in
    all. Other starts may find a better one: init="search" compares 100, in about twenty times the
    time.
    """

    penalised_log_likelihoods: tuple[float, ...] = ()
    n_times: tuple[int, ...] = ()
    smallest_shares: tuple[float, ...] = ()
    runs: str = ""
    kept: int = 0
    is_spurious: tuple[bool, ...] = ()

    @property
    def n_runs(self) -> int:
        """Number of starts or searches that are counted."""
        return sum(self.n_times)

    @property
    def reached(self) -> str:
        """How often the best value was reached, such as "3 of 4 starts"."""
        if self.runs == RUNS_OF_SEARCH:
            return f"one search, best of {self.n_runs} runs"
        kind = self.runs.removeprefix("different ").partition(" ")[0]
        return f"{sum(self.n_times[:1])} of {self.n_runs} {kind}".strip()

    def __str__(self) -> str:
        if not self.n_times:
            return "No starts were compared."
        text = f"The best maximum was reached by {self.n_times[0]} of {self.n_runs} {self.runs}"
        if self.runs == RUNS_OF_SEARCH:
            text = f"The best maximum of {self.n_runs} {self.runs}"
        if len(self.n_times) > 1:
            gap = self.penalised_log_likelihoods[0] - self.penalised_log_likelihoods[1]
            own, other = (f"{100 * share:.1f} %" for share in self.smallest_shares[:2])
            text += f"; the next one has a penalised log-likelihood that is {gap:.2f} lower, at "
            text += f"the penalties of the starts, and a smallest expert of {other} (of the fit: "
            text += f"{own})"
        text = f"{text}. {self._advice}".strip()
        if any(self.is_spurious):
            first = "This" if self.is_spurious[0] else "Another"
            text += f" {first} maximum is spurious: an expert fits a few rows nearly exactly."
        return text

    @property
    def _advice(self) -> str:
        """What may find a better maximum."""
        if self.runs == RUNS_OF_SEARCH:
            return "They descend from one mixture: n_init=3 makes three independent searches."
        if self.runs.startswith("different starts"):
            return MORE_STARTS
        return ""

    def to_frame(self) -> Any:
        """The values as a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            With a row for each value, and the columns "penalised_log_likelihood", "below_best",
            "n_times", "smallest_share" and "is_spurious".

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        values = self.penalised_log_likelihoods
        columns = {
            "penalised_log_likelihood": values,
            "below_best": [values[0] - value for value in values],
            "n_times": self.n_times,
            "smallest_share": self.smallest_shares,
            "is_spurious": self.is_spurious,
        }
        return import_pandas("Maxima.to_frame").DataFrame(columns)
