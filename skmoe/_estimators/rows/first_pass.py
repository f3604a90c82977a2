"""Row blocks as the rows of a fit: a first pass for moments, weights and a sample.

Blocks are checked against the first one, and are read again in each pass of EM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from copy import copy
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from skmoe._data import preprocessing
from skmoe._data import rows as row_data
from skmoe._data.blocks import ENTRIES, DaskBlocks, RowBlocks, dask_blocks
from skmoe._data.censored_targets import point_values
from skmoe._data.checks import check_columns, has_bounds, shown
from skmoe._data.preprocessing import Preprocessor, Standardization
from skmoe._data.rows import Dataset, RowRules, Rows
from skmoe._data.units import check_gate_columns, encode_units, unit_runs
from skmoe._estimators.parameters.conflicts import BLOCKS, EFFECTS, NO_UNITS, check_conflicts
from skmoe._estimators.parameters.parameters import FitParameters, identity_scaling
from skmoe._estimators.parameters.parts import check_takes
from skmoe._estimators.rows import training_data
from skmoe._numerics.linalg import add_fields
from skmoe._numerics.typing import Array, Design

# Maximum number of rows of a sample for the initialisation.
MAX_INIT_ROWS = 20_000


def rows_in_blocks(given: Rows) -> Rows:
    """Dask collections as row blocks; other rows as they are."""
    if not row_data.is_dask(given.X):
        return given
    if given.time is not None:
        check_conflicts({"time": "time", BLOCKS: "X as a Dask collection"})
    blocks = dask_blocks(given.X, given.y, **given.arguments)
    return Rows(blocks, group=given.group, metadata=given.metadata)


# --- passes of EM -------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class BlockSource(BaseEstimator):
    """Blocks of rows in the place of a `Dataset`, checked against the first of them.

    It receives `n_features_in_` and `feature_names_in_` of that block from scikit-learn. What the
    first pass finds is set after it.
    """

    blocks: Any
    params: FitParameters
    # dtype of X, and shapes of a row of y and of the offset, if there is one
    kind: tuple[str, tuple, tuple | None] | None = None
    classes: Array | None = None
    n_rows: int = 0  # those without weight included
    has_known: bool = False  # whether something is known of the experts of some rows
    preprocessor: Preprocessor | None = None

    def __iter__(self) -> Iterator[Dataset]:
        n_rows = 0
        for index, block in enumerate(self.blocks):
            dataset, n_block_rows = self.dataset(index, block)
            n_rows += n_block_rows
            yield from row_data.split_into_blocks(dataset)
        if n_rows != self.n_rows:
            raise ValueError(
                "RowBlocks must give the same rows in each pass; the first gave "
                f"{self.n_rows} rows, a later one {n_rows}. Return a new iterator at each call."
            )

    def dataset(self, index: int, block: Any) -> tuple[Dataset, int]:
        """Data set of the rows of positive weight in a block, and the number of all its rows."""
        rows, preprocessor = self.checked(index, block), self.preprocessor
        assert preprocessor is not None
        n_rows = rows.n_rows
        weight = self.params.task.row_weights(rows.y, self.classes, rows.weight)
        rows = rows._replace(weight=weight)
        rows = rows.of_positive_weight() if rows.series is None else rows
        target = preprocessor.standardize_target(rows.y)
        dataset = preprocessor.assemble(rows.X, target, rows)
        if rows.unit is not None and rows.series is None and rows.n_rows:
            dataset = preprocessor.group_by_unit(dataset, unit_runs(rows.unit))
        return dataset, n_rows

    def checked(self, index: int, block: Any) -> Rows:
        """Checked rows of a block; labels are encoded after the first pass."""
        given, is_first, params = rows_of_block(index, block), self.kind is None, self.params
        shape = None if given.offset is None else np.shape(given.offset)[1:]
        of_target = *np.shape(given.y)[1:], *["bounds"] * has_bounds(given.y)
        kind = _dtypes(given.X), of_target, shape
        first = self.kind = kind if self.kind is None else self.kind
        if kind != first:
            like, found = (
                f"X of dtype {dtype}, rows of y of shape {of_y}, and of offset of shape {offset}"
                for dtype, of_y, offset in (first, kind)
            )
            raise ValueError(
                f"block {index} must be like the first, with {like}; got {found}. Convert the "
                "blocks in the factory, and yield an offset of zeros where there is none."
            )
        of_series, of_effects = params.gate.persists, params.random_features is not None
        rules = RowRules(self, params.task.is_classification, params.n_experts, is_first, True)
        rules = rules._replace(classes=self.classes, of_series=of_series, of_effects=of_effects)
        try:
            check_takes(given, params.expert_parameter, params.expert, params.density)
            if of_effects and given.unit is None:
                check_conflicts({EFFECTS: EFFECTS, NO_UNITS: NO_UNITS})
            rows = row_data.checked_rows(given, rules)
            training_data.check_support(params, rows.y, rows.weight)
            if of_series:
                rows = _with_series(rows, given.unit)
            if rows.unit is not None:
                self._check_units(rows.X, rows.unit)
        except ValueError as error:
            message = str(error).replace(type(self).__name__, "the first block")
            raise ValueError(f"block {index}: {message}") from error
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
        if self.params.gate.depends_on_features and not self.params.gate.persists:
            names, n_columns = getattr(self, "feature_names_in_", None), X.shape[1]
            gate_features = self.params.gate_features
            columns = check_columns("gate_features", gate_features, n_columns, names)
            check_gate_columns(X, units, columns, row_data.feature_labels(names, n_columns))


def _with_series(rows: Rows, units: Any) -> Rows:
    """Rows of a block whose units are series, in the order in which they are given."""
    if units is None:
        raise ValueError(
            'gate="markov" needs units in row blocks, each with all rows of some units in the '
            "order of time. Yield the units with every block."
        )
    labels = np.asarray(units)
    return rows._replace(unit=labels, series=unit_runs(labels), time=np.arange(rows.n_rows))


class DaskBlockSource(BlockSource):
    """Row blocks on Dask workers, where statistics are computed and summed."""

    def map_blocks(self, block_fn: Callable[[Dataset], Any], source: DaskBlockSource) -> list[Any]:
        """Map-reduce over the Dask blocks; returns a list of one entry for the caller's reduce."""
        of_worker = copy(self)
        of_worker.blocks = None
        map_block = partial(_map_block, of_worker, block_fn)
        return [self.blocks.map_reduce(map_block, _add_if_any)]


