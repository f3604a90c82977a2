"""A feature that is constant in the rows of a fit does not matter for its predictions.

The mean of a constant column has round-off, which must not become a standard deviation: new rows
with other values would be divided by it.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly

# Values whose sums are not exact, and some whose round-off is far from any data.
VALUES = [-3.0122e-8, 0.1, 1.0 / 3.0, -1e10 / 7.0, 1e-300]
SHORT = {"n_init": 1, "tol": 1e-2, "max_iter": 4, "random_state": 0}


def table(value, n_rows=2000):
    """Three features, of which the second one is constant, a target, and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    X[:, 1] = value
    y = np.where(X[:, 0] > 0.0, X[:, 2], -X[:, 2]) + 0.1 * rng.normal(size=n_rows)
    return X, y, rng.uniform(0.1, 3.0, size=n_rows)


def blocks(X, y):
    return RowBlocks(lambda: ((X[i : i + 700], y[i : i + 700]) for i in range(0, len(X), 700)))


FITS = {
    "memory": lambda moe, X, y, weight: fit_quietly(moe, X, y, sample_weight=weight),
    "single precision": lambda moe, X, y, weight: fit_quietly(
        moe, X.astype(np.float32), y, sample_weight=weight
    ),
    "sparse": lambda moe, X, y, weight: fit_quietly(
        moe, sparse.csr_array(X), y, sample_weight=weight
    ),
    "blocks": lambda moe, X, y, weight: fit_quietly(moe, blocks(X, y)),
    "stream": lambda moe, X, y, weight: moe.partial_fit(
        X[:900], y[:900], **({"classes": [False, True]} if y.dtype == bool else {})
    ).partial_fit(X[900:], y[900:]),
}


def assert_constant_is_ignored(moe, X):
    new = X[:20].copy()
    new[:, 1] += 1e3
    predict = getattr(moe, "predict_proba", moe.predict)
    assert_array_equal(predict(new), predict(X[:20]))
    assert_array_equal(moe.predict_gate(new), moe.predict_gate(X[:20]))


@pytest.mark.parametrize(
    ("path", "value"),
    [("memory", value) for value in VALUES] + [(path, 0.1) for path in FITS if path != "memory"],
)
def test_predictions_do_not_depend_on_features_that_were_constant(path, value):
    X, y, weight = table(value)
    moe = MixtureOfExpertsRegressor(2, **SHORT)
    FITS[path](moe, X, y, weight)
    assert_constant_is_ignored(moe, X)


@pytest.mark.parametrize("path", FITS)
def test_probabilities_do_not_depend_on_features_that_were_constant(path):
    X, y, weight = table(0.1)
    moe = MixtureOfExpertsClassifier(2, **SHORT)
    FITS[path](moe, X, y > 0.0, weight)
    assert_constant_is_ignored(moe, X)


@pytest.mark.parametrize("value", VALUES[:2])
def test_the_round_off_of_many_rows_is_no_deviation(value):
    X, y, _ = table(value, 50_000)
    moe = MixtureOfExpertsRegressor(2, **SHORT | {"max_iter": 2})
    assert_constant_is_ignored(fit_quietly(moe, X, y), X)
