"""Components of an expert that is itself a mixture of components of several families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._normal import NormalComponents
from skmoe.distributions._rows import expand_rows


class NestedComponents(NamedTuple):
    """The mixture that one expert predicts, of components of any families; rows are the last axis.

    Attributes
    ----------
    gate_prob : ndarray of shape (n_parts, n_rows)
        Probabilities of the parts, which sum to one.
    parts : tuple of components
        Components such as `NormalComponents`, whose own weights sum to one.
    """

    gate_prob: Array
    parts: tuple[Any, ...]

    def expand(self, rows: Array, n_rows: int) -> NestedComponents:
        """Components of `n_rows` rows, of which only `rows` are these; the others have weight 0."""
        return NestedComponents(
            expand_rows(self.gate_prob, rows, n_rows, 0.0),
            tuple(part.expand(rows, n_rows) for part in self.parts),
        )

    def rescale(self, center: Array, scale: Array) -> NestedComponents:
        """Components of the target in its own units, center + scale * y, both of shape (m,)."""
        return self._replace(parts=tuple(part.rescale(center, scale) for part in self.parts))

    def shift(self, offset: Array | float) -> NestedComponents:
        """Components of y + offset, for an offset of shape (m, n) or a number."""
        return self._replace(parts=tuple(part.shift(offset) for part in self.parts))


def average_components(components: Sequence[Any], n_rows: int) -> Any:
    """The mixture of several components with equal weights, of normal ones as such."""
    if all(isinstance(component, NormalComponents) for component in components):
        weight, mean, std = (np.concatenate(values) for values in zip(*components, strict=True))
        return NormalComponents(weight / len(components), mean, std)
    equal = np.full((len(components), n_rows), 1.0 / len(components))
    parts, prob = flatten_components(components, equal)
    return NestedComponents(prob, tuple(parts))


def flatten_components(components: Sequence[Any], gate_prob: Array) -> tuple[list[Any], Array]:
    """Components that are not nested, and their probabilities (K, n)."""
    if not any(isinstance(component, NestedComponents) for component in components):
        return list(components), gate_prob
    flat: list[Any] = []
    probs: list[Array] = []
    for component, prob in zip(components, gate_prob, strict=True):
        if isinstance(component, NestedComponents):
            flat += component.parts
            probs += list(prob * component.gate_prob)
        else:
            flat.append(component)
            probs.append(prob)
    return flat, np.stack(probs)
