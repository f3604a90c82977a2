"""Rows that come in blocks: tables larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from skmoe._data.dask_chunks import align_chunks, zip_chunks
from skmoe._optional import import_dask, import_parquet

# Bytes of the features of a block that this module cuts itself.
BLOCK_BYTES = 2**24


class RowBlocks:
    """Rows in blocks, for `fit` of a mixture with linear experts.

    A fit goes through the blocks once for each iteration of EM, and holds one of them at a time:
    its memory does not depend on the number of rows.

    Parameters
    ----------
    factory : callable
        Called without arguments at the begin of each pass; returns an iterable of `(X, y)` or
        `(X, y, sample_weight)`. Every pass must give the same rows, all blocks of the same columns
        and dtype.
    classes : array-like of shape (n_classes,), default=None
        For a classifier: all labels. None collects them in the first pass.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.blocks import RowBlocks
    >>> def factory():
    ...     for seed in range(10):
    ...         X = np.random.default_rng(seed).uniform(-1, 1, size=(100, 2))
    ...         yield X, np.abs(X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(RowBlocks(factory))
    >>> moe.predict([[-0.5, 0.0], [0.5, 0.0]]).round(1)
    array([0.5, 0.5])
    """

    def __init__(self, factory: Callable[[], Iterable[tuple]], classes: Any = None):
        self.factory = factory
        self.classes = classes

    def __iter__(self) -> Iterator[tuple]:
        return iter(self.factory())

    @classmethod
    def from_arrays(cls, X: Any, y: Any, sample_weight: Any = None, classes: Any = None):
        """Blocks of arrays that are read as they are sliced, such as memory maps.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Features.
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array of shape (n_samples,), default=None
            Weights of the rows.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier.

        Returns
        -------
        blocks : RowBlocks
            Blocks of about 16 megabytes.
        """
        arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
        return cls(lambda: _slices(lambda: arrays), classes)

    @classmethod
    def from_npy(
        cls,
        X: Sequence[Any],
        y: Sequence[Any],
        sample_weight: Sequence[Any] | None = None,
        classes: Any = None,
    ):
        """Blocks of `.npy` files, which are not loaded: one block is in memory at a time.

        Parameters
        ----------
        X, y : list of paths
            Files of features, and as many of the target.
        sample_weight : list of paths, default=None
            Files of weights.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier.

        Returns
        -------
        blocks : RowBlocks
            Blocks of about 16 megabytes, none over two files.
        """
        names = [X, y] if sample_weight is None else [X, y, sample_weight]

        def factory() -> Iterator[tuple]:
            for paths in zip(*names, strict=True):
                yield from _slices(partial(_open_memmaps, paths))

        return cls(factory, classes)

    @classmethod
    def from_parquet(
        cls,
        paths: Any,
        target: str | list[str],
        sample_weight: str | None = None,
        classes: Any = None,
    ):
        """Blocks of the row groups of Parquet files, read through pyarrow.

        Parameters
        ----------
        paths : path or list of paths
            Files of the same columns. Those that are no target and no weight are features.
        target : str or list of str
            Column of the target, or columns.
        sample_weight : str, default=None
            Column of the weights.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier.

        Returns
        -------
        blocks : RowBlocks
            One block for each row group, with named columns.
        """
        parquet = import_parquet("RowBlocks.from_parquet")
        files = list(paths) if isinstance(paths, list | tuple) else [paths]
        taken = [target] if isinstance(target, str) else list(target)
        taken += [] if sample_weight is None else [sample_weight]

        def factory() -> Iterator[tuple]:
            for path in files:
                with parquet.ParquetFile(path) as file:
                    for group in range(file.num_row_groups):
                        frame = file.read_row_group(group).to_pandas()
                        block = (frame.drop(columns=taken), frame[target])
                        weight = () if sample_weight is None else (frame[sample_weight],)
                        yield (*block, *weight)

        return cls(factory, classes)

    @classmethod
    def from_dask(cls, X: Any, y: Any, sample_weight: Any = None, classes: Any = None):
        """Blocks of Dask collections, whose sums are found where the blocks live.

        In each pass the workers send sums only, which are added up in a tree; of the first one
        also a sample of the rows, on which starts are found. With a client of `distributed` the
        collections are persisted on its workers; without one they are read anew in each pass.

        Parameters
        ----------
        X : dask array of shape (n_samples, n_features), or dask data frame
            Features.
        y : dask array or series, or array of shape (n_samples,) or (n_samples, n_outputs)
            Target. Arrays of known chunk sizes are cut like X; others must have as many chunks or
            partitions as X.
        sample_weight : dask array or series, or array of shape (n_samples,), default=None
            Weights of the rows.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier.

        Returns
        -------
        blocks : DaskBlocks
            One block for each chunk or partition.

        Raises
        ------
        ValueError
            If y or weights have other rows or partitions than X, or if chunk sizes that are
            unknown would have to be known.
        """
        dask = import_dask("RowBlocks.from_dask")
        given = {"X": X, "y": y} | (
            {} if sample_weight is None else {"sample_weight": sample_weight}
        )
        pack = dask.delayed(lambda *values: values)
        blocks = [pack(*values) for values in zip_chunks(align_chunks(given))]
        return DaskBlocks(list(dask.persist(*blocks)) if _has_client() else blocks, classes)


class DaskBlocks(RowBlocks):
    """Blocks that live where Dask keeps them.

    Parameters
    ----------
    blocks : list of delayed
        The blocks.
    classes : array-like of shape (n_classes,), default=None
        All labels of a classifier.
    """

    def __init__(self, blocks: list[Any], classes: Any = None):
        super().__init__(lambda: (block.compute() for block in blocks), classes)
        self.blocks = blocks

    def first(self) -> tuple:
        """The first block, brought here."""
        return self.blocks[0].compute()

    def map(self, look: Callable[[int, tuple], Any]) -> list[Any]:
        """What `look` finds in each block, found where it lives."""
        dask = import_dask("RowBlocks.from_dask")
        look = dask.delayed(look, pure=False)
        return list(dask.compute(*(look(index, block) for index, block in enumerate(self.blocks))))

    def map_reduce(self, look: Callable[[int, tuple], Any], add: Callable[[Any, Any], Any]) -> Any:
        """What `look` finds in the blocks, found where they live, and added up in a tree."""
        dask = import_dask("RowBlocks.from_dask")
        look, add = dask.delayed(look, pure=False), dask.delayed(add, pure=False)
        looks = [look(index, block) for index, block in enumerate(self.blocks)]
        while len(looks) > 1:
            pairs = [looks[i : i + 2] for i in range(0, len(looks), 2)]
            looks = [add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return looks[0].compute()


def _has_client() -> bool:
    """Whether a cluster is there to keep blocks."""
    try:
        import_module("distributed").get_client()
    except (ImportError, ValueError):
        return False
    return True


def _open_memmaps(paths: Sequence[Any]) -> list[Any]:
    return [np.load(path, mmap_mode="r") for path in paths]


def _slices(arrays: Callable[[], list[Any]]) -> Iterator[tuple]:
    """Copies of slices of arrays.

    They are asked for anew for each block: pages of a map count as memory until it is closed.
    """
    X = arrays()[0]
    row_bytes = max(1, X.dtype.itemsize * int(np.prod(X.shape[1:])))
    n_rows, size = X.shape[0], max(1, BLOCK_BYTES // row_bytes)
    del X
    for begin in range(0, n_rows, size):
        yield tuple(np.array(values[begin : begin + size]) for values in arrays())
