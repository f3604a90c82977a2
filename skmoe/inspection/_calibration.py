"""Displays of predictive distributions against observed y: calibration, frequencies of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import binom

from skmoe._data.censored_targets import checked_bounds
from skmoe._data.checks import check_choice, check_integer
from skmoe._data.rows import has_bounds
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection._subject import (
    check_regressor,
    check_target,
    drawn_mixture,
    one_target,
)

# Nominal coverages that are compared with the observed ones.
NOMINAL_COVERAGES = np.linspace(0.05, 0.95, 19)

# Probability of the grey bands, at each point, under calibrated distributions.
BAND_PROBABILITY = 0.95

STYLES = ("hanging", "standing", "suspended")

# The largest count that is drawn if none is given.
MAX_COUNT = 100

# Two standard deviations of the square root of a Poisson count, about, whatever its mean.
WARNING_LIMIT = 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class CalibrationDisplay(draw.Display):
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
        inside = 2.0 * np.abs(self.pit[:, None] - 0.5) <= NOMINAL_COVERAGES
        share = self._shares_between(0.5 - 0.5 * NOMINAL_COVERAGES, 0.5 + 0.5 * NOMINAL_COVERAGES)
        return np.where((self.pit > self.pit_left)[:, None], share, inside).mean(axis=0)

    def _shares_between(self, low: Array, high: Array) -> Array:
        """Share of each step (n, B) that lies between some bounds; zeros for rows without one."""
        left, right = self.pit_left[:, None], self.pit[:, None]
        overlap = np.minimum(right, high) - np.maximum(left, low)
        return np.maximum(overlap, 0.0) / np.where(right > left, right - left, 1.0)

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
        estimator, X, *_ = drawn_mixture(cls, kwargs, estimator, X)
        check_regressor(estimator, "For classes use sklearn.calibration.CalibrationDisplay.")
        output = check_target(estimator, target, X)
        gate = estimator.predict_gate(X, units=units)
        distribution = estimator.predict_dist(X, offset=offset, gate_proba=gate)
        bounds: Any = checked_bounds(y) if has_bounds(y) else {"lower": y, "upper": y}
        pit = one_target(distribution.cdf(bounds["upper"]), output, 1)
        left = one_target(distribution.cdf_left(bounds["lower"]), output, 1)
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
        return self._plot(ax, n_bins=n_bins, style=kwargs)

    def _draw(self, ax: Any, **options: Any) -> Any:
        n_bins, n_rows = check_integer("n_bins", options["n_bins"], least=2), len(self.pit)
        axes = self._axes(ax, 2, draw.TWO_PANELS_SIZE)
        left, right = axes
        in_bins, edges = np.histogram(self.pit[self.pit <= self.pit_left], n_bins, (0.0, 1.0))
        in_bins = in_bins + self._shares_between(edges[:-1], edges[1:]).sum(axis=0)
        self.density = in_bins * n_bins / n_rows
        ends = n_bins * _binomial_band(n_rows, np.array([1.0 / n_bins])).ravel()
        bands = [left.axhspan(*ends, **draw.BAND)]
        style = {"color": draw.colour(0), "linewidth": 2}
        self.stairs_ = left.stairs(self.density, edges, **draw.merged(style, options["style"]))
        left.axhline(1.0, **draw.REFERENCE)
        left.set(xlabel="Distribution function\nat the observed y", ylabel="Density of rows")
        left.set(xlim=(0, 1), ylim=(0, None))
        ends = _binomial_band(n_rows, NOMINAL_COVERAGES)
        label = f"{100 * BAND_PROBABILITY:g} % range\nif calibrated"
        self.bands_ = [*bands, draw.draw_band(right, NOMINAL_COVERAGES, ends, {"label": label})]
        right.plot([0, 1], [0, 1], **draw.REFERENCE)
        style = {"color": draw.colour(0), "markersize": 4, "label": "observed"}
        (self.line_,) = right.plot(NOMINAL_COVERAGES, self.coverage, "o-", **style)
        right.set(xlabel="Nominal coverage\nof the interval", ylabel="Share of the rows inside")
        right.set(xlim=(0, 1), ylim=(0, 1))
        handles = [self.line_, self.bands_[-1]]  # a corner is free on one side of the curve
        right.legend(handles=handles, loc="best", frameon=False, fontsize=8, borderpad=0.2)
        return axes


def _binomial_band(n_rows: int, probability: Array) -> Array:
    """Ends (2, B) of the central range, of `BAND_PROBABILITY`, of shares of the rows."""
    tail = (1.0 - BAND_PROBABILITY) / 2.0
    return binom.ppf([[tail], [1.0 - tail]], n_rows, probability) / n_rows


@dataclass(kw_only=True, eq=False, repr=False)
class RootogramDisplay(draw.Display):
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
        estimator, X, *_ = drawn_mixture(cls, kwargs, estimator, X)
        distribution = None
        if hasattr(estimator, "predict_dist"):
            gate = estimator.predict_gate(X, units=units)
            distribution = estimator.predict_dist(X, offset=offset, gate_proba=gate)
        if distribution is None or not distribution.is_count:
            raise ValueError(
                "RootogramDisplay needs experts that are all families of counts; got family="
                f'{getattr(estimator, "family", None)!r}. Use family="poisson" or '
                '"negative_binomial", or CalibrationDisplay for other distributions.'
            )
        output = check_target(estimator, target, X)
        y = _counts(y, len(distribution), output)
        if max_count is None:
            max_count = min(int(y.max()), MAX_COUNT)
        counts = np.arange(check_integer("max_count", max_count, least=0) + 1)
        expected = [one_target(distribution.pmf(count), output, 1).sum() for count in counts]
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
        return self._plot(ax, form=check_choice("style", style, STYLES), style=kwargs)

    def _draw(self, ax: Any, **options: Any) -> Any:
        (ax,) = self._axes(ax)
        zeros = np.zeros(len(self.counts))
        line, root = np.sqrt(self.expected), np.sqrt(self.observed)
        level, bottom, height, centre = {
            "hanging": (line, self.deviation, root, zeros),
            "standing": (line, zeros, root, line),
            "suspended": (zeros, zeros, self.deviation, zeros),
        }[options["form"]]
        ends = centre - WARNING_LIMIT, centre + WARNING_LIMIT
        label = "two standard deviations, about"
        self.band_ = draw.draw_band(ax, self.counts, ends, {"label": label})
        style = {"color": draw.colour(5), "width": 0.8, "label": "observed"}
        style = draw.merged(style, options["style"])
        self.bars_ = ax.bar(self.counts, height, bottom=bottom, **style)
        ax.axhline(0.0, color=draw.DARK_GREY, linewidth=1)
        style = {"color": draw.colour(3), "markersize": 4, "label": "expected"}
        (self.line_,) = ax.plot(self.counts, level, "o-", **style)
        ax.set(xlabel="Count", ylabel="Square root of the number of rows")
        ax.xaxis.get_major_locator().set_params(integer=True)
        draw.legend_above(ax, [self.bars_, self.line_, self.band_])
        return ax


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
