"""Row blocks as the rows of a fit: checks, and a first pass for moments, weights and a sample.

Blocks are checked against the first one, and are read again in each pass of EM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import column_or_1d, validate_data

from skmoe._data.blocks import ENTRIES, DaskBlocks, RowBlocks
from skmoe._data.censored_targets import known_weight, point_values
from skmoe._data.checks import shown
from skmoe._data.feature_checks import explain_features
from skmoe._data.preprocessing import Preprocessor
from skmoe._data.row_checks import (
    as_csr,
    check_block_weights,
    check_outputs,
    check_same_length,
    check_target,
    class_codes,
    class_weights,
)
from skmoe._data.rows import SAMPLE_SEED, Dataset, Rows, concat, has_bounds, split_into_blocks
from skmoe._data.scaling import (
    Moments,
    Standardization,
    compute_moments,
    fit_feature_range,
    merge_feature_ranges,
    merge_moments,
    output_scale,
)
from skmoe._data.units import encode_units, unit_runs
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array


class BlockColumns(BaseEstimator):
    """Receives `n_features_in_` and `feature_names_in_` of the first block from scikit-learn."""


@dataclass(eq=False)
class BlockChecker:
    """Validates blocks; columns, dtype and number of outputs must be those of the first block.

    Parameters
    ----------
    is_classification : bool
        Whether y holds labels.
    check_target : callable
        Called with the target and the weights of each block; raises ValueError if y has values
        that the experts do not support.
    check_offset : callable
        Called with the offset, and the numbers of rows and outputs, of each block; returns an array
        (n,) or (n, m), or raises ValueError.
    check_units : callable
        Called with the units, the features and their names of each block; returns the units, or
        raises ValueError.
    check_known : callable
        Called with the known experts, the weights and the units of each block; returns the possible
        experts of its rows, or raises ValueError.
    """

    is_classification: bool
    check_target: Callable[[Array, Array], None]
    check_offset: Callable[[Any, int, int], Array | None]
    check_units: Callable[[Any, Any, Any], Array | None]
    check_known: Callable[..., Array | None]
    columns: BlockColumns = field(default_factory=BlockColumns)
    # dtype of X, and shapes of a row of y and of the offset, if there is one
    kind: tuple[str, tuple, tuple | None] | None = None

    @property
    def feature_names(self) -> Array | None:
        """Names of the features, if the first block has any."""
        return getattr(self.columns, "feature_names_in_", None)

    def __call__(self, index: int, block: Any) -> Rows:
        """Validated rows of a block; the labels of a classifier are not encoded."""
        X, y, weight, offset, units, known = check_block(index, block)
        if self.is_classification:
            with_block_index(index, check_target, y, True)
        offset_shape = None if offset is None else np.shape(offset)[1:]
        kind = _dtypes(X), (*np.shape(y)[1:], *["bounds"] * has_bounds(y)), offset_shape
        first = self.kind is None
        self.kind = kind if self.kind is None else self.kind
        X = with_block_index(index, self._validate_X, X, first)
        check_block_kind(index, kind, self.kind)
        y = with_block_index(index, self._validate_y, y)
        with_block_index(index, check_same_length, X, y)
        weight = with_block_index(index, check_block_weights, weight, len(y))
        with_block_index(index, self.check_target, y, weight)
        weight = known_weight(y, weight)
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        offset = with_block_index(index, self.check_offset, offset, len(y), n_outputs)
        X = as_csr(X)
        units = with_block_index(index, self.check_units, units, X, self.feature_names)
        possible = with_block_index(index, self.check_known, known, weight=weight, units=units)
        return Rows(X, y, weight, offset, units, possible=possible)

    def _validate_X(self, X: Any, first: bool) -> Any:
        with explain_features(X):
            return validate_data(
                self.columns,
                X,
                reset=first,
                accept_sparse="csr",
                dtype=np.float64,
                ensure_min_samples=0,
            )

    def _validate_y(self, y: Any) -> Array:
        return column_or_1d(y) if self.is_classification else check_outputs(y, ensure_min_samples=0)


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a data frame."""
    if hasattr(X, "dtypes"):
        return ", ".join(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))


def check_block(index: int, block: Any) -> Any:
    """Features, target, weights, offset, units and known experts of a block, or None for others."""
    if not isinstance(block, tuple) or len(block) not in range(2, len(ENTRIES) + 1):
        raise ValueError(
            f"block {index} must be a tuple (X, y), followed by sample_weight, offset, units and "
            f"known_experts, if there are any; got {type(block).__name__}. Yield such tuples from "
            "the factory."
        )
    return *block, *[None] * (len(ENTRIES) - len(block))


def with_block_index(index: int, check: Any, *values: Any, **options: Any) -> Any:
    """Result of a check; its errors name the block."""
    try:
        return check(*values, **options)
    except ValueError as error:
        raise ValueError(f"block {index}: {error}") from error


def check_block_kind(index: int, kind: tuple, first: tuple) -> None:
    """Dtype of the features, number of outputs and offset must be those of the first block."""
    if kind[2] != first[2]:
        raise ValueError(
            f"block {index} must have an offset like the first, of rows of shape {first[2]}; got "
            f"{kind[2]}. Yield an offset with every block, zeros where there is none, or with none."
        )
    if kind != first:
        raise ValueError(
            f"block {index} must be like the first: X of dtype {first[0]} and rows of y of shape "
            f"{first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
        )


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
    row_arguments: Set[str] = frozenset()  # that are given and make a difference


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
    row_arguments: Set[str] = frozenset()  # that are given and make a difference


def first_pass(
    blocks: RowBlocks, checker: BlockChecker, class_weight: Any, n_sample: int
) -> FirstPass:
    """Validate all blocks, and compute moments, class weights and a sample of the rows."""
    summarize = partial(_summarize_block, checker, n_sample)
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
        output_scale(features, np.inf),
        statistics.feature_range,
        None if outputs is None else output_scale(outputs),
        weights,
        classes,
        factor,
        None if labels is None else len(labels),
        statistics.n_known,
        statistics.row_arguments,
    )


def _n_positive_rows(index: int, block: Any) -> int:
    """Number of rows of positive weight in a block."""
    _, y, weight, *_ = check_block(index, block)
    return len(y) if weight is None else int(np.count_nonzero(np.asarray(weight) > 0.0))


def _summarize_block(
    checker: BlockChecker, n_sample: int, row_offset: int, index: int, raw_block: Any
) -> tuple[int, FirstPassStatistics | None]:
    """Number of rows in a block, and the statistics of those of positive weight.

    The random keys of the sample depend on the number of the row in the data set, counted from
    `row_offset`, so that the sample does not depend on the sizes of the blocks. The seed is the
    same for all fits, whose lower bounds can be compared then.
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
    keys = np.random.Generator(np.random.PCG64(SAMPLE_SEED).advance(row_offset)).random(
        block.n_rows
    )
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
        block.effective_arguments(block),
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
        label: merge_moments(moments, other.features[label])
        for label, moments in one.features.items()
        if label in other.features
    }
    statistics = FirstPassStatistics(
        one.n_rows + other.n_rows,
        one.features | other.features | in_both,
        merge_feature_ranges(one.feature_range, other.feature_range),
        merge_optional(merge_moments, one.outputs, other.outputs),
        concat([one.sample, other.sample]),
        np.concatenate([one.keys, other.keys]),
        merge_optional(np.union1d, one.unit_labels, other.unit_labels),
        one.n_known + other.n_known,
        one.row_arguments | other.row_arguments,
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
    return reduce(merge_moments, present)


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
