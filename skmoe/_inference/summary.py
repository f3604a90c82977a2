"""The summary of a fitted mixture: facts about the fit, its experts and its coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.sklearn_adapter import final_estimator, is_constant, typical_model
from skmoe._inference.coefficients import GATE, Coefficients, gate_column_index
from skmoe._inference.criteria import FitStatistics
from skmoe._inference.labels import (
    Labels,
    base_term,
    counted_noun,
    link_equation,
    printable_name,
)
from skmoe._inference.results import (
    FOOTNOTES,
    NEGLIGIBLE_SHIFT,
    ExpertSummary,
    Inference,
    Summary,
)
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array

# Features named in the description of a gate, and their smallest effect relative to the largest.
MAX_FEATURES_NAMED = 3

MIN_RELATIVE_EFFECT = 0.25

# Importances listed for an expert that has them.
MAX_IMPORTANCES = 5

SAME_PROBABILITY = "the same probability for every {counted}"


class Findings(NamedTuple):
    """What is computed for a summary besides the fitted attributes."""

    statistics: FitStatistics | None = None  # with the data of the fit
    coefficients: Coefficients | None = None
    inference: Inference | None = None
    level: float = 0.95  # confidence of the intervals
    gate_reference: int | None = None
    obstacle: str = ""  # why there are no standard errors, if the data are given
    other_rows: str = ""  # how the data differ from those of the fit, if they do


def make_summary(
    mixture: FittedMixture, attributes: Mapping[str, Any], labels: Labels, findings: Findings
) -> Summary:
    """The summary of a mixture with given fitted attributes."""
    n_experts = mixture.model.n_experts
    single_logit = _has_single_logit(mixture, findings)
    return Summary(
        f"{labels.estimator}: mixture of {n_experts} expert{'s' * (n_experts > 1)}",
        _facts(mixture, attributes, labels, findings.statistics),
        [_summarize_expert(mixture, attributes, labels, k, findings) for k in range(n_experts)],
        findings.inference,
        findings.level,
        findings.coefficients,
        _gate_scale(mixture, labels, findings.gate_reference, single_logit),
        [*_notes(mixture, attributes, labels, findings), *_dropped_notes(attributes, labels)],
        single_logit,
        _counted(attributes),
    )


# --- the fit ----------------------------------------------------------------------------------


def _facts(
    mixture: FittedMixture,
    attributes: Mapping[str, Any],
    labels: Labels,
    statistics: FitStatistics | None,
) -> dict[str, str]:
    converged = "converged" if attributes["converged_"] else "not converged"
    n_experts, starts = mixture.model.n_experts, attributes["start_lower_bounds_"]
    facts = {
        "experts": f"{n_experts}",
        "features": f"{attributes['n_features_in_']}",
        "gate": labels.gate,
        "lower bound per row": f"{attributes['lower_bound_']:.5g}",
        "iterations": f"{attributes['n_iter_']} ({converged})",
    }
    facts |= _penalty_facts(attributes)
    if _n_averaged_starts(mixture) > 1:
        facts["experts"] = f"{n_experts}, mean over {len(starts)} starts"
    if len(starts) > 1:
        facts["starts run to the end"] = f"{attributes['start_converged_'].sum()} of {len(starts)}"
    if "n_units_" in attributes and (statistics is None or statistics.n_units is None):
        facts["units"] = f"{attributes['n_units_']}"
    if statistics is not None:
        facts |= _criteria(statistics, with_criteria="experts_" not in attributes)
    return facts


def _penalty_facts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Penalties, or the ranges of those of features that are not dropped."""
    facts = {}
    for name in ("alpha", "gate_alpha"):
        penalty = attributes.get(f"{name}_")
        if penalty is None or (name == "gate_alpha" and "gate_coef_" not in attributes):
            continue
        kept = np.sort(np.atleast_1d(penalty)[np.isfinite(np.atleast_1d(penalty))])
        values = dict.fromkeys(f"{value:.3g}" for value in (*kept[:1], *kept[-1:]))
        if values or np.isposinf(penalty).any():
            facts[name] = " to ".join(values) or "all features dropped"
    return facts


def _dropped_notes(attributes: Mapping[str, Any], labels: Labels) -> list[str]:
    """Names of the features that are dropped because their penalties are infinite."""
    notes = []
    for name, part, features in (
        ("alpha_", "experts", labels.features),
        ("gate_alpha_", "gate", labels.gate_features),
    ):
        dropped = np.flatnonzero(np.isposinf(np.atleast_1d(attributes.get(name, 0.0))))
        if len(dropped):
            names = ", ".join(printable_name(features[j]) for j in dropped)
            notes.append(f"Dropped by the {part}: {names}.")
    return notes


