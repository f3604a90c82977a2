"""export_mermaid: the routing as a diagram."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.checks import check_integer
from skmoe._inference.labels import expert_names, format_percent, gate_name, noise_std
from skmoe.inspection._checks import check_mixture, check_names, check_table
from skmoe.inspection._grid import spreads
from skmoe.inspection._text import encoded_columns, gate_leanings

# All else could end a label or be taken for markup.
UNSAFE = re.compile(r"[^\w .,:+/%()=-]")


def export_mermaid(estimator, feature_names=None, *, X=None, max_features=3):
    """Draw the routing of a fitted mixture as a mermaid diagram.

    Rows go from the features through the gate, with the features on which it leans most, to the
    experts, with the share of the rows each gets, and on to the prediction. The text renders as a
    picture in the README of a repository, in a block of code whose language is mermaid.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit, or x0, x1 and so on.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose spread makes the slopes of different features comparable. Without them the gate's
        features are not ranked, and not named.
    max_features : int, default=3
        Most features to name at the gate.

    Returns
    -------
    diagram : str
        A mermaid flowchart.

    Raises
    ------
    TypeError
        If the estimator is not a mixture of experts.
    ValueError
        If there is not one name for each feature, or a number is not an integer in its range.

    See Also
    --------
    export_text : The same in words.

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
    check_mixture(estimator)
    names = check_names(estimator, feature_names)
    check_integer("max_features", max_features, least=1)
    leading = [] if X is None else _leading(estimator, check_table(estimator, X))
    n_features = estimator.n_features_in_
    entrance = _label(f"{n_features} feature" + "s" * (n_features > 1))
    gate = [f"{gate_name(estimator)} gate"]
    if leading:
        gate.append("leans on " + ", ".join(names[j] for j in leading[:max_features]))
    lines = ["flowchart LR", f"    input[{entrance}] --> gate{{{_label(*gate)}}}"]
    deviations = noise_std(estimator)
    for k, kind in enumerate(expert_names(estimator)):
        told = [f"expert {k}", kind]
        if deviations is not None and deviations[k]:
            told.append("noise " + ", ".join(f"{value:.3g}" for value in deviations[k]))
        share = _label(format_percent(estimator.weights_[k]))
        lines.append(f"    gate -->|{share}| expert{k}[{_label(*told)}]")
    what = "probabilities of the classes" if is_classifier(estimator) else "mean of y"
    lines += [
        f"    expert{k} --> output([{_label(what)}])" if k == 0 else f"    expert{k} --> output"
        for k in range(estimator.n_experts_)
    ]
    return "\n".join(lines)


def _leading(estimator: Any, X: Any) -> list[int]:
    """Features on which the gate leans, most first, by their spread in X."""
    leanings = gate_leanings(estimator)
    if leanings is None or encoded_columns(estimator) is not None:
        return []
    reach = np.ptp(leanings, axis=0) * spreads(X)
    return [int(j) for j in np.argsort(-reach, kind="stable") if reach[j] > 0.0]


def _label(*lines: str) -> str:
    """Lines of text in quotes, with what mermaid would read as markup spelt as code points."""
    plain = [" ".join(line.split()) for line in lines]
    safe = [UNSAFE.sub(lambda found: f"#{ord(found[0])};", line) for line in plain]
    return f'"{"<br/>".join(safe)}"'
