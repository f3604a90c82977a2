"""The summary of a fitted mixture: facts about the fit, its experts and its coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.sklearn_adapter import is_constant, named_estimator, typical_model
from skmoe._inference.coefficients import GATE, Coefficients, gate_columns
from skmoe._inference.comparisons import FitStatistics
from skmoe._inference.effects import indicator_columns
from skmoe._inference.inference import (
    N_TABLE_DIGITS,
    Inference,
    columns_of,
    frame_of_terms,
    names_of_ends,
    table_lines,
)
from skmoe._inference.labels import (
    Labels,
    base_term,
    counted_noun,
    describe_collapsed,
    describe_spikes,
    describe_ties,
    format_number,
    link_equation,
    printable_line,
    printable_name,
)
from skmoe._inference.results import WIDTH, frame_of
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import MAX_SHIFT
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import TINY, Array
from skmoe.protocols import LinearPredictor

# Why terms have no standard errors, and what to do about it.
FOOTNOTES = {
    "separated": "the features separate the experts, or the classes or counts of an expert, nearly "
    "perfectly, or the expert has rows of one class, or fewer effective rows than coefficients. "
    "Only the penalty keeps the estimate finite. Use larger penalties (alpha, gate_alpha) or fewer "
    "features.",
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
}

# How lines are broken.
WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}

# Slopes that are marked in tables, and what they are.
DEPENDENT = "dependent"

# Features named in the description of a gate, and their smallest effect relative to the largest.
MAX_FEATURES_NAMED = 3
MIN_RELATIVE_EFFECT = 0.25

# Log odds per standard deviation below which the probability of an expert is nearly the same.
MIN_EFFECT = 0.005

# Linearly dependent columns named in a note.
MAX_COLUMNS_NAMED = 6

# What weights are taken for.
WEIGHTS = "Weights are frequencies: a row of weight 2 counts as two rows."

# Importances listed for an expert that has them.
MAX_IMPORTANCES = 5


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
    importances : list of (str, float)
        The most important features, of estimators that have `feature_importances_`.
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
    importances: list[tuple[str, float]]
    gate_effects: list[tuple[str, float]]
    mean_probability: float
    dispersion_description: str = ""

    def _columns(self) -> dict[str, Any]:
        """Columns of a frame, with None for what the expert does not have."""
        noise: list[float] = [] if self.noise is None else self.noise.tolist()
        named = [f"noise sd of y{j}" for j in range(len(noise))] if len(noise) > 1 else ["noise sd"]
        return {
            "expert": self.name,
            "kind": self.kind,
            "share": self.share,
            "rows": self.rows,
            "mean_probability": self.mean_probability,
            **dict(zip(named, noise, strict=False)),
            **dict(self.importances),
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
    inference : Inference or None
        Coefficients with standard errors, if the data were given.
    level : float
        Confidence of the intervals.
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
    inference: Inference | None
    level: float
    _coefficients: Coefficients | None
    gate: str
    notes: list[str]
    _counted: str = "row"

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
            its name. Columns of experts are fields of `ExpertSummary`, standard deviations of the
            noise and importances, as far as the fit has them.

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
        if what != "coefficients" or self._coefficients is None:
            raise ValueError(
                f'what must be "experts" or, for experts with coefficients, "coefficients"; got '
                f"{what!r}."
            )
        if self.inference is not None:
            return self.inference._frame_of(self, self.level)
        return frame_of_terms(self, self._coefficients, self._estimates())

    def __str__(self) -> str:
        lines, widths = [], [WIDTH]
        for expert in self.experts:
            table = self._table(expert.name, with_dispersion=expert.noise is None)
            widths += map(len, table[:1])
            rows = "" if np.isnan(expert.rows) else f", {expert.rows:.5g} effective rows"
            own = ""
            if expert.noise is not None:
                noise = ", ".join(format_number(sd, N_TABLE_DIGITS) for sd in expert.noise)
                own = f", noise sd {noise}"
            share = f"{100 * expert.share:.1f} % of the {self._counted}s"
            lines += ["", f"{printable_name(expert.name)} ({expert.kind}): {share}{rows}{own}"]
            for text in filter(None, (expert.gate_description, expert.dispersion_description)):
                lines += wrap(f"  {text}", WIDTH, subsequent_indent="    ", **WHOLE_WORDS)
            lines += table
            lines += [f"  {name:<24}{format_number(v):>10}" for name, v in expert.importances]
        terms = [] if self._coefficients is None else self._coefficients.terms
        others = {GATE, *(expert.name for expert in self.experts)}
        shared = dict.fromkeys(term.part for term in terms if term.part not in others)
        headings = [*((f"Common to {part}", part) for part in shared), (f"Gate: {self.gate}", GATE)]
        for heading, part in headings:
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

    def _estimates(self) -> dict[str, Array]:
        """Estimates, and what their exponentials are, by name."""
        assert self._coefficients is not None
        values = self._coefficients.values
        with np.errstate(over="ignore"):
            ratios = {e.name: np.exp(e.logs(values)) for e in self._coefficients.exponentials}
        return {"estimate": values} | ratios

    def _table(self, part: str, with_dispersion: bool = True) -> list[str]:
        """Lines of the tables of the coefficients of a part, without dispersions if so chosen."""
        listed, inference = self._coefficients, self.inference
        if listed is None:
            return []
        terms = listed.terms
        is_shown = [with_dispersion or not is_one for is_one in listed.is_dispersion]
        chosen = [i for i, term in enumerate(terms) if term.part == part and is_shown[i]]
        if not chosen:
            return []
        if inference is None:
            columns = self._estimates()
            shown = {name: of for name, of in columns.items() if not np.isnan(of[chosen]).all()}
            return table_lines(terms, shown, [""] * len(terms), chosen, shown.keys() - {"estimate"})
        dependent = np.where(inference.is_dependent, DEPENDENT, "")
        marks = [a or b for a, b in zip(inference.reasons, dependent, strict=True)]
        ends = names_of_ends(self.level)
        columns = columns_of(inference, self.level, "std. error", *ends)
        lines = table_lines(terms, columns, marks, chosen)
        for name, values in inference._exponentials(self.level).items():
            own = [i for i in chosen if not np.isnan(values[0, i])]
            columns = dict(zip([name, *ends], values, strict=True))
            lines += table_lines(terms, columns, marks, own, columns) if own else []
        return lines


class Findings(NamedTuple):
    """What is known of a fit for its summary."""

    fitted: FittedMixture
    attributes: dict[str, Any]  # fitted attributes
    labels: Labels
    gate_reference: int = 0
    level: float = 0.95  # confidence of the intervals
    statistics: FitStatistics | None = None  # with the data of the fit
    coefficients: Coefficients | None = None
    inference: Inference | None = None
    obstacle: str = ""  # why there are no standard errors, if the data are given
    has_weights: bool = False  # whether some are not one
    remarks: Sequence[str] = ()  # on the data
    # Name and values of the penalties of slopes, whose they are, and names of their features.
    penalties: Sequence[tuple[str, Array, str, list[str]]] = ()
    maxima: Any = None  # if the fit is the best of several starts or searches


def make_summary(found: Findings) -> Summary:
    """The summary of a fitted mixture."""
    attributes, labels, statistics = found.attributes, found.labels, found.statistics
    n_experts, experts = len(labels.experts), []
    for k, (description, effects) in enumerate(_gate(found)):
        models = attributes["experts_"][k] if "experts_" in attributes else []
        variance = attributes["noise_variance_"][k] if "noise_variance_" in attributes else np.nan
        importances = [getattr(fitted, "feature_importances_", np.zeros(0)) for fitted in models]
        largest: list[tuple[str, float]] = []
        if models and all(len(values) == len(labels.features) for values in importances):
            mean = np.mean(importances, axis=0)
            order = np.argsort(-mean, kind="stable")[:MAX_IMPORTANCES]
            largest = [
                (f"importance of {labels.features[j]}", float(mean[j]))
                for j in order
                if mean[j] > 0
            ]
        varies = "expert_dispersion_coef_" in attributes
        experts.append(
            ExpertSummary(
                labels.experts[k],
                description,
                _models_name(models) if models else labels.kinds[k],
                float(attributes["weights_"][k]),
                np.nan if statistics is None else float(statistics.expert_weight[k]),
                float(attributes["_load"][k]),
                None if np.isnan(variance).all() else np.sqrt(np.atleast_1d(variance)),
                largest,
                effects,
                np.nan if statistics is None else float(statistics.probability_of_own[k]),
                _dispersion_description(found, k) if varies else "",
            )
        )
    blocks = [own for k in range(n_experts) for own, _ in found.fitted.mixture.experts.shown(k)]
    of_experts = dict.fromkeys(["alpha", *(b.penalty for b in blocks if b.penalty)])
    wanted = [(name, "experts", labels.features) for name in of_experts]
    if "gate_coef_" in attributes and n_experts > 1:
        wanted.append(("gate_alpha", "gate", labels.gate_features))
    penalties = [
        (name, np.atleast_1d(attributes[f"{name}_"]), part, features)
        for name, part, features in wanted
        if attributes.get(f"{name}_") is not None
    ]
    maxima, starts = attributes["maxima_"], attributes["start_traces_"]
    is_compared = maxima.n_times and len(starts) + maxima.n_runs > 2
    found = found._replace(penalties=penalties, maxima=maxima if is_compared else None)
    named = [name for name, penalty, *_ in penalties if (penalty > 0.0).any()]
    if attributes.get("dispersion_prior_", 0.0) and any(not block.is_main for block in blocks):
        named.append("dispersion_prior")
    kind = "Estimates" if "experts_" in attributes else "Maximum likelihood estimates"
    kind = f"Penalised estimates ({', '.join(named)})" if named else kind
    number = f"mixture of {n_experts} experts" if n_experts > 1 else "one expert, without a gate"
    return Summary(
        f"{labels.estimator}: {number}",
        _facts(found),
        experts,
        found.inference,
        found.level,
        found.coefficients,
        f"log odds against {printable_name(labels.experts[found.gate_reference])}",
        [f"{kind}, in the units of the data.", *_notes(found)],
        counted_noun("n_units_" in attributes),
    )


def _facts(found: Findings) -> dict[str, str]:
    """Facts about the fit, its penalties, and its statistics."""
    attributes, statistics = found.attributes, found.statistics
    n_experts = len(found.labels.experts)
    converged = "converged" if attributes["converged_"] else "not converged"
    facts = {
        "experts": f"{n_experts}",
        "features": f"{attributes['n_features_in_']}",
        "gate": found.labels.gate if n_experts > 1 else "none",
        "lower bound per row": format_number(attributes["lower_bound_"], 5),
        "iterations": f"{attributes['n_iter_']} ({converged})",
    }
    for name, penalty, *_ in found.penalties:
        # The range of those of features that are not dropped.
        kept = np.sort(penalty[np.isfinite(penalty)])
        values = dict.fromkeys(f"{value:.3g}" for value in (*kept[:1], *kept[-1:]))
        if values or np.isposinf(penalty).any():
            facts[name] = " to ".join(values) or "all features dropped"
    if found.maxima is not None:
        facts["best value reached by"] = found.maxima.reached
    of_fit, given = attributes.get("n_units_"), None if statistics is None else statistics.n_units
    if of_fit is not None and given is None:
        facts["units"] = f"{of_fit}"
    if statistics is None:
        return facts
    facts["rows"] = f"{statistics.n_rows:g}"
    if given is not None:
        facts["units"] = f"{given}"
    if found.has_weights:
        facts["weights"] = "frequencies"
    facts["log-likelihood"] = format_number(statistics.log_likelihood, 6)
    # The likelihood of estimators for the rows of their fit is optimistic.
    if "experts_" not in attributes and np.isfinite(statistics.n_parameters):
        facts["parameters"] = f"{statistics.n_parameters:g}"
        for name in ("aic", "bic", "icl"):
            facts[name.upper()] = format_number(statistics.criteria[name], 6)
    return facts | {"entropy": format_number(statistics.entropy, 4)}


def _notes(found: Findings) -> list[str]:
    """How to read the numbers."""
    attributes, inference, coefficients = found.attributes, found.inference, found.coefficients
    names, statistics = found.labels.experts, found.statistics
    notes = [] if found.maxima is None else [str(found.maxima)]
    ties = attributes.get("n_experts_ties_", ())
    notes += [describe_ties(ties)] if len(ties) > 1 else []
    notes += [WEIGHTS] if found.has_weights else []
    notes += filter(None, found.remarks)
    # Experts that the rows do not need, and those of a spurious maximum.
    if statistics is not None and len(names) > 1 and is_collapsed(statistics.expert_weight).any():
        notes.append(describe_collapsed(statistics.expert_weight, names))
    spikes = [names[k] for k in attributes["_training_state"].spikes]
    notes += [describe_spikes(spikes)] if spikes else []
    notes += _equations(found) if "expert_coef_" in attributes else []
    # What ratios are those of.
    notes += [
        f"{ratio.name.capitalize()}: one unit more of a feature multiplies {ratio.of} by it."
        for ratio in ([] if coefficients is None else coefficients.exponentials)
        if ratio.of
    ]
    if inference is not None:
        notes.append(f"Standard errors: {inference.method}.")
        if inference.max_shift > MAX_SHIFT:
            is_stream = attributes["_training_state"].stream is not None
            remedy = "Repeat partial_fit, or use fit" if is_stream else "Raise max_iter"
            notes.append(
                "The fit has stopped before the maximum of the penalised likelihood: estimates "
                f"are up to {inference.max_shift:.2g} standard errors away from it. {remedy}."
            )
        notes += [
            f"{name}: {text}" for name, text in FOOTNOTES.items() if name in inference.reasons
        ]
        pairs = zip(inference.terms, inference.is_dependent, strict=True)
        columns = dict.fromkeys(printable_name(term.name) for term, marked in pairs if marked)
        notes += [f"{DEPENDENT}: {_describe_dependence(list(columns))}"] if columns else []
    elif coefficients is not None and statistics is None:
        call = "summary(X, y, units=units)" if "n_units_" in attributes else "summary(X, y)"
        notes.append(f"Give the data of the fit, {call}, for criteria and standard errors.")
    elif coefficients is not None:
        notes.append(f"No standard errors: {found.obstacle.partition(';')[0]}.")
    for _, penalty, part, features in found.penalties:
        dropped = [printable_name(features[j]) for j in np.flatnonzero(np.isposinf(penalty))]
        notes += [f"Dropped by the {part}: {', '.join(dropped)}."] if dropped else []
    return notes


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


def _equations(found: Findings) -> list[str]:
    """What the coefficients of the experts are, if not those of the mean of y."""
    attributes = found.attributes
    classes, link = attributes.get("classes_"), attributes.get("link_", "identity")
    has_base = attributes.get("base_") is not None
    predictor = f"{base_term(link)} + linear predictor" if has_base else "linear predictor"
    if "families_" in attributes:
        values = {"response": "y", "predictor": predictor}
        equations = [family.equation.format(**values) for family in attributes["families_"]]
        if len(set(equations)) == 1:
            return [f"Experts: {equations[0]}."]
        pairs = zip(found.labels.experts, equations, strict=True)
        return [f"{printable_name(name)}: {equation}." for name, equation in pairs]
    if classes is None:
        is_plain = link == "identity" and not has_base
        return [] if is_plain else [f"Experts: {link_equation(link, 'y', predictor)}."]
    added = ", given the log probabilities of the base" if has_base else ""
    of = f"class {classes[1]}" if len(classes) == 2 else "the classes"
    return [f"Experts: log odds of {of} against class {classes[0]}{added}."]


def _dispersion_description(found: Findings, k: int) -> str:
    """Factors of the dispersion of an expert of one output for its features, in words."""
    scale = found.fitted.preprocessor.feature_scaling.scale
    for block, _ in found.fitted.mixture.experts.shown(k):
        if not isinstance(block, LinearPredictor) or block.is_main or block.link != "log":
            continue
        slopes = found.attributes[block.coef][k]
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


def _models_name(models: Sequence[Any]) -> str:
    """Name of an expert that is the average of fitted estimators."""
    final = [named_estimator(model) for model in models]
    # A model whose rows have a single class is a constant, which is a tree of one leaf.
    typical = typical_model(final)
    name = type(typical).__name__
    if hasattr(typical, "get_n_leaves"):
        n_leaves = [1 if is_constant(model) else model.get_n_leaves() for model in final]
        name += f", {np.mean(n_leaves):.3g} leaves"
    return f"{name}, average of {len(models)}" if len(models) > 1 else name


def _gate(found: Findings) -> list[tuple[str, list[tuple[str, float]]]]:
    """For each expert the rows, or units, for which the gate chooses it, in words; and effects.

    These are columns of the gate with the log odds against the reference for one deviation.

    By the derivative of the softmax, a feature changes the mean probability of expert k by the sum
    over the others of E[g_k g_l] (slope of k - slope of l). The others therefore count in
    proportion to E[g_k g_l], and the average has the sign of the change.
    """
    (mixture, theta, units), attributes = found.fitted, found.attributes
    n_experts, counted = mixture.n_experts, counted_noun("n_units_" in attributes)
    same = f"the same probability for every {counted}"
    if n_experts == 1:
        return [(f"used for every {counted}", [])]
    if not mixture.gate.depends_on_features:
        return [(same, []) for _ in range(n_experts)]
    coef = mixture.gate.coefficients(mixture.split(theta)[1], units.n_gate_columns)
    columns = gate_columns(units)
    if coef is None or not len(columns):
        unknown = "a probability that depends on the features, see predict_gate"
        return [(unknown, []) for _ in range(n_experts)]
    slopes = coef[:, :-1]
    names = [found.labels.gate_features[j] for j in columns]
    is_indicator = indicator_columns(found.fitted, attributes.get("feature_range_"))[columns]
    compete = np.maximum(attributes["_gate_overlap"], TINY)
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