def _criteria(statistics: FitStatistics, with_criteria: bool) -> dict[str, str]:
    """Statistics of the fit, as text.

    Information criteria are omitted for estimators as experts, whose in-sample likelihood is
    optimistic.
    """
    facts = {
        "rows": f"{statistics.n_rows:g}",
        **({} if statistics.n_units is None else {"units": f"{statistics.n_units}"}),
        "log-likelihood": f"{statistics.log_likelihood:.6g}",
    }
    if with_criteria and np.isfinite(statistics.n_parameters):
        facts |= {
            "parameters": f"{statistics.n_parameters:g}",
            "AIC": f"{statistics.aic:.6g}",
            "BIC": f"{statistics.bic:.6g}",
            "ICL": f"{statistics.icl:.6g}",
        }
    return facts | {"entropy": f"{statistics.entropy:.4g}"}


def _notes(
    mixture: FittedMixture, attributes: Mapping[str, Any], labels: Labels, findings: Findings
) -> list[str]:
    notes = ["Penalised estimates, in the units of the data.", *_start_notes(mixture, attributes)]
    notes += [findings.other_rows] if findings.other_rows else []
    notes += _expert_notes(mixture, attributes, labels)
    if mixture.model.n_experts > 1 and _gate_effects(mixture) is not None:
        notes.append("Gate effects: log odds against the other experts per standard deviation.")
    if findings.coefficients is not None and findings.coefficients.has_ratio.any():
        rows = [mixture.model.experts.blocks_of(k) for k in range(mixture.model.n_experts)]
        factors = [block.ratio_of for row in rows for block in row if block and block.has_ratios]
        named = " and ".join(dict.fromkeys(factors))
        notes.append(f"Ratio: factor of {named} for one unit more of a feature.")
    if findings.inference is not None:
        notes += _inference_notes(findings.inference)
    elif findings.coefficients is not None and findings.statistics is None:
        call = "summary(X, y, units=units)" if "n_units_" in attributes else "summary(X, y)"
        notes.append(f"Give the data of the fit, {call}, for criteria and standard errors.")
    elif findings.coefficients is not None:
        notes.append(f"No standard errors: {findings.obstacle.partition(';')[0]}.")
    return notes


def _expert_notes(
    mixture: FittedMixture, attributes: Mapping[str, Any], labels: Labels
) -> list[str]:
    """What the coefficients of the experts are, if not those of the mean of y."""
    if "expert_coef_" not in attributes:
        return []
    classes, link = attributes.get("classes_"), attributes.get("link_", "identity")
    has_base = attributes.get("base_") is not None
    predictor = f"{base_term(link)} + linear predictor" if has_base else "linear predictor"
    if "families_" in attributes:
        return _equations_of_families(attributes["families_"], predictor, labels.experts)
    if classes is None:
        if link == "identity" and not has_base:
            return []
        return [f"Experts: {link_equation(link, 'y', predictor)}."]
    added = ", given the log probabilities of the base" if has_base else ""
    if len(classes) == 2:
        return [f"Experts: log odds of class {classes[1]} against class {classes[0]}{added}."]
    return [f"Experts: logits of the classes, which sum to zero over the classes{added}."]


def _equations_of_families(
    families: Sequence[Any], predictor: str, names: Sequence[str]
) -> list[str]:
    """The equation of all experts, or of each if they have different families."""
    equations = [family.equation("y", predictor) for family in families]
    if len(set(equations)) == 1:
        return [f"Experts: {equations[0]}."]
    pairs = zip(names, equations, strict=True)
    return [f"{printable_name(name)}: {equation}." for name, equation in pairs]


def _start_notes(mixture: FittedMixture, attributes: Mapping[str, Any]) -> list[str]:
    """How much the lower bounds of the starts differ that can be compared.

    Those of averaged starts cannot be, if each has found penalties of its own.
    """
    lower_bounds = attributes["start_lower_bounds_"]
    finished = lower_bounds[attributes["start_converged_"]]
    found_penalties = any(attributes["_training_state"].penalty_searches)
    own_penalties = found_penalties and _n_averaged_starts(mixture) > 1
    if len(lower_bounds) < 2 or len(finished) < 2 or own_penalties:
        return []
    spread = np.ptp(finished)
    described = "less than 1e-6" if spread < 1e-6 else f"at most {spread:.1g}"
    return [
        f"The lower bounds of the {len(finished)} starts run to the end differ by {described} "
        "per row."
    ]


def _inference_notes(inference: Inference) -> list[str]:
    """How the standard errors were computed, and why terms have none."""
    notes = [f"Standard errors: {inference.method}."]
    if inference.max_shift > NEGLIGIBLE_SHIFT:
        notes.append(
            f"Estimates moved by at most {inference.max_shift:.2g} standard errors to the maximum."
        )
    # The reference of the gate is fixed as well, but not listed.
    listed = {
        reason
        for term, reason in zip(inference.terms, inference.reasons, strict=True)
        if reason and (term.part != GATE or reason != "fixed")
    }
    return notes + [f"{name}: {text}" for name, text in FOOTNOTES.items() if name in listed]


def _counted(attributes: Mapping[str, Any]) -> str:
    """What the shares of the experts are of: "row" or "unit"."""
    return counted_noun("n_units_" in attributes)


def _n_averaged_starts(mixture: FittedMixture) -> int:
    """Number of starts that the mixture averages."""
    return mixture.model.gate.n_starts(mixture.params.gate)


# --- the experts ------------------------------------------------------------------------------


