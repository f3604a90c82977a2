"""The summary of a fitted mixture: facts about the fit, its experts and its coefficients.

Among the facts are information criteria, and how clearly rows belong to experts.

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
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from scipy.special import entr

from skmoe._data.rows import Rows
from skmoe._data.series import weight_of_series
from skmoe._inference import inference as results
from skmoe._inference import labels
from skmoe._inference.coefficients import blocks_of_gate, indicator_columns
from skmoe._inference.inference import WIDTH, Inference, frame_of
from skmoe._inference.labels import Labels, format_number, printable_line, printable_name
from skmoe._inference.persistence import describe_regimes
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import MAX_SHIFT
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import TINY, Array
from skmoe._optional import import_pandas
from skmoe.protocols import LinearPredictor

# Why terms have no standard errors, and what to do about it.
FOOTNOTES = {
    "separated": "the features separate the experts, or the classes or counts of an expert, nearly "
    "perfectly, or the expert has rows of one class, or fewer effective rows than coefficients. "
    "Only the penalty keeps the estimate finite. Use larger penalties (alpha, gate_alpha) or fewer "
    "features.",
    "certain": "the first rows of all series have one expert, as that of a single series has, or "
    "none has this one. The log odds have no finite estimate, and later rows do not need it.",
    "not determined": "the data do not determine the coefficient: the expert has too few rows, two "
    "experts are equal, or features are linearly dependent. Where an expert has no rows of a "
    "class, log odds of this class are not determined, nor log odds against it. Use fewer "
    "experts or features, larger penalties (alpha, gate_alpha), or "
    'OneHotEncoder(drop="first") for categories.',
    "at its bound": "the slope is zero, as the rows lead to the other sign than monotonic_cst has; "
    "or the dispersion is the smallest or largest that is allowed. At the smallest noise variance "
    "an expert repeats the target of its rows: use a larger dispersion_prior or fewer experts. "
    "Counts with the smallest dispersion are Poisson.",
    "dropped": "the feature is not needed: its penalty, found by the evidence, is infinite.",
    "fixed": "the feature is constant, and its coefficient zero. Leave it out.",
    results.NO_EFFECT: "the variance of the random effect is zero: units differ no more than their "
    "rows do. Leave it out of random_features, or use random_features=None.",
}

# How lines are broken.
WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}

# Features named in the description of a gate, and their smallest effect relative to the largest.
MAX_FEATURES_NAMED = 3
MIN_RELATIVE_EFFECT = 0.25

# Log odds per standard deviation below which the probability of an expert is nearly the same.
MIN_EFFECT = 0.005

# Least eigenvalue of correlations of random effects that are not linearly dependent.
SINGULAR_TOL = 1e-7

# Linearly dependent columns named in a note.
MAX_COLUMNS_NAMED = 6

# What weights are taken for.
WEIGHTS = {
    "frequencies": "Weights are frequencies: a {0} of weight 2 counts as two {0}s.",
    "sampling": "Weights are sampling weights, on whose unit standard errors do not depend. The "
    "log-likelihood and criteria do.",
    "averages": "Weights are numbers of values, of which each y is the average. Dispersions are "
    "those of one value.",
}


@dataclass(frozen=True, eq=False)
class ExpertSummary:
    """Summary of an expert, in the attribute `experts` of a `Summary`.

    Attributes
    ----------
    name : str
        Its name, as in `expert_names_`.
    gate_description : str
        The rows for which the gate chooses it.
    kind : str
        "linear", or the name of the estimator or of the family.
    share : float
        Mean probability by the gate, as in `weights_`.
    rows : float
        Effective rows: the sum of its responsibilities. NaN without the data.
    load : float
        Weight of the rows that are routed to it: each row to the `top_k` most probable experts, or
        without `top_k` to the most probable one.
    noise : ndarray of shape (n_outputs,) or None
        Standard deviations of the noise.
    gate_effects : list of (str, float)
        For each column of the gate the log odds of the expert against the reference, for one
        standard deviation of the column in the fit. Empty for a gate without slopes.
    mean_probability : float
        Mean of its responsibilities for the rows, or units, of which it has the largest (average
        posterior probability). Near 1 if they clearly belong to it; NaN without the data.
    dispersion_description : str
        How its dispersion depends on features; "" if it does not.
    """

    name: str
    gate_description: str
    kind: str
    share: float
    rows: float
    load: float
    noise: Array | None
    gate_effects: list[tuple[str, float]]
    mean_probability: float
    dispersion_description: str = ""
    _outputs: Sequence[str] = ()

    def _columns(self) -> dict[str, Any]:
        """Columns of a frame, with None for what the expert does not have."""
        noise: list[float] = [] if self.noise is None else self.noise.tolist()
        named = [f"noise sd of {name}" for name in self._outputs]
        named = named if len(noise) > 1 else ["noise sd"]
        return {
            "expert": self.name,
            "kind": self.kind,
            "share": self.share,
            "rows": self.rows,
            "mean_probability": self.mean_probability,
            **dict(zip(named, noise, strict=False)),
            "gate_description": self.gate_description,
            "dispersion_description": self.dispersion_description or None,
        }


@dataclass(eq=False, repr=False)
class Summary:
    """Summary of a fitted mixture, to be printed or read by its attributes.

    Returned by the method `summary`. See "A summary, line by line" in the user guide.

    Attributes
    ----------
    title : str
        The first line.
    facts : dict of str to str
        Facts about the whole fit, by name.
    experts : list of ExpertSummary
        Summary of each expert.
    level : float
        Confidence of the intervals.
    coefficients : Inference or None
        Coefficients, which have standard errors if the data were given; None if there are none.
    gate : str
        What the coefficients of the gate are: log odds against the reference.
    notes : list of str
        How to read the numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> [expert.kind for expert in moe.summary().experts]
    ['linear', 'linear']
    """

    title: str
    facts: dict[str, str]
    experts: list[ExpertSummary]
    level: float
    coefficients: Inference | None
    gate: str
    notes: list[str]
    _counted: str = "row"

    @property
    def inference(self) -> Inference | None:
        """Coefficients with standard errors, if the data were given."""
        found = self.coefficients
        return found if found is not None and found.method else None

    def to_frame(self, what: str = "coefficients") -> Any:
        """A pandas frame.

        Parameters
        ----------
        what : {"coefficients", "experts"}, default="coefficients"
            Rows of the frame: coefficients with their errors, or experts.

        Returns
        -------
        frame : pandas.DataFrame
            One row for each term, as `Inference.to_frame` has it, or for each expert, indexed by
            its name. Columns of experts are fields of `ExpertSummary` and standard deviations of
            the noise, as far as the fit has them.

        Raises
        ------
        ValueError
            If `what` is neither, or the experts have no coefficients.
        ImportError
            If pandas is not installed.
        """
        if what == "experts":
            frame = frame_of(self, [expert._columns() for expert in self.experts])
            return frame.set_index("expert").dropna(axis=1, how="all")
        if what != "coefficients" or self.coefficients is None:
            raise ValueError(
                f'what must be "experts" or, for experts with coefficients, "coefficients"; got '
                f"{what!r}."
            )
        import_pandas("Summary.to_frame")
        return self.coefficients.to_frame(self.level)

    def __str__(self) -> str:
        lines, widths = [], [WIDTH]
        for expert in self.experts:
            table = self._table(expert.name, with_dispersion=expert.noise is None)
            widths += map(len, table[:1])
            rows = "" if np.isnan(expert.rows) else f", {expert.rows:.5g} effective rows"
            own = ""
            if expert.noise is not None:
                noise = ", ".join(format_number(sd, results.N_TABLE_DIGITS) for sd in expert.noise)
                own = f", noise sd {noise}"
            share = f"{100 * expert.share:.1f} % of the {self._counted}s"
            lines += ["", f"{printable_name(expert.name)} ({expert.kind}): {share}{rows}{own}"]
            for text in filter(None, (expert.gate_description, expert.dispersion_description)):
                lines += wrap(f"  {text}", WIDTH, subsequent_indent="    ", **WHOLE_WORDS)
            lines += table
        terms = [] if self.coefficients is None else self.coefficients.terms
        blocks = [] if self.coefficients is None else self.coefficients.blocks
        against = {
            listed.terms[0].part: "staying" if listed.origin is not None else listed.reference_name
            for listed in blocks
            if listed.expert is None
        }
        names = {expert.name for expert in self.experts} - against.keys()
        for part in dict.fromkeys(term.part for term in terms if term.part not in names):
            heading = f"Common to {part}"
            if part in against:
                reference = printable_name(against[part])
                heading = f"{part[0].upper()}{part[1:]}: log odds against {reference}"
            table = self._table(part)
            widths += map(len, table[:1])
            lines += ["", heading, *table] if table else []
        rule = "=" * max(widths)
        notes = [line for note in self.notes for line in wrap(note, WIDTH, **WHOLE_WORDS)]
        cells = [f"{name:<22}{value:>20}" for name, value in self.facts.items()]
        half = (len(cells) + 1) // 2
        right = [*cells[half:], ""]
        facts = [f"{a:<46}{b}".rstrip() for a, b in zip(cells[:half], right, strict=False)]
        top = [rule, self.title, rule, *facts]
        return "\n".join(map(printable_line, [*top, *lines, rule, *notes]))

    __repr__ = __str__

    def _table(self, part: str, with_dispersion: bool = True) -> list[str]:
        """Lines of the tables of the coefficients of a part, without dispersions if so chosen."""
        listed = self.coefficients
        if listed is None:
            return []
        blocks = [own.block for own in listed.blocks for _ in own.terms]
        is_shown = [with_dispersion or not block.is_in_heading for block in blocks]
        chosen = [i for i, term in enumerate(listed.terms) if term.part == part and is_shown[i]]
        return listed._tables(chosen, self.level) if chosen else []


# --- statistics -------------------------------------------------------------------------------


class FitStatistics(NamedTuple):
    """How well a mixture fits weighted rows, and how clearly these belong to experts."""

    n_rows: float  # sum of the weights
    n_units: float | None  # sum of their weights; None for a unit of each row
    numbers: dict[str, float]  # columns of `NExpertsTable`
    # Of each expert: "rows", its responsibilities summed over the weighted rows; "share" of the
    # rows or units by their responsibilities; "mean_probability" of those of which it has the
    # largest; and the odds of the latter over those of the former (Nagin 2005, chapter 5).
    experts: dict[str, Array]


@np.errstate(divide="ignore", invalid="ignore")
def fit_statistics(
    posterior: tuple[Array, Array], rows: Rows, n_parameters: float, counts_units: bool = False
) -> FitStatistics:
    """Statistics of weighted rows, from responsibilities (K, U) and log densities (U,).

    Weights, which are equal in the rows of a unit, may be numbers of units.
    """
    resp, log_density = posterior
    weight = row_weight = rows.weight
    if rows.unit is not None:
        weight, row_weight = np.ones(len(log_density)), np.bincount(rows.unit, rows.weight)
        if counts_units:
            weight = row_weight / np.bincount(rows.unit)
    n_experts, total = len(resp), float(weight.sum())
    own = weight * (resp.argmax(axis=0) == np.arange(n_experts)[:, None])
    of_own, share = (resp * own).sum(axis=1) / own.sum(axis=1), resp @ weight / total
    odds = of_own / (1.0 - of_own) / (share / (1.0 - share))
    odds = odds if n_experts > 1 else np.full(1, np.nan)
    entropy = 0.0 + float(entr(resp).sum(axis=0) @ weight)  # not -0.0 for one expert
    largest = total * np.log(n_experts) if n_experts > 1 else np.nan
    # Known experts of rows of series without y, whose weight is zero, are part of the likelihood.
    counted = weight if rows.series is None else weight_of_series(rows.series, weight)
    n, log_n, deviance = float(n_parameters), np.log(total), -2.0 * log_density @ counted
    numbers = {
        "log_likelihood": -0.5 * deviance,
        "n_parameters": n,
        "aic": deviance + 2.0 * n,
        "bic": deviance + log_n * n,
        "sabic": deviance + np.log((total + 2.0) / 24.0) * n,
        "caic": deviance + (log_n + 1.0) * n,
        # Those of the classification likelihood.
        "awe": deviance + (3.0 + 2.0 * log_n) * n + 2.0 * entropy,
        "icl": deviance + log_n * n + 2.0 * entropy,
        "entropy": entropy,
        "relative_entropy": 1.0 - entropy / largest,
        "smallest_share": share.min(),
        "mean_probability": resp.max(axis=0) @ weight / total,
        "smallest_probability": np.fmin.reduce(of_own),
        "smallest_odds": np.fmin.reduce(odds),
    }
    return FitStatistics(
        float(rows.weight.sum()),
        None if rows.unit is None else total,
        {name: float(value) for name, value in numbers.items()},
        {
            "rows": resp @ row_weight,
            "share": share,
            "mean_probability": of_own,
            "odds_of_correct_classification": odds,
        },
    )


# --- from a fit -------------------------------------------------------------------------------


class Penalty(NamedTuple):
    """A penalty of slopes of the experts, or of the gate."""

    name: str
    values: Array
    part: str
    features: list[str]


class Findings(NamedTuple):
    """What is known of a fit for its summary."""

    estimator: Any
    fitted: FittedMixture  # in the units of its input
    labels: Labels
    gate_reference: int
    coefficients: Inference | None = None
    statistics: FitStatistics | None = None  # with the data of the fit
    weights: Sequence[str] = ()  # for what they are taken, if some are not one
    difference: str = ""  # of the data from those of the fit
    obstacle: str = ""  # why there are no standard errors


def make_summary(found: Findings, level: float) -> Summary:
    """The summary of a fitted mixture, with intervals of the given confidence."""
    estimator, names, statistics = found.estimator, found.labels.experts, found.statistics
    unknown, experts = np.full(len(names), np.nan), []
    variances = getattr(estimator, "noise_variance_", unknown)
    rows = unknown if statistics is None else statistics.experts["rows"]
    of_own = unknown if statistics is None else statistics.experts["mean_probability"]
    kinds, varies = estimator.expert_kinds_, hasattr(estimator, "expert_dispersion_coef_")
    for k, (description, effects) in enumerate(_gate(found, level)):
        is_known = not np.isnan(variances[k]).any()
        experts.append(
            ExpertSummary(
                names[k],
                description,
                kinds[k],
                float(estimator.weights_[k]),
                float(rows[k]),
                float(estimator._load[k]),
                np.sqrt(np.atleast_1d(variances[k])) if is_known else None,
                effects,
                float(of_own[k]),
                _dispersion_description(found, k) if varies else "",
                found.labels.responses,
            )
        )
    blocks = [] if found.coefficients is None else found.coefficients.blocks
    of_blocks = [listed.block.penalty for listed in blocks]
    wanted = dict.fromkeys(filter(None, ["alpha", *of_blocks]))
    parts: list[Any] = [(name, "experts", found.labels.features) for name in wanted]
    has_slopes = hasattr(estimator, "gate_coef_") or hasattr(estimator, "transition_coef_")
    if has_slopes and len(names) > 1:
        parts.append(("gate_alpha", "gate", found.labels.gate_features))
    penalties = [
        Penalty(name, np.atleast_1d(getattr(estimator, f"{name}_")), *part)
        for name, *part in parts
        if getattr(estimator, f"{name}_", None) is not None
    ]
    is_compared = len(estimator.start_traces_) + estimator.maxima_.n_runs > 2
    maxima = estimator.maxima_ if is_compared and estimator.maxima_.n_times else None
    number = f"mixture of {len(names)} experts" if len(names) > 1 else "one expert, without a gate"
    return Summary(
        f"{type(estimator).__name__}: {number}",
        _facts(found, penalties, maxima),
        experts,
        level,
        found.coefficients,
        f"log odds against {names[found.gate_reference]}",
        _notes(found, penalties, maxima),
        labels.counted_noun(hasattr(estimator, "n_units_")),
    )


def _facts(found: Findings, penalties: Sequence[Penalty], maxima: Any) -> dict[str, str]:
    """Facts about the fit, its penalties, and its statistics."""
    estimator, statistics = found.estimator, found.statistics
    converged = "converged" if estimator.converged_ else "not converged"
    facts = {
        "experts": f"{estimator.n_experts_}",
        "features": f"{estimator.n_features_in_}",
        "gate": labels.gate_name(estimator.gate) if estimator.n_experts_ > 1 else "none",
        "lower bound per row": format_number(estimator.lower_bound_, 5),
        "iterations": f"{estimator.n_iter_} ({converged})",
    }
    for penalty in penalties:
        # The range of those of features that are not dropped.
        kept = np.sort(penalty.values[np.isfinite(penalty.values)])
        values = dict.fromkeys(f"{value:.3g}" for value in (*kept[:1], *kept[-1:]))
        if values or np.isposinf(penalty.values).any():
            facts[penalty.name] = " to ".join(values) or "all features dropped"
    if maxima is not None:
        facts["best value reached by"] = maxima.reached
    n_units = getattr(estimator, "n_units_", None)
    if missing := getattr(estimator, "n_missing_", {}):
        of_one = "rows without y" if len(missing) == 1 else "missing values"
        of_each = [f"{name} {n}".removeprefix("y ") for name, n in missing.items()]
        facts[of_one] = ", ".join(of_each)
    if hasattr(estimator, "n_series_"):
        facts["series"] = f"{estimator.n_series_}"
    if statistics is not None:
        facts["rows"] = f"{statistics.n_rows:g}"
        n_units = n_units if statistics.n_units is None else statistics.n_units
    if n_units is not None:
        facts["units"] = f"{n_units:.10g}"
    correlation = getattr(estimator, "residual_correlation_", np.nan)
    if np.isfinite(correlation):
        facts["correlation in units"] = f"{correlation:.2f}"
    if statistics is None:
        return facts
    if found.weights:
        facts["weights"] = ", ".join(found.weights)
    numbers = statistics.numbers
    facts["log-likelihood"] = format_number(numbers["log_likelihood"], 6)
    # The likelihood of estimators for the rows of their fit is optimistic.
    if not hasattr(estimator, "experts_") and np.isfinite(numbers["n_parameters"]):
        facts["parameters"] = f"{numbers['n_parameters']:g}"
        for name in ("aic", "bic", "icl"):
            facts[name.upper()] = format_number(numbers[name], 6)
    return facts | {"entropy": format_number(numbers["entropy"], 4)}


def _notes(found: Findings, penalties: Sequence[Penalty], maxima: Any) -> list[str]:
    """How to read the numbers."""
    estimator, coefficients = found.estimator, found.coefficients
    names, statistics = found.labels.experts, found.statistics
    state = estimator._training_state
    named = [penalty.name for penalty in penalties if (penalty.values > 0.0).any()]
    blocks = [] if coefficients is None else coefficients.blocks
    has_dispersions = any(not listed.block.is_main for listed in blocks)
    if getattr(estimator, "dispersion_prior_", 0.0) and has_dispersions:
        named.append("dispersion_prior")
    kind = "Estimates" if hasattr(estimator, "experts_") else "Maximum likelihood estimates"
    kind = f"Penalised estimates ({', '.join(named)})" if named else kind
    notes = [f"{kind}, in the units of the data."]
    notes += [] if maxima is None else [str(maxima)]
    ties = getattr(estimator, "n_experts_ties_", ())
    notes += [labels.describe_ties(ties)] if len(ties) > 1 else []
    counted = "unit" if hasattr(estimator, "random_covariance_") else "row"
    notes += [WEIGHTS[kind].format(counted) for kind in found.weights]
    notes += [found.difference] if found.difference else []
    # Experts that the rows do not need, and those of a spurious maximum.
    if statistics is not None and len(names) > 1:
        mass = statistics.experts["rows"]
        collapsed = np.flatnonzero(is_collapsed(mass)).tolist()
        notes += [labels.describe_collapsed(mass, collapsed, names)] if collapsed else []
    notes += [labels.describe_spikes([names[k] for k in state.spikes])] if state.spikes else []
    if hasattr(estimator, "residual_correlation_"):
        notes += filter(None, [labels.describe_dependence(estimator, state.unit_correlation)])
    families, classes = getattr(estimator, "families_", ()), found.labels.classes
    is_plain = getattr(estimator, "link_", "identity") == "identity" and estimator.base_ is None
    if hasattr(estimator, "expert_coef_") and (families or classes or not is_plain):
        notes += _equations(found, families)
    # What ratios are those of.
    notes += [
        f"{ratio.name.capitalize()}: one unit more of a feature multiplies {ratio.of} by it."
        for ratio in ([] if coefficients is None else coefficients.exponentials)
        if ratio.of
    ]
    if coefficients is not None and coefficients.method:
        notes.append(f"Standard errors: {coefficients.method}.")
        if coefficients.max_shift > MAX_SHIFT:
            remedy = "Raise max_iter" if state.stream is None else "Repeat partial_fit, or use fit"
            notes.append(
                "The fit has stopped before the maximum of the penalised likelihood: estimates "
                f"are up to {coefficients.max_shift:.2g} standard errors away from it. {remedy}."
            )
        reasons = [name for name in FOOTNOTES if name in coefficients.reasons]
        notes += [f"{name}: {FOOTNOTES[name]}" for name in reasons]
        pairs = zip(coefficients.terms, coefficients.is_dependent, strict=True)
        columns = dict.fromkeys(printable_name(term.name) for term, marked in pairs if marked)
        notes += [f"{results.DEPENDENT}: {_describe_dependence(list(columns))}"] if columns else []
    elif coefficients is not None and statistics is None:
        names = [name for name in ("units", "time") if name in estimator._row_arguments]
        call = f"summary(X, y{''.join(f', {name}={name}' for name in names)})"
        notes.append(f"Give the data of the fit, {call}, for criteria and standard errors.")
    elif coefficients is not None and found.obstacle:
        notes.append(f"No standard errors: {found.obstacle.partition(';')[0]}.")
    if hasattr(estimator, "random_covariance_") and _is_singular(estimator.random_covariance_):
        notes.append(
            "A covariance matrix of random effects is singular: one of the effects is a linear "
            "function of the others. Use fewer random_features."
        )
    for _, values, part, features in penalties:
        dropped = [printable_name(features[j]) for j in np.flatnonzero(np.isposinf(values))]
        notes += [f"Dropped by the {part}: {', '.join(dropped)}."] if dropped else []
    return notes


def _is_singular(covariances: Array) -> bool:
    """Whether effects with positive variances (..., q, q) are linearly dependent."""
    for matrix in covariances.reshape(-1, *covariances.shape[-2:]):
        own = np.flatnonzero(np.diag(matrix) > 0.0)
        std = np.sqrt(np.diag(matrix)[own])
        correlation = matrix[np.ix_(own, own)] / np.outer(std, std)
        if len(own) and np.linalg.eigvalsh(correlation)[0] < SINGULAR_TOL:
            return True
    return False


def _describe_dependence(columns: list[str]) -> str:
    """What coefficients of linearly dependent columns are, and how to avoid them."""
    shown = ", ".join(columns[:MAX_COLUMNS_NAMED])
    n_more = len(columns) - MAX_COLUMNS_NAMED
    return (
        f"the columns {shown}{f' and {n_more} more' if n_more > 0 else ''} are linearly dependent, "
        "as indicators of all categories are, which add up to one. The data determine differences "
        "of their coefficients only. The penalty makes each the difference from a weighted mean of "
        "all, to which its standard error, z and p refer. For differences from one category, leave "
        'its column out: OneHotEncoder(drop="first").'
    )


def _equations(found: Findings, families: Sequence[Any]) -> list[str]:
    """What the coefficients of the experts are, if not those of the mean of y."""
    estimator, classes = found.estimator, found.labels.classes
    has_base, link = estimator.base_ is not None, getattr(estimator, "link_", "identity")
    predictor = f"{labels.base_term(link)} + linear predictor" if has_base else "linear predictor"
    equations = [labels.link_equation(link, "y", predictor)]
    if classes:
        added = ", given the log probabilities of the base" if has_base else ""
        of = f"class {classes[1]}" if len(classes) == 2 else "the classes"
        equations = [f"log odds of {of} against class {classes[0]}{added}"]
    elif families:
        equations = [_equations_of_outputs(estimator, k, predictor) for k in range(len(families))]
    if len(set(equations)) == 1:
        return [f"Experts: {equations[0]}."]
    pairs = zip(found.labels.experts, equations, strict=True)
    return [f"{printable_name(name)}: {equation}." for name, equation in pairs]


def _equations_of_outputs(estimator: Any, k: int, predictor: str) -> str:
    """The equations of an expert, one if all outputs have the same."""
    own = labels.families_of(estimator, k)
    names = labels.output_labels(estimator) if len(set(own)) > 1 else ["y"]
    pairs = zip(own, names, strict=False)
    return "; ".join(f.equation.format(response=name, predictor=predictor) for f, name in pairs)


def _dispersion_description(found: Findings, k: int) -> str:
    """Factors of the dispersion of an expert of one output for its features, in words."""
    fitted = found.fitted
    scale = fitted.preprocessor.feature_scaling.scale
    for block, _ in fitted.mixture.experts.shown(k):
        if not isinstance(block, LinearPredictor) or block.is_main or block.link != "log":
            continue
        slopes = getattr(found.estimator, block.coef)[k]
        if slopes.ndim == 1:
            is_variance = block.parameter == "noise variance"
            logs = np.where(slopes == 0.0, 0.0, scale[: len(slopes)])  # infinite if constant
            logs *= (0.5 if is_variance else 1.0) * slopes
            largest = np.argsort(-np.abs(logs), kind="stable")[:MAX_FEATURES_NAMED]
            factors = [
                f"{format_number(np.exp(logs[j]))} per SD of {found.labels.features[j]}"
                for j in largest
                if logs[j] != 0.0
            ]
            name = "noise sd" if is_variance else block.parameter
            return f"{name} times {', '.join(factors)}" if factors else ""
    return ""


def _gate(found: Findings, level: float) -> list[tuple[str, list[tuple[str, float]]]]:
    """For each expert the rows, or units, for which the gate chooses it, in words; and effects.

    These are columns of the gate with the log odds against the reference for one deviation.

    By the derivative of the softmax, a feature changes the mean probability of expert k by the sum
    over the others of E[g_k g_l] (slope of k - slope of l). The others therefore count in
    proportion to E[g_k g_l], and the average has the sign of the change.
    """
    estimator, fitted, n_experts = found.estimator, found.fitted, found.estimator.n_experts_
    if fitted.mixture.gate.persists and n_experts > 1:
        of_regimes = describe_regimes(estimator, fitted, found.coefficients, level)
        return [(text, []) for text in of_regimes]
    counted = labels.counted_noun(hasattr(estimator, "n_units_"))
    same, text = f"the same probability for every {counted}", ""
    if n_experts == 1:
        text = f"used for every {counted}"
    elif not fitted.mixture.gate.depends_on_features:
        text = same
    elif not hasattr(estimator, "gate_coef_"):
        text = "a probability that depends on the features, see predict_gate"
    if text:
        return [(text, []) for _ in range(n_experts)]
    [gate] = blocks_of_gate(fitted, found.labels, found.gate_reference)
    columns, (_, scale) = gate.columns, gate.scaling
    slopes = estimator.gate_coef_[:, columns] * np.where(np.isfinite(scale), scale, 0.0)
    names = [found.labels.gate_features[j] for j in columns]
    ranges = getattr(estimator, "feature_range_", None)
    is_indicator = indicator_columns(fitted, ranges)[columns]
    compete = np.maximum(estimator._gate_overlap, TINY)
    np.fill_diagonal(compete, 0.0)
    compete /= compete.sum(axis=1, keepdims=True)
    described = []
    for effects, own in zip(slopes - compete @ slopes, slopes, strict=True):
        sizes = np.abs(effects)
        leading = np.argsort(-sizes, kind="stable")[:MAX_FEATURES_NAMED]
        groups = [
            f"{names[i]} = {int(effects[i] > 0)}"
            if is_indicator[i]
            else f"{'high' if effects[i] > 0 else 'low'} {names[i]}"
            for i in leading
            if sizes[i] > MIN_RELATIVE_EFFECT * sizes.max()
        ]
        is_small = sizes.max() < MIN_EFFECT
        text = f"nearly {same}" if is_small else f"more likely for {', '.join(groups)}"
        log_odds = (own - slopes[found.gate_reference]).tolist()
        described.append((text, list(zip(names, log_odds, strict=True))))
    return described
