"""Validation of the rows that a fitted estimator is given."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from skmoe._data.blocks import align_chunks, zip_chunks
from skmoe._data.censored_targets import known_weight
from skmoe._data.encoding import check_frame, encode, is_frame, numeric_names
from skmoe._data.feature_checks import check_numbers, explain_features
from skmoe._data.row_checks import (
    as_csr,
    check_offset,
    check_same_length,
    check_target,
    check_weights,
)
from skmoe._data.rows import Rows, is_dask
from skmoe._data.units import encode_units
from skmoe._estimators.methods.input_steps import InputSteps
from skmoe._estimators.parameters.conflicts import KNOWN_EXPERTS, Choice, check_conflicts
from skmoe._estimators.parameters.parameters import check_probabilities
from skmoe._estimators.parameters.parts import check_takes_offset
from skmoe._estimators.rows.units_and_known_experts import (
    check_gate_columns,
    check_known_experts,
    validate_units,
)
from skmoe._estimators.rows.warm_start import TrainingState
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array
from skmoe._optional import import_dask
from skmoe.exceptions import FitMismatchWarning, warn_user

# What a method assumes that is called without an argument which the fit had.
ASSUMED = {
    "sample_weight": "each row counts once",
    "offset": "the offset is 0",
    "units": "each row is taken as a unit of its own",
    "known_experts": "every expert is possible for each row",
}

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


# Arguments of methods with an entry for each row, which are cut into the chunks of X.
ROW_ARGUMENTS = ("y", "offset", "gate_proba", "known_experts")


def supports_dask(method: MethodT) -> MethodT:
    """Decorator: for a Dask collection the method is mapped over its chunks, to a Dask array."""
    method_signature = signature(method)

    @wraps(method)
    def wrapper(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *args, **kwargs)
        options = dict(method_signature.bind(self, X, *args, **kwargs).arguments)
        del options["self"], options["X"]
        if options.get("units") is not None:
            use = f"{method.__name__} of a Dask collection"
            check_conflicts({"units": "units", "predictions of Dask collections": use})
        given = {name: options.pop(name, None) for name in ROW_ARGUMENTS}
        by_row = {name: values for name, values in given.items() if values is not None}
        return _map_chunks(self, method.__name__, X, by_row, options)

    return cast(MethodT, wrapper)


def score_of_prediction(estimator: Any, prediction: Any, y: Any, sample_weight: Any) -> float:
    """R squared of predicted means, or accuracy of predicted classes.

    Of Dask collections only the target and the predictions are loaded.
    """
    prediction, y, weight = (
        values.compute() if is_dask(values) else values for values in (prediction, y, sample_weight)
    )
    check_target(y, is_classifier(estimator))
    score_fn = accuracy_score if is_classifier(estimator) else r2_score
    return float(score_fn(y, prediction, sample_weight=weight))


# --- chunks -----------------------------------------------------------------------------------


def _map_chunks(
    estimator: Any, name: str, X: Any, by_row: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Dask array of the results of a method for every chunk of X.

    `by_row` are the arguments that have an entry for each row.
    """
    dask = import_dask(name)
    array = import_module("dask.array")
    # A call with few rows raises the errors of wrong columns, and gives the shape of the results.
    few_rows = _meta_rows(X)
    of_row = {"offset": np.zeros(few_rows.shape[0])} if "offset" in by_row else {}
    if "y" in by_row:
        of_row["y"] = estimator.predict(few_rows)
    example = getattr(estimator, name)(few_rows, **of_row, **options)
    empty = np.empty((0, *example.shape[1:]), dtype=example.dtype)
    predict_chunk = partial(_predict_chunk, name, list(by_row), options, empty)
    # As a task of its own, the estimator is sent to each worker once.
    fitted = dask.delayed(_without_training_state(estimator), pure=False)
    X, *others = align_chunks({"X": X} | by_row)
    new_axes = dict(enumerate(example.shape[1:], start=3))
    if hasattr(X, "chunks") and all(hasattr(other, "chunks") for other in others):
        indexed = [(X, (0, 1)), *((other, (0, 2)[: other.ndim]) for other in others)]
        return array.blockwise(
            predict_chunk,
            (0, *new_axes),
            *(argument for pair in [(fitted, None), *indexed] for argument in pair),
            new_axes=new_axes,
            dtype=example.dtype,
            concatenate=True,
            align_arrays=False,
            meta=np.empty((0,) * example.ndim, dtype=example.dtype),
        )
    shape = (np.nan, *example.shape[1:])
    predict_chunk = dask.delayed(predict_chunk, pure=False)
    chunks = [predict_chunk(fitted, *chunk) for chunk in zip_chunks([X, *others])]
    return array.concatenate(
        [array.from_delayed(chunk, shape, dtype=example.dtype) for chunk in chunks]
    )


