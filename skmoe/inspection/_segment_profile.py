"""SegmentProfileDisplay: who the rows of each expert are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from skmoe._data.checks import check_integer
from skmoe._data.rows import Rows
from skmoe._inference.labels import counted_noun, format_percent
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
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

# Least widths of a cell and a panel, and space at the left of the names of the features, in inches.
CELL_WIDTH, MIN_PANEL_WIDTH, MARGIN = 0.64, 2.8, 0.5

# Heights of a row, of a line of a name or heading, and of the space around panels, in inches.
ROW_HEIGHT, LINE_HEIGHT, FRAME_HEIGHT = 0.36, 0.17, 0.82

# Characters in a line of the name of a feature.
FEATURE_NAME_WIDTH = 28

# Cells beyond this fraction of the strongest colour are dark, and have white numbers.
DARK_FRACTION = 0.65


@dataclass(kw_only=True, eq=False, repr=False)
class SegmentProfileDisplay(draw.Display):
    """Heat maps of experts and features: which rows each expert describes.

    One column for each expert, with its share of the rows, and one row for each feature. The panels
    share the features, and stand below each other if there are many experts:

    - the mean of the feature over the rows of the expert, weighted by its responsibilities, minus
      the mean over all rows, in standard deviations of the feature;
    - the log odds of the expert against the first one by the gate, for one standard deviation more
      of the feature, as in `summary`. A gate without slopes has no such panel.

    Categories have a row for each, of their shares of the rows. A dash stands where the gate does
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
    gate_effects : ndarray of shape (n_shown, n_experts), default=None
        Log odds of the expert against the first one.
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

    feature_names: Sequence[str]
    expert_names: Sequence[str]
    shares: Array
    profile: Array
    gate_effects: Array | None = None
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
        expert_names: Sequence[str] | None = None,
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
            If a feature is unknown, there is not one name for each expert, or `max_features` is no
            positive integer.
        """
        found = drawn_mixture(cls, estimator, X, expert_names)
        estimator, X, note, labels, names = found
        chosen = check_features("features", features, estimator)
        check_integer("max_features", max_features, least=1)
        rows = positive_rows(Rows(X, y, sample_weight, offset, units, possible=known_experts))
        resp, shares = responsibilities_of_rows(estimator, rows)
        columns = profile_columns(rows, resp, chosen)
        profile = np.array([column.difference for column in columns])
        log_odds = gate_effects_of(estimator, columns)
        shown = np.arange(len(columns))
        if features is None:  # relative to the largest number of each panel
            tables = [(profile, MIN_PROFILE_RANGE), (log_odds, MIN_GATE_RANGE)]
            sizes = [(np.abs(np.nan_to_num(table)).max(axis=1), low) for table, low in tables]
            score = np.max([size / max(size.max(), low) for size, low in sizes], axis=0)
            shown = np.sort(np.argsort(-score, kind="stable")[:max_features])
        return cls(
            feature_names=[columns[i].name(labels) for i in shown],
            expert_names=names,
            shares=shares,
            profile=profile[shown],
            gate_effects=None if np.isnan(log_odds).all() else log_odds[shown],
            n_columns=len(columns) if len(shown) < len(columns) else None,
            of_units=units is not None,
            feature_note=note,
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        features = [draw.wrapped(name, FEATURE_NAME_WIDTH) for name in self.feature_names]
        experts = [
            f"{draw.wrapped(name, draw.EXPERT_NAME_WIDTH)}\n{format_percent(share)}"
            for name, share in zip(self.expert_names, self.shares, strict=True)
        ]
        heading = "Mean minus that of all rows,\nin SDs of the feature"
        panels = [(heading, self.profile, MIN_PROFILE_RANGE)]
        if self.gate_effects is not None:
            heading = "Gate: log odds against the\nfirst expert, per SD of the feature"
            panels.append((heading, self.gate_effects, MIN_GATE_RANGE))
        cell = max(CELL_WIDTH, draw.text_width(experts)) + 0.1
        width = max(cell * len(experts), MIN_PANEL_WIDTH)
        row_height = max(ROW_HEIGHT, LINE_HEIGHT * _most_lines(features))
        n_lines = _most_lines(experts) + 2
        size = width, FRAME_HEIGHT + LINE_HEIGHT * n_lines + row_height * len(features)
        grid = len(panels), size, max(1, int(MAX_PANELS_WIDTH / width))
        axes = self._axes(ax, *grid, draw.text_width(features) + MARGIN)
        self.meshes_, self.texts_ = [], []
        for cells, (heading, values, least) in zip(axes, panels, strict=True):
            cells.set_title(heading, fontsize=10, loc="left")
            mesh, written = _draw_cells(cells, values, least, experts)
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


def _most_lines(texts: Sequence[str]) -> int:
    """Lines of the text that has the most of them."""
    return 1 + max(text.count("\n") for text in texts)


# --- heat maps ---------------------------------------------------------------------------------


def _draw_cells(
    ax: Any, values: Array, least_range: float, names: Sequence[str]
) -> tuple[Any, Array]:
    """Draw a table (F, K) below the names of the experts; returns cells and texts (F, K) in them.

    The strongest colour is that of the largest value, or of a least one.
    """
    n_rows, n_experts = values.shape
    largest = np.nanmax(np.abs(values), initial=least_range)
    edges = np.arange(n_experts + 1) - 0.5, np.arange(n_rows + 1) - 0.5
    style = {"cmap": "RdBu_r", "edgecolor": "white", "linewidth": 1.5}
    cells = np.ma.masked_invalid(values)
    mesh = ax.pcolormesh(*edges, cells, vmin=-largest, vmax=largest, **style)
    ax.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(range(n_experts), names, fontsize=9)
    ax.spines[:].set_visible(False)
    bar = {"linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
    bar["transform"] = ax.get_xaxis_transform()  # heights relative to the axes
    for k in range(n_experts):
        ax.plot([k - 0.46, k + 0.46], [1.0, 1.0], color=draw.colour(k), **bar)
    texts = np.empty(values.shape, dtype=object)
    style = {"ha": "center", "va": "center", "fontsize": 9}
    for (i, k), value in np.ndenumerate(values):
        ink = "white" if abs(value) > DARK_FRACTION * largest else "black"
        text, ink = (
            (draw.NO_NUMBER, draw.LIGHT_GREY) if np.isnan(value) else (f"{value:+z.2f}", ink)
        )
        texts[i, k] = ax.text(k, i, text, color=ink, **style)
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


def gate_effects_of(estimator: Any, columns: Sequence[Column]) -> Array:
    """Log odds (F, K) of each expert against the first for one deviation more of each column.

    NaN for columns that the gate does not use.
    """
    effects = np.full((len(columns), estimator.n_experts_), np.nan)
    log_odds = gate_log_odds(estimator)
    if log_odds is None:
        return effects
    position = {str(name): j for j, name in enumerate(estimator.gate_feature_names_)}
    names = names_of_fit(estimator)
    for i, column in enumerate(columns):
        j = position.get(column.name(names))
        if j is not None and log_odds[:, j].any():
            effects[i] = log_odds[:, j] * column.deviation
    return effects
