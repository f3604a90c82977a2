"""CalibrationDisplay: whether predicted distributions tell the truth."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_mixture, check_pit, check_table, check_target
from skmoe.inspection._style import INK, PALE, colour, legend_above, merged, two_axes

# Nominal coverages that are compared with the observed ones.
NOMINAL = np.linspace(0.05, 0.95, 19)

# Probability that chance alone stays within the grey bands, at each place.
CHANCE = 0.95


class CalibrationDisplay:
    """Calibration of the predicted distributions.

    Left: the probability integral transform, the predicted distribution function at the observed
    y. Of true distributions it is uniform; a histogram like a U tells of intervals that are too
    narrow, a hump of ones that are too wide, a slope of a bias. Right: the share of the rows inside
    the central intervals, against the coverage they promise. Grey: where 95 % of such shares would
    lie, by chance, if the distributions were true. Rows that the mixture was fitted on flatter it.

    Parameters
    ----------
    pit : ndarray of shape (n_samples,)
        Predicted distribution functions at the observed y.

    Attributes
    ----------
    nominal : ndarray of shape (n_levels,)
        Coverage that the intervals promise.
    coverage : ndarray of shape (n_levels,)
        Share of the rows inside the intervals.
    density : ndarray of shape (n_bins,)
        Heights of the histogram, one on average; after `plot`.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the picture.
    figure_ : matplotlib figure
        Figure of the picture.
    stairs_ : matplotlib patch
        The histogram.
    line_ : matplotlib line
        Observed against nominal coverage.
    bands_ : list of matplotlib collections
        What chance allows, in both halves.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same question for probabilities of classes.

    References
    ----------
    T. Gneiting, F. Balabdaoui and A. E. Raftery (2007), "Probabilistic forecasts, calibration and
    sharpness", Journal of the Royal Statistical Society B 69, 243-268.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import CalibrationDisplay
    >>> display = CalibrationDisplay.from_predictions(np.linspace(0, 1, 101))
    >>> bool(np.abs(display.coverage - display.nominal).max() < 0.02)
    True
    """

    def __init__(self, *, pit):
        self.pit = pit

    @property
    def nominal(self):
        """Coverage that the intervals promise."""
        return NOMINAL

    @property
    def coverage(self):
        """Share of the rows inside the central intervals."""
        return (2.0 * np.abs(self.pit[:, None] - 0.5) <= NOMINAL).mean(axis=0)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, target=None, n_bins=10, ax=None, **kwargs):
        """Draw the calibration of a fitted mixture for regression.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor
            Fitted mixture.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, best of rows that were not fitted on.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        target : int, default=None
            Index of the output, if there are several.
        n_bins : int, default=10
            Bins of the histogram.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : CalibrationDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator is not a mixture of experts for regression.
        ValueError
            If the output is not named or unknown, or `n_bins` is no integer of at least two.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_mixture(estimator)
        if is_classifier(estimator):
            raise TypeError(
                f"estimator must be a regressor; got {type(estimator).__name__}. For classes use "
                "sklearn.calibration.CalibrationDisplay."
            )
        output = check_target(estimator, target, check_table(estimator, X))
        pit = np.asarray(estimator.predict_dist(X).cdf(y))
        pit = pit if pit.ndim == 1 else pit[:, output]
        return cls.from_predictions(pit, n_bins=n_bins, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, pit, *, n_bins=10, ax=None, **kwargs):
        """Draw the calibration of any predicted distributions.

        Parameters
        ----------
        pit : array-like of shape (n_samples,)
            Predicted distribution functions at the observed y, from 0 to 1.
        n_bins : int, default=10
            Bins of the histogram.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : CalibrationDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `pit` is not one-dimensional or leaves the range from 0 to 1, or `n_bins` is no
            integer of at least two.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        return cls(pit=check_pit(pit)).plot(ax=ax, n_bins=n_bins, **kwargs)

    def plot(self, ax=None, *, n_bins=10, **kwargs):
        """Draw histogram and coverage.

        Parameters
        ----------
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one gives its place to two. None for new ones.
        n_bins : int, default=10
            Bins of the histogram.
        **kwargs : dict
            Passed to matplotlib's `stairs` for the histogram.

        Returns
        -------
        display : CalibrationDisplay
            This display.
        """
        n_bins = check_integer("n_bins", n_bins, least=2)
        left, right = two_axes(ax, f"{type(self).__name__}.plot")
        self.bands_ = []
        self._plot_histogram(left, n_bins, kwargs)
        self._plot_coverage(right)
        self.ax_, self.figure_ = np.array([left, right], dtype=object), left.figure
        return self

    def _plot_histogram(self, ax, n_bins, kwargs):
        count, edges = np.histogram(self.pit, n_bins, (0.0, 1.0))
        n_rows = len(self.pit)
        self.density = count * n_bins / n_rows
        low, high = (bound * n_bins / n_rows for bound in _chance(n_rows, 1.0 / n_bins))
        self.bands_.append(ax.axhspan(low, high, color=PALE, alpha=0.35, linewidth=0))
        style = {"color": colour(0), "linewidth": 2}
        self.stairs_ = ax.stairs(self.density, edges, **merged(style, kwargs))
        ax.axhline(1.0, color=INK, linestyle="--", linewidth=1)
        ax.set(
            xlabel="Predicted distribution function at y",
            ylabel="Density of rows",
            xlim=(0, 1),
            ylim=(0, None),
        )

    def _plot_coverage(self, ax):
        n_rows = len(self.pit)
        low, high = (bound / n_rows for bound in _chance(n_rows, NOMINAL))
        self.bands_.append(
            ax.fill_between(
                NOMINAL,
                low,
                high,
                color=PALE,
                alpha=0.35,
                linewidth=0,
                label=f"{100 * CHANCE:g} % range of true distributions",
            )
        )
        ax.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1)
        (self.line_,) = ax.plot(
            NOMINAL, self.coverage, "o-", color=colour(0), markersize=4, label="observed"
        )
        ax.set(xlabel="Nominal coverage", ylabel="Share of the rows inside")
        ax.set(xlim=(0, 1), ylim=(0, 1))
        legend_above(ax, [self.line_, self.bands_[-1]])


def _chance(n_rows, probability):
    """Counts between which a share of `probability` of the rows lies by chance."""
    tail = (1.0 - CHANCE) / 2.0
    return binom.ppf(tail, n_rows, probability), binom.ppf(1.0 - tail, n_rows, probability)
