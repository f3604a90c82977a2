"""Digests of data sets, to recognise that a fit is of the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
from scipy import sparse

from skmoe._data.blocks import BLOCK_BYTES, RowBlocks
from skmoe._data.checks import as_csr
from skmoe._data.dask_chunks import is_dask
from skmoe._data.encoding import frame_columns, is_frame
from skmoe._numerics.typing import Array

# In place of the digest of rows that are read in blocks: it would cost a pass.
IN_BLOCKS = "rows in blocks"


def data_digest(data: Any) -> str:
    """Digest of the values, dtypes and names of an array, a sparse matrix or a frame.

    It does not depend on the memory layout. Row blocks and Dask collections are not read.
    """
    if data is None:
        return "none"
    if isinstance(data, RowBlocks) or is_dask(data):
        return IN_BLOCKS
    digest = hashlib.blake2b(digest_size=16)
    for piece in _pieces(data):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(data: Any) -> Iterator[bytes]:
    if sparse.issparse(data):
        csr = as_csr(data)
        yield repr(csr.shape).encode()
        for array in (csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)):
            yield from _array_pieces(array)
    elif is_frame(data):
        for name, column in zip(data.columns, frame_columns(data), strict=True):
            yield repr((str(name), str(column.dtype))).encode()
            yield from _array_pieces(np.asarray(column))
    else:
        yield from _array_pieces(np.atleast_1d(data))


def _array_pieces(array: Array) -> Iterator[bytes]:
    """Bytes of an array in slices, so that a memory map is not loaded."""
    yield repr((array.dtype.str, array.shape)).encode()
    if array.dtype.hasobject:
        yield joblib.hash(array.tolist()).encode()
        return
    n_rows = max(1, BLOCK_BYTES * len(array) // max(array.nbytes, 1))
    for start in range(0, len(array), n_rows):
        yield array[start : start + n_rows].tobytes()
