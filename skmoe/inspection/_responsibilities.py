"""ResponsibilitiesDisplay: how much each expert explains, and how surely."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_mixture, check_responsibilities
from skmoe.inspection._style import INK, PALE, colour, legend_above, merged, two_axes

WIDTH = 0.38


class ResponsibilitiesDisplay:
    """Usage, rows owned and certainty of the experts.

    Left: each expert's share of the responsibilities, and the share of the rows that are most
    probably its own. Right: how surely those rows are its own, a box from quartile to quartile with
    whiskers from the 5th to the 95th percentile; the dashed line is where all experts are equally
    probable.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_samples, n_experts)
        Probability that each expert generated each row.

    Attributes
    ----------
    usage : ndarray of shape (n_experts,)
        Mean responsibility.
    owned : ndarray of shape (n_experts,)
        Share of the rows whose largest responsibility is that of the expert.
    certainty : list of ndarray
        For each expert, the responsibilities of those rows.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the picture.
    figure_ : matplotlib figure
        Figure of the picture.
    usage_bars_, owned_bars_ : matplotlib bars
        The left half.
    boxes_ : list of matplotlib patches
        The right half, one for each expert that has rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import ResponsibilitiesDisplay
    >>> responsibilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.75, 0.25], [0.0, 1.0]])
    >>> display = ResponsibilitiesDisplay.from_predictions(responsibilities)
    >>> display.usage
    array([0.625, 0.375])
    >>> display.owned
    array([0.75, 0.25])
    """

    def __init__(self, *, responsibilities):
        self.responsibilities = responsibilities

    @property
    def usage(self):
        """Mean responsibility of each expert."""
        return self.responsibilities.mean(axis=0)

    @property
    def owned(self):
        """Share of the rows that are most probably each expert's."""
        n_rows, n_experts = self.responsibilities.shape
        owner = self.responsibilities.argmax(axis=1)
        return np.bincount(owner, minlength=n_experts) / n_rows

    @property
    def certainty(self):
        """Responsibilities of each expert for the rows that are most probably its own."""
        owner, largest = self.responsibilities.argmax(axis=1), self.responsibilities.max(axis=1)
        return [largest[owner == k] for k in range(self.responsibilities.shape[1])]

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, **kwargs):
        """Draw the responsibilities of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ResponsibilitiesDisplay
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
        return cls.from_predictions(estimator.responsibilities(X, y), ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, responsibilities, *, ax=None, **kwargs):
        """Draw given responsibilities.

        Parameters
        ----------
        responsibilities : array-like of shape (n_samples, n_experts)
            Non-negative, with rows that sum to one.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ResponsibilitiesDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the rows are no responsibilities.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        resp = check_responsibilities(responsibilities)
        return cls(responsibilities=resp).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw usage, rows owned and certainty.

        Parameters
        ----------
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        **kwargs : dict
            Passed to matplotlib's `bar`.

        Returns
        -------
        display : ResponsibilitiesDisplay
            This display.
        """
        shares, certainties = two_axes(ax, f"{type(self).__name__}.plot")
        self._plot_shares(shares, kwargs)
        self._plot_certainties(certainties)
        for axes in (shares, certainties):
            axes.set_xlabel("Expert")
            axes.set_xticks(range(len(self.usage)))
        self.ax_ = np.array([shares, certainties], dtype=object)
        self.figure_ = shares.figure
        return self

    def _plot_shares(self, ax, kwargs):
        from matplotlib.patches import Patch

        where = np.arange(len(self.usage))
        colours = [colour(k) for k in range(len(where))]
        full: dict[str, Any] = {"color": colours, "edgecolor": colours, "linewidth": 1.5}
        hatched = full | {"color": "white", "hatch": "////"}
        self.usage_bars_ = ax.bar(where - WIDTH / 2, self.usage, WIDTH, **merged(full, kwargs))
        self.owned_bars_ = ax.bar(where + WIDTH / 2, self.owned, WIDTH, **merged(hatched, kwargs))
        grey: dict[str, Any] = {"edgecolor": PALE}
        legend_above(
            ax,
            [
                Patch(facecolor=PALE, label="usage: mean responsibility", **grey),
                Patch(facecolor="white", hatch="////", label="owned: explained best", **grey),
            ],
        )
        ax.set_ylabel("Share of the rows")

    def _plot_certainties(self, ax):
        filled = [k for k, rows in enumerate(self.certainty) if len(rows)]
        drawn = ax.boxplot(
            [self.certainty[k] for k in filled],
            positions=filled,
            widths=0.6,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black", "linewidth": 2},
        )
        self.boxes_ = drawn["boxes"]
        for k, box in zip(filled, self.boxes_, strict=True):
            box.set_facecolor(colour(k))
        n_experts = len(self.usage)
        equal = ax.axhline(
            1.0 / n_experts,
            color=INK,
            linestyle="--",
            linewidth=1,
            label="all experts equally probable",
        )
        legend_above(ax, [equal])
        ax.set(ylabel="Responsibility for its own rows", ylim=(0.0, 1.03))
        ax.set_xlim(-0.6, n_experts - 0.4)
