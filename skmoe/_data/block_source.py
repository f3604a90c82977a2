"""Row blocks as the data set of a fit; they are read again in each pass of EM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

from skmoe._data.block_checks import BlockChecker, with_block_index
from skmoe._data.blocks import DaskBlocks, RowBlocks
from skmoe._data.first_pass import FirstPass, merge_optional
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.row_checks import class_codes, class_weights
from skmoe._data.rows import Dataset, split_into_blocks
from skmoe._data.units import unit_runs
from skmoe._numerics.linalg import add_fields


@dataclass(frozen=True)
class BlockSource:
    """Re-iterable source of row blocks; it replaces an in-memory `Dataset`.

    Parameters
    ----------
    blocks : RowBlocks
        The user's blocks.
    checker : BlockChecker
        Validation of the blocks, in each pass.
    preprocessor : Preprocessor
        Standardisation of features and target.
    first_pass : FirstPass
        Number of rows, classes and class weights.
    """

    blocks: RowBlocks
    checker: BlockChecker
    preprocessor: Preprocessor
    first_pass: FirstPass

    @property
    def n_rows(self) -> int:
        """Number of rows, those without weight included."""
        return self.first_pass.n_rows

    @property
    def has_known(self) -> bool:
        """Whether something is known of the experts of some rows."""
        return self.first_pass.n_known > 0

    @property
    def n_gate_columns(self) -> int:
        """Number of columns of the gate's design."""
        return self.preprocessor.n_gate_columns

    def __iter__(self) -> Iterator[Dataset]:
        n_rows = 0
        for index, block in enumerate(self.blocks):
            rows, n_block_rows = self.rows(index, block)
            n_rows += n_block_rows
            yield from split_into_blocks(rows)
        check_same_rows(n_rows, self.first_pass.n_rows)

    def rows(self, index: int, block: Any) -> tuple[Dataset, int]:
        """Data set of the rows of positive weight in a block, and the number of all its rows."""
        rows, classes = self.checker(index, block), self.first_pass.classes
        n_rows = rows.n_rows
        if classes is not None:
            codes = with_block_index(index, class_codes, rows.y, classes)
            weight = class_weights(self.first_pass.class_weights, classes, codes, rows.weight)
            rows = rows._replace(y=codes, weight=weight)
        rows = rows.of_positive_weight()
        target = self.preprocessor.standardize_target(rows.y)
        dataset = self.preprocessor.assemble(rows.X, target, rows)
        if rows.unit is not None and rows.n_rows:
            dataset = self.preprocessor.group_by_unit(dataset, unit_runs(rows.unit))
        return dataset, n_rows


class DaskBlockSource(BlockSource):
    """Row blocks on Dask workers, where statistics are computed and summed."""

    def map_blocks(self, block_fn: Callable[[Dataset], Any], source: DaskBlockSource) -> list[Any]:
        """Map-reduce over the Dask blocks; returns a list of one entry for the caller's reduce."""
        assert isinstance(self.blocks, DaskBlocks)
        first_pass = self.first_pass._replace(sample=self.first_pass.sample.take(slice(0)))
        without_sample = replace(self, blocks=RowBlocks(tuple), first_pass=first_pass)
        map_block = partial(_map_block, without_sample, block_fn)
        return [self.blocks.map_reduce(map_block, partial(merge_optional, add_fields))]


def _map_block(
    source: BlockSource, block_fn: Callable[[Dataset], Any], index: int, block: Any
) -> Any:
    """Sum of a function over parts of a block; None if no row has positive weight."""
    rows, _ = source.rows(index, block)
    return reduce(add_fields, map(block_fn, split_into_blocks(rows))) if len(rows.weight) else None


def make_block_source(
    blocks: RowBlocks, checker: BlockChecker, preprocessor: Preprocessor, first_pass: FirstPass
) -> BlockSource:
    """The source of row blocks of a fit; on Dask workers for `DaskBlocks`."""
    source = DaskBlockSource if isinstance(blocks, DaskBlocks) else BlockSource
    return source(blocks, checker, preprocessor, first_pass)


def check_same_rows(n_rows: int, first: int) -> None:
    """Every pass must give the same number of rows."""
    if n_rows != first:
        raise ValueError(
            f"RowBlocks must give the same rows in each pass; the first gave {first} rows, a "
            f"later one {n_rows}. Return a new iterator over the same rows at each call."
        )
