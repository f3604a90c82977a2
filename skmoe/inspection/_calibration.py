"""Displays of predictive distributions against observed y: calibration, counts and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.stats import binom
from sklearn.utils import check_consistent_length

from skmoe._data import censored_targets as targets
from skmoe._data.checks import check_integer, check_level, check_real, has_bounds
from skmoe._data.rows import Rows, index_rows
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._inference.labels import format_percent, output_labels, printable_name
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

# Nominal coverages that are compared with the observed ones.
NOMINAL_COVERAGES = np.linspace(0.05, 0.95, 19)

# Probability of the grey bands, at each point, under calibrated distributions.
BAND_PROBABILITY = 0.95

# Where classes are drawn.
FOR_CLASSES = "For classes use sklearn.calibration.CalibrationDisplay."

# The largest count that is drawn if none is given.
MAX_COUNT = 100

# Two standard deviations of the square root of a Poisson count, about, whatever its mean.
WARNING_LIMIT = 1.0

# Times at which predicted curves are computed.
N_TIMES = 100

# Intervals between the times of numbers below the axis, at most; their distance from it and from
# each other, in points; and characters of the name of a group beside them.
N_TICKS, NUMBERS_HEIGHT, NUMBERS_LINE, GROUP_NAME_WIDTH = 6, -48.0, 11.0, 18

# Values of a feature that have curves of their own, at most.
MAX_GROUPS = 6


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

    With `horizon`, a time, the calibration is that of the probability of an event until then. Left:
    the predicted probabilities. Right: groups of rows with about the same one, and in each the mean
    of those predicted beside one minus the Kaplan-Meier estimate, with its interval [3]_.

    See "Calibration" in the user guide, and "Do intervals adapt to the noise?" in the gallery.

    Parameters
    ----------
    pit : ndarray of shape (n_samples,)
        Predictive distribution functions at the observed y.
    pit_left : ndarray of shape (n_samples,), default=None
        Their limits from the left, which are lower where y has a probability of its own, such as
        `cdf_left` of the distributions of `skmoe.distributions`. None for continuous ones.
    n_bins : int, default=10
        Bins of the histogram.
    horizon : float, default=None
        The time until which events are predicted; None for whole distributions.
    risk : ndarray of shape (n_samples,), default=None
        Predicted probabilities of an event until the horizon.
    risk_groups : ndarray of shape (4, n_groups), default=None
        In each group of rows the mean predicted probability, the observed one, and its interval.

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
    .. [3] F. E. Harrell (2015), "Regression Modeling Strategies", 2nd edition, Springer, section
       19.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import CalibrationDisplay
    >>> display = CalibrationDisplay(pit=np.linspace(0, 1, 101)).plot()
    >>> bool(np.abs(display.coverage - display.nominal).max() < 0.02)
    True
    """

    pit: Array
    pit_left: Any = None
    n_bins: int = 10
    horizon: float | None = None
    risk: Any = None
    risk_groups: Any = None
    nominal: ClassVar[Array] = NOMINAL_COVERAGES

    def __post_init__(self) -> None:
        self.pit_left = self.pit if self.pit_left is None else self.pit_left

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
        horizon: float | None = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
        ax: Any = None,
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
            Bins of the histogram; 10 to 20 for some hundred rows and more. With `horizon` it is the
            number of groups of rows with about the same probability.
        horizon : float, default=None
            A time within the observation, in the unit of y, for the calibration of the probability
            of an event until then; None for that of whole distributions.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.

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
            If the output is missing or unknown, `n_bins` is not an integer of at least two, the
            horizon is after the last time, or the experts have no predictive distribution.
        """
        estimator, X, *_ = subject.drawn_mixture(cls, estimator, X)
        subject.check_regressor(estimator, FOR_CLASSES)
        output, y = subject.check_target(estimator, target, X), subject.outcomes_of(estimator, y)
        check_integer("n_bins", n_bins, least=2)
        rows, given = Rows(X, y, unit=units, time=time), {"var_weights": var_weights}
        distribution = subject.observed_distribution(estimator, rows, output, offset, **given)
        bounds = targets.as_bounds(subject.target_of(y, output), targets.WITH_ENTRY)
        # Those of y given that it is larger than its entry.
        before, after = distribution.cdf(bounds["entry"]), distribution.sf(bounds["entry"])
        ends = distribution.cdf(bounds["upper"]), distribution.cdf_left(bounds["lower"])
        pit, left = ((end - before) / after for end in ends)
        known = np.isfinite(pit) & ~targets.is_unknown(bounds)
        at_time: dict[str, Any] = {}
        if horizon is not None:
            end = check_real("horizon", horizon, least=-np.inf)
            risk = distribution.cdf(end)[known]
            at_time = {"horizon": end, "risk": risk}
            at_time["risk_groups"] = _groups_of_risk(risk, bounds[known], end, n_bins)
        return cls(pit=pit[known], pit_left=left[known], n_bins=n_bins, **at_time).plot(ax)

    def _draw(self, ax: Any) -> Any:
        n_bins, n_rows = self.n_bins, len(self.pit)
        axes = self._axes(ax, 2, draw.TWO_PANELS_SIZE)
        left, right = axes
        if self.horizon is not None:
            self._draw_risk(left, right)
            return axes
        in_bins, edges = np.histogram(self.pit[self.pit <= self.pit_left], n_bins, (0.0, 1.0))
        in_bins = in_bins + self._shares_between(edges[:-1], edges[1:]).sum(axis=0)
        self.density = in_bins * n_bins / n_rows
        ends = n_bins * _binomial_band(n_rows, np.array([1.0 / n_bins])).ravel()
        bands = [left.axhspan(*ends, **draw.BAND)]
        self.stairs_ = left.stairs(self.density, edges, color=draw.colour(0), linewidth=2)
        left.axhline(1.0, **draw.REFERENCE)
        left.set(xlabel="Distribution function\nat the observed y", ylabel="Density of rows")
        left.set(xlim=(0, 1), ylim=(0, None))
        ends = _binomial_band(n_rows, NOMINAL_COVERAGES)
        label = f"{100 * BAND_PROBABILITY:g} % range\nif calibrated"
        self.bands_ = [*bands, draw.draw_band(right, NOMINAL_COVERAGES, ends, label=label)]
        right.plot([0, 1], [0, 1], **draw.REFERENCE)
        style = {"color": draw.colour(0), "markersize": 4, "label": "observed"}
        (self.line_,) = right.plot(NOMINAL_COVERAGES, self.coverage, "o-", **style)
        right.set(xlabel="Nominal coverage\nof the interval", ylabel="Share of the rows inside")
        right.set(xlim=(0, 1), ylim=(0, 1))
        handles = [self.line_, self.bands_[-1]]  # a corner is free on one side of the curve
        right.legend(handles=handles, loc="best", frameon=False, fontsize=8, borderpad=0.2)
        return axes

    def _draw_risk(self, left: Any, right: Any) -> None:
        """Predicted probabilities of an event until the horizon, and observed ones of groups."""
        in_bins, edges = np.histogram(self.risk, self.n_bins)
        self.density = in_bins / (len(self.risk) * np.diff(edges))
        self.stairs_ = left.stairs(self.density, edges, color=draw.colour(0), linewidth=2)
        name = f"Predicted probability\nof an event until {self.horizon:g}"
        left.set(xlabel=name, ylabel="Density of rows", ylim=(0, None))
        predicted, observed, *ends = self.risk_groups
        style: dict[str, Any] = {"color": draw.colour(0), "linewidth": 1.2}
        label = f"{100 * BAND_PROBABILITY:g} % interval"
        self.bands_ = [right.vlines(predicted, *ends, label=label, **style)]
        right.axline((0.0, 0.0), slope=1.0, **draw.REFERENCE)
        style = {"color": draw.colour(0), "markersize": 6, "label": "Kaplan-Meier, by groups"}
        (self.line_,) = right.plot(predicted, observed, "o", **style)
        limits = 0.0, min(1.0, 1.05 * float(np.nanmax([predicted, *ends])))
        right.set(xlabel=name, ylabel="Observed probability", xlim=limits, ylim=limits)
        draw.legend_above(right, [self.line_, *self.bands_], ncols=2, fontsize=8)


def _groups_of_risk(risk: Array, y: Array, horizon: float, n_groups: int) -> Array:
    """Means of predicted probabilities, observed ones, and their intervals, in groups, (4, G)."""
    until, event = targets.times_and_events("CalibrationDisplay", y, may_enter=True)
    if horizon > until.max():
        raise ValueError(
            f"horizon must be at most the last time of the rows, {until.max():g}; got {horizon:g}. "
            "Choose a time within the observation."
        )
    edges = np.quantile(risk, np.linspace(0.0, 1.0, n_groups + 1)[1:-1])
    codes, found = np.searchsorted(np.unique(edges), risk, side="right"), []
    for own in np.unique(codes)[:, None] == codes:
        table = EventTable.of(until[own], event[own], np.ones(own.sum()), y["entry"][own])
        survival, *band = table.survival_at(horizon, BAND_PROBABILITY)
        found.append([risk[own].mean(), 1.0 - survival, *np.sort(1.0 - np.array(band))])
    return np.array(found).T


def _binomial_band(n_rows: int, probability: Array) -> Array:
    """Ends (2, B) of the central range, of `BAND_PROBABILITY`, of shares of the rows."""
    return np.array(binom.interval(BAND_PROBABILITY, n_rows, probability)) / n_rows


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
        Square roots of the expected numbers.
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
    >>> import numpy as np
    >>> from skmoe.inspection import RootogramDisplay
    >>> display = RootogramDisplay(observed=np.array([4, 1]), expected=np.array([1.0, 4.0])).plot()
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
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        ax: Any = None,
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
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

        Returns
        -------
        display : RootogramDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts for regression.
        ValueError
            If the mixture has no distribution of counts, y does not hold one for each row, the
            output is missing or unknown, or an option is invalid.
        """
        estimator, X, *_ = subject.drawn_mixture(cls, estimator, X)
        subject.check_regressor(estimator, FOR_CLASSES)
        output = subject.check_target(estimator, target, X)
        is_one, y = len(output_labels(estimator)) == 1, subject.outcomes_of(estimator, y)
        rows = Rows(X, y, unit=units, time=time)
        distribution = subject.observed_distribution(estimator, rows, output, offset)
        if not distribution.is_count:
            raise ValueError(
                "RootogramDisplay needs experts that are all families of counts; got family="
                f'{getattr(estimator, "family", None)!r}. Use family="poisson" or '
                '"negative_binomial", or CalibrationDisplay for other distributions.'
            )
        subject.check_rows("y", estimator, X, y)
        y = subject.one_target(targets.numbers_of("RootogramDisplay", y), output, 1)
        is_known = np.isfinite(y) | (is_one and not subject.has_series(estimator))
        y = y[is_known]
        if not np.isfinite(y).all() or (y != np.abs(np.floor(y))).any():
            raise ValueError(
                "y must hold counts, which are non-negative integers. Use CalibrationDisplay for "
                "other distributions."
            )
        if max_count is None:
            max_count = min(int(y.max()), MAX_COUNT)
        counts = np.arange(check_integer("max_count", max_count, least=0) + 1)
        expected = [distribution.pmf(count)[is_known].sum() for count in counts]
        observed = np.bincount(y.astype(int), minlength=len(counts))[: len(counts)]
        return cls(observed=observed, expected=np.array(expected)).plot(ax)

    def _draw(self, ax: Any) -> Any:
        (ax,) = self._axes(ax)
        line, label = np.sqrt(self.expected), "two standard deviations, about"
        ends = np.full((2, len(line)), [[-WARNING_LIMIT], [WARNING_LIMIT]])
        self.band_ = draw.draw_band(ax, self.counts, ends, label=label)
        bars = np.sqrt(self.observed), 0.8, self.deviation
        self.bars_ = ax.bar(self.counts, *bars, color=draw.colour(5), label="observed")
        ax.axhline(0.0, color=draw.DARK_GREY, linewidth=1)
        style = {"color": draw.colour(3), "markersize": 4, "label": "expected"}
        (self.line_,) = ax.plot(self.counts, line, "o-", **style)
        ax.set(xlabel="Count", ylabel="Square root of the number of rows")
        ax.xaxis.get_major_locator().set_params(integer=True)
        draw.legend_above(ax, [self.bars_, self.line_, self.band_])
        return ax


