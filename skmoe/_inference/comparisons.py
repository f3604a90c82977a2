"""Results of comparisons of fits: of numbers of experts, and of nested mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from scipy.special import chdtrc

from skmoe._data.checks import check_choice
from skmoe._inference.inference import LEVEL, WIDTH, Result, describe_test, frame_of
from skmoe._inference.labels import describe_dependence
from skmoe._inference.summary import FitStatistics
from skmoe._numerics.typing import Array

# Criteria of which the smallest is best.
CRITERIA = ("aic", "bic", "sabic", "caic", "awe", "icl")

# --- numbers of experts -----------------------------------------------------------------------

# The smallest p-value of B samples is 1 / (B + 1), up to round-off.
SMALLEST_BOUND = 1.5


@dataclass(eq=False)
class NExpertsTest:
    """Bootstrap likelihood-ratio test of K experts against K + 1.

    Returned by `skmoe.model_selection.n_experts_test`; it is not constructed by hand. See "How many
    experts" in the user guide.

    Attributes
    ----------
    n_experts : int
        Number of experts K of the null hypothesis.
    statistic : float
        Likelihood-ratio statistic of the data: twice the difference of the log-likelihoods. It is
        not negative.
    p_value : float
        Probability of a statistic at least as large under K experts, estimated by the replicates,
        in (0, 1].
    replicates : ndarray of shape (n_replicates,)
        Statistics of the bootstrap samples in their order, up to the one after which the test
        stopped. None is negative.
    log_likelihoods : ndarray of shape (2,)
        Log-likelihoods of the data under the fits of K and of K + 1 experts, without penalties.
    n_bootstrap : int
        Largest number of bootstrap samples; there are fewer `replicates` if the test stopped early.
    n_failed_searches : int
        Number of bootstrap samples to which no fit of K + 1 experts had a larger likelihood than
        that of K, after several searches. Their statistics count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_test
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> moe = MixtureOfExpertsRegressor(n_experts=1, n_init=1)
    >>> result = n_experts_test(moe, X, np.abs(X[:, 0]), n_bootstrap=1, random_state=0)
    >>> result.n_experts, len(result.replicates)
    (1, 1)
    """

    n_experts: int
    log_likelihoods: Array
    statistic: float
    p_value: float
    replicates: Array
    n_bootstrap: int
    n_failed_searches: int

    def __repr__(self) -> str:
        fewer, more = self.n_experts, self.n_experts + 1
        n_drawn = len(self.replicates)
        most = f" of at most {self.n_bootstrap}" if n_drawn < self.n_bootstrap else ""
        samples = "sample" if n_drawn == self.n_bootstrap == 1 else "samples"
        verb = "fit" if self.p_value <= LEVEL else "do not fit"
        text = (
            f"{more} experts against {fewer}: likelihood ratio statistic {self.statistic:.1f}, "
            f"p = {self.p_value:.2g} ({n_drawn}{most} bootstrap {samples}). {more} experts {verb} "
            f"significantly better than {fewer}, at the level of {100 * LEVEL:g} %."
        )
        if (self.n_bootstrap + 1) * self.p_value < SMALLEST_BOUND:
            text += (
                " This p-value is the smallest that so many samples can give: for a smaller one, "
                "raise n_bootstrap."
            )
        return text


# Columns of the two parts of the text, and their headings.
OF_CRITERIA = {"log_likelihood": "log-lik.", "n_parameters": "par."}
OF_CRITERIA |= {name: name.upper() for name in CRITERIA}
OF_SEPARATION = {
    "relative_entropy": "entropy R2",
    "smallest_share": "min. share",
    "mean_probability": "mean prob.",
    "smallest_probability": "min. prob.",
    "smallest_odds": "min. odds",
    "residual_correlation": "resid. corr.",
    "reached": "best reached",
    "p_value": "p",
}


class NExpertsTable(Result):
    """Fits of several numbers of experts, compared by criteria.

    Returned by `skmoe.model_selection.n_experts_table`; it is not constructed by hand. See "How
    many experts" in the user guide. Printed, it is a text in which the smallest value of each
    criterion has a star.

    Attributes
    ----------
    n_experts : list of int
        Numbers of experts, in increasing order.
    estimators : list of estimators
        Fitted mixture of each number.
    columns : dict of str to ndarray of shape (n_numbers,)
        "log_likelihood", "n_parameters", "aic", "bic", "sabic", "caic", "awe", "icl", "entropy",
        "relative_entropy", "smallest_share", "mean_probability", "smallest_probability",
        "smallest_odds", "n_reached", "n_runs" and "p_value", and of a fit with units
        "residual_correlation". `n_experts_table` explains them.
    experts : dict of str to list
        For each expert of each number: "n_experts", "expert" (its name), "share", and of the rows
        or units that are assigned to it "mean_probability" and "odds_of_correct_classification".

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_table
    >>> X = np.linspace(-2, 2, 60)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> table = n_experts_table(MixtureOfExpertsRegressor(random_state=0), X, y, [1, 2], init=None)
    >>> table.best("bic")
    2
    """

    def __init__(
        self,
        estimators: Sequence[Any],
        statistics: Sequence[FitStatistics],
        p_values: Sequence[float],
    ) -> None:
        self.estimators = list(estimators)
        self.n_experts = [int(fitted.n_experts_) for fitted in estimators]
        self._maxima = [fitted.maxima_ for fitted in estimators]
        names = statistics[0].numbers
        self.columns = {name: np.array([own.numbers[name] for own in statistics]) for name in names}
        self.columns["n_reached"] = np.array([sum(maxima.n_times[:1]) for maxima in self._maxima])
        self.columns["n_runs"] = np.array([maxima.n_runs for maxima in self._maxima])
        self.columns["p_value"] = np.array(p_values)
        if all(hasattr(fitted, "residual_correlation_") for fitted in estimators):
            of_fits = [fitted.residual_correlation_ for fitted in estimators]
            self.columns["residual_correlation"] = np.array(of_fits)
            best = estimators[int(np.argmin(self.columns["bic"]))]
            self._of_best = describe_dependence(best, best._training_state.unit_correlation)
        self.experts: dict[str, list[Any]] = {
            "n_experts": [k for k in self.n_experts for _ in range(k)],
            "expert": [name for fitted in estimators for name in fitted.expert_names_],
        }
        for name in ("share", "mean_probability", "odds_of_correct_classification"):
            self.experts[name] = np.concatenate([own.experts[name] for own in statistics]).tolist()

    def best(self, criterion: str = "bic") -> int:
        """The number of experts with the smallest value of a criterion.

        Parameters
        ----------
        criterion : {"aic", "bic", "sabic", "caic", "awe", "icl"}, default="bic"
            Name of the criterion.

        Returns
        -------
        n_experts : int
            The number; the smaller one of equal values.

        Raises
        ------
        ValueError
            If there is no such criterion.
        """
        check_choice("criterion", criterion, CRITERIA)
        return self.n_experts[int(np.argmin(self.columns[criterion]))]

    def to_frame(self, what: str = "numbers") -> Any:
        """The table as a pandas frame.

        Parameters
        ----------
        what : {"numbers", "experts"}, default="numbers"
            Rows of the frame: numbers of experts, with the names of `columns`, or each expert of
            each number, with those of `experts`.

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by the number of experts, and by the expert.

        Raises
        ------
        ValueError
            If `what` is neither.
        ImportError
            If pandas is not installed.
        """
        check_choice("what", what, ("numbers", "experts"))
        if what == "experts":
            return frame_of(self, self.experts).set_index(["n_experts", "expert"])
        return frame_of(self, self.columns, self.n_experts, "n_experts")

    def __repr__(self) -> str:
        cells = {}
        for name in OF_CRITERIA:
            written = "{:g}" if name == "n_parameters" else "{:.1f} "
            cells[name] = [written.format(value) for value in self.columns[name]]
        for name in CRITERIA:
            best = self.n_experts.index(self.best(name))
            cells[name][best] = f"{cells[name][best].strip()}*"
        for name in OF_SEPARATION.keys() & self.columns.keys():
            values = self.columns[name]
            cells[name] = ["" if np.isnan(value) else f"{value:.3f}" for value in values]
        cells["reached"] = [maxima.reached for maxima in self._maxima]
        lines: list[str] = []
        for titles in (OF_CRITERIA, OF_SEPARATION):
            columns = [["K", *map(str, self.n_experts)]]
            columns += [
                [title, *cells[name]]
                for name, title in titles.items()
                if name == "reached" or not np.isnan(self.columns.get(name, np.nan)).all()
            ]
            widths = [max(map(len, column)) for column in columns]
            for row in zip(*columns, strict=True):
                own = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
                lines.append("  ".join(own).rstrip())
            lines += [""] if titles is OF_CRITERIA else []
        lines.append("* The smallest value of the criterion.")
        if "residual_correlation" in self.columns:
            text = f"Of {self.best('bic')} experts, by BIC: {self._of_best}"
            lines += wrap(text, WIDTH) if self._of_best else []
        return "\n".join(lines)


# --- nested models ---------------------------------------------------------------------------


class NestedModelsTest:
    """Likelihood-ratio test of a mixture against a larger one that contains it.

    Returned by `skmoe.model_selection.likelihood_ratio_test`; it is not constructed by hand.
    Printed, it is a sentence.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    df : int
        Difference of the numbers of parameters.
    p_value : float
        Probability of a statistic at least as large under the smaller model.
    replicates : ndarray of shape (n_replicates,) or None
        Statistics of bootstrap samples; None where the distribution of the statistic is known.
    missed_events : float
        Of a test of an expert that never has the event: probability of so few events shortly
        before the last one if the follow-up were too short. Below 0.05 it is long enough. NaN of
        other tests.
    log_likelihoods : ndarray of shape (2,)
        Largest log-likelihoods of the smaller and of the larger model.
    n_parameters : ndarray of shape (2,)
        Numbers of their parameters.
    estimators : list of estimators
        The fits of the smaller and of the larger model, by maximum likelihood.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import likelihood_ratio_test
    >>> X, y = load_iris(return_X_y=True)[0][:, [2]], load_iris().data[:, 1]
    >>> options = {"dispersion": "shared", "random_state": 0}
    >>> larger = MixtureOfExpertsRegressor(2, **options)
    >>> smaller = MixtureOfExpertsRegressor(2, shared_features=[0], **options)
    >>> likelihood_ratio_test(smaller, larger, X, y).df
    1
    """

    replicates: Array | None = None
    missed_events = np.nan

    def __init__(self, estimators: Sequence[Any], log_likelihoods: Any, mass: int | None) -> None:
        self.estimators, self._mass = list(estimators), mass
        self.log_likelihoods = np.array(log_likelihoods)
        self.n_parameters = np.array([fitted.n_parameters_ for fitted in estimators])
        # A difference of round-off is none: the probability of exactly zero may be one half.
        self.statistic = max(2.0 * round(float(np.diff(self.log_likelihoods)[0]), 9), 0.0)
        self.df = int(np.diff(self.n_parameters)[0])
        self.p_value = float(chdtrc(self.df, self.statistic))
        if mass is not None:  # its probability is not negative
            fewer = chdtrc(self.df - 1, self.statistic) if self.df > 1 else self.statistic == 0.0
            self.p_value = float(0.5 * (self.p_value + fewer))

    def __repr__(self) -> str:
        subject = "The smaller model is"
        if self._mass is not None:
            subject = f'The model without "{self.estimators[1].families_[self._mass].name}" is'
        lines = [describe_test("Likelihood-ratio", self, subject)]
        if self.replicates is not None:
            lines.append(f"The p-value is that of a bootstrap with {len(self.replicates)} draws.")
        elif self._mass is not None:
            lines.append(
                f"The p-value is the mean of those of {self.df - 1} and {self.df} degrees of "
                "freedom: a probability of zero is on the border."
            )
        if np.isfinite(self.missed_events):
            enough = "" if self.missed_events < LEVEL else "not "
            lines.append(
                f"The follow-up is {enough}long enough for a plateau (Maller and Zhou 1994: "
                f"alpha = {self.missed_events:.2g})."
            )
        return "\n".join(lines)
