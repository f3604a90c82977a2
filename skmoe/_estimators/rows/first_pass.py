"""Row blocks as the rows of a fit: a first pass for moments, weights and a sample.

Blocks are checked against the first one, and are read again in each pass of EM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from skmoe._data.blocks import ENTRIES, DaskBlocks, RowBlocks
from skmoe._data.censored_targets import point_values
from skmoe._data.checks import check_columns, shown
from skmoe._data.encoding import numeric_names
from skmoe._data.preprocessing import (
    CONSTANT_RTOL,
    Preprocessor,
    Standardization,
    fit_feature_range,
    fit_standardization,
    merge_feature_ranges,
)
from skmoe._data.row_checks import RowRules, check_size, checked_rows, class_codes, class_weights
from skmoe._data.rows import (
    SAMPLE_SEED,
    Dataset,
    Rows,
    concat,
    has_bounds,
    is_dask,
    split_into_blocks,
)
from skmoe._data.units import check_gate_columns, encode_units, unit_runs
from skmoe._estimators.parameters.conflicts import BLOCKS, chosen_options, conflict_of
from skmoe._estimators.parameters.parameters import FitParameters
from skmoe._estimators.parameters.parts import check_takes_offset
from skmoe._estimators.rows.training_data import check_support, chosen_rows
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array, Design

# Maximum number of rows of a sample for the initialisation.
MAX_INIT_ROWS = 20_000


def rows_in_blocks(estimator: Any, params: FitParameters, given: Rows) -> Rows:
    """Large memory maps and Dask collections as row blocks; other rows as they are."""
    blocks: Any
    if is_dask(given.X):
        blocks = RowBlocks.from_dask(given.X, given.y, **given.arguments)
    elif isinstance(given.X, np.memmap) and _can_be_divided(given):
        chosen = chosen_options(estimator) | chosen_rows(params, given) | {BLOCKS: BLOCKS}
        if conflict_of(chosen):
            return given
        blocks = RowBlocks.from_arrays(given.X, given.y, **given.arguments)
    else:
        return given
    return Rows(blocks, group=given.group, metadata=given.metadata)


def _can_be_divided(given: Rows) -> bool:
    """Whether rows are many, in arrays, and those of a unit are next to each other."""
    arrays = (given.y, given.weight, given.offset, given.possible)
    if len(given.X) <= MAX_INIT_ROWS or given.y is None:
        return False
    if any(values is not None and np.ndim(values) == 0 for values in arrays):
        return False
    if given.unit is None:
        return True
    units = np.asarray(given.unit)
    return int((units[1:] != units[:-1]).sum()) + 1 == len(np.unique(units))


# --- checks -----------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class BlockChecker(BaseEstimator):
    """Checks blocks, of which columns, dtype and shapes must be those of the first block.

    It receives `n_features_in_` and `feature_names_in_` of that block from scikit-learn.
    """

    params: FitParameters
    # dtype of X, and shapes of a row of y and of the offset, if there is one
    kind: tuple[str, tuple, tuple | None] | None = None
    classes: Array | None = None  # that the first pass has found

    @property
    def feature_names(self) -> Array | None:
        """Names of the features, if the first block has any."""
        return getattr(self, "feature_names_in_", None)

    def __call__(self, index: int, block: Any) -> Rows:
        """Checked rows of a block; labels are encoded after the first pass."""
        given, is_first = rows_of_block(index, block), self.kind is None
        shape = None if given.offset is None else np.shape(given.offset)[1:]
        of_target = *np.shape(given.y)[1:], *["bounds"] * has_bounds(given.y)
        kind = _dtypes(given.X), of_target, shape
        first = self.kind = kind if self.kind is None else self.kind
        if kind[2] != first[2]:
            raise ValueError(
                f"block {index} must have an offset like the first, of rows of shape {first[2]}; "
                f"got {kind[2]}. Yield an offset with every block, zeros where there is none, or "
                "with none."
            )
        if kind != first:
            raise ValueError(
                f"block {index} must be like the first: X of dtype {first[0]} and rows of y of "
                f"shape {first[1]}; got {kind[0]} and {kind[1]}. Convert the blocks in the factory."
            )
        try:
            return self._checked(given, is_first)
        except ValueError as error:
            raise ValueError(f"block {index}: {error}") from error

    def _checked(self, given: Rows, is_first: bool) -> Rows:
        params = self.params
        if given.offset is not None:
            check_takes_offset(params.expert_parameter, params.expert, params.density)
        rules = RowRules(
            *(self, params.task.is_classification, params.n_experts),
            *(is_first, True),
            classes=self.classes,
        )
        rows = checked_rows(given, rules)
        check_support(params, rows.y, rows.weight)
        if rows.unit is not None:
            self._check_units(rows.X, rows.unit)
        return rows

    def _check_units(self, X: Design, units: Array) -> None:
        """The rows of a unit must be next to each other, and its gate features must agree."""
        first = np.flatnonzero(np.diff(unit_runs(units), prepend=-1))
        labels, counts = np.unique(units[first], return_counts=True)
        if len(labels) < len(first):
            raise ValueError(
                f"units must have their rows next to each other; those of unit "
                f"{shown(labels[counts.argmax()])} are apart. Sort the rows by unit."
            )
        if self.params.gate.depends_on_features:
            names, n_columns = self.feature_names, X.shape[1]
            gate_features = self.params.gate_features
            columns = check_columns("gate_features", gate_features, n_columns, names)
            check_gate_columns(X, units, columns, numeric_names(names, None, n_columns))


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a data frame."""
    if hasattr(X, "dtypes"):
        return ", ".join(sorted({str(dtype) for dtype in np.ravel(X.dtypes)}))
    return str(getattr(X, "dtype", type(X).__name__))


