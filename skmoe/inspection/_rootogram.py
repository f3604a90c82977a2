"""RootogramDisplay: observed and expected frequencies of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._data.checks import check_choice, check_integer
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.distributions import CountMixtureDistribution
from skmoe.inspection._checks import check_table, check_target, drawn_mixture
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, legend_above, merged, one_axes

STYLES = ("hanging", "standing", "suspended")

# The largest count that is drawn if none is given.
MAX_COUNT = 100

# Two standard deviations of the square root of a Poisson count, about, whatever its mean.
WARNING_LIMIT = 1.0


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
        estimator, X, _ = drawn_mixture(cls, estimator, X)
        table = check_table(estimator, X)
        distribution = getattr(estimator, "predict_dist", lambda *_: None)(X, offset)
        if not isinstance(distribution, CountMixtureDistribution):
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
