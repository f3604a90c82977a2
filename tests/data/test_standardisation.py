"""Columns and targets are standardised by weight, and coefficients are in the units of the data.

The penalty of a single linear expert is that of ridge regression on standardised columns, so that
every mistake in a mean or a spread changes its coefficients. Row blocks, streams and Dask have the
same tests in `tests/users`.
"""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from support.fits import fit_quietly

ALPHA = 25.0


def table():
    """Columns of different centers and spreads, one mostly zero, and weights that are counts."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)) * [1.0, 5.0, 0.2] + [0.0, 200.0, 1.0]
    X[:, 2] *= rng.uniform(size=100) < 0.4
    return X, X @ [1.0, 0.2, 3.0] + rng.normal(size=100), rng.integers(0, 4, size=100)


def ridge(X, y, counts=None):
    """Slopes and predictions of ridge regression on the standardised columns of repeated rows."""
    rows = np.arange(len(y)) if counts is None else np.repeat(np.arange(len(y)), counts)
    scaler = StandardScaler().fit(X[rows])
    model = Ridge(ALPHA).fit(scaler.transform(X[rows]), y[rows])
    return model.coef_ / scaler.scale_, model.predict(scaler.transform(X))


def one_expert(**options):
    return MixtureOfExpertsRegressor(1, alpha=ALPHA, n_init=1, **options)


CONTAINERS = {
    "array": np.asarray,
    "Fortran order": np.asfortranarray,
    "frame": pd.DataFrame,
    "csr": sparse.csr_array,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_array,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_expert_is_ridge_regression_on_repeated_rows(container):
    X, y, counts = table()
    make = CONTAINERS[container]
    moe = one_expert().fit(make(X), y, sample_weight=counts)
    slopes, predicted = ridge(X, y, counts)
    assert_allclose(moe.expert_coef_[0], slopes, rtol=1e-8)
    assert_allclose(moe.predict(make(X)), predicted, rtol=1e-8)
    # Sparse rows are centred only if those of the fit were.
    assert_allclose(moe.predict(X), predicted, rtol=1e-8)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -3e-9])
def test_constant_columns_have_no_slope(make, value):
    """Also those that vary by round-off, or in rows without weight only."""
    X, y, counts = table()
    constant = np.full(100, value)
    constant[3] *= 1.0 + 1e-15
    in_rows_without_weight = np.where(counts > 0, value, 5.0)
    wide = np.column_stack([X[:, :2], constant, in_rows_without_weight])
    moe = one_expert().fit(make(wide), y, sample_weight=counts)
    assert_allclose(moe.expert_coef_[0, :2], ridge(X[:, :2], y, counts)[0], rtol=1e-7)
    assert_array_equal(moe.expert_coef_[0, 2:], 0.0)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_entries_that_are_stored_twice_add_up(dtype):
    """The matrix of the user stays as it is."""
    rng = np.random.default_rng(0)
    dense = np.where(rng.uniform(size=(40, 3)) < 0.5, rng.normal(size=(40, 3)), 0.0)
    whole = sparse.csr_array(dense)
    twice = sparse.csr_array(
        (
            np.repeat(0.5 * whole.data, 2),
            np.repeat(whole.indices, 2).astype(dtype),
            (2 * whole.indptr).astype(dtype),
        ),
        shape=whole.shape,
    )
    y = dense @ [1.0, 2.0, 3.0] + rng.normal(size=40)
    for options in ({}, {"expert": "tree", "max_iter": 2, "random_state": 0}):
        moe = MixtureOfExpertsRegressor(1, **options)
        expected = fit_quietly(moe, whole, y).predict(whole)
        assert_allclose(fit_quietly(moe, twice, y).predict(twice), expected)
    assert twice.nnz == 2 * whole.nnz
    assert twice.indices.dtype == dtype


# --- features that are constant in the rows of a fit ------------------------------------------

# Values whose sums are not exact, and some whose round-off is far from any data.
VALUES = [-3.0122e-8, 0.1, 1.0 / 3.0, -1e10 / 7.0, 1e-300]
SHORT = {"n_init": 1, "tol": 1e-2, "max_iter": 4, "random_state": 0}


def with_a_constant(value, n_rows=2000):
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


@pytest.mark.parametrize(
    ("path", "value"),
    [("memory", value) for value in VALUES] + [(path, 0.1) for path in FITS if path != "memory"],
)
@pytest.mark.parametrize("of_classes", [False, True])
def test_predictions_do_not_depend_on_features_that_were_constant(path, value, of_classes):
    """The round-off of a mean must not become a standard deviation."""
    X, y, weight = with_a_constant(value)
    moe = (MixtureOfExpertsClassifier if of_classes else MixtureOfExpertsRegressor)(2, **SHORT)
    FITS[path](moe, X, y > 0.0 if of_classes else y, weight)
    new = X[:20].copy()
    new[:, 1] += 1e3
    predict = getattr(moe, "predict_proba", moe.predict)
    assert_array_equal(predict(new), predict(X[:20]))
    assert_array_equal(moe.predict_gate(new), moe.predict_gate(X[:20]))
