"""NumberOfExpertsDisplay: selection of the number of experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from skmoe._optional import import_pyplot
from skmoe.inspection._leading import n_experts_of_start
from skmoe.inspection._pipelines import drawn_mixture
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, colour, merged, one_axes


@dataclass(kw_only=True, eq=False, repr=False)
class NumberOfExpertsDisplay:
    """Scores of the numbers of experts that a fit tried, and the number that it selected.

    Error bars are standard errors of the differences from the best score, the dashed line. The
    number selected is the smallest that is not worse by two of them. With a criterion there are
    no bars, and the best score is selected. See "How many experts" in the user guide, and "How many
    experts?" in the gallery.

    Parameters
    ----------
    tried : array-like of shape (n_numbers,)
        Numbers of experts.
    scores : array-like of shape (n_numbers,)
        Held-out log-likelihood per row, or the negative criterion; larger is better.
    chosen : int
        The number selected.
    score_name : str
        Label of the scores.
    errors : array-like of shape (n_numbers,), default=None
        Standard errors of the differences from the best score, of held-out rows.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    line_ : matplotlib line
        The scores.
    mark_ : matplotlib line
        The number selected.
    error_bars_ : matplotlib container or None
        The standard errors.
    legend_ : matplotlib legend
        Legend.

    See Also
    --------
    skmoe.model_selection.n_experts_table : Criteria of several numbers of experts.
    skmoe.model_selection.n_experts_test : A test of K experts against K + 1.
    ConvergenceDisplay : Lower bounds of EM for every start.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import NumberOfExpertsDisplay
    >>> rng = np.random.default_rng(1)
    >>> X = rng.uniform(-3, 3, size=(300, 1))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * rng.normal(size=300)
    >>> moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
    >>> NumberOfExpertsDisplay.from_estimator(moe).chosen
    2
    """

    tried: Sequence[int]
    scores: Sequence[float]
    chosen: int
    score_name: str
    errors: Sequence[float] | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the selection of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Mixture fitted with `n_experts` "auto", "aic", "bic" or "icl".
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : NumberOfExpertsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If its number of experts was given.
        """
        estimator = drawn_mixture(cls, estimator).mixture
        if not hasattr(estimator, "n_experts_tried_"):
            number = getattr(estimator, "n_experts", estimator.n_experts_)
            raise ValueError(
                f"{cls.__name__} needs a mixture that chose its number of experts; got "
                f'n_experts={number!r}. Fit with n_experts="auto".'
            )
        criterion = estimator.n_experts
        held_out = "Mean log density of held-out rows"
        display = cls(
            tried=estimator.n_experts_tried_,
            scores=estimator.n_experts_scores_,
            chosen=n_experts_of_start(estimator),
            score_name=held_out if criterion == "auto" else f"-{criterion.upper()}",
            errors=getattr(estimator, "n_experts_score_errors_", None),
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_table(
        cls, table: Any, criterion: str = "bic", *, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw a criterion of a table of numbers of experts.

        Parameters
        ----------
        table : NExpertsTable
            Result of `skmoe.model_selection.n_experts_table`.
        criterion : {"aic", "bic", "sabic", "caic", "awe", "icl"}, default="bic"
            The criterion.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : NumberOfExpertsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such criterion.
        """
        import_pyplot(f"{cls.__name__}.from_table")
        display = cls(
            chosen=table.best(criterion),
            tried=table.n_experts,
            scores=-table.columns[criterion],
            score_name=f"-{criterion.upper()}",
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `plot` for the scores.

        Returns
        -------
        display : NumberOfExpertsDisplay
            This display.
        """
        ax = one_axes(ax, f"{type(self).__name__}.plot")
        style = {"color": colour(0), "marker": "o", "linewidth": 2.0, "label": "tried"}
        (self.line_,) = ax.plot(self.tried, self.scores, **merged(style, kwargs))
        self.error_bars_: Any = None
        if self.errors is not None:
            bars = {"fmt": "none", "ecolor": DARK_GREY, "elinewidth": 1.2, "capsize": 3}
            bars["label"] = "standard error of the difference"
            self.error_bars_ = ax.errorbar(self.tried, self.scores, yerr=self.errors, **bars)
            best = {"color": LIGHT_GREY, "linestyle": "--", "linewidth": 1.2, "zorder": 1}
            ax.axhline(max(self.scores), label="best score", **best)
        score = self.scores[list(self.tried).index(self.chosen)]
        mark: dict[str, Any] = {"markersize": 13, "markeredgewidth": 2.0}
        mark |= {"markerfacecolor": "none", "markeredgecolor": DARK_GREY}
        label = f"chosen: {self.chosen}"
        (self.mark_,) = ax.plot([self.chosen], [score], "o", label=label, **mark)
        ax.set(xlabel="Number of experts", ylabel=self.score_name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        self.legend_ = ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