def _summarize_expert(
    mixture: FittedMixture,
    attributes: Mapping[str, Any],
    labels: Labels,
    k: int,
    findings: Findings,
) -> ExpertSummary:
    models = attributes["experts_"][k] if "experts_" in attributes else []
    kind = _models_name(models) if models else labels.kinds[k]
    n_starts, n_experts = _n_averaged_starts(mixture), mixture.model.n_experts
    if n_starts > 1:
        kind += f", start {k * n_starts // n_experts}"
    variance = attributes["noise_variance_"][k] if "noise_variance_" in attributes else np.nan
    statistics = findings.statistics
    return ExpertSummary(
        labels.experts[k],
        _gate_description(mixture, labels, k, _counted(attributes)),
        kind,
        float(attributes["weights_"][k]),
        np.nan if statistics is None else float(statistics.expert_weight[k]),
        float(attributes["load_"][k]),
        None if np.isnan(variance).all() else np.sqrt(np.atleast_1d(variance)),
        _importances(models, labels.features),
        _named_gate_effects(mixture, labels, k),
    )


def _models_name(models: Sequence[Any]) -> str:
    """Name of an expert that is the average of fitted estimators."""
    final = [final_estimator(model) for model in models]
    # A model whose rows have a single class is a constant, which is a tree of one leaf.
    typical = typical_model(final)
    name = type(typical).__name__
    if hasattr(typical, "get_n_leaves"):
        n_leaves = [1 if is_constant(model) else model.get_n_leaves() for model in final]
        name += f", {np.mean(n_leaves):.3g} leaves"
    return f"{name}, average of {len(models)}" if len(models) > 1 else name


def _importances(models: Sequence[Any], names: Sequence[str]) -> list[tuple[str, float]]:
    """The most important features, if all models have an importance for each feature."""
    importances = [getattr(model, "feature_importances_", np.zeros(0)) for model in models]
    if not models or any(len(values) != len(names) for values in importances):
        return []
    mean = np.mean(importances, axis=0)
    order = np.argsort(-mean, kind="stable")[:MAX_IMPORTANCES]
    return [(f"importance of {names[j]}", float(mean[j])) for j in order if mean[j] > 0]


# --- the gate ---------------------------------------------------------------------------------


def _has_single_logit(mixture: FittedMixture, findings: Findings) -> bool:
    """Whether the gate has two logits that sum to zero."""
    two = mixture.model.n_experts == 2 and mixture.model.gate.depends_on_features
    return two and findings.gate_reference is None and findings.coefficients is not None


def _gate_scale(
    mixture: FittedMixture, labels: Labels, reference: int | None, single_logit: bool
) -> str:
    """What the coefficients of the gate are."""
    names = [printable_name(name) for name in labels.experts]
    if single_logit:
        return f"log odds of {names[1]} against {names[0]}"
    if reference is not None:
        return f"log odds against {names[reference]}"
    if not mixture.model.gate.depends_on_features:
        return "log probabilities"
    return "logits, which sum to zero over the experts"


def _gate_effects(mixture: FittedMixture) -> Array | None:
    """Log odds (K, q) of each expert against the others of its start, per standard deviation."""
    gate = mixture.model.gate
    n_experts = mixture.model.n_experts // _n_averaged_starts(mixture)
    if n_experts == 1:
        return None
    n_columns = mixture.preprocessor.n_gate_columns
    coef = gate.coefficients(mixture.params.gate, n_columns)
    if coef is None or not gate.depends_on_features:
        return None
    return coef[:, :-1] * n_experts / (n_experts - 1.0)


def _named_gate_effects(mixture: FittedMixture, labels: Labels, k: int) -> list[tuple[str, float]]:
    """Effects of the columns of the gate on the log odds of an expert, by name."""
    effects = _gate_effects(mixture) if mixture.model.n_experts > 1 else None
    if effects is None:
        return []
    names = [labels.gate_features[j] for j in gate_column_index(mixture.preprocessor)]
    return list(zip(names, effects[k].tolist(), strict=True))


def _gate_description(mixture: FittedMixture, labels: Labels, k: int, counted: str) -> str:
    """The rows, or units, for which the gate chooses an expert, in words."""
    if mixture.model.n_experts == 1:
        return f"used for every {counted}"
    if not mixture.model.gate.depends_on_features:
        return SAME_PROBABILITY.format(counted=counted)
    effects = _named_gate_effects(mixture, labels, k)
    if not effects:
        return "a probability that depends on the features, see predict_gate"
    names, effect = [name for name, _ in effects], np.array([value for _, value in effects])
    largest = np.abs(effect).max(initial=0.0)
    order = np.argsort(-np.abs(effect), kind="stable")[:MAX_FEATURES_NAMED]
    named = [j for j in order if abs(effect[j]) > MIN_RELATIVE_EFFECT * largest]
    if not named:
        return SAME_PROBABILITY.format(counted=counted)
    described = ", ".join(
        f"{'high' if effect[j] > 0 else 'low'} {names[j]} (log odds {effect[j]:+.2f} per SD)"
        for j in named
    )
    return f"more likely for {described}"
