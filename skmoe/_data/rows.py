"""Rows: as users give them, as gate and experts are fitted to them, and in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.units import Units, encode_units, join_groups
from skmoe._numerics.linalg import OffsetDesign
from skmoe._numerics.typing import Array, Design

# Number of rows for which a block of a design matrix and its products fit into the cache.
BLOCK_ROWS = 2048

# Number of rows of a block, from BLOCK_ROWS to MAX_BLOCK_ROWS, so that a dense design matrix has at
# most about BLOCK_ELEMENTS elements. Sparse blocks are larger: their operations have more overhead.
MAX_BLOCK_ROWS = 8192
BLOCK_ELEMENTS = 110_000
SPARSE_BLOCK_ROWS = 16_384

# Seed of samples of the rows, the same for all fits: the scale of the prior of dispersions depends
# on the sample, and lower bounds of two fits can be compared only with one prior.
SAMPLE_SEED = 0


# Arguments of `fit` with an entry for each row, besides X, y and groups, by their fields.
ARGUMENTS = {
    "weight": "sample_weight",
    "offset": "offset",
    "unit": "units",
    "possible": "known_experts",
}


class Rows(NamedTuple):
    """Rows of a table with what belongs to each of them: as users give them, and once validated."""

    X: Any
    y: Any = None  # outputs (n,) or (n, m), or class codes (n,); None where it is not known
    weight: Any = None
    offset: Any = None  # of the linear predictors, (n,) or (n, m)
    unit: Any = None  # whose rows have one latent expert; None for each row its own
    group: Any = None  # whose rows are on one side of every fold
    metadata: Mapping[str, Any] = {}  # for the fits of experts that are estimators
    # Experts that may have generated each row: `known_experts` of `fit`, and once validated boolean
    # (n, K), the same in all rows of a unit. None if nothing is known.
    possible: Any = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def arguments(self) -> dict[str, Any]:
        """What the rows have besides X and y, by the names of the arguments of `fit`."""
        given = {name: getattr(self, field) for field, name in ARGUMENTS.items()}
        return {name: values for name, values in given.items() if values is not None}

    def effective_arguments(self, checked: Rows) -> set[str]:
        """Names of the arguments without which the checked rows would be others."""
        kept = {name for name in self.arguments if name in checked.arguments}
        return kept - ({"sample_weight"} if (checked.weight == 1.0).all() else set())

    @property
    def unit_codes(self) -> Array:
        """Number of the unit of each row, in the order of the labels of units."""
        return np.arange(self.n_rows) if self.unit is None else encode_units(self.unit)[1]

    @property
    def fold_group(self) -> Array | None:
        """Groups of rows that are on one side of every fold: of the user, and units."""
        return join_groups(self.group, self.unit)

    @property
    def n_known(self) -> int:
        """Number of rows, or units, of which something is known."""
        if self.possible is None:
            return 0
        known = ~self.possible.all(axis=1)
        return int(known.sum()) if self.unit is None else len(np.unique(self.unit[known]))

    def take(self, index: Array | slice) -> Rows:
        """The rows at an index."""
        fields: dict[str, Any] = {}
        for name in BY_ROW:
            values = getattr(self, name)
            if values is not None:
                is_array = isinstance(values, np.ndarray)
                fields[name] = values[index] if is_array else index_rows(values, index)
        fields["metadata"] = {name: values[index] for name, values in self.metadata.items()}
        return Rows(**fields)

    def of_positive_weight(self) -> Rows:
        """The rows of positive weight: those of weight zero are absent, whatever they hold."""
        kept = np.flatnonzero(self.weight > 0.0)
        return self if len(kept) == len(self.weight) else self.take(kept)

    def of_n_experts(self, number: int) -> Rows:
        """Rows whose possible experts are of a larger number; the others are of unknown rows."""
        if self.possible is None:
            return self
        n_others = number - self.possible.shape[1]
        others = np.tile(self.possible.all(axis=1)[:, None], n_others)
        return self._replace(possible=np.hstack([self.possible, others]))


# Values of rows that lack a field which other rows have.
ABSENT = {"weight": 1.0, "offset": 0.0, "possible": True}

# Fields of rows with an entry for each row.
BY_ROW = tuple(name for name in Rows._fields if name != "metadata")


def concat(tables: Sequence[Rows]) -> Rows:
    """Validated rows of several tables, one after another.

    Units of different tables are different units. Rows of tables without offsets have 0, and
    those of which nothing is known may be of all experts.
    """
    tables = _with_units_apart(tables)
    fields: dict[str, Any] = {"X": stack_rows([rows.X for rows in tables])}
    for name in BY_ROW[1:]:
        values = [getattr(rows, name) for rows in tables]
        given = [v for v in values if v is not None]
        if name in ABSENT and given:  # of one shape for all: an offset may be that of all outputs
            shape = max((v.shape[1:] for v in given), key=len)
            values = [np.asarray(ABSENT[name]) if v is None else v.T for v in values]
            sizes = [(*shape[::-1], rows.n_rows) for rows in tables]
            values = [np.broadcast_to(*pair).T for pair in zip(values, sizes, strict=True)]
        fields[name] = None if any(v is None for v in values) else np.concatenate(values)
    return Rows(**fields)


def _with_units_apart(tables: Sequence[Rows]) -> Sequence[Rows]:
    """Tables whose units have numbers of their own; without units if none has any."""
    if all(rows.unit is None for rows in tables):
        return tables
    numbered, n_units = [], 0
    for rows in tables:
        unit = n_units + (np.arange(rows.n_rows) if rows.unit is None else rows.unit)
        n_units = int(unit.max(initial=n_units - 1)) + 1
        numbered.append(rows._replace(unit=unit))
    return numbered


def has_bounds(y: Any) -> bool:
    """Whether a target is a structured array, which holds bounds or events."""
    return getattr(getattr(y, "dtype", None), "names", None) is not None


class RawFeatures(NamedTuple):
    """Features as the user gave them, for experts that are estimators."""

    X: Any  # array, CSR array or data frame
    fold: Array | None = None  # of each row in cross-fitting; None for new rows or without folds
    metadata: dict[str, Array] = {}  # noqa: RUF012  # for the fits of the experts
    offset: Array | None = None  # log exposures, (n,) or (m, n)
    groups: Array | None = None  # of the rows, for folds inside of the experts

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.X.shape

    def take(self, index: Array | slice) -> RawFeatures:
        """The rows at an index."""
        metadata = {name: values[index] for name, values in self.metadata.items()}
        offset = None if self.offset is None else self.offset[..., index]
        fold, groups = (None if v is None else v[index] for v in (self.fold, self.groups))
        return RawFeatures(index_rows(self.X, index), fold, metadata, offset, groups)


def by_output(values: Any) -> Any:
    """Values (n,) as they are, and values (n, m) of outputs as (m, n), as gate and experts need."""
    return None if values is None else np.ascontiguousarray(values.T)


def stack_rows(parts: Sequence[Any]) -> Any:
    """Rows of several arrays or CSR arrays, one after another: sparse only if all of them are."""
    if all(sparse.issparse(part) for part in parts):
        return sparse.csr_array(sparse.vstack(parts))
    return np.concatenate([part.toarray() if sparse.issparse(part) else part for part in parts])


def is_dask(X: Any) -> bool:
    """Whether X is a Dask array or data frame."""
    return callable(getattr(X, "__dask_graph__", None)) and hasattr(X, "ndim")


def index_rows(X: Any, index: Any) -> Any:
    """Rows of an array, a sparse array, a data frame, a series or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[index]
    return X[index] if hasattr(X, "shape") else np.asarray(X)[index]