def rows_of_block(index: int, block: Any) -> Rows:
    """The entries of a block as they are given."""
    if not isinstance(block, tuple) or len(block) not in range(2, len(ENTRIES) + 1):
        raise ValueError(
            f"block {index} must be a tuple (X, y), followed by sample_weight, offset, units and "
            f"known_experts, if there are any; got {type(block).__name__}. Yield such tuples from "
            "the factory."
        )
    entries = *block, *[None] * (len(ENTRIES) - len(block))
    *fields, possible = entries
    return Rows(*fields)._replace(possible=possible)


# --- the first pass -----------------------------------------------------------------------------


class Moments(NamedTuple):
    """Total weight of the rows, and mean and standard deviation of the columns.

    Standard deviations are finite and positive where variances, which are squares, would overflow
    or vanish.
    """

    weight: float
    mean: Array
    std: Array


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of X."""
    mean, std = fit_standardization(X, weight)
    return Moments(float(weight.sum()), mean, np.where(np.isfinite(std), std, 0.0))


def merge_moments(old: Moments, new: Moments) -> Moments:
    """Moments of the rows of both."""
    total = old.weight + new.weight
    fraction, change = new.weight / total, new.mean - old.mean
    mean = old.mean + fraction * change
    within = np.hypot(np.sqrt(1.0 - fraction) * old.std, np.sqrt(fraction) * new.std)
    between = np.sqrt(fraction * (1.0 - fraction)) * np.abs(change)
    return Moments(total, mean, np.hypot(within, between))


def output_scale(moments: Moments, of_constant: float = 1.0) -> Standardization:
    """Standardisation of outputs; constant outputs are centred but not scaled."""
    constant = moments.std <= CONSTANT_RTOL * np.abs(moments.mean)
    return Standardization(moments.mean, np.where(constant, of_constant, moments.std))


class BlockSummary(NamedTuple):
    """What the first pass adds up over the blocks; rows of weight zero are only counted."""

    n_rows: int  # those of weight zero included
    n_present: int  # of positive weight
    features: dict[Any, Moments]  # of the rows of each label; of all rows, for None
    feature_range: Array
    outputs: Moments | None
    sample: Rows  # the rows with the smallest random keys, in the order of the keys
    keys: Array  # of rows, the same for the rows of a unit
    unit_labels: Array | None  # of all units
    n_known: int  # of the rows, or units
    row_arguments: Set[str]  # that are given and make a difference

    def select(self, index: Array) -> BlockSummary:
        """The same with some of the rows of the sample."""
        return self._replace(sample=self.sample.take(index), keys=self.keys[index])

    def subsample(self, size: int) -> BlockSummary:
        """The same with a uniform sample of the rows, or units: those with the smallest keys."""
        order = np.argsort(self.keys, kind="stable")
        if len(order) > size:  # of a unit that does not fit in as a whole nothing is kept
            keys = self.keys[order]
            n_kept = int(np.searchsorted(keys, keys[size]))
            order = order[: n_kept or int(np.searchsorted(keys, keys[0], side="right"))]
        return self.select(order)


class FirstPass(NamedTuple):
    """Results of the first pass."""

    # Random sample of rows, with weights that sum to the total weight, or of units.
    sample: Rows
    n_rows: int
    feature_scaling: Standardization
    feature_range: Array
    target_scaling: Standardization | None
    class_weights: dict[Any, float] | None
    sample_factor: float  # by which the units of the sample stand for all units
    attributes: dict[str, Any]  # fitted attributes


def first_pass(blocks: RowBlocks, checker: BlockChecker) -> FirstPass:
    """Check all blocks, and compute moments, class weights and a sample of the rows."""
    task = checker.params.task
    if isinstance(blocks, DaskBlocks):
        checker(0, blocks.first())  # the other blocks are compared with the first one
        offsets = np.cumsum([0, *blocks.map(_n_present)]).tolist()
        found = blocks.map_reduce(
            lambda index, block: _summarize(checker, offsets[index], index, block), _merge
        )
    else:
        found = None
        for index, block in enumerate(blocks):
            summary = _summarize(checker, 0 if found is None else found.n_present, index, block)
            found = merge_optional(_merge, found, summary)
    if found is None or not found.n_present:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {found.n_rows if found else 0} "
            "rows, none of positive weight. Return a new iterator from the factory at each call."
        )
    sample, labels, weights = found.sample, found.unit_labels, None
    attributes: dict[str, Any] = {"n_features_in_": checker.n_features_in_}
    if checker.feature_names is not None:
        attributes["feature_names_in_"] = checker.feature_names
    # Penalties must have the same weight relative to the sample as to all rows.
    factor = sum(part.weight for part in found.features.values()) / sample.weight.sum()
    if labels is None:
        sample, factor = sample._replace(weight=factor * sample.weight), 1.0
    else:
        sample = sample._replace(unit=encode_units(found.keys)[1])
        attributes["n_units_"] = len(labels)
    if task.is_classification:
        classes, weights = _classes_and_weights(blocks, task.class_weight, found.features)
        sample = sample._replace(y=class_codes(sample.y, classes))
        checker.classes = classes
        attributes["classes_"] = classes
    else:
        check_size(sample.y, whole=True)
        attributes["_single_output"] = sample.y.ndim == 1
    if found.n_known:
        attributes["n_known_"] = found.n_known
    attributes["_row_arguments"] = tuple(sorted(found.row_arguments))
    parts = [
        part._replace(weight=part.weight * (1.0 if weights is None else weights[label]))
        for label, part in found.features.items()
    ]
    features = reduce(merge_moments, [part for part in parts if part.weight > 0.0])
    return FirstPass(
        sample,
        found.n_rows,
        output_scale(features, np.inf),
        found.feature_range,
        None if found.outputs is None else output_scale(found.outputs),
        weights,
        factor,
        attributes,
    )


def _n_present(index: int, block: Any) -> int:
    """Number of rows of positive weight in a block."""
    given = rows_of_block(index, block)
    weight = np.ones(len(given.y)) if given.weight is None else np.asarray(given.weight)
    return int(np.count_nonzero(weight > 0.0))


def _summarize(checker: BlockChecker, row_offset: int, index: int, block: Any) -> BlockSummary:
    """Statistics of a block.

    The random keys of the sample depend on the number of the row in the data set, counted from
    `row_offset`, so that the sample does not depend on the sizes of the blocks. The seed is the
    same for all fits, whose lower bounds can be compared then.
    """
    rows = checker(index, block)
    n_rows, rows = rows.n_rows, rows.of_positive_weight()
    n_present, features, outputs = rows.n_rows, {}, None
    feature_range = np.full((2, rows.X.shape[1]), np.nan)
    if n_present:
        feature_range = fit_feature_range(rows.X)
    if n_present and checker.params.task.is_classification:  # labels have a weight in common
        labels, codes = np.unique(rows.y, return_inverse=True)
        features = {
            label: compute_moments(rows.X[codes == code], rows.weight[codes == code])
            for code, label in enumerate(labels.tolist())
        }
    elif n_present:
        features = {None: compute_moments(rows.X, rows.weight)}
        outputs = compute_moments(point_values(rows.y).reshape(n_present, -1), rows.weight)
    keys = np.random.Generator(np.random.PCG64(SAMPLE_SEED).advance(row_offset)).random(n_present)
    units = None
    if rows.unit is not None:
        runs, units = unit_runs(rows.unit), np.unique(rows.unit)
        keys = keys[np.unique(runs, return_index=True)[1]][runs]
    return BlockSummary(
        *(n_rows, n_present, features, feature_range, outputs),
        *(rows._replace(unit=None), keys, units),
        *(rows.n_known, rows.effective_arguments(rows)),
    ).subsample(MAX_INIT_ROWS)


def _merge(one: BlockSummary, other: BlockSummary) -> BlockSummary:
    """Statistics of the rows of two sets of blocks."""
    check_units_apart(one.unit_labels, other.unit_labels)
    if len(one.keys) == MAX_INIT_ROWS:  # larger keys cannot enter the sample
        other = other.select(np.flatnonzero(other.keys < one.keys[-1]))
    in_both = {
        label: merge_moments(moments, other.features[label])
        for label, moments in one.features.items()
        if label in other.features
    }
    return BlockSummary(
        one.n_rows + other.n_rows,
        one.n_present + other.n_present,
        one.features | other.features | in_both,
        merge_feature_ranges(one.feature_range, other.feature_range),
        merge_optional(merge_moments, one.outputs, other.outputs),
        concat([one.sample, other.sample]),
        np.concatenate([one.keys, other.keys]),
        merge_optional(np.union1d, one.unit_labels, other.unit_labels),
        one.n_known + other.n_known,
        one.row_arguments | other.row_arguments,
    ).subsample(MAX_INIT_ROWS)


def merge_optional(merge: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Merge two optional block statistics; the result is None if both are None."""
    if one is None or other is None:
        return other if one is None else one
    return merge(one, other)


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
    cut: Any = [] if one is None or other is None else np.intersect1d(one, other)
    if len(cut):
        raise ValueError(
            f"RowBlocks must have all rows of a unit in one block; unit {shown(cut[0])} is in "
            "several. Sort the rows by unit, and let blocks end where a unit ends."
        )


