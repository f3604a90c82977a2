"""Blocks of rows from outside: what a first pass tells of them, and the passes of a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from skmoe._data.blocks import DaskBlocks, RowBlocks
from skmoe._data.checks import as_csr, check_same_length, class_codes, class_weights
from skmoe._data.moments import Moments, compute_moments, feature_scale, merge_moments, output_scale
from skmoe._data.rows import Dataset, make_dataset, split_into_blocks
from skmoe._data.scaling import Standardization
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array, Design


class Block(NamedTuple):
    """Checked rows; labels of a classifier are as given."""

    X: Design
    y: Array
    weight: Array


class FirstPass(NamedTuple):
    """What the first pass tells."""

    sample: Block  # rows drawn, with the weight of all rows
    names: Array | None  # of the features
    n_rows: int
    scale: Standardization
    target: Standardization | None
    class_weights: dict[Any, float] | None  # weights of the classes
    classes: Array | None


@dataclass(frozen=True)
class BlockSource:
    """Rows ready for EM, read anew in each pass; stands where `Rows` do.

    Parameters
    ----------
    blocks : RowBlocks
    estimator : estimator
        Checks what the blocks hold: it knows their columns.
    survey : Survey
    columns : tuple
        Columns of gate and experts.
    """

    blocks: RowBlocks
    estimator: Any
    first_pass: FirstPass
    columns: tuple[Array | None, Array | None]

    def __iter__(self) -> Iterator[Dataset]:
        n_rows = 0
        for index, block in enumerate(self.blocks):
            rows, n_here = self.rows(index, block)
            n_rows += n_here
            yield from split_into_blocks(rows)
        check_same_rows(n_rows, self.first_pass.n_rows)

    def rows(self, index: int, block: Any) -> tuple[Dataset, int]:
        """Rows of positive weight of a block, and the number of all of them."""
        X, y, weight = _check_block(self.estimator, index, block)
        n_rows = len(weight)
        y, weight = self._target(index, y, weight)
        present = np.flatnonzero(weight > 0.0)
        if len(present) < n_rows:
            X, y, weight = X[present], y[..., present], weight[present]
        return make_dataset(X, self.first_pass.scale, *self.columns, y, weight), n_rows

    def _target(self, index: int, y: Array, weight: Array) -> tuple[Array, Array]:
        survey = self.first_pass
        if survey.classes is None:
            center, spread = survey.target  # type: ignore[misc]
            outputs = y if y.ndim > 1 else y[:, None]
            return (outputs.T - center[:, None]) / spread[:, None], weight
        codes = with_block_index(index, class_codes, y, survey.classes)
        weights = class_weights(survey.class_weights, survey.classes, codes, weight)
        return codes, weights


class DaskBlockSource(BlockSource):
    """Blocks that stay where they are: `over` sends out the work, and gets one sum back."""

    def map_blocks(self, block_fn: Callable[[Dataset], Any], source: DaskBlockSource) -> list[Any]:
        """The sum of what the blocks say, as the one entry of a list."""
        assert isinstance(self.blocks, DaskBlocks)
        sample = Block(*(values[:0] for values in self.first_pass.sample))
        without_sample = replace(
            self, blocks=RowBlocks(tuple), first_pass=self.first_pass._replace(sample=sample)
        )
        return [
            self.blocks.total(
                partial(_map_block, without_sample, block_fn), partial(_merge_optional, add_fields)
            )
        ]


def _map_block(
    source: BlockSource, block_fn: Callable[[Dataset], Any], index: int, block: Any
) -> Any:
    """What the rows of a block say; nothing if there are none."""
    rows, _ = source.rows(index, block)
    return reduce(add_fields, map(block_fn, split_into_blocks(rows))) if len(rows.weight) else None


def _merge_optional(merge: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """What two blocks say together, either of which may say nothing."""
    if one is None or other is None:
        return other if one is None else one
    return merge(one, other)


def make_block_source(blocks: RowBlocks, *known: Any) -> BlockSource:
    """The source of a fit, from its blocks and what else it knows."""
    return (DaskBlockSource if isinstance(blocks, DaskBlocks) else BlockSource)(blocks, *known)


class FirstPassStatistics(NamedTuple):
    """What blocks add to the survey, by their rows of positive weight."""

    n_rows: int
    features: Moments
    outputs: Moments | None
    counts: dict[Any, float]  # weight of each label
    sample: Block  # the rows with the smallest keys, in their order
    keys: Array


def first_pass(
    blocks: RowBlocks, estimator: Any, n_sample: int, seed: int
) -> tuple[FirstPass, Any]:
    """Go through the blocks once: check all, sum up moments, and draw rows.

    Returns the survey, and an estimator that knows the columns.
    """
    column_checker = type(estimator)(**estimator.get_params(deep=False))
    summarize, merge = (
        partial(_summarize_block, column_checker, n_sample, seed),
        partial(_merge_passes, n_sample),
    )
    n_rows: int = 0
    sums: FirstPassStatistics | None = None
    if isinstance(blocks, DaskBlocks):
        _check_block(column_checker, 0, blocks.first())  # with which the others are compared
        counts = blocks.each(_n_positive_rows)
        row_offsets = np.cumsum([0, *counts]).tolist()
        n_rows, sums = blocks.total(
            partial(_summarize_numbered_block, summarize, row_offsets), merge
        )
    else:
        for index, block in enumerate(blocks):
            row_offset = 0 if sums is None else sums.n_rows
            n_rows, sums = merge((n_rows, sums), summarize(row_offset, index, block))
    check_not_empty(n_rows, sums is not None)
    assert sums is not None
    # Penalties are to weigh as much against the sample as against all rows.
    weight = sums.sample.weight * (sums.features.weight / sums.sample.weight.sum())
    classes, class_weights = _classes_and_weights(blocks, estimator, sums.counts)
    found = FirstPass(
        sums.sample._replace(weight=weight),
        getattr(column_checker, "feature_names_in_", None),
        n_rows,
        feature_scale(sums.features, sums.sample.X),
        None if sums.outputs is None else output_scale(sums.outputs),
        class_weights,
        classes,
    )
    return found, column_checker


def _n_positive_rows(index: int, block: Any) -> int:
    """Rows of positive weight."""
    _, y, *rest = check_block(index, block)
    return int(np.count_nonzero(np.asarray(rest[0]) > 0.0)) if rest else len(y)


def _summarize_numbered_block(
    summarize: Callable[..., Any], row_offset: list[int], index: int, block: Any
) -> Any:
    return summarize(row_offset[index], index, block)


def _summarize_block(
    column_checker: Any, n_sample: int, seed: int, row_offset: int, index: int, given: Any
) -> tuple[int, FirstPassStatistics | None]:
    """The number of rows of a block, and what those of positive weight say.

    Their keys are those of the rows, `before` of which are in other blocks, however they are cut.
    """
    block = _check_block(column_checker, index, given)
    n_rows, present = len(block.weight), np.flatnonzero(block.weight > 0.0)
    if not len(present):
        return n_rows, None
    block = _subset_block(block, present)
    outputs, counts = None, {}
    if is_classifier(column_checker):
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
    return one[0] + other[0], _merge_optional(
        partial(_merge_statistics, n_sample), one[1], other[1]
    )


def _merge_statistics(
    n_sample: int, one: FirstPassStatistics, other: FirstPassStatistics
) -> FirstPassStatistics:
    """What two sets of blocks say."""
    counts = dict(one.counts)
    for label, weight in other.counts.items():
        counts[label] = counts.get(label, 0.0) + weight
    outputs = None
    if one.outputs is not None and other.outputs is not None:
        outputs = merge_moments(one.outputs, other.outputs, 1.0)
    if len(one.keys) == n_sample:  # most rows of the other have no chance
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
    blocks: RowBlocks, estimator: Any, counts: dict[Any, float]
) -> tuple[Array | None, dict[Any, float] | None]:
    """All labels, and their weights if they have any."""
    if not is_classifier(estimator):
        return None, None
    found = np.unique(np.array(list(counts)))
    if blocks.classes is not None:
        class_codes(found, np.unique(np.asarray(blocks.classes)))
    totals = np.array([counts[label] for label in found.tolist()])
    codes, weights = np.arange(len(found)), estimator.class_weight
    if weights is None:
        return found, None
    factors = class_weights(weights, found, codes, totals) / totals
    return found, dict(zip(found.tolist(), factors.tolist(), strict=True))


def _check_block(column_checker: Any, index: int, block: Any) -> Block:
    """Checked rows of a block; the probe remembers columns, dtype and outputs of the first."""
    X, y, *rest = check_block(index, block)
    first = not hasattr(column_checker, "n_features_in_")
    dtypes, shape = _dtypes(X), np.shape(y)[1:]
    if first:
        column_checker._block_kind = dtypes, shape
    X = with_block_index(
        index,
        validate_data,
        column_checker,
        X,
        reset=first,
        accept_sparse="csr",
        dtype=np.float64,
        ensure_min_samples=0,
    )
    check_block_kind(index, (dtypes, shape), column_checker._block_kind)
    if is_classifier(column_checker):
        y = with_block_index(index, column_or_1d, y)
    else:
        y = with_block_index(
            index,
            check_array,
            y,
            ensure_2d=False,
            dtype=np.float64,
            input_name="y",
            ensure_min_samples=0,
        )
    with_block_index(index, check_same_length, X, y.T)
    weight = np.asarray(rest[0], dtype=np.float64) if rest else np.ones(len(y))
    with_block_index(index, check_block_weights, weight, len(y))
    return Block(as_csr(X), y, weight)


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a frame."""
    if hasattr(X, "dtypes"):
        return ", ".merge(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))