def _map_block(
    source: BlockSource, block_fn: Callable[[Dataset], Any], index: int, block: Any
) -> Any:
    """Sum of a function over parts of a block; None if no row has positive weight."""
    rows, _ = source.dataset(index, block)
    if not len(rows.weight):
        return None
    return reduce(add_fields, map(block_fn, row_data.split_into_blocks(rows)))


def _add_if_any(one: Any, other: Any) -> Any:
    """Sums of two sets of blocks, of which either may have no rows."""
    found = [own for own in (one, other) if own is not None]
    return reduce(add_fields, found) if found else None


def _dtypes(X: Any) -> str:
    """The dtype of an array, or those of the columns of a data frame, and whether these are named.

    Scikit-learn would warn in each pass of names that some blocks have.
    """
    dtypes = getattr(X, "dtypes", getattr(X, "dtype", type(X).__name__))
    is_named = all(isinstance(name, str) for name in getattr(X, "columns", [0]))
    return ", ".join(sorted({str(own) for own in np.ravel(dtypes)})) + " with names" * is_named


def rows_of_block(index: int, block: Any) -> Rows:
    """The entries of a block as they are given."""
    if not isinstance(block, tuple) or len(block) not in range(2, len(ENTRIES) + 1):
        raise ValueError(
            f"block {index} must be a tuple (X, y), followed by sample_weight, offset, units, "
            f"known_experts and var_weights; got {type(block).__name__}. Yield such tuples."
        )
    entries: Any = (*block, *[None] * (len(ENTRIES) - len(block)))
    X, y, weight, offset, unit, possible, n_values = entries
    return Rows(X, y, weight, offset, unit, possible=possible, n_values=n_values)


# --- the first pass -----------------------------------------------------------------------------


class Moments(NamedTuple):
    """Total weight of the rows, and mean and standard deviation of the columns.

    Standard deviations are finite and positive where variances, which are squares, would overflow
    or vanish.
    """

    weight: float
    mean: Array
    std: Array

    def scaling(self, of_constant: float) -> Standardization:
        """Standardisation of the columns, with a scale of constant ones."""
        constant = self.std <= preprocessing.CONSTANT_RTOL * np.abs(self.mean)
        return Standardization(self.mean, np.where(constant, of_constant, self.std))


