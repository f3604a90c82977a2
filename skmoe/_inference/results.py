"""What the results of methods have in common, and the smallest of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import shown
from skmoe._inference.labels import default_expert_names
from skmoe._mixture.search import RUNS_OF_SEARCH
from skmoe._numerics.typing import Array
from skmoe._optional import import_pandas

# Width of a text.
WIDTH = 88


class Result:
    """A result that notebooks show as its frame, or as its text without pandas."""

    @abstractmethod
    def to_frame(self) -> Any:
        """The result as a pandas frame."""

    def _repr_html_(self) -> str:
        try:
            table = self.to_frame()._repr_html_()  # it may be switched off by an option of pandas
        except ImportError:
            table = None
        return f"<pre>{escape(repr(self))}</pre>" if table is None else str(table)


def frame_of(result: Any, columns: Any, labels: Any = None, names: Any = None) -> Any:
    """A pandas frame of columns; labels of the rows are of one or several levels, by their names.

    An error of a missing pandas names the result.
    """
    pandas = import_pandas(f"{type(result).__name__}.to_frame")
    if isinstance(names, str):
        labels = pandas.Index(labels, name=names)
    elif names is not None:
        labels = pandas.MultiIndex.from_tuples(labels, names=names)
    return pandas.DataFrame(columns, labels)


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
        text, advice = f"The best maximum was reached by {self.n_times[0]} of", ""
        if self.runs == RUNS_OF_SEARCH:
            text = "The best maximum of"
            advice = " They descend from one mixture: n_init=3 makes three independent searches."
        elif self.runs.startswith("different starts"):
            advice = f" {MORE_STARTS}"
        text += f" {self.n_runs} {self.runs}"
        if len(self.n_times) > 1:
            gap = self.penalised_log_likelihoods[0] - self.penalised_log_likelihoods[1]
            own, other = (f"{100 * share:.1f} %" for share in self.smallest_shares[:2])
            text += f"; the next one has a penalised log-likelihood that is {gap:.2f} lower, at "
            text += f"the penalties of the starts, and a smallest expert of {other} (of the fit: "
            text += f"{own})"
        text += f".{advice}"
        if any(self.is_spurious):
            first = "This" if self.is_spurious[0] else "Another"
            text += f" {first} maximum is spurious: an expert fits a few rows nearly exactly."
        return text


class UnitResponsibilities(Result):
    """Probability that each expert generated the rows of each unit.

    Returned by `responsibilities` with `units`. It serves predictions for rows of units whose
    history is known, as in `predict(X, gate_proba=table.rows(units))`. See "Predictions for units
    with a history" in the user guide.

    Attributes
    ----------
    labels : ndarray of shape (n_units,)
        Labels of the units, in ascending order.
    proba : ndarray of shape (n_units, n_experts)
        Probabilities, which sum to one over the experts.
    expert_names : list of str of length n_experts
        Names of the experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> units = np.repeat(np.arange(40), 5)
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(units % 2 == 0, 1.0, -1.0) * X[:, 0] + 0.1 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    >>> table = moe.fit(X, y, units=units).responsibilities(X, y, units=units)
    >>> table
    UnitResponsibilities(40 units, 2 experts)
    >>> known = table.rows([0, 1, 2])
    >>> moe.predict([[1.0], [1.0], [1.0]], gate_proba=known).round(0)
    array([ 1., -1.,  1.])
    """

    def __init__(
        self, labels: Array, proba: Array, expert_names: Sequence[str] | None = None
    ) -> None:
        self.labels = labels
        self.proba = proba
        names = default_expert_names(proba.shape[1]) if expert_names is None else expert_names
        self.expert_names = list(names)

    def __repr__(self) -> str:
        n_units, n_experts = self.proba.shape
        return f"UnitResponsibilities({n_units} units, {n_experts} experts)"

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, units: Any, new: Any = None) -> Array:
        """Probabilities of the experts for rows of the units.

        Parameters
        ----------
        units : array-like of shape (n_samples,)
            Labels of the units of rows, in any order.
        new : array-like of shape (n_samples, n_experts), default=None
            Probabilities for rows of units that are not in the table, such as `predict_gate(X)` of
            the same rows. None refuses such units.

        Returns
        -------
        gate_proba : ndarray of shape (n_samples, n_experts)
            For the argument `gate_proba` of predictions.

        Raises
        ------
        ValueError
            If a unit is not in the table and `new` is None, or if `new` has another shape.
        """
        wanted = np.asarray(units)
        index = {label: i for i, label in enumerate(self.labels.tolist())}
        position = np.array([index.get(label, -1) for label in wanted.tolist()], dtype=int)
        is_new = position < 0
        proba = self.proba[position]
        if not is_new.any():
            return proba
        if new is None:
            unknown = wanted[is_new.argmax()]
            raise ValueError(
                f"units must be in the table; {shown(unknown)} is not. Pass new=predict_gate(X), "
                "the probabilities of the gate for units without history."
            )
        prior = np.asarray(new, dtype=np.float64)
        if prior.shape != proba.shape:
            raise ValueError(
                f"new must have shape (n_samples, n_experts) = {proba.shape}; got {prior.shape}. "
                "Pass predict_gate(X) of the same rows."
            )
        return np.where(is_new[:, None], prior, proba)

    def to_frame(self) -> Any:
        """The table as a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_units, n_experts)
            Indexed by the labels of the units, with the names of the experts as columns.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns = dict(zip(self.expert_names, self.proba.T, strict=True))
        return frame_of(self, columns, self.labels, "unit")
