"""A fitted mixture in words and tables, as statisticians are used to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from skmoe import _inference
from skmoe._coefficients import GATE, NOISE, Term
from skmoe._extras import import_pandas
from skmoe._inference import Inference
from skmoe._numerics import Array

WIDTH = 88
# Width of a number in a table.
CELL = 11
# Features named in words, and their least share of the strongest.
MOST_NAMED = 3
LEAST_LEAN = 0.25
# Importances listed for an expert that has them.
MOST_IMPORTANCES = 5


class Expert(NamedTuple):
    """What is known of an expert."""

    words: str  # which rows are its own
    kind: str
    share: float  # mean gate probability
    rows: float  # that it explains; NaN without the data
    load: float  # rows of which it is the most probable expert
    noise: Array | None  # standard deviations
    importances: list[tuple[str, float]]


class Summary:
    """What `summary` of a fitted mixture gives: print it, or take it apart.

    Attributes
    ----------
    facts : dict of str to str
        About the whole fit.
    experts : list of Expert
        Words, kind, share, rows, load, noise and importances of each.
    inference : Inference or None
        Coefficients with their errors, if the data were given.
    """

    def __init__(
        self,
        title: str,
        facts: dict[str, str],
        experts: list[Expert],
        inference: Inference | None,
        level: float,
        values: tuple[list[Term], Array] | None,
        notes: list[str],
    ) -> None:
        self.title = title
        self.facts = facts
        self.experts = experts
        self.inference = inference
        self.level = level
        self.notes = notes
        self._values = values

    def to_frame(self, what: str = "coefficients"):
        """A pandas frame.

        Parameters
        ----------
        what : {"coefficients", "experts"}, default="coefficients"
            Rows of the frame: coefficients with their errors, or experts.

        Returns
        -------
        frame : pandas.DataFrame
            One row for each term, or for each expert.

        Raises
        ------
        ValueError
            If `what` is neither, or the experts have no coefficients.
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("Summary.to_frame")
        if what == "experts":
            frame = pandas.DataFrame([expert._asdict() for expert in self.experts])
            frame.index.name = "expert"
            return frame
        if what != "coefficients" or self._values is None:
            raise ValueError(
                f'what must be "experts" or, for experts with coefficients, "coefficients"; got '
                f"{what!r}."
            )
        if self.inference is not None:
            return self.inference.to_frame(self.level)
        terms, values = self._values
        index = pandas.MultiIndex.from_tuples(terms, names=["part", "response", "term"])
        return pandas.DataFrame({"estimate": values}, index=index)

    def __str__(self) -> str:
        lines = ["=" * WIDTH, self.title, "=" * WIDTH, *_two_columns(self.facts)]
        for k, expert in enumerate(self.experts):
            lines += ["", _heading(k, expert), f"  {expert.words}"]
            lines += self._block(f"expert {k}")
            lines += [f"  {name:<24}{value:>10.3f}" for name, value in expert.importances]
        gate = self._block(GATE)
        lines += ["", "Gate: log odds", *gate] if gate else []
        return "\n".join([*lines, "=" * WIDTH, *self.notes])

    __repr__ = __str__

    def _block(self, part: str) -> list[str]:
        """The table of the coefficients of a part."""
        terms, values = self._values or ([], np.zeros(0))
        reasons = [""] * len(terms) if self.inference is None else self.inference.reasons
        chosen = [i for i, term in enumerate(terms) if term.part == part and term.name != NOISE]
        if part == GATE:  # its reference is zero
            chosen = [i for i in chosen if reasons[i] != "fixed"]
        if not chosen:
            return []
        if self.inference is None:
            columns = [values]
            header = ["estimate"]
        else:
            found = self.inference
            values = found.estimates
            columns = [values, found.standard_errors, found.z_values, found.p_values]
            columns += list(found.conf_int(self.level).T)
            tail = 50 * (1 - self.level)
            header = ["estimate", "std. error", "z", "p", f"{tail:g} %", f"{100 - tail:g} %"]
        lines = [" " * 22 + "".join(f"{name:>{CELL}}" for name in header)]
        response = ""
        for i in chosen:
            if terms[i].response != response:
                response = terms[i].response
                lines.append(f"  {response}")
            cells = [_number(values[i], name) for values, name in zip(columns, header, strict=True)]
            cells.append(f"  {reasons[i]}")
            lines.append(f"  {_short(terms[i].name, 20):<20}{''.join(cells)}".rstrip())
        return lines


