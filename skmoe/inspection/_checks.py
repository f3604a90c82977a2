"""The mixture of a pipeline or search, and validation for displays and exporters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array

from skmoe._data.checks import shown
from skmoe._data.row_checks import check_columns
from skmoe._data.rows import index_rows
from skmoe._data.sklearn_adapter import transform_by
from skmoe._estimators.methods.expert_names import check_expert_names
from skmoe._estimators.methods.input_steps import (
    find_steps,
    names_of_output,
    split_at_scalers,
    with_input,
)
from skmoe._inference.labels import feature_labels, printable_name
from skmoe._optional import import_pyplot

# What the features are if a pipeline makes others of those that it is given.
TRANSFORMED_NOTE = "features are those of the transformed table"

# Keywords are slips of an argument if they are as similar, from 0 to 1.
SIMILARITY = 0.8


def check_names(estimator: Any, feature_names: Sequence[str] | None) -> list[str]:
    """Printable names of the features: those given, one for each, or those of the fit."""
    if isinstance(feature_names, str):
        raise ValueError(f"feature_names must be a list of names; got {shown(feature_names)}.")
    n_features = estimator.n_features_in_
    names = names_of_fit(estimator) if feature_names is None else list(feature_names)
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must have one name for each of the {n_features} features seen in fit; "
            f"got {len(names)}. To pass rows to an export, use X=X."
        )
    return [printable_name(str(name)) for name in names]


def names_of_fit(estimator: Any) -> list[str]:
    """Names of the features in the fit."""
    names = getattr(estimator, "feature_names_in_", None)
    return feature_labels(names, estimator.n_features_in_)


def check_features(
    name: str,
    value: Any,
    estimator: Any,
    feature_names: Sequence[str] | None,
    most: int | None = None,
) -> list[int]:
    """Indices of features, given by names, indices or a mask; all for None.

    With `most` it is one feature, or up to two, that must be given.
    """
    known = (
        getattr(estimator, "feature_names_in_", None) if feature_names is None else feature_names
    )
    given = () if value is None else np.asarray(value, dtype=object).ravel()
    is_named = known is not None and all(isinstance(entry, str) for entry in given)
    names = np.asarray(known, dtype=object) if is_named else None
    chosen = check_columns(name, value, estimator.n_features_in_, names)
    if most is not None and (chosen is None or len(chosen) > most):
        number = {1: "one feature", 2: "one feature or two"}[most]
        raise ValueError(
            f"{name} must be {number}, by name or index; got {shown(value)}. "
            f"Draw {'each' if most == 1 else 'two'} at a time."
        )
    return list(range(estimator.n_features_in_)) if chosen is None else [int(j) for j in chosen]


def check_panels(
    name: str, value: Any, estimator: Any, feature_names: Sequence[str] | None, most: int
) -> list[list[int]]:
    """Indices of the features of each panel: a list has one entry for each; none for None."""
    if value is None:
        return []
    if isinstance(value, list) and not value:
        raise ValueError(f"{name} must not be empty. Pass None for the strongest feature.")
    panels = value if isinstance(value, list) else [value]
    return [check_features(name, each, estimator, feature_names, most) for each in panels]


def check_names_of_experts(estimator: Any, names: Any) -> list[str]:
    """Names of the experts: those given, one for each, or those of the model."""
    if names is None:
        names = estimator.expert_names_
    checked = check_expert_names("expert_names", names, estimator.n_experts_)
    return [printable_name(name) for name in checked]


def check_table(estimator: Any, X: Any) -> Any:
    """Rows for the estimator: a data frame as it is, a CSC array, or an array of numbers."""
    if not hasattr(X, "columns"):
        X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False)
    estimator.predict_gate(index_rows(X, [0]))  # raises for other columns or names
    return sparse.csc_array(X) if sparse.issparse(X) else X


def check_rows(name: str, estimator: Any, X: Any, y: Any) -> Any:
    """Rows that the estimator takes, with a target for each."""
    table = check_table(estimator, X)
    n_targets = len(np.asarray(y)) if np.ndim(y) else 0
    if n_targets != table.shape[0]:
        raise ValueError(
            f"{name} must have a value for each of the {table.shape[0]} rows; got {n_targets}. "
            "Pass the target of these rows."
        )
    return table


def check_targets(estimator: Any, target: Any, X: Any) -> list[int]:
    """Index of a class or an output; for None those of all classes, if there are three or more."""
    n_classes = len(estimator.classes_) if is_classifier(estimator) else 0
    if target is None and n_classes > 2:
        return list(range(n_classes))
    return [check_target(estimator, target, X)]


def check_target(estimator: Any, target: Any, X: Any) -> int:
    """Index of a class, given by its label, or of an output."""
    if is_classifier(estimator):
        classes = estimator.classes_.tolist()
        if target is None and len(classes) == 2:
            return 1
        if target not in classes:
            raise ValueError(
                f"target must be one of the classes seen in fit, {classes}; got {shown(target)}. "
                f"Pass the class to draw, such as target={classes[0]!r}."
            )
        return int(classes.index(target))
    n_outputs = estimator.predict_experts(index_rows(X, [0])).size // estimator.n_experts_
    if target is None and n_outputs == 1:
        return 0
    is_integer = isinstance(target, (int, np.integer)) and not isinstance(target, bool)
    if not is_integer or not 0 <= target < n_outputs:
        raise ValueError(
            f"target must be the index of an output, from 0 to {n_outputs - 1}; got "
            f"{shown(target)}. Pass the output to draw, such as target=0."
        )
    return int(target)


def check_regressor(estimator: Any, remedy: str) -> None:
    """What is drawn of numbers is not drawn of classes."""
    if is_classifier(estimator):
        raise TypeError(f"estimator must be a regressor; got {type(estimator).__name__}. {remedy}")


# --- pipelines and searches --------------------------------------------------------------------


class Subject(NamedTuple):
    """What is drawn or described: a mixture, and rows that it takes."""

    mixture: Any
    X: Any
    note: str = ""  # what the features are, if they are not those of the rows that were given


def find_mixture(estimator: Any, X: Any = None) -> Subject:
    """The mixture in which pipelines and searches end, and rows that it takes.

    Where the last steps scale columns, the mixture is one of the columns before them, in their
    units and with their names. Other steps are applied to the rows, and the features are those of
    the transformed table.
    """
    steps, mixture = find_steps(estimator)
    others, scalers = split_at_scalers(steps)
    view = with_input(mixture, scalers, names_of_output(steps, mixture.n_features_in_))
    if not others:
        return Subject(view, X)
    return Subject(view, None if X is None else transform_by(others, X), TRANSFORMED_NOTE)


def drawn_mixture(
    display: Any,
    style: Collection[str],
    estimator: Any,
    X: Any = None,
    feature_names: Sequence[str] | None = None,
    expert_names: Sequence[str] | None = None,
) -> tuple[Any, Any, str, list[str], list[str]]:
    """What a display draws: a mixture, rows, a note, and printable names of features and experts.

    Without matplotlib there is an ImportError before any work. `style` are keywords for `plot`.
    """
    import_pyplot(f"{display.__name__}.from_estimator")
    check_style(display, style)
    mixture, X, note = find_mixture(estimator, X)
    labels = check_names(mixture, feature_names)
    names = check_names_of_experts(mixture, expert_names)
    return mixture, None if X is None else check_table(mixture, X), note, labels, names


def check_style(display: Any, style: Collection[str]) -> None:
    """Keywords for the `plot` of a display must be its own, or those of matplotlib's artists.

    Those that resemble an argument are taken for it, so that a slip is seen before any work.
    """
    known = {**signature(display.from_estimator).parameters, **signature(display.plot).parameters}
    takes_style = "kwargs" in signature(display.plot).parameters
    for name in style:
        meant = get_close_matches(name, known, n=1, cutoff=SIMILARITY)
        if name not in known and (meant or not takes_style):
            names = ", ".join(name for name in known if name not in ("self", "kwargs"))
            raise TypeError(
                f"{display.__name__}.from_estimator takes no keyword {name!r}. It takes {names}"
                f"{' and style keywords of matplotlib, such as color' if takes_style else ''}."
            )
