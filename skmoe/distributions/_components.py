"""What the components of all families have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.distributions._component_functions import Block, ComponentFunctions
from skmoe.distributions._rows import expand_rows, rows_first


class Components:
    """Components that one expert predicts: a named tuple of weights and parameters of all rows.

    A class of components derives from a named tuple, whose first field is `weight`
    (n_components, n_rows), and whose other fields are parameters (n_components, n_outputs, n_rows),
    and from this class.
    """

    __slots__ = ()

    # Densities, quantiles and scores, as functions of the parameters.
    functions: ClassVar[ComponentFunctions]
    # Names and values of parameters, other than one, for rows without components of the expert.
    absent: ClassVar[tuple[tuple[str, float], ...]] = ()
    # Parameters that move with y, and that are in its units, of families that see y standardised.
    locations: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def single(cls, *parameters: Array) -> Self:
        """One component of each row, of parameters that broadcast to (n_outputs, n_rows)."""
        arrays = [values[None] for values in np.broadcast_arrays(*parameters)]
        return cls(np.ones((1, arrays[0].shape[-1])), *arrays)  # type: ignore[call-arg]

    def expand(self: Any, rows: Array, n_rows: int) -> Any:
        """Components of `n_rows` rows, of which only `rows` are these; the others have weight 0."""
        fills = dict.fromkeys(self._fields, 1.0) | {"weight": 0.0, **dict(self.absent)}
        pairs = zip(self, fills.values(), strict=True)
        return self._make(expand_rows(values, rows, n_rows, fill) for values, fill in pairs)

    def rescale(self: Any, center: Array, scale: Array) -> Any:
        """Components of center + scale * y, both of shape (m,), for families that see y so.

        Other families see y in its own units: their components stay the same.
        """
        scaled = {name: scale[:, None] * getattr(self, name) for name in self.scales}
        for name in self.locations:
            scaled[name] = center[:, None] + scale[:, None] * getattr(self, name)
        return self._replace(**scaled) if scaled else self

    def shift(self: Any, offset: Array | float) -> Any:
        """Components of y + offset, for an offset of shape (m, n) or a number.

        Components of families that take no offset of a base model stay the same.
        """
        moved = {name: getattr(self, name) + offset for name in self.locations}
        return self._replace(**moved) if moved else self

    def block(self: Any) -> Block:
        """Functions and parameters, rows first."""
        return Block(self.functions, rows_first(*self[1:]))
