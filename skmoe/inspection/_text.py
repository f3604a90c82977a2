"""export_text and export_mermaid: the gate and the experts of a fitted mixture as text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._inference.labels import (
    base_term,
    counted_noun,
    format_percent,
    gate_name,
    link_equation,
    named_dispersions,
    printable_line,
    printable_name,
)
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_names, check_table
from skmoe.inspection._grid import column_stds
from skmoe.inspection._leading import derived_gate_columns, gate_effects, gate_log_odds
from skmoe.inspection._pipelines import find_mixture
from skmoe.protocols import LinearPredictor

# Relative difference from a linear function that is attributed to round-off.
LINEARITY_RTOL = 1e-9

# Other characters could end a label of a diagram, or be parsed as markup.
UNSAFE = re.compile(r"[^\w .,:+/%()=-]")

# Numbers from this size on have no digits after the decimal point that matter.
LARGE_NUMBER = 1e5


class TextFormat(NamedTuple):
    """How numbers and names are written."""

    names: list[str]
    scale: Array  # factors of the slopes that make them comparable, (p,)
    unit: str  # of the features after that
    max_features: int
    decimals: int

    def number(self, value: float, sign: str = "") -> str:
        """A number; with its sign, also if that is plus, for `sign="+"`."""
        if abs(value) >= LARGE_NUMBER:
            return f"{value:{sign}.4g}"
        return f"{value:{sign}.{self.decimals}f}"


def export_text(
    estimator: Any,
    feature_names: Sequence[str] | None = None,
    *,
    X: Any = None,
    max_features: int | None = 5,
    decimals: int = 2,
) -> str:
    """Describe the gate and the experts of a fitted mixture in words.

    For each expert: its share of the rows (or units), the effects of the features on its gate
    probability, and its equation, in which "base" stands for the prediction of the base model.

    Gate effects are log odds of the expert against the average of the others. They are for one
    standard deviation more of the feature if `X` is given, and for one unit more otherwise. Columns
    that the gate derives from the features have their standard deviation in the fit. For estimators
    as experts: their kind, the equation of linear regressions, and the most important features
    where the estimators have importances. See "Reading a fit" in the user guide.

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
        Largest number of features in each line, the largest slopes first; None for all.
    decimals : int, default=2
        Digits after the decimal point; of numbers above 100 000 four significant digits.

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
    >>> print(export_text(moe, ["depth"], decimals=1))
    MixtureOfExpertsRegressor: 2 experts, softmax gate
    <BLANKLINE>
    expert 0 (linear), 50 % of the rows
      gate: log odds per unit: depth ...
      y = ...
    """
    estimator, X, note = find_mixture(estimator, X)
    names = [printable_name(name) for name in check_names(estimator, feature_names)]
    n_features, n_experts = estimator.n_features_in_, estimator.n_experts_
    if max_features is None:
        max_features = n_features
    check_integer("max_features", max_features, least=1)
    check_integer("decimals", decimals, least=0)
    scale = np.ones(n_features) if X is None else column_stds(check_table(estimator, X))
    unit = "unit" if X is None else "standard deviation"
    text_format = TextFormat(names, scale, unit, max_features, decimals)
    title = f"{type(estimator).__name__}: {n_experts} expert" + "s" * (n_experts > 1)
    lines = [f"{title}, {gate_name(estimator.gate)} gate", *([note] if note else [])]
    counted = counted_noun(hasattr(estimator, "n_units_"))
    for k, (name, kind) in enumerate(
        zip(estimator.expert_names_, estimator.expert_kinds_, strict=True)
    ):
        share = f"{format_percent(estimator.weights_[k])} of the {counted}s"
        lines += ["", f"{printable_name(name)} ({kind}), {share}"]
        described = gate_lines(estimator, k, text_format) + expert_lines(estimator, k, text_format)
        lines += [f"  {line}" for line in described]
    dropped = _dropped_lines(estimator, names)
    return "\n".join(map(printable_line, [*lines, "", *dropped] if dropped else lines))


def _dropped_lines(estimator: Any, names: list[str]) -> list[str]:
    """Features that gate or experts have dropped, if penalties of single features were found."""
    gate_names = [printable_name(str(name)) for name in estimator.gate_feature_names_]
    if derived_gate_columns(estimator) is None:
        gate_names = names
    lines = []
    for part, penalty, own in (
        ("experts", getattr(estimator, "alpha_", None), names),
        ("gate", getattr(estimator, "gate_alpha_", None), gate_names),
    ):
        if isinstance(penalty, np.ndarray):
            dropped = ", ".join(own[j] for j in np.flatnonzero(np.isposinf(penalty)))
            lines.append(f"dropped by the {part}: {dropped or 'none'}")
    return lines


# --- the gate ---------------------------------------------------------------------------------


def gate_lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """How the features change the probability of an expert by the gate."""
    log_odds = gate_log_odds(estimator)
    if estimator.n_experts_ == 1:
        return []
    if log_odds is None:
        if hasattr(estimator, "gate_coef_"):
            return [f"gate: the same for all {counted_noun(hasattr(estimator, 'n_units_'))}s"]
        return ["gate: without coefficients; see predict_gate for its probabilities"]
    names = derived_gate_columns(estimator)
    if names is None:
        slopes = log_odds[k] * text_format.scale
    else:
        slopes, text_format = log_odds[k], text_format._replace(names=names)
        if text_format.unit != "unit":  # per standard deviation in the fit
            effects = dict(estimator.summary().experts[k].gate_effects)
            slopes = np.array([effects[name] for name in names])
    terms = [
        f"{text_format.names[j]} {text_format.number(slopes[j], '+')}"
        for j in _largest(slopes, text_format.max_features)
    ]
    omitted = _n_omitted(slopes, text_format)
    return [f"gate: log odds per {text_format.unit}: {', '.join(terms)}{omitted}"]


# --- the experts ------------------------------------------------------------------------------


def expert_lines(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """Equations, or description of the models, and dispersions of an expert."""
    lines = []
    if hasattr(estimator, "experts_"):
        lines = _model_lines(estimator.experts_[k], text_format)
        lines += _regression_line(estimator, k, text_format)
    for block in estimator.coefficient_blocks_:
        if isinstance(block, LinearPredictor):
            lines += _equations(estimator, block, k, text_format)
    for name, values in named_dispersions(estimator, k).items():
        numbers = ", ".join(text_format.number(value) for value in values)
        lines.append(f"{name}: {'standard deviation ' * (name == 'noise')}{numbers}")
    spread = getattr(estimator, "spread_", None)
    if spread is not None and spread[k] != 1.0:
        lines.append(f"distribution: {text_format.number(spread[k])} times as wide as the model's")
    return lines


def _equations(
    estimator: Any, block: LinearPredictor, k: int, text_format: TextFormat
) -> list[str]:
    """One equation for each output, or for each class with a logit of the expert."""
    slopes = np.atleast_2d(vars(estimator)[block.coef][k])
    intercepts = np.atleast_1d(vars(estimator)[block.intercept][k])
    scale = "logit"
    if not is_classifier(estimator):
        responses = ["y"] if len(slopes) == 1 else [f"y{i}" for i in range(len(slopes))]
    elif len(slopes) == 1:
        responses, scale = [f"class {estimator.classes_[1]}"], "log odds"
    else:
        responses = [f"class {label}" for label in estimator.classes_]
    base = ""  # what the equations of experts on a base model contain besides features
    if estimator.base_ is not None:
        is_class = is_classifier(estimator)
        base = "terms of the base + " if is_class else f"{base_term(estimator.link_)} + "
    lines = []
    for response, intercept, row in zip(responses, intercepts, slopes, strict=True):
        predictor = _linear_predictor(intercept, row, text_format)
        if not block.is_main:
            equation = f"{block.label}{f' of {response}' * (len(slopes) > 1)} = {predictor}"
            lines.append(equation + _n_omitted(row, text_format))
            continue
        predictor = base + predictor
        if hasattr(estimator, "families_"):
            equation = estimator.families_[k].equation(response, predictor)
        else:
            equation = link_equation(estimator.link_, response, predictor, scale)
        lines.append(equation + _n_omitted(row, text_format))
    return lines


def _linear_predictor(intercept: float, slopes: Array, text_format: TextFormat) -> str:
    """The intercept and the largest terms."""
    terms = text_format.number(intercept)
    for j in _largest(slopes * text_format.scale, text_format.max_features):
        sign = "-" if slopes[j] < 0 else "+"
        terms += f" {sign} {text_format.number(abs(slopes[j]))} {text_format.names[j]}"
    return terms


def _regression_line(estimator: Any, k: int, text_format: TextFormat) -> list[str]:
    """The equation of an expert that is a linear regression of numeric features, maybe scaled."""
    linear = all(hasattr(final_estimator(model), "coef_") for model in estimator.experts_[k])
    if not linear or is_classifier(estimator) or estimator.base_ is not None:
        return []
    n_features = estimator.n_features_in_
    probe = np.random.default_rng(0).normal(size=n_features)
    rows = np.vstack([np.zeros(n_features), np.eye(n_features), probe])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the rows have no feature names
            means = estimator.predict_experts(rows)[:, k]
    except ValueError:  # categories
        return []
    intercept, slopes = means[0], means[1:-1] - means[0]
    size = np.abs(means).max()
    if means.ndim > 1 or abs(intercept + slopes @ probe - means[-1]) > LINEARITY_RTOL * size:
        return []
    slopes = np.where(np.abs(slopes) > LINEARITY_RTOL * size, slopes, 0.0)
    predictor = _linear_predictor(intercept, slopes, text_format)
    return [f"y = {predictor}{_n_omitted(slopes, text_format)}"]


def _model_lines(models: Sequence[Any], text_format: TextFormat) -> list[str]:
    """Description of the fitted models of an expert, one for each fold."""
    steps = [final_estimator(model) for model in models]
    lines = []
    if len(models) > 1:
        lines.append(f"average of {len(models)} models, one for each fold")
    if all(hasattr(step, "get_n_leaves") for step in steps):
        leaves = _range([step.get_n_leaves() for step in steps])
        depths = _range([step.get_depth() for step in steps])
        lines.append(f"{leaves} leaves, depth {depths}")
    if all(hasattr(step, "predict_gate") for step in steps):
        lines.append(f"itself a mixture of {_range([step.n_experts_ for step in steps])} experts")
    importances = [np.asarray(getattr(step, "feature_importances_", [])) for step in steps]
    if all(len(values) == len(text_format.names) for values in importances):
        mean = np.mean(importances, axis=0)
        terms = [
            f"{text_format.names[j]} {text_format.number(mean[j])}"
            for j in _largest(mean, text_format.max_features)
        ]
        if terms:
            lines.append(f"feature importances: {', '.join(terms)}")
    return lines


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _largest(slopes: Array, max_features: int) -> Array:
    """Indices of the largest slopes that are not zero."""
    order = np.argsort(-np.abs(slopes), kind="stable")
    return order[np.abs(slopes[order]) > 0.0][:max_features]


def _n_omitted(slopes: Array, text_format: TextFormat) -> str:
    """The number of slopes that are not written, as text."""
    n_omitted = int(np.count_nonzero(slopes)) - text_format.max_features
    return f", and {n_omitted} more" if n_omitted > 0 else ""


# --- the diagram ------------------------------------------------------------------------------


def export_mermaid(
    estimator: Any,
    feature_names: Sequence[str] | None = None,
    *,
    X: Any = None,
    max_features: int = 3,
) -> str:
    """Write the routing of a fitted mixture as a mermaid diagram.

    Edges lead from the features through the gate, with the features of the largest effects, to the
    experts, with their shares of the rows or units, and to the prediction. The text renders as a
    diagram in the README of a repository, in a block of code whose language is mermaid. See
    "Displays" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit, or x0, x1 and so on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose standard deviations make the slopes of different features comparable; pass it by
        name. Without them the features of the gate are not ranked, and not named.
    max_features : int, default=3
        Largest number of features to name at the gate.

    Returns
    -------
    diagram : str
        A mermaid flowchart.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If there is not one name for each feature, or a number is not an integer in its range.

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
        input["1 feature"] --> gate{"softmax gate"}
        gate -->|"100 %"| expert0["expert 0<br/>linear<br/>noise ..."]
        expert0 --> output(["mean of y"])
    """
    estimator, X, note = find_mixture(estimator, X)
    names = check_names(estimator, feature_names)
    check_integer("max_features", max_features, least=1)
    effects = None if X is None else gate_effects(estimator, check_table(estimator, X))
    n_features, n_experts = estimator.n_features_in_, estimator.n_experts_
    count = f"{n_features} feature" + "s" * (n_features > 1)
    features = _label(count, *([note] if note else []))
    gate = [f"{gate_name(estimator.gate)} gate"]
    if effects is not None and effects.any():
        leading = ", ".join(names[j] for j in _largest(effects, max_features))
        gate.append(f"largest effects: {leading}")
    lines = ["flowchart LR", f"    input[{features}] --> gate{{{_label(*gate)}}}"]
    for k, (name, kind) in enumerate(
        zip(estimator.expert_names_, estimator.expert_kinds_, strict=True)
    ):
        described = [printable_name(name), kind]
        for term, values in named_dispersions(estimator, k).items():
            described.append(f"{term} " + ", ".join(f"{value:.3g}" for value in values))
        share = _label(format_percent(estimator.weights_[k]))
        lines.append(f"    gate -->|{share}| expert{k}[{_label(*described)}]")
    prediction = "probabilities of the classes" if is_classifier(estimator) else "mean of y"
    lines.append(f"    expert0 --> output([{_label(prediction)}])")
    lines += [f"    expert{k} --> output" for k in range(1, n_experts)]
    return "\n".join(lines)


def _label(*lines: str) -> str:
    """Lines of text in quotes, with unsafe characters as code points."""
    plain = [" ".join(line.split()) for line in lines]
    safe = [UNSAFE.sub(lambda match: f"#{ord(match[0])};", line) for line in plain]
    return f'"{"<br/>".join(safe)}"'
