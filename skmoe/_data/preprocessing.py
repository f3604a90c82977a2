"""The preprocessor: from the user's rows to design matrices and a standardised target.

It is the same for the fit, predictions, row blocks, Dask and streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.censored_targets import is_exact, map_target
from skmoe._data.encoding import Encoder, encode, origin_columns
from skmoe._data.extra_features import ExtraFeatures, append_columns, predict_base
from skmoe._data.rows import (
    Dataset,
    RawFeatures,
    Rows,
    by_output,
    has_bounds,
    select_raw_features,
    subset,
)
from skmoe._data.scaling import (
    BLOCK_ROWS,
    Standardization,
    composed,
    design_matrix,
    merge_feature_ranges,
)
from skmoe._data.units import make_units, reduce_to_units
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
    # Smallest and largest value (2, p) of each column of X; None if an earlier release saved it.
    feature_range: Array | None = None

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
        target = np.empty(rows.n_rows)
        if rows.y is not None:
            target = self.standardize_target(rows.y, mean_offset)
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
            yield self.transform(rows.take(slice(start, start + size)))

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
        possible = by_output(rows.possible)
        return Dataset(gate_design, expert_design, target, rows.weight, possible=possible)

    # --- units ---

    def transform_units(self, rows: Rows) -> Dataset:
        """Data set of the user's rows, in which those of a unit are contiguous."""
        dataset, _ = self.transform(rows)
        if rows.unit is None:
            return dataset
        order = np.argsort(rows.unit, kind="stable")
        return self.group_by_unit(subset(dataset, order), rows.unit[order])

    def group_by_unit(self, rows: Dataset, codes: Array) -> Dataset:
        """Data set of units, whose codes 0, 1, ... are in ascending order.

        The gate sees one row of each unit, in which its features are constant. Predictions of a
        base model, which differ within a unit, are averaged.
        """
        units = make_units(codes)
        averaged = np.zeros(rows.gate_design.shape[1], dtype=bool)
        extra = self.extra_features
        if extra is not None and extra.base is not None:
            averaged[-1 - extra.n_base_columns : -1] = True
        design = reduce_to_units(rows.gate_design, units, rows.weight, averaged)
        possible = None if rows.possible is None else rows.possible[:, units.starts]
        return rows._replace(gate_design=design, units=units, possible=possible)

    # --- target ---

    def standardize_target(self, y: Array, offset: Array | float = 0.0) -> Array:
        """Standardised outputs (m, n) minus the base model's offset; class codes as they are."""
        if self.target_scaling is None:
            return y
        center, scale = self.target_scaling
        return map_target(
            np.atleast_2d(by_output(y)),
            lambda values: (values - offset - center[:, None]) / scale[:, None],
        )

    def unstandardize_mean(self, mean: Array) -> Array:
        """Means (..., m, n) in the units of y; class probabilities as they are."""
        if self.target_scaling is None:
            return mean
        center, scale = self.target_scaling
        return center[:, None] + scale[:, None] * mean

    @property
    def log_jacobian(self) -> float:
        """Log density of the standardised target minus log density of y, for each row."""
        if self.target_scaling is None:
            return 0.0
        return float(np.log(self.target_scaling.scale).sum())

    def log_jacobian_of(self, target: Array) -> Array | float:
        """The same for each row of a target (m, n): intervals have probabilities, not densities."""
        if self.target_scaling is None or not has_bounds(target):
            return self.log_jacobian
        return np.asarray(np.log(self.target_scaling.scale) @ is_exact(target))

    # --- features ---

    @property
    def n_features(self) -> int:
        """Number of numeric columns without the extra features."""
        if self.extra_features is not None:
            return self.extra_features.n_features
        return len(self.feature_scaling.scale)

    @property
    def n_gate_columns(self) -> int:
        """Number of columns of the design matrix of the gate."""
        columns = self.gate_columns
        return 1 + (len(self.feature_scaling.scale) if columns is None else len(columns))

    def extend_range(self, other: Array | None) -> Preprocessor:
        """The same with the ranges of further rows; not known if either is not."""
        merged = None
        if self.feature_range is not None and other is not None:
            merged = merge_feature_ranges(self.feature_range, other)
        return self._replace(feature_range=merged)

    def in_units(self, scaling: Standardization) -> Preprocessor:
        """The same with coefficients and ranges for columns of which those of X are standardised.

        It does not transform rows.
        """
        encoder, ranges = self.encoder, self.feature_range
        columns = range(len(scaling.scale)) if encoder is None else encoder.numeric_columns
        # Other columns are encoded or extra features, which have no units.
        size, index = len(self.feature_scaling.scale), np.array(columns, dtype=int)
        center, scale = np.zeros(size), np.ones(size)
        center[: len(index)], scale[: len(index)] = scaling.center[index], scaling.scale[index]
        return self._replace(
            feature_scaling=composed(Standardization(center, scale), self.feature_scaling),
            feature_range=None if ranges is None else scaling.center + scaling.scale * ranges,
        )

    def used_features(self, gate: bool) -> Array:
        """Which columns of X, (p,), the experts use, and the gate if it is to count."""
        assert self.feature_range is not None
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

    def expert_coefficients(self, coef: Array) -> tuple[Array, Array]:
        """Slopes (..., p) and intercepts (...) in raw units, from coefficients of the experts.

        The slopes of extra features are left out.
        """
        slopes, intercepts = self.raw_coefficients(coef, self.expert_columns)
        extra = self.extra_features
        return slopes if extra is None else slopes[..., : extra.n_features], intercepts

    def raw_coefficients(self, coef: Array, columns: Array | None) -> tuple[Array, Array]:
        """Slopes (..., p) and intercepts (...) in raw units, from coefficients (..., d).

        Columns that are not among `columns` get slope zero.
        """
        center, scale = self.feature_scaling
        index = slice(None) if columns is None else columns
        slopes = np.zeros((*coef.shape[:-1], len(scale)))
        slopes[..., index] = coef[..., :-1] / scale[index]
        return slopes, coef[..., -1] - slopes @ center

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
