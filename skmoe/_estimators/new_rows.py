"""Validation of the rows that a fitted estimator is given."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted, validate_data

from skmoe._data.checks import as_csr, check_offset, check_same_length, check_weights
from skmoe._data.encoding import check_frame, is_frame
from skmoe._data.feature_checks import check_numbers, explain_features
from skmoe._data.rows import UserRows
from skmoe._estimators.part_parameters import check_takes_offset
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array


class NewRowsMixin:
    """Features, targets, weights and offsets in the form in which a fitted mixture takes them."""

    _fitted: FittedMixture
    expert: Any

    @abstractmethod
    def _validate_target(self, y: Any) -> Array:
        """The target of new rows: outputs (m, n), or class codes (n,)."""

    def _validate_X(self, X: Any) -> Any:
        """Validated features of new rows: an array, a CSR array, or a data frame."""
        check_is_fitted(self)
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
        """Offset of the linear predictors of new rows, (n,) or (m, n), or None."""
        scaling = self._fitted.preprocessor.target_scaling
        if offset is not None:
            check_takes_offset(self.expert, self._fitted.model.experts)
        return check_offset(offset, n_rows, 1 if scaling is None else len(scaling.center))

    def _validate_X_offset(self, X: Any, offset: Any) -> tuple[Any, Array | None]:
        """Validated features and offset of new rows."""
        X = self._validate_X(X)
        return X, self._validate_offset(offset, X.shape[0])

    def _validate_rows(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None
    ) -> UserRows:
        """Validated new rows with their target."""
        X, offset = self._validate_X_offset(X, offset)
        y = check_same_length(X, self._validate_target(y))
        return UserRows(X, y, check_weights(sample_weight, X.shape[0]), offset)
