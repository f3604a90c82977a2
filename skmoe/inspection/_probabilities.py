"""Displays of the probabilities of the experts: of the gate over features, and given y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._data.checks import check_integer
from skmoe._inference.labels import counted_noun, printable_name
from skmoe._inference.results import UnitResponsibilities
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection._grid import feature_axis, leading_feature, make_grid
from skmoe.inspection._subject import check_panels, drawn_mixture

# Quantiles of the data that ticks on the axes mark.
DECILES = np.arange(0.1, 1.0, 0.1)

DECILE_STYLE: dict[str, Any] = {"color": draw.DARK_GREY, "markersize": 8, "linestyle": "none"}

# Intensity of regions in which all experts are equally probable, and in which one is certain.
MIN_INTENSITY, MAX_INTENSITY = 0.15, 0.85

# Default number of grid points for each feature, by the number of features.
GRID_RESOLUTION = {1: 200, 2: 100}


@dataclass(kw_only=True, eq=False, repr=False)
class GateDisplay(draw.DisplayOfPanels, draw.StyledDisplay):
    """Probabilities of the gate over one feature or two.

    Over one feature each expert has a line, or marks where the feature has categories. Over two,
    each point has the colour of its most probable expert, with an intensity that increases with its
    probability: it is white where all experts are equally probable. Short ticks along the axes mark
    the deciles of the features in the data.

    Several panels make a grid, with a display for each in `panels`; the arrays are then those of
    the first one. See "Displays" in the user guide, and "When did the flow of the Nile
    change?" in the gallery.

    Parameters
    ----------
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.
    panels : list of GateDisplay, default=None
        The displays of a grid; None for one panel.
    feature_names : list of str
        Names of the one or two features drawn.
    values : list of ndarray of shape (n_points,)
        Grid of each feature, in the units of X; positions of categories.
    gate : ndarray of shape (n_points, n_experts) or (n_points, n_points, n_experts)
        Gate probabilities on the grid; with two features the first axis is the second feature.
    deciles : list of ndarray of shape (9,), default=None
        Deciles of each feature in the data.
    categories : list of str of length n_points, default=None
        Labels of the categories of the feature, if it has any.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : matplotlib axes, or ndarray of shape (n_panels,) of them
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        One for each expert; with one feature.
    image_ : matplotlib image
        The regions; with two features.
    labels_ : list of matplotlib texts
        Names of the experts in their regions, or numbers if they have no names; with two features.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    ExpertsDisplay : Predictions of the experts over a feature.
    RegimesDisplay : The gate over its strongest feature, with the experts below.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import GateDisplay
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(200, 2))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> display = GateDisplay.from_estimator(moe, X, features=(0, 1))
    >>> display.gate.shape
    (100, 100, 2)
    >>> display.ax_.get_xlabel()
    'x0'
    """

    feature_names: Sequence[str]
    values: Sequence[Array]
    gate: Array
    deciles: Sequence[Array] | None = None
    categories: Sequence[str] | None = None
    feature_note: str = ""

    _by_expert = "gate"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        features: Any = None,
        *,
        grid_resolution: int | None = None,
        feature_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the gate of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that determine the ranges of the features. Features that are not drawn are at
            their medians in X, categories at the most frequent one.
        features : int, str, tuple of two of these, or list of these, default=None
            A feature along the horizontal axis, or a tuple of two, the second along the vertical
            axis. A list makes a grid with a panel for each of its entries. None is the feature on
            which the gate depends most: the one with the largest range of log odds for one standard
            deviation.
        grid_resolution : int, default=None
            Points of the grid along each feature, equally spaced from its smallest value to its
            largest. None is 200 for one feature and 100 for two.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : GateDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a panel has more than two features, if one is unknown or constant, or if one of two
            features is not numeric. Also if there is not one name for each expert, or the
            resolution is not an integer of at least two.
        """
        found = drawn_mixture(cls, kwargs, estimator, X, feature_names, expert_names)
        estimator, X, note, labels, names = found
        if grid_resolution is not None:
            check_integer("grid_resolution", grid_resolution, least=2)
        chosen = check_panels("features", features, estimator, feature_names, most=2)
        panels = [
            cls(
                **gate_over(estimator, X, columns, labels, grid_resolution),
                expert_names=names,
                feature_note=note,
            )
            for columns in chosen or [[leading_feature(estimator, X)]]
        ]
        return cls._of_panels(panels).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the gate.

        Parameters
        ----------
        ax : matplotlib axes or array-like of axes, default=None
            Axes to draw on; None for new ones. A grid takes one for each panel, or a single one
            that the panels replace.
        **kwargs : dict
            Passed to matplotlib's `plot` or, for two features, `imshow`.

        Returns
        -------
        display : GateDisplay
            This display.
        """
        is_alike = [len(panel.values) == 1 for panel in self.panels or []]
        return self._plot_panels(ax, is_alike, **kwargs)

    def _draw(self, ax: Any, **kwargs: Any) -> Any:
        (ax,) = self._axes(ax)
        handles = (self._draw_lines if len(self.values) == 1 else self._draw_regions)(ax, kwargs)
        if self.deciles is not None:
            from matplotlib.lines import Line2D

            handles.append(Line2D([], [], marker="|", label="deciles of the rows", **DECILE_STYLE))
            transforms = ax.get_xaxis_transform(), ax.get_yaxis_transform()
            for i, deciles in enumerate(self.deciles):
                points = deciles, np.full_like(deciles, 0.02)  # near the axis
                style = DECILE_STYLE | {"marker": "|_"[i], "transform": transforms[i]}
                ax.plot(*points[:: 1 - 2 * i], zorder=3, **style)
        self.legend_ = draw.expert_legend(ax, handles)
        if len(self.values) == 2:
            self.legend_.set_title("Most probable\n(pale: uncertain)")
        return ax

    def _draw_lines(self, ax: Any, kwargs: dict[str, Any]) -> list[Any]:
        """Draw the probabilities over one feature; returns handles of a legend."""
        self.lines_: list[Any] = []
        names = draw.in_legend(self.expert_names)
        for k, (name, probability) in enumerate(zip(names, self.gate.T, strict=True)):
            style = draw.curve_style(k, len(probability), is_category=self.categories is not None)
            style = draw.merged(style | {"label": name}, kwargs)
            self.lines_ += ax.plot(self.values[0], probability, **style)
        ax.set(ylabel="Gate probability", ylim=(-0.03, 1.03), xlim=self.values[0][[0, -1]])
        if len(names) == 1:
            style = {"ha": "center", "color": draw.DARK_GREY, "transform": ax.transAxes}
            ax.text(0.5, 0.5, "There is one expert: it predicts every row.", **style)
        draw.label_feature(ax, self.feature_names[0], self.categories, self.feature_note)
        return [draw.expert_handle(k, name, **kwargs) for k, name in enumerate(names)]

    def _draw_regions(self, ax: Any, kwargs: dict[str, Any]) -> list[Any]:
        """Draw the most probable experts over two features; returns handles of a legend."""
        from matplotlib.patches import Patch
        from matplotlib.patheffects import withStroke

        horizontal, vertical = self.values
        extent = horizontal[0], horizontal[-1], vertical[0], vertical[-1]
        image: dict[str, Any] = {"origin": "lower", "extent": extent, "aspect": "auto"}
        image["interpolation"] = "nearest"
        self.image_ = ax.imshow(region_colours(self.gate), **draw.merged(image, kwargs))
        draw.label_feature(ax, self.feature_names[0], None, self.feature_note)
        draw.label_target(ax, self.feature_names[1])
        shown = np.unique(self.gate.argmax(axis=2)).tolist()
        for k in shown if len(shown) > 1 else []:
            margin = self.gate[..., k] - np.delete(self.gate, k, axis=2).max(axis=2)
            contour = {"levels": [0.0], "colors": "white", "linewidths": 1.5}
            ax.contour(horizontal, vertical, margin, **contour)
        # A white outline keeps the labels legible on ticks and lines.
        style = {"path_effects": [withStroke(linewidth=3, foreground="white")], "zorder": 5}
        style |= {"ha": "center", "va": "center", "fontweight": "bold"}
        on_axes, names = draw.beside_marks(self.expert_names), draw.in_legend(self.expert_names)
        centres = [region_centre(self.gate, k) for k in shown]
        self.labels_ = [
            ax.text(horizontal[i], vertical[j], on_axes[k], **style)
            for k, (j, i) in zip(shown, centres, strict=True)
        ]
        return [Patch(color=draw.colour(k), label=names[k]) for k in shown]


def gate_over(
    estimator: Any, X: Any, columns: list[int], labels: Sequence[str], resolution: int | None
) -> dict[str, Any]:
    """Grid, probabilities and deciles over one feature or two."""
    resolution = GRID_RESOLUTION[len(columns)] if resolution is None else resolution
    is_pair = len(columns) == 2
    axes = [feature_axis(X, j, labels[j], resolution, as_numbers=is_pair) for j in columns]
    categories = [labels[axis.column] for axis in axes if axis.categories is not None]
    if is_pair and categories:
        raise ValueError(
            f"Features must hold numbers to be drawn in pairs; {categories[0]!r} holds "
            "categories. Choose another feature."
        )
    points = np.meshgrid(*(axis.grid for axis in axes))
    rows = make_grid(X, columns, np.stack([values.ravel() for values in points], axis=1))
    return {
        "feature_names": [axis.name for axis in axes],
        "values": [axis.positions for axis in axes],
        "gate": estimator.predict_gate(rows).reshape(*points[0].shape, -1),
        "deciles": None if categories else [np.nanquantile(x.observed, DECILES) for x in axes],
        "categories": axes[0].categories,
    }


def region_colours(gate: Array) -> Array:
    """Colours (n, n, 3) of the most probable expert, paler where it is less probable."""
    n_experts = gate.shape[-1]
    equal = 1.0 / n_experts if n_experts > 1 else 0.0
    certainty = (gate.max(axis=-1, keepdims=True) - equal) / (1.0 - equal)
    intensity = MIN_INTENSITY + (MAX_INTENSITY - MIN_INTENSITY) * certainty
    palette = np.array([draw.rgb(k) for k in range(n_experts)])
    return 1.0 - intensity * (1.0 - palette[gate.argmax(axis=-1)])


def region_centre(gate: Array, expert: int) -> tuple[int, int]:
    """Grid indices of the point of an expert's region that is farthest from its edges."""
    from scipy.ndimage import distance_transform_edt

    inside = np.pad(gate.argmax(axis=-1) == expert, 1)
    distance = distance_transform_edt(inside)[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(distance), distance.shape)
    return int(row), int(column)


