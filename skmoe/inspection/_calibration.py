"""CalibrationDisplay: calibration of predictive distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import binom
from sklearn.base import is_classifier

from skmoe._data.censored_targets import checked_bounds, has_bounds
from skmoe._data.checks import check_integer
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_table, check_target, drawn_mixture
from skmoe.inspection._style import (
    DARK_GREY,
    LIGHT_GREY,
    TWO_PANELS_SIZE,
    colour,
    merged,
    panel_axes,
)

# Nominal coverages that are compared with the observed ones.
NOMINAL_COVERAGES = np.linspace(0.05, 0.95, 19)

# Probability of the grey bands, at each point, under calibrated distributions.
BAND_PROBABILITY = 0.95

# How bands are drawn.
BAND_STYLE: dict[str, Any] = {"color": LIGHT_GREY, "alpha": 0.35, "linewidth": 0}


@dataclass(kw_only=True, eq=False, repr=False)
class CalibrationDisplay:
    """Calibration of predictive distributions.

    Left: the probability integral transform, which is the predictive distribution function at the
    observed y [2]_. Under calibrated distributions it is uniform. A histogram with the shape of a U
    is that of intervals that are too narrow, a hump that of intervals that are too wide, and a
    slope that of a bias. Where the observed y has a probability of its own, such as a count, its
    row is spread evenly over the step of the distribution function at y [1]_. A censored y is
    spread over the values of the function in its interval. Right: the fraction of the rows
    inside the central intervals, against their nominal coverage. Grey: the range of 95 % of such
    fractions, at each point, under calibrated distributions; rows that are spread vary less. Rows
    of the fit give an optimistic result.

    See "Calibration" in the user guide, and "Do intervals adapt to the noise?" in the gallery.

    Parameters
    ----------
    pit : ndarray of shape (n_samples,)
        Predictive distribution functions at the observed y.
    pit_left : ndarray of shape (n_samples,), default=None
        Their limits from the left, which are lower where y has a probability of its own. None for
        continuous distributions.

    Attributes
    ----------
    nominal : ndarray of shape (n_levels,)
        Nominal coverage of the intervals.
    coverage : ndarray of shape (n_levels,)
        Fraction of the rows inside the intervals.
    density : ndarray of shape (n_bins,)
        Heights of the histogram, one on average; after `plot`.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    stairs_ : matplotlib patch
        The histogram.
    line_ : matplotlib line
        Observed against nominal coverage.
    bands_ : list of matplotlib collections
        The grey bands on both axes.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : Calibration of the probabilities of classes.

    References
    ----------
    .. [1] C. Czado, T. Gneiting and L. Held (2009), "Predictive model assessment for count data",
       Biometrics 65, 1254-1261.
    .. [2] T. Gneiting, F. Balabdaoui and A. E. Raftery (2007), "Probabilistic forecasts,
       calibration and sharpness", Journal of the Royal Statistical Society B 69, 243-268.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import CalibrationDisplay
    >>> display = CalibrationDisplay.from_predictions(np.linspace(0, 1, 101))
    >>> bool(np.abs(display.coverage - display.nominal).max() < 0.02)
    True
    """

    pit: Array
    pit_left: Any = None

    def __post_init__(self) -> None:
        self.pit_left = self.pit if self.pit_left is None else self.pit_left

    @property
    def nominal(self) -> Array:
        """Nominal coverage of the intervals."""
        return NOMINAL_COVERAGES

    @property
    def coverage(self) -> Array:
        """Fraction of the rows inside the central intervals."""
        left, right = self.pit_left[:, None], self.pit[:, None]
        inside = 2.0 * np.abs(right - 0.5) <= NOMINAL_COVERAGES
        bounds = 0.5 * (1.0 - NOMINAL_COVERAGES), 0.5 * (1.0 + NOMINAL_COVERAGES)
        share = _share_of_step(left, right, *bounds)
        return np.where(right > left, share, inside).mean(axis=0)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        target: int | None = None,
        n_bins: int = 10,
        offset: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the calibration of a fitted mixture for regression.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, preferably of rows that were not used in the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target, which may be censored.
        target : int, default=None
            Index of the output, if there are several.
        n_bins : int, default=10
            Bins of the histogram; 10 to 20 for some hundred rows and more.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : CalibrationDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts for regression.
        ValueError
            If the output is missing or unknown, `n_bins` is not an integer of at least two, or the
            experts have no predictive distribution.
        """
        estimator, X, _ = drawn_mixture(cls, estimator, X)
        if is_classifier(estimator):
            raise TypeError(
                f"estimator must be a regressor; got {type(estimator).__name__}. For classes use "
                "sklearn.calibration.CalibrationDisplay."
            )
        output = check_target(estimator, target, check_table(estimator, X))
        distribution = estimator.predict_dist(X, offset)
        bounds: Any = checked_bounds(y) if has_bounds(y) else {"lower": y, "upper": y}
        pit = np.asarray(distribution.cdf(bounds["upper"]))
        left = np.asarray(distribution.cdf_left(bounds["lower"]))
        pit, left = (values if values.ndim == 1 else values[:, output] for values in (pit, left))
        return cls.from_predictions(pit, pit_left=left, n_bins=n_bins, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, pit: Any, *, pit_left: Any = None, n_bins: int = 10, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the calibration of any predictive distributions.

        Parameters
        ----------
        pit : array-like of shape (n_samples,)
            Predictive distribution functions at the observed y, from 0 to 1.
        pit_left : array-like of shape (n_samples,), default=None
            Their limits from the left, such as `cdf_left` of the distributions of
            `skmoe.distributions`. None for continuous distributions.
        n_bins : int, default=10
            Bins of the histogram; 10 to 20 for some hundred rows and more.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : CalibrationDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `pit` is not one-dimensional or is outside the range from 0 to 1, `pit_left` has
            another shape or exceeds it, or `n_bins` is not an integer of at least two.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        pit = np.asarray(pit, dtype=np.float64)
        if pit.ndim != 1 or len(pit) == 0:
            raise ValueError(
                "pit must be one-dimensional, with a number for each row; got shape "
                f"{pit.shape}. Draw one output at a time."
            )
        outside = ~((pit >= 0.0) & (pit <= 1.0))
        if outside.any():
            raise ValueError(
                "pit must lie between 0 and 1: it holds predictive distribution functions at the "
                f"observed y; got {pit[outside][0]:g}."
            )
        left = pit if pit_left is None else np.asarray(pit_left, dtype=np.float64)
        if left.shape != pit.shape:
            raise ValueError(f"pit_left must have the shape of pit, {pit.shape}; got {left.shape}.")
        outside = ~((left >= 0.0) & (left <= pit))
        if outside.any():
            raise ValueError(
                "pit_left must lie between 0 and pit: it holds probabilities of values below the "
                f"observed y; got {left[outside][0]:g} for {pit[outside][0]:g}."
            )
        return cls(pit=pit, pit_left=left).plot(ax=ax, n_bins=n_bins, **kwargs)

    def plot(self, ax: Any = None, *, n_bins: int = 10, **kwargs: Any) -> Self:
        """Draw histogram and coverage.

        Parameters
        ----------
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        n_bins : int, default=10
            Bins of the histogram; 10 to 20 for some hundred rows and more.
        **kwargs : dict
            Passed to matplotlib's `stairs` for the histogram.

        Returns
        -------
        display : CalibrationDisplay
            This display.
        """
        n_bins = check_integer("n_bins", n_bins, least=2)
        self.ax_ = panel_axes(ax, f"{type(self).__name__}.plot", 2, TWO_PANELS_SIZE)
        self.figure_ = self.ax_[0].figure
        self.bands_: list[Any] = []
        self._plot_histogram(self.ax_[0], n_bins, kwargs)
        self._plot_coverage(self.ax_[1])
        return self

    def _plot_histogram(self, ax: Any, n_bins: int, kwargs: dict[str, Any]) -> None:
        steps = self.pit > self.pit_left
        at_points, edges = np.histogram(self.pit[~steps], n_bins, (0.0, 1.0))
        left, right = self.pit_left[steps, None], self.pit[steps, None]
        count = at_points + _share_of_step(left, right, edges[:-1], edges[1:]).sum(axis=0)
        n_rows = len(self.pit)
        self.density = count * n_bins / n_rows
        low, high = (bound * n_bins / n_rows for bound in _binomial_band(n_rows, 1.0 / n_bins))
        self.bands_.append(ax.axhspan(low, high, **BAND_STYLE))
        style = {"color": colour(0), "linewidth": 2}
        self.stairs_ = ax.stairs(self.density, edges, **merged(style, kwargs))
        ax.axhline(1.0, color=DARK_GREY, linestyle="--", linewidth=1)
        ax.set(xlabel="Distribution function\nat the observed y", ylabel="Density of rows")
        ax.set(xlim=(0, 1), ylim=(0, None))

    def _plot_coverage(self, ax: Any) -> None:
        n_rows = len(self.pit)
        low, high = (bound / n_rows for bound in _binomial_band(n_rows, NOMINAL_COVERAGES))
        label = f"{100 * BAND_PROBABILITY:g} % range\nif calibrated"
        band = ax.fill_between(NOMINAL_COVERAGES, low, high, label=label, **BAND_STYLE)
        self.bands_.append(band)
        ax.plot([0, 1], [0, 1], color=DARK_GREY, linestyle="--", linewidth=1)
        style = {"color": colour(0), "markersize": 4, "label": "observed"}
        (self.line_,) = ax.plot(NOMINAL_COVERAGES, self.coverage, "o-", **style)
        ax.set(xlabel="Nominal coverage\nof the interval", ylabel="Share of the rows inside")
        ax.set(xlim=(0, 1), ylim=(0, 1))
        handles = [self.line_, self.bands_[-1]]  # a corner is free on one side of the curve
        ax.legend(handles=handles, loc="best", frameon=False, fontsize=8, borderpad=0.2)


def _share_of_step(left: Array, right: Array, low: Array, high: Array) -> Array:
    """Share of the steps from left to right that lies between low and high."""
    overlap = np.minimum(right, high) - np.maximum(left, low)
    return np.maximum(overlap, 0.0) / np.where(right > left, right - left, 1.0)


def _binomial_band(n_rows: int, probability: Any) -> tuple[Any, Any]:
    """Central range, of probability `BAND_PROBABILITY`, of binomial counts of the rows."""
    tail = (1.0 - BAND_PROBABILITY) / 2.0
    return binom.ppf(tail, n_rows, probability), binom.ppf(1.0 - tail, n_rows, probability)
