"""First pass over row blocks: validation, moments, class weights and a sample of the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.block_checks import BlockChecker, check_block
from skmoe._data.blocks import DaskBlocks, RowBlocks
from skmoe._data.censored_targets import point_values
from skmoe._data.checks import shown
from skmoe._data.row_checks import class_codes, class_weights
from skmoe._data.rows import Rows, concat
from skmoe._data.scaling import (
    Moments,
    Standardization,
    compute_moments,
    feature_scale,
    fit_feature_range,
    merge_feature_ranges,
    merge_moments,
    output_scale,
)
from skmoe._data.units import encode_units, unit_runs
from skmoe._numerics.typing import Array

# Moments of the rows of several blocks, which all have their own weight.
_merge_moments = partial(merge_moments, decay=1.0)


class FirstPass(NamedTuple):
    """Results of the first pass."""

    # Random sample of rows, with weights that sum to the total weight, or of units.
    sample: Rows
    names: Array | None  # of the features
    n_rows: int
    feature_scaling: Standardization
    feature_range: Array
    target_scaling: Standardization | None
    class_weights: dict[Any, float] | None
    classes: Array | None
    sample_factor: float = 1.0  # by which the units of the sample stand for all units
    n_units: int | None = None
    n_known: int = 0  # of the rows, or units


class FirstPassStatistics(NamedTuple):
    """Statistics of the rows of positive weight in one or several blocks."""

    n_rows: int
    features: dict[Any, Moments]  # of the rows of each label; of all rows, for None
    feature_range: Array
    outputs: Moments | None
    sample: Rows  # the rows with the smallest random keys, in the order of the keys
    keys: Array  # of rows, the same for the rows of a unit
    unit_labels: Array | None = None  # of all units
    n_known: int = 0  # of the rows, or units


def first_pass(
    blocks: RowBlocks, checker: BlockChecker, class_weight: Any, n_sample: int, seed: int
) -> FirstPass:
    """Validate all blocks, and compute moments, class weights and a sample of the rows."""
    summarize = partial(_summarize_block, checker, n_sample, seed)
    merge = partial(_merge_passes, n_sample)
    n_rows: int = 0
    statistics: FirstPassStatistics | None = None
    if isinstance(blocks, DaskBlocks):
        checker(0, blocks.first())  # the other blocks are compared with the first one
        row_counts = blocks.map(_n_positive_rows)
        row_offsets = np.cumsum([0, *row_counts]).tolist()
        n_rows, statistics = blocks.map_reduce(
            lambda index, block: summarize(row_offsets[index], index, block), merge
        )
    else:
        for index, block in enumerate(blocks):
            row_offset = 0 if statistics is None else statistics.n_rows
            n_rows, statistics = merge((n_rows, statistics), summarize(row_offset, index, block))
    if statistics is None:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {n_rows} rows, none of "
            "positive weight. Return a new iterator from the factory at each call."
        )
    sample, outputs, labels = statistics.sample, statistics.outputs, statistics.unit_labels
    # Penalties must have the same weight relative to the sample as to all rows.
    factor = sum(part.weight for part in statistics.features.values()) / sample.weight.sum()
    if labels is None:
        sample, factor = sample._replace(weight=factor * sample.weight), 1.0
    else:
        sample = sample._replace(unit=encode_units(statistics.keys)[1])
    classes, weights = None, None
    if checker.is_classification:
        classes, weights = _classes_and_weights(blocks, class_weight, statistics.features)
    features = _weighted_features(statistics.features, weights)
    return FirstPass(
        sample,
        checker.feature_names,
        n_rows,
        feature_scale(features, sample.X),
        statistics.feature_range,
        None if outputs is None else output_scale(outputs),
        weights,
        classes,
        factor,
        None if labels is None else len(labels),
        statistics.n_known,
    )


def _n_positive_rows(index: int, block: Any) -> int:
    """Number of rows of positive weight in a block."""
    _, y, weight, *_ = check_block(index, block)
    return len(y) if weight is None else int(np.count_nonzero(np.asarray(weight) > 0.0))


def _summarize_block(
    checker: BlockChecker, n_sample: int, seed: int, row_offset: int, index: int, raw_block: Any
) -> tuple[int, FirstPassStatistics | None]:
    """Number of rows in a block, and the statistics of those of positive weight.

    The random keys of the sample depend on the number of the row in the data set, counted from
    `row_offset`, so that the sample does not depend on the sizes of the blocks.
    """
    block = checker(index, raw_block)
    n_rows, block = block.n_rows, block.of_positive_weight()
    if not block.n_rows:
        return n_rows, None
    if checker.is_classification:
        features, outputs = _features_by_label(block), None
    else:
        features = {None: compute_moments(block.X, block.weight)}
        outputs = compute_moments(point_values(block.y).reshape(len(block.y), -1), block.weight)
    keys = np.random.Generator(np.random.PCG64(seed).advance(row_offset)).random(block.n_rows)
    labels = None
    if block.unit is not None:
        runs, labels = unit_runs(block.unit), np.unique(block.unit)
        keys = keys[np.unique(runs, return_index=True)[1]][runs]
    statistics = FirstPassStatistics(
        block.n_rows,
        features,
        fit_feature_range(block.X),
        outputs,
        block._replace(unit=None),
        keys,
        labels,
        block.n_known,
    )
    return n_rows, _subsample(n_sample, statistics)


def _merge_passes(
    n_sample: int,
    one: tuple[int, FirstPassStatistics | None],
    other: tuple[int, FirstPassStatistics | None],
) -> tuple[int, FirstPassStatistics | None]:
    return one[0] + other[0], merge_optional(partial(_merge_statistics, n_sample), one[1], other[1])


def _merge_statistics(
    n_sample: int, one: FirstPassStatistics, other: FirstPassStatistics
) -> FirstPassStatistics:
    """Statistics of the rows of two sets of blocks."""
    check_units_apart(one.unit_labels, other.unit_labels)
    if len(one.keys) == n_sample:  # larger keys cannot enter the sample
        other = _select_sample(other, np.flatnonzero(other.keys < one.keys[-1]))
    in_both = {
        label: _merge_moments(moments, other.features[label])
        for label, moments in one.features.items()
        if label in other.features
    }
    statistics = FirstPassStatistics(
        one.n_rows + other.n_rows,
        one.features | other.features | in_both,
        merge_feature_ranges(one.feature_range, other.feature_range),
        merge_optional(_merge_moments, one.outputs, other.outputs),
        concat([one.sample, other.sample]),
        np.concatenate([one.keys, other.keys]),
        merge_optional(np.union1d, one.unit_labels, other.unit_labels),
        one.n_known + other.n_known,
    )
    return _subsample(n_sample, statistics)


def _features_by_label(block: Rows) -> dict[Any, Moments]:
    """Moments of the features of each label, whose rows have a class weight in common."""
    labels, codes = np.unique(block.y, return_inverse=True)
    return {
        label: compute_moments(block.X[codes == code], block.weight[codes == code])
        for code, label in enumerate(labels.tolist())
    }


def _weighted_features(features: dict[Any, Moments], weights: dict[Any, float] | None) -> Moments:
    """Moments of all rows, whose weights are multiplied by those of their classes."""
    parts = [
        part._replace(weight=part.weight * (1.0 if weights is None else weights[label]))
        for label, part in features.items()
    ]
    present = [part for part in parts if part.weight > 0.0]
    return reduce(_merge_moments, present)


def merge_optional(merge: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Merge two optional block statistics; the result is None if both are None."""
    if one is None or other is None:
        return other if one is None else one
    return merge(one, other)


