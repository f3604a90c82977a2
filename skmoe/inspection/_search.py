"""Displays of the search: lower bounds of EM for every start, scores of numbers of experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection._subject import drawn_mixture

# Height of the vertical axis in units of the range of the late lower bounds; the steep first
# iterations would otherwise determine it.
Y_RANGE_FACTOR = 3.0

# Iterations of each run that are left out of that range.
N_STEEP_ITER = 3


@dataclass(kw_only=True, eq=False, repr=False)
class ConvergenceDisplay(draw.StyledDisplay):
    """Lower bounds of EM after each iteration, for every start.

    The thick line is the start that was kept, which went on to the fit, and each other start is a
    thin one. Its end has a filled mark if it has converged, and an open one if it was dropped
    before. Only converged starts can be compared: ends that are close together found the same
    optimum. See "Starts and the maximum" in the user guide.

    Only lower bounds at the same penalties, of the same rows, can be compared. Where `fit` finds
    penalties, or where starts ran on a sample of the rows, the thick line ends where the kept start
    ended. Otherwise it goes on to the end of the fit.

    Parameters
    ----------
    lower_bounds : ndarray of shape (n_iter,)
        Penalised log-likelihood per row, in nats, after each iteration of the thick line.
    start_traces : list of ndarray
        The same of each start, up to where it ended or was dropped.
    start_converged : ndarray of bool of shape (n_starts,), default=None
        Whether each start has converged; None if all have.
    kept : int, default=None
        Index of the start that was kept; None if `lower_bounds` continue no start.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    line_ : matplotlib line
        The start that was kept, up to the end of the fit if it is comparable.
    start_lines_ : list of matplotlib lines
        The starts.
    start_ends_ : matplotlib line
        Marks at the ends of the starts that have converged.
    dropped_ends_ : matplotlib line
        Marks at the ends of those that were dropped.
    kept_end_ : matplotlib line
        Mark where the kept start was chosen.
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
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, n_init=4, random_state=0).fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(moe)
    >>> len(display.start_lines_)
    4
    """

    lower_bounds: Array
    start_traces: Sequence[Array]
    start_converged: Array | None = None
    kept: int | None = None

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
            Passed to matplotlib's `plot` for the thick line.

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
        estimator = drawn_mixture(cls, kwargs, estimator)[0]
        traces, kept = estimator.start_traces_, estimator.maxima_.kept
        lower_bounds = estimator.lower_bounds_
        if not np.array_equal(lower_bounds[: len(traces[kept])], traces[kept]):
            lower_bounds = traces[kept]  # the fit went on with other penalties, or other rows
        display = cls(
            lower_bounds=lower_bounds,
            start_traces=traces,
            start_converged=estimator.start_converged_,
            kept=kept,
        )
        return display.plot(ax=ax, **kwargs)

    def _draw(self, ax: Any, **kwargs: Any) -> Any:
        (ax,) = self._axes(ax)
        traces, n_starts = [*self.start_traces, self.lower_bounds], len(self.start_traces)
        self.start_lines_: list[Any] = []
        for trace in traces[:-1]:
            thin = {"color": draw.LIGHT_GREY, "linewidth": 1.2}
            self.start_lines_ += ax.plot(np.arange(1, len(trace) + 1), trace, **thin)
        self.start_lines_[0].set_label("starts")
        style = draw.merged(
            {"color": draw.colour(0), "linewidth": 2.5, "label": "kept start"}, kwargs
        )
        (self.line_,) = ax.plot(np.arange(1, len(traces[-1]) + 1), traces[-1], **style)
        ends = np.array([(len(trace), trace[-1]) for trace in traces[:-1]])
        has_converged = np.broadcast_to(
            True if self.start_converged is None else self.start_converged, n_starts
        )
        is_kept = np.arange(n_starts) == (-1 if self.kept is None else self.kept)
        marks = {"marker": "o", "linestyle": "none", "color": draw.DARK_GREY, "markersize": 5}
        kept = marks | {"marker": "D", "color": draw.colour(0), "markersize": 8}
        self.start_ends_, self.dropped_ends_, self.kept_end_ = drawn = [
            ax.plot(*ends[chosen].T, label=label, **style)[0]
            for label, chosen, style in (
                ("converged", has_converged, marks),
                ("dropped before", ~has_converged & ~is_kept, marks | {"fillstyle": "none"}),
                ("chosen here", is_kept, kept),
            )
        ]
        ax.set(xlabel="Iteration of EM", ylabel="Penalised log-likelihood per row")
        ax.xaxis.get_major_locator().set_params(integer=True)
        # The first, steep iterations are left out of the vertical axis.
        late = np.concatenate([trace[N_STEEP_ITER:] for trace in traces])
        if len(late):
            values = np.concatenate(traces)
            top, lowest = values.max(), min(late.min(), *(trace[-1] for trace in traces))
            bottom = max(values.min(), top - Y_RANGE_FACTOR * (top - lowest))
            margin = 0.05 * (top - bottom)
            if margin > 0.0:
                ax.set_ylim(bottom - margin, top + margin)
        handles = [self.line_, self.start_lines_[0], drawn[2], *drawn[:2]]
        shown = [handle for handle in handles if len(handle.get_xdata())]
        self.legend_ = ax.legend(handles=shown, loc="lower right")
        return ax


@dataclass(kw_only=True, eq=False, repr=False)
class NumberOfExpertsDisplay(draw.StyledDisplay):
    """Scores of the numbers of experts that a fit tried, and the number that it selected.

    Error bars are standard errors of the differences from the best score, the dashed line. The
    number selected is the smallest that is not worse by two of them. With a criterion there are
    no bars, and the best score is selected. See "How many experts" in the user guide, and "How many
    experts?" in the gallery.

    Parameters
    ----------
    tried : array-like of shape (n_numbers,)
        Numbers of experts.
    scores : array-like of shape (n_numbers,)
        Held-out log-likelihood per row, or the negative criterion; larger is better.
    chosen : int
        The number selected.
    score_name : str
        Label of the scores.
    errors : array-like of shape (n_numbers,), default=None
        Standard errors of the differences from the best score, of held-out rows.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    line_ : matplotlib line
        The scores.
    mark_ : matplotlib line
        The number selected.
    error_bars_ : matplotlib container or None
        The standard errors.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    skmoe.model_selection.n_experts_table : Criteria of several numbers of experts.
    skmoe.model_selection.n_experts_test : A test of K experts against K + 1.
    ConvergenceDisplay : Lower bounds of EM for every start.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import NumberOfExpertsDisplay
    >>> rng = np.random.default_rng(1)
    >>> X = rng.uniform(-3, 3, size=(100, 1))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * rng.normal(size=100)
    >>> moe = MixtureOfExpertsRegressor("auto", n_init=1, random_state=0).fit(X, y)
    >>> NumberOfExpertsDisplay.from_estimator(moe).chosen
    2
    """

    tried: Sequence[int]
    scores: Sequence[float]
    chosen: int
    score_name: str
    errors: Sequence[float] | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the selection of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Mixture fitted with `n_experts` "auto", "aic", "bic" or "icl", or with candidates.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for the scores.

        Returns
        -------
        display : NumberOfExpertsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If its number of experts was given.
        """
        estimator = drawn_mixture(cls, kwargs, estimator)[0]
        if not hasattr(estimator, "n_experts_tried_"):
            number = getattr(estimator, "n_experts", estimator.n_experts_)
            raise ValueError(
                f"{cls.__name__} needs a mixture that chose its number of experts; got "
                f'n_experts={number!r}. Fit with n_experts="auto".'
            )
        errors = getattr(estimator, "n_experts_score_errors_", None)  # of held-out rows only
        score_name = "Mean log density of held-out rows"
        display = cls(
            tried=estimator.n_experts_tried_,
            scores=estimator.n_experts_scores_,
            chosen=estimator.n_experts_,
            score_name=f"-{estimator.n_experts.upper()}" if errors is None else score_name,
            errors=errors,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_table(
        cls, table: Any, criterion: str = "bic", *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw a criterion of a table of numbers of experts.

        Parameters
        ----------
        table : NExpertsTable
            Result of `skmoe.model_selection.n_experts_table`.
        criterion : {"aic", "bic", "sabic", "caic", "awe", "icl"}, default="bic"
            The criterion.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for the scores.

        Returns
        -------
        display : NumberOfExpertsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such criterion.
        """
        display = cls(
            chosen=table.best(criterion),
            tried=table.n_experts,
            scores=-table.columns[criterion],
            score_name=f"-{criterion.upper()}",
        )
        return display.plot(ax=ax, **kwargs)

    def _draw(self, ax: Any, **kwargs: Any) -> Any:
        (ax,) = self._axes(ax)
        style = {"color": draw.colour(0), "marker": "o", "linewidth": 2.0, "label": "tried"}
        (self.line_,) = ax.plot(self.tried, self.scores, **draw.merged(style, kwargs))
        self.error_bars_: Any = None
        if self.errors is not None:
            bars = {"fmt": "none", "ecolor": draw.DARK_GREY, "elinewidth": 1.2, "capsize": 3}
            bars["label"] = "standard error of the difference"
            self.error_bars_ = ax.errorbar(self.tried, self.scores, yerr=self.errors, **bars)
            best = draw.REFERENCE | {"color": draw.LIGHT_GREY, "zorder": 1}
            ax.axhline(max(self.scores), label="best score", **best)
        score = self.scores[list(self.tried).index(self.chosen)]
        mark = {"markersize": 13, "markeredgewidth": 2.0, "label": f"chosen: {self.chosen}"}
        mark |= {"markerfacecolor": "none", "markeredgecolor": draw.DARK_GREY}
        (self.mark_,) = ax.plot([self.chosen], [score], "o", **mark)
        ax.set(xlabel="Number of experts", ylabel=self.score_name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        self.legend_ = ax.legend(loc="lower right")
        return ax