# Width of a bar.
BAR_WIDTH = 0.38


@dataclass(kw_only=True, eq=False, repr=False)
class ResponsibilitiesDisplay(draw.DisplayOfExperts, draw.StyledDisplay):
    """Usage of the experts, rows assigned to them, and certainty of the assignment.

    Each row is assigned to the expert with the largest responsibility. Left: the mean
    responsibility of each expert, and the fraction of the rows assigned to it. Right: its
    responsibilities for those rows, a box between the quartiles with whiskers from the 5th to the
    95th percentile; at the dashed line all experts are equally probable. Boxes near one mean that
    the regimes are separate, boxes near the dashed line that they overlap. Where units are given,
    such as customers or patients, these are counted instead of rows. See "Displays" in the user
    guide.

    Parameters
    ----------
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for their numbers.
    responsibilities : ndarray of shape (n_samples, n_experts) or (n_units, n_experts)
        Probability that each expert generated each row, or each unit.
    of_units : bool, default=False
        Whether they are of units.

    Attributes
    ----------
    usage : ndarray of shape (n_experts,)
        Mean responsibility.
    assigned_share : ndarray of shape (n_experts,)
        Fraction of the rows or units that are assigned to each expert.
    certainty : list of ndarray
        Responsibilities of each expert for the rows or units assigned to it.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    usage_bars_, assigned_bars_ : matplotlib bars
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
    >>> display = ResponsibilitiesDisplay.from_predictions(responsibilities)
    >>> display.usage
    array([0.625, 0.375])
    >>> display.assigned_share
    array([0.75, 0.25])
    """

    responsibilities: Array
    of_units: bool = False

    _by_expert = "responsibilities"

    @property
    def usage(self) -> Array:
        """Mean responsibility of each expert."""
        return self.responsibilities.mean(axis=0)

    @property
    def assigned_share(self) -> Array:
        """Fraction of the rows or units that are assigned to each expert."""
        return np.array([len(rows) for rows in self.certainty]) / len(self.responsibilities)

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
        known_experts: Any = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
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
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to matplotlib's `bar`.

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
            If there is not one name for each expert.
        """
        found = drawn_mixture(cls, kwargs, estimator, X, None, expert_names)
        estimator, X, *_, names = found
        by_row = {"units": units, "known_experts": known_experts}
        resp = estimator.responsibilities(X, y, offset=offset, **by_row)
        return cls.from_predictions(resp, expert_names=names, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        responsibilities: Any,
        *,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw given responsibilities.

        Parameters
        ----------
        responsibilities : array-like of shape (n_samples, n_experts), or UnitResponsibilities
            Non-negative, with rows that sum to one; or the table of units that
            `responsibilities(X, y, units=units)` returns.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for their numbers.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to matplotlib's `bar`.

        Returns
        -------
        display : ResponsibilitiesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the values are negative, or rows do not sum to one.
        """
        names = expert_names
        if names is None:
            names = getattr(responsibilities, "expert_names", None)  # of a table of units
        names = None if names is None else [printable_name(name) for name in names]
        of_units = isinstance(responsibilities, UnitResponsibilities)
        given = responsibilities.proba if of_units else responsibilities
        resp = np.asarray(given, dtype=np.float64)
        if resp.ndim != 2 or resp.size == 0:
            raise ValueError(
                "responsibilities must have shape (n_samples, n_experts), with at least one row; "
                f"got {resp.shape}."
            )
        invalid = ~(np.isclose(resp.sum(axis=1), 1.0, atol=1e-6) & (resp >= 0.0).all(axis=1))
        if invalid.any():
            row = int(np.argmax(invalid))
            raise ValueError(
                f"responsibilities must be non-negative, with rows that sum to 1; row {row} is "
                f"{resp[row].tolist()}. Pass those of estimator.responsibilities(X, y)."
            )
        return cls(responsibilities=resp, of_units=of_units, expert_names=names).plot(ax, **kwargs)

    def _draw(self, ax: Any, **kwargs: Any) -> Any:
        axes = self._axes(ax, 2, draw.TWO_PANELS_SIZE)
        self._draw_shares(axes[0], kwargs)
        self._draw_certainties(axes[1])
        for cells in axes:
            cells.set_xlabel("Expert")
            draw.label_categories(cells, draw.beside_marks(self.expert_names))
        return axes

    def _draw_shares(self, ax: Any, kwargs: dict[str, Any]) -> None:
        from matplotlib.patches import Patch

        position = np.arange(len(self.usage))
        colours = [draw.colour(k) for k in range(len(position))]
        full: dict[str, Any] = {"color": colours, "edgecolor": colours, "linewidth": 1.5}
        left, right = position - BAR_WIDTH / 2, position + BAR_WIDTH / 2
        self.usage_bars_ = ax.bar(left, self.usage, BAR_WIDTH, **draw.merged(full, kwargs))
        hatched = draw.merged(full | {"color": "white", "hatch": "////"}, kwargs)
        self.assigned_bars_ = ax.bar(right, self.assigned_share, BAR_WIDTH, **hatched)
        grey: dict[str, Any] = {"edgecolor": draw.LIGHT_GREY, "facecolor": draw.LIGHT_GREY}
        usage = Patch(label="usage: mean responsibility", **grey)
        grey |= {"facecolor": "white", "hatch": "////"}
        draw.legend_above(ax, [usage, Patch(label="assigned: largest responsibility", **grey)])
        ax.set_ylabel(f"Share of the {counted_noun(self.of_units)}s")

    def _draw_certainties(self, ax: Any) -> None:
        certainty = {k: rows for k, rows in enumerate(self.certainty) if len(rows)}
        style: dict[str, Any] = {"medianprops": {"color": "black", "linewidth": 2}, "widths": 0.6}
        style |= {"whis": (5, 95), "showfliers": False, "patch_artist": True}
        boxes = ax.boxplot(list(certainty.values()), positions=list(certainty), **style)
        self.boxes_ = boxes["boxes"]
        for k, box in zip(certainty, self.boxes_, strict=True):
            box.set_facecolor(draw.colour(k))
        label = "all experts equally probable"
        line = ax.axhline(1.0 / len(self.usage), label=label, **draw.REFERENCE)
        draw.legend_above(ax, [line])
        ax.set_ylabel(f"Responsibility for assigned {counted_noun(self.of_units)}s")
        ax.set_ylim(0.0, 1.03)
