"""The summary of a fitted mixture: facts about the fit, its experts and its coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.sklearn_adapter import is_constant, named_estimator, typical_model
from skmoe._inference.coefficients import Coefficients, average_log_odds, gate_column_index
from skmoe._inference.criteria import FitStatistics
from skmoe._inference.explanation import indicator_columns
from skmoe._inference.labels import (
    Labels,
    base_term,
    counted_noun,
    describe_collapsed,
    describe_spikes,
    describe_ties,
    format_number,
    link_equation,
    printable_name,
)
from skmoe._inference.results import DEPENDENT, FOOTNOTES, ExpertSummary, Inference, Summary
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.information import MAX_SHIFT
from skmoe._numerics.probability import is_collapsed
from skmoe._numerics.typing import Array
from skmoe.protocols import Block, LinearPredictor

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


class Findings(NamedTuple):
    """What is known of a fit for its summary."""

    mixture: FittedMixture
    attributes: Mapping[str, Any]  # fitted attributes
    labels: Labels
    blocks: list[Block]  # of the experts
    statistics: FitStatistics | None = None  # with the data of the fit
    coefficients: Coefficients | None = None
    inference: Inference | None = None
    level: float = 0.95  # confidence of the intervals
    gate_reference: int = 0
    obstacle: str = ""  # why there are no standard errors, if the data are given
    has_weights: bool = False  # whether some are not one
    other_rows: str = ""  # how the data differ from those of the fit, if they do
    overdispersion: str = ""  # of counts within experts, if there is any


def make_summary(found: Findings) -> Summary:
    """The summary of a fitted mixture."""
    labels, slopes = found.labels, _gate_slopes(found)
    n_experts = len(labels.experts)
    described, effects = _gate_descriptions(found, slopes), _gate_effects(found, slopes)
    scale = f"log odds against {printable_name(labels.experts[found.gate_reference])}"
    return Summary(
        f"{labels.estimator}: "
        + (f"mixture of {n_experts} experts" if n_experts > 1 else "one expert, without a gate"),
        _facts(found),
        [_summarize_expert(found, k, described[k], effects[k]) for k in range(n_experts)],
        found.inference,
        found.level,
        found.coefficients,
        scale,
        _notes(found),
        counted_noun("n_units_" in found.attributes),
    )


# --- the fit ----------------------------------------------------------------------------------


def _facts(found: Findings) -> dict[str, str]:
    """Facts about the fit, its penalties, and its statistics."""
    attributes, statistics = found.attributes, found.statistics
    converged = "converged" if attributes["converged_"] else "not converged"
    starts, maxima = attributes["start_traces_"], attributes["maxima_"]
    facts = {
        "experts": f"{len(found.labels.experts)}",
        "features": f"{attributes['n_features_in_']}",
        "gate": found.labels.gate if len(found.labels.experts) > 1 else "none",
        "lower bound per row": format_number(attributes["lower_bound_"], 5),
        "iterations": f"{attributes['n_iter_']} ({converged})",
    }
    for name, penalty, _, _ in _penalties(found):
        # The range of those of features that are not dropped.
        kept = np.sort(penalty[np.isfinite(penalty)])
        values = dict.fromkeys(f"{value:.3g}" for value in (*kept[:1], *kept[-1:]))
        if values or np.isposinf(penalty).any():
            facts[name] = " to ".join(values) or "all features dropped"
    if maxima.n_times and len(starts) + maxima.n_runs > 2:
        facts["best value reached by"] = maxima.reached
    if "n_units_" in attributes and (statistics is None or statistics.n_units is None):
        facts["units"] = f"{attributes['n_units_']}"
    if statistics is None:
        return facts
    facts["rows"] = f"{statistics.n_rows:g}"
    if statistics.n_units is not None:
        facts["units"] = f"{statistics.n_units}"
    if found.has_weights:
        facts["weights"] = "frequencies"
    facts["log-likelihood"] = format_number(statistics.log_likelihood, 6)
    # The likelihood of estimators for the rows of their fit is optimistic.
    if "experts_" not in attributes and np.isfinite(statistics.n_parameters):
        facts |= {
            "parameters": f"{statistics.n_parameters:g}",
            "AIC": format_number(statistics.aic, 6),
            "BIC": format_number(statistics.bic, 6),
            "ICL": format_number(statistics.icl, 6),
        }
    return facts | {"entropy": format_number(statistics.entropy, 4)}


def _penalties(found: Findings) -> Iterator[tuple[str, Array, str, Sequence[str]]]:
    """Name and values of the penalties of slopes, whose they are, and names of their features."""
    labels = found.labels
    of_experts = dict.fromkeys(["alpha", *(b.penalty for b in found.blocks if b.penalty)])
    for name in [*of_experts, "gate_alpha"]:
        of_gate = name == "gate_alpha"
        penalty = found.attributes.get(f"{name}_")
        has_gate = "gate_coef_" in found.attributes and len(found.labels.experts) > 1
        if penalty is not None and (has_gate or not of_gate):
            features = labels.gate_features if of_gate else labels.features
            yield name, np.atleast_1d(penalty), "gate" if of_gate else "experts", features


def _notes(found: Findings) -> list[str]:
    """How to read the numbers."""
    attributes, inference, coefficients = found.attributes, found.inference, found.coefficients
    notes = [f"{_kind_of_estimates(found)}, in the units of the data."]
    maxima = attributes["maxima_"]
    is_compared = maxima.n_times and len(attributes["start_traces_"]) + maxima.n_runs > 2
    notes += [str(maxima)] if is_compared else []
    ties = attributes.get("n_experts_ties_", ())
    notes += [describe_ties(ties)] if len(ties) > 1 else []
    notes += [WEIGHTS] if found.has_weights else []
    notes += [note for note in (found.other_rows, found.overdispersion) if note]
    notes += _notes_on_number(found)
    notes += _expert_notes(attributes, found.labels)
    # What ratios are those of.
    notes += [
        f"{ratio.name.capitalize()}: one unit more of a feature multiplies {ratio.of} by it."
        for ratio in ([] if coefficients is None else coefficients.exponentials)
        if ratio.of
    ]
    if inference is not None:
        notes.append(f"Standard errors: {inference.method}.")
        if inference.max_shift > MAX_SHIFT:
            shift = f"{inference.max_shift:.2g} standard errors"
            is_stream = attributes["_training_state"].stream is not None
            remedy = "Repeat partial_fit, or use fit" if is_stream else "Raise max_iter"
            notes.append(
                f"The fit has stopped before the maximum of the penalised likelihood: estimates "
                f"are up to {shift} away from it. {remedy}."
            )
        notes += [
            f"{name}: {text}" for name, text in FOOTNOTES.items() if name in inference.reasons
        ]
        pairs = zip(inference.terms, inference.is_dependent, strict=True)
        columns = dict.fromkeys(printable_name(term.name) for term, marked in pairs if marked)
        notes += [f"{DEPENDENT}: {_describe_dependence(list(columns))}"] if columns else []
    elif coefficients is not None and found.statistics is None:
        call = "summary(X, y, units=units)" if "n_units_" in attributes else "summary(X, y)"
        notes.append(f"Give the data of the fit, {call}, for criteria and standard errors.")
    elif coefficients is not None:
        notes.append(f"No standard errors: {found.obstacle.partition(';')[0]}.")
    for _, penalty, part, features in _penalties(found):
        dropped = [
            printable_name(features[j]) for j in np.flatnonzero(np.isposinf(penalty)).tolist()
        ]
        notes += [f"Dropped by the {part}: {', '.join(dropped)}."] if dropped else []
    return notes


def _notes_on_number(found: Findings) -> list[str]:
    """Experts that the rows do not need, and those of a spurious maximum."""
    notes, names, statistics = [], found.labels.experts, found.statistics
    if statistics is not None and len(names) > 1 and is_collapsed(statistics.expert_weight).any():
        notes.append(describe_collapsed(statistics.expert_weight, names))
    spikes = [names[k] for k in found.attributes["_training_state"].spikes]
    return notes + ([describe_spikes(spikes)] if spikes else [])


def _kind_of_estimates(found: Findings) -> str:
    """Whether the estimates are penalised, and by which penalties."""
    attributes = found.attributes
    named = [name for name, penalty, _, _ in _penalties(found) if (penalty > 0.0).any()]
    has_dispersions = any(not block.is_main for block in found.blocks)
    if has_dispersions and attributes.get("dispersion_prior_", 0.0):
        named.append("dispersion_prior")
    if named:
        return f"Penalised estimates ({', '.join(named)})"
    return "Estimates" if "experts_" in attributes else "Maximum likelihood estimates"


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


def _expert_notes(attributes: Mapping[str, Any], labels: Labels) -> list[str]:
    """What the coefficients of the experts are, if not those of the mean of y."""
    if "expert_coef_" not in attributes:
        return []
    classes, link = attributes.get("classes_"), attributes.get("link_", "identity")
    has_base = attributes.get("base_") is not None
    predictor = f"{base_term(link)} + linear predictor" if has_base else "linear predictor"
    if "families_" in attributes:
        families, names = attributes["families_"], {"response": "y", "predictor": predictor}
        equations = [family.equation.format(**names) for family in families]
        if len(set(equations)) == 1:
            return [f"Experts: {equations[0]}."]
        pairs = zip(labels.experts, equations, strict=True)
        return [f"{printable_name(name)}: {equation}." for name, equation in pairs]
    if classes is None:
        if link == "identity" and not has_base:
            return []
        return [f"Experts: {link_equation(link, 'y', predictor)}."]
    added = ", given the log probabilities of the base" if has_base else ""
    if len(classes) == 2:
        return [f"Experts: log odds of class {classes[1]} against class {classes[0]}{added}."]
    return [f"Experts: log odds of the classes against class {classes[0]}{added}."]


# --- the experts ------------------------------------------------------------------------------


def _summarize_expert(
    found: Findings, k: int, gate_description: str, gate_effects: list[tuple[str, float]]
) -> ExpertSummary:
    attributes, labels, statistics = found.attributes, found.labels, found.statistics
    models = attributes["experts_"][k] if "experts_" in attributes else []
    kind = _models_name(models) if models else labels.kinds[k]
    variance = attributes["noise_variance_"][k] if "noise_variance_" in attributes else np.nan
    importances = [getattr(fitted, "feature_importances_", np.zeros(0)) for fitted in models]
    largest: list[tuple[str, float]] = []
    if models and all(len(values) == len(labels.features) for values in importances):
        mean = np.mean(importances, axis=0)
        order = np.argsort(-mean, kind="stable")[:MAX_IMPORTANCES]
        largest = [
            (f"importance of {labels.features[j]}", float(mean[j])) for j in order if mean[j] > 0
        ]
    return ExpertSummary(
        labels.experts[k],
        gate_description,
        kind,
        float(attributes["weights_"][k]),
        np.nan if statistics is None else float(statistics.expert_weight[k]),
        float(attributes["_load"][k]),
        None if np.isnan(variance).all() else np.sqrt(np.atleast_1d(variance)),
        largest,
        gate_effects,
        np.nan if statistics is None else float(statistics.probability_of_own[k]),
        _dispersion_description(found, k) if "expert_dispersion_coef_" in attributes else "",
    )


def _dispersion_description(found: Findings, k: int) -> str:
    """Factors of the dispersion of an expert of one output for its features, in words."""
    scale = found.mixture.preprocessor.feature_scaling.scale
    for block, _ in found.mixture.mixture.experts.shown(k):
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


# --- the gate ---------------------------------------------------------------------------------


def _gate_slopes(found: Findings) -> Array | None:
    """Slopes (K, q) of the logits of the gate for standardised columns; None without any."""
    (mixture, theta, preprocessor), gate = found.mixture, found.mixture.mixture.gate
    coef = gate.coefficients(mixture.split(theta)[1], preprocessor.n_gate_columns)
    if len(found.labels.experts) == 1 or coef is None or not gate.depends_on_features:
        return None
    return np.asarray(coef[:, :-1])


def _gate_effects(found: Findings, slopes: Array | None) -> list[list[tuple[str, float]]]:
    """For each expert, columns of the gate and log odds against the reference for one deviation."""
    if slopes is None:
        return [[] for _ in range(len(found.labels.experts))]
    log_odds = slopes - slopes[found.gate_reference]
    columns = gate_column_index(found.mixture.preprocessor)
    names = [found.labels.gate_features[j] for j in columns]
    return [list(zip(names, row, strict=True)) for row in log_odds.tolist()]


def _gate_descriptions(found: Findings, slopes: Array | None) -> list[str]:
    """The rows, or units, for which the gate chooses each expert, in words."""
    n_experts, counted = len(found.labels.experts), counted_noun("n_units_" in found.attributes)
    same = f"the same probability for every {counted}"
    if n_experts == 1:
        return [f"used for every {counted}"]
    if not found.mixture.mixture.gate.depends_on_features:
        return [same] * n_experts
    if slopes is None or not slopes.size:
        unknown = "a probability that depends on the features, see predict_gate"
        return [unknown] * n_experts
    columns = gate_column_index(found.mixture.preprocessor)
    names = [found.labels.gate_features[j] for j in columns]
    is_indicator = indicator_columns(found.mixture, found.attributes.get("feature_range_"))[columns]
    described = []
    for effects in average_log_odds(slopes, found.attributes):
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
        described.append(f"nearly {same}" if is_small else f"more likely for {', '.join(groups)}")
    return described
