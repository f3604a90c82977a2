"""Rows: as users give them, checked, and in the form in which gate and experts are fitted.

Arguments with an entry for each row are checked and converted once, those of a fit, of one of its
blocks, and of new rows. Errors name the argument, the rule, the value or the column, and a remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from skmoe._data import checks, encoding
from skmoe._data import series as series_data
from skmoe._data.censored_targets import checked_bounds, is_unknown, point_values, simplified
from skmoe._data.checks import has_bounds, shown
from skmoe._data.encoding import Encoder, column_of, is_category, is_date, types_of
from skmoe._data.outcomes import check_no_missing, observed_weight, stacked_outcomes
from skmoe._data.units import Units, check_known_experts, encode_units, first_rows, join_groups
from skmoe._numerics.linalg import OffsetDesign
from skmoe._numerics.typing import Array, Design

# Number of rows for which a block of a design matrix and its products fit into the cache.
BLOCK_ROWS = 2048

# Number of rows of a block, from BLOCK_ROWS to MAX_BLOCK_ROWS, so that a dense design matrix has at
# most about BLOCK_ELEMENTS elements. Sparse blocks are larger: their operations have more overhead.
MAX_BLOCK_ROWS = 8192
BLOCK_ELEMENTS = 110_000
SPARSE_BLOCK_ROWS = 16_384

# Number of blocks that are one where rows are series.
BLOCKS_OF_SERIES = 8

# Seed of samples of the rows, the same for all fits: the scale of the prior of dispersions depends
# on the sample, and lower bounds of two fits can be compared only with one prior.
SAMPLE_SEED = 0


# Arguments of `fit` with an entry for each row, besides X, y and groups, by their fields.
ARGUMENTS = {
    "weight": "sample_weight",
    "offset": "offset",
    "unit": "units",
    "time": "time",
    "possible": "known_experts",
    "n_values": "var_weights",
}


class Rows(NamedTuple):
    """Rows of a table with what belongs to each of them: as users give them, and once validated."""

    X: Any
    y: Any = None  # outputs (n,) or (n, m), or class codes (n,); None where it is not known
    weight: Any = None
    offset: Any = None  # of the linear predictors, (n,) or (n, m)
    unit: Any = None  # whose rows have one latent expert; None for each row its own
    group: Any = None  # whose rows are on one side of every fold
    metadata: Mapping[str, Any] = {}  # for the fits of experts that are estimators
    # Experts that may have generated each row: `known_experts` of `fit`, and once validated boolean
    # (n, K), the same in all rows of a unit. None if nothing is known.
    possible: Any = None
    # What orders the rows of series, and once validated their ranks and the series of each.
    time: Any = None
    series: Any = None
    n_values: Any = None  # of which each y is the mean; None for one

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def arguments(self) -> dict[str, Any]:
        """What the rows have besides X and y, by the names of the arguments of `fit`."""
        given = {name: getattr(self, field) for field, name in ARGUMENTS.items()}
        return {name: values for name, values in given.items() if values is not None}

    def effective_arguments(self, checked: Rows) -> set[str]:
        """Names of the arguments without which the checked rows would be others."""
        kept = {name for name in self.arguments if name in checked.arguments}
        ones = [1.0]
        if checked.series is not None:
            kept |= {"units", "time"} & set(self.arguments)
            ones = [0.0, 1.0]  # where y is missing, the weight is zero
        return kept - ({"sample_weight"} if np.isin(checked.weight, ones).all() else set())

    @property
    def unit_codes(self) -> Array:
        """Number of the unit of each row, in the order of the labels of units."""
        return np.arange(self.n_rows) if self.unit is None else encode_units(self.unit)[1]

    @property
    def fold_group(self) -> Array | None:
        """Groups of rows that are on one side of every fold: of the user, and units or series."""
        whole = self.unit if self.series is None else series_data.parts_of_folds(self.series)
        return join_groups(self.group, whole)

    @property
    def n_known(self) -> int:
        """Number of rows, or units, of which something is known."""
        if self.possible is None:
            return 0
        known = ~self.possible.all(axis=1)
        return int(known.sum()) if self.unit is None else len(np.unique(self.unit[known]))

    def take(self, index: Array | slice) -> Rows:
        """The rows at an index."""
        fields: dict[str, Any] = {}
        for name in BY_ROW:
            values = getattr(self, name)
            if values is not None:
                is_array = isinstance(values, np.ndarray)
                fields[name] = values[index] if is_array else index_rows(values, index)
        fields["metadata"] = {name: values[index] for name, values in self.metadata.items()}
        return Rows(**fields)

    def in_time_order(self) -> Rows:
        """Validated rows of series, one series after another."""
        rows = self.take(np.argsort(self.time))
        return rows._replace(time=np.arange(rows.n_rows))

    def of_positive_weight(self) -> Rows:
        """The rows of positive weight: those of weight zero are absent, whatever they hold.

        Rows of series stay, since transitions lead over those whose y is missing.
        """
        if self.series is not None:
            return self
        kept = np.flatnonzero(self.weight > 0.0)
        return self if len(kept) == len(self.weight) else self.take(kept)

    def of_known_y(self) -> Rows:
        """The rows of units whose y is no NaN."""
        rows = self.take(np.flatnonzero(~np.isnan(self.y).any(axis=-1)))
        return rows._replace(unit=rows.unit_codes)

    def of_n_experts(self, number: int) -> Rows:
        """Rows whose possible experts are of a larger number; the others are of unknown rows."""
        if self.possible is None:
            return self
        n_others = number - self.possible.shape[1]
        others = np.tile(self.possible.all(axis=1)[:, None], n_others)
        return self._replace(possible=np.hstack([self.possible, others]))


# Values of rows that lack a field which other rows have.
ABSENT = {"weight": 1.0, "offset": 0.0, "possible": True, "n_values": 1.0}

# Fields of rows with an entry for each row.
BY_ROW = tuple(name for name in Rows._fields if name != "metadata")


def concat(tables: Sequence[Rows]) -> Rows:
    """Validated rows of several tables, one after another.

    Units of different tables are different units. Rows of tables without offsets have 0, and
    those of which nothing is known may be of all experts.
    """
    tables = _with_units_apart(tables)
    fields: dict[str, Any] = {"X": stack_rows([rows.X for rows in tables])}
    for name in BY_ROW[1:]:
        values = [getattr(rows, name) for rows in tables]
        given = [v for v in values if v is not None]
        if name in ABSENT and given:  # of one shape for all: an offset may be that of all outputs
            shape = max((v.shape[1:] for v in given), key=len)
            values = [np.asarray(ABSENT[name]) if v is None else v.T for v in values]
            sizes = [(*shape[::-1], rows.n_rows) for rows in tables]
            values = [np.broadcast_to(*pair).T for pair in zip(values, sizes, strict=True)]
        fields[name] = None if any(v is None for v in values) else np.concatenate(values)
    return Rows(**fields)


def _with_units_apart(tables: Sequence[Rows]) -> Sequence[Rows]:
    """Tables whose units have numbers of their own; without units if none has any."""
    if all(rows.unit is None for rows in tables):
        return tables
    numbered, n_units = [], 0
    for rows in tables:
        unit = n_units + (np.arange(rows.n_rows) if rows.unit is None else rows.unit)
        n_units = int(unit.max(initial=n_units - 1)) + 1
        numbered.append(rows._replace(unit=unit))
    return numbered


class RawFeatures(NamedTuple):
    """Features as the user gave them, for experts that are estimators."""

    X: Any  # array, CSR array or data frame
    fold: Array | None = None  # of each row in cross-fitting; None for new rows or without folds
    metadata: dict[str, Array] = {}  # noqa: RUF012  # for the fits of the experts
    offset: Array | None = None  # log exposures, (n,) or (m, n)
    groups: Array | None = None  # of the rows, for folds inside of the experts

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.X.shape

    def take(self, index: Array | slice) -> RawFeatures:
        """The rows at an index."""
        metadata = {name: values[index] for name, values in self.metadata.items()}
        offset = None if self.offset is None else self.offset[..., index]
        fold, groups = (None if v is None else v[index] for v in (self.fold, self.groups))
        return RawFeatures(index_rows(self.X, index), fold, metadata, offset, groups)


def by_output(values: Any) -> Any:
    """Values (n,) as they are, and values (n, m) of outputs as (m, n), as gate and experts need."""
    return None if values is None else np.ascontiguousarray(values.T)


def stack_rows(parts: Sequence[Any]) -> Any:
    """Rows of several arrays or CSR arrays, one after another: sparse only if all of them are."""
    if all(sparse.issparse(part) for part in parts):
        return sparse.csr_array(sparse.vstack(parts))
    return np.concatenate([part.toarray() if sparse.issparse(part) else part for part in parts])


def is_dask(X: Any) -> bool:
    """Whether X is a Dask array or data frame."""
    return callable(getattr(X, "__dask_graph__", None)) and hasattr(X, "ndim")


def index_rows(X: Any, index: Any) -> Any:
    """Rows of an array, a sparse array, a data frame, a series or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[index]
    return X[index] if hasattr(X, "shape") else np.asarray(X)[index]