def compute_moments(X: Design, weight: Array) -> Moments:
    """Moments of the columns of X."""
    scaling = preprocessing.fit_standardization(X, weight, of_constant=0.0)
    return Moments(float(weight.sum()), *scaling)


def merge_moments(old: Moments, new: Moments) -> Moments:
    """Moments of the rows of both."""
    total = old.weight + new.weight
    fraction, change = new.weight / total, new.mean - old.mean
    mean = old.mean + fraction * change
    within = np.hypot(np.sqrt(1.0 - fraction) * old.std, np.sqrt(fraction) * new.std)
    between = np.sqrt(fraction * (1.0 - fraction)) * np.abs(change)
    return Moments(total, mean, np.hypot(within, between))


class BlockSummary(NamedTuple):
    """What the first pass adds up over the blocks; rows of weight zero are only counted."""

    n_rows: int  # those of weight zero included
    n_known: int  # of the rows, or units
    features: dict[Any, Moments]  # of the rows of each label; of all rows, for None
    outputs: dict[None, Moments]
    feature_range: Array
    sample: Rows  # the rows with the smallest random keys, which are their groups
    unit_labels: Array | None  # of all units
    row_arguments: Set[str]  # that are given and make a difference


def first_pass(
    estimator: Any, params: FitParameters, blocks: RowBlocks
) -> tuple[training_data.TrainingData, BlockSource]:
    """Check all blocks: a sample of rows, or units, with the scaling of all rows, and the source.

    The weights of sampled rows sum to the total weight; sampled units stand for all units.
    """
    source: Any = (DaskBlockSource if isinstance(blocks, DaskBlocks) else BlockSource)(None, params)
    found = _summary_of(blocks, source)
    sample, labels, task, target_scaling = found.sample, found.unit_labels, params.task, None
    attributes: dict[str, Any] = {"n_features_in_": source.n_features_in_}
    if hasattr(source, "feature_names_in_"):
        attributes["feature_names_in_"] = source.feature_names_in_
    # Penalties must have the same weight relative to the sample as to all rows.
    factor = sum(part.weight for part in found.features.values()) / sample.weight.sum()
    unit = None
    if labels is None:
        sample, factor = sample._replace(weight=factor * sample.weight), 1.0
    else:
        unit, attributes["n_units_"] = encode_units(sample.group)[1], len(labels)
    if params.gate.persists:
        attributes["n_series_"] = attributes.pop("n_units_")
        series, time = unit_runs(sample.group), np.arange(sample.n_rows)
        sample, unit = sample._replace(series=series, time=time), None
    sample, features = sample._replace(group=None, unit=unit), found.features
    if task.is_classification:
        classes = np.unique(np.array(list(features)))
        sample = sample._replace(y=row_data.class_codes(sample.y, classes))
        source.classes = attributes["classes_"] = classes
        totals = np.array([features[label].weight for label in classes.tolist()])
        weights = row_data.class_weights(
            task.class_weight, classes, np.arange(len(classes)), totals
        )
        if task.class_weight is not None:
            factors = dict(zip(classes.tolist(), (weights / totals).tolist(), strict=True))
            task = replace(task, class_weight=factors)
        weighted = zip(classes.tolist(), weights.tolist(), strict=True)
        features = {label: features[label]._replace(weight=w) for label, w in weighted if w > 0.0}
    else:
        whole = RowRules(None, of_classes=False, n_experts=params.n_experts, is_first=True)
        row_data.checked_target(sample.y, whole, sample.n_rows)
        attributes["_single_output"] = sample.y.ndim == 1
        target_scaling = found.outputs[None].scaling(1.0)
        if has_bounds(sample.y) or not params.standardizes_target:
            target_scaling = identity_scaling(len(target_scaling.center))
    if found.n_known:
        attributes["n_known_"] = found.n_known
    attributes["_row_arguments"] = tuple(sorted(found.row_arguments))
    source.params, source.blocks = params._replace(task=task), blocks
    source.n_rows, source.has_known = found.n_rows, found.n_known > 0
    of_columns = training_data.with_columns(estimator, params, sample, attributes)
    data = training_data.with_class_weights(task, of_columns)
    return data._replace(
        feature_scaling=reduce(merge_moments, features.values()).scaling(np.inf),
        feature_range=found.feature_range,
        target_scaling=target_scaling,
        unit_factor=factor,
    ), source


