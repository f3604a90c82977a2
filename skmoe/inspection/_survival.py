"""SurvivalDisplay: predicted probabilities of no event until each time, and observed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from skmoe._data.censored_targets import times_and_events
from skmoe._data.checks import check_level
from skmoe._data.rows import has_bounds
from skmoe._inference.labels import format_percent
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.typing import Array
from skmoe.inspection import _style as draw
from skmoe.inspection._checks import check_regressor, check_target, drawn_mixture
from skmoe.inspection._targets import one_target, predicted_survival, target_name

# Times at which predicted curves are computed.
N_TIMES = 100


@dataclass(kw_only=True, eq=False, repr=False)
class SurvivalDisplay(draw.DisplayOfExperts):
    """Predicted probabilities of no event until each time, over the Kaplan-Meier curve [1]_.

    The curve of an expert is the mean of its survival functions over the rows, weighted by the
    gate, whose mean is the share in the legend. These curves, with their shares, add up to that of
    the mixture. Of a calibrated mixture it is close to the Kaplan-Meier curve of the rows. The band
    has intervals for each time, by Greenwood's variance. Rows of the fit give an optimistic result.

    Parameters
    ----------
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
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for "expert 0" and so on.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    lines_ : list of matplotlib lines
        Curves of the experts.
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

    times: Array
    curves: Array
    mixture: Array
    shares: Array
    observed_times: Array
    observed: Array
    band: Array | None = None
    level: float | None = None
    time_name: str = "y"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        target: int | None = None,
        level: float | None = 0.95,
        expert_names: Sequence[str] | None = None,
        offset: Any = None,
        units: Any = None,
        ax: Any = None,
        **kwargs: Any,
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
        target : int, default=None
            Index of the output, if there are several.
        level : float, default=0.95
            Confidence of the intervals for the Kaplan-Meier curve; None for no band.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, to whose gate the rows belong; None for rows.
            The band is that of independent rows.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

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
            unknown, the level is not in (0, 1), or the experts have no predictive distribution.
        """
        found = drawn_mixture(cls, kwargs, estimator, X, None, expert_names)
        estimator, X, *_, names = found
        check_regressor(estimator, "For times use MixtureOfExpertsRegressor.")
        check_level(level, may_be_none=True)
        output = check_target(estimator, target, X)
        own = one_target(y, output, 1)
        time, event = times_and_events(cls.__name__, own)
        check_consistent_length(X, time)
        table = EventTable.of(time, event, np.ones(len(time)))
        start = min(time.min(), 0.0)
        grid = np.linspace(start, time.max(), N_TIMES)
        experts, mixture = predicted_survival(estimator, X, grid, output, offset, units)
        gate = estimator.predict_gate(X, units=units)
        weight = gate + np.finfo(float).tiny
        band = None
        if level is not None:
            band = np.hstack([np.ones((2, 1)), table.survival_band(level)])
        return cls(
            times=grid,
            curves=np.einsum("nk,nkt->tk", weight / weight.sum(axis=0), experts),
            mixture=mixture.mean(axis=0),
            shares=gate.mean(axis=0),
            observed_times=np.append(start, table.times),
            observed=np.append(1.0, table.survival),
            band=band,
            level=level,
            time_name="Time" if has_bounds(y) else target_name(estimator, y, output),
            expert_names=names,
        ).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        line_kwargs: Mapping[str, Any] | None = None,
        band_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        line_kwargs : dict, default=None
            Passed to matplotlib's `plot`, for the curves of the experts.
        band_kwargs : dict, default=None
            Passed to matplotlib's `fill_between`, for the band.

        Returns
        -------
        display : SurvivalDisplay
            This display.
        """
        return self._plot(ax, line_kwargs=line_kwargs, band_kwargs=band_kwargs)

    def _draw(self, ax: Any, **options: Any) -> Any:
        (ax,) = self._axes(ax)
        self.band_ = None
        if self.band is not None:
            style = {"step": "post", "label": draw.interval_label(self.level or 0.0)}
            style = draw.merged(style, options["band_kwargs"])
            self.band_ = draw.draw_band(ax, self.observed_times, self.band, style)
        style = {"color": draw.LIGHT_GREY, "label": "Kaplan-Meier", "where": "post"}
        (self.observed_line_,) = ax.step(self.observed_times, self.observed, linewidth=4.0, **style)
        style = {"color": draw.DARK_GREY, "label": "mixture"}
        (self.mixture_line_,) = ax.plot(self.times, self.mixture, linewidth=1.5, **style)
        self.lines_, handles = [], [self.mixture_line_, self.observed_line_]
        names = draw.in_legend(self.expert_names)
        for k, (name, share) in enumerate(zip(names, self.shares, strict=True)):
            style = draw.merged(draw.curve_style(k, len(self.times)), options["line_kwargs"])
            self.lines_ += ax.plot(self.times, self.curves[:, k], **style)
            label = f"{name}\n{format_percent(share)} of the rows"
            handles.append(draw.expert_handle(k, label))
        handles += [] if self.band_ is None else [self.band_]
        ax.set(xlim=self.times[[0, -1]], ylim=(0.0, 1.01), ylabel="Probability of no event")
        draw.label_feature(ax, self.time_name, None, "")
        self.legend_ = draw.expert_legend(ax, handles)
        return ax