def describe(
    model: Any,
    joint: Array | None,
    weight: Array | None,
    found: Inference | None,
    level: float,
    values: tuple[list[Term], Array] | None,
) -> Summary:
    """The summary of a fitted estimator, with the log-joint (K, n) of the data of its fit."""
    facts = {
        "experts": str(model.n_experts_),
        "features": str(model.n_features_in_),
        "gate": type(model._mixture.parts.gate).__name__,
        "lower bound per row": f"{model.lower_bound_:.5g}",
        "iterations": f"{model.n_iter_} ({'converged' if model.converged_ else 'not converged'})",
    }
    starts = model.start_lower_bounds_
    if _n_averaged(model) > 1:
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
    experts = [_describe_expert(model, k, rows[k]) for k in range(model.n_experts_)]
    return Summary(title, facts, experts, found, level, values, notes)


def _criteria(log_likelihood: float, n_params: float, resp: Array, weight: Array) -> dict[str, str]:
    entropy = _inference.entropy(resp, weight)
    facts = {"rows": f"{weight.sum():g}", "log-likelihood": f"{log_likelihood:.6g}"}
    if np.isfinite(n_params):
        bic = _inference.bayesian(log_likelihood, n_params, weight.sum())
        facts |= {
            "parameters": f"{n_params:g}",
            "AIC": f"{_inference.akaike(log_likelihood, n_params):.6g}",
            "BIC": f"{bic:.6g}",
            "ICL": f"{bic + 2.0 * entropy:.6g}",
        }
    return facts | {"entropy": f"{entropy:.4g}"}


def _describe_expert(model: Any, k: int, rows: float) -> Expert:
    experts = getattr(model, "experts_", None)
    kind = "linear" if experts is None else _kind(experts[k])
    if experts is None and not hasattr(model, "coef_"):
        kind = type(model._mixture.parts.experts).__name__
    if _n_averaged(model) > 1:
        kind += f", start {k * _n_averaged(model) // model.n_experts_}"
    noise = getattr(model, "noise_variance_", None)
    noise = None if noise is None or np.isnan(noise[k]).all() else noise
    return Expert(
        _words(model, k),
        kind,
        float(model.weights_[k]),
        float(rows),
        float(model.load_[k]),
        None if noise is None else np.sqrt(np.atleast_1d(noise[k])),
        [] if experts is None else _importances(experts[k], model._feature_names()),
    )


def _n_averaged(model: Any) -> int:
    """Starts that the mixture is the average of."""
    return len(getattr(model._mixture.params.gate, "starts", (None,)))


def _kind(models: Sequence[Any]) -> str:
    last = [model[-1] if hasattr(model, "named_steps") else model for model in models]
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
    order = np.argsort(-mean, kind="stable")[:MOST_IMPORTANCES]
    return [(f"importance of {names[j]}", float(mean[j])) for j in order if mean[j] > 0]


def _words(model: Any, k: int) -> str:
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
    strongest = np.abs(lean).max(initial=0.0)
    order = np.argsort(-np.abs(lean), kind="stable")[:MOST_NAMED]
    named = [j for j in order if abs(lean[j]) > LEAST_LEAN * strongest]
    if not named:
        return "chosen for every row with the same probability"
    said = ", ".join(
        f"{'high' if lean[j] > 0 else 'low'} {names[j]} ({lean[j]:+.2f})" for j in named
    )
    return f"leans to {said}"


def _heading(k: int, expert: Expert) -> str:
    rows = "" if np.isnan(expert.rows) else f", {expert.rows:.5g} effective rows"
    noise = ""
    if expert.noise is not None:
        noise = ", noise sd " + ", ".join(f"{sd:.4g}" for sd in expert.noise)
    return f"Expert {k} ({expert.kind}): {100 * expert.share:.1f} % of the rows{rows}{noise}"


def _two_columns(facts: dict[str, str]) -> list[str]:
    """Facts side by side."""
    cells = [f"{name:<22}{value:>20}" for name, value in facts.items()]
    half = (len(cells) + 1) // 2
    right = [*cells[half:], *[""] * (2 * half - len(cells))]
    return [f"{a:<46}{b}".rstrip() for a, b in zip(cells[:half], right, strict=True)]


def _number(value: float, column: str) -> str:
    if np.isnan(value):
        return " " * CELL
    if column == "p":
        return f"{'<0.0001' if value < 1e-4 else f'{value:.4f}':>{CELL}}"
    return f"{value:>{CELL}.2f}" if column == "z" else f"{value:>{CELL}.4g}"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