class Dataset(NamedTuple):
    """Rows in the form in which gate and experts are fitted."""

    gate_design: Design  # one row for each row, or for each unit
    expert_design: Any  # a design matrix, an OffsetDesign, or RawFeatures
    y: Array  # outputs (m, n), or class codes (n,)
    weight: Array
    units: Units | None = None  # whose rows have one latent expert; None for each row its own
    possible: Array | None = None  # experts of each row (K, n) or unit (K, U); None for all
    series: Units | None = None  # whose rows follow one another in time
    log_n: Array | None = None  # logs of the numbers of values, relative to those of the fit

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.weight)

    @property
    def gate_weight(self) -> Array:
        """Weights of the rows of the gate's design: of rows, or of units."""
        if self.series is not None:  # rows whose y is missing count as others do
            return self.series.repeat(self.series.weight)
        return self.weight if self.units is None else self.units.weight

    @property
    def unit_weight(self) -> Array:
        """Total weight of the rows that belong to each row of the gate's design."""
        return self.weight if self.units is None else self.units.sum_rows(self.weight)

    @property
    def has_known(self) -> bool:
        """Whether something is known of the experts of some rows."""
        return self.possible is not None

    def row_responsibilities(self, resp: Array) -> Array:
        """Responsibilities (K, U) of units for each of their rows, (K, n)."""
        return resp if self.units is None else self.units.repeat(resp)

    def rows_of(self, kept: Array | slice) -> Any:
        """Indices of the rows at an index, or of the units or series at a sorted one."""
        whole = self.units if self.series is None else self.series
        return kept if whole is None else whole.rows_of(kept)

    @property
    def n_apart(self) -> int:
        """Number of rows, units or series, which samples and folds keep whole."""
        whole = self.units if self.series is None else self.series
        return self.n_rows if whole is None else len(whole.starts)

    def take(self, kept: Array | slice, factor: float = 1.0) -> Dataset:
        """The rows at an index, or the units at a sorted one, with weights times a factor."""
        units, design, series = self.units, self.expert_design, self.series
        index: Any = kept if units is None else units.rows_of(kept)
        if series is not None:
            index = series.rows_of(kept)
            series, kept = series.take(kept, factor * series.weight[kept]), index
        gate_design, expert_design = self.gate_design[kept], design
        if isinstance(design, RawFeatures):
            expert_design = design.take(index)
        elif design is self.gate_design:
            expert_design = gate_design
        elif isinstance(design, OffsetDesign) and design.matrix is self.gate_design:
            expert_design = OffsetDesign(gate_design, design.offset[..., index])
        else:
            expert_design = design[index]
        if units is not None:
            units = units.take(kept, factor * units.weight[kept])
        possible = None if self.possible is None else self.possible[:, kept]
        weight = factor * self.weight[index]
        y, log_n = self.y[..., index], None if self.log_n is None else self.log_n[index]
        return Dataset(gate_design, expert_design, y, weight, units, possible, series, log_n)