class Dataset(NamedTuple):
    """Rows in the form in which gate and experts are fitted."""

    gate_design: Design  # one row for each row, or for each unit
    expert_design: Any  # a design matrix, an OffsetDesign, or RawFeatures
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array
    units: Units | None = None  # whose rows have one latent expert; None for each row its own
    possible: Array | None = None  # experts of each row (K, n) or unit (K, U); None for all

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.weight)

    @property
    def gate_weight(self) -> Array:
        """Weights of the rows of the gate's design: of rows, or of units."""
        return self.weight if self.units is None else self.units.weight

    @property
    def unit_weight(self) -> Array:
        """Total weight of the rows that belong to each row of the gate's design."""
        return self.weight if self.units is None else self.units.sum_rows(self.weight)

    @property
    def has_known(self) -> bool:
        """Whether something is known of the experts of some rows."""
        return self.possible is not None

    def row_responsibilities(self, resp: Array) -> Array:
        """Responsibilities (K, U) of units for each of their rows, (K, n)."""
        return resp if self.units is None else self.units.repeat(resp)

    def rows_of(self, kept: Array | slice) -> Any:
        """Indices of the rows at an index, or of the units at a sorted one if there are any."""
        return kept if self.units is None else self.units.rows_of(kept)

    def take(self, kept: Array | slice, factor: float = 1.0) -> Dataset:
        """The rows at an index, or the units at a sorted one, with weights times a factor."""
        units, design = self.units, self.expert_design
        index: Any = kept if units is None else units.rows_of(kept)
        gate_design, expert_design = self.gate_design[kept], design
        if isinstance(design, RawFeatures):
            expert_design = design.take(index)
        elif design is self.gate_design:
            expert_design = gate_design
        elif isinstance(design, OffsetDesign) and design.matrix is self.gate_design:
            expert_design = OffsetDesign(gate_design, design.offset[..., index])
        else:
            expert_design = design[index]
        if units is not None:
            units = units.take(kept, factor * units.weight[kept])
        possible = None if self.possible is None else self.possible[:, kept]
        weight = factor * self.weight[index]
        return Dataset(gate_design, expert_design, self.y[..., index], weight, units, possible)


