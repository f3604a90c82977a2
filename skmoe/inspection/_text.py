"""export_text and export_mermaid: the gate and the experts of a fitted mixture as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_columns, check_integer
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._inference import labels
from skmoe._inference.persistence import HARDLY_EVER_LEFT, LONGEST
from skmoe._numerics.typing import Array
from skmoe.inspection import _subject as subject
from skmoe.protocols import Correlation, Dispersion, EffectCovariance, LinearPredictor

# Other characters could end a label of a diagram, or be parsed as markup.
UNSAFE = re.compile(r"[^\w .,:+/%()=-]")

# Features that are named at the gate of a diagram.
MAX_AT_GATE = 3


class TextFormat(NamedTuple):
    """How numbers and names are written."""

    names: list[str]
    unit: str  # of the features, for the slopes of the gate
    spread: Array  # of the features, by which effects are compared, (p,)
    max_features: int
    digits: int = labels.N_DIGITS

    def number(self, value: float, sign: str = "") -> str:
        """A number in significant digits."""
        return labels.format_number(value, self.digits, sign)

    def leading(self, effects: Array, least: float = 0.0) -> Array:
        """Indices of the largest effects, without those that round to nothing beside them.

        So do effects of less than half a unit in the last digit of `least`.
        """
        sizes = np.abs(effects)
        negligible = 0.5 * 10.0 ** (1 - self.digits) * max(sizes.max(initial=0.0), least)
        order = np.argsort(-sizes, kind="stable")
        return order[(sizes[order] > 0.0) & (sizes[order] >= negligible)][: self.max_features]

    def omitted(self, slopes: Array, leading: Array) -> str:
        """The number of slopes that are not written, as text."""
        n_omitted = int(np.count_nonzero(slopes)) - len(leading)
        return f", and {n_omitted} {'more' if len(leading) else 'near 0'}" if n_omitted > 0 else ""

    def effects(self, slopes: Array, effects: Array) -> str:
        """The largest effects, or their slopes by units, and the number of the others."""
        leading, slopes = self.leading(effects), slopes if self.unit == "unit" else effects
        terms = [f"{self.names[j]} {self.number(slopes[j], '+')}" for j in leading]
        return (", ".join(terms) or "none") + self.omitted(slopes, leading)

    def equation(self, text: str, coefficients: Array, least: float = 0.0) -> str:
        """A text with the intercept and the largest terms, and the number of the others."""
        terms, slopes = self.number(coefficients[0]), coefficients[1:]
        leading = self.leading(slopes * self.spread, least)
        for j in leading:
            sign = "-" if slopes[j] < 0 else "+"
            terms += f" {sign} {self.number(abs(slopes[j]))} {self.names[j]}"
        return text.replace("{predictor}", terms) + self.omitted(slopes, leading)


def export_text(
    estimator: Any,
    feature_names: Sequence[str] | None = None,
    *,
    X: Any = None,
    max_features: int | None = 5,
    digits: int = labels.N_DIGITS,
) -> str:
    """Describe the gate and the experts of a fitted mixture in words.

    For each expert: its share of the rows (or units), the effects of the features on its gate
    probability, and its equation, in which "base" stands for the prediction of the base model. With
    `gate="markov"` how long its regime lasts and where it leads, and effects of the features on
    leaving it.

    Effects of the gate are log odds of the expert against the first one, as in `summary`. They are
    for one standard deviation more of the feature if `X` is given, and for one unit more otherwise.
    Columns that the gate derives from the features have their standard deviation in the fit.
    Equations of classes are log odds against the first class. For estimators as experts: their
    kind, and the most important features where the estimators have importances. See "Reading a
    fit" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit, or x0, x1 and so on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose standard deviations make the slopes of different features comparable; pass it by
        name. None for slopes by unit of each feature.
    max_features : int, default=5
        Largest number of features in each line, the largest effects first; None for all. Effects
        are those of a standard deviation in `X`, or of the range of the feature in the fit. Terms
        that round to nothing beside the largest one are counted, but not written.
    digits : int, default=3
        Significant digits of numbers. Digits before the decimal point are always written.

    Returns
    -------
    text : str
        One block of lines for each expert.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If there is not one name for each feature, or a number is not an integer in its range.

    See Also
    --------
    export_mermaid : The same as a diagram.
    export_html : A report with pictures, as a page.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import export_text
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> print(export_text(moe, ["depth"], digits=2))
    MixtureOfExpertsRegressor: 2 experts, softmax gate
    <BLANKLINE>
    expert 0 (linear), 50 % of the rows
      gate: reference of the log odds
      y = ...
    """
    estimator, X, note = subject.find_mixture(estimator, X)
    names = subject.check_names(estimator, feature_names)
    n_features, n_experts = estimator.n_features_in_, estimator.n_experts_
    max_features = n_features if max_features is None else max_features
    check_integer("max_features", max_features, least=1)
    check_integer("digits", digits, least=1)
    known = getattr(estimator, "feature_range_", np.full((2, n_features), np.nan))
    unit, spread = "unit", np.nan_to_num(np.ptp(known, axis=0), nan=1.0)  # of categories one
    if X is not None:
        unit, spread = "standard deviation", subject.column_stds(subject.check_table(estimator, X))
    text_format = TextFormat(names, unit, spread, max_features, digits)
    title = f"{type(estimator).__name__}: {n_experts} expert" + "s" * (n_experts > 1)
    lines = [f"{title}, {_gate_title(estimator)}", *([note] if note else [])]
    counted = labels.counted_noun(hasattr(estimator, "n_units_"))
    for k, (name, kind) in enumerate(_experts(estimator)):
        share = labels.format_percent(estimator.weights_[k])
        lines += ["", f"{name} ({kind}), {share} of the {counted}s"]
        described = gate_lines(estimator, k, text_format)
        described += expert_lines(estimator, k, text_format)
        lines += [f"  {line}" for line in described]
    return "\n".join(map(labels.printable_line, lines))


def _gate_title(estimator: Any) -> str:
    return f"{labels.gate_name(estimator.gate)} gate" if estimator.n_experts_ > 1 else "no gate"


# --- the gate ---------------------------------------------------------------------------------


def gate_lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """How the features change the odds of an expert by the gate."""
    log_odds = subject.gate_log_odds(estimator)
    if estimator.n_experts_ == 1:
        return []
    if subject.has_series(estimator):
        return transition_lines(estimator, k, text_format)
    if log_odds is None:
        if hasattr(estimator, "gate_coef_"):
            counted = labels.counted_noun(hasattr(estimator, "n_units_"))
            return [f"gate: the same for all {counted}s"]
        return ["gate: without coefficients; see predict_gate for its probabilities"]
    if k == 0:
        return ["gate: reference of the log odds"]
    names = subject.derived_gate_columns(estimator)
    if names is None:
        effects = log_odds[k] * text_format.spread
    else:  # effects of a standard deviation in the fit
        named = dict(estimator.summary().experts[k].gate_effects)
        effects = np.array([named.get(name, 0.0) for name in names])
        text_format = text_format._replace(names=names)
    effect = f"against {subject.names_of_experts(estimator)[0]} per {text_format.unit}"
    return [f"gate: log odds {effect}: {text_format.effects(log_odds[k], effects)}"]


def transition_lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """How long the regime of an expert lasts, where it leads, and the effects of the features."""
    of_k, names = estimator.transition_matrix_[k], subject.names_of_experts(estimator)
    slopes = estimator.transition_coef_[k] - estimator.transition_coef_[k, k]
    at_means = " at the mean features" if slopes.any() else ""
    others = [j for j in np.argsort(-of_k, kind="stable").tolist() if j != k]
    leads = [f"{labels.format_percent(of_k[j])} to {names[j]}" for j in others]
    duration = 1.0 / max(1.0 - of_k[k], np.finfo(float).tiny)
    lines = [f"next row{at_means}: {labels.format_percent(of_k[k])} the same, {', '.join(leads)}"]
    lasts = f"lasts {text_format.number(duration)} rows on average"
    lines.append(f"{lasts if duration <= LONGEST else HARDLY_EVER_LEFT}{at_means}")
    columns = subject.derived_gate_columns(estimator)
    if columns is not None:
        ones = np.ones(len(columns))
        text_format = text_format._replace(names=columns, unit="unit", spread=ones)
    for j in others if slopes.any() else ():
        written = text_format.effects(slopes[j], slopes[j] * text_format.spread)
        effect = f"log odds of {names[j]} against staying per {text_format.unit}"
        lines.append(f"{effect}: {written}")
    return lines


# --- the experts ------------------------------------------------------------------------------


def _experts(estimator: Any) -> list[tuple[str, str]]:
    """Name and kind of each expert."""
    return list(zip(subject.names_of_experts(estimator), estimator.expert_kinds_, strict=True))


def expert_lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """Equations, or description of the models, and dispersions of an expert."""
    models = estimator.experts_[k] if hasattr(estimator, "experts_") else ()
    lines = _model_lines(models, text_format) if models else []
    for block in labels.linear_predictors(estimator):
        lines += _equations(estimator, block, k, text_format)
    if hasattr(estimator, "slopes_at_bound_"):
        is_held = np.atleast_2d(estimator.slopes_at_bound_[k]).all(axis=0)
        held = ", ".join(text_format.names[j] for j in np.flatnonzero(is_held))
        lines += [f"at its bound of 0: {held}"] if held else []
    for name, values in _dispersions(estimator, k).items():
        numbers = ", ".join(map(text_format.number, values))
        is_noise = name.partition(" ")[0] == "noise"
        lines.append(f"{name}: {'standard deviation ' * is_noise}{numbers}")
    for factors, text in (
        (getattr(estimator, "spread_", None), "distribution: {} times as wide as the model's"),
        (getattr(estimator, "temperature_", None), "temperature of the probabilities: {}"),
    ):
        if factors is not None and factors[k] != 1.0:
            lines.append(text.format(text_format.number(factors[k])))
    return lines


def _equations(
    estimator: Any, block: LinearPredictor, k: int, text_format: TextFormat
) -> list[str]:
    """One equation for each output, or class with a logit; none of what the expert lacks."""
    values = labels.coefficients_of(estimator, block)[k]
    if np.isnan(values).any():
        return []
    scale, responses = "logit", list(block.responses(labels.output_labels(estimator)))
    base = "" if estimator.base_ is None else f"{labels.base_term(estimator.link_)} + "
    if is_classifier(estimator):
        scale, (reference, *others) = "log odds", estimator.classes_
        against = f" against class {reference}" * (len(others) > 1)
        responses = [f"class {label}{against}" for label in others]
        values, base = values[1:] - values[0], "terms of the base + " * bool(base)
    family = labels.families_of(estimator, k)[block.output or 0]
    link = block.link if not block.is_main else estimator.link_ if family is None else family.link
    # Effects of less than a part of one are nothing on the scale of a log, and of less than that
    # part of the noise on the scale of y.
    least = np.ones(len(values))
    if link == "identity":
        none = np.zeros((estimator.n_experts_, len(labels.output_labels(estimator))))
        noise = getattr(estimator, "noise_variance_", none)[k]
        noise = noise if block.output is None else noise[block.output]
        least = np.resize(np.sqrt(np.nan_to_num(noise)), len(values))
    lines = []
    for response, own, threshold in zip(responses, values, least, strict=True):
        predictor = base + "{predictor}"
        is_one = len(values) == 1 and block.output is None
        text = f"{block.label}{'' if is_one else f' of {response}'} = {{predictor}}"
        if block.is_main and family is not None:
            text = family.equation.format(response=response, predictor=predictor)
        elif block.is_main:
            text = labels.link_equation(estimator.link_, response, predictor, scale)
        lines.append(text_format.equation(text, own, threshold))
    return lines


def _dispersions(estimator: Any, k: int) -> dict[str, list[float]]:
    """Dispersion parameters of an expert for each output, by name; not those that it lacks.

    In place of a noise variance there is the standard deviation, "noise".
    """
    named: dict[str, list[float]] = {}
    outputs = labels.output_labels(estimator)
    for block in estimator.coefficient_blocks_:
        if isinstance(block, Dispersion):
            numbers, name = block.numbers(vars(estimator), estimator.n_experts_)[k], block.name
            if name == "noise variance":
                numbers, name = np.sqrt(numbers), "noise"
            if isinstance(block, EffectCovariance):
                features, given = subject.check_names(estimator, None), estimator.random_features
                names = getattr(estimator, "feature_names_in_", None)
                columns: Any = check_columns("random_features", given, len(features), names, True)
                effects = ["intercept", *(features[j] for j in columns)]
                both = product(outputs, effects)
                ends = [f"{e} of {o}" if len(outputs) > 1 else e for o, e in both]
                named |= {f"{name}, {end}": [numbers[i]] for i, end in enumerate(ends)}
            elif isinstance(block, Correlation) and len(numbers) > 1:
                pairs = zip(block.responses(outputs), numbers.tolist(), strict=True)
                named |= {f"{name} of {pair}": [number] for pair, number in pairs}
            elif block.output is not None:
                named[f"{name} of {outputs[block.output]}"] = numbers.tolist()
            elif not np.isnan(numbers).any():
                named.setdefault(name, []).extend(numbers.tolist())
    return named


def _model_lines(models: Sequence[Any], text_format: TextFormat) -> list[str]:
    """Description of the fitted models of an expert, one for each fold."""
    steps = [final_estimator(model) for model in models]
    lines = [f"average of {len(models)} models, one for each fold"] * (len(models) > 1)
    if all(hasattr(step, "predict_gate") for step in steps):
        numbers = sorted({step.n_experts_ for step in steps})
        ends = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
        lines.append(f"itself a mixture of {ends} experts")
    importances = [np.asarray(getattr(step, "feature_importances_", [])) for step in steps]
    if all(len(values) == len(text_format.names) for values in importances):
        mean = np.mean(importances, axis=0)
        leading = text_format.leading(mean)
        terms = [f"{text_format.names[j]} {text_format.number(mean[j])}" for j in leading]
        lines += [f"feature importances: {', '.join(terms)}"] * bool(terms)
    return lines


# --- the diagram ------------------------------------------------------------------------------


def export_mermaid(estimator: Any, *, X: Any = None) -> str:
    """Write the routing of a fitted mixture as a mermaid diagram.

    Edges lead from the features through the gate, with the three features of the largest effects,
    to the experts, with their shares of the rows or units, and to the prediction. With
    `gate="markov"` edges between experts have the transition probabilities. The text renders
    as a diagram in the README of a repository, in a block of code whose language is mermaid. See
    "Displays" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose standard deviations make the slopes of different features comparable. Without
        them the features of the gate are not ranked, and not named.

    Returns
    -------
    diagram : str
        A mermaid flowchart.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.

    See Also
    --------
    export_text : The same as text.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import export_mermaid
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(n_experts=1).fit(X, 2 * X[:, 0])
    >>> print(export_mermaid(moe))
    flowchart LR
        input["1 feature"] --> gate{"no gate"}
        gate -->|"100 %"| expert0["expert 0<br/>linear<br/>noise ..."]
        expert0 --> output(["mean of y"])
    """
    estimator, X, note = subject.find_mixture(estimator, X)
    n_features, gate = estimator.n_features_in_, [_gate_title(estimator)]
    effects = (
        None if X is None else subject.gate_effects(estimator, subject.check_table(estimator, X))
    )
    if effects is not None and effects.any():
        names, largest = subject.check_names(estimator, None), np.argsort(-effects, kind="stable")
        named = [names[j] for j in largest[:MAX_AT_GATE] if effects[j] > 0.0]
        gate.append("largest effects: " + ", ".join(named))
    features = _label(f"{n_features} feature" + "s" * (n_features > 1), *([note] if note else []))
    lines = ["flowchart LR", f"    input[{features}] --> gate{{{_label(*gate)}}}"]
    for k, described in enumerate(map(list, _experts(estimator))):
        for term, values in _dispersions(estimator, k).items():
            described.append(f"{term} " + ", ".join(map(labels.format_number, values)))
        share = _label(labels.format_percent(estimator.weights_[k]))
        lines.append(f"    gate -->|{share}| expert{k}[{_label(*described)}]")
    if subject.has_series(estimator) and estimator.n_experts_ > 1:
        for (origin, to), probability in np.ndenumerate(estimator.transition_matrix_):
            label = _label(labels.format_percent(float(probability)))
            lines.append(f"    expert{origin} -->|{label}| expert{to}")
    prediction = "probabilities of the classes" if is_classifier(estimator) else "mean of y"
    lines.append(f"    expert0 --> output([{_label(prediction)}])")
    lines += [f"    expert{k} --> output" for k in range(1, estimator.n_experts_)]
    return "\n".join(lines)


def _label(*lines: str) -> str:
    """Lines of text in quotes, with unsafe characters as code points."""
    plain = [" ".join(line.split()) for line in lines]
    safe = [UNSAFE.sub(lambda match: f"#{ord(match[0])};", line) for line in plain]
    return f'"{"<br/>".join(safe)}"'