def split_into_blocks(rows: Any, size: int | None = None) -> Any:
    """Blocks of at most `size` rows, or of one unit; they are views of dense arrays.

    Without a size the blocks are of equal size, so that none is too small to be worth its overhead.
    Data sets with raw features are a single block. Objects that are not a `Dataset`, such as a
    `BlockSource`, are returned as they are.
    """
    if not isinstance(rows, Dataset):
        return rows
    n_rows = len(rows.weight)
    if isinstance(rows.expert_design, RawFeatures):
        return [rows]
    if size is None:
        wanted = SPARSE_BLOCK_ROWS
        if not sparse.issparse(rows.gate_design):
            most = max(BLOCK_ELEMENTS / rows.gate_design.shape[1], 1.0)
            wanted = int(np.clip(2 ** int(np.log2(most)), BLOCK_ROWS, MAX_BLOCK_ROWS))
        if rows.series is not None:  # passes over whole series have more overhead
            wanted *= BLOCKS_OF_SERIES
        n_blocks = max(round(n_rows / wanted), 1)
        size = max(-(-n_rows // n_blocks), 1)
    whole = rows.units if rows.series is None else rows.series
    if whole is not None:
        return [rows.take(slice(*ends)) for ends in _unit_ends(whole, size)]
    return [rows.take(slice(start, start + size)) for start in range(0, n_rows, size)]


def _unit_ends(units: Units, size: int) -> list[tuple[int, int]]:
    """First unit of each block and the one after its last, for blocks of about `size` rows."""
    ends = units.starts + units.sizes
    block = (ends - 1) // size
    first = np.flatnonzero(np.diff(block, prepend=-1))
    return list(zip(first.tolist(), [*first[1:].tolist(), len(ends)], strict=True))


def select_raw_features(rows: Rows, columns: Array | None) -> RawFeatures:
    """What experts that are estimators need of rows; of all columns for None."""
    X = rows.X if columns is None else column_of(rows.X, columns)
    return RawFeatures(X, None, dict(rows.metadata), by_output(rows.offset), rows.fold_group)


# Largest absolute value of an output, and smallest of the largest values of an output: variances,
# which are squares, stay finite and positive.
MAX_TARGET = 1e140
MIN_TARGET = 1e-140

# Parts of messages of scikit-learn, NumPy and pandas on features that are no finite numbers.
CONVERSION_ERRORS = ("X contains", "convert", "dtype", "DType", "float()", "promote")


# What holds rows, but is no table in memory, and remedies.
NO_TABLES = {"LazyFrame": "Pass X.collect().", "RowBlocks": "Call the method for each block."}

# On texts, where experts take numbers.
ADVICE = (
    'Encode categories in a pipeline by OneHotEncoder(drop="first"), or pass a data frame and use '
    'experts that accept categories, which take longer: expert="tree", n_init=1.'
)

# Which numbers are bad features, by their names there, and messages on their column.
BAD_NUMBERS: dict[str, tuple[Any, str]] = {
    "NaN": (
        np.isnan,
        "X must have no missing values unless every expert accepts them; {} of X contains NaN. "
        "Impute it in a pipeline by SimpleImputer(add_indicator=True), or use experts that accept "
        'missing values, which take longer: expert="tree", n_init=1.',
    ),
    "infinity": (
        np.isinf,
        "X must be finite; {} of X contains infinity, or a value too large for its type. Replace "
        "it by a finite value.",
    ),
}


class RowRules(NamedTuple):
    """What rows must be, besides what holds for all rows."""

    owner: Any  # estimator that has, or receives, the number and the names of the features
    of_classes: bool
    n_experts: int
    is_first: bool = False  # whether the owner receives them: there was no fit before
    is_block: bool = False  # of a fit, so that weights may all be zero
    takes_frames: bool = False  # for experts that are estimators
    allow_nan: bool = False
    encoder: Encoder | None = None  # that a fit has found
    n_outputs: int | None = None  # of the fit
    output_names: Sequence[str] = ()  # of the fit
    classes: Array | None = None  # of the fit
    of_series: bool = False  # whether rows follow one another in time, and y may be missing
    of_outcomes: bool = False  # whether outputs have families of their own
    of_effects: bool = False  # whether those of a unit have random effects, and y may be missing


def checked_rows(given: Rows, rules: RowRules, has_target: bool = True) -> Rows:
    """The rows, of which each argument is checked and converted: nothing below asks again.

    Without a target y is None. Offsets that are all zero, and known experts that are all unknown,
    are None too. Labels are encoded if the classes are known.
    """
    X, n_outputs = checked_features(given.X, rules), rules.n_outputs or 1
    y, offset, possible = None, None, None
    n_rows = X.shape[0]
    weight = np.ones(n_rows)
    if given.weight is not None:
        weight = checks.check_weights(given.weight, n_rows, may_be_zero=rules.is_block)
    missing: Any = None
    if has_target:
        is_array, names = isinstance(given.y, np.ndarray), rules.output_names
        target = given.y if is_array else stacked_outcomes(given.y, names)
        in_units = rules.of_effects or (rules.of_classes and given.unit is not None)
        if (rules.of_series or in_units) and target is not None and not has_bounds(target):
            target, missing = series_data.without_missing(
                target, rules.classes, may_be_all=not rules.is_first
            )
        y = checked_target(target, rules, n_rows)
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if y.dtype.kind == "f" and not rules.of_classes and np.isnan(y).any():
            if rules.is_block:
                check_no_missing(np.isnan(y))
            may_be_all = rules.of_series or given.unit is not None
            weight = observed_weight(y, weight, may_be_all, is_first=rules.is_first)
        if has_bounds(y):
            observed_weight(y, weight, True, is_first=rules.is_first and not rules.is_block)
            weight = np.where(is_unknown(y).reshape(n_rows, -1).all(axis=1), 0.0, weight)
            y = y if rules.is_block else simplified(y, rules.is_first & (weight == 0.0))
    if given.offset is not None:
        offset = checks.check_offset(given.offset, n_rows, n_outputs)
        offset = offset if np.any(offset) else None
    n_values = None if given.n_values is None else checks.check_var_weights(given.n_values, n_rows)
    named = {"units": given.unit, "known_experts": given.possible, "groups": given.group}
    named["time"] = given.time
    metadata: dict[str, Array] = {}
    if given.metadata or any(values is not None for values in named.values()):
        metadata = checks.check_metadata(named | dict(given.metadata), n_rows)
    of_rows = "units", "groups", "known_experts", "time"
    unit, group, known, time = (metadata.pop(name, None) for name in of_rows)
    series = None
    if known is not None:
        possible = check_known_experts(
            known, rules.n_experts, weight, None if rules.of_series else unit
        )
    if rules.of_series:
        series, time = series_data.ranks_in_time(unit, time, n_rows)
        series_data.check_weights_of_units(series, weight, 'gate="markov"')
        unit, missing = None, (not has_target) if missing is None else missing
        weight = np.where(missing, 0.0, weight)
    elif time is not None:
        raise ValueError(
            'time orders the rows of gate="markov" only; other gates take rows as independent. '
            'Use gate="markov", or pass the time as a column of X.'
        )
    elif missing is not None:  # in units
        if unit is not None and rules.of_effects:
            series_data.check_weights_of_units(encode_units(unit)[1], weight, "random_features")
        if rules.is_first or rules.is_block or rules.of_classes:
            weight = np.where(missing, 0.0, weight)
        elif missing.any() and y is not None:
            y[missing] = np.nan
    return Rows(X, y, weight, offset, unit, group, metadata, possible, time, series, n_values)


# --- features -------------------------------------------------------------------------------------


def checked_features(X: Any, rules: RowRules) -> Any:
    """Features as an array, a CSR array, or a data frame for experts that take these.

    Errors of scikit-learn are replaced by those that name the column and a remedy.
    """
    encoder, is_first = rules.encoder, rules.is_first
    if type(X) is not np.ndarray or X.dtype.kind not in "fiub":
        _check_types(X, rules.takes_frames)
    if rules.takes_frames and encoding.is_frame(X):
        X = validate_data(rules.owner, X, reset=is_first, skip_check_array=True)
        if encoder is not None:
            check_numbers(X, encoder)
        return encoding.with_floats(X) if hasattr(X, "iloc") else X
    if encoder is not None and encoder.is_frame and encoder.categorical_columns:
        raise ValueError(
            "X must be a data frame with the columns of the fit, of which those at positions "
            f"{encoder.categorical_columns} hold categories; got an array. Pass a data frame."
        )
    is_dense = not sparse.issparse(X)
    try:
        X = validate_data(
            rules.owner,
            X,
            reset=is_first,
            accept_sparse="csr",
            dtype=np.float64 if rules.is_block else [np.float64, np.float32],
            ensure_all_finite="allow-nan" if rules.allow_nan and is_dense else True,
            ensure_min_samples=0 if rules.is_block else 1 + is_first,
        )
    except (TypeError, ValueError) as error:
        message = _message(X, str(error))
        if not message:
            raise
        raise ValueError(message) from None
    if is_dense:
        return X
    return as_csr(X) if encoder is None else X.toarray()


def _check_types(X: Any, takes_frames: bool) -> None:
    """X must have no types that a conversion would misread: durations, categories, fields."""
    if (kind := type(X).__name__) in NO_TABLES:
        raise ValueError(f"X must be an array or a data frame; got a {kind}. {NO_TABLES[kind]}")
    if has_bounds(X):
        raise ValueError(
            f"X must be an array of numbers; got a structured array with the fields "
            f"{', '.join(X.dtype.names)}. Convert it by "
            "numpy.lib.recfunctions.structured_to_unstructured."
        )
    if X is None:
        raise ValueError(
            "X must hold a row of features for each y; got None. Without features pass a column "
            'of ones, expert_features=[], and gate="constant", or "markov" with gate_features=[].'
        )
    # Units of durations would be counted, and categories such as "10" taken as amounts.
    is_plain = len(getattr(X, "shape", ())) == 2 and not (takes_frames and encoding.is_frame(X))
    if is_plain and any(is_date(own) or is_category(own) for own in types_of(X)):
        raise ValueError(_message(X, ""))


def check_no_dates(X: Any, columns: Iterable[int]) -> None:
    """Columns of a frame must not be dates, of which each would be a category, or a number."""
    dates = [j for j in columns if is_date(types_of(column_of(X, j))[0])]
    if dates:
        raise ValueError(_message(column_of(X, dates), ""))


def add_feature_note(error: Exception, X: Any) -> None:
    """Add a note on the column of X that is the reason of an error, if there is one."""
    known = any(part in str(error) for part in CONVERSION_ERRORS)
    message = _message(X, str(error)) if known else ""
    if message:
        error.add_note(message)


def check_numbers(X: Any, encoder: Encoder) -> None:
    """X must not contain infinity, and missing numbers only if all experts accept them."""
    check_no_dates(X, encoder.numeric_columns)
    try:
        values = encoding.numeric_values(encoder, X)
    except Exception as error:  # of pandas or polars
        found = _message(column_of(X, encoder.numeric_columns), "", "Convert it.")
        raise ValueError(found or str(error)) from error
    for is_bad, message in (BAD_NUMBERS["infinity"], BAD_NUMBERS["NaN"]):
        columns = np.flatnonzero(is_bad(values).any(axis=0))
        if len(columns) and not (encoder.allow_nan and is_bad is np.isnan):
            raise ValueError(message.format(_column_name(X, encoder.numeric_columns[columns[0]])))


def _message(X: Any, error: str, advice: str = ADVICE) -> str:
    """Message for an error of scikit-learn or NumPy; empty if no column is its reason."""
    bad = next((bad for name, bad in BAD_NUMBERS.items() if f"X contains {name}" in error), None)
    if bad is not None and sparse.issparse(X):
        columns = sparse.coo_array(X).col[bad[0](sparse.coo_array(X).data)]
        return bad[1].format(f"column {columns.min()}") if len(columns) else ""
    if sparse.issparse(X) or len(np.shape(X)) != 2 or (bad is None and "feature" in error):
        return ""
    X = X if hasattr(X, "columns") else np.asarray(X)
    for j in range(X.shape[1]):
        name, values, remedy = _column_name(X, j), np.asarray(column_of(X, j)), ""
        if bad is not None:
            if bad[0](as_numbers(values)).any():
                return bad[1].format(name)
            continue
        if dates := [own for own in (*types_of(column_of(X, j)), values.dtype) if is_date(own)]:
            return (
                f"X must hold numbers; {name} holds {dates[0]}. Convert it, such as to days since "
                "a date, or to month and weekday."
            )
        found = encoding.first_text(values) if values.dtype.kind in "OUST" else None
        text = None if found is None else shown(found)
        if text is None and is_category(types_of(column_of(X, j))[0]):
            text = f"the category {shown(values.tolist()[0])}"
            remedy = " If they are amounts, convert them by astype(float)."
        if text is not None:
            return f"X must hold numbers; {name} holds {text}. {advice}{remedy}"
    return ""


def _column_name(X: Any, j: int) -> str:
    """A column in a message: its name, or its index."""
    names = getattr(X, "column_names", getattr(X, "columns", range(j + 1)))
    return f"column {names[j]!r}"


def feature_labels(names: Any, n_columns: int, encoder: Encoder | None = None) -> list[str]:
    """Names of the features: those of X, or x0, x1, ..., or of what they are encoded to."""
    own = [f"x{j}" for j in range(n_columns)] if names is None else [str(name) for name in names]
    return own if encoder is None else [made.name(own[made.column]) for made in encoder.features]


def as_csr(X: Any) -> Any:
    """Sparse input as a CSR array with sorted indices and no duplicates.

    Indices are 32-bit integers where they can be: trees accept no others.
    """
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.indices.dtype != np.int32 and max(X.nnz, *X.shape) <= np.iinfo(np.int32).max:
        indices, indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        X = sparse.csr_array((X.data, indices, indptr), shape=X.shape)
    return X


def as_numbers(values: Array) -> Array:
    """Values as floating-point numbers; zeros for what is none."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):  # `pandas.NA` has no conversion
        missing = [value is None or str(value) in ("nan", "<NA>") for value in values]
        return np.where(missing, np.nan, 0.0)


# --- targets --------------------------------------------------------------------------------------


def checked_target(y: Any, rules: RowRules, n_rows: int) -> Array:
    """Labels or their codes (n,), outputs (n,) or (n, m), or bounds of them.

    What is wrong with an array of numbers is asked after an error.
    """
    of_classes, is_censored = rules.of_classes, has_bounds(y)
    is_plain = type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "fiub"
    # Outcomes of different kinds are numbers and truth values.
    is_plain |= rules.of_outcomes and y is not None
    if of_classes or not (is_plain or is_censored):
        check_target(y, of_classes)
    if of_classes:
        values = np.asarray(column_or_1d(y, warn=True))
        if values.dtype == object and {*map(type, values)} <= {bool, np.bool_}:
            values = values.astype(bool)  # scikit-learn takes no truth values that are objects
        assert_all_finite(values, input_name="y")
    elif is_censored:
        values = checked_bounds(y)
    else:
        options = {"ensure_2d": False, "ensure_min_samples": 0, "ensure_all_finite": "allow-nan"}
        try:
            values = check_array(y, dtype=np.float64, input_name="y", **options)
        except ValueError:
            check_target(y, of_classes)
            raise
    if values.shape[:1] != (n_rows,):
        found = len(values) if values.ndim else "one number"
        raise ValueError(f"X and y must have the same number of rows; got {n_rows} and {found}.")
    if of_classes:
        return values if rules.classes is None else class_codes(values, rules.classes)
    # Squares must be representable. In a part of the rows all values may be close to zero.
    points = point_values(values) if is_censored else values
    whole = rules.is_first and not rules.is_block
    largest = np.atleast_1d(np.fmax.reduce(np.abs(points), axis=0, initial=0.0))
    wrong = (largest > MAX_TARGET) | (whole & (largest > 0.0) & (largest < MIN_TARGET))
    if wrong.any():
        raise ValueError(
            f"y must hold numbers of at most {MAX_TARGET:g} in absolute value, and one larger than "
            f"{MIN_TARGET:g}, whose squares are finite and positive; the largest is "
            f"{largest[wrong].max():g}. Multiply y by a constant."
        )
    if rules.n_outputs is not None:
        values = values[:, None] if values.ndim == 1 else values
        if values.shape[1] != rules.n_outputs:
            raise ValueError(
                f"y must have the {rules.n_outputs} output(s) seen in fit; got {values.shape[1]}."
            )
    return values


def check_target(y: Any, is_classification: bool) -> None:
    """A target must be dense; outputs must be numbers, labels of one kind."""
    if y is None:
        raise ValueError(
            "y must hold a value for each row of X: the estimator requires y to be passed, but the "
            "target y is None. Pass it after X."
        )
    if sparse.issparse(y):
        raise ValueError(
            f"y must be a dense array; got a {type(y).__name__}. Pass y.toarray().ravel()."
        )
    if is_classification and has_bounds(y):
        raise ValueError(
            "y must hold labels of classes, which cannot be censored; got a structured array with "
            f"the fields {', '.join(y.dtype.names)}. Use MixtureOfExpertsRegressor for times."
        )
    given = np.asarray(y)
    if not is_classification:
        _check_kind(y, given)
    elif given.dtype.kind == "O" and given.ndim == 1:
        checks.check_labels("y", given)
    elif given.dtype.kind in "fO":
        check_no_missing(np.isnan(as_numbers(given.ravel())))


def _check_kind(y: Any, given: Array) -> None:
    """Outputs must be no dates, pairs, categories or texts."""
    if dates := [dtype for dtype in (*types_of(y), given.dtype) if is_date(dtype)]:
        raise ValueError(
            f"y must hold numbers; got {dates[0]}. Convert it, such as to days since a date."
        )
    if given.ndim > 0 and len(given):
        # Pairs of bounds, or of a time and an event, are no numbers of two outputs.
        row: Any = (y if isinstance(y, list | tuple) else given)[0]
        is_pair = given.ndim == 1 and isinstance(row, tuple | list | np.void)
        if given.ndim == 2:
            is_pair = len({isinstance(value, bool | np.bool_) for value in row}) == 2
            is_open = given.dtype.kind == "f" and given.shape[1] == 2 and np.isposinf(given).any()
            is_pair |= bool(is_open)
        if is_pair:
            raise ValueError(
                "y must hold one number for each row and output; got pairs, such as "
                f"({', '.join(str(value) for value in row)}). Use skmoe.data for bounds, or for "
                "times and events; or convert truth values and infinity for several outputs."
            )
    if given.dtype.kind not in "OUS":
        return
    text, first = encoding.first_text(given.ravel()), given.ravel()[0]
    of_categories = is_category(getattr(y, "dtype", None))
    if text is not None or (of_categories and isinstance(first, str)):
        found = shown(first if text is None else text)
        raise ValueError(
            f"y must hold numbers; got {'the category ' * of_categories}{found}. For labels use "
            "MixtureOfExpertsClassifier. For ordered categories pass their codes, as y.cat.codes "
            'or y.codes are, with family="ordinal".'
        )


# --- classes --------------------------------------------------------------------------------------


def class_codes(y: Array, classes: Array) -> Array:
    """Codes of labels; they must be among the classes of the fit."""
    try:
        codes = np.searchsorted(classes, y)
    except TypeError:  # labels of another kind have no place in the order
        codes = np.zeros(len(y), dtype=int)
    codes = np.minimum(codes, len(classes) - 1)
    unknown = classes[codes] != y
    if unknown.any():
        raise ValueError(
            f"y must hold classes seen in fit, {classes.tolist()}; got {y[unknown].tolist()[0]!r}."
        )
    return codes


def check_two_classes(classes: Array) -> None:
    """There must be at least two classes."""
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least two classes with positive weight; got one class: "
            f"{classes.tolist()}. A classifier needs rows of two classes or more."
        )


def class_weights(class_weight: Any, classes: Array, codes: Array, weight: Array) -> Array:
    """Row weights (n,) times class weights.

    "balanced" uses the total weight of each class, so that a row of weight two counts twice.
    """
    if class_weight is None:
        return weight
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(codes, weight, minlength=len(classes))
        factor = totals.sum() / (np.count_nonzero(totals) * np.where(totals > 0, totals, np.inf))
    else:
        try:
            factor = compute_class_weight(dict(class_weight), classes=classes, y=classes[codes])
        except (TypeError, ValueError):
            factor = np.full(len(classes), np.nan)
        if not (np.isfinite(factor).all() and (factor >= 0).all() and (factor > 0).any()):
            raise ValueError(
                'class_weight must be None, "balanced" or a dict from class to weight, of finite '
                f"non-negative weights, not all zero, for classes among {classes.tolist()}; got "
                f"{shown(class_weight)}. Pass such a dict."
            )
    with np.errstate(over="ignore"):
        weight = weight * factor[codes]
    checks.check_total_weight("sample_weight times class_weight", weight)
    return weight


# --- folds ----------------------------------------------------------------------------------------

# Number of folds of cross_fit="auto".
N_CROSS_FIT_FOLDS = 5

# A stack of many rows has fewer, as each costs one fit of every model. Of still more rows it holds
# out one fold only, which has enough rows for the weights of the models.
N_FOLDS_OF_LARGE_STACK = 3
MAX_ROWS_OF_STACK_WITH_MORE_FOLDS = 250
MAX_ROWS_OF_STACK_WITH_FOLDS = 5_000

FINER_GROUPS = "Leave groups out, or give finer ones."


def make_folds(
    max_folds: int, codes: Array | None, groups: Array | None, n: int, seed: int
) -> Array:
    """Fold of each of n rows, (n,), with as many folds as rows and groups permit.

    Groups are in one fold. The folds are stratified by class codes unless a class has fewer rows
    than there are folds. With a single row or group all rows are in fold 0.
    """
    n_folds = min(max_folds, n if groups is None else len(np.unique(groups)))
    fold = np.zeros(n, dtype=int)
    if n_folds < 2:
        return fold
    if codes is not None and int(np.bincount(codes).min()) < n_folds:
        codes = None
    if groups is not None and codes is None:
        splitter = GroupKFold(n_folds)
    else:
        of_codes = StratifiedKFold if groups is None else StratifiedGroupKFold
        kind = KFold if codes is None else of_codes
        splitter = kind(n_folds, shuffle=True, random_state=seed)
    for j, (_, test) in enumerate(splitter.split(np.zeros((n, 1)), codes, groups)):
        fold[test] = j
    return fold


def check_several_folds(name: str, fold: Array, groups: Array | None, remedy: str = "") -> None:
    """Out-of-fold predictions need at least two folds, so two distinct rows or two groups."""
    if fold.any():
        return
    unit = "distinct rows"
    remedy = remedy or f"Leave {name.split('=')[0]} out, or give more rows."
    if groups is not None:
        unit, remedy = "groups", FINER_GROUPS
    raise ValueError(
        f"{name} needs rows that are left out of its fits: at least 2 {unit}; got 1. {remedy}"
    )


def assign_folds(
    features: RawFeatures, codes: Array | None, n_folds: Any, seed: int, *, of_stack: bool = False
) -> RawFeatures:
    """Features with the fold of each row: `cross_fit`, or `cv` of models that are stacked.

    Of many rows of a stack one part is held out, once. The others are in folds with negative
    numbers.
    """
    name, default = ("cv", "cv=None") if of_stack else ('cross_fit="auto"', 'cross_fit="auto"')
    groups = None if features.groups is None else first_rows(features.groups)
    rows = codes, groups, features.shape[0], seed  # whatever the names of groups
    if n_folds is False:
        return features
    if n_folds not in ("auto", None):
        check_number_of_folds(default, int(n_folds), codes, features)
        return features._replace(fold=make_folds(int(n_folds), *rows))
    has_few_folds = of_stack and features.shape[0] > MAX_ROWS_OF_STACK_WITH_MORE_FOLDS
    is_large = of_stack and features.shape[0] > MAX_ROWS_OF_STACK_WITH_FOLDS
    fold = make_folds(N_FOLDS_OF_LARGE_STACK if has_few_folds else N_CROSS_FIT_FOLDS, *rows)
    if of_stack or features.groups is not None:
        check_several_folds(name, fold, features.groups, "Give more rows." if of_stack else "")
    return features._replace(fold=-fold if is_large else fold) if fold.any() else features


def check_number_of_folds(
    default: str, n_folds: int, codes: Array | None, features: RawFeatures
) -> None:
    """There must not be more folds than rows, groups, or rows of a class.

    The default is the name and the value of the parameter for as many folds as are possible.
    """
    found = {"rows": features.shape[0]}
    if features.groups is not None:
        found["groups"] = len(np.unique(features.groups))
    if codes is not None:
        found["rows of the smallest class"] = int(np.bincount(codes).min())
    for name, most in found.items():
        if n_folds > most:
            remedy = f"Use at most {most} folds, or {default}." if most > 1 else f"Use {default}."
            remedy = FINER_GROUPS if most == 1 and name == "groups" else remedy
            raise ValueError(
                f"{default.split('=')[0]}={n_folds} must not exceed the number of {name}, {most}. "
                f"{remedy}"
            )
