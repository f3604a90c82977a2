"""Row blocks, for tables larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any, Self

import numpy as np
from scipy import sparse

from skmoe._data.checks import check_columns
from skmoe._data.rows import is_dask
from skmoe._optional import import_parquet


def chunks_of(collections: dict[str, Any]) -> list[dict[str, Any]]:
    """For each chunk of the rows of X, the delayed values of all collections.

    Raises
    ------
    ValueError
        If the numbers of rows or chunks differ, or sizes of chunks that are needed are unknown.
    """
    X, parts = collections["X"], []
    for name, given in collections.items():
        values = given if name == "X" else _rechunk_like(X, name, given)
        if hasattr(values, "chunks") and values.ndim > 1:
            values = values.rechunk({1: -1})
        parts.append(np.ravel(values.to_delayed()).tolist())
    return [dict(zip(collections, chunk, strict=True)) for chunk in zip(*parts, strict=True)]


def _rechunk_like(X: Any, name: str, values: Any) -> Any:
    """Values of the rows of X, with the chunks of X."""
    sizes = chunk_sizes(X)
    if not is_dask(values):
        if sizes is None:
            raise ValueError(
                f"{name} must be a Dask collection with the chunks of X, whose chunk sizes are "
                f"unknown; got {type(values).__name__}. Make X an array of known chunks "
                f"(X.to_dask_array(lengths=True), X.compute_chunk_sizes()), or {name} one of Dask."
            )
        values = import_module("dask.array").from_array(np.asarray(values))
    own_sizes = chunk_sizes(values)
    if sizes is not None and own_sizes is not None:
        if sum(sizes) != sum(own_sizes):
            raise ValueError(
                f"X and {name} must have the same number of rows; got {sum(sizes)} and "
                f"{sum(own_sizes)}."
            )
        return values.rechunk({0: sizes})
    n_chunks = [getattr(each, "numblocks", [each.npartitions])[0] for each in (X, values)]
    if n_chunks[0] != n_chunks[1]:
        raise ValueError(
            f"X and {name} must have as many chunks or partitions; got {n_chunks[0]} and "
            f"{n_chunks[1]}, of unknown sizes. Call compute_chunk_sizes() on the arrays, whose "
            f"chunks are then aligned, or repartition {name} like X."
        )
    return values


def chunk_sizes(values: Any) -> tuple[int, ...] | None:
    """Number of rows of each chunk of an array; None if unknown, as for data frames."""
    chunks = getattr(values, "chunks", None)
    return None if chunks is None or np.isnan(chunks[0]).any() else chunks[0]


# Entries of a block, of which all but X and y may be None.
ENTRIES = ("X", "y", "sample_weight", "offset", "units", "known_experts", "var_weights")

# Bytes of the features of a block, where arrays are split into blocks.
BLOCK_BYTES = 2**24


class RowBlocks:
    """Rows in blocks, for `fit` of a mixture with experts of a parametric family.

    A fit reads the blocks once in each iteration of EM, with one block in memory at a time: its
    memory does not depend on the number of rows. Blocks of 10 000 to 100 000 rows are a good size.
    The methods `from_arrays` and `from_parquet` make blocks of other sources.
    See "Larger than memory" in the user guide.

    Parameters
    ----------
    factory : callable
        Called without arguments at the start of each pass; returns an iterable of tuples, of
        `(X, y)` and up to five more: `(X, y, sample_weight, offset, units, known_experts,
        var_weights)`, of which all but X and y may be None. All passes must give the same rows, and
        all blocks must have the same columns and dtype, and all an offset or none. The rows of a
        unit must be next to each other in one block.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.data import RowBlocks
    >>> def factory():
    ...     for seed in range(10):
    ...         X = np.random.default_rng(seed).uniform(-1, 1, size=(100, 2))
    ...         yield X, np.abs(X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(RowBlocks(factory))
    >>> moe.predict([[-0.5, 0.0], [0.5, 0.0]]).round(1)
    array([0.5, 0.5])
    """

    def __init__(self, factory: Callable[[], Iterable[tuple[Any, ...]]]):
        if not callable(factory):
            kind = type(factory).__name__
            raise ValueError(f"factory must be callable; got a {kind}. Pass lambda: iter(blocks).")
        self.factory = factory

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.factory())

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
    ) -> Self:
        """Blocks of arrays that are read when they are sliced, such as memory maps.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array of shape (n_samples,), default=None
            Weights of the rows.
        offset : array of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offsets of the linear predictors of the experts, as in `fit`.
        units : array of shape (n_samples,), default=None
            Units of the rows, as in `fit`, which must be next to each other.
        known_experts : array of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.
        var_weights : array of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`.

        Returns
        -------
        blocks : RowBlocks
            Blocks of about 16 megabytes, which end where a unit ends.

        Raises
        ------
        ValueError
            If X is no such array: a list, a data frame or a sparse matrix.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe.data import RowBlocks
        >>> blocks = RowBlocks.from_arrays(np.ones((5, 2)), np.arange(5.0))
        >>> [X.shape for X, y in blocks]
        [(5, 2)]
        """
        if sparse.issparse(X) or not (hasattr(X, "dtype") and hasattr(X, "shape")):
            raise ValueError(
                "X must be an array that is read when it is sliced, such as a memory map; got "
                f"{type(X).__name__}. Pass it to fit as it is, or yield its parts in RowBlocks."
            )
        arrays = X, y, sample_weight, offset, units, known_experts, var_weights
        for name, values in zip(ENTRIES, arrays, strict=True):
            if values is not None and len(values) != len(X):
                raise ValueError(
                    f"{name} must have one value for each row of X; got {len(values)} for "
                    f"{len(X)} rows. Pass arrays of the same rows."
                )
        slices = _slices(X, units)

        def factory() -> Iterator[tuple[Any, ...]]:
            for rows in slices:
                yield _block([None if v is None else np.array(v[rows]) for v in arrays])

        return cls(factory)

    @classmethod
    def from_parquet(
        cls,
        paths: Any,
        target: str | list[str],
        *,
        sample_weight: str | None = None,
        offset: str | list[str] | None = None,
        units: str | None = None,
        known_experts: str | list[str] | None = None,
        var_weights: str | None = None,
    ) -> Self:
        """Blocks of the row groups of Parquet files, read through pyarrow.

        Parameters
        ----------
        paths : path or list of paths
            Files with the same columns. The features are all columns except those that the
            other arguments name.
        target : str or list of str
            Column or columns of the target.
        sample_weight : str, default=None
            Column of the weights.
        offset : str or list of str, default=None
            Column of the offset of the linear predictors of the experts, or one for each output.
        units : str, default=None
            Column of the units. No unit may be in two row groups.
        known_experts : str or list of str, default=None
            Column of the numbers of known experts, or one of booleans for each expert.
        var_weights : str, default=None
            Column of the numbers of values of which each y is the mean.

        Returns
        -------
        blocks : RowBlocks
            One block for each row group, with named columns.
        """
        parquet = import_parquet("RowBlocks.from_parquet")
        files = list(paths) if isinstance(paths, list | tuple) else [paths]
        columns = [target, sample_weight, offset, units, known_experts, var_weights]
        no_features = [name for names in columns if names for name in np.ravel(names).tolist()]

        def factory() -> Iterator[tuple[Any, ...]]:
            for path in files:
                with parquet.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        frame = file.read_row_group(group).to_pandas()
                        check_columns("target, or another argument,", no_features, 0, frame.columns)
                        others = [None if names is None else frame[names] for names in columns]
                        yield _block([frame.drop(columns=no_features), *others])

        return cls(factory)


class DaskBlocks(RowBlocks):
    """Row blocks on Dask workers, as a fit makes them of collections.

    See "Larger than memory" in the user guide.

    Parameters
    ----------
    blocks : list of delayed
        The blocks.

    See Also
    --------
    RowBlocks : Blocks of other sources.

    Examples
    --------
    >>> import dask
    >>> import numpy as np
    >>> from skmoe._data.blocks import DaskBlocks
    >>> blocks = DaskBlocks([dask.delayed((np.ones((3, 2)), np.arange(3.0)))])
    >>> [X.shape for X, y in blocks]
    [(3, 2)]
    """

    def __init__(self, blocks: list[Any]):
        super().__init__(lambda: (block.compute() for block in blocks))
        self.blocks = blocks

    def first(self) -> tuple[Any, ...]:
        """The first block, in this process."""
        return tuple(self.blocks[0].compute())

    def map_reduce(
        self, block_fn: Callable[[int, tuple[Any, ...]], Any], merge: Callable[[Any, Any], Any]
    ) -> Any:
        """Results of `block_fn(index, block)`, merged in a tree, computed on the workers."""
        dask = import_module("dask")
        block_fn, merge = (dask.delayed(each, pure=False) for each in (block_fn, merge))
        results: list[Any] = [block_fn(index, block) for index, block in enumerate(self.blocks)]
        while len(results) > 1:
            pairs = [results[i : i + 2] for i in range(0, len(results), 2)]
            results = [merge(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return results[0].compute()


def dask_blocks(X: Any, y: Any, **arguments: Any) -> DaskBlocks:
    """Blocks of Dask collections and of what belongs to their rows, one for each chunk of X.

    Their statistics are computed on the workers, which return only sums, added in a tree, and in
    the first pass a sample of the rows. With a client of `distributed` the collections are
    persisted on its workers; without one they are read again in each pass.
    """
    dask, given = import_module("dask"), {"X": X, "y": y, **arguments}
    chunks = chunks_of({name: values for name, values in given.items() if values is not None})
    as_block = dask.delayed(_block)
    blocks = [as_block([chunk.get(name) for name in ENTRIES]) for chunk in chunks]
    try:
        import_module("distributed").get_client()
    except (ImportError, ValueError):
        return DaskBlocks(blocks)
    return DaskBlocks(list(dask.persist(*blocks)))


def _block(values: Sequence[Any]) -> tuple[Any, ...]:
    """The shortest tuple that holds what is not None."""
    given = [i for i, value in enumerate(values) if value is not None]
    return tuple(values[: given[-1] + 1])


def _slices(X: Any, units: Any) -> list[slice]:
    """Slices of about `BLOCK_BYTES` of features, which end where a unit ends."""
    n_rows, row_bytes = X.shape[0], X.dtype.itemsize * int(np.prod(X.shape[1:]))
    size = max(1, BLOCK_BYTES // max(1, row_bytes))
    ends = np.arange(size, n_rows, size)
    if units is not None:
        labels = np.asarray(units)
        starts = np.flatnonzero(labels[1:] != labels[:-1]) + 1  # of all units but the first
        following = np.unique(np.searchsorted(starts, ends))
        ends = starts[following[following < len(starts)]]
    return [slice(*pair) for pair in pairwise([0, *ends.tolist(), n_rows])]
