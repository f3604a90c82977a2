"""The preprocessor: from the user's rows to design matrices and a standardised target.

It is the same for the fit, predictions, row blocks, Dask and streams. Extra features are the
outputs of the base model and of the gate transformer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from sklearn.utils.validation import check_array, has_fit_parameter

from skmoe._data import rows as row_data
from skmoe._data import sklearn_adapter as adapter
from skmoe._data.censored_targets import is_exact, map_target
from skmoe._data.checks import has_bounds
from skmoe._data.encoding import Encoder, encode, is_new_to_encoder, numeric_values, origin_columns
from skmoe._data.rows import BLOCK_ROWS, Dataset, RawFeatures, Rows, by_output, select_raw_features
from skmoe._data.series import make_series
from skmoe._data.units import make_units
from skmoe._numerics.linalg import OffsetDesign
from skmoe._numerics.typing import Array, Design


class Preprocessor(NamedTuple):
    """Encoding, extra features, standardisation and selection of columns."""

    feature_scaling: Standardization
    target_scaling: Standardization | None  # of each output; None for classes
    gate_columns: Array | None  # indices of numeric columns; None for all
    expert_columns: Array | None
    uses_raw_features: bool = False  # whether experts are fitted to the features as given
    encoder: Encoder | None = None  # for data frames with categories or missing values
    extra_features: ExtraFeatures | None = None  # of base model and gate transformer
    log_n: float = 0.0  # of the mean number of values of which y is the mean
    feature_range: Any = None  # smallest and largest value (2, p) of each column of X
    counts_units: bool = False  # whether weights, equal in the rows of a unit, are those of units

    # --- rows ---

    def transform(self, rows: Rows) -> tuple[Dataset, Array | float]:
        """Data set of the user's rows without units, and what is added to the experts' means.

        The offset of the rows is added to the linear predictors of the experts. A base model's
        prediction is added to their means, as an array (m, n), or under a log link its log to the
        linear predictors; 0.0 is then added to the means. Weights are one by default.
        """
        X, offset, extra = rows.X, rows.offset, self.extra_features
        base_prediction = None
        mean_offset: Array | float = 0.0
        if extra is not None and extra.base is not None:
            base_prediction = predict_base(extra.base, X, extra.classes, extra.link)
            if extra.link == "log":
                offset = base_prediction + (0.0 if offset is None else offset[:, None])
            elif self.target_scaling is not None:
                mean_offset = base_prediction.T
        scaling, target = self.target_scaling, np.zeros(rows.n_rows, dtype=int)  # a class
        if rows.y is not None:
            target = self.standardize_target(rows.y, mean_offset)
        elif scaling is not None:  # families of positive values have no density at zero
            target = np.ones((len(scaling.center), rows.n_rows))
        numeric = X if self.encoder is None else encode(self.encoder, X)
        if extra is not None:
            numeric = append_columns(extra, numeric, base_prediction)
        weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
        rows = rows._replace(offset=offset, weight=weight)
        raw_features = None
        if self.uses_raw_features:
            raw_features = select_raw_features(rows, self.expert_columns)
        return self.assemble(numeric, target, rows, raw_features), mean_offset

    def transform_blocks(self, rows: Rows) -> Iterator[tuple[Dataset, Array | float]]:
        """Results of `transform` for blocks of the rows."""
        # Estimators predict all rows in one call, which is cheaper.
        in_one_call = self.uses_raw_features or self.extra_features is not None
        size = rows.n_rows if in_one_call else BLOCK_ROWS
        for start in range(0, rows.n_rows, size):
            block = slice(start, start + size)
            yield self.transform(rows if size >= rows.n_rows else rows.take(block))

    def assemble(
        self, X: Design, target: Array, rows: Rows, raw_features: RawFeatures | None = None
    ) -> Dataset:
        """Data set of rows, from their numeric features (with extra ones) and standardised target.

        Here outputs, offsets and possible experts (n, m) become (m, n). Raw features are those of
        experts that are estimators, whose gate has the numeric ones.
        """
        expert_design: Any = raw_features
        gate_design = design_matrix(X, self.feature_scaling, self.gate_columns)
        if raw_features is None:
            expert_design = gate_design
            if self.gate_columns is not self.expert_columns:
                expert_design = design_matrix(X, self.feature_scaling, self.expert_columns)
            if rows.offset is not None:
                expert_design = OffsetDesign(expert_design, by_output(rows.offset))
        possible = None if rows.possible is None else by_output(rows.possible)
        series = None if rows.series is None else make_series(rows.series, rows.weight)
        log_n = None
        if rows.n_values is not None or self.log_n:
            n_values = np.ones(rows.n_rows) if rows.n_values is None else rows.n_values
            log_n = np.log(n_values) - self.log_n
        parts = gate_design, expert_design, target, rows.weight
        return Dataset(*parts, possible=possible, series=series, log_n=log_n)

    # --- units ---

    def transform_units(self, rows: Rows) -> Dataset:
        """Data set of the user's rows, in which those of a unit are contiguous."""
        dataset, _ = self.transform(rows)
        if rows.unit is None:
            return dataset
        order = np.argsort(rows.unit, kind="stable")
        return self.group_by_unit(dataset.take(order), rows.unit[order])

    def group_by_unit(self, rows: Dataset, codes: Array) -> Dataset:
        """Data set of units, whose codes 0, 1, ... are in ascending order.

        The gate sees one row of each unit, in which its features are constant. With a base model,
        whose predictions differ within a unit, it sees the mean of the rows.
        """
        units, extra, weight = make_units(codes), self.extra_features, rows.weight
        units = make_series(codes, weight) if self.counts_units else units
        design = rows.gate_design[units.starts]
        if extra is not None and extra.base is not None:
            share = weight / units.repeat(units.sum_rows(weight))
            of_units = share, (units.codes, np.arange(rows.n_rows))
            design = sparse.csr_array(of_units) @ rows.gate_design
        possible = None if rows.possible is None else rows.possible[:, units.starts]
        return rows._replace(gate_design=design, units=units, possible=possible)

    # --- target ---

    def standardize_target(self, y: Array, offset: Array | float = 0.0) -> Array:
        """Standardised outputs (m, n) minus the base model's offset; class codes as they are."""
        if self.target_scaling is None:
            return y
        center, scale = self.target_scaling
        outputs = np.atleast_2d(by_output(y))
        if not has_bounds(y):
            return (outputs - offset - center[:, None]) / scale[:, None]
        return map_target(outputs, lambda v: (v - offset - center[:, None]) / scale[:, None])

    def unstandardize_mean(self, mean: Array) -> Array:
        """Means (..., m, n) in the units of y; class probabilities as they are."""
        if self.target_scaling is None:
            return mean
        center, scale = self.target_scaling
        return center[:, None] + scale[:, None] * mean

    def log_jacobian(self, target: Any = None) -> Any:
        """Log density of the standardised target minus log density of y, for each row.

        Of a target (m, n) with bounds, or with missing values, it is (n,): intervals have
        probabilities, not densities.
        """
        if self.target_scaling is None:
            return 0.0
        logs = np.log(self.target_scaling.scale)
        if has_bounds(target):
            return logs @ is_exact(target)
        is_missing = np.isnan(0.0 if target is None else target)
        if is_missing.any() or (self.counts_units and target is not None):
            return logs @ ~is_missing
        return float(logs.sum())

    # --- features ---

    @property
    def n_features(self) -> int:
        """Number of numeric columns without the extra features."""
        extra = self.extra_features
        return len(self.feature_scaling.scale) if extra is None else extra.n_features

    def in_units(self, scaling: Standardization) -> Preprocessor:
        """The same with coefficients and ranges for columns of which those of X are standardised.

        It does not transform rows.
        """
        index = slice(None) if self.encoder is None else np.array(self.encoder.numeric_columns, int)
        # Other columns are encoded or extra features, which have no units.
        n_others = len(self.feature_scaling.scale) - len(scaling.center[index])
        center = np.append(scaling.center[index], np.zeros(n_others))
        scale = np.append(scaling.scale[index], np.ones(n_others))
        ranges = scaling.center + scaling.scale * self.feature_range
        scaling = composed(Standardization(center, scale), self.feature_scaling)
        return self._replace(feature_scaling=scaling, feature_range=ranges)

    def used_features(self, gate: bool) -> Array:
        """Which columns of X, (p,), the experts use, and the gate if it is to count."""
        used = np.zeros(self.feature_range.shape[1], dtype=bool)
        if self.extra_features is not None and self.extra_features.base is not None:
            return ~used  # the base model uses all
        used[slice(None) if self.expert_columns is None else self.expert_columns] = True
        if gate:
            used[self.features_of_gate] = True
        return used

    @property
    def features_of_gate(self) -> Array:
        """Columns of X, as indices, that the gate uses, or its transformer."""
        encoder, extra = self.encoder, self.extra_features
        columns = self.gate_columns if extra is None else extra.transformer_columns
        origin = np.arange(self.n_features) if encoder is None else origin_columns(encoder)
        return np.asarray(origin[slice(None) if columns is None else columns])

    def expert_coefficients(self, coef: Array, *, of_gate: bool = False) -> tuple[Array, Array]:
        """Slopes (..., p) and intercepts (...) in raw units, from coefficients (..., d) of a part.

        Features that the part does not use get slope zero. The slopes of extra features of the
        experts are left out; those of the gate are of the columns of `gate_coef_`.
        """
        (center, scale), extra = self.feature_scaling, self.extra_features
        columns = self.gate_columns if of_gate else self.expert_columns
        index = slice(None) if columns is None else columns
        slopes = np.zeros((*coef.shape[:-1], len(scale)))
        slopes[..., index] = coef[..., :-1] / scale[index]
        intercepts = coef[..., -1] - slopes @ center
        if extra is not None:
            slopes = slopes[..., index if of_gate else slice(extra.n_features)]
        return slopes, intercepts

    def feature_values(self, values: Array, *, of_gate: bool) -> Array:
        """Values of the features, NaN for those not used, from those of the columns of a part.

        Those of the gate are of the columns of `gate_coef_`.
        """
        if of_gate and self.extra_features is not None:
            return values
        columns = self.gate_columns if of_gate else self.expert_columns
        spread = np.full(len(self.feature_scaling.scale), np.nan)
        spread[slice(None) if columns is None else columns] = values
        return spread if of_gate else spread[: self.n_features]