@dataclass(kw_only=True, eq=False, repr=False)
class SurvivalDisplay(draw.Display):
    """Predicted probabilities of no event until each time, over the Kaplan-Meier curve [1]_.

    The curve of an expert is the mean of its survival functions over the rows, weighted by the
    gate, whose mean is the share in the legend. These curves, with their shares, add up to that of
    the mixture. Of a calibrated mixture it is close to the Kaplan-Meier curve of the rows. The band
    has intervals for each time, by Greenwood's variance. Below the axis are the numbers of rows
    that are still observed at a time, and without an event. Rows of the fit give an optimistic
    result.

    With a feature `by`, such as a treatment, each of its values has the curve of the mixture for
    its rows, and their Kaplan-Meier curve; the experts have none.

    Parameters
    ----------
    expert_names : list of str of length n_experts
        Names of the experts.
    times : ndarray of shape (n_times,)
        Times of the predicted curves.
    curves : ndarray of shape (n_times, n_experts)
        Mean survival functions of the experts.
    mixture : ndarray of shape (n_times,)
        Mean survival function of the mixture.
    shares : ndarray of shape (n_experts,)
        Mean probabilities of the gate.
    observed_times, observed : ndarray of shape (n_steps,)
        Times at which the Kaplan-Meier curve can fall, and its values from there on.
    band : ndarray of shape (2, n_steps), default=None
        Intervals for `observed`.
    level : float, default=None
        Confidence of the intervals.
    time_name : str, default="y"
        Label of the horizontal axis.
    risk_times, at_risk : ndarray of shape (n_ticks,), default=None
        Times of the numbers below the axis, and these.
    group_name : str, default=""
        Name of the group of rows.
    groups : list of SurvivalDisplay, default=None
        The displays of the values of `by`, with their curves and artists; None without.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        Curves of the experts; with `groups` none.
    numbers_ : list of matplotlib texts
        The numbers below the axis.
    mixture_line_, observed_line_ : matplotlib lines
        Curve of the mixture, and Kaplan-Meier curve.
    band_ : matplotlib collection or None
        The intervals.
    legend_ : matplotlib legend
        The legend.

    See Also
    --------
    CalibrationDisplay : The distribution function at the times of the rows.
    skmoe.metrics.make_survival_scorers : Scores of predicted times.

    References
    ----------
    .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure Time
       Data", 2nd edition, Wiley, chapter 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.data import right_censored
    >>> from skmoe.inspection import SurvivalDisplay
    >>> time = np.random.default_rng(0).weibull(2, size=200)
    >>> X, y = np.zeros((200, 1)), right_censored(np.minimum(time, 1), time < 1)
    >>> moe = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y)
    >>> display = SurvivalDisplay.from_estimator(moe, X, y)
    >>> bool(abs(display.mixture[-1] - display.observed[-1]) < 0.05)
    True
    """

    expert_names: Sequence[str]
    times: Array
    curves: Array
    mixture: Array
    shares: Array
    observed_times: Array
    observed: Array
    band: Array | None = None
    level: float | None = None
    time_name: str = "y"
    risk_times: Any = None
    at_risk: Any = None
    group_name: str = ""
    groups: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        by: Any = None,
        target: int | None = None,
        level: float | None = 0.95,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of a fitted mixture for regression.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, preferably of rows that were not used in the fit.
        y : structured array of shape (n_samples,) or (n_samples, n_outputs)
            Times and events, of `skmoe.data.right_censored`; or times of events.
        by : int or str, default=None
            A feature of two to six values, by index or name, whose values have curves of their own.
        target : int, default=None
            Index of the output, if there are several.
        level : float, default=0.95
            Confidence of the intervals for the Kaplan-Meier curve; None for no band.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
            The band is that of independent rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

        Returns
        -------
        display : SurvivalDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts for regression.
        ValueError
            If y has other bounds than those of right-censored times, the output is missing or
            unknown, `by` has another number of values, the level is not in (0, 1), or the experts
            have no predictive distribution.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        mixture = mixture_of(estimator)
        j = None if by is None else subject.check_features("by", by, estimator, most=1)[0]
        labels, estimator = subject.names_of_fit(estimator), mixture
        subject.check_regressor(estimator, "For times use MixtureOfExpertsRegressor.")
        X = subject.check_table(estimator, X)
        check_level(level, may_be_none=True)
        output, y = subject.check_target(estimator, target, X), subject.outcomes_of(estimator, y)
        check_consistent_length(X, y)
        own = targets.as_bounds(subject.target_of(y, output), targets.WITH_ENTRY)
        kept = np.flatnonzero(~targets.is_unknown(own) | (np.ndim(y) == 1))
        until, event = targets.times_and_events(cls.__name__, own[kept], may_enter=True)
        entry = own["entry"][kept]
        start = min(until.min(), 0.0)
        grid, ticks = np.linspace(start, until.max(), N_TIMES), _round_times(start, until.max())
        gate = subject.gate_of_rows(estimator, Rows(X, y, unit=units, time=time))
        experts, mixture = subject.predicted_survival(estimator, X, grid, output, offset, gate)
        experts, mixture, gate = experts[kept], mixture[kept], gate[kept]

        def of_rows(rows: Any, name: str = "") -> Any:
            weight = gate[rows] + np.finfo(float).tiny
            own, entered, band = until[rows, None], entry[rows, None], None
            table = EventTable.of(until[rows], event[rows], np.ones(len(own)), entry[rows])
            if level is not None:
                band = np.hstack([np.ones((2, 1)), table.survival_band(level)])
            return cls(
                times=grid,
                curves=np.einsum("nk,nkt->tk", weight / weight.sum(axis=0), experts[rows]),
                mixture=mixture[rows].mean(axis=0),
                shares=gate[rows].mean(axis=0),
                observed_times=np.append(start, table.times),
                observed=np.append(1.0, table.survival),
                band=band,
                level=level,
                time_name="Time" if has_bounds(y) else subject.target_name(estimator, y, output),
                expert_names=subject.names_of_experts(estimator),
                risk_times=ticks,
                at_risk=((own >= ticks) & (entered <= ticks)).sum(axis=0),
                group_name=name,
            )

        found: Self = of_rows(np.arange(len(until)))
        if j is not None:
            found.groups = [
                of_rows(rows, f"{printable_name(labels[j])}: {text}")
                for text, rows in _rows_of_values(index_rows(X, kept), j)
            ]
        return found.plot(ax)

    def _draw(self, ax: Any) -> Any:
        (ax,) = self._axes(ax)
        self.lines_: list[Any] = []
        self.numbers_: list[Any] = []
        groups = enumerate(self.groups or ())
        handles = [group.draw_curves(ax, draw.colour(k))[0] for k, group in groups]
        if not handles:
            handles = [*self.draw_curves(ax), *self._draw_experts(ax), self.band_]
        ax.set(xlim=self.times[[0, -1]], ylim=(0.0, 1.01), ylabel="Probability of no event")
        has_numbers = self.risk_times is not None
        draw.label_feature(ax, self.time_name, None, "below: rows at risk" * has_numbers)
        if has_numbers:
            self._write_numbers(ax)
        self.legend_ = draw.expert_legend(ax, handles)
        if self.groups:
            self.legend_.set_title("Mixture\n(pale: Kaplan-Meier)")
        return ax

    def draw_curves(self, ax: Any, colour: str | None = None) -> list[Any]:
        """Draw the curve of the mixture over that of Kaplan and Meier.

        Parameters
        ----------
        ax : matplotlib axes
            Where they are drawn.
        colour : str, default=None
            Colour of a group; None for grey.

        Returns
        -------
        lines : list of matplotlib lines
            Both curves.
        """
        style: dict[str, Any] = {"step": "post", "label": draw.interval_label(self.level)}
        style |= {} if colour is None else {"color": colour, "alpha": 0.12}
        self.band_ = draw.draw_band(ax, self.observed_times, self.band, **style)
        style = {"color": draw.LIGHT_GREY, "label": "Kaplan-Meier", "where": "post"}
        style |= {} if colour is None else {"color": colour, "alpha": 0.45}
        (self.observed_line_,) = ax.step(self.observed_times, self.observed, linewidth=4.0, **style)
        label = draw.wrapped(self.group_name, draw.LEGEND_NAME_WIDTH) or "mixture"
        style = {"color": colour or draw.DARK_GREY, "label": label}
        (self.mixture_line_,) = ax.plot(self.times, self.mixture, linewidth=1.5, **style)
        return [self.mixture_line_, self.observed_line_]

    def _draw_experts(self, ax: Any) -> list[Any]:
        """Draw the curves of the experts; returns handles of a legend."""
        handles, names = [], draw.in_legend(self.expert_names)
        for k, (name, share) in enumerate(zip(names, self.shares, strict=True)):
            style = draw.curve_style(k, len(self.times))
            self.lines_ += ax.plot(self.times, self.curves[:, k], **style)
            label = f"{name}\n{format_percent(share)} of the rows"
            handles.append(draw.expert_handle(k, label))
        return handles

    def _write_numbers(self, ax: Any) -> None:
        """Numbers of rows at risk below the axis, of each group."""
        ax.set_xticks(self.risk_times)
        style: dict[str, Any] = {"fontsize": 8, "textcoords": "offset points", "va": "top"}
        n_lines = ax.get_xlabel().count("\n")  # of the name above them
        for k, group in enumerate(self.groups or [self]):
            height = NUMBERS_HEIGHT - NUMBERS_LINE * (k + max(n_lines - 1, 0))
            style["color"] = draw.colour(k) if self.groups else draw.DARK_GREY
            name = draw.shortened([group.group_name], GROUP_NAME_WIDTH)[0]
            at = {"xycoords": ax.transAxes, "xytext": (-16, height), "ha": "right"}
            ax.annotate(name, (0.0, 0.0), **at, **style)
            at = {"xycoords": ax.get_xaxis_transform(), "xytext": (0, height), "ha": "center"}
            pairs = zip(self.risk_times, group.at_risk, strict=True)
            self.numbers_ += [ax.annotate(str(n), (t, 0.0), **at, **style) for t, n in pairs]


def _round_times(start: float, end: float) -> Array:
    """Round times between the ends of an axis."""
    from matplotlib.ticker import MaxNLocator

    ticks = np.asarray(MaxNLocator(N_TICKS).tick_values(start, end))
    return ticks[(ticks >= start) & (ticks <= end)]


def _rows_of_values(X: Any, j: int) -> list[tuple[str, Array]]:
    """Values of a feature as text, and their rows."""
    levels, values = subject.levels_of(X, j), subject.values_of(X, j)
    if not 2 <= len(levels.values) <= MAX_GROUPS:
        raise ValueError(
            f"by must be a feature of two to {MAX_GROUPS} values; column {j} has "
            f"{len(levels.values)}. Choose another one, or pass a column of groups in X."
        )
    pairs = zip(levels.texts, levels.values, strict=True)
    return [(text, np.flatnonzero(values == value)) for text, value in pairs]
