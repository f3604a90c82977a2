"""What the starts or searches of a fit have found: the best value, how often, and the others."""

from __future__ import annotations

from typing import Any, NamedTuple

from skmoe._optional import import_pandas


class Maxima(NamedTuple):
    """Values that the starts or searches of a fit have reached, the best one first.

    The fitted attribute `maxima_`; it is not constructed by hand. Values that differ by less than
    0.05, or by less than `tol` per row, count as one. They are penalised log-likelihoods, at the
    penalties at which starts are compared: those from which `fit` searches for others. Starts of
    large tables run on a sample, whose values are scaled to all rows.

    It is empty where nothing was compared: after a warm start or given responsibilities, and for
    an average of starts of which each has found its own penalties.

    Attributes
    ----------
    log_likelihoods : tuple of float
        Penalised log-likelihoods of all rows, the best first.
    n_times : tuple of int
        How often each of them was reached.
    smallest_shares : tuple of float
        Smallest share of the rows, or units, that an expert has there.
    runs : str
        What is counted: "searches" (`init="search"` with several), "runs of the search" (with
        one), "starts", or the "starts that converged or ran longest" where others were dropped.
    kept : int
        Index, in `start_lower_bounds_`, of the start or search that went on to the fit: the best of
        those without a noise variance at its floor.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(2, n_init=3, combine="best_converged", random_state=0)
    >>> print(moe.fit(X, np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])).maxima_)
    The best log-likelihood was reached by 3 of 3 starts.
    """

    log_likelihoods: tuple[float, ...] = ()
    n_times: tuple[int, ...] = ()
    smallest_shares: tuple[float, ...] = ()
    runs: str = ""
    kept: int = 0

    @property
    def n_runs(self) -> int:
        """Number of starts or searches that are counted."""
        return sum(self.n_times)

    @property
    def reached(self) -> str:
        """How often the best value was reached, such as "3 of 4 starts"."""
        return f"{sum(self.n_times[:1])} of {self.n_runs} {self.runs.partition(' ')[0]}".strip()

    def __str__(self) -> str:
        if not self.n_times:
            return "No starts were compared."
        text = f"The best log-likelihood was reached by {self.n_times[0]} of {self.n_runs} "
        text += self.runs
        if len(self.n_times) > 1:
            gap = self.log_likelihoods[0] - self.log_likelihoods[1]
            text += f"; the next one is {gap:.2f} lower, with a smallest expert of "
            text += f"{100 * self.smallest_shares[1]:.1f} % (of the best: "
            text += f"{100 * self.smallest_shares[0]:.1f} %)"
        return f"{text}."

    def to_frame(self) -> Any:
        """The values as a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            With a row for each value, and the columns "log_likelihood", "below_best", "n_times" and
            "smallest_share".

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns = {
            "log_likelihood": self.log_likelihoods,
            "below_best": [self.log_likelihoods[0] - value for value in self.log_likelihoods],
            "n_times": self.n_times,
            "smallest_share": self.smallest_shares,
        }
        return import_pandas("Maxima.to_frame").DataFrame(columns)