def _predict_chunk(
    name: str,
    by_row: list[str],
    options: dict[str, Any],
    empty: Array,
    *chunk: Any,
) -> Any:
    """Result of a method for a chunk; `empty` for a chunk without rows, as filters leave them.

    `chunk` holds the estimator, X, and the arguments named in `by_row`.
    """
    fitted, X, *values = chunk
    given = dict(zip(by_row, values, strict=True))
    return getattr(fitted, name)(X, **given, **options) if X.shape[0] else empty


def _meta_rows(X: Any) -> Any:
    """Few rows with the columns of a collection, made without its values."""
    if not hasattr(X, "columns"):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    pandas = import_module("pandas")
    empty = pandas.DataFrame(columns=X.columns).astype(dict(X.dtypes))
    return import_module("dask.dataframe.utils").meta_nonempty(empty)


def _without_training_state(estimator: Any) -> Any:
    """Shallow copy without the state for later fits and without callbacks, for the workers."""
    fitted = copy.copy(estimator)
    fitted._training_state = TrainingState()
    vars(fitted).pop("_skl_callbacks", None)  # of scikit-learn
    return fitted


class NewRowsMixin:
    """Features, targets, weights and offsets in the form in which a fitted mixture takes them."""

    _fitted: FittedMixture
    _row_arguments: tuple[str, ...] = ()  # of the fit, by the names in ASSUMED
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
            check_takes_offset(*self._expert_parameter, self._fitted.mixture.experts)
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
        self._warn_of_missing(method, given, "offset", "units")
        rows = self._validate_rows(given.X, given.y, given.weight, given.offset)
        units = None if given.unit is None else validate_units(given.unit, rows.n_rows)
        model = self._fitted.mixture
        if given.possible is not None and model.top_k is not None:
            check_conflicts({"top_k": Choice("top_k", model.top_k), KNOWN_EXPERTS: KNOWN_EXPERTS})
        possible = check_known_experts(given.possible, model.n_experts, rows.weight, units)
        rows = rows._replace(possible=possible)
        if units is None:
            return rows, None
        self._check_gate_columns(rows.X, units)
        rows = rows._replace(unit=units).of_positive_weight()
        labels, codes = encode_units(rows.unit)
        return rows._replace(unit=codes), labels

    def _warn_of_missing(self, method: str, given: Rows, *names: str) -> None:
        """A warning for each of these arguments that the fit had and the new rows lack."""
        check_is_fitted(self)
        data = "X" if given.y is None else "X, y"
        for name in sorted({*names} & {*self._row_arguments} - {*given.arguments}):
            warn_user(
                f"{method} got no {name}, unlike the fit: {ASSUMED[name]}. "
                f"Pass it: {method}({data}, {name}=...).",
                FitMismatchWarning,
            )

    def _validate_rows_of_fit(self, method: str, given: Rows) -> Rows:
        """The rows of the fit, validated, without those of weight zero."""
        rows, _ = self._validate_unit_rows(method, given)
        self._warn_of_missing(method, given, "sample_weight", "known_experts")
        return rows.of_positive_weight()

    def _check_gate_columns(self, X: Any, units: Array) -> None:
        """The gate's features must be constant within each unit."""
        model, _, preprocessor = self._fitted
        if not model.gate.depends_on_features:
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
        check_probabilities("gate_proba", proba, n_rows, self._fitted.mixture.n_experts)
        return (proba / proba.sum(axis=1, keepdims=True)).T
