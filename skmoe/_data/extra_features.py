"""Extra features: the outputs of the base model and of the gate transformer.

Both models are fitted here, and their outputs are appended to the features as columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import check_array, has_fit_parameter

from skmoe._data.rows import N_CROSS_FIT_FOLDS, Rows, check_several_folds, index_rows, make_folds
from skmoe._data.sklearn_adapter import check_finite, fit_estimator, groups_of_folds, predict_expert
from skmoe._numerics.typing import Array, Design

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

    def with_base(self, base: Any, rows: Rows, seed: int) -> tuple[ExtraFeatures, Array]:
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
            metadata = groups_of_folds(base, None if group is None else group[index])
            X = index_rows(rows.X, index)
            return fit_estimator(base, seed, X, target[index], weight[index], metadata)

        n_folds = 2 if rows.n_rows > MAX_ROWS_WITH_MORE_FOLDS else N_CROSS_FIT_FOLDS
        fold = make_folds(n_folds, codes, group, rows.n_rows, seed)
        check_several_folds("base", fold, group)
        tests = [np.flatnonzero(fold == j) for j in range(int(fold.max()) + 1)]
        parts = []
        for test in tests:
            fitted = fit(np.setdiff1d(np.arange(rows.n_rows), test))
            parts.append(predict_base(fitted, index_rows(rows.X, test), classes, self.link))
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
        inputs = X if columns is None else X[:, columns]
        blocks.append(extra_features.transformer.transform(inputs))
    if base_prediction is not None:
        blocks.append(base_prediction)
    if any(map(sparse.issparse, blocks)):
        return sparse.csr_array(sparse.hstack(list(map(sparse.csr_array, blocks))))
    return np.hstack(blocks)


def predict_base(base: Any, X: Any, classes: Array | None, link: str = "identity") -> Array:
    """Predictions of the base model, (n, m): means or their logs, or class log-probabilities."""
    if classes is None:
        prediction = predict_expert(base, X, None).T
        check_finite("base", prediction)
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
    check_finite("base", probs)
    return np.log(probs / probs.sum(axis=1, keepdims=True))
