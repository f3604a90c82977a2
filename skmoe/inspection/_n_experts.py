"""NumberOfExpertsDisplay: how the number of experts was chosen."""

from __future__ import annotations

from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_chosen, check_mixture
from skmoe.inspection._style import INK, colour, merged, one_axes


class NumberOfExpertsDisplay:
    """Scores of the numbers of experts that a fit tried, and the number it chose.

    Parameters
    ----------
    tried : ndarray of shape (n_numbers,)
        Numbers of experts.
    scores : ndarray of shape (n_numbers,)
        Mean log density of rows held out, or the negative criterion; greater is better.
    chosen : int
        The number chosen.
    score_name : str
        What the scores are.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the picture.
    figure_ : matplotlib figure
        Figure of the picture.
    line_ : matplotlib line
        The scores.
    mark_ : matplotlib line
        The number chosen.
    legend_ : matplotlib legend
        What is what.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import NumberOfExpertsDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(300, 1))
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * rng.normal(size=300)
    >>> moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X, y)
    >>> NumberOfExpertsDisplay.from_estimator(moe).chosen
    2
    """

    def __init__(self, *, tried, scores, chosen, score_name):
        self.tried = tried
        self.scores = scores
        self.chosen = chosen
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the choice of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Mixture fitted with `n_experts` "auto", "bic" or "icl".
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : NumberOfExpertsDisplay
            The picture and its arrays.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator is not a mixture of experts.
        ValueError
            If its number of experts was given.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_mixture(estimator)
        check_chosen(estimator)
        how = estimator.n_experts
        name = "Log density per row held out" if how == "auto" else f"-{how.upper()}"
        chosen = estimator.n_experts_ // _n_averaged(estimator)
        display = cls(
            tried=estimator.n_experts_tried_,
            scores=estimator.n_experts_scores_,
            chosen=chosen,
            score_name=name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
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
        at = self.scores[list(self.tried).index(self.chosen)]
        (self.mark_,) = ax.plot(
            [self.chosen],
            [at],
            "o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=2.0,
            label=f"chosen: {self.chosen}",
        )
        ax.set(xlabel="Number of experts", ylabel=self.score_name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        self.legend_ = ax.legend(loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _n_averaged(estimator):
    """Starts that the mixture is the average of."""
    return len(estimator.start_traces_) if estimator.combine == "average" else 1
