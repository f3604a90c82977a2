"""SegmentProfileDisplay: who the rows of each expert are, and what their features do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from skmoe._data.checks import check_flag, check_integer, check_level
from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, format_number, format_percent
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection._coefficients import RATIO_SIGN, coefficient_tables
from skmoe.inspection._grid import gate_log_odds, is_numeric, levels_of, names_of_fit, values_of
from skmoe.inspection._subject import (
    check_features,
    deviation,
    drawn_mixture,
    positive_rows,
    responsibilities_of_rows,
    row_weights,
)

# Differences up to this number of standard deviations are pale in every picture: experts whose rows
# hardly differ must not look different.
MIN_PROFILE_RANGE = 0.5

# The same for log odds of the gate.
MIN_GATE_RANGE = 0.25

# Width of panels side by side, at most: others stand below each other.
MAX_PANELS_WIDTH = 11.0

# Least widths of a cell and a panel, and space at the left of the names of the features, in inches;
# size of small print, relative to that of names.
CELL_WIDTH, MIN_PANEL_WIDTH, MARGIN = 0.64, 2.8, 0.5
SMALL_PRINT = 0.65

# Heights of a row of numbers, of one with intervals, of a line of a name or heading, and of the
# space around panels, in inches.
ROW_HEIGHT, INTERVAL_HEIGHT, LINE_HEIGHT, FRAME_HEIGHT = 0.36, 0.46, 0.17, 0.82

# Characters in each inch of a line of the heading of the coefficients.
HEADING_CHARACTERS_PER_INCH = 13.0

# Characters in a line of the name of a feature.
FEATURE_NAME_WIDTH = 28

# Cells beyond this fraction of the strongest colour are dark, and have white numbers.
DARK_FRACTION = 0.65


@dataclass(kw_only=True, eq=False, repr=False)
class SegmentProfileDisplay(draw.Display):
    """Heat maps of experts and features: which rows each expert describes, by which coefficients.

    One column for each expert, with its share of the rows, and one row for each feature. The panels
    share the features, and stand below each other if there are many experts:

    - the mean of the feature over the rows of the expert, weighted by its responsibilities, minus
      the mean over all rows, in standard deviations of the feature;
    - the coefficients of the expert, for experts with a linear predictor, with confidence
      intervals in small print where `inference` is possible. Where they are logs of ratios, as
      under a log link, the numbers are the ratios, and the colours those of their logs. Several
      classes have a panel for each but the first, against which they have odds ratios;
    - the log odds of the expert against the first one by the gate, if the gate has slopes, as in
      `summary` and `export_text`.

    Coefficients and log odds are those for one standard deviation more of the feature. Categories
    have a row for each, of their shares of the rows. A dash stands where an expert or the gate does
    not use a feature.

    With `units`, such as customers or patients, the share is that of the units, and each row has
    the responsibilities of its unit; means are those over rows. See "Displays" in the user guide.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features that are drawn.
    expert_names : list of str of length n_experts
        Names of the experts.
    shares : ndarray of shape (n_experts,)
        Mean responsibility of each expert, over rows or units.
    profile : ndarray of shape (n_shown, n_experts)
        Mean over the rows of the expert minus mean over all rows, in standard deviations.
    coefficients : ndarray of shape ([n_classes,] n_shown, n_experts), default=None
        Coefficients of the linear predictors; NaN where there are none.
    intervals : ndarray of shape ([n_classes,] n_shown, n_experts, 2), default=None
        Confidence intervals of the coefficients.
    is_ratio : ndarray of bool of shape (n_experts,), default=None
        Whether the coefficients of an expert are logs of ratios; None if those of no expert are.
    gate_effects : ndarray of shape (n_shown, n_experts), default=None
        Log odds of the expert against the first one.
    coefficient_name : str, or list of str of length n_classes, default="Coefficient"
        Heading of the coefficients.
    level : float, default=None
        Confidence of the intervals.
    step : str, default="SD"
        Step of the features to which coefficients and log odds belong.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    of_units : bool, default=False
        Whether the shares are those of units.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : ndarray of shape (n_panels,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    meshes_ : list of matplotlib collections
        The cells of each panel.
    texts_ : list of ndarray of shape (n_shown, n_experts) of matplotlib texts
        The numbers in the cells of each panel.

    See Also
    --------
    ExpertsDisplay : The experts over one feature.
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

    feature_names: Sequence[str]
    expert_names: Sequence[str]
    shares: Array
    profile: Array
    coefficients: Array | None = None
    intervals: Array | None = None
    is_ratio: Array | None = None
    gate_effects: Array | None = None
    coefficient_name: Any = "Coefficient"
    level: float | None = None
    step: str = "SD"
    n_columns: int | None = None
    of_units: bool = False
    feature_note: str = ""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        units: Any = None,
        offset: Any = None,
        known_experts: Any = None,
        features: Any = None,
        max_features: int = 12,
        target: Any = None,
        level: float | None = 0.95,
        standardize: bool = True,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the profiles of the experts of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features; those of the fit for confidence intervals.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in means, shares and intervals. Responsibilities are those of rows,
            or units, without weights.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None for rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest effects, in the order of X.
        max_features : int, default=12
            Largest number of rows of the picture if `features` is None. Chosen are those with the
            largest number in any panel, in relation to the largest number of the panel.
        target : class label or int, default=None
            The class or the index of the output whose coefficients are drawn, which is needed for
            several outputs. None is `classes_[1]` of two classes, and a panel for each of more.
        level : float, default=0.95
            Confidence of the intervals; None for none, which is faster.
        standardize : bool, default=True
            Whether coefficients and log odds are those for one standard deviation more of a
            feature, over the rows given; otherwise for one unit more.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on: a single one, which the panels replace, or one for each panel. None for
            new ones.

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
            If a feature, the class or the output is missing or unknown, or if there is not one name
            for each feature or expert. Also if the level is not between 0 and 1, or `max_features`
            is not a positive integer.
        """
        found = drawn_mixture(cls, estimator, X, feature_names, expert_names)
        estimator, X, note, labels, names = found
        chosen = check_features("features", features, estimator, feature_names)
        check_integer("max_features", max_features, least=1)
        check_flag("standardize", standardize)
        check_level(level, may_be_none=True)
        rows = positive_rows(Rows(X, y, sample_weight, offset, units, possible=known_experts))
        resp, shares = responsibilities_of_rows(estimator, rows)
        columns = profile_columns(rows, resp, chosen)
        step = np.array([[column.deviation if standardize else 1.0] for column in columns])
        slopes, of_feature = gate_slopes(estimator, columns), [column.feature for column in columns]
        tables = coefficient_tables(estimator, rows, target, level)
        tables = [table for table in tables if table.block.is_main]
        profile = np.array([column.difference for column in columns])
        coefficients = [table.estimates[of_feature] * step for table in tables]
        intervals = [
            table.intervals[of_feature] * step[:, :, None]
            for table in tables
            if table.intervals is not None
        ]
        names_of = [table.name for table in tables] or ["Coefficient"]
        # Tables of the panels, with the value of the strongest colour at least.
        panels = [(profile, MIN_PROFILE_RANGE), *((table, 0.0) for table in coefficients)]
        panels += [] if slopes is None else [(slopes * step, MIN_GATE_RANGE)]
        shown = np.arange(len(columns))
        if features is None:  # relative to the largest of its panel, so that all panels count alike
            sizes = [(np.abs(np.nan_to_num(table)).max(axis=1), low) for table, low in panels]
            score = np.max([size / (max(size.max(), low) or 1.0) for size, low in sizes], axis=0)
            shown = np.sort(np.argsort(-score, kind="stable")[:max_features])
        display = cls(
            feature_names=[columns[i].name(labels) for i in shown],
            expert_names=names,
            shares=shares,
            profile=profile[shown],
            coefficients=_stacked([table[shown] for table in coefficients]),
            intervals=_stacked([interval[shown] for interval in intervals]),
            is_ratio=tables[0].is_ratio if tables else None,
            gate_effects=None if slopes is None else panels[-1][0][shown],
            coefficient_name=names_of[0] if len(names_of) == 1 else names_of,
            level=level,
            step="SD" if standardize else "unit",
            n_columns=len(columns) if len(shown) < len(columns) else None,
            of_units=units is not None,
            feature_note=note,
        )
        return display.plot(ax)

    def _draw(self, ax: Any) -> Any:
        features = [draw.wrapped(name, FEATURE_NAME_WIDTH) for name in self.feature_names]
        experts = [
            f"{draw.wrapped(name, draw.EXPERT_NAME_WIDTH)}\n{format_percent(share)}"
            for name, share in zip(self.expert_names, self.shares, strict=True)
        ]
        panels = self._panels()
        texts = [text for panel in panels for text in panel.numbers.flat]
        small = [text for p in panels if p.small_print is not None for text in p.small_print.flat]
        text_width = SMALL_PRINT * draw.text_width([*small, ""])
        cell = max(CELL_WIDTH, draw.text_width([*experts, *texts]), text_width) + 0.1
        width = max(cell * len(experts), MIN_PANEL_WIDTH)
        name_width = int(HEADING_CHARACTERS_PER_INCH * width)
        headings = [f"{draw.wrapped(panel.name, name_width)}\n{panel.unit}" for panel in panels]
        row_height = ROW_HEIGHT if self.intervals is None else INTERVAL_HEIGHT
        row_height = max(row_height, LINE_HEIGHT * _most_lines(features))
        n_lines = _most_lines(experts) + _most_lines(headings)
        size = width, FRAME_HEIGHT + LINE_HEIGHT * n_lines + row_height * len(features)
        grid = len(panels), size, max(1, int(MAX_PANELS_WIDTH / width))
        axes = self._axes(ax, *grid, draw.text_width(features) + MARGIN)
        self.meshes_, self.texts_ = [], []
        for cells, panel, heading in zip(axes, panels, headings, strict=True):
            cells.set_title(heading, fontsize=10, loc="left")
            mesh, written = panel.draw(cells, experts)
            self.meshes_.append(mesh)
            self.texts_.append(written)
        is_first = draw.in_first_column(axes)
        for cells, has_names in zip(axes, is_first, strict=True):
            draw.name_rows(cells, features if has_names else [""] * len(features))
        note = f"%: share of the {counted_noun(self.of_units)}s"
        if self.n_columns is not None:
            chosen = f"{len(features)} of {self.n_columns} features"
            note += f"\n{chosen}:\nthose with the largest effects"
        note += f"\n{self.feature_note}" if self.feature_note else ""
        axes[is_first][-1].set_xlabel(note, fontsize=8, loc="left")
        return axes

    def _panels(self) -> list[Panel]:
        shape, step = (-1, *self.profile.shape), f"per {self.step} of the feature"
        name, unit = "Mean minus that of all rows,", "in SDs of the feature"
        panels = [Panel(name, unit, self.profile, MIN_PROFILE_RANGE, _numbers(self.profile))]
        tables: Any = [] if self.coefficients is None else np.reshape(self.coefficients, shape)
        is_ratio = np.zeros(shape[2], bool) if self.is_ratio is None else self.is_ratio
        names = np.ravel(self.coefficient_name)
        for i, (name, table) in enumerate(zip(names, tables, strict=False)):
            numbers, unit, ends = _numbers(table, is_ratio), step, None
            if self.intervals is not None and self.level is not None:
                unit = f"{step}, {draw.interval_label(self.level)}s"
                ends = _intervals(np.reshape(self.intervals, (*shape, 2))[i], is_ratio)
            panels.append(Panel(name, unit, table, 0.0, numbers, ends))
        if self.gate_effects is not None:
            name, numbers = "Gate: log odds against the first expert", _numbers(self.gate_effects)
            panels.append(Panel(name, step, self.gate_effects, MIN_GATE_RANGE, numbers))
        return panels


def _numbers(values: Array, is_ratio: Array | None = None) -> Array:
    """Coefficients (F, K), or ratios of their logs, as texts; standardised numbers without them."""
    texts = np.full(values.shape, draw.NO_NUMBER, dtype=object)
    for i, k in np.argwhere(~np.isnan(values)):
        if is_ratio is None:
            texts[i, k] = f"{values[i, k]:+z.2f}"
        elif is_ratio[k]:
            texts[i, k] = RATIO_SIGN + format_number(float(np.exp(values[i, k])))
        else:
            texts[i, k] = format_number(values[i, k], sign="+")
    return texts


def _intervals(ends: Array, is_ratio: Array) -> Array:
    """Intervals (F, K, 2) as texts; nothing for NaN."""
    texts = np.full(ends.shape[:2], "", dtype=object)
    for i, k in np.argwhere(~np.isnan(ends).any(axis=2)):
        low, high = np.exp(ends[i, k]) if is_ratio[k] else ends[i, k]
        texts[i, k] = f"[{format_number(low)}, {format_number(high)}]"
    return texts


def _stacked(values: list[Any]) -> Any:
    """One value for each class: None for none, itself for a single one."""
    return (values[0] if values else None) if len(values) < 2 else np.array(values)


def _most_lines(texts: Sequence[str]) -> int:
    """Lines of the text that has the most of them."""
    return 1 + max(text.count("\n") for text in texts)


# --- heat maps ---------------------------------------------------------------------------------


class Panel(NamedTuple):
    """A table (F, K) of numbers to draw."""

    name: str
    unit: str  # in a line below the name
    values: Array  # for the colours, NaN for cells without a number
    least_range: float  # value with the strongest colour, at least
    numbers: Array  # what is written, (F, K)
    small_print: Array | None = None  # what is written below the numbers, (F, K)

    def draw(self, ax: Any, names: Sequence[str]) -> tuple[Any, Array]:
        """Draw cells below the names of the experts; returns them, and the texts (F, K) in them."""
        n_rows, n_experts = self.values.shape
        largest = np.nanmax(np.abs(self.values), initial=self.least_range) or 1.0
        edges = np.arange(n_experts + 1) - 0.5, np.arange(n_rows + 1) - 0.5
        style = {"cmap": "RdBu_r", "edgecolor": "white", "linewidth": 1.5}
        cells = np.ma.masked_invalid(self.values)
        mesh = ax.pcolormesh(*edges, cells, vmin=-largest, vmax=largest, **style)
        ax.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        ax.set_xticks(range(n_experts), names, fontsize=9)
        ax.spines[:].set_visible(False)
        bar = {"linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
        bar["transform"] = ax.get_xaxis_transform()  # heights relative to the axes
        for k in range(n_experts):
            ax.plot([k - 0.46, k + 0.46], [1.0, 1.0], color=draw.colour(k), **bar)
        texts = np.empty(self.values.shape, dtype=object)
        for (i, k), value in np.ndenumerate(self.values):
            ink = "white" if abs(value) > DARK_FRACTION * largest else "black"
            style = {"ha": "center", "color": draw.LIGHT_GREY if np.isnan(value) else ink}
            below = "" if self.small_print is None else self.small_print[i, k]
            ax.text(k, i + 0.07, below, va="top", fontsize=6.5, **style)
            at = (k, i + 0.02, "bottom") if below else (k, i, "center")
            texts[i, k] = ax.text(*at[:2], self.numbers[i, k], va=at[2], fontsize=9, **style)
        return mesh, texts


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
        values = values_of(rows.X, j)
        by_category = {"": values}
        if not is_numeric(rows.X, j):
            missing = np.array([absent if value is None else 0.0 for value in values])
            by_category = {name: (values == name) + missing for name in levels_of(rows.X, j).values}
        columns += [_column(j, name, of, rows, resp) for name, of in by_category.items()]
    return columns


def _column(j: int, category: str, values: Array, rows: Rows, resp: Array) -> Column:
    """Missing values are left out. The mean of an expert without rows is NaN."""
    known = np.isfinite(values)
    values, weight, resp = values[known], row_weights(rows)[known], resp[known]
    of_expert, is_share = weight @ resp, bool(np.isin(values, (0.0, 1.0)).all())
    if len(values) == 0 or values.min() == values.max():
        none = np.where(of_expert > 0.0, 0.0, np.nan)
        return Column(j, category, is_share, np.nan, none, 0.0)
    mean, scale = weight @ values / weight.sum(), deviation(values, weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (weight * (values - mean)) @ resp / of_expert / scale
    return Column(j, category, is_share, mean, difference, scale)


def gate_slopes(estimator: Any, columns: Sequence[Column]) -> Array | None:
    """Log odds (F, K) of each expert against the first for one unit more of each column.

    NaN for columns that the gate does not use; None if it uses none of them.
    """
    log_odds = gate_log_odds(estimator)
    if log_odds is None:
        return None
    position = {str(name): j for j, name in enumerate(estimator.gate_feature_names_)}
    slopes = np.full((len(columns), len(log_odds)), np.nan)
    names = names_of_fit(estimator)
    for i, column in enumerate(columns):
        j = position.get(column.name(names))
        if j is not None and log_odds[:, j].any():
            slopes[i] = log_odds[:, j]
    return None if np.isnan(slopes).all() else slopes
