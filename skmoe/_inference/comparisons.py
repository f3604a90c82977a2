"""Information criteria, how clearly rows belong to experts, and numbers of experts compared.

What criteria, inference and distributions require of a mixture is checked before any work.

References
----------
G. Schwarz (1978), "Estimating the dimension of a model", Annals of Statistics 6, 461-464. S. L.
Sclove (1987), "Application of model-selection criteria to some problems in multivariate analysis",
Psychometrika 52, 333-343. H. Bozdogan (1987), "Model selection and Akaike's information criterion:
the general theory and its analytical extensions", Psychometrika 52, 345-370. J. D. Banfield and
A. E. Raftery (1993), "Model-based Gaussian and non-Gaussian clustering", Biometrics 49, 803-821.
G. Celeux and G. Soromenho (1996), "An entropy criterion for assessing the number of clusters in a
mixture model", Journal of Classification 13, 195-212. D. S. Nagin (2005), "Group-based modeling of
development", Harvard University Press.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import entr

from skmoe._data.checks import check_choice
from skmoe._data.rows import Rows
from skmoe._inference.inference import LEVEL, Result, frame_of
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array
from skmoe.protocols import (
    Part,
    SupportsDistribution,
    SupportsGateInference,
    SupportsInference,
    has_capability,
    missing_methods,
)

# Criteria of which the smallest is best.
CRITERIA = ("aic", "bic", "sabic", "caic", "awe", "icl")


class FitStatistics(NamedTuple):
    """How well a mixture fits weighted rows, and how clearly these belong to experts."""

    n_rows: float  # sum of the weights
    n_units: int | None  # None for a unit of each row
    numbers: dict[str, float]  # columns of `NExpertsTable`
    # Of each expert: "rows", its responsibilities summed over the weighted rows; "share" of the
    # rows or units by their responsibilities; "mean_probability" of those of which it has the
    # largest; and the odds of the latter over those of the former (Nagin 2005, chapter 5).
    experts: dict[str, Array]
    n_missing: int = 0  # rows of series whose y is missing


@np.errstate(divide="ignore", invalid="ignore")
def fit_statistics(fitted: FittedMixture, rows: Rows, n_parameters: float) -> FitStatistics:
    """Statistics for weighted rows."""
    resp, log_density = log_normalise(fitted.log_joint(rows))
    weight, row_weight, n_units = rows.weight, rows.weight, None
    if rows.unit is not None:
        n_units = len(log_density)
        weight, row_weight = np.ones(n_units), np.bincount(rows.unit, rows.weight)
    n_experts, total = len(resp), float(weight.sum())
    own = weight * (resp.argmax(axis=0) == np.arange(n_experts)[:, None])
    of_own, share = (resp * own).sum(axis=1) / own.sum(axis=1), resp @ weight / total
    odds = of_own / (1.0 - of_own) / (share / (1.0 - share))
    odds = odds if n_experts > 1 else np.full(1, np.nan)
    entropy = 0.0 + float(entr(resp).sum(axis=0) @ weight)  # not -0.0 for one expert
    largest = total * np.log(n_experts) if n_experts > 1 else np.nan
    n, log_n, deviance = float(n_parameters), np.log(total), -2.0 * log_density @ weight
    # The last two are those of the classification likelihood.
    criteria = {
        "aic": deviance + 2.0 * n,
        "bic": deviance + log_n * n,
        "sabic": deviance + np.log((total + 2.0) / 24.0) * n,
        "caic": deviance + (log_n + 1.0) * n,
        "awe": deviance + (3.0 + 2.0 * log_n) * n + 2.0 * entropy,
        "icl": deviance + log_n * n + 2.0 * entropy,
    }
    numbers = {
        "log_likelihood": -0.5 * deviance,
        "n_parameters": n,
        **criteria,
        "entropy": entropy,
        "relative_entropy": 1.0 - entropy / largest,
        "smallest_share": share.min(),
        "mean_probability": resp.max(axis=0) @ weight / total,
        "smallest_probability": np.fmin.reduce(of_own),
        "smallest_odds": np.fmin.reduce(odds),
    }
    n_missing = 0 if rows.series is None else int((rows.weight == 0.0).sum())
    return FitStatistics(
        float(rows.weight.sum()),
        n_units,
        {name: float(value) for name, value in numbers.items()},
        {
            "rows": resp @ row_weight,
            "share": share,
            "mean_probability": of_own,
            "odds_of_correct_classification": odds,
        },
        n_missing,
    )


# The covariance matrix of more coefficients than this takes too much memory and time.
MAX_TERMS = 5000


# What a missing capability is, and a remedy.
REQUIREMENTS: dict[type, tuple[str, str]] = {
    SupportsDistribution: ("a predictive distribution", "Use score_samples for log densities."),
    SupportsInference: (
        "experts with second derivatives by coefficients",
        'Linear and logistic experts have them (expert="linear").',
    ),
    SupportsGateInference: (
        "a gate with second derivatives by coefficients",
        'The gates "softmax" and "constant" have them.',
    ),
}


def missing_capability(part: Any, capability: type, what: str) -> str:
    """Message for a family or gate that lacks a capability that `what` needs; "" if it has it."""
    if has_capability(part, capability):
        return ""
    need, remedy = REQUIREMENTS[capability]
    name, methods = type(part).__name__, missing_methods(part, capability)
    limitation = part.limitation(capability)
    reason = f"{name} has no method{'s' * (len(methods) > 1)} {', '.join(methods)}"
    if limitation:
        reason = f"{name} has none: {limitation}"
    return f"{what} needs {need}; {reason} (see skmoe.protocols.{capability.__name__}). {remedy}"


def require(part: Any, capability: type, what: str) -> None:
    """Raise ValueError if a part of a user lacks a capability that the method `what` needs.

    Linear parts have all of them. A part is one of a mixture, or what the user gave.
    """
    own = getattr(part, "own", part)
    message = missing_capability(own, capability, what) if isinstance(own, Part) else ""
    if message:
        raise ValueError(message)


def missing_for_inference(fitted: FittedMixture, n_terms: float) -> str:
    """Message why a mixture of so many coefficients has no standard errors; "" if it has."""
    mixture, extra = fitted.mixture, fitted.preprocessor.extra_features
    for part, capability in (
        (mixture.experts, SupportsInference),
        (mixture.gate, SupportsGateInference),
    ):
        if not part.has_derivatives:
            return missing_capability(part.own, capability, "inference")
    if mixture.top_k is not None:
        return (
            f"inference needs every expert to see every row; got gate.top_k={mixture.top_k}. "
            "Fit with a gate without top_k."
        )
    if n_terms > MAX_TERMS:
        return (
            "inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {MAX_TERMS}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )
    if extra is not None and extra.base is not None:
        return (
            f"inference needs a mixture without a base; got base={extra.base!r}, whose "
            "out-of-fold predictions, to which the mixture was fitted, are not kept. Fit with "
            "base=None."
        )
    return ""


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
        smallest = ""
        if (self.n_bootstrap + 1) * self.p_value < SMALLEST_BOUND:
            smallest = (
                " This p-value is the smallest that so many samples can give: for a smaller one, "
                "raise n_bootstrap."
            )
        return (
            f"{more} experts against {fewer}: likelihood ratio statistic {self.statistic:.1f}, "
            f"p = {self.p_value:.2g} ({n_drawn}{most} bootstrap {samples}). {more} experts {verb} "
            f"significantly better than {fewer}, at the level of {100 * LEVEL:g} %."
            f"{smallest}"
        )


# Columns of the two parts of the text, and their headings.
OF_CRITERIA = {"log_likelihood": "log-lik.", "n_parameters": "par."} | {
    name: name.upper() for name in CRITERIA
}
OF_SEPARATION = {
    "relative_entropy": "entropy R2",
    "smallest_share": "min. share",
    "mean_probability": "mean prob.",
    "smallest_probability": "min. prob.",
    "smallest_odds": "min. odds",
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
        "smallest_odds", "n_reached", "n_runs" and "p_value". `n_experts_table` explains them.
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
        self.columns = {
            name: np.array([own.numbers[name] for own in statistics])
            for name in statistics[0].numbers
        } | {
            "n_reached": np.array([sum(maxima.n_times[:1]) for maxima in self._maxima]),
            "n_runs": np.array([maxima.n_runs for maxima in self._maxima]),
            "p_value": np.array(p_values),
        }
        self.experts: dict[str, list[Any]] = {
            "n_experts": [k for k in self.n_experts for _ in range(k)],
            "expert": [name for fitted in estimators for name in fitted.expert_names_],
        } | {
            name: np.concatenate([own.experts[name] for own in statistics]).tolist()
            for name in ("share", "mean_probability", "odds_of_correct_classification")
        }

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
            digits = "g" if name == "n_parameters" else ".1f"
            end = "" if name == "n_parameters" else " "
            cells[name] = [f"{value:{digits}}{end}" for value in self.columns[name]]
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
                if name != "p_value" or not np.isnan(self.columns[name]).all()
            ]
            widths = [max(map(len, column)) for column in columns]
            for row in zip(*columns, strict=True):
                own = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
                lines.append("  ".join(own).rstrip())
            lines += [""] if titles is OF_CRITERIA else []
        return "\n".join([*lines, "* The smallest value of the criterion."])
