"""GateDisplay: which expert answers where."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._data.checks import check_integer
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import (
    check_drawable,
    check_features,
    check_mixture,
    check_names,
    check_table,
)
from skmoe.inspection._grid import make_grid
from skmoe.inspection._style import INK, colour, dash, expert_legend, merged, one_axes, rgb

# Shares of the rows that ticks on the axes mark.
DECILES = np.arange(0.1, 1.0, 0.1)

DECILE_MARKS = {"x": "|", "y": "_"}

DECILE_STYLE: dict[str, Any] = {
    "color": INK,
    "markersize": 8,
    "markeredgewidth": 1.0,
    "zorder": 3,
}

# How far the palest region is from white.
FAINTEST = 0.15

# Points of the grid of one feature and of two, where the user names no number.
RESOLUTION = {1: 200, 2: 100}


class GateDisplay:
    """Probabilities of the gate over one feature or two.

    Over one feature each expert has a line. Over two, each place has the colour of its most
    probable expert, the stronger the more certain the gate is: white is where all experts are
    equally probable. Short ticks along the axes mark the deciles of the features in the data.

    Parameters
    ----------
    feature_names : list of str
        Names of the one or two features drawn.
    values : list of ndarray of shape (n_points,)
        Grid of each feature, in the units of X.
    gate : ndarray of shape (n_points, n_experts) or (n_points, n_points, n_experts)
        Gate probabilities on the grid; with two features the first axis is the second feature.
    deciles : list of ndarray of shape (9,), default=None
        Deciles of each feature in the data.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the picture.
    figure_ : matplotlib figure
        Figure of the picture.
    lines_ : list of matplotlib lines
        One for each expert; with one feature.
    image_ : matplotlib image
        The regions; with two features.
    labels_ : list of matplotlib texts
        Numbers of the experts in their regions; with two features.
    legend_ : matplotlib legend
        The experts.

    See Also
    --------
    ExpertsDisplay : What the experts say over a feature.

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

    def __init__(self, *, feature_names, values, gate, deciles=None):
        self.feature_names = feature_names
        self.values = values
        self.gate = gate
        self.deciles = deciles

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        features=0,
        *,
        grid_resolution=None,
        feature_names=None,
        ax=None,
        **kwargs,
    ):
        """Draw the gate of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that give the features their ranges. Features that are not drawn are held at their
            medians in X, categories at the most frequent one.
        features : int, str or sequence of one or two of these, default=0
            The feature along the horizontal axis, and with two the one along the vertical axis.
        grid_resolution : int, default=None
            Points of the grid along each feature, equally spaced from its least value to its
            largest. None is 200 for one feature and 100 for two.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : GateDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator is not a mixture of experts.
        ValueError
            If there are more than two features, one is unknown, constant or no number, or the
            resolution is not an integer of at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_mixture(estimator)
        labels = check_names(estimator, feature_names)
        columns = check_features("features", features, estimator, feature_names, most=2)
        default = RESOLUTION[len(columns)]
        resolution = default if grid_resolution is None else grid_resolution
        check_integer("grid_resolution", resolution, least=2)
        X = check_table(estimator, X)
        drawn = [check_drawable(X, j, labels[j]) for j in columns]
        values = [np.linspace(np.nanmin(column), np.nanmax(column), resolution) for column in drawn]
        places = np.stack([axis.ravel() for axis in np.meshgrid(*values)], axis=1)
        gate = estimator.predict_gate(make_grid(X, columns, places))
        display = cls(
            feature_names=[labels[j] for j in columns],
            values=values,
            gate=gate.reshape((resolution,) * len(columns) + (-1,)),
            deciles=[np.nanquantile(column, DECILES) for column in drawn],
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the gate.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for one feature, to `imshow` for two.

        Returns
        -------
        display : GateDisplay
            This display.
        """
        ax = one_axes(ax, f"{type(self).__name__}.plot")
        if len(self.values) == 1:
            self._plot_lines(ax, kwargs)
        else:
            self._plot_regions(ax, kwargs)
        self._mark_deciles(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_lines(self, ax, kwargs):
        self.lines_ = []
        for k, probability in enumerate(self.gate.T):
            style = {"color": colour(k), "linestyle": dash(k), "linewidth": 2}
            style = merged({**style, "label": f"expert {k}"}, kwargs)
            self.lines_ += ax.plot(self.values[0], probability, **style)
        ax.set(xlabel=self.feature_names[0], ylabel="Gate probability", ylim=(-0.03, 1.03))
        ax.set_xlim(self.values[0][[0, -1]])
        self.legend_ = expert_legend(ax, self.lines_ + self._decile_handles())

    def _plot_regions(self, ax, kwargs):
        from matplotlib.patches import Patch
        from matplotlib.patheffects import withStroke

        across, up = self.values
        self.image_ = ax.imshow(
            region_colours(self.gate),
            **merged(
                {
                    "origin": "lower",
                    "extent": (across[0], across[-1], up[0], up[-1]),
                    "aspect": "auto",
                    "interpolation": "nearest",
                },
                kwargs,
            ),
        )
        ax.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])
        shown = np.unique(self.gate.argmax(axis=2))
        for k in shown if len(shown) > 1 else []:
            lead = self.gate[..., k] - np.delete(self.gate, k, axis=2).max(axis=2)
            ax.contour(across, up, lead, levels=[0.0], colors="white", linewidths=1.5)
        # Readable across whatever else is drawn there.
        style = {"path_effects": [withStroke(linewidth=3, foreground="white")], "zorder": 5}
        style |= {"ha": "center", "va": "center", "fontweight": "bold"}
        self.labels_ = [
            ax.text(across[i], up[j], str(k), **style)
            for k in shown
            for j, i in [region_centre(self.gate, k)]
        ]
        handles = [Patch(color=colour(int(k)), label=f"expert {k}") for k in shown]
        self.legend_ = expert_legend(ax, handles + self._decile_handles())
        self.legend_.set_title("Most probable\n(pale: uncertain)")

    def _decile_handles(self):
        from matplotlib.lines import Line2D

        if self.deciles is None:
            return []
        label = "deciles of the rows"
        return [Line2D([], [], marker="|", linestyle="none", label=label, **DECILE_STYLE)]

    def _mark_deciles(self, ax):
        for axis, deciles in zip("xy", self.deciles or [], strict=False):
            along = ax.get_xaxis_transform() if axis == "x" else ax.get_yaxis_transform()
            ends = np.full_like(deciles, 0.02)
            places = (deciles, ends) if axis == "x" else (ends, deciles)
            ax.plot(*places, DECILE_MARKS[axis], transform=along, **DECILE_STYLE)


def region_colours(gate: Array) -> Array:
    """Colours (n, n, 3): of the most probable expert, paler where the gate is less certain."""
    n_experts = gate.shape[-1]
    best = gate.argmax(axis=-1)
    if n_experts == 1:
        certainty = np.ones(best.shape)
    else:
        certainty = (gate.max(axis=-1) - 1.0 / n_experts) / (1.0 - 1.0 / n_experts)
    strength = (FAINTEST + (0.85 - FAINTEST) * certainty)[..., None]
    palette = np.array([rgb(k) for k in range(n_experts)])
    return 1.0 - strength * (1.0 - palette[best])


def region_centre(gate: Array, expert: int) -> tuple[int, int]:
    """Place of an expert's region that is farthest from its edges."""
    from scipy.ndimage import distance_transform_edt

    inside = np.pad(gate.argmax(axis=-1) == expert, 1)
    depth = distance_transform_edt(inside)[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row), int(column)