def check_block(index: int, block: Any) -> Any:
    """A tuple of features, target and perhaps weights."""
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        raise ValueError(
            f"block {index} must be a tuple (X, y) or (X, y, sample_weight); got "
            f"{type(block).__name__}. Yield such tuples from the factory."
        )
    return block


def with_block_index(index: int, check: Any, *values: Any, **options: Any) -> Any:
    """The answer of a check, whose errors name the block."""
    try:
        return check(*values, **options)
    except ValueError as error:
        raise ValueError(f"block {index}: {error}") from error


def check_block_kind(index: int, kind: tuple, first: tuple) -> None:
    """Dtype of features and number of outputs as in the first block."""
    if kind != first:
        raise ValueError(
            f"block {index} must be like the first: X of dtype {first[0]} and rows of y of shape "
            f"{first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
        )


def check_block_weights(weight: Array, n_rows: int) -> None:
    """One finite weight, not negative, for each row."""
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0.0).any():
        raise ValueError(
            f"sample_weight must hold one finite number, not negative, for each of {n_rows} rows; "
            f"got shape {weight.shape}. Correct the weights in the factory."
        )


def check_not_empty(n_rows: int, any_weight: bool) -> None:
    """Blocks hold rows."""
    if not any_weight:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {n_rows} rows, none of "
            "positive weight. Return a new iterator from the factory at each call."
        )


def check_same_rows(n_rows: int, row_offset: int) -> None:
    """Every pass gives the same number of rows."""
    if n_rows != row_offset:
        raise ValueError(
            f"RowBlocks must give the same rows in each pass; the first gave {row_offset} rows, a "
            f"later one {n_rows}. Return a new iterator over the same rows at each call."
        )