# Standard deviation, relative to mean or range, up to which a column is constant (round-off).
CONSTANT_RTOL = 1e-13


class Standardization(NamedTuple):
    """Standardisation of columns: (x - center) / scale."""

    center: Array
    scale: Array  # infinite for a constant column, whose standardised values are zero


def composed(first: Standardization, second: Standardization) -> Standardization:
    """Two standardisations as one, by which the second is applied to the result of the first."""
    return Standardization(first.center + first.scale * second.center, first.scale * second.scale)


def fit_standardization(X: Design, weight: Array, of_constant: float = np.inf) -> Standardization:
    """Weighted mean and standard deviation of each column, without overflow or cancellation.

    The mean of a constant column is exactly its value. With the round-off of a mean its deviations
    would have a scale, by which new rows with other values would be divided.
    """
    total = weight.sum()
    low, high = min_max_axis(X, 0) if sparse.issparse(X) else (X.min(axis=0), X.max(axis=0))
    mean = np.where(high == low, high, (X.T @ weight) / total)
    if sparse.issparse(X):
        unit = np.maximum(np.abs(high), np.abs(low)).astype(np.float64)
        unit = np.where(unit > 0.0, unit, 1.0)
        scaled = sparse.csr_array((X.data / unit[X.indices], X.indices, X.indptr), shape=X.shape)
        _, variance = mean_variance_axis(scaled, axis=0, weights=weight)
    else:
        deviation = X - mean
        unit = np.maximum(deviation.max(axis=0), -deviation.min(axis=0))
        unit = np.where(unit > 0.0, unit, 1.0)
        deviation /= unit
        variance = np.square(deviation, out=deviation).T @ weight / total
    std = np.sqrt(np.maximum(variance, 0.0)) * unit
    # Also where values differ in rows of negligible weight only, which would be scaled to infinity.
    constant = std <= CONSTANT_RTOL * np.maximum(np.abs(mean), unit)
    return Standardization(mean, np.where(constant, of_constant, std))


