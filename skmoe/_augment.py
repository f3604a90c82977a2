"""Columns that a fit adds to the features: those of the gate's transformer, and of a base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._numerics import Array, Design
from skmoe._rows import take_rows

# Least probability of a class that a base says, whose logarithm is to be finite.
LEAST_PROBABILITY = 1e-6


class Added(NamedTuple):
    """Fitted models that add columns to the features, in this order."""

    n_features: int  # before
    classes: Array | None  # that the base has
    transformer: Any | None
    transformed: Array | None  # features that the transformer sees; None for all
    base: Any | None
    names: list[str]  # of the columns added


def add_columns(added: Added, X: Design, told: Array | None) -> Design:
    """Features with the columns that are added to them; `told` (n, q) is what the base says."""
    blocks = [X]
    if added.transformer is not None:
        seen = X if added.transformed is None else X[:, added.transformed]
        blocks.append(added.transformer.transform(seen))
    if told is not None:
        blocks.append(told)
    if any(sparse.issparse(block) for block in blocks):
        return sparse.csr_array(sparse.hstack([sparse.csr_array(block) for block in blocks]))
    return np.hstack(blocks)


def tell_base(base: Any, X: Any, classes: Array | None) -> Array:
    """What a base says of rows, (n, m): means, or log probabilities of classes."""
    if classes is None:
        said = np.asarray(base.predict(X), dtype=float)
        return said.reshape(len(said), -1)
    probs = np.full((X.shape[0], len(classes)), LEAST_PROBABILITY)
    known = np.searchsorted(classes, base.classes_)
    probs[:, known] = np.maximum(base.predict_proba(X), LEAST_PROBABILITY)
    return np.log(probs / probs.sum(axis=1, keepdims=True))


def tell_out_of_fold(
    fit: Callable[[Array], Any], X: Any, fold: Array, classes: Array | None
) -> Array:
    """What a base says of the rows of its fit, each by a fit without its fold, (n, m).

    `fit` fits the base to the rows at an index.
    """
    told = []
    for j in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == j)
        model = fit(np.flatnonzero(fold != j))
        told.append((test, tell_base(model, take_rows(X, test), classes)))
    whole = np.empty((len(fold), told[0][1].shape[1]))
    for test, said in told:
        whole[test] = said
    return whole
