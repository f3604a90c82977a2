"""ConvergenceDisplay: the lower bounds of EM, for every start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, merged, one_axes

# Height of the vertical axis in units of the range of the late lower bounds; the steep first
# iterations would otherwise determine it.
Y_RANGE_FACTOR = 3.0

# Iterations of each run that are left out of that range.
N_STEEP_ITER = 3


@dataclass(kw_only=True, eq=False, repr=False)
class ConvergenceDisplay:
    """Lower bounds of EM after each iteration, for every start.

    The final run is the thick line, each start a thin one. A start that has converged has a filled
    mark at its end, one that was dropped before has an open one. Only ends with filled marks can be
    compared: those that are close together found the same optimum. With `combine="best_converged"`
    all starts converge. The selected start is part of the final run. See "How it is fitted" in the
    user guide.
    In fits of more than 20 000 distinct rows the starts ran on a sample, whose lower bounds differ
    a little from those of all rows.

    Parameters
    ----------
    lower_bounds : ndarray of shape (n_iter,)
        Penalised log-likelihood per row, in nats, after each iteration of the final run.
    start_traces : list of ndarray
        The same of each start.
    start_converged : ndarray of bool of shape (n_starts,), default=None
        Whether each start has converged; None if all have.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    line_ : matplotlib line
        The final run.
    start_lines_ : list of matplotlib lines
        The starts.
    start_ends_ : matplotlib line
        Marks at the ends of the starts that have converged.
    dropped_ends_ : matplotlib line
        Marks at the ends of the others.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    NumberOfExpertsDisplay : Scores of the numbers of experts that a fit tried.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import ConvergenceDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(moe)
    >>> len(display.start_lines_)
    20
    """

    lower_bounds: Array
    start_traces: Sequence[Array]
    start_converged: Array | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the lower bounds of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ConvergenceDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator = find_mixture(estimator).mixture
        display = cls(
            lower_bounds=estimator.lower_bounds_,
            start_traces=estimator.start_traces_,
            start_converged=estimator.start_converged_,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the lower bounds.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for the final run.

        Returns
        -------
        display : ConvergenceDisplay
            This display.
        """
        ax = one_axes(ax, f"{type(self).__name__}.plot")
        self.start_lines_: list[Any] = []
        for trace in self.start_traces:
            iterations = np.arange(1, len(trace) + 1)
            self.start_lines_ += ax.plot(iterations, trace, color=LIGHT_GREY, linewidth=1.2)
        ends = np.array([(len(trace), trace[-1]) for trace in self.start_traces])
        converged = np.ones(len(ends), dtype=bool)
        if self.start_converged is not None:
            converged = np.asarray(self.start_converged, dtype=bool)
        style = {"color": colour(0), "linewidth": 2.5, "label": "kept run"}
        iterations = np.arange(1, len(self.lower_bounds) + 1)
        (self.line_,) = ax.plot(iterations, self.lower_bounds, **merged(style, kwargs))
        marks = {"marker": "o", "linestyle": "none", "color": DARK_GREY, "markersize": 5}
        (self.start_ends_,) = ax.plot(*ends[converged].T, **marks, label="converged")
        (self.dropped_ends_,) = ax.plot(
            *ends[~converged].T, **marks, fillstyle="none", label="dropped before"
        )
        ax.set(xlabel="Iteration of EM", ylabel="Penalised log-likelihood per row")
        ax.xaxis.get_major_locator().set_params(integer=True)
        self._limit_y_axis(ax)
        starts = self.start_lines_[0]
        starts.set_label("starts")
        shown = [self.line_, starts]
        shown += [self.start_ends_] if converged.any() else []
        shown += [] if converged.all() else [self.dropped_ends_]
        self.legend_ = ax.legend(handles=shown, loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _limit_y_axis(self, ax: Any) -> None:
        """Leave the lower bounds of the first, steep iterations out of the vertical axis."""
        traces = [self.lower_bounds, *self.start_traces]
        lower_bounds = np.concatenate(traces)
        late = np.concatenate([trace[N_STEEP_ITER:] for trace in traces])
        if not len(late):
            return
        top, lowest = lower_bounds.max(), min(late.min(), *(trace[-1] for trace in traces))
        bottom = max(lower_bounds.min(), top - Y_RANGE_FACTOR * (top - lowest))
        margin = 0.05 * (top - bottom)
        if margin > 0.0:
            ax.set_ylim(bottom - margin, top + margin)
