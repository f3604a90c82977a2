"""Dispersions that depend on features: their positions among the parameters, and derivatives."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._numerics.linalg import split_offset
from skmoe._numerics.typing import Array
from skmoe.families import Family
from skmoe.protocols import Block, Dispersion, LinearPredictor


class DispersionLayout(NamedTuple):
    """Positions of the dispersion parameters of a list of families.

    The log of the first dispersion of each family is a linear predictor of some columns of the
    design matrix: its slopes come first, and its intercept follows. All other dispersions come
    last. Without such columns there are no slopes, and each dispersion has one position.
    """

    families: tuple[Family, ...]
    columns: tuple[int, ...]

    @property
    def others(self) -> list[Dispersion]:
        """The dispersions, in order, that are the same for all rows of an expert."""
        return list(dict.fromkeys(d for family in self.families for d in self._constant(family)))

    @property
    def n_slopes(self) -> int:
        """Number of slopes of the predictor, after which its intercept comes."""
        return len(self.columns) * any(self.depends(family) for family in self.families)

    @property
    def first(self) -> int:
        """Number of coefficients of the predictor, after which the other dispersions come."""
        return self.n_slopes + bool(self.n_slopes)

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.first + len(self.others)

    def depends(self, family: Family) -> bool:
        """Whether the dispersion of a family depends on features."""
        return bool(self.columns) and family.has_dispersion

    def _constant(self, family: Family) -> tuple[Dispersion, ...]:
        return family.dispersions[1:] if self.depends(family) else family.dispersions

    def positions(self, family: Family) -> list[int]:
        """Positions of the dispersions of a family: of the first one that of the intercept."""
        others = self.others
        own = [self.first + others.index(d) for d in self._constant(family)]
        return [len(self.columns), *own] if self.depends(family) else own

    def blocks(self, family: Family | None = None) -> list[Block | None]:
        """The blocks of all families, or of one with None for those that it does not have."""
        families = self.families if family is None else (family,)
        constant = {d: d for one in families for d in self._constant(one)}
        blocks: list[Block | None] = [constant.get(d) for d in self.others]
        if not self.first:
            return blocks
        names = list(dict.fromkeys(f.dispersions[0].name for f in families if self.depends(f)))
        predictor = LinearPredictor(
            names[0] if len(names) == 1 else "dispersion",
            "log_dispersion",
            "log",
            "expert_dispersion_coef_",
            "expert_dispersion_intercept_",
            "dispersion_alpha",
            columns=self.columns,
        )
        return [predictor if names else None, *blocks]

    # --- rows ---

    def extreme_rows(self, design: Any) -> tuple[tuple[float, ...], ...]:
        """Rows of the columns that are the furthest in some directions, distinct and sorted.

        The directions are those of all columns, and of the sums and differences of two columns. The
        extremes of a linear predictor of one column are among them.
        """
        features, unit = self.features(design), np.eye(len(self.columns))
        pairs = combinations(unit, 2)
        directions = [*unit, *(a + sign * b for a, b in pairs for sign in (1.0, -1.0))]
        positions = features @ np.transpose(directions)
        index = np.append(positions.argmin(axis=0), positions.argmax(axis=0))
        return tuple(map(tuple, np.unique(features[index], axis=0).tolist()))

    def features(self, design: Any) -> Array:
        """The columns (n, e) of a design on which dispersions depend."""
        matrix = split_offset(design)[0][:, list(self.columns)]
        return matrix.toarray() if sparse.issparse(matrix) else matrix

    def derivatives(self, family: Family, design: Any) -> tuple[Array, Array, Array]:
        """Derivatives of the log dispersions of a family by its positions, at the rows of a design.

        There are the positions (P,), the numbers of the log dispersions (P,), and the derivatives
        (P, n), or (P, 1) where they are the same for all rows.
        """
        positions = np.array(self.positions(family), dtype=int)
        numbers, factors = np.arange(len(positions)), np.ones((len(positions), 1))
        if self.depends(family):
            columns = self.features(design).T
            positions = np.append(np.arange(len(columns)), positions)
            numbers = np.append(np.zeros(len(columns), dtype=int), numbers)
            factors = np.vstack([columns, np.repeat(factors, columns.shape[1], axis=1)])
        return positions, numbers, factors

    def sums(
        self, family: Family, at: tuple[Array, Array, list[Array]], weight: Array, design: Any
    ) -> tuple[list[int], Array, Array]:
        """Positions (P) of a family, and sums of gradient (..., P) and Hessian (..., P, P).

        `at` are the target, the linear predictor and the log dispersions.
        """
        first, second = family.dispersion_derivatives(*at)
        positions, numbers, factors = self.derivatives(family, design)
        shape = (*np.broadcast_shapes(first[0].shape, weight.shape)[:-1], len(positions))
        gradient, hessian = np.zeros(shape), np.zeros((*shape, len(positions)))
        weighted = [[weight * value for value in row] for row in second]
        for i, one in enumerate(numbers):
            gradient[..., i] = (weight * first[one]) @ factors[i]
            for j, other in enumerate(numbers):
                hessian[..., i, j] = weighted[one][other] @ (factors[i] * factors[j])
        return positions.tolist(), gradient, hessian

    # --- coordinates of inference, block by block ---

    def coordinates(self, values: Array) -> Array:
        """Values (T, m, ...) of the positions in the order of the coordinates, (T * m, ...)."""
        predictor = np.swapaxes(values[: self.first], 0, 1)
        parts = predictor, values[self.first :]
        return np.concatenate([part.reshape(-1, *values.shape[2:]) for part in parts])

    def from_coordinates(self, coordinates: Array, n_outputs: int) -> Array:
        """Values (T, m, ...) of the positions, from those of the coordinates (T * m, ...)."""
        numbers = np.arange(len(coordinates)).reshape(-1, n_outputs)
        values = np.empty_like(coordinates)
        values[self.coordinates(numbers)] = coordinates
        return values.reshape(*numbers.shape, *coordinates.shape[1:])
