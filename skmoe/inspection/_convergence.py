"""ConvergenceDisplay: how EM climbed, from every start."""

from __future__ import annotations

import numpy as np

from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_mixture
from skmoe.inspection._style import INK, PALE, colour, merged, one_axes

# The steep first iterations would flatten what matters: the axis begins this far below the top,
# in heights of the scatter of the ends.
HEADROOM = 3.0


class ConvergenceDisplay:
    """Bounds that EM reached, iteration by iteration, from every start.

    The kept run is the thick line, each other start a thin one that ends in a mark where it was
    dropped. Starts whose ends lie close together say that the optimum found is a stable one; the
    start that won is drawn as part of the kept run. Of fits of more than 20 000 distinct rows the
    starts ran on a sample, whose bounds differ a little from those of all rows.

    Parameters
    ----------
    lower_bounds : ndarray of shape (n_iter,)
        Penalised log-likelihood per row after each iteration of the kept run.
    start_traces : list of ndarray
        The same of each start.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the picture.
    figure_ : matplotlib figure
        Figure of the picture.
    line_ : matplotlib line
        The kept run.
    start_lines_ : list of matplotlib lines
        The starts.
    start_ends_ : matplotlib line
        Marks where the starts ended.
    legend_ : matplotlib legend
        What is what.

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
    4
    """

    def __init__(self, *, lower_bounds, start_traces):
        self.lower_bounds = lower_bounds
        self.start_traces = start_traces

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the bounds of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ConvergenceDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator is not a mixture of experts.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_mixture(estimator)
        display = cls(lower_bounds=estimator.lower_bounds_, start_traces=estimator.start_traces_)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the bounds.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for the kept run.

        Returns
        -------
        display : ConvergenceDisplay
            This display.
        """
        ax = one_axes(ax, f"{type(self).__name__}.plot")
        self.start_lines_ = []
        for trace in self.start_traces:
            steps = np.arange(1, len(trace) + 1)
            self.start_lines_ += ax.plot(steps, trace, color=PALE, linewidth=1.2)
        ends = [(len(trace), trace[-1]) for trace in self.start_traces]
        style = {"color": colour(0), "linewidth": 2.5, "label": "kept run"}
        steps = np.arange(1, len(self.lower_bounds) + 1)
        (self.line_,) = ax.plot(steps, self.lower_bounds, **merged(style, kwargs))
        (self.start_ends_,) = ax.plot(
            *np.transpose(ends), "o", color=INK, markersize=5, label="end of a start"
        )
        ax.set(xlabel="Iteration of EM", ylabel="Penalised log-likelihood per row")
        ax.xaxis.get_major_locator().set_params(integer=True)
        self._show_the_top(ax)
        starts = self.start_lines_[0]
        starts.set_label("starts")
        self.legend_ = ax.legend(handles=[self.line_, starts, self.start_ends_], loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _show_the_top(self, ax):
        """Leave out the part of the first, steep iterations that would flatten the rest."""
        everything = np.concatenate([self.lower_bounds, *self.start_traces])
        ends = [trace[-1] for trace in self.start_traces] + [self.lower_bounds[-1]]
        later = np.concatenate([trace[3:] for trace in [self.lower_bounds, *self.start_traces]])
        if not len(later):
            return
        top, least = everything.max(), min(later.min(), *ends)
        bottom = max(everything.min(), top - HEADROOM * (top - least))
        margin = 0.05 * (top - bottom)
        if margin > 0.0:
            ax.set_ylim(bottom - margin, top + margin)
