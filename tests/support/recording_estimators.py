"""Estimators that write down what they are fitted on and asked about, row by row.

The first column of X is the number of the row, so that what arrives can be told from what was sent.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression


class Log(list):
    """A list that clones of an estimator share."""

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        """Short, for estimators that are printed."""
        return "Log()"

    def fits(self):
        """What fits were given, in turn."""
        return [entry for kind, entry in self if kind == "fit"]

    def questions(self):
        """What each model was fitted on, and what it was asked about, in turn."""
        return [entry for kind, entry in self if kind == "predict"]


def _table(X):
    return X.to_numpy(dtype=float) if hasattr(X, "to_numpy") else np.asarray(X, dtype=float)


class _Recorder(BaseEstimator):
    def __init__(self, log=None):
        self.log = log

    def _record(self, X, y, sample_weight, cost):
        self.table_ = _table(X)
        given = {"X": self.table_, "y": y, "weight": sample_weight, "cost": cost}
        entry = {name: np.array(values) for name, values in given.items() if values is not None}
        self.log.append(("fit", entry))

    def _ask(self, X):
        self.log.append(("predict", (self.table_, _table(X))))


class RecordingRegressor(RegressorMixin, _Recorder):
    """A linear regression on all columns but the first."""

    def fit(self, X, y, sample_weight=None, cost=None):
        self._record(X, y, sample_weight, cost)
        self.model_ = LinearRegression().fit(self.table_[:, 1:], y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        self._ask(X)
        return self.model_.predict(_table(X)[:, 1:])


class RecordingClassifier(ClassifierMixin, _Recorder):
    """A linear regression of class indicators on all columns but the first."""

    def fit(self, X, y, sample_weight=None, cost=None):
        self._record(X, y, sample_weight, cost)
        self.classes_ = np.unique(y)
        indicators = np.asarray(y)[:, None] == self.classes_
        self.model_ = LinearRegression()
        self.model_.fit(self.table_[:, 1:], indicators, sample_weight=sample_weight)
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        self._ask(X)
        probs = np.clip(self.model_.predict(_table(X)[:, 1:]), 0.01, 0.99)
        return probs / probs.sum(axis=1, keepdims=True)


def by_number(entry, name):
    """What a fit was given with each row, in the order of their numbers, and these numbers."""
    numbers = entry["X"][:, 0].astype(int)
    order = np.argsort(numbers)
    return numbers[order], entry[name][order]
