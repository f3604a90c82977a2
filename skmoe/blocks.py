"""Tables that are larger than memory: blocks of rows."""

from skmoe._data.blocks import DaskBlocks, RowBlocks

__all__ = ["DaskBlocks", "RowBlocks"]
