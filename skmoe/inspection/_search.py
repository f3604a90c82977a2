"""Displays of how a fit came about: starts, numbers of experts, and how surely rows belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._data.rows import Rows
from skmoe._inference.comparisons import NExpertsTable
from skmoe._inference.labels import counted_noun
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

# Height of the vertical axis in units of the range of the late lower bounds; the steep first
# iterations would otherwise determine it.
Y_RANGE_FACTOR = 3.0

# Iterations of each run that are left out of that range.
N_STEEP_ITER = 3


@dataclass(kw_only=True, eq=False, repr=False)
class ConvergenceDisplay(draw.Display):
    """Lower bounds of EM after each iteration, for every start.

    The thick line is the start that was kept, which went on to the fit, and each other start is a
    thin one. Its end has a filled mark if it has converged, and an open one if it was dropped
    before. Only converged starts can be compared: ends that are close together found the same
    maximum, which others may exceed. See "Starts and the maximum" in the user guide.

    Only lower bounds at the same penalties, of the same rows, can be compared. Where `fit` finds
    penalties, or where starts ran on a sample of the rows, the thick line ends where the kept start
    ended. Otherwise it goes on to the end of the fit.

    Parameters
    ----------
    lower_bounds : ndarray of shape (n_iter,)
        Penalised log-likelihood per row, in nats, after each iteration of the thick line.
    start_traces : list of ndarray
        The same of each start, up to where it ended or was dropped.
    start_converged : ndarray of bool of shape (n_starts,)
        Whether each start has converged.
    kept : int
        Index of the start that was kept.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    line_ : matplotlib line
        The start that was kept, up to the end of the fit if it is comparable.
    start_lines_ : list of matplotlib lines
        The starts, with a mark at the end, which is open for those that were dropped.
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
    start_converged: Array
    kept: int

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the lower bounds of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

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
        estimator = subject.drawn_mixture(cls, estimator)[0]
        traces, kept = estimator.start_traces_, estimator.maxima_.kept
        lower_bounds = estimator.lower_bounds_
        if not np.array_equal(lower_bounds[: len(traces[kept])], traces[kept]):
            lower_bounds = traces[kept]  # the fit went on with other penalties, or other rows
        return cls(
            lower_bounds=lower_bounds,
            start_traces=traces,
            start_converged=estimator.start_converged_,
            kept=kept,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        (ax,) = self._axes(ax)
        self.start_lines_: list[Any] = []
        thin = {"color": draw.LIGHT_GREY, "linewidth": 1.2, "markersize": 5, "markevery": [-1]}
        for trace, has_converged in zip(self.start_traces, self.start_converged, strict=True):
            fill, label = ("full", "converged") if has_converged else ("none", "dropped before")
            thin |= {"fillstyle": fill, "label": label}
            at = np.arange(1, len(trace) + 1)
            self.start_lines_ += ax.plot(at, trace, "o-", **thin)
        style = {"color": draw.colour(0), "linewidth": 2.5, "label": "kept start"}
        at = np.arange(1, len(self.lower_bounds) + 1)
        (self.line_,) = ax.plot(at, self.lower_bounds, **style)
        end = len(self.start_traces[self.kept]), self.start_traces[self.kept][-1]
        style = {"color": draw.colour(0), "markersize": 8, "label": "chosen here"}
        (self.kept_end_,) = ax.plot(*end, "D", **style)
        ax.set(xlabel="Iteration of EM", ylabel="Penalised log-likelihood per row")
        ax.xaxis.get_major_locator().set_params(integer=True)
        # The first, steep iterations are left out of the vertical axis.
        traces = [*self.start_traces, self.lower_bounds]
        late = np.concatenate([trace[min(N_STEEP_ITER, len(trace) - 1) :] for trace in traces])
        values = np.concatenate(traces)
        top, height = values.max(), Y_RANGE_FACTOR * (values.max() - late.min()) or np.inf
        bottom = max(values.min(), top - height)
        margin = 0.05 * (top - bottom) or 1.0
        ax.set_ylim(bottom - margin, top + margin)
        kinds = {line.get_label(): line for line in self.start_lines_}
        handles = [self.line_, self.kept_end_, *kinds.values()]
        self.legend_ = ax.legend(handles=handles, loc="lower right")
        return ax


@dataclass(kw_only=True, eq=False, repr=False)
class NumberOfExpertsDisplay(draw.Display):
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
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the selection of a fitted mixture, or the BIC of a table of numbers.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor, MixtureOfExpertsClassifier or NExpertsTable
            Mixture fitted with `n_experts` "auto", "aic", "bic" or "icl", or with candidates; or
            the result of `n_experts_table`.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

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
        if isinstance(estimator, NExpertsTable):
            chosen, scores = estimator.best("bic"), -estimator.columns["bic"]
            own: Any = {"tried": estimator.n_experts, "scores": scores, "chosen": chosen}
            return cls(score_name="-BIC", **own).plot(ax)
        estimator = subject.drawn_mixture(cls, estimator)[0]
        if not hasattr(estimator, "n_experts_tried_"):
            number = getattr(estimator, "n_experts", estimator.n_experts_)
            raise ValueError(
                f"{cls.__name__} needs a mixture that chose its number of experts; got "
                f'n_experts={number!r}. Fit with n_experts="auto".'
            )
        errors = getattr(estimator, "n_experts_score_errors_", None)  # of held-out rows only
        score_name = "Penalised log density of held-out rows"
        return cls(
            tried=estimator.n_experts_tried_,
            scores=estimator.n_experts_scores_,
            chosen=estimator.n_experts_,
            score_name=f"-{estimator.n_experts.upper()}" if errors is None else score_name,
            errors=errors,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        (ax,) = self._axes(ax)
        style = {"color": draw.colour(0), "marker": "o", "linewidth": 2.0, "label": "tried"}
        (self.line_,) = ax.plot(self.tried, self.scores, **style)
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


@dataclass(kw_only=True, eq=False, repr=False)
class ResponsibilitiesDisplay(draw.Display):
    """Usage of the experts, and certainty with which rows are assigned to them.

    Each row is assigned to the expert with the largest responsibility. Left: the mean
    responsibility of each expert. Right: its responsibilities for the rows assigned to it, a box
    between the quartiles with whiskers from the 5th to the 95th percentile; at the dashed line all
    experts are equally probable. Boxes near one mean that the regimes are separate, boxes near the
    dashed line that they overlap. Where units are given, such as customers or patients, these are
    counted instead of rows. See "Displays" in the user guide.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    responsibilities : ndarray of shape (n_samples, n_experts) or (n_units, n_experts)
        Probability that each expert generated each row, or each unit.
    of_units : bool, default=False
        Whether they are of units.

    Attributes
    ----------
    usage : ndarray of shape (n_experts,)
        Mean responsibility.
    certainty : list of ndarray
        Responsibilities of each expert for the rows or units assigned to it.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    usage_bars_ : matplotlib bars
        The bars on the left.
    boxes_ : list of matplotlib patches
        The boxes on the right, one for each expert with rows.

    See Also
    --------
    SegmentProfileDisplay : Which rows each expert describes.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import ResponsibilitiesDisplay
    >>> responsibilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.75, 0.25], [0.0, 1.0]])
    >>> names = ["calm", "wild"]
    >>> display = ResponsibilitiesDisplay(expert_names=names, responsibilities=responsibilities)
    >>> display.usage
    array([0.625, 0.375])
    """

    expert_names: Sequence[str]
    responsibilities: Array
    of_units: bool = False

    @property
    def usage(self) -> Array:
        """Mean responsibility of each expert."""
        return self.responsibilities.mean(axis=0)

    @property
    def certainty(self) -> list[Array]:
        """Responsibilities of each expert for the rows or units that are assigned to it."""
        assigned_expert = self.responsibilities.argmax(axis=1)
        return [resp[assigned_expert == k] for k, resp in enumerate(self.responsibilities.T)]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        known_experts: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the responsibilities of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, which are then counted; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.

        Returns
        -------
        display : ResponsibilitiesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If rows are not as in `responsibilities`.
        """
        estimator, X, *_, names = subject.drawn_mixture(cls, estimator, X)
        rows = Rows(X, y, None, offset, units, possible=known_experts, time=time)
        resp = subject.responsibilities(estimator, rows)
        resp, of_units = getattr(resp, "proba", resp), hasattr(resp, "proba")
        return cls(responsibilities=resp, of_units=of_units, expert_names=names).plot(ax)

    def _draw(self, ax: Any) -> Any:
        axes = self._axes(ax, 2, draw.TWO_PANELS_SIZE)
        colours = [draw.colour(k) for k in range(len(self.usage))]
        self.usage_bars_ = axes[0].bar(range(len(colours)), self.usage, 0.6, color=colours)
        axes[0].set_ylabel(f"Share of the {counted_noun(self.of_units)}s")
        certainty = {k: rows for k, rows in enumerate(self.certainty) if len(rows)}
        style: dict[str, Any] = {"medianprops": {"color": "black", "linewidth": 2}, "widths": 0.6}
        style |= {"whis": (5, 95), "showfliers": False, "patch_artist": True}
        boxes = axes[1].boxplot(list(certainty.values()), positions=list(certainty), **style)
        self.boxes_ = boxes["boxes"]
        for k, box in zip(certainty, self.boxes_, strict=True):
            box.set_facecolor(draw.colour(k))
        label = "all experts equally probable"
        line = axes[1].axhline(1.0 / len(self.usage), label=label, **draw.REFERENCE)
        draw.legend_above(axes[1], [line])
        axes[1].set_ylabel(f"Responsibility for assigned {counted_noun(self.of_units)}s")
        axes[1].set_ylim(0.0, 1.03)
        for cells in axes:
            cells.set_xlabel("Expert")
            draw.label_categories(cells, draw.beside_marks(self.expert_names))
        return axes
