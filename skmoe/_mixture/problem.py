"""The problem of a fit: mixture, rows, where EM begins, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._mixture.data import Data
from skmoe._mixture.em import RTOL, Objective, Run
from skmoe._mixture.evidence import Penalty
from skmoe._mixture.mixture import Mixture
from skmoe._mixture.partitions import InitData
from skmoe._numerics.typing import Array

# Number of rows on which starts are compared: per coefficient, and minimum.
ROWS_PER_COEFFICIENT = 15
MIN_ROWS_OF_STARTS = 2_000


class Maximum(NamedTuple):
    """A local maximum that runs to convergence have reached."""

    lower_bound: float  # per row
    n_times: int  # runs that have reached it
    smallest_share: float  # of an expert among the rows
    is_spurious: bool = False  # whether an expert fits a few rows nearly exactly


class Monitor(Protocol):
    """Observer of a run of EM."""

    def start(self) -> None:
        """Called before the first iteration."""

    def __call__(self, n_iter: int, run: Run) -> bool:
        """Called after each iteration; returning True stops the run."""

    def on_sample(self, n_iter: int, run: Run) -> bool:
        """Called after each iteration on a sample before the run; returning True stops both."""

    def end(self, run: Run) -> None:
        """Called after the last iteration."""


class Source:
    """Blocks of rows that are read again in each pass."""

    def __init__(self, source: Any, dispersion_columns: tuple[int, ...]) -> None:
        self._source, self._columns = source, dispersion_columns

    def __iter__(self) -> Iterator[Data]:
        return (Data(rows, self._columns) for rows in self._source)

    def map_blocks(self, of_block: Any, _: Any) -> Any:
        """Results of a function of each block, or of sums where the blocks are."""
        own = partial(_of_rows, of_block, self._columns)
        return getattr(self._source, "map_blocks", map)(own, self._source)


def _of_rows(of_block: Any, columns: tuple[int, ...], rows: Dataset) -> Any:
    return of_block(Data(rows, columns))


def blocks_of(mixture: Mixture, rows: Any) -> Any:
    """Rows in memory as blocks, or a source of blocks."""
    columns = mixture.experts.dispersion_columns
    if not isinstance(rows, Dataset):
        return Source(rows, columns)
    return [Data(block, columns) for block in split_into_blocks(rows)]


class Problem(NamedTuple):
    """Mixture, data, initial values and settings of a fit."""

    mixture: Mixture
    rows: Any  # a Dataset, or a source of blocks
    init_data: InitData
    # Named initialisation, responsibilities of rows (K, n) or units (K, U), or coefficients (D,).
    init: str | Array
    seeds: list[np.random.SeedSequence]  # one for each start of a named initialisation
    max_iter: int
    tol: float
    n_threads: int = 1
    previous: Mixture | None = None  # of a warm start that goes on to search penalties
    penalties: Sequence[Penalty] = ()  # that are found by the evidence
    ends_at_maximum: bool = True  # by Newton's steps, after EM

    @property
    def rows_in_memory(self) -> Dataset:
        """All rows, or those of the initialisation if they are in row blocks."""
        return self.rows if isinstance(self.rows, Dataset) else self.init_data.rows

    def objective(self, mixture: Mixture | None = None, blocks: Any = None) -> Objective:
        """The penalised log-likelihood of the rows, with another mixture if given."""
        mixture = mixture or self.mixture
        blocks = blocks_of(mixture, self.rows) if blocks is None else blocks
        dtype = "float64"
        if isinstance(self.rows, Dataset):
            dtype = str(self.rows.gate_design.dtype)
        return Objective(mixture, blocks, rtol=RTOL[dtype], n_rows=self.rows.n_rows)

    @property
    def n_rows_of_starts(self) -> int:
        """About the number of rows on which starts are compared."""
        rows = self.init_data.rows
        if self.mixture.experts.needs_all_rows:
            return rows.n_rows
        n_columns = rows.gate_design.shape[1] + rows.expert_design.shape[1]
        wanted = ROWS_PER_COEFFICIENT * self.mixture.n_experts * n_columns
        return min(rows.n_rows, max(wanted, MIN_ROWS_OF_STARTS))

    def on_sample(self) -> Problem:
        """The problem on the rows on which starts are compared."""
        init_data = self.init_data
        if not self.mixture.experts.needs_all_rows:
            rng = np.random.default_rng(self.seeds[0].spawn(1)[0])
            init_data = init_data.sample(self.n_rows_of_starts, rng)
        return self._replace(rows=init_data.rows, init_data=init_data, n_threads=1)

