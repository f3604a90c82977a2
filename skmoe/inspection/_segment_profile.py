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
from skmoe.inspection._grid import is_numeric, levels_of, values_of
from skmoe.inspection._series import has_series
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

# Least widths of a cell and of all, and space at the left of the names of the features, in inches.
CELL_WIDTH, MIN_WIDTH, MARGIN = 0.64, 2.8, 0.5

# Heights of a row, of a line of a name or heading, and of the space around the cells, in inches.
ROW_HEIGHT, LINE_HEIGHT, FRAME_HEIGHT = 0.36, 0.17, 0.82

# Characters in a line of the name of a feature.
FEATURE_NAME_WIDTH = 28

# Cells beyond this fraction of the strongest colour are dark, and have white numbers.
DARK_FRACTION = 0.65


@dataclass(kw_only=True, eq=False, repr=False)
class SegmentProfileDisplay(draw.Display):
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
    expert_names : list of str of length n_experts
        Names of the experts.
    shares : ndarray of shape (n_experts,)
        Mean responsibility of each expert, over rows or units.
    profile : ndarray of shape (n_shown, n_experts)
        Mean over the rows of the expert minus mean over all rows, in standard deviations.
    n_columns : int, default=None
        Number of features of which the largest are drawn; None if all are.
    of_units : bool, default=False
        Whether the shares are those of units.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

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

    feature_names: Sequence[str]
    expert_names: Sequence[str]
    shares: Array
    profile: Array
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
        time: Any = None,
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
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        features : array-like, default=None
            Features to draw, in this order: names, indices or a boolean mask; None for those with
            the largest differences, in the order of X.
        max_features : int, default=12
            Largest number of rows of the picture if `features` is None: those with the largest
            differences.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
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
            If a feature is unknown, there is not one name for each expert, or `max_features` is no
            positive integer.
        """
        found = drawn_mixture(cls, estimator, X, expert_names)
        estimator, X, note, labels, names = found
        chosen = check_features("features", features, estimator)
        check_integer("max_features", max_features, least=1)
        given = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        rows = positive_rows(given)
        resp, shares = responsibilities_of_rows(estimator, rows)
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
            n_columns=len(columns) if len(shown) < len(columns) else None,
            of_units=units is not None and not has_series(estimator),
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
        if self.n_columns is not None:
            chosen = f"{len(features)} of {self.n_columns} features"
            note += f"\n{chosen}:\nthose with the largest differences"
        note += f"\n{self.feature_note}" if self.feature_note else ""
        ax.set_xlabel(note, fontsize=8, loc="left")
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
