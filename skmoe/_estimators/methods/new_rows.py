"""Validation of the rows that a fitted estimator is given."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted, validate_data

from skmoe._data.censored_targets import known_weight
from skmoe._data.encoding import check_frame, encode, is_frame, numeric_names
from skmoe._data.row_checks import (
    as_csr,
    check_numbers,
    check_offset,
    check_same_length,
    check_weights,
    explain_features,
)
from skmoe._data.rows import Rows
from skmoe._data.units import encode_units
from skmoe._estimators.fitting.attributes import warn_user
from skmoe._estimators.methods.input_steps import InputSteps
from skmoe._estimators.parameters.conflicts import KNOWN_EXPERTS, Choice, check_conflicts
from skmoe._estimators.parameters.parameters import check_probabilities
from skmoe._estimators.parameters.part_parameters import check_takes_offset
from skmoe._estimators.rows.known_experts import (
    check_gate_columns,
    check_known_experts,
    validate_units,
)
from skmoe._mixture.model import FittedMixture
from skmoe._numerics.typing import Array


class NewRowsMixin:
    """Features, targets, weights and offsets in the form in which a fitted mixture takes them."""

    _fitted: FittedMixture
    _input: InputSteps | None
    n_features_in_: int

    @property
    @abstractmethod
    def _expert_parameter(self) -> tuple[str, Any]:
        """Name of the parameter that chooses the experts, and the experts: one, or a list."""

    @abstractmethod
    def _validate_target(self, y: Any) -> Array:
        """The target of new rows: outputs (n, m), or class codes (n,)."""

    def _check_mean(self) -> None:
        """Raise ValueError if the mean is not finite."""

    def _validate_X(self, X: Any) -> Any:
        """Validated features of new rows: an array, a CSR array, or a data frame."""
        check_is_fitted(self)
        if self._input is not None:
            return self._input.validate_X(X)
        encoder = self._fitted.preprocessor.encoder
        if encoder is not None and encoder.is_frame:
            if is_frame(X):
                X = validate_data(self, X, reset=False, skip_check_array=True)
                check_numbers(X, encoder)
                return X
            check_frame(encoder)
        allow_nan = encoder is not None and encoder.allow_nan and not sparse.issparse(X)
        with explain_features(X):
            X = validate_data(
                self,
                X,
                reset=False,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan" if allow_nan else True,
            )
        X = as_csr(X)
        return X.toarray() if encoder is not None and sparse.issparse(X) else X

    def _validate_offset(self, offset: Any, n_rows: int) -> Array | None:
        """Offset of the linear predictors of new rows, (n,) or (n, m), or None."""
        scaling = self._fitted.preprocessor.target_scaling
        if offset is not None:
            check_takes_offset(*self._expert_parameter, self._fitted.model.experts)
        return check_offset(offset, n_rows, 1 if scaling is None else len(scaling.center))

    def _validate_X_offset(self, X: Any, offset: Any) -> tuple[Any, Array | None]:
        """Validated features and offset of new rows."""
        X = self._validate_X(X)
        return X, self._validate_offset(offset, X.shape[0])

    def _validate_rows(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Rows:
        """Validated new rows with their target."""
        X, offset = self._validate_X_offset(X, offset)
        y = check_same_length(X, self._validate_target(y))
        weight = check_weights(sample_weight, X.shape[0])
        return Rows(X, y, known_weight(y, weight), offset)

    def _validate_unit_rows(self, method: str, given: Rows) -> tuple[Rows, Array | None]:
        """Validated new rows with their target, and the labels of their units.

        Of rows with units those of weight zero are dropped.
        """
        units = self._validate_units(method, given.X, given.unit)
        rows = self._validate_rows(given.X, given.y, given.weight, given.offset)
        model, params, _ = self._fitted
        n_experts = model.n_experts // model.gate.n_starts(params.gate)
        if given.possible is not None and model.top_k is not None:
            check_conflicts({"top_k": Choice("top_k", model.top_k), KNOWN_EXPERTS: KNOWN_EXPERTS})
        possible = check_known_experts(given.possible, n_experts, rows.weight, units)
        rows = rows._replace(possible=possible)
        if units is None:
            return rows, None
        self._check_gate_columns(rows.X, units)
        rows = rows._replace(unit=units).of_positive_weight()
        labels, codes = encode_units(rows.unit)
        return rows._replace(unit=codes), labels

    def _validate_units(self, method: str, X: Any, units: Any) -> Array | None:
        """Validated units of new rows; a warning if there are none and the fit had some."""
        check_is_fitted(self)
        if units is not None:
            return validate_units(units, X.shape[0] if hasattr(X, "shape") else len(X))
        if hasattr(self, "n_units_"):
            warn_user(
                f"{method} got no units, unlike the fit: each row is taken as a unit of its own. "
                f"Pass the labels: {method}(X, y, units=...).",
            )
        return None

    def _validate_rows_of_fit(self, method: str, given: Rows) -> Rows:
        """The rows of the fit, validated, without those of weight zero.

        A warning if the fit had known experts and these rows have none.
        """
        rows, _ = self._validate_unit_rows(method, given)
        if hasattr(self, "n_known_") and given.possible is None:
            warn_user(
                f"{method} got no known_experts, unlike the fit: every expert is possible for each "
                f"row. Pass them: {method}(X, y, known_experts=...).",
            )
        return rows.of_positive_weight()

    def _check_gate_columns(self, X: Any, units: Array) -> None:
        """The gate's features must be constant within each unit, unless they are reduced."""
        model, _, preprocessor = self._fitted
        if preprocessor.gate_aggregate is not None or not model.gate.depends_on_features:
            return
        names = getattr(self, "feature_names_in_", None)
        encoder, extra = preprocessor.encoder, preprocessor.extra_features
        X = X if encoder is None else encode(encoder, X)
        columns = preprocessor.gate_columns
        if extra is not None and extra.transformer is not None:
            columns = extra.transformer_columns
        elif extra is not None and columns is not None:
            columns = columns[columns < extra.n_features]
        check_gate_columns(X, units, columns, numeric_names(names, encoder, self.n_features_in_))

    def _validate_gate_proba(self, gate_proba: Any, n_rows: int) -> Array | None:
        """Given probabilities of the experts, (K, n); None for those of the gate."""
        if gate_proba is None:
            return None
        proba = np.asarray(gate_proba, dtype=np.float64)
        check_probabilities("gate_proba", proba, n_rows, self._fitted.model.n_experts)
        return (proba / proba.sum(axis=1, keepdims=True)).T