def keeping_sparse(scaling: Standardization, centred: Sequence[int]) -> Standardization:
    """The standardisation of sparse columns, which are not centred, so that they stay sparse.

    Those with the indices `centred`, a few, are: penalties and bounds of their coefficients, and
    the transitions that are reported, are at the means of the columns.
    """
    is_centred = np.isin(np.arange(len(scaling.center)), centred)
    return scaling._replace(center=np.where(is_centred, scaling.center, 0.0))


def design_matrix(X: Design, scaling: Standardization, columns: Array | None) -> Design:
    """Standardised columns of X (None for all) and a last column of ones."""
    center, scale = scaling
    if columns is not None:
        X, center, scale = X[:, columns], center[columns], scale[columns]
    n_rows, n_columns = X.shape
    is_centred = np.flatnonzero(center)
    if sparse.issparse(X) and 2 * len(is_centred) > n_columns:  # the fit had dense rows
        X = X.astype(np.float64).toarray()
    if sparse.issparse(X):
        scaled = sparse.csr_array(X, dtype=np.float64, copy=True)
        if len(is_centred):
            at = np.repeat(np.arange(n_rows), len(is_centred)), np.tile(is_centred, n_rows)
            shift = np.tile(center[is_centred], n_rows)
            scaled = scaled - sparse.csr_array((shift, at), scaled.shape)
        scaled.data /= scale[scaled.indices]
        return sparse.csr_array(sparse.hstack([scaled, np.ones((n_rows, 1))], format="csr"))
    design = np.empty((n_rows, n_columns + 1), dtype=X.dtype, order="F")
    for start in range(0, n_rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        block_columns = design.T[:-1, block]
        block_columns[...] = X[block].T
        block_columns -= center[:, None]
        block_columns /= scale[:, None]
    design[:, -1] = 1.0
    return design


# --- ranges of the features -----------------------------------------------------------------------


# Distance beyond a bound, relative to the largest absolute value of the feature, that is round-off:
# rows of a fit may return in single precision, or from other sums of a transformer.
RANGE_RTOL = float(np.finfo(np.float32).eps)


def fit_feature_range(X: Any, encoder: Encoder | None = None) -> Array:
    """Smallest and largest value of each column of X, (2, p).

    Missing values do not count. Both are NaN for categories, and for columns without values.
    """
    if sparse.issparse(X):
        return np.array(min_max_axis(X, 0), dtype=np.float64)
    columns: Any = slice(None)
    found = np.full((2, X.shape[1]), np.nan)
    if encoder is not None:
        columns, X = encoder.numeric_columns, numeric_values(encoder, X)
    found[:, columns] = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    return found + 0.0  # without the sign of zero, which depends on the order of the rows


def merge_feature_ranges(one: Array, other: Array) -> Array:
    """Ranges of the features in two sets of rows together."""
    return np.stack([np.fmin(one[0], other[0]), np.fmax(one[1], other[1])])


def is_outside_ranges(
    X: Any, feature_range: Array, used: Array, encoder: Encoder | None = None
) -> Array:
    """Whether a used feature of each row, (n,), lies outside of its range.

    So does a category, or a missing value, of a feature that had none of it.
    """
    tolerance = RANGE_RTOL * np.abs(feature_range).max(axis=0)
    low = np.where(used, feature_range[0] - tolerance, -np.inf)
    high = np.where(used, feature_range[1] + tolerance, np.inf)
    if sparse.issparse(X):  # entries are stored, or zero
        row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        is_outside = (X.data < low[X.indices]) | (X.data > high[X.indices])
        zero_is_outside = (low > 0.0) | (high < 0.0)
        stored = zero_is_outside[X.indices]
        n_outside, n_stored = (np.bincount(row, v, X.shape[0]) for v in (is_outside, stored))
        return np.asarray((n_outside > 0.0) | (n_stored < zero_is_outside.sum()))
    new, values = np.zeros(X.shape, dtype=bool), X
    columns: Any = slice(None)
    if encoder is not None:
        new = is_new_to_encoder(encoder, X)
        columns, values = encoder.numeric_columns, numeric_values(encoder, X)
    # Numbers are new in a column that had none, whose range is NaN.
    inside = np.isnan(values) | ((values >= low[columns]) & (values <= high[columns]))
    new[:, columns] |= ~inside
    return np.asarray(new[:, used].any(axis=1))


# Decimals of moments that are compared: round-off must not decide the order.
MOMENT_DECIMALS = 6


def distinct_rows(
    X: Design, y: Array, weight: Array, others: Sequence[Any], ties: Sequence[Any], codes: Any
) -> tuple[Array, Array]:
    """Indices of the rows in an order of values (n,), and positions of the first copies in it.

    Starts and folds draw rows in this order, one for each distinct row with the total weight of its
    copies. So a fit depends neither on the order of the rows, of columns and outputs, nor on signs,
    nor on whether a row occurs twice or has weight two.

    Parameters
    ----------
    X : array or CSR array of shape (n, p)
    y : array of shape (n,) or (n, m)
        Outputs, or class codes as integers.
    weight : array of shape (n,)
    others : sequence of arrays of shape (n,)
        What else distinguishes rows.
    ties : sequence of arrays of shape (n,)
        The same, but these do not change the order of rows that differ otherwise.
    codes : array of int of shape (n,), or None
        Unit of each row. The rows of a unit follow each other.
    """
    targets = np.atleast_2d(y.T)
    if y.dtype.kind == "i":
        indicators = (np.arange(y.max() + 1)[:, None] == y).astype(np.float64)
        form = canonical_form(X, indicators, weight, signed=False)
        table, signs = [np.argsort(form.outputs)[y], *others], np.ones(1)
    else:
        form = canonical_form(X, targets, weight, signed=True)
        table, signs = [*targets[form.outputs], *others], form.signs[form.outputs]
    direction = np.empty(X.shape[1])
    direction[form.columns] = np.random.default_rng(0).standard_normal(X.shape[1])
    of_table = np.random.default_rng(1).standard_normal(len(table))
    of_table[: len(signs)] *= signs
    key = _projection(X, direction * form.column_signs)
    key += _projection(np.column_stack(table), of_table)
    keys = [*ties, *targets, key]
    if codes is not None:
        # Means, since sums would depend on the origin of the key, and so on signs of columns.
        keys += [codes, (np.bincount(codes, weight * key) / np.bincount(codes, weight))[codes]]
    while True:
        order = np.lexsort([weight, *keys])  # weights of copies are added in one order
        is_new = np.any([values[order[1:]] != values[order[:-1]] for values in keys], axis=0)
        same = np.flatnonzero(~is_new)
        if not (len(same) and (X[order[same + 1]] != X[order[same]]).sum()):
            return order, np.flatnonzero(np.append(True, is_new))
        # Differences that are tiny beside the range of a column are lost in its projection.
        keys = [*(X.toarray() if sparse.issparse(X) else X).T, *keys]


def _projection(X: Design, direction: Array) -> Array:
    """A projection (n,) of columns in units of their ranges, bit for bit equal for equal rows."""
    low, high = min_max_axis(X, 0) if sparse.issparse(X) else (X.min(axis=0), X.max(axis=0))
    low, spread = low.astype(np.float64), high.astype(np.float64) - low
    scale = np.where(spread > 0.0, spread, 1.0)
    if sparse.issparse(X):
        return np.asarray(X @ (direction / scale))
    # A matrix product may add the columns of equal rows in different orders; this sum does not.
    total = np.zeros(len(X))
    for column, least, factor in zip(X.T, low, direction / scale, strict=True):
        total += (column - least) * factor
    return total


class CanonicalForm(NamedTuple):
    """An order and signs of columns and outputs that depend on values only."""

    columns: Array  # indices of the columns, (p,)
    column_signs: Array  # in the given order, (p,)
    outputs: Array  # indices of the outputs, (m,)
    signs: Array  # of the outputs in the given order, (m,)


def canonical_form(X: Design, Y: Array, weight: Array, *, signed: bool) -> CanonicalForm:
    """Canonical form of features (n, p) and targets (m, n).

    Starts draw directions and cut from below: in this form they depend neither on the order of
    columns and outputs nor on their signs. Columns are sorted by their correlations with the
    targets, constant ones last, and have a negative skewness; outputs have a positive one. With
    `signed=False`, for indicators of classes, targets keep their signs, and frequent ones are
    first.
    """
    share = weight / weight.sum()
    scaling = fit_standardization(X, weight)
    scaling = keeping_sparse(scaling, ()) if sparse.issparse(X) else scaling
    center, scale = fit_standardization(Y.T, weight)
    targets = (Y - center[:, None]) / scale[:, None]
    weights, sums = np.vstack([share, targets * share]).T, np.zeros((3, X.shape[1], 1 + len(Y)))
    for start in range(0, len(share), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        Z = design_matrix(X[rows], scaling, None)[:, :-1]
        sums += [power.T @ weights[rows] for power in (Z, Z * Z, Z * Z * Z)]
    means, second, third = sums[..., 0]
    moments = (
        third - 3.0 * means * second + 2.0 * means**3,  # skewness
        np.square(targets) * targets @ share,
        sums[0, :, 1:].T,
        (sums[1] - 2.0 * means[:, None] * sums[0])[:, 1:].T,
    )
    skewness, skewness_of_y, correlations, with_squares = (
        np.round(values, MOMENT_DECIMALS) for values in moments
    )
    strength = np.round(np.abs(correlations).sum(axis=0), MOMENT_DECIMALS)
    columns = np.lexsort((np.abs(skewness), strength, second - means**2 < 0.5))
    column_signs, signs = -np.sign(skewness), np.ones(len(Y))
    by_columns = (correlations * column_signs)[:, columns]
    if signed:
        outputs = np.lexsort((np.abs(correlations).sum(axis=1), np.abs(skewness_of_y)))
        signs = np.sign(skewness_of_y)
        signs = np.where(signs, signs, np.where(by_columns.sum(axis=1) < 0.0, -1.0, 1.0))
    else:
        rarity = -np.round(Y @ share, MOMENT_DECIMALS)
        keys = np.column_stack([rarity, with_squares[:, columns], by_columns])
        outputs = np.lexsort(keys.T[::-1])
    of_outputs = signs @ correlations if signed else correlations[outputs[0]]
    column_signs = np.where(column_signs, column_signs, np.where(of_outputs < 0.0, -1.0, 1.0))
    return CanonicalForm(columns, column_signs, outputs, signs)


# --- extra features ---

# Number of rows from which on a base has two folds: models of half of them are hardly worse.
MAX_ROWS_WITH_MORE_FOLDS = 20_000

# Minimum class probability of a base model, whose logarithm must be finite.
MIN_BASE_PROBABILITY = 1e-6


class ExtraFeatures(NamedTuple):
    """Fitted models whose outputs are appended to the features, first those of the transformer."""

    n_features: int  # without extra features
    classes: Array | None  # of the base model
    transformer: Any | None = None
    transformer_columns: Array | None = None  # input features of the transformer; None for all
    base: Any | None = None
    names: tuple[str, ...] | list[str] = ()  # of the extra features
    n_base_columns: int = 0  # of them, predictions of the base model, which come last
    link: str = "identity"  # on whose scale the base model's predictions enter

    # --- fit ---

    def with_transformer(
        self, transformer: Any, rows: Rows, X: Design, names: list[str]
    ) -> ExtraFeatures:
        """The same with the gate transformer, fitted to numeric features with these names."""
        columns = self.transformer_columns
        X = X if columns is None else X[:, columns]
        takes_weight = has_fit_parameter(transformer, "sample_weight")
        weight = {"sample_weight": rows.weight} if takes_weight else {}
        fitted = clone(transformer).fit(X, rows.y, **weight)
        transformed = fitted.transform(X)
        try:
            shape = check_array(transformed, accept_sparse=True, ensure_min_features=0).shape
            wrong = f"shape {shape}" if shape[0] != X.shape[0] else ""
        except (TypeError, ValueError) as error:
            wrong = str(error)
        if wrong:
            raise ValueError(
                f"The transformer of the gate must keep the {X.shape[0]} rows that it is given, as "
                f"a table of finite numbers; {transformer!r} made others: {wrong}. Choose one that "
                "transforms features, and impute or encode before it, in a pipeline."
            )
        input_names = names if columns is None else [names[j] for j in columns]
        try:
            found = [str(name) for name in fitted.get_feature_names_out(input_names)]
        except (AttributeError, ValueError):  # transformers need not support feature names
            found = [f"gate{j}" for j in range(transformed.shape[1])]
        return self._replace(transformer=fitted, names=found)

    def with_base(
        self, base: Any, rows: Rows, seed: int, n_folds: int
    ) -> tuple[ExtraFeatures, Array]:
        """The same with the base model, and its out-of-fold predictions (n, m) or (n, C).

        The features of the rows are in the form in which the base model is fitted to them.
        """
        classes, weight, group = self.classes, rows.weight, rows.fold_group
        codes = None if classes is None else rows.y
        target = rows.y if classes is None else classes[rows.y]
        if rows.offset is not None:
            # It is fitted to y per unit of exposure, which is more exact for more exposure.
            exposure = np.exp(rows.offset)
            target, weight = (target.T / exposure).T, weight * exposure

        def fit(index: Array) -> Any:
            metadata = adapter.groups_of_folds(base, None if group is None else group[index])
            X = row_data.index_rows(rows.X, index)
            return adapter.fit_estimator(base, seed, X, target[index], weight[index], metadata)

        n_folds = 2 if rows.n_rows > MAX_ROWS_WITH_MORE_FOLDS else n_folds
        fold = row_data.make_folds(n_folds, codes, group, rows.n_rows, seed)
        row_data.check_several_folds("base", fold, group)
        tests = [np.flatnonzero(fold == j) for j in range(int(fold.max()) + 1)]
        parts = []
        for test in tests:
            fitted = fit(np.setdiff1d(np.arange(rows.n_rows), test))
            held_out = row_data.index_rows(rows.X, test)
            parts.append(predict_base(fitted, held_out, classes, self.link))
        predictions = np.concatenate(parts)[np.argsort(np.concatenate(tests))]
        n_columns = predictions.shape[1]
        labels = range(n_columns) if classes is None else classes
        names = [f"base_{label}" for label in labels] if len(labels) > 1 else ["base"]
        names, fitted = [*self.names, *names], fit(np.arange(rows.n_rows))
        return self._replace(base=fitted, names=names, n_base_columns=n_columns), predictions

    def columns_of(
        self, given: Mapping[str, Array | None], of_estimators: bool
    ) -> dict[str, Array | None]:
        """Columns of gate ("gate") and experts ("mean") among all features; None for all."""
        first = self.n_features + len(self.names) - self.n_base_columns
        base_columns, every = first + np.arange(self.n_base_columns), np.arange(self.n_features)
        gate, experts = (every if own is None else own for own in (given["gate"], given["mean"]))
        if self.transformer is not None:
            gate = np.arange(self.n_features, first)
        # A regressor base is an offset of the mean; the log probabilities of a classifier base are
        # features of the experts.
        if self.classes is not None:
            experts = np.append(experts, base_columns)
        return {
            "gate": np.append(gate, base_columns),
            "mean": given["mean"] if of_estimators else experts,
        }


# --- predictions ------------------------------------------------------------------------------


def append_columns(
    extra_features: ExtraFeatures, X: Design, base_prediction: Array | None
) -> Design:
    """Features with the outputs of the gate transformer and the base predictions (n, q)."""
    blocks, columns = [X], extra_features.transformer_columns
    if extra_features.transformer is not None:
        blocks.append(extra_features.transformer.transform(X if columns is None else X[:, columns]))
    if base_prediction is not None:
        blocks.append(base_prediction)
    if any(map(sparse.issparse, blocks)):
        return sparse.csr_array(sparse.hstack(list(map(sparse.csr_array, blocks))))
    return np.hstack(blocks)


def predict_base(base: Any, X: Any, classes: Array | None, link: str = "identity") -> Array:
    """Predictions of the base model, (n, m): means or their logs, or class log-probabilities."""
    if classes is None:
        prediction = adapter.predict_expert(base, X, None).T
        adapter.check_finite("base", prediction)
        if link != "log":
            return prediction
        if not (prediction > 0.0).all():
            raise ValueError(
                "base must predict positive numbers, whose logs are added to the linear predictors "
                f"of experts with a log link; {base!r} predicted {np.min(prediction):g}. Use a "
                'model with a log link, such as HistGradientBoostingRegressor(loss="poisson").'
            )
        return np.log(prediction)
    probs = np.full((X.shape[0], len(classes)), MIN_BASE_PROBABILITY)
    columns = np.searchsorted(classes, base.classes_)
    probs[:, columns] = np.maximum(base.predict_proba(X), MIN_BASE_PROBABILITY)
    adapter.check_finite("base", probs)
    return np.log(probs / probs.sum(axis=1, keepdims=True))
