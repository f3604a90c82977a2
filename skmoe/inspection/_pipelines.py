"""Mixtures at the end of pipelines and searches, for displays and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from skmoe._data.sklearn_adapter import transform_by
from skmoe._estimators.methods.input_steps import (
    find_steps,
    names_of_output,
    split_at_scalers,
    with_input,
)
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_names, check_names_of_experts

# What the features are if a pipeline makes others of those that it is given.
TRANSFORMED_NOTE = "features are those of the transformed table"


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


def drawn_mixture(display: type, estimator: Any, X: Any = None) -> Subject:
    """What a display draws; without matplotlib an ImportError before any work."""
    import_pyplot(f"{display.__name__}.from_estimator")
    return find_mixture(estimator, X)


def drawn_with_names(
    display: type,
    estimator: Any,
    X: Any,
    feature_names: Sequence[str] | None,
    expert_names: Sequence[str] | None,
) -> tuple[Any, Any, str, list[str], list[str]]:
    """The fields of the same, and printable names of the features and of the experts."""
    subject = drawn_mixture(display, estimator, X)
    names = check_names(subject.mixture, feature_names)
    return *subject, names, check_names_of_experts(subject.mixture, expert_names)
