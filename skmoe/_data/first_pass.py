"""The first pass over row blocks: validation, moments, class weights and a sample of the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmoe._data.block_checks import Block, BlockChecker, check_block
from skmoe._data.blocks import DaskBlocks, RowBlocks
from skmoe._data.checks import class_codes, class_weights
from skmoe._data.moments import (
    Moments,
    compute_moments,
    feature_scale,
    merge_moments,
    output_scale,
)
from skmoe._data.scaling import Standardization
from skmoe._numerics.typing import Array


class FirstPass(NamedTuple):
    """Results of the first pass."""

    sample: Block  # rows drawn at random, with the weight of all rows
    names: Array | None  # of the features
    n_rows: int
    feature_scaling: Standardization
    target_scaling: Standardization | None
    class_weights: dict[Any, float] | None
    classes: Array | None


class FirstPassStatistics(NamedTuple):
    """Statistics of the rows of positive weight, which can be merged over blocks."""

    n_rows: int
    features: Moments
    outputs: Moments | None
    counts: dict[Any, float]  # weight of each label
    sample: Block  # the rows with the smallest keys, in their order
    keys: Array


def first_pass(
    blocks: RowBlocks, checker: BlockChecker, class_weight: Any, n_sample: int, seed: int
) -> FirstPass:
    """Validate all blocks, and compute moments, class weights and a sample of the rows."""
    summarize = partial(_summarize_block, checker, n_sample, seed)
    merge = partial(_merge_passes, n_sample)
    n_rows: int = 0
    sums: FirstPassStatistics | None = None
    if isinstance(blocks, DaskBlocks):
        checker(0, blocks.first())  # with which the others are compared
        counts = blocks.map(_n_positive_rows)
        row_offsets = np.cumsum([0, *counts]).tolist()
        numbered = partial(_summarize_numbered_block, summarize, row_offsets)
        n_rows, sums = blocks.map_reduce(numbered, merge)
    else:
        for index, block in enumerate(blocks):
            row_offset = 0 if sums is None else sums.n_rows
            n_rows, sums = merge((n_rows, sums), summarize(row_offset, index, block))
    check_not_empty(n_rows, sums is not None)
    assert sums is not None
    # Penalties must have the same weight relative to the sample as to all rows.
    weight = sums.sample.weight * (sums.features.weight / sums.sample.weight.sum())
    classes, weights = None, None
    if checker.is_classification:
        classes, weights = _classes_and_weights(blocks, class_weight, sums.counts)
    return FirstPass(
        sums.sample._replace(weight=weight),
        checker.feature_names,
        n_rows,
        feature_scale(sums.features, sums.sample.X),
        None if sums.outputs is None else output_scale(sums.outputs),
        weights,
        classes,
    )


def _n_positive_rows(index: int, block: Any) -> int:
    """Rows of positive weight."""
    _, y, *rest = check_block(index, block)
    return int(np.count_nonzero(np.asarray(rest[0]) > 0.0)) if rest else len(y)


def _summarize_numbered_block(
    summarize: Callable[..., Any], row_offset: list[int], index: int, block: Any
) -> Any:
    return summarize(row_offset[index], index, block)


def _summarize_block(
    checker: BlockChecker, n_sample: int, seed: int, row_offset: int, index: int, given: Any
) -> tuple[int, FirstPassStatistics | None]:
    """The number of rows of a block, and the statistics of those of positive weight.

    The random keys by which rows are sampled depend on the number of the row, counted from
    `row_offset`, and not on how the rows are cut into blocks.
    """
    block = checker(index, given)
    n_rows, present = len(block.weight), np.flatnonzero(block.weight > 0.0)
    if not len(present):
        return n_rows, None
    block = _subset_block(block, present)
    outputs, counts = None, {}
    if checker.is_classification:
        counts = _label_weights(block)
    else:
        outputs = compute_moments(block.y.reshape(len(block.y), -1), block.weight)
    keys = np.random.Generator(np.random.PCG64(seed).advance(row_offset)).random(len(present))
    features = compute_moments(block.X, block.weight)
    return n_rows, _subsample(
        n_sample, FirstPassStatistics(len(present), features, outputs, counts, block, keys)
    )


def _merge_passes(
    n_sample: int,
    one: tuple[int, FirstPassStatistics | None],
    other: tuple[int, FirstPassStatistics | None],
) -> tuple[int, FirstPassStatistics | None]:
    return one[0] + other[0], merge_optional(partial(_merge_statistics, n_sample), one[1], other[1])


def _merge_statistics(
    n_sample: int, one: FirstPassStatistics, other: FirstPassStatistics
) -> FirstPassStatistics:
    """Statistics of two sets of blocks."""
    counts = dict(one.counts)
    for label, weight in other.counts.items():
        counts[label] = counts.get(label, 0.0) + weight
    outputs = None
    if one.outputs is not None and other.outputs is not None:
        outputs = merge_moments(one.outputs, other.outputs, 1.0)
    if len(one.keys) == n_sample:  # most rows of the other are not sampled
        other = _select_sample(other, np.flatnonzero(other.keys < one.keys[-1]))
    stack = sparse.vstack if sparse.issparse(one.sample.X) else np.concatenate
    sample = Block(
        stack([one.sample.X, other.sample.X]),
        np.concatenate([one.sample.y, other.sample.y]),
        np.concatenate([one.sample.weight, other.sample.weight]),
    )
    n_rows, features = one.n_rows + other.n_rows, merge_moments(one.features, other.features, 1.0)
    keys = np.concatenate([one.keys, other.keys])
    return _subsample(
        n_sample, FirstPassStatistics(n_rows, features, outputs, counts, sample, keys)
    )


def merge_optional(merge: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Statistics of two blocks, either of which may be None."""
    if one is None or other is None:
        return other if one is None else one
    return merge(one, other)


def _subsample(n_sample: int, sums: FirstPassStatistics) -> FirstPassStatistics:
    """A uniform sample of the rows: those with the smallest random keys."""
    return _select_sample(sums, np.argsort(sums.keys, kind="stable")[:n_sample])


def _select_sample(sums: FirstPassStatistics, index: Array) -> FirstPassStatistics:
    return sums._replace(sample=_subset_block(sums.sample, index), keys=sums.keys[index])


def _subset_block(block: Block, index: Array) -> Block:
    X = sparse.csr_array(block.X) if sparse.issparse(block.X) else block.X
    return Block(X[index], block.y[index], block.weight[index])


def _label_weights(block: Block) -> dict[Any, float]:
    """Weight of the rows of each label."""
    labels, codes = np.unique(block.y, return_inverse=True)
    weights = np.bincount(codes, block.weight)
    return dict(zip(labels.tolist(), weights.tolist(), strict=True))


def _classes_and_weights(
    blocks: RowBlocks, class_weight: Any, counts: dict[Any, float]
) -> tuple[Array, dict[Any, float] | None]:
    """All labels, and the weight of each if there are class weights."""
    found = np.unique(np.array(list(counts)))
    if blocks.classes is not None:
        class_codes(found, np.unique(np.asarray(blocks.classes)))
    if class_weight is None:
        return found, None
    totals = np.array([counts[label] for label in found.tolist()])
    factors = class_weights(class_weight, found, np.arange(len(found)), totals) / totals
    return found, dict(zip(found.tolist(), factors.tolist(), strict=True))


def check_not_empty(n_rows: int, any_weight: bool) -> None:
    """Blocks hold rows."""
    if not any_weight:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {n_rows} rows, none of "
            "positive weight. Return a new iterator from the factory at each call."
        )
