"""export_mermaid: the gate and the experts of a fitted mixture as a diagram."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._inference.labels import (
    format_percent,
    gate_name,
    named_dispersions,
    printable_name,
)
from skmoe.inspection._checks import check_names, check_table
from skmoe.inspection._leading import gate_effects
from skmoe.inspection._pipelines import find_mixture

# Other characters could end a label, or be parsed as markup.
UNSAFE = re.compile(r"[^\w .,:+/%()=-]")


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
    leading = [] if X is None else _leading_features(estimator, check_table(estimator, X))
    n_features, n_experts = estimator.n_features_in_, estimator.n_experts_
    count = f"{n_features} feature" + "s" * (n_features > 1)
    features = _label(count, *([note] if note else []))
    gate = [f"{gate_name(estimator.gate)} gate"]
    if leading:
        gate.append("largest effects: " + ", ".join(names[j] for j in leading[:max_features]))
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


def _leading_features(estimator: Any, X: Any) -> list[int]:
    """Features with an effect on the gate, the largest first."""
    effects = gate_effects(estimator, X)
    if effects is None:
        return []
    return [int(j) for j in np.argsort(-effects, kind="stable") if effects[j] > 0.0]


def _label(*lines: str) -> str:
    """Lines of text in quotes, with unsafe characters as code points."""
    plain = [" ".join(line.split()) for line in lines]
    safe = [UNSAFE.sub(lambda match: f"#{ord(match[0])};", line) for line in plain]
    return f'"{"<br/>".join(safe)}"'
