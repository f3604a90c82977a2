"""TrajectoriesDisplay: mean courses of units in groups, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import has_bounds
from skmoe._data.rows import Rows
from skmoe._estimators.methods.inference import infer_means
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._inference.labels import feature_labels
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import check_coverage
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.inspection._experts import RowsOverFeature
from skmoe.inspection._grid import N_POINTS, FeatureAxis, feature_axis
from skmoe.inspection._series import check_independent

# Opacity of units and rows, above which mean courses are seen.
UNIT_OPACITY = 0.3

# Quantiles of the times of an expert between which its course is drawn.
ENDS = np.array([0.01, 0.99])

# Observed means are at each time, if there are no more, and otherwise in this many intervals. They
# are of at least this many rows.
MAX_TIMES, N_INTERVALS, MIN_ROWS = 20, 12, 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class TrajectoriesDisplay(RowsOverFeature):
    """Mean course of each expert over time, with the units that belong to it.

    There is a panel for each expert, a group of trajectories. The thick curve is its prediction
    with the other features at their medians, from the first to the last hundredth of the times of
    its rows. The band is a confidence interval of this mean, by the delta method from `inference`.
    Points are means of the observed y, weighted by the responsibilities: at each time, or if there
    are many times in intervals with about as many rows. The thin lines are units that are assigned
    to the expert, since it has their largest responsibility; rows without units are points. Above a
    panel is its mean responsibility, the share of the group.

    Of classes, and of a y of 0 and 1, the courses are shares; marks at the top are rows of the
    class, or of 1, and those at the bottom the others. Censored values are drawn at their bounds,
    without means. See "Trajectories for a paper" in the user guide.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    panels : list of TrajectoriesDisplay, default=None
        The displays of several classes; None for one.
    target_name : str
        Label of the axis of y.
    grid : ndarray of shape (n_points,)
        Values of time; positions of categories.
    curves : ndarray of shape (n_points, n_experts)
        Predictions of each expert, in the units of y, or its probabilities of the class. NaN beyond
        the times of its rows.
    coverage : float or None
        Nominal coverage of the bands.
    x, y : ndarray of shape (n_shown,)
        The rows shown; for classes y is 1 for the class and 0 for the others.
    assigned_expert : ndarray of shape (n_shown,)
        The expert with the largest responsibility for each of them, or for its unit.
    is_probability : bool, default=False
        Whether the curves are probabilities of a class, or y is 0 or 1.
    units : ndarray of shape (n_shown,), default=None
        Labels of the units of the rows shown; None for rows without units.
    exposure : ndarray of shape (n_shown,), default=None
        Exposures of the rows shown, per unit of which y is given; None without an offset.
    categories : list of str of length n_points, default=None
        Labels of times that are categories.
    time_name : str
        Label of the axis of time.
    bands : list of ndarray of shape (n_points, 2), or None
        Confidence intervals of the mean of each expert.
    mean_times, means : ndarray of shape (n_times, n_experts), or None
        Mean times, and means of the observed y there, weighted by the responsibilities of each
        expert; NaN where it has no rows. None for censored y.
    shares : ndarray of shape (n_experts,)
        Mean responsibilities.
    n_units : int, default=None
        Number of units, of which some are shown; None for rows without units.

    Attributes
    ----------
    ax_ : ndarray of matplotlib axes of shape (n_experts,)
        Axes of the plot; of several classes one after another.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        The mean courses.
    bands_ : list of matplotlib collections
        The confidence intervals.
    points_ : list of matplotlib lines
        The means of the observed y.
    unit_lines_ : list of matplotlib collections
        Lines of the units of each panel, or its rows.

    See Also
    --------
    skmoe.recipes.trajectories : A mixture of courses over time.
    ExpertsDisplay : The experts over any feature, in one panel.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import TrajectoriesDisplay
    >>> from skmoe.recipes import trajectories
    >>> unit, year = np.repeat(np.arange(40), 5), np.tile(np.arange(5.0), 40)
    >>> y = np.where(unit % 3, year, 4.0 - year) + np.random.default_rng(0).normal(size=200)
    >>> X = year[:, None]
    >>> groups = trajectories(2, time=0, degree=1, random_state=0).fit(X, y, units=unit)
    >>> TrajectoriesDisplay.from_estimator(groups, X, y, units=unit).curves[[0, -1]].round(0)
    array([[0., 4.],
           [4., 0.]])
    """

    time_name: str
    bands: Sequence[Array] | None
    mean_times: Array | None
    means: Array | None
    shares: Array
    n_units: int | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        time: Any = 0,
        units: Any = None,
        target: Any = None,
        coverage: float | None = 0.95,
        subsample: int | None = 1000,
        expert_names: Sequence[str] | None = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the courses of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one, such as `trajectories`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to show, as the pipeline takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        time : int or str, default=0
            The feature along the horizontal axis, by index or name.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        target : class label or int, default=None
            The class whose probability is drawn, or the index of the output, which is needed for
            several outputs. None is `classes_[1]` of two classes, and panels for each of more.
        coverage : float, default=0.95
            Nominal coverage of the confidence intervals. None for no band; experts without
            standard errors, such as trees, have none.
        subsample : int, default=1000
            Number of rows to show, a random sample that is the same each time; None for all. With
            `units` it consists of whole units.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`. Their y is drawn per unit of
            exposure, as are the curves.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on, one for each panel, or a single one that the panels replace. None for
            new ones.

        Returns
        -------
        display : TrajectoriesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If the time, the class or the output is missing or unknown, if the coverage is not
            between 0 and 1, or if the number of rows is not at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        mixture = mixture_of(estimator)
        check_independent(mixture, cls.__name__, "Use CourseDisplay, the course of one unit.")
        names = subject.check_names_of_experts(mixture, expert_names)
        coverage = None if coverage is None else check_coverage(coverage)
        (j,) = subject.check_features("time", time, estimator, most=1)
        table = subject.check_table(mixture, X)
        columns = getattr(table, "columns", getattr(estimator, "feature_names_in_", None))
        axis = feature_axis(table, j, feature_labels(columns, table.shape[1])[j], N_POINTS)
        points = axis.points(table)
        rows, has_value = Rows(table, y, None, offset, units), np.isfinite(axis.observed)
        errors = None if coverage is None else infer_means(mixture, points, rows)
        panels = []
        for drawn in subject.observed_rows(mixture, rows, target, at_bounds=True):
            shown = drawn.shown(has_value, subsample)
            times, means, is_inside = _means_over_time(axis, has_value, drawn)
            fields = drawn.over(axis, shown, drawn.observed)
            fields["curves"] = np.where(is_inside, fields["curves"], np.nan)
            bands = None
            if errors is not None and coverage is not None:
                of_experts = subject.confidence_bands(drawn, points, errors, coverage)
                pairs = zip(of_experts, is_inside.T[..., None], strict=True)
                bands = [np.where(is_drawn, band, np.nan) for band, is_drawn in pairs]
            is_binary = bool(np.isin(drawn.observed, (0.0, 1.0)).all())
            is_named = is_classifier(mixture) or not is_binary
            panels.append(
                cls(
                    **fields,
                    time_name=axis.name,
                    target_name=drawn.name if is_named else f"Share of {drawn.name} = 1",
                    bands=bands,
                    coverage=coverage,
                    mean_times=times,
                    means=None if has_bounds(y) else means,
                    shares=drawn.shares,
                    n_units=None if units is None else len(np.unique(units)),
                    is_probability=is_binary,
                    expert_names=names,
                )
            )
        return cls._of_panels(panels).plot(ax)

    def _draw(self, ax: Any) -> Any:
        blocks, n_experts = self.panels or [self], len(self.shares)
        n_columns = -(-n_experts // -(-n_experts // draw.MAX_GRID_COLUMNS))
        size = draw.GRID_PANEL_SIZE[0] * max(2 / n_columns, 1.0), draw.GRID_PANEL_SIZE[1]
        panels = self._axes(ax, n_experts * len(blocks), size, n_columns)
        each = zip(panels, product(blocks, range(n_experts)), strict=True)
        drawn = [block.draw_course(axes, k) for axes, (block, k) in each]
        self.lines_, self.bands_, self.points_, self.unit_lines_ = (
            [artist for artist in artists if artist is not None]
            for artists in zip(*drawn, strict=True)
        )
        for i, axes in enumerate(panels):
            if i % n_columns:
                axes.set_ylabel("")
        draw.label_below(panels, [self._caption()], is_own=ax is None)
        return panels

    def draw_course(self, ax: Any, k: int) -> tuple[Any, Any, Any, Any]:
        """Draw the mean course of an expert, its band, observed means, and its units or rows.

        Parameters
        ----------
        ax : matplotlib axes
            Where they are drawn.
        k : int
            Index of the expert.

        Returns
        -------
        line, band, points, members : matplotlib artists or None
            The course, its band, observed means, and units or rows.
        """
        own, curve = np.flatnonzero(self.assigned_expert == k), self.curves[:, k]
        members = self._draw_units(ax, own)
        if members is None:
            members = self._draw_rows(ax, own, s=8.0)
        members.set_alpha(UNIT_OPACITY)
        ax.plot(self.grid, curve, color="white", linewidth=5.0, zorder=2.9)
        (line,) = ax.plot(self.grid, curve, color=draw.colour(k), linewidth=2.5, zorder=3)
        band, points, heights = None, None, [self.curves, *(self.bands or [])]
        if self.bands is not None:
            ends, above = self.bands[k].T, 2.95  # the border of the course
            band = draw.draw_band(ax, self.grid, ends, color=draw.colour(k), zorder=above)
        if self.means is not None and self.mean_times is not None:
            style: dict[str, Any] = {"linestyle": "none", "marker": draw.marker(k), "markersize": 5}
            style |= {"markeredgecolor": draw.colour(k), "markerfacecolor": "white"}
            at = self.mean_times[:, k], self.means[:, k]
            (points,) = ax.plot(*at, **style, zorder=3.5)
            heights.append(self.means)
        self._set_limits(ax, heights, own)
        draw.label_feature(ax, self.time_name, self.categories, "")
        draw.label_target(ax, self.target_name)
        of_units = self.units is not None
        draw.head_expert(ax, k, self.expert_names, self.shares, of_units=of_units)
        return line, band, points, members

    def _caption(self) -> str:
        """What lines, points and bands are."""
        notes = []
        if self.units is not None and not self.is_probability:
            n_shown = len(np.unique(self.units))
            some = f", {n_shown} of {self.n_units} in all" if n_shown < (self.n_units or 0) else ""
            notes.append(f"Thin lines: units of the expert{some}.")
        if self.means is None:
            notes.append("Censored values are at their bounds.")
        else:
            notes.append("Points: observed means, weighted by the responsibilities.")
        if self.coverage is not None and self.bands is not None:
            notes.append(f"Band: {100 * self.coverage:.3g} % confidence interval of the mean.")
        return " ".join(notes)


def _means_over_time(
    axis: FeatureAxis, has_value: Array, drawn: subject.ObservedRows
) -> tuple[Array, Array, Array]:
    """Mean times (T, K) and means of y there (T, K), and whether points of the grid are drawn.

    An expert is drawn from its first to its last time. Where it has no more than a row, or is not
    drawn, means are NaN.
    """
    x, y, resp = axis.observed[has_value], drawn.observed[has_value], drawn.resp[has_value]
    ends = np.stack([weighted_quantiles(x, weight, ENDS) for weight in resp.T], axis=1)
    margin = 1e-9 * (ends[1] - ends[0])

    def is_inside(times: Array) -> Array:
        return (times >= ends[0] - margin) & (times <= ends[1] + margin)

    distinct, number = np.unique(x, return_inverse=True)
    if len(distinct) > MAX_TIMES:
        edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, N_INTERVALS + 1)[1:-1]))
        number = np.searchsorted(edges, x, side="right")
    member = np.eye(number.max() + 1)[number.ravel()].T
    weight = resp  # means per unit of exposure are weighted by it
    weight = weight if drawn.exposure is None else resp * drawn.exposure[has_value, None]
    with np.errstate(invalid="ignore"):
        total = member @ weight
        times = member @ (weight * x[:, None]) / total
        means = member @ (weight * y[:, None]) / total
    is_drawn = (member @ resp >= MIN_ROWS) & is_inside(times)
    return times, np.where(is_drawn, means, np.nan), is_inside(axis.positions[:, None])
