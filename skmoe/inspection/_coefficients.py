"""What features do under each expert, and who its rows are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_choice, check_flag, check_integer, check_level
from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, families_of, format_percent, linear_predictors
from skmoe._numerics.typing import Array
from skmoe.exceptions import FitMismatchWarning
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.protocols import LinearPredictor

# Panels of a figure side by side.
MAX_FOREST_COLUMNS = {"feature": 3, "expert": 4}

# Characters of a name beside a row, and in a line of a heading.
ROW_NAME_WIDTH, PANEL_NAME_WIDTH = 30, 30

# Width of a panel without its names, heights of a row and of heading and axis, in inches.
FOREST_WIDTH, FOREST_ROW_HEIGHT, FOREST_FRAME_HEIGHT = 2.5, 0.25, 0.75

# Axes end at this multiple of the largest estimate, and of the end of the median interval: longer
# intervals are cut.
MAX_REACH = 2.5

# Space beyond the longest interval, as a fraction of the axis.
AXIS_MARGIN = 0.06

# Largest log of a ratio that is drawn.
MAX_LOG_RATIO = 200.0

# Number of ticks, at most, and ratio of the ends of an axis up to which they are equidistant.
N_TICKS, MAX_PLAIN_RATIO = 4, 6.0


@dataclass(kw_only=True, eq=False, repr=False)
class CoefficientsDisplay(draw.DisplayOfFeatures):
    """Forest plot of the coefficients: what the features do, under each expert.

    Points are coefficients, and lines confidence intervals, where `inference` is possible. A
    hollow point has no interval, for a reason that `inference` gives. One panel for each feature
    compares the experts, one for each expert the features. Coefficients are those for one
    standard deviation more of a feature, or for one unit more. Logs of ratios, as under a log link,
    and log odds, as of ratings, or of classes against the first class, are drawn as ratios on a
    logarithmic axis. Features that a penalty of their own has dropped (`alpha="ard"`) are hollow,
    at zero.

    An interval that is much longer than the others ends at the frame. See "Displays" in
    the user guide, and "What do pictures of a fit show?" in the gallery.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features that are drawn.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    expert_names : list of str of length n_experts
        Names of the experts.
    coefficients : ndarray of shape (n_shown, n_experts)
        Coefficients of the linear predictors; NaN where there are none. Logs, if they are of
        ratios.
    is_ratio : ndarray of bool of shape (n_experts,)
        Whether the coefficients of an expert are logs of ratios.
    intervals : ndarray of shape (n_shown, n_experts, 2), default=None
        Confidence intervals of the coefficients; NaN where there are none.
    by : {"feature", "expert"}, default="feature"
        What each panel is for.
    coefficient_name : str, default="Coefficient"
        Label of the axis.
    level : float, default=None
        Confidence of the intervals.
    step : str, default="SD"
        Step of the features to which the coefficients belong.

    Attributes
    ----------
    ax_ : ndarray of shape (n_panels,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    points_ : ndarray of shape (n_shown, n_experts) of matplotlib lines
        The estimates; None where there are none.
    lines_ : ndarray of shape (n_shown, n_experts) of matplotlib lines
        The intervals; None where there are none.

    See Also
    --------
    SegmentProfileDisplay : Which rows each expert describes.
    ImportanceDisplay : Effects of the features on the accuracy, for experts of any kind.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import CoefficientsDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = CoefficientsDisplay.from_estimator(moe, X, y, standardize=False)
    >>> np.sort(display.coefficients.round(1))
    array([[-1.,  1.]])
    """

    expert_names: Sequence[str]
    coefficients: Array
    is_ratio: Array
    intervals: Array | None = None
    by: str = "feature"
    coefficient_name: str = "Coefficient"
    level: float | None = None
    step: str = "SD"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        by: str | None = None,
        sample_weight: Any = None,
        units: Any = None,
        time: Any = None,
        offset: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        features: Any = None,
        max_features: int = 12,
        target: Any = None,
        level: float | None = 0.95,
        standardize: bool = True,
        ax: Any = None,
    ) -> Self:
        """Draw the coefficients of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one, whose experts have linear
            predictors.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; those of the fit for confidence intervals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        by : {"feature", "expert"}, default=None
            What each panel is for. None is for a feature, or for an expert where the coefficients
            of some experts are logs of ratios and those of others are not.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in standard deviations and intervals.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest coefficients, the largest first.
        max_features : int, default=12
            Largest number of features if `features` is None.
        target : class label or int, default=None
            The class or the index of the output whose coefficients are drawn, which is needed for
            several outputs. None is all classes but the first, against which they have log odds.
        level : float, default=0.95
            Confidence of the intervals; None for none, which is faster.
        standardize : bool, default=True
            Whether coefficients are those for one standard deviation more of a feature, over the
            rows given; otherwise for one unit more.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which the panels replace, or one for each panel. None for
            new ones.

        Returns
        -------
        display : CoefficientsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If no expert has coefficients, if a feature, the class or the output is missing or
            unknown, or if the level is not between 0
            and 1, or `max_features` is not a positive integer.
        """
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        if not hasattr(estimator, "expert_coef_"):
            expert = getattr(estimator, "expert", None)
            got = type(estimator).__name__ if expert is None else f"expert={expert!r}"
            raise ValueError(
                f"{cls.__name__} needs experts with linear predictors; got {got}. Use "
                "ImportanceDisplay, which takes experts of any kind."
            )
        chosen = subject.check_features("features", features, estimator)
        subject.check_rows("y", estimator, X, y)
        check_integer("max_features", max_features, least=1)
        check_flag("standardize", standardize)
        check_level(level, may_be_none=True)
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        rows = subject.positive_rows(given._replace(n_values=var_weights))
        indices = subject.check_targets(estimator, target, rows.X)
        indices = indices[len(indices) > 1 :]  # log odds of several classes are against the first
        blocks = linear_predictors(estimator)
        data = {"X": rows.X, "y": rows.y, **rows.arguments} if level else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitMismatchWarning)
            result = estimator.summary(**data).coefficients
        if len(indices) == 1:  # outcomes of different families have their own
            blocks = [block for block in blocks if block.output in (None, indices[0])]
        # Rows of the picture: the features in each linear predictor of the experts.
        pairs = list(product(blocks, indices))
        tables = [_coefficients(estimator, *pair, result, level) for pair in pairs]
        estimates, intervals = (np.concatenate(each) for each in zip(*tables, strict=True))
        families = [own for own in _families(estimator, indices[0]) if own is not None]
        have_ratios = [bool(family.measures) for family in families]
        is_ratio = np.array(have_ratios or [is_classifier(estimator)] * len(names))
        has_predictor = np.isfinite(tables[0][0]).any(axis=0)
        is_mixed = len(set(is_ratio[has_predictor].tolist())) > 1
        by = ("expert" if is_mixed else "feature") if by is None else by
        check_choice("by", by, ("feature", "expert"))
        if by == "feature" and is_mixed:  # ratios have other axes than coefficients that are none
            raise ValueError(
                'by="feature" needs experts whose coefficients are all ratios, or all are not; '
                'some of these experts have a log link. Use by="expert".'
            )
        columns = [subject.numeric_values(rows.X, j) for j in range(len(labels) * standardize)]
        weight = subject.row_weights(rows)
        deviations = [subject.deviation(values, weight) for values in columns] or [1.0]
        scale = np.resize(deviations, len(estimates))[:, None]
        chosen = [i * len(labels) + j for i in range(len(tables)) for j in chosen]
        labels = [
            f"{label} (class {estimator.classes_[index]})" if len(indices) > 1 else label
            for block, index in pairs
            for label in block.terms(labels)
        ]
        predictors = [_coefficient_name(estimator, rows.y, indices), *(b.label for b in blocks[1:])]
        n_used, shown = None, np.array(chosen)
        if features is None:
            used = np.flatnonzero(np.isfinite(estimates).any(axis=1))
            size = np.abs(np.nan_to_num(estimates * scale)[used]).max(axis=1)
            shown = used[np.argsort(-size, kind="stable")][:max_features]
            n_used = len(used)
        if not len(shown):
            raise ValueError(
                "CoefficientsDisplay needs experts with slopes; these have intercepts only. Use "
                "RegimesDisplay or GateDisplay."
            )
        return cls(
            feature_names=[labels[j] for j in shown],
            expert_names=names,
            coefficients=(estimates * scale)[shown],
            intervals=(intervals * scale[..., None])[shown] if result.method else None,
            is_ratio=is_ratio,
            by=by,
            coefficient_name=", and on ".join(predictors),
            level=level,
            step="SD" if standardize else "unit",
            n_columns=n_used,
            feature_note=note,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        by_feature, shape = self.by == "feature", self.coefficients.shape
        labels, names = draw.shortened(self.expert_names, ROW_NAME_WIDTH), self.feature_names
        if not by_feature:
            labels, names = draw.shortened(names, ROW_NAME_WIDTH), self.expert_names
        headings = [draw.wrapped(name, PANEL_NAME_WIDTH) for name in names]
        columns, n_more_lines = MAX_FOREST_COLUMNS[self.by], max(h.count("\n") for h in headings)
        width = FOREST_WIDTH + draw.text_width(labels) / min(columns, len(names))
        height = FOREST_FRAME_HEIGHT + FOREST_ROW_HEIGHT * (len(labels) + n_more_lines)
        axes = self._axes(ax, len(names), (width, height), columns)
        self.points_, self.lines_ = np.full(shape, None), np.full(shape, None)
        is_first = draw.in_first_column(axes)
        for i, (cells, heading, has_names) in enumerate(zip(axes, headings, is_first, strict=True)):
            is_ratio = bool(self.is_ratio.any() if by_feature else self.is_ratio[i])
            alike: Any = np.index_exp[:, self.is_ratio == is_ratio]
            if by_feature and self.step != "SD":
                alike = np.index_exp[i]
            _draw_axis(cells, self._limits(alike, is_ratio), is_ratio)
            cells.set_title(heading, fontsize=10, loc="left")
            draw.name_rows(cells, labels if has_names else [""] * len(labels))
            for row in range(len(labels)):
                self._draw_estimate(cells, row, (i, row) if by_feature else (row, i))
        draw.label_below(axes, self._caption(), is_own=ax is None)
        return axes

    def _limits(self, cells: Any, is_ratio: bool) -> tuple[float, float]:
        """Limits of an axis of some cells, which contains zero; of ratios of their logs."""
        values = np.append(self.coefficients[cells], 0.0)
        values = values[np.isfinite(values)]
        if self.intervals is not None:
            bounds = self.intervals[cells].reshape(-1, 2)
            bounds = bounds[np.isfinite(bounds).all(axis=1)]
            ends = np.abs(bounds).max(axis=1, initial=0.0)
            typical = np.quantile(ends, 0.5, method="lower") if len(ends) else 0.0
            reach = MAX_REACH * max(np.abs(values).max(), typical)
            values = np.append(values, np.clip(bounds, -reach, reach))
        low, high = float(values.min()), float(values.max())
        margin = AXIS_MARGIN * (high - low) or 1.0
        return low - margin, high + margin

    def _draw_estimate(self, ax: Any, row: int, cell: Any) -> None:
        """Draw the point of an expert and a feature, and the line of its interval."""
        estimate, k = self.coefficients[cell], cell[1]
        if not np.isfinite(estimate):
            return

        on_axis = _ratios if self.is_ratio[k] else np.asarray
        style: dict[str, Any] = {"color": draw.colour(k), "marker": draw.marker(k), "zorder": 3}
        interval = np.full(2, np.nan) if self.intervals is None else self.intervals[cell]
        if np.isfinite(interval).all():
            line = {"color": draw.colour(k), "linewidth": 2.0, "zorder": 2}
            (self.lines_[cell],) = ax.plot(on_axis(interval), [row, row], **line)
        elif self.intervals is not None:
            style["markerfacecolor"] = "white"
        at = [on_axis(estimate)], [row]
        (self.points_[cell],) = ax.plot(*at, markersize=6, linestyle="none", **style)

    def _caption(self) -> list[str]:
        """What is drawn: the name of the axis, and sentences about it."""
        notes = [f"{self.coefficient_name}, per {self.step} of the feature"]
        if self.intervals is not None and self.level is not None:
            is_hollow = np.isfinite(self.coefficients) & ~np.isfinite(self.intervals).all(axis=2)
            without = " Hollow: no interval." if is_hollow.any() else ""
            if (is_hollow & (self.coefficients == 0.0)).any():
                without += " On the vertical line: dropped, or at their bound."
            notes.append(f"Lines: {draw.interval_label(self.level)}s.{without}")
        more = self._notes("those with the largest coefficients")
        return notes + [f"{'' if note[0].isdigit() else 'The '}{note}." for note in more]


def _ratios(logs: Any) -> Any:
    return np.exp(np.clip(logs, -MAX_LOG_RATIO, MAX_LOG_RATIO))


def _draw_axis(ax: Any, limits: tuple[float, float], is_ratio: bool) -> None:
    """A horizontal axis of estimates; that of ratios is logarithmic, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    ends = np.array(limits)
    if is_ratio:
        ends = _ratios(ends)
        ax.set_xscale("log")
        ratio = ends[1] / ends[0]
        ticks = LogLocator(subs=(1.0, 3.0)[: 1 + (ratio < 100.0)], numticks=N_TICKS)
        ax.xaxis.set_major_locator(ticks if ratio > MAX_PLAIN_RATIO else MaxNLocator(N_TICKS))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        ax.locator_params(axis="x", nbins=N_TICKS)
    ax.set_xlim(ends)
    ax.axvline(1.0 if is_ratio else 0.0, color=draw.LIGHT_GREY, linewidth=1, zorder=1)
    ax.tick_params(axis="x", labelsize=8)


# --- tables of a fit ------------------------------------------------------------------------------


def _coefficients(
    estimator: Any, block: LinearPredictor, index: int, listed: Any, level: float | None
) -> tuple[Array, Array]:
    """Coefficients (p, K) of one linear predictor, with intervals (p, K, 2).

    They are NaN where experts have none.
    """
    sign, position = 1.0, index
    if block.is_main and is_classifier(estimator):
        # Those of classes are log odds against the first one, and of that against the second.
        sign, position = 1.0 if index else -1.0, max(index - 1, 0)
    rows = {name: j for j, name in enumerate(block.terms(subject.names_of_fit(estimator)))}
    estimates = np.full((len(rows), estimator.n_experts_), np.nan)
    intervals = np.full((*estimates.shape, 2), np.nan)
    ends = np.sort(sign * listed.conf_int(level), axis=1) if listed.method else intervals[:1]
    of_experts = [term for term in listed.terms if term.part != "gate"]
    response = dict(enumerate(dict.fromkeys(term.response for term in of_experts))).get(position)
    for i, term in enumerate(of_experts):
        if term.response == response and term.name in rows:
            for k, expert in enumerate(estimator.expert_names_):
                if term.part == "all experts" or f", {expert}, " in f", {term.part}, ":
                    estimates[rows[term.name], k] = sign * listed.estimates[i]
                    intervals[rows[term.name], k] = ends[i] if listed.method else np.nan
    return estimates, intervals


def _families(estimator: Any, index: int) -> list[Any]:
    """The family of each expert for an output, None where it is not known."""
    own = [families_of(estimator, k) for k in range(estimator.n_experts_)]
    return [families[min(index, len(families) - 1)] for families in own]


def _coefficient_name(estimator: Any, y: Any, indices: Sequence[int]) -> str:
    """What the coefficients are effects on."""
    index = indices[0]
    if is_classifier(estimator):
        own, other = estimator.classes_[[index, 0 if index else 1]]
        named = "the class" if len(indices) > 1 else f"class {own}"
        return f"Odds ratio of {named} against class {other}"
    name = subject.target_name(estimator, y, index)
    families = [own for own in _families(estimator, index) if own is not None and own.link]
    ratios = {family.measures[0].name if family.measures else "" for family in families}
    if len(ratios) == 1 and "" not in ratios:
        return f"{ratios.pop().capitalize()} of {name}"
    return f"Effect on {name}" + (", ratios: \N{MULTIPLICATION SIGN}" if ratios - {""} else "")


# Differences up to this number of standard deviations are pale in every picture: experts whose rows
# hardly differ must not look different.
MIN_PROFILE_RANGE = 0.5

# Least widths of a cell and of all, and space at the left of the names of the features, in inches.
CELL_WIDTH, MIN_WIDTH, MARGIN = 0.64, 2.8, 0.5

# Heights of a row, of a line of a name or heading, and of the space around the cells, in inches.
ROW_HEIGHT, LINE_HEIGHT, FRAME_HEIGHT = 0.36, 0.17, 0.82

# Characters in a line of the name of a feature.
FEATURE_NAME_WIDTH = 28

# Cells beyond this fraction of the strongest colour are dark, and have white numbers.
DARK_FRACTION = 0.65


@dataclass(kw_only=True, eq=False, repr=False)
class SegmentProfileDisplay(draw.DisplayOfFeatures):
    """Heat map of experts and features: which rows each expert describes.

    One column for each expert, with its share of the rows, and one row for each feature. Numbers
    are the mean of the feature over the rows of the expert, weighted by its responsibilities, minus
    the mean over all rows, in standard deviations of the feature.

    Categories have a row for each, of their shares of the rows. A dash stands for an expert without
    rows.

    With `units`, such as customers or patients, the share is that of the units, and each row has
    the responsibilities of its unit; means are those over rows. See "Displays" in the user guide.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features that are drawn.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    expert_names : list of str of length n_experts
        Names of the experts.
    shares : ndarray of shape (n_experts,)
        Mean responsibility of each expert, over rows or units.
    profile : ndarray of shape (n_shown, n_experts)
        Mean over the rows of the expert minus mean over all rows, in standard deviations.
    of_units : bool, default=False
        Whether the shares are those of units.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    mesh_ : matplotlib collection
        The cells.
    texts_ : ndarray of shape (n_shown, n_experts) of matplotlib texts
        The numbers in the cells.

    See Also
    --------
    CoefficientsDisplay : The coefficients of the experts.
    ResponsibilitiesDisplay : How surely rows or units belong to their experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import SegmentProfileDisplay
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = SegmentProfileDisplay.from_estimator(moe, X, y)
    >>> np.sort(display.profile.round(1))
    array([[-0.9,  0.9]])
    """

    expert_names: Sequence[str]
    shares: Array
    profile: Array
    of_units: bool = False

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        units: Any = None,
        time: Any = None,
        offset: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        features: Any = None,
        max_features: int = 12,
        ax: Any = None,
    ) -> Self:
        """Draw the profiles of the experts of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in means and shares. Responsibilities are those of rows, or units,
            without weights.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest differences, in the order of X.
        max_features : int, default=12
            Largest number of rows of the picture if `features` is None: those with the largest
            differences.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

        Returns
        -------
        display : SegmentProfileDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a feature is unknown, or `max_features` is no positive integer.
        """
        estimator, X, note, labels, names = subject.drawn_mixture(cls, estimator, X)
        chosen = subject.check_features("features", features, estimator)
        check_integer("max_features", max_features, least=1)
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        rows = subject.positive_rows(given._replace(n_values=var_weights))
        resp, shares = subject.responsibilities_of_rows(estimator, rows)
        columns = profile_columns(rows, resp, chosen)
        profile = np.array([column.difference for column in columns])
        shown = np.arange(len(columns))
        if features is None:
            size = np.abs(np.nan_to_num(profile)).max(axis=1)
            shown = np.sort(np.argsort(-size, kind="stable")[:max_features])
        return cls(
            feature_names=[columns[i].name(labels) for i in shown],
            expert_names=names,
            shares=shares,
            profile=profile[shown],
            n_columns=len(columns),
            of_units=units is not None and not subject.has_series(estimator),
            feature_note=note,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        features = [draw.wrapped(name, FEATURE_NAME_WIDTH) for name in self.feature_names]
        experts = [
            f"{draw.wrapped(name, draw.EXPERT_NAME_WIDTH)}\n{format_percent(share)}"
            for name, share in zip(self.expert_names, self.shares, strict=True)
        ]
        cell = max(CELL_WIDTH, draw.text_width(experts)) + 0.1
        width = max(cell * len(experts), MIN_WIDTH) + draw.text_width(features) + MARGIN
        row_height = max(ROW_HEIGHT, LINE_HEIGHT * _most_lines(features))
        height = FRAME_HEIGHT + LINE_HEIGHT * (_most_lines(experts) + 2)
        (ax,) = self._axes(ax, 1, (width, height + row_height * len(features)))
        ax.set_title("Mean minus that of all rows,\nin SDs of the feature", fontsize=10, loc="left")
        self._draw_cells(ax)
        ax.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        ax.set_xticks(range(len(experts)), experts, fontsize=9)
        draw.name_rows(ax, features)
        ax.spines[:].set_visible(False)
        note = f"%: share of the {counted_noun(self.of_units)}s"
        note = "\n".join([note, *self._notes("those with the largest differences")])
        ax.set_xlabel(note.replace("features: ", "features:\n"), fontsize=8, loc="left")
        return ax

    def _draw_cells(self, ax: Any) -> None:
        """Draw cells with numbers, and the colours of the experts above them."""
        n_rows, n_experts = self.profile.shape
        largest = np.nanmax(np.abs(self.profile), initial=MIN_PROFILE_RANGE)
        edges = np.arange(n_experts + 1) - 0.5, np.arange(n_rows + 1) - 0.5
        style = {"cmap": "RdBu_r", "edgecolor": "white", "linewidth": 1.5}
        cells = np.ma.masked_invalid(self.profile)
        self.mesh_ = ax.pcolormesh(*edges, cells, vmin=-largest, vmax=largest, **style)
        bar = {"linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
        bar["transform"] = ax.get_xaxis_transform()  # heights relative to the axes
        for k in range(n_experts):
            ax.plot([k - 0.46, k + 0.46], [1.0, 1.0], color=draw.colour(k), **bar)
        self.texts_ = np.empty(self.profile.shape, dtype=object)
        style = {"ha": "center", "va": "center", "fontsize": 9}
        for (i, k), value in np.ndenumerate(self.profile):
            text, ink = f"{value:+z.2f}", "black"
            if abs(value) > DARK_FRACTION * largest:
                ink = "white"
            if np.isnan(value):
                text, ink = draw.NO_NUMBER, draw.LIGHT_GREY
            self.texts_[i, k] = ax.text(k, i, text, color=ink, **style)


def _most_lines(texts: Sequence[str]) -> int:
    """Lines of the text that has the most of them."""
    return 1 + max(text.count("\n") for text in texts)


# --- tables of a fit ------------------------------------------------------------------------------


class Column(NamedTuple):
    """A feature, or a category of one, which is 1 in its rows and 0 in the others."""

    feature: int
    category: str  # "" for a feature of numbers
    is_share: bool  # whether it consists of zeros and ones
    mean: float  # over the rows
    difference: Array  # of the experts' means from that of all rows, in deviations, (K,)
    deviation: float  # standard deviation over the rows; 0 for a constant column

    def name(self, features: Sequence[str]) -> str:
        """Its name, by those of the features."""
        return features[self.feature] + (f"_{self.category}" if self.category else "")


def profile_columns(
    rows: Rows, resp: Array, features: Sequence[int], absent: float = 0.0
) -> list[Column]:
    """Features of numbers, and indicators of the categories of others, `absent` where missing."""
    columns = []
    for j in features:
        values = subject.values_of(rows.X, j)
        by_category = {"": values}
        if not subject.is_numeric(rows.X, j):
            missing = np.array([absent if value is None else 0.0 for value in values])
            names = subject.levels_of(rows.X, j).values
            by_category = {name: (values == name) + missing for name in names}
        columns += [_column(j, name, of, rows, resp) for name, of in by_category.items()]
    return columns


def _column(j: int, category: str, values: Array, rows: Rows, resp: Array) -> Column:
    """Missing values are left out. The mean of an expert without rows is NaN."""
    known = np.isfinite(values)
    values, weight, resp = values[known], subject.row_weights(rows)[known], resp[known]
    of_expert, is_share = weight @ resp, bool(np.isin(values, (0.0, 1.0)).all())
    if len(values) == 0 or values.min() == values.max():
        return Column(j, category, is_share, np.nan, np.where(of_expert > 0.0, 0.0, np.nan), 0.0)
    mean, scale = weight @ values / weight.sum(), subject.deviation(values, weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (weight * (values - mean)) @ resp / of_expert / scale
    return Column(j, category, is_share, mean, difference, scale)