def _summary_of(blocks: RowBlocks, source: BlockSource) -> BlockSummary:
    """Statistics of all blocks."""
    found: Any
    if isinstance(blocks, DaskBlocks):
        source.checked(0, blocks.first())  # the other blocks are compared with the first one
        found = blocks.map_reduce(partial(_summarize, source), _merge)
    else:
        summaries = (_summarize(source, index, block) for index, block in enumerate(blocks))
        found = next(summaries, None)
        found = found and reduce(_merge, summaries, found)
    if found is None or not found.sample.n_rows:
        raise ValueError(
            f"RowBlocks must give some rows of positive weight; got {found.n_rows if found else 0} "
            "rows, none of positive weight. Return a new iterator from the factory at each call."
        )
    return found


def _summarize(source: BlockSource, index: int, block: Any) -> BlockSummary:
    """Statistics of a block.

    The seed of the random keys is the same for all fits, whose lower bounds can be compared then.
    """
    rows = source.checked(index, block)
    n_rows = rows.n_rows
    rows = rows.of_positive_weight() if rows.series is None else rows
    features, outputs = {}, {}
    feature_range = np.full((2, rows.X.shape[1]), np.nan)
    if rows.n_rows:
        feature_range = preprocessing.fit_feature_range(rows.X)
    if rows.n_rows and source.params.task.is_classification:  # labels have a weight in common
        labels, codes = np.unique(rows.y, return_inverse=True)
        features = {
            label: compute_moments(rows.X[codes == code], rows.weight[codes == code])
            for code, label in enumerate(labels.tolist())
        }
    elif rows.n_rows:
        features = {None: compute_moments(rows.X, rows.weight)}
        values = point_values(rows.y).reshape(rows.n_rows, -1)
        outputs = {None: compute_moments(values, rows.weight)}
    keys, units = np.random.default_rng([row_data.SAMPLE_SEED, index]).random(rows.n_rows), None
    if rows.unit is not None:
        keys, units = keys[unit_runs(rows.unit)], np.unique(rows.unit)
    given = rows._replace(time=None)  # the order of rows in blocks is that of time
    return BlockSummary(
        *(n_rows, rows.n_known, features, outputs, feature_range),
        *(_sampled([rows._replace(unit=None, group=keys)]), units, given.effective_arguments(rows)),
    )


def _merge(one: BlockSummary, other: BlockSummary) -> BlockSummary:
    """Statistics of the rows of two sets of blocks."""
    features, outputs = (
        a | b | {label: merge_moments(a[label], b[label]) for label in a.keys() & b.keys()}
        for a, b in ((one.features, other.features), (one.outputs, other.outputs))
    )
    return BlockSummary(
        one.n_rows + other.n_rows,
        one.n_known + other.n_known,
        features,
        outputs,
        preprocessing.merge_feature_ranges(one.feature_range, other.feature_range),
        _sampled([one.sample, other.sample]),
        _units_of_both(one.unit_labels, other.unit_labels),
        one.row_arguments | other.row_arguments,
    )


def _units_of_both(one: Array | None, other: Array | None) -> Array | None:
    """Labels of units; none may be in two blocks, and all blocks must have units, or none."""
    if one is None and other is None:
        return None
    if one is None or other is None:
        raise ValueError(
            "RowBlocks must have units in every block or in none; some blocks have none. Yield the "
            "units with every block."
        )
    labels, counts = np.unique(np.concatenate([one, other]), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"RowBlocks must have all rows of a unit in one block; unit "
            f"{shown(labels[counts.argmax()])} is in several. Sort the rows by unit, and let "
            "blocks end where a unit ends."
        )
    return labels


def _sampled(parts: Sequence[Rows]) -> Rows:
    """A uniform sample of the rows, or units: those with the smallest keys.

    Of a unit that does not fit in as a whole nothing is kept, unless it is the only one.
    """
    keys, limit = np.sort(np.concatenate([rows.group for rows in parts])), np.inf
    if len(keys) > MAX_INIT_ROWS:
        limit = max(keys[MAX_INIT_ROWS], np.nextafter(keys[0], 1.0))
    return row_data.concat([rows.take(np.flatnonzero(rows.group < limit)) for rows in parts])