def _subsample(n_sample: int, statistics: FirstPassStatistics) -> FirstPassStatistics:
    """Statistics with a uniform sample of the rows, or units: those with the smallest keys."""
    order = np.argsort(statistics.keys, kind="stable")
    if len(order) > n_sample:  # of a unit that does not fit in as a whole nothing is kept
        keys = statistics.keys[order]
        n_kept = int(np.searchsorted(keys, keys[n_sample]))
        order = order[: n_kept or int(np.searchsorted(keys, keys[0], side="right"))]
    return _select_sample(statistics, order)


def _select_sample(statistics: FirstPassStatistics, index: Array) -> FirstPassStatistics:
    sample, keys = statistics.sample.take(index), statistics.keys[index]
    return statistics._replace(sample=sample, keys=keys)


def _classes_and_weights(
    blocks: RowBlocks, class_weight: Any, features: dict[Any, Moments]
) -> tuple[Array, dict[Any, float] | None]:
    """All classes, and the class weights, if any."""
    classes = np.unique(np.array(list(features)))
    if blocks.classes is not None:
        class_codes(classes, np.unique(np.asarray(blocks.classes)))
    if class_weight is None:
        return classes, None
    totals = np.array([features[label].weight for label in classes.tolist()])
    factors = class_weights(class_weight, classes, np.arange(len(classes)), totals) / totals
    return classes, dict(zip(classes.tolist(), factors.tolist(), strict=True))


def check_units_apart(one: Array | None, other: Array | None) -> None:
    """No unit may be in two blocks, and all blocks must have units, or none."""
    if (one is None) != (other is None):
        raise ValueError(
            "RowBlocks must have units in every block or in none; some blocks have none. Yield the "
            "units with every block."
        )
    if one is None or other is None:
        return
    cut = np.intersect1d(one, other)
    if len(cut):
        raise ValueError(
            f"RowBlocks must have all rows of a unit in one block; unit {shown(cut[0])} is in "
            "several. Sort the rows by unit, and let blocks end where a unit ends."
        )
