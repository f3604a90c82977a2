"""What is told of a fitted mixture: facts, words and tables, as statisticians are used to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from skmoe._inference.coefficients import Term
from skmoe._inference.criteria import aic, bic, classification_entropy
from skmoe._inference.labels import expert_names, gate_name, last_step
from skmoe._inference.results import Expert, Inference, Summary
from skmoe._numerics.typing import Array

# Features named in words, and their least share of the strongest.
MAX_FEATURES_NAMED = 3

MIN_RELATIVE_EFFECT = 0.25

# Importances listed for an expert that has them.
MAX_IMPORTANCES = 5


def make_summary(
    model: Any,
    joint: Array | None,
    weight: Array | None,
    found: Inference | None,
    level: float,
    values: tuple[list[Term], Array] | None,
    gate_reference: int | None = None,
) -> Summary:
    """The summary of a fitted estimator, with the log-joint (K, n) of the data of its fit."""
    facts = {
        "experts": str(model.n_experts_),
        "features": str(model.n_features_in_),
        "gate": gate_name(model),
        "lower bound per row": f"{model.lower_bound_:.5g}",
        "iterations": f"{model.n_iter_} ({'converged' if model.converged_ else 'not converged'})",
    }
    starts = model.start_lower_bounds_
    if _n_averaged_starts(model) > 1:
        facts["experts"] = f"{model.n_experts_}, mean over {len(starts)} starts"
    if len(starts) > 1:
        facts["starts, best to worst"] = f"{np.max(starts):.5g} to {np.min(starts):.5g}"
    rows = np.full(model.n_experts_, np.nan)
    fitted_models = hasattr(model, "experts_")
    if joint is not None and weight is not None:
        log_density = logsumexp(joint, axis=0)
        resp = np.exp(joint - log_density)
        rows = resp @ weight
        # Of estimators the criteria would judge how well they know the rows they were fitted on.
        n_params = np.nan if fitted_models else model._n_parameters()
        facts |= _criteria(float(log_density @ weight), n_params, resp, weight)
    notes = ["Penalised estimates, in the units of the data."]
    if model.n_experts_ > 1 and hasattr(model._mixture.params.gate, "coef"):
        notes.append(
            "Leanings: log odds against the other experts for one standard deviation more."
        )
    if found is not None:
        notes.append(f"Standard errors: {found.method}.")
    elif values is not None:
        notes.append("Give the data of the fit, summary(X, y), for criteria and standard errors.")
    title = f"{type(model).__name__}: mixture of {model.n_experts_} experts"
    experts = [_summarize_expert(model, k, rows[k]) for k in range(model.n_experts_)]
    gate = "logits, which sum to zero over the experts"
    if gate_reference is not None:
        gate = f"log odds against expert {gate_reference}"
    elif not hasattr(model._mixture.params.gate, "coef"):
        gate = "log probabilities"
    return Summary(title, facts, experts, found, level, values, gate, notes)


def _criteria(log_likelihood: float, n_params: float, resp: Array, weight: Array) -> dict[str, str]:
    entropy = classification_entropy(resp, weight)
    facts = {"rows": f"{weight.sum():g}", "log-likelihood": f"{log_likelihood:.6g}"}
    if np.isfinite(n_params):
        bic_value = bic(log_likelihood, n_params, weight.sum())
        facts |= {
            "parameters": f"{n_params:g}",
            "AIC": f"{aic(log_likelihood, n_params):.6g}",
            "BIC": f"{bic_value:.6g}",
            "ICL": f"{bic_value + 2.0 * entropy:.6g}",
        }
    return facts | {"entropy": f"{entropy:.4g}"}


def _summarize_expert(model: Any, k: int, rows: float) -> Expert:
    experts = getattr(model, "experts_", None)
    kind = expert_names(model)[k] if experts is None else _model_name(experts[k])
    if _n_averaged_starts(model) > 1:
        kind += f", start {k * _n_averaged_starts(model) // model.n_experts_}"
    noise = getattr(model, "noise_variance_", None)
    noise = None if noise is None or np.isnan(noise[k]).all() else noise
    return Expert(
        _gate_description(model, k),
        kind,
        float(model.weights_[k]),
        float(rows),
        float(model.load_[k]),
        None if noise is None else np.sqrt(np.atleast_1d(noise[k])),
        [] if experts is None else _importances(experts[k], model._feature_names()),
    )


def _n_averaged_starts(model: Any) -> int:
    """Starts that the mixture is the average of."""
    return len(getattr(model._mixture.params.gate, "starts", (None,)))


def _model_name(models: Sequence[Any]) -> str:
    last = [last_step(model) for model in models]
    name = type(last[0]).__name__
    if hasattr(last[0], "get_n_leaves"):
        name += f", {np.mean([model.get_n_leaves() for model in last]):.3g} leaves"
    return f"{name}, average of {len(models)}" if len(models) > 1 else name


def _importances(models: Sequence[Any], names: list[str]) -> list[tuple[str, float]]:
    """The most important features, where all models tell of all features."""
    told = [getattr(model, "feature_importances_", np.zeros(0)) for model in models]
    if any(len(values) != len(names) for values in told):
        return []
    mean = np.mean(told, axis=0)
    order = np.argsort(-mean, kind="stable")[:MAX_IMPORTANCES]
    return [(f"importance of {names[j]}", float(mean[j])) for j in order if mean[j] > 0]


def _gate_description(model: Any, k: int) -> str:
    """Which rows an expert is for."""
    mixture = model._mixture
    if model.n_experts_ == 1:
        return "answers for every row"
    coef = getattr(mixture.params.gate, "coef", None)
    if coef is None:
        return "chosen for every row with the same probability"
    names = model._gate_names()
    # Against the average of the other experts.
    lean = coef[k, :-1] * model.n_experts_ / (model.n_experts_ - 1.0)
    strongest = np.abs(lean).max(init_params=0.0)
    order = np.argsort(-np.abs(lean), kind="stable")[:MAX_FEATURES_NAMED]
    named = [j for j in order if abs(lean[j]) > MIN_RELATIVE_EFFECT * strongest]
    if not named:
        return "chosen for every row with the same probability"
    said = ", ".join(
        f"{'high' if lean[j] > 0 else 'low'} {names[j]} ({lean[j]:+.2f})" for j in named
    )
    return f"leans to {said}"