def split_into_blocks(rows: Any, size: int | None = None) -> Any:
    """Blocks of at most `size` rows, or of one unit; they are views of dense arrays.

    Without a size the blocks are of equal size, so that none is too small to be worth its overhead.
    Data sets with raw features are a single block. Objects that are not a `Dataset`, such as a
    `BlockSource`, are returned as they are.
    """
    if not isinstance(rows, Dataset):
        return rows
    n_rows = len(rows.weight)
    if isinstance(rows.expert_design, RawFeatures):
        return [rows]
    if size is None:
        wanted = SPARSE_BLOCK_ROWS
        if not sparse.issparse(rows.gate_design):
            most = max(BLOCK_ELEMENTS / rows.gate_design.shape[1], 1.0)
            wanted = int(np.clip(2 ** int(np.log2(most)), BLOCK_ROWS, MAX_BLOCK_ROWS))
        n_blocks = max(round(n_rows / wanted), 1)
        size = max(-(-n_rows // n_blocks), 1)
    if rows.units is not None:
        return [rows.take(slice(*ends)) for ends in _unit_ends(rows.units, size)]
    return [rows.take(slice(start, start + size)) for start in range(0, n_rows, size)]


def _unit_ends(units: Units, size: int) -> list[tuple[int, int]]:
    """First unit of each block and the one after its last, for blocks of about `size` rows."""
    ends = units.starts + units.sizes
    block = (ends - 1) // size
    first = np.flatnonzero(np.diff(block, prepend=-1))
    return list(zip(first.tolist(), [*first[1:].tolist(), len(ends)], strict=True))


def select_raw_features(rows: Rows, columns: Array | None) -> RawFeatures:
    """What experts that are estimators need of rows; of all columns for None."""
    X = rows.X
    if columns is not None:
        X = X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns]
    return RawFeatures(X, None, dict(rows.metadata), by_output(rows.offset), rows.fold_group)