# --- passes of EM -------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlockSource:
    """Re-iterable source of row blocks; it replaces an in-memory `Dataset`."""

    blocks: RowBlocks  # of the user
    checker: BlockChecker  # in each pass
    preprocessor: Preprocessor
    first_pass: FirstPass

    @property
    def n_rows(self) -> int:
        """Number of rows, those without weight included."""
        return self.first_pass.n_rows

    @property
    def has_known(self) -> bool:
        """Whether something is known of the experts of some rows."""
        return "n_known_" in self.first_pass.attributes

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
        if n_rows != self.n_rows:
            raise ValueError(
                "RowBlocks must give the same rows in each pass; the first gave "
                f"{self.n_rows} rows, a later one {n_rows}. Return a new iterator over the same "
                "rows at each call."
            )

    def rows(self, index: int, block: Any) -> tuple[Dataset, int]:
        """Data set of the rows of positive weight in a block, and the number of all its rows."""
        rows, classes = self.checker(index, block), self.checker.classes
        n_rows = rows.n_rows
        if classes is not None:
            of_classes = self.first_pass.class_weights
            weight = class_weights(of_classes, classes, rows.y, rows.weight)
            rows = rows._replace(weight=weight)
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
        first = self.first_pass._replace(sample=self.first_pass.sample.take(slice(0)))
        without_sample = replace(self, blocks=RowBlocks(tuple), first_pass=first)

        map_block = partial(_map_block, without_sample, block_fn)
        return [self.blocks.map_reduce(map_block, partial(merge_optional, add_fields))]


def _map_block(
    source: BlockSource, block_fn: Callable[[Dataset], Any], index: int, block: Any
) -> Any:
    """Sum of a function over parts of a block; None if no row has positive weight."""
    rows, _ = source.rows(index, block)
    return reduce(add_fields, map(block_fn, split_into_blocks(rows))) if len(rows.weight) else None
