"""Displays of predictive distributions against observed y: calibration, frequencies of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import binom
from sklearn.base import is_classifier

from skmoe._data.censored_targets import checked_bounds
from skmoe._data.checks import check_choice, check_integer
from skmoe._data.rows import has_bounds
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_table, check_target, drawn_mixture
from skmoe.inspection._style import (
    DARK_GREY,
    LIGHT_GREY,
    TWO_PANELS_SIZE,
    colour,
    legend_above,
    merged,
    one_axes,
    panel_axes,
)
from skmoe.inspection._targets import gate_of_units

# Nominal coverages that are compared with the observed ones.
NOMINAL_COVERAGES = np.linspace(0.05, 0.95, 19)

# Probability of the grey bands, at each point, under calibrated distributions.
BAND_PROBABILITY = 0.95

# How bands are drawn.
BAND_STYLE: dict[str, Any] = {"color": LIGHT_GREY, "alpha": 0.35, "linewidth": 0}

STYLES = ("hanging", "standing", "suspended")

# The largest count that is drawn if none is given.
MAX_COUNT = 100

# Two standard deviations of the square root of a Poisson count, about, whatever its mean.
WARNING_LIMIT = 1.0


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
        units: Any = None,
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
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
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
        estimator, X, _ = drawn_mixture(cls, estimator, X, kwargs)
        if is_classifier(estimator):
            raise TypeError(
                f"estimator must be a regressor; got {type(estimator).__name__}. For classes use "
                "sklearn.calibration.CalibrationDisplay."
            )
        output = check_target(estimator, target, check_table(estimator, X))
        gate = gate_of_units(estimator, X, units)
        distribution = estimator.predict_dist(X, offset=offset, **gate)
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


@dataclass(kw_only=True, eq=False, repr=False)
class RootogramDisplay:
    """Rootogram: observed and expected frequencies of counts [1]_.

    The square root of the number of rows with each count is a bar, that of the expected number a
    line. Square roots make deviations of frequent and of rare counts comparable, since their
    standard deviation is about a half. Bars hang from the line: where one does not reach the axis,
    or crosses it, by more than about one, there are fewer or more such rows than expected. A bar
    at 0 that crosses it means excess zeros, and a pattern of waves wrong dispersion. Grey: the
    range of plus and minus one. See "Displays" in the user guide, and "More zeros than a Poisson
    distribution has" in the gallery.

    Parameters
    ----------
    observed : ndarray of shape (n_counts,)
        Numbers of the rows with counts 0, 1, 2 and so on.
    expected : ndarray of shape (n_counts,)
        Their expectations.

    Attributes
    ----------
    counts : ndarray of shape (n_counts,)
        The counts.
    deviation : ndarray of shape (n_counts,)
        Square roots of the expected minus those of the observed numbers: where hanging bars end.
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    bars_ : matplotlib container
        The bars.
    line_ : matplotlib line
        Square roots of the expected numbers; zero if the style is "suspended".
    band_ : matplotlib patch
        The grey band.

    See Also
    --------
    CalibrationDisplay : The distribution function at the observed counts.

    References
    ----------
    .. [1] C. Kleiber and A. Zeileis (2016), "Visualizing count data regressions using rootograms",
       The American Statistician 70, 296-303.

    Examples
    --------
    >>> from skmoe.inspection import RootogramDisplay
    >>> display = RootogramDisplay.from_predictions([0, 0, 0, 0, 1], expected=[1.0, 4.0])
    >>> display.observed
    array([4, 1])
    >>> display.deviation
    array([-1.,  1.])
    """

    observed: Array
    expected: Array

    @property
    def counts(self) -> Array:
        """The counts 0, 1, 2 and so on."""
        return np.arange(len(self.observed))

    @property
    def deviation(self) -> Array:
        """Difference of the square roots of expected and observed numbers."""
        return np.sqrt(self.expected) - np.sqrt(self.observed)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        target: int | None = None,
        max_count: int | None = None,
        style: str = "hanging",
        offset: Any = None,
        units: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the rootogram of a fitted mixture for counts.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor
            Fitted mixture whose experts are all families of counts.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed counts.
        target : int, default=None
            Index of the output, if there are several.
        max_count : int, default=None
            Largest count that is drawn; None for the largest of y, and at most 100.
        style : {"hanging", "standing", "suspended"}, default="hanging"
            Whether bars hang from the line, stand on the axis, or are the deviations only.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : RootogramDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If the mixture has no distribution of counts, y does not hold one for each row, the
            output is missing or unknown, or an option is invalid.
        """
        estimator, X, _ = drawn_mixture(cls, estimator, X, kwargs)
        table = check_table(estimator, X)
        distribution = None
        if hasattr(estimator, "predict_dist"):
            gate = gate_of_units(estimator, X, units)
            distribution = estimator.predict_dist(X, offset=offset, **gate)
        if distribution is None or not distribution.is_count:
            raise ValueError(
                "RootogramDisplay needs experts that are all families of counts; got family="
                f'{getattr(estimator, "family", None)!r}. Use family="poisson" or '
                '"negative_binomial", or CalibrationDisplay for other distributions.'
            )
        output = check_target(estimator, target, table)
        y = _counts(y, len(distribution), output)
        if max_count is None:
            max_count = min(int(y.max()), MAX_COUNT)
        expected = []
        for count in range(check_integer("max_count", max_count, least=0) + 1):
            probability = distribution.pmf(count)
            expected.append(probability.reshape(len(y), -1)[:, output].sum())
        return cls.from_predictions(y, np.array(expected), style=style, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, y: Any, expected: Any, *, style: str = "hanging", ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the rootogram of any model of counts.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Observed counts.
        expected : array-like of shape (n_counts,)
            Expected numbers of rows with counts 0, 1, 2 and so on. Larger counts are not drawn.
        style : {"hanging", "standing", "suspended"}, default="hanging"
            Whether bars hang from the line, stand on the axis, or are the deviations only.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : RootogramDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If y does not hold counts, or `expected` no non-negative numbers, or the style is
            unknown.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        given, expected = expected, np.asarray(expected, dtype=np.float64)
        if expected.ndim != 1 or len(expected) == 0 or not (expected >= 0.0).all():
            raise ValueError(
                "expected must be one-dimensional and hold non-negative numbers of rows; got "
                f"{given!r}. Pass sums over the rows of the probabilities of 0, 1, 2 and so on."
            )
        y = _counts(y)
        observed = np.bincount(y[y < len(expected)].astype(int), minlength=len(expected))
        return cls(observed=observed, expected=expected).plot(ax=ax, style=style, **kwargs)

    def plot(self, ax: Any = None, *, style: str = "hanging", **kwargs: Any) -> Self:
        """Draw bars and line.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        style : {"hanging", "standing", "suspended"}, default="hanging"
            Whether bars hang from the line, stand on the axis, or are the deviations only.
        **kwargs : dict
            Passed to matplotlib's `bar`.

        Returns
        -------
        display : RootogramDisplay
            This display.
        """
        check_choice("style", style, STYLES)
        caller = f"{type(self).__name__}.plot"
        ax = one_axes(ax, caller)
        zeros = np.zeros(len(self.counts))
        line, root = np.sqrt(self.expected), np.sqrt(self.observed)
        level, bottom, height, centre = {
            "hanging": (line, self.deviation, root, zeros),
            "standing": (line, zeros, root, line),
            "suspended": (zeros, zeros, self.deviation, zeros),
        }[style]
        band = {"color": LIGHT_GREY, "alpha": 0.35, "linewidth": 0}
        band["label"] = "two standard deviations, about"
        ends = centre - WARNING_LIMIT, centre + WARNING_LIMIT
        self.band_ = ax.fill_between(self.counts, *ends, **band)
        defaults = {"color": colour(5), "width": 0.8, "label": "observed"}
        self.bars_ = ax.bar(self.counts, height, bottom=bottom, **merged(defaults, kwargs))
        ax.axhline(0.0, color=DARK_GREY, linewidth=1)
        points = {"color": colour(3), "markersize": 4, "label": "expected"}
        (self.line_,) = ax.plot(self.counts, level, "o-", **points)
        ax.set(xlabel="Count", ylabel="Square root of the number of rows")
        ax.xaxis.set_major_locator(import_pyplot(caller).MaxNLocator("auto", integer=True))
        legend_above(ax, [self.bars_, self.line_, self.band_])
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _counts(y: Any, n_rows: int | None = None, output: int = 0) -> Array:
    """Observed counts (n,) of an output."""
    values = np.asarray(y, dtype=np.float64)
    values = values[:, output] if values.ndim == 2 and output < values.shape[1] else values
    if values.ndim != 1 or len(values) == 0 or (n_rows or len(values)) != len(values):
        wanted = "row" if n_rows is None else f"of the {n_rows} rows of X"
        raise ValueError(
            f"y must have a count for each {wanted}; got shape {np.shape(y)}. Pass the target of "
            "these rows."
        )
    invalid = ~((values >= 0.0) & (values == np.floor(values)) & np.isfinite(values))
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"y must hold counts, which are non-negative integers; row {row} holds "
            f"{values[row]:g}. Use CalibrationDisplay for other distributions."
        )
    return values
