"""Mixtures at the end of pipelines and searches, for displays and texts."""

from __future__ import annotations

from typing import Any, NamedTuple

from skmoe._data.sklearn_adapter import transform_by
from skmoe._estimators.methods.input_steps import (
    find_steps,
    names_of_output,
    split_at_scalers,
    with_input,
)

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
